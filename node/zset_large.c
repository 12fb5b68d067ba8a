#include "node/zset_large.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "node/slices.h"

#include <assert.h>

static uint64_t hash_of(const struct entry *member)
{
    return hash_key(entry_key(member));
}

const struct table *zset_large_members(const struct entry *e)
{
    return &zset_large_of(e)->table;
}

struct entry *zset_large_find(const struct zset_large *l, struct slice member)
{
    return table_find(&l->table, member, hash_key(member));
}

/* ---- Life ---- */

static struct zset_large *of(struct large *l)
{
    return (struct zset_large *)(void *)l; /* it begins with it */
}

static size_t all_bytes(struct large *large)
{
    const struct zset_large *l = of(large);

    return mem_size(sizeof(*l)) + l->stats.bytes + l->member_bytes + rank_tree_bytes(&l->tree);
}

static const struct large_ops ops;

static struct zset_large *create(void)
{
    struct zset_large *l = mem_zalloc(sizeof(*l));

    if (l != NULL) {
        rank_tree_init(&l->tree);
        large_init(&l->large, &ops);
    }
    return l;
}

static bool free_member(struct entry *e, size_t *budget)
{
    entry_free(e);
    *budget -= *budget > 0;
    return true;
}

static void free_undone(struct zset_large *l)
{
    while (l->undone != NULL) {
        struct entry *e = l->undone;

        (void)slices_tick(2);
        memcpy(&l->undone, entry_payload(e).ptr, sizeof(l->undone));
        entry_free(e);
    }
}

bool zset_large_free(void *object, size_t *budget)
{
    struct zset_large *l = object;

    if (!l->is_dying) {
        l->is_dying = true;
        l->dying = table_detach(&l->table, &l->stats);
    }
    if (!rank_tree_free(&l->tree, budget)) {
        return false;
    }
    if (l->dying != NULL && !table_dir_free(l->dying, budget, free_member)) {
        return false;
    }
    free_undone(
        l); /* there are some only if a section drops what it made and went back to a savepoint */
    large_fini(&l->large);
    mem_free(l, sizeof(*l));
    return true;
}

/* ---- Changes ---- */

static void set_score(struct entry *member, double score)
{
    memcpy(entry_payload_ptr(member), &score, sizeof(score));
}

static struct entry *member_create(struct slice name, double score)
{
    struct entry *e = entry_create(&(struct entry_spec){
        .type = TYPE_STRING,
        .encoding = ENC_BYTES,
        .key = name,
        .payload_len = sizeof(score),
    });

    if (e != NULL) {
        set_score(e, score);
    }
    return e;
}

static size_t weight(const struct entry *member)
{
    return mem_size(entry_bytes(member));
}

/* The tree may name it in a separator until it is settled. */
static void keep_undone(struct zset_large *l, struct entry *member)
{
    memcpy(entry_payload_ptr(member), &l->undone, sizeof(l->undone));
    l->undone = member;
}

static void undo(struct large *large, const struct large_undo *u)
{
    struct zset_large *l = of(large);
    struct entry *old = u->old;
    struct entry *now = u->now;

    assert(old != NULL || now != NULL);
    if (old == NULL) {
        rank_tree_remove(&l->tree, zset_member_score(now), now);
        table_remove(&l->table, &l->stats, now, hash_of(now));
        l->member_bytes -= weight(now);
        keep_undone(l, now);
    } else if (now == NULL) {
        rank_tree_restore(&l->tree, zset_member_score(old), old);
        table_publish(&l->table, &l->stats, old, hash_of(old));
        l->member_bytes += weight(old);
    } else {
        double score;

        memcpy(&score, &u->arg, sizeof(score));
        rank_tree_move_back(&l->tree, zset_member_score(old), score, old);
        set_score(old, score);
    }
}

/* Removed members kept their words for undoing. They are retired, and readable until this thread's turn
 * ends. */
