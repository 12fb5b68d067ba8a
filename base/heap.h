/* heap.h - an intrusive binary heap, least first. Growing it may fail; the rest may not. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include "base/annot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t rank;   /* what it is ordered by */
    uint32_t index; /* private: 0 when in no heap, else place + 1 */
};

struct heap {
    struct heap_node **nodes; /* owned; the nodes are their users' */
    uint32_t count, cap;
};

void heap_init(struct heap *h);
void heap_fini(struct heap *h);
/* Sets the rank, adding the node if it is in no heap. ERR_NOMEM leaves things as they were. */
MUST_CHECK int heap_put(struct heap *h, struct heap_node *n, int64_t rank);
void heap_remove(struct heap *h, struct heap_node *n); /* nothing if it is in none */
static inline struct heap_node *heap_least(const struct heap *h)
{
    return h->count == 0 ? NULL : h->nodes[0];
}

#endif
