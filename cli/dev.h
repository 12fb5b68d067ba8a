/* dev.h - `godwit dev`: what the program knows of itself, for `make docs`, tests and the curious. */
#ifndef CLI_DEV_H
#define CLI_DEV_H

extern const char dev_usage[];

int dev_main(int argc, char **argv);

#endif
