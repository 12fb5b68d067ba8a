#include "node/table.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "node/entry.h"
#include "node/table_segment.h"

#include <assert.h>
#if defined(__SSE4_1__)
#include <smmintrin.h>
#endif

/* ThreadSanitizer sees the loads of a vector as plain ones. */
#if defined(__SANITIZE_THREAD__)
#define TABLE_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TABLE_UNDER_TSAN 1
#endif
#endif
#ifndef TABLE_UNDER_TSAN
#define TABLE_UNDER_TSAN 0
#endif

enum { DEPTH_MAX = 26 };

/* Bucket counts: with the 64-byte header each is exactly a size class of the allocator. */
static const uint16_t sizes[] = {1, 2, 3, 5, 7, 11, 15, 23, 31, 47, 63, 95, 127, 191, 255};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), SIZE_MAX_BUCKETS = 255 };

/* Mean entries a bucket at which a segment grows: with Poisson's tail an overflow then costs 9 bytes
 * a bucket, and the table 10.7 to 15 bytes an entry. Tenths. */
enum { FULL_TENTHS = 68, SPARSE_TENTHS = 20 };

static inline bool names(const struct entry *e, struct slice name)
{
    return slice_is_name(entry_key(e), name); /* an empty name may have no address */
}

static inline bool may_be(uintptr_t w, uintptr_t want)
{
    /* An empty word has tag 0 and no address; a pending one is not there yet. */
    return ((w ^ want) >> TAG_SHIFT) == 0 && (w & (LINK | PENDING)) == 0 && (w & ADDRESS) != 0;
}

static word *find_overflow(uintptr_t link, struct slice name, uintptr_t want, struct entry **found)
{
    word *o = link_words(link);

    for (uint32_t i = 0, n = link_cap(link); i < n; i++) {
        uintptr_t w = atomic_load_explicit(&o[i], memory_order_acquire);

        if (may_be(w, want) && names(entry_of(w), name)) {
            *found = entry_of(w);
            return &o[i];
        }
    }
    return NULL;
}

/* Which words carry the tag, two bits a word. Compared two at a time and without branches: where in
 * its bucket an entry stands cannot be predicted, and a misprediction costs as much as a bucket in the
 * cache (bench/table.c: 140 to 95 ns a look-up prefetched, 120 to 80 a miss). A candidate is loaded
 * again, by itself and with acquire, before it is used. */
#if defined(__SSE4_1__) && !TABLE_UNDER_TSAN
static inline uint32_t candidates(const struct bucket *b, uintptr_t want)
{
    const __m128i *two = (const __m128i *)(const void *)b->w;
    __m128i tags = _mm_set1_epi64x((long long)(want >> TAG_SHIFT));
    __m128i same[SLOTS / 2];

    for (int i = 0; i < SLOTS / 2; i++) {
        same[i] = _mm_cmpeq_epi64(_mm_srli_epi64(_mm_load_si128(two + i), TAG_SHIFT), tags);
    }
    /* On x86 a load is an acquire; this keeps the compiler from moving it behind a later one. Pairs
     * with the release in table_publish() and the like; a miss is an observation too. */
    /* lint: of the compiler only; under TSan the other branch is built */
    atomic_signal_fence(memory_order_acquire);
    return (uint32_t)_mm_movemask_epi8(
        _mm_packs_epi16(_mm_packs_epi32(same[0], same[1]), _mm_packs_epi32(same[2], same[3])));
}
#else
static inline uint32_t candidates(const struct bucket *b, uintptr_t want)
{
    uint32_t found = 0;

    for (int i = 0; i < SLOTS; i++) {
        /* Acquire: as above. */
        uintptr_t w = atomic_load_explicit(&b->w[i], memory_order_acquire);

        found |= (uint32_t)(((w ^ want) >> TAG_SHIFT) == 0) << (2 * i);
    }
    return found;
}
#endif

static inline uint32_t first_of(uint32_t candidates)
{
    return (uint32_t)__builtin_ctz(candidates) / 2;
}

