/* Sections by themselves: what an abort leaves, what is run again, a flush within, and a store of many keys. */
#include "node/section.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/rcu.h"
#include "node/database.h"
#include "node/keyspace.h"
#include "node/type_string.h"
#include "replication/changelog.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <stdio.h>

enum { KEYS = 10000 };

static const struct cmd_def write_def = {.name = "TEST", .flags = CMD_WRITE};
static struct world w;

static struct key key(int i)
{
    static char names[16][16];
    char *name = names[i % 16];

    return key_of((struct slice){name, (size_t)snprintf(name, 16, "key:%d", i)});
}

static struct cmd open(uint64_t mask)
{
    struct cmd c = {.def = &write_def, .db = w.db, .section = w.x->section};
    struct partition *held;

    CU_ASSERT_EQUAL_FATAL(section_reserve(c.section), OK);
    CU_ASSERT_EQUAL_FATAL(section_begin(c.section, w.db, mask, true, &held), OK);
    c.now_ms = clock_now_ms();
    return c;
}

static uint64_t close(struct cmd *c)
{
    uint64_t seq;

    CU_ASSERT_EQUAL(section_commit(c->section, &seq), SECTION_COMMITTED);
    rcu_turn();
    return seq;
}

static void many(struct cmd *c)
{
    for (int i = 0; i < KEYS; i++) {
        string_put_int(c, key(i), i, 0);
    }
    for (int i = 0; i < KEYS; i += 2) {
        CU_ASSERT_TRUE(keyspace_delete(c, key(i)));
    }
    for (int i = 0; i < KEYS; i++) {
        CU_ASSERT_EQUAL(section_find(c->section, key(i)) != NULL, i % 2 == 1); /* its own reads */
    }
}

static void an_abort_leaves_nothing(void)
{
    world_init(&w, 4 << 20);
    (void)world_say(&w, "SET key:1 before");
    uint64_t seq = changelog_last_seq(w.node->log);
    struct cmd c = open(UINT64_MAX);

    many(&c);
    section_abort(c.section);
    CU_ASSERT_EQUAL(keyspace_count(w.db), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(world_say(&w, "GET key:1"), "before"));
    CU_ASSERT_EQUAL(changelog_last_seq(w.node->log), seq);
    CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
    world_fini(&w);
}

static void many_keys_are_one_change(void)
{
    world_init(&w, 4 << 20);
    struct cmd c = open(UINT64_MAX);

    many(&c);
    CU_ASSERT_EQUAL(close(&c), 1);
    CU_ASSERT_EQUAL(keyspace_count(w.db), KEYS / 2);
    CU_ASSERT_EQUAL(world_say(&w, "EXISTS key:1 key:2 key:9999")[1], '2');
    CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
    world_fini(&w);
}

static void a_flush_within(void)
{
    world_init(&w, 4 << 20);
    for (int i = 0; i < 1000; i++) {
        (void)world_say(&w, "SET old:%d x", i);
    }
    (void)world_say(&w, "SETRANGE old:big 50000 x");
    struct cmd c = open(UINT64_MAX);

    string_put_int(&c, key(1), 1, 0);
    keyspace_flush(&c);
    CU_ASSERT_PTR_NULL(section_find(c.section, key(1)));
    string_put_int(&c, key(2), 2, 0);
    CU_ASSERT_TRUE(close(&c) > 0);
    CU_ASSERT_EQUAL(keyspace_count(w.db), 1);
    CU_ASSERT_EQUAL(world_say(&w, "EXISTS key:1 key:2 old:1 old:big")[1], '1');
    CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
    c = open(UINT64_MAX);
    keyspace_flush(&c);
    string_put_int(&c, key(3), 2, 0);
    section_abort(c.section);
    CU_ASSERT_EQUAL(world_say(&w, "EXISTS key:2 key:3")[1], '1');
    CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
    world_fini(&w);
}

static struct key named(const char *name)
{
    return key_of(slice_of(name));
}

static struct cmd handed_on_then_flushed(void)
{
    for (int i = 0; i < 300; i++) {
        (void)world_say(&w, "HSET hash field:%d x", i);
    }
    (void)world_say(&w, "SETRANGE expires 50000 x");
    (void)world_say(&w, "SETRANGE grows 50000 x");
    (void)world_say(&w, "SETRANGE moves 50000 x");
    (void)world_say(&w, "SET small x");
    struct cmd c = open(UINT64_MAX);

    keyspace_expire_at(&c, named("expires"), clock_now_ms() + 100000);
    keyspace_expire_at(&c, named("expires"), clock_now_ms() + 200000);
    keyspace_rename(&c, named("hash"), named("hash too"));
    keyspace_rename(&c, named("hash too"), named("hash three"));
    keyspace_rename(&c, named("moves"), named("small"));
    string_put_range(&c, named("grows"), 40000, SLICE("in the middle"));
    keyspace_flush(&c);
    string_put_int(&c, named("hash"), 1, 0);
    keyspace_flush(&c);
    string_put_int(&c, named("expires"), 2, 0);
    return c;
}

