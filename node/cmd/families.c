#include "node/cmd/families.h"

void families_register(void)
{
    cmd_register("generic", generic_cmds);
    cmd_register("generic", expiry_cmds);
    cmd_register("generic", scan_cmds);
    cmd_register("generic", restore_cmds);
    cmd_register("hash", hash_cmds);
    cmd_register("hash", hash_expiry_cmds);
    cmd_register("stream", stream_cmds);
    cmd_register("list", list_cmds);
    cmd_register("list", list_block_cmds);
    cmd_register("generic", sort_cmds);
    cmd_register("set", set_cmds);
    cmd_register("set", set_many_cmds);
    cmd_register("hyperloglog", hll_cmds);
    cmd_register("string", string_cmds);
    cmd_register("transactions", txn_cmds);
    cmd_register("scripting", script_cmds);
    cmd_register("scripting", function_cmds);
    cmd_register("server", server_cmds);
    cmd_register("server", config_cmds);
    cmd_register("server", memory_cmds);
    cmd_register("server", watch_cmds);
    cmd_register("server", command_cmds);
    cmd_register("bitmap", bitmap_cmds);
    cmd_register("sorted-set", zset_cmds);
    cmd_register("sorted-set", zset_block_cmds);
    cmd_register("sorted-set", zset_range_cmds);
    cmd_register("sorted-set", zset_ops_cmds);
    cmd_register("geo", geo_cmds);
    cmd_register("pubsub", pubsub_cmds);
    cmd_register("json", json_cmds);
    cmd_register("json", json_value_cmds);
    cmd_register("json", json_array_cmds);
}