/* The word that holds the key's entry, which is *found; NULL: none, and *found is as it was. */
static inline const word *find(const struct table *t, struct slice name, uint64_t hash,
                               struct entry **found)
{
    const struct bucket *b = bucket_find(t, hash);
    uintptr_t want = tag(hash);

    if (b == NULL) {
        return NULL;
    }

    for (uint32_t left = candidates(b, want); left != 0; left &= ~(3u << 2 * first_of(left))) {
        /* Acquire: pairs with the release in table_publish() and the like. */
        uintptr_t w = atomic_load_explicit(&b->w[first_of(left)], memory_order_acquire);

        if (may_be(w, want) && names(entry_of(w), name)) {
            *found = entry_of(w);
            return &b->w[first_of(left)];
        }
    }
    /* Acquire: pairs with the release in make_room(). */
    uintptr_t last = atomic_load_explicit(&b->w[LAST], memory_order_acquire);

    return (last & LINK) != 0 ? find_overflow(last, name, want, found) : NULL;
}

HOT struct entry *table_find(const struct table *t, struct slice name, uint64_t hash)
{
    struct entry *found = NULL;

    (void)find(t, name, hash, &found);
    return found;
}

struct entry *table_find_place(const struct table *t, struct slice name, uint64_t hash,
                               table_place **place)
{
    struct entry *found = NULL;

    *place = (word *)(uintptr_t)find(t, name, hash, &found);
    return found;
}

void table_prefetch_bucket(const struct table *t, uint64_t hash)
{
    __builtin_prefetch(bucket_find(t, hash));
}

static inline void prefetch_entry(const struct table *t, uint64_t hash)
{
    const struct bucket *b = bucket_find(t, hash);

    if (b == NULL) {
        return;
    }
    /* Without a candidate the last word is as good a guess as any: it may be the overflow's. */
    uint32_t found = candidates(b, tag(hash)) | 1u << 2 * LAST;
    uintptr_t w = atomic_load_explicit(&b->w[first_of(found)], memory_order_acquire);

    __builtin_prefetch(entry_of(w));
    __builtin_prefetch((const char *)entry_of(w) + 64);
}

HOT void table_prefetch_entries(const struct table_look *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        prefetch_entry(v[i].table, v[i].hash);
    }
}

const struct entry *table_guess(const struct table *t, uint64_t hash)
{
    const struct bucket *b = bucket_find(t, hash);
    uint32_t found = b == NULL ? 0 : candidates(b, tag(hash));

    if (found == 0) {
        return NULL;
    }
    /* Acquire: pairs with the release in table_publish() and the like. */
    uintptr_t w = atomic_load_explicit(&b->w[first_of(found)], memory_order_acquire);

    return may_be(w, tag(hash)) ? entry_of(w) : NULL;
}

/* ---- The directory ---- */

static size_t dir_bytes(uint32_t depth)
{
    return sizeof(struct table_dir) + ((size_t)1 << depth) * sizeof(segment_ref);
}

static void set_dir(struct table *t, struct table_dir *d)
{
    /* Release: pairs with the acquire in bucket_find(). */
    atomic_store_explicit(&t->dir, d, memory_order_release);
}

/* The segment whose entries share the leading s->depth bits of pos takes its places. */
static void point_to(struct table_dir *d, struct segment *s, uint32_t pos)
{
    uint32_t span = d->depth - s->depth;
    uint64_t first = (((uint64_t)pos << s->depth) >> 32) << span;

    for (uint64_t i = first; i < first + ((uint64_t)1 << span); i++) {
        /* Release: T2, complete before it is pointed to. */
        atomic_store_explicit(&d->seg[i], ref_of(s), memory_order_release);
    }
}

static struct table_dir *dir_of(struct table *t)
{
    return atomic_load_explicit(&t->dir, memory_order_relaxed);
}

