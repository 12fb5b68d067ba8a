/* commands.h - the commands that the door carries out itself: about the connection, not about keys. */
#ifndef EDGE_COMMANDS_H
#define EDGE_COMMANDS_H

#include "proto/cmd.h"

/* Hands their rows to proto/cmd.h. Before cmd_freeze(). */
void edge_register_commands(void);

extern struct cmd_def edge_acl_cmds[];    /* private: of cmd_acl.c */
extern struct cmd_def edge_pubsub_cmds[]; /* private: of cmd_pubsub.c */

#endif
