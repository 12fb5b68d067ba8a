/* lcs.c - LCS by the usual table, of which only what the way back needs is kept: two bits a cell.
 *
 * Filling it takes a nanosecond or two a cell, so that is done in slices, one a turn, on copies of
 * the strings.
 *
 * Limits  as Redis', whose table has four bytes a cell: it may not pass proto-max-bulk-len.
 */
#include "node/cmd/lcs.h"

#include "base/conf.h"
#include "base/mem.h"
#include "base/parse.h"
#include "edge/backend.h"
#include "edge/options.h"
#include "node/keyspace.h"
#include "node/type_string.h"

#include <assert.h>

enum { SLICE_CELLS = 512 << 10, REDIS_CELL_BYTES = 4 };

/* Where the way back goes from a cell. */
enum way { WAY_B, WAY_A, WAY_BOTH };

struct lcs {
    struct buf a, b;
    bool want_len, want_idx, with_len;
    int64_t match_min;
    size_t filled; /* rows */
    uint8_t
        *ways; /* owned: two bits for each of a's and b's bytes; NULL if no way back is wanted */
    size_t ways_bytes;
    uint32_t *row; /* owned: lengths in the last row filled, b.len + 1 */
};

static void lcs_free(void *progress)
{
    struct lcs *l = progress;

    mem_free(l->ways, l->ways_bytes);
    mem_free(l->row, (l->b.len + 1) * sizeof(l->row[0]));
    buf_fini(&l->a);
    buf_fini(&l->b);
    mem_free(l, sizeof(*l));
}

static void set_way(struct lcs *l, size_t i, size_t j, enum way way)
{
    uint64_t cell = (uint64_t)i * l->b.len + j;

    l->ways[cell / 4] |= (uint8_t)((unsigned)way << (cell % 4 * 2));
}

static enum way way_at(const struct lcs *l, size_t i, size_t j)
{
    uint64_t cell = (uint64_t)i * l->b.len + j;

    return (enum way)(l->ways[cell / 4] >> (cell % 4 * 2) & 3);
}

static void fill_row(struct lcs *l, size_t i)
{
    uint32_t diagonal = 0; /* the row above, one to the left */

    for (size_t j = 0; j < l->b.len; j++) {
        uint32_t above = l->row[j + 1];
        enum way way = WAY_BOTH;

        if (l->a.ptr[i] == l->b.ptr[j]) {
            l->row[j + 1] = diagonal + 1;
        } else if (above > l->row[j]) {
            way = WAY_A;
        } else {
            l->row[j + 1] = l->row[j];
            way = WAY_B;
        }
        if (l->ways != NULL) {
            set_way(l, i, j, way);
        }
        diagonal = above;
    }
}

/* True when all of it is filled. */
static bool fill_slice(struct lcs *l)
{
    size_t rows = SLICE_CELLS / (l->b.len + 1) + 1;

    for (; rows > 0 && l->filled < l->a.len; rows--) {
        fill_row(l, l->filled++);
    }
    return l->filled == l->a.len;
}

/* A stretch that both have, by first and last byte. */
struct match {
    size_t a_first, a_last, b_first, b_last;
};

static size_t reply_match(struct reply *r, const struct lcs *l, const struct match *m)
{
    int64_t len = (int64_t)(m->a_last - m->a_first + 1);

    if (len < l->match_min) {
        return 0;
    }
    reply_array(r, l->with_len ? 3 : 2);
    reply_array(r, 2);
    reply_int(r, (int64_t)m->a_first);
    reply_int(r, (int64_t)m->a_last);
    reply_array(r, 2);
    reply_int(r, (int64_t)m->b_first);
    reply_int(r, (int64_t)m->b_last);
    if (l->with_len) {
        reply_int(r, len);
    }
    return 1;
}

static void reply_idx(struct reply *r, const struct lcs *l)
{
    struct match m = {0};
    bool in_match = false;
    size_t n = 0;
    size_t i = l->a.len;
    size_t j = l->b.len;

    reply_map(r, 2);
    reply_bulk(r, SLICE("matches"));
    size_t at = reply_array_later(r);

    while (i > 0 && j > 0) {
        enum way way = way_at(l, i - 1, j - 1);

        if (way == WAY_BOTH) {
            i--;
            j--;
            if (!in_match) {
                m.a_last = i;
                m.b_last = j;
            }
            m.a_first = i;
            m.b_first = j;
            in_match = i > 0 && j > 0;
            n += in_match ? 0 : reply_match(r, l, &m);
            continue;
        }
        if (in_match) {
            n += reply_match(r, l, &m);
            in_match = false;
        }
        i -= way == WAY_A;
        j -= way == WAY_B;
    }
    reply_array_count(r, at, n);
    reply_bulk(r, SLICE("len"));
    reply_int(r, l->row[l->b.len]);
}

