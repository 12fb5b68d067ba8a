#include "replication/gate.h"

#include "base/mem.h"
#include "base/worker.h"

#include <stddef.h>

void gate_init(struct gate *g)
{
    for (int i = 0; i < ACK_LEVELS; i++) {
        atomic_init(&g->passed[i], 0);
    }
    pthread_mutex_init(&g->lock, NULL);
    list_init(&g->waiters);
}

void gate_fini(struct gate *g)
{
    pthread_mutex_destroy(&g->lock);
}

static bool has_passed(struct gate *g, enum ack_level level, uint64_t position)
{
    /* Acquire: pairs with the release in gate_raise(). */
    return level == ACK_LEADER ||
           atomic_load_explicit(&g->passed[level], memory_order_acquire) >= position;
}

static void on_told(struct inbox_msg *msg)
{
    struct gate_waiter *w =
        (struct gate_waiter *)(void *)((char *)msg - offsetof(struct gate_waiter, msg));
    struct session *s = w->session;

    mem_free(w, sizeof(*w));
    if (s != NULL) {
        s->gate_waiter = NULL;
        s->on_ready(s);
    }
}

bool gate_may_pass(struct gate *g, struct session *s, uint64_t position)
{
    if (LIKELY(has_passed(g, s->level, position))) {
        return true;
    }
    if (s->gate_waiter != NULL) {
        return false; /* it will be told of the earlier one, and ask again */
    }
    struct gate_waiter *w = mem_zalloc(sizeof(*w));

    if (w == NULL) {
        return false; /* the door asks again with its next request or closes at its limit */
    }
    w->session = s;
    w->position = position;
    w->msg.fn = on_told;
    pthread_mutex_lock(&g->lock);
    /* Under the lock that gate_raise() takes after it has raised: one of the two sees the other. */
    bool passed = has_passed(g, s->level, position);

    if (!passed) {
        s->gate_waiter = w;
        list_push(&g->waiters, &w->link);
    }
    pthread_mutex_unlock(&g->lock);
    if (passed) {
        mem_free(w, sizeof(*w));
    }
    return passed;
}

void gate_cancel(struct gate *g, struct session *s)
{
    struct gate_waiter *w = s->gate_waiter;

    if (w == NULL) {
        return;
    }
    s->gate_waiter = NULL;
    pthread_mutex_lock(&g->lock);
    bool told = w->is_told;

    if (!told) {
        list_remove(&w->link);
    }
    pthread_mutex_unlock(&g->lock);
    if (told) {
        w->session = NULL; /* G3: its message is on the way to this very worker, and frees it */
    } else {
        mem_free(w, sizeof(*w));
    }
}

void gate_raise(struct gate *g, enum ack_level level, uint64_t position)
{
    uint64_t was = atomic_load_explicit(&g->passed[level], memory_order_relaxed);

    /* G1. Release: what passed happened before. */
    while (was < position &&
           !atomic_compare_exchange_weak_explicit(&g->passed[level], &was, position,
                                                  memory_order_release, memory_order_relaxed)) {
    }
    pthread_mutex_lock(&g->lock);
    struct list *n = g->waiters.next;

    while (n != &g->waiters) {
        struct gate_waiter *w = LIST_ITEM(n, struct gate_waiter, link);

        n = n->next;
        if (has_passed(g, w->session->level, w->position)) {
            list_remove(&w->link);
            w->is_told = true;
            worker_post(w->session->worker, &w->msg);
        }
    }
    pthread_mutex_unlock(&g->lock);
}
