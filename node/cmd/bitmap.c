/* bitmap.c - commands on the bits of a string: one bit, counting, searching, combining. Bit 0 is the
 * highest of the first byte. BITFIELD is in bitfield.c. */
#include "node/cmd/bitmap.h"

#include "base/conf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "edge/options.h"
#include "node/cmd/families.h"
#include "node/cmd/string_walk.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/section.h"

#include <assert.h>

/* ---- Shared with BITFIELD ---- */

bool bitmap_offset(struct cmd *c, struct slice text, int times, uint64_t *out)
{
    int64_t n;

    if (!parse_i64(text, &n) || n < 0 || __builtin_mul_overflow(n, times, &n) ||
        (uint64_t)n / 8 >= conf_u64(&opt_proto_max_bulk_len)) {
        reply_err(c->reply, WIRE_BIT_OFFSET);
        return false;
    }
    *out = (uint64_t)n;
    return true;
}

void bitmap_load(const struct string_value *v, uint64_t at, uint8_t *out, size_t n)
{
    size_t done = 0;

    while (done < n && at + done < v->len) {
        struct slice piece = string_chunk(v, at + done);
        size_t take = piece.len < n - done ? piece.len : n - done;

        memcpy(out + done, piece.ptr, take);
        done += take;
    }
    memset(out + done, 0, n - done);
}

/* False when WRONGTYPE was answered. */
bool bitmap_read(struct cmd *c, uint32_t index, struct string_value *v, bool *found)
{
    enum found f = string_read(c, cmd_key(c, index), v);

    if (f == WRONG_TYPE) {
        reply_err(c->reply, WIRE_WRONGTYPE);
        return false;
    }
    *found = f == FOUND;
    return true;
}

/* ---- One bit ---- */

static void cmd_setbit(struct cmd *c)
{
    struct string_value v;
    uint64_t offset;
    int64_t on;
    bool found;
    uint8_t byte;

    if (!bitmap_offset(c, c->argv[2], 1, &offset)) {
        return;
    }
    if (!parse_i64(c->argv[3], &on) || (on & ~1) != 0) {
        reply_err(c->reply, WIRE_BIT_VALUE);
        return;
    }
    if (!bitmap_read(c, 1, &v, &found)) {
        return;
    }
    bitmap_load(&v, offset / 8, &byte, 1);
    unsigned shift = 7 - offset % 8;
    unsigned old = byte >> shift & 1;

    reply_int(c->reply, old);
    if (old != (unsigned)on || offset / 8 >= v.len) {
        byte = (uint8_t)((byte & ~(1u << shift)) | (unsigned)on << shift);
        string_put_range(c, c->key, offset / 8, (struct slice){(const char *)&byte, 1});
        notify(c, NOTIFY_STRING, "setbit", c->key.name);
    }
}

static void cmd_getbit(struct cmd *c)
{
    struct string_value v;
    uint64_t offset;
    bool found;
    uint8_t byte;

    if (bitmap_offset(c, c->argv[2], 1, &offset) && bitmap_read(c, 1, &v, &found)) {
        bitmap_load(&v, offset / 8, &byte, 1);
        reply_int(c->reply, byte >> (7 - offset % 8) & 1);
    }
}

/* ---- Ranges ---- */

/* A range of bits, last included, as its whole bytes and what of the outer ones does not count. */
struct range {
    int64_t first, last; /* bytes */
    uint8_t before;      /* bits of the first byte that are outside */
    uint8_t after;       /* bits of the last byte that are outside */
};

/* From what was asked; false if the range is empty. */
static bool range_of(int64_t start, int64_t end, bool in_bits, uint64_t len, struct range *out)
{
    int64_t total = (int64_t)len * (in_bits ? 8 : 1);

    start = start < 0 ? (start < -total ? 0 : start + total) : start;
    end = end < 0 ? (end < -total ? 0 : end + total) : end;
    end = end >= total ? total - 1 : end;
    if (start > end) {
        return false;
    }
    *out = (struct range){start, end, 0, 0};
    if (in_bits) {
        out->first = start / 8;
        out->last = end / 8;
        out->before = (uint8_t)(0xff00 >> start % 8);
        out->after = (uint8_t)(0x7f >> end % 8);
    }
    return true;
}

