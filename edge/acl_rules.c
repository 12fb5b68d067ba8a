/* acl_rules.c - one rule after another, as Redis 7.2 applies them. Words and their quoting, and rules said
 * again, are in acl_text.c. */
#include "edge/acl_rules.h"

#include "base/conf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "edge/options.h"
#include "proto/cmd.h"
#include "proto/cmd_doc.h"

#include <assert.h>
#include <sodium.h>

_Static_assert(ACL_HASH_BYTES == crypto_hash_sha256_BYTES, "what Redis' #hash is");

const char *acl_fault_text(enum acl_fault fault)
{
    switch (fault) {
    case ACL_UNKNOWN:
        return "Unknown command or category name in ACL";
    case ACL_SYNTAX:
        return "Syntax error";
    case ACL_AFTER_ALL_KEYS:
        return "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does "
               "not have any effect. Try 'resetkeys' to start with an empty list of patterns";
    case ACL_AFTER_ALL_CHANNELS:
        return "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and "
               "does not have any effect. Try 'resetchannels' to start with an empty list of "
               "channels";
    case ACL_NO_SUCH_PASSWORD:
        return "The password you are trying to remove from the user does not exist";
    case ACL_BAD_HASH:
        return "The password hash must be exactly 64 characters and contain only lowercase "
               "hexadecimal characters";
    case ACL_FIRST_OF_SUB:
        return "Allowing first-arg of a subcommand is not supported";
    case ACL_TOO_MUCH:
        return "The user would have too many passwords, selectors, patterns or bytes of rules";
    case ACL_NO_MEMORY:
        return "Out of memory";
    case ACL_UNMATCHED:
        return "Unmatched parenthesis in selector definition.";
    case ACL_FINE:
        break;
    }
    return "Wrong format";
}

bool acl_has_blanks(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\0' || s.ptr[i] == ' ' || (s.ptr[i] >= '\t' && s.ptr[i] <= '\r')) {
            return true;
        }
    }
    return false;
}

bool acl_same_word(struct slice a, struct slice b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (slice_lower(a.ptr[i]) != slice_lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

/* ---- Lists of texts ---- */

static void list_clear(struct acl_list *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        mem_free(l->items[i].ptr, l->items[i].len + 1);
    }
    mem_free(l->items, l->cap * sizeof(l->items[0]));
    *l = (struct acl_list){0};
}

static enum acl_fault list_add(struct acl_list *l, struct slice text, uint16_t tag)
{
    char *copy;

    if (l->count == LIMIT_ACL_PATTERNS) {
        return ACL_TOO_MUCH;
    }
    if (l->count == l->cap) {
        uint32_t cap = l->cap == 0 ? 4 : l->cap * 2;
        struct acl_text *v =
            mem_realloc(l->items, l->cap * sizeof(l->items[0]), cap * sizeof(l->items[0]));

        if (v == NULL) {
            return ACL_NO_MEMORY;
        }
        l->items = v;
        l->cap = cap;
    }
    copy = mem_alloc(text.len + 1); /* a pattern may be empty */
    if (copy == NULL) {
        return ACL_NO_MEMORY;
    }
    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    copy[text.len] = '\0';
    l->items[l->count++] = (struct acl_text){copy, text.len, tag};
    return ACL_FINE;
}

static struct acl_text *list_find(const struct acl_list *l, struct slice text)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (slice_is((struct slice){l->items[i].ptr, l->items[i].len}, text)) {
            return &l->items[i];
        }
    }
    return NULL;
}

static bool list_copy(struct acl_list *to, const struct acl_list *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        struct slice text = {from->items[i].ptr, from->items[i].len};

        if (list_add(to, text, from->items[i].tag) != ACL_FINE) {
            return false;
        }
    }
    return true;
}

static size_t list_bytes(const struct acl_list *l)
{
    size_t n = 0;

    for (uint32_t i = 0; i < l->count; i++) {
        n += l->items[i].len + 1;
    }
    return n;
}

/* ---- Selectors ---- */

