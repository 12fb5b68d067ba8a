#include "proto/resp_req.h"

#include "base/fault.h"
#include "base/rand.h"
#include "tests/lib/unit.h"

#include <stdio.h>

#define K16 "0123456789012345"

static const struct resp_limits limits = {1000, 1 << 20, 64, false};

/* A request as the parser should see it: arguments joined by '\x1f'. */
static void joined(const struct resp_req *r, struct slice in, struct buf *out)
{
    buf_clear(out);
    for (uint32_t i = 0; i < r->argc; i++) {
        CU_ASSERT_EQUAL(buf_append_slice(out, resp_req_arg(r, in, i)), 0);
        CU_ASSERT_EQUAL(buf_append_char(out, '\x1f'), 0);
    }
}

/* clang-format off */
static const struct {
    struct slice in;
    struct slice args; /* each ended by \x1f */
} good[] = {
    {SLICE("*2\r\n$3\r\nGET\r\n$16\r\n" K16 "\r\n"), SLICE("GET\x1f" K16 "\x1f")},
    {SLICE("*1\r\n$4\r\nPING\r\n"), SLICE("PING\x1f")},
    {SLICE("*1\r\n$0\r\n\r\n"), SLICE("\x1f")},
    {SLICE("*3\r\n$0\r\n\r\n$0\r\n\r\n$1\r\n\r\r\n"), SLICE("\x1f\x1f\r\x1f")},
    {SLICE("*10\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n$1\r\n7\r\n"
           "$1\r\n8\r\n$1\r\n9\r\n"), /* more arguments than lie in the struct */
     SLICE("0\x1f" "1\x1f" "2\x1f" "3\x1f" "4\x1f" "5\x1f" "6\x1f" "7\x1f" "8\x1f" "9\x1f")},
    {SLICE("*1\r\n$10\r\n*1\r\n$1\r\nab\r\n"), SLICE("*1\r\n$1\r\nab\x1f")}, /* bytes are bytes */
    {SLICE("*0\r\n"), SLICE("")},
    {SLICE("*-1\r\n"), SLICE("")},
    {SLICE("*-5\r\n"), SLICE("")},
    {SLICE("\r\n"), SLICE("")},
    {SLICE("\n"), SLICE("")},
    {SLICE("  \t \r\n"), SLICE("")},
    {SLICE("PING\r\n"), SLICE("PING\x1f")},
    {SLICE("  set  a\tb \n"), SLICE("set\x1f" "a\x1f" "b\x1f")},
    {SLICE("set \"a b\" 'c d'\r\n"), SLICE("set\x1f" "a b\x1f" "c d\x1f")},
    {SLICE("\"\\x41\\n\\r\\t\\b\\a\\\\\\\"\\q\" ''\r\n"), SLICE("A\n\r\t\b\a\\\"q\x1f\x1f")},
    {SLICE("'\\'\\n' \"\\x4\"\r\n"), SLICE("'\\n\x1f" "x4\x1f")},
    {SLICE("a\"b c\" d\r\n"), SLICE("ab c\x1f" "d\x1f")},
    {SLICE("a\rb\r\n"), SLICE("a\x1f" "b\x1f")},
};

