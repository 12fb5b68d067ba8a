#include "base/conf_value.h"

#include "base/err.h"
#include "base/parse.h"

#include <arpa/inet.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* As Redis reads them: k is a thousand, kb is 1024. The longer names first. */
static const struct unit byte_units[] = {
    {"kb", UINT64_C(1) << 10},
    {"mb", UINT64_C(1) << 20},
    {"gb", UINT64_C(1) << 30},
    {"tb", UINT64_C(1) << 40},
    {"k", 1000},
    {"m", 1000000},
    {"g", 1000000000},
    {"b", 1},
    {NULL, 0},
};

static const struct unit time_units[] = {
    {"us", 1},         {"ms", 1000},       {"s", 1000000}, {"m", 60000000},
    {"h", 3600000000}, {"d", 86400000000}, {NULL, 0},
};

bool conf_because(struct buf *why, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    if (buf_vprintf(why, fmt, args) != OK) {
        buf_clear(why); /* out of memory: no reason is better than half of one */
    }
    va_end(args);
    return false;
}

bool conf_value_is_text(const struct conf_opt *opt)
{
    return opt->kind == CONF_STRING || opt->kind == CONF_PATH || opt->kind == CONF_ADDRESSES ||
           opt->kind == CONF_LINES;
}

static bool is_time(enum conf_kind kind)
{
    return kind == CONF_SECONDS || kind == CONF_MILLIS || kind == CONF_MICROS;
}

/* Microseconds in the unit of a bare number. */
static uint64_t own_unit(enum conf_kind kind)
{
    return kind == CONF_SECONDS ? 1000000 : kind == CONF_MILLIS ? 1000 : 1;
}

static size_t digits(struct slice text)
{
    size_t n = 0;

    while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9') {
        n++;
    }
    return n;
}

static const struct unit *find_unit(const struct unit *units, struct slice name)
{
    for (; units->name != NULL; units++) {
        if (slice_is_word(name, units->name)) {
            return units;
        }
    }
    return NULL;
}

static bool parse_bytes(struct slice text, uint64_t *out)
{
    size_t n = digits(text);
    const struct unit *u = NULL;
    uint64_t count;

    if (!parse_u64((struct slice){text.ptr, n}, &count)) {
        return false;
    }
    if (n < text.len) {
        u = find_unit(byte_units, (struct slice){text.ptr + n, text.len - n});
        if (u == NULL) {
            return false;
        }
    }
    return !__builtin_mul_overflow(count, u == NULL ? 1 : u->factor, out);
}

/* A suffix may only name what the setting's unit can hold: 1500ms is no number of seconds. */
static bool parse_time(enum conf_kind kind, struct slice text, uint64_t *out)
{
    size_t n = digits(text);
    const struct unit *u;
    uint64_t count;
    int64_t plain;

    if (parse_i64(text, &plain)) {
        *out = (uint64_t)plain;
        return true;
    }
    u = find_unit(time_units, (struct slice){text.ptr + n, text.len - n});
    if (u == NULL || !parse_u64((struct slice){text.ptr, n}, &count) ||
        __builtin_mul_overflow(count, u->factor, &count) || count % own_unit(kind) != 0) {
        return false;
    }
    *out = count / own_unit(kind);
    return *out <= INT64_MAX;
}

static bool within(const struct conf_opt *opt, uint64_t n, struct buf *why)
{
    bool has_sign = opt->kind == CONF_INT || is_time(opt->kind);

    if (has_sign ? (int64_t)n >= (int64_t)opt->min && (int64_t)n <= (int64_t)opt->max
                 : n >= opt->min && n <= opt->max) {
        return true;
    }
    if (has_sign) {
        return conf_because(why, "argument must be between %lld and %lld inclusive",
                            (long long)opt->min, (long long)opt->max);
    }
    return conf_because(why, "argument must be between %llu and %llu inclusive",
                        (unsigned long long)opt->min, (unsigned long long)opt->max);
}

static bool parse_choice(const struct conf_opt *opt, struct slice text, uint64_t *word,
                         struct buf *why)
{
    const char *p = opt->choices;

    for (uint64_t i = 0;; i++) {
        size_t n = strcspn(p, "|");
        size_t same = 0;

        while (same < n && same < text.len && slice_lower(text.ptr[same]) == p[same]) {
            same++;
        }
        if (same == n && n == text.len) {
            *word = i;
            return true;
        }
        if (p[n] == '\0') {
            break;
        }
        p += n + 1;
    }
    (void)conf_because(why, "argument(s) must be one of the following: ");
    for (p = opt->choices; *p != '\0'; p++) {
        (void)conf_because(why, *p == '|' ? ", " : "%c", *p);
    }
    return false;
}

static bool is_address(struct slice s)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct in6_addr addr;

    if (s.len > 1 && s.ptr[0] == '-') { /* Redis: no error if the machine does not have it */
        s = (struct slice){s.ptr + 1, s.len - 1};
    }
    if (slice_is(s, SLICE("*")) || slice_is(s, SLICE("::*")) || slice_is(s, SLICE("localhost"))) {
        return true;
    }
    if (s.len == 0 || s.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return inet_pton(AF_INET, text, &addr) == 1 || inet_pton(AF_INET6, text, &addr) == 1;
}

static bool check_addresses(struct slice text, struct buf *why)
{
    size_t i = 0, count = 0;

    while (i < text.len) {
        size_t start = i;

        while (i < text.len && text.ptr[i] != ' ' && text.ptr[i] != ',') {
            i++;
        }
        if (i > start) {
            count++;
            if (!is_address((struct slice){text.ptr + start, i - start})) {
                return conf_because(why, "argument must be addresses, and '%.*s' is none",
                                    (int)(i - start), text.ptr + start);
            }
        }
        i++;
    }
    return count > 0 || conf_because(why, "argument must name at least one address");
}

