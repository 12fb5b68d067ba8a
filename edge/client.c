#include "edge/client.h"

#include "base/err.h"
#include "base/metric.h"
#include "edge/acl.h"
#include "edge/conn.h"
#include "edge/metrics.h"
#include "edge/multi.h"
#include "edge/pubsub.h"
#include "edge/tracking.h"

#include <pthread.h>

static struct conn_set *sets[WORKERS_MAX];
static _Atomic uint32_t set_count;

_Atomic uint64_t client_rejected, client_accept_errors;

void client_register(struct conn_set *set)
{
    /* Workers start one after another or at once; each takes a place, and places are never reused. */
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&lock);
    uint32_t n = atomic_load_explicit(&set_count, memory_order_relaxed);

    assert(n < WORKERS_MAX);
    sets[n] = set;
    /* Release: pairs with the acquire in client_set_count(). */
    atomic_store_explicit(&set_count, n + 1, memory_order_release);
    pthread_mutex_unlock(&lock);
}

uint32_t client_set_count(void)
{
    return atomic_load_explicit(&set_count, memory_order_acquire);
}

struct conn_set *client_set(uint32_t i)
{
    return sets[i];
}

void client_forget_sets(void)
{
    atomic_store_explicit(&set_count, 0, memory_order_release);
}

struct conn *client_find(struct conn_set *set, uint64_t id)
{
    for (struct list *n = set->conns.next; n != &set->conns; n = n->next) {
        struct conn *c = LIST_ITEM(n, struct conn, link);

        if (c->session.id == id) {
            return c;
        }
    }
    return NULL;
}

/* --- rounds ----------------------------------------------------------------------------------- */

static void round_done(struct inbox_msg *m)
{
    struct client_round *r = LIST_ITEM(m, struct client_round, msg);

    r->done(r, client_find(r->home, r->asker));
}

static void round_next(struct client_round *r);

static void round_visit(struct inbox_msg *m)
{
    struct client_round *r = LIST_ITEM(m, struct client_round, msg);

    r->visit(r, sets[r->at]);
    r->at++;
    round_next(r);
}

static void round_next(struct client_round *r)
{
    if (r->at < client_set_count()) {
        r->msg.fn = round_visit;
        worker_post(sets[r->at]->worker, &r->msg);
    } else {
        r->msg.fn = round_done;
        worker_post(r->home->worker, &r->msg);
    }
}

void client_round_start(struct client_round *r, struct conn *asker)
{
    r->home = asker->set;
    r->asker = asker->session.id;
    r->at = 0;
    conn_wait(asker);
    round_next(r);
}

void client_round_start_for(struct client_round *r, struct conn_set *home, uint64_t asker)
{
    r->home = home;
    r->asker = asker;
    r->at = 0;
    round_next(r);
}

/* --- CLIENT LIST ------------------------------------------------------------------------------ */

static void put_flags(const struct conn *c, char out[8])
{
    size_t n = 0;

    if (c->is_monitor) {
        out[n++] = 'O';
    }
    if (c->subs != NULL) {
        out[n++] = 'P';
    }
    if (c->is_busy) {
        out[n++] = 'b';
    }
    n += tracking_letters(c, out + n);
    if (c->is_ending) {
        out[n++] = 'c';
    }
    if (n == 0) {
        out[n++] = 'N';
    }
    out[n] = '\0';
}

static int put_command(const struct conn *c, struct buf *out)
{
    const struct cmd_def *def = c->last_def;
    const char *names[2] = {NULL, NULL};
    int err = OK;

    if (def == NULL) {
        return buf_append_str(out, "NULL");
    }
    names[0] = def->parent != NULL ? def->parent->name : def->name;
    names[1] = def->parent != NULL ? def->name : NULL;
    for (int i = 0; i < 2 && names[i] != NULL; i++) {
        err = i == 0 || err != OK ? err : buf_append_char(out, '|');
        for (const char *p = names[i]; err == OK && *p != '\0'; p++) {
            err = buf_append_char(out, slice_lower(*p));
        }
    }
    return err;
}

static const char *text_of(const char *owned)
{
    return owned == NULL ? "" : owned;
}

