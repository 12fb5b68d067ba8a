/* All forms of a set against a naive model, under random operations, sections given up, and allocations that
 * fail; then what decides the form, and that chance is even. What the log says is applied in test_apply. */
#include "node/type_set.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "node/cmd/set.h"
#include "node/keyspace.h"
#include "node/type.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAMES = 700, NUMBERS = 350, KEYS = 3, BATCH = 12 };

/* Numbers of every width, the last of them negative and wide, then words. */
static struct slice name_of(int i, char out[24])
{
    long long n = i < 300 ? i * 3 - 100 : i < 330 ? i * 1000003LL : i * -1000000000039LL;
    int len = i < NUMBERS ? snprintf(out, 24, "%lld", n) : snprintf(out, 24, "w%d", i);

    return (struct slice){out, (size_t)len};
}

struct model {
    bool there[NAMES];
};

struct look {
    size_t seen;
    uint64_t sum;
};

static uint64_t weigh(struct slice s)
{
    uint64_t h = 7;

    for (size_t i = 0; i < s.len; i++) {
        h = (h ^ (uint8_t)s.ptr[i]) * 0x100000001b3u;
    }
    return h * h;
}

static void look_at(struct slice member, void *arg)
{
    struct look *l = arg;

    l->seen++;
    l->sum += weigh(member);
}

static bool is_same(struct cmd *c, struct key key, const struct model *m)
{
    struct look want = {0};
    struct look each = {0};
    struct look scan = {0};
    struct set s;
    uint64_t cursor = 0;
    char text[24];
    bool same = true;

    for (int i = 0; i < NAMES; i++) {
        if (m->there[i]) {
            look_at(name_of(i, text), &want);
        }
    }
    if (set_open(c, key, &s) != FOUND) {
        return want.seen == 0;
    }
    set_each(&s, look_at, &each);
    do {
        cursor = set_scan(&s, cursor, 7, look_at, &scan);
    } while (cursor != 0);
    for (int i = 0; i < NAMES; i++) {
        same = same && set_has(&s, name_of(i, text)) == m->there[i];
    }
    same = same && set_count(&s) == want.seen && each.seen == want.seen && each.sum == want.sum &&
           scan.seen == want.seen && scan.sum == want.sum;
    set_close(&s);
    return same;
}

/* ---- Random operations ---- */

struct play {
    struct bench b;
    struct rand r;
    struct key key[KEYS];
    struct model m[KEYS];    /* as committed */
    struct model next[KEYS]; /* as the section sees it */
};

/* The first key stays small and of numbers mostly, the second small, the third grows. */
static int some_name(struct play *p, int which)
{
    static const unsigned most[KEYS] = {60, 110, NAMES};

    if (which == 0) {
        return (int)rand_below(&p->r, 40) != 0 ? (int)rand_below(&p->r, most[0])
                                               : 300 + (int)rand_below(&p->r, 70);
    }
    return which == 1 ? 280 + (int)rand_below(&p->r, most[1]) : (int)rand_below(&p->r, most[2]);
}

static void play_add(struct play *p, int which)
{
    struct slice v[BATCH];
    char text[BATCH][24];
    size_t n = 1 + rand_below(&p->r, rand_below(&p->r, 2) == 0 ? 1 : BATCH);
    size_t added = 0;

    for (size_t i = 0; i < n; i++) {
        int k = some_name(p, which);

        v[i] = name_of(k, text[i]);
        added += !p->next[which].there[k];
        p->next[which].there[k] = true;
    }
    size_t said = set_add(&p->b.write, p->key[which], v, n);

    CU_ASSERT(section_has_failed(p->b.section) || said == added);
}

static void play_remove(struct play *p, int which)
{
    struct slice v[BATCH];
    char text[BATCH][24];
    size_t n = 1 + rand_below(&p->r, BATCH);
    size_t there = 0;

    for (size_t i = 0; i < n; i++) {
        int k = some_name(p, which);

        v[i] = name_of(k, text[i]);
        there += p->next[which].there[k];
        p->next[which].there[k] = false;
    }
    size_t said = set_remove(&p->b.write, p->key[which], v, n);

    CU_ASSERT(section_has_failed(p->b.section) || said == there);
}

/* What STORE does: a key becomes what another has, whose bytes it borrows, or a part of it. */
static void play_replace(struct play *p, int to, int from)
{
    struct gather g = {0};
    struct set s;
    bool all = rand_below(&p->r, 3) != 0;

    if (set_open(&p->b.write, p->key[from], &s) == FOUND) {
        if (all) {
            gather_set(&g, &s);
        }
        set_close(&s);
    }
    if (g.failed) {
        section_fail(p->b.section, SECTION_NOMEM);
    } else {
        set_replace(&p->b.write, p->key[to], g.v, g.count);
        p->next[to] = all ? p->next[from] : (struct model){0};
    }
    gather_fini(&g);
}

