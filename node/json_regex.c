/* json_regex.c - an expression becomes instructions that jump relative to themselves, so that repeating a
 * part is copying it; all places that a text may have come to are followed at once (Thompson, 1968). */
#include "node/json_regex.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>

enum op { OP_CHAR, OP_ANY, OP_CLASS, OP_SPLIT, OP_JUMP, OP_BEGIN, OP_END, OP_WORD, OP_NO_WORD, OP_MATCH };

struct inst {
    uint8_t op;
    bool negated;
    int32_t x, y; /* a character; where to go on; a class's first range and their number */
};

struct range {
    uint32_t low, high;
};

enum { RANGES_MAX = 1024, GROUPS_MAX = 32, REPEAT_MAX = 1000, NONE = -1 };

struct json_regex {
    struct inst v[JSON_REGEX_MAX + 1];
    struct range ranges[RANGES_MAX];
    uint32_t n, ranges_n;
    bool folds; /* upper and lower case of ASCII are one */
    /* While it is matched: two lists of places, and when each place was last put on one. */
    uint32_t list[2][JSON_REGEX_MAX + 1];
    uint32_t list_n[2];
    uint32_t todo[2 * JSON_REGEX_MAX + 2];
    uint64_t seen[JSON_REGEX_MAX + 1];
    uint64_t now;
};

struct group {
    uint32_t begin;
    uint32_t bars[64]; /* where alternatives but the first begin */
    uint32_t bars_n;
};

struct compiler {
    struct json_regex *r;
    const unsigned char *at, *end;
    struct group groups[GROUPS_MAX];
    uint32_t depth; /* the whole is a group too */
    int32_t atom;   /* where what may be repeated begins; NONE */
};

/* ---- Characters ---- */

static uint32_t next_char(const unsigned char **at, const unsigned char *end)
{
    static const unsigned char bits[] = {0x7f, 0x1f, 0x0f, 0x07};
    unsigned char c = *(*at)++;
    unsigned more = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    uint32_t code = c < 0x80 ? c : c & bits[more];

    while (more-- > 0 && *at < end) {
        code = code << 6 | (*(*at)++ & 0x3f);
    }
    return code;
}

static uint32_t fold(uint32_t c)
{
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static bool is_word_char(uint32_t c)
{
    return (c >= '0' && c <= '9') || (fold(c) >= 'a' && fold(c) <= 'z') || c == '_';
}

/* ---- Compiling: false is ERR_INVALID ---- */

static bool emit(struct compiler *k, struct inst i)
{
    if (k->r->n >= JSON_REGEX_MAX) {
        return false;
    }
    k->r->v[k->r->n++] = i;
    return true;
}

/* In front of what stands at `at`, of which nothing jumps across. */
static bool insert(struct compiler *k, uint32_t at, struct inst i)
{
    if (!emit(k, i)) {
        return false;
    }
    memmove(&k->r->v[at + 1], &k->r->v[at], (k->r->n - 1 - at) * sizeof(i));
    k->r->v[at] = i;
    return true;
}

static struct inst split(int32_t x, int32_t y)
{
    return (struct inst){OP_SPLIT, false, x, y};
}

static bool add_range(struct compiler *k, uint32_t low, uint32_t high)
{
    if (k->r->ranges_n == RANGES_MAX || low > high) {
        return false;
    }
    k->r->ranges[k->r->ranges_n++] = (struct range){low, high};
    return true;
}

/* \d, \w, \s and their opposites, into the class being made. *is_class: it was one. */
static bool add_named(struct compiler *k, uint32_t c, bool *is_class)
{
    static const struct range digits[] = {{'0', '9'}};
    static const struct range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    static const struct range blanks[] = {{'\t', '\r'}, {' ', ' '}};
    uint32_t kind = fold(c);
    const struct range *v = kind == 'd' ? digits : kind == 'w' ? words : blanks;
    size_t n = kind == 'd' ? 1 : kind == 'w' ? 4 : 2;
    uint32_t next = 0;

    *is_class = kind == 'd' || kind == 'w' || kind == 's';
    if (!*is_class) {
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        if (kind == c ? !add_range(k, v[i].low, v[i].high)
                      : (v[i].low > next && !add_range(k, next, v[i].low - 1))) {
            return false;
        }
        next = v[i].high + 1;
    }
    return kind == c || add_range(k, next, 0x10ffff);
}

static uint32_t escaped(uint32_t c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'f':
        return '\f';
    default:
        return c;
    }
}

