#include "tests/lib/unit.h"
#include "tests/unit/edge/toy.h"

#include "edge/client.h"

#include <stdlib.h>
#include <unistd.h>

static struct toy toy;

static uint64_t requests_seen(void)
{
    return client_stats_sum().requests;
}

/* Door commands, backend commands, errors: replies come in the order of the requests. */
static void answers_in_order(void)
{
    toy_start(&toy, 1, NULL);
    int fd = toy_connect(&toy);

    toy_send(fd, "TECHO a\r\nPING\r\n*2\r\n$5\r\nTECHO\r\n$1\r\nb\r\n*1\r\n$4\r\nPING\r\nNONE x\r\n"
                 "TECHO\r\nTECHO c\r\nPING d\r\n\r\n*0\r\nTECHO e\r\n");
    CU_ASSERT(toy_gets(fd, "$1\r\na\r\n+PONG\r\n$1\r\nb\r\n+PONG\r\n"
                           "-ERR unknown command 'NONE', with args beginning with: 'x' \r\n"
                           "-ERR wrong number of arguments for 'techo' command\r\n"
                           "$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n"));
    close(fd);
    toy_stop(&toy);
}

/* The same requests, each byte a packet of its own. */
static void resumes_at_every_byte(void)
{
    static const char text[] =
        "*2\r\n$5\r\nTECHO\r\n$3\r\nabc\r\nPING x\r\n*2\r\n$5\r\ntecho\r\n$1\r\nz\r\n";

    toy_start(&toy, 1, NULL);
    int fd = toy_connect(&toy);

    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        toy_send_bytes(fd, text + i, 1);
    }
    CU_ASSERT(toy_gets(fd, "$3\r\nabc\r\n$1\r\nx\r\n$1\r\nz\r\n"));
    close(fd);
    toy_stop(&toy);
}

/* More requests than a batch, a read and a turn hold. */
static void carries_a_deep_pipeline(void)
{
    enum { N = 20000 };
    char *in = malloc(N * 40);
    char *out = malloc(N * 16);
    size_t in_len = 0, out_len = 0;

    toy_start(&toy, 1, NULL);
    int fd = toy_connect(&toy);

    for (int i = 0; i < N; i++) {
        in_len += (size_t)sprintf(in + in_len, "*2\r\n$5\r\nTECHO\r\n$5\r\n%05d\r\n", i);
        out_len += (size_t)sprintf(out + out_len, "$5\r\n%05d\r\n", i);
    }
    toy_send_bytes(fd, in, in_len);
    CU_ASSERT(toy_gets(fd, out));
    CU_ASSERT_EQUAL(requests_seen(), N);
    free(in);
    free(out);
    close(fd);
    toy_stop(&toy);
}

/* An argument larger than any buffer that the worker lends. */
static void carries_large_arguments(void)
{
    enum { LEN = 3 * 1000 * 1000 };
    char *text = malloc(LEN + 64);
    char head[64];

    toy_start(&toy, 1, NULL);
    int fd = toy_connect(&toy);

    memset(text, 'v', LEN);
    sprintf(head, "*2\r\n$5\r\nTECHO\r\n$%d\r\n", LEN);
    toy_send(fd, head);
    toy_send_bytes(fd, text, LEN);
    toy_send(fd, "\r\nPING\r\n");
    sprintf(head, "$%d\r\n", LEN);
    CU_ASSERT(toy_gets(fd, head));
    strcpy(text + LEN, "\r\n+PONG\r\n");
    CU_ASSERT(toy_gets(fd, text));
    free(text);
    close(fd);
    toy_stop(&toy);
}

/* More arguments than a batch has places for. */
static void carries_many_arguments(void)
{
    enum { N = 5000 };
    char *text = malloc(N * 16);
    size_t len = (size_t)sprintf(text, "TECHO a\r\n*%d\r\n$5\r\nTECHO\r\n", N);

    toy_start(&toy, 1, NULL);
    int fd = toy_connect(&toy);

    for (int i = 1; i < N; i++) {
        len += (size_t)sprintf(text + len, "$1\r\nx\r\n");
    }
    sprintf(text + len, "TECHO b\r\n");
    toy_send(fd, text);
    CU_ASSERT(toy_gets(fd, "$1\r\na\r\n-ERR wrong number of arguments for 'techo' command\r\n"
                           "$1\r\nb\r\n"));
    free(text);
    close(fd);
    toy_stop(&toy);
}

/* A batch that the backend finishes later holds its own session only, and nothing overtakes it. */
static void waits_for_its_own_session_only(void)
{
    toy_start(&toy, 1, NULL);
    int slow = toy_connect(&toy);
    int quick = toy_connect(&toy);

    toy_send(slow, "TECHO 1\r\nTLATER\r\nTECHO 2\r\nPING\r\n*2\r\n$5\r\nTECHO\r\n$1\r\n");
    CU_ASSERT(toy_count_becomes(&toy.waiting, 1));
    toy_send(slow, "3\r\n");
    toy_send(quick, "PING\r\nTECHO q\r\n");
    CU_ASSERT(toy_gets(quick, "+PONG\r\n$1\r\nq\r\n"));
    CU_ASSERT(toy_gets(slow, "$1\r\n1\r\n")); /* what came before is not held back */
    CU_ASSERT(toy_is_silent(slow));
    toy_release(&toy);
    CU_ASSERT(toy_gets(slow, "+OK\r\n$1\r\n2\r\n+PONG\r\n$1\r\n3\r\n"));
    CU_ASSERT_EQUAL(atomic_load(&toy.cancelled), 0);
    close(slow);
    close(quick);
    toy_stop(&toy);
}

