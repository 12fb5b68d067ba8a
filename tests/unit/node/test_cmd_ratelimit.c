/* RATELIMIT decides as the scripts that it replaces, whatever comes when; and what those cannot be asked. */
#include "base/clock.h"
#include "base/fault.h"
#include "base/rand.h"
#include "node/database.h"
#include "node/keyspace.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORDS = 24, ROUNDS = 40, REQUESTS = 400 };

static struct world w;
static struct rand r;

/* Our own words for what the common limiters' scripts do. Each answers 1 or 0. */
static const char fixed_script[] = "local n = redis.call('INCRBY', KEYS[1], ARGV[4])\n"
                                   "redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
                                   "return n <= tonumber(ARGV[1]) and 1 or 0";
static const char sliding_script[] =
    "local limit, now, window, cost =\n"
    "    tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "local current = tonumber(redis.call('GET', KEYS[1]) or '0')\n"
    "local before = tonumber(redis.call('GET', KEYS[2]) or '0')\n"
    "local weighed = math.floor((1 - (now % window) / window) * before)\n"
    "if cost > 0 and weighed + current >= limit then return 0 end\n"
    "local count = redis.call('INCRBY', KEYS[1], cost)\n"
    "redis.call('PEXPIRE', KEYS[1], window * 2 + 1000)\n"
    "return limit - (count + weighed) >= 0 and 1 or 0";
static const char bucket_script[] =
    "local limit, now, interval, cost, rate = tonumber(ARGV[1]), tonumber(ARGV[2]),\n"
    "    tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])\n"
    "local got = redis.call('HMGET', KEYS[1], 'at', 'tokens')\n"
    "local at, tokens = now, limit\n"
    "if got[1] then at, tokens = tonumber(got[1]), tonumber(got[2]) end\n"
    "if now >= at + interval then\n"
    "  local times = math.floor((now - at) / interval)\n"
    "  tokens = math.min(limit, tokens + times * rate)\n"
    "  at = at + times * interval\n"
    "end\n"
    "if tokens == 0 and cost > 0 then return 0 end\n"
    "local left = tokens - cost\n"
    "redis.call('HSET', KEYS[1], 'at', at, 'tokens', left)\n"
    "local ms = math.ceil((limit - left) / rate) * interval\n"
    "if ms > 0 then redis.call('PEXPIRE', KEYS[1], ms)\n"
    /* Where theirs leave a key without an expiry, if tokens are given back to a full bucket. */
    "elseif redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], interval) end\n"
    "return left >= 0 and 1 or 0";

static int64_t first_number(void)
{
    const char *p = w.reply.out.ptr;

    p = p[0] == '*' ? strchr(p, '\n') + 1 : p;
    CU_ASSERT_EQUAL_FATAL(p[0], ':');
    return strtoll(p + 1, NULL, 10);
}

struct limiter {
    const char *kind, *script;
    int64_t limit, window, rate;
};

static int64_t by_script(const struct limiter *l, int64_t cost)
{
    char text[7][48];
    struct slice argv[10] = {SLICE("EVAL"), slice_of(l->script), SLICE("2")};
    int64_t now = clock_now_ms();
    int64_t window = now / l->window;
    bool is_bucket = l->kind[0] == 'B';

    (void)snprintf(text[0], 48, "s:%" PRId64, is_bucket ? 0 : window);
    (void)snprintf(text[1], 48, "s:%" PRId64, window - 1);
    (void)snprintf(text[2], 48, "%" PRId64, l->limit);
    (void)snprintf(text[3], 48, "%" PRId64, now);
    (void)snprintf(text[4], 48, "%" PRId64, l->window);
    (void)snprintf(text[5], 48, "%" PRId64, cost);
    (void)snprintf(text[6], 48, "%" PRId64, l->rate);
    for (int i = 0; i < 7; i++) {
        argv[3 + i] = slice_of(text[i]);
    }
    world_run(&w, w.db, argv, 10);
    return first_number();
}

static int64_t by_command(const struct limiter *l, int64_t cost)
{
    char rate[40] = "";

    if (l->kind[0] == 'B') {
        (void)snprintf(rate, sizeof(rate), "RATE %" PRId64, l->rate);
    }
    (void)world_say(&w, "RATELIMIT r %s %" PRId64 " %" PRId64 " %s COST %" PRId64, l->kind,
                    l->limit, l->window, rate, cost);
    return first_number();
}

