/* acl_file.c - users as lines: `user alice on #… ~app:* resetchannels -@all +@read`. */
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "edge/acl_parts.h"

#include <sodium.h>

enum { WHY_MAX = 4096 }; /* of complaints: a reply, and a line of the log */

/* A text that is being read. */
struct reader {
    const char *file; /* NULL: a file of settings, whose words may be quoted */
    struct buf *why;
    unsigned line;
    struct acl_user **fresh; /* owned */
    uint32_t count, cap;
    struct buf bytes;    /* of the line's words */
    struct slice *words; /* owned */
    uint32_t word_count, word_cap;
};

static void complain(struct reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void complain(struct reader *r, const char *fmt, ...)
{
    va_list args;

    if (r->why->len > WHY_MAX) {
        return;
    }
    va_start(args, fmt);
    if (buf_vprintf(r->why, fmt, args) != OK) {
        buf_clear(r->why);
        if (buf_append_str(r->why, "out of memory") != OK) {
            buf_clear(r->why);
        }
    }
    va_end(args);
}

static void out_of_memory(struct reader *r)
{
    complain(r, "%s:%u: Out of memory. ", r->file != NULL ? r->file : "user", r->line);
}

/* ---- Words of a line ---- */

static bool add_word(struct reader *r, size_t len)
{
    if (r->word_count == r->word_cap) {
        uint32_t cap = r->word_cap == 0 ? 16 : 2 * r->word_cap;
        struct slice *v = mem_realloc(r->words, r->word_cap * sizeof(*v), cap * sizeof(*v));

        if (v == NULL) {
            return false;
        }
        r->words = v;
        r->word_cap = cap;
    }
    r->words[r->word_count++] = (struct slice){NULL, len}; /* `bytes` may move yet */
    return true;
}

/* Words between blanks; in a file of users quotes mean nothing. */
static enum acl_fault next_plain(struct slice *rest, struct buf *out, bool *is_end)
{
    const char *p = rest->ptr;
    const char *end = p + rest->len;
    const char *from;

    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) {
        p++;
    }
    from = p;
    while (p < end && *p != ' ') {
        p++;
    }
    *is_end = p == from;
    struct slice word = {from, (size_t)(p - from)};

    while (word.len > 0 && (word.ptr[word.len - 1] == '\r' || word.ptr[word.len - 1] == '\t')) {
        word.len--;
    }
    *rest = (struct slice){p, (size_t)(end - p)};
    return buf_append_slice(out, word) == OK ? ACL_FINE : ACL_NO_MEMORY;
}

static enum acl_fault split(struct reader *r, struct slice line)
{
    enum acl_fault fault = ACL_FINE;
    const char *at;

    buf_clear(&r->bytes);
    r->word_count = 0;
    for (bool is_end = false;;) {
        size_t before = r->bytes.len;

        if (r->file != NULL) {
            fault = next_plain(&line, &r->bytes, &is_end);
        } else {
            is_end = !acl_next_word(&line, &r->bytes, &fault);
        }
        if (fault != ACL_FINE || is_end) {
            break;
        }
        if (!add_word(r, r->bytes.len - before)) {
            return ACL_NO_MEMORY;
        }
    }
    at = r->bytes.ptr;
    for (uint32_t i = 0; i < r->word_count; i++) {
        r->words[i].ptr = at;
        at += r->words[i].len;
    }
    return fault;
}

/* ---- Lines ---- */

static bool is_known(const struct reader *r, struct slice name)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (slice_is(acl_name(r->fresh[i]), name)) {
            return true;
        }
    }
    return false;
}

static struct acl_user *add_user(struct reader *r, struct slice name)
{
    struct acl_user *u;

    if (r->count == r->cap) {
        uint32_t cap = r->cap == 0 ? 16 : 2 * r->cap;
        struct acl_user **v = mem_realloc(r->fresh, r->cap * sizeof(struct acl_user *),
                                          cap * sizeof(struct acl_user *));

        if (v == NULL) {
            return NULL;
        }
        r->fresh = v;
        r->cap = cap;
    }
    u = acl_user_create(name);
    if (u != NULL) {
        struct acl_rules *rules = acl_rules_create();

        if (rules == NULL) {
            acl_release(u);
            return NULL;
        }
        atomic_store_explicit(&u->rules, rules, memory_order_relaxed);
        r->fresh[r->count++] = u;
    }
    return u;
}

/* What a rule says may be a secret, unless it names a command that there is not. */
static void apply(struct reader *r, struct acl_user *u, const struct slice *words, uint32_t count)
{
    const struct acl_rules *rules = atomic_load_explicit(&u->rules, memory_order_relaxed);
    struct buf culprit = {0};
    enum acl_fault fault =
        acl_rules_apply_all((struct acl_rules *)rules, words, count, &culprit);

    if (r->file == NULL && fault != ACL_FINE) {
        complain(r, "Error in user declaration '%.*s': %s", (int)acl_name(u).len, u->name,
                 acl_fault_text(fault));
    } else if (fault == ACL_UNKNOWN) {
        complain(r, "%s:%u: Error in applying operation '%.*s': %s. ", r->file, r->line,
                 (int)culprit.len, culprit.ptr, acl_fault_text(fault));
    } else if (fault == ACL_UNMATCHED) {
        complain(r, "%s:%u: %s", r->file, r->line, acl_fault_text(fault));
    } else if (fault != ACL_FINE) {
        complain(r, "%s:%u: %s. ", r->file, r->line, acl_fault_text(fault));
    }
    if (culprit.cap > 0) {
        sodium_memzero(culprit.ptr, culprit.cap);
    }
    buf_fini(&culprit);
}

