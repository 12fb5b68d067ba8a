/* histogram.h - how often something took how long, to an eighth.
 *
 * A bucket is an eighth of a power of two, over all 64 bits, so that no value has to be clamped where
 * every command passes. What is less than 128 may count as 8 more: no command takes so few cycles. 4 KiB.
 *
 * Threads  one thread counts, any sum: relaxed, since figures order nothing.
 */
#ifndef NODE_HISTOGRAM_H
#define NODE_HISTOGRAM_H

#include "base/annot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 3,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS) << HISTOGRAM_SUB_BITS
};

struct histogram {
    _Atomic uint64_t counts[HISTOGRAM_BUCKETS];
};

/* Of several, added up. */
struct histogram_sum {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
};

static inline uint32_t histogram_bucket(uint64_t v)
{
    uint64_t at = v | 1 << HISTOGRAM_SUB_BITS;
    uint32_t octave = 63 ^ (uint32_t)__builtin_clzl(at);

    /* The bits below the highest, which is one more step: hence the two in front. */
    return (octave << HISTOGRAM_SUB_BITS) + (uint32_t)(at >> (octave - HISTOGRAM_SUB_BITS)) -
           ((HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS);
}

static inline void histogram_count(struct histogram *h, uint64_t v)
{
    _Atomic uint64_t *n = &h->counts[histogram_bucket(v)];

    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* NULL, which nobody counted in, is fine. */
uint64_t histogram_total(const struct histogram *h);
void histogram_reset(struct histogram *h);
void histogram_add(struct histogram_sum *sum, const struct histogram *h);

/* The least value that does not fall into a bucket any more. */
double histogram_bound(uint32_t bucket);
/* The value that a part (0 to 1) of all stay within, evenly spread in its bucket; 0 if there is none. */
double histogram_quantile(const struct histogram_sum *sum, double part);

#endif
