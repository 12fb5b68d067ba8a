#include "node/exec.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/inbox.h"
#include "base/mem.h"
#include "base/worker.h"
#include "edge/session.h"
#include "edge/tracking.h"
#include "node/database.h"
#include "node/evict.h"
#include "node/keyspace.h"
#include "node/node.h"
#include "node/section.h"
#include "replication/changelog.h"

#include <assert.h>
#include <sched.h>
#include <x86intrin.h>

enum {
    GROUP = 32, /* commands hashed and prefetched together: their lines fit the first-level cache */
    READ_TRIES = 2, /* of a read of several keys, before it takes the locks */
    VERSION_SPINS = 60,
    AGAIN_TRIES = 100 /* of a section whose keys expire under it */
};

struct exec_counts {
    _Atomic uint64_t calls, cycles, rejected, failed;
};

enum wait { WAIT_NOT, WAIT_LOCK, WAIT_LOG, WAIT_AGAIN, WAIT_TIME };

/* What the backend keeps for a session that had to wait once. */
struct waiting {
    struct session *session; /* NULL: cancelled; freed when its waiter comes back */
    struct worker *worker;
    enum wait wait;
    struct partition *partition;
    struct partition_waiter lock;
    struct changelog_waiter log;
    struct inbox_msg msg;
    struct worker_task task;
    struct worker_timer timer;
    struct cmd cmd; /* of WAIT_AGAIN and WAIT_TIME */
    size_t from;    /* of its reply, which it may have begun */
    bool has_cmd;
};

/* What one command came to. */
enum outcome { RAN, PUT_OFF };

int exec_init(struct exec *x, struct node *n, struct worker *w)
{
    x->node = n;
    x->worker = w;
    x->counts = mem_zalloc(cmd_count() * sizeof(x->counts[0]));
    if (x->counts == NULL || section_create(&x->section, n->log) != OK) {
        mem_free(x->counts, cmd_count() * sizeof(x->counts[0]));
        return ERR_NOMEM;
    }
    x->in_use = true;
    return OK;
}

void exec_fini(struct exec *x)
{
    if (x->in_use) {
        section_destroy(x->section);
        mem_free(x->counts, cmd_count() * sizeof(x->counts[0]));
        x->in_use = false;
    }
}

struct exec *exec_self(struct node *n)
{
    const struct worker *w = worker_self();

    return w == NULL ? NULL : &n->execs[w->index];
}

/* ---- Waiting ---- */

static void resume(struct waiting *w)
{
    struct partition *p = w->partition;
    enum wait was = w->wait;

    w->wait = WAIT_NOT;
    w->partition = NULL;
    if (w->session != NULL) {
        w->session->on_ready(w->session);
    } else {
        mem_free(w, sizeof(*w)); /* X3 */
    }
    /* The lock that it was called for is another's now, or is passed on. */
    if (was == WAIT_LOCK) {
        partition_pass(p);
    }
}

static void on_message(struct inbox_msg *msg)
{
    resume((struct waiting *)(void *)((char *)msg - offsetof(struct waiting, msg)));
}

static void on_task(struct worker_task *t)
{
    resume((struct waiting *)(void *)((char *)t - offsetof(struct waiting, task)));
}

static void on_time(struct worker_timer *t)
{
    resume((struct waiting *)(void *)((char *)t - offsetof(struct waiting, timer)));
}

/* On another thread. */
static void on_lock(struct partition_waiter *l)
{
    struct waiting *w = (struct waiting *)(void *)((char *)l - offsetof(struct waiting, lock));

    worker_post(w->worker, &w->msg);
}

static void on_room(struct changelog_waiter *l)
{
    struct waiting *w = (struct waiting *)(void *)((char *)l - offsetof(struct waiting, log));

    worker_post(w->worker, &w->msg);
}

static struct waiting *waiting_of(struct session *s)
{
    struct waiting *w = s->backend_state;

    if (w == NULL) {
        w = mem_zalloc(sizeof(*w));
        if (w == NULL) {
            return NULL;
        }
        w->session = s;
        w->worker = s->worker;
        list_init(&w->lock.link);
        list_init(&w->log.link);
        list_init(&w->task.link);
        w->lock.on_free = on_lock;
        w->log.on_room = on_room;
        w->msg.fn = on_message;
        w->task.run = on_task;
        w->timer.on_time = on_time;
        s->backend_state = w;
    }
    return w;
}

