/* caller.h - a client whose command may wait for others, for tests that turn several workers by hand.
 *
 * caller_ask() begins a command. It is answered at once, or waits until somebody's doing has its session called
 * and caller_turn() runs it on. callers_settle() turns all workers until nothing moves any more, so a story is
 * told step by step on one thread, and who has no answer after it waits in truth.
 */
#ifndef TESTS_UNIT_NODE_CALLER_H
#define TESTS_UNIT_NODE_CALLER_H

#include "tests/unit/node/world.h"

enum { CALLER_WORDS = 16, CALLER_LINE = 512 };

struct caller {
    struct exec *x; /* of its worker */
    struct session session;
    struct request request;
    struct batch batch;
    struct reply reply;
    struct slice argv[CALLER_WORDS];
    char line[CALLER_LINE];
    bool is_called; /* its session was told to go on */
    bool is_asking; /* and is not answered */
};

void caller_init(struct caller *c, struct world *w, uint32_t worker);
/* Disconnects, in the middle of whatever it does. */
void caller_fini(struct caller *c);

/* The answer, or NULL: it waits. def NULL: as the first word says. */
const char *caller_ask_as(struct caller *c, const struct cmd_def *def, const char *text);
const char *caller_ask(struct caller *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* EXEC of what was queued. */
const char *caller_exec(struct caller *c, const struct multi *m);
/* The answer to what it asked last; NULL: it waits. */
const char *caller_answer(struct caller *c);

/* Runs it on if it was called; whether it was. */
bool caller_turn(struct caller *c);
/* What has come for the worker: messages, slices, timers that are due. Whether anything had. */
bool caller_worker_turn(struct exec *x);
void callers_settle(struct world *w, struct caller *callers, size_t count);

/* Milliseconds pass on all workers. Nobody turns. */
void callers_clock(struct world *w, int64_t ms);

#endif
