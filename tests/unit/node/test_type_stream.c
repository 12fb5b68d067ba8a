/* Random commands on streams, several to a section, of which some are given up and some meet an allocation that
 * fails: then everything is as before, to the byte of the dump and of the account. What commits is
 * applied to a second database, which must show the same. (What the commands answer is compared with
 * redis-server in tests/e2e and told in tests/spec.) */
#include "node/type_stream.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/rcu.h"
#include "node/apply.h"
#include "node/cmd/families.h"
#include "node/database.h"
#include "node/dump.h"
#include "node/options.h"
#include "node/type.h"
#include "replication/changelog.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include "proto/change.pb-c.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARGS_MAX = 40, LINE_MAX_BYTES = 512, KEYS_USED = 3, ROUNDS = 2500 };

static struct world w;
static struct database *copy;
static struct rand r;
static uint64_t next_ms;

static unsigned below(unsigned n)
{
    return (unsigned)rand_below(&r, n);
}

/* ---- Commands ---- */

static const struct cmd_def *row_of(struct slice name, struct slice sub)
{
    const struct cmd_def *d = cmd_find(name);

    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    return d->subs == NULL ? d : cmd_find_sub(d, sub);
}

static void run_line(struct database *db, struct section *s, char *line, struct reply *reply)
{
    struct slice argv[ARGS_MAX];
    struct cmd c = {.argv = argv, .now_ms = 5000000, .db = db, .section = s, .reply = reply};

    c.argc = world_words(line, argv, ARGS_MAX);
    c.def = row_of(argv[0], argv[1]);
    CU_ASSERT_PTR_NOT_NULL_FATAL(c.def);
    if (c.def->keys.kind == CMD_KEYS_RANGE) {
        c.key = key_of(argv[c.def->keys.first]);
    }
    c.def->run(&c);
    /* A reply that had no memory closes its client: what was done counts as it is. */
    reply->failed = false;
}

static const char *const lines[] = {
    "XADD %k %a f %v",
    "XADD %k %a f %v",
    "XADD %k %a f %v g %v",
    "XADD %k %a g %v",
    "XADD %k %a f %v",
    "XADD %k MAXLEN ~ %n %a f %v",
    "XADD %k MAXLEN = %n %a f %v",
    "XADD %k MINID ~ %i %a f %v",
    "XTRIM %k MAXLEN %n",
    "XTRIM %k MINID %i",
    "XTRIM %k MAXLEN ~ 5 LIMIT 10",
    "XTRIM %k MAXLEN %n DELREF",
    "XTRIM %k MAXLEN %n ACKED",
    "XTRIM %k MINID ~ %i ACKED",
    "XDEL %k %i %i %i",
    "XDEL %k %i",
    "XDELEX %k ACKED IDS 2 %i %i",
    "XDELEX %k DELREF IDS 2 %i %i",
    "XSETID %k %a",
    "XSETID %k 1-0",
    "XSETID %k %a ENTRIESADDED 5000 MAXDELETEDID %i",
    "XGROUP CREATE %k %g 0 MKSTREAM",
    "XGROUP CREATE %k %g $ MKSTREAM",
    "XGROUP SETID %k %g %i",
    "XGROUP SETID %k %g 0 ENTRIESREAD 3",
    "XGROUP DESTROY %k %g",
    "XGROUP CREATECONSUMER %k %g %c",
    "XGROUP DELCONSUMER %k %g %c",
    "XREADGROUP GROUP %g %c COUNT 7 STREAMS %k >",
    "XREADGROUP GROUP %g %c COUNT 3 STREAMS %k >",
    "XREADGROUP GROUP %g %c STREAMS %k >",
    "XREADGROUP GROUP %g %c NOACK COUNT 4 STREAMS %k >",
    "XREADGROUP GROUP %g %c COUNT 4 STREAMS %k 0",
    "XREADGROUP GROUP %g %c COUNT 4 STREAMS %k %k > >",
    "XACK %k %g %i %i %i",
    "XACK %k %g %i",
    "XACKDEL %k %g KEEPREF IDS 2 %i %i",
    "XACKDEL %k %g ACKED IDS 2 %i %i",
    "XCLAIM %k %g %c 0 %i %i %i",
    "XCLAIM %k %g %c 0 %i %i FORCE JUSTID",
    "XCLAIM %k %g %c 0 %i FORCE TIME 77 RETRYCOUNT 5 LASTID %i",
    "XAUTOCLAIM %k %g %c 0 - COUNT 5",
    "XAUTOCLAIM %k %g %c 0 %i COUNT 5 JUSTID",
    "DEL %k",
    "RENAME %k %k",
    "COPY %k %k REPLACE",
};

