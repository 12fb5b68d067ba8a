/* The executor: no memory at any step, locks that others hold, a log without room, and what it all costs. */
#include "node/exec.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "node/database.h"
#include "node/keyspace.h"
#include "node/partition.h"
#include "replication/changelog.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { FAULTS_MAX = 2000 };

static struct world w;

/* ---- No memory ---- */

static const char *const state[] = {
    "SET s value",        "SET n 10",    "SET e text PX 100000",         "SETRANGE big 40000 x",
    "HSET h a 1 b 2 c 3", "HSET h2 a 1", "HPEXPIRE h 100000 FIELDS 1 a", "SETBIT bits 100 1",
};

static const char *const commands[] = {
    "SET new value",
    "SET s other EX 100",
    "SET s other GET",
    "SET s other PXAT 1",
    "SETNX new v",
    "MSET a 1 b 2 c 3 s 4 new 5",
    "MSETNX x 1 y 2 z 3",
    "APPEND s more",
    "APPEND big more",
    "SETRANGE s 20000 x",
    "SETRANGE big 5 xyz",
    "INCR n",
    "INCR fresh",
    "INCRBYFLOAT n 1.5",
    "GETSET s v",
    "GETDEL s",
    "GETDEL big",
    "GETEX s PX 5000",
    "GETEX e PERSIST",
    "SETBIT bits 5000 1",
    "SETBIT big 7 1",
    "BITOP OR dest bits s",
    "BITOP NOT big bits",
    "BITFIELD bits SET u8 0 255 INCRBY u4 4 3",
    "DEL s h big",
    "UNLINK big s",
    "EXPIRE s 100",
    "PEXPIREAT big 1",
    "PERSIST e",
    "RENAME s t",
    "RENAME big s",
    "RENAME h s",
    "RENAMENX s t",
    "COPY s t",
    "COPY big t",
    "COPY h t",
    "COPY big s REPLACE",
    "FLUSHALL",
    "HSET h d 4 a 5",
    "HSET new f v",
    "HSETNX h z 1",
    "HINCRBY h b 5",
    "HINCRBYFLOAT h b 1.5",
    "HDEL h a b",
    "HDEL h2 a",
    "HPEXPIRE h 5000 FIELDS 2 b c",
    "HPERSIST h FIELDS 1 a",
    "HGETDEL h FIELDS 1 b",
    "HGETEX h PX 100 FIELDS 1 b",
    "HSETEX h PX 100 FIELDS 2 q 1 b 2",
    "GET s",
    "MGET s n e",
    "HGETALL h",
    "DUMP big",
    "STRLEN s",
    "BITCOUNT big",
    "SCAN 0",
    "KEYS *",
    "TOUCH s e",
};

/* A large hash: made of the small one by more fields than it may have. */
static void say_fields(const char *key, int n)
{
    char line[32 * 200];
    struct slice argv[402];
    int len = snprintf(line, sizeof(line), "HSET %s", key);

    for (int i = 0; i < n; i++) {
        len += snprintf(line + len, sizeof(line) - (size_t)len, " field%d %d", i, i);
    }
    world_run(&w, w.db, argv, world_words(line, argv, 402));
}

static void set_up(void)
{
    (void)world_say(&w, "FLUSHALL");
    for (size_t i = 0; i < sizeof(state) / sizeof(state[0]); i++) {
        CU_ASSERT_NOT_EQUAL(world_say(&w, "%s", state[i])[0], '-');
    }
    say_fields("large", 150);
}

static bool is_exact(void)
{
    int64_t used = database_used_exact(w.db);
    int64_t sum = world_bytes(w.db);

    if (used != sum) {
        printf("accounted %ld, used %ld\n", (long)used, (long)sum);
    }
    return used == sum;
}

