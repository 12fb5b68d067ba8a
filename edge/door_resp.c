/* door_resp.c - parse, judge, batch, run.
 *
 * A turn alternates between gathering and running. gather() fills the scratch with requests for the
 * backend until one is met that is the door's own (CMD_DOOR, or refused): that one is carried out
 * alone, when everything before it has been, which keeps the replies in order.
 *
 * A request that was parsed and could not be placed yet (`parsed_len`) stays in the parser: its
 * arguments are offsets, so the bytes may move under it.
 */
#include "edge/door_resp.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/acl.h"
#include "edge/acl_log.h"
#include "edge/auth.h"
#include "edge/conn.h"
#include "edge/monitor.h"
#include "edge/multi.h"
#include "edge/options.h"
#include "edge/tracking.h"
#include "proto/cmd_doc.h"
#include "proto/error_count.h"
#include "proto/resp_reply.h"

#include <stdio.h>

enum { NAME_SHOWN = 128, ARGS_SHOWN = 128 }; /* of what is echoed in an error; Redis' figures */

/* --- replies in the client's protocol --------------------------------------------------------- */

/* At the end of each reply that RESP2 says otherwise, that holds marks, or that is not wanted. */
static void settle(struct reply *r, size_t from)
{
    struct conn *c = r->door;

    if (UNLIKELY(c->reply_mode != CONN_REPLY_ON)) {
        if ((r->flags & REPLY_PUSHED) == 0) {
            r->out.len = from;
        }
        if (c->reply_mode == CONN_REPLY_SKIP_NEXT) {
            conn_reply_mode_set(c, CONN_REPLY_ON);
        }
        if (r->out.len == from) {
            return;
        }
    }
    if ((r->flags & REPLY_ERROR) != 0) {
        conn_count(&c->set->count.errors, 1);
        error_count_note((struct slice){r->out.ptr + from, r->out.len - from});
    }
    if (c->protocol == 2 && (r->flags & (REPLY_DIFFERS | REPLY_MARKED)) != 0) {
        resp_reply_settle2(r, from, &c->set->convert);
    } else if ((r->flags & REPLY_MARKED) != 0) {
        resp_reply_settle3(r, from, &c->set->convert);
    }
}

/* Of a map or set only the head differs, mostly, which settle() knows. */
static void settle_ahead(struct reply *r, size_t from, bool (*tick)(size_t work))
{
    const struct conn *c = r->door;
    bool is_many = (r->flags & (REPLY_DIFFERS_MORE | REPLY_MARKED)) != 0;

    if (c->reply_mode == CONN_REPLY_ON && is_many &&
        (c->protocol == 2 || (r->flags & REPLY_MARKED) != 0)) {
        resp_reply_settle_ahead(r, from, c->protocol, tick);
    }
}

static void watch_replies(struct conn *c)
{
    c->reply.watched = REPLY_ERROR | REPLY_MARKED;
    if (c->protocol == 2) {
        c->reply.watched |= REPLY_DIFFERS;
    }
    if (c->reply_mode != CONN_REPLY_ON) {
        c->reply.watched |= REPLY_ALWAYS;
    }
}

void conn_speak(struct conn *c, uint8_t protocol)
{
    c->protocol = protocol;
    watch_replies(c);
}

void conn_reply_mode_set(struct conn *c, enum conn_reply mode)
{
    c->reply_mode = mode;
    watch_replies(c);
}

/* The queue was carried out or dropped. */
static void multi_end(struct conn *c)
{
    multi_destroy(c->multi);
    c->multi = NULL;
}

static void forget_watched(struct conn *c)
{
    if (c->session.backend->session_reset != NULL) {
        c->session.backend->session_reset(c->session.backend, &c->session);
    }
}

void door_resp_reset(struct conn *c)
{
    multi_end(c);
    c->protocol = 2;
    c->reply_mode = CONN_REPLY_ON;
    c->session.no_touch = false;
    acl_become(&c->session, acl_default());
    c->session.db = auth_database();
    c->is_authed = !auth_is_needed();
    watch_replies(c);
}

void door_resp_open(struct conn *c)
{
    resp_req_init(&c->req);
    c->reply.settle = settle;
    c->reply.settle_ahead = settle_ahead;
    c->batch_max = CONN_BATCH_FIRST;
    door_resp_reset(c);
}

/* --- what a request is refused for ------------------------------------------------------------ */

