/* hll.h - HyperLogLogs as Redis keeps them in a string: the same bytes, so that values may be exchanged.
 *
 *   "HYLL" | form, 1 byte | 3 unused | count, 8 bytes little-endian, its top bit: not known | registers
 *
 * 16384 registers, each the longest run of zeros (plus one) among the hashes that fell to it. Dense, they
 * stand six bits each, lowest first, in 12288 bytes. Sparse, they are runs:
 *
 *   00llllll            l+1 registers are 0
 *   01llllll llllllll   l+1 registers are 0, up to all
 *   1vvvvvll            l+1 registers are v+1, up to 32
 *
 * A sparse value becomes dense when a register passes 32 or it takes more than hll-sparse-max-bytes, and
 * never goes back. Values come from clients (SET), so that all of this is checked where it is read.
 */
#ifndef NODE_HLL_H
#define NODE_HLL_H

#include "base/annot.h"
#include "base/buf.h"

enum {
    HLL_HEAD = 16,
    HLL_COUNT_AT = 8,
    HLL_UNKNOWN_AT = 15, /* the byte whose top bit says that the count is not known */
    HLL_REGISTERS = 16384,
    HLL_DENSE_BYTES = HLL_HEAD + HLL_REGISTERS * 6 / 8,
    HLL_GROUP = 4, /* registers */
    HLL_GROUP_BYTES = 3,
};

/* Whether it has a sound head. */
bool hll_is_one(struct slice v);
bool hll_is_dense(struct slice v);
/* The count that was kept; false: it is not known. */
bool hll_kept(struct slice v, uint64_t *count);

/* An empty one, appended to out. ERR_NOMEM. */
MUST_CHECK int hll_create(struct buf *out);
void hll_forget(char *v);
void hll_keep(char *v, uint64_t count);

/* An element's register, and what it says there: 1 to 51. */
unsigned hll_hash(struct slice element, uint32_t *index);

/* Of a dense one. */
unsigned hll_register(struct slice v, uint32_t index);
void hll_set_register(char *v, uint32_t index, unsigned value);
/* The three bytes in which a register and its neighbours stand, and setting it in a copy of those. */
struct slice hll_group(struct slice v, uint32_t index);
void hll_set_in_group(char group[HLL_GROUP_BYTES], uint32_t index, unsigned value);

/* The register becomes at least `value`. ERR_CORRUPT, ERR_NOMEM. */
MUST_CHECK int hll_raise(struct buf *v, uint32_t index, unsigned value, uint64_t sparse_max,
                         bool *changed);
MUST_CHECK int hll_make_dense(struct buf *v);
/* Each register of v that is higher. ERR_CORRUPT. */
MUST_CHECK int hll_merge(struct slice v, uint8_t registers[HLL_REGISTERS]);
/* How many different elements made these registers. */
uint64_t hll_estimate(const uint8_t registers[HLL_REGISTERS]);
/* The runs of a sparse one as text. */
MUST_CHECK int hll_decode(struct slice v, struct buf *out);

#endif
