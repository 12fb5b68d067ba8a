/* stream.c - the entries of streams: XADD, XRANGE, XREAD, XTRIM and kin. */
#include "node/cmd/stream.h"
#include "node/block.h"
#include "node/section.h"

#include "base/mem.h"
#include "node/cmd/families.h"
#include "node/notify.h"
#include "node/options.h"
#include "node/slices.h"

enum { LIMIT_DEFAULT = 10000, LIMIT_MOST = 1000000, NAME_MAX_BYTES = 32 };
/* Of one entry's fields and values. */
#define ELEMENTS_MAX ((uint64_t)1 << 30)

/* ---- XADD, XTRIM ---- */

struct adding {
    bool cuts, limit_given;
    struct stream_cut cut;
    bool only_there; /* NOMKSTREAM */
    bool id_given, seq_given;
    struct stream_id id;
};

static bool err(struct cmd *c, const char *text)
{
    reply_errf(c->reply, "ERR %s", text);
    return false;
}

/* MAXLEN or MINID at *i, which moves on to its last word. */
static bool cut_option(struct cmd *c, struct adding *a, uint32_t *i, bool by_id)
{
    int64_t n;

    if (a->cuts) {
        return err(c, "syntax error, MAXLEN and MINID options at the same time are not compatible");
    }
    a->cuts = true;
    a->cut.by_id = by_id;
    if (c->argc - *i - 1 >= 2 && c->argv[*i + 1].len == 1 &&
        (*c->argv[*i + 1].ptr == '~' || *c->argv[*i + 1].ptr == '=')) {
        a->cut.approximate = *c->argv[++*i].ptr == '~';
    }
    ++*i;
    if (by_id) {
        return stream_strict_id_arg(c, *i, &a->cut.id);
    }
    if (!stream_int_arg(c, *i, &n)) {
        return false;
    }
    a->cut.length = (uint64_t)n;
    return n >= 0 || err(c, "The MAXLEN argument must be >= 0.");
}

static bool limit_option(struct cmd *c, struct adding *a, uint32_t index)
{
    int64_t n;

    if (!stream_int_arg(c, index, &n)) {
        return false;
    }
    a->limit_given = true;
    a->cut.limit = (uint64_t)n;
    return n >= 0 || err(c, "The LIMIT argument must be >= 0.");
}

/* "ms-*" asks for the next counter. */
static bool new_id(struct cmd *c, struct adding *a, uint32_t index)
{
    struct slice text = c->argv[index];

    a->id_given = true;
    a->seq_given = true;
    if (text.len > 2 && text.ptr[text.len - 1] == '*' && text.ptr[text.len - 2] == '-') {
        struct slice ms = {text.ptr, text.len - 2};

        a->seq_given = false;
        if (memchr(ms.ptr, '-', ms.len) == NULL && stream_id_parse(ms, 0, &a->id)) {
            return true;
        }
    }
    return stream_strict_id_arg(c, index, &a->id);
}

/* What options together must fulfil. */
static bool check_options(struct cmd *c, struct adding *a, bool adds)
{
    uint64_t entries = conf_u64(&opt_stream_node_max_entries);

    if (a->cut.limit != 0 && !a->cuts) {
        return err(c, "syntax error, LIMIT cannot be used without specifying a trimming strategy");
    }
    if (!adds && !a->cuts) {
        return err(c, "syntax error, XTRIM must be called with a trimming strategy");
    }
    if (a->limit_given && !a->cut.approximate) {
        return err(c, "syntax error, LIMIT cannot be used without the special ~ option");
    }
    if (!a->limit_given && a->cut.approximate) {
        a->cut.limit = entries == 0                 ? LIMIT_DEFAULT
                       : entries > LIMIT_MOST / 100 ? LIMIT_MOST
                                                    : 100 * entries;
    }
    return true;
}

