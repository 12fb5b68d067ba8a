#include "base/parse.h"
#include "tests/lib/unit.h"

static const struct {
    const char *text;
    bool good;
    int64_t value;
} rows[] = {
    {"0", true, 0},
    {"7", true, 7},
    {"-1", true, -1},
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"9223372036854775808", false, 0},  /* one too many */
    {"-9223372036854775809", false, 0}, /* one too few */
    {"99999999999999999999", false, 0},
    {"", false, 0},
    {"-", false, 0},
    {"+1", false, 0},
    {"01", false, 0}, /* Redis keeps it as a string */
    {"-0", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"1.0", false, 0},
    {"0x1", false, 0},
    {"--1", false, 0},
};

static void reads_what_redis_reads(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t n = 42;
        bool good = parse_i64(unit_guard(slice_of(rows[i].text)), &n);

        CU_ASSERT_EQUAL(good, rows[i].good);
        CU_ASSERT_EQUAL(n, rows[i].good ? rows[i].value : 42);
    }
    CU_ASSERT_FALSE(
        parse_i64((struct slice){NULL, 0}, &(int64_t){0})); /* nothing is added to NULL */
}

static void reads_the_whole_unsigned_range(void)
{
    uint64_t n = 0;

    CU_ASSERT(parse_u64(SLICE("18446744073709551615"), &n));
    CU_ASSERT_EQUAL(n, UINT64_MAX);
    CU_ASSERT_FALSE(parse_u64(SLICE("18446744073709551616"), &n));
    CU_ASSERT_FALSE(parse_u64(SLICE("-1"), &n));
    CU_ASSERT_EQUAL(n, UINT64_MAX);
}

const struct unit_test test_parse[] = {
    UNIT(reads_what_redis_reads),
    UNIT(reads_the_whole_unsigned_range),
    UNIT_END,
};
