/* sections.c - what clients may see of transactions, scripts, waiting pops and growing collections: see
 * actors.h. */
#include "base/rcu.h"
#include "node/block.h"
#include "tests/prop/actors.h"

#include <sched.h>
#include <string.h>

enum {
    COUNTERS = 3,
    ACCOUNTS = 6,
    WEALTH = 1000,
    ELEMENTS_MAX = 1 << 22,
    STEP = 7,     /* fields that one command adds */
    LAP = 100000, /* at most so many fields between two numbers of laps */
    FULL = 700,   /* past hash-max-listpack-entries and its kin */
};

/* ---- multi: what one EXEC writes is seen whole, by MGET and by another EXEC ---- */

static void multi_begin(struct actor *a)
{
    say(a, "MSET mx:0 0 mx:1 0 mx:2 0 mx:3 0");
    say(a, "DEL mx:h");
    say(a, "HSET mx:h f 0");
}

static void multi_writer(struct actor *a)
{
    for (int64_t n = 1; goes_on(a); n++) {
        (void)transact(a,
                       "SET mx:0 0;INCRBY mx:0 %" PRId64 ";SET mx:1 %" PRId64
                       ";HSET mx:h f -1;HSET mx:h f %" PRId64 ";SET mx:2 %" PRId64
                       ";COPY mx:2 mx:3 REPLACE",
                       n, n, n, n);
    }
}

static void multi_reader(struct actor *a)
{
    int64_t last = 0;

    while (goes_on(a)) {
        int64_t n[4];

        say(a, "MGET mx:0 mx:1 mx:2 mx:3");
        for (int i = 0; i < 4; i++) {
            n[i] = number(a);
        }
        if (n[0] != n[1] || n[1] != n[2] || n[2] != n[3] || n[0] < last) {
            breach("MGET: %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " after %" PRId64, n[0],
                   n[1], n[2], n[3], last);
        }
        last = n[0];
        (void)transact(a, "GET mx:3;HGET mx:h f;GET mx:0");
        int64_t first = number(a);
        int64_t field = number(a);
        int64_t end = number(a);

        if (first != field || field != end || first < last) {
            breach("EXEC: %" PRId64 " %" PRId64 " %" PRId64 " after %" PRId64, first, field, end,
                   last);
        }
        last = first;
    }
}

/* ---- watch: a counter raised by WATCH, GET, EXEC loses no raise ---- */

static _Atomic int64_t raised[COUNTERS];

static void watch_begin(struct actor *a)
{
    for (int i = 0; i < COUNTERS; i++) {
        say(a, "SET w:%d 0", i);
        atomic_store(&raised[i], 0);
    }
}

static void watch_writer(struct actor *a)
{
    while (goes_on(a)) {
        int i = (int)rand_below(&a->rand, COUNTERS);

        session_say(a, NULL, "WATCH w:%d", i);
        int64_t n = get(a, "w:%d", i);

        sched_yield();
        if (transact(a, "SET w:%d %" PRId64, i, n + 1)) {
            atomic_fetch_add(&raised[i], 1);
        }
    }
}

static void watch_end(struct actor *a)
{
    for (int i = 0; i < COUNTERS; i++) {
        int64_t n = get(a, "w:%d", i);

        if (n != atomic_load(&raised[i])) {
            breach("w:%d is %" PRId64 " after %" PRId64 " EXECs", i, n, raised[i]);
        }
    }
}

/* ---- script: what a script moves is never missing, and one that fails has shown nothing ---- */

static void script_begin(struct actor *a)
{
    for (int i = 0; i < ACCOUNTS; i++) {
        say(a, "SET sc:%d %d", i, WEALTH);
    }
}

/* A script is one word here, so it has no blanks. */
#define MOVE "redis.call('DECRBY',KEYS[1],ARGV[1]);redis.call('INCRBY',KEYS[2],ARGV[1]);"

static void script_mover(struct actor *a)
{
    while (goes_on(a)) {
        unsigned from = (unsigned)rand_below(&a->rand, ACCOUNTS);
        unsigned to = (from + 1 + (unsigned)rand_below(&a->rand, ACCOUNTS - 1)) % ACCOUNTS;

        say(a, "EVAL " MOVE " 2 sc:%u sc:%u %u", from, to, (unsigned)rand_below(&a->rand, 9));
    }
}

static void script_failer(struct actor *a)
{
    while (goes_on(a)) {
        unsigned i = (unsigned)rand_below(&a->rand, ACCOUNTS);

        session_say(a, NULL, "EVAL redis.call('INCRBY',KEYS[1],1000000);error('no') 1 sc:%u", i);
        if (a->at[0] != '-') {
            breach("a script that fails answered %.20s", a->at);
        }
    }
}

