/* apply_stream.c - the log's operations on streams. */
#include "base/mem.h"
#include "node/section.h"
#include "node/type_stream.h"

#include <proto/change.pb-c.h>

static struct slice bytes_of(const ProtobufCBinaryData *b)
{
    return (struct slice){(const char *)b->data, b->len};
}

/* What a list of protobuf's becomes. NULL: none, or no memory, and then the section has failed. */
static void *list_of(struct cmd *c, size_t n, size_t each)
{
    void *v = n == 0 ? NULL : mem_alloc(n * each);

    if (v == NULL && n > 0) {
        section_fail(c->section, SECTION_NOMEM);
    }
    return v;
}

static void apply_append(struct cmd *c, struct key key, const Godwit__StreamAppend *a)
{
    struct stream_id id = {a->ms, a->seq};
    struct stream_view v;
    bool is_there = false;

    if (stream_open(c, key, &v) == FOUND) {
        is_there = stream_id_order(id, v.st->meta.last_id) <= 0;
        stream_close(&v);
    }
    struct slice *parts = is_there ? NULL : list_of(c, a->n_parts, sizeof(*parts));

    if (parts == NULL) {
        return;
    }
    for (size_t i = 0; i < a->n_parts; i++) {
        parts[i] = bytes_of(&a->parts[i]);
    }
    stream_append(c, key, id, parts, a->n_parts);
    mem_free(parts, a->n_parts * sizeof(*parts));
}

static void apply_create(struct cmd *c, struct key key, const Godwit__StreamCreate *m)
{
    bool replace = m->has_replace && m->replace;

    if (replace) {
        (void)keyspace_delete(c, key);
    }
    stream_make(c, key);
    if (replace && m->has_expire_at_ms && m->expire_at_ms != 0 && !section_has_failed(c->section)) {
        keyspace_expire_at(c, key, m->expire_at_ms);
    }
}

static struct stream_id *ids_of(struct cmd *c, Godwit__StreamId *const *from, size_t n)
{
    struct stream_id *ids = list_of(c, n, sizeof(*ids));

    for (size_t i = 0; ids != NULL && i < n; i++) {
        ids[i] = (struct stream_id){from[i]->ms, from[i]->seq};
    }
    return ids;
}

/* The greatest that was removed is told by an operation of its own. */
static void apply_remove(struct cmd *c, struct key key, const Godwit__StreamRemove *m)
{
    struct stream_view v;
    struct stream_meta meta;
    struct stream_id *ids = ids_of(c, m->ids, m->n_ids);

    if (ids == NULL || stream_open(c, key, &v) != FOUND) {
        mem_free(ids, m->n_ids * sizeof(*ids));
        return;
    }
    meta = v.st->meta;
    stream_close(&v);
    if (stream_remove(c, key, ids, m->n_ids, STREAM_KEEP_REFS, NULL) > 0) {
        stream_set_meta(c, key, &meta);
    }
    mem_free(ids, m->n_ids * sizeof(*ids));
}

static void apply_meta(struct cmd *c, struct key key, const Godwit__StreamMeta *m)
{
    struct stream_meta meta = {.last_id = {m->last_ms, m->last_seq},
                               .max_deleted = {m->deleted_ms, m->deleted_seq},
                               .entries_added = m->entries_added};

    stream_set_meta(c, key, &meta);
}

static void apply_pending(struct cmd *c, struct key key, const Godwit__StreamPending *m)
{
    struct stream_delivery *v = list_of(c, m->n_deliveries, sizeof(*v));

    if (v == NULL) {
        return;
    }
    for (size_t i = 0; i < m->n_deliveries; i++) {
        const Godwit__Delivery *d = m->deliveries[i];

        v[i] = (struct stream_delivery){{d->ms, d->seq}, d->time_ms, d->count};
    }
    stream_deliver(c, key, bytes_of(&m->group), bytes_of(&m->consumer), v, m->n_deliveries);
    mem_free(v, m->n_deliveries * sizeof(*v));
}

static void apply_acknowledge(struct cmd *c, struct key key, const Godwit__StreamAcknowledge *m)
{
    struct stream_id *ids = ids_of(c, m->ids, m->n_ids);

    if (ids != NULL) {
        (void)stream_acknowledge(c, key, bytes_of(&m->group), ids, m->n_ids, NULL);
    }
    mem_free(ids, m->n_ids * sizeof(*ids));
}

static void apply_group(struct cmd *c, struct key key, const Godwit__Op *op)
{
    const Godwit__StreamGroup *g = op->stream_group;
    const Godwit__StreamConsumer *who = op->stream_consumer;

    switch ((int)op->kind_case) {
    case GODWIT__OP__KIND_STREAM_GROUP:
        stream_set_group(c, key, bytes_of(&g->group), (struct stream_id){g->last_ms, g->last_seq},
                         g->entries_read);
        break;
    case GODWIT__OP__KIND_STREAM_DELETE_GROUP:
        stream_delete_group(c, key, bytes_of(&op->stream_delete_group->group));
        break;
    case GODWIT__OP__KIND_STREAM_CONSUMER:
        stream_set_consumer(c, key, bytes_of(&who->group), bytes_of(&who->consumer), who->seen_ms,
                            who->active_ms);
        break;
    default:
        stream_delete_consumer(c, key, bytes_of(&op->stream_delete_consumer->group),
                               bytes_of(&op->stream_delete_consumer->consumer));
        break;
    }
}

void stream_apply(struct cmd *c, struct key key, const struct Godwit__Op *op)
{
    struct stream_cut cut = {.by_id = true};
    struct stream_view v;

    switch ((int)op->kind_case) {
    case GODWIT__OP__KIND_STREAM_APPEND:
        apply_append(c, key, op->stream_append);
        break;
    case GODWIT__OP__KIND_STREAM_CREATE:
        apply_create(c, key, op->stream_create);
        break;
    case GODWIT__OP__KIND_STREAM_REMOVE:
        apply_remove(c, key, op->stream_remove);
        break;
    case GODWIT__OP__KIND_STREAM_TRIM:
        cut.id = (struct stream_id){op->stream_trim->ms, op->stream_trim->seq};
        (void)stream_trim(c, key, &cut);
        break;
    case GODWIT__OP__KIND_STREAM_META:
        apply_meta(c, key, op->stream_meta);
        break;
    case GODWIT__OP__KIND_STREAM_PENDING:
        apply_pending(c, key, op->stream_pending);
        break;
    case GODWIT__OP__KIND_STREAM_ACKNOWLEDGE:
        apply_acknowledge(c, key, op->stream_acknowledge);
        break;
    default:
        if (stream_open(c, key, &v) == FOUND) {
            stream_close(&v);
            apply_group(c, key, op);
        }
        break;
    }
}
