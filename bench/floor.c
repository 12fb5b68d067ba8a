/* floor.c - a server that answers without thinking: what sockets alone cost.
 *
 * It answers the load program's GET and SET from one template, as fast as an epoll loop can read and
 * write, so that a server's cost in the same run can be split into the kernel's and its own. It
 * believes all requests of a connection to be as long as the first, and remembers one value. It knows
 * one channel: a PUBLISH is a write to each connection that has sent SUBSCRIBE.
 *
 *    bench_floor port
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BUF_BYTES = 1 << 21,
    CONNS_MAX = 4096,
    KEY_DIGITS = 12,
    VALUE_MAX = 1 << 16,
    MESSAGE_HEAD = 17 /* before the channel */
};

static struct conn {
    size_t request_len; /* 0 until the first has come whole */
    size_t key_at;
    bool is_get, is_publish, is_subscribe;
    size_t payload_at; /* of a PUBLISH: its last argument, from the "$" on */
    size_t rest_len;
    char rest[VALUE_MAX + 256];
} * conns[CONNS_MAX];

static char in[BUF_BYTES], out[BUF_BYTES];
static char reply[VALUE_MAX + 64] = "$-1\r\n";
static size_t reply_len = 5, digits_at;
static char message[VALUE_MAX + 512]; /* up to its payload */
static size_t message_len;
static int subscribers[CONNS_MAX];
static int subscriber_count;

/* The number in the line at p, and the line after it; NULL when it has not come whole. */
static const char *line(const char *p, const char *end, size_t *n)
{
    const char *stop = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;

    *n = 0;
    for (const char *d = p + 1; stop != NULL && *d >= '0' && *d <= '9'; d++) {
        *n = *n * 10 + (size_t)(*d - '0');
    }
    return stop == NULL ? NULL : stop + 1;
}

/* Learns the shape of the connection's requests from its first; false when that is not whole. */
static bool learn(struct conn *c, const char *p, size_t len)
{
    const char *end = p + len;
    size_t argc;
    size_t bytes = 0;
    const char *at = line(p, end, &argc);

    for (size_t i = 0; i < argc && at != NULL; i++) {
        const char *head = at;

        at = line(at, end, &bytes);
        if (at == NULL || (size_t)(end - at) < bytes + 2) {
            return false;
        }
        if (i == 0) {
            c->is_get = memcmp(at, "GET", 3) == 0;
            c->is_publish = memcmp(at, "PUB", 3) == 0;
            c->is_subscribe = memcmp(at, "SUB", 3) == 0;
        } else if (i == 1 && c->is_subscribe) {
            message_len = (size_t)sprintf(message, "*3\r\n$7\r\nmessage\r\n");
            memcpy(message + message_len, head, (size_t)(at - head) + bytes + 2);
            message_len += (size_t)(at - head) + bytes + 2;
        } else if (i == 2 && c->is_publish) {
            c->payload_at = (size_t)(head - p);
        } else if (i == 1) {
            c->key_at = (size_t)(at - p) + bytes - KEY_DIGITS;
        } else if (i == 2 && bytes >= KEY_DIGITS && bytes <= VALUE_MAX) {
            digits_at = (size_t)sprintf(reply, "$%zu\r\n", bytes);
            memcpy(reply + digits_at, at, bytes + 2);
            reply_len = digits_at + bytes + 2;
        }
        at += bytes + 2;
    }
    if (at == NULL) {
        return false;
    }
    c->request_len = argc == 1 ? 0 : (size_t)(at - p); /* PING teaches nothing */
    return true;
}

static size_t publish(const struct conn *c, const char *request, char *answer)
{
    size_t payload = c->request_len - c->payload_at;
    int reached = 0;

    if (payload <= VALUE_MAX) {
        memcpy(message + message_len, request + c->payload_at, payload);
        for (int i = 0; i < subscriber_count; i++) {
            reached += write(subscribers[i], message, message_len + payload) > 0;
        }
    }
    return (size_t)sprintf(answer, ":%d\r\n", reached);
}

static size_t subscribe(int fd, char *answer)
{
    subscribers[subscriber_count++] = fd;
    return (size_t)sprintf(answer, "*3\r\n$9\r\nsubscribe\r\n%.*s:1\r\n",
                           (int)(message_len - MESSAGE_HEAD), message + MESSAGE_HEAD);
}

static bool serve(int fd, struct conn *c)
{
    size_t len = c->rest_len;
    size_t at = 0;
    size_t answer = 0;

    memcpy(in, c->rest, len);
    ssize_t n = recv(fd, in + len, sizeof(c->rest) - len, MSG_DONTWAIT);

    if (n <= 0) {
        return n < 0 && errno == EAGAIN;
    }
    len += (size_t)n;
    if (c->request_len == 0) {
        if (learn(c, in, len) && c->request_len == 0) {
            c->rest_len = 0;
            return send(fd, "+PONG\r\n", 7, MSG_NOSIGNAL) == 7;
        }
    }
    for (; c->request_len > 0 && len - at >= c->request_len; at += c->request_len) {
        if (c->is_get) {
            memcpy(out + answer, reply, reply_len);
            memcpy(out + answer + digits_at, in + at + c->key_at, KEY_DIGITS);
            answer += reply_len;
        } else if (c->is_publish) {
            answer += publish(c, in + at, out + answer);
        } else if (c->is_subscribe) {
            answer += subscribe(fd, out + answer);
        } else {
            memcpy(out + answer, "+OK\r\n", 5);
            answer += 5;
        }
    }
    c->rest_len = len - at;
    memcpy(c->rest, in + at, c->rest_len);
    return answer == 0 || send(fd, out, answer, MSG_NOSIGNAL) == (ssize_t)answer;
}

static void hang_up(int fd)
{
    for (int i = 0; i < subscriber_count; i++) {
        if (subscribers[i] == fd) {
            subscribers[i] = subscribers[--subscriber_count];
        }
    }
    free(conns[fd]);
    conns[fd] = NULL;
    close(fd);
}

static void welcome(int epoll_fd, int listen_fd)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    int one = 1;

    if (fd < 0 || fd >= CONNS_MAX) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    conns[fd] = calloc(1, sizeof(struct conn));
    if (conns[fd] == NULL || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0) {
        hang_up(fd);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct epoll_event events[256];
    int listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listen_fd};

    at.sin_port = htons((uint16_t)strtoul(argc > 1 ? argv[1] : "0", NULL, 10));
    if (bind(listen_fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listen_fd, 511) != 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &e) != 0) {
        perror("bench_floor");
        return 1;
    }
    for (;;) {
        int n = epoll_wait(epoll_fd, events, 256, -1);

        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;

            if (fd == listen_fd) {
                welcome(epoll_fd, listen_fd);
            } else if (!serve(fd, conns[fd])) {
                hang_up(fd);
            }
        }
    }
}
