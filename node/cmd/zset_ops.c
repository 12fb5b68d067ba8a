/* zset_ops.c - unions, intersections and differences of sorted sets, answered or stored.
 *
 * No two collections are open at a time (node/large.h), so what an input holds is taken down before the
 * next is opened. Names stay where they lie: who removes a member retires it, so it is there until this
 * worker's turn ends.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/parse.h"
#include "node/cmd/families.h"
#include "node/cmd/zset.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/slices.h"
#include "node/type_set.h"
#include "proto/number.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* ---- Inputs ---- */

/* One key's members with their scores; those of a plain set have 1. */
struct input {
    bool is_set; /* else a sorted set */
    struct zset z;
    struct set s;
};

static enum found input_open(struct cmd *c, uint32_t at, struct input *in)
{
    enum found found = zset_open(c, cmd_key(c, at), &in->z);

    in->is_set = found == WRONG_TYPE;
    return in->is_set ? set_open(c, cmd_key(c, at), &in->s) : found;
}

static void input_close(struct input *in)
{
    if (in->is_set) {
        set_close(&in->s);
    } else {
        zset_close(&in->z);
    }
}

static size_t input_count(const struct input *in)
{
    return in->is_set ? set_count(&in->s) : zset_count(&in->z);
}

static bool input_find(const struct input *in, struct slice member, double *score)
{
    if (in->is_set) {
        *score = 1;
        return set_has(&in->s, member);
    }
    return zset_score(&in->z, member, score);
}

typedef bool (*input_each_fn)(const struct zset_item *i, void *arg);

/* The digits of a set of integers, which it makes when it is asked, for as long as the command runs. */
struct digits {
    struct digits *next;
    size_t used, bytes;
    char at[];
};

static void digits_free(struct digits *d)
{
    struct digits *next;

    for (; d != NULL; d = next) {
        next = d->next;
        mem_free(d, sizeof(*d) + d->bytes);
    }
}

struct set_walk {
    input_each_fn fn;
    void *arg;
    struct digits *digits; /* NULL: members lie in the set */
    bool stopped;
};

static void walk_member(struct slice member, void *arg)
{
    struct set_walk *w = arg;

    if (w->digits != NULL) {
        char *at = w->digits->at + w->digits->used;

        assert(w->digits->used + member.len <= w->digits->bytes);
        memcpy(at, member.ptr, member.len);
        w->digits->used += member.len;
        member.ptr = at;
    }
    w->stopped = w->stopped || !w->fn(&(struct zset_item){member, 1}, w->arg);
}

static bool each_in_set(const struct input *in, struct digits **kept, input_each_fn fn, void *arg)
{
    struct set_walk w = {.fn = fn, .arg = arg};
    uint64_t cursor = 0;

    if (set_is_ints(&in->s)) {
        size_t bytes = set_count(&in->s) * BUF_I64_MAX;

        w.digits = mem_alloc(sizeof(*w.digits) + bytes);
        if (w.digits == NULL) {
            return false;
        }
        *w.digits = (struct digits){.next = *kept, .bytes = bytes};
        *kept = w.digits;
    }
    do {
        cursor = set_scan(&in->s, cursor, 1000, walk_member, &w);
    } while (cursor != 0 && !w.stopped);
    return !w.stopped;
}

/* False when fn said so, or without memory. */
static bool input_each(const struct input *in, struct digits **kept, input_each_fn fn, void *arg)
{
    struct zset_walk w;
    struct zset_item i;

    if (in->is_set) {
        return each_in_set(in, kept, fn, arg);
    }
    zset_walk_begin(&w, &in->z, 0, zset_count(&in->z), false);
    while (zset_walk_next(&w, &i)) {
        if (!fn(&i, arg)) {
            return false;
        }
    }
    return true;
}

/* ---- What a command asks ---- */

enum op { UNION, INTER, DIFF };
enum aggregate { SUM, LEAST, MOST };

struct source {
    uint32_t at; /* in argv */
    bool found;
    size_t count;
    double weight;
};

struct ask {
    enum op op;
    bool stores, counts_only, with_scores;
    enum aggregate aggregate;
    int64_t limit; /* 0: none */
    uint32_t keys;
    struct source *sources; /* owned */
    /* the result */
    struct zset_item *items; /* owned */
    size_t count, cap;
    uint32_t *index; /* owned; of a union: place in items plus one, by hash */
    size_t index_cap;
    double weight;         /* of the input being taken down */
    struct digits *digits; /* owned */
};

