/* script_base.c - Lua's own libraries, made safe: what leaves the sandbox is taken out, what may take long
 * looks at the budget (L4), and what catches errors lets a doomed run pass (L1). */
#include "node/script_host.h"

#include <lualib.h>
#include <stdlib.h>
#include <time.h>

static const char OF_A_PROXY[] = "read-only";

void script_read_only(lua_State *L)
{
    lua_newtable(L); /* the proxy */
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_getfield(L, LUA_REGISTRYINDEX, OF_A_PROXY);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    (void)lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

void script_push_guard(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, OF_A_PROXY);
}

static int on_write(lua_State *L)
{
    return luaL_error(L, "Attempt to modify a readonly table");
}

/* Raises if the first argument is a table that scripts share. */
static void check_writable(lua_State *L)
{
    bool is_proxy = false;

    if (lua_istable(L, 1) && lua_getmetatable(L, 1)) {
        lua_pushliteral(L, "__newindex");
        lua_rawget(L, -2);
        is_proxy = lua_tocfunction(L, -1) == on_write;
        lua_pop(L, 2);
    }
    if (is_proxy) {
        lua_pushliteral(L, "Attempt to modify a readonly table");
        (void)lua_error(L);
    }
}

/* Calls the C function of its first upvalue, which may take long. */
static int checked(lua_State *L)
{
    int n = lua_tocfunction(L, lua_upvalueindex(1))(L);

    script_check(L);
    return n;
}

static int checked_write(lua_State *L)
{
    check_writable(L);
    return checked(L);
}

/* The same for one that calls back. */
static int checked_callback(lua_State *L)
{
    int n;

    check_writable(L);
    script_enter(L);
    n = lua_tocfunction(L, lua_upvalueindex(1))(L);
    script_leave(L);
    script_check(L);
    return n;
}

/* Wraps a field of the table at the top. */
static void wrap(lua_State *L, const char *name, lua_CFunction by)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, by, 1);
    lua_setfield(L, -2, name);
}

/* ---- What catches errors ---- */

/* After a protected call that failed, its error on top. */
static void let_doom_pass(lua_State *L, uint32_t c_depth, uint32_t co_depth)
{
    struct script_run *r = script_run_of(L);

    script_host_of(L)->current = L;
    r->c_depth = c_depth;
    r->co_depth = co_depth;
    if (r->doom != SCRIPT_LIVES) {
        script_doom(L, r->doom);
    }
}

/* Redis hands its own errors out as their text. */
static void error_to_text(lua_State *L)
{
    if (lua_istable(L, -1)) {
        lua_getfield(L, -1, "err");
        if (lua_isstring(L, -1)) {
            lua_replace(L, -2);
        } else {
            lua_pop(L, 1);
        }
    }
}

static int protected(lua_State *L, int args)
{
    struct script_run *r = script_run_of(L);
    uint32_t c_depth = r->c_depth;
    uint32_t co_depth = r->co_depth;

    script_enter(L);
    int rc = lua_pcall(L, args, LUA_MULTRET, 0);

    let_doom_pass(L, c_depth, co_depth);
    return rc;
}

static int base_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    if (protected(L, lua_gettop(L) - 2) != 0) {
        error_to_text(L);
        lua_pushboolean(L, 0);
        lua_insert(L, -2);
        return 2;
    }
    return lua_gettop(L);
}

/* The handler runs when the stack has been unwound: there is no `debug` to look at it, and a handler that
 * Lua calls inside its hook could not be stopped. */
static int base_xpcall(lua_State *L)
{
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    if (protected(L, 0) == 0) {
        return lua_gettop(L) - 2;
    }
    lua_pushvalue(L, 2);
    lua_insert(L, -2);
    int rc = protected(L, 1);

    lua_pushboolean(L, 0);
    lua_insert(L, 4);
    return rc != 0 ? 2 : lua_gettop(L) - 3;
}

/* ---- Coroutines ---- */

