/* cmd_client.c - CLIENT: what a client asks and sets about itself and, in rounds over the workers
 * (edge/client.h), about the others. */
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "edge/acl.h"
#include "edge/client.h"
#include "edge/conn.h"
#include "edge/label.h"
#include "edge/tracking.h"

#define DOOR (CMD_DOOR | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FREE)

enum { IDS_MAX = 1024 }; /* of CLIENT LIST ID and CLIENT KILL ID */

/* --- about itself ----------------------------------------------------------------------------- */

static void client_id(struct cmd *c)
{
    reply_int(c->reply, (int64_t)c->session->id);
}

static void client_info(struct cmd *c)
{
    struct buf text;

    buf_init(&text);
    if (client_line(conn_of(c->session), &text) != OK) {
        c->reply->failed = true;
    }
    reply_verbatim(c->reply, "txt", buf_slice(&text));
    buf_fini(&text);
}

static void client_getname(struct cmd *c)
{
    const char *name = conn_of(c->session)->name;

    if (name == NULL) {
        reply_null(c->reply);
    } else {
        reply_bulk(c->reply, slice_of(name));
    }
}

static void client_setname(struct cmd *c)
{
    if (!label_is_good(c->argv[2])) {
        reply_errf(c->reply, LABEL_NAME_ERROR);
        return;
    }
    conn_text_set(&conn_of(c->session)->name, c->argv[2]);
    reply_ok(c->reply);
}

static void client_setinfo(struct cmd *cmd)
{
    struct conn *c = conn_of(cmd->session);
    struct slice what = cmd->argv[2];
    bool is_name = slice_is_word(what, "lib-name");

    if (!is_name && !slice_is_word(what, "lib-ver")) {
        reply_errf(cmd->reply, "ERR Unrecognized option '%.*s'", (int)what.len, what.ptr);
    } else if (!label_is_good(cmd->argv[3])) {
        reply_errf(cmd->reply, "ERR %.*s cannot contain spaces, newlines or special characters.",
                   (int)what.len, what.ptr);
    } else {
        conn_text_set(is_name ? &c->lib_name : &c->lib_ver, cmd->argv[3]);
        reply_ok(cmd->reply);
    }
}

/* ON or OFF as argument 2; false: the reply is written. */
static bool parse_switch(struct cmd *c, bool *on)
{
    *on = slice_is_word(c->argv[2], "on");
    if (!*on && !slice_is_word(c->argv[2], "off")) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    return true;
}

static void client_no_evict(struct cmd *c)
{
    bool on;

    if (parse_switch(c, &on)) {
        conn_of(c->session)->no_evict = on;
        reply_ok(c->reply);
    }
}

static void client_no_touch(struct cmd *c)
{
    bool on;

    if (parse_switch(c, &on)) {
        c->session->no_touch = on;
        reply_ok(c->reply);
    }
}

static void client_reply(struct cmd *cmd)
{
    struct conn *c = conn_of(cmd->session);

    if (slice_is_word(cmd->argv[2], "on")) {
        conn_reply_mode_set(c, CONN_REPLY_ON);
        reply_ok(cmd->reply);
    } else if (slice_is_word(cmd->argv[2], "off")) {
        conn_reply_mode_set(c, CONN_REPLY_OFF);
    } else if (slice_is_word(cmd->argv[2], "skip")) {
        if (c->reply_mode == CONN_REPLY_ON) {
            conn_reply_mode_set(c, CONN_REPLY_SKIP_NEXT);
        }
    } else {
        reply_err(cmd->reply, WIRE_SYNTAX);
    }
}

/* --- about all: LIST and KILL ----------------------------------------------------------------- */

enum client_type { TYPE_ANY, TYPE_NORMAL, TYPE_PUBSUB, TYPE_OTHER };

/* Which clients a question is about. */
struct filter {
    uint64_t *ids; /* owned */
    uint32_t id_count;
    enum client_type type;
    char addr[CONN_ADDR_MAX], local[CONN_ADDR_MAX]; /* "" is any */
    bool has_addr, has_local, skip_me;
    int64_t age_s_min;     /* 0 is any */
    struct acl_user *user; /* held; NULL is any */
};

