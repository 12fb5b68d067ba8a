#include "node/cmd/families.h"

void families_register(void)
{
    cmd_register("generic", generic_cmds);
    cmd_register("generic", expiry_cmds);
    cmd_register("generic", scan_cmds);
    cmd_register("generic", restore_cmds);
    cmd_register("hash", hash_cmds);
    cmd_register("hash", hash_expiry_cmds);
    cmd_register("list", list_cmds);
    cmd_register("generic", sort_cmds);
    cmd_register("string", string_cmds);
    cmd_register("transactions", txn_cmds);
    cmd_register("scripting", script_cmds);
    cmd_register("server", server_cmds);
    cmd_register("server", config_cmds);
    cmd_register("server", memory_cmds);
    cmd_register("server", watch_cmds);
    cmd_register("server", command_cmds);
    cmd_register("bitmap", bitmap_cmds);
}
