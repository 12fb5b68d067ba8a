#include "node/rdb.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "node/lzf.h"
#include "node/slices.h"

#include <assert.h>
#include <endian.h>

enum {
    CHUNK_BYTES = 4096,
    SPECIAL_INT8 = 0,
    SPECIAL_INT16 = 1,
    SPECIAL_INT32 = 2,
    SPECIAL_LZF = 3,
    LEN_32 = 0x80,
    LEN_64 = 0x81,
    LEN_SPECIAL = 0xc0,
    COMPRESS_MIN = 21, /* Redis tries from here on */
};

struct rdb_chunk {
    struct rdb_chunk *next;
    size_t used, cap;
    char bytes[];
};

void rdb_memory_fini(struct rdb_memory *m)
{
    struct rdb_chunk *c;

    while ((c = m->chunks) != NULL) {
        (void)slices_tick(16);
        m->chunks = c->next;
        mem_free(c, sizeof(*c) + c->cap);
    }
    m->bytes = 0;
}

static int memory_take(struct rdb_memory *m, size_t n, char **out)
{
    struct rdb_chunk *c = m->chunks;

    if (c == NULL || c->cap - c->used < n) {
        size_t cap = n > CHUNK_BYTES ? n : CHUNK_BYTES;

        if (m->bytes + cap > RDB_MEMORY_MAX) {
            return ERR_LIMIT;
        }
        c = mem_alloc(sizeof(*c) + cap);
        if (c == NULL) {
            return ERR_NOMEM;
        }
        *c = (struct rdb_chunk){.next = m->chunks, .cap = cap};
        m->chunks = c;
        m->bytes += cap;
    }
    *out = c->bytes + c->used;
    c->used += n;
    return OK;
}

static int digits_of(struct rdb_memory *m, int64_t n, struct slice *out)
{
    char *p;
    int err = memory_take(m, BUF_I64_MAX, &p);

    if (err == OK) {
        *out = (struct slice){p, buf_put_i64(p, n)};
    }
    return err;
}

/* The next n bytes. */
static int take(struct slice *from, uint64_t n, struct slice *out)
{
    if (n > from->len) {
        return ERR_CORRUPT;
    }
    *out = (struct slice){from->ptr, (size_t)n};
    from->ptr += n;
    from->len -= (size_t)n;
    return OK;
}

static uint64_t little(struct slice s)
{
    uint64_t n = 0;

    for (size_t i = s.len; i > 0; i--) {
        n = n << 8 | (uint8_t)s.ptr[i - 1];
    }
    return n;
}

static uint64_t big(struct slice s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        n = n << 8 | (uint8_t)s.ptr[i];
    }
    return n;
}

/* Of two's complement in `bytes` bytes. */
static int64_t with_sign(uint64_t n, unsigned bytes)
{
    unsigned unused = 64 - 8 * bytes;

    assert(unused < 64);

    return (int64_t)(n << unused) >> unused;
}

int rdb_read_byte(struct rdb_reader *r, uint8_t *out)
{
    struct slice s;
    int err = take(&r->rest, 1, &s);

    if (err == OK) {
        *out = (uint8_t)s.ptr[0];
    }
    return err;
}

int rdb_read_u64(struct rdb_reader *r, uint64_t *out)
{
    struct slice s;
    int err = take(&r->rest, 8, &s);

    if (err == OK) {
        *out = little(s);
    }
    return err;
}

/* A length, or with *special one of the string's other forms. */
static int read_len(struct rdb_reader *r, uint64_t *out, bool *special)
{
    struct slice s;
    uint8_t first;
    int err = rdb_read_byte(r, &first);

    *special = false;
    if (err != OK) {
        return err;
    }
    switch (first & 0xc0) {
    case 0x00:
        *out = first;
        return OK;
    case 0x40:
        err = take(&r->rest, 1, &s);
        *out = err == OK ? (uint64_t)(first & 63) << 8 | big(s) : 0;
        return err;
    case LEN_SPECIAL:
        *special = true;
        *out = first & 63;
        return OK;
    default:
        if (first != LEN_32 && first != LEN_64) {
            return ERR_CORRUPT;
        }
        err = take(&r->rest, first == LEN_32 ? 4 : 8, &s);
        *out = err == OK ? big(s) : 0;
        return err;
    }
}

int rdb_read_len(struct rdb_reader *r, uint64_t *out)
{
    bool special;
    int err = read_len(r, out, &special);

    return err == OK && special ? ERR_CORRUPT : err;
}

