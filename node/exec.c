#include "node/exec.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/inbox.h"
#include "base/mem.h"
#include "base/worker.h"
#include "edge/acl_log.h"
#include "edge/session.h"
#include "edge/tracking.h"
#include "node/block.h"
#include "node/database.h"
#include "node/evict.h"
#include "node/histogram.h"
#include "node/keyspace.h"
#include "node/node.h"
#include "node/script.h"
#include "node/section.h"
#include "node/txn.h"
#include "node/versions.h"
#include "node/wait.h"
#include "node/watched.h"
#include "replication/changelog.h"

#include <assert.h>
#include <sched.h>
#include <x86intrin.h>

enum {
    READ_TRIES = 2,   /* of a read of several keys, before it takes the locks */
    AGAIN_TRIES = 100 /* of a section whose keys expire under it */
};

/* What one command came to. GO_ON: nothing stands in its way so far. */
enum outcome { RAN, PUT_OFF, GO_ON };

int exec_init(struct exec *x, struct node *n, struct worker *w)
{
    x->node = n;
    x->worker = w;
    if (exec_stats_init(x) != OK) {
        return ERR_NOMEM;
    }
    if (section_create(&x->section, n->log) != OK) {
        exec_stats_fini(x);
        return ERR_NOMEM;
    }
    wait_line_init(&x->line, w);
    x->in_use = true;
    return OK;
}

void exec_fini(struct exec *x)
{
    if (x->in_use) {
        section_destroy(x->section);
        while (x->spare_count > 0) {
            section_destroy(x->spare[--x->spare_count]);
        }
        wait_line_fini(&x->line);
        exec_stats_fini(x);
        x->in_use = false;
    }
}

struct exec *exec_self(struct node *n)
{
    const struct worker *w = worker_self();

    return w == NULL ? NULL : &n->execs[w->index];
}

/* ---- Suspended sections ---- */

/* X5. The worker's section is its command's from now on. False: no memory for another. */
static bool section_part_with(struct exec *x)
{
    struct section *s;

    if (x->spare_count > 0) {
        s = x->spare[--x->spare_count];
    } else if (section_create(&s, x->node->log) != OK) {
        return false;
    }
    x->section = s;
    return true;
}

/* It has ended. */
static void section_take_back(struct exec *x, struct section *s)
{
    if (s == x->section) {
        return;
    }
    if (x->spare_count < EXEC_SPARES) {
        section_unreserve(s);
        x->spare[x->spare_count++] = s;
    } else {
        section_destroy(s);
    }
}

/* What the handler keeps goes first: it may point to what the section has made. */
static void progress_drop(struct cmd *c)
{
    if (c->progress != NULL) {
        c->progress_free(c->progress);
    }
    c->progress = NULL;
}

/* Of a command that will not go on. */
static void command_drop(struct exec *x, struct cmd *c)
{
    struct section *s = c->section;

    progress_drop(c);
    if (c->blocked != NULL) {
        block_cancel(c->blocked);
        c->blocked = NULL;
    }
    if (c->ready != NULL) {
        block_poke(c->ready); /* whoever it would have served */
        c->ready = NULL;
    }
    c->section = NULL;
    if (s != NULL) {
        section_abort(s);
        section_take_back(x, s);
    }
}

void exec_cancel(struct session *s)
{
    struct waiting *w = s->backend_state;

    if (w != NULL && w->has_cmd) {
        w->has_cmd = false;
        command_drop(&node_self()->execs[w->worker->index], &w->cmd);
    }
    wait_cancel(s);
}

bool exec_unblock(struct session *s, enum cmd_unblocked why)
{
    struct waiting *w = s->backend_state;

    if (w == NULL || w->wait != WAIT_TIME) {
        return false;
    }
    worker_timer_clear(w->worker, &w->timer);
    w->cmd.unblocked = why;
    wait_resume(w);
    return true;
}

/* ---- One command ---- */

