/* metric.h - counts that cost a worker nothing, summed when somebody reads them.
 *
 *    node/metrics.def   METRIC(expired_keys_total, COUNTER, "Keys removed …", "alarm text, or \"\"")
 *    in code            #include "node/metrics.h"   …   metric_add(&metric_expired_keys_total, 1)
 *
 * Each thread that called metric_thread_start() has a block of words that it alone writes, by plain
 * relaxed stores; others share one block and pay for an atomic addition. In /metrics a name gets
 * "godwit_" in front, unless it begins with "process_".
 *
 *    COUNTER    only rises; the name ends in _total
 *    GAUGE      rises and falls: metric_add() with a negative number, or a callback that is asked
 *    HISTOGRAM  lengths of time; the name ends in _seconds
 *
 * Threads  metric_use() and metric_ask() run before other threads. A sum is what each thread had at
 *          some moment of the reading, exact when they stand still.
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include "base/annot.h"
#include "base/buf.h"

#include <stdatomic.h>
#include <stdint.h>

/* Words of a thread's block: every counter and gauge has one, a histogram METRIC_SPAN. */
#define METRIC_WORDS  1024
/* Upper bounds 1 µs, 2 µs, 4 µs … 16.8 s, one more for what is longer, and the sum. */
#define METRIC_BOUNDS 25
#define METRIC_SPAN   (METRIC_BOUNDS + 2)

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric;
struct metric_out;
/* Answers with metric_sample(), once for each set of labels. */
typedef void (*metric_ask_fn)(struct metric_out *out, void *arg);

struct metric {
    const char *symbol;
    const char *help;
    const char *alarm; /* when somebody should be woken; "" for never */
    enum metric_kind kind;
    /* private */
    unsigned word; /* its first in each block; 0, which nobody reads, before metric_use() */
    metric_ask_fn ask;
    void *arg;
    _Atomic uint64_t base; /* the sum at the last metric_reset() */
};

/* private */
struct metric_block {
    _Atomic uint64_t words[METRIC_WORDS];
    struct metric_block *next;
};
extern struct metric_block metric_shared;
extern _Thread_local struct metric_block *metric_mine;

/* private: index counts words from the metric's first. */
static inline void metric_add_at(const struct metric *m, unsigned index, uint64_t n)
{
    struct metric_block *b = metric_mine;
    _Atomic uint64_t *w = &b->words[m->word + index];

    /* Relaxed: a count orders nothing. */
    if (UNLIKELY(b == &metric_shared)) {
        atomic_fetch_add_explicit(w, n, memory_order_relaxed);
    } else {
        atomic_store_explicit(w, atomic_load_explicit(w, memory_order_relaxed) + n,
                              memory_order_relaxed);
    }
}

static inline void metric_add(const struct metric *m, int64_t n)
{
    metric_add_at(m, 0, (uint64_t)n);
}

/* One length of time, in a histogram. */
static inline void metric_observe(const struct metric *m, uint64_t ns)
{
    uint64_t us = ns / 1000;
    unsigned bucket = us == 0 ? 0 : 64u - (unsigned)__builtin_clzl(us);

    metric_add_at(m, bucket < METRIC_BOUNDS ? bucket : METRIC_BOUNDS, 1);
    metric_add_at(m, METRIC_BOUNDS + 1, ns);
}

/* The table of all rows; it must stay. */
void metric_use(struct metric *const *table, size_t count);

/* Has a counter or gauge asked from fn instead of counted in blocks. */
void metric_ask(struct metric *m, metric_ask_fn fn, void *arg);
/* labels as in Prometheus, `db="0",kind="x"`, or "". */
void metric_sample(struct metric_out *out, const char *labels, double value);

/* At the thread's beginning; ERR_NOMEM leaves it with the shared block, which is only slower. */
MUST_CHECK int metric_thread_start(void) ON_ANY;
/* At its end: what it counted is kept. */
void metric_thread_stop(void) ON_ANY;

/* Over all threads since the start; of a histogram, how many were observed. */
uint64_t metric_sum(const struct metric *m);
/* Since the last metric_reset(), which is what INFO shows. */
uint64_t metric_since_reset(const struct metric *m);
/* CONFIG RESETSTAT. /metrics goes on from where it was, as Prometheus wants. */
void metric_reset(void);

/* Everything as Prometheus' text, version 0.0.4. */
MUST_CHECK int metric_write(struct buf *out);
/* deploy/METRICS.md. */
MUST_CHECK int metric_manual(struct buf *out);

#endif
