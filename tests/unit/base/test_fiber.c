/* Functions on stacks of their own. */
#include "base/fiber.h"

#include "tests/lib/unit.h"

#include <string.h>

struct counting {
    int steps, at;
    char deepest; /* so that nothing is left out */
};

/* Keeps what it needs on its own stack, which is deep. */
static void count(void *arg)
{
    struct counting *c = arg;
    char room[64 << 10];

    memset(room, c->steps, sizeof(room));
    for (int i = 0; i < c->steps; i++) {
        c->at = i;
        fiber_pause();
        CU_ASSERT_EQUAL(c->at, i);
    }
    c->deepest = room[sizeof(room) - 1];
}

static void they_go_on_where_they_left(void)
{
    enum { FIBERS = 5 };
    struct counting c[FIBERS];
    struct fiber *f[FIBERS];

    for (int round = 0; round < 2; round++) { /* stacks are used again */
        for (int i = 0; i < FIBERS; i++) {
            c[i] = (struct counting){.steps = i};
            f[i] = fiber_create(count, &c[i]);
            CU_ASSERT_PTR_NOT_NULL_FATAL(f[i]);
        }
        for (int step = 0; step < FIBERS; step++) {
            for (int i = step; i < FIBERS; i++) {
                CU_ASSERT_EQUAL(fiber_resume(f[i]), step == i);
            }
            CU_ASSERT_EQUAL(c[step].deepest, step);
            fiber_destroy(f[step]);
        }
    }
}

const struct unit_test test_fiber[] = {UNIT(they_go_on_where_they_left), UNIT_END};
