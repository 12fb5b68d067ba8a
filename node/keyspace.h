/* keyspace.h - keys whatever their type: looking up, expiry, deleting, renaming, copying.
 *
 * For command handlers. Reading works the same inside a section and outside; writing needs the
 * section that the executor opened for a CMD_WRITE row. What is returned is borrowed until the
 * worker's turn ends (outside a section), or until the key's next write (inside).
 */
#ifndef NODE_KEYSPACE_H
#define NODE_KEYSPACE_H

#include "edge/backend.h"
#include "node/entry.h"

/* What a look-up for a value of one type comes to. */
enum found { ABSENT, FOUND, WRONG_TYPE };

struct key key_of(struct slice name);
/* The key in argv[index], hashed (the first one's hash was made ahead). */
static inline struct key cmd_key(const struct cmd *c, uint32_t index)
{
    struct slice name = c->argv[index];

    /* Behind an empty argument the next may begin at the same byte. */
    return LIKELY(c->key.name.ptr == name.ptr && c->key.name.len == name.len && name.ptr != NULL)
               ? c->key
               : key_of(name);
}

/* NULL if absent or expired. Counts a hit or a miss, and touches the eviction clock. */
const struct entry *keyspace_find(struct cmd *c, struct key key);
/* The same without counting and touching (OBJECT, TTL, TYPE, DEBUG …). */
const struct entry *keyspace_peek(struct cmd *c, struct key key);

/* False if it was not there. Logged as one delete. The event is "del", or none if it is dropped to make
 * place for another value. */
bool keyspace_delete(struct cmd *c, struct key key);
bool keyspace_drop(struct cmd *c, struct key key);
/* at_ms 0 removes the expiry. The key is there. A moment that has passed deletes the key. */
void keyspace_expire_at(struct cmd *c, struct key key, int64_t at_ms);
/* `from` is there and differs from `to`, whose value is replaced. Expiry goes with the value. */
void keyspace_rename(struct cmd *c, struct key from, struct key to);
void keyspace_copy(struct cmd *c, struct key from, struct key to);
/* Whether either takes longer than a turn may (node/slices.h). */
bool keyspace_is_long(const struct entry *e);
/* The same value under another key or with another expiry; what the payload points to is shared. */
struct entry *keyspace_entry_with(const struct entry *e, struct slice key, int64_t expire_at_ms);
/* All keys of the database (CMD_WHOLE rows). */
void keyspace_flush(struct cmd *c);
/* Whether new entries get an eviction clock: the policy goes by use. */
bool keyspace_clocked(const struct database *db);
uint64_t keyspace_count(struct database *db);
/* As the command sees it: inside a section with what that has added and removed. */
uint64_t keyspace_count_seen(const struct cmd *c);
uint64_t keyspace_count_expiring(struct database *db);
/* How long keys with an expiry still live, on average, as the janitor last saw them. */
int64_t keyspace_mean_ttl_ms(struct database *db);

/* SCAN: a page from `cursor` (0 begins), at least `want` looked at; returns the next, 0 at the end,
 * always below 2^53. Every key there throughout is given; none twice in a walk. fn gets live entries. */
typedef void (*keyspace_scan_fn)(const struct entry *e, void *arg);
uint64_t keyspace_scan(struct cmd *c, uint64_t cursor, size_t want, keyspace_scan_fn fn, void *arg);
/* NULL if the database is empty. */
const struct entry *keyspace_random(struct cmd *c);

/* What an entry takes with its value, by size class (MEMORY USAGE). */
size_t keyspace_bytes(const struct entry *e);
/* OBJECT ENCODING's and TYPE's words. */
const char *keyspace_encoding(const struct entry *e);
const char *keyspace_type(const struct entry *e);

#endif
