/* script_begin.c - how a run begins: its function, compiled once a state, its globals, its coroutine.
 *
 * A script runs often and briefly, so what can serve one run after the other does: the function, the table
 * of globals (which a script cannot write), the coroutine if it has returned. */
#include "base/worker.h"
#include "edge/session.h"
#include "node/database.h"
#include "node/script_host.h"

#include <assert.h>

static const char CHUNK_NAME[] = "@user_script";

/* ---- Compiling ---- */

/* Pushes the script's function; else an error's message. Lua's code. */
static int load_body(lua_State *L, const struct script *s)
{
    return luaL_loadbuffer(L, s->text.ptr + s->body_at, s->text.len - s->body_at, CHUNK_NAME);
}

bool script_is_bytecode(struct slice text, size_t body_at)
{
    return text.len > body_at && text.ptr[body_at] == LUA_SIGNATURE[0];
}

/* From the registry, else compiled and kept there. A function has one environment: while another run is
 * between its slices, this one compiles its own. */
static void push_function(lua_State *L, const struct script_run *r)
{
    bool is_shared = r->host->runs == 0;

    lua_getfield(L, LUA_REGISTRYINDEX, SCRIPT_TEXTS);
    lua_pushlstring(L, r->script->sha, SHA1_HEX);
    if (is_shared) {
        lua_pushvalue(L, -1);
        lua_rawget(L, -3);
        if (lua_isfunction(L, -1)) {
            lua_replace(L, -3);
            lua_pop(L, 1);
            return;
        }
        lua_pop(L, 1);
    }
    if (load_body(L, r->script) != 0) {
        (void)lua_error(L);
    }
    if (is_shared) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, -5);
    }
    lua_replace(L, -3);
    lua_pop(L, 1);
}

/* To the table at the top. */
static void fill_args(lua_State *L, const struct slice *argv, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        lua_pushlstring(L, argv[i].ptr, argv[i].len);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static void push_args(lua_State *L, const struct slice *argv, uint32_t n)
{
    lua_createtable(L, (int)n, 0);
    fill_args(L, argv, n);
}

struct args {
    const struct slice *v;
    uint32_t n;
};

static struct args keys_of(const struct script_run *r)
{
    return (struct args){r->cmd->argv + 3, r->numkeys};
}

static struct args argv_of(const struct script_run *r)
{
    return (struct args){r->cmd->argv + 3 + r->numkeys, r->cmd->argc - 3 - r->numkeys};
}

/* Pushes what a run reads as its globals, all but its own KEYS and ARGV, and the table through which it reads
 * them, which is empty and stays so. */
static void make_globals(lua_State *L)
{
    int to = lua_gettop(L) + 1;

    lua_createtable(L, 0, 0);
    lua_pushnil(L);
    while (lua_next(L, LUA_GLOBALSINDEX) != 0) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, to);
    }
    (void)lua_getmetatable(L, LUA_GLOBALSINDEX); /* raises for what there is not */
    (void)lua_setmetatable(L, to);
    lua_createtable(L, 0, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, to, "_G");
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, to);
    lua_setfield(L, -2, "__index");
    script_push_guard(L);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    (void)lua_setmetatable(L, -2);
}

/* Upvalues of begin_script(). */
enum { UP_READ = 1, UP_GLOBALS, UP_KEYS, UP_ARGV };

/* Whether the last run's table at the top is as it was made, but for its n elements. Nobody has it: what a
 * script could keep it in is gone. */
static bool is_clean(lua_State *L, uint32_t n)
{
    if (!lua_istable(L, -1) || lua_objlen(L, -1) != n) {
        return false;
    }
    if (lua_getmetatable(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    if (n == 0) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, (lua_Integer)n);
    }
    if (lua_next(L, -2) != 0) {
        lua_pop(L, 2);
        return false;
    }
    return true;
}

/* The stack ends in what a run reads, and its globals. */
static void set_args(lua_State *L, int name, struct args a)
{
    lua_pushvalue(L, lua_upvalueindex(name));
    lua_rawget(L, -3);
    if (is_clean(L, a.n)) {
        fill_args(L, a.v, a.n);
        lua_pop(L, 1);
        return;
    }
    lua_pop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(name));
    push_args(L, a.v, a.n);
    lua_rawset(L, -4);
}

/* They serve one run after the other; while one is between its slices, others get their own. */
static void push_globals(lua_State *L, const struct script_run *r)
{
    if (r->host->runs == 0) {
        lua_pushvalue(L, lua_upvalueindex(UP_READ));
        lua_pushvalue(L, lua_upvalueindex(UP_GLOBALS));
    } else {
        make_globals(L);
    }
    set_args(L, UP_KEYS, keys_of(r));
    set_args(L, UP_ARGV, argv_of(r));
}

