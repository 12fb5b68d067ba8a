/* change_list.c - the operations on lists. */
#include "proto/change.h"
#include "proto/change.pb-c.h"
#include "proto/change_write.h"

enum { PUSH = 10, REMOVE = 16, SET = 17, INSERT = 18 };

int change_push_begin(struct change_writer *w, struct slice key, bool replace, int64_t expire_at_ms,
                      bool head)
{
    char *p = change_op_open(w, key, LEN(PUSH));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    if (replace) {
        *p++ = VARINT(1);
        *p++ = 1;
    }
    if (replace && expire_at_ms != 0) {
        *p++ = FIXED64(2);
        p = put_fixed64(p, (uint64_t)expire_at_ms);
    }
    if (head) {
        *p++ = VARINT(3);
        *p++ = 1;
    }
    wrote(w, p);
    return OK;
}

int change_push_value(struct change_writer *w, struct slice value)
{
    return change_add_bytes(w, LEN(4), value);
}

void change_push_end(struct change_writer *w)
{
    change_op_close(w);
}

int change_remove_ranges_begin(struct change_writer *w, struct slice key)
{
    char *p = change_op_open(w, key, LEN(REMOVE));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    wrote(w, p);
    return OK;
}

int change_remove_ranges_add(struct change_writer *w, uint64_t index, uint64_t count)
{
    assert(w->open);
    if (buf_reserve(w->out, FIELD_OVERHEAD + END_OVERHEAD) != OK) {
        return ERR_NOMEM;
    }
    char *p = w->out->ptr + w->out->len;

    *p++ = LEN(1);
    p = put_varint(p, 2 + varint_size(index) + varint_size(count));
    *p++ = VARINT(1);
    p = put_varint(p, index);
    *p++ = VARINT(2);
    wrote(w, put_varint(p, count));
    return OK;
}

void change_remove_ranges_end(struct change_writer *w)
{
    change_op_close(w);
}

static int put_element(struct change_writer *w, struct slice key, uint32_t kind,
                       const struct Godwit__SetElement *m)
{
    struct slice value = {(const char *)m->value.data, m->value.len};
    uint64_t body = 1 + varint_size(m->index) + bytes_size(value.len);

    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD + key.len + value.len) != OK) {
        return ERR_NOMEM;
    }
    char *p = put_op(w, key, kind, body);

    *p++ = VARINT(1);
    p = put_varint(p, m->index);
    wrote(w, put_bytes(p, LEN(2), value));
    return OK;
}

int change_set_element(struct change_writer *w, struct slice key, uint64_t index,
                       struct slice value)
{
    return put_element(
        w, key, LEN(SET),
        &(struct Godwit__SetElement){
            .index = index, .value = {value.len, (uint8_t *)(uintptr_t)value.ptr}});
}

int change_insert_element(struct change_writer *w, struct slice key, uint64_t index,
                          struct slice value)
{
    return put_element(
        w, key, LEN(INSERT),
        &(struct Godwit__SetElement){
            .index = index, .value = {value.len, (uint8_t *)(uintptr_t)value.ptr}});
}

/* ---- Checking ---- */

static bool known(const ProtobufCMessage *m)
{
    return m->n_unknown_fields == 0;
}

static bool ranges_fine(const Godwit__RemoveRanges *m)
{
    uint64_t from = 0;

    for (size_t i = 0; i < m->n_ranges; i++) {
        const Godwit__Range *r = m->ranges[i];

        if (!known(&r->base) || r->index < from || r->count == 0 || r->index > INT64_MAX ||
            r->count > INT64_MAX - r->index) {
            return false;
        }
        from = r->index + r->count;
    }
    return known(&m->base);
}

bool change_list_fine(const struct Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_PUSH_VALUES) {
        return known(&op->push_values->base) && op->push_values->expire_at_ms >= 0;
    }
    if (op->kind_case == GODWIT__OP__KIND_REMOVE_RANGES) {
        return ranges_fine(op->remove_ranges);
    }
    if (op->kind_case == GODWIT__OP__KIND_SET_ELEMENT) {
        return known(&op->set_element->base);
    }
    return op->kind_case == GODWIT__OP__KIND_INSERT_ELEMENT && known(&op->insert_element->base);
}
