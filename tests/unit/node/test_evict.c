/* Eviction: each policy picks what it should, in bounded steps, and says so in the log. */
#include "node/evict.h"

#include "base/conf.h"
#include "base/rcu.h"
#include "node/database.h"
#include "node/keyspace.h"
#include "node/options.h"
#include "node/section.h"
#include "replication/changelog.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <stdio.h>

enum { KEYS = 8000, STEPS = 64, CALLS = 1000 };

static struct world w;
static struct rand r;

static void set_policy(const char *policy)
{
    struct buf why = {0};

    CU_ASSERT_TRUE_FATAL(conf_set(&opt_maxmemory_policy, slice_of(policy), &why));
    buf_fini(&why);
}

/* Even keys are used, odd ones are not; the first half has an expiry, the earlier the lower. */
static void fill(const char *policy)
{
    char value[201];

    world_init(&w, 4 << 20);
    r = (struct rand){unit_seed()};
    set_policy(policy);
    memset(value, 'v', 200);
    value[200] = '\0';
    for (int i = 0; i < KEYS; i++) {
        if (i < KEYS / 2) {
            (void)world_say(&w, "SET key:%d %s PX %d", i, value, 1000000 + i * 1000);
        } else {
            (void)world_say(&w, "SET key:%d %s", i, value);
        }
    }
    world_clock(100000);
    for (int n = 0; n < 20; n++) {
        for (int i = 0; i < KEYS; i += 2) {
            char name[16];
            struct cmd c = {.db = w.db};
            const struct entry *e = keyspace_peek(
                &c, key_of((struct slice){name, (size_t)snprintf(name, 16, "key:%d", i)}));

            CU_ASSERT_PTR_NOT_NULL_FATAL(e);
            evict_touch(e, &r);
        }
    }
}

static void end(void)
{
    set_policy("noeviction");
    world_fini(&w);
}

static uint64_t evicted(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < w.db->usage_count; i++) {
        sum += w.db->usage[i].evicted;
    }
    return sum;
}

/* A quarter of the memory has to go. */
static void shrink(void)
{
    int64_t limit = database_used_exact(w.db) * 3 / 4;
    uint64_t seq = changelog_last_seq(w.node->log);

    atomic_store(&w.db->maxmemory, (uint64_t)limit);
    CU_ASSERT_TRUE(evict_is_over(w.db));
    for (int i = 0; i < CALLS && evict_is_over(w.db); i++) {
        uint64_t before = evicted();

        CU_ASSERT_TRUE(evict_make_room(w.x, w.db));
        CU_ASSERT_TRUE(evicted() > before && evicted() <= before + STEPS);
        rcu_turn();
    }
    CU_ASSERT_TRUE(database_used(w.db) <= limit);
    CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
    CU_ASSERT_EQUAL(changelog_last_seq(w.node->log) - seq, evicted());
    CU_ASSERT_EQUAL(keyspace_count(w.db), KEYS - evicted());
}

/* How many of the keys from, from + step … below `to` are left. */
static int left(int from, int to, int step)
{
    int n = 0;

    for (int i = from; i < to; i += step) {
        n += world_say(&w, "EXISTS key:%d", i)[1] == '1';
    }
    return n;
}

static void by_use(const char *policy)
{
    fill(policy);
    shrink();
    /* Sampled, so not exact: what is used has a small part of the losses. */
    int used = left(0, KEYS, 2);
    int unused = left(1, KEYS, 2);

    CU_ASSERT_TRUE((KEYS / 2 - used) * 5 < KEYS / 2 - unused);
    end();
}

static void by_use_volatile(const char *policy)
{
    fill(policy);
    shrink();
    CU_ASSERT_EQUAL(left(KEYS / 2, KEYS, 1), KEYS / 2);
    int used = left(0, KEYS / 2, 2);
    int unused = left(1, KEYS / 2, 2);

    CU_ASSERT_TRUE((KEYS / 4 - used) * 2 < KEYS / 4 - unused);
    end();
}

