#include "node/vlist_large.h"

#include "base/conf.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/options.h"
#include "node/slices.h"
#include "node/vlist_item.h"

#include <assert.h>

/* A journal entry's arg: where a border was, or where chunks were exchanged. */
enum { UNDO_BORDERS = 0, UNDO_EXCHANGE = 1 };

static struct vlist_large *of(struct large *l)
{
    return (struct vlist_large *)(void *)l; /* it begins with it */
}

/* ---- Limits ---- */

enum { SAFE_BYTES = 8192 }; /* where Redis stops whatever number of elements is allowed */

bool vlist_is_long(size_t count, size_t bytes, unsigned share)
{
    int64_t size = conf_i64(&opt_list_max_listpack_size);

    if (size >= 0) {
        return bytes > SAFE_BYTES || count > (size == 0 ? 1 : (size_t)size) / share;
    }
    return bytes > ((size_t)2048 << (size < -5 ? 5 : -size)) / share;
}

/* ---- Life ---- */

static size_t all_bytes(struct large *large)
{
    struct vlist_large *l = of(large);
    size_t live = l->root == NULL ? 0 : l->root->sum_live;

    /* Redis goes back from quicklist to listpack when half of the limit is enough. Relaxed: a name to be
     * shown, by which nobody judges what is there. */
    if (!atomic_load_explicit(&l->is_long, memory_order_relaxed)) {
        if (vlist_is_long(vlist_large_count(l), live, 1)) {
            atomic_store_explicit(&l->is_long, true, memory_order_relaxed);
        }
    } else if (!vlist_is_long(vlist_large_count(l), live, 2)) {
        atomic_store_explicit(&l->is_long, false, memory_order_relaxed);
    }
    return mem_size(sizeof(*l)) + (l->root == NULL ? 0 : l->root->sum_bytes);
}

bool vlist_large_free(void *object, size_t *budget)
{
    struct vlist_large *l = object;

    if (l->root != NULL && !vlist_tree_free(l->root, budget)) {
        return false;
    }
    large_fini(&l->large);
    mem_free(l, sizeof(*l));
    return true;
}

/* A tree of one new chunk. They are as good as ordered by chance: xorshift, whose period is all of 32 bits. */
static struct vlist_chunk *chunk_of(struct vlist_large *l, size_t room)
{
    l->chance ^= l->chance << 13;
    l->chance ^= l->chance >> 17;
    l->chance ^= l->chance << 5;
    return vlist_chunk_create(room, l->chance);
}

/* One that such an element goes to. */
static struct vlist_chunk *chunk_for(struct vlist_large *l, size_t item_bytes)
{
    if (item_bytes <= LIST_SHARED_MAX) {
        return chunk_of(l, LIST_CHUNK_ROOM);
    }
    /* The room tells a chunk of several from an element's own, so that one has not just as much. */
    return chunk_of(l,
                    item_bytes + (item_bytes == LIST_CHUNK_ROOM || item_bytes == LIST_LONG_ROOM));
}

/* Chunks between `prev` and `next` (NULL: to the end) leave and are returned; `with` takes their place. */
static struct vlist_chunk *exchange(struct vlist_large *l, struct vlist_chunk *prev,
                                    struct vlist_chunk *next, struct vlist_chunk *with)
{
    struct vlist_chunk *before = NULL;
    struct vlist_chunk *out = l->root;
    struct vlist_chunk *behind = NULL;

    if (next != NULL) {
        vlist_tree_cut(next, &out, &behind);
    }
    if (prev != NULL) {
        struct vlist_chunk *first = vlist_chunk_next(prev);

        before = out;
        out = NULL;
        if (first != NULL) {
            vlist_tree_cut(first, &before, &out);
        }
    }
    l->root = vlist_tree_join(vlist_tree_join(before, with), behind);
    l->head = vlist_tree_first(l->root);
    l->tail = vlist_tree_last(l->root);
    return out;
}

/* ---- Undo ---- */

static struct large_undo borders_of(struct vlist_chunk *c)
{
    return (struct large_undo){.now = c,
                               .arg = UNDO_BORDERS | (int64_t)c->begin << 1 |
                                      (int64_t)c->end << 17 | (int64_t)c->count << 33};
}

static uint32_t begin_of(const struct large_undo *u)
{
    return (uint32_t)(u->arg >> 1) & 0xffff;
}

