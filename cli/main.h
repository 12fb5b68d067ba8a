/* main.h - what all subcommands share. */
#ifndef CLI_MAIN_H
#define CLI_MAIN_H

enum main_exit { MAIN_DONE = 0, MAIN_FAILED = 1, MAIN_USAGE = 2 };

#endif
