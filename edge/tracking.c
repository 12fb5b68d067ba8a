/* tracking.c - see tracking.h: who is told of what. What a tracker is, tracking_parts.h says. */
#include "edge/tracking_parts.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/conn.h"
#include "edge/options.h"

enum { STRIPES = 64, BUCKETS_FIRST = 16, SOME_KEYS = 64, DROPS = 2 };

/* Who read a key. */
struct watched {
    struct watched *next;
    const struct database *db;
    uint64_t hash;
    struct tracker **trackers; /* owned, each counted */
    uint32_t count, cap;
    size_t key_len;
    char key[];
};

static struct stripe {
    struct lock lock;
    uint32_t cap, count, hand;
    struct watched **buckets;
} stripes[STRIPES];

_Atomic uint32_t tracking_clients;
static _Atomic uint64_t keys_all, items_all, prefixes_all;
static _Atomic uint32_t bcast_clients;
static struct lock all_lock;
static struct list all_trackers = {&all_trackers, &all_trackers};

/* --- counted things --------------------------------------------------------------------------- */

struct conn_handle *conn_handle_of(struct conn *c)
{
    if (c->handle == NULL) {
        struct conn_handle *h = mem_zalloc(sizeof(*h));

        if (h == NULL) {
            return NULL;
        }
        atomic_init(&h->refs, 1);
        h->set = c->set;
        h->id = c->session.id;
        h->conn = c;
        c->handle = h;
    }
    atomic_fetch_add_explicit(&c->handle->refs, 1, memory_order_relaxed);
    return c->handle;
}

static void handle_put(struct conn_handle *h)
{
    /* Acquire and release: the last one frees what all others have let go. */
    if (h != NULL && atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(h, sizeof(*h));
    }
}

static struct tracker *tracker_get(struct tracker *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tracker_put(struct tracker *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < t->prefix_count; i++) {
        mem_free(t->prefixes[i].bytes, t->prefixes[i].len + 1);
    }
    mem_free(t->prefixes, t->prefix_room * sizeof(t->prefixes[0]));
    handle_put(t->self);
    handle_put(t->to);
    mem_free(t, sizeof(*t));
}

/* --- telling ---------------------------------------------------------------------------------- */

static struct conn_handle *told_of(const struct tracker *t)
{
    return t->to != NULL ? t->to : t->self;
}

struct notice {
    struct inbox_msg msg;
    struct tracker *tracker; /* counted */
    uint64_t position;
    bool is_flush;
    size_t len; /* of bytes: the keys, as they are sent */
    char bytes[];
};

static void notice_free(struct notice *n)
{
    tracker_put(n->tracker);
    mem_free(n, sizeof(*n) + n->len);
}

/* On the tracking client's worker: who was to be told instead is gone. */
static void push_broken(struct tracker *t)
{
    struct conn *c = t->self->conn;
    char text[64];

    t->is_broken = true;
    if (c != NULL && c->tracker == t && c->protocol == 3) {
        struct buf b = {text, 0, sizeof(text)};

        (void)!buf_append_str(&b, ">2\r\n$21\r\ntracking-redir-broken\r\n:");
        b.len += buf_put_u64(b.ptr + b.len, t->to->id);
        buf_append_nofail(&b, "\r\n", 2);
        conn_push(c, buf_slice(&b), (struct slice){NULL, 0}, 0);
    }
}

/* On the worker of who is told; no keys: all. False: that one is gone, and the tracking client is to know. */
static bool push_notice(const struct tracker *t, const struct slice *keys, uint64_t position)
{
    struct conn *c = told_of(t)->conn;

    assert(worker_self() == told_of(t)->set->worker);
    if (!atomic_load_explicit(&t->is_on, memory_order_relaxed)) {
        return true;
    }
    if (c == NULL && t->to != NULL) {
        return false;
    }
    if (c != NULL && c->protocol == 3) {
        conn_push(c, SLICE(">2\r\n$10\r\ninvalidate\r\n"), keys == NULL ? SLICE("_\r\n") : *keys,
                  position);
    } else if (c != NULL && t->to != NULL && c->subs != NULL) {
        conn_push(c, SLICE("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"),
                  keys == NULL ? SLICE("*-1\r\n") : *keys, position);
    }
    return true;
}

