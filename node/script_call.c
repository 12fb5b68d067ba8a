/* script_call.c - redis.call, redis.pcall and the rest of `redis`. */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/acl_log.h"
#include "node/evict.h"
#include "node/exec.h"
#include "node/keyspace.h"
#include "node/node.h"
#include "node/script_host.h"
#include "node/section.h"
#include "proto/error_count.h"
#include "proto/number.h"

#include <assert.h>
#include <math.h>
#include <x86intrin.h>

enum { NAMES_MAX = 256 << 20, NAMES_BLOCK = 4096, ARGS_INLINE = 8, INT_BYTES = 24 };

/* ---- Names that live until the section ends ---- */

struct names_block {
    struct names_block *next;
    size_t bytes;
    char v[];
};

struct script_keys {
    struct names_block *blocks;
    size_t used; /* of the first */
    size_t total;
};

static void names_free(void *object, void *arg)
{
    struct script_keys *n = object;

    (void)arg;
    for (struct names_block *b = n->blocks, *next; b != NULL; b = next) {
        next = b->next;
        mem_free(b, sizeof(*b) + b->bytes);
    }
    mem_free(n, sizeof(*n));
}

/* NULL: no memory, or too much of it. */
static char *names_take(struct script_run *r, size_t len)
{
    struct script_keys *n = r->names;

    if (n == NULL) {
        n = mem_zalloc(sizeof(*n));
        if (n == NULL) {
            return NULL;
        }
        section_on_end(r->cmd->section, names_free, n, NULL);
        if (section_has_failed(r->cmd->section)) {
            mem_free(n, sizeof(*n));
            return NULL;
        }
        r->names = n;
    }
    if (n->blocks == NULL || n->blocks->bytes - n->used < len) {
        size_t bytes = len > NAMES_BLOCK ? len : NAMES_BLOCK;
        struct names_block *b = n->total + bytes > NAMES_MAX ? NULL : mem_alloc(sizeof(*b) + bytes);

        if (b == NULL) {
            return NULL;
        }
        b->next = n->blocks;
        b->bytes = bytes;
        n->blocks = b;
        n->used = 0;
        n->total += bytes;
    }
    n->used += len;
    return n->blocks->v + n->used - len;
}

/* ---- The arguments ---- */

/* What redis.call was given: in C's memory if it is little, else in Lua's, which goes with the call however it
 * ends. */
struct args {
    struct slice *v;
    uint32_t n;
    struct slice few[ARGS_INLINE];
    char ints[ARGS_INLINE][INT_BYTES];
};

/* The text of the number at i as Redis 7.2 has it: the fewest digits that read back; NaN keeps its sign. */
static struct slice number_text(lua_State *L, int i, char room[INT_BYTES])
{
    double x = lua_tonumber(L, i);
    struct slice s = {room, 0};
    char text[1 + NUMBER_DOUBLE_MAX] = "-";

    if (fabs(x) < 9007199254740992.0 && x == (double)(int64_t)x && (x != 0 || !signbit(x))) {
        s.len = number_print_int(room, (int64_t)x);
        return s;
    }
    bool has_sign = isnan(x) && signbit(x);

    lua_pushlstring(L, text, has_sign + number_print_double(text + has_sign, x));
    lua_replace(L, i);
    s.ptr = lua_tolstring(L, i, &s.len);
    return s;
}

/* Of one at least. False: one is no string and no number. */
static bool read_args(lua_State *L, struct args *a)
{
    char more[INT_BYTES];

    a->n = (uint32_t)lua_gettop(L);
    assert(a->n > 0);
    a->v = a->n <= ARGS_INLINE ? a->few : lua_newuserdata(L, a->n * sizeof(a->v[0]));
    for (int i = 0; i < (int)a->n; i++) {
        struct slice *to = &a->v[i];

        switch (lua_type(L, i + 1)) {
        case LUA_TSTRING:
            to->ptr = lua_tolstring(L, i + 1, &to->len);
            break;
        case LUA_TNUMBER:
            *to = number_text(L, i + 1, i < ARGS_INLINE ? a->ints[i] : more);
            if (to->ptr == more) {
                lua_pushlstring(L, more, to->len);
                lua_replace(L, i + 1);
                to->ptr = lua_tolstring(L, i + 1, &to->len);
            }
            break;
        default:
            return false;
        }
    }
    return true;
}

/* A declared key of the script's own, whose name lives in the request, hashed when it is first met. */
static const struct key *known_key(struct script_run *r, struct slice name)
{
    for (uint32_t i = 0; i + 3 < r->argc && i < SCRIPT_KEYS_KNOWN; i++) {
        if (slice_is(r->argv[i + 3], name)) {
            if ((r->known & 1u << i) == 0) {
                r->keys[i] = key_of(r->argv[i + 3]);
                r->known |= 1u << i;
            }
            return &r->keys[i];
        }
    }
    return NULL;
}

