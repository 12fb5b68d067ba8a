/* session.h - one client's conversation with a database, as the backend sees it.
 *
 * Owned by its connection and touched on its worker only, but for the fields marked otherwise. The
 * backend keeps what it needs for a session in `backend_state`, and frees it in session_close().
 */
#ifndef EDGE_SESSION_H
#define EDGE_SESSION_H

#include "base/list.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct acl_user;
struct backend;
struct database;
struct worker;

enum ack_level { ACK_LEADER, ACK_FSYNC, ACK_QUORUM, ACK_QUORUM_FSYNC, ACK_LEVELS };

struct session {
    uint64_t id; /* the client id, unique in the cluster */
    struct backend *backend;
    struct database *db; /* chosen by the credentials */
    struct acl_user *user; /* whose they are, counted (edge/acl.h); NULL: the server's own, may do all */
    struct worker *worker;
    enum ack_level level;
    bool is_tracking;   /* CLIENT TRACKING ON: edge/tracking.h */
    bool no_touch;      /* CLIENT NO-TOUCH: reads leave eviction clocks alone */
    bool is_replayed;   /* the server's own: not counted, not in MONITOR */
    bool is_judged_again; /* ACL rules changed while its batch waited: each request asks before it begins */
    bool is_connection; /* embedded in a struct conn (edge/conn.h) */
    uint64_t position;  /* the highest change that its replies have shown it */
    /* The batch may go on, or its replies may leave. Called on the worker, from anywhere but run(). */
    void (*on_ready)(struct session *s);
    /* private to the backend */
    void *backend_state;
    void *backend_watches; /* the keys that it watches */
    void *gate_waiter;     /* the commit gate's */
};

#endif
