#include "node/cmd/set.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/worker.h"
#include "node/cmd/families.h"
#include "node/cmd/page.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/slices.h"

enum {
    RANDOM_MOST = 1 << 20 /* drawn with repeats by one command: about a second */
};

struct rand *set_chance(struct rand *local)
{
    if (worker_self() != NULL) {
        return &worker_self()->rand;
    }
    local->state = (uint64_t)clock_mono_ns();
    return local;
}

static enum found open_arg(struct cmd *c, uint32_t index, struct set *s)
{
    enum found f = set_open(c, cmd_key(c, index), s);

    if (f == WRONG_TYPE) {
        reply_err(c->reply, WIRE_WRONGTYPE);
    }
    return f;
}

bool set_arg(struct cmd *c, struct set *s, bool *found)
{
    enum found f = open_arg(c, 1, s);

    *found = f == FOUND;
    return f != WRONG_TYPE;
}

/* ---- Adding and removing ---- */

static void cmd_sadd(struct cmd *c)
{
    struct set s;
    bool found;

    if (slices_take(c, c->argc > SLICES_FEW) || !set_arg(c, &s, &found)) {
        return;
    }
    if (found) {
        set_close(&s);
    }
    size_t added = set_add(c, cmd_key(c, 1), c->argv + 2, c->argc - 2);

    if (added > 0) {
        notify(c, NOTIFY_SET, "sadd", c->argv[1]);
    }
    reply_int(c->reply, (int64_t)added);
}

static void cmd_srem(struct cmd *c)
{
    size_t removed = 0;
    struct set s;
    bool found;

    if (slices_take(c, c->argc > SLICES_FEW) || !set_arg(c, &s, &found)) {
        return;
    }
    if (found) {
        set_close(&s);
        removed = set_remove(c, cmd_key(c, 1), c->argv + 2, c->argc - 2);
        if (removed > 0) {
            notify_taken(c, NOTIFY_SET, "srem", cmd_key(c, 1));
        }
    }
    reply_int(c->reply, (int64_t)removed);
}

static void cmd_smove(struct cmd *c)
{
    struct set from;
    struct set to;
    enum found f = open_arg(c, 1, &from);

    if (f != FOUND) {
        if (f == ABSENT) {
            reply_int(c->reply, 0);
        }
        return;
    }
    bool there = set_has(&from, c->argv[3]);

    set_close(&from);
    f = open_arg(c, 2, &to);
    if (f == WRONG_TYPE) {
        return;
    }
    if (f == FOUND) {
        set_close(&to);
    }
    if (there && !slice_is(c->argv[1], c->argv[2])) {
        (void)set_remove(c, cmd_key(c, 1), c->argv + 3, 1);
        notify_taken(c, NOTIFY_SET, "srem", cmd_key(c, 1));
        if (set_add(c, cmd_key(c, 2), c->argv + 3, 1) > 0) {
            notify(c, NOTIFY_SET, "sadd", c->argv[2]);
        }
    }
    reply_int(c->reply, there);
}

/* ---- Asking ---- */

static void cmd_sismember(struct cmd *c)
{
    struct set s;
    bool found;

    if (!set_arg(c, &s, &found)) {
        return;
    }
    reply_int(c->reply, found && set_has(&s, c->argv[2]));
    if (found) {
        set_close(&s);
    }
}

static void cmd_smismember(struct cmd *c)
{
    struct set s;
    bool found;

    if (slices_take(c, c->argc > SLICES_FEW) || !set_arg(c, &s, &found)) {
        return;
    }
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc && slices_tick(2); i++) {
        reply_int(c->reply, found && set_has(&s, c->argv[i]));
    }
    if (found) {
        set_close(&s);
    }
}

static void cmd_scard(struct cmd *c)
{
    struct set s;
    bool found;

    if (!set_arg(c, &s, &found)) {
        return;
    }
    reply_int(c->reply, found ? (int64_t)set_count(&s) : 0);
    if (found) {
        set_close(&s);
    }
}

static void reply_member(struct slice member, void *arg)
{
    reply_bulk(arg, member);
}

/* All of them, behind their head. */
static void reply_members(struct cmd *c, const struct set *s)
{
    if (s->large != NULL) {
        reply_expect(c->reply, large_bytes(s->view.large));
    }
    set_each(s, reply_member, c->reply);
}

