/* script.c - EVAL and kin, and SCRIPT. */
#include "node/script.h"
#include "base/mem.h"
#include "node/cmd/families.h"
#include "node/database.h"
#include "node/evict.h"
#include "node/script_host.h"
#include "proto/number.h"

#include <stdio.h>

/* The keys' count; false: the refusal is written. */
static bool read_numkeys(struct cmd *c, uint32_t *numkeys)
{
    int64_t n;

    if (!number_parse_int(c->argv[2], &n)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
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

static void run(struct cmd *c, struct script *script, uint32_t numkeys, bool is_read_only)
{
    if ((script->flags & SCRIPT_SHEBANG) != 0 &&
        (script->flags & (SCRIPT_NO_WRITES | SCRIPT_ALLOW_OOM)) == 0 && evict_is_over(c->db)) {
        script_put(script);
        reply_err(c->reply, WIRE_OOM);
        return;
    }
    if (is_read_only && (script->flags & (SCRIPT_SHEBANG | SCRIPT_NO_WRITES)) == SCRIPT_SHEBANG) {
        script_put(script);
        reply_errf(c->reply, "ERR Can not execute a script with write flag using *_ro command.");
        return;
    }
    script_run(c, script, numkeys, is_read_only);
}

/* Counted; NULL: the refusal is written. */
static struct script *learn(struct cmd *c, struct slice text)
{
    char sha[SHA1_HEX];
    char error[160];
    struct script *script;
    const char *why;

    sha1_hex(text, sha);
    script = script_find(c->db->scripts, sha);
    if (script != NULL) {
        return script;
    }
    script = script_parse(text, sha, error, sizeof(error));
    if (script == NULL) {
        reply_errf(c->reply, "%s", error);
        return NULL;
    }
    why = script_try_compile(c, script);
    if (why != NULL) {
        reply_errf(c->reply, "ERR Error compiling script (new function): %s", why);
        script_put(script);
        return NULL;
    }
    script_keep(c->db->scripts, script);
    return script;
}

static void eval(struct cmd *c, bool is_read_only)
{
    struct script *script;
    uint32_t numkeys;

    if (read_numkeys(c, &numkeys) && (script = learn(c, c->argv[1])) != NULL) {
        run(c, script, numkeys, is_read_only);
    }
}

static void cmd_eval(struct cmd *c)
{
    eval(c, false);
}

static void cmd_eval_ro(struct cmd *c)
{
    eval(c, true);
}

static void evalsha(struct cmd *c, bool is_read_only)
{
    char sha[SHA1_HEX];
    uint32_t numkeys = 0;
    struct script *script =
        script_sha_of(c->argv[1], sha) ? script_find(c->db->scripts, sha) : NULL;

    /* Redis looks at the length first, then at the count, then for the script. */
    if (c->argv[1].len == SHA1_HEX && !read_numkeys(c, &numkeys)) {
        script_put(script);
    } else if (script == NULL) {
        reply_errf(c->reply, "NOSCRIPT No matching script. Please use EVAL.");
    } else {
        run(c, script, numkeys, is_read_only);
    }
}

static void cmd_evalsha(struct cmd *c)
{
    evalsha(c, false);
}

static void cmd_evalsha_ro(struct cmd *c)
{
    evalsha(c, true);
}

/* ---- SCRIPT ---- */

static void cmd_script_load(struct cmd *c)
{
    struct script *script = learn(c, c->argv[2]);

    if (script != NULL) {
        reply_bulk(c->reply, (struct slice){script->sha, SHA1_HEX});
        script_put(script);
    }
}

static void cmd_script_exists(struct cmd *c)
{
    char sha[SHA1_HEX];

    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc; i++) {
        struct script *script =
            script_sha_of(c->argv[i], sha) ? script_find(c->db->scripts, sha) : NULL;

        reply_int(c->reply, script != NULL);
        script_put(script);
    }
}

static void cmd_script_flush(struct cmd *c)
{
    if (c->argc > 3 || (c->argc == 3 && !slice_is_word(c->argv[2], "sync") &&
                        !slice_is_word(c->argv[2], "async"))) {
        reply_errf(c->reply, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
        return;
    }
    scripts_flush(c->db->scripts);
    reply_ok(c->reply);
}

static void cmd_script_kill(struct cmd *c)
{
    struct scripts *s = c->db->scripts;

    if (atomic_load_explicit(&s->running, memory_order_relaxed) == 0) {
        reply_errf(c->reply, "NOTBUSY No scripts in execution right now.");
        return;
    }
    atomic_fetch_add_explicit(&s->kills, 1, memory_order_relaxed);
    reply_ok(c->reply);
}

static struct cmd_def script_subs[] = {
    {.name = "EXISTS",
     .arity = -3,
     .flags = CMD_NOSCRIPT,
     .keys = KEYS_NONE,
     .since = "2.6.0",
     .run = cmd_script_exists,
     .args = "sha1 [sha1 ...]",
     .summary = "Which scripts are known, by their SHA-1.",
     .request = CMD_ALL_SHARDS,
     .response = CMD_AGG_LOGICAL_AND},
    {.name = "FLUSH",
     .arity = -2,
     .flags = CMD_NOSCRIPT,
     .keys = KEYS_NONE,
     .since = "2.6.0",
     .run = cmd_script_flush,
     .args = "[ASYNC | SYNC]",
     .summary = "Forgets all scripts.",
     .request = CMD_ALL_NODES,
     .response = CMD_ALL_SUCCEEDED},
    {.name = "HELP",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .keys = KEYS_NONE,
     .since = "5.0.0",
     .run = help_run,
     .args = "",
     .summary = "What SCRIPT can do."},
    {.name = "KILL",
     .arity = 2,
     .flags = CMD_NOSCRIPT,
     .keys = KEYS_NONE,
     .since = "2.6.0",
     .run = cmd_script_kill,
     .args = "",
     .summary = "Ends the scripts that run; what they did is undone.",
     .request = CMD_ALL_SHARDS,
     .response = CMD_ONE_SUCCEEDED},
    {.name = "LOAD",
     .arity = 3,
     .flags = CMD_NOSCRIPT | CMD_STALE,
     .keys = KEYS_NONE,
     .since = "2.6.0",
     .run = cmd_script_load,
     .args = "script",
     .summary = "Keeps a script for EVALSHA.",
     .request = CMD_ALL_NODES,
     .response = CMD_ALL_SUCCEEDED},
    CMD_END};

/* clang-format off */
#define SCRIPT (CMD_SCRIPT | CMD_NOSCRIPT | CMD_STALE)
#define ARGS(what) what " numkeys [key [key ...]] [arg [arg ...]]"

struct cmd_def script_cmds[] = {
    { "EVAL",       -3, SCRIPT,            KEYS_COUNT(2, 1), "2.6.0", cmd_eval,       ARGS("script"),
      "Runs a Lua script: all of it, or if it ends in an error nothing." },
    { "EVALSHA",    -3, SCRIPT,            KEYS_COUNT(2, 1), "2.6.0", cmd_evalsha,    ARGS("sha1"),
      "As EVAL, of a script that is known." },
    { "EVALSHA_RO", -3, SCRIPT | CMD_READ, KEYS_COUNT(2, 1), "7.0.0", cmd_evalsha_ro, ARGS("sha1"),
      "As EVALSHA; the script may not write." },
    { "EVAL_RO",    -3, SCRIPT | CMD_READ, KEYS_COUNT(2, 1), "7.0.0", cmd_eval_ro,    ARGS("script"),
      "As EVAL; the script may not write." },
    { .name = "SCRIPT", .arity = -2, .keys = KEYS_NONE, .since = "2.6.0", .args = "",
      .summary = "About scripts.", .subs = script_subs },
    CMD_END
};
/* clang-format on */
