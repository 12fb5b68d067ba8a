#include "tests/lib/unit.h"
#include "tests/unit/edge/toy.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/rcu.h"
#include "edge/acl.h"
#include "edge/acl_log.h"
#include "edge/auth.h"
#include "proto/cmd_doc.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct toy toy;

/* "a;b;(c d)" as rules; whether all was fine, else the fault. */
static enum acl_fault apply(struct acl_rules *r, const char *rules)
{
    struct slice argv[64];
    struct buf culprit = {0};
    uint32_t n = 0;
    enum acl_fault fault;

    for (const char *p = rules; *p != '\0'; n++) {
        size_t len = strcspn(p, ";");

        argv[n] = (struct slice){p, len};
        p += len + (p[len] == ';');
    }
    fault = acl_rules_apply_all(r, argv, n, &culprit);
    buf_fini(&culprit);
    return fault;
}

static struct acl_rules *made(const char *rules)
{
    struct acl_rules *r = acl_rules_create();

    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    CU_ASSERT_EQUAL(apply(r, rules), ACL_FINE);
    return r;
}

static bool says(const struct acl_rules *r, const char *text)
{
    struct buf out = {0};
    bool same;

    CU_ASSERT_EQUAL(acl_rules_describe(r, false, &out), OK);
    same = slice_is(buf_slice(&out), slice_of(text));
    if (!same) {
        fprintf(stderr, "is   %.*s\nnot  %s\n", (int)out.len, out.ptr, text);
    }
    buf_fini(&out);
    return same;
}

static void begin(void)
{
    toy_start(&toy, 1, "secret"); /* the table of commands */
    toy_stop(&toy);
}

/* ---- Rules ---- */

static const struct {
    const char *rules, *shown;
} described[] = {
    {"", "off sanitize-payload resetchannels -@all"},
    {"on;nopass;allkeys;allchannels;allcommands", "on nopass sanitize-payload ~* &* +@all"},
    {"ON;~*;&*;+@ALL;skip-sanitize-payload", "on skip-sanitize-payload ~* &* +@all"},
    {">x;>x", "off sanitize-payload "
              "#2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 resetchannels -@all"},
    {">x;<x", "off sanitize-payload resetchannels -@all"},
    {">x;nopass", "off nopass sanitize-payload resetchannels -@all"},
    {"nopass;>x;resetpass", "off sanitize-payload resetchannels -@all"},
    {"~a;%R~b;%w~c;%RW~d;%R~c;~a",
     "off sanitize-payload ~a %R~b ~c ~d resetchannels -@all"},
    {"~a;resetkeys;~b;&x;resetchannels;&y;&y",
     "off sanitize-payload ~b resetchannels &y -@all"},
    {"+PING;-ping;+ping", "off sanitize-payload resetchannels -@all +ping"},
    {"+@fast;+ping;-@FAST;+echo", "off sanitize-payload resetchannels -@all +ping -@fast +echo"},
    {"+@all;-ping", "off sanitize-payload resetchannels +@all -ping"},
    {"+@all;-ping;+@all", "off sanitize-payload resetchannels +@all"},
    {"+client|id;+client|kill;-client", "off sanitize-payload resetchannels -@all -client"},
    {"+client;-client|id", "off sanitize-payload resetchannels -@all +client -client|id"},
    {"+select|0;+SELECT|1", "off sanitize-payload resetchannels -@all +select|0 +select|1"},
    {"+select|0;-select", "off sanitize-payload resetchannels -@all -select"},
    {"(~a +ping);(;%R~b;)", "off sanitize-payload resetchannels -@all "
                            "(~a resetchannels -@all +ping) (%R~b resetchannels -@all)"},
    {"(~a);clearselectors", "off sanitize-payload resetchannels -@all"},
    {"on;~a;(~b);+ping;>x;reset", "off sanitize-payload resetchannels -@all"},
};

static void says_rules_as_redis(void)
{
    begin();
    for (size_t i = 0; i < sizeof(described) / sizeof(described[0]); i++) {
        struct acl_rules *r = made(described[i].rules);

        CU_ASSERT(says(r, described[i].shown));
        acl_rules_destroy(r);
    }
}

