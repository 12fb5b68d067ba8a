/* Run under ThreadSanitizer as well (make test-tsan): the plain counters below are what it looks at. */
#include "base/lock.h"

#include "base/rand.h"
#include "tests/lib/unit.h"

#include <pthread.h>
#include <sched.h>

enum { THREADS = 4, ROUNDS = 20000 };

static struct lock lock;
static long a, b; /* guarded by lock; always equal outside a writer */
static _Atomic long broken;

UNCHECKED_LOCKS static void *churn(void *arg)
{
    struct rand r = {*(uint64_t *)arg};

    for (int i = 0; i < ROUNDS; i++) {
        if (rand_below(&r, 4) == 0) {
            lock_write(&lock);
            a++;
            if (rand_below(&r, 64) == 0) {
                sched_yield(); /* others find it held for long, and sleep */
            }
            b++;
            lock_write_end(&lock);
        } else {
            lock_read(&lock);
            if (a != b) {
                atomic_fetch_add(&broken, 1);
            }
            if (rand_below(&r, 256) == 0) {
                sched_yield();
            }
            lock_read_end(&lock);
        }
    }
    return NULL;
}

static void keeps_writers_alone(void)
{
    pthread_t t[THREADS];
    uint64_t seeds[THREADS];

    lock_init(&lock);
    a = b = 0;
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = unit_seed() + (uint64_t)i;
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, churn, &seeds[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL(pthread_join(t[i], NULL), 0);
    }
    CU_ASSERT_EQUAL(broken, 0);
    CU_ASSERT_EQUAL(a, b);
    CU_ASSERT_EQUAL(atomic_load(&lock.state), 0);
}

static _Atomic int order; /* who was first: 1 the writer, 2 the late reader */

UNCHECKED_LOCKS static void *write_once(void *arg)
{
    int none = 0;

    (void)arg;
    lock_write(&lock);
    atomic_compare_exchange_strong(&order, &none, 1);
    lock_write_end(&lock);
    return NULL;
}

UNCHECKED_LOCKS static void *read_once(void *arg)
{
    int none = 0;

    (void)arg;
    lock_read(&lock);
    atomic_compare_exchange_strong(&order, &none, 2);
    lock_read_end(&lock);
    return NULL;
}

/* A reader that comes while a writer waits for another reader goes behind the writer. */
UNCHECKED_LOCKS static void a_waiting_writer_goes_first(void)
{
    for (int round = 0; round < 50; round++) {
        pthread_t w, r;

        lock_init(&lock);
        atomic_store(&order, 0);
        lock_read(&lock);
        CU_ASSERT_EQUAL_FATAL(pthread_create(&w, NULL, write_once, NULL), 0);
        while (atomic_load(&lock.state) == 1) { /* until it waits */
            sched_yield();
        }
        CU_ASSERT_EQUAL_FATAL(pthread_create(&r, NULL, read_once, NULL), 0);
        for (int i = 0; i < round; i++) {
            sched_yield();
        }
        CU_ASSERT_EQUAL(atomic_load(&order), 0);
        lock_read_end(&lock);
        pthread_join(w, NULL);
        pthread_join(r, NULL);
        CU_ASSERT_EQUAL(atomic_load(&order), 1);
    }
}

/* Who only tries is not held up, by a writer or by one that waits. */
UNCHECKED_LOCKS static void trying_blocks_nobody(void)
{
    pthread_t w;

    lock_init(&lock);
    lock_write(&lock);
    CU_ASSERT_FALSE(lock_try_read(&lock));
    lock_write_end(&lock);
    CU_ASSERT_TRUE_FATAL(lock_try_read(&lock));
    CU_ASSERT_TRUE_FATAL(lock_try_read(&lock));
    CU_ASSERT_EQUAL_FATAL(pthread_create(&w, NULL, write_once, NULL), 0);
    while (atomic_load(&lock.state) == 2) {
        sched_yield();
    }
    CU_ASSERT_FALSE(lock_try_read(&lock));
    lock_read_end(&lock);
    lock_read_end(&lock);
    pthread_join(w, NULL);
    CU_ASSERT_EQUAL(atomic_load(&lock.state), 0);
}

const struct unit_test test_lock[] = {
    UNIT(keeps_writers_alone),
    UNIT(a_waiting_writer_goes_first),
    UNIT(trying_blocks_nobody),
    UNIT_END,
};
