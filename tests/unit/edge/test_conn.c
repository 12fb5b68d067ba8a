/* The bounds of a connection: each names the counter that tells of it. */
#include "tests/lib/unit.h"
#include "tests/unit/edge/toy.h"

#include "edge/client.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static struct toy toy;

/* One client too many is told so; a place that becomes free is given again. */
static void refuses_more_than_maxclients(void)
{
    toy_start(&toy, 2, NULL);
    toy_set("maxclients", "2");
    uint64_t before = client_stats_sum().rejected;
    int a = toy_connect(&toy);
    int b = toy_connect(&toy);

    toy_send(a, "PING\r\n");
    toy_send(b, "PING\r\n");
    CU_ASSERT(toy_gets(a, "+PONG\r\n"));
    CU_ASSERT(toy_gets(b, "+PONG\r\n"));
    int c = toy_connect(&toy);

    CU_ASSERT(toy_gets(c, "-ERR max number of clients reached\r\n"));
    CU_ASSERT(toy_is_closed(c));
    CU_ASSERT_EQUAL(client_stats_sum().rejected - before, 1);
    close(c);
    close(a);
    CU_ASSERT(toy_count_becomes(&toy.closed_sessions, 1));
    bool served = false;

    for (int i = 0; i < 1000 && !served; i++) { /* its memory is freed a moment later */
        char line[64] = "";

        c = toy_connect(&toy);
        toy_send(c, "PING\r\n");
        (void)!recv(c, line, sizeof(line) - 1, 0);
        served = strcmp(line, "+PONG\r\n") == 0;
        close(c);
    }
    CU_ASSERT(served);
    close(b);
    toy_stop(&toy);
}

static bool has_output_closed(void *arg)
{
    return client_stats_sum().output_limit > *(uint64_t *)arg;
}

/* A client that never reads stops being served at its limit, and is closed when it stays so. Others
 * do not notice. */
static void bounds_what_nobody_reads(void)
{
    toy_start(&toy, 1, NULL);
    toy_set("output-limit", "1mb");
    uint64_t before = client_stats_sum().output_limit;
    int deaf = toy_connect(&toy);
    int other = toy_connect(&toy);
    uint32_t ran;

    for (int i = 0; i < 1000; i++) {
        toy_send(deaf, "*2\r\n$4\r\nTBIG\r\n$6\r\n100000\r\n");
    }
    do { /* until it stands still: the kernel's buffers are full, and the limit is passed */
        ran = atomic_load(&toy.ran);
        for (int i = 0; i < 20; i++) {
            toy_send(other, "PING\r\n");
            CU_ASSERT(toy_gets(other, "+PONG\r\n"));
        }
    } while (ran != atomic_load(&toy.ran));
    CU_ASSERT(ran < 200); /* the limit, the kernel's buffers, and a turn: not a batch of 128 */
    CU_ASSERT(toy_until(has_output_closed, &before));
    toy_send(other, "PING\r\n");
    CU_ASSERT(toy_gets(other, "+PONG\r\n"));
    close(deaf);
    close(other);
    toy_stop(&toy);
}

/* The same client, but it reads in the end: it gets everything, since one may be slow. */
static void serves_who_reads_late(void)
{
    enum { N = 400, LEN = 100000 };
    size_t want = N * (LEN + sizeof("$100000\r\n\r\n") - 1);
    size_t have = 0;
    char *block = malloc(1 << 20);

    toy_start(&toy, 1, NULL);
    toy_set("output-limit", "1mb");
    int fd = toy_connect(&toy);

    for (int i = 0; i < N; i++) {
        toy_send(fd, "*2\r\n$4\r\nTBIG\r\n$6\r\n100000\r\n");
    }
    while (have < want) {
        ssize_t n = recv(fd, block, 1 << 20, 0);

        if (n <= 0) {
            break;
        }
        have += (size_t)n;
    }
    CU_ASSERT_EQUAL(have, want);
    toy_send(fd, "PING\r\n");
    CU_ASSERT(toy_gets(fd, "+PONG\r\n"));
    free(block);
    close(fd);
    toy_stop(&toy);
}

/* A request that never becomes whole. */
static void closes_what_trickles(void)
{
    toy_start(&toy, 1, NULL);
    toy_set("request-timeout", "1");
    uint64_t before = client_stats_sum().trickle;
    int fd = toy_connect(&toy);
    int other = toy_connect(&toy);

    toy_send(fd, "*2\r\n$5\r\nTECHO\r\n$3\r\na");
    CU_ASSERT(toy_is_closed(fd));
    CU_ASSERT_EQUAL(client_stats_sum().trickle - before, 1);
    toy_send(other, "PING\r\n"); /* silent for as long, but it has begun nothing */
    CU_ASSERT(toy_gets(other, "+PONG\r\n"));
    close(fd);
    close(other);
    toy_stop(&toy);
}

