/* multi.h - the commands that a connection has queued behind MULTI, until EXEC hands them to the backend.
 *
 * Ownership  the queue owns copies: what was parsed is gone by EXEC. A connection has one at the most, made
 *            by MULTI, ended by EXEC, DISCARD, RESET or its own end.
 * Limits     its bytes count against client-query-buffer-limit.
 */
#ifndef EDGE_MULTI_H
#define EDGE_MULTI_H

#include "edge/backend.h"

struct multi {
    struct request *requests; /* owned */
    uint32_t count, cap;
    size_t bytes;    /* of all it owns */
    bool is_spoiled; /* something was refused: EXEC will be */
};

/* NULL: no memory. */
struct multi *multi_create(void);
/* NULL is fine. */
void multi_destroy(struct multi *m);
/* A copy of a request that may be queued. ERR_NOMEM, or ERR_LIMIT past bytes_max: then nothing was. */
MUST_CHECK int multi_add(struct multi *m, const struct request *q, size_t bytes_max);

#endif
