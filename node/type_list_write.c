/* type_list_write.c - changing lists, within a section.
 *
 * Each function does its part on the packed or the large form, and writes the operation that says the
 * same to the section's change.
 */
#include "node/type_list.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/keyspace.h"
#include "node/options.h"
#include "node/section.h"
#include "node/slices.h"
#include "node/type.h"
#include "node/vlist_item.h"

#include <assert.h>

/* A packed list of more bytes becomes large: each write copies it whole. A large one that has shrunk to a
 * quarter of it goes back, so that a queue that is mostly empty costs little. */
enum { PACKED_BYTES = 2048, BACK_BYTES = PACKED_BYTES / 4 };

static bool fits_packed(size_t count, size_t bytes)
{
    return bytes <= PACKED_BYTES && bytes <= conf_u64(&opt_packed_max_bytes) &&
           count <= PACKED_MAX && !vlist_is_long(count, bytes, 1);
}

static size_t items_bytes(const struct slice *v, size_t n)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n; i++) {
        (void)slices_tick(1); /* given up or not: as many are written */
        bytes += vlist_item_bytes(v[i].len);
    }
    return bytes;
}

/* A list to come: what is kept of the old one before and behind n new elements. */
struct splice {
    struct slice before, behind;
    const struct slice *v;
    size_t n;
    bool backwards; /* the last value first: they are pushed to the head */
    size_t count;   /* of all */
    uint32_t number;
};

static uint32_t number_of(const struct entry *e)
{
    return vlist_number(&(struct vlist_view){.view = {.entry = e}, .large = vlist_large_of(e)});
}

static uint32_t after(uint32_t number)
{
    return number == UINT32_MAX ? 1 : number + 1;
}

/* ---- The log ---- */

/* Operations name the number before them, 0 for no list; one that replaces the list, that of the new one. */
static void log_push(struct cmd *c, struct key key, const struct splice *p, bool replace,
                     uint32_t number)
{
    struct change_writer *w = section_change(c->section);

    if (p->n == 1 && !replace) {
        (void)type_logged(c->section, change_push_one(w, key.name, p->backwards, number, p->v[0]));
        return;
    }
    if (!type_logged(c->section,
                     change_push_begin(w, key.name, replace, 0, p->backwards, number))) {
        return;
    }
    for (size_t i = 0; i < p->n; i++) {
        if (!slices_tick(1) || !type_logged(c->section, change_push_value(w, p->v[i]))) {
            change_drop_open(w);
            return;
        }
    }
    change_push_end(w);
}

static void log_remove(struct cmd *c, struct key key, uint32_t number, const struct vlist_range *v,
                       size_t n)
{
    struct change_writer *w = section_change(c->section);

    if (n == 1) {
        (void)type_logged(c->section, change_remove_range(w, key.name, number, v->index, v->count));
        return;
    }
    if (!type_logged(c->section, change_remove_ranges_begin(w, key.name, number))) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!slices_tick(1) ||
            !type_logged(c->section, change_remove_ranges_add(w, v[i].index, v[i].count))) {
            change_drop_open(w);
            return;
        }
    }
    change_remove_ranges_end(w);
}

/* False: the section has failed, before anything was changed. */
static bool fit_in(struct cmd *c, const struct slice *v, size_t n)
{
    for (size_t i = 0; i < n && slices_tick(1); i++) {
        if (v[i].len > LIST_ELEMENT_MAX) {
            section_fail(c->section, SECTION_TOO_LARGE);
        }
    }
    return !section_has_failed(c->section);
}

/* ---- Packed ---- */

static size_t splice_bytes(const struct splice *p)
{
    return VLIST_HEAD_BYTES + p->before.len + items_bytes(p->v, p->n) + p->behind.len;
}

static struct slice value_at(const struct splice *p, size_t i)
{
    return p->v[p->backwards ? p->n - 1 - i : i];
}

static void store_packed(struct cmd *c, struct key key, const struct entry *old,
                         const struct splice *p, size_t bytes)
{
    struct entry *e = type_entry(c, key, old, TYPE_LIST, bytes);
    uint16_t count = (uint16_t)p->count;

    if (e == NULL) {
        return;
    }
    char *at = entry_payload_ptr(e);

    memcpy(at, &count, sizeof(count));
    memcpy(at + PACKED_HEAD, &p->number, sizeof(p->number));
    at = packed_write_bytes(at + VLIST_HEAD_BYTES, p->before);
    for (size_t i = 0; i < p->n; i++) {
        at = vlist_item_write(at, value_at(p, i));
    }
    (void)packed_write_bytes(at, p->behind);
    section_put(c->section, key, e);
}