static uint32_t end_of(const struct large_undo *u)
{
    return (uint32_t)(u->arg >> 17) & 0xffff;
}

static uint16_t count_of(const struct large_undo *u)
{
    return (uint16_t)(u->arg >> 33);
}

static void settle_borders(struct vlist_chunk *c)
{
    if (vlist_chunk_is_shared(c)) {
        c->keep_begin = (uint16_t)c->begin;
        c->keep_end = (uint16_t)c->end;
    }
}

static void undo(struct large *large, const struct large_undo *u)
{
    if ((u->arg & 1) == UNDO_EXCHANGE) {
        struct vlist_chunk *next = (struct vlist_chunk *)(uintptr_t)(u->arg & ~(int64_t)1);

        vlist_tree_free_now(exchange(of(large), u->now, next, u->old));
        return;
    }
    struct vlist_chunk *c = u->now;

    c->begin = begin_of(u);
    c->end = end_of(u);
    c->count = count_of(u);
    /* Back to a savepoint only, the chunk keeps what the changes before it may yet have to bring back. */
    if (!large_goes_on(large)) {
        settle_borders(c);
    }
    vlist_chunk_changed(c);
}

static uint64_t note(const struct large *large)
{
    return ((const struct vlist_large *)(const void *)large)->number;
}

static void put_back(struct large *large, uint64_t number)
{
    of(large)->number = (uint32_t)number;
}

/* Chunks that were taken out and retired may be among them; their grace period has not even begun. */
static void end(struct large *large, const struct large_undo *v, size_t n, bool is_kept)
{
    struct vlist_large *l = of(large);

    (void)is_kept;
    if (n > 0) {
        l->number_kept = l->number;
    } else {
        l->number = l->number_kept;
    }
    for (size_t i = 0; i < n; i++) {
        if ((v[i].arg & 1) == UNDO_BORDERS) {
            settle_borders(v[i].now);
        }
    }
}

static const struct large_ops ops = {
    .bytes = all_bytes,
    .undo = undo,
    .note = note,
    .put_back = put_back,
    .end = end,
    .end_keeps_bytes = true,
    .free = vlist_large_free,
};

static struct vlist_large *create(void)
{
    struct vlist_large *l = mem_zalloc(sizeof(*l));

    if (l != NULL) {
        l->chance = (uint32_t)((uintptr_t)l >> 4) | 1;
        large_init(&l->large, &ops);
    }
    return l;
}

struct vlist_large *vlist_large_create(struct section *s)
{
    struct vlist_large *l = create();

    if (l == NULL) {
        section_fail(s, SECTION_NOMEM);
        return NULL;
    }
    return large_created(s, &l->large) == OK ? l : NULL;
}

void vlist_large_number(struct vlist_large *l, uint32_t number)
{
    l->number = number;
    if (large_is_new(&l->large)) {
        l->number_kept = number;
    }
}

/* ---- Changes ---- */

static int failed(struct section *s, struct vlist_chunk *unused)
{
    vlist_tree_free_now(unused);
    section_fail(s, SECTION_NOMEM);
    return ERR_NOMEM;
}

/* The journal has room. Takes `with`. */
static int exchanged(struct section *s, struct vlist_large *l, struct vlist_chunk *prev,
                     struct vlist_chunk *next, struct vlist_chunk *with)
{
    struct vlist_chunk *out = exchange(l, prev, next, with);

    if (out != NULL && large_is_new(&l->large)) {
        vlist_tree_free_now(out);
        out = NULL;
    } else if (out != NULL) {
        section_retire(s, out, out->sum_bytes, vlist_tree_free);
    }
    large_changed(&l->large, (struct large_undo){.old = out,
                                                 .now = prev,
                                                 .arg = UNDO_EXCHANGE | (int64_t)(uintptr_t)next});
    return section_has_failed(s) ? ERR_NOMEM : OK;
}

static void moved(struct vlist_large *l, struct vlist_chunk *c, struct large_undo u)
{
    if (large_is_new(&l->large)) {
        settle_borders(c);
    }
    vlist_chunk_moved(c, count_of(&u), end_of(&u) - begin_of(&u));
    large_changed(&l->large, u);
}

/* ---- Pushing ---- */

