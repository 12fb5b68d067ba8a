/* type_hash_write.c - changing hashes, within a section.
 *
 * Each function does its part on the packed or the large form, and writes the operation that says the
 * same to the section's change. A field that was found alive and has an expiry is told to the section,
 * which runs again if the moment passes before it publishes.
 */
#include "node/type_hash.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "node/hash_large.h"
#include "node/hash_packed.h"
#include "node/keyspace.h"
#include "node/options.h"
#include "node/section.h"
#include "node/type.h"

#include <assert.h>

/* Due fields that a write of a large hash removes beside its own: the janitor does the rest. */
enum { DUE_STEP = 16 };

/* ---- Writing: what both forms need ---- */

/* A field found alive that expires at at_ms, or never (0). */
static void rely_on(struct cmd *c, int64_t expire_at_ms)
{
    if (expire_at_ms != 0) {
        section_relies(c->section, expire_at_ms);
    }
}

static void log_put(struct cmd *c, struct key key, const struct hash_field *fields, size_t n)
{
    struct change_writer *w = section_change(c->section);

    if (!type_logged(c->section, change_put_fields_begin(w, key.name, false, 0))) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct hash_field *f = &fields[i];

        if (!type_logged(c->section, change_field(w, f->name, f->value, f->expire_at_ms))) {
            change_drop_open(w);
            return;
        }
    }
    change_put_fields_end(w);
}

/* The operation is begun with the first name, so that removing nothing changes nothing. */
static bool log_removal(struct cmd *c, struct key key, bool *open, struct slice name)
{
    struct change_writer *w = section_change(c->section);

    if (!*open) {
        *open = type_logged(c->section, change_delete_fields_begin(w, key.name));
    }
    return *open && type_logged(c->section, change_delete_fields_name(w, name));
}

static void log_removal_end(struct cmd *c, bool open)
{
    if (open && section_has_failed(c->section)) {
        change_drop_open(section_change(c->section));
    } else if (open) {
        change_delete_fields_end(section_change(c->section));
    }
}

/* ---- Writing: packed ---- */

/* A packed hash taken apart: fields that point into the old block or to the arguments. */
struct parts {
    struct hash_field *v;
    size_t count, cap;
    int64_t now_ms;
    struct hash_field
        few[160]; /* more than a hash of the default size, and most of what is added */
};

/* The live fields, and room for more. False: the section has failed. */
static bool parts_begin(struct parts *p, struct cmd *c, const struct entry *e, size_t more)
{
    struct hash_packed_walk w;
    size_t need = more + (e == NULL ? 0 : hash_packed_total(entry_payload(e)));

    p->v = p->few;
    p->cap = sizeof(p->few) / sizeof(p->few[0]);
    p->count = 0;
    p->now_ms = section_now_ms(c->section);
    if (need > p->cap) {
        p->v = mem_alloc(need * sizeof(p->v[0]));
        p->cap = need;
        if (p->v == NULL) {
            section_fail(c->section, SECTION_NOMEM);
            return false;
        }
    }
    if (e == NULL) {
        return true;
    }
    hash_packed_begin(entry_payload(e), &w);
    while (hash_packed_next(&w, &p->v[p->count])) {
        p->count += !hash_field_is_expired(&p->v[p->count], p->now_ms);
    }
    return true;
}

static void parts_end(struct parts *p)
{
    if (p->v != p->few) {
        mem_free(p->v, p->cap * sizeof(p->v[0]));
    }
}

static struct hash_field *parts_find(struct parts *p, struct slice name)
{
    for (size_t i = 0; i < p->count; i++) {
        if (slice_is(p->v[i].name, name)) {
            return &p->v[i];
        }
    }
    return NULL;
}

