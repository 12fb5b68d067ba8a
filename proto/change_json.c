/* change_json.c - the operations of JSON documents (change.proto): what change.c is for the others. */
#include "proto/change.pb-c.h"
#include "proto/change_write.h"

static char *put_text(const struct change_writer *w, char *p, struct slice text)
{
    *p++ = LEN(4);
    p = put_varint(p, text.len);
    if (w->copy != NULL) {
        w->copy(p, text.ptr, text.len);
    } else if (text.len > 0) {
        memcpy(p, text.ptr, text.len);
    }
    return p + text.len;
}

/* The numbers of the kinds take two bytes as tags. */
int change_put_json(struct change_writer *w, struct slice key, bool replace, int64_t expire_at_ms,
                    uint32_t number, struct slice json)
{
    bool expires = replace && expire_at_ms != 0;
    uint64_t body =
        (replace ? 2 : 0) + (expires ? 9 : 0) + 1 + varint_size(number) + bytes_size(json.len);
    char *p;

    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD + key.len + json.len) != OK) {
        return ERR_NOMEM;
    }
    p = put_op(w, key, LEN(30), body);
    p = put_replace(p, replace, expire_at_ms);
    *p++ = VARINT(3);
    p = put_varint(p, number);
    wrote(w, put_text(w, p, json));
    return OK;
}

int change_patch_json_begin(struct change_writer *w, struct slice key, uint32_t number)
{
    char *p = change_op_open(w, key, LEN(31));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    *p++ = VARINT(1);
    wrote(w, put_varint(p, number));
    return OK;
}

int change_json_patch(struct change_writer *w, enum change_json_kind kind, struct slice pointer,
                      uint32_t count, struct slice json)
{
    bool removes = kind == CHANGE_JSON_REMOVE;
    size_t size =
        2 + bytes_size(pointer.len) + (removes ? 1 + varint_size(count) : bytes_size(json.len));
    char *p;

    assert(w->open);
    if (buf_reserve(w->out, FIELD_OVERHEAD + pointer.len + json.len + END_OVERHEAD) != OK) {
        return ERR_NOMEM;
    }
    p = w->out->ptr + w->out->len;
    *p++ = LEN(2);
    p = put_varint(p, size);
    *p++ = VARINT(1);
    *p++ = (char)kind;
    p = put_bytes(p, LEN(2), pointer);
    if (removes) {
        *p++ = VARINT(3);
        p = put_varint(p, count);
    } else {
        p = put_text(w, p, json);
    }
    wrote(w, p);
    return OK;
}

void change_patch_json_end(struct change_writer *w)
{
    change_op_close(w);
}

static bool patch_fine(const Godwit__JsonPatch *p)
{
    switch (p->kind) {
    case GODWIT__JSON_PATCH__KIND__REMOVE:
        return p->has_count && p->count > 0 && !p->has_json;
    case GODWIT__JSON_PATCH__KIND__SET:
    case GODWIT__JSON_PATCH__KIND__INSERT:
    case GODWIT__JSON_PATCH__KIND__APPEND:
    case GODWIT__JSON_PATCH__KIND__MERGE:
        return p->has_json && !p->has_count;
    case _GODWIT__JSON_PATCH__KIND_IS_INT_SIZE:
        break;
    }
    return false;
}

bool change_json_fine(const struct Godwit__Op *op)
{
    const Godwit__PatchJson *m = op->patch_json;

    if (op->kind_case == GODWIT__OP__KIND_PUT_JSON) {
        return op->put_json->base.n_unknown_fields == 0 && op->put_json->expire_at_ms >= 0 &&
               op->put_json->number != 0;
    }
    if (m->base.n_unknown_fields != 0 || m->number == 0 || m->n_patches == 0) {
        return false;
    }
    for (size_t i = 0; i < m->n_patches; i++) {
        if (m->patches[i]->base.n_unknown_fields != 0 || !patch_fine(m->patches[i])) {
            return false;
        }
    }
    return true;
}
