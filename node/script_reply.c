/* script_reply.c - replies to Lua and Lua to replies, by Redis' rules. Iterative, so that nothing that nests
 * takes a stack of C's. */
#include "base/err.h"
#include "base/parse.h"
#include "node/script_host.h"
#include "proto/number.h"
#include "proto/resp_reply.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* A value in a table takes no less memory than VALUE_BYTES, so more of them are some of them again. */
enum { DEPTH_MAX = RESP_REPLY_DEPTH_MAX, VALUE_BYTES = sizeof(double) * 2, SHARED_MAX = 2 };

/* ---- To Lua ---- */

struct level {
    char type;
    uint64_t left;
    int filled;
};

static void push_text_field(lua_State *L, const char *field, struct slice text)
{
    lua_createtable(L, 0, 1);
    lua_pushlstring(L, text.ptr, text.len);
    lua_setfield(L, -2, field);
}

/* What the server writes itself. */
static lua_Number int_of(struct slice text)
{
    int64_t n = 0;
    bool fine = parse_i64(text, &n);

    assert(fine);
    (void)fine;
    return (lua_Number)n;
}

static double double_of(struct slice text)
{
    char copy[64];
    size_t n = text.len < sizeof(copy) - 1 ? text.len : sizeof(copy) - 1;

    memcpy(copy, text.ptr, n);
    copy[n] = '\0';
    return strtod(copy, NULL);
}

static void push_scalar(lua_State *L, const struct resp_value *v, int resp)
{
    if (v->null) {
        if (resp == 3 && v->type == '_') {
            lua_pushnil(L);
        } else {
            lua_pushboolean(L, 0);
        }
        return;
    }
    switch (v->type) {
    case '+':
        push_text_field(L, "ok", v->text);
        break;
    case '-':
    case '!':
        push_text_field(L, "err", v->text);
        break;
    case ':':
        lua_pushnumber(L, int_of(v->text));
        break;
    case '#':
        lua_pushboolean(L, v->text.len > 0 && v->text.ptr[0] == 't');
        break;
    case ',':
        lua_createtable(L, 0, 1);
        lua_pushnumber(L, double_of(v->text));
        lua_setfield(L, -2, "double");
        break;
    case '(':
        push_text_field(L, "big_number", v->text);
        break;
    case '=':
        lua_createtable(L, 0, 1);
        lua_createtable(L, 0, 2);
        lua_pushlstring(L, v->text.ptr, 3);
        lua_setfield(L, -2, "format");
        lua_pushlstring(L, v->text.ptr + 4, v->text.len - 4);
        lua_setfield(L, -2, "string");
        lua_setfield(L, -2, "verbatim_string");
        break;
    default:
        lua_pushlstring(L, v->text.ptr, v->text.len);
    }
}

static bool is_aggregate(const struct resp_value *v)
{
    return !v->null && (v->type == '*' || v->type == '~' || v->type == '%' || v->type == '>');
}

static void push_open(lua_State *L, const struct resp_value *v)
{
    int n = v->children < INT32_MAX ? (int)v->children : 0;

    if (v->type == '%' || v->type == '~') {
        lua_createtable(L, 0, 1);
        lua_createtable(L, 0, n);
    } else {
        lua_createtable(L, n, 0);
    }
}

/* The value at the top is whole: it goes into what it belongs to, and so on. */
static uint32_t settle(lua_State *L, struct level *levels, uint32_t depth)
{
    while (depth > 0) {
        struct level *at = &levels[depth - 1];

        at->filled++;
        at->left--;
        if (at->type == '%') {
            if (at->filled % 2 == 0) {
                if (lua_isnil(L, -2)) {
                    lua_pop(L, 2);
                } else {
                    lua_rawset(L, -3);
                }
            }
        } else if (at->type == '~') {
            lua_pushboolean(L, 1);
            lua_rawset(L, -3);
        } else {
            lua_rawseti(L, -2, at->filled);
        }
        if (at->left > 0) {
            return depth;
        }
        if (at->type == '%' || at->type == '~') {
            lua_setfield(L, -2, at->type == '%' ? "map" : "set");
        }
        depth--;
    }
    return 0;
}

static struct slice form_of(struct script_run *r)
{
    if ((r->reply.flags & (REPLY_DIFFERS | REPLY_MARKED)) == 0) {
        return buf_slice(&r->reply.out);
    }
    buf_clear(&r->convert);
    int err = r->resp == 3 ? resp_reply_strip(buf_slice(&r->reply.out), &r->convert)
                           : resp_reply_to2(buf_slice(&r->reply.out), &r->convert);

