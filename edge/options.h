/* options.h - the settings of options.def, as opt_NAME; base/conf.h reads them. */
#ifndef EDGE_OPTIONS_H
#define EDGE_OPTIONS_H

#define CONF_ROWS "edge/options.def"
#include "base/conf_declare.h"

#endif
