/* Libraries of functions: their first lines, their sets, all or nothing when memory runs out, and what a log's
 * reader makes of them (node/library.h). */
#include "node/library.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/rcu.h"
#include "node/apply.h"
#include "node/database.h"
#include "node/script.h"
#include "replication/changelog.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <stdio.h>

enum { FAULTS_MAX = 600, SAID_MAX = 16384 };

#define TEXT(name, body)     "#!lua name=" name "\n" body
#define FUNCTION(name, body) "redis.register_function('" name "', function(k, a) " body " end)\n"

static struct world w;

static const char *say(uint32_t argc, const struct slice *argv)
{
    static char said[SAID_MAX];
    struct slice copy[8];

    memcpy(copy, argv, argc * sizeof(copy[0]));
    world_run(&w, w.db, copy, argc);
    if (w.reply.failed) {
        return "failed";
    }
    CU_ASSERT_FATAL(w.reply.out.len < sizeof(said));
    memcpy(said, w.reply.out.ptr, w.reply.out.len);
    said[w.reply.out.len] = '\0';
    return said;
}

static const char *load(const char *text)
{
    struct slice argv[] = {SLICE("FUNCTION"), SLICE("LOAD"), SLICE("REPLACE"), slice_of(text)};

    return say(4, argv);
}

static void reads_first_lines(void)
{
    static const struct {
        const char *line, *name;
    } good[] = {
        {"#!lua name=x\n", "x"},   {"#!LUA  NAME=a_1 \nrest", "a_1"}, {"#!lua name=\"q\"\n", "q"},
        {"#!lua 'name=q'\n", "q"}, {"#!lua\tname=x\r\n", "x"},
    };
    static const char *const bad[] = {
        "",
        "#",
        "x",
        "#!lua name=x",
        "#!\n",
        "#!lua\n",
        "#!lua name\n",
        "#!lua name=\n",
        "#!lua name=-\n",
        "#!lua name=x name=y\n",
        "#!js name=x\n",
        "#!lua name=\"x\n",
        "#!lua name='x'y\n",
        "#! lua name=x\n",
        "#!lua x name=x\n",
    };
    struct library_head head;
    char error[LIBRARY_ERROR_MAX];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CU_ASSERT_TRUE(library_read_head(slice_of(good[i].line), &head, error));
        CU_ASSERT_TRUE(slice_is(head.name, slice_of(good[i].name)));
        CU_ASSERT_EQUAL(good[i].line[head.body_at], '\n');
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_FALSE(library_read_head(slice_of(bad[i]), &head, error));
        CU_ASSERT_EQUAL(memcmp(error, "ERR ", 4), 0);
    }
}

static void calls(void)
{
    world_init(&w, 1 << 20);
    CU_ASSERT_STRING_EQUAL(
        load(TEXT("l", FUNCTION("f", "return redis.call('INCR', k[1])") FUNCTION("g", "return a"))),
        "$1\r\nl\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FCALL f 1 a"), ":1\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "fcall F 1 a"), ":2\r\n"); /* F1 */
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FCALL g 1 a x y"), "*2\r\n$1\r\nx\r\n$1\r\ny\r\n");
    CU_ASSERT_EQUAL(*world_say(&w, "FCALL_RO g 0"), '-');
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FLUSHALL"), "+OK\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FCALL f 1 a"), ":1\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "SCRIPT FLUSH"), "+OK\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FCALL f 1 a"), ":2\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FUNCTION DELETE l"), "+OK\r\n");
    CU_ASSERT_EQUAL(*world_say(&w, "FCALL f 1 a"), '-');
    world_fini(&w);
}

static void undoes_what_failed(void)
{
    world_init(&w, 1 << 20);
    CU_ASSERT_EQUAL(*load(TEXT("l", FUNCTION("f", "redis.call('SET', k[1], 'x') redis.call('SET', "
                                                  "'undeclared', 'x') error('no')"))),
                    '$');
    CU_ASSERT_EQUAL(*world_say(&w, "FCALL f 1 a"), '-');
    CU_ASSERT_STRING_EQUAL(world_say(&w, "EXISTS a undeclared"), ":0\r\n");
    world_fini(&w);
}

/* A library keeps its locals, of which another has no idea, until it goes. */
static void keeps_locals_apart(void)
{
    world_init(&w, 1 << 20);
    CU_ASSERT_EQUAL(*load(TEXT("a", "local n = 0\n" FUNCTION("a", "n = n + 1 return n"))), '$');
    CU_ASSERT_EQUAL(*load(TEXT("b", "local n = 10\n" FUNCTION("b", "n = n + 1 return n"))), '$');
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FCALL a 0"), ":1\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FCALL b 0"), ":11\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FCALL a 0"), ":2\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "SCRIPT FLUSH"), "+OK\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FCALL a 0"), ":3\r\n");
    CU_ASSERT_EQUAL(*load(TEXT("a", "local n = 0\n" FUNCTION("a", "n = n + 1 return n"))),
                    '$'); /* F3 */
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FCALL a 0"), ":1\r\n");
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FCALL b 0"), ":12\r\n");
    world_fini(&w);
}

