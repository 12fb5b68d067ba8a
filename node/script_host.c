#include "node/script_host.h"

#include "base/clock.h"
#include "base/conf.h"
#include "base/mem.h"
#include "node/database.h"
#include "node/node.h"
#include "node/options.h"

#include <assert.h>
#include <lualib.h>
#include <stdlib.h>
#include <x86intrin.h>

int luaopen_bit(lua_State *L); /* lua-bitop brings no header */

struct script_host *script_host_of(lua_State *L)
{
    void *host;

    (void)lua_getallocf(L, &host);
    return host;
}

/* ---- The budget ---- */

static void hook(lua_State *L, lua_Debug *ar);

static void arm(lua_State *L, int count)
{
    (void)lua_sethook(L, hook, LUA_MASKCOUNT, count);
}

void script_watch(lua_State *L)
{
    arm(L, SCRIPT_HOOK_COUNT);
}

void script_doom(lua_State *L, enum script_doom why)
{
    struct script_run *r = script_run_of(L);

    if (r->doom == SCRIPT_LIVES) {
        r->doom = why;
    }
    arm(L, 1);
    lua_pushliteral(L, "the script was ended");
    (void)lua_error(L);
    abort(); /* not reached: lua_error() does not say so */
}

void script_check(lua_State *L)
{
    struct script_run *r = script_run_of(L);

    if (UNLIKELY(r == NULL)) {
        return; /* while the state is made */
    }
    if (r->doom != SCRIPT_LIVES) {
        script_doom(L, r->doom);
    }
    if (UNLIKELY(atomic_load_explicit(r->kill_switch, memory_order_relaxed) != r->kills)) {
        script_doom(L, SCRIPT_KILLED);
    }
    if (UNLIKELY(__rdtsc() - r->slice_begun > r->left_cycles)) {
        script_doom(L, SCRIPT_TOO_LONG);
    }
}

/* Whether nothing of C's is on the coroutine's stack, so that Lua can leave it and come back. Lua says who was
 * called by whom; a function that was not called by a call (but as a metamethod, or by a `for`) has a loop
 * of C's below it, and either no name or that of the loop. Neither has one that took another's place by a tail
 * call, which is thought the worst of. */
static bool may_leave(lua_State *L)
{
    lua_Debug ar;

    for (int level = 0; level < SCRIPT_LEVELS_MAX; level++) {
        if (!lua_getstack(L, level, &ar)) {
            return true;
        }
        (void)lua_getinfo(L, "Sn", &ar);
        bool is_first = !lua_getstack(L, level + 1, &(lua_Debug){0});

        if (*ar.what == 'C' || *ar.what == 't' ||
            (!is_first && (*ar.namewhat == '\0' || ar.name == NULL ||
                           strcmp(ar.name, "(for generator)") == 0))) {
            return false;
        }
    }
    return false;
}

static void hook(lua_State *L, lua_Debug *ar)
{
    struct script_host *h = script_host_of(L);
    struct script_run *r = h->run;

    (void)ar;
    if (r == NULL) {
        return;
    }
    script_check(L);
    if (h->fresh > SCRIPT_FRESH_MAX) {
        h->fresh = 0;
        arm(L, SCRIPT_HOOK_COUNT);
    }
    if (L == r->thread && __rdtsc() > r->slice_end && may_leave(L)) {
        (void)lua_yield(L, 0);
    }
}

void script_enter(lua_State *L)
{
    if (++script_run_of(L)->c_depth > SCRIPT_C_DEPTH_MAX) {
        (void)luaL_error(L, "C stack overflow");
    }
}

void script_raise(lua_State *L, const char *text)
{
    lua_createtable(L, 0, 1);
    lua_pushstring(L, text);
    lua_setfield(L, -2, "err");
    (void)lua_error(L);
    abort(); /* not reached */
}

/* ---- Memory ---- */

/* Lua 5.1 collects nothing when memory is short, so garbage may not pile up to the limit: a collection
 * begins when there is TIGHT_PAUSE per cent of what is in use. A small state would then be walked whole for
 * every few calls of a script, and it alone was half of their cost: it may have ROOMY bytes of garbage, or what
 * its limit lets it. */
enum { TIGHT_PAUSE = 130, ROOMY = 256 << 10, ROOMY_OF_LIMIT = 16 };

static void relax(struct script_host *h)
{
    (void)lua_gc(h->L, LUA_GCSETPAUSE, h->roomy_pause);
    h->is_roomy = true;
}

void script_host_relax(struct script_host *h)
{
    if (UNLIKELY(!h->is_roomy) && h->used < h->roomy_max / 2) {
        relax(h);
    }
}

/* Of a state that has just been made. */
static void find_room(struct script_host *h)
{
    size_t room = h->limit / ROOMY_OF_LIMIT < ROOMY ? h->limit / ROOMY_OF_LIMIT : ROOMY;

    (void)lua_gc(h->L, LUA_GCCOLLECT, 0);
    h->roomy_pause = 100 + (int)(room * 100 / h->used);
    h->roomy_max = h->used + room * 2;
    relax(h);
}

