/* help.c - "X HELP" of every container, made from its rows so that it cannot be behind them. */
#include "edge/backend.h"
#include "node/cmd/families.h"

void help_run(struct cmd *c)
{
    const struct cmd_def *container = c->def->parent;
    struct buf line = {0};
    size_t n = 0;
    size_t at;

    at = reply_array_later(c->reply);
    if (buf_printf(&line, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                   container->name) == 0) {
        reply_simple(c->reply, buf_slice(&line));
        n++;
    }
    for (const struct cmd_def *d = container->subs; d->name != NULL; d++) {
        const char *gap = d->args != NULL && d->args[0] != '\0' ? " " : "";

        buf_clear(&line);
        if (buf_printf(&line, "%s%s%s", d->name, gap, d->args != NULL ? d->args : "") == 0) {
            reply_simple(c->reply, buf_slice(&line));
            n++;
        }
        buf_clear(&line);
        if (buf_printf(&line, "    %s", d->summary) == 0) {
            reply_simple(c->reply, buf_slice(&line));
            n++;
        }
    }
    buf_fini(&line);
    reply_array_count(c->reply, at, n);
}
