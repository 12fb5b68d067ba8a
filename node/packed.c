#include "node/packed.h"

#include <assert.h>

struct slice packed_at(struct slice block, size_t index)
{
    struct packed_walk w;
    struct slice s = {NULL, 0};

    packed_begin(block, &w);
    for (size_t i = 0; i <= index; i++) {
        bool there = packed_next(&w, &s);

        assert(there);
        (void)there;
    }
    return s;
}

size_t packed_bytes(const struct slice *v, size_t n)
{
    size_t bytes = PACKED_HEAD;

    for (size_t i = 0; i < n; i++) {
        bytes += packed_length_bytes(v[i].len) + v[i].len;
    }
    return bytes;
}

void packed_write(char *block, const struct slice *v, size_t n)
{
    uint16_t count = (uint16_t)n;

    assert(n <= PACKED_MAX);
    memcpy(block, &count, sizeof(count));
    block += PACKED_HEAD;
    for (size_t i = 0; i < n; i++) {
        block = packed_write_length(block, v[i].len);
        block = packed_write_bytes(block, v[i]);
    }
}

void packed_read(struct slice block, struct slice *out)
{
    struct packed_walk w;

    packed_begin(block, &w);
    while (packed_next(&w, out)) {
        out++;
    }
}
