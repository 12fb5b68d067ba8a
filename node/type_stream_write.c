/* type_stream_write.c - changing streams, within a section: the change in place, and its operation. */
#include "node/type_stream.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/section.h"
#include "node/type.h"

#include <assert.h>

/* ---- Holding ---- */

/* The stream, held for writing. NULL: absent, or the section has failed. */
static struct stream *hold(struct cmd *c, struct key key)
{
    const struct entry *e = type_find(c, key, TYPE_STREAM);

    if (e == NULL || large_hold(c->section, key, &stream_of(e)->large) != OK) {
        return NULL;
    }
    return stream_of(e);
}

/* The same, made if it is absent. */
static struct stream *hold_or_make(struct cmd *c, struct key key)
{
    const struct entry *e = type_find(c, key, TYPE_STREAM);

    if (e != NULL || section_has_failed(c->section)) {
        return e == NULL ? NULL : hold(c, key);
    }
    struct stream *st = stream_large_create(c->section);
    struct entry *now = st == NULL ? NULL : type_entry_of_large(c, key, NULL, TYPE_STREAM, st);

    if (now == NULL) {
        return NULL;
    }
    section_put(c->section, key, now);
    return section_has_failed(c->section) ? NULL : st;
}

static struct change_writer *log_of(struct cmd *c)
{
    return section_change(c->section);
}

/* An operation on several ids was begun, unless err says otherwise; ends it or takes it back. */
static void end_op(struct cmd *c, bool open)
{
    if (open && section_has_failed(c->section)) {
        change_drop_open(log_of(c));
    } else if (open) {
        change_stream_end(log_of(c));
    }
}

/* ---- Entries ---- */

void stream_make(struct cmd *c, struct key key)
{
    if (hold_or_make(c, key) != NULL) {
        (void)type_logged(c->section, change_stream_create(log_of(c), key.name, false, 0));
    }
}

void stream_append(struct cmd *c, struct key key, struct stream_id id, const struct slice *parts,
                   size_t n)
{
    struct stream *st = hold_or_make(c, key);

    if (st != NULL && stream_large_add(c->section, st, id, parts, n) == OK) {
        (void)type_logged(c->section,
                          change_stream_append(log_of(c), key.name, id.ms, id.seq, parts, n));
    }
}

/* How many blocks go whole, and whether a part of the next does, too. */
struct plan {
    size_t blocks;
    uint64_t entries;
    uint64_t length; /* that is left */
    const struct stream_block *next;
    bool part;
};

static void plan_cut(struct plan *p, const struct stream *st, const struct stream_cut *cut)
{
    struct id_at at;
    bool more = id_list_first(&st->blocks, &at);

    *p = (struct plan){.length = st->length};
    for (; more; more = id_list_next(&st->blocks, &at)) {
        const struct stream_block *b = id_list_at(&st->blocks, at);

        if (b->is_gone) {
            continue;
        }
        bool whole = cut->by_id ? stream_id_order(stream_block_last(b), cut->id) < 0
                                : p->length >= b->live && p->length - b->live >= cut->length;

        p->next = b;
        if ((!cut->by_id && p->length <= cut->length) ||
            (cut->limit != 0 && p->entries + b->live > cut->limit)) {
            return;
        }
        if (!whole) {
            p->part = !cut->approximate;
            return;
        }
        p->blocks++;
        p->entries += b->live;
        p->length -= b->live;
        p->next = NULL;
    }
}

/* Entries of the next block, up to what the cut says. *stop: the first that stays. */
static uint64_t cut_part(struct cmd *c, struct stream *st, const struct stream_cut *cut,
                         struct stream_id *stop)
{
    struct stream_walk w;
    struct stream_entry e;
    uint64_t removed = 0;
    bool found;

    stream_walk_begin(&w, st, *stop, STREAM_ID_MAX, false);
    while (stream_walk_next(&w, &e)) {
        *stop = e.id;
        if (cut->by_id ? stream_id_order(e.id, cut->id) >= 0 : st->length <= cut->length) {
            break;
        }
        if (stream_large_remove(c->section, st, e.id, true, &found) != OK) {
            break;
        }
        removed++;
    }
    return removed;
}

/* All before `stop` went; NULL: everything. */
static void log_cut(struct cmd *c, struct key key, const struct stream *st,
                    const struct stream_id *stop)
{
    struct stream_id id = stop == NULL ? st->meta.last_id : *stop;

    if (stop == NULL && !stream_id_next(&id)) { /* after the greatest there is none */
        if (type_logged(c->section, change_stream_remove_begin(log_of(c), key.name))) {
            (void)type_logged(c->section, change_stream_remove_id(log_of(c), id.ms, id.seq));
            end_op(c, true);
        }
    }
    (void)type_logged(c->section, change_stream_trim(log_of(c), key.name, id.ms, id.seq));
}

