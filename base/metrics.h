/* metrics.h - the metrics of metrics.def, as metric_NAME; base/metric.h counts in them. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#define METRIC_ROWS "base/metrics.def"
#include "base/metric_declare.h"

#endif
