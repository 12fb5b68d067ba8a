#include "tests/lib/unit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

/* What a test took, in the order it took it. */
struct held {
    struct held *next;
    void *map;
    size_t map_len;
    char path[];
};

static struct held *held;
static char dir[64];
static uint64_t seed;
static bool seed_used;
static unsigned passed, failed;
static const char *only_suite, *only_test;

static struct held *hold(size_t extra)
{
    struct held *h = calloc(1, sizeof(*h) + extra);

    if (h == NULL) {
        abort();
    }
    h->next = held;
    held = h;
    return h;
}

struct slice unit_guard(struct slice s)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t len = (s.len + page - 1) / page * page + page;
    struct held *h = hold(0);
    char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED || mprotect(p + len - page, page, PROT_NONE) != 0) {
        abort();
    }
    h->map = p;
    h->map_len = len;
    p += len - page - s.len;
    if (s.len > 0) {
        memcpy(p, s.ptr, s.len);
    }
    return (struct slice){p, s.len};
}

const char *unit_dir(void)
{
    if (dir[0] == '\0') {
        (void)snprintf(dir, sizeof(dir), "/tmp/godwit-unit-XXXXXX");
        if (mkdtemp(dir) == NULL) {
            abort();
        }
    }
    return dir;
}

const char *unit_path(const char *name)
{
    size_t n = sizeof(dir) + strlen(name) + 2;
    struct held *h = hold(n);

    (void)snprintf(h->path, n, "%s/%s", unit_dir(), name);
    return h->path;
}

uint64_t unit_seed(void)
{
    const char *given = getenv("GODWIT_TEST_SEED");

    if (!seed_used) {
        seed_used = true;
        if (given != NULL) {
            seed = strtoull(given, NULL, 10);
        } else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
            abort();
        }
    }
    return seed;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void let_go(void)
{
    while (held != NULL) {
        struct held *h = held;

        held = h->next;
        if (h->map != NULL) {
            munmap(h->map, h->map_len);
        }
        free(h);
    }
    if (dir[0] != '\0') {
        (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        dir[0] = '\0';
    }
}

static void on_complete(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord failure)
{
    if (failure == NULL) {
        passed++;
    } else {
        failed++;
        printf("FAILED %s/%s\n", suite->pName, test->pName);
        for (const CU_FailureRecord *f = failure; f != NULL; f = f->pNext) {
            printf("    %s:%u: %s\n", f->strFileName, f->uiLineNumber, f->strCondition);
        }
        if (seed_used) {
            printf("    GODWIT_TEST_SEED=%llu\n", (unsigned long long)seed);
        }
        (void)fflush(stdout);
    }
    let_go();
}

static bool add_suite(const struct unit_suite *s)
{
    CU_pSuite suite;

    if (only_suite != NULL && strcmp(only_suite, s->name) != 0) {
        return true;
    }
    suite = CU_add_suite(s->name, NULL, NULL);
    for (const struct unit_test *t = s->tests; suite != NULL && t->name != NULL; t++) {
        if ((only_test == NULL || strcmp(only_test, t->name) == 0) &&
            CU_add_test(suite, t->name, t->run) == NULL) {
            return false;
        }
    }
    return suite != NULL;
}

int main(int argc, char **argv)
{
    only_suite = argc > 1 ? argv[1] : NULL;
    only_test = argc > 2 ? argv[2] : NULL;
    if (CU_initialize_registry() != CUE_SUCCESS) {
        return 2;
    }
    for (const struct unit_suite *s = unit_suites; s->name != NULL; s++) {
        if (!add_suite(s)) {
            printf("unit: cannot add %s: %s\n", s->name, CU_get_error_msg());
            return 2;
        }
    }
    CU_set_test_complete_handler(on_complete);
    (void)CU_run_all_tests();
    CU_cleanup_registry();
    if (passed + failed == 0) {
        printf("unit: no such test: %s %s\n", only_suite == NULL ? "" : only_suite,
               only_test == NULL ? "" : only_test);
        return 2;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
