/* dump.h - one value as Redis' DUMP has it: what RESTORE and other servers read.
 *
 *    type (a byte), value, version (two bytes, little-endian), CRC-64 of all before it
 *
 * Written are version 10 and forms that Redis 7.0 reads, except a hash whose fields expire, which
 * needs version 12 (7.4). Read is everything up to version 12 for the types that are built. A type to
 * come adds its rows to the tables in dump_read.c, dump_write.c and dump.c.
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
#include "node/type_hash.h"
#include "node/type_string.h"

enum { DUMP_VERSION = 10, DUMP_VERSION_FIELDS_EXPIRE = 12, DUMP_VERSION_MAX = 12 };

struct dump_value {
    enum value_type type;
    struct slice string;
    struct hash_field *fields; /* owned; a list's elements and the members of sets are names */
    size_t count, cap;         /* of fields */
    struct stream **stream;    /* owned, as what it points to, until that is stored (then NULL) */
    struct buf json;           /* a document */
    struct rdb_memory memory;
};

/* Appends the value of a key that is there. ERR_NOMEM; ERR_INVALID when its type cannot be dumped. */
MUST_CHECK int dump_write(struct cmd *c, struct key key, const struct entry *e, struct buf *out);

/* The same of a value that takes longer than a turn may, in a section; what a turn allows at a time. */
struct dump_writing {
    struct buf out; /* the payload */
    bool is_done;
    bool needs_lock; /* … of the key, for the next slice */
    /* private */
    const struct entry *entry;
    struct key key;
    struct string_value string;
    bool holds; /* it */
    struct hash hash;
    uint64_t at;       /* of the string, or a hash's cursor */
    uint64_t earliest; /* of the hash's fields */
    bool looked, written;
    uint16_t version;
    uint64_t crc;
    size_t checked;
};
bool dump_is_long(const struct entry *e);
/* Whether it has slices of its own; else dump_write() has what node/slices.h asks. */
bool dump_has_slices(const struct entry *e);
/* NULL: no memory. */
struct dump_writing *dump_writing_create(struct cmd *c, struct key key, const struct entry *e);
/* ERR_NOMEM; ERR_INVALID as dump_write(). */
MUST_CHECK int dump_write_slice(struct cmd *c, struct dump_writing *w);
void dump_writing_destroy(void *w);

/* Version and checksum. */
MUST_CHECK bool dump_is_sound(struct slice payload);
/* Of a sound payload. ERR_CORRUPT, ERR_LIMIT, ERR_NOMEM; in any case dump_value_fini() afterwards. */
MUST_CHECK int dump_read(struct slice payload, struct dump_value *out);
/* The key, which is absent, becomes the value. */
void dump_store(struct cmd *c, struct key key, const struct dump_value *v, int64_t expire_at_ms);
void dump_value_fini(struct dump_value *v);

#endif
