/* A Change as protobuf-c reads it, written again by our encoder, is what protobuf-c would pack: for
 * whatever bytes, not only for Changes that we made. */
#include "base/err.h"
#include "proto/change.h"
#include "proto/change.pb-c.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

static struct slice slice_from(ProtobufCBinaryData d)
{
    return (struct slice){(const char *)d.data, d.len};
}

static void write_put_fields(struct change_writer *w, struct slice key, const Godwit__PutFields *m)
{
    must(change_put_fields_begin(w, key, m->replace, m->expire_at_ms) == OK);
    for (size_t i = 0; i < m->n_fields; i++) {
        const Godwit__Field *f = m->fields[i];

        must(change_field(w, slice_from(f->name), slice_from(f->value), f->expire_at_ms) == OK);
    }
    change_put_fields_end(w);
}

static void write_names(struct change_writer *w, struct slice key, const Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_DELETE_FIELDS) {
        must(change_delete_fields_begin(w, key) == OK);
        for (size_t i = 0; i < op->delete_fields->n_names; i++) {
            must(change_delete_fields_name(w, slice_from(op->delete_fields->names[i])) == OK);
        }
        change_delete_fields_end(w);
    } else {
        must(change_expire_fields_begin(w, key, op->expire_fields->at_ms) == OK);
        for (size_t i = 0; i < op->expire_fields->n_names; i++) {
            must(change_expire_fields_name(w, slice_from(op->expire_fields->names[i])) == OK);
        }
        change_expire_fields_end(w);
    }
}

static void write_members(struct change_writer *w, struct slice key, const Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_PUT_MEMBERS) {
        const Godwit__PutMembers *m = op->put_members;

        must(change_put_members_begin(w, key, m->replace, m->expire_at_ms) == OK);
        for (size_t i = 0; i < m->n_members; i++) {
            must(change_member(w, slice_from(m->members[i])) == OK);
        }
        change_put_members_end(w);
    } else {
        must(change_delete_members_begin(w, key) == OK);
        for (size_t i = 0; i < op->delete_members->n_members; i++) {
            must(change_delete_members_member(w, slice_from(op->delete_members->members[i])) == OK);
        }
        change_delete_members_end(w);
    }
}

static void write_put_scores(struct change_writer *w, struct slice key, const Godwit__PutScores *m)
{
    must(change_put_scores_begin(w, key, m->replace, m->expire_at_ms) == OK);
    for (size_t i = 0; i < m->n_scores; i++) {
        must(change_score(w, slice_from(m->scores[i]->member), m->scores[i]->score) == OK);
    }
    change_put_scores_end(w);
}

static void write_list(struct change_writer *w, struct slice key, const Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_PUSH_VALUES) {
        const Godwit__PushValues *m = op->push_values;

        must(change_push_begin(w, key, m->replace, m->expire_at_ms, m->head, m->number) == OK);
        for (size_t i = 0; i < m->n_values; i++) {
            must(change_push_value(w, slice_from(m->values[i])) == OK);
        }
        change_push_end(w);
    } else if (op->kind_case == GODWIT__OP__KIND_REMOVE_RANGES) {
        const Godwit__RemoveRanges *m = op->remove_ranges;

        must(change_remove_ranges_begin(w, key, m->number) == OK);
        for (size_t i = 0; i < m->n_ranges; i++) {
            must(change_remove_ranges_add(w, m->ranges[i]->index, m->ranges[i]->count) == OK);
        }
        change_remove_ranges_end(w);
    } else if (op->kind_case == GODWIT__OP__KIND_SET_ELEMENT) {
        must(change_set_element(w, key, op->set_element->index, slice_from(op->set_element->value),
                                op->set_element->number) == OK);
    } else {
        must(change_insert_element(w, key, op->insert_element->index,
                                   slice_from(op->insert_element->value),
                                   op->insert_element->number) == OK);
    }
}

