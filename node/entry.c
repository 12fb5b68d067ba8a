#include "node/entry.h"

#include "base/mem.h"

#include <assert.h>

struct entry *entry_create(const struct entry_spec *spec)
{
    bool is_long = spec->key.len > UINT8_MAX;
    uint8_t flags = (uint8_t)((spec->expire_at_ms != 0 ? ENTRY_EXPIRES : 0) |
                              (spec->clocked ? ENTRY_CLOCKED : 0) | (is_long ? ENTRY_LONG_KEY : 0));
    size_t at = (spec->expire_at_ms != 0 ? 8 : 0) + (spec->clocked ? 4 : 0) + (is_long ? 4 : 0);

    assert(spec->key.len <= UINT32_MAX);
    assert(spec->payload_len <= UINT32_MAX);
    struct entry *e = mem_alloc(sizeof(*e) + at + spec->key.len + spec->payload_len);

    if (e == NULL) {
        return NULL;
    }
    e->type = (uint8_t)spec->type;
    e->encoding = (uint8_t)spec->encoding;
    e->flags = flags;
    e->key_len = is_long ? 0 : (uint8_t)spec->key.len;
    e->payload_len = (uint32_t)spec->payload_len;
    if (spec->expire_at_ms != 0) {
        memcpy(e->rest, &spec->expire_at_ms, 8);
    }
    if (spec->clocked) {
        /* Zero is oldest: whoever first reads or writes it through a command says better. */
        memset(e->rest + (spec->expire_at_ms != 0 ? 8 : 0), 0, 4);
    }
    if (is_long) {
        uint32_t len = (uint32_t)spec->key.len;

        memcpy(e->rest + at - 4, &len, sizeof(len));
    }
    if (spec->key.len > 0) {
        memcpy(e->rest + at, spec->key.ptr, spec->key.len);
    }
    return e;
}

void entry_free(struct entry *e)
{
    if (e != NULL) {
        mem_free(e, entry_bytes(e));
    }
}