static int read_compressed(struct rdb_reader *r, struct slice *out)
{
    struct slice packed;
    uint64_t packed_len;
    uint64_t len;
    char *p;
    int err = rdb_read_len(r, &packed_len);

    if (err == OK) {
        err = rdb_read_len(r, &len);
    }
    if (err == OK) {
        err = take(&r->rest, packed_len, &packed);
    }
    if (err != OK) {
        return err;
    }
    if (len > lzf_expanded_max(packed_len)) {
        return ERR_CORRUPT;
    }
    err = memory_take(r->memory, (size_t)len, &p);
    if (err != OK) {
        return err;
    }
    *out = (struct slice){p, (size_t)len};
    return lzf_expand(packed, p, (size_t)len) ? OK : ERR_CORRUPT;
}

int rdb_read_string(struct rdb_reader *r, struct slice *out)
{
    uint64_t n;
    bool special;
    struct slice s;
    int err = read_len(r, &n, &special);

    if (err == OK && !slices_tick(2)) {
        err = ERR_NOMEM;
    }
    if (err != OK) {
        return err;
    }
    if (!special) {
        return take(&r->rest, n, out);
    }
    if (n == SPECIAL_LZF) {
        return read_compressed(r, out);
    }
    if (n > SPECIAL_INT32) {
        return ERR_CORRUPT;
    }
    err = take(&r->rest, 1u << n, &s);
    return err == OK ? digits_of(r->memory, with_sign(little(s), 1u << n), out) : err;
}

int rdb_pack_begin(struct rdb_pack *p, enum rdb_pack_kind kind, struct slice blob,
                   struct rdb_memory *m)
{
    /* Total bytes and, for a ziplist, where the last entry is; then the count. */
    static const uint8_t header[] = {[RDB_LISTPACK] = 6, [RDB_ZIPLIST] = 10, [RDB_ZIPMAP] = 1};
    size_t n = header[kind];

    if (blob.len < n + 1 || (uint8_t)blob.ptr[blob.len - 1] != 0xff) {
        return ERR_CORRUPT;
    }
    *p = (struct rdb_pack){
        .kind = kind, .rest = {blob.ptr + n, blob.len - n - 1}, .memory = m, .count = UINT64_MAX};
    if (kind == RDB_ZIPMAP) {
        p->count = (uint8_t)blob.ptr[0] < 254 ? 2 * (uint64_t)(uint8_t)blob.ptr[0] : UINT64_MAX;
        return OK;
    }
    if (little((struct slice){blob.ptr, 4}) != blob.len) {
        return ERR_CORRUPT;
    }
    p->count = little((struct slice){blob.ptr + n - 2, 2});
    if (p->count == UINT16_MAX) {
        p->count = UINT64_MAX;
    }
    return OK;
}

/* A number in the pack's next `bytes` bytes. */
static int pack_int(struct rdb_pack *p, unsigned bytes, struct slice *out)
{
    struct slice s;
    int err = take(&p->rest, bytes, &s);

    return err == OK ? digits_of(p->memory, with_sign(little(s), bytes), out) : err;
}

static int pack_len(struct rdb_pack *p, unsigned bytes, bool is_little, uint64_t *out)
{
    struct slice s;
    int err = take(&p->rest, bytes, &s);

    *out = err == OK ? (is_little ? little(s) : big(s)) : 0;
    return err;
}

/* A listpack's element ends with its own length, seven bits a byte, for walking backwards. */
static int skip_backlen(struct rdb_pack *p, size_t len)
{
    struct slice s;
    unsigned n = len < 128 ? 1 : len < 16383 ? 2 : len < 2097151 ? 3 : len < 268435455 ? 4 : 5;

    return take(&p->rest, n, &s);
}

