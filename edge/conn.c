/* conn.c - reading, writing, ending: what every connection does whatever it speaks.
 *
 *    readable ─► input ─► door_resp_turn() ─► settle ─► write
 *                               ▲                         │ EAGAIN: EPOLLOUT
 *          on_ready, conn_go_on ┘ (a task)                ▼
 *
 * Level-triggered: at pipeline 1 a request is one read, one write and no epoll_ctl. What epoll watches
 * changes only when a connection cannot go on: sync_events().
 *
 * Invariants
 *  - A connection has a scratch during its turn, and after it only while is_busy.
 *  - `view` is in `in`, or in the scratch it holds; what is left after a turn is in `in`.
 *  - Nothing is read while something stands in the way (may_read()), so input is bounded by one read
 *    behind one incomplete request.
 */
#include "edge/conn.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/acl.h"
#include "edge/client.h"
#include "edge/door_resp.h"
#include "edge/monitor.h"
#include "edge/multi.h"
#include "edge/options.h"
#include "edge/out_limit.h"
#include "edge/pubsub.h"
#include "edge/tracking.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
    OUT_FIRST_BYTES = 16 * 1024, /* of a reply buffer */
    OUT_KEPT_BYTES = 256 * 1024, /* a larger one is given back when drained */
    IN_KEPT_BYTES = 64 * 1024,
    IN_AHEAD_BYTES = 1024 * 1024,
    IN_WHOLE_FROM =
        1024 * 1024, /* an argument of which so much has come gets all the room it asks for */
    IN_TURN_BYTES = 256 * 1024,  /* read at once, of a long argument */
    OUT_TURN_BYTES = 1024 * 1024 /* written at once */
};

_Atomic uint32_t conn_open_count;
static _Atomic uint64_t next_id = 1;

static void on_events(struct worker_file *f, uint32_t events);
static void conn_task(struct worker_task *t);
static void on_ready(struct session *s);

/* --- what epoll watches ---------------------------------------------------------------------- */

static bool may_go_on(const struct conn *c)
{
    return !c->is_busy && !c->is_waiting && !c->is_held && !c->is_ending && !c->is_closed &&
           !c->is_over;
}

static bool may_read(const struct conn *c)
{
    return may_go_on(c) && list_is_empty(&c->pause_link);
}

/* A half-closed peer may still read what it is owed; one for whom the backend works is gone. */
static uint32_t wanted_events(const struct conn *c)
{
    uint32_t events = c->is_stalled ? EPOLLOUT : 0;

    if (may_read(c)) {
        events |= EPOLLIN;
    }
    if (!c->is_ending && !c->is_over) {
        events |= EPOLLRDHUP;
    }
    return events;
}

static void sync_events(struct conn *c)
{
    uint32_t events = wanted_events(c);

    if (events != c->events) {
        c->events = events;
        worker_rewatch(c->set->worker, &c->file, events);
    }
}

/* --- output ---------------------------------------------------------------------------------- */

size_t conn_out_bytes(const struct conn *c)
{
    return c->reply.out.len - c->sent + c->pushed.len;
}

/* Lends the worker's buffer. If there is none and no memory either, the first reply fails. */
static void out_lend(struct conn *c)
{
    if (c->reply.out.cap == 0) {
        c->reply.out = c->set->out;
        buf_init(&c->set->out);
        if (c->reply.out.cap == 0 && buf_reserve(&c->reply.out, OUT_FIRST_BYTES) != OK) {
            c->reply.failed = true;
        }
    }
}

static void out_give_back(struct conn *c)
{
    struct buf *b = &c->reply.out;

    b->len = 0;
    c->sent = c->sendable = c->whole = 0;
    if (b->cap > OUT_KEPT_BYTES || b->cap < OUT_FIRST_BYTES || c->set->out.cap > 0) {
        buf_fini(b);
    } else {
        c->set->out = *b;
    }
    buf_init(b);
}

/* What may leave by now. The gate is asked for all that is written, once. */
static void pass_gate(struct conn *c)
{
    struct backend *b = c->session.backend;

    c->is_held = c->gate_position > 0 && !b->may_send(b, &c->session, c->gate_position);
    if (!c->is_held) {
        c->gate_position = 0;
        c->sendable = c->whole;
    }
}