static void cmd_smembers(struct cmd *c)
{
    struct set s;
    bool found;

    if (!set_arg(c, &s, &found)) {
        return;
    }
    if (!found) {
        reply_set(c->reply, 0);
        return;
    }
    if (!slices_take(c, set_is_long(&s, set_count(&s)))) {
        reply_set(c->reply, set_count(&s));
        reply_members(c, &s);
    }
    set_close(&s);
}

/* ---- SSCAN ---- */

static void page_member(struct slice member, void *arg)
{
    struct page *p = arg;

    if (page_wants(p, member)) {
        page_add(p, member);
    }
}

static void cmd_sscan(struct cmd *c)
{
    struct page p;
    uint64_t cursor;
    struct set s;
    bool found;

    if (!page_cursor(c, 2, &cursor) || !set_arg(c, &s, &found)) {
        return;
    }
    if (!found) {
        page_reply_none(c);
        return;
    }
    if (!page_begin(c, 3, 0, &p)) {
        set_close(&s);
        return;
    }
    cursor = set_scan(&s, cursor, page_count(&p), page_member, &p);
    set_close(&s);
    page_reply(c, cursor, &p);
    page_fini(&p);
}

/* ---- SPOP ---- */

static void pop_one(struct cmd *c)
{
    struct set_digits room;
    struct rand local;
    struct set s;
    bool found;

    if (!set_arg(c, &s, &found)) {
        return;
    }
    if (!found) {
        reply_null(c->reply);
        return;
    }
    struct slice member = set_random(&s, set_chance(&local), &room);

    set_close(&s);
    reply_bulk(c->reply, member);
    (void)set_remove(c, cmd_key(c, 1), &member, 1);
    notify_taken(c, NOTIFY_SET, "spop", cmd_key(c, 1));
}

/* What drawing so many looks at. */
static size_t draw_steps(size_t count, size_t total)
{
    return count > total / 3 ? total : count;
}

static void reply_gathered(struct cmd *c, const struct gather *g)
{
    for (size_t i = 0; i < g->count && slices_tick(1); i++) {
        reply_bulk(c->reply, g->v[i]);
    }
}

/* What goes is chosen before anything does, and answered: removing may free its bytes. */
static void pop_some(struct cmd *c, size_t count)
{
    struct gather g = {0};
    struct rand local;
    struct set s;
    bool found;

    if (!set_arg(c, &s, &found)) {
        return;
    }
    if (!found || count == 0) {
        reply_set(c->reply, 0);
        if (found) {
            set_close(&s);
        }
        return;
    }
    size_t total = set_count(&s);

    if (slices_take(c, set_is_long(&s, draw_steps(count, total)))) {
        set_close(&s);
        return;
    }
    if (count >= total) {
        reply_set(c->reply, total);
        reply_members(c, &s);
        set_close(&s);
        notify(c, NOTIFY_SET, "spop", c->argv[1]);
        (void)keyspace_delete(c, cmd_key(c, 1));
        return;
    }
    gather_some(&g, &s, count, set_chance(&local));
    set_close(&s);
    if (g.failed) {
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        reply_set(c->reply, g.count);
        reply_gathered(c, &g);
        (void)set_remove(c, cmd_key(c, 1), g.v, g.count);
        notify(c, NOTIFY_SET, "spop", c->argv[1]);
    }
    gather_fini(&g);
}

static void cmd_spop(struct cmd *c)
{
    int64_t count;

    if (c->argc == 2) {
        pop_one(c);
    } else if (c->argc > 3) {
        reply_err(c->reply, WIRE_SYNTAX);
    } else if (!parse_i64(c->argv[2], &count) || count < 0) {
        reply_err(c->reply, WIRE_NEGATIVE);
    } else {
        pop_some(c, (size_t)count);
    }
}

/* ---- SRANDMEMBER ---- */

static void random_one(struct cmd *c)
{
    struct set_digits room;
    struct rand local;
    struct set s;
    bool found;

    if (!set_arg(c, &s, &found)) {
        return;
    }
    if (found) {
        reply_bulk(c->reply, set_random(&s, set_chance(&local), &room));
        set_close(&s);
    } else {
        reply_null(c->reply);
    }
}