#define P "Protocol error: "
static const struct {
    struct slice in;
    size_t at;
    const char *error;
} bad[] = {
    {SLICE("*x\r\n"), 1, P "invalid multibulk length"},
    {SLICE("*\r\n"), 1, P "invalid multibulk length"},
    {SLICE("*01\r\n"), 1, P "invalid multibulk length"},
    {SLICE("*+1\r\n"), 1, P "invalid multibulk length"},
    {SLICE("*-0\r\n"), 1, P "invalid multibulk length"},
    {SLICE("* 1\r\n"), 1, P "invalid multibulk length"},
    {SLICE("*1001\r\n"), 1, P "invalid multibulk length"},
    {SLICE("*2147483648\r\n"), 1, P "invalid multibulk length"},
    {SLICE("*99999999999999999999999\r\n"), 1, P "invalid multibulk length"},
    {SLICE("*18446744073709551617\r\n"), 1, P "invalid multibulk length"},
    {SLICE("*00000000000000000000000000000000000000000000000000000000000000001\r\n"), 0,
     P "too big mbulk count string"},
    {SLICE("*1\r\n+OK\r\n"), 4, P "expected '$', got '+'"},
    {SLICE("*1\r\n\r\n"), 4, P "expected '$', got '\r'"},
    {SLICE("*2\r\n$1\r\na\r\n:1\r\n"), 11, P "expected '$', got ':'"},
    {SLICE("*1\r\n$-1\r\n"), 5, P "invalid bulk length"},
    {SLICE("*1\r\n$x\r\n"), 5, P "invalid bulk length"},
    {SLICE("*1\r\n$\r\n"), 5, P "invalid bulk length"},
    {SLICE("*1\r\n$01\r\na\r\n"), 5, P "invalid bulk length"},
    {SLICE("*1\r\n$1x\r\na\r\n"), 5, P "invalid bulk length"},
    {SLICE("*1\r\n$1048577\r\n"), 5, P "invalid bulk length"},
    {SLICE("*1\r\n$9223372036854775808\r\n"), 5, P "invalid bulk length"},
    {SLICE("*1\r\n$00000000000000000000000000000000000000000000000000000000000000001\r\n"), 4,
     P "too big bulk count string"},
    {SLICE("\"a\r\n"), 0, P "unbalanced quotes in request"},
    {SLICE("'a\r\n"), 0, P "unbalanced quotes in request"},
    {SLICE("\"a\"b\r\n"), 0, P "unbalanced quotes in request"},
    {SLICE("'a\\'\r\n"), 0, P "unbalanced quotes in request"},
    {SLICE("0123456789012345678901234567890123456789012345678901234567890123x\r\n"), 64,
     P "too big inline request"},
};
/* clang-format on */

static void reads_requests_of_both_kinds(void)
{
    struct resp_req r;
    struct buf got = {0};

    resp_req_init(&r);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct slice in = unit_guard(good[i].in);
        size_t used = 0;

        CU_ASSERT_EQUAL(resp_req_parse(&r, in, &limits, &used), PARSE_DONE);
        CU_ASSERT_EQUAL(used, in.len);
        joined(&r, in, &got);
        CU_ASSERT(slice_is(buf_slice(&got), good[i].args));
        resp_req_reset(&r);
    }
    resp_req_fini(&r);
    buf_fini(&got);
}

/* A request cut at every byte must ask for more at each cut and end up the same as when whole; what
 * follows it must not be touched. The bytes lie elsewhere at each call, as in a buffer that grew. */
static void resumes_at_every_split(void)
{
    struct resp_req r;
    struct buf got = {0}, both = {0};

    resp_req_init(&r);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct slice in = good[i].in;
        size_t used = 0;

        for (size_t n = 0; n < in.len; n++) {
            struct slice head = unit_guard((struct slice){in.ptr, n});

            CU_ASSERT_EQUAL(resp_req_parse(&r, head, &limits, &used), PARSE_MORE);
            CU_ASSERT(resp_req_wants(&r) > 0);
            CU_ASSERT(n + resp_req_wants(&r) <= in.len);
        }
        buf_clear(&both);
        CU_ASSERT_EQUAL(buf_append_slice(&both, in), 0);
        CU_ASSERT_EQUAL(buf_append_str(&both, "*1\r\n$"), 0);

        struct slice more = unit_guard(buf_slice(&both));

        CU_ASSERT_EQUAL(resp_req_parse(&r, more, &limits, &used), PARSE_DONE);
        CU_ASSERT_EQUAL(used, in.len);
        joined(&r, more, &got);
        CU_ASSERT(slice_is(buf_slice(&got), good[i].args));
        resp_req_reset(&r);
    }
    resp_req_fini(&r);
    buf_fini(&got);
    buf_fini(&both);
}

static void refuses_with_redis_words_and_the_place(void)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct resp_req r;
        size_t used = 0;

        resp_req_init(&r);
        CU_ASSERT_EQUAL(resp_req_parse(&r, unit_guard(bad[i].in), &limits, &used), PARSE_BAD);
        CU_ASSERT_STRING_EQUAL(r.error, bad[i].error);
        CU_ASSERT_EQUAL(used, bad[i].at);
        if (used != bad[i].at) {
            fprintf(stderr, "row %zu: at %zu\n", i, used);
        }
        resp_req_fini(&r);
        /* The same when it trickles in. */
        enum parse p = PARSE_MORE;

        resp_req_init(&r);
        for (size_t n = 0; n <= bad[i].in.len && p == PARSE_MORE; n++) {
            p = resp_req_parse(&r, unit_guard((struct slice){bad[i].in.ptr, n}), &limits, &used);
        }
        CU_ASSERT_EQUAL(p, PARSE_BAD);
        CU_ASSERT_STRING_EQUAL(r.error, bad[i].error);
        CU_ASSERT_EQUAL(used, bad[i].at);
        resp_req_fini(&r);
    }
}

