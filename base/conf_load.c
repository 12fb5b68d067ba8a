/* conf_load.c - where settings come from: a file, the environment, flags. Every place ends in give(),
 * which checks, installs and, if it must, explains. */
#include "base/conf_file.h"
#include "base/conf_value.h"
#include "base/err.h"
#include "base/limits.h"

#include <errno.h>
#include <stdio.h>

#define ENV_PREFIX "GODWIT_"

/* The file in use, "" if none: set by conf_load(), read by conf_rewrite() and conf_origin(). */
static char file_path[4096];

struct place {
    enum conf_source source;
    unsigned line;
    const char *shown; /* the flag or variable as it was written */
};

const char *conf_file_path(void)
{
    return file_path;
}

void conf_file_forget(void)
{
    file_path[0] = '\0';
}

static void tell_place(const struct place *at, struct buf *why)
{
    switch (at->source) {
    case CONF_FROM_FILE:
        (void)conf_because(why, " (%s:%u)", file_path, at->line);
        break;
    case CONF_FROM_ENV:
        (void)conf_because(why, " (environment %s)", at->shown);
        break;
    case CONF_FROM_FLAG:
        (void)conf_because(why, " (flag %s)", at->shown);
        break;
    case CONF_FROM_DEFAULT:
    case CONF_FROM_SET:
        break;
    }
}

/* Levenshtein's distance, cut off at CONF_NAME_MAX. */
static size_t distance(struct slice a, const char *b)
{
    size_t row[CONF_NAME_MAX + 1];
    size_t n = strlen(b);

    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 0; i < a.len; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t change = diagonal + (slice_lower(a.ptr[i]) != b[j]);
            size_t drop = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;

            diagonal = row[j + 1];
            row[j + 1] = change < drop ? change : drop;
        }
    }
    return row[n];
}

static int unknown(struct slice name, const struct place *at, struct buf *why)
{
    const struct conf_opt *best = NULL;
    size_t least = 2 + name.len / 4; /* from here on it is another word */

    (void)conf_because(why, "unknown setting \"%.*s\"", (int)name.len, name.ptr);
    tell_place(at, why);
    for (size_t i = 0; name.len < CONF_NAME_MAX && i < conf_count(); i++) {
        const struct conf_opt *o = conf_at(i);
        size_t d = conf_is_setting(o) ? distance(name, o->name) : least;

        if (d < least) {
            least = d;
            best = o;
        }
    }
    if (best != NULL) {
        (void)conf_because(why, "; did you mean \"%s\"?", best->name);
    } else {
        (void)conf_because(why, "; `godwit serve --help` lists all settings");
    }
    return ERR_INVALID;
}

static int refuse(const struct conf_opt *o, struct slice value, const struct place *at,
                  struct buf *reason, struct buf *why)
{
    bool secret = (o->flags & CONF_SECRET) != 0;

    (void)conf_because(why, "setting \"%s\" cannot be \"%.*s\"", o->name,
                       secret ? (int)sizeof("<redacted>") - 1 : (int)value.len,
                       secret ? "<redacted>" : value.ptr);
    tell_place(at, why);
    (void)conf_because(why, ": %.*s; allowed: ", (int)reason->len, reason->ptr);
    if (conf_allowed(o, why) != OK) {
        buf_clear(why);
    }
    return ERR_INVALID;
}

static int give(struct conf_opt *o, struct slice value, const struct place *at, struct buf *why)
{
    struct buf reason;
    int err = OK;

    buf_init(&reason);
    if (o->kind == CONF_ALIAS) {
        o = o->target;
    }
    if (!conf_install(o, value, at->source, at->line, &reason)) {
        err = refuse(o, value, at, &reason, why);
    }
    buf_fini(&reason);
    return err;
}

static int give_from_file(struct conf_opt *o, struct slice path, const struct place *at,
                          struct buf *why)
{
    char name[4096];
    struct buf text;
    int err;

    buf_init(&text);
    if (path.len >= sizeof(name)) {
        err = ERR_LIMIT;
    } else {
        memcpy(name, path.ptr, path.len);
        name[path.len] = '\0';
        err = conf_file_read(name, LIMIT_SECRET_FILE_BYTES, &text);
    }
    if (err == OK) {
        while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r')) {
            text.len--;
        }
        err = give(o, buf_slice(&text), at, why);
    } else {
        (void)conf_because(why, "setting \"%s-file\" cannot be \"%.*s\"", o->name, (int)path.len,
                           path.ptr);
        tell_place(at, why);
        (void)conf_because(why, ": %s; allowed: a readable file of at most %d bytes",
                           err == ERR_LIMIT ? "it is too large" : strerrordesc_np(errno),
                           LIMIT_SECRET_FILE_BYTES);
        err = ERR_INVALID;
    }
    if (text.cap > 0) {
        explicit_bzero(text.ptr, text.cap);
    }
    buf_fini(&text);
    return err;
}