/* Costs of all kinds, some given back; pauses within windows, to their ends, past several. */
static void compare(struct limiter l)
{
    for (int i = 0; i < REQUESTS; i++) {
        int64_t cost = rand_below(&r, 3) > 0 ? 1 : (int64_t)rand_below(&r, 7) - 2;

        switch (rand_below(&r, 8)) {
        case 0:
            world_clock((int64_t)rand_below(&r, (uint64_t)l.window + 1));
            break;
        case 1:
            world_clock(l.window - clock_now_ms() % l.window);
            break;
        case 2:
            world_clock((int64_t)rand_below(&r, (uint64_t)l.window * 3));
            break;
        case 3:
            l.limit = rand_below(&r, 12) == 0 ? (int64_t)rand_below(&r, 20) : l.limit;
            break;
        default:
            break;
        }
        int64_t peeked = 0;

        (void)world_say(
            &w, "RATELIMIT r %s %" PRId64 " %" PRId64 " %s%" PRId64 " COST %" PRId64 " PEEK",
            l.kind, l.limit, l.window, l.kind[0] == 'B' ? "RATE " : "COST ",
            l.kind[0] == 'B' ? l.rate : cost, cost);
        peeked = first_number();
        int64_t ours = by_command(&l, cost);
        int64_t theirs = by_script(&l, cost);

        CU_ASSERT_EQUAL(peeked, ours);
        if (ours != theirs) {
            printf("request %d, %s %" PRId64 " in %" PRId64 " ms, cost %" PRId64 ": %" PRId64
                   ", not %" PRId64 " as the script\n",
                   i, l.kind, l.limit, l.window, cost, ours, theirs);
            CU_FAIL_FATAL("they decide differently");
        }
    }
}

static void decides_as_the_scripts_do(void)
{
    uint64_t seed = unit_seed();

    world_init(&w, 1 << 20);
    r = (struct rand){seed};
    for (int i = 0; i < ROUNDS; i++) {
        static const struct limiter kinds[] = {
            {"FIXED", fixed_script}, {"SLIDING", sliding_script}, {"BUCKET", bucket_script}};
        struct limiter l = kinds[i % 3];

        l.limit = (int64_t)rand_below(&r, 12);
        l.window = 1 + (int64_t)rand_below(&r, i % 2 == 0 ? 20 : 5000);
        l.rate = 1 + (int64_t)rand_below(&r, 5);
        compare(l);
        (void)world_say(&w, "FLUSHALL");
    }
    world_fini(&w);
}

/* The reply's three numbers. */
static void says(const char *command, int64_t allowed, int64_t left, int64_t reset)
{
    char want[100];
    const char *got = world_say(&w, "%s", command);

    (void)snprintf(want, sizeof(want), "*3\r\n:%" PRId64 "\r\n:%" PRId64 "\r\n:%" PRId64 "\r\n",
                   allowed, left, reset);
    if (strcmp(got, want) != 0) {
        printf("%s: %s", command, got);
    }
    CU_ASSERT_STRING_EQUAL(got, want);
}

/* To the beginning of a window of 1000 ms; its Unix time. */
static int64_t begin_second(void)
{
    world_clock(1000 - clock_now_ms() % 1000);
    return clock_now_ms();
}

static void tells_what_is_left_and_until_when(void)
{
    world_init(&w, 1 << 20);
    int64_t at = begin_second();

    says("RATELIMIT f FIXED 2 1000", 1, 1, at + 1000);
    says("RATELIMIT f FIXED 2 1000 PEEK", 1, 1, at + 1000);
    says("RATELIMIT f FIXED 2 1000", 1, 0, at + 1000);
    says("RATELIMIT f FIXED 2 1000", 0, 0, at + 1000);
    says("RATELIMIT f FIXED 9 1000", 1, 5, at + 1000); /* another limit, the same count */
    says("RATELIMIT s SLIDING 4 1000 COST 4", 1, 0, at + 1000);
    says("RATELIMIT b BUCKET 3 1000 RATE 2 COST 3", 1, 0, at + 1000);
    says("RATELIMIT b BUCKET 3 1000 RATE 2", 0, 0, at + 1000);
    world_clock(1000);
    says("RATELIMIT f FIXED 2 1000", 1, 1, at + 2000);
    says("RATELIMIT s SLIDING 4 1000", 0, 0, at + 2000);
    says("RATELIMIT b BUCKET 3 1000 RATE 2", 1, 1, at + 2000);
    world_clock(500);
    says("RATELIMIT s SLIDING 4 1000", 1, 1, at + 2000);
    says("RATELIMIT s FIXED 4 1000", 1, 3, at + 2000);     /* another algorithm begins anew */
    says("RATELIMIT s FIXED 4 500 PEEK", 1, 4, at + 2000); /* another window, too */
    world_clock(10000);
    CU_ASSERT_STRING_EQUAL(world_say(&w, "EXISTS f s b"), ":0\r\n");
    world_fini(&w);
}