static void script_reader(struct actor *a)
{
    while (goes_on(a)) {
        int64_t sum = 0;

        say(a, "MGET sc:0 sc:1 sc:2 sc:3 sc:4 sc:5");
        for (int i = 0; i < ACCOUNTS; i++) {
            sum += number(a);
        }
        if (sum != (int64_t)ACCOUNTS * WEALTH) {
            breach("the sum is %" PRId64, sum);
        }
        for (int i = 0; i < ACCOUNTS; i++) {
            if (get(a, "sc:%d", i) > WEALTH * ACCOUNTS + 100000) {
                breach("what a failed script wrote was seen");
            }
        }
    }
}

/* ---- pops: each element goes to one popper, first in first out ---- */

static _Atomic uint8_t *popped; /* by element */
static _Atomic int64_t pushed, popped_max;

static void pops_begin(struct actor *a)
{
    say(a, "DEL q");
    popped = calloc(ELEMENTS_MAX, 1);
    if (popped == NULL) {
        abort();
    }
    atomic_store(&pushed, 0);
    atomic_store(&popped_max, 0);
}

static void pops_pusher(struct actor *a)
{
    while (goes_on(a) && atomic_load(&pushed) < ELEMENTS_MAX - 2) {
        int64_t n = atomic_load(&pushed);

        say(a, "RPUSH q %" PRId64 " %" PRId64, n + 1, n + 2);
        atomic_store(&pushed, n + 2);
        if (rand_below(&a->rand, 4) == 0) {
            sched_yield(); /* so that some wait and some find */
        }
    }
}

static bool at_times(struct actor *a)
{
    return rand_below(&a->rand, 64) == 0;
}

static void pops_popper(struct actor *a)
{
    while (goes_on(a)) {
        int64_t floor = atomic_load(&popped_max);

        session_say(a, at_times, "BLPOP q 0");
        if (array(a) != 2) {
            continue; /* it gave up */
        }
        (void)number(a); /* the key's name */
        int64_t n = number(a);

        if (n <= floor) {
            breach("%" PRId64 " was popped after %" PRId64, n, floor);
        }
        if (n < 1 || n >= ELEMENTS_MAX || atomic_fetch_add(&popped[n], 1) != 0) {
            breach("%" PRId64 " was popped twice", n);
        }
        raise_to(&popped_max, n);
    }
}

static void pops_end(struct actor *a)
{
    say(a, "LLEN q");
    int64_t left = number(a);
    int64_t n = 0;

    for (int64_t i = 1; i <= pushed; i++) {
        n += popped[i];
    }
    if (n + left != pushed) {
        breach("%" PRId64 " pushed, %" PRId64 " popped, %" PRId64 " left", pushed, n, left);
    }
    say(a, "DEL q");
    free((void *)popped);
}

/* ---- turns: who waits longest is served first ---- */

static pthread_mutex_t line = PTHREAD_MUTEX_INITIALIZER; /* held from asking until one waits */
static int64_t in_line, called;                          /* under it */

static void turns_begin(struct actor *a)
{
    say(a, "DEL turn");
    in_line = called = 0;
}

static void take_lock(struct actor *a)
{
    while (pthread_mutex_trylock(&line) != 0) {
        sched_yield();
        rcu_turn();
        inbox_drain(&a->worker.inbox);
    }
}

static void turns_waits(struct actor *a)
{
    (void)a;
    in_line++;
    (void)pthread_mutex_unlock(&line);
}

static void turns_waiter(struct actor *a)
{
    a->on_wait = turns_waits;
    while (goes_on(a)) {
        take_lock(a);
        int64_t mine = in_line + 1;

        session_say(a, NULL, "BLPOP turn 0");
        if (array(a) != 2) {
            break; /* the part is over */
        }
        (void)number(a);
        int64_t n = number(a);

        if (n != mine) {
            breach("who was %" PRId64 ". in line got %" PRId64, mine, n);
        }
    }
    a->on_wait = NULL;
}

static void turns_pusher(struct actor *a)
{
    while (goes_on(a)) {
        take_lock(a);
        if (in_line - called >= 2) {
            say(a, "RPUSH turn %" PRId64, ++called);
        }
        (void)pthread_mutex_unlock(&line);
        sched_yield();
    }
}

/* ---- grow: a collection that goes from packed to large and is deleted is seen as some command left it ---- */

static _Atomic int64_t grown; /* lap · LAP + fields, as acknowledged */

