#include "proto/resp_reply.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/rand.h"
#include "proto/reply.h"
#include "tests/lib/unit.h"

#include <stdio.h>

#define A "\x01"
#define MARKED_NULL                                                                                \
    "\x01"                                                                                         \
    "a_\r\n"
#define MARKED_MAP                                                                                 \
    "\x01"                                                                                         \
    "p%"
#define MARKED_PAIRS                                                                               \
    "\x01"                                                                                         \
    "f*"

/* clang-format off */
static const struct {
    struct slice resp3, resp2;
} rows[] = {
    {{NULL, 0}, SLICE("")},
    {SLICE("+OK\r\n:-5\r\n$3\r\na\r\n\r\n-ERR x\r\n*0\r\n"),
     SLICE("+OK\r\n:-5\r\n$3\r\na\r\n\r\n-ERR x\r\n*0\r\n")},
    {SLICE("_\r\n"), SLICE("$-1\r\n")},
    {SLICE(MARKED_NULL), SLICE("*-1\r\n")},
    {SLICE("$-1\r\n*-1\r\n"), SLICE("$-1\r\n*-1\r\n")},
    {SLICE("#t\r\n#f\r\n"), SLICE(":1\r\n:0\r\n")},
    {SLICE(",1.5\r\n,inf\r\n,-inf\r\n,nan\r\n"),
     SLICE("$3\r\n1.5\r\n$3\r\ninf\r\n$4\r\n-inf\r\n$3\r\nnan\r\n")},
    {SLICE("(12345678901234567890123\r\n"), SLICE("$23\r\n12345678901234567890123\r\n")},
    {SLICE("=6\r\ntxt:ab\r\n=4\r\ntxt:\r\n"), SLICE("$2\r\nab\r\n$0\r\n\r\n")},
    {SLICE("!7\r\nERR a\r\n\r\n"), SLICE("-ERR a  \r\n")},
    {SLICE("~2\r\n+a\r\n_\r\n"), SLICE("*2\r\n+a\r\n$-1\r\n")},
    {SLICE(">2\r\n+a\r\n+b\r\n"), SLICE("*2\r\n+a\r\n+b\r\n")},
    {SLICE("%2\r\n+a\r\n:1\r\n+b\r\n%1\r\n_\r\n#t\r\n"),
     SLICE("*4\r\n+a\r\n:1\r\n+b\r\n*2\r\n$-1\r\n:1\r\n")},
    {SLICE("%0\r\n"), SLICE("*0\r\n")},
    /* XREAD: pairs, whose values have children of their own */
    {SLICE(MARKED_MAP "2\r\n+a\r\n*2\r\n:1\r\n:2\r\n+b\r\n*0\r\n+next\r\n"),
     SLICE("*2\r\n*2\r\n+a\r\n*2\r\n:1\r\n:2\r\n*2\r\n+b\r\n*0\r\n+next\r\n")},
    {SLICE("*1\r\n" MARKED_MAP "1\r\n" MARKED_NULL MARKED_MAP "1\r\n+k\r\n+v\r\n"),
     SLICE("*1\r\n*1\r\n*2\r\n*-1\r\n*1\r\n*2\r\n+k\r\n+v\r\n")},
    /* ZRANGE WITHSCORES: flat in RESP2 */
    {SLICE(MARKED_PAIRS "2\r\n*2\r\n$1\r\na\r\n,1\r\n*2\r\n$1\r\nb\r\n,2.5\r\n"),
     SLICE("*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$3\r\n2.5\r\n")},
    {SLICE(MARKED_PAIRS "1\r\n*2\r\n*1\r\n*2\r\n:1\r\n:2\r\n_\r\n"),
     SLICE("*2\r\n*1\r\n*2\r\n:1\r\n:2\r\n$-1\r\n")},
    {SLICE(MARKED_PAIRS "0\r\n"), SLICE("*0\r\n")},
    /* attributes, also inside, and with attributes of their own */
    {SLICE("|1\r\n+ttl\r\n:5\r\n+OK\r\n"), SLICE("+OK\r\n")},
    {SLICE("*2\r\n:1\r\n|1\r\n|1\r\n+x\r\n+y\r\n+k\r\n%1\r\n:1\r\n:2\r\n_\r\n:3\r\n"),
     SLICE("*2\r\n:1\r\n$-1\r\n:3\r\n")},
    /* a mark that means nothing there */
    {SLICE("\x01" "f~1\r\n:1\r\n" A "p>1\r\n:1\r\n"), SLICE("*1\r\n:1\r\n*1\r\n:1\r\n")},
    {SLICE(A "p:1\r\n" A "a*1\r\n" A "f$1\r\nx\r\n"), SLICE(":1\r\n*1\r\n$1\r\nx\r\n")},
};

