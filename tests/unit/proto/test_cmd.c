#include "proto/cmd.h"

#include "base/err.h"
#include "base/fault.h"
#include "proto/cmd_args.h"
#include "proto/cmd_doc.h"
#include "proto/reply.h"
#include "proto/resp_reply.h"
#include "tests/lib/unit.h"

#include <stdio.h>

/* clang-format off */
static struct cmd_def object_subs[] = {
    {"ENCODING", 3, CMD_READ, KEYS(2, 2, 1), "2.2.3", NULL, "key", "How.", 0, 0, NULL, 0, 0, 0},
    {"HELP", 2, CMD_LOADING, KEYS_NONE, "6.2.0", NULL, "", "Help.", 0, 0, NULL, 0, 0, 0},
    CMD_END
};
static struct cmd_def client_subs[] = {
    {"HELP", 2, CMD_LOADING, KEYS_NONE, "6.2.0", NULL, "", "Help.", 0, 0, NULL, 0, 0, 0},
    CMD_END
};
static struct cmd_def strings[] = {
    {"GET", 2, CMD_READ | CMD_FAST, KEYS(1, 1, 1), "1.0.0", NULL, "key", "The value.", 0, 0, NULL, 0, 0, 0},
    {"GETBIT2", 2, CMD_READ, KEYS(1, 1, 1), "1.0.0", NULL, "key", "", 0, 0, NULL, 0, 0, 0},
    {"SET", -3, CMD_WRITE | CMD_GROWS, KEYS(1, 1, 1), "1.0.0", NULL,
     "key value [NX | XX] [GET] [EX seconds | PX milliseconds | KEEPTTL]", "Sets.", 0, 0, NULL, 0, 0, 0},
    {"MSET", -3, CMD_WRITE | CMD_GROWS, KEYS(1, -1, 2), "1.0.1", NULL,
     "key value [key value ...]", "Sets all.", CMD_MULTI_SHARD, CMD_ALL_SUCCEEDED, NULL, 0, 0, 0},
};
static struct cmd_def generic[] = {
    {"DEL", -2, CMD_WRITE, KEYS(1, -1, 1), "1.0.0", NULL, "key [key ...]", "Removes.", 0, 0, NULL, 0, 0, 0},
    {"RENAME", 3, CMD_WRITE, KEYS(1, 2, 1), "1.0.0", NULL, "key newkey", "Renames.", 0, 0, NULL, 0, 0, 0},
    {"OBJECT", -2, 0, KEYS_NONE, "2.2.3", NULL, "", "Looks.", 0, 0, object_subs, 0, 0, 0},
    {"SORT", -2, CMD_WRITE, {CMD_KEYS_MOVABLE, 1, 1, 1}, "1.0.0", NULL, "key [STORE destination]", "", 0, 0, NULL, 0, 0, 0},
    {"RESTORE-ASKING", -4, CMD_WRITE | CMD_INTERNAL, KEYS(1, 1, 1), "3.0.0", NULL, "key", "", 0, 0, NULL, 0, 0, 0},
    {"PEXPIREABOUTNOWORNEVER", 2, CMD_WRITE, KEYS(1, 1, 1), "9", NULL, "key", "", 0, 0, NULL, 0, 0, 0},
    {"WAIT", 3, CMD_BLOCKING, KEYS_NONE, "3.0.0", NULL, "numreplicas timeout", "Waits.", 0, 0, NULL, 0, 0, 0},
    CMD_END
};
static struct cmd_def others[] = {
    {"ZUNION", -3, CMD_READ, KEYS_COUNT(1, 1), "6.2.0", NULL, "numkeys key [key ...]", "", 0, 0, NULL, 0, 0, 0},
    {"A", 1, CMD_ADMIN | CMD_QUIET, KEYS_NONE, "1", NULL, "", "One letter.", 0, 0, NULL, 0, 0, 0},
    {"AB", 1, 0, KEYS_NONE, "1", NULL, "", "", 0, 0, NULL, 0, 0, 0},
    {"CLIENT", -2, 0, KEYS_NONE, "2.4.0", NULL, "", "Clients.", 0, 0, client_subs, 0, 0, 0},
    CMD_END
};
/* clang-format on */