static uint64_t cut_plain(struct cmd *c, struct key key, struct stream *st,
                          const struct stream_cut *cut)
{
    struct plan p;
    struct stream_id stop = STREAM_ID_MAX;

    plan_cut(&p, st, cut);
    if (p.next != NULL) {
        stop = p.next->first;
    }
    if (stream_large_drop(c->section, st, p.blocks) != OK) {
        return 0;
    }
    if (p.part) {
        p.entries += cut_part(c, st, cut, &stop);
    }
    if (p.entries > 0 && !section_has_failed(c->section)) {
        log_cut(c, key, st, p.next == NULL ? NULL : &stop);
    }
    return p.entries;
}

/* ---- References: what groups know of an entry ---- */

/* Whether every group has read the entry, and none waits for its acknowledgement. */
static bool is_acked(const struct stream *st, struct stream_id id)
{
    for (uint32_t i = 0; i < st->groups.count; i++) {
        const struct stream_group *g = st->groups.v[i];

        if (stream_id_order(id, g->last_id) > 0 || stream_pending_find(g, id) != NULL) {
            return false;
        }
    }
    return true;
}

static void drop_refs(struct cmd *c, struct key key, struct stream *st, const struct stream_id *ids,
                      size_t n)
{
    for (uint32_t i = 0; i < st->groups.count; i++) {
        const struct stream_group *g = st->groups.v[i];

        if (g->pending_count > 0) {
            (void)stream_acknowledge(c, key, g->name, ids, n, NULL);
        }
    }
}

/* The operation begins with the first id, so that removing nothing changes nothing. */
static bool remove_one(struct cmd *c, struct key key, struct stream *st, struct stream_id id,
                       bool *open)
{
    bool found;

    if (stream_large_remove(c->section, st, id, false, &found) != OK || !found) {
        return false;
    }
    if (!*open) {
        *open = type_logged(c->section, change_stream_remove_begin(log_of(c), key.name));
    }
    return *open && type_logged(c->section, change_stream_remove_id(log_of(c), id.ms, id.seq));
}

/* The entries that a plain cut would remove, one by one. False: no memory; the section has failed. */
static bool list_cut(struct cmd *c, const struct stream *st, const struct stream_cut *cut,
                     struct buf *ids)
{
    struct plan p;
    struct stream_walk w;
    struct stream_entry e;

    plan_cut(&p, st, cut);
    stream_walk_begin(&w, st, STREAM_ID_MIN, STREAM_ID_MAX, false);
    for (uint64_t left = st->length; stream_walk_next(&w, &e); left--) {
        bool before = p.next == NULL || stream_id_order(e.id, p.next->first) < 0;
        bool goes = cut->by_id ? stream_id_order(e.id, cut->id) < 0 : left > cut->length;

        if (!before && !(p.part && goes)) {
            return true;
        }
        if (buf_append(ids, &e.id, sizeof(e.id)) != OK) {
            section_fail(c->section, SECTION_NOMEM);
            return false;
        }
    }
    return true;
}

static uint64_t cut_with_refs(struct cmd *c, struct key key, struct stream *st,
                              const struct stream_cut *cut)
{
    struct buf ids = {0};
    uint64_t removed = 0;
    bool open = false;

    if (list_cut(c, st, cut, &ids)) {
        const struct stream_id *v = (const struct stream_id *)(const void *)ids.ptr;
        size_t n = ids.len / sizeof(*v);

        for (size_t i = 0; i < n && !section_has_failed(c->section); i++) {
            if (cut->refs != STREAM_ACKED || is_acked(st, v[i])) {
                removed += remove_one(c, key, st, v[i], &open);
            }
        }
        end_op(c, open);
        if (cut->refs == STREAM_DROP_REFS && !section_has_failed(c->section)) {
            drop_refs(c, key, st, v, n);
        }
    }
    buf_fini(&ids);
    return removed;
}

uint64_t stream_trim(struct cmd *c, struct key key, const struct stream_cut *cut)
{
    struct stream *st = hold(c, key);

    if (st == NULL) {
        return 0;
    }
    return cut->refs == STREAM_KEEP_REFS ? cut_plain(c, key, st, cut)
                                         : cut_with_refs(c, key, st, cut);
}

static int meta_changed(struct cmd *c, struct key key, struct stream *st,
                        const struct stream_meta *m)
{
    struct change_stream_meta meta = {m->last_id.ms, m->last_id.seq, m->max_deleted.ms,
                                      m->max_deleted.seq, m->entries_added};

    if (stream_large_set_meta(c->section, st, m) != OK ||
        !type_logged(c->section, change_stream_meta(log_of(c), key.name, &meta))) {
        return ERR_NOMEM;
    }
    return OK;
}

