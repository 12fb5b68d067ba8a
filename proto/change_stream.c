/* change_stream.c - the operations on streams. */
#include "proto/change.pb-c.h"
#include "proto/change_write.h"

enum { ID_BYTES = 18 };

static char *put_id(char *p, uint64_t ms, uint64_t seq)
{
    *p++ = FIXED64(1);
    p = put_fixed64(p, ms);
    *p++ = FIXED64(2);
    return put_fixed64(p, seq);
}

/* A field number over 15 takes two bytes. */
static char *begin(struct change_writer *w, struct slice key, uint32_t kind, size_t body)
{
    assert(!w->open);
    return buf_reserve(w->out, OP_OVERHEAD + key.len + body) == OK ? put_op(w, key, kind, body)
                                                                   : NULL;
}

int change_stream_append(struct change_writer *w, struct slice key, uint64_t ms, uint64_t seq,
                         const struct slice *parts, size_t n)
{
    size_t body = ID_BYTES;
    char *p;

    for (size_t i = 0; i < n; i++) {
        body += bytes_size(parts[i].len);
    }
    p = begin(w, key, LEN(14), body);
    if (p == NULL) {
        return ERR_NOMEM;
    }
    p = put_id(p, ms, seq);
    for (size_t i = 0; i < n; i++) {
        p = put_bytes(p, LEN(3), parts[i]);
    }
    wrote(w, p);
    return OK;
}

int change_stream_create(struct change_writer *w, struct slice key, bool replace,
                         int64_t expire_at_ms)
{
    char *p = begin(w, key, LEN(20), (replace ? 2 : 0) + (expire_at_ms != 0 ? 9 : 0));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    if (replace) {
        *p++ = VARINT(1);
        *p++ = 1;
    }
    if (expire_at_ms != 0) {
        *p++ = FIXED64(2);
        p = put_fixed64(p, (uint64_t)expire_at_ms);
    }
    wrote(w, p);
    return OK;
}

int change_stream_trim(struct change_writer *w, struct slice key, uint64_t ms, uint64_t seq)
{
    char *p = begin(w, key, LEN(22), ID_BYTES);

    if (p == NULL) {
        return ERR_NOMEM;
    }
    wrote(w, put_id(p, ms, seq));
    return OK;
}

int change_stream_meta(struct change_writer *w, struct slice key,
                       const struct change_stream_meta *meta)
{
    char *p = begin(w, key, LEN(23), 2 * ID_BYTES + 1 + varint_size(meta->entries_added));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    p = put_id(p, meta->last_ms, meta->last_seq);
    *p++ = FIXED64(3);
    p = put_fixed64(p, meta->deleted_ms);
    *p++ = FIXED64(4);
    p = put_fixed64(p, meta->deleted_seq);
    *p++ = VARINT(5);
    wrote(w, put_varint(p, meta->entries_added));
    return OK;
}

int change_stream_group(struct change_writer *w, struct slice key, struct slice group,
                        uint64_t last_ms, uint64_t last_seq, int64_t entries_read)
{
    size_t body = bytes_size(group.len) + 27;
    char *p = begin(w, key, LEN(24), body);

    if (p == NULL) {
        return ERR_NOMEM;
    }
    p = put_bytes(p, LEN(1), group);
    *p++ = FIXED64(2);
    p = put_fixed64(p, last_ms);
    *p++ = FIXED64(3);
    p = put_fixed64(p, last_seq);
    *p++ = FIXED64(4);
    wrote(w, put_fixed64(p, (uint64_t)entries_read));
    return OK;
}

int change_stream_delete_group(struct change_writer *w, struct slice key, struct slice group)
{
    char *p = begin(w, key, LEN(25), bytes_size(group.len));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    wrote(w, put_bytes(p, LEN(1), group));
    return OK;
}

int change_stream_consumer(struct change_writer *w, struct slice key, struct slice group,
                           struct slice consumer, int64_t seen_ms, int64_t active_ms)
{
    size_t body = bytes_size(group.len) + bytes_size(consumer.len) + 18;
    char *p = begin(w, key, LEN(26), body);

    if (p == NULL) {
        return ERR_NOMEM;
    }
    p = put_bytes(p, LEN(1), group);
    p = put_bytes(p, LEN(2), consumer);
    *p++ = FIXED64(3);
    p = put_fixed64(p, (uint64_t)seen_ms);
    *p++ = FIXED64(4);
    wrote(w, put_fixed64(p, (uint64_t)active_ms));
    return OK;
}

int change_stream_delete_consumer(struct change_writer *w, struct slice key, struct slice group,
                                  struct slice consumer)
{
    char *p = begin(w, key, LEN(27), bytes_size(group.len) + bytes_size(consumer.len));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    p = put_bytes(p, LEN(1), group);
    wrote(w, put_bytes(p, LEN(2), consumer));
    return OK;
}

/* ---- On several ids ---- */

static int open_op(struct change_writer *w, struct slice key, uint32_t kind)
{
    char *p = change_op_open(w, key, kind);

    if (p == NULL) {
        return ERR_NOMEM;
    }
    wrote(w, p);
    return OK;
}