static int co_resume(lua_State *L)
{
    struct script_host *h = script_host_of(L);
    struct script_run *r = h->run;
    uint32_t c_depth = r->c_depth;
    uint32_t co_depth = r->co_depth;
    lua_State *from = h->current;
    lua_State *co = lua_tothread(L, 1);

    luaL_argcheck(L, co != NULL, 1, "coroutine expected");
    script_enter(L);
    if (++r->co_depth > SCRIPT_CO_DEPTH_MAX) {
        r->co_depth = co_depth;
        return luaL_error(L, "C stack overflow");
    }
    if (!script_make_room(L, co, lua_gettop(L) - 1)) {
        r->co_depth = co_depth;
        return luaL_error(L, "not enough memory");
    }
    h->current = co;
    int n = lua_tocfunction(L, lua_upvalueindex(1))(L);

    h->current = from;
    let_doom_pass(L, c_depth, co_depth);
    return n;
}

static int co_wrapped(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    int n = co_resume(L);

    if (!lua_toboolean(L, -n)) {
        return lua_error(L); /* its message is on top */
    }
    return n - 1;
}

/* Upvalues: resume, create. */
static int co_wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    int n = lua_tocfunction(L, lua_upvalueindex(2))(L);

    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, -1 - n);
    lua_pushcclosure(L, co_wrapped, 2);
    return 1;
}

