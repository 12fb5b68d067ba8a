/* rank_tree_settle.c - merges nodes that removals left sparse, and renews separators that name removed
 * members; also judges a tree, for tests. */
#include "base/buf.h"
#include "base/mem.h"
#include "node/entry.h"
#include "node/rank_tree.h"
#include "node/rank_tree_node.h"
#include "node/slices.h"

#include <assert.h>

enum {
    INNER_SPARSE = RANK_INNER_MAX / 4,
    /* Merged nodes keep room, so that the next insertion does not divide them again. */
    LEAF_MERGED = RANK_LEAF_MAX * 7 / 8,
    INNER_MERGED = RANK_INNER_MAX * 7 / 8
};

/* ---- Settling: merging, and separators that name who is there ---- */

static void unlink_leaf(struct rank_tree *t, struct rank_leaf *l)
{
    *(l->prev != NULL ? &l->prev->next : &t->first) = l->next;
    *(l->next != NULL ? &l->next->prev : &t->last) = l->prev;
}

/* What the leaf holds goes to a sibling, before or behind what that has. */
static void leaf_pour(struct rank_leaf *from, struct rank_leaf *to, bool before)
{
    unsigned n = from->count;

    if (before) {
        buf_move(to->score + n, to->score, to->count * sizeof(to->score[0]));
        buf_move(to->member + n, to->member, to->count * sizeof(to->member[0]));
    }
    memcpy(to->score + (before ? 0 : to->count), from->score, n * sizeof(to->score[0]));
    memcpy(to->member + (before ? 0 : to->count), from->member, n * sizeof(to->member[0]));
    to->count = (uint16_t)(to->count + n);
}

/* Child `at` of n went into the next one, whose region now begins where child at's did. */
static void drop_into_next(struct rank_inner *n, unsigned at)
{
    double score = n->score[at];
    const struct entry *member = n->member[at];
    uint32_t below = n->below[at];

    rank_inner_delete(n, at);
    n->score[at] = score;
    n->member[at] = member;
    n->below[at] += below;
}

/* Merges an inner node that became sparse with a sibling; returns its parent, where a child went, or
 * NULL: nothing more to do. */
static struct rank_inner *merge_inner(struct rank_tree *t, struct rank_inner *n, unsigned level)
{
    struct rank_inner *up = n->parent;

    if (up == NULL || n->count >= INNER_SPARSE) {
        return NULL;
    }
    unsigned at = index_in(up, n);

    if (n->count == 0) {
        rank_inner_delete(up, at);
        rank_inner_free(t, n);
        return up;
    }
    struct rank_inner *left = at > 0 ? up->child[at - 1] : n;
    struct rank_inner *right = at > 0 ? n : at + 1u < up->count ? up->child[at + 1] : NULL;
    unsigned right_at = at > 0 ? at : at + 1u;

    if (right == NULL || left->count + right->count > INNER_MERGED) {
        return NULL;
    }
    right->score[0] = up->score[right_at];
    right->member[0] = up->member[right_at];
    up->below[right_at - 1] += up->below[right_at];
    rank_inner_give(right, 0, left, level - 1);
    mark_stale(t, left); /* of the right one's, or of the parent's, some may have been */
    rank_inner_delete(up, right_at);
    rank_inner_free(t, right);
    return up;
}

/* A child of n went: so may n, and those above it. */
static void child_went(struct rank_tree *t, struct rank_inner *n)
{
    unsigned level = 1;

    for (; n != NULL; level++) {
        n = merge_inner(t, n, level);
    }
    while (t->height > 0 && ((struct rank_inner *)t->root)->count <= 1) {
        struct rank_inner *root = t->root;

        assert(root->count == 1);
        t->root = root->child[0];
        t->height--;
        *parent_of(t->root, t->height) = NULL;
        rank_inner_free(t, root);
    }
}

