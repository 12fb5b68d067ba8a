/* string.c - commands on strings. */
#include "base/conf.h"
#include "base/parse.h"
#include "edge/backend.h"
#include "edge/options.h"
#include "node/cmd/families.h"
#include "node/cmd/lcs.h"
#include "node/cmd/string_job.h"
#include "node/cmd/string_options.h"
#include "node/cmd/string_walk.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/section.h"
#include "node/slices.h"
#include "node/type_string.h"
#include "proto/number.h"

#include <math.h>

/* ---- Reading ---- */

/* The string at argv[index]: empty when absent. WRONG_TYPE was answered. */
static enum found read_arg(struct cmd *c, uint32_t index, struct string_value *v)
{
    enum found found = string_read(c, cmd_key(c, index), v);

    if (UNLIKELY(found == WRONG_TYPE)) {
        reply_err(c->reply, WIRE_WRONGTYPE);
    }
    return found;
}

static void reply_go_on(struct cmd *c)
{
    struct string_walk *w = c->progress;

    if (string_walk_reply(c, w)) {
        string_walk_end(c, w);
    }
}

/* From one byte to before another; in slices if that is long. */
static void reply_part(struct cmd *c, const struct string_value *v, size_t from, size_t to)
{
    struct string_walk on_stack = {.go_on = reply_go_on};
    struct string_walk *w = string_walk_begin(c, &on_stack, sizeof(on_stack), v, from, to);

    if (w != NULL) {
        reply_bulk_begin(c->reply, to - from);
        if (string_walk_reply(c, w)) {
            string_walk_end(c, w);
        }
    }
}

/* A write's answer, the value that was there. False: not all of it yet. */
static bool reply_found(struct cmd *c, enum found found, const struct string_value *v)
{
    switch (found) {
    case FOUND:
        return string_job_reply(c, v);
    case ABSENT:
        reply_null(c->reply);
        break;
    case WRONG_TYPE:
        break; /* answered */
    }
    return true;
}

static void cmd_get(struct cmd *c)
{
    const struct entry *e = keyspace_find(c, c->key);

    if (e != NULL && LIKELY(e->type == TYPE_STRING && e->encoding == ENC_BYTES)) {
        reply_bulk(c->reply, entry_payload(e)); /* by far the most frequent */
    } else if (e == NULL) {
        reply_null(c->reply);
    } else if (e->type != TYPE_STRING) {
        reply_err(c->reply, WIRE_WRONGTYPE);
    } else {
        struct string_value v;

        string_of_entry(e, &v);
        if (UNLIKELY(string_is_long(&v, v.len))) {
            reply_part(c, &v, 0, v.len);
        } else {
            string_reply(c->reply, &v);
        }
    }
}

static void cmd_mget(struct cmd *c)
{
    size_t full = c->reply->out.len + STRING_SLICE;
    struct string_value v;

    if (cmd_is_long(c)) {
        return;
    }
    if (c->at == 0) {
        reply_array(c->reply, c->argc - 1);
    }
    for (uint32_t end = cmd_slice_end(c, 1); c->at < end; c->at++) {
        if (string_read(c, cmd_key(c, c->at), &v) != FOUND) {
            reply_null(c->reply);
            continue;
        }
        if (UNLIKELY(c->section == NULL &&
                     c->reply->out.len + v.len > full + (size_t)3 * STRING_SLICE)) {
            cmd_needs_locks(c);
            return;
        }
        if (UNLIKELY(c->reply->out.len > full) || !string_job_reply(c, &v)) {
            break; /* goes on with this one */
        }
    }
    (void)cmd_slice_is_last(c);
}

static void cmd_strlen(struct cmd *c)
{
    struct string_value v;

    if (read_arg(c, 1, &v) != WRONG_TYPE) {
        reply_int(c->reply, (int64_t)v.len);
    }
}

