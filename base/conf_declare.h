/* conf_declare.h - included by a folder's options.h behind `#define CONF_ROWS "x/options.def"`: one
 * declaration a row. No guard, since each folder includes it for rows of its own. */
#include "base/conf.h"

#define GROUP(sym, title)              extern struct conf_opt opt_group_##sym;
#define OPT(sym, type, flags, meaning) extern struct conf_opt opt_##sym;
#define ALIAS(sym, target)             extern struct conf_opt opt_##sym;
#include CONF_ROWS
#undef GROUP
#undef OPT
#undef ALIAS
#undef CONF_ROWS
