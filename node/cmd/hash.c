#include "node/cmd/hash.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/worker.h"
#include "node/cmd/families.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "proto/glob.h"
#include "proto/number.h"

#include <math.h>

enum {
    SCAN_MOST = 4096,      /* fields a page of HSCAN, whatever COUNT says */
    GATHER_MOST = 4096,    /* a hash of so many is listed before some are drawn */
    RANDOM_MOST = 1 << 20, /* drawn with repeats by one command: about a second */
    NAME_MAX_BYTES = 32
};

/* ---- Arguments ---- */

static const char *lower_name(const struct cmd *c, char out[NAME_MAX_BYTES])
{
    size_t len = 0;

    for (const char *p = c->def->name; *p != '\0' && len + 1 < NAME_MAX_BYTES; p++) {
        out[len++] = slice_lower(*p);
    }
    out[len] = '\0';
    return out;
}

void hash_err_arity(struct cmd *c)
{
    char name[NAME_MAX_BYTES];

    reply_errf(c->reply, "ERR wrong number of arguments for '%s' command", lower_name(c, name));
}

void hash_err_expire_time(struct cmd *c)
{
    char name[NAME_MAX_BYTES];

    reply_errf(c->reply, "ERR invalid expire time in '%s' command", lower_name(c, name));
}

bool hash_arg(struct cmd *c, struct hash *h, bool *found)
{
    enum found f = hash_open(c, cmd_key(c, 1), h);

    *found = f == FOUND;
    if (f == WRONG_TYPE) {
        reply_err(c->reply, WIRE_WRONGTYPE);
    }
    return f != WRONG_TYPE;
}

/* For writers that look at one field first: its value is borrowed until the write. False when an error
 * was answered. */
static bool field_arg(struct cmd *c, struct slice name, bool *found, struct hash_field *f)
{
    struct hash h;

    if (!hash_arg(c, &h, found)) {
        return false;
    }
    if (*found) {
        *found = hash_get(&h, name, f);
        hash_close(&h);
    }
    return true;
}

/* ---- Setting ---- */

/* Returns how many are new, or -1 when an error was answered. */
static int64_t set_pairs(struct cmd *c)
{
    struct hash h;
    bool found;

    if (c->argc % 2 != 0) {
        hash_err_arity(c);
        return -1;
    }
    if (!hash_arg(c, &h, &found)) {
        return -1;
    }
    if (found) {
        hash_close(&h);
    }
    int64_t added = (int64_t)hash_put_many(c, cmd_key(c, 1), c->argv + 2, (c->argc - 2) / 2, 0);

    notify(c, NOTIFY_HASH, "hset", c->argv[1]);
    return added;
}

static void cmd_hset(struct cmd *c)
{
    int64_t added = set_pairs(c);

    if (added >= 0) {
        reply_int(c->reply, added);
    }
}

static void cmd_hmset(struct cmd *c)
{
    if (set_pairs(c) >= 0) {
        reply_ok(c->reply);
    }
}

static void cmd_hsetnx(struct cmd *c)
{
    struct hash_field f;
    bool found;

    if (!field_arg(c, c->argv[2], &found, &f)) {
        return;
    }
    if (!found) {
        (void)hash_put(c, cmd_key(c, 1), c->argv[2], c->argv[3], 0);
        notify(c, NOTIFY_HASH, "hset", c->argv[1]);
    }
    reply_int(c->reply, !found);
}

