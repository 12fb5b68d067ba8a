/* server.c - commands about the server as a whole. */
#include "base/err.h"
#include "base/parse.h"
#include "edge/backend.h"
#include "node/cmd/families.h"
#include "node/dump.h"
#include "node/evict.h"
#include "node/info.h"
#include "node/keyspace.h"
#include "node/node.h"
#include "proto/version.h"
#include "replication/changelog.h"

#include <time.h>

static void cmd_dbsize(struct cmd *c)
{
    reply_int(c->reply, (int64_t)keyspace_count_seen(c));
}

/* FLUSHDB and FLUSHALL. What was there is freed in slices either way. */
static void cmd_flush(struct cmd *c)
{
    if (c->argc > 2 || (c->argc == 2 && !slice_is_word(c->argv[1], "async") &&
                        !slice_is_word(c->argv[1], "sync"))) {
        reply_err(c->reply, WIRE_SYNTAX);
        return;
    }
    keyspace_flush(c);
    reply_ok(c->reply);
}

static void cmd_info(struct cmd *c)
{
    struct buf out = {0};

    if (info_write(c, c->argv + 1, c->argc - 1, &out) == OK) {
        reply_verbatim(c->reply, "txt", buf_slice(&out));
    } else {
        reply_err(c->reply, WIRE_NOMEM);
    }
    buf_fini(&out);
}

static void cmd_time(struct cmd *c)
{
    struct timespec now;
    char digits[BUF_I64_MAX];

    clock_gettime(CLOCK_REALTIME, &now);
    reply_array(c->reply, 2);
    reply_bulk(c->reply, (struct slice){digits, buf_put_i64(digits, now.tv_sec)});
    reply_bulk(c->reply, (struct slice){digits, buf_put_i64(digits, now.tv_nsec / 1000)});
}

