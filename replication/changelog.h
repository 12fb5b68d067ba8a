/* changelog.h - the one ordered sequence of changes: a ring in memory that writers append to.
 *
 * An append is one atomic step that gives number and place together, a copy, and a release flag, which
 * is the record's number in its first word. Whoever reads stops at the first record without its flag.
 * A change over CHANGELOG_SPILL bytes, or with values by reference, is kept beside the ring and only
 * pointed to, so no change is larger than the ring.
 *
 * Invariants (tests/unit/replication/test_changelog.c)
 *  L1  numbers are consecutive, and rise with the place.
 *  L2  after changelog_reserve() an append cannot fail: room is taken before any lock is.
 *  L3  what is read in order of numbers is what was appended, whole.
 *  L4  a place is written again only after the log thread has cleared it: no stale byte can look like
 *      a flag.
 *  L5  what is kept beside the ring is bounded: the oldest changes go when it passes the ring's size,
 *      and writers wait when it passes four times that (and one more change each).
 *
 * Ownership  a spilled change (struct change_blob) belongs to the log from the append on.
 * Threads    appending and reserving: workers, each with a credit of its own. The log thread alone
 *            trims; readers pin.
 */
#ifndef REPLICATION_CHANGELOG_H
#define REPLICATION_CHANGELOG_H

#include "base/annot.h"
#include "base/list.h"
#include "base/slice.h"

#include <stdatomic.h>

struct changelog;

enum { CHANGELOG_SPILL = 16 << 10, CHANGELOG_RECORD_MAX = CHANGELOG_SPILL + 64 };

/* A value in the change by reference: `object` holds `len` bytes that belong at `offset` of bytes. */
struct change_blob_ref {
    size_t offset, len;
    void *object;
};

/* A change beside the ring. */
struct change_blob {
    char *bytes; /* owned */
    size_t len, cap;
    struct change_blob_ref *refs; /* owned; each object was counted for the log */
    size_t ref_count;
    /* What an object's bytes are is known to whoever appended. */
    bool (*each)(void *object, size_t len, bool (*fn)(struct slice piece, void *arg), void *arg);
    void (*put)(void *object, size_t len); /* gives its count back */
};

/* Room that a worker has taken and not used yet. */
struct changelog_credit {
    size_t bytes;
};

/* Woken, once, when there may be room again. */
struct changelog_waiter {
    struct list link;
    void (*on_room)(struct changelog_waiter *w); /* on the log thread: hands over to its worker */
};

struct changelog_options {
    size_t ring_bytes; /* rounded up to a power of two of at least 64 KiB */
    uint64_t epoch;
    uint64_t first_seq; /* the number before the first */
};

MUST_CHECK int changelog_create(struct changelog **out, const struct changelog_options *o);
/* Ends the log thread, which wakes workers: before they are taken apart. Idempotent. */
void changelog_stop(struct changelog *l);
/* Nobody appends or reads any more. */
void changelog_destroy(struct changelog *l);

/* Room for one more append of up to CHANGELOG_RECORD_MAX bytes. ERR_FULL: see changelog_wait(). */
MUST_CHECK int changelog_reserve(struct changelog *l, struct changelog_credit *c);
void changelog_credit_return(struct changelog *l, struct changelog_credit *c);
/* False when there is room already. */
bool changelog_wait(struct changelog *l, struct changelog_waiter *w);
/* False: it was woken already, and on_room has run. */
bool changelog_wait_cancel(struct changelog *l, struct changelog_waiter *w);

/* Gives the change its number and puts it into the log. `bytes` begins with the sealed header that
 * proto/change.h describes, patched here: in the ring's copy, or in the blob, when one is given
 * instead (which then is the log's). Under the locks of all that the change touches. */
uint64_t changelog_append(struct changelog *l, struct changelog_credit *c, struct slice bytes,
                          struct change_blob *blob, int64_t now_ms);

uint64_t changelog_epoch(const struct changelog *l);
/* The highest number given so far. */
uint64_t changelog_last_seq(const struct changelog *l);
/* At least the number of every change whose publication this thread has seen; cheap. */
uint64_t changelog_seen_seq(const struct changelog *l);
/* The lowest number that can still be read. */
uint64_t changelog_first_seq(struct changelog *l);
size_t changelog_ring_bytes(const struct changelog *l);

/* Calls fn for complete changes from `seq` on, in order, until it answers false or there is no more;
 * returns the next number. The pieces of a change are given in order, `last` with its last one. Trimming
 * waits meanwhile. 0: `seq` was trimmed. */
typedef bool (*changelog_read_fn)(uint64_t seq, struct slice piece, bool last, void *arg);
uint64_t changelog_read(struct changelog *l, uint64_t seq, changelog_read_fn fn, void *arg);

#endif
