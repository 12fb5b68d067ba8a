#include "node/cmd/string_options.h"

#include "base/parse.h"
#include "node/cmd/string_walk.h"

/* For a state on the stack. */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

static const struct {
    const char *word;
    enum condition condition;
} conditions[] = {
    {"nx", IF_ABSENT},      {"xx", IF_PRESENT},   {"ifeq", IF_EQUAL},
    {"ifne", IF_NOT_EQUAL}, {"ifdeq", IF_DIGEST}, {"ifdne", IF_NOT_DIGEST},
};

static const struct {
    const char *word;
    enum unit unit;
} units[] = {{"ex", UNIT_S}, {"px", UNIT_MS}, {"exat", UNIT_AT_S}, {"pxat", UNIT_AT_MS}};

enum condition string_options_condition(struct slice word)
{
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        if (slice_is_word(word, conditions[i].word)) {
            return conditions[i].condition;
        }
    }
    return ALWAYS;
}

static enum unit unit_of(struct slice word)
{
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (slice_is_word(word, units[i].word)) {
            return units[i].unit;
        }
    }
    return UNIT_NONE;
}

/* One option at argv[*i], its value taken along. The same one may come twice, two of a kind not. */
static bool parse_option(const struct cmd *c, uint32_t *i, unsigned takes, struct string_options *o)
{
    struct slice word = c->argv[*i];
    enum condition condition = string_options_condition(word);
    enum unit unit = unit_of(word);

    if (condition != ALWAYS) {
        bool has_match = condition >= IF_EQUAL;

        if ((takes & (has_match ? TAKES_MATCH : TAKES_CONDITION)) == 0 ||
            (o->condition != ALWAYS && o->condition != condition) ||
            (has_match && *i + 1 == c->argc)) {
            return false;
        }
        o->condition = condition;
        if (has_match) {
            o->match = c->argv[++*i];
        }
        return true;
    }
    if (unit != UNIT_NONE) {
        if (o->keep_ttl || o->persist || (o->unit != UNIT_NONE && o->unit != unit) ||
            *i + 1 == c->argc) {
            return false;
        }
        o->unit = unit;
        o->expire = c->argv[++*i];
        return true;
    }
    if (slice_is_word(word, "keepttl") && (takes & TAKES_KEEPTTL) != 0) {
        o->keep_ttl = true;
        return o->unit == UNIT_NONE;
    }
    if (slice_is_word(word, "persist") && (takes & TAKES_PERSIST) != 0) {
        o->persist = true;
        return o->unit == UNIT_NONE;
    }
    if (slice_is_word(word, "get") && (takes & TAKES_GET) != 0) {
        o->get = true;
        return true;
    }
    return false;
}

