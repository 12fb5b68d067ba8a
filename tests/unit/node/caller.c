#include "tests/unit/node/caller.h"

#include "base/err.h"
#include "base/inbox.h"
#include "base/list.h"
#include "base/rcu.h"
#include "edge/backend.h"
#include "node/wait.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static void on_ready(struct session *s)
{
    LIST_ITEM(s, struct caller, session)->is_called = true;
}

void caller_init(struct caller *c, struct world *w, uint32_t worker)
{
    static _Atomic uint64_t ids;

    *c = (struct caller){.x = &w->node->execs[worker],
                         .session = {.id = ++ids,
                                     .db = w->db,
                                     .worker = &w->workers[worker],
                                     .backend = &w->node->backend,
                                     .on_ready = on_ready}};
    reply_init(&c->reply);
    /* As a connection's, which has had other replies: where there is no memory, it can be said. */
    int err = buf_reserve(&c->reply.out, CALLER_LINE);

    assert(err == OK);
    (void)err;
}

void caller_fini(struct caller *c)
{
    exec_cancel(&c->session);
    reply_fini(&c->reply);
}

static bool run(struct caller *c)
{
    c->is_called = false;
    c->is_asking = exec_run(c->x, &c->session, &c->batch) == BACKEND_LATER;
    return !c->is_asking;
}

bool caller_turn(struct caller *c)
{
    bool was = c->is_called;

    if (was) {
        (void)run(c);
    }
    return was;
}

const char *caller_answer(struct caller *c)
{
    if (c->is_asking) {
        return NULL;
    }
    int err = buf_append(&c->reply.out, "", 1);

    assert(err == OK);
    (void)err;
    c->reply.out.len--;
    return c->reply.out.ptr;
}

static const char *begin(struct caller *c)
{
    assert(!c->is_asking);
    assert(c->request.def != NULL);
    c->reply.out.len = 0;
    c->reply.failed = false;
    c->batch = (struct batch){.requests = &c->request, .count = 1, .reply = &c->reply};
    (void)run(c);
    return caller_answer(c);
}

const char *caller_ask_as(struct caller *c, const struct cmd_def *def, const char *text)
{
    (void)snprintf(c->line, sizeof(c->line), "%s", text);
    uint32_t argc = world_words(c->line, c->argv, CALLER_WORDS);

    c->request = (struct request){
        .def = def != NULL ? def : cmd_find(c->argv[0]), .argv = c->argv, .argc = argc};
    return begin(c);
}

const char *caller_ask(struct caller *c, const char *fmt, ...)
{
    char text[CALLER_LINE];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return caller_ask_as(c, NULL, text);
}

const char *caller_exec(struct caller *c, const struct multi *m)
{
    c->argv[0] = SLICE("EXEC");
    c->request =
        (struct request){.def = cmd_find(c->argv[0]), .argv = c->argv, .argc = 1, .multi = m};
    return begin(c);
}

bool caller_worker_turn(struct exec *x)
{
    struct worker *w = x->worker;
    struct heap_node *n;
    bool any = inbox_drain(&w->inbox) > 0;

    while (!list_is_empty(&x->line.waiting)) {
        x->line.task.run(&x->line.task);
        any = true;
    }
    while ((n = heap_least(&w->timers)) != NULL && n->rank <= w->now_ms) {
        struct worker_timer *t = LIST_ITEM(n, struct worker_timer, node);

        heap_remove(&w->timers, n);
        t->on_time(t);
        any = true;
    }
    return any;
}

void callers_settle(struct world *w, struct caller *callers, size_t count)
{
    bool any = true;

    while (any) {
        any = false;
        for (uint32_t i = 0; i < WORLD_WORKERS; i++) {
            any |= caller_worker_turn(&w->node->execs[i]);
        }
        for (size_t i = 0; i < count; i++) {
            any |= caller_turn(&callers[i]);
        }
        rcu_turn();
    }
}

void callers_clock(struct world *w, int64_t ms)
{
    for (uint32_t i = 0; i < WORLD_WORKERS; i++) {
        w->workers[i].now_ms += ms;
    }
}
