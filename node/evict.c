#include "node/evict.h"

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/worker.h"
#include "edge/backend.h"
#include "node/block.h"
#include "node/database.h"
#include "node/entry.h"
#include "node/exec.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/options.h"
#include "node/section.h"

enum {
    STEPS = 64, /* keys removed at most for one command: bounded, and more than one adds */
    SAMPLES_MAX = 64,
    LFU_FIRST = 5,    /* Redis: a new key is not the first to go */
    BUCKETS = 32,     /* looked at for keys with an expiry */
    WEIGH_EVERY = 64, /* draws: so few do not change what is where */
    FAR_BYTES = 16 << 20
};

enum evict_policy evict_policy(void)
{
    return (enum evict_policy)conf_enum(&opt_maxmemory_policy);
}

bool evict_is_lfu(void)
{
    enum evict_policy p = evict_policy();

    return p == EVICT_ALL_LFU || p == EVICT_VOLATILE_LFU;
}

bool evict_uses_clock(void)
{
    enum evict_policy p = evict_policy();

    return p == EVICT_ALL_LRU || p == EVICT_VOLATILE_LRU || p == EVICT_ALL_LFU ||
           p == EVICT_VOLATILE_LFU;
}

/* ---- Clock words ---- */

static uint32_t second_now(void)
{
    return (uint32_t)(clock_now_ms() / 1000);
}

static uint32_t minute_now(void)
{
    return (uint32_t)(clock_now_ms() / 60000) & 0xffff;
}

/* The counter of an lfu word after what it lost since its minute. */
static uint32_t lfu_decayed(uint32_t word)
{
    uint64_t decay = conf_u64(&opt_lfu_decay_time);
    uint32_t passed = (minute_now() - (word >> 16)) & 0xffff;
    uint64_t lost = decay == 0 ? 0 : passed / decay;
    uint32_t counter = word & 0xff;

    return lost >= counter ? 0 : counter - (uint32_t)lost;
}

/* Redis' logarithm: the likelier to rise the lower it is. */
static uint32_t lfu_raised(uint32_t counter, struct rand *r)
{
    uint64_t factor = conf_u64(&opt_lfu_log_factor);
    uint64_t base = counter > LFU_FIRST ? counter - LFU_FIRST : 0;

    bool stays = counter == 255 || rand_below(r, base * factor + 1) != 0;

    return counter + (stays ? 0 : 1);
}

void evict_touch(const struct entry *e, struct rand *r)
{
    _Atomic uint32_t *clock = entry_clock(e);

    if (clock == NULL) {
        return;
    }
    uint32_t was = atomic_load_explicit(clock, memory_order_relaxed);
    uint32_t is =
        evict_is_lfu() ? minute_now() << 16 | lfu_raised(lfu_decayed(was), r) : second_now();

    if (is != was) {
        /* Relaxed: an estimate that orders nothing; two readers may lose a count. */
        atomic_store_explicit(clock, is, memory_order_relaxed);
    }
}

void evict_first_touch(struct entry *e, const struct entry *old)
{
    _Atomic uint32_t *clock = entry_clock(e);
    _Atomic uint32_t *before = old == NULL ? NULL : entry_clock(old);
    uint32_t first = second_now();

    if (clock == NULL || atomic_load_explicit(clock, memory_order_relaxed) != 0) {
        return;
    }
    if (evict_is_lfu()) {
        first = before != NULL ? atomic_load_explicit(before, memory_order_relaxed)
                               : minute_now() << 16 | LFU_FIRST;
    }
    atomic_store_explicit(clock, first, memory_order_relaxed);
}

int64_t evict_idle_seconds(const struct entry *e)
{
    _Atomic uint32_t *clock = entry_clock(e);

    if (clock == NULL) {
        return -1;
    }
    uint32_t was = atomic_load_explicit(clock, memory_order_relaxed);
    uint32_t now = second_now();

    return now > was ? (int64_t)(now - was) : 0;
}

int64_t evict_frequency(const struct entry *e)
{
    _Atomic uint32_t *clock = entry_clock(e);

    return clock == NULL ? -1
                         : (int64_t)lfu_decayed(atomic_load_explicit(clock, memory_order_relaxed));
}

void evict_set_idle(struct entry *e, int64_t seconds)
{
    _Atomic uint32_t *clock = entry_clock(e);

    if (clock != NULL) {
        uint32_t now = second_now();

        atomic_store_explicit(clock, seconds >= now ? 1 : now - (uint32_t)seconds,
                              memory_order_relaxed);
    }
}

void evict_set_frequency(struct entry *e, uint8_t frequency)
{
    _Atomic uint32_t *clock = entry_clock(e);

    if (clock != NULL) {
        atomic_store_explicit(clock, minute_now() << 16 | frequency, memory_order_relaxed);
    }
}

/* ---- Making room ---- */

bool evict_is_over(const struct database *db)
{
    uint64_t all = conf_u64(&opt_maxmemory);
    uint64_t own = atomic_load_explicit(&db->maxmemory, memory_order_relaxed);

    return (all != 0 && database_used_by_all() > (int64_t)all) ||
           (own != 0 && database_used(db) > (int64_t)own);
}

static bool is_far(uint64_t max, int64_t used, uint64_t more)
{
    uint64_t slack = max / 8 > FAR_BYTES ? max / 8 : FAR_BYTES;

    return max != 0 && more > slack && used + (int64_t)more > (int64_t)(max + slack);
}

bool evict_is_far_over(const struct database *db, uint64_t more)
{
    if (LIKELY(more <= FAR_BYTES)) {
        return false;
    }
    return is_far(conf_u64(&opt_maxmemory), database_used_by_all(), more) ||
           is_far(atomic_load_explicit(&db->maxmemory, memory_order_relaxed), database_used(db),
                  more);
}

