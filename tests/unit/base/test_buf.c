#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/rand.h"
#include "tests/lib/unit.h"

#include <stdio.h>

static void holds_what_was_appended(void)
{
    struct buf b;

    buf_init(&b);
    CU_ASSERT_EQUAL(buf_append_str(&b, "n="), OK);
    CU_ASSERT_EQUAL(buf_append_u64(&b, UINT64_MAX), OK);
    CU_ASSERT_EQUAL(buf_append_char(&b, ' '), OK);
    CU_ASSERT_EQUAL(buf_append_i64(&b, INT64_MIN), OK);
    CU_ASSERT_EQUAL(buf_printf(&b, " %s-%d", "x", 7), OK);
    CU_ASSERT(slice_is(buf_slice(&b), SLICE("n=18446744073709551615 -9223372036854775808 x-7")));
    CU_ASSERT_EQUAL(buf_terminate(&b), OK);
    CU_ASSERT_EQUAL(strlen(b.ptr), b.len);
    buf_fini(&b);
    CU_ASSERT_PTR_NULL(b.ptr);
}

static void consumes_from_the_front(void)
{
    struct buf b;

    buf_init(&b);
    CU_ASSERT_EQUAL(buf_append_str(&b, "hello world"), OK);
    buf_consume(&b, 0);
    buf_consume(&b, 6);
    CU_ASSERT(slice_is(buf_slice(&b), SLICE("world")));
    buf_consume(&b, 5);
    CU_ASSERT_EQUAL(b.len, 0);
    buf_fini(&b);
}

/* Memory is charged by what the allocator takes, so the capacity must be a size class. */
static void capacity_is_what_the_allocator_takes(void)
{
    struct buf b;

    buf_init(&b);
    for (int i = 0; i < 100000; i++) {
        CU_ASSERT_EQUAL_FATAL(buf_append(&b, "0123456789", 10), OK);
        if (mem_size(b.cap) != b.cap) {
            CU_FAIL("not a size class");
            break;
        }
    }
    CU_ASSERT_EQUAL(b.len, 1000000);
    CU_ASSERT(b.cap < 2200000);
    for (size_t i = 0; i < b.len; i += 9999) {
        CU_ASSERT_EQUAL(b.ptr[i], (char)('0' + i % 10));
    }
    buf_fini(&b);
}

static void shrinks_to_what_is_kept(void)
{
    struct buf b;

    buf_init(&b);
    CU_ASSERT_EQUAL(buf_reserve(&b, 100000), OK);
    CU_ASSERT_EQUAL(buf_append_str(&b, "kept"), OK);
    buf_shrink(&b, 2); /* does not fit: stays */
    CU_ASSERT(b.cap >= 100000);
    buf_shrink(&b, 64);
    CU_ASSERT_EQUAL(b.cap, 64);
    CU_ASSERT(slice_is(buf_slice(&b), SLICE("kept")));
    buf_clear(&b);
    buf_shrink(&b, 0);
    CU_ASSERT_PTR_NULL(b.ptr);
    buf_fini(&b);
}

static void refuses_absurd_lengths(void)
{
    struct buf b;

    buf_init(&b);
    CU_ASSERT_EQUAL(buf_append_str(&b, "x"), OK);
    CU_ASSERT_EQUAL(buf_reserve(&b, SIZE_MAX), ERR_NOMEM);
    CU_ASSERT_EQUAL(buf_reserve(&b, SIZE_MAX / 2 + 1), ERR_NOMEM);
    CU_ASSERT(slice_is(buf_slice(&b), SLICE("x")));
    buf_fini(&b);
}

static void writes_numbers_as_printf_does(void)
{
    struct rand r = {unit_seed()};

    for (int i = 0; i < 20000; i++) {
        char ours[BUF_I64_MAX], theirs[32];
        int64_t n = (int64_t)(rand_next(&r) >> rand_below(&r, 64));
        size_t len;

        n = i == 0 ? INT64_MIN : i == 1 ? 0 : i % 2 ? n : (int64_t)(0 - (uint64_t)n);
        len = buf_put_i64(ours, n);
        (void)snprintf(theirs, sizeof(theirs), "%lld", (long long)n);
        if (!slice_is((struct slice){ours, len}, slice_of(theirs))) {
            CU_FAIL("differs");
            return;
        }
    }
}

/* What fails leaves the bytes as they were. */
static void survives_every_fault(void)
{
    int nth = 0;
    bool done = false;

    while (!done && nth < 20) {
        struct buf b;

        buf_init(&b);
        fault_fail_nth(++nth);
        done = buf_append_str(&b, "first") == OK && buf_reserve(&b, 5000) == OK &&
               buf_printf(&b, " %09000d", 1) == OK && buf_append_u64(&b, 1) == OK;
        fault_off();
        CU_ASSERT(done || b.len == 0 || slice_is(buf_slice(&b), SLICE("first")));
        buf_fini(&b);
    }
    CU_ASSERT(done);
    CU_ASSERT(nth > 3);
}

const struct unit_test test_buf[] = {
    UNIT(holds_what_was_appended),
    UNIT(consumes_from_the_front),
    UNIT(capacity_is_what_the_allocator_takes),
    UNIT(shrinks_to_what_is_kept),
    UNIT(refuses_absurd_lengths),
    UNIT(writes_numbers_as_printf_does),
    UNIT(survives_every_fault),
    UNIT_END,
};