/* Gives the fields of the old block that had expired to the log: they are not in the new one. */
static void log_expired(struct cmd *c, struct key key, const struct entry *e, int64_t now_ms)
{
    struct change_writer *w = section_change(c->section);
    struct slice block = entry_payload(e);
    struct hash_packed_walk walk;
    struct hash_field f;

    if (hash_packed_earliest(block) == 0 || hash_packed_earliest(block) > now_ms ||
        !type_logged(c->section, change_delete_fields_begin(w, key.name))) {
        return;
    }
    hash_packed_begin(block, &walk);
    while (hash_packed_next(&walk, &f)) {
        if (hash_field_is_expired(&f, now_ms) &&
            !type_logged(c->section, change_delete_fields_name(w, f.name))) {
            change_drop_open(w);
            return;
        }
    }
    change_delete_fields_end(w);
}

static bool fits_packed(const struct hash_field *added, size_t n, size_t count, size_t bytes)
{
    uint64_t longest = conf_u64(&opt_hash_max_listpack_value);

    if (count > conf_u64(&opt_hash_max_listpack_entries) ||
        bytes > conf_u64(&opt_packed_max_bytes)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (added[i].name.len > longest || added[i].value.len > longest) {
            return false;
        }
    }
    return true;
}

static void store_packed(struct cmd *c, struct key key, const struct entry *old,
                         const struct parts *p)
{
    size_t bytes = hash_packed_bytes(p->v, p->count);
    struct entry *e = type_entry(c, key, old, TYPE_HASH, bytes);

    if (e == NULL) {
        return;
    }
    hash_packed_write(entry_payload_ptr(e), p->v, p->count);
    if (hash_packed_earliest(entry_payload(e)) != 0) {
        e->flags |= ENTRY_FIELDS_EXPIRE;
    }
    section_put(c->section, key, e);
}

static struct entry *entry_of_large(struct cmd *c, struct key key, const struct entry *old,
                                    struct hash_large *l)
{
    struct entry *e = type_entry_of_large(c, key, old, TYPE_HASH, l);

    if (e != NULL) {
        e->flags |= l->heap.count > 0 ? ENTRY_FIELDS_EXPIRE : 0;
    }
    return e;
}

/* A large hash never becomes packed again. */
static void store_large(struct cmd *c, struct key key, const struct entry *old,
                        const struct parts *p)
{
    struct hash_large *l = hash_large_create(c->section);

    if (l == NULL) {
        return;
    }
    for (size_t i = 0; i < p->count; i++) {
        if (hash_large_put(c->section, l, &p->v[i]) != OK) {
            return;
        }
    }
    struct entry *e = entry_of_large(c, key, old, l);

    if (e != NULL) {
        section_put(c->section, key, e);
    }
}

/* ---- Writing: large ---- */

/* Removes up to max fields whose time has come, as one operation; returns how many. */
static size_t remove_due(struct cmd *c, struct key key, struct hash_large *l, size_t max)
{
    int64_t now_ms = section_now_ms(c->section);
    struct entry *due = hash_large_first_due(l, now_ms);
    size_t removed = 0;
    bool open = false;

    for (; due != NULL && removed < max; due = hash_large_first_due(l, now_ms)) {
        if (!log_removal(c, key, &open, entry_key(due)) ||
            hash_large_remove(c->section, l, due) != OK) {
            break;
        }
        removed++;
    }
    log_removal_end(c, open);
    return removed;
}

/* The large hash behind e, held for writing, some of its due fields removed. NULL: failed. */
static struct hash_large *hold_some(struct cmd *c, struct key key, const struct entry *e)
{
    struct hash_large *l = hash_large_of(e);

    if (large_hold(c->section, key, &l->large) != OK) {
        return NULL;
    }
    (void)remove_due(c, key, l, DUE_STEP);
    return section_has_failed(c->section) ? NULL : l;
}

/* The janitor finds the hash by a flag of its entry, so the first field that expires, and the last one
 * that did, mean a new entry for the same hash. */
static void flag_expiring(struct cmd *c, struct key key, const struct entry *e,
                          struct hash_large *l)
{
    bool has = (e->flags & ENTRY_FIELDS_EXPIRE) != 0;

    if (has == (l->heap.count > 0)) {
        return;
    }
    struct entry *now = entry_of_large(c, key, e, l);

