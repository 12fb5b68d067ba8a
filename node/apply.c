#include "node/apply.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/block.h"
#include "node/database.h"
#include "node/exec.h"
#include "node/keyspace.h"
#include "node/library.h"
#include "node/section.h"
#include "node/type_hash.h"
#include "node/type_json.h"
#include "node/type_list.h"
#include "node/type_set.h"
#include "node/type_stream.h"
#include "node/type_string.h"
#include "node/type_zset.h"
#include "proto/change.h"

#include <proto/change.pb-c.h>
#include <sched.h>

enum { MEMBERS_STEP = 64 };

static struct slice bytes_of(const ProtobufCBinaryData *b)
{
    return (struct slice){(const char *)b->data, b->len};
}

static void apply_put_fields(struct cmd *c, struct key key, const Godwit__PutFields *p)
{
    if (p->has_replace && p->replace) {
        (void)keyspace_delete(c, key);
    }
    for (size_t i = 0; i < p->n_fields; i++) {
        const Godwit__Field *f = p->fields[i];

        (void)hash_put(c, key, bytes_of(&f->name), bytes_of(&f->value),
                       f->has_expire_at_ms ? f->expire_at_ms : 0);
    }
    if (p->has_replace && p->replace && p->has_expire_at_ms && p->expire_at_ms != 0) {
        keyspace_expire_at(c, key, p->expire_at_ms);
    }
}

static void apply_delete_fields(struct cmd *c, struct key key, const Godwit__DeleteFields *d)
{
    for (size_t i = 0; i < d->n_names; i++) {
        (void)hash_remove(c, key, bytes_of(&d->names[i]));
    }
}

static void apply_expire_fields(struct cmd *c, struct key key, const Godwit__ExpireFields *e)
{
    struct hash h;

    for (size_t i = 0; i < e->n_names; i++) {
        struct hash_field f;
        bool there = hash_open(c, key, &h) == FOUND;

        if (there) {
            there = hash_get(&h, bytes_of(&e->names[i]), &f);
            hash_close(&h);
        }
        if (there) {
            hash_expire_at(c, key, bytes_of(&e->names[i]), e->at_ms);
        }
    }
}

/* Whether the key's list has this number (0: there is none), so that the operation has not been applied
 * yet. Then it has so many elements, or this store is not what the change was made for. */
static bool is_next(struct cmd *c, struct key key, uint32_t number, uint64_t count)
{
    struct vlist_view l;
    enum found found = vlist_open(c, key, &l);
    uint32_t has = found == FOUND ? vlist_number(&l) : 0;
    bool fits = found != WRONG_TYPE && (found == ABSENT || vlist_count(&l) >= count);

    if (found == FOUND) {
        vlist_close(&l);
    }
    if (found == WRONG_TYPE || has != number) {
        return false; /* what the Change makes of the key further on is there already */
    }
    if (!fits) {
        section_fail(c->section, SECTION_CLIENT);
    }
    return fits;
}

static void apply_push(struct cmd *c, struct key key, const Godwit__PushValues *p)
{
    enum vlist_end end = p->head ? LIST_HEAD : LIST_TAIL;
    struct slice some[64];

    if (p->replace) {
        (void)keyspace_delete(c, key);
    } else if (!is_next(c, key, p->number, 0)) {
        return;
    }
    for (size_t i = 0; i < p->n_values;) {
        size_t n = 0;

        for (; n < 64 && i < p->n_values; i++) {
            some[n++] = bytes_of(&p->values[i]);
        }
        vlist_push(c, key, end, some, n);
    }
    vlist_renumber(c, key, p->replace ? p->number : p->number + 1 != 0 ? p->number + 1 : 1);
    if (p->replace && p->has_expire_at_ms && p->expire_at_ms != 0 &&
        section_find(c->section, key) != NULL) {
        keyspace_expire_at(c, key, p->expire_at_ms);
    }
}