static void ask_fini(struct ask *a)
{
    mem_free(a->sources, a->keys * sizeof(a->sources[0]));
    mem_free(a->items, a->cap * sizeof(a->items[0]));
    mem_free(a->index, a->index_cap * sizeof(a->index[0]));
    digits_free(a->digits);
}

/* numkeys key [key ...] from argv[at] on; opens each key once, for its type and size. */
static bool read_keys(struct cmd *c, uint32_t at, struct ask *a)
{
    int64_t n;

    if (!parse_i64(c->argv[at], &n)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    if (n < 1) {
        char name[32] = {0};

        for (size_t i = 0; i + 1 < sizeof(name) && c->def->name[i] != '\0'; i++) {
            name[i] = slice_lower(c->def->name[i]);
        }
        reply_errf(c->reply, "ERR at least 1 input key is needed for '%s' command", name);
        return false;
    }
    if (n > (int64_t)c->argc - at - 1) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    a->sources = mem_alloc((size_t)n * sizeof(a->sources[0]));
    if (a->sources == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return false;
    }
    a->keys = (uint32_t)n;
    for (uint32_t i = 0; i < a->keys; i++) {
        struct source *s = &a->sources[i];
        struct input in;
        enum found f = input_open(c, at + 1 + i, &in);

        if (f == WRONG_TYPE) {
            reply_err(c->reply, WIRE_WRONGTYPE);
            return false;
        }
        *s = (struct source){at + 1 + i, f == FOUND, f == FOUND ? input_count(&in) : 0, 1};
        if (f == FOUND) {
            input_close(&in);
        }
    }
    return true;
}

static bool weight_args(struct cmd *c, uint32_t at, struct ask *a)
{
    for (uint32_t i = 0; i < a->keys; i++) {
        if (!number_parse_score(c->argv[at + i], &a->sources[i].weight)) {
            reply_errf(c->reply, "ERR weight value is not a float");
            return false;
        }
    }
    return true;
}

static bool aggregate_arg(struct slice word, enum aggregate *out)
{
    static const char *const words[] = {"sum", "min", "max"};

    for (unsigned i = 0; i < 3; i++) {
        if (slice_is_word(word, words[i])) {
            *out = (enum aggregate)i;
            return true;
        }
    }
    return false;
}

static bool limit_arg(struct cmd *c, uint32_t at, struct ask *a)
{
    if (!parse_i64(c->argv[at], &a->limit) || a->limit < 0) {
        reply_errf(c->reply, "ERR LIMIT can't be negative");
        return false;
    }
    return true;
}

static bool read_options(struct cmd *c, uint32_t at, struct ask *a)
{
    bool weighs = a->op != DIFF && !a->counts_only;

    while (at < c->argc) {
        uint32_t left = c->argc - at;
        bool fine = false;

        if (weighs && left > a->keys && slice_is_word(c->argv[at], "weights")) {
            if (!weight_args(c, at + 1, a)) {
                return false;
            }
            fine = true;
            at += a->keys;
        } else if (weighs && left >= 2 && slice_is_word(c->argv[at], "aggregate")) {
            fine = aggregate_arg(c->argv[++at], &a->aggregate);
        } else if (!a->stores && !a->counts_only && slice_is_word(c->argv[at], "withscores")) {
            fine = a->with_scores = true;
        } else if (a->counts_only && left >= 2 && slice_is_word(c->argv[at], "limit")) {
            if (!limit_arg(c, ++at, a)) {
                return false;
            }
            fine = true;
        }
        if (!fine) {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
        at++;
    }
    return true;
}

/* ---- Carrying it out ---- */

static double weighed(double score, double weight)
{
    double value = score * weight;

    return isnan(value) ? 0 : value; /* of infinity times 0 */
}

static double aggregated(const struct ask *a, double one, double other)
{
    double sum;

    switch (a->aggregate) {
    case LEAST:
        return other < one ? other : one;
    case MOST:
        return other > one ? other : one;
    case SUM:
        break;
    }
    sum = one + other;
    return isnan(sum) ? 0 : sum; /* of the two infinities */
}

static bool take_item(const struct zset_item *i, void *arg)
{
    struct ask *a = arg;

    if (a->count == a->cap) {
        size_t cap = a->cap == 0 ? 64 : 2 * a->cap;
        struct zset_item *items =
            mem_realloc(a->items, a->cap * sizeof(items[0]), cap * sizeof(items[0]));

        if (items == NULL) {
            return false;
        }
        a->items = items;
        a->cap = cap;
    }
    a->items[a->count++] = (struct zset_item){i->member, weighed(i->score, a->weight)};
    return true;
}

static bool index_grow(struct ask *a)
{
    size_t cap = a->index_cap == 0 ? 128 : 2 * a->index_cap;
    uint32_t *index = mem_zalloc(cap * sizeof(index[0]));

    if (index == NULL) {
        return false;
    }
    for (size_t i = 0; i < a->count && slices_tick(2); i++) {
        size_t at = hash_key(a->items[i].member) & (cap - 1);

        while (index[at] != 0) {
            at = (at + 1) & (cap - 1);
        }
        index[at] = (uint32_t)i + 1;
    }
    mem_free(a->index, a->index_cap * sizeof(a->index[0]));
    a->index = index;
    a->index_cap = cap;
    return true;
}

static bool unite_item(const struct zset_item *i, void *arg)
{
    struct ask *a = arg;

    if (!slices_tick(2)) {
        return false;
    }
    if (2 * (a->count + 1) > a->index_cap && (a->count >= UINT32_MAX - 1 || !index_grow(a))) {
        return false;
    }
    size_t at = hash_key(i->member) & (a->index_cap - 1);

    for (; a->index[at] != 0; at = (at + 1) & (a->index_cap - 1)) {
        struct zset_item *have = &a->items[a->index[at] - 1];

        if (slice_is(have->member, i->member)) {
            have->score = aggregated(a, have->score, weighed(i->score, a->weight));
            return true;
        }
    }
    if (!take_item(i, a)) {
        return false;
    }
    a->index[at] = (uint32_t)a->count;
    return true;
}

/* Keeps of the items those that the input has too (or has not), with the scores that they come to. */
static void sift(struct ask *a, const struct input *in, bool has)
{
    size_t kept = 0;

    for (size_t i = 0; i < a->count && slices_tick(2); i++) {
        struct zset_item item = a->items[i];
        double score = 0;
        bool found = in != NULL && input_find(in, item.member, &score);

        if (found == has) {
            item.score = has ? aggregated(a, item.score, score * a->weight) : item.score;
            a->items[kept++] = item;
        }
    }
    a->count = kept;
}

/* Takes one input into account. False: no memory. */
static bool take_source(struct cmd *c, struct ask *a, const struct source *s, bool is_first)
{
    struct input in;
    bool found = input_open(c, s->at, &in) == FOUND;
    bool fine = true;

    a->weight = s->weight;
    if (found && a->op == UNION) {
        fine = input_each(&in, &a->digits, unite_item, a);
    } else if (found && is_first) {
        fine = input_each(&in, &a->digits, take_item, a);
    } else if (!is_first && a->op != UNION) {
        sift(a, found ? &in : NULL, a->op == INTER);
    }
    if (found) {
        input_close(&in);
    }
    return fine;
}

/* The smallest first, as Redis aggregates: sums of floats depend on the order. */
static int source_order(const void *x, const void *y)
{
    const struct source *a = x;
    const struct source *b = y;

    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    return a->at < b->at ? -1 : 1;
}

/* Room for all that may come, so that it does not grow by copying what there is; without, it grows. */
static void expect(struct ask *a)
{
    size_t most = a->sources[0].count;

    for (uint32_t i = 1; i < a->keys && a->op == UNION; i++) {
        most += a->sources[i].count;
    }
    a->items = most == 0 ? NULL : mem_alloc(most * sizeof(a->items[0]));
    a->cap = a->items == NULL ? 0 : most;
}

static bool carry_out(struct cmd *c, struct ask *a)
{
    if (a->op != DIFF) {
        qsort(a->sources, a->keys, sizeof(a->sources[0]), source_order);
    }
    if (slices_running != NULL) {
        expect(a);
    }
    for (uint32_t i = 0; i < a->keys; i++) {
        if (!take_source(c, a, &a->sources[i], i == 0)) {
            return false;
        }
        if (a->op != UNION && a->count == 0) {
            break;
        }
    }
    if (!a->counts_only && a->items != NULL) {
        qsort(a->items, a->count, sizeof(a->items[0]), zset_item_order);
    }
    return true;
}

static void answer(struct cmd *c, const struct ask *a)
{
    size_t n = a->count;

    if (a->counts_only) {
        reply_int(c->reply, a->limit > 0 && (uint64_t)a->limit < n ? a->limit : (int64_t)n);
        return;
    }
    if (a->stores) {
        zset_store(c, cmd_key(c, 1), a->items, n);
        if (n > 0) {
            notify(c, NOTIFY_ZSET,
                   a->op == UNION   ? "zunionstore"
                   : a->op == INTER ? "zinterstore"
                                    : "zdiffstore",
                   c->argv[1]);
        }
        reply_int(c->reply, (int64_t)n);
        return;
    }
    zset_reply_head(c->reply, n, a->with_scores);
    for (size_t i = 0; i < n && !c->reply->failed && slices_tick(1); i++) {
        zset_reply_item(c->reply, &a->items[i], a->with_scores);
    }
}

static bool is_long(const struct ask *a)
{
    size_t sum = 0;

    for (uint32_t i = 0; i < a->keys && sum <= SLICES_FEW; i++) {
        sum += 1 + a->sources[i].count;
    }
    return sum > SLICES_FEW;
}

static void run(struct cmd *c, struct ask a)
{
    uint32_t at = a.stores ? 2 : 1;

    if (read_keys(c, at, &a) && read_options(c, at + 1 + a.keys, &a)) {
        if (slices_take(c, is_long(&a))) {
            ask_fini(&a);
            return;
        }
        if (carry_out(c, &a)) {
            answer(c, &a);
        } else {
            reply_err(c->reply, WIRE_NOMEM);
        }
    }
    ask_fini(&a);
}

static void cmd_zunion(struct cmd *c)
{
    run(c, (struct ask){.op = UNION});
}

static void cmd_zinter(struct cmd *c)
{
    run(c, (struct ask){.op = INTER});
}

static void cmd_zdiff(struct cmd *c)
{
    run(c, (struct ask){.op = DIFF});
}

static void cmd_zunionstore(struct cmd *c)
{
    run(c, (struct ask){.op = UNION, .stores = true});
}

static void cmd_zinterstore(struct cmd *c)
{
    run(c, (struct ask){.op = INTER, .stores = true});
}

static void cmd_zdiffstore(struct cmd *c)
{
    run(c, (struct ask){.op = DIFF, .stores = true});
}

static void cmd_zintercard(struct cmd *c)
{
    run(c, (struct ask){.op = INTER, .counts_only = true});
}

/* clang-format off */
struct cmd_def zset_ops_cmds[] = {
    { .name = "ZUNION", .arity = -3, .flags = CMD_READ, .keys = KEYS_COUNT(1, 1),
      .since = "6.2.0", .run = cmd_zunion,
      .args = "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
      .summary = "The members of all the sorted sets, each with what its weighted scores come to." },
    { .name = "ZINTER", .arity = -3, .flags = CMD_READ, .keys = KEYS_COUNT(1, 1),
      .since = "6.2.0", .run = cmd_zinter,
      .args = "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
      .summary = "The members that every one of the sorted sets has." },
    { .name = "ZDIFF", .arity = -3, .flags = CMD_READ, .keys = KEYS_COUNT(1, 1),
      .since = "6.2.0", .run = cmd_zdiff, .args = "numkeys key [key ...] [WITHSCORES]",
      .summary = "The members of the first sorted set that no other has." },
    { .name = "ZINTERCARD", .arity = -3, .flags = CMD_READ, .keys = KEYS_COUNT(1, 1),
      .since = "7.0.0", .run = cmd_zintercard, .args = "numkeys key [key ...] [LIMIT limit]",
      .summary = "How many members every one of the sorted sets has." },
    { .name = "ZUNIONSTORE", .arity = -4, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS_TO_COUNT(1, 1),
      .since = "2.0.0", .run = cmd_zunionstore,
      .args = "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
      .summary = "As ZUNION, and stores it. Answers how many members." },
    { .name = "ZINTERSTORE", .arity = -4, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS_TO_COUNT(1, 1),
      .since = "2.0.0", .run = cmd_zinterstore,
      .args = "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
      .summary = "As ZINTER, and stores it. Answers how many members." },
    { .name = "ZDIFFSTORE", .arity = -4, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS_TO_COUNT(1, 1),
      .since = "6.2.0", .run = cmd_zdiffstore, .args = "destination numkeys key [key ...]",
      .summary = "As ZDIFF, and stores it. Answers how many members." },
    CMD_END
};
/* clang-format on */
