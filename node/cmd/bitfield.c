/* bitfield.c - BITFIELD: integers of any width at any bit of a string.
 *
 * All arguments are judged before the first operation runs. The operations then work on a window of
 * the value, so that many of them on neighbouring bits make one change.
 */
#include "base/mem.h"
#include "base/parse.h"
#include "node/cmd/bitmap.h"
#include "node/keyspace.h"
#include "node/notify.h"

#include <assert.h>

enum kind { FIELD_GET, FIELD_SET, FIELD_INCRBY };
enum overflow { WRAP, SAT, FAIL };

struct field {
    uint64_t offset; /* bits */
    int64_t value;   /* of SET and INCRBY */
    uint8_t bits;    /* 1 to 64 */
    bool is_signed;
    uint8_t kind;     /* enum kind */
    uint8_t overflow; /* enum overflow */
};

/* ---- Arguments ---- */

/* "i8", "u16" …; false when an error was answered. */
static bool parse_type(struct cmd *c, struct slice text, struct field *f)
{
    int64_t bits;

    f->is_signed = text.len > 0 && text.ptr[0] == 'i';
    if (text.len < 2 || (text.ptr[0] != 'i' && text.ptr[0] != 'u') ||
        !parse_i64((struct slice){text.ptr + 1, text.len - 1}, &bits) || bits < 1 ||
        bits > (f->is_signed ? 64 : 63)) {
        reply_errf(c->reply,
                   "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is "
                   "not supported but i64 is.");
        return false;
    }
    f->bits = (uint8_t)bits;
    return true;
}

