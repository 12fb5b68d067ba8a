#include "node/keyspace.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/worker.h"
#include "edge/session.h"
#include "node/database.h"
#include "node/evict.h"
#include "node/notify.h"
#include "node/section.h"
#include "node/type.h"

#include <assert.h>

enum { READ_SPINS = 200, SAMPLE = 32, RANDOM_TRIES = 128, CURSOR_BITS = 32 };

struct key key_of(struct slice name)
{
    uint16_t slot = hash_slot(name);

    return (struct key){name, hash_key(name), slot, (uint8_t)(slot % PARTITIONS)};
}

struct key cmd_key(const struct cmd *c, uint32_t index)
{
    struct slice name = c->argv[index];

    return c->key.name.ptr == name.ptr && c->key.name.ptr != NULL ? c->key : key_of(name);
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

static bool is_gone(const struct entry *e, bool in_section)
{
    if (LIKELY((e->flags & (ENTRY_EXPIRES | ENTRY_FIELDS_EXPIRE)) == 0)) {
        return false;
    }
    const struct type_ops *t = type_ops[e->type];
    int64_t now_ms = judging_ms();

    return entry_is_expired(e, now_ms) || (t->is_dead != NULL && t->is_dead(e, now_ms, in_section));
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
            bool gone = e != NULL && is_gone(e, false);

            if (LIKELY(partition_unmoved(p, section))) {
                return e == NULL || gone ? NULL : found_alive(c, e);
            }
        }
        __builtin_ia32_pause();
    }
    /* Whoever publishes was put off the processor: wait for its lock, off this thread. */
    c->retry = true;
    c->blocked_on = p;
    return NULL;
}

const struct entry *keyspace_peek(struct cmd *c, struct key key)
{
    if (c->section == NULL) {
        return find_unlocked(c, &key);
    }
    if ((c->def->flags & CMD_WRITE) != 0) {
        return section_find(c->section, key);
    }
    const struct entry *e = section_look(c->section, key);

    return e == NULL || is_gone(e, true) ? NULL : found_alive(c, e);
}

const struct entry *keyspace_find(struct cmd *c, struct key key)
{
    const struct entry *e = keyspace_peek(c, key);
    struct database_usage *u = database_usage(c->db);

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

/* The same value under another key or with another expiry; what the payload points to is shared. */
static struct entry *entry_with(const struct entry *e, struct slice key, int64_t expire_at_ms)
{
    struct slice payload = entry_payload(e);
    struct entry *n = entry_create(&(struct entry_spec){
        .type = e->type,
        .encoding = e->encoding,
        .key = key,
        .payload_len = payload.len,
        .expire_at_ms = expire_at_ms,
        .clocked = evict_uses_clock(),
    });

    if (n != NULL) {
        n->flags |= e->flags & ENTRY_FIELDS_EXPIRE;
        if (payload.len > 0) {
            memcpy(entry_payload_ptr(n), payload.ptr, payload.len);
        }
        _Atomic uint32_t *from = entry_clock(e);
        _Atomic uint32_t *to = entry_clock(n);

        if (from != NULL && to != NULL) {
            atomic_store_explicit(to, atomic_load_explicit(from, memory_order_relaxed),
                                  memory_order_relaxed);
        }
    }
    return n;
}

void keyspace_expire_at(struct cmd *c, struct key key, int64_t at_ms)
{
    const struct entry *e = section_find(c->section, key);

    assert(e != NULL);
    if (at_ms != 0 && at_ms <= section_now_ms(c->section)) {
        (void)keyspace_delete(c, key);
        return;
    }
    struct entry *n = entry_with(e, key.name, at_ms);

    if (n == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    log_or_fail(c, change_expire_at(section_change(c->section), key.name, at_ms));
    section_keep_value(c->section, key);
    section_put(c->section, key, n);
    notify(c, NOTIFY_GENERIC, at_ms == 0 ? "persist" : "expire", key.name);
}

void keyspace_rename(struct cmd *c, struct key from, struct key to)
{
    struct entry *e = section_find(c->section, from);
    struct change_writer *w = section_change(c->section);

    assert(e != NULL);
    bool replaces = section_find(c->section, to) != NULL; /* removes an expired one as such */
    struct entry *n = entry_with(e, to.name, entry_expire_at_ms(e));

    if (n == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    log_or_fail(c, type_log(w, to.name, n));
    log_or_fail(c, change_delete(w, from.name, CHANGE_COMMAND));
    section_keep_value(c->section, from);
    section_put(c->section, to, n);
    section_remove(c->section, from);
    if (replaces) { /* else section_put() has said it */
        notify(c, NOTIFY_NEW, "new", to.name);
    }
    notify(c, NOTIFY_GENERIC, "rename_from", from.name);
    notify(c, NOTIFY_GENERIC, "rename_to", to.name);
}

/* Of the value, not of the entry: a section that fails may have freed the entry's block before. */
static void free_value_now(void *object, void *type)
{
    const struct type_ops *t = type;
    size_t budget = SIZE_MAX;

    (void)t->free_value(object, &budget);
}

void keyspace_copy(struct cmd *c, struct key from, struct key to)
{
    struct entry *e = section_find(c->section, from);

    assert(e != NULL);
    bool replaces = section_find(c->section, to) != NULL;
    struct entry *n =
        type_ops[e->type]->copy(e, to.name, entry_expire_at_ms(e), evict_uses_clock());

    if (n == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    const struct type_ops *t = type_ops[n->type];
    void *object = t->object(n);

    if (object != NULL) {
        section_on_abort(c->section, free_value_now, object, (void *)(uintptr_t)t);
    }
    if (section_has_failed(c->section)) {
        entry_free(n); /* its value goes, or went, with the abort */
        return;
    }
    log_or_fail(c, type_log(section_change(c->section), to.name, n));
    section_put(c->section, to, n);
    if (replaces) {
        notify(c, NOTIFY_NEW, "new", to.name);
    }
    notify(c, NOTIFY_GENERIC, "copy_to", to.name);
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

struct scan {
    keyspace_scan_fn fn;
    void *arg;
    size_t seen;
    bool in_section;
};

static void scan_entry(struct entry *e, void *arg)
{
    struct scan *s = arg;

    s->seen++;
    if (!is_gone(e, s->in_section)) {
        s->fn(e, s->arg);
    }
}

uint64_t keyspace_scan(struct cmd *c, uint64_t cursor, size_t want, keyspace_scan_fn fn, void *arg)
{
    struct scan s = {fn, arg, 0, c->section != NULL};
    uint64_t part = cursor >> CURSOR_BITS;
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
    return 0;
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

const struct entry *keyspace_random(struct cmd *c)
{
    struct rand local = {(uint64_t)clock_mono_ns()};
    struct rand *r = worker_self() == NULL ? &local : &worker_self()->rand;

    for (int i = 0; i < RANDOM_TRIES; i++) {
        struct entry *some[SAMPLE];
        struct partition *p = random_partition(c->db, r);
        struct entry *e = p == NULL ? NULL : table_random(&p->table, r);

        if (p != NULL && e == NULL) {
            size_t n = table_sample(&p->table, r, some, SAMPLE);

            e = n == 0 ? NULL : some[rand_below(r, n)];
        }

        if (e != NULL && !is_gone(e, c->section != NULL)) {
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
