/* watched.h - the keys that connections WATCH, and whether anything has happened to them since.
 *
 * A watch stands in its partition, by key (node/keyed.h), and in its session's list. Whoever publishes a
 * change of a key marks its watches, under the partition's lock; EXEC looks at the marks holding the locks
 * of the watched partitions, so no change is between the look and its effect. A partition that nobody
 * watches in costs its writers one load.
 *
 * Invariants (tests/unit/node/test_txn.c)
 *  W1  a change of a watched key that is published after WATCH has answered is seen by EXEC, whoever made
 *      it and on whichever thread: commands, expiry, eviction, FLUSH.
 *  W2  what changes nothing marks nothing: a section given up, an absent key that stays absent.
 *  W3  a watch lives until its session forgets it; a mark never touches a session.
 *
 * Limits  LIMIT_WATCHED_KEYS a session.
 */
#ifndef NODE_WATCHED_H
#define NODE_WATCHED_H

#include "edge/backend.h"

struct entry;
struct partition;

enum watched_added { WATCHED_OK, WATCHED_NOMEM, WATCHED_TOO_MANY };

/* Under the key's partition's lock. The partition is made if it is absent. A key watched twice is watched
 * once, since the first time. */
enum watched_added watched_add(struct session *s, struct key key, bool is_there);
/* Whether one of them has changed, or was there and is gone by now_ms, which the section judges by. Under
 * the locks of watched_mask(). */
bool watched_is_any_touched(struct session *s, struct section *section);
/* The partitions of the session's watches. */
uint64_t watched_mask(const struct session *s);
uint32_t watched_count(const struct session *s);
/* Forgets all of them. */
void watched_clear(struct session *s) ON_WORKER;

/* Under the partition's lock, if keyed_is_any(p->watched). `was` and `is`: whether the key was there before
 * and is there after. */
void watched_touch(struct partition *p, struct key key, bool was, bool is);
/* All keys that are in the partition are about to go. */
void watched_touch_all(struct partition *p);

#endif