/* Names live until the section ends: another goes to the run's own memory. */
static bool keep_name(struct script_run *r, struct slice *name)
{
    char *at = names_take(r, name->len);

    if (at == NULL) {
        return false;
    }
    memcpy(at, name->ptr, name->len);
    name->ptr = at;
    return true;
}

/* The same of all arguments of a command that has keys, and its first key for the executor. */
static bool keep_args(struct script_run *r, struct request *q, struct slice *argv)
{
    const struct cmd_keys *keys = &q->def->keys;
    bool one = keys->kind == CMD_KEYS_RANGE && keys->first == keys->last;

    for (uint32_t i = one ? (uint32_t)keys->first : 1; i < q->argc; i++) {
        const struct key *known = known_key(r, argv[i]);

        if (known != NULL) {
            argv[i] = known->name;
        } else if (!keep_name(r, &argv[i])) {
            return false;
        }
        if (keys->kind == CMD_KEYS_RANGE && i == (uint32_t)keys->first) {
            q->key = known != NULL ? *known : key_of(argv[i]);
        }
        if (one) {
            break;
        }
    }
    return true;
}

/* Why its user may not run it, on Lua's stack; NULL: it may. */
static const char *denial(lua_State *L, const struct session *s, const struct request *q)
{
    const struct acl_rules *limits = s == NULL ? NULL : acl_limits(s);
    struct acl_denied d = {.context = ACL_IN_LUA, .def = q->def, .argv = q->argv, .argc = q->argc};
    struct buf why = {0};

    if (LIKELY(limits == NULL)) {
        return NULL;
    }
    d.verdict = acl_check(limits, q->def, q->argv, q->argc, &d.at);
    if (d.verdict == ACL_ALLOWED) {
        return NULL;
    }
    acl_log_denied(s, &d);
    acl_put_denied(&why, d.verdict, acl_name(s->user), q->def, d.argv[d.at], false);
    lua_pushliteral(L, "NOPERM ACL failure in script: ");
    /* Out of Lua's memory it does not come back: the text goes first then, in the run's own. */
    buf_clear(&script_run_of(L)->error);
    (void)!buf_append_slice(&script_run_of(L)->error, buf_slice(&why));
    buf_fini(&why);
    lua_pushlstring(L, script_run_of(L)->error.ptr, script_run_of(L)->error.len);
    lua_concat(L, 2);
    return lua_tostring(L, -1);
}

/* What it has written counts, though nobody sees it yet: a script may not fill the memory before its end. */
static const char *no_room(lua_State *L, const struct script_run *r)
{
    uint64_t pending = section_pending_bytes(r->cmd->section);

    if (UNLIKELY(pending > SECTION_BYTES_MAX)) {
        section_fail(r->cmd->section, SECTION_TOO_LARGE);
        script_doom(L, SCRIPT_FAILED);
    }
    if ((r->flags & SCRIPT_ALLOW_OOM) == 0 &&
        UNLIKELY(evict_is_over(r->cmd->db) || evict_is_far_over(r->cmd->db, pending))) {
        return wire_err_text(WIRE_OOM);
    }
    return NULL;
}

static const char *refusal(lua_State *L, const struct script_run *r, const struct request *q)
{
    const struct cmd_def *def = q->def;
    const char *why;

    if (def == NULL) {
        return "ERR Unknown Redis command called from script";
    }
    if (!cmd_arity_fits(def, q->argc)) {
        return "ERR Wrong number of args calling Redis command from script";
    }
    if ((def->flags & (CMD_NOSCRIPT | CMD_TXN | CMD_OPERATOR)) != 0 || def->run == NULL) {
        return "ERR This Redis command is not allowed from script";
    }
    why = denial(L, r->cmd->session, q);
    if (why != NULL) {
        return why;
    }
    if (r->is_read_only && (def->flags & CMD_WRITE) != 0) {
        return "ERR Write commands are not allowed from read-only scripts.";
    }
    if ((def->flags & CMD_GROWS) != 0) {
        return no_room(L, r);
    }
    return NULL;
}

static const struct cmd_def *find_def(const struct slice *argv, uint32_t argc)
{
    const struct cmd_def *def = cmd_find(argv[0]);

    return def != NULL && def->subs != NULL && argc > 1 ? cmd_find_sub(def, argv[1]) : def;
}

/* ---- The call ---- */

