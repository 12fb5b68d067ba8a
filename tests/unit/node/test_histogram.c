#include "node/histogram.h"

#include "tests/lib/unit.h"

#include <string.h>

static void buckets_meet_without_a_gap(void)
{
    uint32_t last = 0;

    for (uint64_t v = 128; v < (uint64_t)1 << 52; v += v / 64 + 1) {
        uint32_t b = histogram_bucket(v);

        CU_ASSERT(b >= last);
        CU_ASSERT((double)v < histogram_bound(b));
        CU_ASSERT(b == 0 || (double)v >= histogram_bound(b - 1));
        /* An eighth of a power of two is the most that a value can be off. */
        CU_ASSERT(b == 0 || histogram_bound(b) <= histogram_bound(b - 1) * 1.125);
        last = b;
    }
    CU_ASSERT_EQUAL(histogram_bucket(0), 0);
    CU_ASSERT_EQUAL(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void quantiles_are_near(void)
{
    static struct histogram h;
    static struct histogram_sum sum;

    memset(&sum, 0, sizeof(sum));
    histogram_reset(&h);
    CU_ASSERT_EQUAL(histogram_quantile(&sum, 0.5), 0);
    for (uint64_t v = 1; v <= 100000; v++) {
        histogram_count(&h, v * 100);
    }
    histogram_add(&sum, &h);
    histogram_add(&sum, NULL);
    CU_ASSERT_EQUAL(sum.total, 100000);
    CU_ASSERT_DOUBLE_EQUAL(histogram_quantile(&sum, 0.5), 5000000, 100000);
    CU_ASSERT_DOUBLE_EQUAL(histogram_quantile(&sum, 0.99), 9900000, 500000);
    CU_ASSERT(histogram_quantile(&sum, 0.999) > histogram_quantile(&sum, 0.99));
    histogram_add(&sum, &h); /* another worker's, alike */
    CU_ASSERT_DOUBLE_EQUAL(histogram_quantile(&sum, 0.5), 5000000, 100000);
}

/* Few slow ones among many quick ones are what a mean hides. */
static void shows_the_slow_few(void)
{
    static struct histogram h;
    static struct histogram_sum sum;

    for (int i = 0; i < 1000; i++) {
        histogram_count(&h, i < 5 ? 1000000 : 1000);
    }
    histogram_add(&sum, &h);
    CU_ASSERT_DOUBLE_EQUAL(histogram_quantile(&sum, 0.5), 1000, 130);
    CU_ASSERT_DOUBLE_EQUAL(histogram_quantile(&sum, 0.99), 1000, 130);
    CU_ASSERT_DOUBLE_EQUAL(histogram_quantile(&sum, 0.999), 1000000, 130000);
}

const struct unit_test test_histogram[] = {
    UNIT(buckets_meet_without_a_gap),
    UNIT(quantiles_are_near),
    UNIT(shows_the_slow_few),
    UNIT_END,
};
