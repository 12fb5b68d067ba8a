#include "edge/args.h"

#include "base/mem.h"

size_t args_bytes(const struct slice *argv, uint32_t argc)
{
    size_t bytes = sizeof(struct args) + argc * sizeof(argv[0]);

    for (uint32_t i = 0; i < argc; i++) {
        bytes += argv[i].len;
    }
    return bytes;
}

struct args *args_copy(const struct slice *argv, uint32_t argc)
{
    size_t bytes = args_bytes(argv, argc);
    struct args *a = mem_alloc(bytes);

    if (a == NULL) {
        return NULL;
    }
    char *at = (char *)(a->argv + argc);

    a->bytes = bytes;
    a->argc = argc;
    for (uint32_t i = 0; i < argc; i++) {
        a->argv[i] = (struct slice){at, argv[i].len};
        if (argv[i].len > 0) {
            memcpy(at, argv[i].ptr, argv[i].len);
        }
        at += argv[i].len;
    }
    return a;
}

void args_destroy(struct args *a)
{
    if (a != NULL) {
        mem_free(a, a->bytes);
    }
}
