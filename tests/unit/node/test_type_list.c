/* Both forms of a list against a naive model, under random operations, sections given up and allocations
 * that fail. What the log makes of the same is test_apply.c's. */
#include "node/type_list.h"

#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/rcu.h"
#include "node/keyspace.h"
#include "node/options.h"
#include "node/type.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

#include <stdio.h>
#include <stdlib.h>

enum { LISTS = 3, MOST = 6000, TEXT_MAX = 6000, BATCH = 40 };

/* A list's elements by number; each number has one text. */
struct model {
    uint32_t v[MOST];
    size_t n;
};

static struct slice text_of(uint32_t id, char out[TEXT_MAX])
{
    size_t len = (size_t)snprintf(out, TEXT_MAX, "%u", id);
    size_t want = id % 211 == 0  ? 5000
                  : id % 53 == 0 ? 700 + id % 700
                  : id % 7 == 0  ? 150
                                 : id % 40;

    while (len < want) {
        out[len++] = 'x';
    }
    return (struct slice){out, id % 97 == 0 ? 0 : len};
}

static uint32_t some_id(struct rand *r)
{
    return (uint32_t)rand_below(r, 100000);
}

static bool is_text(struct slice s, uint32_t id)
{
    static char text[TEXT_MAX];

    return slice_is(s, text_of(id, text));
}

/* ---- The model's own operations ---- */

static void model_insert(struct model *m, size_t at, uint32_t id)
{
    CU_ASSERT_FATAL(m->n < MOST);
    buf_move(&m->v[at + 1], &m->v[at], (m->n - at) * sizeof(m->v[0]));
    m->v[at] = id;
    m->n++;
}

static void model_remove(struct model *m, size_t at, size_t n)
{
    buf_move(&m->v[at], &m->v[at + n], (m->n - at - n) * sizeof(m->v[0]));
    m->n -= n;
}

/* Forwards, backwards, and from a random place. */
static bool is_same(struct cmd *c, struct key key, const struct model *m, struct rand *r)
{
    struct vlist_cursor at;
    struct vlist_view l;
    struct slice s;
    enum found found = vlist_open(c, key, &l);
    bool same = true;

    if (found != FOUND) {
        return m->n == 0;
    }
    same = vlist_count(&l) == m->n && m->n > 0;
    vlist_seek(&l, 0, &at);
    for (size_t i = 0; same && i < m->n; i++) {
        same = vlist_next(&at, &s) && is_text(s, m->v[i]);
    }
    same = same && !vlist_next(&at, &s);
    for (size_t i = m->n; same && i-- > 0;) {
        same = vlist_prev(&at, &s) && is_text(s, m->v[i]);
    }
    same = same && !vlist_prev(&at, &s);
    for (int i = 0; same && i < 5; i++) {
        size_t k = rand_below(r, m->n);

        same = is_text(vlist_at(&l, k), m->v[k]);
    }
    vlist_close(&l);
    return same;
}

/* ---- Random operations ---- */

struct play {
    struct bench b;
    struct rand r;
    struct key key[LISTS];
    struct model m[LISTS];    /* as committed */
    struct model next[LISTS]; /* as the section sees it */
};

static void play_push(struct play *p, int k, bool store)
{
    static char texts[BATCH][TEXT_MAX];
    struct slice v[BATCH];
    struct model *m = &p->next[k];
    enum vlist_end end = !store && rand_below(&p->r, 2) == 0 ? LIST_HEAD : LIST_TAIL;
    size_t n = 1 + rand_below(&p->r, k == 0 ? 3 : BATCH);

    m->n = store ? 0 : m->n;
    for (size_t i = 0; i < n; i++) {
        uint32_t id = some_id(&p->r);

        v[i] = text_of(id, texts[i]);
        model_insert(m, end == LIST_HEAD ? 0 : m->n, id);
    }
    if (store) {
        vlist_store(&p->b.write, p->key[k], v, n);
    } else {
        vlist_push(&p->b.write, p->key[k], end, v, n);
    }
}

static void play_pop(struct play *p, int k)
{
    struct model *m = &p->next[k];
    size_t most = rand_below(&p->r, 20) == 0 ? m->n : m->n < 30 ? m->n : 30;
    size_t n = rand_below(&p->r, most + 1);

    if (rand_below(&p->r, 2) == 0) {
        model_remove(m, 0, n);
        vlist_pop(&p->b.write, p->key[k], LIST_HEAD, n);
    } else {
        m->n -= n;
        vlist_pop(&p->b.write, p->key[k], LIST_TAIL, n);
    }
}

