/* set_many.c - what is common to sets, in all of them, or in the first alone.
 *
 * The sets are open together. Outside a section that is done with packed ones, and with a single large
 * one; with a large one among several, whose locks must not be held together (node/type_set.h), the
 * command asks to be run again under the locks of its partitions, where collections need none.
 *
 * Work  is bounded by the sum of the members, or by less: members of one set are looked up in the others
 *       as long as that is cheaper than going through all of them. Both are loops over set_scan().
 */
#include "base/hash.h"
#include "base/mem.h"
#include "base/parse.h"
#include "node/cmd/families.h"
#include "node/cmd/set.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/slices.h"

enum {
    SCAN_STEP = 256,
    FEW = 8,
    /* What finding a member costs, in steps of a walk. */
    COST_LARGE = 2,
    COST_INTS = 4,
    COST_STRINGS_DIVISOR = 4,
    COST_SEEN = 4
};

/* ---- The sets ---- */

struct many {
    struct cmd *c;
    struct set *sets;
    uint32_t count;
    uint32_t absent;
    struct set few[FEW];
};

static bool is_there(const struct set *s)
{
    return s->view.entry != NULL;
}

static void many_close(struct many *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (is_there(&m->sets[i])) {
            set_close(&m->sets[i]);
        }
    }
    if (m->sets != m->few) {
        mem_free(m->sets, m->count * sizeof(m->sets[0]));
    }
}

static size_t count_of(const struct set *s)
{
    return is_there(s) ? set_count(s) : 0;
}

static bool is_long(const struct many *m)
{
    size_t sum = 0;

    for (uint32_t i = 0; i < m->count && sum <= SLICES_FEW; i++) {
        sum += 1 + count_of(&m->sets[i]);
    }
    return sum > SLICES_FEW;
}

/* The sets named by argv[first] and on. False: an error was answered, c->retry says to run again, or it is done
 * in slices. */
static bool many_open(struct many *m, struct cmd *c, uint32_t first, uint32_t count)
{
    bool wrong = false;
    bool again = false;

    m->c = c;
    m->count = count;
    m->absent = 0;
    m->sets = count <= FEW ? m->few : mem_alloc(count * sizeof(m->sets[0]));
    if (m->sets == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return false;
    }
    memset(m->sets, 0, count * sizeof(m->sets[0]));
    for (uint32_t i = 0; i < count && !wrong && !again; i++) {
        enum found f = set_open(c, cmd_key(c, first + i), &m->sets[i]);

        wrong = f == WRONG_TYPE;
        again = f == FOUND && m->sets[i].view.locked && count > 1;
        if (f != FOUND) {
            m->sets[i] = (struct set){0};
            m->absent++;
        }
    }
    if (wrong || again) {
        many_close(m);
        if (wrong) {
            reply_err(c->reply, WIRE_WRONGTYPE);
        } else {
            c->retry = true;
        }
        return false;
    }
    if (slices_take(c, is_long(m))) {
        many_close(m);
        return false;
    }
    return true;
}

static size_t find_cost(const struct set *s)
{
    if (!is_there(s)) {
        return 0;
    }
    return s->large != NULL ? COST_LARGE
           : set_is_ints(s) ? COST_INTS
                            : 1 + set_count(s) / COST_STRINGS_DIVISOR;
}

/* Whether the members of set `one` are better looked up in the others than the others' among them. */
static bool should_look_up(const struct many *m, uint32_t one)
{
    double each = 0;
    double all = 0;

    for (uint32_t i = 0; i < m->count; i++) {
        each += i == one ? 0 : (double)find_cost(&m->sets[i]);
        all += (double)count_of(&m->sets[i]) * COST_SEEN;
    }
    return each * (double)count_of(&m->sets[one]) <= all;
}

/* ---- What comes of it ---- */

struct result {
    enum { REPLIED, STORED, COUNTED } kind;
    struct reply *reply;
    size_t count, limit;
    struct gather g; /* what is to be stored */
    bool borrowed;   /* the members that come now */
};

static void result_add(struct result *r, struct slice member)
{
    if (r->count == r->limit) {
        return;
    }
    r->count++;
    if (r->kind == REPLIED) {
        reply_bulk(r->reply, member);
    } else if (r->kind == STORED) {
        gather_add(&r->g, member, r->borrowed);
    }
}

