/* resp_req.c - the request parser.
 *
 *   START ──'*'──► COUNT ──n > 0──► HEADER ◄──────┐      lines that announce: "*2", "$3"
 *     │              └─n ≤ 0─► done   └──► BULK ──┴─► done
 *     └─other─► LINE ──► done                             an inline request
 *
 * Whole requests take a fast path through the same states: parse_args() reads header and bulk in one
 * go while all of the bytes are there, and falls back to remembering where it stands.
 */
#include "proto/resp_req.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>

enum { START, COUNT, HEADER, BULK, LINE };

/* Redis' bounds for clients that have not proved who they are. */
#define UNAUTH_ARGS_MAX 10
#define UNAUTH_BULK_MAX 16384
/* An array that grew beyond is given back when its request is over. */
#define ARGS_KEPT       1024
#define SCRATCH_KEPT    16384

void resp_req_init(struct resp_req *r)
{
    *r = (struct resp_req){0};
    r->args = r->few;
    r->args_cap = RESP_REQ_ARGS_INLINE;
}

static void args_free(struct resp_req *r)
{
    if (r->args != r->few) {
        mem_free(r->args, r->args_cap * sizeof(*r->args));
        r->args = r->few;
        r->args_cap = RESP_REQ_ARGS_INLINE;
    }
}

void resp_req_fini(struct resp_req *r)
{
    args_free(r);
    buf_fini(&r->scratch);
}

void resp_req_reset(struct resp_req *r)
{
    if (UNLIKELY(r->args_cap > ARGS_KEPT)) {
        args_free(r);
    }
    if (UNLIKELY(r->is_inline)) {
        buf_clear(&r->scratch);
        buf_shrink(&r->scratch, SCRATCH_KEPT);
        r->is_inline = false;
    }
    r->argc = 0;
    r->error = NULL;
    r->state = START;
    r->at = r->line_at = 0;
}

size_t resp_req_wants(const struct resp_req *r)
{
    return r->wants;
}

COLD static enum parse bad(struct resp_req *r, const char *error, size_t at, size_t *used)
{
    r->error = error;
    *used = at;
    return PARSE_BAD;
}

static enum parse more(struct resp_req *r, size_t judged, size_t wants)
{
    r->at = judged;
    r->wants = wants;
    return PARSE_MORE;
}

COLD static bool args_grow(struct resp_req *r)
{
    uint32_t cap = r->args_cap * 2;
    struct resp_arg *args;

    if (r->args == r->few) {
        args = mem_alloc(cap * sizeof(*args));
        if (args != NULL) {
            memcpy(args, r->few, sizeof(r->few));
        }
    } else {
        args = mem_realloc(r->args, r->args_cap * sizeof(*args), cap * sizeof(*args));
    }
    if (args == NULL) {
        return false;
    }
    r->args = args;
    r->args_cap = cap;
    return true;
}

static inline bool args_push(struct resp_req *r, size_t at, size_t len)
{
    if (UNLIKELY(r->argc == r->args_cap) && !args_grow(r)) {
        return false;
    }
    r->args[r->argc++] = (struct resp_arg){at, len};
    return true;
}

/* The number on the line that begins at `from` (behind its type byte): Redis takes what string2ll
 * takes. False: it is none. */
static bool line_number(const char *p, const char *end, int64_t *out)
{
    uint64_t n = 0;
    bool negative = p < end && *p == '-';
    const char *digits = p + negative;

    if (digits == end || end - digits > 18 || (*digits == '0' && (negative || end - p > 1))) {
        return false; /* 18 digits hold more than any limit */
    }
    for (const char *d = digits; d < end; d++) {
        unsigned digit = (unsigned)(unsigned char)*d - '0';

        if (digit > 9) {
            return false;
        }
        n = n * 10 + digit;
    }
    *out = negative ? -(int64_t)n : (int64_t)n;
    return true;
}

/* Finds the CR that ends the line at r->line_at, looking only at bytes not looked at before.
 * PARSE_DONE: *cr is where, and the byte behind it is there too. As in Redis, that byte is not
 * compared with LF. */
static enum parse find_line(struct resp_req *r, struct slice in, size_t line_max,
                            const char *toolong, size_t *cr, size_t *used)
{
    size_t from = r->at > r->line_at ? r->at : r->line_at;
    const char *found = from < in.len ? memchr(in.ptr + from, '\r', in.len - from) : NULL;

    *cr = found == NULL ? in.len : (size_t)(found - in.ptr);
    if (*cr - r->line_at > line_max) {
        return bad(r, toolong, r->line_at, used);
    }
    if (found == NULL) {
        return more(r, in.len, 2);
    }
    if (*cr + 1 == in.len) {
        return more(r, *cr, 1);
    }
    return PARSE_DONE;
}

