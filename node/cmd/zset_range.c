/* zset_range.c - ranges of sorted sets: by rank, score and name; read, counted, removed, stored. */
#include "base/mem.h"
#include "base/parse.h"
#include "node/cmd/families.h"
#include "node/cmd/zset.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/slices.h"

#include <math.h>
#include <stdlib.h>

enum { BOUND_MAX = 512 };

/* ---- Bounds ---- */

/* As Redis takes it: strtod() up to a zero byte, an empty text is 0; "(" leaves out what equals it. */
static bool score_bound(struct slice text, bool is_high, struct rank_bound *out)
{
    char copy[BOUND_MAX];
    char *end;
    bool is_open = text.len > 0 && text.ptr[0] == '(';

    if (is_open) {
        text.ptr++;
        text.len--;
    }
    if (text.len >= sizeof(copy)) {
        return false;
    }
    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    copy[text.len] = '\0';
    *out = (struct rank_bound){.score = strtod(copy, &end), .after = is_high != is_open};
    return *end == '\0' && !isnan(out->score);
}

static bool is_sign(struct slice text, char sign)
{
    return text.len > 0 && text.ptr[0] == sign && (text.len == 1 || text.ptr[1] == '\0');
}

/* "-" is below every name, "+" above. */
static bool name_bound(struct slice text, bool is_high, struct zset_range *r)
{
    struct rank_bound *b = is_high ? &r->high : &r->low;

    *b = (struct rank_bound){.by_member = true};
    if (is_sign(text, '-') || is_sign(text, '+')) {
        bool is_top = text.ptr[0] == '+';

        r->none = r->none || is_top != is_high;
        *(is_high ? &r->no_high : &r->no_low) = true;
        return true;
    }
    if (text.len == 0 || (text.ptr[0] != '[' && text.ptr[0] != '(')) {
        return false;
    }
    b->member = (struct slice){text.ptr + 1, text.len - 1};
    b->after = is_high != (text.ptr[0] == '(');
    return true;
}

bool zset_range_parse(struct cmd *c, struct zset_range *r, struct slice min, struct slice max)
{
    if (r->by == ZSET_BY_RANK) {
        if (!parse_i64(min, &r->start) || !parse_i64(max, &r->stop)) {
            reply_err(c->reply, WIRE_NOT_INTEGER);
            return false;
        }
    } else if (r->by == ZSET_BY_SCORE) {
        if (!score_bound(min, false, &r->low) || !score_bound(max, true, &r->high)) {
            reply_errf(c->reply, "ERR min or max is not a float");
            return false;
        }
    } else if (!name_bound(min, false, r) || !name_bound(max, true, r)) {
        reply_errf(c->reply, "ERR min or max not valid string range item");
        return false;
    }
    return true;
}

/* Counted from the end that the range begins at. */
static struct zset_span by_rank(const struct zset_range *r, size_t count)
{
    int64_t n = (int64_t)count;
    int64_t start = r->start < 0 ? r->start + n : r->start;
    int64_t stop = r->stop < 0 ? r->stop + n : r->stop;

    start = start < 0 ? 0 : start;
    stop = stop >= n ? n - 1 : stop;
    if (start > stop || start >= n) {
        return (struct zset_span){0, 0};
    }
    return (struct zset_span){(size_t)(r->down ? n - 1 - stop : start), (size_t)(stop - start + 1)};
}

static bool is_crossed(const struct zset_range *r)
{
    if (r->by == ZSET_BY_SCORE) {
        return r->low.score > r->high.score;
    }
    return r->none || (!r->no_low && !r->no_high && slice_order(r->low.member, r->high.member) > 0);
}

struct zset_span zset_range_in(const struct zset_range *r, const struct zset *z)
{
    size_t count = zset_count(z);

    if (r->by == ZSET_BY_RANK) {
        return by_rank(r, count);
    }
    if (is_crossed(r)) {
        return (struct zset_span){0, 0};
    }
    size_t low = r->no_low ? 0 : zset_before(z, &r->low);
    size_t high = r->no_high ? count : zset_before(z, &r->high);

    /* Names among scores that differ are in no order: nothing, then, rather than something odd. */
    if (high <= low || r->offset < 0 || (uint64_t)r->offset >= high - low) {
        return (struct zset_span){0, 0};
    }
    size_t n = high - low - (size_t)r->offset;

    n = r->limit >= 0 && (uint64_t)r->limit < n ? (size_t)r->limit : n;
    return (struct zset_span){r->down ? high - (size_t)r->offset - n : low + (size_t)r->offset, n};
}

/* ---- Reading ---- */

static void walk_span(struct zset_walk *w, const struct zset *z, struct zset_span s, bool down)
{
    zset_walk_begin(w, z, down && s.n > 0 ? s.first + s.n - 1 : s.first, s.n, down);
}

/* What a row fixes; what is not fixed options may say. */
struct form {
    bool any_by, any_direction, stores;
};

