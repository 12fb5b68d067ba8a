#include "node/database.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "base/worker.h"
#include "node/entry.h"
#include "node/keyed.h"
#include "node/library.h"
#include "node/script.h"
#include "node/type.h"

#include <assert.h>

static _Atomic int64_t used_by_all;

enum { CARRY_BYTES = 64 << 10 };

int database_create(struct database **out, struct node *n, uint32_t id, uint32_t workers)
{
    struct database *db = mem_zalloc(sizeof(*db));

    if (db == NULL) {
        return ERR_NOMEM;
    }
    db->id = id;
    db->node = n;
    list_init(&db->link);
    db->usage_count = workers + 1;
    db->usage = mem_alloc_lines(db->usage_count * sizeof(db->usage[0]));
    if (db->usage == NULL || scripts_create(&db->scripts, workers) != OK) {
        mem_free(db->usage, db->usage_count * sizeof(db->usage[0]));
        mem_free(db, sizeof(*db));
        return ERR_NOMEM;
    }
    *out = db;
    return OK;
}

static bool free_entry(struct entry *e, size_t *budget)
{
    if (!type_free_value(e, budget)) {
        return false;
    }
    entry_free(e);
    *budget -= *budget > 0;
    return true;
}

bool database_free_entry(void *entry, size_t *budget)
{
    return free_entry(entry, budget);
}

bool database_free_table(void *dir, size_t *budget)
{
    return table_dir_free(dir, budget, free_entry);
}

void database_destroy(struct database *db)
{
    for (unsigned i = 0; i < PARTITIONS; i++) {
        struct partition *p = database_partition(db, i);

        if (p != NULL) {
            size_t budget = SIZE_MAX;
            bool all = database_free_table(table_detach(&p->table, &p->stats), &budget);

            assert(all);
            keyed_table_destroy(p->watched);
            keyed_table_destroy(p->blocked);
            mem_free(p, sizeof(*p));
        }
    }
    struct libraries *libraries = atomic_load_explicit(&db->libraries, memory_order_acquire);

    if (libraries != NULL) {
        size_t budget = SIZE_MAX;

        (void)libraries_free(libraries, &budget);
    }
    scripts_destroy(db->scripts);
    atomic_fetch_sub_explicit(&used_by_all, database_used(db), memory_order_relaxed);
    mem_free(db->usage, db->usage_count * sizeof(db->usage[0]));
    mem_free(db, sizeof(*db));
}

struct partition *database_partition_make(struct database *db, unsigned index)
{
    struct partition *p = database_partition(db, index);

    if (LIKELY(p != NULL)) {
        return p;
    }
    p = mem_alloc_lines(sizeof(*p));
    if (p == NULL) {
        return NULL;
    }
    p->db = db;
    p->index = index;
    list_init(&p->waiters);
    struct partition *other = NULL;

    /* Release: pairs with the acquire in database_partition(). */
    if (!atomic_compare_exchange_strong_explicit(&db->partitions[index], &other, p,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        mem_free(p, sizeof(*p));
        return other;
    }
    database_charge(db, (int64_t)mem_size(sizeof(*p)));
    return p;
}

struct database_usage *database_usage(struct database *db)
{
    const struct worker *w = worker_self();
    uint32_t i = w == NULL ? db->usage_count - 1 : w->index;

    return &db->usage[i < db->usage_count ? i : db->usage_count - 1];
}

static void carry_over(struct database *db, int64_t bytes)
{
    atomic_fetch_add_explicit(&db->used_bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&used_by_all, bytes, memory_order_relaxed);
}

void database_charge(struct database *db, int64_t bytes)
{
    struct database_usage *u = database_usage(db);
    int64_t sum = atomic_load_explicit(&u->bytes, memory_order_relaxed) + bytes;

    if (worker_self() == NULL) {
        /* Everybody else's part may have several writers. */
        carry_over(db, bytes);
        return;
    }
    if (sum > CARRY_BYTES || sum < -CARRY_BYTES) {
        carry_over(db, sum);
        sum = 0;
    }
    atomic_store_explicit(&u->bytes, sum, memory_order_relaxed);
}

int64_t database_used_by_all(void)
{
    return atomic_load_explicit(&used_by_all, memory_order_relaxed);
}

int64_t database_used_exact(const struct database *db)
{
    int64_t sum = database_used(db);

    for (uint32_t i = 0; i < db->usage_count; i++) {
        sum += atomic_load_explicit(&db->usage[i].bytes, memory_order_relaxed);
    }
    return sum;
}