static int dir_double(struct table *t, struct table_stats *st)
{
    struct table_dir *old = dir_of(t);

    if (old->depth >= DEPTH_MAX || rcu_reserve(1) != OK) {
        return ERR_NOMEM;
    }
    struct table_dir *d = mem_alloc(dir_bytes(old->depth + 1));

    if (d == NULL) {
        return ERR_NOMEM;
    }
    d->depth = old->depth + 1;
    for (uint64_t i = 0; i < (uint64_t)1 << d->depth; i++) {
        atomic_init(&d->seg[i], atomic_load_explicit(&old->seg[i / 2], memory_order_relaxed));
    }
    set_dir(t, d);
    st->bytes += mem_size(dir_bytes(d->depth)) - mem_size(dir_bytes(old->depth));
    rcu_retire(old, dir_bytes(old->depth));
    return OK;
}

static int table_begin(struct table *t, struct table_stats *st)
{
    struct table_dir *d = mem_alloc(dir_bytes(0));
    struct segment *s = table_segment_create(1, 0);

    if (d == NULL || s == NULL) {
        mem_free(d, dir_bytes(0));
        table_segment_drop(s);
        return ERR_NOMEM;
    }
    d->depth = 0;
    atomic_init(&d->seg[0], ref_of(s));
    st->bytes += mem_size(dir_bytes(0)) + mem_size(table_segment_bytes(1));
    set_dir(t, d);
    return OK;
}

/* ---- Growing and shrinking: one segment, in one publication ---- */

static uint32_t fitting(uint32_t count)
{
    for (int i = 0; i < SIZES; i++) {
        /* Room for a third more before it grows again. */
        if (count * 40 <= sizes[i] * (uint32_t)FULL_TENTHS * 3) {
            return sizes[i];
        }
    }
    return SIZE_MAX_BUCKETS;
}

/* Up to LOOK_AHEAD words gathered, their entries prefetched, then put to where their hash says. */
enum { LOOK_AHEAD = 32 };

struct refill {
    struct table_stats *st;
    struct segment
        *to[2]; /* by the hash bit after the parent's depth; both the same when not split */
    uint32_t bit_shift;
    uint32_t n;
    int err;
    uintptr_t ahead[LOOK_AHEAD];
};

static void refill_flush(struct refill *r)
{
    for (uint32_t i = 0; i < r->n && r->err == OK; i++) {
        uint32_t pos = position(hash_key(entry_key(entry_of(r->ahead[i]))));
        struct segment *s = r->to[(pos >> r->bit_shift) & 1];

        r->err = table_bucket_put(r->st, &s->b[bucket_index(s, pos)], r->ahead[i], false);
        s->count++;
    }
    r->n = 0;
}

static void refill_word(uintptr_t w, void *arg)
{
    struct refill *r = arg;

    __builtin_prefetch(entry_of(w));
    r->ahead[r->n++] = w;
    if (r->n == LOOK_AHEAD) {
        refill_flush(r);
    }
}

static int refill_from(struct refill *r, const struct segment *old)
{
    for (uint32_t i = 0; i < old->buckets && r->err == OK; i++) {
        table_bucket_each(&old->b[i], refill_word, r);
    }
    refill_flush(r);
    return r->err;
}

/* `old` becomes one segment of `buckets`, or two when `split`. */
static int rebuild(struct table *t, struct table_stats *st, struct segment *old, uint32_t pos,
                   uint32_t buckets, bool split)
{
    uint64_t bytes = st->bytes;
    struct refill r = {.st = st, .bit_shift = split ? 31 - old->depth : 0, .err = OK};

    if (rcu_reserve(1) != OK) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < 2; i++) {
        r.to[i] = i == 1 && !split ? r.to[0] : table_segment_create(buckets, old->depth + split);
    }
    if (r.to[0] == NULL || r.to[1] == NULL || refill_from(&r, old) != OK) {
        table_segment_drop(r.to[0]);
        table_segment_drop(split ? r.to[1] : NULL);
        st->bytes = bytes;
        return ERR_NOMEM;
    }
    uint32_t base = old->depth == 0 ? 0 : pos & ~(UINT32_MAX >> old->depth);

    point_to(dir_of(t), r.to[0], base);
    st->bytes += mem_size(table_segment_bytes(buckets)) * (split ? 2 : 1);
    if (split) {
        point_to(dir_of(t), r.to[1], base | (uint32_t)1 << r.bit_shift);
    }
    st->bytes -= table_segment_footprint(old);
    rcu_retire_object(old, table_segment_footprint(old), table_segment_free);
    return OK;
}

