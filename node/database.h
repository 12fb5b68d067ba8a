/* database.h - what a tenant sees: one keyspace in partitions, and what it uses.
 *
 * A partition is made with its first key; an empty database has none. Memory is counted where it is
 * published and retired, in a counter a worker and database that is carried over to the shared one
 * when it passes 64 KiB: limits are met within that, sums are exact.
 *
 * Threads  partitions are found by any registered thread; the counters of a worker are its own.
 */
#ifndef NODE_DATABASE_H
#define NODE_DATABASE_H

#include "base/annot.h"
#include "base/list.h"
#include "node/partition.h"

struct libraries;
struct node;
struct scripts;

/* A worker's part, on a line of its own. Sums of bytes are kept by partition, too (flush). */
struct database_usage {
    _Alignas(64) _Atomic int64_t bytes; /* not yet carried over */
    _Atomic uint64_t hits, misses, expired, evicted, commands;
};

struct database {
    uint32_t id;
    struct node *node;
    struct list link; /* among the node's; guarded by the node's lock */
    _Atomic int64_t used_bytes;
    _Atomic uint64_t maxmemory; /* 0: the node's setting alone */
    uint32_t usage_count;
    struct database_usage *usage;          /* by worker; the last is everybody else's */
    struct scripts *scripts;               /* owned */
    _Atomic(struct libraries *) libraries; /* owned; NULL: none. Written by sections only */
    _Atomic(struct partition *) partitions[PARTITIONS];
};

MUST_CHECK int database_create(struct database **out, struct node *n, uint32_t id,
                               uint32_t workers);
/* Nobody uses it any more. */
void database_destroy(struct database *db);
/* An rcu_free_fn for what table_detach() gave: entries, values, segments, in slices. */
bool database_free_table(void *dir, size_t *budget);
/* The same for one entry and its value. */
bool database_free_entry(void *entry, size_t *budget);

/* NULL if no key ever made it. */
static inline struct partition *database_partition(const struct database *db, unsigned index)
{
    /* Acquire: pairs with the release in database_partition_make(). */
    return atomic_load_explicit(&db->partitions[index], memory_order_acquire);
}
/* NULL: no memory. */
MUST_CHECK struct partition *database_partition_make(struct database *db, unsigned index);

struct database_usage *database_usage(struct database *db);
/* Relaxed counts of this thread's part. */
static inline void database_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void database_charge(struct database *db, int64_t bytes);
/* Within 64 KiB a worker, for limits. */
static inline int64_t database_used(const struct database *db)
{
    return atomic_load_explicit(&db->used_bytes, memory_order_relaxed);
}
/* Of all databases of the process, for maxmemory. */
int64_t database_used_by_all(void);
/* Exact when nobody writes. */
int64_t database_used_exact(const struct database *db);

#endif
