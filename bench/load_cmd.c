/* load_cmd.c - commands and expected replies that are given as texts.
 *
 * A command is words with spaces between. In a word, %k becomes the twelve digits of the request's
 * key, %n a random number of the stream's span, %v a value: the stream's number of bytes, the key's
 * digits first.
 *
 * A reply is a word for each of its lines, a bulk string being one:
 *
 *    +OK  :1      this line                    *20   an array of 20, whose items follow
 *    :            any number                   *     an array of any length
 *    $14          a bulk string of 14 bytes    $v    the value of the key
 *    $            any bulk string but null     $e    a value of some key
 *
 * When the words end and the reply does not, they begin again after the last array, so that
 * `*20 $ $e` is ten fields with their values. A null where something was expected is a miss. Heads
 * are always compared, values byte by byte in one reply of 16.
 */
#include "bench/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERIFY_EVERY = 16 };

/* ---- requests ---- */

static void put_spot(struct cmd_text *t, bool is_number, uint32_t digits)
{
    if (t->spot_count == SPOTS_MAX) {
        die("at most %d places with digits in a command", SPOTS_MAX);
    }
    t->spot[t->spot_count++] = (struct spot){t->len, is_number};
    memset(t->bytes + t->len, '0', digits);
    t->len += digits;
}

static uint32_t word_len(const struct stream *s, const char *word, uint32_t len)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < len; i++) {
        if (word[i] != '%' || i + 1 == len) {
            n++;
            continue;
        }
        i++;
        n += word[i] == 'k'   ? KEY_DIGITS
             : word[i] == 'n' ? s->number_digits
             : word[i] == 'v' ? (uint32_t)s->value
                              : 2;
    }
    return n;
}

static void put_word(struct cmd_text *t, const struct stream *s, const char *word, uint32_t len)
{
    t->len += (uint32_t)sprintf(t->bytes + t->len, "$%u\r\n", word_len(s, word, len));
    for (uint32_t i = 0; i < len; i++) {
        char kind = word[i] == '%' && i + 1 < len ? word[i + 1] : '\0';

        if (kind == 'k') {
            put_spot(t, false, KEY_DIGITS);
        } else if (kind == 'n') {
            put_spot(t, true, s->number_digits);
        } else if (kind == 'v') {
            uint32_t begin = t->len;

            wire_put_filler(t->bytes + begin, s->value);
            if (s->value >= KEY_DIGITS) {
                put_spot(t, false, KEY_DIGITS);
            }
            t->len = begin + (uint32_t)s->value;
        } else {
            t->bytes[t->len++] = word[i];
            continue;
        }
        i++;
    }
    t->bytes[t->len++] = '\r';
    t->bytes[t->len++] = '\n';
}

static uint32_t words_of(const char *text)
{
    uint32_t n = 0;

    for (const char *p = text; *p != '\0'; p += strspn(p, " ")) {
        p += strcspn(p, " ");
        n++;
    }
    return n;
}

static size_t text_bytes_max(const struct stream *s, const char *text)
{
    return 32 + words_of(text) * (s->value + 64) + 2 * strlen(text);
}

static void make_request(struct cmd_text *t, const struct stream *s, const char *text)
{
    t->bytes = must_alloc(text_bytes_max(s, text));
    t->len = (uint32_t)sprintf(t->bytes, "*%u\r\n", words_of(text));
    for (const char *p = text; *p != '\0'; p += strspn(p, " ")) {
        uint32_t len = (uint32_t)strcspn(p, " ");

        put_word(t, s, p, len);
        p += len;
    }
}

size_t cmd_bytes_max(const struct stream *s)
{
    size_t most = 0;

    for (uint32_t i = 0; i < s->commands; i++) {
        size_t bytes = text_bytes_max(s, s->command[i]);

        most = bytes > most ? bytes : most;
    }
    return most;
}

uint32_t cmd_request(struct conn *c, struct asked *a, char *at)
{
    struct stream *s = c->s;
    const struct cmd_text *t;

    a->cmd = s->op == OP_SUBSCRIBE ? 0 : (uint16_t)((c->last - 1) % s->commands);
    t = &s->cmd[a->cmd];
    a->key = wire_next_key(s);
    memcpy(at, t->bytes, t->len);
    for (uint32_t i = 0; i < t->spot_count; i++) {
        if (t->spot[i].is_number) {
            wire_put_number(s, at + t->spot[i].at);
        } else {
            wire_put_key(at + t->spot[i].at, a->key);
        }
    }
    return t->len;
}

/* ---- replies ---- */

