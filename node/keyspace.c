#include "node/keyspace.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/worker.h"
#include "edge/session.h"
#include "node/database.h"
#include "node/evict.h"
#include "node/large.h"
#include "node/notify.h"
#include "node/section.h"
#include "node/slices.h"
#include "node/type.h"

#include <assert.h>

enum { READ_SPINS = 200, SAMPLE = 32, RANDOM_TRIES = 128, CURSOR_BITS = 32 };

struct key key_of(struct slice name)
{
    uint16_t slot = hash_slot(name);

    return (struct key){name, hash_key(name), slot, (uint8_t)(slot % PARTITIONS)};
}

bool keyspace_clocked(const struct database *db)
{
    (void)db;
    return evict_uses_clock();
}

/* The moment by which expiry is judged: read after the entry (DESIGN 4.1). */
static int64_t judging_ms(void)
{
    static _Thread_local int64_t stale_ms;
    static _Thread_local uint32_t uses;

    if (!BROKEN(7)) {
        return clock_now_ms();
    }
    if (uses++ % 4096 == 0) {
        stale_ms = clock_now_ms();
    }
    return stale_ms;
}

static enum type_life life_of(const struct cmd *c, const struct entry *e)
{
    if (LIKELY((e->flags & (ENTRY_EXPIRES | ENTRY_FIELDS_EXPIRE)) == 0)) {
        return TYPE_ALIVE;
    }
    const struct type_ops *t = type_ops[e->type];
    bool in_section = c->section != NULL;
    int64_t now_ms = c->in_txn ? section_now_ms(c->section) : judging_ms();

    if (entry_is_expired(e, now_ms)) {
        return TYPE_DEAD;
    }
    return t->life == NULL ? TYPE_ALIVE : t->life(e, now_ms, in_section);
}

/* A read of several keys notes when the first of those that it found alive expires. */
static const struct entry *found_alive(struct cmd *c, const struct entry *e)
{
    if (UNLIKELY((e->flags & ENTRY_EXPIRES) != 0)) {
        int64_t at_ms = entry_expire_at_ms(e);

        if (c->alive_until_ms == 0 || at_ms < c->alive_until_ms) {
            c->alive_until_ms = at_ms;
        }
    }
    return e;
}

/* A lock-free read of one key: section even, look up, section unmoved; else again. */
static const struct entry *find_unlocked(struct cmd *c, const struct key *key)
{
    struct partition *p = database_partition(c->db, key->partition);

    if (p == NULL) {
        return NULL;
    }
    for (int i = 0; i < READ_SPINS; i++) {
        uint32_t section = partition_section(p);

        if (LIKELY((section & 1) == 0)) {
            struct entry *e = table_find(&p->table, key->name, key->hash);
            enum type_life life = e == NULL ? TYPE_DEAD : life_of(c, e);

            if (UNLIKELY(life == TYPE_BUSY)) {
                break;
            }
            if (LIKELY(partition_unmoved(p, section))) {
                return life == TYPE_DEAD ? NULL : found_alive(c, e);
            }
        }
        __builtin_ia32_pause();
    }
    /* Whoever publishes was put off the processor, or is suspended with what the key holds: wait for its
     * lock, off this thread. */
    c->retry = true;
    c->blocked_on = p;
    return NULL;
}

static inline const struct entry *peek(struct cmd *c, const struct key *key)
{
    if (c->section == NULL) {
        return find_unlocked(c, key);
    }
    if ((c->def->flags & (CMD_WRITE | CMD_CACHES)) != 0 || c->in_txn) {
        return section_find(c->section, *key);
    }
    const struct entry *e = section_look(c->section, *key);

    return e == NULL || life_of(c, e) == TYPE_DEAD ? NULL : found_alive(c, e);
}

const struct entry *keyspace_peek(struct cmd *c, struct key key)
{
    return peek(c, &key);
}

