/* args.h - a request's arguments that outlive its bytes: behind MULTI, or while its command waits. */
#ifndef EDGE_ARGS_H
#define EDGE_ARGS_H

#include "base/slice.h"

struct args {
    size_t bytes; /* of this block, in which all of it lies */
    uint32_t argc;
    struct slice argv[];
};

size_t args_bytes(const struct slice *argv, uint32_t argc);
/* NULL: no memory. */
struct args *args_copy(const struct slice *argv, uint32_t argc);
/* NULL is fine. */
void args_destroy(struct args *a);

#endif