struct question {
    struct client_round round;
    struct filter filter;
    struct buf text;   /* LIST */
    int64_t count;     /* KILL: how many; UNBLOCK: whether */
    int64_t until_ms;  /* PAUSE */
    bool is_old_form;  /* KILL addr */
    bool is_asker_hit; /* KILL */
    bool flag;         /* PAUSE: all; UNBLOCK: with an error */
    bool failed;
};

static struct question *question_create(void)
{
    struct question *q = mem_zalloc(sizeof(*q));

    if (q != NULL) {
        q->filter.ids = mem_alloc(IDS_MAX * sizeof(q->filter.ids[0]));
        if (q->filter.ids == NULL) {
            mem_free(q, sizeof(*q));
            return NULL;
        }
    }
    return q;
}

static void question_destroy(struct question *q)
{
    mem_free(q->filter.ids, IDS_MAX * sizeof(q->filter.ids[0]));
    acl_release(q->filter.user);
    buf_fini(&q->text);
    mem_free(q, sizeof(*q));
}

static bool is_meant(const struct filter *f, const struct conn *c, uint64_t asker)
{
    char text[CONN_ADDR_MAX];
    bool is_listed = f->id_count == 0;

    for (uint32_t i = 0; i < f->id_count && !is_listed; i++) {
        is_listed = f->ids[i] == c->session.id;
    }
    if (f->type != TYPE_ANY && f->type != (c->subs != NULL ? TYPE_PUBSUB : TYPE_NORMAL)) {
        return false;
    }
    if (!is_listed || (f->skip_me && c->session.id == asker)) {
        return false;
    }
    if (f->user != NULL && f->user != c->session.user) {
        return false;
    }
    if (f->has_addr) {
        conn_addr_text(&c->peer, text);
        if (strcmp(text, f->addr) != 0) {
            return false;
        }
    }
    if (f->has_local) {
        conn_local_text(c, text);
        if (strcmp(text, f->local) != 0) {
            return false;
        }
    }
    return f->age_s_min == 0 || (c->set->worker->now_ms - c->made_ms) / 1000 >= f->age_s_min;
}

static void visit_list(struct client_round *r, struct conn_set *set)
{
    struct question *q = LIST_ITEM(r, struct question, round);

    for (struct list *n = set->conns.next; n != &set->conns; n = n->next) {
        struct conn *c = LIST_ITEM(n, struct conn, link);

        if (is_meant(&q->filter, c, r->asker) && client_line(c, &q->text) != OK) {
            q->failed = true;
        }
    }
}

static void done_list(struct client_round *r, struct conn *c)
{
    struct question *q = LIST_ITEM(r, struct question, round);

    if (c != NULL) {
        size_t from = conn_answer_begin(c);

        c->reply.failed |= q->failed;
        reply_verbatim(&c->reply, "txt", buf_slice(&q->text));
        conn_answer_end(c, from);
    }
    question_destroy(q);
}

static void visit_kill(struct client_round *r, struct conn_set *set)
{
    struct question *q = LIST_ITEM(r, struct question, round);
    struct list *n = set->conns.next;

    while (n != &set->conns) {
        struct conn *c = LIST_ITEM(n, struct conn, link);

        n = n->next;
        if (!is_meant(&q->filter, c, r->asker)) {
            continue;
        }
        q->count++;
        conn_count(&set->count.killed, 1);
        if (c->session.id == r->asker) {
            q->is_asker_hit = true; /* after it has heard of it */
        } else {
            conn_close(c, "killed");
        }
    }
}

static void done_kill(struct client_round *r, struct conn *c)
{
    struct question *q = LIST_ITEM(r, struct question, round);

    if (c != NULL) {
        size_t from = conn_answer_begin(c);

        if (!q->is_old_form) {
            reply_int(&c->reply, q->count);
        } else if (q->count > 0) {
            reply_ok(&c->reply);
        } else {
            reply_errf(&c->reply, "ERR No such client");
        }
        if (q->is_asker_hit) {
            conn_end(c);
        }
        conn_answer_end(c, from);
    }
    question_destroy(q);
}

static void ask(struct cmd *c, struct question *q,
                void (*visit)(struct client_round *r, struct conn_set *set),
                void (*done)(struct client_round *r, struct conn *asker))
{
    q->round.visit = visit;
    q->round.done = done;
    client_round_start(&q->round, conn_of(c->session));
}