static void on_broken(struct inbox_msg *m)
{
    struct notice *n = LIST_ITEM(m, struct notice, msg);

    push_broken(n->tracker);
    notice_free(n);
}

static void on_notice(struct inbox_msg *m)
{
    struct notice *n = LIST_ITEM(m, struct notice, msg);
    struct slice keys = {n->bytes, n->len};

    if (push_notice(n->tracker, n->is_flush ? NULL : &keys, n->position)) {
        notice_free(n);
    } else {
        n->msg.fn = on_broken;
        worker_post(n->tracker->self->set->worker, &n->msg);
    }
}

static void on_lost_broken(struct inbox_msg *m)
{
    struct tracker *t = LIST_ITEM(m, struct tracker, lost);

    push_broken(t);
    atomic_store_explicit(&t->is_lost, false, memory_order_release);
    tracker_put(t);
}

static void on_lost(struct inbox_msg *m)
{
    struct tracker *t = LIST_ITEM(m, struct tracker, lost);
    const struct conn_handle *told = told_of(t);

    if (t->to != NULL && told->conn == NULL) {
        t->lost.fn = on_lost_broken;
        worker_post(t->self->set->worker, &t->lost);
        return;
    }
    /* Acquire and release: what lost_position says is read behind it, or posted anew. */
    (void)atomic_exchange_explicit(&t->is_lost, false, memory_order_acq_rel);
    (void)push_notice(t, NULL, atomic_load_explicit(&t->lost_position, memory_order_relaxed));
    tracker_put(t);
}

