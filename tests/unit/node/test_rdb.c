/* Redis' dump format in its pieces: the compression, lengths, strings, packed collections. */
#include "base/err.h"
#include "base/mem.h"
#include "base/rand.h"
#include "node/lzf.h"
#include "node/rdb.h"
#include "tests/lib/unit.h"

#include <stdio.h>

static struct rdb_memory memory;

static struct slice from_hex(const char *hex, char *out)
{
    size_t n = 0;

    for (; hex[0] != '\0'; hex += hex[0] == ' ' ? 1 : 2) {
        unsigned b;

        if (hex[0] != ' ' && sscanf(hex, "%2x", &b) == 1) {
            out[n++] = (char)b;
        }
    }
    return (struct slice){out, n};
}

/* The check value of this CRC, and Redis' own comment in crc64.c names the same. */
static void crc_is_redis_own(void)
{
    char zeros[100] = {0};
    struct slice whole = SLICE("123456789abcdefghijk");

    CU_ASSERT_EQUAL(rdb_crc64(0, SLICE("123456789")), 0xe9c6d914c4b8d9caull);
    for (size_t n = 0; n <= whole.len; n++) {
        struct slice head = unit_guard((struct slice){whole.ptr, n});
        struct slice tail = unit_guard((struct slice){whole.ptr + n, whole.len - n});

        CU_ASSERT_EQUAL(rdb_crc64(rdb_crc64(0, head), tail), rdb_crc64(0, whole));
    }
    CU_ASSERT_EQUAL(rdb_crc64(0, (struct slice){zeros, sizeof(zeros)}), 0);
}

static void fill(struct rand *r, char *p, size_t n, unsigned kind)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = kind == 0   ? (char)rand_next(r)
               : kind == 1 ? (char)('a' + rand_below(r, 3))
               : kind == 2 ? 'x'
                           : (i > 300 && rand_below(r, 50) != 0 ? p[i - 300] : (char)rand_next(r));
    }
}

static void compressed_expands_to_itself(void)
{
    struct rand r = {unit_seed()};
    static char in[70000], packed[80000], out[70000];

    for (int round = 0; round < 400; round++) {
        size_t n = (size_t)rand_below(&r, round < 200 ? 100 : sizeof(in));
        size_t m;

        fill(&r, in, n, (unsigned)round % 4);
        m = lzf_compress((struct slice){in, n}, packed, sizeof(packed));
        CU_ASSERT_FATAL(n == 0 || m > 0);
        CU_ASSERT_FATAL(n <= lzf_expanded_max(m));
        CU_ASSERT_FATAL(lzf_expand(unit_guard((struct slice){packed, m}), out, n));
        CU_ASSERT_FATAL(memcmp(in, out, n) == 0);
        CU_ASSERT(n == 0 || !lzf_expand((struct slice){packed, m}, out, n - 1));
        CU_ASSERT(m == 0 || !lzf_expand((struct slice){packed, m - 1}, out, n));
        if (m > 1) {
            /* No room for the last byte: says so, and writes nothing past it. */
            packed[m - 1] = '!';
            CU_ASSERT_EQUAL(lzf_compress((struct slice){in, n}, packed, m - 1), 0);
            CU_ASSERT_EQUAL(packed[m - 1], '!');
        }
    }
}

static void compression_saves(void)
{
    static char in[10000], packed[10000];

    memset(in, 'x', sizeof(in));
    CU_ASSERT(lzf_compress((struct slice){in, sizeof(in)}, packed, sizeof(packed)) < 200);
}

static const struct {
    const char *hex;
    uint64_t n;
} lengths[] = {
    {"00", 0},
    {"3f", 63},
    {"40 40", 64},
    {"7f ff", 16383},
    {"80 00004000", 16384},
    {"80 ffffffff", UINT32_MAX},
    {"81 0000000100000000", 1ull << 32},
    {"81 ffffffffffffffff", UINT64_MAX},
};

static void lengths_are_read_and_written(void)
{
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char bytes[16];
        struct slice s = from_hex(lengths[i].hex, bytes);
        struct rdb_reader r = {.rest = s, .memory = &memory};
        struct buf out = {0};
        uint64_t n = 1;

        CU_ASSERT_EQUAL(rdb_read_len(&r, &n), OK);
        CU_ASSERT_EQUAL(n, lengths[i].n);
        CU_ASSERT_EQUAL(r.rest.len, 0);
        CU_ASSERT_EQUAL(rdb_write_len(&out, n), OK);
        CU_ASSERT(slice_is(buf_slice(&out), s));
        buf_fini(&out);
        for (size_t cut = 0; cut < s.len; cut++) {
            r.rest = unit_guard((struct slice){s.ptr, cut});
            CU_ASSERT_EQUAL(rdb_read_len(&r, &n), ERR_CORRUPT);
        }
    }
}

