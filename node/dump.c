#include "node/dump.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/rand.h"
#include "node/json_dump.h"
#include "node/keyspace.h"
#include "node/section.h"
#include "node/slices.h"
#include "node/stream_dump.h"
#include "node/type.h"
#include "node/type_hash.h"
#include "node/type_json.h"
#include "node/type_list.h"
#include "node/type_set.h"
#include "node/type_stream.h"
#include "node/type_string.h"
#include "node/type_zset.h"
#include "proto/number.h"

#include <endian.h>
#include <math.h>

enum {
    LONG_BYTES = 256 << 10, /* of a value that is written in slices */
    SLICE_BYTES = 128 << 10,
    SLICE_FIELDS = 1000,
    SLICE_STEP = 50,
    CHECK_BYTES = 512 << 10, /* summed in a turn */
    SUM_BYTES = 32 << 10,    /* summed between two looks at the clock */
    SUM_STEPS = 500,
    FOOTER_BYTES = 10,
    /* The format's numbers for what a payload holds. */
    FORM_STRING = 0,
    FORM_LIST = 1,
    FORM_SET = 2,
    FORM_SET_INTSET = 11,
    FORM_SET_LISTPACK = 20,
    FORM_ZSET_TEXT = 3, /* scores as digits */
    FORM_ZSET = 5,
    FORM_ZSET_ZIPLIST = 12,
    FORM_ZSET_LISTPACK = 17,
    FORM_HASH = 4,
    FORM_MODULE = 7,
    FORM_HASH_ZIPMAP = 9,
    FORM_LIST_ZIPLIST = 10,
    FORM_HASH_ZIPLIST = 13,
    FORM_LIST_ZIPLISTS = 14,
    FORM_STREAM = 15,
    FORM_HASH_LISTPACK = 16,
    FORM_LIST_NODES = 18,
    FORM_STREAM_2 = 19,
    FORM_STREAM_3 = 21,
    FORM_HASH_EXPIRING = 24,
    FORM_HASH_LISTPACK_EXPIRING = 25
};

/* Of an expiry of a field: Redis keeps 48 bits. */
#define FIELD_EXPIRE_MAX ((1ull << 48) - 1)

/* Reading */

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

/* Names and values in turn, with expiries, as numbers, behind each pair. */
static int read_pack(struct rdb_reader *r, struct dump_value *v, enum rdb_pack_kind kind,
                     bool expiring)
{
    struct rdb_pack p;
    struct slice blob;
    int err = rdb_read_string(r, &blob);

    if (err == OK) {
        err = rdb_pack_begin(&p, kind, blob, r->memory);
    }
    while (err == OK && !rdb_pack_is_done(&p)) {
        struct hash_field f = {0};
        struct slice at;

        err = rdb_pack_next(&p, &f.name);
        err = err == OK ? rdb_pack_next(&p, &f.value) : err;
        if (err == OK && expiring) {
            err = rdb_pack_next(&p, &at);
            if (err == OK && (!parse_i64(at, &f.expire_at_ms) || f.expire_at_ms < 0 ||
                              (uint64_t)f.expire_at_ms > FIELD_EXPIRE_MAX)) {
                err = ERR_CORRUPT;
            }
        }
        err = err == OK ? add_field(v, f) : err;
    }
    return err == OK ? rdb_pack_end(&p) : err;
}

static int read_zipmap(struct rdb_reader *r, struct dump_value *v)
{
    return read_pack(r, v, RDB_ZIPMAP, false);
}

static int read_ziplist(struct rdb_reader *r, struct dump_value *v)
{
    return read_pack(r, v, RDB_ZIPLIST, false);
}

static int read_listpack(struct rdb_reader *r, struct dump_value *v)
{
    return read_pack(r, v, RDB_LISTPACK, false);
}

