#include "node/entry.h"

#include "base/mem.h"

#include <assert.h>

/* After the header: expiry (8) if any, clock (4) if any, long key length (4) if any, key, payload.
 * Expiry first, so that it and the clock are aligned. */
static size_t key_at(const struct entry *e)
{
    return ((e->flags & ENTRY_EXPIRES) != 0 ? 8 : 0) + ((e->flags & ENTRY_CLOCKED) != 0 ? 4 : 0) +
           ((e->flags & ENTRY_LONG_KEY) != 0 ? 4 : 0);
}

static size_t key_len(const struct entry *e, size_t at)
{
    uint32_t len = e->key_len;

    if (UNLIKELY((e->flags & ENTRY_LONG_KEY) != 0)) {
        memcpy(&len, e->rest + at - 4, sizeof(len));
    }
    return len;
}

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

size_t entry_bytes(const struct entry *e)
{
    size_t at = key_at(e);

    return sizeof(*e) + at + key_len(e, at) + e->payload_len;
}

void entry_free(struct entry *e)
{
    if (e != NULL) {
        mem_free(e, entry_bytes(e));
    }
}

struct slice entry_key(const struct entry *e)
{
    size_t at = key_at(e);

    return (struct slice){e->rest + at, key_len(e, at)};
}

struct slice entry_payload(const struct entry *e)
{
    size_t at = key_at(e);

    return (struct slice){e->rest + at + key_len(e, at), e->payload_len};
}

char *entry_payload_ptr(struct entry *e)
{
    size_t at = key_at(e);

    return e->rest + at + key_len(e, at);
}

int64_t entry_expire_at_ms(const struct entry *e)
{
    int64_t at_ms = 0;

    if ((e->flags & ENTRY_EXPIRES) != 0) {
        memcpy(&at_ms, e->rest, 8);
    }
    return at_ms;
}

_Atomic uint32_t *entry_clock(const struct entry *e)
{
    if ((e->flags & ENTRY_CLOCKED) == 0) {
        return NULL;
    }
    size_t at = (e->flags & ENTRY_EXPIRES) != 0 ? 8 : 0;

    /* The one word of a published entry that readers write: aligned, since entries are, by 8. */
    return (_Atomic uint32_t *)(uintptr_t)(e->rest + at);
}

int64_t entry_int(const struct entry *e)
{
    int64_t value;

    assert(e->encoding == ENC_INT);
    memcpy(&value, entry_payload(e).ptr, sizeof(value));
    return value;
}

void *entry_pointer(const struct entry *e)
{
    void *p;

    assert(e->payload_len >= sizeof(p));
    memcpy(&p, entry_payload(e).ptr, sizeof(p));
    return p;
}
