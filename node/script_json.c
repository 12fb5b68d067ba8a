/* script_json.c - cjson, kept from what it does not bound itself: tables that are met again and again by
 * way of each other, settings that let it recurse without end or write what nobody holds. */
#include "node/script_host.h"

enum { NODE_BYTES = 16, LOOK_EVERY = 1024, DEPTH = 1000 };

int luaopen_cjson(lua_State *L); /* lua-cjson brings no header */

/* Raises if the text of the value at index 1 would be larger than a state may be. Deeper than DEPTH
 * nothing is looked at: there cjson refuses. */
static void measure(lua_State *L)
{
    size_t most = script_host_of(L)->limit;
    size_t bytes = 0;
    uint32_t n = 0;
    uint32_t depth = 1;

    lua_pushvalue(L, 1);
    lua_pushnil(L);
    while (depth > 0) { /* on the stack, for each level: table, key */
        if (lua_next(L, -2) == 0) {
            lua_pop(L, 1); /* the table, which is the value of the level before */
            depth--;
            continue;
        }
        bytes += NODE_BYTES + (lua_type(L, -1) == LUA_TSTRING ? lua_objlen(L, -1) : 0);
        bytes += lua_type(L, -2) == LUA_TSTRING ? lua_objlen(L, -2) : 0;
        if (bytes > most) {
            (void)luaL_error(L, "Cannot serialise, the result is too large");
        }
        if (++n % LOOK_EVERY == 0) {
            script_check(L);
        }
        if (lua_istable(L, -1) && depth <= DEPTH) {
            lua_pushnil(L);
            depth++;
        } else {
            lua_pop(L, 1);
        }
    }
}

/* cjson's functions hold its settings as upvalues, so they are called as what they are. */
static int forward(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    int rc = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);

    script_check(L); /* before anything is done with an error: nothing else may catch it */
    if (rc == LUA_ERRRUN) {
        luaL_where(L, 1); /* the script's line, which cjson cannot see past us */
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return rc == 0 ? lua_gettop(L) : lua_error(L);
}

static int json_encode(lua_State *L)
{
    luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
    luaL_checkstack(L, 2 * DEPTH + 16, "a value that nests deep");
    if (lua_istable(L, 1)) {
        measure(L);
    }
    return forward(L);
}

static int json_decode(lua_State *L)
{
    return forward(L);
}

/* Whether sparse arrays become objects is a script's to say; how sparse is not. */
static int json_sparse(lua_State *L)
{
    lua_settop(L, lua_gettop(L) > 1 ? 1 : lua_gettop(L));
    return forward(L);
}

static int json_depth(lua_State *L)
{
    lua_pushinteger(L, DEPTH);
    return 1;
}

static void wrap(lua_State *L, const char *name, lua_CFunction by)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, by, 1);
    lua_setfield(L, -2, name);
}

void script_open_json(lua_State *L)
{
    static const char *const fixed[] = {"encode_max_depth", "decode_max_depth",
                                        "encode_keep_buffer", NULL};

    lua_pushcfunction(L, luaopen_cjson);
    lua_call(L, 0, 1);
    wrap(L, "encode", json_encode);
    wrap(L, "decode", json_decode);
    wrap(L, "encode_sparse_array", json_sparse);
    for (int i = 0; fixed[i] != NULL; i++) {
        lua_pushcfunction(L, json_depth);
        lua_setfield(L, -2, fixed[i]);
    }
    lua_pushnil(L);
    lua_setfield(L, -2, "new");
}
