/* listen.h - listening sockets, and handing each new client to the worker with the least to do.
 *
 * Every address of a list, on one port; accepted on one worker, in budgets, so that a storm of new
 * clients does not starve those that are served.
 *
 * Limits   maxclients: one more is told so and closed. Out of descriptors (EMFILE and kin) the
 *          listener rests for a moment, with one log line, and goes on by itself.
 */
#ifndef EDGE_LISTEN_H
#define EDGE_LISTEN_H

#include "base/annot.h"
#include "base/conf.h"
#include "base/slice.h"
#include "base/worker.h"

#include <stdbool.h>

enum { LISTEN_MAX = 16 };

struct listen_set {
    struct listen_socket {
        struct worker_file file;
        struct listen_set *set;
    } sockets[LISTEN_MAX];
    uint32_t count;
    uint16_t port;      /* the one taken */
    bool was_elsewhere; /* another than asked for, since that was busy */
    struct worker *worker;
    struct worker_timer rest;
    bool is_resting;
};

/* Binds `port` on every address of the list (blanks or commas between). 0 takes any free one, the
 * same on all addresses. If it is busy and may_move, another is taken. ERR_IO: logged. Main. */
MUST_CHECK int listen_open(struct listen_set *l, struct slice addresses, uint16_t port,
                           bool may_move);
/* By a port's setting: 0 opens nothing, auto any free one; another than the default if nobody set it and
 * it is busy, which is logged. */
MUST_CHECK int listen_open_setting(struct listen_set *l, struct slice addresses,
                                   const struct conf_opt *port);
/* Of sockets that nobody watches (any more). */
void listen_close(struct listen_set *l);

/* Begins, and ends, to accept for the registered connection sets (edge/client.h). */
MUST_CHECK int listen_start(struct listen_set *l, struct worker *w) ON_WORKER;
void listen_stop(struct listen_set *l) ON_WORKER;

/* Whether all addresses of the list are loopback. */
bool listen_is_loopback(struct slice addresses);

#endif
