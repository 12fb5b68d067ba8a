#include "node/rank_tree.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/entry.h"
#include "node/rank_tree_node.h"

#include <assert.h>

void rank_tree_init(struct rank_tree *t)
{
    *t = (struct rank_tree){0};
    list_init(&t->stale);
}

size_t rank_tree_bytes(const struct rank_tree *t)
{
    return t->leaves * mem_size(sizeof(struct rank_leaf)) +
           t->inners * mem_size(sizeof(struct rank_inner));
}

/* ---- Nodes ---- */

static struct rank_leaf *leaf_create(struct rank_tree *t)
{
    struct rank_leaf *l = mem_alloc(sizeof(*l));

    if (l != NULL) {
        l->parent = NULL;
        l->next = l->prev = l->next_sparse = NULL;
        l->count = 0;
        l->is_sparse = false;
        t->leaves++;
    }
    return l;
}

static struct rank_inner *inner_create(struct rank_tree *t)
{
    struct rank_inner *n = mem_alloc(sizeof(*n));

    if (n != NULL) {
        n->parent = NULL;
        n->count = 0;
        list_init(&n->stale);
        t->inners++;
    }
    return n;
}

void rank_leaf_free(struct rank_tree *t, struct rank_leaf *l)
{
    mem_free(l, sizeof(*l));
    t->leaves--;
}

void rank_inner_free(struct rank_tree *t, struct rank_inner *n)
{
    list_remove(&n->stale);
    mem_free(n, sizeof(*n));
    t->inners--;
}

void rank_inner_delete(struct rank_inner *n, unsigned at)
{
    unsigned after = n->count - at - 1u;

    buf_move(&n->score[at], &n->score[at + 1], after * sizeof(n->score[0]));
    buf_move(&n->member[at], &n->member[at + 1], after * sizeof(n->member[0]));
    buf_move(&n->child[at], &n->child[at + 1], after * sizeof(n->child[0]));
    buf_move(&n->below[at], &n->below[at + 1], after * sizeof(n->below[0]));
    n->count--;
}

void rank_inner_give(struct rank_inner *from, unsigned at, struct rank_inner *to, unsigned level)
{
    unsigned n = from->count - at;

    memcpy(&to->score[to->count], &from->score[at], n * sizeof(to->score[0]));
    memcpy(&to->member[to->count], &from->member[at], n * sizeof(to->member[0]));
    memcpy(&to->child[to->count], &from->child[at], n * sizeof(to->child[0]));
    memcpy(&to->below[to->count], &from->below[at], n * sizeof(to->below[0]));
    for (unsigned i = 0; i < n; i++) {
        *parent_of(from->child[at + i], level) = to;
    }
    to->count = (uint16_t)(to->count + n);
    from->count = (uint16_t)at;
}

bool rank_tree_free(struct rank_tree *t, size_t *budget)
{
    void *node = t->root;
    unsigned level = t->height;

    /* The children of a node are counted down, so that the next slice finds its way. */
    while (node != NULL) {
        struct rank_inner *n = node;

        if (level > 0 && n->count > 0) {
            node = n->child[n->count - 1];
            level--;
            continue;
        }
        if (*budget == 0) {
            return false;
        }
        --*budget;
        struct rank_inner *up = *parent_of(node, level);

        if (level > 0) {
            mem_free(n, sizeof(*n));
        } else {
            mem_free(node, sizeof(struct rank_leaf));
        }
        if (up != NULL) {
            up->count--;
        } else {
            t->root = NULL;
        }
        node = up;
        level++;
    }
    rank_tree_init(t);
    return true;
}

/* ---- Finding ---- */

/* How many of v[0..n), which rises, are below x; without branches, since they cannot be foretold. */
static inline unsigned count_below(const double *v, unsigned n, double x)
{
    unsigned base = 0;

    while (n > 1) {
        unsigned half = n / 2;

        base += v[base + half - 1] < x ? half : 0;
        n -= half;
    }
    return base + (n == 1 && v[base] < x);
}

static inline unsigned count_up_to(const double *v, unsigned n, double x)
{
    unsigned base = 0;

    while (n > 1) {
        unsigned half = n / 2;

        base += v[base + half - 1] <= x ? half : 0;
        n -= half;
    }
    return base + (n == 1 && v[base] <= x);
}

/* How many of v[0..n) are before (score, name), or also equal to it. */
static unsigned place_of(const double *v, const struct entry *const *m, unsigned n, double score,
                         struct slice name, bool or_equal)
{
    unsigned low = count_below(v, n, score);
    unsigned high = low;

    if (low < n && v[low] == score) {
        high += count_up_to(v + low, n - low, score);
    }
    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        int c = slice_order(entry_key(m[mid]), name);

