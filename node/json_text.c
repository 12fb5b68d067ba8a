/* json_text.c - reads text; json_print.c writes it. */
#include "node/json_text.h"

#include "base/err.h"
#include "base/utf8.h"
#include "node/slices.h"
#include "proto/number.h"

#include <math.h>
#include <stdlib.h>

enum {
    NUMBER_BYTES_MAX = 1024, /* of a number's text; no double needs more than 770 digits */
    NAMES_FEW = 12           /* so many are compared each with each */
};

/* What is expected next. */
enum state { WANT_VALUE, WANT_VALUE_OR_END, WANT_NAME, WANT_NAME_OR_END, WANT_MORE };

struct open {
    size_t at; /* of the head in out */
    uint32_t count;
    bool object;
};

struct parser {
    const char *begin, *at, *end;
    struct buf *out;
    struct json_fault *fault;
    struct open stack[JSON_DEPTH_MAX];
    unsigned depth;
};

static bool fail_at(struct parser *p, const char *at, const char *what)
{
    size_t line = 1;
    const char *begin = p->begin;

    for (const char *c = begin; c < at; c++) {
        if (*c == '\n') {
            line++;
            begin = c + 1;
        }
    }
    *p->fault = (struct json_fault){what, line, (size_t)(at - begin) + (at < p->end ? 1 : 0)};
    return false;
}

static bool fail(struct parser *p, const char *what)
{
    return fail_at(p, p->at, what);
}

static bool no_memory(struct parser *p)
{
    *p->fault = (struct json_fault){NULL, 0, 0};
    return false;
}

static bool made(struct parser *p, int err)
{
    return err == OK ? true : no_memory(p);
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->end &&
           (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r')) {
        p->at++;
    }
}

/* ---- Strings ---- */

/* Bytes of one character of UTF-8 at `at`; 0: it is none (RFC 3629). */
static size_t utf8_bytes(const unsigned char *at, const unsigned char *end)
{
    size_t n = *at < 0x80   ? 1
               : *at < 0xc2 ? 0
               : *at < 0xe0 ? 2
               : *at < 0xf0 ? 3
               : *at < 0xf5 ? 4
                            : 0;

    if (n == 0 || (size_t)(end - at) < n) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f)) {
        return 0; /* too long a form, a surrogate, or beyond the last */
    }
    return n;
}

static bool hex4(struct parser *p, unsigned *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        char c = p->at < p->end ? *p->at : '\0';
        char low = slice_lower(c);

        if (!((c >= '0' && c <= '9') || (low >= 'a' && low <= 'f'))) {
            return fail(p, p->at == p->end ? "EOF while parsing a string" : "invalid escape");
        }
        *out = *out << 4 | (unsigned)(c <= '9' ? c - '0' : low - 'a' + 10);
        p->at++;
    }
    return true;
}

/* Behind "\u". */
static bool read_code(struct parser *p, unsigned *out)
{
    unsigned low;

    if (!hex4(p, out)) {
        return false;
    }
    if (*out < 0xd800 || *out > 0xdfff) {
        return true;
    }
    if (*out > 0xdbff || p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u') {
        return fail(p, *out > 0xdbff ? "lone trailing surrogate in hex escape"
                                     : "lone leading surrogate in hex escape");
    }
    p->at += 2;
    if (!hex4(p, &low)) {
        return false;
    }
    if (low < 0xdc00 || low > 0xdfff) {
        return fail(p, "lone leading surrogate in hex escape");
    }
    *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* At the letter behind the backslash. There is room. */
static bool read_escape(struct parser *p)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char means[] = "\"\\/\b\f\n\r\t";
    unsigned code;

    if (p->at == p->end) {
        return fail(p, "EOF while parsing a string");
    }
    if (*p->at == 'u') {
        p->at++;
        if (!read_code(p, &code)) {
            return false;
        }
        p->out->len += utf8_put(p->out->ptr + p->out->len, code);
        return true;
    }
    const char *found = *p->at == '\0' ? NULL : strchr(letters, *p->at);

    if (found == NULL) {
        return fail(p, "invalid escape");
    }
    buf_append_char_nofail(p->out, means[found - letters]);
    p->at++;
    return true;
}