/* CMD_END is not at the end of `strings`: the array is copied with it, as rows are mutable. */
static struct cmd_def strings_ended[sizeof(strings) / sizeof(strings[0]) + 1];

static void fill(void)
{
    cmd_thaw();
    memcpy(strings_ended, strings, sizeof(strings));
    cmd_register("string", strings_ended);
    cmd_register("generic", generic);
    cmd_register("sorted-set", others);
    cmd_freeze();
}

static void every_row_is_found_in_any_case(void)
{
    fill();
    CU_ASSERT_EQUAL(cmd_count(), 18);
    for (uint16_t id = 0; id < cmd_count(); id++) {
        const struct cmd_def *def = cmd_by_id(id);
        struct slice name = slice_of(def->name);
        char other[32];

        CU_ASSERT_EQUAL(def->id, id);
        for (size_t i = 0; i < name.len; i++) {
            other[i] = i % 2 == 0 ? slice_lower(name.ptr[i]) : name.ptr[i];
        }

        struct slice mixed = unit_guard((struct slice){other, name.len});

        if (def->parent == NULL) {
            CU_ASSERT_PTR_EQUAL(cmd_find(unit_guard(name)), def);
            CU_ASSERT_PTR_EQUAL(cmd_find(mixed), def);
        } else {
            CU_ASSERT_PTR_EQUAL(cmd_find_sub(def->parent, mixed), def);
        }
    }
    cmd_thaw();
}

static void what_is_no_name_is_not_found(void)
{
    static const struct slice none[] = {
        SLICE(""),
        SLICE("G"),
        SLICE("GE"),
        SLICE("GETT"),
        SLICE("ENCODING"),
        SLICE("HELP"),
        SLICE("GETBIT\x12"), /* with bit 0x20 set this would be GETBIT2 */
        SLICE("RESTORE\rASKING"),
        SLICE("PEXPIREABOUTXXWORNEVER"),
        SLICE("\0\0\0"),
        SLICE("b"),
        SLICE("get\0"),
        SLICE("AB\0"),
        SLICE("[ET"),
    };

    fill();
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        CU_ASSERT_PTR_NULL(cmd_find(unit_guard(none[i])));
    }
    CU_ASSERT_PTR_NULL(cmd_find_sub(cmd_find(SLICE("client")), SLICE("encoding")));
    CU_ASSERT_PTR_NULL(cmd_find_sub(cmd_find(SLICE("get")), SLICE("help")));
    CU_ASSERT_PTR_EQUAL(cmd_find_sub(cmd_find(SLICE("client")), SLICE("help")), &client_subs[0]);
    cmd_thaw();
}

static uint32_t split(const char *line, struct slice argv[16])
{
    uint32_t n = 0;

    while (*line != '\0' && n < 16) {
        size_t len = strcspn(line, " ");

        argv[n++] = (struct slice){line, len};
        line += len + (line[len] == ' ');
    }
    return n;
}

static void keys_are_where_the_row_says(void)
{
    static const struct {
        const char *call;
        int n;
        uint32_t at[4];
    } rows[] = {
        {"GET k", 1, {1}},
        {"MSET a 1 b 2", 2, {1, 3}},
        {"DEL a b c", 3, {1, 2, 3}},
        {"RENAME a b", 2, {1, 2}},
        {"OBJECT ENCODING k", 1, {2}},
        {"OBJECT HELP", 0, {0}},
        {"ZUNION 2 a b", 2, {2, 3}},
        {"ZUNION 0 a", 0, {0}},
        {"ZUNION 3 a b", -1, {0}},
        {"ZUNION -1 a", -1, {0}},
        {"ZUNION x a", -1, {0}},
        {"ZUNION 9223372036854775807 a", -1, {0}},
        {"ZUNION 99999999999999999999 a", -1, {0}},
        {"SORT k STORE d", 2, {1, 3}},
        {"SORT k store", 1, {1}},
        {"WAIT 1 1", 0, {0}},
    };

    fill();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice argv[16];
        uint32_t argc = split(rows[i].call, argv), out[4] = {0};
        int n = cmd_key_indexes(cmd_doc_lookup(argv, argc), argv, argc, out, 4);

        CU_ASSERT_EQUAL(n, rows[i].n);
        for (int k = 0; k < n; k++) {
            CU_ASSERT_EQUAL(out[k], rows[i].at[k]);
        }
        /* Counted also when there is no room for them. */
        CU_ASSERT_EQUAL(cmd_key_indexes(cmd_doc_lookup(argv, argc), argv, argc, NULL, 0), n);
    }
    cmd_thaw();
}

