#include "base/fault.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "tests/lib/unit.h"

enum { LARGE = 2 << 20, SMALL = 64, RESERVED = 3 };

/* A section that retired more than a megabyte met an assertion when there was no memory for a new
 * batch: the old one had left, and the places that were reserved in it with it. */
static void what_was_reserved_is_there_without_memory(void)
{
    void *blocks[RESERVED];

    rcu_register();
    CU_ASSERT_EQUAL_FATAL(rcu_reserve(RESERVED), 0);
    for (int i = 0; i < RESERVED; i++) {
        blocks[i] = mem_alloc(i == 0 ? LARGE : SMALL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(blocks[i]);
    }
    fault_fail_nth(1);
    for (int i = 0; i < RESERVED; i++) {
        rcu_retire(blocks[i], i == 0 ? LARGE : SMALL);
    }
    fault_off();
    CU_ASSERT_EQUAL(rcu_retired_bytes(), LARGE + (RESERVED - 1) * SMALL);
    rcu_drain();
    CU_ASSERT_EQUAL(rcu_retired_bytes(), 0);
    rcu_unregister();
}

const struct unit_test test_rcu[] = {UNIT(what_was_reserved_is_there_without_memory), UNIT_END};
