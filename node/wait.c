#include "node/wait.h"

#include "base/err.h"
#include "base/mem.h"
#include "edge/session.h"
#include "node/node.h"

#include <assert.h>

void wait_resume(struct waiting *w)
{
    struct partition *p = w->partition;
    enum wait was = w->wait;

    w->wait = WAIT_NOT;
    w->partition = NULL;
    if (w->session != NULL) {
        w->session->on_ready(w->session);
    } else {
        mem_free(w, sizeof(*w)); /* X3 */
    }
    /* The lock that it was called for is another's now, or is passed on. */
    if (was == WAIT_LOCK) {
        partition_pass(p);
    }
}

static void on_message(struct inbox_msg *msg)
{
    wait_resume((struct waiting *)(void *)((char *)msg - offsetof(struct waiting, msg)));
}

static void on_time(struct worker_timer *t)
{
    wait_resume((struct waiting *)(void *)((char *)t - offsetof(struct waiting, timer)));
}

/* On another thread. */
static void on_lock(struct partition_waiter *l)
{
    struct waiting *w = (struct waiting *)(void *)((char *)l - offsetof(struct waiting, lock));

    worker_post(w->worker, &w->msg);
}

static void on_room(struct changelog_waiter *l)
{
    struct waiting *w = (struct waiting *)(void *)((char *)l - offsetof(struct waiting, log));

    worker_post(w->worker, &w->msg);
}

struct waiting *wait_of(struct session *s)
{
    struct waiting *w = s->backend_state;

    if (w == NULL) {
        w = mem_zalloc(sizeof(*w));
        if (w == NULL) {
            return NULL;
        }
        w->session = s;
        w->worker = s->worker;
        list_init(&w->lock.link);
        list_init(&w->log.link);
        list_init(&w->slice);
        w->lock.on_free = on_lock;
        w->log.on_room = on_room;
        w->msg.fn = on_message;
        w->timer.on_time = on_time;
        s->backend_state = w;
    }
    return w;
}

UNCHECKED_LOCKS enum parked wait_for_lock(struct session *s, struct partition *p)
{
    struct waiting *w = wait_of(s);

    if (w == NULL) {
        return PARKED_NOT_NOMEM;
    }
    w->wait = WAIT_LOCK;
    w->partition = p;
    if (partition_wait(p, &w->lock)) {
        w->wait = WAIT_NOT;
        partition_unlock(p);
        return NOT_PARKED;
    }
    return PARKED;
}

enum parked wait_for_log(struct exec *x, struct session *s)
{
    struct waiting *w = wait_of(s);

    if (w == NULL) {
        return PARKED_NOT_NOMEM;
    }
    w->wait = WAIT_LOG;
    if (!changelog_wait(x->node->log, &w->log)) {
        w->wait = WAIT_NOT;
        return NOT_PARKED;
    }
    return PARKED;
}

/* ---- Slices and moments ---- */

/* One a turn. */
static void on_turn(struct worker_task *t)
{
    struct wait_line *l =
        (struct wait_line *)(void *)((char *)t - offsetof(struct wait_line, task));
    struct list *first = list_pop(&l->waiting);

    if (!list_is_empty(&l->waiting)) {
        worker_defer(l->worker, t);
    }
    if (first != NULL) {
        wait_resume(LIST_ITEM(first, struct waiting, slice));
    }
}

void wait_line_init(struct wait_line *l, struct worker *w)
{
    l->worker = w;
    list_init(&l->waiting);
    list_init(&l->task.link);
    l->task.run = on_turn;
}

void wait_line_fini(struct wait_line *l)
{
    assert(list_is_empty(&l->waiting));
    list_remove(&l->task.link);
}

bool wait_for_turn(struct exec *x, struct waiting *w, int64_t at_ms)
{
    if (at_ms == 0) {
        w->wait = WAIT_SLICE;
        list_push(&x->line.waiting, &w->slice);
        worker_defer(x->worker, &x->line.task);
        return true;
    }
    if (at_ms != INT64_MAX && worker_timer_set(w->worker, &w->timer, at_ms) != OK) {
        return false;
    }
    w->wait = WAIT_TIME;
    return true;
}

/* ---- Ending ---- */

void wait_cancel(struct session *s)
{
    struct waiting *w = s->backend_state;

    if (w == NULL) {
        return;
    }
    assert(!w->has_cmd);
    s->backend_state = NULL;
    w->session = NULL;
    switch (w->wait) {
    case WAIT_LOCK:
        if (!partition_wait_cancel(w->partition, &w->lock)) {
            return; /* called already: the message frees it */
        }
        break;
    case WAIT_LOG:
        if (!changelog_wait_cancel(node_self()->log, &w->log)) {
            return;
        }
        break;
    case WAIT_SLICE:
        list_remove(&w->slice);
        break;
    case WAIT_TIME:
        worker_timer_clear(w->worker, &w->timer);
        break;
    case WAIT_NOT:
        break;
    }
    mem_free(w, sizeof(*w));
}
