/* Commands that wait for data, over several workers at once (node/block.h): whatever ends a claim meets whatever
 * else does. Every element is answered once, stays, or is counted as lost with its client; and whenever all
 * have come to rest, nobody waits at a key that has something. Bounded by rounds, not by time. */
#include "node/block.h"

#include "base/log.h"
#include "base/rand.h"
#include "base/rcu.h"
#include "edge/multi.h"
#include "node/database.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/caller.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SITES = WORLD_WORKERS, /* threads, each a worker */
    WAITERS = 4,           /* callers of a site that wait; and one that brings */
    KEYS = 4,
    ROUNDS = 100,
    STEPS = 300, /* of a site in a round */
    VALUES = SITES * ROUNDS * STEPS * 2
};

/* What is known of a value that was brought. */
enum { MAYBE = 1, BROUGHT = 2, SEEN = 4 };

struct site {
    struct race *race;
    uint32_t index;
    struct rand rand;
    struct caller callers[WAITERS + 1];
    uint32_t waits_at[WAITERS]; /* a bit a key */
    uint32_t brings[2];         /* values, by what the last caller does now; 0: none */
    struct multi *multi;        /* owned: what it executes */
    uint32_t next;              /* value */
    pthread_t thread;
};

struct race {
    struct world w;
    struct site sites[SITES];
    pthread_barrier_t barrier;
    _Atomic bool moves; /* somebody did something since the barrier before the last */
    bool is_empty[KEYS];
    _Atomic int twice, strange, forgotten, answered, ended;
    _Atomic uint8_t values[VALUES];
};

static const char *const keys[KEYS] = {"a", "b", "k", "l"};

static void meet(struct race *r)
{
    rcu_offline();
    (void)pthread_barrier_wait(&r->barrier);
    rcu_online();
}

/* ---- What is said ---- */

/* The last line is a value, or there was nothing. */
static void note_answer(struct race *r, const char *answer, size_t len)
{
    unsigned long value = 0;

    if (answer[0] != '*' && answer[0] != '$') {
        atomic_fetch_add(&r->ended, 1);
        return;
    }
    for (len -= 2; len > 0 && answer[len - 1] != '\n'; len--) {
    }
    value = strtoul(answer + len, NULL, 10);
    if (value == 0 || value >= VALUES) {
        atomic_fetch_add(&r->strange, 1);
        return;
    }
    atomic_fetch_add(&r->answered, 1);
    atomic_fetch_add(&r->twice, (atomic_fetch_or(&r->values[value], SEEN) & SEEN) != 0);
}

/* What the site's caller has been answered, if it has been. */
static void note(struct site *t, int i)
{
    struct caller *c = &t->callers[i];

    if (c->is_asking) {
        return;
    }
    if (i < WAITERS && t->waits_at[i] != 0) {
        note_answer(t->race, caller_answer(c), c->reply.out.len);
        t->waits_at[i] = 0;
    }
    if (i < WAITERS) {
        return;
    }
    for (int v = 0; v < 2; v++) {
        if (t->brings[v] != 0) {
            atomic_fetch_or(&t->race->values[t->brings[v]], BROUGHT);
            t->brings[v] = 0;
        }
    }
    multi_destroy(t->multi);
    t->multi = NULL;
}

/* ---- What is done ---- */

