/* conn.h - a client's connection from its first byte to its last, and the set of them on one worker.
 *
 * A wake-up reads once, carries out every complete request as batches (edge/door_resp.c), and writes
 * once. Input and output buffers and the arrays of a batch belong to the worker's set and are lent to
 * the connection that has its turn: one that is idle owns no such memory. What is left over (a
 * request that is not complete, a reply that the peer does not take) becomes the connection's own.
 *
 * Ownership  a connection belongs to its set's worker; conn_close() ends it, and its memory is freed
 *            in a task after this turn's events, so handlers may still look at `file.fd` (-1).
 * Order      replies leave in the order of the requests. While the backend has a batch (BACKEND_LATER),
 *            holds replies back at the gate, or a round trip through other workers is under way, no
 *            further request of this connection is looked at.
 * Limits     edge/options.def; each has a counter in struct client_stats.
 */
#ifndef EDGE_CONN_H
#define EDGE_CONN_H

#include "base/buf.h"
#include "base/worker.h"
#include "edge/backend.h"
#include "edge/session.h"
#include "proto/reply.h"
#include "proto/resp_req.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum {
    CONN_READ_BYTES = 32 * 1024, /* a read: 64 SETs of 64 bytes are 7 KiB, and L1 stays warm */
    CONN_BATCH_MAX = 128,        /* requests prefetched together; more gains nothing */
    CONN_BATCH_FIRST = 16,       /* of a connection whose replies' size is not known yet */
    CONN_ARGS_MAX = 512,         /* of a batch, before it is cut or the array grows */
    CONN_TURN_REQUESTS = 1024,   /* then the other connections have their turn */
    CONN_TURN_BYTES = 1 << 20,   /* of replies, likewise */
    CONN_ADDR_MAX = 56           /* "[v6]:port" and a NUL */
};

/* What a turn works in. Lent by the set; kept while a batch waits, since the backend may hold on to
 * requests and arguments, so none of it moves. */
struct conn_scratch {
    struct conn_scratch *next;
    struct slice *args;
    uint32_t args_cap, args_used;
    struct request requests[CONN_BATCH_MAX];
    struct slice own_args[CONN_ARGS_MAX];
    char input[CONN_READ_BYTES];
};

/* Counters of one worker, read by others at any time. */
struct conn_counters {
    _Atomic uint64_t received, closed, in_bytes, out_bytes, requests, errors;
    _Atomic uint64_t output_limit, input_limit, idle_timeout, trickle, killed, protocol_errors;
    _Atomic uint64_t auth_failed, monitors, in_max, out_max, ops_a_second, busy_permille;
};

struct conn_set {
    struct worker *worker;
    struct backend *backend;
    struct list conns; /* struct conn.link, oldest first */
    struct list dying; /* closed in this turn */
    struct list paused;
    struct conn_scratch *scratch, *spare;
    uint32_t spare_count;
    struct buf out;     /* lent for replies */
    struct buf convert; /* where a reply becomes RESP2 */
    struct list *sweep; /* the next to look at */
    struct worker_timer tick, unpause;
    int64_t pause_until_ms; /* CLIENT PAUSE, on the worker's clock */
    bool pause_all, is_draining;
    uint64_t busy_ns_seen, requests_seen;
    int64_t tick_at_ms;
    _Atomic uint64_t monitor_backlog; /* bytes of lines under way to this worker */
    _Atomic uint64_t push_backlog;    /* bytes of messages, likewise */
    struct list monitors;             /* struct conn.monitor_link */
    struct conn_counters count;
};

enum conn_reply { CONN_REPLY_ON, CONN_REPLY_OFF, CONN_REPLY_SKIP_NEXT };

struct conn {
    struct worker_file file;
    struct conn_set *set;
    struct session session;
    struct worker_task task; /* goes on in the next turn, or frees */
    struct list link, pause_link, monitor_link;
    struct inbox_msg msg; /* the way to its worker */
    /* Input: view is what is being worked on, in `in` or in the scratch. */
    const char *view;
    size_t view_len, view_at;
    struct buf in;
    struct resp_req req;
    size_t parsed_len; /* of the request that stands parsed at view_at; 0 if none does */
    uint32_t turn_left;
    size_t turn_out_max;
    bool is_bad;         /* what follows the batch is no RESP */
    bool is_parser_lent; /* the batch's arguments lie in it: an inline request */
    struct conn_scratch *scratch;
    struct batch batch;
    uint32_t batch_max; /* requests of the next one, by the size of the replies so far */
    size_t batch_from;  /* where this one's replies begin */
    /* Output: [sent, sendable) may leave, [sendable, whole) waits at the gate, the rest is being written. */
    struct reply reply;
    size_t sent, sendable, whole;
    uint64_t gate_position;
    struct buf pushed;          /* what was pushed while a reply may be half written */
    bool is_push_cut;           /* the first bytes of `pushed` have left: the rest comes next */
    struct tracker *tracker;    /* edge/tracking.c's; NULL: CLIENT TRACKING is off */
    struct conn_handle *handle; /* the same; NULL until it is needed */
    struct conn_subs *subs;     /* edge/pubsub.c's; NULL when it listens on nothing */

