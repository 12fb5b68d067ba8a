#include "node/metrics.h"

#define METRIC_ROWS "node/metrics.def"
#include "base/metric_define.h"