static void read_line(struct reader *r, struct slice line)
{
    const char *file = r->file != NULL ? r->file : "user";
    enum acl_fault fault = split(r, line);
    struct acl_user *u;

    if (fault == ACL_NO_MEMORY) {
        out_of_memory(r);
    } else if (fault != ACL_FINE) {
        complain(r, "%s:%u: unbalanced quotes in acl line. ", file, r->line);
    } else if (r->word_count == 0) {
        return;
    } else if (!slice_is(r->words[0], SLICE("user")) || r->word_count < 2) {
        complain(r, "%s:%u should start with user keyword followed by the username. ", file,
                 r->line);
    } else if (acl_has_blanks(r->words[1]) || r->words[1].len > LIMIT_ACL_NAME_BYTES) {
        complain(r, "'%s:%u: username '%.*s' contains invalid characters. ", file, r->line,
                 (int)(r->words[1].len < 128 ? r->words[1].len : 128), r->words[1].ptr);
    } else if (is_known(r, r->words[1])) {
        complain(r, "WARNING: Duplicate user '%.*s' found on line %u. ", (int)r->words[1].len,
                 r->words[1].ptr, r->line);
    } else if (r->count == LIMIT_ACL_USERS - 1) { /* one place is the default user's */
        complain(r, "%s:%u: too many users. ", file, r->line);
    } else if ((u = add_user(r, r->words[1])) == NULL) {
        out_of_memory(r);
    } else {
        apply(r, u, r->words + 2, r->word_count - 2);
    }
}

static void reader_end(struct reader *r)
{
    if (r->bytes.cap > 0) {
        sodium_memzero(r->bytes.ptr, r->bytes.cap);
    }
    buf_fini(&r->bytes);
    mem_free(r->words, r->word_cap * sizeof(r->words[0]));
    for (uint32_t i = 0; i < r->count; i++) {
        acl_release(r->fresh[i]);
    }
    mem_free(r->fresh, r->cap * sizeof(struct acl_user *));
}

bool acl_load(struct slice text, const char *file, struct buf *why, struct acl_changes *changes)
{
    struct reader r = {.file = file, .why = why};
    size_t before = why->len;
    bool done = false;

    *changes = (struct acl_changes){0};
    while (text.len > 0) {
        const char *end = memchr(text.ptr, '\n', text.len);
        struct slice line = {text.ptr, end == NULL ? text.len : (size_t)(end - text.ptr)};
        size_t used = line.len + (end != NULL);

        r.line++;
        read_line(&r, line);
        text = (struct slice){text.ptr + used, text.len - used};
    }
    if (why->len == before) {
        done = acl_swap(r.fresh, r.count, changes);
        if (done) {
            r.count = 0; /* they are taken */
        } else {
            out_of_memory(&r);
        }
    }
    reader_end(&r);
    return done;
}

bool acl_load_settings(const char *lines, struct buf *why, struct acl_changes *changes)
{
    struct slice rest = slice_of(lines);
    struct buf text = {0};
    bool done = true;

    *changes = (struct acl_changes){0};
    while (done && rest.len > 0) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.ptr) + 1;

        done = buf_append_str(&text, "user ") == OK &&
               buf_append_slice(&text, (struct slice){rest.ptr, len}) == OK;
        rest = (struct slice){rest.ptr + len, rest.len - len};
    }
    if (done) {
        done = acl_load(buf_slice(&text), NULL, why, changes);
    } else if (buf_append_str(why, "out of memory") != OK) {
        buf_clear(why);
    }
    if (text.cap > 0) {
        sodium_memzero(text.ptr, text.cap);
    }
    buf_fini(&text);
    return done;
}

/* ---- Saying them again ---- */

struct saving {
    struct buf *out;
    bool for_settings, without_default;
    int err;
};

static int put_quoted_words(struct slice text, struct buf *out)
{
    int err = OK;

    while (err == OK && text.len > 0) {
        const char *blank = memchr(text.ptr, ' ', text.len);
        size_t len = blank == NULL ? text.len : (size_t)(blank - text.ptr);
        size_t used = len + (blank != NULL);

        err = len > 0 ? acl_quote_word((struct slice){text.ptr, len}, out) : OK;
        if (err == OK && blank != NULL) {
            err = buf_append_char(out, ' ');
        }
        text = (struct slice){text.ptr + used, text.len - used};
    }
    return err;
}

static bool save_user(const struct acl_user *u, const struct acl_rules *rules, void *arg)
{
    struct saving *s = arg;
    struct buf text = {0};

    if (s->without_default && u == acl_default()) {
        return true;
    }
    s->err = buf_append_str(s->out, "user ");
    if (s->err == OK) {
        s->err = s->for_settings ? acl_quote_word(acl_name(u), s->out)
                                 : buf_append_slice(s->out, acl_name(u));
    }
    if (s->err == OK) {
        s->err = buf_append_char(s->out, ' ');
    }
    if (s->err == OK) {
        s->err = acl_rules_describe(rules, true, &text);
    }
    if (s->err == OK) {
        s->err = s->for_settings ? put_quoted_words(buf_slice(&text), s->out)
                                 : buf_append_slice(s->out, buf_slice(&text));
    }
    if (s->err == OK) {
        s->err = buf_append_char(s->out, '\n');
    }
    buf_fini(&text);
    return s->err == OK;
}

int acl_save(bool for_settings, struct buf *out)
{
    struct saving s = {.out = out,
                       .for_settings = for_settings,
                       .without_default = for_settings && acl_is_default_plain(),
                       .err = OK};

    acl_each(save_user, &s);
    return s.err;
}