static void put_lower(struct buf *b, const char *name)
{
    for (; *name != '\0'; name++) {
        (void)!buf_append_char(b, slice_lower(*name));
    }
}

static int shown(struct slice s, size_t most)
{
    return (int)(s.len < most ? s.len : most);
}

static void refuse_unknown(struct conn *c, const struct request *q)
{
    const struct cmd_def *container = cmd_find(q->argv[0]);
    char args[ARGS_SHOWN + 8];
    size_t len = 0;

    if (container != NULL && q->argc > 1) {
        reply_errf(&c->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                   shown(q->argv[1], NAME_SHOWN), q->argv[1].ptr, container->name);
        return;
    }
    args[0] = '\0';
    for (uint32_t i = 1; i < q->argc && len < ARGS_SHOWN; i++) {
        int n = snprintf(args + len, sizeof(args) - len, "'%.*s' ",
                         shown(q->argv[i], ARGS_SHOWN - len), q->argv[i].ptr);

        len += (size_t)n;
        len = len < sizeof(args) ? len : sizeof(args) - 1;
    }
    reply_errf(&c->reply, "ERR unknown command '%.*s', with args beginning with: %s",
               shown(q->argv[0], NAME_SHOWN), q->argv[0].ptr, args);
}

static void refuse_arity(struct conn *c, const struct cmd_def *def)
{
    struct buf name;

    buf_init(&name);
    if (def->parent != NULL) {
        put_lower(&name, def->parent->name);
        put_lower(&name, "|");
    }
    put_lower(&name, def->name);
    /* Redis says it of EXEC in this way, and has it end the transaction, if there is one. */
    reply_errf(&c->reply, "%s wrong number of arguments for '%.*s' command",
               (def->flags & CMD_TXN_RUN) != 0 ? "EXECABORT Transaction discarded because of:"
                                               : "ERR",
               (int)name.len, name.ptr);
    buf_fini(&name);
}

/* The row of a request; NULL if there is none. */
static const struct cmd_def *find(const struct slice *argv, uint32_t argc)
{
    const struct cmd_def *def = cmd_find(argv[0]);

    if (def != NULL && UNLIKELY(def->subs != NULL) && argc > 1) {
        return cmd_find_sub(def, argv[1]);
    }
    return def;
}

/* A subscriber in RESP2 may say only what is answered in a message's form. */
static bool is_barred(const struct conn *c, const struct cmd_def *def)
{
    return UNLIKELY(c->subs != NULL) && c->protocol == 2 && (def->flags & CMD_PUBSUB) == 0;
}

static void refuse_barred(struct conn *c, const struct cmd_def *def)
{
    char name[CMD_NAME_MAX];

    reply_errf(&c->reply,
               "ERR Can't execute '%.*s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
               "RESET are allowed in this context",
               (int)cmd_full_name(def, name), name);
}

/* Whether MULTI keeps it for EXEC. */
static bool is_queued(const struct conn *c, const struct request *q)
{
    return UNLIKELY(c->multi != NULL) && (q->def->flags & CMD_TXN) == 0;
}

static bool is_watch_in_multi(const struct conn *c, const struct request *q)
{
    return UNLIKELY(c->multi != NULL) &&
           q->def->keys.kind != CMD_KEYS_NONE; /* of all CMD_TXN rows */
}

/* Whether the user may not. `limits` is acl_limits(). */
static bool is_denied(const struct request *q, const struct acl_rules *limits)
{
    uint32_t at;

    return UNLIKELY(limits != NULL) &&
           acl_check(limits, q->def, q->argv, q->argc, &at) != ACL_ALLOWED;
}

/* Whether the backend has nothing to do with it, or not yet. */
static bool is_for_door(const struct conn *c, const struct request *q,
                        const struct acl_rules *limits)
{
    return q->def == NULL || (q->def->flags & CMD_DOOR) != 0 || !cmd_arity_fits(q->def, q->argc) ||
           UNLIKELY(!c->is_authed) || is_barred(c, q->def) || is_queued(c, q) ||
           is_watch_in_multi(c, q) || is_denied(q, limits);
}

/* Whether nothing may be in one batch with it. */
static bool is_alone(const struct cmd_def *def)
{
    return UNLIKELY((def->flags & (CMD_BLOCKING | CMD_TXN)) != 0);
}

