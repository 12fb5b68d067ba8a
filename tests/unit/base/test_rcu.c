#include "base/rcu.h"

#include "base/fault.h"
#include "base/mem.h"
#include "tests/lib/unit.h"

#include <pthread.h>
#include <sched.h>

enum { LARGE = 2 << 20, SMALL = 64, SOME = 3, BATCHES = 1600, ROUNDS = 20000 };

static void *block(size_t bytes)
{
    void *p = mem_alloc(bytes);

    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    return p;
}

/* A section that retired more than a megabyte met an assertion when there was no memory for a new
 * batch: the old one had left, and the places that were reserved in it with it. Now with any number of
 * places, across batches, at any point of a batch, and with every allocation failing. */
static void what_was_reserved_is_there_without_memory(void)
{
    static void *blocks[BATCHES];
    size_t bytes = 0;

    rcu_register();
    for (int n = SOME; n <= BATCHES; n = n * 3 + 1) {
        CU_ASSERT_EQUAL_FATAL(rcu_reserve((size_t)n), 0);
        bytes = 0;
        for (int i = 0; i < n; i++) {
            blocks[i] = block(i < SOME ? LARGE : SMALL);
        }
        for (int i = 0; i < n; i++) {
            fault_fail_nth(1);
            rcu_retire(blocks[i], i < SOME ? LARGE : SMALL);
            bytes += i < SOME ? LARGE : SMALL;
        }
        fault_off();
        CU_ASSERT_EQUAL(rcu_retired_bytes(), bytes);
        rcu_drain();
        CU_ASSERT_EQUAL(rcu_retired_bytes(), 0);
    }
    rcu_unregister();
}

static void retire_one(void)
{
    CU_ASSERT_EQUAL_FATAL(rcu_reserve(1), 0);
    rcu_retire(block(SMALL), SMALL);
}

/* With nobody else online the first quiescent state is enough, whatever came before. */
static void alone_it_is_freed_at_the_next_turn(void)
{
    rcu_register();
    for (int i = 0; i < 100; i++) {
        retire_one();
        CU_ASSERT_EQUAL(rcu_retired_bytes(), SMALL);
        CU_ASSERT_FALSE(rcu_is_due());
        rcu_turn();
        CU_ASSERT_EQUAL(rcu_retired_bytes(), 0);
    }
    rcu_unregister();
}

/* ---- Another thread, told what to do ---- */

enum order { NOTHING, ENTER, TURN, GO_OFFLINE, GO_ONLINE, LEAVE };

static _Atomic int order;

static void *other_main(void *arg)
{
    (void)arg;
    for (;;) {
        int is = atomic_load(&order);

        if (is == ENTER) {
            rcu_register();
        } else if (is == TURN) {
            rcu_turn();
        } else if (is == GO_OFFLINE) {
            rcu_offline();
        } else if (is == GO_ONLINE) {
            rcu_online();
        } else if (is == LEAVE) {
            rcu_unregister();
            return NULL;
        } else {
            sched_yield();
            continue;
        }
        atomic_store(&order, NOTHING);
    }
}

static void tell(enum order what)
{
    atomic_store(&order, what);
    while (atomic_load(&order) != NOTHING) {
        sched_yield();
    }
}

/* Unregistering drains, which waits for this thread. */
static void end(pthread_t other)
{
    atomic_store(&order, LEAVE);
    rcu_offline();
    CU_ASSERT_EQUAL(pthread_join(other, NULL), 0);
    rcu_online();
    atomic_store(&order, NOTHING);
}

/* Turns of the thread that retired do not help while another may still look. */
static bool stays(void)
{
    for (int i = 0; i < 200; i++) {
        rcu_turn();
    }
    return rcu_retired_bytes() > 0;
}

