/* worker.h - a thread that never blocks: an epoll loop over its files, timers, tasks and inbox.
 *
 * After each file, and at the end of a turn, the thread may be quiescent: nothing borrowed under RCU
 * survives a handler's return.
 *
 * A turn: wait, advance the clock, messages, files that are ready, messages, tasks put off by the turn before,
 * timers, the turn-end hooks, a quiescent state. So nothing borrowed under RCU survives a turn, and
 * everything that waits for "the next turn" goes through worker_defer().
 *
 * Ownership  files, timers and tasks are embedded in their users' structures; remove before freeing.
 * Threads    everything here is for the worker's own thread, except worker_post() and worker_stop().
 */
#ifndef BASE_WORKER_H
#define BASE_WORKER_H

#include "base/annot.h"
#include "base/heap.h"
#include "base/inbox.h"
#include "base/list.h"
#include "base/rand.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>

enum { WORKERS_MAX = 256 };

struct worker;

/* A file descriptor that is watched. `events` are epoll's; edge triggering is the user's choice. */
struct worker_file {
    int fd;
    void (*on_events)(struct worker_file *f, uint32_t events);
};

struct worker_timer {
    struct heap_node node; /* private; rank is when, in the worker's milliseconds */
    void (*on_time)(struct worker_timer *t);
};

struct worker_task {
    struct list link; /* private; list_init() before the first use */
    void (*run)(struct worker_task *t);
};

struct worker {
    uint32_t index; /* 0 … count-1 */
    int64_t now_ns; /* monotonic, read at the turn's start */
    int64_t now_ms; /* the same in milliseconds */
    struct rand rand;
    uint64_t turns;
    uint64_t busy_ns;      /* time between waits, for INFO and for choosing a worker */
    _Atomic uint32_t load; /* connections, for the listener; relaxed */
    void *user;            /* whoever made the workers */
    /* private */
    int epoll_fd, wake_fd;
    struct inbox inbox;
    struct heap timers;
    struct list tasks;
    struct list turn_ends;
    _Atomic bool stopping;
    struct worker_file wake;
    pthread_t thread;
    void (*on_start)(struct worker *w);
    void (*on_stop)(struct worker *w);
};

/* Makes the worker ready; worker_start() runs it on a thread of its own, worker_run() on this one.
 * on_start and on_stop run on the worker's thread, RCU registered, before the first and after the
 * last turn. */
MUST_CHECK int worker_init(struct worker *w, uint32_t index);
MUST_CHECK int worker_start(struct worker *w);
void worker_run(struct worker *w);
/* Ends the loop after its turn. Any thread; also from signal handlers. */
void worker_stop(struct worker *w) ON_ANY;
void worker_join(struct worker *w);
void worker_fini(struct worker *w);

/* The worker that this thread runs, or NULL. */
struct worker *worker_self(void);

MUST_CHECK int worker_watch(struct worker *w, struct worker_file *f, uint32_t events);
void worker_rewatch(struct worker *w, struct worker_file *f, uint32_t events);
void worker_unwatch(struct worker *w, struct worker_file *f);

/* Runs the task in the next turn, which will not wait. Deferring it twice is once. */
void worker_defer(struct worker *w, struct worker_task *t);
/* Runs at each turn's end until list_remove(&t->link): for writing out what the turn gathered. */
void worker_at_turn_end(struct worker *w, struct worker_task *t);

MUST_CHECK int worker_timer_set(struct worker *w, struct worker_timer *t, int64_t at_ms);
void worker_timer_clear(struct worker *w, struct worker_timer *t);

/* Hands msg to the worker; msg->fn runs there. */
void worker_post(struct worker *w, struct inbox_msg *msg) ON_ANY;

#endif
