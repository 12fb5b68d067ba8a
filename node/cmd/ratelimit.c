/* ratelimit.c - RATELIMIT: whether a request may pass, in one command.
 *
 * The three algorithms are those of the usual scripts, and decide as they do, so that who scripted them may
 * change over without another limit in effect:
 *
 *   FIXED    windows begin at multiples of their length. Every request counts, also a refused one.
 *   SLIDING  the window before weighs in by the part of it that a window ending now would cover. When the
 *            sum has reached the limit a request is refused and does not count; one that only its cost takes
 *            past the limit is refused, and counts.
 *   BUCKET   `limit` tokens at first, RATE more (`limit`, if it is not given) every so many milliseconds, but
 *            never more than `limit`. An empty bucket refuses; a request for more than is there is refused,
 *            and leaves a debt.
 *
 * A negative cost gives back, and is never refused by SLIDING and BUCKET for what was used before.
 *
 * The state is a short text in an ordinary string with an expiry: "FIXED window start used", "SLIDING window
 * start used before", "BUCKET interval filled tokens", times in Unix milliseconds. So it is copied, dumped,
 * restored, replicated and evicted like any other, each write being the whole result.
 *
 * The limit is not part of it: another limit is in effect with the next request, and what was used stays
 * used. Another window, or another algorithm, begins anew. A bucket keeps its tokens whatever the interval.
 *
 * Numbers: limits, costs and windows stay below 2^53, what is counted saturates there, so no sum of two
 * overflows and doubles are exact. Should the clock have gone back (on another machine, say), what began in
 * the future counts as of now, and is forgotten if that is more than a window away.
 */
#include "base/parse.h"
#include "edge/backend.h"
#include "node/cmd/families.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/type_string.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum kind { FIXED, SLIDING, BUCKET, KINDS };

static const struct {
    const char *name;
    uint32_t numbers; /* of its state */
} kinds[KINDS] = {[FIXED] = {"FIXED", 3}, [SLIDING] = {"SLIDING", 4}, [BUCKET] = {"BUCKET", 3}};

enum { NUMBERS_MAX = 4, STATE_CHARS = 8 + NUMBERS_MAX * 21 };

#define MOST (((int64_t)1 << 53) - 1)

struct request_for {
    enum kind kind;
    int64_t limit, window_ms, rate, cost;
    bool peek;
};

/* Of BUCKET: `start` is when it was filled last, `used` what is left in it. */
struct state {
    int64_t window_ms, start, used, before;
    int64_t expire_at_ms; /* of the key */
};

struct verdict {
    bool allowed;
    bool counts; /* the state has changed */
    int64_t left, reset_at_ms, expire_at_ms;
};

static int64_t clamp(int64_t n)
{
    return n > MOST ? MOST : n < -MOST ? -MOST : n;
}

static bool parse_number(struct cmd *c, struct slice text, int64_t least, const char *what,
                         int64_t *out)
{
    if (parse_i64(text, out) && *out >= least && *out <= MOST) {
        return true;
    }
    reply_errf(c->reply, "ERR %s is not an integer or out of range", what);
    return false;
}

/* ---- Arguments ---- */

static bool parse_option(struct cmd *c, uint32_t *i, struct request_for *r)
{
    struct slice word = c->argv[*i];
    bool has_value = *i + 1 < c->argc;

    if (slice_is_word(word, "peek")) {
        r->peek = true;
        return true;
    }
    if (slice_is_word(word, "cost") && has_value) {
        return parse_number(c, c->argv[++*i], -MOST, "cost", &r->cost);
    }
    if (slice_is_word(word, "rate") && has_value && r->kind == BUCKET) {
        return parse_number(c, c->argv[++*i], 1, "rate", &r->rate);
    }
    reply_err(c->reply, WIRE_SYNTAX);
    return false;
}

