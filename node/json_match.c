/* json_match.c - which values a path matches: step by step, each from the list of the one before. */
#include "base/err.h"
#include "base/mem.h"
#include "node/json_path.h"
#include "node/json_path_parts.h"
#include "node/json_regex.h"
#include "node/slices.h"

#include <assert.h>
#include <stdlib.h>

struct matcher {
    const struct json_path *path;
    const char *doc;
    uint64_t looks; /* that are left */
    struct json_matches *out;
    struct json_regex *regex; /* owned: of the term compiled last */
    const struct json_term *regex_of;
};

static int look(struct matcher *m, uint64_t n)
{
    if (m->looks < n) {
        return ERR_LIMIT;
    }
    m->looks -= n;
    return slices_tick(1) ? OK : ERR_NOMEM; /* given up */
}

static int add(struct matcher *m, const char *value)
{
    struct json_matches *to = m->out;

    if (to->count == to->cap) {
        uint32_t cap = to->cap == 0 ? 8 : to->cap * 2;
        uint32_t *v = mem_realloc(to->v, to->cap * sizeof(*v), cap * sizeof(*v));

        if (v == NULL) {
            return ERR_NOMEM;
        }
        to->v = v;
        to->cap = cap;
    }
    to->v[to->count++] = (uint32_t)(value - m->doc);
    return look(m, 1);
}

/* ---- Filters ---- */

/* NULL: no such value. */
static const char *follow(struct matcher *m, const struct json_term *t, const char *value)
{
    for (uint32_t i = 0; i < t->count && value != NULL; i++) {
        const struct json_step *s = JSON_AT(m->path->inner, const struct json_step, t->at + i);
        const struct json_part *part = json_part_at(m->path, s->first);
        bool named = s->kind == JSON_STEP_NAME;

        if (json_tag(value) != (named ? JSON_OBJECT : JSON_ARRAY)) {
            return NULL;
        }
        uint32_t count = json_count(value);

        m->looks -= m->looks < count ? m->looks : count;
        value = named ? json_member(value, json_part_name(m->path, part))
                      : json_element(value, part->from);
    }
    return value;
}

static bool is_below(enum json_term_kind kind, int order)
{
    if (kind == JSON_TERM_LT || kind == JSON_TERM_LE) {
        return order < (kind == JSON_TERM_LE);
    }
    return order > -(kind == JSON_TERM_GE);
}

/* What is not there equals nothing but what is not there either. */
static bool compare(struct matcher *m, enum json_term_kind kind, const char *a, const char *b)
{
    if (kind == JSON_TERM_EQ || kind == JSON_TERM_NE) {
        bool same = a == NULL || b == NULL ? a == b : json_same(a, b);

        if (a != NULL && json_is_container(a)) {
            uint32_t count = json_u32(a + 1);

            m->looks -= m->looks < count ? m->looks : count;
        }
        return same == (kind == JSON_TERM_EQ);
    }
    if (a == NULL || b == NULL) {
        return false;
    }
    if (json_is_number(a) && json_is_number(b)) {
        return is_below(kind, json_number_order(a, b));
    }
    return json_tag(a) == JSON_STRING && json_tag(b) == JSON_STRING &&
           is_below(kind, slice_order(json_string(a), json_string(b)));
}

/* Compiles an expression once as long as it stays the same. */
static int matches(struct matcher *m, const struct json_term *t, const char *text,
                   const char *pattern, bool *out)
{
    *out = false;
    if (text == NULL || pattern == NULL || json_tag(text) != JSON_STRING ||
        json_tag(pattern) != JSON_STRING) {
        return OK;
    }
    bool is_literal = t[-1].kind == JSON_TERM_VALUE;

    if (m->regex_of != t || !is_literal) {
        json_regex_destroy(m->regex);
        m->regex = NULL;
        m->regex_of = NULL;
        int err = json_regex_create(json_string(pattern), &m->regex);

        if (err != OK) {
            return err == ERR_INVALID ? OK : err; /* what is no expression matches nothing */
        }
        m->regex_of = t;
    }
    uint64_t cost = (json_string(text).len + 1) * json_regex_size(m->regex) / 8;

    if (look(m, cost) != OK) {
        return ERR_LIMIT;
    }
    *out = json_regex_matches(m->regex, json_string(text));
    return OK;
}