/* Where the id is (XADD), or the end. 0: an error was answered. */
static uint32_t options(struct cmd *c, struct adding *a, bool adds)
{
    uint32_t i = 2;

    for (; i < c->argc; i++) {
        struct slice word = c->argv[i];
        bool more = i + 1 < c->argc;
        bool fine = true;

        if (adds && word.len == 1 && *word.ptr == '*') {
            break;
        }
        if (more && (slice_is_word(word, "maxlen") || slice_is_word(word, "minid"))) {
            fine = cut_option(c, a, &i, slice_is_word(word, "minid"));
        } else if (more && slice_is_word(word, "limit")) {
            fine = limit_option(c, a, ++i);
        } else if (adds && slice_is_word(word, "nomkstream")) {
            a->only_there = true;
        } else if (stream_refs_word(word, &a->cut.refs)) {
            fine = true;
        } else if (adds) {
            if (!new_id(c, a, i)) {
                return 0;
            }
            break;
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return 0;
        }
        if (!fine) {
            return 0;
        }
    }
    return check_options(c, a, adds) ? i : 0;
}

/* The id of the new entry, above the last. */
static bool choose_id(struct cmd *c, const struct adding *a, struct stream_id last,
                      struct stream_id *out)
{
    struct stream_id now = {(uint64_t)c->now_ms, 0};

    if (!a->id_given) {
        *out = now;
        if (now.ms <= last.ms) {
            *out = last;
            (void)stream_id_next(out); /* the greatest was refused before */
        }
        return true;
    }
    *out = a->id;
    if (!a->seq_given && a->id.ms == last.ms) {
        out->seq = last.seq + 1; /* which overflows to 0, and is refused */
    }
    return stream_id_order(*out, last) > 0 ||
           err(c, "The ID specified in XADD is equal or smaller than the target stream top item");
}

static void err_arity(struct cmd *c)
{
    reply_errf(c->reply, "ERR wrong number of arguments for 'xadd' command");
}

static bool elements_fit(struct cmd *c, uint32_t from)
{
    uint64_t bytes = 0;

    for (uint32_t i = from; i < c->argc; i++) {
        bytes += c->argv[i].len;
    }
    return bytes <= ELEMENTS_MAX || err(c, "Elements are too large to be stored");
}

/* Blocks go at once; what groups know of their entries is looked at one by one. */
static bool cuts_much(const struct stream *st, const struct stream_cut *cut)
{
    struct stream_walk w;

    if (cut->refs == STREAM_KEEP_REFS) {
        return false;
    }
    if (!cut->by_id) {
        return st->length > SLICES_FEW && st->length - SLICES_FEW > cut->length;
    }
    stream_walk_begin(&w, st, STREAM_ID_MIN, cut->id, false);
    return stream_walk_is_long(&w);
}

static void cmd_xadd(struct cmd *c)
{
    struct adding a = {0};
    uint32_t at = options(c, &a, true);
    struct stream_id last = STREAM_ID_MIN;
    struct stream_view v;
    struct stream_id id;
    bool found;

    if (at == 0) {
        return;
    }
    uint32_t parts = c->argc > at ? c->argc - at - 1 : 0;

    if (parts < 2 || parts % 2 != 0) {
        err_arity(c);
        return;
    }
    if (a.id_given && a.seq_given && stream_id_is_zero(a.id)) {
        (void)err(c, "The ID specified in XADD must be greater than 0-0");
        return;
    }
    if (!stream_arg(c, 1, &v, &found)) {
        return;
    }
    if (found) {
        last = v.st->meta.last_id;
        if (slices_take(c, a.cuts && cuts_much(v.st, &a.cut))) {
            return; /* a write: there is nothing to close */
        }
        stream_close(&v);
    } else if (a.only_there) {
        reply_null(c->reply);
        return;
    }
    if (stream_id_order(last, STREAM_ID_MAX) == 0) {
        (void)err(c, "The stream has exhausted the last possible ID, unable to add more items");
        return;
    }
    if (!choose_id(c, &a, last, &id) || !elements_fit(c, at + 1)) {
        return;
    }
    stream_append(c, cmd_key(c, 1), id, c->argv + at + 1, parts);
    notify(c, NOTIFY_STREAM, "xadd", c->argv[1]);
    if (a.cuts && stream_trim(c, cmd_key(c, 1), &a.cut) > 0) {
        notify(c, NOTIFY_STREAM, "xtrim", c->argv[1]);
    }
    stream_reply_id(c->reply, id);
}

