/* zset_large.h - the large form of a sorted set: a table of members beside a tree in their order.
 *
 * A member is a struct entry (key: its name, payload: its score). The table finds it by name, the tree by
 * rank and score. A score changes in place, under the lock.
 *
 * Locks  node/large.h's.
 * Undo   a removed member keeps its word in the table, invisible, and room in the tree (node/rank_tree.h)
 *        until the section has ended; an added one that is taken back lives as long, since the tree may
 *        have borrowed it as a separator.
 */
#ifndef NODE_ZSET_LARGE_H
#define NODE_ZSET_LARGE_H

#include "node/large.h"
#include "node/rank_tree.h"
#include "node/section.h"
#include "node/table.h"
#include "node/type_zset.h"

struct zset_large {
    struct large large; /* first */
    struct table table;
    struct table_stats stats;
    struct rank_tree tree;
    size_t member_bytes;     /* of the entries, by size class */
    struct entry *undone;    /* added and taken back; the payload is the next one's address */
    struct table_dir *dying; /* what is left to free, once is_dying */
    bool is_dying;
};

static inline struct zset_large *zset_large_of(const struct entry *e)
{
    return e->encoding == ENC_LARGE ? entry_pointer(e) : NULL;
}

static inline double zset_member_score(const struct entry *member)
{
    double score;

    memcpy(&score, entry_payload(member).ptr, sizeof(score));
    return score;
}

/* One that the section makes: freed if it is given up. NULL: the section has failed. */
struct zset_large *zset_large_create(struct section *s);
/* Frees a slice (rcu_free_fn); also one that was never published. */
bool zset_large_free(void *object, size_t *budget);
/* A copy under no section. NULL: no memory. */
struct zset_large *zset_large_copy(const struct zset_large *from);

/* A struct type_ops' members. */
const struct table *zset_large_members(const struct entry *e);

/* Reading: under the lock, or in a section. NULL: not there. */
struct entry *zset_large_find(const struct zset_large *l, struct slice member);

/* Writing, by a section that holds it (large_hold()). ERR_NOMEM: the section has failed. */
/* It is not there yet. */
MUST_CHECK int zset_large_add(struct section *s, struct zset_large *l, struct slice member,
                              double score);
MUST_CHECK int zset_large_move(struct section *s, struct zset_large *l, struct entry *member,
                               double score);
MUST_CHECK int zset_large_remove(struct section *s, struct zset_large *l, struct entry *member);

#endif
