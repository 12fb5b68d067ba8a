/* serve.c - wiring: settings to a running server, and a signal to its end.
 *
 * Start   data folder, password, limits, command table, node, listeners, workers; then doors open.
 * End     not ready any more, listeners closed, what was asked is answered and sent, workers stop,
 *         the store is freed. Each step waits for all workers before the next begins.
 *
 * Main does nothing while it serves but wait for a signal: all others have the signals blocked.
 */
#include "cli/serve.h"

#include "base/conf.h"
#include "base/conf_file.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/rcu.h"
#include "cli/data_dir.h"
#include "cli/main.h"
#include "cli/options.h"
#include "edge/acl.h"
#include "edge/auth.h"
#include "edge/client.h"
#include "edge/commands.h"
#include "edge/conn.h"
#include "edge/door_http.h"
#include "edge/listen.h"
#include "edge/options.h"
#include "node/cmd/families.h"
#include "node/info.h"
#include "node/log_check.h"
#include "node/node.h"
#include "node/options.h"
#include "node/partition.h"
#include "proto/version.h"
#include "replication/options.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    FILES_BESIDE_CLIENTS = 64, /* of the process: listeners, workers, logs, the data folder */
    DRAIN_MS = 5000,           /* at the end, for clients to take what they are owed */
    ERRAND_MS = 30000          /* a worker that does not answer for so long never will */
};

/* For check-log-at-exit. */
#define CHECK_BYTES ((size_t)4 << 30)

struct serve_worker {
    struct worker worker;
    struct conn_set set;
    struct serve *serve;
    struct inbox_msg errand;
    void (*run)(struct serve_worker *w);
};

struct serve {
    struct data_dir data;
    struct listen_set resp;
    struct door_http *admin;
    struct node *node;
    struct log_check *check;      /* owned; NULL unless it was asked for */
    struct serve_worker *workers; /* owned */
    uint32_t count;
    uint32_t started;
    _Atomic uint32_t done;    /* of the errand under way */
    _Atomic uint32_t drained; /* the last answer */
    _Atomic bool failed;
    char password[DATA_DIR_PASSWORD_BYTES + 1]; /* if it was generated */
};

/* --- errands: main asks every worker to do something, and waits ------------------------------- */

static void run_errand(struct inbox_msg *m)
{
    struct serve_worker *w = LIST_ITEM(m, struct serve_worker, errand);

    w->run(w);
    /* Release: pairs with the acquire in wait_done(). */
    atomic_fetch_add_explicit(&w->serve->done, 1, memory_order_release);
}

static void pause_ms(int ms)
{
    (void)poll(NULL, 0, ms);
}

static bool wait_done(struct serve *s, uint32_t count)
{
    for (int64_t waited = 0; waited < ERRAND_MS; waited++) {
        if (atomic_load_explicit(&s->done, memory_order_acquire) >= count) {
            return true;
        }
        pause_ms(1);
    }
    log_error("serve: a worker does not answer");
    return false;
}

/* fn on the first `count` workers. */
static bool ask_workers(struct serve *s, uint32_t count, void (*fn)(struct serve_worker *w))
{
    atomic_store_explicit(&s->done, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        s->workers[i].run = fn;
        s->workers[i].errand.fn = run_errand;
        worker_post(&s->workers[i].worker, &s->workers[i].errand);
    }
    return wait_done(s, count);
}

/* --- before anything runs --------------------------------------------------------------------- */

/* As many files as the system lets us, and no more clients than those. */
static void raise_file_limit(void)
{
    uint64_t want = conf_u64(&opt_maxclients) + FILES_BESIDE_CLIENTS;
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0) {
        return;
    }
    if (r.rlim_cur < want) {
        rlim_t before = r.rlim_cur;

        r.rlim_cur = r.rlim_max == RLIM_INFINITY || r.rlim_max > want ? want : r.rlim_max;
        if (r.rlim_cur < before || setrlimit(RLIMIT_NOFILE, &r) != 0) {
            r.rlim_cur = before;
        }
    }
    if (r.rlim_cur < want) {
        uint64_t beside = FILES_BESIDE_CLIENTS;
        uint64_t fits = r.rlim_cur > 2 * beside ? r.rlim_cur - beside : beside / 2;

        log_warn("serve: fewer open files allowed than maxclients needs, which is lowered\t"
                 "files=%lu\tmaxclients=%lu",
                 (unsigned long)r.rlim_cur, (unsigned long)fits);
        atomic_store_explicit(&opt_maxclients.word, fits, memory_order_relaxed);
    }
}

