/* script_run.c - one run of a script: begun, in slices, ended.
 *
 * The body is the main function of a coroutine. The hook leaves it when the slice is over and nothing of
 * C's is on its stack; the section stays as it is meanwhile (node/exec.h). What cannot be left so (a loop
 * in what pcall or table.sort calls, in an iterator, a metamethod, a coroutine) holds its worker for as long
 * as its budget. */
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

enum { SLICE_US = 1000, LOAD_MS = 500, SPARE_BUF_MAX = 64 << 10 };

/* ---- The end ---- */

static void unlist(struct script_run *r)
{
    if (r->is_listed) {
        (void)pthread_mutex_lock(&r->scripts->lock);
        list_remove(&r->slow);
        (void)pthread_mutex_unlock(&r->scripts->lock);
    }
}

static _Atomic uint32_t *count_of(const struct script_run *r)
{
    return r->script != NULL ? &r->scripts->running : &r->scripts->functions_running;
}

void script_run_forget(struct script_run *r)
{
    if (r != NULL) {
        reply_fini(&r->reply);
        buf_fini(&r->convert);
        mem_free(r, sizeof(*r));
    }
}

/* Its memory and its buffers are the next run's. */
static void spare(struct script_host *h, struct script_run *r)
{
    if (h == NULL || h->spare_run != NULL || r->reply.out.cap > SPARE_BUF_MAX ||
        r->convert.cap > SPARE_BUF_MAX) {
        script_run_forget(r);
    } else {
        h->spare_run = r;
    }
}

/* Zeroed, but for its buffers. */
static struct script_run *take_spare(struct script_host *h)
{
    struct script_run *r = h == NULL ? NULL : h->spare_run;

    if (r == NULL) {
        return mem_zalloc(sizeof(*r));
    }
    struct buf reply = r->reply.out;
    struct buf convert = r->convert;

    h->spare_run = NULL;
    memset(r, 0, sizeof(*r));
    r->reply.out = reply;
    r->convert = convert;
    return r;
}

static void run_free(void *run)
{
    struct script_run *r = run;

    unlist(r);
    if (r->thread != NULL) {
        script_thread_put(r);
    }
    if (r->load_ref != 0) {
        luaL_unref(r->host->L, LUA_REGISTRYINDEX, r->load_ref);
    }
    if (r->is_counted) {
        r->host->runs--;
        /* Lua 5.1 collects nothing when memory is short: what is left here would fail the next run. */
        if (r->host->runs == 0 && r->host->used > r->host->limit / 4 * 3) {
            script_host_spoil(r->host);
        }
        atomic_fetch_sub_explicit(count_of(r), 1, memory_order_relaxed);
    }
    buf_fini(&r->error);
    script_put(r->script);
    library_put(r->library);
    spare(r->host, r);
}

/* For "%.*s". */
#define NAME(r) (int)((r)->name.len < 200 ? (r)->name.len : 200), (r)->name.ptr

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

/* For "%.*s". */
#define NAME(r) (int)((r)->name.len < 200 ? (r)->name.len : 200), (r)->name.ptr

/* Protected: the text of the error at the top of the coroutine, which may have no memory to say it with: it
 * goes to L first. What is given lives by L's stack. */
static const char *error_text(lua_State *L, lua_State *T, const char **code)
{
    *code = "ERR ";
    lua_xmove(T, L, 1);
    if (lua_istable(L, -1)) {
        lua_pushliteral(L, "err");
        lua_rawget(L, -2);
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;

        *code = "";
        return text == NULL ? "ERR unknown error" : text + (*text == '-');
    }
    return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "(error object is not a string)";
}

static void write_failure(lua_State *L, struct script_run *r, lua_State *T)
{
    struct reply *to = r->cmd->reply;
    const char *code;
    lua_Debug ar;
    bool has_place = place_of(T, &ar);
    const char *text = error_text(L, T, &code);

    if (has_place) {
        reply_errf(to, "%s%s script: %.*s, on %s:%d.", code, text, NAME(r), ar.source,
                   ar.currentline);
    } else {
        reply_errf(to, "%s%s script: %.*s.", code, text, NAME(r));
    }
}

struct finish {
    struct script_run *run;
    lua_State *T;
    bool has_failed;
    const char *refusal; /* of the reply */
};

