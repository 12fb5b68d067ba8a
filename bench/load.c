/* load.c - loads one server and measures it, on one thread.
 *
 * A run is one or more *streams* against the same server, each with its own connections and counts:
 *
 *    load --port 6400 --ms 3000 --server-pid 77 \
 *         --stream op=get,conns=50,rate=20000,keys=1000000,value=64 --stream op=scan,label=beside
 *
 * A stream of op=cmd sends what the --command and --reply after it say (load_cmd.c), one of
 * op=subscribe subscribes and counts messages: all that the other streams publish must reach each
 * of its connections.
 *
 * A stream without a rate is a closed loop: every connection sends `pipeline` requests at once and
 * the next ones when all are answered. A stream with a rate is an open loop: requests fall due at
 * fixed times whatever the server does, and latency counts from the time a request fell due, so
 * what a stall delays is in the histogram (no coordinated omission).
 *
 * It must be cheaper than the server it shares a machine with: requests are copied from templates
 * and only their digits are written; an expected reply has a known length and is stepped over.
 * Every reply is judged all the same, by its head and its end, and the value of one in 16 by each
 * byte: it begins with the digits of its key. What is neither expected nor a miss is an error.
 *
 * Output: a line `stream …` each and a line `total …`, of key=value. Exit: 0; 1 when there were
 * errors; 2 when the run could not be made. It shares no code with the server, nor its mistakes.
 */
#include "bench/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    IN_BYTES = 1 << 18, /* one read; shared, so that it stays in the cache */
    DRAIN_MS = 2000,    /* what is not answered by then counts as an error */
};

struct load_settings opt = {.seconds = 3, .warmup = 0.2, .seed = 1};

static struct stream streams[STREAMS_MAX];
static uint32_t stream_count;
static int epoll_fd;
static bool sending = true;
static char in[IN_BYTES];
static char *out; /* owned */

_Noreturn void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

void *must_alloc(size_t bytes)
{
    void *p = calloc(1, bytes > 0 ? bytes : 1);

    if (p == NULL) {
        die("no memory for %zu bytes", bytes);
    }
    return p;
}

static uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- connections ---- */

static void grow(char **p, size_t *cap, size_t need)
{
    if (*cap < need) {
        *cap = need * 2;
        *p = realloc(*p, *cap);
        if (*p == NULL) {
            die("no memory for %zu bytes", *cap);
        }
    }
}

static void conn_poll(struct conn *c, bool with_out)
{
    struct epoll_event e = {.events = EPOLLIN | (with_out ? EPOLLOUT : 0), .data.ptr = c};

    c->polls_out = with_out;
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

static size_t conn_write(struct conn *c, const char *p, size_t len)
{
    ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        die("stream %s: send: %s", c->s->label, strerror(errno));
    }
    return n > 0 ? (size_t)n : 0;
}

static void conn_flush(struct conn *c)
{
    c->unsent_at += conn_write(c, c->unsent + c->unsent_at, c->unsent_len - c->unsent_at);
    if (c->unsent_at == c->unsent_len) {
        c->unsent_at = c->unsent_len = 0;
        conn_poll(c, false);
    }
}

static bool stream_has_more(const struct stream *s)
{
    return sending && s->op != OP_SUBSCRIBE && (s->count == 0 || s->sent < s->count);
}

/* Sends the next requests of the stream, as many as its pipeline is deep and its count allows. */
static void conn_ask(struct conn *c, uint64_t due_ns)
{
    struct stream *s = c->s;
    uint64_t n = s->pipeline;
    size_t len = 0;
    size_t done = 0;

    if (s->count > 0 && s->count - s->sent < n) {
        n = s->count - s->sent;
    }
    for (uint64_t i = 0; i < n; i++) {
        len += wire_request(c, out + len, due_ns);
    }
    s->sent += n;
    if (c->unsent_len == 0 && len > 0) {
        done = conn_write(c, out, len);
    }
    if (done < len) {
        grow(&c->unsent, &c->unsent_cap, c->unsent_len + len - done);
        memcpy(c->unsent + c->unsent_len, out + done, len - done);
        c->unsent_len += len - done;
        if (!c->polls_out) {
            conn_poll(c, true);
        }
    }
}

