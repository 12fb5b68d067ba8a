/* stream_group.c - consumer groups: XGROUP, XREADGROUP, XACK, XPENDING. */
#include "node/block.h"
#include "node/cmd/stream.h"

#include "base/mem.h"
#include "node/cmd/families.h"
#include "node/notify.h"
#include "node/slices.h"
#include "proto/number.h"

/* ---- XGROUP ---- */

struct making {
    bool makes; /* MKSTREAM */
    int64_t entries_read;
};

static bool making_options(struct cmd *c, struct making *m, bool creates)
{
    m->entries_read = STREAM_READ_UNKNOWN;
    for (uint32_t i = 4; i < c->argc - 1; i++) {
        struct slice word = c->argv[i + 1];

        if (creates && slice_is_word(word, "mkstream")) {
            m->makes = true;
        } else if (slice_is_word(word, "entriesread") && i + 2 < c->argc) {
            if (!stream_int_arg(c, i + 2, &m->entries_read)) {
                return false;
            }
            if (m->entries_read < 0 && m->entries_read != STREAM_READ_UNKNOWN) {
                reply_errf(c->reply, "ERR value for ENTRIESREAD must be positive or -1");
                return false;
            }
            i++;
        } else {
            stream_err_subcommand(c, "XGROUP");
            return false;
        }
    }
    return true;
}

/* What each subcommand asks first. False when an error was answered; *there: the group exists. */
static bool group_arg(struct cmd *c, bool must_have_key, bool must_have_group, bool *there)
{
    struct slice key = c->argv[2];
    struct slice group = c->argv[3];
    struct stream_view v;
    bool found;

    *there = false;
    if (!stream_arg(c, 2, &v, &found)) {
        return false;
    }
    if (found) {
        *there = stream_group_find(v.st, group) != NULL;
        stream_close(&v);
    } else if (must_have_key) {
        reply_errf(c->reply,
                   "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you "
                   "may want to use the MKSTREAM option to create an empty stream automatically.");
        return false;
    }
    if (!*there && must_have_group) {
        reply_errf(c->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                   (int)group.len, group.ptr, (int)key.len, key.ptr);
        return false;
    }
    return true;
}

/* The id where the group begins: $ is the stream's last. */
static bool begin_arg(struct cmd *c, bool strict, struct stream_id *out)
{
    struct stream_view v;

    if (!slice_is(c->argv[4], SLICE("$"))) {
        return strict ? stream_strict_id_arg(c, 4, out) : stream_id_arg(c, 4, 0, out);
    }
    *out = STREAM_ID_MIN;
    if (stream_open(c, cmd_key(c, 2), &v) == FOUND) {
        *out = v.st->meta.last_id;
        stream_close(&v);
    }
    return true;
}

static void cmd_create(struct cmd *c)
{
    struct making m = {0};
    struct stream_id id;
    bool there;

    if (!making_options(c, &m, true) || !group_arg(c, !m.makes, false, &there)) {
        return;
    }
    if (c->argc > 8) {
        stream_err_subcommand(c, "XGROUP");
        return;
    }
    if (!begin_arg(c, true, &id)) {
        return;
    }
    if (there) {
        reply_errf(c->reply, "BUSYGROUP Consumer Group name already exists");
        return;
    }
    if (keyspace_peek(c, cmd_key(c, 2)) == NULL) {
        stream_make(c, cmd_key(c, 2));
    }
    stream_set_group(c, cmd_key(c, 2), c->argv[3], id, m.entries_read);
    notify(c, NOTIFY_STREAM, "xgroup-create", c->argv[2]);
    reply_ok(c->reply);
}

static void cmd_setid(struct cmd *c)
{
    struct making m = {0};
    struct stream_id id;
    bool there;

    if (!making_options(c, &m, false) || !group_arg(c, true, true, &there)) {
        return;
    }
    if (c->argc > 7) {
        stream_err_subcommand(c, "XGROUP");
        return;
    }
    if (!begin_arg(c, false, &id)) {
        return;
    }
    stream_set_group(c, cmd_key(c, 2), c->argv[3], id, m.entries_read);
    notify(c, NOTIFY_STREAM, "xgroup-setid", c->argv[2]);
    reply_ok(c->reply);
}

static void cmd_destroy(struct cmd *c)
{
    bool there;

    if (!group_arg(c, true, false, &there)) {
        return;
    }
    if (there) {
        stream_delete_group(c, cmd_key(c, 2), c->argv[3]);
        notify(c, NOTIFY_STREAM, "xgroup-destroy", c->argv[2]);
    }
    reply_int(c->reply, there);
}