static struct acl_selector *selector_create(void)
{
    struct acl_selector *s = mem_zalloc(sizeof(*s));

    if (s != NULL) {
        s->all_channels = conf_enum(&opt_acl_pubsub_default) == 1;
    }
    return s;
}

static void selector_destroy(struct acl_selector *s)
{
    if (s != NULL) {
        list_clear(&s->keys);
        list_clear(&s->channels);
        list_clear(&s->firsts);
        buf_fini(&s->commands);
        mem_free(s, sizeof(*s));
    }
}

static struct acl_selector *selector_copy(const struct acl_selector *from)
{
    struct acl_selector *s = mem_zalloc(sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    s->all_keys = from->all_keys;
    s->all_channels = from->all_channels;
    s->all_commands = from->all_commands;
    s->adds_future = from->adds_future;
    memcpy(s->allowed, from->allowed, sizeof(s->allowed));
    if (!list_copy(&s->keys, &from->keys) || !list_copy(&s->channels, &from->channels) ||
        !list_copy(&s->firsts, &from->firsts) ||
        buf_append_slice(&s->commands, buf_slice(&from->commands)) != OK) {
        selector_destroy(s);
        return NULL;
    }
    return s;
}

static size_t selector_bytes(const struct acl_selector *s)
{
    return list_bytes(&s->keys) + list_bytes(&s->channels) + list_bytes(&s->firsts) +
           s->commands.len;
}

/* ---- A user's rules ---- */

struct acl_rules *acl_rules_create(void)
{
    struct acl_rules *r = mem_zalloc(sizeof(*r));

    if (r == NULL) {
        return NULL;
    }
    r->selectors = mem_zalloc((1 + LIMIT_ACL_SELECTORS) * sizeof(struct acl_selector *));
    if (r->selectors == NULL || (r->selectors[0] = selector_create()) == NULL) {
        acl_rules_destroy(r);
        return NULL;
    }
    r->selector_count = 1;
    return r;
}

void acl_rules_destroy(struct acl_rules *r)
{
    if (r == NULL) {
        return;
    }
    for (uint32_t i = 0; i < r->selector_count; i++) {
        selector_destroy(r->selectors[i]);
    }
    if (r->selectors != NULL) {
        mem_free(r->selectors, (1 + LIMIT_ACL_SELECTORS) * sizeof(struct acl_selector *));
    }
    if (r->passwords != NULL) {
        sodium_memzero(r->passwords, (size_t)LIMIT_ACL_PASSWORDS * ACL_HASH_BYTES);
        mem_free(r->passwords, (size_t)LIMIT_ACL_PASSWORDS * ACL_HASH_BYTES);
    }
    mem_free(r, sizeof(*r));
}

static bool passwords_make(struct acl_rules *r)
{
    if (r->passwords == NULL) {
        r->passwords = mem_zalloc((size_t)LIMIT_ACL_PASSWORDS * ACL_HASH_BYTES);
    }
    return r->passwords != NULL;
}

struct acl_rules *acl_rules_copy(const struct acl_rules *from)
{
    struct acl_rules *r = mem_zalloc(sizeof(*r));

