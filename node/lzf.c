#include "node/lzf.h"

#include <assert.h>

enum {
    LITERALS_MAX = 32,
    MATCH_MIN = 3,
    MATCH_MAX = 264,
    DISTANCE_MAX = 1 << 13,
    HEADS_LOG = 12 /* 16 KiB of the stack; a larger table finds little more in what is dumped */
};

static unsigned head_of(const uint8_t *p)
{
    uint32_t three = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;

    return (three * 2654435761u) >> (32 - HEADS_LOG);
}

struct lzf_out {
    uint8_t *at, *end;
};

static bool put_literals(struct lzf_out *o, const uint8_t *from, size_t n)
{
    while (n > 0) {
        size_t run = n < LITERALS_MAX ? n : LITERALS_MAX;

        if ((size_t)(o->end - o->at) < run + 1) {
            return false;
        }
        *o->at++ = (uint8_t)(run - 1);
        memcpy(o->at, from, run);
        o->at += run;
        from += run;
        n -= run;
    }
    return true;
}

static bool put_match(struct lzf_out *o, size_t distance, size_t len)
{
    size_t back = distance - 1;
    size_t l = len - 2;

    assert(back < DISTANCE_MAX && len >= MATCH_MIN && len <= MATCH_MAX);
    if (o->end - o->at < 3) {
        return false;
    }
    *o->at++ = (uint8_t)((l < 7 ? l : 7) << 5 | back >> 8);
    if (l >= 7) {
        *o->at++ = (uint8_t)(l - 7);
    }
    *o->at++ = (uint8_t)back;
    return true;
}

size_t lzf_compress(struct slice in, char *out, size_t room)
{
    const uint8_t *start = (const uint8_t *)in.ptr;
    const uint8_t *end = start + in.len;
    const uint8_t *p = start;
    const uint8_t *literals = start;
    struct lzf_out o = {(uint8_t *)out, (uint8_t *)out + room};
    uint32_t heads[1 << HEADS_LOG] = {0}; /* position plus one */

    if (in.len > UINT32_MAX - 1) {
        return 0;
    }
    while (end - p >= MATCH_MIN) {
        uint32_t *head = &heads[head_of(p)];
        bool has = *head != 0;
        const uint8_t *m = has ? start + *head - 1 : p;
        size_t len = MATCH_MIN;

        *head = (uint32_t)(p - start) + 1;
        if (!has || p - m > DISTANCE_MAX || memcmp(m, p, MATCH_MIN) != 0) {
            p++;
            continue;
        }
        while (len < MATCH_MAX && p + len < end && m[len] == p[len]) {
            len++;
        }
        if (!put_literals(&o, literals, (size_t)(p - literals)) ||
            !put_match(&o, (size_t)(p - m), len)) {
            return 0;
        }
        p += len;
        literals = p;
    }
    if (!put_literals(&o, literals, (size_t)(end - literals))) {
        return 0;
    }
    return (size_t)(o.at - (uint8_t *)out);
}

bool lzf_expand(struct slice in, char *out, size_t len)
{
    const uint8_t *p = (const uint8_t *)in.ptr;
    const uint8_t *end = p + in.len;
    uint8_t *o = (uint8_t *)out;
    uint8_t *o_end = o + len;

    while (p < end) {
        size_t n = *p >> 5;
        size_t back = (size_t)(*p & 31) << 8;

        if (n == 0) {
            n = (size_t)*p++ + 1;
            if ((size_t)(end - p) < n || (size_t)(o_end - o) < n) {
                return false;
            }
            memcpy(o, p, n);
            o += n;
            p += n;
            continue;
        }
        p++;
        if (end - p < (n == 7 ? 2 : 1)) {
            return false;
        }
        n += 2 + (n == 7 ? *p++ : 0u);
        back += (size_t)*p++ + 1;
        if (back > (size_t)(o - (uint8_t *)out) || (size_t)(o_end - o) < n) {
            return false;
        }
        /* Byte by byte: what is copied may be what was just written. */
        for (; n > 0; n--, o++) {
            *o = *(o - back);
        }
    }
    return o == o_end;
}