static int listpack_next(struct rdb_pack *p, struct slice *out)
{
    static const uint8_t int_bytes[] = {2, 3, 4, 8};
    size_t before = p->rest.len;
    struct slice s;
    uint64_t n;
    uint8_t b;
    int err = take(&p->rest, 1, &s);

    if (err != OK) {
        return err;
    }
    b = (uint8_t)s.ptr[0];
    if (b < 0x80) {
        err = digits_of(p->memory, b, out);
    } else if (b < 0xc0) {
        err = take(&p->rest, b & 63, out);
    } else if (b < 0xe0) {
        err = pack_len(p, 1, false, &n);
        n |= (uint64_t)(b & 31) << 8;
        err = err == OK ? digits_of(p->memory, (int64_t)n - (n >= 4096 ? 8192 : 0), out) : err;
    } else if (b < 0xf0) {
        err = pack_len(p, 1, false, &n);
        err = err == OK ? take(&p->rest, n | (uint64_t)(b & 15) << 8, out) : err;
    } else if (b == 0xf0) {
        err = pack_len(p, 4, true, &n);
        err = err == OK ? take(&p->rest, n, out) : err;
    } else if (b <= 0xf4) {
        err = pack_int(p, int_bytes[b - 0xf1], out);
    } else {
        err = ERR_CORRUPT;
    }
    return err == OK ? skip_backlen(p, before - p->rest.len) : err;
}

static int ziplist_next(struct rdb_pack *p, struct slice *out)
{
    struct slice s;
    uint64_t n;
    uint8_t b;
    int err = pack_len(p, 1, true, &n); /* of the one before; 254: four bytes more say it */

    if (err == OK && n == 254) {
        err = take(&p->rest, 4, &s);
    }
    if (err == OK) {
        err = take(&p->rest, 1, &s);
    }
    if (err != OK || n == 255) {
        return ERR_CORRUPT;
    }
    b = (uint8_t)s.ptr[0];
    if (b < 0x40) {
        return take(&p->rest, b, out);
    }
    if (b < 0x80) {
        err = pack_len(p, 1, false, &n);
        return err == OK ? take(&p->rest, n | (uint64_t)(b & 63) << 8, out) : err;
    }
    switch (b) {
    case 0x80:
        err = pack_len(p, 4, false, &n);
        return err == OK ? take(&p->rest, n, out) : err;
    case 0xc0:
        return pack_int(p, 2, out);
    case 0xd0:
        return pack_int(p, 4, out);
    case 0xe0:
        return pack_int(p, 8, out);
    case 0xf0:
        return pack_int(p, 3, out);
    case 0xfe:
        return pack_int(p, 1, out);
    default:
        return b > 0xf0 && b < 0xfe ? digits_of(p->memory, b - 0xf1, out) : ERR_CORRUPT;
    }
}

static int zipmap_next(struct rdb_pack *p, struct slice *out)
{
    struct slice unused = {NULL, 0};
    uint64_t spare = 0;
    uint64_t n;
    int err = pack_len(p, 1, true, &n);

    if (err == OK && n == 254) {
        err = pack_len(p, 4, true, &n);
    } else if (n == 255) {
        err = ERR_CORRUPT;
    }
    if (err == OK && p->is_value) {
        err = pack_len(p, 1, true, &spare);
    }
    if (err == OK) {
        err = take(&p->rest, n, out);
    }
    if (err == OK) {
        err = take(&p->rest, spare, &unused);
    }
    p->is_value = !p->is_value;
    return err;
}

int rdb_pack_next(struct rdb_pack *p, struct slice *out)
{
    p->given++;
    if (!slices_tick(1)) {
        return ERR_NOMEM;
    }
    switch (p->kind) {
    case RDB_LISTPACK:
        return listpack_next(p, out);
    case RDB_ZIPLIST:
        return ziplist_next(p, out);
    case RDB_ZIPMAP:
        return zipmap_next(p, out);
    }
    return ERR_CORRUPT;
}

int rdb_pack_end(const struct rdb_pack *p)
{
    return p->count == UINT64_MAX || p->count == p->given ? OK : ERR_CORRUPT;
}

enum { INTSET_HEAD = 8 };

int rdb_intset_begin(struct slice blob, unsigned *width, uint64_t *count)
{
    if (blob.len < INTSET_HEAD) {
        return ERR_CORRUPT;
    }
    *width = (unsigned)little((struct slice){blob.ptr, 4});
    *count = little((struct slice){blob.ptr + 4, 4});
    if ((*width != 2 && *width != 4 && *width != 8) || blob.len - INTSET_HEAD != *count * *width) {
        return ERR_CORRUPT;
    }
    return OK;
}

int rdb_intset_at(struct slice blob, uint64_t index, unsigned width, struct rdb_memory *m,
                  struct slice *out)
{
    struct slice at = {blob.ptr + INTSET_HEAD + index * width, width};

    return digits_of(m, with_sign(little(at), width), out);
}

