/* Promise 5: what the log says, applied elsewhere, gives the same data byte for byte, expiry included,
 * whenever and however often it is applied. */
#include "node/apply.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/rcu.h"
#include "node/block.h"
#include "node/database.h"
#include "node/digest.h"
#include "node/exec.h"
#include "node/keyspace.h"
#include "node/node.h"
#include "node/section.h"
#include "proto/change.h"
#include "replication/changelog.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <stdio.h>
#include <stdlib.h>

enum { COMMANDS = 4000, BIG = 40000 };

static struct world w;
static struct database *copy;
static struct rand r;

static unsigned below(unsigned n)
{
    return (unsigned)rand_below(&r, n);
}

static struct digest sum_up(struct database *db)
{
    struct digest d;

    CU_ASSERT_EQUAL_FATAL(digest_database(db, &d), OK);
    return d;
}

static bool equal(void)
{
    struct digest a = sum_up(w.db);
    struct digest b = sum_up(copy);

    if (a.keys != b.keys || a.sum != b.sum) {
        printf("%lu keys, the copy %lu\n", a.keys, b.keys);
    }
    return a.keys == b.keys && a.sum == b.sum;
}

/* ---- The log ---- */

struct taken {
    struct buf *v; /* by number - 1 */
    size_t count, cap;
    bool open;
};

static struct taken taken;

static bool take(uint64_t seq, struct slice piece, bool last, void *arg)
{
    struct taken *t = arg;

    (void)seq;
    if (!t->open) {
        if (t->count == t->cap) {
            t->cap = t->cap == 0 ? 1024 : t->cap * 2;
            t->v = realloc(t->v, t->cap * sizeof(t->v[0]));
        }
        t->v[t->count++] = (struct buf){0};
    }
    t->open = !last;
    return buf_append(&t->v[t->count - 1], piece.ptr, piece.len) == OK;
}

static void take_log(void)
{
    uint64_t next = changelog_read(w.node->log, taken.count + 1, take, &taken);

    CU_ASSERT_EQUAL(next, taken.count + 1);
    CU_ASSERT_EQUAL(taken.count, changelog_last_seq(w.node->log));
}

static void drop_log(void)
{
    for (size_t i = 0; i < taken.count; i++) {
        buf_fini(&taken.v[i]);
    }
    free(taken.v);
    taken = (struct taken){0};
}

static void apply(size_t i)
{
    /* What was applied stands in the log again, as the copy's. */
    if (change_database(taken.v[i].ptr) == 0) {
        CU_ASSERT_EQUAL(apply_change(w.x, copy, buf_slice(&taken.v[i])), OK);
        rcu_turn();
    }
}

/* ---- Commands by chance ---- */

