/* version.h - what this program calls itself, and whose replies it gives. */
#ifndef PROTO_VERSION_H
#define PROTO_VERSION_H

#define VERSION_GODWIT "0.1.0"
/* What HELLO and INFO tell clients that look for features by version. */
#define VERSION_REDIS  "7.2.4"

#endif
