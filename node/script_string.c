/* script_string.c - find, match, gmatch, gsub and rep, whose work is bounded.
 *
 * Lua's own matcher recurses without a bound and runs without an instruction, so that a pattern of a few
 * bytes over a few hundred can take years. This one counts its steps and looks at the budget, and is as
 * deep as MATCH_DEPTH_MAX. */
#include "node/script_host.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

enum { CAPTURES_MAX = 32, MATCH_DEPTH_MAX = 200, STEPS = 4096, OPEN = -1, PLACE = -2 };

struct match {
    lua_State *L;
    const char *text, *end;
    const char *pattern_end;
    int depth;
    uint32_t steps;
    int count;
    struct {
        const char *from;
        ptrdiff_t len;
    } captures[CAPTURES_MAX];
};

static const char *do_match(struct match *m, const char *s, const char *p);

static void step(struct match *m)
{
    if (UNLIKELY(++m->steps % STEPS == 0)) {
        script_check(m->L);
    }
}

/* ---- Classes ---- */

/* Behind the single class at p. */
static const char *class_end(struct match *m, const char *p)
{
    if (p == m->pattern_end) {
        (void)luaL_error(m->L, "malformed pattern (ends with '%%')");
    }
    if (*p == '%') {
        if (p + 1 == m->pattern_end) {
            (void)luaL_error(m->L, "malformed pattern (ends with '%%')");
        }
        return p + 2;
    }
    if (*p++ != '[') {
        return p;
    }
    p += p < m->pattern_end && *p == '^';
    do {
        if (p == m->pattern_end) {
            (void)luaL_error(m->L, "malformed pattern (missing ']')");
        }
        p += *p == '%' && p + 1 < m->pattern_end ? 2 : 1;
    } while (p == m->pattern_end || *p != ']');
    return p + 1;
}

static bool is_in_class(unsigned char c, unsigned char class)
{
    bool in;

    switch (tolower(class)) {
    case 'a':
        in = isalpha(c) != 0;
        break;
    case 'c':
        in = iscntrl(c) != 0;
        break;
    case 'd':
        in = isdigit(c) != 0;
        break;
    case 'l':
        in = islower(c) != 0;
        break;
    case 'p':
        in = ispunct(c) != 0;
        break;
    case 's':
        in = isspace(c) != 0;
        break;
    case 'u':
        in = isupper(c) != 0;
        break;
    case 'w':
        in = isalnum(c) != 0;
        break;
    case 'x':
        in = isxdigit(c) != 0;
        break;
    case 'z':
        in = c == 0;
        break;
    default:
        return class == c;
    }
    return islower(class) ? in : !in;
}

/* [set] from p, its last byte at `last`. */
static bool is_in_set(unsigned char c, const char *p, const char *last)
{
    bool wanted = true;

    if (*++p == '^') {
        wanted = false;
        p++;
    }
    for (; p < last; p++) {
        if (*p == '%') {
            p++;
            if (is_in_class(c, (unsigned char)*p)) {
                return wanted;
            }
        } else if (p[1] == '-' && p + 2 < last) {
            if ((unsigned char)*p <= c && c <= (unsigned char)p[2]) {
                return wanted;
            }
            p += 2;
        } else if ((unsigned char)*p == c) {
            return wanted;
        }
    }
    return !wanted;
}

static bool is_one(struct match *m, const char *s, const char *p, const char *behind)
{
    step(m);
    if (s >= m->end) {
        return false;
    }
    switch (*p) {
    case '.':
        return true;
    case '%':
        return is_in_class((unsigned char)*s, (unsigned char)p[1]);
    case '[':
        return is_in_set((unsigned char)*s, p, behind - 1);
    default:
        return *p == *s;
    }
}

/* ---- Items ---- */

static const char *balanced(struct match *m, const char *s, const char *p)
{
    int open = 1;

    if (m->pattern_end - p < 2) {
        (void)luaL_error(m->L, "unbalanced pattern");
    }
    if (s >= m->end || *s != p[0]) {
        return NULL;
    }
    while (++s < m->end) {
        step(m);
        if (*s == p[1]) {
            if (--open == 0) {
                return s + 1;
            }
        } else if (*s == p[0]) {
            open++;
        }
    }
    return NULL;
}

