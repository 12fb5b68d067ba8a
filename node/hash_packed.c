#include "node/hash_packed.h"

#include "node/packed.h"

#include <assert.h>

enum { EXPIRES = 1, HEAD_BYTES = 3, HEAD_BYTES_EXPIRES = 19 };

static bool has_expiry(struct slice block)
{
    return (block.ptr[0] & EXPIRES) != 0;
}

static int64_t read_moment(const char *at)
{
    int64_t ms;

    memcpy(&ms, at, sizeof(ms));
    return ms;
}

void hash_packed_begin(struct slice block, struct hash_packed_walk *w)
{
    assert(block.len >= HEAD_BYTES);
    w->at = block.ptr + (has_expiry(block) ? HEAD_BYTES_EXPIRES : HEAD_BYTES);
    w->end = block.ptr + block.len;
}

bool hash_packed_next(struct hash_packed_walk *w, struct hash_field *out)
{
    if (w->at == w->end) {
        return false;
    }
    const char *at = packed_read_length(w->at, &out->name.len);

    at = packed_read_length(at, &out->value.len);
    out->expire_at_ms = 0;
    if ((out->value.len & 1) != 0) {
        out->expire_at_ms = read_moment(at);
        at += sizeof(int64_t);
    }
    out->value.len >>= 1;
    out->name.ptr = at;
    out->value.ptr = at + out->name.len;
    w->at = out->value.ptr + out->value.len;
    assert(w->at <= w->end);
    return true;
}

bool hash_packed_find(struct slice block, struct slice name, int64_t now_ms, struct hash_field *out)
{
    struct hash_packed_walk w;

    hash_packed_begin(block, &w);
    while (hash_packed_next(&w, out)) {
        if (slice_is_name(out->name, name)) {
            return !hash_field_is_expired(out, now_ms);
        }
    }
    return false;
}

size_t hash_packed_total(struct slice block)
{
    uint16_t n;

    memcpy(&n, block.ptr + 1, sizeof(n));
    return n;
}

size_t hash_packed_count(struct slice block, int64_t now_ms)
{
    struct hash_packed_walk w;
    struct hash_field f;
    size_t n = 0;

    if (!has_expiry(block) || hash_packed_earliest(block) > now_ms) {
        return hash_packed_total(block);
    }
    hash_packed_begin(block, &w);
    while (hash_packed_next(&w, &f)) {
        n += !hash_field_is_expired(&f, now_ms);
    }
    return n;
}

int64_t hash_packed_earliest(struct slice block)
{
    return has_expiry(block) ? read_moment(block.ptr + HEAD_BYTES) : 0;
}

bool hash_packed_is_dead(struct slice block, int64_t now_ms)
{
    int64_t dead_at_ms = has_expiry(block) ? read_moment(block.ptr + HEAD_BYTES + 8) : 0;

    return dead_at_ms != 0 && dead_at_ms <= now_ms;
}

static size_t field_bytes(const struct hash_field *f)
{
    return packed_length_bytes(f->name.len) + packed_length_bytes(f->value.len << 1) + f->name.len +
           f->value.len + (f->expire_at_ms != 0 ? sizeof(int64_t) : 0);
}

size_t hash_packed_bytes(const struct hash_field *fields, size_t n)
{
    size_t bytes = HEAD_BYTES;
    bool expires = false;

    for (size_t i = 0; i < n; i++) {
        bytes += field_bytes(&fields[i]);
        expires = expires || fields[i].expire_at_ms != 0;
    }
    return bytes + (expires ? HEAD_BYTES_EXPIRES - HEAD_BYTES : 0);
}

static char *write_head(char *at, const struct hash_field *fields, size_t n)
{
    uint16_t count = (uint16_t)n;
    int64_t earliest = INT64_MAX;
    int64_t latest = 0;
    bool all = true;

    for (size_t i = 0; i < n; i++) {
        int64_t ms = fields[i].expire_at_ms;

        all = all && ms != 0;
        earliest = ms != 0 && ms < earliest ? ms : earliest;
        latest = ms > latest ? ms : latest;
    }
    *at = latest != 0 ? EXPIRES : 0;
    memcpy(at + 1, &count, sizeof(count));
    if (latest == 0) {
        return at + HEAD_BYTES;
    }
    latest = all ? latest : 0;
    memcpy(at + HEAD_BYTES, &earliest, sizeof(earliest));
    memcpy(at + HEAD_BYTES + sizeof(earliest), &latest, sizeof(latest));
    return at + HEAD_BYTES_EXPIRES;
}

static char *write_field(char *at, const struct hash_field *f)
{
    at = packed_write_length(at, f->name.len);
    at = packed_write_length(at, f->value.len << 1 | (f->expire_at_ms != 0));
    if (f->expire_at_ms != 0) {
        memcpy(at, &f->expire_at_ms, sizeof(f->expire_at_ms));
        at += sizeof(f->expire_at_ms);
    }
    at = packed_write_bytes(at, f->name);
    return packed_write_bytes(at, f->value);
}

void hash_packed_write(char *block, const struct hash_field *fields, size_t n)
{
    assert(n > 0);
    assert(n <= HASH_PACKED_FIELDS_MAX);
    char *at = write_head(block, fields, n);

    for (size_t i = 0; i < n; i++) {
        at = write_field(at, &fields[i]);
    }
}

bool hash_packed_cut(struct slice block, struct slice name, struct hash_packed_cut *out)
{
    struct hash_packed_walk w;
    struct hash_field f;

    if (has_expiry(block)) {
        return false;
    }
    hash_packed_begin(block, &w);
    for (const char *at = w.at; hash_packed_next(&w, &f); at = w.at) {
        if (slice_is_name(f.name, name)) {
            *out = (struct hash_packed_cut){(size_t)(at - block.ptr), (size_t)(w.at - block.ptr),
                                            false};
            return true;
        }
    }
    *out = (struct hash_packed_cut){block.len, block.len, true};
    return true;
}

size_t hash_packed_spliced_bytes(struct slice block, const struct hash_packed_cut *cut,
                                 const struct hash_field *f)
{
    return block.len - (cut->to - cut->from) + field_bytes(f);
}

void hash_packed_splice(char *out, struct slice block, const struct hash_packed_cut *cut,
                        const struct hash_field *f)
{
    assert(f->expire_at_ms == 0);
    uint16_t count = (uint16_t)(hash_packed_total(block) + cut->is_new);
    char *at = packed_write_bytes(out, (struct slice){block.ptr, cut->from});

    at = write_field(at, f);
    (void)packed_write_bytes(at, (struct slice){block.ptr + cut->to, block.len - cut->to});
    memcpy(out + 1, &count, sizeof(count));
}
