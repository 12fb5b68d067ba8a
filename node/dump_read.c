/* dump_read.c - every form of a value that Redis up to 7.4 writes, taken apart (see dump.h). */
#include "node/dump_form.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/parse.h"
#include "node/json_dump.h"
#include "node/slices.h"
#include "node/stream_dump.h"
#include "proto/number.h"

#include <math.h>

/* Of an expiry of a field: Redis keeps 48 bits. */
#define FIELD_EXPIRE_MAX ((1ull << 48) - 1)

static int add_field(struct dump_value *v, struct hash_field f)
{
    if (v->count == v->cap) {
        size_t cap = v->cap == 0 ? 16 : 2 * v->cap;
        struct hash_field *fields;

        if (cap * sizeof(*fields) > RDB_MEMORY_MAX) {
            return ERR_LIMIT;
        }
        fields = mem_realloc(v->fields, v->cap * sizeof(*fields), cap * sizeof(*fields));
        if (fields == NULL) {
            return ERR_NOMEM;
        }
        v->fields = fields;
        v->cap = cap;
    }
    v->fields[v->count++] = f;
    return OK;
}

/* ERR_CORRUPT if two fields have the same name. */
static int check_names(const struct dump_value *v)
{
    size_t slots = 4;
    size_t *seen; /* index plus one, by hash */
    int err = OK;

    while (slots < 2 * v->count) {
        slots *= 2;
    }
    seen = mem_zalloc(slots * sizeof(*seen));
    if (seen == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < v->count && err == OK; i++) {
        err = slices_tick(2) ? OK : ERR_NOMEM;
        size_t at = hash_key(v->fields[i].name) & (slots - 1);

        while (seen[at] != 0 && err == OK) {
            err = slice_is(v->fields[seen[at] - 1].name, v->fields[i].name) ? ERR_CORRUPT : OK;
            at = (at + 1) & (slots - 1);
        }
        seen[at] = i + 1;
    }
    mem_free(seen, slots * sizeof(*seen));
    return err;
}

static int read_string(struct rdb_reader *r, struct dump_value *v)
{
    return rdb_read_string(r, &v->string);
}

/* Fields one after another; with expiries, each has its distance from the earliest, plus one, before
 * it, and 0 when it has none. */
static int read_fields(struct rdb_reader *r, struct dump_value *v, bool expiring)
{
    uint64_t earliest = 0;
    uint64_t n;
    int err = expiring ? rdb_read_u64(r, &earliest) : OK;

    if (err == OK) {
        err = rdb_read_len(r, &n);
    }
    while (err == OK && v->count < n) {
        struct hash_field f = {0};
        uint64_t ttl = 0;

        err = expiring ? rdb_read_len(r, &ttl) : OK;
        if (err == OK && ttl > 0) {
            if (earliest > FIELD_EXPIRE_MAX || ttl - 1 > FIELD_EXPIRE_MAX - earliest) {
                return ERR_CORRUPT;
            }
            f.expire_at_ms = (int64_t)(earliest + ttl - 1);
        }
        err = err == OK ? rdb_read_string(r, &f.name) : err;
        err = err == OK ? rdb_read_string(r, &f.value) : err;
        err = err == OK ? add_field(v, f) : err;
    }
    return err;
}

static int read_hash(struct rdb_reader *r, struct dump_value *v)
{
    return read_fields(r, v, false);
}

static int read_hash_expiring(struct rdb_reader *r, struct dump_value *v)
{
    return read_fields(r, v, true);
}

/* A packed value, of which `next` takes an element at a time. */
static int read_pack(struct rdb_reader *r, struct dump_value *v, enum rdb_pack_kind kind,
                     int (*next)(struct rdb_pack *p, struct dump_value *v))
{
    struct rdb_pack p;
    struct slice blob;
    int err = rdb_read_string(r, &blob);

    if (err == OK) {
        err = rdb_pack_begin(&p, kind, blob, r->memory);
    }
    while (err == OK && !rdb_pack_is_done(&p)) {
        err = next(&p, v);
    }
    return err == OK ? rdb_pack_end(&p) : err;
}

