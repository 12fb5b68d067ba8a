/* change_write.h - the pieces of which operations are written; for proto/change*.c only. */
#ifndef PROTO_CHANGE_WRITE_H
#define PROTO_CHANGE_WRITE_H

#include "base/err.h"
#include "proto/change.h"

#include <assert.h>

/* A tag: field number and wire type. */
#define VARINT(number)  ((number) << 3)
#define FIXED64(number) ((number) << 3 | 1)
#define LEN(number)     ((number) << 3 | 2)
#define FIXED32(number) ((number) << 3 | 5)

/* Longest varints. */
#define LEN_MAX         ((size_t)10)
/* All tags, lengths and numbers of an operation beside its bytes, generously. */
#define OP_OVERHEAD     80
#define FIELD_OVERHEAD  40
/* What ending an operation may need to widen its two lengths. */
#define END_OVERHEAD    (2 * LEN_MAX)

static inline size_t varint_size(uint64_t n)
{
    return 1 + (size_t)(63 - __builtin_clzll(n | 1)) / 7;
}

static inline char *put_varint(char *p, uint64_t n)
{
    while (UNLIKELY(n >= 128)) {
        *p++ = (char)(n | 128);
        n >>= 7;
    }
    *p++ = (char)n;
    return p;
}

static inline char *put_fixed64(char *p, uint64_t n)
{
    memcpy(p, &n, sizeof(n));
    return p + sizeof(n);
}

static inline char *put_bytes(char *p, char tag, struct slice s)
{
    *p++ = tag;
    p = put_varint(p, s.len);
    if (LIKELY(s.len > 0)) {
        memcpy(p, s.ptr, s.len);
    }
    return p + s.len;
}

/* Fields 1 and 2 of what puts a collection: that it takes the place of another, and then its expiry. */
static inline char *put_replace(char *p, bool replace, int64_t expire_at_ms)
{
    if (!replace) {
        return p;
    }
    *p++ = VARINT(1);
    *p++ = 1;
    if (expire_at_ms != 0) {
        *p++ = FIXED64(2);
        p = put_fixed64(p, (uint64_t)expire_at_ms);
    }
    return p;
}

static inline size_t bytes_size(size_t len)
{
    return 1 + varint_size(len) + len;
}

static inline void wrote(struct change_writer *w, const char *end)
{
    w->out->len = (size_t)(end - w->out->ptr);
}

/* An operation's start up to its kind's content, for lengths that are known. Room has been made. */
static inline char *put_op(struct change_writer *w, struct slice key, uint32_t kind, uint64_t body)
{
    char *p = w->out->ptr + w->out->len;

    *p++ = LEN(6);
    p = put_varint(p, bytes_size(key.len) + varint_size(kind) + varint_size(body) + body);
    p = put_bytes(p, LEN(1), key);
    p = put_varint(p, kind);
    w->ops++;
    return put_varint(p, body);
}

/* Begins an operation of unknown length, with one byte for each of its two lengths. Returns where its
 * content goes, whose end wrote() then notes; NULL: no memory. kind is LEN(number). There is
 * room for OP_OVERHEAD bytes. */
char *change_op_open(struct change_writer *w, struct slice key, uint32_t kind);
void change_op_close(struct change_writer *w);
/* One more `bytes` of the open operation (tag: LEN(number)). */
MUST_CHECK int change_add_bytes(struct change_writer *w, char tag, struct slice bytes);

/* change_check()'s part of each type's operations. */
struct Godwit__Op;
bool change_list_fine(const struct Godwit__Op *op);
bool change_stream_fine(const struct Godwit__Op *op);
bool change_set_fine(const struct Godwit__Op *op);
bool change_zset_fine(const struct Godwit__Op *op);
bool change_library_fine(const struct Godwit__Op *op);
bool change_json_fine(const struct Godwit__Op *op);

#endif