static const char *longest(struct match *m, const char *s, const char *p, const char *behind)
{
    ptrdiff_t n = 0;

    while (is_one(m, s + n, p, behind)) {
        n++;
    }
    for (; n >= 0; n--) {
        const char *to = do_match(m, s + n, behind + 1);

        if (to != NULL) {
            return to;
        }
    }
    return NULL;
}

static const char *shortest(struct match *m, const char *s, const char *p, const char *behind)
{
    for (;; s++) {
        const char *to = do_match(m, s, behind + 1);

        if (to != NULL) {
            return to;
        }
        if (!is_one(m, s, p, behind)) {
            return NULL;
        }
    }
}

static const char *open_capture(struct match *m, const char *s, const char *p, ptrdiff_t what)
{
    if (m->count >= CAPTURES_MAX) {
        (void)luaL_error(m->L, "too many captures");
    }
    m->captures[m->count].from = s;
    m->captures[m->count++].len = what;
    const char *to = do_match(m, s, p);

    m->count -= to == NULL;
    return to;
}

static const char *close_capture(struct match *m, const char *s, const char *p)
{
    int i = m->count - 1;

    while (i >= 0 && m->captures[i].len != OPEN) {
        i--;
    }
    if (i < 0) {
        (void)luaL_error(m->L, "invalid pattern capture");
    }
    m->captures[i].len = s - m->captures[i].from;
    const char *to = do_match(m, s, p);

    if (to == NULL) {
        m->captures[i].len = OPEN;
    }
    return to;
}

/* What an earlier capture holds, again; NULL if it is not there. */
static const char *again(struct match *m, const char *s, char digit)
{
    int i = digit - '1';

    if (i < 0 || i >= m->count || m->captures[i].len == OPEN) {
        (void)luaL_error(m->L, "invalid capture index");
    }
    ptrdiff_t len = m->captures[i].len;

    assert(m->captures[i].from != NULL);
    if (len < 0 || m->end - s < len || memcmp(m->captures[i].from, s, (size_t)len) != 0) {
        return NULL;
    }
    return s + len;
}

static const char *frontier(struct match *m, const char *s, const char *p, const char **behind)
{
    if (p == m->pattern_end || *p != '[') {
        (void)luaL_error(m->L, "missing '[' after '%%f' in pattern");
    }
    *behind = class_end(m, p);
    unsigned char before = s == m->text ? 0 : (unsigned char)s[-1];
    unsigned char here = s == m->end ? 0 : (unsigned char)*s;

    return !is_in_set(before, p, *behind - 1) && is_in_set(here, p, *behind - 1) ? s : NULL;
}

/* %b, %f and %1…: true if p is one; then *s and *p are behind it, or *s is NULL. */
static bool special(struct match *m, const char **s, const char **p)
{
    if (**p != '%' || *p + 1 >= m->pattern_end) {
        return false;
    }
    char c = (*p)[1];

    if (c == 'b') {
        *s = balanced(m, *s, *p + 2);
        *p += 4;
    } else if (c == 'f') {
        const char *behind;

        *s = frontier(m, *s, *p + 2, &behind);
        *p = behind;
    } else if (isdigit((unsigned char)c)) {
        *s = again(m, *s, c);
        *p += 2;
    } else {
        return false;
    }
    return true;
}

static const char *capture(struct match *m, const char *s, const char *p)
{
    if (*p == ')') {
        return close_capture(m, s, p + 1);
    }
    return p + 1 < m->pattern_end && p[1] == ')' ? open_capture(m, s, p + 2, PLACE)
                                                 : open_capture(m, s, p + 1, OPEN);
}

