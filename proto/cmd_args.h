/* cmd_args.h - the syntax of a command's arguments, from the text in its row.
 *
 *    key value [NX | XX] [GET] [EX seconds | PX milliseconds | KEEPTTL]
 *
 * Lower case is a value, upper case a token, which takes the values behind it. "[ ]" may be left out,
 * "< >" chooses one, "|" separates choices, and "[key ...]" says that what stood before may repeat.
 */
#ifndef PROTO_CMD_ARGS_H
#define PROTO_CMD_ARGS_H

#include "base/annot.h"
#include "base/slice.h"

enum cmd_arg_type {
    CMD_ARG_STRING,
    CMD_ARG_INTEGER,
    CMD_ARG_DOUBLE,
    CMD_ARG_KEY,
    CMD_ARG_PATTERN,
    CMD_ARG_UNIX_TIME,
    CMD_ARG_PURE_TOKEN,
    CMD_ARG_ONEOF, /* one of the children */
    CMD_ARG_BLOCK  /* the children in this order */
};

struct cmd_arg {
    struct slice name;  /* of a token without values: the token, in upper case */
    struct slice token; /* empty: none */
    enum cmd_arg_type type;
    bool optional, multiple;
    int16_t child, next; /* indexes, or -1 */
};

enum { CMD_ARGS_MAX = 96 };

struct cmd_args {
    struct cmd_arg arg[CMD_ARGS_MAX];
    int16_t count;
    int16_t first; /* -1: no arguments */
};

/* False: the text is ill-formed, or longer than CMD_ARGS_MAX; a test sees that no row's is. */
MUST_CHECK bool cmd_args_parse(const char *text, struct cmd_args *out);

#endif
