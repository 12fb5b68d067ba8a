/* section.c - see section.h. Invariants (node/README.md tells the reasons, tests/prop the proof):
 *
 *  S1  every partition that the section reads or writes is locked from begin to end, in index order.
 *  S2  all that can fail (table words, room to retire, the change's bytes) happens before the append.
 *  S3  between the append and the last publication nothing is waited for.
 *  S4  a section of several changes marks all its partitions before it publishes the first and unmarks
 *      them after the last; any publication makes the version odd.
 *  S5  a section that relied on a key with an expiry marks first, then looks at the clock: whoever saw
 *      that key expired did so before the mark, and then so does the section.
 */
#include "node/section.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "edge/tracking.h"
#include "node/blocks.h"
#include "node/database.h"
#include "node/entry.h"
#include "node/evict.h"
#include "node/notify.h"
#include "node/type.h"
#include "replication/changelog.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>

enum { ITEMS_INLINE = 8, INDEX_FROM = 16, CHANGE_MAX = 512 << 20, CHANGE_KEEP = 256 << 10 };

/* One key that the section writes. */
struct item {
    struct key key;
    struct entry *old; /* what the table has; NULL: nothing */
    struct entry *now; /* what the section made of it; NULL: absent */
    bool keep_old;     /* old's value has another owner now */
    bool keep_now;
    bool is_prepared;
};

struct discard {
    struct entry *entry;
    bool keep;
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
    uint64_t in_place;   /* partitions in which a collection was changed in place */
    int64_t now_ms;      /* what expiry is judged by: one moment for the whole section, see S5 */
    int64_t deadline_ms; /* the earliest expiry among the keys it found alive */
    enum section_failure failure;
    bool flushed;
    bool applies;
    struct fresh *fresh; /* owned: tables of what was written after a flush, by partition */
    struct buf change_bytes;
    struct change_writer change;
    struct pile items, discards, retires, aborts, ends;
    struct notices notices; /* what it publishes at its end */
    uint64_t client;        /* that asked for it; 0: none */
    uint32_t *index;        /* owned: open addressing, item number + 1; NULL while items are few */
    uint32_t index_cap;
};

#define PILE(p, type, i) (&((type *)(void *)(p).v)[i])

static void *pile_add(struct section *s, struct pile *p, size_t size)
{
    if (p->count == p->cap) {
        uint32_t cap = p->cap == 0 ? ITEMS_INLINE : p->cap * 2;
        char *v = mem_realloc(p->v, p->cap * size, cap * size);

        if (v == NULL) {
            section_fail(s, SECTION_NOMEM);
            return NULL;
        }
        p->v = v;
        p->cap = cap;
    }
    void *at = p->v + (size_t)p->count++ * size;

    memset(at, 0, size);
    return at;
}

static void pile_reset(struct pile *p, size_t size)
{
    p->count = 0;
    if (p->cap > 1024) {
        mem_free(p->v, p->cap * size);
        *p = (struct pile){0};
    }
}