/* GETRANGE and SUBSTR */
static void cmd_getrange(struct cmd *c)
{
    struct string_value v;
    int64_t start, end;

    if (!parse_i64(c->argv[2], &start) || !parse_i64(c->argv[3], &end)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    if (read_arg(c, 1, &v) == WRONG_TYPE) {
        return;
    }
    int64_t len = (int64_t)v.len;

    if (start < 0 && end < 0 && start > end) {
        reply_bulk(c->reply, SLICE(""));
        return;
    }
    start = start < 0 ? (start < -len ? 0 : start + len) : start;
    end = end < 0 ? (end < -len ? 0 : end + len) : end;
    end = end >= len ? len - 1 : end;
    if (start > end || len == 0) {
        reply_bulk(c->reply, SLICE(""));
        return;
    }
    reply_part(c, &v, (size_t)start, (size_t)end + 1);
}

static void cmd_digest(struct cmd *c)
{
    struct string_value v;

    switch (read_arg(c, 1, &v)) {
    case FOUND:
        string_options_reply_digest(c, &v);
        break;
    case ABSENT:
        reply_null(c->reply);
        break;
    case WRONG_TYPE:
        break;
    }
}

/* The string at argv[1] of a write that answers it. */
static enum found read_old(struct cmd *c, struct string_value *v)
{
    enum found found = read_arg(c, 1, v);

    if (found == ABSENT && c->progress == NULL) { /* once, if it comes here again */
        notify(c, NOTIFY_KEY_MISS, "keymiss", c->key.name);
    }
    return found;
}

/* ---- Writing whole values ---- */

/* And tells of it; of the moment only if the command named it. */
static void put(struct cmd *c, struct key key, struct slice value, int64_t expire_at_ms,
                bool names_moment)
{
    /* A value that has expired before it is there leaves no key: Redis keeps one, which nobody can see,
     * until its sweep. */
    bool is_late = expire_at_ms != 0 && expire_at_ms <= section_now_ms(c->section);

    if (is_late) {
        (void)keyspace_drop(c, key);
    } else {
        string_job_put(c, key, value, expire_at_ms);
    }
    notify(c, NOTIFY_STRING, "set", key.name);
    if (names_moment) {
        notify(c, NOTIFY_GENERIC, "expire", key.name);
    }
    if (is_late) {
        notify(c, NOTIFY_EXPIRED, "expired", key.name);
    }
}

COLD static void set_with_options(struct cmd *c)
{
    struct string_options o;
    struct string_value old;
    int64_t expire_at_ms = 0;
    enum verdict verdict;

    if (!string_job_make(c, c->argv[2]) ||
        !string_options_parse(c, 3, TAKES_CONDITION | TAKES_MATCH | TAKES_KEEPTTL | TAKES_GET,
                              &o) ||
        (o.unit != UNIT_NONE && !string_options_moment(c, o.expire, o.unit, &expire_at_ms))) {
        return;
    }
    const struct entry *e = o.get ? keyspace_find(c, c->key) : keyspace_peek(c, c->key);

    if (o.get && e == NULL) {
        notify(c, NOTIFY_KEY_MISS, "keymiss", c->key.name);
    }

    if (e != NULL && e->type != TYPE_STRING && (o.get || o.condition >= IF_EQUAL)) {
        reply_err(c->reply, WIRE_WRONGTYPE);
        return;
    }
    if (e == NULL) {
        verdict = string_options_allow_absent(o.condition) ? MET : NOT_MET;
    } else if (o.condition >= IF_EQUAL) {
        string_of_entry(e, &old);
        verdict = string_options_judge(c, o.condition, o.match, &old);
    } else {
        verdict = o.condition == IF_ABSENT ? NOT_MET : MET;
    }
    if (verdict == ANSWERED) {
        return;
    }
    /* The old value is borrowed until the write. */
    if (o.get && e != NULL) {
        string_of_entry(e, &old);
        if (!string_job_reply(c, &old)) {
            return;
        }
    } else if (o.get || verdict == NOT_MET) {
        reply_null(c->reply);
    } else {
        reply_ok(c->reply);
    }
    if (verdict == MET) {
        if (o.keep_ttl && e != NULL) {
            expire_at_ms = entry_expire_at_ms(e);
        }
        put(c, c->key, c->argv[2], expire_at_ms, o.unit != UNIT_NONE);
    }
}

static void cmd_set(struct cmd *c)
{
    if (UNLIKELY(c->argc > 3)) {
        set_with_options(c);
    } else if (string_job_make(c, c->argv[2])) {
        put(c, c->key, c->argv[2], 0, false);
        reply_ok(c->reply);
    }
}

static void cmd_setnx(struct cmd *c)
{
    bool absent = keyspace_peek(c, c->key) == NULL;

    if (absent) {
        if (!string_job_make(c, c->argv[2])) {
            return;
        }
        put(c, c->key, c->argv[2], 0, false);
    }
    reply_int(c->reply, absent);
}

/* SETEX and PSETEX */
static void set_expiring(struct cmd *c, enum unit unit)
{
    int64_t expire_at_ms;

    if (string_options_moment(c, c->argv[2], unit, &expire_at_ms) &&
        string_job_make(c, c->argv[3])) {
        put(c, c->key, c->argv[3], expire_at_ms, true);
        reply_ok(c->reply);
    }
}

static void cmd_setex(struct cmd *c)
{
    set_expiring(c, UNIT_S);
}

static void cmd_psetex(struct cmd *c)
{
    set_expiring(c, UNIT_MS);
}

static void cmd_getset(struct cmd *c)
{
    struct string_value v;
    enum found found = read_old(c, &v);

    if (found != WRONG_TYPE && string_job_make(c, c->argv[2]) && reply_found(c, found, &v)) {
        put(c, c->key, c->argv[2], 0, false);
    }
}

static void cmd_getdel(struct cmd *c)
{
    struct string_value v;
    enum found found = read_old(c, &v);

    if (reply_found(c, found, &v) && found == FOUND) {
        (void)keyspace_delete(c, c->key);
    }
}

static void cmd_getex(struct cmd *c)
{
    struct string_options o;
    struct string_value v;
    int64_t expire_at_ms = 0;

    if (!string_options_parse(c, 2, TAKES_PERSIST, &o)) {
        return;
    }
    enum found found = read_old(c, &v);

    if (found == WRONG_TYPE) {
        return;
    }
    if (found == FOUND && o.unit != UNIT_NONE &&
        !string_options_moment(c, o.expire, o.unit, &expire_at_ms)) {
        return;
    }
    if (reply_found(c, found, &v) && found == FOUND &&
        (o.unit != UNIT_NONE || (o.persist && entry_expire_at_ms(v.entry) != 0))) {
        keyspace_expire_at(c, c->key, expire_at_ms);
    }
}

static void cmd_delex(struct cmd *c)
{
    struct string_value v;

    if (c->argc != 2 && c->argc != 4) {
        reply_errf(c->reply, "ERR wrong number of arguments for 'delex' command");
        return;
    }
    enum condition condition = c->argc == 4 ? string_options_condition(c->argv[2]) : ALWAYS;

    if (c->argc == 4 && condition < IF_EQUAL) {
        reply_errf(c->reply, "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
        return;
    }
    const struct entry *e = keyspace_peek(c, c->key);

    if (e == NULL) {
        reply_int(c->reply, 0);
        return;
    }
    if (condition != ALWAYS) {
        if (e->type != TYPE_STRING) {
            reply_errf(c->reply, "ERR Key should be of string type if conditions are specified");
            return;
        }
        string_of_entry(e, &v);
        enum verdict verdict = string_options_judge(c, condition, c->argv[3], &v);

        if (verdict != MET) {
            if (verdict == NOT_MET) {
                reply_int(c->reply, 0);
            }
            return;
        }
    }
    reply_int(c->reply, keyspace_delete(c, c->key));
}

/* ---- Writing several keys ---- */

/* False: not all of them yet. */
static bool put_pairs(struct cmd *c, uint32_t from, uint32_t to, int64_t expire_at_ms,
                      const struct string_options *o)
{
    size_t bytes = 0;

    c->at = c->at == 0 ? from : c->at;
    for (uint32_t n = 0; c->at + 1 < to; c->at += 2, n += 2) {
        struct slice value = c->argv[c->at + 1];

        (void)slices_tick(4);
        if (n >= CMD_SLICE_ARGS || bytes > STRING_SLICE) {
            c->again = true;
            return false;
        }
        if (!string_job_make(c, value)) {
            return false;
        }
        struct key key = cmd_key(c, c->at);
        const struct entry *e = o != NULL && o->keep_ttl ? keyspace_peek(c, key) : NULL;

        put(c, key, value, e == NULL ? expire_at_ms : entry_expire_at_ms(e),
            o != NULL && o->unit != UNIT_NONE);
        bytes += value.len;
    }
    return true;
}

/* How many of the keys at from, from + 2 … are there. */
static uint32_t present(struct cmd *c, uint32_t from, uint32_t to)
{
    uint32_t n = 0;

    for (uint32_t i = from; i < to && slices_tick(3); i += 2) {
        n += keyspace_peek(c, cmd_key(c, i)) != NULL;
    }
    return n;
}

/* False when an error was answered. */
static bool has_pairs(struct cmd *c, const char *name)
{
    if (c->argc % 2 == 0) {
        reply_errf(c->reply, "ERR wrong number of arguments for '%s' command", name);
        return false;
    }
    return true;
}

static void cmd_mset(struct cmd *c)
{
    if (!slices_take(c, c->argc > SLICES_FEW) && has_pairs(c, "mset") &&
        put_pairs(c, 1, c->argc, 0, NULL)) {
        reply_ok(c->reply);
    }
}

static void cmd_msetnx(struct cmd *c)
{
    if (!slices_take(c, c->argc > SLICES_FEW) && has_pairs(c, "msetnx")) {
        /* Its own are there once it has begun to put them. */
        bool absent = c->at != 0 || c->progress != NULL || present(c, 1, c->argc) == 0;

        if (!absent || put_pairs(c, 1, c->argc, 0, NULL)) {
            reply_int(c->reply, absent);
        }
    }
}

static void cmd_msetex(struct cmd *c)
{
    struct string_options o;
    int64_t expire_at_ms = 0;
    int64_t n;

    if (slices_take(c, c->argc > SLICES_FEW)) {
        return;
    }
    if (!parse_i64(c->argv[1], &n) || n <= 0 || n > INT32_MAX) {
        reply_errf(c->reply, "ERR invalid numkeys value");
        return;
    }
    if (n > (c->argc - 2) / 2) {
        reply_errf(c->reply, "ERR wrong number of key-value pairs");
        return;
    }
    uint32_t end = 2 + (uint32_t)n * 2;

    if (!string_options_parse(c, end, TAKES_CONDITION | TAKES_KEEPTTL, &o) ||
        (o.unit != UNIT_NONE && !string_options_moment(c, o.expire, o.unit, &expire_at_ms))) {
        return;
    }
    bool met = o.condition == ALWAYS || c->at != 0 || c->progress != NULL ||
               present(c, 2, end) == (o.condition == IF_PRESENT ? n : 0);

    if (!met || put_pairs(c, 2, end, expire_at_ms, &o)) {
        reply_int(c->reply, met);
    }
}

/* ---- Changing a value ---- */

/* False when an error was answered. */
static bool fits(struct cmd *c, uint64_t offset, uint64_t bytes)
{
    uint64_t max = conf_u64(&opt_proto_max_bulk_len);

    if (offset > max || bytes > max - offset) {
        reply_err(c->reply, WIRE_TOO_LONG);
        return false;
    }
    return true;
}

static void cmd_append(struct cmd *c)
{
    struct string_value v;
    struct slice more = c->argv[2];

    switch (read_arg(c, 1, &v)) {
    case ABSENT:
        if (string_job_make(c, more)) {
            string_job_put(c, c->key, more, 0);
            notify(c, NOTIFY_STRING, "append", c->key.name);
            reply_int(c->reply, (int64_t)more.len);
        }
        break;
    case FOUND:
        if (fits(c, v.len, more.len)) {
            reply_int(c->reply, (int64_t)(v.len + more.len));
            if (more.len > 0) {
                string_job_put_range(c, v.len, more);
            }
            notify(c, NOTIFY_STRING, "append", c->key.name);
        }
        break;
    case WRONG_TYPE:
        break;
    }
}

static void cmd_setrange(struct cmd *c)
{
    struct string_value v;
    struct slice bytes = c->argv[3];
    int64_t offset;

    if (!parse_i64(c->argv[2], &offset)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    if (offset < 0) {
        reply_err(c->reply, WIRE_OFFSET);
        return;
    }
    if (read_arg(c, 1, &v) == WRONG_TYPE) {
        return;
    }
    if (bytes.len == 0) {
        reply_int(c->reply, (int64_t)v.len);
        return;
    }
    if (!fits(c, (uint64_t)offset, bytes.len)) {
        return;
    }
    size_t end = (size_t)offset + bytes.len;

    reply_int(c->reply, (int64_t)(end > v.len ? end : v.len));
    string_job_put_range(c, (size_t)offset, bytes);
    notify(c, NOTIFY_STRING, "setrange", c->key.name);
}

static void add(struct cmd *c, int64_t by)
{
    struct string_value v;
    int64_t n = 0;
    enum found found = read_arg(c, 1, &v);

    if (found == WRONG_TYPE) {
        return;
    }
    if (found == FOUND && !string_integer(&v, &n)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    if (__builtin_add_overflow(n, by, &n)) {
        reply_err(c->reply, WIRE_OVERFLOW);
        return;
    }
    string_put_int(c, c->key, n, v.entry == NULL ? 0 : entry_expire_at_ms(v.entry));
    notify(c, NOTIFY_STRING, "incrby", c->key.name);
    reply_int(c->reply, n);
}

static void cmd_incr(struct cmd *c)
{
    add(c, 1);
}

static void cmd_decr(struct cmd *c)
{
    add(c, -1);
}

static void cmd_incrby(struct cmd *c)
{
    int64_t by;

    if (!parse_i64(c->argv[2], &by)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    add(c, by);
}

static void cmd_decrby(struct cmd *c)
{
    int64_t by;

    if (!parse_i64(c->argv[2], &by)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
    } else if (by == INT64_MIN) {
        reply_errf(c->reply, "ERR decrement would overflow");
    } else {
        add(c, -by);
    }
}

static void cmd_incrbyfloat(struct cmd *c)
{
    struct string_value v;
    long double n = 0;
    long double by;
    char text[NUMBER_HUMAN_MAX];
    enum found found = read_arg(c, 1, &v);

    if (found == WRONG_TYPE) {
        return;
    }
    /* No number is so long that it does not lie together. */
    if ((found == FOUND && (v.len == 0 || string_chunk(&v, 0).len != v.len ||
                            !number_parse_double(string_chunk(&v, 0), &n))) ||
        !number_parse_double(c->argv[2], &by)) {
        reply_err(c->reply, WIRE_NOT_FLOAT);
        return;
    }
    n += by;
    if (isnan(n) || isinf(n)) {
        reply_err(c->reply, WIRE_NAN_OR_INF);
        return;
    }
    struct slice result = {text, number_print_human(text, n)};

    string_put_text(c, c->key, result, v.entry == NULL ? 0 : entry_expire_at_ms(v.entry));
    notify(c, NOTIFY_STRING, "incrbyfloat", c->key.name);
    reply_bulk(c->reply, result);
}

#define ONE   KEYS(1, 1, 1)
#define PAIRS KEYS(1, -1, 2)

/* clang-format off */
struct cmd_def string_cmds[] = {
    /* name arity flags keys since run, arguments, summary */
    { "GET", 2, CMD_READ | CMD_FAST, ONE, "1.0.0", cmd_get, "key",
      "Returns the string value of a key." },
    { "SET", -3, CMD_WRITE | CMD_GROWS, ONE, "1.0.0", cmd_set,
      "key value [NX | XX | IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest] "
      "[GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
      "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist." },
    { "SETNX", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, ONE, "1.0.0", cmd_setnx, "key value",
      "Set the string value of a key only when the key doesn't exist." },
    { "SETEX", 4, CMD_WRITE | CMD_GROWS, ONE, "2.0.0", cmd_setex, "key seconds value",
      "Sets the string value and expiration time of a key. Creates the key if it doesn't exist." },
    { "PSETEX", 4, CMD_WRITE | CMD_GROWS, ONE, "2.6.0", cmd_psetex, "key milliseconds value",
      "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist." },
    { "GETSET", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, ONE, "1.0.0", cmd_getset, "key value",
      "Returns the previous string value of a key after setting it to a new value." },
    { "GETDEL", 2, CMD_WRITE | CMD_FAST, ONE, "6.2.0", cmd_getdel, "key",
      "Returns the string value of a key after deleting the key." },
    { "GETEX", -2, CMD_WRITE | CMD_FAST, ONE, "6.2.0", cmd_getex,
      "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
      "Returns the string value of a key after setting its expiration time." },
    { "GETRANGE", 4, CMD_READ, ONE, "2.4.0", cmd_getrange, "key start end",
      "Returns a substring of the string stored at a key." },
    { "SUBSTR", 4, CMD_READ, ONE, "1.0.0", cmd_getrange, "key start end",
      "Returns a substring from a string value." },
    { "SETRANGE", 4, CMD_WRITE | CMD_GROWS, ONE, "2.2.0", cmd_setrange, "key offset value",
      "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist." },
    { "STRLEN", 2, CMD_READ | CMD_FAST, ONE, "2.2.0", cmd_strlen, "key",
      "Returns the length of a string value." },
    { "APPEND", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, ONE, "2.0.0", cmd_append, "key value",
      "Appends a string to the value of a key. Creates the key if it doesn't exist." },
    { "INCR", 2, CMD_WRITE | CMD_GROWS | CMD_FAST, ONE, "1.0.0", cmd_incr, "key",
      "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist." },
    { "DECR", 2, CMD_WRITE | CMD_GROWS | CMD_FAST, ONE, "1.0.0", cmd_decr, "key",
      "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist." },
    { "INCRBY", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, ONE, "1.0.0", cmd_incrby, "key increment",
      "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist." },
    { "DECRBY", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, ONE, "1.0.0", cmd_decrby, "key decrement",
      "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist." },
    { "INCRBYFLOAT", 3, CMD_WRITE | CMD_GROWS | CMD_FAST, ONE, "2.6.0", cmd_incrbyfloat, "key increment",
      "Increment the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist." },
    { "MGET", -2, CMD_READ | CMD_FAST, KEYS(1, -1, 1), "1.0.0", cmd_mget, "key [key ...]",
      "Atomically returns the string values of one or more keys.", CMD_MULTI_SHARD },
    { "MSET", -3, CMD_WRITE | CMD_GROWS, PAIRS, "1.0.1", cmd_mset, "key value [key value ...]",
      "Atomically creates or modifies the string values of one or more keys.",
      CMD_MULTI_SHARD, CMD_ALL_SUCCEEDED },
    { "MSETNX", -3, CMD_WRITE | CMD_GROWS, PAIRS, "1.0.1", cmd_msetnx, "key value [key value ...]",
      "Atomically modifies the string values of one or more keys only when all keys don't exist." },
    { "MSETEX", -4, CMD_WRITE | CMD_GROWS, KEYS_COUNT(1, 2), "8.4.0", cmd_msetex,
      "numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | "
      "EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
      "Atomically sets multiple string keys with a shared expiration in a single operation." },
    { "LCS", -3, CMD_READ, KEYS(1, 2, 1), "7.0.0", lcs_run,
      "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
      "Finds the longest common substring." },
    { "DIGEST", 2, CMD_READ | CMD_FAST, ONE, "8.4.0", cmd_digest, "key",
      "Returns the XXH3 hash of a string value." },
    { "DELEX", -2, CMD_WRITE | CMD_FAST, ONE, "8.4.0", cmd_delex,
      "key [IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest]",
      "Conditionally removes the specified key based on value or digest comparison." },
    CMD_END
};
/* clang-format on */
