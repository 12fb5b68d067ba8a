/* rcu.h - the one RCU flavour (liburcu's QSBR), and memory that dies after a grace period.
 *
 * A registered thread is a reader all the time, except between rcu_offline() and rcu_online(); it
 * says rcu_turn() when it holds nothing borrowed. What a writer has unlinked it retires; retired
 * blocks wait in batches, one grace period a batch (a call_rcu an object costs more than the write
 * that made it), and are freed in slices by the thread that retired them. It asks at each rcu_turn()
 * whether the grace period is over: when no other thread is online that is at once, and the blocks are
 * still in the caches when they are used again.
 *
 * Ownership  rcu_retire*() take the block for good.
 * Failure    rcu_reserve() makes room ahead, so that retiring itself cannot fail.
 */
#ifndef BASE_RCU_H
#define BASE_RCU_H

#include "base/annot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Frees a slice of a large object, of at most `budget` blocks (lowered by what was freed). True when
 * all of it is gone. */
typedef bool (*rcu_free_fn)(void *object, size_t *budget);

void rcu_register(void);   /* this thread, before it reads anything */
void rcu_unregister(void); /* gives what is still retired to the next drain */

/* Whether this thread is one: else it has readers to fear, but none that it could wait for. */
bool rcu_is_registered(void);

void rcu_online(void);
void rcu_offline(void);
/* A quiescent state; also frees a slice of what may be freed. Nothing borrowed survives it. */
void rcu_turn(void);

/* Whether this thread has retired so much that a turn that goes on for long does well to say rcu_turn()
 * wherever it holds nothing borrowed. */
bool rcu_is_due(void);

/* Room for n more rcu_retire*() of this thread. */
MUST_CHECK int rcu_reserve(size_t n);
void rcu_retire(void *block, size_t bytes);
/* Calls fn until it says that all is gone. `bytes` is what it holds, for rcu_retired_bytes(). */
void rcu_retire_object(void *object, size_t bytes, rcu_free_fn fn);
/* Retired by this thread, or by all, and not yet freed. */
size_t rcu_retired_bytes(void);
size_t rcu_retired_bytes_total(void);
/* Waits for a grace period and frees all that this thread has retired. At shutdown and in tests:
 * every other registered thread must go on turning or be offline. */
void rcu_drain(void);

#endif
