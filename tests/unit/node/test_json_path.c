/* What paths match, what is no path, and that neither takes long. */
#include "node/json_path.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/rand.h"
#include "node/json_regex.h"
#include "node/json_text.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>

static const char document[] =
    "{\"a\":{\"a\":1,\"b\":[10,20,30,40]},\"b\":\"x\",\"a b\":{\"it's\":true,\"q\\\"\":null},"
    "\"l\":[{\"n\":1,\"s\":\"one\"},{\"n\":2.0,\"s\":\"two\",\"t\":[]},{\"n\":3,\"s\":"
    "\"th\\u00fcr\"},[1]],"
    "\"\\u00fc\":5,\"x-y\":6,\"lim\":2}";

/* All matches as an array. */
static void print_matches(const struct json_path *p, const char *doc, struct buf *out)
{
    struct json_matches m;

    buf_clear(out);
    CU_ASSERT_EQUAL(json_match(p, p->count, doc, &m), OK);
    CU_ASSERT_EQUAL(buf_append_char(out, '['), OK);
    for (uint32_t i = 0; i < m.count; i++) {
        CU_ASSERT_EQUAL(i == 0 ? OK : buf_append_char(out, ','), OK);
        CU_ASSERT_EQUAL(json_print(doc + m.v[i], NULL, out), OK);
    }
    CU_ASSERT_EQUAL(buf_append_char(out, ']'), OK);
    json_matches_fini(&m);
}

static const char *const matching[][2] = {
    {"$.a.a", "[1]"},
    {".a.a", "[1]"},
    {"a.a", "[1]"},
    {"$['a']['a']", "[1]"},
    {"$[\"a b\"]['it\\'s']", "[true]"},
    {"$['a b'][\"q\\\"\"]", "[null]"},
    {"$['a b']['q\"']", "[null]"},
    {"$['\\u00fc']", "[5]"},
    {"$.\xc3\xbc", "[5]"},
    {"$.x-y", "[6]"},
    {"$.a.b[*]", "[10,20,30,40]"},
    {"$.a.b[-1]", "[40]"},
    {"$.a.b[ 0 , -1 ]", "[10,40]"},
    {"$.a.b[1:3]", "[20,30]"},
    {"$.a.b[-3:-1]", "[20,30]"},
    {"$.a.b[::-2]", "[40,20]"},
    {"$.a.b[3:0:-1]", "[40,30,20]"},
    {"$.a.b[::0]", "[]"},
    {"$.a.b[5:]", "[]"},
    {"$.a.b[:99:9223372036854775807]", "[10]"},
    {"$.a.b[-9223372036854775808:9223372036854775807]", "[10,20,30,40]"},
    {"$.a.b[0,0]", "[10,10]"},
    {"$..a", "[1,{\"a\":1,\"b\":[10,20,30,40]}]"},
    {"$..b[0]", "[10]"},
    {"$..[1]", "[20,{\"n\":2.0,\"s\":\"two\",\"t\":[]}]"},
    {"$..n", "[1,2.0,3]"},
    {"$.l[?(@.n)].n", "[1,2.0,3]"},
    {"$.l[?(@.n > 1)].n", "[2.0,3]"},
    {"$.l[?(@.n==2)].s", "[\"two\"]"},
    {"$.l[?@.n>=$.lim].n", "[2.0,3]"},
    {"$.l[?($.lim < @.n)].n", "[3]"},
    {"$.l[?(@.n==1||@.n==3)].n", "[1,3]"},
    {"$.l[?(@.n==1||@.n==3&&@.s=='one')].n", "[1]"},
    {"$.l[?((@.n==1||@.n==3)&&@.s=='one')].n", "[1]"},
    {"$.l[?(!(@.n==1))].n", "[2.0,3]"},
    {"$.l[?(@.s =~ \"^t\")].n", "[2.0,3]"},
    {"$.l[?(@.s =~ 'th.r$')].n", "[3]"},
    {"$.l[?(@.s =~ '(')].n", "[]"},
    {"$.l[?(@.s < 'p')].n", "[1]"},
    {"$.l[?(@.t == @.t)].n", "[1,2.0,3]"},
    {"$.l[?(@[0] == 1)]", "[[1]]"},
    {"$.l[?(@.nope == null)].n", "[]"},
    {"$.*[?(@ == true)]", "[true]"},
    {"$['a b'][?(@ == null)]", "[null]"},
    {"$.b[0]", "[]"},
    {"$.l.n", "[]"},
    {"$.l[*].s", "[\"one\",\"two\",\"th\xc3\xbcr\"]"},
    {"$.a.*", "[1,[10,20,30,40]]"},
};

