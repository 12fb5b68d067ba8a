/* The commands on sorted sets and places, with every allocation failing once: either the command was
 * carried out, or nothing was changed and it said so. The replies themselves are in tests/spec. */
#include "node/cmd/families.h"
#include "node/dump.h"
#include "node/keyspace.h"
#include "node/type_zset.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/rcu.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARGS_MAX = 16, TRIES = 400, LARGE = 200 };

static struct bench b;

static const char *const names[] = {"packed", "large", "towns", "new"};

enum { NAMES = sizeof(names) / sizeof(names[0]) };

static const struct cmd_def *row_of(const char *name)
{
    static struct cmd_def *const families[] = {zset_cmds, zset_range_cmds, zset_ops_cmds, geo_cmds};

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        for (const struct cmd_def *d = families[i]; d->name != NULL; d++) {
            if (strcmp(d->name, name) == 0) {
                return d;
            }
        }
    }
    CU_FAIL_FATAL("no such command");
    return NULL;
}

/* Splits at blanks, in place. */
static struct cmd parse(char *line, struct slice argv[ARGS_MAX])
{
    struct cmd c = {.argv = argv, .now_ms = bench_now_ms(), .db = b.db};
    char *save = NULL;

    for (char *w = strtok_r(line, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        CU_ASSERT_FATAL(c.argc < ARGS_MAX);
        argv[c.argc++] = slice_of(w);
    }
    c.def = row_of(argv[0].ptr);
    if (c.def->keys.kind == CMD_KEYS_RANGE && c.argc > 1) {
        c.key = key_of(argv[c.def->keys.first]);
    }
    return c;
}

static enum section_end run(struct cmd c, struct reply *r, int fail_nth)
{
    enum section_end end = SECTION_COMMITTED;

    c.reply = r;
    if ((c.def->flags & CMD_WRITE) != 0) {
        bench_begin(&b);
        c.section = b.section;
    }
    fault_fail_nth(fail_nth);
    do {
        c.again = false;
        c.def->run(&c);
    } while (c.again);
    if (c.section != NULL) {
        end = bench_commit(&b);
    }
    fault_off();
    return end;
}

/* All keys with expiry and value, as bytes. */
static struct buf picture(void)
{
    struct buf out = {0};

    for (unsigned i = 0; i < NAMES; i++) {
        struct key key = key_of(slice_of(names[i]));
        const struct entry *e = keyspace_peek(&b.read, key);

        CU_ASSERT_FATAL(buf_printf(&out, "%s ", names[i]) == OK);
        if (e != NULL) {
            CU_ASSERT_FATAL(buf_printf(&out, "%ld ", entry_expire_at_ms(e)) == OK);
            CU_ASSERT_FATAL(dump_write(&b.read, key, e, &out) == OK);
        }
    }
    return out;
}

static void put(const char *key, const char *member, double score)
{
    struct zset_item i = {slice_of(member), score};

    (void)zset_add(&b.write, key_of(slice_of(key)), &i, 1, 0);
}

static void refill(void)
{
    bench_begin(&b);
    for (unsigned i = 0; i < NAMES; i++) {
        (void)keyspace_delete(&b.write, key_of(slice_of(names[i])));
    }
    put("packed", "m0", 0);
    put("packed", "m3", 3.5);
    put("packed", "x", 7);
    put("towns", "Palermo", 3479099956230698);
    put("towns", "Catania", 3479447370796909);
    for (int i = 0; i < LARGE; i++) {
        char member[16];

        (void)snprintf(member, sizeof(member), "m%d", i);
        put("large", member, i);
    }
    CU_ASSERT_EQUAL_FATAL(bench_commit(&b), SECTION_COMMITTED);
}

/* A reply that says the command itself had no memory. */
static bool is_refusal(const struct reply *r)
{
    return r->failed || (r->flags & REPLY_ERROR) != 0;
}

/* Returns how many faults it took until it was carried out. */
static int survives(const char *line)
{
    enum section_end end = SECTION_FAILED;
    bool refused = true;
    int nth = 0;

    for (; (end == SECTION_FAILED || refused) && nth < TRIES; nth++) {
        char text[128];
        struct slice argv[ARGS_MAX];
        struct buf before, after;
        struct reply r;

        (void)snprintf(text, sizeof(text), "%s", line);
        refill();
        before = picture();
        reply_init(&r);
        end = run(parse(text, argv), &r, nth + 1);
        refused = is_refusal(&r);
        after = picture();
        if ((end == SECTION_FAILED || (refused && !r.failed)) &&
            !slice_is(buf_slice(&before), buf_slice(&after))) {
            (void)fprintf(stderr, "    %s, fault %d\n", line, nth + 1);
            CU_FAIL("a failed command has changed something");
        }
        reply_fini(&r);
        buf_fini(&before);
        buf_fini(&after);
        rcu_turn();
    }
    if (nth == TRIES) {
        (void)fprintf(stderr, "    %s\n", line);
        CU_FAIL("never succeeds");
    }
    CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
    return nth;
}

static void every_command_survives_every_fault(void)
{
    static const char *const lines[] = {
        "ZADD packed 1 a 2 b 3 m3",
        "ZADD large CH GT 1 a 2 m7 300 m8",
        "ZADD new 1 a",
        "ZINCRBY large 0.5 m9",
        "ZREM packed m0 m3 x",
        "ZREM large m0 m1 none",
        "ZPOPMIN packed 2",
        "ZPOPMAX large 150",
        "ZMPOP 2 new large MIN COUNT 2",
        "ZREMRANGEBYRANK large 0 -1",
        "ZREMRANGEBYSCORE large (5 20",
        "ZREMRANGEBYLEX packed - +",
        "ZRANGESTORE new large 0 -1",
        "ZRANGESTORE large large 2 5",
        "ZRANGE large 0 -1 WITHSCORES",
        "ZRANDMEMBER large 20",
        "ZSCAN large 0 COUNT 1000",
        "ZUNION 2 large packed",
        "ZUNIONSTORE large 2 large packed",
        "ZINTERSTORE new 2 large packed",
        "ZDIFFSTORE packed 2 large packed",
        "ZINTERCARD 2 large packed",
        "GEOADD towns 13.5 38.2 edge",
        "GEOPOS towns Palermo",
        "GEOSEARCH towns FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHDIST",
        "GEOSEARCHSTORE new towns FROMLONLAT 15 37 BYBOX 400 400 km",
        "GEORADIUS towns 15 37 200 km STOREDIST large",
    };

    bench_init(&b);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        (void)survives(lines[i]);
    }
    bench_fini(&b);
}

const struct unit_test test_cmd_zset[] = {UNIT(every_command_survives_every_fault), UNIT_END};