static void cmd_lolwut(struct cmd *c)
{
    static const char kite[] = "        .\n"
                               "       / \\\n"
                               "      /   \\        a godwit flies from Alaska\n"
                               "     /  .  \\       to New Zealand in eleven\n"
                               "      \\   /        days, and does not land\n"
                               "       \\ /\n"
                               "        '\n"
                               "         \\__,~~.\n"
                               "Redis ver. " VERSION_REDIS ", Godwit ver. " VERSION_GODWIT "\n";

    int64_t version;

    if (c->argc > 2 && slice_is_word(c->argv[1], "version") && !parse_i64(c->argv[2], &version)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    reply_verbatim(c->reply, "txt", slice_of(kite));
}

static void cmd_role(struct cmd *c)
{
    reply_array(c->reply, 3);
    reply_bulk(c->reply, SLICE("master"));
    reply_int(c->reply, (int64_t)changelog_last_seq(node_self()->log));
    reply_array(c->reply, 0);
}

static void cmd_lastsave(struct cmd *c)
{
    reply_int(c->reply, info_about.started_at_ms / 1000);
}

/* SAVE, BGSAVE, BGREWRITEAOF */
static void cmd_save(struct cmd *c)
{
    reply_errf(c->reply, "ERR this version keeps data in memory only: there is nothing to save to");
}

static void cmd_replicaof(struct cmd *c)
{
    int64_t port;

    if (slice_is_word(c->argv[1], "no") && slice_is_word(c->argv[2], "one")) {
        reply_ok(c->reply);
    } else if (!parse_i64(c->argv[2], &port) || port < 0 || port > 65535) {
        reply_errf(c->reply, "ERR Invalid master port");
    } else {
        reply_errf(c->reply, "ERR REPLICAOF is not supported: the cluster arranges its replicas");
    }
}

static void cmd_failover(struct cmd *c)
{
    reply_errf(c->reply, "ERR FAILOVER requires connected replicas.");
}

static void cmd_swapdb(struct cmd *c)
{
    int64_t a;
    int64_t b;

    if (!parse_i64(c->argv[1], &a) || a < INT32_MIN || a > INT32_MAX) {
        reply_errf(c->reply, "ERR invalid first DB index");
    } else if (!parse_i64(c->argv[2], &b) || b < INT32_MIN || b > INT32_MAX) {
        reply_errf(c->reply, "ERR invalid second DB index");
    } else if (a != 0 || b != 0) {
        reply_err(c->reply, WIRE_DB_INDEX);
    } else {
        reply_ok(c->reply);
    }
}

/* READONLY and kin are the door's; all of CLUSTER gets what Redis answers outside a cluster. */
static void cmd_cluster(struct cmd *c)
{
    reply_errf(c->reply, "ERR This instance has cluster support disabled");
}

static void cmd_module_list(struct cmd *c)
{
    reply_array(c->reply, 0);
}

static void cmd_module_load(struct cmd *c)
{
    reply_errf(c->reply, "ERR MODULE command not allowed: this server has no modules");
}

/* DEBUG OBJECT alone: the rest of DEBUG can stop or crash a server that others use. */
static void cmd_debug(struct cmd *c)
{
    const struct entry *e;
    struct buf dump = {0};
    struct key key;
    int64_t idle_s;

    if (c->argc != 3 || !slice_is_word(c->argv[1], "object")) {
        reply_errf(c->reply,
                   "ERR DEBUG command not allowed. If the enable-debug-command option is set to"
                   " \"local\", you can run it from a local connection, otherwise you need to set"
                   " this option in the configuration file, and then restart the server.");
        return;
    }
    key = key_of(c->argv[2]);
    e = keyspace_peek(c, key);
    if (e == NULL) {
        reply_err(c->reply, WIRE_NO_SUCH_KEY);
        return;
    }
    idle_s = evict_is_lfu() ? 0 : evict_idle_seconds(e);
    if (dump_write(c, key, e, &dump) == OK) {
        struct buf line = {0};

        if (buf_printf(&line,
                       "Value at:0x0 refcount:1 encoding:%s serializedlength:%zu lru:0"
                       " lru_seconds_idle:%ld",
                       keyspace_encoding(e), dump.len - 11, idle_s < 0 ? 0 : idle_s) == OK) {
            reply_simple(c->reply, buf_slice(&line));
        } else {
            reply_err(c->reply, WIRE_NOMEM);
        }
        buf_fini(&line);
    } else {
        reply_err(c->reply, WIRE_NOMEM);
    }
    buf_fini(&dump);
}

/* No reply follows: the connection's end is the answer. */
static void cmd_shutdown(struct cmd *c)
{
    bool abort = false;
    bool save = false;
    bool nosave = false;
    bool other = false;

    for (uint32_t i = 1; i < c->argc; i++) {
        if (slice_is_word(c->argv[i], "nosave")) {
            nosave = true;
        } else if (slice_is_word(c->argv[i], "save")) {
            save = true;
        } else if (slice_is_word(c->argv[i], "now") || slice_is_word(c->argv[i], "force")) {
            other = true;
        } else if (slice_is_word(c->argv[i], "abort")) {
            abort = true;
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return;
        }
    }
    if ((abort && (save || nosave || other)) || (save && nosave)) {
        reply_err(c->reply, WIRE_SYNTAX);
    } else if (abort) {
        reply_errf(c->reply, "ERR No shutdown in progress.");
    } else if (save || node_shutdown_hook == NULL) {
        reply_errf(c->reply, "ERR Errors trying to SHUTDOWN. Check logs.");
    } else {
        node_shutdown_hook();
    }
}

/* clang-format off */
#define ADMIN (CMD_ADMIN | CMD_OPERATOR | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FREE)

static struct cmd_def module_cmds[] = {
    { "HELP",  2, CMD_LOADING | CMD_STALE | CMD_FREE, KEYS_NONE, "5.0.0", help_run, "",
      "Print this help." },
    { "LIST",  2, ADMIN, KEYS_NONE, "4.0.0", cmd_module_list, "",
      "The modules that are loaded: none." },
    { "LOAD", -3, ADMIN, KEYS_NONE, "4.0.0", cmd_module_load, "path [arg [arg ...]]",
      "Refused: there are no modules." },
    CMD_END
};

struct cmd_def server_cmds[] = {
    { "BGREWRITEAOF",  1, ADMIN, KEYS_NONE, "1.0.0", cmd_save, "",
      "Refused: data is kept in memory only." },
    { "BGSAVE",       -1, ADMIN, KEYS_NONE, "1.0.0", cmd_save, "[SCHEDULE]",
      "Refused: data is kept in memory only." },
    { "CLUSTER",      -2, CMD_LOADING | CMD_STALE, KEYS_NONE, "3.0.0", cmd_cluster, "subcommand [arg ...]",
      "Refused: clients need no cluster mode." },
    { "DBSIZE",        1, CMD_READ | CMD_WHOLE | CMD_FAST, KEYS_NONE, "1.0.0", cmd_dbsize, "",
      "How many keys there are.", .request = CMD_ALL_SHARDS, .response = CMD_AGG_SUM },
    { "DEBUG",        -2, ADMIN, KEYS_NONE, "1.0.0", cmd_debug, "subcommand [argument ...]",
      "How a key's value is kept." },
    { "FAILOVER",     -1, ADMIN, KEYS_NONE, "6.2.0", cmd_failover, "[arg ...]",
      "Refused: the cluster arranges its replicas." },
    { "FLUSHALL",     -1, CMD_WRITE | CMD_WHOLE | CMD_DANGEROUS, KEYS_NONE, "1.0.0", cmd_flush, "[ASYNC | SYNC]",
      "Deletes all keys.", .request = CMD_ALL_SHARDS, .response = CMD_ALL_SUCCEEDED },
    { "FLUSHDB",      -1, CMD_WRITE | CMD_WHOLE | CMD_DANGEROUS, KEYS_NONE, "1.0.0", cmd_flush, "[ASYNC | SYNC]",
      "Deletes all keys.", .request = CMD_ALL_SHARDS, .response = CMD_ALL_SUCCEEDED },
    { "INFO",         -1, CMD_LOADING | CMD_STALE | CMD_DANGEROUS | CMD_RANDOM | CMD_FREE, KEYS_NONE, "1.0.0", cmd_info,
      "[section [section ...]]", "What the server tells of itself.",
      .request = CMD_ALL_SHARDS, .response = CMD_RESPONSE_SPECIAL },
    { "LASTSAVE",      1, CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ADMIN | CMD_RANDOM, KEYS_NONE, "1.0.0", cmd_lastsave, "",
      "When data was last saved: when the server started." },
    { "LOLWUT",       -1, CMD_READ | CMD_FAST | CMD_FREE, KEYS_NONE, "5.0.0", cmd_lolwut, "[VERSION version]",
      "A picture, and the version." },
    { "MODULE",       -2, 0, KEYS_NONE, "4.0.0", NULL, "",
      "Extensions, of which there are none.", .subs = module_cmds },
    { "REPLICAOF",     3, ADMIN, KEYS_NONE, "5.0.0", cmd_replicaof, "<host port | NO ONE>",
      "Refused but for NO ONE: the cluster arranges its replicas." },
    { "ROLE",          1, CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ADMIN | CMD_NOSCRIPT, KEYS_NONE, "2.8.12", cmd_role, "",
      "This server's part in replication." },
    { "SAVE",          1, ADMIN, KEYS_NONE, "1.0.0", cmd_save, "",
      "Refused: data is kept in memory only." },
    { "SHUTDOWN",     -1, ADMIN | CMD_NOMULTI, KEYS_NONE, "1.0.0", cmd_shutdown, "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
      "Ends the server." },
    { "SLAVEOF",       3, ADMIN, KEYS_NONE, "1.0.0", cmd_replicaof, "<host port | NO ONE>",
      "REPLICAOF by its old name." },
    { "SWAPDB",        3, CMD_DANGEROUS | CMD_FAST, KEYS_NONE, "4.0.0", cmd_swapdb, "index1 index2",
      "Swaps two databases; there is only one." },
    { "TIME",          1, CMD_LOADING | CMD_STALE | CMD_FAST | CMD_RANDOM, KEYS_NONE, "2.6.0", cmd_time, "",
      "Seconds since 1970, and microseconds." },
    CMD_END
};
/* clang-format on */