static bool parse_type(struct cmd *c, struct slice name, enum client_type *type)
{
    if (slice_is_word(name, "normal")) {
        *type = TYPE_NORMAL;
    } else if (slice_is_word(name, "pubsub")) {
        *type = TYPE_PUBSUB;
    } else if (slice_is_word(name, "master") || slice_is_word(name, "slave") ||
               slice_is_word(name, "replica")) {
        *type = TYPE_OTHER; /* there are none yet */
    } else {
        reply_errf(c->reply, "ERR Unknown client type '%.*s'", (int)name.len, name.ptr);
        return false;
    }
    return true;
}

static bool put_id(struct filter *f, struct slice text)
{
    int64_t id;

    if (!parse_i64(text, &id) || id < 1 || f->id_count == IDS_MAX) {
        return false;
    }
    f->ids[f->id_count++] = (uint64_t)id;
    return true;
}

static bool parse_list(struct cmd *c, struct filter *f)
{
    if (c->argc == 4 && slice_is_word(c->argv[2], "type")) {
        return parse_type(c, c->argv[3], &f->type);
    }
    if (c->argc > 3 && slice_is_word(c->argv[2], "id")) {
        for (uint32_t i = 3; i < c->argc; i++) {
            if (!put_id(f, c->argv[i])) {
                reply_errf(c->reply, "ERR Invalid client ID");
                return false;
            }
        }
        return true;
    }
    if (c->argc != 2) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    return true;
}

static void client_list(struct cmd *c)
{
    struct question *q = question_create();

    if (q == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
    } else if (!parse_list(c, &q->filter)) {
        question_destroy(q);
    } else {
        ask(c, q, visit_list, done_list);
    }
}

static void copy_addr(char to[CONN_ADDR_MAX], struct slice s)
{
    size_t n = s.len < CONN_ADDR_MAX ? s.len : CONN_ADDR_MAX - 1;

    memcpy(to, s.ptr, n);
    to[n] = '\0';
}

