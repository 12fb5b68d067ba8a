/* The commit gate with a level that a test raises by hand. */
#include "replication/gate.h"

#include "base/worker.h"
#include "tests/lib/unit.h"

#include <sched.h>

enum { ROUNDS = 3000 };

static struct gate gate;
static struct worker worker;

struct waiter {
    struct session s; /* first */
    int told;
};

static void on_ready(struct session *s)
{
    ((struct waiter *)(void *)s)->told++;
}

static struct waiter at_level(enum ack_level level)
{
    return (struct waiter){.s = {.worker = &worker, .level = level, .on_ready = on_ready}};
}

static void begin(void)
{
    gate_init(&gate);
    CU_ASSERT_EQUAL_FATAL(worker_init(&worker, 0), 0);
}

static void end(void)
{
    CU_ASSERT_TRUE(list_is_empty(&gate.waiters));
    gate_fini(&gate);
    worker_fini(&worker);
}

static void told(void)
{
    while (inbox_drain(&worker.inbox) > 0) {
    }
}

static void nobody_waits_for_the_leader(void)
{
    struct waiter w = at_level(ACK_LEADER);

    begin();
    CU_ASSERT_TRUE(gate_may_pass(&gate, &w.s, UINT64_MAX));
    end();
}

static void a_waiter_is_told_once_and_not_before(void)
{
    struct waiter w = at_level(ACK_QUORUM);
    struct waiter other = at_level(ACK_FSYNC);

    begin();
    CU_ASSERT_TRUE(gate_may_pass(&gate, &w.s, 0));
    CU_ASSERT_FALSE(gate_may_pass(&gate, &w.s, 5));
    CU_ASSERT_FALSE(gate_may_pass(&gate, &w.s, 5)); /* asking again is not waiting twice */
    CU_ASSERT_FALSE(gate_may_pass(&gate, &other.s, 5));
    gate_raise(&gate, ACK_QUORUM, 4);
    told();
    CU_ASSERT_EQUAL(w.told, 0);
    gate_raise(&gate, ACK_QUORUM, 5);
    CU_ASSERT_EQUAL(w.told, 0); /* on its worker, not on the thread that raises */
    told();
    CU_ASSERT_EQUAL(w.told, 1);
    CU_ASSERT_EQUAL(other.told, 0); /* each level for itself */
    gate_raise(&gate, ACK_QUORUM, 9);
    told();
    CU_ASSERT_EQUAL(w.told, 1);
    CU_ASSERT_TRUE(gate_may_pass(&gate, &w.s, 9));
    gate_cancel(&gate, &other.s);
    end();
}

static void what_passed_stays_passed(void)
{
    struct waiter w = at_level(ACK_QUORUM);

    begin();
    gate_raise(&gate, ACK_QUORUM, 7);
    gate_raise(&gate, ACK_QUORUM, 3);
    CU_ASSERT_TRUE(gate_may_pass(&gate, &w.s, 7));
    CU_ASSERT_FALSE(gate_may_pass(&gate, &w.s, 8));
    gate_cancel(&gate, &w.s);
    end();
}

static void who_is_cancelled_is_not_told(void)
{
    struct waiter w = at_level(ACK_QUORUM);

    begin();
    CU_ASSERT_FALSE(gate_may_pass(&gate, &w.s, 1));
    gate_cancel(&gate, &w.s);
    gate_raise(&gate, ACK_QUORUM, 1);
    told();
    CU_ASSERT_EQUAL(w.told, 0);
    /* Now with its message on the way. */
    CU_ASSERT_FALSE(gate_may_pass(&gate, &w.s, 2));
    gate_raise(&gate, ACK_QUORUM, 2);
    gate_cancel(&gate, &w.s);
    told();
    CU_ASSERT_EQUAL(w.told, 0);
    gate_cancel(&gate, &w.s);
    end();
}

static _Atomic uint64_t asked;

static void *raise_behind(void *arg)
{
    (void)arg;
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        while (atomic_load(&asked) < n) {
            sched_yield();
        }
        gate_raise(&gate, ACK_QUORUM, n);
    }
    return NULL;
}

/* Asking and raising meet at every step: nobody is forgotten, nobody told twice. */
static void no_wake_up_is_lost(void)
{
    struct waiter w = at_level(ACK_QUORUM);
    pthread_t thread;
    int waits = 0;

    begin();
    atomic_store(&asked, 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, raise_behind, NULL), 0);
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        atomic_store(&asked, n);
        if (!gate_may_pass(&gate, &w.s, n)) {
            waits++;
            while (w.told < waits) {
                if (inbox_drain(&worker.inbox) == 0) {
                    sched_yield();
                }
            }
            CU_ASSERT_EQUAL(w.told, waits);
            CU_ASSERT_TRUE(gate_may_pass(&gate, &w.s, n));
        }
    }
    (void)pthread_join(thread, NULL);
    told();
    CU_ASSERT_EQUAL(w.told, waits);
    end();
}

const struct unit_test test_gate[] = {
    UNIT(nobody_waits_for_the_leader), UNIT(a_waiter_is_told_once_and_not_before),
    UNIT(what_passed_stays_passed),    UNIT(who_is_cancelled_is_not_told),
    UNIT(no_wake_up_is_lost),          UNIT_END};
