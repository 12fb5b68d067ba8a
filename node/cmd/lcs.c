/* lcs.c - LCS by the usual table, of which only what the way back needs is kept: two bits a cell.
 *
 * Limits  LCS_CELLS_MAX cells, 4 MiB and some tens of milliseconds at worst; beyond that the error
 *         that Redis gives when its table, of four bytes a cell, passes proto-max-bulk-len.
 */
#include "node/cmd/lcs.h"

#include "base/mem.h"
#include "base/parse.h"
#include "edge/backend.h"
#include "node/keyspace.h"
#include "node/type_string.h"

#include <assert.h>

#define LCS_CELLS_MAX ((uint64_t)16 << 20)

/* Where the way back goes from a cell. */
enum way { WAY_B, WAY_A, WAY_BOTH };

struct lcs {
    struct slice a, b;
    bool want_len, want_idx, with_len;
    int64_t match_min;
    uint8_t *ways; /* owned: rows of (b.len + 3) / 4 bytes, for a.len rows */
    size_t ways_bytes;
    uint32_t *row; /* owned: lengths, b.len + 1 */
    uint32_t len;
};

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

static void fill(struct lcs *l)
{
    for (size_t i = 0; i < l->a.len; i++) {
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
    l->len = l->row[l->b.len];
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
    reply_int(r, l->len);
}

static void reply_text(struct reply *r, const struct lcs *l)
{
    char *text = l->len == 0 ? NULL : mem_alloc(l->len);
    size_t n = l->len;

    if (l->len > 0 && text == NULL) {
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
    reply_bulk(r, (struct slice){text, l->len});
    mem_free(text, l->len);
}

static bool too_large(uint64_t a, uint64_t b)
{
    return a >= UINT32_MAX || b >= UINT32_MAX || (a + 1) * (b + 1) > LCS_CELLS_MAX;
}

static void run(struct cmd *c, struct lcs *l)
{
    uint64_t cells = (uint64_t)l->a.len * l->b.len;
    bool way_back = l->want_idx || !l->want_len;

    l->row = mem_zalloc((l->b.len + 1) * sizeof(l->row[0]));
    l->ways_bytes = way_back ? (size_t)(cells / 4 + 1) : 0;
    l->ways = way_back ? mem_zalloc(l->ways_bytes) : NULL;
    if (l->row == NULL || (way_back && l->ways == NULL)) {
        reply_errf(c->reply, "ERR Insufficient memory, failed allocating transient memory for LCS");
    } else {
        fill(l);
        if (l->want_idx) {
            reply_idx(c->reply, l);
        } else if (l->want_len) {
            reply_int(c->reply, l->len);
        } else {
            reply_text(c->reply, l);
        }
    }
    mem_free(l->ways, l->ways_bytes);
    mem_free(l->row, (l->b.len + 1) * sizeof(l->row[0]));
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

void lcs_run(struct cmd *c)
{
    struct string_value a, b;
    struct buf a_buf = {0};
    struct buf b_buf = {0};
    struct lcs l = {.row = NULL};

    if (string_read(c, cmd_key(c, 1), &a) == WRONG_TYPE ||
        string_read(c, cmd_key(c, 2), &b) == WRONG_TYPE) {
        reply_errf(c->reply, "ERR The specified keys must contain string values");
        return;
    }
    if (!parse(c, &l)) {
        return;
    }
    if (too_large(a.len, b.len)) {
        reply_errf(c->reply, "ERR Insufficient memory, transient memory for LCS exceeds "
                             "proto-max-bulk-len");
        return;
    }
    if (!string_flat(&a, &a_buf, &l.a) || !string_flat(&b, &b_buf, &l.b)) {
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        run(c, &l);
    }
    buf_fini(&a_buf);
    buf_fini(&b_buf);
}
