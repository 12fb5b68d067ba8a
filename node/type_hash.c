/* type_hash.c - reading hashes, and what the store asks of them; type_hash_write.c writes. */
#include "node/type_hash.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "node/database.h"
#include "node/hash_large.h"
#include "node/hash_packed.h"
#include "node/keyspace.h"
#include "node/slices.h"
#include "node/type.h"

/* SLICE_: of a walk in a section, in a turn. */
enum {
    LONG_BYTES = 256 << 10,
    SLICE_FIELDS = 1000,
    SLICE_STEP = 50,
    SLICE_BYTES = 128 << 10,
    SCAN_STEP = 1024,
    SAMPLE_TRIES = 8
};

/* ---- Reading ---- */

static bool is_any_live(const struct hash *h)
{
    return h->large != NULL ? !hash_large_all_due(h->large, h->now_ms)
                            : !hash_packed_is_dead(entry_payload(h->view.entry), h->now_ms);
}

enum found hash_open(struct cmd *c, struct key key, struct hash *out)
{
    enum found found = large_open(c, key, TYPE_HASH, &out->view);

    if (found != FOUND) {
        return found;
    }
    out->large = hash_large_of(out->view.entry);
    /* After the fields, as DESIGN 4.1 asks: they cannot change from here on. */
    out->now_ms = c->section == NULL ? clock_now_ms() : section_now_ms(c->section);
    if ((out->view.entry->flags & ENTRY_FIELDS_EXPIRE) != 0 && !is_any_live(out)) {
        hash_close(out);
        return ABSENT;
    }
    return FOUND;
}

void hash_close(struct hash *h)
{
    large_close(&h->view);
}

size_t hash_count(const struct hash *h)
{
    return h->large != NULL ? hash_large_count(h->large, h->now_ms)
                            : hash_packed_count(entry_payload(h->view.entry), h->now_ms);
}

size_t hash_bytes(const struct hash *h)
{
    return h->large != NULL ? large_bytes(h->view.large) : entry_payload(h->view.entry).len;
}

bool hash_is_long(const struct hash *h)
{
    return h->large != NULL && large_bytes(h->view.large) > LONG_BYTES;
}

bool hash_get(const struct hash *h, struct slice name, struct hash_field *out)
{
    if (h->large == NULL) {
        return hash_packed_find(entry_payload(h->view.entry), name, h->now_ms, out);
    }
    const struct entry *e = table_find(&h->large->table, name, hash_key(name));

    if (e == NULL || entry_is_expired(e, h->now_ms)) {
        return false;
    }
    hash_large_field(e, out);
    return true;
}

struct walk {
    int64_t now_ms;
    hash_each_fn fn;
    void *arg;
};

static void walk_entry(struct entry *e, void *arg)
{
    struct walk *w = arg;
    struct hash_field f;

    if (!entry_is_expired(e, w->now_ms)) {
        hash_large_field(e, &f);
        w->fn(&f, w->arg);
    }
}

static void walk_packed(const struct hash *h, hash_each_fn fn, void *arg)
{
    struct hash_packed_walk w;
    struct hash_field f;

    hash_packed_begin(entry_payload(h->view.entry), &w);
    while (hash_packed_next(&w, &f)) {
        if (!hash_field_is_expired(&f, h->now_ms)) {
            fn(&f, arg);
        }
    }
}

uint64_t hash_scan(const struct hash *h, uint64_t cursor, size_t want, hash_each_fn fn, void *arg)
{
    struct walk w = {h->now_ms, fn, arg};

    if (!slices_tick(want)) {
        return 0;
    }
    if (h->large == NULL) {
        walk_packed(h, fn, arg);
        return 0;
    }
    return table_scan(&h->large->table, cursor, want, walk_entry, &w);
}

void hash_each(const struct hash *h, hash_each_fn fn, void *arg)
{
    uint64_t cursor = 0;

    do {
        cursor = hash_scan(h, cursor, SCAN_STEP, fn, arg);
    } while (cursor != 0);
}

/* Picks one of those it is shown, each as likely. */
struct pick {
    struct rand *r;
    size_t seen;
    struct hash_field *out;
};

static void pick_field(const struct hash_field *f, void *arg)
{
    struct pick *p = arg;

    if (rand_below(p->r, ++p->seen) == 0) {
        *p->out = *f;
    }
}

