/* Commands of large values in slices (node/slices.h): the same as in one piece, and nothing at all when their
 * client goes away in the middle. Everything runs so here, and a slice is a fixed number
 * of steps. */
#include "node/slices.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/rcu.h"
#include "node/database.h"
#include "node/digest.h"
#include "node/exec.h"
#include "node/partition.h"
#include "node/section.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <stdio.h>
#include <string.h>

enum {
    MEMBERS = 1500,
    AT_ONCE = 100,
    STEPS = 300,
    SLICES_MOST = 100000,
    ARGS_MANY = 1200,
    KEPT_BYTES = 64 << 10
};

static struct world w;

struct test_case {
    const char *line;
    bool by_chance; /* its reply is */
    /* As many more arguments, each with others before or behind it; NULL: none. */
    const char *prefix, *before, *behind;
};

static const struct test_case cases[] = {
    {"LRANGE {t}list 0 -1"},
    {"LPOS {t}list none"},
    {"LPOS {t}list e7 COUNT 0"},
    {"LINSERT {t}list BEFORE e1490 x"},
    {"LREM {t}list 0 e7"},
    {"LPOP {t}list 1300"},
    {"RPOP {t}list 1300"},
    {"LMPOP 1 {t}list RIGHT COUNT 1400"},
    {"RPUSH {t}list", .prefix = "new"},
    {"LPUSH {t}none", .prefix = "new"},
    {"SORT {t}list ALPHA DESC"},
    {"SORT {t}set ALPHA BY nothing STORE {t}dest"},
    {"SORT_RO {t}zset ALPHA BY {t}w*"},
    {"SMEMBERS {t}set"},
    {"SMISMEMBER {t}set", .prefix = "e"},
    {"SINTER {t}set {t}set2"},
    {"SUNION {t}set {t}set2"},
    {"SDIFF {t}set {t}set2"},
    {"SINTERCARD 2 {t}set {t}set2"},
    {"SINTERSTORE {t}dest {t}set {t}set2"},
    {"SUNIONSTORE {t}set {t}set {t}set2"},
    {"SDIFFSTORE {t}dest {t}set {t}set2"},
    {"SPOP {t}set 1200", .by_chance = true},
    {"SPOP {t}set 1500", .by_chance = true},
    {"SRANDMEMBER {t}set 1200", .by_chance = true},
    {"SRANDMEMBER {t}set -1200", .by_chance = true},
    {"SADD {t}set", .prefix = "new"},
    {"SADD {t}none", .prefix = "new"},
    {"SREM {t}set", .prefix = "e"},
    {"ZADD {t}zset 5 e5", .prefix = "m", .before = "6"},
    {"ZADD {t}none 5 e5", .prefix = "m", .before = "6"},
    {"ZREM {t}zset", .prefix = "e"},
    {"ZMSCORE {t}zset", .prefix = "e"},
    {"ZPOPMIN {t}zset 1400"},
    {"ZMPOP 1 {t}zset MAX COUNT 1400"},
    {"ZRANDMEMBER {t}zset 1400", .by_chance = true},
    {"ZRANDMEMBER {t}zset -1400", .by_chance = true},
    {"ZUNION 2 {t}zset {t}zset2 WITHSCORES"},
    {"ZINTER 2 {t}zset {t}zset2 WITHSCORES"},
    {"ZDIFF 2 {t}zset {t}zset2"},
    {"ZINTERCARD 2 {t}zset {t}zset2"},
    {"ZUNIONSTORE {t}zset 2 {t}zset {t}set"},
    {"ZINTERSTORE {t}dest 2 {t}zset {t}zset2"},
    {"ZDIFFSTORE {t}dest 2 {t}zset {t}zset2"},
    {"ZRANGE {t}zset 0 -1 WITHSCORES"},
    {"ZREVRANGE {t}zset 0 -1"},
    {"ZRANGEBYSCORE {t}zset -inf +inf"},
    {"ZRANGESTORE {t}dest {t}zset 0 -1"},
    {"ZREMRANGEBYRANK {t}zset 5 -5"},
    {"ZREMRANGEBYSCORE {t}zset -inf +inf"},
    {"GEOADD {t}geo 1 1 x", .prefix = "new", .before = "1 1"},
    {"GEOSEARCH {t}geo FROMLONLAT 1 1 BYRADIUS 500 km ASC WITHDIST"},
    {"GEOSEARCHSTORE {t}dest {t}geo FROMLONLAT 1 1 BYRADIUS 500 km"},
    {"GEOPOS {t}geo", .prefix = "e"},
    {"XRANGE {t}stream - +"},
    {"XREVRANGE {t}stream + -"},
    {"XREAD STREAMS {t}stream 0"},
    {"XREADGROUP GROUP fresh c STREAMS {t}stream >"},
    {"XREADGROUP GROUP g c STREAMS {t}stream 0"},
    {"XINFO STREAM {t}stream FULL COUNT 0"},
    {"XPENDING {t}stream g - + 100000"},
    {"XPENDING {t}stream g IDLE 100000 - + 10"},
    {"XAUTOCLAIM {t}stream g d 0 0 COUNT 1400"},
    {"XTRIM {t}stream DELREF MAXLEN = 10"},
    {"XADD {t}stream DELREF MAXLEN = 10 9000-1 f v"},
    {"PFADD {t}hll", .prefix = "e"},
    {"PFCOUNT {t}hll", .prefix = "none"},
    {"PFMERGE {t}hll", .prefix = "none"},
    {"COPY {t}list {t}dest"},
    {"COPY {t}set {t}dest"},
    {"COPY {t}zset {t}dest"},
    {"COPY {t}hash {t}dest"},
    {"COPY {t}stream {t}set REPLACE"},
    {"RENAME {t}list {t}dest"},
    {"RENAME {t}zset {t}set"},
    {"RENAMENX {t}stream {t}dest"},
    {"DUMP {t}list"},
    {"DUMP {t}set"},
    {"DUMP {t}zset"},
    {"DUMP {t}stream"},
    {"HSET {t}hash", .prefix = "f", .behind = "v"},
    {"HDEL {t}hash", .prefix = "e"},
    {"MSET {t}a 1", .prefix = "k", .behind = "v"},
    {"MSETNX {t}a 1", .prefix = "k", .behind = "v"},
    {"DEL {t}list {t}zset", .prefix = "k"},
    {"EXISTS {t}list", .prefix = "k"},
    {"JSON.GET {t}json"},
    {"JSON.GET {t}json $[*] $..*"},
    {"JSON.GET {t}json $[?@>15]"},
    {"JSON.GET {t}json $[1400:2:-1]"},
    {"JSON.MGET {t}json {t}json $[*]"},
    {"JSON.TYPE {t}json $[*]"},
    {"JSON.ARRLEN {t}json $..*"},
    {"JSON.NUMINCRBY {t}json $[*] 1"},
    {"JSON.SET {t}json $[*] 5"},
    {"JSON.DEL {t}json $[*]"},
    {"JSON.CLEAR {t}json $[*]"},
    {"JSON.ARRAPPEND {t}json $", .prefix = "7"},
    {"JSON.MERGE {t}json $[*] {\"a\":1}"},
};

