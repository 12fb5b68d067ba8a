/* door_http.c - a small HTTP/1.1 server: epoll, one thread; http_talk.c says what is answered.
 *
 * An answer is written at once or closes the connection: answers are small, and a scraper that does
 * not read is not worth a queue.
 */
#include "edge/door_http.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/http_talk.h"
#include "edge/listen.h"
#include "edge/options.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS = 32,
    TICK_MS = 500,
    WRITE_MS = 2000 /* for a peer to take an answer */
};

struct http_conn {
    struct list link;
    struct door_http *door;
    int fd;
    int64_t since_ms; /* when its request, or its silence, began */
    struct http_talk talk;
};

struct door_http {
    struct listen_set listeners[DOOR_HTTP_KINDS];
    int epoll_fd, wake_fd;
    pthread_t thread;
    bool is_running;
    _Atomic bool is_stopping;
    struct list conns;
    uint32_t count;
    struct http_talk_use use;
};

static void close_conn(struct http_conn *c)
{
    list_remove(&c->link);
    c->door->count--;
    (void)recv(c->fd, NULL, 1 << 20, MSG_TRUNC | MSG_DONTWAIT); /* else the answer may be lost */
    close(c->fd);
    mem_free(c, sizeof(*c));
}

/* All of it, within a bound; answers fit the socket's buffer, so that waiting is rare. */
static bool send_all(int fd, struct slice s)
{
    int64_t until_ms = clock_mono_ns() / 1000000 + WRITE_MS;

    while (s.len > 0) {
        ssize_t n = send(fd, s.ptr, s.len, MSG_NOSIGNAL);

        if (n > 0) {
            s = (struct slice){s.ptr + n, s.len - (size_t)n};
            continue;
        }
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        int64_t left_ms = until_ms - clock_mono_ns() / 1000000;

        if ((n < 0 && errno != EAGAIN && errno != EINTR) || left_ms <= 0 ||
            poll(&p, 1, (int)left_ms) < 0) {
            return false;
        }
    }
    return true;
}

static bool send_answer(struct http_talk *t, struct slice answer)
{
    struct http_conn *c = LIST_ITEM(t, struct http_conn, talk);

    c->since_ms = clock_mono_ns() / 1000000;
    return send_all(c->fd, answer);
}

static void on_readable(struct http_conn *c)
{
    char bytes[4096];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0 || !http_talk_take(&c->talk, (struct slice){bytes, (size_t)n})) {
        close_conn(c);
    }
}

static void on_client(struct door_http *d, enum door_http_kind kind, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct http_conn *c;

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE) {
            log_warn("http: cannot accept for now: %m");
            (void)poll(NULL, 0, 10); /* it would be told again at once */
        }
        return;
    }
    c = d->count < LIMIT_HTTP_CONNECTIONS ? mem_zalloc(sizeof(*c)) : NULL;
    if (c == NULL) {
        close(fd);
        return;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

    c->door = d;
    c->fd = fd;
    c->since_ms = clock_mono_ns() / 1000000;
    http_talk_begin(&c->talk, &d->use, kind == DOOR_HTTP_ADMIN);
    list_push(&d->conns, &c->link);
    d->count++;
    if (epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0) {
        close_conn(c);
    }
}

/* Requests that trickle in, and silence between them. */
static void close_late(struct door_http *d)
{
    int64_t now_ms = clock_mono_ns() / 1000000;
    struct list *n = d->conns.next;

    while (n != &d->conns) {
        struct http_conn *c = LIST_ITEM(n, struct http_conn, link);

        n = n->next;
        if (now_ms - c->since_ms > LIMIT_HTTP_REQUEST_MS) {
            http_talk_late(&c->talk);
            close_conn(c);
        }
    }
}

/* --- the thread ------------------------------------------------------------------------------- */

static void handle(struct door_http *d, const struct epoll_event *e)
{
    for (int kind = 0; kind < DOOR_HTTP_KINDS; kind++) {
        struct listen_set *l = &d->listeners[kind];

        for (uint32_t i = 0; i < l->count; i++) {
            if (e->data.ptr == &l->sockets[i]) {
                on_client(d, (enum door_http_kind)kind, l->sockets[i].file.fd);
                return;
            }
        }
    }
    if (e->data.ptr != &d->wake_fd) {
        on_readable(e->data.ptr);
    }
}

static void *thread_main(void *arg)
{
    struct door_http *d = arg;
    int64_t looked_ms = 0;

    (void)pthread_setname_np(pthread_self(), "http");
    /* Acquire: pairs with the release in door_http_close(). */
    while (!atomic_load_explicit(&d->is_stopping, memory_order_acquire)) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(d->epoll_fd, events, EVENTS, TICK_MS);
        int64_t now_ms = clock_mono_ns() / 1000000;

        /* Each connection has one event at most, and only its own handling frees it. */
        for (int i = 0; i < n; i++) {
            handle(d, &events[i]);
        }
        if (now_ms - looked_ms >= TICK_MS) {
            close_late(d);
            looked_ms = now_ms;
        }
    }
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

static int open_one(struct door_http *d, enum door_http_kind kind, struct conf_opt *opt,
                    struct slice addresses)
{
    struct listen_set *l = &d->listeners[kind];
    int err = listen_open_setting(l, addresses, opt);

    if (err != OK) {
        return err;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &l->sockets[i]};

        if (epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, l->sockets[i].file.fd, &e) != 0) {
            return ERR_IO;
        }
    }
    return OK;
}

int door_http_open(struct door_http **out, struct slice addresses)
{
    struct door_http *d = mem_zalloc(sizeof(*d));

    *out = d;
    if (d == NULL) {
        return ERR_NOMEM;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &d->wake_fd};

    list_init(&d->conns);
    http_talk_use_init(&d->use, send_answer);
    d->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (d->wake_fd < 0 || d->epoll_fd < 0 ||
        epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, d->wake_fd, &e) != 0) {
        log_error("http: cannot begin: %m");
        return ERR_IO;
    }
    if (open_one(d, DOOR_HTTP_ADMIN, &opt_admin_port, addresses) != OK) {
        return ERR_IO;
    }
    return open_one(d, DOOR_HTTP_PUBLIC, &opt_http_port, addresses);
}

int door_http_start(struct door_http *d)
{
    if (pthread_create(&d->thread, NULL, thread_main, d) != 0) {
        log_error("http: cannot start a thread: %m");
        return ERR_IO;
    }
    d->is_running = true;
    return OK;
}

void door_http_ready(struct door_http *d, bool is_ready)
{
    atomic_store_explicit(&d->use.is_ready, is_ready, memory_order_relaxed);
}

uint16_t door_http_port(const struct door_http *d, enum door_http_kind kind)
{
    return d->listeners[kind].port;
}

void door_http_close(struct door_http *d)
{
    uint64_t one = 1;

    if (d == NULL) {
        return;
    }
    if (d->is_running) {
        atomic_store_explicit(&d->is_stopping, true, memory_order_release);
        (void)!write(d->wake_fd, &one, sizeof(one));
        (void)pthread_join(d->thread, NULL);
    }
    while (!list_is_empty(&d->conns)) {
        close_conn(LIST_ITEM(d->conns.next, struct http_conn, link));
    }
    for (int kind = 0; kind < DOOR_HTTP_KINDS; kind++) {
        listen_close(&d->listeners[kind]);
    }
    if (d->wake_fd >= 0) {
        close(d->wake_fd);
    }
    if (d->epoll_fd >= 0) {
        close(d->epoll_fd);
    }
    http_talk_use_fini(&d->use);
    mem_free(d, sizeof(*d));
}
