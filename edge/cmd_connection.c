/* cmd_connection.c - AUTH, HELLO, PING and the rest of Redis' group "connection" but CLIENT; MONITOR. */
#include "base/parse.h"
#include "edge/acl.h"
#include "edge/acl_log.h"
#include "edge/auth.h"
#include "edge/client.h"
#include "edge/commands.h"
#include "edge/conn.h"
#include "edge/door_resp.h"
#include "edge/label.h"
#include "edge/monitor.h"
#include "edge/pubsub.h"
#include "edge/tracking.h"
#include "proto/version.h"

#define DOOR (CMD_DOOR | CMD_FAST | CMD_LOADING | CMD_STALE | CMD_FREE)

/* --- who is it -------------------------------------------------------------------------------- */

static void on_slow_refusal(struct worker_timer *t)
{
    struct conn *c = LIST_ITEM(t, struct conn, timer);
    size_t from = conn_answer_begin(c);

    reply_err(&c->reply, WIRE_WRONGPASS);
    conn_answer_end(c, from);
}

/* True if they are good. Else the reply is written, or will be when the address's patience is over. */
static bool authenticate(struct cmd *cmd, struct slice user, struct slice password)
{
    struct conn *c = conn_of(cmd->session);
    int64_t now_ms = c->set->worker->now_ms;
    struct acl_user *who;
    int64_t wait_ms;

    if (cmd->in_txn) { /* its answer may have to wait, and its database is another */
        reply_errf(cmd->reply, "ERR authentication is not allowed inside a transaction");
        return false;
    }
    switch (auth_check(user, password, &c->peer, now_ms, &wait_ms, &who)) {
    case AUTH_GOOD:
        c->is_authed = true;
        acl_become(&c->session, who);
        acl_release(who);
        c->session.db = auth_database();
        return true;
    case AUTH_TOO_MANY:
        conn_count(&c->set->count.auth_failed, 1);
        reply_errf(
            cmd->reply,
            "ERR too many failed attempts to authenticate from this address, try again later");
        return false;
    case AUTH_WRONG:
        break;
    }
    conn_count(&c->set->count.auth_failed, 1);
    acl_log_auth(c, user, cmd->argv[0]);
    c->timer.on_time = on_slow_refusal;
    if (wait_ms > 0 && worker_timer_set(c->set->worker, &c->timer, now_ms + wait_ms) == 0) {
        conn_wait(c);
    } else {
        reply_err(cmd->reply, WIRE_WRONGPASS);
    }
    return false;
}

static void cmd_auth(struct cmd *c)
{
    if (c->argc > 3) {
        reply_err(c->reply, WIRE_SYNTAX);
        return;
    }
    if (c->argc == 2 && acl_is_default_open()) {
        reply_errf(c->reply, "ERR AUTH <password> called without any password configured for the "
                             "default user. Are you sure your configuration is correct?");
        return;
    }
    struct slice user = c->argc == 3 ? c->argv[1] : SLICE(AUTH_DEFAULT_USER);

    if (authenticate(c, user, c->argv[c->argc - 1])) {
        reply_ok(c->reply);
    }
}

struct hello {
    uint8_t protocol; /* 0: as it is */
    bool has_auth, has_name;
    struct slice user, password, name;
};

/* False: the reply is written. */
static bool parse_hello(struct cmd *c, struct hello *h)
{
    int64_t version;

    if (c->argc > 1) {
        if (!parse_i64(c->argv[1], &version)) {
            reply_errf(c->reply, "ERR Protocol version is not an integer or out of range");
            return false;
        }
        if (version < 2 || version > 3) {
            reply_err(c->reply, WIRE_NOPROTO);
            return false;
        }
        h->protocol = (uint8_t)version;
    }
    for (uint32_t i = 2; i < c->argc; i++) {
        if (slice_is_word(c->argv[i], "auth") && c->argc - i > 2) {
            h->has_auth = true;
            h->user = c->argv[i + 1];
            h->password = c->argv[i + 2];
            i += 2;
        } else if (slice_is_word(c->argv[i], "setname") && c->argc - i > 1) {
            h->has_name = true;
            h->name = c->argv[++i];
            if (!label_is_good(h->name)) {
                reply_errf(c->reply, LABEL_NAME_ERROR);
                return false;
            }
        } else {
            reply_errf(c->reply, "ERR Syntax error in HELLO option '%.*s'", (int)c->argv[i].len,
                       c->argv[i].ptr);
            return false;
        }
    }
    return true;
}

