/* pubsub.c - see pubsub.h. The table: a space for each database that ever had a listener, in it
 * stripes of channels, at each channel a seat for each worker with listeners.
 *
 *    space ─ stripe ─ channel ─┬─ seat of worker 0 ─ its listeners (worker 0's own)
 *                              └─ seat of worker 2 ─ …
 *
 * A message that is under way to a seat keeps it alive (in_flight), so the worker finds its listeners
 * without looking up anything. A listener that came after the message was posted is passed over by the
 * number of its arrival (P2).
 */
#include "edge/pubsub_parts.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "edge/conn.h"
#include "edge/metrics.h"
#include "proto/glob.h"

#include <assert.h>

enum { SPACES = 64, HEAD_MAX = 40 };

/* A message, made once: what follows the first byte is the same in RESP2 and RESP3. */
struct message {
    _Atomic uint32_t refs;
    size_t head_len;
    size_t len; /* of bytes: the head for listeners of the channel, then what patterns' have too */
    uint64_t position;
    char bytes[];
};

/* A message on its way to one seat; those of one worker travel as one. */
struct hand {
    struct inbox_msg msg;
    struct hand *next_worker; /* of the publisher's list */
    struct hand *same, *last; /* more for this worker; last is the first one's */
    struct seat *seat;
    struct message *message; /* NULL: it could not be carried, and the listeners are to know (P4) */
    uint64_t arrivals;       /* who came later is not meant */
    bool is_void;            /* the publication was given up: nobody is meant */
};

static _Atomic(struct space *) spaces[SPACES];
static struct lock spaces_lock;
static _Atomic uint64_t channels_all[PUBSUB_KINDS];

/* --- spaces ----------------------------------------------------------------------------------- */

static _Atomic(struct space *) *space_bucket(const struct database *db)
{
    return &spaces[(uintptr_t)db / 64 % SPACES];
}

static struct space *space_find(const struct database *db)
{
    /* Acquire: pairs with the release in pubsub_space_make(). */
    struct space *s = atomic_load_explicit(space_bucket(db), memory_order_acquire);

    while (s != NULL && s->db != db) {
        s = s->next;
    }
    return s;
}

struct space *pubsub_space_make(const struct database *db)
{
    struct space *s = space_find(db);

    if (s != NULL) {
        return s;
    }
    lock_write(&spaces_lock);
    s = space_find(db);
    if (s == NULL && (s = mem_zalloc(sizeof(*s))) != NULL) {
        s->db = db;
        list_init(&s->patterns);
        s->next = atomic_load_explicit(space_bucket(db), memory_order_relaxed);
        atomic_store_explicit(space_bucket(db), s, memory_order_release);
    }
    lock_write_end(&spaces_lock);
    return s;
}

static bool has_any(struct space *s, enum pubsub_kind kind)
{
    /* Acquire: who was told of a subscription on another worker sees it counted. */
    return atomic_load_explicit(&s->counts[kind], memory_order_acquire) > 0;
}

/* --- channels --------------------------------------------------------------------------------- */

static size_t channel_size(const struct channel *ch)
{
    return sizeof(*ch) + ch->name_len + ch->head_len;
}

static struct stripe *stripe_of(struct space *s, uint64_t hash)
{
    return &s->stripes[hash >> 32 & (PUBSUB_STRIPES - 1)];
}

bool pubsub_is_channel(const struct channel *ch, enum pubsub_kind kind, struct slice name,
                       uint64_t hash)
{
    return ch->hash == hash && ch->kind == kind && slice_is(pubsub_name(ch), name);
}

static struct channel **channel_place(struct stripe *st, enum pubsub_kind kind, struct slice name,
                                      uint64_t hash)
{
    struct channel **at = &st->buckets[hash & (st->cap - 1)];

    while (*at != NULL && !pubsub_is_channel(*at, kind, name, hash)) {
        at = &(*at)->next;
    }
    return at;
}

