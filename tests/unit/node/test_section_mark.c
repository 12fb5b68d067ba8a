/* Savepoints by type: what a section reads at one it reads again after going back to it, whether a collection
 * was there before the section, was made by it before the savepoint, or changes its form after
 * (node/section_mark.c; unit/apply has the same by chance). */
#include "node/section.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/rcu.h"
#include "node/block.h"
#include "node/database.h"
#include "node/keyspace.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <stdio.h>

enum { ARENA = 8 << 20 };

static struct world w;
static char arena[ARENA]; /* names live until the section ends */
static size_t arena_used;
static struct section *section;

/* A command in the open section; its reply is w.reply's bytes. */
static void run(const char *line)
{
    char *copy = arena + arena_used;
    size_t len = strlen(line);
    struct slice *argv = (struct slice *)(void *)(arena + ((arena_used + len + 16) & ~(size_t)15));
    struct session session = {.db = w.db, .worker = w.x->worker, .is_replayed = true};
    struct cmd c = {.reply = &w.reply,
                    .session = &session,
                    .db = w.db,
                    .section = section,
                    .in_txn = true,
                    .now_ms = section_now_ms(section),
                    .argv = argv};

    memcpy(copy, line, len + 1);
    c.argc = world_words(copy, argv, 64);
    arena_used = (size_t)((char *)(argv + c.argc) - arena);
    CU_ASSERT_FATAL(arena_used + 4096 < ARENA);
    c.def = cmd_find(argv[0]);
    if (c.def->subs != NULL) {
        c.def = cmd_find_sub(c.def, argv[1]);
    }
    if (c.def->keys.kind == CMD_KEYS_RANGE) {
        c.key = key_of(argv[c.def->keys.first]);
    }
    w.reply.out.len = 0;
    do {
        c.again = false;
        cmd_run(&c);
    } while (c.again);
    if (c.progress != NULL && c.progress_free != NULL) {
        c.progress_free(c.progress);
    }
}

static void run_all(const char *const *lines)
{
    for (; *lines != NULL; lines++) {
        char line[256];

        /* "100*LINE": so often, each %d the number. */
        int times = 1;
        const char *text = *lines;

        if (sscanf(*lines, "%d*", &times) == 1) {
            text = strchr(*lines, '*') + 1;
        }
        for (int i = 0; i < times; i++) {
            char *mark;

            (void)snprintf(line, sizeof(line), "%s", text);
            while ((mark = strchr(line, '%')) != NULL) {
                char rest[256];

                (void)snprintf(rest, sizeof(rest), "%s", mark + 1);
                (void)snprintf(mark, sizeof(line) - (size_t)(mark - line), "%d%s", i + 1, rest);
            }
            run(line);
            if (w.reply.out.ptr[0] == '-') {
                printf("%s: %.*s\n", line, (int)w.reply.out.len, w.reply.out.ptr);
                CU_FAIL("a command was refused");
            }
        }
    }
}

static void open_section(void)
{
    struct partition *held;

    arena_used = 0;
    section = w.x->section;
    CU_ASSERT_EQUAL_FATAL(section_reserve(section), OK);
    CU_ASSERT_EQUAL_FATAL(
        section_begin(section, w.db, UINT64_MAX >> (64 - PARTITIONS), true, &held), OK);
}

static void close_section(bool commits)
{
    uint64_t seq;

    if (commits) {
        CU_ASSERT_EQUAL(section_commit(section, &seq), SECTION_COMMITTED);
        block_poke(section_take_ready(section));
    } else {
        section_abort(section);
    }
    rcu_turn();
    CU_ASSERT_EQUAL(world_bytes(w.db), database_used_exact(w.db));
}

static void read_all(const char *const *reads, struct buf *out)
{
    buf_clear(out);
    for (; *reads != NULL; reads++) {
        run(*reads);
        CU_ASSERT_EQUAL(buf_append_slice(out, buf_slice(&w.reply.out)), OK);
    }
}

struct story {
    const char *before[8]; /* a section of its own */
    const char *early[8];  /* before the savepoint */
    const char *late[12];  /* after it: taken back */
    const char *reads[8];
};