/* One end of a range in brackets, or a class in it. */
static bool class_char(struct compiler *k, uint32_t *c, bool *is_class)
{
    *is_class = false;
    if (k->at == k->end) {
        return false;
    }
    *c = next_char(&k->at, k->end);
    if (*c == '\\') {
        if (k->at == k->end) {
            return false;
        }
        *c = next_char(&k->at, k->end);
        if (!add_named(k, *c, is_class)) {
            return false;
        }
        *c = escaped(*c);
    }
    return true;
}

/* Behind the bracket. */
static bool read_class(struct compiler *k)
{
    struct inst i = {OP_CLASS, false, (int32_t)k->r->ranges_n, 0};
    bool is_first = true;

    if (k->at < k->end && *k->at == '^') {
        i.negated = true;
        k->at++;
    }
    for (;; is_first = false) {
        uint32_t low;
        uint32_t high;
        bool is_class;

        if (k->at < k->end && *k->at == ']' && !is_first) {
            break;
        }
        if (!class_char(k, &low, &is_class)) {
            return false;
        }
        if (is_class) {
            continue;
        }
        high = low;
        if (k->end - k->at > 1 && k->at[0] == '-' && k->at[1] != ']') {
            k->at++;
            if (!class_char(k, &high, &is_class) || is_class) {
                return false;
            }
        }
        if (!add_range(k, low, high)) {
            return false;
        }
    }
    k->at++;
    i.y = (int32_t)k->r->ranges_n - i.x;
    return emit(k, i);
}

static bool read_escape(struct compiler *k)
{
    struct inst i = {OP_CLASS, false, (int32_t)k->r->ranges_n, 0};
    bool is_class;

    if (k->at == k->end) {
        return false;
    }
    uint32_t c = next_char(&k->at, k->end);

    if (c == 'b' || c == 'B') {
        return emit(k, (struct inst){c == 'b' ? OP_WORD : OP_NO_WORD, false, 0, 0});
    }
    if (!add_named(k, c, &is_class)) {
        return false;
    }
    if (is_class) {
        i.y = (int32_t)k->r->ranges_n - i.x;
        return emit(k, i);
    }
    return emit(k, (struct inst){OP_CHAR, false, (int32_t)escaped(c), 0});
}

/* What stands from the atom on, n to m times; m NONE: any number. */
static bool repeat(struct compiler *k, int64_t n, int64_t m)
{
    uint32_t at = (uint32_t)k->atom;
    uint32_t len = k->r->n - at;
    int32_t jump = (int32_t)len;

    if (m == NONE && n == 1) {
        return emit(k, split(-jump, 1));
    }
    if (n == 0 && m == NONE) {
        return insert(k, at, split(1, jump + 2)) &&
               emit(k, (struct inst){OP_JUMP, false, -(jump + 1), 0});
    }
    if (n == 0 && m == 1) {
        return insert(k, at, split(1, jump + 1));
    }
    /* Copies, the last of them to be repeated or left out, each by itself. */
    int64_t most = m == NONE ? n : m;

    if (most == 0) {
        k->r->n = at;
        return true;
    }
    struct json_regex *r = k->r;

    for (int64_t i = 1; i < most; i++) {
        bool optional = i >= n;

        if (r->n + len + 1 > JSON_REGEX_MAX || (optional && !emit(k, split(1, jump + 1)))) {
            return false;
        }
        memcpy(&r->v[r->n], &r->v[at], len * sizeof(r->v[0]));
        r->n += len;
    }
    if (m == NONE) {
        return emit(k, split(-jump, 1));
    }
    return n > 0 || insert(k, at, split(1, jump + 1));
}

static bool read_number(struct compiler *k, int64_t *out)
{
    const unsigned char *begin = k->at;

    *out = 0;
    while (k->at < k->end && *k->at >= '0' && *k->at <= '9' && *out <= REPEAT_MAX) {
        *out = *out * 10 + (*k->at++ - '0');
    }
    return k->at > begin && *out <= REPEAT_MAX;
}

