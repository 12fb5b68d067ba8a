#include "node/type.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/keyspace.h"
#include "node/large.h"
#include "node/section.h"

#include <assert.h>

const struct type_ops *const type_ops[VALUE_TYPES] = {
    [TYPE_STRING] = &type_string_ops, [TYPE_LIST] = &type_list_ops,
    [TYPE_SET] = &type_set_ops,       [TYPE_HASH] = &type_hash_ops,
    [TYPE_ZSET] = &type_zset_ops,     [TYPE_STREAM] = &type_stream_ops,
    [TYPE_JSON] = &type_json_ops,
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

int type_copy_slice(struct entry *to, const struct entry *from, struct type_walk *walk)
{
    const struct type_ops *t = type_ops[from->type];

    if (t->copy_slice != NULL) {
        return t->copy_slice(to, from, walk);
    }
    walk->is_done = true;
    return OK;
}

int type_log_slice(struct change_writer *w, struct slice key, const struct entry *e,
                   struct type_walk *walk)
{
    const struct type_ops *t = type_ops[e->type];

    if (t->log_slice != NULL) {
        return t->log_slice(w, key, e, walk);
    }
    walk->is_done = true;
    return t->log(w, key, e);
}

int type_log(struct change_writer *w, struct slice key, const struct entry *e)
{
    return type_ops[e->type]->log(w, key, e);
}

const struct table *type_members(const struct entry *e)
{
    const struct type_ops *t = type_ops[e->type];

    return e->encoding == ENC_LARGE && t->members != NULL ? t->members(e) : NULL;
}

bool type_logged(struct section *s, int err)
{
    if (err != OK) {
        section_fail(s, SECTION_NOMEM);
    }
    return err == OK;
}

const struct entry *type_find(struct cmd *c, struct key key, enum value_type type)
{
    const struct entry *e = section_has_failed(c->section) ? NULL : section_find(c->section, key);

    assert(e == NULL || e->type == type);
    (void)type;
    return e;
}

static struct entry *make_entry(struct cmd *c, struct key key, const struct entry *old,
                                const struct entry_spec *like)
{
    struct entry_spec spec = *like;

    spec.key = key.name;
    spec.expire_at_ms = old == NULL ? 0 : entry_expire_at_ms(old);
    spec.clocked = keyspace_clocked(c->db);
    struct entry *e = entry_create(&spec);

    if (e == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return NULL;
    }
    _Atomic uint32_t *from = old == NULL ? NULL : entry_clock(old);
    _Atomic uint32_t *to = entry_clock(e);

    if (from != NULL && to != NULL) {
        atomic_store_explicit(to, atomic_load_explicit(from, memory_order_relaxed),
                              memory_order_relaxed);
    }
    return e;
}

struct entry *type_entry(struct cmd *c, struct key key, const struct entry *old,
                         enum value_type type, size_t payload_len)
{
    return make_entry(
        c, key, old,
        &(struct entry_spec){.type = type, .encoding = ENC_PACKED, .payload_len = payload_len});
}

struct entry *type_entry_of_large(struct cmd *c, struct key key, const struct entry *old,
                                  enum value_type type, void *large)
{
    struct entry *e = make_entry(
        c, key, old,
        &(struct entry_spec){.type = type, .encoding = ENC_LARGE, .payload_len = sizeof(large)});

    if (e != NULL) {
        memcpy(entry_payload_ptr(e), &large, sizeof(large));
    }
    return e;
}

void type_delete(struct cmd *c, struct key key, enum change_reason reason)
{
    if (type_logged(c->section, change_delete(section_change(c->section), key.name, reason))) {
        section_remove(c->section, key);
    }
}

void *type_large_object(const struct entry *e)
{
    return large_of(e);
}

size_t type_large_bytes(const struct entry *e)
{
    const struct large *l = large_of(e);

    return l == NULL ? 0 : large_bytes(l);
}
