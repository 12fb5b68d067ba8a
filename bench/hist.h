/* hist.h - latencies counted in log-linear buckets, exact to 1.6 %.
 *
 * Values up to 64 have a bucket each; above, every power of two is cut into 64. Recording is a shift
 * and an add, so it can be done for each operation of a load that must be cheaper than its server.
 *
 * Ownership  embedded by the caller, who zeroes it; no memory of its own.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

enum { HIST_SUB_BITS = 6, HIST_BUCKETS = (64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS };

struct hist {
    uint64_t count;
    uint64_t max;
    uint64_t bucket[HIST_BUCKETS];
};

static inline void hist_add(struct hist *h, uint64_t value)
{
    unsigned shift = 0;

    if (value >= (1u << HIST_SUB_BITS)) {
        shift = 63u - (unsigned)__builtin_clzll(value) - HIST_SUB_BITS;
        /* value >> shift is in [64, 128): the octave's number is shift + 1, its place the rest. */
        h->bucket[((uint64_t)shift << HIST_SUB_BITS) + (value >> shift)]++;
    } else {
        h->bucket[value]++;
    }
    h->count++;
    h->max = value > h->max ? value : h->max;
}

/* The largest value that could stand in the bucket where the share `part` of all values ends. */
static inline uint64_t hist_at(const struct hist *h, double part)
{
    uint64_t want = (uint64_t)((double)h->count * part);
    uint64_t seen = 0;

    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen > want) {
            uint32_t shift = i < (2u << HIST_SUB_BITS) ? 0 : (i >> HIST_SUB_BITS) - 1;
            uint64_t low = (uint64_t)(i - (shift << HIST_SUB_BITS)) << shift;
            uint64_t high = low + (1ull << shift) - 1;

            return high < h->max ? high : h->max;
        }
    }
    return h->max;
}

#endif