static int read_listpack_expiring(struct rdb_reader *r, struct dump_value *v)
{
    uint64_t earliest; /* each field says its own */
    int err = rdb_read_u64(r, &earliest);

    return err == OK ? read_pack(r, v, RDB_LISTPACK, true) : err;
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

/* An element of a list stands where a field has its name. */
static int read_module(struct rdb_reader *r, struct dump_value *v)
{
    return json_dump_read(r, &v->json);
}

static int add_element(struct dump_value *v, struct slice element)
{
    return add_field(v, (struct hash_field){.name = element});
}

static int read_list(struct rdb_reader *r, struct dump_value *v)
{
    uint64_t n;
    int err = rdb_read_len(r, &n);

    while (err == OK && v->count < n) {
        struct slice s;

        err = rdb_read_string(r, &s);
        err = err == OK ? add_element(v, s) : err;
    }
    return err;
}

static int read_list_pack(struct rdb_reader *r, struct dump_value *v, enum rdb_pack_kind kind)
{
    struct rdb_pack p;
    struct slice blob;
    int err = rdb_read_string(r, &blob);

    if (err == OK) {
        err = rdb_pack_begin(&p, kind, blob, r->memory);
    }
    while (err == OK && !rdb_pack_is_done(&p)) {
        struct slice s;

        err = rdb_pack_next(&p, &s);
        err = err == OK ? add_element(v, s) : err;
    }
    return err == OK ? rdb_pack_end(&p) : err;
}

static int read_list_ziplist(struct rdb_reader *r, struct dump_value *v)
{
    return read_list_pack(r, v, RDB_ZIPLIST);
}

static int read_list_ziplists(struct rdb_reader *r, struct dump_value *v)
{
    uint64_t nodes;
    int err = rdb_read_len(r, &nodes);

    for (; err == OK && nodes > 0; nodes--) {
        err = read_list_pack(r, v, RDB_ZIPLIST);
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
            err = err == OK ? add_element(v, s) : err;
        } else if (err == OK) {
            err = container == PACKED ? read_list_pack(r, v, RDB_LISTPACK) : ERR_CORRUPT;
        }
    }
    return err;
}

/* A member is a field without a value. */
static int add_member(struct dump_value *v, struct slice member)
{
    return add_field(v, (struct hash_field){.name = member, .value = {"", 0}});
}

static int read_set(struct rdb_reader *r, struct dump_value *v)
{
    struct slice member;
    uint64_t n;
    int err = rdb_read_len(r, &n);

    while (err == OK && v->count < n) {
        err = rdb_read_string(r, &member);
        err = err == OK ? add_member(v, member) : err;
    }
    return err;
}

static int read_set_listpack(struct rdb_reader *r, struct dump_value *v)
{
    struct rdb_pack p;
    struct slice s;
    int err = rdb_read_string(r, &s);

    if (err == OK) {
        err = rdb_pack_begin(&p, RDB_LISTPACK, s, r->memory);
    }
    while (err == OK && !rdb_pack_is_done(&p)) {
        err = rdb_pack_next(&p, &s);
        err = err == OK ? add_member(v, s) : err;
    }
    return err == OK ? rdb_pack_end(&p) : err;
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
        err = err == OK ? add_member(v, member) : err;
    }
    return err;
}

/* A member of a sorted set is a field without a value, the bits of its score where an expiry would be. */
static struct hash_field field_of(struct slice member, double score)
{
    struct hash_field f = {.name = member};

    memcpy(&f.expire_at_ms, &score, sizeof(score));
    return f;
}

