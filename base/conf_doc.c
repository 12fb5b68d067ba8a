/* conf_doc.c - the rows as people read them: what is allowed, the help, the manual. */
#include "base/conf_value.h"

#include "base/err.h"

/* Where a meaning starts in the help, and where its line ends. */
#define HELP_INDENT 42
#define HELP_WIDTH  100

/* The end is left out where nobody will reach it. */
static int allowed_range(const struct conf_opt *o, const char *what, struct buf *out)
{
    bool is_open = o->max >= INT64_MAX;

    if (buf_append_str(out, what) != OK || conf_value_show_short(o, o->min, out) != OK) {
        return ERR_NOMEM;
    }
    if (is_open) {
        return buf_append_str(out, " on");
    }
    if (o->min == o->max) {
        return OK;
    }
    return buf_append_str(out, " to ") == OK ? conf_value_show_short(o, o->max, out) : ERR_NOMEM;
}

int conf_allowed(const struct conf_opt *opt, struct buf *out)
{
    opt = conf_resolve(opt);
    switch (opt->kind) {
    case CONF_UINT:
    case CONF_INT:
        return allowed_range(opt, "", out);
    case CONF_PORT:
        return allowed_range(opt, "auto, or ", out);
    case CONF_BYTES:
        return allowed_range(opt, "bytes such as 1000, 10kb, 64mb, 1gb, from ", out);
    case CONF_SECONDS:
        return allowed_range(opt, "seconds, or a time such as 30s or 5m, from ", out);
    case CONF_MILLIS:
        return allowed_range(opt, "milliseconds, or a time such as 100ms or 5s, from ", out);
    case CONF_MICROS:
        return allowed_range(opt, "microseconds, or a time such as 100us or 10ms, from ", out);
    case CONF_BOOL:
        return buf_append_str(out, "yes or no");
    case CONF_ENUM:
        for (const char *p = opt->choices; *p != '\0'; p++) {
            if (buf_append_str(out, *p == '|' ? ", " : (char[2]){*p, 0}) != OK) {
                return ERR_NOMEM;
            }
        }
        return opt->choices[0] == '\0' ? buf_append_str(out, "nothing but \"\"") : OK;
    case CONF_STRING:
        return buf_printf(out, "up to %llu characters", (unsigned long long)opt->max);
    case CONF_PATH:
        return buf_append_str(out, "a path");
    case CONF_ADDRESSES:
        return buf_append_str(out, "IPv4 or IPv6 addresses, * for all, between blanks or commas");
    case CONF_LINES:
        return buf_append_str(out, "any number of lines");
    case CONF_ALIAS:
    case CONF_GROUP:
        break;
    }
    return OK;
}

/* The default as the manual shows it; nothing for an empty text. */
static int show_first(const struct conf_opt *o, const char *before, const char *after,
                      struct buf *out)
{
    struct buf text;
    int err;

    buf_init(&text);
    err = conf_value_is_text(o) ? buf_append_str(&text, o->first_text)
                                : conf_value_show_short(o, o->first, &text);
    if (err == OK && text.len > 0) {
        err = buf_printf(out, "%s%.*s%s", before, (int)text.len, text.ptr, after);
    }
    buf_fini(&text);
    return err;
}

static int pad_to(struct buf *out, size_t line_start, size_t column)
{
    while (out->len - line_start < column) {
        if (buf_append_char(out, ' ') != OK) {
            return ERR_NOMEM;
        }
    }
    return OK;
}

/* Words of text from the given column on, broken before HELP_WIDTH. */
static int put_wrapped(struct buf *out, size_t line_start, const char *text)
{
    bool first = true;

    while (*text != '\0') {
        size_t n = strcspn(text, " ");

        if (out->len - line_start + 1 + n > HELP_WIDTH) {
            if (buf_append_char(out, '\n') != OK) {
                return ERR_NOMEM;
            }
            line_start = out->len;
            if (pad_to(out, line_start, HELP_INDENT) != OK) {
                return ERR_NOMEM;
            }
        } else if (!first && buf_append_char(out, ' ') != OK) {
            return ERR_NOMEM;
        }
        first = false;
        if (buf_append(out, text, n) != OK) {
            return ERR_NOMEM;
        }
        text += n;
        text += *text == ' ';
    }
    return OK;
}

static int help_row(const struct conf_opt *o, struct buf *out)
{
    size_t start = out->len;
    struct buf text;
    int err;

    buf_init(&text);
    err = buf_printf(out, "  --%s %s  ", o->name, conf_value_kind(o));
    if (err == OK) {
        err = pad_to(out, start, HELP_INDENT);
    }
    if (err == OK) {
        err = buf_append_str(&text, o->meaning);
    }
    if (err == OK) {
        err = show_first(o, " [", "]", &text);
    }
    if (err == OK && o->kind == CONF_ENUM) {
        err = buf_append_str(&text, " One of ");
        if (err == OK) {
            err = conf_allowed(o, &text);
        }
    }
    if (err == OK && (o->flags & CONF_SECRET) != 0) {
        err = buf_printf(&text, " Better from a file: --%s-file PATH.", o->name);
    }
    if (err == OK) {
        err = buf_terminate(&text);
    }
    if (err == OK) {
        err = put_wrapped(out, start, text.ptr);
    }
    if (err == OK) {
        err = buf_append_char(out, '\n');
    }
    buf_fini(&text);
    return err;
}

