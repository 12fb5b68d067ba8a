/* The janitor: what has expired goes although nobody asks for it, and is logged. */
#include "node/expire.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/rcu.h"
#include "node/database.h"
#include "node/keyspace.h"
#include "node/type_hash.h"
#include "replication/changelog.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <semaphore.h>
#include <time.h>

enum { KEYS = 3000, SECONDS = 20 };

static struct world w;

static sem_t swept;
static uint64_t most; /* keys that may be left then */
static struct worker_timer look;

/* On the first worker, in every millisecond of its own; the clock of the keys stands. */
static void on_look(struct worker_timer *t)
{
    if (keyspace_count(w.db) <= most) {
        CU_ASSERT_EQUAL(sem_post(&swept), 0);
    } else {
        CU_ASSERT_EQUAL(worker_timer_set(&w.workers[0], t, w.workers[0].now_ms + 1), OK);
    }
}

static void on_start(struct worker *worker)
{
    CU_ASSERT_EQUAL(janitor_start(w.node, worker), OK);
    if (worker == &w.workers[0]) {
        on_look(&look);
    }
}

static void on_stop(struct worker *worker)
{
    janitor_stop(w.node, worker);
    if (worker == &w.workers[0]) {
        worker_timer_clear(worker, &look);
    }
}

/* Lets all janitors run until there are no more than so many keys. */
static void sweep_until(uint64_t keys)
{
    struct timespec end;

    most = keys;
    look.on_time = on_look;
    CU_ASSERT_EQUAL_FATAL(sem_init(&swept, 0, 0), 0);
    CU_ASSERT_EQUAL_FATAL(clock_gettime(CLOCK_REALTIME, &end), 0);
    end.tv_sec += SECONDS;
    for (int i = 0; i < WORLD_WORKERS; i++) {
        w.workers[i].on_start = on_start;
        w.workers[i].on_stop = on_stop;
        CU_ASSERT_EQUAL_FATAL(worker_start(&w.workers[i]), OK);
    }
    rcu_offline();
    CU_ASSERT_EQUAL(sem_timedwait(&swept, &end), 0);
    for (int i = 0; i < WORLD_WORKERS; i++) {
        worker_stop(&w.workers[i]);
        worker_join(&w.workers[i]);
    }
    rcu_online();
    CU_ASSERT_EQUAL(sem_destroy(&swept), 0);
}

static uint64_t expired(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < w.db->usage_count; i++) {
        sum += w.db->usage[i].expired;
    }
    return sum;
}

static void what_is_due_goes(void)
{
    world_init(&w, 4 << 20);
    for (int i = 0; i < KEYS; i++) {
        if (i % 3 == 0) {
            (void)world_say(&w, "SET key:%d %d", i, i);
        } else {
            (void)world_say(&w, "SET key:%d %d PX %d", i, i, i % 3 == 1 ? 5000 : 100000000);
        }
    }
    uint64_t seq = changelog_last_seq(w.node->log);

    CU_ASSERT_EQUAL(keyspace_mean_ttl_ms(w.db), 0); /* nobody has looked yet */
    world_clock(6000);
    CU_ASSERT_EQUAL(keyspace_count(w.db), KEYS);
    sweep_until(KEYS * 2 / 3);
    CU_ASSERT_EQUAL(keyspace_count(w.db), KEYS * 2 / 3);
    CU_ASSERT_EQUAL(expired(), KEYS / 3);
    /* One change a slice, not one a key. */
    uint64_t changes = changelog_last_seq(w.node->log) - seq;

    CU_ASSERT_TRUE(changes > 0 && changes < KEYS / 3);
    CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
    CU_ASSERT_EQUAL(world_say(&w, "EXISTS key:0 key:1 key:2")[1], '2');
    /* Of those that live on. */
    CU_ASSERT_EQUAL(keyspace_mean_ttl_ms(w.db), 100000000 - 6000);
    world_fini(&w);
}

/* Hashes all of whose fields are due go, others keep what is not. */
static void fields_go_too(void)
{
    world_init(&w, 4 << 20);
    for (int i = 0; i < 100; i++) {
        (void)world_say(&w, "HSET gone:%d a 1 b 2", i);
        (void)world_say(&w, "HPEXPIRE gone:%d 5000 FIELDS 2 a b", i);
        (void)world_say(&w, "HSET some:%d a 1 b 2", i);
        (void)world_say(&w, "HPEXPIRE some:%d 5000 FIELDS 1 a", i);
    }
    world_clock(6000);
    CU_ASSERT_EQUAL(keyspace_count(w.db), 200);
    sweep_until(100);
    CU_ASSERT_EQUAL(keyspace_count(w.db), 100);
    CU_ASSERT_EQUAL(world_say(&w, "EXISTS gone:1 some:1")[1], '1');
    CU_ASSERT_EQUAL(world_say(&w, "HLEN some:1")[1], '1');
    CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
    world_fini(&w);
}

const struct unit_test test_expire[] = {UNIT(what_is_due_goes), UNIT(fields_go_too), UNIT_END};
