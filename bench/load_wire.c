/* load_wire.c - requests and replies of the load program, in RESP and memcached's text protocol.
 *
 * Requests are copied from templates and only their digits are written. A reply whose length is
 * known beforehand is judged by its head and its end and stepped over; the value of one in 16 is
 * compared whole. The rest takes the slow path, which finds any reply's end.
 */
#include "bench/load.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    VERIFY_EVERY = 16, /* a power of two */
    SAMPLES = 1 << 20, /* of a skewed distribution, drawn before the run */
};

const char *const op_names[OPS] = {"get",    "set",  "mix", "setbit",   "setrange",
                                   "append", "scan", "cmd", "subscribe"};

static uint64_t rng_state;
static char *filler; /* owned: what a value consists of after its digits */

static uint64_t rng_next(void)
{
    uint64_t z = rng_state += 0x9e3779b97f4a7c15u; /* splitmix64 */

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rng_below(uint64_t bound)
{
    return (uint64_t)(((__uint128_t)rng_next() * bound) >> 64);
}

/* ---- keys and numbers ---- */

static void put_digits(char *at, uint64_t n, uint32_t digits)
{
    while (digits > 0) {
        at[--digits] = (char)('0' + n % 10);
        n /= 10;
    }
}

/* Three looked-up groups of four digits: twelve divisions an operation would show in the results. */
void wire_put_key(char *at, uint32_t key)
{
    static char group[10000][4];
    static bool made;

    if (!made) {
        for (uint32_t i = 0; i < 10000; i++) {
            put_digits(group[i], i, 4);
        }
        made = true;
    }
    memcpy(at, group[key / 100000000], 4);
    memcpy(at + 4, group[key / 10000 % 10000], 4);
    memcpy(at + 8, group[key % 10000], 4);
}

/* Zipf by the formula of Gray et al., SIGMOD 1994 (as YCSB uses it), theta 0.99; ranks are spread
 * over the key space, so that hot keys are not neighbours. */
static void draw_zipf(struct stream *s)
{
    const double theta = 0.99;
    double zeta = 0;
    double zeta2 = 1 + pow(0.5, theta);

    for (uint64_t i = 1; i <= s->keys; i++) {
        zeta += 1 / pow((double)i, theta);
    }
    double alpha = 1 / (1 - theta);
    double eta = (1 - pow(2.0 / (double)s->keys, 1 - theta)) / (1 - zeta2 / zeta);

    s->samples = must_alloc(SAMPLES * sizeof(*s->samples));
    for (uint32_t i = 0; i < SAMPLES; i++) {
        double u = (double)(rng_next() >> 11) * 0x1p-53;
        double uz = u * zeta;
        uint64_t rank = uz < 1       ? 0
                        : uz < zeta2 ? 1
                                     : (uint64_t)((double)s->keys * pow(eta * u - eta + 1, alpha));

        s->samples[i] = (uint32_t)(rank * 0x9e3779b97f4a7c15u % s->keys);
    }
}

uint32_t wire_next_key(struct stream *s)
{
    uint64_t n = s->drawn++;

    switch (s->dist) {
    case DIST_SEQ:
        return (uint32_t)(s->first_key + n % s->keys);
    case DIST_ZIPF:
        return (uint32_t)(s->first_key + s->samples[n % SAMPLES]);
    case DIST_UNIFORM:
        break;
    }
    return (uint32_t)(s->first_key + rng_below(s->keys));
}

/* ---- requests ---- */

void wire_put_number(const struct stream *s, char *at)
{
    put_digits(at, s->number_low + rng_below(s->span - s->number_low), s->number_digits);
}

void wire_put_filler(char *at, size_t bytes)
{
    memcpy(at, filler, bytes);
}

bool wire_is_filler(const char *value, size_t from, size_t bytes)
{
    return memcmp(value + from, filler + from, bytes - from) == 0;
}

/* Appends to a template under construction; its buffer was made large enough. */
static void put(struct template *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct template *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    t->len += (uint32_t)vsprintf(t->bytes + t->len, format, args);
    va_end(args);
}

static void put_key_arg(struct template *t)
{
    put(t, "$%d\r\nkey:", KEY_BYTES);
    t->key_at = t->len;
    put(t, "%0*d\r\n", KEY_DIGITS, 0);
}

static void put_value(struct template *t, uint64_t bytes)
{
    t->value_at = bytes >= KEY_DIGITS ? t->len : 0;
    memcpy(t->bytes + t->len, filler, bytes);
    t->len += (uint32_t)bytes;
    put(t, "\r\n");
}

static void template_memcached(struct template *t, const struct stream *s, enum op op)
{
    put(t, op == OP_GET ? "mg key:" : "set key:");
    t->key_at = t->len;
    put(t, "%0*d", KEY_DIGITS, 0);
    if (op == OP_GET) {
        put(t, " v\r\n");
    } else {
        put(t, " 0 %" PRIu64 " %" PRIu64 "\r\n", (s->ttl_ms + 999) / 1000, s->value);
        put_value(t, s->value);
    }
}

static void template_resp(struct template *t, const struct stream *s, enum op op)
{
    static const char *const heads[OPS] = {
        [OP_GET] = "*2\r\n$3\r\nGET\r\n",       [OP_SET] = "*3\r\n$3\r\nSET\r\n",
        [OP_SETBIT] = "*4\r\n$6\r\nSETBIT\r\n", [OP_SETRANGE] = "*4\r\n$8\r\nSETRANGE\r\n",
        [OP_APPEND] = "*3\r\n$6\r\nAPPEND\r\n",
    };

    put(t, "%s", op == OP_SET && s->ttl_ms > 0 ? "*5\r\n$3\r\nSET\r\n" : heads[op]);
    put_key_arg(t);
    if (op == OP_SETBIT || op == OP_SETRANGE) {
        put(t, "$%u\r\n", s->number_digits);
        t->number_at = t->len;
        put(t, "%0*d\r\n", (int)s->number_digits, 0);
    }
    if (op == OP_SETBIT) {
        put(t, "$1\r\n1\r\n");
    } else if (op != OP_GET) {
        put(t, "$%" PRIu64 "\r\n", s->value);
        put_value(t, s->value);
    }
    if (op == OP_SET && s->ttl_ms > 0) {
        char ttl[24];
        int len = snprintf(ttl, sizeof(ttl), "%" PRIu64, s->ttl_ms);

        put(t, "$2\r\nPX\r\n$%d\r\n%s\r\n", len, ttl);
    }
}

static void want_init(struct want *w, const struct stream *s, enum op op)
{
    int head = 0;

    if (op == OP_SET) {
        head = snprintf(w->head, sizeof(w->head), "%s", opt.memcached ? "STORED\r\n" : "+OK\r\n");
        w->len = (uint32_t)head;
    } else if (op == OP_GET) {
        head = snprintf(w->head, sizeof(w->head), "%s%" PRIu64 "\r\n", opt.memcached ? "VA " : "$",
                        s->value);
        w->tail_len = (uint32_t)snprintf(w->tail, sizeof(w->tail), "\r\n");
        w->len = (uint32_t)head + (uint32_t)s->value + w->tail_len;
    }
    w->head_len = (uint32_t)head;
}

static void stream_templates(struct stream *s)
{
    for (enum op op = OP_GET; op < OP_SCAN; op++) {
        struct template *t = &s->template[op];
        bool used = op == s->op || (s->op == OP_MIX && (op == OP_GET || op == OP_SET));

        if (!used || op == OP_MIX) {
            continue;
        }
        t->bytes = must_alloc(s->value + 256);
        if (opt.memcached) {
            template_memcached(t, s, op);
        } else {
            template_resp(t, s, op);
        }
        want_init(&s->want[op], s, op);
    }
}

uint32_t wire_request(struct conn *c, char *at, uint64_t due_ns)
{
    struct stream *s = c->s;
    enum op op = s->op != OP_MIX ? s->op : rng_below(100) < s->get_percent ? OP_GET : OP_SET;
    const struct template *t = &s->template[op];
    struct asked *a = &c->asked[c->last++ & c->asked_mask];

    a->due_ns = due_ns;
    a->op = (uint16_t)op;
    if (op >= OP_CMD) {
        return cmd_request(c, a, at);
    }
    if (op == OP_SCAN) {
        return (uint32_t)sprintf(at,
                                 "*4\r\n$4\r\nSCAN\r\n$%zu\r\n%s\r\n$5\r\nCOUNT\r\n$3\r\n100\r\n",
                                 strlen(c->cursor), c->cursor);
    }
    a->key = wire_next_key(s);
    memcpy(at, t->bytes, t->len);
    wire_put_key(at + t->key_at, a->key);
    if (t->value_at > 0) {
        memcpy(at + t->value_at, at + t->key_at, KEY_DIGITS);
    }
    if (t->number_at > 0) {
        wire_put_number(s, at + t->number_at);
        if (op == OP_SETBIT) {
            at[t->len - 3] = (char)('0' + (rng_next() >> 63)); /* the bit itself; "\r\n" follows */
        }
    }
    return t->len;
}

/* ---- replies ---- */

/* The number in a line; INT64_MIN if there is none. */
static int64_t line_number(const char *p, const char *end)
{
    bool minus = p < end && *p == '-';
    int64_t n = 0;

    p += minus;
    if (p == end || *p < '0' || *p > '9') {
        return INT64_MIN;
    }
    for (; p < end && *p >= '0' && *p <= '9' && n < INT64_MAX / 20; p++) {
        n = n * 10 + (*p - '0');
    }
    return minus ? -n : n;
}

size_t wire_resp_len(const char *p, size_t avail)
{
    size_t at = 0;

    for (uint64_t left = 1; left > 0; left--) {
        const char *end = at < avail ? memchr(p + at, '\n', avail - at) : NULL;

        if (end == NULL) {
            return 0;
        }
        int64_t n = line_number(p + at + 1, end);
        char kind = p[at];

        at = (size_t)(end - p) + 1;
        if (strchr("+-:_#,", kind) != NULL && kind != '\0') {
            continue;
        }
        if (n == INT64_MIN || strchr("$*~>", kind) == NULL) {
            return SIZE_MAX;
        }
        if (n > 0 && kind != '$') {
            left += (uint64_t)n;
        }
        at += kind == '$' && n >= 0 ? (size_t)n + 2 : 0;
    }
    return at <= avail ? at : 0;
}

static size_t memcached_len(const char *p, size_t avail)
{
    const char *end = memchr(p, '\n', avail);
    size_t len;

    if (end == NULL) {
        return 0;
    }
    len = (size_t)(end - p) + 1;
    if (len > 3 && memcmp(p, "VA ", 3) == 0) {
        int64_t n = line_number(p + 3, end);

        len += n >= 0 ? (size_t)n + 2 : 0;
    }
    return len <= avail ? len : 0;
}

void wire_wrong(struct stream *s, const struct asked *a, const char *p, size_t len)
{
    if (s->errors++ == 0) {
        int shown = (int)(len < 120 ? len : 120);

        fprintf(stderr, "load: stream %s: wrong reply to %s key:%0*u: %.*s\n", s->label,
                op_names[a->op], KEY_DIGITS, a->key, shown, p);
    }
}

/* Whether the value is the one that this program writes for the key, in every byte. */
static bool value_right(const struct stream *s, const struct asked *a, const char *p)
{
    const struct want *w = &s->want[a->op];
    const char *value = p + w->len - w->tail_len - s->value;
    char digits[KEY_DIGITS];

    if (s->value < KEY_DIGITS) {
        return memcmp(value, filler, s->value) == 0;
    }
    wire_put_key(digits, a->key);
    return memcmp(value, digits, KEY_DIGITS) == 0 &&
           memcmp(value + KEY_DIGITS, filler + KEY_DIGITS, s->value - KEY_DIGITS) == 0;
}

static void scan_reply(struct conn *c, const struct asked *a, const char *p, size_t len)
{
    const char *cursor = len > 4 ? memchr(p + 4, '\n', len - 4) : NULL;
    size_t n;

    if (memcmp(p, "*2\r\n$", 5) != 0 || cursor == NULL) {
        wire_wrong(c->s, a, p, len);
        return;
    }
    n = strspn(cursor + 1, "0123456789"); /* ends at the "\r" */
    if (n == 0 || n >= sizeof(c->cursor)) {
        wire_wrong(c->s, a, p, len);
        return;
    }
    memcpy(c->cursor, cursor + 1, n);
    c->cursor[n] = '\0';
}

/* Judges a reply that does not have the expected shape. As wire_resp_len(). */
static size_t reply_take_slow(struct conn *c, const struct asked *a, const char *p, size_t avail)
{
    size_t len = opt.memcached ? memcached_len(p, avail) : wire_resp_len(p, avail);

    if (len == 0) {
        return 0;
    }
    if (len == SIZE_MAX) {
        die("stream %s: not a reply: %.*s", c->s->label, (int)(avail < 60 ? avail : 60), p);
    }
    if (a->op == OP_SCAN) {
        scan_reply(c, a, p, len);
    } else if (a->op == OP_GET && len >= 4 &&
               memcmp(p, opt.memcached ? "EN\r\n" : "$-1\r", 4) == 0) {
        c->s->misses++;
    } else if (a->op < OP_SETBIT || p[0] != ':') {
        wire_wrong(c->s, a, p, len);
    }
    return len;
}

size_t wire_reply(struct conn *c, const struct asked *a, const char *p, size_t avail)
{
    struct stream *s = c->s;
    const struct want *w = &s->want[a->op];

    if (a->op >= OP_CMD) {
        return cmd_reply(c, a, p, avail);
    }
    if (w->len == 0 || avail < w->len || memcmp(p, w->head, w->head_len) != 0 ||
        memcmp(p + w->len - w->tail_len, w->tail, w->tail_len) != 0) {
        return reply_take_slow(c, a, p, avail);
    }
    if (a->op == OP_GET && (s->checked++ & (VERIFY_EVERY - 1)) == 0 && !value_right(s, a, p)) {
        wire_wrong(s, a, p, w->len);
    }
    return w->len;
}

/* ---- set-up ---- */

void wire_init(uint64_t seed, size_t value_bytes_max)
{
    rng_state = seed;
    filler = must_alloc(value_bytes_max);
    for (size_t i = 0; i < value_bytes_max; i++) {
        filler[i] = (char)('a' + i * 7 % 26);
    }
}

/* Offsets are of one length, without leading zeros, which Redis refuses. */
static void stream_span(struct stream *s)
{
    s->span = s->span > 1 ? s->span : 2;
    s->number_digits = 1;
    for (s->number_low = 1; s->number_low * 10 < s->span; s->number_low *= 10) {
        s->number_digits++;
    }
}

void wire_stream_init(struct stream *s)
{
    stream_span(s);
    stream_templates(s);
    cmd_stream_init(s);
    if (s->dist == DIST_ZIPF) {
        draw_zipf(s);
    }
}