/* Everything that can be seen of the keys. */
static void look(struct buf *out)
{
    static const char *const keys[] = {"s",  "n",    "e",     "big", "h",
                                       "h2", "bits", "large", "t",   "new"};

    buf_clear(out);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        (void)world_say(&w, "DUMP %s", keys[i]);
        CU_ASSERT_EQUAL(buf_append(out, w.reply.out.ptr, w.reply.out.len), OK);
        (void)world_say(&w, "PEXPIRETIME %s", keys[i]);
        CU_ASSERT_EQUAL(buf_append(out, w.reply.out.ptr, w.reply.out.len), OK);
    }
}

/* One run with the n-th allocation failing. False when there are not so many. */
static bool fails_clean(const char *command, int n, const struct buf *before)
{
    uint64_t seq = changelog_last_seq(w.node->log);
    struct buf after = {0};
    char line[256];
    struct slice argv[32];
    uint32_t argc;

    (void)snprintf(line, sizeof(line), "%s", command);
    argc = world_words(line, argv, 32);
    w.reply.out.len = 0;
    w.reply.failed = false;
    fault_fail_nth(n);
    exec_internal(w.x, w.db, argv, argc, &w.reply);
    bool reached = fault_off() >= n;
    bool refused =
        w.reply.failed || (w.reply.out.len > 4 && memcmp(w.reply.out.ptr, "-OOM", 4) == 0);
    bool wrote = changelog_last_seq(w.node->log) != seq;

    rcu_turn();
    if (!is_exact()) {
        printf("%s, allocation %d\n", command, n);
        CU_FAIL("memory is not accounted for");
    }
    if (refused) {
        look(&after);
        if (wrote || !slice_is(buf_slice(&after), buf_slice(before))) {
            printf("%s, allocation %d\n", command, n);
            CU_FAIL("a refused command changed something");
        }
    } else if (w.reply.out.len == 0 || w.reply.out.ptr[0] == '-') {
        printf("%s, allocation %d: %.*s\n", command, n, (int)w.reply.out.len, w.reply.out.ptr);
        CU_FAIL("another error than no memory");
    } else {
        set_up(); /* it was carried out: what failed was not needed, or nothing did */
    }
    buf_fini(&after);
    return reached;
}

static void without_memory_nothing_changes(void)
{
    struct buf before = {0};

    world_init(&w, 8 << 20);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        int n = 1;

        set_up();
        look(&before);
        while (n < FAULTS_MAX && fails_clean(commands[i], n, &before)) {
            n++;
        }
        CU_ASSERT_TRUE(n < FAULTS_MAX);
    }
    buf_fini(&before);
    world_fini(&w);
}

static void without_memory_a_large_hash_stays(void)
{
    static const char *const lines[] = {
        "HSET large field1 other new 1",
        "HDEL large field1 field2",
        "HPEXPIRE large 5000 FIELDS 1 field3",
        "RENAME large t",
        "COPY large t",
        "DEL large",
        "HINCRBY large field4 3",
        "COPY large s REPLACE",
        "HGETDEL large FIELDS 1 field5",
        "RENAME s large",
        "SET large string",
        "COPY s large REPLACE",
    };
    struct buf before = {0};

    world_init(&w, 8 << 20);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        int n = 1;

        set_up();
        look(&before);
        while (n < FAULTS_MAX && fails_clean(lines[i], n, &before)) {
            n++;
            look(&before); /* the order of a large hash's fields is not part of its content */
        }
    }
    buf_fini(&before);
    world_fini(&w);
}

/* ---- Memory ---- */

static void an_empty_database_costs_nothing_and_ten_keys_little(void)
{
    world_init(&w, 1 << 20);
    (void)world_say(&w, "GET absent");
    (void)world_say(&w, "DEL absent");
    CU_ASSERT_EQUAL(world_bytes(w.db), 0);
    CU_ASSERT_EQUAL(database_used_exact(w.db), 0);
    for (int i = 0; i < 10; i++) {
        (void)world_say(&w, "SET key:%d value:%d", i, i);
    }
    if (world_bytes(w.db) >= 4096) {
        printf("ten keys: %ld bytes\n", (long)world_bytes(w.db));
    }
    CU_ASSERT_TRUE(world_bytes(w.db) < 4096);
    CU_ASSERT_TRUE(is_exact());
    world_fini(&w);
}