static void write_json(struct change_writer *w, struct slice key, const Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_PUT_JSON) {
        const Godwit__PutJson *m = op->put_json;

        must(change_put_json(w, key, m->replace, m->expire_at_ms, m->number, slice_from(m->json)) ==
             OK);
        return;
    }
    must(change_patch_json_begin(w, key, op->patch_json->number) == OK);
    for (size_t i = 0; i < op->patch_json->n_patches; i++) {
        const Godwit__JsonPatch *p = op->patch_json->patches[i];

        must(change_json_patch(w, (enum change_json_kind)p->kind, slice_from(p->pointer), p->count,
                               slice_from(p->json)) == OK);
    }
    change_patch_json_end(w);
}

static void write_put_library(struct change_writer *w, struct slice key,
                              const Godwit__PutLibrary *m)
{
    must(change_put_library_begin(w, key, slice_from(m->code)) == OK);
    for (size_t i = 0; i < m->n_functions; i++) {
        const Godwit__Function *f = m->functions[i];
        struct slice description = slice_from(f->description);

        description.ptr = !f->has_description ? NULL : description.len == 0 ? "" : description.ptr;
        must(change_put_library_function(w, slice_from(f->name), description, f->flags) == OK);
    }
    change_put_library_end(w);
}

static void write_library(struct change_writer *w, struct slice key, const Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_PUT_LIBRARY) {
        write_put_library(w, key, op->put_library);
    } else if (op->kind_case == GODWIT__OP__KIND_DELETE_LIBRARY) {
        must(change_delete_library(w, key) == OK);
    } else {
        must(change_flush_libraries(w) == OK);
    }
}

static void write_stream_ids(struct change_writer *w, Godwit__StreamId *const *ids, size_t n,
                             int (*put)(struct change_writer *, uint64_t, uint64_t))
{
    for (size_t i = 0; i < n; i++) {
        must(put(w, ids[i]->ms, ids[i]->seq) == OK);
    }
    change_stream_end(w);
}

/* The operations that name several entries. */
static void write_stream_many(struct change_writer *w, struct slice key, const Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_STREAM_APPEND) {
        const Godwit__StreamAppend *m = op->stream_append;
        struct slice *parts = malloc(m->n_parts * sizeof(parts[0]));

        must(parts != NULL);
        for (size_t i = 0; i < m->n_parts; i++) {
            parts[i] = slice_from(m->parts[i]);
        }
        must(change_stream_append(w, key, m->ms, m->seq, parts, m->n_parts) == OK);
        free(parts);
    } else if (op->kind_case == GODWIT__OP__KIND_STREAM_REMOVE) {
        const Godwit__StreamRemove *m = op->stream_remove;

        must(change_stream_remove_begin(w, key) == OK);
        write_stream_ids(w, m->ids, m->n_ids, change_stream_remove_id);
    } else if (op->kind_case == GODWIT__OP__KIND_STREAM_ACKNOWLEDGE) {
        const Godwit__StreamAcknowledge *m = op->stream_acknowledge;

        must(change_stream_acknowledge_begin(w, key, slice_from(m->group)) == OK);
        write_stream_ids(w, m->ids, m->n_ids, change_stream_acknowledge_id);
    } else {
        const Godwit__StreamPending *m = op->stream_pending;

        must(change_stream_pending_begin(w, key, slice_from(m->group), slice_from(m->consumer)) ==
             OK);
        for (size_t i = 0; i < m->n_deliveries; i++) {
            const Godwit__Delivery *d = m->deliveries[i];

            must(change_stream_delivery(w, d->ms, d->seq, d->time_ms, d->count) == OK);
        }
        change_stream_end(w);
    }
}

static void write_stream_group(struct change_writer *w, struct slice key, const Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_STREAM_GROUP) {
        const Godwit__StreamGroup *m = op->stream_group;

        must(change_stream_group(w, key, slice_from(m->group), m->last_ms, m->last_seq,
                                 m->entries_read) == OK);
    } else if (op->kind_case == GODWIT__OP__KIND_STREAM_DELETE_GROUP) {
        must(change_stream_delete_group(w, key, slice_from(op->stream_delete_group->group)) == OK);
    } else if (op->kind_case == GODWIT__OP__KIND_STREAM_CONSUMER) {
        const Godwit__StreamConsumer *m = op->stream_consumer;

        must(change_stream_consumer(w, key, slice_from(m->group), slice_from(m->consumer),
                                    m->seen_ms, m->active_ms) == OK);
    } else {
        const Godwit__StreamDeleteConsumer *m = op->stream_delete_consumer;

        must(change_stream_delete_consumer(w, key, slice_from(m->group), slice_from(m->consumer)) ==
             OK);
    }
}

