/* The table alone: against a naive model, its scan's guarantee, and readers beside a writer. */
#include "base/err.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/rcu.h"
#include "node/entry.h"
#include "node/table.h"
#include "tests/lib/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 40000, STEPS = 200000 };

static struct table table;
static struct table_stats stats;
static struct entry *model[KEYS];

static struct slice name_of(uint32_t n, char buf[32])
{
    return (struct slice){buf, (size_t)snprintf(buf, 32, "key:%u", n)};
}

static struct entry *make(uint32_t n, uint64_t value)
{
    char buf[32];
    struct entry *e = entry_create(&(struct entry_spec){.type = TYPE_STRING,
                                                        .encoding = ENC_INT,
                                                        .key = name_of(n, buf),
                                                        .payload_len = 8,
                                                        .expire_at_ms = n % 3 == 0 ? 1 : 0});

    if (e != NULL) {
        memcpy(entry_payload_ptr(e), &value, 8);
    }
    return e;
}

static uint64_t hash_of(uint32_t n)
{
    char buf[32];

    return hash_key(name_of(n, buf));
}

static struct entry *find(uint32_t n)
{
    char buf[32];
    struct slice name = name_of(n, buf);

    return table_find(&table, name, hash_key(name));
}

static bool put(uint32_t n, uint64_t value)
{
    struct entry *e = make(n, value);

    if (e == NULL || rcu_reserve(2) != OK) {
        entry_free(e);
        return false;
    }
    if (model[n] != NULL) {
        table_replace(&table, &stats, model[n], e, hash_of(n));
        rcu_retire(model[n], entry_bytes(model[n]));
    } else if (table_prepare(&table, &stats, e, hash_of(n)) != OK) {
        entry_free(e);
        return false;
    } else {
        table_publish(&table, &stats, e, hash_of(n));
    }
    model[n] = e;
    return true;
}

static void drop(uint32_t n)
{
    if (model[n] != NULL && rcu_reserve(8) == OK) {
        table_remove(&table, &stats, model[n], hash_of(n));
        rcu_retire(model[n], entry_bytes(model[n]));
        model[n] = NULL;
        table_shrink(&table, &stats, hash_of(n));
    }
}

static bool free_one(struct entry *e, size_t *budget)
{
    entry_free(e);
    *budget -= 1;
    return true;
}

static void begin(void)
{
    rcu_register();
    memset(model, 0, sizeof(model));
}

static void end(void)
{
    struct table_dir *d = table_detach(&table, &stats);
    size_t budget;

    rcu_drain();
    do {
        budget = 100; /* in slices, as after FLUSH */
    } while (!table_dir_free(d, &budget, free_one));
    rcu_unregister();
}

static uint64_t live(void)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < KEYS; i++) {
        n += model[i] != NULL;
    }
    return n;
}

/* What is fetched ahead is the entry itself, but for few: of an overflow, or behind another of its tag. */
static void guesses_well(void)
{
    uint32_t good = 0;

    for (uint32_t n = 0; n < KEYS; n++) {
        const struct entry *e = table_guess(&table, hash_of(n));

        CU_ASSERT_FATAL(e == NULL || (hash_key(entry_key(e)) & 0xffff) == (hash_of(n) & 0xffff));
        good += model[n] != NULL && e == model[n];
    }
    CU_ASSERT(live() > 0 && good >= live() * 8 / 10);
}

/* Random puts and removals in waves that grow and shrink it; every look-up agrees with the model. */
static void agrees_with_a_model(void)
{
    struct rand r = {unit_seed()};

    begin();
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t n = (uint32_t)rand_below(&r, KEYS);
        bool growing = (i / (STEPS / 4)) % 2 == 0;

        if (rand_below(&r, 10) < (growing ? 8 : 1)) {
            CU_ASSERT_FATAL(put(n, i));
        } else {
            drop(n);
        }
        n = (uint32_t)rand_below(&r, KEYS);
        CU_ASSERT_PTR_EQUAL_FATAL(find(n), model[n]);
        if (i % (STEPS / 4) == STEPS / 5) {
            guesses_well();
        }
        if (i % 64 == 0) {
            rcu_turn();
        }
    }
    for (uint32_t n = 0; n < KEYS; n++) {
        CU_ASSERT_PTR_EQUAL_FATAL(find(n), model[n]);
    }
    CU_ASSERT_EQUAL(stats.count, live());
    for (uint32_t n = 0; n < KEYS; n++) {
        drop(n);
    }
    CU_ASSERT_EQUAL(stats.count, 0);
    CU_ASSERT_EQUAL(stats.expiring, 0);
    CU_ASSERT(stats.bytes < 4096); /* it gave its segments back */
    end();
}