static const struct {
    const char *rules;
    enum acl_fault fault;
} bad[] = {
    {"x", ACL_SYNTAX},           {"+nosuch", ACL_UNKNOWN},       {"-nosuch", ACL_UNKNOWN},
    {"+@nosuch", ACL_UNKNOWN},   {"+client|nosuch", ACL_UNKNOWN}, {"-select|0", ACL_UNKNOWN},
    {"+", ACL_UNKNOWN},          {"+select|", ACL_SYNTAX},       {"+client|id|x", ACL_FIRST_OF_SUB},
    {"~a b", ACL_SYNTAX},        {"&a b", ACL_SYNTAX},           {"%~x", ACL_SYNTAX},
    {"%RR~x", ACL_SYNTAX},       {"%Q~x", ACL_SYNTAX},           {"~*;~a", ACL_AFTER_ALL_KEYS},
    {"&*;&a", ACL_AFTER_ALL_CHANNELS}, {"<x", ACL_NO_SUCH_PASSWORD}, {"#abc", ACL_BAD_HASH},
    {"!abc", ACL_BAD_HASH},      {"(on)", ACL_SYNTAX},           {"(~a;+ping", ACL_UNMATCHED},
    {"(\"~a)", ACL_SYNTAX},
};

static void refuses_what_is_wrong(void)
{
    begin();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct acl_rules *r = acl_rules_create();
        enum acl_fault fault = apply(r, bad[i].rules);

        if (fault != bad[i].fault) {
            fprintf(stderr, "%s: %s\n", bad[i].rules, acl_fault_text(fault));
        }
        CU_ASSERT_EQUAL(fault, bad[i].fault);
        acl_rules_destroy(r);
    }
}

static void bounds_what_a_user_has(void)
{
    static char text[LIMIT_ACL_RULE_BYTES];
    struct acl_rules *r;
    char rule[32];
    int n;

    begin();
    r = made("");
    for (n = 0; n < 2 * LIMIT_ACL_PATTERNS; n++) {
        (void)snprintf(rule, sizeof(rule), "~%d", n);
        if (acl_rules_apply(r, slice_of(rule)) == ACL_TOO_MUCH) {
            break;
        }
    }
    CU_ASSERT_EQUAL(n, LIMIT_ACL_PATTERNS);
    for (n = 0; n < 2 * LIMIT_ACL_PASSWORDS; n++) {
        (void)snprintf(rule, sizeof(rule), ">%d", n);
        if (acl_rules_apply(r, slice_of(rule)) == ACL_TOO_MUCH) {
            break;
        }
    }
    CU_ASSERT_EQUAL(n, LIMIT_ACL_PASSWORDS);
    for (n = 0; n < 2 * LIMIT_ACL_SELECTORS; n++) {
        if (acl_rules_apply(r, SLICE("(~a)")) == ACL_TOO_MUCH) {
            break;
        }
    }
    CU_ASSERT_EQUAL(n, LIMIT_ACL_SELECTORS);
    memset(text, 'x', sizeof(text));
    text[0] = '~';
    CU_ASSERT_EQUAL(acl_rules_apply(r, SLICE("resetkeys")), ACL_FINE);
    CU_ASSERT_EQUAL(acl_rules_apply(r, (struct slice){text, sizeof(text) / 2}), ACL_FINE);
    text[1] = 'y';
    CU_ASSERT_EQUAL(acl_rules_apply(r, (struct slice){text, sizeof(text) / 2}), ACL_TOO_MUCH);
    acl_rules_destroy(r);
}

/* Each allocation fails once: what is wrong is said, and nothing leaks or is half there. */
static void survives_failing_allocations(void)
{
    struct acl_rules *r = NULL, *copy;
    int nth = 0, failures = 0;
    enum acl_fault fault;

    begin();
    do {
        fault_fail_nth(++nth);
        r = acl_rules_create();
        fault = r == NULL ? ACL_NO_MEMORY
                          : apply(r, "on;>x;~a;~b;&c;+@read;-ping;+select|0;(~a \"+echo\" &d);(;~z;)");
        copy = fault == ACL_FINE ? acl_rules_copy(r) : NULL;
        fault_off();
        failures += copy == NULL;
        acl_rules_destroy(r);
        acl_rules_destroy(copy);
    } while (copy == NULL && nth < 200);
    CU_ASSERT_PTR_NOT_NULL(copy);
    CU_ASSERT(failures > 20);
}

/* ---- Judging ---- */

static enum acl_verdict judge(const struct acl_rules *r, const char *call, uint32_t *at)
{
    struct slice argv[16];
    uint32_t argc = 0;
    const struct cmd_def *def;

    for (const char *p = call; *p != '\0'; argc++) {
        size_t len = strcspn(p, " ");

        argv[argc] = (struct slice){p, len};
        p += len + (p[len] == ' ');
    }
    def = cmd_doc_lookup(argv, argc);
    CU_ASSERT_PTR_NOT_NULL_FATAL(def);
    return acl_check(r, def, argv, argc, at);
}