size_t stream_remove(struct cmd *c, struct key key, const struct stream_id *ids, size_t n,
                     enum stream_refs refs, int8_t *out)
{
    struct stream *st = hold(c, key);
    struct stream_meta meta;
    size_t removed = 0;
    bool open = false;

    if (st == NULL) {
        return 0;
    }
    meta = st->meta;
    for (size_t i = 0; i < n && !section_has_failed(c->section); i++) {
        struct stream_entry e;
        int8_t was = STREAM_NOT_THERE;

        if (refs == STREAM_ACKED && stream_get(st, ids[i], &e) && !is_acked(st, ids[i])) {
            was = STREAM_REFERRED;
        } else if (remove_one(c, key, st, ids[i], &open)) {
            was = STREAM_REMOVED;
            removed++;
            if (stream_id_order(ids[i], meta.max_deleted) > 0) {
                meta.max_deleted = ids[i];
            }
        }
        if (out != NULL) {
            out[i] = was;
        }
    }
    end_op(c, open);
    if (removed > 0 && !section_has_failed(c->section) &&
        stream_id_order(meta.max_deleted, st->meta.max_deleted) != 0) {
        (void)meta_changed(c, key, st, &meta);
    }
    if (refs == STREAM_DROP_REFS && !section_has_failed(c->section)) {
        drop_refs(c, key, st, ids, n);
    }
    return removed;
}

void stream_set_meta(struct cmd *c, struct key key, const struct stream_meta *meta)
{
    struct stream *st = hold(c, key);

    if (st == NULL) {
        return;
    }
    /* The last id of an empty stream may fall: nothing that was removed may then stand above it. */
    if (st->length == 0 && stream_large_drop(c->section, st, stream_block_count(st)) != OK) {
        return;
    }
    (void)meta_changed(c, key, st, meta);
}

/* ---- Groups ---- */

void stream_set_group(struct cmd *c, struct key key, struct slice name, struct stream_id last_id,
                      int64_t entries_read)
{
    struct stream *st = hold(c, key);

    if (st == NULL) {
        return;
    }
    struct stream_group *g = stream_group_find(st, name);
    int err = g == NULL ? stream_group_add(c->section, st, name, last_id, entries_read)
                        : stream_group_set(c->section, st, g, last_id, entries_read);

    if (err == OK) {
        (void)type_logged(c->section, change_stream_group(log_of(c), key.name, name, last_id.ms,
                                                          last_id.seq, entries_read));
    }
}

void stream_delete_group(struct cmd *c, struct key key, struct slice name)
{
    struct stream *st = hold(c, key);
    struct stream_group *g = st == NULL ? NULL : stream_group_find(st, name);

    /* First the log: the name may be the group's own. */
    if (g != NULL &&
        type_logged(c->section, change_stream_delete_group(log_of(c), key.name, name))) {
        (void)stream_group_drop(c->section, st, g);
    }
}

void stream_set_consumer(struct cmd *c, struct key key, struct slice group, struct slice consumer,
                         int64_t seen_ms, int64_t active_ms)
{
    struct stream *st = hold(c, key);
    struct stream_group *g = st == NULL ? NULL : stream_group_find(st, group);
    struct stream_consumer *who = g == NULL ? NULL : stream_consumer_find(g, consumer);

    if (g == NULL) {
        return;
    }
    if (who == NULL) {
        if (stream_consumer_add(c->section, st, g, consumer, seen_ms) != OK) {
            return;
        }
        who = stream_consumer_find(g, consumer);
    } else if (who->seen_ms == seen_ms && who->active_ms == active_ms) {
        return;
    }
    if ((who->seen_ms == seen_ms && who->active_ms == active_ms) ||
        stream_consumer_set(c->section, st, who, seen_ms, active_ms) == OK) {
        (void)type_logged(c->section, change_stream_consumer(log_of(c), key.name, group, consumer,
                                                             seen_ms, active_ms));
    }
}

void stream_delete_consumer(struct cmd *c, struct key key, struct slice group,
                            struct slice consumer)
{
    struct stream *st = hold(c, key);
    struct stream_group *g = st == NULL ? NULL : stream_group_find(st, group);
    struct stream_consumer *who = g == NULL ? NULL : stream_consumer_find(g, consumer);

    if (who != NULL && type_logged(c->section, change_stream_delete_consumer(log_of(c), key.name,
                                                                             group, consumer))) {
        (void)stream_consumer_drop(c->section, st, g, who);
    }
}

/* ---- Pending entries ---- */

static bool put_one(struct cmd *c, struct stream *st, struct stream_group *g,
                    struct stream_consumer *who, const struct stream_delivery *d)
{
    return stream_pending_put(c->section, st, g, who, d) == OK &&
           type_logged(c->section, change_stream_delivery(log_of(c), d->id.ms, d->id.seq,
                                                          d->time_ms, d->count));
}