static void note_stall(struct conn *c, bool took_some)
{
    if (!c->is_stalled || took_some) {
        c->stalled_ms = c->set->worker->now_ms;
    }
    c->is_stalled = true;
    c->is_over = conn_out_bytes(c) > out_limit_of(c);
    out_limit_note(c, c->set->worker->now_ms);
}

static void note_max(_Atomic uint64_t *max, uint64_t value)
{
    if (UNLIKELY(value > atomic_load_explicit(max, memory_order_relaxed))) {
        atomic_store_explicit(max, value, memory_order_relaxed);
    }
}

/* False if the connection is gone. */
static bool conn_write(struct conn *c)
{
    bool took_some = false;

    note_max(&c->set->count.out_max, c->reply.out.len - c->sent);
    while (c->sent < c->sendable) {
        size_t all = c->sendable - c->sent;
        size_t len = all < OUT_TURN_BYTES ? all : OUT_TURN_BYTES;
        ssize_t n = write(c->file.fd, c->reply.out.ptr + c->sent, len);

        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno != EAGAIN) {
                conn_close(c, "write failed");
                return false;
            }
            note_stall(c, took_some);
            return true;
        }
        took_some = true;
        c->sent += (size_t)n;
        c->out_bytes += (uint64_t)n;
        conn_count(&c->set->count.out_bytes, (uint64_t)n);
        if ((size_t)n <
            all) { /* the socket is full and asking again would only say so; or next turn */
            note_stall(c, true);
            return true;
        }
    }
    c->is_stalled = false;
    c->is_over = c->is_soft = false;
    return true;
}

/* What was pushed meanwhile goes behind the replies; if its beginning has left, the rest comes first. */
static void append_pushed(struct conn *c)
{
    struct buf *out = &c->reply.out;
    size_t len = c->pushed.len;
    size_t at = c->is_push_cut ? c->sent : out->len;

    if (len > 0) {
        out_lend(c);
        if (buf_reserve(out, len) != OK) {
            c->reply.failed = true;
        } else {
            buf_move(out->ptr + at + len, out->ptr + at, out->len - at);
            memcpy(out->ptr + at, c->pushed.ptr, len);
            out->len += len;
        }
        buf_fini(&c->pushed);
    }
    c->is_push_cut = false;
}

/* Pushes of one whose batch waits, perhaps for long: they may leave if all before them has, and the
 * batch has answered nothing yet. False if the connection is gone. */
static bool write_pushed(struct conn *c)
{
    ssize_t n;

    if (c->pushed.len == 0 || c->is_held || c->is_stalled || c->sent < c->whole ||
        c->batch.whole != c->batch_from) {
        return true;
    }
    do {
        n = write(c->file.fd, c->pushed.ptr, c->pushed.len);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) {
        conn_close(c, "write failed");
        return false;
    }
    if (n > 0) {
        c->out_bytes += (uint64_t)n;
        conn_count(&c->set->count.out_bytes, (uint64_t)n);
        buf_consume(&c->pushed, (size_t)n);
    }
    c->is_push_cut = c->pushed.len > 0 && (n > 0 || c->is_push_cut);
    if (c->pushed.len > 0) {
        note_stall(c, n > 0);
    } else {
        buf_fini(&c->pushed);
    }
    return true;
}

/* Gives up the room of what was sent, once that is worth the move. */
static void out_compact(struct conn *c)
{
    if (c->sent > OUT_KEPT_BYTES && c->sent > c->reply.out.len / 2) {
        buf_consume(&c->reply.out, c->sent);
        c->whole -= c->sent;
        c->sendable -= c->sent;
        c->sent = 0;
    }
}

/* The end of each turn of a connection. */
static void finish_turn(struct conn *c)
{
    bool was_barred = c->is_held || c->is_over;

    if (c->is_closed) {
        return;
    }
    if (!c->is_busy) {
        append_pushed(c);
        c->whole = c->reply.out.len;
    }
    if (UNLIKELY(c->reply.failed)) {
        conn_close(c, "no memory for its reply");
        return;
    }
    pass_gate(c);
    if (!conn_write(c) || (c->is_busy && !write_pushed(c))) {
        return;
    }
    if (!c->is_busy) {
        if (c->sent == c->reply.out.len) {
            if (c->reply.out.cap > 0) {
                out_give_back(c);
            }
            if (c->is_ending) {
                conn_close(c, NULL);
                return;
            }
        } else {
            out_compact(c);
        }
    }
    if (UNLIKELY(was_barred) && may_read(c) && c->in.len > 0) {
        conn_go_on(c);
    }
    sync_events(c);
}

