/* metrics.h - the metrics of metrics.def, as metric_NAME; base/metric.h counts in them. */
#ifndef NODE_METRICS_H
#define NODE_METRICS_H

#define METRIC_ROWS "node/metrics.def"
#include "base/metric_declare.h"

#endif
