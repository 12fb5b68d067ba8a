#include "cli/dev.h"

#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metric.h"
#include "cli/main.h"
#include "edge/commands.h"
#include "node/cmd/families.h"
#include "proto/cmd_doc.h"

#include <unistd.h>

const char dev_usage[] = "usage: godwit dev TOPIC\n"
                         "\n"
                         "  commands-doc   proto/COMMANDS.md: every command\n"
                         "  commands-json  the same for programs\n"
                         "  config-doc     deploy/CONFIG.md: every setting\n"
                         "  metrics-doc    deploy/METRICS.md: every metric\n"
                         "  metrics        what /metrics says of a process that just began\n";

static int commands(int (*fn)(struct buf *out), struct buf *out)
{
    int err;

    edge_register_commands();
    families_register();
    cmd_freeze();
    err = fn(out);
    cmd_thaw();
    return err;
}

static int commands_doc(struct buf *out)
{
    return commands(cmd_doc_markdown, out);
}

static int commands_json(struct buf *out)
{
    return commands(cmd_doc_json, out);
}

/* clang-format off */
static const struct {
    const char *name;
    int (*write)(struct buf *out);
} topics[] = {
    {"commands-doc",  commands_doc},
    {"commands-json", commands_json},
    {"config-doc",    conf_manual},
    {"metrics-doc",   metric_manual},
    {"metrics",       metric_write},
};
/* clang-format on */

static int put_out(struct slice s)
{
    while (s.len > 0) {
        ssize_t n = write(STDOUT_FILENO, s.ptr, s.len);

        if (n < 0) {
            return ERR_IO;
        }
        s = (struct slice){s.ptr + n, s.len - (size_t)n};
    }
    return OK;
}

static int print_topic(int (*fn)(struct buf *out))
{
    struct buf text;
    int err;

    buf_init(&text);
    err = fn(&text);
    if (err == OK) {
        err = put_out(buf_slice(&text));
    }
    buf_fini(&text);
    return err == OK ? MAIN_DONE : MAIN_FAILED;
}

int dev_main(int argc, char **argv)
{
    for (size_t i = 0; argc == 1 && i < sizeof(topics) / sizeof(topics[0]); i++) {
        if (strcmp(argv[0], topics[i].name) == 0) {
            return print_topic(topics[i].write);
        }
    }
    log_error("dev: give one topic, as `godwit dev --help` lists them\tgot=%s",
              argc > 0 ? argv[0] : "");
    return MAIN_USAGE;
}