static bool parse(struct cmd *c, struct request_for *r)
{
    *r = (struct request_for){.kind = KINDS, .cost = 1};
    if (slice_is_word(c->argv[2], "fixed")) {
        r->kind = FIXED;
    } else if (slice_is_word(c->argv[2], "sliding")) {
        r->kind = SLIDING;
    } else if (slice_is_word(c->argv[2], "bucket")) {
        r->kind = BUCKET;
    } else {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    if (!parse_number(c, c->argv[3], 0, "limit", &r->limit) ||
        !parse_number(c, c->argv[4], 1, "window", &r->window_ms)) {
        return false;
    }
    r->rate = r->limit > 0 ? r->limit : 1;
    for (uint32_t i = 5; i < c->argc; i++) {
        if (!parse_option(c, &i, r)) {
            return false;
        }
    }
    return true;
}

/* ---- The state ---- */

/* False: it is no state of ours. KINDS in *kind: there is none. */
static bool parse_state(struct slice text, enum kind *kind, struct state *s)
{
    int64_t n[NUMBERS_MAX] = {0};
    struct slice word[NUMBERS_MAX + 1];
    uint32_t words = 0;
    size_t from = 0;

    for (size_t i = 0; i <= text.len; i++) {
        if (i == text.len || text.ptr[i] == ' ') {
            if (words > NUMBERS_MAX) {
                return false;
            }
            word[words++] = (struct slice){text.ptr + from, i - from};
            from = i + 1;
        }
    }
    for (*kind = FIXED; *kind < KINDS && !slice_is(word[0], slice_of(kinds[*kind].name));) {
        ++*kind;
    }
    if (*kind == KINDS || words != kinds[*kind].numbers + 1) {
        return false;
    }
    for (uint32_t i = 1; i < words; i++) {
        /* What somebody else wrote there may not make our sums overflow. */
        if (!parse_i64(word[i], &n[i - 1]) || n[i - 1] != clamp(n[i - 1])) {
            return false;
        }
    }
    *s = (struct state){n[0], n[1], n[2], n[3], 0};
    return s->window_ms > 0 && s->start >= 0;
}

/* False: an error was answered. *found: there is a state of this kind. */
static bool read_state(struct cmd *c, const struct request_for *r, struct state *s, bool *found)
{
    struct string_value v;
    enum kind kind;

    *found = false;
    switch (string_read(c, c->key, &v)) {
    case ABSENT:
        return true;
    case WRONG_TYPE:
        reply_err(c->reply, WIRE_WRONGTYPE);
        return false;
    case FOUND:
        break;
    }
    if (v.len > STATE_CHARS || !parse_state(string_chunk(&v, 0), &kind, s)) {
        reply_errf(c->reply, "ERR the key holds a string that is no rate limit's state");
        return false;
    }
    s->expire_at_ms = entry_expire_at_ms(v.entry);
    *found = kind == r->kind && (kind == BUCKET || s->window_ms == r->window_ms);
    return true;
}

static void write_state(struct cmd *c, enum kind kind, const struct state *s, int64_t expire_at_ms)
{
    char text[STATE_CHARS];
    int len = snprintf(text, sizeof(text), "%s %" PRId64 " %" PRId64 " %" PRId64, kinds[kind].name,
                       s->window_ms, s->start, s->used);

    if (kind == SLIDING) {
        len += snprintf(text + len, sizeof(text) - (size_t)len, " %" PRId64, s->before);
    }
    string_put_text(c, c->key, (struct slice){text, (size_t)len}, expire_at_ms);
    notify(c, NOTIFY_STRING, "ratelimit", c->key.name);
}

/* ---- The algorithms ---- */

/* Moves a state of windows to the one that now is in. */
static void enter_window(struct state *s, bool found, const struct request_for *r, int64_t now_ms)
{
    int64_t start = now_ms - now_ms % r->window_ms;

    if (found && s->start > start && s->start - start <= r->window_ms) {
        return; /* the clock went back a little: that window goes on */
    }
    if (!found || s->start > start || start - s->start > r->window_ms) {
        *s = (struct state){.start = start};
    } else if (s->start < start) {
        *s = (struct state){.start = start, .before = s->used};
    }
    s->window_ms = r->window_ms;
}

static struct verdict judge_fixed(struct state *s, const struct request_for *r)
{
    int64_t used = clamp(s->used + r->cost);
    bool counts = used != s->used;
    int64_t shown = r->peek ? s->used : used;

    s->used = used;
    return (struct verdict){.allowed = used <= r->limit,
                            .counts = counts,
                            .left = r->limit - shown,
                            .reset_at_ms = s->start + r->window_ms,
                            .expire_at_ms = s->start + r->window_ms};
}

static struct verdict judge_sliding(struct state *s, const struct request_for *r, int64_t now_ms)
{
    /* As scripts compute it, in doubles, so that the last bit falls as it does there. Before the window has
     * begun, should the clock have gone back, all of the one before counts. */
    int64_t into = now_ms > s->start ? now_ms - s->start : 0;
    double part = (double)into / (double)r->window_ms;
    int64_t weighed = (int64_t)floor((1 - part) * (double)s->before);
    struct verdict v = {.reset_at_ms = s->start + r->window_ms,
                        .expire_at_ms = s->start + 2 * r->window_ms};
    int64_t used = clamp(s->used + r->cost);

    if (r->cost > 0 && weighed + s->used >= r->limit) {
        return v;
    }
    v.left = r->limit - weighed - (r->peek ? s->used : used);
    v.allowed = weighed + used <= r->limit;
    v.counts = used != s->used;
    s->used = used;
    return v;
}

/* When a bucket with so many tokens will be full, at the latest; of one that is full, when it would have been
 * before, so that it is filled at the same times whatever was given back. */
static int64_t full_at_ms(const struct state *s, int64_t tokens, const struct request_for *r,
                          int64_t now_ms)
{
    int64_t missing = r->limit - tokens;
    int64_t times = missing <= 0 ? 1 : (missing - 1) / r->rate + 1;
    int64_t ms;

    if (missing <= 0 && s->expire_at_ms > 0) {
        return s->expire_at_ms;
    }
    if (__builtin_mul_overflow(times, r->window_ms, &ms) || ms > MOST) {
        ms = MOST;
    }
    return now_ms + ms;
}

static struct verdict judge_bucket(struct state *s, bool found, const struct request_for *r,
                                   int64_t now_ms)
{
    int64_t wait = r->window_ms;
    struct verdict v = {0};

    if (!found) {
        *s = (struct state){.start = now_ms, .used = r->limit};
    } else if (s->start > now_ms && s->start - now_ms > wait) {
        /* The clock went back. Kept also if this is refused, or it would never fill. */
        s->start = now_ms;
        v.counts = true;
    } else if (now_ms - s->start >= wait) {
        int64_t times = (now_ms - s->start) / wait;
        int64_t missing = r->limit - s->used;
        bool is_full = missing <= 0 || times > missing / r->rate;

        s->used = is_full ? r->limit : s->used + times * r->rate;
        s->start += times * wait;
    }
    s->window_ms = wait;
    v.reset_at_ms = s->start + wait;
    if (s->used == 0 && r->cost > 0) {
        v.expire_at_ms = full_at_ms(s, 0, r, now_ms);
        return v;
    }
    int64_t tokens = clamp(s->used - r->cost);

    v.left = r->peek ? s->used : tokens;
    v.allowed = tokens >= 0;
    v.counts = true;
    v.expire_at_ms = full_at_ms(s, tokens, r, now_ms);
    s->used = tokens;
    return v;
}

/* What prop-broken judges by: the state as this worker saw it last, as if it were read before the section. */
static struct state seen_before(struct state now)
{
    static _Thread_local struct state last;
    struct state before = last;

    last = now;
    return before.window_ms == 0 ? now : before;
}

static void cmd_ratelimit(struct cmd *c)
{
    struct request_for r;
    struct state s = {0};
    struct verdict v;
    bool found;

    if (!parse(c, &r) || !read_state(c, &r, &s, &found)) {
        return;
    }
    s = BROKEN(14) ? seen_before(s) : s;
    if (r.kind == BUCKET) {
        v = judge_bucket(&s, found, &r, c->now_ms);
    } else {
        enter_window(&s, found, &r, c->now_ms);
        v = r.kind == FIXED ? judge_fixed(&s, &r) : judge_sliding(&s, &r, c->now_ms);
    }
    if (v.counts && !r.peek) {
        write_state(c, r.kind, &s, v.expire_at_ms);
    }
    reply_array(c->reply, 3);
    reply_int(c->reply, v.allowed);
    reply_int(c->reply, v.left > 0 ? v.left : 0);
    reply_int(c->reply, v.reset_at_ms);
}

/* clang-format off */
struct cmd_def ratelimit_cmds[] = {
    { "RATELIMIT", -5, CMD_WRITE | CMD_GROWS | CMD_FAST, KEYS(1, 1, 1), "godwit-0.1", cmd_ratelimit,
      "key <FIXED | SLIDING | BUCKET> limit milliseconds [RATE tokens] [COST tokens] [PEEK]",
      "Judges a request against a rate limit and counts it: a fixed window, a sliding window, or a token bucket "
      "(RATE tokens more each so many milliseconds). Answers whether it is allowed (1 or 0), how much is left, and when "
      "the window ends or tokens come (Unix milliseconds). PEEK looks without counting." },
    CMD_END
};
/* clang-format on */