static void cmd_xtrim(struct cmd *c)
{
    struct adding a = {0};
    struct stream_view v;
    bool found;

    if (options(c, &a, false) == 0 || !stream_arg(c, 1, &v, &found)) {
        return;
    }
    if (found && slices_take(c, cuts_much(v.st, &a.cut))) {
        return; /* a write: there is nothing to close */
    }
    if (found) {
        stream_close(&v);
    }
    size_t removed = found ? (size_t)stream_trim(c, cmd_key(c, 1), &a.cut) : 0;

    if (removed > 0) {
        notify(c, NOTIFY_STREAM, "xtrim", c->argv[1]);
    }
    reply_int(c->reply, (int64_t)removed);
}

/* ---- XLEN, XRANGE ---- */

static void cmd_xlen(struct cmd *c)
{
    struct stream_view v;
    bool found;

    if (!stream_arg(c, 1, &v, &found)) {
        return;
    }
    reply_int(c->reply, found ? (int64_t)v.st->length : 0);
    if (found) {
        stream_close(&v);
    }
}

static void range(struct cmd *c, bool backwards)
{
    struct stream_id from;
    struct stream_id to;
    struct stream_view v;
    struct stream_walk w;
    int64_t count = -1;
    bool found;

    if (!stream_interval_args(c, backwards ? 3 : 2, backwards ? 2 : 3, &from, &to)) {
        return;
    }
    for (uint32_t i = 4; i < c->argc; i += 2) {
        if (!slice_is_word(c->argv[i], "count") || i + 1 == c->argc) {
            reply_err(c->reply, WIRE_SYNTAX);
            return;
        }
        if (!stream_int_arg(c, i + 1, &count)) {
            return;
        }
        count = count < 0 ? 0 : count;
    }
    if (!stream_arg(c, 1, &v, &found)) {
        return;
    }
    if (!found) {
        reply_array(c->reply, 0);
        return;
    }
    if (count == 0) {
        reply_null_array(c->reply);
    } else {
        stream_walk_begin(&w, v.st, from, to, backwards);
        if (!slices_take(c, stream_asks_much(&w, count < 0 ? 0 : (uint64_t)count))) {
            stream_reply_range(c->reply, &w, count < 0 ? 0 : (uint64_t)count);
        }
    }
    stream_close(&v);
}

static void cmd_xrange(struct cmd *c)
{
    range(c, false);
}

static void cmd_xrevrange(struct cmd *c)
{
    range(c, true);
}

/* ---- XREAD ---- */

/* The id after which to read from the stream, which is open if found. False when an error was answered. */
static bool read_after(struct cmd *c, uint32_t index, const struct stream_view *v, bool found,
                       struct stream_id *out)
{
    struct slice text = c->argv[index];

    *out = STREAM_ID_MIN;
    if (slice_is(text, SLICE("$"))) {
        *out = found ? v->st->meta.last_id : *out;
        return true;
    }
    if (slice_is(text, SLICE("+"))) {
        /* The last entry, if there is one: what is after the one before it. */
        *out = found ? stream_last_id(v->st) : *out;
        (void)stream_id_previous(out);
        return true;
    }
    if (slice_is(text, SLICE(">"))) {
        return err(c, "The > ID can be specified only when calling XREADGROUP using the GROUP "
                      "<group> <consumer> option.");
    }
    return stream_strict_id_arg(c, index, out);
}

/* One stream's new entries, if there are any: its part of the reply. False when an error was answered. */
static bool read_one(struct cmd *c, const struct stream_read *r, uint32_t i, struct reply *out,
                     bool *any)
{
    struct stream_view v;
    struct stream_walk w;
    struct stream_id after;
    bool found;

    *any = false;
    if (block_is_retry(c)) {
        found = stream_open(c, cmd_key(c, r->keys + i), &v) == FOUND;
    } else if (!stream_arg(c, r->keys + i, &v, &found)) {
        return false;
    }
    bool fine = read_after(c, r->keys + r->count + i, &v, found, &after);

    if (fine && found && v.st->length > 0 && stream_id_order(stream_last_id(v.st), after) > 0) {
        *any = true;
        if (r->count == 1) {
            reply_map_of_pairs(out, 1);
        }
        (void)stream_id_next(&after);
        reply_bulk(out, c->argv[r->keys + i]);
        stream_walk_begin(&w, v.st, after, STREAM_ID_MAX, false);
        stream_reply_range(out, &w, r->most);
    }
    if (found) {
        stream_close(&v);
    }
    return fine;
}

