/* list_block.c - commands on lists that wait for an element (node/block.h). */
#include "base/parse.h"
#include "node/block.h"
#include "node/cmd/families.h"
#include "node/cmd/list.h"
#include "node/keyspace.h"
#include "proto/number.h"

/* The first of n keys at argv[first] that is a list, to *out. False when an error was answered. For one that
 * waits already, a key of another type is as good as absent. */
static bool first_list(struct cmd *c, uint32_t first, uint32_t n, bool *found, uint32_t *out)
{
    *found = false;
    for (uint32_t i = first; i < first + n && !*found; i++) {
        const struct entry *e = keyspace_find(c, cmd_key(c, i));

        if (e != NULL && e->type != TYPE_LIST && !block_is_retry(c)) {
            reply_err(c->reply, WIRE_WRONGTYPE);
            return false;
        }
        *found = e != NULL && e->type == TYPE_LIST;
        *out = i;
    }
    return true;
}

static void pop(struct cmd *c, enum vlist_end end)
{
    uint32_t keys = c->argc - 2;
    int64_t timeout_ms;
    uint32_t at = 0;
    bool found;

    if (block_is_over(c, reply_null_array) || !block_timeout_arg(c, c->argc - 1, &timeout_ms) ||
        !first_list(c, 1, keys, &found, &at)) {
        return;
    }
    if (found) {
        reply_array(c->reply, 2);
        reply_bulk(c->reply, c->argv[at]);
        (void)list_take_one(c, cmd_key(c, at), end);
    } else if (!block_wait(c, 1, keys, TYPE_LIST, timeout_ms)) {
        reply_null_array(c->reply);
    }
}

static void cmd_blpop(struct cmd *c)
{
    pop(c, LIST_HEAD);
}

static void cmd_brpop(struct cmd *c)
{
    pop(c, LIST_TAIL);
}

static void move(struct cmd *c, enum vlist_end take, enum vlist_end put, uint32_t timeout_at)
{
    struct list_move m = {cmd_key(c, 1), cmd_key(c, 2), take, put};
    const struct entry *from;
    int64_t timeout_ms;

    if (!block_timeout_arg(c, timeout_at, &timeout_ms)) {
        return;
    }
    from = keyspace_peek(c, m.from);
    if (block_is_retry(c) && from != NULL && from->type != TYPE_LIST) {
        from = NULL;
    } else {
        switch (list_move(c, &m)) {
        case FOUND:
            return;
        case WRONG_TYPE:
            reply_err(c->reply, WIRE_WRONGTYPE);
            return;
        case ABSENT:
            break;
        }
    }
    if (!block_wait(c, 1, 1, TYPE_LIST, timeout_ms)) {
        reply_null(c->reply);
    }
}

static void cmd_blmove(struct cmd *c)
{
    enum vlist_end take, put;

    if (block_is_over(c, reply_null_array)) {
        return;
    }
    if (!list_end_arg(c->argv[3], &take) || !list_end_arg(c->argv[4], &put)) {
        reply_err(c->reply, WIRE_SYNTAX);
        return;
    }
    move(c, take, put, 5);
}

static void cmd_brpoplpush(struct cmd *c)
{
    if (!block_is_over(c, reply_null_array)) {
        move(c, LIST_TAIL, LIST_HEAD, 3);
    }
}

static void cmd_blmpop(struct cmd *c)
{
    struct list_pop p;
    int64_t timeout_ms;
    uint32_t at = 0;
    bool found;

    if (block_is_over(c, reply_null_array) || !list_pop_args(c, 2, &p) ||
        !block_timeout_arg(c, 1, &timeout_ms) || !first_list(c, 3, p.keys, &found, &at)) {
        return;
    }
    if (found) {
        (void)list_take_first(c, at, 1, p.end, p.most);
    } else if (!block_wait(c, 3, p.keys, TYPE_LIST, timeout_ms)) {
        reply_null_array(c->reply);
    }
}

/* clang-format off */
#define WAITS (CMD_WRITE | CMD_BLOCKING)

struct cmd_def list_block_cmds[] = {
    { "BLPOP",  -3, WAITS, KEYS(1, -2, 1), "2.0.0", cmd_blpop, "key [key ...] timeout",
      "Takes the head of the first of several lists that is there, or waits for one." },
    { "BRPOP",  -3, WAITS, KEYS(1, -2, 1), "2.0.0", cmd_brpop, "key [key ...] timeout",
      "Takes the tail of the first of several lists that is there, or waits for one." },
    { "BLMOVE",  6, WAITS | CMD_GROWS, KEYS(1, 2, 1), "6.2.0", cmd_blmove,
      "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout",
      "Moves an element from an end of one list to an end of another, or waits for one." },
    { "BRPOPLPUSH", 4, WAITS | CMD_GROWS, KEYS(1, 2, 1), "2.2.0", cmd_brpoplpush, "source destination timeout",
      "Moves the tail of one list to the head of another, or waits for one." },
    { "BLMPOP", -5, WAITS, KEYS_COUNT(2, 1), "7.0.0", cmd_blmpop,
      "timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
      "Takes elements from the first of several lists that is there, or waits for one." },
    CMD_END
};
/* clang-format on */
