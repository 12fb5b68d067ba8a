/* JSON text against another implementation, at its edges, and when memory ends. */
#include "node/json_text.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/rand.h"
#include "proto/number.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/json_oracle.h"

#include <stdio.h>
#include <stdlib.h>

static struct slice text_of(const struct buf *value, struct buf *out)
{
    buf_clear(out);
    CU_ASSERT_EQUAL(json_print(value->ptr, NULL, out), OK);
    return buf_slice(out);
}

/* What is read, printed and read again is the same to the byte, and means what the other reads. */
static void reads_what_another_wrote(void)
{
    struct rand r = {unit_seed()};

    for (int i = 0; i < 300; i++) {
        char *made = oracle_text(&r, (unsigned)rand_below(&r, i < 250 ? 20 : 400));
        struct slice text = slice_of(made);
        struct json_fault fault = {"", 0, 0};
        struct buf value = {0};
        struct buf again = {0};
        struct buf printed = {0};

        CU_ASSERT_FATAL(json_parse(text, &value, &fault));
        CU_ASSERT_EQUAL(json_slice(value.ptr).len, value.len);
        CU_ASSERT(oracle_is_same(text, text_of(&value, &printed)));
        CU_ASSERT_FATAL(json_parse(buf_slice(&printed), &again, &fault));
        CU_ASSERT(slice_is(buf_slice(&value), buf_slice(&again)));
        CU_ASSERT(json_same(value.ptr, again.ptr));
        buf_fini(&value);
        buf_fini(&again);
        buf_fini(&printed);
        free(made);
    }
}

/* One byte is changed, dropped or cut off: both read it, or neither. */
static void refuses_what_another_refuses(void)
{
    static const char odd[] = "{}[]\",:0-1.eE+ntf\\u/\x01\xff\xc3 \n";
    struct rand r = {unit_seed()};

    for (int i = 0; i < 3000; i++) {
        char *made = oracle_text(&r, (unsigned)rand_below(&r, 8));
        size_t len = strlen(made);
        size_t at = rand_below(&r, len);
        struct json_fault fault = {"", 0, 0};
        struct buf value = {0};

        if (rand_below(&r, 3) == 0) {
            len = at;
        } else {
            made[at] = odd[rand_below(&r, sizeof(odd) - 1)];
        }
        struct slice text = unit_guard((struct slice){made, len});
        bool ours = json_parse(text, &value, &fault);

        /* Integers beyond int64 are an error there, and zero bytes in names. */
        if (ours != oracle_accepts(text) && !(ours && strstr(made, "u0000") != NULL) &&
            !(ours && (memchr(value.ptr, JSON_DOUBLE, value.len) != NULL ||
                       memchr(value.ptr, JSON_UINT64, value.len) != NULL))) {
            printf("%d: %.*s\n", ours, (int)len, made);
            CU_FAIL("they differ");
        }
        CU_ASSERT(ours ? value.len > 0 : value.len == 0 && fault.what != NULL);
        buf_fini(&value);
        free(made);
    }
}

static void parse_row(const char *text, const char *want)
{
    struct json_fault fault;
    struct buf value = {0};
    struct buf printed = {0};
    bool fine = json_parse(unit_guard(slice_of(text)), &value, &fault);

    if (!fine) {
        CU_ASSERT_STRING_EQUAL(fault.what, want);
    } else {
        struct slice got = text_of(&value, &printed);

        if (!slice_is(got, slice_of(want))) {
            printf("%s: %.*s, not %s\n", text, (int)got.len, got.ptr, want);
            CU_FAIL("another text");
        }
    }
    buf_fini(&value);
    buf_fini(&printed);
}

