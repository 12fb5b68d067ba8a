/* type_zset.c - reading sorted sets, and what the store asks of them; type_zset_write.c writes. */
#include "node/type_zset.h"

#include "base/err.h"
#include "node/slices.h"
#include "node/type.h"
#include "node/zset_large.h"
#include "node/zset_packed.h"

#include <assert.h>

/* ---- Reading ---- */

static struct slice block_of(const struct zset *z)
{
    return entry_payload(z->view.entry);
}

enum found zset_open(struct cmd *c, struct key key, struct zset *out)
{
    enum found found = large_open(c, key, TYPE_ZSET, &out->view);

    if (found == FOUND) {
        out->large = zset_large_of(out->view.entry);
    }
    return found;
}

void zset_close(struct zset *z)
{
    large_close(&z->view);
}

size_t zset_count(const struct zset *z)
{
    return z->large != NULL ? z->large->tree.count : packed_count(block_of(z));
}

bool zset_is_long(const struct zset *z, size_t n)
{
    size_t count = zset_count(z);

    return large_is_long(&z->view, n < count ? n : count, count);
}

bool zset_score(const struct zset *z, struct slice member, double *out)
{
    struct zset_item i;
    size_t rank;

    if (z->large == NULL) {
        bool found = zset_packed_find(block_of(z), member, &i, &rank);

        *out = found ? i.score : 0;
        return found;
    }
    const struct entry *e = zset_large_find(z->large, member);

    *out = e == NULL ? 0 : zset_member_score(e);
    return e != NULL;
}

bool zset_rank(const struct zset *z, struct slice member, size_t *rank, double *score)
{
    struct zset_item i;

    if (z->large == NULL) {
        bool found = zset_packed_find(block_of(z), member, &i, rank);

        *score = found ? i.score : 0;
        return found;
    }
    const struct entry *e = zset_large_find(z->large, member);

    if (e == NULL) {
        return false;
    }
    *score = zset_member_score(e);
    *rank = rank_tree_rank(&z->large->tree, *score, e);
    return true;
}

size_t zset_before(const struct zset *z, const struct rank_bound *b)
{
    return z->large != NULL ? rank_tree_before(&z->large->tree, b)
                            : zset_packed_before(block_of(z), b);
}

/* ---- Walking ---- */

void zset_walk_begin(struct zset_walk *w, const struct zset *z, size_t first, size_t n, bool down)
{
    struct zset_item i;

    assert(n == 0 || (down ? first + 1 >= n : n <= zset_count(z) - first));
    w->left = n;
    w->down = down;
    w->packed = z->large == NULL;
    if (n == 0) {
        return;
    }
    if (!w->packed) {
        w->spot = rank_tree_at(&z->large->tree, (uint32_t)first);
        return;
    }
    w->block = block_of(z).ptr;
    w->at = zset_packed_at(block_of(z), down ? first + 1 - n : first);
    for (size_t k = 0; down && k < n; k++) {
        w->places[k] = (uint16_t)(w->at - w->block);
        w->at = zset_packed_read(w->at, &i);
    }
}

bool zset_walk_next(struct zset_walk *w, struct zset_item *out)
{
    if (w->left == 0 || !slices_tick(1)) {
        return false;
    }
    w->left--;
    if (w->packed) {
        w->at = zset_packed_read(w->down ? w->block + w->places[w->left] : w->at, out);
        return true;
    }
    out->member = entry_key(rank_spot_member(w->spot));
    out->score = rank_spot_score(w->spot);
    if (w->left > 0 && w->down) {
        rank_spot_prev(&w->spot);
    } else if (w->left > 0) {
        rank_spot_next(&w->spot);
    }
    return true;
}

struct scan {
    zset_each_fn fn;
    void *arg;
};

static void scan_entry(struct entry *e, void *arg)
{
    struct scan *s = arg;

    s->fn(&(struct zset_item){entry_key(e), zset_member_score(e)}, s->arg);
}

uint64_t zset_scan(const struct zset *z, uint64_t cursor, size_t want, zset_each_fn fn, void *arg)
{
    struct scan s = {fn, arg};
    struct zset_item i;

    if (!slices_tick(want)) {
        return 0;
    }
    if (z->large != NULL) {
        return table_scan(&z->large->table, cursor, want, scan_entry, &s);
    }
    for (const char *at = zset_packed_at(block_of(z), 0), *end = at + block_of(z).len - PACKED_HEAD;
         at != end;) {
        at = zset_packed_read(at, &i);
        fn(&i, arg);
    }
    return 0;
}

int zset_item_order(const void *a, const void *b)
{
    const struct zset_item *x = a;
    const struct zset_item *y = b;

    if (!slices_tick(1)) {
        return 0;
    }
    if (x->score != y->score) {
        return x->score < y->score ? -1 : 1;
    }
    return slice_order(x->member, y->member);
}

/* ---- What the store asks ---- */

static const char *encoding(const struct entry *e)
{
    return e->encoding == ENC_PACKED ? "listpack" : "skiplist";
}

static struct entry *copy(const struct entry *e, struct slice key, int64_t expire_at_ms,
                          bool clocked)
{
    const struct zset_large *l = zset_large_of(e);
    struct entry *n = entry_create(&(struct entry_spec){
        .type = TYPE_ZSET,
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
    struct zset_large *twin = zset_large_copy(l);

    if (twin == NULL) {
        entry_free(n);
        return NULL;
    }
    memcpy(entry_payload_ptr(n), &twin, sizeof(struct zset_large *));
    return n;
}

/* Under the partition's lock. */
static int log_whole(struct change_writer *w, struct slice key, const struct entry *e)
{
    struct zset z = {.view = {.entry = e}, .large = zset_large_of(e)};
    struct zset_walk walk;
    struct zset_item i;
    int err = change_put_scores_begin(w, key, true, entry_expire_at_ms(e));

    if (err != OK) {
        return err;
    }
    zset_walk_begin(&walk, &z, 0, zset_count(&z), false);
    while (err == OK && zset_walk_next(&walk, &i)) {
        err = change_score(w, i.member, i.score);
    }
    if (err != OK) {
        change_drop_open(w);
        return err;
    }
    change_put_scores_end(w);
    return OK;
}

const struct type_ops type_zset_ops = {
    .name = "zset",
    .encoding = encoding,
    .free_value = zset_large_free,
    .object = type_large_object,
    .value_bytes = type_large_bytes,
    .copy = copy,
    .members = zset_large_members,
    .log = log_whole,
};
