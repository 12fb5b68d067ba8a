/* acl_text.c - rules said again: for ACL LIST and GETUSER, and for files that are read back; words and
 * their quotes. */
#include "edge/acl_rules.h"

#include "base/err.h"
#include "base/limits.h"

/* ---- Words ---- */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_of(char c)
{
    c = slice_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What stands behind a backslash between double quotes, at p; *used is how many bytes of it. */
static char escaped(const char *p, const char *end, size_t *used)
{
    *used = 1;
    if (*p == 'x' && end - p > 2 && hex_of(p[1]) >= 0 && hex_of(p[2]) >= 0) {
        *used = 3;
        return (char)(hex_of(p[1]) << 4 | hex_of(p[2]));
    }
    switch (*p) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return *p;
    }
}

/* From behind the quote to behind its end. NULL: there is none, or no memory. */
static const char *take_quoted(const char *p, const char *end, char quote, struct buf *out)
{
    while (p < end && *p != quote) {
        char c = *p++;

        if (c == '\\' && p < end && quote == '"') {
            size_t used;

            c = escaped(p, end, &used);
            p += used;
        } else if (c == '\\' && p < end && *p == '\'') {
            c = *p++;
        }
        if (buf_append_char(out, c) != OK) {
            return NULL;
        }
    }
    /* A quote ends its word. */
    return p < end && (p + 1 == end || is_blank(p[1])) ? p + 1 : NULL;
}

bool acl_next_word(struct slice *rest, struct buf *out, enum acl_fault *bad)
{
    const char *p = rest->ptr;
    const char *end = p + rest->len;

    while (p < end && is_blank(*p)) {
        p++;
    }
    if (p == end) {
        *rest = (struct slice){p, 0};
        return false;
    }
    while (p < end && !is_blank(*p)) {
        if (*p == '"' || *p == '\'') {
            p = take_quoted(p + 1, end, *p, out);
            if (p == NULL) {
                *bad = ACL_SYNTAX;
                return false;
            }
            break;
        }
        if (buf_append_char(out, *p++) != OK) {
            *bad = ACL_NO_MEMORY;
            return false;
        }
    }
    *rest = (struct slice){p, (size_t)(end - p)};
    return true;
}

static bool needs_quotes(struct slice word)
{
    for (size_t i = 0; i < word.len; i++) {
        /* A ")" at a word's end would close its selector. */
        if (word.ptr[i] == '"' || word.ptr[i] == '\'' || word.ptr[i] == ')' ||
            (unsigned char)word.ptr[i] < ' ' || is_blank(word.ptr[i])) {
            return true;
        }
    }
    return word.len == 0;
}

int acl_quote_word(struct slice word, struct buf *out)
{
    static const char hex[] = "0123456789abcdef";

    if (!needs_quotes(word)) {
        return buf_append_slice(out, word);
    }
    if (buf_reserve(out, 4 * word.len + 2) != OK) {
        return ERR_NOMEM;
    }
    buf_append_char_nofail(out, '"');
    for (size_t i = 0; i < word.len; i++) {
        unsigned char c = (unsigned char)word.ptr[i];

        if (c == '"' || c == '\\') {
            buf_append_char_nofail(out, '\\');
            buf_append_char_nofail(out, (char)c);
        } else if (c < ' ' || c == 0x7f) {
            char x[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};

            buf_append_nofail(out, x, sizeof(x));
        } else {
            buf_append_char_nofail(out, (char)c);
        }
    }
    buf_append_char_nofail(out, '"');
    return OK;
}

/* ---- A selector ---- */

int acl_selector_put_commands(const struct acl_selector *s, struct buf *out)
{
    int err = buf_append_str(out, s->adds_future ? "+@all" : "-@all");

    if (err == OK && s->commands.len > 0) {
        err = buf_append_char(out, ' ');
    }
    return err == OK ? buf_append_slice(out, buf_slice(&s->commands)) : err;
}

static int put_text(const char *head, const struct acl_text *t, struct buf *out)
{
    int err = buf_append_str(out, head);

    return err == OK ? buf_append_slice(out, (struct slice){t->ptr, t->len}) : err;
}

