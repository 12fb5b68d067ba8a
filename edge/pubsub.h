/* pubsub.h - channels: who listens on which worker, and how a message gets to each of them.
 *
 * A database has its own channels. For each channel, pattern and shard channel the table knows which
 * workers have listeners (a *seat* a worker); the listeners themselves are known to their worker only.
 * pubsub_publish() makes one immutable message and posts it once to each worker that has a seat it is
 * for; that worker appends it to its connections' output, and they write once a turn.
 *
 * Invariants (tests/unit/edge/test_pubsub.c)
 *  P1  messages of one channel reach each listener in the order of their publications, whoever
 *      publishes: they are posted under the lock of the channel's stripe.
 *  P2  who is told that it listens hears every later publication, and none that ended before it asked.
 *  P3  a message leaves when its position has passed the gate, and behind what was answered before.
 *  P4  a connection is never left with a gap it does not know of: what cannot be handed to it (no
 *      memory, too much under way to its worker, its output limit) closes it. Only a publisher that can
 *      still be told of it gets the error instead, and then nobody gets anything.
 *  P5  databases share no channel.
 *
 * Limits   a connection's subscriptions, by LIMIT_SUBSCRIPTION_BYTES; what is under way to a worker, by
 *          LIMIT_PUSH_BACKLOG; what a listener has not read, by output-limit-pubsub.
 * Locks    a stripe's, then its database's lock of patterns. Rank 4: they may be taken with a partition's
 *          held, and nothing is taken under them.
 */
#ifndef EDGE_PUBSUB_H
#define EDGE_PUBSUB_H

#include "base/annot.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct conn;
struct database;

enum pubsub_kind { PUBSUB_CHANNEL, PUBSUB_PATTERN, PUBSUB_SHARD, PUBSUB_KINDS };

/* Sends the message to who listens on the channel (PUBSUB_CHANNEL: patterns too; PUBSUB_SHARD: not);
 * returns how many. What it tells of is visible by now; `position` is the highest change that it
 * depends on. ERR_NOMEM: nobody gets it. On an RCU registered thread or not; needs no session. */
MUST_CHECK int64_t pubsub_publish(const struct database *db, enum pubsub_kind kind,
                                  struct slice channel, struct slice message,
                                  uint64_t position) ON_ANY;
/* The same of what has happened already. Cannot fail: see P4. */
void pubsub_announce(const struct database *db, enum pubsub_kind kind, struct slice channel,
                     struct slice message, uint64_t position) ON_ANY;
/* How many would get it. For a publication that is queued, and for PUBSUB NUMSUB (patterns are not
 * among those that listen on a channel, so they are counted only if asked). */
uint64_t pubsub_receivers(const struct database *db, enum pubsub_kind kind, struct slice channel,
                          bool with_patterns) ON_ANY;
/* How many channels, patterns or shard channels have listeners. */
uint64_t pubsub_count(const struct database *db, enum pubsub_kind kind) ON_ANY;

/* Calls fn with the names of one stripe that have listeners; the name is borrowed for the call, which
 * takes no lock. False when there is no such stripe: the walk is over. */
bool pubsub_walk(const struct database *db, enum pubsub_kind kind, uint32_t stripe,
                 void (*fn)(void *arg, struct slice name), void *arg) ON_ANY;

/* ---- For connections ---- */

/* Adds the subscription if it is not there. ERR_NOMEM, ERR_LIMIT: nothing has changed. */
MUST_CHECK int pubsub_join(struct conn *c, enum pubsub_kind kind, struct slice name) ON_WORKER;
/* False if there is none. */
bool pubsub_leave(struct conn *c, enum pubsub_kind kind, struct slice name) ON_WORKER;
/* One of those it has of the kind; its name is appended to `name`. *from is 0 at first and kept from
 * call to call, which makes leaving all of them cheap. ERR_NOMEM: it is still there. */
MUST_CHECK int pubsub_leave_one(struct conn *c, enum pubsub_kind kind, uint32_t *from,
                                struct buf *name) ON_WORKER;
/* Whether fn says yes to each of its subscriptions; it must change none. */
bool pubsub_each(const struct conn *c,
                 bool (*fn)(enum pubsub_kind kind, struct slice name, void *arg),
                 void *arg) ON_WORKER;
/* Of RESET and of the end. */
void pubsub_leave_all(struct conn *c) ON_WORKER;
uint32_t pubsub_subscriptions(const struct conn *c, enum pubsub_kind kind) ON_WORKER;
/* Bytes that they take, for CLIENT LIST. */
uint64_t pubsub_bytes(const struct conn *c) ON_WORKER;

/* Has the metrics answered. Before other threads. */
void pubsub_metrics_use(void);

#endif
