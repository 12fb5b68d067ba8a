/* tracking.c - see tracking.h.
 *
 * A *handle* stands for a connection wherever it is asked for: its worker fills and clears `conn`. A
 * *tracker* is one CLIENT TRACKING ON: what is registered points to it, and it outlives its connection
 * as long as something does.
 */
#include "edge/tracking.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "edge/client.h"
#include "edge/conn.h"
#include "edge/options.h"

enum { STRIPES = 64, BUCKETS_FIRST = 16, SOME_KEYS = 64, DROPS = 2 };

struct conn_handle {
    _Atomic uint32_t refs;
    struct conn_set *set;
    uint64_t id;
    struct conn *conn; /* its worker's; NULL once it is gone */
};

struct prefix {
    size_t len;
    char *bytes; /* owned */
};

struct tracker {
    _Atomic uint32_t refs;
    _Atomic bool is_on;
    struct list link; /* of all_trackers */
    const struct database *db;
    struct conn_handle *self;
    struct conn_handle *to; /* NULL: itself */
    bool is_bcast, is_optin, is_optout, is_noloop;
    bool is_caching, is_broken; /* self's worker's */
    uint32_t prefix_count, prefix_room;
    struct prefix *prefixes; /* owned; none of a bcast one: all keys */
};

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

static struct conn_handle *handle_of(struct conn *c)
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

static void tracker_put(struct tracker *t)
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
static void on_broken(struct inbox_msg *m)
{
    struct notice *n = LIST_ITEM(m, struct notice, msg);
    struct conn *c = n->tracker->self->conn;
    char text[64];

    n->tracker->is_broken = true;
    if (c != NULL && c->tracker == n->tracker && c->protocol == 3) {
        struct buf b = {text, 0, sizeof(text)};

        (void)!buf_append_str(&b, ">2\r\n$21\r\ntracking-redir-broken\r\n:");
        b.len += buf_put_u64(b.ptr + b.len, n->tracker->to->id);
        buf_append_nofail(&b, "\r\n", 2);
        conn_push(c, buf_slice(&b), (struct slice){NULL, 0}, 0);
    }
    notice_free(n);
}

/* On the worker of who is told. */
static void on_notice(struct inbox_msg *m)
{
    struct notice *n = LIST_ITEM(m, struct notice, msg);
    struct tracker *t = n->tracker;
    struct conn *c = (t->to != NULL ? t->to : t->self)->conn;
    struct slice keys = {n->bytes, n->len};

    if (!atomic_load_explicit(&t->is_on, memory_order_relaxed)) {
        notice_free(n);
        return;
    }
    if (c == NULL && t->to != NULL) {
        n->msg.fn = on_broken;
        worker_post(t->self->set->worker, &n->msg);
        return;
    }
    if (c != NULL && c->protocol == 3) {
        conn_push(c, SLICE(">2\r\n$10\r\ninvalidate\r\n"), n->is_flush ? SLICE("_\r\n") : keys,
                  n->position);
    } else if (c != NULL && t->to != NULL && c->subs != NULL) {
        conn_push(c, SLICE("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"),
                  n->is_flush ? SLICE("*-1\r\n") : keys, n->position);
    }
    notice_free(n);
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
        log_error("tracking: an invalidation is lost, no memory\tid=%lu",
                  (unsigned long)t->self->id);
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
    worker_post((t->to != NULL ? t->to : t->self)->set->worker, &n->msg);
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
        if (w != NULL) {
            bound(st, w);
        }
    }
    lock_write_end(&st->lock);
    return done;
}

