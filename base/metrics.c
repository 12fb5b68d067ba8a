#include "base/metrics.h"

#define METRIC_ROWS "base/metrics.def"
#include "base/metric_define.h"
