#include "tests/unit/node/world.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "node/cmd/families.h"
#include "node/database.h"
#include "node/type.h"
#include "tests/lib/unit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static _Atomic int64_t now = 5000000;

static void source(int64_t *mono_ns, int64_t *wall_ms)
{
    *wall_ms = now;
    *mono_ns = now * 1000000;
}

void world_clock(int64_t ms)
{
    now += ms;
    clock_advance();
}

void world_init(struct world *w, size_t ring_bytes)
{
    static bool registered;

    if (!registered) {
        families_register();
        cmd_freeze();
        registered = true;
    }
    *w = (struct world){0};
    rcu_register();
    clock_source_set(source);
    world_clock(1000);
    struct node_options o = {
        .workers = WORLD_WORKERS, .changelog_ring_bytes = ring_bytes, .epoch = 1};

    CU_ASSERT_EQUAL_FATAL(node_create(&w->node, &o), 0);
    w->db = node_default_database(w->node);
    w->x = &w->node->execs[0];
    for (uint32_t i = 0; i < WORLD_WORKERS; i++) {
        CU_ASSERT_EQUAL_FATAL(worker_init(&w->workers[i], i), 0);
        CU_ASSERT_EQUAL_FATAL(exec_init(&w->node->execs[i], w->node, &w->workers[i]), 0);
    }
    reply_init(&w->reply);
}

void world_fini(struct world *w)
{
    for (uint32_t i = 0; i < WORLD_WORKERS; i++) {
        exec_fini(&w->node->execs[i]);
    }
    reply_fini(&w->reply);
    node_destroy(w->node);
    /* After the log's thread, which may be in the middle of waking one. */
    for (uint32_t i = 0; i < WORLD_WORKERS; i++) {
        worker_fini(&w->workers[i]);
    }
    rcu_unregister();
    clock_source_set(NULL);
}

void world_run(struct world *w, struct database *db, struct slice *argv, uint32_t argc)
{
    w->reply.out.len = 0;
    w->reply.failed = false;
    exec_internal(w->x, db, argv, argc, &w->reply);
    rcu_turn();
}

uint32_t world_words(char *line, struct slice *argv, uint32_t max)
{
    uint32_t n = 0;

    for (char *save, *word = strtok_r(line, " ", &save); word != NULL && n < max;
         word = strtok_r(NULL, " ", &save)) {
        argv[n++] = slice_of(word);
    }
    return n;
}

const char *world_say(struct world *w, const char *fmt, ...)
{
    char line[1024];
    struct slice argv[64];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    world_run(w, w->db, argv, world_words(line, argv, 64));
    CU_ASSERT_EQUAL(buf_append(&w->reply.out, "", 1), 0);
    w->reply.out.len--;
    return w->reply.out.ptr;
}

static void add_bytes(struct entry *e, void *arg)
{
    *(int64_t *)arg += (int64_t)type_bytes(e);
}

int64_t world_bytes(struct database *db)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition *p = database_partition(db, i);
        uint64_t cursor = 0;

        if (p == NULL) {
            continue;
        }
        sum += (int64_t)mem_size(sizeof(*p)) + (int64_t)p->stats.bytes;
        do {
            cursor = table_scan(&p->table, cursor, 1000, add_bytes, &sum);
        } while (cursor != 0);
    }
    return sum;
}
