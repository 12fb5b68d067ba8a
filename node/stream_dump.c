#include "node/stream_dump.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/type_stream.h"
#include "proto/number.h"

#include <assert.h>
#include <endian.h>

enum { ID_BYTES = 16, FLAG_REMOVED = 1, FLAG_SHARED = 2, PACK_HEAD = 6, INT_TEXT_MAX = 20 };

/* ---- Reading a block ---- */

struct block_reader {
    struct rdb_pack pack;
    struct stream_id master;
    struct stream_id last; /* of the block before, or of the entry before */
    struct buf names;      /* struct slice: the shared ones */
    struct buf parts;      /* struct slice: of an entry */
    struct stream_block *block;
    uint64_t removed;
};

static int pack_int(struct rdb_pack *p, int64_t *out)
{
    struct slice text;
    int err = rdb_pack_is_done(p) ? ERR_CORRUPT : rdb_pack_next(p, &text);

    return err != OK ? err : number_parse_int(text, out) ? OK : ERR_CORRUPT;
}

static int pack_text(struct rdb_pack *p, struct buf *into)
{
    struct slice text;
    int err = rdb_pack_is_done(p) ? ERR_CORRUPT : rdb_pack_next(p, &text);

    return err == OK ? buf_append(into, &text, sizeof(text)) : err;
}

/* counts, then the shared names, then 0 */
static int read_head(struct block_reader *b, int64_t *live, int64_t *removed)
{
    int64_t fields = 0;
    int64_t zero = 1;
    int err = pack_int(&b->pack, live);

    err = err == OK ? pack_int(&b->pack, removed) : err;
    err = err == OK ? pack_int(&b->pack, &fields) : err;
    if (err == OK && (*live < 0 || *removed < 0 || fields <= 0)) {
        err = ERR_CORRUPT;
    }
    for (int64_t i = 0; i < fields && err == OK; i++) {
        err = pack_text(&b->pack, &b->names);
    }
    err = err == OK ? pack_int(&b->pack, &zero) : err;
    return err == OK && zero != 0 ? ERR_CORRUPT : err;
}

/* Names and values of one entry into `parts`. */
static int read_parts(struct block_reader *b, bool shared)
{
    const struct slice *names = (const struct slice *)(const void *)b->names.ptr;
    int64_t fields = (int64_t)(b->names.len / sizeof(*names));
    int64_t count = 0;
    int err = shared ? OK : pack_int(&b->pack, &fields);

    buf_clear(&b->parts);
    if (err == OK && fields <= 0) {
        err = ERR_CORRUPT;
    }
    for (int64_t i = 0; i < fields && err == OK; i++) {
        err = shared ? buf_append(&b->parts, &names[i], sizeof(names[i]))
                     : pack_text(&b->pack, &b->parts);
        err = err == OK ? pack_text(&b->pack, &b->parts) : err;
    }
    err = err == OK ? pack_int(&b->pack, &count) : err;
    return err == OK && count != (shared ? fields + 3 : 2 * fields + 4) ? ERR_CORRUPT : err;
}

static int read_entry(struct block_reader *b)
{
    int64_t flags = 0;
    int64_t ms = 0;
    int64_t seq = 0;
    int err = pack_int(&b->pack, &flags);

    err = err == OK ? pack_int(&b->pack, &ms) : err;
    err = err == OK ? pack_int(&b->pack, &seq) : err;
    if (err != OK) {
        return err;
    }
    struct stream_id id = {b->master.ms + (uint64_t)ms, b->master.seq + (uint64_t)seq};
    bool is_first = b->block == NULL;

    /* The first one has the block's names and id: what others share with it costs nothing to keep. */
    if (flags < 0 || flags > 3 || ms < 0 || stream_id_order(id, b->last) <= 0 ||
        (is_first && ((flags & FLAG_SHARED) == 0 || stream_id_order(id, b->master) != 0))) {
        return ERR_CORRUPT;
    }
    err = read_parts(b, (flags & FLAG_SHARED) != 0);
    if (err != OK) {
        return err;
    }
    const struct slice *parts = (const struct slice *)(const void *)b->parts.ptr;
    size_t n = b->parts.len / sizeof(*parts);
    uint32_t at = is_first ? 0 : b->block->used;

    if (is_first) {
        b->block = stream_block_create(id, parts, n, 0);
        at = b->block == NULL ? 0 : stream_block_begin(b->block);
        err = b->block == NULL ? ERR_NOMEM : OK;
    } else if (b->block->used > UINT32_MAX / 2) {
        err = ERR_CORRUPT;
    } else {
        err = stream_block_add(&b->block, id, parts, n);
    }
    if (err == OK && (flags & FLAG_REMOVED) != 0) {
        stream_block_mark(b->block, at, true);
    }
    b->last = id;
    return err;
}

