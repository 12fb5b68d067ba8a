/* apply.h - carries out what a Change says, as a replica or a replay does: through the same type
 * interfaces as commands, one section a Change, each operation without looking at another key.
 *
 * Failure  ERR_CORRUPT: bytes that are no Change, or an operation that is not known: nothing was changed.
 *          ERR_NOMEM, ERR_FULL (the log has no room now): nothing was changed, try again.
 */
#ifndef NODE_APPLY_H
#define NODE_APPLY_H

#include "base/annot.h"
#include "base/slice.h"

struct database;
struct exec;

/* Waits for locks by yielding: on a thread that serves nobody. */
MUST_CHECK int apply_change(struct exec *x, struct database *db, struct slice bytes);

#endif
