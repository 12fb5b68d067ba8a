#include "base/worker.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rcu.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    EVENTS_A_TURN = 256, /* bounds how long messages and timers wait behind files */
    TICK_MS = 100        /* an idle worker wakes so often, to free what came back and to expire */
};

static _Thread_local struct worker *self;

struct worker *worker_self(void)
{
    return self;
}

static void on_wake(struct worker_file *f, uint32_t events)
{
    uint64_t count;

    (void)events;
    if (read(f->fd, &count, sizeof(count)) < 0 && errno != EAGAIN) {
        log_error("worker: eventfd: %m");
    }
}

int worker_init(struct worker *w, uint32_t index)
{
    memset(w, 0, sizeof(*w));
    w->index = index;
    w->rand.state = (uint64_t)clock_mono_ns() ^ ((uint64_t)index << 56);
    heap_init(&w->timers);
    list_init(&w->tasks);
    list_init(&w->turn_ends);
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll_fd < 0) {
        return ERR_IO;
    }
    w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->wake_fd < 0) {
        goto fail_epoll;
    }
    w->wake = (struct worker_file){w->wake_fd, on_wake};
    if (worker_watch(w, &w->wake, EPOLLIN) != OK) {
        goto fail_event;
    }
    return OK;

fail_event:
    close(w->wake_fd);
fail_epoll:
    close(w->epoll_fd);
    return ERR_IO;
}

void worker_fini(struct worker *w)
{
    heap_fini(&w->timers);
    close(w->wake_fd);
    close(w->epoll_fd);
}

int worker_watch(struct worker *w, struct worker_file *f, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = f};

    return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, f->fd, &e) == 0 ? OK : ERR_IO;
}

void worker_rewatch(struct worker *w, struct worker_file *f, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = f};

    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, f->fd, &e) != 0) {
        log_error("worker: epoll_ctl: %m");
    }
}

void worker_unwatch(struct worker *w, struct worker_file *f)
{
    (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, f->fd, NULL);
}

void worker_defer(struct worker *w, struct worker_task *t)
{
    if (list_is_empty(&t->link)) {
        list_push(&w->tasks, &t->link);
    }
}

void worker_at_turn_end(struct worker *w, struct worker_task *t)
{
    if (list_is_empty(&t->link)) {
        list_push(&w->turn_ends, &t->link);
    }
}

int worker_timer_set(struct worker *w, struct worker_timer *t, int64_t at_ms)
{
    return heap_put(&w->timers, &t->node, at_ms);
}

void worker_timer_clear(struct worker *w, struct worker_timer *t)
{
    heap_remove(&w->timers, &t->node);
}

static void wake(struct worker *w)
{
    uint64_t one = 1;

    /* Cannot fail but for a full counter, and then it is awake. */
    (void)!write(w->wake_fd, &one, sizeof(one));
}

void worker_post(struct worker *w, struct inbox_msg *msg)
{
    if (inbox_push(&w->inbox, msg) && w != self) {
        wake(w);
    }
}

void worker_stop(struct worker *w)
{
    atomic_store_explicit(&w->stopping, true, memory_order_release);
    wake(w);
}

/* Milliseconds that the worker may sleep. */
static int patience_ms(struct worker *w)
{
    struct heap_node *n = heap_least(&w->timers);

    if (!list_is_empty(&w->tasks) ||
        /* Acquire: with the exchange in inbox_push(); own messages wake nobody. */
        atomic_load_explicit(&w->inbox.top, memory_order_acquire) != NULL) {
        return 0;
    }
    if (n == NULL || n->rank > w->now_ms + TICK_MS) {
        return TICK_MS;
    }
    return n->rank <= w->now_ms ? 0 : (int)(n->rank - w->now_ms);
}

static void read_clocks(struct worker *w)
{
    clock_advance();
    w->now_ns = clock_mono_ns();
    w->now_ms = w->now_ns / 1000000;
}

static void run_tasks(struct worker *w)
{
    struct list now;
    struct list *n;

    if (list_is_empty(&w->tasks)) {
        return;
    }
    /* Only those put off so far: a task that puts itself off again runs in the next turn. */
    now.next = w->tasks.next;
    now.prev = w->tasks.prev;
    now.next->prev = &now;
    now.prev->next = &now;
    list_init(&w->tasks);
    while ((n = list_pop(&now)) != NULL) {
        struct worker_task *t = LIST_ITEM(n, struct worker_task, link);

        t->run(t);
    }
}

static void run_timers(struct worker *w)
{
    struct heap_node *n;

    while ((n = heap_least(&w->timers)) != NULL && n->rank <= w->now_ms) {
        heap_remove(&w->timers, n);
        struct worker_timer *t = LIST_ITEM(n, struct worker_timer, node);

        t->on_time(t);
    }
}

static void run_turn_ends(struct worker *w)
{
    struct list *n = w->turn_ends.next;

    while (n != &w->turn_ends) {
        struct worker_task *t = LIST_ITEM(n, struct worker_task, link);

        n = n->next;
        t->run(t);
    }
}

static void turn(struct worker *w)
{
    struct epoll_event events[EVENTS_A_TURN];
    int sleep_ms = patience_ms(w);
    int n;

    /* What is retired is freed by turns, which an idle worker must take as well. */
    if (sleep_ms > 1 && rcu_retired_bytes() > 0) {
        sleep_ms = 1;
    }
    if (sleep_ms > 0) {
        w->busy_ns += (uint64_t)(clock_mono_ns() - w->now_ns);
        rcu_offline();
        n = epoll_wait(w->epoll_fd, events, EVENTS_A_TURN, sleep_ms);
        rcu_online();
    } else {
        n = epoll_wait(w->epoll_fd, events, EVENTS_A_TURN, 0);
    }
    read_clocks(w);
    /* Before the files: whoever hears of something, and then asks here, finds it posted and done. */
    inbox_drain(&w->inbox);
    for (int i = 0; i < n; i++) {
        struct worker_file *f = events[i].data.ptr;

        /* A handler may have closed another file of this turn: it sets fd to -1 and frees the
         * structure no earlier than the next turn. */
        if (f->fd >= 0) {
            f->on_events(f, events[i].events);
        }
        /* A file's handler keeps nothing borrowed. With fifty clients in deep pipelines a turn retires
         * more than the caches hold, so what comes back earlier is warm when it is used again. */
        if (rcu_is_due()) {
            rcu_turn();
        }
    }
    inbox_drain(&w->inbox);
    run_tasks(w);
    run_timers(w);
    run_turn_ends(w);
    rcu_turn();
    w->turns++;
}

void worker_run(struct worker *w)
{
    self = w;
    mem_thread_start();
    rcu_register();
    read_clocks(w);
    if (w->on_start != NULL) {
        w->on_start(w);
    }
    while (!atomic_load_explicit(&w->stopping, memory_order_acquire)) {
        turn(w);
    }
    if (w->on_stop != NULL) {
        w->on_stop(w);
    }
    inbox_drain(&w->inbox);
    rcu_unregister();
    mem_thread_stop();
    self = NULL;
}

static void *thread_main(void *arg)
{
    struct worker *w = arg;
    char name[16];

    (void)snprintf(name, sizeof(name), "worker-%u", w->index);
    (void)pthread_setname_np(pthread_self(), name);
    worker_run(w);
    return NULL;
}

int worker_start(struct worker *w)
{
    return pthread_create(&w->thread, NULL, thread_main, w) == 0 ? OK : ERR_IO;
}

void worker_join(struct worker *w)
{
    (void)pthread_join(w->thread, NULL);
}
