/* monitor.h - MONITOR: every command that is carried out, shown to those who ask.
 *
 * Nobody watching costs one relaxed load a batch. Lines are made once, by the worker that ran the
 * commands, and go to each worker with watchers as one message a batch.
 *
 * Limits   what is under way to a worker is bounded; what a watcher has not read, by its output
 *          limit. Past either it is closed.
 * Secrets  rows with CMD_QUIET or CMD_ADMIN are not shown; secret arguments are (redacted)
 *          (edge/secret.h).
 */
#ifndef EDGE_MONITOR_H
#define EDGE_MONITOR_H

#include "base/annot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct conn;
struct request;

extern _Atomic uint32_t monitor_count; /* private */

static inline bool monitor_is_on(void)
{
    /* Relaxed: who begins to watch sees what is run from some moment on, no more is promised. */
    return atomic_load_explicit(&monitor_count, memory_order_relaxed) > 0;
}

void monitor_add(struct conn *c) ON_WORKER;
void monitor_remove(struct conn *c) ON_WORKER;
void monitor_feed(struct conn *c, const struct request *requests, uint32_t count) ON_WORKER COLD;

#endif
