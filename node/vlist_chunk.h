/* vlist_chunk.h - the chunks of a large list, and the tree that orders and counts them.
 *
 * A chunk holds packed elements (node/vlist_item.h) with room at one end or both, so that a push writes in
 * place and a pop moves a border. One whose elements would take more than a quarter of a chunk has a chunk
 * of its own, of just its size. What is pushed to a long list goes to long chunks: their heads are a smaller
 * part of them, and so is what the allocator keeps of each (base/mem.c; bench members: 0.9 bytes of 24 a member).
 * Changed in the middle, one becomes several of the usual size.
 *
 * The tree is a treap whose nodes are the chunks themselves, ordered by position: cutting it in two and
 * joining two are O(log n), and as they allocate nothing they cannot fail, which is what undoing asks for.
 * A NULL tree is empty.
 */
#ifndef NODE_VLIST_CHUNK_H
#define NODE_VLIST_CHUNK_H

#include "base/annot.h"
#include "base/slice.h"

struct vlist_chunk {
    struct vlist_chunk *left, *right, *parent;
    /* Of the tree below and including it: elements, bytes of elements, bytes by size class. */
    size_t sum_count, sum_live, sum_bytes;
    uint32_t room, begin, end; /* elements lie in bytes[begin, end) */
    uint32_t priority;         /* a parent's is no lower */
    uint16_t count;
    /* What a section may still have to bring back: [keep_begin, keep_end) is not written to. Of shared
     * chunks; outside a section equal to begin and end, or wider after a section that went back to a savepoint. */
    uint16_t keep_begin, keep_end;
    char bytes[];
};

enum {
    LIST_CHUNK_BYTES = 4096,
    LIST_LONG_BYTES = 14336,
    LIST_CHUNK_ROOM = LIST_CHUNK_BYTES - (int)offsetof(struct vlist_chunk, bytes),
    LIST_LONG_ROOM = LIST_LONG_BYTES - (int)offsetof(struct vlist_chunk, bytes),
    LIST_LONG_FROM = 64 << 10,            /* bytes of elements */
    LIST_SHARED_MAX = LIST_CHUNK_ROOM / 4 /* an element of more bytes has its own chunk */
};

/* Longest element that can be stored. */
#define LIST_ELEMENT_MAX ((size_t)UINT32_MAX - 64)

/* A tree of one empty chunk; begin and end are to be set. NULL: no memory. */
MUST_CHECK struct vlist_chunk *vlist_chunk_create(size_t room, uint32_t priority);
/* Frees a slice of a tree, its root last (rcu_free_fn). */
bool vlist_tree_free(void *root, size_t *budget);
void vlist_tree_free_now(struct vlist_chunk *root);

static inline bool vlist_chunk_is_shared(const struct vlist_chunk *c)
{
    return c->room == LIST_CHUNK_ROOM || c->room == LIST_LONG_ROOM;
}

static inline size_t vlist_chunk_live(const struct vlist_chunk *c)
{
    return c->end - c->begin;
}

/* After changes to one chunk's count, begin or end: sums up to the root are true again. */
void vlist_chunk_changed(struct vlist_chunk *c);

/* After changes to a chunk of a tree whose sums were true when it had so many elements and bytes. */
void vlist_chunk_moved(struct vlist_chunk *c, size_t count_was, size_t live_was);

struct vlist_chunk *vlist_tree_first(struct vlist_chunk *root);
struct vlist_chunk *vlist_tree_last(struct vlist_chunk *root);
struct vlist_chunk *vlist_chunk_next(struct vlist_chunk *c);
struct vlist_chunk *vlist_chunk_prev(struct vlist_chunk *c);
/* The chunk with element `index`, which is there; *index becomes its number within. */
struct vlist_chunk *vlist_tree_find(struct vlist_chunk *c, size_t *index);

/* All of a before all of b. */
struct vlist_chunk *vlist_tree_join(struct vlist_chunk *a, struct vlist_chunk *b);
/* Cuts c's tree before c. */
void vlist_tree_cut(struct vlist_chunk *c, struct vlist_chunk **before, struct vlist_chunk **from);

#endif
