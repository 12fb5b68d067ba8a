/* stream_change.c - changes to a stream; stream_undo.c takes them back. */
#include "node/stream_journal.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/options.h"
#include "node/slices.h"

static bool is_new(const struct section *s, const struct stream *st)
{
    return s == NULL || large_is_new(&st->large);
}

static int fail(struct section *s)
{
    if (s != NULL) {
        section_fail(s, SECTION_NOMEM);
    }
    return ERR_NOMEM;
}

/* Room in the journal for one change. */
static int reserve(struct section *s, struct stream *st)
{
    return s == NULL || large_reserve(&st->large, 1) == OK ? OK : fail(s);
}

static int changed(struct section *s, struct stream *st, struct large_undo u)
{
    if (s == NULL) {
        return OK;
    }
    large_changed(&st->large, u);
    return section_has_failed(s) ? ERR_NOMEM : OK;
}

/* ---- Names ---- */

static int names_reserve(struct stream_names *l, size_t *bytes)
{
    uint32_t cap = l->cap == 0 ? 1 : l->cap * 2;

    if (l->count < l->cap) {
        return OK;
    }
    void **v = mem_realloc(l->v, l->cap * sizeof(*v), cap * sizeof(*v));

    if (v == NULL) {
        return ERR_NOMEM;
    }
    *bytes += mem_size(cap * sizeof(*v)) - (l->cap == 0 ? 0 : mem_size(l->cap * sizeof(*v)));
    l->v = v;
    l->cap = cap;
    return OK;
}

/* There is room: it was reserved, or the thing was there before in this section. */
void stream_names_put(struct stream_names *l, void *thing)
{
    uint32_t i;
    bool there = stream_names_seek(l, *(struct slice *)thing, &i);

    assert(!there);
    assert(l->count < l->cap);
    (void)there;
    buf_move(l->v + i + 1, l->v + i, (l->count - i) * sizeof(*l->v));
    l->v[i] = thing;
    l->count++;
}

void stream_names_take(struct stream_names *l, const void *thing)
{
    uint32_t i;
    bool there = stream_names_seek(l, *(const struct slice *)thing, &i);

    assert(there);
    (void)there;
    l->count--;
    buf_move(l->v + i, l->v + i + 1, (l->count - i) * sizeof(*l->v));
}

/* ---- Entries ---- */

static bool is_full(const struct stream_block *b, const struct slice *parts, size_t n)
{
    enum { BYTES_MOST = 1 << 20, ENTRIES_MOST = 1 << 14 };
    uint64_t bytes = conf_u64(&opt_stream_node_max_bytes);
    uint64_t entries = conf_u64(&opt_stream_node_max_entries);
    uint64_t more = 0;

    for (size_t i = 0; i < n; i++) {
        more += parts[i].len;
    }
    bytes = bytes == 0 || bytes > BYTES_MOST ? BYTES_MOST : bytes;
    entries = entries == 0 || entries > ENTRIES_MOST ? ENTRIES_MOST : entries;
    return stream_block_packed(b) + more >= bytes || (uint64_t)b->live + b->marked >= entries;
}

bool stream_last_place(const struct stream *st, struct id_at *at)
{
    bool more = id_list_last(&st->blocks, at);

    while (more && ((struct stream_block *)id_list_at(&st->blocks, *at))->is_gone) {
        more = id_list_previous(&st->blocks, at);
    }
    return more;
}

static void added(struct stream *st, struct stream_id id)
{
    st->meta.last_id = id;
    st->meta.entries_added++;
    st->length++;
}

/* A block behind `full` (or NULL) will hold as much, so that it need not grow by steps. */
static int add_block(struct section *s, struct stream *st, const struct stream_block *full,
                     struct stream_id id, const struct slice *parts, size_t n)
{
    enum { ROOM_MOST = 8 << 10 };
    struct stream_id last = st->meta.last_id;
    size_t room = full == NULL ? 0 : full->used;
    struct stream_block *b = stream_block_create(id, parts, n, room < ROOM_MOST ? room : 0);