/* BYTE or BIT at argv[index]; false when an error was answered. */
static bool parse_unit(struct cmd *c, uint32_t index, bool *in_bits)
{
    *in_bits = slice_is_word(c->argv[index], "bit");
    if (!*in_bits && !slice_is_word(c->argv[index], "byte")) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    return true;
}

/* Bytes that fall outside count as `fill` from here on. */
static uint8_t edge_byte(const struct range *r, int64_t at, uint8_t byte, bool fill)
{
    uint8_t outside = (uint8_t)((at == r->first ? r->before : 0) | (at == r->last ? r->after : 0));

    return fill ? byte | outside : byte & (uint8_t)~outside;
}

/* ---- BITCOUNT ---- */

static uint64_t count_bits(struct slice s)
{
    uint64_t n = 0;
    uint64_t w[4];
    size_t i = 0;

    for (; i + sizeof(w) <= s.len; i += sizeof(w)) {
        memcpy(w, s.ptr + i, sizeof(w));
        n += (uint64_t)(__builtin_popcountll(w[0]) + __builtin_popcountll(w[1]) +
                        __builtin_popcountll(w[2]) + __builtin_popcountll(w[3]));
    }
    for (; i < s.len; i++) {
        n += (uint64_t)__builtin_popcount((uint8_t)s.ptr[i]);
    }
    return n;
}

struct count {
    struct string_walk walk;
    uint64_t bits;
};

static void count_on(struct cmd *c, struct count *n)
{
    struct slice piece;

    while (string_walk_next(c, &n->walk, &piece)) {
        n->bits += count_bits(piece);
    }
    if (!c->again) {
        reply_int(c->reply, (int64_t)n->bits);
        string_walk_end(c, &n->walk);
    }
}

static void count_go_on(struct cmd *c)
{
    count_on(c, c->progress);
}

static void count_range(struct cmd *c, const struct string_value *v, const struct range *r)
{
    struct count on_stack = {.walk = {.go_on = count_go_on}};
    struct count *n =
        string_walk_begin(c, &on_stack, sizeof(on_stack), v, (size_t)r->first, (size_t)r->last + 1);
    uint8_t byte;

    if (n == NULL) {
        return;
    }
    /* Taken off first what will be counted too much. */
    bitmap_load(v, (uint64_t)r->first, &byte, 1);
    n->bits -= (uint64_t)__builtin_popcount(byte & r->before);
    bitmap_load(v, (uint64_t)r->last, &byte, 1);
    n->bits -= (uint64_t)__builtin_popcount(byte & r->after);
    count_on(c, n);
}

static void cmd_bitcount(struct cmd *c)
{
    struct string_value v;
    struct range r;
    int64_t start = 0;
    int64_t end = -1;
    bool in_bits = false;
    bool found;

    if (c->argc != 2 && c->argc != 4 && c->argc != 5) {
        reply_err(c->reply, WIRE_SYNTAX);
        return;
    }
    if (c->argc > 2 && (!parse_i64(c->argv[2], &start) || !parse_i64(c->argv[3], &end))) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    if ((c->argc == 5 && !parse_unit(c, 4, &in_bits)) || !bitmap_read(c, 1, &v, &found)) {
        return;
    }
    if (v.len == 0 || (start < 0 && end < 0 && start > end) ||
        !range_of(start, end, in_bits, v.len, &r)) {
        reply_int(c->reply, 0);
        return;
    }
    count_range(c, &v, &r);
}

/* ---- BITPOS ---- */

/* The first byte of s that has such a bit, or s.len. */
static size_t find_byte(struct slice s, bool bit)
{
    uint64_t none = bit ? 0 : UINT64_MAX;
    uint64_t w;
    size_t i = 0;

    for (; i + sizeof(w) <= s.len; i += sizeof(w)) {
        memcpy(&w, s.ptr + i, sizeof(w));
        if (w != none) {
            break;
        }
    }
    while (i < s.len && (uint8_t)s.ptr[i] == (uint8_t)none) {
        i++;
    }
    return i;
}

struct search {
    struct string_walk walk;
    struct range r;
    bool bit;
    int64_t otherwise; /* the answer if there is none */
};

