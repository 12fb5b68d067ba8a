/* stream_info.c - XINFO: what a stream is made of. */
#include "node/cmd/stream.h"

#include "node/cmd/families.h"
#include "node/slices.h"

enum { COUNT_DEFAULT = 10 };

static void field(struct reply *r, const char *name)
{
    reply_bulk(r, slice_of(name));
}

/* Opens the key that every subcommand names. False when an error was answered. */
static bool open_key(struct cmd *c, struct stream_view *v)
{
    bool found;

    if (stream_arg(c, 2, v, &found) && !found) {
        reply_err(c->reply, WIRE_NO_SUCH_KEY);
        return false;
    }
    return found;
}

static void put_entries_read(struct reply *r, const struct stream *st, const struct stream_group *g)
{
    int64_t lag;

    field(r, "entries-read");
    if (g->entries_read == STREAM_READ_UNKNOWN) {
        reply_null(r);
    } else {
        reply_int(r, g->entries_read);
    }
    field(r, "lag");
    if (stream_lag(st, g, &lag)) {
        reply_int(r, lag);
    } else {
        reply_null(r);
    }
}

/* ---- XINFO STREAM ---- */

static void put_edge(struct reply *r, const struct stream *st, bool last)
{
    struct stream_walk w;
    struct stream_entry e;

    field(r, last ? "last-entry" : "first-entry");
    stream_walk_begin(&w, st, STREAM_ID_MIN, STREAM_ID_MAX, last);
    if (stream_walk_next(&w, &e)) {
        stream_reply_entry(r, &e);
    } else {
        reply_null(r);
    }
}

static void put_meta(struct reply *r, const struct stream *st)
{
    size_t blocks = stream_block_count(st);

    field(r, "length");
    reply_int(r, (int64_t)st->length);
    field(r, "radix-tree-keys");
    reply_int(r, (int64_t)blocks);
    /* There is no tree: one node a block and one for the list of them. */
    field(r, "radix-tree-nodes");
    reply_int(r, (int64_t)blocks + 1);
    field(r, "last-generated-id");
    stream_reply_id(r, st->meta.last_id);
    field(r, "max-deleted-entry-id");
    stream_reply_id(r, st->meta.max_deleted);
    field(r, "entries-added");
    reply_int(r, (int64_t)st->meta.entries_added);
    field(r, "recorded-first-entry-id");
    stream_reply_id(r, stream_first_id(st));
}

/* What is pending in a group, or for one of its consumers, which then is not named. */
static void put_pending(struct reply *r, const struct stream_group *g,
                        const struct stream_consumer *of, uint64_t most)
{
    struct stream_id from = STREAM_ID_MIN;
    size_t at;
    size_t n = 0;
    bool more = true;

    field(r, "pel-count");
    reply_int(r, (int64_t)(of == NULL ? g->pending_count : of->pending_count));
    field(r, "pending");
    at = reply_array_later(r);
    while (more && (most == 0 || n < most) && !r->failed) {
        const struct stream_pending *p = stream_pending_seek(g, of, from);

        if (p == NULL) {
            break;
        }
        n++;
        reply_array(r, of == NULL ? 4 : 3);
        stream_reply_id(r, p->id);
        if (of == NULL) {
            reply_bulk(r, p->consumer->name);
        }
        reply_int(r, p->time_ms);
        reply_int(r, (int64_t)p->count);
        from = p->id;
        more = stream_id_next(&from);
    }
    slices_array_count(r, at, n);
}

static void put_group(struct reply *r, const struct stream *st, const struct stream_group *g,
                      uint64_t most)
{
    reply_map(r, 7);
    field(r, "name");
    reply_bulk(r, g->name);
    field(r, "last-delivered-id");
    stream_reply_id(r, g->last_id);
    put_entries_read(r, st, g);
    put_pending(r, g, NULL, most);
    field(r, "consumers");
    reply_array(r, g->consumers.count);
    for (uint32_t i = 0; i < g->consumers.count; i++) {
        const struct stream_consumer *who = g->consumers.v[i];

        reply_map(r, 5);
        field(r, "name");
        reply_bulk(r, who->name);
        field(r, "seen-time");
        reply_int(r, who->seen_ms);
        field(r, "active-time");
        reply_int(r, who->active_ms);
        put_pending(r, g, who, most);
    }
}

static void put_full(struct reply *r, const struct stream *st, uint64_t most)
{
    struct stream_walk w;

    reply_map(r, 9);
    put_meta(r, st);
    field(r, "entries");
    stream_walk_begin(&w, st, STREAM_ID_MIN, STREAM_ID_MAX, false);
    stream_reply_range(r, &w, most);
    field(r, "groups");
    reply_array(r, st->groups.count);
    for (uint32_t i = 0; i < st->groups.count; i++) {
        put_group(r, st, st->groups.v[i], most);
    }
}

