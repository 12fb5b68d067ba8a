/* clock.h - time. Monotonic nanoseconds for intervals; the node's clock word for everything that a
 * client can see expire.
 *
 * The word is in milliseconds since 1970 and only rises. It follows the wall clock: small differences
 * are slewed away, a step forward of a second or more is taken at once and logged, a step back is
 * logged and made up for by running at half speed. Whoever wakes advances it. Expiry is judged
 * against the word, loaded after the entry, so that what one reader has seen expire no later one
 * sees alive.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

int64_t clock_mono_ns(void);
int64_t clock_wall_ms(void);

extern _Atomic int64_t clock_word;

static inline int64_t clock_now_ms(void)
{
    /* Acquire: an observer of an expiry who then tells another thread has the word pass before.
     * Sequentially consistent, which costs a load nothing here, for S5 of node/section_parts.h. */
    return atomic_load_explicit(&clock_word, memory_order_seq_cst);
}

/* Reads the system's clocks and raises the word. Any thread, once a wake-up. */
void clock_advance(void);

/* For tests: where clock_advance() gets (monotonic ns, wall ms) from; NULL restores the system's. */
typedef void (*clock_source_fn)(int64_t *mono_ns, int64_t *wall_ms);
void clock_source_set(clock_source_fn fn);

#endif