struct call {
    struct exec *x;
    struct session *session;
    struct batch *batch;
    struct request *request;
    struct cmd cmd;
    size_t from;      /* of the reply */
    int tries;        /* of a section whose keys expired under it */
    bool was_blocked; /* it waited for data before this run */
    bool was_kept;    /* it took more than one turn */
};

/* Of a transaction: of all that was queued, and of what its session watches. */
static uint64_t mask_of(const struct call *k)
{
    if (UNLIKELY((k->cmd.def->flags & CMD_SCRIPT) != 0)) {
        return script_mask(k->session->db, k->request);
    }
    return k->request->multi != NULL ? txn_mask(k->session, k->request->multi)
                                     : exec_mask(k->request);
}

/* A command that had begun to wait does not, after all; one that waited before keeps its place. */
static void unqueue(struct call *k)
{
    if (UNLIKELY(k->cmd.blocked != NULL) && !k->was_blocked) {
        block_cancel(k->cmd.blocked);
        k->cmd.blocked = NULL;
        k->cmd.argv = k->request->argv;
    }
}

static uint32_t flags_of(const struct call *k)
{
    return k->request->multi != NULL ? txn_flags(k->request->multi) : k->cmd.def->flags;
}

static void refuse(struct call *k, enum wire_err err)
{
    reply_restart(k->cmd.reply, k->from);
    reply_err(k->cmd.reply, err);
}

static enum wire_err failure_text(const struct section *s)
{
    return section_failure(s) == SECTION_TOO_LARGE ? WIRE_TOO_LARGE : WIRE_NOMEM;
}

/* For running the handler from the start. */
static void restart(struct call *k)
{
    progress_drop(&k->cmd);
    unqueue(k);
    k->cmd.go_on = NULL;
    k->cmd.at = 0;
    k->cmd.sum = 0;
    k->cmd.alive_until_ms = 0;
    k->cmd.again = k->cmd.retry = false;
    k->cmd.wants_locks = k->cmd.drops_locks = false;
    k->cmd.wants_all = k->cmd.undo = false;
    reply_restart(k->cmd.reply, k->from);
}

/* GO_ON: try again. RAN: it was refused. */
static enum outcome stand_in_line(struct call *k, enum parked p)
{
    switch (p) {
    case PARKED:
        return PUT_OFF;
    case NOT_PARKED:
        return GO_ON;
    case PARKED_NOT_NOMEM:
        break;
    }
    refuse(k, WIRE_NOMEM);
    return RAN;
}

static enum outcome run_blocked(struct call *k);

/* A handler that has more to do goes on in a later turn, or at the moment that it named. */
static enum outcome keep_going(struct call *k)
{
    struct section *s = k->cmd.section;
    struct waiting *w = wait_of(k->session);

    assert(s == NULL || k->cmd.again_at_ms == 0); /* X4 */
    if (w == NULL || (s != NULL && s == k->x->section && !section_part_with(k->x)) ||
        !wait_for_turn(k->x, w, k->cmd.again_at_ms)) {
        command_drop(k->x, &k->cmd);
        refuse(k, WIRE_NOMEM);
        return RAN;
    }
    if (s != NULL) {
        section_suspend(s);
    }
    exec_count_turn(k->x, &k->cmd);
    k->cmd.again = false;
    w->cmd = k->cmd;
    w->from = k->from;
    w->tries = k->tries;
    w->has_cmd = true;
    return PUT_OFF;
}

/* A command that waits for data goes on waiting, unless its end came while it looked. */
static enum outcome keep_waiting(struct call *k)
{
    struct block *b = k->cmd.blocked;

    /* What it changed on the way (a consumer that it made, a key that had expired) brings nobody anything: it
     * looked itself. */
    block_ready_free(k->cmd.ready);
    k->cmd.ready = NULL;
    k->cmd.again_at_ms = block_deadline_ms(b);
    if (k->was_blocked && !block_give_back(b)) {
        k->cmd.again_at_ms = 0; /* once more, in the next turn */
    }
    return keep_going(k);
}

/* What may watch its keys or wait at them has to hold their partitions, also those of which there are none yet:
 * whoever comes next finds them, and what was left there. */
