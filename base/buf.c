#include "base/buf.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>

/* Below this the doubling would call the allocator for every few bytes. */
#define BUF_BYTES_MIN  64
/* From here on the allocator does not grow a block where it is; a map moves as it is. */
#define BUF_MOVED_FROM (1u << 20)

void buf_fini(struct buf *b)
{
    mem_free(b->ptr, b->cap);
    buf_init(b);
}

int buf_grow(struct buf *b, size_t more)
{
    size_t need = b->len + more;
    size_t cap = b->cap < BUF_BYTES_MIN ? BUF_BYTES_MIN : b->cap;

    if (need < more || need > PTRDIFF_MAX / 2) {
        return ERR_NOMEM;
    }
    while (cap < need) {
        /* Half as much again once it is large, so that a big reply does not cost twice its size. */
        size_t step = cap < (1u << 20) ? cap : cap / 2;

        cap += step;
    }
    cap = mem_size(cap);

    /* What was reserved and never written to is not moved: of a large block that would make it resident. */
    bool copies = cap >= BUF_MOVED_FROM && !mem_is_mapped(b->cap);
    char *p = copies ? mem_alloc(cap) : mem_realloc(b->ptr, b->cap, cap);

    if (p == NULL) {
        return ERR_NOMEM;
    }
    if (copies) {
        if (b->len > 0) {
            memcpy(p, b->ptr, b->len);
        }
        mem_free(b->ptr, b->cap);
    }
    b->ptr = p;
    b->cap = cap;
    return OK;
}

int buf_append(struct buf *b, const void *bytes, size_t len)
{
    if (buf_reserve(b, len) != OK) {
        return ERR_NOMEM;
    }
    buf_append_nofail(b, bytes, len);
    return OK;
}

int buf_append_slice(struct buf *b, struct slice s)
{
    return buf_append(b, s.ptr, s.len);
}

int buf_append_str(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text));
}

int buf_append_char(struct buf *b, char c)
{
    return buf_append(b, &c, 1);
}

int buf_append_u64(struct buf *b, uint64_t n)
{
    if (buf_reserve(b, BUF_I64_MAX) != OK) {
        return ERR_NOMEM;
    }
    b->len += buf_put_u64(b->ptr + b->len, n);
    return OK;
}

int buf_append_i64(struct buf *b, int64_t n)
{
    if (buf_reserve(b, BUF_I64_MAX) != OK) {
        return ERR_NOMEM;
    }
    b->len += buf_put_i64(b->ptr + b->len, n);
    return OK;
}

int buf_vprintf(struct buf *b, const char *fmt, va_list args)
{
    va_list again;
    int n;

    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    assert(n >= 0);
    /* vsnprintf() writes a NUL, which is not counted. */
    if (buf_reserve(b, (size_t)n + 1) != OK) {
        return ERR_NOMEM;
    }
    n = vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, args);
    assert(n >= 0);
    b->len += (size_t)n;
    return OK;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    int err;

    va_start(args, fmt);
    err = buf_vprintf(b, fmt, args);
    va_end(args);
    return err;
}

int buf_terminate(struct buf *b)
{
    if (buf_reserve(b, 1) != OK) {
        return ERR_NOMEM;
    }
    b->ptr[b->len] = '\0';
    return OK;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    b->len -= n;
    if (b->len > 0 && n > 0) {
        buf_move(b->ptr, b->ptr + n, b->len);
    }
}

void buf_shrink(struct buf *b, size_t keep)
{
    if (b->cap <= keep || b->len > keep) {
        return;
    }
    if (keep == 0) {
        buf_fini(b);
        return;
    }

    char *p = mem_realloc(b->ptr, b->cap, keep);

    if (p != NULL) { /* else it stays large, which harms nobody */
        b->ptr = p;
        b->cap = keep;
    }
}

void buf_move(void *to, const void *from, size_t len)
{
    memmove(to, from, len);
}

static const char two_digits[] = "00010203040506070809101112131415161718192021222324"
                                 "25262728293031323334353637383940414243444546474849"
                                 "50515253545556575859606162636465666768697071727374"
                                 "75767778798081828384858687888990919293949596979899";

size_t buf_put_u64(char *out, uint64_t n)
{
    char digits[BUF_I64_MAX];
    char *p = digits + sizeof(digits);
    size_t len;

    while (n >= 100) {
        p -= 2;
        memcpy(p, two_digits + n % 100 * 2, 2);
        n /= 100;
    }
    if (n >= 10) {
        p -= 2;
        memcpy(p, two_digits + n * 2, 2);
    } else {
        *--p = (char)('0' + n);
    }
    len = (size_t)(digits + sizeof(digits) - p);
    memcpy(out, p, len);
    return len;
}

size_t buf_put_i64(char *out, int64_t n)
{
    if (n >= 0) {
        return buf_put_u64(out, (uint64_t)n);
    }
    out[0] = '-';
    return 1 + buf_put_u64(out + 1, 0 - (uint64_t)n);
}
