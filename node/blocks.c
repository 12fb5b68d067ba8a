/* blocks.c - trees of blocks, and who owns each part of one.
 *
 *     entry ──► root ──► node ──► block        height 1: children are blocks. A child that is NULL
 *                 └────► ...                   stands for zeros, at any height.
 *
 * A change copies the nodes on the paths to what it replaces. Counting each of a copy's 64 children
 * would touch 64 lines a node, so a copy of a node that nobody else holds takes its children over
 * instead: the old node notes them as lent, and when it dies they stay.
 *
 * Invariants (tests/unit/node/test_blocks.c has one test each)
 *  B1  What readers see of a node or block (height, children, bytes) never changes once published.
 *      All else of it is the writer's, under the partition's lock.
 *  B2  A count is held by: the entry (or log, or walk) that points to a root; a node, on each child
 *      that it has not lent. Nothing else. So a child dies with its last owner.
 *  B3  Of a child that a change keeps there is one owner more after it (the old node was shared), or
 *      the owner moved (it was not). A node is shared if it, or one above it on the path, has more
 *      than one count.
 *  B4  A count is raised only by who holds one that cannot go meanwhile, in practice under the lock
 *      of the partition that the entry is in; so a count of 1 that the lock's holder reads stays 1.
 *      A root that will be counted later in the same section is pinned: treated as if shared.
 *  B5  Counts of what was ever published are dropped after a grace period only.
 *  B6  Until blocks_put() has all its memory, the new nodes are the borrowers (lent is on their side)
 *      and freeing them frees what is new. Then the sides are exchanged, which cannot fail;
 *      blocks_unput() exchanges them back.
 *  B7  A node is lent from at most once between its publication and its death.
 *  B8  bytes is the sum over the whole subtree, shared or not, fixed when the node is made.
 */
#include "node/blocks.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <stdatomic.h>

enum {
    FAN = 64,
    HEIGHT_MAX = 4 /* 64 GiB */
};

/* A height-0 child. `cap` bytes are there; what the string has beyond them in this block is zeros. */
struct block {
    _Atomic uint32_t count;
    uint32_t cap;
    char bytes[];
};

struct blocks {
    _Atomic uint32_t count;
    uint8_t height;
    bool pinned;         /* lends nothing */
    bool dying;          /* the last count is gone, freeing has begun */
    uint8_t next;        /* … and has come to this child */
    bool child_dying;    /* … whose last count is gone too */
    uint64_t lent;       /* children that belong to another node */
    uint64_t fresh;      /* children made together with this node; meaningless once published */
    struct blocks *from; /* the node whose children it took over; dangles once published */
    size_t bytes;
    void *child[FAN]; /* struct block at height 1, else struct blocks */
};

/* The range being written, in bytes of the string. */
struct range {
    uint64_t start, end;
    const char *bytes;
    size_t replaced_bytes; /* of what was copied and nobody else holds */
};

static const char zeros[BLOCK_BYTES];

/* Length of a string that a child of a node of this height holds. */
static inline uint64_t child_span(unsigned height)
{
    return (uint64_t)BLOCK_BYTES << (6 * (height - 1));
}

static inline uint64_t span(unsigned height)
{
    return child_span(height) * FAN;
}

uint64_t blocks_len_max(void)
{
    return span(HEIGHT_MAX);
}

static size_t block_bytes(const struct block *b)
{
    return mem_size(sizeof(*b) + b->cap);
}

static size_t child_bytes(const void *child, unsigned height)
{
    if (child == NULL) {
        return 0;
    }
    return height == 1 ? block_bytes(child) : ((const struct blocks *)child)->bytes;
}

struct slice blocks_chunk(const struct tree_ref *t, uint64_t at)
{
    assert(at < t->len);
    uint64_t index = at / BLOCK_BYTES;
    size_t in = at % BLOCK_BYTES;
    size_t left = BLOCK_BYTES - in < t->len - at ? BLOCK_BYTES - in : (size_t)(t->len - at);
    const struct blocks *n = t->root;
    const struct block *b = NULL;

    if (n != NULL && index >> (6 * n->height) == 0) {
        for (unsigned h = n->height; n != NULL && h > 1; h--) {
            n = n->child[(index >> (6 * (h - 1))) % FAN];
        }
        b = n == NULL ? NULL : n->child[index % FAN];
    }
    if (b == NULL || in >= b->cap) {
        return (struct slice){zeros, left};
    }
    return (struct slice){b->bytes + in, left < b->cap - in ? left : b->cap - in};
}