int client_line(const struct conn *c, struct buf *out)
{
    char addr[CONN_ADDR_MAX], local[CONN_ADDR_MAX], flags[8];
    int64_t now_ms = c->set->worker->now_ms;
    size_t out_bytes = conn_out_bytes(c);
    size_t total = sizeof(*c) + c->in.cap + c->reply.out.cap + c->pushed.cap +
                   (c->scratch != NULL ? sizeof(*c->scratch) : 0) + pubsub_bytes(c);

    conn_addr_text(&c->peer, addr);
    conn_local_text(c, local);
    put_flags(c, flags);
    if (buf_printf(out,
                   "id=%lu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%lld flags=%s db=0 sub=%u "
                   "psub=%u ssub=%u multi=%d qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%zu "
                   "rbs=%zu rbp=%zu obl=%zu oll=0 omem=%zu tot-mem=%zu events=%s%s cmd=",
                   (unsigned long)c->session.id, addr, local, c->file.fd, text_of(c->name),
                   (long long)(now_ms - c->made_ms) / 1000, (long long)(now_ms - c->last_ms) / 1000,
                   flags, pubsub_subscriptions(c, PUBSUB_CHANNEL),
                   pubsub_subscriptions(c, PUBSUB_PATTERN), pubsub_subscriptions(c, PUBSUB_SHARD),
                   c->multi == NULL ? -1 : (int)c->multi->count, c->in.len, c->in.cap - c->in.len,
                   c->multi == NULL ? 0 : c->multi->bytes, c->reply.out.cap, c->reply.out.cap,
                   out_bytes, c->reply.out.cap + c->pushed.cap, total, c->is_ending ? "" : "r",
                   c->is_stalled ? "w" : "") != OK ||
        put_command(c, out) != OK) {
        return ERR_NOMEM;
    }
    struct slice user = acl_name(c->session.user);

    return buf_printf(out, " user=%.*s redir=%lld resp=%u lib-name=%s lib-ver=%s\n", (int)user.len,
                      user.ptr, (long long)tracking_redirect(c), c->protocol, text_of(c->lib_name),
                      text_of(c->lib_ver));
}

/* --- figures ---------------------------------------------------------------------------------- */

#define SUMS(DO)                                                                                   \
    DO(received)                                                                                   \
    DO(closed)                                                                                     \
    DO(killed)                                                                                     \
    DO(in_bytes)                                                                                   \
    DO(out_bytes)                                                                                  \
    DO(requests)                                                                                   \
    DO(errors)                                                                                     \
    DO(protocol_errors)                                                                            \
    DO(auth_failed)                                                                                \
    DO(output_limit)                                                                               \
    DO(input_limit)                                                                                \
    DO(idle_timeout)                                                                               \
    DO(trickle)

static pthread_mutex_t base_lock = PTHREAD_MUTEX_INITIALIZER;
static struct client_stats base; /* guarded by base_lock: what the sums were at the last reset */

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void raise_to(uint64_t *max, uint64_t value)
{
    *max = value > *max ? value : *max;
}

static struct client_stats sum_all(void)
{
    struct client_stats s = {.rejected = load(&client_rejected),
                             .accept_errors = load(&client_accept_errors)};

    for (uint32_t i = 0; i < client_set_count(); i++) {
        const struct conn_counters *n = &sets[i]->count;

#define DO(field) s.field += load(&n->field);
        SUMS(DO)
#undef DO
        s.monitors += load(&n->monitors);
        s.ops_a_second += load(&n->ops_a_second);
        raise_to(&s.in_max, load(&n->in_max));
        raise_to(&s.out_max, load(&n->out_max));
    }
    s.connected = s.received - (s.closed < s.received ? s.closed : s.received);
    return s;
}

struct client_stats client_stats_sum(void)
{
    struct client_stats s = sum_all();

    pthread_mutex_lock(&base_lock);
#define DO(field) s.field -= base.field;
    SUMS(DO)
    DO(rejected)
    DO(accept_errors)
#undef DO
    pthread_mutex_unlock(&base_lock);
    return s;
}

void client_stats_reset(void)
{
    struct client_stats s = sum_all();

    pthread_mutex_lock(&base_lock);
    base = s;
    pthread_mutex_unlock(&base_lock);
    for (uint32_t i = 0; i < client_set_count(); i++) {
        atomic_store_explicit(&sets[i]->count.in_max, 0, memory_order_relaxed);
        atomic_store_explicit(&sets[i]->count.out_max, 0, memory_order_relaxed);
    }
}

/* Which figure a metric of edge/metrics.def is; arg of the callback. */
struct asked {
    struct metric *metric;
    size_t at, also; /* offsets in struct client_stats; both are added up */
};

#define AT(field) offsetof(struct client_stats, field)
#define NONE      SIZE_MAX
static const struct asked asked[] = {
    {&metric_connections, AT(connected), NONE},
    {&metric_connections_accepted_total, AT(received), NONE},
    {&metric_connections_refused_total, AT(rejected), AT(accept_errors)},
    {&metric_connections_output_closed_total, AT(output_limit), NONE},
    {&metric_connections_input_closed_total, AT(input_limit), NONE},
    {&metric_connections_timed_out_total, AT(idle_timeout), AT(trickle)},
    {&metric_protocol_errors_total, AT(protocol_errors), NONE},
    {&metric_auth_failures_total, AT(auth_failed), NONE},
    {&metric_received_bytes_total, AT(in_bytes), NONE},
    {&metric_sent_bytes_total, AT(out_bytes), NONE},
};

static void answer(struct metric_out *out, void *arg)
{
    const struct asked *a = arg;
    struct client_stats s = sum_all(); /* since the start: Prometheus wants no resets */
    double value = (double)*(const uint64_t *)(const void *)((const char *)&s + a->at);

    if (a->also != NONE) {
        value += (double)*(const uint64_t *)(const void *)((const char *)&s + a->also);
    }
    metric_sample(out, "", value);
}

void client_metrics_use(void)
{
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        metric_ask(asked[i].metric, answer, (void *)&asked[i]);
    }
    pubsub_metrics_use();
}
