/* actors.c - threads that run commands as workers do, and what they say (actors.h).
 *
 *    isolation [SECONDS [PART]]      SECONDS for all parts together, default 4
 *
 * `make prop-broken` compiles the store with one guard left out at a time (GODWIT_BREAK) and expects this
 * program to fail: a part that catches nothing proves nothing.
 */
#include "tests/prop/actors.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/rcu.h"
#include "edge/multi.h"
#include "node/cmd/families.h"
#include "node/wait.h"
#include "node/watched.h"

#include <assert.h>
#include <sched.h>
#include <stdarg.h>

enum { CHURN = 40000, ARGS_MAX = 256 };

struct node *node;
struct database *db;
_Atomic bool stopping;
static _Atomic uint64_t breaches;
static const char *part_name;
static struct actor actors[ACTORS];

void breach(const char *fmt, ...)
{
    va_list ap;

    if (atomic_fetch_add(&breaches, 1) < 3) {
        char text[256];

        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        printf("%s: %s\n", part_name, text);
        if (getenv("BREACH_ENDS") != NULL) {
            /* Of a build that is broken on purpose: what its readers meet next may be freed memory. */
            (void)fflush(stdout);
            _exit(1);
        }
    }
}

bool goes_on(struct actor *a)
{
    a->runs++;
    rcu_turn();
    return !atomic_load_explicit(&stopping, memory_order_relaxed);
}

/* ---- Commands and replies ---- */

void run(struct actor *a, struct slice *argv, uint32_t argc)
{
    a->reply.out.len = 0;
    exec_internal(a->x, db, argv, argc, &a->reply);
    a->at = a->reply.out.ptr;
}

