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
 * answers that error, whatever the handler replied. So writing functions return nothing.
 */
#ifndef NODE_SECTION_H
#define NODE_SECTION_H

#include "base/annot.h"
#include "base/rcu.h"
#include "edge/backend.h"
#include "proto/change.h"

struct entry;
struct partition;
struct section;

enum section_failure { SECTION_OK, SECTION_NOMEM, SECTION_TOO_LARGE, SECTION_CLIENT };

/* The key's entry as this section sees it: its overlay, else the table. An expired one is removed
 * first, as part of this change, and NULL is answered. */
struct entry *section_find(struct section *s, struct key key);

/* The entry becomes the key's. Takes e, also when it fails. The entry it replaces is retired with
 * what its payload points to, unless section_keep_value() was said of it. */
void section_put(struct section *s, struct key key, struct entry *e);
void section_remove(struct section *s, struct key key);
/* What the key's present entry points to now belongs to another: its value is not freed with it. */
void section_keep_value(struct section *s, struct key key);

/* Memory that a change in place took (or gave back, negative); undoing says the opposite. */
void section_charge(struct section *s, struct key key, int64_t bytes);

/* Where operations of the change are written. */
struct change_writer *section_change(struct section *s);
/* For `if (change_x(...) != OK) section_fail(s, SECTION_NOMEM)`. The first failure stays. */
void section_fail(struct section *s, enum section_failure why);
bool section_has_failed(const struct section *s);

/* At commit, after publication: retired, so that readers may still be in it. fn NULL: plain memory. */
void section_retire(struct section *s, void *object, size_t bytes, rcu_free_fn fn);
/* At abort, last first: undo what was done in place, or free a value that will not be published (the
 * section frees its entry's own block, and nothing behind it). */
void section_on_abort(struct section *s, void (*fn)(void *object, void *arg), void *object, void *arg);
/* At the end, after publication or undoing: to drop a collection's own lock. */
void section_on_end(struct section *s, void (*fn)(void *object, void *arg), void *object, void *arg);

#endif
