/* stream_claim.c - pending entries that change hands: XCLAIM, XAUTOCLAIM. */
#include "node/cmd/stream.h"
#include "node/notify.h"
#include "node/slices.h"

#include "base/mem.h"
#include "base/parse.h"

enum { ATTEMPTS = 10, COUNT_DEFAULT = 100 };

struct claim {
    struct key key;
    struct slice group, consumer;
    int64_t min_idle_ms;
    int64_t time_ms;     /* of delivery */
    int64_t retry_count; /* -1: as it comes */
    bool force, just_id;
    struct stream_id last_id;
    struct reply *reply;
    /* what is to happen, gathered while reading */
    struct buf taken;   /* struct stream_delivery */
    struct buf deleted; /* struct stream_id: pending, and not in the stream any more */
};

static bool gather(struct claim *k, struct buf *into, const void *thing, size_t len)
{
    if (buf_append(into, thing, len) != 0) {
        k->reply->failed = true;
        return false;
    }
    return true;
}

enum claimed { CLAIM_NOTHING, CLAIM_TAKEN, CLAIM_DELETED };

/* One id: into the reply, and among what is taken or deleted. */
static enum claimed claim_one(struct cmd *c, struct claim *k, const struct stream *st,
                              struct stream_id id, const struct stream_pending *p)
{
    struct stream_delivery d = {id, k->time_ms, p == NULL ? 1 : p->count};
    struct stream_entry e;
    bool there = stream_get(st, id, &e);

    if (!there) {
        bool deleted = p != NULL && gather(k, &k->deleted, &id, sizeof(id));

        return deleted ? CLAIM_DELETED : CLAIM_NOTHING;
    }
    if ((p == NULL && !k->force) ||
        (p != NULL && k->min_idle_ms != 0 && stream_since(c, p->time_ms) < k->min_idle_ms)) {
        return CLAIM_NOTHING;
    }
    if (k->retry_count >= 0) {
        d.count = (uint64_t)k->retry_count;
    } else if (!k->just_id) {
        d.count++;
    }
    bool taken = gather(k, &k->taken, &d, sizeof(d));

    if (k->just_id) {
        stream_reply_id(k->reply, id);
    } else {
        stream_reply_entry(k->reply, &e);
    }
    return taken ? CLAIM_TAKEN : CLAIM_NOTHING;
}

/* The consumer was seen; *active: it got something. */
static void claim_see(struct cmd *c, const struct claim *k, bool active)
{
    struct stream_view v;
    int64_t active_ms = active ? c->now_ms : -1;

    if (stream_open(c, k->key, &v) != FOUND) {
        return;
    }
    struct stream_group *g = stream_group_find(v.st, k->group);
    const struct stream_consumer *who = stream_consumer_find(g, k->consumer);
    bool moves = stream_id_order(k->last_id, g->last_id) > 0;
    int64_t entries_read = g->entries_read;

    bool is_new = who == NULL;

    if (!active && !is_new) {
        active_ms = who->active_ms;
    }
    stream_close(&v);
    if (moves) {
        stream_set_group(c, k->key, k->group, k->last_id, entries_read);
    }
    stream_set_consumer(c, k->key, k->group, k->consumer, c->now_ms, active_ms);
    if (is_new) {
        notify(c, NOTIFY_STREAM, "xgroup-createconsumer", k->key.name);
    }
}

/* Carries out what was gathered, for a consumer that is there. */
static void claim_flush(struct cmd *c, struct claim *k)
{
    if (k->deleted.len > 0) {
        (void)stream_acknowledge(c, k->key, k->group,
                                 (const struct stream_id *)(const void *)k->deleted.ptr,
                                 k->deleted.len / sizeof(struct stream_id), NULL);
    }
    if (k->taken.len > 0) {
        stream_deliver(c, k->key, k->group, k->consumer,
                       (const struct stream_delivery *)(const void *)k->taken.ptr,
                       k->taken.len / sizeof(struct stream_delivery));
    }
    buf_clear(&k->deleted);
    buf_clear(&k->taken);
}

static void claim_fini(struct claim *k)
{
    buf_fini(&k->taken);
    buf_fini(&k->deleted);
}