static void write_stream(struct change_writer *w, struct slice key, const Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_STREAM_CREATE) {
        must(change_stream_create(w, key, op->stream_create->replace,
                                  op->stream_create->expire_at_ms) == OK);
    } else if (op->kind_case == GODWIT__OP__KIND_STREAM_TRIM) {
        must(change_stream_trim(w, key, op->stream_trim->ms, op->stream_trim->seq) == OK);
    } else {
        const Godwit__StreamMeta *m = op->stream_meta;
        struct change_stream_meta meta = {.last_ms = m->last_ms,
                                          .last_seq = m->last_seq,
                                          .deleted_ms = m->deleted_ms,
                                          .deleted_seq = m->deleted_seq,
                                          .entries_added = m->entries_added};

        must(change_stream_meta(w, key, &meta) == OK);
    }
}

static void write_string(struct change_writer *w, struct slice key, const Godwit__Op *op)
{
    const Godwit__PutString *whole = op->put_string;
    const Godwit__PutRange *range = op->put_range;
    bool is_whole = op->kind_case == GODWIT__OP__KIND_PUT_STRING;

    must((is_whole ? change_put_string(w, key, slice_from(whole->value), whole->expire_at_ms)
                   : change_put_range(w, key, range->offset, slice_from(range->bytes))) == OK);
}

static void write_op(struct change_writer *w, const Godwit__Op *op)
{
    struct slice key = slice_from(op->key);

    switch (op->kind_case) {
    case GODWIT__OP__KIND_PUT_STRING:
    case GODWIT__OP__KIND_PUT_RANGE:
        write_string(w, key, op);
        break;
    case GODWIT__OP__KIND_PUT_FIELDS:
        write_put_fields(w, key, op->put_fields);
        break;
    case GODWIT__OP__KIND_DELETE_FIELDS:
    case GODWIT__OP__KIND_EXPIRE_FIELDS:
        write_names(w, key, op);
        break;
    case GODWIT__OP__KIND_PUT_MEMBERS:
    case GODWIT__OP__KIND_DELETE_MEMBERS:
        write_members(w, key, op);
        break;
    case GODWIT__OP__KIND_EXPIRE_AT:
        must(change_expire_at(w, key, op->expire_at->at_ms) == OK);
        break;
    case GODWIT__OP__KIND_DELETE:
        must(change_delete(w, key, (enum change_reason)op->delete_->reason) == OK);
        break;
    case GODWIT__OP__KIND_FLUSH:
        must(change_flush(w) == OK);
        break;
    case GODWIT__OP__KIND_PUSH_VALUES:
    case GODWIT__OP__KIND_REMOVE_RANGES:
    case GODWIT__OP__KIND_SET_ELEMENT:
    case GODWIT__OP__KIND_INSERT_ELEMENT:
        write_list(w, key, op);
        break;
    case GODWIT__OP__KIND_PUT_SCORES:
        write_put_scores(w, key, op->put_scores);
        break;
    case GODWIT__OP__KIND_PUT_JSON:
    case GODWIT__OP__KIND_PATCH_JSON:
        write_json(w, key, op);
        break;
    case GODWIT__OP__KIND_PUT_LIBRARY:
    case GODWIT__OP__KIND_DELETE_LIBRARY:
    case GODWIT__OP__KIND_FLUSH_LIBRARIES:
        write_library(w, key, op);
        break;
    case GODWIT__OP__KIND_STREAM_APPEND:
    case GODWIT__OP__KIND_STREAM_REMOVE:
    case GODWIT__OP__KIND_STREAM_PENDING:
    case GODWIT__OP__KIND_STREAM_ACKNOWLEDGE:
        write_stream_many(w, key, op);
        break;
    case GODWIT__OP__KIND_STREAM_GROUP:
    case GODWIT__OP__KIND_STREAM_DELETE_GROUP:
    case GODWIT__OP__KIND_STREAM_CONSUMER:
    case GODWIT__OP__KIND_STREAM_DELETE_CONSUMER:
        write_stream_group(w, key, op);
        break;
    case GODWIT__OP__KIND_STREAM_CREATE:
    case GODWIT__OP__KIND_STREAM_TRIM:
    case GODWIT__OP__KIND_STREAM_META:
        write_stream(w, key, op);
        break;
    case GODWIT__OP__KIND__NOT_SET:
    case _GODWIT__OP__KIND__CASE_IS_INT_SIZE:
        abort();
    }
}

