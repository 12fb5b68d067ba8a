#include "base/rcu.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <urcu/urcu-qsbr.h>

enum {
    BATCH_ITEMS = 509,     /* fits 16 KiB with its header */
    BATCH_BYTES = 1 << 20, /* a batch of large blocks leaves earlier */
    TURNS_MAX = 64,        /* and one that does not fill leaves after so many turns */
    FREE_SLICE = 256       /* blocks freed a turn, and more when many wait */
};

struct item {
    void *block;
    size_t bytes;
    rcu_free_fn fn; /* NULL: mem_free(block, bytes) */
};

struct retired {
    struct rcu_head head;
    struct retired *next;
    struct thread *owner;
    uint32_t count;
    uint32_t freed;
    size_t bytes;
    struct item items[BATCH_ITEMS];
};

/* What a registered thread keeps. `back` is a stack that the callback thread pushes to. */
struct thread {
    struct retired *open;  /* being filled */
    struct retired *spare; /* list, empty batches */
    size_t spare_count;
    struct retired *freeing; /* list, came back */
    _Atomic(struct retired *) back;
    _Atomic size_t retired_bytes;
    uint32_t turns;
    uint32_t out; /* batches that wait for a grace period */
};

static _Thread_local struct thread *self;
static _Atomic size_t retired_total;

/* liburcu's ordering is invisible to ThreadSanitizer (0.13): these say it. */
#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#ifdef TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
static char grace_tag;
/* What the library allocates and frees between its own threads. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:liburcu-qsbr.so\n";
}
#define SAY_RELEASE() __tsan_release(&grace_tag)
#define SAY_ACQUIRE() __tsan_acquire(&grace_tag)
#else
#define SAY_RELEASE() ((void)0)
#define SAY_ACQUIRE() ((void)0)
#endif

void rcu_register(void)
{
    assert(self == NULL);
    self = mem_must(sizeof(*self));
    self->open = mem_must(sizeof(*self->open));
    self->open->owner = self;
    urcu_qsbr_register_thread();
}

void rcu_online(void)
{
    urcu_qsbr_thread_online();
    SAY_ACQUIRE();
}

void rcu_offline(void)
{
    SAY_RELEASE();
    urcu_qsbr_thread_offline();
}

/* RCU callback: every reader has passed a quiescent state since the batch was closed. */
static void on_grace(struct rcu_head *head)
{
    SAY_ACQUIRE();
    struct retired *r = caa_container_of(head, struct retired, head);
    struct thread *t = r->owner;

    r->next = atomic_load_explicit(&t->back, memory_order_relaxed);
    /* Release: pairs with the exchange in take_back(). */
    while (!atomic_compare_exchange_weak_explicit(&t->back, &r->next, r, memory_order_release,
                                                  memory_order_relaxed)) {
    }
}

static void close_batch(struct thread *t)
{
    struct retired *r = t->open;

    if (t->spare != NULL) {
        t->open = t->spare;
        t->spare = t->spare->next;
        t->spare_count--;
    } else {
        t->open = NULL;
    }
    t->turns = 0;
    t->out++;
    SAY_RELEASE();
    urcu_qsbr_call_rcu(&r->head, on_grace);
}

static int add_spare(struct thread *t)
{
    struct retired *r = mem_alloc(sizeof(*r));

    if (r == NULL) {
        return ERR_NOMEM;
    }
    r->owner = t;
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

static void add_item(void *block, size_t bytes, rcu_free_fn fn)
{
    struct thread *t = self;
    struct retired *r = t->open;

    assert(r != NULL); /* rcu_reserve() was called */
    r->items[r->count++] = (struct item){block, bytes, fn};
    r->bytes += bytes;
    atomic_store_explicit(&t->retired_bytes,
                          atomic_load_explicit(&t->retired_bytes, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
    /* One that leaves before it is full takes places along that were reserved: only if others come for
     * them. Else a section that retired a megabyte would, without memory, find none after its append. */
    if (r->count == BATCH_ITEMS || (r->bytes >= BATCH_BYTES && add_spare(t) == OK)) {
        atomic_fetch_add_explicit(&retired_total, r->bytes, memory_order_relaxed);
        close_batch(t);
        if (t->open == NULL) {
            (void)add_spare(t); /* else the next rcu_reserve() tries again */
        }
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

static void take_back(struct thread *t)
{
    struct retired *r = atomic_load_explicit(&t->back, memory_order_relaxed);

    if (r == NULL) {
        return;
    }
    r = atomic_exchange_explicit(&t->back, NULL, memory_order_acquire);
    while (r != NULL) {
        struct retired *next = r->next;

        atomic_fetch_sub_explicit(&retired_total, r->bytes, memory_order_relaxed);
        r->next = t->freeing;
        t->freeing = r;
        t->out--;
        r = next;
    }
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
    while (t->freeing != NULL && budget > 0) {
        struct retired *r = t->freeing;

        if (!free_some(r, &budget)) {
            return;
        }
        t->freeing = r->next;
        atomic_store_explicit(&t->retired_bytes,
                              atomic_load_explicit(&t->retired_bytes, memory_order_relaxed) -
                                  r->bytes,
                              memory_order_relaxed);
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

void rcu_turn(void)
{
    struct thread *t = self;

    SAY_RELEASE();
    urcu_qsbr_quiescent_state();
    if (t->open != NULL && t->open->count > 0 && ++t->turns >= TURNS_MAX) {
        atomic_fetch_add_explicit(&retired_total, t->open->bytes, memory_order_relaxed);
        close_batch(t);
        if (t->open == NULL) {
            (void)add_spare(t);
        }
    }
    take_back(t);
    if (t->freeing != NULL) {
        /* More when it piles up, so that freeing keeps pace with retiring. */
        free_slice(t, FREE_SLICE + (t->freeing->next != NULL ? BATCH_ITEMS * 4 : 0));
    }
}

bool rcu_is_waiting(void)
{
    return self->out > 0;
}

size_t rcu_retired_bytes(void)
{
    return atomic_load_explicit(&self->retired_bytes, memory_order_relaxed);
}

size_t rcu_retired_bytes_total(void)
{
    return atomic_load_explicit(&retired_total, memory_order_relaxed);
}

void rcu_drain(void)
{
    struct thread *t = self;

    if (t->open != NULL && t->open->count > 0) {
        atomic_fetch_add_explicit(&retired_total, t->open->bytes, memory_order_relaxed);
        close_batch(t);
    }
    rcu_offline();
    urcu_qsbr_barrier();
    rcu_online();
    take_back(t);
    assert(t->out == 0);
    while (t->freeing != NULL) {
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
    mem_free(t->open, sizeof(*t->open));
    urcu_qsbr_unregister_thread();
    mem_free(t, sizeof(*t));
    self = NULL;
}
