/* vlist_large.h - the large form of a list: chunks of packed elements in a counted tree, changed in place.
 *
 * Pushing and popping at an end write to, or move a border of, the chunk there, and cost no more for a
 * longer list. Everything else replaces the chunks that it touches by new ones (vlist_large_splice()).
 * Finding an element by number is O(log n), and whole ranges of chunks leave in O(log n) steps.
 *
 * Locks  node/large.h's.
 * Undo   a moved border is put back: the bytes beyond it stay untouched until the section has ended.
 *        Chunks that were taken out are kept whole, and put back in the place of what replaced them.
 */
#ifndef NODE_VLIST_LARGE_H
#define NODE_VLIST_LARGE_H

#include "node/large.h"
#include "node/section.h"
#include "node/vlist_chunk.h"

#include <assert.h>

struct vlist_large {
    struct large large; /* first */
    struct vlist_chunk *root, *head, *tail;
    uint32_t chance;      /* for the chunks' priorities */
    uint32_t number;      /* node/type_list.h */
    uint32_t number_kept; /* to which giving up goes back */
    _Atomic bool is_long; /* what Redis would keep as a quicklist; for who holds no lock */
};

enum vlist_end { LIST_HEAD, LIST_TAIL };

static inline struct vlist_large *vlist_large_of(const struct entry *e)
{
    return e->encoding == ENC_LARGE ? entry_pointer(e) : NULL;
}

static inline size_t vlist_large_count(const struct vlist_large *l)
{
    return l->root == NULL ? 0 : l->root->sum_count;
}

/* vlist_tree_find(); at the ends, where most look, without the tree. */
static inline struct vlist_chunk *vlist_large_find(const struct vlist_large *l, size_t *index)
{
    size_t before = l->root->sum_count - l->tail->count;

    if (*index < l->head->count) {
        return l->head;
    }
    if (*index >= before) {
        assert(*index < l->root->sum_count);
        *index -= before;
        return l->tail;
    }
    return vlist_tree_find(l->root, index);
}

/* Whether a list of so many elements and bytes is beyond list-max-listpack-size (a share of it). */
bool vlist_is_long(size_t count, size_t bytes, unsigned share);

/* An empty one that the section makes: freed if it is given up. NULL: the section has failed. */
struct vlist_large *vlist_large_create(struct section *s);
/* Frees a slice (rcu_free_fn); also one that was never published. */
bool vlist_large_free(void *object, size_t *budget);
/* A copy under no section. NULL: no memory. */
struct vlist_large *vlist_large_copy(const struct vlist_large *from);

/* By a section that holds it: it is given up with the section's changes. */
void vlist_large_number(struct vlist_large *l, uint32_t number);

/* Writing, by a section that holds it (large_hold()). ERR_NOMEM: the section has failed. The values do not
 * point into the list. */
int vlist_large_push(struct section *s, struct vlist_large *l, enum vlist_end end,
                     const struct slice *v, size_t n);
/* n ≤ count. */
int vlist_large_pop(struct section *s, struct vlist_large *l, enum vlist_end end, size_t n);

/* `remove` elements from `from` on give way to n values. Not for a push: from is below the count. */
struct vlist_splice {
    size_t from, remove;
    const struct slice *v;
    size_t n;
};
int vlist_large_splice(struct section *s, struct vlist_large *l, const struct vlist_splice *p);

#endif