static void categories_follow_from_group_and_flags(void)
{
    static const struct {
        const char *name, *categories;
    } rows[] = {
        {"get", "@string @read @fast "},
        {"set", "@string @write @slow "},
        {"del", "@keyspace @write @slow "},
        {"wait", "@connection @slow @blocking "},
        {"a", "@sortedset @admin @slow @dangerous "},
        {"object", "@slow "},
    };

    fill();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *c[CMD_CATEGORIES_MAX];
        size_t n = cmd_categories(cmd_find(slice_of(rows[i].name)), c);
        char all[256] = "";

        for (size_t k = 0; k < n; k++) {
            (void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s ", c[k]);
        }
        CU_ASSERT_STRING_EQUAL(all, rows[i].categories);
    }
    cmd_thaw();
}

/* The tree as text: name:type/token, ? optional, * multiple, (children). */
static void describe(const struct cmd_args *a, int16_t i, char *out, size_t size)
{
    static const char *const types[] = {"str",  "int",   "double", "key",  "pattern",
                                        "time", "token", "oneof",  "block"};

    for (; i >= 0; i = a->arg[i].next) {
        const struct cmd_arg *g = &a->arg[i];
        size_t len = strlen(out);

        (void)snprintf(out + len, size - len, "%s%.*s:%s%s%.*s%s%s", len > 0 ? " " : "",
                       (int)g->name.len, g->name.ptr, types[g->type], g->token.len > 0 ? "/" : "",
                       (int)g->token.len, g->token.ptr, g->optional ? "?" : "",
                       g->multiple ? "*" : "");
        if (g->child >= 0) {
            len = strlen(out);
            (void)snprintf(out + len, size - len, "(");
            describe(a, g->child, out, size);
            len = strlen(out);
            (void)snprintf(out + len, size - len, ")");
        }
    }
}

static void syntax_texts_become_trees(void)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"key", "key:key"},
        {"key value [NX | XX] [GET] [EX seconds|KEEPTTL]",
         "key:key value:str condition:oneof?( NX:token/NX XX:token/XX) GET:token/GET? "
         "expiration:oneof?( seconds:int/EX KEEPTTL:token/KEEPTTL)"},
        {"key [key ...]", "key:key*"},
        {"[key ...]", "key:key?*"},
        {"key field value [field value ...]", "key:key data:block*( field:str value:str)"},
        {"key FIELDS numfields field [field ...]",
         "key:key FIELDS:block/FIELDS( numfields:int field:str*)"},
        {"cursor [MATCH pattern] [COUNT count]",
         "cursor:int pattern:pattern/MATCH? count:int/COUNT?"},
        {"<AND | OR> destkey key [key ...]",
         "option:oneof( AND:token/AND OR:token/OR) destkey:key key:key*"},
        {"key [GET encoding offset | [OVERFLOW <WRAP | SAT>] SET encoding offset value ...]",
         "key:key option:oneof?*( GET:block/GET( encoding:str offset:int) option:block( "
         "option:oneof/OVERFLOW?( WRAP:token/WRAP SAT:token/SAT) SET:block/SET( encoding:str "
         "offset:int value:str)))"},
        {"[a <B | C> [...]]", "a:block?*( a:str option:oneof( B:token/B C:token/C))"},
        {"[protover [AUTH username password] [SETNAME clientname]]",
         "protover:block?( protover:int AUTH:block/AUTH?( username:str password:str) "
         "clientname:str/SETNAME?)"},
    };
    static const char *const bad[] = {
        "key [", "a [...]", "[...]", "key ]", "[]",
        "a | b", "<a",      "...",   "[a|]",  "[[[[[[[[[[a]]]]]]]]]]"};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cmd_args args;
        char got[1024] = "";

        CU_ASSERT_TRUE(cmd_args_parse(rows[i][0], &args));
        describe(&args, args.first, got, sizeof(got));
        CU_ASSERT_STRING_EQUAL(got, rows[i][1]);
        if (strcmp(got, rows[i][1]) != 0) {
            fprintf(stderr, "%s\n  %s\n", rows[i][0], got);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cmd_args args;

        CU_ASSERT_FALSE(cmd_args_parse(bad[i], &args));
    }
}

