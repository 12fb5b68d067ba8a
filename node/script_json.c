/* script_json.c - cjson: JSON to Lua and back, as lua-cjson 2.1 does it and Redis has it.
 *
 * Written here because lua-cjson keeps its buffers outside of the state's memory limit, loses them when Lua
 * runs out of memory, and ends the process when there is none. Here all memory is Lua's (L2), nothing
 * recurses, and the budget is looked at on the way (L4). Settings are a run's own. */
#include "node/script_host.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH = 1000, LOOK_EVERY = 1024, FIRST_BYTES = 256, NUMBER_MAX = 64 };

static void look(lua_State *L, uint32_t *n)
{
    if (UNLIKELY(++*n % LOOK_EVERY == 0)) {
        script_check(L);
    }
}

/* ---- Writing: into a userdata at a fixed place of the stack, replaced when it is full ---- */

struct out {
    lua_State *L;
    const struct script_json *set;
    int at;
    char *bytes;
    size_t len, cap;
    uint32_t n;
};

static void make_room(struct out *o, size_t more)
{
    size_t cap = o->cap;

    if (LIKELY(o->cap - o->len >= more)) {
        return;
    }
    while (cap - o->len < more) {
        cap *= 2;
    }
    char *bytes = lua_newuserdata(o->L, cap);

    memcpy(bytes, o->bytes, o->len);
    lua_replace(o->L, o->at);
    o->bytes = bytes;
    o->cap = cap;
    script_check(o->L);
}

static void put(struct out *o, const char *text, size_t len)
{
    make_room(o, len);
    memcpy(o->bytes + o->len, text, len);
    o->len += len;
}

static void put_char(struct out *o, char c)
{
    put(o, &c, 1);
}

/* The letter behind the backslash; 'u': by number; 0: the byte stands for itself. */
static char escape_of(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return (char)c;
    case '\b':
        return 'b';
    case '\t':
        return 't';
    case '\n':
        return 'n';
    case '\f':
        return 'f';
    case '\r':
        return 'r';
    case 0x7f:
        return 'u';
    default:
        return c < ' ' ? 'u' : 0;
    }
}

static void put_string(struct out *o, int index)
{
    size_t len;
    const char *text = lua_tolstring(o->L, index, &len);

    put_char(o, '"');
    for (size_t from = 0; from < len;) {
        size_t to = from;

        while (to < len && escape_of((unsigned char)text[to]) == 0) {
            to++;
        }
        put(o, text + from, to - from);
        if (to < len) {
            char code[8] = {'\\', escape_of((unsigned char)text[to])};
            size_t n = 2;

            if (code[1] == 'u') {
                n = (size_t)snprintf(code, sizeof(code), "\\u%04x", (unsigned char)text[to]);
            }
            put(o, code, n);
            to++;
        }
        from = to;
    }
    put_char(o, '"');
}

static NO_RETURN void refuse(struct out *o, int index, const char *why)
{
    (void)luaL_error(o->L, "Cannot serialise %s: %s", luaL_typename(o->L, index), why);
    abort(); /* not reached */
}

static void put_number(struct out *o, int index)
{
    double x = lua_tonumber(o->L, index);
    char text[NUMBER_MAX];
    int n;

    if (isfinite(x)) {
        n = snprintf(text, sizeof(text), "%.*g", o->set->precision, x);
    } else if (o->set->encode_invalid == SCRIPT_JSON_OFF) {
        refuse(o, index, "must not be NaN or Inf");
    } else if (o->set->encode_invalid == SCRIPT_JSON_NULL) {
        n = snprintf(text, sizeof(text), "null");
    } else {
        n = snprintf(text, sizeof(text), "%s", isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
    }
    put(o, text, (size_t)n);
}

/* Of the table at the top: its length as an array, or -1 if it is an object. */
static double array_length(struct out *o)
{
    lua_State *L = o->L;
    double most = 0;
    double items = 0;

    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        double k = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;

        if (!(k >= 1 && k <= INT32_MAX) || floor(k) != k) {
            lua_pop(L, 2);
            return -1;
        }
        most = k > most ? k : most;
        items++;
        lua_pop(L, 1);
        look(L, &o->n);
    }
    if (o->set->sparse_ratio > 0 && most > items * o->set->sparse_ratio &&
        most > o->set->sparse_safe) {
        if (!o->set->sparse_converts) {
            refuse(o, -1, "excessively sparse array");
        }
        return -1;
    }
    return most;
}

