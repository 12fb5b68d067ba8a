/* hash_large.h - the large form of a hash: a table of field entries, changed in place.
 *
 * A field is a struct entry (key: its name, payload: its value). Fields that expire stand in a heap as
 * well, so that those whose time has come are counted and removed without a walk; such an entry's clock
 * word holds its place there. A large set is one whose fields have no values (node/type_set.c).
 *
 * Locks  node/large.h's.
 * Undo   a removed field keeps its word in the table, invisible, until the section has ended.
 */
#ifndef NODE_HASH_LARGE_H
#define NODE_HASH_LARGE_H

#include "node/large.h"
#include "node/section.h"
#include "node/table.h"
#include "node/type.h"
#include "node/type_hash.h"

struct hash_due {
    int64_t at_ms;
    struct entry *field;
};

/* Least first, in pages: growing copies no more than pointers. */
struct hash_heap {
    struct hash_due **pages; /* owned */
    uint32_t count;
    uint32_t page_count, page_cap;
};

struct hash_large {
    struct large large; /* first */
    struct table table;
    struct table_stats stats;
    struct hash_heap heap;
    size_t field_bytes;             /* of the entries, by size class */
    _Atomic int64_t next_expiry_ms; /* the earliest; for who holds no lock */
    /* Until when a field is known to live, for who holds no lock; 0: ask under it. While a section
     * holds the hash it is 0, so that nobody goes by what is not published. */
    _Atomic int64_t alive_until_ms;
    struct table_dir *dying; /* what is left to free, once is_dying */
    bool is_dying;
};

static inline struct hash_large *hash_large_of(const struct entry *e)
{
    return e->encoding == ENC_LARGE ? entry_pointer(e) : NULL;
}

/* A hash that the section makes: freed if it is given up. NULL: the section has failed. */
struct hash_large *hash_large_create(struct section *s);
/* Frees a slice (rcu_free_fn); also one that was never published. */
bool hash_large_free(void *object, size_t *budget);
/* One that nobody sees yet, for hash_large_copy(). NULL: no memory. */
struct hash_large *hash_large_blank(void);
/* Some more of the live fields, about `want`: *cursor is 0 to begin with, and at the end. ERR_NOMEM. */
MUST_CHECK int hash_large_copy(struct hash_large *to, struct hash_large *from, int64_t now_ms,
                               uint64_t *cursor, size_t want);

/* A struct type_ops' copy_slice, of types whose large form this is. */
MUST_CHECK int hash_large_copy_slice(struct entry *to, const struct entry *from,
                                     struct type_walk *walk);

/* A struct type_ops' members, of the same. */
const struct table *hash_large_members(const struct entry *e);

/* Reading: under the lock, or in a section. */
size_t hash_large_count(const struct hash_large *l, int64_t now_ms);
size_t hash_large_due(const struct hash_large *l, int64_t now_ms);
/* 0 if there is no live field, else until when one is; INT64_MAX: for good. */
int64_t hash_large_alive_until(const struct hash_large *l, int64_t now_ms);
/* By whoever holds no lock: takes it only when it must. */
enum type_life hash_large_life(struct hash_large *l, int64_t now_ms);
bool hash_large_all_due(const struct hash_large *l, int64_t now_ms);
/* Expired or not, each about as likely; NULL: there is none. */
struct entry *hash_large_random(const struct hash_large *l, struct rand *r);
void hash_large_field(const struct entry *e, struct hash_field *out);

/* Writing, by a section that holds it (large_hold()). ERR_NOMEM: the section has failed. Whatever the field was, it becomes this. */
MUST_CHECK int hash_large_put(struct section *s, struct hash_large *l, const struct hash_field *f);
/* The same for one that is not there, whose hash is known. */
MUST_CHECK int hash_large_add(struct section *s, struct hash_large *l, const struct hash_field *f,
                              uint64_t hash);
/* The field is there, expired or not. */
MUST_CHECK int hash_large_remove(struct section *s, struct hash_large *l, struct entry *field);
/* The earliest due field at now_ms, or NULL. */
struct entry *hash_large_first_due(const struct hash_large *l, int64_t now_ms);

#endif
