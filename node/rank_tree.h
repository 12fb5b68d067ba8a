/* rank_tree.h - members of a sorted set in the order of (score, member): a counted B+tree.
 *
 * A leaf holds scores and members, an inner node its children with how many members are under each, so
 * that place to member, member to place and score to place are a descent each. A separator is a score
 * and a member that was the first of its child when it was noted; it stays a lower bound of the child,
 * and an upper one of what stands before, whatever is removed.
 *
 * Undo   between two rank_tree_settle()s nodes only divide: none is merged or freed, and no separator
 *        changes. So what was one leaf's region when a member was removed from it, or moved within it,
 *        holds, once everything later is undone, fewer members than one leaf can, however it was divided
 *        meanwhile: putting the member back finds room, and needs no memory (rank_tree_restore()).
 * Lent   separators borrow members, so a member that was removed must live until rank_tree_settle(), which
 *        replaces the separators that name removed members, and merges nodes that removals left sparse.
 */
#ifndef NODE_RANK_TREE_H
#define NODE_RANK_TREE_H

#include "base/annot.h"
#include "base/list.h"
#include "base/slice.h"

struct entry;

/* With their heads each node is 1 KiB, a size class: of 4 KiB and more moving half a leaf at each insertion
 * costs more than the level that is saved. */
enum { RANK_LEAF_MAX = 61, RANK_INNER_MAX = 34, RANK_HEIGHT_MAX = 12 };

struct rank_inner;

struct rank_leaf {
    struct rank_inner *parent;
    struct rank_leaf *next, *prev;
    struct rank_leaf *next_sparse; /* of those that rank_tree_settle() looks at */
    uint16_t count;
    bool is_sparse;
    double score[RANK_LEAF_MAX];
    struct entry *member[RANK_LEAF_MAX];
};

struct rank_inner {
    struct rank_inner *parent;
    struct list
        stale; /* of those that name removed members; a node of its own when not among them */
    uint16_t count;
    double score[RANK_INNER_MAX]; /* separators: [0] is not used */
    const struct entry *member[RANK_INNER_MAX];
    void *child[RANK_INNER_MAX];    /* rank_leaf, or rank_inner further up */
    uint32_t below[RANK_INNER_MAX]; /* members under each child */
};

struct rank_tree {
    void *root; /* a leaf when height is 0; NULL: empty, and no node was ever made */
    unsigned height;
    uint32_t count;
    uint32_t leaves, inners; /* nodes */
    struct rank_leaf *first, *last;
    struct rank_leaf *sparse;
    struct list stale;
};

/* A member's place. */
struct rank_spot {
    const struct rank_leaf *leaf; /* NULL: past either end */
    unsigned at;
};

void rank_tree_init(struct rank_tree *t);
size_t rank_tree_bytes(const struct rank_tree *t);
/* Frees a slice of the nodes, not the members; true when all are gone. */
bool rank_tree_free(struct rank_tree *t, size_t *budget);

/* Puts a member that is not there. ERR_NOMEM, also beyond 2^32 - 1 members: nothing was changed. */
MUST_CHECK int rank_tree_insert(struct rank_tree *t, double score, struct entry *member);
/* One that is there. */
void rank_tree_remove(struct rank_tree *t, double score, struct entry *member);
/* Another score for one that is there. ERR_NOMEM: nothing was changed. */
MUST_CHECK int rank_tree_move(struct rank_tree *t, double from, double to, struct entry *member);
/* Undoing: what was removed, or moved, since the last settling, last first. */
void rank_tree_restore(struct rank_tree *t, double score, struct entry *member);
void rank_tree_move_back(struct rank_tree *t, double from, double to, struct entry *member);
void rank_tree_settle(struct rank_tree *t);

/* How many stand before it. */
uint32_t rank_tree_rank(const struct rank_tree *t, double score, const struct entry *member);
/* The one before which `rank` stand, if there are more. */
struct rank_spot rank_tree_at(const struct rank_tree *t, uint32_t rank);
static inline double rank_spot_score(struct rank_spot s)
{
    return s.leaf->score[s.at];
}
static inline struct entry *rank_spot_member(struct rank_spot s)
{
    return s.leaf->member[s.at];
}
void rank_spot_next_leaf(struct rank_spot *s);
static inline void rank_spot_next(struct rank_spot *s)
{
    if (++s->at >= s->leaf->count) {
        rank_spot_next_leaf(s);
    }
}
void rank_spot_prev(struct rank_spot *s);

/* Where a range begins or ends. */
struct rank_bound {
    bool by_member; /* else by score; meaningful when all scores are the same */
    bool after;     /* what equals it stands before the bound */
    double score;
    struct slice member;
};
/* Whether one of this score and name stands before it. */
static inline bool rank_is_before(double score, struct slice name, const struct rank_bound *b)
{
    if (b->by_member) {
        int c = slice_order(name, b->member);

        return c < 0 || (c == 0 && b->after);
    }
    return score < b->score || (score == b->score && b->after);
}
/* How many stand before it. */
uint32_t rank_tree_before(const struct rank_tree *t, const struct rank_bound *b);

/* Whether the tree is as it should be, for tests: order, counts, links, separators. */
bool rank_tree_is_sound(const struct rank_tree *t, bool is_settled);

#endif
