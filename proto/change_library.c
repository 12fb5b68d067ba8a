/* change_library.c - the operations of function libraries (change.proto): what change.c is for the others. */
#include "proto/change.h"

#include "proto/change.pb-c.h"
#include "proto/change_write.h"

enum { FUNCTION_FLAGS = 63 };

int change_put_library_begin(struct change_writer *w, struct slice name, struct slice code)
{
    char *p = change_op_open(w, name, LEN(40));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    wrote(w, p);
    if (change_add_bytes(w, LEN(1), code) != OK) {
        change_drop_open(w);
        return ERR_NOMEM;
    }
    return OK;
}

int change_put_library_function(struct change_writer *w, struct slice name,
                                struct slice description, uint32_t flags)
{
    size_t size = bytes_size(name.len) + 1 + varint_size(flags);
    char *p;

    assert(w->open);
    size += description.ptr == NULL ? 0 : bytes_size(description.len);
    if (buf_reserve(w->out, FIELD_OVERHEAD + name.len + description.len + END_OVERHEAD) != OK) {
        return ERR_NOMEM;
    }
    p = w->out->ptr + w->out->len;
    *p++ = LEN(2);
    p = put_varint(p, size);
    p = put_bytes(p, LEN(1), name);
    if (description.ptr != NULL) {
        p = put_bytes(p, LEN(2), description);
    }
    *p++ = VARINT(3);
    wrote(w, put_varint(p, flags));
    return OK;
}

void change_put_library_end(struct change_writer *w)
{
    change_op_close(w);
}

static int put_empty(struct change_writer *w, struct slice name, uint32_t kind)
{
    assert(!w->open);
    if (buf_reserve(w->out, OP_OVERHEAD + name.len) != OK) {
        return ERR_NOMEM;
    }
    wrote(w, put_op(w, name, kind, 0));
    return OK;
}

int change_delete_library(struct change_writer *w, struct slice name)
{
    return put_empty(w, name, LEN(41));
}

int change_flush_libraries(struct change_writer *w)
{
    return put_empty(w, (struct slice){NULL, 0}, LEN(42));
}

static bool put_fine(const Godwit__PutLibrary *m)
{
    for (size_t i = 0; i < m->n_functions; i++) {
        const Godwit__Function *f = m->functions[i];

        if (f->base.n_unknown_fields != 0 || (f->flags & ~(uint32_t)FUNCTION_FLAGS) != 0) {
            return false;
        }
    }
    return m->base.n_unknown_fields == 0;
}

bool change_library_fine(const struct Godwit__Op *op)
{
    switch ((int)op->kind_case) {
    case GODWIT__OP__KIND_PUT_LIBRARY:
        return put_fine(op->put_library);
    case GODWIT__OP__KIND_DELETE_LIBRARY:
        return op->delete_library->base.n_unknown_fields == 0;
    default:
        return op->flush_libraries->base.n_unknown_fields == 0 && op->key.len == 0;
    }
}
