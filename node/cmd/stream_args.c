/* stream_args.c - reading the arguments of stream commands, and writing their replies. */
#include "node/cmd/stream.h"
#include "node/slices.h"

#include "base/mem.h"
#include "base/parse.h"

/* ---- Ids ---- */

static bool err_id(struct cmd *c)
{
    reply_errf(c->reply, "ERR Invalid stream ID specified as stream command argument");
    return false;
}

/* strict: neither - nor +. */
static bool read_id(struct slice text, uint64_t missing, bool strict, struct stream_id *out)
{
    if (text.len == 1 && (*text.ptr == '-' || *text.ptr == '+')) {
        *out = *text.ptr == '-' ? STREAM_ID_MIN : STREAM_ID_MAX;
        return !strict;
    }
    return stream_id_parse(text, missing, out);
}

bool stream_id_arg(struct cmd *c, uint32_t index, uint64_t missing, struct stream_id *out)
{
    return read_id(c->argv[index], missing, false, out) || err_id(c);
}

bool stream_strict_id_arg(struct cmd *c, uint32_t index, struct stream_id *out)
{
    return read_id(c->argv[index], 0, true, out) || err_id(c);
}

static bool interval_end(struct cmd *c, uint32_t index, bool is_start, struct stream_id *out)
{
    struct slice text = c->argv[index];
    bool excluded = text.len > 1 && *text.ptr == '(';

    if (excluded) {
        text = (struct slice){text.ptr + 1, text.len - 1};
    }
    if (!read_id(text, is_start ? 0 : UINT64_MAX, excluded, out)) {
        return err_id(c);
    }
    if (excluded && !(is_start ? stream_id_next(out) : stream_id_previous(out))) {
        reply_errf(c->reply, "ERR invalid %s ID for the interval", is_start ? "start" : "end");
        return false;
    }
    return true;
}

bool stream_interval_args(struct cmd *c, uint32_t from, uint32_t to, struct stream_id *start,
                          struct stream_id *end)
{
    return interval_end(c, from, true, start) && (to == 0 || interval_end(c, to, false, end));
}

struct stream_id *stream_ids_args(struct cmd *c, uint32_t first, uint32_t n)
{
    struct stream_id *ids = mem_alloc(n * sizeof(*ids));

    if (ids == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!stream_strict_id_arg(c, first + i, &ids[i])) {
            stream_ids_free(ids, n);
            return NULL;
        }
    }
    return ids;
}

void stream_ids_free(struct stream_id *ids, uint32_t n)
{
    mem_free(ids, n * sizeof(*ids));
}

