#include "node/txn.h"

#include "base/mem.h"
#include "edge/acl_log.h"
#include "edge/multi.h"
#include "edge/session.h"
#include "edge/tracking.h"
#include "node/cmd/families.h"
#include "node/exec.h"
#include "node/keyspace.h"
#include "node/node.h"
#include "node/partition.h"
#include "node/section.h"
#include "node/watched.h"
#include "proto/error_count.h"

#include <assert.h>
#include <x86intrin.h>

/* Of a transaction that goes on in a later turn. */
struct progress {
    uint32_t next;
    bool is_begun; /* the next one is: cmd is it */
    struct cmd cmd;
};

uint64_t txn_mask(const struct session *s, const struct multi *m)
{
    uint64_t mask = watched_mask(s);

    exec_look_ahead(s->db, m->requests, m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        if ((m->requests[i].def->flags & CMD_SCRIPT) != 0) {
            return UINT64_MAX >> (64 - PARTITIONS); /* its keys are not known beforehand */
        }
        if (m->requests[i].def->keys.kind != CMD_KEYS_NONE ||
            (m->requests[i].def->flags & CMD_WHOLE) != 0) {
            mask |= exec_mask(&m->requests[i]);
        }
    }
    return mask;
}

uint32_t txn_flags(const struct multi *m)
{
    uint32_t flags = 0;

    for (uint32_t i = 0; i < m->count; i++) {
        flags |= m->requests[i].def->flags & (CMD_WRITE | CMD_GROWS);
        flags |= (m->requests[i].def->flags & CMD_SCRIPT) != 0 ? CMD_WRITE : 0;
    }
    return flags;
}

/* What a queued command keeps, also when it has ended by itself. */
static void kept_free(struct cmd *c)
{
    if (c->progress != NULL) {
        c->progress_free(c->progress);
    }
    c->progress = NULL;
}

static void progress_free(void *progress)
{
    struct progress *p = progress;

    if (p->is_begun) {
        kept_free(&p->cmd);
    }
    mem_free(p, sizeof(*p));
}

/* Judged again, since the rules may have changed after it was queued. True: it is refused. */
static bool is_denied(struct cmd *c, const struct request *q)
{
    static const char *const reasons[] = {
        [ACL_DENIED_CMD] = "no permission to execute the command or subcommand",
        [ACL_DENIED_KEY] = "no permission to touch the specified keys",
        [ACL_DENIED_CHANNEL] =
            "no permission to access one of the channels used as arguments to the command",
    };
    const struct acl_rules *limits = acl_limits(c->session);
    struct acl_denied d = {
        .context = ACL_IN_MULTI, .def = q->def, .argv = q->argv, .argc = q->argc};

    if (LIKELY(limits == NULL)) {
        return false;
    }
    d.verdict = acl_check(limits, q->def, q->argv, q->argc, &d.at);
    if (d.verdict == ACL_ALLOWED) {
        return false;
    }
    acl_log_denied(c->session, &d);
    reply_errf(c->reply,
               "NOPERM ACLs rules changed between the moment the transaction was accumulated and "
               "the EXEC call. This command is no longer allowed for the following reason: %s",
               reasons[d.verdict]);
    return true;
}

/* The next command, or its next slice. */
static void run_one(struct cmd *c, struct progress *p)
{
    const struct request *q = &c->multi->requests[p->next];
    size_t from = c->reply->out.len;
    uint64_t begun = __rdtsc();
    bool is_going_on = p->is_begun;

    if (!p->is_begun) {
        p->is_begun = true;
        p->cmd = (struct cmd){.def = q->def,
                              .argv = q->argv,
                              .argc = q->argc,
                              .reply = c->reply,
                              .session = c->session,
                              .db = c->db,
                              .section = c->section,
                              .key = q->key,
                              .in_txn = true,
                              .now_ms = section_now_ms(c->section)};
        if (UNLIKELY(c->session->is_tracking)) {
            tracking_read(c->session, q);
        }
        if ((q->def->flags & CMD_SCRIPT) != 0) {
            section_mark(c->section); /* T4 */
        }
    }
    p->cmd.again = false;
    c->reply->flags &= ~(uint32_t)REPLY_ERROR;
    if (is_going_on || !is_denied(c, q)) {
        cmd_run(&p->cmd);
    }
    if (p->cmd.again) {
        return;
    }
    kept_free(&p->cmd);
    if (UNLIKELY(section_marked(c->section) != 0)) {
        (p->cmd.undo ? section_rollback : section_release)(c->section);
    }
    p->is_begun = false;
    p->next++;
    if (exec_self(node_self()) != NULL) {
        exec_tally(exec_self(node_self()), &p->cmd, __rdtsc() - begun);
    }
    if ((c->reply->flags & REPLY_ERROR) != 0) {
        error_count_note((struct slice){c->reply->out.ptr + from, c->reply->out.len - from});
        c->reply->flags &= ~(uint32_t)REPLY_ERROR; /* the whole is none */
    }
}

