/* block.h - commands that wait for data: BLPOP and kin, XREAD and XREADGROUP with BLOCK.
 *
 *   a handler that finds nothing calls block_wait(): the command is queued at each of its keys, under their
 *   locks, and waits.
 *
 *                ┌─── nothing left, no news since ──┐
 *                ▼                                  │
 *             WAITING ──claim, by a writer──► CLAIMED ──taken──► DONE ──message──► it answers
 *                │                                  │
 *                │ time-out, UNBLOCK, disconnect    │ the same, meanwhile
 *                ▼                                  ▼
 *               DONE ◄──── nothing left ────────── LATE ──taken──► DONE
 *
 * A section that changes a key at which commands wait notes it (section_take_ready()); when it has ended, and
 * before its connection's next command, its executor serves them in their order: claims one, runs its handler
 * in a section of its own over all its keys, hands the reply to its worker. So who pushes and then looks finds
 * gone what somebody waited for, as in Redis. A writer that has no connection to hold up (the janitor, the
 * evictor), or has lost it, pokes instead: the command tries again by itself.
 *
 * Invariants (unit/node/test_block.c, test_block_race.c; tests/e2e/blocking.test.js)
 *  B1  looking and queueing are one step under the locks of all its keys: no push falls between them.
 *  B2  one claimant at a time; only it touches a claimed command, but for marking it LATE.
 *  B3  first come first served at each key: a claim that is given back keeps its place.
 *  B4  what is taken is answered; if the client is gone by then, that is counted and logged.
 *  B5  a waiter sees only what is published: it is served after the section, never by half of one.
 */
#ifndef NODE_BLOCK_H
#define NODE_BLOCK_H

#include "base/annot.h"
#include "edge/backend.h"
#include "node/entry.h"

struct block;
struct exec;
struct section;

/* ---- For handlers, in a section (a read asks for locks first, cmd_needs_locks()) ---- */

/* Nothing was found: waits for a change of one of the keys argv[first] … argv[first + count - 1], until
 * timeout_ms have passed since its first call (0: no end). True: the handler returns and writes nothing; it is
 * called again, or answered for. False: it has to answer at once, as if its time had passed.
 * type: of the values it takes. When its time has passed, or by CLIENT UNBLOCK, the handler is called without a
 * section and with c->unblocked set. */
bool block_wait(struct cmd *c, uint32_t first, uint32_t count, enum value_type type,
                int64_t timeout_ms);
/* Whether the handler is called for one that waits already: a key of another type is then as good as absent. */
static inline bool block_is_retry(const struct cmd *c)
{
    return c->blocked != NULL;
}

/* The timeout in argv[index], seconds with a fraction. False when an error was answered. */
MUST_CHECK bool block_timeout_arg(struct cmd *c, uint32_t index, int64_t *timeout_ms);
/* Whether it is called because its wait is over: then it is answered, by `none` if its time has passed. */
bool block_is_over(struct cmd *c, void (*none)(struct reply *r));

/* ---- For sections ---- */

/* A key that has changed and that commands wait at. */
struct block_ready {
    struct block_ready *next;
    struct database *db;
    struct key key;
    char name[];
};

/* Under the key's partition's lock. NULL with *failed unset: nobody waits. */
struct block_ready *block_ready_at(struct database *db, struct key key, bool *failed);
void block_ready_free(struct block_ready *list);

/* ---- For the executor ---- */

enum block_served { BLOCK_SERVED, BLOCK_PUT_OFF };

/* Serves who waits at the keys of *ready, which shrinks. PUT_OFF: session waits for a lock, for the log, or for
 * its next slice; call again then. */
enum block_served block_serve(struct exec *x, struct session *session, struct block_ready **ready);
/* Instead: whoever waits at these keys tries by itself. Frees the list. */
void block_poke(struct block_ready *ready);

enum block_woken {
    BLOCK_STILL,  /* it waits on */
    BLOCK_TAKEN,  /* somebody has run it: block_answer() */
    BLOCK_ENDED,  /* by time or UNBLOCK (c->unblocked says): the handler answers */
    BLOCK_RETRIES /* it is claimed by itself: run the handler */
};
/* Why its session was called. On its worker. */
enum block_woken block_wake(struct block *b, struct cmd *c);
/* Appends the reply; the position that it may have seen. */
uint64_t block_answer(struct block *b, struct reply *to);
/* After BLOCK_RETRIES found nothing. False: there may be something since; it is claimed still, and retries. */
bool block_give_back(struct block *b);
/* Begins to wait, or goes on waiting: when its session wants to be called at the latest. */
int64_t block_deadline_ms(const struct block *b);
/* After it was answered. */
void block_end(struct block *b);
/* Its session is gone. */
void block_cancel(struct block *b);

/* Commands that wait. */
uint64_t block_count(void);
/* Elements that were taken for clients that were gone. */
uint64_t block_lost_count(void);

#endif
