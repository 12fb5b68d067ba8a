/* stream_large.c - a stream's life, and looking at it; stream_change.c changes it. */
#include "node/stream_large.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/slices.h"
#include "node/stream_change.h"

#include <assert.h>

/* ---- Names ---- */

static struct slice name_at(const struct stream_names *l, uint32_t i)
{
    return *(const struct slice *)l->v[i];
}

bool stream_names_seek(const struct stream_names *l, struct slice name, uint32_t *index)
{
    uint32_t low = 0;
    uint32_t high = l->count;

    while (low < high) {
        uint32_t mid = (low + high) / 2;

        if (slice_order(name_at(l, mid), name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *index = low;
    return low < l->count && slice_is(name_at(l, low), name);
}

static void *find_name(const struct stream_names *l, struct slice name)
{
    uint32_t i;

    return stream_names_seek(l, name, &i) ? l->v[i] : NULL;
}

struct stream_group *stream_group_find(const struct stream *st, struct slice name)
{
    return find_name(&st->groups, name);
}

struct stream_consumer *stream_consumer_find(const struct stream_group *g, struct slice name)
{
    return find_name(&g->consumers, name);
}

/* ---- Pending entries ---- */

struct stream_pending *stream_pending_find(const struct stream_group *g, struct stream_id id)
{
    struct stream_pending *p = id_list_find(&g->pending, id);

    return p != NULL && stream_pending_is_live(p) ? p : NULL;
}

struct stream_pending *stream_pending_seek(const struct stream_group *g,
                                           const struct stream_consumer *of, struct stream_id id)
{
    const struct id_list *l = of == NULL ? &g->pending : &of->pending;
    struct id_at at;
    bool more = id_list_seek(l, id, &at);

    (void)slices_tick(2);
    for (; more; more = id_list_next(l, &at)) {
        struct stream_pending *p = id_list_at(l, at);

        /* A consumer's list keeps what was given to another until the section ends. */
        if (stream_pending_is_live(p) && (of == NULL || p->consumer == of)) {
            return p;
        }
    }
    return NULL;
}

struct stream_pending *stream_pending_last(const struct stream_group *g)
{
    struct id_at at;
    bool more = id_list_last(&g->pending, &at);

    for (; more; more = id_list_previous(&g->pending, &at)) {
        struct stream_pending *p = id_list_at(&g->pending, at);

        if (stream_pending_is_live(p)) {
            return p;
        }
    }
    return NULL;
}

/* ---- Blocks ---- */

struct stream_block *stream_block_first(const struct stream *st)
{
    struct id_at at;
    bool more = id_list_first(&st->blocks, &at);

    for (; more; more = id_list_next(&st->blocks, &at)) {
        struct stream_block *b = id_list_at(&st->blocks, at);

        if (!b->is_gone) {
            return b;
        }
    }
    return NULL;
}

struct stream_block *stream_block_last_one(const struct stream *st)
{
    struct id_at at;
    bool more = id_list_last(&st->blocks, &at);

    for (; more; more = id_list_previous(&st->blocks, &at)) {
        struct stream_block *b = id_list_at(&st->blocks, at);

        if (!b->is_gone) {
            return b;
        }
    }
    return NULL;
}

struct stream_block *stream_block_at_or_before(const struct stream *st, struct stream_id id,
                                               struct id_at *at)
{
    bool more = id_list_seek_back(&st->blocks, id, at);

    for (; more; more = id_list_previous(&st->blocks, at)) {
        struct stream_block *b = id_list_at(&st->blocks, *at);

        if (!b->is_gone) {
            return b;
        }
    }
    return NULL;
}

size_t stream_block_count(const struct stream *st)
{
    return st->blocks.count - st->gone_blocks;
}

/* ---- Life ---- */

static struct stream *of(struct large *l)
{
    return (struct stream *)(void *)l; /* it begins with it */
}

static size_t all_bytes(struct large *l)
{
    return mem_size(sizeof(struct stream)) + of(l)->bytes;
}

static const struct large_ops ops = {
    .bytes = all_bytes,
    .undo = stream_undo,
    .end = stream_end,
    .free = stream_large_free,
};

struct stream *stream_large_new(void)
{
    struct stream *st = mem_zalloc(sizeof(*st));

    if (st != NULL) {
        large_init(&st->large, &ops);
    }
    return st;
}

struct stream *stream_large_create(struct section *s)
{
    struct stream *st = stream_large_new();

    if (st == NULL) {
        section_fail(s, SECTION_NOMEM);
        return NULL;
    }
    return large_created(s, &st->large) == OK ? st : NULL;
}

static void free_names(struct stream_names *l)
{
    mem_free(l->v, l->cap * sizeof(*l->v));
}

bool stream_consumer_free(void *object, size_t *budget)
{
    struct stream_consumer *c = object;
    size_t bytes = 0;

    /* One that left takes its pending entries along. */
    for (; c->pending.count > 0; (*budget)--) {
        if (*budget == 0) {
            return false;
        }
        struct stream_pending *p = id_list_pop(&c->pending, &bytes);

        if (c->is_gone) {
            mem_free(p, sizeof(*p));
        }
    }
    mem_free(c, sizeof(*c) + c->name.len);
    return true;
}

bool stream_group_free(void *object, size_t *budget)
{
    struct stream_group *g = object;
    size_t bytes = 0;

    for (; g->consumers.count > 0; g->consumers.count--) {
        if (!stream_consumer_free(g->consumers.v[g->consumers.count - 1], budget)) {
            return false;
        }
    }
    for (; g->pending.count > 0; (*budget)--) {
        if (*budget == 0) {
            return false;
        }
        mem_free(id_list_pop(&g->pending, &bytes), sizeof(struct stream_pending));
    }
    free_names(&g->consumers);
    mem_free(g, sizeof(*g) + g->name.len);
    return true;
}

bool stream_large_free(void *object, size_t *budget)
{
    struct stream *st = object;

    for (; st->blocks.count > 0; (*budget)--) {
        if (*budget == 0) {
            return false;
        }
        stream_block_free(id_list_pop(&st->blocks, &st->bytes));
    }
    for (; st->groups.count > 0; st->groups.count--) {
        if (!stream_group_free(st->groups.v[st->groups.count - 1], budget)) {
            return false;
        }
    }
    free_names(&st->groups);
    large_fini(&st->large);
    mem_free(st, sizeof(*st));
    return true;
}

/* ---- Copying ---- */

static int copy_blocks(struct stream *to, const struct stream *from)
{
    struct id_at at;
    bool more = id_list_first(&from->blocks, &at);

    for (; more; more = id_list_next(&from->blocks, &at)) {
        const struct stream_block *b = id_list_at(&from->blocks, at);
        struct stream_block *twin = b->is_gone ? NULL : stream_block_copy(b);

        if (b->is_gone) {
            continue;
        }
        if (twin == NULL || stream_large_add_block(to, twin) != OK || !slices_tick(64)) {
            return ERR_NOMEM;
        }
    }
    return OK;
}

static int copy_pending(struct stream *to, struct stream_group *g, const struct stream_group *from)
{
    struct id_at at;
    bool more = id_list_first(&from->pending, &at);

    for (; more; more = id_list_next(&from->pending, &at)) {
        const struct stream_pending *p = id_list_at(&from->pending, at);
        struct stream_delivery d = {p->id, p->time_ms, p->count};

        if (!slices_tick(4)) {
            return ERR_NOMEM;
        }
        if (stream_pending_is_live(p) &&
            stream_pending_put(NULL, to, g, stream_consumer_find(g, p->consumer->name), &d) != OK) {
            return ERR_NOMEM;
        }
    }
    return OK;
}

static int copy_group(struct stream *to, const struct stream_group *from)
{
    if (stream_group_add(NULL, to, from->name, from->last_id, from->entries_read) != OK) {
        return ERR_NOMEM;
    }
    struct stream_group *g = stream_group_find(to, from->name);

    for (uint32_t i = 0; i < from->consumers.count; i++) {
        const struct stream_consumer *c = from->consumers.v[i];

        if (stream_consumer_add(NULL, to, g, c->name, c->seen_ms) != OK) {
            return ERR_NOMEM;
        }
        stream_consumer_find(g, c->name)->active_ms = c->active_ms;
    }
    return copy_pending(to, g, from);
}

struct stream *stream_large_copy(const struct stream *from)
{
    struct stream *to = stream_large_new();
    int err = to == NULL ? ERR_NOMEM : copy_blocks(to, from);

    for (uint32_t i = 0; err == OK && i < from->groups.count; i++) {
        err = copy_group(to, from->groups.v[i]);
    }
    if (err != OK) {
        if (to != NULL) {
            large_drop(&to->large);
        }
        return NULL;
    }
    to->meta = from->meta;
    large_settle(&to->large);
    return to;
}
