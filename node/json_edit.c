#include "node/json_edit.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "node/slices.h"

#include <assert.h>
#include <stdlib.h>

int json_append_string(struct slice a, struct slice b, struct buf *out)
{
    if (a.len + b.len > JSON_BYTES_MAX) {
        return ERR_LIMIT;
    }
    if (buf_reserve(out, 1 + PACKED_LENGTH_MAX + a.len + b.len) != OK) {
        return ERR_NOMEM;
    }
    buf_append_char_nofail(out, JSON_STRING);
    out->len = (size_t)(packed_write_length(out->ptr + out->len, a.len + b.len) - out->ptr);
    buf_append_nofail(out, a.ptr, a.len);
    buf_append_nofail(out, b.ptr, b.len);
    return OK;
}

/* ---- The way to a place ---- */

struct level {
    const char *container;
    struct json_walk walk;
    struct json_child child;
    uint32_t index;
};

/* From the root to a value; moves on to places further behind. */
struct way {
    const char *doc;
    struct level v[JSON_DEPTH_MAX];
    unsigned depth;
};

static void way_push(struct way *w, const char *container)
{
    struct level *l;

    assert(w->depth < JSON_DEPTH_MAX);
    l = &w->v[w->depth++];
    l->container = container;
    l->index = 0;
    json_walk_begin(container, &l->walk);
    bool more = json_walk_next(&l->walk, &l->child);

    assert(more);
    (void)more;
}

/* The value at `target`, which is not before the last one. Then the top's child is it, or depth is 0. */
static void way_to(struct way *w, const char *target)
{
    while (w->depth > 0 && json_end(w->v[w->depth - 1].container) <= target) {
        w->depth--;
    }
    if (target == w->doc) {
        w->depth = 0;
        return;
    }
    if (w->depth == 0) {
        way_push(w, w->doc);
    }
    for (;;) {
        struct level *top = &w->v[w->depth - 1];

        if (top->child.value == target) {
            return;
        }
        if (target < json_end(top->child.value)) {
            way_push(w, top->child.value);
            continue;
        }
        bool more = json_walk_next(&top->walk, &top->child);

        assert(more);
        (void)more;
        top->index++;
    }
}

/* ---- Pointers ---- */

static int put_index(struct buf *out, uint32_t index)
{
    int err = buf_append_char(out, '/');

    return err == OK ? buf_append_u64(out, index) : err;
}

static int put_name(struct buf *out, struct slice name)
{
    int err = buf_reserve(out, 2 * name.len + 1);

    if (err != OK) {
        return err;
    }
    buf_append_char_nofail(out, '/');
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (c == '~' || c == '/') {
            buf_append_char_nofail(out, '~');
            c = c == '~' ? '0' : '1';
        }
        buf_append_char_nofail(out, c);
    }
    return OK;
}

/* Appends it; the slice has the length, and its place until all are there. */
static int put_pointer(const struct way *w, const struct json_edit *e, struct buf *out)
{
    int err = OK;

    for (unsigned i = 0; i < w->depth && err == OK; i++) {
        const struct level *l = &w->v[i];

        err = json_tag(l->container) == JSON_OBJECT ? put_name(out, l->child.name)
                                                    : put_index(out, l->index);
    }
    if (err == OK && e->kind == JSON_EDIT_ADD) {
        err = put_name(out, e->name);
    } else if (err == OK && (e->kind == JSON_EDIT_INSERT || e->kind == JSON_EDIT_REMOVE)) {
        err = put_index(out, e->index);
    }
    return err;
}

/* Reads the part up to the next slash into room. */
static int read_part(struct slice *rest, struct buf *room)
{
    buf_clear(room);
    if (rest->len == 0 || rest->ptr[0] != '/') {
        return ERR_CORRUPT;
    }
    if (buf_reserve(room, rest->len) != OK) {
        return ERR_NOMEM;
    }
    size_t i = 1;

    for (; i < rest->len && rest->ptr[i] != '/'; i++) {
        char c = rest->ptr[i];

        if (c == '~') {
            i++;
            if (i == rest->len || (rest->ptr[i] != '0' && rest->ptr[i] != '1')) {
                return ERR_CORRUPT;
            }
            c = rest->ptr[i] == '0' ? '~' : '/';
        }
        buf_append_char_nofail(room, c);
    }
    rest->ptr += i;
    rest->len -= i;
    return OK;
}

