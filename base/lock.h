/* lock.h - a reader-writer lock of eight bytes, writers first.
 *
 * Who finds it held spins for about a microsecond, then sleeps in the kernel, or gives up if it only
 * tries: what a worker may do where the holder may hold on over turns. A writer that waits
 * keeps new readers out, so that a stream of readers cannot starve it; readers that came with it go
 * first when it leaves only if no other writer waits.
 *
 * Order   not recursive: who holds it for reading must not ask for it again (a writer may have begun
 *         to wait in between).
 * Limits  32,767 writers and 65,535 readers at a time: one a thread.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base/annot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct LOCKABLE lock {
    _Atomic uint32_t state; /* private: a writer holds it | waiting writers | readers */
    _Atomic uint32_t turn;  /* private: what sleepers wait on; bit 0: there are some */
};

static inline void lock_init(struct lock *l)
{
    atomic_init(&l->state, 0);
    atomic_init(&l->turn, 0);
}

void lock_read(struct lock *l) TAKES_READ(*l);
bool lock_try_read(struct lock *l) TAKES_READ_IF(true, *l);
void lock_read_end(struct lock *l) DROPS_READ(*l);
void lock_write(struct lock *l) TAKES(*l);
void lock_write_end(struct lock *l) DROPS(*l);

#endif
