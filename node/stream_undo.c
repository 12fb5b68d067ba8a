/* stream_undo.c - taking back what a section did to a stream, and the end of what it left. */
#include "node/slices.h"
#include "node/stream_journal.h"

#include "base/mem.h"

/* ---- Taking back ---- */

static void undo_add(struct stream *st, const struct large_undo *u)
{
    struct id_at at;
    bool any = stream_last_place(st, &at);
    struct stream_block *b = any ? id_list_at(&st->blocks, at) : NULL;

    assert(b != NULL);
    if (kind_of(u) == ADDED) {
        stream_block_drop_last(b, (uint32_t)((uintptr_t)u->old >> 4));
    } else {
        (void)id_list_remove(&st->blocks, b, &st->bytes);
        st->bytes -= stream_block_bytes(b);
        stream_block_free(b);
    }
    st->meta.last_id = id_in(u);
    st->meta.entries_added--;
    st->length--;
}

static void undo_drop(struct stream *st, struct stream_block *b)
{
    for (; b != NULL; b = b->next) {
        b->is_gone = false;
        st->gone_blocks--;
        st->length += b->live;
        st->bytes += stream_block_bytes(b);
    }
}

static void undo_remove(struct stream *st, struct stream_id id)
{
    uint32_t at;
    struct stream_block *b = stream_find_entry(st, id, &at);

    assert(b != NULL);
    stream_block_mark(b, at, false);
    st->length++;
}

static void undo_pending_set(struct stream *st, struct old_pending *old)
{
    struct stream_pending *p = old->pending;

    stream_count_pending(st, old->group, p->consumer, false);
    if (old->is_listed) {
        (void)id_list_remove(&p->consumer->pending, p, &st->bytes);
    }
    p->consumer = old->consumer;
    p->time_ms = old->time_ms;
    p->count = old->count;
    p->is_dead = old->is_dead;
    if (old->was_live) {
        stream_count_pending(st, old->group, p->consumer, true);
    }
    mem_free(old, sizeof(*old));
}

static void undo_consumer(struct stream *st, const struct large_undo *u, struct stream_consumer *c)
{
    struct stream_group *g = u->now;
    size_t budget = SIZE_MAX;

    if (kind_of(u) == CONSUMER_SET) {
        c->seen_ms = (int64_t)(uintptr_t)u->now;
        c->active_ms = u->arg;
    } else if (kind_of(u) == CONSUMER_ADDED) {
        stream_names_take(&g->consumers, c);
        st->bytes -= stream_consumer_bytes(c, false);
        (void)stream_consumer_free(c, &budget);
    } else {
        c->is_gone = false;
        stream_names_put(&g->consumers, c);
        g->pending_count += c->pending_count;
        st->bytes += stream_consumer_bytes(c, true);
    }
}

static void undo_group(struct stream *st, const struct large_undo *u, void *target)
{
    struct stream_group *g = target;
    size_t budget = SIZE_MAX;

    if (kind_of(u) == GROUP_SET) {
        struct old_group *old = target;

        old->group->last_id = old->last_id;
        old->group->entries_read = old->entries_read;
        mem_free(old, sizeof(*old));
    } else if (kind_of(u) == GROUP_ADDED) {
        stream_names_take(&st->groups, g);
        st->bytes -= stream_group_bytes(g);
        (void)stream_group_free(g, &budget);
    } else {
        g->is_gone = false;
        stream_names_put(&st->groups, g);
        st->bytes += stream_group_bytes(g);
    }
}

static void undo_pending(struct stream *st, const struct large_undo *u, void *target)
{
    struct stream_pending *p = target;

    if (kind_of(u) == PENDING_SET) {
        undo_pending_set(st, target);
    } else if (kind_of(u) == PENDING_ADDED) {
        stream_count_pending(st, u->now, p->consumer, false);
        stream_discard(st, u->now, p);
    } else {
        p->is_dead = false;
        p->is_dirty = p->is_dirty && u->arg == 0;
        stream_count_pending(st, u->now, p->consumer, true);
    }
}

void stream_undo(struct large *l, const struct large_undo *u)
{
    struct stream *st = of(l);
    void *target = target_of(u);

    switch (kind_of(u)) {
    case ADDED:
    case ADDED_BLOCK:
        undo_add(st, u);
        break;
    case REMOVED:
        undo_remove(st, id_in(u));
        break;
    case DROPPED:
        undo_drop(st, target);
        break;
    case META:
        st->meta = *(struct stream_meta *)target;
        mem_free(target, sizeof(struct stream_meta));
        break;
    case GROUP_ADDED:
    case GROUP_SET:
    case GROUP_DROPPED:
        undo_group(st, u, target);
        break;
    case CONSUMER_ADDED:
    case CONSUMER_SET:
    case CONSUMER_DROPPED:
        undo_consumer(st, u, target);
        break;
    case PENDING_ADDED:
    case PENDING_SET:
    case PENDING_DROPPED:
        undo_pending(st, u, target);
        break;
    case KINDS:
    case KIND_MASK:
        assert(false);
    }
}

/* ---- The section's end ---- */

/* A block that was closed gives back what it had for growing. */
static void shrink_before(struct stream *st, struct stream_id last)
{
    struct id_at at;
    struct stream_block *b =
        id_list_seek_back(&st->blocks, last, &at) ? id_list_at(&st->blocks, at) : NULL;

    if (b != NULL && !b->is_gone) {
        st->bytes -= stream_block_bytes(b);
        b = stream_block_shrink(b);
        id_list_set(&st->blocks, at, b);
        st->bytes += stream_block_bytes(b);
    }
}

static void end_pending_set(struct stream *st, struct old_pending *old)
{
    size_t scrap = 0;

    if (old->consumer != old->pending->consumer) {
        (void)id_list_remove(&old->consumer->pending, old->pending,
                             old->group->is_gone || old->consumer->is_gone ? &scrap : &st->bytes);
    }
    mem_free(old, sizeof(*old));
}

static void end_one(struct stream *st, const struct large_undo *u)
{
    void *target = target_of(u);

    if (kind_of(u) == DROPPED) {
        for (struct stream_block *b = target; b != NULL; b = b->next) {
            (void)id_list_remove(&st->blocks, b, &st->bytes);
            st->gone_blocks--;
        }
    } else if (kind_of(u) == CONSUMER_DROPPED) {
        stream_unlist_consumer(st, u->now, target);
    } else if (kind_of(u) == PENDING_DROPPED && u->arg != 0) {
        struct stream_pending *p = target;

        p->is_dirty = false;
        if (p->is_dead) {
            stream_discard(st, u->now, p);
        }
    } else if (kind_of(u) == META) {
        mem_free(target, sizeof(struct stream_meta));
    } else if (kind_of(u) == GROUP_SET) {
        mem_free(target, sizeof(struct old_group));
    }
}

/* What left for good is taken out of the lists: first what changed hands, while all is still there. */
void stream_end(struct large *l, const struct large_undo *v, size_t n, bool is_kept)
{
    struct stream *st = of(l);

    for (size_t i = 0; i < n; i++) {
        (void)slices_tick(2);
        if (kind_of(&v[i]) == PENDING_SET) {
            end_pending_set(st, target_of(&v[i]));
        }
    }
    for (size_t i = 0; i < n; i++) {
        (void)slices_tick(4);
        end_one(st, &v[i]);
    }
    for (size_t i = 0; is_kept && i < n; i++) {
        (void)slices_tick(2);
        if (kind_of(&v[i]) == ADDED_BLOCK) {
            shrink_before(st, id_in(&v[i]));
        }
    }
}
