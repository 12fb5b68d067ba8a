/* Both forms of a sorted set side by side against a naive model, under random operations, sections given
 * up and allocations that fail. A second model sees only the change log: whoever applies it must end with
 * the same members. */
#include "node/type_zset.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "node/keyspace.h"
#include "node/options.h"
#include "node/type.h"
#include "node/zset_large.h"
#include "node/zset_packed.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

#include "proto/change.pb-c.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAMES = 900, SMALL = 60 };

/* What a sorted set should hold: by the number in the member's name. */
struct model {
    bool there[NAMES];
    double score[NAMES];
    size_t count;
};

static struct slice name_of(int i, char out[8])
{
    return (struct slice){out, (size_t)snprintf(out, 8, "n%d", i)};
}

static int number_of(struct slice name)
{
    char text[8] = {0};

    memcpy(text, name.ptr + 1, name.len - 1);
    return atoi(text);
}

static void model_put(struct model *m, int i, double score)
{
    m->count += !m->there[i];
    m->there[i] = true;
    m->score[i] = score;
}

static bool model_remove(struct model *m, int i)
{
    bool was = m->there[i];

    m->count -= was;
    m->there[i] = false;
    return was;
}

static size_t model_items(const struct model *m, struct zset_item *out, char names[][8])
{
    size_t n = 0;

    for (int i = 0; i < NAMES; i++) {
        if (m->there[i]) {
            out[n++] = (struct zset_item){name_of(i, names[i]), m->score[i]};
        }
    }
    qsort(out, n, sizeof(out[0]), zset_item_order);
    return n;
}

/* ---- Comparing ---- */

static bool is_item(const struct zset_item *a, const struct zset_item *b)
{
    return a->score == b->score && slice_is(a->member, b->member);
}

static bool walks_same(const struct zset *z, const struct zset_item *items, size_t n, bool down)
{
    static struct zset_walk w;
    struct zset_item i;
    size_t k = 0;

    zset_walk_begin(&w, z, down && n > 0 ? n - 1 : 0, n, down);
    while (zset_walk_next(&w, &i)) {
        if (!is_item(&i, &items[down ? n - 1 - k : k])) {
            return false;
        }
        k++;
    }
    return k == n;
}

static void count_item(const struct zset_item *i, void *arg)
{
    (void)i;
    ++*(size_t *)arg;
}

static bool is_same(struct cmd *c, struct key key, const struct model *m)
{
    static struct zset_item items[NAMES];
    static char names[NAMES][8];
    size_t n = model_items(m, items, names);
    uint64_t cursor = 0;
    size_t scanned = 0;
    struct zset z;

    if (zset_open(c, key, &z) != FOUND) {
        return n == 0;
    }
    bool same =
        zset_count(&z) == n && walks_same(&z, items, n, false) && walks_same(&z, items, n, true);

    for (size_t i = 0; same && i < n; i += 7) {
        struct rank_bound at = {.score = items[i].score};
        double score;
        size_t rank;

        same = zset_rank(&z, items[i].member, &rank, &score) && rank == i &&
               score == items[i].score && zset_before(&z, &at) <= i;
    }
    do {
        cursor = zset_scan(&z, cursor, 7, count_item, &scanned);
    } while (cursor != 0);
    same = same && scanned == n && (z.large == NULL || rank_tree_is_sound(&z.large->tree, false));
    zset_close(&z);
    return same;
}

/* ---- The log, applied to a model of its own ---- */

struct replica {
    struct model m[2]; /* keys "p" and "l" */
    uint64_t next;
    struct buf bytes;
    bool bad;
};

