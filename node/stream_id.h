/* stream_id.h - what orders a stream: milliseconds and a counter within them. */
#ifndef NODE_STREAM_ID_H
#define NODE_STREAM_ID_H

#include "base/annot.h"
#include "base/slice.h"

struct stream_id {
    uint64_t ms, seq;
};

#define STREAM_ID_MIN ((struct stream_id){0, 0})
#define STREAM_ID_MAX ((struct stream_id){UINT64_MAX, UINT64_MAX})

enum { STREAM_ID_TEXT_MAX = 41 };

static inline int stream_id_order(struct stream_id a, struct stream_id b)
{
    if (a.ms != b.ms) {
        return a.ms < b.ms ? -1 : 1;
    }
    return (a.seq > b.seq) - (a.seq < b.seq);
}

static inline bool stream_id_is_zero(struct stream_id id)
{
    return id.ms == 0 && id.seq == 0;
}

/* False when there is none after (before) it. */
static inline bool stream_id_next(struct stream_id *id)
{
    if (id->seq < UINT64_MAX) {
        id->seq++;
    } else if (id->ms < UINT64_MAX) {
        *id = (struct stream_id){id->ms + 1, 0};
    } else {
        return false;
    }
    return true;
}

static inline bool stream_id_previous(struct stream_id *id)
{
    if (id->seq > 0) {
        id->seq--;
    } else if (id->ms > 0) {
        *id = (struct stream_id){id->ms - 1, UINT64_MAX};
    } else {
        return false;
    }
    return true;
}

/* "ms-seq", or "ms" alone, for which the counter is then `missing`. */
MUST_CHECK bool stream_id_parse(struct slice text, uint64_t missing, struct stream_id *out);
size_t stream_id_print(char out[STREAM_ID_TEXT_MAX], struct stream_id id);

#endif
