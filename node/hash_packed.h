/* hash_packed.h - the packed form of a hash: its fields one after another in the entry's payload.
 *
 *   flags (1: some field expires, 2: all are alike) | count, 2 bytes |
 *   with flag 1: earliest and dead_at, 8 bytes each | with flag 2: length of each name | length of each value |
 *   for each field, in the order they were first set:
 *     length of the name | length of the value * 2 + 1 if it expires | moment, 8 bytes if so | name | value
 *
 * Fields that are alike, none of which expires, are names and values only: what maps ids to counts or digests
 * takes two bytes a field less. A block whose fields came one by one is so if each was like the first.
 *
 * Lengths are node/packed.h's; numbers are in the machine's order. dead_at is when the last field expires, or 0 while some field never does.
 *
 * A block is never changed: whoever writes takes the live fields apart, changes the list, and puts a
 * new block together. The fields point into the block they came from.
 */
#ifndef NODE_HASH_PACKED_H
#define NODE_HASH_PACKED_H

#include "node/type_hash.h"

enum { HASH_PACKED_FIELDS_MAX = UINT16_MAX };

/* Walks a block. */
struct hash_packed_walk {
    const char *at, *end;
    bool is_alike;
    size_t name_len, value_len; /* … of each */
};

void hash_packed_begin(struct slice block, struct hash_packed_walk *w);
/* False at the end. Expired ones included. */
bool hash_packed_next(struct hash_packed_walk *w, struct hash_field *out);
/* Live at now_ms, or any with now_ms 0. */
bool hash_packed_find(struct slice block, struct slice name, int64_t now_ms,
                      struct hash_field *out);

size_t hash_packed_total(struct slice block); /* expired ones included */
size_t hash_packed_count(struct slice block, int64_t now_ms);
int64_t hash_packed_earliest(struct slice block); /* 0: none expires */
bool hash_packed_is_dead(struct slice block, int64_t now_ms);

/* What a block of these fields takes, and putting it there. */
size_t hash_packed_bytes(const struct hash_field *fields, size_t n);
void hash_packed_write(char *block, const struct hash_field *fields, size_t n);

/* One field set in a block none of whose fields expires, nor the new one: what is before and behind it is
 * copied as it is. False: the block has expiries, or its fields are alike and this one is not like them. */
struct hash_packed_cut {
    size_t from, to; /* what the field takes now; at the end when it is not there */
    bool is_new, is_only, is_alike;
};
bool hash_packed_cut(struct slice block, const struct hash_field *f, struct hash_packed_cut *out);
size_t hash_packed_spliced_bytes(struct slice block, const struct hash_packed_cut *cut,
                                 const struct hash_field *f);
void hash_packed_splice(char *out, struct slice block, const struct hash_packed_cut *cut,
                        const struct hash_field *f);

#endif
