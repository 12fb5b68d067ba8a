/* options.h - the settings of options.def, as opt_NAME; base/conf.h reads them. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#define CONF_ROWS "cli/options.def"
#include "base/conf_declare.h"

/* Gives conf.h the rows of every folder. First of all, before other threads. */
void options_use(void);

/* conf_load() and what follows from it. */
MUST_CHECK int options_load(struct conf_input in, struct buf *why);

#endif