/* ---- The keys ---- */

static char text[1 << 20];
static struct slice argv[8192];

/* line, then n arguments prefix<from>, prefix<from + 1> …, each behind `before` (or none) and before `behind`. */
static uint32_t build(const char *line, int from, int n, const char *before, const char *prefix,
                      const char *behind)
{
    size_t len = (size_t)snprintf(text, sizeof(text), "%s", line);

    for (int i = from; i < from + n; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, " %s %s%d %s", before, prefix, i,
                                behind);
    }
    CU_ASSERT_TRUE_FATAL(len + 100 < sizeof(text));
    return world_words(text, argv, 8192);
}

static void say_many(const char *line, int from, const char *before, const char *behind)
{
    for (int i = 0; i < MEMBERS; i += AT_ONCE) {
        world_run(&w, w.db, argv, build(line, from + i, AT_ONCE, before, "e", behind));
    }
}

static void say_sub(const char *line);

static void fill(void)
{
    slices_test_steps(0);
    (void)world_say(&w, "FLUSHALL");
    say_many("RPUSH {t}list", 0, "", "");
    say_many("SADD {t}set", 0, "", "");
    say_many("SADD {t}set2", MEMBERS / 2, "", "");
    say_many("ZADD {t}zset", 0, "7", "");
    say_many("ZADD {t}zset2", MEMBERS / 2, "3", "");
    say_many("GEOADD {t}geo", 0, "1.5 1.25", "");
    say_many("HSET {t}hash", 0, "", "value");
    (void)world_say(&w, "JSON.SET {t}json $ []");
    for (int i = 0; i < MEMBERS; i += AT_ONCE) { /* 10, 11, … 11499 */
        world_run(&w, w.db, argv, build("JSON.ARRAPPEND {t}json $", i, AT_ONCE, "", "1", ""));
    }
    for (int i = 1; i <= MEMBERS; i++) {
        (void)world_say(&w, "XADD {t}stream %d-1 f v", i);
    }
    say_sub("XGROUP CREATE {t}stream g 0");
    say_sub("XGROUP CREATE {t}stream fresh 0");
    for (int i = 0; i < MEMBERS; i += AT_ONCE) {
        (void)world_say(&w, "XREADGROUP GROUP g c COUNT %d STREAMS {t}stream >", AT_ONCE);
    }
    (void)world_say(&w, "PFADD {t}hll a b c");
}