/* False: no need to wait (it came free), or no memory to: try again. */
UNCHECKED_LOCKS static bool wait_for_lock(struct session *s, struct partition *p)
{
    struct waiting *w = waiting_of(s);

    if (w == NULL) {
        sched_yield();
        return false;
    }
    w->wait = WAIT_LOCK;
    w->partition = p;
    if (partition_wait(p, &w->lock)) {
        w->wait = WAIT_NOT;
        partition_unlock(p);
        return false;
    }
    return true;
}

static bool wait_for_log(struct exec *x, struct session *s)
{
    struct waiting *w = waiting_of(s);

    if (w == NULL) {
        sched_yield();
        return false;
    }
    w->wait = WAIT_LOG;
    if (!changelog_wait(x->node->log, &w->log)) {
        w->wait = WAIT_NOT;
        return false;
    }
    return true;
}

static void drop_progress(struct waiting *w)
{
    if (w->has_cmd && w->cmd.progress != NULL && w->cmd.progress_free != NULL) {
        w->cmd.progress_free(w->cmd.progress);
    }
    w->has_cmd = false;
}

void exec_cancel(struct session *s)
{
    struct waiting *w = s->backend_state;

    if (w == NULL) {
        return;
    }
    s->backend_state = NULL;
    drop_progress(w);
    w->session = NULL;
    switch (w->wait) {
    case WAIT_LOCK:
        if (!partition_wait_cancel(w->partition, &w->lock)) {
            return; /* called already: the message frees it */
        }
        break;
    case WAIT_LOG:
        if (!changelog_wait_cancel(node_self()->log, &w->log)) {
            return;
        }
        break;
    case WAIT_AGAIN:
        list_remove(&w->task.link);
        break;
    case WAIT_TIME:
        worker_timer_clear(w->worker, &w->timer);
        break;
    case WAIT_NOT:
        break;
    }
    mem_free(w, sizeof(*w));
}

bool exec_unblock(struct session *s, bool with_error)
{
    struct waiting *w = s->backend_state;

    if (w == NULL || w->wait != WAIT_TIME) {
        return false;
    }
    worker_timer_clear(w->worker, &w->timer);
    w->cmd.unblocked = with_error ? CMD_UNBLOCKED_ERROR : CMD_UNBLOCKED_TIMEOUT;
    resume(w);
    return true;
}

/* ---- Keys ---- */

static bool has_one_key(const struct cmd_def *def)
{
    return def->keys.kind == CMD_KEYS_RANGE && def->keys.first == def->keys.last;
}

static uint64_t bit(const struct key *k)
{
    return (uint64_t)1 << k->partition;
}

/* The partitions of all the command's keys. */
static uint64_t mask_of(const struct request *r)
{
    uint32_t some[256];
    uint64_t mask = 0;
    uint32_t *at = some;
    int n;

    if ((r->def->flags & CMD_WHOLE) != 0) {
        return UINT64_MAX >> (64 - PARTITIONS);
    }
    if (has_one_key(r->def)) {
        return bit(&r->key);
    }
    n = cmd_key_indexes(r->def, r->argv, r->argc, some, 256);
    if (n > 256) {
        /* More keys than fit: no list of them is needed, so walk them by their rule. */
        at = mem_alloc((size_t)n * sizeof(some[0]));
        if (at == NULL) {
            return UINT64_MAX >> (64 - PARTITIONS); /* all is always enough */
        }
        n = cmd_key_indexes(r->def, r->argv, r->argc, at, (uint32_t)n);
    }
    for (int i = 0; i < n; i++) {
        mask |= (uint64_t)1 << hash_slot(r->argv[at[i]]) % PARTITIONS;
    }
    if (at != some) {
        mem_free(at, (size_t)n * sizeof(some[0]));
    }
    return mask;
}

/* Hashes the first key of each and brings bucket, then entry, near. */
static void look_ahead(struct database *db, struct request *r, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct cmd_def *def = r[i].def;

        r[i].key.name.ptr = NULL;
        if (def->keys.kind == CMD_KEYS_RANGE && (uint32_t)def->keys.first < r[i].argc) {
            r[i].key = key_of(r[i].argv[def->keys.first]);
            struct partition *p = database_partition(db, r[i].key.partition);

            if (n > 1 && p != NULL) {
                table_prefetch_bucket(&p->table, r[i].key.hash);
            }
        }
    }
    for (uint32_t i = 0; n > 1 && i < n; i++) {
        if (r[i].key.name.ptr != NULL) {
            struct partition *p = database_partition(db, r[i].key.partition);

            if (p != NULL) {
                table_prefetch_entry(&p->table, r[i].key.hash);
            }
        }
    }
}

