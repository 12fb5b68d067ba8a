/* script_pack.c - cmsgpack: MessagePack for scripts, as Redis' library of that name has it.
 *
 * Tables nest up to DEPTH_MAX (deeper ones are nil, as there); what is packed is bounded by the state's
 * memory, and tables that are met again and again by the budget. */
#include "node/script_host.h"

#include <assert.h>
#include <math.h>

enum { DEPTH_MAX = 16, VALUES_MAX = 1000 };

/* ---- Packing ---- */

static void put(luaL_Buffer *b, unsigned char head, uint64_t value, int bytes)
{
    luaL_addchar(b, (char)head);
    while (bytes-- > 0) {
        luaL_addchar(b, (char)(value >> (8 * bytes)));
    }
}

static void put_len(luaL_Buffer *b, size_t n, unsigned char fix, size_t fix_max,
                    unsigned char head16)
{
    if (n <= fix_max) {
        luaL_addchar(b, (char)(fix | n));
    } else if (n <= 0xffff) {
        put(b, head16, n, 2);
    } else {
        put(b, head16 + 1, n, 4);
    }
}

static void put_string(luaL_Buffer *b, const char *s, size_t len)
{
    if (len > 31 && len <= 0xff) {
        put(b, 0xd9, len, 1);
    } else {
        put_len(b, len, 0xa0, 31, 0xda);
    }
    luaL_addlstring(b, s, len);
}

static void put_integer(luaL_Buffer *b, int64_t n)
{
    if (n >= 0) {
        if (n <= 127) {
            luaL_addchar(b, (char)n);
        } else if (n <= 0xff) {
            put(b, 0xcc, (uint64_t)n, 1);
        } else if (n <= 0xffff) {
            put(b, 0xcd, (uint64_t)n, 2);
        } else {
            put(b, n <= 0xffffffffLL ? 0xce : 0xcf, (uint64_t)n, n <= 0xffffffffLL ? 4 : 8);
        }
    } else if (n >= -32) {
        luaL_addchar(b, (char)n);
    } else if (n >= -128) {
        put(b, 0xd0, (uint64_t)n, 1);
    } else if (n >= -32768) {
        put(b, 0xd1, (uint64_t)n, 2);
    } else {
        put(b, n >= INT32_MIN ? 0xd2 : 0xd3, (uint64_t)n, n >= INT32_MIN ? 4 : 8);
    }
}

static void put_number(luaL_Buffer *b, double x)
{
    union {
        double d;
        uint64_t bits;
    } wide = {.d = x};
    union {
        float f;
        uint32_t bits;
    } narrow = {.f = (float)x};

    if (x >= -9223372036854775808.0 && x < 9223372036854775808.0 && x == floor(x)) {
        put_integer(b, (int64_t)x);
    } else if ((double)narrow.f == x) {
        put(b, 0xca, narrow.bits, 4);
    } else {
        put(b, 0xcb, wide.bits, 8);
    }
}

static bool is_array(lua_State *L, int at, size_t *n)
{
    size_t count = 0;
    size_t max = 0;

    for (lua_pushnil(L); lua_next(L, at) != 0; lua_pop(L, 1)) {
        double k = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;

        if (k < 1 || k != floor(k) || k > 0x7fffffff) {
            lua_pop(L, 2);
            return false;
        }
        max = (size_t)k > max ? (size_t)k : max;
        count++;
    }
    *n = max;
    return max == count;
}

static void pack(lua_State *L, luaL_Buffer *b, int at, int depth);

