/* tracking_parts.h - one CLIENT TRACKING ON. For tracking.c, which tells it of changes, and cmd_tracking.c,
 * which makes it.
 *
 * A *handle* stands for a connection wherever it is asked for: its worker fills and clears `conn`. A
 * *tracker* is one CLIENT TRACKING ON: what is registered points to it, and it outlives its connection
 * as long as something does. */
#ifndef EDGE_TRACKING_PARTS_H
#define EDGE_TRACKING_PARTS_H

#include "base/inbox.h"
#include "base/list.h"
#include "edge/tracking.h"

struct conn_set;

struct conn_handle {
    _Atomic uint32_t refs;
    struct conn_set *set;
    uint64_t id;
    struct conn *conn; /* its worker's; NULL once it is gone */
};

struct prefix {
    size_t len;
    char *bytes; /* owned */
};

struct tracker {
    _Atomic uint32_t refs;
    _Atomic bool is_on;
    struct list link; /* of all_trackers */
    const struct database *db;
    struct conn_handle *self;
    struct conn_handle *to; /* NULL: itself */
    bool is_bcast, is_optin, is_optout, is_noloop;
    bool is_caching, is_broken; /* self's worker's */
    uint32_t prefix_count, prefix_room;
    struct prefix *prefixes; /* owned; none of a bcast one: all keys */
    /* Where no memory is for a notice: this one, which says that all keys changed. */
    struct inbox_msg lost;
    _Atomic bool is_lost; /* it is on its way */
    _Atomic uint64_t lost_position;
};

/* The connection's, counted; NULL: no memory. */
struct conn_handle *conn_handle_of(struct conn *c);
/* Drops a count; the last frees it. NULL is fine. */
void tracker_put(struct tracker *t);
/* The connection's from now on, instead of the one that it had. Counted by it. */
void tracker_begin(struct conn *c, struct tracker *t);

#endif