static void cmd_hincrby(struct cmd *c)
{
    char digits[BUF_I64_MAX];
    struct hash_field f;
    int64_t value = 0;
    int64_t by;
    bool found;

    if (!parse_i64(c->argv[3], &by)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    if (!field_arg(c, c->argv[2], &found, &f)) {
        return;
    }
    if (found && !parse_i64(f.value, &value)) {
        reply_errf(c->reply, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(value, by, &value)) {
        reply_err(c->reply, WIRE_OVERFLOW);
        return;
    }
    (void)hash_put(c, cmd_key(c, 1), c->argv[2], (struct slice){digits, buf_put_i64(digits, value)},
                   HASH_KEEP_TTL);
    notify(c, NOTIFY_HASH, "hincrby", c->argv[1]);
    reply_int(c->reply, value);
}

static void cmd_hincrbyfloat(struct cmd *c)
{
    char digits[NUMBER_HUMAN_MAX];
    struct hash_field f;
    long double value = 0;
    long double by;
    bool found;

    if (!number_parse_double(c->argv[3], &by)) {
        reply_err(c->reply, WIRE_NOT_FLOAT);
        return;
    }
    if (isnan(by) || isinf(by)) {
        reply_errf(c->reply, "ERR value is NaN or Infinity");
        return;
    }
    if (!field_arg(c, c->argv[2], &found, &f)) {
        return;
    }
    if (found && !number_parse_double(f.value, &value)) {
        reply_errf(c->reply, "ERR hash value is not a float");
        return;
    }
    value += by;
    if (isnan(value) || isinf(value)) {
        reply_err(c->reply, WIRE_NAN_OR_INF);
        return;
    }
    struct slice text = {digits, number_print_human(digits, value)};

    (void)hash_put(c, cmd_key(c, 1), c->argv[2], text, HASH_KEEP_TTL);
    notify(c, NOTIFY_HASH, "hincrbyfloat", c->argv[1]);
    reply_bulk(c->reply, text);
}

void hash_tell_removed(struct cmd *c, struct key key)
{
    notify(c, NOTIFY_HASH, "hdel", key.name);
    if (notify_wants(NOTIFY_GENERIC) && keyspace_peek(c, key) == NULL) {
        notify(c, NOTIFY_GENERIC, "del", key.name);
    }
}

static void cmd_hdel(struct cmd *c)
{
    struct hash h;
    bool found;
    size_t removed = 0;

    if (!hash_arg(c, &h, &found)) {
        return;
    }
    if (found) {
        hash_close(&h);
        removed = hash_remove_many(c, cmd_key(c, 1), c->argv + 2, c->argc - 2);
        if (removed > 0) {
            hash_tell_removed(c, cmd_key(c, 1));
        }
    }
    reply_int(c->reply, (int64_t)removed);
}

/* ---- Getting ---- */

static void cmd_hget(struct cmd *c)
{
    struct hash_field f;
    struct hash h;
    bool found;

    if (!hash_arg(c, &h, &found)) {
        return;
    }
    if (found && hash_get(&h, c->argv[2], &f)) {
        reply_bulk(c->reply, f.value);
    } else {
        reply_null(c->reply);
    }
    if (found) {
        hash_close(&h);
    }
}

static void cmd_hmget(struct cmd *c)
{
    struct hash_field f;
    struct hash h;
    bool found;

    if (!hash_arg(c, &h, &found)) {
        return;
    }
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc; i++) {
        if (found && hash_get(&h, c->argv[i], &f)) {
            reply_bulk(c->reply, f.value);
        } else {
            reply_null(c->reply);
        }
    }
    if (found) {
        hash_close(&h);
    }
}

static void reply_name(const struct hash_field *f, void *arg)
{
    reply_bulk(arg, f->name);
}

static void reply_value(const struct hash_field *f, void *arg)
{
    reply_bulk(arg, f->value);
}

static void reply_both(const struct hash_field *f, void *arg)
{
    reply_bulk(arg, f->name);
    reply_bulk(arg, f->value);
}

static void reply_pair(const struct hash_field *f, void *arg)
{
    reply_array(arg, 2);
    reply_both(f, arg);
}

/* The whole hash, behind a head for so many. */
static void reply_whole(struct cmd *c, void (*head)(struct reply *, size_t), hash_each_fn fn)
{
    struct hash h;
    bool found;

    if (!hash_arg(c, &h, &found)) {
        return;
    }
    head(c->reply, found ? hash_count(&h) : 0);
    if (found) {
        hash_each(&h, fn, c->reply);
        hash_close(&h);
    }
}

static void cmd_hgetall(struct cmd *c)
{
    reply_whole(c, reply_map, reply_both);
}

static void cmd_hkeys(struct cmd *c)
{
    reply_whole(c, reply_array, reply_name);
}

static void cmd_hvals(struct cmd *c)
{
    reply_whole(c, reply_array, reply_value);
}

static void cmd_hlen(struct cmd *c)
{
    struct hash h;
    bool found;

    if (!hash_arg(c, &h, &found)) {
        return;
    }
    reply_int(c->reply, found ? (int64_t)hash_count(&h) : 0);
    if (found) {
        hash_close(&h);
    }
}

static void cmd_hexists(struct cmd *c)
{
    struct hash_field f;
    bool found;

    if (field_arg(c, c->argv[2], &found, &f)) {
        reply_int(c->reply, found);
    }
}

static void cmd_hstrlen(struct cmd *c)
{
    struct hash_field f;
    bool found;

    if (field_arg(c, c->argv[2], &found, &f)) {
        reply_int(c->reply, found ? (int64_t)f.value.len : 0);
    }
}

/* ---- HSCAN ---- */

struct page {
    struct reply *reply;
    struct slice pattern;
    bool any;
    bool names_only;
    uint64_t count;
    size_t values; /* written */
};

static void page_field(const struct hash_field *f, void *arg)
{
    struct page *p = arg;

    if (!p->any && !glob_match(p->pattern, f->name, false)) {
        return;
    }
    reply_bulk(p->reply, f->name);
    p->values++;
    if (!p->names_only) {
        reply_bulk(p->reply, f->value);
        p->values++;
    }
}

/* False when an error was answered. */
static bool page_options(struct cmd *c, struct page *p)
{
    int64_t count = 10;

    p->any = true;
    for (uint32_t i = 3; i < c->argc; i++) {
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
            p->pattern = c->argv[++i];
            p->any = slice_is(p->pattern, SLICE("*"));
        } else if (slice_is_word(c->argv[i], "novalues")) {
            p->names_only = true;
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    p->count = count < SCAN_MOST ? (uint64_t)count : SCAN_MOST;
    return true;
}

static void cmd_hscan(struct cmd *c)
{
    struct page p = {.reply = c->reply};
    char digits[BUF_I64_MAX];
    struct reply out;
    uint64_t cursor;
    struct hash h;
    bool found;

    if (!number_parse_cursor(c->argv[2], &cursor)) {
        reply_err(c->reply, WIRE_CURSOR);
        return;
    }
    if (!hash_arg(c, &h, &found)) {
        return;
    }
    if (!found) { /* Redis looks at the options only when there is something to scan */
        reply_array(c->reply, 2);
        reply_bulk(c->reply, SLICE("0"));
        reply_array(c->reply, 0);
        return;
    }
    if (!page_options(c, &p)) {
        hash_close(&h);
        return;
    }
    reply_init(&out);
    p.reply = &out;
    cursor = hash_scan(&h, cursor, p.count, page_field, &p);
    hash_close(&h);
    reply_array(c->reply, 2);
    reply_bulk(c->reply, (struct slice){digits, buf_put_u64(digits, cursor)});
    reply_array(c->reply, p.values);
    if (out.failed || buf_append_slice(&c->reply->out, buf_slice(&out.out)) != 0) {
        c->reply->failed = true;
    }
    reply_fini(&out);
}

/* ---- HRANDFIELD ---- */

/* What is drawn from a hash, and how it is written. */
struct draw {
    struct reply *reply;
    const struct hash *h;
    struct rand *r;
    size_t total; /* live fields */
    size_t count; /* to draw */
    hash_each_fn write;
    struct hash_field *list; /* owned; the hash's fields, or those drawn */
    size_t listed;
};

static struct rand *chance(struct rand *local)
{
    if (worker_self() != NULL) {
        return &worker_self()->rand;
    }
    local->state = (uint64_t)clock_mono_ns();
    return local;
}

static void list_field(const struct hash_field *f, void *arg)
{
    struct draw *d = arg;

    d->list[d->listed++] = *f;
}

/* Of a small hash: listed once, then drawn by number; without repeats by shuffling as far as needed. */
static bool draw_listed(struct draw *d, bool repeats)
{
    d->list = mem_alloc(d->total * sizeof(d->list[0]));
    if (d->list == NULL) {
        return false;
    }
    hash_each(d->h, list_field, d);
    for (size_t i = 0; i < d->count && !d->reply->failed; i++) {
        size_t from = repeats ? 0 : i;
        size_t at = from + rand_below(d->r, d->listed - from);
        struct hash_field f = d->list[at];

        if (!repeats) {
            d->list[at] = d->list[i];
            d->list[i] = f;
        }
        d->write(&f, d->reply);
    }
    mem_free(d->list, d->total * sizeof(d->list[0]));
    return true;
}

static void draw_repeats(struct draw *d)
{
    struct hash_field f = {0};

    for (size_t i = 0; i < d->count && !d->reply->failed; i++) {
        if (hash_random(d->h, d->r, &f)) {
            d->write(&f, d->reply);
        }
    }
}

/* A good part of a large hash: one walk, each field with the chance that is left for it. */
static void draw_on_walk(const struct hash_field *f, void *arg)
{
    struct draw *d = arg;

    if (rand_below(d->r, d->total) < d->count) {
        d->write(f, d->reply);
        d->count--;
    }
    d->total--;
}

/* A small part of a large hash: drawn one by one, those drawn before passed over. They are known by where
 * their names lie, in an open-addressing table at most half full. */
static bool draw_apart(struct draw *d)
{
    size_t cap = 16;
    size_t got = 0;

    while (cap < d->count * 2) {
        cap *= 2;
    }
    d->list = mem_zalloc(cap * sizeof(d->list[0]));
    if (d->list == NULL) {
        return false;
    }
    while (got < d->count && !d->reply->failed) {
        struct hash_field f = {0};

        if (!hash_random(d->h, d->r, &f)) {
            break;
        }
        size_t at = ((uintptr_t)f.name.ptr >> 4) * 0x9e3779b97f4a7c15u & (cap - 1);

        while (d->list[at].name.ptr != NULL && d->list[at].name.ptr != f.name.ptr) {
            at = (at + 1) & (cap - 1);
        }
        if (d->list[at].name.ptr == NULL) {
            d->list[at] = f;
            d->write(&f, d->reply);
            got++;
        }
    }
    mem_free(d->list, cap * sizeof(d->list[0]));
    return true;
}

static bool draw(struct draw *d, bool repeats)
{
    if (!repeats && d->count == d->total) {
        hash_each(d->h, d->write, d->reply);
        return true;
    }
    if (d->total <= GATHER_MOST) {
        return draw_listed(d, repeats);
    }
    if (repeats) {
        draw_repeats(d);
        return true;
    }
    if (d->count > d->total / 3) {
        hash_each(d->h, draw_on_walk, d);
        return true;
    }
    return draw_apart(d);
}

/* False when an error was answered. */
static bool random_options(struct cmd *c, int64_t *count, bool *with_values)
{
    *with_values = c->argc == 4 && slice_is_word(c->argv[3], "withvalues");
    if (!parse_i64(c->argv[2], count)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    if (*count == INT64_MIN) {
        reply_errf(c->reply, "ERR value is out of range, value must between -%lld and %lld",
                   (long long)INT64_MAX, (long long)INT64_MAX);
        return false;
    }
    if (c->argc > 4 || (c->argc == 4 && !*with_values)) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    if ((*with_values && (*count < -INT64_MAX / 2 || *count > INT64_MAX / 2)) ||
        *count < -(int64_t)RANDOM_MOST) {
        reply_errf(c->reply, "ERR value is out of range");
        return false;
    }
    return true;
}

static void random_one(struct cmd *c)
{
    struct rand local;
    struct hash_field f = {0};
    struct hash h;
    bool found;

    if (!hash_arg(c, &h, &found)) {
        return;
    }
    if (found && hash_random(&h, chance(&local), &f)) {
        reply_bulk(c->reply, f.name);
    } else {
        reply_null(c->reply);
    }
    if (found) {
        hash_close(&h);
    }
}

static void cmd_hrandfield(struct cmd *c)
{
    struct rand local;
    struct hash h;
    int64_t count;
    bool with_values;
    bool found;

    if (c->argc == 2) {
        random_one(c);
        return;
    }
    if (!random_options(c, &count, &with_values) || !hash_arg(c, &h, &found)) {
        return;
    }
    if (!found) {
        reply_array(c->reply, 0);
        return;
    }
    struct draw d = {.reply = c->reply,
                     .h = &h,
                     .r = chance(&local),
                     .total = hash_count(&h),
                     .count = (size_t)(count < 0 ? -count : count),
                     .write = with_values ? reply_pair : reply_name};
    size_t from = c->reply->out.len;
    uint32_t flags = c->reply->flags;

    if (count >= 0 && d.count > d.total) {
        d.count = d.total;
    }
    if (with_values && d.count > 0) {
        reply_pairs(c->reply, d.count);
    } else {
        reply_array(c->reply, d.count);
    }
    if (d.count > 0 && !draw(&d, count < 0)) {
        c->reply->out.len = from;
        c->reply->flags = flags;
        reply_err(c->reply, WIRE_NOMEM);
    }
    hash_close(&h);
}

/* clang-format off */
struct cmd_def hash_cmds[] = {
    { .name = "HSET", .arity = -4, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hset, .args = "key field value [field value ...]",
      .summary = "Sets fields of a hash; each loses the expiry it had. Answers how many are new." },
    { .name = "HSETNX", .arity = 4, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hsetnx, .args = "key field value",
      .summary = "Sets a field that is not there yet." },
    { .name = "HMSET", .arity = -4, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hmset, .args = "key field value [field value ...]",
      .summary = "As HSET, and answers OK." },
    { .name = "HINCRBY", .arity = 4, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hincrby, .args = "key field increment",
      .summary = "Adds to the integer in a field; an absent one counts as 0. Its expiry stays." },
    { .name = "HINCRBYFLOAT", .arity = 4, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST,
      .keys = KEYS(1, 1, 1), .since = "2.6.0", .run = cmd_hincrbyfloat, .args = "key field increment",
      .summary = "Adds to the number in a field; an absent one counts as 0. Its expiry stays." },
    { .name = "HDEL", .arity = -3, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hdel, .args = "key field [field ...]",
      .summary = "Removes fields, and the key with the last. Answers how many were there." },
    { .name = "HGET", .arity = 3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hget, .args = "key field",
      .summary = "The value of a field, or null." },
    { .name = "HMGET", .arity = -3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hmget, .args = "key field [field ...]",
      .summary = "The values of fields, null for each that is not there." },
    { .name = "HGETALL", .arity = 2, .flags = CMD_READ | CMD_UNORDERED, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hgetall, .args = "key",
      .summary = "All fields of a hash with their values." },
    { .name = "HKEYS", .arity = 2, .flags = CMD_READ | CMD_UNORDERED, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hkeys, .args = "key", .summary = "All fields of a hash." },
    { .name = "HVALS", .arity = 2, .flags = CMD_READ | CMD_UNORDERED, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hvals, .args = "key", .summary = "All values of a hash." },
    { .name = "HLEN", .arity = 2, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hlen, .args = "key",
      .summary = "How many fields a hash has; expired ones do not count." },
    { .name = "HEXISTS", .arity = 3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hexists, .args = "key field",
      .summary = "Whether a field is there." },
    { .name = "HSTRLEN", .arity = 3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "3.2.0", .run = cmd_hstrlen, .args = "key field",
      .summary = "The length of a field's value in bytes." },
    { .name = "HSCAN", .arity = -3, .flags = CMD_READ | CMD_RANDOM, .keys = KEYS(1, 1, 1),
      .since = "2.8.0", .run = cmd_hscan,
      .args = "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
      .summary = "A part of a hash, and the cursor to ask for the next part with." },
    { .name = "HRANDFIELD", .arity = -2, .flags = CMD_READ | CMD_RANDOM, .keys = KEYS(1, 1, 1),
      .since = "6.2.0", .run = cmd_hrandfield, .args = "key [count [WITHVALUES]]",
      .summary = "Fields by chance: different ones, or with a negative count maybe the same again." },
    CMD_END
};
/* clang-format on */