struct level {
    bool is_object, is_begun;
    int at, len; /* of an array */
};

/* The table at the top. */
static void open_table(struct out *o, struct level *l)
{
    double len = array_length(o);

    *l = (struct level){.is_object = len <= 0, .len = (int)len};
    put_char(o, l->is_object ? '{' : '[');
    if (l->is_object) {
        lua_pushnil(o->L);
    }
}

/* The value at the top is written and popped, or is a table that is opened. */
static void put_value(struct out *o, struct level *levels, uint32_t *depth)
{
    lua_State *L = o->L;

    look(L, &o->n);
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        put_string(o, -1);
        break;
    case LUA_TNUMBER:
        put_number(o, -1);
        break;
    case LUA_TBOOLEAN:
        if (lua_toboolean(L, -1)) {
            put(o, "true", 4);
        } else {
            put(o, "false", 5);
        }
        break;
    case LUA_TTABLE:
        if (*depth == DEPTH || !lua_checkstack(L, 6)) {
            (void)luaL_error(L, "Cannot serialise, excessive nesting (%d)", (int)*depth + 1);
        }
        open_table(o, &levels[(*depth)++]);
        return;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, -1) != NULL) {
            refuse(o, -1, "type not supported");
        }
        put(o, "null", 4);
        break;
    case LUA_TNIL:
        put(o, "null", 4);
        break;
    default:
        refuse(o, -1, "type not supported");
    }
    lua_pop(L, 1);
}

/* Pushes the next value of the innermost table, its key written; false: that is closed and popped. */
static bool next_value(struct out *o, struct level *l)
{
    lua_State *L = o->L;

    if (l->is_object ? lua_next(L, -2) == 0 : l->at == l->len) {
        put_char(o, l->is_object ? '}' : ']');
        lua_pop(L, 1);
        return false;
    }
    if (l->is_begun) {
        put_char(o, ',');
    }
    l->is_begun = true;
    if (!l->is_object) {
        lua_rawgeti(L, -1, ++l->at);
        return true;
    }
    if (lua_type(L, -2) == LUA_TNUMBER) {
        put_char(o, '"');
        put_number(o, -2);
        put_char(o, '"');
    } else if (lua_type(L, -2) == LUA_TSTRING) {
        put_string(o, -2);
    } else {
        refuse(o, -2, "table key must be a number or string");
    }
    put_char(o, ':');
    return true;
}

static int json_encode(lua_State *L)
{
    struct level levels[DEPTH];
    struct out o = {.L = L, .set = &script_run_of(L)->json, .at = 2, .cap = FIRST_BYTES};
    uint32_t depth = 0;

    luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
    o.bytes = lua_newuserdata(L, o.cap);
    lua_pushvalue(L, 1);
    put_value(&o, levels, &depth);
    while (depth > 0) {
        if (next_value(&o, &levels[depth - 1])) {
            put_value(&o, levels, &depth);
        } else {
            depth--;
        }
    }
    lua_pushlstring(L, o.bytes, o.len);
    script_check(L);
    return 1;
}

/* ---- Reading: the text ends with a NUL, which is Lua's, or earlier with one of its own ---- */

enum token {
    T_OBJ_BEGIN,
    T_OBJ_END,
    T_ARR_BEGIN,
    T_ARR_END,
    T_STRING,
    T_NUMBER,
    T_BOOLEAN,
    T_NULL,
    T_COLON,
    T_COMMA,
    T_END,
    T_ERROR
};

static const char *const token_names[] = {
    "T_OBJ_BEGIN", "T_OBJ_END", "T_ARR_BEGIN", "T_ARR_END", "T_STRING", "T_NUMBER",
    "T_BOOLEAN",   "T_NULL",    "T_COLON",     "T_COMMA",   "T_END",
};

struct in {
    lua_State *L;
    const struct script_json *set;
    const char *text, *p;
    const char *token_at;
    const char *error; /* of T_ERROR */
    double number;
    bool truth;
    uint32_t n;
};

static enum token fault(struct in *i, const char *error)
{
    i->error = error;
    i->token_at = i->p;
    return T_ERROR;
}

