/* script_library.c - libraries of functions in a Lua state: run once to learn what they register, and
 * again by each worker that calls one of their functions, before the first call.
 *
 * A state keeps, by the library's id, its functions and its globals. The globals are the library's own table,
 * read-only as a script's; while the library's text runs `redis` in it is another one, which can register
 * functions and cannot touch data. */
#include "node/script_host.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/library.h"

#include <stdio.h>
#include <stdlib.h>

static const char LOAD_GLOBALS[] = "load-globals"; /* below a library's own, while its text runs */
static const char CALL_GLOBALS[] = "call-globals"; /* … and when it is called */
static const char CHUNK_NAME[] = "@user_function";

/* ---- redis.register_function ---- */

static const struct {
    const char *name;
    uint32_t flag;
} flag_names[] = {
    {"no-writes", SCRIPT_NO_WRITES},
    {"allow-oom", SCRIPT_ALLOW_OOM},
    {"allow-stale", SCRIPT_ALLOW_STALE},
    {"no-cluster", SCRIPT_NO_CLUSTER},
    {"allow-cross-slot-keys", SCRIPT_CROSS_SLOT},
    {"allow-key-locking", SCRIPT_KEY_LOCKING},
};

const char *script_flag_name(unsigned index, uint32_t *flag)
{
    if (index >= sizeof(flag_names) / sizeof(flag_names[0])) {
        return NULL;
    }
    *flag = flag_names[index].flag;
    return flag_names[index].name;
}

/* The table of flags at the top of the stack. */
static uint32_t read_flags(lua_State *L)
{
    uint32_t flags = 0;

    for (int i = 1;; i++) {
        const char *text;
        size_t n = 0;
        const size_t count = sizeof(flag_names) / sizeof(flag_names[0]);

        lua_rawgeti(L, -1, i);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            return flags;
        }
        text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        while (n < count && strcasecmp(text, flag_names[n].name) != 0) {
            n++;
        }
        if (n == count) {
            script_raise(L, "ERR unknown flag given");
        }
        flags |= flag_names[n].flag;
        lua_pop(L, 1);
    }
}

/* What register_function was given, on the stack: at these indexes, 0 if not. */
struct registration {
    int name, callback, description;
    uint32_t flags;
};

static void read_named(lua_State *L, const char *key, struct registration *g)
{
    int at = lua_gettop(L); /* the value */

    if (strcasecmp(key, "function_name") == 0) {
        if (!lua_isstring(L, at)) {
            script_raise(L, "ERR function_name argument given to redis.register_function must be a "
                            "string");
        }
        lua_replace(L, g->name = 2);
    } else if (strcasecmp(key, "description") == 0) {
        if (!lua_isstring(L, at)) {
            script_raise(
                L, "ERR description argument given to redis.register_function must be a string");
        }
        lua_replace(L, g->description = 4);
    } else if (strcasecmp(key, "callback") == 0) {
        if (lua_type(L, at) != LUA_TFUNCTION) {
            script_raise(
                L, "ERR callback argument given to redis.register_function must be a function");
        }
        lua_replace(L, g->callback = 3);
    } else if (strcasecmp(key, "flags") == 0) {
        if (lua_type(L, at) != LUA_TTABLE) {
            script_raise(L, "ERR flags argument to redis.register_function must be a table "
                            "representing function flags");
        }
        g->flags = read_flags(L);
        lua_pop(L, 1);
    } else {
        script_raise(L, "ERR unknown argument given to redis.register_function");
    }
}

static void read_table(lua_State *L, struct registration *g)
{
    if (!lua_istable(L, 1)) {
        script_raise(L, "ERR calling redis.register_function with a single argument is only "
                        "applicable to Lua table (representing named arguments).");
    }
    lua_settop(L, 4);
    lua_pushnil(L);
    while (lua_next(L, 1) != 0) {
        if (!lua_isstring(L, -2)) {
            script_raise(L,
                         "ERR named argument key given to redis.register_function is not a string");
        }
        /* A number as a key must stay one while the table is walked; none is a name. */
        read_named(L, lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "", g);
    }
    if (g->name == 0) {
        script_raise(L, "ERR redis.register_function must get a function name argument");
    }
    if (g->callback == 0) {
        script_raise(L, "ERR redis.register_function must get a callback argument");
    }
}

