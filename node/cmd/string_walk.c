#include "node/cmd/string_walk.h"

#include "base/mem.h"

#include <assert.h>

static void walk_free(void *state)
{
    struct string_walk *w = state;

    if (w->holds) {
        string_let_go(&w->v);
    }
    mem_free(state, w->bytes);
}

void *string_walk_begin(struct cmd *c, void *state, size_t bytes, const struct string_value *v,
                        size_t from, size_t to)
{
    struct string_walk *w = state;

    w->v = *v;
    w->at = from;
    w->end = to;
    w->bytes = 0;
    w->holds = false;
    if (LIKELY(!string_is_long(v, to - from))) {
        w->budget = SIZE_MAX;
        return state;
    }
    if (c->section == NULL) {
        cmd_needs_locks(c);
        return NULL;
    }
    w = mem_alloc_lines(mem_lines(bytes)); /* a state may want its alignment */
    if (w == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return NULL;
    }
    memcpy(w, state, bytes);
    w->budget = STRING_SLICE;
    w->bytes = mem_lines(bytes);
    c->progress = w;
    c->progress_free = walk_free;
    c->go_on = w->go_on;
    if ((c->def->flags & CMD_WRITE) == 0 && !c->in_txn) {
        string_hold(&w->v);
        w->holds = true;
        c->drops_locks = true;
    }
    return w;
}

bool string_walk_next(struct cmd *c, struct string_walk *w, struct slice *piece)
{
    if (w->at == w->end) {
        return false;
    }
    if (w->budget == 0) {
        w->budget = STRING_SLICE;
        c->again = true;
        return false;
    }
    size_t most = w->end - w->at < w->budget ? w->end - w->at : w->budget;

    *piece = string_chunk(&w->v, w->at);
    piece->len = piece->len < most ? piece->len : most;
    w->at += piece->len;
    w->budget -= piece->len;
    return true;
}

bool string_walk_reply(struct cmd *c, struct string_walk *w)
{
    struct slice piece;

    while (string_walk_next(c, w, &piece)) {
        reply_bulk_piece(c->reply, piece);
    }
    if (c->again) {
        return false;
    }
    reply_bulk_end(c->reply);
    return true;
}

void string_walk_end(struct cmd *c, struct string_walk *w)
{
    if (w->bytes > 0) {
        assert(c->progress == w);
        c->progress = NULL;
        c->go_on = NULL;
        walk_free(w);
    }
}
