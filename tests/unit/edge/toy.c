#include "tests/unit/edge/toy.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/parse.h"
#include "base/rcu.h"
#include "cli/options.h"
#include "edge/auth.h"
#include "edge/client.h"
#include "edge/commands.h"
#include "edge/options.h"
#include "edge/out_limit.h"
#include "edge/tracking.h"
#include "tests/lib/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000 };

/* --- the backend ------------------------------------------------------------------------------ */

static void run_echo(struct cmd *c)
{
    reply_bulk(c->reply, c->argv[1]);
}

static void run_null(struct cmd *c)
{
    reply_null(c->reply);
}

static void run_map(struct cmd *c)
{
    reply_map(c->reply, 1);
    reply_bulk(c->reply, SLICE("k"));
    reply_int(c->reply, 1);
}

static void run_ok(struct cmd *c)
{
    reply_ok(c->reply);
}

static void run_big(struct cmd *c)
{
    static char block[4096];
    uint64_t n;

    if (!parse_u64(c->argv[1], &n)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    memset(block, 'x', sizeof(block));
    reply_bulk_begin(c->reply, n);
    while (n > 0) {
        size_t piece = n < sizeof(block) ? n : sizeof(block);

        reply_bulk_piece(c->reply, (struct slice){block, piece});
        n -= piece;
    }
    reply_bulk_end(c->reply);
}

/* clang-format off */
static struct cmd_def toy_cmds[] = {
    { "TECHO",  2, CMD_READ, KEYS(1, 1, 1), "1.0.0", run_echo, "", "" },
    { "TLATER", 1, CMD_READ, KEYS_NONE, "1.0.0", run_ok, "", "" },
    { "TGATE",  2, CMD_READ, KEYS_NONE, "1.0.0", run_ok, "", "" },
    { "TBIG",   2, CMD_READ, KEYS_NONE, "1.0.0", run_big, "", "" },
    { "TNULL",  1, CMD_READ, KEYS_NONE, "1.0.0", run_null, "", "" },
    { "TMAP",   1, CMD_READ, KEYS_NONE, "1.0.0", run_map, "", "" },
    { "TWRITE", 1, CMD_WRITE, KEYS_NONE, "1.0.0", run_ok, "", "" },
    CMD_END
};
/* clang-format on */

static void hold(struct toy *t, struct session *s)
{
    t->held[s->worker->index] = s;
    atomic_fetch_add(&t->waiting, 1);
}

static enum backend_progress run(struct backend *b, struct session *s, struct batch *batch)
{
    struct toy *t = (struct toy *)b;

    for (; batch->next < batch->count; batch->next++) {
        struct request *q = &batch->requests[batch->next];
        struct cmd c = {
            .def = q->def, .argv = q->argv, .argc = q->argc, .reply = batch->reply, .session = s};

        if (strcmp(q->def->name, "TLATER") == 0 && !atomic_load(&t->later_may_go)) {
            hold(t, s);
            batch->whole = batch->reply->out.len;
            return BACKEND_LATER;
        }
        if (strcmp(q->def->name, "TGATE") == 0) {
            uint64_t position = 0;

            (void)!parse_u64(q->argv[1], &position);
            batch->position = position > batch->position ? position : batch->position;
        }
        if (s->is_tracking) {
            tracking_read(s, q);
        }
        size_t from = reply_begin(batch->reply);

        q->def->run(&c);
        reply_end(batch->reply, from);
        if (s->is_tracking) {
            tracking_has_read(s, q, false);
        }
        atomic_fetch_add(&t->ran, 1);
    }
    return BACKEND_DONE;
}

static void cancel(struct backend *b, struct session *s)
{
    struct toy *t = (struct toy *)b;

    if (t->held[s->worker->index] == s) {
        t->held[s->worker->index] = NULL;
    }
    atomic_fetch_add(&t->cancelled, 1);
}

static bool may_send(struct backend *b, struct session *s, uint64_t position)
{
    struct toy *t = (struct toy *)b;

    if (position <= atomic_load(&t->gate)) {
        return true;
    }
    if (t->held[s->worker->index] != s) {
        hold(t, s);
    }
    return false;
}

static void session_close(struct backend *b, struct session *s)
{
    (void)s;
    atomic_fetch_add(&((struct toy *)b)->closed_sessions, 1);
}

/* --- on the workers --------------------------------------------------------------------------- */

struct errand {
    struct inbox_msg msg;
    struct toy_worker *to;
    void (*run)(struct toy_worker *w);
};

static void run_errand(struct inbox_msg *m)
{
    struct errand *e = LIST_ITEM(m, struct errand, msg);

    e->run(e->to);
    free(e);
}

static void send_errand(struct toy_worker *to, void (*fn)(struct toy_worker *w))
{
    struct errand *e = calloc(1, sizeof(*e));

    e->msg.fn = run_errand;
    e->to = to;
    e->run = fn;
    worker_post(&to->worker, &e->msg);
}

static void wake_held(struct toy_worker *w)
{
    struct session *s = w->toy->held[w->worker.index];

    if (s != NULL) {
        w->toy->held[w->worker.index] = NULL;
        s->on_ready(s);
    }
}

static void wake_all(struct toy *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        send_errand(&t->workers[i], wake_held);
    }
}

