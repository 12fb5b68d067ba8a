#include "node/histogram.h"

#include <math.h>
#include <stddef.h>

void histogram_reset(struct histogram *h)
{
    for (uint32_t i = 0; h != NULL && i < HISTOGRAM_BUCKETS; i++) {
        atomic_store_explicit(&h->counts[i], 0, memory_order_relaxed);
    }
}

uint64_t histogram_total(const struct histogram *h)
{
    uint64_t total = 0;

    for (uint32_t i = 0; h != NULL && i < HISTOGRAM_BUCKETS; i++) {
        total += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
    }
    return total;
}

void histogram_add(struct histogram_sum *sum, const struct histogram *h)
{
    for (uint32_t i = 0; h != NULL && i < HISTOGRAM_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&h->counts[i], memory_order_relaxed);

        sum->counts[i] += n;
        sum->total += n;
    }
}

double histogram_bound(uint32_t bucket)
{
    const uint32_t steps = 1 << HISTOGRAM_SUB_BITS;
    uint32_t next = bucket + 1;

    return ldexp(1 + (double)(next % steps) / steps, (int)(next / steps) + HISTOGRAM_SUB_BITS);
}

double histogram_quantile(const struct histogram_sum *sum, double part)
{
    double wanted = part * (double)sum->total;
    double below = 0;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        double n = (double)sum->counts[i];

        if (n > 0 && below + n >= wanted) {
            double from = i == 0 ? 0 : histogram_bound(i - 1);

            return from + (histogram_bound(i) - from) * (wanted - below) / n;
        }
        below += n;
    }
    return 0;
}
