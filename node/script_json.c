/* script_json.c - cjson: JSON to Lua and back, as lua-cjson 2.1 does it and Redis has it.
 *
 * Written here because lua-cjson keeps its buffers outside of the state's memory limit, loses them when Lua
 * runs out of memory, and ends the process when there is none. Here all memory is Lua's (L2), nothing
 * recurses, and the budget is looked at on the way (L4). Settings are a run's own. Reading is script_json_read.c. */
#include "node/script_json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_BYTES = 256, NUMBER_MAX = 64 };

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
        script_json_look(L, &o->n);
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

/* The table at the top. */
static void open_table(struct out *o, struct script_json_level *l)
{
    double len = array_length(o);

    *l = (struct script_json_level){.is_object = len <= 0, .len = (int)len};
    put_char(o, l->is_object ? '{' : '[');
    if (l->is_object) {
        lua_pushnil(o->L);
    }
}

/* The value at the top is written and popped, or is a table that is opened. */
static void put_value(struct out *o, struct script_json_level *levels, uint32_t *depth)
{
    lua_State *L = o->L;

    script_json_look(L, &o->n);
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
        if (*depth == SCRIPT_JSON_DEPTH || !lua_checkstack(L, 6)) {
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
static bool next_value(struct out *o, struct script_json_level *l)
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
    struct script_json_level levels[SCRIPT_JSON_DEPTH];
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
    lua_pushinteger(L, SCRIPT_JSON_DEPTH);
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
                                   {"decode", script_json_decode},
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
