/* options.h - the settings of options.def, as opt_NAME; base/conf.h reads them. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#define CONF_ROWS "base/options.def"
#include "base/conf_declare.h"

#endif
