/* Commands that wait for data: lines, claims, and what may happen between a claim and its end (node/block.h). Told
 * step by step on one thread; test_block_race.c has the threads. */
#include "node/block.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"
#include "edge/multi.h"
#include "node/database.h"
#include "node/keyspace.h"
#include "node/section.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/caller.h"

#include <stdio.h>

enum { A, B, C, P, Q, CALLERS, FAULTS_MAX = 3000 };

/* A null array, as marked for RESP2. */
#define NOTHING                                                                                    \
    "\x01"                                                                                         \
    "a_\r\n"
#define NOMEM "-OOM "

static struct world w;
static struct caller who[CALLERS]; /* P and Q bring things */

/* BLPOP of one that waits already, by whoever has claimed it: how often it looked, and what happens first. */
static struct cmd_def blpop;
static int looks;
static void (*meanwhile)(void);

static void look(struct cmd *c)
{
    if (c->blocked != NULL && c->unblocked == CMD_NOT_UNBLOCKED) {
        void (*now)(void) = meanwhile;

        looks++;
        meanwhile = NULL;
        if (now != NULL) {
            now();
        }
    }
    cmd_find(SLICE("BLPOP"))->run(c);
}

static void set_up(void)
{
    world_init(&w, 1 << 20);
    blpop = *cmd_find(SLICE("BLPOP"));
    blpop.run = look;
    looks = 0;
    meanwhile = NULL;
    for (uint32_t i = 0; i < CALLERS; i++) {
        caller_init(&who[i], &w, i % WORLD_WORKERS);
    }
    (void)world_say(&w, "MSET a 1 b 1 k 1 l 1"); /* so that there are their partitions */
    (void)world_say(&w, "FLUSHALL");
}

static void settle(void)
{
    callers_settle(&w, who, CALLERS);
}

static void leave(int i)
{
    caller_fini(&who[i]);
    caller_init(&who[i], &w, (uint32_t)i % WORLD_WORKERS);
}

static void tear_down(void)
{
    CU_ASSERT_PTR_NULL(meanwhile); /* it has happened */
    for (int i = 0; i < CALLERS; i++) {
        leave(i);
    }
    settle();
    CU_ASSERT_EQUAL(block_count(), 0);
    for (int i = 0; i < CALLERS; i++) {
        caller_fini(&who[i]);
    }
    world_fini(&w);
}

static bool waits(int i)
{
    return caller_answer(&who[i]) == NULL;
}

static bool said(int i, const char *what)
{
    const char *answer = caller_answer(&who[i]);

    if (answer == NULL || strcmp(answer, what) != 0) {
        printf("%c: %s", "ABCPQ"[i], answer == NULL ? "waits\n" : answer);
        return false;
    }
    return true;
}

static bool got(int i, char key, char element)
{
    char what[] = "*2\r\n$1\r\nk\r\n$1\r\n1\r\n";

    what[8] = key;
    what[15] = element;
    return said(i, what);
}

/* Begins to wait. */
static void pops(int i, const char *keys_and_timeout)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "BLPOP %s", keys_and_timeout);
    CU_ASSERT_PTR_NULL(caller_ask_as(&who[i], &blpop, text));
}

/* What a writer does before it serves who waits: its section, which ends in whom there is news for. */
static struct block_ready *write_only(int i, const char *text)
{
    struct exec *x = who[i].x;
    struct reply reply;
    struct slice argv[CALLER_WORDS];
    struct partition *held;
    char line[64];
    uint64_t seq;

    (void)snprintf(line, sizeof(line), "%s", text);
    uint32_t argc = world_words(line, argv, CALLER_WORDS);
    struct request r = {
        .def = cmd_find(argv[0]), .argv = argv, .argc = argc, .key = key_of(argv[1])};

