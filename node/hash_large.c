#include "node/hash_large.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "node/entry.h"
#include "node/slices.h"

#include <assert.h>

/* COPY_: of a copy, in a turn. */
enum {
    PAGE = 64,
    WITNESSES = 8,
    SAMPLE = 24,
    COPY_FIELDS = 1000,
    COPY_STEP = 50,
    COPY_BYTES = 128 << 10
};

static uint64_t hash_of(const struct entry *field)
{
    return hash_key(entry_key(field));
}

/* ---- The heap of fields that expire ---- */

static struct hash_due *heap_at(const struct hash_heap *h, uint32_t i)
{
    return &h->pages[i / PAGE][i % PAGE];
}

static void heap_set(struct hash_heap *h, uint32_t i, struct hash_due due)
{
    *heap_at(h, i) = due;
    /* Relaxed: guarded by the hash's lock; an atomic only because clocks are. */
    atomic_store_explicit(entry_clock(due.field), i, memory_order_relaxed);
}

static void heap_rise(struct hash_heap *h, uint32_t i)
{
    struct hash_due due = *heap_at(h, i);

    while (i > 0 && heap_at(h, (i - 1) / 2)->at_ms > due.at_ms) {
        heap_set(h, i, *heap_at(h, (i - 1) / 2));
        i = (i - 1) / 2;
    }
    heap_set(h, i, due);
}

static void heap_sink(struct hash_heap *h, uint32_t i)
{
    struct hash_due due = *heap_at(h, i);

    for (uint32_t c = 2 * i + 1; c < h->count; c = 2 * i + 1) {
        if (c + 1 < h->count && heap_at(h, c + 1)->at_ms < heap_at(h, c)->at_ms) {
            c++;
        }
        if (heap_at(h, c)->at_ms >= due.at_ms) {
            break;
        }
        heap_set(h, i, *heap_at(h, c));
        i = c;
    }
    heap_set(h, i, due);
}

/* Room for one more. */
static int heap_reserve(struct hash_heap *h)
{
    if (h->count < h->page_count * PAGE) {
        return OK;
    }
    if (h->page_count == h->page_cap) {
        uint32_t cap = h->page_cap == 0 ? 4 : h->page_cap * 2;
        struct hash_due **pages =
            mem_realloc(h->pages, h->page_cap * sizeof(*pages), cap * sizeof(*pages));

        if (pages == NULL) {
            return ERR_NOMEM;
        }
        h->pages = pages;
        h->page_cap = cap;
    }
    h->pages[h->page_count] = mem_alloc(PAGE * sizeof(struct hash_due));
    if (h->pages[h->page_count] == NULL) {
        return ERR_NOMEM;
    }
    h->page_count++;
    return OK;
}

static void heap_add(struct hash_heap *h, struct entry *field)
{
    assert(h->count < h->page_count * PAGE);
    uint32_t i = h->count++;

    heap_set(h, i, (struct hash_due){entry_expire_at_ms(field), field});
    heap_rise(h, i);
}

static void heap_drop(struct hash_heap *h, const struct entry *field)
{
    uint32_t i = atomic_load_explicit(entry_clock(field), memory_order_relaxed);

    assert(i < h->count);
    assert(heap_at(h, i)->field == field);
    struct hash_due last = *heap_at(h, --h->count);

    if (i < h->count) {
        heap_set(h, i, last);
        heap_rise(h, i);
        heap_sink(h, atomic_load_explicit(entry_clock(last.field), memory_order_relaxed));
    }
}

static void heap_trim(struct hash_heap *h)
{
    /* One page is kept ahead, so that a count that swings around a page's end costs nothing. */
    while (h->page_count > h->count / PAGE + 2) {
        mem_free(h->pages[--h->page_count], PAGE * sizeof(struct hash_due));
    }
    if (h->count == 0) {
        while (h->page_count > 0) {
            mem_free(h->pages[--h->page_count], PAGE * sizeof(struct hash_due));
        }
        mem_free(h->pages, h->page_cap * sizeof(*h->pages));
        *h = (struct hash_heap){0};
    }
}

static size_t heap_bytes(const struct hash_heap *h)
{
    return h->page_count * mem_size(PAGE * sizeof(struct hash_due)) +
           (h->page_cap == 0 ? 0 : mem_size(h->page_cap * sizeof(*h->pages)));
}

