/* scan.c - walks over all keys: KEYS, SCAN, RANDOMKEY.
 *
 * A walk goes on in slices, one a turn, so that ten million keys stall nobody. What it has found so
 * far is its own: the connection's reply is written in one go at the end.
 */
#include "base/err.h"
#include "base/mem.h"
#include "edge/backend.h"
#include "node/cmd/families.h"
#include "node/cmd/page.h"
#include "node/keyspace.h"

/* Keys looked at in a slice: well under a millisecond of cache misses. */
enum { SLICE_KEYS = 1000 };

/* A cursor is below this, so that clients may keep it as a double. */
#define CURSOR_END (1ull << 53)

struct walk {
    struct page page; /* its count: still to be looked at */
    uint64_t cursor;
};

static void walk_free(void *progress)
{
    struct walk *w = progress;

    page_fini(&w->page);
    mem_free(w, sizeof(*w));
}

/* The words of SCAN stand from argv[from] on. NULL: an error was answered. */
static struct walk *walk_begin(struct cmd *c, uint32_t from)
{
    struct walk *w = mem_zalloc(sizeof(*w));

    if (w == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return NULL;
    }
    if (!page_begin(c, from, PAGE_TYPES, &w->page)) {
        mem_free(w, sizeof(*w));
        return NULL;
    }
    c->progress = w;
    c->progress_free = walk_free;
    return w;
}

static void walk_end(struct cmd *c)
{
    walk_free(c->progress);
    c->progress = NULL;
}

static bool has_type(struct slice type, const struct entry *e)
{
    const char *name = keyspace_type(e);

    for (size_t i = 0; i < type.len; i++) {
        if (name[i] == '\0' || slice_lower(type.ptr[i]) != slice_lower(name[i])) {
            return false;
        }
    }
    return name[type.len] == '\0';
}

static void on_entry(const struct entry *e, void *arg)
{
    struct page *p = arg;

    if (page_wants(p, entry_key(e)) && (p->type.ptr == NULL || has_type(p->type, e))) {
        page_add(p, entry_key(e));
        if (p->with_type) {
            page_add(p, slice_of(keyspace_type(e)));
        }
    }
}

/* A slice. False when there is more to do; else the walk is complete, unless c->retry was set. */
static bool walk_on(struct cmd *c, struct walk *w)
{
    struct page *p = &w->page;
    size_t want = p->count < SLICE_KEYS ? (size_t)p->count : SLICE_KEYS;
    uint64_t next = keyspace_scan(c, w->cursor, want, on_entry, p);

    w->cursor = next;
    p->count -= want;
    if (next != 0 && p->count > 0 && !p->out.failed) {
        c->again = true;
        return false;
    }
    return true;
}

static void cmd_keys(struct cmd *c)
{
    struct walk *w = c->progress;

    if (w == NULL) {
        w = walk_begin(c, c->argc);
        if (w == NULL) {
            return;
        }
        w->page.pattern = c->argv[1];
        w->page.any = slice_is(c->argv[1], SLICE("*"));
        w->page.count = UINT64_MAX;
    }
    if (walk_on(c, w)) {
        page_reply_values(c, &w->page);
        walk_end(c);
    }
}

static void cmd_scan(struct cmd *c)
{
    struct walk *w = c->progress;
    uint64_t cursor;

    if (w == NULL) {
        w = page_cursor(c, 1, &cursor) ? walk_begin(c, 2) : NULL;
        if (w == NULL) {
            return;
        }
        w->cursor = cursor;
    }
    /* Not one of ours: the walk it stands for is over. */
    if (w->cursor >= CURSOR_END) {
        w->cursor = 0;
    } else if (!walk_on(c, w)) {
        return;
    }
    page_reply(c, w->cursor, &w->page);
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
