/* families.h - every command of the node: one array of rows a file of handlers. */
#ifndef NODE_CMD_FAMILIES_H
#define NODE_CMD_FAMILIES_H

#include "proto/cmd.h"

extern struct cmd_def generic_cmds[];
extern struct cmd_def expiry_cmds[];
extern struct cmd_def scan_cmds[];
extern struct cmd_def restore_cmds[];
extern struct cmd_def hash_cmds[];
extern struct cmd_def hash_expiry_cmds[];
extern struct cmd_def stream_cmds[];
extern struct cmd_def list_block_cmds[];
extern struct cmd_def list_cmds[];
extern struct cmd_def sort_cmds[];
extern struct cmd_def set_cmds[];
extern struct cmd_def set_many_cmds[];
extern struct cmd_def hll_cmds[];
extern struct cmd_def string_cmds[];
extern struct cmd_def txn_cmds[];
extern struct cmd_def script_cmds[];
extern struct cmd_def function_cmds[];
extern struct cmd_def server_cmds[];
extern struct cmd_def config_cmds[];
extern struct cmd_def memory_cmds[];
extern struct cmd_def watch_cmds[];
extern struct cmd_def command_cmds[];
extern struct cmd_def bitmap_cmds[];
extern struct cmd_def zset_block_cmds[];
extern struct cmd_def zset_cmds[];
extern struct cmd_def zset_range_cmds[];
extern struct cmd_def zset_ops_cmds[];
extern struct cmd_def geo_cmds[];
extern struct cmd_def pubsub_cmds[];
extern struct cmd_def json_cmds[];
extern struct cmd_def json_value_cmds[];
extern struct cmd_def json_array_cmds[];

/* Hands the rows to the command table. Once, before cmd_freeze(). */
void families_register(void);

/* The handler of a container's HELP row: lists its parent's rows. */
void help_run(struct cmd *c);

#endif