/* ---- One command ---- */

struct call {
    struct exec *x;
    struct session *session;
    struct batch *batch;
    struct request *request;
    struct cmd cmd;
    size_t from; /* of the reply */
};

static void refuse(struct call *k, enum wire_err err)
{
    reply_restart(k->cmd.reply, k->from);
    reply_err(k->cmd.reply, err);
}

static enum wire_err failure_text(const struct section *s)
{
    return section_failure(s) == SECTION_TOO_LARGE ? WIRE_TOO_LARGE : WIRE_NOMEM;
}

/* Runs the handler in a section. */
static enum outcome run_write(struct call *k)
{
    const struct cmd_def *def = k->cmd.def;
    struct section *s = k->x->section;
    uint64_t mask = mask_of(k->request);
    bool grows = (def->flags & CMD_GROWS) != 0;
    bool make = grows || (mask & (mask - 1)) != 0;

    if (grows && UNLIKELY(evict_is_over(k->cmd.db)) && !evict_make_room(k->x, k->cmd.db)) {
        refuse(k, WIRE_OOM);
        return RAN;
    }
    for (int i = 0; i < AGAIN_TRIES;) {
        struct partition *held = NULL;
        uint64_t seq;

        if (section_reserve(s) != OK) {
            if (wait_for_log(k->x, k->session)) {
                return PUT_OFF;
            }
            continue;
        }
        int err = section_begin(s, k->cmd.db, mask, make, &held);

        if (err == ERR_FULL) {
            if (wait_for_lock(k->session, held)) {
                return PUT_OFF;
            }
            continue;
        }
        if (err != OK) {
            refuse(k, WIRE_NOMEM);
            return RAN;
        }
        k->cmd.section = s;
        section_made_by(s, k->session->id);
        k->cmd.now_ms = clock_now_ms();
        def->run(&k->cmd);
        k->cmd.section = NULL;
        if (UNLIKELY(k->cmd.reply->failed)) {
            section_fail(s, SECTION_NOMEM); /* what cannot be answered is not done */
        }
        enum section_end end = section_commit(s, &seq);

        if (LIKELY(end == SECTION_COMMITTED)) {
            if (seq > k->batch->position) {
                k->batch->position = seq;
            }
            return RAN;
        }
        if (end == SECTION_FAILED) {
            refuse(k, failure_text(s));
            return RAN;
        }
        reply_restart(k->cmd.reply, k->from);
        i++;
    }
    refuse(k, WIRE_NOMEM);
    return RAN;
}

/* What readers of several keys compare. */
struct versions {
    uint64_t mask;
    uint64_t v[PARTITIONS];
};

/* False if a publication is under way for longer than one takes; *held is then where. */
static bool versions_take(struct versions *v, const struct database *db, struct partition **held)
{
    for (uint64_t m = v->mask; m != 0; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctzl(m);
        struct partition *p = database_partition(db, i);

        v->v[i] = p == NULL ? 0 : partition_version(p);
        for (int n = 0; (v->v[i] & 1) != 0; n++) {
            if (n == VERSION_SPINS) {
                *held = p;
                return false;
            }
            __builtin_ia32_pause();
            v->v[i] = partition_version(p);
        }
    }
    return true;
}

static bool versions_unmoved(const struct versions *v, const struct database *db)
{
    for (uint64_t m = v->mask; m != 0; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctzl(m);
        /* One that was made meanwhile has version 0 until something is published in it. */
        const struct partition *p = database_partition(db, i);

        if (p != NULL && !partition_version_unmoved(p, v->v[i])) {
            return false;
        }
    }
    return true;
}

/* Whether a key that was found alive expired before the last was looked at: the reply may then hold
 * the one and miss the other of two that expire together. */
static bool outlived(const struct cmd *c)
{
    return !BROKEN(8) && UNLIKELY(c->alive_until_ms != 0) && clock_now_ms() >= c->alive_until_ms;
}

/* For running the handler from the start. */
static void restart(struct call *k)
{
    if (k->cmd.progress != NULL && k->cmd.progress_free != NULL) {
        k->cmd.progress_free(k->cmd.progress);
    }
    k->cmd.progress = NULL;
    k->cmd.alive_until_ms = 0;
    k->cmd.again = k->cmd.retry = false;
    reply_restart(k->cmd.reply, k->from);
}

/* The handler under the locks of all its keys; it changes nothing. */
static enum outcome run_read_locked(struct call *k, uint64_t mask)
{
    struct section *s = k->x->section;

