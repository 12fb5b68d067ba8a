/* One test for each of the invariants in node/blocks.c, and a random walk over all of them. What is
 * leaked or freed twice is seen by AddressSanitizer. */
#include "node/blocks.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/rand.h"
#include "tests/lib/unit.h"

#include <stdlib.h>

enum { KB = 1024, LEVEL1 = 64 * BLOCK_BYTES };

static size_t replaced; /* by the last blocks_put() */

/* A tree and what it should say. */
struct pair {
    struct tree_ref tree;
    char *model; /* owned */
};

static char *pattern(size_t len, unsigned seed)
{
    char *p = malloc(len + 1);

    for (size_t i = 0; i < len; i++) {
        p[i] = (char)(i * 31 + i / 251 + seed);
    }
    return p;
}

static bool says(const struct tree_ref *t, const char *model)
{
    for (uint64_t at = 0; at < t->len;) {
        struct slice s = blocks_chunk(t, at);

        if (s.len == 0 || s.len > t->len - at || memcmp(s.ptr, model + at, s.len) != 0) {
            return false;
        }
        at += s.len;
    }
    return true;
}

static void free_all(struct blocks *root)
{
    size_t budget = SIZE_MAX;

    CU_ASSERT_TRUE(blocks_free(root, &budget));
}

static void put_model(struct pair *p, uint64_t old_len, uint64_t offset, struct slice s)
{
    uint64_t len = p->tree.len;

    p->model = realloc(p->model, len + 1);
    if (len > old_len) {
        memset(p->model + old_len, 0, len - old_len);
    }
    memcpy(p->model + offset, s.ptr, s.len);
}

static struct pair build(size_t len, unsigned seed)
{
    struct pair p = {.model = pattern(len, seed)};

    CU_ASSERT_EQUAL_FATAL(blocks_put(&(struct tree_ref){NULL, 0}, 0, (struct slice){p.model, len},
                                     &p.tree, &replaced),
                          OK);
    return p;
}

static struct pair copy_of(const struct pair *p)
{
    struct pair q = {.tree = p->tree, .model = malloc(p->tree.len + 1)};

    memcpy(q.model, p->model, p->tree.len);
    blocks_get(q.tree.root);
    return q;
}

static void drop_pair(struct pair *p)
{
    free_all(p->tree.root);
    free(p->model);
    *p = (struct pair){0};
}

/* The old root is left to the caller. */
static struct tree_ref put(struct pair *p, uint64_t offset, struct slice s)
{
    struct tree_ref old = p->tree;

    CU_ASSERT_EQUAL_FATAL(blocks_put(&old, offset, s, &p->tree, &replaced), OK);
    put_model(p, old.len, offset, s);
    return old;
}

static void builds_what_it_was_given(void)
{
    static const size_t lens[] = {1,      BLOCK_BYTES, BLOCK_BYTES + 1, 16 * KB + 1,
                                  LEVEL1, LEVEL1 + 1,  3 * LEVEL1 + 77, 64 * LEVEL1 + 1};

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct pair p = build(lens[i], 1);

        CU_ASSERT_EQUAL(p.tree.len, lens[i]);
        CU_ASSERT_TRUE(says(&p.tree, p.model));
        drop_pair(&p);
    }
}

/* B1: whoever reads the old tree goes on reading what it was. */
static void old_trees_do_not_change(void)
{
    struct pair p = build(3 * LEVEL1 + 5, 2);
    char *before = malloc(p.tree.len);

    memcpy(before, p.model, p.tree.len);
    struct tree_ref old = put(&p, LEVEL1 - 3, SLICE("across two nodes"));

    CU_ASSERT_TRUE(says(&old, before));
    CU_ASSERT_TRUE(says(&p.tree, p.model));
    free_all(old.root);
    CU_ASSERT_TRUE(says(&p.tree, p.model));
    drop_pair(&p);
    free(before);
}