bool hash_random(const struct hash *h, struct rand *r, struct hash_field *out)
{
    struct pick p = {r, 0, out};

    for (int i = 0; h->large != NULL && i < SAMPLE_TRIES; i++) {
        const struct entry *e = hash_large_random(h->large, r);

        if (e != NULL && !entry_is_expired(e, h->now_ms)) {
            hash_large_field(e, out);
            return true;
        }
    }
    hash_each(h, pick_field, &p);
    return p.seen > 0;
}

int64_t hash_next_expiry(const struct entry *e)
{
    if ((e->flags & ENTRY_FIELDS_EXPIRE) == 0) {
        return 0;
    }
    if (e->encoding == ENC_PACKED) {
        return hash_packed_earliest(entry_payload(e));
    }
    return atomic_load_explicit(&hash_large_of(e)->next_expiry_ms, memory_order_relaxed);
}

/* ---- What the store asks ---- */

static const char *encoding(const struct entry *e)
{
    return e->encoding == ENC_PACKED ? "listpack" : "hashtable";
}

static struct entry *copy(const struct entry *e, struct slice key, int64_t expire_at_ms,
                          bool clocked)
{
    struct hash_large *l = hash_large_of(e);
    struct entry *n = entry_create(&(struct entry_spec){
        .type = TYPE_HASH,
        .encoding = e->encoding,
        .key = key,
        .payload_len = entry_payload(e).len,
        .expire_at_ms = expire_at_ms,
        .clocked = clocked,
    });

    if (n == NULL) {
        return NULL;
    }
    n->flags |= e->flags & ENTRY_FIELDS_EXPIRE;
    if (l == NULL) {
        memcpy(entry_payload_ptr(n), entry_payload(e).ptr, entry_payload(e).len);
        return n;
    }
    struct hash_large *twin = hash_large_blank();

    if (twin == NULL) {
        entry_free(n);
        return NULL;
    }
    memcpy(entry_payload_ptr(n), &twin, sizeof(struct hash_large *));
    return n;
}

static enum type_life life(const struct entry *e, int64_t now_ms, bool in_section)
{
    struct hash_large *l = hash_large_of(e);

    if ((e->flags & ENTRY_FIELDS_EXPIRE) == 0) {
        return TYPE_ALIVE;
    }
    if (l != NULL && !in_section) {
        return hash_large_life(l, now_ms);
    }
    bool is_dead =
        l == NULL ? hash_packed_is_dead(entry_payload(e), now_ms) : hash_large_all_due(l, now_ms);

    return is_dead ? TYPE_DEAD : TYPE_ALIVE;
}

struct logging {
    struct change_writer *w;
    int err;
};

static void log_field(const struct hash_field *f, void *arg)
{
    struct logging *l = arg;

    if (l->err == OK) {
        l->err = change_field(l->w, f->name, f->value, f->expire_at_ms);
    }
}

static int log_slice(struct change_writer *w, struct slice key, const struct entry *e,
                     struct type_walk *walk)
{
    struct hash h = {.view = {.entry = e}, .large = hash_large_of(e), .now_ms = walk->now_ms};
    struct logging l = {w, OK};
    size_t full = w->out->len + SLICE_BYTES;

    if (walk->at == 0) {
        l.err = change_put_fields_begin(w, key, true, entry_expire_at_ms(e));
        if (l.err != OK) {
            return l.err;
        }
    }
    for (int n = 0; n < SLICE_FIELDS && w->out->len < full && !walk->is_done; n += SLICE_STEP) {
        walk->at = hash_scan(&h, walk->at, SLICE_STEP, log_field, &l);
        walk->is_done = walk->at == 0;
    }
    if (l.err != OK) {
        change_drop_open(w);
    } else if (walk->is_done) {
        change_put_fields_end(w);
    }
    return l.err;
}

/* Under the partition's lock. */
static int log_whole(struct change_writer *w, struct slice key, const struct entry *e)
{
    struct type_walk walk = {.now_ms = clock_now_ms()};
    int err = OK;

    while (err == OK && !walk.is_done) {
        err = log_slice(w, key, e, &walk);
    }
    return err;
}

const struct type_ops type_hash_ops = {
    .name = "hash",
    .encoding = encoding,
    .free_value = hash_large_free,
    .object = type_large_object,
    .value_bytes = type_large_bytes,
    .copy = copy,
    .life = life,
    .members = hash_large_members,
    .log = log_whole,
    .copy_slice = hash_large_copy_slice,
    .log_slice = log_slice,
};