static NO_RETURN void expected(const struct in *i, const char *what, enum token found)
{
    (void)luaL_error(i->L, "Expected %s but found %s at character %d", what,
                     found == T_ERROR ? i->error : token_names[found],
                     (int)(i->token_at - i->text) + 1);
    abort(); /* not reached */
}

/* Four hexadecimal digits; -1: they are not there. */
static int read_hex(const char *p)
{
    int n = 0;

    for (int i = 0; i < 4; i++) {
        char c = slice_lower(p[i]);

        if (c >= '0' && c <= '9') {
            n = n * 16 + (c - '0');
        } else if (c >= 'a' && c <= 'f') {
            n = n * 16 + (c - 'a' + 10);
        } else {
            return -1;
        }
    }
    return n;
}

static size_t put_utf8(char *to, int code)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 0x3f));
        to[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 0x3f));
    to[2] = (char)(0x80 | (code >> 6 & 0x3f));
    to[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* At "\u"; false: it is none, or half a surrogate pair. */
static bool read_unicode(struct in *i, luaL_Buffer *b)
{
    int code = read_hex(i->p + 2);
    size_t len = 6;
    char utf8[4];

    if (code < 0) {
        return false;
    }
    if ((code & 0xf800) == 0xd800) {
        int low =
            (code & 0x400) != 0 || i->p[6] != '\\' || i->p[7] != 'u' ? -1 : read_hex(i->p + 8);

        if (low < 0 || (low & 0xfc00) != 0xdc00) {
            return false;
        }
        code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
        len = 12;
    }
    luaL_addlstring(b, utf8, put_utf8(utf8, code));
    i->p += len;
    return true;
}

static char unescape(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'f':
        return '\f';
    case 'r':
        return '\r';
    default:
        return 0;
    }
}

/* Behind the opening quote: pushes the string. */
static enum token read_string(struct in *i)
{
    size_t plain = strcspn(i->p, "\"\\");
    luaL_Buffer b;

    if (i->p[plain] == '"') {
        lua_pushlstring(i->L, i->p, plain);
        i->p += plain + 1;
        return T_STRING;
    }
    luaL_buffinit(i->L, &b);
    for (;;) {
        plain = strcspn(i->p, "\"\\");
        luaL_addlstring(&b, i->p, plain);
        i->p += plain;
        if (*i->p == '"') {
            break;
        }
        if (*i->p == '\0') {
            return fault(i, "unexpected end of string");
        }
        if (i->p[1] == 'u') {
            if (!read_unicode(i, &b)) {
                return fault(i, "invalid unicode escape code");
            }
            continue;
        }
        char c = unescape(i->p[1]);

        if (c == 0) {
            return fault(i, "invalid escape code");
        }
        luaL_addchar(&b, c);
        i->p += 2;
        look(i->L, &i->n);
    }
    luaL_pushresult(&b);
    i->p++;
    return T_STRING;
}

/* What strtod() reads and JSON has not. */
static bool is_invalid_number(const char *p)
{
    if (*p == '+') {
        return true;
    }
    p += *p == '-';
    if (*p == '0') {
        return slice_lower(p[1]) == 'x' || (p[1] >= '0' && p[1] <= '9');
    }
    return *p > '9' && (strncasecmp(p, "inf", 3) == 0 || strncasecmp(p, "nan", 3) == 0);
}

static enum token read_number(struct in *i)
{
    char *end;

    i->number = strtod(i->p, &end);
    if (end == i->p) {
        return fault(i, "invalid number");
    }
    i->p = end;
    return T_NUMBER;
}

static enum token read_word(struct in *i)
{
    if (*i->p == '-' || (*i->p >= '0' && *i->p <= '9')) {
        return !i->set->decode_invalid && is_invalid_number(i->p) ? fault(i, "invalid number")
                                                                  : read_number(i);
    }
    if (strncmp(i->p, "true", 4) == 0 || strncmp(i->p, "false", 5) == 0) {
        i->truth = *i->p == 't';
        i->p += i->truth ? 4 : 5;
        return T_BOOLEAN;
    }
    if (strncmp(i->p, "null", 4) == 0) {
        i->p += 4;
        return T_NULL;
    }
    /* Of letters that begin one only. */
    if (i->set->decode_invalid && strchr("iInN+", *i->p) != NULL && is_invalid_number(i->p)) {
        return read_number(i);
    }
    return fault(i, "invalid token");
}

