/* A partition's lock and its line: first come first served, nobody forgotten, cancelling at any moment. */
#include "node/partition.h"

#include "base/rand.h"
#include "tests/lib/unit.h"

#include <pthread.h>
#include <sched.h>

enum { THREADS = 4, ROUNDS = 5000 };

static struct partition p;

struct waiter {
    struct partition_waiter w; /* first */
    _Atomic int called;
};

static void on_free(struct partition_waiter *w)
{
    atomic_fetch_add(&((struct waiter *)(void *)w)->called, 1);
}

static void waiter_init(struct waiter *w)
{
    *w = (struct waiter){.w = {.on_free = on_free}};
    list_init(&w->w.link);
}

static void begin(void)
{
    memset(&p, 0, sizeof(p));
    list_init(&p.waiters);
}

UNCHECKED_LOCKS static void the_line_is_served_in_order(void)
{
    struct waiter a, b, c;

    begin();
    waiter_init(&a);
    waiter_init(&b);
    waiter_init(&c);
    CU_ASSERT_TRUE(partition_lock(&p));
    CU_ASSERT_FALSE(partition_lock(&p));
    CU_ASSERT_FALSE(partition_wait(&p, &a.w));
    CU_ASSERT_FALSE(partition_wait(&p, &b.w));
    CU_ASSERT_FALSE(partition_wait(&p, &c.w));
    CU_ASSERT_TRUE(partition_wait_cancel(&p, &b.w));
    partition_unlock(&p);
    CU_ASSERT_TRUE(a.called == 1 && b.called == 0 && c.called == 0);
    CU_ASSERT_FALSE(partition_wait_cancel(&p, &a.w)); /* called already */
    partition_pass(&p);                               /* and it does not want the lock any more */
    CU_ASSERT_EQUAL(c.called, 1);
    CU_ASSERT_TRUE(partition_lock(&p));
    partition_unlock(&p);
    CU_ASSERT_TRUE(a.called == 1 && b.called == 0 && c.called == 1);
}

/* Somebody else takes the lock between the call and the try: the called one stands in line again. */
UNCHECKED_LOCKS static void barging_loses_nobody(void)
{
    struct waiter a, b;

    begin();
    waiter_init(&a);
    waiter_init(&b);
    CU_ASSERT_TRUE(partition_lock(&p));
    CU_ASSERT_FALSE(partition_wait(&p, &a.w));
    CU_ASSERT_FALSE(partition_wait(&p, &b.w));
    partition_unlock(&p);
    CU_ASSERT_TRUE(partition_lock(&p)); /* barges */
    CU_ASSERT_EQUAL(a.called, 1);
    CU_ASSERT_FALSE(partition_wait(&p, &a.w));
    partition_pass(&p);
    CU_ASSERT_TRUE(a.called == 1 && b.called == 0); /* the lock is held: its holder calls */
    partition_unlock(&p);
    CU_ASSERT_EQUAL(a.called + b.called, 2);
    partition_pass(&p);
    CU_ASSERT_EQUAL(a.called + b.called, 3);
}

UNCHECKED_LOCKS static void who_finds_it_free_holds_it(void)
{
    struct waiter a;

    begin();
    waiter_init(&a);
    CU_ASSERT_TRUE(partition_wait(&p, &a.w));
    CU_ASSERT_FALSE(partition_lock(&p));
    partition_unlock(&p);
    CU_ASSERT_EQUAL(a.called, 0);
}

/* ---- Many at once ---- */

static uint64_t done; /* guarded by the lock, and by nothing else */

UNCHECKED_LOCKS static void hold(void)
{
    done++;
    partition_unlock(&p);
}

/* In line until called, or gone out of it. False: cancelled in time. */
static bool stay(struct waiter *w, int was, bool give_up)
{
    if (give_up && partition_wait_cancel(&p, &w->w)) {
        return false;
    }
    while (atomic_load(&w->called) == was) {
        sched_yield();
    }
    return true;
}

UNCHECKED_LOCKS static void *worker(void *arg)
{
    struct rand r = {(uint64_t)(uintptr_t)arg};
    struct waiter w;

    waiter_init(&w);
    for (int held = 0; held < ROUNDS;) {
        bool called = false;

        while (!partition_lock(&p)) {
            int was = atomic_load(&w.called);

            if (partition_wait(&p, &w.w)) {
                break;
            }
            if (called) {
                partition_pass(&p); /* as the executor does after each call */
            }
            called = stay(&w, was, rand_below(&r, 4) == 0);
        }
        hold();
        held++;
        if (called) {
            partition_pass(&p);
        }
    }
    return NULL;
}

static void many_at_once(void)
{
    pthread_t threads[THREADS];
    uint64_t seed = unit_seed();

    begin();
    done = 0;
    for (uintptr_t i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL_FATAL(
            pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)(seed + i)), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    CU_ASSERT_EQUAL(done, (uint64_t)THREADS * ROUNDS);
    CU_ASSERT_TRUE(list_is_empty(&p.waiters));
    CU_ASSERT_EQUAL(p.lock, 0);
}

const struct unit_test test_partition[] = {
    UNIT(the_line_is_served_in_order), UNIT(barging_loses_nobody), UNIT(who_finds_it_free_holds_it),
    UNIT(many_at_once), UNIT_END};
