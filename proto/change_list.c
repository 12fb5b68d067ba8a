/* change_list.c - the operations on lists. */
#include "proto/change.h"
#include "proto/change.pb-c.h"
#include "proto/change_write.h"

enum { PUSH = 10, REMOVE = 16, SET = 17, INSERT = 18 };

int change_push_begin(struct change_writer *w, struct slice key, bool replace, int64_t expire_at_ms,
                      bool head, uint32_t number)
{
    char *p = change_op_open(w, key, LEN(PUSH));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    p = put_replace(p, replace, expire_at_ms);
    if (head) {
        *p++ = VARINT(3);
        *p++ = 1;
    }
    *p++ = VARINT(4);
    p = put_varint(p, number);
    wrote(w, p);
    return OK;
}

int change_push_one(struct change_writer *w, struct slice key, bool head, uint32_t number,
                    struct slice value)
{
    uint64_t body = (head ? 2 : 0) + 1 + varint_size(number) + bytes_size(value.len);

    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD + key.len + value.len) != OK) {
        return ERR_NOMEM;
    }
    char *p = put_op(w, key, LEN(PUSH), body);

    if (head) {
        *p++ = VARINT(3);
        *p++ = 1;
    }
    *p++ = VARINT(4);
    p = put_varint(p, number);
    wrote(w, put_bytes(p, LEN(5), value));
    return OK;
}

int change_push_value(struct change_writer *w, struct slice value)
{
    return change_add_bytes(w, LEN(5), value);
}

void change_push_end(struct change_writer *w)
{
    change_op_close(w);
}

int change_remove_ranges_begin(struct change_writer *w, struct slice key, uint32_t number)
{
    char *p = change_op_open(w, key, LEN(REMOVE));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    *p++ = VARINT(1);
    wrote(w, put_varint(p, number));
    return OK;
}

int change_remove_range(struct change_writer *w, struct slice key, uint32_t number, uint64_t index,
                        uint64_t count)
{
    uint64_t range = 2 + varint_size(index) + varint_size(count);

    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD + key.len) != OK) {
        return ERR_NOMEM;
    }
    char *p = put_op(w, key, LEN(REMOVE), 1 + varint_size(number) + 1 + varint_size(range) + range);

    *p++ = VARINT(1);
    p = put_varint(p, number);
    *p++ = LEN(2);
    p = put_varint(p, range);
    *p++ = VARINT(1);
    p = put_varint(p, index);
    *p++ = VARINT(2);
    wrote(w, put_varint(p, count));
    return OK;
}

int change_remove_ranges_add(struct change_writer *w, uint64_t index, uint64_t count)
{
    assert(w->open);
    if (buf_reserve(w->out, FIELD_OVERHEAD + END_OVERHEAD) != OK) {
        return ERR_NOMEM;
    }
    char *p = w->out->ptr + w->out->len;

    *p++ = LEN(2);
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

struct element {
    uint64_t index;
    struct slice value;
    uint32_t number;
};

static int put_element(struct change_writer *w, struct slice key, uint32_t kind, struct element e)
{
    uint64_t body = 1 + varint_size(e.index) + bytes_size(e.value.len) + 1 + varint_size(e.number);

    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD + key.len + e.value.len) != OK) {
        return ERR_NOMEM;
    }
    char *p = put_op(w, key, kind, body);

    *p++ = VARINT(1);
    p = put_varint(p, e.index);
    p = put_bytes(p, LEN(2), e.value);
    *p++ = VARINT(3);
    wrote(w, put_varint(p, e.number));
    return OK;
}

int change_set_element(struct change_writer *w, struct slice key, uint64_t index,
                       struct slice value, uint32_t number)
{
    return put_element(w, key, LEN(SET), (struct element){index, value, number});
}

int change_insert_element(struct change_writer *w, struct slice key, uint64_t index,
                          struct slice value, uint32_t number)
{
    return put_element(w, key, LEN(INSERT), (struct element){index, value, number});
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
    return known(&m->base) && m->number != 0 && m->n_ranges > 0;
}

bool change_list_fine(const struct Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_PUSH_VALUES) {
        return known(&op->push_values->base) && op->push_values->expire_at_ms >= 0 &&
               op->push_values->n_values > 0 &&
               (op->push_values->number != 0 || !op->push_values->replace);
    }
    if (op->kind_case == GODWIT__OP__KIND_REMOVE_RANGES) {
        return ranges_fine(op->remove_ranges);
    }
    if (op->kind_case == GODWIT__OP__KIND_SET_ELEMENT) {
        return known(&op->set_element->base) && op->set_element->index <= INT64_MAX &&
               op->set_element->number != 0;
    }
    return op->kind_case == GODWIT__OP__KIND_INSERT_ELEMENT && known(&op->insert_element->base) &&
           op->insert_element->index <= INT64_MAX && op->insert_element->number != 0;
}
