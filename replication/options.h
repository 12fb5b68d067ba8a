/* options.h - the settings of options.def, as opt_NAME; base/conf.h reads them. */
#ifndef REPLICATION_OPTIONS_H
#define REPLICATION_OPTIONS_H

#define CONF_ROWS "replication/options.def"
#include "base/conf_declare.h"

#endif
