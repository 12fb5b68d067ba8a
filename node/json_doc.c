#include "node/json_doc.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

int64_t json_int(const char *v)
{
    int32_t small;
    int64_t n;

    switch (json_tag(v)) {
    case JSON_INT8:
        return (signed char)v[1];
    case JSON_INT32:
        memcpy(&small, v + 1, sizeof(small));
        return small;
    case JSON_INT64:
        memcpy(&n, v + 1, sizeof(n));
        return n;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_UINT64:
    case JSON_DOUBLE:
    case JSON_STRING:
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    assert(!"an integer");
    return 0;
}

uint64_t json_uint(const char *v)
{
    uint64_t n;

    assert(json_tag(v) == JSON_UINT64);
    memcpy(&n, v + 1, sizeof(n));
    return n;
}

double json_double(const char *v)
{
    double d;

    if (json_tag(v) == JSON_DOUBLE) {
        memcpy(&d, v + 1, sizeof(d));
        return d;
    }
    return json_tag(v) == JSON_UINT64 ? (double)json_uint(v) : (double)json_int(v);
}

const char *json_type_name(const char *v)
{
    static const char *const words[] = {"null",    "boolean", "boolean", "integer", "integer", "integer",
                                        "integer", "number",  "string",  "array",   "object"};

    return words[json_tag(v)];
}

/* ---- Walking ---- */

void json_walk_begin(const char *container, struct json_walk *w)
{
    assert(json_is_container(container));
    *w = (struct json_walk){json_inside(container), json_end(container),
                            json_tag(container) == JSON_OBJECT};
}

bool json_walk_next(struct json_walk *w, struct json_child *out)
{
    if (w->at == w->end) {
        return false;
    }
    out->begins = w->at;
    out->value = w->at;
    out->name = (struct slice){NULL, 0};
    if (w->named) {
        out->name.ptr = packed_read_length(w->at, &out->name.len);
        out->value = out->name.ptr + out->name.len;
    }
    w->at = json_end(out->value);
    return true;
}

const char *json_member(const char *object, struct slice name)
{
    struct json_walk w;
    struct json_child child;

    json_walk_begin(object, &w);
    while (json_walk_next(&w, &child)) {
        if (slice_is(child.name, name)) {
            return child.value;
        }
    }
    return NULL;
}

bool json_index(const char *array, int64_t index, uint32_t *out)
{
    int64_t count = json_count(array);

    index = index < 0 ? index + count : index;
    if (index < 0 || index >= count) {
        return false;
    }
    *out = (uint32_t)index;
    return true;
}

const char *json_position(const char *array, uint32_t index)
{
    const char *at = json_inside(array);

    assert(index <= json_count(array));
    if (index == json_count(array)) {
        return json_end(array);
    }
    while (index-- > 0) {
        at = json_end(at);
    }
    return at;
}

const char *json_element(const char *array, int64_t index)
{
    uint32_t at;

    return json_index(array, index, &at) ? json_position(array, at) : NULL;
}

/* ---- Comparing ---- */

int json_number_order(const char *a, const char *b)
{
    bool ints = json_tag(a) != JSON_DOUBLE && json_tag(b) != JSON_DOUBLE;

    if (!ints) {
        double x = json_double(a);
        double y = json_double(b);

        return (x > y) - (x < y);
    }
    if (json_is_int(a) && json_is_int(b)) {
        int64_t x = json_int(a);
        int64_t y = json_int(b);

        return (x > y) - (x < y);
    }
    if (!json_is_int(a) && !json_is_int(b)) {
        uint64_t x = json_uint(a);
        uint64_t y = json_uint(b);

        return (x > y) - (x < y);
    }
    return json_is_int(a) ? -1 : 1; /* the other one is above INT64_MAX */
}

enum { JSON_EQUAL_STEPS = 1 << 20 };

struct pair {
    struct json_walk a;
    const char *b;
    const char *b_at; /* of an array, or where an object in the same order goes on */
};

static bool is_kind(const char *a, const char *b)
{
    return json_is_number(a) ? json_is_number(b) : json_tag(a) == json_tag(b);
}

/* What containers hold is for later. */
static bool is_equal_alone(const char *a, const char *b)
{
    if (!is_kind(a, b)) {
        return false;
    }
    if (json_is_number(a)) {
        return json_number_order(a, b) == 0;
    }
    if (json_tag(a) == JSON_STRING) {
        return slice_is(json_string(a), json_string(b));
    }
    return !json_is_container(a) || json_count(a) == json_count(b);
}

static struct pair pair_of(const char *a, const char *b)
{
    struct pair p = {.b = b, .b_at = json_inside(b)};

    json_walk_begin(a, &p.a);
    return p;
}

/* The other one's value at this place or of this name; NULL: none. */
static const char *partner(struct pair *p, const struct json_child *child, size_t *steps)
{
    struct json_walk w = {p->b_at, json_end(p->b), p->a.named};
    struct json_child other;

    /* Objects are mostly in the same order. */
    if (json_walk_next(&w, &other) && (!p->a.named || slice_is(other.name, child->name))) {
        p->b_at = w.at;
        return other.value;
    }
    *steps += json_count(p->b);
    return json_member(p->b, child->name);
}

bool json_equal(const char *a, const char *b)
{
    struct pair stack[JSON_DEPTH_MAX + 1];
    struct json_child child;
    unsigned depth = 0;
    size_t steps = 0;

    if (!is_equal_alone(a, b)) {
        return false;
    }
    if (!json_is_container(a)) {
        return true;
    }
    stack[depth++] = pair_of(a, b);
    while (depth > 0 && steps++ < JSON_EQUAL_STEPS) {
        struct pair *top = &stack[depth - 1];

        if (!json_walk_next(&top->a, &child)) {
            depth--;
            continue;
        }
        const char *other = partner(top, &child, &steps);

        if (other == NULL || !is_equal_alone(child.value, other)) {
            return false;
        }
        if (json_is_container(child.value)) {
            assert(depth <= JSON_DEPTH_MAX);
            stack[depth++] = pair_of(child.value, other);
        }
    }
    return depth == 0;
}

unsigned json_depth(const char *v)
{
    const char *ends[JSON_DEPTH_MAX + 1];
    const char *end = json_end(v);
    bool named[JSON_DEPTH_MAX + 1];
    unsigned depth = 0;
    unsigned most = 0;

    while (v < end) {
        while (depth > 0 && ends[depth - 1] == v) {
            depth--;
        }
        if (depth > 0 && named[depth - 1]) {
            size_t len;

            v = packed_read_length(v, &len);
            v += len;
        }
        if (!json_is_container(v)) {
            v = json_end(v);
            continue;
        }
        assert(depth < JSON_DEPTH_MAX);
        ends[depth] = json_end(v);
        named[depth] = json_tag(v) == JSON_OBJECT;
        depth++;
        most = depth > most ? depth : most;
        v = json_inside(v);
    }
    return most;
}

/* ---- Making ---- */

static int put_fixed(struct buf *out, enum json_tag tag, const void *bytes, size_t n)
{
    if (buf_reserve(out, 1 + n) != OK) {
        return ERR_NOMEM;
    }
    buf_append_char_nofail(out, (char)tag);
    buf_append_nofail(out, bytes, n);
    return OK;
}

int json_put_tag(struct buf *out, enum json_tag tag)
{
    return put_fixed(out, tag, NULL, 0);
}

int json_put_int(struct buf *out, int64_t n)
{
    int32_t middle = (int32_t)n;
    int8_t small = (int8_t)n;

    if (small == n) {
        return put_fixed(out, JSON_INT8, &small, sizeof(small));
    }
    return middle == n ? put_fixed(out, JSON_INT32, &middle, sizeof(middle))
                       : put_fixed(out, JSON_INT64, &n, sizeof(n));
}

int json_put_uint(struct buf *out, uint64_t n)
{
    return n <= INT64_MAX ? json_put_int(out, (int64_t)n)
                          : put_fixed(out, JSON_UINT64, &n, sizeof(n));
}

int json_put_double(struct buf *out, double d)
{
    return put_fixed(out, JSON_DOUBLE, &d, sizeof(d));
}

int json_put_name(struct buf *out, struct slice name)
{
    if (buf_reserve(out, PACKED_LENGTH_MAX + name.len) != OK) {
        return ERR_NOMEM;
    }
    out->len = (size_t)(packed_write_length(out->ptr + out->len, name.len) - out->ptr);
    buf_append_nofail(out, name.ptr, name.len);
    return OK;
}

int json_put_string(struct buf *out, struct slice s)
{
    int err = json_put_tag(out, JSON_STRING);

    return err == OK ? json_put_name(out, s) : err;
}

int json_put_begin(struct buf *out, enum json_tag tag, size_t *at)
{
    static const char zeros[JSON_HEAD - 1];

    *at = out->len;
    return put_fixed(out, tag, zeros, sizeof(zeros));
}

void json_put_end(struct buf *out, size_t at, uint32_t count)
{
    uint32_t bytes = (uint32_t)(out->len - at - JSON_HEAD);

    memcpy(out->ptr + at + 1, &bytes, sizeof(bytes));
    memcpy(out->ptr + at + 5, &count, sizeof(count));
}

/* ---- Names by hash ---- */

static int by_hash(const void *a, const void *b)
{
    const struct json_name *x = a;
    const struct json_name *y = b;

    if (x->hash != y->hash) {
        return x->hash < y->hash ? -1 : 1;
    }
    return (x->at > y->at) - (x->at < y->at);
}

int json_names_make(struct json_names *n, const char *object)
{
    struct json_walk w;
    struct json_child child;
    uint32_t i = 0;

    *n = (struct json_names){.count = json_count(object), .object = object};
    n->v = mem_alloc(((size_t)n->count + 1) * sizeof(n->v[0]));
    if (n->v == NULL) {
        n->count = 0;
        return ERR_NOMEM;
    }
    json_walk_begin(object, &w);
    while (json_walk_next(&w, &child)) {
        n->v[i++] = (struct json_name){hash_key(child.name), (uint32_t)(child.begins - object), 0};
    }
    assert(i == n->count);
    qsort(n->v, n->count, sizeof(n->v[0]), by_hash);
    return OK;
}

void json_names_fini(struct json_names *n)
{
    if (n->v != NULL) {
        mem_free(n->v, ((size_t)n->count + 1) * sizeof(n->v[0]));
        n->v = NULL;
    }
}

const char *json_names_find(const struct json_names *n, struct slice name)
{
    uint64_t hash = hash_key(name);
    uint32_t low = 0;
    uint32_t high = n->count;
    struct slice has;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (n->v[mid].hash < hash) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    for (; low < n->count && n->v[low].hash == hash; low++) {
        has.ptr = packed_read_length(n->object + n->v[low].at, &has.len);
        if (slice_is(has, name)) {
            return has.ptr + has.len;
        }
    }
    return NULL;
}
