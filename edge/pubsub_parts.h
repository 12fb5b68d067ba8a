/* pubsub_parts.h - what the table of channels consists of. For pubsub.c, which keeps it and publishes, and
 * pubsub_conn.c, a connection's own list of what it listens to. */
#ifndef EDGE_PUBSUB_PARTS_H
#define EDGE_PUBSUB_PARTS_H

#include "base/hash.h"
#include "base/inbox.h"
#include "base/list.h"
#include "base/lock.h"
#include "edge/pubsub.h"

#include <stdatomic.h>

enum { PUBSUB_STRIPES = 64, PUBSUB_BUCKETS_FIRST = 8 };

struct conn_set;

/* A channel's listeners on one worker. */
struct seat {
    struct channel *channel; /* while it has listeners */
    struct conn_set *set;
    struct seat *next; /* of the channel's; guarded as the channel is */
    uint32_t count;    /* of listeners; guarded as the channel is */
    struct list subs;  /* struct sub.link; the worker's */
    _Atomic uint32_t
        under_way; /* messages; raised under the channel's lock, lowered by the worker */
    bool is_gone;  /* the worker's: its last listener left, the last message frees it */
    /* Where no memory is for a message's way: this one, which closes who was to get it (P4). */
    struct inbox_msg lost;
    _Atomic bool is_lost; /* it is on its way */
    _Atomic uint64_t lost_arrivals;
};

/* Guarded by its stripe's lock; a pattern's seats by its space's lock of patterns besides, since
 * publishers come to them that way. */
struct channel {
    struct channel *next; /* of the bucket */
    struct space *space;
    struct seat *seats;
    struct list link; /* of a pattern: space.patterns */
    uint64_t hash;
    uint64_t arrivals; /* subscriptions so far */
    enum pubsub_kind kind;
    size_t name_len;
    size_t head_len; /* of a pattern: what its messages begin with, behind the name */
    char bytes[];
};

struct stripe {
    struct lock lock;
    uint32_t cap, count; /* cap: a power of two, or 0 */
    struct channel **buckets;
};

/* One for each database; kept for good, as the databases are. */
struct space {
    struct space *next;
    const struct database *db;
    _Atomic uint64_t counts[PUBSUB_KINDS];
    struct lock patterns_lock;
    struct list patterns; /* struct channel.link */
    struct stripe stripes[PUBSUB_STRIPES];
};

/* One connection at one channel. */
struct sub {
    struct list link; /* of the seat's */
    struct sub *next; /* of the connection's bucket */
    struct seat *seat;
    struct conn *conn;
    uint64_t arrival;
};

/* Subscriptions of all connections. */
extern _Atomic uint64_t pubsub_subscriptions_all;

static inline uint64_t pubsub_hash(enum pubsub_kind kind, struct slice name)
{
    return hash_key(name) + (uint64_t)kind * 0x9e3779b97f4a7c15u;
}

static inline struct slice pubsub_name(const struct channel *ch)
{
    return (struct slice){ch->bytes, ch->name_len};
}

bool pubsub_is_channel(const struct channel *ch, enum pubsub_kind kind, struct slice name,
                       uint64_t hash);
/* NULL: no memory. */
struct space *pubsub_space_make(const struct database *db);
/* One listener more on this worker; *arrival is its number at the channel. NULL: no memory. */
struct seat *pubsub_arrive(struct space *s, struct conn_set *set, enum pubsub_kind kind,
                           struct slice name, uint64_t hash, uint64_t *arrival);
/* One less. */
void pubsub_depart(struct seat *seat);

#endif