static void refuses_what_clashes(void)
{
    world_init(&w, 1 << 20);
    CU_ASSERT_EQUAL(*load(TEXT("a", FUNCTION("f", ""))), '$');
    CU_ASSERT_STRING_EQUAL(load(TEXT("b", FUNCTION("g", "") FUNCTION("F", ""))),
                           "-ERR Function F already exists\r\n");
    CU_ASSERT_STRING_EQUAL(load(TEXT("b", FUNCTION("g", "") FUNCTION("G", ""))),
                           "-ERR Error registering functions: ERR Function already exists in the "
                           "library\r\n");
    CU_ASSERT_EQUAL(*load(TEXT("a", FUNCTION("f", "") FUNCTION("g", ""))), '$');
    CU_ASSERT_EQUAL(atomic_load(&w.db->libraries)->count, 1);
    CU_ASSERT_EQUAL(atomic_load(&w.db->libraries)->function_count, 2);
    world_fini(&w);
}

static void bounds_all_of_them(void)
{
    static char text[LIBRARIES_BYTES_MAX / 2];
    char name[32];

    world_init(&w, 64 << 20);
    for (int i = 0; i < 3; i++) {
        int n = snprintf(text, sizeof(text),
                         "#!lua name=l%d\nredis.register_function('f%d', "
                         "function() end) --",
                         i, i);

        memset(text + n, 'x', sizeof(text) - (size_t)n - 1);
        text[sizeof(text) - 1] = '\0';
        CU_ASSERT_EQUAL(*load(text), i < 1 ? '$' : '-'); /* with its own object, two are too many */
    }
    for (int i = 0; i < LIBRARIES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "n%d", i);
        (void)snprintf(text, sizeof(text),
                       "#!lua name=%s\nredis.register_function('%s', function() end)", name, name);
        CU_ASSERT_EQUAL(*load(text), i < LIBRARIES_MAX - 1 ? '$' : '-');
    }
    CU_ASSERT_EQUAL(world_bytes(w.db) + (int64_t)atomic_load(&w.db->libraries)->bytes,
                    database_used_exact(w.db));
    world_fini(&w);
}

/* Whichever allocation fails: the library is there, or all is as it was. */
static void is_whole_when_memory_runs_out(void)
{
    int failed = 0;

    world_init(&w, 1 << 20);
    for (int i = 1; i < FAULTS_MAX; i++) {
        CU_ASSERT_EQUAL(*load(TEXT("l", FUNCTION("f", "return 1"))), '$');
        fault_fail_nth(i);
        bool good = *load(TEXT("l", FUNCTION("f", "return 2") FUNCTION("g", "return 2"))) == '$';

        fault_off();
        failed += !good;
        CU_ASSERT_STRING_EQUAL(world_say(&w, "FCALL f 0"), good ? ":2\r\n" : ":1\r\n");
        CU_ASSERT_EQUAL(*world_say(&w, "FCALL g 0"), good ? ':' : '-');
    }
    CU_ASSERT_TRUE(failed > 20);
    for (int i = 1; i < FAULTS_MAX; i += 3) {
        fault_fail_nth(i);
        const char *said = world_say(&w, "FCALL f 0"); /* loaded anew, or not */

        CU_ASSERT_TRUE(w.reply.failed || *said == ':' || *said == '-');
        fault_off();
        CU_ASSERT_EQUAL(*load(TEXT("l", FUNCTION("f", "return 1"))), '$');
    }
    world_fini(&w);
}

/* ---- The log ---- */

struct taken {
    struct buf v[64];
    uint32_t count;
    bool open;
};

static bool take(uint64_t seq, struct slice piece, bool last, void *arg)
{
    struct taken *t = arg;

    (void)seq;
    if (!t->open) {
        CU_ASSERT_FATAL(t->count < 64);
        t->v[t->count++] = (struct buf){0};
    }
    t->open = !last;
    return buf_append(&t->v[t->count - 1], piece.ptr, piece.len) == OK;
}

static void list_of(struct database *db, struct buf *out)
{
    struct slice argv[] = {SLICE("FUNCTION"), SLICE("LIST"), SLICE("WITHCODE")};

    world_run(&w, db, argv, 3);
    buf_clear(out);
    CU_ASSERT_EQUAL(buf_append_slice(out, buf_slice(&w.reply.out)), OK);
}

