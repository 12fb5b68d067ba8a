/* cmd_acl.c - ACL: users shown, changed and tried out. LOAD and SAVE are in cmd_acl_file.c.
 *
 * A change is published first; then a round visits each worker, which closes the connections that may not
 * stay and has what waits judged again; then it is answered (A3 of edge/acl.h). Inside MULTI the round goes
 * on behind the answer. */
#include "edge/acl_round.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "edge/acl_log.h"
#include "edge/auth.h"
#include "edge/commands.h"
#include "edge/conn.h"
#include "edge/pubsub.h"
#include "proto/cmd_doc.h"

#include <sodium.h>
#include <stdlib.h>

enum { GENPASS_BITS_MAX = 4096, LOG_SHOWN = 10 };

/* --- what follows a change -------------------------------------------------------------------- */

static int by_user(const void *a, const void *b)
{
    const struct acl_change *x = a, *y = b;

    return (x->user > y->user) - (x->user < y->user);
}

void acl_changes_sort(struct acl_changes *changes)
{
    if (changes->count > 1) {
        qsort(changes->v, changes->count, sizeof(changes->v[0]), by_user);
    }
}

/* With room for changes to come. NULL: no memory. */
static struct acl_round *round_create(size_t room)
{
    struct acl_round *r = mem_zalloc(sizeof(*r));

    if (r != NULL) {
        r->changes.cap = room;
        r->changes.v = mem_alloc(room * sizeof(r->changes.v[0]));
        if (r->changes.v == NULL) {
            mem_free(r, sizeof(*r));
            return NULL;
        }
    }
    return r;
}

static void round_destroy(struct acl_round *r)
{
    acl_changes_free(&r->changes);
    mem_free(r, sizeof(*r));
}

static const struct acl_change *change_of(const struct acl_round *r, struct acl_user *u)
{
    struct acl_change key = {.user = u};

    return r->changes.count == 0 ? NULL
                                 : bsearch(&key, r->changes.v, r->changes.count,
                                           sizeof(r->changes.v[0]), by_user);
}

static bool may_listen(enum pubsub_kind kind, struct slice name, void *arg)
{
    return acl_allows_channel(arg, name, kind == PUBSUB_PATTERN);
}

static bool may_stay(struct conn *c, const struct acl_change *change)
{
    const struct acl_rules *limits = acl_limits(&c->session);

    return !change->is_deleted &&
           (limits == NULL || pubsub_each(c, may_listen, (void *)limits));
}

static bool is_denied(const struct acl_rules *limits, const struct request *q)
{
    uint32_t at;

    return acl_check(limits, q->def, q->argv, q->argc, &at) != ACL_ALLOWED;
}

/* What the backend has not begun is judged when it begins; what waits for other clients ends now. */
static void judge_again(struct conn *c)
{
    const struct acl_rules *limits = acl_limits(&c->session);
    struct backend *b = c->session.backend;

    if (!c->is_busy || limits == NULL) {
        return;
    }
    c->session.is_judged_again = true;
    if (b->unblock != NULL && is_denied(limits, &c->batch.requests[c->batch.next])) {
        (void)b->unblock(b, &c->session, CMD_UNBLOCKED_DENIED);
    }
}

void acl_round_visit(struct client_round *round, struct conn_set *set)
{
    struct acl_round *r = LIST_ITEM(round, struct acl_round, round);
    struct list *n = set->conns.next;

    while (n != &set->conns) {
        struct conn *c = LIST_ITEM(n, struct conn, link);
        const struct acl_change *change = change_of(r, c->session.user);

        n = n->next;
        if (change == NULL) {
            continue;
        }
        if (may_stay(c, change)) {
            judge_again(c);
        } else if (c->session.id == round->asker) {
            r->is_asker_hit = true; /* after it has heard of it */
        } else {
            conn_close(c, "its user may no more");
        }
    }
}

