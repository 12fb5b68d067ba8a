/* type_zset_write.c - changing sorted sets, within a section.
 *
 * Each function does its part on the packed or the large form, and writes the operation that says the
 * same to the section's change, with the members that changed and the scores they came to.
 */
#include "node/type_zset.h"

#include "base/err.h"
#include "node/keyspace.h"
#include "node/options.h"
#include "node/section.h"
#include "node/slices.h"
#include "node/type.h"
#include "node/zset_large.h"
#include "node/zset_packed.h"

#include <assert.h>

/* A sorted set being changed. While it is packed, the blocks before the last are in `scratch`, by turns. */
struct edit {
    struct cmd *c;
    struct key key;
    const struct entry *old; /* NULL: the key is absent */
    struct zset_large *large;
    struct slice block; /* while it is packed */
    bool is_open;       /* the operation is begun */
    bool has_changed;
    bool turn;
    char scratch[2][ENTRY_INLINE_MAX];
};

/* False: the section has failed. A large one is held for writing. */
static bool edit_begin(struct edit *e, struct cmd *c, struct key key)
{
    e->c = c;
    e->key = key;
    e->is_open = e->has_changed = e->turn = false;
    e->old = type_find(c, key, TYPE_ZSET);
    if (section_has_failed(c->section)) {
        return false;
    }
    e->large = e->old == NULL ? NULL : zset_large_of(e->old);
    e->block = e->old == NULL ? ZSET_PACKED_EMPTY : entry_payload(e->old);
    return e->large == NULL || large_hold(c->section, key, &e->large->large) == OK;
}

static bool has_failed(const struct edit *e)
{
    return section_has_failed(e->c->section);
}

static struct change_writer *writer(const struct edit *e)
{
    return section_change(e->c->section);
}

/* ---- The operations: begun with the first member that changes, so that nothing is said of nothing ---- */

static void log_score(struct edit *e, struct slice member, double score)
{
    if (!e->is_open) {
        e->is_open =
            type_logged(e->c->section, change_put_scores_begin(writer(e), e->key.name, false, 0));
    }
    if (e->is_open) {
        (void)type_logged(e->c->section, change_score(writer(e), member, score));
    }
}

static void log_removal(struct edit *e, struct slice member)
{
    if (!e->is_open) {
        e->is_open =
            type_logged(e->c->section, change_delete_members_begin(writer(e), e->key.name));
    }
    if (e->is_open) {
        (void)type_logged(e->c->section, change_delete_members_member(writer(e), member));
    }
}

/* ---- Both forms ---- */

static bool fits_packed(size_t count, size_t bytes, size_t longest)
{
    return count <= conf_u64(&opt_zset_max_listpack_entries) &&
           bytes <= conf_u64(&opt_packed_max_bytes) &&
           longest <= conf_u64(&opt_zset_max_listpack_value);
}

/* The packed block becomes a large one, for good. */
static void make_large(struct edit *e)
{
    const char *at = zset_packed_at(e->block, 0);
    const char *end = e->block.ptr + e->block.len;
    struct zset_large *l = zset_large_create(e->c->section);
    struct zset_item i;

    while (l != NULL && at != end) {
        at = zset_packed_read(at, &i);
        if (zset_large_add(e->c->section, l, i.member, i.score) != OK) {
            return;
        }
    }
    e->large = l;
}

static void apply_edit(struct edit *e, const struct zset_edit *z)
{
    size_t bytes = zset_packed_edited_bytes(e->block, z);
    char *to = e->scratch[e->turn];

    assert(bytes <= ENTRY_INLINE_MAX);
    zset_packed_apply(e->block, z, to);
    e->block = (struct slice){to, bytes};
    e->turn = !e->turn;
    e->has_changed = true;
}

static void put_entry(struct edit *e, struct entry *now)
{
    if (now != NULL) {
        section_put(e->c->section, e->key, now);
    }
}