bool string_options_parse(struct cmd *c, uint32_t from, unsigned takes, struct string_options *o)
{
    *o = (struct string_options){0};
    for (uint32_t i = from; i < c->argc; i++) {
        if (!parse_option(c, &i, takes, o)) {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    return true;
}

/* The command's name as it stands in Redis' errors. */
static void reply_bad_expire(struct cmd *c)
{
    char name[32];
    size_t n = 0;

    for (; n < sizeof(name) - 1 && c->def->name[n] != '\0'; n++) {
        name[n] = slice_lower(c->def->name[n]);
    }
    name[n] = '\0';
    reply_errf(c->reply, "ERR invalid expire time in '%s' command", name);
}

bool string_options_moment(struct cmd *c, struct slice text, enum unit unit, int64_t *at_ms)
{
    int64_t n;

    if (!parse_i64(text, &n)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    bool seconds = unit == UNIT_S || unit == UNIT_AT_S;
    bool relative = unit == UNIT_S || unit == UNIT_MS;

    if (n <= 0 || (seconds && n > INT64_MAX / 1000) ||
        (relative && (seconds ? n * 1000 : n) > INT64_MAX - c->now_ms)) {
        reply_bad_expire(c);
        return false;
    }
    n = seconds ? n * 1000 : n;
    *at_ms = relative ? n + c->now_ms : n;
    return true;
}

static void print_digest(uint64_t hash, char out[DIGEST_CHARS])
{
    static const char hex[] = "0123456789abcdef";

    for (int i = 0; i < DIGEST_CHARS; i++) {
        out[i] = hex[hash >> (60 - 4 * i) & 15];
    }
}

static void digest_of(const struct string_value *v, char out[DIGEST_CHARS])
{
    struct slice piece = v->len == 0 ? SLICE("") : string_chunk(v, 0);
    uint64_t hash;

    if (piece.len == v->len) {
        hash = XXH3_64bits(piece.ptr, piece.len);
    } else {
        XXH3_state_t state;

        XXH3_INITSTATE(&state);
        (void)XXH3_64bits_reset(&state);
        for (size_t at = 0; at < v->len; at += piece.len) {
            piece = string_chunk(v, at);
            (void)XXH3_64bits_update(&state, piece.ptr, piece.len);
        }
        hash = XXH3_64bits_digest(&state);
    }
    print_digest(hash, out);
}

struct digest {
    struct string_walk walk;
    XXH3_state_t state;
};

static void digest_go_on(struct cmd *c)
{
    struct digest *d = c->progress;
    struct slice piece;
    char text[DIGEST_CHARS];

    while (string_walk_next(c, &d->walk, &piece)) {
        (void)XXH3_64bits_update(&d->state, piece.ptr, piece.len);
    }
    if (!c->again) {
        print_digest(XXH3_64bits_digest(&d->state), text);
        reply_bulk(c->reply, (struct slice){text, sizeof(text)});
        string_walk_end(c, &d->walk);
    }
}

void string_options_reply_digest(struct cmd *c, const struct string_value *v)
{
    char text[DIGEST_CHARS];
    struct digest on_stack;

    if (!string_is_long(v, v->len)) {
        digest_of(v, text);
        reply_bulk(c->reply, (struct slice){text, sizeof(text)});
        return;
    }
    on_stack.walk = (struct string_walk){.go_on = digest_go_on};
    XXH3_INITSTATE(&on_stack.state);
    (void)XXH3_64bits_reset(&on_stack.state);
    if (string_walk_begin(c, &on_stack, sizeof(on_stack), v, 0, v->len) != NULL) {
        digest_go_on(c);
    }
}

static bool value_is(const struct string_value *v, struct slice s)
{
    if (v->len != s.len) {
        return false;
    }
    for (size_t at = 0; at < v->len;) {
        struct slice piece = string_chunk(v, at);

        if (memcmp(piece.ptr, s.ptr + at, piece.len) != 0) {
            return false;
        }
        at += piece.len;
    }
    return true;
}

static bool digest_is(const struct string_value *v, struct slice digest)
{
    char is[DIGEST_CHARS];

    digest_of(v, is);
    for (int i = 0; i < DIGEST_CHARS; i++) {
        if (slice_lower(digest.ptr[i]) != is[i]) {
            return false;
        }
    }
    return true;
}

enum verdict string_options_judge(struct cmd *c, enum condition condition, struct slice match,
                                  const struct string_value *v)
{
    if ((condition == IF_DIGEST || condition == IF_NOT_DIGEST) && match.len != DIGEST_CHARS) {
        reply_errf(c->reply, "ERR digest must be exactly %d hexadecimal characters", DIGEST_CHARS);
        return ANSWERED;
    }
    switch (condition) {
    case IF_EQUAL:
        return value_is(v, match) ? MET : NOT_MET;
    case IF_NOT_EQUAL:
        return value_is(v, match) ? NOT_MET : MET;
    case IF_DIGEST:
        return digest_is(v, match) ? MET : NOT_MET;
    case IF_NOT_DIGEST:
        return digest_is(v, match) ? NOT_MET : MET;
    case ALWAYS:
    case IF_PRESENT:
        return MET;
    case IF_ABSENT:
        return NOT_MET;
    }
    return NOT_MET;
}

bool string_options_allow_absent(enum condition condition)
{
    return condition == ALWAYS || condition == IF_ABSENT || condition == IF_NOT_EQUAL ||
           condition == IF_NOT_DIGEST;
}
