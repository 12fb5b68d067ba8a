/* Suspended sections: what others see of them, who waits, and what becomes of them. The handlers here take
 * as many slices as `slices` says. */
#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/rcu.h"
#include "node/database.h"
#include "node/evict.h"
#include "node/exec.h"
#include "node/keyspace.h"
#include "node/options.h"
#include "node/partition.h"
#include "node/section.h"
#include "node/type_hash.h"
#include "node/type_string.h"
#include "node/wait.h"
#include "replication/changelog.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static struct world w;
static int slices;    /* that a handler takes */
static int runs;      /* of a handler from the start */
static int progress;  /* of the handlers that are under way */
static bool drops;    /* a reader lets go of its locks after the first slice */
static bool fails_at; /* a writer's section fails in its second slice */

struct state {
    int n;
    bool found;
};

static void state_free(void *p)
{
    progress--;
    free(p);
}

/* The first slice, or NULL. */
static struct state *begin(struct cmd *c)
{
    struct state *st = calloc(1, sizeof(*st));

    CU_ASSERT_PTR_NOT_NULL_FATAL(st);
    runs++;
    progress++;
    c->progress = st;
    c->progress_free = state_free;
    return st;
}

/* True at the last slice. */
static bool is_last(struct cmd *c)
{
    struct state *st = c->progress;

    if (++st->n < slices) {
        c->again = true;
        return false;
    }
    c->progress = NULL;
    state_free(st);
    return true;
}