    if (now != NULL) {
        section_keep_value(c->section, key);
        section_put(c->section, key, now);
    }
}

/* After removals: the key goes with its last live field. */
static void settle_large(struct cmd *c, struct key key, const struct entry *e, struct hash_large *l,
                         enum change_reason reason)
{
    if (section_has_failed(c->section)) {
        return;
    }
    if (hash_large_count(l, section_now_ms(c->section)) == 0) {
        type_delete(c, key, reason);
    } else {
        flag_expiring(c, key, e, l);
    }
}

/* ---- Putting ---- */

static size_t put_large(struct cmd *c, struct key key, const struct entry *e,
                        struct hash_field *fields, size_t n)
{
    struct hash_large *l = hold_some(c, key, e);
    size_t added = 0;

    if (l == NULL) {
        return 0;
    }
    int64_t now_ms = section_now_ms(c->section);

    for (size_t i = 0; i < n; i++) {
        const struct entry *old = table_find(&l->table, fields[i].name, hash_key(fields[i].name));
        bool is_new = old == NULL || entry_is_expired(old, now_ms);

        rely_on(c, is_new ? 0 : entry_expire_at_ms(old));
        if (fields[i].expire_at_ms == HASH_KEEP_TTL) {
            fields[i].expire_at_ms = is_new ? 0 : entry_expire_at_ms(old);
        }
        added += is_new;
        if (hash_large_put(c->section, l, &fields[i]) != OK) {
            return 0;
        }
    }
    log_put(c, key, fields, n);
    flag_expiring(c, key, e, l);
    return added;
}

/* The commonest write: one field of a hash without expiries. False: not that; nothing was done. */
static bool put_spliced(struct cmd *c, struct key key, const struct entry *e, struct hash_field *f,
                        size_t *added)
{
    struct slice block = entry_payload(e);
    struct hash_packed_cut cut;

    if ((f->expire_at_ms != 0 && f->expire_at_ms != HASH_KEEP_TTL) ||
        !hash_packed_cut(block, f, &cut) ||
        !fits_packed(f, 1, hash_packed_total(block) + cut.is_new,
                     hash_packed_spliced_bytes(block, &cut, f))) {
        return false;
    }
    f->expire_at_ms = 0;
    struct entry *now = type_entry(c, key, e, TYPE_HASH, hash_packed_spliced_bytes(block, &cut, f));

    if (now != NULL) {
        hash_packed_splice(entry_payload_ptr(now), block, &cut, f);
        (void)type_logged(
            c->section, change_put_field(section_change(c->section), key.name, f->name, f->value));
        section_put(c->section, key, now);
    }
    *added = cut.is_new;
    return true;
}

static size_t put_packed(struct cmd *c, struct key key, const struct entry *e,
                         struct hash_field *fields, size_t n)
{
    struct parts p;
    size_t added = 0;

    if (e != NULL && n == 1 && put_spliced(c, key, e, fields, &added)) {
        return added;
    }
    if (!parts_begin(&p, c, e, n)) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        struct hash_field *f = parts_find(&p, fields[i].name);

        if (fields[i].expire_at_ms == HASH_KEEP_TTL) {
            fields[i].expire_at_ms = f == NULL ? 0 : f->expire_at_ms;
        }
        if (f == NULL) {
            f = &p.v[p.count++];
            f->name = fields[i].name;
            added++;
        } else {
            rely_on(c, f->expire_at_ms);
        }
        f->value = fields[i].value;
        f->expire_at_ms = fields[i].expire_at_ms;
    }
    if (e != NULL) {
        log_expired(c, key, e, p.now_ms);
    }
    log_put(c, key, fields, n);
    if (section_has_failed(c->section)) {
        /* nothing was stored */
    } else if (fits_packed(fields, n, p.count, hash_packed_bytes(p.v, p.count))) {
        store_packed(c, key, e, &p);
    } else {
        store_large(c, key, e, &p);
    }
    parts_end(&p);
    return added;
}

