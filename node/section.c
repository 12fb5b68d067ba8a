/* section.c - see section.h and section_parts.h. The end of a section is in section_commit.c. */
#include "node/section_parts.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/database.h"
#include "node/entry.h"
#include "node/evict.h"
#include "node/keyed.h"
#include "node/large.h"
#include "node/library.h"
#include "node/notify.h"
#include "node/slices.h"
#include "node/type.h"

#include <assert.h>

enum { ITEMS_INLINE = 8, INDEX_FROM = 16 };

bool section_pile_grow(struct section *s, struct pile *p, size_t size)
{
    uint32_t cap = p->cap == 0 ? ITEMS_INLINE : p->cap * 2;
    char *v = mem_realloc(p->v, p->cap * size, cap * size);

    if (v == NULL) {
        section_fail(s, SECTION_NOMEM);
        return false;
    }
    p->v = v;
    p->cap = cap;
    s->pile_most = cap > s->pile_most ? cap : s->pile_most;
    return true;
}

int section_create(struct section **out, struct changelog *log)
{
    struct section *s = mem_zalloc(sizeof(*s));

    if (s == NULL) {
        return ERR_NOMEM;
    }
    s->log = log;
    s->change.copy = slices_copy;
    *out = s;
    return OK;
}

void section_destroy(struct section *s)
{
    if (s == NULL) {
        return;
    }
    changelog_credit_return(s->log, &s->credit);
    mem_free(s->items.v, s->items.cap * sizeof(struct item));
    mem_free(s->discards.v, s->discards.cap * sizeof(struct discard));
    mem_free(s->kept.v, s->kept.cap * sizeof(struct kept));
    mem_free(s->retires.v, s->retires.cap * sizeof(struct deferred));
    mem_free(s->aborts.v, s->aborts.cap * sizeof(struct deferred));
    mem_free(s->ends.v, s->ends.cap * sizeof(struct deferred));
    mem_free(s->touched.v, s->touched.cap * sizeof(struct key));
    mem_free(s->saved.v, s->saved.cap * sizeof(struct saved_item));
    mem_free(s->index, s->index_cap * sizeof(s->index[0]));
    large_hold_free(s->spare_hold);
    change_writer_fini(&s->change);
    notices_fini(&s->notices);
    buf_fini(&s->change_bytes);
    mem_free(s, sizeof(*s));
}

/* ---- Locks ---- */

int section_reserve(struct section *s)
{
    return changelog_reserve(s->log, &s->credit);
}

void section_unreserve(struct section *s)
{
    changelog_credit_return(s->log, &s->credit);
}

UNCHECKED_LOCKS void section_unlock_all(struct section *s)
{
    for (uint64_t m = s->locked; m != 0; m &= m - 1) {
        struct partition *p = database_partition(s->db, (unsigned)__builtin_ctzl(m));

        if (UNLIKELY(s->is_suspended)) {
            partition_busy_set(p, false);
        }
        partition_unlock(p);
    }
    s->locked = 0;
    s->is_suspended = false;
}

void section_suspend(struct section *s)
{
    for (uint64_t m = s->locked; m != 0 && !s->is_suspended; m &= m - 1) {
        partition_busy_set(database_partition(s->db, (unsigned)__builtin_ctzl(m)), true);
    }
    s->is_suspended = true;
}

UNCHECKED_LOCKS static int lock_all(struct section *s, bool make, struct partition **held)
{
    for (uint64_t m = s->mask; m != 0; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctzl(m);
        struct partition *p =
            make ? database_partition_make(s->db, i) : database_partition(s->db, i);

        if (p == NULL) {
            if (make) {
                section_unlock_all(s);
                return ERR_NOMEM;
            }
            continue;
        }
        if (!partition_lock(p)) {
            section_unlock_all(s);
            *held = p;
            return ERR_FULL;
        }
        s->locked |= (uint64_t)1 << i;
    }
    return OK;
}

static bool is_any_made_since(const struct section *s)
{
    for (uint64_t m = s->mask & ~s->locked; m != 0; m &= m - 1) {
        if (database_partition(s->db, (unsigned)__builtin_ctzl(m)) != NULL) {
            return true;
        }
    }
    return false;
}

UNCHECKED_LOCKS int section_begin(struct section *s, struct database *db, uint64_t mask, bool make,
                                  struct partition **held)
{
    assert(s->ready == NULL); /* who ended the one before has served them */
    s->db = db;
    s->changed = s->in_place = 0;
    s->deadline_ms = INT64_MAX;
    s->failure = SECTION_OK;
    s->flushed = s->applies = false;
    s->seen = NULL;
    s->client = 0;
    buf_clear(&s->change_bytes);
    if (change_begin(&s->change, &s->change_bytes, db->id) != OK) {
        return ERR_NOMEM;
    }
    s->mask = mask;
    int err = lock_all(s, make, held);