/* A Lua buffer keeps pieces on the stack, so a value is copied to a fixed place before it is packed. */
static void pack_table(lua_State *L, luaL_Buffer *b, int at, int depth)
{
    size_t n;
    int slot = 2 + depth * 3; /* of this level: table, key, value */

    lua_pushvalue(L, at);
    lua_replace(L, slot);
    if (is_array(L, slot, &n)) {
        put_len(b, n, 0x90, 15, 0xdc);
        for (size_t i = 1; i <= n; i++) {
            lua_rawgeti(L, slot, (int)i);
            lua_replace(L, slot + 2);
            pack(L, b, slot + 2, depth + 1);
        }
        return;
    }
    n = 0;
    for (lua_pushnil(L); lua_next(L, slot) != 0; lua_pop(L, 1)) {
        n++;
    }
    put_len(b, n, 0x80, 15, 0xde);
    lua_pushnil(L);
    lua_replace(L, slot + 1);
    while (n-- > 0) {
        lua_pushvalue(L, slot + 1);
        if (lua_next(L, slot) == 0) {
            break;
        }
        lua_replace(L, slot + 2);
        lua_replace(L, slot + 1);
        pack(L, b, slot + 1, depth + 1);
        pack(L, b, slot + 2, depth + 1);
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): bounded by DEPTH_MAX */
static void pack(lua_State *L, luaL_Buffer *b, int at, int depth)
{
    size_t len;
    const char *s;

    script_check(L);
    switch (lua_type(L, at)) {
    case LUA_TSTRING:
        s = lua_tolstring(L, at, &len);
        put_string(b, s, len);
        break;
    case LUA_TNUMBER:
        put_number(b, lua_tonumber(L, at));
        break;
    case LUA_TBOOLEAN:
        luaL_addchar(b, (char)(lua_toboolean(L, at) ? 0xc3 : 0xc2));
        break;
    case LUA_TTABLE:
        if (depth < DEPTH_MAX) {
            pack_table(L, b, at, depth);
            break;
        }
        luaL_addchar(b, (char)0xc0);
        break;
    default:
        luaL_addchar(b, (char)0xc0);
    }
}

static int pack_all(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_Buffer b;

    if (n == 0) {
        return luaL_argerror(L, 0, "MessagePack pack needs input.");
    }
    /* At 1 the arguments, behind them a place for every level. */
    lua_createtable(L, n, 0);
    lua_insert(L, 1);
    for (int i = n; i > 0; i--) {
        lua_rawseti(L, 1, i);
    }
    luaL_checkstack(L, DEPTH_MAX * 3 + 40, "no room");
    lua_settop(L, 2 + DEPTH_MAX * 3 + 4);
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        int at = 2 + DEPTH_MAX * 3 + 4;

        lua_rawgeti(L, 1, i);
        lua_replace(L, at);
        pack(L, &b, at, 0);
    }
    luaL_pushresult(&b);
    return 1;
}

/* ---- Unpacking ---- */

struct in {
    lua_State *L;
    const unsigned char *at;
    size_t left;
};

static uint64_t take(struct in *in, size_t bytes)
{
    uint64_t value = 0;

    if (in->left < bytes) {
        (void)luaL_error(in->L, "Missing bytes in input.");
    }
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | in->at[i];
    }
    in->at += bytes;
    in->left -= bytes;
    return value;
}

static void take_string(struct in *in, size_t len)
{
    if (in->left < len) {
        (void)luaL_error(in->L, "Missing bytes in input.");
    }
    lua_pushlstring(in->L, (const char *)in->at, len);
    in->at += len;
    in->left -= len;
}

static void take_float(struct in *in, bool is_wide)
{
    union {
        double d;
        uint64_t bits;
    } wide;
    union {
        float f;
        uint32_t bits;
    } narrow;

    if (is_wide) {
        wide.bits = take(in, 8);
        lua_pushnumber(in->L, wide.d);
    } else {
        narrow.bits = (uint32_t)take(in, 4);
        lua_pushnumber(in->L, narrow.f);
    }
}

struct open {
    uint64_t left; /* values */
    uint64_t n;
    bool is_map;
};

static void open_table(struct in *in, struct open *o, uint64_t n, bool is_map)
{
    /* Each value has a byte at least. */
    if (n > in->left || (is_map && 2 * n > in->left)) {
        (void)luaL_error(in->L, "Missing bytes in input.");
    }
    *o = (struct open){.left = is_map ? 2 * n : n, .is_map = is_map};
    lua_newtable(in->L);
}