static void paths_match(void)
{
    struct json_fault unused;
    struct buf doc = {0};
    struct buf text = {0};

    CU_ASSERT_FATAL(json_parse(slice_of(document), &doc, &unused));
    for (size_t i = 0; i < sizeof(matching) / sizeof(matching[0]); i++) {
        char fault[JSON_FAULT_BYTES];
        struct json_path p;
        struct slice path = unit_guard(slice_of(matching[i][0]));

        if (!json_path_parse(path, &p, fault)) {
            printf("%s: %s\n", matching[i][0], fault);
            CU_FAIL("no path");
        } else {
            print_matches(&p, doc.ptr, &text);
            if (!slice_is(buf_slice(&text), slice_of(matching[i][1]))) {
                printf("%s: %.*s\n", matching[i][0], (int)text.len, text.ptr);
                CU_FAIL("matches something else");
            }
        }
        json_path_fini(&p);
    }
    buf_fini(&doc);
    buf_fini(&text);
}

static void what_is_no_path(void)
{
    static const char *const rows[] = {
        "$.",
        "$[",
        "$[]",
        "$[1",
        "$[1,]",
        "$['a]",
        "$['a'",
        "$..",
        "$x y",
        "$.a[",
        "$[?",
        "$[?()]",
        "$[?(@.a]",
        "$[?(@.a))]",
        "$[?(@.a ==)]",
        "$[?(== 1)]",
        "$[?(@.a & @.b)]",
        "$[?(@..a)]",
        "$[?(@.*)]",
        "$[?(@[?(@)])]",
        "$[1:2:3:4]",
        "$[abc]",
        "$.a b",
        "$[?(@.a==[1])]",
        "",
        "$[?(@.a==1 2)]",
        "$['a'x]",
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char fault[JSON_FAULT_BYTES] = "";
        struct json_path p;
        bool fine = json_path_parse(unit_guard(slice_of(rows[i])), &p, fault);

        if (fine || strncmp(fault, "JSONPath: ", 10) != 0) {
            printf("%s\n", rows[i]);
            CU_FAIL("a path");
        }
        json_path_fini(&p);
    }
}

/* Every prefix and every byte changed: it is read or refused, within its bytes. */
static void odd_paths_do_no_harm(void)
{
    static const char path[] =
        "$..a['b',\"c\"][1:2:-3,4][?(!(@.a=='x\\'y'&&$[0]>1.5e3)||@=~'a')].*";
    struct rand r = {unit_seed()};
    struct json_fault unused;
    struct buf doc = {0};

    CU_ASSERT_FATAL(json_parse(slice_of(document), &doc, &unused));
    for (int i = 0; i < 4000; i++) {
        char text[sizeof(path)];
        char fault[JSON_FAULT_BYTES];
        size_t len = sizeof(path) - 1;
        struct json_matches m;
        struct json_path p;

        memcpy(text, path, sizeof(path));
        if (i % 2 == 0) {
            len = rand_below(&r, len);
        } else {
            text[rand_below(&r, len)] = path[rand_below(&r, len)];
        }
        if (json_path_parse(unit_guard((struct slice){text, len}), &p, fault)) {
            CU_ASSERT_EQUAL(json_match(&p, p.count, doc.ptr, &m), OK);
            json_matches_fini(&m);
        }
        json_path_fini(&p);
    }
    buf_fini(&doc);
}

/* A path of few bytes over a document of few bytes that would match billions. */
static void looking_is_bounded(void)
{
    static const char *const paths[] = {"$..*..*..*..*..*..*..*..*..*", "$[*,*]",
                                        "$..[?(@==$)]..[?(@==$)]..[?(@==$)]..*..*..*..*..*"};
    char text[257];
    struct json_fault unused;
    struct buf doc = {0};

    memset(text, '[', 128);
    memset(text + 128, ']', 128);
    CU_ASSERT_FATAL(json_parse((struct slice){text, 256}, &doc, &unused));
    for (size_t i = 0; i < 3; i++) {
        char fault[JSON_FAULT_BYTES];
        struct json_matches m;
        struct json_path p;

        if (json_path_parse(slice_of(paths[i]), &p, fault)) {
            int err = json_match(&p, p.count, doc.ptr, &m);

            CU_ASSERT(i > 0 || err == ERR_LIMIT);
            json_matches_fini(&m);
        }
        json_path_fini(&p);
    }
    buf_fini(&doc);
}