    /* One that was absent when it was passed over may have been made before the last was locked, by a
     * section of several keys, of which this one must not see a half. Each pass meets one more. */
    while (err == OK && UNLIKELY(is_any_made_since(s))) {
        section_unlock_all(s);
        err = lock_all(s, make, held);
    }
    s->now_ms = clock_now_ms();
    return err;
}

/* ---- The overlay ---- */

static bool is_key(const struct item *i, const struct key *key)
{
    return i->key.hash == key->hash && slice_is(i->key.name, key->name);
}

static void index_put(struct section *s, uint32_t number)
{
    uint64_t hash = PILE(s->items, struct item, number)->key.hash;
    uint32_t at = (uint32_t)hash & (s->index_cap - 1);

    while (s->index[at] != 0) {
        at = (at + 1) & (s->index_cap - 1);
    }
    s->index[at] = number + 1;
}

/* Keeps the index at most half full, once there is one. */
static void index_grow(struct section *s)
{
    uint32_t cap = s->index_cap == 0 ? INDEX_FROM * 4 : s->index_cap * 2;

    mem_free(s->index, s->index_cap * sizeof(s->index[0]));
    s->index = mem_zalloc(cap * sizeof(s->index[0]));
    s->index_cap = s->index == NULL ? 0 : cap;
    if (s->index == NULL) {
        section_fail(s, SECTION_NOMEM);
        return;
    }
    for (uint32_t i = 0; i < s->items.count; i++) {
        index_put(s, i);
    }
}

/* After items have left its end. */
void section_index_again(struct section *s)
{
    if (s->index != NULL) {
        memset(s->index, 0, s->index_cap * sizeof(s->index[0]));
        for (uint32_t i = 0; i < s->items.count; i++) {
            index_put(s, i);
        }
    }
}

static struct item *item_find(struct section *s, const struct key *key)
{
    if (s->index == NULL) {
        for (uint32_t i = 0; i < s->items.count; i++) {
            struct item *it = PILE(s->items, struct item, i);

            if (is_key(it, key)) {
                return it;
            }
        }
        return NULL;
    }
    for (uint32_t at = (uint32_t)key->hash & (s->index_cap - 1); s->index[at] != 0;
         at = (at + 1) & (s->index_cap - 1)) {
        struct item *it = PILE(s->items, struct item, s->index[at] - 1);

        if (is_key(it, key)) {
            return it;
        }
    }
    return NULL;
}

/* By the entry's own name: what a look-up was asked by may be gone (SORT makes names up in a buffer). */
static inline bool is_seen(const struct section *s, const struct key *key)
{
    return s->seen != NULL && s->seen_hash == key->hash &&
           slice_is_name(entry_key(s->seen), key->name);
}

static struct entry *look_up(struct section *s, const struct key *key, table_place **place)
{
    assert((s->mask & (uint64_t)1 << key->partition) != 0); /* S1 */
    /* What was absent when the section began stays so for it. */
    if ((s->locked & (uint64_t)1 << key->partition) == 0 || s->flushed) {
        return NULL;
    }
    struct entry *e = table_find_place(&database_partition(s->db, key->partition)->table, key->name,
                                       key->hash, place);

    if (e != NULL) {
        s->seen = e;
        s->seen_hash = key->hash;
        s->seen_place = *place;
    }
    return e;
}

static inline struct entry *in_table(struct section *s, const struct key *key, table_place **place)
{
    if (is_seen(s, key)) {
        *place = s->seen_place;
        return s->seen;
    }
    return look_up(s, key, place);
}

/* NULL: no memory, and the section has failed. */
static struct item *item_for(struct section *s, const struct key *key)
{
    struct item *it = item_find(s, key);

    if (it != NULL) {
        return it;
    }
    it = section_pile_add(s, &s->items, sizeof(*it));
    if (it == NULL) {
        return NULL;
    }
    *it = (struct item){.key = *key};
    it->old = it->now = in_table(s, key, &it->place);
    if (it->old != NULL) {
        it->key.name = entry_key(it->old); /* the caller's may not live as long as the section */
    }
    if (s->index != NULL || s->items.count > INDEX_FROM) {
        if (s->items.count * 2 > s->index_cap) {
            index_grow(s);
        } else {
            index_put(s, s->items.count - 1);
        }
        if (s->index == NULL) {
            return NULL;
        }
    }
    return it;
}

static bool is_gone(const struct entry *e, int64_t now_ms)
{
    const struct type_ops *t = type_ops[e->type];

    return entry_is_expired(e, now_ms) ||
           (t->life != NULL && t->life(e, now_ms, true) == TYPE_DEAD);
}

