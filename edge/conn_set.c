/* conn_set.c - the connections of one worker: what is looked after by the clock, and the end.
 *
 * Every TICK_MS a tenth of the set is looked at, so that each connection is seen once a second
 * whatever their number.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/auth.h"
#include "edge/client.h"
#include "edge/conn.h"
#include "edge/options.h"
#include "edge/out_limit.h"

#include <arpa/inet.h>
#include <stdio.h>

enum {
    TICK_MS = 100,
    TICKS_A_ROUND = 10,
    STALL_MS = 5000,     /* over its output limit, and nothing taken for so long */
    END_STALL_MS = 5000, /* the same once it is to end */
    CONVERT_KEPT = 256 * 1024,
    UNAUTH_MS = 60000 /* a stranger that does not say who it is */
};

static void look_at(struct conn *c, int64_t now_ms)
{
    struct conn_counters *count = &c->set->count;
    int64_t idle_ms = (int64_t)conf_u64(&opt_timeout) * 1000;
    int64_t part_ms = (int64_t)conf_u64(&opt_request_timeout) * 1000;

    if (out_limit_is_passed(c, now_ms) ||
        (c->is_stalled && (c->is_over || c->is_ending) &&
         now_ms - c->stalled_ms > (c->is_ending ? END_STALL_MS : STALL_MS))) {
        conn_count(&count->output_limit, 1);
        log_warn("conn: closed for its unread output\tid=%lu\tbytes=%zu",
                 (unsigned long)c->session.id, conn_out_bytes(c));
        conn_close(c, "output limit");
    } else if (part_ms > 0 && c->part_ms > 0 && now_ms - c->part_ms > part_ms) {
        conn_count(&count->trickle, 1);
        conn_close(c, "its request did not arrive whole in time");
    } else if (!c->is_authed && auth_is_needed() && now_ms - c->made_ms > UNAUTH_MS) {
        conn_count(&count->idle_timeout, 1);
        conn_close(c, "it did not authenticate in time");
    } else if (idle_ms > 0 && now_ms - c->last_ms > idle_ms && !c->is_busy && !c->is_waiting &&
               !c->is_monitor && c->subs == NULL) {
        conn_count(&count->idle_timeout, 1);
        conn_close(c, "idle");
    } else if (c->in.cap > 0 && c->in.len == 0 && c->scratch == NULL) {
        buf_fini(&c->in);
    }
}

static void sweep(struct conn_set *set)
{
    uint32_t n = atomic_load_explicit(&set->worker->load, memory_order_relaxed);

    n = n / TICKS_A_ROUND + 1;
    while (n-- > 0) {
        struct list *at = set->sweep;

        if (at == &set->conns) {
            set->sweep = set->conns.next;
            return; /* once round is enough for a tick */
        }
        set->sweep = at->next;
        look_at(LIST_ITEM(at, struct conn, link), set->worker->now_ms);
    }
}

static void measure(struct conn_set *set)
{
    struct conn_counters *count = &set->count;
    int64_t span = set->worker->now_ms - set->tick_at_ms;
    uint64_t requests = atomic_load_explicit(&count->requests, memory_order_relaxed);
    uint64_t ops, busy;

    if (span < 1) {
        return;
    }
    /* Smoothed over about a second, as tools expect of instantaneous_ops_per_sec. */
    ops = (requests - set->requests_seen) * 1000 / (uint64_t)span;
    busy = (set->worker->busy_ns - set->busy_ns_seen) / 1000 / (uint64_t)span;
    ops = (atomic_load_explicit(&count->ops_a_second, memory_order_relaxed) * 7 + ops + 4) / 8;
    busy = (atomic_load_explicit(&count->busy_permille, memory_order_relaxed) * 7 + busy + 4) / 8;
    atomic_store_explicit(&count->ops_a_second, ops, memory_order_relaxed);
    atomic_store_explicit(&count->busy_permille, busy, memory_order_relaxed);
    set->requests_seen = requests;
    set->busy_ns_seen = set->worker->busy_ns;
    set->tick_at_ms = set->worker->now_ms;
}

