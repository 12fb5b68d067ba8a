/* rank_tree_node.h - what the halves of the tree do to its nodes: rank_tree.c divides, rank_tree_settle.c
 * merges. */
#ifndef NODE_RANK_TREE_NODE_H
#define NODE_RANK_TREE_NODE_H

#include "node/rank_tree.h"

#include <assert.h>

/* With fewer it is looked at when the tree is settled. */
enum { RANK_LEAF_SPARSE = RANK_LEAF_MAX / 4 };

/* The levels count from the leaves, which are 0. */
static inline struct rank_inner **parent_of(void *node, unsigned level)
{
    return level == 0 ? &((struct rank_leaf *)node)->parent : &((struct rank_inner *)node)->parent;
}

static inline unsigned index_in(const struct rank_inner *parent, const void *child)
{
    unsigned i = 0;

    while (parent->child[i] != child) {
        i++;
        assert(i < parent->count);
    }
    return i;
}

static inline uint32_t sum_below(const struct rank_inner *n, unsigned children)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < children; i++) {
        sum += n->below[i];
    }
    return sum;
}

static inline void mark_stale(struct rank_tree *t, struct rank_inner *n)
{
    if (list_is_empty(&n->stale)) {
        list_push(&t->stale, &n->stale);
    }
}

void rank_leaf_free(struct rank_tree *t, struct rank_leaf *l);
void rank_inner_free(struct rank_tree *t, struct rank_inner *n);
/* The child's region becomes its left neighbour's, or, of the first, the next one's. */
void rank_inner_delete(struct rank_inner *n, unsigned at);
/* Children from[at..] go behind those of to; `level` is that of the children. */
void rank_inner_give(struct rank_inner *from, unsigned at, struct rank_inner *to, unsigned level);

#endif