static void begin_to_wait(struct site *t, int i)
{
    char text[64] = "BLPOP";
    uint32_t at = 1 + (uint32_t)rand_below(&t->rand, (1 << KEYS) - 1);

    t->waits_at[i] = at;
    for (int k = 0; k < KEYS; k++) {
        if ((at & 1u << k) != 0) {
            (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s", keys[k]);
        }
    }
    (void)caller_ask(&t->callers[i], "%s %s", text, rand_below(&t->rand, 2) == 0 ? "0" : "0.02");
    note(t, i);
}

static void end_waiting(struct site *t, int i)
{
    struct caller *c = &t->callers[i];

    switch (rand_below(&t->rand, 15)) {
    case 0:
        (void)exec_unblock(&c->session, CMD_UNBLOCKED_ERROR);
        break;
    case 1:
        (void)exec_unblock(&c->session, CMD_UNBLOCKED_TIMEOUT);
        break;
    case 2:
        if (c->reply.out.len > 0) {
            /* It is answered, and has others to serve before it says so. */
            note_answer(t->race, c->reply.out.ptr, c->reply.out.len);
        }
        caller_fini(c);
        caller_init(c, &t->race->w, t->index);
        t->waits_at[i] = 0;
        break;
    default:
        break;
    }
}

static const char *any_key(struct site *t)
{
    return keys[rand_below(&t->rand, KEYS)];
}

static uint32_t next_value(struct site *t, int v)
{
    uint32_t value = t->next * SITES + t->index;

    t->next++;
    t->brings[v] = value;
    atomic_fetch_or(&t->race->values[value], MAYBE);
    return value;
}

static void add(struct multi *m, const char *key, uint32_t value)
{
    char number[16];
    struct slice argv[] = {SLICE("RPUSH"), slice_of(key), {number, 0}};

    argv[2].len = (size_t)snprintf(number, sizeof(number), "%u", value);
    struct request q = {.def = cmd_find(argv[0]), .argv = argv, .argc = 3};

    if (multi_add(m, &q, SIZE_MAX) != 0) {
        abort();
    }
}

static void bring(struct site *t)
{
    struct caller *c = &t->callers[WAITERS];

    if (rand_below(&t->rand, 4) == 0) {
        struct multi *m = multi_create(); /* news at two keys at once */

        add(m, any_key(t), next_value(t, 0));
        add(m, any_key(t), next_value(t, 1));
        t->multi = m;
        (void)caller_exec(c, m);
    } else {
        (void)caller_ask(c, "RPUSH %s %u", any_key(t), next_value(t, 0));
    }
    note(t, WAITERS);
}

/* What it does may be done or not, and those whom it would have served are poked. */
static void stop_bringing(struct site *t)
{
    struct caller *c = &t->callers[WAITERS];

    if (rand_below(&t->rand, 10) == 0) {
        caller_fini(c);
        caller_init(c, &t->race->w, t->index);
        t->brings[0] = t->brings[1] = 0;
        multi_destroy(t->multi);
        t->multi = NULL;
    }
}

static bool site_turn(struct site *t)
{
    bool any = caller_worker_turn(t->callers[0].x);

    for (int i = 0; i <= WAITERS; i++) {
        any |= caller_turn(&t->callers[i]);
        note(t, i);
    }
    rcu_turn();
    return any;
}

static void step(struct site *t)
{
    int i = (int)rand_below(&t->rand, WAITERS + 2);

    t->race->w.workers[t->index].now_ms += (int64_t)rand_below(&t->rand, 2);
    if (i < WAITERS && !t->callers[i].is_asking) {
        begin_to_wait(t, i);
    } else if (i < WAITERS) {
        end_waiting(t, i);
    } else if (t->callers[WAITERS].is_asking) {
        stop_bringing(t);
    } else {
        bring(t);
    }
    if (rand_below(&t->rand, 3) == 0) { /* else what has come is on its way for longer */
        (void)site_turn(t);
    }
}

/* ---- Rounds ---- */

static void come_to_rest(struct site *t)
{
    struct race *r = t->race;
    bool any = true;

    while (any) {
        meet(r);
        atomic_store(&r->moves, false);
        meet(r);
        if (site_turn(t)) {
            atomic_store(&r->moves, true);
        }
        meet(r);
        any = atomic_load(&r->moves);
    }
}

/* No wake-up was lost. */
static void look_who_waits(struct site *t)
{
    struct race *r = t->race;

    for (int k = 0; t->index == 0 && k < KEYS; k++) {
        r->is_empty[k] = strcmp(world_say(&r->w, "LLEN %s", keys[k]), ":0\r\n") == 0;
    }
    meet(r);
    for (int i = 0; i < WAITERS; i++) {
        for (int k = 0; k < KEYS; k++) {
            bool at = (t->waits_at[i] & 1u << k) != 0;

            atomic_fetch_add(&r->forgotten, at && !r->is_empty[k]);
        }
    }
    atomic_fetch_add(&r->forgotten, t->callers[WAITERS].is_asking);
}

static void *site_main(void *arg)
{
    struct site *t = arg;

    rcu_register();
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < STEPS; i++) {
            step(t);
        }
        come_to_rest(t);
        look_who_waits(t);
        meet(t->race);
    }
    for (int i = 0; i <= WAITERS; i++) {
        caller_fini(&t->callers[i]);
        caller_init(&t->callers[i], &t->race->w, t->index);
        t->waits_at[i % WAITERS] = 0;
    }
    come_to_rest(t);
    for (int i = 0; i <= WAITERS; i++) {
        caller_fini(&t->callers[i]);
    }
    rcu_unregister();
    return NULL;
}

