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

#include <assert.h>
#include <stdatomic.h>

enum value_type {
    TYPE_STRING,
    TYPE_LIST,
    TYPE_SET,
    TYPE_ZSET,
    TYPE_HASH,
    TYPE_STREAM,
    TYPE_JSON,
    VALUE_TYPES
};

enum encoding {
    ENC_BYTES,  /* string: the payload is the value */
    ENC_INT,    /* string: the payload is an int64_t in the machine's order */
    ENC_TREE,   /* string over ENTRY_INLINE_MAX: struct tree_ref (node/blocks.h) */
    ENC_PACKED, /* collection: an immutable packed block */
    ENC_LARGE   /* collection: a pointer to a mutable structure with a lock of its own */
};

enum { ENTRY_INLINE_MAX = 16 << 10 };

enum entry_flag {
    ENTRY_EXPIRES = 1,  /* has an expiry */
    ENTRY_CLOCKED = 2,  /* has an eviction clock */
    ENTRY_LONG_KEY = 4, /* the key is longer than 255 bytes */
    ENTRY_FIELDS_EXPIRE =
        8,         /* a hash, some field of which has an expiry: the janitor looks at it */
    ENTRY_RAW = 16 /* a string that was changed in place: for OBJECT ENCODING's word only */
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

/* ---- Reading: in the header, since every look-up does it ---- */

/* After the header: expiry (8) if any, clock (4) if any, long key length (4) if any, key, payload.
 * Expiry first, so that it and the clock are aligned. */
static inline size_t entry_key_at(const struct entry *e)
{
    return ((e->flags & ENTRY_EXPIRES) != 0 ? 8 : 0) + ((e->flags & ENTRY_CLOCKED) != 0 ? 4 : 0) +
           ((e->flags & ENTRY_LONG_KEY) != 0 ? 4 : 0);
}

static inline size_t entry_key_len(const struct entry *e, size_t at)
{
    uint32_t len = e->key_len;

    if (UNLIKELY((e->flags & ENTRY_LONG_KEY) != 0)) {
        memcpy(&len, e->rest + at - 4, sizeof(len));
    }
    return len;
}

/* As it was asked of the allocator. */
static inline size_t entry_bytes(const struct entry *e)
{
    size_t at = entry_key_at(e);

    return sizeof(*e) + at + entry_key_len(e, at) + e->payload_len;
}

static inline struct slice entry_key(const struct entry *e)
{
    size_t at = entry_key_at(e);

    return (struct slice){e->rest + at, entry_key_len(e, at)};
}

static inline struct slice entry_payload(const struct entry *e)
{
    size_t at = entry_key_at(e);

    return (struct slice){e->rest + at + entry_key_len(e, at), e->payload_len};
}

static inline char *entry_payload_ptr(struct entry *e)
{
    size_t at = entry_key_at(e);

    return e->rest + at + entry_key_len(e, at);
}

/* 0: never. */
static inline int64_t entry_expire_at_ms(const struct entry *e)
{
    int64_t at_ms = 0;

    if ((e->flags & ENTRY_EXPIRES) != 0) {
        memcpy(&at_ms, e->rest, 8);
    }
    return at_ms;
}

/* NULL if it has none. See node/evict.h for what the word holds. */
static inline _Atomic uint32_t *entry_clock(const struct entry *e)
{
    if ((e->flags & ENTRY_CLOCKED) == 0) {
        return NULL;
    }
    size_t at = (e->flags & ENTRY_EXPIRES) != 0 ? 8 : 0;

    /* The one word of a published entry that readers write: aligned, since entries are, by 8. */
    return (_Atomic uint32_t *)(uintptr_t)(e->rest + at);
}

/* Of ENC_INT and ENC_LARGE. */
static inline int64_t entry_int(const struct entry *e)
{
    int64_t value;

    assert(e->encoding == ENC_INT);
    memcpy(&value, entry_payload(e).ptr, sizeof(value));
    return value;
}

static inline void *entry_pointer(const struct entry *e)
{
    void *p;

    assert(e->payload_len >= sizeof(p));
    memcpy(&p, entry_payload(e).ptr, sizeof(p));
    return p;
}

static inline bool entry_is_expired(const struct entry *e, int64_t now_ms)
{
    return (e->flags & ENTRY_EXPIRES) != 0 && entry_expire_at_ms(e) <= now_ms;
}

#endif
