/* type_json.c - reading documents, and what the store asks of them; type_json_write.c writes. */
#include "node/type_json.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/json_ref.h"
#include "node/json_text.h"
#include "node/slices.h"
#include "node/type.h"

const char *json_of(const struct entry *e)
{
    return e->encoding == ENC_TREE ? json_ref_of(e).block->bytes
                                   : entry_payload(e).ptr + JSON_NUMBER;
}

uint32_t json_number_of(const struct entry *e)
{
    return json_u32(entry_payload(e).ptr);
}

enum found json_find(struct cmd *c, struct key key, const char **doc)
{
    const struct entry *e = keyspace_find(c, key);

    if (e == NULL) {
        return ABSENT;
    }
    if (e->type != TYPE_JSON) {
        return WRONG_TYPE;
    }
    *doc = json_of(e);
    return FOUND;
}

/* ---- Blocks ---- */

struct json_block *json_block_create(size_t bytes)
{
    struct json_block *b = mem_alloc(sizeof(*b) + bytes);

    if (b != NULL) {
        b->size = bytes;
    }
    return b;
}

void json_block_free(struct json_block *b)
{
    mem_free(b, sizeof(*b) + b->size);
}

/* ---- What the store asks ---- */

static const char *encoding(const struct entry *e)
{
    (void)e;
    return "raw"; /* as of every module's value */
}

static bool free_value(void *object, size_t *budget)
{
    (void)budget; /* one block, whatever its length */
    json_block_free(object);
    return true;
}

static void *object(const struct entry *e)
{
    return e->encoding == ENC_TREE ? json_ref_of(e).block : NULL;
}

static size_t value_bytes(const struct entry *e)
{
    return e->encoding == ENC_TREE
               ? mem_size(sizeof(struct json_block) + json_ref_of(e).block->size)
               : 0;
}

static struct entry *copy(const struct entry *e, struct slice key, int64_t expire_at_ms,
                          bool clocked)
{
    struct entry *n = entry_create(&(struct entry_spec){
        .type = TYPE_JSON,
        .encoding = e->encoding,
        .key = key,
        .payload_len = entry_payload(e).len,
        .expire_at_ms = expire_at_ms,
        .clocked = clocked,
    });

    if (n == NULL || e->encoding != ENC_TREE) {
        if (n != NULL) {
            memcpy(entry_payload_ptr(n), entry_payload(e).ptr, entry_payload(e).len);
        }
        return n;
    }
    struct json_ref ref = json_ref_of(e);
    struct json_block *b = json_block_create(ref.block->size);

    if (b == NULL) {
        entry_free(n);
        return NULL;
    }
    slices_copy(b->bytes, ref.block->bytes, b->size);
    ref.block = b;
    memcpy(entry_payload_ptr(n), &ref, sizeof(ref));
    return n;
}

static int log_whole(struct change_writer *w, struct slice key, const struct entry *e)
{
    struct buf text = {0};
    int err = json_print(json_of(e), NULL, &text);

    if (err == OK) {
        err = change_put_json(w, key, true, entry_expire_at_ms(e), json_number_of(e),
                              buf_slice(&text));
    }
    buf_fini(&text);
    return err;
}

const struct type_ops type_json_ops = {
    .name = "ReJSON-RL",
    .encoding = encoding,
    .free_value = free_value,
    .object = object,
    .value_bytes = value_bytes,
    .copy = copy,
    .log = log_whole,
};