struct stack {
    const char *values[2];
    bool yes[2 * JSON_FILTER_DEPTH + 2];
    unsigned n_values, n;
};

static int run_term(struct matcher *m, const struct json_term *t, const char *value,
                    struct stack *s)
{
    bool yes = false;
    int err = OK;

    switch (t->kind) {
    case JSON_TERM_VALUE:
        s->values[s->n_values++] = m->path->names.ptr + t->at;
        return OK;
    case JSON_TERM_ELEMENT:
    case JSON_TERM_DOCUMENT:
        s->values[s->n_values++] = follow(m, t, t->kind == JSON_TERM_ELEMENT ? value : m->doc);
        return OK;
    case JSON_TERM_EXISTS:
        yes = s->values[0] != NULL &&
              (t[-1].kind != JSON_TERM_VALUE || json_tag(s->values[0]) > JSON_FALSE);
        break;
    case JSON_TERM_EQ:
    case JSON_TERM_NE:
    case JSON_TERM_LT:
    case JSON_TERM_LE:
    case JSON_TERM_GT:
    case JSON_TERM_GE:
        yes = compare(m, t->kind, s->values[0], s->values[1]);
        break;
    case JSON_TERM_MATCHES:
        err = matches(m, t, s->values[0], s->values[1], &yes);
        break;
    case JSON_TERM_NOT:
        s->yes[s->n - 1] = !s->yes[s->n - 1];
        return OK;
    case JSON_TERM_AND:
        s->n--;
        s->yes[s->n - 1] = s->yes[s->n - 1] && s->yes[s->n];
        return OK;
    case JSON_TERM_OR:
        s->n--;
        s->yes[s->n - 1] = s->yes[s->n - 1] || s->yes[s->n];
        return OK;
    case JSON_TERM_OPEN:
        assert(!"left in a filter");
        break;
    }
    s->n_values = 0;
    s->yes[s->n++] = yes;
    return err;
}

static int passes(struct matcher *m, const struct json_step *step, const char *value, bool *out)
{
    struct stack s = {.n = 0};
    int err = look(m, step->count);

    for (uint32_t i = 0; i < step->count && err == OK; i++) {
        err = run_term(m, JSON_AT(m->path->terms, const struct json_term, step->first + i), value,
                       &s);
        assert(s.n < sizeof(s.yes));
    }
    *out = err == OK && s.yes[0];
    return err;
}

/* ---- Steps ---- */

static int select_all(struct matcher *m, const struct json_step *step, const char *value)
{
    struct json_walk w;
    struct json_child child;
    int err = OK;

    json_walk_begin(value, &w);
    while (err == OK && json_walk_next(&w, &child)) {
        bool fits = true;

        (void)slices_tick(1);

        if (step->kind == JSON_STEP_FILTER) {
            err = passes(m, step, child.value, &fits);
        }
        if (err == OK && fits) {
            err = add(m, child.value);
        }
    }
    return err;
}

static int64_t clamp(int64_t n, int64_t low, int64_t high)
{
    return n < low ? low : n > high ? high : n;
}

/* RFC 9535, 2.3.4.2.2. */
static int select_slice(struct matcher *m, const struct json_part *part, const char *array)
{
    int64_t count = json_count(array);
    int64_t step = clamp(part->step, -count - 1, count + 1);
    bool up = step > 0;
    int64_t from = part->has_from ? part->from : up ? 0 : count - 1;
    int64_t to = part->has_to ? part->to : up ? count : -1;
    int err = look(m, (uint64_t)count);

    from = part->has_from && from < 0 ? from + count : from;
    to = part->has_to && to < 0 ? to + count : to;
    from = up ? clamp(from, 0, count) : clamp(from, -1, count - 1);
    to = up ? clamp(to, 0, count) : clamp(to, -1, count - 1);
    if (step == 0 || err != OK) {
        return err;
    }
    const char *at = json_inside(array);

    if (up) {
        for (int64_t i = 0; i < to && err == OK; i++, at = json_end(at)) {
            (void)slices_tick(1);
            err = i >= from && (i - from) % step == 0 ? add(m, at) : OK;
        }
        return err;
    }
    /* Found upwards, then turned round. */
    uint32_t first = m->out->count;

    for (int64_t i = 0; i <= from && err == OK; i++, at = json_end(at)) {
        (void)slices_tick(1);
        err = i > to && (from - i) % -step == 0 ? add(m, at) : OK;
    }
    for (uint32_t a = first, b = m->out->count; a + 1 < b; a++) {
        uint32_t swap = m->out->v[a];

        m->out->v[a] = m->out->v[--b];
        m->out->v[b] = swap;
    }
    return err;
}

