#include "base/conf.h"
#include "base/conf_file.h"
#include "base/err.h"
#include "base/fault.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <sys/stat.h>

#define CONF_ROWS "tests/unit/base/conf_rows.def"
#include "base/conf_define.h"

#define GROUP(sym, title)              &opt_group_##sym,
#define OPT(sym, type, flags, meaning) &opt_##sym,
#define ALIAS(sym, target)             &opt_##sym,
static struct conf_opt *const rows[] = {
#include "tests/unit/base/conf_rows.def"
};
#undef GROUP
#undef OPT
#undef ALIAS

#define ARGS_MAX 16

static struct buf why;

static void begin(void)
{
    conf_use(rows, sizeof(rows) / sizeof(rows[0]));
    conf_reset();
    buf_init(&why);
}

static void end(void)
{
    conf_reset();
    buf_fini(&why);
}

static const char *reason(void)
{
    return buf_terminate(&why) == OK ? why.ptr : "";
}

/* Loads copies of a blank-separated line of flags and one of variables; the arguments as they were
 * left stay readable in arg_text. */
static char arg_text[1024], env_text[1024];

static int split(char *text, size_t most, const char *from, char **out)
{
    int n = 0;
    char *rest = text;

    (void)snprintf(text, most, "%s", from);
    while (*rest != '\0' && n < ARGS_MAX - 1) {
        size_t len = strcspn(rest, " ");
        bool last = rest[len] == '\0';

        out[n++] = rest;
        rest[len] = '\0';
        rest += len + !last;
    }
    out[n] = NULL;
    return n;
}

static int load(const char *flags, const char *env)
{
    char *argv[ARGS_MAX], *envp[ARGS_MAX];

    buf_clear(&why);
    split(arg_text, sizeof(arg_text), flags, argv);
    split(env_text, sizeof(env_text), env, envp);
    return conf_load((struct conf_input){.argv = argv, .env = envp}, &why);
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT(fputs(text, f) >= 0);
    CU_ASSERT_EQUAL(fclose(f), 0);
}

static bool shows(struct conf_opt *o, const char *text)
{
    struct buf b;
    bool same;

    buf_init(&b);
    same = conf_show(o, &b) == OK && slice_is(buf_slice(&b), slice_of(text));
    buf_fini(&b);
    return same;
}

static void defaults_hold_before_anything_is_loaded(void)
{
    begin();
    CU_ASSERT_EQUAL(conf_u64(&opt_t_size), 64 * MIB);
    CU_ASSERT_EQUAL(conf_i64(&opt_t_signed), -2);
    CU_ASSERT_EQUAL(conf_enum(&opt_t_policy), 1);
    CU_ASSERT_STRING_EQUAL(conf_str(&opt_t_path), "./data");
    CU_ASSERT(conf_is_default(&opt_t_size));
    end();
}

static void flags_win_over_environment_over_file(void)
{
    char flags[600];
    const char *path = unit_path("a.conf");

    begin();
    put_file(path, "# first\nt-count 1\nt-size = 1mb\n\n  t-wait 5s\t\r\n");
    (void)snprintf(flags, sizeof(flags), "--config %s --t-count=3", path);
    CU_ASSERT_EQUAL(load(flags, "GODWIT_T_COUNT=2 GODWIT_T_SIZE=2mb HOME=/x"), OK);
    CU_ASSERT_EQUAL(conf_u64(&opt_t_count), 3);
    CU_ASSERT_EQUAL(conf_u64(&opt_t_size), 2 * MIB);
    CU_ASSERT_EQUAL(conf_u64(&opt_t_wait), 5000);
    CU_ASSERT_FALSE(conf_is_default(&opt_t_count));
    CU_ASSERT(conf_is_default(&opt_t_policy));
    buf_clear(&why);
    CU_ASSERT_EQUAL(conf_origin(&opt_t_size, &why), OK);
    CU_ASSERT_STRING_EQUAL(reason(), "environment GODWIT_T_SIZE");
    end();
}

