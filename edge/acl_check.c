/* acl_check.c - whether a command is among what a user's rules allow: its id, its keys by what becomes of
 * them, its channels. What is asked of a row is looked up once, at start. */
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "edge/acl.h"
#include "edge/acl_parts.h"
#include "proto/cmd_doc.h"
#include "proto/cmd_keyflags.h"
#include "proto/glob.h"

#include <assert.h>

enum { KEYS_NEAR = 64 };

enum channels { NO_CHANNELS, ONE_CHANNEL, CHANNELS, CHANNEL_PATTERNS };

/* Of a row. */
struct fact {
    bool has_keys;
    uint8_t first, rest; /* ACL_READ | ACL_WRITE of its first key, and of those behind it */
    bool is_varying;     /* the access to its first key is in its arguments */
    uint8_t channels;
};

static struct fact facts[ACL_IDS];         /* written before other threads */
static uint32_t categories_by_id[ACL_IDS]; /* the same */

/* ---- Rows ---- */

/* "RW access update": only what is done with the content counts. */
static uint8_t access_of(const char *words)
{
    uint8_t access = strstr(words, "access") != NULL ? ACL_READ : 0;

    if (strstr(words, "insert") != NULL || strstr(words, "update") != NULL ||
        strstr(words, "delete") != NULL) {
        access |= ACL_WRITE;
    }
    return access;
}

static uint8_t channels_of(struct slice name)
{
    static const struct {
        const char *name;
        uint8_t channels;
    } rows[] = {
        {"publish", ONE_CHANNEL}, {"spublish", ONE_CHANNEL},        {"subscribe", CHANNELS},
        {"ssubscribe", CHANNELS}, {"psubscribe", CHANNEL_PATTERNS},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (slice_is(name, slice_of(rows[i].name))) {
            return rows[i].channels;
        }
    }
    return NO_CHANNELS;
}

uint32_t acl_category_bit(struct slice name)
{
    for (uint32_t i = 0; cmd_category_at(i) != NULL; i++) {
        if (slice_is_word(name, cmd_category_at(i))) {
            return (uint32_t)1 << i;
        }
    }
    return 0;
}

uint32_t acl_categories_of(uint16_t id)
{
    return categories_by_id[id];
}

static uint32_t categories_in(const struct cmd_def *def)
{
    const char *in[CMD_CATEGORIES_MAX];
    size_t n = cmd_categories(def, in);
    uint32_t bits = 0;

    for (size_t i = 0; i < n; i++) {
        bits |= acl_category_bit(slice_of(in[i] + 1));
    }
    return bits;
}

void acl_check_learn(void)
{
    assert(cmd_count() <= ACL_IDS);
    for (uint16_t id = 0; id < cmd_count(); id++) {
        const struct cmd_def *def = cmd_by_id(id);
        const struct cmd_keyflags *flags = cmd_keyflags_of(def);
        char name[CMD_NAME_MAX];
        struct slice full = {name, cmd_full_name(def, name)};

        categories_by_id[id] = categories_in(def);
        facts[id] = (struct fact){
            .has_keys = def->keys.kind != CMD_KEYS_NONE && strcmp(flags->first, "not_key") != 0,
            .first = access_of(flags->first),
            .rest = access_of(flags->rest != NULL ? flags->rest : flags->first),
            .is_varying = strstr(flags->first, "variable_flags") != NULL,
            .channels = channels_of(full)};
    }
}

/* ---- A call ---- */

struct call {
    const struct cmd_def *def;
    const struct slice *argv;
    uint32_t argc;
    const struct fact *fact;
    int key_count; /* -1: not looked for yet */
    uint32_t *keys;
    uint32_t near[KEYS_NEAR];
    uint64_t work; /* of matching, so far */
    bool failed;
};

static void call_begin(struct call *k, const struct cmd_def *def, const struct slice *argv,
                       uint32_t argc)
{
    k->def = def;
    k->argv = argv;
    k->argc = argc;
    k->fact = &facts[def->id];
    k->key_count = -1;
    k->keys = k->near;
    k->work = 0;
    k->failed = false;
}

static void call_end(struct call *k)
{
    if (k->keys != k->near) {
        mem_free(k->keys, (size_t)k->key_count * sizeof(k->keys[0]));
    }
}

