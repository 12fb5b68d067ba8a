/* notify.h - keyspace notifications, and what else a section publishes.
 *
 * To wire a command: after its write, say what happened to the key, in Redis' words.
 *
 *     notify(c, NOTIFY_LIST, "lpush", c->argv[1]);                    in a handler
 *     notify_in(s, NOTIFY_EXPIRED, "expired", key.name);              where only the section is known
 *
 * That costs one predicted branch while notify-keyspace-events does not ask for the class. In a section
 * the event is queued and published with its change's number after the change is visible, before the
 * section's locks are dropped: so the events of one key come in the order of its changes, and nothing of
 * a section that is given up, runs again or fails is ever seen. Outside (a read: "keymiss") it leaves at
 * once. "new" is raised by section_put(), "expired" by section_find(): no handler raises those. "del" of
 * a collection that a command emptied is the handler's (NOTIFY_GENERIC), after its own event.
 */
#ifndef NODE_NOTIFY_H
#define NODE_NOTIFY_H

#include "base/buf.h"
#include "edge/backend.h"
#include "edge/pubsub.h"

#include <stdatomic.h>

enum notify_class {
    NOTIFY_KEYSPACE = 1 << 0,  /* K: to __keyspace@0__:<key>, the event */
    NOTIFY_KEYEVENT = 1 << 1,  /* E: to __keyevent@0__:<event>, the key */
    NOTIFY_GENERIC = 1 << 2,   /* g */
    NOTIFY_STRING = 1 << 3,    /* $ */
    NOTIFY_LIST = 1 << 4,      /* l */
    NOTIFY_SET = 1 << 5,       /* s */
    NOTIFY_HASH = 1 << 6,      /* h */
    NOTIFY_ZSET = 1 << 7,      /* z */
    NOTIFY_EXPIRED = 1 << 8,   /* x */
    NOTIFY_EVICTED = 1 << 9,   /* e */
    NOTIFY_STREAM = 1 << 10,   /* t */
    NOTIFY_KEY_MISS = 1 << 11, /* m; not in A */
    NOTIFY_MODULE = 1 << 12,   /* d */
    NOTIFY_NEW = 1 << 13       /* n; not in A */
};

struct section;

/* private: the classes asked for; 0 if neither K nor E is. */
extern _Atomic uint32_t notify_wanted;

static inline bool notify_wants(enum notify_class class)
{
    /* Relaxed: a setting orders nothing. */
    return UNLIKELY((atomic_load_explicit(&notify_wanted, memory_order_relaxed) & class) != 0);
}

/* private */
void notify_say(struct cmd *c, enum notify_class class, const char *event, struct slice key);
void notify_queue(struct section *s, enum notify_class class, const char *event, struct slice key);

/* `event` is a literal. */
static inline void notify(struct cmd *c, enum notify_class class, const char *event,
                          struct slice key)
{
    if (notify_wants(class)) {
        notify_say(c, class, event, key);
    }
}

static inline void notify_in(struct section *s, enum notify_class class, const char *event,
                             struct slice key)
{
    if (notify_wants(class)) {
        notify_queue(s, class, event, key);
    }
}

/* After a write that took something from the key's collection: the event, and "del" if that was all of it. */
void notify_taken(struct cmd *c, enum notify_class class, const char *event, struct key key);

/* Has notify-keyspace-events take effect, now and whenever it changes. At start, after conf_load(). */
void notify_start(void);

/* ---- What a section publishes at its end (node/section.c) ---- */

/* Zeroed is empty. */
struct notices {
    struct buf bytes;
};

/* False: no memory. */
MUST_CHECK bool notices_event(struct notices *n, enum notify_class class, const char *event,
                              struct slice key);
MUST_CHECK bool notices_message(struct notices *n, enum pubsub_kind kind, struct slice channel,
                                struct slice text);
/* In the order in which they were queued. Cannot fail; leaves it empty. */
void notices_send(struct notices *n, const struct database *db, uint64_t position);
void notices_clear(struct notices *n);
void notices_fini(struct notices *n);

static inline bool notices_is_empty(const struct notices *n)
{
    return LIKELY(n->bytes.len == 0);
}

#endif
