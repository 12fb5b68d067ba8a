/* fuzz_acl.c - lines of rules, as SETUSER's arguments and as a file of users. Nothing may be read past its
 * end; what was accepted is said again in rules that mean the same; and what was judged is judged so again. */
#include "base/err.h"
#include "cli/options.h"
#include "edge/acl.h"
#include "edge/commands.h"
#include "node/cmd/families.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS_MAX = 64 };

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

static void once(void)
{
    static bool done;

    if (!done) {
        done = true;
        options_use();
        edge_register_commands();
        families_register();
        cmd_freeze();
        require(acl_init() == OK);
    }
}

static uint32_t split(struct slice text, char at, struct slice out[WORDS_MAX])
{
    uint32_t n = 0;

    while (text.len > 0 && n < WORDS_MAX) {
        const char *end = memchr(text.ptr, at, text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.ptr);
        size_t used = len + (end != NULL);

        out[n++] = (struct slice){text.ptr, len};
        text = (struct slice){text.ptr + used, text.len - used};
    }
    return n;
}

static bool same_selector(const struct acl_selector *a, const struct acl_selector *b)
{
    return a->all_keys == b->all_keys && a->all_channels == b->all_channels &&
           a->all_commands == b->all_commands && a->adds_future == b->adds_future &&
           memcmp(a->allowed, b->allowed, sizeof(a->allowed)) == 0 &&
           a->keys.count == b->keys.count && a->channels.count == b->channels.count &&
           a->firsts.count == b->firsts.count;
}

/* What some calls come to. */
static void judge(const struct acl_rules *r, const struct acl_rules *again)
{
    static const struct slice calls[][4] = {
        {SLICE("GET"), SLICE("a")},
        {SLICE("SET"), SLICE("a"), SLICE("v"), SLICE("GET")},
        {SLICE("COPY"), SLICE("a"), SLICE("b")},
        {SLICE("PUBLISH"), SLICE("a"), SLICE("b")},
        {SLICE("PSUBSCRIBE"), SLICE("a*")},
        {SLICE("SELECT"), SLICE("0")},
    };

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        uint32_t argc = 0, at = 0, at_again = 0;

        while (argc < 4 && calls[i][argc].ptr != NULL) {
            argc++;
        }
        const struct cmd_def *def = cmd_find(calls[i][0]);

        require(acl_check(r, def, calls[i], argc, &at) ==
                acl_check(again, def, calls[i], argc, &at_again));
        require(at == at_again && at < argc);
    }
}

/* The words of a description, as a file of users has them. */
static void say_again(const struct acl_rules *r)
{
    struct acl_rules *again = acl_rules_create();
    struct buf text = {0}, more = {0}, culprit = {0};
    struct slice *words;
    struct slice rest;
    uint32_t n = 0;

    require(again != NULL && acl_rules_describe(r, true, &text) == OK);
    words = malloc((text.len + 1) * sizeof(words[0]));
    require(words != NULL);
    for (rest = buf_slice(&text); rest.len > 0;) {
        const char *end = memchr(rest.ptr, ' ', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.ptr);
        size_t used = len + (end != NULL);

        words[n++] = (struct slice){rest.ptr, len};
        rest = (struct slice){rest.ptr + used, rest.len - used};
    }
    require(acl_rules_apply_all(again, words, n, &culprit) == ACL_FINE);
    require(acl_rules_describe(again, true, &more) == OK);
    require(slice_is(buf_slice(&text), buf_slice(&more)));
    require(r->selector_count == again->selector_count &&
            r->password_count == again->password_count);
    for (uint32_t i = 0; i < r->selector_count; i++) {
        require(same_selector(r->selectors[i], again->selectors[i]));
    }
    judge(r, again);
    free(words);
    buf_fini(&text);
    buf_fini(&more);
    buf_fini(&culprit);
    acl_rules_destroy(again);
}

static void as_rules(struct slice text)
{
    struct slice words[WORDS_MAX];
    uint32_t n = split(text, '\n', words);
    struct acl_rules *r = acl_rules_create();
    struct buf culprit = {0};

    require(r != NULL);
    /* What stood before the fault was applied, and must be as good. */
    (void)!acl_rules_apply_all(r, words, n, &culprit);
    say_again(r);
    buf_fini(&culprit);
    acl_rules_destroy(r);
}

static void as_file(struct slice text, const char *file)
{
    struct acl_changes changes;
    struct buf why = {0}, saved = {0}, again = {0};

    if (acl_load(text, file, &why, &changes)) {
        acl_changes_free(&changes);
        require(acl_save(false, &saved) == OK);
        require(acl_load(buf_slice(&saved), "again", &why, &changes));
        acl_changes_free(&changes);
        require(acl_save(false, &again) == OK);
        require(slice_is(buf_slice(&saved), buf_slice(&again)));
    } else {
        require(why.len > 0);
    }
    buf_fini(&why);
    buf_fini(&saved);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data + 1, size - 1};

    once();
    if (size < 2 || size > 4096) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        as_rules(text);
        break;
    case 1:
        as_file(text, "users.acl");
        break;
    default:
        as_file(text, NULL);
        break;
    }
    return 0;
}
