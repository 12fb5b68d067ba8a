#include "node/dump_form.h"

#include "base/mem.h"
#include "node/keyspace.h"
#include "node/section.h"
#include "node/slices.h"
#include "node/type_json.h"
#include "node/type_list.h"
#include "node/type_set.h"
#include "node/type_stream.h"
#include "node/type_zset.h"

#include <endian.h>

enum {
    SUM_BYTES = 32 << 10, /* summed between two looks at the clock */
    SUM_STEPS = 500
};

uint64_t dump_checksum(struct slice bytes)
{
    uint64_t crc = 0;

    for (size_t at = 0; at < bytes.len; at += SUM_BYTES) {
        size_t left = bytes.len - at;

        (void)slices_tick(SUM_STEPS);
        crc = rdb_crc64(crc, (struct slice){bytes.ptr + at, left < SUM_BYTES ? left : SUM_BYTES});
    }
    return crc;
}

bool dump_is_sound(struct slice payload)
{
    uint16_t version;
    uint64_t crc;

    if (payload.len < DUMP_FOOTER_BYTES) {
        return false;
    }
    memcpy(&version, payload.ptr + payload.len - DUMP_FOOTER_BYTES, sizeof(version));
    memcpy(&crc, payload.ptr + payload.len - sizeof(crc), sizeof(crc));
    return le16toh(version) <= DUMP_VERSION_MAX &&
           le64toh(crc) == dump_checksum((struct slice){payload.ptr, payload.len - sizeof(crc)});
}

static void store_string(struct cmd *c, struct key key, const struct dump_value *v,
                         int64_t expire_at_ms)
{
    string_put(c, key, v->string, expire_at_ms);
}

static void store_hash(struct cmd *c, struct key key, const struct dump_value *v,
                       int64_t expire_at_ms)
{
    bool any = false;

    for (size_t i = 0; i < v->count && slices_tick(1); i++) {
        const struct hash_field *f = &v->fields[i];

        /* Expired on its way here. */
        if (f->expire_at_ms == 0 || f->expire_at_ms > c->now_ms) {
            (void)hash_put(c, key, f->name, f->value, f->expire_at_ms);
            any = true;
        }
    }
    /* Absent when memory ran out on the way: the section has failed, and what was put is dropped. */
    if (any && expire_at_ms != 0 && keyspace_peek(c, key) != NULL) {
        keyspace_expire_at(c, key, expire_at_ms);
    }
}

static void store_stream(struct cmd *c, struct key key, const struct dump_value *v,
                         int64_t expire_at_ms)
{
    struct stream *st = *v->stream;

    *v->stream = NULL;
    stream_store(c, key, st, expire_at_ms);
}

static void store_json(struct cmd *c, struct key key, const struct dump_value *v,
                       int64_t expire_at_ms)
{
    json_put(c, key, buf_slice(&v->json), SLICE(""));
    if (expire_at_ms != 0 && keyspace_peek(c, key) != NULL) {
        keyspace_expire_at(c, key, expire_at_ms);
    }
}

static void store_set(struct cmd *c, struct key key, const struct dump_value *v,
                      int64_t expire_at_ms)
{
    struct slice *members = mem_alloc(v->count * sizeof(members[0]));

    if (members == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    size_t n = 0;

    while (n < v->count && slices_tick(1)) {
        members[n] = v->fields[n].name;
        n++;
    }
    set_replace(c, key, members, n);
    if (expire_at_ms != 0 && keyspace_peek(c, key) != NULL) {
        keyspace_expire_at(c, key, expire_at_ms);
    }
    mem_free(members, v->count * sizeof(members[0]));
}

static void store_zset(struct cmd *c, struct key key, const struct dump_value *v,
                       int64_t expire_at_ms)
{
    struct zset_item items[64];
    size_t n = 0;

    for (size_t i = 0; i < v->count && slices_tick(1); i++) {
        items[n++] = (struct zset_item){v->fields[i].name, dump_score(&v->fields[i])};
        if (n == sizeof(items) / sizeof(items[0]) || i + 1 == v->count) {
            (void)zset_add(c, key, items, n, 0);
            n = 0;
        }
    }
    if (expire_at_ms != 0 && keyspace_peek(c, key) != NULL) {
        keyspace_expire_at(c, key, expire_at_ms);
    }
}

static void store_list(struct cmd *c, struct key key, const struct dump_value *v,
                       int64_t expire_at_ms)
{
    struct slice some[256];

    for (size_t i = 0; i < v->count && slices_tick(1);) {
        size_t n = 0;

        for (; n < 256 && i < v->count; i++) {
            some[n++] = v->fields[i].name;
        }
        vlist_push(c, key, LIST_TAIL, some, n);
    }
    /* Absent when memory ran out on the way. */
    if (expire_at_ms != 0 && keyspace_peek(c, key) != NULL) {
        keyspace_expire_at(c, key, expire_at_ms);
    }
}

void dump_store(struct cmd *c, struct key key, const struct dump_value *v, int64_t expire_at_ms)
{
    static void (*const store[VALUE_TYPES])(struct cmd *, struct key, const struct dump_value *,
                                            int64_t) = {
        [TYPE_STRING] = store_string, [TYPE_HASH] = store_hash,     [TYPE_SET] = store_set,
        [TYPE_ZSET] = store_zset,     [TYPE_STREAM] = store_stream, [TYPE_LIST] = store_list,
        [TYPE_JSON] = store_json,
    };

    store[v->type](c, key, v, expire_at_ms);
}