/* The position of the first such bit in a piece that begins at byte `at` of the string, or -1. */
static int64_t find_in(const struct search *s, int64_t at, struct slice piece)
{
    size_t i = find_byte(piece, s->bit);

    if (i == piece.len) {
        return -1;
    }
    unsigned b = (uint8_t)piece.ptr[i] ^ (s->bit ? 0u : 0xffu);

    return (at + (int64_t)i) * 8 + __builtin_clz(b << 24);
}

/* The same, of the range: its outer bytes alone, the others as they lie. */
static int64_t find_bit(const struct search *s, int64_t at, struct slice piece)
{
    int64_t found = -1;

    while (piece.len > 0 && found < 0) {
        struct slice part = piece;
        uint8_t byte;

        if (at == s->r.first || at == s->r.last) {
            byte = edge_byte(&s->r, at, (uint8_t)piece.ptr[0], !s->bit);
            part.len = 1;
            found = find_in(s, at, (struct slice){(const char *)&byte, 1});
        } else {
            part.len -= at + (int64_t)piece.len > s->r.last;
            found = find_in(s, at, part);
        }
        at += (int64_t)part.len;
        piece = (struct slice){piece.ptr + part.len, piece.len - part.len};
    }
    return found;
}

static void search_on(struct cmd *c, struct search *s)
{
    struct slice piece;
    int64_t found = -1;

    while (found < 0 && string_walk_next(c, &s->walk, &piece)) {
        found = find_bit(s, (int64_t)(s->walk.at - piece.len), piece);
    }
    if (!c->again) {
        reply_int(c->reply, found < 0 ? s->otherwise : found);
        string_walk_end(c, &s->walk);
    }
}

static void search_go_on(struct cmd *c)
{
    search_on(c, c->progress);
}

