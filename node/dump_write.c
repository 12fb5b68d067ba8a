/* dump_write.c - the forms that we write, at once and in slices (see dump.h). */
#include "node/dump_form.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/json_dump.h"
#include "node/stream_dump.h"
#include "node/type.h"
#include "node/type_hash.h"
#include "node/type_json.h"
#include "node/type_list.h"
#include "node/type_set.h"
#include "node/type_stream.h"
#include "node/type_string.h"
#include "node/type_zset.h"

#include <endian.h>

enum {
    LONG_BYTES = 256 << 10, /* of a value that is written in slices */
    SLICE_BYTES = 128 << 10,
    SLICE_FIELDS = 1000,
    SLICE_STEP = 50,
    CHECK_BYTES = 512 << 10 /* summed in a turn */
};

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

/* What stands before the fields, which have been looked at. */
static int write_hash_head(struct hash_out *to, const struct hash *h, uint16_t *version)
{
    to->expiring = to->earliest != UINT64_MAX;
    to->err = buf_append_char(to->out, to->expiring ? FORM_HASH_EXPIRING : FORM_HASH);
    if (to->expiring) {
        uint64_t le = htole64(to->earliest);

        *version = DUMP_VERSION_FIELDS_EXPIRE;
        to->err = to->err == OK ? buf_append(to->out, &le, sizeof(le)) : to->err;
    }
    return to->err == OK ? rdb_write_len(to->out, hash_count(h)) : to->err;
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
    to.err = write_hash_head(&to, &h, version);
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
            to.err =
                w->written || to.err != OK ? to.err : write_hash_head(&to, &w->hash, &w->version);
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
} types[VALUE_TYPES] = {
    [TYPE_STRING] = {write_string_slice, write_string},
    [TYPE_HASH] = {write_hash_slice, write_hash},
    [TYPE_SET] = {NULL, write_set},
    [TYPE_ZSET] = {NULL, write_zset},
    [TYPE_STREAM] = {NULL, write_stream},
    [TYPE_LIST] = {NULL, write_list},
    [TYPE_JSON] = {NULL, write_json},
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
    crc = htole64(dump_checksum((struct slice){out->ptr + from, out->len - from}));
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