static void put_pair(struct reply *r, const char *key, struct slice value)
{
    reply_bulk(r, slice_of(key));
    reply_bulk(r, value);
}

static void cmd_hello(struct cmd *cmd)
{
    struct conn *c = conn_of(cmd->session);
    struct hello h = {0};

    if (!parse_hello(cmd, &h) || (h.has_auth && !authenticate(cmd, h.user, h.password))) {
        return;
    }
    if (!c->is_authed) {
        reply_errf(cmd->reply,
                   "NOAUTH HELLO must be called with the client already authenticated, otherwise "
                   "the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the "
                   "client and select the RESP protocol version at the same time");
        return;
    }
    if (h.has_name) {
        conn_text_set(&c->name, h.name);
    }
    if (h.protocol != 0) {
        conn_speak(c, h.protocol);
    }
    reply_map(cmd->reply, 7);
    put_pair(cmd->reply, "server", SLICE("redis")); /* clients compare it */
    put_pair(cmd->reply, "version", SLICE(VERSION_REDIS));
    reply_bulk(cmd->reply, SLICE("proto"));
    reply_int(cmd->reply, c->protocol);
    reply_bulk(cmd->reply, SLICE("id"));
    reply_int(cmd->reply, (int64_t)c->session.id);
    put_pair(cmd->reply, "mode", SLICE("standalone"));
    put_pair(cmd->reply, "role", SLICE("master"));
    reply_bulk(cmd->reply, SLICE("modules"));
    reply_array(cmd->reply, 0);
}

/* --- small talk ------------------------------------------------------------------------------- */

static void cmd_ping(struct cmd *c)
{
    const struct conn *own = conn_of(c->session);

    if (c->argc > 2) {
        reply_errf(c->reply, "ERR wrong number of arguments for 'ping' command");
    } else if (own->protocol == 2 && own->subs != NULL) {
        reply_array(c->reply, 2); /* of the messages' form, which such a client reads */
        reply_bulk(c->reply, SLICE("pong"));
        reply_bulk(c->reply, c->argc == 2 ? c->argv[1] : SLICE(""));
    } else if (c->argc == 2) {
        reply_bulk(c->reply, c->argv[1]);
    } else {
        reply_simple(c->reply, SLICE("PONG"));
    }
}

static void cmd_echo(struct cmd *c)
{
    reply_bulk(c->reply, c->argv[1]);
}

static void cmd_select(struct cmd *c)
{
    int64_t index;

    if (!parse_i64(c->argv[1], &index)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
    } else if (index < INT32_MIN || index > INT32_MAX) {
        reply_errf(c->reply, "ERR value is out of range, value must between %d and %d", INT32_MIN,
                   INT32_MAX);
    } else if (index != 0) {
        reply_err(c->reply, WIRE_DB_INDEX);
    } else {
        reply_ok(c->reply);
    }
}

static void cmd_quit(struct cmd *c)
{
    reply_ok(c->reply);
    conn_end(conn_of(c->session));
}

static void cmd_reset(struct cmd *cmd)
{
    struct conn *c = conn_of(cmd->session);

    monitor_remove(c);
    pubsub_leave_all(c);
    tracking_stop(c);
    conn_text_set(&c->name, SLICE(""));
    c->no_evict = false;
    if (c->session.backend->session_reset != NULL) {
        c->session.backend->session_reset(c->session.backend, &c->session);
    }
    door_resp_reset(c);
    reply_simple(cmd->reply, SLICE("RESET"));
}

