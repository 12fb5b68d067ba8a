/* table.c - the node's table alone: nanoseconds of a look-up and of a write among many entries.
 *
 *    bench_table [entries] [operations] [the beginning of a measurement's name]
 *
 * One thread, entries as the server makes them (16-byte keys, 32-byte values), keys drawn at random
 * beforehand, so that a look-up is: hash, bucket, entry, compare. Prefetched look-ups are done as the
 * executor does them, in batches: hash all, touch all buckets, touch all entries, then find.
 *
 * Output: lines `table name=… ns=…`, several of a name, and one of sizes. What is found is checked.
 */
#include "node/table.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/rand.h"
#include "base/rcu.h"
#include "bench/hist.h"
#include "node/entry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEY_BYTES = 16, VALUE_BYTES = 32, BATCH_MAX = 64, TURN_EVERY = 64, ROUNDS = 3 };

struct bench {
    struct table table;
    struct table_stats stats;
    struct rand rand;
    uint64_t entries;
    size_t ops;                   /* of one measurement; a multiple of BATCH_MAX */
    char *keys;                   /* owned: ops keys, in the order of use */
    uint64_t (*floor_buckets)[8]; /* owned, as are these: bench_floor() */
    uint64_t (*floor_entries)[8];
    size_t wrong;
};

static uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void need(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_table: %s failed\n", what);
        exit(1);
    }
}

static void key_write(char *at, const char *prefix, uint64_t n)
{
    char text[KEY_BYTES + 16];

    snprintf(text, sizeof(text), "%s%012" PRIu64, prefix, n);
    memcpy(at, text, KEY_BYTES);
}

static struct slice key_at(const struct bench *b, size_t i)
{
    return (struct slice){b->keys + i * KEY_BYTES, KEY_BYTES};
}

static void draw_keys(struct bench *b, const char *prefix)
{
    for (size_t i = 0; i < b->ops; i++) {
        key_write(b->keys + i * KEY_BYTES, prefix, rand_below(&b->rand, b->entries));
    }
}

static struct entry *make_entry(struct slice key)
{
    struct entry_spec spec = {
        .type = TYPE_STRING, .encoding = ENC_BYTES, .key = key, .payload_len = VALUE_BYTES};
    struct entry *e = entry_create(&spec);

    need(e != NULL, "entry_create");
    memcpy(entry_payload_ptr(e), key.ptr, KEY_BYTES);
    return e;
}

static void report(const char *name, uint64_t begin_ns, size_t ops)
{
    printf("table name=%s ns=%.1f\n", name, (double)(clock_ns() - begin_ns) / (double)ops);
    fflush(stdout);
}

/* Fills the table; says also how long the longest insertion took, which may have split a segment. */
static void bench_fill(struct bench *b)
{
    static struct hist h;
    uint64_t begin = clock_ns();

    for (uint64_t i = 0; i < b->entries; i++) {
        char name[KEY_BYTES];
        struct slice key = {name, KEY_BYTES};

        key_write(name, "key:", i);
        uint64_t hash = hash_key(key);
        struct entry *e = make_entry(key);
        uint64_t from = clock_ns();

        need(table_prepare(&b->table, &b->stats, e, hash) == OK, "table_prepare");
        table_publish(&b->table, &b->stats, e, hash);
        hist_add(&h, clock_ns() - from);
        if (i % TURN_EVERY == 0) {
            rcu_turn();
        }
    }
    report("fill", begin, b->entries);
    printf("table name=insert_p50 ns=%" PRIu64 "\ntable name=insert_p9999 ns=%" PRIu64
           "\ntable name=insert_max ns=%" PRIu64 "\n",
           hist_at(&h, 0.5), hist_at(&h, 0.9999), h.max);
}

/* Made once: where a hypervisor keeps the page tables, giving memory back makes the first look at every
 * other page dear for a while, and the look-ups measured next would pay for it. */
static void make_floor(struct bench *b)
{
    size_t bucket_lines = b->stats.bytes / 64;

    b->floor_buckets = malloc(bucket_lines * 64);
    b->floor_entries = malloc(b->entries * 64);
    need(b->floor_buckets != NULL && b->floor_entries != NULL, "malloc");
    for (size_t i = 0; i < bucket_lines; i++) {
        b->floor_buckets[i][0] = rand_below(&b->rand, b->entries);
    }
    memset(b->floor_entries, 1, b->entries * 64);
}

/* What the memory alone costs: two reads at random places that depend on each other, as bucket and
 * entry do, in as much memory, and the key's hash. With `batch` both are prefetched as above. What
 * the table adds to it is its own, whatever else runs on the machine. */
static void bench_floor(struct bench *b, const char *name, size_t batch)
{
    size_t bucket_lines = b->stats.bytes / 64;
    uint64_t(*buckets)[8] = b->floor_buckets;
    uint64_t(*entries)[8] = b->floor_entries;
    uint64_t place[BATCH_MAX];

    draw_keys(b, "key:");
    uint64_t begin = clock_ns();

    for (size_t at = 0; at < b->ops; at += batch) {
        for (size_t i = 0; i < batch; i++) {
            uint64_t hash = hash_key(key_at(b, at + i));

            place[i] = (uint64_t)(((unsigned __int128)hash * bucket_lines) >> 64);
            __builtin_prefetch(buckets[place[i]]);
        }
        for (size_t i = 0; i < batch && batch > 1; i++) {
            __builtin_prefetch(entries[buckets[place[i]][0]]);
        }
        for (size_t i = 0; i < batch; i++) {
            b->wrong += entries[buckets[place[i]][0]][0] != 0x0101010101010101u;
        }
    }
    report(name, begin, b->ops);
}

