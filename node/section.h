/* section.h - the one way to write: locks, a private overlay, one change, one publication.
 *
 * A section holds the locks of its partitions (in index order) from section_begin() to its end. What
 * it writes is built unpublished, in an overlay that its own reads see. section_commit() appends the
 * change to the log, which gives it its number, marks the partitions, publishes, unmarks, unlocks;
 * section_abort() drops the overlay. So no reader sees a half, and nothing fails after the append.
 *
 * For the type interfaces (node/type_*.c, node/keyspace.c) only: command handlers never come here.
 * Each write has two parts, made by one function of a type: section_put() or section_remove(), and
 * the operation written to section_change(). What fails sets `failed`: the executor then aborts, and
 * answers that error, whatever the handler replied. So writing functions return nothing. Keys' names live
 * until the section ends, whatever else of the arguments does.
 */
#ifndef NODE_SECTION_H
#define NODE_SECTION_H

#include "base/annot.h"
#include "base/rcu.h"
#include "edge/backend.h"
#include "edge/pubsub.h"
#include "proto/change.h"

struct entry;
struct large_hold;
struct libraries;
struct partition;
struct section;

/* Of a change. A script ends where what it has made, values and publications too, comes to more. */
enum { SECTION_BYTES_MAX = 512 << 20 };

enum section_failure { SECTION_OK, SECTION_NOMEM, SECTION_TOO_LARGE, SECTION_CLIENT };

/* ---- For the executor, the janitor and whoever applies changes ---- */

struct changelog;

/* Used for one section after another, on one thread. */
MUST_CHECK int section_create(struct section **out, struct changelog *log);
void section_destroy(struct section *s);

/* Room in the log for this section's change, before any lock. ERR_FULL: wait for the log. */
MUST_CHECK int section_reserve(struct section *s);
/* Locks the partitions of the mask, in index order; those that do not exist are made if `make`, else
 * they are passed over. OK, ERR_NOMEM, or ERR_FULL: *held is locked by another, nothing is locked. */
MUST_CHECK int section_begin(struct section *s, struct database *db, uint64_t mask, bool make,
                             struct partition **held);
enum section_end {
    SECTION_COMMITTED, /* *seq is its number, or 0 when it changed nothing */
    SECTION_AGAIN, /* a key that it relied on expired meanwhile: nothing was changed, run it again */
    SECTION_FAILED /* section_failure() says why; nothing was changed */
};
/* After section_begin(): the client that asked for it, who may not want to hear of it (CLIENT TRACKING). */
void section_made_by(struct section *s, uint64_t client);
/* After section_begin(): what is written was decided elsewhere. Nothing expires by this clock. */
void section_applies(struct section *s);
/* The command goes on in a later turn: its partitions are marked busy until the section ends. */
void section_suspend(struct section *s);
/* What is reserved and not used goes back to the log: the object is put aside. */
void section_unreserve(struct section *s);
/* Both unlock. A committed one may have changed keys that commands wait at (node/block.h). */
enum section_end section_commit(struct section *s, uint64_t *seq);
/* Commits it before whoever began it does, who may leave the stack in the middle (node/slices.h): what came of it
 * is what section_commit() will say. Aborted instead, it has ended as it has. */
void section_commit_ahead(struct section *s);
void section_abort(struct section *s);
/* … of a section that only read: what it wants to be published is. */
void section_abort_telling(struct section *s);
/* Of the one committed last: the caller serves them, or has them poked. */
struct block_ready *section_take_ready(struct section *s);
enum section_failure section_failure(const struct section *s);
/* The partitions that it may look into. */
uint64_t section_mask(const struct section *s);
struct database *section_database(const struct section *s);

/* ---- Savepoints: a part of a section that may be given up while the rest stays (node/section_mark.c) ---- */

/* From here on, until section_release() or section_rollback(); one at a time. */
void section_mark(struct section *s);
/* What was done since then stays. */
void section_release(struct section *s);
/* What was done since then is undone, as by an abort: cannot fail. Nothing, if the section has failed. */
void section_rollback(struct section *s);
/* The present savepoint's number, never twice in a section's life; 0: there is none. */
uint64_t section_marked(const struct section *s);