/* Errors are answered for any of the streams before what others have to give. */
static bool read_each(struct cmd *c, const struct stream_read *r, struct reply *out, size_t *n)
{
    bool any;

    *n = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        if (!read_one(c, r, i, out, &any)) {
            return false;
        }
        *n += any;
    }
    return true;
}

/* Waits for entries after what $ and + are now. False: it has to answer at once. */
static bool wait_for_entries(struct cmd *c, const struct stream_read *r)
{
    uint32_t ids = r->keys + r->count;
    size_t bytes = c->argc * sizeof(c->argv[0]) + (size_t)r->count * STREAM_ID_TEXT_MAX;
    struct slice *argv;
    bool waits;

    if (block_is_retry(c)) {
        return block_wait(c, r->keys, r->count, TYPE_STREAM, r->block_ms);
    }
    argv = mem_alloc(bytes);
    if (argv == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return true;
    }
    char *at = (char *)(argv + c->argc);

    memcpy(argv, c->argv, c->argc * sizeof(argv[0]));
    for (uint32_t i = 0; i < r->count; i++, at += STREAM_ID_TEXT_MAX) {
        struct stream_view v;
        struct stream_id last = STREAM_ID_MIN;

        if (!slice_is(argv[ids + i], SLICE("$")) && !slice_is(argv[ids + i], SLICE("+"))) {
            continue;
        }
        if (stream_open(c, cmd_key(c, r->keys + i), &v) == FOUND) {
            last = v.st->meta.last_id;
            stream_close(&v);
        }
        argv[ids + i] = (struct slice){at, stream_id_print(at, last)};
    }
    struct slice *asked = c->argv;

    c->argv = argv;
    waits = block_wait(c, r->keys, r->count, TYPE_STREAM, r->block_ms);
    if (c->blocked == NULL) {
        c->argv = asked;
    }
    mem_free(argv, bytes);
    return waits;
}

/* Nothing was there. */
static void nothing_yet(struct cmd *c, const struct stream_read *r)
{
    bool waits = r->block_ms >= 0;

    if (waits && c->section == NULL) {
        cmd_needs_locks(c); /* to look and to queue in one step */
    } else if (!waits || !wait_for_entries(c, r)) {
        reply_null_array(c->reply);
    }
}

/* Whether any of the streams has much to give. What is wrong with the arguments is said later. */
static bool reads_much(struct cmd *c, const struct stream_read *r)
{
    struct stream_id after;
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
        if (stream_id_parse(c->argv[r->keys + r->count + i], 0, &after)) {
            stream_walk_begin(&w, v.st, after, STREAM_ID_MAX, false);
            much = stream_asks_much(&w, r->most);
        }
        stream_close(&v);
    }
    return much;
}

static void cmd_xread(struct cmd *c)
{
    struct stream_read r;
    struct reply out;
    size_t n;

    if (block_is_over(c, reply_null_array) || !stream_read_args(c, &r) ||
        slices_take(c, reads_much(c, &r))) {
        return;
    }
    if (r.count == 1) {
        if (read_each(c, &r, c->reply, &n) && n == 0) {
            nothing_yet(c, &r);
        }
        return;
    }
    reply_init(&out);
    if (read_each(c, &r, &out, &n)) {
        if (n == 0) {
            nothing_yet(c, &r);
        } else {
            reply_map_of_pairs(c->reply, n);
            c->reply->flags |= out.flags;
        }
        if (out.failed || buf_append_slice(&c->reply->out, buf_slice(&out.out)) != 0) {
            c->reply->failed = true;
        }
    }
    reply_fini(&out);
}

/* ---- XDEL, XDELEX, XSETID ---- */

static void tell_removed(struct cmd *c, uint64_t removed, bool answers)
{
    if (removed > 0) {
        notify(c, NOTIFY_STREAM, "xdel", c->argv[1]);
    }
    if (answers) {
        reply_int(c->reply, (int64_t)removed);
    }
}