int json_pointer_find(const char *doc, struct slice pointer, struct json_place *out)
{
    *out = (struct json_place){.value = doc, .index = UINT32_MAX};
    while (pointer.len > 0) {
        int err = read_part(&pointer, &out->room);
        int64_t index;

        if (err != OK) {
            return err;
        }
        if (out->value == NULL || !json_is_container(out->value)) {
            return ERR_CORRUPT;
        }
        out->parent = out->value;
        out->name = buf_slice(&out->room);
        out->index = UINT32_MAX;
        if (json_tag(out->parent) == JSON_OBJECT) {
            out->value = json_member(out->parent, out->name);
            continue;
        }
        if (!parse_i64(out->name, &index) || index < 0 || index > json_count(out->parent)) {
            return ERR_CORRUPT;
        }
        out->index = (uint32_t)index;
        out->value = json_element(out->parent, index);
    }
    return OK;
}

/* ---- Planning ---- */

static int by_edit(const void *a, const void *b)
{
    const struct json_edit *x = a;
    const struct json_edit *y = b;

    return (x->at > y->at) - (x->at < y->at);
}

/* By place; what comes in before what goes, and into the inner one of two that end there first. */
static int by_place(const void *a, const void *b)
{
    const struct json_splice *x = a;
    const struct json_splice *y = b;

    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }
    if ((x->removed > 0) != (y->removed > 0)) {
        return x->removed > 0 ? 1 : -1;
    }
    return (x->container < y->container) - (x->container > y->container);
}

static int by_container(const void *a, const void *b)
{
    const struct json_splice *x = a;
    const struct json_splice *y = b;

    return (x->container > y->container) - (x->container < y->container);
}

static size_t added(const struct json_edit *e)
{
    return e->value.len +
           (e->kind == JSON_EDIT_ADD ? packed_length_bytes(e->name.len) + e->name.len : 0);
}

static uint32_t place_of(const struct json_plan *p, const char *at)
{
    return (uint32_t)(at - p->doc);
}

/* At its place. */
static void splice_of(const struct json_plan *p, const struct way *w, const struct json_edit *e,
                      struct json_splice *out)
{
    const char *at = p->doc + e->at;
    const struct level *top = w->depth == 0 ? NULL : &w->v[w->depth - 1];

    *out = (struct json_splice){.edit = e, .container = e->at};
    switch (e->kind) {
    case JSON_EDIT_SET:
    case JSON_EDIT_DROP:
        out->container = top == NULL ? UINT32_MAX : place_of(p, top->container);
        out->at = e->kind == JSON_EDIT_SET || top == NULL ? e->at : place_of(p, top->child.begins);
        out->removed = place_of(p, json_end(at)) - out->at;
        out->count = e->kind == JSON_EDIT_DROP ? -1 : 0;
        break;
    case JSON_EDIT_ADD:
        out->at = place_of(p, json_end(at));
        out->count = 1;
        break;
    case JSON_EDIT_INSERT:
        out->at = place_of(p, json_position(at, e->index));
        out->count = (int32_t)e->count;
        break;
    case JSON_EDIT_REMOVE:
        out->at = place_of(p, json_position(at, e->index));
        out->removed = place_of(p, json_position(at, e->index + e->count)) - out->at;
        out->count = -(int32_t)e->count;
        break;
    }
}

/* How deep what comes in will lie. */
static bool is_too_deep(const struct way *w, const struct json_edit *e)
{
    unsigned depth = w->depth + (e->kind == JSON_EDIT_ADD || e->kind == JSON_EDIT_INSERT);
    struct slice v = e->value;

    while (v.len > 0) {
        size_t len = json_slice(v.ptr).len;

        if (depth + json_depth(v.ptr) > JSON_DEPTH_MAX) {
            return true;
        }
        v.ptr += len;
        v.len -= len;
    }
    return false;
}

static int place_all(struct json_plan *p, uint32_t n)
{
    struct way w = {.doc = p->doc, .depth = 0};
    bool tells = n <= JSON_POINTERS_MAX;
    int err = OK;

    for (uint32_t i = 0; i < n && err == OK; i++) {
        struct json_edit *e = &p->edits[i];

        if (!slices_tick(4)) {
            return ERR_NOMEM; /* given up */
        }
        way_to(&w, p->doc + e->at);
        splice_of(p, &w, e, &p->v[i]);
        if (is_too_deep(&w, e)) {
            return ERR_INVALID;
        }
        if (tells) {
            size_t len = p->pointers.len;

            err = put_pointer(&w, e, &p->pointers);
            e->pointer.len = p->pointers.len - len;
        }
    }
    size_t at = 0;

    for (uint32_t i = 0; i < n && err == OK && p->pointers.len > 0; i++) {
        p->edits[i].pointer.ptr = p->pointers.ptr + at;
        at += p->edits[i].pointer.len;
    }
    return err;
}