static void play_one(struct play *p)
{
    int which = (int)rand_below(&p->r, KEYS);
    int other = (int)rand_below(&p->r, KEYS);

    switch (rand_below(&p->r, 24)) {
    case 0:
        (void)keyspace_delete(&p->b.write, p->key[which]);
        p->next[which] = (struct model){0};
        break;
    case 1:
        play_replace(p, which, other);
        break;
    case 2:
        if (which != other && keyspace_peek(&p->b.write, p->key[which]) != NULL) {
            keyspace_rename(&p->b.write, p->key[which], p->key[other]);
            p->next[other] = p->next[which];
            p->next[which] = (struct model){0};
        }
        break;
    case 3:
        if (which != other && keyspace_peek(&p->b.write, p->key[which]) != NULL) {
            keyspace_copy(&p->b.write, p->key[which], p->key[other]);
            p->next[other] = p->next[which];
        }
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        play_remove(p, which);
        break;
    default:
        play_add(p, which);
        break;
    }
}

static void play_section(struct play *p, int fail_nth)
{
    bench_begin(&p->b);
    memcpy(p->next, p->m, sizeof(p->m));
    fault_fail_nth(fail_nth);
    for (size_t n = 1 + rand_below(&p->r, 4); n > 0; n--) {
        play_one(p);
        for (int w = 0; w < KEYS && !section_has_failed(p->b.section); w++) {
            CU_ASSERT(is_same(&p->b.write, p->key[w], &p->next[w]));
        }
    }
    if (rand_below(&p->r, 5) == 0) {
        (void)fault_off();
        bench_abort(&p->b);
    } else {
        enum section_end end = bench_commit(&p->b);

        (void)fault_off();
        CU_ASSERT(end == SECTION_COMMITTED || (end == SECTION_FAILED && fail_nth > 0));
        if (end == SECTION_COMMITTED) {
            memcpy(p->m, p->next, sizeof(p->m));
        }
    }
    for (int w = 0; w < KEYS; w++) {
        CU_ASSERT(is_same(&p->b.read, p->key[w], &p->m[w]));
    }
    rcu_turn();
}

static void forms_follow_the_model(void)
{
    struct play *p = calloc(1, sizeof(*p));

    p->r.state = unit_seed();
    bench_init(&p->b);
    p->key[0] = key_of(SLICE("i"));
    p->key[1] = key_of(SLICE("m"));
    p->key[2] = key_of(SLICE("l"));
    for (int i = 0; i < 1200; i++) {
        play_section(p, rand_below(&p->r, 3) == 0 ? 1 + (int)rand_below(&p->r, 40) : 0);
        CU_ASSERT_EQUAL(database_used_exact(p->b.db), bench_bytes(&p->b));
    }
    bench_fini(&p->b);
    free(p);
}

/* ---- Single facts ---- */

static const char *word(struct bench *b, struct key key)
{
    const struct entry *e = keyspace_peek(&b->read, key);

    return e == NULL ? "" : keyspace_encoding(e);
}

static void add_text(struct bench *b, struct key key, struct slice member)
{
    bench_begin(b);
    (void)set_add(&b->write, key, &member, 1);
    CU_ASSERT_EQUAL(bench_commit(b), SECTION_COMMITTED);
}

static void add_numbers(struct bench *b, struct key key, int from, int n)
{
    bench_begin(b);
    for (int i = from; i < from + n; i++) {
        char text[24];
        struct slice s = {text, (size_t)snprintf(text, sizeof(text), "%d", i)};

        CU_ASSERT_EQUAL(set_add(&b->write, key, &s, 1), 1);
    }
    CU_ASSERT_EQUAL(bench_commit(b), SECTION_COMMITTED);
}

static void thresholds_decide_the_form(void)
{
    struct bench b;
    struct key n = key_of(SLICE("n"));
    struct key m = key_of(SLICE("m"));
    struct key k = key_of(SLICE("k"));
    char text[65];

    memset(text, 'x', sizeof(text));
    bench_init(&b);
    add_numbers(&b, n, 0, 512);
    CU_ASSERT_STRING_EQUAL(word(&b, n), "intset");
    add_numbers(&b, n, 512, 1);
    CU_ASSERT_STRING_EQUAL(word(&b, n), "hashtable");
    add_numbers(&b, m, 0, 127);
    add_text(&b, m, SLICE("x"));
    CU_ASSERT_STRING_EQUAL(word(&b, m), "listpack");
    add_text(&b, m, SLICE("y"));
    CU_ASSERT_STRING_EQUAL(word(&b, m), "hashtable");
    add_text(&b, k, (struct slice){text, 64});
    CU_ASSERT_STRING_EQUAL(word(&b, k), "listpack");
    add_text(&b, k, (struct slice){text, 65});
    CU_ASSERT_STRING_EQUAL(word(&b, k), "hashtable");
    bench_fini(&b);
}

