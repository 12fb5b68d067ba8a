#include "edge/metrics.h"

#define METRIC_ROWS "edge/metrics.def"
#include "base/metric_define.h"
