#include "node/info.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "edge/acl_log.h"
#include "edge/backend.h"
#include "edge/client.h"
#include "edge/options.h"
#include "edge/pubsub.h"
#include "edge/tracking.h"
#include "node/block.h"
#include "node/database.h"
#include "node/histogram.h"
#include "node/keyspace.h"
#include "node/library.h"
#include "node/node.h"
#include "node/options.h"
#include "node/script.h"
#include "proto/cmd_doc.h"
#include "proto/error_count.h"
#include "proto/version.h"
#include "replication/changelog.h"
#include "replication/options.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

struct info_about info_about;

/* Sums at the last CONFIG RESETSTAT, and the greatest use seen. Relaxed: figures for people. */
static _Atomic uint64_t hits_base, misses_base, expired_base, evicted_base, calls_base;
static _Atomic uint64_t peak_bytes, startup_bytes;

struct info {
    struct cmd *c;
    struct buf *out;
    int err;
};

__attribute__((format(printf, 2, 3))) static void put(struct info *i, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    if (i->err == 0) {
        i->err = buf_vprintf(i->out, fmt, args);
    }
    if (i->err == 0) {
        i->err = buf_append(i->out, "\r\n", 2);
    }
    va_end(args);
}

/* name and name_human */
static void put_human(struct info *i, const char *name, uint64_t bytes)
{
    if (i->err == 0) {
        i->err = buf_printf(i->out, "%s_human:", name);
    }
    if (i->err == 0) {
        i->err = info_human(i->out, bytes);
    }
    put(i, "%s", "");
}

static void put_bytes(struct info *i, const char *name, uint64_t bytes)
{
    put(i, "%s:%lu", name, bytes);
    put_human(i, name, bytes);
}

int info_human(struct buf *out, uint64_t bytes)
{
    static const char units[] = "KMGTP";
    double n = (double)bytes;
    size_t unit = 0;

    if (bytes < 1024) {
        return buf_printf(out, "%luB", bytes);
    }
    for (n /= 1024; n >= 1024 && unit < 4; unit++) {
        n /= 1024;
    }
    return buf_printf(out, "%.2f%c", n, units[unit]);
}

void info_start(void)
{
    static char path[4096];
    uint8_t id[20];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    path[n > 0 ? n : 0] = '\0';
    info_about.executable = path;
    info_about.started_at_ms = clock_wall_ms();
    randombytes_buf(id, sizeof(id));
    for (size_t i = 0; i < sizeof(id); i++) {
        static const char hex[] = "0123456789abcdef";

        info_about.run_id[2 * i] = hex[id[i] >> 4];
        info_about.run_id[2 * i + 1] = hex[id[i] & 15];
    }
}

