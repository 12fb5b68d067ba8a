/* json_doc.h - a JSON value as it lies in memory: compact, immutable, without pointers.
 *
 *   null false true | int8, int32, int64, uint64, double, little-endian | string: length, bytes
 *   array:  bytes (4), count (4), elements       object: bytes (4), count (4), (length, name, value)*
 *
 * in front of each a byte that says which. Lengths of strings are varints (node/packed.h); those of
 * containers have four bytes, so that they can be changed where they are when something inside changes
 * its length (node/json_edit.h). `bytes` is what follows the nine of the head. Names of an object differ.
 * No value is nested deeper than JSON_DEPTH_MAX, so whoever walks one has a stack of that height.
 */
#ifndef NODE_JSON_DOC_H
#define NODE_JSON_DOC_H

#include "base/buf.h"
#include "node/packed.h"

enum json_tag {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_INT8,
    JSON_INT32,
    JSON_INT64,
    JSON_UINT64, /* what int64 does not hold */
    JSON_DOUBLE, /* finite */
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

enum {
    JSON_DEPTH_MAX = 128,    /* containers in containers; RedisJSON's */
    JSON_BYTES_MAX = 1 << 29 /* of a document: as the longest string */
};
enum { JSON_HEAD = 9 };

static inline enum json_tag json_tag(const char *v)
{
    return (enum json_tag)(unsigned char)*v;
}

static inline bool json_is_container(const char *v)
{
    return json_tag(v) >= JSON_ARRAY;
}

static inline bool json_is_number(const char *v)
{
    return json_tag(v) >= JSON_INT8 && json_tag(v) <= JSON_DOUBLE;
}

static inline uint32_t json_u32(const char *at)
{
    uint32_t n;

    memcpy(&n, at, sizeof(n));
    return n;
}

/* Of a container. */
static inline uint32_t json_count(const char *v)
{
    return json_u32(v + 5);
}

static inline const char *json_inside(const char *v)
{
    return v + JSON_HEAD;
}

/* Behind the value. */
static inline const char *json_end(const char *v)
{
    static const unsigned char size[] = {1, 1, 1, 2, 5, 9, 9, 9};
    size_t len;

    if (json_is_container(v)) {
        return v + JSON_HEAD + json_u32(v + 1);
    }
    if (json_tag(v) == JSON_STRING) {
        v = packed_read_length(v + 1, &len);
        return v + len;
    }
    return v + size[(unsigned char)*v];
}

static inline struct slice json_slice(const char *v)
{
    return (struct slice){v, (size_t)(json_end(v) - v)};
}

static inline struct slice json_string(const char *v)
{
    struct slice s;

    s.ptr = packed_read_length(v + 1, &s.len);
    return s;
}

/* Of JSON_INT8 to JSON_INT64. */
int64_t json_int(const char *v);
uint64_t json_uint(const char *v);
double json_double(const char *v); /* of any number */
static inline bool json_is_int(const char *v)
{
    return json_tag(v) >= JSON_INT8 && json_tag(v) <= JSON_INT64;
}

/* JSON.TYPE's word. */
const char *json_type_name(const char *v);

/* One member or element after another. */
struct json_walk {
    const char *at, *end;
    bool named;
};
struct json_child {
    struct slice name;  /* of a member */
    const char *begins; /* with its name */
    const char *value;
};
void json_walk_begin(const char *container, struct json_walk *w);
bool json_walk_next(struct json_walk *w, struct json_child *out);

/* NULL: no such member. */
const char *json_member(const char *object, struct slice name);
/* NULL: no such element; negative counts from the end. */
const char *json_element(const char *array, int64_t index);
/* As json_element(), resolved; false: no such. */
bool json_index(const char *array, int64_t index, uint32_t *out);
/* Where the element begins, or the end for index == count. */
const char *json_position(const char *array, uint32_t index);

/* Numbers of equal value are equal, and so are objects in any order. False too when it is not worth more
 * than JSON_EQUAL_STEPS looks. */
bool json_equal(const char *a, const char *b);
/* -1, 0, 1. */
int json_number_order(const char *a, const char *b);
/* Containers in containers, 0 for what is none. */
unsigned json_depth(const char *v);

/* ---- Making values: ERR_NOMEM ---- */

MUST_CHECK int json_put_tag(struct buf *out, enum json_tag tag);
MUST_CHECK int json_put_int(struct buf *out, int64_t n);
MUST_CHECK int json_put_uint(struct buf *out, uint64_t n);
MUST_CHECK int json_put_double(struct buf *out, double d);
MUST_CHECK int json_put_string(struct buf *out, struct slice s);
MUST_CHECK int json_put_name(struct buf *out, struct slice name);
/* A container's head, whose place *at json_put_end() needs to fill it in. */
MUST_CHECK int json_put_begin(struct buf *out, enum json_tag tag, size_t *at);
void json_put_end(struct buf *out, size_t at, uint32_t count);

/* ---- Names of an object by hash, for where each of many is looked up ---- */

struct json_names {
    struct json_name *v; /* owned */
    uint32_t count;
    const char *object;
};
struct json_name {
    uint64_t hash;
    uint32_t at;       /* of the member in the object */
    uint32_t value_at; /* whoever made the list may use it */
};
/* ERR_NOMEM. The object may have names twice. */
MUST_CHECK int json_names_make(struct json_names *n, const char *object);
void json_names_fini(struct json_names *n);
/* NULL: no such member. */
const char *json_names_find(const struct json_names *n, struct slice name);

#endif