    if (r == NULL) {
        return NULL;
    }
    r->is_on = from->is_on;
    r->is_nopass = from->is_nopass;
    r->skips_sanitizing = from->skips_sanitizing;
    r->bytes = from->bytes;
    r->selectors = mem_zalloc((1 + LIMIT_ACL_SELECTORS) * sizeof(struct acl_selector *));
    if (r->selectors == NULL) {
        goto fail;
    }
    for (uint32_t i = 0; i < from->selector_count; i++) {
        r->selectors[i] = selector_copy(from->selectors[i]);
        if (r->selectors[i] == NULL) {
            goto fail;
        }
        r->selector_count++;
    }
    if (from->password_count > 0) {
        if (!passwords_make(r)) {
            goto fail;
        }
        memcpy(r->passwords, from->passwords, (size_t)from->password_count * ACL_HASH_BYTES);
        r->password_count = from->password_count;
    }
    return r;

fail:
    acl_rules_destroy(r);
    return NULL;
}

bool acl_rules_may_all(const struct acl_rules *r)
{
    for (uint32_t i = 0; i < r->selector_count; i++) {
        const struct acl_selector *s = r->selectors[i];

        if (s->all_commands && s->all_keys && s->all_channels) {
            return true;
        }
    }
    return false;
}

/* ---- Passwords ---- */

void acl_hash(struct slice password, unsigned char out[ACL_HASH_BYTES])
{
    (void)crypto_hash_sha256(out, (const unsigned char *)password.ptr, password.len);
}

static int password_at(const struct acl_rules *r, const unsigned char hash[ACL_HASH_BYTES])
{
    int at = -1;

    /* All of them, whichever is right. */
    for (uint32_t i = 0; i < r->password_count; i++) {
        if (sodium_memcmp(r->passwords[i], hash, ACL_HASH_BYTES) == 0) {
            at = (int)i;
        }
    }
    return at;
}

bool acl_rules_has_password(const struct acl_rules *r, const unsigned char hash[ACL_HASH_BYTES])
{
    return password_at(r, hash) >= 0;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hash(struct slice hex, unsigned char out[ACL_HASH_BYTES])
{
    if (hex.len != 2 * ACL_HASH_BYTES) {
        return false;
    }
    for (size_t i = 0; i < ACL_HASH_BYTES; i++) {
        int high = hex_value(hex.ptr[2 * i]);
        int low = hex_value(hex.ptr[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static enum acl_fault add_password(struct acl_rules *r, const unsigned char hash[ACL_HASH_BYTES])
{
    if (password_at(r, hash) < 0) {
        if (r->password_count == LIMIT_ACL_PASSWORDS) {
            return ACL_TOO_MUCH;
        }
        if (!passwords_make(r)) {
            return ACL_NO_MEMORY;
        }
        memcpy(r->passwords[r->password_count++], hash, ACL_HASH_BYTES);
    }
    r->is_nopass = false;
    return ACL_FINE;
}

static enum acl_fault remove_password(struct acl_rules *r, const unsigned char hash[ACL_HASH_BYTES])
{
    int at = password_at(r, hash);

    if (at < 0) {
        return ACL_NO_SUCH_PASSWORD;
    }
    r->password_count--;
    for (uint32_t i = (uint32_t)at; i < r->password_count; i++) {
        memcpy(r->passwords[i], r->passwords[i + 1], ACL_HASH_BYTES);
    }
    sodium_memzero(r->passwords[r->password_count], ACL_HASH_BYTES);
    return ACL_FINE;
}

/* > < # ! */
static enum acl_fault apply_password(struct acl_rules *r, struct slice rule)
{
    struct slice text = {rule.ptr + 1, rule.len - 1};
    unsigned char hash[ACL_HASH_BYTES];
    enum acl_fault fault;

    if (rule.ptr[0] == '>' || rule.ptr[0] == '<') {
        acl_hash(text, hash);
    } else if (!parse_hash(text, hash)) {
        return ACL_BAD_HASH;
    }
    fault = rule.ptr[0] == '>' || rule.ptr[0] == '#' ? add_password(r, hash)
                                                     : remove_password(r, hash);
    sodium_memzero(hash, sizeof(hash));
    return fault;
}

static void forget_passwords(struct acl_rules *r)
{
    if (r->passwords != NULL) {
        sodium_memzero(r->passwords, (size_t)LIMIT_ACL_PASSWORDS * ACL_HASH_BYTES);
    }
    r->password_count = 0;
}

enum acl_fault acl_rules_only_password(struct acl_rules *r, const unsigned char *hash)
{
    forget_passwords(r);
    r->is_nopass = hash == NULL;
    return hash == NULL ? ACL_FINE : add_password(r, hash);
}

/* ---- Commands ---- */

static const struct cmd_def *lookup(struct slice name)
{
    const char *bar = name.len == 0 ? NULL : memchr(name.ptr, '|', name.len);
    const struct cmd_def *def;

    if (bar == NULL) {
        return cmd_find(name);
    }
    def = cmd_find((struct slice){name.ptr, (size_t)(bar - name.ptr)});
    return def == NULL ? NULL
                       : cmd_find_sub(def, (struct slice){bar + 1, (size_t)(name.ptr + name.len -
                                                                            bar - 1)});
}

static void set_bit(struct acl_selector *s, uint16_t id, bool allow)
{
    uint64_t bit = (uint64_t)1 << (id % 64);

    if (allow) {
        s->allowed[id / 64] |= bit;
    } else {
        s->allowed[id / 64] &= ~bit;
        s->all_commands = false;
    }
}

/* A command and its subcommands; first arguments that were allowed before say nothing any more. */
static void set_command(struct acl_selector *s, const struct cmd_def *def, bool allow)
{
    uint32_t kept = 0;

    set_bit(s, def->id, allow);
    for (const struct cmd_def *sub = def->subs; sub != NULL && sub->name != NULL; sub++) {
        set_bit(s, sub->id, allow);
    }
    for (uint32_t i = 0; i < s->firsts.count; i++) {
        if (s->firsts.items[i].tag == def->id) {
            mem_free(s->firsts.items[i].ptr, s->firsts.items[i].len + 1);
        } else {
            s->firsts.items[kept++] = s->firsts.items[i];
        }
    }
    s->firsts.count = kept;
}

/* Takes a rule about `name`, or about a subcommand of it, out of the text. */
static void forget_rule(struct buf *rules, struct slice name)
{
    size_t at = 0;

    while (at < rules->len) {
        const char *word = rules->ptr + at;
        const char *blank = memchr(word, ' ', rules->len - at);
        size_t len = blank == NULL ? rules->len - at : (size_t)(blank - word);
        bool same = len > name.len && memcmp(word + 1, name.ptr, name.len) == 0 &&
                    (len == name.len + 1 || word[name.len + 1] == '|');
        size_t used = len + (blank != NULL);

        if (same) {
            buf_move(rules->ptr + at, word + used, rules->len - at - used);
            rules->len -= used;
        } else {
            at += used;
        }
    }
    if (rules->len > 0 && rules->ptr[rules->len - 1] == ' ') {
        rules->len--;
    }
}

/* The order of what was said is kept, since the last word counts. */
static enum acl_fault note_rule(struct acl_selector *s, struct slice name, bool allow)
{
    if (buf_reserve(&s->commands, name.len + 2) != OK) {
        return ACL_NO_MEMORY;
    }
    struct buf lower = {0};

    if (buf_reserve(&lower, name.len + 1) != OK) {
        return ACL_NO_MEMORY;
    }
    for (size_t i = 0; i < name.len; i++) {
        buf_append_char_nofail(&lower, slice_lower(name.ptr[i]));
    }
    forget_rule(&s->commands, buf_slice(&lower));
    if (s->commands.len > 0) {
        buf_append_char_nofail(&s->commands, ' ');
    }
    buf_append_char_nofail(&s->commands, allow ? '+' : '-');
    buf_append_nofail(&s->commands, lower.ptr, lower.len);
    buf_fini(&lower);
    return ACL_FINE;
}

static bool is_in(const struct cmd_def *def, struct slice category)
{
    const char *in[CMD_CATEGORIES_MAX];
    size_t n = cmd_categories(def, in);

    for (size_t i = 0; i < n; i++) {
        if (slice_is_word(category, in[i])) {
            return true;
        }
    }
    return false;
}

/* "@read" */
static enum acl_fault apply_category(struct acl_selector *s, struct slice category, bool allow)
{
    enum acl_fault fault;

    if (!cmd_is_category((struct slice){category.ptr + 1, category.len - 1})) {
        return ACL_UNKNOWN;
    }
    fault = note_rule(s, category, allow);
    /* A container brings its subcommands with it; those of another mind come behind it. */
    for (uint16_t id = 0; fault == ACL_FINE && id < cmd_count(); id++) {
        if (is_in(cmd_by_id(id), category)) {
            set_command(s, cmd_by_id(id), allow);
        }
    }
    return fault;
}

static enum acl_fault apply_plain_command(struct acl_selector *s, struct slice name, bool allow)
{
    const struct cmd_def *def = lookup(name);
    enum acl_fault fault;

    if (def == NULL) {
        return ACL_UNKNOWN;
    }
    fault = note_rule(s, name, allow);
    if (fault == ACL_FINE) {
        set_command(s, def, allow);
    }
    return fault;
}

static bool has_first(const struct acl_selector *s, uint16_t id, struct slice first)
{
    for (uint32_t i = 0; i < s->firsts.count; i++) {
        struct slice have = {s->firsts.items[i].ptr, s->firsts.items[i].len};

        if (s->firsts.items[i].tag == id && acl_same_word(have, first)) {
            return true;
        }
    }
    return false;
}

/* +cmd|sub; or, of a command without subcommands, +cmd|first-argument. */
static enum acl_fault apply_sub(struct acl_selector *s, struct slice name)
{
    const char *bar = memrchr(name.ptr, '|', name.len);
    struct slice head = {name.ptr, (size_t)(bar - name.ptr)};
    struct slice sub = {bar + 1, name.len - head.len - 1};
    const struct cmd_def *def = lookup(head);
    enum acl_fault fault;

    if (def == NULL) {
        return ACL_UNKNOWN;
    }
    if (def->parent != NULL) {
        return ACL_FIRST_OF_SUB;
    }
    if (sub.len == 0 || acl_has_blanks(sub)) {
        return ACL_SYNTAX;
    }
    if (def->subs != NULL) {
        return apply_plain_command(s, name, true);
    }
    fault = has_first(s, def->id, sub) ? ACL_FINE : list_add(&s->firsts, sub, def->id);
    return fault == ACL_FINE ? note_rule(s, name, true) : fault;
}

static void set_all_commands(struct acl_selector *s, bool allow)
{
    memset(s->allowed, allow ? 255 : 0, sizeof(s->allowed));
    s->all_commands = s->adds_future = allow;
    buf_clear(&s->commands);
    list_clear(&s->firsts);
}

/* ---- Patterns ---- */

/* ~pat %R~pat %W~pat %RW~pat */
static enum acl_fault apply_key(struct acl_selector *s, struct slice rule)
{
    struct acl_text *known;
    uint16_t access = 0;
    size_t at = 1;

    if (s->all_keys) {
        return ACL_AFTER_ALL_KEYS;
    }
    if (rule.ptr[0] == '~') {
        access = ACL_READ | ACL_WRITE;
    } else {
        for (; at < rule.len && rule.ptr[at] != '~'; at++) {
            char c = slice_lower(rule.ptr[at]);
            uint16_t bit = c == 'r' ? ACL_READ : c == 'w' ? ACL_WRITE : 0;

            if (bit == 0 || (access & bit) != 0) {
                return ACL_SYNTAX;
            }
            access |= bit;
        }
        if (access == 0) {
            return ACL_SYNTAX;
        }
        at += at < rule.len; /* Redis takes %R for %R~, a pattern without bytes */
    }
    struct slice pattern = {rule.ptr + at, rule.len - at};

    if (acl_has_blanks(pattern)) {
        return ACL_SYNTAX;
    }
    known = list_find(&s->keys, pattern);
    if (known != NULL) {
        known->tag |= access;
        return ACL_FINE;
    }
    return list_add(&s->keys, pattern, access);
}

static enum acl_fault apply_channel(struct acl_selector *s, struct slice pattern)
{
    if (s->all_channels) {
        return ACL_AFTER_ALL_CHANNELS;
    }
    if (acl_has_blanks(pattern)) {
        return ACL_SYNTAX;
    }
    return list_find(&s->channels, pattern) != NULL ? ACL_FINE : list_add(&s->channels, pattern, 0);
}

/* ---- One rule ---- */

static bool apply_word(struct acl_selector *s, struct slice rule)
{
    if (slice_is_word(rule, "allkeys") || slice_is(rule, SLICE("~*"))) {
        s->all_keys = true;
        list_clear(&s->keys);
    } else if (slice_is_word(rule, "resetkeys")) {
        s->all_keys = false;
        list_clear(&s->keys);
    } else if (slice_is_word(rule, "allchannels") || slice_is(rule, SLICE("&*"))) {
        s->all_channels = true;
        list_clear(&s->channels);
    } else if (slice_is_word(rule, "resetchannels")) {
        s->all_channels = false;
        list_clear(&s->channels);
    } else if (slice_is_word(rule, "allcommands") || slice_is_word(rule, "+@all")) {
        set_all_commands(s, true);
    } else if (slice_is_word(rule, "nocommands") || slice_is_word(rule, "-@all")) {
        set_all_commands(s, false);
    } else {
        return false;
    }
    return true;
}

static enum acl_fault apply_to_selector(struct acl_selector *s, struct slice rule)
{
    struct slice tail = {rule.ptr + 1, rule.len - 1};
    bool allow = rule.ptr[0] == '+';

    if (apply_word(s, rule)) {
        return ACL_FINE;
    }
    switch (rule.ptr[0]) {
    case '~':
    case '%':
        return apply_key(s, rule);
    case '&':
        return apply_channel(s, tail);
    case '+':
    case '-':
        if (tail.len > 0 && tail.ptr[0] == '@') {
            return apply_category(s, tail, allow);
        }
        if (allow && tail.len > 0 && memchr(tail.ptr, '|', tail.len) != NULL) {
            return apply_sub(s, tail);
        }
        return apply_plain_command(s, tail, allow);
    default:
        return ACL_SYNTAX;
    }
}

/* "(~a +get)" */
static enum acl_fault add_selector(struct acl_rules *r, struct slice inner)
{
    struct acl_selector *s;
    enum acl_fault fault = ACL_FINE;
    struct buf word = {0};

    if (r->selector_count == 1 + LIMIT_ACL_SELECTORS) {
        return ACL_TOO_MUCH;
    }
    s = selector_create();
    if (s == NULL) {
        return ACL_NO_MEMORY;
    }
    while (fault == ACL_FINE && acl_next_word(&inner, &word, &fault)) {
        fault = word.len == 0 ? ACL_SYNTAX : apply_to_selector(s, buf_slice(&word));
        buf_clear(&word);
    }
    buf_fini(&word);
    if (fault == ACL_FINE && r->bytes + selector_bytes(s) > LIMIT_ACL_RULE_BYTES) {
        fault = ACL_TOO_MUCH;
    }
    if (fault != ACL_FINE) {
        selector_destroy(s);
        return fault;
    }
    r->bytes += selector_bytes(s);
    r->selectors[r->selector_count++] = s;
    return ACL_FINE;
}

static void clear_selectors(struct acl_rules *r)
{
    while (r->selector_count > 1) {
        struct acl_selector *s = r->selectors[--r->selector_count];

        r->bytes -= selector_bytes(s);
        selector_destroy(s);
        r->selectors[r->selector_count] = NULL;
    }
}

static void reset(struct acl_rules *r)
{
    struct acl_selector *root = r->selectors[0];

    forget_passwords(r);
    r->is_nopass = r->is_on = r->skips_sanitizing = false;
    clear_selectors(r);
    root->all_keys = false;
    list_clear(&root->keys);
    root->all_channels = conf_enum(&opt_acl_pubsub_default) == 1;
    list_clear(&root->channels);
    set_all_commands(root, false);
}

static bool apply_user_word(struct acl_rules *r, struct slice rule)
{
    if (slice_is_word(rule, "on")) {
        r->is_on = true;
    } else if (slice_is_word(rule, "off")) {
        r->is_on = false;
    } else if (slice_is_word(rule, "nopass")) {
        r->is_nopass = true;
        forget_passwords(r);
    } else if (slice_is_word(rule, "resetpass")) {
        r->is_nopass = false;
        forget_passwords(r);
    } else if (slice_is_word(rule, "skip-sanitize-payload")) {
        r->skips_sanitizing = true;
    } else if (slice_is_word(rule, "sanitize-payload")) {
        r->skips_sanitizing = false;
    } else if (slice_is_word(rule, "clearselectors")) {
        clear_selectors(r);
    } else if (slice_is_word(rule, "reset")) {
        reset(r);
    } else {
        return false;
    }
    return true;
}

enum acl_fault acl_rules_apply(struct acl_rules *r, struct slice rule)
{
    struct acl_selector *root = r->selectors[0];
    enum acl_fault fault;
    size_t before;

    if (rule.len == 0 || apply_user_word(r, rule)) {
        r->bytes = 0;
        for (uint32_t i = 0; i < r->selector_count; i++) {
            r->bytes += selector_bytes(r->selectors[i]);
        }
        return ACL_FINE;
    }
    if (memchr("><#!", rule.ptr[0], 4) != NULL) {
        return apply_password(r, rule);
    }
    if (rule.ptr[0] == '(' && rule.ptr[rule.len - 1] == ')') {
        return add_selector(r, (struct slice){rule.ptr + 1, rule.len - 2});
    }
    before = selector_bytes(root);
    if (r->bytes - before + rule.len > LIMIT_ACL_RULE_BYTES) {
        return ACL_TOO_MUCH;
    }
    fault = apply_to_selector(root, rule);
    r->bytes = r->bytes - before + selector_bytes(root);
    return fault == ACL_FINE && r->bytes > LIMIT_ACL_RULE_BYTES ? ACL_TOO_MUCH : fault;
}

static bool opens(struct slice rule)
{
    return rule.len > 0 && rule.ptr[0] == '(' && rule.ptr[rule.len - 1] != ')';
}

static bool closes(struct slice rule)
{
    return rule.len > 0 && rule.ptr[rule.len - 1] == ')';
}

/* The index behind the rule that begins at `at`; 0: it is not closed. */
static uint32_t rule_end(const struct slice *argv, uint32_t argc, uint32_t at)
{
    if (!opens(argv[at])) {
        return at + 1;
    }
    for (uint32_t i = at + 1; i < argc; i++) {
        if (closes(argv[i])) {
            return i + 1;
        }
    }
    return 0;
}

/* Of several arguments a selector. */
static enum acl_fault apply_joined(struct acl_rules *r, const struct slice *argv, uint32_t argc,
                                   struct buf *culprit)
{
    struct buf joined = {0};
    enum acl_fault fault = ACL_FINE;

    if (argc == 1) { /* it may be a password: no copy */
        fault = acl_rules_apply(r, argv[0]);
        if (fault != ACL_FINE && buf_append_slice(culprit, argv[0]) != OK) {
            buf_clear(culprit);
        }
        return fault;
    }
    for (uint32_t i = 0; fault == ACL_FINE && i < argc; i++) {
        if ((i > 0 && buf_append_char(&joined, ' ') != OK) ||
            buf_append_slice(&joined, argv[i]) != OK) {
            fault = ACL_NO_MEMORY;
        } else if (joined.len > LIMIT_ACL_RULE_BYTES) {
            fault = ACL_TOO_MUCH;
        }
    }
    if (fault == ACL_FINE) {
        fault = acl_rules_apply(r, buf_slice(&joined));
    }
    if (fault != ACL_FINE && buf_append_slice(culprit, buf_slice(&joined)) != OK) {
        buf_clear(culprit);
    }
    buf_fini(&joined);
    return fault;
}

enum acl_fault acl_rules_apply_all(struct acl_rules *r, const struct slice *argv, uint32_t argc,
                                   struct buf *culprit)
{
    enum acl_fault fault = ACL_FINE;

    for (uint32_t i = 0, end; i < argc; i = end) {
        end = rule_end(argv, argc, i);
        if (end == 0) {
            return buf_append_slice(culprit, argv[i]) == OK ? ACL_UNMATCHED : ACL_NO_MEMORY;
        }
    }
    for (uint32_t i = 0, end; fault == ACL_FINE && i < argc; i = end) {
        end = rule_end(argv, argc, i);
        fault = apply_joined(r, argv + i, end - i, culprit);
    }
    return fault;
}
