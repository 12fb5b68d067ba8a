/* vlist_item.h - how an element of a list lies among its neighbours, in packed blocks and in chunks alike:
 *
 *   length | bytes | how many bytes length and bytes take, to be read backwards
 *
 * The first is node/packed.h's varint, the last the same with its bytes turned round, so that a list is
 * walked from either end.
 *
 * A packed list is its count, 2 bytes, its number (node/type_list.h), 4 bytes, both in the machine's order,
 * and its elements.
 */
#ifndef NODE_VLIST_ITEM_H
#define NODE_VLIST_ITEM_H

#include "base/slice.h"
#include "node/packed.h"

enum { VLIST_HEAD_BYTES = PACKED_HEAD + 4 };

static inline uint32_t vlist_packed_number(struct slice block)
{
    uint32_t n;

    memcpy(&n, block.ptr + PACKED_HEAD, sizeof(n));
    return n;
}

static inline struct slice vlist_packed_items(struct slice block)
{
    return (struct slice){block.ptr + VLIST_HEAD_BYTES, block.len - VLIST_HEAD_BYTES};
}

static inline size_t vlist_item_bytes(size_t len)
{
    size_t n = packed_length_bytes(len) + len;

    return n + packed_length_bytes(n);
}

static inline char *vlist_item_write(char *at, struct slice s)
{
    const char *from = at;

    at = packed_write_length(at, s.len);
    at = packed_write_bytes(at, s);
    size_t n = (size_t)(at - from);
    size_t bytes = packed_length_bytes(n);

    at += bytes;
    for (size_t i = 1; i <= bytes; i++, n >>= 7) {
        at[-(ptrdiff_t)i] = (char)((n & 0x7f) | (i < bytes ? 0x80 : 0));
    }
    return at;
}

/* The element that begins at `at`; returns where the next one does. */
static inline const char *vlist_item_read(const char *at, struct slice *out)
{
    out->ptr = packed_read_length(at, &out->len);
    const char *end = out->ptr + out->len;

    return end + packed_length_bytes((size_t)(end - at));
}

/* The element that ends at `end`; returns where it begins. */
static inline const char *vlist_item_read_back(const char *end, struct slice *out)
{
    size_t n = 0;

    for (int shift = 0;; shift += 7) {
        size_t byte = (unsigned char)*--end;

        n |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            break;
        }
    }
    const char *at = end - n;

    out->ptr = packed_read_length(at, &out->len);
    return at;
}

/* Where element number `index` of `count` in [begin, end) begins; `end` for index == count. */
static inline const char *vlist_item_seek(const char *begin, const char *end, size_t count,
                                          size_t index)
{
    struct slice s;

    if (index <= count / 2) {
        for (; index > 0; index--) {
            begin = vlist_item_read(begin, &s);
        }
        return begin;
    }
    for (; index < count; index++) {
        end = vlist_item_read_back(end, &s);
    }
    return end;
}

#endif
