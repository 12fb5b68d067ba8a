/* The change log's ring: L1 to L4 of replication/changelog.h, with several writers. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rand.h"
#include "proto/change.h"
#include "replication/changelog.h"
#include "tests/lib/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { RING = 1 << 20, WRITERS = 3, APPENDS = 20000, PAYLOAD_MAX = 3000 };

static struct changelog *ring_of(size_t bytes)
{
    struct changelog *l = NULL;

    CU_ASSERT_FATAL(
        changelog_create(&l, &(struct changelog_options){.ring_bytes = bytes, .epoch = 7}) == OK);
    return l;
}

/* A change whose bytes after the head all are its writer's letter, so that a torn one shows. */
static size_t fill(char *bytes, char letter, size_t payload)
{
    memset(bytes, 0, CHANGE_HEAD_BYTES);
    memset(bytes + CHANGE_HEAD_BYTES, letter, payload);
    return CHANGE_HEAD_BYTES + payload;
}

static void reserve(struct changelog *l, struct changelog_credit *c)
{
    while (changelog_reserve(l, c) != OK) {
        sched_yield();
    }
}

struct seen {
    uint64_t next;
    uint64_t count;
    bool torn;
};

static bool see(uint64_t seq, struct slice piece, bool last, void *arg)
{
    struct seen *s = arg;

    CU_ASSERT_TRUE(last);
    s->torn |= seq != s->next || change_seq(piece.ptr) != seq || change_epoch(piece.ptr) != 7;
    for (size_t i = CHANGE_HEAD_BYTES; i < piece.len; i++) {
        s->torn |= piece.ptr[i] != piece.ptr[CHANGE_HEAD_BYTES];
    }
    s->next = seq + 1;
    s->count++;
    return true;
}

static void numbers_are_consecutive_and_bytes_whole(void)
{
    struct changelog *l = ring_of(RING);
    struct changelog_credit credit = {0};
    struct seen seen = {.next = 1};
    char bytes[CHANGE_HEAD_BYTES + 100];

    for (uint64_t i = 1; i <= 1000; i++) {
        size_t len = fill(bytes, (char)('a' + i % 26), i % 100);

        reserve(l, &credit);
        CU_ASSERT_EQUAL(changelog_append(l, &credit, (struct slice){bytes, len}, NULL, 5), i);
    }
    CU_ASSERT_EQUAL(changelog_last_seq(l), 1000);
    CU_ASSERT_EQUAL(changelog_read(l, 1, see, &seen), 1001);
    CU_ASSERT_EQUAL(seen.count, 1000);
    CU_ASSERT_FALSE(seen.torn);
    changelog_credit_return(l, &credit);
    changelog_destroy(l);
}

struct writer {
    struct changelog *log;
    uint64_t seed;
    char letter;
};

static _Atomic uint32_t running;

static void *write_many(void *arg)
{
    struct writer *w = arg;
    struct changelog_credit credit = {0};
    struct rand r = {w->seed};
    char bytes[CHANGE_HEAD_BYTES + PAYLOAD_MAX];
    uint64_t before = 0;

    for (int i = 0; i < APPENDS; i++) {
        size_t len = fill(bytes, w->letter, 1 + rand_below(&r, PAYLOAD_MAX));

        reserve(w->log, &credit);
        uint64_t seq = changelog_append(w->log, &credit, (struct slice){bytes, len}, NULL, 5);

        CU_ASSERT_TRUE_FATAL(seq > before); /* L1 for one writer */
        before = seq;
    }
    changelog_credit_return(w->log, &credit);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

/* Writers lap the ring many times while a reader follows; when the reader was lapped, it starts at the
 * oldest again. No change is torn, none is out of its order. */
static void laps_with_several_writers(void)
{
    struct changelog *l = ring_of(RING);
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    struct seen seen = {.next = 1};
    uint64_t laps = 0;

    atomic_store(&running, WRITERS);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){l, unit_seed() + (uint64_t)i, (char)('a' + i)};
        CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, write_many, &writers[i]) == 0);
    }
    while (atomic_load(&running) > 0) {
        if (changelog_read(l, seen.next, see, &seen) == 0) {
            laps++;
            seen.next = changelog_first_seq(l);
        }
        sched_yield();
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    if (changelog_read(l, seen.next, see, &seen) == 0) { /* lapped at the last, perhaps each time */
        seen.next = changelog_first_seq(l);
        (void)changelog_read(l, seen.next, see, &seen);
    }
    CU_ASSERT_EQUAL(changelog_last_seq(l), (uint64_t)WRITERS * APPENDS);
    CU_ASSERT_FALSE(seen.torn);
    CU_ASSERT(seen.count > 0);
    (void)laps;
    changelog_destroy(l);
}

static void put_nothing(void *object, size_t len)
{
    (void)len;
    ++*(int *)object;
}

static bool each_x(void *object, size_t len, bool (*fn)(struct slice, void *), void *arg)
{
    static const char x[1000] = {[0 ... 999] = 'x'};

    (void)object;
    for (size_t at = 0; at < len; at += sizeof(x)) {
        if (!fn((struct slice){x, len - at < sizeof(x) ? len - at : sizeof(x)}, arg)) {
            return false;
        }
    }
    return true;
}

struct joined {
    char *bytes;
    size_t len;
    bool ended;
};

