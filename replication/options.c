#include "replication/options.h"

#define CONF_ROWS "replication/options.def"
#include "base/conf_define.h"