static const struct {
    const char *rules, *call;
    enum acl_verdict verdict;
    uint32_t at;
} judged[] = {
    {"", "PING", ACL_DENIED_CMD, 0},
    {"", "AUTH x", ACL_ALLOWED, 0}, /* who may not say who it is? */
    {"+ping", "PING", ACL_ALLOWED, 0},
    {"+@all;-client|kill", "CLIENT KILL x", ACL_DENIED_CMD, 0},
    {"+@all;-client|kill", "CLIENT ID", ACL_ALLOWED, 0},
    {"+client|id", "CLIENT ID", ACL_ALLOWED, 0},
    {"+client|id", "CLIENT LIST", ACL_DENIED_CMD, 0},
    {"+select|0", "SELECT 0", ACL_ALLOWED, 0},
    {"+select|0", "SELECT 1", ACL_DENIED_CMD, 0},
    {"+techo;~a*", "TECHO ab", ACL_ALLOWED, 0},
    {"+techo;~a*", "TECHO b", ACL_DENIED_KEY, 1},
    {"+techo;%W~a*", "TECHO ab", ACL_DENIED_KEY, 1},
    {"+techo;%R~a*", "TECHO ab", ACL_ALLOWED, 0},
    {"+techo;(+ping ~*)", "TECHO ab", ACL_DENIED_KEY, 1},
    {"+ping;(+techo ~x);(+techo ~y)", "TECHO y", ACL_ALLOWED, 0},
    {"+subscribe;&a*", "SUBSCRIBE a1 a2", ACL_ALLOWED, 0},
    {"+subscribe;&a*", "SUBSCRIBE a1 b", ACL_DENIED_CHANNEL, 2},
    {"+psubscribe;&a*", "PSUBSCRIBE a*", ACL_ALLOWED, 0},
    {"+psubscribe;&a*", "PSUBSCRIBE ab", ACL_DENIED_CHANNEL, 1}, /* literally */
    {"+unsubscribe", "UNSUBSCRIBE a", ACL_ALLOWED, 0},
    {"+ssubscribe;&a", "SSUBSCRIBE a", ACL_ALLOWED, 0}, /* no key */
};

static void judges_commands_keys_and_channels(void)
{
    begin();
    for (size_t i = 0; i < sizeof(judged) / sizeof(judged[0]); i++) {
        struct acl_rules *r = acl_rules_create();
        uint32_t at = 99;
        enum acl_verdict v;

        (void)!apply(r, judged[i].rules);
        v = judge(r, judged[i].call, &at);
        if (v != judged[i].verdict || at != judged[i].at) {
            fprintf(stderr, "%s / %s: %d at %u\n", judged[i].rules, judged[i].call, (int)v, at);
        }
        CU_ASSERT_EQUAL(v, judged[i].verdict);
        CU_ASSERT_EQUAL(at, judged[i].at);
        acl_rules_destroy(r);
    }
}

/* ---- Users ---- */

static enum acl_fault set(const char *name, const char *rule, struct acl_change *change)
{
    struct slice argv[] = {slice_of(rule)};
    struct buf culprit = {0};
    enum acl_fault fault = acl_set(slice_of(name), argv, 1, &culprit, change);

    buf_fini(&culprit);
    return fault;
}

