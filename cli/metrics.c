#include "cli/metrics.h"

#include "base/log.h"
#include "base/metrics.h"
#include "edge/client.h"
#include "edge/metrics.h"
#include "node/database.h"
#include "node/metrics.h"
#include "node/node.h"
#include "replication/changelog.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Every folder's rows. A folder that gets a metrics.def is named here. */
/* clang-format off */
#define METRIC(sym, kind, help, alarm) &metric_##sym,
static struct metric *const rows[] = {
#include "node/metrics.def"
#include "edge/metrics.def"
#include "base/metrics.def"
};
/* clang-format on */
#undef METRIC

static double start_seconds;

static void ask_cpu(struct metric_out *out, void *arg)
{
    struct timespec ts;

    (void)arg;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == 0) {
        metric_sample(out, "", (double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
    }
}

static void ask_resident(struct metric_out *out, void *arg)
{
    unsigned long all, resident;
    FILE *f = fopen("/proc/self/statm", "re");

    (void)arg;
    if (f == NULL) {
        return;
    }
    /* NOLINTNEXTLINE(cert-err34-c): the kernel's numbers are well formed */
    if (fscanf(f, "%lu %lu", &all, &resident) == 2) {
        metric_sample(out, "", (double)resident * (double)sysconf(_SC_PAGESIZE));
    }
    (void)fclose(f);
}

static void ask_fds(struct metric_out *out, void *arg)
{
    DIR *d = opendir("/proc/self/fd");
    int count = -3; /* ., .., and the directory itself */

    (void)arg;
    if (d == NULL) {
        return;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this function's own */
    while (readdir(d) != NULL) {
        count++;
    }
    (void)closedir(d);
    metric_sample(out, "", count);
}

static void ask_max_fds(struct metric_out *out, void *arg)
{
    struct rlimit r;

    (void)arg;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        metric_sample(out, "", (double)r.rlim_cur);
    }
}

static void ask_start(struct metric_out *out, void *arg)
{
    (void)arg;
    metric_sample(out, "", start_seconds);
}

static void ask_dropped(struct metric_out *out, void *arg)
{
    (void)arg;
    metric_sample(out, "", (double)log_dropped());
}

/* Relaxed looks at what each worker or writer has of its own. */
static double sum_keys(const struct database *db, uint64_t (*count)(const struct table_stats *s))
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition *p = database_partition(db, i);

        sum += p == NULL ? 0 : count(&p->stats);
    }
    return (double)sum;
}

static double read_keys(const struct database *db)
{
    return sum_keys(db, table_count);
}

static double read_expiring(const struct database *db)
{
    return sum_keys(db, table_count_expiring);
}

static double read_used(const struct database *db)
{
    return (double)database_used_exact(db);
}

#define READ_USAGE(name)                                                                           \
    static double read_##name(const struct database *db)                                           \
    {                                                                                              \
        uint64_t sum = 0;                                                                          \
                                                                                                   \
        for (uint32_t i = 0; i < db->usage_count; i++) {                                           \
            sum += atomic_load_explicit(&db->usage[i].name, memory_order_relaxed);                 \
        }                                                                                          \
        return (double)sum;                                                                        \
    }
READ_USAGE(hits)
READ_USAGE(misses)
READ_USAGE(expired)
READ_USAGE(evicted)

static struct {
    struct metric *metric;
    double (*read)(const struct database *db);
} of_databases[] = {
    {&metric_keys, read_keys},
    {&metric_keys_expiring, read_expiring},
    {&metric_memory_used_bytes, read_used},
    {&metric_keyspace_hits_total, read_hits},
    {&metric_keyspace_misses_total, read_misses},
    {&metric_expired_keys_total, read_expired},
    {&metric_evicted_keys_total, read_evicted},
};

static void ask_databases(struct metric_out *out, void *arg)
{
    double (*const *read)(const struct database *db) = arg;
    struct node *n = node_self();
    char label[32];

    if (n == NULL) {
        return; /* `godwit dev metrics` */
    }
    pthread_mutex_lock(&n->lock);
    for (struct list *l = n->databases.next; l != &n->databases; l = l->next) {
        const struct database *db = LIST_ITEM(l, struct database, link);

        (void)snprintf(label, sizeof(label), "db=\"%u\"", db->id);
        metric_sample(out, label, (*read)(db));
    }
    pthread_mutex_unlock(&n->lock);
}

static void ask_changes(struct metric_out *out, void *arg)
{
    const struct node *n = node_self();

    (void)arg;
    if (n != NULL) {
        metric_sample(out, "", (double)changelog_last_seq(n->log));
    }
}

static void ask_commands(struct metric_out *out, void *arg)
{
    struct node *n = node_self();

    (void)arg;
    if (n != NULL) {
        metric_sample(out, "", (double)exec_stats_total(n).calls);
    }
}

static void ask_slices(struct metric_out *out, void *arg)
{
    struct node *n = node_self();

    (void)arg;
    if (n != NULL) {
        metric_sample(out, "", (double)exec_stats_total(n).slices);
    }
}

void metrics_use(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    start_seconds = (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
    metric_use(rows, sizeof(rows) / sizeof(rows[0]));
    client_metrics_use();
    for (size_t i = 0; i < sizeof(of_databases) / sizeof(of_databases[0]); i++) {
        metric_ask(of_databases[i].metric, ask_databases, &of_databases[i].read);
    }
    metric_ask(&metric_commands_total, ask_commands, NULL);
    metric_ask(&metric_command_slices_total, ask_slices, NULL);
    metric_ask(&metric_changes_total, ask_changes, NULL);
    metric_ask(&metric_process_cpu_seconds_total, ask_cpu, NULL);
    metric_ask(&metric_process_resident_memory_bytes, ask_resident, NULL);
    metric_ask(&metric_process_open_fds, ask_fds, NULL);
    metric_ask(&metric_process_max_fds, ask_max_fds, NULL);
    metric_ask(&metric_process_start_time_seconds, ask_start, NULL);
    metric_ask(&metric_log_lines_dropped_total, ask_dropped, NULL);
}
