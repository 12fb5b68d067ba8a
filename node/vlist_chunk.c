#include "node/vlist_chunk.h"

#include "base/mem.h"

#include <assert.h>

static size_t block_bytes(const struct vlist_chunk *c)
{
    return offsetof(struct vlist_chunk, bytes) + c->room;
}

struct vlist_chunk *vlist_chunk_create(size_t room, uint32_t priority)
{
    struct vlist_chunk *c = mem_alloc(offsetof(struct vlist_chunk, bytes) + room);

    if (c != NULL) {
        memset(c, 0, offsetof(struct vlist_chunk, bytes));
        c->room = (uint32_t)room;
        c->priority = priority;
        c->sum_bytes = mem_size(block_bytes(c));
    }
    return c;
}

bool vlist_tree_free(void *object, size_t *budget)
{
    struct vlist_chunk *root = object;
    struct vlist_chunk *c = root;

    for (; *budget > 0; (*budget)--) {
        while (c->left != NULL || c->right != NULL) {
            c = c->left != NULL ? c->left : c->right;
        }
        struct vlist_chunk *up = c->parent;

        if (c == root) {
            mem_free(c, block_bytes(c));
            return true;
        }
        *(up->left == c ? &up->left : &up->right) = NULL;
        mem_free(c, block_bytes(c));
        c = up;
    }
    return false;
}

void vlist_tree_free_now(struct vlist_chunk *root)
{
    size_t budget = SIZE_MAX;

    if (root != NULL) {
        (void)vlist_tree_free(root, &budget);
    }
}

/* ---- Sums ---- */

static void sum(struct vlist_chunk *c)
{
    const struct vlist_chunk *l = c->left;
    const struct vlist_chunk *r = c->right;

    c->sum_count = c->count + (l != NULL ? l->sum_count : 0) + (r != NULL ? r->sum_count : 0);
    c->sum_live =
        vlist_chunk_live(c) + (l != NULL ? l->sum_live : 0) + (r != NULL ? r->sum_live : 0);
    c->sum_bytes =
        mem_size(block_bytes(c)) + (l != NULL ? l->sum_bytes : 0) + (r != NULL ? r->sum_bytes : 0);
}

/* Differences up to the root, since the others' children need not be looked at; a fall wraps around, and back. */
static void add_from(struct vlist_chunk *c, size_t count, size_t live)
{
    for (; c != NULL; c = c->parent) {
        c->sum_count += count;
        c->sum_live += live;
    }
}

void vlist_chunk_changed(struct vlist_chunk *c)
{
    size_t count = c->sum_count;
    size_t live = c->sum_live;

    sum(c);
    add_from(c->parent, c->sum_count - count, c->sum_live - live);
}

void vlist_chunk_moved(struct vlist_chunk *c, size_t count_was, size_t live_was)
{
    add_from(c, c->count - count_was, vlist_chunk_live(c) - live_was);
}

/* ---- Walking ---- */

struct vlist_chunk *vlist_tree_first(struct vlist_chunk *root)
{
    while (root != NULL && root->left != NULL) {
        root = root->left;
    }
    return root;
}

struct vlist_chunk *vlist_tree_last(struct vlist_chunk *root)
{
    while (root != NULL && root->right != NULL) {
        root = root->right;
    }
    return root;
}

struct vlist_chunk *vlist_chunk_next(struct vlist_chunk *c)
{
    if (c->right != NULL) {
        return vlist_tree_first(c->right);
    }
    while (c->parent != NULL && c->parent->right == c) {
        c = c->parent;
    }
    return c->parent;
}

struct vlist_chunk *vlist_chunk_prev(struct vlist_chunk *c)
{
    if (c->left != NULL) {
        return vlist_tree_last(c->left);
    }
    while (c->parent != NULL && c->parent->left == c) {
        c = c->parent;
    }
    return c->parent;
}

struct vlist_chunk *vlist_tree_find(struct vlist_chunk *c, size_t *index)
{
    assert(c != NULL && *index < c->sum_count);
    for (;;) {
        size_t before = c->left != NULL ? c->left->sum_count : 0;

        if (*index < before) {
            c = c->left;
        } else if (*index - before < c->count) {
            *index -= before;
            return c;
        } else {
            *index -= before + c->count;
            c = c->right;
        }
    }
}

/* ---- Cutting and joining ---- */

struct vlist_chunk *vlist_tree_join(struct vlist_chunk *a, struct vlist_chunk *b)
{
    struct vlist_chunk *root = NULL;
    struct vlist_chunk **link = &root;
    struct vlist_chunk *parent = NULL;

    /* Down a's right side and b's left one, woven by priority. */
    while (a != NULL && b != NULL) {
        if (a->priority >= b->priority) {
            *link = a;
            a->parent = parent;
            parent = a;
            link = &a->right;
            a = a->right;
        } else {
            *link = b;
            b->parent = parent;
            parent = b;
            link = &b->left;
            b = b->left;
        }
    }
    struct vlist_chunk *rest = a != NULL ? a : b;

    *link = rest;
    if (rest != NULL) {
        rest->parent = parent;
    }
    for (; parent != NULL; parent = parent->parent) {
        sum(parent);
    }
    return root;
}

void vlist_tree_cut(struct vlist_chunk *c, struct vlist_chunk **before, struct vlist_chunk **from)
{
    struct vlist_chunk *l = c->left;
    struct vlist_chunk *r = c;
    struct vlist_chunk *was = c;
    struct vlist_chunk *up = c->parent;

    if (l != NULL) {
        l->parent = NULL;
    }
    c->left = NULL;
    c->parent = NULL;
    sum(c);
    /* Each ancestor goes, with its other side, to the half that it belongs to, as that half's root. */
    while (up != NULL) {
        struct vlist_chunk *next = up->parent;
        bool is_behind = up->left == was;
        struct vlist_chunk *half = is_behind ? r : l;

        was = up;
        up->parent = NULL;
        if (is_behind) {
            up->left = half;
            r = up;
        } else {
            up->right = half;
            l = up;
        }
        if (half != NULL) {
            half->parent = up;
        }
        sum(up);
        up = next;
    }
    *before = l;
    *from = r;
}