static uint64_t big_endian(const char *p)
{
    uint64_t n;

    memcpy(&n, p, sizeof(n));
    return be64toh(n);
}

/* A block of the stream, whose ids are above *last. */
static int read_block(struct rdb_reader *r, struct stream *st, struct stream_id *last)
{
    struct block_reader b = {.last = *last};
    struct slice id;
    struct slice blob;
    int64_t live = 0;
    int64_t removed = 0;
    int err = rdb_read_string(r, &id);

    err = err == OK && id.len != ID_BYTES ? ERR_CORRUPT : err;
    err = err == OK ? rdb_read_string(r, &blob) : err;
    if (err != OK) {
        return err;
    }
    b.master = (struct stream_id){big_endian(id.ptr), big_endian(id.ptr + 8)};
    err = rdb_pack_begin(&b.pack, RDB_LISTPACK, blob, r->memory);
    err = err == OK ? read_head(&b, &live, &removed) : err;
    while (err == OK && !rdb_pack_is_done(&b.pack)) {
        err = read_entry(&b);
    }
    err = err == OK ? rdb_pack_end(&b.pack) : err;
    if (err == OK && (b.block == NULL || b.block->live != live || b.block->marked != removed)) {
        err = ERR_CORRUPT;
    }
    if (err == OK) {
        *last = b.last;
        b.block = stream_block_shrink(b.block);
        err = stream_large_add_block(st, b.block);
    } else if (b.block != NULL) {
        stream_block_free(b.block);
    }
    buf_fini(&b.names);
    buf_fini(&b.parts);
    return err;
}

/* ---- Reading groups ---- */

/* What a group's list of pending entries says; the consumers' lists say whose they are. */
struct waiting {
    struct stream_delivery d;
    bool taken;
};

static int read_raw_id(struct rdb_reader *r, struct stream_id *out)
{
    uint64_t ms = 0;
    uint64_t seq = 0;
    int err = rdb_read_u64(r, &ms);

    err = err == OK ? rdb_read_u64(r, &seq) : err;
    /* Read as little-endian, meant as big. */
    *out = (struct stream_id){__builtin_bswap64(ms), __builtin_bswap64(seq)};
    return err;
}

static int read_moment(struct rdb_reader *r, int64_t *out)
{
    uint64_t n = 0;
    int err = rdb_read_u64(r, &n);

    *out = (int64_t)n;
    return err;
}

static int read_waiting(struct rdb_reader *r, struct buf *list)
{
    uint64_t n = 0;
    struct stream_id last = STREAM_ID_MIN;
    int err = rdb_read_len(r, &n);

    for (uint64_t i = 0; i < n && err == OK; i++) {
        struct waiting w = {0};

        err = read_raw_id(r, &w.d.id);
        err = err == OK ? read_moment(r, &w.d.time_ms) : err;
        err = err == OK ? rdb_read_len(r, &w.d.count) : err;
        if (err == OK && ((i > 0 && stream_id_order(w.d.id, last) <= 0) || w.d.count > INT64_MAX)) {
            err = ERR_CORRUPT;
        }
        last = w.d.id;
        err = err == OK ? buf_append(list, &w, sizeof(w)) : err;
    }
    return err;
}

static struct waiting *find_waiting(struct buf *list, struct stream_id id)
{
    struct waiting *v = (struct waiting *)(void *)list->ptr;
    size_t low = 0;
    size_t high = list->len / sizeof(*v);

    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = stream_id_order(v[mid].d.id, id);

        if (order == 0) {
            return &v[mid];
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return NULL;
}

static int read_consumer(struct rdb_reader *r, struct stream *st, struct stream_group *g,
                         struct buf *list, int version)
{
    struct slice name;
    int64_t seen_ms = 0;
    int64_t active_ms = 0;
    uint64_t n = 0;
    int err = rdb_read_string(r, &name);

