/* What clients learn of and do to one another, over two workers. */
#include "tests/lib/unit.h"
#include "tests/unit/edge/toy.h"

#include "edge/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct toy toy;
static int a, b; /* on different workers */

static void start_two(void)
{
    toy_start(&toy, 2, NULL);
    a = toy_connect(&toy);
    toy_send(a, "CLIENT SETNAME alice\r\n");
    CU_ASSERT(toy_gets(a, "+OK\r\n"));
    b = toy_connect(&toy);
    toy_send(b, "CLIENT SETNAME bob\r\n");
    CU_ASSERT(toy_gets(b, "+OK\r\n"));
    CU_ASSERT_EQUAL(atomic_load(&toy.workers[0].worker.load), 1); /* the listener spreads them */
    CU_ASSERT_EQUAL(atomic_load(&toy.workers[1].worker.load), 1);
}

static void stop_two(void)
{
    close(a);
    close(b);
    toy_stop(&toy);
}

static uint64_t id_of(int fd)
{
    char line[64];

    toy_send(fd, "CLIENT ID\r\n");
    CU_ASSERT(toy_gets_line(fd, ":", line, sizeof(line)));
    return strtoull(line + 1, NULL, 10);
}

static void lists_all_workers(void)
{
    char line[512];

    start_two();
    toy_send(a, "CLIENT LIST\r\nPING\r\n");
    CU_ASSERT(toy_gets_line(a, "$", line, sizeof(line)));
    bool alice = false, bob = false;

    for (int i = 0; i < 2; i++) {
        CU_ASSERT(toy_gets_line(a, "id=", line, sizeof(line)));
        alice |= strstr(line, " name=alice ") != NULL && strstr(line, " cmd=client|list ") != NULL;
        bob |= strstr(line, " name=bob ") != NULL && strstr(line, " cmd=client|setname ") != NULL;
        CU_ASSERT_PTR_NOT_NULL(strstr(line, " addr=127.0.0.1:"));
        CU_ASSERT_PTR_NOT_NULL(strstr(line, " user=default redir=-1 resp=2 lib-name= lib-ver="));
    }
    CU_ASSERT(alice);
    CU_ASSERT(bob);
    CU_ASSERT(toy_gets(a, "\r\n+PONG\r\n"));
    toy_send(a, "CLIENT LIST TYPE pubsub\r\nCLIENT LIST TYPE x\r\nCLIENT LIST ID 0\r\n");
    CU_ASSERT(toy_gets(a, "$0\r\n\r\n-ERR Unknown client type 'x'\r\n-ERR Invalid client ID\r\n"));
    stop_two();
}

static void kills_on_any_worker(void)
{
    char text[128];

    start_two();
    sprintf(text, "CLIENT KILL ID %lu\r\n", (unsigned long)id_of(b));
    toy_send(a, text);
    CU_ASSERT(toy_gets(a, ":1\r\n"));
    CU_ASSERT(toy_is_closed(b));
    toy_send(a, "CLIENT KILL 1.2.3.4:5\r\nCLIENT KILL ID x\r\nCLIENT KILL ID 1 SKIPME\r\n"
                "CLIENT KILL USER nobody\r\nCLIENT KILL MAXAGE 0\r\n");
    CU_ASSERT(toy_gets(a, "-ERR No such client\r\n-ERR client-id should be greater than 0\r\n"
                          "-ERR syntax error\r\n-ERR No such user 'nobody'\r\n"
                          "-ERR maxage should be greater than 0\r\n"));
    toy_send(a, "CLIENT KILL TYPE normal\r\nPING\r\nCLIENT KILL TYPE normal SKIPME no\r\nPING\r\n");
    CU_ASSERT(toy_gets(a, ":0\r\n+PONG\r\n:1\r\n"));
    CU_ASSERT(toy_is_closed(a));
    stop_two();
}

/* PAUSE WRITE holds writes of all workers, not reads; UNPAUSE lets them go. */
static void pauses_writes(void)
{
    start_two();
    toy_send(a, "CLIENT PAUSE 60000 WRITE\r\n");
    CU_ASSERT(toy_gets(a, "+OK\r\n"));
    toy_send(b, "TECHO x\r\nTWRITE\r\nTECHO y\r\n");
    CU_ASSERT(toy_gets(b, "$1\r\nx\r\n"));
    toy_send(a, "TECHO z\r\n");
    CU_ASSERT(toy_gets(a, "$1\r\nz\r\n"));
    CU_ASSERT(toy_is_silent(b));
    toy_send(a, "CLIENT UNPAUSE\r\n");
    CU_ASSERT(toy_gets(a, "+OK\r\n"));
    CU_ASSERT(toy_gets(b, "+OK\r\n$1\r\ny\r\n"));
    stop_two();
}

