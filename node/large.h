/* large.h - what the large forms of all collections share: the lock, and a section's hold on one.
 *
 * A large collection is changed in place. Its structure begins with a struct large and names the
 * functions of its type; its entry's payload is the pointer to it.
 *
 * Locks  readers hold `lock`; a section takes it for writing at its first change (large_hold()) and
 *        keeps it until after its publication. Writers are kept apart by the partition's lock, so inside
 *        a section reading takes none. The lock ranks after the partitions': who reads under it takes no
 *        other, and lets go of it before its turn ends. A section may hold it over turns (exec.h), so
 *        readers try only, and then wait in the partition's line. What reads for long asks for the
 *        partition's lock (cmd_needs_locks()) and needs this one no more.
 * Undo   a section keeps a journal of its changes and, if it is given up, undoes them, last first.
 *        Undoing cannot fail: whatever it needs is kept until the section has ended. What the section has made
 *        itself has no journal, unless it is changed after a savepoint that came later: then that begins one.
 * Gone   the collection may have left the key while changed in place: who took the lock outside a section
 *        looks the key up again, and finds what the section published before it dropped the lock.
 */
#ifndef NODE_LARGE_H
#define NODE_LARGE_H

#include "base/lock.h"
#include "base/rcu.h"
#include "edge/backend.h"
#include "node/entry.h"
#include "node/keyspace.h"
#include "node/section.h"

struct large;
struct large_hold;

/* One change: what it means is the type's. */
struct large_undo {
    void *old, *now;
    int64_t arg;
};

struct large_ops {
    /* What it takes now, by size class; cheap, since it is asked after every change. */
    size_t (*bytes)(struct large *l);
    /* Takes one change back. */
    void (*undo)(struct large *l, const struct large_undo *u);
    /* What changes are counted by and `undo` does not know: read at a savepoint, and put back when the section
     * goes back to it. NULL: nothing. */
    uint64_t (*note)(const struct large *l);
    void (*put_back)(struct large *l, uint64_t noted);
    /* Under the lock, which a section has just taken for its changes. NULL: nothing to do. */
    void (*begin)(struct large *l);
    /* Under the lock, after publication or after undoing (then n is 0): gives back what was kept for
     * undoing. is_kept: the key still has the collection, which may now be made tighter. What readers of
     * this turn may borrow was handed to section_retire() at the change. NULL: nothing to do. */
    void (*end)(struct large *l, const struct large_undo *v, size_t n, bool is_kept);
    bool end_keeps_bytes; /* end() gives back nothing that bytes() counts */
    /* Frees a slice of it; the last of it frees the structure, after large_fini(). */
    rcu_free_fn free;
};

struct large {
    struct lock lock;
    const struct large_ops *ops;
    _Atomic size_t bytes;    /* of all, for who holds no lock */
    struct large_hold *hold; /* the section's that changes it; guarded by the partition's lock */
};

static inline struct large *large_of(const struct entry *e)
{
    return e->encoding == ENC_LARGE ? entry_pointer(e) : NULL;
}

/* Not yet in anybody's sight. */
void large_init(struct large *l, const struct large_ops *ops);
/* Before its memory is freed. */
void large_fini(struct large *l);
static inline size_t large_bytes(const struct large *l)
{
    return atomic_load_explicit(&l->bytes, memory_order_relaxed);
}
/* After changes to one that nobody sees: large_bytes() is true again. */
void large_settle(struct large *l);
/* One that nobody has seen: freed in slices if there is memory to say so, else at once. */
void large_drop(struct large *l);
/* At once, whole: one that was never published. */
void large_free_now(struct large *l);

/* ---- Reading ---- */

/* A collection being read; what is read is borrowed until large_close(), inside a section until the key's
 * next write. */
struct large_view {
    const struct entry *entry;
    struct large *large; /* NULL when packed */
    bool locked;         /* private */
};

/* FOUND opens it: close before the handler returns, and before it opens another. Looks the key up as
 * keyspace_find() does. In a section closing does nothing, and the view is good over turns as long as the
 * section neither ends nor writes the key. */
enum found large_open(struct cmd *c, struct key key, enum value_type type, struct large_view *out);
void large_close(struct large_view *v);

/* Whether going through n of its `count` members takes longer than a turn may (node/slices.h). */
bool large_is_long(const struct large_view *v, size_t n, size_t count);

/* False: whoever changes it takes long. */
MUST_CHECK bool large_try_lock(struct large *l);
void large_unlock(struct large *l);

/* ---- Writing, by a section ---- */

/* Holds it for writing; the first call takes the lock. ERR_NOMEM: the section has failed. */
MUST_CHECK int large_hold(struct section *s, struct key key, struct large *l);
/* One that the section makes (large_init() was called) and nobody else sees: freed whole if the section
 * is given up, and nothing is noted of its changes. ERR_NOMEM: the section has failed and freed it. */
MUST_CHECK int large_created(struct section *s, struct large *l);
/* Whether this section made it, since its savepoint if it has one: its changes need no undo, and what they
 * remove is freed at once. */
bool large_is_new(const struct large *l);
/* While changes are undone: whether some are left that may yet be undone, since a section goes back to its
 * savepoint only. */
bool large_goes_on(const struct large *l);
/* What section_spare_hold() kept. */
void large_hold_free(struct large_hold *hold);
/* Room in the journal for n changes more, before the first of them is made. ERR_NOMEM. */
MUST_CHECK int large_reserve(struct large *l, size_t n);
/* A change was made, and accounts follow. The journal had room. */
void large_changed(struct large *l, struct large_undo u);

#endif