static void cmd_xdel(struct cmd *c)
{
    struct stream_view v;
    bool found;

    if (!stream_arg(c, 1, &v, &found)) {
        return;
    }
    if (!found) {
        reply_int(c->reply, 0);
        return;
    }
    stream_close(&v);
    if (slices_take(c, c->argc > SLICES_FEW)) {
        return;
    }
    struct stream_id *ids = stream_ids_args(c, 2, c->argc - 2);

    if (ids != NULL) {
        tell_removed(c, stream_remove(c, cmd_key(c, 1), ids, c->argc - 2, STREAM_KEEP_REFS, NULL),
                     true);
        stream_ids_free(ids, c->argc - 2);
    }
}

static void cmd_xdelex(struct cmd *c)
{
    enum stream_refs refs;
    struct stream_view v;
    uint32_t n;
    bool found;
    struct stream_id *ids = NULL;
    int8_t *became = NULL;

    if (!slices_take(c, c->argc > SLICES_FEW)) {
        ids = stream_refs_args(c, 2, &refs, &n);
    }
    if (ids == NULL) {
        return;
    }
    if (!stream_arg(c, 1, &v, &found)) {
        goto out;
    }
    if (found) {
        stream_close(&v);
    }
    became = mem_alloc(n);
    if (became == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        goto out;
    }
    memset(became, STREAM_NOT_THERE, n);
    if (found) {
        tell_removed(c, stream_remove(c, cmd_key(c, 1), ids, n, refs, became), false);
    }
    reply_array(c->reply, n);
    for (uint32_t i = 0; i < n; i++) {
        reply_int(c->reply, became[i]);
    }
out:
    mem_free(became, n);
    stream_ids_free(ids, n);
}

struct setting {
    struct stream_id id, deleted;
    int64_t added; /* -1: as it is */
};