static void apply_password(const struct conf_opt *opt)
{
    struct buf text;

    buf_init(&text);
    if (conf_reveal(opt, &text) == OK) {
        auth_password_set(buf_slice(&text));
    }
    if (text.cap > 0) {
        sodium_memzero(text.ptr, text.cap);
    }
    buf_fini(&text);
}

/* Of aclfile, or of the file of settings. Behind the password: a line for the user default is the last word. */
static int load_users(void)
{
    const char *path = conf_str(&opt_aclfile);
    const char *lines = conf_str(&opt_user);
    struct acl_changes changes = {0};
    struct buf text = {0}, why = {0};
    bool done = true;

    if (path[0] != '\0' && lines[0] != '\0') {
        log_error("serve: users stand in aclfile or as `user` lines among the settings, not both");
        return ERR_INVALID;
    }
    if (path[0] != '\0') {
        int err = conf_file_read(path, LIMIT_ACL_FILE_BYTES, &text);

        if (err != OK) {
            log_error("serve: cannot read aclfile\tpath=%s\twhy=%s", path,
                      err == ERR_IO ? strerrordesc_np(errno) : "it is too large");
            done = false;
        } else {
            done = acl_load(buf_slice(&text), path, &why, &changes);
        }
    } else if (lines[0] != '\0') {
        done = acl_load_settings(lines, &why, &changes);
    }
    if (!done && why.len > 0) {
        log_error("serve: the users cannot be read: %.*s", (int)why.len, why.ptr);
    }
    acl_changes_free(&changes);
    if (text.cap > 0) {
        sodium_memzero(text.ptr, text.cap);
    }
    buf_fini(&text);
    buf_fini(&why);
    return done ? OK : ERR_INVALID;
}

static int write_users(struct buf *out)
{
    /* In a file of their own they are not the settings'. */
    return conf_str(&opt_aclfile)[0] != '\0' ? OK : acl_save(true, out);
}

/* The one that was given, else the folder's own. */
static int set_password(struct serve *s)
{
    apply_password(&opt_password);
    if (auth_is_needed()) {
        return OK;
    }
    if (data_dir_password(&s->data, s->password) != OK) {
        return ERR_IO;
    }
    auth_password_set(slice_of(s->password));
    return OK;
}

static uint32_t worker_count(void)
{
    uint64_t n = conf_u64(&opt_workers);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (n == 0) {
        n = cores > 0 ? (uint64_t)cores : 1;
    }
    return n > WORKERS_MAX ? WORKERS_MAX : (uint32_t)n;
}

static int open_doors(struct serve *s)
{
    const char *addresses = conf_str(&opt_bind);

    if (conf_u64(&opt_port) == 0 && conf_u64(&opt_http_port) == 0) {
        log_error("serve: port and http-port are both 0, so that nobody could be served");
        return ERR_INVALID;
    }
    int err = listen_open_setting(&s->resp, slice_of(addresses), &opt_port);

    if (err != OK) {
        return err;
    }
    if (s->resp.count > 0 && !listen_is_loopback(slice_of(addresses))) {
        log_warn("serve: the Redis port is clear text and not on loopback only; whoever sees the "
                 "network sees data and password\tbind=%s\tport=%u",
                 addresses, s->resp.port);
    }
    return door_http_open(&s->admin, slice_of(addresses));
}

/* --- the workers ------------------------------------------------------------------------------ */

