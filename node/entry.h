/* entry.h - how a key, its value and what is known of them lie in memory.
 *
 * One allocation: an 8-byte header, the expiry if it has one, the eviction clock if it has one, the
 * key, the payload. The payload is the value itself (a string up to 16 KiB, a packed collection), or
 * a pointer to what holds it (a tree of blocks, a large collection). Nothing in a published entry
 * changes but its clock: whoever changes a value publishes a new entry.
 *
 * A field of a large hash is an entry too (key: the field's name), so one table serves both.
 */
#ifndef NODE_ENTRY_H
#define NODE_ENTRY_H

#include "base/annot.h"
#include "base/slice.h"

#include <stdatomic.h>

enum value_type { TYPE_STRING, TYPE_LIST, TYPE_SET, TYPE_ZSET, TYPE_HASH, TYPE_STREAM, TYPE_JSON,
                  VALUE_TYPES };

enum encoding {
    ENC_BYTES, /* string: the payload is the value */
    ENC_INT,   /* string: the payload is an int64_t in the machine's order */
    ENC_TREE,  /* string over ENTRY_INLINE_MAX: struct tree_ref (node/blocks.h) */
    ENC_PACKED, /* collection: an immutable packed block */
    ENC_LARGE   /* collection: a pointer to a mutable structure with a lock of its own */
};

enum { ENTRY_INLINE_MAX = 16 << 10 };

enum entry_flag {
    ENTRY_EXPIRES = 1, /* has an expiry */
    ENTRY_CLOCKED = 2, /* has an eviction clock */
    ENTRY_LONG_KEY = 4, /* the key is longer than 255 bytes */
    ENTRY_FIELDS_EXPIRE = 8 /* a hash, some field of which has an expiry: the janitor looks at it */
};

struct entry {
    uint8_t type;     /* enum value_type */
    uint8_t encoding; /* enum encoding */
    uint8_t flags;    /* enum entry_flag */
    uint8_t key_len;  /* private; 0 with ENTRY_LONG_KEY: a 32-bit length stands before the key */
    uint32_t payload_len;
    char rest[]; /* private */
};

struct entry_spec {
    enum value_type type;
    enum encoding encoding;
    struct slice key;
    size_t payload_len;
    int64_t expire_at_ms; /* 0: never */
    bool clocked;
};

/* The payload is for the caller to fill in. NULL: no memory. */
MUST_CHECK struct entry *entry_create(const struct entry_spec *spec);
/* Frees the entry alone, not what its payload points to. */
void entry_free(struct entry *e);
size_t entry_bytes(const struct entry *e); /* as it was asked of the allocator */

struct slice entry_key(const struct entry *e);
struct slice entry_payload(const struct entry *e);
char *entry_payload_ptr(struct entry *e);
int64_t entry_expire_at_ms(const struct entry *e); /* 0: never */
/* NULL if it has none. See node/evict.h for what the word holds. */
_Atomic uint32_t *entry_clock(const struct entry *e);

/* Of ENC_INT and ENC_LARGE. */
int64_t entry_int(const struct entry *e);
void *entry_pointer(const struct entry *e);

static inline bool entry_is_expired(const struct entry *e, int64_t now_ms)
{
    return (e->flags & ENTRY_EXPIRES) != 0 && entry_expire_at_ms(e) <= now_ms;
}

#endif