static int grow(struct table *t, struct table_stats *st, struct segment *s, uint32_t pos)
{
    for (int i = 0; i < SIZES; i++) {
        /* Up to 63 buckets every size is a step; above, every other one, as each step rehashes all. */
        if (sizes[i] > s->buckets && (sizes[i] <= 63 || sizes[i] >= s->buckets + s->buckets / 3)) {
            return rebuild(t, st, s, pos, sizes[i], false);
        }
    }
    if (s->depth == dir_of(t)->depth && dir_double(t, st) != OK) {
        return ERR_NOMEM;
    }
    return rebuild(t, st, s, pos, fitting(s->count / 2), true);
}

static struct segment *segment_for(struct table *t, uint32_t pos)
{
    return segment_at(dir_of(t), pos);
}

static bool is_full(const struct segment *s)
{
    return s->count * 10 >= s->buckets * (uint32_t)FULL_TENTHS;
}

int table_prepare(struct table *t, struct table_stats *st, struct entry *e, uint64_t hash)
{
    uint32_t pos = position(hash);

    if (dir_of(t) == NULL && table_begin(t, st) != OK) {
        return ERR_NOMEM;
    }
    struct segment *s = segment_for(t, pos);

    if (is_full(s) && grow(t, st, s, pos) == OK) {
        s = segment_for(t, pos); /* when it could not grow, the overflow still takes the entry */
    }
    int err = table_bucket_put(st, &s->b[bucket_index(s, pos)], word_of(e, hash) | PENDING, true);

    if (err == OK) {
        s->count++;
    }
    return err;
}

/* The word that holds e; it is there. */
static word *word_holding(struct table *t, const struct entry *e, uint64_t hash)
{
    struct bucket *b = (struct bucket *)(uintptr_t)bucket_find(t, hash);
    assert(b != NULL);
    uintptr_t last = atomic_load_explicit(&b->w[LAST], memory_order_relaxed);

    for (uint32_t left = candidates(b, tag(hash)); left != 0; left &= ~(3u << 2 * first_of(left))) {
        word *w = &b->w[first_of(left)];
        uintptr_t is = atomic_load_explicit(w, memory_order_relaxed);

        if (entry_of(is) == e && (is & LINK) == 0) {
            return w;
        }
    }
    assert((last & LINK) != 0);
    word *o = link_words(last);

    for (uint32_t i = 0;; i++) {
        assert(i < link_cap(last));
        if (entry_of(atomic_load_explicit(&o[i], memory_order_relaxed)) == e) {
            return &o[i];
        }
    }
}

/* The writer's counts, which others look at. */
static void count(uint64_t *n, int by)
{
    __atomic_store_n(n, *n + (uint64_t)(int64_t)by, __ATOMIC_RELAXED);
}

static void count_expiry(struct table_stats *st, const struct entry *e, int by)
{
    if (UNLIKELY((e->flags & (ENTRY_EXPIRES | ENTRY_FIELDS_EXPIRE)) != 0)) {
        count(&st->watched, by);
        count(&st->expiring, (e->flags & ENTRY_EXPIRES) != 0 ? by : 0);
    }
}

void table_publish(struct table *t, struct table_stats *st, struct entry *e, uint64_t hash)
{
    word *w = word_holding(t, e, hash);

    /* Release: pairs with the acquire in find(). */
    atomic_store_explicit(w, word_of(e, hash), memory_order_release);
    count(&st->count, 1);
    count_expiry(st, e, 1);
}

