/* buf.h - bytes that grow and belong to their holder.
 *
 * Ownership  the holder's; buf_fini() gives the memory back. A zeroed struct is a valid empty one.
 * Failure    whatever grows answers ERR_NOMEM and leaves the bytes as they were.
 *
 * After buf_reserve() the `_nofail` calls may put that many bytes without looking, which is how
 * replies are written.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/annot.h"
#include "base/slice.h"

#include <assert.h>
#include <stdarg.h>

struct buf {
    char *ptr; /* owned; NULL while cap is 0 */
    size_t len, cap;
};

/* Digits of the longest 64-bit number with its sign. */
#define BUF_I64_MAX 20

static inline void buf_init(struct buf *b)
{
    b->ptr = NULL;
    b->len = b->cap = 0;
}

void buf_fini(struct buf *b);

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->ptr, b->len};
}

static inline void buf_clear(struct buf *b)
{
    b->len = 0;
}

MUST_CHECK int buf_grow(struct buf *b, size_t more);

/* Room for `more` bytes behind what is there. */
MUST_CHECK static inline int buf_reserve(struct buf *b, size_t more)
{
    return LIKELY(b->cap - b->len >= more) ? 0 : buf_grow(b, more);
}

static inline void buf_append_nofail(struct buf *b, const void *bytes, size_t len)
{
    assert(b->cap - b->len >= len);
    if (len > 0) {
        memcpy(b->ptr + b->len, bytes, len);
        b->len += len;
    }
}

static inline void buf_append_char_nofail(struct buf *b, char c)
{
    assert(b->cap > b->len);
    b->ptr[b->len++] = c;
}

MUST_CHECK int buf_append(struct buf *b, const void *bytes, size_t len);
MUST_CHECK int buf_append_slice(struct buf *b, struct slice s);
MUST_CHECK int buf_append_str(struct buf *b, const char *text);
MUST_CHECK int buf_append_char(struct buf *b, char c);
MUST_CHECK int buf_append_u64(struct buf *b, uint64_t n);
MUST_CHECK int buf_append_i64(struct buf *b, int64_t n);
MUST_CHECK int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
MUST_CHECK int buf_vprintf(struct buf *b, const char *fmt, va_list args) PRINTF_LIKE(2, 0);

/* Makes the bytes a C string: a NUL behind them that is not counted. */
MUST_CHECK int buf_terminate(struct buf *b);

/* Drops the first n bytes and moves the rest to the front. */
void buf_consume(struct buf *b, size_t n);

/* Frees memory beyond `keep` bytes of capacity when the content fits in them. */
void buf_shrink(struct buf *b, size_t keep);

/* memmove() for views that may overlap; plain memcpy() elsewhere says that they do not. */
void buf_move(void *to, const void *from, size_t len);

/* Writes n in decimal, no NUL, and returns how many characters: at most BUF_I64_MAX. */
size_t buf_put_u64(char *out, uint64_t n);
size_t buf_put_i64(char *out, int64_t n);

#endif
