#include "node/cmd/hash.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/worker.h"
#include "node/cmd/families.h"
#include "node/cmd/page.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/slices.h"
#include "proto/number.h"

#include <math.h>

enum { NAME_MAX_BYTES = 32, SLICE_STEP = 50 };

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

/* False when an error was answered, or there are more; c->sum is how many are new. */
static bool set_pairs(struct cmd *c)
{
    struct hash h;
    bool found;

    if (slices_take(c, c->argc > SLICES_FEW)) {
        return false;
    }
    if (c->argc % 2 != 0) {
        hash_err_arity(c);
        return false;
    }
    if (!hash_arg(c, &h, &found)) {
        return false;
    }
    if (found) {
        hash_close(&h);
    }
    uint32_t end = cmd_slice_end(c, 2);

    c->sum += (int64_t)hash_put_many(c, cmd_key(c, 1), c->argv + c->at, (end - c->at) / 2, 0);
    c->at = end;
    if (!cmd_slice_is_last(c)) {
        return false;
    }
    notify(c, NOTIFY_HASH, "hset", c->argv[1]);
    return true;
}

static void cmd_hset(struct cmd *c)
{
    if (set_pairs(c)) {
        reply_int(c->reply, c->sum);
    }
}

static void cmd_hmset(struct cmd *c)
{
    if (set_pairs(c)) {
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
    notify_taken(c, NOTIFY_HASH, "hdel", key);
}

static void cmd_hdel(struct cmd *c)
{
    struct hash h;
    bool found;

    if (slices_take(c, c->argc > SLICES_FEW) || !hash_arg(c, &h, &found)) {
        return;
    }
    uint32_t end = cmd_slice_end(c, 2);

    if (found) {
        hash_close(&h);
        c->sum += (int64_t)hash_remove_many(c, cmd_key(c, 1), c->argv + c->at, end - c->at);
    }
    c->at = end;
    if (!found || cmd_slice_is_last(c)) {
        if (c->sum > 0) {
            hash_tell_removed(c, cmd_key(c, 1));
        }
        reply_int(c->reply, c->sum);
    }
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

/* A large hash that is replied in slices, under its partition's lock. */
struct whole {
    struct hash h;
    uint64_t cursor;
    hash_each_fn fn;
    bool is_absent;
};

static void whole_free(void *progress)
{
    mem_free(progress, sizeof(struct whole));
}

/* False: no memory, and that was answered. */
static bool whole_begin(struct cmd *c, const struct hash *h)
{
    struct whole *w = mem_alloc(sizeof(*w));

    if (w == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return false;
    }
    *w = (struct whole){.h = *h};
    c->progress = w;
    c->progress_free = whole_free;
    return true;
}

static void reply_field(struct cmd *c, const struct hash *h, struct slice name)
{
    struct hash_field f;

    if (h != NULL && hash_get(h, name, &f)) {
        reply_bulk(c->reply, f.value);
    } else {
        reply_null(c->reply);
    }
}

static void hmget_go_on(struct cmd *c)
{
    size_t full = c->reply->out.len + HASH_SLICE_BYTES;
    struct whole *w = c->progress;

    for (uint32_t end = cmd_slice_end(c, 2); c->at < end && c->reply->out.len < full; c->at++) {
        reply_field(c, w->is_absent ? NULL : &w->h, c->argv[c->at]);
    }
    (void)cmd_slice_is_last(c);
}

static void cmd_hmget(struct cmd *c)
{
    struct hash h;
    bool found;

    if (cmd_is_long(c) || !hash_arg(c, &h, &found)) {
        return;
    }
    if (c->argc > CMD_SLICE_ARGS) {
        if (whole_begin(c, &h)) {
            reply_array(c->reply, c->argc - 2);
            ((struct whole *)c->progress)->is_absent = !found;
            c->go_on = hmget_go_on;
            hmget_go_on(c);
        }
        return;
    }
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc; i++) {
        reply_field(c, found ? &h : NULL, c->argv[i]);
    }
    if (found) {
        hash_close(&h);
    }
}

void hash_reply_name(const struct hash_field *f, void *arg)
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

void hash_reply_pair(const struct hash_field *f, void *arg)
{
    reply_array(arg, 2);
    reply_both(f, arg);
}

bool hash_next_fields(struct cmd *c, const struct hash *h, uint64_t *cursor, hash_each_fn fn,
                      void *arg)
{
    size_t full = c->reply->out.len + HASH_SLICE_BYTES;
    size_t n = 0;

    do {
        *cursor = hash_scan(h, *cursor, SLICE_STEP, fn, arg);
        n += SLICE_STEP;
    } while (*cursor != 0 && n < HASH_SLICE_FIELDS && c->reply->out.len < full);
    return *cursor == 0 || c->reply->failed;
}

static void whole_go_on(struct cmd *c)
{
    struct whole *w = c->progress;

    if (hash_next_fields(c, &w->h, &w->cursor, w->fn, c->reply)) {
        c->progress = NULL;
        whole_free(w);
    } else {
        c->again = true;
    }
}

/* The whole hash, behind a head for so many. */
static void reply_whole(struct cmd *c, void (*head)(struct reply *, size_t), hash_each_fn fn)
{
    struct hash h;
    bool found;

    if (!hash_arg(c, &h, &found)) {
        return;
    }
    if (!found || !hash_is_long(&h)) {
        head(c->reply, found ? hash_count(&h) : 0);
        if (found) {
            hash_each(&h, fn, c->reply);
            hash_close(&h);
        }
        return;
    }
    hash_close(&h);
    if (c->section == NULL) {
        cmd_needs_locks(c);
        return;
    }
    if (!whole_begin(c, &h)) {
        return;
    }
    ((struct whole *)c->progress)->fn = fn;
    c->go_on = whole_go_on;
    head(c->reply, hash_count(&h));
    reply_expect(c->reply, hash_bytes(&h));
    whole_go_on(c);
}

static void cmd_hgetall(struct cmd *c)
{
    reply_whole(c, reply_map, reply_both);
}

static void cmd_hkeys(struct cmd *c)
{
    reply_whole(c, reply_array, hash_reply_name);
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

static void page_field(const struct hash_field *f, void *arg)
{
    struct page *p = arg;

    if (page_wants(p, f->name)) {
        page_add(p, f->name);
        if (!p->names_only) {
            page_add(p, f->value);
        }
    }
}

static void cmd_hscan(struct cmd *c)
{
    struct page p;
    uint64_t cursor;
    struct hash h;
    bool found;

    if (!page_cursor(c, 2, &cursor) || !hash_arg(c, &h, &found)) {
        return;
    }
    if (!found) {
        page_reply_none(c);
        return;
    }
    if (!page_begin(c, 3, PAGE_NOVALUES, &p)) {
        hash_close(&h);
        return;
    }
    cursor = hash_scan(&h, cursor, page_count(&p), page_field, &p);
    hash_close(&h);
    page_reply(c, cursor, &p);
    page_fini(&p);
}

/* clang-format off */
struct cmd_def hash_cmds[] = {
    { .name = "HSET", .arity = -4, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hset, .args = "key field value [field value ...]",
      .member = 2, .summary = "Sets fields of a hash; each loses the expiry it had. Answers how many are new." },
    { .name = "HSETNX", .arity = 4, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hsetnx, .args = "key field value",
      .member = 2, .summary = "Sets a field that is not there yet." },
    { .name = "HMSET", .arity = -4, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hmset, .args = "key field value [field value ...]",
      .member = 2, .summary = "As HSET, and answers OK." },
    { .name = "HINCRBY", .arity = 4, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hincrby, .args = "key field increment",
      .member = 2, .summary = "Adds to the integer in a field; an absent one counts as 0. Its expiry stays." },
    { .name = "HINCRBYFLOAT", .arity = 4, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST,
      .keys = KEYS(1, 1, 1), .since = "2.6.0", .run = cmd_hincrbyfloat, .args = "key field increment",
      .member = 2, .summary = "Adds to the number in a field; an absent one counts as 0. Its expiry stays." },
    { .name = "HDEL", .arity = -3, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hdel, .args = "key field [field ...]",
      .member = 2, .summary = "Removes fields, and the key with the last. Answers how many were there." },
    { .name = "HGET", .arity = 3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hget, .args = "key field",
      .member = 2, .summary = "The value of a field, or null." },
    { .name = "HMGET", .arity = -3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_hmget, .args = "key field [field ...]",
      .member = 2, .summary = "The values of fields, null for each that is not there." },
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
      .member = 2, .summary = "Whether a field is there." },
    { .name = "HSTRLEN", .arity = 3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "3.2.0", .run = cmd_hstrlen, .args = "key field",
      .member = 2, .summary = "The length of a field's value in bytes." },
    { .name = "HSCAN", .arity = -3, .flags = CMD_READ | CMD_RANDOM, .keys = KEYS(1, 1, 1),
      .since = "2.8.0", .run = cmd_hscan,
      .args = "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
      .summary = "A part of a hash, and the cursor to ask for the next part with." },
    { .name = "HRANDFIELD", .arity = -2, .flags = CMD_READ | CMD_RANDOM, .keys = KEYS(1, 1, 1),
      .since = "6.2.0", .run = hash_random_run, .args = "key [count [WITHVALUES]]",
      .summary = "Fields by chance: different ones, or with a negative count maybe the same again." },
    CMD_END
};
/* clang-format on */