static void read_positions(lua_State *L, struct registration *g)
{
    if (!lua_isstring(L, 1)) {
        script_raise(L, "ERR first argument to redis.register_function must be a string");
    }
    if (lua_type(L, 2) != LUA_TFUNCTION) {
        script_raise(L, "ERR second argument to redis.register_function must be a function");
    }
    g->name = 1;
    g->callback = 2;
}

/* Of the load's record: { functions = {name = f}, names = {lower name = true}, list = {{name, flags,
 * description}} }. */
static void push_part(lua_State *L, const struct script_run *r, const char *part)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->load_ref);
    lua_getfield(L, -1, part);
    lua_remove(L, -2);
}

static void push_lower(lua_State *L, int index)
{
    luaL_Buffer b;
    size_t len;
    const char *text = lua_tolstring(L, index, &len);

    luaL_buffinit(L, &b);
    for (size_t i = 0; i < len; i++) {
        luaL_addchar(&b, slice_lower(text[i]));
    }
    luaL_pushresult(&b);
}

static void note(lua_State *L, const struct script_run *r, const struct registration *g)
{
    push_part(L, r, "names");
    push_lower(L, g->name);
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);
    if (!lua_isnil(L, -1)) {
        script_raise(L, "ERR Function already exists in the library");
    }
    lua_pop(L, 1);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    push_part(L, r, "functions");
    lua_pushvalue(L, g->name);
    lua_pushvalue(L, g->callback);
    lua_rawset(L, -3);
    push_part(L, r, "list");
    if (lua_objlen(L, -1) >= LIBRARY_FUNCTIONS_MAX) {
        script_raise(L, "ERR too many functions in the library");
    }
    lua_createtable(L, 3, 0);
    lua_pushvalue(L, g->name);
    lua_rawseti(L, -2, 1);
    lua_pushnumber(L, g->flags);
    lua_rawseti(L, -2, 2);
    if (g->description != 0) {
        lua_pushvalue(L, g->description);
        lua_rawseti(L, -2, 3);
    }
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
}

static int register_function(lua_State *L)
{
    const struct script_run *r = script_run_of(L);
    struct registration g = {0};
    struct slice name;

    if (r->load_ref == 0) {
        script_raise(L, "ERR redis.register_function can only be called on FUNCTION LOAD command");
    }
    switch (lua_gettop(L)) {
    case 1:
        read_table(L, &g);
        break;
    case 2:
        read_positions(L, &g);
        break;
    default:
        script_raise(L, "ERR wrong number of arguments to redis.register_function");
    }
    name.ptr = lua_tolstring(L, g.name, &name.len);
    if (!library_is_name(name)) {
        script_raise(L,
                     "ERR Library names can only contain letters, numbers, or underscores(_) and "
                     "must be at least one character long");
    }
    note(L, r, &g);
    return 0;
}

/* What a library's text may not do is said as Redis says it: with a code. */
static NO_RETURN void refuse(lua_State *L, const char *text)
{
    luaL_where(L, 1);
    (void)lua_pushfstring(L, "ERR %s%s", lua_tostring(L, -1), text);
    lua_createtable(L, 0, 1);
    lua_insert(L, -2);
    lua_setfield(L, -2, "err");
    (void)lua_error(L);
    abort(); /* not reached */
}

static int on_write(lua_State *L)
{
    refuse(L, "Attempt to modify a readonly table");
}

static int on_unknown(lua_State *L)
{
    refuse(L, lua_pushfstring(L, "Script attempted to access nonexistent global variable '%s'",
                              lua_isstring(L, 2) ? lua_tostring(L, 2) : luaL_typename(L, 2)));
}

