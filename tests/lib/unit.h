/* unit.h - a thin layer over CUnit: suites by wildcard, one line of result.
 *
 * tests/unit/<folder>/test_<file>.c holds static functions that use CU_ASSERT… and ends with
 *
 *    const struct unit_test test_buf[] = {UNIT(grows), UNIT(consumes), UNIT_END};
 *
 * The array's name is the file's, by which the Makefile finds it. One binary a folder:
 * build/<variant>/unit_base [SUITE [TEST]]
 */
#ifndef TESTS_LIB_UNIT_H
#define TESTS_LIB_UNIT_H

#include "base/slice.h"

#include <CUnit/CUnit.h>
#include <stdint.h>

struct unit_test {
    const char *name;
    void (*run)(void);
};

/* clang-format off */
#define UNIT(fn) {#fn, fn}
#define UNIT_END {NULL, NULL}
/* clang-format on */

struct unit_suite {
    const char *name;
    const struct unit_test *tests;
};

/* Made by the Makefile; ended by a NULL name. */
extern const struct unit_suite unit_suites[];

/* A copy that ends at an unmapped page, so that reading one byte too far dies. Good until the test
 * ends. */
struct slice unit_guard(struct slice s);

/* An empty folder of this test's own, removed with what it holds when the test ends. */
const char *unit_dir(void);

/* A path in it. Good until the test ends. */
const char *unit_path(const char *name);

/* What random tests begin with: GODWIT_TEST_SEED, or a new one that is printed if a test fails. */
uint64_t unit_seed(void);

#endif