/* The n-th word of a file of /proc, in pages. Such a file never blocks. */
static uint64_t resident_bytes(void)
{
    char text[128];
    uint64_t pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0) {
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    const char *from = strchr(text, ' ');
    const char *to = from == NULL ? NULL : strchr(from + 1, ' ');

    if (to == NULL || !parse_u64((struct slice){from + 1, (size_t)(to - from - 1)}, &pages)) {
        return 0;
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void info_memory(struct cmd *c, struct info_memory *out)
{
    struct mem_stats m;
    uint64_t peak = atomic_load_explicit(&peak_bytes, memory_order_relaxed);
    uint64_t none = 0;
    int64_t dataset = database_used_exact(c->db);

    mem_stats(&m);
    *out = (struct info_memory){.used = m.allocated,
                                .rss = resident_bytes(),
                                .allocated = m.allocated,
                                .active = m.active,
                                .resident = m.resident,
                                .dataset = dataset < 0 ? 0 : (uint64_t)dataset};
    /* Without the allocator's figures (sanitizers), the data's own are better than nothing. */
    if (out->used == 0) {
        out->used = out->allocated = out->active = out->resident = out->dataset;
    }
    while (out->used > peak &&
           !atomic_compare_exchange_weak_explicit(&peak_bytes, &peak, out->used,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    out->peak = out->used > peak ? out->used : peak;
    none = 0;
    (void)atomic_compare_exchange_strong_explicit(
        &startup_bytes, &none, out->used - (out->dataset < out->used ? out->dataset : 0),
        memory_order_relaxed, memory_order_relaxed);
    out->startup = none != 0 ? none : out->used - (out->dataset < out->used ? out->dataset : 0);
}

static double ratio(uint64_t a, uint64_t b)
{
    return b == 0 ? 0 : (double)a / (double)b;
}

static void put_server(struct info *i)
{
    struct utsname u;
    int64_t up_s = (clock_wall_ms() - info_about.started_at_ms) / 1000;

    (void)uname(&u);
    put(i, "redis_version:%s", VERSION_REDIS);
    put(i, "redis_git_sha1:00000000");
    put(i, "redis_git_dirty:0");
    put(i, "redis_build_id:0");
    put(i, "redis_mode:standalone");
    put(i, "godwit_version:%s", VERSION_GODWIT);
    put(i, "os:%s %s %s", u.sysname, u.release, u.machine);
    put(i, "arch_bits:%zu", sizeof(void *) * 8);
    put(i, "monotonic_clock:POSIX clock_gettime");
    put(i, "multiplexing_api:epoll");
    put(i, "atomicvar_api:c11-builtin");
    put(i, "gcc_version:%d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
    put(i, "process_id:%d", (int)getpid());
    put(i, "process_supervised:no");
    put(i, "run_id:%s", info_about.run_id);
    put(i, "tcp_port:%u", info_about.tcp_port);
    put(i, "server_time_usec:%ld", clock_wall_ms() * 1000);
    put(i, "uptime_in_seconds:%ld", up_s);
    put(i, "uptime_in_days:%ld", up_s / 86400);
    put(i, "hz:%lu", conf_u64(&opt_hz));
    put(i, "configured_hz:%lu", conf_u64(&opt_hz));
    put(i, "lru_clock:%ld", clock_wall_ms() / 1000 & 0xffffff);
    put(i, "executable:%s", info_about.executable != NULL ? info_about.executable : "");
    put(i, "config_file:%s", info_about.config_file != NULL ? info_about.config_file : "");
    put(i, "io_threads_active:0");
    put(i, "workers:%u", node_self()->exec_count);
}

static void put_clients(struct info *i)
{
    struct client_stats s = client_stats_sum();

    put(i, "connected_clients:%lu", s.connected);
    put(i, "cluster_connections:0");
    put(i, "maxclients:%lu", conf_u64(&opt_maxclients));
    put(i, "client_recent_max_input_buffer:%lu", s.in_max);
    put(i, "client_recent_max_output_buffer:%lu", s.out_max);
    put(i, "blocked_clients:%lu", block_count());
    put(i, "tracking_clients:%lu", tracking_stats_sum().clients);
    put(i, "clients_in_timeout_table:0");
    put(i, "monitor_clients:%lu", s.monitors);
    put(i, "total_blocking_keys:0");
    put(i, "total_blocking_keys_on_nokey:0");
}

/* The policy's name, of the choices that its row lists. */
static struct slice policy_name(void)
{
    const char *p = opt_maxmemory_policy.choices;

    for (unsigned n = conf_enum(&opt_maxmemory_policy); n > 0; n--) {
        p = strchr(p, '|') + 1;
    }
    return (struct slice){p, strcspn(p, "|")};
}

static uint64_t system_bytes(void)
{
    struct sysinfo s;

    return sysinfo(&s) == 0 ? (uint64_t)s.totalram * s.mem_unit : 0;
}

/* One state a worker runs scripts and functions: it is shown as the scripts'. */
static void put_scripts(struct info *i)
{
    struct scripts_stats s = scripts_stats(i->c->db->scripts);
    const struct libraries *l = libraries_of(i->c);
    uint64_t functions = l == NULL ? 0 : l->bytes;

    put(i, "used_memory_lua:%lu", s.vm_bytes);
    put(i, "used_memory_vm_eval:%lu", s.vm_bytes);
    put_human(i, "used_memory_lua", s.vm_bytes);
    put(i, "used_memory_scripts_eval:%lu", s.text_bytes);
    put(i, "number_of_cached_scripts:%u", s.count);
    put(i, "number_of_functions:%u", l == NULL ? 0 : l->function_count);
    put(i, "number_of_libraries:%u", l == NULL ? 0 : l->count);
    put(i, "used_memory_vm_functions:0");
    put_bytes(i, "used_memory_vm_total", s.vm_bytes);
    put(i, "used_memory_functions:%lu", functions);
    put_bytes(i, "used_memory_scripts", s.text_bytes + functions);
}

static void put_memory(struct info *i)
{
    struct info_memory m;
    struct slice policy = policy_name();
    uint64_t overhead;

    info_memory(i->c, &m);
    overhead = m.used - (m.dataset < m.used ? m.dataset : m.used);
    put_bytes(i, "used_memory", m.used);
    put_bytes(i, "used_memory_rss", m.rss);
    put_bytes(i, "used_memory_peak", m.peak);
    put(i, "used_memory_peak_perc:%.2f%%", 100 * ratio(m.used, m.peak));
    put(i, "used_memory_overhead:%lu", overhead);
    put(i, "used_memory_startup:%lu", m.startup);
    put(i, "used_memory_dataset:%lu", m.dataset);
    put(i, "used_memory_dataset_perc:%.2f%%",
        100 * ratio(m.dataset, m.used > m.startup ? m.used - m.startup : m.used));
    put(i, "allocator_allocated:%lu", m.allocated);
    put(i, "allocator_active:%lu", m.active);
    put(i, "allocator_resident:%lu", m.resident);
    put_bytes(i, "total_system_memory", system_bytes());
    put_scripts(i);
    put_bytes(i, "maxmemory", conf_u64(&opt_maxmemory));
    put(i, "maxmemory_policy:%.*s", (int)policy.len, policy.ptr);
    put(i, "allocator_frag_ratio:%.2f", ratio(m.active, m.allocated));
    put(i, "allocator_frag_bytes:%ld", (int64_t)(m.active - m.allocated));
    put(i, "allocator_rss_ratio:%.2f", ratio(m.resident, m.active));
    put(i, "allocator_rss_bytes:%ld", (int64_t)(m.resident - m.active));
    put(i, "rss_overhead_ratio:%.2f", ratio(m.rss, m.resident));
    put(i, "rss_overhead_bytes:%ld", (int64_t)(m.rss - m.resident));
    put(i, "mem_fragmentation_ratio:%.2f", ratio(m.rss, m.used));
    put(i, "mem_fragmentation_bytes:%ld", (int64_t)(m.rss - m.used));
    put(i, "mem_not_counted_for_evict:%lu", overhead);
    put(i, "mem_replication_backlog:%lu", conf_u64(&opt_changelog_ring));
    put(i, "mem_total_replication_buffers:%lu", conf_u64(&opt_changelog_ring));
    put(i, "mem_clients_slaves:0");
    put(i, "mem_clients_normal:0");
    put(i, "mem_cluster_links:0");
    put(i, "mem_aof_buffer:0");
    put(i, "mem_allocator:%s", m.resident != m.allocated ? "jemalloc" : "libc");
    put(i, "active_defrag_running:0");
    put(i, "lazyfree_pending_objects:0");
    put(i, "lazyfreed_objects:0");
}

static void put_persistence(struct info *i)
{
    put(i, "loading:0");
    put(i, "async_loading:0");
    put(i, "rdb_changes_since_last_save:%lu", changelog_last_seq(node_self()->log));
    put(i, "rdb_bgsave_in_progress:0");
    put(i, "rdb_last_save_time:%ld", info_about.started_at_ms / 1000);
    put(i, "rdb_last_bgsave_status:ok");
    put(i, "rdb_last_bgsave_time_sec:-1");
    put(i, "rdb_current_bgsave_time_sec:-1");
    put(i, "rdb_saves:0");
    put(i, "rdb_last_cow_size:0");
    put(i, "aof_enabled:0");
    put(i, "aof_rewrite_in_progress:0");
    put(i, "aof_rewrite_scheduled:0");
    put(i, "aof_last_rewrite_time_sec:-1");
    put(i, "aof_current_rewrite_time_sec:-1");
    put(i, "aof_last_bgrewrite_status:ok");
    put(i, "aof_last_write_status:ok");
    put(i, "aof_last_cow_size:0");
}

struct usage {
    uint64_t hits, misses, expired, evicted;
};

static struct usage usage_of(const struct database *db)
{
    struct usage sum = {0};

    for (uint32_t n = 0; n < db->usage_count; n++) {
        const struct database_usage *u = &db->usage[n];

        sum.hits += atomic_load_explicit(&u->hits, memory_order_relaxed);
        sum.misses += atomic_load_explicit(&u->misses, memory_order_relaxed);
        sum.expired += atomic_load_explicit(&u->expired, memory_order_relaxed);
        sum.evicted += atomic_load_explicit(&u->evicted, memory_order_relaxed);
    }
    return sum;
}

static uint64_t since(const _Atomic uint64_t *base, uint64_t now)
{
    uint64_t before = atomic_load_explicit(base, memory_order_relaxed);

    return now > before ? now - before : 0;
}

static void put_stats(struct info *i)
{
    struct client_stats s = client_stats_sum();
    struct usage u = usage_of(i->c->db);

    put(i, "total_connections_received:%lu", s.received);
    put(i, "total_commands_processed:%lu", since(&calls_base, exec_stats_total(node_self()).calls));
    put(i, "instantaneous_ops_per_sec:%lu", s.ops_a_second);
    put(i, "total_net_input_bytes:%lu", s.in_bytes);
    put(i, "total_net_output_bytes:%lu", s.out_bytes);
    put(i, "total_net_repl_input_bytes:0");
    put(i, "total_net_repl_output_bytes:0");
    put(i, "instantaneous_input_kbps:0.00");
    put(i, "instantaneous_output_kbps:0.00");
    put(i, "rejected_connections:%lu", s.rejected);
    put(i, "sync_full:0");
    put(i, "sync_partial_ok:0");
    put(i, "sync_partial_err:0");
    put(i, "expired_keys:%lu", since(&expired_base, u.expired));
    put(i, "expired_stale_perc:0.00");
    put(i, "expired_time_cap_reached_count:0");
    put(i, "expire_cycle_cpu_milliseconds:0");
    put(i, "evicted_keys:%lu", since(&evicted_base, u.evicted));
    put(i, "evicted_clients:0");
    put(i, "total_eviction_exceeded_time:0");
    put(i, "current_eviction_exceeded_time:0");
    put(i, "keyspace_hits:%lu", since(&hits_base, u.hits));
    put(i, "keyspace_misses:%lu", since(&misses_base, u.misses));
    put(i, "pubsub_channels:%lu", pubsub_count(i->c->db, PUBSUB_CHANNEL));
    put(i, "pubsub_patterns:%lu", pubsub_count(i->c->db, PUBSUB_PATTERN));
    put(i, "pubsubshard_channels:%lu", pubsub_count(i->c->db, PUBSUB_SHARD));
    put(i, "latest_fork_usec:0");
    put(i, "total_forks:0");
    put(i, "migrate_cached_sockets:0");
    put(i, "slave_expires_tracked_keys:0");
    put(i, "tracking_total_keys:%lu", tracking_stats_sum().keys);
    put(i, "tracking_total_items:%lu", tracking_stats_sum().items);
    put(i, "tracking_total_prefixes:%lu", tracking_stats_sum().prefixes);
    put(i, "unexpected_error_replies:0");
    put(i, "total_error_replies:%lu", error_count_sum());
    put(i, "client_query_buffer_limit_disconnections:%lu", s.input_limit);
    put(i, "client_output_buffer_limit_disconnections:%lu", s.output_limit);
    put(i, "acl_access_denied_auth:%lu", acl_counts().auth);
    put(i, "acl_access_denied_cmd:%lu", acl_counts().cmd);
    put(i, "acl_access_denied_key:%lu", acl_counts().key);
    put(i, "acl_access_denied_channel:%lu", acl_counts().channel);
}

static void put_replication(struct info *i)
{
    uint64_t last = changelog_last_seq(node_self()->log);

    put(i, "role:master");
    put(i, "connected_slaves:0");
    put(i, "master_failover_state:no-failover");
    put(i, "master_replid:%s", info_about.run_id);
    put(i, "master_replid2:%040d", 0);
    put(i, "master_repl_offset:%lu", last);
    put(i, "second_repl_offset:-1");
    put(i, "repl_backlog_active:0");
    put(i, "repl_backlog_size:%lu", conf_u64(&opt_changelog_ring));
    put(i, "repl_backlog_first_byte_offset:0");
    put(i, "repl_backlog_histlen:0");
    put(i, "changelog_last_seq:%lu", last);
}

static void put_cpu(struct info *i)
{
    struct rusage all = {0};

    (void)getrusage(RUSAGE_SELF, &all);
    put(i, "used_cpu_sys:%ld.%06ld", all.ru_stime.tv_sec, all.ru_stime.tv_usec);
    put(i, "used_cpu_user:%ld.%06ld", all.ru_utime.tv_sec, all.ru_utime.tv_usec);
    put(i, "used_cpu_sys_children:0.000000");
    put(i, "used_cpu_user_children:0.000000");
}

static void put_modules(struct info *i)
{
    (void)i;
}

/* For "%.*s". */
#define NAME(id, name) (int)cmd_full_name(cmd_by_id(id), name), name

static void put_commandstats(struct info *i)
{
    char name[CMD_NAME_MAX];

    for (uint16_t id = 0; id < cmd_count(); id++) {
        struct cmd_stats s = exec_stats(node_self(), id);

        if (s.calls + s.rejected > 0) {
            put(i,
                "cmdstat_%.*s:calls=%lu,usec=%lu,usec_per_call=%.2f,rejected_calls=%lu,"
                "failed_calls=%lu",
                NAME(id, name), s.calls, s.usec, ratio(s.usec, s.calls), s.rejected, s.failed);
        }
    }
}

static void put_errorstats(struct info *i)
{
    const char *code;
    uint64_t count;

    for (unsigned n = 0; error_count_at(n, &code, &count); n++) {
        if (count > 0) {
            put(i, "errorstat_%s:count=%lu", code, count);
        }
    }
}

static void put_latencystats(struct info *i)
{
    char name[CMD_NAME_MAX];
    double per_us = node_cycles_per_us();

    for (uint16_t id = 0; id < cmd_count(); id++) {
        struct histogram_sum sum = {.total = 0};

        exec_times(node_self(), id, &sum);
        if (sum.total > 0) {
            put(i, "latency_percentiles_usec_%.*s:p50=%.3f,p99=%.3f,p99.9=%.3f", NAME(id, name),
                histogram_quantile(&sum, 0.5) / per_us, histogram_quantile(&sum, 0.99) / per_us,
                histogram_quantile(&sum, 0.999) / per_us);
        }
    }
}

static void put_cluster(struct info *i)
{
    put(i, "cluster_enabled:0");
}

static void put_keyspace(struct info *i)
{
    uint64_t keys = keyspace_count(i->c->db);

    if (keys > 0) {
        put(i, "db0:keys=%lu,expires=%lu,avg_ttl=%ld", keys, keyspace_count_expiring(i->c->db),
            keyspace_mean_ttl_ms(i->c->db));
    }
}

/* clang-format off */
static const struct {
    const char *name, *title;
    bool usual;
    void (*put)(struct info *i);
} sections_of[] = {
    {"server",       "Server",       true,  put_server},
    {"clients",      "Clients",      true,  put_clients},
    {"memory",       "Memory",       true,  put_memory},
    {"persistence",  "Persistence",  true,  put_persistence},
    {"stats",        "Stats",        true,  put_stats},
    {"replication",  "Replication",  true,  put_replication},
    {"cpu",          "CPU",          true,  put_cpu},
    {"modules",      "Modules",      true,  put_modules},
    {"commandstats", "Commandstats", false, put_commandstats},
    {"errorstats",   "Errorstats",   true,  put_errorstats},
    {"latencystats", "Latencystats", false, put_latencystats},
    {"cluster",      "Cluster",      true,  put_cluster},
    {"keyspace",     "Keyspace",     true,  put_keyspace},
};
/* clang-format on */

static bool is_asked(const struct slice *asked, uint32_t count, const char *name, bool usual)
{
    for (uint32_t n = 0; n < count; n++) {
        if (slice_is_word(asked[n], name) || slice_is_word(asked[n], "all") ||
            slice_is_word(asked[n], "everything") ||
            (usual && slice_is_word(asked[n], "default"))) {
            return true;
        }
    }
    return count == 0 && usual;
}

int info_write(struct cmd *c, const struct slice *sections, uint32_t count, struct buf *out)
{
    struct info i = {.c = c, .out = out};

    for (size_t n = 0; n < sizeof(sections_of) / sizeof(sections_of[0]); n++) {
        if (!is_asked(sections, count, sections_of[n].name, sections_of[n].usual)) {
            continue;
        }
        if (out->len > 0) {
            put(&i, "%s", "");
        }
        put(&i, "# %s", sections_of[n].title);
        sections_of[n].put(&i);
    }
    return i.err;
}

static void rebase(_Atomic uint64_t *base, uint64_t now)
{
    atomic_store_explicit(base, now, memory_order_relaxed);
}

void info_reset(struct cmd *c)
{
    struct usage u = usage_of(c->db);

    rebase(&hits_base, u.hits);
    rebase(&misses_base, u.misses);
    rebase(&expired_base, u.expired);
    rebase(&evicted_base, u.evicted);
    exec_stats_reset(node_self());
    rebase(&calls_base, exec_stats_total(node_self()).calls);
    error_count_reset();
    rebase(&peak_bytes, 0);
    client_stats_reset();
}