static void on_start(struct worker *w)
{
    struct serve_worker *sw = LIST_ITEM(w, struct serve_worker, worker);
    struct serve *s = sw->serve;

    if (metric_thread_start() != OK) {
        log_warn("serve: no memory for a worker's own counters");
    }
    if (node_worker_start(s->node, w) != OK ||
        conn_set_init(&sw->set, w, node_backend(s->node)) != OK) {
        atomic_store_explicit(&s->failed, true, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&s->done, 1, memory_order_release);
}

static void on_stop(struct worker *w)
{
    struct serve_worker *sw = LIST_ITEM(w, struct serve_worker, worker);

    conn_set_fini(&sw->set);
    node_worker_stop(sw->serve->node, w);
    metric_thread_stop();
}

/* False: the log does not give what is stored. */
static bool check_log(struct serve *s)
{
    enum log_check_end end = LOG_CHECK_LOST;

    if (s->check != NULL) {
        rcu_register();
        end = log_check_finish(s->check);
        rcu_unregister();
        s->check = NULL;
    }
    return end != LOG_CHECK_DIFFERS;
}

/* False as check_log(). */
static bool stop_workers(struct serve *s)
{
    bool fine;

    for (uint32_t i = 0; i < s->started; i++) {
        worker_stop(&s->workers[i].worker);
    }
    for (uint32_t i = 0; i < s->started; i++) {
        worker_join(&s->workers[i].worker);
    }
    fine = check_log(s);
    node_stop(s->node);
    for (uint32_t i = 0; i < s->count; i++) {
        worker_fini(&s->workers[i].worker);
    }
    mem_free(s->workers, s->count * sizeof(s->workers[0]));
    return fine;
}

static int start_workers(struct serve *s)
{
    s->workers = mem_zalloc(s->count * sizeof(s->workers[0]));
    if (s->workers == NULL) {
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        if (worker_init(&s->workers[i].worker, i) != OK) {
            log_error("serve: cannot make a worker: %m");
            s->count = i;
            return ERR_IO;
        }
        s->workers[i].serve = s;
        s->workers[i].worker.on_start = on_start;
        s->workers[i].worker.on_stop = on_stop;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        if (worker_start(&s->workers[i].worker) != OK) {
            log_error("serve: cannot start a thread: %m");
            return ERR_IO;
        }
        s->started++;
    }
    if (!wait_done(s, s->count) || atomic_load_explicit(&s->failed, memory_order_relaxed)) {
        log_error("serve: a worker could not start");
        return ERR_IO;
    }
    return OK;
}

static void begin_listening(struct serve_worker *w)
{
    if (listen_start(&w->serve->resp, &w->worker) != OK) {
        atomic_store_explicit(&w->serve->failed, true, memory_order_relaxed);
    }
}

static void end_listening(struct serve_worker *w)
{
    listen_stop(&w->serve->resp);
}

static void begin_drain(struct serve_worker *w)
{
    conn_set_drain(&w->set);
}

static void look_drained(struct serve_worker *w)
{
    if (conn_set_is_drained(&w->set)) {
        atomic_fetch_add_explicit(&w->serve->drained, 1, memory_order_relaxed);
    }
}

/* --- start, wait, end ------------------------------------------------------------------------- */

static void print_welcome(const struct serve *s)
{
    const char *addresses = conf_str(&opt_bind);

    printf("Godwit " VERSION_GODWIT " is ready.\n");
    if (s->resp.port != 0) {
        printf("  redis    port %u on %s\n", s->resp.port, addresses);
    }
    if (door_http_port(s->admin, DOOR_HTTP_PUBLIC) != 0) {
        printf("  http     port %u\n", door_http_port(s->admin, DOOR_HTTP_PUBLIC));
    }
    if (door_http_port(s->admin, DOOR_HTTP_ADMIN) != 0) {
        printf("  admin    port %u   /healthz /readyz /metrics\n",
               door_http_port(s->admin, DOOR_HTTP_ADMIN));
    }
    printf("  data     %s\n", s->data.path);
    if (s->password[0] != '\0') {
        printf("  password %s   (kept in %s/password)\n", s->password, s->data.path);
    }
    printf("\n");
    if (s->resp.port != 0 && s->password[0] != '\0') {
        printf("  redis-cli -p %u -a %s\n\n", s->resp.port, s->password);
    } else if (s->resp.port != 0) {
        printf("  redis-cli -p %u --askpass\n\n", s->resp.port);
    }
    (void)fflush(stdout);
}

/* Main's own signal mask, which its threads inherit. */
static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, set, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGPIPE, &ignore, NULL);
}

static void on_shutdown_command(void)
{
    (void)kill(getpid(), SIGTERM);
}

static void wait_for_signal(const sigset_t *set)
{
    int sig = 0;

    while (sigwait(set, &sig) != 0) {
    }
    log_info("serve: stopping\tsignal=%s", sig == SIGINT ? "INT" : "TERM");
}

