/* CLIENT TRACKING where there is no memory: T4 and T5 of edge/tracking.h. */
#include "edge/tracking.h"

#include "base/fault.h"
#include "base/log.h"
#include "tests/lib/unit.h"
#include "tests/unit/edge/toy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct toy toy;

static void change_at(uint64_t position)
{
    tracking_changed(NULL, SLICE("k"), 0, position);
}

static void change(const char *key, int fault)
{
    log_level_set(LOG_ERROR);
    if (fault > 0) {
        fault_fail_nth(fault);
    }
    tracking_changed(NULL, slice_of(key), 0, 0);
    (void)fault_off();
    log_level_set(LOG_INFO);
}

/* The rest of the line after the next one that begins so; what comes before is passed over. */
static long skip_to(int fd, const char *begin)
{
    char line[128];
    size_t len = 0;
    char c;

    while (read(fd, &c, 1) == 1) {
        line[len] = c;
        len += len < sizeof(line) - 1;
        if (c == '\n' && len >= strlen(begin) && memcmp(line, begin, strlen(begin)) == 0) {
            line[len - 1] = '\0';
            return strtol(line + strlen(begin), NULL, 10);
        }
        len = c == '\n' ? 0 : len;
    }
    CU_FAIL_FATAL("the connection has ended");
    return 0;
}

static int connect_as(const char *hello)
{
    int fd = toy_connect(&toy);

    toy_send(fd, hello);
    toy_send(fd, "PING\r\n");
    (void)skip_to(fd, "+PONG");
    return fd;
}

static bool nobody_tracks(void *arg)
{
    (void)arg;
    return tracking_stats_sum().clients == 0;
}

