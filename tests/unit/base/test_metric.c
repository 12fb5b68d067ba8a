#include "base/err.h"
#include "base/metric.h"
#include "tests/lib/unit.h"

#include <pthread.h>

static struct metric metric_a_total = {
    .symbol = "a_total", .help = "A.", .alarm = "Rising.", .kind = METRIC_COUNTER};
static struct metric metric_b = {.symbol = "b", .help = "B.", .alarm = "", .kind = METRIC_GAUGE};
static struct metric metric_c_seconds = {
    .symbol = "c_seconds", .help = "C.", .alarm = "", .kind = METRIC_HISTOGRAM};
static struct metric metric_process_d = {
    .symbol = "process_d", .help = "D.", .alarm = "", .kind = METRIC_GAUGE};

static struct metric *const rows[] = {&metric_a_total, &metric_b, &metric_c_seconds,
                                      &metric_process_d};

static void ask_d(struct metric_out *out, void *arg)
{
    metric_sample(out, "db=\"0\"", *(double *)arg);
    metric_sample(out, "db=\"1\"", 0.5);
}

static void *count(void *arg)
{
    bool own_block = arg != NULL;

    if (own_block && metric_thread_start() != OK) {
        CU_FAIL("no block");
    }
    for (int i = 0; i < 10000; i++) {
        metric_add(&metric_a_total, 1);
        metric_add(&metric_b, i % 2 == 0 ? 3 : -2);
    }
    if (own_block) {
        metric_thread_stop();
    }
    return NULL;
}

/* Threads with and without a block of their own, read while they count and when they are gone. */
static void sums_over_threads(void)
{
    pthread_t threads[6];
    uint64_t before, gauge, last, now;
    static char yes[] = "yes";

    metric_use(rows, 4);
    before = last = metric_sum(&metric_a_total);
    gauge = metric_sum(&metric_b);
    for (int i = 0; i < 6; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, count, i < 4 ? yes : NULL), 0);
    }
    for (int i = 0; i < 200; i++) {
        now = metric_sum(&metric_a_total);
        CU_ASSERT(now >= last); /* a thread that ends must not take its counts along */
        last = now;
    }
    for (int i = 0; i < 6; i++) {
        CU_ASSERT_EQUAL(pthread_join(threads[i], NULL), 0);
    }
    CU_ASSERT_EQUAL(metric_sum(&metric_a_total), before + 60000);
    CU_ASSERT_EQUAL(metric_sum(&metric_b), gauge + 6 * 5000);
}

static void reset_is_for_info_only(void)
{
    uint64_t before;

    metric_use(rows, 4);
    metric_add(&metric_a_total, 5);
    before = metric_sum(&metric_a_total);
    metric_reset();
    CU_ASSERT_EQUAL(metric_since_reset(&metric_a_total), 0);
    metric_add(&metric_a_total, 2);
    CU_ASSERT_EQUAL(metric_since_reset(&metric_a_total), 2);
    CU_ASSERT_EQUAL(metric_sum(&metric_a_total), before + 2);
}

static bool has(struct buf *b, const char *line)
{
    return buf_terminate(b) == OK && strstr(b->ptr, line) != NULL;
}

static void writes_what_prometheus_reads(void)
{
    double d = 1234567;
    struct buf b;

    metric_use(rows, 4);
    metric_ask(&metric_process_d, ask_d, &d);
    metric_add(&metric_b, -(int64_t)metric_sum(&metric_b) - 70000); /* may be below nothing */
    metric_observe(&metric_c_seconds, 999);                         /* under 1 µs */
    metric_observe(&metric_c_seconds, 3000);                        /* 3 µs: at most 4 */
    metric_observe(&metric_c_seconds, 60000000000u); /* a minute: beyond the last bound */
    buf_init(&b);
    CU_ASSERT_EQUAL(metric_write(&b), OK);
    CU_ASSERT(has(&b, "# HELP godwit_a_total A.\n# TYPE godwit_a_total counter\ngodwit_a_total "));
    CU_ASSERT(has(&b, "# TYPE godwit_b gauge\ngodwit_b -70000\n"));
    CU_ASSERT(has(&b, "\nprocess_d{db=\"0\"} 1234567\nprocess_d{db=\"1\"} 0.5\n"));
    CU_ASSERT(has(&b, "\ngodwit_c_seconds_bucket{le=\"1e-06\"} 1\n"));
    CU_ASSERT(has(&b, "\ngodwit_c_seconds_bucket{le=\"2e-06\"} 1\n"));
    CU_ASSERT(has(&b, "\ngodwit_c_seconds_bucket{le=\"4e-06\"} 2\n"));
    CU_ASSERT(has(&b, "\ngodwit_c_seconds_bucket{le=\"16.777216\"} 2\n"));
    CU_ASSERT(has(&b, "\ngodwit_c_seconds_bucket{le=\"+Inf\"} 3\n"));
    CU_ASSERT(has(&b, "\ngodwit_c_seconds_sum 60.000003999\n"));
    CU_ASSERT(has(&b, "\ngodwit_c_seconds_count 3\n"));
    buf_clear(&b);
    CU_ASSERT_EQUAL(metric_manual(&b), OK);
    CU_ASSERT(has(&b, "| `godwit_a_total` | counter | A. | Rising. |\n"));
    buf_fini(&b);
}

const struct unit_test test_metric[] = {
    UNIT(sums_over_threads),
    UNIT(reset_is_for_info_only),
    UNIT(writes_what_prometheus_reads),
    UNIT_END,
};
