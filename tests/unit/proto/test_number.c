#include "proto/number.h"

#include "base/rand.h"
#include "tests/lib/unit.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void integers_are_those_that_print_back_the_same(void)
{
    static const struct {
        struct slice text;
        bool ok;
        int64_t value;
    } rows[] = {
        {SLICE("0"), true, 0},
        {SLICE("-1"), true, -1},
        {SLICE("9223372036854775807"), true, INT64_MAX},
        {SLICE("-9223372036854775808"), true, INT64_MIN},
        {SLICE("9223372036854775808"), false, 0},
        {SLICE("-9223372036854775809"), false, 0},
        {SLICE("18446744073709551616"), false, 0},
        {SLICE("99999999999999999999"), false, 0},
        {SLICE("100000000000000000000"), false, 0},
        {SLICE(""), false, 0},
        {SLICE("-"), false, 0},
        {SLICE("+1"), false, 0},
        {SLICE("-0"), false, 0},
        {SLICE("00"), false, 0},
        {SLICE("01"), false, 0},
        {SLICE("1 "), false, 0},
        {SLICE(" 1"), false, 0},
        {SLICE("1\0"), false, 0},
        {SLICE("1a"), false, 0},
        {SLICE("--1"), false, 0},
        {SLICE("0x10"), false, 0},
    };
    struct rand chance = {unit_seed()};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t value = 77;

        CU_ASSERT_EQUAL(number_parse_int(unit_guard(rows[i].text), &value), rows[i].ok);
        CU_ASSERT_EQUAL(value, rows[i].ok ? rows[i].value : 77);
    }
    for (int i = 0; i < 20000; i++) {
        int64_t in = (int64_t)rand_next(&chance) >> rand_below(&chance, 64), back = 0;
        char text[NUMBER_INT_MAX], expected[32];
        size_t len = number_print_int(text, in);

        (void)snprintf(expected, sizeof(expected), "%" PRId64, in);
        CU_ASSERT(slice_is((struct slice){text, len}, slice_of(expected)));
        CU_ASSERT(number_parse_int((struct slice){text, len}, &back));
        CU_ASSERT_EQUAL(in, back);
    }
}

static void unsigned_reach_the_top(void)
{
    uint64_t n = 0;

    CU_ASSERT(number_parse_uint(SLICE("18446744073709551615"), &n));
    CU_ASSERT_EQUAL(n, UINT64_MAX);
    CU_ASSERT_FALSE(number_parse_uint(SLICE("18446744073709551616"), &n));
    CU_ASSERT_FALSE(number_parse_uint(SLICE("28446744073709551615"), &n));
    CU_ASSERT_FALSE(number_parse_uint(SLICE("-1"), &n));
}

static void doubles_are_read_as_redis_reads_them(void)
{
    static const struct {
        struct slice text;
        bool ok;
        long double value;
    } rows[] = {
        {SLICE("1.5"), true, 1.5L},     {SLICE("-2e3"), true, -2000},
        {SLICE("+1"), true, 1},         {SLICE("0x10"), true, 16},
        {SLICE("inf"), true, INFINITY}, {SLICE("-Infinity"), true, -INFINITY},
        {SLICE(".5"), true, 0.5L},      {SLICE("5."), true, 5},
        {SLICE("1e308"), true, 1e308L}, {SLICE("nan"), false, 0},
        {SLICE(""), false, 0},          {SLICE(" 1"), false, 0},
        {SLICE("\t1"), false, 0},       {SLICE("1 "), false, 0},
        {SLICE("1\0"), false, 0},       {SLICE("\0"), false, 0},
        {SLICE("1e5000"), false, 0},    {SLICE("1e-5000"), false, 0},
        {SLICE("abc"), false, 0},       {SLICE("1,5"), false, 0},
        {SLICE("1e"), false, 0},
    };
    char wide[NUMBER_HUMAN_MAX + 1];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        long double value = 0;

        CU_ASSERT_EQUAL(number_parse_double(unit_guard(rows[i].text), &value), rows[i].ok);
        CU_ASSERT(!rows[i].ok || value == rows[i].value ||
                  fabsl(value / rows[i].value - 1) < 1e-15L);
    }
    memset(wide, '0', sizeof(wide)); /* longer than any number needs to be */

    long double value;

    CU_ASSERT_FALSE(number_parse_double((struct slice){wide, sizeof(wide)}, &value));
    CU_ASSERT(number_parse_double((struct slice){wide, 5000}, &value));
}

static void prints(double value, const char *expected)
{
    char out[NUMBER_DOUBLE_MAX];
    size_t len = number_print_double(out, value);

    CU_ASSERT(slice_is((struct slice){out, len}, slice_of(expected)));
    if (!slice_is((struct slice){out, len}, slice_of(expected))) {
        fprintf(stderr, "%s: %.*s\n", expected, (int)len, out);
    }
}

static void doubles_print_shortest_and_read_back(void)
{
    struct rand chance = {unit_seed()};

    prints(0, "0");
    prints(-0.0, "-0");
    prints(1, "1");
    prints(-17, "-17");
    prints(0.1, "0.1");
    prints(0.30000000000000004, "0.30000000000000004");
    prints(3.5e-7, "3.5e-7");
    prints(0.00001, "0.00001");
    prints(1e-7, "1e-7");
    prints(1e20, "1e+20");
    prints(4503599627370496.0, "4503599627370496");
    prints(1e22, "1e+22");
    prints(1.5e300, "1.5e+300");
    prints(5e-324, "5e-324");
    prints(1.7976931348623157e308, "1.7976931348623157e+308");
    prints(INFINITY, "inf");
    prints(-INFINITY, "-inf");
    prints(NAN, "nan");
    for (int i = 0; i < 20000; i++) {
        char out[NUMBER_DOUBLE_MAX + 1];
        union {
            uint64_t bits;
            double value;
        } any = {rand_next(&chance)};

        if (isnan(any.value)) {
            continue;
        }

        size_t len = number_print_double(out, any.value);

        CU_ASSERT_FATAL(len < sizeof(out));
        out[len] = '\0';
        CU_ASSERT_EQUAL(strtod(out, NULL), any.value);
    }
}

static void human_form_has_no_exponent(void)
{
    static const struct {
        long double value;
        const char *text;
    } rows[] = {
        {10.6L, "10.6"},      {5000, "5000"},      {-0.0L, "0"},
        {0.1L + 0.2L, "0.3"}, {-1.5L, "-1.5"},     {1e17L, "100000000000000000"},
        {INFINITY, "inf"},    {-INFINITY, "-inf"}, {NAN, "nan"},
        {3e-18L, "0"},        {100, "100"},
    };
    char out[NUMBER_HUMAN_MAX];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = number_print_human(out, rows[i].value);

        CU_ASSERT(slice_is((struct slice){out, len}, slice_of(rows[i].text)));
    }
    CU_ASSERT_EQUAL(number_print_human(out, 1.18e4932L), 4933);
}

const struct unit_test test_number[] = {
    UNIT(integers_are_those_that_print_back_the_same),
    UNIT(unsigned_reach_the_top),
    UNIT(doubles_are_read_as_redis_reads_them),
    UNIT(doubles_print_shortest_and_read_back),
    UNIT(human_form_has_no_exponent),
    UNIT_END,
};
