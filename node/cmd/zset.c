#include "node/cmd/zset.h"

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

#include <assert.h>
#include <math.h>

enum {
    RANDOM_MOST = 1 << 20, /* drawn with repeats by one command: about a second */
    PAIRS_FEW = 16
};

/* ---- What the handlers share ---- */

bool zset_arg(struct cmd *c, uint32_t at, struct zset *z, bool *found)
{
    enum found f = zset_open(c, cmd_key(c, at), z);

    *found = f == FOUND;
    if (f == WRONG_TYPE) {
        reply_err(c->reply, WIRE_WRONGTYPE);
    }
    return f != WRONG_TYPE;
}

void zset_done(struct zset *z, bool found)
{
    if (found) {
        zset_close(z);
    }
}

void zset_reply_head(struct reply *r, size_t n, bool with_scores)
{
    if (with_scores && n > 0) {
        reply_pairs(r, n);
    } else {
        reply_array(r, n);
    }
}

void zset_reply_item(struct reply *r, const struct zset_item *i, bool with_scores)
{
    if (with_scores) {
        reply_array(r, 2);
    }
    reply_bulk(r, i->member);
    if (with_scores) {
        reply_double(r, i->score);
    }
}

static void err_range(struct cmd *c)
{
    reply_errf(c->reply, "ERR value is out of range, value must between -%lld and %lld",
               (long long)INT64_MAX, (long long)INT64_MAX);
}

/* ---- ZADD, ZINCRBY ---- */

struct add {
    unsigned flags;
    bool counts_changes, increments;
    uint32_t pairs; /* where they begin */
};

static bool add_flag(struct slice word, struct add *a)
{
    static const struct {
        const char *word;
        unsigned flag;
    } flags[] = {{"nx", ZSET_NX}, {"xx", ZSET_XX}, {"gt", ZSET_GT}, {"lt", ZSET_LT}};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (slice_is_word(word, flags[i].word)) {
            a->flags |= flags[i].flag;
            return true;
        }
    }
    if (slice_is_word(word, "ch")) {
        a->counts_changes = true;
        return true;
    }
    if (slice_is_word(word, "incr")) {
        a->increments = true;
        return true;
    }
    return false;
}

/* False when an error was answered. */
static bool add_options(struct cmd *c, struct add *a)
{
    unsigned order;

    a->pairs = 2;
    while (a->pairs < c->argc && add_flag(c->argv[a->pairs], a)) {
        a->pairs++;
    }
    if (a->pairs == c->argc || (c->argc - a->pairs) % 2 != 0) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    if ((a->flags & ZSET_NX) != 0 && (a->flags & ZSET_XX) != 0) {
        reply_errf(c->reply, "ERR XX and NX options at the same time are not compatible");
        return false;
    }
    order = a->flags & (ZSET_GT | ZSET_LT);
    if (order == (ZSET_GT | ZSET_LT) || (order != 0 && (a->flags & ZSET_NX) != 0)) {
        reply_errf(c->reply, "ERR GT, LT, and/or NX options at the same time are not compatible");
        return false;
    }
    if (a->increments && c->argc - a->pairs > 2) {
        reply_errf(c->reply, "ERR INCR option supports a single increment-element pair");
        return false;
    }
    return true;
}

/* What the increment in *score comes to. False when an error was answered. */
static bool increment(struct cmd *c, const struct add *a, const struct zset *z, struct zset_item *i)
{
    double old;

    if (!zset_score(z, i->member, &old) || (a->flags & ZSET_NX) != 0) {
        return true; /* it is new, or stays as it is */
    }
    i->score += old;
    if (isnan(i->score)) {
        reply_errf(c->reply, "ERR resulting score is not a number (NaN)");
        return false;
    }
    return true;
}

/* False when an error was answered, or the command is given up. */
static bool read_items(struct cmd *c, const struct add *a, struct zset_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!number_parse_score(c->argv[a->pairs + 2 * i], &items[i].score)) {
            reply_err(c->reply, WIRE_NOT_FLOAT);
            return false;
        }
        items[i].member = c->argv[a->pairs + 2 * i + 1];
        if (!slices_tick(1)) {
            return false;
        }
    }
    return true;
}

