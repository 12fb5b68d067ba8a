/* script_run.c - one run of a script: begun, in slices, ended.
 *
 * The body is the main function of a coroutine. The hook leaves it when the slice is over and nothing
 * else is on its stack; the section stays as it is meanwhile (node/exec.h). What cannot be left so (a
 * function that is called, an iterator's loop in one) holds its worker for as long as its budget. */
#include "base/conf.h"
#include "base/err.h"
#include "base/mem.h"
#include "edge/session.h"
#include "node/database.h"
#include "node/evict.h"
#include "node/node.h"
#include "node/options.h"
#include "node/script_host.h"
#include "node/section.h"

#include <assert.h>
#include <x86intrin.h>

enum { SLICE_US = 1000, REPLY_KEEP = 64 << 10 };

static const char CHUNK_NAME[] = "@user_script";

/* ---- Compiling ---- */

/* Pushes the script's function; else an error's message. Lua's code. */
static int load_body(lua_State *L, const struct script *s)
{
    return luaL_loadbuffer(L, s->text.ptr + s->body_at, s->text.len - s->body_at, CHUNK_NAME);
}

struct compile {
    struct script_run *run;
    uint32_t numkeys;
    bool is_bytecode;
    char error[512];
};

static void check_text(const struct script *s, struct compile *c)
{
    c->is_bytecode = s->text.len > s->body_at && s->text.ptr[s->body_at] == LUA_SIGNATURE[0];
}

/* From the registry, else compiled and kept there. A function has one environment: while another run is
 * between its slices, this one compiles its own. */