/* Pushes a coroutine for the run, which is the last one's if that has ended well: nobody else has it, since
 * coroutine.running() does not give it out. */
static lua_State *push_thread(lua_State *L, const struct script_run *r)
{
    lua_State *T = r->host->spare;

    if (T == NULL) {
        return lua_newthread(L);
    }
    lua_settop(T, 0); /* of one that began and failed */
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->host->spare_ref);
    return T;
}

/* Keeps the coroutine, which is at the index: nothing can fail afterwards. */
static void keep_thread(lua_State *L, struct script_run *r, int index, lua_State *T)
{
    struct script_host *h = r->host;

    if (T == h->spare) {
        r->thread_ref = h->spare_ref;
        h->spare = NULL;
    } else {
        lua_pushvalue(L, index);
        r->thread_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    r->thread = T;
}

/* Protected: makes the run's coroutine. */
static int begin_script(lua_State *L)
{
    struct script_run *r = lua_touserdata(L, 1);
    lua_State *T = push_thread(L, r);

    push_function(L, r);
    push_globals(L, r);
    lua_pushvalue(L, -1);
    (void)lua_setfenv(L, 3); /* run, coroutine, function, what it reads, globals */
    lua_xmove(L, T, 1);
    lua_replace(T, LUA_GLOBALSINDEX);
    lua_settop(L, 3);
    lua_xmove(L, T, 1);
    keep_thread(L, r, 2, T);
    return 0;
}

/* The same of a function, whose library is loaded: its arguments are its keys and the rest. */
static int begin_function(lua_State *L)
{
    struct script_run *r = lua_touserdata(L, 1);
    lua_State *T = push_thread(L, r);

    struct args keys = keys_of(r);
    struct args argv = argv_of(r);

    script_push_library_function(L, T, r->function);
    push_args(L, keys.v, keys.n);
    push_args(L, argv.v, argv.n);
    lua_xmove(L, T, 3);
    r->args = 2;
    assert(lua_tothread(L, 2) == T);
    keep_thread(L, r, 2, T);
    return 0;
}

static int compile_only(lua_State *L)
{
    const struct script *script = lua_touserdata(L, 1);

    if (load_body(L, script) != 0) {
        return lua_error(L);
    }
    return 0;
}

void script_copy_error(lua_State *L, char *to, size_t max)
{
    const char *text = lua_tostring(L, -1);

    (void)snprintf(to, max, "%s", text == NULL ? "unknown error" : text);
    lua_settop(L, 0);
}

const char *script_try_compile(struct cmd *cmd, struct script *script)
{
    static _Thread_local char error[512];
    struct script_host *h = script_host_get(cmd->db->scripts, cmd->session->worker->index);

    if (h == NULL) {
        return "not enough memory";
    }
    if (script_is_bytecode(script->text, script->body_at)) {
        return "bytecode is not loaded";
    }
    if (lua_cpcall(h->L, compile_only, script) != 0) {
        script_copy_error(h->L, error, sizeof(error));
        return error;
    }
    return NULL;
}

/* ---- The parts of a run ---- */

void script_thread_put(struct script_run *r)
{
    struct script_host *h = r->host;

    if (r->has_ended && h->spare == NULL) {
        lua_settop(r->thread, 0);
        h->spare = r->thread;
        h->spare_ref = r->thread_ref;
    } else {
        luaL_unref(h->L, LUA_REGISTRYINDEX, r->thread_ref);
    }
}

/* Nothing is made for the call itself. */
int script_call_part(struct script_host *h, enum script_part part, void *arg)
{
    lua_rawgeti(h->L, LUA_REGISTRYINDEX, h->parts[part]);
    lua_pushlightuserdata(h->L, arg);
    return lua_pcall(h->L, 1, 0, 0);
}

void script_open_run(lua_State *L, struct script_host *h)
{
    make_globals(L);
    lua_pushliteral(L, "KEYS");
    lua_pushliteral(L, "ARGV");
    lua_pushcclosure(L, begin_script, 4);
    h->parts[SCRIPT_BEGIN] = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushcfunction(L, begin_function);
    h->parts[SCRIPT_BEGIN_FUNCTION] = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushcfunction(L, script_library_begin);
    h->parts[SCRIPT_BEGIN_LIBRARY] = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushcfunction(L, script_finish);
    h->parts[SCRIPT_FINISH] = luaL_ref(L, LUA_REGISTRYINDEX);
}
