/* generic.c - commands on keys of any type: delete, rename, copy, what is known of a key. */
#include "base/parse.h"
#include "base/worker.h"
#include "edge/acl_log.h"
#include "edge/backend.h"
#include "edge/session.h"
#include "node/cmd/families.h"
#include "node/evict.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/slices.h"

/* The argument as an integer; false when an error was answered. */
static bool integer_arg(struct cmd *c, uint32_t index, int64_t *out)
{
    if (!parse_i64(c->argv[index], out)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    return true;
}

/* DEL and UNLINK: large values are freed in slices anyway, so they do the same. */
static void cmd_del(struct cmd *c)
{
    int64_t sum = 0;

    if (slices_take(c, c->argc > SLICES_FEW)) {
        return;
    }
    for (uint32_t i = 1; i < c->argc && slices_tick(4); i++) {
        sum += keyspace_delete(c, cmd_key(c, i));
    }
    reply_int(c->reply, sum);
}

/* EXISTS and TOUCH. A key named twice counts twice. */
static void cmd_exists(struct cmd *c)
{
    int64_t sum = 0;

    if (slices_take(c, c->argc > SLICES_FEW)) {
        return;
    }
    for (uint32_t i = 1; i < c->argc && slices_tick(3); i++) {
        sum += keyspace_find(c, cmd_key(c, i)) != NULL;
    }
    reply_int(c->reply, sum);
}

static void cmd_type(struct cmd *c)
{
    const struct entry *e = keyspace_peek(c, cmd_key(c, 1));

    if (e == NULL && !c->retry) {
        notify(c, NOTIFY_KEY_MISS, "keymiss", c->argv[1]);
    }

    reply_simple(c->reply, e == NULL ? SLICE("none") : slice_of(keyspace_type(e)));
}

static void cmd_rename(struct cmd *c)
{
    struct key from = cmd_key(c, 1);
    const struct entry *e = keyspace_peek(c, from);

    if (e == NULL) {
        reply_err(c->reply, WIRE_NO_SUCH_KEY);
        return;
    }
    if (slices_take(c, keyspace_is_long(e))) {
        return;
    }
    if (!slice_is(c->argv[1], c->argv[2])) {
        keyspace_rename(c, from, cmd_key(c, 2));
    }
    reply_ok(c->reply);
}

static void cmd_renamenx(struct cmd *c)
{
    struct key from = cmd_key(c, 1);
    struct key to = cmd_key(c, 2);
    const struct entry *e = keyspace_peek(c, from);

    if (e == NULL) {
        reply_err(c->reply, WIRE_NO_SUCH_KEY);
        return;
    }
    if (slice_is(c->argv[1], c->argv[2]) || keyspace_peek(c, to) != NULL) {
        reply_int(c->reply, 0);
        return;
    }
    if (!slices_take(c, keyspace_is_long(e))) {
        keyspace_rename(c, from, to);
        reply_int(c->reply, 1);
    }
}

/* A database number that SELECT would take; false when an error was answered. */
static bool database_arg(struct cmd *c, uint32_t index)
{
    int64_t db;

    if (!integer_arg(c, index, &db)) {
        return false;
    }
    if (db < INT32_MIN || db > INT32_MAX) {
        reply_errf(c->reply, "ERR value is out of range, value must between %d and %d", INT32_MIN,
                   INT32_MAX);
        return false;
    }
    if (db != 0) {
        reply_err(c->reply, WIRE_DB_INDEX);
        return false;
    }
    return true;
}

static void cmd_copy(struct cmd *c)
{
    struct key from = cmd_key(c, 1);
    struct key to = cmd_key(c, 2);
    bool replace = false;

    for (uint32_t i = 3; i < c->argc; i++) {
        if (slice_is_word(c->argv[i], "replace")) {
            replace = true;
        } else if (slice_is_word(c->argv[i], "db") && i + 1 < c->argc) {
            if (!database_arg(c, ++i)) {
                return;
            }
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return;
        }
    }
    /* A key copied to itself is left alone and not an error: what Upstash's clients expect. */
    const struct entry *e = slice_is(c->argv[1], c->argv[2]) ? NULL : keyspace_find(c, from);

    if (e == NULL || (!replace && keyspace_peek(c, to) != NULL)) {
        reply_int(c->reply, 0);
    } else if (!slices_take(c, keyspace_is_long(e))) {
        keyspace_copy(c, from, to);
        reply_int(c->reply, 1);
    }
}

/* There is one database, so that a key could only be moved to where it is. */
static void cmd_move(struct cmd *c)
{
    if (database_arg(c, 2)) {
        reply_errf(c->reply, "ERR source and destination objects are the same");
    }
}

/* The key of OBJECT; NULL when a null was answered. */
static const struct entry *object_find(struct cmd *c)
{
    const struct entry *e = keyspace_peek(c, cmd_key(c, 2));

    if (e == NULL) {
        reply_null(c->reply);
    }
    return e;
}

static void cmd_object_encoding(struct cmd *c)
{
    const struct entry *e = object_find(c);

    if (e != NULL) {
        reply_bulk(c->reply, slice_of(keyspace_encoding(e)));
    }
}

static void cmd_object_refcount(struct cmd *c)
{
    if (object_find(c) != NULL) {
        reply_int(c->reply, 1);
    }
}

#define WHEN_SWITCHING                                                                             \
    " Please note that when switching between policies at runtime LRU and LFU data will take some" \
    " time to adjust."

/* -1: the key has no clock, since no policy has needed one. */
static void reply_use(struct cmd *c, int64_t n)
{
    reply_int(c->reply, n < 0 ? 0 : n);
}

static void cmd_object_idletime(struct cmd *c)
{
    const struct entry *e = object_find(c);

    if (e == NULL) {
        return;
    }
    if (evict_is_lfu()) {
        reply_errf(
            c->reply,
            "ERR An LFU maxmemory policy is selected, idle time not tracked." WHEN_SWITCHING);
        return;
    }
    reply_use(c, evict_idle_seconds(e));
}

static void cmd_object_freq(struct cmd *c)
{
    const struct entry *e = object_find(c);

    if (e == NULL) {
        return;
    }
    if (!evict_is_lfu()) {
        reply_errf(c->reply, "ERR An LFU maxmemory policy is not selected, access frequency not"
                             " tracked." WHEN_SWITCHING);
        return;
    }
    reply_use(c, evict_frequency(e));
}

/* How many replicas or disks are asked for; false when an error was answered. */
static bool wanted_arg(struct cmd *c, uint32_t index, int64_t *out)
{
    if (!integer_arg(c, index, out)) {
        return false;
    }
    if (*out < 0) {
        reply_err(c->reply, WIRE_NEGATIVE);
        return false;
    }
    return true;
}

/* 0 for no end. */
static bool timeout_arg(struct cmd *c, uint32_t index, int64_t *ms)
{
    if (!parse_i64(c->argv[index], ms)) {
        reply_errf(c->reply, "ERR timeout is not an integer or out of range");
        return false;
    }
    if (*ms < 0) {
        reply_errf(c->reply, "ERR timeout is negative");
        return false;
    }
    return true;
}

/* False when nothing is left to wait for, so that the answer is due: there are no replicas, so it is
 * time alone, or CLIENT UNBLOCK, whose error is answered here. */
static bool waits_on(struct cmd *c, int64_t replicas, int64_t timeout_ms)
{
    if (c->unblocked == CMD_UNBLOCKED_ERROR) {
        reply_errf(c->reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
        return true;
    }
    if (c->unblocked == CMD_UNBLOCKED_DENIED) {
        acl_reply_denied_now(c);
        return true;
    }
    if (c->again_at_ms != 0 || replicas <= 0 || c->in_txn) {
        return false;
    }
    if (timeout_ms == 0 ||
        __builtin_add_overflow(c->session->worker->now_ms, timeout_ms, &c->again_at_ms)) {
        c->again_at_ms = INT64_MAX;
    }
    c->again = true;
    return true;
}

static void cmd_wait(struct cmd *c)
{
    int64_t replicas;
    int64_t timeout_ms;

    if (!integer_arg(c, 1, &replicas) || !timeout_arg(c, 2, &timeout_ms)) {
        return;
    }
    if (!waits_on(c, replicas, timeout_ms)) {
        reply_int(c->reply, 0);
    }
}

static void cmd_waitaof(struct cmd *c)
{
    int64_t local;
    int64_t replicas;
    int64_t timeout_ms;

    if (!integer_arg(c, 1, &local)) {
        return;
    }
    if (local < 0 || local > 1) {
        reply_errf(c->reply, "ERR value is out of range, value must between 0 and 1");
        return;
    }
    if (!wanted_arg(c, 2, &replicas) || !timeout_arg(c, 3, &timeout_ms)) {
        return;
    }
    if (local > 0) {
        reply_errf(c->reply, "ERR WAITAOF cannot be used when numlocal is set but appendonly is"
                             " disabled.");
        return;
    }
    if (!waits_on(c, replicas, timeout_ms)) {
        reply_array(c->reply, 2);
        reply_int(c->reply, 0);
        reply_int(c->reply, 0);
    }
}

/* clang-format off */
static struct cmd_def object_cmds[] = {
    { "ENCODING", 3, CMD_READ,                           KEYS(2, 2, 1), "2.2.3", cmd_object_encoding, "key",
      "How the value of a key is kept." },
    { "FREQ",     3, CMD_READ | CMD_RANDOM,              KEYS(2, 2, 1), "4.0.0", cmd_object_freq, "key",
      "How often a key is used, on a logarithmic scale, when the eviction policy counts it." },
    { "HELP",     2, CMD_LOADING | CMD_STALE | CMD_FREE, KEYS_NONE,     "6.2.0", help_run, "",
      "Print this help." },
    { "IDLETIME", 3, CMD_READ | CMD_RANDOM,              KEYS(2, 2, 1), "2.2.3", cmd_object_idletime, "key",
      "Seconds since a key was last used." },
    { "REFCOUNT", 3, CMD_READ | CMD_RANDOM,              KEYS(2, 2, 1), "2.2.3", cmd_object_refcount, "key",
      "References to the value of a key: always 1, since values are not shared." },
    CMD_END
};

struct cmd_def generic_cmds[] = {
    { "COPY",    -3, CMD_WRITE | CMD_GROWS,  KEYS(1, 2, 1),  "6.2.0", cmd_copy,
      "source destination [DB destination-db] [REPLACE]",
      "Copies the value and expiry of a key to another." },
    { "DEL",     -2, CMD_WRITE,              KEYS(1, -1, 1), "1.0.0", cmd_del, "key [key ...]",
      "Deletes keys, and counts those that were there.", .request = CMD_MULTI_SHARD, .response = CMD_AGG_SUM },
    { "EXISTS",  -2, CMD_READ | CMD_FAST,    KEYS(1, -1, 1), "1.0.0", cmd_exists, "key [key ...]",
      "Counts the keys that are there.", .request = CMD_MULTI_SHARD, .response = CMD_AGG_SUM },
    { "MOVE",     3, CMD_WRITE | CMD_FAST,   KEYS(1, 1, 1),  "1.0.0", cmd_move, "key db",
      "Moves a key to another database of the same server; there is only one." },
    { "OBJECT",  -2, 0,                      KEYS_NONE,      "2.2.3", NULL, "",
      "How the server keeps a key.", .subs = object_cmds },
    { "RENAME",   3, CMD_WRITE,              KEYS(1, 2, 1),  "1.0.0", cmd_rename, "key newkey",
      "Gives a key another name, replacing what had it." },
    { "RENAMENX", 3, CMD_WRITE | CMD_FAST,   KEYS(1, 2, 1),  "1.0.0", cmd_renamenx, "key newkey",
      "Gives a key another name unless that is taken." },
    { "TOUCH",   -2, CMD_READ | CMD_FAST | CMD_TOUCHES, KEYS(1, -1, 1), "3.2.1", cmd_exists, "key [key ...]",
      "Counts the keys that are there, and notes that they were used.", .request = CMD_MULTI_SHARD, .response = CMD_AGG_SUM },
    { "TYPE",     2, CMD_READ | CMD_FAST,    KEYS(1, 1, 1),  "1.0.0", cmd_type, "key",
      "The type of a key's value." },
    { "UNLINK",  -1, CMD_WRITE | CMD_FAST,   KEYS(1, -1, 1), "4.0.0", cmd_del, "[key ...]",
      "Deletes keys, and counts those that were there. None is allowed.", .request = CMD_MULTI_SHARD, .response = CMD_AGG_SUM },
    { "WAIT",     3, CMD_BLOCKING,           KEYS_NONE,      "3.0.0", cmd_wait, "numreplicas timeout",
      "How many replicas hold all that this connection wrote before.", .request = CMD_ALL_SHARDS, .response = CMD_AGG_MIN },
    { "WAITAOF",  4, CMD_BLOCKING,           KEYS_NONE,      "7.2.0", cmd_waitaof, "numlocal numreplicas timeout",
      "On how many disks, here and at replicas, all that this connection wrote before is.", .request = CMD_ALL_SHARDS, .response = CMD_AGG_MIN },
    CMD_END
};
/* clang-format on */
