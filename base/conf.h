/* conf.h - settings. One row in a folder's options.def makes the flag, the environment variable, the
 * line of the file, the check, the help, the manual, and CONFIG GET and SET.
 *
 *    node/options.def   OPT(maxmemory, BYTES(0, 0, INT64_MAX), CONF_RELOAD, "Memory for data; …")
 *    in code            #include "node/options.h"     …     conf_u64(&opt_maxmemory)
 *
 * The rows' types, in base/conf_define.h: UINT INT PORT BYTES SECONDS MILLIS MICROS BOOL ENUM STRING PATH
 * ADDRESSES LINES. A symbol's underscores are hyphens in the setting's name. Before conf_load() every
 * setting has its default.
 *
 * Order     flags, then environment (GODWIT_NAME), then file, then default.
 * Threads   numbers are words that CONFIG SET may change at any moment: read one once a use. Texts are
 *           copied out under a lock. conf_use(), conf_hook() and conf_load() run before other threads.
 * Failure   the reason is appended to `why`, in Redis' words where it has any.
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "base/annot.h"
#include "base/buf.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum conf_kind {
    CONF_UINT,
    CONF_INT,
    CONF_PORT, /* a UINT that may be "auto" */
    CONF_BYTES,
    CONF_SECONDS,
    CONF_MILLIS,
    CONF_MICROS,
    CONF_BOOL,
    CONF_ENUM,
    CONF_STRING,
    CONF_PATH,
    CONF_ADDRESSES,
    CONF_LINES, /* may stand many times; its value is all of them, a line each */
    CONF_ALIAS, /* another name for .target */
    CONF_GROUP, /* no setting: a heading of help and manual */
};

enum {
    CONF_FIXED = 0,  /* only at start */
    CONF_RELOAD = 1, /* CONFIG SET may change it */
    CONF_SECRET = 2, /* never shown; may come from a file that --NAME-file names */
    CONF_COMPAT = 4, /* accepted because Redis' tools set or ask it; changes nothing */
};

enum conf_source {
    CONF_FROM_DEFAULT,
    CONF_FROM_FILE,
    CONF_FROM_ENV,
    CONF_FROM_FLAG,
    CONF_FROM_SET
};

/* The word of a PORT that is "auto": any free one. */
enum { CONF_PORT_AUTO = 65536 };

#define CONF_NAME_MAX 48
#define CONF_ROWS_MAX 512

struct conf_opt;
/* False, and the reason in why, if the text does not have the form that its reader needs. */
typedef bool (*conf_check_fn)(struct slice text, struct buf *why);
/* After a change, in the thread that made it; not called for the values that conf_load() found. */
typedef void (*conf_apply_fn)(const struct conf_opt *opt);
/* Appends the lines of a LINES row as they are by now, each with its name, for CONFIG REWRITE. */
typedef int (*conf_lines_fn)(struct buf *out);

struct conf_opt {
    _Atomic uint64_t word; /* numbers; the index of an ENUM's choice */
    const char *symbol;
    const char *meaning;
    const char *first_text; /* default of a text */
    const char *choices;    /* of an ENUM: "a|b|c" */
    struct conf_opt *target;
    uint64_t first, min, max; /* INT: as int64_t; texts: max is the greatest length */
    unsigned flags;
    enum conf_kind kind;
    /* private */
    enum conf_source source;
    unsigned line; /* of the file it came from */
    char *text;    /* owned; NULL is first_text. Guarded by conf.c's lock */
    size_t text_bytes;
    conf_check_fn check;
    conf_apply_fn apply;
    conf_lines_fn lines;
    char name[CONF_NAME_MAX];
};

/* Relaxed: a setting orders nothing but itself. */
static inline uint64_t conf_u64(const struct conf_opt *opt)
{
    return atomic_load_explicit(&opt->word, memory_order_relaxed);
}

static inline int64_t conf_i64(const struct conf_opt *opt)
{
    return (int64_t)conf_u64(opt);
}

static inline bool conf_bool(const struct conf_opt *opt)
{
    return conf_u64(opt) != 0;
}

/* Index of an ENUM's choice, in the order of its row. */
static inline unsigned conf_enum(const struct conf_opt *opt)
{
    return (unsigned)conf_u64(opt);
}

/* A text that only the start can set; good for the life of the process. */
const char *conf_str(const struct conf_opt *opt);

/* Appends the value of any setting, secrets included. For whoever uses the secret. */
MUST_CHECK int conf_reveal(const struct conf_opt *opt, struct buf *out);

/* Appends what may be shown: "<redacted>" for a secret that is set. */
MUST_CHECK int conf_show(const struct conf_opt *opt, struct buf *out);

/* The table of all rows, aliases and groups included; it must stay. Gives every row its name. */
void conf_use(struct conf_opt *const *table, size_t count);
size_t conf_count(void);
struct conf_opt *conf_at(size_t index);

/* The row by name in any case, an alias too; NULL if there is none. */
struct conf_opt *conf_find(struct slice name);

static inline const struct conf_opt *conf_resolve(const struct conf_opt *opt)
{
    return opt->kind == CONF_ALIAS ? opt->target : opt;
}

static inline bool conf_is_setting(const struct conf_opt *opt)
{
    return opt->kind != CONF_GROUP;
}

bool conf_is_default(const struct conf_opt *opt);

/* A reader's own form of a text, and what follows a change. Either may be NULL. */
void conf_hook(struct conf_opt *opt, conf_check_fn check, conf_apply_fn apply);
/* Of a LINES row: without it, CONFIG REWRITE leaves its lines alone. */
void conf_lines_hook(struct conf_opt *opt, conf_lines_fn lines);

/* Whether conf_set() would accept it, so that a CONFIG SET of several is all or nothing. */
MUST_CHECK bool conf_may_set(struct conf_opt *opt, struct slice text, struct buf *why);
/* CONFIG SET. */
MUST_CHECK bool conf_set(struct conf_opt *opt, struct slice text, struct buf *why);

struct conf_input {
    char **argv; /* what follows the subcommand, ended by NULL; secrets in it are overwritten */
    char **env;  /* likewise */
};

/* Applies file, environment and flags, in that order. ERR_INVALID: *why is a text for the user that
 * names the setting, its value, what is allowed and where it stood. */
MUST_CHECK int conf_load(struct conf_input in, struct buf *why);

/* CONFIG REWRITE: settings changed since the start go into the file, comments and order stay. Also
 * what the file names and a CONFIG SET changed. The old file stays if anything fails. */
MUST_CHECK int conf_rewrite(struct buf *why) ON_BG;

/* Text for people: what the row admits, e.g. "0 to 65535" or "yes or no". */
MUST_CHECK int conf_allowed(const struct conf_opt *opt, struct buf *out);
/* Where its value came from: "default", "flag --port", "environment GODWIT_PORT", "x.conf:3". */
MUST_CHECK int conf_origin(const struct conf_opt *opt, struct buf *out);
/* `godwit serve --help`, and deploy/CONFIG.md. */
MUST_CHECK int conf_help(struct buf *out);
MUST_CHECK int conf_manual(struct buf *out);

/* For tests: everything as before conf_load(). */
void conf_reset(void);

#endif
