#include "node/large.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/database.h"
#include "node/slices.h"

#include <assert.h>

enum { JOURNAL_FEW = 4, JOURNAL_FIRST = 16 };

/* What a section keeps about a large collection that it changes. */
struct large_hold {
    struct large *large; /* NULL once it is freed */
    struct section *section;
    struct key key;
    bool created; /* by this section: nobody else sees it, and giving up frees it whole */
    bool goes_on;
    bool is_older;              /* … before a savepoint, since which it has been changed */
    uint64_t savepoint;         /* the last that has a note in the section's pile */
    uint64_t noted;             /* at it, see large_ops */
    struct large_undo *journal; /* `few`, or owned */
    size_t count, cap;
    size_t charged;                     /* what the account knows of `large` */
    struct large_undo few[JOURNAL_FEW]; /* most commands change little */
};

void large_init(struct large *l, const struct large_ops *ops)
{
    lock_init(&l->lock);
    l->ops = ops;
    l->hold = NULL;
    large_settle(l);
}

void large_fini(struct large *l)
{
    if (l->hold != NULL) {
        l->hold->large = NULL;
    }
}

void large_settle(struct large *l)
{
    /* Relaxed: a figure, by which nobody judges what is there. */
    atomic_store_explicit(&l->bytes, l->ops->bytes(l), memory_order_relaxed);
}

void large_free_now(struct large *l)
{
    size_t budget = SIZE_MAX;
    bool all = l->ops->free(l, &budget);

    assert(all);
    (void)all;
}

void large_drop(struct large *l)
{
    if (rcu_reserve(1) == OK) {
        rcu_retire_object(l, large_bytes(l), l->ops->free);
    } else {
        large_free_now(l);
    }
}

/* ---- Reading ---- */

UNCHECKED_LOCKS bool large_try_lock(struct large *l)
{
    return BROKEN(13) || lock_try_read(&l->lock);
}

UNCHECKED_LOCKS void large_unlock(struct large *l)
{
    if (!BROKEN(13)) {
        lock_read_end(&l->lock);
    }
}

/* Whether the key still has it: who waited for its lock may have waited for the section that took it
 * away. No section counter is asked: what is published before the lock is dropped is there. */
static bool still_has(const struct database *db, struct key key, const struct large *l)
{
    const struct partition *p = database_partition(db, key.partition);
    const struct entry *e = p == NULL ? NULL : table_find(&p->table, key.name, key.hash);

    return e != NULL && large_of(e) == l;
}

enum found large_open(struct cmd *c, struct key key, enum value_type type, struct large_view *out)
{
    const struct entry *e = keyspace_find(c, key);

    for (;; e = keyspace_peek(c, key)) {
        if (e == NULL || e->type != type) {
            return e == NULL ? ABSENT : WRONG_TYPE;
        }
        *out = (struct large_view){.entry = e, .large = large_of(e)};
        /* A section holds the partition's lock, without which nobody changes the collection. */
        if (out->large == NULL || c->section != NULL) {
            return FOUND;
        }
        if (UNLIKELY(!large_try_lock(out->large))) {
            c->retry = true;
            c->blocked_on = database_partition(c->db, key.partition);
            return ABSENT;
        }
        out->locked = true;
        if (LIKELY(still_has(c->db, key, out->large))) {
            return FOUND;
        }
        large_close(out);
    }
}

bool large_is_long(const struct large_view *v, size_t n, size_t count)
{
    return v->large != NULL &&
           (n > SLICES_FEW || (n > 0 && large_bytes(v->large) / count * n > SLICES_BYTES));
}

void large_close(struct large_view *v)
{
    if (v->locked) {
        v->locked = false;
        large_unlock(v->large);
    }
}

/* ---- Writing ---- */

static void charge(struct large_hold *hold)
{
    struct large *l = hold->large;

    large_settle(l);
    size_t bytes = large_bytes(l);

    if (!hold->created && bytes != hold->charged) {
        section_charge(hold->section, hold->key, (int64_t)bytes - (int64_t)hold->charged);
    }
    hold->charged = bytes;
}

static void undo_down_to(struct large_hold *hold, size_t count)
{
    hold->goes_on = count > 0;
    while (hold->count > count) {
        hold->large->ops->undo(hold->large, &hold->journal[--hold->count]);
    }
    charge(hold);
}

static void undo_all(void *object, void *arg)
{
    (void)arg;
    undo_down_to(object, 0);
}

/* To where it stood at a savepoint. If the whole section is given up, more follows. */
static void undo_some(void *object, void *arg)
{
    struct large_hold *hold = object;
    struct large *l = hold->large;

    undo_down_to(hold, (size_t)(uintptr_t)arg);
    hold->goes_on = false;
    if (l->ops->put_back != NULL) {
        l->ops->put_back(l, hold->noted);
    }
    hold->savepoint = 0;
    hold->is_older = hold->created && hold->count > 0;
}

static bool has_journal(const struct large_hold *hold)
{
    return !hold->created || hold->is_older;
}

/* Whether the key that had it when the section took it has it now. */
static bool keeps(const struct large_hold *hold)
{
    return section_writes_no_key(hold->section) ||
           still_has(section_database(hold->section), hold->key, hold->large);
}

static void journal_free(struct large_hold *hold)
{
    if (hold->journal != hold->few) {
        mem_free(hold->journal, hold->cap * sizeof(hold->journal[0]));
    }
}

