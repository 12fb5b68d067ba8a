/* json_path.c - reads a path into steps; json_match.c follows them. */
#include "node/json_path.h"

#include "base/err.h"
#include "base/parse.h"
#include "node/json_path_parts.h"
#include "node/json_text.h"
#include "proto/number.h"

#include <stdio.h>

struct reader {
    const char *begin, *at, *end;
    struct json_path *path;
    char *fault;
    bool in_filter; /* its steps are `inner`, and choose one value */
};

static bool fail(struct reader *r, const char *what)
{
    (void)snprintf(r->fault, JSON_FAULT_BYTES, "JSONPath: %s at position %zu", what,
                   (size_t)(r->at - r->begin) + 1);
    return false;
}

static bool made(struct reader *r, int err)
{
    if (err != OK) {
        r->fault[0] = '\0';
    }
    return err == OK;
}

static char peek(const struct reader *r)
{
    return r->at < r->end ? *r->at : '\0';
}

static bool take(struct reader *r, const char *token)
{
    size_t n = strlen(token);

    if ((size_t)(r->end - r->at) < n || memcmp(r->at, token, n) != 0) {
        return false;
    }
    r->at += n;
    return true;
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) {
        r->at++;
    }
}

static uint32_t parts_count(const struct json_path *p)
{
    return (uint32_t)(p->parts.len / sizeof(struct json_part));
}

static uint32_t terms_count(const struct json_path *p)
{
    return (uint32_t)(p->terms.len / sizeof(struct json_term));
}

static bool add_part(struct reader *r, struct json_part part)
{
    return made(r, buf_append(&r->path->parts, &part, sizeof(part)));
}

static bool add_step(struct reader *r, struct json_step s)
{
    struct buf *to = r->in_filter ? &r->path->inner : &r->path->steps;

    if (to->len / sizeof(s) >= (r->in_filter ? JSON_PATH_BYTES : JSON_PATH_STEPS)) {
        return fail(r, "too many steps");
    }
    if (r->in_filter && (s.descends || (s.kind != JSON_STEP_NAME && s.kind != JSON_STEP_INDEX))) {
        return fail(r, "a path in a filter chooses one value");
    }
    if (s.descends || (s.kind != JSON_STEP_NAME && s.kind != JSON_STEP_INDEX)) {
        r->path->is_definite = false;
    }
    return made(r, buf_append(to, &s, sizeof(s)));
}

/* ---- Names ---- */

static bool add_name(struct reader *r, struct slice name)
{
    struct json_part part = {.kind = JSON_PART_NAME,
                             .at = (uint32_t)r->path->names.len,
                             .len = (uint32_t)name.len};

    return made(r, buf_append_slice(&r->path->names, name)) && add_part(r, part);
}

/* What was quoted, with escapes: as JSON would have it, in double quotes. Escapes that JSON does not know
 * stay as they are (those of regular expressions). */
static bool unescape(struct reader *r, struct slice raw, struct buf *out)
{
    struct json_fault unused;
    struct buf text = {0};
    int err = buf_append_char(&text, '"');

    for (size_t i = 0; i < raw.len && err == OK; i++) {
        char c = raw.ptr[i];

        if (c == '\\' && raw.ptr[i + 1] == '\'') {
            continue; /* the quote follows */
        }
        if (c == '\\') {
            err = buf_append(&text, raw.ptr + i, 2);
            i++;
            continue;
        }
        err = c == '"' ? buf_append_char(&text, '\\') : OK;
        err = err == OK ? buf_append_char(&text, c) : err;
    }
    err = err == OK ? buf_append_char(&text, '"') : err;
    size_t len = out->len;

    if (err == OK && !json_parse(buf_slice(&text), out, &unused)) {
        out->len = len;
        err = json_put_string(out, raw);
    }
    buf_fini(&text);
    return made(r, err);
}