static int next_pair(struct rdb_pack *p, struct hash_field *f)
{
    int err = rdb_pack_next(p, &f->name);

    return err == OK ? rdb_pack_next(p, &f->value) : err;
}

static int next_field(struct rdb_pack *p, struct dump_value *v)
{
    struct hash_field f = {0};
    int err = next_pair(p, &f);

    return err == OK ? add_field(v, f) : err;
}

/* The expiry, a number, is behind the pair. */
static int next_field_expiring(struct rdb_pack *p, struct dump_value *v)
{
    struct hash_field f = {0};
    struct slice at;
    int err = next_pair(p, &f);

    err = err == OK ? rdb_pack_next(p, &at) : err;
    if (err == OK && (!parse_i64(at, &f.expire_at_ms) || f.expire_at_ms < 0 ||
                      (uint64_t)f.expire_at_ms > FIELD_EXPIRE_MAX)) {
        err = ERR_CORRUPT;
    }
    return err == OK ? add_field(v, f) : err;
}

static int read_zipmap(struct rdb_reader *r, struct dump_value *v)
{
    return read_pack(r, v, RDB_ZIPMAP, next_field);
}

static int read_ziplist(struct rdb_reader *r, struct dump_value *v)
{
    return read_pack(r, v, RDB_ZIPLIST, next_field);
}

static int read_listpack(struct rdb_reader *r, struct dump_value *v)
{
    return read_pack(r, v, RDB_LISTPACK, next_field);
}

static int read_listpack_expiring(struct rdb_reader *r, struct dump_value *v)
{
    uint64_t earliest; /* each field says its own */
    int err = rdb_read_u64(r, &earliest);

    return err == OK ? read_pack(r, v, RDB_LISTPACK, next_field_expiring) : err;
}

static int read_stream(struct rdb_reader *r, struct dump_value *v, int version)
{
    v->stream = mem_zalloc(sizeof(struct stream *));
    return v->stream == NULL ? ERR_NOMEM : stream_dump_read(r, version, v->stream);
}

static int read_stream_1(struct rdb_reader *r, struct dump_value *v)
{
    return read_stream(r, v, STREAM_DUMP_1);
}

static int read_stream_2(struct rdb_reader *r, struct dump_value *v)
{
    return read_stream(r, v, STREAM_DUMP_2);
}

static int read_stream_3(struct rdb_reader *r, struct dump_value *v)
{
    return read_stream(r, v, STREAM_DUMP_3);
}

static int read_module(struct rdb_reader *r, struct dump_value *v)
{
    return json_dump_read(r, &v->json);
}

/* An element of a list or a member of a set stands where a field has its name. */
static int add_name(struct dump_value *v, struct slice name)
{
    return add_field(v, (struct hash_field){.name = name, .value = {"", 0}});
}

static int next_name(struct rdb_pack *p, struct dump_value *v)
{
    struct slice name;
    int err = rdb_pack_next(p, &name);

    return err == OK ? add_name(v, name) : err;
}

/* A list or a set, one string after another. */
static int read_names(struct rdb_reader *r, struct dump_value *v)
{
    struct slice name;
    uint64_t n;
    int err = rdb_read_len(r, &n);

    while (err == OK && v->count < n) {
        err = rdb_read_string(r, &name);
        err = err == OK ? add_name(v, name) : err;
    }
    return err;
}

static int read_list_ziplist(struct rdb_reader *r, struct dump_value *v)
{
    return read_pack(r, v, RDB_ZIPLIST, next_name);
}