    for (;;) {
        struct partition *held = NULL;
        int err = section_begin(s, k->cmd.db, mask, false, &held);

        if (err == OK) {
            break;
        }
        if (err != ERR_FULL) {
            refuse(k, WIRE_NOMEM);
            return RAN;
        }
        if (wait_for_lock(k->session, held)) {
            return PUT_OFF;
        }
    }
    k->cmd.section = s;
    k->cmd.def->run(&k->cmd);
    while (outlived(&k->cmd)) {
        restart(k); /* each time at least one key less is alive */
        k->cmd.def->run(&k->cmd);
    }
    k->cmd.section = NULL;
    section_abort(s);
    return RAN;
}

static enum outcome run_read_many(struct call *k)
{
    struct versions v = {.mask = mask_of(k->request)};

    for (int i = 0; i < READ_TRIES; i++) {
        struct partition *held = NULL;

        if (!versions_take(&v, k->cmd.db, &held)) {
            break;
        }
        k->cmd.retry = false;
        k->cmd.def->run(&k->cmd);
        if (!k->cmd.retry && versions_unmoved(&v, k->cmd.db) && !outlived(&k->cmd)) {
            return RAN;
        }
        restart(k);
    }
    return run_read_locked(k, v.mask);
}

static enum outcome run_read_one(struct call *k)
{
    for (;;) {
        k->cmd.def->run(&k->cmd);
        if (LIKELY(!k->cmd.retry)) {
            return RAN;
        }
        restart(k);
        if (wait_for_lock(k->session, k->cmd.blocked_on)) {
            return PUT_OFF;
        }
    }
}

/* False: no memory for the timer. */
static bool wait_for_turn(struct waiting *w, int64_t at_ms)
{
    if (at_ms == 0) {
        w->wait = WAIT_AGAIN;
        worker_defer(w->worker, &w->task);
        return true;
    }
    w->wait = WAIT_TIME;
    return at_ms == INT64_MAX || worker_timer_set(w->worker, &w->timer, at_ms) == OK;
}

/* A handler that has more to do goes on in the next turn, or at the moment that it named. */
static enum outcome keep_going(struct call *k)
{
    struct waiting *w = waiting_of(k->session);

    if (w == NULL || !wait_for_turn(w, k->cmd.again_at_ms)) {
        if (w != NULL) {
            w->wait = WAIT_NOT;
        }
        if (k->cmd.progress != NULL && k->cmd.progress_free != NULL) {
            k->cmd.progress_free(k->cmd.progress);
        }
        refuse(k, WIRE_NOMEM);
        return RAN;
    }
    k->cmd.again = false;
    w->cmd = k->cmd;
    w->from = k->from;
    w->has_cmd = true;
    return PUT_OFF;
}

static enum outcome run_any(struct call *k)
{
    const struct cmd_def *def = k->cmd.def;
    enum outcome o;

    if ((def->flags & CMD_WRITE) != 0) {
        return run_write(k);
    }
    /* One that goes on has read its keys in its first turn. */
    if (def->keys.kind == CMD_KEYS_NONE || (def->flags & CMD_WHOLE) != 0 ||
        UNLIKELY(k->cmd.progress != NULL)) {
        def->run(&k->cmd);
        o = RAN;
    } else if (has_one_key(def)) {
        o = run_read_one(k);
    } else {
        o = run_read_many(k);
    }
    return o == RAN && UNLIKELY(k->cmd.again) ? keep_going(k) : o;
}

static void begin_call(struct call *k)
{
    struct request *r = k->request;

    k->cmd = (struct cmd){
        .def = r->def,
        .argv = r->argv,
        .argc = r->argc,
        .reply = k->batch->reply,
        .session = k->session,
        .db = k->session->db,
        .key = r->key,
        .now_ms = clock_now_ms(),
    };
}

/* A read's reply depends on the last change of each partition that it looked at, which was stored
 * before what it saw was published. At `leader` nothing waits for it, and the batch's end says enough. */
static void note_position(struct call *k)
{
    uint64_t *position = &k->batch->position;

    if (LIKELY(k->session->level == ACK_LEADER)) {
        return;
    }
    uint64_t mask = k->cmd.def->keys.kind == CMD_KEYS_NONE ? UINT64_MAX >> (64 - PARTITIONS)
                                                           : mask_of(k->request);

    for (uint64_t m = mask; m != 0; m &= m - 1) {
        const struct partition *p = database_partition(k->session->db, (unsigned)__builtin_ctzl(m));
        uint64_t seq = p == NULL ? 0 : atomic_load_explicit(&p->last_seq, memory_order_relaxed);

        *position = seq > *position ? seq : *position;
    }
}