/* T5: instead of the key it is told of all; the next has its name again. */
static void without_memory_all_keys_have_changed(void)
{
    toy_start(&toy, 2, NULL);
    int fd = connect_as("HELLO 3\r\nCLIENT TRACKING ON BCAST\r\n");

    change("k", 0);
    CU_ASSERT(toy_gets(fd, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"));
    for (int i = 0; i < 3; i++) {
        change("k", 1);
        CU_ASSERT(toy_gets(fd, ">2\r\n$10\r\ninvalidate\r\n_\r\n"));
        change("l", 0);
        CU_ASSERT(toy_gets(fd, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nl\r\n"));
    }
    close(fd);
    CU_ASSERT(toy_until(nobody_tracks, NULL));
    toy_stop(&toy);
}

/* To another client, over RESP2. */
static void a_redirection_too(void)
{
    char text[80];

    toy_start(&toy, 2, NULL);
    int fd = connect_as("HELLO 3\r\n");
    int to = toy_connect(&toy);

    toy_send(to, "CLIENT ID\r\nSUBSCRIBE __redis__:invalidate\r\n");
    long id = skip_to(to, ":");

    (void)skip_to(to, ":1");
    (void)snprintf(text, sizeof(text), "CLIENT TRACKING ON BCAST REDIRECT %ld\r\n", id);
    toy_send(fd, text);
    CU_ASSERT(toy_gets(fd, "+OK\r\n"));
    change("k", 1);
    CU_ASSERT(toy_gets(to, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n"));
    close(to);
    close(fd);
    CU_ASSERT(toy_until(nobody_tracks, NULL));
    toy_stop(&toy);
}

/* Whether the next line begins so; false also at the end of the connection. */
static bool next_is(int fd, const char *begin)
{
    char line[128];

    (void)toy_gets_line(fd, "", line, sizeof(line));
    return line[0] != '\0' && strncmp(line, begin, strlen(begin)) == 0;
}

/* CLIENT TRACKING ON with one allocation after the other failing, of both workers, since who is on which is the
 * listener's to say: an error and nothing is registered, or it is on and told of changes. How many failed. */
static int turn_on(int *fd, int to, const char *text)
{
    char line[128] = "";
    int nth = 0;

    while (strcmp(line, "+OK") != 0 && nth < 100) {
        ++nth;
        toy_fault(&toy, 0, nth);
        toy_fault(&toy, 1, nth);
        toy_send(*fd, text);
        (void)toy_gets_line(*fd, "", line, sizeof(line));
        toy_fault(&toy, 0, 0);
        toy_fault(&toy, 1, 0);
        if (line[0] == '\0' || strncmp(line, "-ERR Protocol", 13) == 0) {
            close(*fd); /* no memory for the request or the reply */
            CU_ASSERT(toy_until(nobody_tracks, NULL));
            *fd = connect_as("HELLO 3\r\n");
        } else if (line[0] == '-') {
            CU_ASSERT_NSTRING_EQUAL(line, "-OOM ", 5);
            CU_ASSERT(toy_until(nobody_tracks, NULL));
            CU_ASSERT_EQUAL(tracking_stats_sum().prefixes, 0);
        }
    }
    CU_ASSERT_EQUAL(tracking_stats_sum().prefixes, 2);
    change("c", 0);
    change("b1", 0);
    CU_ASSERT(toy_gets(to, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$2\r\nb1\r\n"));
    toy_send(*fd, "CLIENT TRACKING OFF\r\n");
    CU_ASSERT(toy_gets(*fd, "+OK\r\n"));
    return nth - 1;
}

static void turns_on_wholly_or_not_at_all(void)
{
    char text[100];

    toy_start(&toy, 2, NULL);
    log_level_set(LOG_ERROR - 1);
    int fd = connect_as("HELLO 3\r\n");
    int to = connect_as("HELLO 3\r\n");

    toy_send(to, "CLIENT ID\r\n");
    (void)snprintf(text, sizeof(text),
                   "CLIENT TRACKING ON BCAST PREFIX a PREFIX b REDIRECT %ld\r\n", skip_to(to, ":"));
    int failed = turn_on(&fd, to, text);

    CU_ASSERT(failed > 3);
    close(to);
    close(fd);
    CU_ASSERT(toy_until(nobody_tracks, NULL));
    log_level_set(LOG_INFO);
    toy_stop(&toy);
}

/* T4: a read that cannot be registered is told of at once, or its reader is closed; never does it keep in good
 * faith what has changed. */
static void without_memory_a_read_is_told_of_at_once(void)
{
    int nth = 0;

    toy_start(&toy, 1, NULL);
    log_level_set(LOG_ERROR - 1);
    for (bool ok = false; !ok && nth < 100;) {
        int fd = connect_as("HELLO 3\r\nCLIENT TRACKING ON\r\n");
        uint64_t had = tracking_stats_sum().keys;
        char text[40];
        char told[100];

        (void)snprintf(text, sizeof(text), "TECHO k%03d\r\n", ++nth);
        (void)snprintf(told, sizeof(told), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$4\r\nk%03d\r\n", nth);
        toy_fault(&toy, 0, nth);
        toy_send(fd, text);
        bool answered = next_is(fd, "$4");

        toy_fault(&toy, 0, 0);
        if (answered) {
            text[10] = '\0';
            CU_ASSERT(next_is(fd, text + 6));
            bool is_registered = tracking_stats_sum().keys > had;

            if (is_registered) {
                change(text + 6, 0);
                ok = true; /* the reply's own allocations are others' to test */
                CU_ASSERT(toy_gets(fd, told));
            } else {
                /* By its name, or as one of all keys. */
                CU_ASSERT(toy_gets(fd, told));
            }
        } else {
            CU_ASSERT(toy_is_closed(fd));
        }
        CU_ASSERT_EQUAL(tracking_stats_sum().keys, had);
        close(fd);
        CU_ASSERT(toy_until(nobody_tracks, NULL));
    }
    log_level_set(LOG_INFO);
    CU_ASSERT(nth > 3);
    toy_stop(&toy);
}

/* What nobody may have seen yet is not told: it waits for the gate like a reply. */
static void a_notice_waits_at_the_gate(void)
{
    toy_start(&toy, 1, NULL);
    int fd = connect_as("HELLO 3\r\nCLIENT TRACKING ON BCAST\r\n");

    change_at(5);
    close(connect_as("HELLO 3\r\n")); /* by then the one worker has had the notice */
    CU_ASSERT(toy_is_silent(fd));
    toy_gate_set(&toy, 5);
    CU_ASSERT(toy_gets(fd, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"));
    close(fd);
    CU_ASSERT(toy_until(nobody_tracks, NULL));
    toy_stop(&toy);
}

const struct unit_test test_tracking[] = {
    UNIT(a_notice_waits_at_the_gate),
    UNIT(without_memory_all_keys_have_changed),
    UNIT(a_redirection_too),
    UNIT(turns_on_wholly_or_not_at_all),
    UNIT(without_memory_a_read_is_told_of_at_once),
    UNIT_END,
};
