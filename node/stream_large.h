/* stream_large.h - a stream in memory: its entries in blocks, its groups, and the changes to them.
 *
 * Locks    node/large.h's.
 * Undo     what leaves the stream stays where it is, marked as gone, until the section has ended: taking
 *          that back needs no memory. So whoever walks passes over what is gone or not live.
 * Section  the changes below take the section that holds the stream (large_hold()), or NULL for a stream
 *          that nobody sees yet (RESTORE reads into one).
 * Failure  ERR_NOMEM: nothing was changed, and the section has failed.
 */
#ifndef NODE_STREAM_LARGE_H
#define NODE_STREAM_LARGE_H

#include "node/id_list.h"
#include "node/large.h"
#include "node/stream_block.h"

/* Sorted pointers to things that begin with their name. Zeroed is empty. */
struct stream_names {
    void **v; /* owned */
    uint32_t count, cap;
};

struct stream_meta {
    struct stream_id last_id;     /* the greatest ever */
    struct stream_id max_deleted; /* the greatest that XDEL took */
    uint64_t entries_added;       /* ever */
};

struct stream {
    struct large large; /* first */
    struct stream_meta meta;
    uint64_t length;
    struct id_list blocks;
    size_t gone_blocks; /* of those listed */
    struct stream_names groups;
    size_t bytes; /* of all that belongs to it */
};

enum { STREAM_READ_UNKNOWN = -1 };

struct stream_group {
    struct slice name; /* first */
    struct stream_id last_id;
    int64_t entries_read; /* or STREAM_READ_UNKNOWN */
    struct id_list pending;
    size_t pending_count; /* live */
    struct stream_names consumers;
    bool is_gone;
};

struct stream_consumer {
    struct slice name; /* first */
    int64_t seen_ms;
    int64_t active_ms; /* -1: never */
    struct id_list pending;
    size_t pending_count; /* live */
    bool is_gone;
};

struct stream_pending {
    struct stream_id id; /* first */
    int64_t time_ms;
    uint64_t count;
    struct stream_consumer *consumer;
    bool is_dead;
    bool is_dirty; /* the journal will look at it */
};

static inline struct stream *stream_of(const struct entry *e)
{
    return entry_pointer(e);
}

/* A stream that the section makes: freed if it is given up. NULL: the section has failed. */
struct stream *stream_large_create(struct section *s);
/* One that nobody sees. NULL: no memory. */
struct stream *stream_large_new(void);
bool stream_large_free(void *object, size_t *budget); /* rcu_free_fn */
struct stream *stream_large_copy(const struct stream *from);

/* ---- Looking, under the lock or in a section ---- */

struct stream_group *stream_group_find(const struct stream *st, struct slice name);
struct stream_consumer *stream_consumer_find(const struct stream_group *g, struct slice name);
/* NULL: not pending. */
struct stream_pending *stream_pending_find(const struct stream_group *g, struct stream_id id);
static inline bool stream_pending_is_live(const struct stream_pending *p)
{
    return !p->is_dead && !p->consumer->is_gone;
}
/* A group's pending entries from `id` on, of one consumer or (NULL) of all: the first not below it. */
struct stream_pending *stream_pending_seek(const struct stream_group *g,
                                           const struct stream_consumer *of, struct stream_id id);
struct stream_pending *stream_pending_last(const struct stream_group *g);

/* Blocks that are there: the first one, and so on; NULL at the end. */
struct stream_block *stream_block_first(const struct stream *st);
struct stream_block *stream_block_last_one(const struct stream *st);
/* The block that would hold id: the last that begins at or before it. */
struct stream_block *stream_block_at_or_before(const struct stream *st, struct stream_id id,
                                               struct id_at *at);
size_t stream_block_count(const struct stream *st);

/* ---- Changing ---- */

/* id is above the last. */
MUST_CHECK int stream_large_add(struct section *s, struct stream *st, struct stream_id id,
                                const struct slice *parts, size_t n);
/* For RESTORE: a block as it is, taken over. Its ids are above those before. */
MUST_CHECK int stream_large_add_block(struct stream *st, struct stream_block *b);
/* Removes an entry; *found false: it is not there. A block goes with its last one, unless keep_block (so
 * it is when trimming by id: Redis' blocks end up the same). */
MUST_CHECK int stream_large_remove(struct section *s, struct stream *st, struct stream_id id,
                                   bool keep_block, bool *found);
/* Removes the first n blocks whole. */
MUST_CHECK int stream_large_drop(struct section *s, struct stream *st, size_t n);
MUST_CHECK int stream_large_set_meta(struct section *s, struct stream *st,
                                     const struct stream_meta *meta);

MUST_CHECK int stream_group_add(struct section *s, struct stream *st, struct slice name,
                                struct stream_id last_id, int64_t entries_read);
MUST_CHECK int stream_group_set(struct section *s, struct stream *st, struct stream_group *g,
                                struct stream_id last_id, int64_t entries_read);
int stream_group_drop(struct section *s, struct stream *st, struct stream_group *g);
MUST_CHECK int stream_consumer_add(struct section *s, struct stream *st, struct stream_group *g,
                                   struct slice name, int64_t seen_ms);
MUST_CHECK int stream_consumer_set(struct section *s, struct stream *st, struct stream_consumer *c,
                                   int64_t seen_ms, int64_t active_ms);
int stream_consumer_drop(struct section *s, struct stream *st, struct stream_group *g,
                         struct stream_consumer *c);
/* The entry is pending for that consumer with these, whatever was. */
struct stream_delivery {
    struct stream_id id;
    int64_t time_ms;
    uint64_t count;
};
MUST_CHECK int stream_pending_put(struct section *s, struct stream *st, struct stream_group *g,
                                  struct stream_consumer *c, const struct stream_delivery *d);
/* It is live. */
MUST_CHECK int stream_pending_drop(struct section *s, struct stream *st, struct stream_group *g,
                                   struct stream_pending *p);

#endif
