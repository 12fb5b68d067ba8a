/* tracking.h - client-side caching: who is told when a key that it read has changed.
 *
 * A tracked read registers its keys before it reads them (tracking_read()); whoever changed keys looks
 * for registrations after the change is visible (tracking_changed()); both under the lock of the key's
 * stripe. So either the reader saw the change or it is told: no order of the two leaves a stale copy.
 * A registration is for one invalidation. With BCAST nothing is registered: prefixes are compared.
 *
 * Nobody tracking costs a writer one relaxed load. That is enough because CLIENT TRACKING ON counts the
 * client and then visits every worker before it answers: a write that did not see the count was visible
 * before that visit, hence before any read that relies on being told.
 *
 * Invariants (tests/e2e/tracking.test.js)
 *  T1  a client is told of every change of a key that it registered, after the change is visible.
 *  T2  an invalidation never overtakes an earlier reply of the same connection (conn_push()).
 *  T3  the table is bounded by tracking-table-max-keys: what is dropped is told as if it had changed.
 *  T4  a client whose keys cannot be registered is told at once that they changed, or is closed.
 *  T5  an invalidation for which there is no memory becomes one of all keys (unit/edge/test_tracking.c).
 *
 * Locks    a stripe's; the prefixes'. Rank 4, as edge/pubsub.h's.
 */
#ifndef EDGE_TRACKING_H
#define EDGE_TRACKING_H

#include "base/annot.h"
#include "base/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct cmd;
struct cmd_def;
struct conn;
struct database;
struct request;
struct session;

extern _Atomic uint32_t tracking_clients; /* private */

static inline bool tracking_is_on(void)
{
    /* Relaxed: see above. */
    return UNLIKELY(atomic_load_explicit(&tracking_clients, memory_order_relaxed) > 0);
}

/* Before each command of a session with is_tracking, also those that EXEC runs: registers what it reads, if the
 * client's mode says so. */
void tracking_read(struct session *s, const struct request *q) ON_WORKER;
/* When its reply is written. What CLIENT CACHING said has held for this one. in_turns: others may have run while
 * it was under way, and changed what it had read by then. */
void tracking_has_read(struct session *s, const struct request *q, bool in_turns) ON_WORKER;
/* The same of one that the connection itself has run or refused (NULL: there is none of its name). CLIENT's, and
 * MULTI, leave what CACHING said. */
void tracking_passed(struct conn *c, const struct cmd_def *def) ON_WORKER;
/* A change of the key is visible; `by` is the client that made it, or 0. */
void tracking_changed(const struct database *db, struct slice key, uint64_t by,
                      uint64_t position) ON_ANY;
/* All keys of the database are gone. */
void tracking_flushed(const struct database *db, uint64_t position) ON_ANY;

/* CLIENT's subcommands. */
void tracking_cmd_tracking(struct cmd *c) ON_WORKER;
void tracking_cmd_caching(struct cmd *c) ON_WORKER;
void tracking_cmd_getredir(struct cmd *c) ON_WORKER;
void tracking_cmd_info(struct cmd *c) ON_WORKER;

/* RESET, and the end. */
void tracking_stop(struct conn *c) ON_WORKER;
void tracking_close(struct conn *c) ON_WORKER;
/* For CLIENT LIST: -1 none, 0 to itself, else an id; and the letters t, R, B. */
int64_t tracking_redirect(const struct conn *c) ON_WORKER;
uint32_t tracking_letters(const struct conn *c, char out[3]) ON_WORKER;

struct tracking_stats {
    uint64_t clients, keys, items, prefixes;
};
struct tracking_stats tracking_stats_sum(void) ON_ANY;

#endif