static void the_environment_may_name_the_file(void)
{
    char env[600];
    const char *path = unit_path("a.conf");

    begin();
    put_file(path, "t-size 3mb");
    (void)snprintf(env, sizeof(env), "GODWIT_CONFIG=%s", path);
    CU_ASSERT_EQUAL(load("", env), OK);
    CU_ASSERT_EQUAL(conf_u64(&opt_t_size), 3 * MIB);
    end();
}

/* What each type accepts, as CONFIG GET shows it afterwards; NULL is refused. */
static const struct {
    struct conf_opt *opt;
    const char *given, *shown;
} values[] = {
    {&opt_t_count, "7", "7"},
    {&opt_t_count, "07", NULL},
    {&opt_t_count, "101", NULL},
    {&opt_t_count, "-1", NULL},
    {&opt_t_count, "", NULL},
    {&opt_t_port, "0", "0"},
    {&opt_t_port, "Auto", "auto"},
    {&opt_t_port, "65535", "65535"},
    {&opt_t_port, "65536", NULL},
    {&opt_t_port, "any", NULL},
    {&opt_t_signed, "-5", "-5"},
    {&opt_t_signed, "-11", NULL},
    {&opt_t_size, "10k", "10000"},
    {&opt_t_size, "10KB", "10240"},
    {&opt_t_size, "1GB", "1073741824"},
    {&opt_t_size, "5b", NULL}, /* below the least */
    {&opt_t_size, "1.5gb", NULL},
    {&opt_t_size, "-1", NULL},
    {&opt_t_size, "99999999999gb", NULL}, /* overflows */
    {&opt_t_size, "gb", NULL},
    {&opt_t_wait, "250", "250"},
    {&opt_t_wait, "2m", "120000"},
    {&opt_t_wait, "10us", NULL}, /* not a whole number of ms */
    {&opt_t_slow, "-1", "-1"},
    {&opt_t_slow, "10ms", "10000"},
    {&opt_t_slow, "5 s", NULL},
    {&opt_t_on, "yes", "yes"},
    {&opt_t_on, "NO", "no"},
    {&opt_t_on, "true", NULL},
    {&opt_t_policy, "ALPHA", "alpha"},
    {&opt_t_policy, "alp", NULL},
    {&opt_t_policy, "alpha|beta", NULL},
    {&opt_t_policy, "", NULL},
    {&opt_t_nothing, "", ""},
    {&opt_t_nothing, "900 1", NULL},
    {&opt_t_text, "with blanks", "with blanks"},
    {&opt_t_text, "a\nb", NULL},
    {&opt_t_text, "longer than twenty chars", NULL},
    {&opt_t_where, "127.0.0.1 ::1,-*", "127.0.0.1 ::1,-*"},
    {&opt_t_where, "256.0.0.1", NULL},
    {&opt_t_where, " ", NULL},
    {&opt_t_where, "example.com", NULL},
    {&opt_t_alias, "9", "9"},
    {&opt_t_size, "8mb", "8388608"},
};

static void each_type_takes_its_own_form(void)
{
    begin();
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        bool done;

        buf_clear(&why);
        CU_ASSERT_EQUAL(conf_may_set(values[i].opt, slice_of(values[i].given), &why),
                        values[i].shown != NULL);
        buf_clear(&why);
        done = conf_set(values[i].opt, unit_guard(slice_of(values[i].given)), &why);
        if (done != (values[i].shown != NULL) || (done && !shows(values[i].opt, values[i].shown)) ||
            (!done && why.len == 0)) {
            printf("    row %zu: %s\n", i, values[i].given);
            CU_FAIL("a row differs");
        }
    }
    CU_ASSERT_EQUAL(conf_u64(&opt_t_count), 9); /* by its alias */
    end();
}