static void run_command(lua_State *L, struct script_run *r, struct request *q)
{
    struct cmd c = {.def = q->def,
                    .argv = q->argv,
                    .argc = q->argc,
                    .reply = &r->reply,
                    .session = r->cmd->session,
                    .db = r->cmd->db,
                    .section = r->cmd->section,
                    .key = q->key,
                    .in_txn = true,
                    .now_ms = section_now_ms(r->cmd->section)};
    uint64_t begun = __rdtsc();

    r->reply.out.len = 0;
    r->reply.flags = 0;
    do {
        c.again = false;
        cmd_run(&c);
    } while (c.again && !r->reply.failed && !section_has_failed(c.section));
    if (c.progress != NULL) {
        c.progress_free(c.progress);
    }
    if (exec_self(node_self()) != NULL) {
        exec_tally(exec_self(node_self()), &c, __rdtsc() - begun);
    }
    if (r->reply.failed) {
        section_fail(c.section, SECTION_NOMEM);
    }
    if (UNLIKELY(section_has_failed(c.section))) {
        script_doom(L, SCRIPT_FAILED);
    }
    if ((r->reply.flags & REPLY_ERROR) != 0) {
        error_count_note(buf_slice(&r->reply.out));
    }
}

/* Pushes the reply; NULL, or why the command was not run. */
static const char *call(lua_State *L)
{
    struct script_run *r = script_run_of(L);
    struct args a;
    struct request q = {0};
    const char *why;

    script_check(L);
    if (lua_gettop(L) == 0) {
        return "ERR Please specify at least one argument for this redis lib call";
    }
    if (!read_args(L, &a)) {
        return "ERR Lua redis lib command arguments must be strings or integers";
    }
    q.def = find_def(a.v, a.n);
    q.argv = a.v;
    q.argc = a.n;
    why = refusal(L, r, &q);
    if (why != NULL) {
        return why;
    }
    if (q.def->keys.kind != CMD_KEYS_NONE || (q.def->flags & CMD_WHOLE) != 0) {
        if (q.def->keys.kind != CMD_KEYS_NONE && !keep_args(r, &q, a.v)) {
            return wire_err_text(WIRE_NOMEM);
        }
        if ((exec_mask(&q) & ~section_mask(r->cmd->section)) != 0) {
            script_doom(L, SCRIPT_GIVEN_UP);
        }
    }
    run_command(L, r, &q);
    script_check(L);
    script_push_reply(L, r);
    return NULL;
}

static void push_error(lua_State *L, const char *text)
{
    lua_createtable(L, 0, 1);
    lua_pushstring(L, text);
    lua_setfield(L, -2, "err");
}

int script_call(lua_State *L)
{
    const char *why = call(L);

    if (why != NULL) {
        script_raise(L, why);
    }
    if ((script_run_of(L)->reply.flags & REPLY_ERROR) != 0) {
        return lua_error(L);
    }
    return 1;
}

int script_pcall(lua_State *L)
{
    const char *why = call(L);

    if (why != NULL) {
        push_error(L, why);
    }
    return 1;
}

/* ---- The rest of `redis` ---- */

static int redis_sha1hex(lua_State *L)
{
    char hex[SHA1_HEX];
    struct slice text;

    if (lua_gettop(L) != 1) {
        script_raise(L, "ERR wrong number of arguments");
    }
    text.ptr = lua_tolstring(L, 1, &text.len);
    text.len = text.ptr == NULL ? 0 : text.len;
    sha1_hex(text, hex);
    lua_pushlstring(L, hex, sizeof(hex));
    return 1;
}

/* Without the ends of lines around it. */
static void trim(const char **text, size_t *len)
{
    while (*len > 0 && strchr("\r\n", (*text)[*len - 1]) != NULL) {
        --*len;
    }
    while (*len > 0 && strchr("\r\n", **text) != NULL) {
        ++*text;
        --*len;
    }
}

/* A first word is the error's code, if others follow. */
static int redis_error_reply(lua_State *L)
{
    const char *text;
    size_t code, len;

    if (lua_gettop(L) != 1 || lua_type(L, 1) != LUA_TSTRING) {
        push_error(L, "ERR wrong number or type of arguments");
        return 1;
    }
    text = lua_tostring(L, 1);
    text += *text == '-';
    len = strlen(text);
    code = strcspn(text, " ");
    lua_createtable(L, 0, 1);
    if (code == len) {
        lua_pushliteral(L, "ERR");
    } else {
        lua_pushlstring(L, text, code);
        text += code + 1;
        len -= code + 1;
    }
    trim(&text, &len);
    lua_pushliteral(L, " ");
    lua_pushlstring(L, text, len);
    lua_concat(L, 3);
    lua_setfield(L, -2, "err");
    return 1;
}

static int redis_status_reply(lua_State *L)
{
    if (lua_gettop(L) != 1 || lua_type(L, 1) != LUA_TSTRING) {
        push_error(L, "ERR wrong number or type of arguments");
        return 1;
    }
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "ok");
    return 1;
}