static bool set_options(struct cmd *c, struct setting *s)
{
    for (uint32_t i = 3; i < c->argc; i += 2) {
        bool more = i + 1 < c->argc;

        if (more && slice_is_word(c->argv[i], "entriesadded")) {
            if (!stream_int_arg(c, i + 1, &s->added)) {
                return false;
            }
            if (s->added < 0) {
                return err(c, "entries_added must be positive");
            }
        } else if (more && slice_is_word(c->argv[i], "maxdeletedid")) {
            if (!stream_strict_id_arg(c, i + 1, &s->deleted)) {
                return false;
            }
            if (stream_id_order(s->id, s->deleted) < 0) {
                return err(c, "The ID specified in XSETID is smaller than the provided "
                              "max_deleted_entry_id");
            }
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    return true;
}

static bool may_set(struct cmd *c, const struct stream *st, const struct setting *s)
{
    if (stream_id_order(s->id, st->meta.max_deleted) < 0) {
        return err(c, "The ID specified in XSETID is smaller than current max_deleted_entry_id");
    }
    if (st->length == 0) {
        return true;
    }
    if (stream_id_order(s->id, stream_last_id(st)) < 0) {
        return err(c, "The ID specified in XSETID is smaller than the target stream top item");
    }
    return s->added == -1 || st->length <= (uint64_t)s->added ||
           err(c, "The entries_added specified in XSETID is smaller than the target stream length");
}

static void cmd_xsetid(struct cmd *c)
{
    struct setting s = {.added = -1};
    struct stream_view v;
    bool found;

    if (!stream_strict_id_arg(c, 2, &s.id) || !set_options(c, &s) ||
        !stream_arg(c, 1, &v, &found)) {
        return;
    }
    if (!found) {
        reply_err(c->reply, WIRE_NO_SUCH_KEY);
        return;
    }
    struct stream_meta meta = v.st->meta;
    bool fine = may_set(c, v.st, &s);

    stream_close(&v);
    if (!fine) {
        return;
    }
    meta.last_id = s.id;
    if (s.added != -1) {
        meta.entries_added = (uint64_t)s.added;
    }
    if (!stream_id_is_zero(s.deleted)) {
        meta.max_deleted = s.deleted;
    }
    stream_set_meta(c, cmd_key(c, 1), &meta);
    notify(c, NOTIFY_STREAM, "xsetid", c->argv[1]);
    reply_ok(c->reply);
}

/* clang-format off */
#define GROWS (CMD_WRITE | CMD_GROWS)
struct cmd_def stream_cmds[] = {
    { .name = "XADD", .arity = -5, .flags = GROWS | CMD_FAST | CMD_RANDOM, .keys = KEYS(1, 1, 1),
      .since = "5.0.0", .run = cmd_xadd,
      .args = "key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] "
              "[<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]",
      .summary = "Adds an entry to a stream, which is made if it is absent. Answers the entry's id." },
    { .name = "XLEN", .arity = 2, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "5.0.0", .run = cmd_xlen, .args = "key", .summary = "How many entries a stream has." },
    { .name = "XRANGE", .arity = -4, .flags = CMD_READ, .keys = KEYS(1, 1, 1), .since = "5.0.0",
      .run = cmd_xrange, .args = "key start end [COUNT count]",
      .summary = "The entries of an interval of ids." },
    { .name = "XREVRANGE", .arity = -4, .flags = CMD_READ, .keys = KEYS(1, 1, 1), .since = "5.0.0",
      .run = cmd_xrevrange, .args = "key end start [COUNT count]",
      .summary = "The entries of an interval of ids, from its end." },
    { .name = "XREAD", .arity = -4, .flags = CMD_READ | CMD_BLOCKING, .keys = KEYS_STREAMS(1),
      .since = "5.0.0", .run = cmd_xread,
      .args = "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
      .summary = "The entries of several streams, each after an id." },
    { .name = "XDEL", .arity = -3, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "5.0.0", .run = cmd_xdel, .args = "key id [id ...]",
      .summary = "Removes entries. Answers how many were there." },
    { .name = "XDELEX", .arity = -5, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "8.2.0", .run = cmd_xdelex,
      .args = "key [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
      .summary = "Removes entries with regard to the groups that wait for them." },
    { .name = "XTRIM", .arity = -4, .flags = CMD_WRITE | CMD_RANDOM, .keys = KEYS(1, 1, 1),
      .since = "5.0.0", .run = cmd_xtrim,
      .args = "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count] [KEEPREF | DELREF | ACKED]",
      .summary = "Removes a stream's oldest entries, down to a length or up to an id." },
    { .name = "XSETID", .arity = -3, .flags = GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "5.0.0", .run = cmd_xsetid,
      .args = "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
      .summary = "Sets what a stream knows of all entries that it ever had." },
    { .name = "XREADGROUP", .arity = -7, .flags = CMD_WRITE | CMD_BLOCKING, .keys = KEYS_STREAMS(4),
      .since = "5.0.0", .run = cmd_xreadgroup,
      .args = "GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] "
              "STREAMS key [key ...] id [id ...]",
      .summary = "New entries for a consumer of a group, or those that are pending for it." },
    { .name = "XACK", .arity = -4, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "5.0.0", .run = cmd_xack, .args = "key group id [id ...]",
      .summary = "Acknowledges entries of a group. Answers how many were pending." },
    { .name = "XACKDEL", .arity = -6, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "8.2.0", .run = cmd_xackdel,
      .args = "key group [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
      .summary = "Acknowledges entries of a group and removes them." },
    { .name = "XPENDING", .arity = -3, .flags = CMD_READ, .keys = KEYS(1, 1, 1), .since = "5.0.0",
      .run = cmd_xpending, .args = "key group [[IDLE min-idle-time] start end count [consumer]]",
      .summary = "What is pending in a group: a summary, or the entries of an interval." },
    { .name = "XCLAIM", .arity = -6, .flags = CMD_WRITE | CMD_FAST | CMD_RANDOM, .keys = KEYS(1, 1, 1),
      .since = "5.0.0", .run = cmd_xclaim,
      .args = "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] "
              "[RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
      .summary = "Makes pending entries those of another consumer." },
    { .name = "XAUTOCLAIM", .arity = -6, .flags = CMD_WRITE | CMD_FAST | CMD_RANDOM,
      .keys = KEYS(1, 1, 1), .since = "6.2.0", .run = cmd_xautoclaim,
      .args = "key group consumer min-idle-time start [COUNT count] [JUSTID]",
      .summary = "Makes entries that are pending for long those of another consumer." },
    { .name = "XGROUP", .arity = -2, .since = "5.0.0", .args = "",
      .summary = "Groups of consumers.", .subs = xgroup_cmds },
    { .name = "XINFO", .arity = -2, .since = "5.0.0", .args = "",
      .summary = "What a stream is made of.", .subs = xinfo_cmds },
    CMD_END
};
/* clang-format on */
