/* world.h - a node for tests that run whole commands on their own thread, under a clock that they set. */
#ifndef TESTS_UNIT_NODE_WORLD_H
#define TESTS_UNIT_NODE_WORLD_H

#include "base/annot.h"
#include "base/worker.h"
#include "edge/session.h"
#include "node/exec.h"
#include "node/node.h"

enum { WORLD_WORKERS = 3 };

struct world {
    struct node *node;
    struct database *db; /* the node's first */
    struct exec *x;      /* of the first worker */
    struct worker workers[WORLD_WORKERS];
    struct reply reply;
};

/* Registers the calling thread with RCU. */
void world_init(struct world *w, size_t ring_bytes);
void world_fini(struct world *w);

/* The clock that expiry goes by, so many milliseconds on. */
void world_clock(int64_t ms);

/* Runs a command to its end; the reply is w->reply's bytes until the next. */
void world_run(struct world *w, struct database *db, struct slice *argv, uint32_t argc);
/* Words separated by blanks; the reply, ended by a NUL. */
const char *world_say(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Splits a line into words in place. */
uint32_t world_words(char *line, struct slice *argv, uint32_t max);

/* The bytes that the database's entries, tables and partitions take. */
int64_t world_bytes(struct database *db);

#endif