/* What was refused while MULTI queues makes EXEC refuse all. */
static void spoil(struct conn *c)
{
    if (c->multi != NULL) {
        c->multi->is_spoiled = true;
    }
}

/* True: the user may not, and the reply is written. */
static bool refuse_denied(struct conn *c, const struct request *q)
{
    const struct acl_rules *limits = acl_limits(&c->session);
    struct acl_denied d;

    if (LIKELY(limits == NULL)) {
        return false;
    }
    d = (struct acl_denied){.context = c->multi != NULL ? ACL_IN_MULTI : ACL_AT_TOP,
                            .def = q->def,
                            .argv = q->argv,
                            .argc = q->argc};
    d.verdict = acl_check(limits, q->def, q->argv, q->argc, &d.at);
    if (d.verdict == ACL_ALLOWED) {
        return false;
    }
    c->last_def = q->def;
    acl_log_denied(&c->session, &d);
    acl_reply_denied(
        &c->reply, &c->session, &d,
        (q->def->flags & CMD_TXN_RUN) != 0 ? "EXECABORT Transaction discarded because of: " : "");
    spoil(c);
    return true;
}

static void queue(struct conn *c, const struct request *q)
{
    int err;

    if ((q->def->flags & CMD_NOMULTI) != 0) {
        reply_errf(&c->reply, "ERR Command not allowed inside a transaction");
        spoil(c);
        return;
    }
    err = multi_add(c->multi, q, conf_u64(&opt_client_query_buffer_limit));
    if (err != OK) {
        reply_err(&c->reply, err == ERR_LIMIT ? WIRE_TOO_LARGE : WIRE_NOMEM);
        spoil(c);
        return;
    }
    reply_simple(&c->reply, SLICE("QUEUED"));
}

void door_resp_multi(struct conn *c)
{
    if (c->multi != NULL) {
        reply_errf(&c->reply, "ERR MULTI calls can not be nested");
        return;
    }
    c->multi = multi_create();
    if (c->multi == NULL) {
        reply_err(&c->reply, WIRE_NOMEM);
    } else {
        reply_ok(&c->reply);
    }
}

/* What a browser sends that a web page aimed at our port: none of it may be carried out, and what
 * follows the head is the page's to choose. */
static bool is_from_browser(const struct request *q)
{
    return slice_is_word(q->argv[0], "post") || slice_is_word(q->argv[0], "host:");
}

/* Carries out a request of the door's. */
static void run_here(struct conn *c, struct request *q)
{
    size_t from = reply_begin(&c->reply);

    conn_count(&c->set->count.requests, 1);
    c->requests++;
    if (q->def == NULL && UNLIKELY(is_from_browser(q))) {
        log_warn("door: HTTP on the Redis port, closed: cross-protocol scripting?\tid=%lu",
                 (unsigned long)c->session.id);
        conn_count(&c->set->count.protocol_errors, 1);
        conn_close(c, "HTTP");
    } else if (q->def == NULL) {
        refuse_unknown(c, q);
        spoil(c);
    } else if (!cmd_arity_fits(q->def, q->argc)) {
        refuse_arity(c, q->def);
        spoil(c);
        if ((q->def->flags & CMD_TXN_RUN) != 0) {
            multi_end(c);
            forget_watched(c);
        }
    } else if (!c->is_authed && (q->def->flags & CMD_NOAUTH) == 0) {
        reply_err(&c->reply, WIRE_NOAUTH);
    } else if (refuse_denied(c, q)) {
        if ((q->def->flags & CMD_TXN_RUN) != 0) {
            multi_end(c);
            forget_watched(c);
        }
    } else if (is_barred(c, q->def)) {
        refuse_barred(c, q->def);
        spoil(c);
    } else if (is_queued(c, q)) {
        queue(c, q);
    } else if (is_watch_in_multi(c, q)) {
        reply_errf(&c->reply, "ERR WATCH inside MULTI is not allowed");
    } else if ((q->def->flags & CMD_DOOR) != 0) {
        struct cmd cmd = {.def = q->def,
                          .argv = q->argv,
                          .argc = q->argc,
                          .reply = &c->reply,
                          .session = &c->session,
                          .db = c->session.db,
                          .now_ms = clock_now_ms()};

        if (UNLIKELY(monitor_is_on())) {
            monitor_feed(c, q, 1);
        }
        c->last_def = q->def;
        q->def->run(&cmd);
        if (c->is_waiting) {
            assert(c->reply.out.len == from);
            return; /* conn_answer_end() comes with the reply */
        }
    }
    if (UNLIKELY(c->session.is_tracking)) {
        tracking_passed(c, q->def);
    }
    if (!c->is_closed) {
        reply_end(&c->reply, from);
    }
}

