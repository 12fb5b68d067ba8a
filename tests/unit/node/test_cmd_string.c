/* Every command on strings and bits, with every allocation failing once: either it was carried out, or
 * nothing was changed. The replies themselves are in tests/spec. */
#include "node/blocks.h"
#include "node/cmd/families.h"
#include "node/keyspace.h"
#include "node/type_string.h"

#include "base/fault.h"
#include "base/rcu.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARGS_MAX = 16, BIG = 80 << 10, TRIES = 100 };

static struct bench b;

static const char *const names[] = {"short", "number", "long", "new"};

enum { NAMES = sizeof(names) / sizeof(names[0]) };

static const struct cmd_def *row_of(const char *name)
{
    for (const struct cmd_def *d = string_cmds; d->name != NULL; d++) {
        if (strcmp(d->name, name) == 0) {
            return d;
        }
    }
    for (const struct cmd_def *d = bitmap_cmds; d->name != NULL; d++) {
        if (strcmp(d->name, name) == 0) {
            return d;
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
    if (c.def->keys.kind == CMD_KEYS_RANGE) {
        c.key = key_of(argv[c.def->keys.first]);
    }
    return c;
}

/* The end of the section it ran in, or that of a read, which cannot fail but by its reply. */
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
        cmd_run(&c);
    } while (c.again);
    if (c.progress != NULL) {
        c.progress_free(c.progress); /* as exec does of a command that ended by itself */
    }
    if (c.section != NULL) {
        end = bench_commit(&b);
    }
    fault_off();
    return end;
}

/* All keys with what they hold, as one text. */
static struct buf picture(void)
{
    struct buf out = {0};

    for (unsigned i = 0; i < NAMES; i++) {
        const struct entry *e = keyspace_peek(&b.read, key_of(slice_of(names[i])));
        struct string_value v = {.len = 0};
        int err = buf_printf(&out, "%s %d ", names[i], e != NULL);

        if (e != NULL) {
            string_of_entry(e, &v);
            err |= buf_printf(&out, "%lld ", (long long)entry_expire_at_ms(e));
        }
        for (size_t at = 0; at < v.len;) {
            struct slice piece = string_chunk(&v, at);

            err |= buf_append_slice(&out, piece);
            at += piece.len;
        }
        CU_ASSERT_EQUAL_FATAL(err, 0);
    }
    return out;
}

static void put(const char *name, struct slice value, int64_t expire_at_ms)
{
    string_put(&b.write, key_of(slice_of(name)), value, expire_at_ms);
}

static void refill(void)
{
    static char big[BIG];

    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (char)(i * 11 + i / 999);
    }
    bench_begin(&b);
    put("short", SLICE("hello"), 0);
    put("number", SLICE("41"), bench_now_ms() + 1000000);
    put("long", (struct slice){big, sizeof(big)}, 0);
    (void)keyspace_delete(&b.write, key_of(SLICE("new")));
    CU_ASSERT_EQUAL_FATAL(bench_commit(&b), SECTION_COMMITTED);
}

/* A reply that says the command itself had no memory. */
static bool is_refusal(const struct reply *r)
{
    return r->failed || (r->flags & REPLY_ERROR) != 0;
}

static void survives(const char *line)
{
    enum section_end end = SECTION_FAILED;
    struct buf before, after;
    bool refused = true;
    int nth = 0;

    for (; (end == SECTION_FAILED || refused) && nth < TRIES; nth++) {
        char text[128];
        struct slice argv[ARGS_MAX];
        struct reply r;

        (void)snprintf(text, sizeof(text), "%s", line);
        refill();
        before = picture();
        reply_init(&r);
        end = run(parse(text, argv), &r, nth + 1);
        refused = is_refusal(&r);
        after = picture();
        if (end == SECTION_FAILED) {
            if (!slice_is(buf_slice(&before), buf_slice(&after))) {
                CU_FAIL("a failed command has changed something");
            }
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
}

static void every_command_survives_every_fault(void)
{
    static const char *const lines[] = {
        "GET long",
        "GETRANGE long 5 9000",
        "MGET short number long new",
        "DIGEST long",
        "LCS short number",
        "LCS short number IDX",
        "SET new v",
        "SET new 12",
        "SET long short",
        "SET number v KEEPTTL GET",
        "SET long v IFDNE 0123456789abcdef GET",
        "SETNX new v",
        "SETEX new 10 v",
        "PSETEX new 10 v",
        "GETSET long v",
        "GETDEL long",
        "GETEX long EX 10",
        "GETEX number PERSIST",
        "APPEND new v",
        "APPEND short v",
        "APPEND long v",
        "SETRANGE new 10 v",
        "SETRANGE new 100000 v",
        "SETRANGE short 100000 v",
        "SETRANGE long 3 v",
        "SETRANGE long 30000000 v",
        "INCR new",
        "INCRBY number 5",
        "DECR number",
        "DECRBY number 5",
        "INCRBYFLOAT number 0.5",
        "MSET new 1 short 2 long 3",
        "MSETNX new 1",
        "MSETEX 2 new 1 long 2 EX 100",
        "DELEX long IFNE v",
        "SETBIT new 100 1",
        "SETBIT long 1000 1",
        "SETBIT long 10000000 1",
        "GETBIT long 1000",
        "BITCOUNT long 1 -2 BIT",
        "BITPOS long 1 3 -1",
        "BITOP NOT new long",
        "BITOP DIFF long short number",
        "BITFIELD new SET u8 0 200 INCRBY i5 100 3 GET u4 0",
        "BITFIELD long SET u8 0 200 SET u8 300000 3",
        "BITFIELD_RO long GET u8 5",
    };

    bench_init(&b);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        survives(lines[i]);
    }
    bench_fini(&b);
}

/* clang-format off */
const struct unit_test test_cmd_string[] = {
    UNIT(every_command_survives_every_fault),
    UNIT_END,
};
/* clang-format on */