static void expect_reply(struct reply *r, struct slice resp3)
{
    CU_ASSERT_FALSE(r->failed);
    CU_ASSERT(slice_is(buf_slice(&r->out), resp3));
    if (!slice_is(buf_slice(&r->out), resp3)) {
        fprintf(stderr, "%.*s\n", (int)r->out.len, r->out.ptr);
    }
    r->out.len = 0;
}

/* Redis 7.0's own bytes for the same commands, but for texts that are ours. */
static void info_and_docs_are_in_redis_form(void)
{
    struct reply r;
    struct slice names[] = {SLICE("get"), SLICE("nosuch"), SLICE("object|help")};

    fill();
    reply_init(&r);
    cmd_doc_command_info(&r, names, 2);
    expect_reply(
        &r,
        SLICE("*2\r\n*10\r\n$3\r\nget\r\n:2\r\n~2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n"
              "~3\r\n+@string\r\n+@read\r\n+@fast\r\n~0\r\n~1\r\n%3\r\n$5\r\nflags\r\n~2\r\n"
              "+RO\r\n+access\r\n$12\r\nbegin_search\r\n%2\r\n$4\r\ntype\r\n$5\r\nindex\r\n"
              "$4\r\nspec\r\n%1\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n%2\r\n$4\r\ntype\r\n"
              "$5\r\nrange\r\n$4\r\nspec\r\n%3\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n"
              "$5\r\nlimit\r\n:0\r\n*0\r\n_\r\n"));
    cmd_doc_command_docs(&r, names, 3);
    expect_reply(
        &r,
        SLICE("%2\r\n$3\r\nget\r\n%4\r\n$7\r\nsummary\r\n$10\r\nThe value.\r\n$5\r\nsince\r\n"
              "$5\r\n1.0.0\r\n$5\r\ngroup\r\n$6\r\nstring\r\n$9\r\narguments\r\n*1\r\n%3\r\n"
              "$4\r\nname\r\n$3\r\nkey\r\n$4\r\ntype\r\n$3\r\nkey\r\n$14\r\nkey_spec_index\r\n"
              ":0\r\n$11\r\nobject|help\r\n%3\r\n$7\r\nsummary\r\n$5\r\nHelp.\r\n$5\r\nsince\r\n"
              "$5\r\n6.2.0\r\n$5\r\ngroup\r\n$7\r\ngeneric\r\n"));
    /* Everything at once is one whole reply: what announces a count has so many. */
    for (int what = 0; what < 3; what++) {
        struct resp_reader in;

        if (what == 0) {
            cmd_doc_command(&r);
        } else if (what == 1) {
            cmd_doc_command_docs(&r, NULL, 0);
        } else {
            cmd_doc_command_list(&r, NULL, 0);
        }
        in = (struct resp_reader){buf_slice(&r.out), 0};
        CU_ASSERT_EQUAL(resp_reply_skip(&in), PARSE_DONE);
        CU_ASSERT_EQUAL(in.at, r.out.len);
        r.out.len = 0;
    }
    cmd_doc_command_count(&r);
    expect_reply(&r, SLICE(":14\r\n"));
    reply_fini(&r);
    cmd_thaw();
}

