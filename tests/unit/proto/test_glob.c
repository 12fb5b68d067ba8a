#include "proto/glob.h"

#include "base/rand.h"
#include "tests/lib/unit.h"

#include <stdio.h>

/* clang-format off */
static const struct {
    const char *pattern, *text;
    bool match, match_nocase;
} rows[] = {
    {"", "", true, true},            {"", "a", false, false},       {"a", "", false, false},
    {"*", "", true, true},           {"*", "anything", true, true}, {"**", "", false, false}, /* as Redis */
    {"a*", "a", true, true},         {"a**", "a", true, true},      {"a?", "a", false, false},
    {"h?llo", "hello", true, true},  {"h*llo", "heeeello", true, true}, {"h*llo", "heeeell", false, false},
    {"Hello", "hello", false, true}, {"h[ae]llo", "hallo", true, true}, {"h[ae]llo", "hillo", false, false},
    {"h[^e]llo", "hallo", true, true}, {"h[^e]llo", "hello", false, false},
    {"h[a-c]llo", "hbllo", true, true}, {"h[c-a]llo", "hbllo", true, true}, {"h[A-C]llo", "hbllo", false, true},
    {"[a-", "a", true, true},        {"[a", "a", true, true},       {"[", "a", false, false},
    {"[^", "a", true, true},         {"[]a", "a", false, false},    {"[\\]]", "]", true, true},
    {"[\\", "\\", true, true},       {"\\*", "*", true, true},      {"\\*", "a", false, false},
    {"a\\", "a\\", true, true},      {"\\a", "a", true, true},      {"*a*b*c", "xaxbxc", true, true},
    {"*a*b*c", "xbxaxc", false, false}, {"*abc", "ababc", true, true}, {"*?*?", "ab", true, true},
    {"*?*?", "a", false, false},     {"[a-c]*[x-z]", "bmmy", true, true}, {"[\x01-\xff]", "\xff", true, true},
    {"foo*bar", "foobarbaz", false, false}, {"*]", "a]", true, true},
};
/* clang-format on */

static void matches_as_redis(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice p = unit_guard(slice_of(rows[i].pattern));
        struct slice t = unit_guard(slice_of(rows[i].text));

        CU_ASSERT_EQUAL(glob_match(p, t, false), rows[i].match);
        CU_ASSERT_EQUAL(glob_match(p, t, true), rows[i].match_nocase);
        if (glob_match(p, t, false) != rows[i].match) {
            fprintf(stderr, "%s %s\n", rows[i].pattern, rows[i].text);
        }
    }
}

/* Says the same by trying everything: a pattern of '*', '?' and letters. */
static bool tries_all(struct slice p, struct slice t)
{
    if (p.len == 0) {
        return t.len == 0;
    }
    if (p.ptr[0] == '*') {
        return tries_all((struct slice){p.ptr + 1, p.len - 1}, t) ||
               (t.len > 0 && tries_all(p, (struct slice){t.ptr + 1, t.len - 1}));
    }
    return t.len > 0 && (p.ptr[0] == '?' || p.ptr[0] == t.ptr[0]) &&
           tries_all((struct slice){p.ptr + 1, p.len - 1}, (struct slice){t.ptr + 1, t.len - 1});
}

static void agrees_with_trying_all_ways(void)
{
    struct rand chance = {unit_seed()};

    for (int i = 0; i < 30000; i++) {
        char p[8], t[10];
        struct slice pattern = {p, rand_below(&chance, sizeof(p))};
        struct slice text = {t, 1 + rand_below(&chance, sizeof(t) - 1)};

        for (size_t k = 0; k < pattern.len; k++) {
            p[k] = "ab?**"[rand_below(&chance, 5)];
        }
        for (size_t k = 0; k < text.len; k++) {
            t[k] = "ab"[rand_below(&chance, 2)];
        }
        CU_ASSERT_EQUAL(glob_match(pattern, text, false), tries_all(pattern, text));
    }
}

/* Tried every way, this would take longer than the universe has been there. */
static void a_hostile_pattern_ends_soon(void)
{
    static char pattern[2000], text[20000];

    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = i % 2 == 0 ? '*' : 'a';
    }
    pattern[sizeof(pattern) - 1] = 'b';
    memset(text, 'a', sizeof(text));
    CU_ASSERT_FALSE(glob_match((struct slice){pattern, sizeof(pattern)},
                               (struct slice){text, sizeof(text)}, false));
}

static void plain_patterns_are_known(void)
{
    CU_ASSERT(glob_is_plain(SLICE("")));
    CU_ASSERT(glob_is_plain(SLICE("user:1]")));
    CU_ASSERT_FALSE(glob_is_plain(SLICE("user:*")));
    CU_ASSERT_FALSE(glob_is_plain(SLICE("user:?")));
    CU_ASSERT_FALSE(glob_is_plain(SLICE("[u]")));
    CU_ASSERT_FALSE(glob_is_plain(SLICE("\\u")));
}

const struct unit_test test_glob[] = {
    UNIT(matches_as_redis),
    UNIT(agrees_with_trying_all_ways),
    UNIT(a_hostile_pattern_ends_soon),
    UNIT(plain_patterns_are_known),
    UNIT_END,
};