/* Whether the consumer is there, and how much is pending for it. */
static bool consumer_pending(struct cmd *c, struct key key, struct slice group,
                             struct slice consumer, size_t *pending)
{
    struct stream_view v;
    struct stream_consumer *who = NULL;

    if (stream_open(c, key, &v) == FOUND) {
        who = stream_consumer_find(stream_group_find(v.st, group), consumer);
        *pending = who == NULL ? 0 : who->pending_count;
        stream_close(&v);
    }
    return who != NULL;
}

static void cmd_createconsumer(struct cmd *c)
{
    size_t pending;
    bool there;

    if (!group_arg(c, true, true, &there)) {
        return;
    }
    there = consumer_pending(c, cmd_key(c, 2), c->argv[3], c->argv[4], &pending);
    if (!there) {
        stream_set_consumer(c, cmd_key(c, 2), c->argv[3], c->argv[4], c->now_ms, -1);
        notify(c, NOTIFY_STREAM, "xgroup-createconsumer", c->argv[2]);
    }
    reply_int(c->reply, !there);
}

static void cmd_delconsumer(struct cmd *c)
{
    size_t pending = 0;
    bool there;

    if (!group_arg(c, true, true, &there)) {
        return;
    }
    bool is_there = consumer_pending(c, cmd_key(c, 2), c->argv[3], c->argv[4], &pending);

    if (slices_take(c, pending > SLICES_FEW)) {
        return;
    }
    if (is_there) {
        stream_delete_consumer(c, cmd_key(c, 2), c->argv[3], c->argv[4]);
        notify(c, NOTIFY_STREAM, "xgroup-delconsumer", c->argv[2]);
    }
    reply_int(c->reply, (int64_t)pending);
}

/* ---- XREADGROUP ---- */

static void emit(struct stream_entry *e, void *arg)
{
    stream_reply_entry(arg, e);
}

/* The consumer was seen now; *active: it got something. */
static void see(struct cmd *c, struct key key, struct slice group, struct slice consumer,
                bool active)
{
    struct stream_view v;
    int64_t active_ms = active ? c->now_ms : -1;

    if (stream_open(c, key, &v) != FOUND) {
        return;
    }
    const struct stream_consumer *who =
        stream_consumer_find(stream_group_find(v.st, group), consumer);

    bool is_new = who == NULL;

    if (!active && !is_new) {
        active_ms = who->active_ms;
    }
    stream_close(&v);
    stream_set_consumer(c, key, group, consumer, c->now_ms, active_ms);
    if (is_new) {
        notify(c, NOTIFY_STREAM, "xgroup-createconsumer", key.name);
    }
}

/* What is pending for the consumer, from an id on, delivered once more. */
static void read_history(struct cmd *c, struct key key, const struct stream_read *r,
                         struct stream_id from, struct reply *out)
{
    struct stream_view v;
    struct stream_entry e;
    struct buf again = {0}; /* struct stream_delivery */
    size_t at = reply_array_later(out);
    size_t n = 0;
    bool more = stream_open(c, key, &v) == FOUND;

    while (more && (r->most == 0 || n < r->most)) {
        const struct stream_group *g = stream_group_find(v.st, r->group);
        const struct stream_pending *p =
            stream_pending_seek(g, stream_consumer_find(g, r->consumer), from);

        if (p == NULL) {
            break;
        }
        n++;
        if (stream_get(v.st, p->id, &e)) {
            struct stream_delivery d = {p->id, c->now_ms, p->count + 1};

            stream_reply_entry(out, &e);
            out->failed = out->failed || buf_append(&again, &d, sizeof(d)) != 0;
        } else {
            reply_array(out, 2);
            stream_reply_id(out, p->id);
            reply_null_array(out);
        }
        from = p->id;
        more = stream_id_next(&from) && !out->failed;
    }
    slices_array_count(out, at, n);
    stream_deliver(c, key, r->group, r->consumer,
                   (const struct stream_delivery *)(const void *)again.ptr,
                   out->failed ? 0 : again.len / sizeof(struct stream_delivery));
    buf_fini(&again);
}

/* One stream of XREADGROUP: `new` for >, else what is pending after `id`. True when it has a part of the
 * reply. */