/* Of options that cannot be read: what stands behind STREAMS is taken for keys all the same, as by Redis. */
static int find_behind_streams(struct call *k)
{
    uint32_t at = (uint32_t)k->def->keys.first;
    int n = 0;

    while (at < k->argc && !slice_is_word(k->argv[at], "streams")) {
        at++;
    }
    for (uint32_t i = 0; at < k->argc && i < (k->argc - at - 1) / 2 && i < KEYS_NEAR; i++) {
        k->near[n++] = at + 1 + i;
    }
    return n;
}

/* Arguments that do not say where the keys are name none: the command will say so itself. */
static void find_keys(struct call *k)
{
    int n = cmd_key_indexes(k->def, k->argv, k->argc, k->near, KEYS_NEAR);

    if (n < 0 && k->def->keys.kind == CMD_KEYS_STREAMS) {
        n = find_behind_streams(k);
    }
    k->key_count = n < 0 ? 0 : n;
    if (n > KEYS_NEAR) {
        uint32_t *all = mem_alloc((size_t)n * sizeof(all[0]));

        if (all == NULL) {
            k->key_count = 0;
            k->failed = true;
            return;
        }
        k->keys = all;
        k->key_count = cmd_key_indexes(k->def, k->argv, k->argc, all, (uint32_t)n);
        assert(k->key_count == n);
    }
}

static uint8_t key_access(const struct call *k, int i)
{
    if (k->fact->is_varying) {
        return access_of(cmd_keyflags_of_call(k->def, k->argv, k->argc)->first);
    }
    return i == 0 ? k->fact->first : k->fact->rest;
}

/* ---- A selector ---- */

static bool has_first_argument(const struct acl_selector *s, const struct call *k)
{
    for (uint32_t i = 0; k->argc > 1 && i < s->firsts.count; i++) {
        struct slice first = {s->firsts.items[i].ptr, s->firsts.items[i].len};

        if (s->firsts.items[i].tag == k->def->id && acl_same_word(first, k->argv[1])) {
            return true;
        }
    }
    return false;
}

static bool allows_command(const struct acl_selector *s, const struct call *k)
{
    return s->all_commands || acl_selector_has(s, k->def->id) ||
           (k->def->flags & CMD_NOAUTH) != 0 || has_first_argument(s, k);
}

/* Long names and many patterns take their time: past the bound the call is refused. */
static bool matches(struct call *k, const struct acl_text *pattern, struct slice name)
{
    k->work += pattern->len * name.len / 8 + 16;
    if (UNLIKELY(k->work > LIMIT_ACL_JUDGING)) {
        k->failed = true;
        return false;
    }
    return glob_match((struct slice){pattern->ptr, pattern->len}, name, false);
}

/* One pattern has to allow all that becomes of a key. */
static bool allows_key(const struct acl_selector *s, struct call *k, struct slice key,
                       uint8_t access)
{
    for (uint32_t i = 0; i < s->keys.count; i++) {
        const struct acl_text *p = &s->keys.items[i];

        if ((p->tag & access) == access && matches(k, p, key)) {
            return true;
        }
    }
    return false;
}

static bool in_channels(const struct acl_selector *s, struct call *k, struct slice name,
                        bool is_pattern)
{
    k->work += s->channels.count;
    for (uint32_t i = 0; k->work <= LIMIT_ACL_JUDGING && i < s->channels.count; i++) {
        struct slice p = {s->channels.items[i].ptr, s->channels.items[i].len};

        if (is_pattern ? slice_is(p, name) : matches(k, &s->channels.items[i], name)) {
            return true;
        }
    }
    return false;
}

bool acl_allows_channel(const struct acl_rules *r, struct slice name, bool is_pattern,
                        uint64_t *work)
{
    struct call k = {.work = *work};
    bool is_allowed = false;

    for (uint32_t i = 0; !is_allowed && i < r->selector_count; i++) {
        is_allowed =
            r->selectors[i]->all_channels || in_channels(r->selectors[i], &k, name, is_pattern);
    }
    *work = k.work;
    return is_allowed;
}

