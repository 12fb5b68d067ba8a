/* watch.c - what is noted of slow commands. */
#include "base/conf.h"
#include "node/node.h"
#include "node/options.h"

#include <stdatomic.h>

static _Atomic uint64_t slow_cycles = UINT64_MAX;

uint64_t node_slow_cycles(void)
{
    return atomic_load_explicit(&slow_cycles, memory_order_relaxed);
}

void node_slow_cycles_update(void)
{
    int64_t us = conf_i64(&opt_slowlog_log_slower_than);
    int64_t ms = (int64_t)conf_u64(&opt_latency_monitor_threshold);
    double least = us < 0 ? -1 : (double)us;

    if (ms > 0 && (least < 0 || (double)ms * 1000 < least)) {
        least = (double)ms * 1000;
    }
    atomic_store_explicit(&slow_cycles,
                          least < 0 ? UINT64_MAX : (uint64_t)(least * node_cycles_per_us()),
                          memory_order_relaxed);
}