static void reply_text(struct reply *r, const struct lcs *l)
{
    size_t len = l->row[l->b.len];
    size_t n = len;
    char *text = mem_alloc(len + 1);

    if (text == NULL) {
        reply_err(r, WIRE_NOMEM);
        return;
    }
    for (size_t i = l->a.len, j = l->b.len; n > 0;) {
        enum way way = way_at(l, i - 1, j - 1);

        i -= way != WAY_B;
        j -= way != WAY_A;
        if (way == WAY_BOTH) {
            text[--n] = l->a.ptr[i];
        }
    }
    reply_bulk(r, (struct slice){text, len});
    mem_free(text, len + 1);
}

/* False when an error was answered. */
static bool parse(struct cmd *c, struct lcs *l)
{
    for (uint32_t i = 3; i < c->argc; i++) {
        if (slice_is_word(c->argv[i], "idx")) {
            l->want_idx = true;
        } else if (slice_is_word(c->argv[i], "len")) {
            l->want_len = true;
        } else if (slice_is_word(c->argv[i], "withmatchlen")) {
            l->with_len = true;
        } else if (slice_is_word(c->argv[i], "minmatchlen") && i + 1 < c->argc) {
            if (!parse_i64(c->argv[++i], &l->match_min)) {
                reply_err(c->reply, WIRE_NOT_INTEGER);
                return false;
            }
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    if (l->want_idx && l->want_len) {
        reply_errf(c->reply, "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

static bool copy(struct buf *to, const struct string_value *v)
{
    if (buf_reserve(to, v->len + 1) != 0) {
        return false;
    }
    for (size_t at = 0; at < v->len; at = to->len) {
        struct slice piece = string_chunk(v, at);

        buf_append_nofail(to, piece.ptr, piece.len);
    }
    return true;
}

static bool is_too_large(uint64_t a, uint64_t b)
{
    return a >= UINT32_MAX || b >= UINT32_MAX ||
           (a + 1) * (b + 1) > conf_u64(&opt_proto_max_bulk_len) / REDIS_CELL_BYTES;
}

/* NULL when an error was answered. */
static struct lcs *begin(struct cmd *c)
{
    struct string_value a, b;
    struct lcs asked = {.filled = 0};

    if (string_read(c, cmd_key(c, 1), &a) == WRONG_TYPE ||
        string_read(c, cmd_key(c, 2), &b) == WRONG_TYPE) {
        reply_errf(c->reply, "ERR The specified keys must contain string values");
        return NULL;
    }
    if (!parse(c, &asked)) {
        return NULL;
    }
    if (is_too_large(a.len, b.len)) {
        reply_errf(c->reply, "ERR Insufficient memory, transient memory for LCS exceeds "
                             "proto-max-bulk-len");
        return NULL;
    }
    struct lcs *l = mem_alloc(sizeof(*l));

    if (l == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return NULL;
    }
    *l = asked;
    if (copy(&l->a, &a) && copy(&l->b, &b)) {
        bool way_back = l->want_idx || !l->want_len;

        l->row = mem_zalloc((b.len + 1) * sizeof(l->row[0]));
        l->ways_bytes = way_back ? a.len * b.len / 4 + 1 : 0;
        l->ways = way_back ? mem_zalloc(l->ways_bytes) : NULL;
        if (l->row != NULL && (!way_back || l->ways != NULL)) {
            return l;
        }
    }
    reply_errf(c->reply, "ERR Insufficient memory, failed allocating transient memory for LCS");
    lcs_free(l);
    return NULL;
}

void lcs_run(struct cmd *c)
{
    struct lcs *l = c->progress == NULL ? begin(c) : c->progress;

    if (l == NULL) {
        return;
    }
    if (!fill_slice(l)) {
        c->progress = l;
        c->progress_free = lcs_free;
        c->again = true;
        return;
    }
    if (l->want_idx) {
        reply_idx(c->reply, l);
    } else if (l->want_len) {
        reply_int(c->reply, l->row[l->b.len]);
    } else {
        reply_text(c->reply, l);
    }
    c->progress = NULL;
    lcs_free(l);
}