static const char *key_head(const struct acl_text *t)
{
    return t->tag == (ACL_READ | ACL_WRITE) ? "~" : t->tag == ACL_READ ? "%R~" : "%W~";
}

int acl_selector_put_keys(const struct acl_selector *s, struct buf *out)
{
    int err = s->all_keys ? buf_append_str(out, "~*") : OK;

    for (uint32_t i = 0; err == OK && i < s->keys.count; i++) {
        err = i > 0 ? buf_append_char(out, ' ') : OK;
        if (err == OK) {
            err = put_text(key_head(&s->keys.items[i]), &s->keys.items[i], out);
        }
    }
    return err;
}

int acl_selector_put_channels(const struct acl_selector *s, struct buf *out)
{
    int err = s->all_channels ? buf_append_str(out, "&*") : OK;

    for (uint32_t i = 0; err == OK && i < s->channels.count; i++) {
        err = i > 0 ? buf_append_char(out, ' ') : OK;
        if (err == OK) {
            err = put_text("&", &s->channels.items[i], out);
        }
    }
    return err;
}

/* "~a resetchannels &c -@all +get" */
static int put_selector(const struct acl_selector *s, struct buf *out)
{
    int err = acl_selector_put_keys(s, out);

    if (err == OK && (s->all_keys || s->keys.count > 0)) {
        err = buf_append_char(out, ' ');
    }
    if (err == OK && !s->all_channels) {
        err = buf_append_str(out, "resetchannels ");
    }
    if (err == OK) {
        err = acl_selector_put_channels(s, out);
    }
    if (err == OK && (s->all_channels || s->channels.count > 0)) {
        err = buf_append_char(out, ' ');
    }
    return err == OK ? acl_selector_put_commands(s, out) : err;
}

/* Its words hold no blanks. */
static int put_selector_quoted(const struct acl_selector *s, struct buf *out)
{
    struct buf plain = {0};
    int err = put_selector(s, &plain);
    struct slice rest = buf_slice(&plain);

    while (err == OK && rest.len > 0) {
        const char *blank = memchr(rest.ptr, ' ', rest.len);
        size_t len = blank == NULL ? rest.len : (size_t)(blank - rest.ptr);
        size_t used = len + (blank != NULL);

        err = acl_quote_word((struct slice){rest.ptr, len}, out);
        if (err == OK && blank != NULL) {
            err = buf_append_char(out, ' ');
        }
        rest = (struct slice){rest.ptr + used, rest.len - used};
    }
    buf_fini(&plain);
    return err;
}

/* ---- A user ---- */

int acl_rules_put_hash(const unsigned char hash[ACL_HASH_BYTES], struct buf *out)
{
    static const char hex[] = "0123456789abcdef";

    if (buf_reserve(out, 2 * (size_t)ACL_HASH_BYTES) != OK) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < ACL_HASH_BYTES; i++) {
        buf_append_char_nofail(out, hex[hash[i] >> 4]);
        buf_append_char_nofail(out, hex[hash[i] & 15]);
    }
    return OK;
}

static int put_flags(const struct acl_rules *r, struct buf *out)
{
    return buf_printf(out, "%s%s%s ", r->is_on ? "on" : "off", r->is_nopass ? " nopass" : "",
                      r->skips_sanitizing ? " skip-sanitize-payload" : " sanitize-payload");
}

int acl_rules_describe(const struct acl_rules *r, bool to_read, struct buf *out)
{
    int err = put_flags(r, out);

    for (uint32_t i = 0; err == OK && i < r->password_count; i++) {
        err = buf_append_char(out, '#');
        if (err == OK) {
            err = acl_rules_put_hash(r->passwords[i], out);
        }
        if (err == OK) {
            err = buf_append_char(out, ' ');
        }
    }
    for (uint32_t i = 0; err == OK && i < r->selector_count; i++) {
        const struct acl_selector *s = r->selectors[i];

        if (i > 0) {
            err = buf_append_str(out, " (");
        }
        if (err == OK) {
            err = i > 0 && to_read ? put_selector_quoted(s, out) : put_selector(s, out);
        }
        if (err == OK && i > 0) {
            err = buf_append_char(out, ')');
        }
    }
    return err;
}