static void end(struct large *large, const struct large_undo *v, size_t n, bool is_kept)
{
    struct zset_large *l = of(large);

    rank_tree_settle(&l->tree);
    free_undone(l);
    for (size_t i = 0; i < n; i++) {
        (void)slices_tick(2);
        if (v[i].now == NULL) {
            table_unprepare(&l->table, &l->stats, v[i].old, hash_of(v[i].old));
        }
    }
    for (size_t i = 0; is_kept && i < n; i++) {
        (void)slices_tick(2);
        if (v[i].now == NULL) {
            table_shrink(&l->table, &l->stats, hash_of(v[i].old));
        }
    }
}

static const struct large_ops ops = {
    .bytes = all_bytes,
    .undo = undo,
    .end = end,
    .free = zset_large_free,
};

struct zset_large *zset_large_create(struct section *s)
{
    struct zset_large *l = create();

    if (l == NULL) {
        section_fail(s, SECTION_NOMEM);
        return NULL;
    }
    return large_created(s, &l->large) == OK ? l : NULL;
}

static int fail(struct section *s)
{
    section_fail(s, SECTION_NOMEM);
    return ERR_NOMEM;
}

/* The table's word, then the tree's place: what can fail before what is seen. */
static int put(struct zset_large *l, struct entry *member)
{
    uint64_t hash = hash_of(member);

    if (table_prepare(&l->table, &l->stats, member, hash) != OK) {
        return ERR_NOMEM;
    }
    if (rank_tree_insert(&l->tree, zset_member_score(member), member) != OK) {
        table_unprepare(&l->table, &l->stats, member, hash);
        return ERR_NOMEM;
    }
    table_publish(&l->table, &l->stats, member, hash);
    l->member_bytes += weight(member);
    return OK;
}

int zset_large_add(struct section *s, struct zset_large *l, struct slice name, double score)
{
    struct entry *member = member_create(name, score);

    if (member == NULL || large_reserve(&l->large, 1) != OK || put(l, member) != OK) {
        entry_free(member);
        return fail(s);
    }
    large_changed(&l->large, (struct large_undo){.now = member});
    return section_has_failed(s) ? ERR_NOMEM : OK;
}

int zset_large_move(struct section *s, struct zset_large *l, struct entry *member, double score)
{
    double from = zset_member_score(member);
    struct large_undo u = {.old = member, .now = member};

    memcpy(&u.arg, &from, sizeof(from));
    if (large_reserve(&l->large, 1) != OK || rank_tree_move(&l->tree, from, score, member) != OK) {
        return fail(s);
    }
    set_score(member, score);
    if (large_is_new(&l->large)) {
        rank_tree_settle(&l->tree);
    }
    large_changed(&l->large, u);
    return section_has_failed(s) ? ERR_NOMEM : OK;
}

int zset_large_remove(struct section *s, struct zset_large *l, struct entry *member)
{
    uint64_t hash = hash_of(member);

    if (large_reserve(&l->large, 1) != OK) {
        return fail(s);
    }
    rank_tree_remove(&l->tree, zset_member_score(member), member);
    l->member_bytes -= weight(member);
    if (large_is_new(&l->large)) {
        rank_tree_settle(&l->tree);
        table_remove(&l->table, &l->stats, member, hash);
        entry_free(member);
    } else {
        table_conceal(&l->table, &l->stats, member, hash);
        section_retire(s, member, entry_bytes(member), NULL);
    }
    large_changed(&l->large, (struct large_undo){.old = member});
    return section_has_failed(s) ? ERR_NOMEM : OK;
}

struct zset_large *zset_large_copy(const struct zset_large *from)
{
    struct zset_large *to = create();

    if (to == NULL) {
        return NULL;
    }
    for (struct rank_spot s = rank_tree_at(&from->tree, 0); s.leaf != NULL; rank_spot_next(&s)) {
        const struct entry *e = rank_spot_member(s);
        struct entry *twin = member_create(entry_key(e), zset_member_score(e));

        if (!slices_tick(4) || twin == NULL || put(to, twin) != OK) {
            entry_free(twin);
            large_drop(&to->large);
            return NULL;
        }
    }
    large_settle(&to->large);
    return to;
}
