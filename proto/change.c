/* change.c - the encoder of change.proto.
 *
 * What protobuf-c would do in two passes over a tree of structs is one pass here: lengths are
 * computed from the arguments, then tags, lengths and bytes are stored in the order of the field
 * numbers. Where the length is not known beforehand (operations on several fields) one byte is left
 * for it, and the content is moved if that was not enough. proto/change_write.h has the pieces.
 */
#include "proto/change.h"

#include "base/err.h"
#include "base/mem.h"
#include "proto/change.pb-c.h"
#include "proto/change_write.h"

enum { SEQ_AT = 1, EPOCH_AT = 10, TIME_AT = 19, DATABASE_AT = 28 };

void change_writer_fini(struct change_writer *w)
{
    mem_free(w->refs, w->refs_cap * sizeof(*w->refs));
    change_writer_init(w);
}

int change_begin(struct change_writer *w, struct buf *out, uint32_t database)
{
    char *p;

    if (buf_reserve(out, CHANGE_HEAD_BYTES) != OK) {
        return ERR_NOMEM;
    }
    w->out = out;
    w->start = out->len;
    w->refs_count = 0;
    w->refs_bytes = 0;
    w->ops = 0;
    w->open = false;
    p = out->ptr + out->len;
    memset(p, 0, CHANGE_HEAD_BYTES);
    p[SEQ_AT - 1] = FIXED64(1);
    p[EPOCH_AT - 1] = FIXED64(2);
    p[TIME_AT - 1] = FIXED64(3);
    p[DATABASE_AT - 1] = FIXED32(4);
    memcpy(p + DATABASE_AT, &database, sizeof(database));
    out->len += CHANGE_HEAD_BYTES;
    return OK;
}

int change_request_id(struct change_writer *w, struct slice id)
{
    assert(w->ops == 0 && !w->open);
    if (buf_reserve(w->out, bytes_size(id.len)) != OK) {
        return ERR_NOMEM;
    }
    wrote(w, put_bytes(w->out->ptr + w->out->len, LEN(5), id));
    return OK;
}

int change_part(struct change_writer *w, uint32_t part, uint32_t parts)
{
    char *p;

    assert(!w->open);
    if (buf_reserve(w->out, 2 * (1 + LEN_MAX)) != OK) {
        return ERR_NOMEM;
    }
    p = w->out->ptr + w->out->len;
    *p++ = VARINT(7);
    p = put_varint(p, part);
    *p++ = VARINT(8);
    wrote(w, put_varint(p, parts));
    return OK;
}

struct change_mark change_mark(const struct change_writer *w)
{
    assert(!w->open);
    return (struct change_mark){w->out->len, w->refs_bytes, w->refs_count, w->ops};
}

void change_rewind(struct change_writer *w, struct change_mark mark)
{
    assert(!w->open);
    assert(mark.len <= w->out->len);
    w->out->len = mark.len;
    w->refs_bytes = mark.refs_bytes;
    w->refs_count = mark.refs_count;
    w->ops = mark.ops;
}

static inline char *put_string_head(struct change_writer *w, struct slice key, uint64_t value_len,
                                    int64_t expire_at_ms)
{
    uint64_t body = 1 + varint_size(value_len) + value_len + (expire_at_ms != 0 ? 9 : 0);
    char *p = put_op(w, key, LEN(2), body);

    if (expire_at_ms != 0) {
        *p++ = FIXED64(1);
        p = put_fixed64(p, (uint64_t)expire_at_ms);
    }
    *p++ = LEN(2);
    return put_varint(p, value_len);
}

HOT int change_put_string(struct change_writer *w, struct slice key, struct slice value,
                          int64_t expire_at_ms)
{
    char *p;

    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD + key.len + value.len) != OK) {
        return ERR_NOMEM;
    }
    p = put_string_head(w, key, value.len, expire_at_ms);
    if (LIKELY(value.len > 0)) {
        memcpy(p, value.ptr, value.len);
    }
    wrote(w, p + value.len);
    return OK;
}