/* Maybe the same again. Of a packed set of strings, whose members are found by walking, from a list. */
static bool reply_repeats(struct cmd *c, const struct set *s, size_t count, struct rand *r)
{
    struct gather g = {0};
    struct set_digits room;

    if (s->large == NULL) {
        gather_set(&g, s);
    }
    bool fine = !g.failed;

    if (fine) {
        reply_array(c->reply, count);
    }
    for (size_t i = 0; fine && i < count && !c->reply->failed; i++) {
        reply_bulk(c->reply,
                   s->large == NULL ? g.v[rand_below(r, g.count)] : set_random(s, r, &room));
    }
    gather_fini(&g);
    return fine;
}

static bool reply_different(struct cmd *c, const struct set *s, size_t count, struct rand *r)
{
    struct gather g = {0};

    if (count >= set_count(s)) {
        reply_array(c->reply, set_count(s));
        reply_members(c, s);
        return true;
    }
    gather_some(&g, s, count, r);
    bool fine = !g.failed;

    if (fine) {
        reply_array(c->reply, g.count);
    }
    if (fine) {
        reply_gathered(c, &g);
    }
    gather_fini(&g);
    return fine;
}

/* False when an error was answered. */
static bool random_options(struct cmd *c, int64_t *count)
{
    if (c->argc > 3) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    if (!parse_i64(c->argv[2], count)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    if (*count == INT64_MIN) {
        reply_errf(c->reply, "ERR value is out of range, value must between -%lld and %lld",
                   (long long)INT64_MAX, (long long)INT64_MAX);
        return false;
    }
    if (*count < -(int64_t)RANDOM_MOST) {
        reply_errf(c->reply, "ERR value is out of range");
        return false;
    }
    return true;
}

static void cmd_srandmember(struct cmd *c)
{
    struct rand local;
    struct set s;
    int64_t count;
    bool found;
    bool fine;

    if (c->argc == 2) {
        random_one(c);
        return;
    }
    if (!random_options(c, &count) || !set_arg(c, &s, &found)) {
        return;
    }
    if (!found || count == 0) {
        reply_array(c->reply, 0);
        if (found) {
            set_close(&s);
        }
        return;
    }
    if (slices_take(c, set_is_long(&s, count < 0 ? (size_t)-count
                                                 : draw_steps((size_t)count, set_count(&s))))) {
        set_close(&s);
        return;
    }
    fine = count < 0 ? reply_repeats(c, &s, (size_t)-count, set_chance(&local))
                     : reply_different(c, &s, (size_t)count, set_chance(&local));
    set_close(&s);
    if (!fine) {
        reply_err(c->reply, WIRE_NOMEM);
    }
}

/* clang-format off */
struct cmd_def set_cmds[] = {
    { .name = "SADD", .arity = -3, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_sadd, .args = "key member [member ...]",
      .member = 2, .summary = "Adds members to a set. Answers how many are new." },
    { .name = "SREM", .arity = -3, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_srem, .args = "key member [member ...]",
      .member = 2, .summary = "Removes members, and the key with the last. Answers how many were there." },
    { .name = "SMOVE", .arity = 4, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 2, 1),
      .since = "1.0.0", .run = cmd_smove, .args = "source destination member",
      .summary = "Moves a member from one set to another." },
    { .name = "SISMEMBER", .arity = 3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_sismember, .args = "key member",
      .member = 2, .summary = "Whether a set has a member." },
    { .name = "SMISMEMBER", .arity = -3, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "6.2.0", .run = cmd_smismember, .args = "key member [member ...]",
      .member = 2, .summary = "Whether a set has each of some members." },
    { .name = "SCARD", .arity = 2, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_scard, .args = "key",
      .summary = "How many members a set has." },
    { .name = "SMEMBERS", .arity = 2, .flags = CMD_READ | CMD_UNORDERED, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_smembers, .args = "key",
      .summary = "All members of a set." },
    { .name = "SSCAN", .arity = -3, .flags = CMD_READ | CMD_RANDOM, .keys = KEYS(1, 1, 1),
      .since = "2.8.0", .run = cmd_sscan, .args = "key cursor [MATCH pattern] [COUNT count]",
      .summary = "A part of a set, and the cursor to ask for the next part with." },
    { .name = "SPOP", .arity = -2, .flags = CMD_WRITE | CMD_FAST | CMD_RANDOM, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_spop, .args = "key [count]",
      .summary = "Removes members by chance, and answers them." },
    { .name = "SRANDMEMBER", .arity = -2, .flags = CMD_READ | CMD_RANDOM, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_srandmember, .args = "key [count]",
      .summary = "Members by chance: different ones, or with a negative count maybe the same again." },
    CMD_END
};
/* clang-format on */