/* At the quote. Appends the string as a value. */
static bool read_quoted(struct reader *r, struct buf *out)
{
    char quote = *r->at++;
    const char *begin = r->at;
    bool escapes = false;

    while (r->at < r->end && *r->at != quote) {
        if (*r->at == '\\') {
            escapes = true;
            r->at++;
        }
        r->at += r->at < r->end;
    }
    if (r->at == r->end) {
        return fail(r, "a string does not end");
    }
    struct slice raw = {begin, (size_t)(r->at - begin)};

    r->at++;
    return escapes ? unescape(r, raw, out) : made(r, json_put_string(out, raw));
}

static bool add_quoted_name(struct reader *r)
{
    struct buf value = {0};
    bool fine = read_quoted(r, &value);

    fine = fine && add_name(r, json_string(value.ptr));
    buf_fini(&value);
    return fine;
}

static bool is_name_char(char c)
{
    return (unsigned char)c > ' ' && strchr(".[]()*?@'\",:=<>!&|~", c) == NULL;
}

static bool read_plain_name(struct reader *r, bool descends)
{
    struct json_step s = {JSON_STEP_NAME, descends, parts_count(r->path), 1};
    const char *begin = r->at;

    while (r->at < r->end && is_name_char(*r->at)) {
        r->at++;
    }
    if (r->at == begin) {
        return fail(r, "a name, `*` or `[` was expected");
    }
    return add_name(r, (struct slice){begin, (size_t)(r->at - begin)}) && add_step(r, s);
}

/* ---- Brackets ---- */

static bool read_int(struct reader *r, int64_t *out, bool *has)
{
    const char *begin = r->at;

    r->at += peek(r) == '-';
    while (peek(r) >= '0' && peek(r) <= '9') {
        r->at++;
    }
    *has = r->at > begin;
    if (*has && !parse_i64((struct slice){begin, (size_t)(r->at - begin)}, out)) {
        r->at = begin;
        return fail(r, "an index is no 64-bit number");
    }
    skip_blanks(r);
    return true;
}

/* An index or a slice. */
static bool read_range(struct reader *r)
{
    struct json_part part = {.kind = JSON_PART_INDEX, .step = 1};
    bool has_step;

    if (!read_int(r, &part.from, &part.has_from)) {
        return false;
    }
    if (!take(r, ":")) {
        return part.has_from ? add_part(r, part)
                             : fail(r, "a name in quotes, an index, `*` or `?` was expected");
    }
    part.kind = JSON_PART_SLICE;
    skip_blanks(r);
    if (!read_int(r, &part.to, &part.has_to)) {
        return false;
    }
    if (take(r, ":")) {
        skip_blanks(r);
        if (!read_int(r, &part.step, &has_step)) {
            return false;
        }
        part.step = has_step ? part.step : 1;
    }
    return add_part(r, part);
}

static bool read_parts(struct reader *r)
{
    do {
        skip_blanks(r);
        bool quoted = peek(r) == '\'' || peek(r) == '"';

        if (quoted ? !add_quoted_name(r) : !read_range(r)) {
            return false;
        }
        skip_blanks(r);
    } while (take(r, ","));
    return true;
}

static bool read_filter(struct reader *r, struct json_step *s);

/* Behind the bracket. */
static bool read_bracket(struct reader *r, bool descends)
{
    struct json_step s = {JSON_STEP_UNION, descends, parts_count(r->path), 0};

    skip_blanks(r);
    if (take(r, "*")) {
        s.kind = JSON_STEP_WILD;
        skip_blanks(r);
    } else if (take(r, "?")) {
        if (!read_filter(r, &s)) {
            return false;
        }
    } else {
        if (!read_parts(r)) {
            return false;
        }
        s.count = parts_count(r->path) - s.first;
        enum json_part_kind kind = json_part_at(r->path, s.first)->kind;

        if (s.count == 1 && kind != JSON_PART_SLICE) {
            s.kind = kind == JSON_PART_NAME ? JSON_STEP_NAME : JSON_STEP_INDEX;
        }
    }
    return take(r, "]") ? add_step(r, s) : fail(r, "`]` was expected");
}