static void play_one(struct play *p, int k)
{
    static char text[TEXT_MAX];
    struct model *m = &p->next[k];
    uint32_t id = some_id(&p->r);
    size_t at = rand_below(&p->r, m->n);

    if (rand_below(&p->r, 2) == 0) {
        m->v[at] = id;
        vlist_set(&p->b.write, p->key[k], at, text_of(id, text));
    } else {
        model_insert(m, at, id);
        vlist_insert(&p->b.write, p->key[k], at, text_of(id, text));
    }
}

static void play_remove(struct play *p, int k)
{
    struct vlist_range v[20];
    struct model *m = &p->next[k];
    size_t n = 0;
    uint64_t apart = 1 + rand_below(&p->r, 60);

    for (size_t at = rand_below(&p->r, apart); at < m->n && n < 20;) {
        size_t left = m->n - at;
        size_t count = 1 + rand_below(&p->r, rand_below(&p->r, 10) == 0 ? 200 : 3);

        v[n] = (struct vlist_range){at, count < left ? count : left};
        at += v[n].count + 1 + rand_below(&p->r, apart);
        n++;
    }
    for (size_t i = n; i-- > 0;) {
        model_remove(m, v[i].index, v[i].count);
    }
    vlist_remove(&p->b.write, p->key[k], v, n);
}

static void play_keys(struct play *p, int k)
{
    int other = (k + 1) % LISTS;

    switch (rand_below(&p->r, 4)) {
    case 0:
        keyspace_rename(&p->b.write, p->key[k], p->key[other]);
        p->next[other] = p->next[k];
        p->next[k].n = 0;
        break;
    case 1:
        keyspace_copy(&p->b.write, p->key[k], p->key[other]);
        p->next[other] = p->next[k];
        break;
    case 2:
        (void)keyspace_delete(&p->b.write, p->key[k]);
        p->next[k].n = 0;
        break;
    default:
        keyspace_expire_at(&p->b.write, p->key[k], bench_now_ms() + 1000000);
        break;
    }
}

static void play_op(struct play *p)
{
    int k = (int)rand_below(&p->r, LISTS);
    struct model *m = &p->next[k];
    uint64_t what = rand_below(&p->r, 20);

    if (m->n + BATCH >= MOST || (m->n > 0 && what < 5)) {
        play_pop(p, k);
    } else if (m->n == 0 || what < 11) {
        play_push(p, k, false);
    } else if (what < 15) {
        play_one(p, k);
    } else if (what < 17) {
        play_remove(p, k);
    } else if (what == 17) {
        enum vlist_end end = rand_below(&p->r, 2) == 0 ? LIST_HEAD : LIST_TAIL;
        uint32_t id = m->v[end == LIST_HEAD ? 0 : m->n - 1];

        model_remove(m, end == LIST_HEAD ? 0 : m->n - 1, 1);
        model_insert(m, end == LIST_HEAD ? m->n : 0, id);
        vlist_rotate(&p->b.write, p->key[k], end);
    } else if (what == 18 && rand_below(&p->r, 6) == 0) {
        play_push(p, k, true);
    } else if (rand_below(&p->r, 10) == 0) {
        play_keys(p, k);
    }
}

