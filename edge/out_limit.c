#include "edge/out_limit.h"

#include "base/conf.h"
#include "base/err.h"
#include "base/parse.h"
#include "edge/conn.h"
#include "edge/options.h"

enum class { CLASS_NORMAL, CLASS_REPLICA, CLASS_PUBSUB, CLASSES };

static const char *const names[CLASSES] = {"normal", "slave", "pubsub"};

enum { NUMBERS = 3, HARD = 0, SOFT = 1, SECONDS = 2 };

/* Of each class, its three numbers. Relaxed: each is a figure by itself, and a change of them that is seen in
 * halves for a moment closes nobody who would not have been closed a moment before or after. */
static _Atomic uint64_t limits[CLASSES][NUMBERS];

struct parsed {
    uint64_t numbers[CLASSES][NUMBERS];
};

static struct slice next_word(struct slice *text)
{
    size_t from = 0;
    size_t to;

    while (from < text->len && text->ptr[from] == ' ') {
        from++;
    }
    for (to = from; to < text->len && text->ptr[to] != ' ';) {
        to++;
    }
    struct slice word = {text->ptr + from, to - from};

    *text = (struct slice){text->ptr + to, text->len - to};
    return word;
}

static enum class class_of(struct slice name) {
    if (slice_is_word(name, "replica")){return CLASS_REPLICA;}
for (enum class c = CLASS_NORMAL; c < CLASSES; c++)
{
    if (slice_is_word(name, names[c])) {
        return c;
    }
}
return CLASSES;
}

/* Into *p, of which the classes that are not named stay. NULL, or why not, in Redis' words. */
static const char *parse(struct slice text, struct parsed *p)
{
    for (;;) {
        struct slice name = next_word(&text);
        enum class class = class_of(name);

        if (name.len == 0) {
            return NULL;
        }
        if (class == CLASSES) {
            return "Invalid client class specified in buffer limit configuration.";
        }
        for (int i = 0; i < NUMBERS; i++) {
            struct slice number = next_word(&text);
            uint64_t *out = &p->numbers[class][i];

            if (number.len == 0) {
                return "Wrong number of arguments in buffer limit configuration.";
            }
            if (!(i == SECONDS ? parse_u64(number, out) && *out <= INT32_MAX
                               : conf_parse_bytes(number, out) && *out <= INT64_MAX)) {
                return "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
            }
        }
    }
}

static bool check(struct slice text, struct buf *why)
{
    struct parsed p;
    const char *fault = parse(text, &p);

    if (fault != NULL) {
        (void)!buf_append_str(why, fault);
    }
    return fault == NULL;
}

/* All classes, also those that a change does not name. */
static int form(const struct conf_opt *opt, struct slice text, struct buf *out)
{
    struct buf old = {0};
    struct parsed p = {0};
    int err = conf_reveal(opt, &old);

    if (err == OK) {
        const char *fault = parse(buf_slice(&old), &p);

        fault = fault == NULL ? parse(text, &p) : fault;
        err = fault == NULL ? OK : ERR_NOMEM; /* it was checked */
    }
    for (enum class c = CLASS_NORMAL; err == OK && c < CLASSES; c++) {
        err = buf_printf(out, "%s%s %lu %lu %lu", c == CLASS_NORMAL ? "" : " ", names[c],
                         (unsigned long)p.numbers[c][HARD], (unsigned long)p.numbers[c][SOFT],
                         (unsigned long)p.numbers[c][SECONDS]);
    }
    buf_fini(&old);
    return err;
}

static void apply(const struct conf_opt *opt)
{
    struct buf text = {0};
    struct parsed p = {0};

    if (conf_reveal(opt, &text) == OK && parse(buf_slice(&text), &p) == NULL) {
        for (int c = 0; c < CLASSES; c++) {
            for (int i = 0; i < NUMBERS; i++) {
                atomic_store_explicit(&limits[c][i], p.numbers[c][i], memory_order_relaxed);
            }
        }
    }
    buf_fini(&text);
}

void out_limit_start(void)
{
    conf_hook(&opt_client_output_buffer_limit, check, apply);
    conf_hook_form(&opt_client_output_buffer_limit, form);
    apply(&opt_client_output_buffer_limit);
}

/* ---- Connections ---- */

static enum class class_of_conn(const struct conn *c) {
    return c->is_monitor || c->subs != NULL ? CLASS_PUBSUB : CLASS_NORMAL;
}

static uint64_t limit(enum class class, int which)
{
    return atomic_load_explicit(&limits[class][which], memory_order_relaxed);
}

size_t out_limit_of(const struct conn *c)
{
    enum class class = class_of_conn(c);
    uint64_t hard = limit(class, HARD);
    uint64_t own = conf_u64(class == CLASS_PUBSUB ? &opt_output_limit_pubsub : &opt_output_limit);

    return hard != 0 && hard < own ? hard : own;
}

void out_limit_note(struct conn *c, int64_t now_ms)
{
    uint64_t soft = limit(class_of_conn(c), SOFT);

    if (soft == 0 || conn_out_bytes(c) <= soft) {
        c->is_soft = false;
    } else if (!c->is_soft) {
        c->is_soft = true;
        c->soft_ms = now_ms;
    }
}

bool out_limit_is_passed(struct conn *c, int64_t now_ms)
{
    enum class class = class_of_conn(c);
    uint64_t hard = limit(class, HARD);

    if (!c->is_stalled) {
        return false;
    }
    out_limit_note(c, now_ms);
    return (hard != 0 && conn_out_bytes(c) > hard) ||
           (c->is_soft && now_ms - c->soft_ms > (int64_t)limit(class, SECONDS) * 1000);
}