/* As far as it goes without choices. */
static const char *match_on(struct match *m, const char *s, const char *p)
{
    for (;;) {
        step(m);
        if (p == m->pattern_end) {
            return s;
        }
        if (*p == '(' || *p == ')') {
            return capture(m, s, p);
        }
        if (*p == '$' && p + 1 == m->pattern_end) {
            return s == m->end ? s : NULL;
        }
        if (special(m, &s, &p)) {
            if (s == NULL) {
                return NULL;
            }
            continue;
        }
        const char *behind = class_end(m, p);

        switch (behind < m->pattern_end ? *behind : '\0') {
        case '?': {
            const char *to;

            if (is_one(m, s, p, behind) && (to = do_match(m, s + 1, behind + 1)) != NULL) {
                return to;
            }
            p = behind + 1;
            break;
        }
        case '*':
            return longest(m, s, p, behind);
        case '+':
            return is_one(m, s, p, behind) ? longest(m, s + 1, p, behind) : NULL;
        case '-':
            return shortest(m, s, p, behind);
        default:
            if (!is_one(m, s, p, behind)) {
                return NULL;
            }
            s++;
            p = behind;
        }
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): bounded by MATCH_DEPTH_MAX */
static const char *do_match(struct match *m, const char *s, const char *p)
{
    if (++m->depth > MATCH_DEPTH_MAX) {
        (void)luaL_error(m->L, "pattern too complex");
    }
    const char *to = match_on(m, s, p);

    m->depth--;
    return to;
}

/* ---- The library ---- */

static void push_capture(struct match *m, int i, const char *s, const char *e)
{
    if (i >= m->count) {
        if (i > 0) {
            (void)luaL_error(m->L, "invalid capture index");
        }
        lua_pushlstring(m->L, s, (size_t)(e - s));
    } else if (m->captures[i].len == PLACE) {
        lua_pushinteger(m->L, m->captures[i].from - m->text + 1);
    } else if (m->captures[i].len == OPEN) {
        (void)luaL_error(m->L, "unfinished capture");
    } else {
        lua_pushlstring(m->L, m->captures[i].from, (size_t)m->captures[i].len);
    }
}

static int push_captures(struct match *m, const char *s, const char *e)
{
    int n = m->count == 0 && s != NULL ? 1 : m->count;

    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++) {
        push_capture(m, i, s, e);
    }
    return n;
}

static const char *match_from(struct match *m, const char *s, const char *p)
{
    m->count = 0;
    m->depth = 0;
    return do_match(m, s, p);
}

static bool is_plain(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (strchr("^$*+?.([%-", p[i]) != NULL && p[i] != '\0') {
            return false;
        }
    }
    return true;
}

static int find(lua_State *L, bool finds)
{
    size_t len;
    size_t pattern_len;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *p = luaL_checklstring(L, 2, &pattern_len);
    ptrdiff_t from = luaL_optinteger(L, 3, 1);
    struct match m = {.L = L, .text = text, .end = text + len, .pattern_end = p + pattern_len};

    from = from < 0 ? from + (ptrdiff_t)len : from - 1;
    from = from < 0 ? 0 : from > (ptrdiff_t)len ? (ptrdiff_t)len : from;
    if (finds && (lua_toboolean(L, 4) || is_plain(p, pattern_len))) {
        const char *at = pattern_len == 0 ? text + from
                                          : memmem(text + from, len - (size_t)from, p, pattern_len);

        script_check(L);
        if (at == NULL) {
            lua_pushnil(L);
            return 1;
        }
        lua_pushinteger(L, at - text + 1);
        lua_pushinteger(L, at - text + (ptrdiff_t)pattern_len);
        return 2;
    }
    bool is_anchored = pattern_len > 0 && *p == '^';
    const char *s = text + from;

    p += is_anchored;
    do {
        const char *e = match_from(&m, s, p);

        if (e != NULL && finds) {
            lua_pushinteger(L, s - text + 1);
            lua_pushinteger(L, e - text);
            return push_captures(&m, NULL, NULL) + 2;
        }
        if (e != NULL) {
            return push_captures(&m, s, e);
        }
    } while (s++ < m.end && !is_anchored);
    lua_pushnil(L);
    return 1;
}

static int str_find(lua_State *L)
{
    return find(L, true);
}

static int str_match(lua_State *L)
{
    return find(L, false);
}