    err = err == OK ? read_moment(r, &seen_ms) : err;
    active_ms = seen_ms; /* as Redis takes it where it is not said */
    err = err == OK && version >= STREAM_DUMP_3 ? read_moment(r, &active_ms) : err;
    err = err == OK ? rdb_read_len(r, &n) : err;
    if (err == OK && (stream_consumer_find(g, name) != NULL || active_ms < -1)) {
        err = ERR_CORRUPT;
    }
    err = err == OK ? stream_consumer_add(NULL, st, g, name, seen_ms) : err;
    if (err != OK) {
        return err;
    }
    struct stream_consumer *c = stream_consumer_find(g, name);

    c->active_ms = active_ms;
    for (uint64_t i = 0; i < n && err == OK; i++) {
        struct stream_id id;
        struct waiting *w;

        err = read_raw_id(r, &id);
        w = err == OK ? find_waiting(list, id) : NULL;
        if (err == OK && (w == NULL || w->taken)) {
            err = ERR_CORRUPT;
        }
        if (err == OK) {
            w->taken = true;
            err = stream_pending_put(NULL, st, g, c, &w->d);
        }
    }
    return err;
}

static int read_group(struct rdb_reader *r, struct stream *st, int version)
{
    struct slice name;
    struct stream_id last = STREAM_ID_MIN;
    uint64_t read = (uint64_t)STREAM_READ_UNKNOWN;
    uint64_t n = 0;
    struct buf list = {0};
    int err = rdb_read_string(r, &name);

    err = err == OK ? rdb_read_len(r, &last.ms) : err;
    err = err == OK ? rdb_read_len(r, &last.seq) : err;
    err = err == OK && version >= STREAM_DUMP_2 ? rdb_read_len(r, &read) : err;
    if (err == OK && ((int64_t)read < STREAM_READ_UNKNOWN || stream_group_find(st, name) != NULL)) {
        err = ERR_CORRUPT;
    }
    err = err == OK ? stream_group_add(NULL, st, name, last, (int64_t)read) : err;
    err = err == OK ? read_waiting(r, &list) : err;
    err = err == OK ? rdb_read_len(r, &n) : err;
    for (uint64_t i = 0; i < n && err == OK; i++) {
        err = read_consumer(r, st, stream_group_find(st, name), &list, version);
    }
    if (err == OK &&
        stream_group_find(st, name)->pending_count != list.len / sizeof(struct waiting)) {
        err = ERR_CORRUPT; /* some are nobody's */
    }
    buf_fini(&list);
    return err;
}

/* ---- Reading the whole ---- */

static int read_meta(struct rdb_reader *r, struct stream *st, int version)
{
    struct stream_meta *m = &st->meta;
    uint64_t length = 0;
    struct stream_id first; /* which the entries say */
    int err = rdb_read_len(r, &length);

    err = err == OK ? rdb_read_len(r, &m->last_id.ms) : err;
    err = err == OK ? rdb_read_len(r, &m->last_id.seq) : err;
    m->entries_added = length;
    if (version >= STREAM_DUMP_2) {
        err = err == OK ? rdb_read_len(r, &first.ms) : err;
        err = err == OK ? rdb_read_len(r, &first.seq) : err;
        err = err == OK ? rdb_read_len(r, &m->max_deleted.ms) : err;
        err = err == OK ? rdb_read_len(r, &m->max_deleted.seq) : err;
        err = err == OK ? rdb_read_len(r, &m->entries_added) : err;
    }
    return err == OK && (length != st->length || m->entries_added > INT64_MAX) ? ERR_CORRUPT : err;
}

static int read_all(struct rdb_reader *r, struct stream *st, int version)
{
    struct stream_id last = STREAM_ID_MIN;
    uint64_t n = 0;
    int err = rdb_read_len(r, &n);

    for (uint64_t i = 0; i < n && err == OK; i++) {
        err = read_block(r, st, &last);
    }
    err = err == OK ? read_meta(r, st, version) : err;
    if (err == OK && stream_id_order(st->meta.last_id, last) < 0) {
        err = ERR_CORRUPT;
    }
    err = err == OK ? rdb_read_len(r, &n) : err;
    for (uint64_t i = 0; i < n && err == OK; i++) {
        err = read_group(r, st, version);
    }
    return err;
}

int stream_dump_read(struct rdb_reader *r, int version, struct stream **out)
{
    struct stream *st = stream_large_new();
    int err = st == NULL ? ERR_NOMEM : read_all(r, st, version);

    if (err != OK && st != NULL) {
        large_free_now(&st->large);
        st = NULL;
    }
    *out = st;
    return err;
}

/* ---- Writing a block ---- */

/* An element is followed by its length, seven bits a byte, the lowest in the last. */
static int end_element(struct buf *out, size_t len)
{
    char back[5];
    size_t n = len < 128 ? 1 : len < 16383 ? 2 : len < 2097151 ? 3 : len < 268435455 ? 4 : 5;

    for (size_t i = n; i-- > 0; len >>= 7) {
        back[i] = (char)((len & 127) | (i > 0 ? 128 : 0));
    }
    return buf_append(out, back, n);
}

static int write_int(struct buf *out, int64_t n)
{
    static const uint8_t heads[] = {[2] = 0xf1, [3] = 0xf2, [4] = 0xf3, [8] = 0xf4};
    uint8_t bytes[9];
    size_t len = 1;

    if (n >= 0 && n < 128) {
        bytes[0] = (uint8_t)n;
    } else if (n >= -4096 && n <= 4095) {
        bytes[0] = (uint8_t)(0xc0 | ((uint64_t)n >> 8 & 31));
        bytes[len++] = (uint8_t)n;
    } else {
        size_t width = n >= INT16_MIN && n <= INT16_MAX   ? 2
                       : n >= -8388608 && n <= 8388607    ? 3
                       : n >= INT32_MIN && n <= INT32_MAX ? 4
                                                          : 8;

        bytes[0] = heads[width];
        for (size_t i = 0; i < width; i++) {
            bytes[len++] = (uint8_t)((uint64_t)n >> 8 * i);
        }
    }
    int err = buf_append(out, bytes, len);

    return err == OK ? end_element(out, len) : err;
}

static int write_text(struct buf *out, struct slice s)
{
    uint8_t head[5];
    size_t len = 1;
    int64_t n;

    if (s.len <= INT_TEXT_MAX && number_parse_int(s, &n)) {
        return write_int(out, n);
    }
    if (s.len < 64) {
        head[0] = (uint8_t)(0x80 | s.len);
    } else if (s.len < 4096) {
        head[0] = (uint8_t)(0xe0 | s.len >> 8);
        head[len++] = (uint8_t)s.len;
    } else {
        uint32_t le = htole32((uint32_t)s.len);

        head[0] = 0xf0;
        memcpy(head + 1, &le, sizeof(le));
        len = 5;
    }
    int err = buf_append(out, head, len);

    err = err == OK ? buf_append_slice(out, s) : err;
    return err == OK ? end_element(out, len + s.len) : err;
}

static int write_entry(struct buf *out, const struct stream_block *b, struct stream_entry *e)
{
    int64_t fields = e->fields;
    int err = write_int(out, (e->removed ? FLAG_REMOVED : 0) | (e->is_shared ? FLAG_SHARED : 0));

    err = err == OK ? write_int(out, (int64_t)(e->id.ms - b->first.ms)) : err;
    err = err == OK ? write_int(out, (int64_t)(e->id.seq - b->first.seq)) : err;
    err = err == OK && !e->is_shared ? write_int(out, fields) : err;
    for (int64_t i = 0; i < fields && err == OK; i++) {
        struct slice name;
        struct slice value;
        bool shared = e->is_shared;

        stream_entry_field(e, &name, &value);
        err = shared ? OK : write_text(out, name);
        err = err == OK ? write_text(out, value) : err;
    }
    return err == OK ? write_int(out, e->is_shared ? fields + 3 : 2 * fields + 4) : err;
}

/* How many elements the form has: a number that the head holds if it is small. */
static uint64_t elements(const struct stream_block *b)
{
    uint64_t n = 4 + (uint64_t)b->shared;
    struct stream_entry e;

    for (uint32_t at = stream_block_begin(b); at < b->used;) {
        at = stream_block_read(b, at, &e);
        n += e.is_shared ? 4 + (uint64_t)e.fields : 5 + 2 * (uint64_t)e.fields;
    }
    return n;
}

static int write_pack(struct buf *out, const struct stream_block *b)
{
    uint64_t count = elements(b);
    uint32_t total = htole32((uint32_t)stream_block_packed(b));
    uint16_t few = htole16((uint16_t)(count < UINT16_MAX ? count : UINT16_MAX));
    const char *at = b->bytes;
    struct stream_entry e;
    int err = buf_append(out, &total, sizeof(total));

    err = err == OK ? buf_append(out, &few, sizeof(few)) : err;
    err = err == OK ? write_int(out, b->live) : err;
    err = err == OK ? write_int(out, b->marked) : err;
    err = err == OK ? write_int(out, b->shared) : err;
    for (uint32_t i = 0; i < b->shared && err == OK; i++) {
        struct slice name;

        at = stream_name(at, &name);
        err = write_text(out, name);
    }
    err = err == OK ? write_int(out, 0) : err;
    for (uint32_t place = stream_block_begin(b); place < b->used && err == OK;) {
        place = stream_block_read(b, place, &e);
        err = write_entry(out, b, &e);
    }
    err = err == OK ? buf_append_char(out, (char)0xff) : err;
    assert(err != OK || out->len == stream_block_packed(b));
    return err;
}

static void put_id(char out[ID_BYTES], struct stream_id id)
{
    uint64_t ms = htobe64(id.ms);
    uint64_t seq = htobe64(id.seq);

    memcpy(out, &ms, sizeof(ms));
    memcpy(out + 8, &seq, sizeof(seq));
}

static int write_block(struct buf *out, const struct stream_block *b, struct buf *scratch)
{
    char id[ID_BYTES];
    int err;

    put_id(id, b->first);
    buf_clear(scratch);
    err = write_pack(scratch, b);
    err = err == OK ? rdb_write_string(out, (struct slice){id, sizeof(id)}) : err;
    return err == OK ? rdb_write_string(out, buf_slice(scratch)) : err;
}

static int write_blocks(struct buf *out, const struct stream *st)
{
    struct buf scratch = {0};
    struct id_at at;
    bool more = id_list_first(&st->blocks, &at);
    int err = rdb_write_len(out, stream_block_count(st));

    for (; more && err == OK; more = id_list_next(&st->blocks, &at)) {
        const struct stream_block *b = id_list_at(&st->blocks, at);

        err = b->is_gone ? OK : write_block(out, b, &scratch);
    }
    buf_fini(&scratch);
    return err;
}

/* ---- Writing groups ---- */

static int write_id(struct buf *out, struct stream_id id)
{
    int err = rdb_write_len(out, id.ms);

    return err == OK ? rdb_write_len(out, id.seq) : err;
}

static int write_moment(struct buf *out, int64_t ms)
{
    uint64_t le = htole64((uint64_t)ms);

    return buf_append(out, &le, sizeof(le));
}

/* Of one consumer the ids alone, of a group (NULL) with what is known of them. */
static int write_pending(struct buf *out, const struct stream_group *g,
                         const struct stream_consumer *of)
{
    struct stream_id from = STREAM_ID_MIN;
    bool more = true;
    int err = rdb_write_len(out, of == NULL ? g->pending_count : of->pending_count);

    while (more && err == OK) {
        const struct stream_pending *p = stream_pending_seek(g, of, from);
        char id[ID_BYTES];

        if (p == NULL) {
            break;
        }
        put_id(id, p->id);
        err = buf_append(out, id, sizeof(id));
        if (of == NULL) {
            err = err == OK ? write_moment(out, p->time_ms) : err;
            err = err == OK ? rdb_write_len(out, p->count) : err;
        }
        from = p->id;
        more = stream_id_next(&from);
    }
    return err;
}

static int write_group(struct buf *out, const struct stream_group *g)
{
    int err = rdb_write_string(out, g->name);

    err = err == OK ? write_id(out, g->last_id) : err;
    err = err == OK ? rdb_write_len(out, (uint64_t)g->entries_read) : err;
    err = err == OK ? write_pending(out, g, NULL) : err;
    err = err == OK ? rdb_write_len(out, g->consumers.count) : err;
    for (uint32_t i = 0; i < g->consumers.count && err == OK; i++) {
        const struct stream_consumer *c = g->consumers.v[i];

        err = rdb_write_string(out, c->name);
        err = err == OK ? write_moment(out, c->seen_ms) : err;
        err = err == OK ? write_pending(out, g, c) : err;
    }
    return err;
}

int stream_dump_write(const struct stream *st, struct buf *out)
{
    int err = write_blocks(out, st);

    err = err == OK ? rdb_write_len(out, st->length) : err;
    err = err == OK ? write_id(out, st->meta.last_id) : err;
    err = err == OK ? write_id(out, stream_first_id(st)) : err;
    err = err == OK ? write_id(out, st->meta.max_deleted) : err;
    err = err == OK ? rdb_write_len(out, st->meta.entries_added) : err;
    err = err == OK ? rdb_write_len(out, st->groups.count) : err;
    for (uint32_t i = 0; i < st->groups.count && err == OK; i++) {
        err = write_group(out, st->groups.v[i]);
    }
    return err;
}
