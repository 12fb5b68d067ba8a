/* type_stream.c - reading streams, and what the store asks of them; type_stream_write.c writes. */
#include "node/type_stream.h"

#include "base/err.h"
#include "base/parse.h"
#include "node/slices.h"
#include "node/type.h"
#include "proto/number.h"

#include <assert.h>

/* ---- Ids ---- */

/* As strtoull() reads digits: blanks, a plus and zeros may stand before them. */
static bool parse_lenient(struct slice text, uint64_t *out)
{
    size_t i = 0;
    uint64_t n = 0;

    while (i < text.len && (text.ptr[i] == ' ' || (text.ptr[i] >= '\t' && text.ptr[i] <= '\r'))) {
        i++;
    }
    i += i < text.len && text.ptr[i] == '+';
    if (i == text.len) {
        return false;
    }
    for (; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, digit, &n)) {
            return false;
        }
    }
    *out = n;
    return true;
}

bool stream_id_parse(struct slice text, uint64_t missing, struct stream_id *out)
{
    enum { TEXT_MOST = 127 };
    const char *zero = text.len == 0 ? NULL : memchr(text.ptr, '\0', text.len);

    if (text.len > TEXT_MOST || text.len == 0) {
        return false;
    }
    if (zero != NULL) { /* Redis reads up to it */
        text.len = (size_t)(zero - text.ptr);
    }
    const char *dash = text.len == 0 ? NULL : memchr(text.ptr, '-', text.len);
    struct slice ms = {text.ptr, dash == NULL ? text.len : (size_t)(dash - text.ptr)};

    out->seq = missing;
    return parse_lenient(ms, &out->ms) &&
           (dash == NULL ||
            parse_lenient((struct slice){dash + 1, text.len - ms.len - 1}, &out->seq));
}

size_t stream_id_print(char out[STREAM_ID_TEXT_MAX], struct stream_id id)
{
    size_t n = buf_put_u64(out, id.ms);

    out[n++] = '-';
    return n + buf_put_u64(out + n, id.seq);
}

/* ---- Reading ---- */

enum found stream_open(struct cmd *c, struct key key, struct stream_view *out)
{
    enum found found = large_open(c, key, TYPE_STREAM, &out->view);

    if (found == FOUND) {
        out->st = stream_of(out->view.entry);
    }
    return found;
}

void stream_close(struct stream_view *v)
{
    large_close(&v->view);
}

static void walk_forwards(struct stream_walk *w)
{
    const struct stream *st = w->st;
    bool more;

    if (w->block != NULL) { /* the first one may begin before `from` */
        w->at = stream_block_seek(w->block, w->from);
        return;
    }
    more = id_list_seek(&st->blocks, w->from, &w->place);
    for (; more; more = id_list_next(&st->blocks, &w->place)) {
        w->block = id_list_at(&st->blocks, w->place);
        w->at = stream_block_begin(w->block);
        if (!w->block->is_gone) {
            return;
        }
    }
    w->block = NULL;
}

void stream_walk_begin(struct stream_walk *w, const struct stream *st, struct stream_id from,
                       struct stream_id to, bool backwards)
{
    struct stream_entry e;

    *w = (struct stream_walk){.st = st, .from = from, .to = to, .backwards = backwards};
    w->block = stream_block_at_or_before(st, backwards ? to : from, &w->place);
    if (!backwards) {
        walk_forwards(w);
    } else if (w->block != NULL) {
        w->at = stream_block_seek(w->block, to);
        if (w->at < w->block->used) {
            uint32_t next = stream_block_read(w->block, w->at, &e);

            w->at = stream_id_order(e.id, to) == 0 ? next : w->at;
        }
    }
}

/* To the next block that is there; false: none. */
static bool step(struct stream_walk *w)
{
    const struct id_list *l = &w->st->blocks;

    while (w->backwards ? id_list_previous(l, &w->place) : id_list_next(l, &w->place)) {
        w->block = id_list_at(l, w->place);
        w->at = w->backwards ? w->block->used : stream_block_begin(w->block);
        if (!w->block->is_gone) {
            return true;
        }
    }
    w->block = NULL;
    return false;
}