static void play_section(struct play *p, int fail_nth)
{
    bench_begin(&p->b);
    memcpy(p->next, p->m, sizeof(p->m));
    fault_fail_nth(fail_nth);
    for (size_t i = 1 + rand_below(&p->r, 5); i > 0 && !section_has_failed(p->b.section); i--) {
        play_op(p);
        for (int k = 0; k < LISTS && !section_has_failed(p->b.section); k++) {
            CU_ASSERT(is_same(&p->b.write, p->key[k], &p->next[k], &p->r));
        }
    }
    if (rand_below(&p->r, 4) == 0) {
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
    for (int k = 0; k < LISTS; k++) {
        CU_ASSERT(is_same(&p->b.read, p->key[k], &p->m[k], &p->r));
    }
    rcu_turn();
}

static void forms_follow_the_model(void)
{
    struct play *p = calloc(1, sizeof(*p));

    p->r.state = unit_seed();
    bench_init(&p->b);
    p->key[0] = key_of(SLICE("p"));
    p->key[1] = key_of(SLICE("l"));
    p->key[2] = key_of(SLICE("m"));
    for (int i = 0; i < 2000; i++) {
        play_section(p, rand_below(&p->r, 3) == 0 ? 1 + (int)rand_below(&p->r, 30) : 0);
        if (i % 25 == 0) {
            CU_ASSERT_EQUAL(database_used_exact(p->b.db), bench_bytes(&p->b));
        }
    }
    CU_ASSERT_EQUAL(database_used_exact(p->b.db), bench_bytes(&p->b));
    bench_fini(&p->b);
    free(p);
}

/* The same with lists of long chunks. */
static void long_forms_follow_the_model(void)
{
    enum { ELEMENTS = 5000, SECTIONS = 25, ROUNDS = 4 };
    struct play *p = calloc(1, sizeof(*p));

    p->r.state = unit_seed();
    bench_init(&p->b);
    p->key[0] = key_of(SLICE("p"));
    p->key[1] = key_of(SLICE("l"));
    p->key[2] = key_of(SLICE("m"));
    for (int i = 0; i < ROUNDS * SECTIONS; i++) {
        if (i % SECTIONS == 0) {
            bench_begin(&p->b);
            while (p->next[1].n < ELEMENTS) {
                play_push(p, 1, false);
            }
            CU_ASSERT_EQUAL(bench_commit(&p->b), SECTION_COMMITTED);
            memcpy(p->m, p->next, sizeof(p->m));
            CU_ASSERT(type_bytes(keyspace_peek(&p->b.read, p->key[1])) > LIST_LONG_FROM);
        }
        play_section(p, rand_below(&p->r, 4) == 0 ? 1 + (int)rand_below(&p->r, 30) : 0);
        memcpy(p->next, p->m, sizeof(p->m));
    }
    CU_ASSERT_EQUAL(database_used_exact(p->b.db), bench_bytes(&p->b));
    bench_fini(&p->b);
    free(p);
}

/* ---- Single facts ---- */

static const char *word(struct bench *b, struct key key)
{
    const struct entry *e = keyspace_peek(&b->read, key);

    return e == NULL ? "" : keyspace_encoding(e);
}

static void push_many(struct bench *b, struct key key, enum vlist_end end, size_t n, size_t len)
{
    char text[TEXT_MAX];

    memset(text, 'v', sizeof(text));
    bench_begin(b);
    for (size_t i = 0; i < n; i++) {
        vlist_push(&b->write, key, end, &(struct slice){text, len}, 1);
    }
    CU_ASSERT_EQUAL(bench_commit(b), SECTION_COMMITTED);
    rcu_turn();
}

static void pop_many(struct bench *b, struct key key, enum vlist_end end, size_t n)
{
    bench_begin(b);
    vlist_pop(&b->write, key, end, n);
    CU_ASSERT_EQUAL(bench_commit(b), SECTION_COMMITTED);
    rcu_turn();
}

static void set_size(const char *text)
{
    struct buf why = {0};

    CU_ASSERT_TRUE(conf_set(&opt_list_max_listpack_size, slice_of(text), &why));
    buf_fini(&why);
}

/* The words of OBJECT ENCODING, whatever the form: Redis' limit, and half of it on the way back. */
static void limits_decide_the_word(void)
{
    struct bench b;
    struct key k = key_of(SLICE("k"));

    bench_init(&b);
    push_many(&b, k, LIST_TAIL, 80, 98); /* 100 bytes each */
    CU_ASSERT_STRING_EQUAL(word(&b, k), "listpack");
    CU_ASSERT_EQUAL(keyspace_peek(&b.read, k)->encoding, ENC_LARGE);
    push_many(&b, k, LIST_HEAD, 2, 98);
    CU_ASSERT_STRING_EQUAL(word(&b, k), "quicklist");
    pop_many(&b, k, LIST_HEAD, 40);
    CU_ASSERT_STRING_EQUAL(word(&b, k), "quicklist");
    pop_many(&b, k, LIST_TAIL, 2);
    CU_ASSERT_STRING_EQUAL(word(&b, k), "listpack");
    pop_many(&b, k, LIST_TAIL, 36);
    CU_ASSERT_EQUAL(keyspace_peek(&b.read, k)->encoding, ENC_PACKED);
    set_size("6");
    push_many(&b, k, LIST_TAIL, 2, 1);
    CU_ASSERT_STRING_EQUAL(word(&b, k), "listpack");
    push_many(&b, k, LIST_TAIL, 1, 1);
    CU_ASSERT_STRING_EQUAL(word(&b, k), "quicklist");
    pop_many(&b, k, LIST_TAIL, 4);
    CU_ASSERT_STRING_EQUAL(word(&b, k), "listpack");
    set_size("-2");
    bench_fini(&b);
}

/* An element as large as a chunk of several was taken for one, and its push never ended. */
static void every_size_around_a_chunk(void)
{
    static char big[LIST_LONG_BYTES + 64];
    struct bench b;
    struct key k = key_of(SLICE("k"));
    size_t count = 0;

    bench_init(&b);
    for (size_t len = LIST_CHUNK_ROOM - 8; len <= LIST_LONG_BYTES + 1; len++) {
        if (len == LIST_CHUNK_BYTES + 2) {
            len = LIST_LONG_ROOM - 8;
        }
        for (int end = 0; end < 2; end++) {
            bench_begin(&b);
            vlist_push(&b.write, k, end == 0 ? LIST_HEAD : LIST_TAIL,
                       (struct slice[]){{big, len}, {"", 0}}, 2);
            CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
            count += 2;
            rcu_turn();
        }
    }
    struct vlist_view l;
    struct vlist_cursor at;
    struct slice s;
    size_t empty = 0;

    CU_ASSERT_EQUAL_FATAL(vlist_open(&b.read, k, &l), FOUND);
    CU_ASSERT_EQUAL(vlist_count(&l), count);
    vlist_seek(&l, 0, &at);
    while (vlist_next(&at, &s)) {
        empty += s.len == 0;
    }
    CU_ASSERT_EQUAL(empty, count / 2);
    vlist_close(&l);
    bench_fini(&b);
}

/* Changed, gone, there again, in one section: accounts and content stay true. */
static void gone_in_the_section_that_changed_it(void)
{
    struct bench b;
    struct key k = key_of(SLICE("k"));
    struct slice v = SLICE("value");

    bench_init(&b);
    for (int round = 0; round < 6; round++) {
        push_many(&b, k, LIST_TAIL, 300, 64);
        int64_t bytes = bench_bytes(&b);

        bench_begin(&b);
        vlist_pop(&b.write, k, LIST_TAIL, 100);
        vlist_push(&b.write, k, LIST_TAIL, &v, 1);
        vlist_set(&b.write, k, 50, v);
        (void)keyspace_delete(&b.write, k);
        for (int i = 0; i < (round % 3) * 100; i++) {
            vlist_push(&b.write, k, LIST_HEAD, &v, 1);
            vlist_push(&b.write, k, LIST_TAIL, &(struct slice){"0123456789012345678901234", 25}, 1);
        }
        if (round % 3 == 2) {
            vlist_set(&b.write, k, 100, v);
            vlist_pop(&b.write, k, LIST_HEAD, 197);
        }
        if (round < 3) {
            bench_abort(&b);
            CU_ASSERT_EQUAL(bench_bytes(&b), bytes);
        } else {
            CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
        }
        CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
        bench_begin(&b);
        (void)keyspace_delete(&b.write, k);
        CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
        rcu_turn();
    }
    bench_fini(&b);
}

static void every_write(struct bench *b, struct key k)
{
    static const char big[3000] = {'b'};
    struct slice v[] = {SLICE("a"), {big, sizeof(big)}, SLICE("c")};
    struct vlist_range ranges[] = {{1, 2}, {5, 1}, {7, 1}};

    vlist_push(&b->write, k, LIST_HEAD, v, 3);
    vlist_push(&b->write, k, LIST_TAIL, v, 3);
    vlist_set(&b->write, k, 4, SLICE("set"));
    vlist_insert(&b->write, k, 4, v[1]);
    vlist_remove(&b->write, k, ranges, 3);
    vlist_rotate(&b->write, k, LIST_TAIL);
    vlist_pop(&b->write, k, LIST_HEAD, 4);
    vlist_pop(&b->write, k, LIST_TAIL, 2);
}

/* Every allocation in turn: the section fails and nothing has changed, or it succeeds. */
static void survives_every_fault(void)
{
    static const size_t sizes[] = {8, 24, 300};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct bench b;
        struct key k = key_of(SLICE("k"));
        bool done = false;
        int nth = 0;

        bench_init(&b);
        push_many(&b, k, LIST_TAIL, sizes[i], 64);
        while (!done && nth < 300) {
            struct vlist_view l;

            bench_begin(&b);
            fault_fail_nth(++nth);
            every_write(&b, k);
            enum section_end end = bench_commit(&b);

            (void)fault_off();
            done = end == SECTION_COMMITTED;
            CU_ASSERT(done || end == SECTION_FAILED);
            CU_ASSERT_EQUAL_FATAL(vlist_open(&b.read, k, &l), FOUND);
            CU_ASSERT_EQUAL(vlist_count(&l), sizes[i] - (done ? 3 : 0));
            vlist_close(&l);
            CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
            rcu_turn();
        }
        CU_ASSERT(done);
        CU_ASSERT(nth > 8);
        bench_fini(&b);
    }
}