static void longest_unused(void)
{
    by_use("allkeys-lru");
    by_use_volatile("volatile-lru");
}

static void least_often_used(void)
{
    by_use("allkeys-lfu");
    by_use_volatile("volatile-lfu");
}

static void any(void)
{
    fill("allkeys-random");
    shrink();
    int first = left(0, KEYS / 2, 1);
    int second = left(KEYS / 2, KEYS, 1);

    CU_ASSERT_TRUE(first < KEYS / 2 && second < KEYS / 2);
    CU_ASSERT_TRUE(first - second < KEYS / 10 && second - first < KEYS / 10);
    end();
    fill("volatile-random");
    shrink();
    CU_ASSERT_EQUAL(left(KEYS / 2, KEYS, 1), KEYS / 2);
    end();
}

/* One tag has nine keys of ten, and all of them in one partition: each key is as likely to go as those
 * that have their partition almost to themselves. */
static void keys_and_not_partitions(void)
{
    static const char *const policies[] = {"allkeys-random", "volatile-random"};
    char value[201];

    memset(value, 'v', 200);
    value[200] = '\0';
    for (size_t n = 0; n < 2; n++) {
        int kept[2] = {0, 0};

        world_init(&w, 4 << 20);
        set_policy(policies[n]);
        for (int i = 0; i < KEYS; i++) {
            (void)world_say(&w, "SET %s:%d %s PX 1000000", i % 10 == 0 ? "alone" : "{tag}", i,
                            value);
        }
        shrink();
        for (int i = 0; i < KEYS; i++) {
            kept[i % 10 != 0] +=
                world_say(&w, "EXISTS %s:%d", i % 10 == 0 ? "alone" : "{tag}", i)[1] == '1';
        }
        double alone = kept[0] / (KEYS * 0.1), tagged = kept[1] / (KEYS * 0.9);

        CU_ASSERT_TRUE(alone < 1 && tagged < 1);
        CU_ASSERT_DOUBLE_EQUAL(alone, tagged, 0.12);
        end();
    }
}

static void the_first_to_expire(void)
{
    fill("volatile-ttl");
    shrink();
    CU_ASSERT_EQUAL(left(KEYS / 2, KEYS, 1), KEYS / 2);
    int soon = left(0, KEYS / 4, 1);
    int late = left(KEYS / 4, KEYS / 2, 1);

    CU_ASSERT_TRUE((KEYS / 4 - late) * 2 < KEYS / 4 - soon);
    end();
}

static void none(void)
{
    fill("noeviction");
    atomic_store(&w.db->maxmemory, 1000);
    CU_ASSERT_FALSE(evict_make_room(w.x, w.db));
    CU_ASSERT_EQUAL(evicted(), 0);
    CU_ASSERT_EQUAL(memcmp(world_say(&w, "SET new value"), "-OOM", 4), 0);
    CU_ASSERT_EQUAL(world_say(&w, "GET key:1")[0], '$');
    CU_ASSERT_EQUAL(world_say(&w, "DEL key:1")[1], '1'); /* what gives memory back may run */
    end();
}

/* Nothing may go: the writer is told so, and does not look for ever. */
static void nothing_that_may_go(void)
{
    fill("volatile-lru");
    for (int i = 0; i < KEYS / 2; i++) {
        (void)world_say(&w, "PERSIST key:%d", i);
    }
    atomic_store(&w.db->maxmemory, 1000);
    CU_ASSERT_FALSE(evict_make_room(w.x, w.db));
    CU_ASSERT_EQUAL(memcmp(world_say(&w, "SET new value"), "-OOM", 4), 0);
    CU_ASSERT_EQUAL(keyspace_count(w.db), KEYS);
    end();
}

const struct unit_test test_evict[] = {UNIT(longest_unused),
                                       UNIT(least_often_used),
                                       UNIT(any),
                                       UNIT(keys_and_not_partitions),
                                       UNIT(the_first_to_expire),
                                       UNIT(none),
                                       UNIT(nothing_that_may_go),
                                       UNIT_END};
