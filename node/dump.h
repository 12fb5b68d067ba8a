/* dump.h - one value as Redis' DUMP has it: what RESTORE and other servers read.
 *
 *    type (a byte), value, version (two bytes, little-endian), CRC-64 of all before it
 *
 * Written are version 10 and forms that Redis 7.0 reads, except a hash whose fields expire, which
 * needs version 12 (7.4). Read is everything up to version 12 for the types that are built. A type to
 * come adds its rows to the two tables in dump.c.
 *
 * Reading is apart from storing, so that all that can be wrong is known before anything is written.
 *
 * Ownership  a dump_value borrows from the payload and owns what it had to make: dump_value_fini().
 */
#ifndef NODE_DUMP_H
#define NODE_DUMP_H

#include "edge/backend.h"
#include "node/entry.h"
#include "node/rdb.h"

enum { DUMP_VERSION = 10, DUMP_VERSION_FIELDS_EXPIRE = 12, DUMP_VERSION_MAX = 12 };

struct dump_value {
    enum value_type type;
    struct slice string;
    struct hash_field *fields; /* owned; a list's elements are names */
    size_t count, cap;         /* of fields */
    struct stream **stream;    /* owned, as what it points to, until that is stored (then NULL) */
    struct rdb_memory memory;
};

/* Appends the value of a key that is there. ERR_NOMEM; ERR_INVALID when its type cannot be dumped. */
MUST_CHECK int dump_write(struct cmd *c, struct key key, const struct entry *e, struct buf *out);

/* Version and checksum. */
MUST_CHECK bool dump_is_sound(struct slice payload);
/* Of a sound payload. ERR_CORRUPT, ERR_LIMIT, ERR_NOMEM; in any case dump_value_fini() afterwards. */
MUST_CHECK int dump_read(struct slice payload, struct dump_value *out);
/* The key, which is absent, becomes the value. */
void dump_store(struct cmd *c, struct key key, const struct dump_value *v, int64_t expire_at_ms);
void dump_value_fini(struct dump_value *v);

#endif