int script_finish(lua_State *L)
{
    struct finish *f = lua_touserdata(L, 1);

    if (f->has_failed) {
        write_failure(L, f->run, f->T);
        return 0;
    }
    if (lua_gettop(f->T) == 0) {
        lua_pushnil(f->T);
    }
    lua_settop(f->T, 1); /* what is returned first */
    lua_xmove(f->T, L, 1);
    f->refusal = script_write_reply(L, f->run->cmd->reply, f->run->resp, f->run->host->limit);
    return 0;
}

/* Errors raised by redis.call on purpose are values; all else undoes what was done. */
static void end_well(struct script_run *r, size_t from, int rc)
{
    struct finish f = {.run = r, .T = r->thread, .has_failed = rc != 0};
    struct cmd *c = r->cmd;
    lua_State *L = r->host->L;

    c->undo = rc != 0 && !BROKEN(10);
    r->has_ended = rc == 0;
    if (script_call_part(r->host, SCRIPT_FINISH, &f) != 0) {
        lua_settop(L, 0);
        reply_restart(c->reply, from);
        reply_errf(c->reply, "ERR not enough memory for the script's reply script: %.*s.", NAME(r));
        c->undo = true;
    } else if (f.refusal != NULL) {
        reply_restart(c->reply, from);
        reply_errf(c->reply, "ERR %s", f.refusal);
        c->undo = true;
    }
}

static void end_badly(struct script_run *r)
{
    struct cmd *c = r->cmd;

    c->undo = true;
    switch (r->doom) {
    case SCRIPT_GIVEN_UP:
        atomic_store_explicit(r->is_whole, true, memory_order_relaxed);
        c->wants_all = true;
        break;
    case SCRIPT_KILLED:
        reply_errf(c->reply,
                   "ERR Error running script (call to %s%.*s): Script killed by user with "
                   "%s KILL... script: %.*s.",
                   r->script != NULL ? "f_" : "", NAME(r),
                   r->script != NULL ? "SCRIPT" : "FUNCTION", NAME(r));
        break;
    case SCRIPT_TOO_LONG:
        reply_errf(c->reply,
                   "ERR the script ran for longer than busy-reply-threshold; nothing was "
                   "changed script: %.*s.",
                   NAME(r));
        break;
    case SCRIPT_FAILED:
    case SCRIPT_LIVES:
        break; /* the executor says it */
    }
}

/* ---- Slices ---- */

static void leave(struct script_run *r)
{
    struct script_host *h = r->host;
    uint64_t took = __rdtsc() - r->slice_begun;

    h->run = NULL;
    h->current = NULL;
    if (h->used != h->told) {
        script_host_tell(h);
    }
    r->left_cycles -= took < r->left_cycles ? took : r->left_cycles;
    if (r->is_over_memory && h->runs == 1) {
        script_host_spoil(h);
    }
}

/* Those of functions are told of by FUNCTION STATS. */
static void note_slow(struct script_run *r)
{
    if (r->script == NULL && !r->is_listed) {
        r->is_listed = true;
        (void)pthread_mutex_lock(&r->scripts->lock);
        list_push(&r->scripts->slow, &r->slow);
        (void)pthread_mutex_unlock(&r->scripts->lock);
    }
}

/* One slice: LUA_YIELD if there is more to do; else it has ended or failed, or is doomed. Its memory's
 * account is closed by leave(). */
static int step(struct script_run *r, struct cmd *c)
{
    struct script_host *h = r->host;

    assert(h->run == NULL);
    r->cmd = c;
    r->slice_begun = __rdtsc();
    r->slice_end = r->slice_begun + (uint64_t)(SLICE_US * node_cycles_per_us());
    h->run = r;
    h->current = r->thread;
    h->fresh = 0;
    int rc = lua_resume(r->thread, r->args);

    r->args = 0;
    if (rc == LUA_YIELD && r->doom == SCRIPT_LIVES) {
        leave(r);
        note_slow(r);
        return LUA_YIELD;
    }
    return rc;
}

struct compile {
    struct script_run *run;
    enum script_part begin; /* makes the run's coroutine */
    bool is_bytecode;
    char error[LIBRARY_ERROR_MAX - 64]; /* room for what is put before it */
};

static bool begin_coroutine(struct script_run *r, struct compile *compile);
static uint64_t budget(void);

static void go_on(struct cmd *c);

static void run_again(struct cmd *c)
{
    c->again = true;
    c->go_on = go_on;
}

static void end(struct script_run *r)
{
    struct cmd *c = r->cmd;

    c->progress = NULL;
    c->go_on = NULL;
    run_free(r);
}

