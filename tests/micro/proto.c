/* Nanoseconds of the codecs' hot calls, one line each. After `make`, by hand:
 *
 *    gcc -O2 -D_GNU_SOURCE -DGODWIT_RELEASE=1 -I. tests/micro/proto.c build/release/libgodwit.a \
 *        -ljemalloc -lurcu-qsbr -lprotobuf-c -lsodium -lxxhash -lm -o /tmp/micro && /tmp/micro */
#include "proto/change.h"
#include "proto/cmd.h"
#include "proto/reply.h"
#include "proto/resp_req.h"

#include <stdio.h>
#include <time.h>

#define ROUNDS 2000000

static double now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The best of five, since the machine is shared. */
#define MEASURE(name, code)                                                                        \
    do {                                                                                           \
        double best = 1e9;                                                                         \
        for (int run = 0; run < 5; run++) {                                                        \
            double t0 = now_ns();                                                                  \
            for (int i = 0; i < ROUNDS; i++) {                                                     \
                code;                                                                              \
                __asm__ volatile("" ::: "memory");                                                 \
            }                                                                                      \
            double ns = (now_ns() - t0) / ROUNDS;                                                  \
            best = ns < best ? ns : best;                                                          \
        }                                                                                          \
        printf("%-28s %6.1f ns\n", name, best);                                                    \
    } while (0)

static void measure_requests(void)
{
    static const struct resp_limits limits = {1u << 20, 512u << 20, 65536, false};
    struct slice get = SLICE("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000012345\r\n");
    struct slice set =
        SLICE("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n$64\r\n"
              "0123456789012345678901234567890123456789012345678901234567890123\r\n");
    struct slice line = SLICE("SET key:000000012345 \"a value\"\r\n");
    struct resp_req r;
    size_t used;

    resp_req_init(&r);
#define PARSE(in)                                                                                  \
    resp_req_reset(&r);                                                                            \
    if (resp_req_parse(&r, in, &limits, &used) != PARSE_DONE) {                                    \
        return;                                                                                    \
    }
    MEASURE("parse GET key16", PARSE(get));
    MEASURE("parse SET key16 value64", PARSE(set));
    MEASURE("parse inline SET", PARSE(line));
    resp_req_fini(&r);
}

static void measure_replies(void)
{
    struct slice v = SLICE("0123456789012345678901234567890123456789012345678901234567890123");
    struct reply r;

    reply_init(&r);
    MEASURE("reply bulk 64", r.out.len = 0; reply_bulk(&r, v));
    MEASURE("reply ok", r.out.len = 0; reply_ok(&r));
    MEASURE("reply int", r.out.len = 0; reply_int(&r, 12345));
    MEASURE("reply null", r.out.len = 0; reply_null(&r));
    reply_fini(&r);
}

static void measure_look_ups(void)
{
    static struct cmd_def rows[] = {{.name = "GET", .arity = 2},
                                    {.name = "SET", .arity = -3},
                                    {.name = "INCRBYFLOAT", .arity = 3},
                                    {.name = "HPEXPIRETIME", .arity = -5},
                                    CMD_END};
    struct slice names[] = {SLICE("GET"), SLICE("set"), SLICE("IncrByFloat"),
                            SLICE("HPEXPIRETIME")};

    cmd_register("string", rows);
    cmd_freeze();
    MEASURE(
        "find, four names in turn", if (cmd_find(names[i & 3]) == NULL) { return; });
    cmd_thaw();
}

static void measure_changes(void)
{
    struct slice k = SLICE("key:000000012345");
    struct slice v = SLICE("0123456789012345678901234567890123456789012345678901234567890123");
    struct buf out = {0};
    struct change_writer w;

    change_writer_init(&w);
    MEASURE(
        "change head + put_string", out.len = 0;
        if (change_begin(&w, &out, 1) != 0 || change_put_string(&w, k, v, 0) != 0) { return; });
    struct change_mark m = change_mark(&w);
    MEASURE(
        "change put_string 16+64", change_rewind(&w, m);
        if (change_put_string(&w, k, v, 0) != 0) { return; });
    MEASURE(
        "change one field 16+64", change_rewind(&w, m);
        if (change_put_fields_begin(&w, k, false, 0) != 0 || change_field(&w, k, v, 0) != 0) {
            return;
        } change_put_fields_end(&w));
    change_writer_fini(&w);
    buf_fini(&out);
}

int main(void)
{
    measure_requests();
    measure_replies();
    measure_look_ups();
    measure_changes();
    return 0;
}
