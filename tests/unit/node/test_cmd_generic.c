/* The commands on keys of any type, with every allocation failing once: either the command was carried
 * out, or nothing was changed and it said so. The replies themselves are in tests/spec. */
#include "node/cmd/families.h"
#include "node/dump.h"
#include "node/hll.h"
#include "node/keyspace.h"
#include "node/type_hash.h"
#include "node/type_set.h"
#include "node/type_string.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/rcu.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARGS_MAX = 16, BIG = 80 << 10, TRIES = 400, FIELDS_OF_LARGE = 200, MEMBERS_OF_LARGE = 150 };

static struct bench b;
static struct buf payload; /* of RESTORE, wherever a line says PAYLOAD */

static const char *const names[] = {"short", "number",  "long", "packed", "large", "ints",
                                    "words", "members", "hll",  "dense",  "new"};

enum { NAMES = sizeof(names) / sizeof(names[0]) };

static const struct cmd_def *row_of(const char *name)
{
    static struct cmd_def *const families[] = {generic_cmds, expiry_cmds,   scan_cmds, restore_cmds,
                                               set_cmds,     set_many_cmds, hll_cmds};

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
        argv[c.argc++] = strcmp(w, "PAYLOAD") == 0 ? buf_slice(&payload) : slice_of(w);
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
    if ((c.def->flags & (CMD_WRITE | CMD_CACHES)) != 0) {
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

static void refill_sets(void)
{
    struct buf hll = {0};
    char member[32];

    for (int i = 0; i < MEMBERS_OF_LARGE; i++) {
        struct slice s = {member, (size_t)snprintf(member, sizeof(member), "m%d", i)};

        (void)set_add(&b.write, key_of(SLICE("members")), &s, 1);
        if (i < 20) {
            (void)set_add(&b.write, key_of(SLICE("words")), &s, 1);
            s = (struct slice){s.ptr + 1, s.len - 1};
            (void)set_add(&b.write, key_of(SLICE("ints")), &s, 1);
        }
    }
    CU_ASSERT_FATAL(hll_create(&hll) == OK);
    hll_forget(hll.ptr);
    string_put(&b.write, key_of(SLICE("hll")), buf_slice(&hll), 0);
    CU_ASSERT_FATAL(hll_make_dense(&hll) == OK);
    string_put(&b.write, key_of(SLICE("dense")), buf_slice(&hll), bench_now_ms() + 1000000);
    buf_fini(&hll);
}

static void refill(void)
{
    static char big[BIG];

    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (char)(i * 11 + i / 999);
    }
    bench_begin(&b);
    for (unsigned i = 0; i < NAMES; i++) {
        (void)keyspace_delete(&b.write, key_of(slice_of(names[i])));
    }
    string_put(&b.write, key_of(SLICE("short")), SLICE("hello"), 0);
    string_put(&b.write, key_of(SLICE("number")), SLICE("41"), bench_now_ms() + 1000000);
    string_put(&b.write, key_of(SLICE("long")), (struct slice){big, sizeof(big)}, 0);
    (void)hash_put(&b.write, key_of(SLICE("packed")), SLICE("f"), SLICE("v"), 0);
    (void)hash_put(&b.write, key_of(SLICE("packed")), SLICE("g"), SLICE("w"),
                   bench_now_ms() + 5000);
    for (int i = 0; i < FIELDS_OF_LARGE; i++) {
        char field[32];

        snprintf(field, sizeof(field), "f%d", i);
        (void)hash_put(&b.write, key_of(SLICE("large")), slice_of(field), slice_of(field), 0);
    }
    refill_sets();
    CU_ASSERT_EQUAL_FATAL(bench_commit(&b), SECTION_COMMITTED);
}

static void payload_of(const char *name)
{
    struct key key = key_of(slice_of(name));

    buf_clear(&payload);
    CU_ASSERT_FATAL(dump_write(&b.read, key, keyspace_peek(&b.read, key), &payload) == OK);
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
        "DEL short number long packed large",
        "UNLINK",
        "EXISTS short new",
        "TYPE packed",
        "COPY short new",
        "COPY long new",
        "COPY packed new",
        "COPY large new",
        "COPY large short REPLACE",
        "RENAME short new",
        "RENAME long packed",
        "RENAME large number",
        "RENAMENX packed new",
        "EXPIRE short 100",
        "EXPIRE large 100",
        "PEXPIRE long 0",
        "EXPIREAT packed 1",
        "PERSIST number",
        "TTL number",
        "KEYS *",
        "SCAN 0 COUNT 100",
        "DUMP short",
        "DUMP packed",
        "DUMP large",
    };

    bench_init(&b);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        (void)survives(lines[i]);
    }
    bench_fini(&b);
}

static void sets_survive_every_fault(void)
{
    static const char *const lines[] = {
        "DUMP ints",
        "DUMP members",
        "COPY ints new",
        "COPY members new",
        "RENAME members words",
        "SADD ints 5 600 700000",
        "SADD ints x",
        "SADD words a",
        "SADD words a b m1",
        "SADD members a b m1",
        "SADD new 1 2",
        "SREM ints 1 2",
        "SREM words m1",
        "SREM members m1 m2",
        "SPOP ints",
        "SPOP members 40",
        "SPOP members 140",
        "SPOP words 5",
        "SPOP words 500",
        "SMOVE members words m100",
        "SMOVE ints members 3",
        "SRANDMEMBER members 20",
        "SRANDMEMBER ints -20",
        "SMEMBERS members",
        "SSCAN members 0",
        "SINTER ints words",
        "SUNION ints words",
        "SDIFF words ints",
        "SINTERCARD 1 members",
        "SUNIONSTORE new members words ints",
        "SINTERSTORE new members words",
        "SDIFFSTORE members members ints words",
        "SDIFFSTORE words words ints",
        "SINTERSTORE members ints words",
    };

    bench_init(&b);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        (void)survives(lines[i]);
    }
    bench_fini(&b);
}

static void hyperloglogs_survive_every_fault(void)
{
    static const char *const lines[] = {
        "PFADD hll a b c",    "PFADD dense a b c",  "PFADD dense a b c d e f g h", "PFADD new a",
        "PFCOUNT hll",        "PFCOUNT hll dense",  "PFMERGE new hll dense",       "PFMERGE hll",
        "PFDEBUG GETREG hll", "PFDEBUG DECODE hll", "PFDEBUG TODENSE hll",         "PFSELFTEST",
    };

    bench_init(&b);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        (void)survives(lines[i]);
    }
    bench_fini(&b);
}

static void restore_survives_every_fault(void)
{
    static const char *const values[] = {"short", "number", "long",  "packed",
                                         "large", "ints",   "words", "members"};

    bench_init(&b);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        refill();
        payload_of(values[i]);
        CU_ASSERT(survives("RESTORE new 0 PAYLOAD") > 1);
        CU_ASSERT(survives("RESTORE large 5000 PAYLOAD REPLACE") > 1);
    }
    buf_fini(&payload);
    bench_fini(&b);
}

const struct unit_test test_cmd_generic[] = {
    UNIT(every_command_survives_every_fault), UNIT(sets_survive_every_fault),
    UNIT(hyperloglogs_survive_every_fault), UNIT(restore_survives_every_fault), UNIT_END};
