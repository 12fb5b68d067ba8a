#include "node/type.h"

#include "base/mem.h"

const struct type_ops *const type_ops[VALUE_TYPES] = {
    [TYPE_STRING] = &type_string_ops,
    [TYPE_HASH] = &type_hash_ops,
};

static bool points_to_value(const struct entry *e)
{
    return e->encoding == ENC_TREE || e->encoding == ENC_LARGE;
}

bool type_free_value(const struct entry *e, size_t *budget)
{
    const struct type_ops *t = type_ops[e->type];

    return !points_to_value(e) || t->free_value(t->object(e), budget);
}

size_t type_bytes(const struct entry *e)
{
    return mem_size(entry_bytes(e)) + (points_to_value(e) ? type_ops[e->type]->value_bytes(e) : 0);
}

int type_log(struct change_writer *w, struct slice key, const struct entry *e)
{
    return type_ops[e->type]->log(w, key, e);
}