static void change_some(void)
{
    static const char described[] =
        TEXT("d", "redis.register_function{function_name='d', callback=function() return 5 end, "
                  "description='', flags={'no-writes', 'allow-key-locking'}}\n");
    struct buf dump = {0};

    CU_ASSERT_EQUAL(*load(TEXT("a", FUNCTION("f", "return 1"))), '$');
    CU_ASSERT_EQUAL(*load(described), '$');
    CU_ASSERT_EQUAL(*load(TEXT("a", FUNCTION("f", "return 2") FUNCTION("g", "return 3"))), '$');
    CU_ASSERT_EQUAL(*load(TEXT("z", FUNCTION("z", ""))), '$');
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FUNCTION DELETE z"), "+OK\r\n");
    CU_ASSERT_EQUAL(*world_say(&w, "FUNCTION DUMP"), '$');
    const char *at = strchr(w.reply.out.ptr, '\n') + 1;
    size_t len = w.reply.out.len - 2 - (size_t)(at - w.reply.out.ptr);

    CU_ASSERT_EQUAL(buf_append(&dump, at, len), OK);
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FUNCTION FLUSH"), "+OK\r\n");
    struct slice argv[] = {SLICE("FUNCTION"), SLICE("RESTORE"), buf_slice(&dump), SLICE("FLUSH")};

    CU_ASSERT_STRING_EQUAL(say(4, argv), "+OK\r\n");
    CU_ASSERT_EQUAL(*say(3, argv), '-'); /* they are there */
    argv[3] = SLICE("REPLACE");
    CU_ASSERT_STRING_EQUAL(say(4, argv), "+OK\r\n");
    buf_fini(&dump);
}

/* F2. Each change twice. */
static void a_copy_is_exact(void)
{
    static struct taken t;
    struct buf lists[2] = {{0}};
    struct slice call[] = {SLICE("FCALL"), SLICE("g"), SLICE("0")};
    struct database *copy;

    world_init(&w, 1 << 20);
    copy = node_database_add(w.node, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    change_some();
    t = (struct taken){.count = 0};
    CU_ASSERT_EQUAL(changelog_read(w.node->log, 1, take, &t), t.count + 1);
    CU_ASSERT_EQUAL(t.count, 8); /* RESTORE is one change, also of several libraries */
    for (uint32_t i = 0; i < t.count; i++) {
        CU_ASSERT_EQUAL(apply_change(w.x, copy, buf_slice(&t.v[i])), OK);
        CU_ASSERT_EQUAL(apply_change(w.x, copy, buf_slice(&t.v[i])), OK);
        rcu_turn();
        buf_fini(&t.v[i]);
    }
    list_of(w.db, &lists[0]);
    list_of(copy, &lists[1]);
    CU_ASSERT_TRUE(lists[0].len > 200);
    CU_ASSERT_TRUE(slice_is(buf_slice(&lists[0]), buf_slice(&lists[1])));
    w.db = copy;
    CU_ASSERT_STRING_EQUAL(say(3, call), ":3\r\n");
    buf_fini(&lists[0]);
    buf_fini(&lists[1]);
    world_fini(&w);
}

static void refuses_damaged_payloads(void)
{
    struct buf dump = {0};
    int refused = 0;

    world_init(&w, 1 << 20);
    CU_ASSERT_EQUAL(*load(TEXT("a", FUNCTION("f", "return 1"))), '$');
    CU_ASSERT_EQUAL(*world_say(&w, "FUNCTION DUMP"), '$');
    const char *at = strchr(w.reply.out.ptr, '\n') + 1;
    size_t len = w.reply.out.len - 2 - (size_t)(at - w.reply.out.ptr);

    CU_ASSERT_EQUAL(buf_append(&dump, at, len), OK);
    for (size_t i = 0; i < len; i++) {
        struct slice argv[] = {SLICE("FUNCTION"), SLICE("RESTORE"), buf_slice(&dump),
                               SLICE("FLUSH")};

        dump.ptr[i] ^= 1;
        refused += *say(4, argv) == '-';
        dump.ptr[i] ^= 1;
        argv[2].len = i;
        CU_ASSERT_EQUAL(*say(4, argv), '-');
    }
    CU_ASSERT_EQUAL(refused, (int)len);
    CU_ASSERT_STRING_EQUAL(world_say(&w, "FCALL f 0"), ":1\r\n");
    buf_fini(&dump);
    world_fini(&w);
}

const struct unit_test test_library[] = {UNIT(reads_first_lines),
                                         UNIT(calls),
                                         UNIT(undoes_what_failed),
                                         UNIT(keeps_locals_apart),
                                         UNIT(refuses_what_clashes),
                                         UNIT(bounds_all_of_them),
                                         UNIT(is_whole_when_memory_runs_out),
                                         UNIT(a_copy_is_exact),
                                         UNIT(refuses_damaged_payloads),
                                         UNIT_END};
