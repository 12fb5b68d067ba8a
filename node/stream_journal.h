/* stream_journal.h - what the changes to a stream leave in the section's journal, and what stream_change.c,
 * which makes them, shares with stream_undo.c, which takes them back.
 *
 * An entry of the journal names its kind in the low bits of `old`, since blocks of memory are aligned to
 * 16 bytes. Where three words do not hold what undoing needs, `old` points to a record, freed at the end.
 */
#ifndef NODE_STREAM_JOURNAL_H
#define NODE_STREAM_JOURNAL_H

#include "node/stream_change.h"

#include <assert.h>

enum stream_kind {
    ADDED,       /* an entry to the last block; old: the block's packed_bytes; now, arg: last_id */
    ADDED_BLOCK, /* a block of one entry; now, arg: last_id */
    REMOVED,     /* an entry; now, arg: its id */
    DROPPED,     /* old: blocks, by `next` */
    META,        /* old: a record of what it was */
    GROUP_ADDED, /* old: it */
    GROUP_SET,   /* old: a record */
    GROUP_DROPPED,
    CONSUMER_ADDED, /* old: it; now: its group */
    CONSUMER_SET,   /* now, arg: the times before */
    CONSUMER_DROPPED,
    PENDING_ADDED,   /* old: it; now: its group */
    PENDING_SET,     /* old: a record */
    PENDING_DROPPED, /* now: its group; arg: whether it became dirty by this */
    KINDS,
    KIND_MASK = 15
};

_Static_assert(KINDS <= KIND_MASK + 1, "the kind fits");

struct old_group {
    struct stream_group *group;
    struct stream_id last_id;
    int64_t entries_read;
};

struct old_pending {
    struct stream_pending *pending;
    struct stream_group *group;
    struct stream_consumer *consumer;
    int64_t time_ms;
    uint64_t count;
    bool is_dead;
    bool was_live;
    bool is_listed; /* this put it into its new consumer's list */
};

static inline struct stream *of(struct large *l)
{
    return (struct stream *)(void *)l; /* it begins with it */
}

static inline void *tag(void *p, enum stream_kind kind)
{
    assert(((uintptr_t)p & KIND_MASK) == 0);
    return (char *)p + kind;
}

static inline enum stream_kind kind_of(const struct large_undo *u)
{
    return (enum stream_kind)((uintptr_t)u->old & KIND_MASK);
}

static inline void *target_of(const struct large_undo *u)
{
    return (char *)u->old - ((uintptr_t)u->old & KIND_MASK);
}

static inline void *word(uint64_t n)
{
    return (void *)(uintptr_t)n;
}

static inline struct stream_id id_in(const struct large_undo *u)
{
    return (struct stream_id){(uintptr_t)u->now, (uint64_t)u->arg};
}

/* In stream_change.c. */
bool stream_last_place(const struct stream *st, struct id_at *at);
void stream_names_put(struct stream_names *l, void *thing);
void stream_names_take(struct stream_names *l, const void *thing);
struct stream_block *stream_find_entry(const struct stream *st, struct stream_id id, uint32_t *at);
size_t stream_consumer_bytes(const struct stream_consumer *c, bool with_pending);
size_t stream_group_bytes(const struct stream_group *g);
void stream_unlist_consumer(struct stream *st, struct stream_group *g, struct stream_consumer *c);
void stream_discard(struct stream *st, struct stream_group *g, struct stream_pending *p);
void stream_count_pending(struct stream *st, struct stream_group *g, struct stream_consumer *c,
                          bool in);

#endif