static const struct slice corrupt[] = {
    SLICE("x\r\n"), SLICE("+OK"), SLICE("+OK\r"), SLICE("+OK\rx"), SLICE("$5\r\nabc\r\n"),
    SLICE("$3\r\nabcxx"), SLICE("$x\r\n"), SLICE("$-2\r\n"), SLICE("$?\r\n"), SLICE("*2\r\n:1\r\n"),
    SLICE("%1\r\n:1\r\n"), SLICE("%-1\r\n"), SLICE("=3\r\ntxt\r\n"), SLICE("$\r\n"), SLICE("\x01"),
    SLICE("*99999999999999\r\n"), SLICE("*4294967296\r\n"), SLICE("|1\r\n:1\r\n"), SLICE("\x01p"),
    SLICE(MARKED_PAIRS "1\r\n:1\r\n"), SLICE(MARKED_PAIRS "1\r\n*1\r\n:1\r\n"), SLICE("\r\n"),
};
/* clang-format on */

static void says_in_resp2_what_redis_says(void)
{
    struct buf out = {0};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buf_clear(&out);
        CU_ASSERT_EQUAL(resp_reply_to2(unit_guard(rows[i].resp3), &out), OK);
        if (!slice_is(buf_slice(&out), rows[i].resp2)) {
            fprintf(stderr, "row %zu: %.*s\n", i, (int)out.len, out.ptr);
            CU_FAIL("differs");
        }
    }
    buf_fini(&out);
}

static void refuses_what_is_no_whole_reply(void)
{
    struct buf out = {0};

    for (size_t i = 0; i < sizeof(corrupt) / sizeof(corrupt[0]); i++) {
        struct slice in = unit_guard(corrupt[i]);
        struct resp_reader r = {in, 0};

        buf_clear(&out);
        if (resp_reply_to2(in, &out) != ERR_CORRUPT) {
            fprintf(stderr, "row %zu\n", i);
            CU_FAIL("accepted");
        }
        while (r.at < in.len) { /* the pairs marked flat are whole, only not pairs */
            if (resp_reply_skip(&r) != PARSE_DONE) {
                break;
            }
        }
        CU_ASSERT_EQUAL(r.at == in.len, in.len > 2 && in.ptr[1] == 'f');
    }
    buf_fini(&out);
}

/* Cut anywhere, a reply asks for more and reads nothing past the cut. */
static void every_cut_asks_for_more(void)
{
    for (size_t i = 1; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct resp_reader whole = {rows[i].resp3, 0};
        size_t first;

        CU_ASSERT_EQUAL(resp_reply_skip(&whole), PARSE_DONE);
        first = whole.at;
        for (size_t n = 0; n < first; n++) {
            struct resp_reader r = {unit_guard((struct slice){rows[i].resp3.ptr, n}), 0};

            CU_ASSERT_EQUAL(resp_reply_skip(&r), PARSE_MORE);
            CU_ASSERT_EQUAL(r.at, 0);
        }
    }
}

