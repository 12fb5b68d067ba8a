/* cmd_args.c - reads syntax texts by recursive descent. They are our own, and a level of brackets is
 * a level of calls, so NESTING_MAX is ample. */
#include "proto/cmd_args.h"

enum { NESTING_MAX = 8 };

struct parser {
    const char *p;
    struct cmd_args *out;
    int nesting;
    bool again; /* "[...]" was seen: what is between these brackets may come again */
    bool failed;
};

struct typed {
    const char *name;
    enum cmd_arg_type type;
};

static const struct typed typed[] = {
    {"key", CMD_ARG_KEY},
    {"newkey", CMD_ARG_KEY},
    {"destkey", CMD_ARG_KEY},
    {"destination", CMD_ARG_KEY},
    {"source", CMD_ARG_KEY},
    {"key1", CMD_ARG_KEY},
    {"key2", CMD_ARG_KEY},
    {"pattern", CMD_ARG_PATTERN},
    {"unix-time-seconds", CMD_ARG_UNIX_TIME},
    {"unix-time-milliseconds", CMD_ARG_UNIX_TIME},
    {"seconds", CMD_ARG_INTEGER},
    {"milliseconds", CMD_ARG_INTEGER},
    {"count", CMD_ARG_INTEGER},
    {"cursor", CMD_ARG_INTEGER},
    {"numkeys", CMD_ARG_INTEGER},
    {"numfields", CMD_ARG_INTEGER},
    {"numreplicas", CMD_ARG_INTEGER},
    {"numlocal", CMD_ARG_INTEGER},
    {"offset", CMD_ARG_INTEGER},
    {"start", CMD_ARG_INTEGER},
    {"end", CMD_ARG_INTEGER},
    {"increment", CMD_ARG_INTEGER},
    {"decrement", CMD_ARG_INTEGER},
    {"index", CMD_ARG_INTEGER},
    {"timeout", CMD_ARG_INTEGER},
    {"ttl", CMD_ARG_INTEGER},
    {"bit", CMD_ARG_INTEGER},
    {"len", CMD_ARG_INTEGER},
    {"db", CMD_ARG_INTEGER},
    {"destination-db", CMD_ARG_INTEGER},
    {"protover", CMD_ARG_INTEGER},
    {"frequency", CMD_ARG_INTEGER},
    {"samples", CMD_ARG_INTEGER},
    {"port", CMD_ARG_INTEGER},
    {"client-id", CMD_ARG_INTEGER},
};

static enum cmd_arg_type type_of(struct slice name)
{
    for (size_t i = 0; i < sizeof(typed) / sizeof(typed[0]); i++) {
        if (slice_is(name, slice_of(typed[i].name))) {
            return typed[i].type;
        }
    }
    return CMD_ARG_STRING;
}

static void blanks(struct parser *s)
{
    while (*s->p == ' ') {
        s->p++;
    }
}

static struct slice peek_word(struct parser *s)
{
    const char *end;

    blanks(s);
    for (end = s->p; *end != '\0' && strchr(" []<>|", *end) == NULL; end++) {
    }
    return (struct slice){s->p, (size_t)(end - s->p)};
}

static bool is_token(struct slice word)
{
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] >= 'a' && word.ptr[i] <= 'z') {
            return false;
        }
    }
    return word.len > 0 && !slice_is(word, SLICE("..."));
}

static bool is_value(struct slice word)
{
    return word.len > 0 && !is_token(word) && !slice_is(word, SLICE("..."));
}

static int16_t new_arg(struct parser *s, enum cmd_arg_type type, struct slice name)
{
    int16_t i = s->out->count;

    if (i == CMD_ARGS_MAX) {
        s->failed = true;
        return -1;
    }
    s->out->arg[i] = (struct cmd_arg){.name = name, .type = type, .child = -1, .next = -1};
    s->out->count++;
    return i;
}

/* A list that is being built; indexes into out->arg. */
struct list {
    int16_t first, last;
    int16_t count;
};

static void push(struct parser *s, struct list *l, int16_t i)
{
    if (i < 0) {
        return;
    }
    if (l->first < 0) {
        l->first = i;
    } else {
        s->out->arg[l->last].next = i;
    }
    l->last = i;
    l->count++;
}

static struct list parse_sequence(struct parser *s);

/* Whether "[… ...]" stands here, and how many words are in it before the dots. */
static bool at_repetition(struct parser *s, int *words)
{
    struct parser ahead = *s;

    blanks(&ahead);
    if (*ahead.p != '[') {
        return false;
    }
    ahead.p++;
    for (*words = 0;; (*words)++) {
        struct slice word = peek_word(&ahead);

        if (word.len == 0) {
            return false;
        }
        ahead.p += word.len;
        if (slice_is(word, SLICE("..."))) {
            blanks(&ahead);
            return *ahead.p == ']' && *words > 0;
        }
    }
}