static void closes_who_is_idle(void)
{
    toy_start(&toy, 1, NULL);
    toy_set("timeout", "1");
    uint64_t before = client_stats_sum().idle_timeout;
    int fd = toy_connect(&toy);

    CU_ASSERT(toy_is_closed(fd));
    CU_ASSERT_EQUAL(client_stats_sum().idle_timeout - before, 1);
    close(fd);
    toy_stop(&toy);
}

static void bounds_the_query_buffer(void)
{
    static char block[1 << 16];

    toy_start(&toy, 1, NULL);
    toy_set("client-query-buffer-limit", "1mb");
    uint64_t before = client_stats_sum().input_limit;
    int fd = toy_connect(&toy);

    toy_send(fd, "*2\r\n$5\r\nTECHO\r\n$9000000\r\n");
    for (int i = 0; i < 200; i++) {
        toy_send_bytes(fd, block, sizeof(block));
    }
    CU_ASSERT(toy_is_closed(fd));
    CU_ASSERT_EQUAL(client_stats_sum().input_limit - before, 1);
    close(fd);
    toy_stop(&toy);
}

/* Whoever has not said who it is gets small requests only. */
static void bounds_strangers(void)
{
    toy_start(&toy, 1, "secret");
    int fd = toy_connect(&toy);

    toy_send(fd, "*2\r\n$5\r\nTECHO\r\n$20000\r\n");
    CU_ASSERT(toy_gets(fd, "-ERR Protocol error: unauthenticated bulk length\r\n"));
    CU_ASSERT(toy_is_closed(fd));
    close(fd);
    fd = toy_connect(&toy);
    toy_send(fd, "*11\r\n");
    CU_ASSERT(toy_gets(fd, "-ERR Protocol error: unauthenticated multibulk length\r\n"));
    CU_ASSERT(toy_is_closed(fd));
    close(fd);
    toy_stop(&toy);
}

static bool has_accept_errors(void *arg)
{
    return client_stats_sum().accept_errors > *(uint64_t *)arg;
}

/* Out of descriptors the listener rests; when some are free again it goes on by itself. */
static void survives_running_out_of_descriptors(void)
{
    struct rlimit old, low;

    toy_start(&toy, 1, NULL);
    int first = toy_connect(&toy);

    toy_send(first, "PING\r\n");
    CU_ASSERT(toy_gets(first, "+PONG\r\n"));
    uint64_t before = client_stats_sum().accept_errors;
    int waiting = toy_connect(&toy); /* fills the lowest free place on our side of the wire */

    toy_send(waiting, "PING\r\n");
    CU_ASSERT(toy_gets(waiting, "+PONG\r\n"));
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &old), 0);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(toy.listener.port)};

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    low = old;
    low.rlim_cur = (rlim_t)late + 1; /* the next descriptor is refused */
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &low), 0);
    CU_ASSERT_EQUAL(connect(late, (struct sockaddr *)&a, sizeof(a)), 0);
    CU_ASSERT(toy_until(has_accept_errors, &before));
    toy_send(first, "PING\r\n"); /* who is served does not notice */
    CU_ASSERT(toy_gets(first, "+PONG\r\n"));
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &old), 0);
    toy_send(late, "PING\r\n");
    CU_ASSERT(toy_gets(late, "+PONG\r\n"));
    close(first);
    close(waiting);
    close(late);
    toy_stop(&toy);
}

/* One that says goodbye with its last request still gets the answers. */
static void answers_who_half_closes(void)
{
    enum { N = 64, LEN = 100000 };
    size_t want = N * (LEN + sizeof("$100000\r\n\r\n") - 1);
    size_t have = 0;
    char *block = malloc(1 << 16);

    toy_start(&toy, 1, NULL);
    int fd = toy_connect(&toy);

    for (int i = 0; i < N; i++) {
        toy_send(fd, "*2\r\n$4\r\nTBIG\r\n$6\r\n100000\r\n");
    }
    (void)shutdown(fd, SHUT_WR);
    for (ssize_t n; (n = recv(fd, block, 1 << 16, 0)) > 0;) {
        have += (size_t)n;
    }
    CU_ASSERT_EQUAL(have, want);
    free(block);
    close(fd);
    toy_stop(&toy);
}

const struct unit_test test_conn[] = {
    UNIT(refuses_more_than_maxclients),
    UNIT(bounds_what_nobody_reads),
    UNIT(serves_who_reads_late),
    UNIT(closes_what_trickles),
    UNIT(closes_who_is_idle),
    UNIT(bounds_the_query_buffer),
    UNIT(bounds_strangers),
    UNIT(survives_running_out_of_descriptors),
    UNIT(answers_who_half_closes),
    UNIT_END,
};