/* What nobody took, and how many are missing: as many as were lost with their clients, but for those of
 * which nobody knows whether they were brought. */
static void take_stock(struct race *r, uint64_t lost)
{
    uint64_t missing = 0;
    uint64_t doubtful = 0;

    for (int k = 0; k < KEYS; k++) {
        while (strcmp(world_say(&r->w, "LLEN %s", keys[k]), ":0\r\n") != 0) {
            const char *answer = world_say(&r->w, "LPOP %s", keys[k]);

            note_answer(r, answer, r->w.reply.out.len);
        }
    }
    for (int i = 0; i < VALUES; i++) {
        missing += r->values[i] == (MAYBE | BROUGHT);
        doubtful += r->values[i] == MAYBE;
    }
    if (missing > lost || lost > missing + doubtful) {
        printf("missing %lu, doubtful %lu, lost %lu\n", missing, doubtful, lost);
    }
    CU_ASSERT(missing <= lost);
    CU_ASSERT(lost <= missing + doubtful);
}

static void every_element_is_for_one(void)
{
    struct race *r = calloc(1, sizeof(*r));
    uint64_t seed = unit_seed();
    uint64_t lost = block_lost_count();

    log_level_set(LOG_ERROR); /* not of each that is lost */
    world_init(&r->w, 1 << 20);
    CU_ASSERT_EQUAL_FATAL(pthread_barrier_init(&r->barrier, NULL, SITES), 0);
    for (uint32_t i = 0; i < SITES; i++) {
        struct site *t = &r->sites[i];

        *t = (struct site){.race = r, .index = i, .rand = {seed + i}, .next = 1};
        for (int c = 0; c <= WAITERS; c++) {
            caller_init(&t->callers[c], &r->w, i);
        }
    }
    for (int i = 0; i < SITES; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&r->sites[i].thread, NULL, site_main, &r->sites[i]),
                              0);
    }
    rcu_offline();
    for (int i = 0; i < SITES; i++) {
        (void)pthread_join(r->sites[i].thread, NULL);
    }
    rcu_online();
    CU_ASSERT_EQUAL(r->forgotten, 0);
    CU_ASSERT_EQUAL(r->strange, 0);
    CU_ASSERT_EQUAL(block_count(), 0);
    take_stock(r, block_lost_count() - lost);
    CU_ASSERT_EQUAL(r->twice, 0);
    CU_ASSERT(r->answered > ROUNDS * 10);
    CU_ASSERT(r->ended > ROUNDS * 10);
    CU_ASSERT_EQUAL(database_used_exact(r->w.db), world_bytes(r->w.db));
    CU_ASSERT(block_lost_count() - lost > 10);
    (void)pthread_barrier_destroy(&r->barrier);
    world_fini(&r->w);
    log_level_set(LOG_INFO);
    free(r);
}

const struct unit_test test_block_race[] = {
    UNIT(every_element_is_for_one),
    UNIT_END,
};