/* Leaves out what lies in what goes. */
static int keep_outer(struct json_plan *p, uint32_t n)
{
    size_t limit = JSON_BYTES_MAX;
    int64_t moved = 0;
    uint32_t from = 0;
    uint32_t to = 0;

    if (n > 1) {
        qsort(p->v, n, sizeof(p->v[0]), by_place);
    }
    for (uint32_t i = 0; i < n; i++) {
        struct json_splice *s = &p->v[i];

        if (s->container >= from && s->container < to) {
            continue;
        }
        if (s->removed > 0) {
            from = s->at;
            to = s->at + s->removed;
        }
        moved += (int64_t)added(s->edit) - s->removed;
        s->moved = moved;
        p->v[p->n++] = *s;
    }
    p->by_container = p->v;
    if (n > 1) {
        p->by_container = p->v + n;
        memcpy(p->by_container, p->v, p->n * sizeof(p->v[0]));
        qsort(p->by_container, p->n, sizeof(p->v[0]), by_container);
    }
    p->bytes = (size_t)((json_end(p->doc) - p->doc) + moved);
    return p->bytes <= limit ? OK : ERR_LIMIT;
}

int json_plan(const char *doc, struct json_edit *edits, uint32_t n, struct json_plan *out)
{
    int err;

    *out = (struct json_plan){.doc = doc, .edits = edits, .edits_n = n};
    assert(n > 0);
    out->v = n == 1 ? &out->one : mem_alloc(2 * (size_t)n * sizeof(out->v[0]));
    if (out->v == NULL) {
        return ERR_NOMEM;
    }
    if (n > 1) {
        qsort(edits, n, sizeof(edits[0]), by_edit);
    }
    err = place_all(out, n);
    return err == OK ? keep_outer(out, n) : err;
}

void json_plan_fini(struct json_plan *p)
{
    if (p->v != NULL && p->v != &p->one) {
        mem_free(p->v, 2 * (size_t)p->edits_n * sizeof(p->v[0]));
    }
    buf_fini(&p->pointers);
    p->v = NULL;
}

/* ---- Writing ---- */

/* How far what stood at `at` has moved. */
static int64_t moved_to(const struct json_plan *p, uint32_t at)
{
    uint32_t low = 0;
    uint32_t high = p->n;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (p->v[mid].at <= at) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low == 0 ? 0 : p->v[low - 1].moved;
}

static void widen(const struct json_plan *p, char *to, const char *container, int64_t bytes,
                  int32_t count)
{
    uint32_t at = place_of(p, container);
    char *head = to + at + moved_to(p, at);
    uint32_t n = (uint32_t)(json_u32(head + 1) + bytes);
    uint32_t k = (uint32_t)(json_u32(head + 5) + count);

    memcpy(head + 1, &n, sizeof(n));
    memcpy(head + 5, &k, sizeof(k));
}

static void fix_one(const struct json_plan *p, char *to, struct way *w, const struct json_splice *s)
{
    int64_t bytes = (int64_t)added(s->edit) - s->removed;

    if (s->container == UINT32_MAX) {
        return;
    }
    way_to(w, p->doc + s->container);
    for (unsigned i = 0; i < w->depth; i++) {
        widen(p, to, w->v[i].container, bytes, 0);
    }
    widen(p, to, p->doc + s->container, bytes, s->count);
}

/* Heads of the containers in which something changed, and of those around them. */
static void fix_heads(const struct json_plan *p, char *to)
{
    struct way w = {.doc = p->doc, .depth = 0};

    for (uint32_t i = 0; i < p->n; i++) {
        (void)slices_tick(2);
        fix_one(p, to, &w, &p->by_container[i]);
    }
}

void json_plan_write(const struct json_plan *p, char *to)
{
    const char *from = p->doc;
    char *at = to;

    for (uint32_t i = 0; i < p->n; i++) {
        const struct json_splice *s = &p->v[i];
        size_t n = (size_t)(p->doc + s->at - from);

        (void)slices_tick(2);
        memcpy(at, from, n);
        at += n;
        if (s->edit->kind == JSON_EDIT_ADD) {
            at = packed_write_length(at, s->edit->name.len);
            at = packed_write_bytes(at, s->edit->name);
        }
        at = packed_write_bytes(at, s->edit->value);
        from = p->doc + s->at + s->removed;
    }
    size_t n = (size_t)(json_end(p->doc) - from);

    memcpy(at, from, n);
    assert((size_t)(at + n - to) == p->bytes);
    fix_heads(p, to);
}
