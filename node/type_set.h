/* type_set.h - sets: packed as sorted integers or as strings, up to set-max-intset-entries and
 * set-max-listpack-*; beyond that a hash's table of fields without values (node/hash_large.h).
 *
 * Reading a packed set takes no lock; a large one is read under its own reader-writer lock between
 * set_open() and set_close(), inside a section without. Nobody holds two such locks at once, since a
 * writer waiting between them would make a circle: who needs several sets at once and meets a large one
 * outside a section sets c->retry, and is run again under the partitions' locks (node/cmd/set_many.c).
 */
#ifndef NODE_TYPE_SET_H
#define NODE_TYPE_SET_H

#include "base/rand.h"
#include "edge/backend.h"
#include "node/entry.h"
#include "node/large.h"
#include "node/set_packed.h"

struct hash_large;

/* A set being read. */
struct set {
    struct large_view view;
    struct hash_large *large; /* NULL when packed */
};

/* FOUND opens it: set_close() before the handler returns, and before it opens another. What is read is
 * borrowed until then; inside a section until the key's next write. */
enum found set_open(struct cmd *c, struct key key, struct set *out);
void set_close(struct set *s);

size_t set_count(const struct set *s);
/* Whether looking at n of its members, or at one n times, takes longer than a turn may. */
bool set_is_long(const struct set *s, size_t n);
bool set_has(const struct set *s, struct slice member);
/* Calls fn for every member. Its bytes are borrowed: those of a set of integers until fn returns. */
typedef void (*set_each_fn)(struct slice member, void *arg);
void set_each(const struct set *s, set_each_fn fn, void *arg);
/* SSCAN: as table_scan(); a packed set is given whole. */
uint64_t set_scan(const struct set *s, uint64_t cursor, size_t want, set_each_fn fn, void *arg);
/* One of the members, each as likely; there is at least one. */
struct slice set_random(const struct set *s, struct rand *r, struct set_digits *room);
/* Whether the members are integers, whose bytes are made when they are asked for. */
static inline bool set_is_ints(const struct set *s)
{
    return s->large == NULL && set_packed_is_ints(entry_payload(s->view.entry));
}

/* Writing: within a section, of a key that is absent or a set. */
/* Creates the key if it is absent. Returns how many are new. */
size_t set_add(struct cmd *c, struct key key, const struct slice *members, size_t n);
/* Removes the key with its last member. Returns how many were there. */
size_t set_remove(struct cmd *c, struct key key, const struct slice *members, size_t n);
/* The key becomes a set of these members, which differ from each other, whatever it was, and does not
 * expire; without any it goes. The members may be borrowed from what the key had. */
void set_replace(struct cmd *c, struct key key, const struct slice *members, size_t n);

#endif