static void a_reader_holds_it_until_its_turn(void)
{
    pthread_t other;

    rcu_register();
    CU_ASSERT_EQUAL_FATAL(pthread_create(&other, NULL, other_main, NULL), 0);
    tell(ENTER);
    retire_one();
    CU_ASSERT_TRUE(stays());
    tell(TURN);
    CU_ASSERT_FALSE(stays());

    /* What is retired after a batch was closed waits for a turn after that. */
    retire_one();
    rcu_turn();
    retire_one();
    tell(TURN);
    rcu_turn();
    CU_ASSERT_EQUAL(rcu_retired_bytes(), SMALL);
    CU_ASSERT_EQUAL(rcu_retired_bytes_total(), SMALL);
    CU_ASSERT_TRUE(stays());
    tell(TURN);
    CU_ASSERT_FALSE(stays());

    /* Who is offline holds nothing; who came back online does, though others did not look meanwhile. */
    tell(GO_OFFLINE);
    retire_one();
    CU_ASSERT_FALSE(stays());
    tell(GO_ONLINE);
    retire_one();
    CU_ASSERT_TRUE(stays());
    tell(GO_OFFLINE);
    CU_ASSERT_FALSE(stays());

    /* A thread that registers when the batch before has been asked for is asked about the next. */
    tell(GO_ONLINE);
    retire_one();
    CU_ASSERT_TRUE(stays());
    end(other);
    CU_ASSERT_FALSE(stays());
    CU_ASSERT_EQUAL_FATAL(pthread_create(&other, NULL, other_main, NULL), 0);
    tell(ENTER);
    retire_one();
    CU_ASSERT_TRUE(stays());
    tell(GO_OFFLINE);
    rcu_drain();
    CU_ASSERT_EQUAL(rcu_retired_bytes(), 0);
    tell(GO_ONLINE);
    end(other);
    rcu_unregister();
}

/* ---- Readers of what writers replace: a freed block does not hold what a reader expects ---- */

struct box {
    _Alignas(64) _Atomic(uint64_t *) value;
};

static struct box boxes[2];
static _Atomic bool readers_stop;
static _Atomic int wrong;

static void *reader_main(void *arg)
{
    (void)arg;
    rcu_register();
    for (uint32_t i = 0; !atomic_load_explicit(&readers_stop, memory_order_relaxed); i++) {
        for (int b = 0; b < 2; b++) {
            const uint64_t *v = atomic_load_explicit(&boxes[b].value, memory_order_acquire);

            if (v[0] != (uint64_t)(uintptr_t)v || v[1] != ~v[0]) {
                atomic_store(&wrong, 1);
            }
        }
        if (i % 7 == 0) {
            rcu_offline();
            rcu_online();
        } else {
            rcu_turn();
        }
    }
    rcu_unregister();
    return NULL;
}

static bool wipe(void *v, size_t *budget)
{
    *budget -= *budget > 0;
    memset(v, 0, SMALL);
    mem_free(v, SMALL);
    return true;
}

static void replace(struct box *b, bool first)
{
    uint64_t *v = block(SMALL);
    uint64_t *old = atomic_load_explicit(&b->value, memory_order_relaxed);

    v[0] = (uint64_t)(uintptr_t)v;
    v[1] = ~v[0];
    atomic_store_explicit(&b->value, v, memory_order_release);
    if (!first) {
        CU_ASSERT_EQUAL_FATAL(rcu_reserve(1), 0);
        rcu_retire_object(old, SMALL, wipe);
    }
}

static void *writer_main(void *arg)
{
    rcu_register();
    for (int i = 0; i < ROUNDS; i++) {
        replace(arg, false);
        if (i % 3 == 0) {
            rcu_turn();
        }
    }
    rcu_unregister();
    return NULL;
}

/* Two readers that go off and on line, and two writers, each the other's reader too. */
static void nothing_is_freed_under_a_reader(void)
{
    pthread_t t[4];

    rcu_register();
    atomic_store(&readers_stop, false);
    for (int i = 0; i < 2; i++) {
        replace(&boxes[i], true);
    }
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, reader_main, NULL), 0);
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t[2 + i], NULL, writer_main, &boxes[i]), 0);
    }
    rcu_offline();
    for (int i = 2; i < 4; i++) {
        CU_ASSERT_EQUAL(pthread_join(t[i], NULL), 0);
    }
    atomic_store(&readers_stop, true);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(pthread_join(t[i], NULL), 0);
    }
    for (int i = 0; i < 2; i++) { /* each reader looks at both */
        mem_free(boxes[i].value, SMALL);
    }
    rcu_online();
    CU_ASSERT_EQUAL(atomic_load(&wrong), 0);
    CU_ASSERT_EQUAL(rcu_retired_bytes_total(), 0);
    rcu_unregister();
}

const struct unit_test test_rcu[] = {
    UNIT(what_was_reserved_is_there_without_memory), UNIT(alone_it_is_freed_at_the_next_turn),
    UNIT(a_reader_holds_it_until_its_turn), UNIT(nothing_is_freed_under_a_reader), UNIT_END};
