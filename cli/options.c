#include "cli/options.h"

#include "base/log.h"
#include "base/options.h"
#include "edge/options.h"
#include "edge/out_limit.h"
#include "node/options.h"
#include "replication/options.h"

#define CONF_ROWS "cli/options.def"
#include "base/conf_define.h"

/* Every folder's rows, in the order of the help. A folder that gets an options.def is named here. */
/* clang-format off */
#define GROUP(sym, title) &opt_group_##sym,
#define OPT(sym, type, flags, meaning) &opt_##sym,
#define ALIAS(sym, target) &opt_##sym,
static struct conf_opt *const rows[] = {
#include "cli/options.def"
#include "edge/options.def"
#include "node/options.def"
#include "replication/options.def"
#include "base/options.def"
};
/* clang-format on */
#undef GROUP
#undef OPT
#undef ALIAS

static void apply_loglevel(const struct conf_opt *opt)
{
    /* In the order of the row: debug verbose info notice warn warning error nothing. */
    static const int levels[] = {LOG_DEBUG, LOG_DEBUG, LOG_INFO,  LOG_INFO,
                                 LOG_WARN,  LOG_WARN,  LOG_ERROR, LOG_ERROR - 1};

    log_level_set(levels[conf_enum(opt)]);
}

void options_use(void)
{
    conf_use(rows, sizeof(rows) / sizeof(rows[0]));
    conf_hook(&opt_loglevel, NULL, apply_loglevel);
    out_limit_start();
}

int options_load(struct conf_input in, struct buf *why)
{
    int err = conf_load(in, why);

    apply_loglevel(&opt_loglevel);
    out_limit_start();
    return err;
}
