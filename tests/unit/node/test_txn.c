/* MULTI's end: all or nothing, what was watched, and what a section sees of itself (node/txn.h). */
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/inbox.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "base/worker.h"
#include "edge/multi.h"
#include "node/database.h"
#include "node/exec.h"
#include "node/keyspace.h"
#include "node/section.h"
#include "node/watched.h"
#include "replication/changelog.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORDS = 64, FAULTS_MAX = 3000 };

/* A null array, as marked for RESP2. */
#define NOTHING                                                                                    \
    "\x01"                                                                                         \
    "a_\r\n"

static struct world w;
static struct session session; /* of who MULTIs; world_say() is somebody else */
static char said[1 << 16];
static int fault_at; /* the allocation that fails while EXEC runs; 0: none */

static void on_ready(struct session *s)
{
    (void)s;
}

static void set_up(void)
{
    world_init(&w, 1 << 20);
    session = (struct session){.db = w.db,
                               .worker = w.x->worker,
                               .backend = &w.node->backend,
                               .is_replayed = true,
                               .on_ready = on_ready};
}

static void tear_down(void)
{
    exec_cancel(&session);
    watched_clear(&session);
    world_fini(&w);
}

/* Runs one request of the session to its end. */
static const char *run(struct request *r)
{
    struct batch b = {.requests = r, .count = 1, .reply = &w.reply};

    w.reply.out.len = 0;
    w.reply.failed = false;
    while (exec_run(w.x, &session, &b) == BACKEND_LATER) {
        /* Its next slice, or room in the log, which comes by post; nobody holds a lock here. */
        inbox_drain(&w.x->worker->inbox);
        sched_yield();
        while (!list_is_empty(&w.x->line.waiting)) {
            w.x->line.task.run(&w.x->line.task);
        }
    }
    rcu_turn();
    CU_ASSERT_FATAL(w.reply.out.len < sizeof(said));
    memcpy(said, w.reply.out.ptr, w.reply.out.len);
    said[w.reply.out.len] = '\0';
    return said;
}

static const char *session_say(const char *text)
{
    char line[1024];
    struct slice argv[WORDS];

    (void)snprintf(line, sizeof(line), "%s", text);
    uint32_t argc = world_words(line, argv, WORDS);

    return run(&(struct request){.def = cmd_find(argv[0]), .argv = argv, .argc = argc});
}

/* EXEC of commands, separated by semicolons. */
static const char *transact(const char *text)
{
    struct multi *m = multi_create();
    char line[2048];
    struct slice argv[WORDS];

    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    (void)snprintf(line, sizeof(line), "%s", text);
    for (char *save, *one = strtok_r(line, ";", &save); one != NULL;
         one = strtok_r(NULL, ";", &save)) {
        uint32_t argc = world_words(one, argv, WORDS);
        struct request q = {.def = cmd_find(argv[0]), .argv = argv, .argc = argc};

        CU_ASSERT_PTR_NOT_NULL_FATAL(q.def);
        CU_ASSERT_EQUAL_FATAL(multi_add(m, &q, SIZE_MAX), OK);
    }
    struct slice exec = SLICE("EXEC");

    if (fault_at > 0) {
        fault_fail_nth(fault_at);
    }
    const char *reply =
        run(&(struct request){.def = cmd_find(exec), .argv = &exec, .argc = 1, .multi = m});

    fault_off();
    multi_destroy(m);
    return reply;
}