/* --- input ----------------------------------------------------------------------------------- */

/* What is left of the view becomes the connection's own; the scratch goes back. */
static void settle_input(struct conn *c)
{
    size_t left = c->view_len - c->view_at;
    bool own = c->view == c->in.ptr;

    if (c->is_closed || c->is_busy) {
        return;
    }
    if (own) {
        if (left == 0 && c->in.cap > IN_KEPT_BYTES) {
            buf_fini(&c->in);
        } else {
            buf_consume(&c->in, c->view_at);
        }
    } else if (left > 0) {
        buf_clear(&c->in);
        if (buf_append(&c->in, c->view + c->view_at, left) != OK) {
            conn_close(c, "no memory for its request");
            return;
        }
    }
    c->view = NULL;
    c->view_len = c->view_at = 0;
    if (left == 0) {
        c->part_ms = 0;
    } else if (c->part_ms == 0) {
        c->part_ms = c->set->worker->now_ms;
    }
    if (UNLIKELY(c->in.len > conf_u64(&opt_client_query_buffer_limit))) {
        conn_count(&c->set->count.input_limit, 1);
        conn_close(c, "query buffer limit");
    }
}

/* Lends a scratch if the connection has none. */
static bool begin_turn(struct conn *c)
{
    if (c->scratch == NULL) {
        c->scratch = c->set->scratch != NULL ? c->set->scratch : conn_scratch_take(c->set);
        c->set->scratch = NULL;
        if (c->scratch == NULL) {
            conn_close(c, "no memory for its turn");
            return false;
        }
    }
    out_lend(c);
    return true;
}

static void end_turn(struct conn *c)
{
    settle_input(c);
    if (c->scratch != NULL && !c->is_busy) {
        if (c->set->scratch == NULL && c->scratch->args == c->scratch->own_args) {
            c->set->scratch = c->scratch;
        } else {
            conn_scratch_give(c->set, c->scratch);
        }
        c->scratch = NULL;
    }
    finish_turn(c);
}

static void conn_continue(struct conn *c)
{
    pass_gate(c);
    if (c->is_busy || (may_read(c) && c->in.len > 0)) {
        if (!begin_turn(c)) {
            return;
        }
        if (c->view == NULL) {
            c->view = c->in.ptr;
            c->view_len = c->in.len;
            c->view_at = 0;
        }
        door_resp_turn(c);
        end_turn(c);
        return;
    }
    finish_turn(c);
}

/* Where the next bytes go: behind a small remainder in the scratch, else behind a large one. */
static char *read_place(struct conn *c, size_t *room)
{
    size_t left = c->in.len;

    if (left <= CONN_READ_BYTES / 2) {
        if (left > 0) {
            memcpy(c->scratch->input, c->in.ptr, left);
            buf_clear(&c->in);
        }
        c->view = c->scratch->input;
        c->view_len = left;
        *room = CONN_READ_BYTES - left;
        return c->scratch->input + left;
    }
    /* As much as the argument under way needs, but no further ahead than what has come of it; not so for
     * long ones, since what is moved with each growth takes the longer (what is not written to is not there). */
    size_t wants = resp_req_wants(&c->req);
    size_t ahead = left > IN_AHEAD_BYTES ? left : IN_AHEAD_BYTES;

    ahead = left > IN_WHOLE_FROM ? SIZE_MAX : ahead;

    wants = wants < CONN_READ_BYTES ? CONN_READ_BYTES : wants;
    if (buf_reserve(&c->in, wants < ahead ? wants : ahead) != OK) {
        return NULL;
    }
    c->view = c->in.ptr;
    c->view_len = left;
    *room = c->in.cap - left < IN_TURN_BYTES ? c->in.cap - left : IN_TURN_BYTES;
    return c->in.ptr + left;
}

static void on_end_of_input(struct conn *c)
{
    if (c->in.len > 0 || c->is_stalled == false) {
        conn_close(c, "client closed");
        return;
    }
    c->is_ending = true; /* it still reads what it is owed */
    finish_turn(c);
}

