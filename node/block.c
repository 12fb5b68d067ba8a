#include "node/block.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/inbox.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/worker.h"
#include "edge/acl_log.h"
#include "edge/args.h"
#include "edge/session.h"
#include "node/database.h"
#include "node/exec.h"
#include "node/keyed.h"
#include "node/keyspace.h"
#include "node/node.h"
#include "node/section.h"
#include "node/wait.h"
#include "proto/number.h"
#include "replication/changelog.h"

#include <assert.h>
#include <math.h>
#include <x86intrin.h>

enum { AGAIN_TRIES = 100, SLICE_US = 1000 };

/* MISSED: claimed, and somebody else would have claimed it meanwhile, with news that the claimant may not have
 * seen: it looks once more before it gives the claim back. */
enum state { WAITING, CLAIMED, MISSED, LATE, DONE };

struct block_node {
    struct keyed_node node;
    struct block *block;
    struct partition *partition;
};

struct block {
    _Atomic int state; /* enum state */
    /* Its worker's: */
    struct session *session; /* NULL: gone */
    int64_t deadline_ms;     /* on the worker's clock; INT64_MAX: none */
    bool is_mine;            /* claimed by itself */
    bool is_told;            /* its session was called about DONE */
    bool is_dead;            /* freed when the poke that is on its way arrives */
    enum cmd_unblocked why;  /* it ended without being taken; written before LATE */
    /* The claimant's: */
    struct reply reply;
    uint64_t position;
    bool is_taken;
    _Atomic uint64_t tried; /* by which round of serving, in vain */
    /* Fixed: */
    struct worker *worker;
    struct database *db;
    const struct cmd_def *def;
    struct args *args; /* owned */
    uint64_t mask;
    enum value_type type;
    uint64_t client; /* its session's */
    struct inbox_msg done, poke;
    _Atomic bool is_poked; /* the message is on its way */
    uint32_t count;
    struct block_node nodes[];
};

static _Atomic uint64_t lost, waiting;

uint64_t block_lost_count(void)
{
    return atomic_load_explicit(&lost, memory_order_relaxed);
}

uint64_t block_count(void)
{
    return atomic_load_explicit(&waiting, memory_order_relaxed);
}

static size_t block_bytes(uint32_t count)
{
    return sizeof(struct block) + count * sizeof(struct block_node);
}

/* B2. Acquire and release: what the claimant before wrote is seen. */
static bool go(struct block *b, enum state from, enum state to)
{
    int was = (int)from;

    return atomic_compare_exchange_strong_explicit(&b->state, &was, (int)to, memory_order_acq_rel,
                                                   memory_order_acquire);
}

enum claim { CLAIM_MINE, CLAIM_HELD, CLAIM_OVER };

/* HELD: by another, who knows now that there is news. OVER: it waits no more. */
static enum claim claim_or_mark(struct block *b)
{
    for (;;) {
        if (go(b, WAITING, CLAIMED)) {
            return CLAIM_MINE;
        }
        if (go(b, CLAIMED, MISSED)) {
            return CLAIM_HELD;
        }
        switch ((enum state)atomic_load_explicit(&b->state, memory_order_acquire)) {
        case WAITING: /* given back in between */
        case CLAIMED:
            break;
        case MISSED:
            return CLAIM_HELD;
        case LATE:
        case DONE:
            return CLAIM_OVER;
        }
    }
}

/* Whether it ended before anybody claimed it; else whoever has it finds it late. */
static bool end_unclaimed(struct block *b)
{
    for (;;) {
        if (go(b, WAITING, DONE)) {
            return true;
        }
        if (go(b, CLAIMED, LATE) || go(b, MISSED, LATE) ||
            atomic_load_explicit(&b->state, memory_order_acquire) >= LATE) {
            return false;
        }
    }
}

static void leave_keys(struct block *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        keyed_take(b->nodes[i].partition->blocked, &b->nodes[i].node);
    }
}

/* Nobody finds it at its keys any more. On its worker. */
static void block_free(struct block *b)
{
    if (!b->is_dead) {
        atomic_fetch_sub_explicit(&waiting, 1, memory_order_relaxed);
    }
    if (atomic_load_explicit(&b->is_poked, memory_order_acquire)) {
        b->is_dead = true;
        return;
    }
    reply_fini(&b->reply);
    args_destroy(b->args);
    mem_free(b, block_bytes(b->count));
}