static struct channel *channel_find(struct stripe *st, enum pubsub_kind kind, struct slice name,
                                    uint64_t hash)
{
    return st->cap == 0 ? NULL : *channel_place(st, kind, name, hash);
}

/* Room for one more; a table that cannot grow has longer chains. */
static bool stripe_grow(struct stripe *st)
{
    uint32_t cap = st->cap == 0 ? PUBSUB_BUCKETS_FIRST : st->cap * 2;
    struct channel **buckets;

    if (st->count < st->cap || (buckets = mem_zalloc(cap * sizeof(buckets[0]))) == NULL) {
        return st->cap > 0;
    }
    for (uint32_t i = 0; i < st->cap; i++) {
        struct channel *next;

        for (struct channel *ch = st->buckets[i]; ch != NULL; ch = next) {
            next = ch->next;
            ch->next = buckets[ch->hash & (cap - 1)];
            buckets[ch->hash & (cap - 1)] = ch;
        }
    }
    mem_free(st->buckets, st->cap * sizeof(st->buckets[0]));
    st->buckets = buckets;
    st->cap = cap;
    return true;
}

static struct channel *channel_create(enum pubsub_kind kind, struct slice name, uint64_t hash)
{
    char head[HEAD_MAX] = ">4\r\n$8\r\npmessage\r\n$";
    size_t n = strlen(head);
    struct channel *ch;

    n += buf_put_u64(head + n, name.len);
    memcpy(head + n, "\r\n", 2);
    n += 2;
    size_t head_len = kind == PUBSUB_PATTERN ? n + name.len + 2 : 0;

    ch = mem_zalloc(sizeof(*ch) + name.len + head_len);
    if (ch == NULL) {
        return NULL;
    }
    ch->kind = kind;
    ch->hash = hash;
    ch->name_len = name.len;
    ch->head_len = head_len;
    list_init(&ch->link);
    if (name.len > 0) {
        memcpy(ch->bytes, name.ptr, name.len);
    }
    if (kind == PUBSUB_PATTERN) {
        memcpy(ch->bytes + name.len, head, n);
        memcpy(ch->bytes + name.len + n, ch->bytes, name.len);
        memcpy(ch->bytes + 2 * name.len + n, "\r\n", 2);
    }
    return ch;
}

static struct slice head_of(const struct channel *ch)
{
    return (struct slice){ch->bytes + ch->name_len, ch->head_len};
}

/* --- seats ------------------------------------------------------------------------------------ */

static struct seat *seat_find(const struct channel *ch, const struct conn_set *set)
{
    struct seat *seat = ch->seats;

    while (seat != NULL && seat->set != set) {
        seat = seat->next;
    }
    return seat;
}

static struct seat *seat_create(struct channel *ch, struct conn_set *set)
{
    struct seat *seat = mem_zalloc(sizeof(*seat));

    if (seat != NULL) {
        seat->channel = ch;
        seat->set = set;
        list_init(&seat->subs);
        seat->next = ch->seats;
        ch->seats = seat;
    }
    return seat;
}

static void channel_drop(struct stripe *st, struct channel *ch)
{
    struct space *s = ch->space;

    *channel_place(st, ch->kind, pubsub_name(ch), ch->hash) = ch->next;
    st->count--;
    list_remove(&ch->link);
    atomic_fetch_sub_explicit(&s->counts[ch->kind], 1, memory_order_release);
    atomic_fetch_sub_explicit(&channels_all[ch->kind], 1, memory_order_relaxed);
    mem_free(ch, channel_size(ch));
}

/* The seat of this worker with one listener more; channel and seat are made if need be. */
static struct seat *seat_take(struct space *s, struct conn_set *set, enum pubsub_kind kind,
                              struct slice name, uint64_t hash, uint64_t *arrival)
{
    struct stripe *st = stripe_of(s, hash);
    struct channel *ch = channel_find(st, kind, name, hash);
    bool is_new = ch == NULL;