void stream_deliver(struct cmd *c, struct key key, struct slice group, struct slice consumer,
                    const struct stream_delivery *v, size_t n)
{
    struct stream *st = hold(c, key);
    struct stream_group *g = st == NULL ? NULL : stream_group_find(st, group);
    struct stream_consumer *who = g == NULL ? NULL : stream_consumer_find(g, consumer);

    if (who == NULL || n == 0 ||
        !type_logged(c->section,
                     change_stream_pending_begin(log_of(c), key.name, group, consumer))) {
        return;
    }
    for (size_t i = 0; i < n && put_one(c, st, g, who, &v[i]); i++) {
    }
    end_op(c, true);
}

size_t stream_acknowledge(struct cmd *c, struct key key, struct slice group,
                          const struct stream_id *ids, size_t n, bool *was)
{
    struct stream *st = hold(c, key);
    struct stream_group *g = st == NULL ? NULL : stream_group_find(st, group);
    struct change_writer *w = log_of(c);
    size_t acked = 0;
    bool open = false;

    for (size_t i = 0; g != NULL && i < n && !section_has_failed(c->section); i++) {
        struct stream_pending *p = stream_pending_find(g, ids[i]);

        if (was != NULL) {
            was[i] = p != NULL;
        }
        if (p == NULL) {
            continue;
        }
        if (!open) {
            open = type_logged(c->section, change_stream_acknowledge_begin(w, key.name, group));
        }
        if (open &&
            type_logged(c->section, change_stream_acknowledge_id(w, ids[i].ms, ids[i].seq)) &&
            stream_pending_drop(c->section, st, g, p) == OK) {
            acked++;
        }
    }
    end_op(c, open);
    return acked;
}

/* ---- Reading by a group ---- */

/* The group has read the entry: its place, and its count where that can be told. */
static void advance(const struct stream *st, struct stream_id id, struct stream_id *last,
                    int64_t *read)
{
    if (stream_id_order(id, *last) <= 0) {
        return;
    }
    if (*read != STREAM_READ_UNKNOWN && !stream_has_tombstones(st, id)) {
        ++*read;
    } else if (st->meta.entries_added > 0) {
        *read = stream_estimate_read(st, id);
    }
    *last = id;
}

struct reading {
    struct stream *st;
    struct stream_group *g;
    struct stream_consumer *who;
    struct stream_id last;
    int64_t read;
    bool open; /* the operation of what becomes pending */
};

static bool becomes_pending(struct cmd *c, struct key key, struct reading *r, struct stream_id id)
{
    struct stream_delivery d = {id, c->now_ms, 1};

    if (!r->open) {
        r->open = type_logged(
            c->section, change_stream_pending_begin(log_of(c), key.name, r->g->name, r->who->name));
    }
    return r->open && put_one(c, r->st, r->g, r->who, &d);
}

size_t stream_read_new(struct cmd *c, struct key key, const struct stream_news *want)
{
    struct reading r = {.st = hold(c, key)};
    struct stream_walk w;
    struct stream_entry e;
    size_t n = 0;

    r.g = r.st == NULL ? NULL : stream_group_find(r.st, want->group);
    r.who = r.g == NULL ? NULL : stream_consumer_find(r.g, want->consumer);
    if (r.who == NULL) {
        return 0;
    }
    struct stream_id from = r.last = r.g->last_id;

    r.read = r.g->entries_read;
    if (!stream_id_next(&from)) {
        return 0;
    }
    stream_walk_begin(&w, r.st, from, STREAM_ID_MAX, false);
    while ((want->count == 0 || n < want->count) && stream_walk_next(&w, &e)) {
        advance(r.st, e.id, &r.last, &r.read);
        if (!want->no_ack && !becomes_pending(c, key, &r, e.id)) {
            break;
        }
        want->emit(&e, want->arg);
        n++;
    }
    end_op(c, r.open);
    if (n > 0 && !section_has_failed(c->section)) {
        stream_set_group(c, key, want->group, r.last, r.read);
    }
    return n;
}

/* ---- RESTORE ---- */

void stream_store(struct cmd *c, struct key key, struct stream *st, int64_t expire_at_ms)
{
    struct entry *e;

    if (section_has_failed(c->section)) {
        large_free_now(&st->large);
        return;
    }
    large_settle(&st->large);
    if (large_created(c->section, &st->large) != OK) {
        return;
    }
    e = type_entry_of_large(c, key, NULL, TYPE_STREAM, st);
    if (e == NULL) {
        return;
    }
    if (!type_logged(c->section, type_log(log_of(c), key.name, e))) {
        entry_free(e);
        return;
    }
    section_put(c->section, key, e);
    if (expire_at_ms != 0 && !section_has_failed(c->section)) {
        keyspace_expire_at(c, key, expire_at_ms);
    }
}
