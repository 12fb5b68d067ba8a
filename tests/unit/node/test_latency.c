/* Moments when something took long. */
#include "base/conf.h"
#include "node/latency.h"
#include "node/options.h"
#include "tests/lib/unit.h"

static void set_threshold(uint64_t ms)
{
    atomic_store_explicit(&opt_latency_monitor_threshold.word, ms, memory_order_relaxed);
}

static void notes_what_is_long(void)
{
    struct latency_sample samples[LATENCY_SAMPLES];
    struct latency_event e;

    set_threshold(0);
    latency_note("command", 1000);
    CU_ASSERT(!latency_event(SLICE("command"), &e));
    set_threshold(50);
    latency_note("command", 49);
    CU_ASSERT(!latency_event(SLICE("command"), &e));
    latency_note("command", 70);
    latency_note("command", 60);
    latency_note("eviction-cycle", 90);
    CU_ASSERT_FATAL(latency_event(SLICE("command"), &e));
    CU_ASSERT_EQUAL(e.max_ms, 70);
    /* One a second, the worst of it; the second may just have ended. */
    CU_ASSERT(latency_history(&e, samples) <= 2);
    CU_ASSERT_EQUAL(samples[0].ms, 70);
}

static void forgets_on_demand(void)
{
    struct latency_event events[LATENCY_EVENTS];

    set_threshold(1);
    (void)latency_reset((struct slice){NULL, 0});
    latency_note("a", 5);
    latency_note("b", 5);
    latency_note("c", 5);
    CU_ASSERT_EQUAL(latency_events(events), 3);
    CU_ASSERT_EQUAL(latency_reset(SLICE("b")), 1);
    CU_ASSERT_EQUAL(latency_reset(SLICE("b")), 0);
    CU_ASSERT_EQUAL_FATAL(latency_events(events), 2);
    CU_ASSERT_STRING_EQUAL(events[0].name, "a");
    CU_ASSERT_STRING_EQUAL(events[1].name, "c");
    CU_ASSERT_EQUAL(latency_reset((struct slice){NULL, 0}), 2);
    CU_ASSERT_EQUAL(latency_events(events), 0);
    set_threshold(0);
}

/* The ring, filled past its end as seconds would. */
static void history_is_in_order(void)
{
    static struct latency_event e;
    struct latency_sample samples[LATENCY_SAMPLES];

    for (uint32_t i = 0; i < LATENCY_SAMPLES + 40; i++) {
        e.samples[e.next] = (struct latency_sample){1000 + i, i};
        e.next = (e.next + 1) % LATENCY_SAMPLES;
    }
    CU_ASSERT_EQUAL(latency_history(&e, samples), LATENCY_SAMPLES);
    CU_ASSERT_EQUAL(samples[0].ms, 40);
    CU_ASSERT_EQUAL(samples[LATENCY_SAMPLES - 1].ms, LATENCY_SAMPLES + 39);
}

const struct unit_test test_latency[] = {UNIT(notes_what_is_long), UNIT(forgets_on_demand),
                                         UNIT(history_is_in_order), UNIT_END};