/* What comes next goes on in a later turn. */
static void suspend(struct cmd *c, const struct progress *p)
{
    struct progress *kept = c->progress;

    if (kept == NULL) {
        kept = mem_alloc(sizeof(*kept));
        if (kept == NULL) {
            section_fail(c->section, SECTION_NOMEM);
            return;
        }
        c->progress = kept;
        c->progress_free = progress_free;
    }
    *kept = *p;
    c->again = true;
}

/* Slices end between commands, too: after about a millisecond. */
static bool is_slice_over(uint64_t begun)
{
    return (double)(__rdtsc() - begun) > 1000 * node_cycles_per_us();
}

static void run_queue(struct cmd *c)
{
    struct progress p = {0};
    uint64_t begun = __rdtsc();

    if (c->progress == NULL) {
        reply_array(c->reply, c->multi->count);
    } else {
        p = *(struct progress *)c->progress;
    }
    while (p.next < c->multi->count && !section_has_failed(c->section)) {
        run_one(c, &p);
        if (p.is_begun || (p.next < c->multi->count && is_slice_over(begun))) {
            suspend(c, &p);
            return;
        }
    }
    if (c->progress != NULL) {
        *(struct progress *)c->progress = p;
    } else if (p.is_begun) {
        suspend(c, &p); /* so that what the failed one keeps is freed */
    }
}

static void cmd_exec(struct cmd *c)
{
    if (c->multi == NULL) {
        reply_errf(c->reply, "ERR EXEC without MULTI");
    } else if (c->multi->is_spoiled) {
        reply_errf(c->reply, "EXECABORT Transaction discarded because of previous errors.");
    } else if (c->progress == NULL && watched_is_any_touched(c->session, c->section)) {
        reply_null_array(c->reply);
    } else {
        run_queue(c);
    }
}

static void cmd_discard(struct cmd *c)
{
    if (c->multi == NULL) {
        reply_errf(c->reply, "ERR DISCARD without MULTI");
    } else {
        reply_ok(c->reply);
    }
}

/* Under the locks of its keys. */
static void cmd_watch(struct cmd *c)
{
    if (c->section == NULL) {
        cmd_needs_locks(c);
        return;
    }
    for (uint32_t i = 1; i < c->argc; i++) {
        struct key key = cmd_key(c, i);

        assert(section_holds(c->section, key)); /* W1 */
        switch (watched_add(c->session, key, keyspace_peek(c, key) != NULL)) {
        case WATCHED_OK:
            break;
        case WATCHED_NOMEM:
            reply_err(c->reply, WIRE_NOMEM);
            return;
        case WATCHED_TOO_MANY:
            reply_err(c->reply, WIRE_WATCHED);
            return;
        }
    }
    reply_ok(c->reply);
}

static void cmd_unwatch(struct cmd *c)
{
    reply_ok(c->reply);
}

/* clang-format off */
#define ABOUT (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE)

struct cmd_def txn_cmds[] = {
    { "DISCARD",  1, ABOUT | CMD_FAST | CMD_TXN | CMD_TXN_END, KEYS_NONE, "2.0.0", cmd_discard, "",
      "Drops what MULTI has queued, and forgets what is watched." },
    { "EXEC",     1, ABOUT | CMD_TXN | CMD_TXN_END | CMD_TXN_RUN, KEYS_NONE, "1.2.0", cmd_exec, "",
      "Carries out what MULTI has queued, all at once, unless a watched key has changed." },
    { "UNWATCH",  1, ABOUT | CMD_FAST | CMD_TXN_END, KEYS_NONE, "2.2.0", cmd_unwatch, "",
      "Forgets the watched keys." },
    { "WATCH",   -2, ABOUT | CMD_FAST | CMD_TXN, KEYS(1, -1, 1), "2.2.0", cmd_watch, "key [key ...]",
      "Has EXEC do nothing if one of the keys changes before." },
    CMD_END
};
/* clang-format on */
