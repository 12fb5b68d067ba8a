#include "node/watched.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "edge/session.h"
#include "node/database.h"
#include "node/keyed.h"
#include "node/partition.h"
#include "node/section.h"

enum { INDEX_FIRST = 16 };

struct watch {
    struct keyed_node node;           /* its key's name lies behind the struct */
    struct watch *next, *same_bucket; /* of its session */
    struct partition *partition;
    bool was_there;
    _Atomic bool is_touched;
    char name[];
};

/* What a session keeps. */
struct watches {
    struct watch *first;
    uint32_t count;
    uint32_t cap; /* of index, a power of two */
    uint64_t mask;
    struct watch **index; /* by hash, so that watching many keys twice costs no walk */
};

static struct watch **bucket_of(const struct watches *ws, uint64_t hash)
{
    return &ws->index[(hash >> 8) & (ws->cap - 1)];
}

/* Room for one more; an index that cannot grow has longer chains. */
static bool index_grow(struct watches *ws)
{
    uint32_t cap = ws->cap == 0 ? INDEX_FIRST : ws->cap * 2;
    struct watch **index;

    if (ws->count < ws->cap || (index = mem_zalloc(cap * sizeof(struct watch *))) == NULL) {
        return ws->cap > 0;
    }
    mem_free(ws->index, ws->cap * sizeof(struct watch *));
    ws->index = index;
    ws->cap = cap;
    for (struct watch *w = ws->first; w != NULL; w = w->next) {
        struct watch **at = bucket_of(ws, w->node.key.hash);

        w->same_bucket = *at;
        *at = w;
    }
    return true;
}

static struct watches *watches_of(struct session *s)
{
    struct watches *ws = s->backend_watches;

    if (ws == NULL) {
        ws = mem_zalloc(sizeof(*ws));
        s->backend_watches = ws;
    }
    return ws != NULL && index_grow(ws) ? ws : NULL;
}

static struct watch *find(const struct watches *ws, const struct partition *p,
                          const struct key *key)
{
    for (struct watch *w = *bucket_of(ws, key->hash); w != NULL; w = w->same_bucket) {
        if (w->partition == p && w->node.key.hash == key->hash &&
            slice_is(w->node.key.name, key->name)) {
            return w;
        }
    }
    return NULL;
}

static size_t watch_bytes(const struct watch *w)
{
    return sizeof(*w) + w->node.key.name.len;
}

static void link_in(struct watches *ws, struct watch *w)
{
    struct watch **at = bucket_of(ws, w->node.key.hash);

    w->next = ws->first;
    ws->first = w;
    w->same_bucket = *at;
    *at = w;
    ws->count++;
    ws->mask |= (uint64_t)1 << w->node.key.partition;
    keyed_put(w->partition->watched, &w->node);
}

enum watched_added watched_add(struct session *s, struct key key, bool is_there)
{
    struct watches *ws = watches_of(s);
    struct partition *p = database_partition_make(s->db, key.partition);
    struct watch *w;

    if (ws == NULL || p == NULL || keyed_table_of(&p->watched) == NULL) {
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
    w->node.key = key;
    w->node.key.name.ptr = w->name;
    if (key.name.len > 0) {
        memcpy(w->name, key.name.ptr, key.name.len);
    }
    w->was_there = is_there;
    link_in(ws, w);
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

    for (struct watch *w = ws == NULL || BROKEN(9) ? NULL : ws->first; w != NULL; w = w->next) {
        /* Relaxed: the partition's lock is between the mark and this look. */
        if (atomic_load_explicit(&w->is_touched, memory_order_relaxed) ||
            (w->was_there && section_find(section, w->node.key) == NULL)) {
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
        ws->first = w->next;
        keyed_take(w->partition->watched, &w->node);
        mem_free(w, watch_bytes(w));
    }
    mem_free(ws->index, ws->cap * sizeof(struct watch *));
    mem_free(ws, sizeof(*ws));
}

static struct watch *watch_of(struct keyed_node *n)
{
    return LIST_ITEM(n, struct watch, node);
}

static bool touch(struct keyed_node *n, void *is)
{
    struct watch *w = watch_of(n);

    /* Absent when it was watched, and absent after: its expired remains were taken away. */
    if (w->was_there || *(const bool *)is) {
        atomic_store_explicit(&w->is_touched, true, memory_order_relaxed);
    }
    return true;
}

void watched_touch(struct partition *p, struct key key, bool was, bool is)
{
    if (was || is) {
        keyed_each(p->watched, &key, touch, &is);
    }
}

static bool touch_if_there(struct keyed_node *n, void *partition)
{
    struct partition *p = partition;

    if (table_find(&p->table, n->key.name, n->key.hash) != NULL) {
        atomic_store_explicit(&watch_of(n)->is_touched, true, memory_order_relaxed);
    }
    return true;
}

void watched_touch_all(struct partition *p)
{
    keyed_each(p->watched, NULL, touch_if_there, p);
}