static const struct {
    const char *hex, *text; /* NULL: refused */
} strings[] = {
    {"00", ""},
    {"05 68656c6c6f", "hello"},
    {"c0 7b", "123"},
    {"c0 ff", "-1"},
    {"c1 00 80", "-32768"},
    {"c2 90eefeff", "-70000"},
    {"c2 00000080", "-2147483648"},
    {"c3 09 3c 01 6161 e0 2f 00 01 6161",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    {"c4 00", NULL},       /* there is no such form */
    {"82 00", NULL},       /* nor such a length */
    {"05 68656c6c", NULL}, /* shorter than it says */
    {"81 ffffffffffffffff 00", NULL},
    {"c3 02 81 00000000ffffffff 0061", NULL}, /* two bytes cannot become 4 GiB */
    {"c3 02 02 0061", NULL},                  /* one byte, not two */
    {"c3 03 06 20 00 00", NULL},              /* refers to before the start */
};

static void strings_are_read(void)
{
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        char bytes[64];
        struct slice s = from_hex(strings[i].hex, bytes);
        struct rdb_reader r = {.rest = unit_guard(s), .memory = &memory};
        struct slice out;

        if (strings[i].text == NULL) {
            CU_ASSERT_EQUAL(rdb_read_string(&r, &out), ERR_CORRUPT);
            continue;
        }
        CU_ASSERT_EQUAL_FATAL(rdb_read_string(&r, &out), OK);
        CU_ASSERT(slice_is(out, slice_of(strings[i].text)));
        for (size_t cut = 0; cut < s.len; cut++) {
            r.rest = unit_guard((struct slice){s.ptr, cut});
            CU_ASSERT_EQUAL(rdb_read_string(&r, &out), ERR_CORRUPT);
        }
    }
    rdb_memory_fini(&memory);
}

static void written_strings_read_the_same(void)
{
    struct rand rand = {unit_seed()};
    static char text[5000];
    static const char *const numbers[] = {
        "0",     "-0",         "00",         "127",         "128",         "-128", "-129", "32767",
        "32768", "2147483647", "2147483648", "-2147483648", "-2147483649", "1.5",  "+1"};

    for (int i = 0; i < 300; i++) {
        struct slice s = i < 15 ? slice_of(numbers[i])
                                : (struct slice){text, (size_t)rand_below(&rand, sizeof(text))};
        struct buf out = {0};
        struct rdb_reader r;
        struct slice again;

        fill(&rand, text, i < 15 ? 0 : s.len, (unsigned)i % 4);
        CU_ASSERT_EQUAL_FATAL(rdb_write_string(&out, s), OK);
        r = (struct rdb_reader){.rest = buf_slice(&out), .memory = &memory};
        CU_ASSERT_EQUAL_FATAL(rdb_read_string(&r, &again), OK);
        CU_ASSERT(slice_is(s, again) && r.rest.len == 0);
        buf_fini(&out);
        rdb_memory_fini(&memory);
    }
}

/* All elements joined by commas; "corrupt" if it is. */
static const char *read_pack(enum rdb_pack_kind kind, struct slice blob, char *out)
{
    struct rdb_pack p;
    struct slice s;
    size_t n = 0;

    if (rdb_pack_begin(&p, kind, blob, &memory) != OK) {
        return "corrupt";
    }
    while (!rdb_pack_is_done(&p)) {
        if (rdb_pack_next(&p, &s) != OK) {
            return "corrupt";
        }
        n += (size_t)sprintf(out + n, "%.*s,", (int)s.len, s.ptr);
    }
    out[n] = '\0';
    return rdb_pack_end(&p) == OK ? out : "corrupt";
}

