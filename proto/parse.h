/* parse.h - what every parser answers. */
#ifndef PROTO_PARSE_H
#define PROTO_PARSE_H

enum parse {
    PARSE_DONE,
    PARSE_MORE, /* all that is there is well-formed so far */
    PARSE_BAD   /* nothing behind this byte can be trusted */
};

#endif
