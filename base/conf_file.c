/* conf_file.c - reads the file of settings, and writes changed ones back between its comments. */
#include "base/conf_file.h"

#include "base/conf_value.h"
#include "base/err.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Appends a file of at most `most` bytes. */
int conf_file_read(const char *path, size_t most, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int err = OK;

    if (fd < 0) {
        return ERR_IO;
    }
    for (;;) {
        ssize_t n;

        if (out->len > most) {
            err = ERR_LIMIT;
            break;
        }
        if (buf_reserve(out, 4096) != OK) {
            err = ERR_NOMEM;
            break;
        }
        n = read(fd, out->ptr + out->len, 4096);
        if (n <= 0) {
            err = n == 0 ? OK : ERR_IO;
            break;
        }
        out->len += (size_t)n;
    }
    close(fd);
    return err;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct conf_line split_line(struct slice line)
{
    struct conf_line out = {line, {line.ptr, 0}, {line.ptr, 0}};
    size_t i = 0, start;

    while (line.len > 0 && is_blank(line.ptr[line.len - 1])) {
        line.len--;
    }
    while (i < line.len && is_blank(line.ptr[i])) {
        i++;
    }
    if (i == line.len || line.ptr[i] == '#') {
        return out;
    }
    start = i;
    while (i < line.len && !is_blank(line.ptr[i]) && line.ptr[i] != '=') {
        i++;
    }
    out.name = (struct slice){line.ptr + start, i - start};
    while (i < line.len && is_blank(line.ptr[i])) {
        i++;
    }
    if (i < line.len && line.ptr[i] == '=') {
        i++;
    }
    while (i < line.len && is_blank(line.ptr[i])) {
        i++;
    }
    out.value = (struct slice){line.ptr + i, line.len - i};
    return out;
}

/* "a \"b\"" and 'a' as one value; anything else stands for itself. */
int conf_file_unquote(struct slice v, struct buf *out)
{
    bool quoted =
        v.len >= 2 && (v.ptr[0] == '"' || v.ptr[0] == '\'') && v.ptr[v.len - 1] == v.ptr[0];

    if (!quoted) {
        return buf_append_slice(out, v);
    }
    for (size_t i = 1; i + 1 < v.len; i++) {
        if (v.ptr[i] == '\\' && i + 2 < v.len) {
            i++;
        }
        if (buf_append_char(out, v.ptr[i]) != OK) {
            return ERR_NOMEM;
        }
    }
    return OK;
}

static struct slice take_line(struct slice *rest)
{
    const char *end = rest->len == 0 ? NULL : memchr(rest->ptr, '\n', rest->len);
    struct slice line = {rest->ptr, end == NULL ? rest->len : (size_t)(end - rest->ptr)};
    size_t used = line.len + (end != NULL);

    *rest = (struct slice){rest->ptr + used, rest->len - used};
    return line;
}

struct conf_line conf_file_next(struct slice *rest)
{
    return split_line(take_line(rest));
}

int conf_file_quote(struct slice v, struct buf *out)
{
    bool plain = v.len > 0 && !is_blank(v.ptr[0]) && !is_blank(v.ptr[v.len - 1]) &&
                 v.ptr[0] != '=' && v.ptr[0] != '"' && v.ptr[0] != '\'';

    if (plain) {
        return buf_append_slice(out, v);
    }
    /* Each character may need a backslash, and there are two quotes. */
    if (buf_reserve(out, v.len * 2 + 2) != OK) {
        return ERR_NOMEM;
    }
    buf_append_char_nofail(out, '"');
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] == '"' || v.ptr[i] == '\\') {
            buf_append_char_nofail(out, '\\');
        }
        buf_append_char_nofail(out, v.ptr[i]);
    }
    buf_append_char_nofail(out, '"');
    return OK;
}

/* ---- CONFIG REWRITE ---- */

/* The settings already in the new file; conf_count() never comes near. */
struct rewrite {
    struct buf *out;
    struct buf value;
    bool *seen;
};