static bool leaves_at_keys(const struct call *k)
{
    return (k->cmd.def->flags & (CMD_BLOCKING | CMD_TXN)) != 0;
}

/* A write's section. */
static enum outcome begin_write(struct call *k)
{
    struct section *s = k->x->section;
    uint64_t mask = mask_of(k);
    bool grows = (flags_of(k) & CMD_GROWS) != 0;
    bool is_script = (k->cmd.def->flags & CMD_SCRIPT) != 0; /* what it calls may grow */
    bool make = grows || is_script || leaves_at_keys(k) ||
                ((flags_of(k) & CMD_WRITE) != 0 && (mask & (mask - 1)) != 0);
    enum outcome o = GO_ON;

    if (grows && UNLIKELY(evict_is_over(k->cmd.db)) && !evict_make_room(k->x, k->cmd.db)) {
        refuse(k, k->request->multi != NULL ? WIRE_EXEC_OOM : WIRE_OOM);
        return RAN;
    }
    if (UNLIKELY(is_script) && evict_is_over(k->cmd.db)) {
        (void)evict_make_room(k->x, k->cmd.db); /* else what grows is refused when it is called */
    }
    while (o == GO_ON) {
        struct partition *held = NULL;

        if (section_reserve(s) != OK) {
            o = stand_in_line(k, wait_for_log(k->x, k->session));
            continue;
        }
        int err = section_begin(s, k->cmd.db, mask, make, &held);

        if (LIKELY(err == OK)) {
            k->cmd.section = s;
            section_made_by(s, k->session->id);
            k->cmd.now_ms = clock_now_ms();
            return GO_ON;
        }
        if (err != ERR_FULL) {
            refuse(k, WIRE_NOMEM);
            return RAN;
        }
        o = stand_in_line(k, wait_for_lock(k->session, held));
    }
    return o;
}

static enum section_end end_write(struct call *k)
{
    struct section *s = k->cmd.section;
    uint64_t seq;

    if (UNLIKELY(k->cmd.progress != NULL)) {
        progress_drop(&k->cmd); /* it has failed, and was not called to its end */
    }
    k->cmd.section = NULL;
    if (UNLIKELY(k->cmd.undo) && !section_has_failed(s)) {
        section_abort(s);
        section_take_back(k->x, s);
        return k->cmd.wants_all ? SECTION_AGAIN : SECTION_COMMITTED;
    }
    if (UNLIKELY(k->cmd.reply->failed)) {
        section_fail(s, SECTION_NOMEM); /* what cannot be answered is not done */
    }
    enum section_end end = section_commit(s, &seq);

    if (LIKELY(end == SECTION_COMMITTED) && seq > k->batch->position) {
        k->batch->position = seq;
    } else if (end == SECTION_FAILED) {
        k->cmd.again = false;
        unqueue(k);
        refuse(k, failure_text(s));
    }
    k->cmd.ready = section_take_ready(s);
    section_take_back(k->x, s);
    return end;
}

/* Runs the handler in a section, or its next slice in the one that it has. */
static enum outcome run_write(struct call *k)
{
    for (; k->tries < AGAIN_TRIES; k->tries++) {
        if (LIKELY(k->cmd.section == NULL)) {
            enum outcome o = begin_write(k);

            if (UNLIKELY(o != GO_ON)) {
                return o;
            }
        }
        cmd_run(&k->cmd);
        if (UNLIKELY(k->cmd.again) && k->cmd.blocked == NULL && !k->cmd.reply->failed &&
            !section_has_failed(k->cmd.section)) {
            return keep_going(k);
        }
        if (LIKELY(end_write(k) != SECTION_AGAIN)) {
            /* It waits for data: outside a section. */
            return UNLIKELY(k->cmd.again) && k->cmd.blocked != NULL ? keep_waiting(k) : RAN;
        }
        restart(k);
    }
    refuse(k, WIRE_NOMEM);
    return RAN;
}

/* Whether a key that was found alive expired before the last was looked at: the reply may then hold
 * the one and miss the other of two that expire together. */
