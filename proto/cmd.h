/* cmd.h - the command table: one row a command, read by dispatch, routing, ACL, COMMAND, the manual.
 *
 * Rows stand beside their handlers (node/cmd/<family>.c, edge/cmd_<family>.c). cmd_register() hands a
 * family's rows to the index and cmd_freeze() closes it before the first thread starts; afterwards
 * everything here is read-only and may be called from any thread.
 */
#ifndef PROTO_CMD_H
#define PROTO_CMD_H

#include "base/slice.h"

struct cmd;     /* one invocation: edge/backend.h */
struct cmd_def; /* one row */

typedef void (*cmd_run_fn)(struct cmd *c);

enum cmd_flag {
    CMD_READ = 1 << 0,  /* reads keys */
    CMD_WRITE = 1 << 1, /* may change keys: runs in a section */
    CMD_GROWS = 1 << 2, /* may take memory: refused when it is out (Redis: denyoom) */
    CMD_FAST = 1 << 3,  /* O(1) or O(log n) */
    CMD_DOOR = 1 << 4,  /* about the connection: carried out at the door, never sent to a backend */
    CMD_NOAUTH = 1 << 5,     /* may run before AUTH */
    CMD_WHOLE = 1 << 6,      /* its keys are the whole database (KEYS, SCAN, FLUSHDB, DBSIZE …) */
    CMD_ADMIN = 1 << 7,      /* about the server: Redis' admin and dangerous */
    CMD_DANGEROUS = 1 << 8,  /* Redis' category of that name, without admin */
    CMD_OPERATOR = 1 << 9,   /* the operator's, not a tenant's */
    CMD_LOADING = 1 << 10,   /* allowed while data is loaded */
    CMD_STALE = 1 << 11,     /* allowed on a stale replica */
    CMD_NOSCRIPT = 1 << 12,  /* refused in scripts */
    CMD_NOMULTI = 1 << 13,   /* refused in MULTI */
    CMD_BLOCKING = 1 << 14,  /* may wait for another client */
    CMD_PUBSUB = 1 << 15,    /* allowed while subscribed in RESP2 */
    CMD_QUIET = 1 << 16,     /* neither in MONITOR nor in SLOWLOG (secrets among its arguments) */
    CMD_FREE = 1 << 17,      /* not billed */
    CMD_RANDOM = 1 << 18,    /* Redis tip nondeterministic_output */
    CMD_UNORDERED = 1 << 19, /* Redis tip nondeterministic_output_order */
    CMD_INTERNAL = 1 << 20,  /* left out of COMMAND and the manual */
    CMD_TOUCHES = 1 << 21, /* counts as a look at the key for eviction even with CLIENT NO-TOUCH */
    CMD_TXN = 1 << 22,     /* about transactions: never queued by MULTI, alone in its batch */
    CMD_TXN_END = 1 << 23, /* after it nothing is watched; the queue, if any, is dropped */
    CMD_TXN_RUN = 1 << 24, /* carries out the queue: runs in a section */
    CMD_PATTERNS =
        1 << 25, /* with a `*` in what follows BY or GET its keys are the whole database */
    CMD_CACHES =
        1 << 26,         /* reads, and may keep what it found out with the key: runs in a section */
    CMD_SCRIPT = 1 << 27 /* runs a script: in a section, and its keys may be more than it names */
};

/* Where a command's keys are among its arguments (Redis' key specifications). */
enum cmd_keys_kind {
    CMD_KEYS_NONE,
    CMD_KEYS_RANGE,    /* first, last (negative: from the end), step */
    CMD_KEYS_COUNT,    /* argv[first] says how many; they follow it, step apart */
    CMD_KEYS_TO_COUNT, /* argv[first] is one; argv[first + 1] says how many follow that, step apart */
    CMD_KEYS_STREAMS, /* the first half of what follows the word STREAMS; argv[first] is the first option */
    CMD_KEYS_MOVABLE /* as RANGE, and more that only get_keys finds */
};

struct cmd_keys {
    enum cmd_keys_kind kind;
    int16_t first, last, step;
};