static const char *const lines[] = {
    "SET %k %v",
    "SET %k %v PX %t",
    "SET %k %v KEEPTTL",
    "SETNX %k %v",
    "GETSET %k %v",
    "APPEND %k %v",
    "SETRANGE %k %o %v",
    "INCR %k",
    "INCRBYFLOAT %k 1.5",
    "GETDEL %k",
    "GETEX %k PX %t",
    "GETEX %k PERSIST",
    "MSET %k %v %k %v %k %v",
    "MSETNX %k %v %k %v",
    "SETBIT %k %o 1",
    "BITOP OR %k %k %k",
    "BITOP NOT %k %k",
    "BITFIELD %k SET u8 #%o 7 INCRBY i16 3 1",
    "DEL %k",
    "UNLINK %k %k",
    "EXPIRE %k 1",
    "PEXPIRE %k %t",
    "PEXPIREAT %k 1",
    "PERSIST %k",
    "PERSIST %k",
    "RENAME %k %k",
    "RENAMENX %k %k",
    "COPY %k %k REPLACE",
    "COPY %k %k",
    "GET %k",
    "HSET %k %f %v %f %v",
    "HSET %k %f %v",
    "HSETNX %k %f %v",
    "HINCRBY %k n 2",
    "HINCRBYFLOAT %k x 1.25",
    "HDEL %k %f %f",
    "HDEL %k %f",
    "HPEXPIRE %k %t FIELDS 1 %f",
    "HPEXPIRE %k %t FIELDS 2 %f %f",
    "HPERSIST %k FIELDS 1 %f",
    "HGETDEL %k FIELDS 1 %f",
    "HGETEX %k PX %t FIELDS 1 %f",
    "HSETEX %k PX %t FIELDS 1 %f %v",
    "HPEXPIREAT %k 1 FIELDS 1 %f",
    "RPUSH %k %v %v %v",
    "LPUSH %k %v %v",
    "LPUSH %k %v",
    "RPUSH %k %v",
    "RPUSHX %k %v",
    "LPOP %k",
    "RPOP %k 2",
    "LMOVE %k %k LEFT RIGHT",
    "RPOPLPUSH %k %k",
    "LMPOP 2 %k %k LEFT COUNT 2",
    "LSET %k 1 %v",
    "LINSERT %k BEFORE 7 %v",
    "LREM %k 0 7",
    "LREM %k -1 5",
    "LTRIM %k 1 -2",
    "LTRIM %k 0 60",
    "SORT %k ALPHA LIMIT 0 50 STORE %k",
    "SADD %k %f %v %f",
    "SADD %k %o %o %o",
    "SADD %k %f",
    "SREM %k %f %f %o",
    "SPOP %k",
    "SPOP %k 3",
    "SMOVE %k %k %f",
    "SUNIONSTORE %k %k %k",
    "SINTERSTORE %k %k",
    "SDIFFSTORE %k %k %k",
    "PFADD %k %v %f %o",
    "PFADD %k %f",
    "PFCOUNT %k",
    "PFMERGE %k %k %k",
    "PFDEBUG TODENSE %k",
    "ZADD %z %n %f %n %f %n %f",
    "ZADD %z %n %f",
    "ZADD %z GT CH %n %f",
    "ZADD %k %n %f",
    "ZINCRBY %z 1.5 %f",
    "ZREM %z %f %f",
    "ZPOPMIN %z 2",
    "ZMPOP 2 %z %z MAX",
    "ZREMRANGEBYRANK %z 3 4",
    "ZREMRANGEBYSCORE %z 5 20",
    "ZRANGESTORE %z %z 0 100 BYSCORE",
    "ZUNIONSTORE %z 2 %z %z WEIGHTS 1 0.5",
    "ZINTERSTORE %z 2 %z %z",
    "ZDIFFSTORE %z 2 %z %z",
    "GEOADD %z 13.5 38.25 %f",
    "GEOSEARCHSTORE %z %z FROMLONLAT 13 38 BYRADIUS 100 km",
    "COPY %z %z REPLACE",
    "RENAME %z %z",
    "PEXPIRE %z %t",
    "PERSIST %z",
};

static void fill(char kind, char *out, size_t cap)
{
    static const unsigned sizes[] = {3, 20, 60, 200, 3000};
    unsigned len = below(200) == 0 ? 20000 : sizes[below(5)];

    switch (kind) {
    case 'k':
        (void)snprintf(out, cap, "key%u", below(12));
        break;
    case 'z':
        (void)snprintf(out, cap, "zset%u", below(4));
        break;
    case 'n':
        (void)snprintf(out, cap, "%g", (double)below(400) / 4);
        break;
    case 'f':
        (void)snprintf(out, cap, "field%u", below(below(4) == 0 ? 300 : 20));
        break;
    case 't':
        (void)snprintf(out, cap, "%u", 1 + below(400));
        break;
    case 'o':
        (void)snprintf(out, cap, "%u", below(below(20) == 0 ? BIG : 200));
        break;
    default:
        if (below(2) == 0) {
            (void)snprintf(out, cap, "%u", below(below(3) == 0 ? 10 : 1000));
        } else {
            memset(out, 'a' + (int)below(26), len);
            out[len] = '\0';
        }
        break;
    }
}

static char words[16][BIG];