/* The secret that `x-file` names a file for, or NULL. */
static struct conf_opt *find_file_form(struct slice name)
{
    static const char suffix[] = "-file";
    size_t n = sizeof(suffix) - 1;
    struct conf_opt *o;

    if (name.len <= n || !slice_is_word((struct slice){name.ptr + name.len - n, n}, suffix)) {
        return NULL;
    }
    o = conf_find((struct slice){name.ptr, name.len - n});
    if (o != NULL && o->kind == CONF_ALIAS) {
        o = o->target;
    }
    return o != NULL && (o->flags & CONF_SECRET) != 0 ? o : NULL;
}

static int give_named(struct slice name, struct slice value, const struct place *at,
                      struct buf *why)
{
    struct conf_opt *o = conf_find(name);

    if (o != NULL) {
        return give(o, value, at, why);
    }
    o = find_file_form(name);
    return o != NULL ? give_from_file(o, value, at, why) : unknown(name, at, why);
}

static bool is_secret(struct slice name)
{
    const struct conf_opt *o = conf_find(name);

    return o != NULL && (conf_resolve(o)->flags & CONF_SECRET) != 0;
}

/* ---- file ---- */

static int give_lines(struct slice rest, struct buf *why)
{
    struct place at = {.source = CONF_FROM_FILE};
    struct buf value;
    int err = OK;

    buf_init(&value);
    while (err == OK && rest.len > 0) {
        struct conf_line l = conf_file_next(&rest);

        at.line++;
        if (l.name.len == 0) {
            continue;
        }
        const struct conf_opt *o = conf_find(l.name);

        buf_clear(&value);
        /* A line's reader knows quotes of its own. */
        err = o != NULL && o->kind == CONF_LINES ? buf_append_slice(&value, l.value)
                                                 : conf_file_unquote(l.value, &value);
        if (err == OK) {
            err = give_named(l.name, buf_slice(&value), &at, why);
        }
    }
    if (value.cap > 0) {
        explicit_bzero(value.ptr, value.cap);
    }
    buf_fini(&value);
    return err;
}

static int load_file(struct slice path, struct buf *why)
{
    struct buf text;
    int err;

    if (path.len == 0) {
        return OK;
    }
    if (path.len >= sizeof(file_path)) {
        (void)conf_because(why, "setting \"config\": the path is too long");
        return ERR_INVALID;
    }
    memcpy(file_path, path.ptr, path.len);
    file_path[path.len] = '\0';
    buf_init(&text);
    err = conf_file_read(file_path, LIMIT_CONF_FILE_BYTES, &text);
    if (err == OK) {
        err = give_lines(buf_slice(&text), why);
    } else {
        (void)conf_because(why, "setting \"config\" cannot be \"%s\": %s", file_path,
                           err == ERR_IO      ? strerrordesc_np(errno)
                           : err == ERR_LIMIT ? "the file is too large"
                                              : "out of memory");
        err = ERR_INVALID;
    }
    if (text.cap > 0) {
        explicit_bzero(text.ptr, text.cap);
    }
    buf_fini(&text);
    return err;
}

/* ---- environment ---- */

/* Names that test harnesses hand down to every child; they set nothing. */
static bool is_for_tests(const char *variable)
{
    return strncmp(variable, "GODWIT_BIN=", 11) == 0 || strncmp(variable, "GODWIT_TEST_", 12) == 0;
}

