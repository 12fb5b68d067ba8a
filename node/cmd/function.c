/* function.c - FCALL, FCALL_RO and FUNCTION: libraries of functions (node/library.h). */
#include "base/err.h"
#include "base/mem.h"
#include "node/cmd/families.h"
#include "node/database.h"
#include "node/dump.h"
#include "node/evict.h"
#include "node/library.h"
#include "node/rdb.h"
#include "node/script_host.h"
#include "node/section.h"
#include "proto/glob.h"
#include "proto/number.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>

enum { RDB_OP_FUNCTION2 = 245, FOOTER_BYTES = 10 };

/* ---- FCALL ---- */

/* The keys' count; false: the refusal is written. */
static bool read_numkeys(struct cmd *c, uint32_t *numkeys)
{
    int64_t n;

    if (!number_parse_int(c->argv[2], &n)) {
        reply_errf(c->reply, "ERR Bad number of keys provided");
        return false;
    }
    if (n > (int64_t)c->argc - 3) {
        reply_errf(c->reply, "ERR Number of keys can't be greater than number of args");
        return false;
    }
    if (n < 0) {
        reply_errf(c->reply, "ERR Number of keys can't be negative");
        return false;
    }
    *numkeys = (uint32_t)n;
    return true;
}

static void call(struct cmd *c, bool is_read_only)
{
    struct function *f = libraries_find_function(libraries_of(c), c->argv[1]);
    uint32_t numkeys;

    if (f == NULL) {
        reply_errf(c->reply, "ERR Function not found");
        return;
    }
    /* Redis judges this before it looks at the arguments. */
    if ((f->flags & (SCRIPT_NO_WRITES | SCRIPT_ALLOW_OOM)) == 0 && evict_is_over(c->db)) {
        reply_err(c->reply, WIRE_OOM);
        return;
    }
    if (!read_numkeys(c, &numkeys)) {
        return;
    }
    if (is_read_only && (f->flags & SCRIPT_NO_WRITES) == 0) {
        reply_errf(c->reply, "ERR Can not execute a script with write flag using *_ro command.");
        return;
    }
    script_run_function(c, f, numkeys, is_read_only);
}

static void cmd_fcall(struct cmd *c)
{
    call(c, false);
}

static void cmd_fcall_ro(struct cmd *c)
{
    call(c, true);
}

/* ---- LOAD and RESTORE: libraries are run one after the other, then all are kept, or none ---- */

enum policy { APPEND, REPLACE, FLUSH };

struct loading {
    struct script_run *run; /* owned: of the one that loads */
    struct slice *codes;    /* borrowed bytes */
    struct library **made;  /* owned and counted */
    uint32_t count, cap, next;
    enum policy policy;
    bool is_restore;
    struct rdb_memory memory;
};

static void loading_free(void *progress)
{
    struct loading *l = progress;

    if (l->run != NULL) {
        script_load_end(l->run);
    }
    assert(l->next == 0 || l->made != NULL);
    for (uint32_t i = 0; i < l->next; i++) {
        library_put(l->made[i]);
    }
    mem_free(l->codes, l->cap * sizeof(l->codes[0]));
    mem_free(l->made, l->cap * sizeof(struct library *));
    rdb_memory_fini(&l->memory);
    mem_free(l, sizeof(*l));
}

/* NULL: no memory. */
static struct loading *loading_create(uint32_t count)
{
    struct loading *l = mem_zalloc(sizeof(*l));

    if (l == NULL) {
        return NULL;
    }
    l->cap = count + 1; /* a payload may hold none */
    l->codes = mem_zalloc(l->cap * sizeof(l->codes[0]));
    l->made = mem_zalloc(l->cap * sizeof(struct library *));
    if (l->codes == NULL || l->made == NULL) {
        loading_free(l);
        return NULL;
    }
    return l;
}

/* Ends the command with its reply, which is written. */
static void loading_end(struct cmd *c)
{
    struct loading *l = c->progress;

    c->progress = NULL;
    c->go_on = NULL;
    loading_free(l);
}

static void fail(struct cmd *c, const char *error)
{
    reply_errf(c->reply, "%s", error);
    loading_end(c);
}