/* B2, B3: a small change of a tree nobody shares owns its path; the rest moved. */
static void a_change_replaces_only_the_path(void)
{
    struct pair p = build(100 * LEVEL1, 3);
    size_t all = blocks_bytes(p.tree.root);
    struct tree_ref old = put(&p, 50 * LEVEL1 + 1000, SLICE("x"));

    CU_ASSERT_EQUAL(blocks_bytes(p.tree.root), all);
    CU_ASSERT_EQUAL(replaced, 3 * 640 + 4096);
    size_t budget = 100;

    CU_ASSERT_TRUE(blocks_free(old.root, &budget));
    CU_ASSERT_EQUAL(budget, 100 - 4); /* three nodes and a block */
    drop_pair(&p);
}

/* B3: of a shared tree both stay whole, whoever goes first. */
static void shared_trees_part(void)
{
    for (int order = 0; order < 2; order++) {
        struct pair a = build(2 * LEVEL1 + 9, 4);
        struct pair b = copy_of(&a);
        struct tree_ref old = put(&a, 5, SLICE("only in a"));

        free_all(old.root); /* a's count on it */
        struct tree_ref old2 = put(&b, LEVEL1 + 5, SLICE("only in b"));

        free_all(old2.root);
        CU_ASSERT_TRUE(says(&a.tree, a.model));
        CU_ASSERT_TRUE(says(&b.tree, b.model));
        /* Parts are shared still below nodes that are not. */
        old = put(&a, 2 * LEVEL1, SLICE("again"));
        free_all(old.root);
        CU_ASSERT_TRUE(says(&a.tree, a.model));
        CU_ASSERT_TRUE(says(&b.tree, b.model));
        drop_pair(order == 0 ? &a : &b);
        CU_ASSERT_TRUE(says(order == 0 ? &b.tree : &a.tree, order == 0 ? b.model : a.model));
        drop_pair(order == 0 ? &b : &a);
    }
}

/* B6: every allocation fails once; the old tree stays whole and nothing is leaked. */
static void survives_every_fault(void)
{
    for (int shared = 0; shared < 2; shared++) {
        struct pair p = build(2 * LEVEL1, 5);
        struct pair other = shared ? copy_of(&p) : (struct pair){0};
        struct tree_ref out = {0};
        struct slice s = {p.model, 2 * BLOCK_BYTES};
        int nth = 0;
        int err;

        do {
            fault_fail_nth(++nth);
            err = blocks_put(&p.tree, LEVEL1 - 7, s, &out, &replaced);
            fault_off();
            CU_ASSERT_TRUE(says(&p.tree, p.model));
        } while (err != OK && nth < 100);
        CU_ASSERT_EQUAL_FATAL(err, OK);
#if !defined(GODWIT_RELEASE)
        CU_ASSERT_EQUAL(nth, 3 + 3 + 1); /* three nodes, three blocks, and then none */
#endif
        free_all(out.root);
        if (!shared) {
            /* It was taken over by out and went with it, but for what out replaced. */
            free_all(p.tree.root);
            free(p.model);
        } else {
            CU_ASSERT_TRUE(says(&p.tree, p.model));
            drop_pair(&p);
            drop_pair(&other);
        }
    }
}

/* A section that is given up: two changes one on another, taken back last first. */
static void changes_can_be_taken_back(void)
{
    struct pair p = build(2 * LEVEL1 + 1, 6);
    struct tree_ref one, two;

    CU_ASSERT_EQUAL_FATAL(blocks_put(&p.tree, 10, SLICE("one"), &one, &replaced), OK);
    CU_ASSERT_EQUAL_FATAL(blocks_put(&one, 8 * LEVEL1, SLICE("grown"), &two, &replaced), OK);
    blocks_unput(two.root);
    blocks_unput(one.root);
    free_all(one.root); /* in either order */
    free_all(two.root);
    CU_ASSERT_TRUE(says(&p.tree, p.model));

    /* And kept: what the first made and the second replaced goes like any other. */
    struct tree_ref old = put(&p, 10, SLICE("one"));
    struct tree_ref middle = put(&p, 11, SLICE("two"));

    free_all(middle.root);
    free_all(old.root);
    CU_ASSERT_TRUE(says(&p.tree, p.model));
    drop_pair(&p);
}