static bool full_is_long(const struct stream *st, uint64_t most)
{
    bool is_long = st->length > SLICES_FEW;

    for (uint32_t i = 0; i < st->groups.count && !is_long; i++) {
        const struct stream_group *g = st->groups.v[i];

        is_long = g->pending_count > SLICES_FEW;
    }
    return (most == 0 || most > SLICES_FEW) && is_long;
}

/* [FULL [COUNT n]]. False when an error was answered. */
static bool full_args(struct cmd *c, int64_t *count)
{
    *count = COUNT_DEFAULT;
    if ((c->argc != 4 && c->argc != 6) || !slice_is_word(c->argv[3], "full") ||
        (c->argc == 6 && !slice_is_word(c->argv[4], "count"))) {
        stream_err_subcommand(c, "XINFO");
        return false;
    }
    if (c->argc == 6 && !stream_int_arg(c, 5, count)) {
        return false;
    }
    *count = *count < 0 ? COUNT_DEFAULT : *count;
    return true;
}

static void cmd_stream_info(struct cmd *c)
{
    struct stream_view v;
    int64_t count;

    if (!open_key(c, &v)) {
        return;
    }
    if (c->argc > 3) {
        if (full_args(c, &count) && !slices_take(c, full_is_long(v.st, (uint64_t)count))) {
            put_full(c->reply, v.st, (uint64_t)count);
        }
    } else {
        reply_map(c->reply, 10);
        put_meta(c->reply, v.st);
        field(c->reply, "groups");
        reply_int(c->reply, v.st->groups.count);
        put_edge(c->reply, v.st, false);
        put_edge(c->reply, v.st, true);
    }
    stream_close(&v);
}

/* ---- XINFO GROUPS, CONSUMERS ---- */

static void cmd_groups(struct cmd *c)
{
    struct reply *r = c->reply;
    struct stream_view v;

    if (!open_key(c, &v)) {
        return;
    }
    reply_array(r, v.st->groups.count);
    for (uint32_t i = 0; i < v.st->groups.count; i++) {
        const struct stream_group *g = v.st->groups.v[i];

        reply_map(r, 6);
        field(r, "name");
        reply_bulk(r, g->name);
        field(r, "consumers");
        reply_int(r, g->consumers.count);
        field(r, "pending");
        reply_int(r, (int64_t)g->pending_count);
        field(r, "last-delivered-id");
        stream_reply_id(r, g->last_id);
        put_entries_read(r, v.st, g);
    }
    stream_close(&v);
}

static void put_consumer(struct cmd *c, const struct stream_consumer *who)
{
    struct reply *r = c->reply;
    int64_t idle_ms = stream_since(c, who->seen_ms);
    int64_t inactive_ms = stream_since(c, who->active_ms);

    reply_map(r, 4);
    field(r, "name");
    reply_bulk(r, who->name);
    field(r, "pending");
    reply_int(r, (int64_t)who->pending_count);
    field(r, "idle");
    reply_int(r, idle_ms < 0 ? 0 : idle_ms);
    field(r, "inactive");
    reply_int(r, who->active_ms == -1 ? -1 : inactive_ms < 0 ? 0 : inactive_ms);
}

static void cmd_consumers(struct cmd *c)
{
    struct slice name = c->argv[3];
    struct slice key = c->argv[2];
    struct stream_view v;

    if (!open_key(c, &v)) {
        return;
    }
    const struct stream_group *g = stream_group_find(v.st, name);

    if (g == NULL) {
        reply_errf(c->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                   (int)name.len, name.ptr, (int)key.len, key.ptr);
    } else {
        reply_array(c->reply, g->consumers.count);
        for (uint32_t i = 0; i < g->consumers.count; i++) {
            put_consumer(c, g->consumers.v[i]);
        }
    }
    stream_close(&v);
}

/* clang-format off */
struct cmd_def xinfo_cmds[] = {
    { .name = "CONSUMERS", .arity = 4, .flags = CMD_READ | CMD_RANDOM, .keys = KEYS(2, 2, 1),
      .since = "5.0.0", .run = cmd_consumers, .args = "key group",
      .summary = "The consumers of a group." },
    { .name = "GROUPS", .arity = 3, .flags = CMD_READ, .keys = KEYS(2, 2, 1), .since = "5.0.0",
      .run = cmd_groups, .args = "key", .summary = "The groups of a stream." },
    { .name = "HELP", .arity = 2, .flags = CMD_LOADING | CMD_STALE | CMD_FREE, .since = "5.0.0",
      .run = help_run, .args = "", .summary = "Print this help." },
    { .name = "STREAM", .arity = -3, .flags = CMD_READ, .keys = KEYS(2, 2, 1), .since = "5.0.0",
      .run = cmd_stream_info, .args = "key [FULL [COUNT count]]",
      .summary = "What a stream is, or all that it holds." },
    CMD_END
};
/* clang-format on */
