/* Documents in sections: in the entry and beside it, written several times, renamed, copied, given up, with
 * allocations that fail; then every command with each allocation failing once. What the log says is applied
 * in test_apply, what edits do is in test_json_edit. */
#include "node/type_json.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/rcu.h"
#include "node/cmd/families.h"
#include "node/dump.h"
#include "node/json_path.h"
#include "node/json_text.h"
#include "node/keyspace.h"
#include "node/type.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 3, PAD_MAX = 40000 };

static char pad[PAD_MAX];

/* {"n":…,"pad":"xxx…"} */
struct model {
    bool there;
    int n;
    unsigned pad;
};

struct play {
    struct bench b;
    struct rand r;
    struct key key[KEYS];
    struct model m[KEYS], next[KEYS];
};

static bool is_same(struct cmd *c, struct key key, const struct model *m)
{
    const char *doc;

    if (json_find(c, key, &doc) != FOUND) {
        return !m->there;
    }
    const char *n = json_member(doc, SLICE("n"));
    const char *p = json_member(doc, SLICE("pad"));

    return m->there && json_count(doc) == 2 && n != NULL && json_is_int(n) && json_int(n) == m->n &&
           p != NULL && json_string(p).len == m->pad;
}

static void play_put(struct play *p, int which)
{
    struct model *m = &p->next[which];
    struct buf value = {0};
    size_t at;

    *m = (struct model){true, (int)rand_below(&p->r, 100000),
                        (unsigned)rand_below(&p->r, rand_below(&p->r, 2) == 0 ? 30 : PAD_MAX)};
    int err = json_put_begin(&value, JSON_OBJECT, &at) | json_put_name(&value, SLICE("n")) |
              json_put_int(&value, m->n) | json_put_name(&value, SLICE("pad")) |
              json_put_string(&value, (struct slice){pad, m->pad});

    if (err != OK) {
        section_fail(p->b.section, SECTION_NOMEM);
    } else {
        json_put_end(&value, at, 2);
        json_put(&p->b.write, p->key[which], buf_slice(&value), SLICE(""));
    }
    buf_fini(&value);
}

static void play_change(struct play *p, int which)
{
    struct model *m = &p->next[which];
    struct json_edit e[2] = {{.kind = JSON_EDIT_SET}, {.kind = JSON_EDIT_SET}};
    struct json_plan plan;
    struct buf value = {0};
    const char *doc;

    if (json_find(&p->b.write, p->key[which], &doc) != FOUND) {
        return;
    }
    m->n = (int)rand_below(&p->r, 100000);
    m->pad = (unsigned)rand_below(&p->r, rand_below(&p->r, 2) == 0 ? 30 : PAD_MAX);
    int err = json_put_int(&value, m->n);
    size_t len = value.len;

    err = err == OK ? json_put_string(&value, (struct slice){pad, m->pad}) : err;
    if (err == OK) {
        e[0].at = (uint32_t)(json_member(doc, SLICE("n")) - doc);
        e[0].value = (struct slice){value.ptr, len};
        e[1].at = (uint32_t)(json_member(doc, SLICE("pad")) - doc);
        e[1].value = (struct slice){value.ptr + len, value.len - len};
        err = json_plan(doc, e, 2, &plan);
        if (err == OK) {
            json_change(&p->b.write, p->key[which], &plan);
        }
        json_plan_fini(&plan);
    }
    if (err != OK) {
        section_fail(p->b.section, SECTION_NOMEM);
    }
    buf_fini(&value);
}

static void play_one(struct play *p)
{
    int which = (int)rand_below(&p->r, KEYS);
    int other = (int)rand_below(&p->r, KEYS);
    bool there = keyspace_peek(&p->b.write, p->key[which]) != NULL;

    switch (rand_below(&p->r, 10)) {
    case 0:
        (void)keyspace_delete(&p->b.write, p->key[which]);
        p->next[which] = (struct model){0};
        break;
    case 1:
        if (which != other && there) {
            keyspace_rename(&p->b.write, p->key[which], p->key[other]);
            p->next[other] = p->next[which];
            p->next[which] = (struct model){0};
        }
        break;
    case 2:
        if (which != other && there) {
            keyspace_copy(&p->b.write, p->key[which], p->key[other]);
            p->next[other] = p->next[which];
        }
        break;
    case 3:
        if (there) {
            keyspace_expire_at(&p->b.write, p->key[which], bench_now_ms() + 1000000);
        }
        break;
    case 4:
    case 5:
        play_put(p, which);
        break;
    default:
        play_change(p, which);
        break;
    }
}