bool stream_int_arg(struct cmd *c, uint32_t index, int64_t *out)
{
    if (!parse_i64(c->argv[index], out)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    return true;
}

bool stream_arg(struct cmd *c, uint32_t index, struct stream_view *v, bool *found)
{
    enum found f = stream_open(c, cmd_key(c, index), v);

    *found = f == FOUND;
    if (f == WRONG_TYPE) {
        reply_err(c->reply, WIRE_WRONGTYPE);
    }
    return f != WRONG_TYPE;
}

bool stream_refs_word(struct slice word, enum stream_refs *out)
{
    if (slice_is_word(word, "keepref")) {
        *out = STREAM_KEEP_REFS;
    } else if (slice_is_word(word, "delref")) {
        *out = STREAM_DROP_REFS;
    } else if (slice_is_word(word, "acked")) {
        *out = STREAM_ACKED;
    } else {
        return false;
    }
    return true;
}

struct stream_id *stream_refs_args(struct cmd *c, uint32_t at, enum stream_refs *refs, uint32_t *n)
{
    int64_t count = 0;
    uint32_t first = 0;

    *refs = STREAM_KEEP_REFS;
    while (at < c->argc) {
        if (slice_is_word(c->argv[at], "ids") && at + 1 < c->argc && first == 0) {
            if (!parse_i64(c->argv[at + 1], &count) || count <= 0) {
                reply_errf(c->reply, "ERR Number of IDs must be a positive integer");
                return NULL;
            }
            first = at + 2;
            if (count > (int64_t)(c->argc - first)) {
                reply_errf(c->reply,
                           "ERR The `numids` parameter must match the number of arguments");
                return NULL;
            }
            at = first + (uint32_t)count;
        } else if (!stream_refs_word(c->argv[at++], refs)) {
            first = 0;
            break;
        }
    }
    if (first == 0) {
        reply_err(c->reply, WIRE_SYNTAX);
        return NULL;
    }
    *n = (uint32_t)count;
    return stream_ids_args(c, first, *n);
}

/* ---- XREAD, XREADGROUP ---- */

static bool block_arg(struct cmd *c, uint32_t index, int64_t *out)
{
    if (!parse_i64(c->argv[index], out)) {
        reply_errf(c->reply, "ERR timeout is not an integer or out of range");
    } else if (*out < 0) {
        reply_errf(c->reply, "ERR timeout is negative");
    } else if (*out > INT64_MAX - c->now_ms) {
        reply_errf(c->reply, "ERR timeout is out of range");
    } else {
        return true;
    }
    return false;
}

static bool err_only_group(struct cmd *c, const char *option)
{
    reply_errf(c->reply,
               "ERR The %s option is only supported by XREADGROUP. You called XREAD instead.",
               option);
    return false;
}

/* One option at *i, which moves on to its last word. False when an error was answered. */
static bool read_option(struct cmd *c, struct stream_read *r, bool by_group, uint32_t *i)
{
    uint32_t more = c->argc - *i - 1;
    struct slice word = c->argv[*i];
    int64_t n;

    if (slice_is_word(word, "block") && more > 0) {
        return block_arg(c, ++*i, &r->block_ms);
    }
    if (slice_is_word(word, "count") && more > 0) {
        if (!stream_int_arg(c, ++*i, &n)) {
            return false;
        }
        r->most = n < 0 ? 0 : (uint64_t)n;
        return true;
    }
    if (slice_is_word(word, "group") && more >= 2) {
        if (!by_group) {
            return err_only_group(c, "GROUP");
        }
        r->group = c->argv[*i + 1];
        r->consumer = c->argv[*i + 2];
        r->by_group = true;
        *i += 2;
        return true;
    }
    if (slice_is_word(word, "noack")) {
        r->no_ack = true;
        return by_group || err_only_group(c, "NOACK");
    }
    reply_err(c->reply, WIRE_SYNTAX);
    return false;
}

bool stream_read_args(struct cmd *c, struct stream_read *out)
{
    bool by_group = (c->def->flags & CMD_WRITE) != 0;

    *out = (struct stream_read){.block_ms = -1};
    for (uint32_t i = 1; i < c->argc && out->keys == 0; i++) {
        if (slice_is_word(c->argv[i], "streams") && i + 1 < c->argc) {
            out->keys = i + 1;
        } else if (!read_option(c, out, by_group, &i)) {
            return false;
        }
    }
    if (out->keys != 0 && (c->argc - out->keys) % 2 != 0) {
        reply_errf(c->reply,
                   "ERR Unbalanced '%s' list of streams: for each stream key an ID or '%c' must "
                   "be specified.",
                   by_group ? "xreadgroup" : "xread", by_group ? '>' : '$');
        return false;
    }
    if (out->keys == 0) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    out->count = (c->argc - out->keys) / 2;
    if (by_group && !out->by_group) {
        reply_errf(c->reply, "ERR Missing GROUP option for XREADGROUP");
        return false;
    }
    return true;
}

/* ---- Replies ---- */

void stream_reply_id(struct reply *r, struct stream_id id)
{
    char text[STREAM_ID_TEXT_MAX];

    reply_bulk(r, (struct slice){text, stream_id_print(text, id)});
}

void stream_reply_entry(struct reply *r, struct stream_entry *e)
{
    struct slice name;
    struct slice value;

    reply_array(r, 2);
    stream_reply_id(r, e->id);
    reply_array(r, 2 * (size_t)e->fields);
    for (uint32_t i = 0; i < e->fields; i++) {
        stream_entry_field(e, &name, &value);
        reply_bulk(r, name);
        reply_bulk(r, value);
    }
}

bool stream_asks_much(const struct stream_walk *w, uint64_t count)
{
    return (count == 0 || count > SLICES_FEW) && stream_walk_is_long(w);
}

void stream_reply_range(struct reply *r, struct stream_walk *w, uint64_t count)
{
    struct stream_entry e;
    size_t at = reply_array_later(r);
    size_t n = 0;

    while ((count == 0 || n < count) && !r->failed && stream_walk_next(w, &e)) {
        stream_reply_entry(r, &e);
        n++;
    }
    slices_array_count(r, at, n);
}

void stream_err_subcommand(struct cmd *c, const char *container)
{
    struct slice sub = c->argv[1];

    reply_errf(c->reply,
               "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
               (int)(sub.len < 128 ? sub.len : 128), sub.ptr, container);
}

void stream_err_no_group(struct cmd *c, struct slice key, struct slice group)
{
    reply_errf(c->reply, "NOGROUP No such key '%.*s' or consumer group '%.*s'", (int)key.len,
               key.ptr, (int)group.len, group.ptr);
}