static enum token next_token(struct in *i)
{
    static const char marks[] = "{}[]";

    i->p += strspn(i->p, " \t\n\r");
    i->token_at = i->p;
    look(i->L, &i->n);
    switch (*i->p) {
    case '\0':
        return T_END;
    case '{':
    case '}':
    case '[':
    case ']':
        return (enum token)(strchr(marks, *i->p++) - marks);
    case ':':
        i->p++;
        return T_COLON;
    case ',':
        i->p++;
        return T_COMMA;
    case '"':
        i->p++;
        return read_string(i);
    default:
        return read_word(i);
    }
}

/* Pushes the value that begins with the token; true: it is a container, which is open. */
static bool begin_value(struct in *i, enum token t)
{
    switch (t) {
    case T_STRING:
        return false; /* it is there */
    case T_NUMBER:
        lua_pushnumber(i->L, i->number);
        return false;
    case T_BOOLEAN:
        lua_pushboolean(i->L, i->truth);
        return false;
    case T_NULL:
        lua_pushlightuserdata(i->L, NULL);
        return false;
    case T_OBJ_BEGIN:
    case T_ARR_BEGIN:
        lua_newtable(i->L);
        return true;
    case T_OBJ_END:
    case T_ARR_END:
    case T_COLON:
    case T_COMMA:
    case T_END:
    case T_ERROR:
        break;
    }
    expected(i, "value", t);
}

/* Of a container that has just been opened, or after one of its values: the token that begins its next value,
 * behind its key; T_END: the container is closed. */
static enum token next_in(struct in *i, struct level *l)
{
    enum token close = l->is_object ? T_OBJ_END : T_ARR_END;
    enum token t = next_token(i);

    if (t == close) {
        return T_END;
    }
    if (l->is_begun) {
        if (t != T_COMMA) {
            expected(i, l->is_object ? "comma or object end" : "comma or array end", t);
        }
        t = next_token(i);
    }
    l->is_begun = true;
    if (l->is_object) {
        if (t != T_STRING) {
            expected(i, "object key string", t);
        }
        t = next_token(i);
        if (t != T_COLON) {
            expected(i, "colon", t);
        }
        t = next_token(i);
    }
    if (t == T_END) {
        expected(i, "value", t);
    }
    return t;
}

/* The value at the top is whole. */
static void settle(struct in *i, struct level *l)
{
    if (l->is_object) {
        lua_rawset(i->L, -3);
    } else {
        lua_rawseti(i->L, -2, ++l->at);
    }
}

static void open_level(struct in *i, enum token t, struct level *levels, uint32_t *depth)
{
    if (*depth == DEPTH || !lua_checkstack(i->L, 6)) {
        (void)luaL_error(i->L, "Found too many nested data structures (%d) at character %d",
                         (int)*depth + 1, (int)(i->p - i->text));
    }
    levels[(*depth)++] = (struct level){.is_object = t == T_OBJ_BEGIN};
}

static int json_decode(lua_State *L)
{
    struct level levels[DEPTH];
    size_t len;
    uint32_t depth = 0;

    luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
    const char *text = luaL_checklstring(L, 1, &len);
    struct in i = {.L = L, .set = &script_run_of(L)->json, .text = text, .p = text};

    if (len >= 2 && (text[0] == '\0' || text[1] == '\0')) {
        return luaL_error(L, "JSON parser does not support UTF-16 or UTF-32");
    }
    enum token t = next_token(&i);

    if (begin_value(&i, t)) {
        open_level(&i, t, levels, &depth);
    }
    while (depth > 0) {
        t = next_in(&i, &levels[depth - 1]);
        if (t == T_END) {
            depth--;
        } else if (begin_value(&i, t)) {
            open_level(&i, t, levels, &depth);
            continue;
        }
        if (t != T_END || depth > 0) {
            settle(&i, &levels[depth - 1]);
        }
    }
    t = next_token(&i);
    if (t != T_END) {
        expected(&i, "the end", t);
    }
    script_check(L);
    return 1;
}

/* ---- Settings ---- */