static void keeps_users_by_name(void)
{
    struct acl_change change;
    struct acl_user *u;

    begin();
    CU_ASSERT_EQUAL(acl_init(), OK);
    CU_ASSERT_EQUAL(set("bob", "on", &change), ACL_FINE);
    acl_release(change.user);
    CU_ASSERT_EQUAL(set("bob", ">pw", &change), ACL_FINE);
    acl_release(change.user);
    CU_ASSERT_PTR_NULL(acl_authenticate(SLICE("bob"), SLICE("other")));
    CU_ASSERT_PTR_NULL(acl_authenticate(SLICE("eve"), SLICE("pw")));
    u = acl_authenticate(SLICE("bob"), SLICE("pw"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(u);
    CU_ASSERT_EQUAL(set("bob", "+nosuch", &change), ACL_UNKNOWN);
    CU_ASSERT_EQUAL(set("bob", "off", &change), ACL_FINE);
    acl_release(change.user);
    CU_ASSERT_PTR_NULL(acl_authenticate(SLICE("bob"), SLICE("pw")));
    /* A2: who holds it may nothing more. */
    CU_ASSERT_EQUAL(set("bob", "+@all", &change), ACL_FINE);
    acl_release(change.user);
    CU_ASSERT(acl_delete(SLICE("bob"), &change));
    acl_release(change.user);
    struct session s = {.user = u};
    uint32_t at;

    CU_ASSERT_PTR_NOT_NULL_FATAL(acl_limits(&s));
    CU_ASSERT_EQUAL(judge(acl_limits(&s), "PING", &at), ACL_DENIED_CMD);
    acl_release(u);
    CU_ASSERT(!acl_delete(SLICE("bob"), &change));
    CU_ASSERT_EQUAL(acl_init(), OK);
}

static bool saves_and_loads(bool for_settings)
{
    struct buf first = {0}, second = {0}, why = {0};
    struct acl_changes changes;
    bool same;

    CU_ASSERT_EQUAL(acl_save(for_settings, &first), OK);
    if (for_settings) {
        struct buf lines = {0};

        /* As the file of settings gives them: without their first word. */
        for (size_t i = 0; i < first.len; i++) {
            if ((i == 0 || first.ptr[i - 1] == '\n') && first.len - i > 5) {
                i += 5;
            }
            CU_ASSERT_EQUAL(buf_append_char(&lines, first.ptr[i]), OK);
        }
        CU_ASSERT_EQUAL(buf_terminate(&lines), OK);
        CU_ASSERT(acl_load_settings(lines.ptr, &why, &changes));
        buf_fini(&lines);
    } else {
        CU_ASSERT(acl_load(buf_slice(&first), "users.acl", &why, &changes));
    }
    acl_changes_free(&changes);
    CU_ASSERT_EQUAL(acl_save(for_settings, &second), OK);
    same = slice_is(buf_slice(&first), buf_slice(&second));
    if (!same || why.len > 0) {
        fprintf(stderr, "%.*s\n%.*s%.*s\n", (int)why.len, why.ptr, (int)first.len, first.ptr,
                (int)second.len, second.ptr);
    }
    buf_fini(&first);
    buf_fini(&second);
    buf_fini(&why);
    return same;
}

/* Quotes, brackets and control characters too. */
static void reads_what_it_writes(void)
{
    static const char *const rules[] = {
        "on", ">pw", "~a\"b", "~it's", "~a)", "%R~\\*", "&\x01", "+@all", "-ping", "+select|0",
        "(~\"a\\\"b\" ~c) +ping &\"\\x01\")", "(+@read)"};
    struct acl_change change;

    begin();
    CU_ASSERT_EQUAL(acl_init(), OK);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (set("b\"ob", rules[i], &change) == ACL_FINE) {
            acl_release(change.user);
        }
    }
    CU_ASSERT_EQUAL(set("default", "-ping", &change), ACL_FINE);
    acl_release(change.user);
    CU_ASSERT(saves_and_loads(false));
    CU_ASSERT(saves_and_loads(true));
    CU_ASSERT_EQUAL(acl_init(), OK);
}

static const struct {
    const char *text, *why;
} wrong_files[] = {
    {"usr bob on", "f:1 should start with user keyword followed by the username. "},
    {"\n\nuser", "f:3 should start with user keyword followed by the username. "},
    {"user bob on\nuser bob off", "WARNING: Duplicate user 'bob' found on line 2. "},
    {"user bob +nosuch", "f:1: Error in applying operation '+nosuch': Unknown command or category "
                         "name in ACL. "},
    {"user bob secret", "f:1: Syntax error. "},
    {"user bob (~a", "f:1: Unmatched parenthesis in selector definition."},
};

static void says_what_is_wrong_in_a_file(void)
{
    struct acl_changes changes;
    struct acl_change change;

    begin();
    CU_ASSERT_EQUAL(acl_init(), OK);
    CU_ASSERT_EQUAL(set("old", "on", &change), ACL_FINE);
    acl_release(change.user);
    for (size_t i = 0; i < sizeof(wrong_files) / sizeof(wrong_files[0]); i++) {
        struct buf why = {0};

        CU_ASSERT(!acl_load(slice_of(wrong_files[i].text), "f", &why, &changes));
        if (!slice_is(buf_slice(&why), slice_of(wrong_files[i].why))) {
            fprintf(stderr, "%.*s\n", (int)why.len, why.ptr);
            CU_FAIL("another complaint");
        }
        buf_fini(&why);
    }
    struct acl_user *old = acl_find(SLICE("old"));

    CU_ASSERT_PTR_NOT_NULL(old); /* nothing has changed */
    acl_release(old);
    CU_ASSERT_EQUAL(acl_init(), OK);
}

static void loads_though_allocations_fail(void)
{
    struct acl_changes changes;
    bool done;
    int nth = 0;

    begin();
    do {
        struct buf why = {0};
        struct acl_change change;

        CU_ASSERT_EQUAL(acl_init(), OK);
        CU_ASSERT_EQUAL(set("old", "on", &change), ACL_FINE);
        acl_release(change.user);
        fault_fail_nth(++nth);
        done = acl_load(SLICE("user bob on >x ~a (~b +ping)\nuser old ~c\r\n\nuser eve\n"), "f",
                        &why, &changes);
        fault_off();
        struct acl_user *bob = acl_find(SLICE("bob"));

        CU_ASSERT_EQUAL(bob != NULL, done); /* all or nothing */
        acl_release(bob);
        acl_changes_free(&changes);
        buf_fini(&why);
    } while (!done && nth < 200);
    CU_ASSERT(done);
    CU_ASSERT(nth > 15);
    CU_ASSERT_EQUAL(acl_init(), OK);
}

/* ---- Over workers ---- */

enum { READERS = 2, CHANGES = 3000, CHANGES_MAX = 10000000 };
static _Atomic bool over;
static _Atomic uint32_t seen_both;

/* A1: whatever the writer does, rules are whole: ~a goes with +ping, ~b with +echo. */
static void *read_rules(void *arg)
{
    struct session s = {.user = arg};
    bool first = false, second = false;

    rcu_register();
    while (!atomic_load(&over)) {
        const struct acl_rules *r = acl_limits(&s);

        if (r != NULL) {
            const struct acl_selector *root = acl_rules_root(r);

            if (root->keys.count != 1) {
                abort();
            }
            bool is_a = root->keys.items[0].ptr[0] == 'a';

            if (acl_selector_has(root, cmd_find(SLICE("PING"))->id) != is_a ||
                acl_selector_has(root, cmd_find(SLICE("ECHO"))->id) == is_a) {
                abort();
            }
            if (!(first && second)) {
                first |= is_a;
                second |= !is_a;
                atomic_fetch_add(&seen_both, first && second);
            }
        }
        rcu_turn();
    }
    rcu_unregister();
    return NULL;
}

static void changes_beside_readers(void)
{
    static const struct slice a[] = {SLICE("resetkeys"), SLICE("~a"), SLICE("+ping"), SLICE("-echo")};
    static const struct slice b[] = {SLICE("resetkeys"), SLICE("~b"), SLICE("-ping"), SLICE("+echo")};
    pthread_t readers[READERS];
    struct acl_change change;
    struct acl_user *u;
    struct buf culprit = {0};

    begin();
    CU_ASSERT_EQUAL(acl_init(), OK);
    CU_ASSERT_EQUAL(acl_set(SLICE("bob"), a, 4, &culprit, &change), ACL_FINE);
    u = change.user;
    atomic_store(&over, false);
    atomic_store(&seen_both, 0);
    for (int i = 0; i < READERS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&readers[i], NULL, read_rules, u), 0);
    }
    rcu_register();
    for (int i = 0; i < CHANGES || (atomic_load(&seen_both) < READERS && i < CHANGES_MAX); i++) {
        CU_ASSERT_EQUAL(acl_set(SLICE("bob"), i % 2 == 0 ? b : a, 4, &culprit, &change), ACL_FINE);
        acl_release(change.user);
        rcu_turn();
    }
    atomic_store(&over, true);
    rcu_offline();
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    rcu_online();
    rcu_drain();
    rcu_unregister();
    CU_ASSERT_EQUAL(atomic_load(&seen_both), READERS);
    acl_release(u);
    CU_ASSERT_EQUAL(acl_init(), OK);
}