int section_create(struct section **out, struct changelog *log)
{
    struct section *s = mem_zalloc(sizeof(*s));

    if (s == NULL) {
        return ERR_NOMEM;
    }
    s->log = log;
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
    mem_free(s->retires.v, s->retires.cap * sizeof(struct deferred));
    mem_free(s->aborts.v, s->aborts.cap * sizeof(struct deferred));
    mem_free(s->ends.v, s->ends.cap * sizeof(struct deferred));
    mem_free(s->index, s->index_cap * sizeof(s->index[0]));
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

UNCHECKED_LOCKS static void unlock_all(struct section *s)
{
    for (uint64_t m = s->locked; m != 0; m &= m - 1) {
        partition_unlock(database_partition(s->db, (unsigned)__builtin_ctzl(m)));
    }
    s->locked = 0;
}

UNCHECKED_LOCKS int section_begin(struct section *s, struct database *db, uint64_t mask, bool make,
                                  struct partition **held)
{
    s->db = db;
    s->changed = s->in_place = 0;
    s->deadline_ms = INT64_MAX;
    s->failure = SECTION_OK;
    s->flushed = s->applies = false;
    s->client = 0;
    buf_clear(&s->change_bytes);
    if (change_begin(&s->change, &s->change_bytes, db->id) != OK) {
        return ERR_NOMEM;
    }
    for (uint64_t m = mask; m != 0; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctzl(m);
        struct partition *p = make ? database_partition_make(db, i) : database_partition(db, i);

        if (p == NULL) {
            if (make) {
                unlock_all(s);
                return ERR_NOMEM;
            }
            continue;
        }
        if (!partition_lock(p)) {
            unlock_all(s);
            *held = p;
            return ERR_FULL;
        }
        s->locked |= (uint64_t)1 << i;
    }
    s->now_ms = clock_now_ms();
    return OK;
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

static struct entry *in_table(struct section *s, const struct key *key)
{
    struct partition *p = database_partition(s->db, key->partition);

    assert(p == NULL || (s->locked & (uint64_t)1 << key->partition) != 0); /* S1 */
    return p == NULL || s->flushed ? NULL : table_find(&p->table, key->name, key->hash);
}

/* NULL: no memory, and the section has failed. */
static struct item *item_for(struct section *s, const struct key *key)
{
    struct item *it = item_find(s, key);

    if (it != NULL) {
        return it;
    }
    it = pile_add(s, &s->items, sizeof(*it));
    if (it == NULL) {
        return NULL;
    }
    it->key = *key;
    it->old = it->now = in_table(s, key);
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

    return entry_is_expired(e, now_ms) || (t->is_dead != NULL && t->is_dead(e, now_ms, true));
}

struct entry *section_find(struct section *s, struct key key)
{
    struct item *it = s->items.count == 0 ? NULL : item_find(s, &key);
    struct entry *e = it != NULL ? it->now : in_table(s, &key);

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

    return it != NULL ? it->now : in_table(s, &key);
}

/* What the section itself made is not published: freed at its end. */
static void discard(struct section *s, struct item *it)
{
    if (it->now == NULL || it->now == it->old) {
        return;
    }
    struct discard *d = pile_add(s, &s->discards, sizeof(*d));

    if (d == NULL) {
        /* The section has failed and will abort; its value is freed by its type's on_abort. */
        entry_free(it->now);
        it->now = NULL;
        it->key.name = it->old != NULL ? entry_key(it->old) : (struct slice){NULL, 0};
        return;
    }
    *d = (struct discard){it->now, it->keep_now};
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
    discard(s, it);
    /* The name must live as long as the item: the argument may not, the entry does. */
    it->key.name = entry_key(e);
    it->now = e;
    it->keep_now = false;
}

void section_remove(struct section *s, struct key key)
{
    struct item *it = item_for(s, &key);

    if (it == NULL) {
        return;
    }
    discard(s, it);
    it->now = NULL;
    it->keep_now = false;
}

void section_keep_value(struct section *s, struct key key)
{
    struct item *it = item_for(s, &key);

    if (it == NULL) {
        return;
    }
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
    if (tracking_is_on() && !notices_changed(&s->notices, key.name)) {
        section_fail(s, SECTION_NOMEM);
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

        discard(s, it);
        it->old = it->now = NULL;
    }
    s->flushed = true;
}

struct change_writer *section_change(struct section *s)
{
    return &s->change;
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
    if (!notices_message(&s->notices, kind, channel, text)) {
        section_fail(s, SECTION_NOMEM);
    }
}

void section_retire(struct section *s, void *object, size_t bytes, rcu_free_fn fn)
{
    struct deferred *d = pile_add(s, &s->retires, sizeof(*d));

    if (d != NULL) {
        *d = (struct deferred){.object = object, .bytes = bytes, .free = fn};
    }
}

void section_on_abort(struct section *s, void (*fn)(void *, void *), void *object, void *arg)
{
    struct deferred *d = pile_add(s, &s->aborts, sizeof(*d));

    if (d != NULL) {
        *d = (struct deferred){.object = object, .arg = arg, .fn = fn};
    } else {
        fn(object, arg); /* undone at once: the section has failed, and nothing uses it any more */
    }
}

void section_on_end(struct section *s, void (*fn)(void *, void *), void *object, void *arg)
{
    struct deferred *d = pile_add(s, &s->ends, sizeof(*d));

    if (d != NULL) {
        *d = (struct deferred){.object = object, .arg = arg, .fn = fn};
    } else {
        fn(object, arg);
    }
}

/* ---- The end ---- */

static void finish(struct section *s)
{
    for (uint32_t i = s->ends.count; i-- > 0;) {
        struct deferred *d = PILE(s->ends, struct deferred, i);

        d->fn(d->object, d->arg);
    }
    unlock_all(s);
    notices_clear(&s->notices);
    pile_reset(&s->items, sizeof(struct item));
    pile_reset(&s->discards, sizeof(struct discard));
    pile_reset(&s->retires, sizeof(struct deferred));
    pile_reset(&s->aborts, sizeof(struct deferred));
    pile_reset(&s->ends, sizeof(struct deferred));
    if (s->index != NULL) {
        mem_free(s->index, s->index_cap * sizeof(s->index[0]));
        s->index = NULL;
        s->index_cap = 0;
    }
    if (s->fresh != NULL) {
        mem_free(s->fresh, PARTITIONS * sizeof(*s->fresh));
        s->fresh = NULL;
    }
    if (s->change_bytes.cap > CHANGE_KEEP) {
        buf_fini(&s->change_bytes);
    }
}

void section_abort(struct section *s)
{
    for (uint32_t i = s->aborts.count; i-- > 0;) {
        struct deferred *d = PILE(s->aborts, struct deferred, i);

        d->fn(d->object, d->arg);
    }
    for (uint32_t i = 0; i < s->items.count; i++) {
        struct item *it = PILE(s->items, struct item, i);

        if (it->now != it->old) {
            entry_free(it->now);
        }
    }
    for (uint32_t i = 0; i < s->discards.count; i++) {
        entry_free(PILE(s->discards, struct discard, i)->entry);
    }
    if (s->flushed) {
        for (unsigned i = 0; i < PARTITIONS; i++) {
            size_t budget = SIZE_MAX;

            (void)table_dir_free(table_detach(&s->fresh[i].table, &s->fresh[i].stats), &budget,
                                 NULL);
        }
    }
    finish(s);
}

static void table_of(struct section *s, unsigned partition, struct table **t,
                     struct table_stats **st)
{
    struct partition *p = database_partition(s->db, partition);

    *t = s->flushed ? &s->fresh[partition].table : &p->table;
    *st = s->flushed ? &s->fresh[partition].stats : &p->stats;
}

/* S2. A word for each new key, and room to retire whatever goes. */
static int prepare(struct section *s)
{
    struct table *t;
    struct table_stats *st;
    uint32_t i;
    size_t retires = s->retires.count + s->discards.count + (s->flushed ? PARTITIONS : 0);

    for (i = 0; i < s->items.count; i++) {
        struct item *it = PILE(s->items, struct item, i);

        /* Its removal may shrink the table, which retires a segment or two and a directory. */
        retires += it->old == NULL ? 0 : it->now == NULL ? 4 : 1;
        if (it->now == it->old) {
            continue;
        }
        s->changed |= (uint64_t)1 << it->key.partition;
        if (it->old == NULL) {
            table_of(s, it->key.partition, &t, &st);
            uint64_t bytes = st->bytes;

            if (table_prepare(t, st, it->now, it->key.hash) != OK) {
                break;
            }
            it->is_prepared = true;
            if (!s->flushed) {
                section_charge(s, it->key, (int64_t)(st->bytes - bytes));
            }
        }
    }
    if (i == s->items.count && rcu_reserve(retires) == OK) {
        return OK;
    }
    return ERR_NOMEM;
}

static void unprepare(struct section *s)
{
    struct table *t;
    struct table_stats *st;

    for (uint32_t i = 0; i < s->items.count; i++) {
        struct item *it = PILE(s->items, struct item, i);

        if (it->is_prepared) {
            table_of(s, it->key.partition, &t, &st);
            table_unprepare(t, st, it->now, it->key.hash);
            it->is_prepared = false;
        }
    }
}

/* What the log does with a string that it holds by reference: the tree's root, counted. */
static bool each_piece(void *object, size_t len, bool (*fn)(struct slice, void *), void *arg)
{
    struct tree_ref t = {object, len};

    for (uint64_t at = 0; at < len;) {
        struct slice piece = blocks_chunk(&t, at);

        if (!fn(piece, arg)) {
            return false;
        }
        at += piece.len;
    }
    return true;
}

static void put_object(void *object, size_t len)
{
    size_t budget = SIZE_MAX;

    (void)len;
    if (object != NULL) {
        (void)blocks_free(object, &budget);
    }
}

/* The change beside the ring. NULL: no memory. */
static struct change_blob *spill(struct section *s)
{
    size_t n = s->change.refs_count;
    struct change_blob *b = mem_zalloc(sizeof(*b));

    if (b == NULL) {
        return NULL;
    }
    b->len = b->cap = s->change_bytes.len;
    b->bytes = mem_alloc(b->cap);
    b->ref_count = n;
    b->refs = n == 0 ? NULL : mem_alloc(n * sizeof(b->refs[0]));
    if (b->bytes == NULL || (n > 0 && b->refs == NULL)) {
        mem_free(b->bytes, b->cap);
        mem_free(b->refs, n * sizeof(b->refs[0]));
        mem_free(b, sizeof(*b));
        return NULL;
    }
    memcpy(b->bytes, s->change_bytes.ptr, b->len);
    for (size_t i = 0; i < n; i++) {
        const struct change_ref *r = &s->change.refs[i];

        if (r->ref != NULL) {
            blocks_get(r->ref);
        }
        b->refs[i] = (struct change_blob_ref){r->at, r->len, r->ref};
    }
    b->each = each_piece;
    b->put = put_object;
    return b;
}

static void blob_drop(struct change_blob *b)
{
    if (b != NULL) {
        for (size_t i = 0; i < b->ref_count; i++) {
            b->put(b->refs[i].object, b->refs[i].len);
        }
        mem_free(b->refs, b->ref_count * sizeof(b->refs[0]));
        mem_free(b->bytes, b->cap);
        mem_free(b, sizeof(*b));
    }
}

static struct partition *partition_at(const struct section *s, uint64_t mask)
{
    return database_partition(s->db, (unsigned)__builtin_ctzl(mask));
}

static void mark_all(struct section *s)
{
    for (uint64_t m = s->changed; m != 0; m &= m - 1) {
        if (s->deadline_ms != INT64_MAX) {
            partition_mark_fenced(partition_at(s, m)); /* S5 */
        } else {
            partition_mark(partition_at(s, m));
        }
    }
}

static void unmark_all(struct section *s)
{
    for (uint64_t m = s->changed; m != 0; m &= m - 1) {
        partition_unmark(partition_at(s, m));
    }
}

static void retire_entry(struct entry *e, bool keep_value)
{
    if (!keep_value && (e->encoding == ENC_TREE || e->encoding == ENC_LARGE)) {
        rcu_retire_object(e, type_bytes(e), database_free_entry);
    } else {
        rcu_retire(e, entry_bytes(e));
    }
}

/* Shows what the section wrote to the key before its last word on it. */
static void publish_steps(struct section *s, struct item *it, struct table *t,
                          struct table_stats *st)
{
    for (uint32_t i = 0; i < s->discards.count; i++) {
        struct entry *e = PILE(s->discards, struct discard, i)->entry;

        if (it->old != NULL && slice_is(entry_key(e), it->key.name)) {
            table_replace(t, st, it->old, e, it->key.hash);
            sched_yield();
            table_replace(t, st, e, it->old, it->key.hash);
        }
    }
}

/* One item becomes visible, and the accounts with it. */
static void publish_item(struct section *s, struct item *it)
{
    struct table *t;
    struct table_stats *st;
    int64_t bytes = 0;

    if (it->now == it->old) {
        return;
    }
    table_of(s, it->key.partition, &t, &st);
    if (BROKEN(4)) {
        publish_steps(s, it, t, st);
    }
    if (it->old == NULL) {
        table_publish(t, st, it->now, it->key.hash);
    } else if (it->now == NULL) {
        table_remove(t, st, it->old, it->key.hash);
    } else {
        table_replace(t, st, it->old, it->now, it->key.hash);
    }
    bytes += it->now == NULL ? 0 : (int64_t)type_bytes(it->now);
    bytes -= it->old == NULL ? 0 : (int64_t)type_bytes(it->old);
    section_charge(s, it->key, bytes);
}

/* The old tables go as they are; what was written since the flush is in the new ones. */
static void publish_flush(struct section *s)
{
    for (uint64_t m = s->locked; m != 0; m &= m - 1) {
        struct partition *p = partition_at(s, m);
        struct fresh *f = &s->fresh[p->index];
        int64_t gone = p->data_bytes;
        int64_t stays = 0;

        for (uint32_t i = 0; i < s->items.count; i++) {
            struct item *it = PILE(s->items, struct item, i);

            if (it->key.partition == p->index && it->now != NULL) {
                table_publish(&f->table, &f->stats, it->now, it->key.hash);
                stays += (int64_t)type_bytes(it->now);
            }
        }
        stays += (int64_t)f->stats.bytes;
        struct table_dir *old = table_detach(&p->table, &p->stats);

        table_attach(&p->table, &p->stats, &f->table, &f->stats);
        p->data_bytes = stays;
        database_charge(s->db, stays - gone);
        if (old != NULL) {
            rcu_retire_object(old, (size_t)gone, database_free_table);
        }
    }
}

static void publish(struct section *s, uint64_t seq)
{
    for (uint64_t m = s->changed; m != 0; m &= m - 1) {
        partition_version_begin(partition_at(s, m), seq);
    }
    if (UNLIKELY(s->flushed)) {
        publish_flush(s);
    } else {
        for (uint32_t i = 0; i < s->items.count; i++) {
            publish_item(s, PILE(s->items, struct item, i));
        }
    }
    for (uint64_t m = s->changed; m != 0; m &= m - 1) {
        partition_version_end(partition_at(s, m));
    }
}

static void retire_all(struct section *s)
{
    for (uint32_t i = 0; i < s->items.count; i++) {
        struct item *it = PILE(s->items, struct item, i);

        if (it->old != NULL && it->now != it->old && !s->flushed) {
            retire_entry(it->old, it->keep_old);
            if (it->now == NULL) {
                struct partition *p = database_partition(s->db, it->key.partition);
                uint64_t bytes = p->stats.bytes;

                table_shrink(&p->table, &p->stats, it->key.hash);
                if (p->stats.bytes != bytes) {
                    section_charge(s, it->key, (int64_t)(p->stats.bytes - bytes));
                }
            }
        }
    }
    for (uint32_t i = 0; i < s->discards.count; i++) {
        struct discard *d = PILE(s->discards, struct discard, i);

        retire_entry(d->entry, d->keep);
    }
    for (uint32_t i = 0; i < s->retires.count; i++) {
        struct deferred *d = PILE(s->retires, struct deferred, i);

        if (d->free == NULL) {
            rcu_retire(d->object, d->bytes);
        } else {
            rcu_retire_object(d->object, d->bytes, d->free);
        }
    }
}

static enum section_end fail(struct section *s, struct change_blob *b, enum section_end end)
{
    blob_drop(b);
    unprepare(s);
    section_abort(s);
    return end;
}

/* Whether a reader may have seen what expires then expired, and not our mark. */
static bool has_passed(int64_t deadline_ms)
{
    /* S5: the mark is seen by all before the clock is read; the store alone could still wait behind the
     * load, and a reader would find the key expired and no section under way. */
    /* lint: a store before a load needs a fence; no data hang on it */
    atomic_thread_fence(memory_order_seq_cst);
    return !BROKEN(5) && clock_now_ms() >= deadline_ms;
}

/* Client-side caches: the change is visible by now. */
static void tell_trackers(struct section *s, uint64_t seq)
{
    if (s->flushed) {
        tracking_flushed(s->db, seq);
    }
    for (uint32_t i = 0; i < s->items.count; i++) {
        struct item *it = PILE(s->items, struct item, i);

        if (it->now != it->old) {
            tracking_changed(s->db, it->key.name, s->client, seq);
        }
    }
}

enum section_end section_commit(struct section *s, uint64_t *seq)
{
    struct change_blob *blob = NULL;
    bool many = s->items.count > 1 || s->flushed;
    bool marked = many || s->deadline_ms != INT64_MAX;

    *seq = 0;
    if (s->failure != SECTION_OK) {
        return fail(s, NULL, SECTION_FAILED);
    }
    if (s->change.ops == 0) {
        if (!notices_is_empty(&s->notices)) {
            notices_send(&s->notices, s->db, s->client, changelog_seen_seq(s->log));
        }
        section_abort(s);
        return SECTION_COMMITTED;
    }
    s->changed = s->in_place | (s->flushed ? s->locked : 0);
    if (s->change_bytes.len > CHANGE_MAX) {
        section_fail(s, SECTION_TOO_LARGE);
        return fail(s, NULL, SECTION_FAILED);
    }
    if (prepare(s) != OK || ((s->change_bytes.len > CHANGELOG_SPILL || s->change.refs_count > 0) &&
                             (blob = spill(s)) == NULL)) {
        section_fail(s, SECTION_NOMEM);
        return fail(s, NULL, SECTION_FAILED);
    }
    if (marked) {
        mark_all(s); /* S4, S5 */
        if (s->deadline_ms != INT64_MAX && has_passed(s->deadline_ms)) {
            unmark_all(s);
            return fail(s, blob, SECTION_AGAIN);
        }
    }
    if (BROKEN(3)) {
        publish(s, 0);
        sched_yield();
    }
    *seq = changelog_append(s->log, &s->credit, buf_slice(&s->change_bytes), blob, clock_now_ms());
    if (!BROKEN(3)) {
        publish(s, *seq);
    }
    if (marked) {
        unmark_all(s);
    }
    if (tracking_is_on()) {
        tell_trackers(s, *seq);
    }
    if (!notices_is_empty(&s->notices)) {
        /* Before the locks go: in the order of the changes. */
        notices_send(&s->notices, s->db, s->client, *seq);
    }
    retire_all(s);
    finish(s);
    return SECTION_COMMITTED;
}