static void conn_read(struct conn *c)
{
    size_t room;
    char *at;
    ssize_t n;

    if (!list_is_empty(&c->task.link)) {
        return; /* still at work on what it read before */
    }
    if (!begin_turn(c)) {
        return;
    }
    at = read_place(c, &room);
    if (at == NULL) {
        conn_close(c, "no memory for its request");
        return;
    }
    do {
        n = read(c->file.fd, at, room);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        c->view_len += (size_t)n;
        if (c->view == c->in.ptr) {
            c->in.len += (size_t)n;
        }
        c->view_at = 0;
        c->in_bytes += (uint64_t)n;
        c->last_ms = c->set->worker->now_ms;
        conn_count(&c->set->count.in_bytes, (uint64_t)n);
        note_max(&c->set->count.in_max, c->view_len);
        door_resp_turn(c);
        end_turn(c);
        return;
    }
    int err = errno;

    end_turn(c);
    if (c->is_closed || (n < 0 && err == EAGAIN)) {
        return;
    }
    if (n == 0) {
        on_end_of_input(c);
    } else {
        conn_close(c, "read failed");
    }
}

static void on_events(struct worker_file *f, uint32_t events)
{
    struct conn *c = LIST_ITEM(f, struct conn, file);

    if (LIKELY(events == EPOLLIN) && LIKELY(may_read(c))) {
        conn_read(c);
        return;
    }
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        conn_close(c, "connection lost");
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        conn_continue(c);
        if (c->is_closed) {
            return;
        }
    }
    if ((events & EPOLLIN) != 0 && may_read(c)) {
        conn_read(c);
    } else if ((events & EPOLLRDHUP) != 0 && !c->is_ending && !c->is_over) {
        conn_close(c, "client closed");
    } else {
        sync_events(c); /* it may not read for now: stop being told */
    }
}

/* --- ready, waiting, pushed ------------------------------------------------------------------ */

static void on_ready(struct session *s)
{
    conn_go_on(conn_of(s));
}

void conn_go_on(struct conn *c)
{
    worker_defer(c->set->worker, &c->task);
}

void conn_wait(struct conn *c)
{
    c->is_waiting = true;
}

size_t conn_answer_begin(struct conn *c)
{
    out_lend(c);
    return reply_begin(&c->reply);
}

void conn_answer_end(struct conn *c, size_t from)
{
    reply_end(&c->reply, from);
    c->is_waiting = false;
    conn_go_on(c);
}

static bool is_room_for(struct conn *c, size_t len)
{
    if (LIKELY(conn_out_bytes(c) + len <= out_limit_of(c))) {
        return true;
    }
    /* What came in this turn has not been written yet, and the peer may well be reading. */
    finish_turn(c);
    return !c->is_closed && conn_out_bytes(c) + len <= out_limit_of(c);
}

void conn_push(struct conn *c, struct slice head, struct slice tail, uint64_t position)
{
    struct buf *to;

    if (c->is_closed || c->is_ending) {
        return;
    }
    if (!is_room_for(c, head.len + tail.len)) {
        conn_count(&c->set->count.output_limit, 1);
        conn_close(c, "output limit");
        return;
    }
    /* A turn, or a batch that waits: a reply may be half written. Else it gets a buffer of its own size:
     * a message to many takes a small block of each, not a lent buffer. */
    to = c->scratch != NULL ? &c->pushed : &c->reply.out;
    if (buf_reserve(to, head.len + tail.len) != OK) {
        log_error("conn: closed, no memory for a message to it\tid=%lu",
                  (unsigned long)c->session.id);
        conn_count(&c->set->count.output_limit, 1);
        c->reply.failed = true;
    } else {
        char *first = to->ptr + to->len;

        buf_append_nofail(to, head.ptr, head.len);
        buf_append_nofail(to, tail.ptr, tail.len);
        if (c->protocol == 2 && *first == '>') {
            *first = '*';
        }
        c->gate_position = position > c->gate_position ? position : c->gate_position;
    }
    conn_go_on(c);
}

/* --- birth and end --------------------------------------------------------------------------- */

static void conn_task(struct worker_task *t)
{
    struct conn *c = LIST_ITEM(t, struct conn, task);

    if (c->is_closed) {
        conn_free(c);
    } else {
        conn_continue(c);
    }
}