static void conn_read(struct conn *c)
{
    static const struct asked message = {.op = OP_SUBSCRIBE, .cmd = 1};
    struct stream *s = c->s;
    char *buf = in;
    size_t cap = sizeof(in);
    size_t at = 0;
    size_t have = c->rest_len;

    if (have > cap / 2) { /* a reply larger than the buffer is put together where it waits */
        grow(&c->rest, &c->rest_cap, have * 2);
        buf = c->rest;
        cap = c->rest_cap;
    } else if (have > 0) {
        memcpy(buf, c->rest, have);
    }
    ssize_t n = recv(c->fd, buf + have, cap - have, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        die("stream %s: the server closed: %s", s->label, n < 0 ? strerror(errno) : "end");
    }
    uint64_t now = clock_ns();

    have += (size_t)n;
    while (s->op == OP_SUBSCRIBE && at < have) {
        size_t len = wire_reply(c, &message, buf + at, have - at);

        if (len == 0) {
            break;
        }
        at += len;
        s->ops++;
        s->delivered++;
    }
    while (c->first != c->last && at < have) {
        const struct asked *a = &c->asked[c->first & c->asked_mask];
        size_t len = wire_reply(c, a, buf + at, have - at);

        if (len == 0) {
            break;
        }
        at += len;
        hist_add(&s->latency, now - a->due_ns);
        s->ops++;
        c->first++;
    }
    if (c->first == c->last && at < have && s->op != OP_SUBSCRIBE) {
        die("stream %s: %zu bytes nobody asked for", s->label, have - at);
    }
    c->rest_len = have - at;
    grow(&c->rest, &c->rest_cap, c->rest_len);
    memmove(c->rest, buf + at, c->rest_len);
    if (c->first == c->last && s->rate == 0 && stream_has_more(s)) {
        conn_ask(c, now);
    }
}

static void conn_auth(int fd)
{
    char password[256] = "";
    char request[512];
    char reply[256] = "";
    FILE *f = fopen(opt.password_file, "re");

    if (f == NULL || fgets(password, sizeof(password), f) == NULL) {
        die("cannot read the password in %s", opt.password_file);
    }
    fclose(f);
    password[strcspn(password, "\r\n")] = '\0';
    int len = snprintf(request, sizeof(request), "*2\r\n$4\r\nAUTH\r\n$%zu\r\n%s\r\n",
                       strlen(password), password);

    if (send(fd, request, (size_t)len, MSG_NOSIGNAL) != len ||
        recv(fd, reply, sizeof(reply) - 1, 0) < 5 || memcmp(reply, "+OK\r\n", 5) != 0) {
        die("AUTH failed: %s", reply);
    }
}

/* Nobody may publish before every subscriber is one, so this waits for the answer. */
static void conn_subscribe(struct conn *c)
{
    struct asked a = {.op = OP_SUBSCRIBE};
    uint32_t len = cmd_request(c, &a, out);
    char reply[256];
    size_t have = 0;

    if (send(c->fd, out, len, MSG_NOSIGNAL) != (ssize_t)len) {
        die("stream %s: send: %s", c->s->label, strerror(errno));
    }
    while (cmd_reply(c, &a, reply, have) == 0) {
        ssize_t n = recv(c->fd, reply + have, sizeof(reply) - have, 0);

        if (n <= 0) {
            die("stream %s: no answer to SUBSCRIBE", c->s->label);
        }
        have += (size_t)n;
    }
}

static void conn_open(struct conn *c, struct stream *s)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr = opt.host, .sin_port = htons(opt.port)};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    uint32_t cap = 1;
    int one = 1;

    while (cap < s->pipeline || (s->rate > 0 && cap < ASKED_MAX)) {
        cap *= 2;
    }
    c->s = s;
    c->asked = must_alloc(cap * sizeof(*c->asked));
    c->asked_mask = cap - 1;
    c->cursor[0] = '0';
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        die("connect to port %u: %s", opt.port, strerror(errno));
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (opt.password_file != NULL && !opt.memcached) {
        conn_auth(c->fd);
    }
    if (s->op == OP_SUBSCRIBE) {
        conn_subscribe(c);
    }
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e) != 0) {
        die("epoll_ctl: %s", strerror(errno));
    }
}

/* ---- the run ---- */

