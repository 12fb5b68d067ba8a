/* stream_dump.h - a stream in Redis' dump format: the forms 15, 19 (7.0) and 21 (7.2) are read, 19 is
 * written. Blocks are written as they are, removed entries included, so that a copy trims as this one does. */
#ifndef NODE_STREAM_DUMP_H
#define NODE_STREAM_DUMP_H

#include "node/rdb.h"
#include "node/stream_large.h"

enum { STREAM_DUMP_1 = 1, STREAM_DUMP_2 = 2, STREAM_DUMP_3 = 3 };

/* Reads into a stream that nobody sees. ERR_CORRUPT, ERR_LIMIT, ERR_NOMEM: *out is NULL. */
MUST_CHECK int stream_dump_read(struct rdb_reader *r, int version, struct stream **out);
/* All but the form's number. ERR_NOMEM. */
MUST_CHECK int stream_dump_write(const struct stream *st, struct buf *out);

#endif