static int refs_reserve(struct change_writer *w)
{
    uint32_t cap = w->refs_cap == 0 ? 4 : w->refs_cap * 2;
    struct change_ref *refs;

    if (w->refs_count < w->refs_cap) {
        return OK;
    }
    refs = mem_realloc(w->refs, w->refs_cap * sizeof(*refs), cap * sizeof(*refs));
    if (refs == NULL) {
        return ERR_NOMEM;
    }
    w->refs = refs;
    w->refs_cap = cap;
    return OK;
}

int change_put_string_ref(struct change_writer *w, struct slice key, uint64_t value_len,
                          int64_t expire_at_ms, void *ref)
{
    assert(!w->open);
    assert(value_len > 0);
    if (refs_reserve(w) != OK || buf_reserve(w->out, OP_OVERHEAD + key.len) != OK) {
        return ERR_NOMEM;
    }
    wrote(w, put_string_head(w, key, value_len, expire_at_ms));
    w->refs[w->refs_count++] = (struct change_ref){w->out->len, value_len, ref};
    w->refs_bytes += value_len;
    return OK;
}

int change_put_range(struct change_writer *w, struct slice key, uint64_t offset, struct slice bytes)
{
    uint64_t body = 1 + varint_size(offset) + bytes_size(bytes.len);
    char *p;

    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD + key.len + bytes.len) != OK) {
        return ERR_NOMEM;
    }
    p = put_op(w, key, LEN(3), body);
    *p++ = VARINT(1);
    p = put_varint(p, offset);
    wrote(w, put_bytes(p, LEN(2), bytes));
    return OK;
}

int change_expire_at(struct change_writer *w, struct slice key, int64_t at_ms)
{
    char *p;

    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD + key.len) != OK) {
        return ERR_NOMEM;
    }
    p = put_op(w, key, LEN(7), 9);
    *p++ = FIXED64(1);
    wrote(w, put_fixed64(p, (uint64_t)at_ms));
    return OK;
}

int change_delete(struct change_writer *w, struct slice key, enum change_reason reason)
{
    char *p;

    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD + key.len) != OK) {
        return ERR_NOMEM;
    }
    p = put_op(w, key, LEN(8), 2);
    *p++ = VARINT(1);
    wrote(w, put_varint(p, (uint64_t)reason));
    return OK;
}

int change_flush(struct change_writer *w)
{
    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD) != OK) {
        return ERR_NOMEM;
    }
    wrote(w, put_op(w, (struct slice){NULL, 0}, LEN(9), 0));
    return OK;
}

char *change_op_open(struct change_writer *w, struct slice key, uint32_t kind)
{
    char *p;

    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD + key.len + END_OVERHEAD) != OK) {
        return NULL;
    }
    p = w->out->ptr + w->out->len;
    *p++ = LEN(6);
    w->op_at = (size_t)(p - w->out->ptr);
    p = put_bytes(p + 1, LEN(1), key);
    p = put_varint(p, kind);
    w->body_at = (size_t)(p - w->out->ptr);
    w->open = true;
    w->ops++;
    return p + 1;
}

void change_op_close(struct change_writer *w)
{
    char *base = w->out->ptr;
    size_t body = w->out->len - w->body_at - 1;
    size_t body_more = varint_size(body) - 1;
    size_t op = w->out->len - w->op_at - 1 + body_more;
    size_t op_more = varint_size(op) - 1;

    assert(w->open);
    /* Each step that added bytes left END_OVERHEAD behind them. */
    assert(w->out->cap - w->out->len >= body_more + op_more);
    if (UNLIKELY(body_more + op_more > 0)) {
        buf_move(base + w->body_at + 1 + body_more + op_more, base + w->body_at + 1, body);
        buf_move(base + w->op_at + 1 + op_more, base + w->op_at + 1, w->body_at - w->op_at - 1);
        w->out->len += body_more + op_more;
    }
    (void)put_varint(base + w->op_at, op);
    (void)put_varint(base + w->body_at + op_more, body);
    w->open = false;
}

void change_drop_open(struct change_writer *w)
{
    assert(w->open);
    w->out->len = w->op_at - 1;
    w->open = false;
    w->ops--;
}

int change_put_fields_begin(struct change_writer *w, struct slice key, bool replace,
                            int64_t expire_at_ms)
{
    char *p = change_op_open(w, key, LEN(4));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    p = put_replace(p, replace, expire_at_ms);
    wrote(w, p);
    return OK;
}

