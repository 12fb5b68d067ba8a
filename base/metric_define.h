/* metric_define.h - included by a folder's metrics.c behind `#define METRIC_ROWS "x/metrics.def"`:
 * one definition a row.
 *
 *    METRIC(symbol, COUNTER or GAUGE or HISTOGRAM, "Help.", "Alarm, or nothing.")
 */
#include "base/metric.h"

#define METRIC(sym, knd, hlp, alrm)                                                                \
    struct metric metric_##sym = {                                                                 \
        .symbol = #sym, .help = (hlp), .alarm = (alrm), .kind = METRIC_##knd};
#include METRIC_ROWS
#undef METRIC
#undef METRIC_ROWS