static bool outlived(const struct cmd *c)
{
    return !BROKEN(8) && UNLIKELY(c->alive_until_ms != 0) && clock_now_ms() >= c->alive_until_ms;
}

static enum outcome begin_read(struct call *k)
{
    struct section *s = k->x->section;
    uint64_t mask = mask_of(k);
    enum outcome o = GO_ON;

    while (o == GO_ON) {
        struct partition *held = NULL;
        int err = section_begin(s, k->cmd.db, mask, leaves_at_keys(k), &held);

        if (err == OK) {
            k->cmd.section = s;
            k->cmd.now_ms = clock_now_ms();
            return GO_ON;
        }
        if (err != ERR_FULL) {
            refuse(k, WIRE_NOMEM);
            return RAN;
        }
        o = stand_in_line(k, wait_for_lock(k->session, held));
    }
    return o;
}

/* The handler, or its next slice, under the locks of all its keys; it changes nothing. */
static enum outcome run_read_locked(struct call *k)
{
    bool one = cmd_has_one_key(k->cmd.def);

    if (k->cmd.section == NULL) {
        enum outcome o = begin_read(k);

        if (o != GO_ON) {
            return o;
        }
    }
    for (;;) {
        cmd_run(&k->cmd);
        if (k->cmd.again && !k->cmd.drops_locks && !k->cmd.reply->failed &&
            k->cmd.blocked == NULL) {
            return keep_going(k);
        }
        if (one || !outlived(&k->cmd)) {
            break;
        }
        restart(k); /* each time at least one key less is alive */
    }
    struct section *s = k->cmd.section;

    if (k->cmd.again && !k->cmd.drops_locks && k->cmd.blocked == NULL) {
        progress_drop(&k->cmd); /* its reply has failed: the connection ends */
        k->cmd.again = false;
    }
    if (UNLIKELY(section_has_failed(s))) {
        k->cmd.again = false;
        unqueue(k);
        refuse(k, failure_text(s));
    }
    k->cmd.section = NULL;
    section_abort_telling(s);
    section_take_back(k->x, s);
    return UNLIKELY(k->cmd.again) && k->cmd.blocked != NULL ? keep_waiting(k) : RAN;
}

static enum outcome run_read_many(struct call *k)
{
    struct versions v = {.mask = mask_of(k)};
    bool wants_locks = false;

    for (int i = 0; i < READ_TRIES && !wants_locks; i++) {
        struct partition *held = NULL;

        if (!versions_take(&v, k->cmd.db, &held)) {
            break;
        }
        k->cmd.retry = false;
        k->cmd.def->run(&k->cmd);
        if (!k->cmd.retry && versions_unmoved(&v, k->cmd.db) && !outlived(&k->cmd)) {
            return RAN;
        }
        wants_locks = k->cmd.wants_locks;
        restart(k);
    }
    return run_read_locked(k);
}

static enum outcome run_read_one(struct call *k)
{
    for (;;) {
        k->cmd.def->run(&k->cmd);
        if (LIKELY(!k->cmd.retry)) {
            return RAN;
        }
        bool wants_locks = k->cmd.wants_locks;
        enum outcome o;

        restart(k);
        if (wants_locks) {
            return run_read_locked(k);
        }
        o = stand_in_line(k, wait_for_lock(k->session, k->cmd.blocked_on));
        if (o != GO_ON) {
            return o;
        }
    }
}

static enum outcome run_any(struct call *k)
{
    const struct cmd_def *def = k->cmd.def;
    enum outcome o;

    if (UNLIKELY(k->cmd.blocked != NULL) && !k->was_blocked) {
        return run_blocked(k);
    }

    if ((def->flags & (CMD_WRITE | CMD_TXN_RUN | CMD_CACHES | CMD_SCRIPT)) != 0) {
        return run_write(k);
    }
    if (UNLIKELY(k->cmd.section != NULL)) {
        o = run_read_locked(k);
    } else if (def->keys.kind == CMD_KEYS_NONE || (def->flags & CMD_WHOLE) != 0 ||
               UNLIKELY(k->cmd.progress != NULL)) {
        /* One that goes on without locks took what it needs of its keys before. */
        cmd_run(&k->cmd);
        o = RAN;
    } else if (cmd_has_one_key(def)) {
        o = run_read_one(k);
    } else {
        o = run_read_many(k);
    }
    return o == RAN && UNLIKELY(k->cmd.again) ? keep_going(k) : o;
}

