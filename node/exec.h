/* exec.h - the local backend: carries out a connection's batch on the worker that it belongs to.
 *
 * Keys are hashed and their buckets prefetched ahead of the commands; a write runs in a section; a
 * read of one key runs without a lock; a read of several runs without one and again if a partition
 * that it touches moved, the third time under their locks. A command that meets a held lock, or a log
 * without room, is put off: its session waits in line, its worker goes on.
 *
 * Invariants (tests/unit/node/test_exec.c, tests/prop/isolation.c)
 *  X1  a session's requests are carried out in its order, each once.
 *  X2  what is put off has changed nothing and replied nothing.
 *  X3  a cancelled session is never touched again, whoever still has its waiter.
 */
#ifndef NODE_EXEC_H
#define NODE_EXEC_H

#include "base/annot.h"
#include "edge/backend.h"

struct histogram_sum;
struct node;
struct section;
struct worker;

struct cmd_stats {
    uint64_t calls, usec, rejected, failed;
};

/* A worker's part of the backend. */
struct exec {
    struct node *node;
    struct worker *worker;
    struct section *section;
    struct exec_counts *counts; /* by command id; this worker's */
    bool in_use;
};

MUST_CHECK int exec_init(struct exec *x, struct node *n, struct worker *w);
void exec_fini(struct exec *x);
/* Of the calling worker; NULL on another thread. */
struct exec *exec_self(struct node *n);

enum backend_progress exec_run(struct exec *x, struct session *s, struct batch *batch);
void exec_cancel(struct session *s);
/* Ends a command that waits for other clients or replicas. False if none does. */
bool exec_unblock(struct session *s, bool with_error) ON_WORKER;

/* Over all workers since the start, or since exec_stats_reset(). */
struct cmd_stats exec_stats(struct node *n, uint16_t cmd_id);
/* Adds how many cycles the calls took, each. */
void exec_times(struct node *n, uint16_t cmd_id, struct histogram_sum *sum);
void exec_stats_reset(struct node *n);
/* Calls of all commands. */
uint64_t exec_stats_total(struct node *n);
/* Commands answered with an error that a door made (unknown, arity, auth) or exec refused. */
void exec_count_rejected(struct exec *x, const struct cmd_def *def);

/* One command on behalf of the server itself (tests, the janitor): runs to its end on this thread,
 * waiting for locks by yielding. Not on a worker that serves. */
void exec_internal(struct exec *x, struct database *db, struct slice *argv, uint32_t argc,
                   struct reply *reply);

#endif
