/* section_commit.c - how a section ends: prepared, appended, published, retired; or dropped.
 *
 * Where a command runs in slices (node/slices.h) it may leave off while it prepares and while it retires, under
 * all its locks; never from its marks to its unmarking. */
#include "node/section_parts.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "edge/tracking.h"
#include "node/block.h"
#include "node/blocks.h"
#include "node/database.h"
#include "node/entry.h"
#include "node/keyed.h"
#include "node/library.h"
#include "node/slices.h"
#include "node/type.h"
#include "node/watched.h"

#include <assert.h>
#include <sched.h>

enum { CHANGE_KEEP = 256 << 10 };

enum { PILE_KEEP = 1024 };

static void pile_shrink(struct pile *p, size_t size)
{
    if (p->cap > PILE_KEEP) {
        mem_free(p->v, p->cap * size);
        *p = (struct pile){0};
    }
}

static void piles_reset(struct section *s)
{
    s->items.count = s->discards.count = s->kept.count = s->retires.count = 0;
    s->aborts.count = s->ends.count = s->touched.count = s->saved.count = 0;
    if (LIKELY(s->pile_most <= PILE_KEEP)) {
        return;
    }
    s->pile_most = 0;
    pile_shrink(&s->items, sizeof(struct item));
    pile_shrink(&s->discards, sizeof(struct discard));
    pile_shrink(&s->kept, sizeof(struct kept));
    pile_shrink(&s->retires, sizeof(struct deferred));
    pile_shrink(&s->aborts, sizeof(struct deferred));
    pile_shrink(&s->ends, sizeof(struct deferred));
    pile_shrink(&s->touched, sizeof(struct key));
    pile_shrink(&s->saved, sizeof(struct saved_item));
}

static void run_ends(struct section *s)
{
    while (s->ends.count > 0) {
        struct deferred *d = PILE(s->ends, struct deferred, --s->ends.count);

        (void)slices_tick(4);
        d->fn(d->object, d->arg);
    }
}

