/* node.h - the process that holds a shard's data: databases, the change log, and the local backend. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "base/annot.h"
#include "edge/backend.h"
#include "node/exec.h"
#include "replication/gate.h"

#include <pthread.h>

struct changelog;
struct database;
struct worker;

struct node_options {
    uint32_t workers;
    size_t changelog_ring_bytes;
    uint64_t epoch;
};

struct node {
    struct backend backend; /* first: node_of() */
    struct changelog *log;
    struct gate gate;
    struct exec *execs; /* by worker; owned */
    uint32_t exec_count;
    struct janitor **janitors; /* by worker; owned */
    pthread_mutex_t lock;
    struct list databases; /* guarded by lock; read by the janitor under it */
    struct database *first;
};

static inline struct node *node_of(struct backend *b)
{
    return (struct node *)(void *)b;
}

/* Registers nothing: families_register() and cmd_freeze() come before. */
MUST_CHECK int node_create(struct node **out, const struct node_options *o);
/* The workers have stopped and are about to be taken apart: whatever could still wake one ends. */
void node_stop(struct node *n);
/* Frees everything. On an RCU registered thread. */
void node_destroy(struct node *n);
/* On each worker's thread, before its first turn and after its last. */
MUST_CHECK int node_worker_start(struct node *n, struct worker *w);
void node_worker_stop(struct node *n, struct worker *w);

struct backend *node_backend(struct node *n);
struct database *node_default_database(struct node *n);
/* Another one; NULL: no memory. */
struct database *node_database_add(struct node *n, uint32_t id);

/* The node of this process, for what INFO tells; set by node_create(). */
struct node *node_self(void);

/* Time by the processor's counter. */
double node_cycles_per_us(void);
/* Commands of at least so many cycles are noted (slowlog-log-slower-than, latency-monitor-threshold). */
uint64_t node_slow_cycles(void);
void node_slow_cycles_update(void);
/* Has the settings take effect, now and whenever they change. At start. */
void node_slow_cycles_watch(void);
void node_note_slow(struct session *s, const struct cmd *c, uint64_t cycles);

/* Set by the program: SHUTDOWN. */
extern void (*node_shutdown_hook)(void);

#endif