struct entry *section_find(struct section *s, struct key key)
{
    struct item *it = s->items.count == 0 ? NULL : item_find(s, &key);
    table_place *place;
    struct entry *e = it != NULL ? it->now : in_table(s, &key, &place);

    if (e == NULL || (e->flags & (ENTRY_EXPIRES | ENTRY_FIELDS_EXPIRE)) == 0) {
        return e;
    }
    if (is_gone(e, section_now_ms(s))) {
        if (change_delete(&s->change, key.name, CHANGE_EXPIRED) != OK) {
            section_fail(s, SECTION_NOMEM);
        }
        section_remove(s, key);
        if (entry_is_expired(e, section_now_ms(s))) {
            notify_in(s, NOTIFY_EXPIRED, "expired", key.name);
        } else { /* all its fields have */
            notify_in(s, NOTIFY_HASH, "hexpired", key.name);
            notify_in(s, NOTIFY_GENERIC, "del", key.name);
        }
        database_count(&database_usage(s->db)->expired, 1);
        return NULL;
    }
    if ((e->flags & ENTRY_EXPIRES) != 0) {
        section_relies(s, entry_expire_at_ms(e));
    }
    return e;
}

void section_made_by(struct section *s, uint64_t client)
{
    s->client = client;
}

void section_applies(struct section *s)
{
    s->applies = true;
}

int64_t section_now_ms(const struct section *s)
{
    return s->applies ? 0 : s->now_ms;
}

void section_relies(struct section *s, int64_t deadline_ms)
{
    if (deadline_ms < s->deadline_ms && !s->applies) {
        s->deadline_ms = deadline_ms;
    }
}

const struct entry *section_look(struct section *s, struct key key)
{
    struct item *it = s->items.count == 0 ? NULL : item_find(s, &key);

    table_place *place;

    return it != NULL ? it->now : in_table(s, &key, &place);
}

/* What the section itself made is not published: freed at its end. */
static void discard(struct section *s, struct item *it, bool is_saved)
{
    if (it->now == NULL || it->now == it->old) {
        return;
    }
    struct discard *d = section_pile_add(s, &s->discards, sizeof(*d));

    if (d == NULL) {
        /* The section has failed and will abort; its value is freed by its type's on_abort. */
        entry_free(it->now);
        it->now = NULL;
        it->key.name = it->old != NULL ? entry_key(it->old) : (struct slice){NULL, 0};
        return;
    }
    *d = (struct discard){it->now, it->keep_now, is_saved};
}

void section_put(struct section *s, struct key key, struct entry *e)
{
    struct item *it = item_for(s, &key);

    if (it == NULL) {
        entry_free(e);
        return;
    }
    if (UNLIKELY((e->flags & ENTRY_CLOCKED) != 0)) {
        evict_first_touch(e, it->now);
    }
    if (it->now == NULL && !s->applies) {
        notify_in(s, NOTIFY_NEW, "new", key.name);
    }
    discard(s, it, section_save(s, it));
    /* The name must live as long as the item: the argument may not, the entry does. */
    it->key.name = entry_key(e);
    it->now = e;
    it->is_changed = true;
    it->keep_now = false;
}

void section_remove(struct section *s, struct key key)
{
    struct item *it = item_for(s, &key);

    if (it == NULL) {
        return;
    }
    discard(s, it, section_save(s, it));
    it->now = NULL;
    it->is_changed = true;
    it->keep_now = false;
}

void section_keep_value(struct section *s, struct key key)
{
    struct item *it = item_for(s, &key);

    if (it == NULL) {
        return;
    }
    (void)section_save(s, it);
    if (it->now == it->old) {
        it->keep_old = true;
    } else {
        it->keep_now = true;
    }
}

void section_charge(struct section *s, struct key key, int64_t bytes)
{
    database_partition(s->db, key.partition)->data_bytes += bytes;
    database_charge(s->db, bytes);
}

void section_in_place(struct section *s, struct key key)
{
    s->in_place |= (uint64_t)1 << key.partition;
    const struct key *last =
        s->touched.count == 0 ? NULL : PILE(s->touched, struct key, s->touched.count - 1);

    /* Whoever wants to know of it may come while the section is suspended, so it is always kept. */
    if (last == NULL || last->hash != key.hash || !slice_is(last->name, key.name)) {
        struct key *touched = section_pile_add(s, &s->touched, sizeof(*touched));

        if (touched != NULL) {
            *touched = key;
        }
    }
}

