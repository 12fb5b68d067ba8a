#include "node/watched.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include "edge/session.h"
#include "node/database.h"
#include "node/entry.h"
#include "node/partition.h"
#include "node/section.h"

#include <assert.h>

enum { BUCKETS = 128, INDEX_FROM = 16 };

struct watch {
    struct list link;                 /* in its bucket; guarded by the table's lock */
    struct watch *next, *same_bucket; /* of its session */
    struct partition *partition;
    struct key key; /* the name lies behind the struct */
    bool was_there;
    _Atomic bool is_touched;
    char name[];
};

struct watched_table {
    _Atomic uint32_t lock; /* held for a few instructions; ranks last */
    uint32_t count;
    struct list buckets[BUCKETS];
};

/* What a session keeps. */
struct watches {
    struct watch *first;
    uint32_t count;
    uint64_t mask;
    struct watch *index[BUCKETS]; /* by hash, so that watching many keys twice costs no walk */
};

static void lock(struct watched_table *t)
{
    /* Acquire and release: pairs with unlock() below. */
    while (atomic_exchange_explicit(&t->lock, 1, memory_order_acquire) != 0) {
        __builtin_ia32_pause();
    }
}

static void unlock(struct watched_table *t)
{
    atomic_store_explicit(&t->lock, 0, memory_order_release);
}

static unsigned bucket_of(uint64_t hash)
{
    return (unsigned)(hash >> 8) % BUCKETS;
}

/* Made under the partition's lock, and kept with the partition. */
static struct watched_table *table_of(struct partition *p)
{
    struct watched_table *t = p->watched;

    if (t == NULL && (t = mem_zalloc(sizeof(*t))) != NULL) {
        for (unsigned i = 0; i < BUCKETS; i++) {
            list_init(&t->buckets[i]);
        }
        p->watched = t;
    }
    return t;
}

void watched_table_destroy(struct watched_table *t)
{
    if (t != NULL) {
        assert(t->count == 0);
        mem_free(t, sizeof(*t));
    }
}

static struct watches *watches_of(struct session *s)
{
    if (s->backend_watches == NULL) {
        s->backend_watches = mem_zalloc(sizeof(struct watches));
    }
    return s->backend_watches;
}

static struct watch *find(const struct watches *ws, const struct partition *p,
                          const struct key *key)
{
    for (struct watch *w = ws->index[bucket_of(key->hash)]; w != NULL; w = w->same_bucket) {
        if (w->partition == p && w->key.hash == key->hash && slice_is(w->key.name, key->name)) {
            return w;
        }
    }
    return NULL;
}

static size_t watch_bytes(const struct watch *w)
{
    return sizeof(*w) + w->key.name.len;
}

static void link_in(struct watches *ws, struct watched_table *t, struct watch *w)
{
    unsigned i = bucket_of(w->key.hash);

    w->next = ws->first;
    ws->first = w;
    w->same_bucket = ws->index[i];
    ws->index[i] = w;
    ws->count++;
    ws->mask |= (uint64_t)1 << w->key.partition;
    lock(t);
    list_push(&t->buckets[i], &w->link);
    t->count++;
    unlock(t);
}

enum watched_added watched_add(struct session *s, struct key key, bool is_there)
{
    struct watches *ws = watches_of(s);
    struct partition *p = database_partition_make(s->db, key.partition);
    struct watched_table *t = p == NULL ? NULL : table_of(p);
    struct watch *w;

    if (ws == NULL || t == NULL) {
        return WATCHED_NOMEM;
    }
    if (find(ws, p, &key) != NULL) {
        return WATCHED_OK;
    }
    if (ws->count == LIMIT_WATCHED_KEYS) {
        return WATCHED_TOO_MANY;
    }
    w = mem_zalloc(sizeof(*w) + key.name.len);
    if (w == NULL) {
        return WATCHED_NOMEM;
    }
    w->partition = p;
    w->key = key;
    w->key.name.ptr = w->name;
    if (key.name.len > 0) {
        memcpy(w->name, key.name.ptr, key.name.len);
    }
    w->was_there = is_there;
    link_in(ws, t, w);
    return WATCHED_OK;
}

uint64_t watched_mask(const struct session *s)
{
    const struct watches *ws = s->backend_watches;

    return ws == NULL ? 0 : ws->mask;
}

uint32_t watched_count(const struct session *s)
{
    const struct watches *ws = s->backend_watches;

    return ws == NULL ? 0 : ws->count;
}

bool watched_is_any_touched(struct session *s, struct section *section)
{
    const struct watches *ws = s->backend_watches;

    for (struct watch *w = ws == NULL ? NULL : ws->first; w != NULL; w = w->next) {
        /* Relaxed: the partition's lock is between the mark and this look. */
        if (atomic_load_explicit(&w->is_touched, memory_order_relaxed) ||
            (w->was_there && section_find(section, w->key) == NULL)) {
            return true;
        }
    }
    return false;
}

void watched_clear(struct session *s)
{
    struct watches *ws = s->backend_watches;
    struct watch *w;

    if (ws == NULL) {
        return;
    }
    s->backend_watches = NULL;
    while ((w = ws->first) != NULL) {
        struct watched_table *t = w->partition->watched;

        ws->first = w->next;
        lock(t);
        list_remove(&w->link);
        t->count--;
        unlock(t);
        mem_free(w, watch_bytes(w));
    }
    mem_free(ws, sizeof(*ws));
}

void watched_touch(struct partition *p, struct key key, bool was, bool is)
{
    struct watched_table *t = p->watched;

    if (!was && !is) {
        return;
    }
    lock(t);
    struct list *head = &t->buckets[bucket_of(key.hash)];

    for (struct list *l = head->next; l != head; l = l->next) {
        struct watch *w = LIST_ITEM(l, struct watch, link);

        /* Absent when it was watched, and absent after: its expired remains were taken away. */
        if (w->key.hash == key.hash && slice_is(w->key.name, key.name) && (w->was_there || is)) {
            atomic_store_explicit(&w->is_touched, true, memory_order_relaxed);
        }
    }
    unlock(t);
}

void watched_touch_all(struct partition *p)
{
    struct watched_table *t = p->watched;

    lock(t);
    for (unsigned i = 0; t->count > 0 && i < BUCKETS; i++) {
        struct list *head = &t->buckets[i];

        for (struct list *l = head->next; l != head; l = l->next) {
            struct watch *w = LIST_ITEM(l, struct watch, link);

            if (table_find(&p->table, w->key.name, w->key.hash) != NULL) {
                atomic_store_explicit(&w->is_touched, true, memory_order_relaxed);
            }
        }
    }
    unlock(t);
}
