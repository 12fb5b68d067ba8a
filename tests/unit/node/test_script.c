/* Scripts: all or nothing, also when memory runs out, and what a log's reader makes of them (node/script.h). */
#include "base/clock.h"
#include "base/conf.h"
#include "base/fault.h"
#include "node/database.h"
#include "node/options.h"
#include "node/script.h"
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
    static const char encodes[] = "local s = ('\\1'):rep(2^22) local n = 0 for i = 1, 20 do "
                                  "local ok, text = pcall(cjson.encode, {s, s, s, s}) "
                                  "n = n + (ok and 1 or 0) end return n";
    static const char decodes[] =
        "local t = '[' .. ('[],'):rep(2^20) .. '1]' local n = 0 for i = 1, 20 do "
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
                                        UNIT(a_state_that_rests_is_dropped),
                                        UNIT_END};