/* Opens the stream, whose group is there. False when an error was answered. */
static bool open_group(struct cmd *c, struct stream_view *v)
{
    bool found;

    if (!stream_arg(c, 1, v, &found)) {
        return false;
    }
    if (found && stream_group_find(v->st, c->argv[2]) != NULL) {
        return true;
    }
    if (found) {
        stream_close(v);
    }
    stream_err_no_group(c, c->argv[1], c->argv[2]);
    return false;
}

static bool number_arg(struct cmd *c, uint32_t index, const char *what, int64_t *out)
{
    if (!parse_i64(c->argv[index], out)) {
        reply_errf(c->reply, "ERR Invalid %s argument for %s", what, c->def->name);
        return false;
    }
    return true;
}

/* ---- XCLAIM ---- */

/* One option at *i, which moves on to its last word. False when an error was answered. */
static bool claim_option(struct cmd *c, struct claim *k, uint32_t *i)
{
    struct slice word = c->argv[*i];
    bool more = *i + 1 < c->argc;

    if (slice_is_word(word, "force")) {
        k->force = true;
    } else if (slice_is_word(word, "justid")) {
        k->just_id = true;
    } else if (more && slice_is_word(word, "idle")) {
        if (!number_arg(c, ++*i, "IDLE option", &k->time_ms)) {
            return false;
        }
        if (__builtin_sub_overflow(c->now_ms, k->time_ms, &k->time_ms)) {
            k->time_ms = 0;
        }
    } else if (more && slice_is_word(word, "time")) {
        return number_arg(c, ++*i, "TIME option", &k->time_ms);
    } else if (more && slice_is_word(word, "retrycount")) {
        return number_arg(c, ++*i, "RETRYCOUNT option", &k->retry_count);
    } else if (more && slice_is_word(word, "lastid")) {
        return stream_strict_id_arg(c, ++*i, &k->last_id);
    } else {
        reply_errf(c->reply, "ERR Unrecognized XCLAIM option '%.*s'", (int)word.len, word.ptr);
        return false;
    }
    return true;
}

static bool is_id(struct slice text)
{
    struct stream_id id;

    return stream_id_parse(text, 0, &id);
}

/* *n: how many ids stand from argv[5] on. */
static bool claim_args(struct cmd *c, struct claim *k, uint32_t *n)
{
    uint32_t i = 5;

    if (!number_arg(c, 4, "min-idle-time", &k->min_idle_ms)) {
        return false;
    }
    k->min_idle_ms = k->min_idle_ms < 0 ? 0 : k->min_idle_ms;
    while (i < c->argc && is_id(c->argv[i])) {
        i++;
    }
    *n = i - 5;
    k->time_ms = -1;
    k->retry_count = -1;
    for (; i < c->argc; i++) {
        if (!claim_option(c, k, &i)) {
            return false;
        }
    }
    if (k->time_ms < 0 || k->time_ms > c->now_ms) { /* not asked for, or a clock that is off */
        k->time_ms = c->now_ms;
    }
    return true;
}

/* One after another, since an id that is given twice is claimed twice. */
static void claim_ids(struct cmd *c, struct claim *k, uint32_t n)
{
    size_t at = reply_array_later(k->reply);
    size_t count = 0;

    claim_see(c, k, false);
    for (uint32_t i = 0; i < n && !k->reply->failed && slices_tick(4); i++) {
        struct stream_view v;
        struct stream_id id;

        if (stream_id_parse(c->argv[5 + i], 0, &id) && stream_open(c, k->key, &v) == FOUND) {
            const struct stream_group *g = stream_group_find(v.st, k->group);

            count += claim_one(c, k, v.st, id, stream_pending_find(g, id)) == CLAIM_TAKEN;
            stream_close(&v);
            claim_flush(c, k);
        }
    }
    slices_array_count(k->reply, at, count);
    if (count > 0) {
        claim_see(c, k, true);
    }
}

