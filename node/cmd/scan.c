/* scan.c - walks over all keys: KEYS, SCAN, RANDOMKEY.
 *
 * A walk goes on in slices, one a turn, so that ten million keys stall nobody. What it has found so
 * far is its own: the connection's reply is written in one go at the end.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "edge/backend.h"
#include "node/cmd/families.h"
#include "node/keyspace.h"
#include "proto/glob.h"
#include "proto/number.h"

/* Keys looked at in a slice: well under a millisecond of cache misses. */
enum { SLICE_KEYS = 1000 };

/* A cursor is below this, so that clients may keep it as a double. */
#define CURSOR_END (1ull << 53)

struct walk {
    struct slice pattern; /* borrowed from argv */
    struct slice type;    /* likewise; ptr NULL for any */
    bool any;             /* the pattern matches all */
    bool with_type;
    uint64_t cursor;
    uint64_t wants; /* still to be looked at */
    size_t found;   /* values written */
    struct reply out;
};

static void walk_free(void *progress)
{
    struct walk *w = progress;

    reply_fini(&w->out);
    mem_free(w, sizeof(*w));
}

static struct walk *walk_begin(struct cmd *c)
{
    struct walk *w = mem_zalloc(sizeof(*w));

    if (w == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return NULL;
    }
    reply_init(&w->out);
    w->any = true;
    w->wants = UINT64_MAX;
    c->progress = w;
    c->progress_free = walk_free;
    return w;
}

static void walk_end(struct cmd *c)
{
    walk_free(c->progress);
    c->progress = NULL;
}

static bool has_type(const struct walk *w, const struct entry *e)
{
    const char *name = keyspace_type(e);

    for (size_t i = 0; i < w->type.len; i++) {
        if (name[i] == '\0' || slice_lower(w->type.ptr[i]) != slice_lower(name[i])) {
            return false;
        }
    }
    return name[w->type.len] == '\0';
}

static void on_entry(const struct entry *e, void *arg)
{
    struct walk *w = arg;

    if ((!w->any && !glob_match(w->pattern, entry_key(e), false)) ||
        (w->type.ptr != NULL && !has_type(w, e))) {
        return;
    }
    reply_bulk(&w->out, entry_key(e));
    w->found++;
    if (w->with_type) {
        reply_bulk(&w->out, slice_of(keyspace_type(e)));
        w->found++;
    }
}

/* A slice. False when there is more to do; else the walk is complete, unless c->retry was set. */
static bool walk_on(struct cmd *c, struct walk *w)
{
    size_t want = w->wants < SLICE_KEYS ? (size_t)w->wants : SLICE_KEYS;
    uint64_t next = keyspace_scan(c, w->cursor, want, on_entry, w);

    w->cursor = next;
    w->wants -= want;
    if (next != 0 && w->wants > 0 && !w->out.failed) {
        c->again = true;
        return false;
    }
    return true;
}

/* What was found, as an array. */
static void walk_reply(struct cmd *c, const struct walk *w)
{
    reply_array(c->reply, w->found);
    if (w->out.failed || buf_append_slice(&c->reply->out, buf_slice(&w->out.out)) != OK) {
        c->reply->failed = true;
    }
}

static void cmd_keys(struct cmd *c)
{
    struct walk *w = c->progress;

    if (w == NULL) {
        w = walk_begin(c);
        if (w == NULL) {
            return;
        }
        w->pattern = c->argv[1];
        w->any = slice_is(c->argv[1], SLICE("*"));
    }
    if (walk_on(c, w)) {
        walk_reply(c, w);
        walk_end(c);
    }
}

/* False when an error was answered. */
static bool scan_options(struct cmd *c, struct walk *w)
{
    int64_t count = 10;

    for (uint32_t i = 2; i < c->argc; i++) {
        bool more = i + 1 < c->argc;

        if (more && slice_is_word(c->argv[i], "count")) {
            if (!parse_i64(c->argv[++i], &count)) {
                reply_err(c->reply, WIRE_NOT_INTEGER);
                return false;
            }
            if (count < 1) {
                reply_err(c->reply, WIRE_SYNTAX);
                return false;
            }
        } else if (more && slice_is_word(c->argv[i], "match")) {
            w->pattern = c->argv[++i];
            w->any = slice_is(w->pattern, SLICE("*"));
        } else if (more && slice_is_word(c->argv[i], "type")) {
            w->type = c->argv[++i];
        } else if (slice_is_word(c->argv[i], "withtype")) {
            w->with_type = true;
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    w->wants = (uint64_t)count;
    return true;
}

static void cmd_scan(struct cmd *c)
{
    struct walk *w = c->progress;
    char digits[BUF_I64_MAX];
    uint64_t cursor;

    if (w == NULL) {
        if (!number_parse_cursor(c->argv[1], &cursor)) {
            reply_err(c->reply, WIRE_CURSOR);
            return;
        }
        w = walk_begin(c);
        if (w == NULL) {
            return;
        }
        w->cursor = cursor;
        if (!scan_options(c, w)) {
            walk_end(c);
            return;
        }
    }
    /* Not one of ours: the walk it stands for is over. */
    if (w->cursor >= CURSOR_END) {
        w->cursor = 0;
    } else if (!walk_on(c, w)) {
        return;
    }
    reply_array(c->reply, 2);
    reply_bulk(c->reply, (struct slice){digits, buf_put_u64(digits, w->cursor)});
    walk_reply(c, w);
    walk_end(c);
}

static void cmd_randomkey(struct cmd *c)
{
    const struct entry *e = keyspace_random(c);

    if (e == NULL) {
        reply_null(c->reply);
    } else {
        reply_bulk(c->reply, entry_key(e));
    }
}

/* clang-format off */
struct cmd_def scan_cmds[] = {
    { "KEYS",      2, CMD_READ | CMD_WHOLE | CMD_DANGEROUS | CMD_UNORDERED, KEYS_NONE, "1.0.0", cmd_keys, "pattern",
      "All keys that match a pattern.", .request = CMD_ALL_SHARDS },
    { "RANDOMKEY", 1, CMD_READ | CMD_WHOLE | CMD_RANDOM,                    KEYS_NONE, "1.0.0", cmd_randomkey, "",
      "Any key.", .request = CMD_ALL_SHARDS, .response = CMD_RESPONSE_SPECIAL },
    { "SCAN",     -2, CMD_READ | CMD_WHOLE | CMD_RANDOM,                    KEYS_NONE, "2.8.0", cmd_scan,
      "cursor [MATCH pattern] [COUNT count] [TYPE type] [WITHTYPE]",
      "A part of all keys, and the cursor to ask for the next part with.",
      .request = CMD_REQUEST_SPECIAL, .response = CMD_RESPONSE_SPECIAL },
    CMD_END
};
/* clang-format on */