const struct entry *keyspace_find(struct cmd *c, struct key key)
{
    const struct entry *e = peek(c, &key);
    struct database_usage *u = database_usage(c->db);

    if (UNLIKELY(c->progress != NULL || slices_running != NULL)) {
        return e; /* a later slice looks again */
    }
    if (e == NULL) {
        database_count(&u->misses, 1);
        /* A write that looks at its key first does not miss it; one that answers its value says so. */
        if (!c->retry && (c->def->flags & CMD_WRITE) == 0) {
            notify(c, NOTIFY_KEY_MISS, "keymiss", key.name);
        }
        return NULL;
    }
    database_count(&u->hits, 1);
    if (UNLIKELY((e->flags & ENTRY_CLOCKED) != 0)) {
        bool may_touch =
            c->session == NULL || !c->session->no_touch || (c->def->flags & CMD_TOUCHES) != 0;

        if (may_touch && worker_self() != NULL) {
            evict_touch(e, &worker_self()->rand);
        }
    }
    return e;
}

/* ---- Writing ---- */

static void log_or_fail(struct cmd *c, int err)
{
    if (err != OK) {
        section_fail(c->section, SECTION_NOMEM);
    }
}

bool keyspace_delete(struct cmd *c, struct key key)
{
    bool was_there = keyspace_drop(c, key);

    if (was_there) {
        notify(c, NOTIFY_GENERIC, "del", key.name);
    }
    return was_there;
}

bool keyspace_drop(struct cmd *c, struct key key)
{
    if (section_find(c->section, key) == NULL) {
        return false;
    }
    log_or_fail(c, change_delete(section_change(c->section), key.name, CHANGE_COMMAND));
    section_remove(c->section, key);
    return true;
}

void keyspace_expire_at(struct cmd *c, struct key key, int64_t at_ms)
{
    const struct entry *e = section_find(c->section, key);

    assert(e != NULL);
    if (at_ms != 0 && at_ms <= section_now_ms(c->section)) {
        (void)keyspace_delete(c, key);
        return;
    }
    struct entry *n = keyspace_entry_with(e, key.name, at_ms);

    if (n == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    log_or_fail(c, change_expire_at(section_change(c->section), key.name, at_ms));
    section_keep_value(c->section, key);
    section_put(c->section, key, n);
    notify(c, NOTIFY_GENERIC, at_ms == 0 ? "persist" : "expire", key.name);
}

void keyspace_flush(struct cmd *c)
{
    log_or_fail(c, change_flush(section_change(c->section)));
    section_flush(c->section);
}

/* ---- The whole database ---- */

uint64_t keyspace_count(struct database *db)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition *p = database_partition(db, i);

        sum += p == NULL ? 0 : table_count(&p->stats);
    }
    return sum;
}

uint64_t keyspace_count_expiring(struct database *db)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition *p = database_partition(db, i);

        sum += p == NULL ? 0 : table_count_expiring(&p->stats);
    }
    return sum;
}

int64_t keyspace_mean_ttl_ms(struct database *db)
{
    double sum_ms = 0, count = 0, now_ms = (double)clock_now_ms();

    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition *p = database_partition(db, i);
        int64_t mean_ms =
            p == NULL ? 0 : atomic_load_explicit(&p->mean_expiry_ms, memory_order_relaxed);

        if (mean_ms != 0) {
            double n = (double)table_count_expiring(&p->stats);

            sum_ms += n * ((double)mean_ms - now_ms);
            count += n;
        }
    }
    return count > 0 && sum_ms > 0 ? (int64_t)(sum_ms / count) : 0;
}

struct scan {
    const struct cmd *c;
    keyspace_scan_fn fn;
    void *arg;
    size_t seen;
};

static void scan_entry(struct entry *found, void *arg)
{
    struct scan *s = arg;
    struct section *section = s->c->section;
    const struct entry *e =
        section == NULL ? found : section_look(section, key_of(entry_key(found)));

    s->seen++;
    if (e != NULL && life_of(s->c, e) != TYPE_DEAD) {
        s->fn(e, s->arg);
    }
}

/* What the section that asks has made, and no table has. */
static void scan_new(const struct cmd *c, keyspace_scan_fn fn, void *arg)
{
    const struct entry *e;
    uint32_t at = 0;

    while (c->section != NULL && (e = section_next_new(c->section, &at)) != NULL) {
        if (life_of(c, e) != TYPE_DEAD) {
            fn(e, arg);
        }
    }
}