static void getkeys_and_list_answer_as_redis(void)
{
    static const struct {
        const char *call;
        const char *reply;
    } rows[] = {
        {"MSET a b c d", "*2\r\n$1\r\na\r\n$1\r\nc\r\n"},
        {"PING", "-ERR Invalid command specified\r\n"},
        {"WAIT 1 1", "-ERR The command has no key arguments\r\n"},
        {"GET", "-ERR Invalid number of arguments specified for command\r\n"},
        {"ZUNION 5 a", "-ERR Invalid arguments specified for command\r\n"},
    };
    struct slice argv[16];
    struct reply r;
    uint32_t argc;

    fill();
    reply_init(&r);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        argc = split(rows[i].call, argv);
        cmd_doc_command_getkeys(&r, argv, argc);
        expect_reply(&r, slice_of(rows[i].reply));
    }
    argc = split("RENAME a b", argv);
    cmd_doc_command_getkeysandflags(&r, argv, argc);
    expect_reply(
        &r,
        SLICE("*2\r\n*2\r\n$1\r\na\r\n~3\r\n+RW\r\n+access\r\n+delete\r\n*2\r\n$1\r\nb\r\n~2\r\n"
              "+OW\r\n+update\r\n"));
    argc = split("FILTERBY PATTERN *ET", argv);
    cmd_doc_command_list(&r, argv, argc);
    expect_reply(&r, SLICE("~3\r\n$3\r\nget\r\n$3\r\nset\r\n$4\r\nmset\r\n"));
    argc = split("FILTERBY ACLCAT read", argv);
    cmd_doc_command_list(&r, argv, argc);
    expect_reply(
        &r,
        SLICE("~4\r\n$3\r\nget\r\n$7\r\ngetbit2\r\n$15\r\nobject|encoding\r\n$6\r\nzunion\r\n"));
    argc = split("FILTERBY", argv);
    cmd_doc_command_list(&r, argv, argc);
    expect_reply(&r, SLICE("-ERR syntax error\r\n"));
    reply_fini(&r);
    cmd_thaw();
}

static void the_manual_names_every_command(void)
{
    struct buf md = {0}, json = {0};
    int nth = 0;

    fill();
    CU_ASSERT_EQUAL(cmd_doc_markdown(&md), OK);
    CU_ASSERT_EQUAL(cmd_doc_json(&json), OK);
    CU_ASSERT_EQUAL(buf_terminate(&md), OK);
    CU_ASSERT_EQUAL(buf_terminate(&json), OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(md.ptr, "\n## string\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(md.ptr, "| `SET key value [NX \\| XX]"));
    CU_ASSERT_PTR_NOT_NULL(strstr(md.ptr, "| `OBJECT ENCODING key` | 2.2.3 | How. |\n"));
    CU_ASSERT_PTR_NULL(strstr(md.ptr, "ASKING"));
    CU_ASSERT_PTR_NOT_NULL(strstr(json.ptr, "{\"name\": \"object|encoding\", \"arity\": 3, "));
    buf_fini(&md);
    do { /* every failed allocation says so */
        fault_fail_nth(++nth);

        int err = cmd_doc_markdown(&md);
        bool reached = fault_off() >= nth;

        CU_ASSERT_EQUAL(err, reached ? ERR_NOMEM : OK);
        buf_fini(&md);
        if (!reached) {
            break;
        }
    } while (nth < 100);
    CU_ASSERT(nth > 2);
    buf_fini(&json);
    cmd_thaw();
}

const struct unit_test test_cmd[] = {
    UNIT(every_row_is_found_in_any_case),
    UNIT(what_is_no_name_is_not_found),
    UNIT(keys_are_where_the_row_says),
    UNIT(categories_follow_from_group_and_flags),
    UNIT(syntax_texts_become_trees),
    UNIT(info_and_docs_are_in_redis_form),
    UNIT(getkeys_and_list_answer_as_redis),
    UNIT(the_manual_names_every_command),
    UNIT_END,
};
