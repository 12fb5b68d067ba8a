/* cmd_tracking.c - CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO. */
#include "base/mem.h"
#include "base/parse.h"
#include "edge/client.h"
#include "edge/conn.h"
#include "edge/tracking_parts.h"

/* --- on --------------------------------------------------------------------------------------- */

/* CLIENT TRACKING ON on its way over the workers, which it has to have visited (tracking.h). */
struct beginning {
    struct client_round round;
    struct tracker *tracker;
    uint64_t to; /* 0: itself */
    bool failed; /* `to` is there, and no memory for its handle */
};

static const char no_such_client[] = "ERR The client ID you want redirect to does not exist";

static void visit(struct client_round *r, struct conn_set *set)
{
    struct beginning *b = LIST_ITEM(r, struct beginning, round);
    struct conn *c = b->to == 0 || b->tracker->to != NULL ? NULL : client_find(set, b->to);

    if (c != NULL) {
        b->tracker->to = conn_handle_of(c);
        b->failed = b->tracker->to == NULL;
    }
}

static void done(struct client_round *r, struct conn *c)
{
    struct beginning *b = LIST_ITEM(r, struct beginning, round);

    if (c != NULL) {
        size_t from = conn_answer_begin(c);

        if (b->failed) {
            reply_err(&c->reply, WIRE_NOMEM);
        } else if (b->to != 0 && b->tracker->to == NULL) {
            reply_errf(&c->reply, "%s", no_such_client);
        } else {
            tracker_begin(c, b->tracker);
            reply_ok(&c->reply);
        }
        conn_answer_end(c, from);
    }
    atomic_fetch_sub_explicit(&tracking_clients, 1, memory_order_relaxed); /* the round's own */
    tracker_put(b->tracker);
    mem_free(b, sizeof(*b));
}

/* --- CLIENT TRACKING -------------------------------------------------------------------------- */

struct options {
    bool on, bcast, optin, optout, noloop, has_redirect;
    int64_t redirect;
    uint32_t prefix_count;
};