/* An empty chunk's borders, for filling from the other end. */
static void open_at(struct vlist_chunk *c, enum vlist_end end)
{
    c->begin = c->end = end == LIST_HEAD ? c->room : 0;
    settle_borders(c);
}

static bool has_room(const struct vlist_chunk *c, enum vlist_end end, size_t bytes)
{
    if (end == LIST_HEAD) {
        return c->begin == c->keep_begin && bytes <= c->begin;
    }
    return c->end == c->keep_end && bytes <= c->room - c->end;
}

/* As many of the values as fit; sums are the caller's to bring in order. */
static size_t fill(struct vlist_chunk *c, enum vlist_end end, const struct slice *v, size_t n)
{
    size_t i = 0;

    for (; i < n; i++) {
        size_t bytes = vlist_item_bytes(v[i].len);

        if (bytes > LIST_SHARED_MAX || !has_room(c, end, bytes)) {
            break;
        }
        if (end == LIST_HEAD) {
            c->begin -= (uint32_t)bytes;
            c->keep_begin = (uint16_t)c->begin;
            (void)vlist_item_write(c->bytes + c->begin, v[i]);
        } else {
            (void)vlist_item_write(c->bytes + c->end, v[i]);
            c->end += (uint32_t)bytes;
            c->keep_end = (uint16_t)c->end;
        }
        c->count++;
    }
    return i;
}

static void fill_own(struct vlist_chunk *c, struct slice v)
{
    c->begin = c->room - (uint32_t)vlist_item_bytes(v.len); /* 1 where chunk_for() gave one more */
    c->end = c->room;
    c->count = 1;
    (void)vlist_item_write(c->bytes + c->begin, v);
}

/* A new chunk at the end with the first of the values; *done is how many. */
static int push_chunk(struct section *s, struct vlist_large *l, enum vlist_end end,
                      const struct slice *v, size_t n, size_t *done)
{
    size_t bytes = vlist_item_bytes(v[0].len);
    bool is_long =
        l->root != NULL && l->root->sum_live >= LIST_LONG_FROM && bytes <= LIST_SHARED_MAX;
    struct vlist_chunk *c = is_long ? chunk_of(l, LIST_LONG_ROOM) : chunk_for(l, bytes);

    if (c == NULL || large_reserve(&l->large, 1) != OK) {
        return failed(s, c);
    }
    *done = 1;
    if (vlist_chunk_is_shared(c)) {
        open_at(c, end);
        *done = fill(c, end, v, n);
    } else {
        fill_own(c, v[0]);
    }
    vlist_chunk_changed(c);
    return end == LIST_HEAD ? exchanged(s, l, NULL, l->head, c) : exchanged(s, l, l->tail, NULL, c);
}

int vlist_large_push(struct section *s, struct vlist_large *l, enum vlist_end end,
                     const struct slice *v, size_t n)
{
    for (size_t i = 0; i < n;) {
        struct vlist_chunk *c = end == LIST_HEAD ? l->head : l->tail;
        size_t bytes = vlist_item_bytes(v[i].len);
        size_t done = 0;

        if (c != NULL && vlist_chunk_is_shared(c) && bytes <= LIST_SHARED_MAX &&
            has_room(c, end, bytes)) {
            struct large_undo u = borders_of(c);

            if (large_reserve(&l->large, 1) != OK) {
                return failed(s, NULL);
            }
            done = fill(c, end, v + i, n - i);
            moved(l, c, u);
        } else if (push_chunk(s, l, end, v + i, n - i, &done) != OK) {
            return ERR_NOMEM;
        }
        i += done;
    }
    return OK;
}

/* ---- Popping ---- */

/* k of the chunk's elements go from its end; it keeps some. */
static void move_border(struct vlist_chunk *c, enum vlist_end end, size_t k)
{
    const char *begin = c->bytes + c->begin;
    const char *stop = c->bytes + c->end;

    if (end == LIST_HEAD) {
        c->begin = (uint32_t)(vlist_item_seek(begin, stop, c->count, k) - c->bytes);
    } else {
        c->end = (uint32_t)(vlist_item_seek(begin, stop, c->count, c->count - k) - c->bytes);
    }
    c->count = (uint16_t)(c->count - k);
}

