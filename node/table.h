/* table.h - a hash table of entries: readers lock-free under RCU, one writer at a time.
 *
 * A directory, found by the hash's leading bits, points to segments of at most 255 buckets; a bucket
 * is one cache line of eight words; a word is an entry's address with 16 bits of its hash (other bits
 * than those that choose the bucket) in the unused top and flags in the unused bottom. The ninth
 * entry of a bucket moves with the eighth to an overflow array that word 7 then points to.
 *
 * Buckets stand in the order of the hash: bucket = leading bits scaled to the segment's bucket count.
 * So a segment may have any number of buckets, a cursor is simply a hash value, and no split moves it.
 *
 * Invariants (tests/unit/node/test_table.c, tests/prop/table_race.c)
 *  T1  an entry keeps its word while its segment lives; only the eighth moves, behind its old word.
 *  T2  a segment is grown, split or shrunk as a whole: the new ones are complete before the directory
 *      points to them, and the old one is retired, never changed.
 *  T3  table_prepare() does all that can fail; publishing, replacing and removing cannot.
 *  T4  a reader that began after an entry was published and before it was removed finds it.
 *
 * The readers' half (struct table) and the writers' half (struct table_stats) are apart, so that their
 * owner can keep them on different cache lines.
 */
#ifndef NODE_TABLE_H
#define NODE_TABLE_H

#include "base/annot.h"
#include "base/rand.h"
#include "base/slice.h"

#include <stdatomic.h>

struct entry;
struct table_dir;

struct table {
    _Atomic(struct table_dir *) dir; /* NULL while nothing was ever put in */
};

struct table_stats {
    uint64_t count;
    uint64_t expiring; /* entries that have an expiry of their own (ENTRY_EXPIRES) */
    uint64_t watched; /* entries that the janitor looks at: those, and hashes whose fields expire */
    uint64_t bytes;   /* of directory, segments and overflows, by size class */
};

/* A look at the counts while the writer may change them. */
static inline uint64_t table_count(const struct table_stats *s)
{
    return __atomic_load_n(&s->count, __ATOMIC_RELAXED);
}

static inline uint64_t table_count_expiring(const struct table_stats *s)
{
    return __atomic_load_n(&s->expiring, __ATOMIC_RELAXED);
}

static inline uint64_t table_count_watched(const struct table_stats *s)
{
    return __atomic_load_n(&s->watched, __ATOMIC_RELAXED);
}

/* Readers: RCU registered threads. */
struct entry *table_find(const struct table *t, struct slice name, uint64_t hash);
/* The passes of a batch, for prefetching: first the bucket's line, then the entry's. */
struct table_look {
    const struct table *table;
    uint64_t hash;
};
void table_prefetch_bucket(const struct table *t, uint64_t hash);
void table_prefetch_entries(const struct table_look *v, uint32_t n);
/* An entry that may be the hash's, or another's of the same tag: nothing but prefetching may go by it. NULL: none. */
const struct entry *table_guess(const struct table *t, uint64_t hash);

/* Calls fn for the entries at hash positions from `cursor` on, whole positions at a time, until at
 * least `want` were given; returns the next cursor, 0 at the end. A cursor is below 2^32. Every entry
 * that is in the table throughout is given exactly once, over any growth and shrinking. */
typedef void (*table_scan_fn)(struct entry *e, void *arg);
uint64_t table_scan(const struct table *t, uint64_t cursor, size_t want, table_scan_fn fn,
                    void *arg);
/* As table_scan, only entries with an expiry, and looks at no more than `buckets` buckets. */
uint64_t table_scan_expiring(const struct table *t, uint64_t cursor, size_t buckets,
                             table_scan_fn fn, void *arg);
/* An entry, each about as likely; NULL after a few tries in a sparse table: then take a sample. */
struct entry *table_random(const struct table *t, struct rand *r);
/* Up to `want` entries from a random position on; fewer when there are fewer. */
size_t table_sample(const struct table *t, struct rand *r, struct entry **out, size_t want);

/* The writer: holds what keeps others away. `hash` is of the entry's key. */
/* Puts a word for a new entry, invisible to readers until table_publish(). */
MUST_CHECK int table_prepare(struct table *t, struct table_stats *s, struct entry *e,
                             uint64_t hash);
void table_publish(struct table *t, struct table_stats *s, struct entry *e, uint64_t hash);
void table_unprepare(struct table *t, struct table_stats *s, struct entry *e, uint64_t hash);
void table_replace(struct table *t, struct table_stats *s, struct entry *old, struct entry *new,
                   uint64_t hash);
/* table_find(), and table_replace() at the place that it found: as long as nothing else was prepared,
 * removed or shrunk in the table meanwhile (T1). */
typedef _Atomic uintptr_t table_place;
struct entry *table_find_place(const struct table *t, struct slice name, uint64_t hash,
                               table_place **place);
void table_replace_at(table_place *place, struct table_stats *s, struct entry *old,
                      struct entry *new, uint64_t hash);
void table_remove(struct table *t, struct table_stats *s, struct entry *e, uint64_t hash);
/* The reverse of table_publish(): the word stays, invisible, so that publishing again cannot fail. */
void table_conceal(struct table *t, struct table_stats *s, struct entry *e, uint64_t hash);
/* Shrinks the segment around `hash` if it became sparse: one segment, bounded. */
void table_shrink(struct table *t, struct table_stats *s, uint64_t hash);

/* Frees directory and segments, and calls fn for each entry if there is one. Nobody reads any more:
 * in slices, for rcu_retire_object(); `d` is what table_detach() took. */
struct table_dir *table_detach(struct table *t, struct table_stats *s);
/* `t` is empty and gets what `from` has. */
void table_attach(struct table *t, struct table_stats *s, struct table *from,
                  struct table_stats *from_stats);
bool table_dir_free(struct table_dir *d, size_t *budget,
                    bool (*fn)(struct entry *, size_t *budget));

#endif
