#include "node/zset_packed.h"

#include <assert.h>
#include <math.h>

enum { KIND_ZERO, KIND_INT, KIND_FLOAT, KIND_DOUBLE, KIND_BITS = 2 };

/* Integers of at most five bytes as varints of their zigzag form; larger ones take no more as doubles. */
#define INT_MOST 17179869183.0

static int kind_of(double score)
{
    if (score == 0) {
        return KIND_ZERO;
    }
    if (score >= -INT_MOST && score <= INT_MOST && score == (double)(int64_t)score) {
        return KIND_INT;
    }
    return (double)(float)score == score ? KIND_FLOAT : KIND_DOUBLE;
}

static uint64_t zigzag(double score)
{
    int64_t n = (int64_t)score;

    return (uint64_t)n << 1 ^ (n < 0 ? UINT64_MAX : 0);
}

double zset_packed_score(double score)
{
    return score == 0 ? 0 : score;
}

const char *zset_packed_read(const char *at, struct zset_item *out)
{
    size_t head;
    size_t n;
    float f;

    at = packed_read_length(at, &head);
    switch (head & ((1 << KIND_BITS) - 1)) {
    case KIND_ZERO:
        out->score = 0;
        break;
    case KIND_INT:
        at = packed_read_length(at, &n);
        out->score = (double)((int64_t)(n >> 1) ^ -(int64_t)(n & 1));
        break;
    case KIND_FLOAT:
        memcpy(&f, at, sizeof(f));
        out->score = f;
        at += sizeof(f);
        break;
    default:
        memcpy(&out->score, at, sizeof(out->score));
        at += sizeof(out->score);
        break;
    }
    out->member = (struct slice){at, head >> KIND_BITS};
    return at + out->member.len;
}

size_t zset_packed_item_bytes(const struct zset_item *i)
{
    int kind = kind_of(i->score);
    size_t score = kind == KIND_ZERO    ? 0
                   : kind == KIND_INT   ? packed_length_bytes(zigzag(i->score))
                   : kind == KIND_FLOAT ? sizeof(float)
                                        : sizeof(double);

    return packed_length_bytes(i->member.len << KIND_BITS) + score + i->member.len;
}

char *zset_packed_write_item(char *at, const struct zset_item *i)
{
    int kind = kind_of(i->score);
    float f = (float)i->score;

    at = packed_write_length(at, i->member.len << KIND_BITS | (size_t)kind);
    if (kind == KIND_INT) {
        at = packed_write_length(at, zigzag(i->score));
    } else if (kind == KIND_FLOAT) {
        memcpy(at, &f, sizeof(f));
        at += sizeof(f);
    } else if (kind == KIND_DOUBLE) {
        memcpy(at, &i->score, sizeof(i->score));
        at += sizeof(i->score);
    }
    return packed_write_bytes(at, i->member);
}

/* ---- Finding ---- */

static const char *first_of(struct slice block)
{
    return block.ptr + PACKED_HEAD;
}

static const char *end_of(struct slice block)
{
    return block.ptr + block.len;
}

const char *zset_packed_at(struct slice block, size_t rank)
{
    const char *at = first_of(block);
    struct zset_item i;

    while (rank > 0 && at != end_of(block)) {
        at = zset_packed_read(at, &i);
        rank--;
    }
    return at;
}

bool zset_packed_find(struct slice block, struct slice member, struct zset_item *out, size_t *rank)
{
    *rank = 0;
    for (const char *at = first_of(block); at != end_of(block); ++*rank) {
        at = zset_packed_read(at, out);
        if (slice_is(out->member, member)) {
            return true;
        }
    }
    return false;
}

size_t zset_packed_before(struct slice block, const struct rank_bound *b)
{
    struct zset_item i;
    size_t n = 0;

    for (const char *at = first_of(block); at != end_of(block); n++) {
        at = zset_packed_read(at, &i);
        if (!rank_is_before(i.score, i.member, b)) {
            break;
        }
    }
    return n;
}

/* ---- Editing ---- */

bool zset_packed_edit(struct slice block, struct slice member, double score, struct zset_edit *out,
                      double *old)
{
    struct zset_item i;
    bool found = false;
    bool placed = false;

    *out = (struct zset_edit){.puts = true, .item = {member, score}};
    for (const char *at = first_of(block); at != end_of(block);) {
        const char *next = zset_packed_read(at, &i);

        if (!found && slice_is(i.member, member)) {
            found = true;
            *old = i.score;
            out->cut_at = (size_t)(at - block.ptr);
            out->cut_len = (size_t)(next - at);
            out->cut_count = 1;
        } else if (!placed &&
                   (i.score > score || (i.score == score && slice_order(i.member, member) > 0))) {
            placed = true;
            out->put_at = (size_t)(at - block.ptr);
        }
        at = next;
    }
    out->put_at = placed ? out->put_at : block.len;
    out->cut_at = found ? out->cut_at : block.len;
    return found;
}

void zset_packed_cut(struct slice block, size_t from, size_t n, struct zset_edit *out)
{
    const char *at = zset_packed_at(block, from);
    const char *end = at;
    struct zset_item i;

    *out = (struct zset_edit){.cut_at = (size_t)(at - block.ptr), .put_at = block.len};
    while (out->cut_count < n && end != end_of(block)) {
        end = zset_packed_read(end, &i);
        out->cut_count++;
    }
    out->cut_len = (size_t)(end - at);
}

size_t zset_packed_edited_bytes(struct slice block, const struct zset_edit *e)
{
    return block.len - e->cut_len + (e->puts ? zset_packed_item_bytes(&e->item) : 0);
}

static char *copy_range(char *out, struct slice block, size_t from, size_t to)
{
    memcpy(out, block.ptr + from, to - from);
    return out + (to - from);
}

void zset_packed_apply(struct slice block, const struct zset_edit *e, char *out)
{
    size_t cut_end = e->cut_at + e->cut_len;
    uint16_t count = (uint16_t)(packed_count(block) - e->cut_count + e->puts);
    char *at = out + PACKED_HEAD;

    memcpy(out, &count, sizeof(count));
    if (e->puts && e->put_at <= e->cut_at) {
        at = copy_range(at, block, PACKED_HEAD, e->put_at);
        at = zset_packed_write_item(at, &e->item);
        at = copy_range(at, block, e->put_at, e->cut_at);
        (void)copy_range(at, block, cut_end, block.len);
        return;
    }
    assert(e->put_at >= cut_end);
    at = copy_range(at, block, PACKED_HEAD, e->cut_at);
    at = copy_range(at, block, cut_end, e->put_at);
    at = e->puts ? zset_packed_write_item(at, &e->item) : at;
    (void)copy_range(at, block, e->put_at, block.len);
}