/* A value that the section had given to another entry was freed with that entry and, since the flush
 * took the old tables as they were, once more with the one it came from. */
static void a_flush_after_a_value_was_handed_on(void)
{
    world_init(&w, 4 << 20);
    struct cmd c = handed_on_then_flushed();

    CU_ASSERT_TRUE(close(&c) > 0);
    rcu_drain();
    CU_ASSERT_EQUAL(keyspace_count(w.db), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(world_say(&w, "GET expires"), "2"));
    CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
    world_fini(&w);
}

static void an_abort_after_a_value_was_handed_on(void)
{
    world_init(&w, 4 << 20);
    struct cmd c = handed_on_then_flushed();

    section_abort(c.section);
    rcu_drain();
    CU_ASSERT_EQUAL(keyspace_count(w.db), 5);
    CU_ASSERT_PTR_NOT_NULL(strstr(world_say(&w, "HLEN hash"), "300"));
    CU_ASSERT_PTR_NOT_NULL(strstr(world_say(&w, "STRLEN grows"), "50001"));
    CU_ASSERT_PTR_NOT_NULL(strstr(world_say(&w, "GETRANGE moves 50000 -1"), "x"));
    CU_ASSERT_PTR_NOT_NULL(strstr(world_say(&w, "TTL expires"), "-1"));
    CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
    world_fini(&w);
}

/* S5: nothing of a section is seen after what it relied on has expired. */
static void what_it_relied_on_expires(void)
{
    uint64_t seq;

    world_init(&w, 4 << 20);
    (void)world_say(&w, "SET lease 1 PX 1000");
    struct cmd c = open(UINT64_MAX);

    CU_ASSERT_PTR_NOT_NULL(section_find(c.section, key_of(SLICE("lease"))));
    string_put_int(&c, key(1), 1, 0);
    world_clock(1000);
    CU_ASSERT_EQUAL(section_commit(c.section, &seq), SECTION_AGAIN);
    CU_ASSERT_EQUAL(world_say(&w, "EXISTS key:1")[1], '0');
    c = open(UINT64_MAX);
    CU_ASSERT_PTR_NULL(section_find(c.section, key_of(SLICE("lease"))));
    CU_ASSERT_TRUE(close(&c) > 0); /* its removal, as a change */
    CU_ASSERT_EQUAL(keyspace_count(w.db), 0);
    CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
    world_fini(&w);
}

/* A storm of PEXPIRE met a key alive, and gone a moment later in the same command: an assertion. */
static void a_section_has_one_moment(void)
{
    struct cmd c;
    uint64_t seq;

    world_init(&w, 1 << 20);
    c = open((uint64_t)1 << key(1).partition);
    string_put(&c, key(1), SLICE("v"), clock_now_ms() + 500);
    (void)close(&c);
    c = open((uint64_t)1 << key(1).partition);
    CU_ASSERT_PTR_NOT_NULL(section_find(c.section, key(1)));
    world_clock(1000);
    CU_ASSERT_PTR_NOT_NULL(section_find(c.section, key(1)));
    keyspace_expire_at(&c, key(1), clock_now_ms() + 9000);
    CU_ASSERT_EQUAL(section_commit(c.section, &seq),
                    SECTION_AGAIN); /* and so it did not outlive it */
    c = open((uint64_t)1 << key(1).partition);
    CU_ASSERT_PTR_NULL(section_find(c.section, key(1)));
    (void)close(&c);
    world_fini(&w);
}

UNCHECKED_LOCKS static void a_held_partition_leaves_the_others_free(void)
{
    struct partition *held = NULL;
    struct partition *p;

    world_init(&w, 4 << 20);
    p = database_partition_make(w.db, 40);
    CU_ASSERT_TRUE_FATAL(p != NULL && partition_lock(p));
    CU_ASSERT_EQUAL(section_reserve(w.x->section), OK);
    CU_ASSERT_EQUAL(section_begin(w.x->section, w.db, UINT64_MAX, true, &held), ERR_FULL);
    CU_ASSERT_PTR_EQUAL(held, p);
    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition *other = database_partition(w.db, i);

        CU_ASSERT_EQUAL(other != NULL && other->lock != 0, i == 40);
    }
    partition_unlock(p);
    world_fini(&w);
}

const struct unit_test test_section[] = {UNIT(an_abort_leaves_nothing),
                                         UNIT(many_keys_are_one_change),
                                         UNIT(a_flush_within),
                                         UNIT(a_flush_after_a_value_was_handed_on),
                                         UNIT(an_abort_after_a_value_was_handed_on),
                                         UNIT(what_it_relied_on_expires),
                                         UNIT(a_section_has_one_moment),
                                         UNIT(a_held_partition_leaves_the_others_free),
                                         UNIT_END};