static bool is_volatile_only(enum evict_policy p)
{
    return p >= EVICT_VOLATILE_LRU;
}

/* The higher, the sooner it goes. */
static uint64_t rank(const struct entry *e, enum evict_policy p, struct rand *r)
{
    _Atomic uint32_t *clock = entry_clock(e);
    uint32_t word = clock == NULL ? 0 : atomic_load_explicit(clock, memory_order_relaxed);

    switch (p) {
    case EVICT_ALL_LRU:
    case EVICT_VOLATILE_LRU:
        return UINT32_MAX - word;
    case EVICT_ALL_LFU:
    case EVICT_VOLATILE_LFU:
        return 255 - lfu_decayed(word);
    case EVICT_VOLATILE_TTL:
        return UINT64_MAX - (uint64_t)entry_expire_at_ms(e);
    case EVICT_NONE:
    case EVICT_ALL_RANDOM:
    case EVICT_VOLATILE_RANDOM:
        return rand_next(r);
    }
    return 0;
}

struct candidates {
    struct entry *v[SAMPLES_MAX];
    size_t n, want;
};

static void candidate(struct entry *e, void *arg)
{
    struct candidates *c = arg;

    if (c->n < c->want && (e->flags & ENTRY_EXPIRES) != 0) {
        c->v[c->n++] = e;
    }
}

static void sample_volatile(const struct table *t, struct rand *r, struct candidates *c)
{
    uint64_t at = rand_next(r) >> 32;

    for (int i = 0; i < 8 && c->n == 0; i++) {
        at = table_scan_expiring(t, at, BUCKETS, candidate, c);
    }
}

/* How many keys of each partition and those before it may go; each thread looks by itself. */
struct weights {
    const struct database *db; /* only compared */
    bool is_volatile_only;
    uint32_t draws;
    uint64_t upto[PARTITIONS];
};

static void weigh(struct weights *w, const struct database *db, bool volatile_only)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition *p = database_partition(db, i);

        if (p != NULL) {
            sum += volatile_only ? table_count_expiring(&p->stats) : table_count(&p->stats);
        }
        w->upto[i] = sum;
    }
    w->db = db;
    w->is_volatile_only = volatile_only;
    w->draws = 0;
}

/* A partition, drawn by how many of its keys may go: every key is as likely to be looked at, however
 * many share a tag. */
static unsigned draw_partition(const struct database *db, struct rand *r, bool volatile_only)
{
    static _Thread_local struct weights w;

    if (w.db != db || w.is_volatile_only != volatile_only || ++w.draws >= WEIGH_EVERY) {
        weigh(&w, db, volatile_only);
    }
    uint64_t all = w.upto[PARTITIONS - 1];
    uint64_t at = all == 0 ? 0 : rand_below(r, all);
    unsigned i = 0;

    while (i < PARTITIONS - 1 && w.upto[i] <= at) {
        i++;
    }
    return i;
}

/* The best of a sample, from a partition drawn by chance; NULL if there is none that may go, but for those
 * in partitions that are busy. */
static struct entry *choose(struct database *db, struct rand *r, unsigned *partition,
                            bool *any_busy)
{
    enum evict_policy policy = evict_policy();
    struct candidates c = {.n = 0, .want = conf_u64(&opt_maxmemory_samples)};
    struct entry *best = NULL;
    uint64_t highest = 0;
    unsigned first = draw_partition(db, r, is_volatile_only(policy));

    for (unsigned i = 0; i < PARTITIONS && c.n == 0; i++) {
        const struct partition *p = database_partition(db, (first + i) % PARTITIONS);

        if (p == NULL || table_count(&p->stats) == 0) {
            continue;
        }
        if (UNLIKELY(partition_is_busy(p))) {
            *any_busy = true;
            continue;
        }
        *partition = p->index;
        if (is_volatile_only(policy)) {
            sample_volatile(&p->table, r, &c);
        } else {
            c.n = table_sample(&p->table, r, c.v, c.want);
        }
    }
    for (size_t i = 0; i < c.n; i++) {
        uint64_t n = rank(c.v[i], policy, r);

        if (best == NULL || n > highest) {
            best = c.v[i];
            highest = n;
        }
    }
    return best;
}

/* False: it is locked, the log is full, or it is gone. */
static bool evict_one(struct exec *x, struct database *db, const struct entry *e,
                      unsigned partition)
{
    struct section *s = x->section;
    struct key key = key_of(entry_key(e));
    struct partition *held;
    uint64_t seq;

    if (section_reserve(s) != OK ||
        section_begin(s, db, (uint64_t)1 << partition, false, &held) != OK) {
        return false;
    }
    if (section_find(s, key) != NULL) {
        if (change_delete(section_change(s), key.name, CHANGE_EVICTED) != OK) {
            section_fail(s, SECTION_NOMEM);
        }
        section_remove(s, key);
        notify_in(s, NOTIFY_EVICTED, "evicted", key.name);
        database_count(&database_usage(db)->evicted, 1);
    }
    bool done = section_commit(s, &seq) == SECTION_COMMITTED;

    block_poke(section_take_ready(s));
    return done;
}

bool evict_make_room(struct exec *x, struct database *db)
{
    struct rand *r = &x->worker->rand;

    if (evict_policy() == EVICT_NONE) {
        return false;
    }
    for (int i = 0; i < STEPS && evict_is_over(db); i++) {
        unsigned partition = 0;
        bool any_busy = false;
        struct entry *e = choose(db, r, &partition, &any_busy);

        if (e == NULL) {
            return any_busy;
        }
        (void)evict_one(x, db, e, partition);
    }
    /* What is still over is the next writer's work: a slack, not a refusal, as long as keys can go. */
    return true;
}