static void merge_leaf(struct rank_tree *t, struct rank_leaf *l)
{
    struct rank_inner *up = l->parent;

    if (up == NULL || l->count >= RANK_LEAF_SPARSE) {
        return;
    }
    unsigned at = index_in(up, l);
    struct rank_leaf *left = at > 0 ? up->child[at - 1] : NULL;
    struct rank_leaf *right = at + 1u < up->count ? up->child[at + 1] : NULL;

    if (left != NULL && left->count + l->count <= LEAF_MERGED) {
        leaf_pour(l, left, false);
        up->below[at - 1] += up->below[at];
        rank_inner_delete(up, at);
    } else if (right != NULL && right->count + l->count <= LEAF_MERGED) {
        leaf_pour(l, right, true);
        drop_into_next(up, at);
    } else if (l->count == 0) { /* beside full ones, or alone under its node */
        rank_inner_delete(up, at);
    } else {
        return;
    }
    unlink_leaf(t, l);
    rank_leaf_free(t, l);
    child_went(t, up);
}

static unsigned level_of(const struct rank_tree *t, const struct rank_inner *n)
{
    unsigned level = t->height;

    for (; n->parent != NULL; n = n->parent) {
        level--;
    }
    return level;
}

static void renew_separators(const struct rank_tree *t, struct rank_inner *n)
{
    unsigned level = level_of(t, n);

    for (unsigned i = 1; i < n->count; i++) {
        const void *node = n->child[i];

        for (unsigned k = level - 1; k > 0; k--) {
            node = ((const struct rank_inner *)node)->child[0];
        }
        const struct rank_leaf *l = node;

        assert(l->count > 0);
        n->score[i] = l->score[0];
        n->member[i] = l->member[0];
    }
}

void rank_tree_settle(struct rank_tree *t)
{
    struct list *at;

    while (t->sparse != NULL) {
        struct rank_leaf *l = t->sparse;

        t->sparse = l->next_sparse;
        l->is_sparse = false;
        merge_leaf(t, l);
    }
    while ((at = list_pop(&t->stale)) != NULL) {
        (void)slices_tick(4);
        renew_separators(t, LIST_ITEM(at, struct rank_inner, stale));
    }
}

/* ---- For tests ---- */

static bool leaf_is_sound(const struct rank_tree *t, const struct rank_leaf *l, bool is_settled)
{
    for (unsigned i = 1; i < l->count; i++) {
        if (l->score[i - 1] > l->score[i] ||
            (l->score[i - 1] == l->score[i] &&
             slice_order(entry_key(l->member[i - 1]), entry_key(l->member[i])) >= 0)) {
            return false;
        }
    }
    return !is_settled || l->count > 0 || t->height == 0;
}

static bool key_is_before(double a, const struct entry *m, double b, const struct entry *n)
{
    return a < b || (a == b && slice_order(entry_key(m), entry_key(n)) < 0);
}

/* Counts, parents, and what the separators say of the leaves on either side. */
static bool inner_is_sound(const struct rank_inner *n, unsigned level)
{
    for (unsigned i = 0; i < n->count; i++) {
        const void *node = n->child[i];
        uint32_t below = level == 1 ? ((const struct rank_leaf *)node)->count
                                    : sum_below(node, ((const struct rank_inner *)node)->count);

        if (below != n->below[i] || *parent_of(n->child[i], level - 1) != n) {
            return false;
        }
        for (unsigned k = level - 1; k > 0; k--) {
            node = ((const struct rank_inner *)node)->child[0];
        }
        const struct rank_leaf *l = node;

        if (i > 0 && l->count > 0 &&
            key_is_before(l->score[0], l->member[0], n->score[i], n->member[i])) {
            return false;
        }
        if (i > 0 && l->prev != NULL && l->prev->count > 0 &&
            !key_is_before(l->prev->score[l->prev->count - 1u],
                           l->prev->member[l->prev->count - 1u], n->score[i], n->member[i])) {
            return false;
        }
    }
    return n->count > 0;
}

bool rank_tree_is_sound(const struct rank_tree *t, bool is_settled)
{
    const void *level_first = t->root;
    uint32_t members = 0;
    uint32_t leaves = 0;

    for (const struct rank_leaf *l = t->first; l != NULL; l = l->next) {
        members += l->count;
        leaves++;
        if (!leaf_is_sound(t, l, is_settled) || (l->next == NULL ? t->last : l->next->prev) != l) {
            return false;
        }
        for (const struct rank_inner *n = l->parent; n != NULL; n = n->parent) {
            if (!inner_is_sound(n, level_of(t, n))) {
                return false;
            }
        }
    }
    for (unsigned k = t->height; k > 0; k--) {
        level_first = ((const struct rank_inner *)level_first)->child[0];
    }
    return members == t->count && leaves == t->leaves && level_first == t->first;
}