static void tally(struct exec *x, struct call *k, uint64_t cycles)
{
    struct exec_counts *n = &x->counts[k->cmd.def->id];

    database_count(&n->calls, 1);
    database_count(&n->cycles, cycles);
    if (UNLIKELY((k->cmd.reply->flags & REPLY_ERROR) != 0)) {
        database_count(&n->failed, 1);
    }
    if (UNLIKELY(cycles >= node_slow_cycles())) {
        node_note_slow(k->session, &k->cmd, cycles);
    }
}

enum backend_progress exec_run(struct exec *x, struct session *s, struct batch *b)
{
    struct waiting *w = s->backend_state;
    uint32_t ahead = b->next;
    struct call k = {.x = x, .session = s, .batch = b};
    uint64_t begun = __rdtsc();

    if (w != NULL && w->wait != WAIT_NOT) {
        return BACKEND_LATER;
    }
    while (b->next < b->count) {
        if (b->next == ahead) {
            uint32_t n = b->count - ahead < GROUP ? b->count - ahead : GROUP;

            look_ahead(s->db, &b->requests[ahead], n);
            ahead += n;
        }
        k.request = &b->requests[b->next];
        if (UNLIKELY(w != NULL && w->has_cmd)) {
            k.cmd = w->cmd;
            k.from = w->from;
            w->has_cmd = false;
        } else {
            begin_call(&k);
            k.from = reply_begin(b->reply);
        }
        if (UNLIKELY(s->is_tracking)) {
            tracking_read(s, k.request); /* before it reads: edge/tracking.h */
        }
        if (run_any(&k) == PUT_OFF) {
            b->whole = k.from;
            return BACKEND_LATER;
        }
        reply_end(b->reply, k.from);
        note_position(&k);
        uint64_t now = __rdtsc();

        tally(x, &k, now - begun);
        begun = now;
        b->next++;
    }
    if (LIKELY(s->level == ACK_LEADER)) {
        uint64_t seen = changelog_seen_seq(x->node->log);

        b->position = seen > b->position ? seen : b->position;
    }
    return BACKEND_DONE;
}

/* ---- Counts ---- */

static uint64_t sum_of(const _Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

struct cmd_stats exec_stats(struct node *n, uint16_t id)
{
    struct cmd_stats sum = {0};
    uint64_t cycles = 0;

    for (uint32_t i = 0; i < n->exec_count; i++) {
        if (n->execs[i].in_use) {
            const struct exec_counts *c = &n->execs[i].counts[id];

            sum.calls += sum_of(&c->calls);
            cycles += sum_of(&c->cycles);
            sum.rejected += sum_of(&c->rejected);
            sum.failed += sum_of(&c->failed);
        }
    }
    sum.usec = (uint64_t)((double)cycles / node_cycles_per_us());
    return sum;
}

uint64_t exec_stats_total(struct node *n)
{
    uint64_t sum = 0;

    for (uint16_t id = 0; id < cmd_count(); id++) {
        sum += exec_stats(n, id).calls;
    }
    return sum;
}

void exec_stats_reset(struct node *n)
{
    for (uint32_t i = 0; i < n->exec_count; i++) {
        for (uint16_t id = 0; n->execs[i].in_use && id < cmd_count(); id++) {
            struct exec_counts *c = &n->execs[i].counts[id];

            atomic_store_explicit(&c->calls, 0, memory_order_relaxed);
            atomic_store_explicit(&c->cycles, 0, memory_order_relaxed);
            atomic_store_explicit(&c->rejected, 0, memory_order_relaxed);
            atomic_store_explicit(&c->failed, 0, memory_order_relaxed);
        }
    }
}

void exec_count_rejected(struct exec *x, const struct cmd_def *def)
{
    database_count(&x->counts[def->id].rejected, 1);
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

    assert(r.def != NULL);
    while (exec_run(x, &s, &b) == BACKEND_LATER) {
        struct waiting *w = s.backend_state;

        if (w->wait == WAIT_AGAIN) {
            list_remove(&w->task.link);
            w->wait = WAIT_NOT;
        }
        while (w->wait != WAIT_NOT) {
            sched_yield();
            inbox_drain(&x->worker->inbox); /* this thread turns no loop */
        }
    }
    exec_cancel(&s);
}