bool stream_walk_is_long(const struct stream_walk *w)
{
    struct stream_walk on = *w;
    size_t steps = 0;

    while (on.block != NULL && steps <= SLICES_FEW) {
        steps += on.block->live + on.block->used / 256;
        if (on.backwards ? stream_id_order(on.block->first, on.from) < 0
                         : stream_id_order(on.block->first, on.to) > 0) {
            return false;
        }
        (void)step(&on);
    }
    return steps > SLICES_FEW;
}

bool stream_walk_next(struct stream_walk *w, struct stream_entry *out)
{
    (void)slices_tick(3);
    while (w->block != NULL) {
        uint32_t end = w->backwards ? stream_block_begin(w->block) : w->block->used;

        if (w->at == end) {
            (void)step(w);
            continue;
        }
        if (w->backwards) {
            w->at = stream_block_before(w->block, w->at);
            (void)stream_block_read(w->block, w->at, out);
        } else {
            w->at = stream_block_read(w->block, w->at, out);
        }
        if (w->backwards ? stream_id_order(out->id, w->from) < 0
                         : stream_id_order(out->id, w->to) > 0) {
            w->block = NULL;
        } else if (!out->removed) {
            return true;
        }
    }
    return false;
}

bool stream_get(const struct stream *st, struct stream_id id, struct stream_entry *out)
{
    struct id_at place;
    uint32_t at;
    const struct stream_block *b = stream_block_at_or_before(st, id, &place);

    (void)slices_tick(4);
    if (b == NULL || !stream_block_find(b, id, &at)) {
        return false;
    }
    (void)stream_block_read(b, at, out);
    return !out->removed;
}

static struct stream_id edge(const struct stream *st, bool last)
{
    struct stream_walk w;
    struct stream_entry e;

    stream_walk_begin(&w, st, STREAM_ID_MIN, STREAM_ID_MAX, last);
    return stream_walk_next(&w, &e) ? e.id : STREAM_ID_MIN;
}

struct stream_id stream_first_id(const struct stream *st)
{
    return edge(st, false);
}

struct stream_id stream_last_id(const struct stream *st)
{
    return edge(st, true);
}

/* ---- How far a group has come ---- */

bool stream_has_tombstones(const struct stream *st, struct stream_id from)
{
    return st->length > 0 && !stream_id_is_zero(st->meta.max_deleted) &&
           stream_id_order(from, st->meta.max_deleted) <= 0 &&
           stream_id_order(stream_first_id(st), st->meta.max_deleted) <= 0;
}

int64_t stream_estimate_read(const struct stream *st, struct stream_id id)
{
    const struct stream_meta *m = &st->meta;
    int to_last = stream_id_order(id, m->last_id);

    if (m->entries_added == 0) {
        return 0;
    }
    if ((st->length == 0 && to_last <= 0) || to_last == 0) {
        return (int64_t)m->entries_added;
    }
    if (to_last > 0) {
        return STREAM_READ_UNKNOWN;
    }
    struct stream_id first = stream_first_id(st);
    int to_first = stream_id_order(id, first);

    if (to_first <= 0 &&
        (stream_id_is_zero(m->max_deleted) || stream_id_order(m->max_deleted, first) < 0)) {
        return (int64_t)(m->entries_added - st->length + (to_first == 0));
    }
    return STREAM_READ_UNKNOWN;
}

bool stream_lag(const struct stream *st, const struct stream_group *g, int64_t *out)
{
    int64_t read = g->entries_read;

    *out = 0;
    if (st->meta.entries_added == 0) {
        return true;
    }
    if (read == STREAM_READ_UNKNOWN || stream_has_tombstones(st, g->last_id)) {
        read = stream_estimate_read(st, g->last_id);
    }
    *out = (int64_t)(st->meta.entries_added - (uint64_t)read);
    return read != STREAM_READ_UNKNOWN;
}

/* ---- What the store asks ---- */

static const char *encoding(const struct entry *e)
{
    (void)e;
    return "stream";
}

