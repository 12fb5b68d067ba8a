/* main.h - what all subcommands share. */
#ifndef CLI_MAIN_H
#define CLI_MAIN_H

#define MAIN_VERSION       "0.1.0"
/* What INFO tells clients that look for features by version. */
#define MAIN_REDIS_VERSION "7.2.4"

enum main_exit { MAIN_DONE = 0, MAIN_FAILED = 1, MAIN_USAGE = 2 };

#endif