/* ---- For the type interfaces ---- */

/* All keys of the database, whose partitions are all locked. Drops what the section wrote so far. */
void section_flush(struct section *s);

/* The key's entry as this section sees it: its overlay, else the table. An expired one is removed
 * first, as part of this change, and NULL is answered. */
struct entry *section_find(struct section *s, struct key key);

/* The same without removing, for reads that hold the locks. */
const struct entry *section_look(struct section *s, struct key key);

/* By which the section judges expiry: the clock, or 0 if it applies what a leader decided. */
int64_t section_now_ms(const struct section *s);

/* Something found alive, a field of a hash, expires then: if that moment passes before the publication,
 * the section runs again. (section_find() says so of keys.) */
void section_relies(struct section *s, int64_t deadline_ms);

/* The entry becomes the key's. Takes e, also when it fails. The entry it replaces is retired with
 * what its payload points to, unless section_keep_value() was said of it. */
void section_put(struct section *s, struct key key, struct entry *e);
void section_remove(struct section *s, struct key key);
/* What the key's present entry points to now belongs to another: its value is not freed with it. */
void section_keep_value(struct section *s, struct key key);

/* Published after the section's change, in the order in which they were queued, and only then
 * (node/notify.h). */
void section_publish(struct section *s, enum pubsub_kind kind, struct slice channel,
                     struct slice text);
struct notices *section_notices(struct section *s);

/* The database's libraries of functions as this section sees them; NULL: none. */
const struct libraries *section_libraries(const struct section *s);
/* They become these, which the section takes; it holds all partitions. For node/library.c. */
void section_put_libraries(struct section *s, struct libraries *l);

/* The key's collection is changed in place by this section, which holds its lock for writing. */
void section_in_place(struct section *s, struct key key);
/* Memory that a change in place took (or gave back, negative); undoing says the opposite. */
void section_charge(struct section *s, struct key key, int64_t bytes);

/* For who looks at the whole database from inside, whose partitions are all locked: the tables' entries, each
 * through section_look(), unless it was flushed; and those of no table, one a call from *at = 0 on, NULL at
 * the end. */
bool section_is_flushed(const struct section *s);
const struct entry *section_next_new(const struct section *s, uint32_t *at);
/* Whether all that it changed was changed in place: what each key has is what it had. */
bool section_writes_no_key(const struct section *s);
/* Whether it holds the key's partition: one that was absent when it began it does not. */
bool section_holds(const struct section *s, struct key key);
/* Keys more than in the tables (none, if flushed). */
int64_t section_added(const struct section *s);

/* A change of about so many bytes will be written, in slices: room for it now, so that it does not grow by
 * copying what there is. */
void section_expect(struct section *s, size_t bytes);
/* Where operations of the change are written. */
struct change_writer *section_change(struct section *s);
/* What it has made so far and nobody sees yet: the change, the values that it refers to, publications. */
uint64_t section_pending_bytes(const struct section *s);
/* For `if (change_x(...) != OK) section_fail(s, SECTION_NOMEM)`. The first failure stays. */
void section_fail(struct section *s, enum section_failure why);
bool section_has_failed(const struct section *s);

/* At commit, after publication: retired, so that readers may still be in it. fn NULL: plain memory. */
void section_retire(struct section *s, void *object, size_t bytes, rcu_free_fn fn);
/* At abort, last first: undo what was done in place, or free a value that will not be published (the
 * section frees its entry's own block, and nothing behind it). */
void section_on_abort(struct section *s, void (*fn)(void *object, void *arg), void *object,
                      void *arg);
/* A hold that node/large.c is done with, kept for the section's next; NULL: none. */
struct large_hold **section_spare_hold(struct section *s);
/* At the end, after publication or undoing: to drop a collection's own lock. */
void section_on_end(struct section *s, void (*fn)(void *object, void *arg), void *object,
                    void *arg);

#endif
