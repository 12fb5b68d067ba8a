#include "base/lock.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HELD        (1u << 31)
#define WAITING_ONE (1u << 16)
#define WAITING     (HELD - WAITING_ONE)
#define READERS     (WAITING_ONE - 1)

/* About a microsecond: as long as most changes in place take. */
enum { SPINS = 60 };

static bool try_read(struct lock *l)
{
    uint32_t s = atomic_load_explicit(&l->state, memory_order_relaxed);

    while ((s & (HELD | WAITING)) == 0) {
        assert((s & READERS) != READERS);
        /* Acquire: pairs with the release in lock_write_end(). */
        if (atomic_compare_exchange_weak_explicit(&l->state, &s, s + 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* By a writer that is counted among those who wait. */
static bool try_write(struct lock *l)
{
    uint32_t s = atomic_load_explicit(&l->state, memory_order_relaxed);

    while ((s & (HELD | READERS)) == 0) {
        /* Acquire: pairs with the releases in lock_write_end() and lock_read_end(). */
        if (atomic_compare_exchange_weak_explicit(&l->state, &s, (s - WAITING_ONE) | HELD,
                                                  memory_order_acquire, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* Until the lock may have changed hands. Sequentially consistent with wake(): either this thread sees
 * the new state when it tries once more, or the other sees bit 0. */
static bool sleep_or(struct lock *l, bool (*try)(struct lock *l))
{
    uint32_t turn = atomic_fetch_or_explicit(&l->turn, 1, memory_order_seq_cst) | 1;

    /* A read-modify-write, as only such are in one order with wake()'s without a fence. */
    (void)atomic_fetch_add_explicit(&l->state, 0, memory_order_seq_cst);
    if (try(l)) {
        return true;
    }
    (void)syscall(SYS_futex, &l->turn, FUTEX_WAIT_PRIVATE, turn, NULL, NULL, 0);
    return false;
}

static void take_slow(struct lock *l, bool (*try)(struct lock *l))
{
    for (;;) {
        for (int i = 0; i < SPINS; i++) {
            if (try(l)) {
                return;
            }
            __builtin_ia32_pause();
        }
        if (sleep_or(l, try)) {
            return;
        }
    }
}

/* Everybody: who comes first is decided by try_read() and try_write(). */
static void wake(struct lock *l)
{
    uint32_t turn = atomic_load_explicit(&l->turn, memory_order_seq_cst);

    while ((turn & 1) != 0) {
        if (atomic_compare_exchange_weak_explicit(&l->turn, &turn, turn + 1, memory_order_seq_cst,
                                                  memory_order_seq_cst)) {
            (void)syscall(SYS_futex, &l->turn, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
            return;
        }
    }
}

UNCHECKED_LOCKS void lock_read(struct lock *l)
{
    if (UNLIKELY(!try_read(l))) {
        take_slow(l, try_read);
    }
}

UNCHECKED_LOCKS bool lock_try_read(struct lock *l)
{
    for (int i = 0; i < SPINS; i++) {
        if (LIKELY(try_read(l))) {
            return true;
        }
        __builtin_ia32_pause();
    }
    return false;
}

UNCHECKED_LOCKS void lock_read_end(struct lock *l)
{
    uint32_t s = atomic_fetch_sub_explicit(&l->state, 1, memory_order_seq_cst);

    assert((s & READERS) != 0);
    /* Readers wait for writers only, so the last one leaving has none but a writer to wake. */
    if ((s & READERS) == 1 && (s & WAITING) != 0) {
        wake(l);
    }
}

UNCHECKED_LOCKS void lock_write(struct lock *l)
{
    uint32_t s = 0;

    /* Nobody has it and nobody waits, as nearly always. Acquire: as in try_write(). */
    if (LIKELY(atomic_compare_exchange_strong_explicit(&l->state, &s, HELD, memory_order_acquire,
                                                       memory_order_relaxed))) {
        return;
    }
    s = atomic_fetch_add_explicit(&l->state, WAITING_ONE, memory_order_relaxed);
    assert((s & WAITING) != WAITING);
    (void)s;
    if (UNLIKELY(!try_write(l))) {
        take_slow(l, try_write);
    }
}

UNCHECKED_LOCKS void lock_write_end(struct lock *l)
{
    uint32_t s = atomic_fetch_and_explicit(&l->state, ~HELD, memory_order_seq_cst);

    assert((s & HELD) != 0);
    (void)s;
    wake(l);
}
