/* type_stream.h - streams: what commands may ask of them, and the changes they may make.
 *
 * Always in the large form. A reader opens the stream, which holds its lock outside a section, and closes
 * it before it opens another; groups, consumers and pending entries are read from node/stream_large.h.
 * Writers are called inside the command's section, each writes its operation, and none answers errors: what the
 * caller names is there, what it makes is not.
 */
#ifndef NODE_TYPE_STREAM_H
#define NODE_TYPE_STREAM_H

#include "edge/backend.h"
#include "node/keyspace.h"
#include "node/stream_large.h"

struct stream_view {
    struct large_view view;
    struct stream *st;
};

enum found stream_open(struct cmd *c, struct key key, struct stream_view *out);
void stream_close(struct stream_view *v);

/* ---- Entries in order ---- */

struct stream_walk {
    const struct stream *st;
    struct stream_id from, to; /* both included */
    bool backwards;
    /* private */
    const struct stream_block *block;
    struct id_at place;
    uint32_t at;
};

void stream_walk_begin(struct stream_walk *w, const struct stream *st, struct stream_id from,
                       struct stream_id to, bool backwards);
/* Whether going through what is left of it takes longer than a turn may. */
bool stream_walk_is_long(const struct stream_walk *w);
/* The next entry that was not removed. */
bool stream_walk_next(struct stream_walk *w, struct stream_entry *out);
/* One entry. */
bool stream_get(const struct stream *st, struct stream_id id, struct stream_entry *out);
/* 0-0 when empty. */
struct stream_id stream_first_id(const struct stream *st);
struct stream_id stream_last_id(const struct stream *st);

/* ---- How far a group has come ---- */

/* Whether an entry from `from` on was removed by its id. */
bool stream_has_tombstones(const struct stream *st, struct stream_id from);
/* How many entries there ever were up to id; STREAM_READ_UNKNOWN. */
int64_t stream_estimate_read(const struct stream *st, struct stream_id id);
/* Entries that the group has not read yet; false: unknown. */
bool stream_lag(const struct stream *st, const struct stream_group *g, int64_t *out);

/* ---- Writing ---- */

/* An empty one, where there is none. */
void stream_make(struct cmd *c, struct key key);
/* Behind the last; makes the stream. */
void stream_append(struct cmd *c, struct key key, struct stream_id id, const struct slice *parts,
                   size_t n);

/* What happens to pending entries that point to what is removed. */
enum stream_refs {
    STREAM_KEEP_REFS,
    STREAM_DROP_REFS,
    STREAM_ACKED /* only what every group has read and acknowledged is removed */
};

struct stream_cut {
    bool by_id, approximate;
    uint64_t length;     /* to so many entries */
    struct stream_id id; /* by_id: what is before it goes */
    uint64_t limit;      /* of entries removed; 0: none */
    enum stream_refs refs;
};
/* Returns how many entries went. The stream is there. */
uint64_t stream_trim(struct cmd *c, struct key key, const struct stream_cut *cut);

enum stream_removal { STREAM_NOT_THERE = -1, STREAM_REMOVED = 1, STREAM_REFERRED = 2 };
/* Removes by id; `out` (or NULL) gets what became of each. Returns how many went. */
size_t stream_remove(struct cmd *c, struct key key, const struct stream_id *ids, size_t n,
                     enum stream_refs refs, int8_t *out);
void stream_set_meta(struct cmd *c, struct key key, const struct stream_meta *meta);

/* Makes or sets a group. */
void stream_set_group(struct cmd *c, struct key key, struct slice name, struct stream_id last_id,
                      int64_t entries_read);
void stream_delete_group(struct cmd *c, struct key key, struct slice name);
/* Makes or sets a consumer. */
void stream_set_consumer(struct cmd *c, struct key key, struct slice group, struct slice consumer,
                         int64_t seen_ms, int64_t active_ms);
void stream_delete_consumer(struct cmd *c, struct key key, struct slice group,
                            struct slice consumer);
/* Entries become pending for the consumer. */
void stream_deliver(struct cmd *c, struct key key, struct slice group, struct slice consumer,
                    const struct stream_delivery *v, size_t n);
/* Returns how many were pending. `was` (or NULL): whether each was. */
size_t stream_acknowledge(struct cmd *c, struct key key, struct slice group,
                          const struct stream_id *ids, size_t n, bool *was);

/* New entries for a consumer: up to `count` (0: all) after the group's last, each given to `emit`;
 * they become pending unless no_ack. Returns how many. */
typedef void (*stream_emit_fn)(struct stream_entry *e, void *arg);
struct stream_news {
    struct slice group, consumer;
    uint64_t count;
    bool no_ack;
    stream_emit_fn emit;
    void *arg;
};
size_t stream_read_new(struct cmd *c, struct key key, const struct stream_news *want);

/* The key, which is absent, gets this stream, which nobody saw; taken over. */
void stream_store(struct cmd *c, struct key key, struct stream *st, int64_t expire_at_ms);

/* Applies an operation on a stream. */
struct Godwit__Op;
void stream_apply(struct cmd *c, struct key key, const struct Godwit__Op *op);

#endif
