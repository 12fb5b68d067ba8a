/* metric_declare.h - included by a folder's metrics.h behind `#define METRIC_ROWS "x/metrics.def"`:
 * one declaration a row. No guard, since each folder includes it for rows of its own. */
#include "base/metric.h"

#define METRIC(sym, kind, help, alarm) extern struct metric metric_##sym;
#include METRIC_ROWS
#undef METRIC
#undef METRIC_ROWS