static void fill(char kind, char *out, size_t cap)
{
    switch (kind) {
    case 'k':
        (void)snprintf(out, cap, "key%u", below(KEYS_USED));
        break;
    case 'g':
        (void)snprintf(out, cap, "group%u", below(3));
        break;
    case 'c':
        (void)snprintf(out, cap, "consumer%u", below(4));
        break;
    case 'n':
        (void)snprintf(out, cap, "%u", below(60));
        break;
    case 'a':
        next_ms += below(3);
        (void)snprintf(out, cap, "%lu-%u", (unsigned long)next_ms, below(20));
        break;
    case 'i':
        (void)snprintf(out, cap, "%lu-%u",
                       (unsigned long)(next_ms > 60 ? next_ms - below(60) : below(60)), below(20));
        break;
    default:
        if (below(3) == 0) {
            (void)snprintf(out, cap, "%u", below(100000));
        } else {
            size_t len = 1 + below(below(10) == 0 ? 80 : 12);

            memset(out, 'a' + (int)below(26), len);
            out[len] = '\0';
        }
        break;
    }
}

static void by_chance(char line[LINE_MAX_BYTES])
{
    const char *from = lines[below(sizeof(lines) / sizeof(lines[0]))];
    size_t len = 0;

    for (; *from != '\0'; from++) {
        if (*from == '%') {
            fill(*++from, line + len, LINE_MAX_BYTES - len);
            len += strlen(line + len);
        } else {
            line[len++] = *from;
        }
    }
    line[len] = '\0';
}

/* ---- What there is ---- */

static struct buf picture(struct database *db)
{
    static const struct cmd_def def = {.name = "LOOK", .flags = CMD_READ};
    struct cmd c = {.def = &def, .db = db};
    struct buf out = {0};

    for (unsigned i = 0; i < KEYS_USED; i++) {
        char name[8];
        struct key key = key_of((struct slice){name, (size_t)snprintf(name, 8, "key%u", i)});
        const struct entry *e = keyspace_peek(&c, key);

        CU_ASSERT_EQUAL_FATAL(buf_printf(&out, "%s ", name), OK);
        if (e != NULL) {
            CU_ASSERT_EQUAL_FATAL(dump_write(&c, key, e, &out), OK);
        }
    }
    return out;
}

/* XINFO STREAM FULL without how many blocks there are: a stream that was logged whole has them anew. */
static struct buf contents(struct database *db)
{
    static const char blocks[] = "radix-tree-keys";
    struct buf out = {0};

    for (unsigned i = 0; i < KEYS_USED; i++) {
        char line[64];
        struct reply reply;

        (void)snprintf(line, sizeof(line), "XINFO STREAM key%u FULL COUNT 0", i);
        reply_init(&reply);
        run_line(db, NULL, line, &reply);
        char *at = memmem(reply.out.ptr, reply.out.len, blocks, sizeof(blocks) - 1);

        if (at != NULL) { /* two numbers and a name are blanked */
            char *end = memmem(at, reply.out.len - (size_t)(at - reply.out.ptr), "last-gen", 8);

            CU_ASSERT_EQUAL_FATAL(buf_append(&out, reply.out.ptr, (size_t)(at - reply.out.ptr)),
                                  OK);
            CU_ASSERT_EQUAL_FATAL(
                buf_append(&out, end, (size_t)(reply.out.ptr + reply.out.len - end)), OK);
        }
        reply_fini(&reply);
    }
    return out;
}

static bool is_same(struct buf a, struct buf b)
{
    bool same = slice_is(buf_slice(&a), buf_slice(&b));

    buf_fini(&a);
    buf_fini(&b);
    return same;
}

/* ---- The log ---- */

static struct buf change;
static uint64_t next_seq;
static bool applied;

static bool take(uint64_t seq, struct slice piece, bool last, void *arg)
{
    (void)seq, (void)arg;
    CU_ASSERT_EQUAL_FATAL(buf_append_slice(&change, piece), OK);
    if (last) {
        if (change_database(change.ptr) == 0) {
            applied = true;
        } else {
            buf_clear(&change); /* the copy's own */
        }
    }
    return !applied;
}

/* Written by hand, to the byte as protobuf-c packs it. */
static void is_as_packed(void)
{
    Godwit__Change *c = godwit__change__unpack(NULL, change.len, (const uint8_t *)change.ptr);
    size_t len = c == NULL ? 0 : godwit__change__get_packed_size(c);
    uint8_t *bytes = malloc(len + 1);

    CU_ASSERT_EQUAL_FATAL(len, change.len);
    (void)godwit__change__pack(c, bytes);
    CU_ASSERT_EQUAL(memcmp(bytes, change.ptr, len), 0);
    godwit__change__free_unpacked(c, NULL);
    free(bytes);
}

/* One change at a time, since applying writes the log, too. */
static void apply_log(void)
{
    for (;;) {
        applied = false;
        next_seq = changelog_read(w.node->log, next_seq, take, NULL);
        if (!applied) {
            break;
        }
        is_as_packed();
        CU_ASSERT_EQUAL(apply_change(w.x, copy, buf_slice(&change)), OK);
        buf_clear(&change);
        rcu_turn();
    }
}

/* ---- Sections ---- */

static void begin(void)
{
    struct partition *held;

    CU_ASSERT_EQUAL_FATAL(section_reserve(w.x->section), OK);
    CU_ASSERT_EQUAL_FATAL(
        section_begin(w.x->section, w.db, UINT64_MAX >> (64 - PARTITIONS), true, &held), OK);
}

