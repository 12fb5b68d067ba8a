/* Scripts: all or nothing, also when memory runs out, and what a log's reader makes of them (node/script.h). */
#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/rcu.h"
#include "node/apply.h"
#include "node/database.h"
#include "node/options.h"
#include "node/script.h"
#include "replication/changelog.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <stdio.h>

enum { FAULTS_MAX = 400 };

static struct world w;

static const char *eval(const char *text, const char *key)
{
    static char said[4096];
    struct slice argv[] = {SLICE("EVAL"), slice_of(text), SLICE("1"), slice_of(key)};

    w.reply.out.len = 0;
    w.reply.failed = false;
    world_run(&w, w.db, argv, 4);
    CU_ASSERT_FATAL(w.reply.out.len < sizeof(said));
    memcpy(said, w.reply.out.ptr, w.reply.out.len);
    said[w.reply.out.len] = '\0';
    return said;
}

static void names_by_sha1(void)
{
    char hex[SHA1_HEX];
    char long_text[200];

    sha1_hex(SLICE(""), hex);
    CU_ASSERT_EQUAL(memcmp(hex, "da39a3ee5e6b4b0d3255bfef95601890afd80709", SHA1_HEX), 0);
    sha1_hex(SLICE("abc"), hex);
    CU_ASSERT_EQUAL(memcmp(hex, "a9993e364706816aba3e25717850c26c9cd0d89d", SHA1_HEX), 0);
    memset(long_text, 'a', sizeof(long_text));
    sha1_hex((struct slice){long_text, 200}, hex);
    CU_ASSERT_EQUAL(memcmp(hex, "e61cfffe0d9195a525fc6cf06ca2d77119c24a40", SHA1_HEX), 0);
}

static void runs(void)
{
    world_init(&w, 1 << 20);
    CU_ASSERT_STRING_EQUAL(eval("return redis.call('INCR',KEYS[1])", "a"), ":1\r\n");
    CU_ASSERT_STRING_EQUAL(eval("return redis.call('GET','b')", "a"), "_\r\n");
    CU_ASSERT_STRING_EQUAL(eval("return {1,'x',{ok='fine'}}", "a"),
                           "*3\r\n:1\r\n$1\r\nx\r\n+fine\r\n");
    world_fini(&w);
}

