/* change_set.c - the operations of sets (change.proto): what change.c is for the others. */
#include "proto/change.h"

#include "proto/change.pb-c.h"
#include "proto/change_write.h"

int change_put_members_begin(struct change_writer *w, struct slice key, bool replace,
                             int64_t expire_at_ms)
{
    char *p = change_op_open(w, key, LEN(11));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    p = put_replace(p, replace, expire_at_ms);
    wrote(w, p);
    return OK;
}

int change_member(struct change_writer *w, struct slice member)
{
    return change_add_bytes(w, LEN(3), member);
}

void change_put_members_end(struct change_writer *w)
{
    change_op_close(w);
}

int change_delete_members_begin(struct change_writer *w, struct slice key)
{
    char *p = change_op_open(w, key, LEN(12));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    wrote(w, p);
    return OK;
}

int change_delete_members_member(struct change_writer *w, struct slice member)
{
    return change_add_bytes(w, LEN(1), member);
}

void change_delete_members_end(struct change_writer *w)
{
    change_op_close(w);
}

bool change_set_fine(const struct Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_PUT_MEMBERS) {
        return op->put_members->base.n_unknown_fields == 0 && op->put_members->expire_at_ms >= 0;
    }
    return op->delete_members->base.n_unknown_fields == 0;
}