/* True: a table was opened; else a value was pushed. */
static bool take_one(struct in *in, struct open *o)
{
    lua_State *L = in->L;
    unsigned head = (unsigned)take(in, 1);

    if (head <= 0x7f || head >= 0xe0) {
        lua_pushnumber(L, (signed char)head);
    } else if (head <= 0x9f) {
        open_table(in, o, head & 15, head <= 0x8f);
        return true;
    } else if (head <= 0xbf) {
        take_string(in, head & 31);
    } else if (head == 0xc2 || head == 0xc3) {
        lua_pushboolean(L, head == 0xc3);
    } else if (head >= 0xc4 && head <= 0xc6) {
        take_string(in, take(in, (size_t)1 << (head - 0xc4)));
    } else if (head == 0xca || head == 0xcb) {
        take_float(in, head == 0xcb);
    } else if (head >= 0xcc && head <= 0xcf) {
        lua_pushnumber(L, (lua_Number)take(in, (size_t)1 << (head - 0xcc)));
    } else if (head >= 0xd0 && head <= 0xd3) {
        unsigned bytes = 1u << (head - 0xd0);
        unsigned above = 64 - 8 * bytes;

        assert(above < 64);
        uint64_t raw = take(in, bytes) << above;

        lua_pushnumber(L, (lua_Number)((int64_t)raw >> above));
    } else if (head >= 0xd9 && head <= 0xdb) {
        take_string(in, take(in, (size_t)1 << (head - 0xd9)));
    } else if (head >= 0xdc) {
        open_table(in, o, take(in, (head & 1) != 0 ? 4 : 2), head >= 0xde);
        return true;
    } else if (head == 0xc0) {
        lua_pushnil(L);
    } else {
        (void)luaL_error(L, "Bad data format in input.");
    }
    return false;
}

/* The value at the top is whole. */
static int store(lua_State *L, struct open *levels, int depth)
{
    while (depth > 0) {
        struct open *o = &levels[depth - 1];

        o->left--;
        if (!o->is_map) {
            lua_rawseti(L, -2, (int)++o->n);
        } else if (o->left % 2 == 0) {
            if (lua_isnil(L, -2) || (lua_isnumber(L, -2) && isnan(lua_tonumber(L, -2)))) {
                lua_pop(L, 2);
            } else {
                lua_rawset(L, -3);
            }
        }
        if (o->left > 0) {
            return depth;
        }
        depth--;
    }
    return 0;
}

static void unpack_one(struct in *in)
{
    enum { LEVELS = 200 };
    struct open levels[LEVELS];
    int depth = 0;

    luaL_checkstack(in->L, LEVELS * 2 + 8, "no room");
    do {
        if (depth == LEVELS) {
            (void)luaL_error(in->L, "too many levels in input");
        }
        if (!take_one(in, &levels[depth]) || levels[depth].left == 0) {
            depth = store(in->L, levels, depth);
        } else {
            depth++;
        }
    } while (depth > 0);
}

static int unpack_some(lua_State *L, lua_Integer most, lua_Integer from, bool says_where)
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    struct in in = {.L = L};
    int n = 0;

    if (from < 0 || most < 0) {
        return luaL_error(L, "Invalid request to unpack with offset of %d and limit of %d.",
                          (int)from, (int)len); /* as the library says it */
    }
    if ((size_t)from > len) {
        return luaL_error(L, "Start offset %d greater than input length %d.", (int)from, (int)len);
    }
    in.at = (const unsigned char *)s + from;
    in.left = len - (size_t)from;
    most = most == 0 || most > VALUES_MAX ? VALUES_MAX : most;
    if (says_where) {
        lua_pushinteger(L, -1);
        n++;
    }
    while (in.left > 0 && most-- > 0) {
        luaL_checkstack(L, 4, "too many values");
        unpack_one(&in);
        n++;
    }
    if (says_where) {
        lua_pushinteger(L, in.left == 0 ? -1 : (lua_Integer)(len - in.left));
        lua_replace(L, -1 - n);
    }
    script_check(L);
    return n;
}

static int unpack_all(lua_State *L)
{
    return unpack_some(L, 0, 0, false);
}

static int unpack_first(lua_State *L)
{
    lua_Integer from = luaL_optinteger(L, 2, 0);

    lua_settop(L, 1);
    return unpack_some(L, 1, from, true);
}

static int unpack_limit(lua_State *L)
{
    lua_Integer most = luaL_checkinteger(L, 2);
    lua_Integer from = luaL_optinteger(L, 3, 0);

    lua_settop(L, 1);
    return unpack_some(L, most, from, true);
}

void script_open_pack(lua_State *L)
{
    static const luaL_Reg fns[] = {{"pack", pack_all},
                                   {"unpack", unpack_all},
                                   {"unpack_one", unpack_first},
                                   {"unpack_limit", unpack_limit},
                                   {NULL, NULL}};

    lua_newtable(L);
    luaL_register(L, NULL, fns);
}