/* Behind the brace. */
static bool read_braces(struct compiler *k)
{
    int64_t n;
    int64_t m;

    if (!read_number(k, &n)) {
        return false;
    }
    m = n;
    if (k->at < k->end && *k->at == ',') {
        k->at++;
        m = NONE;
        if (k->at < k->end && *k->at != '}' && !read_number(k, &m)) {
            return false;
        }
    }
    if (k->at == k->end || *k->at != '}' || (m != NONE && m < n)) {
        return false;
    }
    k->at++;
    return repeat(k, n, m);
}

static bool read_repeat(struct compiler *k, unsigned char c)
{
    bool fine;

    if (k->atom == NONE) {
        return false;
    }
    switch (c) {
    case '*':
        fine = repeat(k, 0, NONE);
        break;
    case '+':
        fine = repeat(k, 1, NONE);
        break;
    case '?':
        fine = repeat(k, 0, 1);
        break;
    default:
        fine = read_braces(k);
        break;
    }
    if (k->at < k->end && *k->at == '?') {
        k->at++; /* fewest first: the same, when only whether it matches is asked */
    }
    k->atom = NONE;
    return fine;
}

static bool open_group(struct compiler *k)
{
    if (k->depth == GROUPS_MAX) {
        return false;
    }
    if (k->end - k->at > 1 && k->at[0] == '?') {
        if (k->at[1] != ':') {
            return false;
        }
        k->at += 2;
    }
    k->groups[k->depth++] = (struct group){.begin = k->r->n};
    k->atom = NONE;
    return true;
}

/* Its alternatives become one, the last two first. */
static bool close_group(struct compiler *k)
{
    struct group *g = &k->groups[--k->depth];

    for (uint32_t i = g->bars_n; i-- > 0;) {
        uint32_t begin = i == 0 ? g->begin : g->bars[i - 1];
        int32_t rest = (int32_t)(k->r->n - g->bars[i]);
        int32_t len = (int32_t)(g->bars[i] - begin);

        if (!insert(k, g->bars[i], (struct inst){OP_JUMP, false, rest + 1, 0}) ||
            !insert(k, begin, split(1, len + 2))) {
            return false;
        }
    }
    k->atom = (int32_t)g->begin;
    return true;
}

static bool read_bar(struct compiler *k)
{
    struct group *g = &k->groups[k->depth - 1];

    if (g->bars_n == sizeof(g->bars) / sizeof(g->bars[0])) {
        return false;
    }
    g->bars[g->bars_n++] = k->r->n;
    k->atom = NONE;
    return true;
}

static bool read_atom(struct compiler *k, uint32_t c)
{
    k->atom = (int32_t)k->r->n;
    switch (c) {
    case '.':
        return emit(k, (struct inst){OP_ANY, false, 0, 0});
    case '[':
        return read_class(k);
    case '\\':
        return read_escape(k);
    case '^':
        return emit(k, (struct inst){OP_BEGIN, false, 0, 0});
    case '$':
        return emit(k, (struct inst){OP_END, false, 0, 0});
    default:
        return emit(k, (struct inst){OP_CHAR, false, (int32_t)(k->r->folds ? fold(c) : c), 0});
    }
}

static bool compile(struct compiler *k)
{
    if (k->end - k->at >= 4 && memcmp(k->at, "(?i)", 4) == 0) {
        k->r->folds = true;
        k->at += 4;
    }
    if (!open_group(k)) {
        return false;
    }
    while (k->at < k->end) {
        uint32_t c = next_char(&k->at, k->end);
        bool fine;

        if (c == '(') {
            fine = open_group(k);
        } else if (c == ')') {
            fine = k->depth > 1 && close_group(k);
        } else if (c == '|') {
            fine = read_bar(k);
        } else if (c == '*' || c == '+' || c == '?' || c == '{') {
            fine = read_repeat(k, (unsigned char)c);
        } else {
            fine = read_atom(k, c);
        }
        if (!fine) {
            return false;
        }
    }
    return k->depth == 1 && close_group(k) && emit(k, (struct inst){OP_MATCH, false, 0, 0});
}