static uint8_t seen[KEYS];

static void see(struct entry *e, void *arg)
{
    struct slice key = entry_key(e);
    char text[16] = {0};

    (void)arg;
    memcpy(text, key.ptr + 4, key.len - 4);
    seen[strtoul(text, NULL, 10)]++;
}

/* SCAN's guarantee: what is there throughout is given exactly once, however the table changes. */
static void a_walk_gives_all_that_stayed_once(void)
{
    struct rand r = {unit_seed()};
    uint64_t cursor = 0;

    begin();
    memset(seen, 0, sizeof(seen));
    for (uint32_t n = 0; n < KEYS / 4; n++) {
        CU_ASSERT_FATAL(put(n, n)); /* these stay */
    }
    do {
        cursor = table_scan(&table, cursor, 50, see, NULL);
        CU_ASSERT_FATAL(cursor <= UINT32_MAX);
        for (int i = 0; i < 400; i++) {
            uint32_t n = KEYS / 4 + (uint32_t)rand_below(&r, KEYS * 3 / 4);

            if (cursor < UINT32_MAX / 2) {
                CU_ASSERT_FATAL(put(n, n));
            } else {
                drop(n);
            }
        }
        rcu_turn();
    } while (cursor != 0);
    for (uint32_t n = 0; n < KEYS / 4; n++) {
        CU_ASSERT_EQUAL_FATAL(seen[n], 1);
    }
    end();
}

/* T3: whatever allocation fails, what was there stays, and the next try succeeds. */
static void no_memory_changes_nothing(void)
{
    int failed = 0;

    begin();
    for (uint32_t n = 0; n < 3000; n++) {
        for (int nth = 1;; nth++) {
            fault_fail_nth(nth);
            bool ok = put(n, n);

            fault_off();
            CU_ASSERT_PTR_EQUAL_FATAL(find(n), model[n]);
            if (ok) {
                break;
            }
            failed++;
        }
    }
    CU_ASSERT(failed > 3000);
    CU_ASSERT_EQUAL(stats.count, 3000);
    for (uint32_t n = 0; n < 3000; n++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(find(n));
    }
    end();
}

/* Readers beside a writer that grows and shrinks the table: keys below STABLE are replaced but never
 * removed, with values that only rise. A reader must find each, never a lower value than before. */
enum { STABLE = 500, READERS = 2 };

static atomic_bool stop;
static atomic_uint misses;
static atomic_uint steps_back;

static void *reader(void *arg)
{
    static _Thread_local uint64_t last[STABLE];
    struct rand r = {(uint64_t)(uintptr_t)arg};

    rcu_register();
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (int i = 0; i < 64; i++) {
            uint32_t n = (uint32_t)rand_below(&r, STABLE);
            const struct entry *e = find(n);

            if (e == NULL) {
                atomic_fetch_add(&misses, 1);
                continue;
            }
            uint64_t value = (uint64_t)entry_int(e);

            if (value < last[n]) {
                atomic_fetch_add(&steps_back, 1);
            }
            last[n] = value;
        }
        rcu_turn();
    }
    rcu_unregister();
    return NULL;
}

static void readers_never_miss(void)
{
    struct rand r = {unit_seed()};
    pthread_t readers[READERS];

    begin();
    atomic_store(&stop, false);
    for (uint32_t n = 0; n < STABLE; n++) {
        CU_ASSERT_FATAL(put(n, 0));
    }
    for (uintptr_t i = 0; i < READERS; i++) {
        CU_ASSERT_FATAL(pthread_create(&readers[i], NULL, reader, (void *)(i + 1)) == 0);
    }
    for (uint32_t i = 1; i < 150000; i++) {
        uint32_t n = STABLE + (uint32_t)rand_below(&r, KEYS - STABLE);

        if ((i / 30000) % 2 == 0) {
            CU_ASSERT_FATAL(put(n, i));
        } else {
            drop(n);
        }
        CU_ASSERT_FATAL(put((uint32_t)rand_below(&r, STABLE), i));
        if (i % 32 == 0) {
            rcu_turn();
        }
    }
    atomic_store(&stop, true);
    rcu_offline();
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    rcu_online();
    CU_ASSERT_EQUAL(atomic_load(&misses), 0);
    CU_ASSERT_EQUAL(atomic_load(&steps_back), 0);
    end();
}

const struct unit_test test_table[] = {
    UNIT(agrees_with_a_model), UNIT(a_walk_gives_all_that_stayed_once),
    UNIT(no_memory_changes_nothing), UNIT(readers_never_miss), UNIT_END};