static void end_pause(struct conn_set *set)
{
    struct list *n;

    set->pause_until_ms = 0;
    while ((n = list_pop(&set->paused)) != NULL) {
        conn_go_on(LIST_ITEM(n, struct conn, pause_link));
    }
}

void conn_set_pause(struct conn_set *set, int64_t until_ms, bool all)
{
    /* As Redis: the later end and the stricter kind win, until CLIENT UNPAUSE. */
    bool is_on = set->pause_until_ms > set->worker->now_ms;

    set->pause_all = all || (is_on && set->pause_all);
    if (!is_on || until_ms > set->pause_until_ms) {
        set->pause_until_ms = until_ms;
    }
    if (worker_timer_set(set->worker, &set->unpause, set->pause_until_ms) != OK) {
        end_pause(set); /* a pause that could not end would be worse than none */
    }
}

void conn_set_unpause(struct conn_set *set)
{
    worker_timer_clear(set->worker, &set->unpause);
    end_pause(set);
}

static void on_unpause(struct worker_timer *t)
{
    end_pause(LIST_ITEM(t, struct conn_set, unpause));
}

static void on_tick(struct worker_timer *t)
{
    struct conn_set *set = LIST_ITEM(t, struct conn_set, tick);

    sweep(set);
    measure(set);
    buf_shrink(&set->convert, CONVERT_KEPT);
    if (worker_timer_set(set->worker, t, set->worker->now_ms + TICK_MS) != OK) {
        log_error("conn: no memory for a timer");
    }
}

int conn_set_init(struct conn_set *set, struct worker *w, struct backend *b)
{
    memset(set, 0, sizeof(*set));
    set->worker = w;
    set->backend = b;
    list_init(&set->conns);
    list_init(&set->dying);
    list_init(&set->paused);
    list_init(&set->monitors);
    set->sweep = &set->conns;
    set->tick.on_time = on_tick;
    set->unpause.on_time = on_unpause;
    set->tick_at_ms = w->now_ms;
    client_register(set);
    return worker_timer_set(w, &set->tick, w->now_ms + TICK_MS);
}

void conn_set_fini(struct conn_set *set)
{
    struct list *n;

    worker_timer_clear(set->worker, &set->tick);
    worker_timer_clear(set->worker, &set->unpause);
    while (!list_is_empty(&set->conns)) {
        conn_close(LIST_ITEM(set->conns.next, struct conn, link), "stopping");
    }
    while ((n = list_pop(&set->dying)) != NULL) {
        conn_free(LIST_ITEM(n, struct conn, link));
    }
    conn_scratch_free_all(set);
    buf_fini(&set->out);
    buf_fini(&set->convert);
}

void conn_set_drain(struct conn_set *set)
{
    struct list *n = set->conns.next;

    set->is_draining = true;
    conn_set_unpause(set);
    while (n != &set->conns) {
        struct conn *c = LIST_ITEM(n, struct conn, link);

        n = n->next;
        c->is_ending = true;
        conn_go_on(c);
    }
}

bool conn_set_is_drained(const struct conn_set *set)
{
    return list_is_empty(&set->conns);
}

void conn_addr_text(const struct sockaddr_storage *a, char out[CONN_ADDR_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)a;

        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        (void)snprintf(out, CONN_ADDR_MAX, "%s:%u", host, ntohs(v4->sin_port));
    } else if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)a;

        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        (void)snprintf(out, CONN_ADDR_MAX, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        (void)snprintf(out, CONN_ADDR_MAX, "?:0");
    }
}

void conn_local_text(const struct conn *c, char out[CONN_ADDR_MAX])
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof(a);

    (void)getsockname(c->file.fd, (struct sockaddr *)&a, &len);
    conn_addr_text(&a, out);
}