/* Behind what it begins with; ends at what is no step. */
static bool read_steps(struct reader *r)
{
    while (r->at < r->end && (*r->at == '.' || *r->at == '[')) {
        bool descends = take(r, "..");
        bool fine;

        if (!descends) {
            (void)take(r, ".");
        }
        if (take(r, "[")) {
            fine = read_bracket(r, descends);
        } else if (take(r, "*")) {
            fine = add_step(r, (struct json_step){JSON_STEP_WILD, descends, 0, 0});
        } else {
            fine = read_plain_name(r, descends);
        }
        if (!fine) {
            return false;
        }
    }
    return true;
}

/* ---- Filters ---- */

struct waiting {
    enum json_term_kind v[JSON_FILTER_DEPTH];
    unsigned n;
};

static bool emit(struct reader *r, enum json_term_kind kind, uint32_t at, uint32_t count)
{
    struct json_term t = {kind, at, count};

    return made(r, buf_append(&r->path->terms, &t, sizeof(t)));
}

static bool push(struct reader *r, struct waiting *w, enum json_term_kind kind)
{
    if (w->n == JSON_FILTER_DEPTH) {
        return fail(r, "a filter is nested too deeply");
    }
    w->v[w->n++] = kind;
    return true;
}

/* Those that bind as strongly are carried out. */
static bool settle(struct reader *r, struct waiting *w, enum json_term_kind weakest)
{
    while (w->n > 0 && w->v[w->n - 1] != JSON_TERM_OPEN && w->v[w->n - 1] <= weakest) {
        if (!emit(r, w->v[--w->n], 0, 0)) {
            return false;
        }
    }
    return true;
}

static bool read_literal(struct reader *r)
{
    uint32_t at = (uint32_t)r->path->names.len;
    struct json_fault unused;
    const char *begin = r->at;

    if (peek(r) == '\'' || peek(r) == '"') {
        return read_quoted(r, &r->path->names) && emit(r, JSON_TERM_VALUE, at, 0);
    }
    while (r->at < r->end && strchr("+-.", *r->at) != NULL) {
        r->at++;
    }
    while (r->at < r->end && (is_name_char(*r->at) || *r->at == '.')) {
        r->at++;
    }
    struct slice text = {begin, (size_t)(r->at - begin)};
    bool is_scalar = text.len > 0 && *begin != '{';

    if (!is_scalar || !json_parse(text, &r->path->names, &unused)) {
        r->at = begin;
        return fail(r, "a value or a path was expected");
    }
    return emit(r, JSON_TERM_VALUE, at, 0);
}

static bool read_operand(struct reader *r)
{
    skip_blanks(r);
    if (peek(r) != '@' && peek(r) != '$') {
        return read_literal(r);
    }
    enum json_term_kind kind = *r->at++ == '@' ? JSON_TERM_ELEMENT : JSON_TERM_DOCUMENT;
    uint32_t first = (uint32_t)(r->path->inner.len / sizeof(struct json_step));

    r->in_filter = true;
    bool fine = read_steps(r);

    r->in_filter = false;
    return fine &&
           emit(r, kind, first, (uint32_t)(r->path->inner.len / sizeof(struct json_step)) - first);
}

static bool read_comparison(struct reader *r)
{
    static const struct {
        const char *token;
        enum json_term_kind kind;
    } operators[] = {{"==", JSON_TERM_EQ}, {"!=", JSON_TERM_NE}, {"<=", JSON_TERM_LE},
                     {">=", JSON_TERM_GE}, {"=~", JSON_TERM_MATCHES}, {"<", JSON_TERM_LT},
                     {">", JSON_TERM_GT}};

    if (!read_operand(r)) {
        return false;
    }
    skip_blanks(r);
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        if (take(r, operators[i].token)) {
            return read_operand(r) && emit(r, operators[i].kind, 0, 0);
        }
    }
    return emit(r, JSON_TERM_EXISTS, 0, 0);
}

/* Up to a condition's end, with what stands in front of it. */
static bool read_condition(struct reader *r, struct waiting *w)
{
    for (;;) {
        skip_blanks(r);
        if (take(r, "(")) {
            if (!push(r, w, JSON_TERM_OPEN)) {
                return false;
            }
        } else if (peek(r) == '!' && r->end - r->at > 1 && r->at[1] != '=') {
            r->at++;
            if (!push(r, w, JSON_TERM_NOT)) {
                return false;
            }
        } else {
            return read_comparison(r);
        }
    }
}

