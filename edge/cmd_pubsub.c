/* cmd_pubsub.c - SUBSCRIBE and kin: a connection's own side of edge/pubsub.h. PUBLISH and PUBSUB are the
 * backend's (node/cmd/pubsub.c), since MULTI and scripts run them too. */
#include "base/err.h"
#include "edge/commands.h"
#include "edge/conn.h"
#include "edge/pubsub.h"

#define DOOR (CMD_DOOR | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_PUBSUB)

/* Channels and patterns are counted together, shard channels apart. */
static int64_t count_of(const struct conn *c, enum pubsub_kind kind)
{
    if (kind == PUBSUB_SHARD) {
        return pubsub_subscriptions(c, PUBSUB_SHARD);
    }
    return (int64_t)pubsub_subscriptions(c, PUBSUB_CHANNEL) +
           pubsub_subscriptions(c, PUBSUB_PATTERN);
}

/* One for each channel. It is a push, so CLIENT REPLY OFF does not keep it. */
static void confirm(struct cmd *cmd, const char *what, const struct slice *name,
                    enum pubsub_kind kind)
{
    struct reply *r = cmd->reply;

    r->flags |= REPLY_PUSHED;
    reply_push(r, 3);
    reply_bulk(r, slice_of(what));
    if (name != NULL) {
        reply_bulk(r, *name);
    } else {
        reply_null(r);
    }
    reply_int(r, count_of(conn_of(cmd->session), kind));
}

static void join(struct cmd *cmd, enum pubsub_kind kind, const char *what)
{
    if (kind == PUBSUB_SHARD && cmd->in_txn) { /* the other two are let in, as by Redis */
        reply_errf(cmd->reply, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
        return;
    }
    for (uint32_t i = 1; i < cmd->argc; i++) {
        switch (pubsub_join(conn_of(cmd->session), kind, cmd->argv[i])) {
        case OK:
            confirm(cmd, what, &cmd->argv[i], kind);
            break;
        case ERR_LIMIT:
            reply_errf(cmd->reply, "ERR the subscriptions of this connection take too much memory");
            return;
        default:
            reply_err(cmd->reply, WIRE_NOMEM);
            return;
        }
    }
}

static void leave_all(struct cmd *cmd, enum pubsub_kind kind, const char *what)
{
    struct conn *c = conn_of(cmd->session);
    struct buf name = {0};
    uint32_t from = 0;

    if (pubsub_subscriptions(c, kind) == 0) {
        confirm(cmd, what, NULL, kind);
        return;
    }
    while (pubsub_subscriptions(c, kind) > 0) {
        buf_clear(&name);
        if (pubsub_leave_one(c, kind, &from, &name) != OK) {
            cmd->reply->failed = true;
            break;
        }
        struct slice left = buf_slice(&name);

        confirm(cmd, what, &left, kind);
    }
    buf_fini(&name);
}

static void leave(struct cmd *cmd, enum pubsub_kind kind, const char *what)
{
    if (cmd->argc == 1) {
        leave_all(cmd, kind, what);
        return;
    }
    for (uint32_t i = 1; i < cmd->argc; i++) {
        (void)pubsub_leave(conn_of(cmd->session), kind, cmd->argv[i]);
        confirm(cmd, what, &cmd->argv[i], kind);
    }
}

static void cmd_subscribe(struct cmd *c)
{
    join(c, PUBSUB_CHANNEL, "subscribe");
}

static void cmd_unsubscribe(struct cmd *c)
{
    leave(c, PUBSUB_CHANNEL, "unsubscribe");
}

static void cmd_psubscribe(struct cmd *c)
{
    join(c, PUBSUB_PATTERN, "psubscribe");
}

static void cmd_punsubscribe(struct cmd *c)
{
    leave(c, PUBSUB_PATTERN, "punsubscribe");
}

static void cmd_ssubscribe(struct cmd *c)
{
    join(c, PUBSUB_SHARD, "ssubscribe");
}

static void cmd_sunsubscribe(struct cmd *c)
{
    leave(c, PUBSUB_SHARD, "sunsubscribe");
}

/* clang-format off */
struct cmd_def edge_pubsub_cmds[] = {
    /* name arity flags keys since run arguments, summary */
    { "PSUBSCRIBE",   -2, DOOR, KEYS_NONE, "2.0.0", cmd_psubscribe, "pattern [pattern ...]",
      "Listens for messages published to channels that match one or more patterns." },
    { "PUNSUBSCRIBE", -1, DOOR, KEYS_NONE, "2.0.0", cmd_punsubscribe, "[pattern [pattern ...]]",
      "Stops listening to messages published to channels that match one or more patterns." },
    { "SSUBSCRIBE",   -2, DOOR, KEYS(1, -1, 1), "7.0.0", cmd_ssubscribe,
      "shardchannel [shardchannel ...]", "Listens for messages published to shard channels." },
    { "SUBSCRIBE",    -2, DOOR, KEYS_NONE, "2.0.0", cmd_subscribe, "channel [channel ...]",
      "Listens for messages published to channels." },
    { "SUNSUBSCRIBE", -1, DOOR, KEYS(1, -1, 1), "7.0.0", cmd_sunsubscribe,
      "[shardchannel [shardchannel ...]]", "Stops listening to messages posted to shard channels." },
    { "UNSUBSCRIBE",  -1, DOOR, KEYS_NONE, "2.0.0", cmd_unsubscribe, "[channel [channel ...]]",
      "Stops listening to messages posted to channels." },
    CMD_END
};
/* clang-format on */