static void apply_remove_ranges(struct cmd *c, struct key key, const Godwit__RemoveRanges *m)
{
    struct vlist_range *v = m->n_ranges == 0 ? NULL : mem_alloc(m->n_ranges * sizeof(v[0]));

    if (v == NULL) {
        if (m->n_ranges > 0) {
            section_fail(c->section, SECTION_NOMEM);
        }
        return;
    }
    for (size_t i = 0; i < m->n_ranges; i++) {
        v[i] = (struct vlist_range){m->ranges[i]->index, m->ranges[i]->count};
    }
    const struct vlist_range *last = &v[m->n_ranges - 1];

    if (is_next(c, key, m->number, last->index + last->count)) {
        vlist_remove(c, key, v, m->n_ranges);
    }
    mem_free(v, m->n_ranges * sizeof(v[0]));
}

static void apply_set(struct cmd *c, struct key key, const Godwit__SetElement *m)
{
    if (is_next(c, key, m->number, m->index + 1)) {
        vlist_set(c, key, m->index, bytes_of(&m->value));
    }
}

static void apply_insert(struct cmd *c, struct key key, const Godwit__InsertElement *m)
{
    if (is_next(c, key, m->number, m->index + 1)) {
        vlist_insert(c, key, m->index, bytes_of(&m->value));
    }
}

static void apply_list(struct cmd *c, struct key key, const Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_PUSH_VALUES) {
        apply_push(c, key, op->push_values);
    } else if (op->kind_case == GODWIT__OP__KIND_REMOVE_RANGES) {
        apply_remove_ranges(c, key, op->remove_ranges);
    } else if (op->kind_case == GODWIT__OP__KIND_SET_ELEMENT) {
        apply_set(c, key, op->set_element);
    } else {
        apply_insert(c, key, op->insert_element);
    }
}

static void apply_put_members(struct cmd *c, struct key key, const Godwit__PutMembers *p)
{
    bool replace = p->has_replace && p->replace;
    const struct entry *e = keyspace_peek(c, key);

    /* Of another type only when a change is applied again: what follows in it made it so. */
    if (e != NULL && (replace || e->type != TYPE_SET)) {
        (void)keyspace_delete(c, key);
    }
    for (size_t i = 0; i < p->n_members;) {
        struct slice some[MEMBERS_STEP];
        size_t n = 0;

        for (; n < MEMBERS_STEP && i < p->n_members; n++) {
            some[n] = bytes_of(&p->members[i++]);
        }
        (void)set_add(c, key, some, n);
    }
    if (replace && p->has_expire_at_ms && p->expire_at_ms != 0) {
        keyspace_expire_at(c, key, p->expire_at_ms);
    }
}

static void apply_delete_members(struct cmd *c, struct key key, const Godwit__DeleteMembers *d)
{
    for (size_t i = 0; i < d->n_members; i++) {
        const struct entry *e = keyspace_peek(c, key);
        struct slice member = bytes_of(&d->members[i]);

        if (e != NULL && e->type == TYPE_SET) {
            (void)set_remove(c, key, &member, 1);
        } else if (e != NULL && e->type == TYPE_ZSET) {
            (void)zset_remove(c, key, &member, 1);
        } else {
            return; /* as above */
        }
    }
}

static void apply_put_scores(struct cmd *c, struct key key, const Godwit__PutScores *p)
{
    struct zset_item items[64];
    const struct entry *e = keyspace_peek(c, key);
    size_t n = 0;

    /* Of another type only when a change is applied again: what follows in it made it so. */
    if (e != NULL && ((p->has_replace && p->replace) || e->type != TYPE_ZSET)) {
        (void)keyspace_delete(c, key);
    }
    for (size_t i = 0; i < p->n_scores; i++) {
        items[n++] = (struct zset_item){bytes_of(&p->scores[i]->member), p->scores[i]->score};
        if (n == sizeof(items) / sizeof(items[0]) || i + 1 == p->n_scores) {
            (void)zset_add(c, key, items, n, 0);
            n = 0;
        }
    }
    if (p->has_replace && p->replace && p->has_expire_at_ms && p->expire_at_ms != 0 &&
        p->n_scores > 0) {
        keyspace_expire_at(c, key, p->expire_at_ms);
    }
}

