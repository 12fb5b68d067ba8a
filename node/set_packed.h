/* set_packed.h - the packed form of a set: all integers, in order, or strings as they came.
 *
 *   width, 1 byte | the integers, `width` bytes each, ascending       (width 2, 4 or 8)
 *   0             | a block of node/packed.h                          (strings)
 *
 * Numbers are in the machine's order. An integer is what prints as the same text, so that either kind
 * gives the same members. A block is never changed: whoever writes makes a new one.
 */
#ifndef NODE_SET_PACKED_H
#define NODE_SET_PACKED_H

#include "base/buf.h"
#include "base/slice.h"

#include <assert.h>

enum { SET_PACKED_HEAD = 1 };

/* Room for a member's text that is made of an integer. */
struct set_digits {
    char text[BUF_I64_MAX];
};

static inline unsigned set_packed_width(struct slice block)
{
    assert(block.len > SET_PACKED_HEAD);
    return (unsigned char)block.ptr[0];
}

static inline bool set_packed_is_ints(struct slice block)
{
    return set_packed_width(block) != 0;
}

/* What packed.h knows, of a block of strings. */
static inline struct slice set_packed_strings(struct slice block)
{
    return (struct slice){block.ptr + SET_PACKED_HEAD, block.len - SET_PACKED_HEAD};
}

/* The narrowest width that holds a number. */
static inline unsigned set_int_width(int64_t n)
{
    return n == (int16_t)n ? 2 : n == (int32_t)n ? 4 : 8;
}

size_t set_packed_count(struct slice block);
/* Of a block of integers, index < count. */
int64_t set_packed_int(struct slice block, size_t index);
/* Where a number is, or belongs. */
bool set_packed_find_int(struct slice block, int64_t n, size_t *index);
bool set_packed_has(struct slice block, struct slice member);
/* Of any block; the digits live as long as `room`. */
struct slice set_packed_at(struct slice block, size_t index, struct set_digits *room);

/* From member to member. */
struct set_packed_walk {
    struct slice block;
    size_t index, count;
    const char *at, *end; /* of strings */
};
void set_packed_begin(struct slice block, struct set_packed_walk *w);
/* False at the end. */
bool set_packed_next(struct set_packed_walk *w, struct set_digits *room, struct slice *out);

/* Putting together: n > 0, numbers ascending. */
size_t set_packed_int_bytes(const int64_t *v, size_t n);
void set_packed_write_ints(char *block, const int64_t *v, size_t n);
size_t set_packed_string_bytes(const struct slice *v, size_t n);
void set_packed_write_strings(char *block, const struct slice *v, size_t n);
/* One more in a block of integers that are as wide as it, or of strings. */
void set_packed_write_with_int(char *out, struct slice block, int64_t n, size_t index);
void set_packed_write_with_string(char *out, struct slice block, struct slice member);

#endif
