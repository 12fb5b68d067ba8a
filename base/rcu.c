/* rcu.c - see rcu.h.
 *
 * Whether a grace period is over is asked, never waited for: liburcu (0.13) can only wait, or have a
 * thread of its own wait, and what that thread brings back is cold by then. So each thread also says
 * here, on a line of its own, which epoch it saw at its last quiescent state. A batch is closed by
 * raising the epoch; its grace period is over when every thread that is online has seen that epoch.
 *
 *  G1  a reader that has seen epoch e sees all that was unlinked before the epoch was raised to e: it
 *      acquires what the raiser released.
 *  G2  what it read before is over when its word is seen: released there, acquired by whoever asks.
 *  G3  who is found offline, or not yet in the list, comes online after the question: then it sees the
 *      raised epoch, since each side writes its own word, then looks at the other's, and all four are
 *      sequentially consistent.
 */
#include "base/rcu.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <sched.h>
#include <urcu/urcu-qsbr.h>

enum {
    BATCH_ITEMS = 509,     /* fits 16 KiB with its header */
    BATCH_BYTES = 1 << 20, /* so many bytes do not wait for the batch before them */
    DUE_ITEMS = 32, /* a quiescent state pays: what comes back is still in the first-level cache */
    DUE_BYTES = 64 << 10,
    FREE_SLICE = 256 /* blocks freed a turn, and more when many wait */
};

struct item {
    void *block;
    size_t bytes;
    rcu_free_fn fn; /* NULL: mem_free(block, bytes) */
};

struct retired {
    struct retired *next;
    uint64_t epoch; /* that every reader must have seen */
    uint32_t count;
    uint32_t freed;
    size_t bytes;
    struct item items[BATCH_ITEMS];
};

struct queue {
    struct retired *first, *last;
};

/* What a registered thread keeps. Never freed but used again, so that others may walk the list. */
struct thread {
    /* The line that others look at. */
    _Alignas(64) _Atomic uint64_t seen; /* 0: offline */
    _Atomic bool taken;
    struct thread *next;
    /* Its own. */
    _Alignas(64) _Atomic size_t retired_bytes;
    struct retired *open;  /* being filled */
    struct retired *spare; /* list, empty batches */
    size_t spare_count;
    struct queue waiting; /* closed, the oldest first */
    struct queue freeing; /* their grace period is over */
    struct thread *asked; /* the first that the oldest batch still waits for; NULL: not asked yet */
};

static _Thread_local struct thread *self;
static _Atomic(struct thread *) threads;
static _Alignas(64) _Atomic uint64_t epoch = 1;

/* ---- Threads ---- */

static struct thread *thread_take(void)
{
    struct thread *t = atomic_load_explicit(&threads, memory_order_acquire);

    for (; t != NULL; t = t->next) {
        bool taken = false;

        /* Acquire: pairs with the release in rcu_unregister(). */
        if (atomic_compare_exchange_strong_explicit(&t->taken, &taken, true, memory_order_acquire,
                                                    memory_order_relaxed)) {
            return t;
        }
    }
    t = mem_alloc_lines(sizeof(*t));
    assert(t != NULL); /* at start, as mem_must() */
    atomic_store_explicit(&t->taken, true, memory_order_relaxed);
    t->next = atomic_load_explicit(&threads, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&threads, &t->next, t, memory_order_seq_cst,
                                                  memory_order_relaxed)) {
    }
    return t;
}

void rcu_register(void)
{
    assert(self == NULL);
    self = thread_take();
    if (self->open == NULL) {
        self->open = mem_must(sizeof(*self->open));
    }
    urcu_qsbr_register_thread();
    rcu_online();
}

bool rcu_is_registered(void)
{
    return self != NULL;
}

void rcu_online(void)
{
    uint64_t now = atomic_load_explicit(&epoch, memory_order_relaxed);

    atomic_store_explicit(&self->seen, now, memory_order_seq_cst); /* G3 */
    (void)atomic_load_explicit(&epoch, memory_order_seq_cst);
    urcu_qsbr_thread_online();
}

void rcu_offline(void)
{
    urcu_qsbr_thread_offline();
    atomic_store_explicit(&self->seen, 0, memory_order_release); /* G2 */
}

static void be_quiescent(struct thread *t)
{
    urcu_qsbr_quiescent_state();
    uint64_t now = atomic_load_explicit(&epoch, memory_order_acquire); /* G1 */

    if (atomic_load_explicit(&t->seen, memory_order_relaxed) != now) {
        atomic_store_explicit(&t->seen, now, memory_order_release); /* G2 */
    }
}

/* ---- Batches ---- */

static void queue_put(struct queue *q, struct retired *r)
{
    r->next = NULL;
    if (q->first == NULL) {
        q->first = r;
    } else {
        q->last->next = r;
    }
    q->last = r;
}

static struct retired *queue_take(struct queue *q)
{
    struct retired *r = q->first;

    q->first = r->next;
    return r;
}

static int add_spare(struct thread *t)
{
    struct retired *r = mem_alloc(sizeof(*r));

    if (r == NULL) {
        return ERR_NOMEM;
    }
    r->count = r->freed = 0;
    r->bytes = 0;
    if (t->open == NULL) {
        t->open = r;
    } else {
        r->next = t->spare;
        t->spare = r;
        t->spare_count++;
    }
    return OK;
}

static void close_batch(struct thread *t)
{
    struct retired *r = t->open;

    /* Release for G1, and sequentially consistent for G3. */
    r->epoch = atomic_fetch_add_explicit(&epoch, 1, memory_order_seq_cst) + 1;
    queue_put(&t->waiting, r);
    t->open = t->spare;
    if (t->spare != NULL) {
        t->spare = t->spare->next;
        t->spare_count--;
    } else {
        (void)add_spare(t); /* else the next rcu_reserve() tries again */
    }
}