static void push_function(lua_State *L, struct compile *c)
{
    struct script_run *r = c->run;
    bool is_shared = r->host->runs == 0;

    lua_pushlstring(L, r->script->sha, SHA1_HEX);
    if (is_shared) {
        lua_pushvalue(L, -1);
        lua_rawget(L, LUA_REGISTRYINDEX);
        if (lua_isfunction(L, -1)) {
            lua_remove(L, -2);
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
        lua_rawset(L, LUA_REGISTRYINDEX);
    }
    lua_remove(L, -2);
}

static void push_args(lua_State *L, const struct slice *argv, uint32_t n)
{
    lua_createtable(L, (int)n, 0);
    for (uint32_t i = 0; i < n; i++) {
        lua_pushlstring(L, argv[i].ptr, argv[i].len);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* What the run's globals are: its own KEYS and ARGV, and below them what all share. */
static void push_globals(lua_State *L, const struct cmd *cmd, uint32_t numkeys)
{
    lua_createtable(L, 0, 3);
    push_args(L, cmd->argv + 3, numkeys);
    lua_setfield(L, -2, "KEYS");
    push_args(L, cmd->argv + 3 + numkeys, cmd->argc - 3 - numkeys);
    lua_setfield(L, -2, "ARGV");
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    lua_setfield(L, -2, "__index");
    lua_getfield(L, LUA_REGISTRYINDEX, "read-only");
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    (void)lua_setmetatable(L, -2);
}

/* Protected: makes the run's coroutine. */
static int begin(lua_State *L)
{
    struct compile *c = lua_touserdata(L, 1);
    struct script_run *r = c->run;
    lua_State *T;

    T = lua_newthread(L);
    push_function(L, c);
    push_globals(L, r->cmd, c->numkeys);
    lua_pushvalue(L, -1);
    (void)lua_setfenv(L, -3);
    lua_xmove(L, T, 1);
    lua_replace(T, LUA_GLOBALSINDEX);
    lua_xmove(L, T, 1);
    r->thread_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    r->thread = T;
    return 0;
}

static int compile_only(lua_State *L)
{
    struct compile *c = lua_touserdata(L, 1);

    if (load_body(L, c->run->script) != 0) {
        return lua_error(L);
    }
    return 0;
}

static void copy_error(lua_State *L, char *to, size_t max)
{
    const char *text = lua_tostring(L, -1);

    (void)snprintf(to, max, "%s", text == NULL ? "unknown error" : text);
    lua_settop(L, 0);
}

const char *script_try_compile(struct cmd *cmd, struct script *script)
{
    static _Thread_local struct compile c;
    struct script_host *h = script_host_get(cmd->db->scripts, cmd->session->worker->index);
    struct script_run r = {.host = h, .script = script};

    c = (struct compile){.run = &r};
    check_text(script, &c);
    if (h == NULL) {
        return "not enough memory";
    }
    if (c.is_bytecode) {
        return "bytecode is not loaded";
    }
    if (lua_cpcall(h->L, compile_only, &c) != 0) {
        copy_error(h->L, c.error, sizeof(c.error));
        return c.error;
    }
    return NULL;
}

/* ---- The end ---- */

static void run_free(void *run)
{
    struct script_run *r = run;

    if (r->thread != NULL) {
        luaL_unref(r->host->L, LUA_REGISTRYINDEX, r->thread_ref);
    }
    if (r->is_counted) {
        r->host->runs--;
        atomic_fetch_sub_explicit(&r->scripts->running, 1, memory_order_relaxed);
    }
    reply_fini(&r->reply);
    buf_fini(&r->convert);
    script_put(r->script);
    mem_free(r, sizeof(*r));
}

/* Where the error arose: the function that raised it, or who called it if it is C's. */
static bool place_of(lua_State *T, lua_Debug *ar)
{
    if (!lua_getstack(T, 0, ar) || !lua_getinfo(T, "Sl", ar)) {
        return false;
    }
    if (*ar->what == 'C') {
        return lua_getstack(T, 1, ar) && lua_getinfo(T, "Sl", ar);
    }
    return true;
}

static void write_failure(struct script_run *r, lua_State *T)
{
    struct reply *to = r->cmd->reply;
    const char *text = NULL;
    const char *code = "";
    lua_Debug ar;
    bool has_place = place_of(T, &ar);

    if (lua_istable(T, -1)) {
        lua_pushliteral(T, "err");
        lua_rawget(T, -2);
        text = lua_type(T, -1) == LUA_TSTRING ? lua_tostring(T, -1) : "ERR unknown error";
        text += *text == '-';
    } else {
        text =
            lua_type(T, -1) == LUA_TSTRING ? lua_tostring(T, -1) : "(error object is not a string)";
        code = "ERR ";
    }
    if (has_place) {
        reply_errf(to, "%s%s script: %.40s, on %s:%d.", code, text, r->script->sha, ar.source,
                   ar.currentline);
    } else {
        reply_errf(to, "%s%s script: %.40s.", code, text, r->script->sha);
    }
}

struct finish {
    struct script_run *run;
    lua_State *T;
    bool is_too_deep, has_failed;
};

/* Protected: the reply. */
static int finish(lua_State *L)
{
    struct finish *f = lua_touserdata(L, 1);

    if (f->has_failed) {
        write_failure(f->run, f->T);
        return 0;
    }
    if (lua_gettop(f->T) == 0) {
        lua_pushnil(f->T);
    }
    lua_settop(f->T, 1); /* what is returned first */
    lua_xmove(f->T, L, 1);
    f->is_too_deep = !script_write_reply(L, f->run->cmd->reply, f->run->resp);
    return 0;
}

/* Errors raised by redis.call on purpose are values; all else undoes what was done. */
static void end_well(struct script_run *r, size_t from, int rc)
{
    struct finish f = {.run = r, .T = r->thread, .has_failed = rc != 0};
    struct cmd *c = r->cmd;
    lua_State *L = r->host->L;

    c->undo = rc != 0 && !BROKEN(10);
    if (lua_cpcall(L, finish, &f) != 0) {
        lua_settop(L, 0);
        reply_restart(c->reply, from);
        reply_errf(c->reply, "ERR not enough memory for the script's reply script: %.40s.",
                   r->script->sha);
        c->undo = true;
    } else if (f.is_too_deep) {
        reply_restart(c->reply, from);
        reply_errf(c->reply, "ERR reached lua stack limit");
        c->undo = true;
    }
}

static void end_badly(struct script_run *r)
{
    struct cmd *c = r->cmd;

    c->undo = true;
    switch (r->doom) {
    case SCRIPT_GIVEN_UP:
        atomic_store_explicit(&r->script->is_whole, true, memory_order_relaxed);
        c->wants_all = true;
        break;
    case SCRIPT_KILLED:
        reply_errf(c->reply,
                   "ERR Error running script (call to f_%.40s): Script killed by user with "
                   "SCRIPT KILL... script: %.40s.",
                   r->script->sha, r->script->sha);
        break;
    case SCRIPT_TOO_LONG:
        reply_errf(c->reply,
                   "ERR the script ran for longer than busy-reply-threshold; nothing was "
                   "changed script: %.40s.",
                   r->script->sha);
        break;
    case SCRIPT_FAILED:
    case SCRIPT_LIVES:
        break; /* the executor says it */
    }
}

/* ---- Slices ---- */

static void slice(struct cmd *c);

static void leave(struct script_run *r)
{
    struct script_host *h = r->host;
    uint64_t took = __rdtsc() - r->slice_begun;

    h->run = NULL;
    h->current = NULL;
    r->left_cycles -= took < r->left_cycles ? took : r->left_cycles;
    if (r->is_over_memory && h->runs == 1) {
        script_host_spoil(h);
    }
}

static void slice(struct cmd *c)
{
    struct script_run *r = c->progress;
    struct script_host *h = r->host;
    size_t from = c->reply->out.len;

    assert(h->run == NULL);
    r->cmd = c;
    r->slice_begun = __rdtsc();
    r->slice_end = r->slice_begun + (uint64_t)(SLICE_US * node_cycles_per_us());
    h->run = r;
    h->current = r->thread;
    h->fresh = 0;
    int rc = lua_resume(r->thread, 0);

    if (rc == LUA_YIELD && r->doom == SCRIPT_LIVES) {
        leave(r);
        c->again = true;
        c->go_on = slice;
        return;
    }
    if (r->doom != SCRIPT_LIVES) {
        end_badly(r);
    } else {
        end_well(r, from, rc);
    }
    leave(r);
    c->progress = NULL;
    c->go_on = NULL;
    run_free(r);
}

static uint64_t budget(void)
{
    uint64_t ms = conf_u64(&opt_busy_reply_threshold);

    return ms == 0 ? UINT64_MAX : (uint64_t)((double)ms * 1000 * node_cycles_per_us());
}

static bool begin_run(struct script_run *r, uint32_t numkeys)
{
    struct cmd *c = r->cmd;
    struct compile compile = {.run = r, .numkeys = numkeys};

    check_text(r->script, &compile);
    for (int i = 0; i < 2; i++) {
        r->host = script_host_get(c->db->scripts, c->session->worker->index);
        if (r->host == NULL) {
            reply_err(c->reply, WIRE_NOMEM);
            return false;
        }
        if (compile.is_bytecode) {
            (void)snprintf(compile.error, sizeof(compile.error), "bytecode is not loaded");
            break;
        }
        if (lua_cpcall(r->host->L, begin, &compile) == 0) {
            return true;
        }
        copy_error(r->host->L, compile.error, sizeof(compile.error));
        if (r->host->runs > 0 || strcmp(compile.error, "not enough memory") != 0) {
            break;
        }
        script_host_spoil(r->host); /* full of others' functions: once more, in a new one */
    }
    reply_errf(c->reply, "ERR Error compiling script (new function): %s", compile.error);
    return false;
}

void script_run(struct cmd *c, struct script *script, uint32_t numkeys, bool is_read_only)
{
    struct script_run *r = mem_zalloc(sizeof(*r));

    if (r == NULL) {
        script_put(script);
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    r->script = script;
    r->cmd = c;
    r->resp = 2;
    r->scripts = c->db->scripts;
    r->is_read_only = is_read_only || (script->flags & SCRIPT_NO_WRITES) != 0;
    r->chance[0] = 0x330e;
    r->left_cycles = budget();
    r->kills = atomic_load_explicit(&c->db->scripts->kills, memory_order_relaxed);
    reply_init(&r->reply);
    if (!begin_run(r, numkeys)) {
        run_free(r);
        return;
    }
    r->is_counted = true;
    r->host->runs++;
    atomic_fetch_add_explicit(&c->db->scripts->running, 1, memory_order_relaxed);
    script_watch(r->thread);
    c->progress = r;
    c->progress_free = run_free;
    slice(c);
}
