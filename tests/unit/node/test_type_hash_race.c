/* Readers of a large hash beside the writer that changes it in place, removes it and makes it anew; each
 * section writes one number to all fields it has, so that a reader that sees two saw half of a section.
 * Run under ThreadSanitizer as well (make test-tsan). */
#include "base/rand.h"
#include "base/rcu.h"
#include "node/hash_large.h"
#include "node/keyspace.h"
#include "node/type.h"
#include "node/type_hash.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { READERS = 3, SECTIONS = 200, FIELDS = 200, EVERY = 9 };

struct race {
    struct bench main;
    struct key key;
    _Atomic bool over;
    _Atomic long mixed, reads, backward;
    uint64_t seed;
};

struct view {
    long first;
    size_t seen;
    bool mixed;
};

static long value_of(struct slice v)
{
    char text[24] = {0};

    memcpy(text, v.ptr, v.len < 23 ? v.len : 23);
    return atol(text);
}

/* Fields named n…: all must say the same. (t… are those that expire.) */
static void look(const struct hash_field *f, void *arg)
{
    struct view *v = arg;

    if (f->name.ptr[0] == 'n') {
        v->mixed = v->mixed || (v->seen > 0 && value_of(f->value) != v->first);
        v->first = value_of(f->value);
        v->seen++;
    }
}

static void *reader(void *arg)
{
    struct race *r = arg;
    struct bench b;
    struct hash h;
    long last = 0;

    bench_join(&b, &r->main);
    while (!atomic_load(&r->over)) {
        struct view v = {0};
        struct hash_field f;

        if (hash_open(&b.read, r->key, &h) == FOUND) {
            size_t count = hash_count(&h);

            hash_each(&h, look, &v);
            (void)hash_get(&h, SLICE("n7"), &f);
            hash_close(&h);
            atomic_fetch_add(&r->mixed, v.mixed || v.seen > count || v.seen == 0);
            atomic_fetch_add(&r->backward, v.first < last);
            last = v.first;
        }
        const struct entry *e = keyspace_peek(&b.read, r->key);

        if (e != NULL) { /* what needs no lock */
            (void)keyspace_bytes(e);
            (void)hash_next_expiry(e);
        }
        atomic_fetch_add(&r->reads, 1);
        rcu_turn();
    }
    bench_leave(&b);
    return NULL;
}

static void write_all(struct race *r, struct bench *b, long number)
{
    char value[24];
    char name[12];
    struct slice v = {value, (size_t)snprintf(value, sizeof(value), "%ld", number)};

    for (int i = 0; i < FIELDS; i++) {
        struct slice n = {name, (size_t)snprintf(name, sizeof(name), "n%d", i)};

        (void)hash_put(&b->write, r->key, n, v, 0);
    }
    struct slice t = {name, (size_t)snprintf(name, sizeof(name), "t%ld", number % 50)};

    (void)hash_put(&b->write, r->key, t, v, bench_now_ms() + 1 + number % 7);
}

static void writer_section(struct race *r, struct rand *rand, long number)
{
    struct bench *b = &r->main;

    bench_begin(b);
    if (number % EVERY == 0) {
        (void)keyspace_delete(&b->write, r->key);
    }
    write_all(r, b, number);
    if (number % EVERY == 1) {
        /* Changed in place and gone: who waited for the lock must not see it. */
        (void)hash_put(&b->write, r->key, SLICE("n3"), SLICE("0"), 0);
        (void)keyspace_delete(&b->write, r->key);
        write_all(r, b, number);
    }
    if (rand_below(rand, 4) == 0) {
        bench_abort(b);
    } else if (bench_commit(b) == SECTION_FAILED) {
        CU_FAIL("a section failed");
    }
    bench_clock(bench_now_ms() + (int64_t)rand_below(rand, 3));
    rcu_turn();
}

