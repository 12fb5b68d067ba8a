/* main.c - one binary, many subcommands, as one table. */
#include "cli/main.h"

#include "base/buf.h"
#include "base/err.h"
#include "cli/dev.h"
#include "cli/metrics.h"
#include "cli/options.h"
#include "cli/serve.h"
#include "proto/version.h"

#include <stdio.h>

struct subcommand {
    const char *name;
    const char *summary;
    bool has_settings;                 /* its arguments are settings, read before it runs */
    int (*run)(int argc, char **argv); /* exit code; argv begins behind the name */
    const char *usage;                 /* what --help prints, before the settings if it has any */
};

static int run_version(int argc, char **argv);
static int run_help(int argc, char **argv);

static const char serve_usage[] =
    "usage: godwit serve [--setting value …]\n"
    "\n"
    "Serves the Redis protocol, HTTP and metrics from one process until Ctrl-C. At the start it\n"
    "prints its addresses and a redis-cli line to paste. Every setting below may also stand in\n"
    "the environment (--http-port is GODWIT_HTTP_PORT) or in a file (--config); flags win, then\n"
    "the environment. Defaults are in brackets; deploy/CONFIG.md says more.\n";

/* clang-format off */
static const struct subcommand subcommands[] = {
    {"serve",   "all in one process: a Redis-compatible server on this machine", true,  serve_main,  serve_usage},
    {"dev",     "what this program knows of itself: manuals, tables",            false, dev_main,    dev_usage},
    {"version", "the version, and that of Redis whose replies it gives",         false, run_version, "usage: godwit version\n"},
    {"help",    "this text",                                                     false, run_help,    "usage: godwit help [SUBCOMMAND]\n"},
};
/* clang-format on */

#define COUNT (sizeof(subcommands) / sizeof(subcommands[0]))

static const char head[] = "Godwit, a Redis-compatible cache.\n"
                           "\n"
                           "usage: godwit SUBCOMMAND [--setting value …]\n"
                           "\n";
static const char tail[] =
    "\n"
    "First steps:\n"
    "  godwit serve                         on 127.0.0.1:6379, with a password that it makes\n"
    "  godwit serve --help                  every setting with its default and meaning\n"
    "  godwit serve --maxmemory 1gb --maxmemory-policy allkeys-lru\n"
    "  GODWIT_MAXMEMORY=1gb godwit serve    the same by environment\n"
    "  godwit serve --config godwit.conf    the same by file\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong settings or arguments.\n";

static int run_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    puts("godwit " VERSION_GODWIT " (replies of Redis " VERSION_REDIS ")");
    return MAIN_DONE;
}

static void print_help(FILE *to)
{
    (void)fputs(head, to);
    for (size_t i = 0; i < COUNT; i++) {
        (void)fprintf(to, "  %-10s %s\n", subcommands[i].name, subcommands[i].summary);
    }
    (void)fputs(tail, to);
}

static const struct subcommand *find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(subcommands[i].name, name) == 0) {
            return &subcommands[i];
        }
    }
    return NULL;
}

static int complain_unknown(const char *name)
{
    (void)fprintf(stderr, "godwit: unknown subcommand \"%s\"; `godwit help` lists them\n", name);
    return MAIN_USAGE;
}

static bool asks_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

static int print_usage(const struct subcommand *s)
{
    struct buf text;
    int err = OK;

    (void)fputs(s->usage, stdout);
    if (s->has_settings) {
        buf_init(&text);
        err = conf_help(&text);
        (void)fwrite(text.ptr, 1, text.len, stdout);
        buf_fini(&text);
    }
    return err == OK ? MAIN_DONE : MAIN_FAILED;
}

static int run_help(int argc, char **argv)
{
    const struct subcommand *s = argc > 0 ? find(argv[0]) : NULL;

    if (argc > 0 && s == NULL) {
        return complain_unknown(argv[0]);
    }
    if (s != NULL) {
        return print_usage(s);
    }
    print_help(stdout);
    return MAIN_DONE;
}

static int load_settings(char **argv, char **env)
{
    struct buf why;
    int err;

    buf_init(&why);
    err = options_load((struct conf_input){.argv = argv, .env = env}, &why);
    if (err != OK) {
        (void)fprintf(stderr, "godwit: %.*s\n", (int)why.len, why.ptr);
    }
    buf_fini(&why);
    return err == OK ? MAIN_DONE : MAIN_USAGE;
}

int main(int argc, char **argv, char **env)
{
    const struct subcommand *s;

    options_use();
    metrics_use();
    if (argc < 2) {
        print_help(stderr);
        return MAIN_USAGE;
    }
    if (asks_help(argv[1])) {
        return run_help(0, NULL);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0) {
        return run_version(0, NULL);
    }
    s = find(argv[1]);
    if (s == NULL) {
        return complain_unknown(argv[1]);
    }
    for (int i = 2; i < argc; i++) {
        if (asks_help(argv[i])) {
            return print_usage(s);
        }
    }
    if (s->has_settings && load_settings(argv + 2, env) != MAIN_DONE) {
        return MAIN_USAGE;
    }
    return s->run(argc - 2, argv + 2);
}