/* False: the reply is written. */
static bool parse(struct cmd *c, struct options *o)
{
    o->on = slice_is_word(c->argv[2], "on");
    if (!o->on && !slice_is_word(c->argv[2], "off")) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    for (uint32_t i = 3; i < c->argc; i++) {
        bool more = i + 1 < c->argc;

        if (slice_is_word(c->argv[i], "redirect") && more) {
            if (o->has_redirect) {
                reply_errf(c->reply, "ERR A client can only redirect to a single other client");
                return false;
            }
            if (!parse_i64(c->argv[++i], &o->redirect)) {
                reply_err(c->reply, WIRE_NOT_INTEGER);
                return false;
            }
            if (o->redirect <= 0) { /* to visit() 0 means: itself */
                reply_errf(c->reply, "%s", no_such_client);
                return false;
            }
            o->has_redirect = true;
        } else if (slice_is_word(c->argv[i], "bcast")) {
            o->bcast = true;
        } else if (slice_is_word(c->argv[i], "optin")) {
            o->optin = true;
        } else if (slice_is_word(c->argv[i], "optout")) {
            o->optout = true;
        } else if (slice_is_word(c->argv[i], "noloop")) {
            o->noloop = true;
        } else if (slice_is_word(c->argv[i], "prefix") && more) {
            i++;
            o->prefix_count++;
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    return true;
}

/* What goes with what, and with what the client has already. */
static const char *conflict(const struct options *o, const struct tracker *had)
{
    if (o->prefix_count > 0 && !o->bcast) {
        return "ERR PREFIX option requires BCAST mode to be enabled";
    }
    if (had != NULL && had->is_bcast != o->bcast) {
        return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, "
               "and then re-enabling it with a different mode.";
    }
    if (o->bcast && (o->optin || o->optout)) {
        return "ERR OPTIN and OPTOUT are not compatible with BCAST";
    }
    if (o->optin && o->optout) {
        return "ERR You can't specify both OPTIN mode and OPTOUT mode";
    }
    if (had != NULL && ((o->optin && had->is_optout) || (o->optout && had->is_optin))) {
        return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, "
               "and then re-enabling it with a different mode.";
    }
    return NULL;
}

static bool overlap(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;

    return n == 0 || memcmp(a.ptr, b.ptr, n) == 0;
}

static bool add_prefix(struct tracker *t, struct slice text)
{
    struct prefix *p = &t->prefixes[t->prefix_count];

    p->bytes = mem_alloc(text.len + 1);
    if (p->bytes == NULL) {
        return false;
    }
    p->len = text.len;
    memcpy(p->bytes, text.ptr, text.len);
    t->prefix_count++;
    return true;
}

static struct slice prefix_at(const struct tracker *t, uint32_t i)
{
    return (struct slice){t->prefixes[i].bytes, t->prefixes[i].len};
}

static void refuse_overlap(struct cmd *c, struct slice a, struct slice b, const char *what)
{
    reply_errf(
        c->reply,
        "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single client must "
        "not overlap.",
        (int)(a.len < 128 ? a.len : 128), a.ptr, what, (int)(b.len < 128 ? b.len : 128), b.ptr);
}

/* Those that it has already, and those of the command. False: no memory, or the reply is written. */
static bool take_prefixes(struct cmd *c, struct tracker *t, const struct options *o,
                          const struct tracker *had)
{
    uint32_t kept = had == NULL || o->prefix_count == 0 ? 0 : had->prefix_count;

    t->prefix_room = kept + o->prefix_count;
    if (t->prefix_room == 0) {
        return true;
    }
    t->prefixes = mem_zalloc(t->prefix_room * sizeof(t->prefixes[0]));
    if (t->prefixes == NULL) {
        t->prefix_room = 0;
        return false;
    }
    for (uint32_t i = 0; i < kept; i++) {
        if (!add_prefix(t, prefix_at(had, i))) {
            return false;
        }
    }
    for (uint32_t i = 3; i < c->argc; i++) {
        if (slice_is_word(c->argv[i], "redirect")) {
            i++;
        } else if (slice_is_word(c->argv[i], "prefix")) {
            struct slice text = c->argv[++i];

            for (uint32_t n = 0; n < t->prefix_count; n++) {
                struct slice other = prefix_at(t, n);

                if (overlap(text, other)) {
                    /* Of two that the command names, the first is complained of. */
                    refuse_overlap(c, n < kept ? text : other, n < kept ? other : text,
                                   n < kept ? "an existing" : "another provided");
                    return false;
                }
            }
            if (!add_prefix(t, text)) {
                return false;
            }
        }
    }
    return true;
}

static struct tracker *tracker_create(struct conn *c, const struct options *o)
{
    struct tracker *t = mem_zalloc(sizeof(*t));

    if (t == NULL || (t->self = conn_handle_of(c)) == NULL) {
        mem_free(t, sizeof(*t));
        return NULL;
    }
    atomic_init(&t->refs, 1);
    atomic_init(&t->is_on, true);
    list_init(&t->link);
    t->db = c->session.db;
    t->is_bcast = o->bcast;
    t->is_optin = o->optin;
    t->is_optout = o->optout;
    t->is_noloop = o->noloop;
    return t;
}

void tracking_cmd_tracking(struct cmd *cmd)
{
    struct conn *c = conn_of(cmd->session);
    size_t from = cmd->reply->out.len;
    struct options o = {0};
    struct beginning *b;
    const char *why;

    if (!parse(cmd, &o)) {
        return;
    }
    if (!o.on) {
        tracking_stop(c);
        reply_ok(cmd->reply);
        return;
    }
    if ((why = conflict(&o, c->tracker)) != NULL) {
        reply_errf(cmd->reply, "%s", why);
        return;
    }
    b = mem_zalloc(sizeof(*b));
    if (b == NULL || (b->tracker = tracker_create(c, &o)) == NULL ||
        !take_prefixes(cmd, b->tracker, &o, c->tracker)) {
        if (cmd->reply->out.len == from) {
            reply_err(cmd->reply, WIRE_NOMEM);
        }
        tracker_put(b == NULL ? NULL : b->tracker);
        mem_free(b, sizeof(*b));
        return;
    }
    b->to = (uint64_t)o.redirect;
    b->round.visit = visit;
    b->round.done = done;
    /* Counted before the visits begin, and by the client itself from its answer on. */
    atomic_fetch_add_explicit(&tracking_clients, 1, memory_order_relaxed);
    client_round_start(&b->round, c);
}

void tracking_cmd_caching(struct cmd *c)
{
    struct tracker *t = conn_of(c->session)->tracker;

    if (t == NULL || (!t->is_optin && !t->is_optout)) {
        reply_errf(c->reply, "ERR CLIENT CACHING can be called only when the client is in tracking "
                             "mode with OPTIN or OPTOUT mode enabled");
    } else if (slice_is_word(c->argv[2], "yes")) {
        if (!t->is_optin) {
            reply_errf(c->reply, "ERR CLIENT CACHING YES is only valid when tracking is enabled in "
                                 "OPTIN mode.");
            return;
        }
        t->is_caching = true;
        reply_ok(c->reply);
    } else if (slice_is_word(c->argv[2], "no")) {
        if (!t->is_optout) {
            reply_errf(c->reply, "ERR CLIENT CACHING NO is only valid when tracking is enabled in "
                                 "OPTOUT mode.");
            return;
        }
        t->is_caching = true;
        reply_ok(c->reply);
    } else {
        reply_err(c->reply, WIRE_SYNTAX);
    }
}

int64_t tracking_redirect(const struct conn *c)
{
    const struct tracker *t = c->tracker;

    return t == NULL ? -1 : t->to == NULL ? 0 : (int64_t)t->to->id;
}

void tracking_cmd_getredir(struct cmd *c)
{
    reply_int(c->reply, tracking_redirect(conn_of(c->session)));
}

uint32_t tracking_letters(const struct conn *c, char out[3])
{
    const struct tracker *t = c->tracker;
    uint32_t n = 0;

    if (t != NULL) {
        out[n++] = 't';
        if (t->is_broken) {
            out[n++] = 'R';
        }
        if (t->is_bcast) {
            out[n++] = 'B';
        }
    }
    return n;
}

static uint32_t put_flags(const struct tracker *t, struct slice out[8])
{
    uint32_t n = 0;

    if (t == NULL) {
        out[n++] = SLICE("off");
        return n;
    }
    out[n++] = SLICE("on");
    if (t->is_bcast) {
        out[n++] = SLICE("bcast");
    }
    if (t->is_optin) {
        out[n++] = SLICE("optin");
        if (t->is_caching) {
            out[n++] = SLICE("caching-yes");
        }
    }
    if (t->is_optout) {
        out[n++] = SLICE("optout");
        if (t->is_caching) {
            out[n++] = SLICE("caching-no");
        }
    }
    if (t->is_noloop) {
        out[n++] = SLICE("noloop");
    }
    if (t->is_broken) {
        out[n++] = SLICE("broken_redirect");
    }
    return n;
}

void tracking_cmd_info(struct cmd *c)
{
    const struct tracker *t = conn_of(c->session)->tracker;
    struct slice flags[8];
    uint32_t n = put_flags(t, flags);
    bool is_all = t != NULL && t->is_bcast && t->prefix_count == 0;

    reply_map(c->reply, 3);
    reply_bulk(c->reply, SLICE("flags"));
    reply_set(c->reply, n);
    for (uint32_t i = 0; i < n; i++) {
        reply_bulk(c->reply, flags[i]);
    }
    reply_bulk(c->reply, SLICE("redirect"));
    reply_int(c->reply, tracking_redirect(conn_of(c->session)));
    reply_bulk(c->reply, SLICE("prefixes"));
    reply_array(c->reply, t == NULL ? 0 : is_all ? 1 : t->prefix_count);
    for (uint32_t i = 0; t != NULL && i < t->prefix_count; i++) {
        reply_bulk(c->reply, prefix_at(t, i));
    }
    if (is_all) {
        reply_bulk(c->reply, SLICE(""));
    }
}