/* Ends the operation and puts what was made in the key's place. */
static void edit_end(struct edit *e, void (*end_operation)(struct change_writer *w))
{
    if (e->is_open && has_failed(e)) {
        change_drop_open(writer(e));
    } else if (e->is_open) {
        end_operation(writer(e));
    }
    if (has_failed(e) || !e->has_changed) {
        return;
    }
    if (e->large == NULL) {
        struct entry *now = packed_count(e->block) == 0
                                ? NULL
                                : type_entry(e->c, e->key, e->old, TYPE_ZSET, e->block.len);

        if (packed_count(e->block) == 0) {
            type_delete(e->c, e->key, CHANGE_COMMAND);
        } else if (now != NULL) {
            memcpy(entry_payload_ptr(now), e->block.ptr, e->block.len);
            put_entry(e, now);
        }
    } else if (e->large->tree.count == 0) {
        type_delete(e->c, e->key, CHANGE_COMMAND);
    } else if (e->old == NULL || zset_large_of(e->old) != e->large) {
        put_entry(e, type_entry_of_large(e->c, e->key, e->old, TYPE_ZSET, e->large));
    }
}

/* ---- Adding ---- */

enum verdict { REFUSED, SAME, ADDED, UPDATED };

static enum verdict judge(bool found, double old, double score, unsigned flags)
{
    if (!found) {
        return (flags & ZSET_XX) != 0 ? REFUSED : ADDED;
    }
    if ((flags & ZSET_NX) != 0 || ((flags & ZSET_GT) != 0 && score <= old) ||
        ((flags & ZSET_LT) != 0 && score >= old)) {
        return REFUSED;
    }
    return score == old ? SAME : UPDATED;
}

static enum verdict add_large(struct edit *e, const struct zset_item *i, unsigned flags)
{
    struct section *s = e->c->section;
    struct entry *member = zset_large_find(e->large, i->member);
    enum verdict v =
        judge(member != NULL, member == NULL ? 0 : zset_member_score(member), i->score, flags);
    int err = OK;

    if (v == ADDED) {
        err = zset_large_add(s, e->large, i->member, i->score);
    } else if (v == UPDATED) {
        err = zset_large_move(s, e->large, member, i->score);
    }
    e->has_changed = e->has_changed || v == ADDED || v == UPDATED;
    return err == OK ? v : REFUSED;
}

static enum verdict add_packed(struct edit *e, const struct zset_item *i, unsigned flags)
{
    double score = zset_packed_score(i->score);
    struct zset_edit z;
    double old = 0;
    bool found = zset_packed_edit(e->block, i->member, score, &z, &old);
    enum verdict v = judge(found, old, score, flags);

    if (v != ADDED && v != UPDATED) {
        return v;
    }
    if (!fits_packed(packed_count(e->block) + (v == ADDED), zset_packed_edited_bytes(e->block, &z),
                     v == ADDED ? i->member.len : 0)) {
        make_large(e);
        return has_failed(e) ? REFUSED : add_large(e, i, flags);
    }
    apply_edit(e, &z);
    return v;
}

struct zset_added zset_add(struct cmd *c, struct key key, const struct zset_item *items, size_t n,
                           unsigned flags)
{
    struct zset_added sum = {0};
    struct edit e;

    if (!edit_begin(&e, c, key)) {
        return sum;
    }
    /* So many that it will be large, each then costs a look-up and not a walk. Of one that is there it is
     * not known whether anything will change. */
    if (e.old == NULL && (flags & ZSET_XX) == 0 &&
        n > 2 * conf_u64(&opt_zset_max_listpack_entries) + 16) {
        make_large(&e);
    }
    for (size_t i = 0; i < n && !has_failed(&e) && slices_tick(2); i++) {
        enum verdict v =
            e.large != NULL ? add_large(&e, &items[i], flags) : add_packed(&e, &items[i], flags);

        sum.added += v == ADDED;
        sum.updated += v == UPDATED;
        sum.refused += v == REFUSED;
        if (v == ADDED || v == UPDATED) {
            log_score(&e, items[i].member, items[i].score);
        }
    }
    edit_end(&e, change_put_scores_end);
    return sum;
}

/* ---- Removing ---- */

