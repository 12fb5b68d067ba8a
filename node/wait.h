/* wait.h - what the executor keeps for a session whose command cannot go on: it stands in line for a
 * lock or for room in the log, or waits for its next slice or for a moment.
 *
 * Ownership  session->backend_state is the struct; wait_cancel() frees it, unless its waiter was called
 *            already: then the message that is on its way does (X3 in exec.h).
 * Slices     stand in one line a worker, and one is called a turn: many long commands together hold the
 *            worker no longer than one does.
 */
#ifndef NODE_WAIT_H
#define NODE_WAIT_H

#include "base/inbox.h"
#include "base/worker.h"
#include "node/exec.h"
#include "node/partition.h"
#include "replication/changelog.h"

enum wait { WAIT_NOT, WAIT_LOCK, WAIT_LOG, WAIT_SLICE, WAIT_TIME };

struct waiting {
    struct session *session; /* NULL: cancelled; freed when its waiter comes back */
    struct worker *worker;
    enum wait wait;
    struct partition *partition;
    struct partition_waiter lock;
    struct changelog_waiter log;
    struct inbox_msg msg;
    struct list slice; /* in its worker's line */
    struct worker_timer timer;
    /* Of a command that has begun: */
    bool has_cmd;
    struct cmd cmd;  /* with its section, if it keeps its locks */
    size_t from;     /* of its reply, which it may have begun */
    int tries;       /* of its section */
    uint64_t cycles; /* that it has taken so far */
};

enum parked {
    PARKED,
    NOT_PARKED, /* no need to wait: try again */
    PARKED_NOT_NOMEM
};

/* The session's, made at its first wait; NULL: no memory. */
struct waiting *wait_of(struct session *s);

enum parked wait_for_lock(struct session *s, struct partition *p);
enum parked wait_for_log(struct exec *x, struct session *s);
/* For a slice, or for a moment if at_ms is not 0 (INT64_MAX: none). False: no memory for the timer. */
MUST_CHECK bool wait_for_turn(struct exec *x, struct waiting *w, int64_t at_ms);

/* Calls the session. */
void wait_resume(struct waiting *w);
/* The session has no more of it. */
void wait_cancel(struct session *s);

void wait_line_init(struct wait_line *l, struct worker *w);
void wait_line_fini(struct wait_line *l);

#endif