static void clear(struct table *t, struct entry *e, uint64_t hash)
{
    atomic_store_explicit(word_holding(t, e, hash), 0, memory_order_release);
    segment_for(t, position(hash))->count--;
}

void table_unprepare(struct table *t, struct table_stats *st, struct entry *e, uint64_t hash)
{
    (void)st;
    clear(t, e, hash);
}

void table_replace_at(table_place *place, struct table_stats *st, struct entry *old,
                      struct entry *new, uint64_t hash)
{
    assert(entry_of(atomic_load_explicit(place, memory_order_relaxed)) == old);
    /* Release: pairs with the acquire in find(). */
    atomic_store_explicit(place, word_of(new, hash), memory_order_release);
    count_expiry(st, new, 1);
    count_expiry(st, old, -1);
}

void table_replace(struct table *t, struct table_stats *st, struct entry *old, struct entry *new,
                   uint64_t hash)
{
    table_replace_at(word_holding(t, old, hash), st, old, new, hash);
}

void table_remove(struct table *t, struct table_stats *st, struct entry *e, uint64_t hash)
{
    clear(t, e, hash);
    count(&st->count, -1);
    count_expiry(st, e, -1);
}

void table_conceal(struct table *t, struct table_stats *st, struct entry *e, uint64_t hash)
{
    atomic_store_explicit(word_holding(t, e, hash), word_of(e, hash) | PENDING,
                          memory_order_release);
    st->count--;
    st->expiring -= (uint64_t)((e->flags & ENTRY_EXPIRES) != 0);
}

/* Two buddies become one when both are sparse. */
static bool merge(struct table *t, struct table_stats *st, struct segment *s, uint32_t pos)
{
    uint32_t bit = (uint32_t)1 << (32 - s->depth);
    struct segment *buddy = segment_for(t, pos ^ bit);

    if (buddy->depth != s->depth ||
        (s->count + buddy->count) * 10 > SIZE_MAX_BUCKETS * (uint32_t)SPARSE_TENTHS * 2) {
        return false;
    }
    struct segment *one = table_segment_create(fitting(s->count + buddy->count), s->depth - 1);
    struct refill r = {.st = st, .to = {one, one}, .err = OK};
    uint64_t bytes = st->bytes;

    if (one == NULL || rcu_reserve(2) != OK || refill_from(&r, s) != OK ||
        refill_from(&r, buddy) != OK) {
        table_segment_drop(one);
        st->bytes = bytes;
        return false;
    }
    point_to(dir_of(t), one, pos & ~bit);
    st->bytes += mem_size(table_segment_bytes(one->buckets));
    st->bytes -= table_segment_footprint(s) + table_segment_footprint(buddy);
    rcu_retire_object(s, table_segment_footprint(s), table_segment_free);
    rcu_retire_object(buddy, table_segment_footprint(buddy), table_segment_free);
    return true;
}

/* Halves a directory whose every segment is shallower; costs its own size, so only when it is worth a
 * look: the writer calls this after a merge. */
static void dir_halve(struct table *t, struct table_stats *st)
{
    struct table_dir *old = dir_of(t);

    for (uint64_t i = 0; i < (uint64_t)1 << old->depth; i++) {
        if (ref_segment(atomic_load_explicit(&old->seg[i], memory_order_relaxed))->depth ==
            old->depth) {
            return;
        }
    }
    struct table_dir *d = rcu_reserve(1) == OK ? mem_alloc(dir_bytes(old->depth - 1)) : NULL;

    if (d == NULL) {
        return;
    }
    d->depth = old->depth - 1;
    for (uint64_t i = 0; i < (uint64_t)1 << d->depth; i++) {
        atomic_init(&d->seg[i], atomic_load_explicit(&old->seg[i * 2], memory_order_relaxed));
    }
    set_dir(t, d);
    st->bytes -= mem_size(dir_bytes(old->depth)) - mem_size(dir_bytes(d->depth));
    rcu_retire(old, dir_bytes(old->depth));
}

