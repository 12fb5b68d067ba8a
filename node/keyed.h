/* keyed.h - what sessions leave at the keys of a partition: watches (node/watched.h), and commands that wait
 * for data (node/block.h). A table by key, of intrusive nodes, those of one key in the order they came.
 *
 * Locks   nodes are put in, and looked for by writers, under the partition's lock; a spin lock beside it, held
 *         for a few instructions and ranked last, lets a session take its nodes out without that lock, which
 *         another may hold for many turns.
 */
#ifndef NODE_KEYED_H
#define NODE_KEYED_H

#include "base/list.h"
#include "edge/backend.h"

#include <stdatomic.h>

enum { KEYED_BUCKETS = 128 };

struct keyed_node {
    struct list link; /* private */
    struct key key;   /* the name is the owner's */
};

struct keyed_table {
    _Atomic uint32_t lock;  /* private */
    _Atomic uint32_t count; /* written under lock */
    struct list buckets[KEYED_BUCKETS];
};

/* The table at *at, made if there is none, which is the partition's from then on. NULL: no memory. */
struct keyed_table *keyed_table_of(struct keyed_table **at);
void keyed_table_destroy(struct keyed_table *t);

void keyed_put(struct keyed_table *t, struct keyed_node *n);
/* Once or twice. */
void keyed_take(struct keyed_table *t, struct keyed_node *n);

/* Whether a writer has to look at all; t may be NULL. Under the partition's lock. */
static inline bool keyed_is_any(const struct keyed_table *t)
{
    return UNLIKELY(t != NULL) && atomic_load_explicit(&t->count, memory_order_relaxed) > 0;
}

/* fn for each node of the key, or of all keys if key is NULL, under the table's lock, until it says false. */
typedef bool (*keyed_each_fn)(struct keyed_node *n, void *arg);
void keyed_each(struct keyed_table *t, const struct key *key, keyed_each_fn fn, void *arg);

#endif