/* Whether a group has a row that help or manual would print. */
static bool has_rows(size_t group, bool compat)
{
    for (size_t i = group + 1; i < conf_count() && conf_at(i)->kind != CONF_GROUP; i++) {
        const struct conf_opt *o = conf_at(i);

        if (o->kind != CONF_ALIAS && (compat || (o->flags & CONF_COMPAT) == 0)) {
            return true;
        }
    }
    return false;
}

int conf_help(struct buf *out)
{
    for (size_t i = 0; i < conf_count(); i++) {
        const struct conf_opt *o = conf_at(i);
        int err = OK;

        if (o->kind == CONF_GROUP) {
            err = has_rows(i, false) ? buf_printf(out, "\n%s\n", o->meaning) : OK;
        } else if (o->kind != CONF_ALIAS && (o->flags & CONF_COMPAT) == 0) {
            err = help_row(o, out);
        }
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

static int manual_names(const struct conf_opt *o, struct buf *out)
{
    if (buf_printf(out, "| `%s`", o->name) != OK) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < conf_count(); i++) {
        const struct conf_opt *a = conf_at(i);

        if (a->kind == CONF_ALIAS && a->target == o && buf_printf(out, "<br>`%s`", a->name) != OK) {
            return ERR_NOMEM;
        }
    }
    return OK;
}

static int manual_row(const struct conf_opt *o, struct buf *out)
{
    if (manual_names(o, out) != OK || buf_append_str(out, " | ") != OK ||
        show_first(o, "`", "`", out) != OK || buf_append_str(out, " | ") != OK ||
        conf_allowed(o, out) != OK) {
        return ERR_NOMEM;
    }
    return buf_printf(
        out, " | %s | %s%s%s |\n", (o->flags & CONF_RELOAD) != 0 ? "CONFIG SET" : "start",
        o->meaning, (o->flags & CONF_SECRET) != 0 ? " Secret." : "",
        (o->flags & CONF_COMPAT) != 0 ? " *Accepted for Redis' tools; changes nothing.*" : "");
}

static const char manual_head[] =
    "# Settings\n"
    "\n"
    "Made by `make docs` from the rows in `*/options.def`; do not edit.\n"
    "\n"
    "Each setting may stand in four places. The first that has it wins:\n"
    "\n"
    "1. a flag: `--maxmemory 1gb` or `--maxmemory=1gb`;\n"
    "2. the environment: `GODWIT_MAXMEMORY=1gb` (upper case, hyphens are underscores);\n"
    "3. the file that `--config` or `GODWIT_CONFIG` names, a line each: `maxmemory 1gb` or\n"
    "   `maxmemory = 1gb`; `#` begins a comment line, quotes keep blanks at the ends;\n"
    "4. the default below.\n"
    "\n"
    "An unknown or ill-formed setting stops the start with a line that names the setting,\n"
    "its value, where it stood and what is allowed. That includes every variable that begins\n"
    "with `GODWIT_`, of which Kubernetes makes some for a service named `godwit` unless its\n"
    "pods have `enableServiceLinks: false`.\n"
    "\n"
    "A secret `x` may also be what a file holds: `--x-file PATH`, `GODWIT_X_FILE=PATH`, or\n"
    "`x-file PATH`. Wherever settings are shown it reads `<redacted>`.\n"
    "\n"
    "Bytes: `1000`, `10k` (10,000), `10kb` (10,240), and so on with m, g and t. Times: a bare\n"
    "number has the unit that the table names; `100ms`, `5s`, `2m`, `1h`, `1d` say it\n"
    "themselves. *Changed by* says whether `CONFIG SET` may change it in a running server;\n"
    "`CONFIG REWRITE` keeps such changes in the file.\n";

int conf_manual(struct buf *out)
{
    if (buf_append_str(out, manual_head) != OK) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < conf_count(); i++) {
        const struct conf_opt *o = conf_at(i);
        int err = OK;

        if (o->kind == CONF_GROUP) {
            err = has_rows(i, true)
                      ? buf_printf(out,
                                   "\n## %s\n\n| setting | default | allowed | changed by "
                                   "| meaning |\n|---|---|---|---|---|\n",
                                   o->meaning)
                      : OK;
        } else if (o->kind != CONF_ALIAS) {
            err = manual_row(o, out);
        }
        if (err != OK) {
            return err;
        }
    }
    return OK;
}