/* Up to the next escape or the end's quote. */
static bool skip_plain(struct parser *p)
{
    while (p->at < p->end && *p->at != '"' && *p->at != '\\') {
        unsigned char c = (unsigned char)*p->at;

        if (c < 0x20) {
            return fail(p, "control character (\\u0000-\\u001F) found while parsing a string");
        }
        size_t n =
            c < 0x80 ? 1 : utf8_bytes((const unsigned char *)p->at, (const unsigned char *)p->end);

        if (n == 0) {
            return fail(p, "invalid unicode code point");
        }
        p->at += n;
    }
    return p->at < p->end ? true : fail(p, "EOF while parsing a string");
}

/* With escapes, from where its text begins: put behind room for its length, then moved to it. */
static bool read_escaped(struct parser *p, const char *begin)
{
    size_t at = p->out->len;
    const char *from = begin;

    if (buf_reserve(p->out, PACKED_LENGTH_MAX) != OK) {
        return no_memory(p);
    }
    p->out->len += PACKED_LENGTH_MAX;
    for (;;) {
        /* An escape is at least as long as what it means. */
        if (buf_reserve(p->out, (size_t)(p->at - from) + 8) != OK) {
            return no_memory(p);
        }
        buf_append_nofail(p->out, from, (size_t)(p->at - from));
        if (*p->at == '"') {
            break;
        }
        p->at++;
        if (!read_escape(p)) {
            return false;
        }
        from = p->at;
        if (!skip_plain(p)) {
            return false;
        }
    }
    size_t len = p->out->len - at - PACKED_LENGTH_MAX;
    size_t head = (size_t)(packed_write_length(p->out->ptr + at, len) - p->out->ptr) - at;

    buf_move(p->out->ptr + at + head, p->out->ptr + at + PACKED_LENGTH_MAX, len);
    p->out->len = at + head + len;
    p->at++;
    return true;
}

/* At the quote: its length and bytes to out. */
static bool read_string(struct parser *p)
{
    const char *begin = ++p->at;

    if (!skip_plain(p)) {
        return false;
    }
    if (*p->at == '\\') {
        return read_escaped(p, begin);
    }
    struct slice s = {begin, (size_t)(p->at - begin)};

    p->at++;
    return made(p, json_put_name(p->out, s));
}

/* ---- Numbers ---- */

static size_t skip_digits(struct parser *p)
{
    const char *from = p->at;

    while (p->at < p->end && *p->at >= '0' && *p->at <= '9') {
        p->at++;
    }
    return (size_t)(p->at - from);
}

static bool bad_number(struct parser *p)
{
    return fail(p, p->at == p->end ? "EOF while parsing a value" : "invalid number");
}

/* Moves behind it. False: not well-formed. */
static bool skip_number(struct parser *p, bool *is_double)
{
    *is_double = false;
    p->at += *p->at == '-';
    if (p->at < p->end && *p->at == '0') {
        p->at++;
        if (p->at < p->end && *p->at >= '0' && *p->at <= '9') {
            return bad_number(p);
        }
    } else if (skip_digits(p) == 0) {
        return bad_number(p);
    }
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        *is_double = true;
        if (skip_digits(p) == 0) {
            return bad_number(p);
        }
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        *is_double = true;
        p->at += p->at < p->end && (*p->at == '+' || *p->at == '-');
        if (skip_digits(p) == 0) {
            return bad_number(p);
        }
    }
    return true;
}

static bool read_number(struct parser *p)
{
    const char *begin = p->at;
    char text[NUMBER_BYTES_MAX + 1];
    bool is_double;
    int64_t n;
    uint64_t u;

    if (!skip_number(p, &is_double)) {
        return false;
    }
    struct slice s = {begin, (size_t)(p->at - begin)};

    /* "-0" is a double, as only there it is another than 0. */
    if (!is_double && number_parse_int(s, &n)) {
        return made(p, json_put_int(p->out, n));
    }
    if (!is_double && number_parse_uint(s, &u)) {
        return made(p, json_put_uint(p->out, u));
    }
    if (s.len > NUMBER_BYTES_MAX) {
        return fail_at(p, begin, "number out of range");
    }
    double d;

    if (!number_parse_score(s, &d)) { /* which refuses what is too small, too */
        memcpy(text, s.ptr, s.len);
        text[s.len] = '\0';
        d = strtod(text, NULL);
    }
    return isfinite(d) ? made(p, json_put_double(p->out, d))
                       : fail_at(p, begin, "number out of range");
}