static int read_list_ziplists(struct rdb_reader *r, struct dump_value *v)
{
    uint64_t nodes;
    int err = rdb_read_len(r, &nodes);

    for (; err == OK && nodes > 0; nodes--) {
        err = read_pack(r, v, RDB_ZIPLIST, next_name);
    }
    return err;
}

/* Each node is one element as it is, or a listpack. */
static int read_list_nodes(struct rdb_reader *r, struct dump_value *v)
{
    enum { PLAIN = 1, PACKED = 2 };
    uint64_t nodes;
    int err = rdb_read_len(r, &nodes);

    for (; err == OK && nodes > 0; nodes--) {
        uint64_t container;
        struct slice s;

        err = rdb_read_len(r, &container);
        if (err == OK && container == PLAIN) {
            err = rdb_read_string(r, &s);
            err = err == OK ? add_name(v, s) : err;
        } else if (err == OK) {
            err = container == PACKED ? read_pack(r, v, RDB_LISTPACK, next_name) : ERR_CORRUPT;
        }
    }
    return err;
}

static int read_set_listpack(struct rdb_reader *r, struct dump_value *v)
{
    return read_pack(r, v, RDB_LISTPACK, next_name);
}

static int read_intset(struct rdb_reader *r, struct dump_value *v)
{
    struct slice blob;
    struct slice member;
    int err = rdb_read_string(r, &blob);
    uint64_t n;
    unsigned width;

    if (err == OK) {
        err = rdb_intset_begin(blob, &width, &n);
    }
    for (uint64_t i = 0; err == OK && i < n; i++) {
        err = rdb_intset_at(blob, i, width, r->memory, &member);
        err = err == OK ? add_name(v, member) : err;
    }
    return err;
}

/* A length, then digits; three lengths mean what has none. */
static int read_score_text(struct rdb_reader *r, double *out)
{
    enum { TEXT_NAN = 253, TEXT_INF = 254, TEXT_MINUS_INF = 255 };
    struct slice text;
    uint8_t len;
    int err = rdb_read_byte(r, &len);

    if (err != OK || len == TEXT_NAN) {
        return err == OK ? ERR_CORRUPT : err;
    }
    if (len >= TEXT_INF) {
        *out = len == TEXT_INF ? (double)INFINITY : -(double)INFINITY;
        return OK;
    }
    if (len > r->rest.len) {
        return ERR_CORRUPT;
    }
    text = (struct slice){r->rest.ptr, len};
    r->rest = (struct slice){r->rest.ptr + len, r->rest.len - len};
    return number_parse_score(text, out) ? OK : ERR_CORRUPT;
}

static int read_score_bits(struct rdb_reader *r, double *out)
{
    uint64_t bits = 0;
    int err = rdb_read_u64(r, &bits);

    memcpy(out, &bits, sizeof(bits));
    return err == OK && isnan(*out) ? ERR_CORRUPT : err;
}

static int read_members(struct rdb_reader *r, struct dump_value *v,
                        int (*read_score)(struct rdb_reader *, double *))
{
    uint64_t n;
    int err = rdb_read_len(r, &n);

    while (err == OK && v->count < n) {
        struct slice member;
        double score = 0;

        err = rdb_read_string(r, &member);
        err = err == OK ? read_score(r, &score) : err;
        err = err == OK ? add_field(v, dump_member(member, score)) : err;
    }
    return err;
}

static int read_zset_text(struct rdb_reader *r, struct dump_value *v)
{
    return read_members(r, v, read_score_text);
}

static int read_zset(struct rdb_reader *r, struct dump_value *v)
{
    return read_members(r, v, read_score_bits);
}

/* The score, as text, is behind its member. */
static int next_scored(struct rdb_pack *p, struct dump_value *v)
{
    struct hash_field f = {0};
    double score = 0;
    int err = next_pair(p, &f);

    err = err == OK && !number_parse_score(f.value, &score) ? ERR_CORRUPT : err;
    return err == OK ? add_field(v, dump_member(f.name, score)) : err;
}

