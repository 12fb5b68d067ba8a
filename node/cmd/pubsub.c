/* pubsub.c - PUBLISH, SPUBLISH and PUBSUB; who listens is edge/pubsub.h's. */
#include "edge/pubsub.h"

#include "base/mem.h"
#include "edge/backend.h"
#include "node/cmd/families.h"
#include "node/node.h"
#include "node/section.h"
#include "proto/glob.h"
#include "replication/changelog.h"

/* ---- PUBLISH ---- */

/* In a section (MULTI, a script) it leaves with the section's end, so the count is of those who would
 * get it now. Else the connection's own writes before it are visible already. */
static void publish(struct cmd *c, enum pubsub_kind kind)
{
    int64_t n;

    if (c->section != NULL) {
        section_publish(c->section, kind, c->argv[1], c->argv[2]);
        n = (int64_t)pubsub_receivers(c->db, kind, c->argv[1], kind == PUBSUB_CHANNEL);
    } else {
        n = pubsub_publish(c->db, kind, c->argv[1], c->argv[2],
                           changelog_seen_seq(node_self()->log));
    }
    if (n < 0) {
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        reply_int(c->reply, n);
    }
}

static void cmd_publish(struct cmd *c)
{
    publish(c, PUBSUB_CHANNEL);
}

static void cmd_spublish(struct cmd *c)
{
    publish(c, PUBSUB_SHARD);
}

/* ---- PUBSUB ---- */

enum { NAMES_A_SLICE = 1000 };

struct listing {
    struct reply *reply;
    struct slice pattern;
    bool has_pattern;
    uint64_t seen, given;
};

/* What a listing keeps from turn to turn. */
struct progress {
    uint32_t stripe;
    uint64_t given;
    size_t head; /* of the reply, from its beginning */
};

static void put_name(void *arg, struct slice name)
{
    struct listing *l = arg;

    l->seen++;
    if (!l->has_pattern || glob_match(l->pattern, name, false)) {
        reply_bulk(l->reply, name);
        l->given++;
    }
}

static void progress_free(void *p)
{
    mem_free(p, sizeof(struct progress));
}

static void list_channels(struct cmd *c, enum pubsub_kind kind)
{
    struct progress *p = c->progress;
    struct listing l = {.reply = c->reply, .has_pattern = c->argc == 3};

    if (c->argc > 3) {
        reply_errf(
            c->reply,
            "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try PUBSUB HELP.",
            (int)(c->argv[1].len < 128 ? c->argv[1].len : 128), c->argv[1].ptr);
        return;
    }
    if (p == NULL) {
        p = c->progress = mem_zalloc(sizeof(*p));
        if (p == NULL) {
            reply_err(c->reply, WIRE_NOMEM);
            return;
        }
        c->progress_free = progress_free;
        p->head = reply_array_later(c->reply);
    }
    if (l.has_pattern) {
        l.pattern = c->argv[2];
    }
    l.given = p->given;
    while (pubsub_walk(c->db, kind, p->stripe, put_name, &l)) {
        p->stripe++;
        if (l.seen >= NAMES_A_SLICE && c->section == NULL) {
            p->given = l.given;
            c->again = true;
            return;
        }
    }
    reply_array_count(c->reply, p->head, l.given);
    progress_free(p);
    c->progress = NULL;
}

static void pubsub_channels(struct cmd *c)
{
    list_channels(c, PUBSUB_CHANNEL);
}

static void pubsub_shardchannels(struct cmd *c)
{
    list_channels(c, PUBSUB_SHARD);
}

static void count_each(struct cmd *c, enum pubsub_kind kind)
{
    reply_array(c->reply, 2 * ((size_t)c->argc - 2));
    for (uint32_t i = 2; i < c->argc; i++) {
        reply_bulk(c->reply, c->argv[i]);
        reply_int(c->reply, (int64_t)pubsub_receivers(c->db, kind, c->argv[i], false));
    }
}

static void pubsub_numsub(struct cmd *c)
{
    count_each(c, PUBSUB_CHANNEL);
}

static void pubsub_shardnumsub(struct cmd *c)
{
    count_each(c, PUBSUB_SHARD);
}

static void pubsub_numpat(struct cmd *c)
{
    reply_int(c->reply, (int64_t)pubsub_count(c->db, PUBSUB_PATTERN));
}

/* clang-format off */
static struct cmd_def pubsub_subs[] = {
    { "CHANNELS",      -2, CMD_LOADING | CMD_STALE, KEYS_NONE, "2.8.0", pubsub_channels, "[pattern]",
      "Returns the active channels." },
    { "HELP",           2, CMD_LOADING | CMD_STALE, KEYS_NONE, "6.2.0", help_run, "",
      "Returns helpful text about the different subcommands." },
    { "NUMPAT",         2, CMD_LOADING | CMD_STALE, KEYS_NONE, "2.8.0", pubsub_numpat, "",
      "Returns a count of unique pattern subscriptions." },
    { "NUMSUB",        -2, CMD_LOADING | CMD_STALE, KEYS_NONE, "2.8.0", pubsub_numsub,
      "[channel [channel ...]]", "Returns a count of subscribers to channels." },
    { "SHARDCHANNELS", -2, CMD_LOADING | CMD_STALE, KEYS_NONE, "7.0.0", pubsub_shardchannels,
      "[pattern]", "Returns the active shard channels." },
    { "SHARDNUMSUB",   -2, CMD_LOADING | CMD_STALE, KEYS_NONE, "7.0.0", pubsub_shardnumsub,
      "[shardchannel [shardchannel ...]]", "Returns the count of subscribers of shard channels." },
    CMD_END
};

struct cmd_def pubsub_cmds[] = {
    /* name arity flags keys since run arguments, summary */
    { "PUBLISH",   3, CMD_LOADING | CMD_STALE | CMD_FAST, KEYS_NONE, "2.0.0", cmd_publish,
      "channel message", "Posts a message to a channel." },
    { "PUBSUB",   -2, 0, KEYS_NONE, "2.8.0", NULL, "", "A container for Pub/Sub commands.",
      .subs = pubsub_subs },
    { "SPUBLISH",  3, CMD_LOADING | CMD_STALE | CMD_FAST, KEYS(1, 1, 1), "7.0.0", cmd_spublish,
      "shardchannel message", "Post a message to a shard channel" },
    CMD_END
};
/* clang-format on */