static bool drop(_Atomic uint32_t *count)
{
    /* Release: what this owner did comes before the freeing; acquire: so does what the others did. */
    uint32_t n = atomic_fetch_sub_explicit(count, 1, memory_order_acq_rel);

    assert(n > 0);
    return n == 1;
}

static void get_child(void *child, unsigned height)
{
    _Atomic uint32_t *count =
        height == 1 ? &((struct block *)child)->count : &((struct blocks *)child)->count;

    /* Relaxed: who raises it holds one (B4). */
    uint32_t n = atomic_fetch_add_explicit(count, 1, memory_order_relaxed);

    assert(n > 0);
    assert(n < UINT32_MAX);
}

void blocks_get(struct blocks *root)
{
    get_child(root, root->height + 1u);
}

/* Frees of a node whose last count is gone; true when the node itself is gone. */
static bool free_node(struct blocks *n, size_t *budget)
{
    for (; n->next < FAN; n->next++) {
        void *child = n->child[n->next];

        if (child == NULL || (n->lent >> n->next & 1) != 0) {
            continue;
        }
        if (*budget == 0) {
            return false;
        }
        if (n->height == 1) {
            struct block *b = child;

            --*budget;
            if (drop(&b->count)) {
                mem_free(b, sizeof(*b) + b->cap);
            }
            continue;
        }
        /* At most HEIGHT_MAX deep. */
        if (n->child_dying || drop(&((struct blocks *)child)->count)) {
            n->child_dying = true;
            if (!free_node(child, budget)) {
                return false;
            }
            n->child_dying = false;
        } else {
            --*budget;
        }
    }
    if (*budget == 0) {
        return false;
    }
    --*budget;
    mem_free(n, sizeof(*n));
    return true;
}

bool blocks_free(void *root, size_t *budget)
{
    struct blocks *n = root;

    if (n == NULL) {
        return true;
    }
    if (!n->dying) {
        if (!drop(&n->count)) {
            return true;
        }
        n->dying = true;
    }
    return free_node(n, budget);
}

/* Of one never published, all at once. */
static void free_whole(struct blocks *n)
{
    size_t budget = SIZE_MAX;
    bool all = blocks_free(n, &budget);

    assert(all);
}

static struct block *put_block(struct range *r, const struct block *old, uint64_t base)
{
    size_t start = r->start > base ? (size_t)(r->start - base) : 0;
    size_t end = r->end - base < BLOCK_BYTES ? (size_t)(r->end - base) : BLOCK_BYTES;
    size_t had = old == NULL ? 0 : old->cap;
    size_t cap = had > end ? had : end;
    struct block *b = mem_alloc(sizeof(*b) + cap);

    if (b == NULL) {
        return NULL;
    }
    atomic_init(&b->count, 1);
    b->cap = (uint32_t)cap;
    if (had < start) {
        memcpy(b->bytes, old == NULL ? zeros : old->bytes, had);
        memset(b->bytes + had, 0, start - had);
    } else if (start > 0) {
        memcpy(b->bytes, old->bytes, start);
    }
    memcpy(b->bytes + start, r->bytes + (base + start - r->start), end - start);
    if (had > end) {
        memcpy(b->bytes + end, old->bytes + end, had - end);
    }
    return b;
}

static uint64_t bits(unsigned first, unsigned last)
{
    return (UINT64_MAX << first) & (UINT64_MAX >> (FAN - 1 - last));
}

/* The children of a node at `base` that the range touches; 0: none. */
static uint64_t touched(const struct range *r, uint64_t base, unsigned height)
{
    uint64_t child = child_span(height);

    if (r->start >= base + span(height) || r->end <= base) {
        return 0;
    }
    uint64_t first = r->start > base ? (r->start - base) / child : 0;
    uint64_t last = (r->end - 1 - base) / child;

    return bits((unsigned)first, last < FAN ? (unsigned)last : FAN - 1);
}