    if (b == NULL || id_list_put(&st->blocks, b, &st->bytes) != OK) {
        if (b != NULL) {
            stream_block_free(b);
        }
        return fail(s);
    }
    st->bytes += stream_block_bytes(b);
    added(st, id);
    return changed(s, st, (struct large_undo){word(ADDED_BLOCK), word(last.ms), (int64_t)last.seq});
}

int stream_large_add(struct section *s, struct stream *st, struct stream_id id,
                     const struct slice *parts, size_t n)
{
    struct stream_id last = st->meta.last_id;
    struct id_at at;
    struct stream_block *b = stream_last_place(st, &at) ? id_list_at(&st->blocks, at) : NULL;

    if (reserve(s, st) != OK) {
        return ERR_NOMEM;
    }
    if (b == NULL || is_full(b, parts, n)) {
        return add_block(s, st, b, id, parts, n);
    }
    uint64_t packed = b->packed_bytes;
    size_t before = stream_block_bytes(b);

    if (stream_block_add(&b, id, parts, n) != OK) {
        return fail(s);
    }
    id_list_set(&st->blocks, at, b);
    st->bytes += stream_block_bytes(b) - before;
    added(st, id);
    return changed(
        s, st, (struct large_undo){word(packed << 4 | ADDED), word(last.ms), (int64_t)last.seq});
}

int stream_large_add_block(struct stream *st, struct stream_block *b)
{
    if (id_list_put(&st->blocks, b, &st->bytes) != OK) {
        stream_block_free(b);
        return ERR_NOMEM;
    }
    st->bytes += stream_block_bytes(b);
    st->length += b->live;
    return OK;
}

static bool free_chain(void *object, size_t *budget)
{
    /* The first stays to the end: the whole goes by its name. */
    struct stream_block *head = object;

    for (; head->next != NULL; (*budget)--) {
        struct stream_block *b = head->next;

        if (*budget == 0) {
            return false;
        }
        head->next = b->next;
        stream_block_free(b);
    }
    stream_block_free(head);
    return true;
}

/* Blocks leave, chained. There is room in the journal. */
static int drop_chain(struct section *s, struct stream *st, struct stream_block *head)
{
    size_t bytes = 0;

    for (struct stream_block *b = head; b != NULL; b = b->next) {
        bytes += stream_block_bytes(b);
        st->length -= b->live;
        b->is_gone = true;
        st->gone_blocks++;
    }
    st->bytes -= bytes;
    if (is_new(s, st)) {
        size_t budget = SIZE_MAX;

        for (struct stream_block *b = head; b != NULL; b = b->next) {
            (void)id_list_remove(&st->blocks, b, &st->bytes);
            st->gone_blocks--;
        }
        (void)free_chain(head, &budget);
    } else {
        section_retire(s, head, bytes, free_chain);
    }
    return changed(s, st, (struct large_undo){.old = tag(head, DROPPED)});
}

int stream_large_drop(struct section *s, struct stream *st, size_t n)
{
    struct stream_block *head = NULL;
    struct stream_block *tail = NULL;
    struct id_at at;
    bool more = id_list_first(&st->blocks, &at);

    if (n == 0 || reserve(s, st) != OK) {
        return n == 0 ? OK : ERR_NOMEM;
    }
    for (; more && n > 0; more = id_list_next(&st->blocks, &at)) {
        struct stream_block *b = id_list_at(&st->blocks, at);

        if (b->is_gone) {
            continue;
        }
        b->next = NULL;
        if (tail == NULL) {
            head = b;
        } else {
            tail->next = b;
        }
        tail = b;
        n--;
    }
    return head == NULL ? OK : drop_chain(s, st, head);
}

/* The block that holds id or would, unless it is gone; *at: the entry. */
struct stream_block *stream_find_entry(const struct stream *st, struct stream_id id, uint32_t *at)
{
    struct id_at place;
    struct stream_block *b = stream_block_at_or_before(st, id, &place);