static void add_items(struct cmd *c, const struct add *a, struct zset_item *items, size_t n)
{
    struct zset z;
    bool found;

    assert(n > 0); /* add_options() saw to it */
    if (!read_items(c, a, items, n) || !zset_arg(c, 1, &z, &found)) {
        return;
    }
    bool fine = !found || !a->increments || increment(c, a, &z, &items[0]);

    zset_done(&z, found);
    if (!fine) {
        return;
    }
    struct zset_added r = zset_add(c, cmd_key(c, 1), items, n, a->flags);

    if (r.added + r.updated > 0) {
        notify(c, NOTIFY_ZSET, a->increments ? "zincr" : "zadd", c->argv[1]);
    }
    if (!a->increments) {
        reply_int(c->reply, (int64_t)(r.added + (a->counts_changes ? r.updated : 0)));
    } else if (r.refused > 0) {
        reply_null(c->reply);
    } else {
        reply_double(c->reply, items[0].score);
    }
}

static void add_pairs(struct cmd *c, const struct add *a)
{
    struct zset_item few[PAIRS_FEW];
    size_t n = (c->argc - a->pairs) / 2;
    struct zset_item *items = n <= PAIRS_FEW ? few : mem_alloc(n * sizeof(items[0]));

    if (items == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    add_items(c, a, items, n);
    if (items != few) {
        mem_free(items, n * sizeof(items[0]));
    }
}

static void cmd_zadd(struct cmd *c)
{
    struct add a = {0};

    if (!slices_take(c, c->argc > SLICES_FEW) && add_options(c, &a)) {
        add_pairs(c, &a);
    }
}

static void cmd_zincrby(struct cmd *c)
{
    struct add a = {.increments = true};

    if (add_options(c, &a)) { /* Redis takes ZADD's options here too */
        add_pairs(c, &a);
    }
}

/* ---- ZREM, and what reads single members ---- */

static void cmd_zrem(struct cmd *c)
{
    size_t removed = 0;
    struct zset z;
    bool found;

    if (slices_take(c, c->argc > SLICES_FEW) || !zset_arg(c, 1, &z, &found)) {
        return;
    }
    if (found) {
        zset_close(&z);
        removed = zset_remove(c, cmd_key(c, 1), c->argv + 2, c->argc - 2);
        if (removed > 0) {
            notify_taken(c, NOTIFY_ZSET, "zrem", cmd_key(c, 1));
        }
    }
    reply_int(c->reply, (int64_t)removed);
}

static void cmd_zcard(struct cmd *c)
{
    struct zset z;
    bool found;

    if (zset_arg(c, 1, &z, &found)) {
        reply_int(c->reply, found ? (int64_t)zset_count(&z) : 0);
        zset_done(&z, found);
    }
}

static void reply_score(struct cmd *c, const struct zset *z, bool found, struct slice member)
{
    double score;

    if (found && zset_score(z, member, &score)) {
        reply_double(c->reply, score);
    } else {
        reply_null(c->reply);
    }
}

static void cmd_zscore(struct cmd *c)
{
    struct zset z;
    bool found;

    if (zset_arg(c, 1, &z, &found)) {
        reply_score(c, &z, found, c->argv[2]);
        zset_done(&z, found);
    }
}

static void cmd_zmscore(struct cmd *c)
{
    struct zset z;
    bool found;

    if (slices_take(c, c->argc > SLICES_FEW) || !zset_arg(c, 1, &z, &found)) {
        return;
    }
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc && slices_tick(3); i++) {
        reply_score(c, &z, found, c->argv[i]);
    }
    zset_done(&z, found);
}

static void reply_rank(struct cmd *c, bool down)
{
    bool with_score = c->argc > 3;
    size_t rank = 0;
    size_t count = 0;
    double score = 0;
    struct zset z;
    bool found;

    if (c->argc > 4) {
        reply_errf(c->reply, "ERR wrong number of arguments for '%s' command",
                   down ? "zrevrank" : "zrank");
        return;
    }
    if (with_score && !slice_is_word(c->argv[3], "withscore")) {
        reply_err(c->reply, WIRE_SYNTAX);
        return;
    }
    if (!zset_arg(c, 1, &z, &found)) {
        return;
    }
    if (found) {
        found = zset_rank(&z, c->argv[2], &rank, &score);
        count = zset_count(&z);
        zset_close(&z);
    }
    if (!found && with_score) {
        reply_null_array(c->reply);
    } else if (!found) {
        reply_null(c->reply);
    } else {
        if (with_score) {
            reply_array(c->reply, 2);
        }
        reply_int(c->reply, (int64_t)(down ? count - 1 - rank : rank));
        if (with_score) {
            reply_double(c->reply, score);
        }
    }
}