/* Calls its session, whatever that waits for: it was claimed by nobody, or has been served. */
static void call_session(struct block *b)
{
    struct waiting *w = b->session->backend_state;

    assert(w != NULL);
    worker_timer_clear(b->worker, &w->timer);
    wait_resume(w);
}

static bool poke_one(struct keyed_node *n, void *arg)
{
    struct block *b = LIST_ITEM(n, struct block_node, node)->block;

    (void)arg;
    /* Under the table's lock, where it cannot leave the key, so it lives until its message is on the way. */
    if (!atomic_exchange_explicit(&b->is_poked, true, memory_order_acq_rel)) {
        worker_post(b->worker, &b->poke);
    }
    return true;
}

/* Somebody had news for one that was in hand, and passed over who waits behind it: they look for themselves. By
 * whoever has it. */
static void pass_on(struct block *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        keyed_each(b->nodes[i].partition->blocked, &b->nodes[i].node.key, poke_one, NULL);
    }
}

/* B4 */
static void note_lost(const struct block *b)
{
    if (b->is_taken) {
        atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
        log_warn("block: taken for a client that is gone\tcommand=%s", b->def->name);
    }
}

static void on_done(struct inbox_msg *msg)
{
    struct block *b = LIST_ITEM(msg, struct block, done);

    if (b->session != NULL) {
        b->is_told = true;
        call_session(b);
        return;
    }
    note_lost(b);
    block_free(b);
}

static void on_poke(struct inbox_msg *msg)
{
    struct block *b = LIST_ITEM(msg, struct block, poke);

    atomic_store_explicit(&b->is_poked, false, memory_order_release);
    if (b->is_dead) {
        block_free(b);
    } else if (b->session != NULL && claim_or_mark(b) == CLAIM_MINE) {
        b->is_mine = true;
        call_session(b);
    }
}

/* ---- Beginning to wait ---- */

static struct block *block_create(struct cmd *c, uint32_t count)
{
    struct block *b = mem_zalloc(block_bytes(count));

    if (b == NULL) {
        return NULL;
    }
    b->args = args_copy(c->argv, c->argc);
    if (b->args == NULL) {
        mem_free(b, block_bytes(count));
        return NULL;
    }
    reply_init(&b->reply);
    b->count = count;
    b->session = c->session;
    b->client = c->session->id;
    b->worker = c->session->worker;
    b->db = c->db;
    b->def = c->def;
    b->done.fn = on_done;
    b->poke.fn = on_poke;
    return b;
}

/* Puts it at the end of each key's line: the names are those of its own arguments. */
static bool queue(struct block *b, const struct section *s, uint32_t first)
{
    for (uint32_t i = 0; i < b->count; i++) {
        struct block_node *n = &b->nodes[i];

        n->block = b;
        n->node.key = key_of(b->args->argv[first + i]);
        assert(section_holds(s, n->node.key)); /* B1 */
        n->partition = database_partition(b->db, n->node.key.partition);
        list_init(&n->node.link);
        if (keyed_table_of(&n->partition->blocked) == NULL) {
            b->count = i;
            leave_keys(b);
            return false;
        }
        keyed_put(n->partition->blocked, &n->node);
    }
    return true;
}

static int64_t deadline_of(const struct session *s, int64_t timeout_ms)
{
    int64_t at_ms;

    return timeout_ms == 0 || __builtin_add_overflow(s->worker->now_ms, timeout_ms, &at_ms)
               ? INT64_MAX
               : at_ms;
}

bool block_wait(struct cmd *c, uint32_t first, uint32_t count, enum value_type type,
                int64_t timeout_ms)
{
    struct block *b = c->blocked;

    if (b == NULL) {
        struct request r = {.def = c->def, .argv = c->argv, .argc = c->argc, .key = c->key};

        if (c->in_txn || c->session == NULL || c->session->is_replayed) {
            return false;
        }
        b = block_create(c, count);
        if (b == NULL) {
            section_fail(c->section, SECTION_NOMEM);
            return true;
        }
        b->type = type;
        b->mask = exec_mask(&r);
        b->deadline_ms = deadline_of(c->session, timeout_ms);
        if (!queue(b, c->section, first)) {
            size_t bytes = block_bytes(count);

            args_destroy(b->args);
            mem_free(b, bytes);
            section_fail(c->section, SECTION_NOMEM);
            return true;
        }
        atomic_fetch_add_explicit(&waiting, 1, memory_order_relaxed);
        c->blocked = b;
        c->argv = b->args->argv; /* which may be others than the request's, such as ids for $ */
    }
    c->again = true; /* until block_deadline_ms(), which its own worker asks for */
    return true;
}

