#include "node/hash_packed.h"

#include "node/packed.h"

#include <assert.h>

enum { EXPIRES = 1, ALIKE = 2, HEAD_BYTES = 3, HEAD_BYTES_EXPIRES = 19 };

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
    w->is_alike = (block.ptr[0] & ALIKE) != 0;
    if (w->is_alike) {
        w->at = packed_read_length(w->at, &w->name_len);
        w->at = packed_read_length(w->at, &w->value_len);
    }
}

bool hash_packed_next(struct hash_packed_walk *w, struct hash_field *out)
{
    if (w->at == w->end) {
        return false;
    }
    if (w->is_alike) {
        out->name = (struct slice){w->at, w->name_len};
        out->value = (struct slice){w->at + w->name_len, w->value_len};
        out->expire_at_ms = 0;
        w->at = out->value.ptr + w->value_len;
        return true;
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
    if (w.is_alike && name.len != w.name_len) {
        return false;
    }
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

/* Fields of no bytes at all would not be seen by a walk. */
static bool are_alike(const struct hash_field *fields, size_t n)
{
    if (n == 0 || fields[0].name.len + fields[0].value.len == 0) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (fields[i].expire_at_ms != 0 || fields[i].name.len != fields[0].name.len ||
            fields[i].value.len != fields[0].value.len) {
            return false;
        }
    }
    return true;
}

static size_t alike_bytes(const struct hash_field *f, size_t n)
{
    return HEAD_BYTES + packed_length_bytes(f->name.len) + packed_length_bytes(f->value.len) +
           n * (f->name.len + f->value.len);
}

size_t hash_packed_bytes(const struct hash_field *fields, size_t n)
{
    size_t bytes = HEAD_BYTES;
    bool expires = false;

    if (are_alike(fields, n)) {
        return alike_bytes(fields, n);
    }
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

static char *write_bytes(char *at, const struct hash_field *f)
{
    at = packed_write_bytes(at, f->name);
    return packed_write_bytes(at, f->value);
}

static char *write_field(char *at, const struct hash_field *f)
{
    at = packed_write_length(at, f->name.len);
    at = packed_write_length(at, f->value.len << 1 | (f->expire_at_ms != 0));
    if (f->expire_at_ms != 0) {
        memcpy(at, &f->expire_at_ms, sizeof(f->expire_at_ms));
        at += sizeof(f->expire_at_ms);
    }
    return write_bytes(at, f);
}

static void write_alike(char *at, const struct hash_field *fields, size_t n)
{
    uint16_t count = (uint16_t)n;

    *at = ALIKE;
    memcpy(at + 1, &count, sizeof(count));
    at = packed_write_length(at + HEAD_BYTES, fields->name.len);
    at = packed_write_length(at, fields->value.len);
    for (size_t i = 0; i < n; i++) {
        at = write_bytes(at, &fields[i]);
    }
}

void hash_packed_write(char *block, const struct hash_field *fields, size_t n)
{
    assert(n > 0);
    assert(n <= HASH_PACKED_FIELDS_MAX);
    if (are_alike(fields, n)) {
        write_alike(block, fields, n);
        return;
    }
    char *at = write_head(block, fields, n);

    for (size_t i = 0; i < n; i++) {
        at = write_field(at, &fields[i]);
    }
}

bool hash_packed_cut(struct slice block, const struct hash_field *f, struct hash_packed_cut *out)
{
    struct hash_packed_walk w;
    struct hash_field old;

    if (has_expiry(block)) {
        return false;
    }
    hash_packed_begin(block, &w);
    bool fits = !w.is_alike || (f->name.len == w.name_len && f->value.len == w.value_len);

    *out = (struct hash_packed_cut){block.len, block.len, true, false, w.is_alike};
    if (!fits && hash_packed_total(block) > 1) {
        return false;
    }
    for (const char *at = w.at; hash_packed_next(&w, &old); at = w.at) {
        if (slice_is_name(old.name, f->name)) {
            out->from = (size_t)(at - block.ptr);
            out->to = (size_t)(w.at - block.ptr);
            out->is_new = false;
            out->is_only = hash_packed_total(block) == 1;
            break;
        }
    }
    return fits || out->is_only;
}

size_t hash_packed_spliced_bytes(struct slice block, const struct hash_packed_cut *cut,
                                 const struct hash_field *f)
{
    if (cut->is_only) {
        return hash_packed_bytes(f, 1);
    }
    return block.len - (cut->to - cut->from) +
           (cut->is_alike ? f->name.len + f->value.len : field_bytes(f));
}

void hash_packed_splice(char *out, struct slice block, const struct hash_packed_cut *cut,
                        const struct hash_field *f)
{
    assert(f->expire_at_ms == 0);
    if (cut->is_only) {
        hash_packed_write(out, f, 1);
        return;
    }
    uint16_t count = (uint16_t)(hash_packed_total(block) + cut->is_new);
    char *at = packed_write_bytes(out, (struct slice){block.ptr, cut->from});

    at = cut->is_alike ? write_bytes(at, f) : write_field(at, f);
    (void)packed_write_bytes(at, (struct slice){block.ptr + cut->to, block.len - cut->to});
    memcpy(out + 1, &count, sizeof(count));
}
