/* door_http.c - a small HTTP/1.1 server: llhttp, strict, over epoll, one thread.
 *
 * A connection is read into its one buffer until a request is whole; what follows it is kept for the
 * next (keep-alive). An answer is written at once or closes the connection: answers are small, and a
 * scraper that does not read is not worth a queue.
 */
#include "edge/door_http.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "edge/listen.h"
#include "edge/options.h"

#include <errno.h>
#include <llhttp.h>
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
    enum door_http_kind kind;
    int64_t since_ms; /* when its request, or its silence, began */
    llhttp_t parser;
    bool is_whole;
    uint16_t status; /* of what is wrong with it; 0 */
    uint32_t url_len;
    char url[LIMIT_HTTP_URL_BYTES];
    size_t bytes; /* of the request so far */
};

struct door_http {
    struct listen_set listeners[DOOR_HTTP_KINDS];
    int epoll_fd, wake_fd;
    pthread_t thread;
    bool is_running;
    _Atomic bool is_ready, is_stopping;
    struct list conns;
    uint32_t count;
    llhttp_settings_t settings;
    struct buf body, answer;
};

/* --- requests --------------------------------------------------------------------------------- */

static int on_url(llhttp_t *p, const char *at, size_t len)
{
    struct http_conn *c = p->data;

    if (c->url_len + len >= sizeof(c->url)) {
        c->status = 414;
        return -1;
    }
    memcpy(c->url + c->url_len, at, len);
    c->url_len += (uint32_t)len;
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct http_conn *c = p->data;

    (void)at;
    if (len > 0) {
        c->status = 413;
        return -1;
    }
    return 0;
}

static int on_complete(llhttp_t *p)
{
    struct http_conn *c = p->data;

    c->is_whole = true;
    return HPE_PAUSED;
}

static void next_request(struct http_conn *c)
{
    llhttp_init(&c->parser, HTTP_REQUEST, &c->door->settings);
    c->parser.data = c;
    c->is_whole = false;
    c->status = 0;
    c->url_len = 0;
    c->bytes = 0;
    c->since_ms = clock_mono_ns() / 1000000;
}

/* --- answers ---------------------------------------------------------------------------------- */

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return "Bad Request";
    }
}

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

/* False if the connection is to be closed. */
static bool answer(struct http_conn *c, int status, const char *type, struct slice body)
{
    struct buf *out = &c->door->answer;
    bool keep = c->status == 0 && llhttp_should_keep_alive(&c->parser) != 0;
    bool is_head = c->parser.method == HTTP_HEAD;

    buf_clear(out);
    if (buf_printf(out,
                   "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                   "Cache-Control: no-store\r\n%sConnection: %s\r\n\r\n",
                   status, reason_of(status), type, body.len,
                   status == 405 ? "Allow: GET, HEAD\r\n" : "",
                   keep ? "keep-alive" : "close") != OK ||
        (!is_head && buf_append_slice(out, body) != OK)) {
        return false;
    }
    return send_all(c->fd, buf_slice(out)) && keep;
}

static bool answer_text(struct http_conn *c, int status, const char *text)
{
    return answer(c, status, "text/plain; charset=utf-8", slice_of(text));
}

static bool answer_metrics(struct http_conn *c)
{
    struct buf *body = &c->door->body;

    buf_clear(body);
    if (metric_write(body) != OK) {
        return answer_text(c, 503, "no memory\n");
    }
    return answer(c, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(body));
}

static bool answer_request(struct http_conn *c)
{
    struct slice path = {c->url, c->url_len};
    const char *query = memchr(c->url, '?', c->url_len);

    if (query != NULL) {
        path.len = (size_t)(query - c->url);
    }
    bool is_health = slice_is(path, SLICE("/healthz"));
    bool is_ready = slice_is(path, SLICE("/readyz"));
    bool is_metrics = slice_is(path, SLICE("/metrics")) && c->kind == DOOR_HTTP_ADMIN;

    if (!is_health && !is_ready && !is_metrics) {
        return answer_text(c, 404, "not found\n");
    }
    if (c->parser.method != HTTP_GET && c->parser.method != HTTP_HEAD) {
        return answer_text(c, 405, "GET or HEAD\n");
    }
    if (is_metrics) {
        return answer_metrics(c);
    }
    /* Relaxed: whoever sets it tells nothing else by it. */
    if (is_ready && !atomic_load_explicit(&c->door->is_ready, memory_order_relaxed)) {
        return answer_text(c, 503, "not ready\n");
    }
    return answer_text(c, 200, "ok\n");
}

/* --- reading ---------------------------------------------------------------------------------- */

/* What is wrong with the request, by what the parser says; 0 if nothing is. */
static int judge(const struct http_conn *c, llhttp_errno_t err)
{
    if (c->status != 0) {
        return c->status;
    }
    if (err != HPE_OK && err != HPE_PAUSED) {
        return 400;
    }
    return c->bytes > LIMIT_HTTP_HEAD_BYTES ? 431 : 0;
}

/* False if the connection is to be closed. */
static bool take_bytes(struct http_conn *c, const char *p, size_t len)
{
    while (len > 0) {
        llhttp_errno_t err = llhttp_execute(&c->parser, p, len);
        size_t used = len;
        int status;

        if (err != HPE_OK) {
            const char *at = llhttp_get_error_pos(&c->parser);

            used = at == NULL ? len : (size_t)(at - p);
        }
        c->bytes += used;
        status = judge(c, err);
        if (status != 0) {
            c->status = (uint16_t)status; /* nothing behind it can be trusted */
            (void)answer_text(c, status, "bad request\n");
            return false;
        }
        p += used;
        len -= used;
        if (c->is_whole) {
            if (!answer_request(c)) {
                return false;
            }
            next_request(c);
        } else if (used == 0) {
            return false;
        }
    }
    return true;
}

static void on_readable(struct http_conn *c)
{
    char bytes[4096];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0 || !take_bytes(c, bytes, (size_t)n)) {
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
    c->kind = kind;
    next_request(c);
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
            if (c->bytes > 0) {
                c->status = 408;
                (void)answer_text(c, 408, "too slow\n");
            }
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
    int err = listen_open(l, addresses, (uint16_t)conf_u64(opt), conf_is_default(opt));

    if (err != OK) {
        return err;
    }
    if (l->was_elsewhere) {
        log_warn("http: the default port is busy, another is taken\tsetting=%s\tport=%u", opt->name,
                 l->port);
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
    llhttp_settings_init(&d->settings);
    d->settings.on_url = on_url;
    d->settings.on_body = on_body;
    d->settings.on_message_complete = on_complete;
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
    atomic_store_explicit(&d->is_ready, is_ready, memory_order_relaxed);
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
    buf_fini(&d->body);
    buf_fini(&d->answer);
    mem_free(d, sizeof(*d));
}