static int push_items(struct section *s, struct vlist_large *l, struct slice items)
{
    struct slice few[64];
    const char *end = items.ptr + items.len;

    for (const char *at = items.ptr; at < end;) {
        size_t n = 0;

        while (n < 64 && at < end) {
            at = vlist_item_read(at, &few[n++]);
        }
        if (vlist_large_push(s, l, LIST_TAIL, few, n) != OK) {
            return ERR_NOMEM;
        }
    }
    return OK;
}

/* The chunks are filled towards the end that was written to, where more is likely to come. */
static int store_items(struct section *s, struct vlist_large *l, const struct splice *p)
{
    if (push_items(s, l, p->before) != OK) {
        return ERR_NOMEM;
    }
    if (p->backwards) {
        return push_items(s, l, p->behind) == OK ? vlist_large_push(s, l, LIST_HEAD, p->v, p->n)
                                                 : ERR_NOMEM;
    }
    return vlist_large_push(s, l, LIST_TAIL, p->v, p->n) == OK ? push_items(s, l, p->behind)
                                                               : ERR_NOMEM;
}

static void store_large(struct cmd *c, struct key key, const struct entry *old,
                        const struct splice *p)
{
    struct vlist_large *l = vlist_large_create(c->section);

    if (l == NULL || store_items(c->section, l, p) != OK) {
        return;
    }
    vlist_large_number(l, p->number);
    struct entry *e = type_entry_of_large(c, key, old, TYPE_LIST, l);

    if (e != NULL) {
        section_put(c->section, key, e);
    }
}

/* The operation was logged, or could not be. */
static void store(struct cmd *c, struct key key, const struct entry *old, const struct splice *p)
{
    size_t bytes = splice_bytes(p);

    if (section_has_failed(c->section)) {
        return;
    }
    if (fits_packed(p->count, bytes)) {
        store_packed(c, key, old, p, bytes);
    } else {
        store_large(c, key, old, p);
    }
}

static size_t count_of(const struct entry *e)
{
    const struct vlist_large *l = vlist_large_of(e);

    return l != NULL ? vlist_large_count(l) : packed_count(entry_payload(e));
}

/* A packed list without `remove` elements from `from` on. */
static struct splice splice_of(const struct entry *e, size_t from, size_t remove)
{
    struct slice items = vlist_packed_items(entry_payload(e));
    size_t count = count_of(e);
    const char *begin = items.ptr;
    const char *end = items.ptr + items.len;
    const char *at = vlist_item_seek(begin, end, count, from);
    const char *to = remove == 0 ? at : vlist_item_seek(begin, end, count, from + remove);

    return (struct splice){.before = {begin, (size_t)(at - begin)},
                           .behind = {to, (size_t)(end - to)},
                           .count = count - remove,
                           .number = after(number_of(e))};
}

/* ---- Large ---- */

/* For a change, which raises its number. */
static struct vlist_large *hold(struct cmd *c, struct key key, const struct entry *e)
{
    struct vlist_large *l = vlist_large_of(e);

    if (large_hold(c->section, key, &l->large) != OK) {
        return NULL;
    }
    vlist_large_number(l, after(l->number));
    return l;
}

/* A large list that has become small is packed again. */
static void settle(struct cmd *c, struct key key, const struct entry *e,
                   const struct vlist_large *l)
{
    size_t live = l->root->sum_live;
    size_t count = vlist_large_count(l);
    struct splice p = {.count = count, .number = l->number};
    struct slice v[BACK_BYTES / 2]; /* an element takes two bytes at least */
    struct slice items;

    if (live > BACK_BYTES || !fits_packed(2 * count, 2 * live)) {
        return;
    }
    p.v = v;
    for (struct vlist_chunk *k = l->head; k != NULL; k = vlist_chunk_next(k)) {
        items = (struct slice){k->bytes + k->begin, vlist_chunk_live(k)};
        for (const char *at = items.ptr; at < items.ptr + items.len;) {
            at = vlist_item_read(at, &v[p.n++]);
        }
    }
    assert(p.n == count);
    store_packed(c, key, e, &p, splice_bytes(&p));
}

/* ---- Writing ---- */