static void done(struct client_round *round, struct conn *c)
{
    struct acl_round *r = LIST_ITEM(round, struct acl_round, round);

    if (c != NULL) {
        size_t from = conn_answer_begin(c);

        if (r->is_count) {
            reply_int(&c->reply, r->count);
        } else {
            reply_ok(&c->reply);
        }
        if (r->is_asker_hit) {
            conn_end(c);
        }
        conn_answer_end(c, from);
    }
    round_destroy(r);
}

/* Takes the round. */
static void follow(struct cmd *cmd, struct acl_round *r)
{
    struct conn *c = conn_of(cmd->session);

    r->round.visit = acl_round_visit;
    r->round.done = done;
    if (!cmd->in_txn) {
        client_round_start(&r->round, c);
        return;
    }
    if (r->is_count) {
        reply_int(cmd->reply, r->count);
    } else {
        reply_ok(cmd->reply);
    }
    client_round_start_for(&r->round, c->set, 0);
}

/* --- changes ---------------------------------------------------------------------------------- */

static void refuse_rule(struct cmd *c, enum acl_fault fault, struct slice culprit)
{
    if (fault == ACL_UNMATCHED) {
        reply_errf(c->reply, "ERR Unmatched parenthesis in acl selector starting at '%.*s'.",
                   (int)culprit.len, culprit.ptr);
    } else if (fault == ACL_NO_MEMORY) {
        reply_err(c->reply, WIRE_NOMEM);
    } else if (culprit.len == 0) {
        reply_errf(c->reply, "ERR there are too many users, or the name is too long");
    } else {
        reply_errf(c->reply, "ERR Error in ACL SETUSER modifier '%.*s': %s", (int)culprit.len,
                   culprit.ptr, acl_fault_text(fault));
    }
}

