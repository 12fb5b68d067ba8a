#include "node/stream_block.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/packed.h"
#include "proto/number.h"

#include <assert.h>

enum { FLAG_REMOVED = 1, FLAG_SHARED = 2, PACKED_FRAME = 7, INT_TEXT_MAX = 20 };

/* ---- What Redis' form takes ---- */

static size_t backlen_bytes(size_t n)
{
    return n < 128 ? 1 : n < 16383 ? 2 : n < 2097151 ? 3 : n < 268435455 ? 4 : 5;
}

size_t stream_packed_int(int64_t n)
{
    if (n >= 0 && n <= 127) {
        return 2;
    }
    if (n >= -4096 && n <= 4095) {
        return 3;
    }
    if (n >= INT16_MIN && n <= INT16_MAX) {
        return 4;
    }
    if (n >= -8388608 && n <= 8388607) {
        return 5;
    }
    return n >= INT32_MIN && n <= INT32_MAX ? 6 : 10;
}

size_t stream_packed_text(struct slice s)
{
    int64_t n;

    if (s.len <= INT_TEXT_MAX && number_parse_int(s, &n)) {
        return stream_packed_int(n);
    }
    size_t bytes = (s.len < 64 ? 1 : s.len < 4096 ? 2 : 5) + s.len;

    return bytes + backlen_bytes(bytes);
}

uint64_t stream_block_packed(const struct stream_block *b)
{
    return (uint64_t)b->packed_bytes + stream_packed_int(b->live) + stream_packed_int(b->marked);
}

static size_t alloc_bytes(size_t cap)
{
    return sizeof(struct stream_block) + cap;
}

size_t stream_block_bytes(const struct stream_block *b)
{
    return mem_size(alloc_bytes(b->cap));
}

/* ---- Numbers ---- */

static const char *read_u64(const char *at, uint64_t *out)
{
    size_t n;

    at = packed_read_length(at, &n);
    *out = n;
    return at;
}

/* Seven bits a byte, the lowest in the last byte; each but the first says that one more stands before. */
static char *write_backwards(char *at, size_t n)
{
    size_t len = packed_length_bytes(n);

    for (size_t i = len; i-- > 0; n >>= 7) {
        at[i] = (char)((n & 127) | (i > 0 ? 128 : 0));
    }
    return at + len;
}

static size_t read_backwards(const char *end)
{
    size_t n = 0;
    int shift = 0;

    for (;; shift += 7) {
        size_t byte = (unsigned char)*--end;

        n |= (byte & 127) << shift;
        if (byte < 128) {
            return n;
        }
    }
}

/* ---- Making ---- */

struct plan {
    bool shared;
    uint64_t ms, seq; /* as written */
    size_t body, total;
    uint32_t packed;
};

static bool has_names(const struct stream_block *b, const struct slice *parts, size_t n)
{
    const char *at = b->bytes;
    struct slice name;

    if (b->shared != n / 2) {
        return false;
    }
    for (size_t i = 0; i < n; i += 2) {
        at = stream_name(at, &name);
        if (!slice_is(name, parts[i])) {
            return false;
        }
    }
    return true;
}

static void plan_entry(struct plan *p, struct stream_id first, struct stream_id id,
                       const struct slice *parts, size_t n)
{
    size_t step = p->shared ? 2 : 1;
    int64_t count = (int64_t)(n / 2);

    p->ms = id.ms - first.ms;
    p->seq = p->ms == 0 ? id.seq - first.seq : id.seq;
    p->body = packed_length_bytes(p->ms) + packed_length_bytes(p->seq);
    p->packed = (uint32_t)(2 + stream_packed_int((int64_t)p->ms) +
                           stream_packed_int((int64_t)(id.seq - first.seq)));
    if (!p->shared) {
        p->body += packed_length_bytes(n / 2);
        p->packed += (uint32_t)stream_packed_int(count);
    }
    for (size_t i = step - 1; i < n; i += step) {
        p->body += packed_length_bytes(parts[i].len) + parts[i].len;
        p->packed += (uint32_t)stream_packed_text(parts[i]);
    }
    p->packed += (uint32_t)stream_packed_int(p->shared ? count + 3 : 2 * count + 4);
    p->total = 1 + packed_length_bytes(p->body) + p->body;
    p->total += packed_length_bytes(p->total);
}