/* Whether it may be added to the set, beside those that were made before it. */
static bool may_add(const struct loading *l, uint32_t at, const struct libraries *set,
                    char error[LIBRARY_ERROR_MAX])
{
    const struct library *add = l->made[at];
    const struct library *old = libraries_find(set, add->name);

    if (old != NULL && l->policy == APPEND) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR Library %.*s already exists",
                       (int)(add->name.len < 200 ? add->name.len : 200), add->name.ptr);
        return false;
    }
    return libraries_refuse(set, add, old, error) == NULL;
}

/* All or none: on a copy of the set first. */
static bool may_add_all(const struct loading *l, const struct libraries *set,
                        char error[LIBRARY_ERROR_MAX])
{
    struct libraries *trial = libraries_copy(l->policy == FLUSH ? NULL : set);
    bool may = trial != NULL;
    size_t budget = SIZE_MAX;

    if (!may) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "%s", wire_err_text(WIRE_NOMEM));
    }
    for (uint32_t i = 0; may && i < l->count; i++) {
        may = may_add(l, i, trial, error);
        if (may) {
            struct libraries *next = libraries_with(trial, l->made[i]);

            (void)libraries_free(trial, &budget);
            trial = next;
            may = trial != NULL;
            if (!may) {
                (void)snprintf(error, LIBRARY_ERROR_MAX, "%s", wire_err_text(WIRE_NOMEM));
            }
        }
    }
    if (trial != NULL) {
        (void)libraries_free(trial, &budget);
    }
    return may;
}

static void keep_all(struct cmd *c, struct loading *l)
{
    char error[LIBRARY_ERROR_MAX];

    if (!may_add_all(l, libraries_of(c), error)) {
        fail(c, error);
        return;
    }
    if (l->policy == FLUSH && libraries_of(c) != NULL) {
        libraries_flush(c);
    }
    for (uint32_t i = 0; i < l->count && !section_has_failed(c->section); i++) {
        libraries_put(c, library_get(l->made[i]));
    }
    if (l->is_restore) {
        reply_ok(c->reply);
    } else {
        reply_bulk(c->reply, l->made[0]->name);
    }
    loading_end(c);
}

static bool begin_next(struct cmd *c, struct loading *l, char error[LIBRARY_ERROR_MAX])
{
    const struct libraries *set = libraries_of(c);
    struct slice code = l->codes[l->next];
    struct library_head head;

    if (!library_read_head(code, &head, error)) {
        return false;
    }
    if (!l->is_restore && l->policy == APPEND && libraries_find(set, head.name) != NULL) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR Library '%.*s' already exists",
                       (int)(head.name.len < 200 ? head.name.len : 200), head.name.ptr);
        return false;
    }
    if (code.len > LIBRARIES_BYTES_MAX) {
        (void)snprintf(error, LIBRARY_ERROR_MAX,
                       "ERR the libraries of a database take at most %d bytes",
                       LIBRARIES_BYTES_MAX);
        return false;
    }
    l->run = script_load_begin(c, code, &head, error);
    return l->run != NULL;
}

/* A slice of the library that loads, or the next one's beginning. */
static void load_go_on(struct cmd *c)
{
    struct loading *l = c->progress;
    char error[LIBRARY_ERROR_MAX];

    if (l->next == l->count) {
        keep_all(c, l);
        return;
    }
    if (l->run == NULL && !begin_next(c, l, error)) {
        fail(c, error);
        return;
    }
    switch (script_load_step(c, l->run, &l->made[l->next], error)) {
    case SCRIPT_NOT_LOADED:
        fail(c, error);
        return;
    case SCRIPT_LOADED:
        l->next++;
        script_load_end(l->run);
        l->run = NULL;
        if (l->next == l->count) {
            keep_all(c, l);
            return;
        }
        break;
    case SCRIPT_LOADS:
        break;
    }
    c->again = true;
    c->go_on = load_go_on;
}

static void load_start(struct cmd *c, struct loading *l)
{
    c->progress = l;
    c->progress_free = loading_free;
    load_go_on(c);
}

