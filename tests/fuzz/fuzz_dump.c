/* fuzz_dump.c - what RESTORE gets, without version and checksum, which every input is given here: a
 * value is read without reading past the payload, within memory that its length bounds, and all that
 * came out of it can be looked at. */
#include "base/err.h"
#include "node/dump.h"
#include "node/type_hash.h"

#include <stdlib.h>

/* version, CRC-64 */
#define FOOTER_BYTES 10

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t touch(struct slice s)
{
    return rdb_crc64(0, s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *payload = malloc(size + FOOTER_BYTES);
    struct slice body = {payload, size + 2};
    struct dump_value v;
    uint64_t seen = 0, crc;

    if (payload == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(payload, data, size);
    }
    payload[size] = DUMP_VERSION_MAX;
    payload[size + 1] = 0;
    crc = rdb_crc64(0, body); /* the tests run on little-endian machines */
    memcpy(payload + size + 2, &crc, sizeof(crc));
    body.len = size + FOOTER_BYTES;
    if (!dump_is_sound(body)) {
        abort();
    }
    if (dump_read(body, &v) == OK) {
        seen += touch(v.string);
        for (size_t i = 0; i < v.count; i++) {
            seen += touch(v.fields[i].name) + touch(v.fields[i].value);
        }
        if (v.type == TYPE_HASH && v.count == 0) {
            abort();
        }
    }
    /* LZF expands at most 264 bytes from 3; numbers become at most 20 digits from 1 byte. */
    if (v.memory.bytes > (uint64_t)size * 264 + 4096 + size * 64) {
        abort();
    }
    dump_value_fini(&v);
    free(payload);
    return seen == 1; /* never mind: so that nothing above is optimised away */
}