/* What the code registers comes with it: no code runs here (F2 in node/library.h). */
static void apply_put_library(struct cmd *c, const Godwit__Op *op)
{
    const Godwit__PutLibrary *p = op->put_library;
    struct slice code = bytes_of(&p->code);
    struct function_def *defs = mem_zalloc((p->n_functions + 1) * sizeof(defs[0]));
    struct library *l = NULL;
    struct library_head head;
    char error[LIBRARY_ERROR_MAX];

    if (!library_read_head(code, &head, error) || !slice_is(head.name, bytes_of(&op->key))) {
        section_fail(c->section, SECTION_CLIENT);
        mem_free(defs, (p->n_functions + 1) * sizeof(defs[0]));
        return;
    }
    for (size_t i = 0; defs != NULL && i < p->n_functions; i++) {
        const Godwit__Function *f = p->functions[i];

        defs[i] = (struct function_def){.name = bytes_of(&f->name), .flags = f->flags};
        if (f->has_description) {
            defs[i].description = f->description.len == 0 ? SLICE("") : bytes_of(&f->description);
        }
    }
    l = defs == NULL ? NULL : library_create(code, &head, defs, (uint32_t)p->n_functions);
    if (l == NULL) {
        section_fail(c->section, SECTION_NOMEM);
    } else {
        libraries_put(c, l);
    }
    mem_free(defs, (p->n_functions + 1) * sizeof(defs[0]));
}

static void apply_library(struct cmd *c, struct slice name, const Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_PUT_LIBRARY) {
        apply_put_library(c, op);
    } else if (op->kind_case == GODWIT__OP__KIND_DELETE_LIBRARY) {
        libraries_delete(c, name);
    } else {
        libraries_flush(c);
    }
}

static void apply_fields(struct cmd *c, struct key key, const Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_PUT_FIELDS) {
        apply_put_fields(c, key, op->put_fields);
    } else if (op->kind_case == GODWIT__OP__KIND_DELETE_FIELDS) {
        apply_delete_fields(c, key, op->delete_fields);
    } else {
        apply_expire_fields(c, key, op->expire_fields);
    }
}

