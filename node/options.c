#include "node/options.h"

#define CONF_ROWS "node/options.def"
#include "base/conf_define.h"