static void grow_begin(struct actor *a)
{
    say(a, "DEL gr gz");
    atomic_store(&grown, 0);
}

/* Values and scores are the lap, so that no reader takes one lap's for another's. */
static void grow_writer(struct actor *a)
{
    for (int64_t lap = 1; goes_on(a); lap++) {
        for (int n = 0; n < FULL; n += STEP) {
            char hash[512], zset[512];
            int h = snprintf(hash, sizeof(hash), "HSET gr");
            int z = snprintf(zset, sizeof(zset), "ZADD gz");

            for (int i = n; i < n + STEP; i++) {
                h += snprintf(hash + h, sizeof(hash) - (size_t)h, " f:%d %" PRId64, i, lap);
                z += snprintf(zset + z, sizeof(zset) - (size_t)z, " %" PRId64 " %d", lap, i);
            }
            say(a, "%s", hash);
            say(a, "%s", zset);
            raise_to(&grown, lap * LAP + n + STEP);
        }
        (void)transact(a, "DEL gr;DEL gz");
    }
}

/* HGETALL's and ZRANGE's reply: what they tell of, as `grown` does; -1: of nothing. */
static int64_t read_pairs(struct actor *a, const char *what)
{
    int64_t n = a->at[0] == '%' ? array(a) : array(a) / 2;
    int64_t lap = -1;

    for (int64_t i = 0; i < n; i++) {
        (void)number(a);
        int64_t value = number(a);

        if (lap >= 0 && value != lap) {
            breach("%s: lap %" PRId64 " beside %" PRId64, what, lap, value);
        }
        lap = value;
    }
    if (n % STEP != 0) {
        breach("%s: %" PRId64 " fields, a part of what one command wrote", what, n);
    }
    return n <= 0 ? -1 : lap * LAP + n;
}

static void grow_reader(struct actor *a)
{
    while (goes_on(a)) {
        for (int i = 0; i < 8; i++) {
            say(a, i % 2 == 0 ? "HLEN gr" : "ZCARD gz");
            int64_t n = number(a);

            if (n % STEP != 0) {
                breach("%" PRId64 " elements, a part of what one command wrote", n);
            }
        }
        int64_t floor = atomic_load(&grown);

        say(a, "HGETALL gr");
        int64_t seen = read_pairs(a, "HGETALL");

        if (seen >= 0 && seen < floor) {
            breach("HGETALL: %" PRId64 " after %" PRId64, seen, floor);
        }
        floor = atomic_load(&grown);
        say(a, "ZRANGE gz 0 -1 WITHSCORES");
        seen = read_pairs(a, "ZRANGE");
        if (seen >= 0 && seen < floor) {
            breach("ZRANGE: %" PRId64 " after %" PRId64, seen, floor);
        }
    }
}

/* ---- limit: of a rate limit's requests just so many are allowed, whichever worker asks ---- */

enum { LIMIT = 5000 };
static _Atomic int64_t asked, allowed;

static void limit_begin(struct actor *a)
{
    say(a, "DEL limit");
    atomic_store(&asked, 0);
    atomic_store(&allowed, 0);
}

/* The bucket gets nothing back while this runs. */
static void limit_asker(struct actor *a)
{
    while (goes_on(a)) {
        say(a, "RATELIMIT limit BUCKET %d 3600000", LIMIT);
        atomic_fetch_add(&asked, 1);
        atomic_fetch_add(&allowed, number(a));
    }
}

static void limit_end(struct actor *a)
{
    int64_t most = asked < LIMIT ? asked : LIMIT;

    (void)a;
    if (allowed != most) {
        breach("%" PRId64 " of %" PRId64 " were allowed, not %" PRId64, allowed, asked, most);
    }
}

const struct part section_parts[] = {
    {"multi", {multi_writer, multi_reader, multi_reader, churn}, multi_begin, NULL},
    {"watch", {watch_writer, watch_writer, watch_writer, churn}, watch_begin, watch_end},
    {"script",
     {script_mover, script_mover, script_failer, script_reader, churn},
     script_begin,
     NULL},
    {"pops", {pops_pusher, pops_popper, pops_popper, pops_popper, churn}, pops_begin, pops_end},
    {"turns", {turns_pusher, turns_waiter, turns_waiter, turns_waiter, churn}, turns_begin, NULL},
    {"limit", {limit_asker, limit_asker, limit_asker, churn}, limit_begin, limit_end},
    {"grow", {grow_writer, grow_reader, grow_reader, churn}, grow_begin, NULL},
    {.name = NULL},
};