static bool result_is_full(const struct result *r)
{
    return r->count == r->limit || r->g.failed || r->reply->failed;
}

static void each_until_full(const struct set *s, struct result *r, set_each_fn fn, void *arg)
{
    uint64_t cursor = 0;

    r->borrowed = !set_is_ints(s);
    do {
        cursor = set_scan(s, cursor, SCAN_STEP, fn, arg);
    } while (cursor != 0 && !result_is_full(r));
}

/* ---- Members that were seen ---- */

/* Each once, with the number of the last set in which it was, found by hash. */
struct seen {
    struct gather g;
    uint32_t *last;  /* owned, g.cap of them while nothing failed */
    uint32_t *slots; /* owned; index + 1, at most half of them used */
    size_t last_cap, slot_count;
};

static void seen_fini(struct seen *s)
{
    mem_free(s->last, s->last_cap * sizeof(s->last[0]));
    mem_free(s->slots, s->slot_count * sizeof(s->slots[0]));
    gather_fini(&s->g);
}

static size_t seen_slot(const struct seen *s, struct slice member)
{
    size_t at = hash_key(member) & (s->slot_count - 1);

    while (s->slots[at] != 0 && !slice_is(s->g.v[s->slots[at] - 1], member)) {
        at = (at + 1) & (s->slot_count - 1);
    }
    return at;
}

/* Room for one more; it doubles. */
static bool seen_grow(struct seen *s)
{
    size_t slots = s->slot_count == 0 ? 64 : s->slot_count;
    size_t cap = s->last_cap == 0 ? 32 : s->last_cap;

    if (s->g.count < s->last_cap) {
        return true;
    }
    if (s->last_cap != 0) {
        slots *= 2;
        cap *= 2;
    }
    uint32_t *last = mem_realloc(s->last, s->last_cap * sizeof(*last), cap * sizeof(*last));

    if (last == NULL) {
        return false;
    }
    s->last = last;
    s->last_cap = cap;
    mem_free(s->slots, s->slot_count * sizeof(s->slots[0]));
    s->slots = mem_zalloc(slots * sizeof(s->slots[0]));
    s->slot_count = s->slots == NULL ? 0 : slots;
    if (s->slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < s->g.count && slices_tick(2); i++) {
        s->slots[seen_slot(s, s->g.v[i])] = (uint32_t)i + 1;
    }
    return true;
}

static void seen_add(struct seen *s, struct slice member, bool borrowed)
{
    if (s->g.failed || !slices_tick(2)) {
        return;
    }
    if (s->g.count == UINT32_MAX - 1 || !seen_grow(s)) {
        s->g.failed = true;
        return;
    }
    size_t slot = seen_slot(s, member);
    size_t index = s->g.count;

    if (s->slots[slot] != 0) {
        return;
    }
    gather_add(&s->g, member, borrowed);
    if (!s->g.failed) {
        s->slots[slot] = (uint32_t)index + 1;
        s->last[index] = 0;
    }
}

/* One that was in set number `round - 1` is now known in `round`. */
static void seen_again(struct seen *s, struct slice member, uint32_t round)
{
    if (!slices_tick(2)) {
        return;
    }
    size_t slot = seen_slot(s, member);

    if (s->slots[slot] != 0 && s->last[s->slots[slot] - 1] == round - 1) {
        s->last[s->slots[slot] - 1] = round;
    }
}

struct seeing {
    struct seen *seen;
    bool borrowed;
    uint32_t round;
};

static void see(struct slice member, void *arg)
{
    struct seeing *s = arg;

    seen_add(s->seen, member, s->borrowed);
}

static void see_again(struct slice member, void *arg)
{
    struct seeing *s = arg;

    seen_again(s->seen, member, s->round);
}

static void see_all(struct seen *seen, const struct set *s)
{
    struct seeing k = {.seen = seen, .borrowed = !set_is_ints(s)};

    set_each(s, see, &k);
}

/* What is seen stays until the result was used. */
static void result_of_seen(struct result *r, const struct seen *s, uint32_t round)
{
    r->borrowed = true;
    r->g.failed = r->g.failed || s->g.failed;
    for (size_t i = 0; i < s->g.count && !result_is_full(r) && slices_tick(1); i++) {
        if (s->last[i] == round) {
            result_add(r, s->g.v[i]);
        }
    }
}

