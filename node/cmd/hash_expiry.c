/* hash_expiry.c - fields that expire: Redis 7.4's HEXPIRE family, 8.0's HGETEX, HSETEX and HGETDEL.
 *
 * Fields are gone through one by one, each seeing what the one before it did, so that a field named
 * twice is answered as Redis answers it.
 */
#include "base/parse.h"
#include "node/cmd/families.h"
#include "node/cmd/hash.h"
#include "node/keyspace.h"
#include "node/notify.h"

/* What a field is answered. */
enum { NO_FIELD = -2, NO_EXPIRY = -1, NOT_MET = 0, DONE = 1, REMOVED = 2 };

/* The latest moment a field may expire, as in Redis: in the year 4199. What is later becomes this, since
 * clients send milliseconds where seconds are meant. */
#define MOMENT_MAX ((INT64_C(1) << 46) - 1)

/* A moment as an argument: so many units after base_ms. False when an error was answered. */
static bool moment_arg(struct cmd *c, struct slice text, int64_t unit_ms, int64_t base_ms,
                       int64_t *out)
{
    int64_t n;

    if (!parse_i64(text, &n)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    if (n < 0) {
        reply_errf(c->reply, "ERR invalid expire time, must be >= 0");
        return false;
    }
    if (__builtin_mul_overflow(n, unit_ms, &n) || __builtin_add_overflow(n, base_ms, &n)) {
        hash_err_expire_time(c);
        return false;
    }
    n = n < MOMENT_MAX ? n : MOMENT_MAX;
    /* 0 says "never" inside: the first millisecond of 1970 has passed as well. */
    *out = n == 0 ? 1 : n;
    return true;
}

/* FIELDS n field … from argv[at] on, to the end; *first is the first field's index. False when an error
 * was answered. */
static bool fields_arg(struct cmd *c, uint32_t at, const char *bad_count, uint32_t *first)
{
    int64_t n;

    if (at + 1 >= c->argc || !slice_is_word(c->argv[at], "fields")) {
        reply_errf(c->reply,
                   "ERR Mandatory argument FIELDS is missing or not at the right position");
        return false;
    }
    if (!parse_i64(c->argv[at + 1], &n) || n < 1) {
        reply_errf(c->reply, "ERR %s", bad_count);
        return false;
    }
    if (n != (int64_t)c->argc - at - 2) {
        reply_errf(c->reply, "ERR The `numfields` parameter must match the number of arguments");
        return false;
    }
    *first = at + 2;
    return true;
}

#define POSITIVE "Number of fields must be a positive integer"

/* The field as it is now; NULL-like (false) if key or field is not there. Only in a section, where what is
 * read stays until the key's next write. */
static bool look_up(struct cmd *c, struct slice name, struct hash_field *f)
{
    struct hash h;
    bool found = hash_open(c, cmd_key(c, 1), &h) == FOUND;

    if (found) {
        found = hash_get(&h, name, f);
        hash_close(&h);
    }
    return found;
}

/* False when WRONGTYPE was answered, which comes before any other complaint. */
static bool is_hash_or_absent(struct cmd *c)
{
    struct hash h;
    bool found;

    if (!hash_arg(c, &h, &found)) {
        return false;
    }
    if (found) {
        hash_close(&h);
    }
    return true;
}

/* ---- HEXPIRE and kin ---- */

enum condition { ALWAYS, ONLY_NONE, ONLY_SOME, ONLY_LATER, ONLY_SOONER };

static enum condition condition_of(struct slice word)
{
    return slice_is_word(word, "nx")   ? ONLY_NONE
           : slice_is_word(word, "xx") ? ONLY_SOME
           : slice_is_word(word, "gt") ? ONLY_LATER
           : slice_is_word(word, "lt") ? ONLY_SOONER
                                       : ALWAYS;
}

/* A field that never expires counts as one that expires later than any other. */
static bool is_met(enum condition when, int64_t has_ms, int64_t at_ms)
{
    switch (when) {
    case ONLY_NONE:
        return has_ms == 0;
    case ONLY_SOME:
        return has_ms != 0;
    case ONLY_LATER:
        return has_ms != 0 && at_ms > has_ms;
    case ONLY_SOONER:
        return has_ms == 0 || at_ms < has_ms;
    case ALWAYS:
        break;
    }
    return true;
}

/* One event a command: 1: fields got another moment, 2: some were removed. */
static void tell(struct cmd *c, unsigned came_to, const char *event)
{
    if ((came_to & 1) != 0) {
        notify(c, NOTIFY_HASH, event, c->argv[1]);
    }
    if ((came_to & 2) != 0) {
        hash_tell_removed(c, cmd_key(c, 1));
    }
}

static int expire_one(struct cmd *c, struct slice name, enum condition when, int64_t at_ms)
{
    struct hash_field f;

    if (!look_up(c, name, &f)) {
        return NO_FIELD;
    }
    if (!is_met(when, f.expire_at_ms, at_ms)) {
        return NOT_MET;
    }
    hash_expire_at(c, cmd_key(c, 1), name, at_ms);
    return at_ms <= c->now_ms ? REMOVED : DONE;
}

static void expire(struct cmd *c, int64_t unit_ms, int64_t base_ms)
{
    enum condition when;
    int64_t at_ms;
    uint32_t first;

    if (!is_hash_or_absent(c) || !moment_arg(c, c->argv[2], unit_ms, base_ms, &at_ms)) {
        return;
    }
    when = condition_of(c->argv[3]);
    if (!fields_arg(c, when == ALWAYS ? 3 : 4, "Parameter `numFields` should be greater than 0",
                    &first)) {
        return;
    }
    unsigned came_to = 0;

    reply_array(c->reply, c->argc - first);
    for (uint32_t i = first; i < c->argc; i++) {
        int one = expire_one(c, c->argv[i], when, at_ms);

        came_to |= one == DONE ? 1u : one == REMOVED ? 2u : 0;
        reply_int(c->reply, one);
    }
    tell(c, came_to, "hexpire");
}

static void cmd_hexpire(struct cmd *c)
{
    expire(c, 1000, c->now_ms);
}

static void cmd_hpexpire(struct cmd *c)
{
    expire(c, 1, c->now_ms);
}

static void cmd_hexpireat(struct cmd *c)
{
    expire(c, 1000, 0);
}

static void cmd_hpexpireat(struct cmd *c)
{
    expire(c, 1, 0);
}

static void cmd_hpersist(struct cmd *c)
{
    struct hash_field f;
    uint32_t first;

    if (!is_hash_or_absent(c) || !fields_arg(c, 2, POSITIVE, &first)) {
        return;
    }
    unsigned came_to = 0;

    reply_array(c->reply, c->argc - first);
    for (uint32_t i = first; i < c->argc; i++) {
        if (!look_up(c, c->argv[i], &f)) {
            reply_int(c->reply, NO_FIELD);
        } else if (f.expire_at_ms == 0) {
            reply_int(c->reply, NO_EXPIRY);
        } else {
            hash_expire_at(c, cmd_key(c, 1), c->argv[i], 0);
            came_to = 1;
            reply_int(c->reply, DONE);
        }
    }
    tell(c, came_to, "hpersist");
}

/* ---- HTTL and kin ---- */

static int64_t moment_of(const struct hash_field *f, int64_t now_ms)
{
    (void)now_ms;
    return f->expire_at_ms;
}

static int64_t rest_of(const struct hash_field *f, int64_t now_ms)
{
    return f->expire_at_ms - now_ms;
}

static void ask(struct cmd *c, int64_t (*of)(const struct hash_field *, int64_t), int64_t unit_ms)
{
    struct hash_field f;
    struct hash h;
    uint32_t first;
    bool found;

    if (!hash_arg(c, &h, &found)) {
        return;
    }
    if (fields_arg(c, 2, POSITIVE, &first)) {
        reply_array(c->reply, c->argc - first);
        for (uint32_t i = first; i < c->argc; i++) {
            if (!found || !hash_get(&h, c->argv[i], &f)) {
                reply_int(c->reply, NO_FIELD);
            } else if (f.expire_at_ms == 0) {
                reply_int(c->reply, NO_EXPIRY);
            } else {
                reply_int(c->reply, (of(&f, h.now_ms) + unit_ms - 1) / unit_ms);
            }
        }
    }
    if (found) {
        hash_close(&h);
    }
}

static void cmd_httl(struct cmd *c)
{
    ask(c, rest_of, 1000);
}

static void cmd_hpttl(struct cmd *c)
{
    ask(c, rest_of, 1);
}

static void cmd_hexpiretime(struct cmd *c)
{
    ask(c, moment_of, 1000);
}

static void cmd_hpexpiretime(struct cmd *c)
{
    ask(c, moment_of, 1);
}

/* ---- HGETDEL, HGETEX ---- */

/* Answers the field's value or null; false: it is not there. */
static bool reply_field(struct cmd *c, struct slice name)
{
    struct hash_field f;

    if (!look_up(c, name, &f)) {
        reply_null(c->reply);
        return false;
    }
    reply_bulk(c->reply, f.value);
    return true;
}

static void cmd_hgetdel(struct cmd *c)
{
    uint32_t first;

    if (!is_hash_or_absent(c) || !fields_arg(c, 2, POSITIVE, &first)) {
        return;
    }
    unsigned came_to = 0;

    reply_array(c->reply, c->argc - first);
    for (uint32_t i = first; i < c->argc; i++) {
        if (reply_field(c, c->argv[i])) {
            (void)hash_remove(c, cmd_key(c, 1), c->argv[i]);
            came_to = 2;
        }
    }
    tell(c, came_to, "");
}

/* EX, PX, EXAT, PXAT: how a moment is written. */
struct moment_unit {
    int64_t unit_ms;
    bool is_rest; /* counted from now */
};

static bool unit_of(struct slice word, struct moment_unit *out)
{
    bool seconds = slice_is_word(word, "ex") || slice_is_word(word, "exat");

    out->unit_ms = seconds ? 1000 : 1;
    out->is_rest = slice_is_word(word, "ex") || slice_is_word(word, "px");
    return out->is_rest || seconds || slice_is_word(word, "pxat");
}

static void cmd_hgetex(struct cmd *c)
{
    struct moment_unit u;
    int64_t at_ms = 0;
    uint32_t at = 2;
    uint32_t first;
    bool changes = true;

    if (!is_hash_or_absent(c)) {
        return;
    }
    if (unit_of(c->argv[2], &u)) {
        at = 4;
        if (!moment_arg(c, c->argv[3], u.unit_ms, u.is_rest ? c->now_ms : 0, &at_ms)) {
            return;
        }
    } else if (slice_is_word(c->argv[2], "persist")) {
        at = 3;
    } else {
        changes = false;
    }
    if (!fields_arg(c, at, POSITIVE, &first)) {
        return;
    }
    unsigned came_to = 0;

    reply_array(c->reply, c->argc - first);
    for (uint32_t i = first; i < c->argc; i++) {
        struct hash_field f;

        if (reply_field(c, c->argv[i]) && changes && look_up(c, c->argv[i], &f) &&
            f.expire_at_ms != at_ms) {
            hash_expire_at(c, cmd_key(c, 1), c->argv[i], at_ms);
            came_to |= at_ms != 0 && at_ms <= c->now_ms ? 2 : 1;
        }
    }
    tell(c, came_to, at_ms == 0 ? "hpersist" : "hexpire");
}

/* ---- HSETEX ---- */

struct setting {
    bool only_new, only_old; /* FNX, FXX */
    bool has_moment;         /* one of EX PX EXAT PXAT KEEPTTL was given */
    int64_t at_ms;           /* 0: never */
    uint32_t first;          /* of the fields */
    uint32_t count;
};

/* FIELDS n and what follows; false when an error was answered. */
static bool setting_fields(struct cmd *c, uint32_t at, struct setting *s)
{
    int64_t n;

    if (at + 3 >= c->argc) {
        hash_err_arity(c);
        return false;
    }
    if (!parse_i64(c->argv[at + 1], &n) || n < 1 || n > INT32_MAX) {
        reply_errf(c->reply, "ERR invalid number of fields");
        return false;
    }
    if (n * 2 != (int64_t)c->argc - at - 2) {
        hash_err_arity(c);
        return false;
    }
    s->first = at + 2;
    s->count = (uint32_t)n;
    return true;
}

static bool setting_condition(struct cmd *c, struct slice word, struct setting *s)
{
    if (s->only_new || s->only_old) {
        reply_errf(c->reply, "ERR Only one of FXX or FNX arguments can be specified");
        return false;
    }
    s->only_new = slice_is_word(word, "fnx");
    s->only_old = !s->only_new;
    return true;
}

/* A moment at argv[*at], which is moved to its last argument. */
static bool setting_moment(struct cmd *c, uint32_t *at, struct setting *s)
{
    struct moment_unit u;

    if (s->has_moment) {
        reply_errf(c->reply,
                   "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified");
        return false;
    }
    s->has_moment = true;
    if (!unit_of(c->argv[*at], &u)) {
        s->at_ms = HASH_KEEP_TTL;
        return true;
    }
    if (*at + 1 >= c->argc) {
        reply_errf(c->reply, "ERR missing expire time");
        return false;
    }
    ++*at;
    return moment_arg(c, c->argv[*at], u.unit_ms, u.is_rest ? c->now_ms : 0, &s->at_ms);
}

static bool setting_parse(struct cmd *c, struct setting *s)
{
    struct moment_unit u;

    for (uint32_t i = 2; i < c->argc; i++) {
        struct slice word = c->argv[i];

        if (slice_is_word(word, "fields")) {
            return setting_fields(c, i, s);
        }
        if (unit_of(word, &u) || slice_is_word(word, "keepttl")) {
            if (!setting_moment(c, &i, s)) {
                return false;
            }
        } else if (slice_is_word(word, "fnx") || slice_is_word(word, "fxx")) {
            if (!setting_condition(c, word, s)) {
                return false;
            }
        } else {
            reply_errf(c->reply, "ERR unknown argument: %.*s", (int)word.len, word.ptr);
            return false;
        }
    }
    reply_err(c->reply, WIRE_SYNTAX); /* no FIELDS at all */
    return false;
}

static bool setting_is_met(struct cmd *c, const struct setting *s)
{
    for (uint32_t i = 0; (s->only_new || s->only_old) && i < s->count; i++) {
        struct hash_field f;

        if (look_up(c, c->argv[s->first + 2 * i], &f) != s->only_old) {
            return false;
        }
    }
    return true;
}

static void cmd_hsetex(struct cmd *c)
{
    struct setting s = {0};
    struct key key = cmd_key(c, 1);

    if (!setting_parse(c, &s) || !is_hash_or_absent(c)) {
        return;
    }
    if (!setting_is_met(c, &s)) {
        reply_int(c->reply, 0);
        return;
    }
    if (s.at_ms > 0 && s.at_ms <= c->now_ms) {
        /* Set and expired in one: nothing of it is ever seen. */
        bool removed = false;

        for (uint32_t i = 0; i < s.count; i++) {
            removed |= hash_remove(c, key, c->argv[s.first + 2 * i]);
        }
        tell(c, removed ? 2 : 0, "");
    } else {
        (void)hash_put_many(c, key, c->argv + s.first, s.count, s.at_ms);
        notify(c, NOTIFY_HASH, "hset", key.name);
        tell(c, s.at_ms > 0 ? 1 : 0, "hexpire");
    }
    reply_int(c->reply, 1);
}

#define EXPIRE_FLAGS (CMD_WRITE | CMD_GROWS | CMD_FAST)
#define CONDITION    "[NX | XX | GT | LT] "
#define FIELDS       "FIELDS numfields field [field ...]"

/* clang-format off */
struct cmd_def hash_expiry_cmds[] = {
    { .name = "HEXPIRE", .arity = -6, .flags = EXPIRE_FLAGS, .keys = KEYS(1, 1, 1), .since = "7.4.0",
      .run = cmd_hexpire, .args = "key seconds " CONDITION FIELDS,
      .summary = "Makes fields expire after so many seconds." },
    { .name = "HPEXPIRE", .arity = -6, .flags = EXPIRE_FLAGS, .keys = KEYS(1, 1, 1), .since = "7.4.0",
      .run = cmd_hpexpire, .args = "key milliseconds " CONDITION FIELDS,
      .summary = "Makes fields expire after so many milliseconds." },
    { .name = "HEXPIREAT", .arity = -6, .flags = EXPIRE_FLAGS, .keys = KEYS(1, 1, 1), .since = "7.4.0",
      .run = cmd_hexpireat, .args = "key unix-time-seconds " CONDITION FIELDS,
      .summary = "Makes fields expire at a moment in seconds." },
    { .name = "HPEXPIREAT", .arity = -6, .flags = EXPIRE_FLAGS, .keys = KEYS(1, 1, 1), .since = "7.4.0",
      .run = cmd_hpexpireat, .args = "key unix-time-milliseconds " CONDITION FIELDS,
      .summary = "Makes fields expire at a moment in milliseconds." },
    { .name = "HPERSIST", .arity = -5, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "7.4.0", .run = cmd_hpersist, .args = "key " FIELDS,
      .summary = "Makes fields stay for good." },
    { .name = "HTTL", .arity = -5, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "7.4.0", .run = cmd_httl, .args = "key " FIELDS,
      .summary = "Seconds that fields still live; -1 for ever, -2 there is none." },
    { .name = "HPTTL", .arity = -5, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "7.4.0", .run = cmd_hpttl, .args = "key " FIELDS,
      .summary = "Milliseconds that fields still live; -1 for ever, -2 there is none." },
    { .name = "HEXPIRETIME", .arity = -5, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "7.4.0", .run = cmd_hexpiretime, .args = "key " FIELDS,
      .summary = "The moments at which fields expire, in seconds." },
    { .name = "HPEXPIRETIME", .arity = -5, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "7.4.0", .run = cmd_hpexpiretime, .args = "key " FIELDS,
      .summary = "The moments at which fields expire, in milliseconds." },
    { .name = "HGETDEL", .arity = -5, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "8.0.0", .run = cmd_hgetdel, .args = "key " FIELDS,
      .summary = "The values of fields, which are removed." },
    { .name = "HGETEX", .arity = -5, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "8.0.0", .run = cmd_hgetex,
      .args = "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | "
              "PXAT unix-time-milliseconds | PERSIST] " FIELDS,
      .summary = "The values of fields, which get another expiry." },
    { .name = "HSETEX", .arity = -6, .flags = EXPIRE_FLAGS, .keys = KEYS(1, 1, 1), .since = "8.0.0",
      .run = cmd_hsetex,
      .args = "key [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | "
              "PXAT unix-time-milliseconds | KEEPTTL] FIELDS numfields field value [field value ...]",
      .summary = "Sets fields with an expiry: all of them, if none (FNX) or all (FXX) are there." },
    CMD_END
};
/* clang-format on */
