/* stream_block.h - consecutive entries of a stream in one allocation.
 *
 *    shared field names | entry | entry | …
 *    entry: flags, a byte | length of what follows but for the last | ms, seq | fields | entry's length
 *
 * The first entry's field names are the block's: an entry with the same ones keeps its values only. Numbers
 * are varints; ms is the distance to the block's first, seq too where ms is the same, else it stands whole.
 * The length at the end is written backwards, for walking from the end. Removing sets a flag; the bytes go with the block.
 *
 * A block ends where Redis would begin another: `packed_bytes` is what its form of the same entries takes,
 * which is why XTRIM ~ and XINFO come to the same.
 */
#ifndef NODE_STREAM_BLOCK_H
#define NODE_STREAM_BLOCK_H

#include "node/stream_id.h"

struct stream_block {
    struct stream_id first;    /* of the first entry that ever was in it; first (node/id_list.h) */
    struct stream_block *next; /* among those retired together */
    uint32_t cap, used;        /* of bytes[] */
    uint32_t live, marked;     /* entries; those removed */
    uint32_t packed_bytes;     /* without the two counts that Redis' form begins with */
    uint32_t shared;           /* field names at the beginning */
    uint32_t shared_bytes;
    bool is_gone; /* left the stream, and is kept for undoing */
    char bytes[];
};

struct stream_entry {
    struct stream_id id;
    bool removed;
    bool is_shared; /* names are the block's */
    uint32_t fields;
    const char *names; /* of shared ones; the caller's place for stream_entry_field() */
    const char *at;
};

/* Of Redis' form, whole. */
uint64_t stream_block_packed(const struct stream_block *b);
size_t stream_block_bytes(const struct stream_block *b); /* by size class */

/* The first entry's block, with room for `room` bytes at least. parts: names and values in turn, n of both
 * together. NULL: no memory. */
struct stream_block *stream_block_create(struct stream_id id, const struct slice *parts, size_t n,
                                         size_t room);
/* An entry behind the last; may move the block. ERR_NOMEM. */
MUST_CHECK int stream_block_add(struct stream_block **b, struct stream_id id,
                                const struct slice *parts, size_t n);
void stream_block_free(struct stream_block *b);
/* To its entries' size, if memory allows. */
struct stream_block *stream_block_shrink(struct stream_block *b);
struct stream_block *stream_block_copy(const struct stream_block *b);

/* ---- Walking ---- */

/* Offsets into bytes[] from stream_block_begin() (the first entry) to `used` (the end). */
static inline uint32_t stream_block_begin(const struct stream_block *b)
{
    return b->shared_bytes;
}
/* The entry at `at`, which is not the end; returns the next one's place. */
uint32_t stream_block_read(const struct stream_block *b, uint32_t at, struct stream_entry *out);
/* The place of the entry before `at`, which is not the first. */
uint32_t stream_block_before(const struct stream_block *b, uint32_t at);
/* Removed or not. False: none has this id. */
bool stream_block_find(const struct stream_block *b, struct stream_id id, uint32_t *at);
/* The first entry not below id; `used` if there is none. */
uint32_t stream_block_seek(const struct stream_block *b, struct stream_id id);
/* The last entry's id, removed or not. */
struct stream_id stream_block_last(const struct stream_block *b);
/* Sets or takes back the removal of the entry at `at`, and counts it. */
void stream_block_mark(struct stream_block *b, uint32_t at, bool removed);
/* Takes the last entry off. */
void stream_block_drop_last(struct stream_block *b, uint32_t packed_bytes_before);

/* The entry's next field, `fields` times. */
void stream_entry_field(struct stream_entry *e, struct slice *name, struct slice *value);
/* Field names of the block. */
const char *stream_name(const char *at, struct slice *out);

/* What Redis' packed form takes for an element. */
size_t stream_packed_int(int64_t n);
size_t stream_packed_text(struct slice s);

#endif