static const struct {
    enum rdb_pack_kind kind;
    const char *hex, *text;
} packs[] = {
    {RDB_LISTPACK, "07000000 0000 ff", ""},
    {RDB_LISTPACK, "0d000000 0200 8161 02 05 01 ff", NULL}, /* not as long as it says */
    {RDB_LISTPACK, "0c000000 0200 8161 02 05 01 ff", "a,5,"},
    {RDB_LISTPACK, "0c000000 0300 8161 02 05 01 ff", NULL},   /* nor as many */
    {RDB_LISTPACK, "0c000000 ffff 8161 02 05 01 ff", "a,5,"}, /* too many to say */
    {RDB_LISTPACK, "0a000000 0100 c0ff 02 ff", "255,"},
    {RDB_LISTPACK, "0a000000 0100 dfff 02 ff", "-1,"},
    {RDB_LISTPACK, "0b000000 0100 f1 0080 03 ff", "-32768,"},
    {RDB_LISTPACK, "0c000000 0100 f2 000080 04 ff", "-8388608,"},
    {RDB_LISTPACK, "0d000000 0100 f3 00000080 05 ff", "-2147483648,"},
    {RDB_LISTPACK, "11000000 0100 f4 ffffffffffffff7f 09 ff", "9223372036854775807,"},
    {RDB_LISTPACK, "0b000000 0100 e001 61 03 ff", "a,"},
    {RDB_LISTPACK, "0e000000 0100 f001000000 61 06 ff", "a,"},
    {RDB_LISTPACK, "09000000 0100 f5 01 ff", NULL},   /* no such element */
    {RDB_LISTPACK, "0a000000 0100 8261 02 ff", NULL}, /* runs into the end */
    {RDB_ZIPLIST, "0b000000 0a000000 0000 ff", ""},
    {RDB_ZIPLIST, "11000000 0a000000 0200 00 0161 03 f6 ff", NULL},
    {RDB_ZIPLIST, "10000000 0d000000 0200 00 0161 03 f6 ff", "a,5,"},
    {RDB_ZIPLIST, "0e000000 0a000000 0100 00 fe 80 ff", "-128,"},
    {RDB_ZIPLIST, "0f000000 0a000000 0100 00 c0 0080 ff", "-32768,"},
    {RDB_ZIPLIST, "10000000 0a000000 0100 00 f0 000080 ff", "-8388608,"},
    {RDB_ZIPLIST, "11000000 0a000000 0100 00 d0 00000080 ff", "-2147483648,"},
    {RDB_ZIPLIST, "15000000 0a000000 0100 00 e0 ffffffffffffff7f ff", "9223372036854775807,"},
    {RDB_ZIPLIST, "0f000000 0a000000 0100 00 4001 61 ff", "a,"},
    {RDB_ZIPLIST, "12000000 0a000000 0100 00 80 00000001 61 ff", "a,"},
    {RDB_ZIPLIST, "12000000 0a000000 0100 fe 00000000 01 61 ff", "a,"},
    {RDB_ZIPLIST, "0e000000 0a000000 0100 00 0261 ff", NULL},
    {RDB_ZIPLIST, "0e000000 0a000000 0100 00 ff 00 ff", NULL},
    {RDB_ZIPMAP, "00 ff", ""},
    {RDB_ZIPMAP, "01 01 61 02 00 6262 ff", "a,bb,"},
    {RDB_ZIPMAP, "01 01 61 02 03 6262 000000 ff", "a,bb,"},
    {RDB_ZIPMAP, "01 fe 01000000 61 01 00 62 ff", "a,b,"},
    {RDB_ZIPMAP, "02 01 61 02 00 6262 ff", NULL}, /* one pair, not two */
    {RDB_ZIPMAP, "01 01 61 02 09 6262 ff", NULL}, /* spare bytes that are not there */
    {RDB_ZIPMAP, "01 01 61", NULL},               /* no end */
};

static void packs_are_read(void)
{
    for (size_t i = 0; i < sizeof(packs) / sizeof(packs[0]); i++) {
        char bytes[64], out[256];
        struct slice s = from_hex(packs[i].hex, bytes);
        const char *want = packs[i].text == NULL ? "corrupt" : packs[i].text;
        const char *got = read_pack(packs[i].kind, unit_guard(s), out);

        if (strcmp(got, want) != 0) {
            printf("  %s: %s\n", packs[i].hex, got);
        }
        CU_ASSERT_STRING_EQUAL(got, want);
        for (size_t cut = 0; cut < s.len; cut++) {
            (void)read_pack(packs[i].kind, unit_guard((struct slice){s.ptr, cut}), out);
        }
    }
    rdb_memory_fini(&memory);
}

/* Compressed bytes become many: a payload cannot have them become more than the limit. */
static void memory_is_bounded(void)
{
    struct rdb_memory m = {.bytes = RDB_MEMORY_MAX - 10};
    char bytes[64];
    struct rdb_reader r = {.rest = from_hex(strings[7].hex, bytes), .memory = &m};
    struct slice out;

    CU_ASSERT_EQUAL(rdb_read_string(&r, &out), ERR_LIMIT);
    CU_ASSERT_PTR_NULL(m.chunks);
}

const struct unit_test test_rdb[] = {UNIT(crc_is_redis_own),
                                     UNIT(compressed_expands_to_itself),
                                     UNIT(compression_saves),
                                     UNIT(lengths_are_read_and_written),
                                     UNIT(strings_are_read),
                                     UNIT(written_strings_read_the_same),
                                     UNIT(packs_are_read),
                                     UNIT(memory_is_bounded),
                                     UNIT_END};