/* Behind a condition: parentheses that end, then && or || (*more), or the filter's end. */
static bool read_joint(struct reader *r, struct waiting *w, bool *more)
{
    for (;;) {
        skip_blanks(r);
        if (!take(r, ")")) {
            break;
        }
        if (!settle(r, w, JSON_TERM_OR)) {
            return false;
        }
        if (w->n == 0) {
            return fail(r, "`)` without `(`");
        }
        w->n--;
    }
    *more = true;
    if (take(r, "&&")) {
        return settle(r, w, JSON_TERM_AND) && push(r, w, JSON_TERM_AND);
    }
    if (take(r, "||")) {
        return settle(r, w, JSON_TERM_OR) && push(r, w, JSON_TERM_OR);
    }
    *more = false;
    if (!settle(r, w, JSON_TERM_OR)) {
        return false;
    }
    return w->n == 0 ? true : fail(r, "`)` was expected");
}

/* Behind the question mark. */
static bool read_filter(struct reader *r, struct json_step *s)
{
    struct waiting w = {.n = 0};
    bool more = true;

    if (r->in_filter) {
        return fail(r, "a filter in a filter");
    }
    s->kind = JSON_STEP_FILTER;
    s->first = terms_count(r->path);
    while (more) {
        if (!read_condition(r, &w) || !read_joint(r, &w, &more)) {
            return false;
        }
    }
    s->count = terms_count(r->path) - s->first;
    return true;
}

/* ---- Paths ---- */

static bool is_new(struct slice text)
{
    return text.len > 0 && text.ptr[0] == '$' &&
           (text.len == 1 || text.ptr[1] == '.' || text.ptr[1] == '[');
}

bool json_path_parse(struct slice text, struct json_path *out, char fault[JSON_FAULT_BYTES])
{
    struct reader r = {.begin = text.ptr, .at = text.ptr, .path = out, .fault = fault};

    *out = (struct json_path){.text = text, .is_old = !is_new(text), .is_definite = true};
    r.end = text.ptr + text.len;
    if (text.len > JSON_PATH_BYTES) {
        return fail(&r, "a path that is too long");
    }
    if (out->is_old && slice_is(text, SLICE("."))) {
        return true;
    }
    if (!out->is_old) {
        r.at++;
    } else if (peek(&r) != '.' && peek(&r) != '[') {
        if (take(&r, "*") ? !add_step(&r, (struct json_step){JSON_STEP_WILD, false, 0, 0})
                          : !read_plain_name(&r, false)) {
            return false;
        }
    }
    if (!read_steps(&r)) {
        return false;
    }
    out->count = (uint32_t)(out->steps.len / sizeof(struct json_step));
    return r.at == r.end ? true : fail(&r, "`.` or `[` was expected");
}

void json_path_fini(struct json_path *p)
{
    buf_fini(&p->steps);
    buf_fini(&p->parts);
    buf_fini(&p->inner);
    buf_fini(&p->terms);
    buf_fini(&p->names);
}

const char *json_path_prefix(const struct json_path *p)
{
    if (!p->is_old) {
        return "";
    }
    return p->text.len > 0 && (p->text.ptr[0] == '.' || p->text.ptr[0] == '[') ? "$" : "$.";
}

bool json_path_last_name(const struct json_path *p, struct slice *out)
{
    const struct json_step *s = p->count == 0 ? NULL : json_step_at(p, p->count - 1);

    if (s == NULL || s->kind != JSON_STEP_NAME || s->descends) {
        return false;
    }
    *out = json_part_name(p, json_part_at(p, s->first));
    return true;
}

bool json_path_last_index(const struct json_path *p, int64_t *out)
{
    const struct json_step *s = p->count == 0 ? NULL : json_step_at(p, p->count - 1);

    if (s == NULL || s->kind != JSON_STEP_INDEX || s->descends) {
        return false;
    }
    *out = json_part_at(p, s->first)->from;
    return true;
}
