#include "base/mem.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "tests/lib/unit.h"

#include <string.h>

enum { MIB = 1 << 20 };

static void fill(char *p, size_t len)
{
    for (size_t i = 0; i < len; i += 1000) {
        p[i] = (char)(i / 1000);
    }
}

static bool is_filled(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i += 1000) {
        if (p[i] != (char)(i / 1000)) {
            return false;
        }
    }
    return true;
}

/* Over the lengths at which a block becomes a map, gets huge pages, and back. */
static void keeps_its_bytes_whatever_its_length(void)
{
    static const size_t lengths[] = {1000,    MIB - 1,      MIB, MIB + 1,      MIB * 3 / 2,
                                     4 * MIB, 4 * MIB + 77, MIB, 20 * MIB + 1, 700};
    size_t was = lengths[0];
    char *p = mem_alloc(was);

    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    fill(p, was);
    for (size_t i = 1; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        p = mem_realloc(p, was, lengths[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        CU_ASSERT_TRUE(is_filled(p, was < lengths[i] ? was : lengths[i]));
        was = lengths[i];
        fill(p, was);
    }
    mem_free(p, was);
    p = mem_realloc(NULL, 0, 2 * MIB);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    fill(p, 2 * MIB);
    mem_free(p, 2 * MIB);
}

static void zeroed_is_zeroed(void)
{
    static const size_t lengths[] = {128, MIB, MIB + 64, 5 * MIB};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char *p = mem_zalloc(lengths[i]);
        char *lines = mem_alloc_lines(lengths[i]);

        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        CU_ASSERT_PTR_NOT_NULL_FATAL(lines);
        CU_ASSERT_EQUAL((uintptr_t)lines % 64, 0);
        CU_ASSERT_TRUE(p[0] == 0 && memcmp(p, p + 1, lengths[i] - 1) == 0);
        CU_ASSERT_TRUE(lines[0] == 0 && memcmp(lines, lines + 1, lengths[i] - 1) == 0);
        memset(p, 1, lengths[i]);
        mem_free(p, lengths[i]);
        mem_free(lines, lengths[i]);
    }
}

/* More than there are addresses is refused, and what was there stays. */
static void too_much_is_refused(void)
{
    char *p = mem_alloc(2 * MIB);

    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    fill(p, 2 * MIB);
    if (mem_is_mapped(2 * MIB)) { /* the sanitizers end the process for it */
        CU_ASSERT_PTR_NULL(mem_alloc(SIZE_MAX / 4));
        CU_ASSERT_PTR_NULL(mem_realloc(p, 2 * MIB, SIZE_MAX / 4));
    }
    fault_fail_nth(1);
    CU_ASSERT_PTR_NULL(mem_realloc(p, 2 * MIB, 3 * MIB));
    (void)fault_off();
    CU_ASSERT_TRUE(is_filled(p, 2 * MIB));
    mem_free(p, 2 * MIB);
}

/* INFO's figures hold maps too, and lose them again. */
static void maps_are_counted(void)
{
    struct mem_stats before, with, after;
    char *p;

    mem_stats(&before);
    p = mem_alloc(32 * MIB);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    p = mem_realloc(p, 32 * MIB, 64 * MIB);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    mem_stats(&with);
    mem_free(p, 64 * MIB);
    mem_stats(&after);
    if (mem_is_mapped(64 * MIB)) {
        CU_ASSERT_TRUE(with.allocated >= before.allocated + 64 * (uint64_t)MIB);
        CU_ASSERT_TRUE(after.allocated < before.allocated + 32 * (uint64_t)MIB);
    }
}

/* A buffer grows in steps of a half of itself; of a map none of them copies, so growing to a size costs about
 * as many bytes of memory as that size. */
static void a_large_buffer_is_moved_not_copied(void)
{
    struct buf b;
    const char *piece = "0123456789abcdef";

    buf_init(&b);
    for (size_t i = 0; i < (size_t)8 * MIB / 16; i++) {
        CU_ASSERT_EQUAL_FATAL(buf_append(&b, piece, 16), OK);
    }
    CU_ASSERT_EQUAL(b.len, (size_t)8 * MIB);
    CU_ASSERT_EQUAL(mem_size(b.cap), b.cap);
    for (size_t i = 0; i < b.len; i += 4096) {
        CU_ASSERT_EQUAL_FATAL(memcmp(b.ptr + i, piece, 16), 0);
    }
    buf_fini(&b);
}

const struct unit_test test_mem[] = {UNIT(keeps_its_bytes_whatever_its_length),
                                     UNIT(zeroed_is_zeroed),
                                     UNIT(too_much_is_refused),
                                     UNIT(maps_are_counted),
                                     UNIT(a_large_buffer_is_moved_not_copied),
                                     UNIT_END};