/* Depth of the tree, and sums that are what they say. */
static size_t depth_of(const struct vlist_large *l)
{
    size_t deepest = 0;
    size_t count = 0;

    for (struct vlist_chunk *c = l->head; c != NULL; c = vlist_chunk_next(c)) {
        size_t depth = 0;

        for (const struct vlist_chunk *up = c; up != NULL; up = up->parent) {
            depth++;
        }
        deepest = depth > deepest ? depth : deepest;
        count += c->count;
    }
    CU_ASSERT_EQUAL(count, vlist_large_count(l));
    return deepest;
}

/* Thousands of chunks: a tree of little depth, found by number, cut in the middle without a walk, freed a
 * budget at a time, and no fuller of air than Redis' nodes. */
static void long_one_stays_shallow(void)
{
    enum { COUNT = 200000, BUDGET = 100 };
    struct bench b;
    struct key k = key_of(SLICE("k"));
    size_t slices = 0;
    size_t budget;

    bench_init(&b);
    for (int i = 0; i < 200; i++) {
        push_many(&b, k, i % 2 == 0 ? LIST_HEAD : LIST_TAIL, COUNT / 200, 64);
    }
    const struct entry *e = keyspace_peek(&b.read, k);

    CU_ASSERT(depth_of(vlist_large_of(e)) < 50);
    CU_ASSERT(type_bytes(e) < (size_t)COUNT * 668 / 10); /* 66 and a head's share */
    struct entry *twin = type_list_ops.copy(e, SLICE("twin"), 0, false);

    CU_ASSERT_PTR_NOT_NULL_FATAL(twin);
    CU_ASSERT_EQUAL(type_bytes(twin), type_bytes(e));
    do {
        budget = BUDGET;
        slices++;
    } while (!type_free_value(twin, &budget) && slices < COUNT);
    CU_ASSERT(slices >= COUNT / 216 / BUDGET); /* long chunks */
    entry_free(twin);
    pop_many(&b, k, LIST_HEAD, COUNT / 2 + 7);
    bench_begin(&b);
    for (int i = 0; i < 2000; i++) {
        vlist_insert(&b.write, k, (size_t)i * 40, SLICE("in between"));
    }
    bench_abort(&b);
    CU_ASSERT(depth_of(vlist_large_of(keyspace_peek(&b.read, k))) < 50);
    CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
    bench_fini(&b);
}

