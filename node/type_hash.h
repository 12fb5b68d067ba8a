/* type_hash.h - hashes: packed up to hash-max-listpack-*, a table of field entries beyond; each field
 * may have an expiry.
 *
 * A hash whose fields have all expired is absent. Reading a packed hash takes no lock; a large one is
 * read under its own reader-writer lock between hash_open() and hash_close(), and changed in place by
 * the section that took that lock for writing, which keeps an undo record a change.
 *
 * An expired field is invisible at once. Whoever writes the hash next removes it in the same change: all
 * of a packed hash's, some of a large one's; the janitor removes the others.
 */
#ifndef NODE_TYPE_HASH_H
#define NODE_TYPE_HASH_H

#include "base/rand.h"
#include "edge/backend.h"
#include "node/entry.h"
#include "node/large.h"

struct hash_large;

/* A hash being read. */
struct hash {
    struct large_view view;
    struct hash_large *large; /* NULL when packed */
    int64_t now_ms;
};

struct hash_field {
    struct slice name, value;
    int64_t expire_at_ms; /* 0: never */
};

static inline bool hash_field_is_expired(const struct hash_field *f, int64_t now_ms)
{
    return f->expire_at_ms != 0 && f->expire_at_ms <= now_ms;
}

/* FOUND opens it: hash_close() before the handler returns, and before it opens another. What is read
 * is borrowed until then; inside a section until the key's next write. */
enum found hash_open(struct cmd *c, struct key key, struct hash *out);
void hash_close(struct hash *h);

size_t hash_count(const struct hash *h); /* live fields */
size_t hash_bytes(const struct hash *h); /* what it takes, about */
/* Whether looking at all of it takes more than a turn may: then in a section, slice by slice. */
bool hash_is_long(const struct hash *h);
bool hash_get(const struct hash *h, struct slice name, struct hash_field *out);
/* Calls fn for every live field: of a packed hash in the order they were first set. */
typedef void (*hash_each_fn)(const struct hash_field *f, void *arg);
void hash_each(const struct hash *h, hash_each_fn fn, void *arg);
/* HSCAN: as table_scan(); a packed hash is given whole. */
uint64_t hash_scan(const struct hash *h, uint64_t cursor, size_t want, hash_each_fn fn, void *arg);
/* One of the live fields, each about as likely. */
bool hash_random(const struct hash *h, struct rand *r, struct hash_field *out);

/* Writing: within a section. Creates the key if it is absent (the handler has checked its type). */
#define HASH_KEEP_TTL INT64_MIN /* as expire_at_ms: what the field has stays */
/* True if the field is new. expire_at_ms: 0 never. */
bool hash_put(struct cmd *c, struct key key, struct slice name, struct slice value,
              int64_t expire_at_ms);
/* n names and values by turns: one operation, and one new block. Returns how many are new. */
size_t hash_put_many(struct cmd *c, struct key key, const struct slice *pairs, size_t n,
                     int64_t expire_at_ms);
/* Removes the key with its last field. False if it was not there. */
bool hash_remove(struct cmd *c, struct key key, struct slice name);
size_t hash_remove_many(struct cmd *c, struct key key, const struct slice *names, size_t n);
/* The field is there. at_ms 0 persists; a moment that has passed removes the field. */
void hash_expire_at(struct cmd *c, struct key key, struct slice name, int64_t at_ms);

/* The janitor's: removes up to `max` fields whose time has come; returns how many. */
size_t hash_expire_due(struct cmd *c, struct key key, size_t max);
/* The earliest expiry among the fields; 0: none. Any thread that may look at the entry. */
int64_t hash_next_expiry(const struct entry *e);

#endif
