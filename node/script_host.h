/* script_host.h - a sandboxed Lua state: one a worker and database.
 *
 * What a script can reach: Lua 5.1's base, table, string, math and coroutine without what leaves the
 * sandbox, redis, cjson, cmsgpack, bit, struct, os.clock. All of them are read through proxies that
 * cannot be written; globals are a table of the run's own, read-only too. So scripts share nothing.
 *
 * Invariants (tests/unit/node/test_script.c)
 *  L1  a run that is doomed (killed, over its budget, given up) ends: whatever catches an error looks
 *      at `doom` first and raises again, and the hook is armed at every instruction.
 *  L2  no more than `limit` bytes; what does not fit is Lua's "not enough memory", in the script.
 *  L3  no bytecode is loaded; no C stack overflows: what calls back counts its depth.
 *  L4  a step that takes long without an instruction looks at the budget by itself.
 */
#ifndef NODE_SCRIPT_HOST_H
#define NODE_SCRIPT_HOST_H

#include "base/annot.h"
#include "base/list.h"
#include "node/library.h"
#include "node/script.h"

#include <lauxlib.h>
#include <lua.h>

enum {
    SCRIPT_HOOK_COUNT = 1000,
    SCRIPT_C_DEPTH_MAX = 150, /* callbacks within callbacks: below Lua's own 200 */
    SCRIPT_CO_DEPTH_MAX = 16, /* coroutines within coroutines, each with its own C depth */
    SCRIPT_LEVELS_MAX = 100,  /* of calls, through which the hook looks for whether it may leave */
    SCRIPT_FRESH_MAX = 4 << 20, /* bytes taken before the hook looks */
    SCRIPT_KEYS_KNOWN = 8       /* of a run's arguments, that may be keys: hashed once */
};

/* The registry's table of compiled scripts, by SHA-1. */
#define SCRIPT_TEXTS "texts"

enum script_doom {
    SCRIPT_LIVES,
    SCRIPT_KILLED,
    SCRIPT_TOO_LONG,
    SCRIPT_GIVEN_UP, /* it touched an undeclared key: it runs again */
    SCRIPT_FAILED    /* its section did */
};

struct script_keys; /* names that live until the section ends */

enum script_json_invalid { SCRIPT_JSON_OFF, SCRIPT_JSON_ON, SCRIPT_JSON_NULL };

/* cjson's settings (node/script_json.c). */
struct script_json {
    bool sparse_converts, decode_invalid;
    int sparse_ratio, sparse_safe;
    int precision;
    enum script_json_invalid encode_invalid;
};

/* The parts of a run that are called protected, on the state's own stack (node/script_run.c). */
enum script_part {
    SCRIPT_BEGIN,
    SCRIPT_BEGIN_FUNCTION,
    SCRIPT_BEGIN_LIBRARY,
    SCRIPT_FINISH,
    SCRIPT_PARTS
};

struct script_run {
    struct script_host *host;
    struct script *script;     /* counted; NULL: a function runs, or a library is loaded */
    struct library *library;   /* counted; NULL of scripts, and until a load has made it */
    struct function *function; /* the library's; NULL: it is only loaded */
    struct slice name;         /* in errors: a SHA-1, a function's or a library's name */
    struct slice code;         /* of a library */
    size_t body_at;            /* in it */
    uint32_t flags, numkeys;
    int args;     /* on the coroutine's stack, for its beginning */
    int load_ref; /* while the library's text runs: what it has registered (script_library.c) */
    _Atomic bool *is_whole; /* of the script or function */
    struct cmd *cmd;        /* of this slice */
    struct scripts *scripts;
    lua_State *thread; /* NULL: not begun */
    int thread_ref;
    enum script_doom doom;
    bool is_read_only, is_over_memory, is_counted;
    bool has_ended; /* its coroutine has returned */
    int resp;
    uint32_t c_depth, co_depth;
    const _Atomic uint64_t *kill_switch;
    uint64_t kills;
    uint64_t left_cycles; /* of its budget; what a slice takes is taken off */
    uint64_t slice_begun, slice_end;
    unsigned short chance[3];
    struct reply reply; /* of the command that it called */
    struct buf convert;
    struct buf error;
    struct script_keys *names;
    struct script_json json;
    struct list slow; /* among the database's slow functions, if it is listed there */
    bool is_listed;
    int64_t begun_ms;
    const struct slice *argv; /* the request's, for those who list it */
    uint32_t argc;
    uint32_t known; /* a bit each of `keys` that is filled */
    struct key keys[SCRIPT_KEYS_KNOWN];
};

struct script_host {
    lua_State *L;
    int parts[SCRIPT_PARTS]; /* in the registry, as is … */
    int instances_ref;       /* … what libraries keep (script_library.c) */
    lua_State *spare;        /* a coroutine that has ended well, for the next run */
    int spare_ref;
    struct script_run *spare_run; /* the same of a run's memory */
    bool is_roomy;                /* garbage may pile up to more than the state itself */
    size_t roomy_max;             /* … while no more than this is used */
    int roomy_pause;
    struct scripts *scripts; /* whose it is */
    size_t used, limit, fresh;
    size_t told;            /* of `used`, in scripts->vm_bytes */
    int64_t used_at_ms;     /* when it was last asked for */
    struct script_run *run; /* whose slice is on the stack; NULL between */
    lua_State *current;     /* the coroutine that runs */
    uint32_t runs;          /* begun and not ended */
    uint32_t instances;     /* libraries that are loaded */
    const void *swept_for;  /* the set of libraries as it was when those that went were dropped */
    uint64_t flushes;
    bool is_spoiled;
    bool is_lenient; /* script_make_room() */
};