static void *allocate(void *host, void *p, size_t old, size_t now)
{
    struct script_host *h = host;

    if (now == 0) {
        mem_free(p, old);
        h->used -= old;
        return NULL;
    }
    if (now > old) {
        size_t more = now - old;

        if (UNLIKELY(h->used + more > h->limit) && !h->is_lenient) {
            if (h->run != NULL) {
                h->run->is_over_memory = true;
            }
            return NULL;
        }
        h->fresh += more;
        if (UNLIKELY(h->used + more > h->roomy_max) && h->is_roomy) {
            h->is_roomy = false;
            (void)lua_gc(h->L, LUA_GCSETPAUSE, TIGHT_PAUSE); /* a word of the state, no more */
        }
        /* Few instructions can move many bytes: have the hook look sooner. */
        if (UNLIKELY(h->fresh > SCRIPT_FRESH_MAX) && h->current != NULL) {
            arm(h->current, 1);
        }
    }
    void *to = p == NULL ? mem_alloc(now) : mem_realloc(p, old, now);

    if (to == NULL) {
        return NULL; /* also when it shrinks: whoever frees it says its size */
    }
    h->used += now;
    h->used -= p == NULL ? 0 : old;
    return to;
}

bool script_make_room(lua_State *L, lua_State *of, int n)
{
    struct script_host *h = script_host_of(L);

    if (LIKELY(n < LUA_MINSTACK - 4)) {
        return true; /* every stack has that */
    }
    if (h->used > h->limit) {
        return false;
    }
    h->is_lenient = true;
    bool has = lua_checkstack(of, n) != 0;

    h->is_lenient = false;
    return has;
}

/* ---- Making one ---- */

static void open_one(lua_State *L, lua_CFunction open, const char *name)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

/* A library that leaves its table. */
static void add(lua_State *L, const char *name, void (*open)(lua_State *L))
{
    open(L);
    script_read_only(L);
    lua_setglobal(L, name);
}

static void open_bit(lua_State *L)
{
    lua_pushcfunction(L, luaopen_bit);
    lua_pushliteral(L, "bit");
    lua_call(L, 1, 1);
}

/* Compiled scripts are kept by their SHA-1 in a table of the registry. */
static int forget_scripts(lua_State *L)
{
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, SCRIPT_TEXTS);
    return 0;
}

static int open_all(lua_State *L)
{
    (void)forget_scripts(L);
    open_one(L, luaopen_base, "");
    open_one(L, luaopen_table, LUA_TABLIBNAME);
    open_one(L, luaopen_string, LUA_STRLIBNAME);
    open_one(L, luaopen_math, LUA_MATHLIBNAME);
    script_open_base(L);
    add(L, "redis", script_open_redis);
    lua_getglobal(L, "redis");
    lua_setglobal(L, "server");
    add(L, "cjson", script_open_json);
    add(L, "bit", open_bit);
    add(L, "cmsgpack", script_open_pack);
    add(L, "struct", script_open_struct);
    script_open_library(L);
    script_open_run(L, script_host_of(L));
    return 0;
}

static int on_panic(lua_State *L)
{
    (void)L;
    assert(!"Lua raised outside of a protected call");
    return 0;
}

static struct script_host *create(struct scripts *s)
{
    struct script_host *h = mem_zalloc(sizeof(*h));

    if (h == NULL) {
        return NULL;
    }
    h->scripts = s;
    h->limit = conf_u64(&opt_lua_memory_limit);
    h->flushes = atomic_load_explicit(&s->flushes, memory_order_relaxed);
    h->L = lua_newstate(allocate, h);
    if (h->L == NULL) {
        mem_free(h, sizeof(*h));
        return NULL;
    }
    (void)lua_atpanic(h->L, on_panic);
    if (lua_cpcall(h->L, open_all, NULL) != 0) {
        script_host_destroy(h);
        return NULL;
    }
    find_room(h);
    script_host_tell(h);
    return h;
}

void script_host_tell(struct script_host *h)
{
    atomic_fetch_add_explicit(&h->scripts->vm_bytes, (int64_t)h->used - (int64_t)h->told,
                              memory_order_relaxed);
    h->told = h->used;
}

void script_host_destroy(struct script_host *h)
{
    if (h != NULL) {
        h->run = NULL;
        h->current = NULL;
        lua_close(h->L);
        script_run_forget(h->spare_run);
        assert(h->used == 0);
        script_host_tell(h);
        mem_free(h, sizeof(*h));
    }
}

void script_host_spoil(struct script_host *h)
{
    h->is_spoiled = true;
}

/* After SCRIPT FLUSH: libraries stay. */
static bool is_outdated(struct script_host *h, const struct scripts *s)
{
    uint64_t flushes = atomic_load_explicit(&s->flushes, memory_order_relaxed);

    if (LIKELY(h->flushes == flushes && !h->is_spoiled)) {
        return false;
    }
    if (h->is_spoiled || h->instances == 0 || lua_cpcall(h->L, forget_scripts, NULL) != 0) {
        return true;
    }
    h->flushes = flushes;
    return false;
}

struct script_host *script_host_get(struct scripts *s, uint32_t worker)
{
    struct script_host **at = &s->hosts[worker];

    assert(worker < s->host_count);
    if (*at != NULL && (*at)->runs == 0 && UNLIKELY(is_outdated(*at, s))) {
        script_host_destroy(*at);
        *at = NULL;
    }
    if (*at == NULL) {
        *at = create(s);
    }
    if (*at != NULL) {
        (*at)->used_at_ms = clock_now_ms();
        script_host_relax(*at);
    }
    return *at;
}
