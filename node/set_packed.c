#include "node/set_packed.h"

#include "base/parse.h"
#include "node/packed.h"

size_t set_packed_count(struct slice block)
{
    unsigned width = set_packed_width(block);

    return width != 0 ? (block.len - SET_PACKED_HEAD) / width
                      : packed_count(set_packed_strings(block));
}

static inline int64_t read_int(const char *ints, size_t index, unsigned width)
{
    const char *at = ints + index * width;
    int16_t n16;
    int32_t n32;
    int64_t n64;

    switch (width) {
    case 2:
        memcpy(&n16, at, sizeof(n16));
        return n16;
    case 4:
        memcpy(&n32, at, sizeof(n32));
        return n32;
    default:
        memcpy(&n64, at, sizeof(n64));
        return n64;
    }
}

static char *write_int(char *at, int64_t n, unsigned width)
{
    int16_t n16 = (int16_t)n;
    int32_t n32 = (int32_t)n;

    switch (width) {
    case 2:
        memcpy(at, &n16, sizeof(n16));
        break;
    case 4:
        memcpy(at, &n32, sizeof(n32));
        break;
    default:
        memcpy(at, &n, sizeof(n));
        break;
    }
    return at + width;
}

int64_t set_packed_int(struct slice block, size_t index)
{
    unsigned width = set_packed_width(block);

    assert(width != 0);
    assert(index < (block.len - SET_PACKED_HEAD) / width);
    return read_int(block.ptr + SET_PACKED_HEAD, index, width);
}

bool set_packed_find_int(struct slice block, int64_t n, size_t *index)
{
    unsigned width = set_packed_width(block);
    const char *ints = block.ptr + SET_PACKED_HEAD;
    size_t low = 0;
    size_t high = (block.len - SET_PACKED_HEAD) / width;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int64_t at = read_int(ints, mid, width);

        if (at == n) {
            *index = mid;
            return true;
        }
        if (at < n) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *index = low;
    return false;
}

bool set_packed_has(struct slice block, struct slice member)
{
    struct packed_walk w;
    struct slice s;
    int64_t n;
    size_t at;

    if (set_packed_is_ints(block)) {
        return member.len <= BUF_I64_MAX && parse_i64(member, &n) &&
               set_packed_find_int(block, n, &at);
    }
    packed_begin(set_packed_strings(block), &w);
    while (packed_next(&w, &s)) {
        if (slice_is(s, member)) {
            return true;
        }
    }
    return false;
}

static struct slice digits_of(int64_t n, struct set_digits *room)
{
    return (struct slice){room->text, buf_put_i64(room->text, n)};
}

struct slice set_packed_at(struct slice block, size_t index, struct set_digits *room)
{
    return set_packed_is_ints(block) ? digits_of(set_packed_int(block, index), room)
                                     : packed_at(set_packed_strings(block), index);
}

void set_packed_begin(struct slice block, struct set_packed_walk *w)
{
    struct packed_walk strings = {NULL, NULL};

    if (!set_packed_is_ints(block)) {
        packed_begin(set_packed_strings(block), &strings);
    }
    *w = (struct set_packed_walk){
        .block = block, .count = set_packed_count(block), .at = strings.at, .end = strings.end};
}

bool set_packed_next(struct set_packed_walk *w, struct set_digits *room, struct slice *out)
{
    struct packed_walk strings = {w->at, w->end};

    if (w->index == w->count) {
        return false;
    }
    if (set_packed_is_ints(w->block)) {
        *out = digits_of(set_packed_int(w->block, w->index), room);
    } else {
        (void)packed_next(&strings, out);
        w->at = strings.at;
    }
    w->index++;
    return true;
}

static unsigned width_of(const int64_t *v, size_t n)
{
    unsigned first = set_int_width(v[0]);
    unsigned last = set_int_width(v[n - 1]);

    return first > last ? first : last; /* the others are between them */
}

size_t set_packed_int_bytes(const int64_t *v, size_t n)
{
    return SET_PACKED_HEAD + n * width_of(v, n);
}

void set_packed_write_ints(char *block, const int64_t *v, size_t n)
{
    unsigned width = width_of(v, n);

    *block++ = (char)width;
    for (size_t i = 0; i < n; i++) {
        block = write_int(block, v[i], width);
    }
}

size_t set_packed_string_bytes(const struct slice *v, size_t n)
{
    return SET_PACKED_HEAD + packed_bytes(v, n);
}

void set_packed_write_strings(char *block, const struct slice *v, size_t n)
{
    *block = 0;
    packed_write(block + SET_PACKED_HEAD, v, n);
}

void set_packed_write_with_int(char *out, struct slice block, int64_t n, size_t index)
{
    unsigned width = set_packed_width(block);
    size_t before = SET_PACKED_HEAD + index * width;

    assert(set_int_width(n) <= width);
    out = packed_write_bytes(out, (struct slice){block.ptr, before});
    out = write_int(out, n, width);
    (void)packed_write_bytes(out, (struct slice){block.ptr + before, block.len - before});
}

void set_packed_write_with_string(char *out, struct slice block, struct slice member)
{
    uint16_t count = (uint16_t)(set_packed_count(block) + 1);
    char *end = packed_write_bytes(out, block);

    end = packed_write_length(end, member.len);
    (void)packed_write_bytes(end, member);
    memcpy(out + SET_PACKED_HEAD, &count, sizeof(count));
}
