#include "tests/unit/node/hash_bench.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "node/keyspace.h"
#include "node/type.h"
#include "tests/lib/unit.h"

static _Atomic int64_t now = 1000000;
static const struct cmd_def read_def = {.name = "READ", .flags = CMD_READ};
static const struct cmd_def write_def = {.name = "WRITE", .flags = CMD_WRITE};

static void source(int64_t *mono_ns, int64_t *wall_ms)
{
    *wall_ms = now;
    *mono_ns = now * 1000000;
}

void bench_clock(int64_t now_ms)
{
    now = now_ms;
    clock_advance();
}

int64_t bench_now_ms(void)
{
    return clock_now_ms();
}

static void commands(struct bench *b)
{
    b->read = (struct cmd){.def = &read_def, .db = b->db};
    b->write = (struct cmd){.def = &write_def, .db = b->db, .section = b->section};
}

void bench_init(struct bench *b)
{
    struct changelog_options o = {.ring_bytes = 1 << 20, .epoch = 1};

    *b = (struct bench){0};
    rcu_register();
    clock_source_set(source);
    bench_clock(now + 1000);
    CU_ASSERT_EQUAL_FATAL(changelog_create(&b->log, &o), 0);
    CU_ASSERT_EQUAL_FATAL(database_create(&b->db, NULL, 0, 0), 0);
    CU_ASSERT_EQUAL_FATAL(section_create(&b->section, b->log), 0);
    commands(b);
}

void bench_fini(struct bench *b)
{
    section_destroy(b->section);
    database_destroy(b->db);
    rcu_drain();
    rcu_unregister();
    changelog_destroy(b->log);
    clock_source_set(NULL);
}

void bench_join(struct bench *b, const struct bench *other)
{
    rcu_register();
    *b = (struct bench){.db = other->db, .log = other->log};
    CU_ASSERT_EQUAL_FATAL(section_create(&b->section, b->log), 0);
    commands(b);
}

void bench_leave(struct bench *b)
{
    section_destroy(b->section);
    rcu_unregister();
}

void bench_begin(struct bench *b)
{
    struct partition *held;

    while (section_reserve(b->section) != 0) {
        rcu_turn(); /* the log thread makes room */
    }
    while (section_begin(b->section, b->db, UINT64_MAX, true, &held) != 0) {
    }
    b->write.now_ms = clock_now_ms();
}

enum section_end bench_commit(struct bench *b)
{
    uint64_t seq;

    return section_commit(b->section, &seq);
}

void bench_abort(struct bench *b)
{
    section_abort(b->section);
}

static void add_bytes(struct entry *e, void *arg)
{
    *(int64_t *)arg += (int64_t)type_bytes(e);
}

int64_t bench_bytes(const struct bench *b)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition *p = database_partition(b->db, i);
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