/* Who has not proved who it is gets little room. */
static void strangers_may_send_little(void)
{
    static const struct resp_limits strange = {1000, 1 << 20, 64, true};
    static const struct {
        const char *in;
        const char *error;
    } rows[] = {
        {"*11\r\n", P "unauthenticated multibulk length"},
        {"*1\r\n$16385\r\n", P "unauthenticated bulk length"},
    };
    struct resp_req r;
    size_t used;

    resp_req_init(&r);
    for (size_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(resp_req_parse(&r, slice_of(rows[i].in), &strange, &used), PARSE_BAD);
        CU_ASSERT_STRING_EQUAL(r.error, rows[i].error);
        resp_req_reset(&r);
    }
    CU_ASSERT_EQUAL(resp_req_parse(&r, SLICE("*10\r\n$16384\r\n"), &strange, &used), PARSE_MORE);
    CU_ASSERT_EQUAL(resp_req_wants(&r), 16386);
    resp_req_fini(&r);
}

/* So that the connection can make room for a large value once. */
static void a_large_bulk_says_how_much_is_missing(void)
{
    struct resp_req r;
    size_t used;

    resp_req_init(&r);
    CU_ASSERT_EQUAL(resp_req_parse(&r, SLICE("*2\r\n$1000000\r\nabc"), &limits, &used), PARSE_MORE);
    CU_ASSERT_EQUAL(resp_req_wants(&r), 1000000 + 2 - 3);
    resp_req_fini(&r);
}

/* What a client promises costs nothing; what it sends costs at most in proportion. */
static void a_promise_takes_no_memory(void)
{
    static const struct resp_limits wide = {1 << 20, 1 << 20, 65536, false};
    struct resp_req r;
    struct buf in = {0};
    size_t used;

    resp_req_init(&r);
    CU_ASSERT_EQUAL(resp_req_parse(&r, SLICE("*1048576\r\n"), &wide, &used), PARSE_MORE);
    CU_ASSERT_PTR_EQUAL(r.args, r.few);
    resp_req_reset(&r);
    CU_ASSERT_EQUAL(buf_append_str(&in, "*5000\r\n"), 0);
    for (int i = 0; i < 5000; i++) {
        CU_ASSERT_EQUAL(buf_append_str(&in, "$1\r\nx\r\n"), 0);
    }
    CU_ASSERT_EQUAL(resp_req_parse(&r, buf_slice(&in), &wide, &used), PARSE_DONE);
    CU_ASSERT_EQUAL(r.argc, 5000);
    CU_ASSERT(r.args_cap < 2 * 5000);
    resp_req_reset(&r); /* gives it back */
    CU_ASSERT_PTR_EQUAL(r.args, r.few);
    resp_req_fini(&r);
    buf_fini(&in);
}

static void without_memory_the_request_is_refused(void)
{
    static const char ten[] =
        "*10\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n"
        "$1\r\n6\r\n$1\r\n7\r\n$1\r\n8\r\n$1\r\n9\r\n";
    static const char *const rows[] = {ten, "PING\r\n"};

    for (size_t i = 0; i < 2; i++) {
        struct resp_req r;
        size_t used;

        resp_req_init(&r);
        fault_fail_nth(1);
        CU_ASSERT_EQUAL(resp_req_parse(&r, slice_of(rows[i]), &limits, &used), PARSE_BAD);
        CU_ASSERT(fault_off() >= 1);
        CU_ASSERT_STRING_EQUAL(r.error, P "out of memory");
        resp_req_fini(&r);
    }
}

const struct unit_test test_resp_req[] = {
    UNIT(reads_requests_of_both_kinds),           UNIT(resumes_at_every_split),
    UNIT(refuses_with_redis_words_and_the_place), UNIT(strangers_may_send_little),
    UNIT(a_large_bulk_says_how_much_is_missing),  UNIT(a_promise_takes_no_memory),
    UNIT(without_memory_the_request_is_refused),  UNIT_END,
};
