/* gate.h - the commit gate: what leaves a connection waits here until the level that it was promised has
 * passed the highest change that it depends on.
 *
 * Levels pass by raising a position each; at `leader` what is applied has passed, so nothing waits.
 * A session that has to wait is told once, on its worker, when its position has passed.
 *
 * Invariants (tests/unit/replication/test_gate.c)
 *  G1  a position once passed stays passed: levels only rise.
 *  G2  a waiter is told exactly once after its position passed, never before.
 *  G3  a cancelled waiter is not told.
 */
#ifndef REPLICATION_GATE_H
#define REPLICATION_GATE_H

#include "base/annot.h"
#include "base/inbox.h"
#include "base/list.h"
#include "edge/session.h"

#include <pthread.h>
#include <stdatomic.h>

struct gate {
    _Atomic uint64_t passed[ACK_LEVELS]; /* ACK_LEADER is not used: it is always passed */
    pthread_mutex_t lock;
    struct list waiters; /* guarded by lock */
};

struct gate_waiter {
    struct list link;     /* private */
    struct inbox_msg msg; /* private */
    struct session *session;
    uint64_t position;
    bool is_told;
};

void gate_init(struct gate *g);
void gate_fini(struct gate *g);

/* Whether a reply at `position` may leave. If not, s->on_ready is called when it may. */
bool gate_may_pass(struct gate *g, struct session *s, uint64_t position) ON_WORKER;
/* The session goes away. */
void gate_cancel(struct gate *g, struct session *s) ON_WORKER;
/* The level holds everything up to `position` now. Any thread. */
void gate_raise(struct gate *g, enum ack_level level, uint64_t position) ON_ANY;

#endif
