/* json_dump.h - a document in Redis' dump format, as the module RedisJSON writes it: form 7, the module's
 * name and version as a number, a string with JSON text. Version 3 is read and written. */
#ifndef NODE_JSON_DUMP_H
#define NODE_JSON_DUMP_H

#include "node/json_doc.h"
#include "node/rdb.h"

/* Behind the form's number; appends the value. ERR_CORRUPT, ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK int json_dump_read(struct rdb_reader *r, struct buf *out);
/* Likewise. ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK int json_dump_write(const char *value, struct buf *out);

#endif
