/* exec.h - the local backend: carries out a connection's batch on the worker that it belongs to.
 *
 * Keys are hashed and their buckets prefetched ahead of the commands; a write runs in a section; a
 * read of one key runs without a lock; a read of several runs without one and again if a partition
 * that it touches moved, the third time under their locks. A command that meets a held lock, or a log
 * without room, is put off: its session waits in line, its worker goes on.
 *
 * A command that has more to do than a turn allows sets `again` and is called in a later turn; of all
 * such on a worker one a turn. With locks (a write; a read that asked for them by cmd_needs_locks()) it
 * is suspended: its section stays as it is, the partitions' locks held and marked busy. Who meets a busy
 * partition stands in line as for any lock; reads without locks pass, since nothing is published.
 *
 * Invariants (tests/unit/node/test_exec.c, tests/prop/isolation.c)
 *  X1  a session's requests are carried out in its order, each once.
 *  X2  what is put off has changed nothing and replied nothing; what is suspended has shown nothing.
 *  X3  a cancelled session is never touched again, whoever still has its waiter. Its suspended section
 *      is aborted and unlocked at once.
 *  X4  a suspended section waits for nothing but its turn: it has its locks and its room in the log, so
 *      whoever waits for it waits for a bounded number of slices. No thread blocks on what it holds.
 *  X5  a section object runs one section: while one is suspended, its worker has another in `section`.
 *  X6  what a suspended section or its handler keeps over turns lives by its locks, by a count that it
 *      took, or is its own: a slice's end is a quiescent state.
 */
#ifndef NODE_EXEC_H
#define NODE_EXEC_H

#include "base/annot.h"
#include "base/worker.h"
#include "edge/backend.h"

enum { EXEC_SPARES = 2 };

struct histogram_sum;
struct node;
struct section;

struct cmd_stats {
    uint64_t calls, usec, rejected, failed;
    uint64_t slices; /* turns in which a call went on with its work */
};

/* Commands that wait for their next slice (node/wait.c). */
struct wait_line {
    struct worker *worker;
    struct list waiting;
    struct worker_task task;
};

/* A worker's part of the backend. */
struct exec {
    struct node *node;
    struct worker *worker;
    struct section *section; /* no command's: whoever runs on this thread may begin one */
    struct section *spare[EXEC_SPARES];
    uint32_t spare_count;
    struct wait_line line;
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
bool exec_unblock(struct session *s, enum cmd_unblocked why) ON_WORKER;

/* ---- What ran (exec_stats.c) ---- */

MUST_CHECK int exec_stats_init(struct exec *x);
void exec_stats_fini(struct exec *x);
/* Over all workers since the start, or since exec_stats_reset(). */
struct cmd_stats exec_stats(struct node *n, uint16_t cmd_id);
/* Adds how many cycles the calls took, each. */
void exec_times(struct node *n, uint16_t cmd_id, struct histogram_sum *sum);
void exec_stats_reset(struct node *n);
/* Of all commands. */
struct cmd_stats exec_stats_total(struct node *n);
/* A command is done: counted, and noted if it was slow. */
void exec_tally(struct exec *x, const struct cmd *c, uint64_t cycles);
/* Commands answered with an error that a door made (unknown, arity, auth) or exec refused. */
void exec_count_rejected(struct exec *x, const struct cmd_def *def);
/* A command goes on in a later turn: a slice, if it has work to do and does not wait. */
void exec_count_turn(struct exec *x, const struct cmd *c);

/* ---- Keys (exec_keys.c) ---- */

uint64_t exec_mask_of_many(const struct request *r); /* private */
/* The partitions of all its keys. */
static inline uint64_t exec_mask(const struct request *r)
{
    return LIKELY(cmd_has_one_key(r->def) && (r->def->flags & (CMD_WHOLE | CMD_PATTERNS)) == 0)
               ? (uint64_t)1 << r->key.partition
               : exec_mask_of_many(r);
}
/* So many commands are hashed and prefetched together: their lines fit the first-level cache. */
enum { EXEC_GROUP = 32 };

/* Hashes the first key of each, and by groups brings near bucket, then entry, then what they name of
 * it. */
void exec_look_ahead(struct database *db, struct request *r, uint32_t n);

/* One command on behalf of the server itself (tests, the janitor): runs to its end on this thread,
 * waiting for locks by yielding. Not on a worker that serves. */
void exec_internal(struct exec *x, struct database *db, struct slice *argv, uint32_t argc,
                   struct reply *reply);

#endif