/* The caller's worker's; made anew after a flush. NULL: no memory. */
struct script_host *script_host_get(struct scripts *s, uint32_t worker);
void script_host_destroy(struct script_host *h);
/* As a run begins: garbage may pile up again if a greedy run is over. */
void script_host_relax(struct script_host *h);
/* Brings vm_bytes up to date. */
void script_host_tell(struct script_host *h);
/* Drops it at its next use, if nothing runs: its memory is full. */
void script_host_spoil(struct script_host *h);

struct script_host *script_host_of(lua_State *L);
static inline struct script_run *script_run_of(lua_State *L)
{
    return script_host_of(L)->run;
}

/* L4. Raises when the run is doomed or over its budget. */
void script_check(lua_State *L);
/* Has the hook look at a coroutine that begins. */
void script_watch(lua_State *L);
/* Ends the run; does not return. */
NO_RETURN void script_doom(lua_State *L, enum script_doom why);
/* Raises a table with the error's text, as redis.call does. */
NO_RETURN void script_raise(lua_State *L, const char *text);
/* Room for n values on the stack of a coroutine that does not run: an error there would be caught by nobody,
 * and end the process. So it may take the state over its limit, once. False: there is none. */
MUST_CHECK bool script_make_room(lua_State *L, lua_State *of, int n);
/* One more callback within callbacks. */
void script_enter(lua_State *L);
static inline void script_leave(lua_State *L)
{
    script_run_of(L)->c_depth--;
}

/* ---- Libraries: each leaves one table on the stack ---- */

void script_open_base(
    lua_State *L); /* takes from L's globals what is not safe, and wraps the rest */
void script_open_redis(lua_State *L);         /* node/script_call.c */
void script_open_redis_calling(lua_State *L); /* … as functions have it */
void script_open_redis_loading(lua_State *L); /* … as the text of a library has it; not sealed */
void script_open_library(lua_State *L);       /* leaves nothing; after the rest */
void script_open_json(lua_State *L);
void script_json_begin(struct script_json *set);
void script_open_pack(lua_State *L); /* cmsgpack */
void script_open_struct(lua_State *L);
/* Into the string library's table at the top. */
void script_open_string(lua_State *L);
/* Replaces the table at the top by what reads it and cannot be written. */
void script_read_only(lua_State *L);
/* Pushes the __newindex of what cannot be written. */
void script_push_guard(lua_State *L);

/* ---- How a run begins (node/script_begin.c) ---- */

/* Makes the parts of runs; leaves nothing. */
void script_open_run(lua_State *L, struct script_host *h);
/* Calls one, protected, with arg as light userdata; nothing is made for the call itself. */
int script_call_part(struct script_host *h, enum script_part part, void *arg);
bool script_is_bytecode(struct slice text, size_t body_at);
/* The error's text at the top; empties the stack. */
void script_copy_error(lua_State *L, char *to, size_t max);
/* The run's coroutine is the next one's, or collected. */
void script_thread_put(struct script_run *r);

/* ---- A run (node/script_run.c) ---- */

/* Protected: the reply. */
int script_finish(lua_State *L);

/* redis.call and redis.pcall. */
int script_call(lua_State *L);
int script_pcall(lua_State *L);
/* Pushes a reply's Lua form. */
void script_push_reply(lua_State *L, struct script_run *r);
/* Writes the value at the top of the stack; `limit` is what the state may take in memory. NULL, or why not: what
 * a table holds many times takes its memory once and its place in the reply each time. */
const char *script_write_reply(lua_State *L, struct reply *to, int resp, size_t limit);

/* The memory of one that has ended; NULL is fine. */
void script_run_forget(struct script_run *r);
/* The handler of EVAL and kin: `script` is counted, and taken. */
void script_run(struct cmd *c, struct script *script, uint32_t numkeys, bool is_read_only);
/* The same of FCALL: `function` of a library that is in the set which the command sees. */
void script_run_function(struct cmd *c, struct function *function, uint32_t numkeys,
                         bool is_read_only);
/* The name and bit of a function's flag; NULL: there are no more. */
const char *script_flag_name(unsigned index, uint32_t *flag);

/* Loading a library, in slices: its text is borrowed until the end. NULL: *error says why not. */
struct library_head;
struct script_run *script_load_begin(struct cmd *c, struct slice code,
                                     const struct library_head *head, char *error);
enum script_loaded { SCRIPT_LOADS, SCRIPT_LOADED, SCRIPT_NOT_LOADED };
/* LOADED: *out is counted. NOT_LOADED: error says why. */
enum script_loaded script_load_step(struct cmd *c, struct script_run *r, struct library **out,
                                    char *error);
/* Also in the middle. */
void script_load_end(struct script_run *r);

/* Calls fn for each function that runs for more than a slice; its arguments are there meanwhile. */
void script_each_slow(struct scripts *s, void (*fn)(const struct script_run *r, void *arg),
                      void *arg);

/* ---- Libraries in a state (node/script_library.c) ---- */

/* Protected, its run as light userdata: the coroutine that is the library's text. */
int script_library_begin(lua_State *L);
/* The text has run to its end. *made, if given, is the library that it makes (counted); else it is the run's
 * own. NULL, or why there is none. */
const char *script_library_settle(struct script_run *r, struct library **made);
/* Drops what is not in the set. */
void script_library_sweep(struct script_host *h, const struct libraries *set);
bool script_library_has(struct script_host *h, uint64_t id);
/* Pushes the function, and makes its library's globals those of the coroutine. */
void script_push_library_function(lua_State *L, lua_State *T, const struct function *f);

/* NULL: it compiles; else why not, until the next call on this thread. */
const char *script_try_compile(struct cmd *c, struct script *script);

#endif