/* SLOW key value: written in the first slice, answered in the last whether the key was there. */
static void slow_write(struct cmd *c)
{
    struct state *st = c->progress;

    if (st == NULL) {
        st = begin(c);
        st->found = keyspace_peek(c, cmd_key(c, 1)) != NULL;
        string_put(c, cmd_key(c, 1), c->argv[2], 0);
    } else if (fails_at) {
        section_fail(c->section, SECTION_NOMEM);
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(c->section);
    bool found = st->found;

    if (is_last(c)) {
        reply_int(c->reply, found);
    }
}

/* LOOK key: the value as it is in the last slice. */
static void slow_read(struct cmd *c)
{
    struct string_value v;

    if (c->progress == NULL) {
        if (c->section == NULL) {
            reply_int(c->reply, 666); /* taken back */
            cmd_needs_locks(c);
            return;
        }
        (void)begin(c);
        reply_array(c->reply, 1);
        c->drops_locks = drops;
    }
    if (is_last(c)) {
        CU_ASSERT_EQUAL(c->section == NULL, drops);
        if (string_read(c, cmd_key(c, 1), &v) == FOUND) {
            string_reply(c->reply, &v);
        } else {
            reply_null(c->reply);
        }
    }
}

/* FIELD key field value: put in the first slice. */
static void slow_field(struct cmd *c)
{
    if (c->progress == NULL) {
        (void)begin(c);
        (void)hash_put(c, cmd_key(c, 1), c->argv[2], c->argv[3], 0);
    }
    if (is_last(c)) {
        reply_ok(c->reply);
    }
}

static const struct cmd_def field_def = {.name = "FIELD",
                                         .flags = CMD_WRITE | CMD_GROWS,
                                         .keys = {CMD_KEYS_RANGE, 1, 1, 1},
                                         .run = slow_field};
static const struct cmd_def slow_def = {.name = "SLOW",
                                        .flags = CMD_WRITE | CMD_GROWS,
                                        .keys = {CMD_KEYS_RANGE, 1, 1, 1},
                                        .run = slow_write};
static const struct cmd_def look_def = {
    .name = "LOOK", .flags = CMD_READ, .keys = {CMD_KEYS_RANGE, 1, 1, 1}, .run = slow_read};

struct client {
    struct session s;
    struct exec *x;
    struct reply reply;
    struct request request;
    struct batch batch;
    struct slice argv[8];
    char line[64];
    int ready;
};

static void on_ready(struct session *s)
{
    ((struct client *)(void *)s)->ready++;
}

static void client_init(struct client *c, unsigned worker)
{
    *c = (struct client){.x = &w.node->execs[worker]};
    c->s = (struct session){.db = w.db, .worker = &w.workers[worker], .on_ready = on_ready};
    reply_init(&c->reply);
}

static void client_fini(struct client *c)
{
    exec_cancel(&c->s);
    reply_fini(&c->reply);
}

static enum backend_progress ask(struct client *c, const char *line)
{
    (void)snprintf(c->line, sizeof(c->line), "%s", line);
    c->reply.out.len = 0;
    c->ready = 0;
    c->request = (struct request){.argv = c->argv};
    c->request.argc = world_words(c->line, c->argv, 8);
    c->request.def = slice_is(c->argv[0], SLICE("SLOW"))    ? &slow_def
                     : slice_is(c->argv[0], SLICE("LOOK"))  ? &look_def
                     : slice_is(c->argv[0], SLICE("FIELD")) ? &field_def
                                                            : cmd_find(c->argv[0]);
    c->batch = (struct batch){.requests = &c->request, .count = 1, .reply = &c->reply};
    return exec_run(c->x, &c->s, &c->batch);
}

/* Goes on if it was called. */
static enum backend_progress go(struct client *c)
{
    if (c->ready == 0) {
        return BACKEND_LATER;
    }
    c->ready--;
    return exec_run(c->x, &c->s, &c->batch);
}

static bool says(struct client *c, const char *reply)
{
    return slice_is(buf_slice(&c->reply.out), slice_of(reply));
}

/* Of every worker, but for what its loop does. */
static void turn(void)
{
    for (unsigned i = 0; i < WORLD_WORKERS; i++) {
        struct list *n;

        (void)inbox_drain(&w.workers[i].inbox);
        n = list_pop(&w.workers[i].tasks);
        if (n != NULL) {
            struct worker_task *t = LIST_ITEM(n, struct worker_task, link);

            t->run(t);
        }
    }
    rcu_turn();
}

/* The turns until it is done; -1: it never is. */
static int finish(struct client *c)
{
    for (int i = 1; i < 100; i++) {
        turn();
        if (c->ready > 0 && go(c) == BACKEND_DONE) {
            return i;
        }
    }
    return -1;
}

static struct client a, b, c, d;

static void set_up(size_t ring_bytes)
{
    world_init(&w, ring_bytes);
    client_init(&a, 0);
    client_init(&b, 0);
    client_init(&c, 1);
    client_init(&d, 0);
    slices = 3;
    runs = 0;
    drops = fails_at = false;
}

static void tear_down(void)
{
    client_fini(&a);
    client_fini(&b);
    client_fini(&c);
    client_fini(&d);
    CU_ASSERT_EQUAL(progress, 0);
    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition *p = database_partition(w.db, i);

        CU_ASSERT_TRUE(p == NULL || (p->lock == 0 && !partition_is_busy(p)));
    }
    world_fini(&w);
}