int json_regex_create(struct slice pattern, struct json_regex **out)
{
    struct compiler k = {.at = (const unsigned char *)pattern.ptr, .atom = NONE};

    *out = NULL;
    k.r = mem_zalloc(sizeof(*k.r));
    if (k.r == NULL) {
        return ERR_NOMEM;
    }
    k.end = k.at + pattern.len;
    if (!compile(&k)) {
        json_regex_destroy(k.r);
        return ERR_INVALID;
    }
    *out = k.r;
    return OK;
}

void json_regex_destroy(struct json_regex *r)
{
    if (r != NULL) {
        mem_free(r, sizeof(*r));
    }
}

size_t json_regex_size(const struct json_regex *r)
{
    return r->n;
}

/* ---- Matching ---- */

#define EDGE UINT32_MAX /* before the first character, and behind the last */

static bool stands(const struct inst *i, uint32_t before, uint32_t after)
{
    bool between = is_word_char(before) != is_word_char(after);

    switch ((enum op)i->op) {
    case OP_BEGIN:
        return before == EDGE;
    case OP_END:
        return after == EDGE;
    case OP_WORD:
        return between;
    case OP_NO_WORD:
        return !between;
    case OP_CHAR:
    case OP_ANY:
    case OP_CLASS:
    case OP_SPLIT:
    case OP_JUMP:
    case OP_MATCH:
        break;
    }
    return false;
}

/* Puts a place, or those that it leads to without a character, on a list. True: one is the end. */
static bool put(struct json_regex *r, int which, uint32_t place, uint32_t before, uint32_t after)
{
    uint32_t n = 0;

    r->todo[n++] = place;
    while (n > 0) {
        uint32_t at = r->todo[--n];
        const struct inst *i = &r->v[at];

        if (r->seen[at] == r->now) {
            continue;
        }
        r->seen[at] = r->now;
        if (i->op == OP_MATCH) {
            return true;
        }
        if (i->op == OP_SPLIT) {
            r->todo[n++] = (uint32_t)((int32_t)at + i->y);
            r->todo[n++] = (uint32_t)((int32_t)at + i->x);
        } else if (i->op == OP_JUMP) {
            r->todo[n++] = (uint32_t)((int32_t)at + i->x);
        } else if (i->op <= OP_CLASS) {
            r->list[which][r->list_n[which]++] = at;
        } else if (stands(i, before, after)) {
            r->todo[n++] = at + 1;
        }
    }
    return false;
}

static bool has(const struct json_regex *r, const struct inst *i, uint32_t c)
{
    for (int32_t k = i->x; k < i->x + i->y; k++) {
        if (c >= r->ranges[k].low && c <= r->ranges[k].high) {
            return true;
        }
    }
    return false;
}

static bool takes(const struct json_regex *r, const struct inst *i, uint32_t c)
{
    if (i->op == OP_ANY) {
        return c != '\n';
    }
    if (i->op == OP_CHAR) {
        return (r->folds ? fold(c) : c) == (uint32_t)i->x;
    }
    bool in = has(r, i, c);

    if (!in && r->folds && is_word_char(c) && c > '9' && c != '_') {
        in = has(r, i, c ^ 32);
    }
    return in != i->negated;
}

bool json_regex_matches(struct json_regex *r, struct slice text)
{
    const unsigned char *at = (const unsigned char *)text.ptr;
    const unsigned char *end = at + text.len;
    uint32_t before = EDGE;
    int now = 0;

    r->list_n[0] = 0;
    r->now++;
    for (;;) {
        const unsigned char *next = at;
        uint32_t c = at < end ? next_char(&next, end) : EDGE;

        if (put(r, now, 0, before, c)) {
            return true;
        }
        if (c == EDGE) {
            return false;
        }
        const unsigned char *peek = next;
        uint32_t after = peek < end ? next_char(&peek, end) : EDGE;

        r->list_n[!now] = 0;
        r->now++;
        for (uint32_t i = 0; i < r->list_n[now]; i++) {
            uint32_t place = r->list[now][i];

            if (takes(r, &r->v[place], c) && put(r, !now, place + 1, c, after)) {
                return true;
            }
        }
        before = c;
        at = next;
        now = !now;
    }
}
