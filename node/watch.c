/* watch.c - what is noted of slow commands. */
#include "base/conf.h"
#include "edge/conn.h"
#include "node/latency.h"
#include "node/node.h"
#include "node/options.h"
#include "node/slowlog.h"

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

static void on_set(const struct conf_opt *opt)
{
    (void)opt;
    node_slow_cycles_update();
}

void node_slow_cycles_watch(void)
{
    conf_hook(&opt_slowlog_log_slower_than, NULL, on_set);
    conf_hook(&opt_latency_monitor_threshold, NULL, on_set);
    node_slow_cycles_update();
}

void node_note_slow(struct session *s, const struct cmd *c, uint64_t cycles)
{
    struct slowlog_call call = {
        .def = c->def,
        .argv = c->argv,
        .argc = c->argc,
        .usec = (int64_t)((double)cycles / node_cycles_per_us()),
    };
    char addr[CONN_ADDR_MAX];

    if (s->is_connection) {
        const struct conn *from = LIST_ITEM(s, struct conn, session);

        conn_addr_text(&from->peer, addr);
        call.peer = slice_of(addr);
        call.name = from->name == NULL ? SLICE("") : slice_of(from->name);
    }
    slowlog_note(&call);
    latency_note((c->def->flags & CMD_FAST) != 0 ? "fast-command" : "command", call.usec / 1000);
}