static void has_bounds(void)
{
    static const char *const wrong[] = {
        "RATELIMIT k FIXED -1 1000",
        "RATELIMIT k FIXED 9007199254740992 1000",
        "RATELIMIT k FIXED 1 0",
        "RATELIMIT k FIXED 1 9007199254740992",
        "RATELIMIT k FIXED x 1000",
        "RATELIMIT k FIXED 1 1000 COST x",
        "RATELIMIT k FIXED 1 1000 COST 9007199254740992",
        "RATELIMIT k FIXED 1 1000 COST",
        "RATELIMIT k FIXED 1 1000 RATE 1",
        "RATELIMIT k BUCKET 1 1000 RATE 0",
        "RATELIMIT k LEAKY 1 1000",
        "RATELIMIT k FIXED 1 1000 PEEP",
        "RATELIMIT text FIXED 1 1000",
        "RATELIMIT list FIXED 1 1000",
        "RATELIMIT almost FIXED 1 1000",
    };

    world_init(&w, 1 << 20);
    (void)world_say(&w, "SET text hello");
    (void)world_say(&w, "SET almost FIXED");
    (void)world_say(&w, "RPUSH list 1");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (world_say(&w, "%s", wrong[i])[0] != '-') {
            printf("%s\n", wrong[i]);
            CU_FAIL("it was taken");
        }
    }
    CU_ASSERT_STRING_EQUAL(world_say(&w, "EXISTS k"), ":0\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "GET text"), "$5\r\nhello\r\n");
#define HUGE_NUMBER "9007199254740991"
    for (int i = 0; i < 4; i++) {
        static const char *const kinds[] = {"FIXED", "SLIDING", "BUCKET"};

        for (int k = 0; k < 3; k++) {
            (void)world_say(&w,
                            "RATELIMIT h%d %s " HUGE_NUMBER " " HUGE_NUMBER " COST %s" HUGE_NUMBER,
                            k, kinds[k], i % 2 == 0 ? "" : "-");
            CU_ASSERT(first_number() >= 0);
            (void)world_say(&w, "RATELIMIT l%d %s 0 1", k, kinds[k]);
            CU_ASSERT_EQUAL(first_number(), 0); /* a limit of 0 allows nothing */
            (void)world_say(&w, "RATELIMIT m%d %s 3 60000 COST 4", k, kinds[k]);
            CU_ASSERT_EQUAL(first_number(), 0);
        }
    }
    world_fini(&w);
}

static void set_state(const char *key, const char *kind, int64_t start, int64_t number)
{
    char text[100];

    (void)snprintf(text, sizeof(text), "%s 1000 %" PRId64 " %" PRId64, kind, start, number);
    world_run(&w, w.db, (struct slice[]){SLICE("SET"), slice_of(key), slice_of(text)}, 3);
}

/* What is ahead of the clock came from one that was: another machine's. */
static void outlives_a_clock_that_goes_back(void)
{
    world_init(&w, 1 << 20);
    int64_t at = begin_second();

    set_state("f", "FIXED", at + 1000, 2);
    says("RATELIMIT f FIXED 2 1000", 0, 0, at + 2000);
    set_state("f", "FIXED", at + 5000, 2);
    says("RATELIMIT f FIXED 2 1000", 1, 1, at + 1000);
    set_state("b", "BUCKET", at + 500000, 0);
    says("RATELIMIT b BUCKET 2 1000 RATE 1", 0, 0, at + 1000);
    world_clock(1000);
    says("RATELIMIT b BUCKET 2 1000 RATE 1", 1, 0, at + 2000);
    world_fini(&w);
}

static void survives_every_fault(void)
{
    static const char *const lines[] = {
        "RATELIMIT a FIXED 10 1000",
        "RATELIMIT a SLIDING 10 1000",
        "RATELIMIT a BUCKET 10 1000",
    };

    world_init(&w, 1 << 20);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        bool failed = true;

        (void)world_say(&w, "DEL a");
        for (int nth = 1; failed && nth < 100; nth++) {
            fault_fail_nth(nth);
            const char *got = world_say(&w, "%s", lines[i]);

            fault_off();
            failed = w.reply.failed || got[0] != '*';
            if (failed) {
                CU_ASSERT_STRING_EQUAL(world_say(&w, "EXISTS a"), ":0\r\n");
            }
        }
        CU_ASSERT_FALSE(failed);
    }
    world_fini(&w);
}

/* clang-format off */
const struct unit_test test_cmd_ratelimit[] = {
    UNIT(decides_as_the_scripts_do),
    UNIT(tells_what_is_left_and_until_when),
    UNIT(has_bounds),
    UNIT(outlives_a_clock_that_goes_back),
    UNIT(survives_every_fault),
    UNIT_END,
};
/* clang-format on */
