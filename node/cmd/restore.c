#include "node/cmd/families.h"

struct cmd_def restore_cmds[] = {
    CMD_END
};
