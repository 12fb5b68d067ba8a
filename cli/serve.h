/* serve.h - `godwit serve`: everything in one process. */
#ifndef CLI_SERVE_H
#define CLI_SERVE_H

/* Settings are loaded (cli/options.h) before it is called, so its arguments say nothing new. Returns
 * the exit code. */
int serve_main(int argc, char **argv);

#endif
