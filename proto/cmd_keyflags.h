/* cmd_keyflags.h - what a command does with its keys, in the words of Redis' key specifications. */
#ifndef PROTO_CMD_KEYFLAGS_H
#define PROTO_CMD_KEYFLAGS_H

#include "proto/cmd.h"

struct cmd_keyflags {
    const char *name;  /* of the command; subcommands as "object|encoding" */
    const char *first; /* "RW access update" */
    const char *rest;  /* of the keys after the first where they differ, or NULL */
};

/* From the few rows that are special, else from the command's flags. Never NULL. */
const struct cmd_keyflags *cmd_keyflags_of(const struct cmd_def *def);

/* The same of a call, where its arguments decide (SET and GET, BITFIELD's operations). */
const struct cmd_keyflags *cmd_keyflags_of_call(const struct cmd_def *def, const struct slice *argv,
                                                uint32_t argc);

#endif
