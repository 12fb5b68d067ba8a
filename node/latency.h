/* latency.h - moments when something took long, for LATENCY.
 *
 * Limits   LATENCY_EVENTS names, the last LATENCY_SAMPLES moments of each, one a second.
 * Threads  any; a lock is held, which only what is slow pays for.
 */
#ifndef NODE_LATENCY_H
#define NODE_LATENCY_H

#include "base/annot.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { LATENCY_EVENTS = 16, LATENCY_SAMPLES = 160 };

struct latency_sample {
    int64_t at_s;
    uint32_t ms;
};

struct latency_event {
    const char *name;
    struct latency_sample samples[LATENCY_SAMPLES]; /* a ring */
    uint32_t next;                                  /* where the next one goes */
    uint32_t max_ms;
};

/* `event` lives for ever: "command", "fast-command", "expire-cycle", "eviction-cycle" … Keeps it if
 * it took at least latency-monitor-threshold. */
void latency_note(const char *event, int64_t ms) ON_ANY COLD;

/* Copies of what is known; returns how many. */
uint32_t latency_events(struct latency_event out[LATENCY_EVENTS]) ON_ANY;
/* False if it never happened. */
bool latency_event(struct slice name, struct latency_event *out) ON_ANY;
/* Into LATENCY_SAMPLES places, the oldest first; returns how many. */
uint32_t latency_history(const struct latency_event *e, struct latency_sample *out) ON_ANY;
/* Forgets one, or all if name.ptr is NULL; returns how many. */
uint32_t latency_reset(struct slice name) ON_ANY;

#endif