static void readers_see_whole_sections(void)
{
    struct race *r = calloc(1, sizeof(*r));
    struct rand rand = {unit_seed()};
    pthread_t t[READERS];

    bench_init(&r->main);
    r->key = key_of(SLICE("k"));
    for (int i = 0; i < READERS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, reader, r), 0);
    }
    for (long n = 1; n <= SECTIONS; n++) {
        writer_section(r, &rand, n);
    }
    atomic_store(&r->over, true);
    rcu_offline();
    for (int i = 0; i < READERS; i++) {
        pthread_join(t[i], NULL);
    }
    rcu_online();
    CU_ASSERT_EQUAL(r->mixed, 0);
    CU_ASSERT_EQUAL(r->backward, 0);
    CU_ASSERT(r->reads > 10);
    CU_ASSERT_EQUAL(database_used_exact(r->main.db), bench_bytes(&r->main));
    bench_fini(&r->main);
    free(r);
}

static struct slice named(int i, char name[8])
{
    return (struct slice){name, (size_t)snprintf(name, 8, "n%d", i)};
}

struct looker {
    struct bench *main;
    struct key key;
    _Atomic int found; /* -1: not yet known */
};

static void *look_up(void *arg)
{
    struct looker *l = arg;
    struct bench b;

    bench_join(&b, l->main);
    atomic_store(&l->found, keyspace_peek(&b.read, l->key) != NULL);
    bench_leave(&b);
    return NULL;
}

/* What another thread finds while this one holds the hash's lock: -1 if it waits for it. */
static int found_without_lock(struct bench *b, struct key k, struct hash_large *l)
{
    struct looker looker = {.main = b, .key = k, .found = -1};
    pthread_t thread;
    int found;

    rcu_offline();
    lock_write(&l->large.lock);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, look_up, &looker), 0);
    for (int i = 0; i < 2000 && atomic_load(&looker.found) < 0; i++) {
        (void)poll(NULL, 0, 1);
    }
    found = atomic_load(&looker.found);
    lock_write_end(&l->large.lock);
    (void)pthread_join(thread, NULL);
    rcu_online();
    return found;
}

/* Whether a large hash is there is known without its lock and without a walk, whatever its fields. */
static void is_there_without_its_lock(void)
{
    struct bench b;
    struct key k = key_of(SLICE("k"));
    char name[8];

    bench_init(&b);
    bench_begin(&b);
    for (int i = 0; i < FIELDS; i++) {
        (void)hash_put(&b.write, k, named(i, name), SLICE("v"), 0);
    }
    CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
    struct hash_large *l = entry_pointer(keyspace_peek(&b.read, k));
    int64_t now_ms = bench_now_ms();

    bench_begin(&b);
    for (int i = 0; i < 100; i++) {
        hash_expire_at(&b.write, k, named(i, name), now_ms + 100 + i);
    }
    CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
    CU_ASSERT_EQUAL(found_without_lock(&b, k, l), 1); /* some stay for good */
    bench_begin(&b);
    for (int i = 100; i < FIELDS; i++) {
        hash_expire_at(&b.write, k, named(i, name), now_ms + 100 + i);
    }
    /* Nobody goes by what is not published. */
    CU_ASSERT_EQUAL(atomic_load(&l->alive_until_ms), 0);
    CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
    CU_ASSERT_EQUAL(found_without_lock(&b, k, l), 1);
    bench_clock(now_ms + 298); /* one field is left: who first asks looks, the others do not */
    CU_ASSERT_PTR_NOT_NULL(keyspace_peek(&b.read, k));
    CU_ASSERT_EQUAL(found_without_lock(&b, k, l), 1);
    bench_begin(&b);
    hash_expire_at(&b.write, k, SLICE("n199"), now_ms + 1000);
    bench_abort(&b);
    bench_clock(now_ms + 299);
    CU_ASSERT_PTR_NULL(keyspace_peek(&b.read, k));
    bench_fini(&b);
}

const struct unit_test test_type_hash_race[] = {
    UNIT(readers_see_whole_sections),
    UNIT(is_there_without_its_lock),
    UNIT_END,
};
