/* client.h - all clients of the process: looking at them, and doing something to them, over all
 * workers.
 *
 * Each worker knows its own connections only (struct conn_set). A question to all of them is a round:
 * one message that visits each worker in turn and comes back, while the connection that asked waits.
 * Counters need no round: they are words that anyone may read.
 *
 * Ownership  a round belongs to its maker until client_round_start(), then to the workers it visits
 *            one after another; `done` frees it, also when the asker is gone.
 */
#ifndef EDGE_CLIENT_H
#define EDGE_CLIENT_H

#include "base/annot.h"
#include "base/buf.h"
#include "base/worker.h"
#include "proto/cmd.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct conn;
struct conn_set;

/* Sets register when their worker starts and stay until the workers have ended. */
void client_register(struct conn_set *set) ON_ANY;
uint32_t client_set_count(void) ON_ANY;
struct conn_set *client_set(uint32_t i) ON_ANY;
/* For tests and for a process that starts again. */
void client_forget_sets(void);

/* NULL if this worker has none of that id. */
struct conn *client_find(struct conn_set *set, uint64_t id) ON_WORKER;

struct client_round {
    struct inbox_msg msg;                                        /* private */
    void (*visit)(struct client_round *r, struct conn_set *set); /* on each worker */
    void (*done)(struct client_round *r, struct conn *asker);    /* NULL if it is gone */
    struct conn_set *home;                                       /* private */
    uint64_t asker;                                              /* client id */
    uint32_t at; /* private: the set to visit next */
};

/* Makes the asker wait; done() answers by conn_answer_begin() and conn_answer_end(). */
void client_round_start(struct client_round *r, struct conn *asker) ON_WORKER;
/* For an asker that waits in another way, or 0: for none. done() comes on the home's worker. */
void client_round_start_for(struct client_round *r, struct conn_set *home,
                            uint64_t asker) ON_WORKER;

/* One line as CLIENT LIST has it, with its newline. */
MUST_CHECK int client_line(const struct conn *c, struct buf *out) ON_WORKER;

/* What INFO and metrics say. */
struct client_stats {
    uint64_t connected, monitors;
    uint64_t received, rejected, accept_errors, closed, killed;
    uint64_t in_bytes, out_bytes;
    uint64_t in_max, out_max; /* the largest buffers seen since CONFIG RESETSTAT */
    uint64_t requests, errors, protocol_errors, auth_failed;
    uint64_t ops_a_second;
    uint64_t output_limit, input_limit, idle_timeout, trickle; /* closed for it */
};
struct client_stats client_stats_sum(void) ON_ANY;
/* CONFIG RESETSTAT: sums begin anew from what they are. */
void client_stats_reset(void) ON_ANY;

/* Has the metrics of edge/metrics.def answered from the same counters. Before other threads. */
void client_metrics_use(void);

/* The listener's own counters. */
extern _Atomic uint64_t client_rejected, client_accept_errors;

/* CLIENT, in edge/cmd_client.c: a container's rows. */

extern struct cmd_def client_subs[];

#endif