static void write_entry(struct stream_block *b, const struct plan *p, const struct slice *parts,
                        size_t n)
{
    char *start = b->bytes + b->used;
    char *at = start;
    size_t step = p->shared ? 2 : 1;

    *at++ = p->shared ? FLAG_SHARED : 0;
    at = packed_write_length(at, p->body);
    at = packed_write_length(at, p->ms);
    at = packed_write_length(at, p->seq);
    if (!p->shared) {
        at = packed_write_length(at, n / 2);
    }
    for (size_t i = step - 1; i < n; i += step) {
        at = packed_write_length(at, parts[i].len);
        at = packed_write_bytes(at, parts[i]);
    }
    at = write_backwards(at, (size_t)(at - start));
    assert((size_t)(at - start) == p->total);
    b->used += (uint32_t)p->total;
    b->packed_bytes += p->packed;
    b->live++;
}

/* What a block of at least this many bytes can hold in the memory that it takes anyway. */
static uint32_t rounded(size_t cap)
{
    return (uint32_t)(mem_size(alloc_bytes(cap)) - sizeof(struct stream_block));
}

struct stream_block *stream_block_create(struct stream_id id, const struct slice *parts, size_t n,
                                         size_t room)
{
    struct plan p = {.shared = true};
    size_t names = 0;
    size_t packed = PACKED_FRAME + stream_packed_int((int64_t)(n / 2)) + stream_packed_int(0);

    for (size_t i = 0; i < n; i += 2) {
        names += packed_length_bytes(parts[i].len) + parts[i].len;
        packed += stream_packed_text(parts[i]);
    }
    plan_entry(&p, id, id, parts, n);
    uint32_t cap = rounded(names + p.total > room ? names + p.total : room);
    struct stream_block *b = mem_alloc(alloc_bytes(cap));

    if (b == NULL) {
        return NULL;
    }
    *b = (struct stream_block){.first = id,
                               .cap = cap,
                               .used = (uint32_t)names,
                               .packed_bytes = (uint32_t)packed,
                               .shared = (uint32_t)(n / 2),
                               .shared_bytes = (uint32_t)names};
    char *at = b->bytes;

    for (size_t i = 0; i < n; i += 2) {
        at = packed_write_length(at, parts[i].len);
        at = packed_write_bytes(at, parts[i]);
    }
    write_entry(b, &p, parts, n);
    return b;
}

int stream_block_add(struct stream_block **of, struct stream_id id, const struct slice *parts,
                     size_t n)
{
    struct stream_block *b = *of;
    struct plan p = {.shared = has_names(b, parts, n)};

    plan_entry(&p, b->first, id, parts, n);
    if (b->cap - b->used < p.total) {
        size_t need = b->used + p.total;
        uint32_t cap = rounded(need < b->cap * (size_t)2 ? b->cap * (size_t)2 : need);

        b = mem_realloc(b, alloc_bytes(b->cap), alloc_bytes(cap));
        if (b == NULL) {
            return ERR_NOMEM;
        }
        b->cap = cap;
        *of = b;
    }
    write_entry(b, &p, parts, n);
    return OK;
}

void stream_block_free(struct stream_block *b)
{
    mem_free(b, alloc_bytes(b->cap));
}

struct stream_block *stream_block_shrink(struct stream_block *b)
{
    uint32_t cap = rounded(b->used);

    if (cap >= b->cap) {
        return b;
    }
    struct stream_block *now = mem_realloc(b, alloc_bytes(b->cap), alloc_bytes(cap));

    if (now == NULL) {
        return b;
    }
    now->cap = cap;
    return now;
}

struct stream_block *stream_block_copy(const struct stream_block *b)
{
    uint32_t cap = rounded(b->used);
    struct stream_block *twin = mem_alloc(alloc_bytes(cap));

    if (twin != NULL) {
        memcpy(twin, b, sizeof(*b) + b->used);
        twin->cap = cap;
        twin->next = NULL;
    }
    return twin;
}

/* ---- Walking ---- */

