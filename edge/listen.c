#include "edge/listen.h"

#include "base/err.h"
#include "base/log.h"
#include "edge/client.h"
#include "edge/conn.h"
#include "edge/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

enum {
    ACCEPTS_A_TURN = 64,
    REST_MS = 100, /* out of descriptors: somebody has to leave first */
    TRIES = 20     /* for one free port on all addresses */
};

/* --- binding ---------------------------------------------------------------------------------- */

static bool next_word(struct slice *list, struct slice *word)
{
    const char *separators = " ,\t\n";

    while (list->len > 0 && strchr(separators, list->ptr[0]) != NULL) {
        *list = (struct slice){list->ptr + 1, list->len - 1};
    }
    *word = (struct slice){list->ptr, 0};
    while (word->len < list->len && strchr(separators, list->ptr[word->len]) == NULL) {
        word->len++;
    }
    *list = (struct slice){list->ptr + word->len, list->len - word->len};
    return word->len > 0;
}

static struct addrinfo *resolve(struct slice host, uint16_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char name[256], service[8];
    int err;

    if (host.len >= 2 && host.ptr[0] == '[') { /* [::1] */
        host = (struct slice){host.ptr + 1, host.len - 2};
    }
    (void)snprintf(name, sizeof(name), "%.*s", (int)host.len, host.ptr);
    (void)snprintf(service, sizeof(service), "%u", port);
    err = getaddrinfo(strcmp(name, "*") == 0 ? NULL : name, service, &hints, &found);
    if (err != 0) {
        log_error("listen: no such address\taddr=%s\twhy=%s", name, gai_strerror(err));
        return NULL;
    }
    return found;
}

static int bind_one(const struct addrinfo *a)
{
    int on = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a->ai_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 ||
        listen(fd, (int)conf_u64(&opt_tcp_backlog)) != 0) {
        int err = errno;

        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a = {.v6 = {0}};
    socklen_t len = sizeof(a);

    (void)getsockname(fd, &a.any, &len);
    return ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
}

void listen_close(struct listen_set *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        close(l->sockets[i].file.fd);
        l->sockets[i].file.fd = -1;
    }
    l->count = 0;
}

/* All addresses on this port, or none. errno says why not. */
static int bind_all(struct listen_set *l, struct slice addresses, uint16_t port)
{
    struct slice host;

    l->count = 0;
    l->port = port;
    while (next_word(&addresses, &host)) {
        struct addrinfo *found = resolve(host, l->port);

        if (found == NULL) {
            errno = EINVAL;
            goto fail;
        }
        for (struct addrinfo *a = found; a != NULL; a = a->ai_next) {
            int fd = l->count < LISTEN_MAX ? bind_one(a) : -1;

            if (fd < 0) {
                freeaddrinfo(found);
                goto fail;
            }
            l->sockets[l->count++] = (struct listen_socket){.file.fd = fd, .set = l};
            l->port = port_of(fd);
        }
        freeaddrinfo(found);
    }
    if (l->count > 0) {
        return OK;
    }
    errno = EADDRNOTAVAIL;
fail:;
    int err = errno;

    listen_close(l);
    errno = err;
    return ERR_IO;
}

int listen_open(struct listen_set *l, struct slice addresses, uint16_t port, bool may_move)
{
    memset(l, 0, sizeof(*l));
    if (bind_all(l, addresses, port) == OK) {
        return OK;
    }
    if (errno == EADDRINUSE && (may_move || port == 0)) {
        for (int i = 0; i < TRIES; i++) {
            if (bind_all(l, addresses, 0) == OK) {
                l->was_elsewhere = port != 0;
                return OK;
            }
        }
    }
    log_error("listen: cannot listen: %m\tport=%u\taddresses=%.*s", port, (int)addresses.len,
              addresses.ptr);
    return ERR_IO;
}

int listen_open_setting(struct listen_set *l, struct slice addresses, const struct conf_opt *port)
{
    uint64_t n = conf_u64(port);

    memset(l, 0, sizeof(*l));
    if (n == 0) {
        return OK;
    }
    int err =
        listen_open(l, addresses, n == CONF_PORT_AUTO ? 0 : (uint16_t)n, conf_is_default(port));

    if (err == OK && l->was_elsewhere) {
        log_warn(
            "listen: the default port is busy, another is taken\tsetting=%s\tdefault=%lu\tport=%u",
            port->name, (unsigned long)n, l->port);
    }
    return err;
}

