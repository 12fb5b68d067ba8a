#include "tests/lib/unit.h"
#include "tests/unit/edge/toy.h"

#include "base/limits.h"
#include "edge/door_http.h"
#include "edge/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct toy client; /* its connect() only */
static struct door_http *door;

static void start(void)
{
    toy_start(&client, 1, NULL);
    atomic_store(&opt_admin_port.word, CONF_PORT_AUTO);
    atomic_store(&opt_http_port.word, CONF_PORT_AUTO);
    CU_ASSERT_EQUAL_FATAL(door_http_open(&door, SLICE("127.0.0.1")), 0);
    CU_ASSERT_EQUAL_FATAL(door_http_start(door), 0);
}

static void stop(void)
{
    door_http_close(door);
    toy_stop(&client);
}

static int connect_to(enum door_http_kind kind)
{
    static struct toy other;

    other.listener.port = door_http_port(door, kind);
    return toy_connect(&other);
}

static bool answers(int fd, const char *request, const char *status)
{
    char line[256];
    size_t length = 0;
    bool good;

    toy_send(fd, request);
    good = toy_gets_line(fd, status, line, sizeof(line));
    while (toy_gets_line(fd, "", line, sizeof(line)) && line[0] != '\0') {
        if (strncmp(line, "Content-Length: ", 16) == 0) {
            length = strtoul(line + 16, NULL, 10);
        }
    }
    while (length > 0) {
        char byte;

        if (recv(fd, &byte, 1, 0) != 1) {
            return false;
        }
        length--;
    }
    return good;
}

static void tells_health_on_one_connection(void)
{
    start();
    int fd = connect_to(DOOR_HTTP_ADMIN);

    CU_ASSERT(answers(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 "));
    CU_ASSERT(answers(fd, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 503 "));
    door_http_ready(door, true);
    CU_ASSERT(answers(fd, "GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 "));
    CU_ASSERT(answers(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 "));
    CU_ASSERT(answers(fd, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 "));
    CU_ASSERT(answers(fd, "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
                      "HTTP/1.1 405 "));
    CU_ASSERT(answers(fd, "GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 200 "));
    CU_ASSERT(toy_is_closed(fd));
    close(fd);
    fd = connect_to(DOOR_HTTP_PUBLIC);
    CU_ASSERT(answers(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 "));
    CU_ASSERT(answers(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 "));
    close(fd);
    stop();
}

static void refuses_what_is_no_request(void)
{
    static const struct {
        const char *in, *status;
    } rows[] = {
        {"GET\r\n\r\n", "HTTP/1.1 400 "},
        {"\x01\x02\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /healthz HTTP/1.1\r\nBad Header: x\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /healthz HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 413 "},
        {"GET /healthz HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         "HTTP/1.1 400 "},
    };

    start();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = connect_to(DOOR_HTTP_ADMIN);

        CU_ASSERT(answers(fd, rows[i].in, rows[i].status));
        CU_ASSERT(toy_is_closed(fd));
        close(fd);
    }
    stop();
}

static void bounds_requests(void)
{
    static char text[LIMIT_HTTP_HEAD_BYTES + 4096];

    start();
    int fd = connect_to(DOOR_HTTP_ADMIN);
    size_t n = (size_t)sprintf(text, "GET /");

    memset(text + n, 'a', LIMIT_HTTP_URL_BYTES + 10);
    toy_send(fd, text);
    CU_ASSERT(answers(fd, "", "HTTP/1.1 414 "));
    close(fd);
    fd = connect_to(DOOR_HTTP_ADMIN);
    memset(text, 0, sizeof(text));
    n = (size_t)sprintf(text, "GET /healthz HTTP/1.1\r\nX: ");
    memset(text + n, 'a', LIMIT_HTTP_HEAD_BYTES + 100);
    toy_send(fd, text);
    CU_ASSERT(answers(fd, "", "HTTP/1.1 431 "));
    close(fd);
    stop();
}

/* Many that say nothing do not keep others out for long, and those within the bound are served. */
static void bounds_connections(void)
{
    int fds[LIMIT_HTTP_CONNECTIONS];

    start();
    for (int i = 0; i < LIMIT_HTTP_CONNECTIONS; i++) {
        fds[i] = connect_to(DOOR_HTTP_ADMIN);
    }
    int late = connect_to(DOOR_HTTP_ADMIN);

    CU_ASSERT(toy_is_closed(late));
    CU_ASSERT(
        answers(fds[LIMIT_HTTP_CONNECTIONS - 1], "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 "));
    for (int i = 0; i < LIMIT_HTTP_CONNECTIONS; i++) {
        close(fds[i]);
    }
    close(late);
    stop();
}

const struct unit_test test_door_http[] = {
    UNIT(tells_health_on_one_connection),
    UNIT(refuses_what_is_no_request),
    UNIT(bounds_requests),
    UNIT(bounds_connections),
    UNIT_END,
};