static enum acl_verdict check_keys(const struct acl_selector *s, struct call *k, uint32_t *at)
{
    if (k->key_count < 0) {
        find_keys(k);
    }
    if (k->failed) {
        *at = 1;
        return ACL_DENIED_KEY; /* A4 */
    }
    for (int i = 0; i < k->key_count; i++) {
        if (!allows_key(s, k, k->argv[k->keys[i]], key_access(k, i))) {
            *at = k->keys[i];
            return ACL_DENIED_KEY;
        }
    }
    return ACL_ALLOWED;
}

static enum acl_verdict check_channels(const struct acl_selector *s, struct call *k, uint32_t *at)
{
    uint32_t end = k->fact->channels == ONE_CHANNEL ? 2 : k->argc;

    for (uint32_t i = 1; i < end && i < k->argc; i++) {
        if (!in_channels(s, k, k->argv[i], k->fact->channels == CHANNEL_PATTERNS)) {
            *at = i;
            return ACL_DENIED_CHANNEL;
        }
    }
    return ACL_ALLOWED;
}

static enum acl_verdict check_selector(const struct acl_selector *s, struct call *k, uint32_t *at)
{
    enum acl_verdict v = ACL_ALLOWED;

    *at = 0;
    if (!allows_command(s, k)) {
        return ACL_DENIED_CMD;
    }
    if (k->fact->has_keys && !s->all_keys) {
        v = check_keys(s, k, at);
    }
    if (v == ACL_ALLOWED && k->fact->channels != NO_CHANNELS && !s->all_channels) {
        v = check_channels(s, k, at);
    }
    return v;
}

enum acl_verdict acl_check(const struct acl_rules *r, const struct cmd_def *def,
                           const struct slice *argv, uint32_t argc, uint32_t *at)
{
    enum acl_verdict worst = ACL_DENIED_CMD;
    struct call k;

    *at = 0;
    call_begin(&k, def, argv, argc);
    for (uint32_t i = 0; i < r->selector_count; i++) {
        uint32_t where;
        enum acl_verdict v = check_selector(r->selectors[i], &k, &where);

        if (v == ACL_ALLOWED) {
            worst = ACL_ALLOWED;
            *at = 0;
            break;
        }
        if (v > worst || (v == worst && where > *at)) {
            worst = v;
            *at = where;
        }
    }
    call_end(&k);
    return worst;
}

static bool reads_every_key(const struct acl_selector *s)
{
    for (uint32_t i = 0; i < s->keys.count; i++) {
        if ((s->keys.items[i].tag & ACL_READ) != 0 && s->keys.items[i].len == 1 &&
            s->keys.items[i].ptr[0] == '*') {
            return true;
        }
    }
    return s->all_keys;
}

bool acl_reads_all(const struct session *s, const struct cmd_def *def, const struct slice *argv,
                   uint32_t argc)
{
    const struct acl_rules *r = s == NULL ? NULL : acl_limits(s);
    bool is_allowed = r == NULL;
    struct call k;
    uint32_t at;

    if (is_allowed) {
        return true;
    }
    call_begin(&k, def, argv, argc);
    for (uint32_t i = 0; !is_allowed && i < r->selector_count; i++) {
        is_allowed = reads_every_key(r->selectors[i]) &&
                     check_selector(r->selectors[i], &k, &at) == ACL_ALLOWED;
    }
    call_end(&k);
    return is_allowed;
}

void acl_put_denied(struct buf *out, enum acl_verdict v, struct slice user,
                    const struct cmd_def *def, struct slice object, bool verbose)
{
    const char *what = v == ACL_DENIED_CHANNEL ? "channel" : "key";
    char name[CMD_NAME_MAX];
    int err;

    if (v == ACL_DENIED_CMD) {
        err = buf_printf(out, "User %.*s has no permissions to run the '%.*s' command",
                         (int)user.len, user.ptr, (int)cmd_full_name(def, name), name);
    } else if (verbose) {
        err = buf_printf(out, "User %.*s has no permissions to access the '", (int)user.len,
                         user.ptr);
        err = err == OK ? buf_append_slice(out, object) : err; /* of any length */
        err = err == OK ? buf_printf(out, "' %s", what) : err;
    } else {
        err = buf_printf(out, "No permissions to access a %s", what);
    }
    if (err != OK) {
        buf_clear(out);
    }
}