/* What a peer may say in more bytes than we would: zeros written out. */
static void make_minimal(Godwit__Change *c)
{
    for (size_t i = 0; i < c->n_ops; i++) {
        Godwit__Op *op = c->ops[i];

        if (op->kind_case == GODWIT__OP__KIND_PUSH_VALUES) {
            Godwit__PushValues *m = op->push_values;

            m->has_replace = m->replace = m->replace != 0;
            m->has_head = m->head = m->head != 0;
            m->expire_at_ms = m->replace ? m->expire_at_ms : 0;
            m->has_expire_at_ms = m->expire_at_ms != 0;
        } else if (op->kind_case == GODWIT__OP__KIND_PUT_STRING) {
            op->put_string->has_expire_at_ms = op->put_string->expire_at_ms != 0;
        } else if (op->kind_case == GODWIT__OP__KIND_PUT_MEMBERS) {
            Godwit__PutMembers *m = op->put_members;

            m->has_replace = m->replace = m->replace != 0;
            m->expire_at_ms = m->replace ? m->expire_at_ms : 0;
            m->has_expire_at_ms = m->expire_at_ms != 0;
        } else if (op->kind_case == GODWIT__OP__KIND_PUT_SCORES) {
            Godwit__PutScores *m = op->put_scores;

            m->has_replace = m->replace = m->replace != 0;
            m->expire_at_ms = m->replace ? m->expire_at_ms : 0;
            m->has_expire_at_ms = m->expire_at_ms != 0;
        } else if (op->kind_case == GODWIT__OP__KIND_STREAM_CREATE) {
            Godwit__StreamCreate *m = op->stream_create;

            m->has_replace = m->replace = m->replace != 0;
            m->has_expire_at_ms = m->expire_at_ms != 0;
        } else if (op->kind_case == GODWIT__OP__KIND_PUT_JSON) {
            Godwit__PutJson *m = op->put_json;

            m->has_replace = m->replace = m->replace != 0;
            m->expire_at_ms = m->replace ? m->expire_at_ms : 0;
            m->has_expire_at_ms = m->expire_at_ms != 0;
        } else if (op->kind_case == GODWIT__OP__KIND_PUT_FIELDS) {
            Godwit__PutFields *m = op->put_fields;

            m->has_replace = m->replace = m->replace != 0;
            m->expire_at_ms = m->replace ? m->expire_at_ms : 0;
            m->has_expire_at_ms = m->expire_at_ms != 0;
            for (size_t k = 0; k < m->n_fields; k++) {
                m->fields[k]->has_expire_at_ms = m->fields[k]->expire_at_ms != 0;
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Godwit__Change *c = size > 65536 ? NULL : godwit__change__unpack(NULL, size, data);
    struct change_writer w;
    struct buf out = {0};
    uint8_t *packed;
    size_t len;

    if (c == NULL || change_check(c) != OK) {
        godwit__change__free_unpacked(c, NULL);
        return 0;
    }
    make_minimal(c);
    change_writer_init(&w);
    must(change_begin(&w, &out, c->database) == OK);
    must(!c->has_request_id || change_request_id(&w, slice_from(c->request_id)) == OK);
    for (size_t i = 0; i < c->n_ops; i++) {
        write_op(&w, c->ops[i]);
    }
    must(!c->has_parts || change_part(&w, c->part, c->parts) == OK);
    change_seal(out.ptr, c->seq, c->epoch, c->time);
    len = godwit__change__get_packed_size(c);
    packed = malloc(len);
    must(packed != NULL);
    must(godwit__change__pack(c, packed) == len);
    must(len == out.len && memcmp(packed, out.ptr, len) == 0);
    free(packed);
    godwit__change__free_unpacked(c, NULL);
    change_writer_fini(&w);
    buf_fini(&out);
    return 0;
}
