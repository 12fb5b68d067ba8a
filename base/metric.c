#include "base/metric.h"

#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <pthread.h>

struct metric_block metric_shared;
_Thread_local struct metric_block *metric_mine = &metric_shared;

static struct metric *const *rows;
static size_t row_count;

/* Keeps the list of blocks; no count waits for it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct metric_block *blocks; /* guarded by lock */

struct metric_out {
    struct buf *text;
    const struct metric *metric;
    int err;
};

void metric_use(struct metric *const *table, size_t count)
{
    unsigned next = 1;

    rows = table;
    row_count = count;
    for (size_t i = 0; i < count; i++) {
        rows[i]->word = next;
        next += rows[i]->kind == METRIC_HISTOGRAM ? METRIC_SPAN : 1;
        assert(next <= METRIC_WORDS);
    }
}

void metric_ask(struct metric *m, metric_ask_fn fn, void *arg)
{
    assert(m->kind != METRIC_HISTOGRAM);
    m->ask = fn;
    m->arg = arg;
}

int metric_thread_start(void)
{
    struct metric_block *b;

    assert(metric_mine == &metric_shared);
    b = mem_alloc_lines(sizeof(*b));
    if (b == NULL) {
        return ERR_NOMEM;
    }
    pthread_mutex_lock(&lock);
    b->next = blocks;
    blocks = b;
    pthread_mutex_unlock(&lock);
    metric_mine = b;
    return OK;
}

void metric_thread_stop(void)
{
    struct metric_block *b = metric_mine;
    struct metric_block **at = &blocks;

    if (b == &metric_shared) {
        return;
    }
    metric_mine = &metric_shared;
    pthread_mutex_lock(&lock);
    while (*at != b) {
        at = &(*at)->next;
    }
    *at = b->next;
    /* Under the lock, so that a reader sees the counts in one of the two blocks. */
    for (size_t i = 0; i < METRIC_WORDS; i++) {
        atomic_fetch_add_explicit(&metric_shared.words[i],
                                  atomic_load_explicit(&b->words[i], memory_order_relaxed),
                                  memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
    mem_free(b, sizeof(*b));
}

static uint64_t sum_words(const struct metric *m, unsigned index, unsigned count)
{
    uint64_t sum = 0;

    pthread_mutex_lock(&lock);
    for (unsigned i = m->word + index; i < m->word + index + count; i++) {
        sum += atomic_load_explicit(&metric_shared.words[i], memory_order_relaxed);
        for (const struct metric_block *b = blocks; b != NULL; b = b->next) {
            sum += atomic_load_explicit(&b->words[i], memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&lock);
    return sum;
}

uint64_t metric_sum(const struct metric *m)
{
    return sum_words(m, 0, m->kind == METRIC_HISTOGRAM ? METRIC_BOUNDS + 1 : 1);
}

uint64_t metric_since_reset(const struct metric *m)
{
    return metric_sum(m) - atomic_load_explicit(&m->base, memory_order_relaxed);
}

void metric_reset(void)
{
    for (size_t i = 0; i < row_count; i++) {
        if (rows[i]->kind != METRIC_GAUGE) {
            atomic_store_explicit(&rows[i]->base, metric_sum(rows[i]), memory_order_relaxed);
        }
    }
}

static const char *prefix(const struct metric *m)
{
    return strncmp(m->symbol, "process_", 8) == 0 ? "" : "godwit_";
}

static const char *kind_name(const struct metric *m)
{
    static const char *const names[] = {"counter", "gauge", "histogram"};

    return names[m->kind];
}

static bool is_whole(double value)
{
    return value == floor(value) && fabs(value) < 9e15;
}

void metric_sample(struct metric_out *out, const char *labels, double value)
{
    const struct metric *m = out->metric;
    const char *open = labels[0] == '\0' ? "" : "{";
    const char *close = labels[0] == '\0' ? "" : "}";

    if (out->err == OK) {
        out->err =
            buf_printf(out->text, is_whole(value) ? "%s%s%s%s%s %.0f\n" : "%s%s%s%s%s %.15g\n",
                       prefix(m), m->symbol, open, labels, close, value);
    }
}

static int write_histogram(const struct metric *m, struct buf *out)
{
    uint64_t below = 0;

    for (unsigned i = 0; i < METRIC_BOUNDS; i++) {
        below += sum_words(m, i, 1);
        if (buf_printf(out, "%s%s_bucket{le=\"%.9g\"} %llu\n", prefix(m), m->symbol,
                       (double)(UINT64_C(1) << i) / 1e6, (unsigned long long)below) != OK) {
            return ERR_NOMEM;
        }
    }
    below += sum_words(m, METRIC_BOUNDS, 1);
    return buf_printf(out, "%s%s_bucket{le=\"+Inf\"} %llu\n%s%s_sum %.9f\n%s%s_count %llu\n",
                      prefix(m), m->symbol, (unsigned long long)below, prefix(m), m->symbol,
                      (double)sum_words(m, METRIC_BOUNDS + 1, 1) / 1e9, prefix(m), m->symbol,
                      (unsigned long long)below);
}

static int write_row(const struct metric *m, struct buf *out)
{
    struct metric_out samples = {.text = out, .metric = m, .err = OK};

    if (buf_printf(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix(m), m->symbol, m->help,
                   prefix(m), m->symbol, kind_name(m)) != OK) {
        return ERR_NOMEM;
    }
    if (m->kind == METRIC_HISTOGRAM) {
        return write_histogram(m, out);
    }
    if (m->ask != NULL) {
        m->ask(&samples, m->arg);
    } else {
        /* A gauge's parts are signed: one thread counts up, another down. */
        metric_sample(&samples, "",
                      m->kind == METRIC_GAUGE ? (double)(int64_t)metric_sum(m)
                                              : (double)metric_sum(m));
    }
    return samples.err;
}

int metric_write(struct buf *out)
{
    int err = OK;

    for (size_t i = 0; err == OK && i < row_count; i++) {
        err = write_row(rows[i], out);
    }
    return err;
}

static const char manual_head[] =
    "# Metrics\n"
    "\n"
    "Made by `make docs` from the rows in `*/metrics.def`; do not edit.\n"
    "\n"
    "`/metrics` on the admin port (9379) answers with these in Prometheus' text format. A counter\n"
    "only rises, since the start of the process; a gauge rises and falls; a histogram has buckets\n"
    "from 1 µs to 16.8 s, each twice the one before. *Alarm* says when somebody should look.\n"
    "\n"
    "| metric | kind | meaning | alarm |\n"
    "|---|---|---|---|\n";

int metric_manual(struct buf *out)
{
    int err = buf_append_str(out, manual_head);

    for (size_t i = 0; err == OK && i < row_count; i++) {
        const struct metric *m = rows[i];

        err = buf_printf(out, "| `%s%s` | %s | %s | %s |\n", prefix(m), m->symbol, kind_name(m),
                         m->help, m->alarm);
    }
    return err;
}
