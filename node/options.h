/* options.h - the settings of options.def, as opt_NAME; base/conf.h reads them. */
#ifndef NODE_OPTIONS_H
#define NODE_OPTIONS_H

#define CONF_ROWS "node/options.def"
#include "base/conf_declare.h"

#endif