/* One pair of CLIENT KILL; false: the reply is written. */
static bool parse_kill_pair(struct cmd *c, struct filter *f, struct slice name, struct slice value)
{
    if (slice_is_word(name, "id")) {
        f->id_count = 0;
        if (!put_id(f, value)) {
            reply_errf(c->reply, "ERR client-id should be greater than 0");
            return false;
        }
    } else if (slice_is_word(name, "type")) {
        return parse_type(c, value, &f->type);
    } else if (slice_is_word(name, "addr")) {
        f->has_addr = true;
        copy_addr(f->addr, value);
    } else if (slice_is_word(name, "laddr")) {
        f->has_local = true;
        copy_addr(f->local, value);
    } else if (slice_is_word(name, "user")) {
        acl_release(f->user);
        f->user = acl_find(value);
        if (f->user == NULL) {
            reply_errf(c->reply, "ERR No such user '%.*s'",
                       value.len < 1024 ? (int)value.len : 1024, value.ptr);
            return false;
        }
    } else if (slice_is_word(name, "maxage")) {
        if (!parse_i64(value, &f->age_s_min)) {
            reply_errf(c->reply, "ERR maxage is not an integer or out of range");
            return false;
        }
        if (f->age_s_min <= 0) {
            reply_errf(c->reply, "ERR maxage should be greater than 0");
            return false;
        }
    } else if (slice_is_word(name, "skipme") && slice_is_word(value, "yes")) {
        f->skip_me = true;
    } else if (slice_is_word(name, "skipme") && slice_is_word(value, "no")) {
        f->skip_me = false;
    } else {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    return true;
}

static bool parse_kill(struct cmd *c, struct question *q)
{
    struct filter *f = &q->filter;

    if (c->argc == 3) {
        q->is_old_form = true;
        f->has_addr = true;
        copy_addr(f->addr, c->argv[2]);
        return true;
    }
    f->skip_me = true;
    for (uint32_t i = 2; i < c->argc; i += 2) {
        if (i + 1 == c->argc) {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
        if (!parse_kill_pair(c, f, c->argv[i], c->argv[i + 1])) {
            return false;
        }
    }
    return true;
}

static void client_kill(struct cmd *c)
{
    struct question *q = question_create();

    if (q == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
    } else if (!parse_kill(c, q)) {
        question_destroy(q);
    } else {
        ask(c, q, visit_kill, done_kill);
    }
}

/* --- about all: PAUSE and UNBLOCK ------------------------------------------------------------- */

static void done_ok(struct client_round *r, struct conn *c)
{
    struct question *q = LIST_ITEM(r, struct question, round);

    if (c != NULL) {
        size_t from = conn_answer_begin(c);

        reply_ok(&c->reply);
        conn_answer_end(c, from);
    }
    question_destroy(q);
}

static void visit_pause(struct client_round *r, struct conn_set *set)
{
    struct question *q = LIST_ITEM(r, struct question, round);

    conn_set_pause(set, q->until_ms, q->flag);
}

static void visit_unpause(struct client_round *r, struct conn_set *set)
{
    (void)r;
    conn_set_unpause(set);
}

/* Of a subcommand whose arity has an upper bound too. */
static void refuse_count(struct cmd *c)
{
    reply_errf(c->reply,
               "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT HELP.",
               (int)c->argv[1].len, c->argv[1].ptr);
}

static void client_pause(struct cmd *c)
{
    bool all = true;
    int64_t timeout_ms;
    struct question *q;

    if (c->argc == 4) {
        all = slice_is_word(c->argv[3], "all");
        if (!all && !slice_is_word(c->argv[3], "write")) {
            reply_errf(c->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
    } else if (c->argc > 4) {
        refuse_count(c);
        return;
    }
    if (!parse_i64(c->argv[2], &timeout_ms)) {
        reply_errf(c->reply, "ERR timeout is not an integer or out of range");
    } else if (timeout_ms < 0) {
        reply_errf(c->reply, "ERR timeout is negative");
    } else if (timeout_ms > INT64_MAX / 2) {
        reply_errf(c->reply, "ERR timeout is out of range");
    } else if ((q = question_create()) == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        q->flag = all;
        q->until_ms = conn_of(c->session)->set->worker->now_ms + timeout_ms;
        ask(c, q, visit_pause, done_ok);
    }
}

static void client_unpause(struct cmd *c)
{
    struct question *q = question_create();

    if (q == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        ask(c, q, visit_unpause, done_ok);
    }
}

static void visit_unblock(struct client_round *r, struct conn_set *set)
{
    struct question *q = LIST_ITEM(r, struct question, round);
    struct conn *c = client_find(set, q->filter.ids[0]);
    struct backend *b = set->backend;

    if (c != NULL && c->is_busy && b->unblock != NULL &&
        b->unblock(b, &c->session, q->flag ? CMD_UNBLOCKED_ERROR : CMD_UNBLOCKED_TIMEOUT)) {
        q->count = 1;
    }
}

static void done_count(struct client_round *r, struct conn *c)
{
    struct question *q = LIST_ITEM(r, struct question, round);

    if (c != NULL) {
        size_t from = conn_answer_begin(c);

        reply_int(&c->reply, q->count);
        conn_answer_end(c, from);
    }
    question_destroy(q);
}

static void client_unblock(struct cmd *c)
{
    struct question *q;
    bool with_error = c->argc == 4 && slice_is_word(c->argv[3], "error");
    int64_t id;

    if (c->argc > 4) {
        refuse_count(c);
    } else if (c->argc == 4 && !with_error && !slice_is_word(c->argv[3], "timeout")) {
        reply_errf(c->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    } else if (!parse_i64(c->argv[2], &id)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
    } else if ((q = question_create()) == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        q->filter.ids[0] = (uint64_t)id;
        q->flag = with_error;
        ask(c, q, visit_unblock, done_count);
    }
}

/* --- HELP and the rows ------------------------------------------------------------------------ */

static void client_help(struct cmd *c)
{
    size_t n = 0;
    size_t at;

    at = reply_array_later(c->reply);
    reply_simple(c->reply,
                 SLICE("CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    n++;
    for (const struct cmd_def *d = client_subs; d->name != NULL; d++) {
        struct buf line;

        buf_init(&line);
        if (buf_printf(&line, "%s%s%s", d->name, d->args[0] != '\0' ? " " : "", d->args) == OK) {
            reply_simple(c->reply, buf_slice(&line));
            n++;
        }
        buf_clear(&line);
        if (buf_printf(&line, "    %s", d->summary) == OK) {
            reply_simple(c->reply, buf_slice(&line));
            n++;
        }
        buf_fini(&line);
    }
    reply_array_count(c->reply, at, n);
}

/* clang-format off */
struct cmd_def client_subs[] = {
    { "CACHING",      3, DOOR, KEYS_NONE, "6.0.0", tracking_cmd_caching, "<YES | NO>",
      "Instructs the server whether to track the keys in the next request." },
    { "GETNAME",      2, DOOR, KEYS_NONE, "2.6.9", client_getname, "",
      "Returns the name of the connection." },
    { "GETREDIR",     2, DOOR, KEYS_NONE, "6.0.0", tracking_cmd_getredir, "",
      "Returns the client ID to which the connection's tracking notifications are redirected." },
    { "HELP",         2, DOOR, KEYS_NONE, "5.0.0", client_help, "",
      "Returns helpful text about the different subcommands." },
    { "ID",           2, DOOR, KEYS_NONE, "5.0.0", client_id, "",
      "Returns the unique client ID of the connection." },
    { "INFO",         2, DOOR | CMD_RANDOM, KEYS_NONE, "6.2.0", client_info, "",
      "Returns information about the connection." },
    { "KILL",        -3, DOOR | CMD_ADMIN | CMD_NOMULTI, KEYS_NONE, "2.4.0", client_kill,
      "<ip:port | [ID client-id] [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] [USER username] "
      "[ADDR ip:port] [LADDR ip:port] [SKIPME <YES | NO>] [MAXAGE maxage]>",
      "Terminates open connections." },
    { "LIST",        -2, DOOR | CMD_ADMIN | CMD_NOMULTI | CMD_RANDOM, KEYS_NONE, "2.4.0", client_list,
      "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
      "Lists open connections." },
    { "NO-EVICT",     3, DOOR | CMD_ADMIN, KEYS_NONE, "7.0.0", client_no_evict, "<ON | OFF>",
      "Sets the client eviction mode of the connection." },
    { "NO-TOUCH",     3, DOOR, KEYS_NONE, "7.2.0", client_no_touch, "<ON | OFF>",
      "Controls whether commands sent by the client affect the LRU/LFU of accessed keys." },
    { "PAUSE",       -3, DOOR | CMD_ADMIN | CMD_NOMULTI, KEYS_NONE, "3.0.0", client_pause, "timeout [WRITE | ALL]",
      "Suspends commands processing." },
    { "REPLY",        3, DOOR, KEYS_NONE, "3.2.0", client_reply, "<ON | OFF | SKIP>",
      "Instructs the server whether to reply to commands." },
    { "SETINFO",      4, DOOR, KEYS_NONE, "7.2.0", client_setinfo,
      "<LIB-NAME libname | LIB-VER libver>",
      "Sets information specific to the client or connection." },
    { "SETNAME",      3, DOOR, KEYS_NONE, "2.6.9", client_setname, "connection-name",
      "Sets the connection name." },
    { "TRACKING",    -3, DOOR | CMD_NOMULTI, KEYS_NONE, "6.0.0", tracking_cmd_tracking,
      "<ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] "
      "[NOLOOP]",
      "Controls server-assisted client-side caching for the connection." },
    { "TRACKINGINFO", 2, DOOR, KEYS_NONE, "6.2.0", tracking_cmd_info, "",
      "Returns information about server-assisted client-side caching for the connection." },
    { "UNBLOCK",     -3, DOOR | CMD_ADMIN | CMD_NOMULTI, KEYS_NONE, "5.0.0", client_unblock,
      "client-id [TIMEOUT | ERROR]",
      "Unblocks a client blocked by a blocking command from a different connection." },
    { "UNPAUSE",      2, DOOR | CMD_ADMIN | CMD_NOMULTI, KEYS_NONE, "6.2.0", client_unpause, "",
      "Resumes processing commands from paused clients." },
    CMD_END
};
/* clang-format on */