static int put_line(struct rewrite *w, struct slice head, const struct conf_opt *o)
{
    buf_clear(&w->value);
    if (conf_reveal(o, &w->value) != OK || buf_append_slice(w->out, head) != OK ||
        conf_file_quote(buf_slice(&w->value), w->out) != OK ||
        buf_append_char(w->out, '\n') != OK) {
        return ERR_NOMEM;
    }
    return OK;
}

/* Only what CONFIG SET changed is written; a value that a flag or the environment overrides stays as
 * it is in the file. A later line of the same setting is dropped, since the last one would win. */
static int rewrite_line(struct rewrite *w, struct conf_line l)
{
    const struct conf_opt *o = l.name.len == 0 ? NULL : conf_find(l.name);
    size_t head = (size_t)(l.value.ptr - l.whole.ptr);

    o = o == NULL ? NULL : conf_resolve(o);
    if (o != NULL && o->lines != NULL) {
        return OK; /* all of them come at the end */
    }
    if (o == NULL || o->source != CONF_FROM_SET) {
        if (buf_append_slice(w->out, l.whole) != OK || buf_append_char(w->out, '\n') != OK) {
            return ERR_NOMEM;
        }
        return OK;
    }
    for (size_t i = 0; i < conf_count(); i++) {
        if (conf_at(i) == o) {
            bool again = w->seen[i];

            w->seen[i] = true;
            return again ? OK : put_line(w, (struct slice){l.whole.ptr, head}, o);
        }
    }
    return OK;
}

static int rewrite_text(struct rewrite *w, struct slice rest)
{
    int err = OK;

    while (err == OK && rest.len > 0) {
        err = rewrite_line(w, conf_file_next(&rest));
    }
    for (size_t i = 0; err == OK && i < conf_count(); i++) {
        const struct conf_opt *o = conf_at(i);

        if (o->lines != NULL) {
            err = o->lines(w->out);
        } else if (o->source == CONF_FROM_SET && !w->seen[i]) {
            buf_clear(&w->value);
            err = buf_printf(&w->value, "%s ", o->name);
            if (err == OK) {
                char head[CONF_NAME_MAX + 1];
                size_t n = w->value.len;

                memcpy(head, w->value.ptr, n);
                err = put_line(w, (struct slice){head, n}, o);
            }
        }
    }
    return err;
}

/* It may hold secrets, so it has the old one's mode, which is the user's choice. */
int conf_file_replace(const char *path, struct slice text, unsigned mode)
{
    char temp[4096 + 8];
    struct stat st;
    int fd, saved;

    if (stat(path, &st) == 0) {
        mode = st.st_mode & 07777;
    } else if (mode == 0 || errno != ENOENT) {
        return ERR_IO;
    }
    if ((size_t)snprintf(temp, sizeof(temp), "%s.new", path) >= sizeof(temp)) {
        errno = ENAMETOOLONG;
        return ERR_IO;
    }
    fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return ERR_IO;
    }
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);

        if (n < 0) {
            goto fail;
        }
        text = (struct slice){text.ptr + n, text.len - (size_t)n};
    }
    if (fchmod(fd, mode) != 0 || fsync(fd) != 0 || rename(temp, path) != 0) {
        goto fail;
    }
    close(fd);
    return OK;

fail:
    saved = errno;
    close(fd);
    (void)unlink(temp);
    errno = saved;
    return ERR_IO;
}

int conf_rewrite(struct buf *why)
{
    bool seen[CONF_ROWS_MAX] = {false};
    struct buf old, new;
    struct rewrite w = {.out = &new, .seen = seen};
    const char *path = conf_file_path();
    int err;

    if (path[0] == '\0') {
        (void)conf_because(why, "The server is running without a config file");
        return ERR_INVALID;
    }
    buf_init(&old);
    buf_init(&new);
    err = conf_file_read(path, LIMIT_CONF_FILE_BYTES, &old);
    if (err == OK) {
        err = rewrite_text(&w, buf_slice(&old));
    }
    if (err == OK) {
        err = conf_file_replace(path, buf_slice(&new), 0);
    }
    if (err != OK) {
        (void)conf_because(why, "Rewriting config file: %s",
                           err == ERR_IO ? strerrordesc_np(errno) : "out of memory");
    }
    buf_fini(&w.value);
    buf_fini(&old);
    buf_fini(&new);
    return err;
}