static void cmd_zrank(struct cmd *c)
{
    reply_rank(c, false);
}

static void cmd_zrevrank(struct cmd *c)
{
    reply_rank(c, true);
}

/* ---- Popping ---- */

void zset_pop(struct cmd *c, struct key key, struct zset *z, bool from_end, size_t count,
              enum zset_pop_form form)
{
    size_t total = zset_count(z);
    size_t n = count < total ? count : total;
    struct zset_walk w;
    struct zset_item i;

    if (form == ZSET_POP_NAMED) {
        reply_array(c->reply, 3);
        reply_bulk(c->reply, key.name);
    } else if (form == ZSET_POP_FLAT) {
        reply_array(c->reply, 2 * n);
    } else if (form == ZSET_POP_PAIRS) {
        zset_reply_head(c->reply, n, true);
    } else {
        reply_array(c->reply, n);
    }
    zset_walk_begin(&w, z, from_end && n > 0 ? total - 1 : 0, n, from_end);
    while (zset_walk_next(&w, &i)) {
        if (form == ZSET_POP_PAIRS || form == ZSET_POP_NESTED) {
            reply_array(c->reply, 2);
        }
        reply_bulk(c->reply, i.member);
        reply_double(c->reply, i.score);
    }
    zset_close(z);
    zset_remove_range(c, key, from_end ? total - n : 0, n);
    if (n > 0) {
        notify_taken(c, NOTIFY_ZSET, from_end ? "zpopmax" : "zpopmin", key);
    }
}

static void pop(struct cmd *c, bool from_end)
{
    int64_t count = -1;
    struct zset z;
    bool found;

    if (c->argc > 3) {
        reply_err(c->reply, WIRE_SYNTAX);
        return;
    }
    if (c->argc == 3 && (!parse_i64(c->argv[2], &count) || count < 0)) {
        reply_err(c->reply, WIRE_NEGATIVE);
        return;
    }
    if (!zset_arg(c, 1, &z, &found)) {
        return;
    }
    if (!found || count == 0) {
        zset_done(&z, found);
        reply_array(c->reply, 0);
        return;
    }
    if (slices_take(c, zset_is_long(&z, count < 0 ? 1 : (size_t)count))) {
        zset_close(&z);
        return;
    }
    zset_pop(c, cmd_key(c, 1), &z, from_end, count < 0 ? 1 : (size_t)count,
             count < 0 ? ZSET_POP_FLAT : ZSET_POP_PAIRS);
}

static void cmd_zpopmin(struct cmd *c)
{
    pop(c, false);
}

static void cmd_zpopmax(struct cmd *c)
{
    pop(c, true);
}

/* numkeys key [key ...] MIN | MAX [COUNT count], from argv[1] on. */
bool zset_mpop_args(struct cmd *c, uint32_t at, struct zset_mpop *out)
{
    int64_t n;

    out->count = 1;
    if (!parse_i64(c->argv[at], &n) || n < 1) {
        reply_errf(c->reply, "ERR numkeys should be greater than 0");
        return false;
    }
    if (n >= (int64_t)c->argc - at - 1) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    out->keys = (uint32_t)n;
    uint32_t where = at + 1 + out->keys;

    out->from_end = slice_is_word(c->argv[where], "max");
    if (!out->from_end && !slice_is_word(c->argv[where], "min")) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    if (c->argc == where + 1) {
        return true;
    }
    if (c->argc == where + 2 || !slice_is_word(c->argv[where + 1], "count")) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    if (!parse_i64(c->argv[where + 2], &out->count) || out->count < 1) {
        reply_errf(c->reply, "ERR count should be greater than 0");
        return false;
    }
    if (c->argc > where + 3) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    return true;
}

void zset_mpop(struct cmd *c, uint32_t at, struct zset *z, const struct zset_mpop *p)
{
    reply_array(c->reply, 2);
    reply_bulk(c->reply, c->argv[at]);
    zset_pop(c, cmd_key(c, at), z, p->from_end, (size_t)p->count, ZSET_POP_NESTED);
}

static void cmd_zmpop(struct cmd *c)
{
    struct zset_mpop p;
    struct zset z;
    bool found;

    if (!zset_mpop_args(c, 1, &p) || slices_take(c, p.count > SLICES_FEW)) {
        return;
    }
    for (uint32_t i = 2; i < 2 + p.keys; i++) {
        if (!zset_arg(c, i, &z, &found)) {
            return;
        }
        if (found) {
            zset_mpop(c, i, &z, &p);
            return;
        }
    }
    reply_null_array(c->reply);
}