/* The start's complaints name the setting, the value, the place, and what is allowed. */
static const struct {
    const char *flags, *env, *file;
    const char *parts[4];
} bad[] = {
    {"--t-count 1000", "", "", {"\"t-count\"", "\"1000\"", "flag --t-count", "1 to 100"}},
    {"--t-cuont 1", "", "", {"unknown setting \"t-cuont\"", "--t-cuont", "\"t-count\"?", "?"}},
    {"--t-count", "", "", {"\"t-count\"", "needs a value", "flag --t-count", "1 to 100"}},
    {"t-count 1", "", "", {"unexpected argument", "\"t-count\"", "--name value", ""}},
    {"", "GODWIT_T_POLICY=x", "", {"\"t-policy\"", "\"x\"", "GODWIT_T_POLICY", "alpha, beta"}},
    {"", "GODWIT_NOTHING_LIKE_IT=1", "", {"unknown", "GODWIT_NOTHING_LIKE_IT", "--help", ""}},
    {"", "", "\n# c\nt-on maybe\n", {"\"t-on\"", "\"maybe\"", "a.conf:3", "yes or no"}},
    {"", "", "t-on yes\nwrong 1\n", {"unknown setting \"wrong\"", "a.conf:2", "", ""}},
    {"--t-secret-file /nonexistent/x", "", "", {"t-secret-file", "/nonexistent/x", "No such", ""}},
    {"--t-count-file x", "", "", {"unknown setting \"t-count-file\"", "", "", ""}},
    {"--config /nonexistent/c", "", "", {"\"config\"", "/nonexistent/c", "No such file", ""}},
};

static void complaints_say_what_where_and_what_instead(void)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char flags[600];
        const char *path = unit_path("a.conf");

        begin();
        put_file(path, bad[i].file);
        (void)snprintf(flags, sizeof(flags), "%s%s%s%s", bad[i].file[0] != '\0' ? "--config " : "",
                       bad[i].file[0] != '\0' ? path : "", bad[i].file[0] != '\0' ? " " : "",
                       bad[i].flags);
        if (flags[0] != '\0' && flags[strlen(flags) - 1] == ' ') {
            flags[strlen(flags) - 1] = '\0';
        }
        CU_ASSERT_EQUAL(load(flags, bad[i].env), ERR_INVALID);
        for (int p = 0; p < 4; p++) {
            if (strstr(reason(), bad[i].parts[p]) == NULL) {
                printf("    row %zu: no %s in: %s\n", i, bad[i].parts[p], reason());
                CU_FAIL("a part is missing");
            }
        }
        end();
    }
}

static void secrets_are_used_and_not_shown(void)
{
    char flags[600];
    const char *path = unit_path("secret");
    struct buf b;

    begin();
    buf_init(&b);
    CU_ASSERT(shows(&opt_t_secret, "")); /* none set: nothing to hide */
    CU_ASSERT_EQUAL(load("--t-secret swordfish", "GODWIT_T_SECRET=herring"), OK);
    CU_ASSERT_EQUAL(conf_reveal(&opt_t_secret, &b), OK);
    CU_ASSERT(slice_is(buf_slice(&b), SLICE("swordfish")));
    CU_ASSERT(shows(&opt_t_secret, "<redacted>"));
    /* ps shows argv, and with `e` the environment. */
    CU_ASSERT_PTR_NULL(memmem(arg_text, sizeof(arg_text), "swordfish", 9));
    CU_ASSERT_PTR_NULL(memmem(env_text, sizeof(env_text), "herring", 7));
    CU_ASSERT_EQUAL(load("--t-secret a_secret_of_more_than_thirty_two_bytes", ""), ERR_INVALID);
    CU_ASSERT_PTR_NULL(strstr(reason(), "a_secret"));
    put_file(path, "from a file\n");
    (void)snprintf(flags, sizeof(flags), "--t-secret-file %s", path);
    CU_ASSERT_EQUAL(load(flags, ""), OK);
    buf_clear(&b);
    CU_ASSERT_EQUAL(conf_reveal(&opt_t_secret, &b), OK);
    CU_ASSERT(slice_is(buf_slice(&b), SLICE("from a file")));
    buf_fini(&b);
    end();
}

static void flags_of_yes_and_no_may_stand_alone(void)
{
    begin();
    CU_ASSERT_EQUAL(load("--t-on --t-count 4", ""), OK);
    CU_ASSERT(conf_bool(&opt_t_on));
    CU_ASSERT_EQUAL(conf_u64(&opt_t_count), 4);
    CU_ASSERT_EQUAL(load("--t-on no", ""), OK);
    CU_ASSERT_FALSE(conf_bool(&opt_t_on));
    end();
}