bool block_timeout_arg(struct cmd *c, uint32_t index, int64_t *timeout_ms)
{
    long double seconds;

    if (!number_parse_double(c->argv[index], &seconds) || isnan(seconds)) {
        reply_errf(c->reply, "ERR timeout is not a float or out of range");
    } else if (seconds < 0) {
        reply_errf(c->reply, "ERR timeout is negative");
    } else if (seconds * 1000 > (long double)(INT64_MAX - clock_now_ms())) {
        reply_errf(c->reply, "ERR timeout is out of range");
    } else {
        *timeout_ms = (int64_t)ceill(seconds * 1000);
        return true;
    }
    return false;
}

bool block_is_over(struct cmd *c, void (*none)(struct reply *r))
{
    switch (c->unblocked) {
    case CMD_NOT_UNBLOCKED:
        return false;
    case CMD_UNBLOCKED_TIMEOUT:
        none(c->reply);
        break;
    case CMD_UNBLOCKED_ERROR:
        reply_errf(c->reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
        break;
    case CMD_UNBLOCKED_DENIED:
        acl_reply_denied_now(c);
        break;
    }
    return true;
}

int64_t block_deadline_ms(const struct block *b)
{
    return b->deadline_ms;
}

/* ---- Its own worker ---- */

/* It ends without being taken, unless somebody has it in hand: then that one finds it late. */
static enum block_woken end_as(struct block *b, struct cmd *c, enum cmd_unblocked why)
{
    b->why = why;
    if (end_unclaimed(b)) {
        leave_keys(b);
        c->unblocked = why;
        return BLOCK_ENDED;
    }
    b->deadline_ms = INT64_MAX; /* the message comes */
    return BLOCK_STILL;
}

enum block_woken block_wake(struct block *b, struct cmd *c)
{
    /* Not by its state: the message that follows DONE may be on its way, and is a part of *b. */
    if (b->is_told) {
        leave_keys(b);
        c->unblocked = b->is_taken ? CMD_NOT_UNBLOCKED : b->why;
        return b->is_taken ? BLOCK_TAKEN : BLOCK_ENDED;
    }
    if (b->is_mine) {
        return BLOCK_RETRIES;
    }
    if (c->unblocked != CMD_NOT_UNBLOCKED) {
        return end_as(b, c, c->unblocked);
    }
    if (b->worker->now_ms >= b->deadline_ms) {
        return end_as(b, c, CMD_UNBLOCKED_TIMEOUT);
    }
    return BLOCK_STILL;
}

uint64_t block_answer(struct block *b, struct reply *to)
{
    if (b->reply.failed || buf_append_slice(&to->out, buf_slice(&b->reply.out)) != OK) {
        to->failed = true;
    }
    to->flags |= b->reply.flags;
    return b->position;
}

bool block_give_back(struct block *b)
{
    assert(b->is_mine);
    b->is_mine = false;
    if (go(b, CLAIMED, WAITING)) {
        return true;
    }
    /* Only its own worker makes it late, and not while it has the claim itself. */
    bool missed = go(b, MISSED, CLAIMED);

    assert(missed);
    (void)missed;
    b->is_mine = true;
    return false;
}

void block_end(struct block *b)
{
    leave_keys(b);
    /* Of its own claim, or DONE already. */
    if (atomic_exchange_explicit(&b->state, DONE, memory_order_acq_rel) == MISSED) {
        pass_on(b);
    }
    block_free(b);
}

void block_cancel(struct block *b)
{
    b->session = NULL;
    b->why = CMD_UNBLOCKED_TIMEOUT;
    if (b->is_told) {
        note_lost(b);
        block_end(b);
    } else if (b->is_mine || end_unclaimed(b)) {
        block_end(b);
    } /* else the message frees it */
}

/* ---- Serving ---- */

struct finding {
    uint64_t token;
    uint32_t skip; /* types of which the key has nothing more, a bit each */
    struct block *found;
};

/* The types, a bit each, of which nobody behind this one is to be looked at if it finds nothing: the next element
 * is for the first. A stream's readers wait for different things. */
static uint32_t one_for_each(const struct block *b)
{
    return b->type == TYPE_STREAM ? 0 : 1u << b->type;
}

static bool claim(struct keyed_node *n, void *arg)
{
    struct finding *f = arg;
    struct block *b = LIST_ITEM(n, struct block_node, node)->block;

    if ((f->skip & 1u << b->type) != 0 ||
        atomic_load_explicit(&b->tried, memory_order_relaxed) == f->token) {
        return true;
    }
    switch (claim_or_mark(b)) {
    case CLAIM_MINE:
        f->found = b;
        return false;
    case CLAIM_HELD:
        /* B3: whoever has it in hand takes what is there, and serves who comes behind it. */
        f->skip |= one_for_each(b);
        break;
    case CLAIM_OVER:
        break;
    }
    return true;
}

static bool any(struct keyed_node *n, void *arg)
{
    (void)n;
    *(bool *)arg = true;
    return false;
}

struct block_ready *block_ready_at(struct database *db, struct key key, bool *failed)
{
    struct partition *p = database_partition(db, key.partition);
    struct block_ready *r;
    bool is_any = false;

    if (!keyed_is_any(p->blocked)) {
        return NULL;
    }
    keyed_each(p->blocked, &key, any, &is_any);
    if (!is_any) {
        return NULL;
    }
    r = mem_alloc(sizeof(*r) + key.name.len);
    if (r == NULL) {
        *failed = true;
        return NULL;
    }
    *r = (struct block_ready){.db = db, .key = key};
    memcpy(r->name, key.name.ptr, key.name.len);
    r->key.name.ptr = r->name;
    return r;
}

static void ready_free_one(struct block_ready *r)
{
    mem_free(r, sizeof(*r) + r->key.name.len);
}

void block_ready_free(struct block_ready *list)
{
    struct block_ready *r;

    while ((r = list) != NULL) {
        list = r->next;
        ready_free_one(r);
    }
}

void block_poke(struct block_ready *ready)
{
    for (struct block_ready *r = ready; r != NULL; r = r->next) {
        struct partition *p = database_partition(r->db, r->key.partition);

        if (p->blocked != NULL) {
            keyed_each(p->blocked, &r->key, poke_one, NULL);
        }
    }
    block_ready_free(ready);
}

/* The claim ends: taken, or not and late. The last that the claimant does with it. */
static void hand_over(struct block *b, bool is_taken)
{
    b->is_taken = is_taken;
    leave_keys(b);
    while (!go(b, CLAIMED, DONE) && !go(b, LATE, DONE)) {
        if (go(b, MISSED, CLAIMED)) {
            pass_on(b);
        }
    }
    worker_post(b->worker, &b->done);
}

/* After a look that found nothing. False: there may be something since; it is claimed still. */
static bool give_back(struct block *b)
{
    if (go(b, CLAIMED, WAITING)) {
        return true;
    }
    if (go(b, MISSED, CLAIMED)) {
        return false;
    }
    hand_over(b, false); /* LATE */
    return true;
}

/* Without a look: this session comes back to it. */
static void put_back(struct block *b)
{
    while (!go(b, CLAIMED, WAITING)) {
        if (go(b, MISSED, CLAIMED)) {
            pass_on(b);
        } else if (atomic_load_explicit(&b->state, memory_order_acquire) == LATE) {
            hand_over(b, false);
            return;
        }
    }
}

enum attempt { TAKEN, NOTHING, PARKED_FOR_IT, REFUSED };

/* One run of its handler in a section over all its keys. */
static enum attempt attempt(struct exec *x, struct block *b, struct block_ready **more)
{
    struct section *s = x->section;
    struct cmd c = {.def = b->def,
                    .argv = b->args->argv,
                    .argc = b->args->argc,
                    .reply = &b->reply,
                    .db = b->db,
                    .section = s,
                    .blocked = b,
                    .now_ms = section_now_ms(s)};
    uint64_t seq = 0;

    b->reply.out.len = 0;
    b->reply.flags = 0;
    section_made_by(s, b->client);
    c.def->run(&c);
    if (c.again) {
        section_abort(s);
        return NOTHING;
    }
    if (b->reply.failed) {
        section_fail(s, SECTION_NOMEM);
    }
    if (BROKEN(12)) {
        section_abort(s);
        return TAKEN;
    }
    switch (section_commit(s, &seq)) {
    case SECTION_COMMITTED:
        *more = section_take_ready(s);
        b->position = seq > 0 ? seq : changelog_seen_seq(x->node->log);
        return TAKEN;
    case SECTION_AGAIN:
        return PARKED_FOR_IT;
    case SECTION_FAILED:
        break;
    }
    return REFUSED;
}

static void refuse(struct block *b)
{
    b->reply.out.len = 0;
    b->reply.flags = 0;
    b->reply.failed = false;
    reply_err(&b->reply, WIRE_NOMEM);
}

/* True: the session waits, and the claim was given back. */
static bool parks(struct block *b, enum parked p)
{
    if (p == NOT_PARKED) {
        return false;
    }
    put_back(b);
    return true;
}

static void append(struct block_ready **list, struct block_ready *more)
{
    while (*list != NULL) {
        list = &(*list)->next;
    }
    *list = more;
}

/* Serves b, which is claimed. PARKED_FOR_IT: the session is in line for what it needs. */
static enum attempt serve(struct exec *x, struct session *session, struct block *b,
                          struct block_ready **ready)
{
    for (int tries = 0; tries < AGAIN_TRIES;) {
        struct block_ready *more = NULL;
        struct partition *held = NULL;

        if (section_reserve(x->section) != OK) {
            if (parks(b, wait_for_log(x, session))) {
                return PARKED_FOR_IT;
            }
            continue;
        }
        int err = section_begin(x->section, b->db, b->mask, true, &held);

        if (err == ERR_FULL) {
            if (parks(b, wait_for_lock(session, held))) {
                return PARKED_FOR_IT;
            }
            continue;
        }
        enum attempt a = err == OK ? attempt(x, b, &more) : REFUSED;

        append(ready, more);
        if (a != PARKED_FOR_IT) {
            return a;
        }
        tries++; /* a key that it relied on expired */
    }
    return NOTHING;
}

/* The one that is claimed, to the end of the claim. */
static enum attempt serve_one(struct exec *x, struct session *session, struct finding *f,
                              struct block_ready **ready)
{
    struct block *b = f->found;

    for (;;) {
        enum attempt a = serve(x, session, b, ready);

        if (a == REFUSED) {
            refuse(b);
        }
        if (a == TAKEN || a == REFUSED) {
            hand_over(b, true);
            return TAKEN;
        }
        if (a == PARKED_FOR_IT) {
            return a;
        }
        f->skip |= one_for_each(b);
        atomic_store_explicit(&b->tried, f->token, memory_order_relaxed);
        if (give_back(b)) {
            return NOTHING;
        }
    }
}

/* Who waits at one key, in their order. */
static enum block_served serve_key(struct exec *x, struct session *session,
                                   struct block_ready **ready, uint64_t begun)
{
    static _Thread_local uint64_t rounds;
    struct block_ready *r = *ready;
    struct partition *p = database_partition(r->db, r->key.partition);
    struct finding f = {.token = ++rounds << 16 | x->worker->index};

    while (keyed_is_any(p->blocked)) {
        f.found = NULL;
        keyed_each(p->blocked, &r->key, claim, &f);
        if (f.found == NULL) {
            break;
        }
        if ((double)(__rdtsc() - begun) > SLICE_US * node_cycles_per_us() &&
            wait_for_turn(x, wait_of(session), 0)) {
            put_back(f.found);
            return BLOCK_PUT_OFF;
        }
        if (serve_one(x, session, &f, ready) == PARKED_FOR_IT) {
            return BLOCK_PUT_OFF;
        }
    }
    return BLOCK_SERVED;
}

enum block_served block_serve(struct exec *x, struct session *session, struct block_ready **ready)
{
    uint64_t begun = __rdtsc();

    while (*ready != NULL) {
        struct block_ready *r = *ready;

        if (serve_key(x, session, ready, begun) == BLOCK_PUT_OFF) {
            return BLOCK_PUT_OFF;
        }
        *ready = r->next;
        ready_free_one(r);
    }
    return BLOCK_SERVED;
}
