#include "proto/resp_reply.h"

#include "base/err.h"
#include "proto/reply.h"

/* More is a length that no reply of ours announces, and sums of it could overflow. */
#define COUNT_MAX UINT32_MAX
#define BULK_MAX  (UINT64_C(1) << 40)

/* The number in [p, end), or false. "-1" is told by *null. */
static bool head_number(const char *p, const char *end, uint64_t *out, bool *null)
{
    uint64_t n = 0;

    *null = end - p == 2 && p[0] == '-' && p[1] == '1';
    if (*null) {
        *out = 0;
        return true;
    }
    if (p == end || end - p > 13) {
        return false;
    }
    for (; p < end; p++) {
        unsigned digit = (unsigned)(unsigned char)*p - '0';

        if (digit > 9) {
            return false;
        }
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

/* A bulk-like value whose head ends at cr. */
static enum parse read_bulk(struct resp_reader *r, struct resp_value *v, size_t head, size_t cr)
{
    uint64_t len;
    size_t body = cr + 2;

    if (!head_number(r->in.ptr + head + 1, r->in.ptr + cr, &len, &v->null) || len > BULK_MAX ||
        (v->null && v->type != '$') || (v->type == '=' && len < 4)) {
        return PARSE_BAD;
    }
    if (v->null) {
        v->text = (struct slice){NULL, 0};
        r->at = body;
        return PARSE_DONE;
    }
    if (r->in.len - body < len + 2) {
        return PARSE_MORE;
    }
    v->text = (struct slice){r->in.ptr + body, (size_t)len};
    if (memcmp(v->text.ptr + len, "\r\n", 2) != 0) {
        return PARSE_BAD;
    }
    r->at = body + (size_t)len + 2;
    return PARSE_DONE;
}

static enum parse read_aggregate(struct resp_reader *r, struct resp_value *v, size_t head,
                                 size_t cr)
{
    uint64_t n;

    if (!head_number(r->in.ptr + head + 1, r->in.ptr + cr, &n, &v->null) || n > COUNT_MAX ||
        (v->null && v->type != '*')) {
        return PARSE_BAD;
    }
    v->children = v->type == '%' || v->type == '|' ? 2 * n : n;
    v->text = (struct slice){NULL, 0};
    r->at = cr + 2;
    return PARSE_DONE;
}

enum parse resp_reply_next(struct resp_reader *r, struct resp_value *v)
{
    const char *in = r->in.ptr;
    size_t head = r->at;
    const char *cr;
    size_t cr_at;

    v->mark = 0;
    v->null = false;
    v->children = 0;
    if (head < r->in.len && in[head] == REPLY_MARK) {
        if (r->in.len - head < 2) {
            return PARSE_MORE;
        }
        v->mark = in[head + 1];
        head += 2;
    }
    if (head >= r->in.len) {
        return PARSE_MORE;
    }
    v->type = in[head];
    if (memchr("+-:$_#,(=!*~%>|", v->type, 15) == NULL) {
        return PARSE_BAD;
    }
    cr = memchr(in + head, '\r', r->in.len - head);
    if (cr == NULL || (cr_at = (size_t)(cr - in)) + 1 == r->in.len) {
        return PARSE_MORE;
    }
    if (cr[1] != '\n') {
        return PARSE_BAD;
    }
    switch (v->type) {
    case '$':
    case '=':
    case '!':
        return read_bulk(r, v, head, cr_at);
    case '*':
    case '~':
    case '%':
    case '>':
    case '|':
        return read_aggregate(r, v, head, cr_at);
    case '_':
        v->null = true;
        break;
    default:
        break;
    }
    v->text = (struct slice){in + head + 1, cr_at - head - 1};
    r->at = cr_at + 2;
    return PARSE_DONE;
}

/* Skips `left` values. r->at is moved only if all of them are there. */
static enum parse skip_values(struct resp_reader *r, uint64_t left)
{
    struct resp_reader ahead = *r;

    while (left > 0) {
        struct resp_value v;
        enum parse p = resp_reply_next(&ahead, &v);

        if (p != PARSE_DONE) {
            return p;
        }
        left += v.children - (v.type != '|');
    }
    r->at = ahead.at;
    return PARSE_DONE;
}

enum parse resp_reply_skip(struct resp_reader *r)
{
    return skip_values(r, 1);
}

/* What the children of an aggregate need in RESP2. */
enum around { AS_IS, PAIRED /* "*2" before every other one */, UNPAIRED /* their heads go */ };

struct level {
    uint64_t left;
    enum around around;
};

struct converter {
    struct resp_reader r;
    struct buf *out;
    size_t run; /* from here to the value at hand the bytes are copied as they are */
    uint32_t depth;
    struct level levels[RESP_REPLY_DEPTH_MAX];
};

static int flush_run(struct converter *c, size_t to)
{
    return buf_append(c->out, c->r.in.ptr + c->run, to - c->run);
}

/* What is copied as it is goes in pieces, too. */
static int flush_run_so_far(struct converter *c)
{
    int err = flush_run(c, c->r.at);

    c->run = c->r.at;
    return err;
}

/* Head of a bulk or array, in place of what stood there. */
static int put_head(struct buf *out, char type, uint64_t n)
{
    if (buf_reserve(out, BUF_I64_MAX + 3) != OK) {
        return ERR_NOMEM;
    }
    buf_append_char_nofail(out, type);
    out->len += buf_put_u64(out->ptr + out->len, n);
    buf_append_nofail(out, "\r\n", 2);
    return OK;
}

static int put_bulk(struct buf *out, struct slice text)
{
    if (buf_reserve(out, text.len + BUF_I64_MAX + 5) != OK) {
        return ERR_NOMEM;
    }
    buf_append_char_nofail(out, '$');
    out->len += buf_put_u64(out->ptr + out->len, text.len);
    buf_append_nofail(out, "\r\n", 2);
    buf_append_nofail(out, text.ptr, text.len);
    buf_append_nofail(out, "\r\n", 2);
    return OK;
}

/* A bulk error has no RESP2 form; as a line it must not hold line ends. */
static int put_error(struct buf *out, struct slice text)
{
    if (buf_reserve(out, text.len + 3) != OK) {
        return ERR_NOMEM;
    }
    buf_append_char_nofail(out, '-');
    for (size_t i = 0; i < text.len; i++) {
        char ch = text.ptr[i];

        buf_append_char_nofail(out, ch == '\r' || ch == '\n' ? ' ' : ch);
    }
    buf_append_nofail(out, "\r\n", 2);
    return OK;
}

/* Whether RESP2 has the value, and writes it in the same way but for a mark that says nothing there. */
static bool same_in_2(const struct resp_value *v)
{
    return memchr("+-:$*", v->type, 5) != NULL &&
           (v->type != '*' || v->mark != REPLY_MARK_FLAT_PAIRS);
}

static int put_value(struct buf *out, const struct resp_value *v)
{
    struct slice text = v->text;

    switch (v->type) {
    case '_':
        return buf_append_str(out, v->mark == REPLY_MARK_NULL_ARRAY ? "*-1\r\n" : "$-1\r\n");
    case '#':
        return buf_append_str(out, slice_is(text, SLICE("t")) ? ":1\r\n" : ":0\r\n");
    case '=':
        return put_bulk(out, (struct slice){text.ptr + 4, text.len - 4});
    case '!':
        return put_error(out, text);
    case '*':
    case '~':
    case '>':
        /* Of these only an array marked flat comes here for its mark: same_in_2(). */
        return put_head(out, '*', v->type == '*' ? 2 * v->children : v->children);
    case '%':
        return put_head(out, '*',
                        v->mark == REPLY_MARK_MAP_OF_PAIRS ? v->children / 2 : v->children);
    default: /* , ( */
        return put_bulk(out, text);
    }
}

static enum around around_children(const struct resp_value *v)
{
    if (v->type == '%' && v->mark == REPLY_MARK_MAP_OF_PAIRS) {
        return PAIRED;
    }
    return v->type == '*' && v->mark == REPLY_MARK_FLAT_PAIRS ? UNPAIRED : AS_IS;
}

/* One value, which began at `start` and has been read. */
static int convert_value(struct converter *c, size_t start, const struct resp_value *v)
{
    struct level *up = c->depth > 0 ? &c->levels[c->depth - 1] : NULL;
    bool headless = false;

    if (v->type == '|') { /* what it is about follows and takes its place */
        if (flush_run(c, start) != OK) {
            return ERR_NOMEM;
        }
        if (skip_values(&c->r, v->children) != PARSE_DONE) {
            return ERR_CORRUPT;
        }
        c->run = c->r.at;
        return OK;
    }
    if (up != NULL) {
        if (up->around == PAIRED && up->left % 2 == 0) {
            if (flush_run(c, start) != OK || buf_append(c->out, "*2\r\n", 4) != OK) {
                return ERR_NOMEM;
            }
            c->run = start;
        }
        headless = up->around == UNPAIRED;
        if (headless && (v->type != '*' || v->children != 2 || v->mark != 0)) {
            return ERR_CORRUPT;
        }
        up->left--;
    }
    if (headless || !same_in_2(v)) {
        if (flush_run(c, start) != OK || (!headless && put_value(c->out, v) != OK)) {
            return ERR_NOMEM;
        }
        c->run = c->r.at;
    } else if (v->mark != 0) {
        if (flush_run(c, start) != OK) {
            return ERR_NOMEM;
        }
        c->run = start + 2;
    }
    if (v->children > 0) {
        if (c->depth == RESP_REPLY_DEPTH_MAX) {
            return ERR_LIMIT;
        }
        c->levels[c->depth++] = (struct level){v->children, around_children(v)};
    }
    while (c->depth > 0 && c->levels[c->depth - 1].left == 0) {
        c->depth--;
    }
    return OK;
}

/* tick() is called after so many values. */
enum { TICK_VALUES = 8 };

static bool no_tick(size_t work)
{
    (void)work;
    return true;
}

static int to2(struct slice resp3, struct buf *out, bool (*tick)(size_t work))
{
    struct converter c;
    uint32_t n = 0;

    if (resp3.len == 0) {
        return OK; /* ptr may be NULL */
    }
    c.r = (struct resp_reader){resp3, 0};
    c.out = out;
    c.run = 0;
    c.depth = 0;
    if (buf_reserve(out, resp3.len + resp3.len / 4) != OK) {
        return ERR_NOMEM;
    }
    while (c.r.at < resp3.len) {
        struct resp_value v;
        size_t start = c.r.at;
        int err;

        if (resp_reply_next(&c.r, &v) != PARSE_DONE) {
            return ERR_CORRUPT;
        }
        err = convert_value(&c, start, &v);
        if (err != OK) {
            return err;
        }
        if (++n % TICK_VALUES == 0) {
            if (!tick(TICK_VALUES)) {
                return ERR_FULL;
            }
            if (flush_run_so_far(&c) != OK) {
                return ERR_NOMEM;
            }
        }
    }
    return c.depth > 0 ? ERR_CORRUPT : flush_run(&c, resp3.len);
}

int resp_reply_to2(struct slice resp3, struct buf *out)
{
    return to2(resp3, out, no_tick);
}

static int strip(struct slice resp3, struct buf *out, bool (*tick)(size_t work))
{
    struct resp_reader r = {resp3, 0};
    size_t run = 0;
    uint32_t n = 0;

    if (resp3.len == 0) {
        return OK;
    }
    if (buf_reserve(out, resp3.len) != OK) {
        return ERR_NOMEM;
    }
    while (r.at < resp3.len) {
        struct resp_value v;
        size_t start = r.at;

        if (resp_reply_next(&r, &v) != PARSE_DONE) {
            return ERR_CORRUPT;
        }
        if (v.mark != 0) {
            buf_append_nofail(out, resp3.ptr + run, start - run);
            run = start + 2;
        }
        if (++n % TICK_VALUES == 0 && !tick(TICK_VALUES)) {
            return ERR_FULL;
        }
    }
    buf_append_nofail(out, resp3.ptr + run, resp3.len - run);
    return OK;
}

int resp_reply_strip(struct slice resp3, struct buf *out)
{
    return strip(resp3, out, no_tick);
}

void resp_reply_settle_ahead(struct reply *r, size_t from, uint8_t protocol,
                             bool (*tick)(size_t work))
{
    struct buf out = {0};
    int err = buf_append(&out, r->out.ptr, from);

    if (r->failed) {
        buf_fini(&out);
        return;
    }
    if (err == OK) {
        struct slice resp3 = {r->out.ptr + from, r->out.len - from};

        err = protocol == 2 ? to2(resp3, &out, tick) : strip(resp3, &out, tick);
    }
    if (err != OK) {
        buf_fini(&out);
        r->failed = true;
        return;
    }
    buf_fini(&r->out);
    r->out = out;
    r->flags &= ~(uint32_t)(REPLY_DIFFERS | REPLY_DIFFERS_MORE | REPLY_MARKED);
}

static void settle(struct reply *r, size_t from, struct buf *scratch,
                   int (*turn)(struct slice resp3, struct buf *out))
{
    if (r->failed) {
        return; /* it may end in the middle; the door closes */
    }
    buf_clear(scratch);
    if (turn((struct slice){r->out.ptr + from, r->out.len - from}, scratch) != OK) {
        r->failed = true;
        return;
    }
    r->out.len = from;
    if (buf_append_slice(&r->out, buf_slice(scratch)) != OK) {
        r->failed = true;
    }
}

/* Of a map or set of a million members only the head differs: it alone is written anew. False: it is not
 * such a reply. */
static bool settle_head(struct reply *r, size_t from)
{
    struct resp_reader in = {{r->out.ptr + from, r->out.len - from}, 0};
    struct resp_value v;
    struct buf head = {0};

    if ((r->flags & (REPLY_DIFFERS | REPLY_DIFFERS_MORE | REPLY_MARKED)) != REPLY_DIFFERS ||
        r->failed || (r->out.ptr[from] != '%' && r->out.ptr[from] != '~') ||
        resp_reply_next(&in, &v) != PARSE_DONE) {
        return false;
    }
    if (buf_printf(&head, "*%llu\r\n", (unsigned long long)v.children) != OK ||
        buf_reserve(&r->out, head.len) != OK) {
        r->failed = true;
    } else {
        char *at = r->out.ptr + from;

        if (head.len != in.at) {
            buf_move(at + head.len, at + in.at, r->out.len - from - in.at);
        }
        memcpy(at, head.ptr, head.len);
        r->out.len += head.len - in.at;
    }
    buf_fini(&head);
    return true;
}

HOT void resp_reply_settle2(struct reply *r, size_t from, struct buf *scratch)
{
    /* A miss: by far the most frequent reply that differs. */
    if (LIKELY(r->out.len - from == 3) && r->out.ptr[from] == '_' &&
        buf_reserve(&r->out, 2) == OK) {
        memcpy(r->out.ptr + from, "$-1\r\n", 5);
        r->out.len = from + 5;
        return;
    }
    if (!settle_head(r, from)) {
        settle(r, from, scratch, resp_reply_to2);
    }
}

void resp_reply_settle3(struct reply *r, size_t from, struct buf *scratch)
{
    settle(r, from, scratch, resp_reply_strip);
}