static void tell(const struct story *s, bool commits)
{
    struct buf at_mark = {0};
    struct buf after = {0};

    world_init(&w, 16 << 20);
    open_section();
    run_all(s->before);
    close_section(true);
    open_section();
    run_all(s->early);
    read_all(s->reads, &at_mark);
    for (int i = 0; i < 2; i++) { /* one savepoint after the other */
        section_mark(section);
        run_all(s->late);
        read_all(s->reads, &after);
        CU_ASSERT_FALSE(slice_is(buf_slice(&at_mark), buf_slice(&after)));
        section_rollback(section);
        read_all(s->reads, &after);
        CU_ASSERT_TRUE(slice_is(buf_slice(&at_mark), buf_slice(&after)));
    }
    section_mark(section);
    run_all(s->late);
    section_release(section);
    section_mark(section);
    section_rollback(section);
    close_section(commits);
    if (!commits) { /* as before the section: telling it again comes to the same */
        open_section();
        run_all(s->early);
        read_all(s->reads, &after);
        CU_ASSERT_TRUE(slice_is(buf_slice(&at_mark), buf_slice(&after)));
        close_section(true);
    }
    buf_fini(&at_mark);
    buf_fini(&after);
    world_fini(&w);
}

static void tell_both(const struct story *s)
{
    tell(s, true);
    tell(s, false);
}

static void of_strings(void)
{
    static const struct story s = {
        .before = {"SET a 1", "SETRANGE long 600000 x", "SET gone x"},
        .early = {"APPEND a x", "SETRANGE long 300000 y", "SET fresh 1", "DEL gone"},
        .late = {"SET a other", "SETRANGE long 200000 z", "APPEND long tail", "DEL fresh",
                 "SET gone back", "RENAME long longer", "RENAME a fresh", "MSET x 1 y 2",
                 "PEXPIRE fresh 5000"},
        .reads = {"MGET a fresh gone x y", "GETRANGE long 199999 200005", "GETRANGE long -3 -1",
                  "STRLEN long", "STRLEN longer", "DBSIZE", "PTTL fresh"}};

    tell_both(&s);
}

static void of_hashes(void)
{
    static const struct story s = {
        .before = {"300*HSET large f% v%", "HSET small a 1", "HPEXPIRE large 9000 FIELDS 1 f7"},
        .early = {"HSET large f1 w", "300*HSET made f% v%", "HDEL made f3", "HDEL large f5",
                  "HPEXPIRE made 5000 FIELDS 1 f9"},
        .late = {"100*HSET large f% z g% z", "100*HSET made f% z g% z", "50*HDEL made f1%",
                 "300*HSET small f% v%", "HPEXPIRE large 7000 FIELDS 2 f2 f7",
                 "HPERSIST made FIELDS 1 f9", "DEL large", "HSET large new 1", "COPY made twin"},
        .reads = {"HGETALL small", "HMGET large f1 f2 f5 f7 f17 g3 new",
                  "HMGET made f1 f3 f4 f12 g3", "HLEN large", "HLEN made",
                  "HPTTL large FIELDS 2 f2 f7", "HPTTL made FIELDS 1 f9"}};

    tell_both(&s);
}

static void of_sets(void)
{
    static const struct story s = {
        .before = {"300*SADD large m%", "SADD small 1 2 3"},
        .early = {"SADD large x", "SREM large m5", "300*SADD made m%", "SREM made m3",
                  "SADD small 4"},
        .late = {"100*SREM made m1%", "100*SADD made y%", "100*SREM large m2%", "SADD large z",
                 "300*SADD small m%", "SMOVE large made m7", "SINTERSTORE out large made",
                 "RENAME large other"},
        .reads = {"SMISMEMBER large x z m2 m21 m5 m7", "SMISMEMBER made m1 m11 m3 m7 y1",
                  "SCARD large", "SCARD made", "SCARD small", "SCARD out", "EXISTS other"}};

    tell_both(&s);
}

