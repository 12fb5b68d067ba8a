#include "cli/metrics.h"

#include "base/log.h"
#include "base/metrics.h"
#include "edge/metrics.h"
#include "node/metrics.h"

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

void metrics_use(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    start_seconds = (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
    metric_use(rows, sizeof(rows) / sizeof(rows[0]));
    metric_ask(&metric_process_cpu_seconds_total, ask_cpu, NULL);
    metric_ask(&metric_process_resident_memory_bytes, ask_resident, NULL);
    metric_ask(&metric_process_open_fds, ask_fds, NULL);
    metric_ask(&metric_process_max_fds, ask_max_fds, NULL);
    metric_ask(&metric_process_start_time_seconds, ask_start, NULL);
    metric_ask(&metric_log_lines_dropped_total, ask_dropped, NULL);
}