static bool remove_one(struct edit *e, struct slice member)
{
    struct zset_item i;
    struct zset_edit z;
    size_t rank;

    if (e->large != NULL) {
        struct entry *m = zset_large_find(e->large, member);

        e->has_changed = e->has_changed || m != NULL;
        return m != NULL && zset_large_remove(e->c->section, e->large, m) == OK;
    }
    if (!zset_packed_find(e->block, member, &i, &rank)) {
        return false;
    }
    zset_packed_cut(e->block, rank, 1, &z);
    apply_edit(e, &z);
    return true;
}

size_t zset_remove(struct cmd *c, struct key key, const struct slice *members, size_t n)
{
    size_t removed = 0;
    struct edit e;

    if (!edit_begin(&e, c, key) || e.old == NULL) {
        return 0;
    }
    for (size_t i = 0; i < n && !has_failed(&e) && slices_tick(2); i++) {
        if (remove_one(&e, members[i])) {
            log_removal(&e, members[i]);
            removed++;
        }
    }
    edit_end(&e, change_delete_members_end);
    return removed;
}

static void remove_range_packed(struct edit *e, size_t from, size_t n)
{
    const char *at = zset_packed_at(e->block, from);
    struct zset_item i;
    struct zset_edit z;

    for (size_t k = 0; k < n && !has_failed(e); k++) {
        at = zset_packed_read(at, &i);
        log_removal(e, i.member);
    }
    zset_packed_cut(e->block, from, n, &z);
    apply_edit(e, &z);
}

void zset_remove_range(struct cmd *c, struct key key, size_t from, size_t n)
{
    struct edit e;

    if (n == 0 || !edit_begin(&e, c, key) || e.old == NULL) {
        return;
    }
    if (e.large == NULL) {
        remove_range_packed(&e, from, n);
    }
    for (size_t k = 0; e.large != NULL && k < n && !has_failed(&e); k++) {
        struct entry *m = rank_spot_member(rank_tree_at(&e.large->tree, (uint32_t)from));

        log_removal(&e, entry_key(m));
        e.has_changed = true;
        if (has_failed(&e) || zset_large_remove(c->section, e.large, m) != OK) {
            break;
        }
    }
    edit_end(&e, change_delete_members_end);
}

/* ---- Storing ---- */

static void store_packed(struct cmd *c, struct key key, const struct zset_item *items, size_t n,
                         size_t bytes)
{
    struct entry *e = type_entry(c, key, NULL, TYPE_ZSET, bytes);

    if (e == NULL) {
        return;
    }
    char *at = entry_payload_ptr(e);
    uint16_t count = (uint16_t)n;

    memcpy(at, &count, sizeof(count));
    at += PACKED_HEAD;
    for (size_t i = 0; i < n; i++) {
        at = zset_packed_write_item(at, &items[i]);
    }
    section_put(c->section, key, e);
}

static void store_large(struct cmd *c, struct key key, const struct zset_item *items, size_t n)
{
    struct zset_large *l = zset_large_create(c->section);

    for (size_t i = 0; l != NULL && i < n; i++) {
        if (zset_large_add(c->section, l, items[i].member, items[i].score) != OK) {
            return;
        }
    }
    struct entry *e = l == NULL ? NULL : type_entry_of_large(c, key, NULL, TYPE_ZSET, l);

    if (e != NULL) {
        section_put(c->section, key, e);
    }
}

void zset_store(struct cmd *c, struct key key, const struct zset_item *items, size_t n)
{
    struct change_writer *w = section_change(c->section);
    size_t bytes = PACKED_HEAD;
    size_t longest = 0;

    if (n == 0) {
        (void)keyspace_delete(c, key);
        return;
    }
    (void)section_find(c->section, key); /* removes an expired one as such */
    if (section_has_failed(c->section) ||
        !type_logged(c->section, change_put_scores_begin(w, key.name, true, 0))) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        (void)slices_tick(1);
        bytes += zset_packed_item_bytes(&items[i]);
        longest = items[i].member.len > longest ? items[i].member.len : longest;
        if (!type_logged(c->section, change_score(w, items[i].member, items[i].score))) {
            change_drop_open(w);
            return;
        }
    }
    change_put_scores_end(w);
    if (fits_packed(n, bytes, longest)) {
        store_packed(c, key, items, n, bytes);
    } else {
        store_large(c, key, items, n);
    }
}
