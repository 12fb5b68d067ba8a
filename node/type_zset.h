/* type_zset.h - sorted sets: packed up to zset-max-listpack-*, a table beside a counted tree beyond.
 *
 * Reading a packed one takes no lock; a large one is read under its own reader-writer lock between
 * zset_open() and zset_close(), and changed in place by the section that took that lock for writing.
 *
 * Everything that goes by order goes by rank: a range of scores or names is two ranks, each found in
 * O(log n), so whoever walks a range keeps no more than a rank to go on later.
 */
#ifndef NODE_TYPE_ZSET_H
#define NODE_TYPE_ZSET_H

#include "base/rand.h"
#include "edge/backend.h"
#include "node/entry.h"
#include "node/large.h"
#include "node/rank_tree.h"

struct zset_large;

/* A sorted set being read. */
struct zset {
    struct large_view view;
    struct zset_large *large; /* NULL when packed */
};

struct zset_item {
    struct slice member;
    double score;
};

/* FOUND opens it: zset_close() before the handler returns, and before it opens another. What is read is
 * borrowed until then; inside a section until the key's next write. */
enum found zset_open(struct cmd *c, struct key key, struct zset *out);
void zset_close(struct zset *z);

size_t zset_count(const struct zset *z);
/* Whether looking at n of its members, or at as many as there are, takes longer than a turn may. */
bool zset_is_long(const struct zset *z, size_t n);
bool zset_score(const struct zset *z, struct slice member, double *out);
/* How many stand before it. */
bool zset_rank(const struct zset *z, struct slice member, size_t *rank, double *score);
/* How many stand before a bound: of scores or, when all scores are the same, of names. */
size_t zset_before(const struct zset *z, const struct rank_bound *b);

/* n members from rank `first` on, upwards or downwards; all are there. */
enum { ZSET_PACKED_MOST = 4096 };
struct zset_walk {
    size_t left;
    bool down;
    bool packed;
    struct rank_spot spot;
    const char *at; /* packed, upwards */
    const char *block;
    uint16_t places[ZSET_PACKED_MOST]; /* packed, downwards: of those that are left */
};
void zset_walk_begin(struct zset_walk *w, const struct zset *z, size_t first, size_t n, bool down);
/* False at the end. */
bool zset_walk_next(struct zset_walk *w, struct zset_item *out);

/* ZSCAN: as table_scan(); a packed one is given whole. */
typedef void (*zset_each_fn)(const struct zset_item *i, void *arg);
uint64_t zset_scan(const struct zset *z, uint64_t cursor, size_t want, zset_each_fn fn, void *arg);

/* Writing: within a section. Creates the key if it is absent (the handler has checked its type). */
enum zset_add_flag {
    ZSET_NX = 1, /* new members only */
    ZSET_XX = 2, /* members that are there only */
    ZSET_GT = 4, /* of those only to a greater score, or a smaller one */
    ZSET_LT = 8
};
struct zset_added {
    size_t added, updated;
    size_t refused; /* by a flag */
};
/* No score is NaN. One operation, and one new block. */
struct zset_added zset_add(struct cmd *c, struct key key, const struct zset_item *items, size_t n,
                           unsigned flags);
/* Removes the key with its last member. Returns how many were there. */
size_t zset_remove(struct cmd *c, struct key key, const struct slice *members, size_t n);
/* n members from rank `from` on, which are there (ZREMRANGEBY…, ZPOPMIN, ZPOPMAX). */
void zset_remove_range(struct cmd *c, struct key key, size_t from, size_t n);
/* The key becomes just this, whatever it was; without members it goes. Sorted, no name twice. */
void zset_store(struct cmd *c, struct key key, const struct zset_item *items, size_t n);
/* By score, then by name: what qsort() wants. */
int zset_item_order(const void *a, const void *b);

#endif