/* The operation is taken back whole when one of its parts has no room. */
static int add_name(struct change_writer *w, char tag, struct slice name)
{
    int err = change_add_bytes(w, tag, name);

    if (err != OK) {
        change_drop_open(w);
    }
    return err;
}

static int add_id(struct change_writer *w, char tag, uint64_t ms, uint64_t seq)
{
    assert(w->open);
    if (buf_reserve(w->out, 2 + ID_BYTES + END_OVERHEAD) != OK) {
        return ERR_NOMEM;
    }
    char *p = w->out->ptr + w->out->len;

    *p++ = tag;
    *p++ = ID_BYTES;
    wrote(w, put_id(p, ms, seq));
    return OK;
}

int change_stream_remove_begin(struct change_writer *w, struct slice key)
{
    return open_op(w, key, LEN(21));
}

int change_stream_remove_id(struct change_writer *w, uint64_t ms, uint64_t seq)
{
    return add_id(w, LEN(1), ms, seq);
}

int change_stream_acknowledge_begin(struct change_writer *w, struct slice key, struct slice group)
{
    int err = open_op(w, key, LEN(29));

    return err == OK ? add_name(w, LEN(1), group) : err;
}

int change_stream_acknowledge_id(struct change_writer *w, uint64_t ms, uint64_t seq)
{
    return add_id(w, LEN(2), ms, seq);
}

int change_stream_pending_begin(struct change_writer *w, struct slice key, struct slice group,
                                struct slice consumer)
{
    int err = open_op(w, key, LEN(28));

    err = err == OK ? add_name(w, LEN(1), group) : err;
    return err == OK ? add_name(w, LEN(2), consumer) : err;
}

int change_stream_delivery(struct change_writer *w, uint64_t ms, uint64_t seq, int64_t time_ms,
                           uint64_t count)
{
    size_t body = ID_BYTES + 9 + 1 + varint_size(count);

    assert(w->open);
    if (buf_reserve(w->out, 2 + body + END_OVERHEAD) != OK) {
        return ERR_NOMEM;
    }
    char *p = w->out->ptr + w->out->len;

    *p++ = LEN(3);
    *p++ = (char)body;
    p = put_id(p, ms, seq);
    *p++ = FIXED64(3);
    p = put_fixed64(p, (uint64_t)time_ms);
    *p++ = VARINT(4);
    wrote(w, put_varint(p, count));
    return OK;
}

void change_stream_end(struct change_writer *w)
{
    change_op_close(w);
}

/* ---- Checking ---- */

static bool known(const ProtobufCMessage *m)
{
    return m->n_unknown_fields == 0;
}

static bool ids_fine(Godwit__StreamId *const *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!known(&ids[i]->base)) {
            return false;
        }
    }
    return true;
}

static bool append_fine(const Godwit__StreamAppend *m)
{
    return known(&m->base) && (m->ms != 0 || m->seq != 0) && m->n_parts > 0 && m->n_parts % 2 == 0;
}

static bool pending_fine(const Godwit__StreamPending *m)
{
    for (size_t i = 0; i < m->n_deliveries; i++) {
        if (!known(&m->deliveries[i]->base) || m->deliveries[i]->count > INT64_MAX) {
            return false;
        }
    }
    return known(&m->base);
}

bool change_stream_fine(const Godwit__Op *op)
{
    switch ((int)op->kind_case) {
    case GODWIT__OP__KIND_STREAM_APPEND:
        return append_fine(op->stream_append);
    case GODWIT__OP__KIND_STREAM_CREATE:
        return known(&op->stream_create->base) && op->stream_create->expire_at_ms >= 0;
    case GODWIT__OP__KIND_STREAM_REMOVE:
        return known(&op->stream_remove->base) &&
               ids_fine(op->stream_remove->ids, op->stream_remove->n_ids);
    case GODWIT__OP__KIND_STREAM_TRIM:
        return known(&op->stream_trim->base);
    case GODWIT__OP__KIND_STREAM_META:
        return known(&op->stream_meta->base) && op->stream_meta->entries_added <= INT64_MAX;
    case GODWIT__OP__KIND_STREAM_GROUP:
        return known(&op->stream_group->base) && op->stream_group->entries_read >= -1;
    case GODWIT__OP__KIND_STREAM_DELETE_GROUP:
        return known(&op->stream_delete_group->base);
    case GODWIT__OP__KIND_STREAM_CONSUMER:
        return known(&op->stream_consumer->base) && op->stream_consumer->active_ms >= -1;
    case GODWIT__OP__KIND_STREAM_DELETE_CONSUMER:
        return known(&op->stream_delete_consumer->base);
    case GODWIT__OP__KIND_STREAM_PENDING:
        return pending_fine(op->stream_pending);
    case GODWIT__OP__KIND_STREAM_ACKNOWLEDGE:
        return known(&op->stream_acknowledge->base) &&
               ids_fine(op->stream_acknowledge->ids, op->stream_acknowledge->n_ids);
    default:
        return false;
    }
}