/* The same with encoded requests, whose arguments lie in the buffer that was lent. */
static void keeps_arguments_while_it_waits(void)
{
    toy_start(&toy, 1, NULL);
    int slow = toy_connect(&toy);
    int quick = toy_connect(&toy);

    toy_send(slow, "*1\r\n$6\r\nTLATER\r\n*2\r\n$5\r\nTECHO\r\n$6\r\nprecis\r\n");
    CU_ASSERT(toy_count_becomes(&toy.waiting, 1));
    for (int i = 0; i < 10; i++) {
        toy_send(quick, "*2\r\n$5\r\nTECHO\r\n$9\r\noverwrite\r\n*2\r\n$5\r\nTECHO\r\n$1\r\nq\r\n");
        CU_ASSERT(toy_gets(quick, "$9\r\noverwrite\r\n$1\r\nq\r\n"));
    }
    toy_release(&toy);
    CU_ASSERT(toy_gets(slow, "+OK\r\n$6\r\nprecis\r\n"));
    close(slow);
    close(quick);
    toy_stop(&toy);
}

/* Promise: a client that goes away cancels what it asked. */
static void cancels_for_who_left(void)
{
    toy_start(&toy, 1, NULL);
    int fd = toy_connect(&toy);

    toy_send(fd, "TLATER\r\n");
    CU_ASSERT(toy_count_becomes(&toy.waiting, 1));
    close(fd);
    CU_ASSERT(toy_count_becomes(&toy.cancelled, 1));
    CU_ASSERT(toy_count_becomes(&toy.closed_sessions, 1));
    toy_release(&toy); /* of nobody */
    fd = toy_connect(&toy);
    toy_send(fd, "PING\r\n");
    CU_ASSERT(toy_gets(fd, "+PONG\r\n"));
    close(fd);
    toy_stop(&toy);
}

/* Promise: no reply leaves before the gate agrees, and none overtakes one that waits. */
static void holds_replies_at_the_gate(void)
{
    toy_start(&toy, 1, NULL);
    int fd = toy_connect(&toy);
    int other = toy_connect(&toy);

    toy_send(fd, "TGATE 7\r\n");
    CU_ASSERT(toy_count_becomes(&toy.waiting, 1));
    toy_send(fd, "PING\r\n");
    toy_send(other, "PING\r\n");
    CU_ASSERT(toy_gets(other, "+PONG\r\n"));
    CU_ASSERT(toy_is_silent(fd));
    toy_gate_set(&toy, 6);
    CU_ASSERT(toy_count_becomes(&toy.waiting, 2)); /* asked again, and again not yet */
    CU_ASSERT(toy_is_silent(fd));
    toy_gate_set(&toy, 7);
    CU_ASSERT(toy_gets(fd, "+OK\r\n+PONG\r\n"));
    close(fd);
    close(other);
    toy_stop(&toy);
}

/* What is no RESP ends the connection, after everything before it was answered. */
static void ends_what_is_no_resp(void)
{
    toy_start(&toy, 1, NULL);
    int fd = toy_connect(&toy);

    toy_send(fd, "*2\r\n$5\r\nTECHO\r\n$1\r\na\r\n*1\r\n!bad\r\nPING\r\n");
    CU_ASSERT(toy_gets(fd, "$1\r\na\r\n-ERR Protocol error: expected '$', got '!'\r\n"));
    CU_ASSERT(toy_is_closed(fd));
    CU_ASSERT_EQUAL(client_stats_sum().protocol_errors, 1);
    close(fd);
    toy_stop(&toy);
}

/* A web page can make a browser post to any port. */
static void closes_what_a_browser_sends(void)
{
    static const char *const heads[] = {"POST / HTTP/1.1\r\n", "Host: x\r\n"};

    toy_start(&toy, 1, NULL);
    for (int i = 0; i < 2; i++) {
        int fd = toy_connect(&toy);

        toy_send(fd, heads[i]);
        toy_send(fd, "TECHO stolen\r\n");
        CU_ASSERT(toy_is_closed(fd));
        close(fd);
    }
    CU_ASSERT_EQUAL(atomic_load(&toy.ran), 0);
    toy_stop(&toy);
}

static void speaks_both_protocols(void)
{
    char line[256];

    toy_start(&toy, 1, NULL);
    int fd = toy_connect(&toy);

    toy_send(fd, "TNULL\r\nTMAP\r\n");
    CU_ASSERT(toy_gets(fd, "$-1\r\n*2\r\n$1\r\nk\r\n:1\r\n"));
    toy_send(fd, "HELLO 3 SETNAME me\r\n");
    CU_ASSERT(toy_gets_line(fd, "%7", line, sizeof(line)));
    for (int i = 0; i < 25 && toy_gets_line(fd, "", line, sizeof(line)); i++) {
    }
    toy_send(fd, "TNULL\r\nTMAP\r\nHELLO 4\r\nCLIENT GETNAME\r\nRESET\r\nTNULL\r\n");
    CU_ASSERT(toy_gets(fd, "_\r\n%1\r\n$1\r\nk\r\n:1\r\n-NOPROTO unsupported protocol version\r\n"
                           "$2\r\nme\r\n+RESET\r\n$-1\r\n"));
    close(fd);
    toy_stop(&toy);
}

const struct unit_test test_door_resp[] = {
    UNIT(answers_in_order),
    UNIT(resumes_at_every_byte),
    UNIT(carries_a_deep_pipeline),
    UNIT(carries_large_arguments),
    UNIT(carries_many_arguments),
    UNIT(waits_for_its_own_session_only),
    UNIT(keeps_arguments_while_it_waits),
    UNIT(cancels_for_who_left),
    UNIT(holds_replies_at_the_gate),
    UNIT(ends_what_is_no_resp),
    UNIT(closes_what_a_browser_sends),
    UNIT(speaks_both_protocols),
    UNIT_END,
};