    return err == OK ? buf_slice(&r->convert) : SLICE("-ERR the reply does not fit\r\n");
}

static void read_value(lua_State *L, struct resp_reader *in, struct resp_value *v)
{
    if (UNLIKELY(resp_reply_next(in, v) != PARSE_DONE)) {
        (void)luaL_error(L, "the reply cannot be read");
    }
}

/* The aggregate that begins with v. */
static void push_aggregate(lua_State *L, const struct script_run *r, struct resp_reader *in,
                           struct resp_value v)
{
    struct level levels[DEPTH_MAX];
    uint32_t depth = 0;

    luaL_checkstack(L, DEPTH_MAX * 3, "a reply that nests deep");
    for (;; read_value(L, in, &v)) {
        if (depth >= DEPTH_MAX) {
            (void)luaL_error(L, "the reply cannot be read");
        }
        if (!is_aggregate(&v)) {
            push_scalar(L, &v, r->resp);
            depth = settle(L, levels, depth);
        } else {
            push_open(L, &v);
            if (v.children > 0) {
                levels[depth++] = (struct level){.type = v.type, .left = v.children};
                continue;
            }
            if (v.type == '%' || v.type == '~') {
                lua_setfield(L, -2, v.type == '%' ? "map" : "set");
            }
            depth = settle(L, levels, depth);
        }
        if (depth == 0) {
            return;
        }
    }
}

void script_push_reply(lua_State *L, struct script_run *r)
{
    struct resp_reader in = {.in = form_of(r)};
    struct resp_value v;

    read_value(L, &in, &v);
    if (is_aggregate(&v)) {
        push_aggregate(L, r, &in, v);
    } else {
        push_scalar(L, &v, r->resp);
    }
}

/* ---- From Lua ---- */

struct open_table {
    size_t at; /* where its count stands */
    int n;     /* elements so far */
    char type; /* * % ~ */
};

static int64_t integer_of(double x)
{
    return x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? (int64_t)x : INT64_MIN;
}

static void write_scalar(lua_State *L, struct reply *to, int resp)
{
    struct slice text;

    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        text.ptr = lua_tolstring(L, -1, &text.len);
        reply_bulk(to, text);
        break;
    case LUA_TNUMBER:
        reply_int(to, integer_of(lua_tonumber(L, -1)));
        break;
    case LUA_TBOOLEAN:
        if (resp == 3) {
            reply_bool(to, lua_toboolean(L, -1) != 0);
        } else if (lua_toboolean(L, -1)) {
            reply_int(to, 1);
        } else {
            reply_null(to);
        }
        break;
    default:
        reply_null(to);
    }
}

/* A field of the table at the top, raw; popped by the caller if true. */
static bool has_field(lua_State *L, const char *name, int type)
{
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    if (lua_type(L, -1) == type) {
        return true;
    }
    lua_pop(L, 1);
    return false;
}

static void write_error(lua_State *L, struct reply *to)
{
    const char *text = lua_tostring(L, -1);

    text += *text == '-';
    reply_errf(to, "%s", text);
}

static void write_verbatim(lua_State *L, struct reply *to)
{
    struct slice text;
    char format[4];

    if (has_field(L, "format", LUA_TSTRING)) {
        (void)snprintf(format, sizeof(format), "%-3.3s", lua_tostring(L, -1));
        lua_pop(L, 1);
        if (has_field(L, "string", LUA_TSTRING)) {
            text.ptr = lua_tolstring(L, -1, &text.len);
            reply_verbatim(to, format, text);
            lua_pop(L, 1);
            return;
        }
    }
    reply_null(to);
}

static void write_status(lua_State *L, struct reply *to)
{
    char line[512];
    struct slice text;

    text.ptr = lua_tolstring(L, -1, &text.len);
    text.len = text.len < sizeof(line) ? text.len : sizeof(line);
    for (size_t i = 0; i < text.len; i++) {
        line[i] = text.ptr[i] == '\r' || text.ptr[i] == '\n' ? ' ' : text.ptr[i];
    }
    reply_simple(to, (struct slice){line, text.len});
}

