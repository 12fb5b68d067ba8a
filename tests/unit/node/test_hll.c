#include "node/hll.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/rand.h"
#include "tests/lib/unit.h"

#include <stdio.h>

enum { SPARSE_MAX = 3000 };

static void add(struct buf *v, struct slice element, uint64_t sparse_max)
{
    uint32_t index;
    unsigned value = hll_hash(element, &index);
    bool changed;

    CU_ASSERT_EQUAL_FATAL(hll_raise(v, index, value, sparse_max, &changed), OK);
}

static void add_number(struct buf *v, uint64_t n, uint64_t sparse_max)
{
    char digits[BUF_I64_MAX];

    add(v, (struct slice){digits, buf_put_u64(digits, n)}, sparse_max);
}

/* What redis-server 7.0 makes of the same elements. */
static void bytes_are_redis_own(void)
{
    static const char *const elements[] = {"a", "b", "c",     "d",        "e",
                                           "f", "g", "hello", "12345678", ""};
    static const char *const runs =
        "Z:1646 v:1,1 Z:4291 v:2,1 Z:1353 v:1,1 Z:1085 v:2,1 z:57 v:1,1 Z:779 v:1,1 Z:1362 v:3,1 "
        "Z:2131 v:2,1 Z:2445 v:1,1 Z:622 v:1,1 Z:603";
    struct buf v = {0};
    struct buf text = {0};

    CU_ASSERT_EQUAL(hll_create(&v), OK);
    CU_ASSERT_TRUE(
        slice_is(buf_slice(&v), (struct slice){"HYLL\1\0\0\0\0\0\0\0\0\0\0\0\x7f\xff", 18}));
    for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++) {
        add(&v, slice_of(elements[i]), SPARSE_MAX);
    }
    CU_ASSERT_EQUAL(hll_decode(buf_slice(&v), &text), OK);
    CU_ASSERT_TRUE(slice_is(buf_slice(&text), slice_of(runs)));
    buf_fini(&text);
    buf_fini(&v);
}

static void estimate_of(const struct buf *v, uint64_t *out)
{
    static uint8_t registers[HLL_REGISTERS];

    memset(registers, 0, sizeof(registers));
    CU_ASSERT_EQUAL(hll_merge(buf_slice(v), registers), OK);
    *out = hll_estimate(registers);
}

/* Both forms hold the same, and count well: the error of 16384 registers is 0.8 %. */
static void forms_agree_and_count(void)
{
    struct buf sparse = {0};
    struct buf dense = {0};
    uint64_t a;
    uint64_t b;
    uint64_t was_sparse = 0;

    CU_ASSERT_EQUAL(hll_create(&sparse), OK);
    CU_ASSERT_EQUAL(hll_create(&dense), OK);
    CU_ASSERT_EQUAL(hll_make_dense(&dense), OK);
    CU_ASSERT_EQUAL(dense.len, HLL_DENSE_BYTES);
    for (uint64_t i = 1; i <= 100000; i++) {
        add_number(&sparse, i, SPARSE_MAX);
        add_number(&dense, i, SPARSE_MAX);
        was_sparse += !hll_is_dense(buf_slice(&sparse));
        CU_ASSERT_FATAL(hll_is_dense(buf_slice(&sparse)) || sparse.len <= SPARSE_MAX);
        if ((i & (i - 1)) == 0 || i % 10000 == 0) {
            estimate_of(&sparse, &a);
            estimate_of(&dense, &b);
            CU_ASSERT_EQUAL(a, b);
            CU_ASSERT(a + i / 25 + 1 >= i && a <= i + i / 25 + 1);
        }
    }
    CU_ASSERT(was_sparse > 500 && was_sparse < 5000);
    CU_ASSERT_TRUE(slice_is((struct slice){sparse.ptr + HLL_HEAD, sparse.len - HLL_HEAD},
                            (struct slice){dense.ptr + HLL_HEAD, dense.len - HLL_HEAD}));
    buf_fini(&sparse);
    buf_fini(&dense);
}

