/* slices.h - commands that look or write in one piece, run in slices all the same.
 *
 * A handler that finds that it has much to do hands itself over and returns; it is then called from the
 * start on a stack of its own, under the locks of its keys. Its loops, however deep, call slices_tick(): when
 * the turn's part is done that leaves the stack, and comes back in a later turn (exec.h X4 to X6).
 *
 *    if (slices_take(c, n > SLICES_FEW)) { return; }
 *    for (…; i < n && slices_tick(1); i++) {…}
 *
 * Before slices_take() nothing is written, replied or kept. A handler that runs so is a slice's length away
 * from anybody else: it may keep what the section keeps, its arguments and its own memory, and nothing that
 * another command on this thread may take away.
 *
 * Given up  (its client is gone, its section has failed) it is run once more, and slices_tick() says false
 *           from then on: it returns soon, giving back its memory. What it still writes and replies is dropped.
 */
#ifndef NODE_SLICES_H
#define NODE_SLICES_H

#include "edge/backend.h"

/* What is done at once: less than a quarter of a millisecond, for any type. */
enum { SLICES_FEW = 1000, SLICES_BYTES = 256 << 10 };

struct slices;

/* True: it runs so, or asked for its locks, or was answered for want of memory: the handler returns. False: go
 * on in one piece, which is short, or runs so already. */
bool slices_take(struct cmd *c, bool is_long);

/* private */
extern _Thread_local struct slices *slices_running;
bool slices_look(struct slices *s, size_t work);

/* So much was done, in steps of some 50 ns. False: it is given up, return soon. Where no command runs in
 * slices it costs a load, so what handlers share with others calls it too. */
static inline bool slices_tick(size_t work)
{
    return LIKELY(slices_running == NULL) || slices_look(slices_running, work);
}

/* Copies a long run of bytes, a piece at a time: to memory of the caller's own. */
void slices_copy(char *to, const char *from, size_t len);
/* Appends it. ERR_NOMEM also if it is given up. */
MUST_CHECK int slices_append(struct buf *b, struct slice bytes);
/* reply_bulk() of it. */
void slices_bulk(struct reply *r, struct slice bytes);

/* As reply_array_count(), which moves all that follows. */
void slices_array_count(struct reply *r, size_t at, size_t n);
void slices_set_count(struct reply *r, size_t at, size_t n);

/* For tests: everything is long, and a slice ends after so many steps; 0: by the clock. */
void slices_test_steps(size_t steps);

#endif