static void write_big(lua_State *L, struct reply *to)
{
    char line[512];
    struct slice text;

    text.ptr = lua_tolstring(L, -1, &text.len);
    text.len = text.len < sizeof(line) ? text.len : sizeof(line);
    for (size_t i = 0; i < text.len; i++) {
        line[i] = text.ptr[i] == '\r' || text.ptr[i] == '\n' ? ' ' : text.ptr[i];
    }
    reply_big(to, (struct slice){line, text.len});
}

/* Whether the table at the top has no names at all, as a plain array: Lua's own order gives the elements first,
 * and nothing behind the last. (If not, it may be an array all the same: this saves asking for each name.) */
static bool is_plain(lua_State *L)
{
    int n = (int)lua_objlen(L, -1);

    if (n == 0) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, n);
    }
    if (lua_next(L, -2) == 0) {
        return true;
    }
    lua_pop(L, 2);
    return false;
}

/* A table that stands for one value. */
static bool write_as_one(lua_State *L, struct reply *to)
{
    if (has_field(L, "err", LUA_TSTRING)) {
        write_error(L, to);
    } else if (has_field(L, "ok", LUA_TSTRING)) {
        write_status(L, to);
    } else if (has_field(L, "double", LUA_TNUMBER)) {
        reply_double(to, lua_tonumber(L, -1));
    } else if (has_field(L, "big_number", LUA_TSTRING)) {
        write_big(L, to);
    } else if (has_field(L, "verbatim_string", LUA_TTABLE)) {
        write_verbatim(L, to);
    } else {
        return false;
    }
    lua_pop(L, 1);
    return true;
}

/* The table at the top: what holds its elements replaces it, with what lua_next() wants above. */
static void open_table(lua_State *L, struct reply *to, struct open_table *t, bool plain)
{
    t->type = '*';
    t->n = 0;
    if (plain) {
        t->at = reply_array_later(to);
        return;
    }
    if (has_field(L, "map", LUA_TTABLE)) {
        t->type = '%';
    } else if (has_field(L, "set", LUA_TTABLE)) {
        t->type = '~';
    }
    if (t->type != '*') {
        lua_remove(L, -2);
        lua_pushnil(L);
    }
    t->at = reply_array_later(to);
}

/* Pushes the next element to be written. False: that was all, and the table is closed and popped. */
static bool next_element(lua_State *L, struct reply *to, struct open_table *t)
{
    if (t->type == '*') {
        lua_rawgeti(L, -1, t->n + 1);
        if (!lua_isnil(L, -1)) {
            t->n++;
            return true;
        }
        lua_pop(L, 2);
        reply_array_count(to, t->at, (size_t)t->n);
        return false;
    }
    if (t->type == '%' && t->n % 2 == 1) { /* table, key: its value is next */
        t->n++;
        lua_pushvalue(L, -1);
        lua_rawget(L, -3);
        return true;
    }
    if (lua_next(L, -2) != 0) {
        lua_pop(L, 1); /* the key stays, for lua_next() */
        lua_pushvalue(L, -1);
        t->n++;
        return true;
    }
    lua_pop(L, 1);
    if (t->type == '%') {
        reply_map_count(to, t->at, (size_t)t->n / 2);
    } else {
        reply_set_count(to, t->at, (size_t)t->n);
    }
    return false;
}

const char *script_write_reply(lua_State *L, struct reply *to, int resp, size_t limit)
{
    struct open_table levels[DEPTH_MAX];
    size_t bytes_end = to->out.len + limit * SHARED_MAX;
    size_t values_left = limit / VALUE_BYTES;
    uint32_t depth = 0;

    luaL_checkstack(L, DEPTH_MAX * 3 + 8, "a value that nests deep");
    do {
        bool plain = lua_istable(L, -1) && is_plain(L);

        if (UNLIKELY(values_left-- == 0 || to->out.len > bytes_end)) {
            return "the script's reply is too large";
        }
        if (!lua_istable(L, -1)) {
            write_scalar(L, to, resp);
            lua_pop(L, 1);
        } else if (!plain && write_as_one(L, to)) {
            lua_pop(L, 1);
        } else if (depth == DEPTH_MAX - 1) {
            return "reached lua stack limit";
        } else {
            open_table(L, to, &levels[depth++], plain);
        }
        while (depth > 0 && !next_element(L, to, &levels[depth - 1])) {
            depth--;
        }
    } while (depth > 0 && !to->failed);
    return NULL;
}
