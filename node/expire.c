#include "node/expire.h"

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/worker.h"
#include "node/block.h"
#include "node/database.h"
#include "node/keyspace.h"
#include "node/node.h"
#include "node/notify.h"
#include "node/options.h"
#include "node/script.h"
#include "node/section.h"
#include "node/type_hash.h"

enum {
    TICK_MS = 100,
    BUSY_TICK_MS = 10,
    SLICE_BUCKETS = 64,
    SLICE_KEYS = 256,
    SLICE_FIELDS = 64,
    TICK_US_PER_EFFORT = 1000
};

struct janitor {
    struct node *node;
    struct worker *worker;
    struct worker_timer timer;
    struct database *db; /* being swept */
    unsigned partition;
    bool found; /* in this tick */
    /* Of the keys with an expiry that this sweep of the partition has seen. */
    double expiry_sum_ms;
    uint64_t expiry_count;
};

struct due {
    struct janitor *janitor;
    struct key keys[SLICE_KEYS];
    size_t n;
    int64_t now_ms;
};

static void find_due(struct entry *e, void *arg)
{
    struct due *d = arg;
    bool is_due = entry_is_expired(e, d->now_ms) ||
                  ((e->flags & ENTRY_FIELDS_EXPIRE) != 0 && hash_next_expiry(e) != 0 &&
                   hash_next_expiry(e) <= d->now_ms);

    if (is_due && d->n < SLICE_KEYS) {
        d->keys[d->n++] = key_of(entry_key(e));
    }
    if (!is_due && (e->flags & ENTRY_EXPIRES) != 0) {
        d->janitor->expiry_sum_ms += (double)entry_expire_at_ms(e);
        d->janitor->expiry_count++;
    }
}

static void tell_expired(struct section *s, struct key key, size_t fields)
{
    if (fields > 0) {
        notify_in(s, NOTIFY_HASH, "hexpired", key.name);
        if (section_look(s, key) == NULL) {
            notify_in(s, NOTIFY_GENERIC, "del", key.name);
        }
    }
}

/* One change removes what is due. */
static void remove_due(struct janitor *j, struct partition *p, struct due *d)
{
    static const struct cmd_def row = {.name = "EXPIRE-DUE", .flags = CMD_WRITE};
    struct section *s = exec_self(j->node)->section;
    struct cmd c = {.def = &row, .db = j->db, .section = s, .now_ms = d->now_ms};
    struct partition *held;
    uint64_t seq;

    if (section_reserve(s) != OK ||
        section_begin(s, j->db, (uint64_t)1 << p->index, false, &held) != OK) {
        return; /* the next sweep finds them again */
    }
    for (size_t i = 0; i < d->n; i++) {
        /* section_find() removes an expired one as part of the change. */
        struct entry *e = section_find(s, d->keys[i]);

        if (e != NULL && (e->flags & ENTRY_FIELDS_EXPIRE) != 0) {
            tell_expired(s, d->keys[i], hash_expire_due(&c, d->keys[i], SLICE_FIELDS));
        }
    }
    (void)section_commit(s, &seq);
    block_poke(section_take_ready(s));
}

static struct database *next_database(struct janitor *j)
{
    pthread_mutex_lock(&j->node->lock);
    struct list *at = j->db == NULL ? j->node->databases.next : j->db->link.next;

    if (at == &j->node->databases) {
        at = at->next;
    }
    struct database *db = at == &j->node->databases ? NULL : LIST_ITEM(at, struct database, link);

    pthread_mutex_unlock(&j->node->lock);
    return db;
}

/* To the next partition of its own, and the next database after the last. False: once around. */
static bool advance(struct janitor *j, const struct database *began)
{
    j->partition += j->node->exec_count;
    if (j->partition < PARTITIONS) {
        return true;
    }
    j->partition = j->worker->index;
    scripts_rest(j->db->scripts, j->worker->index, clock_now_ms());
    j->db = next_database(j);
    return j->db != began;
}

/* What the sweep of a partition has seen, for INFO's avg_ttl. */
static void tell_mean(struct janitor *j, struct partition *p)
{
    double n = (double)j->expiry_count;

    /* Relaxed: a figure. */
    atomic_store_explicit(&p->mean_expiry_ms, n > 0 ? (int64_t)(j->expiry_sum_ms / n) : 0,
                          memory_order_relaxed);
    j->expiry_sum_ms = 0;
    j->expiry_count = 0;
}

/* False when the sweep has come round. */
static bool sweep_slice(struct janitor *j, const struct database *began)
{
    struct partition *p = database_partition(j->db, j->partition);

    if (p == NULL || table_count_watched(&p->stats) == 0 || partition_is_busy(p)) {
        return advance(j, began);
    }
    struct due d;

    d.janitor = j;
    d.n = 0;
    d.now_ms = clock_now_ms();
    uint64_t at = table_scan_expiring(&p->table, p->expire_cursor, SLICE_BUCKETS, find_due, &d);

    p->expire_cursor = (uint32_t)at;
    if (d.n > 0) {
        j->found = true;
        remove_due(j, p, &d);
    }
    if (at != 0) {
        return true;
    }
    tell_mean(j, p);
    return advance(j, began);
}

static void on_tick(struct worker_timer *t)
{
    struct janitor *j = (struct janitor *)(void *)((char *)t - offsetof(struct janitor, timer));
    int64_t until =
        clock_mono_ns() + (int64_t)conf_u64(&opt_active_expire_effort) * TICK_US_PER_EFFORT * 1000;
    const struct database *began;

    if (j->db == NULL) {
        j->db = next_database(j);
    }
    began = j->db;
    j->found = false;
    while (j->db != NULL && sweep_slice(j, began) && clock_mono_ns() < until) {
    }
    (void)!worker_timer_set(j->worker, t, j->worker->now_ms + (j->found ? BUSY_TICK_MS : TICK_MS));
}

int janitor_start(struct node *n, struct worker *w)
{
    struct janitor *j = mem_zalloc(sizeof(*j));

    if (j == NULL) {
        return ERR_NOMEM;
    }
    j->node = n;
    j->worker = w;
    j->partition = w->index;
    j->timer.on_time = on_tick;
    n->janitors[w->index] = j;
    return worker_timer_set(w, &j->timer, w->now_ms + TICK_MS);
}

void janitor_stop(struct node *n, struct worker *w)
{
    struct janitor *j = n->janitors[w->index];

    if (j != NULL) {
        worker_timer_clear(w, &j->timer);
        mem_free(j, sizeof(*j));
        n->janitors[w->index] = NULL;
    }
}