/* --- gathering -------------------------------------------------------------------------------- */

static void on_bad_request(struct conn *c)
{
    size_t from = reply_begin(&c->reply);

    reply_errf(&c->reply, "ERR %s", c->req.error);
    reply_end(&c->reply, from);
    conn_count(&c->set->count.protocol_errors, 1);
    c->view_at = c->view_len;
    conn_end(c);
}

/* The next request stands parsed at view_at. */
static bool parse_next(struct conn *c, const struct resp_limits *limits)
{
    size_t used = 0;

    while (c->view_at < c->view_len) {
        struct slice in = {c->view + c->view_at, c->view_len - c->view_at};

        switch (resp_req_parse(&c->req, in, limits, &used)) {
        case PARSE_DONE:
            if (LIKELY(c->req.argc > 0)) {
                c->parsed_len = used;
                return true;
            }
            c->view_at += used;
            resp_req_reset(&c->req);
            break;
        case PARSE_MORE:
            return false;
        case PARSE_BAD:
            if (c->batch.count == 0) {
                on_bad_request(c);
            } else {
                c->is_bad = true; /* once the batch has run */
            }
            return false;
        }
    }
    return false;
}

static bool args_make_room(struct conn_scratch *s, uint32_t more)
{
    struct slice *args;

    if (s->args_used > 0 || more > UINT32_MAX / sizeof(s->args[0])) {
        return false;
    }
    args = mem_alloc(more * sizeof(args[0]));
    if (args == NULL) {
        return false;
    }
    if (s->args != s->own_args) {
        mem_free(s->args, s->args_cap * sizeof(s->args[0]));
    }
    s->args = args;
    s->args_cap = more;
    return true;
}

/* Writes the parsed request out behind the batch's. */
static bool place(struct conn *c, struct request *q)
{
    struct conn_scratch *s = c->scratch;
    struct slice in = {c->view + c->view_at, c->parsed_len};
    uint32_t argc = c->req.argc;

    if (UNLIKELY(s->args_cap - s->args_used < argc) && !args_make_room(s, argc)) {
        if (s->args_used == 0) {
            conn_close(c, "no memory for its arguments");
        }
        return false;
    }
    q->argv = s->args + s->args_used;
    q->argc = argc;
    for (uint32_t i = 0; i < argc; i++) {
        q->argv[i] = resp_req_arg(&c->req, in, i);
    }
    q->def = find(q->argv, argc);
    q->multi = c->multi;
    return true;
}

static bool is_paused(struct conn *c, const struct request *q)
{
    struct conn_set *set = c->set;

    if (LIKELY(set->pause_until_ms == 0) || q->def == NULL || is_queued(c, q)) {
        return false;
    }
    /* CLIENT passes, or nobody could end the pause. */
    return (q->def->flags & (CMD_WRITE | CMD_TXN_RUN | CMD_CACHES | CMD_SCRIPT)) != 0 ||
           (set->pause_all && (q->def->flags & CMD_DOOR) == 0);
}

enum gathered { GATHERED_NONE, GATHERED_BATCH, GATHERED_HERE };

static bool is_turn_over(struct conn *c)
{
    if (c->turn_left > 0 && c->reply.out.len <= c->turn_out_max) {
        return false;
    }
    conn_go_on(c);
    return true;
}

static enum gathered gather(struct conn *c)
{
    struct resp_limits limits = {.args_max = (uint32_t)conf_u64(&opt_max_arguments),
                                 .bulk_bytes_max = conf_u64(&opt_proto_max_bulk_len),
                                 .inline_bytes_max = (uint32_t)conf_u64(&opt_inline_max_len),
                                 .unauthenticated = !c->is_authed};
    struct conn_scratch *s = c->scratch;
    /* Once a batch: rules that change meanwhile have not been answered for (A3 of edge/acl.h). */
    const struct acl_rules *acl = acl_limits(&c->session);

