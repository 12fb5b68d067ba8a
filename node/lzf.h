/* lzf.h - the compression of Redis' dumps (LibLZF's format).
 *
 * A control byte below 32 announces that many plus one literal bytes. Else its top three bits and, when
 * they are all set, another byte are a length less two, and its low five bits with one more byte the
 * distance back less one. Pure.
 */
#ifndef NODE_LZF_H
#define NODE_LZF_H

#include "base/annot.h"
#include "base/slice.h"

/* The length in out, or 0 if that would be more than `room`. */
size_t lzf_compress(struct slice in, char *out, size_t room);

/* Writes exactly len bytes, or is false: `in` is not what makes them. */
MUST_CHECK bool lzf_expand(struct slice in, char *out, size_t len);

/* The most that n compressed bytes can become: three make 264. */
static inline uint64_t lzf_expanded_max(uint64_t n)
{
    return (n / 3 + 1) * 264;
}

#endif
