#include "node/node.h"

#include "node/notify.h"

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "base/worker.h"
#include "edge/session.h"
#include "node/database.h"
#include "node/expire.h"
#include "node/options.h"
#include "node/watched.h"
#include "replication/changelog.h"

#include <x86intrin.h>

void (*node_shutdown_hook)(void);

static struct node *self;
static uint64_t began_cycles;
static int64_t began_ns;

struct node *node_self(void)
{
    return self;
}

double node_cycles_per_us(void)
{
    int64_t ns = clock_mono_ns() - began_ns;

    return (double)(__rdtsc() - began_cycles) * 1000.0 / (double)(ns < 1 ? 1 : ns);
}

static enum backend_progress run(struct backend *b, struct session *s, struct batch *batch)
{
    return exec_run(exec_self(node_of(b)), s, batch);
}

static void cancel(struct backend *b, struct session *s)
{
    (void)b;
    exec_cancel(s);
}

static void session_close(struct backend *b, struct session *s)
{
    exec_cancel(s);
    watched_clear(s);
    gate_cancel(&node_of(b)->gate, s);
}

static void session_reset(struct backend *b, struct session *s)
{
    (void)b;
    watched_clear(s);
}

static bool may_send(struct backend *b, struct session *s, uint64_t position)
{
    return gate_may_pass(&node_of(b)->gate, s, position);
}

static bool unblock(struct backend *b, struct session *s, enum cmd_unblocked why)
{
    (void)b;
    return exec_unblock(s, why);
}

int node_create(struct node **out, const struct node_options *o)
{
    struct node *n = mem_zalloc(sizeof(*n));
    struct changelog_options log = {.ring_bytes = o->changelog_ring_bytes, .epoch = o->epoch};

    if (n == NULL) {
        return ERR_NOMEM;
    }
    n->backend = (struct backend){.run = run,
                                  .cancel = cancel,
                                  .may_send = may_send,
                                  .session_close = session_close,
                                  .session_reset = session_reset,
                                  .unblock = unblock};
    n->exec_count = o->workers;
    pthread_mutex_init(&n->lock, NULL);
    list_init(&n->databases);
    gate_init(&n->gate);
    began_ns = clock_mono_ns();
    began_cycles = __rdtsc();
    n->execs = mem_zalloc(o->workers * sizeof(n->execs[0]));
    n->janitors = mem_zalloc(o->workers * sizeof(n->janitors[0]));
    if (n->execs == NULL || n->janitors == NULL || changelog_create(&n->log, &log) != OK) {
        goto fail;
    }
    n->first = node_database_add(n, 0);
    if (n->first == NULL) {
        goto fail;
    }
    self = n;
    while (clock_mono_ns() - began_ns < 1000000) {
    }
    node_slow_cycles_watch();
    notify_start();
    *out = n;
    return OK;

fail:
    node_destroy(n);
    return ERR_NOMEM;
}

void node_stop(struct node *n)
{
    changelog_stop(n->log);
}

void node_destroy(struct node *n)
{
    struct list *l;

    rcu_drain();
    while ((l = list_pop(&n->databases)) != NULL) {
        database_destroy(LIST_ITEM(l, struct database, link));
    }
    changelog_destroy(n->log);
    mem_free(n->execs, n->exec_count * sizeof(n->execs[0]));
    mem_free(n->janitors, n->exec_count * sizeof(n->janitors[0]));
    gate_fini(&n->gate);
    pthread_mutex_destroy(&n->lock);
    mem_free(n, sizeof(*n));
    self = NULL;
}

int node_worker_start(struct node *n, struct worker *w)
{
    int err = exec_init(&n->execs[w->index], n, w);

    return err != OK ? err : janitor_start(n, w);
}

void node_worker_stop(struct node *n, struct worker *w)
{
    janitor_stop(n, w);
    exec_fini(&n->execs[w->index]);
}

struct backend *node_backend(struct node *n)
{
    return &n->backend;
}

struct database *node_default_database(struct node *n)
{
    return n->first;
}

struct database *node_database_add(struct node *n, uint32_t id)
{
    struct database *db;

    if (database_create(&db, n, id, n->exec_count) != OK) {
        return NULL;
    }
    pthread_mutex_lock(&n->lock);
    list_push(&n->databases, &db->link);
    pthread_mutex_unlock(&n->lock);
    return db;
}
