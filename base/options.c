#include "base/options.h"

#define CONF_ROWS "base/options.def"
#include "base/conf_define.h"
