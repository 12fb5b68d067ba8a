/* table_walk.c - giving a table's entries in the order of their hashes, and by chance. */
#include "node/table.h"

#include "base/hash.h"
#include "node/entry.h"
#include "node/table_segment.h"

struct walk {
    uint32_t from; /* positions below are passed over: given before */
    bool expiring;
    size_t given;
    table_scan_fn fn;
    void *arg;
};

static void walk_word(uintptr_t w, void *arg)
{
    struct walk *k = arg;

    if ((w & PENDING) != 0 || (k->expiring && (w & EXPIRES) == 0)) {
        return;
    }
    if (k->from != 0 && position(hash_key(entry_key(entry_of(w)))) < k->from) {
        return;
    }
    k->given++;
    k->fn(entry_of(w), k->arg);
}

/* First position of the bucket after b; 2^32 at the end of the table. */
static uint64_t bucket_end(const struct segment *s, uint32_t pos, uint32_t b)
{
    uint64_t base = s->depth == 0 ? 0 : pos & ~(UINT32_MAX >> s->depth);
    /* The least x with x * buckets >> 32 == b + 1, scaled back by the depth. */
    uint64_t x = ((((uint64_t)b + 1) << 32) + s->buckets - 1) / s->buckets;

    return base + ((x + ((uint64_t)1 << s->depth) - 1) >> s->depth);
}

static uint64_t walk_some(const struct table *t, uint64_t cursor, size_t want, size_t buckets,
                          struct walk *k)
{
    uint64_t pos = cursor;

    while (pos <= UINT32_MAX && k->given < want && buckets-- > 0) {
        const struct table_dir *d = atomic_load_explicit(&t->dir, memory_order_acquire);

        if (d == NULL) {
            return 0; /* nothing yet, or flushed meanwhile */
        }
        const struct segment *s = segment_at(d, (uint32_t)pos);
        uint32_t b = bucket_index(s, (uint32_t)pos);
        uint64_t base = s->depth == 0 ? 0 : pos & ~(uint64_t)(UINT32_MAX >> s->depth);
        /* A cursor in a bucket's middle: the bucket was another when the cursor was given. */
        uint64_t starts = b == 0 ? base : bucket_end(s, (uint32_t)pos, b - 1);

        k->from = starts == pos ? 0 : (uint32_t)pos;
        table_bucket_each(&s->b[b], walk_word, k);
        pos = bucket_end(s, (uint32_t)pos, b);
    }
    return pos > UINT32_MAX ? 0 : pos;
}

uint64_t table_scan(const struct table *t, uint64_t cursor, size_t want, table_scan_fn fn,
                    void *arg)
{
    struct walk k = {.fn = fn, .arg = arg};

    /* Empty buckets count too, ten for one, so that a sparse table cannot hold a page for long. */
    return walk_some(t, cursor, want, want * 10 + 10, &k);
}

uint64_t table_scan_expiring(const struct table *t, uint64_t cursor, size_t buckets,
                             table_scan_fn fn, void *arg)
{
    struct walk k = {.fn = fn, .arg = arg, .expiring = true};

    return walk_some(t, cursor, SIZE_MAX, buckets, &k);
}

struct sample {
    struct entry **out;
    size_t n, want;
};

static void sample_entry(struct entry *e, void *arg)
{
    struct sample *s = arg;

    if (s->n < s->want) {
        s->out[s->n++] = e;
    }
}

size_t table_sample(const struct table *t, struct rand *r, struct entry **out, size_t want)
{
    struct sample s = {out, 0, want};
    struct walk k = {.fn = sample_entry, .arg = &s};
    uint64_t start = rand_next(r) >> 32;
    uint64_t at = walk_some(t, start, want, SIZE_MAX, &k);

    if (s.n < want && at == 0) {
        (void)walk_some(t, 0, want, SIZE_MAX, &k);
    }
    return s.n;
}

/* A bucket drawn by chance is taken as often as it is full, so that its entries are no likelier than
 * those of a fuller one. */
enum { RANDOM_TRIES = 48, RANDOM_FULL = 16, RANDOM_MOST = 32 };

struct entry *table_random(const struct table *t, struct rand *r)
{
    for (int i = 0; i < RANDOM_TRIES; i++) {
        struct entry *found[RANDOM_MOST];
        struct sample s = {found, 0, RANDOM_MOST};
        struct walk k = {.fn = sample_entry, .arg = &s};
        const struct bucket *b = bucket_find(t, rand_next(r));

        if (b == NULL) {
            return NULL;
        }
        table_bucket_each(b, walk_word, &k);
        if (s.n > rand_below(r, RANDOM_FULL)) {
            return found[rand_below(r, s.n)];
        }
    }
    return NULL;
}