/* Parked for a lock on the way: begun again with what it has. */
static enum outcome keep_blocked(struct call *k, enum outcome o)
{
    struct waiting *w = k->session->backend_state;

    if (o == PUT_OFF && !w->has_cmd) {
        w->cmd = k->cmd;
        w->from = k->from;
        w->tries = k->tries;
        w->has_cmd = true;
    }
    return o;
}

/* A command that waits for data was called. */
static enum outcome run_blocked(struct call *k)
{
    struct block *b = k->cmd.blocked;
    enum outcome o;

    switch (block_wake(b, &k->cmd)) {
    case BLOCK_STILL:
        k->cmd.again_at_ms = block_deadline_ms(b);
        return keep_going(k);
    case BLOCK_TAKEN: {
        uint64_t position = block_answer(b, k->cmd.reply);

        k->batch->position = position > k->batch->position ? position : k->batch->position;
        break;
    }
    case BLOCK_ENDED:
        k->cmd.section = NULL;
        k->cmd.def->run(&k->cmd);
        break;
    case BLOCK_RETRIES:
        k->was_blocked = true;
        k->cmd.again = false;
        k->cmd.again_at_ms = 0;
        o = keep_blocked(k, run_any(k));
        k->was_blocked = false;
        if (o == PUT_OFF || k->cmd.blocked == NULL) {
            return o;
        }
        break;
    }
    k->cmd.again = false;
    k->cmd.blocked = NULL;
    k->cmd.argv = k->request->argv;
    block_end(b);
    return RAN;
}

/* Its user's rules changed while the batch waited (A3 of edge/acl.h). True: it is refused, and done. */
COLD static bool is_denied_now(struct call *k)
{
    const struct acl_rules *limits = acl_limits(k->session);
    uint32_t at;

    if (limits == NULL ||
        acl_check(limits, k->cmd.def, k->cmd.argv, k->cmd.argc, &at) == ACL_ALLOWED) {
        return false;
    }
    acl_reply_denied_now(&k->cmd);
    reply_end(k->batch->reply, k->from);
    exec_count_rejected(k->x, k->cmd.def);
    if ((k->cmd.def->flags & CMD_TXN_END) != 0) {
        watched_clear(k->session);
    }
    return true;
}

static void begin_call(struct call *k)
{
    struct request *r = k->request;

    struct cmd *c = &k->cmd;

    k->tries = 0;
    k->was_kept = k->was_blocked = false;
    c->def = r->def;
    c->argv = r->argv;
    c->argc = r->argc;
    c->reply = k->batch->reply;
    c->session = k->session;
    c->db = k->session->db;
    c->multi = r->multi;
    c->key = r->key;
    c->now_ms = clock_now_ms();
    cmd_clear(c);
}

/* A read's reply depends on the last change of each partition that it looked at, which was stored
 * before what it saw was published. At `leader` nothing waits for it, and the batch's end says enough. */
static void note_position(struct call *k)
{
    uint64_t *position = &k->batch->position;

    if (LIKELY(k->session->level == ACK_LEADER)) {
        return;
    }
    uint64_t mask =
        k->cmd.def->keys.kind == CMD_KEYS_NONE ? UINT64_MAX >> (64 - PARTITIONS) : mask_of(k);

    for (uint64_t m = mask; m != 0; m &= m - 1) {
        const struct partition *p = database_partition(k->session->db, (unsigned)__builtin_ctzl(m));
        uint64_t seq = p == NULL ? 0 : atomic_load_explicit(&p->last_seq, memory_order_relaxed);

        *position = seq > *position ? seq : *position;
    }
}

