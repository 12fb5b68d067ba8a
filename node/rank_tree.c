#include "node/rank_tree.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/entry.h"

#include <assert.h>

enum {
    LEAF_SPARSE = RANK_LEAF_MAX / 4,
    INNER_SPARSE = RANK_INNER_MAX / 4,
    /* Merged nodes keep room, so that the next insertion does not divide them again. */
    LEAF_MERGED = RANK_LEAF_MAX * 7 / 8,
    INNER_MERGED = RANK_INNER_MAX * 7 / 8
};

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

static void leaf_free(struct rank_tree *t, struct rank_leaf *l)
{
    mem_free(l, sizeof(*l));
    t->leaves--;
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

static void inner_free(struct rank_tree *t, struct rank_inner *n)
{
    list_remove(&n->stale);
    mem_free(n, sizeof(*n));
    t->inners--;
}

static void mark_stale(struct rank_tree *t, struct rank_inner *n)
{
    if (list_is_empty(&n->stale)) {
        list_push(&t->stale, &n->stale);
    }
}

static struct rank_inner **parent_of(void *node, unsigned level)
{
    return level == 0 ? &((struct rank_leaf *)node)->parent : &((struct rank_inner *)node)->parent;
}

static unsigned index_in(const struct rank_inner *parent, const void *child)
{
    unsigned i = 0;

    while (parent->child[i] != child) {
        i++;
        assert(i < parent->count);
    }
    return i;
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

static uint32_t sum_below(const struct rank_inner *n, unsigned children)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < children; i++) {
        sum += n->below[i];
    }
    return sum;
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

void rank_spot_next(struct rank_spot *s)
{
    s->at++;
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
        leaf_free(t, s->leaf);
    }
    while (s->count > 0) {
        inner_free(t, s->inner[--s->count]);
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

    memmove(&n->score[at + 1], &n->score[at], after * sizeof(n->score[0]));
    memmove(&n->member[at + 1], &n->member[at], after * sizeof(n->member[0]));
    memmove(&n->child[at + 1], &n->child[at], after * sizeof(n->child[0]));
    memmove(&n->below[at + 1], &n->below[at], after * sizeof(n->below[0]));
    n->score[at] = score;
    n->member[at] = member;
    n->child[at] = child;
    n->below[at] = below;
    n->count++;
}

/* The child's region becomes its left neighbour's, or, of the first, the next one's. */
static void inner_delete(struct rank_inner *n, unsigned at)
{
    unsigned after = n->count - at - 1u;

    memmove(&n->score[at], &n->score[at + 1], after * sizeof(n->score[0]));
    memmove(&n->member[at], &n->member[at + 1], after * sizeof(n->member[0]));
    memmove(&n->child[at], &n->child[at + 1], after * sizeof(n->child[0]));
    memmove(&n->below[at], &n->below[at + 1], after * sizeof(n->below[0]));
    n->count--;
}

/* Children from[at..] go behind those of to; `level` is that of the children. */
static void inner_give(struct rank_inner *from, unsigned at, struct rank_inner *to, unsigned level)
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

    inner_give(n, keep, right, level - 1);
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
    unsigned keep = appends ? l->count : l->count / 2u;
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

    memmove(&l->score[at + 1], &l->score[at], after * sizeof(l->score[0]));
    memmove(&l->member[at + 1], &l->member[at], after * sizeof(l->member[0]));
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

    memmove(&l->score[at], &l->score[at + 1], after * sizeof(l->score[0]));
    memmove(&l->member[at], &l->member[at + 1], after * sizeof(l->member[0]));
    l->count--;
    count_up(t, l, -1);
    if (stale != NULL) {
        mark_stale(t, stale);
    }
    if (l->count < LEAF_SPARSE && !l->is_sparse) {
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
    if (place == at) { /* it stays between its neighbours, or is an end that may pass the region's */
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
        memmove(&l->score[at], &l->score[at + 1], (place - at) * sizeof(l->score[0]));
        memmove(&l->member[at], &l->member[at + 1], (place - at) * sizeof(l->member[0]));
    } else {
        memmove(&l->score[place + 1], &l->score[place], (at - place) * sizeof(l->score[0]));
        memmove(&l->member[place + 1], &l->member[place], (at - place) * sizeof(l->member[0]));
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

/* ---- Settling: merging, and separators that name who is there ---- */

static void unlink_leaf(struct rank_tree *t, struct rank_leaf *l)
{
    *(l->prev != NULL ? &l->prev->next : &t->first) = l->next;
    *(l->next != NULL ? &l->next->prev : &t->last) = l->prev;
}

/* What the leaf holds goes to a sibling, before or behind what that has. */
static void leaf_pour(struct rank_leaf *from, struct rank_leaf *to, bool before)
{
    unsigned n = from->count;

    if (before) {
        memmove(to->score + n, to->score, to->count * sizeof(to->score[0]));
        memmove(to->member + n, to->member, to->count * sizeof(to->member[0]));
    }
    memcpy(to->score + (before ? 0 : to->count), from->score, n * sizeof(to->score[0]));
    memcpy(to->member + (before ? 0 : to->count), from->member, n * sizeof(to->member[0]));
    to->count = (uint16_t)(to->count + n);
}

/* Child `at` of n went into the next one, whose region now begins where child at's did. */
static void drop_into_next(struct rank_inner *n, unsigned at)
{
    double score = n->score[at];
    const struct entry *member = n->member[at];
    uint32_t below = n->below[at];

    inner_delete(n, at);
    n->score[at] = score;
    n->member[at] = member;
    n->below[at] += below;
}

/* Merges an inner node that became sparse with a sibling; returns its parent, where a child went, or
 * NULL: nothing more to do. */
static struct rank_inner *merge_inner(struct rank_tree *t, struct rank_inner *n, unsigned level)
{
    struct rank_inner *up = n->parent;

    if (up == NULL || n->count >= INNER_SPARSE) {
        return NULL;
    }
    unsigned at = index_in(up, n);

    if (n->count == 0) {
        inner_delete(up, at);
        inner_free(t, n);
        return up;
    }
    struct rank_inner *left = at > 0 ? up->child[at - 1] : n;
    struct rank_inner *right = at > 0 ? n : at + 1u < up->count ? up->child[at + 1] : NULL;
    unsigned right_at = at > 0 ? at : at + 1u;

    if (right == NULL || left->count + right->count > INNER_MERGED) {
        return NULL;
    }
    right->score[0] = up->score[right_at];
    right->member[0] = up->member[right_at];
    up->below[right_at - 1] += up->below[right_at];
    inner_give(right, 0, left, level - 1);
    mark_stale(t, left); /* of the right one's, or of the parent's, some may have been */
    inner_delete(up, right_at);
    inner_free(t, right);
    return up;
}

/* A child of n went: so may n, and those above it. */
static void child_went(struct rank_tree *t, struct rank_inner *n)
{
    unsigned level = 1;

    for (; n != NULL; level++) {
        n = merge_inner(t, n, level);
    }
    while (t->height > 0 && ((struct rank_inner *)t->root)->count <= 1) {
        struct rank_inner *root = t->root;

        assert(root->count == 1);
        t->root = root->child[0];
        t->height--;
        *parent_of(t->root, t->height) = NULL;
        inner_free(t, root);
    }
}

static void merge_leaf(struct rank_tree *t, struct rank_leaf *l)
{
    struct rank_inner *up = l->parent;

    if (up == NULL || l->count >= LEAF_SPARSE) {
        return;
    }
    unsigned at = index_in(up, l);
    struct rank_leaf *left = at > 0 ? up->child[at - 1] : NULL;
    struct rank_leaf *right = at + 1u < up->count ? up->child[at + 1] : NULL;

    if (left != NULL && left->count + l->count <= LEAF_MERGED) {
        leaf_pour(l, left, false);
        up->below[at - 1] += up->below[at];
        inner_delete(up, at);
    } else if (right != NULL && right->count + l->count <= LEAF_MERGED) {
        leaf_pour(l, right, true);
        drop_into_next(up, at);
    } else if (l->count == 0) { /* beside full ones, or alone under its node */
        inner_delete(up, at);
    } else {
        return;
    }
    unlink_leaf(t, l);
    leaf_free(t, l);
    child_went(t, up);
}

static unsigned level_of(const struct rank_tree *t, const struct rank_inner *n)
{
    unsigned level = t->height;

    for (; n->parent != NULL; n = n->parent) {
        level--;
    }
    return level;
}

static void renew_separators(const struct rank_tree *t, struct rank_inner *n)
{
    unsigned level = level_of(t, n);

    for (unsigned i = 1; i < n->count; i++) {
        const void *node = n->child[i];

        for (unsigned k = level - 1; k > 0; k--) {
            node = ((const struct rank_inner *)node)->child[0];
        }
        const struct rank_leaf *l = node;

        assert(l->count > 0);
        n->score[i] = l->score[0];
        n->member[i] = l->member[0];
    }
}

void rank_tree_settle(struct rank_tree *t)
{
    struct list *at;

    while (t->sparse != NULL) {
        struct rank_leaf *l = t->sparse;

        t->sparse = l->next_sparse;
        l->is_sparse = false;
        merge_leaf(t, l);
    }
    while ((at = list_pop(&t->stale)) != NULL) {
        renew_separators(t, LIST_ITEM(at, struct rank_inner, stale));
    }
}

/* ---- For tests ---- */

static bool leaf_is_sound(const struct rank_tree *t, const struct rank_leaf *l, bool is_settled)
{
    for (unsigned i = 1; i < l->count; i++) {
        if (l->score[i - 1] > l->score[i] ||
            (l->score[i - 1] == l->score[i] &&
             slice_order(entry_key(l->member[i - 1]), entry_key(l->member[i])) >= 0)) {
            return false;
        }
    }
    return !is_settled || l->count > 0 || t->height == 0;
}

static bool key_is_before(double a, const struct entry *m, double b, const struct entry *n)
{
    return a < b || (a == b && slice_order(entry_key(m), entry_key(n)) < 0);
}

/* Counts, parents, and what the separators say of the leaves on either side. */
static bool inner_is_sound(const struct rank_inner *n, unsigned level)
{
    for (unsigned i = 0; i < n->count; i++) {
        const void *node = n->child[i];
        uint32_t below = level == 1
                             ? ((const struct rank_leaf *)node)->count
                             : sum_below(node, ((const struct rank_inner *)node)->count);

        if (below != n->below[i] || *parent_of(n->child[i], level - 1) != n) {
            return false;
        }
        for (unsigned k = level - 1; k > 0; k--) {
            node = ((const struct rank_inner *)node)->child[0];
        }
        const struct rank_leaf *l = node;

        if (i > 0 && l->count > 0 &&
            key_is_before(l->score[0], l->member[0], n->score[i], n->member[i])) {
            return false;
        }
        if (i > 0 && l->prev != NULL && l->prev->count > 0 &&
            !key_is_before(l->prev->score[l->prev->count - 1u],
                           l->prev->member[l->prev->count - 1u], n->score[i], n->member[i])) {
            return false;
        }
    }
    return n->count > 0;
}

bool rank_tree_is_sound(const struct rank_tree *t, bool is_settled)
{
    const void *level_first = t->root;
    uint32_t members = 0;
    uint32_t leaves = 0;

    for (const struct rank_leaf *l = t->first; l != NULL; l = l->next) {
        members += l->count;
        leaves++;
        if (!leaf_is_sound(t, l, is_settled) || (l->next == NULL ? t->last : l->next->prev) != l) {
            return false;
        }
        for (const struct rank_inner *n = l->parent; n != NULL; n = n->parent) {
            if (!inner_is_sound(n, level_of(t, n))) {
                return false;
            }
        }
    }
    for (unsigned k = t->height; k > 0; k--) {
        level_first = ((const struct rank_inner *)level_first)->child[0];
    }
    return members == t->count && leaves == t->leaves && level_first == t->first;
}