static void finish(struct section *s)
{
    run_ends(s);
    section_put_libraries(s, NULL);
    section_unlock_all(s);
    notices_clear(&s->notices);
    piles_reset(s);
    s->savepoint.number = 0;
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

struct block_ready *section_take_ready(struct section *s)
{
    struct block_ready *ready = s->ready;

    s->ready = NULL;
    return ready;
}

void section_abort(struct section *s)
{
    if (UNLIKELY(s->is_ahead)) {
        s->is_ahead = false;
        block_poke(section_take_ready(s)); /* whoever it would have served */
        return;
    }
    block_ready_free(section_take_ready(s));
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
    /* What a savepoint has, too: there is no way back to it any more. */
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

static bool note_ready(struct section *s, struct block_ready ***at, struct key key)
{
    bool failed = false;

    if (LIKELY(!keyed_is_any(database_partition(s->db, key.partition)->blocked))) {
        return true;
    }
    struct block_ready *r = block_ready_at(s->db, key, &failed);

    if (r != NULL) {
        **at = r;
        *at = &r->next;
    }
    return !failed;
}

/* Whom the section will have to serve. Before the append, since it may fail; nobody comes to wait meanwhile,
 * since the partitions are locked. */
static int note_all_ready(struct section *s)
{
    struct block_ready **at = &s->ready;
    bool good = true;

    for (uint32_t i = 0; good && i < s->items.count; i++) {
        const struct item *it = PILE(s->items, struct item, i);

        (void)slices_tick(1);
        good = it->now == it->old || note_ready(s, &at, it->key);
    }
    for (uint32_t i = 0; good && i < s->touched.count; i++) {
        good = note_ready(s, &at, *PILE(s->touched, struct key, i));
    }
    return good ? OK : ERR_NOMEM;
}

/* So many items ahead of the one at hand: the lines of their buckets are fetched, then what is in them. */
enum { AHEAD_BUCKET = 12, AHEAD_ENTRY = 6 };

/* A loop over many keys meets one after the other in lines that are far: two misses each, unless they overlap. */
static inline void look_ahead(struct section *s, uint32_t i)
{
    struct table *t;
    struct table_stats *st;

    if (i + AHEAD_BUCKET < s->items.count) {
        const struct item *it = PILE(s->items, struct item, i + AHEAD_BUCKET);

        table_of(s, it->key.partition, &t, &st);
        table_prefetch_bucket(t, it->key.hash);
        it = PILE(s->items, struct item, i + AHEAD_ENTRY);
        if (it->old != NULL) {
            __builtin_prefetch(it->old);
        }
        if (it->now != NULL && it->now != it->old) {
            __builtin_prefetch(it->now);
        }
    }
}

/* S2. A word for each new key, and room to retire whatever goes. */
static int prepare(struct section *s)
{
    struct table *t;
    struct table_stats *st;
    uint32_t i;
    size_t retires = s->retires.count + s->discards.count + s->kept.count +
                     (s->flushed ? PARTITIONS : 0) + (s->libraries != NULL);

    for (i = 0; i < s->items.count; i++) {
        struct item *it = PILE(s->items, struct item, i);

        (void)slices_tick(2);
        look_ahead(s, i);
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
    if (i == s->items.count && (retires == 0 || rcu_reserve(retires) == OK)) {
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
    /* A long one is handed over; a buffer that is kept would not be taken from. */
    bool hands_over = s->change_bytes.len > CHANGE_KEEP;

    b->len = s->change_bytes.len;
    b->cap = hands_over ? s->change_bytes.cap : b->len;
    b->bytes = hands_over ? s->change_bytes.ptr : mem_alloc(b->cap);
    b->ref_count = n;
    b->refs = n == 0 ? NULL : mem_alloc(n * sizeof(b->refs[0]));
    if (b->bytes == NULL || (n > 0 && b->refs == NULL)) {
        if (!hands_over) {
            mem_free(b->bytes, b->cap);
        }
        mem_free(b->refs, n * sizeof(b->refs[0]));
        mem_free(b, sizeof(*b));
        return NULL;
    }
    if (hands_over) {
        buf_init(&s->change_bytes);
    } else {
        memcpy(b->bytes, s->change_bytes.ptr, b->len);
    }
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

/* Tells who WATCHes the key (W1). */
static inline void touch(const struct section *s, struct key key, bool was, bool is)
{
    struct partition *p = database_partition(s->db, key.partition);

    if (keyed_is_any(p->watched)) {
        watched_touch(p, key, was, is);
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
    touch(s, it->key, it->old != NULL, it->now != NULL);
    table_of(s, it->key.partition, &t, &st);
    if (BROKEN(4)) {
        publish_steps(s, it, t, st);
    }
    if (it->old == NULL) {
        table_publish(t, st, it->now, it->key.hash);
    } else if (it->now == NULL) {
        table_remove(t, st, it->old, it->key.hash);
    } else if (s->items.count == 1) {
        table_replace_at(it->place, st, it->old, it->now, it->key.hash);
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
    /* A reader that misses one of these finds its partition marked, and looks again. */
    for (uint32_t i = 0; i < s->kept.count; i++) {
        struct kept *k = PILE(s->kept, struct kept, i);
        struct partition *p = database_partition(s->db, k->partition);

        table_remove(&p->table, &p->stats, k->entry, k->hash);
        retire_entry(k->entry, true);
    }
    for (uint64_t m = s->locked; m != 0; m &= m - 1) {
        struct partition *p = partition_at(s, m);
        struct fresh *f = &s->fresh[p->index];
        int64_t gone = p->data_bytes;
        int64_t stays = 0;

        if (keyed_is_any(p->watched)) {
            watched_touch_all(p);
        }
        for (uint32_t i = 0; i < s->items.count; i++) {
            struct item *it = PILE(s->items, struct item, i);

            if (it->key.partition == p->index && it->now != NULL) {
                table_publish(&f->table, &f->stats, it->now, it->key.hash);
                touch(s, it->key, false, true);
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

static void publish_libraries(struct section *s)
{
    struct libraries *now = s->libraries;
    struct libraries *old;

    /* Release: pairs with the acquires in section_libraries() and library.c. */
    old = atomic_exchange_explicit(&s->db->libraries, now, memory_order_acq_rel);
    s->libraries = NULL;
    database_charge(s->db, (int64_t)now->bytes - (old == NULL ? 0 : (int64_t)old->bytes));
    if (old != NULL) {
        rcu_retire_object(old, old->bytes, libraries_free);
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
            look_ahead(s, i);
            publish_item(s, PILE(s->items, struct item, i));
        }
    }
    for (uint32_t i = 0; i < s->touched.count; i++) {
        touch(s, *PILE(s->touched, struct key, i), true, true);
    }
    if (UNLIKELY(s->libraries != NULL)) {
        publish_libraries(s);
    }
    for (uint64_t m = s->changed; m != 0; m &= m - 1) {
        partition_version_end(partition_at(s, m));
    }
}

static void retire_all(struct section *s)
{
    for (uint32_t i = 0; i < s->items.count; i++) {
        struct item *it = PILE(s->items, struct item, i);

        (void)slices_tick(4);
        look_ahead(s, i);
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

        (void)slices_tick(2);
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

        (void)slices_tick(2);
        if (it->now != it->old) {
            tracking_changed(s->db, it->key.name, s->client, seq);
        }
    }
    for (uint32_t i = 0; i < s->touched.count; i++) {
        tracking_changed(s->db, PILE(s->touched, struct key, i)->name, s->client, seq);
    }
}

void section_abort_telling(struct section *s)
{
    if (UNLIKELY(!notices_is_empty(&s->notices)) && s->failure == SECTION_OK) {
        notices_send(&s->notices, s->db, changelog_seen_seq(s->log));
    }
    section_abort(s);
}

static enum section_end commit(struct section *s, uint64_t *seq)
{
    struct change_blob *blob = NULL;
    bool many = s->items.count > 1 || s->flushed || s->libraries != NULL;
    bool marked = many || s->deadline_ms != INT64_MAX;

    *seq = 0;
    if (s->failure != SECTION_OK) {
        return fail(s, NULL, SECTION_FAILED);
    }
    if (s->change.ops == 0) {
        section_abort_telling(s);
        return SECTION_COMMITTED;
    }
    s->changed = s->in_place | (s->flushed || s->libraries != NULL ? s->locked : 0);
    if (s->change_bytes.len > SECTION_BYTES_MAX) {
        section_fail(s, SECTION_TOO_LARGE);
        return fail(s, NULL, SECTION_FAILED);
    }
    if (prepare(s) != OK || note_all_ready(s) != OK ||
        ((s->change_bytes.len > CHANGELOG_SPILL || s->change.refs_count > 0) &&
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
        notices_send(&s->notices, s->db, *seq);
    }
    run_ends(s); /* before what they look at is retired, since a slice may end there */
    retire_all(s);
    finish(s);
    return SECTION_COMMITTED;
}

void section_commit_ahead(struct section *s)
{
    s->ahead_end = section_commit(s, &s->ahead_seq);
    s->is_ahead = true;
}

enum section_end section_commit(struct section *s, uint64_t *seq)
{
    if (UNLIKELY(s->is_ahead)) {
        s->is_ahead = false;
        *seq = s->ahead_seq;
        return s->ahead_end;
    }
    return commit(s, seq);
}