void conn_free(struct conn *c)
{
    assert(c->is_closed);
    list_remove(&c->task.link);
    list_remove(&c->link);
    acl_release(c->session.user);
    mem_free(c, sizeof(*c));
    atomic_fetch_sub_explicit(&conn_open_count, 1, memory_order_relaxed);
}

void conn_text_set(char **text, struct slice s)
{
    if (*text != NULL) {
        mem_free(*text, strlen(*text) + 1);
        *text = NULL;
    }
    if (s.len > 0 && (*text = mem_alloc(s.len + 1)) != NULL) {
        memcpy(*text, s.ptr, s.len);
        (*text)[s.len] = '\0';
    }
}

static void free_parts(struct conn *c)
{
    if (c->scratch != NULL) {
        conn_scratch_give(c->set, c->scratch);
        c->scratch = NULL;
    }
    multi_destroy(c->multi);
    reply_fini(&c->reply);
    resp_req_fini(&c->req);
    buf_fini(&c->in);
    buf_fini(&c->pushed);
    conn_text_set(&c->name, SLICE(""));
    conn_text_set(&c->lib_name, SLICE(""));
    conn_text_set(&c->lib_ver, SLICE(""));
}

void conn_close(struct conn *c, const char *why)
{
    struct backend *b = c->session.backend;
    char addr[CONN_ADDR_MAX];

    if (c->is_closed) {
        return;
    }
    if (why != NULL && log_is_on(LOG_DEBUG)) {
        conn_addr_text(&c->peer, addr);
        log_debug("conn: closed\tid=%lu\taddr=%s\twhy=%s", (unsigned long)c->session.id, addr, why);
    }
    c->is_closed = true;
    if (c->is_busy || c->is_held) {
        b->cancel(b, &c->session);
    }
    if (b->session_close != NULL) {
        b->session_close(b, &c->session);
    }
    monitor_remove(c);
    pubsub_leave_all(c);
    tracking_close(c);
    list_remove(&c->pause_link);
    if (c->set->sweep == &c->link) {
        c->set->sweep = c->link.next;
    }
    list_remove(&c->link);
    list_push(&c->set->dying, &c->link);
    worker_timer_clear(c->set->worker, &c->timer);
    /* Unread input would make the kernel send a reset, which may overtake the last reply. */
    (void)recv(c->file.fd, NULL, 1 << 20, MSG_TRUNC | MSG_DONTWAIT);
    close(c->file.fd);
    c->file.fd = -1;
    free_parts(c);
    conn_count(&c->set->count.closed, 1);
    atomic_fetch_sub_explicit(&c->set->worker->load, 1, memory_order_relaxed);
    conn_go_on(c);
}

void conn_end(struct conn *c)
{
    c->is_ending = true;
}

/* On its worker: it begins. */
static void conn_arrive(struct inbox_msg *m)
{
    struct conn *c = LIST_ITEM(m, struct conn, msg);
    struct conn_set *set = c->set;

    c->made_ms = c->last_ms = set->worker->now_ms;
    list_push(&set->conns, &c->link);
    conn_count(&set->count.received, 1);
    door_resp_open(c);
    c->events = EPOLLIN | EPOLLRDHUP;
    if (set->is_draining) {
        conn_close(c, "stopping");
    } else if (worker_watch(set->worker, &c->file, c->events) != OK) {
        log_error("conn: epoll: %m");
        conn_close(c, "epoll failed");
    }
}

int conn_give(struct conn_set *set, int fd, const struct sockaddr_storage *peer)
{
    struct conn *c = mem_zalloc(sizeof(*c));

    if (c == NULL) {
        close(fd);
        return ERR_NOMEM;
    }
    c->file = (struct worker_file){fd, on_events};
    c->set = set;
    c->peer = *peer;
    c->session = (struct session){.backend = set->backend,
                                  .worker = set->worker,
                                  .is_connection = true,
                                  .on_ready = on_ready};
    c->session.id = atomic_fetch_add_explicit(&next_id, 1, memory_order_relaxed);
    c->task.run = conn_task;
    list_init(&c->task.link);
    list_init(&c->link);
    list_init(&c->pause_link);
    list_init(&c->monitor_link);
    reply_init(&c->reply);
    c->reply.door = c;
    c->msg.fn = conn_arrive;
    atomic_fetch_add_explicit(&set->worker->load, 1, memory_order_relaxed);
    worker_post(set->worker, &c->msg);
    return OK;
}