static void acl_setuser(struct cmd *c)
{
    struct acl_round *r = round_create(1);
    struct buf culprit = {0};
    enum acl_fault fault;

    if (r == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    if (acl_has_blanks(c->argv[2])) {
        reply_errf(c->reply, "ERR Usernames can't contain spaces or null characters");
        round_destroy(r);
        return;
    }
    fault = acl_set(c->argv[2], c->argv + 3, c->argc - 3, &culprit, &r->changes.v[0]);
    if (fault == ACL_FINE) {
        r->changes.count = 1;
        follow(c, r);
    } else {
        refuse_rule(c, fault, buf_slice(&culprit));
        round_destroy(r);
    }
    if (culprit.cap > 0) {
        sodium_memzero(culprit.ptr, culprit.cap);
    }
    buf_fini(&culprit);
}

static void acl_deluser(struct cmd *c)
{
    struct acl_round *r;

    for (uint32_t i = 2; i < c->argc; i++) {
        if (slice_is(c->argv[i], SLICE(AUTH_DEFAULT_USER))) {
            reply_errf(c->reply, "ERR The 'default' user cannot be removed");
            return;
        }
    }
    r = round_create(c->argc);
    if (r == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    for (uint32_t i = 2; i < c->argc; i++) {
        r->changes.count += acl_delete(c->argv[i], &r->changes.v[r->changes.count]);
    }
    acl_changes_sort(&r->changes);
    r->is_count = true;
    r->count = r->changes.count;
    follow(c, r);
}

/* --- users shown ------------------------------------------------------------------------------ */

struct listing {
    struct reply *reply;
    size_t count;
    bool with_rules, failed;
};

static bool list_one(const struct acl_user *u, const struct acl_rules *rules, void *arg)
{
    struct listing *l = arg;
    struct slice name = acl_name(u);
    struct buf text = {0};

    if (!l->with_rules) {
        reply_bulk(l->reply, name);
    } else if (buf_printf(&text, "user %.*s ", (int)name.len, name.ptr) == OK &&
               acl_rules_describe(rules, false, &text) == OK) {
        reply_bulk(l->reply, buf_slice(&text));
    } else {
        l->failed = true;
    }
    buf_fini(&text);
    l->count++;
    return !l->failed;
}

static void list_all(struct cmd *c, bool with_rules)
{
    struct listing l = {.reply = c->reply, .with_rules = with_rules};
    size_t at = reply_array_later(c->reply);

    acl_each(list_one, &l);
    c->reply->failed |= l.failed;
    reply_array_count(c->reply, at, l.count);
}

static void acl_list(struct cmd *c)
{
    list_all(c, true);
}

static void acl_users(struct cmd *c)
{
    list_all(c, false);
}

static void acl_whoami(struct cmd *c)
{
    reply_bulk(c->reply, acl_name(c->session->user));
}

static void put_text(struct reply *r, const char *name, const struct acl_selector *s,
                     int (*put)(const struct acl_selector *s, struct buf *out))
{
    struct buf text = {0};

    if (put(s, &text) != OK) {
        r->failed = true;
    }
    reply_bulk(r, slice_of(name));
    reply_bulk(r, buf_slice(&text));
    buf_fini(&text);
}

static void put_selector(struct reply *r, const struct acl_selector *s)
{
    put_text(r, "commands", s, acl_selector_put_commands);
    put_text(r, "keys", s, acl_selector_put_keys);
    put_text(r, "channels", s, acl_selector_put_channels);
}

static void put_flags(struct reply *r, const struct acl_rules *rules)
{
    reply_bulk(r, SLICE("flags"));
    reply_set(r, 2u + rules->is_nopass);
    reply_bulk(r, rules->is_on ? SLICE("on") : SLICE("off"));
    if (rules->is_nopass) {
        reply_bulk(r, SLICE("nopass"));
    }
    reply_bulk(r, rules->skips_sanitizing ? SLICE("skip-sanitize-payload")
                                          : SLICE("sanitize-payload"));
}

static void put_user(struct reply *r, const struct acl_rules *rules)
{
    reply_map(r, 6);
    put_flags(r, rules);
    reply_bulk(r, SLICE("passwords"));
    reply_array(r, rules->password_count);
    for (uint32_t i = 0; i < rules->password_count; i++) {
        struct buf hex = {0};

        if (acl_rules_put_hash(rules->passwords[i], &hex) != OK) {
            r->failed = true;
        }
        reply_bulk(r, buf_slice(&hex));
        buf_fini(&hex);
    }
    put_selector(r, acl_rules_root(rules));
    reply_bulk(r, SLICE("selectors"));
    reply_array(r, rules->selector_count - 1);
    for (uint32_t i = 1; i < rules->selector_count; i++) {
        reply_map(r, 3);
        put_selector(r, rules->selectors[i]);
    }
}

static void acl_getuser(struct cmd *c)
{
    struct acl_user *u = acl_find(c->argv[2]);

    if (u == NULL) {
        reply_null(c->reply);
        return;
    }
    /* Acquire: pairs with publish(). They stay until this turn is over. */
    put_user(c->reply, atomic_load_explicit(&u->rules, memory_order_acquire));
    acl_release(u);
}

/* --- the rest --------------------------------------------------------------------------------- */

/* Of a subcommand whose arity has an upper bound too. */
static bool is_too_long(struct cmd *c, uint32_t most)
{
    if (c->argc > most) {
        reply_errf(c->reply,
                   "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try ACL HELP.",
                   (int)c->argv[1].len, c->argv[1].ptr);
        return true;
    }
    return false;
}

static bool is_in(const struct cmd_def *d, struct slice category)
{
    const char *in[CMD_CATEGORIES_MAX];
    size_t n = cmd_categories(d, in);

    for (size_t i = 0; i < n; i++) {
        if (slice_is_word(category, in[i] + 1)) {
            return true;
        }
    }
    return false;
}

static void put_category(struct cmd *c, struct slice category)
{
    size_t at = reply_array_later(c->reply);
    size_t n = 0;

    for (uint16_t id = 0; id < cmd_count(); id++) {
        const struct cmd_def *d = cmd_by_id(id);
        char name[CMD_NAME_MAX];

        if ((d->flags & CMD_INTERNAL) == 0 && is_in(d, category)) {
            reply_bulk(c->reply, (struct slice){name, cmd_full_name(d, name)});
            n++;
        }
    }
    reply_array_count(c->reply, at, n);
}

static void acl_cat(struct cmd *c)
{
    size_t n = 0;

    if (is_too_long(c, 3)) {
        return;
    }
    if (c->argc == 3) {
        if (cmd_is_category(c->argv[2])) {
            put_category(c, c->argv[2]);
        } else {
            reply_errf(c->reply, "ERR Unknown category '%.*s'", (int)c->argv[2].len,
                       c->argv[2].ptr);
        }
        return;
    }
    while (cmd_category_at(n) != NULL) {
        n++;
    }
    reply_array(c->reply, n);
    for (size_t i = 0; i < n; i++) {
        reply_bulk(c->reply, slice_of(cmd_category_at(i)));
    }
}

static void acl_genpass(struct cmd *c)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char random[GENPASS_BITS_MAX / 8];
    char text[GENPASS_BITS_MAX / 4];
    int64_t bits = 256;
    size_t len;

    if (is_too_long(c, 3)) {
        return;
    }
    if (c->argc == 3 && !parse_i64(c->argv[2], &bits)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    if (bits <= 0 || bits > GENPASS_BITS_MAX) {
        reply_errf(c->reply,
                   "ERR ACL GENPASS argument must be the number of bits for the output password, "
                   "a positive number up to %d",
                   GENPASS_BITS_MAX);
        return;
    }
    len = (size_t)(bits + 3) / 4;
    randombytes_buf(random, sizeof(random));
    for (size_t i = 0; i < len; i++) {
        text[i] = hex[i % 2 == 0 ? random[i / 2] >> 4 : random[i / 2] & 15];
    }
    reply_bulk(c->reply, (struct slice){text, len});
    sodium_memzero(random, sizeof(random));
    sodium_memzero(text, sizeof(text));
}

static void acl_log(struct cmd *c)
{
    int64_t count = LOG_SHOWN;

    if (is_too_long(c, 3)) {
        return;
    }
    if (c->argc == 3 && slice_is_word(c->argv[2], "reset")) {
        acl_log_reset();
        reply_ok(c->reply);
    } else if (c->argc == 3 && !parse_i64(c->argv[2], &count)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
    } else {
        acl_log_reply(c->reply, count < 0 ? 0 : (uint64_t)count);
    }
}

static void put_judgement(struct cmd *c, struct acl_user *u, const struct cmd_def *def)
{
    const struct acl_rules *rules = atomic_load_explicit(&u->rules, memory_order_acquire);
    struct buf why = {0};
    uint32_t at;
    enum acl_verdict v = acl_check(rules, def, c->argv + 3, c->argc - 3, &at);

    if (v == ACL_ALLOWED) {
        reply_ok(c->reply);
        return;
    }
    acl_put_denied(&why, v, acl_name(u), def, c->argv[3 + at], true);
    reply_bulk(c->reply, buf_slice(&why));
    buf_fini(&why);
}

static void acl_dryrun(struct cmd *c)
{
    struct acl_user *u = acl_find(c->argv[2]);
    const struct cmd_def *def = cmd_doc_lookup(c->argv + 3, c->argc - 3);
    char name[CMD_NAME_MAX];

    if (u == NULL) {
        reply_errf(c->reply, "ERR User '%.*s' not found", (int)c->argv[2].len, c->argv[2].ptr);
    } else if (def == NULL) {
        reply_errf(c->reply, "ERR Command '%.*s' not found", (int)c->argv[3].len, c->argv[3].ptr);
    } else if (!cmd_arity_fits(def, c->argc - 3)) {
        reply_errf(c->reply, "ERR wrong number of arguments for '%.*s' command",
                   (int)cmd_full_name(def, name), name);
    } else {
        put_judgement(c, u, def);
    }
    acl_release(u);
}

static void put_line(struct reply *r, size_t *n, const char *head, const char *gap,
                     const char *tail)
{
    struct buf line = {0};

    if (buf_printf(&line, "%s%s%s", head, gap, tail) == OK) {
        reply_simple(r, buf_slice(&line));
        (*n)++;
    }
    buf_fini(&line);
}

static void acl_help(struct cmd *c)
{
    size_t n = 0;
    size_t at = reply_array_later(c->reply);

    put_line(c->reply, &n, "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", "", "");
    for (const struct cmd_def *d = c->def->parent->subs; d->name != NULL; d++) {
        put_line(c->reply, &n, d->name, d->args[0] != '\0' ? " " : "", d->args);
        put_line(c->reply, &n, "    ", "", d->summary);
    }
    reply_array_count(c->reply, at, n);
}

/* clang-format off */
#define ABOUT (CMD_DOOR | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FREE)
#define ADMIN (ABOUT | CMD_ADMIN | CMD_OPERATOR)

static struct cmd_def acl_subs[] = {
    { "CAT",     -2, ABOUT, KEYS_NONE, "6.0.0", acl_cat, "[category]",
      "The categories of commands, or the commands of one." },
    { "DELUSER", -3, ADMIN, KEYS_NONE, "6.0.0", acl_deluser, "username [username ...]",
      "Removes users, and closes their connections.", .request = CMD_ALL_NODES, .response = CMD_ALL_SUCCEEDED },
    { "DRYRUN",  -4, ADMIN, KEYS_NONE, "7.0.0", acl_dryrun, "username command [arg [arg ...]]",
      "Whether a user may run a command, without running it." },
    { "GENPASS", -2, ABOUT, KEYS_NONE, "6.0.0", acl_genpass, "[bits]",
      "A random password." },
    { "GETUSER",  3, ADMIN, KEYS_NONE, "6.0.0", acl_getuser, "username",
      "What a user may do." },
    { "HELP",     2, CMD_DOOR | CMD_LOADING | CMD_STALE | CMD_FREE, KEYS_NONE, "6.0.0", acl_help, "",
      "Print this help." },
    { "LIST",     2, ADMIN, KEYS_NONE, "6.0.0", acl_list, "",
      "The users and their rules." },
    { "LOAD",     2, ADMIN & ~CMD_DOOR, KEYS_NONE, "6.0.0", acl_cmd_load, "",
      "Reads the users from aclfile.", .request = CMD_ALL_NODES, .response = CMD_ALL_SUCCEEDED },
    { "LOG",     -2, ADMIN, KEYS_NONE, "6.0.0", acl_log, "[count | RESET]",
      "What was refused of late." },
    { "SAVE",     2, ADMIN & ~CMD_DOOR, KEYS_NONE, "6.0.0", acl_cmd_save, "",
      "Writes the users to aclfile.", .request = CMD_ALL_NODES, .response = CMD_ALL_SUCCEEDED },
    { "SETUSER", -3, ADMIN, KEYS_NONE, "6.0.0", acl_setuser, "username [rule [rule ...]]",
      "Makes or changes a user.", .request = CMD_ALL_NODES, .response = CMD_ALL_SUCCEEDED },
    { "USERS",    2, ADMIN, KEYS_NONE, "6.0.0", acl_users, "",
      "The users' names." },
    { "WHOAMI",   2, ABOUT, KEYS_NONE, "6.0.0", acl_whoami, "",
      "The user of this connection." },
    CMD_END
};

struct cmd_def edge_acl_cmds[] = {
    { "ACL",     -2, 0, KEYS_NONE, "6.0.0", NULL, "",
      "Users and what they may do.", .subs = acl_subs },
    CMD_END
};
/* clang-format on */
