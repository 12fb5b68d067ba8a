/* string_walk.h - reading a long string in slices: a command's own state begins with a walk.
 *
 *    struct count on_stack = {.walk = {.go_on = go_on}};
 *    struct count *n = string_walk_begin(c, &on_stack, sizeof(on_stack), &v, from, to);
 *    if (n != NULL) { go(c, n); }
 *
 *    static void go(struct cmd *c, struct count *n) {
 *        while (string_walk_next(c, &n->walk, &piece)) {…}
 *        if (c->again) { return; }    go_on() will call go(c, c->progress)
 *        … answers …
 *        string_walk_end(c, &n->walk);
 *    }
 *
 * A read of a short string never leaves the stack. That of a long one is moved to the heap, and holds the
 * value instead of its lock. In a write and in a transaction the section keeps the lock, and the value is not held.
 */
#ifndef NODE_CMD_STRING_WALK_H
#define NODE_CMD_STRING_WALK_H

#include "edge/backend.h"
#include "node/type_string.h"

struct string_walk {
    struct string_value v;
    size_t at, end;
    void (*go_on)(struct cmd *c); /* the caller's, called with c->progress being the state */
    /* private */
    size_t budget; /* of this turn */
    size_t bytes;  /* of the state; 0: on the stack */
    bool holds;
};

/* The state to go on with, whose walk names go_on. NULL: it asked for locks, or no memory was answered. */
void *string_walk_begin(struct cmd *c, void *state, size_t bytes, const struct string_value *v,
                        size_t from, size_t to);
/* The next piece. False: at the end, or for this turn: c->again is set. */
bool string_walk_next(struct cmd *c, struct string_walk *w, struct slice *piece);
/* Writes what is left into a bulk reply. False: not all of it in this turn. */
bool string_walk_reply(struct cmd *c, struct string_walk *w);
void string_walk_end(struct cmd *c, struct string_walk *w);

#endif