/* So many that the hash will be large whatever there is: an empty one first, so that each field costs
 * a look-up and not a walk. */
static const struct entry *begin_large(struct cmd *c, struct key key, const struct entry *e)
{
    struct parts p;

    if (!parts_begin(&p, c, e, 0)) {
        return NULL;
    }
    if (e != NULL) {
        log_expired(c, key, e, p.now_ms);
    }
    store_large(c, key, e, &p);
    parts_end(&p);
    return type_find(c, key, TYPE_HASH);
}

static size_t put_fields(struct cmd *c, struct key key, struct hash_field *fields, size_t n)
{
    const struct entry *e = type_find(c, key, TYPE_HASH);

    if (section_has_failed(c->section)) {
        return 0;
    }
    if ((e == NULL || e->encoding == ENC_PACKED) && n > conf_u64(&opt_hash_max_listpack_entries)) {
        e = begin_large(c, key, e);
        if (e == NULL) {
            return 0;
        }
    }
    return e != NULL && e->encoding == ENC_LARGE ? put_large(c, key, e, fields, n)
                                                 : put_packed(c, key, e, fields, n);
}

bool hash_put(struct cmd *c, struct key key, struct slice name, struct slice value,
              int64_t expire_at_ms)
{
    struct hash_field f = {name, value, expire_at_ms};

    return put_fields(c, key, &f, 1) == 1;
}

size_t hash_put_many(struct cmd *c, struct key key, const struct slice *pairs, size_t n,
                     int64_t expire_at_ms)
{
    struct hash_field few[16];
    struct hash_field *fields = n <= 16 ? few : mem_alloc(n * sizeof(fields[0]));

    if (fields == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        fields[i] = (struct hash_field){pairs[2 * i], pairs[2 * i + 1], expire_at_ms};
    }
    size_t added = put_fields(c, key, fields, n);

    if (fields != few) {
        mem_free(fields, n * sizeof(fields[0]));
    }
    return added;
}

/* ---- Removing ---- */

static size_t remove_large(struct cmd *c, struct key key, const struct entry *e,
                           const struct slice *names, size_t n)
{
    struct hash_large *l = hold_some(c, key, e);
    size_t removed = 0;
    bool open = false;

    if (l == NULL) {
        return 0;
    }
    int64_t now_ms = section_now_ms(c->section);

    for (size_t i = 0; i < n; i++) {
        struct entry *f = table_find(&l->table, names[i], hash_key(names[i]));

        if (f == NULL || entry_is_expired(f, now_ms)) {
            continue;
        }
        rely_on(c, entry_expire_at_ms(f));
        if (!log_removal(c, key, &open, names[i]) || hash_large_remove(c->section, l, f) != OK) {
            break;
        }
        removed++;
    }
    log_removal_end(c, open);
    settle_large(c, key, e, l, CHANGE_COMMAND);
    return removed;
}

static size_t remove_packed(struct cmd *c, struct key key, const struct entry *e,
                            const struct slice *names, size_t n)
{
    struct parts p;
    size_t removed = 0;
    bool open = false;

    if (!parts_begin(&p, c, e, 0)) {
        return 0;
    }
    for (size_t i = 0; i < n && p.count > 0; i++) {
        struct hash_field *f = parts_find(&p, names[i]);

        if (f == NULL) {
            continue;
        }
        rely_on(c, f->expire_at_ms);
        if (!log_removal(c, key, &open, names[i])) {
            break;
        }
        buf_move(f, f + 1, (size_t)(p.v + p.count - (f + 1)) * sizeof(*f));
        p.count--;
        removed++;
    }
    log_removal_end(c, open);
    if (removed > 0 && !section_has_failed(c->section)) {
        if (p.count == 0) {
            type_delete(c, key, CHANGE_COMMAND);
        } else {
            log_expired(c, key, e, p.now_ms);
            store_packed(c, key, e, &p);
        }
    }
    parts_end(&p);
    return removed;
}

