/* The counted tree against a sorted array: random changes, undone or settled as sections do, with
 * allocations that fail. Equal scores are frequent, so that names decide. */
#include "node/rank_tree.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/rand.h"
#include "node/entry.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAMES = 3000, STEPS_MAX = 120 };

struct play {
    struct rank_tree t;
    struct rand r;
    struct entry *member[NAMES];
    bool there[NAMES];
    double score[NAMES];
    uint32_t count;
    /* of the section */
    struct step {
        int i;
        char kind; /* + - = */
        double old;
    } journal[STEPS_MAX];
    int steps;
};

static void begin(struct play *p)
{
    memset(p, 0, sizeof(*p));
    p->r.state = unit_seed();
    rank_tree_init(&p->t);
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        size_t len = (size_t)snprintf(name, sizeof(name), "m%d", i);

        p->member[i] = entry_create(&(struct entry_spec){
            .type = TYPE_STRING, .encoding = ENC_BYTES, .key = {name, len}, .payload_len = 8});
        CU_ASSERT_PTR_NOT_NULL_FATAL(p->member[i]);
    }
}

static void finish(struct play *p)
{
    size_t slices = 0;
    size_t budget;

    do {
        budget = 7;
        slices++;
    } while (!rank_tree_free(&p->t, &budget));
    CU_ASSERT_PTR_NULL(p->t.root);
    for (int i = 0; i < NAMES; i++) {
        entry_free(p->member[i]);
    }
}

static double some_score(struct play *p)
{
    switch (rand_below(&p->r, 4)) {
    case 0:
        return 5;
    case 1:
        return (double)rand_below(&p->r, 10);
    default:
        return (double)rand_below(&p->r, 100000) / 8;
    }
}

static void step(struct play *p)
{
    int i = (int)rand_below(&p->r, NAMES);
    double score = rand_below(&p->r, 4) == 0 && p->there[i] ? p->score[i] + 0.25 : some_score(p);
    struct step *s = &p->journal[p->steps];

    if (!p->there[i]) {
        if (rank_tree_insert(&p->t, score, p->member[i]) == OK) {
            *s = (struct step){i, '+', 0};
            p->there[i] = true;
            p->score[i] = score;
            p->count++;
            p->steps++;
        }
    } else if (rand_below(&p->r, 2) == 0) {
        rank_tree_remove(&p->t, p->score[i], p->member[i]);
        *s = (struct step){i, '-', 0};
        p->there[i] = false;
        p->count--;
        p->steps++;
    } else if (rank_tree_move(&p->t, p->score[i], score, p->member[i]) == OK) {
        *s = (struct step){i, '=', p->score[i]};
        p->score[i] = score;
        p->steps++;
    }
}

static void undo(struct play *p)
{
    while (p->steps > 0) {
        struct step *s = &p->journal[--p->steps];

        if (s->kind == '+') {
            rank_tree_remove(&p->t, p->score[s->i], p->member[s->i]);
            p->there[s->i] = false;
            p->count--;
        } else if (s->kind == '-') {
            rank_tree_restore(&p->t, p->score[s->i], p->member[s->i]);
            p->there[s->i] = true;
            p->count++;
        } else {
            rank_tree_move_back(&p->t, p->score[s->i], s->old, p->member[s->i]);
            p->score[s->i] = s->old;
        }
    }
}

static bool is_before(const struct play *p, int a, int b)
{
    return p->score[a] < p->score[b] ||
           (p->score[a] == p->score[b] &&
            slice_order(entry_key(p->member[a]), entry_key(p->member[b])) < 0);
}