static void apply_op(struct replica *r, const Godwit__Op *op)
{
    struct model *m = &r->m[op->key.data[0] == 'l'];

    if (op->kind_case == GODWIT__OP__KIND_PUT_SCORES) {
        const Godwit__PutScores *p = op->put_scores;

        if (p->replace) {
            memset(m, 0, sizeof(*m));
        }
        for (size_t i = 0; i < p->n_scores; i++) {
            const ProtobufCBinaryData *b = &p->scores[i]->member;

            model_put(m, number_of((struct slice){(char *)b->data, b->len}), p->scores[i]->score);
        }
    } else if (op->kind_case == GODWIT__OP__KIND_DELETE_MEMBERS) {
        for (size_t i = 0; i < op->delete_members->n_members; i++) {
            const ProtobufCBinaryData *b = &op->delete_members->members[i];

            r->bad = !model_remove(m, number_of((struct slice){(char *)b->data, b->len})) || r->bad;
        }
    } else if (op->kind_case == GODWIT__OP__KIND_DELETE) {
        memset(m, 0, sizeof(*m));
    } else {
        r->bad = true;
    }
}

static bool on_piece(uint64_t seq, struct slice piece, bool last, void *arg)
{
    struct replica *r = arg;

    (void)seq;
    CU_ASSERT_EQUAL_FATAL(buf_append_slice(&r->bytes, piece), 0);
    if (last) {
        Godwit__Change *c =
            godwit__change__unpack(NULL, r->bytes.len, (const uint8_t *)r->bytes.ptr);

        CU_ASSERT_PTR_NOT_NULL_FATAL(c);
        CU_ASSERT_EQUAL(change_check(c), OK);
        for (size_t i = 0; i < c->n_ops; i++) {
            apply_op(r, c->ops[i]);
        }
        godwit__change__free_unpacked(c, NULL);
        buf_clear(&r->bytes);
    }
    return true;
}

/* ---- Random operations ---- */

struct play {
    struct bench b;
    struct rand r;
    struct key key[2];
    struct model m[2];    /* as committed */
    struct model next[2]; /* as the section sees it */
    struct replica replica;
};

static int some_name(struct play *p, int which)
{
    return (int)rand_below(&p->r, which == 0 ? SMALL : NAMES);
}

static double some_score(struct play *p)
{
    static const double odd[] = {0, INFINITY, -INFINITY, 1e17, 0.1, -5, 17179869184.0};

    return rand_below(&p->r, 4) == 0 ? odd[rand_below(&p->r, 7)]
                                     : (double)rand_below(&p->r, 4000) / 16 - 100;
}

static void play_add(struct play *p, int which)
{
    static const unsigned flags[] = {0, 0, 0, ZSET_NX, ZSET_XX, ZSET_GT, ZSET_LT | ZSET_XX};
    unsigned flag = flags[rand_below(&p->r, 7)];
    struct zset_item items[12];
    char names[12][8];
    size_t n = 1 + rand_below(&p->r, 12);
    struct model *m = &p->next[which];
    struct zset_added want = {0};

    for (size_t i = 0; i < n; i++) {
        int k = some_name(p, which);
        double score =
            rand_below(&p->r, 4) == 0 && m->there[k] ? m->score[k] + 0.0625 : some_score(p);

        items[i] = (struct zset_item){name_of(k, names[i]), score};
        if (m->there[k]
                ? (flag & ZSET_NX) != 0 || ((flag & ZSET_GT) != 0 && score <= m->score[k]) ||
                      ((flag & ZSET_LT) != 0 && score >= m->score[k])
                : (flag & ZSET_XX) != 0) {
            want.refused++;
            continue;
        }
        want.added += !m->there[k];
        want.updated += m->there[k] && m->score[k] != score;
        model_put(m, k, score);
    }
    struct zset_added said = zset_add(&p->b.write, p->key[which], items, n, flag);

    CU_ASSERT(
        section_has_failed(p->b.section) ||
        (said.added == want.added && said.updated == want.updated && said.refused == want.refused));
}

static void play_remove(struct play *p, int which)
{
    struct slice names[6];
    char bytes[6][8];
    size_t n = 1 + rand_below(&p->r, 6);
    size_t there = 0;

    for (size_t i = 0; i < n; i++) {
        int k = some_name(p, which);

        names[i] = name_of(k, bytes[i]);
        there += model_remove(&p->next[which], k);
    }
    size_t said = zset_remove(&p->b.write, p->key[which], names, n);

    CU_ASSERT(section_has_failed(p->b.section) || said == there);
}

