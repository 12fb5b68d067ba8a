/* section_parts.h - what a section consists of. For section.c, which opens and fills it, and
 * section_commit.c, which ends it.
 *
 * Invariants (node/README.md tells the reasons, tests/prop the proof):
 *
 *  S1  every partition that the section reads or writes is locked from begin to end, in index order.
 *  S2  all that can fail (table words, room to retire, the change's bytes) happens before the append.
 *  S3  between the append and the last publication nothing is waited for.
 *  S4  a section of several changes marks all its partitions before it publishes the first and unmarks
 *      them after the last; any publication makes the version odd.
 *  S5  a section that relied on a key with an expiry marks first, then looks at the clock: whoever saw
 *      that key expired did so before the mark, and then so does the section.
 *
 *  A suspended section (X4 to X6 in exec.h) is one that takes long between begin and commit; its one moment
 *  for expiry (S5) is that of its beginning.
 */
#ifndef NODE_SECTION_PARTS_H
#define NODE_SECTION_PARTS_H

#include "node/notify.h"
#include "node/section.h"
#include "node/table.h"
#include "replication/changelog.h"

#include <assert.h>

/* One key that the section writes. */
struct item {
    struct key key;
    struct entry *old; /* what the table has; NULL: nothing */
    struct entry *now; /* what the section made of it; NULL: absent */
    table_place
        *place;    /* of old; good while this is the section's only item, so nothing else moves */
    bool keep_old; /* old's value has another owner now */
    bool keep_now;
    bool is_prepared;
    bool is_changed; /* since then `now` is another */
    uint64_t saved;  /* the last savepoint that has it as it was */
};

/* An item as it was at the savepoint. */
struct saved_item {
    uint32_t index;
    struct item was;
};

/* Where the section stood at its savepoint. */
struct savepoint {
    uint64_t number; /* 0: there is none */
    struct change_mark change;
    uint32_t items, discards, kept, retires, aborts, ends, touched;
    uint64_t in_place;
    size_t notices_len;
    bool flushed;
};

struct discard {
    struct entry *entry;
    bool keep;
    bool is_saved; /* a savepoint has it, too */
};

/* What the table had when the section flushed, and whose value was given to an entry of the section: the
 * old table goes without it. */
struct kept {
    struct entry *entry;
    uint64_t hash;
    unsigned partition;
};

struct deferred {
    void *object;
    void *arg;
    size_t bytes;
    rcu_free_fn free;
    void (*fn)(void *object, void *arg);
};

/* A growing array of one kind. */
struct pile {
    char *v;
    uint32_t count, cap;
};

struct fresh {
    struct table table;
    struct table_stats stats;
};

struct section {
    struct database *db;
    struct changelog *log;
    struct changelog_credit credit;
    uint64_t locked;     /* partitions */
    uint64_t changed;    /* partitions */
    uint64_t mask;       /* partitions that it may look into: locked, or absent when it began */
    uint64_t in_place;   /* partitions in which a collection was changed in place */
    int64_t now_ms;      /* what expiry is judged by: one moment for the whole section, see S5 */
    int64_t deadline_ms; /* the earliest expiry among the keys it found alive */
    enum section_failure failure;
    bool flushed;
    bool applies;
    bool is_suspended; /* its partitions are marked busy */
    bool is_ahead;     /* it has ended, and that is to be told: */
    enum section_end ahead_end;
    uint64_t ahead_seq;
    struct fresh *fresh; /* owned: tables of what was written after a flush, by partition */
    struct buf change_bytes;
    struct change_writer change;
    struct pile items, discards, kept, retires, aborts, ends, touched;
    uint32_t pile_most; /* none is longer */
    struct savepoint savepoint;
    uint64_t savepoints;           /* so far */
    struct pile saved;             /* items, since the savepoint */
    struct libraries *libraries;   /* owned: what the database's become; NULL: they stay */
    struct notices notices;        /* what it publishes at its end */
    struct large_hold *spare_hold; /* owned; NULL: none */
    uint64_t client;               /* that asked for it; 0: none */
    struct block_ready *ready;     /* owned: changed keys that commands wait at */
    /* What a table was last found to have, which stays so while its partition is locked: a command looks
     * several times for the key that it writes. */
    struct entry *seen;     /* NULL: nothing */
    struct slice seen_name; /* as it was asked for: not looked into, it may be gone */
    uint64_t seen_hash;
    table_place *seen_place;
    uint32_t *index; /* owned: open addressing, item number + 1; NULL while items are few */
    uint32_t index_cap;
};

#define PILE(p, type, i) (&((type *)(void *)(p).v)[i])

void section_unlock_all(struct section *s);
/* For section_mark.c. */
void section_index_again(struct section *s);
bool section_pile_grow(struct section *s, struct pile *p, size_t size);

/* A growing array's next element, to be filled in whole; NULL: no memory, and the section has failed. */
static inline void *section_pile_add(struct section *s, struct pile *p, size_t size)
{
    if (UNLIKELY(p->count == p->cap) && !section_pile_grow(s, p, size)) {
        return NULL;
    }
    assert(p->v != NULL); /* it has room */
    return p->v + (size_t)p->count++ * size;
}

/* Before the item changes: keeps it for the savepoint. True if its entry is still the savepoint's. */
bool section_save_item(struct section *s, struct item *it);
static inline bool section_save(struct section *s, struct item *it)
{
    return UNLIKELY(s->savepoint.number != 0) && section_save_item(s, it);
}

#endif