/* ---- ZSCAN ---- */

static void page_item(const struct zset_item *i, void *arg)
{
    struct page *p = arg;
    char digits[NUMBER_DOUBLE_MAX];

    if (page_wants(p, i->member)) {
        page_add(p, i->member);
        page_add(p, (struct slice){digits, number_print_double(digits, i->score)});
    }
}

static void cmd_zscan(struct cmd *c)
{
    struct page p;
    uint64_t cursor;
    struct zset z;
    bool found;

    if (!page_cursor(c, 2, &cursor) || !zset_arg(c, 1, &z, &found)) {
        return;
    }
    if (!found) {
        page_reply_none(c);
        return;
    }
    if (!page_begin(c, 3, 0, &p)) {
        zset_close(&z);
        return;
    }
    cursor = zset_scan(&z, cursor, page_count(&p), page_item, &p);
    zset_close(&z);
    page_reply(c, cursor, &p);
    page_fini(&p);
}

/* ---- ZRANDMEMBER ---- */

static struct rand *chance(struct rand *local)
{
    if (worker_self() != NULL) {
        return &worker_self()->rand;
    }
    local->state = (uint64_t)clock_mono_ns();
    return local;
}

static void reply_at(struct cmd *c, const struct zset *z, size_t rank, bool with_scores)
{
    struct zset_walk w;
    struct zset_item i;

    zset_walk_begin(&w, z, rank, 1, false);
    if (zset_walk_next(&w, &i)) {
        zset_reply_item(c->reply, &i, with_scores);
    }
}

/* One walk: each member with the chance that is left for it. */
static void draw_on_walk(struct cmd *c, const struct zset *z, size_t count, bool with_scores)
{
    struct rand local;
    struct rand *r = chance(&local);
    size_t left = zset_count(z);
    struct zset_walk w;
    struct zset_item i;

    zset_walk_begin(&w, z, 0, left, false);
    for (; count > 0 && zset_walk_next(&w, &i); left--) {
        if (rand_below(r, left) < count) {
            zset_reply_item(c->reply, &i, with_scores);
            count--;
        }
    }
}

/* A small part of many: ranks one by one, those drawn before known by an open-addressing table at most
 * half full. False: no memory, and nothing was written. */
static bool draw_apart(struct cmd *c, const struct zset *z, size_t count, bool with_scores)
{
    struct rand local;
    struct rand *r = chance(&local);
    size_t cap = 16;
    size_t got = 0;
    size_t *seen; /* rank plus one */

    while (cap < count * 2) {
        cap *= 2;
    }
    seen = mem_zalloc(cap * sizeof(seen[0]));
    if (seen == NULL) {
        return false;
    }
    while (got < count && !c->reply->failed && slices_tick(2)) {
        size_t rank = rand_below(r, zset_count(z));
        size_t at = rank * 0x9e3779b97f4a7c15u >> 20 & (cap - 1);

        while (seen[at] != 0 && seen[at] != rank + 1) {
            at = (at + 1) & (cap - 1);
        }
        if (seen[at] == 0) {
            seen[at] = rank + 1;
            reply_at(c, z, rank, with_scores);
            got++;
        }
    }
    mem_free(seen, cap * sizeof(seen[0]));
    return true;
}

static void draw(struct cmd *c, const struct zset *z, int64_t count, bool with_scores)
{
    struct rand local;
    size_t total = zset_count(z);
    size_t n = (size_t)(count < 0 ? -count : count);
    size_t from = c->reply->out.len;
    uint32_t flags = c->reply->flags;

    n = count > 0 && n > total ? total : n;
    zset_reply_head(c->reply, n, with_scores);
    if (count < 0) {
        for (size_t i = 0; i < n && !c->reply->failed && slices_tick(2); i++) {
            reply_at(c, z, rand_below(chance(&local), total), with_scores);
        }
    } else if (n > total / 4) {
        draw_on_walk(c, z, n, with_scores);
    } else if (n > 0 && !draw_apart(c, z, n, with_scores)) {
        c->reply->out.len = from;
        c->reply->flags = flags;
        reply_err(c->reply, WIRE_NOMEM);
    }
}

static bool draw_is_long(const struct zset *z, int64_t count)
{
    size_t total = zset_count(z);

    if (count < 0) {
        return count < -SLICES_FEW;
    }
    return zset_is_long(z, (size_t)count > total / 4 ? total : (size_t)count);
}