int vlist_large_pop(struct section *s, struct vlist_large *l, enum vlist_end end, size_t n)
{
    size_t count = vlist_large_count(l);
    struct vlist_chunk *c = NULL;
    size_t within = 0; /* elements to take off c */

    assert(n <= count);
    if (large_reserve(&l->large, 2) != OK) {
        return failed(s, NULL);
    }
    if (n < count && end == LIST_HEAD) {
        within = n;
        c = vlist_large_find(l, &within);
    } else if (n < count) {
        size_t last = count - n - 1;

        c = vlist_large_find(l, &last);
        within = c->count - 1 - last;
    }
    if (c != (end == LIST_HEAD ? l->head : l->tail)) {
        int err =
            end == LIST_HEAD ? exchanged(s, l, NULL, c, NULL) : exchanged(s, l, c, NULL, NULL);

        if (err != OK) {
            return err;
        }
    }
    if (within > 0) {
        struct large_undo u = borders_of(c);

        move_border(c, end, within);
        moved(l, c, u);
    }
    return section_has_failed(s) ? ERR_NOMEM : OK;
}

/* ---- Replacing in the middle ---- */

/* A run of elements that lie together. */
struct piece {
    const char *from, *to;
    size_t count;
};

/* Chunks being made of pieces and values, in order. */
struct weave {
    struct vlist_large *l;
    struct vlist_chunk *root, *last; /* last: open for more; NULL: none is */
    size_t most;                     /* bytes that a chunk gets, so that several are filled alike */
    bool failed;
};

static void weave_close(struct weave *w)
{
    if (w->last != NULL) {
        settle_borders(w->last);
        vlist_chunk_changed(w->last);
        w->root = vlist_tree_join(w->root, w->last);
        w->last = NULL;
    }
}

static struct vlist_chunk *weave_chunk(struct weave *w, size_t item_bytes)
{
    weave_close(w);
    w->last = chunk_for(w->l, item_bytes);
    w->failed = w->last == NULL;
    return w->last;
}

static void weave_value(struct weave *w, struct slice v)
{
    size_t bytes = vlist_item_bytes(v.len);
    struct vlist_chunk *c = w->last;

    if (w->failed) {
        return;
    }
    if (bytes > LIST_SHARED_MAX) {
        c = weave_chunk(w, bytes);
        if (c != NULL) {
            fill_own(c, v);
            weave_close(w);
        }
        return;
    }
    if (c == NULL || c->end >= w->most || bytes > c->room - c->end) {
        c = weave_chunk(w, bytes);
        if (c == NULL) {
            return;
        }
    }
    (void)vlist_item_write(c->bytes + c->end, v);
    c->end += (uint32_t)bytes;
    c->count++;
}

static void weave_piece(struct weave *w, const struct piece *p)
{
    size_t bytes = (size_t)(p->to - p->from);
    struct vlist_chunk *c = w->last;
    struct slice s;

    if (p->count == 0 || w->failed) {
        return;
    }
    if (w->most == LIST_CHUNK_ROOM && bytes <= LIST_CHUNK_ROOM) { /* all of it is for one chunk */
        c = c != NULL ? c : weave_chunk(w, 1);
        if (c != NULL && bytes <= c->room - c->end) {
            memcpy(c->bytes + c->end, p->from, bytes);
            c->end += (uint32_t)bytes;
            c->count = (uint16_t)(c->count + p->count);
            return;
        }
    }
    for (const char *at = p->from; at < p->to && !w->failed;) {
        at = vlist_item_read(at, &s);
        weave_value(w, s);
    }
}

static struct piece piece_of(const struct vlist_chunk *c, size_t from, size_t to)
{
    const char *begin = c->bytes + c->begin;
    const char *end = c->bytes + c->end;

    return (struct piece){vlist_item_seek(begin, end, c->count, from),
                          vlist_item_seek(begin, end, c->count, to), to - from};
}

/* What a splice takes out, and what it makes anew: the values, with two pieces on either side. */
struct cutting {
    struct vlist_chunk *prev, *next; /* the neighbours that stay */
    struct piece before[2], behind[2];
};

static size_t piece_bytes(const struct piece *p)
{
    return (size_t)(p->to - p->from);
}

static bool may_join(const struct vlist_chunk *c, size_t bytes, size_t most)
{
    return c != NULL && vlist_chunk_is_shared(c) && vlist_chunk_live(c) + bytes <= most;
}