size_t hash_large_due(const struct hash_large *l, int64_t now_ms)
{
    const struct hash_heap *h = &l->heap;
    uint32_t todo[64]; /* two for each of the heap's at most 32 levels */
    size_t n = 0;
    int top = 0;

    if (h->count == 0 || heap_at(h, 0)->at_ms > now_ms) {
        return 0;
    }
    /* Below one that is not due none is. */
    todo[top++] = 0;
    while (top > 0) {
        uint32_t i = todo[--top];

        n++;
        for (uint64_t c = 2 * (uint64_t)i + 1; c <= 2 * (uint64_t)i + 2 && c < h->count; c++) {
            if (heap_at(h, (uint32_t)c)->at_ms <= now_ms) {
                todo[top++] = (uint32_t)c;
            }
        }
    }
    return n;
}

int64_t hash_large_alive_until(const struct hash_large *l, int64_t now_ms)
{
    const struct hash_heap *h = &l->heap;
    int64_t latest_ms = 0;

    if (h->count != l->stats.count) {
        return INT64_MAX;
    }
    /* From the leaves, where the latest are: the best of some, if one of them lives. */
    for (uint32_t i = h->count; i-- > 0 && (latest_ms <= now_ms || i + WITNESSES > h->count);) {
        int64_t at_ms = heap_at(h, i)->at_ms;

        latest_ms = at_ms > latest_ms ? at_ms : latest_ms;
    }
    return latest_ms > now_ms ? latest_ms : 0;
}

bool hash_large_all_due(const struct hash_large *l, int64_t now_ms)
{
    return hash_large_alive_until(l, now_ms) == 0;
}

UNCHECKED_LOCKS enum type_life hash_large_life(struct hash_large *l, int64_t now_ms)
{
    /* Relaxed: whoever saw anything of a section that holds the hash sees its 0, which was stored before. */
    if (LIKELY(now_ms < atomic_load_explicit(&l->alive_until_ms, memory_order_relaxed))) {
        return TYPE_ALIVE;
    }
    if (!large_try_lock(&l->large)) {
        return TYPE_BUSY;
    }
    int64_t until_ms = hash_large_alive_until(l, now_ms);

    /* For the next who asks. No section holds it; what another reader found is as good. */
    atomic_store_explicit(&l->alive_until_ms, until_ms, memory_order_relaxed);
    large_unlock(&l->large);
    return until_ms == 0 ? TYPE_DEAD : TYPE_ALIVE;
}

struct entry *hash_large_first_due(const struct hash_large *l, int64_t now_ms)
{
    const struct hash_heap *h = &l->heap;

    return h->count > 0 && heap_at(h, 0)->at_ms <= now_ms ? heap_at(h, 0)->field : NULL;
}

const struct table *hash_large_members(const struct entry *e)
{
    return &hash_large_of(e)->table;
}

size_t hash_large_count(const struct hash_large *l, int64_t now_ms)
{
    return l->stats.count - hash_large_due(l, now_ms);
}

struct entry *hash_large_random(const struct hash_large *l, struct rand *r)
{
    struct entry *sample[SAMPLE];
    struct entry *e = table_random(&l->table, r);

    if (e == NULL) { /* sparse: neighbours from a random place */
        size_t n = table_sample(&l->table, r, sample, SAMPLE);

        e = n == 0 ? NULL : sample[rand_below(r, n)];
    }
    return e;
}

void hash_large_field(const struct entry *e, struct hash_field *out)
{
    *out = (struct hash_field){entry_key(e), entry_payload(e), entry_expire_at_ms(e)};
}

/* ---- Life ---- */

static struct hash_large *of(struct large *l)
{
    return (struct hash_large *)(void *)l; /* it begins with it */
}

/* Asked after every change: also tells those who hold no lock when the next field expires. */
static size_t all_bytes(struct large *large)
{
    struct hash_large *l = of(large);

    /* Relaxed: a figure, by which nobody judges whether a field is there. */
    atomic_store_explicit(&l->next_expiry_ms, l->heap.count == 0 ? 0 : heap_at(&l->heap, 0)->at_ms,
                          memory_order_relaxed);
    return mem_size(sizeof(*l)) + l->stats.bytes + l->field_bytes + heap_bytes(&l->heap);
}