/* T5: of which key there is no room to say. */
static void tell_lost(struct tracker *t, uint64_t position)
{
    uint64_t was = atomic_load_explicit(&t->lost_position, memory_order_relaxed);

    log_warn("tracking: no memory to name a key, all are invalidated\tid=%lu",
             (unsigned long)t->self->id);
    while (was < position &&
           !atomic_compare_exchange_weak_explicit(&t->lost_position, &was, position,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    if (!atomic_exchange_explicit(&t->is_lost, true, memory_order_acq_rel)) {
        t->lost.fn = on_lost;
        worker_post(told_of(t)->set->worker, &tracker_get(t)->lost);
    }
}

/* key NULL: all of them. */
static void tell(struct tracker *t, const struct slice *key, uint64_t position)
{
    char head[BUF_I64_MAX + 8] = "*1\r\n$";
    size_t head_len = 5;
    struct notice *n;

    if (!atomic_load_explicit(&t->is_on, memory_order_relaxed)) {
        return;
    }
    head_len += buf_put_u64(head + head_len, key == NULL ? 0 : key->len);
    memcpy(head + head_len, "\r\n", 2);
    head_len += 2;
    size_t len = key == NULL ? 0 : head_len + key->len + 2;

    n = mem_zalloc(sizeof(*n) + len);
    if (n == NULL) {
        tell_lost(t, position);
        return;
    }
    n->tracker = tracker_get(t);
    n->position = position;
    n->is_flush = key == NULL;
    n->msg.fn = on_notice;
    n->len = len;
    if (key != NULL) {
        memcpy(n->bytes, head, head_len);
        memcpy(n->bytes + head_len, key->ptr, key->len);
        memcpy(n->bytes + head_len + key->len, "\r\n", 2);
    }
    worker_post(told_of(t)->set->worker, &n->msg);
}

/* --- the table -------------------------------------------------------------------------------- */

static struct watched **place(struct stripe *st, const struct database *db, struct slice key,
                              uint64_t hash)
{
    struct watched **at = &st->buckets[hash & (st->cap - 1)];

    while (*at != NULL && ((*at)->hash != hash || (*at)->db != db ||
                           !slice_is((struct slice){(*at)->key, (*at)->key_len}, key))) {
        at = &(*at)->next;
    }
    return at;
}

static bool stripe_grow(struct stripe *st)
{
    uint32_t cap = st->cap == 0 ? BUCKETS_FIRST : st->cap * 2;
    struct watched **buckets;

    if (st->count < st->cap || (buckets = mem_zalloc(cap * sizeof(struct watched *))) == NULL) {
        return st->cap > 0;
    }
    for (uint32_t i = 0; i < st->cap; i++) {
        struct watched *next;

        for (struct watched *w = st->buckets[i]; w != NULL; w = next) {
            next = w->next;
            w->next = buckets[w->hash & (cap - 1)];
            buckets[w->hash & (cap - 1)] = w;
        }
    }
    mem_free(st->buckets, st->cap * sizeof(struct watched *));
    st->buckets = buckets;
    st->cap = cap;
    return true;
}

/* Takes it out and tells everybody but `by`, if that one wants no echo. */
static void take_out(struct stripe *st, struct watched **at, uint64_t by, uint64_t position)
{
    struct watched *w = *at;
    struct slice key = {w->key, w->key_len};

    *at = w->next;
    st->count--;
    atomic_fetch_sub_explicit(&keys_all, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&items_all, w->count, memory_order_relaxed);
    for (uint32_t i = 0; i < w->count; i++) {
        struct tracker *t = w->trackers[i];

        if (!t->is_noloop || t->self->id != by) {
            tell(t, &key, position);
        }
        tracker_put(t);
    }
    mem_free(w->trackers, w->cap * sizeof(w->trackers[0]));
    mem_free(w, sizeof(*w) + w->key_len);
}

/* T3: keys at the hand go, but not the one that was just put in. */
static void bound(struct stripe *st, const struct watched *but)
{
    uint64_t max = conf_u64(&opt_tracking_table_max_keys);
    int drops = 0;

    if (max == 0) {
        return;
    }
    for (uint32_t n = 0; n < st->cap && drops < DROPS; n++) {
        struct watched **at = &st->buckets[st->hand++ & (st->cap - 1)];

        while (*at != NULL && drops < DROPS &&
               atomic_load_explicit(&keys_all, memory_order_relaxed) > max) {
            if (*at == but) {
                at = &(*at)->next;
            } else {
                take_out(st, at, 0, 0);
                drops++;
            }
        }
        if (atomic_load_explicit(&keys_all, memory_order_relaxed) <= max) {
            return;
        }
    }
}

static struct watched *watched_create(const struct database *db, struct slice key, uint64_t hash)
{
    struct watched *w = mem_zalloc(sizeof(*w) + key.len);

    if (w != NULL) {
        w->db = db;
        w->hash = hash;
        w->key_len = key.len;
        memcpy(w->key, key.ptr, key.len);
    }
    return w;
}

static bool add_tracker(struct watched *w, struct tracker *t)
{
    for (uint32_t i = w->count; i-- > 0;) {
        if (w->trackers[i] == t) {
            return true;
        }
    }
    if (w->count == w->cap) {
        uint32_t cap = w->cap == 0 ? 2 : w->cap * 2;
        struct tracker **v = mem_realloc(w->trackers, w->cap * sizeof(v[0]), cap * sizeof(v[0]));

        if (v == NULL) {
            return false;
        }
        w->trackers = v;
        w->cap = cap;
    }
    w->trackers[w->count++] = tracker_get(t);
    atomic_fetch_add_explicit(&items_all, 1, memory_order_relaxed);
    return true;
}

static bool register_key(struct tracker *t, struct slice key)
{
    uint64_t hash = hash_key(key);
    struct stripe *st = &stripes[hash >> 32 & (STRIPES - 1)];
    bool done = false;

    lock_write(&st->lock);
    if (stripe_grow(st)) {
        struct watched **at = place(st, t->db, key, hash);

        if (*at == NULL && (*at = watched_create(t->db, key, hash)) != NULL) {
            st->count++;
            atomic_fetch_add_explicit(&keys_all, 1, memory_order_relaxed);
        }
        struct watched *w = *at;

        done = w != NULL && add_tracker(w, t);
        if (done) {
            bound(st, w);
        } else if (w != NULL && w->count == 0) {
            take_out(st, place(st, t->db, key, hash), 0, 0);
        }
    }
    lock_write_end(&st->lock);
    return done;
}

/* Whether the client is told of the keys that the command reads. */
static bool wants(const struct tracker *t, const struct request *q)
{
    return (q->def->flags & CMD_READ) != 0 && (q->def->flags & CMD_WRITE) == 0 &&
           (!t->is_optin || t->is_caching) && (!t->is_optout || !t->is_caching);
}

/* Which of a command's arguments are keys. */
struct keys {
    uint32_t some[SOME_KEYS];
    uint32_t *at;
    int count;
};

static bool keys_find(struct keys *k, const struct request *q)
{
    k->at = k->some;
    k->count = cmd_key_indexes(q->def, q->argv, q->argc, k->some, SOME_KEYS);
    if (k->count > SOME_KEYS) {
        k->at = mem_alloc((size_t)k->count * sizeof(k->at[0]));
        if (k->at == NULL) {
            return false;
        }
        (void)cmd_key_indexes(q->def, q->argv, q->argc, k->at, (uint32_t)k->count);
    }
    return true;
}

static void keys_fini(struct keys *k)
{
    if (k->at != k->some) {
        mem_free(k->at, (size_t)k->count * sizeof(k->at[0]));
    }
}

void tracking_read(struct session *s, const struct request *q)
{
    struct conn *c = conn_of(s);
    struct tracker *t = c->tracker;
    struct keys k;

    if (t->is_bcast || !wants(t, q)) {
        return;
    }
    if (!keys_find(&k, q)) {
        c->reply.failed = true; /* T4 */
        return;
    }
    for (int i = 0; i < k.count; i++) {
        if (!register_key(t, q->argv[k.at[i]])) {
            tell(t, &q->argv[k.at[i]], 0); /* what it is about to read is not to be kept */
        }
    }
    keys_fini(&k);
}

static bool is_registered(const struct tracker *t, struct slice key)
{
    uint64_t hash = hash_key(key);
    struct stripe *st = &stripes[hash >> 32 & (STRIPES - 1)];
    bool found = false;

    lock_write(&st->lock);
    const struct watched *w = st->cap == 0 ? NULL : *place(st, t->db, key, hash);

    for (uint32_t i = 0; w != NULL && i < w->count && !found; i++) {
        found = w->trackers[i] == t;
    }
    lock_write_end(&st->lock);
    return found;
}

static bool begins(struct slice key, const struct tracker *t)
{
    for (uint32_t i = 0; i < t->prefix_count; i++) {
        const struct prefix *p = &t->prefixes[i];

        if (p->len <= key.len && memcmp(p->bytes, key.ptr, p->len) == 0) {
            return true;
        }
    }
    return t->prefix_count == 0;
}

/* T2: an invalidation of what the command had read already went out before its reply. */
static void tell_again(struct conn *c, const struct request *q)
{
    const struct tracker *t = c->tracker;
    struct keys k;

    if (!keys_find(&k, q)) {
        c->reply.failed = true;
        return;
    }
    for (int i = 0; i < k.count; i++) {
        struct slice key = q->argv[k.at[i]];

        if (t->is_bcast ? begins(key, t) : !is_registered(t, key)) {
            tell(c->tracker, &key, 0);
        }
    }
    keys_fini(&k);
}

void tracking_has_read(struct session *s, const struct request *q, bool in_turns)
{
    struct conn *c = conn_of(s);

    if (in_turns && wants(c->tracker, q)) {
        tell_again(c, q);
    }
    c->tracker->is_caching = false;
}

void tracking_passed(struct conn *c, const struct cmd_def *def)
{
    const struct cmd_def *head = def != NULL && def->parent != NULL ? def->parent : def;
    bool keeps = c->multi != NULL || (head != NULL && strcmp(head->name, "CLIENT") == 0);

    if (c->tracker != NULL && !keeps) {
        c->tracker->is_caching = false;
    }
}

void tracking_changed(const struct database *db, struct slice key, uint64_t by, uint64_t position)
{
    uint64_t hash = hash_key(key);
    struct stripe *st = &stripes[hash >> 32 & (STRIPES - 1)];

    lock_write(&st->lock);
    struct watched **at = st->cap == 0 ? NULL : place(st, db, key, hash);

    if (at != NULL && *at != NULL) {
        take_out(st, at, by, position);
    }
    lock_write_end(&st->lock);
    if (atomic_load_explicit(&bcast_clients, memory_order_relaxed) == 0) {
        return;
    }
    lock_read(&all_lock);
    for (struct list *n = all_trackers.next; n != &all_trackers; n = n->next) {
        struct tracker *t = LIST_ITEM(n, struct tracker, link);

        if (t->is_bcast && t->db == db && (!t->is_noloop || t->self->id != by) && begins(key, t)) {
            tell(t, &key, position);
        }
    }
    lock_read_end(&all_lock);
}

void tracking_flushed(const struct database *db, uint64_t position)
{
    lock_read(&all_lock);
    for (struct list *n = all_trackers.next; n != &all_trackers; n = n->next) {
        struct tracker *t = LIST_ITEM(n, struct tracker, link);

        if (t->db == db) {
            tell(t, NULL, position);
        }
    }
    lock_read_end(&all_lock);
}

/* --- on and off ------------------------------------------------------------------------------- */

void tracking_stop(struct conn *c)
{
    struct tracker *t = c->tracker;

    if (t == NULL) {
        return;
    }
    atomic_store_explicit(&t->is_on, false, memory_order_relaxed);
    lock_write(&all_lock);
    list_remove(&t->link);
    lock_write_end(&all_lock);
    atomic_fetch_sub_explicit(&tracking_clients, 1, memory_order_relaxed);
    if (t->is_bcast) {
        atomic_fetch_sub_explicit(&bcast_clients, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&prefixes_all, t->prefix_count == 0 ? 1 : t->prefix_count,
                                  memory_order_relaxed);
    }
    c->tracker = NULL;
    c->session.is_tracking = false;
    tracker_put(t);
}

void tracking_close(struct conn *c)
{
    tracking_stop(c);
    if (c->handle != NULL) {
        c->handle->conn = NULL;
        handle_put(c->handle);
        c->handle = NULL;
    }
}

void tracker_begin(struct conn *c, struct tracker *t)
{
    tracking_stop(c);
    c->tracker = tracker_get(t);
    c->session.is_tracking = true;
    lock_write(&all_lock);
    list_push(&all_trackers, &t->link);
    lock_write_end(&all_lock);
    atomic_fetch_add_explicit(&tracking_clients, 1, memory_order_relaxed);
    if (t->is_bcast) {
        atomic_fetch_add_explicit(&bcast_clients, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&prefixes_all, t->prefix_count == 0 ? 1 : t->prefix_count,
                                  memory_order_relaxed);
    }
}

struct tracking_stats tracking_stats_sum(void)
{
    return (struct tracking_stats){
        .clients = atomic_load_explicit(&tracking_clients, memory_order_relaxed),
        .keys = atomic_load_explicit(&keys_all, memory_order_relaxed),
        .items = atomic_load_explicit(&items_all, memory_order_relaxed),
        .prefixes = atomic_load_explicit(&prefixes_all, memory_order_relaxed)};
}
