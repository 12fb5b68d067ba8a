/* Errors by their code: told apart, bounded, exact over threads. */
#include "proto/error_count.h"
#include "tests/lib/unit.h"

#include <pthread.h>
#include <stdio.h>

static uint64_t count_of(const char *code)
{
    const char *at;
    uint64_t n;

    for (unsigned i = 0; error_count_at(i, &at, &n); i++) {
        if (strcmp(at, code) == 0) {
            return n;
        }
    }
    return 0;
}

static void counts_by_first_word(void)
{
    error_count_reset();
    error_count_note(SLICE("-WRONGTYPE Operation against a key\r\n"));
    error_count_note(SLICE("-ERR one\r\n"));
    error_count_note(SLICE("-ERR two\r\n"));
    error_count_note(SLICE("-OOM\r\n"));
    error_count_note(unit_guard(SLICE("-NOAUTH")));
    error_count_note(SLICE("-"));
    error_count_note(SLICE(""));
    CU_ASSERT_EQUAL(count_of("ERR"), 2);
    CU_ASSERT_EQUAL(count_of("WRONGTYPE"), 1);
    CU_ASSERT_EQUAL(count_of("OOM"), 1);
    CU_ASSERT_EQUAL(count_of("NOAUTH"), 1);
    CU_ASSERT_EQUAL(error_count_sum(), 5);
    error_count_reset();
    CU_ASSERT_EQUAL(error_count_sum(), 0);
    CU_ASSERT_EQUAL(count_of("ERR"), 0);
}

enum { THREADS = 4, EACH = 20000 };

static void *note_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < EACH; i++) {
        char text[32];

        snprintf(text, sizeof(text), "-RACE%d x", i % 20);
        error_count_note(slice_of(text));
    }
    return NULL;
}

static void threads_lose_none(void)
{
    pthread_t t[THREADS];

    error_count_reset();
    for (int i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, note_many, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    for (int i = 0; i < 20; i++) {
        char code[32];

        snprintf(code, sizeof(code), "RACE%d", i);
        CU_ASSERT_EQUAL(count_of(code), THREADS * EACH / 20);
    }
    error_count_reset();
}

/* A client that finds a way to choose the code cannot take more than the table. */
static void codes_are_bounded(void)
{
    error_count_reset();
    for (int i = 0; i < 1000; i++) {
        char text[64];

        snprintf(text, sizeof(text), "-CODE%d%s x", i, "a_very_long_code_of_more_than_31_bytes");
        error_count_note(slice_of(text));
    }
    CU_ASSERT(count_of("ERRORSTATS_OVERFLOW") >= 1000 - ERROR_CODES_MAX);
    CU_ASSERT_EQUAL(error_count_sum(), 1000);
    error_count_reset();
}

const struct unit_test test_error_count[] = {UNIT(counts_by_first_word), UNIT(threads_lose_none),
                                             UNIT(codes_are_bounded), UNIT_END};