static void expressions_match(void)
{
    static const struct {
        const char *pattern, *text;
        int want; /* -1: no expression */
    } rows[] = {
        {"a", "xay", 1},
        {"^a", "xa", 0},
        {"a$", "xa", 1},
        {"a$", "ax", 0},
        {"", "", 1},
        {"^$", "x", 0},
        {"a*b", "aaab", 1},
        {"^a+$", "", 0},
        {"^a?b$", "ab", 1},
        {"^(ab|cd|ef)+$", "abefcd", 1},
        {"^(ab|cd)$", "abcd", 0},
        {"^a{2,3}$", "aa", 1},
        {"^a{2,3}$", "aaaa", 0},
        {"^a{2}$", "aaa", 0},
        {"^a{2,}$", "aaaaa", 1},
        {"^a{0}b$", "b", 1},
        {"^a{0,2}$", "aa", 1},
        {"^(a|b|)c$", "c", 1},
        {"[a-c]x", "bx", 1},
        {"[^a-c]x", "bx", 0},
        {"^\\d+$", "0123", 1},
        {"\\D", "12", 0},
        {"^\\w+$", "a_9", 1},
        {"\\s", "a b", 1},
        {"^\\S+$", "a b", 0},
        {"\\bfoo\\b", "a foo b", 1},
        {"\\bfoo\\b", "afoob", 0},
        {"^.$", "\xc3\xbc", 1},
        {"[\xc3\xbc]", "\xc3\xbc", 1},
        {"^.$", "\n", 0},
        {"(?i)HeLLo", "hEllO", 1},
        {"(?i)[a-c]", "B", 1},
        {"a.c", "abc", 1},
        {"\\.", "a", 0},
        {"[]a]", "]", 1},
        {"[\\]]", "]", 1},
        {"a|b", "b", 1},
        {"(a", "a", -1},
        {"a)", "a", -1},
        {"*a", "a", -1},
        {"[a", "a", -1},
        {"a{3,2}", "a", -1},
        {"a\\", "a", -1},
        {"[z-a]", "a", -1},
        {"(a{1000}){1000}", "a", -1},
        {"a**", "a", -1},
        {"(?:ab)+?c", "ababc", 1},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_regex *r;
        int err = json_regex_create(unit_guard(slice_of(rows[i].pattern)), &r);
        int got = err == OK ? json_regex_matches(r, unit_guard(slice_of(rows[i].text))) : -1;

        if (got != rows[i].want) {
            printf("%s on %s: %d\n", rows[i].pattern, rows[i].text, got);
            CU_FAIL("an expression");
        }
        json_regex_destroy(r);
    }
}

/* What makes others take exponential time. */
static void expressions_take_their_time_only(void)
{
    static char text[20000];
    struct json_regex *r;

    memset(text, 'a', sizeof(text));
    CU_ASSERT_EQUAL_FATAL(json_regex_create(SLICE("^(a*)*(a|a)*(a+)+$b"), &r), OK);
    CU_ASSERT_FALSE(json_regex_matches(r, (struct slice){text, sizeof(text)}));
    json_regex_destroy(r);
}

static void memory_may_end_anywhere(void)
{
    struct json_fault unused;
    struct buf doc = {0};

    CU_ASSERT_FATAL(json_parse(slice_of(document), &doc, &unused));
    for (int nth = 1;; nth++) {
        char fault[JSON_FAULT_BYTES] = "x";
        struct json_matches m = {0};
        struct json_path p;
        int err = OK;

        fault_fail_nth(nth);
        bool fine = json_path_parse(SLICE("$..['s',\"q\\\"\"][?(@.a=~'x')]"), &p, fault);

        if (fine) {
            err = json_match(&p, p.count, doc.ptr, &m);
        }
        bool fired = fault_off() >= nth;

        CU_ASSERT(fired ? (fine ? err == ERR_NOMEM : fault[0] == '\0') : fine && err == OK);
        json_matches_fini(&m);
        json_path_fini(&p);
        if (!fired) {
            break;
        }
    }
    buf_fini(&doc);
}

const struct unit_test test_json_path[] = {
    UNIT(paths_match),
    UNIT(what_is_no_path),
    UNIT(odd_paths_do_no_harm),
    UNIT(looking_is_bounded),
    UNIT(expressions_match),
    UNIT(expressions_take_their_time_only),
    UNIT(memory_may_end_anywhere),
    UNIT_END,
};