/* Whether the oldest batch's grace period is over. A thread that passed once has passed. */
static bool is_over(struct thread *t)
{
    uint64_t wanted = t->waiting.first->epoch;

    if (t->asked == NULL) {
        t->asked = atomic_load_explicit(&threads, memory_order_seq_cst); /* G3 */
    }
    for (; t->asked != NULL; t->asked = t->asked->next) {
        uint64_t seen = atomic_load_explicit(&t->asked->seen, memory_order_seq_cst); /* G2, G3 */

        if (seen != 0 && seen < wanted) {
            return false;
        }
    }
    return true;
}

static void collect(struct thread *t)
{
    while (t->waiting.first != NULL && is_over(t)) {
        queue_put(&t->freeing, queue_take(&t->waiting));
    }
}

int rcu_reserve(size_t n)
{
    struct thread *t = self;

    while ((t->open == NULL ? 0 : BATCH_ITEMS - t->open->count) + t->spare_count * BATCH_ITEMS <
           n) {
        if (add_spare(t) != OK) {
            return ERR_NOMEM;
        }
    }
    return OK;
}

static void count_bytes(struct thread *t, size_t more, size_t less)
{
    size_t bytes = atomic_load_explicit(&t->retired_bytes, memory_order_relaxed);

    atomic_store_explicit(&t->retired_bytes, bytes + more - less, memory_order_relaxed);
}

static void add_item(void *block, size_t bytes, rcu_free_fn fn)
{
    struct thread *t = self;
    struct retired *r = t->open;

    assert(r != NULL); /* rcu_reserve() was called */
    r->items[r->count++] = (struct item){block, bytes, fn};
    r->bytes += bytes;
    count_bytes(t, bytes, 0);
    /* Never before it is full: it would take places along that were reserved. */
    if (r->count == BATCH_ITEMS) {
        close_batch(t);
    }
}

void rcu_retire(void *block, size_t bytes)
{
    add_item(block, bytes, NULL);
}

void rcu_retire_object(void *object, size_t bytes, rcu_free_fn fn)
{
    add_item(object, bytes, fn);
}

/* True when the batch is empty. */
static bool free_some(struct retired *r, size_t *budget)
{
    while (r->freed<r->count && * budget> 0) {
        struct item *i = &r->items[r->freed];

        if (i->fn == NULL) {
            mem_free(i->block, i->bytes);
            --*budget;
        } else if (!i->fn(i->block, budget)) {
            return false;
        }
        r->freed++;
    }
    return r->freed == r->count;
}

static void free_slice(struct thread *t, size_t budget)
{
    while (t->freeing.first != NULL && budget > 0) {
        struct retired *r = t->freeing.first;

        if (!free_some(r, &budget)) {
            return;
        }
        (void)queue_take(&t->freeing);
        count_bytes(t, 0, r->bytes);
        if (t->spare_count < 2) {
            r->count = r->freed = 0;
            r->bytes = 0;
            r->next = t->spare;
            t->spare = r;
            t->spare_count++;
        } else {
            mem_free(r, sizeof(*r));
        }
    }
}

/* While a batch waits the next one fills, so that small ones do not pile up. */
static bool is_to_close(const struct thread *t)
{
    return t->open != NULL && t->open->count > 0 &&
           (t->waiting.first == NULL || t->open->bytes >= BATCH_BYTES);
}

void rcu_turn(void)
{
    struct thread *t = self;

    collect(t);
    if (is_to_close(t)) {
        close_batch(t);
    }
    be_quiescent(t);
    collect(t);
    if (t->freeing.first != NULL) {
        /* More when it piles up, so that freeing keeps pace with retiring. */
        free_slice(t, FREE_SLICE + (t->freeing.first->next != NULL ? BATCH_ITEMS * 4 : 0));
    }
}

bool rcu_is_due(void)
{
    const struct retired *r = self->open;

    return r != NULL && (r->count >= DUE_ITEMS || r->bytes >= DUE_BYTES);
}

size_t rcu_retired_bytes(void)
{
    return atomic_load_explicit(&self->retired_bytes, memory_order_relaxed);
}

size_t rcu_retired_bytes_total(void)
{
    const struct thread *t = atomic_load_explicit(&threads, memory_order_acquire);
    size_t sum = 0;

    for (; t != NULL; t = t->next) {
        sum += atomic_load_explicit(&t->retired_bytes, memory_order_relaxed);
    }
    return sum;
}

void rcu_drain(void)
{
    struct thread *t = self;

    if (t->open != NULL && t->open->count > 0) {
        close_batch(t);
    }
    rcu_offline();
    urcu_qsbr_synchronize_rcu();
    rcu_online();
    /* Others tell liburcu first, and then us. */
    for (collect(t); t->waiting.first != NULL; collect(t)) {
        sched_yield();
    }
    while (t->freeing.first != NULL) {
        free_slice(t, BATCH_ITEMS);
    }
}

void rcu_unregister(void)
{
    struct thread *t = self;

    rcu_drain();
    while (t->spare != NULL) {
        struct retired *r = t->spare;

        t->spare = r->next;
        mem_free(r, sizeof(*r));
    }
    t->spare_count = 0;
    mem_free(t->open, sizeof(*t->open));
    t->open = NULL;
    rcu_offline();
    urcu_qsbr_unregister_thread();
    /* Release: pairs with the acquire in thread_take(). */
    atomic_store_explicit(&t->taken, false, memory_order_release);
    self = NULL;
}