static void make_step(struct cmd_text *t, const struct stream *s, const char *word, uint32_t len)
{
    struct step *step = &t->step[t->step_count++];
    uint64_t bulk = word[0] == '$' && len > 1 ? strtoull(word + 1, NULL, 10) : 0;

    if (t->step_count == STEPS_MAX || len > sizeof(step->line) - 3) {
        die("too long for a reply: %s", word);
    }
    step->check = CHECK_NOTHING;
    if (len == 2 && (word[1] == 'v' || word[1] == 'e') && word[0] == '$') {
        step->check = word[1] == 'v' ? CHECK_VALUE : CHECK_FILLER;
        bulk = s->value;
    }
    if (bulk > 0) {
        step->len = (uint32_t)sprintf(step->line, "$%llu\r\n", (unsigned long long)bulk);
        step->bulk = (uint32_t)bulk + 2;
    } else if (len == 1) {
        step->line[0] = word[0];
        step->len = 1;
    } else {
        step->len = (uint32_t)sprintf(step->line, "%.*s\r\n", (int)len, word);
    }
    if (word[0] == '*') {
        t->cycle_at = t->step_count;
    }
}

static void make_steps(struct cmd_text *t, const struct stream *s, const char *text)
{
    for (const char *p = text; *p != '\0'; p += strspn(p, " ")) {
        uint32_t len = (uint32_t)strcspn(p, " ");

        make_step(t, s, p, len);
        p += len;
    }
}

void cmd_stream_init(struct stream *s)
{
    if (s->op < OP_CMD) {
        return;
    }
    if (s->commands == 0 || (s->op == OP_CMD ? s->replies != s->commands : s->replies != 2)) {
        die("stream %s: a --reply for each --command, two for a SUBSCRIBE", s->label);
    }
    for (uint32_t i = 0; i < s->replies; i++) {
        if (i < s->commands) {
            make_request(&s->cmd[i], s, s->command[i]);
        }
        make_steps(&s->cmd[i], s, s->reply[i]);
        if (s->cmd[i].step_count == 0 || s->cmd[i].cycle_at == s->cmd[i].step_count) {
            die("stream %s: a reply needs words, also after an array", s->label);
        }
    }
}

static bool value_right(const struct stream *s, const struct asked *a, const struct step *step,
                        const char *value)
{
    char digits[KEY_DIGITS];

    if (step->check == CHECK_NOTHING || s->value < KEY_DIGITS) {
        return true;
    }
    wire_put_key(digits, a->key);
    return wire_is_filler(value, KEY_DIGITS, s->value) &&
           (step->check == CHECK_FILLER || memcmp(value, digits, KEY_DIGITS) == 0);
}

/* The line at p and the bytes that belong to it, against the step; 0 when it is another or has not
 * come whole, which the caller finds out. `items` gets the length of an array. */
static size_t line_take(const struct step *step, const char *p, size_t avail, int64_t *items)
{
    size_t len = step->len;

    if (avail < len || memcmp(p, step->line, len) != 0) {
        return 0;
    }
    if (len > 1 && p[0] != '*') {
        return avail >= len + step->bulk ? len + step->bulk : 0;
    }
    const char *end = memchr(p, '\n', avail);

    if (end == NULL || p[1] == '-') {
        return end != NULL && p[0] == ':' ? (size_t)(end - p) + 1 : 0;
    }
    len = (size_t)(end - p) + 1;
    if (p[0] == '*' || p[0] == '$') {
        int64_t n = strtoll(p + 1, NULL, 10); /* ends at the "\r" */

        *items = p[0] == '*' ? n : 0;
        len += p[0] == '$' ? (size_t)n + 2 : 0;
    }
    return len <= avail ? len : 0;
}

size_t cmd_reply(struct conn *c, const struct asked *a, const char *p, size_t avail)
{
    struct stream *s = c->s;
    const struct cmd_text *t = &s->cmd[a->cmd];
    bool verify = (s->checked++ & (VERIFY_EVERY - 1)) == 0;
    bool right = true;
    uint32_t step = 0;
    size_t at = 0;

    for (int64_t left = 1; left > 0; left--) {
        int64_t items = 0;
        const struct step *want = &t->step[step];
        size_t len = line_take(want, p + at, avail - at, &items);

        if (len == 0) {
            len = wire_resp_len(p, avail);
            if (len == SIZE_MAX) {
                die("stream %s: not a reply: %.*s", s->label, (int)(avail < 60 ? avail : 60), p);
            }
            if (len > 3 && (p[0] == '_' || memcmp(p + 1, "-1", 2) == 0)) {
                s->misses++;
            } else if (len > 0) {
                wire_wrong(s, a, p, len);
            }
            return len;
        }
        right = right && (!verify || value_right(s, a, want, p + at + want->len));
        at += len;
        left += items;
        step = step + 1 < t->step_count ? step + 1 : t->cycle_at;
    }
    if (!right) {
        wire_wrong(s, a, p, at);
    }
    return at;
}