int rdb_write_intset(struct buf *out, const char *ints, size_t count, unsigned width)
{
    uint32_t head[2] = {htole32(width), htole32((uint32_t)count)};
    struct buf blob = {0};
    int err = buf_append(&blob, head, sizeof(head));

    err = err == OK ? buf_append(&blob, ints, count * width) : err;
    err = err == OK ? rdb_write_string(out, buf_slice(&blob)) : err;
    buf_fini(&blob);
    return err;
}

int rdb_write_len(struct buf *out, uint64_t n)
{
    uint8_t b[9];
    size_t len;

    if (n < 64) {
        b[0] = (uint8_t)n;
        len = 1;
    } else if (n < 1 << 14) {
        b[0] = (uint8_t)(0x40 | n >> 8);
        b[1] = (uint8_t)n;
        len = 2;
    } else {
        uint64_t be = htobe64(n);
        bool wide = n > UINT32_MAX;

        b[0] = wide ? LEN_64 : LEN_32;
        memcpy(b + 1, (const char *)&be + (wide ? 0 : 4), wide ? 8 : 4);
        len = wide ? 9 : 5;
    }
    return buf_append(out, b, len);
}

/* Whether it was written as a number of at most 32 bits, which is all that the format has. */
static int write_int(struct buf *out, struct slice s, bool *done)
{
    int64_t n;
    unsigned log;
    uint64_t le;
    uint8_t b[5];

    *done = s.len <= 11 && parse_i64(s, &n) && n >= INT32_MIN && n <= INT32_MAX;
    if (!*done) {
        return OK;
    }
    log = n == (int8_t)n ? 0 : n == (int16_t)n ? 1 : 2;
    b[0] = (uint8_t)(LEN_SPECIAL | log);
    le = htole64((uint64_t)n);
    memcpy(b + 1, &le, 1u << log);
    return buf_append(out, b, 1 + (1u << log));
}

static int write_compressed(struct buf *out, struct slice s, bool *done)
{
    size_t room = s.len - 4; /* what Redis asks that it saves */
    char *packed = mem_alloc(room);
    size_t n;
    int err;

    *done = false;
    if (packed == NULL) {
        return ERR_NOMEM;
    }
    n = lzf_compress(s, packed, room);
    err = OK;
    if (n > 0) {
        *done = true;
        err = buf_append_char(out, (char)(LEN_SPECIAL | SPECIAL_LZF));
        err = err == OK ? rdb_write_len(out, n) : err;
        err = err == OK ? rdb_write_len(out, s.len) : err;
        err = err == OK ? buf_append(out, packed, n) : err;
    }
    mem_free(packed, room);
    return err;
}

int rdb_write_string(struct buf *out, struct slice s)
{
    bool done;
    int err = write_int(out, s, &done);

    (void)slices_tick(2);
    if (err == OK && !done && s.len >= COMPRESS_MIN && s.len <= RDB_COMPRESS_MAX) {
        err = write_compressed(out, s, &done);
    }
    if (err == OK && !done) {
        err = rdb_write_len(out, s.len);
        err = err == OK ? buf_append_slice(out, s) : err;
    }
    return err;
}

static uint64_t crc_table[8][256];

/* Before main(), so that no thread can see it half made. */
__attribute__((constructor)) static void crc_table_make(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t crc = i;

        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x95ac9329ac4bc9b5ull : 0);
        }
        crc_table[0][i] = crc;
    }
    for (unsigned i = 0; i < 256; i++) {
        for (unsigned k = 1; k < 8; k++) {
            uint64_t crc = crc_table[k - 1][i];

            crc_table[k][i] = crc >> 8 ^ crc_table[0][crc & 255];
        }
    }
}

uint64_t rdb_crc64(uint64_t crc, struct slice bytes)
{
    const char *p = bytes.ptr;
    size_t n = bytes.len;

    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;

        memcpy(&word, p, 8);
        crc ^= le64toh(word);
        crc = crc_table[7][crc & 255] ^ crc_table[6][crc >> 8 & 255] ^
              crc_table[5][crc >> 16 & 255] ^ crc_table[4][crc >> 24 & 255] ^
              crc_table[3][crc >> 32 & 255] ^ crc_table[2][crc >> 40 & 255] ^
              crc_table[1][crc >> 48 & 255] ^ crc_table[0][crc >> 56];
    }
    for (; n > 0; n--, p++) {
        crc = crc_table[0][(crc ^ (uint8_t)*p) & 255] ^ crc >> 8;
    }
    return crc;
}
