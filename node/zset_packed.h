/* zset_packed.h - the packed form of a sorted set: its members in order, in the entry's payload.
 *
 *   count, 2 bytes in the machine's order | for each: length and kind of score | score | member
 *
 * The first is a varint: length shifted left by 2, plus the kind. A score takes no bytes when it is 0, a
 * varint when it is an integer that is not too large, four bytes when a float is exact, else eight. (So -0
 * becomes 0, as in Redis' small form.) A block is never changed: an edit writes another.
 */
#ifndef NODE_ZSET_PACKED_H
#define NODE_ZSET_PACKED_H

#include "node/packed.h"
#include "node/rank_tree.h"
#include "node/type_zset.h"

/* A block without members. */
#define ZSET_PACKED_EMPTY ((struct slice){"\0\0", PACKED_HEAD})

/* The member at `at`, which is before the block's end; returns where the next one is. */
const char *zset_packed_read(const char *at, struct zset_item *out);
size_t zset_packed_item_bytes(const struct zset_item *i);
char *zset_packed_write_item(char *at, const struct zset_item *i);
/* A score as the packed form gives it back. */
double zset_packed_score(double score);

/* Where the member of that rank stands, or the end. */
const char *zset_packed_at(struct slice block, size_t rank);
/* False: it is not there. */
bool zset_packed_find(struct slice block, struct slice member, struct zset_item *out, size_t *rank);
size_t zset_packed_before(struct slice block, const struct rank_bound *b);

/* Another block in the making: some bytes of the old one go, and a member comes. */
struct zset_edit {
    size_t cut_at, cut_len, cut_count;
    size_t put_at; /* in the old block, not within what is cut */
    bool puts;
    struct zset_item item;
};
/* What puts the member (with that score) where it belongs, in place of what it was. False: it was not
 * there; else *old is its score. */
bool zset_packed_edit(struct slice block, struct slice member, double score, struct zset_edit *out,
                      double *old);
/* What removes n from rank `from` on. */
void zset_packed_cut(struct slice block, size_t from, size_t n, struct zset_edit *out);
size_t zset_packed_edited_bytes(struct slice block, const struct zset_edit *e);
void zset_packed_apply(struct slice block, const struct zset_edit *e, char *out);

#endif