static void play_remove_range(struct play *p, int which)
{
    static struct zset_item items[NAMES];
    static char names[NAMES][8];
    struct model *m = &p->next[which];
    size_t count = model_items(m, items, names);

    if (count == 0) {
        return;
    }
    size_t from = rand_below(&p->r, count);
    size_t n = rand_below(&p->r, 30) == 0 ? count - from : rand_below(&p->r, 10);

    n = n > count - from ? count - from : n;
    for (size_t i = 0; i < n; i++) {
        (void)model_remove(m, number_of(items[from + i].member));
    }
    zset_remove_range(&p->b.write, p->key[which], from, n);
}

static void play_whole(struct play *p, int which)
{
    static struct zset_item items[NAMES];
    static char names[NAMES][8];
    int other = !which;

    switch (rand_below(&p->r, 3)) {
    case 0:
        (void)keyspace_delete(&p->b.write, p->key[which]);
        if (!section_has_failed(p->b.section)) {
            memset(&p->next[which], 0, sizeof(p->next[which]));
        }
        break;
    case 1: /* a part of the other */
        if (which == 1) {
            size_t n = model_items(&p->next[other], items, names);

            n = rand_below(&p->r, n + 1);
            memset(&p->next[which], 0, sizeof(p->next[which]));
            for (size_t i = 0; i < n; i++) {
                model_put(&p->next[which], number_of(items[i].member), items[i].score);
            }
            zset_store(&p->b.write, p->key[which], items, n);
        }
        break;
    default:
        if (which == 0 && p->next[0].count > 0) {
            keyspace_copy(&p->b.write, p->key[0], p->key[1]);
            p->next[1] = p->next[0];
        }
        break;
    }
}

static void play_some(struct play *p)
{
    size_t n = 1 + rand_below(&p->r, 4);

    for (size_t i = 0; i < n && !section_has_failed(p->b.section); i++) {
        int which = (int)rand_below(&p->r, 2);

        switch (rand_below(&p->r, 8)) {
        case 0:
            play_remove(p, which);
            break;
        case 1:
            play_remove_range(p, which);
            break;
        case 2:
            if (rand_below(&p->r, 12) == 0) {
                play_whole(p, which);
            }
            break;
        default:
            play_add(p, which);
            break;
        }
        for (int w = 0; w < 2 && !section_has_failed(p->b.section); w++) {
            CU_ASSERT(is_same(&p->b.write, p->key[w], &p->next[w]));
        }
    }
}

static void play_section(struct play *p, int fail_nth)
{
    bench_begin(&p->b);
    memcpy(p->next, p->m, sizeof(p->m));
    fault_fail_nth(fail_nth);
    play_some(p);
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
    for (int w = 0; w < 2; w++) {
        CU_ASSERT(is_same(&p->b.read, p->key[w], &p->m[w]));
    }
    p->replica.next = changelog_read(p->b.log, p->replica.next, on_piece, &p->replica);
    rcu_turn();
}

static bool replica_agrees(const struct play *p)
{
    for (int w = 0; w < 2; w++) {
        for (int i = 0; i < NAMES; i++) {
            const struct model *a = &p->m[w];
            const struct model *b = &p->replica.m[w];

            if (a->there[i] != b->there[i] || (a->there[i] && a->score[i] != b->score[i])) {
                return false;
            }
        }
    }
    return !p->replica.bad;
}

static void forms_follow_the_model(void)
{
    struct play *p = calloc(1, sizeof(*p));

    p->r.state = unit_seed();
    p->replica.next = 1;
    bench_init(&p->b);
    p->key[0] = key_of(SLICE("p"));
    p->key[1] = key_of(SLICE("l"));
    for (int i = 0; i < 1500; i++) {
        /* Now and then one of the allocations fails, wherever it is. */
        play_section(p, rand_below(&p->r, 3) == 0 ? 1 + (int)rand_below(&p->r, 40) : 0);
        if (i % 50 == 0) {
            CU_ASSERT(replica_agrees(p));
            CU_ASSERT_EQUAL(database_used_exact(p->b.db), bench_bytes(&p->b));
        }
    }
    CU_ASSERT(replica_agrees(p));
    CU_ASSERT_EQUAL(database_used_exact(p->b.db), bench_bytes(&p->b));
    buf_fini(&p->replica.bytes);
    bench_fini(&p->b);
    free(p);
}

