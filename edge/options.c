#include "edge/options.h"

#define CONF_ROWS "edge/options.def"
#include "base/conf_define.h"