static bool read_stream(struct cmd *c, const struct stream_read *r, uint32_t i, struct stream_id id,
                        struct reply *out)
{
    struct key key = cmd_key(c, r->keys + i);
    bool is_new = stream_id_order(id, STREAM_ID_MAX) == 0;
    bool serves = !is_new;
    struct stream_view v;

    see(c, key, r->group, r->consumer, false);
    if (is_new && stream_open(c, key, &v) == FOUND) {
        serves =
            stream_id_order(stream_last_id(v.st), stream_group_find(v.st, r->group)->last_id) > 0;
        stream_close(&v);
    }
    if (!serves) {
        return false;
    }
    if (r->count == 1) {
        reply_map_of_pairs(out, 1);
    }
    reply_bulk(out, key.name);
    if (!is_new) {
        (void)stream_id_next(&id);
        read_history(c, key, r, id, out);
        return true;
    }
    size_t at = reply_array_later(out);
    struct stream_news want = {r->group, r->consumer, r->most, r->no_ack, emit, out};
    size_t n = stream_read_new(c, key, &want);

    slices_array_count(out, at, n);
    if (n > 0 && !r->no_ack) {
        see(c, key, r->group, r->consumer, true);
    }
    return true;
}

/* The id of the i-th stream, whose group is there. False when an error was answered. */
static bool read_group_id(struct cmd *c, const struct stream_read *r, uint32_t i,
                          struct stream_id *out)
{
    struct slice key = c->argv[r->keys + i];
    struct slice text = c->argv[r->keys + r->count + i];
    struct stream_view v;
    bool found;
    bool there = false;

    if (!stream_arg(c, r->keys + i, &v, &found)) {
        return false;
    }
    if (found) {
        there = stream_group_find(v.st, r->group) != NULL;
        stream_close(&v);
    }
    if (!there) {
        reply_errf(c->reply,
                   "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP with GROUP "
                   "option",
                   (int)key.len, key.ptr, (int)r->group.len, r->group.ptr);
        return false;
    }
    if (slice_is(text, SLICE("$"))) {
        reply_errf(c->reply,
                   "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the "
                   "history of this consumer by specifying a proper ID, or use the > ID to get new "
                   "messages. The $ ID would just return an empty result set.");
        return false;
    }
    *out = STREAM_ID_MAX;
    return slice_is(text, SLICE(">")) || stream_strict_id_arg(c, r->keys + r->count + i, out);
}

static void nothing_new(struct cmd *c, const struct stream_read *r)
{
    if (r->block_ms < 0 || !block_wait(c, r->keys, r->count, TYPE_STREAM, r->block_ms)) {
        reply_null_array(c->reply);
    }
}

static void read_streams(struct cmd *c, const struct stream_read *r, const struct stream_id *ids)
{
    struct reply out;
    size_t n = 0;

    if (r->count == 1) {
        if (!read_stream(c, r, 0, ids[0], c->reply)) {
            nothing_new(c, r);
        }
        return;
    }
    reply_init(&out);
    for (uint32_t i = 0; i < r->count; i++) {
        n += read_stream(c, r, i, ids[i], &out);
    }
    if (n == 0) {
        nothing_new(c, r);
    } else {
        reply_map_of_pairs(c->reply, n);
        c->reply->flags |= out.flags;
    }
    if (out.failed || buf_append_slice(&c->reply->out, buf_slice(&out.out)) != 0) {
        c->reply->failed = true;
    }
    reply_fini(&out);
}

/* Whether any of the streams has much to give. What is wrong with the arguments is said later. */
static bool reads_much(struct cmd *c, const struct stream_read *r)
{
    struct stream_view v;
    struct stream_walk w;
    bool much = false;

    if (r->most > 0 && r->most <= SLICES_FEW) {
        return false;
    }
    for (uint32_t i = 0; i < r->count && !much; i++) {
        if (stream_open(c, cmd_key(c, r->keys + i), &v) != FOUND) {
            continue;
        }
        const struct stream_group *g = stream_group_find(v.st, r->group);
        const struct stream_consumer *who = g == NULL ? NULL : stream_consumer_find(g, r->consumer);

        if (g != NULL && slice_is(c->argv[r->keys + r->count + i], SLICE(">"))) {
            stream_walk_begin(&w, v.st, g->last_id, STREAM_ID_MAX, false);
            much = stream_asks_much(&w, r->most);
        } else {
            much = who != NULL && who->pending_count > SLICES_FEW;
        }
        stream_close(&v);
    }
    return much;
}