static void play_section(struct play *p, int fail_nth)
{
    bench_begin(&p->b);
    memcpy(p->next, p->m, sizeof(p->m));
    fault_fail_nth(fail_nth);
    for (size_t n = 1 + rand_below(&p->r, 5); n > 0; n--) {
        play_one(p);
        for (int w = 0; w < KEYS && !section_has_failed(p->b.section); w++) {
            CU_ASSERT(is_same(&p->b.write, p->key[w], &p->next[w]));
        }
    }
    if (rand_below(&p->r, 5) == 0) {
        (void)fault_off();
        bench_abort(&p->b);
    } else {
        enum section_end end = bench_commit(&p->b);

        (void)fault_off();
        CU_ASSERT(end == SECTION_COMMITTED || (end == SECTION_FAILED && fail_nth > 0));
        if (end == SECTION_COMMITTED) {
            memcpy(p->m, p->next, sizeof(p->m));
        }
    }
    for (int w = 0; w < KEYS; w++) {
        CU_ASSERT(is_same(&p->b.read, p->key[w], &p->m[w]));
    }
    rcu_turn();
}

static void sections_follow_the_model(void)
{
    struct play *p = calloc(1, sizeof(*p));

    memset(pad, 'x', sizeof(pad));
    p->r.state = unit_seed();
    bench_init(&p->b);
    for (int i = 0; i < KEYS; i++) {
        static const char *const names[KEYS] = {"a", "b", "c"};

        p->key[i] = key_of(slice_of(names[i]));
    }
    for (int i = 0; i < 1500; i++) {
        play_section(p, rand_below(&p->r, 3) == 0 ? 1 + (int)rand_below(&p->r, 30) : 0);
        CU_ASSERT_EQUAL(database_used_exact(p->b.db), bench_bytes(&p->b));
    }
    bench_fini(&p->b);
    free(p);
}

/* ---- Commands ---- */

enum { ARGS_MAX = 16, TRIES = 300 };

static struct bench b;
static const char *const names[] = {"small", "big", "new"};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

static const struct cmd_def *row_of(const char *name)
{
    static struct cmd_def *const families[] = {json_cmds, json_value_cmds, json_array_cmds};

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        for (const struct cmd_def *d = families[i]; d->name != NULL; d++) {
            if (strcmp(d->name, name) == 0) {
                return d;
            }
        }
    }
    CU_FAIL_FATAL("no such command");
    return NULL;
}

/* Splits at blanks, in place. */
static struct cmd parse(char *line, struct slice argv[ARGS_MAX])
{
    struct cmd c = {.argv = argv, .now_ms = bench_now_ms(), .db = b.db};
    char *save = NULL;

    for (char *w = strtok_r(line, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        CU_ASSERT_FATAL(c.argc < ARGS_MAX);
        argv[c.argc++] = slice_of(w);
    }
    c.def = row_of(argv[0].ptr);
    if (c.argc > 1) {
        c.key = key_of(argv[1]);
    }
    return c;
}

static enum section_end run(struct cmd c, struct reply *r, int fail_nth)
{
    enum section_end end = SECTION_COMMITTED;

    c.reply = r;
    if ((c.def->flags & CMD_WRITE) != 0) {
        bench_begin(&b);
        c.section = b.section;
    }
    fault_fail_nth(fail_nth);
    cmd_run(&c);
    if (c.section != NULL) {
        end = bench_commit(&b);
    }
    fault_off();
    return end;
}

static struct buf picture(void)
{
    struct buf out = {0};