/* A few members' ranks by counting. */
static void compare(struct play *p)
{
    CU_ASSERT_EQUAL(p->t.count, p->count);
    for (int k = 0; k < 3; k++) {
        int i = (int)rand_below(&p->r, NAMES);
        struct rank_bound score = {.score = p->score[i], .after = rand_below(&p->r, 2) == 0};
        uint32_t rank = 0;
        uint32_t below = 0;

        for (int j = 0; j < NAMES; j++) {
            rank += p->there[j] && is_before(p, j, i);
            below += p->there[j] && rank_is_before(p->score[j], entry_key(p->member[j]), &score);
        }
        CU_ASSERT_EQUAL(rank_tree_before(&p->t, &score), below);
        if (p->there[i]) {
            struct rank_spot s = rank_tree_at(&p->t, rank);

            CU_ASSERT_EQUAL(rank_tree_rank(&p->t, p->score[i], p->member[i]), rank);
            CU_ASSERT_PTR_EQUAL(rank_spot_member(s), p->member[i]);
            rank_spot_next(&s);
            CU_ASSERT_EQUAL(s.leaf == NULL, rank + 1 == p->count);
            s = rank_tree_at(&p->t, rank);
            rank_spot_prev(&s);
            CU_ASSERT_EQUAL(s.leaf == NULL, rank == 0);
        }
    }
}

static void section(struct play *p, int most, int fail_nth)
{
    p->steps = 0;
    fault_fail_nth(fail_nth);
    for (int n = 1 + (int)rand_below(&p->r, (uint64_t)most); n > 0; n--) {
        step(p);
    }
    (void)fault_off();
    CU_ASSERT(rank_tree_is_sound(&p->t, false));
    if (rand_below(&p->r, 3) == 0) {
        undo(p);
        CU_ASSERT(rank_tree_is_sound(&p->t, false));
    }
    rank_tree_settle(&p->t);
    CU_ASSERT(rank_tree_is_sound(&p->t, true));
}

static void follows_the_model(void)
{
    struct play *p = malloc(sizeof(*p));

    begin(p);
    for (int i = 0; i < 1200; i++) {
        section(p, i % 10 == 0 ? STEPS_MAX : 8,
                rand_below(&p->r, 4) == 0 ? 1 + (int)rand_below(&p->r, 5) : 0);
        compare(p);
    }
    finish(p);
    free(p);
}

/* All go, in no order, and the nodes go with them; then they come again and it is undone. */
static void shrinks_and_grows(void)
{
    struct play *p = malloc(sizeof(*p));

    begin(p);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < NAMES; i++) {
            int k = round == 1 ? NAMES - 1 - i : (i * 1999) % NAMES;

            CU_ASSERT_EQUAL_FATAL(rank_tree_insert(&p->t, k, p->member[k]), OK);
        }
        CU_ASSERT(rank_tree_is_sound(&p->t, false));
        CU_ASSERT(p->t.height >= 1);
        for (int i = 0; i < NAMES; i++) {
            int k = (i * 1009) % NAMES;

            rank_tree_remove(&p->t, k, p->member[k]);
            if (round != 2 && i % 7 == 0) {
                rank_tree_settle(&p->t);
            }
        }
        CU_ASSERT_EQUAL(p->t.count, 0);
        rank_tree_settle(&p->t);
        CU_ASSERT(rank_tree_is_sound(&p->t, true));
        CU_ASSERT_EQUAL(p->t.leaves, 1);
        CU_ASSERT_EQUAL(p->t.inners, 0);
    }
    finish(p);
    free(p);
}

/* Who comes in order, as a list of moments or a dump, fills the leaves. */
static void coming_in_order_fills_leaves(void)
{
    for (int down = 0; down < 2; down++) {
        struct play *p = malloc(sizeof(*p));

        begin(p);
        for (int i = 0; i < NAMES; i++) {
            int k = down ? NAMES - 1 - i : i;

            CU_ASSERT_EQUAL_FATAL(rank_tree_insert(&p->t, k, p->member[k]), OK);
        }
        CU_ASSERT_EQUAL(p->t.leaves, (NAMES + RANK_LEAF_MAX - 1) / RANK_LEAF_MAX);
        CU_ASSERT(rank_tree_is_sound(&p->t, true));
        finish(p);
        free(p);
    }
}

const struct unit_test test_rank_tree[] = {
    UNIT(follows_the_model),
    UNIT(shrinks_and_grows),
    UNIT(coming_in_order_fills_leaves),
    UNIT_END,
};