static bool check_text(const struct conf_opt *opt, struct slice text, struct buf *why)
{
    if (text.len > opt->max) {
        return conf_because(why, "argument must have at most %llu characters",
                            (unsigned long long)opt->max);
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c < ' ' || c == 0x7f) { /* it could not be written to a file of lines and read back */
            return conf_because(why, "argument must not have control characters");
        }
    }
    return opt->kind != CONF_ADDRESSES || check_addresses(text, why);
}

bool conf_value_parse(const struct conf_opt *opt, struct slice text, uint64_t *word,
                      struct buf *why)
{
    int64_t i;

    switch (opt->kind) {
    case CONF_UINT:
        if (!parse_u64(text, word)) {
            return conf_because(why, "argument couldn't be parsed into an integer");
        }
        return within(opt, *word, why);
    case CONF_PORT:
        if (slice_is_word(text, "auto")) {
            *word = CONF_PORT_AUTO;
            return true;
        }
        if (!parse_u64(text, word)) {
            return conf_because(why, "argument must be a port, or auto");
        }
        return within(opt, *word, why);
    case CONF_INT:
        if (!parse_i64(text, &i)) {
            return conf_because(why, "argument couldn't be parsed into an integer");
        }
        *word = (uint64_t)i;
        return within(opt, *word, why);
    case CONF_BYTES:
        if (!parse_bytes(text, word)) {
            return conf_because(why, "argument must be a memory value");
        }
        return within(opt, *word, why);
    case CONF_SECONDS:
    case CONF_MILLIS:
    case CONF_MICROS:
        if (!parse_time(opt->kind, text, word)) {
            return conf_because(why, "argument couldn't be parsed into an integer");
        }
        return within(opt, *word, why);
    case CONF_BOOL:
        *word = slice_is_word(text, "yes");
        return *word == 1 || slice_is_word(text, "no") ||
               conf_because(why, "argument must be 'yes' or 'no'");
    case CONF_ENUM:
        return parse_choice(opt, text, word, why);
    case CONF_STRING:
    case CONF_PATH:
    case CONF_ADDRESSES:
    case CONF_LINES:
        return check_text(opt, text, why);
    case CONF_ALIAS:
    case CONF_GROUP:
        break;
    }
    assert(!"a row without a value");
    return false;
}

static struct slice choice(const struct conf_opt *opt, uint64_t index)
{
    const char *p = opt->choices;

    for (; index > 0; index--) {
        p += strcspn(p, "|") + 1;
    }
    return (struct slice){p, strcspn(p, "|")};
}

int conf_value_show(const struct conf_opt *opt, uint64_t word, struct buf *out)
{
    if (opt->kind == CONF_BOOL) {
        return buf_append_str(out, word ? "yes" : "no");
    }
    if (opt->kind == CONF_ENUM) {
        return buf_append_slice(out, choice(opt, word));
    }
    if (opt->kind == CONF_PORT && word == CONF_PORT_AUTO) {
        return buf_append_str(out, "auto");
    }
    if (opt->kind == CONF_INT || is_time(opt->kind)) {
        return buf_append_i64(out, (int64_t)word);
    }
    return buf_append_u64(out, word);
}

int conf_value_show_short(const struct conf_opt *opt, uint64_t word, struct buf *out)
{
    static const struct unit two[] = {{"tb", UINT64_C(1) << 40},
                                      {"gb", UINT64_C(1) << 30},
                                      {"mb", UINT64_C(1) << 20},
                                      {"kb", UINT64_C(1) << 10},
                                      {NULL, 0}};
    static const struct unit spans[] = {{"d", 86400000000}, {"h", 3600000000}, {"m", 60000000},
                                        {"s", 1000000},     {"ms", 1000},      {"us", 1},
                                        {NULL, 0}};
    const struct unit *u = opt->kind == CONF_BYTES ? two : spans;
    uint64_t n = word;

    if ((opt->kind != CONF_BYTES && !is_time(opt->kind)) || (int64_t)word <= 0 ||
        (opt->kind == CONF_BYTES && word < 1024)) {
        return conf_value_show(opt, word, out);
    }
    if (is_time(opt->kind) && __builtin_mul_overflow(n, own_unit(opt->kind), &n)) {
        return conf_value_show(opt, word, out);
    }
    for (; u->name != NULL; u++) {
        if (n % u->factor == 0 && n / u->factor > 0) {
            return buf_printf(out, "%llu%s", (unsigned long long)(n / u->factor), u->name);
        }
    }
    return conf_value_show(opt, word, out);
}

const char *conf_value_kind(const struct conf_opt *opt)
{
    switch (opt->kind) {
    case CONF_UINT:
    case CONF_INT:
        return "N";
    case CONF_PORT:
        return "PORT";
    case CONF_BYTES:
        return "BYTES";
    case CONF_SECONDS:
    case CONF_MILLIS:
    case CONF_MICROS:
        return "TIME";
    case CONF_BOOL:
        return "yes|no";
    case CONF_ENUM:
        return "WORD";
    case CONF_STRING:
        return "TEXT";
    case CONF_PATH:
        return "PATH";
    case CONF_ADDRESSES:
        return "ADDRESS";
    case CONF_LINES:
        return "LINE";
    case CONF_ALIAS:
    case CONF_GROUP:
        break;
    }
    return "";
}