static bool is_even(struct slice text, struct buf *reason_out)
{
    if (text.len % 2 == 0) {
        return true;
    }
    (void)!buf_append_str(reason_out, "odd");
    return false;
}

static int applied;

static void count_apply(const struct conf_opt *opt)
{
    (void)opt;
    applied++;
}

static void only_reloadable_settings_change_and_their_readers_hear(void)
{
    begin();
    conf_hook(&opt_t_text, is_even, count_apply);
    applied = 0;
    CU_ASSERT(conf_set(&opt_t_text, SLICE("ab"), &why));
    CU_ASSERT_FALSE(conf_set(&opt_t_text, SLICE("abc"), &why));
    CU_ASSERT_STRING_EQUAL(reason(), "odd");
    CU_ASSERT_EQUAL(applied, 1);
    CU_ASSERT(shows(&opt_t_text, "ab"));
    buf_clear(&why);
    CU_ASSERT_FALSE(conf_set(&opt_t_path, SLICE("/x"), &why));
    CU_ASSERT_STRING_EQUAL(reason(), "can't set immutable config");
    CU_ASSERT_STRING_EQUAL(conf_str(&opt_t_path), "./data");
    conf_hook(&opt_t_text, NULL, NULL);
    end();
}

static void settings_are_found_by_any_case_and_alias(void)
{
    begin();
    CU_ASSERT_PTR_EQUAL(conf_find(SLICE("T-Count")), &opt_t_count);
    CU_ASSERT_PTR_EQUAL(conf_resolve(conf_find(SLICE("t-alias"))), &opt_t_count);
    CU_ASSERT_PTR_NULL(conf_find(SLICE("testing"))); /* a group */
    CU_ASSERT_PTR_NULL(conf_find(SLICE("")));
    end();
}

