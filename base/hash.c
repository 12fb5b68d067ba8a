#include "base/hash.h"

#include <nmmintrin.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t the_seed;

void hash_seed_set(uint64_t seed)
{
    the_seed = seed;
}

uint64_t hash_seed(void)
{
    return the_seed;
}

uint64_t hash_key(struct slice key)
{
    return XXH3_64bits_withSeed(key.ptr, key.len, the_seed);
}

/* crc_table[k][b]: the effect of byte b followed by k zero bytes, so that eight bytes are folded at
 * once (slicing-by-8). Made before main(), read-only afterwards. */
static uint16_t crc_table[8][256];

__attribute__((constructor)) static void crc_table_make(void)
{
    for (unsigned b = 0; b < 256; b++) {
        uint16_t c = (uint16_t)(b << 8);

        for (int i = 0; i < 8; i++) {
            c = (uint16_t)((c & 0x8000) ? (c << 1) ^ 0x1021 : c << 1);
        }
        crc_table[0][b] = c;
    }
    for (unsigned k = 1; k < 8; k++) {
        for (unsigned b = 0; b < 256; b++) {
            uint16_t c = crc_table[k - 1][b];

            crc_table[k][b] = (uint16_t)((c << 8) ^ crc_table[0][c >> 8]);
        }
    }
}

uint16_t hash_crc16(struct slice s)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    size_t n = s.len;
    uint16_t c = 0;

    for (; n >= 8; n -= 8, p += 8) {
        c = (uint16_t)(crc_table[7][p[0] ^ (c >> 8)] ^ crc_table[6][p[1] ^ (c & 0xff)] ^
                       crc_table[5][p[2]] ^ crc_table[4][p[3]] ^ crc_table[3][p[4]] ^
                       crc_table[2][p[5]] ^ crc_table[1][p[6]] ^ crc_table[0][p[7]]);
    }
    if (n >= 4) {
        c = (uint16_t)(crc_table[3][p[0] ^ (c >> 8)] ^ crc_table[2][p[1] ^ (c & 0xff)] ^
                       crc_table[1][p[2]] ^ crc_table[0][p[3]]);
        n -= 4;
        p += 4;
    }
    for (; n > 0; n--, p++) {
        c = (uint16_t)((c << 8) ^ crc_table[0][(c >> 8) ^ *p]);
    }
    return c;
}

uint16_t hash_slot(struct slice key)
{
    const char *open = key.len == 0 ? NULL : memchr(key.ptr, '{', key.len);

    if (open != NULL) {
        const char *tag = open + 1;
        const char *close = memchr(tag, '}', (size_t)(key.ptr + key.len - tag));

        /* An empty tag is no tag (Redis Cluster specification). */
        if (close != NULL && close != tag) {
            key = (struct slice){tag, (size_t)(close - tag)};
        }
    }
    return hash_crc16(key) & (HASH_SLOTS - 1);
}

uint32_t hash_crc32c(uint32_t crc, struct slice s)
{
    const char *p = s.ptr;
    size_t n = s.len;
    uint64_t c = ~crc;

    for (; n >= 8; n -= 8, p += 8) {
        uint64_t w;

        memcpy(&w, p, 8);
        c = _mm_crc32_u64(c, w);
    }
    for (; n > 0; n--, p++) {
        c = _mm_crc32_u8((uint32_t)c, (uint8_t)*p);
    }
    return ~(uint32_t)c;
}