void vlist_push(struct cmd *c, struct key key, enum vlist_end end, const struct slice *v, size_t n)
{
    const struct entry *e = type_find(c, key, TYPE_LIST);

    if (!fit_in(c, v, n)) {
        return;
    }
    struct splice p = {.v = v, .n = n, .backwards = end == LIST_HEAD, .count = n};
    uint32_t number = e == NULL ? 0 : number_of(e);

    p.number = after(number);
    log_push(c, key, &p, false, number);
    if (e != NULL && e->encoding == ENC_LARGE) {
        struct vlist_large *l = hold(c, key, e);

        if (l != NULL) {
            (void)vlist_large_push(c->section, l, end, v, n);
        }
        return;
    }
    if (e != NULL) {
        *(end == LIST_HEAD ? &p.behind : &p.before) = vlist_packed_items(entry_payload(e));
        p.count += count_of(e);
    }
    store(c, key, e, &p);
}

void vlist_pop(struct cmd *c, struct key key, enum vlist_end end, size_t n)
{
    const struct entry *e = type_find(c, key, TYPE_LIST);
    size_t count = e == NULL ? 0 : count_of(e);

    if (e == NULL || n == 0) {
        return;
    }
    assert(n <= count);
    if (n == count) {
        type_delete(c, key, CHANGE_COMMAND);
        return;
    }
    size_t from = end == LIST_HEAD ? 0 : count - n;

    log_remove(c, key, number_of(e), &(struct vlist_range){from, n}, 1);
    if (e->encoding == ENC_PACKED) {
        struct splice p = splice_of(e, from, n);

        store(c, key, e, &p);
        return;
    }
    struct vlist_large *l = hold(c, key, e);

    if (l != NULL && vlist_large_pop(c->section, l, end, n) == OK) {
        settle(c, key, e, l);
    }
}

