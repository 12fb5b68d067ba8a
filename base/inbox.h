/* inbox.h - the only way to hand work to another worker.
 *
 * An intrusive queue with many producers and one consumer, the worker that owns it. Pushing takes no
 * lock and allocates nothing: a message carries its own link.
 *
 * Ownership  inbox_push() takes the message for good. inbox_drain() gives each one to its fn, which
 *            frees it or sends it on.
 * Order      one producer's messages arrive in the order it pushed them; nothing is promised between
 *            producers.
 * Limits     none of its own, so whoever makes messages bounds them.
 */
#ifndef BASE_INBOX_H
#define BASE_INBOX_H

#include "base/annot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct inbox_msg {
    struct inbox_msg *next; /* private */
    void (*fn)(struct inbox_msg *msg);
};

struct inbox {
    _Atomic(struct inbox_msg *) top; /* a stack: drain() turns it round */
};

/* True when the inbox was empty, so that the owner has to be woken. */
bool inbox_push(struct inbox *b, struct inbox_msg *msg) ON_ANY;

/* Runs what had arrived at the call, not what arrives meanwhile, so that two workers that answer each
 * other cannot starve their sockets. Returns how many. */
size_t inbox_drain(struct inbox *b) ON_WORKER;

#endif