/* ---- Single facts ---- */

static const char *word(struct bench *b, struct key key)
{
    const struct entry *e = keyspace_peek(&b->read, key);

    return e == NULL ? "" : keyspace_encoding(e);
}

static void fill(struct bench *b, struct key key, int from, int n)
{
    bench_begin(b);
    for (int i = from; i < from + n; i++) {
        char name[8];
        struct zset_item item = {name_of(i, name), i};

        (void)zset_add(&b->write, key, &item, 1, 0);
    }
    CU_ASSERT_EQUAL(bench_commit(b), SECTION_COMMITTED);
}

static void thresholds_decide_the_form(void)
{
    char text[80];
    struct bench b;
    struct key k = key_of(SLICE("k"));
    struct key m = key_of(SLICE("m"));

    memset(text, 'x', sizeof(text));
    bench_init(&b);
    fill(&b, k, 0, 128);
    CU_ASSERT_STRING_EQUAL(word(&b, k), "listpack");
    fill(&b, k, 128, 1);
    CU_ASSERT_STRING_EQUAL(word(&b, k), "skiplist");
    for (size_t len = 64; len <= 65; len++) {
        struct zset_item item = {{text, len}, 1};

        bench_begin(&b);
        (void)zset_add(&b.write, m, &item, 1, 0);
        CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
        CU_ASSERT_STRING_EQUAL(word(&b, m), len == 64 ? "listpack" : "skiplist");
    }
    bench_fini(&b);
}

/* Every kind of score reads back as it was, but for the sign of zero. */
static void packed_scores_read_back(void)
{
    static const double scores[] = {0,
                                    1,
                                    -1,
                                    63,
                                    -64,
                                    64,
                                    8191,
                                    -1e9,
                                    1e10,
                                    0.5,
                                    -0.25,
                                    0.1,
                                    1e300,
                                    INFINITY,
                                    -INFINITY,
                                    3.14159,
                                    17179869183.0,
                                    17179869184.0,
                                    -17179869185.0};

    for (size_t i = 0; i < sizeof(scores) / sizeof(scores[0]); i++) {
        char bytes[64];
        struct zset_item in = {SLICE("member"), scores[i]}, out;
        char *end = zset_packed_write_item(bytes, &in);

        CU_ASSERT_EQUAL((size_t)(end - bytes), zset_packed_item_bytes(&in));
        CU_ASSERT_PTR_EQUAL(zset_packed_read(bytes, &out), end);
        CU_ASSERT(out.score == scores[i]);
        CU_ASSERT(slice_is(out.member, in.member));
    }
    CU_ASSERT_EQUAL(zset_packed_item_bytes(&(struct zset_item){SLICE("abc"), 0}), 4);
    CU_ASSERT_EQUAL(zset_packed_item_bytes(&(struct zset_item){SLICE("abc"), 50}), 5);
}

/* Every allocation in turn: the section fails and nothing has changed, or it succeeds. */
static void survives_every_fault(void)
{
    static const int sizes[] = {3, 126, 128, 300, 2000};

    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        struct bench b;
        struct key key = key_of(SLICE("k"));
        bool done = false;
        int nth = 0;

        bench_init(&b);
        fill(&b, key, 0, sizes[k]);
        while (!done && nth < 400) {
            struct zset_item items[6];
            char names[6][8];
            struct zset z;

            for (int i = 0; i < 6; i++) {
                items[i] = (struct zset_item){name_of(sizes[k] - 3 + i, names[i]), i};
            }
            bench_begin(&b);
            fault_fail_nth(++nth);
            (void)zset_add(&b.write, key, items, 6, 0);
            (void)zset_remove(&b.write, key, &SLICE("n1"), 1);
            if (!section_has_failed(b.section)) {
                zset_remove_range(&b.write, key, 0, 1);
            }
            enum section_end end = bench_commit(&b);

            (void)fault_off();
            done = end == SECTION_COMMITTED;
            CU_ASSERT(done || end == SECTION_FAILED);
            CU_ASSERT_EQUAL_FATAL(zset_open(&b.read, key, &z), FOUND);
            CU_ASSERT_EQUAL(zset_count(&z), (size_t)sizes[k] + (done ? 1 : 0));
            zset_close(&z);
            CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
            rcu_turn();
        }
        CU_ASSERT(done);
        CU_ASSERT(nth > 3);
        bench_fini(&b);
    }
}