static bool limit_args(struct cmd *c, uint32_t at, struct zset_range *r)
{
    if (!parse_i64(c->argv[at], &r->offset) || !parse_i64(c->argv[at + 1], &r->limit)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    return true;
}

static bool range_options(struct cmd *c, uint32_t at, struct form form, struct zset_range *r,
                          bool *with_scores)
{
    bool by_given = false;
    bool down_given = false;

    for (; at < c->argc; at++) {
        struct slice word = c->argv[at];

        if (!form.stores && slice_is_word(word, "withscores")) {
            *with_scores = true;
        } else if (at + 2 < c->argc && slice_is_word(word, "limit")) {
            if (!limit_args(c, at + 1, r)) {
                return false;
            }
            at += 2;
        } else if (form.any_direction && !down_given && slice_is_word(word, "rev")) {
            r->down = down_given = true;
        } else if (form.any_by && !by_given && slice_is_word(word, "bylex")) {
            r->by = ZSET_BY_NAME;
            by_given = true;
        } else if (form.any_by && !by_given && slice_is_word(word, "byscore")) {
            r->by = ZSET_BY_SCORE;
            by_given = true;
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    if (r->limit != -1 && r->by == ZSET_BY_RANK) {
        reply_errf(c->reply, "ERR syntax error, LIMIT is only supported in combination with either "
                             "BYSCORE or BYLEX");
        return false;
    }
    if (*with_scores && r->by == ZSET_BY_NAME) {
        reply_errf(c->reply,
                   "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        return false;
    }
    return true;
}

/* The bounds behind argv[key], the higher first when it goes down. False when an error was answered. */
static bool range_args(struct cmd *c, uint32_t key, struct form form, struct zset_range *r,
                       bool *with_scores)
{
    r->limit = -1;
    if (!range_options(c, key + 3, form, r, with_scores)) {
        return false;
    }
    bool swapped = r->down && r->by != ZSET_BY_RANK;

    return zset_range_parse(c, r, c->argv[key + 1 + swapped], c->argv[key + 2 - swapped]);
}

static void reply_range(struct cmd *c, struct form form, enum zset_by by, bool down)
{
    struct zset_range r = {.by = by, .down = down};
    struct zset_walk w;
    struct zset_item i;
    bool with_scores = false;
    struct zset z;
    bool found;

    if (!range_args(c, 1, form, &r, &with_scores) || !zset_arg(c, 1, &z, &found)) {
        return;
    }
    if (!found) {
        reply_array(c->reply, 0);
        return;
    }
    struct zset_span s = zset_range_in(&r, &z);

    if (slices_take(c, zset_is_long(&z, s.n))) {
        zset_close(&z);
        return;
    }
    zset_reply_head(c->reply, s.n, with_scores);
    walk_span(&w, &z, s, r.down);
    while (zset_walk_next(&w, &i) && !c->reply->failed) {
        zset_reply_item(c->reply, &i, with_scores);
    }
    zset_close(&z);
}

static void cmd_zrange(struct cmd *c)
{
    reply_range(c, (struct form){.any_by = true, .any_direction = true}, ZSET_BY_RANK, false);
}

static void cmd_zrevrange(struct cmd *c)
{
    reply_range(c, (struct form){0}, ZSET_BY_RANK, true);
}

static void cmd_zrangebyscore(struct cmd *c)
{
    reply_range(c, (struct form){0}, ZSET_BY_SCORE, false);
}

static void cmd_zrevrangebyscore(struct cmd *c)
{
    reply_range(c, (struct form){0}, ZSET_BY_SCORE, true);
}

static void cmd_zrangebylex(struct cmd *c)
{
    reply_range(c, (struct form){0}, ZSET_BY_NAME, false);
}

static void cmd_zrevrangebylex(struct cmd *c)
{
    reply_range(c, (struct form){0}, ZSET_BY_NAME, true);
}

static void reply_count(struct cmd *c, enum zset_by by)
{
    struct zset_range r = {.by = by, .limit = -1};
    struct zset z;
    bool found;

    if (!zset_range_parse(c, &r, c->argv[2], c->argv[3]) || !zset_arg(c, 1, &z, &found)) {
        return;
    }
    reply_int(c->reply, found ? (int64_t)zset_range_in(&r, &z).n : 0);
    zset_done(&z, found);
}

static void cmd_zcount(struct cmd *c)
{
    reply_count(c, ZSET_BY_SCORE);
}

static void cmd_zlexcount(struct cmd *c)
{
    reply_count(c, ZSET_BY_NAME);
}

/* ---- Removing, storing ---- */

static void remove_range(struct cmd *c, enum zset_by by, const char *event)
{
    struct zset_range r = {.by = by, .limit = -1};
    struct zset_span s = {0, 0};
    struct zset z;
    bool found;

    if (!zset_range_parse(c, &r, c->argv[2], c->argv[3]) || !zset_arg(c, 1, &z, &found)) {
        return;
    }
    if (found) {
        s = zset_range_in(&r, &z);
        bool is_taken = slices_take(c, zset_is_long(&z, s.n));

        zset_close(&z);
        if (is_taken) {
            return;
        }
        zset_remove_range(c, cmd_key(c, 1), s.first, s.n);
        if (s.n > 0) {
            notify_taken(c, NOTIFY_ZSET, event, cmd_key(c, 1));
        }
    }
    reply_int(c->reply, (int64_t)s.n);
}

static void cmd_zremrangebyrank(struct cmd *c)
{
    remove_range(c, ZSET_BY_RANK, "zremrangebyrank");
}

static void cmd_zremrangebyscore(struct cmd *c)
{
    remove_range(c, ZSET_BY_SCORE, "zremrangebyscore");
}

static void cmd_zremrangebylex(struct cmd *c)
{
    remove_range(c, ZSET_BY_NAME, "zremrangebylex");
}

static void cmd_zrangestore(struct cmd *c)
{
    struct zset_range r = {.by = ZSET_BY_RANK};
    struct form form = {.any_by = true, .any_direction = true, .stores = true};
    struct zset_item *items = NULL;
    struct zset_span s = {0, 0};
    struct zset_walk w;
    bool with_scores = false;
    struct zset z;
    bool found;

    if (!range_args(c, 2, form, &r, &with_scores) || !zset_arg(c, 2, &z, &found)) {
        return;
    }
    if (found) {
        s = zset_range_in(&r, &z);
        if (slices_take(c, zset_is_long(&z, s.n))) {
            zset_close(&z);
            return;
        }
        items = s.n == 0 ? NULL : mem_alloc(s.n * sizeof(items[0]));
        walk_span(&w, &z, s, false);
        for (size_t i = 0; items != NULL && zset_walk_next(&w, &items[i]); i++) {
        }
        zset_close(&z); /* within a section what was read stays until the key is written */
    }
    if (s.n > 0 && items == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    zset_store(c, cmd_key(c, 1), items, s.n);
    if (s.n > 0) {
        notify(c, NOTIFY_ZSET, "zrangestore", c->argv[1]);
    }
    mem_free(items, s.n * sizeof(items[0]));
    reply_int(c->reply, (int64_t)s.n);
}

/* clang-format off */
struct cmd_def zset_range_cmds[] = {
    { .name = "ZRANGE", .arity = -4, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.2.0", .run = cmd_zrange,
      .args = "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
      .summary = "Members of a sorted set in a range of ranks, scores or names." },
    { .name = "ZREVRANGE", .arity = -4, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.2.0", .run = cmd_zrevrange, .args = "key start stop [WITHSCORES]",
      .summary = "Members in a range of ranks, the highest score first." },
    { .name = "ZRANGEBYSCORE", .arity = -4, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.0.5", .run = cmd_zrangebyscore,
      .args = "key min max [WITHSCORES] [LIMIT offset count]",
      .summary = "Members with scores in a range; \"(\" before a bound leaves it out." },
    { .name = "ZREVRANGEBYSCORE", .arity = -4, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "2.2.0", .run = cmd_zrevrangebyscore,
      .args = "key max min [WITHSCORES] [LIMIT offset count]",
      .summary = "Members with scores in a range, the highest first." },
    { .name = "ZRANGEBYLEX", .arity = -4, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "2.8.9", .run = cmd_zrangebylex, .args = "key min max [LIMIT offset count]",
      .summary = "Members in a range of names, where all scores are the same." },
    { .name = "ZREVRANGEBYLEX", .arity = -4, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "2.8.9", .run = cmd_zrevrangebylex, .args = "key max min [LIMIT offset count]",
      .summary = "Members in a range of names, the last first." },
    { .name = "ZCOUNT", .arity = 4, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_zcount, .args = "key min max",
      .summary = "How many members have scores in a range." },
    { .name = "ZLEXCOUNT", .arity = 4, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.8.9", .run = cmd_zlexcount, .args = "key min max",
      .summary = "How many members are in a range of names, where all scores are the same." },
    { .name = "ZREMRANGEBYRANK", .arity = 4, .flags = CMD_WRITE, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_zremrangebyrank, .args = "key start stop",
      .summary = "Removes the members in a range of ranks. Answers how many." },
    { .name = "ZREMRANGEBYSCORE", .arity = 4, .flags = CMD_WRITE, .keys = KEYS(1, 1, 1),
      .since = "1.2.0", .run = cmd_zremrangebyscore, .args = "key min max",
      .summary = "Removes the members with scores in a range. Answers how many." },
    { .name = "ZREMRANGEBYLEX", .arity = 4, .flags = CMD_WRITE, .keys = KEYS(1, 1, 1),
      .since = "2.8.9", .run = cmd_zremrangebylex, .args = "key min max",
      .summary = "Removes the members in a range of names. Answers how many." },
    { .name = "ZRANGESTORE", .arity = -5, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 2, 1),
      .since = "6.2.0", .run = cmd_zrangestore,
      .args = "dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
      .summary = "Stores a range of a sorted set under another key. Answers how many members." },
    CMD_END
};
/* clang-format on */