static void numbers_take_their_width(void)
{
    static const struct {
        int64_t n;
        size_t bytes; /* of all up to here */
    } rows[] = {{5, 3},          {-32768, 5},     {32768, 13},
                {INT32_MIN, 17}, {INT64_MAX, 41}, {INT64_MIN, 49}};
    struct bench b;
    struct key k = key_of(SLICE("k"));
    struct set s;

    bench_init(&b);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[24];

        add_text(&b, k,
                 (struct slice){text, (size_t)snprintf(text, sizeof(text), "%ld", rows[i].n)});
        CU_ASSERT_EQUAL_FATAL(set_open(&b.read, k, &s), FOUND);
        CU_ASSERT_EQUAL(entry_payload(s.view.entry).len, rows[i].bytes);
        CU_ASSERT_TRUE(set_has(&s, (struct slice){text, strlen(text)}));
        CU_ASSERT_FALSE(set_has(&s, SLICE("05")));
        CU_ASSERT_FALSE(set_has(&s, SLICE("")));
        for (size_t j = 1; j <= i; j++) {
            struct slice block = entry_payload(s.view.entry);

            CU_ASSERT(set_packed_int(block, j - 1) < set_packed_int(block, j));
        }
        set_close(&s);
    }
    bench_fini(&b);
}

/* Nothing changes, nothing is logged: no entry, no operation. */
static void what_changes_nothing_is_no_change(void)
{
    struct bench b;
    struct key k = key_of(SLICE("k"));
    struct slice there = SLICE("7");
    struct slice none = SLICE("nine");

    bench_init(&b);
    for (int n = 20; n < 700; n += 600) {
        add_numbers(&b, k, n == 20 ? 0 : 20, n == 20 ? 20 : 600);
        const struct entry *before = keyspace_peek(&b.read, k);

        bench_begin(&b);
        CU_ASSERT_EQUAL(set_add(&b.write, k, &there, 1), 0);
        CU_ASSERT_EQUAL(set_remove(&b.write, k, &none, 1), 0);
        CU_ASSERT_EQUAL(section_change(b.section)->ops, 0);
        CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
        CU_ASSERT_PTR_EQUAL(keyspace_peek(&b.read, k), before);
    }
    bench_fini(&b);
}

/* Which of the members 0, 1, … n-2 and x. */
static int index_of(struct slice member, int n)
{
    char text[24] = {0};

    memcpy(text, member.ptr, member.len);
    return text[0] == 'x' ? n - 1 : atoi(text);
}

/* Drawn alone or several at a time, each member is about as likely. */
static void chance_is_even(void)
{
    static const int sizes[] = {20, 400, 5000};

    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        static int seen[2][5000];
        struct rand r = {unit_seed()};
        struct bench b;
        struct set s;
        struct key key = key_of(SLICE("k"));
        size_t some = (size_t)sizes[k] / (k == 2 ? 5 : 2);
        int rounds = k == 2 ? 300 : 400;

        memset(seen, 0, sizeof(seen));
        bench_init(&b);
        add_text(&b, key, SLICE("x"));
        add_numbers(&b, key, 0, sizes[k] - 1);
        CU_ASSERT_EQUAL_FATAL(set_open(&b.read, key, &s), FOUND);
        for (int i = 0; i < 100 * sizes[k]; i++) {
            struct set_digits room;

            seen[0][index_of(set_random(&s, &r, &room), sizes[k])]++;
        }
        for (int i = 0; i < rounds; i++) {
            struct gather g = {0};

            gather_some(&g, &s, some, &r);
            CU_ASSERT_EQUAL(g.count, some);
            for (size_t j = 0; j < g.count; j++) {
                seen[1][index_of(g.v[j], sizes[k])]++;
            }
            gather_fini(&g);
        }
        set_close(&s);
        int mean = rounds * (int)some / sizes[k];

        for (int i = 0; i < sizes[k]; i++) {
            CU_ASSERT(seen[0][i] > 40 && seen[0][i] < 200);
            CU_ASSERT(seen[1][i] > mean / 4 && seen[1][i] < mean * 3 && seen[1][i] <= rounds);
        }
        bench_fini(&b);
    }
}

const struct unit_test test_type_set[] = {
    UNIT(forms_follow_the_model),   UNIT(thresholds_decide_the_form),
    UNIT(numbers_take_their_width), UNIT(what_changes_nothing_is_no_change),
    UNIT(chance_is_even),           UNIT_END,
};