/* A root that is to be counted later lends nothing, so what counts it finds it whole. */
static void pinned_roots_lend_nothing(void)
{
    struct pair p = build(2 * LEVEL1, 11);
    struct pair q = copy_of(&p);

    free_all(q.tree.root); /* one count is left */
    blocks_pin(p.tree.root);
    struct tree_ref old = put(&p, 3, SLICE("changed"));

    CU_ASSERT_EQUAL(replaced, 0);
    blocks_get(old.root); /* the log's */
    free_all(old.root);   /* the entry's */
    old = put(&p, LEVEL1 + 3, SLICE("again"));
    free_all(old.root);
    CU_ASSERT_TRUE(says(&q.tree, q.model));
    drop_pair(&q);
    CU_ASSERT_TRUE(says(&p.tree, p.model));
    drop_pair(&p);
}

/* What was put on a tree that was never published outlives it. */
static void settles_on_its_own(void)
{
    struct pair p = build(16 * KB, 12);
    struct tree_ref old = put(&p, 3 * LEVEL1, SLICE("far beyond"));

    blocks_settle(p.tree.root);
    free_all(old.root);
    blocks_unput(p.tree.root); /* nothing to take back, and nothing to look at */
    CU_ASSERT_TRUE(says(&p.tree, p.model));
    drop_pair(&p);
}

/* B2 of a root that becomes a child: it has the entry's count and the new node's. */
static void grows_upward(void)
{
    struct pair p = build(LEVEL1, 7);
    struct tree_ref old = put(&p, LEVEL1, SLICE("!")); /* leaves the old root alone */

    CU_ASSERT_TRUE(says(&p.tree, p.model));
    free_all(old.root);
    CU_ASSERT_TRUE(says(&p.tree, p.model));
    old = put(&p, 3, SLICE("below"));
    free_all(old.root);
    CU_ASSERT_TRUE(says(&p.tree, p.model));
    drop_pair(&p);
}

static void gaps_take_no_memory(void)
{
    struct pair p = {0};
    struct tree_ref old;

    CU_ASSERT_EQUAL_FATAL(
        blocks_put(&(struct tree_ref){NULL, 0}, (512u << 20) - 1, SLICE("z"), &p.tree, &replaced),
        OK);
    CU_ASSERT_EQUAL(p.tree.len, 512u << 20);
    CU_ASSERT(blocks_bytes(p.tree.root) < 8 * KB);
    CU_ASSERT_EQUAL(*blocks_chunk(&p.tree, p.tree.len - 1).ptr, 'z');
    struct slice gap = blocks_chunk(&p.tree, 1 << 20);

    CU_ASSERT_EQUAL(*gap.ptr, 0);
    old = p.tree;
    CU_ASSERT_EQUAL_FATAL(blocks_put(&old, 300u << 20, SLICE("a"), &p.tree, &replaced), OK);
    CU_ASSERT_EQUAL(*blocks_chunk(&p.tree, 300u << 20).ptr, 'a');
    free_all(old.root);
    free_all(p.tree.root);

    /* The end of a short last block is such a gap too when the string grows beyond it. */
    p = build(BLOCK_BYTES + 100, 8);
    old = put(&p, 5 * BLOCK_BYTES, SLICE("far"));
    free_all(old.root);
    CU_ASSERT_TRUE(says(&p.tree, p.model));
    drop_pair(&p);

    /* And a tree may be nothing but a gap. */
    struct tree_ref none = {NULL, 100000};

    CU_ASSERT_EQUAL(*blocks_chunk(&none, 99999).ptr, 0);
}