void toy_release(struct toy *t)
{
    atomic_store(&t->later_may_go, true);
    wake_all(t);
}

void toy_gate_set(struct toy *t, uint64_t position)
{
    atomic_store(&t->gate, position);
    wake_all(t);
}

static _Atomic uint32_t started;

static void on_start(struct worker *w)
{
    struct toy_worker *tw = LIST_ITEM(w, struct toy_worker, worker);

    if (conn_set_init(&tw->set, w, &tw->toy->backend) != OK) {
        abort();
    }
    atomic_fetch_add(&started, 1);
}

static void on_stop(struct worker *w)
{
    conn_set_fini(&LIST_ITEM(w, struct toy_worker, worker)->set);
}

static void begin_listening(struct toy_worker *w)
{
    if (listen_start(&w->toy->listener, &w->worker) != OK) {
        abort();
    }
    atomic_fetch_add(&started, 1);
}

static _Atomic uint32_t stopped;

static void end_listening(struct toy_worker *w)
{
    listen_stop(&w->toy->listener);
    atomic_fetch_add(&stopped, 1);
}

static void say_hello(struct toy_worker *w)
{
    (void)w;
    atomic_fetch_add(&stopped, 1);
}

/* --- life ------------------------------------------------------------------------------------- */

static void once(void)
{
    static bool done;

    if (!done) {
        done = true;
        options_use();
        edge_register_commands();
        cmd_register("toy", toy_cmds);
        cmd_freeze();
    }
}

void toy_start(struct toy *t, uint32_t workers, const char *password)
{
    once();
    memset(t, 0, sizeof(*t));
    client_forget_sets();
    t->backend = (struct backend){
        .run = run, .cancel = cancel, .may_send = may_send, .session_close = session_close};
    t->count = workers;
    atomic_store(&started, 0);
    atomic_store(&stopped, 0);
    out_limit_start();
    if (auth_init(NULL) != OK || listen_open(&t->listener, SLICE("127.0.0.1"), 0, false) != OK) {
        abort();
    }
    auth_password_set(slice_of(password == NULL ? "" : password));
    for (uint32_t i = 0; i < workers; i++) {
        struct toy_worker *w = &t->workers[i];

        w->toy = t;
        if (worker_init(&w->worker, i) != OK) {
            abort();
        }
        w->worker.on_start = on_start;
        w->worker.on_stop = on_stop;
        if (worker_start(&w->worker) != OK) {
            abort();
        }
    }
    CU_ASSERT(toy_count_becomes(&started, workers));
    send_errand(&t->workers[0], begin_listening);
    CU_ASSERT(toy_count_becomes(&started, workers + 1));
}