/* Sends what an open loop owes by now; answers when the next is due. */
static uint64_t stream_issue(struct stream *s, uint64_t now)
{
    while (s->due_ns <= now && stream_has_more(s)) {
        struct conn *c = &s->conn[s->next_conn % s->conns];

        if (c->last - c->first + s->pipeline > c->asked_mask + 1) {
            return now + 1000000; /* full: these stay due, and the wait is in their latency */
        }
        s->next_conn++;
        hist_add(&s->late, now - s->due_ns);
        conn_ask(c, s->due_ns);
        s->due_ns += s->interval_ns;
    }
    return stream_has_more(s) ? s->due_ns : UINT64_MAX;
}

static uint64_t unanswered(const struct stream *s)
{
    uint64_t n = 0;

    if (s->op == OP_SUBSCRIBE) {
        for (uint32_t i = 0; i < stream_count; i++) {
            n += s->conns * streams[i].sent; /* a subscriber sends nothing */
        }
        return n > s->delivered ? n - s->delivered : s->delivered - n;
    }
    for (uint64_t i = 0; i < s->conns; i++) {
        n += s->conn[i].last - s->conn[i].first;
    }
    return n;
}

static bool all_done(void)
{
    for (uint32_t i = 0; i < stream_count; i++) {
        if (stream_has_more(&streams[i]) || unanswered(&streams[i]) > 0) {
            return false;
        }
    }
    return true;
}

/* One turn: what is due, then what has come; waits no longer than until_ns. */
static void turn(uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now = clock_ns();
    uint64_t wake = until_ns;

    for (uint32_t i = 0; i < stream_count; i++) {
        if (streams[i].rate > 0) {
            uint64_t due = stream_issue(&streams[i], now);

            wake = due < wake ? due : wake;
        }
    }
    uint64_t wait = wake > now ? wake - now : 0;
    struct timespec timeout = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
    int n = epoll_pwait2(epoll_fd, events, EVENTS_MAX, &timeout, NULL);

    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;

        if ((events[i].events & EPOLLOUT) != 0) {
            conn_flush(c);
        }
        if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
            conn_read(c);
        }
    }
}

