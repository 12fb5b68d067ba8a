/* partition.h - part of a database's keys: a table, the lock of its writers, and what tells readers of
 * several keys or of a section's effects that they have to look again.
 *
 *   section   odd while a section that publishes several changes does so. On the readers' line: a write
 *             of one key does not touch it, so reads of other keys never see it move.
 *   version   odd while anything is published, raised by two by every change. Readers of several keys
 *             look at it before the first and after the last.
 *   last_seq  of the last change, stored before it is published.
 *
 * A lock is held for microseconds, or by a suspended section for many turns: then the partition is marked
 * busy. Who finds it held spins for as long, not at all if it is busy, then waits in line without
 * blocking its thread: the unlocker takes the first out of line and calls it, to try again.
 */
#ifndef NODE_PARTITION_H
#define NODE_PARTITION_H

#include "base/annot.h"
#include "base/list.h"
#include "node/table.h"

#include <stdatomic.h>

enum { PARTITIONS = 64 }; /* a constant of the cluster, kept with the data */

struct database;
struct keyed_table;

/* In line for a lock. */
struct partition_waiter {
    struct list link; /* private; list_init() before the first use */
    /* On the unlocker's thread: hands over to the waiter's own, which tries again. */
    void (*on_free)(struct partition_waiter *w);
};

struct LOCKABLE partition {
    /* The readers' line. */
    _Alignas(64) struct table table;
    _Atomic uint32_t section;
    uint32_t index;
    struct database *db;
    struct list waiters; /* guarded by line_lock */
    _Atomic uint32_t line_lock;
    /* The writers' line. */
    _Alignas(64) _Atomic uint32_t lock; /* 0 free, 1 held, 2 held and somebody is in line */
    _Atomic bool busy;                  /* a hint: whoever holds it is suspended */
    _Atomic uint64_t version;
    _Atomic uint64_t last_seq;
    struct table_stats stats; /* guarded by lock; relaxed look-ins for DBSIZE */
    int64_t data_bytes;       /* guarded by lock: entries and values, by size class */
    uint32_t expire_cursor;   /* the janitor's */
    /* Owned; guarded by lock; NULL until the first. */
    struct keyed_table *watched; /* node/watched.h */
    struct keyed_table *blocked; /* node/block.h */
    /* When keys with an expiry end, on average over the janitor's last sweep; 0: not known. */
    _Atomic int64_t mean_expiry_ms;
};

/* Tries for a few microseconds at most. */
bool partition_lock(struct partition *p) TAKES_IF(true, *p);
void partition_unlock(struct partition *p) DROPS(*p);
/* Stands in line, unless the lock came free: then true, and it is held. */
bool partition_wait(struct partition *p, struct partition_waiter *w) TAKES_IF(true, *p);
/* By the holder. */
void partition_busy_set(struct partition *p, bool busy);
static inline bool partition_is_busy(const struct partition *p)
{
    return atomic_load_explicit(&p->busy, memory_order_relaxed);
}
/* Out of line again. False: it was taken out already and its on_free runs or has run, so whoever gets
 * the message passes it on (partition_pass()) and only then frees the waiter. */
bool partition_wait_cancel(struct partition *p, struct partition_waiter *w);
/* For who was called and does not want the lock any more. */
void partition_pass(struct partition *p);

static inline uint32_t partition_section(const struct partition *p)
{
    /* Acquire: pairs with the release in partition_unmark(). */
    return atomic_load_explicit(&p->section, memory_order_acquire);
}

static inline uint64_t partition_version(const struct partition *p)
{
    return atomic_load_explicit(&p->version, memory_order_acquire);
}

/* Behind acquire loads of the words that were read; sequentially consistent, with the clock that an
 * expiry was judged by, for S5 of node/section_parts.h. */
static inline bool partition_unmoved(const struct partition *p, uint32_t section)
{
    return atomic_load_explicit(&p->section, memory_order_seq_cst) == section;
}

static inline bool partition_version_unmoved(const struct partition *p, uint64_t version)
{
    return atomic_load_explicit(&p->version, memory_order_relaxed) == version;
}

/* Around a publication. */
void partition_mark(struct partition *p);
/* Before a look at the clock that must not be older than the mark. */
void partition_mark_fenced(struct partition *p);
void partition_unmark(struct partition *p);
void partition_version_begin(struct partition *p, uint64_t seq);
void partition_version_end(struct partition *p);

#endif