/* The children that stay: borrowed until the sides are exchanged, or with a count of ours (B3). */
static void keep_children(struct blocks *n, struct blocks *old, uint64_t stay, bool shared)
{
    for (unsigned i = 0; i < FAN; i++) {
        void *child = old->child[i];

        if ((stay >> i & 1) == 0 || child == NULL) {
            continue;
        }
        n->child[i] = child;
        if (shared) {
            get_child(child, n->height);
        } else {
            n->lent |= (uint64_t)1 << i;
        }
    }
    if (!shared) {
        assert(old->lent == 0); /* B7 */
        n->from = old;
    }
}

static bool is_shared(const struct blocks *n)
{
    /* Acquire: pairs with the release in drop(), so that who let go of it is done with it. */
    return n->pinned || atomic_load_explicit(&n->count, memory_order_acquire) > 1;
}

/* A node of this height from `base` on: `old` with the range written over it. An old root may be
 * lower, and is then the first child, or in it. */
static struct blocks *put_node(struct range *r, struct blocks *old, unsigned height, uint64_t base,
                               bool shared)
{
    struct blocks *n = mem_zalloc(sizeof(*n));
    uint64_t over = touched(r, base, height);

    if (n == NULL) {
        return NULL;
    }
    atomic_init(&n->count, 1);
    n->height = (uint8_t)height;
    n->bytes = mem_size(sizeof(*n));
    bool lower = old != NULL && old->height < height;
    void *const *old_child = old == NULL || lower ? n->child : old->child;

    if (old != NULL && !lower) {
        shared = shared || is_shared(old);
        r->replaced_bytes += shared ? 0 : mem_size(sizeof(*n));
        n->bytes = old->bytes;
        keep_children(n, old, ~over, shared);
    } else if (lower && old->height == height - 1u && (over & 1) == 0) {
        n->child[0] = old;
        n->bytes += old->bytes;
        blocks_get(old); /* the entry's own count goes with the entry */
    } else if (lower) {
        over |= 1;
    }
    for (; over != 0; over &= over - 1) {
        unsigned i = (unsigned)__builtin_ctzl(over);
        void *was = old_child[i];
        uint64_t at = base + i * child_span(height);
        if (height == 1 && was != NULL && !shared) {
            r->replaced_bytes += block_bytes(was);
        }
        void *child = height == 1
                          ? (void *)put_block(r, was, at)
                          : put_node(r, lower && i == 0 ? old : was, height - 1, at, shared);

        if (child == NULL) {
            free_whole(n);
            return NULL;
        }
        n->child[i] = child;
        n->fresh |= (uint64_t)1 << i;
        n->bytes += child_bytes(child, height) - child_bytes(was, height);
    }
    return n;
}

/* Between new nodes and those they were copied from (B6). At most HEIGHT_MAX deep. */
static void exchange_lent(struct blocks *n)
{
    if (n->from != NULL) {
        uint64_t lent = n->lent;

        n->lent = n->from->lent;
        n->from->lent = lent;
    }
    if (n->height > 1) {
        for (uint64_t fresh = n->fresh; fresh != 0; fresh &= fresh - 1) {
            exchange_lent(n->child[__builtin_ctzl(fresh)]);
        }
    }
}

int blocks_put(const struct tree_ref *old, uint64_t offset, struct slice bytes,
               struct tree_ref *out, size_t *replaced_bytes)
{
    struct range r = {offset, offset + bytes.len, bytes.ptr, 0};
    unsigned height = old->root == NULL ? 1 : old->root->height;

    assert(bytes.len > 0);
    assert(bytes.len <= blocks_len_max());
    assert(offset <= blocks_len_max() - bytes.len);
    while (span(height) < r.end) {
        height++;
    }
    struct blocks *root = put_node(&r, old->root, height, 0, false);

    if (root == NULL) {
        return ERR_NOMEM;
    }
    exchange_lent(root);
    *replaced_bytes = r.replaced_bytes;
    *out = (struct tree_ref){root, r.end > old->len ? r.end : old->len};
    return OK;
}

void blocks_unput(struct blocks *root)
{
    exchange_lent(root);
}

/* At most HEIGHT_MAX deep. */
void blocks_settle(struct blocks *root)
{
    root->from = NULL;
    if (root->height > 1) {
        for (uint64_t fresh = root->fresh; fresh != 0; fresh &= fresh - 1) {
            blocks_settle(root->child[__builtin_ctzl(fresh)]);
        }
    }
}

void blocks_pin(struct blocks *root)
{
    root->pinned = true;
}

size_t blocks_bytes(const struct blocks *root)
{
    return root == NULL ? 0 : root->bytes;
}