/* User and system time of all threads of the server, in µs; 0 when none was named. */
static uint64_t server_cpu_us(void)
{
    char path[64];
    char line[1024] = "";
    uint64_t user = 0;
    uint64_t sys = 0;

    if (opt.server_pid == 0) {
        return 0;
    }
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/stat", opt.server_pid);
    FILE *f = fopen(path, "re");

    if (f == NULL || fgets(line, sizeof(line), f) == NULL) {
        die("cannot read %s", path);
    }
    fclose(f);
    const char *p = strrchr(line, ')');

    if (p == NULL ||
        sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user,
               &sys) != 2) {
        die("cannot understand %s", path);
    }
    return (user + sys) * (1000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

static uint64_t own_cpu_us(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static void forget_warmup(void)
{
    for (uint32_t i = 0; i < stream_count; i++) {
        struct stream *s = &streams[i];

        s->ops = s->misses = 0; /* errors stay: they are wrong at any time */
        memset(&s->latency, 0, sizeof(s->latency));
        memset(&s->late, 0, sizeof(s->late));
    }
}

static uint64_t print_stream(struct stream *s, uint64_t ops, double seconds)
{
    const struct hist *h = &s->latency;

    printf("stream label=%s op=%s ops=%" PRIu64 " per_s=%.0f errors=%" PRIu64 " misses=%" PRIu64
           " p50_us=%.1f p99_us=%.1f p999_us=%.1f max_us=%.1f late_p99_us=%.1f late_p999_us=%.1f\n",
           s->label, op_names[s->op], ops, (double)ops / seconds, s->errors, s->misses,
           (double)hist_at(h, 0.5) / 1e3, (double)hist_at(h, 0.99) / 1e3,
           (double)hist_at(h, 0.999) / 1e3, (double)h->max / 1e3,
           (double)hist_at(&s->late, 0.99) / 1e3, (double)hist_at(&s->late, 0.999) / 1e3);
    return s->errors;
}

static int run(void)
{
    bool counted = true; /* ends when all is answered, not by time */
    uint64_t ops[STREAMS_MAX];
    uint64_t total = 0;
    uint64_t errors = 0;

    for (uint32_t i = 0; i < stream_count; i++) {
        struct stream *s = &streams[i];

        counted = counted && s->count > 0;
        s->due_ns = clock_ns();
        for (uint64_t n = 0; n < s->conns && s->rate == 0 && s->op != OP_SUBSCRIBE; n++) {
            conn_ask(&s->conn[n], clock_ns());
        }
    }
    uint64_t begin = clock_ns();

    if (!counted) {
        uint64_t warm = begin + (uint64_t)(opt.warmup * 1e9);

        while (clock_ns() < warm) {
            turn(warm);
        }
        forget_warmup();
        begin = clock_ns();
    }
    uint64_t server = server_cpu_us();
    uint64_t own = own_cpu_us();
    uint64_t end = counted ? UINT64_MAX : begin + (uint64_t)(opt.seconds * 1e9);

    while (clock_ns() < end && !all_done()) {
        turn(end);
    }
    double seconds = (double)(clock_ns() - begin) / 1e9;

    server = server_cpu_us() - server;
    own = own_cpu_us() - own;
    for (uint32_t i = 0; i < stream_count; i++) {
        ops[i] = streams[i].ops;
        total += ops[i];
    }
    /* What is on its way is not in the rate, but a reply that was slow must be in the latency. */
    sending = false;
    end = clock_ns() + DRAIN_MS * 1000000ull;
    while (clock_ns() < end && !all_done()) {
        turn(end);
    }
    for (uint32_t i = 0; i < stream_count; i++) {
        streams[i].errors += unanswered(&streams[i]);
        errors += print_stream(&streams[i], ops[i], seconds);
    }
    printf("total seconds=%.3f ops=%" PRIu64 " errors=%" PRIu64 " server_cpu_us=%" PRIu64
           " load_cpu_us=%" PRIu64 "\n",
           seconds, total, errors, server, own);
    return errors > 0 ? 1 : 0;
}

/* ---- the command line ---- */

static uint64_t parse_number(const char *name, const char *text)
{
    char *end;
    unsigned long long n;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-') {
        die("%s: not a number: %s", name, text);
    }
    return n;
}

static const struct {
    const char *name;
    size_t at;
    uint64_t least, most;
} number_options[] = {
    {"conns", offsetof(struct stream, conns), 1, 20000},
    {"pipeline", offsetof(struct stream, pipeline), 1, ASKED_MAX},
    {"keys", offsetof(struct stream, keys), 1, UINT32_MAX},
    {"first", offsetof(struct stream, first_key), 0, UINT32_MAX},
    {"value", offsetof(struct stream, value), 0, 1 << 26},
    {"get", offsetof(struct stream, get_percent), 0, 100},
    {"ttl_ms", offsetof(struct stream, ttl_ms), 0, UINT32_MAX},
    {"rate", offsetof(struct stream, rate), 0, 10000000},
    {"count", offsetof(struct stream, count), 0, UINT64_MAX},
    {"span", offsetof(struct stream, span), 2, UINT32_MAX},
};

static int named(const char *text, const char *const *names, int count, const char *what)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            return i;
        }
    }
    die("unknown %s: %s", what, text);
}

static void stream_option(struct stream *s, const char *name, const char *value)
{
    static const char *const dists[] = {"uniform", "zipf", "seq"};

    if (strcmp(name, "op") == 0) {
        s->op = (enum op)named(value, op_names, OPS, "op");
        if (s->label[0] == '\0') {
            snprintf(s->label, sizeof(s->label), "%s", value);
        }
    } else if (strcmp(name, "label") == 0) {
        snprintf(s->label, sizeof(s->label), "%s", value);
    } else if (strcmp(name, "dist") == 0) {
        s->dist = (unsigned)named(value, dists, 3, "dist");
    } else {
        for (size_t i = 0; i < sizeof(number_options) / sizeof(number_options[0]); i++) {
            if (strcmp(name, number_options[i].name) == 0) {
                uint64_t n = parse_number(name, value);

                if (n < number_options[i].least || n > number_options[i].most) {
                    die("%s=%s: out of range", name, value);
                }
                memcpy((char *)s + number_options[i].at, &n, sizeof(n));
                return;
            }
        }
        die("unknown stream option: %s", name);
    }
}