static void rewrite_keeps_comments_and_order(void)
{
    char flags[600];
    const char *path = unit_path("a.conf");
    struct stat st;
    struct buf text;

    begin();
    buf_init(&text);
    CU_ASSERT_EQUAL(conf_rewrite(&why), ERR_INVALID); /* without a file */
    put_file(path, "# one\nt-alias = 5\n\nt-size 1mb\n# two\nt-alias 6\nt-text plain");
    CU_ASSERT_EQUAL(chmod(path, 0640), 0);
    (void)snprintf(flags, sizeof(flags), "--t-size 2mb --config %s", path);
    CU_ASSERT_EQUAL(load(flags, ""), OK);
    CU_ASSERT(conf_set(&opt_t_count, SLICE("9"), &why));
    CU_ASSERT(conf_set(&opt_t_text, SLICE(" \"x\\"), &why));
    CU_ASSERT(conf_set(&opt_t_wait, SLICE("2s"), &why));
    CU_ASSERT_EQUAL(conf_rewrite(&why), OK);
    CU_ASSERT_EQUAL(conf_file_read(path, 4096, &text), OK);
    CU_ASSERT_EQUAL(buf_terminate(&text), OK);
    CU_ASSERT_STRING_EQUAL(text.ptr, "# one\nt-alias = 9\n\nt-size 1mb\n# two\n"
                                     "t-text \" \\\"x\\\\\"\nt-wait 2000\n");
    CU_ASSERT_EQUAL(stat(path, &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 0777, 0640);
    conf_reset();
    CU_ASSERT_EQUAL(load(flags, ""), OK); /* and it can be read again */
    CU_ASSERT(shows(&opt_t_text, " \"x\\"));
    buf_fini(&text);
    end();
}

static int two_lines(struct buf *out)
{
    return buf_append_str(out, "t-lines x\nt-lines y\n");
}

/* Each adds to those before, quotes and all; REWRITE asks who keeps them by now. */
static void lines_may_stand_many_times(void)
{
    char flags[600];
    const char *path = unit_path("a.conf");
    struct buf text;

    begin();
    buf_init(&text);
    put_file(path, "t-lines \"a b\" c\n# two\nt-count 5\nt-lines 'd\n");
    (void)snprintf(flags, sizeof(flags), "--config %s --t-lines e", path);
    CU_ASSERT_EQUAL(load(flags, ""), OK);
    CU_ASSERT_STRING_EQUAL(conf_str(&opt_t_lines), "\"a b\" c\n'd\ne");
    CU_ASSERT_EQUAL(conf_rewrite(&why), OK); /* nobody keeps them: they stay */
    CU_ASSERT_EQUAL(conf_file_read(path, 4096, &text), OK);
    CU_ASSERT_PTR_NOT_NULL(memmem(text.ptr, text.len, "t-lines \"a b\" c\n", 16));
    conf_lines_hook(&opt_t_lines, two_lines);
    CU_ASSERT_EQUAL(conf_rewrite(&why), OK);
    buf_clear(&text);
    CU_ASSERT_EQUAL(conf_file_read(path, 4096, &text), OK);
    CU_ASSERT(slice_is(buf_slice(&text), SLICE("# two\nt-count 5\nt-lines x\nt-lines y\n")));
    conf_forget(&opt_t_lines);
    CU_ASSERT_STRING_EQUAL(conf_str(&opt_t_lines), "");
    conf_lines_hook(&opt_t_lines, NULL);
    buf_fini(&text);
    end();
}

static void help_and_manual_name_every_setting(void)
{
    struct buf b;

    begin();
    buf_init(&b);
    CU_ASSERT_EQUAL(conf_help(&b), OK);
    CU_ASSERT_EQUAL(buf_terminate(&b), OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(b.ptr, "\nTesting\n  --config PATH"));
    CU_ASSERT_PTR_NOT_NULL(strstr(b.ptr, "--t-size BYTES"));
    CU_ASSERT_PTR_NOT_NULL(strstr(b.ptr, "[64mb]"));
    CU_ASSERT_PTR_NULL(strstr(b.ptr, "t-nothing")); /* only for Redis' tools */
    buf_clear(&b);
    CU_ASSERT_EQUAL(conf_manual(&b), OK);
    CU_ASSERT_EQUAL(buf_terminate(&b), OK);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(b.ptr, "| `t-count`<br>`t-alias` | `10` | 1 to 100 | CONFIG SET |"));
    CU_ASSERT_PTR_NOT_NULL(strstr(b.ptr, "t-nothing"));
    buf_fini(&b);
    end();
}

static void survives_every_fault(void)
{
    char flags[600];
    const char *path = unit_path("a.conf");
    int nth = 0, err;

    put_file(path, "t-text \"quoted\"\nt-secret x\n");
    (void)snprintf(flags, sizeof(flags), "--t-text flag --config %s", path);
    do {
        begin();
        fault_fail_nth(++nth);
        err = load(flags, "GODWIT_T_COUNT=5");
        if (err == OK && !conf_set(&opt_t_text, SLICE("set"), &why)) {
            err = ERR_NOMEM;
        }
        if (err == OK) {
            err = conf_rewrite(&why);
        }
        fault_off();
        end();
    } while (err != OK && nth < 100);
    CU_ASSERT_EQUAL(err, OK);
    CU_ASSERT(nth > 8);
}

const struct unit_test test_conf[] = {
    UNIT(defaults_hold_before_anything_is_loaded),
    UNIT(flags_win_over_environment_over_file),
    UNIT(the_environment_may_name_the_file),
    UNIT(each_type_takes_its_own_form),
    UNIT(complaints_say_what_where_and_what_instead),
    UNIT(secrets_are_used_and_not_shown),
    UNIT(flags_of_yes_and_no_may_stand_alone),
    UNIT(only_reloadable_settings_change_and_their_readers_hear),
    UNIT(settings_are_found_by_any_case_and_alias),
    UNIT(rewrite_keeps_comments_and_order),
    UNIT(lines_may_stand_many_times),
    UNIT(help_and_manual_name_every_setting),
    UNIT(survives_every_fault),
    UNIT_END,
};