/* ---- Containers ---- */

static bool push(struct parser *p, bool object)
{
    if (p->depth == JSON_DEPTH_MAX) {
        return fail(p, "recursion limit exceeded");
    }
    struct open *o = &p->stack[p->depth++];

    *o = (struct open){.object = object};
    p->at++;
    return made(p, json_put_begin(p->out, object ? JSON_OBJECT : JSON_ARRAY, &o->at));
}

static bool few_differ(const char *object)
{
    struct slice names[NAMES_FEW];
    struct json_walk w;
    struct json_child child;
    uint32_t n = 0;

    json_walk_begin(object, &w);
    while (json_walk_next(&w, &child)) {
        for (uint32_t i = 0; i < n; i++) {
            if (slice_is(names[i], child.name)) {
                return false;
            }
        }
        names[n++] = child.name;
    }
    return true;
}

static struct slice name_at(const char *at)
{
    struct slice name;

    name.ptr = packed_read_length(at, &name.len);
    return name;
}

/* By hash, then place: whether no name comes twice. Notes with the first of each name where the last
 * one's value is, and 0 with the others. */
static bool names_differ(struct json_names *n)
{
    bool differ = true;
    uint32_t group = 0;

    for (uint32_t i = 0; i < n->count; i++) {
        group = n->v[i].hash == n->v[group].hash ? group : i;
        struct slice name = name_at(n->object + n->v[i].at);
        uint32_t value_at = (uint32_t)(name.ptr + name.len - n->object);

        n->v[i].value_at = value_at;
        for (uint32_t k = group; k < i; k++) {
            if (n->v[k].value_at != 0 && slice_is(name_at(n->object + n->v[k].at), name)) {
                n->v[k].value_at = value_at;
                n->v[i].value_at = 0;
                differ = false;
                break;
            }
        }
    }
    return differ;
}

static int by_place(const void *a, const void *b)
{
    const struct json_name *x = a;
    const struct json_name *y = b;

    return (x->at > y->at) - (x->at < y->at);
}

/* Writes the object, which is out's last, once more, with what names_differ() noted. */
static int drop_twins(struct parser *p, struct open *o, struct json_names *n)
{
    struct slice old = {p->out->ptr + o->at, p->out->len - o->at};
    struct buf now = {0};
    int err = buf_append(&now, old.ptr, JSON_HEAD);

    o->count = 0;
    qsort(n->v, n->count, sizeof(n->v[0]), by_place);
    for (uint32_t i = 0; i < n->count && err == OK; i++) {
        if (n->v[i].value_at != 0) {
            err = json_put_name(&now, name_at(n->object + n->v[i].at));
            err =
                err == OK ? buf_append_slice(&now, json_slice(n->object + n->v[i].value_at)) : err;
            o->count++;
        }
    }
    if (err == OK) {
        memcpy(p->out->ptr + o->at, now.ptr, now.len);
        p->out->len = o->at + now.len;
        json_put_end(p->out, o->at, o->count);
    }
    buf_fini(&now);
    return err;
}

static bool pop(struct parser *p)
{
    struct open *o = &p->stack[--p->depth];
    struct json_names names;

    p->at++;
    if (p->out->len - o->at > JSON_BYTES_MAX) {
        return fail(p, "document too large");
    }
    json_put_end(p->out, o->at, o->count);
    if (!o->object || (o->count <= NAMES_FEW && few_differ(p->out->ptr + o->at))) {
        return true;
    }
    int err = json_names_make(&names, p->out->ptr + o->at);

    if (err == OK && !names_differ(&names)) {
        err = drop_twins(p, o, &names);
    }
    json_names_fini(&names);
    return made(p, err);
}

/* ---- Values ---- */