    for (unsigned i = 0; i < NAMES; i++) {
        struct key key = key_of(slice_of(names[i]));
        const struct entry *e = keyspace_peek(&b.read, key);

        CU_ASSERT_FATAL(buf_printf(&out, "%s ", names[i]) == OK);
        if (e != NULL) {
            CU_ASSERT_FATAL(buf_printf(&out, "%u ", json_number_of(e)) == OK);
            CU_ASSERT_FATAL(dump_write(&b.read, key, e, &out) == OK);
        }
    }
    return out;
}

static void put_text(const char *key, struct slice text)
{
    struct json_fault fault;
    struct buf value = {0};

    CU_ASSERT_FATAL(json_parse(text, &value, &fault));
    json_put(&b.write, key_of(slice_of(key)), buf_slice(&value), text);
    buf_fini(&value);
}

static void refill(void)
{
    struct buf big = {0};

    CU_ASSERT_FATAL(buf_append_str(&big, "{\"a\":[1,2,[3]],\"l\":[0") == OK);
    for (int i = 0; i < 5000; i++) {
        CU_ASSERT_FATAL(buf_printf(&big, ",%d", i * 7) == OK);
    }
    CU_ASSERT_FATAL(buf_append_str(&big, "]}") == OK);
    bench_begin(&b);
    for (unsigned i = 0; i < NAMES; i++) {
        (void)keyspace_delete(&b.write, key_of(slice_of(names[i])));
    }
    put_text(
        "small",
        SLICE("{\"a\":[1,{\"a\":2.5}],\"s\":\"text\",\"t\":true,\"o\":{\"s\":\"u\",\"n\":7}}"));
    put_text("big", buf_slice(&big));
    CU_ASSERT_EQUAL_FATAL(bench_commit(&b), SECTION_COMMITTED);
    buf_fini(&big);
}

static void survives(const char *line)
{
    enum section_end end = SECTION_FAILED;
    bool refused = true;
    int nth = 0;

    for (; (end == SECTION_FAILED || refused) && nth < TRIES; nth++) {
        char text[256];
        struct slice argv[ARGS_MAX];
        struct buf before, after;
        struct reply r;

        (void)snprintf(text, sizeof(text), "%s", line);
        refill();
        before = picture();
        reply_init(&r);
        end = run(parse(text, argv), &r, nth + 1);
        refused = r.failed || (r.flags & REPLY_ERROR) != 0;
        after = picture();
        if ((end == SECTION_FAILED || (refused && !r.failed)) &&
            !slice_is(buf_slice(&before), buf_slice(&after))) {
            (void)fprintf(stderr, "    %s, fault %d\n", line, nth + 1);
            CU_FAIL("a failed command has changed something");
        }
        reply_fini(&r);
        buf_fini(&before);
        buf_fini(&after);
        rcu_turn();
    }
    if (nth == TRIES) {
        (void)fprintf(stderr, "    %s\n", line);
        CU_FAIL("never succeeds");
    }
    CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
}

static void every_command_survives_every_fault(void)
{
    static const char *const lines[] = {
        "JSON.SET new $ {\"a\":[1,2]}",
        "JSON.SET small $ [] XX",
        "JSON.SET big $ 7",
        "JSON.SET small $..a \"x\"",
        "JSON.SET small $.new {\"y\":1}",
        "JSON.MSET small $.s 1 new $ {} big $.a[0] 9",
        "JSON.MERGE small $ {\"s\":null,\"o\":{\"n\":1},\"z\":[1]}",
        "JSON.MERGE small $.new {\"s\":null}",
        "JSON.MERGE new $ {\"s\":null}",
        "JSON.MERGE small $ null",
        "JSON.GET small",
        "JSON.GET small INDENT x $..a .s",
        "JSON.GET big $",
        "JSON.MGET small big new $..a",
        "JSON.DEL small $..a",
        "JSON.DEL big",
        "JSON.CLEAR small $.*",
        "JSON.NUMINCRBY small $..* 2",
        "JSON.NUMMULTBY big $.l[*] 3",
        "JSON.STRAPPEND small $..s \"tail\"",
        "JSON.STRLEN small $..s",
        "JSON.TOGGLE small $.t",
        "JSON.OBJKEYS small $..*",
        "JSON.OBJLEN small",
        "JSON.TYPE small $..*",
        "JSON.RESP small",
        "JSON.ARRAPPEND big $..[2] 1 {\"x\":[]}",
        "JSON.ARRAPPEND small $..a 1",
        "JSON.ARRINSERT big $.l 2 true false",
        "JSON.ARRPOP small $..a",
        "JSON.ARRPOP big .l 100",
        "JSON.ARRTRIM big $.* 1 1",
        "JSON.ARRINDEX big $.l 7",
        "JSON.ARRLEN big $..*",
    };

    bench_init(&b);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        survives(lines[i]);
    }
    bench_fini(&b);
}

/* A field of a megabyte is not told with its megabyte. */
static void the_log_is_told_what_changed(void)
{
    static const char *const lines[] = {
        "JSON.SET big $.l[4000] 5",
        "JSON.NUMINCRBY big $.l[7] 1",
        "JSON.ARRAPPEND big $.l 1 2",
        "JSON.ARRTRIM big $.l 5 -5",
        "JSON.DEL big $.a[2]",
        "JSON.MERGE big $ {\"z\":1}",
        "JSON.ARRINSERT big $.l 3 \"x\"",
        "JSON.CLEAR big $.a",
        "JSON.SET big $.a \"x\"",
        "JSON.STRAPPEND big $.a \"y\"",
    };

    bench_init(&b);
    refill();
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char text[128];
        struct slice argv[ARGS_MAX];
        struct reply r;

        (void)snprintf(text, sizeof(text), "%s", lines[i]);
        reply_init(&r);
        struct cmd c = parse(text, argv);

        c.reply = &r;
        bench_begin(&b);
        c.section = b.section;
        cmd_run(&c);
        CU_ASSERT_EQUAL(section_change(b.section)->ops, 1);
        CU_ASSERT(change_bytes(section_change(b.section)) < 120);
        CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
        CU_ASSERT((r.flags & REPLY_ERROR) == 0);
        reply_fini(&r);
    }
    bench_fini(&b);
}

const struct unit_test test_type_json[] = {
    UNIT(sections_follow_the_model),
    UNIT(every_command_survives_every_fault),
    UNIT(the_log_is_told_what_changed),
    UNIT_END,
};