/* False when an error was answered. */
static bool random_options(struct cmd *c, int64_t *count, bool *with_scores)
{
    *with_scores = c->argc == 4 && slice_is_word(c->argv[3], "withscores");
    if (!parse_i64(c->argv[2], count)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    if (*count == INT64_MIN) {
        err_range(c);
        return false;
    }
    if (c->argc > 4 || (c->argc == 4 && !*with_scores)) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    if ((*with_scores && (*count < -INT64_MAX / 2 || *count > INT64_MAX / 2)) ||
        *count < -(int64_t)RANDOM_MOST) {
        reply_errf(c->reply, "ERR value is out of range");
        return false;
    }
    return true;
}

static void cmd_zrandmember(struct cmd *c)
{
    struct rand local;
    bool with_scores = false;
    int64_t count = 1;
    struct zset z;
    bool found;

    if ((c->argc > 2 && !random_options(c, &count, &with_scores)) || !zset_arg(c, 1, &z, &found)) {
        return;
    }
    if (c->argc == 2) {
        if (found) {
            reply_at(c, &z, rand_below(chance(&local), zset_count(&z)), false);
        } else {
            reply_null(c->reply);
        }
    } else if (found && !slices_take(c, draw_is_long(&z, count))) {
        draw(c, &z, count, with_scores);
    } else if (!found) {
        reply_array(c->reply, 0);
    }
    zset_done(&z, found);
}

/* clang-format off */
struct cmd_def zset_cmds[] = {
    { .name = "ZADD", .arity = -4, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "1.2.0", .run = cmd_zadd,
      .args = "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
      .member = 3, .summary = "Gives members of a sorted set their scores. Answers how many are new." },
    { .name = "ZINCRBY", .arity = 4, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "1.2.0", .run = cmd_zincrby, .args = "key increment member",
      .member = 3, .summary = "Adds to a member's score; an absent one counts as 0." },
    { .name = "ZREM", .arity = -3, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "1.2.0", .run = cmd_zrem, .args = "key member [member ...]",
      .member = 2, .summary = "Removes members, and the key with the last. Answers how many were there." },
    { .name = "ZCARD", .arity = 2, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "1.2.0", .run = cmd_zcard, .args = "key",
      .summary = "How many members a sorted set has." },
    { .name = "ZSCORE", .arity = 3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "1.2.0", .run = cmd_zscore, .args = "key member",
      .member = 2, .summary = "A member's score, or null." },
    { .name = "ZMSCORE", .arity = -3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "6.2.0", .run = cmd_zmscore, .args = "key member [member ...]",
      .member = 2, .summary = "The scores of members, null for each that is not there." },
    { .name = "ZRANK", .arity = -3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_zrank, .args = "key member [WITHSCORE]",
      .member = 2, .summary = "How many members stand before one, by score and then by name." },
    { .name = "ZREVRANK", .arity = -3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_zrevrank, .args = "key member [WITHSCORE]",
      .member = 2, .summary = "How many members stand behind one." },
    { .name = "ZPOPMIN", .arity = -2, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "5.0.0", .run = cmd_zpopmin, .args = "key [count]",
      .summary = "Removes the members with the lowest scores, and answers them." },
    { .name = "ZPOPMAX", .arity = -2, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "5.0.0", .run = cmd_zpopmax, .args = "key [count]",
      .summary = "Removes the members with the highest scores, and answers them." },
    { .name = "ZMPOP", .arity = -4, .flags = CMD_WRITE, .keys = KEYS_COUNT(1, 1),
      .since = "7.0.0", .run = cmd_zmpop, .args = "numkeys key [key ...] <MIN | MAX> [COUNT count]",
      .summary = "Pops members from the first sorted set that is there." },
    { .name = "ZSCAN", .arity = -3, .flags = CMD_READ | CMD_RANDOM, .keys = KEYS(1, 1, 1),
      .since = "2.8.0", .run = cmd_zscan, .args = "key cursor [MATCH pattern] [COUNT count]",
      .summary = "A part of a sorted set, and the cursor to ask for the next part with." },
    { .name = "ZRANDMEMBER", .arity = -2, .flags = CMD_READ | CMD_RANDOM, .keys = KEYS(1, 1, 1),
      .since = "6.2.0", .run = cmd_zrandmember, .args = "key [count [WITHSCORES]]",
      .summary = "Members by chance: different ones, or with a negative count maybe the same again." },
    CMD_END
};
/* clang-format on */