void toy_stop(struct toy *t)
{
    send_errand(&t->workers[0], end_listening);
    CU_ASSERT(toy_count_becomes(&stopped, 1));
    for (uint32_t i = 0; i < t->count; i++) { /* what the listener sent has arrived */
        send_errand(&t->workers[i], say_hello);
    }
    CU_ASSERT(toy_count_becomes(&stopped, 1 + t->count));
    for (uint32_t i = 0; i < t->count; i++) {
        worker_stop(&t->workers[i].worker);
        worker_join(&t->workers[i].worker);
    }
    for (uint32_t i = 0; i < t->count; i++) {
        worker_fini(&t->workers[i].worker);
    }
    CU_ASSERT_EQUAL(atomic_load(&conn_open_count), 0);
    conf_reset();
}

void toy_set(const char *name, const char *value)
{
    struct buf why;

    buf_init(&why);
    CU_ASSERT(conf_set(conf_find(slice_of(name)), slice_of(value), &why));
    buf_fini(&why);
}

struct fault {
    struct inbox_msg msg;
    int nth;
    _Atomic bool done;
};

static void fail_here(struct inbox_msg *msg)
{
    struct fault *f = LIST_ITEM(msg, struct fault, msg);

    fault_fail_nth(f->nth);
    atomic_store(&f->done, true);
}

static bool is_done(void *arg)
{
    return atomic_load(&((struct fault *)arg)->done);
}

void toy_fault(struct toy *t, uint32_t worker, int nth)
{
    struct fault f = {.msg.fn = fail_here, .nth = nth};

    worker_post(&t->workers[worker].worker, &f.msg);
    CU_ASSERT_FATAL(toy_until(is_done, &f));
}

/* --- the client ------------------------------------------------------------------------------- */

int toy_connect(struct toy *t)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(t->listener.port)};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        perror("toy: connect");
        abort();
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return fd;
}

void toy_send_bytes(int fd, const void *bytes, size_t len)
{
    const char *p = bytes;

    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n <= 0) {
            return;
        }
        p += n;
        len -= (size_t)n;
    }
}

void toy_send(int fd, const char *text)
{
    toy_send_bytes(fd, text, strlen(text));
}

bool toy_gets(int fd, const char *text)
{
    size_t len = strlen(text);
    size_t have = 0;
    char *got = malloc(len + 1);
    bool same;

    while (have < len) {
        ssize_t n = recv(fd, got + have, len - have, 0);

        if (n <= 0) {
            break;
        }
        have += (size_t)n;
    }
    got[have] = '\0';
    same = have == len && memcmp(got, text, len) == 0;
    if (!same) {
        char rest[200] = "";
        (void)!recv(fd, rest, sizeof(rest) - 1, MSG_DONTWAIT);
        printf("toy: wanted <%.200s> got <%.200s> then <%s>\n", text, got, rest);
    }
    free(got);
    return same;
}

bool toy_gets_line(int fd, const char *begin, char *out, size_t room)
{
    size_t n = 0;

    while (n + 1 < room && recv(fd, out + n, 1, 0) == 1 && out[n] != '\n') {
        n++;
    }
    out[n] = '\0';
    if (n > 0 && out[n - 1] == '\r') {
        out[n - 1] = '\0';
    }
    if (strncmp(out, begin, strlen(begin)) != 0) {
        printf("toy: wanted <%s…> got <%s>\n", begin, out);
        return false;
    }
    return true;
}

bool toy_is_closed(int fd)
{
    char rest[64];
    ssize_t n = recv(fd, rest, sizeof(rest), 0);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

bool toy_is_silent(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

bool toy_until(bool (*cond)(void *arg), void *arg)
{
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (cond(arg)) {
            return true;
        }
        (void)poll(NULL, 0, 1);
    }
    return false;
}

struct wanted {
    _Atomic uint32_t *word;
    uint32_t value;
};

static bool is_reached(void *arg)
{
    struct wanted *w = arg;

    return atomic_load(w->word) >= w->value;
}

bool toy_count_becomes(_Atomic uint32_t *word, uint32_t value)
{
    return toy_until(is_reached, &(struct wanted){word, value});
}