static void a_suspended_write_is_unseen_and_held_up_by_nobody(void)
{
    set_up(1 << 20);
    (void)world_say(&w, "MSET {x}1 old {x}2 two y 0");
    CU_ASSERT_EQUAL(ask(&a, "SLOW {x}1 new"), BACKEND_LATER);
    CU_ASSERT_EQUAL(a.reply.out.len, 0);
    /* Reads of the busy partition, and writes elsewhere, on the same worker. */
    CU_ASSERT_EQUAL(ask(&b, "GET {x}2"), BACKEND_DONE);
    CU_ASSERT_TRUE(says(&b, "$3\r\ntwo\r\n"));
    CU_ASSERT_EQUAL(ask(&b, "MGET {x}1 y"), BACKEND_DONE);
    CU_ASSERT_TRUE(says(&b, "*2\r\n$3\r\nold\r\n$1\r\n0\r\n"));
    uint64_t seq = changelog_last_seq(w.node->log);

    CU_ASSERT_EQUAL(ask(&b, "SET y 1"), BACKEND_DONE);
    CU_ASSERT_EQUAL(changelog_last_seq(w.node->log), seq + 1); /* X5: a change of its own */
    /* Writers of the busy partition stand in line, on this worker and another, holding nothing. */
    CU_ASSERT_EQUAL(ask(&b, "MSET y 2 {x}1 late"), BACKEND_LATER);
    CU_ASSERT_EQUAL(ask(&c, "FLUSHALL"), BACKEND_LATER);
    CU_ASSERT_EQUAL(ask(&d, "SET y 3"), BACKEND_DONE);
    CU_ASSERT_EQUAL(finish(&a), 2);
    CU_ASSERT_TRUE(says(&a, ":1\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(world_say(&w, "GET {x}1"), "\r\nnew\r\n"));
    CU_ASSERT_TRUE(finish(&b) > 0); /* first come, first served */
    CU_ASSERT_PTR_NOT_NULL(strstr(world_say(&w, "MGET {x}1 y"), "late"));
    CU_ASSERT_TRUE(finish(&c) > 0);
    CU_ASSERT_EQUAL(keyspace_count(w.db), 0);
    CU_ASSERT_EQUAL(runs, 1);
    tear_down();
}

static void who_goes_away_lets_go(void)
{
    set_up(1 << 20);
    (void)world_say(&w, "SET x old");
    int64_t used = database_used_exact(w.db);

    for (int called = 0; called < 2; called++) {
        CU_ASSERT_EQUAL(ask(&a, "SLOW x new"), BACKEND_LATER);
        CU_ASSERT_EQUAL(ask(&b, "APPEND x +"), BACKEND_LATER);
        if (called) {
            turn();
        }
        uint64_t seq = changelog_last_seq(w.node->log);

        exec_cancel(&a.s); /* X3 */
        CU_ASSERT_EQUAL(changelog_last_seq(w.node->log), seq);
        CU_ASSERT_EQUAL(progress, 0);
        CU_ASSERT_TRUE(finish(&b) > 0);
        a.ready = 0;
        turn();
        CU_ASSERT_EQUAL(a.ready, 0);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(world_say(&w, "GET x"), "old++"));
    CU_ASSERT_EQUAL(ask(&a, "LOOK x"), BACKEND_LATER);
    exec_cancel(&a.s);
    (void)world_say(&w, "SET x old");
    CU_ASSERT_EQUAL(database_used_exact(w.db), used);
    tear_down();
}

/* S5: what it relied on expired between its slices, so it runs from the start; the clock that it judges by
 * is that of its beginning. */
static void a_key_expires_under_it(void)
{
    set_up(1 << 20);
    (void)world_say(&w, "SET x old PX 1000");
    CU_ASSERT_EQUAL(ask(&a, "SLOW x new"), BACKEND_LATER);
    world_clock(2000);
    CU_ASSERT_EQUAL(finish(&a), 2 + 2);
    CU_ASSERT_TRUE(says(&a, ":0\r\n"));
    CU_ASSERT_EQUAL(runs, 2);
    tear_down();
}

static void a_read_keeps_its_locks(void)
{
    set_up(1 << 20);
    (void)world_say(&w, "SET x old");
    CU_ASSERT_EQUAL(ask(&a, "LOOK x"), BACKEND_LATER);
    CU_ASSERT_EQUAL(ask(&b, "GET x"), BACKEND_DONE);
    CU_ASSERT_EQUAL(ask(&b, "SET x new"), BACKEND_LATER);
    CU_ASSERT_EQUAL(ask(&c, "LOOK x"), BACKEND_LATER); /* in line: no two hold one lock */
    CU_ASSERT_EQUAL(runs, 1);
    CU_ASSERT_EQUAL(finish(&a), 2);
    CU_ASSERT_TRUE(says(&a, "*1\r\n$3\r\nold\r\n"));
    CU_ASSERT_TRUE(finish(&b) > 0);
    CU_ASSERT_TRUE(finish(&c) > 0);
    CU_ASSERT_TRUE(says(&c, "*1\r\n$3\r\nnew\r\n"));
    tear_down();
}

static void a_read_drops_its_locks(void)
{
    set_up(1 << 20);
    drops = true;
    (void)world_say(&w, "SET x old");
    CU_ASSERT_EQUAL(ask(&a, "LOOK x"), BACKEND_LATER);
    CU_ASSERT_EQUAL(ask(&b, "SET x new"), BACKEND_DONE);
    CU_ASSERT_EQUAL(finish(&a), 2);
    CU_ASSERT_TRUE(says(&a, "*1\r\n$3\r\nnew\r\n"));
    tear_down();
}

/* What is changed in place cannot be read meanwhile; no thread waits for that. */
static void readers_of_a_hash_stand_in_line(void)
{
    static const char *const reads[] = {"HGET {h}1 f0", "HLEN {h}1", "EXISTS {h}1", "TYPE {h}1"};
    static const char *const replies[] = {"$2\r\nv0\r\n", ":501\r\n", ":1\r\n", "+hash\r\n"};

    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        set_up(1 << 20);
        (void)world_say(&w, "HSET {h}2 f 1");
        for (int k = 0; k < 500; k++) {
            (void)world_say(&w, "HSET {h}1 f%d v%d", k, k);
        }
        (void)world_say(&w, "HPEXPIRE {h}1 1000000 FIELDS 1 f1");
        CU_ASSERT_EQUAL(ask(&a, "FIELD {h}1 new v"), BACKEND_LATER);
        CU_ASSERT_EQUAL(ask(&b, "HGET {h}2 f"), BACKEND_DONE);
        CU_ASSERT_EQUAL(ask(&b, reads[i]), BACKEND_LATER);
        CU_ASSERT_EQUAL(ask(&c, reads[i]), BACKEND_LATER);
        CU_ASSERT_EQUAL(ask(&d, "HSET {h}1 new w"), BACKEND_LATER);
        CU_ASSERT_EQUAL(finish(&a), 2);
        CU_ASSERT_TRUE(finish(&b) > 0 && says(&b, replies[i]));
        CU_ASSERT_TRUE(finish(&c) > 0 && says(&c, replies[i]));
        CU_ASSERT_TRUE(finish(&d) > 0 && says(&d, ":0\r\n"));
        tear_down();
    }
}

static void one_slice_a_turn(void)
{
    set_up(1 << 20);
    CU_ASSERT_EQUAL(ask(&a, "SLOW x 1"), BACKEND_LATER);
    CU_ASSERT_EQUAL(ask(&b, "SLOW y 1"), BACKEND_LATER);
    CU_ASSERT_EQUAL(ask(&d, "LOOK z"), BACKEND_LATER);
    for (int i = 1; i <= 3; i++) {
        turn();
        CU_ASSERT_EQUAL(a.ready + b.ready + d.ready, i);
    }
    CU_ASSERT_TRUE(a.ready == 1 && b.ready == 1); /* by turns */
    CU_ASSERT_EQUAL(go(&b), BACKEND_LATER);
    CU_ASSERT_EQUAL(go(&a), BACKEND_LATER);
    exec_cancel(&b.s); /* out of the line */
    CU_ASSERT_EQUAL(go(&d), BACKEND_LATER);
    CU_ASSERT_TRUE(finish(&a) > 0);
    CU_ASSERT_TRUE(finish(&d) > 0);
    tear_down();
}

/* More of them than spare sections, than the ring has room for, and others beside them. */
static void many_at_once_in_a_small_log(void)
{
    enum { MANY = 12 };
    static struct client many[MANY];
    char line[64];
    int done = 0;

    set_up(64 << 10);
    for (int i = 0; i < MANY; i++) {
        client_init(&many[i], (unsigned)i % 2);
        (void)snprintf(line, sizeof(line), "SLOW key:%d v", i);
        CU_ASSERT_EQUAL(ask(&many[i], line), BACKEND_LATER);
    }
    for (int64_t until = clock_mono_ns() + 10000000000; done < MANY && clock_mono_ns() < until;) {
        turn();
        sched_yield(); /* to the log thread */
        for (int k = 0; k < MANY; k++) {
            done += many[k].ready > 0 && go(&many[k]) == BACKEND_DONE;
        }
    }
    CU_ASSERT_EQUAL(done, MANY);
    CU_ASSERT_EQUAL(keyspace_count(w.db), MANY);
    CU_ASSERT_TRUE(w.x->spare_count <= EXEC_SPARES);
    for (int i = 0; i < MANY; i++) {
        client_fini(&many[i]);
    }
    tear_down();
}

static void without_memory_it_is_refused(void)
{
    set_up(1 << 20);
    (void)world_say(&w, "SET x old");
    bool all = false;

    for (int n = 1; n < 100 && !all; n++) {
        fault_fail_nth(n);
        enum backend_progress p = ask(&a, "SLOW x new");

        while (p == BACKEND_LATER) {
            turn();
            p = go(&a);
        }
        all = fault_off() < n;
        a.reply.failed = false;
        CU_ASSERT_EQUAL(progress, 0);
        CU_ASSERT_TRUE(all || !says(&a, ":1\r\n"));
        CU_ASSERT_EQUAL(strstr(world_say(&w, "GET x"), "new") != NULL, all);
        exec_cancel(&a.s); /* so that waiting needs memory again */
    }
    CU_ASSERT_TRUE(all);
    fails_at = true;
    CU_ASSERT_EQUAL(ask(&a, "SLOW x newer"), BACKEND_LATER);
    CU_ASSERT_EQUAL(finish(&a), 1); /* and is not called again */
    CU_ASSERT_EQUAL(a.reply.out.ptr[0], '-');
    CU_ASSERT_PTR_NOT_NULL(strstr(world_say(&w, "GET x"), "new\r\n"));
    tear_down();
}

static void set_policy(const char *policy)
{
    struct buf why = {0};

    CU_ASSERT_TRUE_FATAL(conf_set(&opt_maxmemory_policy, slice_of(policy), &why));
    buf_fini(&why);
}

static void eviction_passes_a_busy_partition_over(void)
{
    set_up(1 << 20);
    set_policy("allkeys-random");
    (void)world_say(&w, "MSET {x}1 1 {x}2 2 {x}3 3");
    CU_ASSERT_EQUAL(ask(&a, "SLOW {x}1 new"), BACKEND_LATER);
    w.db->maxmemory = 1;
    CU_ASSERT_TRUE(evict_make_room(w.x, w.db)); /* later, not never */
    CU_ASSERT_EQUAL(keyspace_count(w.db), 3);
    CU_ASSERT_EQUAL(ask(&b, "SET y 1"), BACKEND_DONE);
    CU_ASSERT_TRUE(finish(&a) > 0);
    (void)evict_make_room(w.x, w.db);
    CU_ASSERT_EQUAL(keyspace_count(w.db), 0);
    set_policy("noeviction");
    tear_down();
}

const struct unit_test test_slices[] = {UNIT(a_suspended_write_is_unseen_and_held_up_by_nobody),
                                        UNIT(who_goes_away_lets_go),
                                        UNIT(a_key_expires_under_it),
                                        UNIT(a_read_keeps_its_locks),
                                        UNIT(a_read_drops_its_locks),
                                        UNIT(readers_of_a_hash_stand_in_line),
                                        UNIT(one_slice_a_turn),
                                        UNIT(many_at_once_in_a_small_log),
                                        UNIT(without_memory_it_is_refused),
                                        UNIT(eviction_passes_a_busy_partition_over),
                                        UNIT_END};
