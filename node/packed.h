/* packed.h - the packed form of a collection of plain elements: one after another in the entry's payload.
 *
 *   count, 2 bytes in the machine's order | for each: length | bytes
 *
 * Lengths are varints of seven bits a byte, lowest first. A block is never changed: whoever writes makes
 * a new one, as a list of slices of the old one and of arguments. (Hashes and sorted sets have more to an
 * element and blocks of their own, with the same lengths.)
 */
#ifndef NODE_PACKED_H
#define NODE_PACKED_H

#include "base/annot.h"
#include "base/slice.h"

enum { PACKED_MAX = UINT16_MAX, PACKED_HEAD = 2, PACKED_LENGTH_MAX = 10 };

/* ---- Lengths ---- */

static inline const char *packed_read_length(const char *at, size_t *out)
{
    size_t n = (unsigned char)*at++;

    if (UNLIKELY(n >= 0x80)) {
        n &= 0x7f;
        for (int shift = 7;; shift += 7) {
            size_t byte = (unsigned char)*at++;

            n |= (byte & 0x7f) << shift;
            if (byte < 0x80) {
                break;
            }
        }
    }
    *out = n;
    return at;
}

static inline char *packed_write_length(char *at, size_t n)
{
    while (n >= 0x80) {
        *at++ = (char)(n | 0x80);
        n >>= 7;
    }
    *at++ = (char)n;
    return at;
}

static inline size_t packed_length_bytes(size_t n)
{
    return 1 + (size_t)(63 - __builtin_clzll(n | 1)) / 7;
}

static inline char *packed_write_bytes(char *at, struct slice bytes)
{
    if (bytes.len > 0) {
        memcpy(at, bytes.ptr, bytes.len);
    }
    return at + bytes.len;
}

/* ---- Blocks ---- */

struct packed_walk {
    const char *at, *end;
};

static inline size_t packed_count(struct slice block)
{
    uint16_t n;

    memcpy(&n, block.ptr, sizeof(n));
    return n;
}

static inline void packed_begin(struct slice block, struct packed_walk *w)
{
    *w = (struct packed_walk){block.ptr + PACKED_HEAD, block.ptr + block.len};
}

/* False at the end. */
static inline bool packed_next(struct packed_walk *w, struct slice *out)
{
    if (w->at == w->end) {
        return false;
    }
    out->ptr = packed_read_length(w->at, &out->len);
    w->at = out->ptr + out->len;
    return true;
}

/* The element at `index`, which is there. */
struct slice packed_at(struct slice block, size_t index);
/* What a block of these elements takes, and putting it there. n ≤ PACKED_MAX. */
size_t packed_bytes(const struct slice *v, size_t n);
void packed_write(char *block, const struct slice *v, size_t n);
/* All elements to out, which has room for packed_count(). */
void packed_read(struct slice block, struct slice *out);

#endif