static void cmd_function_load(struct cmd *c)
{
    bool replace = false;
    uint32_t at = 2;
    struct loading *l;

    for (; at + 1 < c->argc; at++) {
        if (!slice_is_word(c->argv[at], "replace")) {
            /* Whole, as Redis: it may be the code, given in the wrong place. */
            reply_errf(c->reply, "ERR Unknown option given: %.*s", (int)c->argv[at].len,
                       c->argv[at].ptr);
            return;
        }
        replace = true;
    }
    l = loading_create(1);
    if (l == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    l->codes[l->count++] = c->argv[at];
    l->policy = replace ? REPLACE : APPEND;
    load_start(c, l);
}

/* Counts the payload's libraries, and keeps them if there is a place. False: error says why. */
static bool read_payload(struct slice payload, struct loading *l, uint32_t *count,
                         char error[LIBRARY_ERROR_MAX])
{
    struct rdb_memory memory = {0};
    struct rdb_reader r = {.rest = {payload.ptr, payload.len - FOOTER_BYTES},
                           .memory = l == NULL ? &memory : &l->memory};
    bool good = true;

    for (*count = 0; good && r.rest.len > 0; ++*count) {
        uint8_t op;
        struct slice code;

        if (rdb_read_byte(&r, &op) != OK || op != RDB_OP_FUNCTION2) {
            (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR given type is not a function");
            good = false;
        } else if (rdb_read_string(&r, &code) != OK) {
            (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR Failed loading library data");
            good = false;
        } else if (*count == LIBRARIES_MAX) {
            (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR a database has at most %d libraries",
                           LIBRARIES_MAX);
            good = false;
        } else if (l != NULL) {
            l->codes[l->count++] = code;
        }
    }
    rdb_memory_fini(&memory);
    return good;
}

static bool read_policy(struct cmd *c, enum policy *policy)
{
    *policy = APPEND;
    if (c->argc == 3 || (c->argc == 4 && slice_is_word(c->argv[3], "append"))) {
        return true;
    }
    if (c->argc == 4 && slice_is_word(c->argv[3], "replace")) {
        *policy = REPLACE;
        return true;
    }
    if (c->argc == 4 && slice_is_word(c->argv[3], "flush")) {
        *policy = FLUSH;
        return true;
    }
    reply_errf(c->reply, "ERR Wrong restore policy given, value should be either FLUSH, APPEND or "
                         "REPLACE.");
    return false;
}

static bool is_short_of(struct cmd *c, const char *name)
{
    reply_errf(c->reply,
               "ERR unknown subcommand or wrong number of arguments for '%s'. Try FUNCTION HELP.",
               name);
    return true;
}

static void cmd_function_restore(struct cmd *c)
{
    char error[LIBRARY_ERROR_MAX];
    enum policy policy;
    uint32_t count;
    struct loading *l;

    if (c->argc > 4) {
        (void)is_short_of(c, "RESTORE");
        return;
    }
    if (!read_policy(c, &policy)) {
        return;
    }
    if (!dump_is_sound(c->argv[2])) {
        reply_err(c->reply, WIRE_BAD_PAYLOAD);
        return;
    }
    if (!read_payload(c->argv[2], NULL, &count, error)) {
        reply_errf(c->reply, "%s", error);
        return;
    }
    l = loading_create(count);
    if (l == NULL || !read_payload(c->argv[2], l, &count, error)) {
        if (l != NULL) {
            loading_free(l);
        }
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    l->policy = policy;
    l->is_restore = true;
    load_start(c, l);
}

/* ---- The rest of FUNCTION ---- */

static void cmd_function_delete(struct cmd *c)
{
    if (libraries_find(libraries_of(c), c->argv[2]) == NULL) {
        reply_errf(c->reply, "ERR Library not found");
        return;
    }
    libraries_delete(c, c->argv[2]);
    reply_ok(c->reply);
}

static void cmd_function_flush(struct cmd *c)
{
    if (c->argc > 3) {
        (void)is_short_of(c, "FLUSH");
        return;
    }
    if (c->argc == 3 && !slice_is_word(c->argv[2], "sync") && !slice_is_word(c->argv[2], "async")) {
        reply_errf(c->reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
        return;
    }
    if (libraries_of(c) != NULL && libraries_of(c)->count > 0) {
        libraries_flush(c);
    }
    reply_ok(c->reply);
}

static int write_dump(const struct libraries *s, struct buf *out)
{
    uint16_t version = htole16(DUMP_VERSION);
    uint64_t crc;
    int err = OK;

    for (uint32_t i = 0; err == OK && s != NULL && i < s->count; i++) {
        err = buf_append_char(out, (char)RDB_OP_FUNCTION2);
        err = err == OK ? rdb_write_string(out, s->v[i]->code) : err;
    }
    err = err == OK ? buf_append(out, &version, sizeof(version)) : err;
    if (err != OK) {
        return err;
    }
    crc = htole64(rdb_crc64(0, buf_slice(out)));
    return buf_append(out, &crc, sizeof(crc));
}

static void cmd_function_dump(struct cmd *c)
{
    struct buf out = {0};

    if (write_dump(libraries_of(c), &out) == OK) {
        reply_bulk(c->reply, buf_slice(&out));
    } else {
        reply_err(c->reply, WIRE_NOMEM);
    }
    buf_fini(&out);
}

static void put_name(struct reply *r, const char *name)
{
    reply_bulk(r, slice_of(name));
}

static void put_flags(struct reply *r, uint32_t flags)
{
    uint32_t flag;
    const char *name;

    reply_set(r, (size_t)__builtin_popcount(flags));
    for (unsigned i = 0; (name = script_flag_name(i, &flag)) != NULL; i++) {
        if ((flags & flag) != 0) {
            reply_simple(r, slice_of(name));
        }
    }
}

static void put_library(struct reply *r, const struct library *l, bool with_code)
{
    reply_map(r, with_code ? 4 : 3);
    put_name(r, "library_name");
    reply_bulk(r, l->name);
    put_name(r, "engine");
    put_name(r, "LUA");
    put_name(r, "functions");
    reply_array(r, l->count);
    for (uint32_t i = 0; i < l->count; i++) {
        const struct function *f = &l->functions[i];

        reply_map(r, 3);
        put_name(r, "name");
        reply_bulk(r, f->name);
        put_name(r, "description");
        if (f->description.ptr != NULL) {
            reply_bulk(r, f->description);
        } else {
            reply_null(r);
        }
        put_name(r, "flags");
        put_flags(r, f->flags);
    }
    if (with_code) {
        put_name(r, "library_code");
        reply_bulk(r, l->code);
    }
}

struct list_options {
    bool with_code, has_pattern;
    struct slice pattern;
};

static bool read_list_options(struct cmd *c, struct list_options *o)
{
    for (uint32_t i = 2; i < c->argc; i++) {
        if (!o->with_code && slice_is_word(c->argv[i], "withcode")) {
            o->with_code = true;
        } else if (!o->has_pattern && slice_is_word(c->argv[i], "libraryname")) {
            if (i + 1 == c->argc) {
                reply_errf(c->reply, "ERR library name argument was not given");
                return false;
            }
            o->has_pattern = true;
            o->pattern = c->argv[++i];
        } else {
            reply_errf(c->reply, "ERR Unknown argument %.*s",
                       (int)(c->argv[i].len < 128 ? c->argv[i].len : 128), c->argv[i].ptr);
            return false;
        }
    }
    return true;
}

static void cmd_function_list(struct cmd *c)
{
    const struct libraries *s = libraries_of(c);
    struct list_options o = {0};
    size_t n = 0;
    size_t at;

    if (!read_list_options(c, &o)) {
        return;
    }
    at = reply_array_later(c->reply);
    for (uint32_t i = 0; s != NULL && i < s->count; i++) {
        if (!o.has_pattern || glob_match(o.pattern, s->v[i]->name, true)) {
            put_library(c->reply, s->v[i], o.with_code);
            n++;
        }
    }
    reply_array_count(c->reply, at, n);
}

struct stats {
    struct cmd *c;
    bool is_told;
};

/* The one that has run for longest. */
static void put_running(const struct script_run *r, void *arg)
{
    struct stats *s = arg;

    if (s->is_told) {
        return;
    }
    s->is_told = true;
    reply_map(s->c->reply, 3);
    put_name(s->c->reply, "name");
    reply_bulk(s->c->reply, r->name);
    put_name(s->c->reply, "command");
    reply_array(s->c->reply, r->argc);
    for (uint32_t i = 0; i < r->argc; i++) {
        reply_bulk(s->c->reply, r->argv[i]);
    }
    put_name(s->c->reply, "duration_ms");
    reply_int(s->c->reply, s->c->now_ms - r->begun_ms);
}

static void cmd_function_stats(struct cmd *c)
{
    const struct libraries *set = libraries_of(c);
    struct stats s = {.c = c};

    reply_map(c->reply, 2);
    put_name(c->reply, "running_script");
    script_each_slow(c->db->scripts, put_running, &s);
    if (!s.is_told) {
        reply_null(c->reply);
    }
    put_name(c->reply, "engines");
    reply_map(c->reply, 1);
    put_name(c->reply, "LUA");
    reply_map(c->reply, 2);
    put_name(c->reply, "libraries_count");
    reply_int(c->reply, set == NULL ? 0 : set->count);
    put_name(c->reply, "functions_count");
    reply_int(c->reply, set == NULL ? 0 : set->function_count);
}

static void cmd_function_kill(struct cmd *c)
{
    struct scripts *s = c->db->scripts;

    if (atomic_load_explicit(&s->functions_running, memory_order_relaxed) == 0) {
        reply_errf(c->reply, "NOTBUSY No scripts in execution right now.");
        return;
    }
    atomic_fetch_add_explicit(&s->function_kills, 1, memory_order_relaxed);
    reply_ok(c->reply);
}

/* clang-format off */
#define CHANGES (CMD_WRITE | CMD_WHOLE | CMD_NOSCRIPT)
#define TO_ALL  .request = CMD_ALL_SHARDS, .response = CMD_ALL_SUCCEEDED

static struct cmd_def function_subs[] = {
    { .name = "DELETE", .arity = 3, .flags = CHANGES, .keys = KEYS_NONE, .since = "7.0.0", .run = cmd_function_delete,
      .args = "library-name", .summary = "Deletes a library and its functions.", TO_ALL },
    { .name = "DUMP", .arity = 2, .flags = CMD_NOSCRIPT, .keys = KEYS_NONE, .since = "7.0.0", .run = cmd_function_dump,
      .args = "", .summary = "All libraries in Redis' own form, for FUNCTION RESTORE." },
    { .name = "FLUSH", .arity = -2, .flags = CHANGES, .keys = KEYS_NONE, .since = "7.0.0", .run = cmd_function_flush,
      .args = "[ASYNC | SYNC]", .summary = "Deletes all libraries.", TO_ALL },
    { .name = "HELP", .arity = 2, .flags = CMD_LOADING | CMD_STALE, .keys = KEYS_NONE, .since = "7.0.0", .run = help_run,
      .args = "", .summary = "What FUNCTION can do." },
    { .name = "KILL", .arity = 2, .flags = CMD_NOSCRIPT, .keys = KEYS_NONE, .since = "7.0.0", .run = cmd_function_kill,
      .args = "", .summary = "Ends the functions that run; what they did is undone.",
      .request = CMD_ALL_SHARDS, .response = CMD_ONE_SUCCEEDED },
    { .name = "LIST", .arity = -2, .flags = CMD_NOSCRIPT | CMD_UNORDERED, .keys = KEYS_NONE, .since = "7.0.0",
      .run = cmd_function_list, .args = "[LIBRARYNAME library-name-pattern] [WITHCODE]",
      .summary = "The libraries and their functions." },
    { .name = "LOAD", .arity = -3, .flags = CHANGES | CMD_GROWS, .keys = KEYS_NONE, .since = "7.0.0",
      .run = cmd_function_load, .args = "[REPLACE] function-code",
      .summary = "Runs a library's text, and keeps the functions that it registers.", TO_ALL },
    { .name = "RESTORE", .arity = -3, .flags = CHANGES | CMD_GROWS, .keys = KEYS_NONE, .since = "7.0.0",
      .run = cmd_function_restore, .args = "serialized-value [FLUSH | APPEND | REPLACE]",
      .summary = "Loads the libraries that FUNCTION DUMP gave: all, or none.", TO_ALL },
    { .name = "STATS", .arity = 2, .flags = CMD_NOSCRIPT | CMD_RANDOM, .keys = KEYS_NONE, .since = "7.0.0",
      .run = cmd_function_stats, .args = "", .summary = "Which function runs, and how many there are.",
      .request = CMD_ALL_SHARDS, .response = CMD_RESPONSE_SPECIAL },
    CMD_END
};

#define CALL (CMD_SCRIPT | CMD_NOSCRIPT | CMD_STALE)
#define ARGS "function numkeys [key [key ...]] [arg [arg ...]]"

struct cmd_def function_cmds[] = {
    { "FCALL",    -3, CALL,            KEYS_COUNT(2, 1), "7.0.0", cmd_fcall,    ARGS,
      "Calls a function of a library: all of it, or if it ends in an error nothing." },
    { "FCALL_RO", -3, CALL | CMD_READ, KEYS_COUNT(2, 1), "7.0.0", cmd_fcall_ro, ARGS,
      "As FCALL, of a function that says it does not write." },
    { .name = "FUNCTION", .arity = -2, .keys = KEYS_NONE, .since = "7.0.0", .args = "",
      .summary = "About libraries of functions.", .subs = function_subs },
    CMD_END
};
/* clang-format on */