/* "[field value ...]" behind "field value": the last of the list repeat, together. */
static void parse_repetition(struct parser *s, struct list *l, int words)
{
    struct cmd_arg *arg = s->out->arg;
    int16_t at = l->first, before = -1;
    struct list inner = {-1, -1, 0};

    blanks(s);
    s->p++;
    for (int skip = l->count - words; skip > 0; skip--) {
        before = at;
        at = arg[at].next;
    }
    if (at < 0 || l->count < words || !slice_is(peek_word(s), arg[at].name)) {
        /* Nothing to repeat: it may come any number of times, also none. */
        while (words-- > 0) {
            struct slice word = peek_word(s);

            push(s, &inner, new_arg(s, type_of(word), word));
            s->p += word.len;
        }
        if (s->failed) {
            return;
        }
        if (inner.count == 1) {
            arg[inner.first].optional = arg[inner.first].multiple = true;
            push(s, l, inner.first);
        } else {
            int16_t block = new_arg(s, CMD_ARG_BLOCK, SLICE("data"));

            if (block >= 0) {
                arg[block].child = inner.first;
                arg[block].optional = arg[block].multiple = true;
            }
            push(s, l, block);
        }
    } else if (words == 1) {
        arg[at].multiple = true;
    } else {
        int16_t block = new_arg(s, CMD_ARG_BLOCK, SLICE("data"));

        if (block < 0) {
            return;
        }
        arg[block].child = at;
        arg[block].multiple = true;
        if (before < 0) {
            l->first = block;
        } else {
            arg[before].next = block;
        }
        l->last = block;
        l->count = (int16_t)(l->count - words + 1);
    }
    s->p = strchr(s->p, ']') + 1;
}

/* A value, or several, that a token takes. */
static int16_t parse_choice(struct parser *s, char close);

static int16_t parse_token(struct parser *s)
{
    struct slice token = peek_word(s);
    struct list taken = {-1, -1, 0};
    int16_t i;
    int words;

    s->p += token.len;
    for (;;) {
        struct slice word = peek_word(s);

        if (is_value(word)) {
            push(s, &taken, new_arg(s, type_of(word), word));
            s->p += word.len;
        } else if (taken.count > 0 && at_repetition(s, &words)) {
            parse_repetition(s, &taken, words);
        } else {
            break;
        }
    }
    if (taken.count == 0 && *s->p == '<') {
        i = parse_choice(s, '>');
    } else if (taken.count == 0) {
        i = new_arg(s, CMD_ARG_PURE_TOKEN, token);
    } else if (taken.count == 1) {
        i = taken.first;
    } else {
        i = new_arg(s, CMD_ARG_BLOCK, token);
        if (i >= 0) {
            s->out->arg[i].child = taken.first;
        }
    }
    if (i >= 0) {
        s->out->arg[i].token = token;
    }
    return i;
}

static struct slice choice_name(const struct cmd_arg *arg, int16_t child)
{
    for (int16_t i = child; i >= 0; i = arg[i].next) {
        if (slice_is(arg[i].token, SLICE("EX")) || slice_is(arg[i].token, SLICE("PX"))) {
            return SLICE("expiration");
        }
        if (slice_is(arg[i].token, SLICE("NX")) || slice_is(arg[i].token, SLICE("XX"))) {
            return SLICE("condition");
        }
    }
    return SLICE("option");
}

/* From '[' or '<' to behind its end. One argument: a choice when there are alternatives, a block when
 * there is one of several parts. */
static int16_t parse_choice(struct parser *s, char close)
{
    struct list alternatives = {-1, -1, 0};
    bool multiple;
    int16_t i;

    s->p++;
    if (++s->nesting > NESTING_MAX) {
        s->failed = true;
        return -1;
    }
    for (;;) {
        struct list parts = parse_sequence(s);

        i = parts.first;
        if (s->failed || i < 0) {
            s->failed = true;
            return -1;
        }
        if (parts.count > 1) {
            i = new_arg(s, CMD_ARG_BLOCK, s->out->arg[parts.first].name);
            if (i >= 0) {
                s->out->arg[i].child = parts.first;
            }
        }
        push(s, &alternatives, i);
        if (*s->p != '|') {
            break;
        }
        s->p++;
    }
    s->nesting--;
    multiple = s->again;
    s->again = false;
    if (slice_is(peek_word(s), SLICE("..."))) { /* [a | b ...]: any of them, again and again */
        multiple = true;
        s->p += 3;
    }
    blanks(s);
    if (*s->p != close) {
        s->failed = true;
        return -1;
    }
    s->p++;
    i = alternatives.first;
    if (alternatives.count > 1) {
        i = new_arg(s, CMD_ARG_ONEOF, choice_name(s->out->arg, alternatives.first));
        if (i >= 0) {
            s->out->arg[i].child = alternatives.first;
        }
    }
    if (i >= 0) {
        s->out->arg[i].multiple |= multiple;
    }
    return i;
}

/* Up to the end, a '|' or a closing bracket. */
static struct list parse_sequence(struct parser *s)
{
    struct list l = {-1, -1, 0};

    while (!s->failed) {
        struct slice word = peek_word(s);
        int words;

        if (at_repetition(s, &words)) {
            parse_repetition(s, &l, words);
        } else if (strncmp(s->p, "[...]", 5) == 0) {
            s->again = true;
            s->p += 5;
        } else if (*s->p == '[') {
            int16_t i = parse_choice(s, ']');

            if (i >= 0) {
                s->out->arg[i].optional = true;
            }
            push(s, &l, i);
        } else if (*s->p == '<') {
            push(s, &l, parse_choice(s, '>'));
        } else if (is_token(word)) {
            push(s, &l, parse_token(s));
        } else if (is_value(word)) {
            push(s, &l, new_arg(s, type_of(word), word));
            s->p += word.len;
        } else {
            s->failed |= word.len > 0 && s->nesting == 0; /* dots that repeat nothing */
            break;
        }
    }
    return l;
}

bool cmd_args_parse(const char *text, struct cmd_args *out)
{
    struct parser s = {.p = text, .out = out};

    out->count = 0;
    out->first = parse_sequence(&s).first;
    blanks(&s);
    return !s.failed && !s.again && *s.p == '\0';
}