static int read_zset_ziplist(struct rdb_reader *r, struct dump_value *v)
{
    return read_pack(r, v, RDB_ZIPLIST, next_scored);
}

static int read_zset_listpack(struct rdb_reader *r, struct dump_value *v)
{
    return read_pack(r, v, RDB_LISTPACK, next_scored);
}

/* A row a form that is read. */
/* clang-format off */
static const struct {
    uint8_t form;
    uint8_t type; /* enum value_type */
    int (*read)(struct rdb_reader *r, struct dump_value *v);
} forms[] = {
    {FORM_STRING,                 TYPE_STRING, read_string},
    {FORM_LIST,                   TYPE_LIST,   read_names},
    {FORM_LIST_ZIPLIST,           TYPE_LIST,   read_list_ziplist},
    {FORM_LIST_ZIPLISTS,          TYPE_LIST,   read_list_ziplists},
    {FORM_LIST_NODES,             TYPE_LIST,   read_list_nodes},
    {FORM_SET,                    TYPE_SET,    read_names},
    {FORM_SET_INTSET,             TYPE_SET,    read_intset},
    {FORM_SET_LISTPACK,           TYPE_SET,    read_set_listpack},
    {FORM_ZSET_TEXT,              TYPE_ZSET,   read_zset_text},
    {FORM_ZSET,                   TYPE_ZSET,   read_zset},
    {FORM_ZSET_ZIPLIST,           TYPE_ZSET,   read_zset_ziplist},
    {FORM_ZSET_LISTPACK,          TYPE_ZSET,   read_zset_listpack},
    {FORM_HASH,                   TYPE_HASH,   read_hash},
    {FORM_HASH_ZIPMAP,            TYPE_HASH,   read_zipmap},
    {FORM_HASH_ZIPLIST,           TYPE_HASH,   read_ziplist},
    {FORM_HASH_LISTPACK,          TYPE_HASH,   read_listpack},
    {FORM_HASH_EXPIRING,          TYPE_HASH,   read_hash_expiring},
    {FORM_HASH_LISTPACK_EXPIRING, TYPE_HASH,   read_listpack_expiring},
    {FORM_STREAM,                 TYPE_STREAM, read_stream_1},
    {FORM_STREAM_2,               TYPE_STREAM, read_stream_2},
    {FORM_STREAM_3,               TYPE_STREAM, read_stream_3},
    {FORM_MODULE,                 TYPE_JSON,   read_module},
};
/* clang-format on */

int dump_read(struct slice payload, struct dump_value *out)
{
    struct rdb_reader r = {.rest = {payload.ptr, payload.len - DUMP_FOOTER_BYTES},
                           .memory = &out->memory};
    uint8_t form;
    int err;

    *out = (struct dump_value){0};
    err = rdb_read_byte(&r, &form);
    for (size_t i = 0; err == OK && i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (forms[i].form != form) {
            continue;
        }
        out->type = (enum value_type)forms[i].type;
        err = forms[i].read(&r, out);
        if (err == OK &&
            (out->type == TYPE_HASH || out->type == TYPE_SET || out->type == TYPE_ZSET)) {
            err = out->count == 0 ? ERR_CORRUPT : check_names(out);
        }
        if (err == OK && out->type == TYPE_LIST && out->count == 0) {
            err = ERR_CORRUPT;
        }
        return err == OK && r.rest.len != 0 ? ERR_CORRUPT : err;
    }
    return ERR_CORRUPT;
}

void dump_value_fini(struct dump_value *v)
{
    mem_free(v->fields, v->cap * sizeof(*v->fields));
    if (v->stream != NULL && *v->stream != NULL) {
        large_drop(&(*v->stream)->large);
    }
    mem_free(v->stream, sizeof(struct stream *));
    buf_fini(&v->json);
    rdb_memory_fini(&v->memory);
    *v = (struct dump_value){0};
}
