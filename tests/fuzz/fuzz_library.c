/* The first line of a library: whatever it is, it is refused with a text, or its name lies within it and is one. */
#include "node/library.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size == 0 ? 1 : size); /* of its own, so that a step beyond is seen */
    struct library_head head;
    char error[LIBRARY_ERROR_MAX] = "";

    if (copy == NULL) {
        abort();
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    if (!library_read_head((struct slice){copy, size}, &head, error)) {
        if (memcmp(error, "ERR ", 4) != 0) {
            abort();
        }
    } else if (!library_is_name(head.name) || head.name.ptr < copy ||
               head.name.ptr + head.name.len > copy + head.body_at || copy[head.body_at] != '\n') {
        abort();
    }
    free(copy);
    return 0;
}
