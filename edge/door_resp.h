/* door_resp.h - RESP in, RESP out: a connection's bytes become batches for its backend. */
#ifndef EDGE_DOOR_RESP_H
#define EDGE_DOOR_RESP_H

#include "base/annot.h"

struct conn;

/* Before the connection's first byte: what it may do and which protocol it begins with. */
void door_resp_open(struct conn *c) ON_WORKER;

/* Goes on with the batch that waits, if any, then carries out what stands whole in the view, up to a
 * turn's bounds; beyond them it puts itself off. The caller lends the scratch and sends what was
 * written. */
void door_resp_turn(struct conn *c) ON_WORKER HOT;

/* As a connection is before AUTH, HELLO and the rest: at its birth and at RESET. */
void door_resp_reset(struct conn *c) ON_WORKER;

/* MULTI: what follows is queued until EXEC (edge/multi.h). */
void door_resp_multi(struct conn *c) ON_WORKER;

#endif
