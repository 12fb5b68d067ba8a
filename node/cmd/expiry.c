/* expiry.c - when keys expire: setting, asking, removing the moment. */
#include "base/parse.h"
#include "edge/backend.h"
#include "node/cmd/families.h"
#include "node/keyspace.h"
#include "node/notify.h"

enum expire_condition { ONLY_NONE = 1, ONLY_SOME = 2, ONLY_LATER = 4, ONLY_SOONER = 8 };

/* NX, XX, GT, LT behind the moment; false when an error was answered. */
static bool conditions_of(struct cmd *c, unsigned *out)
{
    *out = 0;
    for (uint32_t i = 3; i < c->argc; i++) {
        if (slice_is_word(c->argv[i], "nx")) {
            *out |= ONLY_NONE;
        } else if (slice_is_word(c->argv[i], "xx")) {
            *out |= ONLY_SOME;
        } else if (slice_is_word(c->argv[i], "gt")) {
            *out |= ONLY_LATER;
        } else if (slice_is_word(c->argv[i], "lt")) {
            *out |= ONLY_SOONER;
        } else {
            reply_errf(c->reply, "ERR Unsupported option %.*s", (int)c->argv[i].len,
                       c->argv[i].ptr);
            return false;
        }
    }
    if ((*out & ONLY_NONE) != 0 && *out != ONLY_NONE) {
        reply_errf(c->reply, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*out & ONLY_LATER) != 0 && (*out & ONLY_SOONER) != 0) {
        reply_errf(c->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* The moment in milliseconds since 1970; false when an error was answered. */
static bool moment_of(struct cmd *c, int64_t unit_ms, int64_t base_ms, int64_t *out)
{
    int64_t n;

    if (!parse_i64(c->argv[2], &n)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    if (__builtin_mul_overflow(n, unit_ms, &n) || __builtin_add_overflow(n, base_ms, out)) {
        char name[32];
        size_t len = 0;

        for (const char *p = c->def->name; *p != '\0' && len + 1 < sizeof(name); p++) {
            name[len++] = slice_lower(*p);
        }
        name[len] = '\0';
        reply_errf(c->reply, "ERR invalid expire time in '%s' command", name);
        return false;
    }
    return true;
}

/* A key that never expires counts as one that expires later than any other. */
static bool meets(unsigned conditions, int64_t now_at_ms, int64_t at_ms)
{
    bool has = now_at_ms != 0;

    return ((conditions & ONLY_NONE) == 0 || !has) && ((conditions & ONLY_SOME) == 0 || has) &&
           ((conditions & ONLY_LATER) == 0 || (has && at_ms > now_at_ms)) &&
           ((conditions & ONLY_SOONER) == 0 || !has || at_ms < now_at_ms);
}

static void expire(struct cmd *c, int64_t unit_ms, int64_t base_ms)
{
    struct key key = cmd_key(c, 1);
    const struct entry *e;
    unsigned conditions;
    int64_t at_ms;

    if (!conditions_of(c, &conditions) || !moment_of(c, unit_ms, base_ms, &at_ms)) {
        return;
    }
    e = keyspace_peek(c, key);
    if (e == NULL || !meets(conditions, entry_expire_at_ms(e), at_ms)) {
        reply_int(c->reply, 0);
        return;
    }
    /* Deleted here, since to the store the moment 0 is no moment at all. */
    if (at_ms <= c->now_ms) {
        (void)keyspace_delete(c, key);
    } else {
        keyspace_expire_at(c, key, at_ms);
    }
    reply_int(c->reply, 1);
}

static void cmd_expire(struct cmd *c)
{
    expire(c, 1000, c->now_ms);
}

static void cmd_pexpire(struct cmd *c)
{
    expire(c, 1, c->now_ms);
}

static void cmd_expireat(struct cmd *c)
{
    expire(c, 1000, 0);
}

static void cmd_pexpireat(struct cmd *c)
{
    expire(c, 1, 0);
}

/* The moment less `from_ms`, in units; -2 without a key, -1 without a moment. */
static void reply_moment(struct cmd *c, int64_t unit_ms, int64_t from_ms)
{
    const struct entry *e = keyspace_peek(c, cmd_key(c, 1));
    int64_t at_ms;
    int64_t ms;

    if (e == NULL) {
        if (!c->retry) {
            notify(c, NOTIFY_KEY_MISS, "keymiss", c->argv[1]);
        }
        reply_int(c->reply, -2);
        return;
    }
    at_ms = entry_expire_at_ms(e);
    if (at_ms == 0) {
        reply_int(c->reply, -1);
        return;
    }
    ms = at_ms > from_ms ? at_ms - from_ms : 0;
    /* Seconds are rounded to the nearest. */
    reply_int(c->reply, ms / unit_ms + (ms % unit_ms * 2 >= unit_ms && unit_ms > 1));
}

static void cmd_ttl(struct cmd *c)
{
    reply_moment(c, 1000, c->now_ms);
}

static void cmd_pttl(struct cmd *c)
{
    reply_moment(c, 1, c->now_ms);
}

static void cmd_expiretime(struct cmd *c)
{
    reply_moment(c, 1000, 0);
}

static void cmd_pexpiretime(struct cmd *c)
{
    reply_moment(c, 1, 0);
}

static void cmd_persist(struct cmd *c)
{
    struct key key = cmd_key(c, 1);
    const struct entry *e = keyspace_peek(c, key);
    bool has = e != NULL && entry_expire_at_ms(e) != 0;

    if (has) {
        keyspace_expire_at(c, key, 0);
    }
    reply_int(c->reply, has);
}

/* clang-format off */
struct cmd_def expiry_cmds[] = {
    { "EXPIRE",     -3, CMD_WRITE | CMD_FAST,             KEYS(1, 1, 1), "1.0.0", cmd_expire,
      "key seconds [NX | XX | GT | LT]", "Has a key expire after so many seconds." },
    { "EXPIREAT",   -3, CMD_WRITE | CMD_FAST,             KEYS(1, 1, 1), "1.2.0", cmd_expireat,
      "key unix-time-seconds [NX | XX | GT | LT]", "Has a key expire at a moment, in seconds since 1970." },
    { "EXPIRETIME",  2, CMD_READ | CMD_FAST,              KEYS(1, 1, 1), "7.0.0", cmd_expiretime,
      "key", "The moment a key expires at, in seconds since 1970." },
    { "PERSIST",     2, CMD_WRITE | CMD_FAST,             KEYS(1, 1, 1), "2.2.0", cmd_persist,
      "key", "Has a key never expire." },
    { "PEXPIRE",    -3, CMD_WRITE | CMD_FAST,             KEYS(1, 1, 1), "2.6.0", cmd_pexpire,
      "key milliseconds [NX | XX | GT | LT]", "Has a key expire after so many milliseconds." },
    { "PEXPIREAT",  -3, CMD_WRITE | CMD_FAST,             KEYS(1, 1, 1), "2.6.0", cmd_pexpireat,
      "key unix-time-milliseconds [NX | XX | GT | LT]", "Has a key expire at a moment, in milliseconds since 1970." },
    { "PEXPIRETIME", 2, CMD_READ | CMD_FAST,              KEYS(1, 1, 1), "7.0.0", cmd_pexpiretime,
      "key", "The moment a key expires at, in milliseconds since 1970." },
    { "PTTL",        2, CMD_READ | CMD_FAST | CMD_RANDOM, KEYS(1, 1, 1), "2.6.0", cmd_pttl,
      "key", "Milliseconds until a key expires." },
    { "TTL",         2, CMD_READ | CMD_FAST | CMD_RANDOM, KEYS(1, 1, 1), "1.0.0", cmd_ttl,
      "key", "Seconds until a key expires." },
    CMD_END
};
/* clang-format on */