        if (c < 0 || (c == 0 && or_equal)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* The child in whose region (score, name) is: the last whose separator is not above it. */
static inline unsigned child_for(const struct rank_inner *n, double score, struct slice name)
{
    return place_of(n->score + 1, n->member + 1, n->count - 1u, score, name, true);
}

static inline unsigned leaf_place(const struct rank_leaf *l, double score, struct slice name)
{
    return place_of(l->score, (const struct entry *const *)l->member, l->count, score, name, false);
}

uint32_t rank_tree_rank(const struct rank_tree *t, double score, const struct entry *member)
{
    struct slice name = entry_key(member);
    const void *node = t->root;
    uint32_t rank = 0;

    if (node == NULL) {
        return 0;
    }
    for (unsigned level = t->height; level > 0; level--) {
        const struct rank_inner *n = node;
        unsigned i = child_for(n, score, name);

        rank += sum_below(n, i);
        node = n->child[i];
    }
    return rank + leaf_place(node, score, name);
}

uint32_t rank_tree_before(const struct rank_tree *t, const struct rank_bound *b)
{
    const void *node = t->root;
    uint32_t rank = 0;

    if (node == NULL) {
        return 0;
    }
    for (unsigned level = t->height; level > 0; level--) {
        const struct rank_inner *n = node;
        unsigned low = 0;
        unsigned high = n->count - 1u;

        while (low < high) { /* the last whose separator is before the bound */
            unsigned mid = low + (high - low + 1) / 2;

            if (rank_is_before(n->score[mid], entry_key(n->member[mid]), b)) {
                low = mid;
            } else {
                high = mid - 1;
            }
        }
        rank += sum_below(n, low);
        node = n->child[low];
    }
    const struct rank_leaf *l = node;
    unsigned low = 0;
    unsigned high = l->count;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (rank_is_before(l->score[mid], entry_key(l->member[mid]), b)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return rank + low;
}

struct rank_spot rank_tree_at(const struct rank_tree *t, uint32_t rank)
{
    const void *node = t->root;

    if (rank >= t->count) {
        return (struct rank_spot){NULL, 0};
    }
    for (unsigned level = t->height; level > 0; level--) {
        const struct rank_inner *n = node;
        unsigned i = 0;

        while (rank >= n->below[i]) {
            rank -= n->below[i++];
            assert(i < n->count);
        }
        node = n->child[i];
    }
    return (struct rank_spot){node, rank};
}

void rank_spot_next_leaf(struct rank_spot *s)
{
    while (s->leaf != NULL && s->at >= s->leaf->count) { /* some may be empty until it is settled */
        s->leaf = s->leaf->next;
        s->at = 0;
    }
    if (s->leaf != NULL) {
        __builtin_prefetch(s->leaf->next);
    }
}

void rank_spot_prev(struct rank_spot *s)
{
    while (s->leaf != NULL && s->at == 0) {
        s->leaf = s->leaf->prev;
        s->at = s->leaf == NULL ? 0 : s->leaf->count;
    }
    s->at -= s->leaf != NULL;
}

/* ---- Counting ---- */

/* The members under the leaf and each node above it became so many more (or fewer). */
static void count_up(struct rank_tree *t, struct rank_leaf *l, int by)
{
    void *node = l;

    t->count += (uint32_t)by;
    for (struct rank_inner *n = l->parent; n != NULL; n = n->parent) {
        n->below[index_in(n, node)] += (uint32_t)by;
        node = n;
    }
}

/* ---- Dividing ---- */

/* The nodes that an insertion needs: made before anything is changed. */
struct spare {
    struct rank_leaf *leaf;
    struct rank_inner *inner[RANK_HEIGHT_MAX + 1];
    unsigned count, used;
};

static int spare_fail(struct rank_tree *t, struct spare *s)
{
    if (s->leaf != NULL) {
        rank_leaf_free(t, s->leaf);
    }
    while (s->count > 0) {
        rank_inner_free(t, s->inner[--s->count]);
    }
    return ERR_NOMEM;
}

/* For dividing the leaf: one leaf, one inner node for each full one above it, one for a new root. */
static int spare_make(struct rank_tree *t, const struct rank_leaf *l, struct spare *s)
{
    const struct rank_inner *n = l->parent;
    unsigned need = 0;

    *s = (struct spare){0};
    for (; n != NULL && n->count == RANK_INNER_MAX; n = n->parent) {
        need++;
    }
    need += n == NULL;
    if (n == NULL && t->height == RANK_HEIGHT_MAX) {
        return ERR_NOMEM;
    }
    s->leaf = leaf_create(t);
    if (s->leaf == NULL) {
        return ERR_NOMEM;
    }
    while (s->count < need) {
        s->inner[s->count] = inner_create(t);
        if (s->inner[s->count] == NULL) {
            return spare_fail(t, s);
        }
        s->count++;
    }
    return OK;
}

static void inner_insert(struct rank_inner *n, unsigned at, void *child, uint32_t below,
                         double score, const struct entry *member)
{
    unsigned after = n->count - at;

    buf_move(&n->score[at + 1], &n->score[at], after * sizeof(n->score[0]));
    buf_move(&n->member[at + 1], &n->member[at], after * sizeof(n->member[0]));
    buf_move(&n->child[at + 1], &n->child[at], after * sizeof(n->child[0]));
    buf_move(&n->below[at + 1], &n->below[at], after * sizeof(n->below[0]));
    n->score[at] = score;
    n->member[at] = member;
    n->child[at] = child;
    n->below[at] = below;
    n->count++;
}

/* A new sibling to the right of `node` (at `level`), with its separator and how many it took from node. */
struct newcomer {
    void *node;
    uint32_t below;
    double score;
    const struct entry *member;
};

static void grow_root(struct rank_tree *t, struct spare *s, void *left)
{
    struct rank_inner *root = s->inner[s->used++];

    root->child[0] = left;
    root->below[0] = t->count;
    root->score[0] = 0;
    root->member[0] = NULL;
    root->count = 1;
    *parent_of(left, t->height) = root;
    t->root = root;
    t->height++;
}

/* Divides n, which is full, for a child at `at`: at its end nearly all stay, since who appends goes on. */
static struct newcomer inner_split(struct rank_tree *t, struct spare *s, struct rank_inner *n,
                                   unsigned at, unsigned level)
{
    struct rank_inner *right = s->inner[s->used++];
    unsigned keep = at == n->count ? n->count - 1u : n->count / 2u;

    rank_inner_give(n, keep, right, level - 1);
    if (!list_is_empty(&n->stale)) {
        mark_stale(t, right);
    }
    return (struct newcomer){right, sum_below(right, right->count), right->score[0],
                             right->member[0]};
}

/* Puts the newcomer behind `left`, a node at `level`, dividing what is full. */
static void put_newcomer(struct rank_tree *t, struct spare *s, void *left, struct newcomer new)
{
    for (unsigned level = 0;; level++) {
        if (*parent_of(left, level) == NULL) {
            grow_root(t, s, left);
        }
        struct rank_inner *n = *parent_of(left, level);
        unsigned at = index_in(n, left) + 1;
        struct rank_inner *into = n;
        struct newcomer up = {0};

        n->below[at - 1] -= new.below;
        if (n->count == RANK_INNER_MAX) {
            up = inner_split(t, s, n, at, level + 1);
            if (at > n->count) {
                into = up.node;
                at -= n->count;
                up.below += new.below;
            }
        }
        inner_insert(into, at, new.node, new.below, new.score, new.member);
        *parent_of(new.node, level) = into;
        if (level > 0 && !list_is_empty(&((struct rank_inner *)left)->stale)) {
            mark_stale(t, into); /* the separator that went up may be one of them */
        }
        if (up.node == NULL) {
            return;
        }
        left = n;
        new = up;
    }
}

/* Divides a full leaf; returns the half where `at` belongs, and *at within it. */
static struct rank_leaf *leaf_split(struct rank_tree *t, struct spare *s, struct rank_leaf *l,
                                    unsigned *at, double score, const struct entry *member)
{
    struct rank_leaf *right = s->leaf;
    bool appends = *at == l->count && l->next == NULL;
    bool prepends = *at == 0 && l->prev == NULL;
    /* Who comes in order fills the leaves: what is there stays together. */
    unsigned keep = appends ? l->count : prepends ? 0 : l->count / 2u;
    unsigned n = l->count - keep;

    memcpy(right->score, l->score + keep, n * sizeof(l->score[0]));
    memcpy(right->member, l->member + keep, n * sizeof(l->member[0]));
    right->count = (uint16_t)n;
    l->count = (uint16_t)keep;
    right->next = l->next;
    right->prev = l;
    if (l->next != NULL) {
        l->next->prev = right;
    } else {
        t->last = right;
    }
    l->next = right;
    put_newcomer(t, s, l,
                 (struct newcomer){right, n, appends ? score : right->score[0],
                                   appends ? member : right->member[0]});
    assert(s->used == s->count);
    if (*at < keep || (*at == keep && !appends && n > 0)) {
        return l;
    }
    *at -= keep;
    return right;
}

/* ---- Changing ---- */

/* The leaf of whose region (score, name) is. *stale: the node whose separator names the member. */
static struct rank_leaf *descend(const struct rank_tree *t, double score,
                                 const struct entry *member, struct rank_inner **stale)
{
    struct slice name = entry_key(member);
    void *node = t->root;

    *stale = NULL;
    for (unsigned level = t->height; level > 0; level--) {
        struct rank_inner *n = node;
        unsigned i = child_for(n, score, name);

        if (i > 0 && n->member[i] == member) {
            *stale = n;
        }
        node = n->child[i];
    }
    return node;
}

static void leaf_insert(struct rank_leaf *l, unsigned at, double score, struct entry *member)
{
    unsigned after = l->count - at;

    buf_move(&l->score[at + 1], &l->score[at], after * sizeof(l->score[0]));
    buf_move(&l->member[at + 1], &l->member[at], after * sizeof(l->member[0]));
    l->score[at] = score;
    l->member[at] = member;
    l->count++;
}

int rank_tree_insert(struct rank_tree *t, double score, struct entry *member)
{
    struct rank_inner *stale;
    struct spare s;

    if (t->count == UINT32_MAX) {
        return ERR_NOMEM;
    }
    if (t->root == NULL) {
        t->root = t->first = t->last = leaf_create(t);
        if (t->root == NULL) {
            return ERR_NOMEM;
        }
    }
    struct rank_leaf *l = descend(t, score, member, &stale);
    unsigned at = leaf_place(l, score, entry_key(member));

    if (l->count == RANK_LEAF_MAX) {
        if (spare_make(t, l, &s) != OK) {
            return ERR_NOMEM;
        }
        l = leaf_split(t, &s, l, &at, score, member);
    }
    leaf_insert(l, at, score, member);
    count_up(t, l, 1);
    return OK;
}

void rank_tree_restore(struct rank_tree *t, double score, struct entry *member)
{
    struct rank_inner *stale;
    struct rank_leaf *l = descend(t, score, member, &stale);

    assert(l->count < RANK_LEAF_MAX); /* rank_tree.h, Undo */
    leaf_insert(l, leaf_place(l, score, entry_key(member)), score, member);
    count_up(t, l, 1);
}

void rank_tree_remove(struct rank_tree *t, double score, struct entry *member)
{
    struct rank_inner *stale;
    struct rank_leaf *l = descend(t, score, member, &stale);
    unsigned at = leaf_place(l, score, entry_key(member));

    assert(at < l->count && l->member[at] == member);
    unsigned after = l->count - at - 1u;

    buf_move(&l->score[at], &l->score[at + 1], after * sizeof(l->score[0]));
    buf_move(&l->member[at], &l->member[at + 1], after * sizeof(l->member[0]));
    l->count--;
    count_up(t, l, -1);
    if (stale != NULL) {
        mark_stale(t, stale);
    }
    if (l->count < RANK_LEAF_SPARSE && !l->is_sparse) {
        l->is_sparse = true;
        l->next_sparse = t->sparse;
        t->sparse = l;
    }
}

/* The common move, of a score that changes a little: within the leaf, whose ends say that it stays its
 * region. False: it is not that. */
static bool move_within(struct rank_tree *t, double from, double to, struct entry *member)
{
    struct rank_inner *stale;
    struct rank_leaf *l = descend(t, from, member, &stale);
    struct slice name = entry_key(member);
    unsigned at = leaf_place(l, from, name);
    unsigned place = leaf_place(l, to, name);

    assert(at < l->count && l->member[at] == member);
    if (stale != NULL) { /* it names the member by a score that it had */
        mark_stale(t, stale);
    }
    place -= place > at;
    if (place ==
        at) { /* it stays between its neighbours, or is an end that may pass the region's */
        if ((at == 0 && to < from && l->prev != NULL) ||
            (at == l->count - 1u && to > from && l->next != NULL)) {
            return false;
        }
        l->score[at] = to;
        return true;
    }
    if ((place == 0 && l->prev != NULL) || (place == l->count - 1u && l->next != NULL)) {
        return false;
    }
    if (place > at) {
        buf_move(&l->score[at], &l->score[at + 1], (place - at) * sizeof(l->score[0]));
        buf_move(&l->member[at], &l->member[at + 1], (place - at) * sizeof(l->member[0]));
    } else {
        buf_move(&l->score[place + 1], &l->score[place], (at - place) * sizeof(l->score[0]));
        buf_move(&l->member[place + 1], &l->member[place], (at - place) * sizeof(l->member[0]));
    }
    l->score[place] = to;
    l->member[place] = member;
    return true;
}

int rank_tree_move(struct rank_tree *t, double from, double to, struct entry *member)
{
    if (move_within(t, from, to, member)) {
        return OK;
    }
    if (rank_tree_insert(t, to, member) != OK) {
        return ERR_NOMEM;
    }
    rank_tree_remove(t, from, member);
    return OK;
}

void rank_tree_move_back(struct rank_tree *t, double from, double to, struct entry *member)
{
    rank_tree_remove(t, from, member);
    rank_tree_restore(t, to, member);
}