/* "*<count>\r\n" at the start. */
static enum parse parse_count(struct resp_req *r, struct slice in, const struct resp_limits *limits,
                              size_t *used)
{
    int64_t n;
    size_t cr;
    enum parse p = find_line(r, in, limits->inline_bytes_max,
                             "Protocol error: too big mbulk count string", &cr, used);

    if (p != PARSE_DONE) {
        return p;
    }
    if (!line_number(in.ptr + 1, in.ptr + cr, &n) || n > (int64_t)limits->args_max) {
        return bad(r, "Protocol error: invalid multibulk length", 1, used);
    }
    if (limits->unauthenticated && n > UNAUTH_ARGS_MAX) {
        return bad(r, "Protocol error: unauthenticated multibulk length", 1, used);
    }
    r->at = r->line_at = cr + 2;
    if (n <= 0) {
        *used = cr + 2;
        return PARSE_DONE;
    }
    r->args_due = (uint32_t)n;
    r->state = HEADER;
    return PARSE_MORE;
}

/* "$<length>\r\n" at r->line_at. */
static enum parse parse_header(struct resp_req *r, struct slice in,
                               const struct resp_limits *limits, size_t *used)
{
    size_t cr;
    int64_t n;
    enum parse p;

    if (r->line_at == in.len) {
        return more(r, in.len, sizeof("$0\r\n\r\n") - 1);
    }
    if (in.ptr[r->line_at] != '$') {
        (void)snprintf(r->error_text, sizeof(r->error_text),
                       "Protocol error: expected '$', got '%c'", in.ptr[r->line_at]);
        return bad(r, r->error_text, r->line_at, used);
    }
    p = find_line(r, in, limits->inline_bytes_max, "Protocol error: too big bulk count string", &cr,
                  used);
    if (p != PARSE_DONE) {
        return p;
    }
    if (!line_number(in.ptr + r->line_at + 1, in.ptr + cr, &n) || n < 0 ||
        (uint64_t)n > limits->bulk_bytes_max) {
        return bad(r, "Protocol error: invalid bulk length", r->line_at + 1, used);
    }
    if (limits->unauthenticated && n > UNAUTH_BULK_MAX) {
        return bad(r, "Protocol error: unauthenticated bulk length", r->line_at + 1, used);
    }
    r->bulk_len = (uint64_t)n;
    r->at = cr + 2;
    r->state = BULK;
    return PARSE_DONE;
}

/* A header of one to four digits and its bulk, all of it there: nearly every argument. Returns where
 * it ends, or NULL if it is not so simple, and then nothing has been noted. */
static inline const char *fast_arg(struct resp_req *r, const char *p, const char *start,
                                   const char *end, uint64_t bulk_max)
{
    size_t len;
    const char *d = p + 1;

    if (UNLIKELY(end - p < 6) || UNLIKELY(*p != '$')) {
        return NULL;
    }
    len = (unsigned)(unsigned char)*d++ - '0';
    if (UNLIKELY(len > 9)) {
        return NULL;
    }
    if (*d != '\r') {
        unsigned digit = (unsigned)(unsigned char)*d++ - '0';

        if (UNLIKELY(digit > 9) || UNLIKELY(len == 0)) {
            return NULL;
        }
        len = len * 10 + digit;
        for (int i = 0; *d != '\r'; i++) {
            digit = (unsigned)(unsigned char)*d++ - '0';
            if (UNLIKELY(digit > 9) || UNLIKELY(i == 2) || UNLIKELY(end - d < 2)) {
                return NULL;
            }
            len = len * 10 + digit;
        }
    }
    d += 2;
    if (UNLIKELY(end - d < (ptrdiff_t)len + 2) || UNLIKELY(len > bulk_max) ||
        UNLIKELY(r->argc == r->args_cap)) {
        return NULL;
    }
    r->args[r->argc++] = (struct resp_arg){(uint64_t)(d - start), len};
    return d + len + 2;
}