/* A3: what is sent behind SETUSER's answer is judged by the new rules, on the other worker too; DELUSER
 * closes; a subscription that may no more be is closed. */
static void applies_at_once_on_all_workers(void)
{
    enum { USERS = 4 };
    int fd[USERS], admin;

    toy_start(&toy, 2, "secret");
    admin = toy_connect(&toy);
    toy_send(admin, "AUTH secret\r\nACL SETUSER bob on >pw ~* &a* +@all\r\n");
    CU_ASSERT(toy_gets(admin, "+OK\r\n+OK\r\n"));
    for (int i = 0; i < USERS; i++) {
        fd[i] = toy_connect(&toy);
        toy_send(fd[i], "AUTH bob pw\r\nTECHO x\r\n");
        CU_ASSERT(toy_gets(fd[i], "+OK\r\n$1\r\nx\r\n"));
    }
    toy_send(fd[0], "SUBSCRIBE ab\r\n");
    CU_ASSERT(toy_gets(fd[0], "*3\r\n$9\r\nsubscribe\r\n$2\r\nab\r\n:1\r\n"));
    toy_send(admin, "ACL SETUSER bob -techo\r\n");
    CU_ASSERT(toy_gets(admin, "+OK\r\n"));
    for (int i = 1; i < USERS; i++) {
        toy_send(fd[i], "TECHO x\r\nACL WHOAMI\r\n");
        CU_ASSERT(toy_gets(fd[i], "-NOPERM User bob has no permissions to run the 'techo' command\r\n"
                                  "$3\r\nbob\r\n"));
    }
    toy_send(admin, "ACL SETUSER bob resetchannels &b\r\n");
    CU_ASSERT(toy_gets(admin, "+OK\r\n"));
    CU_ASSERT(toy_is_closed(fd[0]));
    toy_send(admin, "ACL DELUSER bob nobody\r\n");
    CU_ASSERT(toy_gets(admin, ":1\r\n"));
    for (int i = 1; i < USERS; i++) {
        CU_ASSERT(toy_is_closed(fd[i]));
        close(fd[i]);
    }
    close(fd[0]);
    close(admin);
    toy_stop(&toy);
}