    return b != NULL && stream_block_find(b, id, at) ? b : NULL;
}

int stream_large_remove(struct section *s, struct stream *st, struct stream_id id, bool keep_block,
                        bool *found)
{
    struct stream_entry e = {.removed = true};
    uint32_t at;
    struct stream_block *b = stream_find_entry(st, id, &at);

    if (b != NULL) {
        (void)stream_block_read(b, at, &e);
    }
    *found = b != NULL && !e.removed;
    if (!*found) {
        return OK;
    }
    if (reserve(s, st) != OK) {
        return ERR_NOMEM;
    }
    if (b->live == 1 && !keep_block) {
        b->next = NULL;
        return drop_chain(s, st, b);
    }
    stream_block_mark(b, at, true);
    st->length--;
    return changed(s, st, (struct large_undo){word(REMOVED), word(id.ms), (int64_t)id.seq});
}

int stream_large_set_meta(struct section *s, struct stream *st, const struct stream_meta *meta)
{
    struct stream_meta *old = NULL;

    if (!is_new(s, st)) {
        old = mem_alloc(sizeof(*old));
        if (old == NULL || reserve(s, st) != OK) {
            mem_free(old, sizeof(*old));
            return fail(s);
        }
        *old = st->meta;
    }
    st->meta = *meta;
    return changed(s, st, (struct large_undo){.old = tag(old, META)});
}

/* ---- Groups ---- */

static size_t group_bytes(const struct stream_group *g)
{
    return mem_size(sizeof(*g) + g->name.len);
}

static size_t consumer_bytes(const struct stream_consumer *c)
{
    return mem_size(sizeof(*c) + c->name.len);
}

int stream_group_add(struct section *s, struct stream *st, struct slice name,
                     struct stream_id last_id, int64_t entries_read)
{
    struct stream_group *g = NULL;

    if (names_reserve(&st->groups, &st->bytes) == OK && reserve(s, st) == OK) {
        g = mem_zalloc(sizeof(*g) + name.len);
    }
    if (g == NULL) {
        return fail(s);
    }
    char *text = (char *)(g + 1);

    memcpy(text, name.ptr == NULL ? "" : name.ptr, name.len);
    g->name = (struct slice){text, name.len};
    g->last_id = last_id;
    g->entries_read = entries_read;
    stream_names_put(&st->groups, g);
    st->bytes += group_bytes(g);
    return changed(s, st, (struct large_undo){.old = tag(g, GROUP_ADDED)});
}

int stream_group_set(struct section *s, struct stream *st, struct stream_group *g,
                     struct stream_id last_id, int64_t entries_read)
{
    struct old_group *old = NULL;

    if (!is_new(s, st)) {
        old = mem_alloc(sizeof(*old));
        if (old == NULL || reserve(s, st) != OK) {
            mem_free(old, sizeof(*old));
            return fail(s);
        }
        *old = (struct old_group){g, g->last_id, g->entries_read};
    }
    g->last_id = last_id;
    g->entries_read = entries_read;
    return changed(s, st, (struct large_undo){.old = tag(old, GROUP_SET)});
}

enum { PENDING_BYTES = sizeof(struct stream_pending) };

/* All that goes with it: its live pending entries too. */
size_t stream_consumer_bytes(const struct stream_consumer *c, bool with_pending)
{
    return consumer_bytes(c) + id_list_bytes(&c->pending) +
           (with_pending ? c->pending_count * mem_size(PENDING_BYTES) : 0);
}

size_t stream_group_bytes(const struct stream_group *g)
{
    size_t bytes = group_bytes(g) + id_list_bytes(&g->pending) +
                   g->pending_count * mem_size(PENDING_BYTES) +
                   (g->consumers.cap == 0 ? 0 : mem_size(g->consumers.cap * sizeof(void *)));

    for (uint32_t i = 0; i < g->consumers.count; i++) {
        bytes += stream_consumer_bytes(g->consumers.v[i], false);
    }
    return bytes;
}

