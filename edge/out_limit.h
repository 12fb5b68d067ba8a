/* out_limit.h - client-output-buffer-limit: how much a client may leave unread, by its class, as Redis has it.
 *
 *   client-output-buffer-limit  normal 0 0 0  slave 256mb 64mb 60  pubsub 32mb 8mb 60
 *                               class hard soft soft-seconds ...
 *
 * Past `hard` bytes a client is closed; past `soft` when it stays so for longer than its seconds. 0 is no such
 * limit. What counts is what the kernel would not take. output-limit and output-limit-pubsub stand beside them:
 * the smaller counts, so that there is always one. The replicas' class is kept, and shown; there are none yet.
 */
#ifndef EDGE_OUT_LIMIT_H
#define EDGE_OUT_LIMIT_H

#include "base/annot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;

/* Before the settings are read, so that they are checked; and when they are. */
void out_limit_start(void);

/* At most so many bytes may wait for this client. */
size_t out_limit_of(const struct conn *c) ON_WORKER;
/* After each write that left something behind. */
void out_limit_note(struct conn *c, int64_t now_ms) ON_WORKER;
/* Whether it is to be closed. */
bool out_limit_is_passed(struct conn *c, int64_t now_ms) ON_WORKER;

#endif