void cmd_xreadgroup(struct cmd *c)
{
    struct stream_read r;
    struct stream_id one;
    struct stream_id *ids = &one;
    bool fine = true;

    if (block_is_over(c, reply_null_array) || !stream_read_args(c, &r) ||
        slices_take(c, reads_much(c, &r))) {
        return;
    }
    if (r.count > 1) {
        ids = mem_alloc(r.count * sizeof(*ids));
        if (ids == NULL) {
            reply_err(c->reply, WIRE_NOMEM);
            return;
        }
    }
    for (uint32_t i = 0; i < r.count && fine; i++) {
        fine = read_group_id(c, &r, i, &ids[i]);
    }
    if (fine) {
        read_streams(c, &r, ids);
    }
    if (ids != &one) {
        mem_free(ids, r.count * sizeof(*ids));
    }
}

/* ---- XACK, XACKDEL ---- */

/* False when an error was answered; *there: key and group are. */
static bool acking(struct cmd *c, bool *there)
{
    struct stream_view v;
    bool found;

    if (!stream_arg(c, 1, &v, &found)) {
        return false;
    }
    *there = found && stream_group_find(v.st, c->argv[2]) != NULL;
    if (found) {
        stream_close(&v);
    }
    return true;
}

void cmd_xack(struct cmd *c)
{
    struct stream_id *ids;
    uint32_t n = c->argc - 3;
    bool there;

    if (slices_take(c, c->argc > SLICES_FEW) || !acking(c, &there)) {
        return;
    }
    if (!there) {
        reply_int(c->reply, 0);
        return;
    }
    ids = stream_ids_args(c, 3, n);
    if (ids != NULL) {
        reply_int(c->reply,
                  (int64_t)stream_acknowledge(c, cmd_key(c, 1), c->argv[2], ids, n, NULL));
        stream_ids_free(ids, n);
    }
}

/* Of what was pending in the group: removed, or referred to by others, or already gone (which counts as
 * removed, as in Redis). What was not pending is "not there". */
static void ack_and_remove(struct cmd *c, struct stream_id *ids, uint32_t n, enum stream_refs refs,
                           int8_t *became)
{
    struct key key = cmd_key(c, 1);

    for (uint32_t i = 0; i < n; i++) {
        bool was = false; /* also when the section has failed */

        (void)stream_acknowledge(c, key, c->argv[2], &ids[i], 1, &was);
        if (!was) {
            continue;
        }
        if (stream_remove(c, key, &ids[i], 1, refs, &became[i]) > 0) {
            notify(c, NOTIFY_STREAM, "xdel", key.name);
        }
        if (became[i] == STREAM_NOT_THERE) {
            became[i] = STREAM_REMOVED;
        }
    }
}

void cmd_xackdel(struct cmd *c)
{
    enum stream_refs refs;
    uint32_t n;
    bool there;
    struct stream_id *ids = NULL;
    int8_t *became = NULL;

    if (!slices_take(c, c->argc > SLICES_FEW)) {
        ids = stream_refs_args(c, 3, &refs, &n);
    }
    if (ids == NULL) {
        return;
    }
    if (!acking(c, &there)) {
        goto out;
    }
    became = mem_alloc(n);
    if (became == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        goto out;
    }
    memset(became, STREAM_NOT_THERE, n);
    if (there) {
        ack_and_remove(c, ids, n, refs, became);
    }
    reply_array(c->reply, n);
    for (uint32_t i = 0; i < n; i++) {
        reply_int(c->reply, became[i]);
    }
out:
    mem_free(became, n);
    stream_ids_free(ids, n);
}

/* ---- XPENDING ---- */

static void pending_summary(struct cmd *c, const struct stream_group *g)
{
    struct reply *r = c->reply;
    const struct stream_pending *first = stream_pending_seek(g, NULL, STREAM_ID_MIN);

    reply_array(r, 4);
    reply_int(r, (int64_t)g->pending_count);
    if (first == NULL) {
        reply_null(r);
        reply_null(r);
        reply_null_array(r);
        return;
    }
    stream_reply_id(r, first->id);
    stream_reply_id(r, stream_pending_last(g)->id);
    size_t at = reply_array_later(r);
    size_t n = 0;

    for (uint32_t i = 0; i < g->consumers.count; i++) {
        const struct stream_consumer *who = g->consumers.v[i];
        char digits[BUF_I64_MAX];

        if (who->pending_count > 0) {
            n++;
            reply_array(r, 2);
            reply_bulk(r, who->name);
            reply_bulk(r, (struct slice){digits, buf_put_u64(digits, who->pending_count)});
        }
    }
    slices_array_count(r, at, n);
}

