/* Readers of a large sorted set beside two writers that change it in place. Members come in pairs, and
 * each section moves as much from one's score to the other's, so that a reader who sees a pair that does
 * not add up saw half of a section. A million members under ThreadSanitizer (make test-tsan), fewer
 * elsewhere; filling stops when its time is over, the threads after so many sections. */
#include "base/rand.h"
#include "base/rcu.h"
#include "node/keyspace.h"
#include "node/type.h"
#include "node/type_zset.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

enum {
    MEMBERS = UNDER_TSAN ? 1000000 : 40000,
    FILL_SECONDS = 60,
    SECTIONS =
        2000, /* of each writer; who reads does so until they are done, and READS at the least */
    READS = 20,
    READERS = 2,
    WRITERS = 2,
    A_SECTION = 500,
    SUM = 1000000
};

struct race {
    struct bench main;
    struct key key;
    int members; /* filled */
    _Atomic bool over;
    _Atomic long bad, reads, writes;
    uint64_t seed;
};

struct thread {
    struct race *race;
    struct rand rand;
    pthread_t id;
};

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct slice name_of(int i, char out[16])
{
    return (struct slice){out, (size_t)snprintf(out, 16, "m%d", i)};
}

static void fill(struct race *r)
{
    int64_t end = now_ms() + (int64_t)FILL_SECONDS * 1000;
    struct rand rand = {r->seed};

    while (r->members < MEMBERS && now_ms() < end) {
        bench_begin(&r->main);
        for (int k = 0; k < A_SECTION; k++) {
            char names[2][16];
            double score = (double)rand_below(&rand, SUM);
            struct zset_item pair[2] = {{name_of(r->members, names[0]), score},
                                        {name_of(r->members + 1, names[1]), SUM - score}};

            (void)zset_add(&r->main.write, r->key, pair, 2, 0);
            r->members += 2;
        }
        CU_ASSERT_EQUAL_FATAL(bench_commit(&r->main), SECTION_COMMITTED);
        rcu_turn();
    }
}

/* A pair adds up; a member stands where its rank says, between its neighbours. */
static bool is_sound(const struct race *r, struct rand *rand, const struct zset *z)
{
    static _Thread_local struct zset_walk w;
    int i = 2 * (int)rand_below(rand, (uint64_t)r->members / 2);
    char names[2][16];
    struct zset_item item, last;
    double score[2];
    size_t rank;

    bool there = zset_rank(z, name_of(i, names[0]), &rank, &score[0]);

    if (there != zset_score(z, name_of(i + 1, names[1]), &score[1])) {
        return false;
    }
    if (!there) {
        return true;
    }
    size_t n = zset_count(z) - rank < 100 ? zset_count(z) - rank : 100;

    zset_walk_begin(&w, z, rank, n, false);
    if (score[0] + score[1] != SUM || !zset_walk_next(&w, &last) ||
        !slice_is(last.member, name_of(i, names[0])) || last.score != score[0]) {
        return false;
    }
    for (; zset_walk_next(&w, &item); last = item) {
        if (zset_item_order(&last, &item) >= 0) {
            return false;
        }
    }
    return zset_before(z, &(struct rank_bound){.score = score[0]}) <= rank;
}

static void *reader(void *arg)
{
    struct thread *t = arg;
    struct race *r = t->race;
    struct bench b;
    struct zset z;

    bench_join(&b, &r->main);
    for (int i = 0; i < READS || !atomic_load(&r->over); i++) {
        if (zset_open(&b.read, r->key, &z) == FOUND) {
            bool sound = is_sound(r, &t->rand, &z) && zset_count(&z) % 2 == 0;

            zset_close(&z);
            atomic_fetch_add(&r->bad, !sound);
        }
        atomic_fetch_add(&r->reads, 1);
        rcu_turn();
    }
    bench_leave(&b);
    return NULL;
}

static void write_pair(struct thread *t, struct bench *b)
{
    struct race *r = t->race;
    int i = 2 * (int)rand_below(&t->rand, (uint64_t)r->members / 2);
    double score = (double)rand_below(&t->rand, SUM);
    char names[2][16];
    struct slice both[2] = {name_of(i, names[0]), name_of(i + 1, names[1])};
    struct zset_item pair[2] = {{both[0], score}, {both[1], SUM - score}};

    if (rand_below(&t->rand, 3) == 0) {
        (void)zset_remove(&b->write, r->key, both, 2);
    } else {
        (void)zset_add(&b->write, r->key, pair, 2, 0);
    }
}

static void *writer(void *arg)
{
    struct thread *t = arg;
    struct bench b;

    bench_join(&b, &t->race->main);
    for (int i = 0; i < SECTIONS; i++) {
        bench_begin(&b);
        for (uint64_t n = 1 + rand_below(&t->rand, 20); n > 0; n--) {
            write_pair(t, &b);
        }
        if (rand_below(&t->rand, 4) == 0) {
            bench_abort(&b);
        } else {
            atomic_fetch_add(&t->race->bad, bench_commit(&b) == SECTION_FAILED);
        }
        atomic_fetch_add(&t->race->writes, 1);
        rcu_turn();
    }
    bench_leave(&b);
    return NULL;
}

static void readers_see_whole_sections(void)
{
    struct race *r = calloc(1, sizeof(*r));
    struct thread threads[READERS + WRITERS];

    r->seed = unit_seed();
    bench_init(&r->main);
    r->key = key_of(SLICE("k"));
    fill(r);
    for (int i = 0; i < READERS + WRITERS; i++) {
        threads[i] = (struct thread){.race = r, .rand = {r->seed + (uint64_t)i + 1}};
        CU_ASSERT_EQUAL_FATAL(
            pthread_create(&threads[i].id, NULL, i < READERS ? reader : writer, &threads[i]), 0);
    }
    rcu_offline();
    for (int i = READERS + WRITERS; i-- > 0;) { /* the writers first */
        pthread_join(threads[i].id, NULL);
        if (i == READERS) {
            atomic_store(&r->over, true);
        }
    }
    rcu_online();
    CU_ASSERT_EQUAL(r->bad, 0);
    CU_ASSERT(r->reads >= (long)READS * READERS);
    CU_ASSERT_EQUAL(r->writes, (long)SECTIONS * WRITERS);
    CU_ASSERT_EQUAL(database_used_exact(r->main.db), bench_bytes(&r->main));
    bench_fini(&r->main);
    free(r);
}

const struct unit_test test_type_zset_race[] = {
    UNIT(readers_see_whole_sections),
    UNIT_END,
};