/* What is thinned out all over does not leave thousands of chunks behind with an element each. */
static void thinned_out_it_stays_dense(void)
{
    enum { COUNT = 20000 };
    struct bench b;
    struct key k = key_of(SLICE("k"));
    struct vlist_range *v = malloc(COUNT * sizeof(*v));

    bench_init(&b);
    for (int i = 0; i < 20; i++) {
        push_many(&b, k, LIST_TAIL, COUNT / 20, 64);
    }
    for (size_t i = 0; i < COUNT / 20; i++) {
        v[i] = (struct vlist_range){i * 20, 19};
    }
    bench_begin(&b);
    vlist_remove(&b.write, k, v, COUNT / 20);
    CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
    const struct entry *e = keyspace_peek(&b.read, k);

    CU_ASSERT_EQUAL(vlist_large_count(vlist_large_of(e)), COUNT / 20);
    CU_ASSERT(type_bytes(e) < (size_t)COUNT / 20 * 130);
    CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
    bench_fini(&b);
    free(v);
}

const struct unit_test test_type_list[] = {UNIT(forms_follow_the_model),
                                           UNIT(long_forms_follow_the_model),
                                           UNIT(limits_decide_the_word),
                                           UNIT(every_size_around_a_chunk),
                                           UNIT(gone_in_the_section_that_changed_it),
                                           UNIT(survives_every_fault),
                                           UNIT(long_one_stays_shallow),
                                           UNIT(thinned_out_it_stays_dense),
                                           UNIT_END};
