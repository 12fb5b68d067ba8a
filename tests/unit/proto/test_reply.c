#include "proto/reply.h"

#include "base/fault.h"
#include "proto/resp_reply.h"
#include "tests/lib/unit.h"

#include <math.h>
#include <stdio.h>

static void expect(struct reply *r, struct slice bytes, uint32_t flags)
{
    CU_ASSERT(slice_is(buf_slice(&r->out), bytes));
    if (!slice_is(buf_slice(&r->out), bytes)) {
        fprintf(stderr, "%.*s\n", (int)r->out.len, r->out.ptr);
    }
    CU_ASSERT_EQUAL(r->flags & ~(uint32_t)REPLY_DIFFERS_MORE, flags);
    CU_ASSERT_FALSE(r->failed);
    reply_restart(r, 0);
}

static void each_kind_has_its_bytes_and_flags(void)
{
    const uint32_t marked = REPLY_DIFFERS | REPLY_MARKED;
    char wide[1000];
    struct reply r;

    memset(wide, 'w', sizeof(wide));
    reply_init(&r);
    (void)reply_begin(&r);
    reply_ok(&r);
    expect(&r, SLICE("+OK\r\n"), 0);
    reply_simple(&r, SLICE("PONG"));
    expect(&r, SLICE("+PONG\r\n"), 0);
    reply_bulk(&r, SLICE("a\0b"));
    expect(&r, SLICE("$3\r\na\0b\r\n"), 0);
    reply_bulk(&r, (struct slice){NULL, 0});
    expect(&r, SLICE("$0\r\n\r\n"), 0);
    reply_bulk(&r, SLICE("0123456789"));
    expect(&r, SLICE("$10\r\n0123456789\r\n"), 0);
    reply_bulk(&r, (struct slice){wide, sizeof(wide)});
    CU_ASSERT_EQUAL(r.out.len, 7 + 1000 + 2);
    CU_ASSERT_EQUAL(memcmp(r.out.ptr, "$1000\r\nw", 8), 0);
    reply_restart(&r, 0);
    reply_int(&r, 0);
    reply_int(&r, 99);
    reply_int(&r, 100);
    reply_int(&r, -7);
    reply_int(&r, INT64_MIN);
    reply_int(&r, INT64_MAX);
    expect(&r,
           SLICE(":0\r\n:99\r\n:100\r\n:-7\r\n:-9223372036854775808\r\n:9223372036854775807\r\n"),
           0);
    reply_null(&r);
    expect(&r, SLICE("_\r\n"), REPLY_DIFFERS);
    reply_null_array(&r);
    expect(&r,
           SLICE("\x01"
                 "a_\r\n"),
           marked);
    reply_double(&r, 1.5);
    reply_double(&r, -INFINITY);
    expect(&r, SLICE(",1.5\r\n,-inf\r\n"), REPLY_DIFFERS);
    reply_bool(&r, true);
    reply_bool(&r, false);
    expect(&r, SLICE("#t\r\n#f\r\n"), REPLY_DIFFERS);
    reply_big(&r, SLICE("123"));
    expect(&r, SLICE("(123\r\n"), REPLY_DIFFERS);
    reply_verbatim(&r, "txt", SLICE("hi"));
    expect(&r, SLICE("=6\r\ntxt:hi\r\n"), REPLY_DIFFERS);
    reply_bulk_begin(&r, 5);
    reply_bulk_piece(&r, SLICE("ab"));
    reply_bulk_piece(&r, SLICE(""));
    reply_bulk_piece(&r, SLICE("cde"));
    reply_bulk_end(&r);
    expect(&r, SLICE("$5\r\nabcde\r\n"), 0);
    reply_array(&r, 12);
    expect(&r, SLICE("*12\r\n"), 0);
    reply_set(&r, 1);
    expect(&r, SLICE("~1\r\n"), REPLY_DIFFERS);
    reply_map(&r, 1);
    expect(&r, SLICE("%1\r\n"), REPLY_DIFFERS);
    reply_push(&r, 1);
    expect(&r, SLICE(">1\r\n"), REPLY_DIFFERS);
    reply_map_of_pairs(&r, 1);
    expect(&r, SLICE("\x01p%1\r\n"), marked);
    reply_pairs(&r, 1);
    expect(&r,
           SLICE("\x01"
                 "f*1\r\n"),
           marked);
    reply_fini(&r);
}

static void errors_are_one_line_and_counted(void)
{
    struct reply r;

    reply_init(&r);
    (void)reply_begin(&r);
    reply_err(&r, WIRE_SYNTAX);
    expect(&r, SLICE("-ERR syntax error\r\n"), REPLY_ERROR);
    reply_errf(&r, "ERR unknown command '%s'", "a\r\n+OK\r\n");
    expect(&r, SLICE("-ERR unknown command 'a  +OK  '\r\n"), REPLY_ERROR);
    CU_ASSERT_STRING_EQUAL(wire_err_text(WIRE_NOAUTH), "NOAUTH Authentication required.");
    CU_ASSERT_EQUAL(wire_err_http(WIRE_NOAUTH), 401);
    for (int e = 0; e < WIRE_ERRS; e++) {
        CU_ASSERT_PTR_NULL(strpbrk(wire_err_text((enum wire_err)e), "\r\n"));
    }
    reply_fini(&r);
}