    reply_init(&reply);
    CU_ASSERT_EQUAL_FATAL(section_reserve(x->section), OK);
    CU_ASSERT_EQUAL_FATAL(section_begin(x->section, w.db, exec_mask(&r), true, &held), OK);
    struct cmd c = {.def = r.def,
                    .argv = argv,
                    .argc = argc,
                    .reply = &reply,
                    .db = w.db,
                    .section = x->section,
                    .key = r.key,
                    .now_ms = section_now_ms(x->section)};

    c.def->run(&c);
    CU_ASSERT_EQUAL(section_commit(x->section, &seq), SECTION_COMMITTED);
    reply_fini(&reply);
    return section_take_ready(x->section);
}

/* What it does then. */
static void serve(int i, struct block_ready *ready)
{
    CU_ASSERT_EQUAL(block_serve(who[i].x, &who[i].session, &ready), BLOCK_SERVED);
}

/* There is news of a key, and when somebody looks, nothing. */
static struct block_ready *empty_news(int i, const char *key)
{
    char text[32];
    struct block_ready *ready;

    (void)snprintf(text, sizeof(text), "RPUSH %s 0", key);
    ready = write_only(i, text);
    CU_ASSERT_PTR_NOT_NULL(ready);
    (void)snprintf(text, sizeof(text), "DEL %s", key);
    block_ready_free(write_only(i, text));
    return ready;
}

UNCHECKED_LOCKS static struct partition *hold(const char *key)
{
    struct partition *p = database_partition(w.db, key_of(slice_of(key)).partition);

    CU_ASSERT_TRUE_FATAL(partition_lock(p));
    return p;
}

UNCHECKED_LOCKS static void let_go(struct partition *p)
{
    partition_unlock(p);
    settle();
}

/* ---- Lines ---- */