static void nesting_is_bounded_where_it_is_followed(void)
{
    struct buf in = {0}, out = {0};
    struct resp_reader r;

    for (int i = 0; i < RESP_REPLY_DEPTH_MAX; i++) {
        CU_ASSERT_EQUAL(buf_append_str(&in, "*1\r\n"), OK);
    }
    CU_ASSERT_EQUAL(buf_append_str(&in, "_\r\n"), OK);
    CU_ASSERT_EQUAL(resp_reply_to2(buf_slice(&in), &out), OK);
    CU_ASSERT_EQUAL(out.len, in.len + 2);
    in.len -= 3;
    for (int i = 0; i < 100000; i++) {
        CU_ASSERT_EQUAL(buf_append_str(&in, "*1\r\n"), OK);
    }
    CU_ASSERT_EQUAL(buf_append_str(&in, "_\r\n"), OK);
    CU_ASSERT_EQUAL(resp_reply_to2(buf_slice(&in), &out), ERR_LIMIT);
    r = (struct resp_reader){buf_slice(&in), 0};
    CU_ASSERT_EQUAL(resp_reply_skip(&r), PARSE_DONE);
    CU_ASSERT_EQUAL(r.at, in.len);
    buf_fini(&in);
    buf_fini(&out);
}

static void strips_marks_and_nothing_else(void)
{
    struct slice marked =
        SLICE("*3\r\n" MARKED_NULL MARKED_MAP "1\r\n:1\r\n$4\r\n\x01p%1\r\n#t\r\n");
    struct slice plain = SLICE("*3\r\n_\r\n%1\r\n:1\r\n$4\r\n\x01p%1\r\n#t\r\n");
    struct buf out = {0};

    CU_ASSERT_EQUAL(resp_reply_strip(unit_guard(marked), &out), OK);
    CU_ASSERT(slice_is(buf_slice(&out), plain)); /* bytes inside a bulk are not marks */
    buf_fini(&out);
}

static struct buf scratch;

static void settle2(struct reply *r, size_t from)
{
    resp_reply_settle2(r, from, &scratch);
}

static void settle3(struct reply *r, size_t from)
{
    resp_reply_settle3(r, from, &scratch);
}

/* Only the head of such a map is written anew, which must not show. */
static void settles_a_map_of_plain_values(void)
{
    static const size_t counts[] = {0, 4, 5, 49, 50, 60};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        for (int with_null = 0; with_null < 2; with_null++) {
            struct reply r, plain;

            reply_init(&r);
            reply_init(&plain);
            r.settle = settle2;
            r.watched = REPLY_DIFFERS;
            reply_ok(&r);
            size_t from = reply_begin(&r);

            reply_map(&r, counts[i]);
            reply_ok(&plain);
            reply_array(&plain, 2 * counts[i]);
            for (size_t n = 0; n < counts[i]; n++) {
                reply_bulk(&r, SLICE("name"));
                reply_bulk(&plain, SLICE("name"));
                if (with_null) {
                    reply_null(&r);
                    (void)!buf_append_str(&plain.out, "$-1\r\n");
                } else {
                    reply_int(&r, (int64_t)n);
                    reply_int(&plain, (int64_t)n);
                }
            }
            reply_end(&r, from);
            CU_ASSERT(slice_is(buf_slice(&r.out), buf_slice(&plain.out)));
            reply_fini(&r);
            reply_fini(&plain);
        }
    }
}

static void settles_one_reply_of_many(void)
{
    struct reply r;
    size_t from;

    reply_init(&r);
    r.settle = settle2;
    r.watched = REPLY_DIFFERS;
    from = reply_begin(&r);
    reply_ok(&r);
    reply_end(&r, from);
    from = reply_begin(&r);
    reply_null(&r);
    reply_end(&r, from);
    from = reply_begin(&r);
    reply_map(&r, 1);
    reply_int(&r, 1);
    reply_null_array(&r);
    reply_end(&r, from);
    CU_ASSERT(slice_is(buf_slice(&r.out), SLICE("+OK\r\n$-1\r\n*2\r\n:1\r\n*-1\r\n")));
    r.out.len = 0;
    r.settle = settle3;
    r.watched = REPLY_MARKED;
    from = reply_begin(&r);
    reply_pairs(&r, 1);
    reply_array(&r, 2);
    reply_int(&r, 1);
    reply_null_array(&r);
    reply_end(&r, from);
    CU_ASSERT(slice_is(buf_slice(&r.out), SLICE("*1\r\n*2\r\n:1\r\n_\r\n")));
    CU_ASSERT_FALSE(r.failed);
    reply_fini(&r);
    buf_fini(&scratch);
}