static uint32_t line_by_chance(struct slice argv[16], unsigned one_flush_in)
{
    char line[128];
    uint32_t argc = 0;

    (void)snprintf(line, sizeof(line), "%s",
                   below(one_flush_in) == 0 ? "FLUSHALL"
                                            : lines[below(sizeof(lines) / sizeof(lines[0]))]);
    for (char *save, *word = strtok_r(line, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save)) {
        char *mark = strchr(word, '%');

        if (mark == NULL) {
            (void)snprintf(words[argc], BIG, "%s", word);
        } else {
            size_t before = (size_t)(mark - word);

            memcpy(words[argc], word, before);
            fill(mark[1], words[argc] + before, BIG - before);
        }
        argv[argc] = slice_of(words[argc]);
        argc++;
    }
    return argc;
}

static void by_chance(void)
{
    struct slice argv[16];
    uint32_t argc = line_by_chance(argv, 2000);

    world_run(&w, w.db, argv, argc);
    world_clock(below(10) == 0 ? (int64_t)below(60) : 0);
}

static void begin(void)
{
    world_init(&w, 64 << 20);
    copy = node_database_add(w.node, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    r = (struct rand){unit_seed()};
}

static void end(void)
{
    drop_log();
    world_fini(&w);
}

/* ---- Tests ---- */

/* Applied later than it happened: by then much has expired by the clock, and nothing by the log. */
static void a_copy_is_exact(void)
{
    begin();
    /* On, if the last ones happened to leave nothing to compare. */
    for (int i = 0; i < COMMANDS || (sum_up(w.db).keys == 0 && i < 2 * COMMANDS); i++) {
        by_chance();
    }
    take_log();
    CU_ASSERT_TRUE(taken.count > COMMANDS / 8);
    struct digest before = sum_up(w.db);

    CU_ASSERT_TRUE(before.keys > 0);
    for (size_t i = 0; i < taken.count; i++) {
        apply(i);
    }
    CU_ASSERT_TRUE(equal());
    end();
}

/* Beside the leader, each change twice, and every so often all that was sent since once more. */
static void applying_twice_is_applying_once(void)
{
    size_t done = 0;

    begin();
    for (int i = 0; i < COMMANDS / 4; i++) {
        by_chance();
        if (below(20) != 0) {
            continue;
        }
        take_log();
        for (; done < taken.count; done++) {
            apply(done);
            apply(done);
        }
        if (!equal()) {
            CU_FAIL("the copy differs");
            break;
        }
    }
    end();
}

static void what_is_no_change_changes_nothing(void)
{
    begin();
    for (int i = 0; i < 300; i++) {
        by_chance();
    }
    take_log();
    for (size_t i = 0; i < taken.count; i++) {
        apply(i);
    }
    struct digest before = sum_up(copy);

    for (size_t i = 0; i < taken.count; i++) {
        struct buf b = {0};

        /* An unknown field behind it; cut short; nothing at all of a kind that is known. */
        CU_ASSERT_EQUAL(buf_append(&b, taken.v[i].ptr, taken.v[i].len), OK);
        CU_ASSERT_EQUAL(buf_append(&b, "\x98\x06\x01", 3), OK);
        CU_ASSERT_EQUAL(apply_change(w.x, copy, buf_slice(&b)), ERR_CORRUPT);
        CU_ASSERT_EQUAL(apply_change(w.x, copy, (struct slice){b.ptr, b.len - 4}), ERR_CORRUPT);
        buf_fini(&b);
    }
    struct digest after = sum_up(copy);

    CU_ASSERT_TRUE(before.keys == after.keys && before.sum == after.sum);
    end();
}

/* ---- Savepoints (node/section_mark.c) ---- */

enum { ROUNDS = 600, ARENA = 8 << 20 };

static char arena[ARENA]; /* names live until the section ends */
static size_t arena_used;
static struct database *twin;

/* A random command in c's section; in its twin's too, unless it will be taken back. */
static void run_in(struct cmd *of, struct slice *argv, uint32_t argc)
{
    struct session session = {.db = of->db, .worker = w.x->worker, .is_replayed = true};
    struct cmd c = {.def = cmd_find(argv[0]),
                    .argv = argv,
                    .argc = argc,
                    .reply = &w.reply,
                    .session = &session,
                    .db = of->db,
                    .section = of->section,
                    .in_txn = true,
                    .now_ms = section_now_ms(of->section)};

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

static void both_by_chance(struct cmd *a, struct cmd *b, bool is_mid)
{
    struct slice argv[16];
    uint32_t argc = line_by_chance(argv, is_mid ? 30 : 300);

    for (uint32_t i = 0; i < argc; i++) {
        CU_ASSERT_FATAL(arena_used + argv[i].len <= ARENA);
        memcpy(arena + arena_used, argv[i].ptr, argv[i].len);
        argv[i].ptr = arena + arena_used;
        arena_used += argv[i].len;
    }
    if (slice_is_word(argv[0], "spop") || slice_is_word(argv[0], "pfcount")) {
        return; /* its own chance; a count that is kept */
    }
    run_in(a, argv, argc);
    if (!is_mid) {
        run_in(b, argv, argc);
    }
}

static struct cmd open_section(struct section *s, struct database *db)
{
    static const struct cmd_def def = {.name = "TEST", .flags = CMD_WRITE};
    struct partition *held;

    CU_ASSERT_EQUAL_FATAL(section_reserve(s), OK);
    CU_ASSERT_EQUAL_FATAL(section_begin(s, db, UINT64_MAX >> (64 - PARTITIONS), true, &held), OK);
    return (struct cmd){.def = &def, .db = db, .section = s, .now_ms = clock_now_ms()};
}

static void close_section(struct section *s, bool commits)
{
    uint64_t seq;

    if (commits) {
        CU_ASSERT_EQUAL(section_commit(s, &seq), SECTION_COMMITTED);
        block_poke(section_take_ready(s));
    } else {
        section_abort(s);
    }
}

static void round_by_chance(struct section *other)
{
    struct cmd a = open_section(w.x->section, w.db);
    struct cmd b = open_section(other, twin);
    bool commits = below(5) > 0;

    arena_used = 0;
    for (unsigned part = 0; part < 3; part++) {
        for (unsigned i = below(8); i > 0; i--) {
            both_by_chance(&a, &b, false);
        }
        section_mark(a.section);
        bool stays = below(3) == 0;

        for (unsigned i = below(8); i > 0; i--) {
            both_by_chance(&a, &b, !stays);
        }
        (stays ? section_release : section_rollback)(a.section);
    }
    for (unsigned i = below(8); i > 0; i--) {
        both_by_chance(&a, &b, false);
    }
    CU_ASSERT_FALSE(section_has_failed(a.section) || section_has_failed(b.section));
    close_section(a.section, commits);
    close_section(other, commits);
    rcu_turn();
}

/* What is taken back to a savepoint is in neither the data, the log nor the accounts; what was before it, and
 * what comes after, is as in a section that never had the rest. */
static void what_is_rolled_back_never_was(void)
{
    struct section *other;
    size_t done = 0;

    begin();
    twin = node_database_add(w.node, 2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(twin);
    CU_ASSERT_EQUAL_FATAL(section_create(&other, w.node->log), OK);
    for (int i = 0; i < ROUNDS; i++) {
        round_by_chance(other);
        world_clock(below(10) == 0 ? (int64_t)below(60) : 0);
        if (below(10) != 0 && i + 1 < ROUNDS) {
            continue;
        }
        take_log();
        for (; done < taken.count; done++) {
            apply(done);
        }
        struct digest here = sum_up(w.db);
        struct digest there = sum_up(twin);

        if (here.keys != there.keys || here.sum != there.sum || !equal() ||
            world_bytes(w.db) != database_used_exact(w.db)) {
            printf("round %d: %lu and %lu keys, %ld and %ld bytes\n", i, here.keys, there.keys,
                   world_bytes(w.db), database_used_exact(w.db));
            CU_FAIL("what was taken back is there, or what was before it is not");
            break;
        }
    }
    section_destroy(other);
    end();
}

const struct unit_test test_apply[] = {UNIT(a_copy_is_exact), UNIT(applying_twice_is_applying_once),
                                       UNIT(what_is_no_change_changes_nothing),
                                       UNIT(what_is_rolled_back_never_was), UNIT_END};