    s->args_used = 0;
    while (c->batch.count < c->batch_max) {
        struct request *q = &s->requests[c->batch.count];
        bool is_here;

        if (c->parsed_len == 0 && !parse_next(c, &limits)) {
            break;
        }
        if (!place(c, q)) {
            break;
        }
        is_here = is_for_door(c, q, acl);
        if (UNLIKELY(is_here || is_alone(q->def)) && c->batch.count > 0) {
            break; /* what came before it must be answered first */
        }
        if (UNLIKELY(is_paused(c, q))) {
            if (c->batch.count == 0) {
                list_push(&c->set->paused, &c->pause_link);
            }
            break;
        }
        if (c->turn_left == 0) {
            break;
        }
        c->turn_left--;
        c->view_at += c->parsed_len;
        c->parsed_len = 0;
        if (is_here) {
            return GATHERED_HERE;
        }
        s->args_used += q->argc;
        c->batch.count++;
        if (UNLIKELY(c->req.is_inline)) {
            c->is_parser_lent = true; /* its arguments live there */
            break;
        }
        resp_req_reset(&c->req);
        if (is_alone(q->def)) {
            break;
        }
    }
    return c->batch.count > 0 ? GATHERED_BATCH : GATHERED_NONE;
}

/* --- running ---------------------------------------------------------------------------------- */

/* A batch runs whole, so its length is what bounds the replies of a turn: about as many requests as
 * have a turn's bytes of replies, if they go on as they did. */
static void fit_batch(struct conn *c)
{
    size_t bytes = c->reply.out.len > c->batch_from ? c->reply.out.len - c->batch_from : 0;
    size_t fits = CONN_TURN_BYTES / (bytes / c->batch.count + 1);

    if (LIKELY(fits >= CONN_BATCH_MAX)) {
        c->batch_max = CONN_BATCH_MAX;
    } else {
        c->batch_max = fits == 0 ? 1 : (uint32_t)fits;
    }
}

/* False if the backend is not done with it. */
static bool run_batch(struct conn *c)
{
    struct backend *b = c->session.backend;
    struct batch *batch = &c->batch;

    if (b->run(b, &c->session, batch) == BACKEND_LATER) {
        c->is_busy = true;
        return false;
    }
    c->is_busy = false;
    c->session.is_judged_again = false;
    conn_count(&c->set->count.requests, batch->count);
    c->requests += batch->count;
    if (batch->position > c->gate_position) {
        c->gate_position = batch->position;
        if (batch->position > c->session.position) {
            c->session.position = batch->position;
        }
    }
    c->last_def = batch->requests[batch->count - 1].def;
    if (UNLIKELY((c->last_def->flags & CMD_TXN_END) != 0)) {
        multi_end(c);
    }
    fit_batch(c);
    batch->count = batch->next = 0;
    c->whole = c->reply.out.len;
    if (UNLIKELY(c->is_parser_lent)) {
        c->is_parser_lent = false;
        resp_req_reset(&c->req);
    }
    if (UNLIKELY(c->is_bad)) {
        on_bad_request(c);
    }
    return true;
}

static bool start_batch(struct conn *c)
{
    struct batch *batch = &c->batch;

    batch->requests = c->scratch->requests;
    batch->next = 0;
    batch->reply = &c->reply;
    batch->position = 0;
    batch->whole = c->reply.out.len;
    c->batch_from = c->reply.out.len;
    if (UNLIKELY(monitor_is_on())) {
        if (c->multi != NULL && !c->multi->is_spoiled &&
            (batch->requests[0].def->flags & CMD_TXN_RUN) != 0) {
            monitor_feed(c, c->multi->requests, c->multi->count);
        }
        monitor_feed(c, batch->requests, batch->count);
    }
    return run_batch(c);
}

void door_resp_turn(struct conn *c)
{
    c->turn_left = CONN_TURN_REQUESTS;
    c->turn_out_max = c->reply.out.len + CONN_TURN_BYTES;
    if (c->is_busy && !run_batch(c)) {
        return;
    }
    while (!c->is_waiting && !c->is_ending && !c->is_closed && list_is_empty(&c->pause_link)) {
        switch (gather(c)) {
        case GATHERED_NONE:
            return;
        case GATHERED_BATCH:
            if (!start_batch(c)) {
                return;
            }
            break;
        case GATHERED_HERE:
            run_here(c, &c->scratch->requests[0]);
            if (c->is_closed) {
                return;
            }
            resp_req_reset(&c->req);
            c->whole = c->reply.out.len;
            break;
        }
        if (c->view_at < c->view_len && is_turn_over(c)) {
            return;
        }
    }
}