static void parse_stream(char *spec)
{
    struct stream *s = &streams[stream_count++];
    char *rest = spec;
    char *item;

    if (stream_count > STREAMS_MAX) {
        die("at most %d streams", STREAMS_MAX);
    }
    s->conns = 1;
    s->pipeline = 1;
    s->keys = 1000000;
    s->value = 64;
    s->get_percent = 90;
    while ((item = strsep(&rest, ",")) != NULL) {
        char *equals = strchr(item, '=');

        if (equals == NULL) {
            die("not name=value: %s", item);
        }
        *equals = '\0';
        stream_option(s, item, equals + 1);
    }
    if (s->op == OP_SCAN && s->pipeline != 1) {
        die("scan knows its next cursor only when it is answered: pipeline=1");
    }
    if (opt.memcached && s->op > OP_MIX) {
        die("memcached has no %s", op_names[s->op]);
    }
}

/* The text of a command, or of what it expects, of the stream that was named last. */
static void parse_text(const char **texts, uint32_t *count, const char *text)
{
    if (*count == CMDS_MAX) {
        die("at most %d commands a stream", CMDS_MAX);
    }
    texts[(*count)++] = text;
}

static void parse_args(int argc, char **argv)
{
    static const struct option longs[] = {
        {"host", 1, NULL, 'h'},       {"port", 1, NULL, 'p'},          {"proto", 1, NULL, 'P'},
        {"ms", 1, NULL, 's'},         {"warmup-ms", 1, NULL, 'w'},     {"stream", 1, NULL, 'S'},
        {"server-pid", 1, NULL, 'i'}, {"password-file", 1, NULL, 'a'}, {"seed", 1, NULL, 'r'},
        {"command", 1, NULL, 'c'},    {"reply", 1, NULL, 'e'},         {NULL, 0, NULL, 0},
    };
    static const char *const protos[] = {"resp", "memcached"};
    int c;

    opt.host.s_addr = htonl(INADDR_LOOPBACK);
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'h':
            if (inet_pton(AF_INET, optarg, &opt.host) != 1) {
                die("not an IPv4 address: %s", optarg);
            }
            break;
        case 'p':
            opt.port = (uint16_t)parse_number("port", optarg);
            break;
        case 'P':
            opt.memcached = named(optarg, protos, 2, "proto") == 1;
            break;
        case 's':
            opt.seconds = (double)parse_number("ms", optarg) / 1000;
            break;
        case 'w':
            opt.warmup = (double)parse_number("warmup-ms", optarg) / 1000;
            break;
        case 'S':
            parse_stream(optarg);
            break;
        case 'c':
        case 'e':
            if (stream_count == 0) {
                die("--command and --reply belong to the --stream before them");
            }
            struct stream *s = &streams[stream_count - 1];

            if (c == 'c') {
                parse_text(s->command, &s->commands, optarg);
            } else {
                parse_text(s->reply, &s->replies, optarg);
            }
            break;
        case 'i':
            opt.server_pid = parse_number("server-pid", optarg);
            break;
        case 'a':
            opt.password_file = optarg;
            break;
        case 'r':
            opt.seed = parse_number("seed", optarg);
            break;
        default:
            die("see the top of bench/load.c");
        }
    }
    if (opt.port == 0 || stream_count == 0) {
        die("--port and at least one --stream are needed");
    }
}

static void stream_start(struct stream *s)
{
    wire_stream_init(s);
    s->interval_ns = s->rate > 0 ? 1000000000ull * s->pipeline / s->rate : 0;
    s->conn = must_alloc(s->conns * sizeof(*s->conn));
    for (uint64_t i = 0; i < s->conns; i++) {
        conn_open(&s->conn[i], s);
    }
}

int main(int argc, char **argv)
{
    size_t out_bytes = 0;
    size_t value_bytes = 0;

    parse_args(argc, argv);
    for (uint32_t i = 0; i < stream_count; i++) {
        struct stream *s = &streams[i];
        size_t bytes = s->pipeline * (s->value + 256 + cmd_bytes_max(s));

        out_bytes = bytes > out_bytes ? bytes : out_bytes;
        value_bytes = s->value > value_bytes ? s->value : value_bytes;
    }
    out = must_alloc(out_bytes);
    wire_init(opt.seed, value_bytes);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* an open loop wakes up when something is due */
    for (uint32_t i = 0; i < stream_count; i++) {
        stream_start(&streams[i]);
    }
    return run();
}
