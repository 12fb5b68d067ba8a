#include "node/apply.h"

#include "base/err.h"
#include "node/database.h"
#include "node/exec.h"
#include "node/keyspace.h"
#include "node/section.h"
#include "node/type_hash.h"
#include "node/type_stream.h"
#include "node/type_string.h"
#include "proto/change.h"

#include <proto/change.pb-c.h>
#include <sched.h>

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
        apply_put_fields(c, key, op->put_fields);
        break;
    case GODWIT__OP__KIND_DELETE_FIELDS:
        apply_delete_fields(c, key, op->delete_fields);
        break;
    case GODWIT__OP__KIND_EXPIRE_FIELDS:
        apply_expire_fields(c, key, op->expire_fields);
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
    case GODWIT__OP__KIND__NOT_SET:
    case _GODWIT__OP__KIND__CASE_IS_INT_SIZE:
        section_fail(c->section, SECTION_CLIENT); /* change_check() refused it before */
        break;
    }
}

static uint64_t partitions_of(const Godwit__Change *change)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < change->n_ops; i++) {
        if (change->ops[i]->kind_case == GODWIT__OP__KIND_FLUSH) {
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
    switch (section_commit(s, &seq)) {
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
