#include "base/clock.h"

#include "base/log.h"

#include <stdbool.h>
#include <time.h>

enum { STEP_MS = 1000 };

_Atomic int64_t clock_word;

static void system_clocks(int64_t *mono_ns, int64_t *wall_ms)
{
    *mono_ns = clock_mono_ns();
    *wall_ms = clock_wall_ms();
}

static clock_source_fn source = system_clocks;
/* One thread at a time corrects the offset; the others use what it was. */
static atomic_flag correcting = ATOMIC_FLAG_INIT;
static _Atomic int64_t offset_ms; /* word = monotonic ms + offset */
static int64_t corrected_at_ms;   /* guarded by correcting */
static bool is_behind_step;       /* guarded by correcting: a step back was logged */

int64_t clock_mono_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_wall_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void raise_word(int64_t to_ms)
{
    int64_t seen = atomic_load_explicit(&clock_word, memory_order_relaxed);

    /* Release: pairs with clock_now_ms(). */
    while (seen < to_ms &&
           !atomic_compare_exchange_weak_explicit(&clock_word, &seen, to_ms, memory_order_release,
                                                  memory_order_relaxed)) {
    }
}

static void correct(int64_t mono_ms, int64_t wall_ms)
{
    int64_t offset = atomic_load_explicit(&offset_ms, memory_order_relaxed);
    int64_t ahead = mono_ms + offset - wall_ms; /* of the word over the wall clock */
    int64_t passed = mono_ms - corrected_at_ms;

    if (offset == 0 || -ahead >= STEP_MS) {
        if (offset != 0) {
            log_warn("clock: stepped forward ms=%lld", (long long)-ahead);
        }
        offset = wall_ms - mono_ms;
    } else if (ahead > 0) {
        if (ahead >= STEP_MS && !is_behind_step) {
            log_warn("clock: the wall clock stepped back ms=%lld; running at half speed",
                     (long long)ahead);
        }
        is_behind_step = ahead >= STEP_MS;
        offset -= ahead < passed / 2 ? ahead : passed / 2;
    } else {
        offset -= ahead;
    }
    corrected_at_ms = mono_ms;
    atomic_store_explicit(&offset_ms, offset, memory_order_relaxed);
}

void clock_advance(void)
{
    int64_t mono_ns;
    int64_t wall_ms;

    source(&mono_ns, &wall_ms);
    int64_t mono_ms = mono_ns / 1000000;

    /* Acquire and release pair with each other: the correctors' plain fields. */
    if (!atomic_flag_test_and_set_explicit(&correcting, memory_order_acquire)) {
        if (mono_ms - corrected_at_ms >= 2 || corrected_at_ms == 0) {
            correct(mono_ms, wall_ms);
        }
        atomic_flag_clear_explicit(&correcting, memory_order_release);
    }
    raise_word(mono_ms + atomic_load_explicit(&offset_ms, memory_order_relaxed));
}

void clock_source_set(clock_source_fn fn)
{
    source = fn == NULL ? system_clocks : fn;
    corrected_at_ms = 0;
    atomic_store_explicit(&offset_ms, 0, memory_order_relaxed);
    atomic_store_explicit(&clock_word, 0, memory_order_relaxed);
}
