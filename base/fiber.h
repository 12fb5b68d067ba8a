/* fiber.h - a function on a stack of its own, which it may leave in the middle and come back to.
 *
 * For work that was written in one piece, a loop within a loop or a comparison within qsort(), and has to
 * stop anywhere. A fiber belongs to the thread that made it, runs when that resumes it, and must come to its
 * end: what is on its stack has no other way to be given back. So who gives one up has the function see it.
 *
 * Costs  less than 1 µs to leave and come back to, and to make where the thread has a stack left; as many pages
 *        as its calls are deep, of FIBER_STACK; below it a page that may not be touched.
 */
#ifndef BASE_FIBER_H
#define BASE_FIBER_H

#include "base/annot.h"

#include <stdbool.h>

enum { FIBER_STACK = 512 << 10 };

struct fiber;

/* NULL: no memory. */
struct fiber *fiber_create(void (*fn)(void *arg), void *arg);
/* Runs it until it pauses (false) or has ended (true). Not from within a fiber. */
bool fiber_resume(struct fiber *f);
/* From within: back to who resumed it. */
void fiber_pause(void);
/* It has ended. */
void fiber_destroy(struct fiber *f);

#endif