static void plan(struct vlist_large *l, const struct vlist_splice *p, size_t value_bytes,
                 struct cutting *out)
{
    size_t first = p->from;
    struct vlist_chunk *a = vlist_tree_find(l->root, &first);
    size_t last = p->remove == 0 ? first : p->from + p->remove - 1;
    struct vlist_chunk *b = p->remove == 0 ? a : vlist_tree_find(l->root, &last);

    *out = (struct cutting){.prev = vlist_chunk_prev(a), .next = vlist_chunk_next(b)};
    if (p->remove == 0 && first == 0) {
        /* Between two chunks: into one of them if it has room, else into one between. */
        out->next = a;
        if (value_bytes > 0 && may_join(a, value_bytes, LIST_CHUNK_ROOM)) {
            out->behind[0] = piece_of(a, 0, a->count);
            out->next = vlist_chunk_next(a);
            return;
        }
    } else {
        out->before[1] = piece_of(a, 0, first);
        out->behind[0] = piece_of(b, p->remove == 0 ? first : last + 1, b->count);
    }
    if (p->n > 0 && value_bytes == 0) {
        return; /* values with chunks of their own */
    }
    /* What would be small joins a neighbour, so that chunks stay well filled whatever is removed. */
    size_t bytes = value_bytes + piece_bytes(&out->before[1]) + piece_bytes(&out->behind[0]);
    size_t most = out->next == a ? LIST_CHUNK_ROOM : LIST_CHUNK_ROOM * 3 / 4;

    if (may_join(out->prev, bytes, most)) {
        out->before[0] = piece_of(out->prev, 0, out->prev->count);
        out->prev = vlist_chunk_prev(out->prev);
    } else if (out->next != a && may_join(out->next, bytes, most)) {
        out->behind[1] = piece_of(out->next, 0, out->next->count);
        out->next = vlist_chunk_next(out->next);
    }
}

int vlist_large_splice(struct section *s, struct vlist_large *l, const struct vlist_splice *p)
{
    struct weave w = {.l = l, .most = LIST_CHUNK_ROOM};
    struct cutting cut;
    size_t value_bytes = 0;

    for (size_t i = 0; i < p->n; i++) {
        size_t bytes = vlist_item_bytes(p->v[i].len);

        value_bytes += bytes > LIST_SHARED_MAX ? 0 : bytes;
    }
    plan(l, p, value_bytes, &cut);
    size_t total = value_bytes + piece_bytes(&cut.before[0]) + piece_bytes(&cut.before[1]) +
                   piece_bytes(&cut.behind[0]) + piece_bytes(&cut.behind[1]);

    if (total > LIST_CHUNK_ROOM) {
        w.most = total / (total / LIST_CHUNK_ROOM + 1);
    }
    weave_piece(&w, &cut.before[0]);
    weave_piece(&w, &cut.before[1]);
    for (size_t i = 0; i < p->n; i++) {
        weave_value(&w, p->v[i]);
    }
    weave_piece(&w, &cut.behind[0]);
    weave_piece(&w, &cut.behind[1]);
    weave_close(&w);
    if (w.failed || large_reserve(&l->large, 1) != OK) {
        return failed(s, w.root);
    }
    return exchanged(s, l, cut.prev, cut.next, w.root);
}

/* ---- Copying ---- */

struct vlist_large *vlist_large_copy(const struct vlist_large *from)
{
    struct vlist_large *to = create();

    for (struct vlist_chunk *c = from->head; to != NULL && c != NULL; c = vlist_chunk_next(c)) {
        struct vlist_chunk *twin = chunk_of(to, c->room);

        if (!slices_tick(8 + c->room / 1024) || twin == NULL) {
            vlist_tree_free_now(twin);
            large_drop(&to->large);
            return NULL;
        }
        twin->begin = c->begin;
        twin->end = c->end;
        twin->count = c->count;
        memcpy(twin->bytes + c->begin, c->bytes + c->begin, vlist_chunk_live(c));
        settle_borders(twin);
        vlist_chunk_changed(twin);
        to->root = vlist_tree_join(to->root, twin);
        to->tail = twin;
        to->head = to->head == NULL ? twin : to->head;
    }
    if (to != NULL) {
        to->number = to->number_kept = from->number;
        large_settle(&to->large);
    }
    return to;
}