    if (is_new) {
        if (!stripe_grow(st) || (ch = channel_create(kind, name, hash)) == NULL) {
            return NULL;
        }
    }
    struct seat *seat = seat_find(ch, set);

    if (seat == NULL && (seat = seat_create(ch, set)) == NULL) {
        if (is_new) {
            mem_free(ch, channel_size(ch));
        }
        return NULL;
    }
    if (is_new) {
        ch->space = s;
        *channel_place(st, kind, name, hash) = ch;
        st->count++;
        if (kind == PUBSUB_PATTERN) {
            list_push(&s->patterns, &ch->link);
        }
        atomic_fetch_add_explicit(&s->counts[kind], 1, memory_order_release);
        atomic_fetch_add_explicit(&channels_all[kind], 1, memory_order_relaxed);
    }
    seat->count++;
    *arrival = ++ch->arrivals;
    return seat;
}

/* The last listener left: nobody finds the seat any more. */
static void seat_unlink(struct stripe *st, struct seat *seat)
{
    struct channel *ch = seat->channel;
    struct seat **at = &ch->seats;

    while (*at != seat) {
        at = &(*at)->next;
    }
    *at = seat->next;
    seat->channel = NULL;
    if (ch->seats == NULL) {
        channel_drop(st, ch);
    }
}

UNCHECKED_LOCKS struct seat *pubsub_arrive(struct space *s, struct conn_set *set,
                                           enum pubsub_kind kind, struct slice name, uint64_t hash,
                                           uint64_t *arrival)
{
    struct stripe *st = stripe_of(s, hash);

    lock_write(&st->lock);
    if (kind == PUBSUB_PATTERN) {
        lock_write(&s->patterns_lock);
    }
    struct seat *seat = seat_take(s, set, kind, name, hash, arrival);

    if (kind == PUBSUB_PATTERN) {
        lock_write_end(&s->patterns_lock);
    }
    lock_write_end(&st->lock);
    return seat;
}

UNCHECKED_LOCKS void pubsub_depart(struct seat *seat)
{
    struct space *s = seat->channel->space;
    struct stripe *st = stripe_of(s, seat->channel->hash);
    bool is_pattern = seat->channel->kind == PUBSUB_PATTERN;

    lock_write(&st->lock);
    if (is_pattern) {
        lock_write(&s->patterns_lock);
    }
    if (--seat->count == 0) {
        seat_unlink(st, seat);
        seat->is_gone = true;
    }
    if (is_pattern) {
        lock_write_end(&s->patterns_lock);
    }
    lock_write_end(&st->lock);
    /* Relaxed: it is raised under the locks only, and nobody comes to a seat that is gone. */
    if (seat->is_gone && atomic_load_explicit(&seat->under_way, memory_order_relaxed) == 0) {
        mem_free(seat, sizeof(*seat));
    }
}

/* --- publishing ------------------------------------------------------------------------------- */

static size_t put_bulk_head(char *out, size_t len)
{
    size_t n = 1;

    out[0] = '$';
    n += buf_put_u64(out + n, len);
    out[n++] = '\r';
    out[n++] = '\n';
    return n;
}

static char *put_bulk(char *at, struct slice s)
{
    at += put_bulk_head(at, s.len);
    if (s.len > 0) {
        memcpy(at, s.ptr, s.len);
    }
    at += s.len;
    memcpy(at, "\r\n", 2);
    return at + 2;
}

static struct message *message_create(enum pubsub_kind kind, struct slice channel,
                                      struct slice text, uint64_t position)
{
    struct slice head =
        kind == PUBSUB_SHARD ? SLICE(">3\r\n$8\r\nsmessage\r\n") : SLICE(">3\r\n$7\r\nmessage\r\n");
    char digits[BUF_I64_MAX + 4];
    size_t len = head.len + channel.len + text.len + 4 + put_bulk_head(digits, channel.len) +
                 put_bulk_head(digits, text.len);
    struct message *m = mem_alloc(sizeof(*m) + len);