static void undoes_what_failed(void)
{
    world_init(&w, 1 << 20);
    CU_ASSERT_STRING_EQUAL(world_say(&w, "SET a 1"), "+OK\r\n");
    CU_ASSERT_EQUAL(
        *eval("redis.call('SET',KEYS[1],'2') redis.call('SET','b','2') error('x')", "a"), '-');
    CU_ASSERT_STRING_EQUAL(world_say(&w, "GET a"), "$1\r\n1\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "EXISTS b"), ":0\r\n");
    world_fini(&w);
}

/* Whichever allocation fails: the script's effects are all there, or none is. */
static void is_whole_when_memory_runs_out(void)
{
    static const char text[] = "redis.call('SET',KEYS[1],'y') redis.call('RPUSH','l','a','b') "
                               "return #cjson.encode({1,{2}})";
    int failed = 0;

    world_init(&w, 1 << 20);
    for (int i = 1; i < FAULTS_MAX; i++) {
        (void)world_say(&w, "DEL a l");
        scripts_flush(w.db->scripts);
        fault_fail_nth(i * 3);
        bool good = *eval(text, "a") == ':';

        fault_off();
        failed += !good;
        CU_ASSERT_STRING_EQUAL(world_say(&w, "EXISTS a l"), good ? ":2\r\n" : ":0\r\n");
    }
    CU_ASSERT_TRUE(failed > 50);
    world_fini(&w);
}

/* What cjson needs is Lua's memory: bounded by lua-memory-limit, and given back. */
static void json_stays_within_the_limit(void)
{
    static const char encodes[] = "local s = ('\\1'):rep(2^20) local n = 0 for i = 1, 4 do "
                                  "local ok, text = pcall(cjson.encode, {s, s, s, s}) "
                                  "n = n + (ok and 1 or 0) end return n";
    static const char decodes[] =
        "local t = '[' .. ('[],'):rep(2^19) .. '1]' local n = 0 for i = 1, 3 do "
        "local ok = pcall(cjson.decode, t) n = n + (ok and 1 or 0) end return n";
    world_init(&w, 1 << 20);
    CU_ASSERT_TRUE_FATAL(conf_set(&opt_lua_memory_limit, SLICE("16mb"), NULL));
    CU_ASSERT_STRING_EQUAL(eval(encodes, "a"), ":0\r\n");
    CU_ASSERT_TRUE(scripts_stats(w.db->scripts).vm_bytes <= 16 << 20);
    /* Lua 5.1 collects nothing when memory is short, so that what comes after a caught error may fail, too. */
    const char *said = eval(decodes, "a");

    CU_ASSERT_TRUE(strcmp(said, ":0\r\n") == 0 || strstr(said, "not enough memory") != NULL);
    CU_ASSERT_TRUE(scripts_stats(w.db->scripts).vm_bytes <= 16 << 20);
    CU_ASSERT_STRING_EQUAL(eval("return cjson.encode({1,'x'})", "a"), "$7\r\n[1,\"x\"]\r\n");
    CU_ASSERT_TRUE_FATAL(conf_set(&opt_lua_memory_limit, SLICE("64mb"), NULL));
    world_fini(&w);
}

/* Garbage may pile up while little is in use, and not when much is: else what could be collected would be
 * "not enough memory". */
static void garbage_stays_within_the_limit(void)
{
    static const char much[] =
        "local keep = {} for i = 1, 1400 do keep[i] = ('x'):rep(1000) .. i end "
        "for i = 1, 20000 do local s = ('y'):rep(1000) .. i end return #keep";

    world_init(&w, 1 << 20);
    CU_ASSERT_TRUE_FATAL(conf_set(&opt_lua_memory_limit, SLICE("4mb"), NULL));
    for (int i = 0; i < 20; i++) {
        for (int j = 0; j < 100; j++) {
            CU_ASSERT_STRING_EQUAL(eval("local t = {KEYS[1], {}} return #t", "a"), ":2\r\n");
        }
        CU_ASSERT_TRUE(scripts_stats(w.db->scripts).vm_bytes <= (i == 0 ? 1 << 20 : 4 << 20));
        CU_ASSERT_STRING_EQUAL(eval(much, "a"), ":1400\r\n");
    }
    CU_ASSERT_TRUE_FATAL(conf_set(&opt_lua_memory_limit, SLICE("64mb"), NULL));
    world_fini(&w);
}

/* ---- The log ---- */

struct taken {
    struct buf v[64];
    uint32_t count;
    bool open;
};

static bool take(uint64_t seq, struct slice piece, bool last, void *arg)
{
    struct taken *t = arg;

    (void)seq;
    if (!t->open) {
        CU_ASSERT_FATAL(t->count < 64);
        t->v[t->count++] = (struct buf){0};
    }
    t->open = !last;
    return buf_append(&t->v[t->count - 1], piece.ptr, piece.len) == OK;
}

/* A script is one change, whatever it did; what failed is none. */
static void a_copy_is_exact(void)
{
    static const char *const texts[] = {
        "redis.call('SET',KEYS[1],'v') redis.call('HSET','h','a',1,'b',2) "
        "redis.call('HDEL','h','a')",
        "for i=1,300 do redis.call('RPUSH','l','value '..i) end redis.call('LTRIM','l',3,-3)",
        "for i=1,300 do redis.call('ZADD','z',i,'m'..i) redis.call('SADD','s',i) end "
        "redis.call('SREM','s',7)",
        "redis.call('SET','gone','x') redis.call('HSET','h','c',3) error('no')",
        "redis.pcall('INCR','l') redis.call('XADD','x','5-1','f','v') "
        "redis.call('RENAME','h','hh')",
        "return redis.call('GET',KEYS[1])",
    };
    static const char *const reads[] = {"GET a",
                                        "HGETALL hh",
                                        "LRANGE l 0 -1",
                                        "ZRANGE z 0 -1 WITHSCORES",
                                        "SMISMEMBER s 1 7 300",
                                        "XRANGE x - +",
                                        "DBSIZE"};
    static struct taken t;
    struct database *copy;
    struct database *of;

    world_init(&w, 8 << 20);
    of = w.db;
    copy = node_database_add(w.node, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        (void)eval(texts[i], "a");
    }
    t = (struct taken){.count = 0};
    CU_ASSERT_EQUAL(changelog_read(w.node->log, 1, take, &t), t.count + 1);
    CU_ASSERT_EQUAL(t.count, 4);
    for (uint32_t i = 0; i < t.count; i++) {
        CU_ASSERT_EQUAL(apply_change(w.x, copy, buf_slice(&t.v[i])), OK);
        rcu_turn();
        buf_fini(&t.v[i]);
    }
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        struct buf said = {0};

        w.db = of;
        (void)world_say(&w, "%s", reads[i]);
        CU_ASSERT_EQUAL(buf_append_slice(&said, buf_slice(&w.reply.out)), OK);
        w.db = copy;
        (void)world_say(&w, "%s", reads[i]);
        CU_ASSERT_TRUE(slice_is(buf_slice(&said), buf_slice(&w.reply.out)));
        CU_ASSERT_TRUE(said.len > 3);
        buf_fini(&said);
    }
    world_fini(&w);
}

static void a_state_that_rests_is_dropped(void)
{
    world_init(&w, 1 << 20);
    CU_ASSERT_EQUAL(scripts_stats(w.db->scripts).vm_bytes, 0);
    CU_ASSERT_STRING_EQUAL(eval("return 1", "a"), ":1\r\n");
    CU_ASSERT_TRUE(scripts_stats(w.db->scripts).vm_bytes > 10000);
    CU_ASSERT_EQUAL(scripts_stats(w.db->scripts).count, 1);
    scripts_rest(w.db->scripts, 0, clock_now_ms() + 299999);
    CU_ASSERT_TRUE(scripts_stats(w.db->scripts).vm_bytes > 10000);
    scripts_rest(w.db->scripts, 0, clock_now_ms() + 300000);
    CU_ASSERT_EQUAL(scripts_stats(w.db->scripts).vm_bytes, 0);
    CU_ASSERT_STRING_EQUAL(eval("return 1", "a"), ":1\r\n");
    world_fini(&w);
}

const struct unit_test test_script[] = {UNIT(names_by_sha1),
                                        UNIT(runs),
                                        UNIT(undoes_what_failed),
                                        UNIT(is_whole_when_memory_runs_out),
                                        UNIT(json_stays_within_the_limit),
                                        UNIT(garbage_stays_within_the_limit),
                                        UNIT(a_copy_is_exact),
                                        UNIT(a_state_that_rests_is_dropped),
                                        UNIT_END};