static enum parse parse_args(struct resp_req *r, struct slice in, const struct resp_limits *limits,
                             size_t *used)
{
    uint64_t fast_max = limits->unauthenticated && limits->bulk_bytes_max > UNAUTH_BULK_MAX
                            ? UNAUTH_BULK_MAX
                            : limits->bulk_bytes_max;

    for (;;) {
        if (LIKELY(r->state == HEADER)) {
            const char *end = in.ptr + in.len;
            const char *p = in.ptr + r->line_at;
            const char *next;

            while ((next = fast_arg(r, p, in.ptr, end, fast_max)) != NULL) {
                p = next;
                if (--r->args_due == 0) {
                    *used = (size_t)(p - in.ptr);
                    return PARSE_DONE;
                }
            }
            if ((size_t)(p - in.ptr) != r->line_at) {
                r->at = r->line_at = (size_t)(p - in.ptr);
            }

            enum parse h = parse_header(r, in, limits, used);

            if (h != PARSE_DONE) {
                return h;
            }
        }
        /* r->at is the bulk's first byte. */
        size_t have = in.len > r->at ? in.len - r->at : 0;

        if (have < r->bulk_len + 2) {
            r->wants = r->bulk_len + 2 - have;
            return PARSE_MORE;
        }
        if (!args_push(r, r->at, r->bulk_len)) {
            return bad(r, "Protocol error: out of memory", r->at, used);
        }
        r->at = r->line_at = r->at + r->bulk_len + 2;
        r->state = HEADER;
        if (--r->args_due == 0) {
            *used = r->at;
            return PARSE_DONE;
        }
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = slice_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char unescape(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return c;
    }
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* What is between quotes, from the byte behind the opening one; returns where it goes on, behind the
 * closing one, or NULL if that is missing or something is glued to it. */
static const char *quoted(const char *p, const char *end, char quote, struct buf *out)
{
    for (; p < end; p++) {
        if (*p == quote) {
            return p + 1 == end || is_blank(p[1]) ? p + 1 : NULL;
        }
        if (quote == '\'' && *p == '\\' && end - p > 1 && p[1] == '\'') {
            p++;
            buf_append_char_nofail(out, '\'');
        } else if (quote == '"' && *p == '\\' && end - p > 3 && p[1] == 'x' &&
                   hex_digit(p[2]) >= 0 && hex_digit(p[3]) >= 0) {
            buf_append_char_nofail(out, (char)(hex_digit(p[2]) * 16 + hex_digit(p[3])));
            p += 3;
        } else if (quote == '"' && *p == '\\' && end - p > 1) {
            buf_append_char_nofail(out, unescape(*++p));
        } else {
            buf_append_char_nofail(out, *p);
        }
    }
    return NULL;
}

/* Splits a line into arguments, unescaped into scratch. NULL, or what is wrong. */
static const char *split_line(struct resp_req *r, const char *p, const char *end,
                              const struct resp_limits *limits)
{
    if (buf_reserve(&r->scratch, (size_t)(end - p) + 1) != OK) {
        return "Protocol error: out of memory";
    }
    for (;;) {
        size_t at = r->scratch.len;

        while (p < end && is_blank(*p)) {
            p++;
        }
        if (p == end) {
            return NULL;
        }
        while (p < end && !is_blank(*p)) {
            if (*p == '"' || *p == '\'') {
                p = quoted(p + 1, end, *p, &r->scratch);
                if (p == NULL) {
                    return "Protocol error: unbalanced quotes in request";
                }
                break;
            }
            buf_append_char_nofail(&r->scratch, *p++);
        }
        if (r->argc == limits->args_max) {
            return "Protocol error: invalid multibulk length";
        }
        if (!args_push(r, at, r->scratch.len - at)) {
            return "Protocol error: out of memory";
        }
    }
}

static enum parse parse_inline(struct resp_req *r, struct slice in,
                               const struct resp_limits *limits, size_t *used)
{
    const char *lf = r->at < in.len ? memchr(in.ptr + r->at, '\n', in.len - (size_t)r->at) : NULL;
    size_t len = lf == NULL ? in.len : (size_t)(lf - in.ptr);
    const char *error;

    if (len > limits->inline_bytes_max) {
        return bad(r, "Protocol error: too big inline request", limits->inline_bytes_max, used);
    }
    if (lf == NULL) {
        return more(r, in.len, 1);
    }
    r->is_inline = true;
    error = split_line(r, in.ptr, lf - (len > 0 && lf[-1] == '\r'), limits);
    if (error != NULL) {
        return bad(r, error, 0, used);
    }
    *used = len + 1;
    return PARSE_DONE;
}

HOT enum parse resp_req_parse(struct resp_req *r, struct slice in, const struct resp_limits *limits,
                              size_t *used)
{
    if (LIKELY(r->state == START)) {
        if (UNLIKELY(in.len == 0)) {
            return more(r, 0, 1);
        }
        if (LIKELY(in.len >= 4) && LIKELY(in.ptr[0] == '*') && LIKELY(in.ptr[2] == '\r') &&
            LIKELY(in.ptr[1] >= '1') && LIKELY(in.ptr[1] <= '9') && LIKELY(limits->args_max >= 9)) {
            r->args_due = (uint32_t)(in.ptr[1] - '0');
            r->at = r->line_at = 4;
            r->state = HEADER;
            return parse_args(r, in, limits, used);
        }
        r->state = in.ptr[0] == '*' ? COUNT : LINE;
    }
    if (r->state == LINE) {
        return parse_inline(r, in, limits, used);
    }
    if (r->state == COUNT) {
        enum parse p = parse_count(r, in, limits, used);

        if (r->state == COUNT) {
            return p;
        }
    }
    return parse_args(r, in, limits, used);
}
