/* What is kept of slow commands, and what is not. */
#include "base/conf.h"
#include "node/options.h"
#include "node/slowlog.h"
#include "proto/cmd.h"
#include "proto/reply.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>

static const struct cmd_def get_def = {.name = "GET", .arity = 2};
static const struct cmd_def quiet_def = {.name = "AUTH", .arity = -2, .flags = CMD_QUIET};

static void set(struct conf_opt *opt, uint64_t n)
{
    atomic_store_explicit(&opt->word, n, memory_order_relaxed);
}

static void note(const struct cmd_def *def, struct slice *argv, uint32_t argc, int64_t usec)
{
    slowlog_note(&(struct slowlog_call){.def = def,
                                        .argv = argv,
                                        .argc = argc,
                                        .usec = usec,
                                        .peer = SLICE("127.0.0.1:5"),
                                        .name = SLICE("me")});
}

/* The entries as RESP; freed by the caller's reply_fini(). */
static const char *text_of(struct reply *r, uint64_t max)
{
    reply_init(r);
    slowlog_reply(r, max);
    CU_ASSERT_FATAL(buf_terminate(&r->out) == 0);
    return r->out.ptr;
}

static void begin(void)
{
    slowlog_reset();
    set(&opt_slowlog_log_slower_than, 100);
    set(&opt_slowlog_max_len, 3);
}

static void keeps_the_latest(void)
{
    struct slice argv[] = {SLICE("GET"), SLICE("k0")};
    struct reply r;
    const char *text;

    begin();
    for (int i = 0; i < 5; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        argv[1] = slice_of(key);
        note(&get_def, argv, 2, 100 + i);
    }
    CU_ASSERT_EQUAL(slowlog_count(), 3);
    text = text_of(&r, UINT64_MAX);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(text, ":104\r\n*2\r\n$3\r\nGET\r\n$2\r\nk4\r\n$11\r\n127.0.0.1:5\r\n$2\r\nme\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "k2"));
    CU_ASSERT_PTR_NULL(strstr(text, "k1"));
    CU_ASSERT(strstr(text, "k4") < strstr(text, "k3"));
    reply_fini(&r);
    text = text_of(&r, 1);
    CU_ASSERT_EQUAL(strncmp(text, "*1\r\n*6\r\n", 8), 0);
    CU_ASSERT_PTR_NULL(strstr(text, "k3"));
    reply_fini(&r);
    slowlog_reset();
    CU_ASSERT_EQUAL(slowlog_count(), 0);
}

static void leaves_out_quick_and_quiet(void)
{
    struct slice argv[] = {SLICE("AUTH"), SLICE("planted-secret")};

    begin();
    note(&get_def, argv, 2, 99);
    note(&quiet_def, argv, 2, 1000);
    CU_ASSERT_EQUAL(slowlog_count(), 0);
    set(&opt_slowlog_log_slower_than, (uint64_t)-1);
    note(&get_def, argv, 2, 1000000);
    CU_ASSERT_EQUAL(slowlog_count(), 0);
    set(&opt_slowlog_log_slower_than, 0);
    note(&get_def, argv, 2, 0);
    CU_ASSERT_EQUAL(slowlog_count(), 1);
    set(&opt_slowlog_max_len, 0);
    note(&get_def, argv, 2, 0);
    CU_ASSERT_EQUAL(slowlog_count(), 0);
}

/* 32 arguments of 128 bytes and no more, whatever the client sent. */
static void bounds_an_entry(void)
{
    static char big[1000000];
    struct slice argv[100];
    struct reply r;
    const char *text;

    begin();
    memset(big, 'x', sizeof(big));
    for (int i = 0; i < 100; i++) {
        argv[i] = unit_guard((struct slice){big, i % 2 == 0 ? 128 : 129});
    }
    argv[1] = (struct slice){big, sizeof(big)};
    note(&get_def, argv, 100, 1000);
    text = text_of(&r, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "... (999872 more bytes)\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "... (1 more bytes)\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "*32\r\n$128\r\nxxx"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\r\n$23\r\n... (69 more arguments)\r\n"));
    CU_ASSERT(r.out.len < 32 * 180 + 200);
    reply_fini(&r);
    slowlog_reset();
}

const struct unit_test test_slowlog[] = {UNIT(keeps_the_latest), UNIT(leaves_out_quick_and_quiet),
                                         UNIT(bounds_an_entry), UNIT_END};
