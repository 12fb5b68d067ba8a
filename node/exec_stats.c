/* exec_stats.c - what commands ran, how long, and how they failed: each worker counts its own, readers add up. */
#include "base/err.h"
#include "base/mem.h"
#include "node/database.h"
#include "node/exec.h"
#include "node/histogram.h"
#include "node/node.h"

struct exec_counts {
    _Atomic uint64_t cycles, rejected, failed, slices;
    _Atomic uint64_t uncounted;        /* calls that `times` misses, for want of memory */
    _Atomic(struct histogram *) times; /* owned; NULL until it runs here */
};

static struct histogram *times_of(const struct exec_counts *c)
{
    return atomic_load_explicit(&c->times, memory_order_acquire);
}

int exec_stats_init(struct exec *x)
{
    x->counts = mem_zalloc(cmd_count() * sizeof(x->counts[0]));
    return x->counts == NULL ? ERR_NOMEM : OK;
}

void exec_stats_fini(struct exec *x)
{
    for (uint16_t id = 0; id < cmd_count(); id++) {
        mem_free(times_of(&x->counts[id]), sizeof(struct histogram));
    }
    mem_free(x->counts, cmd_count() * sizeof(x->counts[0]));
}

/* The first call here of the command. */
COLD static void tally_first(struct exec_counts *n, uint64_t cycles)
{
    struct histogram *h = mem_zalloc(sizeof(*h));

    if (h == NULL) {
        database_count(&n->uncounted, 1);
        return;
    }
    histogram_count(h, cycles);
    /* Release: pairs with the acquire in times_of(). */
    atomic_store_explicit(&n->times, h, memory_order_release);
}

void exec_tally(struct exec *x, const struct cmd *c, uint64_t cycles)
{
    struct exec_counts *n = &x->counts[c->def->id];
    struct histogram *times = atomic_load_explicit(&n->times, memory_order_relaxed);

    database_count(&n->cycles, cycles);
    if (LIKELY(times != NULL)) {
        histogram_count(times, cycles);
    } else {
        tally_first(n, cycles);
    }
    if (UNLIKELY((c->reply->flags & REPLY_ERROR) != 0)) {
        database_count(&n->failed, 1);
    }
    if (UNLIKELY(cycles >= node_slow_cycles())) {
        node_note_slow(c->session, c, cycles);
    }
}

static uint64_t sum_of(const _Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

struct cmd_stats exec_stats(struct node *n, uint16_t id)
{
    struct cmd_stats sum = {0};
    uint64_t cycles = 0;

    for (uint32_t i = 0; i < n->exec_count; i++) {
        if (n->execs[i].in_use) {
            const struct exec_counts *c = &n->execs[i].counts[id];

            sum.calls += histogram_total(times_of(c)) + sum_of(&c->uncounted);
            cycles += sum_of(&c->cycles);
            sum.rejected += sum_of(&c->rejected);
            sum.failed += sum_of(&c->failed);
            sum.slices += sum_of(&c->slices);
        }
    }
    sum.usec = (uint64_t)((double)cycles / node_cycles_per_us());
    return sum;
}

void exec_times(struct node *n, uint16_t id, struct histogram_sum *sum)
{
    for (uint32_t i = 0; i < n->exec_count; i++) {
        if (n->execs[i].in_use) {
            histogram_add(sum, times_of(&n->execs[i].counts[id]));
        }
    }
}

struct cmd_stats exec_stats_total(struct node *n)
{
    struct cmd_stats sum = {0};

    for (uint16_t id = 0; id < cmd_count(); id++) {
        struct cmd_stats one = exec_stats(n, id);

        sum.calls += one.calls;
        sum.usec += one.usec;
        sum.rejected += one.rejected;
        sum.failed += one.failed;
        sum.slices += one.slices;
    }
    return sum;
}

void exec_stats_reset(struct node *n)
{
    for (uint32_t i = 0; i < n->exec_count; i++) {
        for (uint16_t id = 0; n->execs[i].in_use && id < cmd_count(); id++) {
            struct exec_counts *c = &n->execs[i].counts[id];

            histogram_reset(times_of(c));
            atomic_store_explicit(&c->uncounted, 0, memory_order_relaxed);
            atomic_store_explicit(&c->cycles, 0, memory_order_relaxed);
            atomic_store_explicit(&c->rejected, 0, memory_order_relaxed);
            atomic_store_explicit(&c->failed, 0, memory_order_relaxed);
            atomic_store_explicit(&c->slices, 0, memory_order_relaxed);
        }
    }
}

void exec_count_turn(struct exec *x, const struct cmd *c)
{
    if (c->again_at_ms == 0 && c->blocked == NULL) {
        database_count(&x->counts[c->def->id].slices, 1);
    }
}

void exec_count_rejected(struct exec *x, const struct cmd_def *def)
{
    database_count(&x->counts[def->id].rejected, 1);
}