static struct entry *copy(const struct entry *e, struct slice key, int64_t expire_at_ms,
                          bool clocked)
{
    struct entry *n = entry_create(&(struct entry_spec){
        .type = TYPE_STREAM,
        .encoding = ENC_LARGE,
        .key = key,
        .payload_len = sizeof(struct stream *),
        .expire_at_ms = expire_at_ms,
        .clocked = clocked,
    });
    struct stream *twin = n == NULL ? NULL : stream_large_copy(stream_of(e));

    if (twin == NULL) {
        entry_free(n);
        return NULL;
    }
    memcpy(entry_payload_ptr(n), &twin, sizeof(struct stream *));
    return n;
}

static int log_entry(struct change_writer *w, struct slice key, struct stream_entry *e,
                     struct buf *parts)
{
    buf_clear(parts);
    if (buf_reserve(parts, 2 * (size_t)e->fields * sizeof(struct slice)) != OK) {
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < e->fields; i++) {
        struct slice pair[2];

        stream_entry_field(e, &pair[0], &pair[1]);
        buf_append_nofail(parts, pair, sizeof(pair));
    }
    return change_stream_append(w, key, e->id.ms, e->id.seq,
                                (const struct slice *)(const void *)parts->ptr,
                                2 * (size_t)e->fields);
}

static int log_entries(struct change_writer *w, struct slice key, const struct stream *st)
{
    struct stream_walk walk;
    struct stream_entry e;
    struct buf parts = {0};
    int err = OK;

    stream_walk_begin(&walk, st, STREAM_ID_MIN, STREAM_ID_MAX, false);
    while (err == OK && stream_walk_next(&walk, &e)) {
        err = log_entry(w, key, &e, &parts);
    }
    buf_fini(&parts);
    return err;
}

static int log_consumer(struct change_writer *w, struct slice key, const struct stream_group *g,
                        const struct stream_consumer *c)
{
    struct stream_pending *p = stream_pending_seek(g, c, STREAM_ID_MIN);
    int err = change_stream_consumer(w, key, g->name, c->name, c->seen_ms, c->active_ms);

    if (err != OK || p == NULL) {
        return err;
    }
    err = change_stream_pending_begin(w, key, g->name, c->name);
    if (err != OK) {
        return err;
    }
    while (err == OK && p != NULL) {
        struct stream_id next = p->id;

        err = change_stream_delivery(w, p->id.ms, p->id.seq, p->time_ms, p->count);
        p = stream_id_next(&next) ? stream_pending_seek(g, c, next) : NULL;
    }
    if (err != OK) {
        change_drop_open(w);
        return err;
    }
    change_stream_end(w);
    return OK;
}

static int log_group(struct change_writer *w, struct slice key, const struct stream_group *g)
{
    int err = change_stream_group(w, key, g->name, g->last_id.ms, g->last_id.seq, g->entries_read);

    for (uint32_t i = 0; err == OK && i < g->consumers.count; i++) {
        err = log_consumer(w, key, g, g->consumers.v[i]);
    }
    return err;
}

/* Under the partition's lock. */
static int log_whole(struct change_writer *w, struct slice key, const struct entry *e)
{
    const struct stream *st = stream_of(e);
    struct change_stream_meta meta = {st->meta.last_id.ms, st->meta.last_id.seq,
                                      st->meta.max_deleted.ms, st->meta.max_deleted.seq,
                                      st->meta.entries_added};
    int err = change_stream_create(w, key, true, entry_expire_at_ms(e));

    err = err == OK ? log_entries(w, key, st) : err;
    err = err == OK ? change_stream_meta(w, key, &meta) : err;
    for (uint32_t i = 0; err == OK && i < st->groups.count; i++) {
        err = log_group(w, key, st->groups.v[i]);
    }
    return err;
}

const struct type_ops type_stream_ops = {
    .name = "stream",
    .encoding = encoding,
    .free_value = stream_large_free,
    .object = type_large_object,
    .value_bytes = type_large_bytes,
    .copy = copy,
    .log = log_whole,
};