static void bench_find(struct bench *b, const char *name, const char *prefix, bool there)
{
    draw_keys(b, prefix);
    uint64_t begin = clock_ns();

    for (size_t i = 0; i < b->ops; i++) {
        struct slice key = key_at(b, i);

        b->wrong += (table_find(&b->table, key, hash_key(key)) != NULL) != there;
    }
    report(name, begin, b->ops);
}

static void bench_hit(struct bench *b, const char *name, size_t batch)
{
    (void)batch;
    bench_find(b, name, "key:", true);
}

static void bench_miss(struct bench *b, const char *name, size_t batch)
{
    (void)batch;
    bench_find(b, name, "mis:", false);
}

static void bench_batch(struct bench *b, const char *name, size_t batch)
{
    uint64_t hash[BATCH_MAX];

    draw_keys(b, "key:");
    uint64_t begin = clock_ns();

    for (size_t at = 0; at < b->ops; at += batch) {
        for (size_t i = 0; i < batch; i++) {
            hash[i] = hash_key(key_at(b, at + i));
            table_prefetch_bucket(&b->table, hash[i]);
        }
        for (size_t i = 0; i < batch; i++) {
            table_prefetch_entries(&(struct table_look){&b->table, hash[i]}, 1);
        }
        for (size_t i = 0; i < batch; i++) {
            b->wrong += table_find(&b->table, key_at(b, at + i), hash[i]) == NULL;
        }
    }
    report(name, begin, b->ops);
}

/* A write as SET does it, less log and lock: find the old, make the new, replace, retire. */
static void replace_one(struct bench *b, struct slice key, uint64_t hash)
{
    struct entry *old = table_find(&b->table, key, hash);
    struct entry *e = make_entry(key);

    if (old == NULL) {
        b->wrong++;
        entry_free(e);
        return;
    }
    need(rcu_reserve(1) == OK, "rcu_reserve");
    table_replace(&b->table, &b->stats, old, e, hash);
    rcu_retire(old, entry_bytes(old));
}

static void bench_replace(struct bench *b, const char *name, size_t batch)
{
    uint64_t hash[BATCH_MAX];

    draw_keys(b, "key:");
    uint64_t begin = clock_ns();

    for (size_t at = 0; at < b->ops; at += batch) {
        for (size_t i = 0; i < batch; i++) {
            hash[i] = hash_key(key_at(b, at + i));
            if (batch > 1) {
                table_prefetch_bucket(&b->table, hash[i]);
            }
        }
        for (size_t i = 0; i < batch && batch > 1; i++) {
            table_prefetch_entries(&(struct table_look){&b->table, hash[i]}, 1);
        }
        for (size_t i = 0; i < batch; i++) {
            replace_one(b, key_at(b, at + i), hash[i]);
        }
        if (at % TURN_EVERY == 0) {
            rcu_turn();
        }
    }
    report(name, begin, b->ops);
}

static bool free_entry(struct entry *e, size_t *budget)
{
    *budget -= *budget > 0;
    entry_free(e);
    return true;
}

/* Those whose names begin with `only`, so that a profile shows one of them; in rounds, as what else
 * runs on the machine changes from one second to the next. */
static void measure_all(struct bench *b, const char *only)
{
    static const struct {
        const char *name;
        void (*fn)(struct bench *b, const char *name, size_t batch);
        size_t batch;
    } all[] = {
        {"floor", bench_floor, 1},
        {"hit", bench_hit, 1},
        {"miss", bench_miss, 1},
        {"floor_batch16", bench_floor, 16},
        {"hit_batch16", bench_batch, 16},
        {"floor_batch64", bench_floor, 64},
        {"hit_batch64", bench_batch, 64},
        {"write", bench_replace, 1},
        {"write_batch64", bench_replace, 64},
    };

    for (size_t i = 0; i < ROUNDS * sizeof(all) / sizeof(all[0]); i++) {
        size_t n = i % (sizeof(all) / sizeof(all[0]));

        if (strncmp(all[n].name, only, strlen(only)) == 0) {
            all[n].fn(b, all[n].name, all[n].batch);
        }
    }
}

int main(int argc, char **argv)
{
    struct bench b = {.rand = {1}, .entries = 10000000, .ops = 1000000};
    size_t budget;

    if (argc > 1) {
        b.entries = strtoull(argv[1], NULL, 10);
    }
    if (argc > 2) {
        b.ops = strtoull(argv[2], NULL, 10);
    }
    b.ops -= b.ops % BATCH_MAX;
    need(b.entries > 0 && b.ops > 0, "reading the arguments");
    b.keys = malloc(b.ops * KEY_BYTES);
    need(b.keys != NULL, "malloc");
    hash_seed_set(0x5eed);
    rcu_register();
    bench_fill(&b);
    make_floor(&b);
    measure_all(&b, argc > 3 ? argv[3] : "");
    printf("sizes entries=%" PRIu64 " table_bytes_per_entry=%.2f wrong=%zu\n", b.stats.count,
           (double)b.stats.bytes / (double)b.stats.count, b.wrong);
    rcu_drain();
    struct table_dir *dir = table_detach(&b.table, &b.stats);

    do {
        budget = 1u << 20;
    } while (!table_dir_free(dir, &budget, free_entry));
    rcu_unregister();
    free(b.keys);
    free(b.floor_buckets);
    free(b.floor_entries);
    return b.wrong > 0;
}
