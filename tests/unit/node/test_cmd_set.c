/* Intersection, union and difference of sets in all forms and sizes against a naive model: as replies,
 * counted up to a limit, and stored, over their own sources too. */
#include "base/rand.h"
#include "node/database.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 7, NAMES = 600, ARGS = 12 };

static struct world w;
static struct rand r;
static bool model[KEYS][NAMES];
static char text[NAMES][16];

static unsigned below(unsigned n)
{
    return (unsigned)rand_below(&r, n);
}

static struct slice key_name(unsigned k)
{
    static const char *const names[KEYS] = {"a", "b", "c", "d", "e", "f", "g"};

    return slice_of(names[k]);
}

static int64_t number_after(const char *reply)
{
    return atoll(reply + 1);
}

static int64_t run(struct slice *argv, uint32_t argc)
{
    world_run(&w, w.db, argv, argc);
    CU_ASSERT_EQUAL_FATAL(buf_append(&w.reply.out, "", 1), 0);
    return number_after(w.reply.out.ptr);
}

/* None, a few, many, numbers, words. */
static void refill(unsigned k)
{
    static struct slice argv[NAMES + 2];
    unsigned from = below(3) == 0 ? NAMES / 2 : 0;
    unsigned one_in = 1 + below(below(2) == 0 ? 4 : 60);
    unsigned most = below(3) == 0 ? NAMES : NAMES / 2;
    uint32_t argc = 2;

    argv[0] = SLICE("DEL");
    argv[1] = key_name(k);
    (void)run(argv, 2);
    memset(model[k], 0, sizeof(model[k]));
    for (unsigned i = from; i < most; i++) {
        if (below(one_in) == 0) {
            model[k][i] = true;
            argv[argc++] = slice_of(text[i]);
        }
    }
    argv[0] = SLICE("SADD");
    if (argc > 2) {
        CU_ASSERT_EQUAL(run(argv, argc), argc - 2);
    }
}

static void combine(unsigned op, const unsigned *keys, unsigned n, bool *out)
{
    memcpy(out, model[keys[0]], NAMES);
    for (unsigned k = 1; k < n; k++) {
        for (unsigned i = 0; i < NAMES; i++) {
            bool has = model[keys[k]][i];

            out[i] = op == 0 ? out[i] && has : op == 1 ? out[i] || has : out[i] && !has;
        }
    }
}

static int64_t count_of(const bool *m)
{
    int64_t n = 0;

    for (unsigned i = 0; i < NAMES; i++) {
        n += m[i];
    }
    return n;
}

static bool key_is(unsigned k)
{
    struct slice argv[3] = {SLICE("SCARD"), key_name(k)};
    bool same = run(argv, 2) == count_of(model[k]);

    argv[0] = SLICE("SISMEMBER");
    for (unsigned i = 0; i < NAMES && same; i++) {
        argv[2] = slice_of(text[i]);
        same = run(argv, 3) == model[k][i];
    }
    return same;
}

static void one_round(void)
{
    static const char *const reads[] = {"SINTER", "SUNION", "SDIFF"};
    static const char *const stores[] = {"SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"};
    struct slice argv[ARGS + 4];
    unsigned keys[ARGS] = {0};
    bool want[NAMES];
    unsigned op = below(3);
    unsigned n = 1 + below(below(3) == 0 ? ARGS : 3);
    unsigned to = below(KEYS);
    char digits[2][12];
    int64_t limit = below(40);

    for (unsigned i = 0; i < n; i++) {
        keys[i] = below(KEYS);
        argv[2 + i] = key_name(keys[i]);
    }
    combine(op, keys, n, want);
    int64_t count = count_of(want);

    argv[1] = slice_of(reads[op]);
    CU_ASSERT_EQUAL(run(argv + 1, n + 1), count);
    if (op == 0) {
        argv[0] = SLICE("SINTERCARD");
        argv[1] = (struct slice){digits[0], (size_t)snprintf(digits[0], 12, "%u", n)};
        argv[n + 2] = SLICE("LIMIT");
        argv[n + 3] = (struct slice){digits[1], (size_t)snprintf(digits[1], 12, "%ld", limit)};
        CU_ASSERT_EQUAL(run(argv, n + 2), count);
        CU_ASSERT_EQUAL(run(argv, n + 4), limit != 0 && limit < count ? limit : count);
    }
    argv[0] = slice_of(stores[op]);
    argv[1] = key_name(to);
    CU_ASSERT_EQUAL(run(argv, n + 2), count);
    memcpy(model[to], want, sizeof(want));
    CU_ASSERT_TRUE(key_is(to));
}

static void many_sets_follow_the_model(void)
{
    world_init(&w, 8 << 20);
    r = (struct rand){unit_seed()};
    for (int i = 0; i < NAMES; i++) {
        (void)snprintf(text[i], sizeof(text[i]), i < NAMES / 2 ? "%d" : "word%d", i * 7);
    }
    for (int i = 0; i < 400; i++) {
        refill(below(KEYS));
        one_round();
    }
    CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
    world_fini(&w);
}

const struct unit_test test_cmd_set[] = {UNIT(many_sets_follow_the_model), UNIT_END};