/* ---- Intersection, union, difference ---- */

struct look {
    const struct many *m;
    struct result *r;
    uint32_t one;
    bool wanted; /* to be in the others, or in none */
};

static void look_up(struct slice member, void *arg)
{
    struct look *l = arg;

    if (result_is_full(l->r) || !slices_tick(l->m->count)) {
        return;
    }
    for (uint32_t i = 0; i < l->m->count; i++) {
        const struct set *s = &l->m->sets[i];

        if (i != l->one && (is_there(s) && set_has(s, member)) != l->wanted) {
            return;
        }
    }
    result_add(l->r, member);
}

static void intersect(struct many *m, struct result *r, struct seen *seen)
{
    uint32_t smallest = 0;
    uint32_t round = 0;

    if (m->absent > 0) {
        return;
    }
    for (uint32_t i = 1; i < m->count; i++) {
        if (set_count(&m->sets[i]) < set_count(&m->sets[smallest])) {
            smallest = i;
        }
    }
    if (should_look_up(m, smallest)) {
        struct look l = {m, r, smallest, true};

        each_until_full(&m->sets[smallest], r, look_up, &l);
        return;
    }
    see_all(seen, &m->sets[smallest]);
    for (uint32_t i = 0; i < m->count && !seen->g.failed; i++) {
        if (i != smallest) {
            struct seeing k = {.seen = seen, .round = round + 1};

            round++;

            set_each(&m->sets[i], see_again, &k);
        }
    }
    result_of_seen(r, seen, round);
}

static void add_result(struct slice member, void *arg)
{
    result_add(arg, member);
}

static void unite(struct many *m, struct result *r, struct seen *seen)
{
    if (m->count - m->absent > 1) {
        for (uint32_t i = 0; slices_running != NULL && i < m->count; i++) {
            gather_reserve(&seen->g, seen->g.cap + count_of(&m->sets[i]));
        }
        for (uint32_t i = 0; i < m->count && !seen->g.failed; i++) {
            if (is_there(&m->sets[i])) {
                see_all(seen, &m->sets[i]);
            }
        }
        result_of_seen(r, seen, 0);
        return;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        if (is_there(&m->sets[i])) {
            each_until_full(&m->sets[i], r, add_result, r);
        }
    }
}

static void subtract(struct many *m, struct result *r, struct seen *seen)
{
    if (!is_there(&m->sets[0])) {
        return;
    }
    if (should_look_up(m, 0)) {
        struct look l = {m, r, 0, false};

        each_until_full(&m->sets[0], r, look_up, &l);
        return;
    }
    see_all(seen, &m->sets[0]);
    for (uint32_t i = 1; i < m->count && !seen->g.failed; i++) {
        struct seeing k = {.seen = seen, .round = 1};

        if (is_there(&m->sets[i])) {
            set_each(&m->sets[i], see_again, &k);
        }
    }
    result_of_seen(r, seen, 0);
}

typedef void (*combine_fn)(struct many *m, struct result *r, struct seen *seen);

/* ---- Commands ---- */

static void read_combined(struct cmd *c, combine_fn combine)
{
    struct result r = {.kind = REPLIED, .reply = c->reply, .limit = SIZE_MAX};
    struct seen seen = {0};
    struct many m;

    if (!many_open(&m, c, 1, c->argc - 1)) {
        return;
    }
    size_t from = c->reply->out.len;
    uint32_t flags = c->reply->flags;
    size_t at = reply_array_later(c->reply);

    combine(&m, &r, &seen);
    many_close(&m);
    if (r.g.failed) {
        c->reply->out.len = from;
        c->reply->flags = flags;
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        slices_set_count(c->reply, at, r.count);
    }
    seen_fini(&seen);
}

static void store_combined(struct cmd *c, combine_fn combine, const char *event)
{
    struct result r = {.kind = STORED, .reply = c->reply, .limit = SIZE_MAX};
    struct seen seen = {0};
    struct many m;

    if (!many_open(&m, c, 2, c->argc - 2)) {
        return;
    }
    combine(&m, &r, &seen);
    many_close(&m);
    if (r.g.failed) {
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        set_replace(c, cmd_key(c, 1), r.g.v, r.g.count);
        if (r.g.count > 0) {
            notify(c, NOTIFY_SET, event, c->argv[1]);
        }
        reply_int(c->reply, (int64_t)r.g.count);
    }
    gather_fini(&r.g);
    seen_fini(&seen);
}