int stream_group_drop(struct section *s, struct stream *st, struct stream_group *g)
{
    size_t bytes = stream_group_bytes(g);

    if (reserve(s, st) != OK) {
        return ERR_NOMEM;
    }
    stream_names_take(&st->groups, g);
    st->bytes -= bytes;
    g->is_gone = true;
    if (is_new(s, st)) {
        size_t budget = SIZE_MAX;

        (void)stream_group_free(g, &budget);
        return changed(s, st, (struct large_undo){.old = word(GROUP_DROPPED)});
    }
    section_retire(s, g, bytes, stream_group_free);
    return changed(s, st, (struct large_undo){.old = tag(g, GROUP_DROPPED)});
}

int stream_consumer_add(struct section *s, struct stream *st, struct stream_group *g,
                        struct slice name, int64_t seen_ms)
{
    struct stream_consumer *c = NULL;

    if (names_reserve(&g->consumers, &st->bytes) == OK && reserve(s, st) == OK) {
        c = mem_zalloc(sizeof(*c) + name.len);
    }
    if (c == NULL) {
        return fail(s);
    }
    char *text = (char *)(c + 1);

    memcpy(text, name.ptr == NULL ? "" : name.ptr, name.len);
    c->name = (struct slice){text, name.len};
    c->seen_ms = seen_ms;
    c->active_ms = -1;
    stream_names_put(&g->consumers, c);
    st->bytes += consumer_bytes(c);
    return changed(s, st, (struct large_undo){.old = tag(c, CONSUMER_ADDED), .now = g});
}

int stream_consumer_set(struct section *s, struct stream *st, struct stream_consumer *c,
                        int64_t seen_ms, int64_t active_ms)
{
    struct large_undo u = {tag(c, CONSUMER_SET), word((uint64_t)c->seen_ms), c->active_ms};

    if (reserve(s, st) != OK) {
        return ERR_NOMEM;
    }
    c->seen_ms = seen_ms;
    c->active_ms = active_ms;
    return changed(s, st, u);
}

void stream_unlist_consumer(struct stream *st, struct stream_group *g, struct stream_consumer *c)
{
    struct id_at at;
    size_t scrap = 0;
    bool more = id_list_first(&c->pending, &at);

    for (; more; more = id_list_next(&c->pending, &at)) {
        (void)slices_tick(2);
        (void)id_list_remove(&g->pending, id_list_at(&c->pending, at),
                             g->is_gone ? &scrap : &st->bytes);
    }
}

int stream_consumer_drop(struct section *s, struct stream *st, struct stream_group *g,
                         struct stream_consumer *c)
{
    size_t bytes = stream_consumer_bytes(c, true);

    if (reserve(s, st) != OK) {
        return ERR_NOMEM;
    }
    stream_names_take(&g->consumers, c);
    st->bytes -= bytes;
    g->pending_count -= c->pending_count;
    c->is_gone = true;
    if (is_new(s, st)) {
        size_t budget = SIZE_MAX;

        stream_unlist_consumer(st, g, c);
        (void)stream_consumer_free(c, &budget);
        return changed(s, st, (struct large_undo){.old = word(CONSUMER_DROPPED)});
    }
    section_retire(s, c, bytes, stream_consumer_free);
    return changed(s, st, (struct large_undo){.old = tag(c, CONSUMER_DROPPED), .now = g});
}

/* ---- Pending entries ---- */

/* Physically, and for good. */
void stream_discard(struct stream *st, struct stream_group *g, struct stream_pending *p)
{
    size_t scrap = 0;

    (void)id_list_remove(&g->pending, p, g->is_gone ? &scrap : &st->bytes);
    (void)id_list_remove(&p->consumer->pending, p,
                         g->is_gone || p->consumer->is_gone ? &scrap : &st->bytes);
    mem_free(p, sizeof(*p));
}