static void cmd_bitpos(struct cmd *c)
{
    struct string_value v;
    struct range r;
    int64_t bit;
    int64_t start = 0;
    int64_t end = -1;
    bool in_bits = false;
    bool found;

    if (!parse_i64(c->argv[2], &bit)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    if (bit != 0 && bit != 1) {
        reply_errf(c->reply, "ERR The bit argument must be 1 or 0.");
        return;
    }
    if (c->argc > 6) {
        reply_err(c->reply, WIRE_SYNTAX);
        return;
    }
    if (c->argc > 3 && !parse_i64(c->argv[3], &start)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    if (c->argc == 6 && !parse_unit(c, 5, &in_bits)) {
        return;
    }
    if (c->argc > 4 && !parse_i64(c->argv[4], &end)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    if (!bitmap_read(c, 1, &v, &found)) {
        return;
    }
    if (!found) {
        reply_int(c->reply, bit == 1 ? -1 : 0);
        return;
    }
    if (v.len == 0 || !range_of(start, end, in_bits, v.len, &r)) {
        reply_int(c->reply, -1);
        return;
    }
    struct search on_stack = {
        .walk = {.go_on = search_go_on},
        .r = r,
        .bit = bit == 1,
        /* Without an end the string goes on in zeros. */
        .otherwise = bit == 0 && c->argc <= 4 ? (int64_t)v.len * 8 : -1,
    };
    struct search *s =
        string_walk_begin(c, &on_stack, sizeof(on_stack), &v, (size_t)r.first, (size_t)r.last + 1);

    if (s != NULL) {
        search_on(c, s);
    }
}

/* ---- BITOP ---- */

enum op { OP_AND, OP_OR, OP_XOR, OP_NOT, OP_DIFF, OP_DIFF1, OP_ANDOR, OP_ONE };

static const struct {
    const char *word;
    enum op op;
    const char *name;
} ops[] = {
    {"and", OP_AND, "AND"},       {"or", OP_OR, "OR"},       {"xor", OP_XOR, "XOR"},
    {"not", OP_NOT, "NOT"},       {"diff", OP_DIFF, "DIFF"}, {"diff1", OP_DIFF1, "DIFF1"},
    {"andor", OP_ANDOR, "ANDOR"}, {"one", OP_ONE, "ONE"},
};

enum {
    WORDS = 512,     /* combined at a time */
    BITOP_SLICE = 31 /* of them read in a turn, of all sources together: a slice's bytes */
};

/* What the sources seen so far make of one stretch. */
struct mix {
    uint64_t first[WORDS]; /* of the first source, which some operations set apart */
    uint64_t all[WORDS];   /* of those combined */
    uint64_t twice[WORDS]; /* of OP_ONE: in more than one */
    uint64_t next[WORDS];
};

/* The switches stand outside the loops, which are then made of vector instructions. */
static void mix_in(struct mix *m, enum op op)
{
    switch (op) {
    case OP_AND:
        for (int i = 0; i < WORDS; i++) {
            m->all[i] &= m->next[i];
        }
        break;
    case OP_XOR:
        for (int i = 0; i < WORDS; i++) {
            m->all[i] ^= m->next[i];
        }
        break;
    case OP_ONE:
        for (int i = 0; i < WORDS; i++) {
            m->twice[i] |= m->all[i] & m->next[i];
            m->all[i] |= m->next[i];
        }
        break;
    case OP_OR:
    case OP_NOT:
    case OP_DIFF:
    case OP_DIFF1:
    case OP_ANDOR:
        for (int i = 0; i < WORDS; i++) {
            m->all[i] |= m->next[i];
        }
        break;
    }
}

static void mix_end(struct mix *m, enum op op)
{
    switch (op) {
    case OP_NOT:
        for (int i = 0; i < WORDS; i++) {
            m->all[i] = ~m->all[i];
        }
        break;
    case OP_DIFF:
        for (int i = 0; i < WORDS; i++) {
            m->all[i] = m->first[i] & ~m->all[i];
        }
        break;
    case OP_DIFF1:
        for (int i = 0; i < WORDS; i++) {
            m->all[i] &= ~m->first[i];
        }
        break;
    case OP_ANDOR:
        for (int i = 0; i < WORDS; i++) {
            m->all[i] &= m->first[i];
        }
        break;
    case OP_ONE:
        for (int i = 0; i < WORDS; i++) {
            m->all[i] &= ~m->twice[i];
        }
        break;
    case OP_AND:
    case OP_OR:
    case OP_XOR:
        break;
    }
}

/* What BITOP keeps between its slices, under the locks of all its keys. */
struct bitop {
    enum op op;
    uint32_t count; /* of sources */
    size_t len;     /* of the result */
    size_t at;
    struct buf out;               /* a result that is short; the slice at hand of a long one */
    struct string_making making;  /* a long one so far */
    struct string_value source[]; /* borrowed: the section holds their locks */
};

static void bitop_free(void *progress)
{
    struct bitop *b = progress;

    buf_fini(&b->out);
    string_making_fini(&b->making);
    mem_free(b, sizeof(*b) + b->count * sizeof(b->source[0]));
}

/* Appends the next n bytes, a multiple of the stretch or the last. */
static void combine(struct bitop *b, size_t n)
{
    bool apart = b->op == OP_DIFF || b->op == OP_DIFF1 || b->op == OP_ANDOR;
    struct mix m;

    for (size_t end = b->at + n; b->at < end; b->at += sizeof(m.all)) {
        size_t left = end - b->at;

        bitmap_load(&b->source[0], b->at, (uint8_t *)(apart ? m.first : m.all), sizeof(m.all));
        if (apart) {
            memset(m.all, 0, sizeof(m.all));
        }
        memset(m.twice, 0, sizeof(m.twice));
        for (uint32_t i = 1; i < b->count; i++) {
            bitmap_load(&b->source[i], b->at, (uint8_t *)m.next, sizeof(m.next));
            mix_in(&m, b->op);
        }
        mix_end(&m, b->op);
        buf_append_nofail(&b->out, m.all, left < sizeof(m.all) ? left : sizeof(m.all));
    }
}

/* False when an error was answered. */
static bool parse_op(struct cmd *c, enum op *op)
{
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (slice_is_word(c->argv[1], ops[i].word)) {
            *op = ops[i].op;
            if (*op == OP_NOT && c->argc != 4) {
                reply_errf(c->reply, "ERR BITOP NOT must be called with a single source key.");
                return false;
            }
            if ((*op == OP_DIFF || *op == OP_DIFF1 || *op == OP_ANDOR) && c->argc < 5) {
                reply_errf(c->reply, "ERR BITOP %s must be called with at least two source keys.",
                           ops[i].name);
                return false;
            }
            return true;
        }
    }
    reply_err(c->reply, WIRE_SYNTAX);
    return false;
}

/* The result becomes the key's. */
static void bitop_end(struct cmd *c, struct bitop *b)
{
    size_t len = b->len;

    if (b->making.len > 0) {
        string_put_made(c, cmd_key(c, 2), &b->making, 0);
    } else if (len > 0) {
        string_put_raw(c, cmd_key(c, 2), buf_slice(&b->out), 0);
    } else {
        (void)keyspace_delete(c, cmd_key(c, 2));
    }
    if (len > 0) {
        notify(c, NOTIFY_STRING, "set", c->argv[2]);
    }
    reply_int(c->reply, (int64_t)len);
}

/* So much at once that reading the sources takes no longer than a turn may. */
static void bitop_go_on(struct cmd *c)
{
    struct bitop *b = c->progress;

    assert(b->count > 0);
    size_t most = (BITOP_SLICE / b->count + 1) * sizeof(((struct mix *)NULL)->all);
    size_t n = b->len - b->at < most ? b->len - b->at : most;

    combine(b, n);
    if (b->len > STRING_SLICE) {
        if (string_make(&b->making, buf_slice(&b->out)) != OK) {
            section_fail(c->section, SECTION_NOMEM);
            return;
        }
        buf_clear(&b->out);
    }
    if (b->at < b->len) {
        c->again = true;
    } else {
        bitop_end(c, b);
    }
}

static void cmd_bitop(struct cmd *c)
{
    const size_t most = (BITOP_SLICE + 1) * sizeof(((struct mix *)NULL)->all);
    uint32_t count = c->argc - 3;
    bool found;
    enum op op;

    if (!parse_op(c, &op)) {
        return;
    }
    struct bitop *b = mem_zalloc(sizeof(*b) + count * sizeof(b->source[0]));

    if (b == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    b->op = op;
    b->count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!bitmap_read(c, 3 + i, &b->source[i], &found)) {
            bitop_free(b);
            return;
        }
        if (!found) {
            notify(c, NOTIFY_KEY_MISS, "keymiss", c->argv[3 + i]);
        }
        b->len = b->source[i].len > b->len ? b->source[i].len : b->len;
    }
    if (buf_reserve(&b->out, b->len < most ? b->len : most) != 0) {
        bitop_free(b);
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    c->progress = b;
    c->progress_free = bitop_free;
    c->go_on = bitop_go_on;
    bitop_go_on(c);
}

#define ONE KEYS(1, 1, 1)

/* clang-format off */
struct cmd_def bitmap_cmds[] = {
    { "SETBIT", 4, CMD_WRITE | CMD_GROWS, ONE, "2.2.0", cmd_setbit, "key offset value",
      "Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist." },
    { "GETBIT", 3, CMD_READ | CMD_FAST, ONE, "2.2.0", cmd_getbit, "key offset",
      "Returns a bit value by offset." },
    { "BITCOUNT", -2, CMD_READ, ONE, "2.6.0", cmd_bitcount, "key [start end [BYTE | BIT]]",
      "Counts the number of set bits (population counting) in a string." },
    { "BITPOS", -3, CMD_READ, ONE, "2.8.7", cmd_bitpos, "key bit [start [end [BYTE | BIT]]]",
      "Finds the first set (1) or clear (0) bit in a string." },
    { "BITOP", -4, CMD_WRITE | CMD_GROWS, KEYS(2, -1, 1), "2.6.0", cmd_bitop,
      "<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]",
      "Performs bitwise operations on multiple strings, and stores the result." },
    { "BITFIELD", -2, CMD_WRITE | CMD_GROWS, ONE, "3.2.0", bitfield_run,
      "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | "
      "INCRBY encoding offset increment> [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] "
      "<SET encoding offset value | INCRBY encoding offset increment> ...]]",
      "Performs arbitrary bitfield integer operations on strings." },
    { "BITFIELD_RO", -2, CMD_READ | CMD_FAST, ONE, "6.0.0", bitfield_run,
      "key [GET encoding offset [GET encoding offset ...]]",
      "Performs arbitrary read-only bitfield integer operations on strings." },
    CMD_END
};
/* clang-format on */
