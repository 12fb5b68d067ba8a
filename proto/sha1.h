/* sha1.h - SHA-1, by which scripts are named (no secret hangs on it). */
#ifndef PROTO_SHA1_H
#define PROTO_SHA1_H

#include "base/slice.h"

enum { SHA1_HEX = 40 };

/* The digest in lower-case hexadecimal, no NUL. */
void sha1_hex(struct slice bytes, char out[SHA1_HEX]);

#endif
