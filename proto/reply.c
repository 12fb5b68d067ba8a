/* reply.c - each call makes room once, for the longest that it may write, then stores directly: a
 * bulk costs a few nanoseconds. */
#include "proto/reply.h"

#include "base/err.h"
#include "proto/number.h"

/* A type byte, the digits of a count and CRLF. */
#define HEAD_MAX    (1 + BUF_I64_MAX + 2)
/* What reply_array_later() leaves: enough for a count of one digit. */
#define LATER_BYTES 4

static const struct {
    const char *line; /* with the RESP prefix and CRLF */
    size_t len;
    const char *text;
    int http;
} wire_errs[WIRE_ERRS] = {
#define WIRE_ERR(symbol, text, http)                                                               \
    [WIRE_##symbol] = {"-" text "\r\n", sizeof("-" text "\r\n") - 1, text, http},
#include "proto/errors.def"
#undef WIRE_ERR
};

void reply_init(struct reply *r)
{
    *r = (struct reply){0};
}

void reply_fini(struct reply *r)
{
    buf_fini(&r->out);
}

COLD static char *room_slow(struct reply *r, size_t n)
{
    if (r->failed || buf_grow(&r->out, n) != OK) {
        r->failed = true;
        return NULL;
    }
    return r->out.ptr + r->out.len;
}

/* Where to write n bytes; NULL drops them. */
static inline char *room(struct reply *r, size_t n)
{
    if (LIKELY(r->out.cap - r->out.len >= n) && LIKELY(!r->failed)) {
        return r->out.ptr + r->out.len;
    }
    return room_slow(r, n);
}

static inline void wrote(struct reply *r, const char *end)
{
    r->out.len = (size_t)(end - r->out.ptr);
}

static inline char *put_crlf(char *p)
{
    memcpy(p, "\r\n", 2);
    return p + 2;
}

static inline char *put_head(char *p, char type, uint64_t n)
{
    *p++ = type;
    if (LIKELY(n < 10)) {
        *p++ = (char)('0' + n);
    } else if (n < 100) {
        unsigned tens = ((unsigned)n * 205) >> 11; /* n / 10, below 100 */
        uint16_t two = (uint16_t)(0x3030 + tens + (((unsigned)n - tens * 10) << 8));

        memcpy(p, &two, sizeof(two));
        p += sizeof(two);
    } else {
        p += buf_put_u64(p, n);
    }
    return put_crlf(p);
}

/* Names and numbers, which many replies consist of, are copied without a call. */
static inline char *put_bytes(char *p, struct slice bytes)
{
    uint64_t ends[2];

    if (bytes.len - sizeof(uint64_t) <= sizeof(uint64_t)) {
        memcpy(&ends[0], bytes.ptr, sizeof(uint64_t));
        memcpy(&ends[1], bytes.ptr + bytes.len - sizeof(uint64_t), sizeof(uint64_t));
        memcpy(p, &ends[0], sizeof(uint64_t));
        memcpy(p + bytes.len - sizeof(uint64_t), &ends[1], sizeof(uint64_t));
    } else if (LIKELY(bytes.len > 0)) {
        memcpy(p, bytes.ptr, bytes.len);
    }
    return p + bytes.len;
}

static inline void write_const(struct reply *r, const char *bytes, size_t len)
{
    char *p = room(r, len);

    if (LIKELY(p != NULL)) {
        memcpy(p, bytes, len);
        r->out.len += len;
    }
}

static inline void note_differs(struct reply *r)
{
    r->flags |=
        (r->flags & REPLY_DIFFERS) != 0 ? REPLY_DIFFERS | REPLY_DIFFERS_MORE : REPLY_DIFFERS;
}

static void write_head(struct reply *r, char type, uint64_t n)
{
    char *p = room(r, HEAD_MAX);

    if (LIKELY(p != NULL)) {
        wrote(r, put_head(p, type, n));
    }
}

static void write_mark(struct reply *r, char mark)
{
    char bytes[2] = {REPLY_MARK, mark};

    note_differs(r);
    r->flags |= REPLY_MARKED;
    write_const(r, bytes, sizeof(bytes));
}

/* type, text, CRLF */
static void write_line(struct reply *r, char type, struct slice text)
{
    char *p = room(r, text.len + 3);

    if (LIKELY(p != NULL)) {
        *p++ = type;
        if (text.len > 0) {
            memcpy(p, text.ptr, text.len);
        }
        wrote(r, put_crlf(p + text.len));
    }
}

void reply_expect(struct reply *r, size_t bytes)
{
    (void)room(r, bytes);
}

HOT void reply_ok(struct reply *r)
{
    write_const(r, "+OK\r\n", 5);
}

void reply_simple(struct reply *r, struct slice text)
{
    write_line(r, '+', text);
}

HOT void reply_bulk(struct reply *r, struct slice bytes)
{
    char *p = room(r, HEAD_MAX + bytes.len + 2);

    if (LIKELY(p != NULL)) {
        p = put_bytes(put_head(p, '$', bytes.len), bytes);
        wrote(r, put_crlf(p));
    }
}

HOT void reply_int(struct reply *r, int64_t value)
{
    char *p = room(r, HEAD_MAX);

    if (LIKELY(p != NULL)) {
        if (LIKELY(value >= 0)) {
            p = put_head(p, ':', (uint64_t)value);
        } else {
            *p++ = ':';
            p = put_crlf(p + buf_put_i64(p, value));
        }
        wrote(r, p);
    }
}

HOT void reply_null(struct reply *r)
{
    note_differs(r);
    write_const(r, "_\r\n", 3);
}

void reply_null_array(struct reply *r)
{
    write_mark(r, REPLY_MARK_NULL_ARRAY);
    reply_null(r);
}

void reply_double(struct reply *r, double value)
{
    char text[NUMBER_DOUBLE_MAX];
    size_t len = number_print_double(text, value);

    note_differs(r);
    write_line(r, ',', (struct slice){text, len});
}

void reply_double_text(struct reply *r, struct slice digits)
{
    r->flags |= REPLY_DIFFERS;
    write_line(r, ',', digits);
}

void reply_bool(struct reply *r, bool value)
{
    note_differs(r);
    write_const(r, value ? "#t\r\n" : "#f\r\n", 4);
}

void reply_big(struct reply *r, struct slice digits)
{
    note_differs(r);
    write_line(r, '(', digits);
}

void reply_verbatim(struct reply *r, const char *format3, struct slice text)
{
    char *p = room(r, HEAD_MAX + 4 + text.len + 2);

    note_differs(r);
    if (LIKELY(p != NULL)) {
        assert(strlen(format3) == 3);
        p = put_head(p, '=', text.len + 4);
        memcpy(p, format3, 3);
        p[3] = ':';
        p += 4;
        if (text.len > 0) {
            memcpy(p, text.ptr, text.len);
        }
        wrote(r, put_crlf(p + text.len));
    }
}

void reply_bulk_begin(struct reply *r, size_t len)
{
    /* Room for all of it at once, so that a large value does not grow the buffer step by step. */
    char *p = room(r, HEAD_MAX + len + 2);

    if (LIKELY(p != NULL)) {
        wrote(r, put_head(p, '$', len));
    }
}

void reply_bulk_piece(struct reply *r, struct slice bytes)
{
    if (bytes.len > 0) {
        write_const(r, bytes.ptr, bytes.len);
    }
}

void reply_bulk_end(struct reply *r)
{
    write_const(r, "\r\n", 2);
}

void reply_array(struct reply *r, size_t n)
{
    write_head(r, '*', n);
}

void reply_set(struct reply *r, size_t n)
{
    note_differs(r);
    write_head(r, '~', n);
}

void reply_map(struct reply *r, size_t n)
{
    note_differs(r);
    write_head(r, '%', n);
}

void reply_map_of_pairs(struct reply *r, size_t n)
{
    write_mark(r, REPLY_MARK_MAP_OF_PAIRS);
    write_head(r, '%', n);
}

void reply_pairs(struct reply *r, size_t n)
{
    write_mark(r, REPLY_MARK_FLAT_PAIRS);
    write_head(r, '*', n);
}

void reply_push(struct reply *r, size_t n)
{
    note_differs(r);
    write_head(r, '>', n);
}

size_t reply_array_later(struct reply *r)
{
    size_t at = r->out.len;

    write_const(r, "*0\r\n", LATER_BYTES);
    return at;
}

/* Puts the count where reply_array_later() left room for one digit, moving what follows if it takes
 * more. */
static void count_later(struct reply *r, size_t at, char type, uint64_t n)
{
    char head[HEAD_MAX];
    size_t len = (size_t)(put_head(head, type, n) - head);
    size_t more = len - LATER_BYTES;

    if (room(r, more) == NULL) {
        return; /* failed, perhaps before the four bytes were written */
    }
    if (more > 0) {
        size_t from = at + LATER_BYTES;

        buf_move(r->out.ptr + from + more, r->out.ptr + from, r->out.len - from);
        r->out.len += more;
    }
    memcpy(r->out.ptr + at, head, len);
}

void reply_array_count(struct reply *r, size_t at, size_t n)
{
    count_later(r, at, '*', n);
}

void reply_map_count(struct reply *r, size_t at, size_t n)
{
    note_differs(r);
    count_later(r, at, '%', n);
}

void reply_set_count(struct reply *r, size_t at, size_t n)
{
    note_differs(r);
    count_later(r, at, '~', n);
}

void reply_err(struct reply *r, enum wire_err err)
{
    assert(err < WIRE_ERRS);
    r->flags |= REPLY_ERROR;
    write_const(r, wire_errs[err].line, wire_errs[err].len);
}

static bool is_newline(char c)
{
    return c == '\r' || c == '\n';
}

void reply_errf(struct reply *r, const char *fmt, ...)
{
    size_t from = r->out.len;
    va_list args;
    int err;

    r->flags |= REPLY_ERROR;
    write_const(r, "-", 1);
    if (r->failed) {
        return;
    }
    va_start(args, fmt);
    err = buf_vprintf(&r->out, fmt, args);
    va_end(args);
    if (err != OK) {
        r->failed = true;
        return;
    }
    /* As Redis: those at the end go, those within are blanks. */
    while (r->out.len > from + 1 && is_newline(r->out.ptr[r->out.len - 1])) {
        r->out.len--;
    }
    for (size_t i = from; i < r->out.len; i++) {
        if (is_newline(r->out.ptr[i])) {
            r->out.ptr[i] = ' ';
        }
    }
    write_const(r, "\r\n", 2);
}

const char *wire_err_text(enum wire_err err)
{
    assert(err < WIRE_ERRS);
    return wire_errs[err].text;
}

int wire_err_http(enum wire_err err)
{
    assert(err < WIRE_ERRS);
    return wire_errs[err].http;
}