static void what_is_deleted_is_given_back(void)
{
    world_init(&w, 8 << 20);
    for (int i = 0; i < 20000; i++) {
        (void)world_say(&w, "SET first:%d %d", i, i);
    }
    int64_t full = database_used_exact(w.db);

    set_up(); /* flushes */
    CU_ASSERT_TRUE(is_exact());
    for (int i = 0; i < 20000; i++) {
        (void)world_say(&w, "SET first:%d %d", i, i);
    }
    CU_ASSERT_TRUE(is_exact());
    for (int i = 0; i < 20000; i++) {
        (void)world_say(&w, "DEL first:%d", i);
    }
    (void)world_say(&w, "DEL s n e big h h2 bits large");
    CU_ASSERT_EQUAL(keyspace_count(w.db), 0);
    CU_ASSERT_TRUE(is_exact());
    CU_ASSERT_TRUE(database_used_exact(w.db) < full / 10);
    world_fini(&w);
}

/* ---- Locks that another holds ---- */

struct client {
    struct session s;
    struct reply reply;
    struct request request;
    struct batch batch;
    struct slice argv[8];
    char line[64];
    int ready;
    int order; /* in which it was called, from 1 */
};

static int calls;

static void on_ready(struct session *s)
{
    struct client *c = (struct client *)(void *)s;

    c->ready++;
    c->order = ++calls;
}

static enum backend_progress go(struct client *c)
{
    return exec_run(w.x, &c->s, &c->batch);
}

static enum backend_progress ask(struct client *c, const char *line)
{
    (void)snprintf(c->line, sizeof(c->line), "%s", line);
    c->request = (struct request){.argv = c->argv};
    c->request.argc = world_words(c->line, c->argv, 8);
    c->request.def = cmd_find(c->argv[0]);
    c->batch = (struct batch){.requests = &c->request, .count = 1, .reply = &c->reply};
    return go(c);
}

static void client_init(struct client *c)
{
    *c = (struct client){0};
    c->s = (struct session){.db = w.db, .worker = &w.workers[0], .on_ready = on_ready};
    reply_init(&c->reply);
}

static void client_fini(struct client *c)
{
    exec_cancel(&c->s);
    reply_fini(&c->reply);
}

static struct partition *partition_of(const char *name)
{
    struct partition *p = database_partition_make(w.db, key_of(slice_of(name)).partition);

    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    return p;
}

static size_t turn(void)
{
    return inbox_drain(&w.workers[0].inbox);
}

UNCHECKED_LOCKS static void a_held_lock_parks_a_command_and_not_its_worker(void)
{
    struct client a, b, c;
    struct partition *p;

    world_init(&w, 1 << 20);
    client_init(&a);
    client_init(&b);
    client_init(&c);
    calls = 0;
    p = partition_of("{x}1");
    CU_ASSERT_NOT_EQUAL(p, partition_of("y"));
    CU_ASSERT_TRUE_FATAL(partition_lock(p));
    CU_ASSERT_EQUAL(ask(&a, "SET {x}1 a"), BACKEND_LATER);
    CU_ASSERT_EQUAL(ask(&b, "MSET y 0 {x}1 b"), BACKEND_LATER);
    CU_ASSERT_EQUAL(go(&a), BACKEND_LATER); /* asked too early */
    CU_ASSERT_EQUAL(ask(&c, "SET y c"), BACKEND_DONE);
    CU_ASSERT_EQUAL(ask(&c, "GET {x}1"), BACKEND_DONE);    /* readers wait for publications alone */
    CU_ASSERT_EQUAL(a.reply.out.len + b.reply.out.len, 0); /* X2 */
    CU_ASSERT_EQUAL(turn(), 0);
    partition_unlock(p);
    CU_ASSERT_EQUAL(turn(), 1);
    CU_ASSERT_EQUAL(go(&a), BACKEND_DONE);
    (void)turn();
    CU_ASSERT_TRUE(a.order == 1 && b.order == 2); /* first come, first served */
    CU_ASSERT_EQUAL(go(&b), BACKEND_DONE);
    CU_ASSERT_PTR_NOT_NULL(strstr(world_say(&w, "GET {x}1"), "\r\nb\r\n"));
    CU_ASSERT_TRUE(a.batch.position < b.batch.position);
    CU_ASSERT_EQUAL(a.ready + b.ready, 2);
    client_fini(&a);
    client_fini(&b);
    client_fini(&c);
    world_fini(&w);
}