bool listen_is_loopback(struct slice addresses)
{
    struct slice host;

    while (next_word(&addresses, &host)) {
        bool is = slice_is(host, SLICE("localhost")) || slice_is(host, SLICE("::1")) ||
                  slice_is(host, SLICE("[::1]")) ||
                  (host.len > 4 && memcmp(host.ptr, "127.", 4) == 0);

        if (!is) {
            return false;
        }
    }
    return true;
}

/* --- accepting -------------------------------------------------------------------------------- */

/* The worker with the fewest, each connection of a busy one weighing up to twice. */
static struct conn_set *least_loaded(void)
{
    struct conn_set *best = NULL;
    uint64_t best_weight = UINT64_MAX;

    for (uint32_t i = 0; i < client_set_count(); i++) {
        struct conn_set *set = client_set(i);
        uint64_t load = atomic_load_explicit(&set->worker->load, memory_order_relaxed);
        uint64_t busy = atomic_load_explicit(&set->count.busy_permille, memory_order_relaxed);
        uint64_t weight = (load + 1) * (1000 + (busy > 1000 ? 1000 : busy));

        if (weight < best_weight) {
            best = set;
            best_weight = weight;
        }
    }
    return best;
}

static void refuse(int fd)
{
    static const char text[] = "-ERR max number of clients reached\r\n";

    atomic_fetch_add_explicit(&client_rejected, 1, memory_order_relaxed);
    (void)send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

static void set_up(int fd)
{
    int on = 1;
    int idle = (int)conf_u64(&opt_tcp_keepalive);

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (idle > 0) {
        /* As Redis: three probes a third of the silence apart. Then what we send and nobody
         * acknowledges has the same patience. */
        int between = idle / 3 > 0 ? idle / 3 : 1;
        int probes = 3;
        unsigned patience_ms = (unsigned)idle * 2000;

        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof(between));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof(patience_ms));
    }
}

static void welcome(int fd, const struct sockaddr_storage *peer)
{
    /* Raised here and lowered where the connection's memory is freed. */
    uint32_t open = atomic_fetch_add_explicit(&conn_open_count, 1, memory_order_relaxed);
    struct conn_set *set = least_loaded();

    if (open >= conf_u64(&opt_maxclients) || set == NULL) {
        atomic_fetch_sub_explicit(&conn_open_count, 1, memory_order_relaxed);
        refuse(fd);
        return;
    }
    set_up(fd);
    if (conn_give(set, fd, peer) != OK) {
        atomic_fetch_sub_explicit(&conn_open_count, 1, memory_order_relaxed);
        log_error("listen: no memory for a client");
    }
}

static void rest_begin(struct listen_set *l)
{
    atomic_fetch_add_explicit(&client_accept_errors, 1, memory_order_relaxed);
    log_warn("listen: cannot accept for now: %m\tport=%u", l->port);
    if (l->is_resting || worker_timer_set(l->worker, &l->rest, l->worker->now_ms + REST_MS) != OK) {
        return;
    }
    l->is_resting = true;
    for (uint32_t i = 0; i < l->count; i++) {
        worker_rewatch(l->worker, &l->sockets[i].file, 0);
    }
}

static void rest_end(struct worker_timer *t)
{
    struct listen_set *l = LIST_ITEM(t, struct listen_set, rest);

    l->is_resting = false;
    for (uint32_t i = 0; i < l->count; i++) {
        worker_rewatch(l->worker, &l->sockets[i].file, EPOLLIN);
    }
}

static void on_clients(struct worker_file *f, uint32_t events)
{
    struct listen_socket *s = LIST_ITEM(f, struct listen_socket, file);

    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof(peer);
        int fd = accept4(f->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            welcome(fd, &peer);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            rest_begin(s->set);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return; /* EAGAIN: nobody waits */
        }
    }
}

int listen_start(struct listen_set *l, struct worker *w)
{
    l->worker = w;
    l->rest.on_time = rest_end;
    for (uint32_t i = 0; i < l->count; i++) {
        l->sockets[i].set = l;
        l->sockets[i].file.on_events = on_clients;
        if (worker_watch(w, &l->sockets[i].file, EPOLLIN) != OK) {
            log_error("listen: epoll: %m");
            return ERR_IO;
        }
    }
    return OK;
}

void listen_stop(struct listen_set *l)
{
    if (l->worker == NULL) {
        return;
    }
    worker_timer_clear(l->worker, &l->rest);
    for (uint32_t i = 0; i < l->count; i++) {
        worker_unwatch(l->worker, &l->sockets[i].file);
    }
    l->worker = NULL;
    listen_close(l);
}