static int gmatch_next(lua_State *L)
{
    size_t len;
    size_t pattern_len;
    const char *text = lua_tolstring(L, lua_upvalueindex(1), &len);
    const char *p = lua_tolstring(L, lua_upvalueindex(2), &pattern_len);
    struct match m = {.L = L, .text = text, .end = text + len, .pattern_end = p + pattern_len};

    for (const char *s = text + lua_tointeger(L, lua_upvalueindex(3)); s <= m.end; s++) {
        const char *e = match_from(&m, s, p);

        if (e != NULL) {
            lua_pushinteger(L, e - text + (e == s));
            lua_replace(L, lua_upvalueindex(3));
            return push_captures(&m, s, e);
        }
    }
    return 0;
}

static int str_gmatch(lua_State *L)
{
    (void)luaL_checkstring(L, 1);
    (void)luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, gmatch_next, 3);
    return 1;
}

static void add_text(struct match *m, luaL_Buffer *b, const char *s, const char *e)
{
    size_t len;
    const char *with = lua_tolstring(m->L, 3, &len);

    for (size_t i = 0; i < len; i++) {
        bool is_escape = with[i] == '%';

        if (is_escape) {
            i++; /* at the end, as Lua, to its zero byte */
        }
        if (!is_escape || !isdigit((unsigned char)with[i])) {
            luaL_addchar(b, with[i]);
        } else if (with[i] == '0') {
            luaL_addlstring(b, s, (size_t)(e - s));
        } else {
            push_capture(m, with[i] - '1', s, e);
            luaL_addvalue(b);
        }
    }
}

static void add_value(struct match *m, luaL_Buffer *b, const char *s, const char *e)
{
    lua_State *L = m->L;

    switch (lua_type(L, 3)) {
    case LUA_TFUNCTION: {
        lua_pushvalue(L, 3);
        int n = push_captures(m, s, e);

        lua_call(L, n, 1);
        break;
    }
    case LUA_TTABLE:
        push_capture(m, 0, s, e);
        lua_gettable(L, 3);
        break;
    default:
        add_text(m, b, s, e);
        return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        lua_pushlstring(L, s, (size_t)(e - s));
    } else if (!lua_isstring(L, -1)) {
        (void)luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
    luaL_addvalue(b);
}

static int str_gsub(lua_State *L)
{
    size_t len;
    size_t pattern_len;
    const char *s = luaL_checklstring(L, 1, &len);
    const char *p = luaL_checklstring(L, 2, &pattern_len);
    int kind = lua_type(L, 3);
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)len + 1);
    struct match m = {.L = L, .text = s, .end = s + len, .pattern_end = p + pattern_len};
    bool is_anchored = pattern_len > 0 && *p == '^';
    lua_Integer n = 0;
    luaL_Buffer b;

    luaL_argcheck(L,
                  kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TFUNCTION ||
                      kind == LUA_TTABLE,
                  3, "string/function/table expected");
    assert(s != NULL); /* luaL_checklstring() gives a string or raises */
    p += is_anchored;
    script_enter(L);
    luaL_buffinit(L, &b);
    while (n < most) {
        const char *e = match_from(&m, s, p);

        if (e != NULL) {
            n++;
            add_value(&m, &b, s, e);
        }
        if (e != NULL && e > s) {
            s = e;
        } else if (s < m.end) {
            luaL_addchar(&b, *s);
            s++;
        } else {
            break;
        }
        if (is_anchored) {
            break;
        }
    }
    luaL_addlstring(&b, s, (size_t)(m.end - s));
    luaL_pushresult(&b);
    script_leave(L);
    lua_pushinteger(L, n);
    return 2;
}

static int str_rep(lua_State *L)
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    lua_Integer n = luaL_checkinteger(L, 2);
    luaL_Buffer b;

    if (n <= 0 || len == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((size_t)n > script_host_of(L)->limit / len) {
        return luaL_error(L, "resulting string too large");
    }
    luaL_buffinit(L, &b);
    while (n-- > 0) {
        luaL_addlstring(&b, s, len);
    }
    luaL_pushresult(&b);
    script_check(L);
    return 1;
}

void script_open_string(lua_State *L)
{
    static const luaL_Reg fns[] = {
        {"find", str_find},    {"match", str_match}, {"gmatch", str_gmatch},
        {"gfind", str_gmatch}, {"gsub", str_gsub},   {"rep", str_rep},
        {NULL, NULL}};

    luaL_register(L, NULL, fns);
}
