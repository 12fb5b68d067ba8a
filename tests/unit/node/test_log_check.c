/* Whether the proof proves: it finds what the log did not say. */
#include "node/log_check.h"

#include "node/database.h"
#include "node/digest.h"
#include "node/entry.h"
#include "node/keyspace.h"
#include "node/partition.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

static struct world w;
static struct log_check *check;

static void begin(size_t ring, size_t max_bytes)
{
    world_init(&w, ring);
    check = log_check_start(w.node, max_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(check);
    (void)world_say(&w, "SET string value");
    (void)world_say(&w, "SET late value PX 500");
    (void)world_say(&w, "HSET hash f v g w");
    (void)world_say(&w, "SADD set 1 2 x");
    (void)world_say(&w, "RPUSH list a b c");
    (void)world_say(&w, "ZADD zset 1 a 2 b");
    (void)world_say(&w, "XADD stream 1-1 f v");
    (void)world_say(&w, "DEL zset");
}

static enum log_check_end finish(void)
{
    for (uint32_t i = 0; i < WORLD_WORKERS; i++) {
        exec_fini(&w.node->execs[i]);
    }
    enum log_check_end end = log_check_finish(check);

    world_fini(&w);
    return end;
}

static void what_was_logged_is_the_same(void)
{
    begin(1 << 20, 64 << 20);
    world_clock(1000); /* one has expired, and is there */
    CU_ASSERT_EQUAL(finish(), LOG_CHECK_SAME);
}

static struct entry *stored(const char *name)
{
    struct cmd c = {.db = w.db};

    return (struct entry *)(uintptr_t)keyspace_peek(&c, key_of(slice_of(name)));
}

static void a_byte_that_no_change_wrote_is_found(void)
{
    static const struct {
        const char *name;
        char letter;
    } of[] = {{"string", 'v'}, {"hash", 'w'}, {"set", 'x'}, {"list", 'c'}};

    for (size_t i = 0; i < 4; i++) {
        begin(1 << 20, 64 << 20);
        struct entry *e = stored(of[i].name);

        CU_ASSERT_PTR_NOT_NULL_FATAL(e);
        struct slice payload = entry_payload(e);

        *(char *)memchr(payload.ptr, of[i].letter, payload.len) ^= 1;
        CU_ASSERT_EQUAL(finish(), LOG_CHECK_DIFFERS);
    }
}

static void a_key_that_no_change_removed_is_missed(void)
{
    begin(1 << 20, 64 << 20);
    struct key key = key_of(SLICE("string"));
    struct partition *p = database_partition(w.db, key.partition);
    struct entry *e = stored("string");

    CU_ASSERT_PTR_NOT_NULL_FATAL(e);
    table_remove(&p->table, &p->stats, e, key.hash);
    entry_free(e);
    CU_ASSERT_EQUAL(finish(), LOG_CHECK_DIFFERS);
}

static void without_room_nothing_is_claimed(void)
{
    begin(1 << 20, 16);
    CU_ASSERT_EQUAL(finish(), LOG_CHECK_LOST);
}

const struct unit_test test_log_check[] = {
    UNIT(what_was_logged_is_the_same), UNIT(a_byte_that_no_change_wrote_is_found),
    UNIT(a_key_that_no_change_removed_is_missed), UNIT(without_room_nothing_is_claimed), UNIT_END};