/* Freeing goes on where it stopped, and never does more than it was allowed. */
static void frees_in_slices(void)
{
    struct pair p = build(10 * LEVEL1, 9);
    struct pair q = copy_of(&p);
    struct tree_ref old = put(&q, 77, SLICE("part"));
    size_t turns = 0;
    size_t budget;

    free_all(old.root);
    do {
        budget = 7;
        turns++;
        CU_ASSERT(turns < 1000);
    } while (!blocks_free(p.tree.root, &budget));
    CU_ASSERT(turns >= 1);
    CU_ASSERT_TRUE(says(&q.tree, q.model));
    turns = 0;
    do {
        budget = 7;
        turns++;
    } while (!blocks_free(q.tree.root, &budget));
    CU_ASSERT(turns >= 640 / 7);
    free(p.model);
    free(q.model);
}

/* B8: the count is what was asked of the allocator. */
static void counts_its_bytes(void)
{
    struct pair p = build(1, 10);

    CU_ASSERT_EQUAL(blocks_bytes(p.tree.root), mem_size(8 + 1) + 640);
    while (p.tree.len < 20 * KB) {
        struct tree_ref old = put(&p, p.tree.len, SLICE("seventeen bytes.."));

        free_all(old.root);
    }
    struct pair q = build(p.tree.len, 10);

    CU_ASSERT_EQUAL(blocks_bytes(p.tree.root), blocks_bytes(q.tree.root));
    drop_pair(&p);
    drop_pair(&q);
}

/* Copies, changes, changes taken back and deaths in any order. */
static void random_walk(void)
{
    struct rand r;
    struct pair pairs[6] = {{{0}, NULL}};
    char *junk = pattern(40 * KB, 99);

    r.state = unit_seed();
    for (int step = 0; step < 3000; step++) {
        struct pair *p = &pairs[rand_below(&r, 6)];
        struct pair *q = &pairs[rand_below(&r, 6)];

        if (p->tree.root == NULL) {
            *p = build(1 + rand_below(&r, 3 * LEVEL1), (unsigned)step);
            continue;
        }
        switch (rand_below(&r, 8)) {
        case 0:
            drop_pair(p);
            break;
        case 1:
            if (q->tree.root == NULL) {
                *q = copy_of(p);
            }
            break;
        default: {
            uint64_t offset = rand_below(&r, p->tree.len + LEVEL1 / 8);
            struct slice s = {junk, 1 + rand_below(&r, rand_below(&r, 10) == 0 ? 40 * KB : 100)};
            struct tree_ref next;

            if (offset + s.len > 5 * LEVEL1) {
                break;
            }
            if (rand_below(&r, 4) == 0) {
                CU_ASSERT_EQUAL_FATAL(blocks_put(&p->tree, offset, s, &next, &replaced), OK);
                blocks_unput(next.root);
                free_all(next.root);
            } else {
                struct tree_ref old = put(p, offset, s);

                free_all(old.root);
            }
        }
        }
        if (step % 50 == 0) {
            for (int i = 0; i < 6; i++) {
                CU_ASSERT_TRUE(pairs[i].tree.root == NULL || says(&pairs[i].tree, pairs[i].model));
            }
        }
    }
    for (int i = 0; i < 6; i++) {
        if (pairs[i].tree.root != NULL) {
            CU_ASSERT_TRUE(says(&pairs[i].tree, pairs[i].model));
            drop_pair(&pairs[i]);
        }
    }
    free(junk);
}

/* clang-format off */
const struct unit_test test_blocks[] = {
    UNIT(builds_what_it_was_given),
    UNIT(old_trees_do_not_change),
    UNIT(a_change_replaces_only_the_path),
    UNIT(shared_trees_part),
    UNIT(survives_every_fault),
    UNIT(changes_can_be_taken_back),
    UNIT(pinned_roots_lend_nothing),
    UNIT(settles_on_its_own),
    UNIT(grows_upward),
    UNIT(gaps_take_no_memory),
    UNIT(frees_in_slices),
    UNIT(counts_its_bytes),
    UNIT(random_walk),
    UNIT_END,
};
/* clang-format on */
