/* command.c - COMMAND: the command table as clients see it. */
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