    if (m != NULL) {
        atomic_init(&m->refs, 0);
        m->head_len = head.len;
        m->len = len;
        m->position = position;
        memcpy(m->bytes, head.ptr, head.len);
        char *end = put_bulk(put_bulk(m->bytes + head.len, channel), text);

        assert(end == m->bytes + len);
    }
    return m;
}

static void message_put(struct message *m)
{
    /* Acquire and release: what others read of it is read before the last one frees it. */
    if (m != NULL && atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(m, sizeof(*m) + m->len);
    }
}

/* Who gets a message. */
struct round {
    struct hand *hands; /* one a worker */
    uint64_t receivers;
    uint32_t workers;
    bool must;   /* nothing may fail any more: what cannot be carried closes who was to get it */
    bool failed; /* else: nobody gets it */
};

static void on_lost(struct inbox_msg *msg);

/* P4 where there is no memory to say so: by what the seat has with it. */
static void seat_lose(struct seat *seat)
{
    uint64_t to = seat->channel->arrivals;
    uint64_t was = atomic_load_explicit(&seat->lost_arrivals, memory_order_relaxed);

    while (was < to &&
           !atomic_compare_exchange_weak_explicit(&seat->lost_arrivals, &was, to,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    /* Acquire and release: pairs with on_lost(), which reads lost_arrivals behind its own exchange. */
    if (!atomic_exchange_explicit(&seat->is_lost, true, memory_order_acq_rel)) {
        atomic_fetch_add_explicit(&seat->under_way, 1, memory_order_relaxed);
        seat->lost.fn = on_lost;
        worker_post(seat->set->worker, &seat->lost);
    }
}

/* Under the lock by which the seat was found. */
static void round_add(struct round *r, struct seat *seat)
{
    struct hand *h = r->failed ? NULL : mem_zalloc(sizeof(*h));
    struct hand *first = r->hands;

    if (h == NULL) {
        r->failed = !r->must;
        if (r->must) {
            r->receivers += seat->count;
            seat_lose(seat);
        }
        return;
    }
    h->seat = seat;
    h->arrivals = seat->channel->arrivals;
    h->last = h;
    atomic_fetch_add_explicit(&seat->under_way, 1, memory_order_relaxed);
    r->receivers += seat->count;
    while (first != NULL && first->seat->set != seat->set) {
        first = first->next_worker;
    }
    if (first != NULL) {
        first->last->same = h;
        first->last = h;
    } else {
        h->next_worker = r->hands;
        r->hands = h;
        r->workers++;
    }
}

static void round_add_channel(struct round *r, const struct channel *ch)
{
    for (struct seat *seat = ch == NULL ? NULL : ch->seats; seat != NULL; seat = seat->next) {
        round_add(r, seat);
    }
}

static void round_add_patterns(struct round *r, struct space *s, struct slice channel)
{
    lock_read(&s->patterns_lock);
    for (struct list *n = s->patterns.next; n != &s->patterns; n = n->next) {
        const struct channel *ch = LIST_ITEM(n, struct channel, link);

        if (glob_match(pubsub_name(ch), channel, false)) {
            round_add_channel(r, ch);
        }
    }
    lock_read_end(&s->patterns_lock);
}

static void deliver(struct inbox_msg *msg);

static void post_all(struct round *r, struct message *m)
{
    struct hand *next;

    if (m != NULL) {
        /* Relaxed: the post below releases it. */
        atomic_store_explicit(&m->refs, r->workers, memory_order_relaxed);
    }
    for (struct hand *h = r->hands; h != NULL; h = next) {
        struct conn_set *set = h->seat->set;
        size_t len = m == NULL ? 0 : m->len;

        next = h->next_worker;
        h->msg.fn = deliver;
        h->message = m;
        h->is_void = r->failed;
        if (atomic_fetch_add_explicit(&set->push_backlog, len, memory_order_relaxed) + len >
            LIMIT_PUSH_BACKLOG) {
            atomic_fetch_sub_explicit(&set->push_backlog, len, memory_order_relaxed);
            h->message = NULL;
            message_put(m);
        }
        worker_post(set->worker, &h->msg);
    }
}

static void round_begin(struct round *r, struct space *s, struct stripe *st, enum pubsub_kind kind,
                        struct slice channel, uint64_t hash)
{
    round_add_channel(r, channel_find(st, kind, channel, hash));
    if (kind == PUBSUB_CHANNEL && has_any(s, PUBSUB_PATTERN)) {
        round_add_patterns(r, s, channel);
    }
}

/* The receivers, or, unless it must, ERR_NOMEM. */
static int64_t send_all(const struct database *db, enum pubsub_kind kind, struct slice channel,
                        struct slice text, uint64_t position, bool must)
{
    struct space *s = space_find(db);
    struct round r = {.must = must};

    metric_add(&metric_pubsub_published_total, 1);
    if (s == NULL ||
        (!has_any(s, kind) && (kind != PUBSUB_CHANNEL || !has_any(s, PUBSUB_PATTERN)))) {
        return 0;
    }
    uint64_t hash = pubsub_hash(kind, channel);
    struct stripe *st = stripe_of(s, hash);

    lock_write(&st->lock);
    round_begin(&r, s, st, kind, channel, hash);
    if (r.hands != NULL) {
        struct message *m = r.failed ? NULL : message_create(kind, channel, text, position);

        r.failed = m == NULL && !must;
        post_all(&r, m); /* P1: under the lock */
    }
    lock_write_end(&st->lock);
    if (r.failed) {
        log_error("pubsub: no memory for a message, its publisher is told");
        return ERR_NOMEM;
    }
    return (int64_t)r.receivers;
}

int64_t pubsub_publish(const struct database *db, enum pubsub_kind kind, struct slice channel,
                       struct slice message, uint64_t position)
{
    return send_all(db, kind, channel, message, position, false);
}

void pubsub_announce(const struct database *db, enum pubsub_kind kind, struct slice channel,
                     struct slice message, uint64_t position)
{
    (void)send_all(db, kind, channel, message, position, true);
}

/* --- delivery, on the listeners' worker ------------------------------------------------------- */

static void push_to(const struct hand *h, struct conn *c)
{
    const struct message *m = h->message;

    if (h->seat->channel->kind == PUBSUB_PATTERN) {
        conn_push(c, head_of(h->seat->channel),
                  (struct slice){m->bytes + m->head_len, m->len - m->head_len}, m->position);
    } else {
        conn_push(c, (struct slice){m->bytes, m->len}, (struct slice){NULL, 0}, m->position);
    }
}

/* P4 */
static void close_behind(struct conn *c)
{
    log_error("pubsub: closed, a message could not be carried to it\tid=%lu",
              (unsigned long)c->session.id);
    metric_add(&metric_pubsub_lost_total, 1);
    conn_count(&c->set->count.output_limit, 1);
    conn_close(c, "pub/sub fell behind");
}

/* h NULL: those who came up to `arrivals` are closed. */
static void deliver_each(struct seat *seat, const struct hand *h, uint64_t arrivals)
{
    struct list *n = seat->subs.next;
    uint64_t count = 0;

    while (n != &seat->subs) {
        struct sub *sub = LIST_ITEM(n, struct sub, link);

        n = n->next; /* a push may close its connection, which leaves */
        if (n != &seat->subs) {
            __builtin_prefetch(&LIST_ITEM(n, struct sub, link)->conn->reply);
        }
        if (sub->arrival > arrivals) {
            continue;
        }
        if (h == NULL) {
            close_behind(sub->conn);
        } else {
            push_to(h, sub->conn);
            count++;
        }
    }
    metric_add(&metric_pubsub_delivered_total, (int64_t)count);
}

static void seat_arrived(struct seat *seat)
{
    if (atomic_fetch_sub_explicit(&seat->under_way, 1, memory_order_relaxed) == 1 &&
        seat->is_gone) {
        mem_free(seat, sizeof(*seat));
    }
}

static void on_lost(struct inbox_msg *msg)
{
    struct seat *seat = LIST_ITEM(msg, struct seat, lost);

    /* Acquire and release: what is lost from now on is posted anew. */
    (void)atomic_exchange_explicit(&seat->is_lost, false, memory_order_acq_rel);
    deliver_each(seat, NULL, atomic_load_explicit(&seat->lost_arrivals, memory_order_relaxed));
    seat_arrived(seat);
}

static void deliver(struct inbox_msg *msg)
{
    struct hand *h = LIST_ITEM(msg, struct hand, msg);
    struct conn_set *set = h->seat->set;
    struct message *m = h->message;
    struct hand *next;

    if (m != NULL) {
        atomic_fetch_sub_explicit(&set->push_backlog, m->len, memory_order_relaxed);
    }
    bool is_void = h->is_void;

    for (; h != NULL; h = next) {
        next = h->same;
        h->message = m;
        if (!is_void) {
            deliver_each(h->seat, m == NULL ? NULL : h, h->arrivals);
        }
        seat_arrived(h->seat);
        mem_free(h, sizeof(*h));
    }
    message_put(m);
}

/* --- who is there ----------------------------------------------------------------------------- */

static uint64_t listeners(const struct channel *ch)
{
    uint64_t n = 0;

    for (const struct seat *seat = ch == NULL ? NULL : ch->seats; seat != NULL; seat = seat->next) {
        n += seat->count;
    }
    return n;
}

uint64_t pubsub_receivers(const struct database *db, enum pubsub_kind kind, struct slice channel,
                          bool with_patterns)
{
    struct space *s = space_find(db);
    uint64_t n;

    if (s == NULL) {
        return 0;
    }
    uint64_t hash = pubsub_hash(kind, channel);
    struct stripe *st = stripe_of(s, hash);

    lock_write(&st->lock);
    n = listeners(channel_find(st, kind, channel, hash));
    lock_write_end(&st->lock);
    if (with_patterns && has_any(s, PUBSUB_PATTERN)) {
        lock_read(&s->patterns_lock);
        for (struct list *p = s->patterns.next; p != &s->patterns; p = p->next) {
            const struct channel *ch = LIST_ITEM(p, struct channel, link);

            n += glob_match(pubsub_name(ch), channel, false) ? listeners(ch) : 0;
        }
        lock_read_end(&s->patterns_lock);
    }
    return n;
}

uint64_t pubsub_count(const struct database *db, enum pubsub_kind kind)
{
    struct space *s = space_find(db);

    return s == NULL ? 0 : atomic_load_explicit(&s->counts[kind], memory_order_relaxed);
}

bool pubsub_walk(const struct database *db, enum pubsub_kind kind, uint32_t stripe,
                 void (*fn)(void *arg, struct slice name), void *arg)
{
    struct space *s = space_find(db);

    if (s == NULL || stripe >= PUBSUB_STRIPES) {
        return false;
    }
    struct stripe *st = &s->stripes[stripe];

    lock_write(&st->lock);
    for (uint32_t i = 0; i < st->cap; i++) {
        for (const struct channel *ch = st->buckets[i]; ch != NULL; ch = ch->next) {
            if (ch->kind == kind) {
                fn(arg, pubsub_name(ch));
            }
        }
    }
    lock_write_end(&st->lock);
    return true;
}

static void ask_word(struct metric_out *out, void *arg)
{
    metric_sample(out, "",
                  (double)atomic_load_explicit((_Atomic uint64_t *)arg, memory_order_relaxed));
}

void pubsub_metrics_use(void)
{
    metric_ask(&metric_pubsub_channels, ask_word, &channels_all[PUBSUB_CHANNEL]);
    metric_ask(&metric_pubsub_patterns, ask_word, &channels_all[PUBSUB_PATTERN]);
    metric_ask(&metric_pubsub_subscriptions, ask_word, &pubsub_subscriptions_all);
}