/* The library of a function has been loaded: now the function. */
static void begin_call(struct script_run *r)
{
    struct cmd *c = r->cmd;
    struct compile compile = {.run = r, .begin = SCRIPT_BEGIN_FUNCTION};
    const char *why = script_library_settle(r, NULL);

    if (why != NULL) {
        reply_errf(c->reply, "%s", why);
        end(r);
        return;
    }
    r->left_cycles = budget();
    if (!begin_coroutine(r, &compile)) {
        reply_errf(c->reply, "ERR %s", compile.error);
        end(r);
        return;
    }
    run_again(c);
}

static void go_on(struct cmd *c)
{
    struct script_run *r = c->progress;
    size_t from = c->reply->out.len;
    int rc = step(r, c);

    if (rc == LUA_YIELD && r->doom == SCRIPT_LIVES) {
        run_again(c);
        return;
    }
    if (rc == 0 && r->doom == SCRIPT_LIVES && r->load_ref != 0) {
        leave(r);
        begin_call(r);
        return;
    }
    if (r->doom != SCRIPT_LIVES) {
        end_badly(r);
    } else {
        end_well(r, from, rc);
    }
    leave(r);
    end(r);
}

/* ---- Beginnings ---- */

static uint64_t cycles_of(uint64_t ms)
{
    return ms == 0 ? UINT64_MAX : (uint64_t)((double)ms * 1000 * node_cycles_per_us());
}

static uint64_t budget(void)
{
    return cycles_of(conf_u64(&opt_busy_reply_threshold));
}

static bool begin_coroutine(struct script_run *r, struct compile *compile)
{
    r->c_depth = r->co_depth = 0;
    if (script_call_part(r->host, compile->begin, r) == 0) {
        script_watch(r->thread);
        return true;
    }
    script_copy_error(r->host->L, compile->error, sizeof(compile->error));
    return false;
}

/* In the worker's state; once more in a new one, if that one is full of others' functions. */
static bool begin_run(struct script_run *r, struct compile *compile)
{
    struct cmd *c = r->cmd;

    for (int i = 0; i < 2; i++) {
        r->host = script_host_get(c->db->scripts, c->session->worker->index);
        if (r->host == NULL) {
            (void)snprintf(compile->error, sizeof(compile->error), "not enough memory");
            return false;
        }
        if (compile->is_bytecode) {
            (void)snprintf(compile->error, sizeof(compile->error), "bytecode is not loaded");
            return false;
        }
        if (r->function != NULL) {
            bool has = script_library_has(r->host, r->library->id);

            compile->begin = has ? SCRIPT_BEGIN_FUNCTION : SCRIPT_BEGIN_LIBRARY;
            r->left_cycles = has ? budget() : cycles_of(LOAD_MS);
        }
        if (begin_coroutine(r, compile)) {
            r->is_counted = true;
            r->host->runs++;
            atomic_fetch_add_explicit(count_of(r), 1, memory_order_relaxed);
            return true;
        }
        if (r->host->runs > 0 || strcmp(compile->error, "not enough memory") != 0) {
            return false;
        }
        script_host_spoil(r->host);
    }
    return false;
}

static struct script_run *create(struct cmd *c, const _Atomic uint64_t *kill_switch)
{
    struct script_run *r = take_spare(c->db->scripts->hosts[c->session->worker->index]);

    if (r != NULL) {
        r->cmd = c;
        r->resp = 2;
        script_json_begin(&r->json);
        r->scripts = c->db->scripts;
        r->chance[0] = 0x330e;
        r->kill_switch = kill_switch;
        r->kills = atomic_load_explicit(kill_switch, memory_order_relaxed);
        r->begun_ms = c->now_ms;
        r->argv = c->argv;
        r->argc = c->argc;
    }
    return r;
}

static void start(struct cmd *c, struct script_run *r)
{
    c->progress = r;
    c->progress_free = run_free;
    go_on(c);
}

