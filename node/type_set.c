/* type_set.c - reading sets, and what the store asks of them; type_set_write.c writes. */
#include "node/type_set.h"

#include "base/err.h"
#include "base/hash.h"
#include "node/hash_large.h"
#include "node/keyspace.h"
#include "node/slices.h"
#include "node/type.h"

enum { SCAN_STEP = 256 };

/* Of a walk in a section, in a turn. */
enum { SLICE_MEMBERS = 1000, SLICE_STEP = 50, SLICE_BYTES = 128 << 10 };

/* ---- Reading ---- */

enum found set_open(struct cmd *c, struct key key, struct set *out)
{
    enum found found = large_open(c, key, TYPE_SET, &out->view);

    if (found == FOUND) {
        out->large = hash_large_of(out->view.entry);
    }
    return found;
}

void set_close(struct set *s)
{
    large_close(&s->view);
}

size_t set_count(const struct set *s)
{
    return s->large != NULL ? s->large->stats.count
                            : set_packed_count(entry_payload(s->view.entry));
}

bool set_is_long(const struct set *s, size_t n)
{
    return n > SLICES_FEW || large_is_long(&s->view, n, set_count(s));
}

bool set_has(const struct set *s, struct slice member)
{
    return s->large != NULL ? table_find(&s->large->table, member, hash_key(member)) != NULL
                            : set_packed_has(entry_payload(s->view.entry), member);
}

struct walk {
    set_each_fn fn;
    void *arg;
};

static void walk_entry(struct entry *e, void *arg)
{
    struct walk *w = arg;

    w->fn(entry_key(e), w->arg);
}

uint64_t set_scan(const struct set *s, uint64_t cursor, size_t want, set_each_fn fn, void *arg)
{
    struct walk k = {fn, arg};
    struct set_packed_walk w;
    struct set_digits room;
    struct slice member;

    if (!slices_tick(s->large != NULL ? want : set_count(s))) {
        return 0;
    }
    if (s->large != NULL) {
        return table_scan(&s->large->table, cursor, want, walk_entry, &k);
    }
    set_packed_begin(entry_payload(s->view.entry), &w);
    while (set_packed_next(&w, &room, &member)) {
        fn(member, arg);
    }
    return 0;
}

void set_each(const struct set *s, set_each_fn fn, void *arg)
{
    uint64_t cursor = 0;

    do {
        cursor = set_scan(s, cursor, SCAN_STEP, fn, arg);
    } while (cursor != 0);
}

struct slice set_random(const struct set *s, struct rand *r, struct set_digits *room)
{
    (void)slices_tick(4);
    if (s->large != NULL) {
        return entry_key(hash_large_random(s->large, r));
    }
    struct slice block = entry_payload(s->view.entry);

    return set_packed_at(block, rand_below(r, set_packed_count(block)), room);
}

/* ---- What the store asks ---- */

static const char *encoding(const struct entry *e)
{
    if (e->encoding == ENC_LARGE) {
        return "hashtable";
    }
    return set_packed_is_ints(entry_payload(e)) ? "intset" : "listpack";
}

static struct entry *copy(const struct entry *e, struct slice key, int64_t expire_at_ms,
                          bool clocked)
{
    struct hash_large *l = hash_large_of(e);
    struct entry *n = entry_create(&(struct entry_spec){
        .type = TYPE_SET,
        .encoding = e->encoding,
        .key = key,
        .payload_len = entry_payload(e).len,
        .expire_at_ms = expire_at_ms,
        .clocked = clocked,
    });

    if (n == NULL) {
        return NULL;
    }
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

struct logging {
    struct change_writer *w;
    int err;
};

static void log_member(struct slice member, void *arg)
{
    struct logging *l = arg;

    if (l->err == OK) {
        l->err = change_member(l->w, member);
    }
}

static int log_slice(struct change_writer *w, struct slice key, const struct entry *e,
                     struct type_walk *walk)
{
    struct set s = {.view = {.entry = e}, .large = hash_large_of(e)};
    struct logging l = {w, OK};
    size_t full = w->out->len + SLICE_BYTES;

    if (walk->at == 0) {
        l.err = change_put_members_begin(w, key, true, entry_expire_at_ms(e));
        if (l.err != OK) {
            return l.err;
        }
    }
    for (int n = 0; n < SLICE_MEMBERS && w->out->len < full && !walk->is_done; n += SLICE_STEP) {
        walk->at = set_scan(&s, walk->at, SLICE_STEP, log_member, &l);
        walk->is_done = walk->at == 0;
    }
    if (l.err != OK) {
        change_drop_open(w);
    } else if (walk->is_done) {
        change_put_members_end(w);
    }
    return l.err;
}

/* Under the partition's lock. */
static int log_whole(struct change_writer *w, struct slice key, const struct entry *e)
{
    struct type_walk walk = {0};
    int err = OK;

    while (err == OK && !walk.is_done) {
        err = log_slice(w, key, e, &walk);
    }
    return err;
}

const struct type_ops type_set_ops = {
    .name = "set",
    .encoding = encoding,
    .free_value = hash_large_free,
    .object = type_large_object,
    .value_bytes = type_large_bytes,
    .copy = copy,
    .members = hash_large_members,
    .log = log_whole,
    .copy_slice = hash_large_copy_slice,
    .log_slice = log_slice,
};