static void of_sorted_sets(void)
{
    static const struct story s = {
        .before = {"400*ZADD large % m%", "ZADD small 1 a"},
        .early = {"ZADD large 1000 x", "ZREM large m5", "400*ZADD made % m%", "ZADD made 0.5 m300"},
        .late = {"100*ZREM made m1%", "200*ZADD made 7.5 n%", "200*ZINCRBY made 1000 m2%",
                 "100*ZREM large m2%", "200*ZADD large 0.25 y%", "ZPOPMIN large 20",
                 "400*ZADD small % m%", "ZUNIONSTORE out 2 large made", "DEL made"},
        .reads = {"ZRANGE large 0 -1 WITHSCORES", "ZRANGE made 0 -1 WITHSCORES", "ZRANK made m300",
                  "ZCARD small", "ZCARD out"}};

    tell_both(&s);
}

static void of_lists(void)
{
    static const struct story s = {
        .before = {"600*RPUSH large value%", "RPUSH small a b"},
        .early = {"LPOP large", "RPOP large 3", "LPUSH large head", "600*RPUSH made value%",
                  "LPOP made 2"},
        .late = {"50*LPOP large", "50*LPUSH large again%", "LREM made 0 value100",
                 "LSET made 5 other", "30*RPOP made", "200*RPUSH made more%",
                 "LINSERT large BEFORE value200 put", "LTRIM large 3 -4", "600*RPUSH small m%",
                 "LMOVE made small LEFT LEFT"},
        .reads = {"LRANGE large 0 -1", "LRANGE made 0 -1", "LRANGE small 0 -1"}};

    tell_both(&s);
}

static void of_streams(void)
{
    static const struct story s = {
        .before = {"300*XADD large %-1 f v%", "XGROUP CREATE large g 0",
                   "XREADGROUP GROUP g c COUNT 20 STREAMS large >"},
        .early = {"XADD large 500-1 f v", "XACK large g 3-1", "XDEL large 7-1",
                  "300*XADD made %-1 f v%", "XGROUP CREATE made g 0",
                  "XREADGROUP GROUP g c COUNT 5 STREAMS made >"},
        .late = {"100*XADD made 600-% f z", "XDEL made 5-1 6-1", "XTRIM large MAXLEN 100",
                 "XREADGROUP GROUP g d COUNT 30 STREAMS large >", "XACK large g 4-1 5-1",
                 "XCLAIM large g e 0 6-1 8-1", "XGROUP DELCONSUMER made g c",
                 "XGROUP CREATE made h 0", "XGROUP DESTROY large g", "XSETID made 9000-1"},
        .reads = {"XRANGE large - +", "XRANGE made - +", "XINFO STREAM large FULL COUNT 0",
                  "XINFO STREAM made FULL COUNT 0"}};

    tell_both(&s);
}

static void of_all_by_a_flush(void)
{
    static const struct story s = {
        .before = {"300*HSET large f% v%", "SET a 1", "300*RPUSH l v%", "SET moves 1"},
        .early = {"HSET large f1 w", "SET b 2", "LPOP l", "RENAME moves moved"},
        .late = {"SET c 3", "HDEL large f9", "FLUSHALL", "SET a 5", "RPUSH l other", "FLUSHALL",
                 "SET d 1", "HSET large g 1"},
        .reads = {"MGET a b c d moves moved", "HLEN large", "HGET large f1", "LRANGE l 0 -1",
                  "DBSIZE"}};

    tell_both(&s);
}

/* A section that has failed goes as a whole. */
static void of_none_that_has_failed(void)
{
    world_init(&w, 16 << 20);
    open_section();
    run("SET a 1");
    section_mark(section);
    run("SET a 2");
    section_fail(section, SECTION_NOMEM);
    section_rollback(section); /* it has failed: nothing is taken back, all of it goes */
    CU_ASSERT_TRUE(section_has_failed(section));
    section_abort(section);
    rcu_turn();
    CU_ASSERT_STRING_EQUAL(world_say(&w, "EXISTS a"), ":0\r\n");
    world_fini(&w);
}

const struct unit_test test_section_mark[] = {
    UNIT(of_strings), UNIT(of_hashes),  UNIT(of_sets),           UNIT(of_sorted_sets),
    UNIT(of_lists),   UNIT(of_streams), UNIT(of_all_by_a_flush), UNIT(of_none_that_has_failed),
    UNIT_END};