uint64_t keyspace_scan(struct cmd *c, uint64_t cursor, size_t want, keyspace_scan_fn fn, void *arg)
{
    struct scan s = {c, fn, arg, 0};
    bool flushed = c->section != NULL && section_is_flushed(c->section);
    uint64_t part = flushed ? PARTITIONS : cursor >> CURSOR_BITS;
    uint64_t at = cursor & UINT32_MAX;

    for (; part < PARTITIONS; part++) {
        const struct partition *p = database_partition(c->db, (unsigned)part);

        do {
            size_t before = s.seen;

            at = p == NULL ? 0 : table_scan(&p->table, at, want - s.seen, scan_entry, &s);
            if (at != 0 && (s.seen >= want || s.seen == before)) {
                return part << CURSOR_BITS | at;
            }
        } while (at != 0);
        if (s.seen >= want && part + 1 < PARTITIONS) {
            return (part + 1) << CURSOR_BITS;
        }
    }
    scan_new(c, fn, arg);
    return 0;
}

uint64_t keyspace_count_seen(const struct cmd *c)
{
    if (c->section == NULL) {
        return keyspace_count(c->db);
    }
    int64_t in_tables = section_is_flushed(c->section) ? 0 : (int64_t)keyspace_count(c->db);

    return (uint64_t)(in_tables + section_added(c->section));
}

/* A partition drawn by how many keys it has, NULL if there is none. */
static struct partition *random_partition(struct database *db, struct rand *r)
{
    uint64_t count = keyspace_count(db);

    if (count == 0) {
        return NULL;
    }
    uint64_t at = rand_below(r, count);

    for (unsigned i = 0; i < PARTITIONS; i++) {
        struct partition *p = database_partition(db, i);
        uint64_t n = p == NULL ? 0 : table_count(&p->stats);

        if (at < n) {
            return p;
        }
        at -= n;
    }
    return NULL;
}

static const struct entry *random_in_tables(struct cmd *c, struct rand *r)
{
    struct entry *some[SAMPLE];
    struct partition *p = random_partition(c->db, r);
    struct entry *e = p == NULL ? NULL : table_random(&p->table, r);

    if (p != NULL && e == NULL) {
        size_t n = table_sample(&p->table, r, some, SAMPLE);

        e = n == 0 ? NULL : some[rand_below(r, n)];
    }
    return e;
}

/* One of those that the section has made. */
static const struct entry *random_new(const struct section *s, uint64_t index)
{
    const struct entry *e;
    uint32_t at = 0;

    do {
        e = section_next_new(s, &at);
    } while (e != NULL && index-- > 0);
    return e;
}

static uint64_t count_new(const struct section *s)
{
    uint64_t n = 0;
    uint32_t at = 0;

    while (s != NULL && section_next_new(s, &at) != NULL) {
        n++;
    }
    return n;
}

const struct entry *keyspace_random(struct cmd *c)
{
    struct rand local = {(uint64_t)clock_mono_ns()};
    struct rand *r = worker_self() == NULL ? &local : &worker_self()->rand;
    uint64_t added = count_new(c->section);
    bool flushed = c->section != NULL && section_is_flushed(c->section);
    uint64_t all = added + (flushed ? 0 : keyspace_count(c->db));

    for (int i = 0; i < RANDOM_TRIES && all > 0; i++) {
        const struct entry *e = rand_below(r, all) < added
                                    ? random_new(c->section, rand_below(r, added))
                                    : random_in_tables(c, r);

        if (e != NULL && c->section != NULL) {
            e = section_look(c->section, key_of(entry_key(e)));
        }
        if (e != NULL && life_of(c, e) != TYPE_DEAD) {
            return e;
        }
    }
    return NULL;
}

size_t keyspace_bytes(const struct entry *e)
{
    return type_bytes(e);
}

const char *keyspace_encoding(const struct entry *e)
{
    return type_ops[e->type]->encoding(e);
}

const char *keyspace_type(const struct entry *e)
{
    return type_ops[e->type]->name;
}