void stream_count_pending(struct stream *st, struct stream_group *g, struct stream_consumer *c,
                          bool in)
{
    size_t one = in ? 1 : SIZE_MAX;

    g->pending_count += one;
    c->pending_count += one;
    st->bytes += one * mem_size(PENDING_BYTES);
}

static int add_pending(struct section *s, struct stream *st, struct stream_group *g,
                       struct stream_consumer *c, const struct stream_delivery *d)
{
    struct stream_pending *p = mem_alloc(sizeof(*p));

    if (p == NULL) {
        return fail(s);
    }
    *p = (struct stream_pending){
        .id = d->id, .time_ms = d->time_ms, .count = d->count, .consumer = c};
    if (reserve(s, st) != OK || id_list_put(&g->pending, p, &st->bytes) != OK) {
        mem_free(p, sizeof(*p));
        return fail(s);
    }
    if (id_list_put(&c->pending, p, &st->bytes) != OK) {
        (void)id_list_remove(&g->pending, p, &st->bytes);
        mem_free(p, sizeof(*p));
        return fail(s);
    }
    stream_count_pending(st, g, c, true);
    return changed(s, st, (struct large_undo){.old = tag(p, PENDING_ADDED), .now = g});
}

/* Into the list of the consumer that it goes to. */
static int list_pending(struct stream *st, struct stream_consumer *to, struct stream_pending *p,
                        bool *is_listed)
{
    *is_listed = p->consumer != to && id_list_find(&to->pending, p->id) == NULL;
    return *is_listed ? id_list_put(&to->pending, p, &st->bytes) : OK;
}

static int set_pending(struct section *s, struct stream *st, struct stream_group *g,
                       struct stream_consumer *c, const struct stream_delivery *d,
                       struct stream_pending *p)
{
    bool fresh = is_new(s, st);
    struct old_pending *old = fresh ? NULL : mem_alloc(sizeof(*old));
    struct stream_consumer *from = p->consumer;
    bool was_live = stream_pending_is_live(p);
    bool is_listed = false;

    if ((!fresh && old == NULL) || reserve(s, st) != OK ||
        list_pending(st, c, p, &is_listed) != OK) {
        mem_free(old, sizeof(*old));
        return fail(s);
    }
    if (old != NULL) {
        *old = (struct old_pending){.pending = p,
                                    .group = g,
                                    .consumer = from,
                                    .time_ms = p->time_ms,
                                    .count = p->count,
                                    .is_dead = p->is_dead,
                                    .was_live = was_live,
                                    .is_listed = is_listed};
    } else if (from != c) {
        (void)id_list_remove(&from->pending, p, &st->bytes);
    }
    if (was_live) {
        stream_count_pending(st, g, from, false);
    }
    p->consumer = c;
    p->time_ms = d->time_ms;
    p->count = d->count;
    p->is_dead = false;
    stream_count_pending(st, g, c, true);
    return changed(s, st, (struct large_undo){.old = tag(old, PENDING_SET)});
}

int stream_pending_put(struct section *s, struct stream *st, struct stream_group *g,
                       struct stream_consumer *c, const struct stream_delivery *d)
{
    struct stream_pending *p = id_list_find(&g->pending, d->id);

    return p == NULL ? add_pending(s, st, g, c, d) : set_pending(s, st, g, c, d, p);
}

int stream_pending_drop(struct section *s, struct stream *st, struct stream_group *g,
                        struct stream_pending *p)
{
    bool first = !p->is_dirty;

    assert(stream_pending_is_live(p));
    if (reserve(s, st) != OK) {
        return ERR_NOMEM;
    }
    stream_count_pending(st, g, p->consumer, false);
    if (is_new(s, st)) {
        stream_discard(st, g, p);
        return changed(s, st, (struct large_undo){.old = word(PENDING_DROPPED)});
    }
    p->is_dead = true;
    p->is_dirty = true;
    return changed(s, st, (struct large_undo){tag(p, PENDING_DROPPED), g, first});
}
