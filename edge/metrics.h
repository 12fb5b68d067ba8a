/* metrics.h - the metrics of metrics.def, as metric_NAME; base/metric.h counts in them. */
#ifndef EDGE_METRICS_H
#define EDGE_METRICS_H

#define METRIC_ROWS "edge/metrics.def"
#include "base/metric_declare.h"

#endif