static void apply_op(struct cmd *c, const Godwit__Op *op)
{
    struct key key = key_of(bytes_of(&op->key));

    switch (op->kind_case) {
    case GODWIT__OP__KIND_PUT_STRING:
        string_put(c, key, bytes_of(&op->put_string->value),
                   op->put_string->has_expire_at_ms ? op->put_string->expire_at_ms : 0);
        break;
    case GODWIT__OP__KIND_PUT_RANGE:
        string_put_range(c, key, op->put_range->offset, bytes_of(&op->put_range->bytes));
        break;
    case GODWIT__OP__KIND_PUT_FIELDS:
    case GODWIT__OP__KIND_DELETE_FIELDS:
    case GODWIT__OP__KIND_EXPIRE_FIELDS:
        apply_fields(c, key, op);
        break;
    case GODWIT__OP__KIND_PUT_MEMBERS:
        apply_put_members(c, key, op->put_members);
        break;
    case GODWIT__OP__KIND_DELETE_MEMBERS:
        apply_delete_members(c, key, op->delete_members);
        break;
    case GODWIT__OP__KIND_PUT_SCORES:
        apply_put_scores(c, key, op->put_scores);
        break;
    case GODWIT__OP__KIND_EXPIRE_AT:
        if (section_find(c->section, key) != NULL) {
            keyspace_expire_at(c, key, op->expire_at->at_ms);
        }
        break;
    case GODWIT__OP__KIND_DELETE:
        (void)keyspace_delete(c, key);
        break;
    case GODWIT__OP__KIND_FLUSH:
        keyspace_flush(c);
        break;
    case GODWIT__OP__KIND_STREAM_APPEND:
    case GODWIT__OP__KIND_STREAM_CREATE:
    case GODWIT__OP__KIND_STREAM_REMOVE:
    case GODWIT__OP__KIND_STREAM_TRIM:
    case GODWIT__OP__KIND_STREAM_META:
    case GODWIT__OP__KIND_STREAM_GROUP:
    case GODWIT__OP__KIND_STREAM_DELETE_GROUP:
    case GODWIT__OP__KIND_STREAM_CONSUMER:
    case GODWIT__OP__KIND_STREAM_DELETE_CONSUMER:
    case GODWIT__OP__KIND_STREAM_PENDING:
    case GODWIT__OP__KIND_STREAM_ACKNOWLEDGE:
        stream_apply(c, key, op);
        break;
    case GODWIT__OP__KIND_PUSH_VALUES:
    case GODWIT__OP__KIND_REMOVE_RANGES:
    case GODWIT__OP__KIND_SET_ELEMENT:
    case GODWIT__OP__KIND_INSERT_ELEMENT:
        apply_list(c, key, op);
        break;
    case GODWIT__OP__KIND_PUT_LIBRARY:
    case GODWIT__OP__KIND_DELETE_LIBRARY:
    case GODWIT__OP__KIND_FLUSH_LIBRARIES:
        apply_library(c, key.name, op);
        break;
    case GODWIT__OP__KIND_PUT_JSON:
    case GODWIT__OP__KIND_PATCH_JSON:
        json_apply(c, key, op);
        break;
    case GODWIT__OP__KIND__NOT_SET:
    case _GODWIT__OP__KIND__CASE_IS_INT_SIZE:
        section_fail(c->section, SECTION_CLIENT); /* change_check() refused it before */
        break;
    }
}

static bool is_of_whole(const Godwit__Op *op)
{
    return op->kind_case == GODWIT__OP__KIND_FLUSH ||
           op->kind_case == GODWIT__OP__KIND_PUT_LIBRARY ||
           op->kind_case == GODWIT__OP__KIND_DELETE_LIBRARY ||
           op->kind_case == GODWIT__OP__KIND_FLUSH_LIBRARIES;
}

static uint64_t partitions_of(const Godwit__Change *change)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < change->n_ops; i++) {
        if (is_of_whole(change->ops[i])) {
            return UINT64_MAX >> (64 - PARTITIONS);
        }
        mask |= (uint64_t)1 << key_of(bytes_of(&change->ops[i]->key)).partition;
    }
    return mask;
}

static int apply_ops(struct exec *x, struct database *db, const Godwit__Change *change)
{
    static const struct cmd_def row = {.name = "APPLY", .flags = CMD_WRITE};
    struct section *s = x->section;
    struct cmd c = {.def = &row, .db = db, .section = s};
    struct partition *held;
    uint64_t seq;
    int err;

    if (section_reserve(s) != OK) {
        return ERR_FULL;
    }
    while ((err = section_begin(s, db, partitions_of(change), true, &held)) == ERR_FULL) {
        sched_yield();
    }
    if (err != OK) {
        return err;
    }
    section_applies(s);
    for (size_t i = 0; i < change->n_ops; i++) {
        apply_op(&c, change->ops[i]);
    }
    enum section_end end = section_commit(s, &seq);

    block_poke(section_take_ready(s));
    switch (end) {
    case SECTION_COMMITTED:
        return OK;
    case SECTION_AGAIN:
        return ERR_FULL;
    case SECTION_FAILED:
        break;
    }
    return ERR_NOMEM;
}

int apply_change(struct exec *x, struct database *db, struct slice bytes)
{
    Godwit__Change *change = godwit__change__unpack(NULL, bytes.len, (const uint8_t *)bytes.ptr);
    int err;

    if (change == NULL) {
        return ERR_CORRUPT;
    }
    err = change_check(change);
    if (err == OK) {
        err = apply_ops(x, db, change);
    }
    godwit__change__free_unpacked(change, NULL);
    return err;
}
