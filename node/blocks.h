/* blocks.h - long strings as a shallow tree of immutable blocks, read without a lock.
 *
 * Fan-out 64; a block and its header take 4 KiB. What is absent from the tree is zeros, so that a gap
 * takes no memory. Changing a range makes new blocks for it and a new path to each: a change of a few
 * bytes costs the same whatever the length.
 *
 * Ownership  a root has a count, 1 when it is made: the entry's. blocks_free() gives one back, which
 *            frees it when it was the last. See the invariants in blocks.c.
 * Threads    reading: registered ones. Changing, and taking a count: under the lock of the partition
 *            whose entry holds the root. Giving one back: anybody, after a grace period.
 * Failure    NULL or ERR_NOMEM, with everything as it was.
 */
#ifndef NODE_BLOCKS_H
#define NODE_BLOCKS_H

#include "base/annot.h"
#include "base/slice.h"

enum { BLOCK_BYTES = 4088 }; /* with its header 4 KiB, which is a size class */

struct blocks;

/* The payload of an ENC_TREE entry. */
struct tree_ref {
    struct blocks *root; /* NULL: `len` zeros */
    uint64_t len;
};

/* The bytes from `at` on that lie together: never empty, at < len. */
struct slice blocks_chunk(const struct tree_ref *t, uint64_t at);

/* Longest string that a tree can be. */
uint64_t blocks_len_max(void);

/* out is `old` with `bytes` written over it from `offset` on, zeros before that if it was
 * shorter; `old` may be {NULL, 0}. Takes over what is left of an old root that nobody else
 * holds: *out is complete without it, and freeing it then frees what was replaced only,
 * *replaced_bytes by size class. Both stay readable. */
MUST_CHECK int blocks_put(const struct tree_ref *old, uint64_t offset, struct slice bytes,
                          struct tree_ref *out, size_t *replaced_bytes);
/* Gives what was taken over back to the old root. Last first, if several were put one on another. */
void blocks_unput(struct blocks *root);
/* It will not be taken back, so the old root may be freed at once. */
void blocks_settle(struct blocks *root);
/* Nothing is taken over from this root any more: somebody will take a count of it later. */
void blocks_pin(struct blocks *root);

void blocks_get(struct blocks *root);
/* An rcu_free_fn. */
bool blocks_free(void *root, size_t *budget);

/* What all of it takes, by size class, shared or not. The same as long as it lives. */
size_t blocks_bytes(const struct blocks *root);
#endif
