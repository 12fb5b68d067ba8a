#include "base/heap.h"

#include "base/err.h"
#include "base/mem.h"

#include <stddef.h>

void heap_init(struct heap *h)
{
    *h = (struct heap){NULL, 0, 0};
}

void heap_fini(struct heap *h)
{
    mem_free(h->nodes, h->cap * sizeof(h->nodes[0]));
    heap_init(h);
}

static void place(struct heap *h, struct heap_node *n, uint32_t at)
{
    h->nodes[at] = n;
    n->index = at + 1;
}

static void sift_up(struct heap *h, struct heap_node *n, uint32_t at)
{
    while (at > 0 && h->nodes[(at - 1) / 2]->rank > n->rank) {
        place(h, h->nodes[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    place(h, n, at);
}

static void sift_down(struct heap *h, struct heap_node *n, uint32_t at)
{
    for (;;) {
        uint32_t child = at * 2 + 1;

        if (child >= h->count) {
            break;
        }
        if (child + 1 < h->count && h->nodes[child + 1]->rank < h->nodes[child]->rank) {
            child++;
        }
        if (h->nodes[child]->rank >= n->rank) {
            break;
        }
        place(h, h->nodes[child], at);
        at = child;
    }
    place(h, n, at);
}

static int grow(struct heap *h)
{
    uint32_t cap = h->cap == 0 ? 64 : h->cap * 2;
    struct heap_node **nodes =
        mem_realloc(h->nodes, h->cap * sizeof(nodes[0]), cap * sizeof(nodes[0]));

    if (nodes == NULL) {
        return ERR_NOMEM;
    }
    h->nodes = nodes;
    h->cap = cap;
    return OK;
}

int heap_put(struct heap *h, struct heap_node *n, int64_t rank)
{
    if (n->index == 0) {
        if (h->count == h->cap && grow(h) != OK) {
            return ERR_NOMEM;
        }
        n->rank = rank;
        sift_up(h, n, h->count++);
        return OK;
    }
    bool rises = rank > n->rank;

    n->rank = rank;
    if (rises) {
        sift_down(h, n, n->index - 1);
    } else {
        sift_up(h, n, n->index - 1);
    }
    return OK;
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    if (n->index == 0) {
        return;
    }
    uint32_t at = n->index - 1;
    struct heap_node *last = h->nodes[--h->count];

    n->index = 0;
    if (last != n) {
        if (at > 0 && h->nodes[(at - 1) / 2]->rank > last->rank) {
            sift_up(h, last, at);
        } else {
            sift_down(h, last, at);
        }
    }
}