/* From now on Ctrl-C ends the process at once. */
static void let_interrupt_kill(void)
{
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t set;

    (void)sigaction(SIGINT, &by_default, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Answers what was asked, and gives clients a bounded time to take it. */
static void drain(struct serve *s)
{
    if (!ask_workers(s, 1, end_listening) || !ask_workers(s, s->count, begin_drain)) {
        return;
    }
    for (int64_t waited = 0; waited < DRAIN_MS; waited += 5) {
        atomic_store_explicit(&s->drained, 0, memory_order_relaxed);
        if (!ask_workers(s, s->count, look_drained) ||
            atomic_load_explicit(&s->drained, memory_order_relaxed) == s->count) {
            return;
        }
        pause_ms(5);
    }
    log_warn("serve: some clients did not take their replies in time");
}

/* In release the system takes the memory back faster; elsewhere a leak has to be seen. */
static void free_store(struct serve *s)
{
#if !defined(GODWIT_RELEASE)
    rcu_register();
    node_destroy(s->node);
    rcu_unregister();
#else
    (void)s;
#endif
}

static int make_node(struct serve *s)
{
    struct node_options o = {
        .workers = s->count, .changelog_ring_bytes = conf_u64(&opt_changelog_ring), .epoch = 1};

    if (s->data.partitions != PARTITIONS) {
        log_error("serve: the data folder was made with another number of partitions\tdir=%s\t"
                  "partitions=%u\tthis_program=%d",
                  s->data.path, s->data.partitions, PARTITIONS);
        return ERR_CORRUPT;
    }
    edge_register_commands();
    families_register();
    cmd_freeze();
    hash_seed_set(s->data.hash_seed);
    if (node_create(&s->node, &o) != OK) {
        log_error("serve: cannot make the node");
        return ERR_NOMEM;
    }
    if (conf_bool(&opt_check_log_at_exit)) {
        s->check = log_check_start(s->node, CHECK_BYTES);
        if (s->check == NULL) {
            log_error("serve: cannot make the thread that copies the log");
            return ERR_NOMEM;
        }
    }
    client_metrics_use();
    node_shutdown_hook = on_shutdown_command;
    if (auth_init(node_default_database(s->node)) != OK) {
        return ERR_IO;
    }
    conf_hook(&opt_password, NULL, apply_password);
    conf_lines_hook(&opt_user, write_users);
    int err = set_password(s);

    return err == OK ? load_users() : err;
}

static int run(struct serve *s, const sigset_t *set)
{
    int code = MAIN_FAILED;

    info_start();
    info_about.tcp_port = s->resp.port;
    info_about.config_file = conf_str(&opt_config);
    if (start_workers(s) != OK || !ask_workers(s, 1, begin_listening) ||
        atomic_load_explicit(&s->failed, memory_order_relaxed)) {
        goto stop;
    }
    if (door_http_start(s->admin) != OK) {
        goto stop;
    }
    door_http_ready(s->admin, true);
    print_welcome(s);
    sodium_memzero(s->password, sizeof(s->password));
    log_info("serve: ready\tport=%u\thttp_port=%u\tadmin_port=%u\tworkers=%u", s->resp.port,
             door_http_port(s->admin, DOOR_HTTP_PUBLIC), door_http_port(s->admin, DOOR_HTTP_ADMIN),
             s->count);
    wait_for_signal(set);
    let_interrupt_kill();
    door_http_ready(s->admin, false);
    drain(s);
    door_http_close(s->admin); /* its metrics look at the workers' counters */
    s->admin = NULL;
    code = MAIN_DONE;

stop:
    if (s->workers != NULL && !stop_workers(s)) {
        code = MAIN_FAILED;
    }
    return code;
}

int serve_main(int argc, char **argv)
{
    static struct serve s;
    sigset_t set;
    int code = MAIN_FAILED;

    (void)argc, (void)argv;
    block_signals(&set);
    raise_file_limit();
    s.count = worker_count();
    if (data_dir_open(&s.data, conf_str(&opt_dir)) != OK) {
        return MAIN_FAILED;
    }
    if (make_node(&s) == OK && open_doors(&s) == OK) {
        code = run(&s, &set);
    }
    door_http_close(s.admin);
    listen_close(&s.resp);
    if (s.node != NULL) {
        free_store(&s);
    }
    data_dir_close(&s.data);
    if (code == MAIN_DONE) {
        log_info("serve: stopped");
    }
    return code;
}
