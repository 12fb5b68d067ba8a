/* command.c - COMMAND and ACL CAT: the command table as clients see it. */
#include "edge/backend.h"
#include "node/cmd/families.h"
#include "proto/cmd_doc.h"

static void cmd_command(struct cmd *c)
{
    cmd_doc_command(c->reply);
}

static void cmd_command_count(struct cmd *c)
{
    cmd_doc_command_count(c->reply);
}

static void cmd_command_docs(struct cmd *c)
{
    cmd_doc_command_docs(c->reply, c->argv + 2, c->argc - 2);
}

static void cmd_command_getkeys(struct cmd *c)
{
    cmd_doc_command_getkeys(c->reply, c->argv + 2, c->argc - 2);
}

static void cmd_command_getkeysandflags(struct cmd *c)
{
    cmd_doc_command_getkeysandflags(c->reply, c->argv + 2, c->argc - 2);
}

static void cmd_command_info(struct cmd *c)
{
    cmd_doc_command_info(c->reply, c->argv + 2, c->argc - 2);
}

static void cmd_command_list(struct cmd *c)
{
    cmd_doc_command_list(c->reply, c->argv + 2, c->argc - 2);
}

/* In Redis' order. */
static const char *const categories[] = {
    "keyspace", "read",   "write",       "set",       "sortedset",  "list",        "hash",
    "string",   "bitmap", "hyperloglog", "geo",       "stream",     "pubsub",      "admin",
    "fast",     "slow",   "blocking",    "dangerous", "connection", "transaction", "scripting"};

static bool is_in(const struct cmd_def *d, const char *category)
{
    const char *in[CMD_CATEGORIES_MAX];
    size_t n = cmd_categories(d, in);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(in[i] + 1, category) == 0) {
            return true;
        }
    }
    return false;
}

static void reply_commands(struct cmd *c, const char *category)
{
    size_t at = reply_array_later(c->reply);
    size_t n = 0;

    for (uint16_t id = 0; id < cmd_count(); id++) {
        const struct cmd_def *d = cmd_by_id(id);
        char name[CMD_NAME_MAX];

        if ((d->flags & CMD_INTERNAL) == 0 && d->run != NULL && is_in(d, category)) {
            reply_bulk(c->reply, (struct slice){name, cmd_full_name(d, name)});
            n++;
        }
    }
    reply_array_count(c->reply, at, n);
}

void command_acl_cat(struct cmd *c)
{
    size_t n = sizeof(categories) / sizeof(categories[0]);

    if (c->argc > 3) {
        reply_errf(c->reply, "ERR unknown subcommand or wrong number of arguments for 'CAT'. Try"
                             " ACL HELP.");
        return;
    }
    if (c->argc == 2) {
        reply_array(c->reply, n);
        for (size_t i = 0; i < n; i++) {
            reply_bulk(c->reply, slice_of(categories[i]));
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (slice_is_word(c->argv[2], categories[i])) {
            reply_commands(c, categories[i]);
            return;
        }
    }
    reply_errf(c->reply, "ERR Unknown category '%.*s'", (int)c->argv[2].len, c->argv[2].ptr);
}

/* clang-format off */
#define ABOUT (CMD_LOADING | CMD_STALE | CMD_FREE)

static struct cmd_def command_subs[] = {
    { "COUNT",           2, ABOUT, KEYS_NONE, "2.8.13", cmd_command_count, "",
      "How many commands there are." },
    { "DOCS",           -2, ABOUT | CMD_UNORDERED, KEYS_NONE, "7.0.0", cmd_command_docs, "[command-name [command-name ...]]",
      "What commands do, and their arguments." },
    { "GETKEYS",        -3, ABOUT, KEYS_NONE, "2.8.13", cmd_command_getkeys, "command [arg [arg ...]]",
      "The keys among the arguments of a call." },
    { "GETKEYSANDFLAGS",-3, ABOUT, KEYS_NONE, "7.0.0", cmd_command_getkeysandflags, "command [arg [arg ...]]",
      "The keys among the arguments of a call, and what becomes of them." },
    { "HELP",            2, ABOUT, KEYS_NONE, "5.0.0", help_run, "",
      "Print this help." },
    { "INFO",           -2, ABOUT | CMD_UNORDERED, KEYS_NONE, "2.8.13", cmd_command_info, "[command-name [command-name ...]]",
      "Commands as client libraries want to know them." },
    { "LIST",           -2, ABOUT | CMD_UNORDERED, KEYS_NONE, "7.0.0", cmd_command_list,
      "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
      "The commands' names." },
    CMD_END
};

struct cmd_def command_cmds[] = {
    { "COMMAND", -1, ABOUT | CMD_UNORDERED, KEYS_NONE, "2.8.13", cmd_command, "",
      "All commands as client libraries want to know them.", .subs = command_subs },
    CMD_END
};
/* clang-format on */
