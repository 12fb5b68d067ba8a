#include "tests/lib/unit.h"
#include "tests/unit/edge/toy.h"

#include "edge/acl.h"
#include "edge/auth.h"
#include "edge/client.h"

#include <unistd.h>

static struct toy toy;

static void asks_for_the_password(void)
{
    char line[256];

    toy_start(&toy, 1, "secret");
    int fd = toy_connect(&toy);

    toy_send(fd, "TECHO x\r\nPING\r\nNONE\r\nTECHO\r\nAUTH wrong\r\nAUTH default wrong\r\n"
                 "AUTH other secret\r\nAUTH a b c\r\n");
    CU_ASSERT(toy_gets(fd,
                       "-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n"
                       "-ERR unknown command 'NONE', with args beginning with: \r\n"
                       "-ERR wrong number of arguments for 'techo' command\r\n"
                       "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
                       "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
                       "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
                       "-ERR syntax error\r\n"));
    toy_send(fd, "HELLO\r\n");
    CU_ASSERT(toy_gets_line(fd, "-NOAUTH HELLO must be called", line, sizeof(line)));
    toy_send(fd, "AUTH secret\r\nTECHO x\r\nRESET\r\nTECHO y\r\nAUTH default secret\r\nPING\r\n");
    CU_ASSERT(toy_gets(fd, "+OK\r\n$1\r\nx\r\n+RESET\r\n-NOAUTH Authentication required.\r\n+OK\r\n"
                           "+PONG\r\n"));
    CU_ASSERT_EQUAL(client_stats_sum().auth_failed, 3);
    close(fd);
    toy_stop(&toy);
}

static void says_when_there_is_none(void)
{
    char line[256];

    toy_start(&toy, 1, NULL);
    int fd = toy_connect(&toy);

    toy_send(fd, "AUTH x\r\n");
    CU_ASSERT(toy_gets_line(fd, "-ERR AUTH <password> called without any password configured", line,
                            sizeof(line)));
    close(fd);
    toy_stop(&toy);
}

static struct sockaddr_storage address(uint32_t host)
{
    struct sockaddr_storage a = {0};
    struct sockaddr_in *in = (void *)&a;

    in->sin_family = AF_INET;
    in->sin_addr.s_addr = host;
    return a;
}

static enum auth_answer try(const char *password, const struct sockaddr_storage *a, int64_t now_ms,
                            int64_t *wait_ms)
{
    struct acl_user *who;
    enum auth_answer answer =
        auth_check(SLICE("default"), slice_of(password), a, now_ms, wait_ms, &who);

    CU_ASSERT_EQUAL(who, answer == AUTH_GOOD ? acl_default() : NULL);
    acl_release(who);
    return answer;
}

/* Typing errors are free; guessing gets slower and is refused at last. Other addresses go on. */
static void slows_guessing_by_address(void)
{
    struct sockaddr_storage bad = address(0x01020304);
    struct sockaddr_storage good = address(0x05060708);
    int64_t wait_ms, last_ms = 0, now_ms = 1000000;
    int refused = 0;

    CU_ASSERT_EQUAL(auth_init(NULL), 0);
    auth_password_set(SLICE("right"));
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(try("wrong", &bad, now_ms, &wait_ms), AUTH_WRONG);
        CU_ASSERT_EQUAL(wait_ms, 0);
    }
    CU_ASSERT_EQUAL(try("right", &bad, now_ms, &wait_ms), AUTH_GOOD);
    for (int i = 0; i < 1000; i++) {
        enum auth_answer answer = try("wrong", &bad, now_ms, &wait_ms);

        refused += answer == AUTH_TOO_MANY;
        CU_ASSERT(wait_ms >= last_ms || answer == AUTH_TOO_MANY);
        last_ms = answer == AUTH_WRONG ? wait_ms : last_ms;
    }
    CU_ASSERT(last_ms > 1000);
    CU_ASSERT(refused > 900);
    CU_ASSERT_EQUAL(try("right", &bad, now_ms, &wait_ms), AUTH_TOO_MANY);
    CU_ASSERT_EQUAL(try("right", &good, now_ms, &wait_ms), AUTH_GOOD);
    CU_ASSERT_EQUAL(try("right", &bad, now_ms + 20000, &wait_ms), AUTH_GOOD);
}

/* The slowed answer comes, and the connection goes on behind it. */
static void answers_slowed_attempts(void)
{
    toy_start(&toy, 1, "secret");
    int fd = toy_connect(&toy);

    for (int i = 0; i < 5; i++) {
        toy_send(fd, "AUTH wrong\r\n");
    }
    toy_send(fd, "AUTH secret\r\nPING\r\n");
    for (int i = 0; i < 5; i++) {
        CU_ASSERT(
            toy_gets(fd, "-WRONGPASS invalid username-password pair or user is disabled.\r\n"));
    }
    CU_ASSERT(toy_gets(fd, "+OK\r\n+PONG\r\n"));
    close(fd);
    fd = toy_connect(&toy);
    for (int i = 0; i < 5; i++) { /* one that leaves while its answer waits */
        toy_send(fd, "AUTH wrong\r\n");
    }
    close(fd);
    toy_stop(&toy);
}

const struct unit_test test_auth[] = {
    UNIT(asks_for_the_password),
    UNIT(says_when_there_is_none),
    UNIT(slows_guessing_by_address),
    UNIT(answers_slowed_attempts),
    UNIT_END,
};