void cmd_xclaim(struct cmd *c)
{
    struct claim k = {
        .key = cmd_key(c, 1), .group = c->argv[2], .consumer = c->argv[3], .reply = c->reply};
    struct stream_view v;
    uint32_t n;

    if (!open_group(c, &v)) {
        return;
    }
    stream_close(&v);
    if (slices_take(c, c->argc > SLICES_FEW)) {
        return;
    }
    if (claim_args(c, &k, &n)) {
        claim_ids(c, &k, n);
    }
    claim_fini(&k);
}

/* ---- XAUTOCLAIM ---- */

struct auto_claim {
    struct claim k;
    struct stream_id start;
    int64_t count;
};

static bool auto_args(struct cmd *c, struct auto_claim *a)
{
    int64_t most = INT64_MAX / (int64_t)sizeof(struct stream_id);

    if (!number_arg(c, 4, "min-idle-time", &a->k.min_idle_ms)) {
        return false;
    }
    a->k.min_idle_ms = a->k.min_idle_ms < 0 ? 0 : a->k.min_idle_ms;
    if (!stream_interval_args(c, 5, 0, &a->start, NULL)) {
        return false;
    }
    for (uint32_t i = 6; i < c->argc; i++) {
        if (i + 1 < c->argc && slice_is_word(c->argv[i], "count")) {
            if (!parse_i64(c->argv[++i], &a->count) || a->count < 1 || a->count > most) {
                reply_errf(c->reply, "ERR COUNT must be > 0");
                return false;
            }
        } else if (slice_is_word(c->argv[i], "justid")) {
            a->k.just_id = true;
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    return true;
}

/* Goes through what is pending; returns where the next call begins. */
static struct stream_id auto_ids(struct cmd *c, struct auto_claim *a, const struct stream *st,
                                 size_t *n)
{
    const struct stream_group *g = stream_group_find(st, a->k.group);
    struct stream_id from = a->start;
    int64_t left = a->count;
    int64_t attempts = a->count > INT64_MAX / ATTEMPTS ? INT64_MAX : a->count * ATTEMPTS;
    const struct stream_pending *p = stream_pending_seek(g, NULL, from);

    while (p != NULL && attempts-- > 0 && left > 0 && !a->k.reply->failed) {
        from = p->id;
        enum claimed claimed = claim_one(c, &a->k, st, p->id, p);

        left -= claimed != CLAIM_NOTHING;
        *n += claimed == CLAIM_TAKEN;
        p = stream_id_next(&from) ? stream_pending_seek(g, NULL, from) : NULL;
    }
    return p == NULL ? STREAM_ID_MIN : p->id;
}

static void reply_auto(struct cmd *c, const struct auto_claim *a, struct stream_id next, size_t n)
{
    const struct stream_id *deleted = (const void *)a->k.deleted.ptr;
    size_t count = a->k.deleted.len / sizeof(*deleted);

    reply_array(c->reply, 3);
    stream_reply_id(c->reply, next);
    reply_array(c->reply, n);
    c->reply->flags |= a->k.reply->flags;
    if (a->k.reply->failed || buf_append_slice(&c->reply->out, buf_slice(&a->k.reply->out)) != 0) {
        c->reply->failed = true;
    }
    reply_array(c->reply, count);
    for (size_t i = 0; i < count; i++) {
        stream_reply_id(c->reply, deleted[i]);
    }
}

void cmd_xautoclaim(struct cmd *c)
{
    struct reply out;
    struct auto_claim a = {.k = {.key = cmd_key(c, 1),
                                 .group = c->argv[2],
                                 .consumer = c->argv[3],
                                 .time_ms = c->now_ms,
                                 .retry_count = -1,
                                 .reply = &out},
                           .count = COUNT_DEFAULT};
    struct stream_view v;
    size_t n = 0;

    if (!auto_args(c, &a) || !open_group(c, &v)) {
        return;
    }
    if (slices_take(c, a.count > SLICES_FEW / ATTEMPTS && v.st->length > SLICES_FEW)) {
        stream_close(&v);
        return;
    }
    reply_init(&out);
    struct stream_id next = auto_ids(c, &a, v.st, &n);

    stream_close(&v);
    reply_auto(c, &a, next, n);
    claim_see(c, &a.k, n > 0);
    claim_flush(c, &a.k);
    claim_fini(&a.k);
    reply_fini(&out);
}
