/* hash_bench.h - a database with a log and a section, for tests of types; time is the test's. */
#ifndef TESTS_UNIT_NODE_HASH_BENCH_H
#define TESTS_UNIT_NODE_HASH_BENCH_H

#include "edge/backend.h"
#include "node/database.h"
#include "node/section.h"
#include "replication/changelog.h"

struct bench {
    struct database *db;
    struct changelog *log;
    struct section *section;
    struct cmd read, write; /* outside, and within the section */
};

/* Registers the thread with RCU and stops the clock at bench_now_ms. */
void bench_init(struct bench *b);
void bench_fini(struct bench *b);
/* Of a further thread, on the same database. */
void bench_join(struct bench *b, const struct bench *other);
void bench_leave(struct bench *b);

void bench_clock(int64_t now_ms);
int64_t bench_now_ms(void);

void bench_begin(struct bench *b);
enum section_end bench_commit(struct bench *b);
void bench_abort(struct bench *b);

/* What the database should have been charged: its partitions and what their tables hold. */
int64_t bench_bytes(const struct bench *b);

#endif