static void reads_what_it_wrote(void)
{
    set_up();
    CU_ASSERT_STRING_EQUAL(transact("SET a 1;INCR a;GET a;APPEND a x;GET a;DEL a;GET a;EXISTS a"),
                           "*8\r\n+OK\r\n:2\r\n$1\r\n2\r\n:2\r\n$2\r\n2x\r\n:1\r\n_\r\n:0\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "GET a"), "_\r\n");
    tear_down();
}

/* T1: as Redis has it. */
static void an_error_undoes_nothing_of_the_others(void)
{
    set_up();
    CU_ASSERT_STRING_EQUAL(transact("SET a x;INCR a;SET b 2"),
                           "*3\r\n+OK\r\n-ERR value is not an integer or out of range\r\n+OK\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "MGET a b"), "*2\r\n$1\r\nx\r\n$1\r\n2\r\n");
    tear_down();
}

/* Everything that is one change is one change of the log. */
static void is_one_change(void)
{
    set_up();
    uint64_t before = changelog_seen_seq(w.node->log);

    (void)transact("SET a 1;SET b 2;HSET h f v;DEL a;EXPIRE b 100");
    CU_ASSERT_EQUAL(changelog_seen_seq(w.node->log), before + 1);
    (void)transact("GET b;HGETALL h;TTL b;DBSIZE");
    CU_ASSERT_EQUAL(changelog_seen_seq(w.node->log), before + 1);
    tear_down();
}

static uint64_t allocated(void)
{
    struct mem_stats m;

    rcu_drain();
    mem_stats(&m);
    return m.allocated;
}

/* A command in slices leaves its work for whoever runs it to free. */
static void frees_what_queued_commands_keep(void)
{
    set_up();
    (void)world_say(&w, "SETRANGE a 99999 x");
    (void)transact("BITOP NOT c a;BITOP NOT c a");
    uint64_t before = allocated();

    for (int i = 0; i < 50; i++) {
        (void)transact("BITOP NOT c a;BITOP NOT c a");
    }
    /* The log keeps its ring's size of them, once its thread has come to trim. */
    for (int64_t until = clock_mono_ns() + 5000000000; allocated() > before + 2000000;) {
        CU_ASSERT_FATAL(clock_mono_ns() < until);
        sched_yield();
    }
    tear_down();
}

/* T3: what the section has added, removed and flushed. */
static void whole_database_commands_are_exact(void)
{
    set_up();
    (void)world_say(&w, "MSET a 1 b 2");
    CU_ASSERT_STRING_EQUAL(
        transact("DBSIZE;DEL a;SET c 3;SET d 4;DBSIZE;DEL b;DEL c;KEYS *;SCAN 0;RANDOMKEY;DBSIZE"),
        "*11\r\n:2\r\n:1\r\n+OK\r\n+OK\r\n:3\r\n:1\r\n:1\r\n*1\r\n$1\r\nd\r\n"
        "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nd\r\n$1\r\nd\r\n:1\r\n");
    CU_ASSERT_STRING_EQUAL(transact("FLUSHALL;DBSIZE;RANDOMKEY;SET e 5;DBSIZE;KEYS *;RANDOMKEY"),
                           "*7\r\n+OK\r\n:0\r\n_\r\n+OK\r\n:1\r\n*1\r\n$1\r\ne\r\n$1\r\ne\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "KEYS *"), "*1\r\n$1\r\ne\r\n");
    tear_down();
}

/* What happens between WATCH and EXEC, and whether EXEC then runs. */
static const struct {
    const char *before, *between;
    bool runs;
} watching[] = {
    {"SET k 1", "GET k", true},
    {"SET k 1", "SET k 1", false}, /* the same value again is a write */
    {"SET k 1", "SET other 1", true},
    {"SET k 1", "DEL k", false},
    {"SET k 1", "EXPIRE k 100", false},
    {"SET k 1", "FLUSHALL", false},
    {"SET k 1", "INCRBY k x", true}, /* an error */
    {"SET k 1", "SETNX k 2", true},
    {"SET k 1", "RENAME k other", false},
    {"SET other 1", "RENAME other k", false},
    {"DEL k", "SET k 1", false},
    {"DEL k", "DEL k", true},
    {"DEL k", "FLUSHALL", true},
    {"HSET k f v", "HSET k g v", false},
    {"HSET k f v", "HGET k f", true},
    {"SET k 1 PX 50", "@ 100", false},         /* expires: nobody has touched it */
    {"SET k 1 PX 50", "@ 100 GET", false},     /* the look-up finds it expired */
    {"SET k 1 PX 50", "@ 100 SET k 1", false}, /* replaced after its time */
    {"SET k 1 PX 50", "@ 10", true},
};

static void watched_keys_decide(void)
{
    for (size_t i = 0; i < sizeof(watching) / sizeof(watching[0]); i++) {
        const char *between = watching[i].between;

        set_up();
        (void)world_say(&w, "%s", watching[i].before);
        CU_ASSERT_STRING_EQUAL(session_say("WATCH k unrelated k"), "+OK\r\n");
        CU_ASSERT_EQUAL(watched_count(&session), 2);
        if (between[0] == '@') {
            world_clock(strtol(between + 2, NULL, 10));
            between = strstr(between, "GET") != NULL   ? "GET k"
                      : strstr(between, "SET") != NULL ? "SET k 1"
                                                       : "PING";
        }
        if (strcmp(between, "PING") != 0) {
            (void)world_say(&w, "%s", between);
        }
        bool ran = strcmp(transact("SET done 1"), "*1\r\n+OK\r\n") == 0;

        if (ran != watching[i].runs) {
            printf("%s | %s: %s", watching[i].before, watching[i].between, said);
        }
        CU_ASSERT_EQUAL(ran, watching[i].runs);
        CU_ASSERT_EQUAL(watched_count(&session), 0); /* once, whatever came of it */
        tear_down();
    }
}

/* W2: the janitor takes away what had expired before it was watched. */
static void the_remains_of_an_expired_key_are_no_change(void)
{
    set_up();
    (void)world_say(&w, "SET k 1 PX 10");
    world_clock(20);
    CU_ASSERT_STRING_EQUAL(session_say("WATCH k"), "+OK\r\n");
    (void)world_say(&w, "DEL k"); /* removes the remains, as part of its change */
    CU_ASSERT_STRING_EQUAL(transact("SET done 1"), "*1\r\n+OK\r\n");
    tear_down();
}

/* A large hash is changed in place: no entry is replaced. */
static void a_change_in_place_is_one(void)
{
    struct slice argv[402];
    char line[8000];
    int len = snprintf(line, sizeof(line), "HSET big");

    set_up();
    for (int i = 0; i < 200; i++) {
        len += snprintf(line + len, sizeof(line) - (size_t)len, " f%d v%d", i, i);
    }
    world_run(&w, w.db, argv, world_words(line, argv, 402));
    (void)session_say("WATCH big");
    (void)world_say(&w, "HSET big f1 other");
    CU_ASSERT_STRING_EQUAL(transact("SET done 1"), NOTHING);
    (void)session_say("WATCH big");
    (void)world_say(&w, "HINCRBY big f2 1"); /* an error: not a number */
    CU_ASSERT_STRING_EQUAL(transact("SET done 1"), "*1\r\n+OK\r\n");
    tear_down();
}

static void who_forgets_watches_no_more(void)
{
    set_up();
    (void)session_say("WATCH k");
    (void)session_say("UNWATCH");
    (void)world_say(&w, "SET k 1");
    CU_ASSERT_STRING_EQUAL(transact("SET done 1"), "*1\r\n+OK\r\n");
    (void)session_say("WATCH k");
    CU_ASSERT_STRING_EQUAL(session_say("EXEC"),
                           "-ERR EXEC without MULTI\r\n"); /* forgets nothing */
    (void)world_say(&w, "SET k 2");
    CU_ASSERT_STRING_EQUAL(transact("SET done 1"), NOTHING);
    tear_down();
}

/* T1: whichever allocation fails, all was done or nothing. */
static void survives_every_fault(void)
{
    static const char text[] =
        "SET a 2;HSET h g 2;APPEND big tail;RENAME big big2;DEL gone;SET new 1;"
        "HDEL h f;EXPIRE a 100;COPY big2 big3;GET a";
    int failures = 0;
    bool all = false;

    for (int nth = 1; !all && nth < FAULTS_MAX; nth++) {
        set_up();
        (void)world_say(&w, "MSET a 1 gone 1");
        (void)world_say(&w, "HSET h f 1");
        (void)world_say(&w, "SETRANGE big 40000 x");
        fault_at = nth;
        const char *reply = transact(text);

        fault_at = 0;
        all = reply[0] == '*';
        failures += !all;
        (void)world_say(&w, "MGET a gone new");
        CU_ASSERT_STRING_EQUAL(w.reply.out.ptr, all ? "*3\r\n$1\r\n2\r\n_\r\n$1\r\n1\r\n"
                                                    : "*3\r\n$1\r\n1\r\n$1\r\n1\r\n_\r\n");
        CU_ASSERT_STRING_EQUAL(world_say(&w, "EXISTS big big2 big3"), all ? ":2\r\n" : ":1\r\n");
        CU_ASSERT_STRING_EQUAL(world_say(&w, "HGETALL h"), all ? "%1\r\n$1\r\ng\r\n$1\r\n2\r\n"
                                                               : "%1\r\n$1\r\nf\r\n$1\r\n1\r\n");
        tear_down();
    }
    CU_ASSERT(all);
    CU_ASSERT(failures > 5);
}

/* One partition is made by another between the section's beginning and its look: it was absent, and stays
 * so for the section. Once it asserted. */
static void a_partition_made_meanwhile_is_absent(void)
{
    struct section *s;
    struct partition *held;
    struct key key = key_of(SLICE("k"));

    set_up();
    CU_ASSERT_EQUAL_FATAL(section_create(&s, w.node->log), OK);
    CU_ASSERT_EQUAL(section_begin(s, w.db, (uint64_t)1 << key.partition, false, &held), OK);
    (void)world_say(&w, "SET k 1");
    CU_ASSERT_PTR_NULL(section_look(s, key));
    section_abort(s);
    CU_ASSERT_EQUAL(section_begin(s, w.db, (uint64_t)1 << key.partition, false, &held), OK);
    CU_ASSERT_PTR_NOT_NULL(section_look(s, key));
    section_abort(s);
    section_destroy(s);
    tear_down();
}

/* Watches are bounded, and the rest of the connection goes on. */
static void watches_are_bounded(void)
{
    set_up();
    for (int i = 0; i < 65536; i++) {
        char name[16];
        struct slice argv[2] = {SLICE("WATCH"), {name, (size_t)snprintf(name, 16, "k%d", i)}};

        (void)run(&(struct request){.def = cmd_find(argv[0]), .argv = argv, .argc = 2});
    }
    CU_ASSERT_STRING_EQUAL(session_say("WATCH one-more"),
                           "-ERR this connection watches too many keys\r\n");
    CU_ASSERT_STRING_EQUAL(session_say("WATCH k7"), "+OK\r\n");
    CU_ASSERT_STRING_EQUAL(session_say("UNWATCH"), "+OK\r\n");
    CU_ASSERT_EQUAL(watched_count(&session), 0);
    tear_down();
}

const struct unit_test test_txn[] = {UNIT(reads_what_it_wrote),
                                     UNIT(an_error_undoes_nothing_of_the_others),
                                     UNIT(is_one_change),
                                     UNIT(frees_what_queued_commands_keep),
                                     UNIT(whole_database_commands_are_exact),
                                     UNIT(watched_keys_decide),
                                     UNIT(the_remains_of_an_expired_key_are_no_change),
                                     UNIT(a_change_in_place_is_one),
                                     UNIT(who_forgets_watches_no_more),
                                     UNIT(survives_every_fault),
                                     UNIT(a_partition_made_meanwhile_is_absent),
                                     UNIT(watches_are_bounded),
                                     UNIT_END};
