/* toy.h - a server whose backend does as the test says, and a client that blocks, with a bound.
 *
 * Its commands: TECHO x · TLATER (answers when toy_release() says so) · TGATE position · TBIG bytes ·
 * TNULL · TMAP · TWRITE (a write).
 */
#ifndef TESTS_UNIT_EDGE_TOY_H
#define TESTS_UNIT_EDGE_TOY_H

#include "edge/conn.h"
#include "edge/listen.h"

enum { TOY_WORKERS_MAX = 2 };

struct toy_worker {
    struct worker worker;
    struct conn_set set;
    struct toy *toy;
};

struct toy {
    struct backend backend; /* first: a backend is its toy */
    struct toy_worker workers[TOY_WORKERS_MAX];
    uint32_t count;
    struct listen_set listener;
    _Atomic bool later_may_go;
    _Atomic uint64_t gate;
    _Atomic uint32_t waiting, cancelled, closed_sessions, ran;
    struct session *held[TOY_WORKERS_MAX]; /* by worker: who waits for on_ready */
};

/* No password unless given. */
void toy_start(struct toy *t, uint32_t workers, const char *password);
void toy_stop(struct toy *t);

/* What TLATER waits for, and what TGATE waits for. */
void toy_release(struct toy *t);
void toy_gate_set(struct toy *t, uint64_t position);

/* A setting for the rest of the test; toy_stop() restores all. */
void toy_set(const char *name, const char *value);

/* Has the nth fault point that the worker reaches from now on fail (base/fault.h); 0: none. */
void toy_fault(struct toy *t, uint32_t worker, int nth);

int toy_connect(struct toy *t);
void toy_send(int fd, const char *text);
void toy_send_bytes(int fd, const void *bytes, size_t len);
/* Whether exactly this comes next, within seconds. What came instead is printed. */
bool toy_gets(int fd, const char *text);
/* Whether a line comes that begins so; it is copied out, without its end. */
bool toy_gets_line(int fd, const char *begin, char *out, size_t room);
bool toy_is_closed(int fd); /* the end comes next, within seconds */
bool toy_is_silent(int fd); /* nothing has come by now */
/* Waits until cond(arg) or a bound. */
bool toy_until(bool (*cond)(void *arg), void *arg);
bool toy_count_becomes(_Atomic uint32_t *word, uint32_t value);

#endif