static int co_yield (lua_State *L)
{
    if (script_run_of(L)->co_depth == 0) {
        return luaL_error(L, "attempt to yield from outside a coroutine");
    }
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* As in Redis, where a script is not a coroutine: its own would be run again after it has ended. */
static int co_running(lua_State *L)
{
    if (script_run_of(L)->co_depth == 0) {
        lua_pushnil(L);
        return 1;
    }
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static void open_coroutine(lua_State *L)
{
    lua_getglobal(L, "coroutine");
    lua_getfield(L, -1, "resume");
    lua_getfield(L, -2, "create");
    lua_pushcclosure(L, co_wrap, 2);
    lua_setfield(L, -2, "wrap");
    wrap(L, "resume", co_resume);
    wrap(L, "running", co_running);
    wrap(L, "yield", co_yield );
    script_read_only(L);
    lua_setglobal(L, "coroutine");
}

/* ---- Loading ---- */

static int load_text(lua_State *L, const char *text, size_t len, const char *name)
{
    if (len > 0 && text[0] == LUA_SIGNATURE[0]) {
        lua_pushnil(L);
        lua_pushliteral(L, "bytecode is not loaded");
        return 2;
    }
    if (luaL_loadbuffer(L, text, len, name) == 0) {
        script_check(L);
        return 1;
    }
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

static int base_loadstring(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);

    return load_text(L, text, len, luaL_optstring(L, 2, text));
}

static int base_load(lua_State *L)
{
    const char *name = luaL_optstring(L, 2, "=(load)");
    luaL_Buffer b;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    script_enter(L);
    luaL_buffinit(L, &b);
    for (;;) {
        lua_pushvalue(L, 1);
        lua_call(L, 0, 1);
        if (lua_isnil(L, -1) || (lua_isstring(L, -1) && lua_objlen(L, -1) == 0)) {
            lua_pop(L, 1);
            break;
        }
        if (!lua_isstring(L, -1)) {
            return luaL_error(L, "reader function must return a string");
        }
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    script_leave(L);
    return load_text(L, lua_tostring(L, -1), lua_objlen(L, -1), name);
}

/* ---- Odds and ends ---- */

static int os_clock(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)clock() / CLOCKS_PER_SEC);
    return 1;
}

/* The 48-bit generator of drand48(), which many threads may use. */
static uint32_t draw(unsigned short x[3])
{
    uint64_t state = (uint64_t)x[2] << 32 | (uint64_t)x[1] << 16 | x[0];

    state = state * 0x5deece66d + 0xb;
    x[0] = (unsigned short)state;
    x[1] = (unsigned short)(state >> 16);
    x[2] = (unsigned short)(state >> 32);
    return (uint32_t)((state & 0xffffffffffff) >> 17);
}

/* Chance begins anew with each run, so that a script is the same wherever it runs. */
static int math_random(lua_State *L)
{
    struct script_run *r = script_run_of(L);
    lua_Number x = (lua_Number)(draw(r->chance) % INT32_MAX) / INT32_MAX;
    int low = 1;
    int high;

    switch (lua_gettop(L)) {
    case 0:
        lua_pushnumber(L, x);
        return 1;
    case 1:
        high = luaL_checkint(L, 1);
        luaL_argcheck(L, high >= 1, 1, "interval is empty");
        break;
    case 2:
        low = luaL_checkint(L, 1);
        high = luaL_checkint(L, 2);
        luaL_argcheck(L, low <= high, 2, "interval is empty");
        break;
    default:
        return luaL_error(L, "wrong number of arguments");
    }
    lua_pushnumber(L, (lua_Number)(int64_t)(x * ((lua_Number)high - low + 1)) + low);
    return 1;
}

static int math_randomseed(lua_State *L)
{
    struct script_run *r = script_run_of(L);
    uint32_t seed = (uint32_t)luaL_checkint(L, 1);

    r->chance[0] = 0x330e;
    r->chance[1] = (unsigned short)seed;
    r->chance[2] = (unsigned short)(seed >> 16);
    return 0;
}

static int on_unknown_global(lua_State *L)
{
    return luaL_error(L, "Script attempted to access nonexistent global variable '%s'",
                      lua_isstring(L, 2) ? lua_tostring(L, 2) : luaL_typename(L, 2));
}

/* Plain digits, which are most of what is asked, without strtod(), which Lua calls twice. Upvalue: Lua's own. */
static int base_tonumber(lua_State *L)
{
    enum { DIGITS_MAX = 15 }; /* exact in a double */

    if (lua_gettop(L) == 1 && lua_type(L, 1) == LUA_TSTRING) {
        size_t len;
        const char *text = lua_tolstring(L, 1, &len);
        int64_t n = 0;
        size_t i = 0;

        while (i < len && len <= DIGITS_MAX && text[i] >= '0' && text[i] <= '9') {
            n = n * 10 + (text[i++] - '0');
        }
        if (i == len && len > 0) {
            lua_pushnumber(L, (lua_Number)n);
            return 1;
        }
    }
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static void open_tables(lua_State *L)
{
    static const char *const writes[] = {"insert", "remove", "setn", NULL};

    lua_getglobal(L, "table");
    for (int i = 0; writes[i] != NULL; i++) {
        wrap(L, writes[i], checked_write);
    }
    wrap(L, "concat", checked);
    wrap(L, "maxn", checked);
    wrap(L, "sort", checked_callback);
    wrap(L, "foreach", checked_callback);
    wrap(L, "foreachi", checked_callback);
    script_read_only(L);
    lua_setglobal(L, "table");

    lua_getglobal(L, "math");
    lua_pushcfunction(L, math_random);
    lua_setfield(L, -2, "random");
    lua_pushcfunction(L, math_randomseed);
    lua_setfield(L, -2, "randomseed");
    script_read_only(L);
    lua_setglobal(L, "math");

    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, os_clock);
    lua_setfield(L, -2, "clock");
    script_read_only(L);
    lua_setglobal(L, "os");
}

static void open_strings(lua_State *L)
{
    static const char *const bounded[] = {"lower", "upper", "reverse", "format", "sub", NULL};

    lua_getglobal(L, "string");
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
    for (int i = 0; bounded[i] != NULL; i++) {
        wrap(L, bounded[i], checked);
    }
    script_open_string(L);
    /* Strings' own metatable, which s:find() goes by. */
    lua_pushliteral(L, "");
    (void)lua_getmetatable(L, -1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
    script_read_only(L);
    lua_setglobal(L, "string");
}

void script_open_base(lua_State *L)
{
    static const char *const out[] = {"newproxy", "collectgarbage", "gcinfo",  "dofile",
                                      "loadfile", "require",        "module",  "print",
                                      "getfenv",  "setfenv",        "package", NULL};

    lua_pushcfunction(L, on_write);
    lua_setfield(L, LUA_REGISTRYINDEX, OF_A_PROXY);
    for (int i = 0; out[i] != NULL; i++) {
        lua_pushnil(L);
        lua_setglobal(L, out[i]);
    }
    lua_register(L, "pcall", base_pcall);
    lua_register(L, "xpcall", base_xpcall);
    lua_register(L, "loadstring", base_loadstring);
    lua_register(L, "load", base_load);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    wrap(L, "next", checked);
    wrap(L, "rawset", checked_write);
    wrap(L, "unpack", checked);
    wrap(L, "tonumber", base_tonumber);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, on_unknown_global);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    (void)lua_setmetatable(L, -2);
    lua_pop(L, 1);
    lua_pushnil(L);
    lua_setglobal(L, "_G"); /* whoever runs has one of its own */
    open_tables(L);
    open_strings(L);
    open_coroutine(L);
}