static void pauses_all_for_a_time(void)
{
    start_two();
    toy_send(a, "CLIENT PAUSE 50\r\nTECHO x\r\nCLIENT PAUSE -1\r\nCLIENT PAUSE 1 some\r\n");
    CU_ASSERT(toy_gets(a, "+OK\r\n$1\r\nx\r\n-ERR timeout is negative\r\n"
                          "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n"));
    stop_two();
}

static void replies_as_told(void)
{
    start_two();
    toy_send(
        a, "CLIENT REPLY SKIP\r\nPING\r\nPING 1\r\nCLIENT REPLY OFF\r\nPING\r\nTECHO x\r\nNONE\r\n"
           "CLIENT REPLY ON\r\nPING 2\r\n");
    CU_ASSERT(toy_gets(a, "$1\r\n1\r\n+OK\r\n$1\r\n2\r\n"));
    stop_two();
}

static void names_and_labels(void)
{
    start_two();
    toy_send(a,
             "CLIENT GETNAME\r\nCLIENT SETNAME \"a b\"\r\nCLIENT SETNAME \"\"\r\nCLIENT GETNAME\r\n"
             "CLIENT SETINFO lib-name x\r\nCLIENT SETINFO lib-ver \"1 2\"\r\nCLIENT SETINFO y z\r\n"
             "CLIENT NO-TOUCH on\r\nCLIENT NO-EVICT maybe\r\nCLIENT GETREDIR\r\nCLIENT X\r\n"
             "CLIENT\r\nCLIENT UNBLOCK 99\r\nSELECT 1\r\nSELECT x\r\nSELECT 0\r\n");
    CU_ASSERT(
        toy_gets(a, "$5\r\nalice\r\n-ERR Client names cannot contain spaces, newlines or special "
                    "characters.\r\n+OK\r\n$-1\r\n+OK\r\n-ERR lib-ver cannot contain spaces, "
                    "newlines or special characters.\r\n-ERR Unrecognized option 'y'\r\n"
                    "+OK\r\n-ERR syntax error\r\n:-1\r\n-ERR unknown subcommand 'X'. Try CLIENT "
                    "HELP.\r\n-ERR wrong number of arguments for 'client' command\r\n:0\r\n"
                    "-ERR DB index is out of range\r\n-ERR value is not an integer or out of "
                    "range\r\n+OK\r\n"));
    toy_send(a, "QUIT\r\nPING\r\n");
    CU_ASSERT(toy_gets(a, "+OK\r\n"));
    CU_ASSERT(toy_is_closed(a));
    stop_two();
}

/* Watchers see what other workers carry out; no secret is among it. */
static void monitors_without_secrets(void)
{
    char line[256];

    start_two();
    toy_send(a, "MONITOR\r\n");
    CU_ASSERT(toy_gets(a, "+OK\r\n"));
    toy_send(b, "TECHO \"x\\n\\xff\"\r\nAUTH secret1\r\nHELLO 2 AUTH default secret2\r\n"
                "CLIENT LIST\r\nTECHO end\r\n");
    CU_ASSERT(toy_gets_line(a, "+", line, sizeof(line)));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, " [0 127.0.0.1:"));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, "] \"TECHO\" \"x\\n\\xff\""));
    CU_ASSERT(toy_gets_line(a, "+", line, sizeof(line)));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, "\"HELLO\" \"2\" \"AUTH\" \"(redacted)\" \"(redacted)\""));
    CU_ASSERT(toy_gets_line(a, "+", line, sizeof(line)));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, "\"TECHO\" \"end\""));
    toy_send(a, "RESET\r\n");
    CU_ASSERT(toy_gets_line(a, "+", line, sizeof(line)));
    stop_two();
}

/* The asker may be gone when its round comes back. */
static void survives_an_asker_that_leaves(void)
{
    start_two();
    for (int i = 0; i < 200; i++) {
        int fd = toy_connect(&toy);

        toy_send(fd, "CLIENT LIST\r\nCLIENT PAUSE 0\r\n");
        close(fd);
    }
    toy_send(a, "PING\r\n");
    CU_ASSERT(toy_gets(a, "+PONG\r\n"));
    stop_two();
}

const struct unit_test test_client[] = {
    UNIT(lists_all_workers),
    UNIT(kills_on_any_worker),
    UNIT(pauses_writes),
    UNIT(pauses_all_for_a_time),
    UNIT(replies_as_told),
    UNIT(names_and_labels),
    UNIT(monitors_without_secrets),
    UNIT(survives_an_asker_that_leaves),
    UNIT_END,
};