void tracking_read(struct session *s, const struct request *q)
{
    struct conn *c = conn_of(s);
    struct tracker *t = c->tracker;
    uint32_t some[SOME_KEYS];
    uint32_t *at = some;
    int n;

    if (t->is_bcast || (t->is_optin && !t->is_caching) || (t->is_optout && t->is_caching) ||
        (q->def->flags & CMD_READ) == 0 || (q->def->flags & CMD_WRITE) != 0) {
        t->is_caching = false;
        return;
    }
    t->is_caching = false;
    n = cmd_key_indexes(q->def, q->argv, q->argc, some, SOME_KEYS);
    if (n > SOME_KEYS) {
        at = mem_alloc((size_t)n * sizeof(at[0]));
        n = at == NULL ? 0 : cmd_key_indexes(q->def, q->argv, q->argc, at, (uint32_t)n);
        if (at == NULL) {
            conn_close(c, "no memory for its tracked keys"); /* T4 */
            return;
        }
    }
    for (int i = 0; i < n; i++) {
        if (!register_key(t, q->argv[at[i]])) {
            tell(t, &q->argv[at[i]], 0); /* what it is about to read is not to be kept */
        }
    }
    if (at != some) {
        mem_free(at, (size_t)n * sizeof(at[0]));
    }
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

/* CLIENT TRACKING ON on its way over the workers, which it has to have visited (tracking.h). */
struct beginning {
    struct client_round round;
    struct tracker *tracker;
    uint64_t to; /* 0: itself */
};

static void visit(struct client_round *r, struct conn_set *set)
{
    struct beginning *b = LIST_ITEM(r, struct beginning, round);
    struct conn *c = b->to == 0 || b->tracker->to != NULL ? NULL : client_find(set, b->to);

    if (c != NULL) {
        b->tracker->to = handle_of(c);
    }
}

static void begin(struct conn *c, struct tracker *t)
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

static void done(struct client_round *r, struct conn *c)
{
    struct beginning *b = LIST_ITEM(r, struct beginning, round);

    if (c != NULL) {
        size_t from = conn_answer_begin(c);

        if (b->to != 0 && b->tracker->to == NULL) {
            reply_errf(&c->reply, "ERR The client ID you want redirect to does not exist");
        } else {
            begin(c, b->tracker);
            reply_ok(&c->reply);
        }
        conn_answer_end(c, from);
    }
    atomic_fetch_sub_explicit(&tracking_clients, 1, memory_order_relaxed); /* the round's own */
    tracker_put(b->tracker);
    mem_free(b, sizeof(*b));
}

/* --- CLIENT TRACKING -------------------------------------------------------------------------- */

struct options {
    bool on, bcast, optin, optout, noloop, has_redirect;
    int64_t redirect;
    uint32_t prefix_count;
};

/* False: the reply is written. */
static bool parse(struct cmd *c, struct options *o)
{
    o->on = slice_is_word(c->argv[2], "on");
    if (!o->on && !slice_is_word(c->argv[2], "off")) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    for (uint32_t i = 3; i < c->argc; i++) {
        bool more = i + 1 < c->argc;

        if (slice_is_word(c->argv[i], "redirect") && more) {
            if (o->has_redirect) {
                reply_errf(c->reply, "ERR A client can only redirect to a single other client");
                return false;
            }
            if (!parse_i64(c->argv[++i], &o->redirect)) {
                reply_err(c->reply, WIRE_NOT_INTEGER);
                return false;
            }
            o->has_redirect = true;
        } else if (slice_is_word(c->argv[i], "bcast")) {
            o->bcast = true;
        } else if (slice_is_word(c->argv[i], "optin")) {
            o->optin = true;
        } else if (slice_is_word(c->argv[i], "optout")) {
            o->optout = true;
        } else if (slice_is_word(c->argv[i], "noloop")) {
            o->noloop = true;
        } else if (slice_is_word(c->argv[i], "prefix") && more) {
            i++;
            o->prefix_count++;
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    return true;
}

/* What goes with what, and with what the client has already. */
static const char *conflict(const struct options *o, const struct tracker *had)
{
    if (o->prefix_count > 0 && !o->bcast) {
        return "ERR PREFIX option requires BCAST mode to be enabled";
    }
    if (had != NULL && had->is_bcast != o->bcast) {
        return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, "
               "and then re-enabling it with a different mode.";
    }
    if (o->bcast && (o->optin || o->optout)) {
        return "ERR OPTIN and OPTOUT are not compatible with BCAST";
    }
    if (o->optin && o->optout) {
        return "ERR You can't specify both OPTIN mode and OPTOUT mode";
    }
    if (had != NULL && ((o->optin && had->is_optout) || (o->optout && had->is_optin))) {
        return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, "
               "and then re-enabling it with a different mode.";
    }
    return NULL;
}

static bool overlap(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;

    return n == 0 || memcmp(a.ptr, b.ptr, n) == 0;
}

static bool add_prefix(struct tracker *t, struct slice text)
{
    struct prefix *p = &t->prefixes[t->prefix_count];

    p->bytes = mem_alloc(text.len + 1);
    if (p->bytes == NULL) {
        return false;
    }
    p->len = text.len;
    memcpy(p->bytes, text.ptr, text.len);
    t->prefix_count++;
    return true;
}

static struct slice prefix_at(const struct tracker *t, uint32_t i)
{
    return (struct slice){t->prefixes[i].bytes, t->prefixes[i].len};
}

static void refuse_overlap(struct cmd *c, struct slice a, struct slice b, const char *what)
{
    reply_errf(
        c->reply,
        "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single client must "
        "not overlap.",
        (int)(a.len < 128 ? a.len : 128), a.ptr, what, (int)(b.len < 128 ? b.len : 128), b.ptr);
}

/* Those that it has already, and those of the command. False: no memory, or the reply is written. */
static bool take_prefixes(struct cmd *c, struct tracker *t, const struct options *o,
                          const struct tracker *had)
{
    uint32_t kept = had == NULL || o->prefix_count == 0 ? 0 : had->prefix_count;

    t->prefix_room = kept + o->prefix_count;
    if (t->prefix_room == 0) {
        return true;
    }
    t->prefixes = mem_zalloc(t->prefix_room * sizeof(t->prefixes[0]));
    if (t->prefixes == NULL) {
        t->prefix_room = 0;
        return false;
    }
    for (uint32_t i = 0; i < kept; i++) {
        if (!add_prefix(t, prefix_at(had, i))) {
            return false;
        }
    }
    for (uint32_t i = 3; i < c->argc; i++) {
        if (slice_is_word(c->argv[i], "redirect")) {
            i++;
        } else if (slice_is_word(c->argv[i], "prefix")) {
            struct slice text = c->argv[++i];

            for (uint32_t n = 0; n < t->prefix_count; n++) {
                struct slice other = prefix_at(t, n);

                if (overlap(text, other)) {
                    /* Of two that the command names, the first is complained of. */
                    refuse_overlap(c, n < kept ? text : other, n < kept ? other : text,
                                   n < kept ? "an existing" : "another provided");
                    return false;
                }
            }
            if (!add_prefix(t, text)) {
                return false;
            }
        }
    }
    return true;
}

static struct tracker *tracker_create(struct conn *c, const struct options *o)
{
    struct tracker *t = mem_zalloc(sizeof(*t));

    if (t == NULL || (t->self = handle_of(c)) == NULL) {
        mem_free(t, sizeof(*t));
        return NULL;
    }
    atomic_init(&t->refs, 1);
    atomic_init(&t->is_on, true);
    list_init(&t->link);
    t->db = c->session.db;
    t->is_bcast = o->bcast;
    t->is_optin = o->optin;
    t->is_optout = o->optout;
    t->is_noloop = o->noloop;
    return t;
}

void tracking_cmd_tracking(struct cmd *cmd)
{
    struct conn *c = conn_of(cmd->session);
    size_t from = cmd->reply->out.len;
    struct options o = {0};
    struct beginning *b;
    const char *why;

    if (!parse(cmd, &o)) {
        return;
    }
    if (!o.on) {
        tracking_stop(c);
        reply_ok(cmd->reply);
        return;
    }
    if ((why = conflict(&o, c->tracker)) != NULL) {
        reply_errf(cmd->reply, "%s", why);
        return;
    }
    b = mem_zalloc(sizeof(*b));
    if (b == NULL || (b->tracker = tracker_create(c, &o)) == NULL ||
        !take_prefixes(cmd, b->tracker, &o, c->tracker)) {
        if (cmd->reply->out.len == from) {
            reply_err(cmd->reply, WIRE_NOMEM);
        }
        tracker_put(b == NULL ? NULL : b->tracker);
        mem_free(b, sizeof(*b));
        return;
    }
    b->to = (uint64_t)o.redirect;
    b->round.visit = visit;
    b->round.done = done;
    /* Counted before the visits begin, and by the client itself from its answer on. */
    atomic_fetch_add_explicit(&tracking_clients, 1, memory_order_relaxed);
    client_round_start(&b->round, c);
}

void tracking_cmd_caching(struct cmd *c)
{
    struct tracker *t = conn_of(c->session)->tracker;

    if (t == NULL || (!t->is_optin && !t->is_optout)) {
        reply_errf(c->reply, "ERR CLIENT CACHING can be called only when the client is in tracking "
                             "mode with OPTIN or OPTOUT mode enabled");
    } else if (slice_is_word(c->argv[2], "yes")) {
        if (!t->is_optin) {
            reply_errf(c->reply, "ERR CLIENT CACHING YES is only valid when tracking is enabled in "
                                 "OPTIN mode.");
            return;
        }
        t->is_caching = true;
        reply_ok(c->reply);
    } else if (slice_is_word(c->argv[2], "no")) {
        if (!t->is_optout) {
            reply_errf(c->reply, "ERR CLIENT CACHING NO is only valid when tracking is enabled in "
                                 "OPTOUT mode.");
            return;
        }
        t->is_caching = true;
        reply_ok(c->reply);
    } else {
        reply_err(c->reply, WIRE_SYNTAX);
    }
}

int64_t tracking_redirect(const struct conn *c)
{
    const struct tracker *t = c->tracker;

    return t == NULL ? -1 : t->to == NULL ? 0 : (int64_t)t->to->id;
}

void tracking_cmd_getredir(struct cmd *c)
{
    reply_int(c->reply, tracking_redirect(conn_of(c->session)));
}

uint32_t tracking_letters(const struct conn *c, char out[3])
{
    const struct tracker *t = c->tracker;
    uint32_t n = 0;

    if (t != NULL) {
        out[n++] = 't';
        if (t->is_broken) {
            out[n++] = 'R';
        }
        if (t->is_bcast) {
            out[n++] = 'B';
        }
    }
    return n;
}

static uint32_t put_flags(const struct tracker *t, struct slice out[8])
{
    uint32_t n = 0;

    if (t == NULL) {
        out[n++] = SLICE("off");
        return n;
    }
    out[n++] = SLICE("on");
    if (t->is_bcast) {
        out[n++] = SLICE("bcast");
    }
    if (t->is_optin) {
        out[n++] = SLICE("optin");
        if (t->is_caching) {
            out[n++] = SLICE("caching-yes");
        }
    }
    if (t->is_optout) {
        out[n++] = SLICE("optout");
        if (t->is_caching) {
            out[n++] = SLICE("caching-no");
        }
    }
    if (t->is_noloop) {
        out[n++] = SLICE("noloop");
    }
    if (t->is_broken) {
        out[n++] = SLICE("broken_redirect");
    }
    return n;
}

void tracking_cmd_info(struct cmd *c)
{
    const struct tracker *t = conn_of(c->session)->tracker;
    struct slice flags[8];
    uint32_t n = put_flags(t, flags);
    bool is_all = t != NULL && t->is_bcast && t->prefix_count == 0;

    reply_map(c->reply, 3);
    reply_bulk(c->reply, SLICE("flags"));
    reply_set(c->reply, n);
    for (uint32_t i = 0; i < n; i++) {
        reply_bulk(c->reply, flags[i]);
    }
    reply_bulk(c->reply, SLICE("redirect"));
    reply_int(c->reply, tracking_redirect(conn_of(c->session)));
    reply_bulk(c->reply, SLICE("prefixes"));
    reply_array(c->reply, t == NULL ? 0 : is_all ? 1 : t->prefix_count);
    for (uint32_t i = 0; t != NULL && i < t->prefix_count; i++) {
        reply_bulk(c->reply, prefix_at(t, i));
    }
    if (is_all) {
        reply_bulk(c->reply, SLICE(""));
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