/* After publication, or after undoing (then the journal is empty). */
UNCHECKED_LOCKS static void end(void *object, void *arg)
{
    struct large_hold *hold = object;
    struct large *l = hold->large;

    (void)arg;
    if (l != NULL) {
        /* If the key has it no more, the account has let go of it as it is. */
        bool is_kept = !hold->created && keeps(hold);

        if (l->ops->end != NULL) {
            l->ops->end(l, hold->journal, hold->count, is_kept);
        }
        if (is_kept && !l->ops->end_keeps_bytes) {
            charge(hold);
        }
        l->hold = NULL;
        if (!hold->created) {
            lock_write_end(&l->lock);
        }
    }
    journal_free(hold);
    struct large_hold **spare = section_spare_hold(hold->section);

    if (*spare == NULL) {
        *spare = hold;
    } else {
        large_hold_free(hold);
    }
}

void large_hold_free(struct large_hold *hold)
{
    mem_free(hold, sizeof(*hold));
}

/* Most sections change one collection: the one before's hold serves the next. */
static struct large_hold *hold_alloc(struct section *s)
{
    struct large_hold **spare = section_spare_hold(s);
    struct large_hold *hold = *spare;

    *spare = NULL;
    return hold != NULL ? hold : mem_alloc(sizeof(*hold));
}

/* The lock is taken last: whatever fails before needs no unlocking. */
UNCHECKED_LOCKS static int hold_begin(struct section *s, struct key key, struct large *l,
                                      bool created)
{
    struct large_hold *hold = hold_alloc(s);

    if (hold == NULL) {
        section_fail(s, SECTION_NOMEM);
        return ERR_NOMEM;
    }
    memset(hold, 0, offsetof(struct large_hold, few));
    hold->section = s;
    hold->key = key;
    hold->created = created;
    hold->journal = hold->few;
    hold->cap = JOURNAL_FEW;
    section_on_end(s, end, hold, NULL);
    if (section_has_failed(s)) {
        return ERR_NOMEM; /* ended already, or will be with nothing to do */
    }
    hold->charged = large_bytes(l);
    hold->savepoint = section_marked(s);
    hold->large = l;
    l->hold = hold;
    if (!created) {
        lock_write(&l->lock);
        if (l->ops->begin != NULL) {
            l->ops->begin(l);
        }
        section_on_abort(s, undo_all, hold, NULL);
    }
    return section_has_failed(s) ? ERR_NOMEM : OK;
}

/* It was held, and is about to be changed: the section's savepoint is told where it stands. */
static void note_savepoint(struct section *s, struct large_hold *hold)
{
    struct large *l = hold->large;
    uint64_t savepoint = section_marked(s);

    if (LIKELY(savepoint == 0 || savepoint == hold->savepoint)) {
        return;
    }
    if (hold->created && !hold->is_older) {
        assert(hold->count == 0);
        hold->is_older = true;
        if (l->ops->begin != NULL) {
            l->ops->begin(l);
        }
    }
    hold->savepoint = savepoint;
    hold->noted = l->ops->note == NULL ? 0 : l->ops->note(l);
    section_on_abort(s, undo_some, hold, (void *)(uintptr_t)hold->count);
}

int large_hold(struct section *s, struct key key, struct large *l)
{
    if (l->hold != NULL) {
        assert(l->hold->section == s);
        note_savepoint(s, l->hold);
        return section_has_failed(s) ? ERR_NOMEM : OK;
    }
    section_in_place(s, key);
    return section_has_failed(s) ? ERR_NOMEM : hold_begin(s, key, l, false);
}

static void drop_whole(void *object, void *arg)
{
    (void)arg;
    large_drop(object);
}

int large_created(struct section *s, struct large *l)
{
    section_on_abort(s, drop_whole, l, NULL);
    if (section_has_failed(s)) {
        return ERR_NOMEM; /* dropped at once */
    }
    return hold_begin(s, (struct key){.name = {NULL, 0}}, l, true);
}

bool large_is_new(const struct large *l)
{
    assert(l->hold != NULL);
    return !has_journal(l->hold);
}

bool large_goes_on(const struct large *l)
{
    return l->hold->goes_on;
}

static int journal_grow(struct large_hold *hold, size_t n)
{
    bool is_few = hold->journal == hold->few;
    size_t cap = is_few ? JOURNAL_FIRST : hold->cap * 2;

    while (cap < hold->count + n) {
        cap *= 2;
    }
    struct large_undo *v = mem_realloc(is_few ? NULL : hold->journal,
                                       is_few ? 0 : hold->cap * sizeof(*v), cap * sizeof(*v));

    if (v == NULL) {
        return ERR_NOMEM;
    }
    if (is_few) {
        memcpy(v, hold->few, hold->count * sizeof(*v));
    }
    hold->journal = v;
    hold->cap = cap;
    return OK;
}

int large_reserve(struct large *l, size_t n)
{
    struct large_hold *hold = l->hold;

    assert(hold != NULL);
    if (!has_journal(hold) || hold->count + n <= hold->cap) {
        return OK;
    }
    return journal_grow(hold, n);
}

void large_changed(struct large *l, struct large_undo u)
{
    struct large_hold *hold = l->hold;

    (void)slices_tick(4); /* a slice may end behind any change: nobody else sees the collection */
    assert(hold != NULL);
    if (has_journal(hold)) {
        assert(hold->count < hold->cap);
        hold->journal[hold->count++] = u;
    }
    charge(hold);
}