/* Changed in place and gone in one section: what it gave back meanwhile is not credited twice. */
static void gone_in_the_section_that_changed_it(void)
{
    struct bench b;
    struct key k = key_of(SLICE("k"));
    struct key to = key_of(SLICE("to"));

    bench_init(&b);
    for (int round = 0; round < 4; round++) {
        fill(&b, k, 0, 300);
        bench_begin(&b);
        zset_remove_range(&b.write, k, 0, round == 1 ? 300 : 299);
        if (round == 0) {
            CU_ASSERT_TRUE(keyspace_delete(&b.write, k));
        }
        if (round == 2) { /* and there again, packed */
            struct zset_item item = {SLICE("n5"), 1};

            CU_ASSERT_TRUE(keyspace_delete(&b.write, k));
            CU_ASSERT_EQUAL(zset_add(&b.write, k, &item, 1, 0).added, 1);
        }
        if (round == 3) {
            keyspace_rename(&b.write, k, to);
            CU_ASSERT_EQUAL(zset_remove(&b.write, to, &SLICE("n299"), 1), 1);
        }
        CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
        CU_ASSERT_STRING_EQUAL(word(&b, k), round == 2 ? "listpack" : "");
        CU_ASSERT_STRING_EQUAL(word(&b, to), "");
        CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
        rcu_turn();
    }
    bench_fini(&b);
}

/* However many are offered: what changes nothing leaves nothing, neither an operation nor a form. */
static void nothing_comes_of_what_is_refused(void)
{
    enum { OFFERED = 600 };
    static struct zset_item items[OFFERED];
    static char names[OFFERED][8];
    struct bench b;
    struct key k = key_of(SLICE("k"));
    uint64_t seq;

    bench_init(&b);
    fill(&b, k, 0, 100);
    for (int i = 0; i < OFFERED; i++) {
        items[i] = (struct zset_item){name_of(i % 100, names[i]), i % 100};
    }
    for (unsigned flags = 0; flags <= ZSET_LT; flags = flags == 0 ? 1 : 2 * flags) {
        bench_begin(&b);
        struct zset_added r = zset_add(&b.write, k, items, OFFERED, flags);

        CU_ASSERT_EQUAL(r.added + r.updated, 0);
        CU_ASSERT_EQUAL(section_commit(b.section, &seq), SECTION_COMMITTED);
        CU_ASSERT_EQUAL(seq, 0);
        CU_ASSERT_STRING_EQUAL(word(&b, k), "listpack");
        CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
    }
    bench_fini(&b);
}

static void large_one_is_freed_in_slices(void)
{
    enum { MEMBERS = 3000, BUDGET = 100 };
    struct bench b;
    struct key k = key_of(SLICE("k"));
    size_t slices = 0;
    size_t budget;

    bench_init(&b);
    fill(&b, k, 0, MEMBERS);
    struct entry *twin = type_zset_ops.copy(keyspace_peek(&b.read, k), SLICE("twin"), 0, false);

    CU_ASSERT_PTR_NOT_NULL_FATAL(twin);
    do {
        budget = BUDGET;
        slices++;
    } while (!type_free_value(twin, &budget) && slices < MEMBERS);
    CU_ASSERT(slices >= MEMBERS / BUDGET);
    CU_ASSERT(slices < MEMBERS);
    entry_free(twin);
    bench_fini(&b);
}

const struct unit_test test_type_zset[] = {
    UNIT(forms_follow_the_model),
    UNIT(thresholds_decide_the_form),
    UNIT(packed_scores_read_back),
    UNIT(survives_every_fault),
    UNIT(gone_in_the_section_that_changed_it),
    UNIT(nothing_comes_of_what_is_refused),
    UNIT(large_one_is_freed_in_slices),
    UNIT_END,
};