static int load_env(char **env, struct buf *why)
{
    for (; env != NULL && *env != NULL; env++) {
        char name[CONF_NAME_MAX + 16], shown[CONF_NAME_MAX + 32];
        const char *eq = strchr(*env, '=');
        struct place at = {.source = CONF_FROM_ENV, .shown = shown};
        size_t n;
        int err;

        if (strncmp(*env, ENV_PREFIX, sizeof(ENV_PREFIX) - 1) != 0 || eq == NULL ||
            is_for_tests(*env)) {
            continue;
        }
        n = (size_t)(eq - *env) - (sizeof(ENV_PREFIX) - 1);
        n = n < sizeof(name) ? n : sizeof(name);
        for (size_t i = 0; i < n; i++) {
            char c = (*env)[sizeof(ENV_PREFIX) - 1 + i];

            name[i] = slice_lower(c == '_' ? '-' : c);
        }
        (void)snprintf(shown, sizeof(shown), "%.*s", (int)(eq - *env), *env);
        err = give_named((struct slice){name, n}, slice_of(eq + 1), &at, why);
        if (is_secret((struct slice){name, n})) {
            memset(*env + (eq - *env) + 1, 'x', strlen(eq + 1)); /* `ps e` shows it */
        }
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

/* ---- flags ---- */

/* One flag: its name, its value, and how many arguments it takes. */
struct flag {
    struct slice name;
    char *value; /* NULL: none given */
    int args;
};

static struct flag split_flag(char **argv)
{
    char *text = argv[0] + 2;
    char *eq = strchr(text, '=');

    if (eq != NULL) {
        return (struct flag){{text, (size_t)(eq - text)}, eq + 1, 1};
    }
    return (struct flag){slice_of(text), argv[1], argv[1] == NULL ? 1 : 2};
}

static int load_flag(char **argv, int *args, struct buf *why)
{
    char shown[CONF_NAME_MAX + 32];
    struct place at = {.source = CONF_FROM_FLAG, .shown = shown};
    const struct conf_opt *o;
    struct flag f;
    int err;

    if (strncmp(argv[0], "--", 2) != 0) {
        (void)conf_because(why, "unexpected argument \"%s\"; settings are given as --name value",
                           argv[0]);
        return ERR_INVALID;
    }
    f = split_flag(argv);
    (void)snprintf(shown, sizeof(shown), "--%.*s", (int)f.name.len, f.name.ptr);
    o = conf_find(f.name);
    if (o != NULL && conf_resolve(o)->kind == CONF_BOOL && f.args == 2 &&
        strncmp(f.value, "--", 2) == 0) {
        f.value = NULL; /* --flag --next */
        f.args = 1;
    }
    *args = f.args;
    if (f.value == NULL && o != NULL && conf_resolve(o)->kind == CONF_BOOL) {
        return give_named(f.name, SLICE("yes"), &at, why);
    }
    if (f.value == NULL && (o != NULL || find_file_form(f.name) != NULL)) {
        (void)conf_because(why,
                           "setting \"%.*s\" needs a value (flag %s); allowed: ", (int)f.name.len,
                           f.name.ptr, shown);
        return o == NULL || conf_allowed(o, why) == OK ? ERR_INVALID : ERR_NOMEM;
    }
    err = give_named(f.name, f.value == NULL ? SLICE("") : slice_of(f.value), &at, why);
    if (f.value != NULL && is_secret(f.name)) {
        memset(f.value, 'x', strlen(f.value)); /* so that ps does not show it for longer */
    }
    return err;
}

static int load_flags(char **argv, struct buf *why)
{
    while (argv != NULL && *argv != NULL) {
        int args = 1;
        int err = load_flag(argv, &args, why);

        if (err != OK) {
            return err;
        }
        argv += args;
    }
    return OK;
}

/* The file's name comes before the file, so flags and environment are looked through twice. */
static struct slice find_file(struct conf_input in)
{
    struct slice found = SLICE("");

    for (char **e = in.env; e != NULL && *e != NULL; e++) {
        if (strncmp(*e, "GODWIT_CONFIG=", 14) == 0) {
            found = slice_of(*e + 14);
        }
    }
    for (char **a = in.argv; a != NULL && *a != NULL;) {
        struct flag f = {SLICE(""), NULL, 1};

        if (strncmp(*a, "--", 2) == 0) {
            f = split_flag(a);
        }
        if (f.value != NULL && slice_is_word(f.name, "config")) {
            found = slice_of(f.value);
        }
        a += f.args;
    }
    return found;
}

int conf_load(struct conf_input in, struct buf *why)
{
    int err = load_file(find_file(in), why);

    if (err == OK) {
        err = load_env(in.env, why);
    }
    if (err == OK) {
        err = load_flags(in.argv, why);
    }
    return err;
}

int conf_origin(const struct conf_opt *opt, struct buf *out)
{
    opt = conf_resolve(opt);
    switch (opt->source) {
    case CONF_FROM_FILE:
        return buf_printf(out, "%s:%u", file_path, opt->line);
    case CONF_FROM_ENV:
        if (buf_append_str(out, "environment " ENV_PREFIX) != OK) {
            return ERR_NOMEM;
        }
        for (const char *p = opt->name; *p != '\0'; p++) {
            char c = *p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;

            if (buf_append_char(out, c) != OK) {
                return ERR_NOMEM;
            }
        }
        return OK;
    case CONF_FROM_FLAG:
        return buf_printf(out, "flag --%s", opt->name);
    case CONF_FROM_SET:
        return buf_append_str(out, "CONFIG SET");
    case CONF_FROM_DEFAULT:
        break;
    }
    return buf_append_str(out, "default");
}