/* ---- What is there ---- */

static uint64_t sum_of_lines(struct slice s)
{
    uint64_t sum = 0;

    for (const char *at = s.ptr, *end = s.ptr + s.len; at < end;) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((eol == NULL ? end : eol + 1) - at);

        sum += hash_key((struct slice){at, len});
        at += len;
    }
    return sum;
}

/* Of all keys that a case may touch, whatever order a table has its members in. */
static uint64_t state(void)
{
    static const char *const looks[] = {
        "LRANGE {t}list 0 -1",
        "SMEMBERS {t}set",
        "SMEMBERS {t}set2",
        "ZRANGE {t}zset 0 -1",
        "ZRANGE {t}zset2 0 -1",
        "ZRANGE {t}geo 0 -1",
        "HGETALL {t}hash",
        "JSON.GET {t}json",
        "XRANGE {t}stream - +",
        "XPENDING {t}stream g - + 100000",
        "XLEN {t}dest",
        "SMEMBERS {t}dest",
        "LRANGE {t}dest 0 -1",
        "ZRANGE {t}dest 0 -1",
        "LRANGE {t}none 0 -1",
        "ZRANGE {t}none 0 -1",
        "PFCOUNT {t}hll",
        "DBSIZE",
        "XPENDING {t}stream fresh",
        "ZSCORE {t}zset e5",
        "ZSCORE {t}zset e700",
    };
    uint64_t sum = 0;

    slices_test_steps(0);
    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        (void)world_say(&w, "%s", looks[i]);
        sum = sum * 31 + sum_of_lines(buf_slice(&w.reply.out));
    }
    return sum;
}

/* ---- A client, whose slices are counted ---- */

struct client {
    struct session s;
    struct reply reply;
    struct request request;
    struct batch batch;
    int ready;
};

static void on_ready(struct session *s)
{
    ((struct client *)(void *)s)->ready++;
}

static const char *or_none(const char *words)
{
    return words == NULL ? "" : words;
}

static uint32_t words_of(const struct test_case *t)
{
    return build(t->line, 0, t->prefix == NULL ? 0 : ARGS_MANY, or_none(t->before),
                 or_none(t->prefix), or_none(t->behind));
}

/* Runs it for so many slices; true when it came to its end. *slices: how many that took. */
static bool run_for(struct client *c, const struct test_case *t, int most, int *slices)
{
    struct worker *worker = &w.workers[0];

    *c = (struct client){.s = {.db = w.db, .worker = worker, .on_ready = on_ready}};
    reply_init(&c->reply);
    c->request = (struct request){.argv = argv, .argc = words_of(t)};
    c->request.def = cmd_find(argv[0]);
    if (c->request.def->subs != NULL) {
        c->request.def = cmd_find_sub(c->request.def, argv[1]);
    }
    c->batch = (struct batch){.requests = &c->request, .count = 1, .reply = &c->reply};
    enum backend_progress p = exec_run(w.x, &c->s, &c->batch);

    for (*slices = 1; p == BACKEND_LATER && *slices < most; ++*slices) {
        struct list *n = list_pop(&worker->tasks);

        CU_ASSERT_PTR_NOT_NULL_FATAL(n);
        struct worker_task *task = LIST_ITEM(n, struct worker_task, link);

        task->run(task);
        rcu_turn();
        CU_ASSERT_EQUAL_FATAL(c->ready, 1);
        c->ready = 0;
        p = exec_run(w.x, &c->s, &c->batch);
    }
    return p == BACKEND_DONE;
}

