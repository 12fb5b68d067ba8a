/* type_list.c - reading lists, and what the store asks of them; type_list_write.c writes. */
#include "node/type_list.h"

#include "base/err.h"
#include "node/slices.h"
#include "node/type.h"
#include "node/vlist_item.h"

#include <assert.h>

/* ---- Reading ---- */

enum found vlist_open(struct cmd *c, struct key key, struct vlist_view *out)
{
    enum found found = large_open(c, key, TYPE_LIST, &out->view);

    out->large = found == FOUND ? vlist_large_of(out->view.entry) : NULL;
    return found;
}

void vlist_close(struct vlist_view *l)
{
    large_close(&l->view);
}

size_t vlist_count(const struct vlist_view *l)
{
    return l->large != NULL ? vlist_large_count(l->large)
                            : packed_count(entry_payload(l->view.entry));
}

uint32_t vlist_number(const struct vlist_view *l)
{
    return l->large != NULL ? l->large->number : vlist_packed_number(entry_payload(l->view.entry));
}

static void enter(struct vlist_cursor *at, struct vlist_chunk *c)
{
    at->chunk = c;
    at->begin = c->bytes + c->begin;
    at->end = c->bytes + c->end;
}

void vlist_seek(const struct vlist_view *l, size_t index, struct vlist_cursor *out)
{
    size_t count = vlist_count(l);

    assert(index <= count);
    if (l->large == NULL) {
        struct slice block = entry_payload(l->view.entry);

        out->chunk = NULL;
        out->begin = block.ptr + VLIST_HEAD_BYTES;
        out->end = block.ptr + block.len;
        out->at = vlist_item_seek(out->begin, out->end, count, index);
    } else if (index == count) {
        enter(out, l->large->tail);
        out->at = out->end;
    } else {
        enter(out, vlist_large_find(l->large, &index));
        out->at = vlist_item_seek(out->begin, out->end, out->chunk->count, index);
    }
}

size_t vlist_bytes(const struct vlist_view *l)
{
    return l->large == NULL ? entry_payload(l->view.entry).len : l->large->root->sum_live;
}

bool vlist_next(struct vlist_cursor *at, struct slice *out)
{
    (void)slices_tick(1);
    if (at->at == at->end) {
        struct vlist_chunk *next = at->chunk == NULL ? NULL : vlist_chunk_next(at->chunk);

        if (next == NULL) {
            return false;
        }
        enter(at, next);
        at->at = at->begin;
    }
    at->at = vlist_item_read(at->at, out);
    return true;
}

bool vlist_prev(struct vlist_cursor *at, struct slice *out)
{
    (void)slices_tick(1);
    if (at->at == at->begin) {
        struct vlist_chunk *prev = at->chunk == NULL ? NULL : vlist_chunk_prev(at->chunk);

        if (prev == NULL) {
            return false;
        }
        enter(at, prev);
        at->at = at->end;
    }
    at->at = vlist_item_read_back(at->at, out);
    return true;
}

struct slice vlist_at(const struct vlist_view *l, size_t index)
{
    struct vlist_cursor at;
    struct slice s = {NULL, 0};

    vlist_seek(l, index, &at);
    bool there = vlist_next(&at, &s);

    assert(there);
    (void)there;
    return s;
}

/* ---- What the store asks ---- */

static const char *encoding(const struct entry *e)
{
    const struct vlist_large *l = vlist_large_of(e);

    /* Relaxed: see all_bytes() in vlist_large.c. */
    return l != NULL && atomic_load_explicit(&l->is_long, memory_order_relaxed) ? "quicklist"
                                                                                : "listpack";
}

static struct entry *copy(const struct entry *e, struct slice key, int64_t expire_at_ms,
                          bool clocked)
{
    const struct vlist_large *l = vlist_large_of(e);
    struct entry *n = entry_create(&(struct entry_spec){
        .type = TYPE_LIST,
        .encoding = e->encoding,
        .key = key,
        .payload_len = entry_payload(e).len,
        .expire_at_ms = expire_at_ms,
        .clocked = clocked,
    });

    if (n == NULL) {
        return NULL;
    }
    if (l == NULL) {
        memcpy(entry_payload_ptr(n), entry_payload(e).ptr, entry_payload(e).len);
        return n;
    }
    struct vlist_large *twin = vlist_large_copy(l);

    if (twin == NULL) {
        entry_free(n);
        return NULL;
    }
    memcpy(entry_payload_ptr(n), &twin, sizeof(struct vlist_large *));
    return n;
}

/* Under the partition's lock. */
static int log_whole(struct change_writer *w, struct slice key, const struct entry *e)
{
    struct vlist_view l = {.view = {.entry = e}, .large = vlist_large_of(e)};
    struct vlist_cursor at;
    struct slice s;
    int err = change_push_begin(w, key, true, entry_expire_at_ms(e), false, vlist_number(&l));

    if (err != OK) {
        return err;
    }
    vlist_seek(&l, 0, &at);
    while (err == OK && vlist_next(&at, &s)) {
        err = change_push_value(w, s);
    }
    if (err != OK) {
        change_drop_open(w);
        return err;
    }
    change_push_end(w);
    return OK;
}

const struct type_ops type_list_ops = {
    .name = "list",
    .encoding = encoding,
    .free_value = vlist_large_free,
    .object = type_large_object,
    .value_bytes = type_large_bytes,
    .copy = copy,
    .log = log_whole,
};