static void registers_stand_beside_each_other(void)
{
    static uint8_t want[HLL_REGISTERS];
    static uint8_t got[HLL_REGISTERS];
    struct rand r = {unit_seed()};
    struct buf made = {0};

    CU_ASSERT_EQUAL(hll_create(&made), OK);
    CU_ASSERT_EQUAL(hll_make_dense(&made), OK);
    CU_ASSERT_EQUAL_FATAL(made.len, HLL_DENSE_BYTES);
    struct slice v = unit_guard(buf_slice(&made));

    buf_fini(&made);
    for (int i = 0; i < 60000; i++) {
        uint32_t at = (uint32_t)rand_below(&r, HLL_REGISTERS);

        want[at] = (uint8_t)rand_below(&r, 64);
        hll_set_register((char *)(uintptr_t)v.ptr, at, want[at]);
    }
    for (uint32_t i = 0; i < HLL_REGISTERS; i++) {
        CU_ASSERT_EQUAL_FATAL(hll_register(v, i), want[i]);
    }
    CU_ASSERT_EQUAL(hll_merge(v, got), OK);
    CU_ASSERT_EQUAL(memcmp(want, got, sizeof(got)), 0);
}

/* Registers that pass 32 have no place in a sparse value. */
static void a_high_register_makes_it_dense(void)
{
    struct buf v = {0};
    bool changed;

    CU_ASSERT_EQUAL(hll_create(&v), OK);
    CU_ASSERT_EQUAL(hll_raise(&v, 5, 32, SPARSE_MAX, &changed), OK);
    CU_ASSERT_FALSE(hll_is_dense(buf_slice(&v)));
    CU_ASSERT_EQUAL(hll_raise(&v, 16383, 33, SPARSE_MAX, &changed), OK);
    CU_ASSERT_TRUE(changed);
    CU_ASSERT_TRUE_FATAL(hll_is_dense(buf_slice(&v)));
    CU_ASSERT_EQUAL(hll_register(buf_slice(&v), 5), 32);
    CU_ASSERT_EQUAL(hll_register(buf_slice(&v), 16383), 33);
    CU_ASSERT_EQUAL(hll_raise(&v, 16383, 33, SPARSE_MAX, &changed), OK);
    CU_ASSERT_FALSE(changed);
    buf_fini(&v);
}

/* Whatever bytes a client has SET: an answer or ERR_CORRUPT, never a byte beyond the end. */
static void any_bytes_are_survived(void)
{
    static uint8_t registers[HLL_REGISTERS];
    struct rand r = {unit_seed()};
    size_t corrupt = 0;

    for (int i = 0; i < 20000; i++) {
        struct buf v = {0};
        struct buf text = {0};
        size_t n = rand_below(&r, 40);
        bool changed;

        CU_ASSERT_EQUAL_FATAL(hll_create(&v), OK);
        v.len -= rand_below(&r, 3);
        for (size_t k = 0; k < n; k++) {
            CU_ASSERT_EQUAL_FATAL(buf_append_char(&v, (char)rand_next(&r)), OK);
        }
        CU_ASSERT_TRUE(hll_is_one(buf_slice(&v)));
        struct slice guarded = unit_guard(buf_slice(&v));
        int err = hll_merge(guarded, registers);

        CU_ASSERT(err == OK || err == ERR_CORRUPT);
        corrupt += err != OK;
        CU_ASSERT_EQUAL(hll_decode(guarded, &text), err);
        for (int k = 0; k < 5; k++) {
            int raised = hll_raise(&v, (uint32_t)rand_below(&r, HLL_REGISTERS),
                                   1 + (unsigned)rand_below(&r, 51), 60, &changed);

            CU_ASSERT(raised == OK || (raised == ERR_CORRUPT && err != OK));
        }
        buf_fini(&text);
        buf_fini(&v);
    }
    CU_ASSERT(corrupt > 1000);
    CU_ASSERT_FALSE(hll_is_one(SLICE("HYLL\1")));
    CU_ASSERT_FALSE(hll_is_one((struct slice){"HYLL\0\0\0\0\0\0\0\0\0\0\0\0\0", 17}));
    CU_ASSERT_FALSE(hll_is_one((struct slice){"HYLL\2\0\0\0\0\0\0\0\0\0\0\0\0", 17}));
}

static void survives_every_fault(void)
{
    bool changed;

    for (int nth = 1; nth < 6; nth++) {
        struct buf v = {0};
        int err;

        CU_ASSERT_EQUAL(hll_create(&v), OK);
        fault_fail_nth(nth);
        err = hll_raise(&v, 7, 40, SPARSE_MAX, &changed);
        (void)fault_off();
        CU_ASSERT(err == OK || (err == ERR_NOMEM && v.len == 18 && nth == 1));
        buf_fini(&v);
    }
}

const struct unit_test test_hll[] = {
    UNIT(bytes_are_redis_own),
    UNIT(forms_agree_and_count),
    UNIT(registers_stand_beside_each_other),
    UNIT(a_high_register_makes_it_dense),
    UNIT(any_bytes_are_survived),
    UNIT(survives_every_fault),
    UNIT_END,
};
