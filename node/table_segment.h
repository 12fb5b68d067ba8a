/* table_segment.h - what a table consists of: words, buckets, segments, the directory. For table*.c alone.
 *
 * A word: | 63…48 tag | 47…4 address | 2 expires | 1 pending | 0 link |. Addresses of entries are 16-byte
 * aligned on 64-bit jemalloc and glibc but for classes under 16 bytes, which no entry has; 8 would
 * do, since bit 3 is free. A link (word 7 only) holds the overflow's capacity where a tag would be.
 */
#ifndef NODE_TABLE_SEGMENT_H
#define NODE_TABLE_SEGMENT_H

#include "node/entry.h"
#include "node/table.h"

enum { SLOTS = 8, LAST = SLOTS - 1 };

#define LINK      ((uintptr_t)1)
#define PENDING   ((uintptr_t)2)
#define EXPIRES   ((uintptr_t)4)
#define ADDRESS   ((uintptr_t)0x0000fffffffffff8u)
#define TAG_SHIFT 48

typedef table_place word;

struct bucket {
    _Alignas(64) word w[SLOTS];
};

struct segment {
    _Alignas(64) uint32_t buckets;
    uint32_t depth; /* leading hash bits that all its entries share */
    uint32_t count; /* writer's: words in use, pending ones included */
    bool dying;
    struct bucket b[];
};

/* A segment's address with its bucket count (bits 48…55) and depth (56…61) in the unused top, so that a
 * look-up does not touch the segment's header: one cache miss less. */
typedef uintptr_t segment_ref;

static inline uint32_t position(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static inline uintptr_t tag(uint64_t hash)
{
    return (uintptr_t)(hash & 0xffff) << TAG_SHIFT;
}

static inline struct entry *entry_of(uintptr_t w)
{
    return (struct entry *)(w & ADDRESS);
}

static inline uintptr_t word_of(const struct entry *e, uint64_t hash)
{
    return (uintptr_t)e | tag(hash) |
           ((e->flags & (ENTRY_EXPIRES | ENTRY_FIELDS_EXPIRE)) != 0 ? EXPIRES : 0);
}

static inline word *link_words(uintptr_t w)
{
    return (word *)(w & ADDRESS);
}

static inline uint32_t link_cap(uintptr_t w)
{
    return (uint32_t)(w >> TAG_SHIFT);
}

static inline struct segment *ref_segment(segment_ref r)
{
    return (struct segment *)(r & ADDRESS);
}

static inline segment_ref ref_of(const struct segment *s)
{
    return (segment_ref)s | (segment_ref)s->buckets << 48 | (segment_ref)s->depth << 56;
}

static inline uint32_t scaled(uint32_t pos, uint32_t depth, uint32_t buckets)
{
    return (uint32_t)(((uint64_t)(uint32_t)(pos << depth) * buckets) >> 32);
}

static inline uint32_t bucket_index(const struct segment *s, uint32_t pos)
{
    return scaled(pos, s->depth, s->buckets);
}

struct table_dir {
    uint32_t depth;
    _Atomic segment_ref seg[];
};

static inline segment_ref ref_at(const struct table_dir *d, uint32_t pos)
{
    /* Acquire: pairs with the release in point_to() (table.c). */
    return atomic_load_explicit(&d->seg[((uint64_t)pos << d->depth) >> 32], memory_order_acquire);
}

static inline struct segment *segment_at(const struct table_dir *d, uint32_t pos)
{
    return ref_segment(ref_at(d, pos));
}

/* The bucket where the hash belongs, or NULL: no table yet. */
static inline const struct bucket *bucket_find(const struct table *t, uint64_t hash)
{
    /* Acquire: pairs with the release in set_dir() (table.c). */
    const struct table_dir *d = atomic_load_explicit(&t->dir, memory_order_acquire);

    if (UNLIKELY(d == NULL)) {
        return NULL;
    }
    segment_ref r = ref_at(d, position(hash));

    return &ref_segment(r)->b[scaled(position(hash), (r >> 56) & 63, (r >> 48) & 255)];
}

static inline size_t table_segment_bytes(uint32_t buckets)
{
    return sizeof(struct segment) + (size_t)buckets * sizeof(struct bucket);
}

/* NULL: no memory. */
MUST_CHECK struct segment *table_segment_create(uint32_t buckets, uint32_t depth);
/* Of a segment that nobody has seen, or sees any more. */
void table_segment_drop(struct segment *s);
/* The same as an rcu_free_fn. */
bool table_segment_free(void *object, size_t *budget);
/* With its overflows, by size class. */
size_t table_segment_footprint(const struct segment *s);

/* Puts a word into a bucket: an empty word, or the overflow, which is made, or replaced by one of
 * twice the size. `seen`: the segment is published, so what it replaces must be retired. */
MUST_CHECK int table_bucket_put(struct table_stats *st, struct bucket *b, uintptr_t w, bool seen);

/* The words of a bucket and its overflow, in no order. */
typedef void (*word_fn)(uintptr_t w, void *arg);
void table_bucket_each(const struct bucket *b, word_fn fn, void *arg);

#endif
