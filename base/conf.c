/* conf.c - the rows, their values, and who may change them.
 *
 * A number is one atomic word. A text is a block behind text_lock: readers copy it out, so a CONFIG
 * SET can free the old one at once. A text that only the start sets never changes again, so its
 * pointer may be kept. set_lock keeps two changes apart, from their check to their apply.
 */
#include "base/conf_value.h"

#include "base/err.h"
#include "base/mem.h"

#include <pthread.h>

static pthread_mutex_t set_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t text_lock = PTHREAD_MUTEX_INITIALIZER;

static struct conf_opt *const *rows;
static size_t row_count;

void conf_use(struct conf_opt *const *table, size_t count)
{
    assert(count <= CONF_ROWS_MAX);
    rows = table;
    row_count = count;
    for (size_t i = 0; i < count; i++) {
        struct conf_opt *o = rows[i];
        size_t n = strlen(o->symbol);

        assert(n < CONF_NAME_MAX);
        for (size_t c = 0; c <= n; c++) {
            o->name[c] = o->symbol[c] == '_' ? '-' : o->symbol[c];
        }
    }
}

size_t conf_count(void)
{
    return row_count;
}

struct conf_opt *conf_at(size_t index)
{
    assert(index < row_count);
    return rows[index];
}

struct conf_opt *conf_find(struct slice name)
{
    for (size_t i = 0; i < row_count; i++) {
        if (conf_is_setting(rows[i]) && slice_is_word(name, rows[i]->name)) {
            return rows[i];
        }
    }
    return NULL;
}

bool conf_is_default(const struct conf_opt *opt)
{
    return conf_resolve(opt)->source == CONF_FROM_DEFAULT;
}

void conf_hook(struct conf_opt *opt, conf_check_fn check, conf_apply_fn apply)
{
    opt->check = check;
    opt->apply = apply;
}

void conf_lines_hook(struct conf_opt *opt, conf_lines_fn lines)
{
    assert(opt->kind == CONF_LINES);
    opt->lines = lines;
}

const char *conf_str(const struct conf_opt *opt)
{
    assert(conf_value_is_text(opt));
    assert((opt->flags & CONF_RELOAD) == 0);
    return opt->text != NULL ? opt->text : opt->first_text;
}

int conf_reveal(const struct conf_opt *opt, struct buf *out)
{
    int err;

    opt = conf_resolve(opt);
    if (!conf_value_is_text(opt)) {
        return conf_value_show(opt, conf_u64(opt), out);
    }
    pthread_mutex_lock(&text_lock);
    err = buf_append_str(out, opt->text != NULL ? opt->text : opt->first_text);
    pthread_mutex_unlock(&text_lock);
    return err;
}

int conf_show(const struct conf_opt *opt, struct buf *out)
{
    size_t before = out->len;
    int err = conf_reveal(opt, out);

    if (err == OK && (conf_resolve(opt)->flags & CONF_SECRET) != 0 && out->len > before) {
        explicit_bzero(out->ptr + before, out->len - before);
        out->len = before;
        err = buf_append_str(out, "<redacted>");
    }
    return err;
}

static void free_text(char *text, size_t bytes)
{
    if (text != NULL) {
        explicit_bzero(text, bytes); /* it may be a secret */
        mem_free(text, bytes);
    }
}

static bool install_text(struct conf_opt *opt, struct slice text, struct buf *why)
{
    size_t bytes = text.len + 1;
    char *copy = mem_alloc(bytes);
    char *old;
    size_t old_bytes;

    if (copy == NULL) {
        return conf_because(why, "out of memory");
    }
    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    copy[text.len] = '\0';
    pthread_mutex_lock(&text_lock);
    old = opt->text;
    old_bytes = opt->text_bytes;
    opt->text = copy;
    opt->text_bytes = bytes;
    pthread_mutex_unlock(&text_lock);
    free_text(old, old_bytes);
    return true;
}

/* A line more. */
static bool install_line(struct conf_opt *opt, struct slice line, struct buf *why)
{
    struct buf all = {0};
    bool done;

    if (conf_reveal(opt, &all) != OK || (all.len > 0 && buf_append_char(&all, '\n') != OK) ||
        buf_append_slice(&all, line) != OK) {
        done = conf_because(why, "out of memory");
    } else {
        done = install_text(opt, buf_slice(&all), why);
    }
    if (all.cap > 0) {
        explicit_bzero(all.ptr, all.cap);
    }
    buf_fini(&all);
    return done;
}

bool conf_install(struct conf_opt *opt, struct slice text, enum conf_source source, unsigned line,
                  struct buf *why)
{
    uint64_t word = 0;

    if (!conf_value_parse(opt, text, &word, why) ||
        (opt->check != NULL && !opt->check(text, why))) {
        return false;
    }
    if (opt->kind == CONF_LINES) {
        if (!install_line(opt, text, why)) {
            return false;
        }
    } else if (conf_value_is_text(opt)) {
        if (!install_text(opt, text, why)) {
            return false;
        }
    } else {
        atomic_store_explicit(&opt->word, word, memory_order_relaxed);
    }
    opt->source = source;
    opt->line = line;
    return true;
}

bool conf_may_set(struct conf_opt *opt, struct slice text, struct buf *why)
{
    uint64_t word = 0;

    if (opt->kind == CONF_ALIAS) {
        opt = opt->target;
    }
    if ((opt->flags & CONF_RELOAD) == 0) {
        return conf_because(why, "can't set immutable config");
    }
    return conf_value_parse(opt, text, &word, why) && (opt->check == NULL || opt->check(text, why));
}

bool conf_set(struct conf_opt *opt, struct slice text, struct buf *why)
{
    bool done;

    if (opt->kind == CONF_ALIAS) {
        opt = opt->target;
    }
    if ((opt->flags & CONF_RELOAD) == 0) {
        return conf_because(why, "can't set immutable config");
    }
    pthread_mutex_lock(&set_lock);
    done = conf_install(opt, text, CONF_FROM_SET, 0, why);
    if (done && opt->apply != NULL) {
        opt->apply(opt);
    }
    pthread_mutex_unlock(&set_lock);
    return done;
}

void conf_reset(void)
{
    for (size_t i = 0; i < row_count; i++) {
        struct conf_opt *o = rows[i];

        free_text(o->text, o->text_bytes);
        o->text = NULL;
        o->text_bytes = 0;
        o->source = CONF_FROM_DEFAULT;
        o->line = 0;
        atomic_store_explicit(&o->word, o->first, memory_order_relaxed);
    }
    conf_file_forget();
}
