#include "node/partition.h"

#include <assert.h>

enum { SPINS = 60 }; /* about a microsecond: as long as most sections */

static bool try_lock(struct partition *p)
{
    uint32_t free = 0;

    /* Acquire: pairs with the release in partition_unlock(). */
    return atomic_compare_exchange_strong_explicit(&p->lock, &free, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* The line is touched only by who found the lock held, and by its holder then. */
static void line_enter(struct partition *p)
{
    while (atomic_exchange_explicit(&p->line_lock, 1, memory_order_acquire) != 0) {
        __builtin_ia32_pause();
    }
}

static void line_leave(struct partition *p)
{
    atomic_store_explicit(&p->line_lock, 0, memory_order_release);
}

UNCHECKED_LOCKS bool partition_lock(struct partition *p)
{
    for (int i = 0; i < SPINS; i++) {
        if (LIKELY(try_lock(p))) {
            return true;
        }
        if (UNLIKELY(partition_is_busy(p))) {
            return false;
        }
        __builtin_ia32_pause();
    }
    return false;
}

void partition_busy_set(struct partition *p, bool busy)
{
    /* Relaxed: who sees an old value spins for nothing, or stands in line and finds the lock free. */
    atomic_store_explicit(&p->busy, busy, memory_order_relaxed);
}

/* Calls the first in line, who will find the lock free or stand in front again. */
static void call_next(struct partition *p)
{
    line_enter(p);
    struct list *n = list_pop(&p->waiters);

    line_leave(p);
    if (n != NULL) {
        struct partition_waiter *w = LIST_ITEM(n, struct partition_waiter, link);

        w->on_free(w);
    }
}

UNCHECKED_LOCKS void partition_unlock(struct partition *p)
{
    if (UNLIKELY(atomic_exchange_explicit(&p->lock, 0, memory_order_release) == 2)) {
        call_next(p);
    }
}

UNCHECKED_LOCKS bool partition_wait(struct partition *p, struct partition_waiter *w)
{
    bool got = false;

    line_enter(p);
    list_push(&p->waiters, &w->link);
    for (;;) {
        uint32_t held = 1;

        if (try_lock(p)) {
            list_remove(&w->link);
            if (!list_is_empty(&p->waiters)) {
                atomic_store_explicit(&p->lock, 2, memory_order_relaxed);
            }
            got = true;
            break;
        }
        /* From now on the unlocker looks into the line, which it can enter only after us. */
        if (atomic_compare_exchange_strong_explicit(&p->lock, &held, 2, memory_order_relaxed,
                                                    memory_order_relaxed) ||
            held == 2) {
            break;
        }
    }
    line_leave(p);
    return got;
}

void partition_pass(struct partition *p)
{
    uint32_t held = 1;

    line_enter(p);
    bool empty = list_is_empty(&p->waiters);
    bool later = !empty && atomic_compare_exchange_strong_explicit(
                               &p->lock, &held, 2, memory_order_relaxed, memory_order_relaxed);

    line_leave(p);
    if (!empty && !later && held == 0) {
        call_next(p);
    }
}

bool partition_wait_cancel(struct partition *p, struct partition_waiter *w)
{
    line_enter(p);
    bool in_line = !list_is_empty(&w->link);

    list_remove(&w->link);
    line_leave(p);
    return in_line;
}

void partition_mark(struct partition *p)
{
    if (BROKEN(1)) {
        return;
    }
    /* Release order of the publications that follow carries it: who sees one sees the mark. */
    atomic_store_explicit(&p->section, atomic_load_explicit(&p->section, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

void partition_mark_fenced(struct partition *p)
{
    /* Pairs with partition_unmoved(): a reader that judged a key expired and did not see this mark has
     * let the clock's word pass before, so the load that follows here sees that word or a later one. */
    (void)atomic_fetch_add_explicit(&p->section, 1, memory_order_seq_cst);
}

void partition_unmark(struct partition *p)
{
    uint32_t n = atomic_load_explicit(&p->section, memory_order_relaxed);

    if (BROKEN(1)) {
        return;
    }
    assert((n & 1) == 1);
    /* Release: pairs with the acquire in partition_section(). */
    atomic_store_explicit(&p->section, n + 1, memory_order_release);
}

void partition_version_begin(struct partition *p, uint64_t seq)
{
    uint64_t n = atomic_load_explicit(&p->version, memory_order_relaxed);

    assert((n & 1) == 0);
    atomic_store_explicit(&p->last_seq, seq, memory_order_relaxed);
    atomic_store_explicit(&p->version, n + !BROKEN(2), memory_order_relaxed);
}

void partition_version_end(struct partition *p)
{
    uint64_t n = atomic_load_explicit(&p->version, memory_order_relaxed);

    assert(BROKEN(2) || (n & 1) == 1);
    atomic_store_explicit(&p->version, n + !BROKEN(2), memory_order_release);
}