static const struct large_ops ops;

static struct hash_large *create(void)
{
    struct hash_large *l = mem_zalloc(sizeof(*l));

    if (l != NULL) {
        large_init(&l->large, &ops);
    }
    return l;
}

static bool free_field(struct entry *e, size_t *budget)
{
    entry_free(e);
    *budget -= *budget > 0;
    return true;
}

bool hash_large_free(void *object, size_t *budget)
{
    struct hash_large *l = object;

    if (!l->is_dying) {
        l->is_dying = true;
        l->dying = table_detach(&l->table, &l->stats);
    }
    if (l->dying != NULL && !table_dir_free(l->dying, budget, free_field)) {
        return false;
    }
    l->dying = NULL;
    for (; l->heap.page_count > 0; (*budget)--) {
        if (*budget == 0) {
            return false;
        }
        mem_free(l->heap.pages[--l->heap.page_count], PAGE * sizeof(struct hash_due));
    }
    mem_free(l->heap.pages, l->heap.page_cap * sizeof(*l->heap.pages));
    large_fini(&l->large);
    mem_free(l, sizeof(*l));
    return true;
}

/* ---- Changes ---- */

static struct entry *field_create(const struct hash_field *f)
{
    struct entry *e = entry_create(&(struct entry_spec){
        .type = TYPE_STRING,
        .encoding = ENC_BYTES,
        .key = f->name,
        .payload_len = f->value.len,
        .expire_at_ms = f->expire_at_ms,
        .clocked = f->expire_at_ms != 0,
    });

    if (e != NULL && f->value.len > 0) {
        memcpy(entry_payload_ptr(e), f->value.ptr, f->value.len);
    }
    return e;
}

static bool expires(const struct entry *field)
{
    return (field->flags & ENTRY_EXPIRES) != 0;
}

static size_t weight(const struct entry *field)
{
    return mem_size(entry_bytes(field));
}

/* Everything about a field but its word in the table; none of these fails. */
static void count_in(struct hash_large *l, struct entry *field)
{
    l->field_bytes += weight(field);
    if (expires(field)) {
        heap_add(&l->heap, field);
    }
}

static void count_out(struct hash_large *l, const struct entry *field)
{
    l->field_bytes -= weight(field);
    if (expires(field)) {
        heap_drop(&l->heap, field);
    }
}

static void undo(struct large *large, const struct large_undo *u)
{
    struct hash_large *l = of(large);
    struct entry *old = u->old;
    struct entry *now = u->now;

    assert(old != NULL || now != NULL);
    if (now != NULL) {
        count_out(l, now);
    }
    if (old == NULL) {
        table_remove(&l->table, &l->stats, now, hash_of(now));
    } else if (now == NULL) {
        table_publish(&l->table, &l->stats, old, hash_of(old));
    } else {
        table_replace(&l->table, &l->stats, now, old, hash_of(old));
    }
    if (old != NULL) {
        count_in(l, old);
    }
    entry_free(now);
}

/* Removed fields kept their words for undoing. They are retired, and readable until this thread's turn
 * ends. */
static void end(struct large *large, const struct large_undo *v, size_t n, bool is_kept)
{
    struct hash_large *l = of(large);

    for (size_t i = 0; i < n; i++) {
        (void)slices_tick(2);
        if (v[i].now == NULL) {
            table_unprepare(&l->table, &l->stats, v[i].old, hash_of(v[i].old));
        }
    }
    for (size_t i = 0; is_kept && i < n; i++) {
        (void)slices_tick(2);
        if (v[i].now == NULL) {
            table_shrink(&l->table, &l->stats, hash_of(v[i].old));
        }
    }
    if (is_kept) {
        heap_trim(&l->heap);
    }
    atomic_store_explicit(&l->alive_until_ms, hash_large_alive_until(l, 0), memory_order_relaxed);
}

/* Nobody goes by what is not published yet. */
static void begin(struct large *large)
{
    atomic_store_explicit(&of(large)->alive_until_ms, 0, memory_order_relaxed);
}

static const struct large_ops ops = {
    .bytes = all_bytes,
    .undo = undo,
    .begin = begin,
    .end = end,
    .free = hash_large_free,
};

struct hash_large *hash_large_create(struct section *s)
{
    struct hash_large *l = create();