void table_shrink(struct table *t, struct table_stats *st, uint64_t hash)
{
    if (dir_of(t) == NULL) {
        return;
    }
    uint32_t pos = position(hash);
    struct segment *s = segment_for(t, pos);

    if (s->count * 10 >= s->buckets * (uint32_t)SPARSE_TENTHS) {
        return;
    }
    if (s->depth > 0 && merge(t, st, s, pos)) {
        if (dir_of(t)->depth > 0) {
            dir_halve(t, st);
        }
        return;
    }
    uint32_t buckets = fitting(s->count);

    if (buckets < s->buckets) {
        (void)rebuild(t, st, s, pos, buckets, false);
    }
}

/* ---- The end of a table ---- */

struct table_dir *table_detach(struct table *t, struct table_stats *st)
{
    struct table_dir *d = dir_of(t);

    set_dir(t, NULL);
    __atomic_store_n(&st->count, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&st->expiring, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&st->watched, 0, __ATOMIC_RELAXED);
    st->bytes = 0;
    return d;
}

void table_attach(struct table *t, struct table_stats *st, struct table *from,
                  struct table_stats *from_stats)
{
    assert(dir_of(t) == NULL);
    __atomic_store_n(&st->count, from_stats->count, __ATOMIC_RELAXED);
    __atomic_store_n(&st->expiring, from_stats->expiring, __ATOMIC_RELAXED);
    __atomic_store_n(&st->watched, from_stats->watched, __ATOMIC_RELAXED);
    st->bytes = from_stats->bytes;
    set_dir(t, dir_of(from));
    set_dir(from, NULL);
    *from_stats = (struct table_stats){0};
}

struct drop {
    bool (*fn)(struct entry *, size_t *budget);
    size_t *budget;
};

/* Frees entries of a chain of words, zeroing each, until the budget ends. */
static bool drop_words(word *o, uint32_t n, struct drop *k)
{
    for (uint32_t i = 0; i < n; i++) {
        uintptr_t w = atomic_load_explicit(&o[i], memory_order_relaxed);

        if (w == 0 || (w & LINK) != 0) {
            continue;
        }
        if (*k->budget == 0 || !k->fn(entry_of(w), k->budget)) {
            return false;
        }
        atomic_store_explicit(&o[i], 0, memory_order_relaxed);
    }
    return true;
}

static bool drop_segment_entries(struct segment *s, struct drop *k)
{
    /* count, which nobody needs any more, is the place to go on at. */
    if (!s->dying) {
        s->dying = true;
        s->count = 0;
    }
    for (; s->count < s->buckets; s->count++) {
        struct bucket *b = &s->b[s->count];
        uintptr_t last = atomic_load_explicit(&b->w[LAST], memory_order_relaxed);

        if (!drop_words(b->w, SLOTS, k) ||
            ((last & LINK) != 0 && !drop_words(link_words(last), link_cap(last), k))) {
            return false;
        }
    }
    return true;
}

bool table_dir_free(struct table_dir *d, size_t *budget, bool (*fn)(struct entry *, size_t *))
{
    struct drop k = {fn, budget};

    if (d == NULL) {
        return true;
    }
    for (uint64_t i = 0, n = (uint64_t)1 << d->depth; i < n;) {
        struct segment *s = ref_segment(atomic_load_explicit(&d->seg[i], memory_order_relaxed));

        if (s == NULL) {
            i++;
            continue;
        }
        if (*budget == 0 || (fn != NULL && !drop_segment_entries(s, &k))) {
            return false;
        }
        uint64_t span = (uint64_t)1 << (d->depth - s->depth);

        for (uint64_t end = i + span; i < end; i++) {
            atomic_store_explicit(&d->seg[i], 0, memory_order_relaxed);
        }
        (void)table_segment_free(s, budget);
    }
    mem_free(d, dir_bytes(d->depth));
    return true;
}