uint32_t stream_block_read(const struct stream_block *b, uint32_t at, struct stream_entry *out)
{
    const char *p = b->bytes + at;
    uint8_t flags = (uint8_t)*p;
    uint64_t ms;
    uint64_t seq;
    size_t body;

    assert(at < b->used);
    p = packed_read_length(p + 1, &body);
    size_t total = (size_t)(p - (b->bytes + at)) + body;

    p = read_u64(p, &ms);
    p = read_u64(p, &seq);
    *out = (struct stream_entry){
        .id = {b->first.ms + ms, ms == 0 ? b->first.seq + seq : seq},
        .removed = (flags & FLAG_REMOVED) != 0,
        .is_shared = (flags & FLAG_SHARED) != 0,
        .fields = b->shared,
        .names = b->bytes,
    };
    if (!out->is_shared) {
        size_t fields;

        p = packed_read_length(p, &fields);
        out->fields = (uint32_t)fields;
    }
    out->at = p;
    return at + (uint32_t)(total + packed_length_bytes(total));
}

uint32_t stream_block_before(const struct stream_block *b, uint32_t at)
{
    size_t total = read_backwards(b->bytes + at);

    assert(at > b->shared_bytes);
    return at - (uint32_t)(total + packed_length_bytes(total));
}

struct stream_id stream_block_last(const struct stream_block *b)
{
    struct stream_entry e;

    (void)stream_block_read(b, stream_block_before(b, b->used), &e);
    return e.id;
}

/* By what the ids say: of the block's two ends, the last entry is the nearer one to id. */
static bool is_nearer_the_end(const struct stream_block *b, struct stream_id last,
                              struct stream_id id)
{
    uint64_t behind = last.ms - id.ms;
    uint64_t before = id.ms - b->first.ms;

    if (before == 0 && behind == 0) {
        behind = last.seq - id.seq;
        before = id.seq - b->first.seq;
    }
    return behind < before;
}

static uint32_t seek_backwards(const struct stream_block *b, struct stream_id id)
{
    struct stream_entry e;
    uint32_t at = b->used;

    while (at > b->shared_bytes) {
        uint32_t before = stream_block_before(b, at);

        (void)stream_block_read(b, before, &e);
        if (stream_id_order(e.id, id) < 0) {
            break;
        }
        at = before;
    }
    return at;
}

uint32_t stream_block_seek(const struct stream_block *b, struct stream_id id)
{
    struct stream_id last = stream_block_last(b);
    struct stream_entry e;

    if (stream_id_order(id, last) > 0) {
        return b->used; /* who reads what is new asks for this again and again */
    }
    if (stream_id_order(id, b->first) <= 0) {
        return stream_block_begin(b);
    }
    if (is_nearer_the_end(b, last, id)) {
        return seek_backwards(b, id);
    }
    for (uint32_t at = stream_block_begin(b);;) {
        uint32_t next = stream_block_read(b, at, &e);

        if (stream_id_order(e.id, id) >= 0) {
            return at;
        }
        at = next;
    }
}

bool stream_block_find(const struct stream_block *b, struct stream_id id, uint32_t *at)
{
    struct stream_entry e;

    *at = stream_block_seek(b, id);
    if (*at == b->used) {
        return false;
    }
    (void)stream_block_read(b, *at, &e);
    return stream_id_order(e.id, id) == 0;
}

void stream_block_mark(struct stream_block *b, uint32_t at, bool removed)
{
    assert(((b->bytes[at] & FLAG_REMOVED) != 0) != removed);
    b->bytes[at] = (char)(b->bytes[at] ^ FLAG_REMOVED);
    b->live += removed ? UINT32_MAX : 1;
    b->marked += removed ? 1 : UINT32_MAX;
}

void stream_block_drop_last(struct stream_block *b, uint32_t packed_bytes_before)
{
    b->used = stream_block_before(b, b->used);
    assert((b->bytes[b->used] & FLAG_REMOVED) == 0);
    b->packed_bytes = packed_bytes_before;
    b->live--;
}

const char *stream_name(const char *at, struct slice *out)
{
    out->ptr = packed_read_length(at, &out->len);
    return out->ptr + out->len;
}

void stream_entry_field(struct stream_entry *e, struct slice *name, struct slice *value)
{
    if (e->is_shared) {
        e->names = stream_name(e->names, name);
    } else {
        e->at = stream_name(e->at, name);
    }
    e->at = stream_name(e->at, value);
}
