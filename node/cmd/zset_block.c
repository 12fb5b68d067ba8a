/* zset_block.c - commands on sorted sets that wait for a member (node/block.h). */
#include "node/block.h"
#include "node/cmd/families.h"
#include "node/cmd/zset.h"
#include "node/keyspace.h"

/* Opens the first of n keys at argv[first] that is a sorted set. False when an error was answered. For one that
 * waits already, a key of another type is as good as absent. */
static bool first_zset(struct cmd *c, uint32_t first, uint32_t n, struct zset *z, uint32_t *at)
{
    *at = 0;
    for (uint32_t i = first; i < first + n && *at == 0; i++) {
        switch (zset_open(c, cmd_key(c, i), z)) {
        case FOUND:
            *at = i;
            break;
        case WRONG_TYPE:
            if (!block_is_retry(c)) {
                reply_err(c->reply, WIRE_WRONGTYPE);
                return false;
            }
            break;
        case ABSENT:
            break;
        }
    }
    return true;
}

static void pop(struct cmd *c, bool from_end)
{
    uint32_t keys = c->argc - 2;
    int64_t timeout_ms;
    struct zset z;
    uint32_t at;

    if (block_is_over(c, reply_null_array) || !block_timeout_arg(c, c->argc - 1, &timeout_ms) ||
        !first_zset(c, 1, keys, &z, &at)) {
        return;
    }
    if (at > 0) {
        zset_pop(c, cmd_key(c, at), &z, from_end, 1, ZSET_POP_NAMED);
    } else if (!block_wait(c, 1, keys, TYPE_ZSET, timeout_ms)) {
        reply_null_array(c->reply);
    }
}

static void cmd_bzpopmin(struct cmd *c)
{
    pop(c, false);
}

static void cmd_bzpopmax(struct cmd *c)
{
    pop(c, true);
}

static void cmd_bzmpop(struct cmd *c)
{
    struct zset_mpop p;
    int64_t timeout_ms;
    struct zset z;
    uint32_t at;

    if (block_is_over(c, reply_null_array) || !zset_mpop_args(c, 2, &p) ||
        !block_timeout_arg(c, 1, &timeout_ms) || !first_zset(c, 3, p.keys, &z, &at)) {
        return;
    }
    if (at > 0) {
        zset_mpop(c, at, &z, &p);
    } else if (!block_wait(c, 3, p.keys, TYPE_ZSET, timeout_ms)) {
        reply_null_array(c->reply);
    }
}

/* clang-format off */
#define WAITS (CMD_WRITE | CMD_BLOCKING)

struct cmd_def zset_block_cmds[] = {
    { "BZPOPMIN", -3, WAITS | CMD_FAST, KEYS(1, -2, 1), "5.0.0", cmd_bzpopmin, "key [key ...] timeout",
      "Pops the lowest member of the first of several sorted sets that is there, or waits for one." },
    { "BZPOPMAX", -3, WAITS | CMD_FAST, KEYS(1, -2, 1), "5.0.0", cmd_bzpopmax, "key [key ...] timeout",
      "Pops the highest member of the first of several sorted sets that is there, or waits for one." },
    { "BZMPOP",   -5, WAITS, KEYS_COUNT(2, 1), "7.0.0", cmd_bzmpop,
      "timeout numkeys key [key ...] <MIN | MAX> [COUNT count]",
      "Pops members from the first of several sorted sets that is there, or waits for one." },
    CMD_END
};
/* clang-format on */