/* Every reply carries the position that it could have seen: a read's is that of its keys' partitions,
 * and at a level that has not passed it the gate holds it back. */
static void a_read_carries_the_position_of_what_it_saw(void)
{
    struct client set, get, other;
    uint64_t written;

    world_init(&w, 1 << 20);
    client_init(&set);
    client_init(&get);
    client_init(&other);
    get.s.level = other.s.level = ACK_QUORUM;
    CU_ASSERT_EQUAL(ask(&set, "SET y 0"), BACKEND_DONE);
    CU_ASSERT_EQUAL(ask(&set, "SET {x}1 a"), BACKEND_DONE);
    written = set.batch.position;
    CU_ASSERT_EQUAL(ask(&get, "GET {x}1"), BACKEND_DONE);
    CU_ASSERT_EQUAL(get.batch.position, written);
    CU_ASSERT_EQUAL(ask(&other, "GET y"), BACKEND_DONE);
    CU_ASSERT_EQUAL(other.batch.position, written - 1);
    CU_ASSERT_EQUAL(ask(&get, "MGET y {x}1"), BACKEND_DONE);
    CU_ASSERT_EQUAL(get.batch.position, written);
    CU_ASSERT_EQUAL(ask(&get, "DBSIZE"), BACKEND_DONE);
    CU_ASSERT_EQUAL(get.batch.position, written);
    get.s.level = ACK_LEADER;
    CU_ASSERT_EQUAL(ask(&get, "GET y"), BACKEND_DONE);
    CU_ASSERT_TRUE(get.batch.position >= written - 1);
    client_fini(&set);
    client_fini(&get);
    client_fini(&other);
    world_fini(&w);
}

UNCHECKED_LOCKS static void who_is_cancelled_is_not_called(void)
{
    struct client a, b;
    struct partition *p;

    world_init(&w, 1 << 20);
    for (int called = 0; called < 2; called++) {
        client_init(&a);
        client_init(&b);
        p = partition_of("x");
        CU_ASSERT_TRUE_FATAL(partition_lock(p));
        CU_ASSERT_EQUAL(ask(&a, "SET x a"), BACKEND_LATER);
        CU_ASSERT_EQUAL(ask(&b, "SET x b"), BACKEND_LATER);
        if (called) {
            partition_unlock(p); /* a is called: its message is on the way */
        }
        exec_cancel(&a.s);
        memset(&a.s, 0xee, sizeof(a.s)); /* X3 */
        if (!called) {
            partition_unlock(p);
        }
        while (turn() > 0) {
        }
        CU_ASSERT_EQUAL(a.ready, 0);
        CU_ASSERT_EQUAL(b.ready, 1); /* the turn was passed on */
        CU_ASSERT_EQUAL(go(&b), BACKEND_DONE);
        CU_ASSERT_PTR_NOT_NULL(strstr(world_say(&w, "GET x"), "\r\nb\r\n"));
        reply_fini(&a.reply);
        client_fini(&b);
    }
    world_fini(&w);
}