static void edges(void)
{
    static const char *const rows[][2] = {
        {"0", "0"},
        {"-0", "-0.0"},
        {"127", "127"},
        {"-129", "-129"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"-9223372036854775809", "-9223372036854776000.0"},
        {"18446744073709551615", "18446744073709551615"},
        {"1E2", "100.0"},
        {"0.1", "0.1"},
        {"-10.99", "-10.99"},
        {"0.010", "0.01"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"123456789.000001", "123456789.000001"},
        {"999999999.999999", "999999999.999999"},
        {"1e-400", "0.0"},
        {"1e22", "1e+22"},
        {"4.9e-324", "5e-324"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"1e309", "number out of range"},
        {"-", "EOF while parsing a value"},
        {"1e+", "EOF while parsing a value"},
        {".5", "expected value"},
        {"+1", "expected value"},
        {"00", "invalid number"},
        {"NaN", "expected value"},
        {"\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\"\\ude00\"", "lone trailing surrogate in hex escape"},
        {"\"\\ud83dx\"", "lone leading surrogate in hex escape"},
        {"\"\xc0\x80\"", "invalid unicode code point"},
        {"\"\xed\xa0\x80\"", "invalid unicode code point"},
        {"\"\xf4\x90\x80\x80\"", "invalid unicode code point"},
        {"{\"a\":1,\"b\":2,\"a\":{}}", "{\"a\":{},\"b\":2}"},
        {" [ 1 , 2 ] ", "[1,2]"},
        {"[1 2]", "expected `,` or `]`"},
        {"{\"a\" 1}", "expected `:`"},
        {"[1}", "expected `,` or `]`"},
        {"]", "expected value"},
        {"", "EOF while parsing a value"},
        {"[]]", "trailing characters"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        parse_row(rows[i][0], rows[i][1]);
    }
}

/* The quick way of printing gives what the other gives, digit for digit. */
static void numbers_print_shortest(void)
{
    struct rand r = {unit_seed()};

    for (int i = 0; i < 200000; i++) {
        static const double units[] = {10, 100, 1e3, 1e4, 1e6, 1e9};
        char value[1 + sizeof(double)] = {JSON_DOUBLE};
        char text[JSON_NUMBER_TEXT];
        char digits[NUMBER_DOUBLE_MAX];
        double d =
            (double)(int64_t)(rand_next(&r) >> (1 + rand_below(&r, 62))) / units[rand_below(&r, 6)];

        d = rand_below(&r, 2) == 0 ? d : -d;
        memcpy(value + 1, &d, sizeof(d));
        struct slice got = {text, json_print_number(value, text)};
        size_t n = number_print_double(digits, d);
        bool same = got.len >= n && memcmp(text, digits, n) == 0 &&
                    (got.len == n || (got.len == n + 2 && memcmp(text + n, ".0", 2) == 0));

        if (!same) {
            printf("%.*s, not %.*s\n", (int)got.len, text, (int)n, digits);
            CU_FAIL("another number");
        }
    }
}

/* Many twins among many names: the last value at the first one's place, in time that does not square. */
static void twins_among_many_names(void)
{
    struct buf text = {0};
    struct buf want = {0};
    struct json_fault fault;
    struct buf value = {0};
    struct buf printed = {0};

    CU_ASSERT_EQUAL(buf_append_char(&text, '{') | buf_append_char(&want, '{'), OK);
    for (int i = 0; i < 60000; i++) {
        CU_ASSERT_EQUAL(buf_printf(&text, "%s\"k%d\":%d", i == 0 ? "" : ",", i % 20000, i), OK);
        if (i < 20000) {
            CU_ASSERT_EQUAL(buf_printf(&want, "%s\"k%d\":%d", i == 0 ? "" : ",", i, i + 40000), OK);
        }
    }
    CU_ASSERT_EQUAL(buf_append_char(&text, '}') | buf_append_char(&want, '}'), OK);
    CU_ASSERT_FATAL(json_parse(buf_slice(&text), &value, &fault));
    CU_ASSERT_EQUAL(json_count(value.ptr), 20000);
    CU_ASSERT(slice_is(text_of(&value, &printed), buf_slice(&want)));
    buf_fini(&text);
    buf_fini(&want);
    buf_fini(&value);
    buf_fini(&printed);
}

static void depth_is_bounded(void)
{
    static char text[20001];
    struct json_fault fault;
    struct buf value = {0};
    struct buf printed = {0};

    memset(text, '[', 128);
    memset(text + 128, ']', 128);
    CU_ASSERT_FATAL(json_parse((struct slice){text, 256}, &value, &fault));
    CU_ASSERT_EQUAL(json_depth(value.ptr), 128);
    CU_ASSERT(slice_is(text_of(&value, &printed), (struct slice){text, 256}));
    buf_clear(&value);
    memset(text, '[', 10000);
    memset(text + 10000, ']', 10000);
    CU_ASSERT_FALSE(json_parse((struct slice){text, 20000}, &value, &fault));
    CU_ASSERT_STRING_EQUAL(fault.what, "recursion limit exceeded");
    CU_ASSERT_EQUAL(fault.column, 129);
    buf_fini(&value);
    buf_fini(&printed);
}

static void memory_may_end_anywhere(void)
{
    static const char text[] =
        "{\"a\":[1,\"x\\ny\",{\"b\":null}],\"0\":0,\"1\":1,\"2\":2,\"3\":3,\"4\":4,"
        "\"5\":5,\"6\":6,\"7\":7,\"8\":8,\"9\":9,\"10\":1,\"11\":1,\"a\":2}";
    struct json_fault fault;

    for (int nth = 1;; nth++) {
        struct buf value = {0};

        fault_fail_nth(nth);
        bool fine = json_parse(slice_of(text), &value, &fault);
        bool fired = fault_off() >= nth;

        CU_ASSERT(fine || (fired && fault.what == NULL && value.len == 0));
        buf_fini(&value);
        if (!fired) {
            CU_ASSERT(nth > 3);
            return;
        }
    }
}

const struct unit_test test_json_text[] = {
    UNIT(reads_what_another_wrote),
    UNIT(refuses_what_another_refuses),
    UNIT(edges),
    UNIT(twins_among_many_names),
    UNIT(numbers_print_shortest),
    UNIT(depth_is_bounded),
    UNIT(memory_may_end_anywhere),
    UNIT_END,
};