int change_field(struct change_writer *w, struct slice name, struct slice value,
                 int64_t expire_at_ms)
{
    size_t size = bytes_size(name.len) + bytes_size(value.len) + (expire_at_ms != 0 ? 9 : 0);
    char *p;

    assert(w->open);
    if (buf_reserve(w->out, FIELD_OVERHEAD + name.len + value.len + END_OVERHEAD) != OK) {
        return ERR_NOMEM;
    }
    p = w->out->ptr + w->out->len;
    *p++ = LEN(3);
    p = put_varint(p, size);
    p = put_bytes(p, LEN(1), name);
    p = put_bytes(p, LEN(2), value);
    if (expire_at_ms != 0) {
        *p++ = FIXED64(3);
        p = put_fixed64(p, (uint64_t)expire_at_ms);
    }
    wrote(w, p);
    return OK;
}

void change_put_fields_end(struct change_writer *w)
{
    change_op_close(w);
}

int change_put_field(struct change_writer *w, struct slice key, struct slice name,
                     struct slice value)
{
    uint64_t size = bytes_size(name.len) + bytes_size(value.len);

    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD + key.len + name.len + value.len) != OK) {
        return ERR_NOMEM;
    }
    char *p = put_op(w, key, LEN(4), 1 + varint_size(size) + size);

    *p++ = LEN(3);
    p = put_varint(p, size);
    p = put_bytes(p, LEN(1), name);
    wrote(w, put_bytes(p, LEN(2), value));
    return OK;
}

int change_add_bytes(struct change_writer *w, char tag, struct slice bytes)
{
    assert(w->open);
    if (buf_reserve(w->out, FIELD_OVERHEAD + bytes.len + END_OVERHEAD) != OK) {
        return ERR_NOMEM;
    }
    wrote(w, put_bytes(w->out->ptr + w->out->len, tag, bytes));
    return OK;
}

int change_delete_fields_begin(struct change_writer *w, struct slice key)
{
    char *p = change_op_open(w, key, LEN(5));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    wrote(w, p);
    return OK;
}

int change_delete_fields_name(struct change_writer *w, struct slice name)
{
    return change_add_bytes(w, LEN(1), name);
}

void change_delete_fields_end(struct change_writer *w)
{
    change_op_close(w);
}

int change_expire_fields_begin(struct change_writer *w, struct slice key, int64_t at_ms)
{
    char *p = change_op_open(w, key, LEN(6));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    *p++ = FIXED64(1);
    wrote(w, put_fixed64(p, (uint64_t)at_ms));
    return OK;
}

int change_expire_fields_name(struct change_writer *w, struct slice name)
{
    return change_add_bytes(w, LEN(2), name);
}

void change_expire_fields_end(struct change_writer *w)
{
    change_op_close(w);
}

void change_seal(char *bytes, uint64_t seq, uint64_t epoch, uint64_t time)
{
    (void)put_fixed64(bytes + SEQ_AT, seq);
    (void)put_fixed64(bytes + EPOCH_AT, epoch);
    (void)put_fixed64(bytes + TIME_AT, time);
}

static uint64_t get_fixed64(const char *p)
{
    uint64_t n;

    memcpy(&n, p, sizeof(n));
    return n;
}

uint64_t change_seq(const char *bytes)
{
    return get_fixed64(bytes + SEQ_AT);
}

uint64_t change_epoch(const char *bytes)
{
    return get_fixed64(bytes + EPOCH_AT);
}

uint64_t change_time(const char *bytes)
{
    return get_fixed64(bytes + TIME_AT);
}

uint32_t change_database(const char *bytes)
{
    uint32_t n;

    memcpy(&n, bytes + DATABASE_AT, sizeof(n));
    return n;
}

static bool known(const ProtobufCMessage *m)
{
    return m->n_unknown_fields == 0;
}

static bool put_fields_fine(const Godwit__PutFields *m)
{
    if (!known(&m->base) || m->expire_at_ms < 0) {
        return false;
    }
    for (size_t i = 0; i < m->n_fields; i++) {
        if (!known(&m->fields[i]->base) || m->fields[i]->expire_at_ms < 0) {
            return false;
        }
    }
    return true;
}

