/* actors.h - the threads of the property tests, which run commands as workers do, on one database.
 *
 * Each part has writers that keep a promise of DESIGN 4.1 and 4.2 and readers that look for its breach.
 * Beside most of them the table grows and shrinks. Parts about keys are in isolation.c, about sections of
 * several commands, waiting and growing values in sections.c.
 */
#ifndef TESTS_PROP_ACTORS_H
#define TESTS_PROP_ACTORS_H

#include "base/rand.h"
#include "base/worker.h"
#include "edge/session.h"
#include "node/database.h"
#include "node/exec.h"
#include "node/node.h"
#include "proto/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ACTORS = 6 };

struct actor {
    struct worker worker;
    struct exec *x;
    struct reply reply;
    struct rand rand;
    struct session session; /* of session_say() and transact() */
    const char *at;         /* in the reply */
    pthread_t thread;
    uint32_t index;
    uint64_t runs;
    void (*role)(struct actor *a);
    /* Called once for a command of the session that begins to wait for others. */
    void (*on_wait)(struct actor *a);
};

struct part {
    const char *name;
    void (*roles[ACTORS])(struct actor *a);
    void (*before)(struct actor *a);
    void (*after)(struct actor *a);
};

/* Ended by a part without a name. */
extern const struct part key_parts[], section_parts[];

extern struct node *node;
extern struct database *db;
extern _Atomic bool stopping;

void breach(const char *fmt, ...) PRINTF_LIKE(1, 2);
bool goes_on(struct actor *a);
void raise_to(_Atomic int64_t *at, int64_t n);

void run(struct actor *a, struct slice *argv, uint32_t argc);
/* Words separated by blanks; an error is a breach. */
void say(struct actor *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The next number of the reply: a bulk or an integer; -1: null. */
int64_t number(struct actor *a);
/* The next array's length; -1: null. */
int64_t array(struct actor *a);
/* GET of the name. */
int64_t get(struct actor *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The same for the actor's session, which may watch and wait: it is unblocked when the part ends, and
 * before, if gives_up says so. No reply is a breach. */
void session_say(struct actor *a, bool (*gives_up)(struct actor *a), const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* MULTI, the commands between semicolons, EXEC. False: a watched key had changed. */
bool transact(struct actor *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Roles beside others: a table that grows and shrinks; a clock that moves. */
void churn(struct actor *a);
void ticks(struct actor *a);

#endif