#define KEYS_NONE                                                                                  \
    {                                                                                              \
        CMD_KEYS_NONE, 0, 0, 0                                                                     \
    }
#define KEYS(first, last, step)                                                                    \
    {                                                                                              \
        CMD_KEYS_RANGE, first, last, step                                                          \
    }
#define KEYS_TO_COUNT(first, step)                                                                 \
    {                                                                                              \
        CMD_KEYS_TO_COUNT, first, 0, step                                                          \
    }
#define KEYS_STREAMS(first)                                                                        \
    {                                                                                              \
        CMD_KEYS_STREAMS, first, 0, 1                                                              \
    }
#define KEYS_COUNT(at, step)                                                                       \
    {                                                                                              \
        CMD_KEYS_COUNT, at, 0, step                                                                \
    }

/* Redis 7's command tips: which shards are asked and how their replies become one. */
enum cmd_request {
    CMD_BY_KEY,
    CMD_ALL_SHARDS,
    CMD_ALL_NODES,
    CMD_MULTI_SHARD,
    CMD_REQUEST_SPECIAL
};
enum cmd_response {
    CMD_REPLY_DEFAULT, /* by key: in the order of the keys; without keys: an array of all */
    CMD_ONE_SUCCEEDED,
    CMD_ALL_SUCCEEDED,
    CMD_AGG_LOGICAL_AND,
    CMD_AGG_LOGICAL_OR,
    CMD_AGG_MIN,
    CMD_AGG_MAX,
    CMD_AGG_SUM,
    CMD_RESPONSE_SPECIAL
};

struct cmd_def {
    const char *name; /* upper case */
    int16_t arity;    /* counts the name; negative: at least */
    uint32_t flags;
    struct cmd_keys keys;
    const char *since; /* the release of Redis that brought it; "godwit-x.y" for our own */
    cmd_run_fn run;    /* NULL for a container whose subs do the work */
    const char *args;  /* the syntax after the name, as in Redis' manual */
    const char *summary;
    enum cmd_request request;
    enum cmd_response response;
    struct cmd_def
        *subs; /* of a container, ends with CMD_END; each one's name without the container's */
    uint8_t member; /* argument that names a member of what the key has, to be fetched ahead; 0: none */
    /* private: filled in by cmd_register */
    const char *group;
    const struct cmd_def *parent;
    uint16_t id;
};

#define CMD_END                                                                                    \
    {                                                                                              \
        0                                                                                          \
    }

/* Redis' groups: "string", "bitmap", "generic", "hash", "connection", "server" … The rows are kept.
 * Two rows of one name end the process. */
void cmd_register(const char *group, struct cmd_def *rows);
void cmd_freeze(void);
/* Forgets every row. For tests, and for a clean exit. */
void cmd_thaw(void);

/* NULL if there is none. Any case. */
const struct cmd_def *cmd_find(struct slice name);
/* Of a container's; NULL if there is none. */
const struct cmd_def *cmd_find_sub(const struct cmd_def *container, struct slice name);
/* Every row, subcommands included, has an id from 0 to cmd_count()-1, the index of its counters. */
uint16_t cmd_count(void);
const struct cmd_def *cmd_by_id(uint16_t id);

static inline bool cmd_has_one_key(const struct cmd_def *def)
{
    return def->keys.kind == CMD_KEYS_RANGE && def->keys.first == def->keys.last;
}

/* Indexes into argv of the keys of a call, to out[0..max); returns how many there are, or -1 if the
 * arguments do not say (a count that is no number, or too large). */
int cmd_key_indexes(const struct cmd_def *def, const struct slice *argv, uint32_t argc,
                    uint32_t *out, uint32_t max);

/* Whether a call reads keys that its arguments do not name: CMD_WHOLE, or CMD_PATTERNS with a pattern. */
bool cmd_reads_any_key(const struct cmd_def *def, const struct slice *argv, uint32_t argc);

static inline bool cmd_arity_fits(const struct cmd_def *def, uint32_t argc)
{
    return def->arity >= 0 ? argc == (uint32_t)def->arity : argc >= (uint32_t)-def->arity;
}

#endif