/* What they are at a run's beginning. */
void script_json_begin(struct script_json *set)
{
    *set = (struct script_json){.sparse_ratio = 2,
                                .sparse_safe = 10,
                                .precision = 14,
                                .encode_invalid = SCRIPT_JSON_OFF,
                                .decode_invalid = true};
}

static void check_args(lua_State *L, int most)
{
    luaL_argcheck(L, lua_gettop(L) <= most, most + 1, "found too many arguments");
}

static int whole_arg(lua_State *L, int index, int low, int high, int otherwise)
{
    char said[64];

    if (lua_isnoneornil(L, index)) {
        return otherwise;
    }
    int n = luaL_checkint(L, index);

    (void)snprintf(said, sizeof(said), "expected integer between %d and %d", low, high);
    luaL_argcheck(L, low <= n && n <= high, index, said);
    return n;
}

static int json_sparse(lua_State *L)
{
    struct script_json *set = &script_run_of(L)->json;

    check_args(L, 3);
    if (!lua_isnoneornil(L, 1)) {
        luaL_checktype(L, 1, LUA_TBOOLEAN);
        set->sparse_converts = lua_toboolean(L, 1);
    }
    set->sparse_ratio = whole_arg(L, 2, 0, INT32_MAX, set->sparse_ratio);
    set->sparse_safe = whole_arg(L, 3, 0, INT32_MAX, set->sparse_safe);
    lua_pushboolean(L, set->sparse_converts);
    lua_pushinteger(L, set->sparse_ratio);
    lua_pushinteger(L, set->sparse_safe);
    return 3;
}

/* Nobody may have it deeper, or keep a buffer: they answer what is. */
static int json_depth(lua_State *L)
{
    lua_pushinteger(L, DEPTH);
    return 1;
}

static int json_keep(lua_State *L)
{
    lua_pushboolean(L, 1);
    return 1;
}

static int json_precision(lua_State *L)
{
    struct script_json *set = &script_run_of(L)->json;

    check_args(L, 1);
    set->precision = whole_arg(L, 1, 1, 14, set->precision);
    lua_pushinteger(L, set->precision);
    return 1;
}

static int json_encode_invalid(lua_State *L)
{
    static const char *const words[] = {"off", "on", "null", NULL};
    struct script_json *set = &script_run_of(L)->json;

    check_args(L, 1);
    if (lua_isboolean(L, 1)) {
        set->encode_invalid = lua_toboolean(L, 1) ? SCRIPT_JSON_ON : SCRIPT_JSON_OFF;
    } else if (!lua_isnoneornil(L, 1)) {
        set->encode_invalid = (enum script_json_invalid)luaL_checkoption(L, 1, NULL, words);
    }
    if (set->encode_invalid == SCRIPT_JSON_NULL) {
        lua_pushliteral(L, "null");
    } else {
        lua_pushboolean(L, set->encode_invalid == SCRIPT_JSON_ON);
    }
    return 1;
}

static int json_decode_invalid(lua_State *L)
{
    static const char *const words[] = {"off", "on", NULL};
    struct script_json *set = &script_run_of(L)->json;

    check_args(L, 1);
    if (lua_isboolean(L, 1)) {
        set->decode_invalid = lua_toboolean(L, 1);
    } else if (!lua_isnoneornil(L, 1)) {
        set->decode_invalid = luaL_checkoption(L, 1, NULL, words) == 1;
    }
    lua_pushboolean(L, set->decode_invalid);
    return 1;
}

void script_open_json(lua_State *L)
{
    static const luaL_Reg fns[] = {{"encode", json_encode},
                                   {"decode", json_decode},
                                   {"encode_sparse_array", json_sparse},
                                   {"encode_max_depth", json_depth},
                                   {"decode_max_depth", json_depth},
                                   {"encode_keep_buffer", json_keep},
                                   {"encode_number_precision", json_precision},
                                   {"encode_invalid_numbers", json_encode_invalid},
                                   {"decode_invalid_numbers", json_decode_invalid},
                                   {NULL, NULL}};

    lua_newtable(L);
    luaL_register(L, NULL, fns);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushliteral(L, "cjson");
    lua_setfield(L, -2, "_NAME");
    lua_pushliteral(L, "2.1.0");
    lua_setfield(L, -2, "_VERSION");
}