static uint32_t words(char *text, struct slice *argv)
{
    uint32_t argc = 0;

    for (char *save, *w = strtok_r(text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        assert(argc < ARGS_MAX);
        argv[argc++] = slice_of(w);
    }
    return argc;
}

void say(struct actor *a, const char *fmt, ...)
{
    char text[4096];
    struct slice argv[ARGS_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    run(a, argv, words(text, argv));
    if (a->at[0] == '-') {
        breach("%s: %.*s", text, (int)a->reply.out.len - 2, a->at);
    }
}

int64_t number(struct actor *a)
{
    char kind = a->at[0];
    int64_t n = strtoll(a->at + 1, NULL, 10);

    a->at = strchr(a->at, '\n') + 1;
    if (kind == '*') {
        return number(a);
    }
    if (kind == '_') {
        return -1;
    }
    if (kind == '$') {
        const char *bytes = a->at;

        a->at += n + 2;
        n = strtoll(bytes, NULL, 10);
    }
    return n;
}

int64_t get(struct actor *a, const char *fmt, ...)
{
    char name[64];
    struct slice argv[2] = {SLICE("GET"), {name, 0}};
    va_list ap;

    va_start(ap, fmt);
    argv[1].len = (size_t)vsnprintf(name, sizeof(name), fmt, ap);
    va_end(ap);
    run(a, argv, 2);
    return number(a);
}

void raise_to(_Atomic int64_t *at, int64_t n)
{
    int64_t was = atomic_load(at);

    while (was < n && !atomic_compare_exchange_weak(at, &was, n)) {
    }
}

int64_t array(struct actor *a)
{
    int64_t n = a->at[0] == '*' || a->at[0] == '%' ? strtoll(a->at + 1, NULL, 10) : -1;

    a->at = strchr(a->at, '\n') + 1;
    return n;
}

/* ---- A session: it watches and waits ---- */

static void on_ready(struct session *s)
{
    (void)s; /* its thread looks for itself */
}

static void session_wait(struct actor *a, bool (*gives_up)(struct actor *a))
{
    struct waiting *w = a->session.backend_state;

    if (w->wait == WAIT_SLICE) {
        list_remove(&w->slice);
        w->wait = WAIT_NOT;
    }
    for (bool told = false; w->wait != WAIT_NOT;) {
        bool is_over = stopping || (gives_up != NULL && gives_up(a));

        if (w->wait == WAIT_TIME && !told && is_over) {
            told = exec_unblock(&a->session, CMD_UNBLOCKED_TIMEOUT);
        }
        sched_yield();
        rcu_turn();
        inbox_drain(&a->worker.inbox);
    }
}

static void session_run(struct actor *a, struct request *r, bool (*gives_up)(struct actor *a))
{
    struct batch b = {.requests = r, .count = 1, .reply = &a->reply};
    bool waits = false;

    a->reply.out.len = 0;
    while (exec_run(a->x, &a->session, &b) == BACKEND_LATER) {
        struct waiting *w = a->session.backend_state;

        if (!waits && w->wait == WAIT_TIME && a->on_wait != NULL) {
            waits = true;
            a->on_wait(a);
        }
        session_wait(a, gives_up);
    }
    a->at = a->reply.out.ptr;
}

void session_say(struct actor *a, bool (*gives_up)(struct actor *a), const char *fmt, ...)
{
    char text[512];
    struct slice argv[ARGS_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    uint32_t argc = words(text, argv);

    session_run(a, &(struct request){.def = cmd_find(argv[0]), .argv = argv, .argc = argc},
                gives_up);
}

bool transact(struct actor *a, const char *fmt, ...)
{
    struct slice exec = SLICE("EXEC");
    struct slice argv[ARGS_MAX];
    struct multi *m = multi_create();
    char text[4096];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *save, *one = strtok_r(text, ";", &save); one != NULL;
         one = strtok_r(NULL, ";", &save)) {
        uint32_t argc = words(one, argv);

        if (multi_add(m, &(struct request){.def = cmd_find(argv[0]), .argv = argv, .argc = argc},
                      SIZE_MAX) != 0) {
            abort();
        }
    }
    session_run(a, &(struct request){.def = cmd_find(exec), .argv = &exec, .argc = 1, .multi = m},
                NULL);
    multi_destroy(m);
    if (a->at[0] == '-') {
        breach("EXEC: %.*s", (int)a->reply.out.len - 2, a->at);
    }
    return a->at[0] == '*';
}

/* ---- Beside every part: the table grows and shrinks ---- */

void churn(struct actor *a)
{
    for (uint32_t from = 0, up = 1; goes_on(a);) {
        char text[4096];
        int n = snprintf(text, sizeof(text), up ? "MSET" : "DEL");

        for (uint32_t i = 0; i < 16; i++) {
            n += snprintf(text + n, sizeof(text) - (size_t)n, up ? " churn:%u %u" : " churn:%u",
                          from + i, i);
        }
        say(a, "%s", text);
        from += 16;
        if (from >= CHURN) {
            from = 0;
            up = !up;
        }
    }
}

void ticks(struct actor *a)
{
    while (goes_on(a)) {
        clock_advance();
        usleep(100);
    }
}

/* ---- All of it ---- */

static void *actor_main(void *arg)
{
    struct actor *a = arg;

    rcu_register();
    a->role(a);
    rcu_unregister();
    return NULL;
}

static bool run_part(const struct part *p, double seconds)
{
    uint64_t runs = 0;
    int n = 0;

    part_name = p->name;
    atomic_store(&breaches, 0);
    atomic_store(&stopping, false);
    p->before(&actors[0]);
    for (; n < ACTORS && p->roles[n] != NULL; n++) {
        actors[n].role = p->roles[n];
        actors[n].runs = 0;
        if (pthread_create(&actors[n].thread, NULL, actor_main, &actors[n]) != 0) {
            abort();
        }
    }
    rcu_offline();
    usleep((useconds_t)(seconds * 1e6));
    atomic_store(&stopping, true);
    for (int i = 0; i < n; i++) {
        (void)pthread_join(actors[i].thread, NULL);
        runs += actors[i].runs;
        if (actors[i].runs < 3) {
            breach("thread %d did nothing", i);
        }
    }
    rcu_online();
    if (p->after != NULL) {
        p->after(&actors[0]);
    }
    printf("%s: %" PRIu64 " rounds, %" PRIu64 " breaches\n", p->name, runs, breaches);
    return breaches == 0;
}

static uint64_t seed_of(void)
{
    const char *s = getenv("GODWIT_TEST_SEED");

    return s != NULL ? strtoull(s, NULL, 10) : (uint64_t)clock_mono_ns();
}

static void begin(uint64_t seed)
{
    families_register();
    cmd_freeze();
    clock_advance();
    if (node_create(&node, &(struct node_options){.workers = ACTORS,
                                                  .changelog_ring_bytes = 64 << 20,
                                                  .epoch = 1}) != 0) {
        abort();
    }
    db = node_default_database(node);
    for (uint32_t i = 0; i < ACTORS; i++) {
        struct actor *a = &actors[i];

        a->index = i;
        a->rand = (struct rand){seed + i};
        a->x = &node->execs[i];
        a->session = (struct session){.db = db,
                                      .worker = &a->worker,
                                      .backend = &node->backend,
                                      .id = i + 1,
                                      .on_ready = on_ready};
        reply_init(&a->reply);
        if (worker_init(&a->worker, i) != 0 || exec_init(a->x, node, &a->worker) != 0) {
            abort();
        }
    }
}

static void end(void)
{
    for (uint32_t i = 0; i < ACTORS; i++) {
        exec_cancel(&actors[i].session);
        watched_clear(&actors[i].session);
        exec_fini(actors[i].x);
        worker_fini(&actors[i].worker);
        reply_fini(&actors[i].reply);
    }
    node_destroy(node);
}

int main(int argc, char **argv)
{
    const struct part *const tables[] = {key_parts, section_parts};
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 4;
    uint64_t seed = seed_of();
    int count = 0, passed = 0, failed = 0;

    for (size_t t = 0; t < 2; t++) {
        for (const struct part *p = tables[t]; p->name != NULL; p++) {
            count += argc <= 2 || strcmp(argv[2], p->name) == 0;
        }
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %" PRIu64 " (GODWIT_TEST_SEED)\n", seed);
    rcu_register();
    begin(seed);
    for (size_t t = 0; t < 2; t++) {
        for (const struct part *p = tables[t]; p->name != NULL; p++) {
            if (argc <= 2 || strcmp(argv[2], p->name) == 0) {
                bool good = run_part(p, seconds / count);

                passed += good;
                failed += !good;
            }
        }
    }
    end();
    rcu_unregister();
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