    if (l == NULL) {
        section_fail(s, SECTION_NOMEM);
        return NULL;
    }
    return large_created(s, &l->large) == OK ? l : NULL;
}

/* Notes the change, and lets go of what it replaced. */
static int changed(struct section *s, struct hash_large *l, struct entry *old, struct entry *now)
{
    if (old != NULL && large_is_new(&l->large)) {
        entry_free(old);
    } else if (old != NULL) {
        section_retire(s, old, entry_bytes(old), NULL);
    }
    large_changed(&l->large, (struct large_undo){.old = old, .now = now});
    return section_has_failed(s) ? ERR_NOMEM : OK;
}

/* In place of old, or NULL. */
static int put(struct section *s, struct hash_large *l, const struct hash_field *f, uint64_t hash,
               struct entry *old)
{
    struct entry *now = field_create(f);

    if (now == NULL || (expires(now) && heap_reserve(&l->heap) != OK) ||
        large_reserve(&l->large, 1) != OK) {
        goto fail;
    }
    if (old != NULL) {
        count_out(l, old);
        table_replace(&l->table, &l->stats, old, now, hash);
    } else {
        if (table_prepare(&l->table, &l->stats, now, hash) != OK) {
            goto fail;
        }
        table_publish(&l->table, &l->stats, now, hash);
    }
    count_in(l, now);
    return changed(s, l, old, now);

fail:
    entry_free(now);
    section_fail(s, SECTION_NOMEM);
    return ERR_NOMEM;
}

int hash_large_put(struct section *s, struct hash_large *l, const struct hash_field *f)
{
    uint64_t hash = hash_key(f->name);

    return put(s, l, f, hash, table_find(&l->table, f->name, hash));
}

int hash_large_add(struct section *s, struct hash_large *l, const struct hash_field *f,
                   uint64_t hash)
{
    return put(s, l, f, hash, NULL);
}

int hash_large_remove(struct section *s, struct hash_large *l, struct entry *field)
{
    uint64_t hash = hash_of(field);

    if (large_reserve(&l->large, 1) != OK) {
        section_fail(s, SECTION_NOMEM);
        return ERR_NOMEM;
    }
    count_out(l, field);
    if (large_is_new(&l->large)) {
        table_remove(&l->table, &l->stats, field, hash);
    } else {
        table_conceal(&l->table, &l->stats, field, hash);
    }
    return changed(s, l, field, NULL);
}

/* ---- Copying ---- */

struct copying {
    struct hash_large *to;
    int64_t now_ms;
    int err;
};

static void copy_field(struct entry *e, void *arg)
{
    struct copying *c = arg;
    struct hash_field f;

    hash_large_field(e, &f);
    if (c->err != OK || hash_field_is_expired(&f, c->now_ms)) {
        return;
    }
    struct entry *now = field_create(&f);
    uint64_t hash = hash_key(f.name);

    if (now == NULL || (expires(now) && heap_reserve(&c->to->heap) != OK) ||
        table_prepare(&c->to->table, &c->to->stats, now, hash) != OK) {
        entry_free(now);
        c->err = ERR_NOMEM;
        return;
    }
    table_publish(&c->to->table, &c->to->stats, now, hash);
    count_in(c->to, now);
}

struct hash_large *hash_large_blank(void)
{
    return create();
}

int hash_large_copy(struct hash_large *to, struct hash_large *from, int64_t now_ms,
                    uint64_t *cursor, size_t want)
{
    struct copying c = {.to = to, .now_ms = now_ms};

    *cursor = table_scan(&from->table, *cursor, want, copy_field, &c);
    large_settle(&to->large);
    return c.err;
}

int hash_large_copy_slice(struct entry *to, const struct entry *from, struct type_walk *walk)
{
    struct hash_large *l = hash_large_of(to);
    int err = OK;

    walk->is_done = l == NULL;
    for (size_t n = 0, full = type_large_bytes(to) + (size_t)2 * COPY_BYTES;
         err == OK && n < COPY_FIELDS && !walk->is_done && type_large_bytes(to) < full;
         n += COPY_STEP) {
        err = hash_large_copy(l, hash_large_of(from), walk->now_ms, &walk->at, COPY_STEP);
        walk->is_done = walk->at == 0;
    }
    return err;
}
