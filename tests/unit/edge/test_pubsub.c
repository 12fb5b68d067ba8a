/* Channels over two workers: the rules P1 to P5 of edge/pubsub.h. */
#include "tests/lib/unit.h"
#include "tests/unit/edge/toy.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"
#include "edge/client.h"
#include "edge/pubsub.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct toy toy;
static int a, b; /* on different workers */

static void start_two(void)
{
    toy_start(&toy, 2, NULL);
    a = toy_connect(&toy);
    toy_send(a, "PING\r\n");
    CU_ASSERT(toy_gets(a, "+PONG\r\n"));
    b = toy_connect(&toy);
    toy_send(b, "PING\r\n");
    CU_ASSERT(toy_gets(b, "+PONG\r\n"));
}

static bool nobody_listens(void *arg)
{
    (void)arg;
    return pubsub_count(NULL, PUBSUB_CHANNEL) + pubsub_count(NULL, PUBSUB_PATTERN) +
               pubsub_count(NULL, PUBSUB_SHARD) ==
           0;
}

static void stop_two(void)
{
    close(a);
    close(b);
    CU_ASSERT(toy_until(nobody_listens, NULL)); /* who goes away leaves nothing behind */
    toy_stop(&toy);
}

static int64_t publish_at(enum pubsub_kind kind, const char *channel, const char *text,
                          uint64_t position)
{
    return pubsub_publish(NULL, kind, slice_of(channel), slice_of(text), position);
}

static int64_t publish(const char *channel, const char *text)
{
    return publish_at(PUBSUB_CHANNEL, channel, text, 0);
}

static void joins_and_leaves(void)
{
    start_two();
    toy_send(a, "SUBSCRIBE c d c\r\nPSUBSCRIBE c*\r\nSSUBSCRIBE c\r\n");
    CU_ASSERT(toy_gets(a, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
                          "*3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:2\r\n"
                          "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:2\r\n"
                          "*3\r\n$10\r\npsubscribe\r\n$2\r\nc*\r\n:3\r\n"
                          "*3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n"));
    CU_ASSERT_EQUAL(publish("c", "one"), 2);
    CU_ASSERT(toy_gets(a, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\none\r\n"
                          "*4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$1\r\nc\r\n$3\r\none\r\n"));
    CU_ASSERT_EQUAL(publish_at(PUBSUB_SHARD, "c", "", 0), 1);
    CU_ASSERT(toy_gets(a, "*3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$0\r\n\r\n"));
    CU_ASSERT_EQUAL(publish_at(PUBSUB_SHARD, "d", "x", 0), 0);
    CU_ASSERT_EQUAL(publish("e", "x"), 0);
    CU_ASSERT_EQUAL(pubsub_receivers(NULL, PUBSUB_CHANNEL, SLICE("c"), false), 1);
    CU_ASSERT_EQUAL(pubsub_receivers(NULL, PUBSUB_CHANNEL, SLICE("c"), true), 2);
    toy_send(a, "UNSUBSCRIBE d x\r\nUNSUBSCRIBE\r\nUNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nPING\r\n"
                "SUNSUBSCRIBE\r\nSUNSUBSCRIBE\r\nPING\r\n");
    CU_ASSERT(toy_gets(a, "*3\r\n$11\r\nunsubscribe\r\n$1\r\nd\r\n:2\r\n"
                          "*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:2\r\n"
                          "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:1\r\n"
                          "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:1\r\n"
                          "*3\r\n$12\r\npunsubscribe\r\n$2\r\nc*\r\n:0\r\n"
                          "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
                          "*3\r\n$12\r\nsunsubscribe\r\n$1\r\nc\r\n:0\r\n"
                          "*3\r\n$12\r\nsunsubscribe\r\n$-1\r\n:0\r\n+PONG\r\n"));
    CU_ASSERT_EQUAL(publish("c", "two"), 0);
    stop_two();
}