static bool delete_fine(const Godwit__Delete *m)
{
    switch (m->reason) {
    case GODWIT__DELETE__REASON__COMMAND:
    case GODWIT__DELETE__REASON__EXPIRED:
    case GODWIT__DELETE__REASON__EVICTED:
        return known(&m->base);
    case _GODWIT__DELETE__REASON_IS_INT_SIZE:
        break;
    }
    return false;
}

static bool op_fine(const Godwit__Op *op)
{
    if (!known(&op->base)) {
        return false;
    }
    switch (op->kind_case) {
    case GODWIT__OP__KIND_PUT_STRING:
        return known(&op->put_string->base) && op->put_string->expire_at_ms >= 0;
    case GODWIT__OP__KIND_PUT_RANGE:
        return known(&op->put_range->base) &&
               op->put_range->offset <= INT64_MAX - op->put_range->bytes.len;
    case GODWIT__OP__KIND_PUT_FIELDS:
        return put_fields_fine(op->put_fields);
    case GODWIT__OP__KIND_DELETE_FIELDS:
        return known(&op->delete_fields->base);
    case GODWIT__OP__KIND_EXPIRE_FIELDS:
        return known(&op->expire_fields->base) && op->expire_fields->at_ms >= 0;
    case GODWIT__OP__KIND_EXPIRE_AT:
        return known(&op->expire_at->base) && op->expire_at->at_ms >= 0;
    case GODWIT__OP__KIND_DELETE:
        return delete_fine(op->delete_);
    case GODWIT__OP__KIND_FLUSH:
        return known(&op->flush->base) && op->key.len == 0;
    case GODWIT__OP__KIND_STREAM_APPEND:
    case GODWIT__OP__KIND_STREAM_CREATE:
    case GODWIT__OP__KIND_STREAM_REMOVE:
    case GODWIT__OP__KIND_STREAM_TRIM:
    case GODWIT__OP__KIND_STREAM_META:
    case GODWIT__OP__KIND_STREAM_GROUP:
    case GODWIT__OP__KIND_STREAM_DELETE_GROUP:
    case GODWIT__OP__KIND_STREAM_CONSUMER:
    case GODWIT__OP__KIND_STREAM_DELETE_CONSUMER:
    case GODWIT__OP__KIND_STREAM_PENDING:
    case GODWIT__OP__KIND_STREAM_ACKNOWLEDGE:
        return change_stream_fine(op);
    case GODWIT__OP__KIND_PUSH_VALUES:
    case GODWIT__OP__KIND_REMOVE_RANGES:
    case GODWIT__OP__KIND_SET_ELEMENT:
    case GODWIT__OP__KIND_INSERT_ELEMENT:
        return change_list_fine(op);
    case GODWIT__OP__KIND_PUT_MEMBERS:
    case GODWIT__OP__KIND_DELETE_MEMBERS:
        return change_set_fine(op);
    case GODWIT__OP__KIND_PUT_SCORES:
        return change_zset_fine(op);
    case GODWIT__OP__KIND_PUT_LIBRARY:
    case GODWIT__OP__KIND_DELETE_LIBRARY:
    case GODWIT__OP__KIND_FLUSH_LIBRARIES:
        return change_library_fine(op);
    case GODWIT__OP__KIND_PUT_JSON:
    case GODWIT__OP__KIND_PATCH_JSON:
        return change_json_fine(op);
    case GODWIT__OP__KIND__NOT_SET:
    case _GODWIT__OP__KIND__CASE_IS_INT_SIZE:
        break;
    }
    return false;
}

int change_check(const struct Godwit__Change *change)
{
    if (!known(&change->base) || change->has_part != change->has_parts) {
        return ERR_CORRUPT;
    }
    if (change->has_parts && (change->part == 0 || change->part > change->parts)) {
        return ERR_CORRUPT;
    }
    for (size_t i = 0; i < change->n_ops; i++) {
        if (!op_fine(change->ops[i])) {
            return ERR_CORRUPT;
        }
    }
    return OK;
}