struct asking {
    int64_t idle_ms, count;
    struct stream_id from, to;
    uint32_t consumer; /* an argument, or 0 */
};

static void pending_entries(struct cmd *c, const struct stream_group *g, const struct asking *a)
{
    struct reply *r = c->reply;
    const struct stream_consumer *of =
        a->consumer == 0 ? NULL : stream_consumer_find(g, c->argv[a->consumer]);
    size_t at = reply_array_later(r);
    int64_t n = 0;
    struct stream_id from = a->from;
    bool more = a->consumer == 0 || of != NULL;

    while (more && n < a->count && !r->failed) {
        const struct stream_pending *p = stream_pending_seek(g, of, from);

        if (p == NULL || stream_id_order(p->id, a->to) > 0) {
            break;
        }
        from = p->id;
        more = stream_id_next(&from);
        int64_t idle_ms = stream_since(c, p->time_ms);

        if (a->idle_ms != 0 && idle_ms < a->idle_ms) {
            continue;
        }
        n++;
        reply_array(r, 4);
        stream_reply_id(r, p->id);
        reply_bulk(r, p->consumer->name);
        reply_int(r, idle_ms < 0 ? 0 : idle_ms);
        reply_int(r, (int64_t)p->count);
    }
    slices_array_count(r, at, (size_t)n);
}

/* False when an error was answered. */
static bool pending_args(struct cmd *c, struct asking *a)
{
    uint32_t at = 3;

    if (c->argc < 6 || c->argc > 9) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    if (slice_is_word(c->argv[3], "idle")) {
        if (!stream_int_arg(c, 4, &a->idle_ms)) {
            return false;
        }
        if (c->argc < 8) {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
        at = 5;
    }
    a->consumer = at + 3 < c->argc ? at + 3 : 0;
    return stream_int_arg(c, at + 2, &a->count) &&
           stream_interval_args(c, at, at + 1, &a->from, &a->to);
}

static bool looks_at_much(const struct stream_group *g, const struct asking *a)
{
    return g->pending_count > SLICES_FEW && (a->idle_ms != 0 || a->count > SLICES_FEW);
}

void cmd_xpending(struct cmd *c)
{
    struct asking a = {0};
    struct stream_view v;
    struct stream_group *g = NULL;
    bool found;

    if ((c->argc != 3 && !pending_args(c, &a)) || !stream_arg(c, 1, &v, &found)) {
        return;
    }
    if (found) {
        g = stream_group_find(v.st, c->argv[2]);
    }
    if (g == NULL) {
        stream_err_no_group(c, c->argv[1], c->argv[2]);
    } else if (c->argc == 3) {
        pending_summary(c, g);
    } else if (!slices_take(c, looks_at_much(g, &a))) {
        pending_entries(c, g, &a);
    }
    if (found) {
        stream_close(&v);
    }
}

/* clang-format off */
struct cmd_def xgroup_cmds[] = {
    { .name = "CREATE", .arity = -5, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(2, 2, 1),
      .since = "5.0.0", .run = cmd_create,
      .args = "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
      .summary = "Makes a group, which reads from behind an id on." },
    { .name = "CREATECONSUMER", .arity = 5, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(2, 2, 1),
      .since = "6.2.0", .run = cmd_createconsumer, .args = "key group consumer",
      .summary = "Makes a consumer of a group." },
    { .name = "DELCONSUMER", .arity = 5, .flags = CMD_WRITE, .keys = KEYS(2, 2, 1),
      .since = "5.0.0", .run = cmd_delconsumer, .args = "key group consumer",
      .summary = "Removes a consumer. Answers how much was pending for it." },
    { .name = "DESTROY", .arity = 4, .flags = CMD_WRITE, .keys = KEYS(2, 2, 1),
      .since = "5.0.0", .run = cmd_destroy, .args = "key group", .summary = "Removes a group." },
    { .name = "HELP", .arity = 2, .flags = CMD_LOADING | CMD_STALE | CMD_FREE, .since = "5.0.0",
      .run = help_run, .args = "", .summary = "Print this help." },
    { .name = "SETID", .arity = -5, .flags = CMD_WRITE, .keys = KEYS(2, 2, 1),
      .since = "5.0.0", .run = cmd_setid, .args = "key group <id | $> [ENTRIESREAD entries-read]",
      .summary = "Sets the id behind which a group reads." },
    CMD_END
};
/* clang-format on */