/* True: it was committed. */
static bool play(int fail_nth, bool give_up)
{
    /* The section knows its keys by the arguments, which therefore stay until it ends. */
    static char kept[6][LINE_MAX_BYTES];
    struct section *s = w.x->section;
    unsigned n = 1 + below(6);
    uint64_t seq;
    struct reply reply;

    reply_init(&reply);
    begin();
    fault_fail_nth(fail_nth);
    for (unsigned i = 0; i < n && !section_has_failed(s); i++) {
        char *line = kept[i];

        by_chance(line);
        run_line(w.db, s, line, &reply);
        reply_restart(&reply, 0);
    }
    bool done = false;

    if (give_up) {
        (void)fault_off();
        section_abort(s);
    } else {
        done = section_commit(s, &seq) == SECTION_COMMITTED;
        (void)fault_off();
    }
    reply_fini(&reply);
    rcu_turn();
    return done;
}

static void start(void)
{
    world_init(&w, 64 << 20);
    copy = node_database_add(w.node, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    r = (struct rand){unit_seed()};
    next_ms = 1;
    next_seq = 1;
    CU_ASSERT_TRUE(conf_set(&opt_stream_node_max_entries, SLICE("6"), NULL));
}

static void finish(void)
{
    CU_ASSERT_TRUE(conf_set(&opt_stream_node_max_entries, SLICE("100"), NULL));
    buf_fini(&change);
    world_fini(&w);
}

static void a_section_is_all_or_nothing(void)
{
    unsigned committed = 0;
    unsigned given_up = 0;

    start();
    for (int i = 0; i < ROUNDS; i++) {
        bool give_up = i % 4 == 0; /* by turns, so that there are enough of each */
        struct buf before = picture(w.db);
        bool done = play(i % 2 == 0 ? 1 + (int)below(80) : 0, give_up);

        if (!done) {
            given_up++;
            if (!is_same(before, picture(w.db))) {
                printf("round %d, failing\n", i);
                fflush(stdout);
                CU_FAIL_FATAL("what was given up has left something");
            }
        } else {
            committed++;
            buf_fini(&before);
        }
        if (database_used_exact(w.db) != world_bytes(w.db)) {
            printf("round %d: charged %ld, there %ld\n", i, database_used_exact(w.db),
                   world_bytes(w.db));
            CU_FAIL_FATAL("the account is wrong");
        }
    }
    CU_ASSERT(committed >= ROUNDS / 4);
    CU_ASSERT(given_up >= ROUNDS / 4);
    finish();
}

static void a_copy_is_exact(void)
{
    start();
    for (int i = 0; i < ROUNDS; i++) {
        (void)play(0, below(5) == 0);
        apply_log();
        if (!is_same(contents(w.db), contents(copy))) {
            printf("round %d\n", i);
            CU_FAIL_FATAL("the copy differs");
        }
        if (database_used_exact(copy) != world_bytes(copy)) {
            CU_FAIL_FATAL("the copy's account is wrong");
        }
    }
    finish();
}

/* What COPY and RESTORE make is the same to the block. */
static void a_payload_says_all(void)
{
    static const struct cmd_def def = {.name = "LOOK", .flags = CMD_READ};
    struct cmd c = {.def = &def};

    start();
    c.db = w.db;
    for (int i = 0; i < ROUNDS / 5; i++) {
        (void)play(0, false);
        struct key key = key_of(SLICE("key1"));
        const struct entry *e = keyspace_peek(&c, key);
        struct buf payload = {0};
        struct buf again = {0};

        if (e == NULL) {
            continue;
        }
        CU_ASSERT_EQUAL_FATAL(dump_write(&c, key, e, &payload), OK);
        struct slice argv[] = {SLICE("RESTORE"), SLICE("restored"), SLICE("0"), buf_slice(&payload),
                               SLICE("REPLACE")};

        world_run(&w, w.db, argv, 5);
        CU_ASSERT_EQUAL(w.reply.out.ptr[0], '+');
        key = key_of(SLICE("restored"));
        e = keyspace_peek(&c, key);
        CU_ASSERT_PTR_NOT_NULL_FATAL(e);
        CU_ASSERT_EQUAL_FATAL(dump_write(&c, key, e, &again), OK);
        CU_ASSERT(is_same(payload, again));
        CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
    }
    finish();
}

/* A stream of one small entry, by size class with its key: Redis takes more than 400 bytes. */
static void one_entry_is_small(void)
{
    static const struct cmd_def def = {.name = "LOOK", .flags = CMD_READ};
    struct cmd c = {.def = &def};

    start();
    c.db = w.db;
    (void)world_say(&w, "XADD key0 5-1 field value");
    CU_ASSERT(type_bytes(keyspace_peek(&c, key_of(SLICE("key0")))) <= 300);
    finish();
}

const struct unit_test test_type_stream[] = {UNIT(a_section_is_all_or_nothing),
                                             UNIT(a_copy_is_exact), UNIT(a_payload_says_all),
                                             UNIT(one_entry_is_small), UNIT_END};