static double score_of(const struct hash_field *f)
{
    double score;

    memcpy(&score, &f->expire_at_ms, sizeof(score));
    return score;
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
        err = err == OK ? add_field(v, field_of(member, score)) : err;
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

/* Members and scores in turn. */
static int read_zset_pack(struct rdb_reader *r, struct dump_value *v, enum rdb_pack_kind kind)
{
    struct rdb_pack p;
    struct slice blob;
    int err = rdb_read_string(r, &blob);

    if (err == OK) {
        err = rdb_pack_begin(&p, kind, blob, r->memory);
    }
    while (err == OK && !rdb_pack_is_done(&p)) {
        struct slice member, text;
        double score = 0;

        err = rdb_pack_next(&p, &member);
        err = err == OK ? rdb_pack_next(&p, &text) : err;
        err = err == OK && !number_parse_score(text, &score) ? ERR_CORRUPT : err;
        err = err == OK ? add_field(v, field_of(member, score)) : err;
    }
    return err == OK ? rdb_pack_end(&p) : err;
}

static int read_zset_ziplist(struct rdb_reader *r, struct dump_value *v)
{
    return read_zset_pack(r, v, RDB_ZIPLIST);
}

static int read_zset_listpack(struct rdb_reader *r, struct dump_value *v)
{
    return read_zset_pack(r, v, RDB_LISTPACK);
}

/* A row a form that is read. */
/* clang-format off */
static const struct {
    uint8_t form;
    uint8_t type; /* enum value_type */
    int (*read)(struct rdb_reader *r, struct dump_value *v);
} forms[] = {
    {FORM_STRING,                 TYPE_STRING, read_string},
    {FORM_LIST,                   TYPE_LIST,   read_list},
    {FORM_LIST_ZIPLIST,           TYPE_LIST,   read_list_ziplist},
    {FORM_LIST_ZIPLISTS,          TYPE_LIST,   read_list_ziplists},
    {FORM_LIST_NODES,             TYPE_LIST,   read_list_nodes},
    {FORM_SET,                    TYPE_SET,    read_set},
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

static uint64_t checksum(struct slice bytes)
{
    uint64_t crc = 0;

    for (size_t at = 0; at < bytes.len; at += SUM_BYTES) {
        size_t left = bytes.len - at;

        (void)slices_tick(SUM_STEPS);
        crc = rdb_crc64(crc, (struct slice){bytes.ptr + at, left < SUM_BYTES ? left : SUM_BYTES});
    }
    return crc;
}

bool dump_is_sound(struct slice payload)
{
    uint16_t version;
    uint64_t crc;

    if (payload.len < FOOTER_BYTES) {
        return false;
    }
    memcpy(&version, payload.ptr + payload.len - FOOTER_BYTES, sizeof(version));
    memcpy(&crc, payload.ptr + payload.len - sizeof(crc), sizeof(crc));
    return le16toh(version) <= DUMP_VERSION_MAX &&
           le64toh(crc) == checksum((struct slice){payload.ptr, payload.len - sizeof(crc)});
}

int dump_read(struct slice payload, struct dump_value *out)
{
    struct rdb_reader r = {.rest = {payload.ptr, payload.len - FOOTER_BYTES},
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

/* Storing */

static void store_string(struct cmd *c, struct key key, const struct dump_value *v,
                         int64_t expire_at_ms)
{
    string_put(c, key, v->string, expire_at_ms);
}

static void store_hash(struct cmd *c, struct key key, const struct dump_value *v,
                       int64_t expire_at_ms)
{
    bool any = false;

    for (size_t i = 0; i < v->count && slices_tick(1); i++) {
        const struct hash_field *f = &v->fields[i];

        /* Expired on its way here. */
        if (f->expire_at_ms == 0 || f->expire_at_ms > c->now_ms) {
            (void)hash_put(c, key, f->name, f->value, f->expire_at_ms);
            any = true;
        }
    }
    /* Absent when memory ran out on the way: the section has failed, and what was put is dropped. */
    if (any && expire_at_ms != 0 && keyspace_peek(c, key) != NULL) {
        keyspace_expire_at(c, key, expire_at_ms);
    }
}

static void store_stream(struct cmd *c, struct key key, const struct dump_value *v,
                         int64_t expire_at_ms)
{
    struct stream *st = *v->stream;

    *v->stream = NULL;
    stream_store(c, key, st, expire_at_ms);
}

static void store_json(struct cmd *c, struct key key, const struct dump_value *v,
                       int64_t expire_at_ms)
{
    json_put(c, key, buf_slice(&v->json), SLICE(""));
    if (expire_at_ms != 0 && keyspace_peek(c, key) != NULL) {
        keyspace_expire_at(c, key, expire_at_ms);
    }
}

static void store_set(struct cmd *c, struct key key, const struct dump_value *v,
                      int64_t expire_at_ms)
{
    struct slice *members = mem_alloc(v->count * sizeof(members[0]));

    if (members == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    size_t n = 0;

    while (n < v->count && slices_tick(1)) {
        members[n] = v->fields[n].name;
        n++;
    }
    set_replace(c, key, members, n);
    if (expire_at_ms != 0 && keyspace_peek(c, key) != NULL) {
        keyspace_expire_at(c, key, expire_at_ms);
    }
    mem_free(members, v->count * sizeof(members[0]));
}

static void store_zset(struct cmd *c, struct key key, const struct dump_value *v,
                       int64_t expire_at_ms)
{
    struct zset_item items[64];
    size_t n = 0;

    for (size_t i = 0; i < v->count && slices_tick(1); i++) {
        items[n++] = (struct zset_item){v->fields[i].name, score_of(&v->fields[i])};
        if (n == sizeof(items) / sizeof(items[0]) || i + 1 == v->count) {
            (void)zset_add(c, key, items, n, 0);
            n = 0;
        }
    }
    if (expire_at_ms != 0 && keyspace_peek(c, key) != NULL) {
        keyspace_expire_at(c, key, expire_at_ms);
    }
}

static void store_list(struct cmd *c, struct key key, const struct dump_value *v,
                       int64_t expire_at_ms)
{
    struct slice some[256];

    for (size_t i = 0; i < v->count && slices_tick(1);) {
        size_t n = 0;

        for (; n < 256 && i < v->count; i++) {
            some[n++] = v->fields[i].name;
        }
        vlist_push(c, key, LIST_TAIL, some, n);
    }
    /* Absent when memory ran out on the way. */
    if (expire_at_ms != 0 && keyspace_peek(c, key) != NULL) {
        keyspace_expire_at(c, key, expire_at_ms);
    }
}

/* Writing */

static int write_string(struct cmd *c, struct key key, const struct entry *e, struct buf *out,
                        uint16_t *version)
{
    struct string_value v;
    struct buf whole = {0};
    struct slice s;
    int err = ERR_NOMEM;

    (void)c, (void)key, (void)version;
    string_of_entry(e, &v);
    if (string_flat(&v, &whole, &s)) {
        err = buf_append_char(out, FORM_STRING);
        err = err == OK ? rdb_write_string(out, s) : err;
    }
    buf_fini(&whole);
    return err;
}

struct hash_out {
    struct buf *out;
    uint64_t earliest; /* of all fields; UINT64_MAX: none expires */
    bool expiring;
    int err;
};

static void look_at_field(const struct hash_field *f, void *arg)
{
    struct hash_out *h = arg;

    if (f->expire_at_ms != 0 && (uint64_t)f->expire_at_ms < h->earliest) {
        h->earliest = (uint64_t)f->expire_at_ms;
    }
}

static void write_field(const struct hash_field *f, void *arg)
{
    struct hash_out *h = arg;

    if (h->err == OK && h->expiring) {
        uint64_t at = (uint64_t)f->expire_at_ms;

        h->err = rdb_write_len(h->out, at == 0 ? 0 : at - h->earliest + 1);
    }
    h->err = h->err == OK ? rdb_write_string(h->out, f->name) : h->err;
    h->err = h->err == OK ? rdb_write_string(h->out, f->value) : h->err;
}

static int write_hash(struct cmd *c, struct key key, const struct entry *e, struct buf *out,
                      uint16_t *version)
{
    struct hash_out to = {.out = out, .earliest = UINT64_MAX};
    struct hash h;

    (void)e;
    if (hash_open(c, key, &h) != FOUND) {
        return ERR_INVALID; /* changed since the caller looked; c->retry says so */
    }
    hash_each(&h, look_at_field, &to);
    to.expiring = to.earliest != UINT64_MAX;
    to.err = buf_append_char(out, to.expiring ? FORM_HASH_EXPIRING : FORM_HASH);
    if (to.expiring) {
        uint64_t le = htole64(to.earliest);

        *version = DUMP_VERSION_FIELDS_EXPIRE;
        to.err = to.err == OK ? buf_append(out, &le, sizeof(le)) : to.err;
    }
    to.err = to.err == OK ? rdb_write_len(out, hash_count(&h)) : to.err;
    hash_each(&h, write_field, &to);
    hash_close(&h);
    return to.err;
}

static int write_stream(struct cmd *c, struct key key, const struct entry *e, struct buf *out,
                        uint16_t *version)
{
    struct stream_view v;

    (void)e, (void)version;
    if (stream_open(c, key, &v) != FOUND) {
        return ERR_INVALID; /* changed since the caller looked; c->retry says so */
    }
    int err = buf_append_char(out, FORM_STREAM_2);

    err = err == OK ? stream_dump_write(v.st, out) : err;
    stream_close(&v);
    return err;
}

static int write_json(struct cmd *c, struct key key, const struct entry *e, struct buf *out,
                      uint16_t *version)
{
    int err = buf_append_char(out, FORM_MODULE);

    (void)c, (void)key, (void)version;
    return err == OK ? json_dump_write(json_of(e), out) : err;
}

static int write_list(struct cmd *c, struct key key, const struct entry *e, struct buf *out,
                      uint16_t *version)
{
    struct vlist_cursor at;
    struct vlist_view l;
    struct slice s;
    int err;

    (void)e, (void)version;
    if (vlist_open(c, key, &l) != FOUND) {
        return ERR_INVALID; /* as for a hash */
    }
    err = buf_append_char(out, FORM_LIST);
    err = err == OK ? rdb_write_len(out, vlist_count(&l)) : err;
    vlist_seek(&l, 0, &at);
    while (err == OK && vlist_next(&at, &s)) {
        err = rdb_write_string(out, s);
    }
    vlist_close(&l);
    return err;
}

/* In slices: a string of more than is compressed. */
static int write_string_slice(struct cmd *c, struct dump_writing *w)
{
    int err = OK;

    if (w->at == 0) {
        string_of_entry(w->entry, &w->string);
        if (w->string.len <= RDB_COMPRESS_MAX) {
            w->written = true;
            return write_string(c, w->key, w->entry, &w->out, &w->version);
        }
        if (!c->in_txn) { /* whose section keeps the lock */
            string_hold(&w->string);
            w->holds = true;
            w->needs_lock = false;
        }
        err = buf_append_char(&w->out, FORM_STRING);
        err = err == OK ? rdb_write_len(&w->out, w->string.len) : err;
    }
    for (uint64_t end = w->at + SLICE_BYTES; err == OK && w->at < end && !w->written;) {
        struct slice piece = string_chunk(&w->string, w->at);

        err = buf_append_slice(&w->out, piece);
        w->at += piece.len;
        w->written = w->at == w->string.len;
    }
    return err;
}

static int write_hash_head(struct dump_writing *w, struct hash_out *to)
{
    to->err = buf_append_char(&w->out, to->expiring ? FORM_HASH_EXPIRING : FORM_HASH);
    if (to->expiring) {
        uint64_t le = htole64(to->earliest);

        w->version = DUMP_VERSION_FIELDS_EXPIRE;
        to->err = to->err == OK ? buf_append(&w->out, &le, sizeof(le)) : to->err;
    }
    return to->err == OK ? rdb_write_len(&w->out, hash_count(&w->hash)) : to->err;
}

/* Two walks, as write_hash(). */
static int write_hash_slice(struct cmd *c, struct dump_writing *w)
{
    struct hash_out to = {.out = &w->out, .earliest = w->earliest};
    size_t full = w->out.len + SLICE_BYTES;

    if (w->at == 0 && !w->looked && hash_open(c, w->key, &w->hash) != FOUND) {
        return ERR_INVALID;
    }
    for (int n = 0; n < SLICE_FIELDS && to.err == OK && w->out.len < full && !w->written;
         n += SLICE_STEP) {
        to.expiring = w->looked && to.earliest != UINT64_MAX;
        w->at =
            hash_scan(&w->hash, w->at, SLICE_STEP, w->looked ? write_field : look_at_field, &to);
        if (w->at == 0) {
            w->written = w->looked;
            w->looked = true;
            to.expiring = to.earliest != UINT64_MAX;
            to.err = w->written || to.err != OK ? to.err : write_hash_head(w, &to);
        }
    }
    w->earliest = to.earliest;
    return to.err;
}

struct set_out {
    struct buf *out;
    int err;
};

static void write_member(struct slice member, void *arg)
{
    struct set_out *s = arg;

    s->err = s->err == OK ? rdb_write_string(s->out, member) : s->err;
}

/* The intset's own form, since every release reads it; of the others the plain one, as of hashes. */
static int write_set(struct cmd *c, struct key key, const struct entry *e, struct buf *out,
                     uint16_t *version)
{
    struct set_out to = {out, OK};
    struct set s;

    (void)e, (void)version;
    if (set_open(c, key, &s) != FOUND) {
        return ERR_INVALID; /* changed since the caller looked; c->retry says so */
    }
    bool ints = set_is_ints(&s);

    to.err = buf_append_char(out, ints ? FORM_SET_INTSET : FORM_SET);
    if (ints) {
        struct slice block = entry_payload(s.view.entry);

        to.err = to.err == OK ? rdb_write_intset(out, block.ptr + SET_PACKED_HEAD, set_count(&s),
                                                 set_packed_width(block))
                              : to.err;
    } else {
        to.err = to.err == OK ? rdb_write_len(out, set_count(&s)) : to.err;
        set_each(&s, write_member, &to);
    }
    set_close(&s);
    return to.err;
}

/* From the last, as Redis does: reading it back then puts each before all others. */
static int write_zset(struct cmd *c, struct key key, const struct entry *e, struct buf *out,
                      uint16_t *version)
{
    struct zset_walk w;
    struct zset_item i;
    struct zset z;
    int err;

    (void)e, (void)version;
    if (zset_open(c, key, &z) != FOUND) {
        return ERR_INVALID; /* changed since the caller looked; c->retry says so */
    }
    size_t n = zset_count(&z);

    err = buf_append_char(out, FORM_ZSET);
    err = err == OK ? rdb_write_len(out, n) : err;
    zset_walk_begin(&w, &z, n - 1, n, true);
    while (err == OK && zset_walk_next(&w, &i)) {
        uint64_t bits;

        memcpy(&bits, &i.score, sizeof(bits));
        bits = htole64(bits);
        err = rdb_write_string(out, i.member);
        err = err == OK ? buf_append(out, &bits, sizeof(bits)) : err;
    }
    zset_close(&z);
    return err;
}

/* A row a type; without write_slice all is written at once. */
static const struct {
    int (*write_slice)(struct cmd *c, struct dump_writing *w);
    int (*write)(struct cmd *c, struct key key, const struct entry *e, struct buf *out,
                 uint16_t *version);
    void (*store)(struct cmd *c, struct key key, const struct dump_value *v, int64_t expire_at_ms);
} types[VALUE_TYPES] = {
    [TYPE_STRING] = {write_string_slice, write_string, store_string},
    [TYPE_HASH] = {write_hash_slice, write_hash, store_hash},
    [TYPE_SET] = {NULL, write_set, store_set},
    [TYPE_ZSET] = {NULL, write_zset, store_zset},
    [TYPE_STREAM] = {NULL, write_stream, store_stream},
    [TYPE_LIST] = {NULL, write_list, store_list},
    [TYPE_JSON] = {NULL, write_json, store_json},
};

int dump_write(struct cmd *c, struct key key, const struct entry *e, struct buf *out)
{
    uint16_t version = DUMP_VERSION;
    size_t from = out->len;
    uint64_t crc;
    int err;

    if (types[e->type].write == NULL) {
        return ERR_INVALID;
    }
    err = types[e->type].write(c, key, e, out, &version);
    version = htole16(version);
    err = err == OK ? buf_append(out, &version, sizeof(version)) : err;
    if (err != OK) {
        return err;
    }
    crc = htole64(checksum((struct slice){out->ptr + from, out->len - from}));
    return buf_append(out, &crc, sizeof(crc));
}

bool dump_is_long(const struct entry *e)
{
    return type_bytes(e) > LONG_BYTES;
}

bool dump_has_slices(const struct entry *e)
{
    return types[e->type].write_slice != NULL;
}

struct dump_writing *dump_writing_create(struct cmd *c, struct key key, const struct entry *e)
{
    struct dump_writing *w = mem_zalloc(sizeof(*w));

    (void)c;
    if (w == NULL || buf_reserve(&w->out, type_bytes(e)) != OK) {
        mem_free(w, sizeof(*w));
        return NULL;
    }
    w->entry = e;
    w->key = key;
    w->earliest = UINT64_MAX;
    w->version = DUMP_VERSION;
    w->needs_lock = true;
    return w;
}

static int write_slice(struct cmd *c, struct dump_writing *w)
{
    enum value_type type = w->needs_lock ? w->entry->type : TYPE_STRING;
    int err;

    if (types[type].write == NULL) {
        return ERR_INVALID;
    }
    if (types[type].write_slice != NULL) {
        err = types[type].write_slice(c, w);
    } else {
        err = types[type].write(c, w->key, w->entry, &w->out, &w->version);
        w->written = true;
    }
    if (err == OK && w->written) {
        uint16_t version = htole16(w->version);

        w->needs_lock = false;
        err = buf_append(&w->out, &version, sizeof(version));
    }
    return err;
}

int dump_write_slice(struct cmd *c, struct dump_writing *w)
{
    if (!w->written) {
        return write_slice(c, w);
    }
    size_t left = w->out.len - w->checked;
    size_t n = left < CHECK_BYTES ? left : CHECK_BYTES;

    w->crc = rdb_crc64(w->crc, (struct slice){w->out.ptr + w->checked, n});
    w->checked += n;
    if (w->checked < w->out.len) {
        return OK;
    }
    uint64_t crc = htole64(w->crc);

    w->is_done = true;
    return buf_append(&w->out, &crc, sizeof(crc));
}

void dump_writing_destroy(void *writing)
{
    struct dump_writing *w = writing;

    if (w->holds) {
        string_let_go(&w->string);
    }
    buf_fini(&w->out);
    mem_free(w, sizeof(*w));
}

void dump_store(struct cmd *c, struct key key, const struct dump_value *v, int64_t expire_at_ms)
{
    types[v->type].store(c, key, v, expire_at_ms);
}