static bool read_word(struct parser *p)
{
    static const struct {
        struct slice text;
        enum json_tag tag;
    } words[] = {
        {SLICE("null"), JSON_NULL}, {SLICE("false"), JSON_FALSE}, {SLICE("true"), JSON_TRUE}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (*p->at != words[i].text.ptr[0]) {
            continue;
        }
        for (size_t k = 0; k < words[i].text.len; k++, p->at++) {
            if (p->at == p->end) {
                return fail(p, "EOF while parsing a value");
            }
            if (*p->at != words[i].text.ptr[k]) {
                return fail(p, "expected ident");
            }
        }
        return made(p, json_put_tag(p->out, words[i].tag));
    }
    return fail(p, "expected value");
}

/* Anything but a container, which is pushed. */
static bool read_value(struct parser *p, enum state *next)
{
    *next = WANT_MORE;
    switch (*p->at) {
    case '{':
        *next = WANT_NAME_OR_END;
        return push(p, true);
    case '[':
        *next = WANT_VALUE_OR_END;
        return push(p, false);
    case '"':
        return made(p, json_put_tag(p->out, JSON_STRING)) && read_string(p);
    default:
        return *p->at == '-' || (*p->at >= '0' && *p->at <= '9') ? read_number(p) : read_word(p);
    }
}

static bool read_name(struct parser *p)
{
    if (*p->at != '"') {
        return fail(p, "key must be a string");
    }
    if (!read_string(p)) {
        return false;
    }
    skip_blanks(p);
    if (p->at == p->end) {
        return fail(p, "EOF while parsing an object");
    }
    if (*p->at != ':') {
        return fail(p, "expected `:`");
    }
    p->at++;
    return true;
}

/* Behind a value in a container: a comma, or its end. */
static bool read_more(struct parser *p, enum state *next)
{
    struct open *o = &p->stack[p->depth - 1];

    if (*p->at == ',') {
        p->at++;
        *next = o->object ? WANT_NAME : WANT_VALUE;
        return true;
    }
    if (*p->at != (o->object ? '}' : ']')) {
        return fail(p, o->object ? "expected `,` or `}`" : "expected `,` or `]`");
    }
    return pop(p);
}

static const char *eof_text(const struct parser *p, enum state state)
{
    if (p->depth == 0 || state == WANT_VALUE) {
        return "EOF while parsing a value";
    }
    return p->stack[p->depth - 1].object ? "EOF while parsing an object"
                                         : "EOF while parsing a list";
}

static bool step(struct parser *p, enum state *state)
{
    bool is_end = *p->at == '}' || *p->at == ']';

    switch (*state) {
    case WANT_VALUE_OR_END:
        if (*p->at == ']') {
            *state = WANT_MORE;
            return pop(p);
        }
        break;
    case WANT_NAME_OR_END:
    case WANT_NAME:
        if (*p->at == '}' && *state == WANT_NAME_OR_END) {
            *state = WANT_MORE;
            return pop(p);
        }
        if (is_end) {
            return fail(p, "trailing comma");
        }
        *state = WANT_VALUE;
        p->stack[p->depth - 1].count++;
        return read_name(p);
    case WANT_MORE:
        return read_more(p, state);
    case WANT_VALUE:
        if (is_end && p->depth > 0 && !p->stack[p->depth - 1].object) {
            return fail(p, "trailing comma");
        }
        break;
    }
    if (p->depth > 0 && !p->stack[p->depth - 1].object) {
        p->stack[p->depth - 1].count++;
    }
    return read_value(p, state);
}

static bool parse(struct parser *p)
{
    enum state state = WANT_VALUE;

    do {
        if (!slices_tick(2)) {
            return no_memory(p); /* given up */
        }
        skip_blanks(p);
        if (p->at == p->end) {
            return fail(p, eof_text(p, state));
        }
        if (!step(p, &state)) {
            return false;
        }
    } while (p->depth > 0);
    skip_blanks(p);
    return p->at == p->end ? true : fail(p, "trailing characters");
}

bool json_parse(struct slice text, struct buf *out, struct json_fault *fault)
{
    struct parser p = {.begin = text.ptr, .at = text.ptr, .out = out, .fault = fault};
    size_t len = out->len;

    p.end = text.ptr + text.len;
    if (parse(&p)) {
        if (out->len - len <= JSON_BYTES_MAX) {
            return true;
        }
        (void)fail(&p, "document too large");
    }
    out->len = len;
    return false;
}