static void client_end(struct client *c)
{
    exec_cancel(&c->s);
    reply_fini(&c->reply);
    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition *p = database_partition(w.db, i);

        CU_ASSERT_TRUE(p == NULL || (p->lock == 0 && !partition_is_busy(p)));
    }
    rcu_turn();
}

/* As world_say(), also of subcommands. */
static void say_sub(const char *line)
{
    struct client c;
    int slices;

    CU_ASSERT_TRUE(run_for(&c, &(struct test_case){line}, SLICES_MOST, &slices));
    client_end(&c);
}

static bool check(const struct test_case *t, bool is_fine, const char *what)
{
    if (!is_fine) {
        (void)printf("%s: %s\n", t->line, what);
    }
    CU_ASSERT_TRUE(is_fine);
    return is_fine;
}

/* In one piece, then in slices, from the same keys. How many slices it took. */
static int compare(const struct test_case *t, uint64_t *after)
{
    struct client c;
    uint64_t reply;
    size_t len;
    int slices;

    fill();
    slices_test_steps(SIZE_MAX);
    CU_ASSERT_TRUE(run_for(&c, t, SLICES_MOST, &slices));
    CU_ASSERT_EQUAL(slices, 1);
    reply = sum_of_lines(buf_slice(&c.reply.out));
    len = c.reply.out.len;
    client_end(&c);
    *after = state();
    fill();
    slices_test_steps(STEPS);
    CU_ASSERT_TRUE(run_for(&c, t, SLICES_MOST, &slices));
    if (t->by_chance) {
        check(t, c.reply.out.len > 1000 && len > 1000, "little is answered");
    } else {
        check(t, sum_of_lines(buf_slice(&c.reply.out)) == reply, "another reply in slices");
    }
    client_end(&c);
    check(t, t->by_chance || state() == *after, "another state in slices");
    check(t, database_used_exact(w.db) == world_bytes(w.db), "memory is counted wrongly");
    check(t, slices > 2, "no slices");
    return slices;
}

static void it_is_the_same_in_slices(void)
{
    uint64_t after;

    world_init(&w, 8 << 20);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)compare(&cases[i], &after);
    }
    slices_test_steps(0);
    world_fini(&w);
}

static struct digest whole(void)
{
    struct digest d = {0};

    CU_ASSERT_EQUAL(digest_database(w.db, &d), OK);
    return d;
}

static bool same(struct digest a, struct digest b)
{
    return a.keys == b.keys && a.sum == b.sum;
}

/* Its client goes away behind any of its slices, or any second, third … of many. */
static void given_up_it_leaves_nothing(void)
{
    world_init(&w, 8 << 20);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct test_case *t = &cases[i];
        uint64_t after;
        int slices = compare(t, &after);

        fill();
        struct digest before = whole();
        int64_t used = database_used_exact(w.db);

        for (int stop = 1; stop < slices; stop += 1 + slices / 16) {
            struct client c;
            int n;

            slices_test_steps(STEPS);
            if (run_for(&c, t, stop, &n)) {
                client_end(&c);
                continue; /* by chance it takes fewer */
            }
            client_end(&c);
            slices_test_steps(0);
            /* Once it is published it is done, whoever is there to hear of it. */
            if (same(whole(), before)) {
                /* What a table took to grow it may keep. */
                check(t, database_used_exact(w.db) < used + KEPT_BYTES, "memory is not given back");
            } else {
                check(t, t->by_chance || state() == after, "a part of it was done");
                fill();
            }
            check(t, database_used_exact(w.db) == world_bytes(w.db), "memory is counted wrongly");
        }
    }
    slices_test_steps(0);
    world_fini(&w);
}

const struct unit_test test_in_slices[] = {UNIT(it_is_the_same_in_slices),
                                           UNIT(given_up_it_leaves_nothing), UNIT_END};
