/* The commands on lists, and SORT, with every allocation failing once: either the command was carried out,
 * or nothing was changed and it said so. The replies themselves are in tests/spec. */
#include "node/cmd/families.h"
#include "node/dump.h"
#include "node/keyspace.h"
#include "node/type_hash.h"
#include "node/type_list.h"
#include "node/type_string.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/rcu.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARGS_MAX = 16, TRIES = 400, LONG = 200 };

static struct bench b;
static struct buf payload; /* of RESTORE, wherever a line says PAYLOAD */

static const char *const names[] = {"short", "long", "w_3", "h_3", "string", "new"};

enum { NAMES = sizeof(names) / sizeof(names[0]) };

static const struct cmd_def *row_of(const char *name)
{
    static struct cmd_def *const families[] = {list_cmds, sort_cmds, generic_cmds, restore_cmds};

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

/* Splits at blanks, in place. BIG is an element with a chunk of its own. */
static struct cmd parse(char *line, struct slice argv[ARGS_MAX])
{
    static char big[2000];
    struct cmd c = {.argv = argv, .now_ms = bench_now_ms(), .db = b.db};
    char *save = NULL;

    for (char *w = strtok_r(line, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        CU_ASSERT_FATAL(c.argc < ARGS_MAX);
        argv[c.argc++] = strcmp(w, "PAYLOAD") == 0 ? buf_slice(&payload)
                         : strcmp(w, "BIG") == 0   ? (struct slice){big, sizeof(big)}
                                                   : slice_of(w);
    }
    c.def = row_of(argv[0].ptr);
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
    c.def->run(&c);
    if (c.section != NULL) {
        if (r->failed) { /* as the executor does: what cannot be answered is not done */
            section_fail(b.section, SECTION_NOMEM);
        }
        end = bench_commit(&b);
    }
    fault_off();
    return end;
}

/* All keys with their values, as bytes. */
static struct buf picture(void)
{
    struct buf out = {0};

    for (unsigned i = 0; i < NAMES; i++) {
        struct key key = key_of(slice_of(names[i]));
        const struct entry *e = keyspace_peek(&b.read, key);

        CU_ASSERT_FATAL(buf_printf(&out, "%s ", names[i]) == OK);
        if (e != NULL) {
            CU_ASSERT_FATAL(dump_write(&b.read, key, e, &out) == OK);
        }
    }
    return out;
}

static void refill(void)
{
    static const struct slice few[] = {{"3", 1}, {"1", 1}, {"2", 1}, {"1", 1}};

    bench_begin(&b);
    for (unsigned i = 0; i < NAMES; i++) {
        (void)keyspace_delete(&b.write, key_of(slice_of(names[i])));
    }
    vlist_push(&b.write, key_of(SLICE("short")), LIST_TAIL, few, 4);
    for (int i = 0; i < LONG; i++) {
        char text[64];
        size_t len = (size_t)snprintf(text, sizeof(text), "%d.%030d", i % 50, 0);

        vlist_push(&b.write, key_of(SLICE("long")), LIST_TAIL, &(struct slice){text, len}, 1);
    }
    string_put(&b.write, key_of(SLICE("string")), SLICE("hello"), 0);
    string_put(&b.write, key_of(SLICE("w_3")), SLICE("7"), 0);
    (void)hash_put(&b.write, key_of(SLICE("h_3")), SLICE("f"), SLICE("-7"), 0);
    CU_ASSERT_EQUAL_FATAL(bench_commit(&b), SECTION_COMMITTED);
}

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
        if ((end == SECTION_FAILED || refused) &&
            !slice_is(buf_slice(&before), buf_slice(&after))) {
            (void)fprintf(stderr, "    %s, fault %d\n", line, nth + 1);
            CU_FAIL("a failed command has changed something");
        }
        CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
        reply_fini(&r);
        buf_fini(&before);
        buf_fini(&after);
        rcu_turn();
    }
    if (nth == TRIES) {
        (void)fprintf(stderr, "    %s\n", line);
        CU_FAIL("never succeeds");
    }
    return nth;
}

static void every_command_survives_every_fault(void)
{
    static const char *const lines[] = {
        "LPUSH new a b",
        "LPUSH short BIG b",
        "RPUSH long a BIG b",
        "LPUSHX long a",
        "RPUSHX short a",
        "LPOP short",
        "RPOP long 150",
        "RPOP long 197",
        "LPOP short 4",
        "LMPOP 3 new short long LEFT COUNT 2",
        "LMOVE long short LEFT RIGHT",
        "LMOVE long long LEFT RIGHT",
        "LMOVE short new RIGHT LEFT",
        "RPOPLPUSH short short",
        "LLEN long",
        "LINDEX long 100",
        "LRANGE long 0 -1",
        "LPOS short 1 COUNT 0",
        "LSET short 1 x",
        "LSET long 100 BIG",
        "LINSERT short AFTER 1 x",
        "LINSERT long BEFORE 17.000000000000000000000000000000 x",
        "LREM short 0 1",
        "LREM long 0 17.000000000000000000000000000000",
        "LTRIM short 1 2",
        "LTRIM long 50 120",
        "SORT short",
        "SORT long LIMIT 5 10 DESC",
        "SORT short BY w_* GET # GET h_*->f",
        "SORT_RO short ALPHA BY h_*->f",
        "SORT short ALPHA GET w_* GET # STORE new",
        "SORT long STORE long",
        "COPY long new",
        "RENAME long short",
        "DUMP long",
    };

    bench_init(&b);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        (void)survives(lines[i]);
    }
    bench_fini(&b);
}

static void restore_survives_every_fault(void)
{
    static const char *const values[] = {"short", "long"};

    bench_init(&b);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct key key = key_of(slice_of(values[i]));

        refill();
        buf_clear(&payload);
        CU_ASSERT_FATAL(dump_write(&b.read, key, keyspace_peek(&b.read, key), &payload) == OK);
        CU_ASSERT(survives("RESTORE new 0 PAYLOAD") > 1);
        CU_ASSERT(survives("RESTORE long 5000 PAYLOAD REPLACE") > 1);
    }
    buf_fini(&payload);
    bench_fini(&b);
}

const struct unit_test test_cmd_list[] = {UNIT(every_command_survives_every_fault),
                                          UNIT(restore_survives_every_fault), UNIT_END};