static enum backend_progress put_off(struct call *k, uint64_t begun)
{
    struct waiting *w = k->session->backend_state;

    w->cycles = __rdtsc() - begun;
    k->batch->whole = k->from;
    return BACKEND_LATER;
}

/* What was put off. */
static void pick_up(struct call *k, struct waiting *w)
{
    k->cmd = w->cmd;
    k->from = w->from;
    k->tries = w->tries;
    k->was_blocked = false;
    k->was_kept = true;
    w->has_cmd = false;
}

enum backend_progress exec_run(struct exec *x, struct session *s, struct batch *b)
{
    struct waiting *w = s->backend_state;
    uint32_t ahead = b->next;
    struct call k; /* large, and begin_call() fills it */
    uint64_t begun = __rdtsc();

    if (w != NULL && w->wait != WAIT_NOT) {
        return BACKEND_LATER;
    }
    k.x = x;
    k.session = s;
    k.batch = b;
    while (b->next < b->count) {
        if (b->next == ahead) {
            uint32_t n = b->count - ahead < EXEC_GROUP ? b->count - ahead : EXEC_GROUP;

            exec_look_ahead(s->db, &b->requests[ahead], n);
            ahead += n;
        }
        k.request = &b->requests[b->next];
        if (UNLIKELY(w != NULL && w->has_cmd)) {
            pick_up(&k, w);
            begun -= w->cycles;
        } else {
            begin_call(&k);
            k.from = reply_begin(b->reply);
            if (UNLIKELY(s->is_judged_again) && is_denied_now(&k)) {
                b->next++;
                continue;
            }
            if (UNLIKELY(s->is_tracking)) {
                tracking_read(s, k.request); /* before it reads: edge/tracking.h */
            }
        }
        /* One that is done may have others to serve, which it may have to wait for. */
        if (k.cmd.ready == NULL && run_any(&k) == PUT_OFF) {
            return put_off(&k, begun);
        }
        if (UNLIKELY(k.cmd.ready != NULL) && block_serve(x, s, &k.cmd.ready) == BLOCK_PUT_OFF) {
            w = s->backend_state;
            w->cmd = k.cmd;
            w->from = k.from;
            w->has_cmd = true;
            return put_off(&k, begun);
        }
        reply_end(b->reply, k.from);
        if (UNLIKELY(s->is_tracking)) {
            tracking_has_read(s, k.request, k.was_kept);
        }
        note_position(&k);
        uint64_t now = __rdtsc();

        exec_tally(x, &k.cmd, now - begun);
        if (UNLIKELY((k.cmd.def->flags & CMD_TXN_END) != 0) && txn_has_ended(&k.cmd)) {
            watched_clear(s);
        }
        begun = now;
        b->next++;
    }
    if (LIKELY(s->level == ACK_LEADER)) {
        uint64_t seen = changelog_seen_seq(x->node->log);

        b->position = seen > b->position ? seen : b->position;
    }
    return BACKEND_DONE;
}

/* ---- The server's own commands ---- */

static void on_ready_never(struct session *s)
{
    (void)s;
}

void exec_internal(struct exec *x, struct database *db, struct slice *argv, uint32_t argc,
                   struct reply *reply)
{
    struct session s = {
        .db = db, .worker = x->worker, .is_replayed = true, .on_ready = on_ready_never};
    struct request r = {.def = cmd_find(argv[0]), .argv = argv, .argc = argc};
    struct batch b = {.requests = &r, .count = 1, .reply = reply};

    if (r.def != NULL && r.def->subs != NULL && argc > 1) {
        r.def = cmd_find_sub(r.def, argv[1]);
    }
    assert(r.def != NULL);
    while (exec_run(x, &s, &b) == BACKEND_LATER) {
        struct waiting *w = s.backend_state;

        if (w->wait == WAIT_SLICE) {
            list_remove(&w->slice);
            w->wait = WAIT_NOT;
        }
        while (w->wait != WAIT_NOT) {
            sched_yield();
            inbox_drain(&x->worker->inbox); /* this thread turns no loop */
        }
    }
    exec_cancel(&s);
}