    bool is_busy;    /* the backend has the batch */
    bool is_waiting; /* for a round trip or a slowed answer */
    bool is_held;    /* replies wait at the gate */
    bool is_stalled; /* the peer does not take more */
    bool is_ending;  /* close when everything was sent */
    bool is_closed;
    bool is_authed, is_monitor, is_over; /* is_over: too much output to go on */
    bool is_soft, no_evict;
    uint8_t protocol; /* 2 or 3 */
    enum conn_reply reply_mode;
    uint32_t events;          /* that epoll watches */
    int64_t made_ms, last_ms; /* worker's clock; last is of the last whole request or bytes read */
    int64_t part_ms;          /* when the request that is incomplete began; 0 if none is */
    int64_t stalled_ms;       /* when the peer last took something */
    int64_t soft_ms; /* with is_soft: since when it is past its soft limit (edge/out_limit.h) */
    struct worker_timer timer; /* of a slowed answer */
    const struct cmd_def *last_def;
    struct multi *multi; /* owned: what MULTI has queued; NULL outside one */
    uint64_t in_bytes, out_bytes, requests;
    struct sockaddr_storage peer;
    char *name, *lib_name, *lib_ver; /* owned; NULL is empty */
};

static inline struct conn *conn_of(struct session *s)
{
    return LIST_ITEM(s, struct conn, session);
}

static inline void conn_count(_Atomic uint64_t *counter, uint64_t more)
{
    /* One writer, so no locked instruction; relaxed: a figure for people. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

/* On the worker, before its first connection and after its last turn. */
MUST_CHECK int conn_set_init(struct conn_set *set, struct worker *w, struct backend *b);
void conn_set_fini(struct conn_set *set);

/* Makes a connection of an accepted socket and sends it to its worker. Takes fd, also on failure. */
MUST_CHECK int conn_give(struct conn_set *set, int fd, const struct sockaddr_storage *peer) ON_ANY;

/* Now; what the backend had of it is cancelled. `why` is for the log. */
void conn_close(struct conn *c, const char *why) ON_WORKER;
/* After what was answered has been sent. */
void conn_end(struct conn *c) ON_WORKER;
/* Holds the connection until conn_go_on(): a handler at the door waits for somebody. The reply is
 * written between conn_answer_begin() and conn_answer_end(), which goes on. */
void conn_wait(struct conn *c) ON_WORKER;
size_t conn_answer_begin(struct conn *c) ON_WORKER;
void conn_answer_end(struct conn *c, size_t from) ON_WORKER;
/* Goes on in the next turn. */
void conn_go_on(struct conn *c) ON_WORKER;
/* Bytes that are no reply, in two pieces: behind what is answered so far, never inside a reply, and when
 * `position` has passed the gate. If they begin with RESP3's '>', RESP2 gets '*' instead. They are
 * written in the next turn, with all that comes in this one. Past its output limit it is closed. */
void conn_push(struct conn *c, struct slice head, struct slice tail, uint64_t position) ON_WORKER;
/* RESP2 or 3. */
void conn_speak(struct conn *c, uint8_t protocol) ON_WORKER;
void conn_reply_mode_set(struct conn *c, enum conn_reply mode) ON_WORKER;

/* CLIENT PAUSE: writes, or everything, wait until then. */
void conn_set_pause(struct conn_set *set, int64_t until_ms, bool all) ON_WORKER;
void conn_set_unpause(struct conn_set *set) ON_WORKER;

/* Stops reading everywhere on this worker, sends what is answered; conn_set_is_drained() when done. */
void conn_set_drain(struct conn_set *set) ON_WORKER;
bool conn_set_is_drained(const struct conn_set *set) ON_WORKER;

void conn_addr_text(const struct sockaddr_storage *a, char out[CONN_ADDR_MAX]);
void conn_local_text(const struct conn *c, char out[CONN_ADDR_MAX]);
size_t conn_out_bytes(const struct conn *c);
/* Owned text, NULL when empty; out of memory it becomes empty. */
void conn_text_set(char **text, struct slice s);
/* Of one that is closed; for conn_set.c. */
void conn_free(struct conn *c);
/* One that no turn uses; NULL: no memory. */
struct conn_scratch *conn_scratch_take(struct conn_set *set);
void conn_scratch_give(struct conn_set *set, struct conn_scratch *s);
void conn_scratch_free_all(struct conn_set *set);

/* Open connections of the process, against maxclients. */
extern _Atomic uint32_t conn_open_count;

#endif