static void first_come_is_first_served(void)
{
    set_up();
    pops(A, "k 0");
    pops(B, "k 0");
    pops(C, "k 0");
    CU_ASSERT_EQUAL(block_count(), 3);
    CU_ASSERT_STRING_EQUAL(caller_ask(&who[P], "RPUSH k 1 2"), ":2\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "LLEN k"), ":0\r\n"); /* who pushed finds them gone */
    settle();
    CU_ASSERT(got(A, 'k', '1'));
    CU_ASSERT(got(B, 'k', '2'));
    CU_ASSERT(waits(C));
    pops(A, "k 0"); /* behind C now */
    (void)caller_ask(&who[P], "RPUSH k 3 4 5");
    settle();
    CU_ASSERT(got(C, 'k', '3'));
    CU_ASSERT(got(A, 'k', '4'));
    CU_ASSERT_STRING_EQUAL(world_say(&w, "LRANGE k 0 -1"), "*1\r\n$1\r\n5\r\n");
    tear_down();
}

static void each_key_has_its_line(void)
{
    set_up();
    pops(A, "a b 0");
    pops(B, "b a 0");
    pops(C, "b 0");
    (void)caller_ask(&who[P], "RPUSH b 1");
    settle();
    CU_ASSERT(got(A, 'b', '1')); /* and has left the line at a */
    (void)caller_ask(&who[P], "RPUSH a 2");
    settle();
    CU_ASSERT(got(B, 'a', '2'));
    CU_ASSERT(waits(C));
    (void)caller_ask(&who[P], "RPUSH b 3");
    settle();
    CU_ASSERT(got(C, 'b', '3'));
    tear_down();
}

static void who_is_served_may_serve_others(void)
{
    set_up();
    CU_ASSERT_PTR_NULL(caller_ask(&who[A], "BLMOVE a b LEFT LEFT 0"));
    CU_ASSERT_PTR_NULL(caller_ask(&who[B], "BLMOVE b l LEFT LEFT 0"));
    pops(C, "l 0");
    (void)caller_ask(&who[P], "RPUSH a 1");
    settle();
    CU_ASSERT(said(A, "$1\r\n1\r\n"));
    CU_ASSERT(said(B, "$1\r\n1\r\n"));
    CU_ASSERT(got(C, 'l', '1'));
    CU_ASSERT_STRING_EQUAL(world_say(&w, "DBSIZE"), ":0\r\n");
    tear_down();
}

static void types_do_not_mix(void)
{
    set_up();
    pops(A, "k 0");
    CU_ASSERT_PTR_NULL(caller_ask(&who[B], "BZPOPMIN k 0"));
    pops(C, "k 0");
    (void)caller_ask(&who[P], "SET k 1");
    (void)caller_ask(&who[P], "DEL k");
    settle();
    CU_ASSERT(waits(A));
    CU_ASSERT(waits(B));
    (void)caller_ask(&who[P], "ZADD k 1 m");
    settle();
    CU_ASSERT(said(B, "*3\r\n$1\r\nk\r\n$1\r\nm\r\n,1\r\n"));
    CU_ASSERT(waits(A));
    (void)caller_ask(&who[P], "RPUSH k 1");
    settle();
    CU_ASSERT(got(A, 'k', '1'));
    CU_ASSERT(waits(C));
    tear_down();
}

/* An element of a list is for one; an entry of a stream for all that it is new to. */
static void a_stream_serves_whom_it_concerns(void)
{
    set_up();
    CU_ASSERT_PTR_NULL(caller_ask(&who[A], "XREAD BLOCK 0 STREAMS k 99-0"));
    CU_ASSERT_PTR_NULL(caller_ask(&who[B], "XREAD BLOCK 0 STREAMS k $"));
    CU_ASSERT_PTR_NULL(caller_ask(&who[C], "XREAD BLOCK 0 STREAMS k 1-0"));
    (void)caller_ask(&who[P], "XADD k 2-0 f v");
    settle();
    CU_ASSERT(waits(A));
    CU_ASSERT(!waits(B));
    CU_ASSERT(!waits(C));
    (void)caller_ask(&who[P], "XADD k 99-1 f v");
    settle();
    CU_ASSERT(!waits(A));
    tear_down();
}

/* ---- Its end, before anybody claims it ---- */

static void ends_at_its_time(void)
{
    set_up();
    pops(A, "k 1");
    pops(B, "k 0");
    callers_clock(&w, 999);
    settle();
    CU_ASSERT(waits(A));
    callers_clock(&w, 1);
    settle();
    CU_ASSERT(said(A, NOTHING));
    callers_clock(&w, INT32_MAX);
    settle();
    CU_ASSERT(waits(B));
    (void)caller_ask(&who[P], "RPUSH k 1"); /* A is in no line any more */
    settle();
    CU_ASSERT(got(B, 'k', '1'));
    tear_down();
}

static void ends_when_told(void)
{
    set_up();
    CU_ASSERT_FALSE(exec_unblock(&who[A].session, CMD_UNBLOCKED_TIMEOUT)); /* it does nothing */
    pops(A, "k 0");
    pops(B, "k 0");
    pops(C, "k 0");
    CU_ASSERT(exec_unblock(&who[A].session, CMD_UNBLOCKED_TIMEOUT));
    CU_ASSERT(exec_unblock(&who[B].session, CMD_UNBLOCKED_ERROR));
    settle();
    CU_ASSERT(said(A, NOTHING));
    CU_ASSERT(said(B, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"));
    leave(C);
    CU_ASSERT_EQUAL(block_count(), 0);
    (void)caller_ask(&who[P], "RPUSH k 1");
    settle();
    CU_ASSERT_STRING_EQUAL(world_say(&w, "LLEN k"), ":1\r\n");
    CU_ASSERT_FALSE(exec_unblock(&who[A].session, CMD_UNBLOCKED_TIMEOUT));
    tear_down();
}

/* ---- Between a claim and its end ---- */

static void time_passes_for_a(void)
{
    callers_clock(&w, 1000);
    (void)caller_worker_turn(who[A].x);
    CU_ASSERT(caller_turn(&who[A]));
    CU_ASSERT(waits(A)); /* for who has it in hand */
}

static void a_is_unblocked(void)
{
    CU_ASSERT(exec_unblock(&who[A].session, CMD_UNBLOCKED_ERROR));
    CU_ASSERT(caller_turn(&who[A]));
    CU_ASSERT(waits(A));
}

static void a_leaves(void)
{
    leave(A);
}

static void what_was_claimed_in_time_is_answered(void)
{
    static void (*const ends[])(void) = {time_passes_for_a, a_is_unblocked};

    for (int i = 0; i < 2; i++) {
        set_up();
        pops(A, "k 1");
        meanwhile = ends[i];
        (void)caller_ask(&who[P], "RPUSH k 1");
        settle();
        CU_ASSERT(got(A, 'k', '1'));
        tear_down();
    }
}

static void an_end_meanwhile_counts_when_nothing_is_left(void)
{
    static void (*const ends[])(void) = {time_passes_for_a, a_is_unblocked};
    static const char *const answers[] = {NOTHING,
                                          "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"};

    for (int i = 0; i < 2; i++) {
        set_up();
        pops(A, "k 1");
        pops(B, "k 0");
        meanwhile = ends[i];
        serve(P, empty_news(P, "k"));
        settle();
        CU_ASSERT_EQUAL(looks, 1);
        CU_ASSERT(said(A, answers[i]));
        (void)caller_ask(&who[P], "RPUSH k 1"); /* A is in no line any more */
        settle();
        CU_ASSERT(got(B, 'k', '1'));
        tear_down();
    }
}

static void an_answer_on_its_way_is_in_time(void)
{
    set_up();
    pops(A, "k 1");
    (void)caller_ask(&who[P], "RPUSH k 1"); /* the answer is posted */
    callers_clock(&w, 1000);
    settle();
    CU_ASSERT(got(A, 'k', '1'));
    tear_down();
}

/* B4: at whichever point its client goes. */
static void what_is_taken_for_nobody_is_counted(void)
{
    uint64_t lost = block_lost_count();

    log_level_set(LOG_ERROR);
    set_up();
    pops(A, "k 0");
    meanwhile = a_leaves;
    (void)caller_ask(&who[P], "RPUSH k 1"); /* in hand */
    settle();
    CU_ASSERT_EQUAL(block_lost_count(), lost + 1);
    pops(A, "k 0");
    (void)caller_ask(&who[P], "RPUSH k 1");
    leave(A); /* its answer is posted */
    settle();
    CU_ASSERT_EQUAL(block_lost_count(), lost + 2);
    pops(A, "k 0");
    (void)caller_ask(&who[P], "RPUSH k 1");
    (void)caller_worker_turn(who[A].x);
    CU_ASSERT(who[A].is_called);
    leave(A); /* it was told */
    settle();
    CU_ASSERT_EQUAL(block_lost_count(), lost + 3);
    CU_ASSERT_STRING_EQUAL(world_say(&w, "DBSIZE"), ":0\r\n");
    pops(A, "k 0");
    meanwhile = a_leaves;
    serve(P, empty_news(P, "k")); /* in hand, and nothing is taken */
    settle();
    CU_ASSERT_EQUAL(block_lost_count(), lost + 3);
    tear_down();
    log_level_set(LOG_INFO);
}

/* ---- Claims that are given back ---- */

/* B3. Who stands behind the first is not even asked. */
static void who_finds_nothing_keeps_its_place(void)
{
    set_up();
    pops(A, "k 0");
    pops(B, "k 0");
    pops(C, "k 0");
    serve(P, empty_news(P, "k"));
    settle();
    CU_ASSERT_EQUAL(looks, 1);
    CU_ASSERT_EQUAL(block_count(), 3);
    (void)caller_ask(&who[P], "RPUSH k 1 2 3");
    settle();
    CU_ASSERT(got(A, 'k', '1'));
    CU_ASSERT(got(B, 'k', '2'));
    CU_ASSERT(got(C, 'k', '3'));
    tear_down();
}

/* Its other key is locked: who pushed waits for the lock, and the claim is free meanwhile. */
static void who_serves_waits_for_locks(void)
{
    set_up();
    pops(A, "a b 0");
    pops(B, "b 0");
    struct partition *p = hold("a");

    CU_ASSERT_PTR_NULL(caller_ask(&who[P], "RPUSH b 1"));
    settle();
    CU_ASSERT(waits(A));
    CU_ASSERT(waits(B));
    CU_ASSERT(waits(P));
    let_go(p);
    CU_ASSERT(got(A, 'b', '1'));
    CU_ASSERT(waits(B));
    CU_ASSERT(said(P, ":1\r\n"));
    tear_down();
}

static void a_claim_put_back_is_free_to_end(void)
{
    set_up();
    pops(A, "a b 1");
    pops(B, "b 0");
    struct partition *p = hold("a");

    CU_ASSERT_PTR_NULL(caller_ask(&who[P], "RPUSH b 1"));
    callers_clock(&w, 1000);
    settle();
    CU_ASSERT(said(A, NOTHING));
    let_go(p);
    CU_ASSERT(got(B, 'b', '1'));
    tear_down();
}

/* Who would have served it has gone: it looks for itself. */
static void who_is_abandoned_is_poked(void)
{
    set_up();
    pops(A, "a b 0");
    struct partition *p = hold("a");

    CU_ASSERT_PTR_NULL(caller_ask(&who[P], "RPUSH b 1"));
    leave(P);
    let_go(p);
    CU_ASSERT(got(A, 'b', '1'));
    /* Nothing is there any more when it looks: it waits on, in its place. */
    pops(A, "k 0");
    pops(B, "k 0");
    block_poke(empty_news(P, "k"));
    settle();
    CU_ASSERT(waits(A));
    CU_ASSERT(waits(B));
    (void)caller_ask(&who[P], "RPUSH k 1");
    settle();
    CU_ASSERT(got(A, 'k', '1'));
    tear_down();
}

/* One whose poke is on its way is freed when that has arrived. */
static void a_poke_may_come_too_late(void)
{
    set_up();
    pops(A, "k 0");
    block_poke(empty_news(P, "k"));
    leave(A);
    CU_ASSERT_EQUAL(block_count(), 0);
    settle();
    pops(A, "k 1");
    callers_clock(&w, 1000);
    block_poke(empty_news(P, "k"));
    settle(); /* both */
    CU_ASSERT(said(A, NOTHING));
    tear_down();
}

/* ---- News for one that is in hand ---- */

static struct block_ready *news;

static void there_is_news(void)
{
    serve(Q, news);
}

/* It may have come after the claimant's look at that key. */
static void missed_news_is_looked_for(void)
{
    set_up();
    pops(A, "a b 0");
    news = empty_news(Q, "b");
    meanwhile = there_is_news;
    serve(P, empty_news(P, "a"));
    settle();
    CU_ASSERT_EQUAL(looks, 2);
    CU_ASSERT(waits(A));
    (void)caller_ask(&who[P], "RPUSH b 1"); /* nobody holds it */
    settle();
    CU_ASSERT(got(A, 'b', '1'));
    tear_down();
}

/* C was passed over at b, since A would take what is there; A takes from a instead. */
static void who_is_passed_over_gets_it(void)
{
    set_up();
    pops(A, "a b 0");
    pops(C, "b 0");
    news = write_only(Q, "RPUSH b 2");
    meanwhile = there_is_news;
    (void)caller_ask(&who[P], "RPUSH a 1");
    settle();
    CU_ASSERT(got(A, 'a', '1'));
    CU_ASSERT(got(C, 'b', '2'));
    tear_down();
}

/* A looks by itself and stands in line for a's lock, so that it is in hand for many turns. */
static struct partition *a_looks(void)
{
    pops(A, "a b 0");
    pops(C, "b 0");
    block_poke(empty_news(P, "a"));
    struct partition *p = hold("a");

    settle();
    CU_ASSERT_EQUAL(looks, 0);
    return p;
}

static void who_looks_itself_passes_on(void)
{
    set_up();
    struct partition *p = a_looks();

    CU_ASSERT_STRING_EQUAL(caller_ask(&who[Q], "RPUSH b 1 2"), ":2\r\n");
    settle();
    CU_ASSERT(waits(A));
    CU_ASSERT(waits(C));
    let_go(p);
    CU_ASSERT(got(A, 'b', '1'));
    CU_ASSERT(got(C, 'b', '2'));
    tear_down();
}

static void who_looks_itself_looks_again(void)
{
    set_up();
    struct partition *p = a_looks();

    serve(Q, empty_news(Q, "b"));
    let_go(p);
    CU_ASSERT_EQUAL(looks, 2);
    CU_ASSERT(waits(A));
    CU_ASSERT(waits(C));
    (void)caller_ask(&who[Q], "RPUSH b 1");
    settle();
    CU_ASSERT(got(A, 'b', '1'));
    tear_down();
}

static void who_leaves_while_it_looks_passes_on(void)
{
    set_up();
    struct partition *p = a_looks();

    CU_ASSERT_STRING_EQUAL(caller_ask(&who[Q], "RPUSH b 1"), ":1\r\n");
    leave(A);
    let_go(p);
    CU_ASSERT(got(C, 'b', '1'));
    tear_down();
}

/* ---- Transactions ---- */

static struct cmd_def probe; /* a command of a transaction that looks about */

static void look_about(struct cmd *c)
{
    settle();
    CU_ASSERT(waits(A));
    CU_ASSERT_EQUAL(looks, 0);
    cmd_find(SLICE("LLEN"))->run(c);
}

/* EXEC of commands, separated by semicolons; LLEN is the probe. */
static const char *transact(const char *text)
{
    struct multi *m = multi_create();
    char all[256];
    struct slice argv[CALLER_WORDS];

    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    probe = *cmd_find(SLICE("LLEN"));
    probe.run = look_about;
    (void)snprintf(all, sizeof(all), "%s", text);
    for (char *save, *one = strtok_r(all, ";", &save); one != NULL;
         one = strtok_r(NULL, ";", &save)) {
        uint32_t argc = world_words(one, argv, CALLER_WORDS);
        struct request q = {.def = slice_is(argv[0], SLICE("LLEN")) ? &probe : cmd_find(argv[0]),
                            .argv = argv,
                            .argc = argc};

        CU_ASSERT_EQUAL_FATAL(multi_add(m, &q, SIZE_MAX), OK);
    }
    const char *answer = caller_exec(&who[P], m);

    multi_destroy(m);
    return answer;
}

/* B5 */
static void half_a_transaction_wakes_nobody(void)
{
    set_up();
    pops(A, "k 0");
    CU_ASSERT_STRING_EQUAL(transact("RPUSH k 1;LLEN k;DEL k"), "*3\r\n:1\r\n:1\r\n:1\r\n");
    settle();
    CU_ASSERT(waits(A));
    CU_ASSERT_STRING_EQUAL(transact("RPUSH k 1 2;LLEN k;LPOP k;LLEN k"),
                           "*4\r\n:2\r\n:2\r\n$1\r\n1\r\n:1\r\n");
    settle();
    CU_ASSERT(got(A, 'k', '2'));
    tear_down();
}

static void inside_of_one_nobody_waits(void)
{
    set_up();
    CU_ASSERT_STRING_EQUAL(transact("BLPOP k 0;RPUSH k 1;BLPOP k 0"),
                           "*3\r\n" NOTHING ":1\r\n*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
    CU_ASSERT_EQUAL(block_count(), 0);
    tear_down();
}

/* ---- No memory ---- */

static bool is_nomem(const char *answer)
{
    return answer != NULL && strncmp(answer, NOMEM, strlen(NOMEM)) == 0;
}

/* It waits in the lines of all its keys, or in none. */
static void begins_to_wait_or_fails(void)
{
    bool failed = true;
    int failures = 0;

    for (int nth = 1; failed && nth < FAULTS_MAX; nth++) {
        set_up();
        fault_fail_nth(nth);
        failed = is_nomem(caller_ask(&who[A], "BLPOP a b k 1"));
        fault_off();
        failures += failed;
        CU_ASSERT_EQUAL(waits(A), !failed);
        CU_ASSERT_EQUAL(block_count(), !failed);
        (void)caller_ask(&who[P], "RPUSH k 1");
        settle();
        CU_ASSERT(failed ? is_nomem(caller_answer(&who[A])) : got(A, 'k', '1'));
        CU_ASSERT_STRING_EQUAL(world_say(&w, "LLEN k"), failed ? ":1\r\n" : ":0\r\n");
        tear_down();
    }
    CU_ASSERT(!failed);
    CU_ASSERT(failures > 3);
}

/* The push fails, and nothing was done; or the pop, and its element stays; or neither. */
static void is_served_or_refused(void)
{
    int pushes = 0;
    int pops_failed = 0;
    bool any = true;

    for (int nth = 1; any && nth < FAULTS_MAX; nth++) {
        set_up();
        pops(A, "a k 0");
        fault_fail_nth(nth);
        bool push = is_nomem(caller_ask(&who[P], "RPUSH k 1"));

        fault_off();
        settle();
        bool pop = is_nomem(caller_answer(&who[A]));

        any = push || pop;
        pushes += push;
        pops_failed += pop;
        CU_ASSERT_FALSE(push && pop);
        CU_ASSERT_EQUAL(waits(A), push);
        CU_ASSERT(push || pop || got(A, 'k', '1'));
        CU_ASSERT_STRING_EQUAL(world_say(&w, "LLEN k"), pop ? ":1\r\n" : ":0\r\n");
        CU_ASSERT_EQUAL(database_used_exact(w.db), world_bytes(w.db));
        tear_down();
    }
    CU_ASSERT(!any);
    CU_ASSERT(pushes > 3);
    CU_ASSERT(pops_failed > 1);
}

const struct unit_test test_block[] = {
    UNIT(first_come_is_first_served),
    UNIT(each_key_has_its_line),
    UNIT(who_is_served_may_serve_others),
    UNIT(types_do_not_mix),
    UNIT(a_stream_serves_whom_it_concerns),
    UNIT(ends_at_its_time),
    UNIT(ends_when_told),
    UNIT(what_was_claimed_in_time_is_answered),
    UNIT(an_end_meanwhile_counts_when_nothing_is_left),
    UNIT(an_answer_on_its_way_is_in_time),
    UNIT(what_is_taken_for_nobody_is_counted),
    UNIT(who_finds_nothing_keeps_its_place),
    UNIT(who_serves_waits_for_locks),
    UNIT(a_claim_put_back_is_free_to_end),
    UNIT(who_is_abandoned_is_poked),
    UNIT(a_poke_may_come_too_late),
    UNIT(missed_news_is_looked_for),
    UNIT(who_is_passed_over_gets_it),
    UNIT(who_looks_itself_passes_on),
    UNIT(who_looks_itself_looks_again),
    UNIT(who_leaves_while_it_looks_passes_on),
    UNIT(half_a_transaction_wakes_nobody),
    UNIT(inside_of_one_nobody_waits),
    UNIT(begins_to_wait_or_fails),
    UNIT(is_served_or_refused),
    UNIT_END,
};
