/* config.c - CONFIG: settings while the server runs. */
#include "base/conf.h"
#include "base/err.h"
#include "base/mem.h"
#include "edge/backend.h"
#include "node/cmd/families.h"
#include "node/info.h"
#include "node/node.h"
#include "proto/glob.h"

#include <pthread.h>
#include <stdatomic.h>

static void reply_setting(struct cmd *c, const struct conf_opt *opt, struct slice name)
{
    struct buf value = {0};

    reply_bulk(c->reply, name);
    if (conf_show(conf_resolve(opt), &value) != OK) {
        c->reply->failed = true;
    }
    reply_bulk(c->reply, buf_slice(&value));
    buf_fini(&value);
}

/* Which argument asks for this setting; 0: none. */
static uint32_t asked_by(const struct cmd *c, const struct conf_opt *opt)
{
    for (uint32_t i = 2; i < c->argc; i++) {
        if (glob_match(c->argv[i], slice_of(opt->name), true)) {
            return i;
        }
    }
    return 0;
}

static void cmd_config_get(struct cmd *c)
{
    size_t at = reply_array_later(c->reply);
    size_t n = 0;

    for (size_t i = 0; i < conf_count(); i++) {
        const struct conf_opt *opt = conf_at(i);
        uint32_t by =
            conf_is_setting(opt) && opt->kind != CONF_LINES ? asked_by(c, opt) : 0;

        if (by != 0) {
            /* A name that was spelled out comes back as it was spelled. */
            reply_setting(c, opt, glob_is_plain(c->argv[by]) ? c->argv[by] : slice_of(opt->name));
            n++;
        }
    }
    reply_map_count(c->reply, at, n);
}

static void refuse_set(struct cmd *c, struct slice name, struct slice why)
{
    reply_errf(c->reply, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %.*s",
               (int)name.len, name.ptr, (int)why.len, why.ptr);
}

/* False when an error was answered. */
static bool may_set(struct cmd *c, uint32_t index)
{
    struct slice name = c->argv[index];
    struct conf_opt *opt = conf_find(name);
    struct buf why = {0};
    bool ok;

    if (opt == NULL || !conf_is_setting(opt)) {
        reply_errf(c->reply, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                   (int)name.len, name.ptr);
        return false;
    }
    for (uint32_t i = 2; i < index; i += 2) {
        if (conf_resolve(conf_find(c->argv[i])) == conf_resolve(opt)) {
            refuse_set(c, name, SLICE("duplicate parameter"));
            return false;
        }
    }
    ok = conf_may_set(opt, c->argv[index + 1], &why);
    if (!ok) {
        refuse_set(c, name, buf_slice(&why));
    }
    buf_fini(&why);
    return ok;
}

static void cmd_config_set(struct cmd *c)
{
    if ((c->argc & 1) != 0) {
        reply_err(c->reply, WIRE_SYNTAX);
        return;
    }
    for (uint32_t i = 2; i < c->argc; i += 2) {
        if (!may_set(c, i)) {
            return;
        }
    }
    for (uint32_t i = 2; i < c->argc; i += 2) {
        struct buf why = {0};

        if (!conf_set(conf_find(c->argv[i]), c->argv[i + 1], &why)) {
            refuse_set(c, c->argv[i], buf_slice(&why));
            buf_fini(&why);
            return;
        }
        buf_fini(&why);
    }
    reply_ok(c->reply);
}

static void cmd_config_resetstat(struct cmd *c)
{
    info_reset(c);
    reply_ok(c->reply);
}

/* Writing the file may block, so a thread does it, and the handler looks each turn whether it is
 * done. Both hold it: the client may be gone before. */
struct rewrite {
    _Atomic int holders;
    _Atomic bool done;
    int err;
    struct buf why;
};

static void rewrite_put(void *progress)
{
    struct rewrite *w = progress;

    /* Acquire-release: the last holder frees what the other wrote. */
    if (atomic_fetch_sub_explicit(&w->holders, 1, memory_order_acq_rel) == 1) {
        buf_fini(&w->why);
        mem_free(w, sizeof(*w));
    }
}

static void *rewrite_run(void *arg)
{
    struct rewrite *w = arg;

    w->err = conf_rewrite(&w->why);
    /* Release: pairs with the acquire in cmd_config_rewrite(). */
    atomic_store_explicit(&w->done, true, memory_order_release);
    rewrite_put(w);
    return NULL;
}

static bool rewrite_begin(struct cmd *c)
{
    struct rewrite *w = mem_zalloc(sizeof(*w));
    pthread_attr_t detached;
    pthread_t thread;
    int err;

    if (w == NULL) {
        return false;
    }
    atomic_store_explicit(&w->holders, 2, memory_order_relaxed);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    err = pthread_create(&thread, &detached, rewrite_run, w);
    pthread_attr_destroy(&detached);
    if (err != 0) {
        mem_free(w, sizeof(*w));
        return false;
    }
    c->progress = w;
    c->progress_free = rewrite_put;
    return true;
}

static void cmd_config_rewrite(struct cmd *c)
{
    struct rewrite *w = c->progress;

    if (w == NULL) {
        if (info_about.config_file == NULL || info_about.config_file[0] == '\0') {
            reply_errf(c->reply, "ERR The server is running without a config file");
        } else if (rewrite_begin(c)) {
            c->again = true;
        } else {
            reply_err(c->reply, WIRE_NOMEM);
        }
        return;
    }
    /* Acquire: pairs with the release in rewrite_run(). */
    if (!atomic_load_explicit(&w->done, memory_order_acquire)) {
        c->again = true;
        return;
    }
    if (w->err == OK) {
        reply_ok(c->reply);
    } else {
        reply_errf(c->reply, "ERR Rewriting config file: %.*s", (int)w->why.len, w->why.ptr);
    }
    c->progress = NULL;
    rewrite_put(w);
}

/* clang-format off */
#define ADMIN (CMD_ADMIN | CMD_OPERATOR | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FREE)

static struct cmd_def config_subs[] = {
    { "GET",      -3, ADMIN, KEYS_NONE, "2.0.0", cmd_config_get, "parameter [parameter ...]",
      "Settings whose names match; secrets are not shown." },
    { "HELP",      2, CMD_LOADING | CMD_STALE | CMD_FREE, KEYS_NONE, "5.0.0", help_run, "",
      "Print this help." },
    { "RESETSTAT", 2, ADMIN, KEYS_NONE, "2.0.0", cmd_config_resetstat, "",
      "Has the counts of INFO begin again.", .request = CMD_ALL_NODES, .response = CMD_ALL_SUCCEEDED },
    { "REWRITE",   2, ADMIN, KEYS_NONE, "2.8.0", cmd_config_rewrite, "",
      "Writes changed settings to the file of settings.", .request = CMD_ALL_NODES, .response = CMD_ALL_SUCCEEDED },
    { "SET",      -4, ADMIN, KEYS_NONE, "2.0.0", cmd_config_set, "parameter value [parameter value ...]",
      "Changes settings, all or none.", .request = CMD_ALL_NODES, .response = CMD_ALL_SUCCEEDED },
    CMD_END
};

struct cmd_def config_cmds[] = {
    { "CONFIG", -2, 0, KEYS_NONE, "2.0.0", NULL, "", "Settings.", .subs = config_subs },
    CMD_END
};
/* clang-format on */