static int select_part(struct matcher *m, const struct json_part *part, const char *value)
{
    const char *found = NULL;

    if (json_tag(value) != (part->kind == JSON_PART_NAME ? JSON_OBJECT : JSON_ARRAY)) {
        return OK;
    }
    switch (part->kind) {
    case JSON_PART_NAME:
        found = json_member(value, json_part_name(m->path, part));
        break;
    case JSON_PART_INDEX:
        found = json_element(value, part->from);
        break;
    case JSON_PART_SLICE:
        return select_slice(m, part, value);
    }
    int err = look(m, json_count(value));

    return err == OK && found != NULL ? add(m, found) : err;
}

/* Of one value, which may be none to select from. */
static int select_from(struct matcher *m, const struct json_step *step, const char *value)
{
    int err = look(m, 1);

    if (!json_is_container(value) || err != OK) {
        return err;
    }
    switch (step->kind) {
    case JSON_STEP_WILD:
    case JSON_STEP_FILTER:
        return select_all(m, step, value);
    case JSON_STEP_NAME:
    case JSON_STEP_INDEX:
        return select_part(m, json_part_at(m->path, step->first), value);
    case JSON_STEP_UNION:
        for (uint32_t i = 0; i < step->count && err == OK; i++) {
            err = select_part(m, json_part_at(m->path, step->first + i), value);
        }
        break;
    }
    return err;
}

/* All that lies in a value, deeper first, and then it. */
static int descend(struct matcher *m, const struct json_step *step, const char *value)
{
    struct {
        struct json_walk walk;
        const char *value;
    } stack[JSON_DEPTH_MAX + 1];
    struct json_child child;
    unsigned depth = 0;
    int err = OK;

    if (!json_is_container(value)) {
        return OK;
    }
    stack[0].value = value;
    json_walk_begin(value, &stack[depth++].walk);
    while (depth > 0 && err == OK) {
        if (!json_walk_next(&stack[depth - 1].walk, &child)) {
            err = select_from(m, step, stack[--depth].value);
            continue;
        }
        err = look(m, 1);
        if (json_is_container(child.value)) {
            assert(depth <= JSON_DEPTH_MAX);
            stack[depth].value = child.value;
            json_walk_begin(child.value, &stack[depth++].walk);
        }
    }
    return err;
}

int json_match(const struct json_path *p, uint32_t steps, const char *doc, struct json_matches *out)
{
    struct matcher m = {.path = p, .doc = doc, .out = out};
    struct json_matches from = {0};
    int err;

    *out = (struct json_matches){0};
    m.looks = JSON_LOOKS + 16 * (uint64_t)(json_end(doc) - doc);
    err = add(&m, doc);
    for (uint32_t i = 0; i < steps && err == OK; i++) {
        const struct json_step *step = json_step_at(p, i);
        struct json_matches swap = from;

        from = *out;
        *out = swap;
        out->count = 0;
        for (uint32_t k = 0; k < from.count && err == OK; k++) {
            err = step->descends ? descend(&m, step, doc + from.v[k])
                                 : select_from(&m, step, doc + from.v[k]);
        }
    }
    json_matches_fini(&from);
    json_regex_destroy(m.regex);
    return err;
}

void json_matches_fini(struct json_matches *m)
{
    mem_free(m->v, m->cap * sizeof(m->v[0]));
    *m = (struct json_matches){0};
}

static int by_place(const void *a, const void *b)
{
    uint32_t x;
    uint32_t y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    (void)slices_tick(1);
    return (x > y) - (x < y);
}

void json_matches_sort(struct json_matches *m)
{
    uint32_t n = 0;

    if (m->count < 2) {
        return;
    }
    qsort(m->v, m->count, sizeof(m->v[0]), by_place);
    for (uint32_t i = 0; i < m->count; i++) {
        if (n == 0 || m->v[n - 1] != m->v[i]) {
            m->v[n++] = m->v[i];
        }
    }
    m->count = n;
}