/* What is read by way of the table at the top is given by `index`; it cannot be written. */
static void seal(lua_State *L, lua_CFunction index)
{
    lua_createtable(L, 0, 3);
    if (index != NULL) {
        lua_pushcfunction(L, index);
    } else {
        lua_pushvalue(L, -2); /* the table itself, by an empty one before it */
        lua_newtable(L);
        lua_replace(L, -4);
    }
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, on_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    (void)lua_setmetatable(L, -2);
}

void script_open_library(lua_State *L)
{
    lua_newtable(L);
    script_host_of(L)->instances_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L); /* globals while loading: nothing but this */
    script_open_redis_loading(L);
    lua_pushcfunction(L, register_function);
    lua_setfield(L, -2, "register_function");
    seal(L, on_unknown);
    seal(L, NULL);
    lua_setfield(L, -2, "redis");
    seal(L, on_unknown);
    lua_setfield(L, LUA_REGISTRYINDEX, LOAD_GLOBALS);
    lua_newtable(L);
    script_open_redis_calling(L);
    script_read_only(L);
    lua_setfield(L, -2, "redis");
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    lua_setfield(L, -2, "__index");
    (void)lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, CALL_GLOBALS);
}

/* ---- Loading ---- */

/* Pushes the library's globals, its metatable below them. */
static void push_globals(lua_State *L)
{
    lua_createtable(L, 0, 3); /* the metatable */
    lua_getfield(L, LUA_REGISTRYINDEX, LOAD_GLOBALS);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, on_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, -2);
    (void)lua_setmetatable(L, -2);
}

static void add_table(lua_State *L, const char *name)
{
    lua_newtable(L);
    lua_setfield(L, -2, name);
}

int script_library_begin(lua_State *L)
{
    struct script_run *r = lua_touserdata(L, 1);
    const struct slice *code = &r->code;
    lua_State *T = lua_newthread(L);

    if (luaL_loadbuffer(L, code->ptr + r->body_at, code->len - r->body_at, CHUNK_NAME) != 0) {
        return lua_error(L);
    }
    lua_createtable(L, 0, 5); /* the record */
    add_table(L, "functions");
    add_table(L, "names");
    add_table(L, "list");
    push_globals(L); /* thread, chunk, record, metatable, globals */
    lua_pushvalue(L, -1);
    (void)lua_setfenv(L, -5);
    lua_setfield(L, -3, "globals");
    lua_setfield(L, -2, "metatable");
    lua_getfield(L, -1, "globals");
    lua_xmove(L, T, 1);
    lua_replace(
        T, LUA_GLOBALSINDEX); /* those of code that is loaded from strings, and of coroutines */
    r->load_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_xmove(L, T, 1);
    r->thread_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    r->thread = T;
    return 0;
}

struct settle {
    struct script_run *run;
    struct library **made; /* NULL: it is known */
    const char *why;
};

/* From the record's list at the top; strings stay where they are as long as it does. */
static bool read_list(lua_State *L, struct function_def *defs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        lua_rawgeti(L, -3, 3);
        defs[i].name.ptr = lua_tolstring(L, -3, &defs[i].name.len);
        defs[i].flags = (uint32_t)lua_tonumber(L, -2);
        defs[i].description.ptr = lua_tolstring(L, -1, &defs[i].description.len);
        lua_pop(L, 4);
    }
    return true;
}

static void make_library(lua_State *L, struct settle *s)
{
    struct script_run *r = s->run;
    struct function_def *defs;
    uint32_t count;

    push_part(L, r, "list");
    count = (uint32_t)lua_objlen(L, -1);
    if (count == 0) {
        s->why = "ERR No functions registered";
        return;
    }
    defs = lua_newuserdata(L, count * sizeof(defs[0]));
    lua_insert(L, -2);
    read_list(L, defs, count);
    struct library_head head = {r->name, r->body_at};

    *s->made = library_create(r->code, &head, defs, count);
    s->why = *s->made == NULL ? wire_err_text(WIRE_NOMEM) : NULL;
    if (*s->made != NULL) {
        r->library = library_get(*s->made);
    }
    lua_pop(L, 2);
}

/* What an instance holds. */
enum { INSTANCE_FUNCTIONS = 1, INSTANCE_GLOBALS };