static void without_memory_it_says_so(void)
{
    for (size_t i = 1; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int err;
        int nth = 0;

        do {
            struct buf out = {0};

            fault_fail_nth(++nth);
            err = resp_reply_to2(rows[i].resp3, &out);
            (void)fault_off();
            CU_ASSERT(err == OK || err == ERR_NOMEM);
            buf_fini(&out);
        } while (err != OK && nth < 50);
        CU_ASSERT_EQUAL(err, OK);
        CU_ASSERT(nth > 1);
    }
}

static size_t ticked, ticks_left;

static bool tick(size_t work)
{
    ticked += work;
    return ticks_left-- > 0;
}

/* Each row many times over, as one long array behind what was there: the same as at once, ticking. */
static void a_long_reply_is_settled_in_pieces(void)
{
    enum { TIMES = 100 };

    for (size_t i = 1; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf want = {0};
        struct reply r;

        reply_init(&r);
        CU_ASSERT_EQUAL(buf_append_str(&r.out, "before"), OK);
        CU_ASSERT_EQUAL(buf_append_str(&want, "before"), OK);
        for (int k = 0; k < TIMES; k++) {
            CU_ASSERT_EQUAL(buf_append_slice(&r.out, rows[i].resp3), OK);
            CU_ASSERT_EQUAL(buf_append_slice(&want, rows[i].resp2), OK);
        }
        r.flags = REPLY_ERROR | REPLY_DIFFERS | REPLY_DIFFERS_MORE | REPLY_MARKED;
        ticked = 0;
        ticks_left = SIZE_MAX;
        resp_reply_settle_ahead(&r, strlen("before"), 2, tick);
        CU_ASSERT_FALSE(r.failed);
        CU_ASSERT_TRUE(ticked >= TIMES / 2);
        CU_ASSERT_EQUAL(r.flags, REPLY_ERROR);
        CU_ASSERT(slice_is(buf_slice(&r.out), buf_slice(&want)));
        reply_fini(&r);
        buf_fini(&want);
    }
}

static void a_long_reply_is_stripped_in_pieces(void)
{
    for (size_t left = 0; left < 20; left++) {
        struct buf want = {0};
        struct reply r;

        reply_init(&r);
        for (int k = 0; k < 50; k++) {
            reply_null_array(&r);
        }
        CU_ASSERT_EQUAL(resp_reply_strip(buf_slice(&r.out), &want), OK);
        ticks_left = left;
        resp_reply_settle_ahead(&r, 0, 3, tick);
        if (left < 6) {
            CU_ASSERT_TRUE(r.failed); /* it was told to stop */
        } else {
            CU_ASSERT(slice_is(buf_slice(&r.out), buf_slice(&want)));
        }
        reply_fini(&r);
        buf_fini(&want);
    }
}

const struct unit_test test_resp_reply[] = {
    UNIT(says_in_resp2_what_redis_says),
    UNIT(refuses_what_is_no_whole_reply),
    UNIT(every_cut_asks_for_more),
    UNIT(nesting_is_bounded_where_it_is_followed),
    UNIT(strips_marks_and_nothing_else),
    UNIT(settles_a_map_of_plain_values),
    UNIT(settles_one_reply_of_many),
    UNIT(a_long_reply_is_settled_in_pieces),
    UNIT(a_long_reply_is_stripped_in_pieces),
    UNIT(without_memory_it_says_so),
    UNIT_END,
};