void vlist_rotate(struct cmd *c, struct key key, enum vlist_end end)
{
    const struct entry *e = type_find(c, key, TYPE_LIST);
    struct vlist_view l = {.view = {.entry = e}, .large = e == NULL ? NULL : vlist_large_of(e)};
    char few[256];

    if (e == NULL) {
        return;
    }
    /* A copy, since the list that it is pushed to is the one that it lies in. */
    struct slice s = vlist_at(&l, end == LIST_HEAD ? 0 : vlist_count(&l) - 1);
    char *copy = s.len <= sizeof(few) ? few : mem_alloc(s.len);

    if (copy == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    (void)packed_write_bytes(copy, s);
    vlist_push(c, key, end == LIST_HEAD ? LIST_TAIL : LIST_HEAD, &(struct slice){copy, s.len}, 1);
    vlist_pop(c, key, end, 1);
    if (copy != few) {
        mem_free(copy, s.len);
    }
}

/* One element in the place of `remove` ones. */
static void put_one(struct cmd *c, struct key key, const struct entry *e,
                    const struct vlist_splice *p)
{
    if (e->encoding == ENC_PACKED) {
        struct splice packed = splice_of(e, p->from, p->remove);

        packed.v = p->v;
        packed.n = p->n;
        packed.count += p->n;
        store(c, key, e, &packed);
        return;
    }
    struct vlist_large *l = hold(c, key, e);

    if (l != NULL) {
        (void)vlist_large_splice(c->section, l, p);
    }
}

void vlist_set(struct cmd *c, struct key key, size_t index, struct slice value)
{
    const struct entry *e = type_find(c, key, TYPE_LIST);

    if (e != NULL && fit_in(c, &value, 1) &&
        type_logged(c->section, change_set_element(section_change(c->section), key.name, index,
                                                   value, number_of(e)))) {
        put_one(c, key, e, &(struct vlist_splice){index, 1, &value, 1});
    }
}

void vlist_insert(struct cmd *c, struct key key, size_t index, struct slice value)
{
    const struct entry *e = type_find(c, key, TYPE_LIST);

    if (e != NULL && fit_in(c, &value, 1) &&
        type_logged(c->section, change_insert_element(section_change(c->section), key.name, index,
                                                      value, number_of(e)))) {
        put_one(c, key, e, &(struct vlist_splice){index, 0, &value, 1});
    }
}

/* ---- Removing ---- */

static void remove_packed(struct cmd *c, struct key key, const struct entry *e,
                          const struct vlist_range *v, size_t n)
{
    struct slice items = vlist_packed_items(entry_payload(e));
    struct slice kept[PACKED_BYTES / 2];
    struct splice p = {.v = kept, .number = after(number_of(e))};
    const char *at = items.ptr;
    struct slice s;

    for (size_t i = 0, r = 0; at < items.ptr + items.len; i++) {
        at = vlist_item_read(at, &s);
        while (r < n && i >= v[r].index + v[r].count) {
            r++;
        }
        if (r == n || i < v[r].index) {
            kept[p.n++] = s;
        }
    }
    p.count = p.n;
    store(c, key, e, &p);
}

enum { KEPT_MAX = LIST_CHUNK_ROOM / 2 }; /* all of a chunk: an element takes two bytes at least */

/* The ranges v[*from … to) end in one chunk, where the last of them begins, too: what stays of it between
 * them is put together anew. */
static int remove_group(struct section *s, struct vlist_large *l, const struct vlist_range *v,
                        size_t n)
{
    struct slice kept[KEPT_MAX];
    struct vlist_view view = {.large = l};
    struct vlist_cursor at;
    size_t first = v[0].index;
    size_t end = v[n - 1].index + v[n - 1].count;
    struct vlist_splice p = {.from = first, .remove = end - first, .v = kept};

    for (size_t i = 0; i + 1 < n; i++) {
        vlist_seek(&view, v[i].index + v[i].count, &at);
        for (size_t k = v[i].index + v[i].count; k < v[i + 1].index; k++) {
            (void)vlist_next(&at, &kept[p.n++]);
        }
    }
    return vlist_large_splice(s, l, &p);
}

static int remove_large(struct section *s, struct vlist_large *l, const struct vlist_range *v,
                        size_t n)
{
    while (n > 0) {
        size_t within = v[n - 1].index;
        struct vlist_chunk *c = vlist_tree_find(l->root, &within);
        size_t chunk_at = v[n - 1].index - within;
        size_t from = n - 1;

        /* From the back, so that the numbers before stay true; those of one chunk together, or of so much of a
         * long one. */
        while (vlist_chunk_is_shared(c) && from > 0 && v[from - 1].index >= chunk_at &&
               v[n - 1].index - v[from - 1].index <= KEPT_MAX) {
            from--;
        }
        if (remove_group(s, l, v + from, n - from) != OK) {
            return ERR_NOMEM;
        }
        n = from;
    }
    return OK;
}

void vlist_remove(struct cmd *c, struct key key, const struct vlist_range *v, size_t n)
{
    const struct entry *e = type_find(c, key, TYPE_LIST);
    size_t removed = 0;

    if (e == NULL || n == 0) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        removed += v[i].count;
    }
    assert(removed <= count_of(e));
    if (removed == count_of(e)) {
        type_delete(c, key, CHANGE_COMMAND);
        return;
    }
    if (n == 1 && v[0].index == 0) {
        vlist_pop(c, key, LIST_HEAD, v[0].count);
        return;
    }
    if (n == 1 && v[0].index + v[0].count == count_of(e)) {
        vlist_pop(c, key, LIST_TAIL, v[0].count);
        return;
    }
    log_remove(c, key, number_of(e), v, n);
    if (section_has_failed(c->section)) {
        return;
    }
    if (e->encoding == ENC_PACKED) {
        remove_packed(c, key, e, v, n);
        return;
    }
    struct vlist_large *l = hold(c, key, e);

    if (l != NULL && remove_large(c->section, l, v, n) == OK) {
        settle(c, key, e, l);
    }
}

void vlist_store(struct cmd *c, struct key key, const struct slice *v, size_t n)
{
    struct splice p = {.v = v, .n = n, .count = n, .number = 1};

    if (n == 0) {
        (void)keyspace_delete(c, key);
        return;
    }
    if (!fit_in(c, v, n)) {
        return;
    }
    (void)section_find(c->section, key); /* removes an expired one as such */
    log_push(c, key, &p, true, p.number);
    store(c, key, NULL, &p);
}

void vlist_renumber(struct cmd *c, struct key key, uint32_t number)
{
    const struct entry *e = type_find(c, key, TYPE_LIST);

    if (e == NULL || number_of(e) == number) {
        return;
    }
    if (e->encoding == ENC_PACKED) {
        struct splice p = splice_of(e, 0, 0);

        p.number = number;
        store_packed(c, key, e, &p, splice_bytes(&p));
    } else if (large_hold(c->section, key, large_of(e)) == OK) {
        vlist_large_number(vlist_large_of(e), number);
    }
}