/* ---- The log ---- */

static void a_full_log_parks_and_wakes(void)
{
    enum { CREDITS = 64, TRIES = 100000 };
    struct changelog_credit held[CREDITS] = {{0}};
    enum backend_progress progress = BACKEND_DONE;
    struct client c;
    int n = 0;

    world_init(&w, 64 << 10);
    client_init(&c);
    /* All room that there is, or comes free, is taken by somebody who does not use it. */
    for (int i = 0; i < TRIES && progress == BACKEND_DONE; i++) {
        while (n < CREDITS && changelog_reserve(w.node->log, &held[n]) == OK) {
            n++;
        }
        progress = ask(&c, "SET key 0123456789012345678901234567890");
    }
    CU_ASSERT_EQUAL_FATAL(progress, BACKEND_LATER);
    uint64_t before = changelog_last_seq(w.node->log);

    while (n > 0) {
        changelog_credit_return(w.node->log, &held[--n]);
    }
    for (int64_t until = clock_mono_ns() + 10000000000; progress == BACKEND_LATER;) {
        int was = c.ready;

        (void)turn();
        progress = c.ready > was ? go(&c) : BACKEND_LATER;
        if (clock_mono_ns() > until) {
            CU_FAIL("never woken");
            break;
        }
        sched_yield();
    }
    CU_ASSERT_EQUAL(changelog_last_seq(w.node->log), before + 1);
    client_fini(&c);
    world_fini(&w);
}

static bool add_length(uint64_t seq, struct slice piece, bool last, void *arg)
{
    (void)seq;
    (void)last;
    *(size_t *)arg += piece.len;
    return true;
}

static void one_command_of_ten_thousand_keys(void)
{
    enum { KEYS = 10000 };
    static char names[KEYS][16];
    static char value[200];
    static struct slice argv[1 + 2 * KEYS];
    size_t logged = 0;

    world_init(&w, 64 << 10);
    memset(value, 'v', sizeof(value));
    argv[0] = SLICE("MSET");
    for (int i = 0; i < KEYS; i++) {
        argv[1 + 2 * i] =
            (struct slice){names[i], (size_t)snprintf(names[i], sizeof(names[i]), "key:%d", i)};
        argv[2 + 2 * i] = (struct slice){value, sizeof(value)};
    }
    world_run(&w, w.db, argv, 1 + 2 * KEYS);
    CU_ASSERT_EQUAL(w.reply.out.ptr[0], '+');
    CU_ASSERT_EQUAL(keyspace_count(w.db), KEYS);
    CU_ASSERT_TRUE(is_exact());
    /* One change, larger than the ring that it is in. */
    CU_ASSERT_EQUAL(changelog_last_seq(w.node->log), 1);
    CU_ASSERT_EQUAL(changelog_read(w.node->log, 1, add_length, &logged), 2);
    CU_ASSERT_TRUE(logged > KEYS * sizeof(value) && logged > changelog_ring_bytes(w.node->log));
    argv[0] = SLICE("MSETNX");
    world_run(&w, w.db, argv, 1 + 2 * KEYS);
    CU_ASSERT_EQUAL(memcmp(w.reply.out.ptr, ":0", 2), 0);
    world_fini(&w);
}

const struct unit_test test_exec[] = {UNIT(without_memory_nothing_changes),
                                      UNIT(without_memory_a_large_hash_stays),
                                      UNIT(an_empty_database_costs_nothing_and_ten_keys_little),
                                      UNIT(what_is_deleted_is_given_back),
                                      UNIT(a_held_lock_parks_a_command_and_not_its_worker),
                                      UNIT(a_read_carries_the_position_of_what_it_saw),
                                      UNIT(who_is_cancelled_is_not_called),
                                      UNIT(a_full_log_parks_and_wakes),
                                      UNIT(one_command_of_ten_thousand_keys),
                                      UNIT_END};
