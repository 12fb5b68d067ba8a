/* secret.h - which arguments of a command are nobody's business: for MONITOR and SLOWLOG. */
#ifndef EDGE_SECRET_H
#define EDGE_SECRET_H

#include "base/slice.h"
#include "proto/cmd.h"

/* Whether argument i is shown as (redacted). */
bool secret_is_argument(const struct cmd_def *def, const struct slice *argv, uint32_t argc,
                        uint32_t i);

#endif