/* Before a flush: the old table must not free a value that has another owner. */
static void keep(struct section *s, const struct item *it)
{
    if (it->keep_old) {
        struct kept *k = section_pile_add(s, &s->kept, sizeof(*k));

        if (k != NULL) {
            *k = (struct kept){it->old, it->key.hash, it->key.partition};
        }
    }
}

void section_flush(struct section *s)
{
    if (s->fresh == NULL) {
        s->fresh = mem_zalloc(PARTITIONS * sizeof(*s->fresh));
        if (s->fresh == NULL) {
            section_fail(s, SECTION_NOMEM);
            return;
        }
    }
    for (uint32_t i = 0; i < s->items.count; i++) {
        struct item *it = PILE(s->items, struct item, i);

        discard(s, it, section_save(s, it));
        keep(s, it);
        it->old = it->now = NULL;
        it->is_changed = true;
        it->place = NULL;
        it->keep_old = it->keep_now = false;
    }
    s->flushed = true;
    s->seen = NULL;
}

bool section_holds(const struct section *s, struct key key)
{
    return (s->locked & (uint64_t)1 << key.partition) != 0;
}

bool section_writes_no_key(const struct section *s)
{
    return s->items.count == 0 && !s->flushed;
}

bool section_is_flushed(const struct section *s)
{
    return s->flushed;
}

const struct entry *section_next_new(const struct section *s, uint32_t *at)
{
    while (*at < s->items.count) {
        const struct item *it = PILE(s->items, struct item, (*at)++);

        if (it->old == NULL && it->now != NULL) {
            return it->now;
        }
    }
    return NULL;
}

int64_t section_added(const struct section *s)
{
    int64_t n = 0;

    for (uint32_t i = 0; i < s->items.count; i++) {
        const struct item *it = PILE(s->items, struct item, i);

        n += (it->now != NULL) - (it->old != NULL);
    }
    return n;
}

const struct libraries *section_libraries(const struct section *s)
{
    /* Acquire: pairs with the release in section_commit(). */
    return s->libraries != NULL ? s->libraries
                                : atomic_load_explicit(&s->db->libraries, memory_order_acquire);
}

void section_put_libraries(struct section *s, struct libraries *l)
{
    size_t budget = SIZE_MAX;

    if (s->libraries != NULL) {
        (void)libraries_free(s->libraries, &budget);
    }
    s->libraries = l;
}

void section_expect(struct section *s, size_t bytes)
{
    if (buf_reserve(&s->change_bytes, bytes) != OK) {
        section_fail(s, SECTION_NOMEM);
    }
}

struct change_writer *section_change(struct section *s)
{
    return &s->change;
}

uint64_t section_pending_bytes(const struct section *s)
{
    return change_bytes(&s->change) + s->notices.bytes.len;
}

void section_fail(struct section *s, enum section_failure why)
{
    if (s->failure == SECTION_OK) {
        s->failure = why;
    }
}

bool section_has_failed(const struct section *s)
{
    return s->failure != SECTION_OK;
}

enum section_failure section_failure(const struct section *s)
{
    return s->failure;
}

uint64_t section_mask(const struct section *s)
{
    return s->mask;
}

struct database *section_database(const struct section *s)
{
    return s->db;
}

struct notices *section_notices(struct section *s)
{
    return &s->notices;
}

void section_publish(struct section *s, enum pubsub_kind kind, struct slice channel,
                     struct slice text)
{
    if (section_pending_bytes(s) > SECTION_BYTES_MAX) {
        section_fail(s, SECTION_TOO_LARGE);
    } else if (!notices_message(&s->notices, kind, channel, text)) {
        section_fail(s, SECTION_NOMEM);
    }
}

void section_retire(struct section *s, void *object, size_t bytes, rcu_free_fn fn)
{
    struct deferred *d = section_pile_add(s, &s->retires, sizeof(*d));

    if (d != NULL) {
        *d = (struct deferred){.object = object, .bytes = bytes, .free = fn};
    }
}

void section_on_abort(struct section *s, void (*fn)(void *, void *), void *object, void *arg)
{
    struct deferred *d = section_pile_add(s, &s->aborts, sizeof(*d));

    if (d != NULL) {
        *d = (struct deferred){.object = object, .arg = arg, .fn = fn};
    } else {
        fn(object, arg); /* undone at once: the section has failed, and nothing uses it any more */
    }
}

struct large_hold **section_spare_hold(struct section *s)
{
    return &s->spare_hold;
}

void section_on_end(struct section *s, void (*fn)(void *, void *), void *object, void *arg)
{
    struct deferred *d = section_pile_add(s, &s->ends, sizeof(*d));

    if (d != NULL) {
        *d = (struct deferred){.object = object, .arg = arg, .fn = fn};
    } else {
        fn(object, arg);
    }
}