static bool parse_overflow(struct cmd *c, struct slice word, enum overflow *out)
{
    if (slice_is_word(word, "wrap")) {
        *out = WRAP;
    } else if (slice_is_word(word, "sat")) {
        *out = SAT;
    } else if (slice_is_word(word, "fail")) {
        *out = FAIL;
    } else {
        reply_errf(c->reply, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

/* An operation that begins at argv[*i], its arguments taken along; false when an error was answered. */
static bool parse_field(struct cmd *c, uint32_t *i, struct field *f)
{
    struct slice word = c->argv[*i];
    uint32_t left = c->argc - *i - 1;

    if (slice_is_word(word, "get") && left >= 2) {
        f->kind = FIELD_GET;
    } else if (slice_is_word(word, "set") && left >= 3) {
        f->kind = FIELD_SET;
    } else if (slice_is_word(word, "incrby") && left >= 3) {
        f->kind = FIELD_INCRBY;
    } else {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    if (!parse_type(c, c->argv[*i + 1], f)) {
        return false;
    }
    struct slice at = c->argv[*i + 2];
    bool times = at.len > 0 && at.ptr[0] == '#';

    at = times ? (struct slice){at.ptr + 1, at.len - 1} : at;
    if (!bitmap_offset(c, at, times ? f->bits : 1, &f->offset)) {
        return false;
    }
    *i += 2;
    if (f->kind != FIELD_GET && !parse_i64(c->argv[++*i], &f->value)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    return true;
}

/* To `fields`, which has room for all; false when an error was answered. *bytes: the length that the
 * value must have for what is written. */
static bool parse_fields(struct cmd *c, struct field *fields, uint32_t *count, uint64_t *bytes)
{
    enum overflow overflow = WRAP;

    *count = 0;
    *bytes = 0;
    for (uint32_t i = 2; i < c->argc; i++) {
        struct field *f = &fields[*count];

        if (slice_is_word(c->argv[i], "overflow") && i + 1 < c->argc) {
            if (!parse_overflow(c, c->argv[++i], &overflow)) {
                return false;
            }
            continue;
        }
        *f = (struct field){0};
        if (!parse_field(c, &i, f)) {
            return false;
        }
        f->overflow = (uint8_t)overflow;
        ++*count;
        if (f->kind != FIELD_GET) {
            uint64_t end = (f->offset + f->bits - 1) / 8 + 1;

            *bytes = end > *bytes ? end : *bytes;
        }
    }
    return true;
}

/* ---- A window of the value ---- */

enum { WINDOW_BYTES = 16 << 10 };

struct window {
    struct cmd *c;
    uint64_t at;
    bool has_written;
    size_t len;                  /* 0: not loaded */
    size_t dirty_from, dirty_to; /* equal: clean */
    uint8_t bytes[WINDOW_BYTES];
};

static void window_flush(struct window *w)
{
    if (w->dirty_from < w->dirty_to) {
        string_put_range(
            w->c, w->c->key, w->at + w->dirty_from,
            (struct slice){(const char *)w->bytes + w->dirty_from, w->dirty_to - w->dirty_from});
        w->has_written = true;
    }
    w->dirty_from = w->dirty_to = 0;
}

/* The bytes from `at` on, n of them. */
static uint8_t *window_at(struct window *w, uint64_t at, size_t n)
{
    if (at < w->at || at + n > w->at + w->len) {
        const struct entry *e;
        struct string_value v = {.len = 0, .entry = NULL};

        window_flush(w);
        e = keyspace_peek(w->c, w->c->key);
        if (e != NULL) {
            string_of_entry(e, &v);
        }
        uint64_t end = v.len > at + n ? v.len : at + n;

        w->at = at - at % (WINDOW_BYTES / 2);
        w->len = end - w->at < WINDOW_BYTES ? (size_t)(end - w->at) : WINDOW_BYTES;
        bitmap_load(&v, w->at, w->bytes, w->len);
    }
    return w->bytes + (at - w->at);
}

static void window_touch(struct window *w, uint64_t at, size_t n)
{
    size_t from = (size_t)(at - w->at);

    if (w->dirty_from == w->dirty_to) {
        w->dirty_from = from;
        w->dirty_to = from + n;
        return;
    }
    w->dirty_from = from < w->dirty_from ? from : w->dirty_from;
    w->dirty_to = from + n > w->dirty_to ? from + n : w->dirty_to;
}

/* ---- Operations ---- */

static size_t field_bytes(const struct field *f)
{
    return (f->offset % 8 + f->bits + 7) / 8;
}

static uint64_t get_bits(const uint8_t *p, unsigned skip, unsigned bits)
{
    unsigned __int128 all = 0;
    size_t n = (skip + bits + 7) / 8;

    for (size_t i = 0; i < n; i++) {
        all = all << 8 | p[i];
    }
    all >>= n * 8 - skip - bits;
    return (uint64_t)all & (UINT64_MAX >> (64 - bits));
}

static void set_bits(uint8_t *p, unsigned skip, unsigned bits, uint64_t value)
{
    size_t n = (skip + bits + 7) / 8;
    unsigned up = (unsigned)(n * 8) - skip - bits;
    unsigned __int128 mask = (unsigned __int128)(UINT64_MAX >> (64 - bits)) << up;
    unsigned __int128 to = (unsigned __int128)value << up;

    for (size_t i = n; i-- > 0;) {
        p[i] = (uint8_t)((p[i] & ~(uint8_t)mask) | ((uint8_t)to & (uint8_t)mask));
        mask >>= 8;
        to >>= 8;
    }
}

/* The number that those bits are. */
static __int128 number_of(uint64_t raw, const struct field *f)
{
    if (f->is_signed && (raw >> (f->bits - 1) & 1) != 0) {
        return (__int128)raw - ((__int128)1 << f->bits);
    }
    return raw;
}

/* Into the field's range, by its rule. False: it does not fit and FAIL was asked for. */
static bool into_range(const struct field *f, __int128 *n)
{
    __int128 max = ((__int128)1 << (f->is_signed ? f->bits - 1 : f->bits)) - 1;
    __int128 min = f->is_signed ? -max - 1 : 0;

    if (*n >= min && *n <= max) {
        return true;
    }
    switch ((enum overflow)f->overflow) {
    case WRAP:
        *n = number_of((uint64_t)*n & (UINT64_MAX >> (64 - f->bits)), f);
        return true;
    case SAT:
        *n = *n > max ? max : min;
        return true;
    case FAIL:
        return false;
    }
    return false;
}

static void run_field(struct window *w, const struct field *f)
{
    uint64_t at = f->offset / 8;
    unsigned skip = f->offset % 8;
    uint8_t *p = window_at(w, at, field_bytes(f));
    uint64_t raw = get_bits(p, skip, f->bits);
    __int128 old = number_of(raw, f);
    __int128 now = old;

    if (f->kind == FIELD_SET) {
        now = f->is_signed ? (__int128)f->value : (__int128)(uint64_t)f->value;
    } else if (f->kind == FIELD_INCRBY) {
        now += f->value;
    }
    if (!into_range(f, &now)) {
        reply_null(w->c->reply);
        return;
    }
    if (now != old) {
        set_bits(p, skip, f->bits, (uint64_t)now);
        window_touch(w, at, field_bytes(f));
    }
    reply_int(w->c->reply, (int64_t)(f->kind == FIELD_SET ? old : now));
}

static void run_fields(struct cmd *c, const struct field *fields, uint32_t count, uint64_t bytes)
{
    struct window w;
    struct string_value v;
    bool found;

    if (!bitmap_read(c, 1, &v, &found)) {
        return;
    }
    if (bytes > v.len) {
        /* It grows even if no operation changes a bit. */
        string_put_range(c, c->key, bytes - 1, (struct slice){"", 1});
    }
    w.has_written = bytes > v.len;
    w.c = c;
    w.len = w.dirty_from = w.dirty_to = 0;
    w.at = 0;
    reply_array(c->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        run_field(&w, &fields[i]);
    }
    window_flush(&w);
    if (w.has_written) {
        notify(c, NOTIFY_STRING, "setbit", c->key.name);
    }
}

void bitfield_run(struct cmd *c)
{
    size_t room = (c->argc / 3 + 1) * sizeof(struct field);
    struct field *fields = mem_alloc(room);
    uint32_t count;
    uint64_t bytes;

    if (fields == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    if (parse_fields(c, fields, &count, &bytes)) {
        if (bytes > 0 && (c->def->flags & CMD_WRITE) == 0) {
            reply_errf(c->reply, "ERR BITFIELD_RO only supports the GET subcommand");
        } else {
            run_fields(c, fields, count, bytes);
        }
    }
    mem_free(fields, room);
}