/* Pushes the table of instances, and the library's in it. */
static void push_instance(lua_State *L, uint64_t id)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, script_host_of(L)->instances_ref);
    lua_pushnumber(L, (lua_Number)id);
    lua_rawget(L, -2);
}

/* Protected: the functions become the library's in this state. */
static int settle(lua_State *L)
{
    struct settle *s = lua_touserdata(L, 1);
    struct script_run *r = s->run;

    push_part(L, r, "metatable");
    lua_getfield(L, LUA_REGISTRYINDEX, CALL_GLOBALS);
    lua_setfield(L, -2, "__index");
    script_push_guard(L);
    lua_setfield(L, -2, "__newindex");
    push_part(L, r, "globals");
    lua_pushliteral(L, "_G");
    lua_pushvalue(L, -2);
    lua_rawset(L, -3);
    if (s->made != NULL) {
        make_library(L, s);
        if (s->why != NULL) {
            return 0;
        }
    }
    push_instance(L, r->library->id);
    if (lua_isnil(L, -1)) { /* else another run was quicker: all use one */
        lua_pop(L, 1);
        lua_pushnumber(L, (lua_Number)r->library->id);
        lua_createtable(L, 2, 0);
        push_part(L, r, "functions");
        lua_rawseti(L, -2, INSTANCE_FUNCTIONS);
        push_part(L, r, "globals");
        lua_rawseti(L, -2, INSTANCE_GLOBALS);
        lua_rawset(L, -3);
        r->host->instances++;
    }
    return 0;
}

const char *script_library_settle(struct script_run *r, struct library **made)
{
    struct settle s = {.run = r, .made = made};
    lua_State *L = r->host->L;

    if (lua_cpcall(L, settle, &s) != 0) {
        lua_settop(L, 0);
        if (made != NULL) {
            library_put(*made);
            *made = NULL;
        }
        s.why = "ERR not enough memory for the library";
    }
    luaL_unref(L, LUA_REGISTRYINDEX, r->load_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, r->thread_ref);
    r->load_ref = 0;
    r->thread = NULL;
    return s.why;
}

/* ---- Calling ---- */

struct sweep {
    struct script_host *host;
    const struct libraries *set;
};

/* Protected: libraries that no set has any more go. */
static int sweep(lua_State *L)
{
    struct sweep *s = lua_touserdata(L, 1);

    lua_rawgeti(L, LUA_REGISTRYINDEX, s->host->instances_ref);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        lua_pop(L, 1);
        if (!libraries_have(s->set, (uint64_t)lua_tonumber(L, -1))) {
            lua_pushvalue(L, -1);
            lua_pushnil(L);
            lua_rawset(L, -4); /* a field may be cleared while it is walked */
            s->host->instances--;
        }
    }
    return 0;
}

void script_library_sweep(struct script_host *h, const struct libraries *set)
{
    struct sweep s = {h, set};

    if (h->instances > 0 && h->swept_for != set) {
        if (lua_cpcall(h->L, sweep, &s) == 0) {
            h->swept_for = set;
        }
        lua_settop(h->L, 0);
    }
}

bool script_library_has(struct script_host *h, uint64_t id)
{
    lua_State *L = h->L;
    bool has;

    if (h->instances == 0) {
        return false;
    }
    push_instance(L, id); /* no memory is asked for */
    has = !lua_isnil(L, -1);
    lua_settop(L, 0);
    return has;
}

void script_push_library_function(lua_State *L, lua_State *T, const struct function *f)
{
    push_instance(L, f->library->id);
    if (lua_istable(L, -1)) {
        lua_rawgeti(L, -1, INSTANCE_GLOBALS);
        lua_xmove(L, T, 1);
        lua_replace(T, LUA_GLOBALSINDEX);
        lua_rawgeti(L, -1, INSTANCE_FUNCTIONS);
        lua_pushlstring(L, f->name.ptr, f->name.len);
        lua_rawget(L, -2);
    }
    if (!lua_isfunction(L, -1)) {
        (void)luaL_error(L, "the library has not registered its function");
    }
}