/* RESP2's rules for subscribers, RESP3's lack of them. */
static void bars_what_is_no_message(void)
{
    start_two();
    toy_send(
        a,
        "SUBSCRIBE c\r\nTECHO x\r\nCLIENT ID\r\nPING x\r\nTECHO\r\nNONE\r\nRESET\r\nTECHO x\r\n");
    CU_ASSERT(toy_gets(
        a,
        "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
        "-ERR Can't execute 'techo': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
        "are allowed in this context\r\n"
        "-ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
        "RESET are allowed in this context\r\n"
        "*2\r\n$4\r\npong\r\n$1\r\nx\r\n"
        "-ERR wrong number of arguments for 'techo' command\r\n"
        "-ERR unknown command 'NONE', with args beginning with: \r\n+RESET\r\n$1\r\nx\r\n"));
    CU_ASSERT_EQUAL(publish("c", "x"), 0);
    char line[64];

    toy_send(b, "HELLO 3\r\n");
    while (toy_gets_line(b, "", line, sizeof(line)) && strcmp(line, "*0") != 0) {
    }
    toy_send(b, "SUBSCRIBE c\r\nTECHO x\r\nPING\r\n");
    CU_ASSERT(toy_gets(b, ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n$1\r\nx\r\n+PONG\r\n"));
    CU_ASSERT_EQUAL(publish("c", "x"), 1);
    CU_ASSERT(toy_gets(b, ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"));
    toy_send(b, "CLIENT REPLY OFF\r\nSUBSCRIBE d\r\nTECHO x\r\nUNSUBSCRIBE c\r\n");
    CU_ASSERT(toy_gets(b, ">3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:2\r\n"
                          ">3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:1\r\n"));
    CU_ASSERT_EQUAL(publish("d", "y"), 1);
    CU_ASSERT(toy_gets(b, ">3\r\n$7\r\nmessage\r\n$1\r\nd\r\n$1\r\ny\r\n"));
    stop_two();
}

static void lists_subscribers(void)
{
    char line[512];

    start_two();
    toy_send(a, "SUBSCRIBE c d\r\nPSUBSCRIBE *\r\nSSUBSCRIBE x\r\n");
    for (int i = 0; i < 4; i++) {
        for (int n = 0; n < 6; n++) {
            CU_ASSERT(toy_gets_line(a, "", line, sizeof(line)));
        }
    }
    toy_send(b, "CLIENT LIST TYPE pubsub\r\n");
    CU_ASSERT(toy_gets_line(b, "$", line, sizeof(line)));
    CU_ASSERT(toy_gets_line(b, "id=", line, sizeof(line)));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, " flags=P db=0 sub=2 psub=1 ssub=1 "));
    CU_ASSERT(toy_gets(b, "\r\n"));
    toy_send(b, "CLIENT KILL TYPE pubsub\r\n");
    CU_ASSERT(toy_gets(b, ":1\r\n"));
    CU_ASSERT(toy_is_closed(a));
    stop_two();
}

/* --- P1: order -------------------------------------------------------------------------------- */

enum { RACERS = 2, MESSAGES = 500 };

static void *race(void *arg)
{
    char text[16];

    for (int i = 0; i < MESSAGES; i++) {
        (void)snprintf(text, sizeof(text), "%c%06d", (char)('a' + (int)(intptr_t)arg), i);
        CU_ASSERT_EQUAL(publish("c", text), 2);
    }
    return NULL;
}

/* All of it, as it came. */
static char *read_messages(int fd)
{
    char line[64];
    char *all = calloc(RACERS * MESSAGES, 8);

    for (int i = 0; i < RACERS * MESSAGES; i++) {
        for (int n = 0; n < 7; n++) {
            CU_ASSERT_FATAL(toy_gets_line(fd, "", line, sizeof(line)));
        }
        memcpy(all + (size_t)i * 8, line, 7);
    }
    return all;
}

static void keeps_the_order_of_a_channel(void)
{
    pthread_t threads[RACERS];
    int next[RACERS] = {0};

    start_two();
    toy_send(a, "SUBSCRIBE c\r\n");
    toy_send(b, "SUBSCRIBE c\r\n");
    CU_ASSERT(toy_gets(a, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"));
    CU_ASSERT(toy_gets(b, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"));
    for (intptr_t i = 0; i < RACERS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, race, (void *)i), 0);
    }
    char *at_a = read_messages(a);
    char *at_b = read_messages(b);

    for (int i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
    }
    CU_ASSERT_EQUAL(memcmp(at_a, at_b, (size_t)RACERS * MESSAGES * 8), 0);
    for (int i = 0; i < RACERS * MESSAGES; i++) {
        const char *m = at_a + (size_t)i * 8;

        CU_ASSERT_EQUAL(atoi(m + 1), next[m[0] - 'a']);
        next[m[0] - 'a']++;
    }
    free(at_a);
    free(at_b);
    stop_two();
}

/* --- P2: who listens from when ---------------------------------------------------------------- */

enum { JOINING = 5000, LISTENING = 100 }; /* messages beside either */

static _Atomic bool is_racing;
static _Atomic int last_sent;
static _Atomic int may_send; /* up to which, so that who reads byte by byte keeps up */

static void *count_up(void *arg)
{
    char text[16];

    (void)arg;
    for (int i = 1; atomic_load(&is_racing); i++) {
        (void)snprintf(text, sizeof(text), "%08d", i);
        (void)publish("c", text);
        atomic_store(&last_sent, i);
        while (i >= atomic_load(&may_send) && atomic_load(&is_racing)) {
            sched_yield();
        }
    }
    return NULL;
}

/* Others of its worker listen already, so messages are on their way to it all the time. */
static void hears_all_from_its_joining_on(void)
{
    pthread_t thread;
    char line[64];

    start_two();
    toy_send(a, "PSUBSCRIBE c\r\nSUBSCRIBE other\r\n");
    atomic_store(&is_racing, true);
    atomic_store(&last_sent, 0);
    atomic_store(&may_send, 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, count_up, NULL), 0);
    for (int round = 0; round < 20; round++) {
        int before = atomic_load(&last_sent);

        atomic_store(&may_send, before + JOINING);
        toy_send(b, "SUBSCRIBE c\r\n");
        CU_ASSERT(toy_gets(b, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"));
        int told = atomic_load(&last_sent);
        int first = 0;

        atomic_store(&may_send, told + LISTENING);

        for (int n = 0; n < 10; n++) {
            CU_ASSERT(toy_gets(b, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$8\r\n"));
            CU_ASSERT(toy_gets_line(b, "", line, sizeof(line)));
            first = n == 0 ? atoi(line) : first;
            CU_ASSERT_EQUAL(atoi(line), first + n);
        }
        CU_ASSERT(first > before);
        /* One that began before it was told may have ended after. */
        CU_ASSERT(first <= told + 2);
        toy_send(b, "UNSUBSCRIBE c\r\n");
        while (toy_gets_line(b, "", line, sizeof(line)) && strcmp(line, "unsubscribe") != 0) {
        }
        CU_ASSERT(toy_gets(b, "$1\r\nc\r\n:0\r\n"));
        /* Nothing more comes once it was told that it left. */
        toy_send(b, "TECHO x\r\n");
        CU_ASSERT(toy_gets(b, "$1\r\nx\r\n"));
        char drain[4096];

        while (recv(a, drain, sizeof(drain), MSG_DONTWAIT) > 0) {
        }
    }
    atomic_store(&is_racing, false);
    pthread_join(thread, NULL);
    stop_two();
}

/* --- P3: the gate, and the replies ------------------------------------------------------------ */

static void waits_at_the_gate(void)
{
    start_two();
    toy_send(a, "SUBSCRIBE c\r\n");
    CU_ASSERT(toy_gets(a, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"));
    CU_ASSERT_EQUAL(publish_at(PUBSUB_CHANNEL, "c", "x", 5), 1);
    CU_ASSERT_EQUAL(publish_at(PUBSUB_CHANNEL, "c", "y", 3), 1);
    toy_send(b, "TECHO x\r\nTECHO x\r\n"); /* a turn or two later */
    CU_ASSERT(toy_gets(b, "$1\r\nx\r\n$1\r\nx\r\n"));
    CU_ASSERT(toy_is_silent(a));
    toy_gate_set(&toy, 5);
    CU_ASSERT(toy_gets(a, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"
                          "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\ny\r\n"));
    stop_two();
}

static void speak_resp3(int fd)
{
    char line[64];

    toy_send(fd, "HELLO 3\r\n");
    while (toy_gets_line(fd, "", line, sizeof(line)) && strcmp(line, "*0") != 0) {
    }
}

static bool is_one_waiting(void *arg)
{
    (void)arg;
    return atomic_load(&toy.waiting) > 0;
}

/* One whose command waits for long hears at once; but not before what its batch answered already. */
static void comes_while_a_command_waits(void)
{
    start_two();
    speak_resp3(a);
    toy_send(a, "SUBSCRIBE c\r\n");
    CU_ASSERT(toy_gets(a, ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"));
    toy_send(a, "TLATER\r\n");
    CU_ASSERT(toy_until(is_one_waiting, NULL));
    CU_ASSERT_EQUAL(publish("c", "x"), 1);
    CU_ASSERT(toy_gets(a, ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"));
    toy_release(&toy);
    CU_ASSERT(toy_gets(a, "+OK\r\n"));
    atomic_store(&toy.later_may_go, false);
    atomic_store(&toy.waiting, 0);
    toy_send(a, "TECHO 1\r\nTLATER\r\n");
    CU_ASSERT(toy_until(is_one_waiting, NULL));
    CU_ASSERT_EQUAL(publish("c", "y"), 1);
    toy_release(&toy);
    /* An inline request is a batch of its own; here the first was answered before. */
    CU_ASSERT(toy_gets(a, "$1\r\n1\r\n"));
    char line[64];
    bool message = false;

    for (int i = 0; i < 8; i++) { /* the reply and the message, whole, in either order */
        CU_ASSERT(toy_gets_line(a, "", line, sizeof(line)));
        message |= strcmp(line, ">3") == 0;
    }
    CU_ASSERT(message);
    atomic_store(&toy.later_may_go, false);
    atomic_store(&toy.waiting, 0);
    toy_send(
        a,
        "*2\r\n$5\r\nTECHO\r\n$1\r\n1\r\n*1\r\n$6\r\nTLATER\r\n*2\r\n$5\r\nTECHO\r\n$1\r\n2\r\n");
    CU_ASSERT(toy_until(is_one_waiting, NULL));
    CU_ASSERT_EQUAL(publish("c", "z"), 1);
    CU_ASSERT(toy_is_silent(a));
    toy_release(&toy);
    CU_ASSERT(
        toy_gets(a, "$1\r\n1\r\n+OK\r\n$1\r\n2\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nz\r\n"));
    stop_two();
}

/* --- P4 --------------------------------------------------------------------------------------- */

static bool is_a_forgotten(void *arg)
{
    (void)arg;
    return pubsub_count(NULL, PUBSUB_CHANNEL) == 0;
}

static void closes_who_does_not_read(void)
{
    static char text[64 * 1024];

    start_two();
    toy_set("output-limit-pubsub", "1mb");
    memset(text, 'x', sizeof(text) - 1);
    toy_send(a, "SUBSCRIBE c\r\n");
    CU_ASSERT(toy_gets(a, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"));
    uint64_t before = client_stats_sum().output_limit;

    for (int i = 0; i < 10000 && publish("c", text) > 0; i++) {
        toy_send(b, "TECHO x\r\n"); /* about as fast as a turn */
        CU_ASSERT(toy_gets(b, "$1\r\nx\r\n"));
    }
    CU_ASSERT(toy_until(is_a_forgotten, NULL));
    CU_ASSERT(client_stats_sum().output_limit > before);
    stop_two();
}

/* client-output-buffer-limit: past the soft limit for its seconds, though far below the hard one, and nothing
 * more is sent meanwhile. */
static void closes_who_stays_past_the_soft_limit(void)
{
    static char text[64 * 1024];

    start_two();
    toy_set("client-output-buffer-limit", "pubsub 0 1mb 1");
    memset(text, 'x', sizeof(text) - 1);
    toy_send(a, "SUBSCRIBE c\r\n");
    CU_ASSERT(toy_gets(a, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"));
    uint64_t before = client_stats_sum().output_limit;
    int64_t begun = clock_mono_ns();

    for (int i = 0; i < 160;
         i++) { /* 10 MB: more than the kernel takes, less than output-limit-pubsub */
        CU_ASSERT_EQUAL(publish("c", text), 1);
        toy_send(b, "TECHO x\r\n");
        CU_ASSERT(toy_gets(b, "$1\r\nx\r\n"));
    }
    CU_ASSERT(toy_until(is_a_forgotten, NULL));
    CU_ASSERT(clock_mono_ns() - begun > 1000000000);
    CU_ASSERT(client_stats_sum().output_limit > before);
    stop_two();
}

/* One who reads gets a burst that is many times its limit: it is written as it comes. */
static void carries_a_burst(void)
{
    static char text[64 * 1024];
    static char got[sizeof(text) + 64];

    start_two();
    toy_set("output-limit-pubsub", "1mb");
    memset(text, 'x', sizeof(text) - 1);
    toy_send(a, "SUBSCRIBE c\r\n");
    CU_ASSERT(toy_gets(a, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"));
    int head =
        snprintf(got, sizeof(got), "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%zu\r\n", sizeof(text) - 1);

    memcpy(got + head, text, sizeof(text) - 1);
    memcpy(got + head + sizeof(text) - 1, "\r\n", 3);
    for (int i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(publish("c", text), 1);
        CU_ASSERT(toy_gets(a, got));
    }
    stop_two();
}

static void bounds_subscriptions(void)
{
    size_t len = 1 << 20;
    char *name = malloc(len);
    char head[64];
    char line[128];
    int n = 0;

    start_two();
    speak_resp3(a);
    memset(name, 'n', len);
    do {
        int at = snprintf(head, sizeof(head), "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n", len);

        memcpy(name, (char[2]){(char)('a' + n / 26), (char)('a' + n % 26)}, 2);
        toy_send_bytes(a, head, (size_t)at);
        toy_send_bytes(a, name, len);
        toy_send(a, "\r\n");
        CU_ASSERT(toy_gets_line(a, "", line, sizeof(line)));
        if (line[0] == '-') {
            break;
        }
        for (int i = 0; i < 3; i++) {
            CU_ASSERT(toy_gets_line(a, "", line, sizeof(line)));
        }
        char *rest = malloc(len + 2);

        for (size_t have = 0; have < len + 2;) {
            ssize_t got = recv(a, rest, len + 2 - have, 0);

            CU_ASSERT_FATAL(got > 0);
            have += (size_t)got;
        }
        free(rest);
        CU_ASSERT(toy_gets_line(a, ":", line, sizeof(line)));
        n++;
    } while (n < 100);
    CU_ASSERT(n > 20 && n < 100);
    CU_ASSERT_EQUAL(strcmp(line, "-ERR the subscriptions of this connection take too much memory"),
                    0);
    free(name);
    stop_two();
}

/* Both listen: a to the channel, b to that and to two patterns, so a message goes five ways. */
static void listen_in_four_ways(void)
{
    start_two();
    toy_send(a, "SUBSCRIBE c\r\n");
    toy_send(b, "SUBSCRIBE c\r\nPSUBSCRIBE c* *\r\n");
    CU_ASSERT(toy_gets(a, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"));
    CU_ASSERT(toy_gets(b, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
                          "*3\r\n$10\r\npsubscribe\r\n$2\r\nc*\r\n:2\r\n"
                          "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:3\r\n"));
}

#define TO_A(text)          "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\n" text "\r\n"
#define TO_B(pattern, text) "*4\r\n$8\r\npmessage\r\n" pattern "\r\n$1\r\nc\r\n$3\r\n" text "\r\n"

/* The table has the newest pattern last. */
static bool both_get(const char *to_a, const char *to_b)
{
    return toy_gets(a, to_a) && toy_gets(b, to_b);
}

/* PUBLISH answers an error, and nobody has a part of what it did not publish. */
static void without_memory_nothing_is_published(void)
{
    int faults = 0;

    listen_in_four_ways();
    log_level_set(LOG_ERROR - 1);
    for (int64_t got = ERR_NOMEM; got < 0 && faults < 100;) {
        fault_fail_nth(++faults);
        got = publish("c", "one");
        (void)fault_off();
        CU_ASSERT(got == ERR_NOMEM || got == 4);
    }
    log_level_set(LOG_INFO);
    CU_ASSERT_EQUAL(faults, 6); /* four listeners, the message, and none fails */
    CU_ASSERT(both_get(TO_A("one"), TO_A("one") TO_B("$2\r\nc*", "one") TO_B("$1\r\n*", "one")));
    CU_ASSERT_EQUAL(publish("c", "two"), 4);
    CU_ASSERT(both_get(TO_A("two"), TO_A("two") TO_B("$2\r\nc*", "two") TO_B("$1\r\n*", "two")));
    stop_two();
}

/* What has happened is told of whatever fails: who cannot be told is closed, who can be hears it. */
static void without_memory_who_misses_an_announcement_is_closed(void)
{
    for (int nth = 1; nth <= 5; nth++) {
        listen_in_four_ways();
        uint64_t before = client_stats_sum().output_limit;

        log_level_set(LOG_ERROR - 1);
        fault_fail_nth(nth);
        pubsub_announce(NULL, PUBSUB_CHANNEL, SLICE("c"), SLICE("one"), 0);
        CU_ASSERT_EQUAL(fault_off(), 5);
        bool has_a = recv(a, (char[1]){0}, 1, MSG_PEEK) == 1;
        char got[512] = {0};
        size_t len = 0;

        for (ssize_t n = 1;
             n > 0 && len < sizeof(got) - 1 &&
             strcmp(got, TO_A("one") TO_B("$2\r\nc*", "one") TO_B("$1\r\n*", "one")) != 0;
             len += n > 0 ? (size_t)n : 0) {
            n = recv(b, got + len, 1, 0);
        }
        bool has_b =
            strlen(got) == strlen(TO_A("one") TO_B("$2\r\nc*", "one") TO_B("$1\r\n*", "one"));

        CU_ASSERT(has_a ? toy_gets(a, TO_A("one")) : toy_is_closed(a));
        CU_ASSERT(has_b || toy_is_closed(b));
        CU_ASSERT_EQUAL(client_stats_sum().output_limit - before, (uint64_t)!has_a + !has_b);
        CU_ASSERT(nth == 5 ? !has_a && !has_b
                           : has_a != has_b); /* the fifth is the message itself */
        log_level_set(LOG_INFO);
        stop_two();
    }
}

static void fail_on_both(int nth)
{
    toy_fault(&toy, 0, nth);
    toy_fault(&toy, 1, nth);
}

/* A message that came to the listener's worker and has no room in its output. */
static void without_memory_for_its_output_a_listener_is_closed(void)
{
    listen_in_four_ways();
    uint64_t before = client_stats_sum().output_limit;

    log_level_set(LOG_ERROR - 1);
    fail_on_both(1);
    CU_ASSERT_EQUAL(publish("c", "one"), 4);
    CU_ASSERT(toy_is_closed(a));
    CU_ASSERT(toy_is_closed(b));
    CU_ASSERT_EQUAL(client_stats_sum().output_limit - before, 2);
    fail_on_both(0);
    log_level_set(LOG_INFO);
    stop_two();
}

/* SUBSCRIBE where there is no memory answers so and listens to nothing, or it hears. */
static void subscribes_wholly_or_not_at_all(void)
{
    int nth = 0;
    bool ok = false;

    start_two();
    while (!ok && nth < 100) {
        char line[128];

        fail_on_both(++nth);
        toy_send(a, "SUBSCRIBE c\r\n");
        (void)toy_gets_line(a, "", line, sizeof(line));
        if (line[0] == '\0') {
            close(a);
            fail_on_both(0);
            a = toy_connect(&toy); /* no memory for the reply either */
        } else if (line[0] == '-') {
            CU_ASSERT_NSTRING_EQUAL(line, "-OOM ", 5);
            CU_ASSERT_EQUAL(publish("c", "x"), 0);
        } else {
            CU_ASSERT(toy_gets(a, "$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"));
            fail_on_both(0);
            CU_ASSERT_EQUAL(publish("c", "one"), 1);
            CU_ASSERT(toy_gets(a, TO_A("one")));
            ok = true;
        }
    }
    fail_on_both(0);
    CU_ASSERT(ok);
    CU_ASSERT(nth > 3);
    stop_two();
}

/* --- P5 --------------------------------------------------------------------------------------- */

static void databases_share_nothing(void)
{
    static const char other[256]; /* as good an address as any */
    const struct database *db = (const void *)&other[64];

    start_two();
    toy_send(a, "SUBSCRIBE c\r\nPSUBSCRIBE *\r\n");
    CU_ASSERT(toy_gets(a, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
                          "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:2\r\n"));
    CU_ASSERT_EQUAL(pubsub_publish(db, PUBSUB_CHANNEL, SLICE("c"), SLICE("x"), 0), 0);
    CU_ASSERT_EQUAL(pubsub_count(db, PUBSUB_CHANNEL), 0);
    CU_ASSERT_EQUAL(publish("c", "y"), 2);
    CU_ASSERT(toy_gets(a, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\ny\r\n"));
    stop_two();
}

static void put_name(void *arg, struct slice name)
{
    (void)name;
    (*(int *)arg)++;
}

/* Tables grow and shrink with thousands of names. */
static void holds_many(void)
{
    enum { MANY = 600 };
    char line[64];
    int seen = 0;

    start_two();
    for (int i = 0; i < MANY; i++) {
        char text[64];

        (void)snprintf(text, sizeof(text), "SUBSCRIBE %d\r\n", i);
        toy_send(a, text);
        for (int n = 0; n < 6; n++) {
            CU_ASSERT_FATAL(toy_gets_line(a, "", line, sizeof(line)));
        }
    }
    CU_ASSERT_EQUAL(pubsub_count(NULL, PUBSUB_CHANNEL), MANY);
    for (uint32_t i = 0; pubsub_walk(NULL, PUBSUB_CHANNEL, i, put_name, &seen); i++) {
    }
    CU_ASSERT_EQUAL(seen, MANY);
    CU_ASSERT_EQUAL(publish("599", "x"), 1);
    CU_ASSERT(toy_gets(a, "*3\r\n$7\r\nmessage\r\n$3\r\n599\r\n$1\r\nx\r\n"));
    toy_send(a, "UNSUBSCRIBE\r\n");
    for (int i = 0; i < MANY * 6; i++) {
        CU_ASSERT_FATAL(toy_gets_line(a, "", line, sizeof(line)));
    }
    CU_ASSERT_EQUAL(strcmp(line, ":0"), 0);
    CU_ASSERT(nobody_listens(NULL));
    stop_two();
}

const struct unit_test test_pubsub[] = {
    UNIT(joins_and_leaves),
    UNIT(bars_what_is_no_message),
    UNIT(lists_subscribers),
    UNIT(keeps_the_order_of_a_channel),
    UNIT(hears_all_from_its_joining_on),
    UNIT(waits_at_the_gate),
    UNIT(comes_while_a_command_waits),
    UNIT(closes_who_does_not_read),
    UNIT(closes_who_stays_past_the_soft_limit),
    UNIT(carries_a_burst),
    UNIT(bounds_subscriptions),
    UNIT(without_memory_nothing_is_published),
    UNIT(without_memory_who_misses_an_announcement_is_closed),
    UNIT(without_memory_for_its_output_a_listener_is_closed),
    UNIT(subscribes_wholly_or_not_at_all),
    UNIT(databases_share_nothing),
    UNIT(holds_many),
    UNIT_END,
};