/* Who deletes itself hears of it first. */
static void answers_who_deletes_itself(void)
{
    toy_start(&toy, 2, "secret");
    int fd = toy_connect(&toy);

    toy_send(fd, "AUTH secret\r\nACL SETUSER bob on >pw ~* &* +@all\r\nAUTH bob pw\r\n"
                 "ACL DELUSER bob\r\nPING\r\n");
    CU_ASSERT(toy_gets(fd, "+OK\r\n+OK\r\n+OK\r\n:1\r\n"));
    CU_ASSERT(toy_is_closed(fd));
    close(fd);
    toy_stop(&toy);
}

static void merges_like_events(void)
{
    char line[256];

    toy_start(&toy, 1, "secret");
    int fd = toy_connect(&toy);

    toy_send(fd, "AUTH secret\r\nACL SETUSER bob on >pw +ping +techo ~a\r\nACL LOG RESET\r\n"
                 "AUTH bob pw\r\nTECHO b\r\nTECHO b\r\nTNULL\r\nAUTH bob no\r\nAUTH secret\r\n"
                 "ACL LOG 0\r\n");
    CU_ASSERT(toy_gets(fd, "+OK\r\n+OK\r\n+OK\r\n+OK\r\n-NOPERM No permissions to access a key\r\n"
                           "-NOPERM No permissions to access a key\r\n"
                           "-NOPERM User bob has no permissions to run the 'tnull' command\r\n"));
    CU_ASSERT(toy_gets_line(fd, "-WRONGPASS", line, sizeof(line)));
    CU_ASSERT(toy_gets(fd, "+OK\r\n*0\r\n"));
    struct acl_counts n = acl_counts();

    CU_ASSERT(n.key >= 2 && n.cmd >= 1 && n.auth >= 1);
    toy_send(fd, "ACL LOG\r\n");
    CU_ASSERT(toy_gets(fd, "*3\r\n*20\r\n$5\r\ncount\r\n:1\r\n$6\r\nreason\r\n$4\r\nauth\r\n"
                           "$7\r\ncontext\r\n$8\r\ntoplevel\r\n$6\r\nobject\r\n$4\r\nAUTH\r\n"
                           "$8\r\nusername\r\n$3\r\nbob\r\n"));
    close(fd);
    acl_log_reset();
    toy_stop(&toy);
}

const struct unit_test test_acl[] = {
    UNIT(says_rules_as_redis),
    UNIT(refuses_what_is_wrong),
    UNIT(bounds_what_a_user_has),
    UNIT(survives_failing_allocations),
    UNIT(judges_commands_keys_and_channels),
    UNIT(keeps_users_by_name),
    UNIT(reads_what_it_writes),
    UNIT(says_what_is_wrong_in_a_file),
    UNIT(loads_though_allocations_fail),
    UNIT(changes_beside_readers),
    UNIT(applies_at_once_on_all_workers),
    UNIT(answers_who_deletes_itself),
    UNIT(merges_like_events),
    UNIT_END,
};