/* What a server that is no part of a Redis Cluster says. */
static void cmd_no_cluster(struct cmd *c)
{
    reply_errf(c->reply, "ERR This instance has cluster support disabled");
}

static void cmd_multi(struct cmd *c)
{
    door_resp_multi(conn_of(c->session));
}

static void cmd_monitor(struct cmd *c)
{
    reply_ok(c->reply);
    monitor_add(conn_of(c->session));
}

/* clang-format off */
static struct cmd_def connection_cmds[] = {
    /* name arity flags keys since run arguments, summary */
    { "ASKING",    1, DOOR, KEYS_NONE, "3.0.0", cmd_no_cluster, "",
      "Signals that a cluster client is following an -ASK redirect.", .request = CMD_BY_KEY },
    { "AUTH",     -2, DOOR | CMD_NOAUTH | CMD_NOSCRIPT | CMD_QUIET, KEYS_NONE, "1.0.0", cmd_auth,
      "[username] password", "Authenticates the connection." },
    { "CLIENT",   -2, CMD_DOOR, KEYS_NONE, "2.4.0", NULL, "",
      "A container for client connection commands.", .subs = client_subs },
    { "ECHO",      2, DOOR, KEYS_NONE, "1.0.0", cmd_echo, "message",
      "Returns the given string." },
    { "HELLO",    -1, DOOR | CMD_NOAUTH | CMD_NOSCRIPT, KEYS_NONE, "6.0.0", cmd_hello,
      "[protover [AUTH username password] [SETNAME clientname]]",
      "Handshakes with the server." },
    { "PING",     -1, DOOR | CMD_PUBSUB, KEYS_NONE, "1.0.0", cmd_ping, "[message]",
      "Returns the server's liveliness response.",
      .request = CMD_ALL_SHARDS, .response = CMD_ALL_SUCCEEDED },
    { "QUIT",     -1, DOOR | CMD_NOAUTH | CMD_NOSCRIPT | CMD_PUBSUB | CMD_TXN, KEYS_NONE, "1.0.0", cmd_quit, "",
      "Closes the connection." },
    { "READONLY",  1, DOOR, KEYS_NONE, "3.0.0", cmd_no_cluster, "",
      "Enables read-only queries for a connection to a Redis Cluster replica node." },
    { "READWRITE", 1, DOOR, KEYS_NONE, "3.0.0", cmd_no_cluster, "",
      "Enables read-write queries for a connection to a Redis Cluster replica node." },
    { "RESET",     1, DOOR | CMD_NOAUTH | CMD_NOSCRIPT | CMD_PUBSUB | CMD_TXN, KEYS_NONE, "6.2.0", cmd_reset, "",
      "Resets the connection." },
    { "SELECT",    2, DOOR, KEYS_NONE, "1.0.0", cmd_select, "index",
      "Changes the selected database." },
    CMD_END
};

static struct cmd_def txn_cmds[] = {
    { "MULTI",     1, DOOR | CMD_NOSCRIPT | CMD_TXN, KEYS_NONE, "1.2.0", cmd_multi, "",
      "Begins to queue commands, which EXEC carries out at once." },
    CMD_END
};

static struct cmd_def server_cmds[] = {
    { "MONITOR",   1, CMD_DOOR | CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE, KEYS_NONE, "1.0.0",
      cmd_monitor, "", "Listens for all requests received by the server in real-time." },
    CMD_END
};
/* clang-format on */

void edge_register_commands(void)
{
    cmd_register("connection", connection_cmds);
    cmd_register("transactions", txn_cmds);
    cmd_register("server", server_cmds);
    cmd_register("server", edge_acl_cmds);
    cmd_register("pubsub", edge_pubsub_cmds);
}