static int redis_log(lua_State *L)
{
    int argc = lua_gettop(L);

    if (argc < 2) {
        script_raise(L, "ERR redis.log() requires two arguments or more.");
    }
    if (!lua_isnumber(L, -argc)) {
        script_raise(L, "ERR First argument must be a number (log level).");
    }
    int level = (int)lua_tointeger(L, 1);

    if (level < 0 || level > 3) {
        script_raise(L, "ERR Invalid debug level.");
    }
    /* Tenants' words are theirs: the log says that they spoke, at debug, and no more than a line's. */
    for (int i = 2; i <= argc; i++) {
        const char *text = lua_tostring(L, i);

        if (text != NULL) {
            log_debug("script: redis.log\tlevel=%d text=%.200s", level, text);
        }
    }
    return 0;
}

static int redis_setresp(lua_State *L)
{
    if (lua_gettop(L) != 1) {
        script_raise(L, "ERR redis.setresp() requires one argument.");
    }
    int resp = (int)lua_tonumber(L, 1);

    if (resp != 2 && resp != 3) {
        script_raise(L, "ERR RESP version must be 2 or 3.");
    }
    script_run_of(L)->resp = resp;
    return 0;
}

/* What a script did is replicated as its effects, whole: these ask nothing of us. */
static int redis_set_repl(lua_State *L)
{
    if (lua_gettop(L) != 1) {
        script_raise(L, "ERR redis.set_repl() requires two arguments.");
    }
    int flags = (int)lua_tonumber(L, 1);

    if ((flags & ~3) != 0) {
        script_raise(L, "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or "
                        "REPL_NONE.");
    }
    return 0;
}

static int redis_replicate_commands(lua_State *L)
{
    lua_pushboolean(L, 1);
    return 1;
}

static int redis_acl_check_cmd(lua_State *L)
{
    const struct session *s = script_run_of(L)->cmd->session;
    const struct acl_rules *limits = s == NULL ? NULL : acl_limits(s);
    const struct cmd_def *def;
    struct args a;
    uint32_t at;

    if (lua_gettop(L) == 0) {
        script_raise(
            L, "ERR Please specify at least one argument for this redis.acl_check_cmd() call");
    }
    if (!read_args(L, &a)) {
        script_raise(L, "ERR redis.acl_check_cmd() command arguments must be strings or integers");
    }
    def = find_def(a.v, a.n);
    if (def == NULL) {
        script_raise(L, "ERR Invalid command passed to redis.acl_check_cmd()");
    }
    lua_pushboolean(L, limits == NULL || acl_check(limits, def, a.v, a.n, &at) == ACL_ALLOWED);
    return 1;
}

static int redis_nothing(lua_State *L)
{
    lua_pushboolean(L, 0);
    return 1;
}

static int redis_debug(lua_State *L)
{
    (void)L;
    return 0;
}

static void set_number(lua_State *L, const char *name, int value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static void open_constants(lua_State *L)
{
    set_number(L, "LOG_DEBUG", 0);
    set_number(L, "LOG_VERBOSE", 1);
    set_number(L, "LOG_NOTICE", 2);
    set_number(L, "LOG_WARNING", 3);
    set_number(L, "REDIS_VERSION_NUM", 0x070200);
    lua_pushliteral(L, "7.2.0");
    lua_setfield(L, -2, "REDIS_VERSION");
}

void script_open_redis_loading(lua_State *L)
{
    lua_newtable(L);
    lua_pushcfunction(L, redis_log);
    lua_setfield(L, -2, "log");
    open_constants(L);
}

void script_open_redis_calling(lua_State *L)
{
    static const luaL_Reg fns[] = {{"call", script_call},
                                   {"pcall", script_pcall},
                                   {"sha1hex", redis_sha1hex},
                                   {"error_reply", redis_error_reply},
                                   {"status_reply", redis_status_reply},
                                   {"log", redis_log},
                                   {"setresp", redis_setresp},
                                   {"set_repl", redis_set_repl},
                                   {"acl_check_cmd", redis_acl_check_cmd},
                                   {NULL, NULL}};

    lua_newtable(L);
    luaL_register(L, NULL, fns);
    open_constants(L);
    set_number(L, "REPL_NONE", 0);
    set_number(L, "REPL_AOF", 1);
    set_number(L, "REPL_SLAVE", 2);
    set_number(L, "REPL_REPLICA", 2);
    set_number(L, "REPL_ALL", 3);
}

void script_open_redis(lua_State *L)
{
    static const luaL_Reg fns[] = {{"replicate_commands", redis_replicate_commands},
                                   {"breakpoint", redis_nothing},
                                   {"debug", redis_debug},
                                   {NULL, NULL}};

    script_open_redis_calling(L);
    luaL_register(L, NULL, fns);
}