void script_run(struct cmd *c, struct script *script, uint32_t numkeys, bool is_read_only)
{
    struct compile compile = {.begin = SCRIPT_BEGIN,
                              .is_bytecode = script_is_bytecode(script->text, script->body_at)};
    struct script_run *r = create(c, &c->db->scripts->kills);

    if (r == NULL) {
        script_put(script);
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    r->script = script;
    r->name = (struct slice){script->sha, SHA1_HEX};
    r->flags = script->flags;
    r->is_whole = &script->is_whole;
    r->numkeys = numkeys;
    r->is_read_only = is_read_only || (script->flags & SCRIPT_NO_WRITES) != 0;
    r->left_cycles = budget();
    if (!begin_run(r, &compile)) {
        reply_errf(c->reply, "ERR Error compiling script (new function): %s", compile.error);
        run_free(r);
        return;
    }
    start(c, r);
}

void script_run_function(struct cmd *c, struct function *f, uint32_t numkeys, bool is_read_only)
{
    struct compile compile = {0};
    struct script_run *r = create(c, &c->db->scripts->function_kills);
    struct script_host *h = script_host_get(c->db->scripts, c->session->worker->index);

    if (r == NULL || h == NULL) {
        if (r != NULL) {
            run_free(r);
        }
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    script_library_sweep(h, libraries_of(c));
    r->library = library_get(f->library);
    r->function = f;
    r->code = f->library->code;
    r->body_at = f->library->body_at;
    r->name = f->name;
    r->flags = f->flags;
    r->is_whole = &f->is_whole;
    r->numkeys = numkeys;
    r->is_read_only = is_read_only || (f->flags & SCRIPT_NO_WRITES) != 0;
    uint64_t chance = __rdtsc(); /* only scripts begin with the same */

    memcpy(&r->chance[1], &chance, 2 * sizeof(r->chance[1]));
    if (!begin_run(r, &compile)) {
        reply_errf(c->reply, "ERR %s", compile.error);
        run_free(r);
        return;
    }
    start(c, r);
}

/* ---- Loading a library ---- */

struct script_run *script_load_begin(struct cmd *c, struct slice code,
                                     const struct library_head *head, char *error)
{
    struct compile compile = {.begin = SCRIPT_BEGIN_LIBRARY,
                              .is_bytecode = script_is_bytecode(code, head->body_at)};
    struct script_run *r = create(c, &c->db->scripts->function_kills);

    if (r == NULL) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "%s", wire_err_text(WIRE_NOMEM));
        return NULL;
    }
    r->name = head->name;
    r->code = code;
    r->body_at = head->body_at;
    r->left_cycles = cycles_of(LOAD_MS);
    if (!begin_run(r, &compile)) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR Error compiling function: %s", compile.error);
        run_free(r);
        return NULL;
    }
    return r;
}

struct load_error {
    struct script_run *run;
    char *error;
};

/* Protected: what the text raised, or why it was ended. */
static int load_error(lua_State *L)
{
    const struct load_error *e = lua_touserdata(L, 1);
    const struct script_run *r = e->run;
    const char *code;
    const char *text;

    if (r->doom == SCRIPT_TOO_LONG) {
        text = "ERR FUNCTION LOAD timeout";
    } else if (r->doom != SCRIPT_LIVES) {
        text = "ERR Script killed by user with FUNCTION KILL...";
    } else {
        text = error_text(L, r->thread, &code);
    }
    (void)snprintf(e->error, LIBRARY_ERROR_MAX, "ERR Error registering functions: %.400s", text);
    return 0;
}

enum script_loaded script_load_step(struct cmd *c, struct script_run *r, struct library **out,
                                    char *error)
{
    int rc = step(r, c);
    const char *why;

    if (rc == LUA_YIELD && r->doom == SCRIPT_LIVES) {
        return SCRIPT_LOADS;
    }
    if (rc != 0 || r->doom != SCRIPT_LIVES) {
        struct load_error e = {r, error};

        if (lua_cpcall(r->host->L, load_error, &e) != 0) {
            lua_settop(r->host->L, 0); /* the library took all that Lua may have */
            (void)snprintf(error, LIBRARY_ERROR_MAX,
                           "ERR Error registering functions: not enough memory");
        }
        leave(r);
        return SCRIPT_NOT_LOADED;
    }
    leave(r);
    why = script_library_settle(r, out);
    if (why != NULL) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "%s", why);
        return SCRIPT_NOT_LOADED;
    }
    return SCRIPT_LOADED;
}

void script_load_end(struct script_run *r)
{
    run_free(r);
}

void script_each_slow(struct scripts *s, void (*fn)(const struct script_run *, void *), void *arg)
{
    (void)pthread_mutex_lock(&s->lock);
    for (const struct list *l = s->slow.next; l != &s->slow; l = l->next) {
        fn(LIST_ITEM(l, struct script_run, slow), arg);
    }
    (void)pthread_mutex_unlock(&s->lock);
}
