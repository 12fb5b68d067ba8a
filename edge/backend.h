/* backend.h - the port between a door and whoever carries commands out: the node in this process, or
 * a link to one.
 *
 * A door parses what its connection sent into a batch and calls run(), which carries out requests in
 * order, each reply appended to the batch's reply writer between reply_begin() and reply_end(). It
 * may stop before the end (BACKEND_LATER): a lock is held by another, an answer is on its way. Then
 * session->on_ready is called, on the session's worker, when run() should be called again with the
 * same batch. Sessions answer in any order; one session in its own.
 *
 * Ownership  arguments are borrowed from the connection's input until the batch is done or cancelled.
 * Positions  batch->position is raised to the highest change that a reply could have seen; a reply
 *            leaves only when may_send() agrees to it (the commit gate), else on_ready tells.
 */
#ifndef EDGE_BACKEND_H
#define EDGE_BACKEND_H

#include "base/annot.h"
#include "base/slice.h"
#include "proto/cmd.h"
#include "proto/reply.h"

#include <stddef.h>
#include <string.h>

struct worker;
struct block;
struct block_ready;
struct multi;
struct database;
struct section;
struct session;

/* A key and where it belongs, computed once. */
struct key {
    struct slice name;
    uint64_t hash;     /* hash_key() */
    uint16_t slot;     /* hash_slot() */
    uint8_t partition; /* slot mod the cluster's partition count */
};

struct request {
    const struct cmd_def *def; /* arity was checked */
    struct slice *argv;
    uint32_t argc;
    const struct multi
        *multi;     /* of EXEC and DISCARD: what was queued (edge/multi.h); NULL without MULTI */
    struct key key; /* private to the backend: the first key, hashed ahead */
};

struct batch {
    struct request *requests;
    uint32_t count;
    uint32_t next; /* the first that has not been carried out */
    struct reply *reply;
    uint64_t position;
    size_t whole; /* with BACKEND_LATER: where in reply->out the first that is not whole begins */
};

enum backend_progress { BACKEND_DONE, BACKEND_LATER };

enum cmd_unblocked {
    CMD_NOT_UNBLOCKED,
    CMD_UNBLOCKED_TIMEOUT,
    CMD_UNBLOCKED_ERROR,
    CMD_UNBLOCKED_DENIED /* its user may no more: acl_reply_denied_now() */
};

/* What an invocation's handler is given. Neither protocol nor connection is in sight. */
struct cmd {
    const struct cmd_def *def;
    struct slice *argv;
    uint32_t argc;
    struct reply *reply;
    struct session *session; /* NULL for the server's own doing */
    struct database *db;
    const struct multi *multi; /* of EXEC and DISCARD */
    struct key key;            /* argv's first key, if the row names one */
    int64_t now_ms;            /* the node's clock when the command began */
    void *blocked_on;          /* private to the backend: the partition that a `retry` met */
    void (*progress_free)(void *progress); /* set with `progress` */

    /* From here to the end all is zero when the command begins: cmd_clear(). A few stores, for each command. */
    struct section *section; /* of a write, or of a read that has to hold its locks; else NULL */
    int64_t
        alive_until_ms;    /* private to the backend: when the first of the keys it found expires */
    int64_t again_at_ms;   /* with `again`: not before this moment of the worker's clock; INT64_MAX:
                           * when unblocked */
    struct block *blocked; /* it waits for data (node/block.h) */
    struct block_ready *ready; /* private to the backend, owned: whom it has to serve when done */
    void (*go_on)(struct cmd *c); /* set with `again`: called then, instead of the row's handler */
    void *progress;               /* owned by such a handler between calls; NULL at the first */
    int64_t sum;                  /* a handler of many arguments: what it counts */
    uint32_t at;                  /* and the next; 0 at the first call */
    bool in_txn;      /* one of several in a section: it must not wait for other clients */
    bool retry;       /* set by a read that met a publication: the handler will run again */
    bool wants_locks; /* set with it by cmd_needs_locks() */
    bool drops_locks; /* set with `again` by a read in a section: what follows needs no locks */
    bool again;       /* set by a handler that has more to do: it is called again in a later turn,
                       * its section (if any) as it left it */
    bool
        wants_all; /* set by a script that met a key which is not locked: it runs again under all */
    bool undo;     /* set by a script that failed: its section is dropped, its reply stays */
    uint8_t unblocked; /* enum cmd_unblocked: set by CLIENT UNBLOCK before it is called again */
};

static inline void cmd_clear(struct cmd *c)
{
    memset((char *)c + offsetof(struct cmd, section), 0,
           sizeof(*c) - offsetof(struct cmd, section));
}

/* Calls its handler, or goes on where it left off. */
static inline void cmd_run(struct cmd *c)
{
    if (UNLIKELY(c->go_on != NULL)) {
        c->go_on(c);
    } else {
        c->def->run(c);
    }
}

/* Arguments that it looks at in a turn. */
enum { CMD_SLICE_ARGS = 1000 };

/* Up to which argument this slice goes, c->at being set to `from` in the first. */
static inline uint32_t cmd_slice_end(struct cmd *c, uint32_t from)
{
    c->at = c->at == 0 ? from : c->at;
    return c->argc - c->at > CMD_SLICE_ARGS ? c->at + CMD_SLICE_ARGS : c->argc;
}

/* Whether the slice was the last; else c->again is set. */
static inline bool cmd_slice_is_last(struct cmd *c)
{
    c->again = c->at < c->argc;
    return !c->again;
}

/* For a read without locks that found more to do than a turn allows: the handler returns at once, and is
 * called from the start under the locks of its keys, c->section set. Then it may set `again`: nobody
 * changes its keys until it has answered, or has taken what it needs and set `drops_locks`. */
static inline void cmd_needs_locks(struct cmd *c)
{
    c->retry = c->wants_locks = true;
}

/* A read of so many keys, which is then to return. */
static inline bool cmd_is_long(struct cmd *c)
{
    if (LIKELY(c->argc <= CMD_SLICE_ARGS) || c->section != NULL) {
        return false;
    }
    cmd_needs_locks(c);
    return true;
}

struct backend {
    /* Neither blocks. */
    enum backend_progress (*run)(struct backend *b, struct session *s, struct batch *batch);
    /* Forget the rest of the batch; on_ready will not be called any more. What has begun may end. */
    void (*cancel)(struct backend *b, struct session *s);
    /* Whether a reply at this position may leave now. If not, on_ready will be called. */
    bool (*may_send)(struct backend *b, struct session *s, uint64_t position);
    /* The session ends: free what was kept for it. NULL if nothing ever is. */
    void (*session_close)(struct backend *b, struct session *s);
    /* RESET: the session goes on, and nothing is watched any more. NULL if nothing ever is. */
    void (*session_reset)(struct backend *b, struct session *s);
    /* CLIENT UNBLOCK and ACL SETUSER: ends a command that waits for other clients, by a timeout's reply or
     * an error. False if none waits; NULL if none ever does. */
    bool (*unblock)(struct backend *b, struct session *s, enum cmd_unblocked why);
};

#endif