static void cmd_sinter(struct cmd *c)
{
    read_combined(c, intersect);
}

static void cmd_sunion(struct cmd *c)
{
    read_combined(c, unite);
}

static void cmd_sdiff(struct cmd *c)
{
    read_combined(c, subtract);
}

static void cmd_sinterstore(struct cmd *c)
{
    store_combined(c, intersect, "sinterstore");
}

static void cmd_sunionstore(struct cmd *c)
{
    store_combined(c, unite, "sunionstore");
}

static void cmd_sdiffstore(struct cmd *c)
{
    store_combined(c, subtract, "sdiffstore");
}

/* False when an error was answered. */
static bool card_options(struct cmd *c, int64_t *keys, int64_t *limit)
{
    *limit = 0;
    if (!parse_i64(c->argv[1], keys) || *keys < 1) {
        reply_errf(c->reply, "ERR numkeys should be greater than 0");
        return false;
    }
    if (*keys > (int64_t)c->argc - 2) {
        reply_errf(c->reply, "ERR Number of keys can't be greater than number of args");
        return false;
    }
    for (uint32_t i = 2 + (uint32_t)*keys; i < c->argc; i += 2) {
        if (!slice_is_word(c->argv[i], "limit") || i + 1 == c->argc) {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
        if (!parse_i64(c->argv[i + 1], limit) || *limit < 0) {
            reply_errf(c->reply, "ERR LIMIT can't be negative");
            return false;
        }
    }
    return true;
}

static void cmd_sintercard(struct cmd *c)
{
    struct result r = {.kind = COUNTED, .reply = c->reply};
    struct seen seen = {0};
    struct many m;
    int64_t keys;
    int64_t limit;

    if (!card_options(c, &keys, &limit) || !many_open(&m, c, 2, (uint32_t)keys)) {
        return;
    }
    r.limit = limit == 0 ? SIZE_MAX : (size_t)limit;
    intersect(&m, &r, &seen);
    many_close(&m);
    if (r.g.failed) {
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        reply_int(c->reply, (int64_t)r.count);
    }
    seen_fini(&seen);
}

/* clang-format off */
struct cmd_def set_many_cmds[] = {
    { .name = "SINTER", .arity = -2, .flags = CMD_READ | CMD_UNORDERED, .keys = KEYS(1, -1, 1),
      .since = "1.0.0", .run = cmd_sinter, .args = "key [key ...]",
      .summary = "Members that all of some sets have." },
    { .name = "SINTERCARD", .arity = -3, .flags = CMD_READ, .keys = KEYS_COUNT(1, 1),
      .since = "7.0.0", .run = cmd_sintercard, .args = "numkeys key [key ...] [LIMIT limit]",
      .summary = "How many members all of some sets have; counting may stop at a limit." },
    { .name = "SINTERSTORE", .arity = -3, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, -1, 1),
      .since = "1.0.0", .run = cmd_sinterstore, .args = "destination key [key ...]",
      .summary = "A key becomes the set of members that all of some sets have." },
    { .name = "SUNION", .arity = -2, .flags = CMD_READ | CMD_UNORDERED, .keys = KEYS(1, -1, 1),
      .since = "1.0.0", .run = cmd_sunion, .args = "key [key ...]",
      .summary = "Members that any of some sets has." },
    { .name = "SUNIONSTORE", .arity = -3, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, -1, 1),
      .since = "1.0.0", .run = cmd_sunionstore, .args = "destination key [key ...]",
      .summary = "A key becomes the set of members that any of some sets has." },
    { .name = "SDIFF", .arity = -2, .flags = CMD_READ | CMD_UNORDERED, .keys = KEYS(1, -1, 1),
      .since = "1.0.0", .run = cmd_sdiff, .args = "key [key ...]",
      .summary = "Members of the first set that none of the others has." },
    { .name = "SDIFFSTORE", .arity = -3, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, -1, 1),
      .since = "1.0.0", .run = cmd_sdiffstore, .args = "destination key [key ...]",
      .summary = "A key becomes the set of members of the first set that none of the others has." },
    CMD_END
};
/* clang-format on */