static void counts_may_come_at_the_end(void)
{
    static const size_t counts[] = {0, 1, 9, 10, 99, 100, 12345};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct reply r, plain;
        size_t outer, inner;

        reply_init(&r);
        reply_init(&plain);
        (void)reply_begin(&r);
        outer = reply_array_later(&r);
        inner = reply_array_later(&r);
        for (size_t n = 0; n < counts[i]; n++) {
            reply_int(&r, (int64_t)n);
        }
        reply_set_count(&r, inner, counts[i]);
        inner = reply_array_later(&r);
        reply_map_count(&r, inner, 0);
        reply_array_count(&r, outer, 2);
        reply_array(&plain, 2);
        reply_set(&plain, counts[i]);
        for (size_t n = 0; n < counts[i]; n++) {
            reply_int(&plain, (int64_t)n);
        }
        reply_map(&plain, 0);
        CU_ASSERT(slice_is(buf_slice(&r.out), buf_slice(&plain.out)));
        CU_ASSERT_EQUAL(r.flags, REPLY_DIFFERS | REPLY_DIFFERS_MORE);
        reply_fini(&r);
        reply_fini(&plain);
    }
}

static int settled;

static void settle(struct reply *r, size_t from)
{
    settled++;
    r->out.len = from;
    reply_simple(r, SLICE("settled"));
}

static void settle_is_called_for_watched_flags_only(void)
{
    struct reply r;
    size_t from;

    settled = 0;
    reply_init(&r);
    r.settle = settle;
    from = reply_begin(&r);
    reply_null(&r);
    reply_end(&r, from);
    CU_ASSERT_EQUAL(settled, 0);
    r.watched = REPLY_DIFFERS;
    from = reply_begin(&r);
    reply_ok(&r);
    reply_end(&r, from);
    CU_ASSERT_EQUAL(settled, 0);
    from = reply_begin(&r);
    reply_null(&r);
    reply_restart(&r, from); /* and its flags are forgotten */
    reply_ok(&r);
    reply_end(&r, from);
    CU_ASSERT_EQUAL(settled, 0);
    from = reply_begin(&r);
    reply_null(&r);
    reply_end(&r, from);
    CU_ASSERT_EQUAL(settled, 1);
    CU_ASSERT(slice_is(buf_slice(&r.out), SLICE("_\r\n+OK\r\n+OK\r\n+settled\r\n")));
    r.watched = REPLY_ALWAYS;
    from = reply_begin(&r);
    reply_ok(&r);
    reply_end(&r, from);
    CU_ASSERT_EQUAL(settled, 2);
    reply_fini(&r);
}

static void write_all_kinds(struct reply *r)
{
    char wide[300];
    size_t at = reply_array_later(r);

    memset(wide, 'w', sizeof(wide));
    reply_bulk(r, (struct slice){wide, sizeof(wide)});
    reply_errf(r, "ERR %.*s", 200, wide);
    reply_verbatim(r, "txt", (struct slice){wide, sizeof(wide)});
    reply_bulk_begin(r, sizeof(wide));
    reply_bulk_piece(r, (struct slice){wide, sizeof(wide)});
    reply_bulk_end(r);
    for (int i = 0; i < 100; i++) {
        reply_int(r, i);
        reply_null(r);
        reply_double(r, 0.5 * i);
        reply_err(r, WIRE_NOMEM);
    }
    reply_array_count(r, at, 404);
}

/* A handler need not look, so after a failure every call must be harmless, and the reply must not
 * look whole. */
static void without_memory_the_rest_is_dropped(void)
{
    int nth = 0;
    bool failed;

    do {
        struct reply r;
        struct resp_reader in;
        size_t len;

        reply_init(&r);
        fault_fail_nth(++nth);
        write_all_kinds(&r);
        (void)fault_off();
        failed = r.failed;
        len = r.out.len;
        if (failed) {
            write_all_kinds(&r);
            CU_ASSERT_EQUAL(r.out.len, len);
        } else {
            in = (struct resp_reader){buf_slice(&r.out), 0};
            CU_ASSERT_EQUAL(resp_reply_skip(&in), PARSE_DONE);
            CU_ASSERT_EQUAL(in.at, len);
        }
        reply_fini(&r);
    } while (failed && nth < 100);
    CU_ASSERT_FALSE(failed);
    CU_ASSERT(nth > 4);
}

const struct unit_test test_reply[] = {
    UNIT(each_kind_has_its_bytes_and_flags),  UNIT(errors_are_one_line_and_counted),
    UNIT(counts_may_come_at_the_end),         UNIT(settle_is_called_for_watched_flags_only),
    UNIT(without_memory_the_rest_is_dropped), UNIT_END,
};
