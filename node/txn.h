/* txn.h - MULTI's end: EXEC runs what a connection has queued (edge/multi.h) as one section.
 *
 * To the executor EXEC is a write whose keys are those of all its commands and those that its session
 * watches: one set of locks, one overlay, one change, one publication (node/section.h). Its commands read
 * what those before them wrote, and judge expiry by the section's one moment.
 *
 * Invariants (tests/unit/node/test_txn.c, tests/prop/isolation.c)
 *  T1  all of its effects become visible at once, or none does: an error of one command undoes nothing of
 *      the others (as Redis), a failure of the section (memory, size) undoes all.
 *  T2  it runs only if no watched key has changed (W1 in node/watched.h), judged under their locks.
 *  T3  commands that look at the whole database are exact in it.
 *  T4  a script that fails has changed nothing, and the commands beside it are carried out.
 */
#ifndef NODE_TXN_H
#define NODE_TXN_H

#include "edge/backend.h"

uint64_t txn_mask(const struct session *s, const struct multi *m);
/* Of a CMD_TXN_END command that was carried out. EXEC without MULTI ends nothing. */
static inline bool txn_has_ended(const struct cmd *c)
{
    return c->multi != NULL || (c->def->flags & CMD_TXN) == 0;
}
/* CMD_WRITE and CMD_GROWS if one of them has it. */
uint32_t txn_flags(const struct multi *m);

#endif