static bool join(uint64_t seq, struct slice piece, bool last, void *arg)
{
    struct joined *j = arg;

    (void)seq;
    memcpy(j->bytes + j->len, piece.ptr, piece.len);
    j->len += piece.len;
    j->ended = last;
    return true;
}

/* A change many times the ring, with a value by reference in its middle, is read back whole; what it
 * refers to is given back exactly once. */
static void a_change_larger_than_the_ring(void)
{
    enum { BIG = 4 << 20, VALUE = 3 << 20, AT = 1 << 20 };
    struct changelog *l = ring_of(64 << 10);
    struct changelog_credit credit = {0};
    struct change_blob *b = mem_zalloc(sizeof(*b));
    struct joined j = {mem_zalloc(BIG + VALUE), 0, false};
    int given_back = 0;

    b->bytes = mem_alloc(BIG);
    b->len = b->cap = BIG;
    (void)fill(b->bytes, 'y', BIG - CHANGE_HEAD_BYTES);
    b->refs = mem_alloc(sizeof(b->refs[0]));
    b->refs[0] = (struct change_blob_ref){AT, VALUE, &given_back};
    b->ref_count = 1;
    b->each = each_x;
    b->put = put_nothing;
    reserve(l, &credit);
    CU_ASSERT_EQUAL(changelog_append(l, &credit, (struct slice){NULL, 0}, b, 5), 1);
    CU_ASSERT_EQUAL(changelog_read(l, 1, join, &j), 2);
    CU_ASSERT_TRUE(j.ended);
    CU_ASSERT_EQUAL_FATAL(j.len, BIG + VALUE);
    CU_ASSERT_EQUAL(change_seq(j.bytes), 1);
    CU_ASSERT_EQUAL(j.bytes[AT - 1], 'y');
    CU_ASSERT_EQUAL(j.bytes[AT], 'x');
    CU_ASSERT_EQUAL(j.bytes[AT + VALUE - 1], 'x');
    CU_ASSERT_EQUAL(j.bytes[AT + VALUE], 'y');
    mem_free(j.bytes, BIG + VALUE);
    changelog_credit_return(l, &credit);
    changelog_destroy(l);
    CU_ASSERT_EQUAL(given_back, 1);
}

static _Atomic int woken;

static void on_room(struct changelog_waiter *w)
{
    (void)w;
    atomic_fetch_add(&woken, 1);
}

/* Somebody who holds all the room makes others wait, and they are woken when it comes back. */
static void who_finds_no_room_is_woken(void)
{
    struct changelog *l = ring_of(64 << 10);
    struct changelog_credit credits[16] = {0};
    struct changelog_credit late = {0};
    struct changelog_waiter w = {.on_room = on_room};
    int n = 0;

    atomic_store(&woken, 0);
    while (n < 16 && changelog_reserve(l, &credits[n]) == OK) {
        n++;
    }
    CU_ASSERT_FATAL(n < 16);
    CU_ASSERT_EQUAL(changelog_reserve(l, &late), ERR_FULL);
    list_init(&w.link);
    if (changelog_wait(l, &w)) {
        for (int i = 0; i < n; i++) {
            changelog_credit_return(l, &credits[i]);
        }
        int64_t until = clock_mono_ns() + 5000000000;

        while (atomic_load(&woken) == 0 && clock_mono_ns() < until) {
            sched_yield();
        }
        CU_ASSERT_EQUAL(atomic_load(&woken), 1);
    }
    CU_ASSERT_EQUAL(changelog_reserve(l, &late), OK);
    changelog_credit_return(l, &late);
    changelog_destroy(l);
}

static void put_atomic(void *object, size_t len)
{
    (void)len;
    atomic_fetch_add((_Atomic int *)object, 1);
}

/* L5: values by reference do not pile up beside a ring that they hardly fill. */
static void what_is_kept_beside_is_bounded(void)
{
    enum { VALUE = 1 << 20, TIMES = 200 };
    struct changelog *l = ring_of(1 << 20);
    struct changelog_credit credit = {0};
    static _Atomic int given_back;

    atomic_store(&given_back, 0);
    for (int i = 1; i <= TIMES; i++) {
        struct change_blob *b = mem_zalloc(sizeof(*b));

        b->bytes = mem_alloc(CHANGE_HEAD_BYTES);
        b->len = b->cap = CHANGE_HEAD_BYTES;
        (void)fill(b->bytes, 'y', 0);
        b->refs = mem_alloc(sizeof(b->refs[0]));
        b->refs[0] = (struct change_blob_ref){CHANGE_HEAD_BYTES, VALUE, &given_back};
        b->ref_count = 1;
        b->each = each_x;
        b->put = put_atomic;
        reserve(l, &credit); /* waits while four rings are kept beside */
        (void)changelog_append(l, &credit, (struct slice){NULL, 0}, b, 5);
        CU_ASSERT_FATAL(i - atomic_load(&given_back) <= 6);
    }
    changelog_credit_return(l, &credit);
    changelog_destroy(l);
    CU_ASSERT_EQUAL(atomic_load(&given_back), TIMES);
}

const struct unit_test test_changelog[] = {
    UNIT(numbers_are_consecutive_and_bytes_whole), UNIT(laps_with_several_writers),
    UNIT(a_change_larger_than_the_ring),           UNIT(who_finds_no_room_is_woken),
    UNIT(what_is_kept_beside_is_bounded),          UNIT_END};
