/* slowlog.h - the commands that ran longest ago, SLOWLOG's ring.
 *
 * Limits   slowlog-max-len entries, each of at most 32 arguments of 128 bytes.
 * Secrets  rows with CMD_QUIET are not kept; secret arguments are "(redacted)".
 * Threads  any; a lock is held for the copy, which only slow commands pay for.
 */
#ifndef NODE_SLOWLOG_H
#define NODE_SLOWLOG_H

#include "base/annot.h"
#include "base/slice.h"

#include <stdint.h>

struct cmd_def;
struct reply;

struct slowlog_call {
    const struct cmd_def *def;
    const struct slice *argv;
    uint32_t argc;
    int64_t usec;
    struct slice peer, name; /* of the client; may be empty */
};

/* Keeps it if it took at least slowlog-log-slower-than. */
void slowlog_note(const struct slowlog_call *call) ON_ANY COLD;
/* Up to `max` entries, the latest first, as SLOWLOG GET has them. */
void slowlog_reply(struct reply *r, uint64_t max) ON_ANY;
uint64_t slowlog_count(void) ON_ANY;
void slowlog_reset(void) ON_ANY;

#endif