size_t hash_remove_many(struct cmd *c, struct key key, const struct slice *names, size_t n)
{
    const struct entry *e = type_find(c, key, TYPE_HASH);

    if (e == NULL) {
        return 0;
    }
    return e->encoding == ENC_LARGE ? remove_large(c, key, e, names, n)
                                    : remove_packed(c, key, e, names, n);
}

bool hash_remove(struct cmd *c, struct key key, struct slice name)
{
    return hash_remove_many(c, key, &name, 1) == 1;
}

/* ---- Expiry ---- */

static void log_expire(struct cmd *c, struct key key, struct slice name, int64_t at_ms)
{
    struct change_writer *w = section_change(c->section);

    if (!type_logged(c->section, change_expire_fields_begin(w, key.name, at_ms))) {
        return;
    }
    if (type_logged(c->section, change_expire_fields_name(w, name))) {
        change_expire_fields_end(w);
    } else {
        change_drop_open(w);
    }
}

static void expire_large(struct cmd *c, struct key key, const struct entry *e, struct slice name,
                         int64_t at_ms)
{
    struct hash_large *l = hold_some(c, key, e);
    const struct entry *old = l == NULL ? NULL : table_find(&l->table, name, hash_key(name));
    struct hash_field f;

    if (old == NULL || entry_is_expired(old, section_now_ms(c->section))) {
        return;
    }
    hash_large_field(old, &f);
    rely_on(c, f.expire_at_ms);
    f.expire_at_ms = at_ms;
    log_expire(c, key, name, at_ms);
    if (!section_has_failed(c->section) && hash_large_put(c->section, l, &f) == OK) {
        flag_expiring(c, key, e, l);
    }
}

static void expire_packed(struct cmd *c, struct key key, const struct entry *e, struct slice name,
                          int64_t at_ms)
{
    struct parts p;

    if (!parts_begin(&p, c, e, 0)) {
        return;
    }
    struct hash_field *f = parts_find(&p, name);

    if (f != NULL) {
        rely_on(c, f->expire_at_ms);
        f->expire_at_ms = at_ms;
        log_expired(c, key, e, p.now_ms);
        log_expire(c, key, name, at_ms);
        if (!section_has_failed(c->section)) {
            store_packed(c, key, e, &p);
        }
    }
    parts_end(&p);
}

void hash_expire_at(struct cmd *c, struct key key, struct slice name, int64_t at_ms)
{
    const struct entry *e = type_find(c, key, TYPE_HASH);

    if (e == NULL) {
        return;
    }
    if (at_ms != 0 && at_ms <= section_now_ms(c->section)) {
        (void)hash_remove(c, key, name);
    } else if (e->encoding == ENC_LARGE) {
        expire_large(c, key, e, name, at_ms);
    } else {
        expire_packed(c, key, e, name, at_ms);
    }
}

static size_t expire_due_packed(struct cmd *c, struct key key, const struct entry *e)
{
    struct parts p;
    size_t due = 0;

    if (!parts_begin(&p, c, e, 0)) {
        return 0;
    }
    due = hash_packed_total(entry_payload(e)) - p.count;
    if (due > 0) {
        log_expired(c, key, e, p.now_ms);
        if (!section_has_failed(c->section)) {
            store_packed(c, key, e, &p);
        }
    }
    parts_end(&p);
    return due;
}

size_t hash_expire_due(struct cmd *c, struct key key, size_t max)
{
    const struct entry *e = section_has_failed(c->section) ? NULL : section_find(c->section, key);
    size_t removed = 0;

    if (e == NULL || e->type != TYPE_HASH || (e->flags & ENTRY_FIELDS_EXPIRE) == 0) {
        return 0;
    }
    if (e->encoding == ENC_PACKED) {
        return expire_due_packed(c, key, e);
    }
    struct hash_large *l = hash_large_of(e);

    if (large_hold(c->section, key, &l->large) == OK) {
        removed = remove_due(c, key, l, max);
        settle_large(c, key, e, l, CHANGE_EXPIRED);
    }
    return removed;
}
