/* memory.c - MEMORY. */
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "edge/backend.h"
#include "node/cmd/families.h"
#include "node/info.h"
#include "node/keyspace.h"
#include "replication/options.h"

static void cmd_memory_usage(struct cmd *c)
{
    const struct entry *e;
    int64_t samples;

    /* Accepted and not needed: what a value takes is counted, not sampled. */
    for (uint32_t i = 3; i < c->argc; i++) {
        if (!slice_is_word(c->argv[i], "samples") || i + 1 == c->argc) {
            reply_err(c->reply, WIRE_SYNTAX);
            return;
        }
        if (!parse_i64(c->argv[++i], &samples)) {
            reply_err(c->reply, WIRE_NOT_INTEGER);
            return;
        }
        if (samples < 0) {
            reply_err(c->reply, WIRE_SYNTAX);
            return;
        }
    }
    e = keyspace_peek(c, cmd_key(c, 2));
    if (e == NULL) {
        reply_null(c->reply);
    } else {
        reply_int(c->reply, (int64_t)keyspace_bytes(e));
    }
}

static void put_int(struct cmd *c, const char *name, uint64_t n)
{
    reply_bulk(c->reply, slice_of(name));
    reply_int(c->reply, (int64_t)n);
}

static void put_ratio(struct cmd *c, const char *name, uint64_t a, uint64_t b)
{
    reply_bulk(c->reply, slice_of(name));
    reply_double(c->reply, b == 0 ? 0 : (double)a / (double)b);
}

static void cmd_memory_stats(struct cmd *c)
{
    struct info_memory m;
    uint64_t keys = keyspace_count(c->db);
    uint64_t net;

    info_memory(c, &m);
    net = m.used > m.startup ? m.used - m.startup : m.used;
    reply_map(c->reply, 27 + (keys > 0));
    put_int(c, "peak.allocated", m.peak);
    put_int(c, "total.allocated", m.used);
    put_int(c, "startup.allocated", m.startup);
    put_int(c, "replication.backlog", conf_u64(&opt_changelog_ring));
    put_int(c, "clients.slaves", 0);
    put_int(c, "clients.normal", 0);
    put_int(c, "cluster.links", 0);
    put_int(c, "aof.buffer", 0);
    put_int(c, "lua.caches", 0);
    put_int(c, "functions.caches", 0);
    if (keys > 0) {
        reply_bulk(c->reply, SLICE("db.0"));
        reply_map(c->reply, 2);
        put_int(c, "overhead.hashtable.main", 0);
        put_int(c, "overhead.hashtable.expires", 0);
    }
    put_int(c, "overhead.total", m.used - (m.dataset < m.used ? m.dataset : m.used));
    put_int(c, "keys.count", keys);
    put_int(c, "keys.bytes-per-key", keys == 0 ? 0 : m.dataset / keys);
    put_int(c, "dataset.bytes", m.dataset);
    put_ratio(c, "dataset.percentage", 100 * m.dataset, net);
    put_ratio(c, "peak.percentage", 100 * m.used, m.peak);
    put_int(c, "allocator.allocated", m.allocated);
    put_int(c, "allocator.active", m.active);
    put_int(c, "allocator.resident", m.resident);
    put_ratio(c, "allocator-fragmentation.ratio", m.active, m.allocated);
    put_int(c, "allocator-fragmentation.bytes", m.active - m.allocated);
    put_ratio(c, "allocator-rss.ratio", m.resident, m.active);
    put_int(c, "allocator-rss.bytes", m.resident - m.active);
    put_ratio(c, "rss-overhead.ratio", m.rss, m.resident);
    put_int(c, "rss-overhead.bytes", m.rss - m.resident);
    put_ratio(c, "fragmentation", m.rss, m.used);
    put_int(c, "fragmentation.bytes", m.rss - m.used);
}

/* Below this, what the program takes by itself says nothing about the data. */
enum { DOCTOR_BYTES_MIN = 5 << 20 };

static void cmd_memory_doctor(struct cmd *c)
{
    struct info_memory m;
    struct buf out = {0};
    int err;

    info_memory(c, &m);
    if (m.used < DOCTOR_BYTES_MIN) {
        err = buf_append_str(&out, "There is hardly any data: nothing can be said of it yet.\n");
    } else if (m.peak > m.used + m.used / 2) {
        err = buf_printf(&out,
                         "The peak was %.1f times what is used now. What was freed stays with the"
                         " process until it is used again; MEMORY PURGE gives it back.\n",
                         (double)m.peak / (double)m.used);
    } else if (m.rss > m.used + m.used / 2) {
        err = buf_printf(&out,
                         "The process holds %.1f times what it uses: fragmentation, or pages kept"
                         " for later. MEMORY PURGE gives unused pages back.\n",
                         (double)m.rss / (double)m.used);
    } else {
        err = buf_append_str(&out, "Nothing stands out.\n");
    }
    if (err == OK) {
        reply_verbatim(c->reply, "txt", buf_slice(&out));
    } else {
        reply_err(c->reply, WIRE_NOMEM);
    }
    buf_fini(&out);
}

static void cmd_memory_purge(struct cmd *c)
{
    mem_purge();
    reply_ok(c->reply);
}

static void cmd_memory_malloc_stats(struct cmd *c)
{
    struct mem_stats m;
    struct buf out = {0};

    mem_stats(&m);
    if (buf_printf(&out, "allocated: %lu, active: %lu, resident: %lu, mapped: %lu\n", m.allocated,
                   m.active, m.resident, m.mapped) == OK) {
        reply_verbatim(c->reply, "txt", buf_slice(&out));
    } else {
        reply_err(c->reply, WIRE_NOMEM);
    }
    buf_fini(&out);
}

/* clang-format off */
static struct cmd_def memory_subs[] = {
    { "DOCTOR",       2, CMD_RANDOM | CMD_FREE, KEYS_NONE, "4.0.0", cmd_memory_doctor, "",
      "What stands out in the use of memory, in words.", .request = CMD_ALL_SHARDS, .response = CMD_RESPONSE_SPECIAL },
    { "HELP",         2, CMD_LOADING | CMD_STALE | CMD_FREE, KEYS_NONE, "4.0.0", help_run, "",
      "Print this help." },
    { "MALLOC-STATS", 2, CMD_RANDOM | CMD_FREE, KEYS_NONE, "4.0.0", cmd_memory_malloc_stats, "",
      "The allocator's figures.", .request = CMD_ALL_SHARDS, .response = CMD_RESPONSE_SPECIAL },
    { "PURGE",        2, CMD_FREE, KEYS_NONE, "4.0.0", cmd_memory_purge, "",
      "Gives unused pages back to the system.", .request = CMD_ALL_SHARDS, .response = CMD_ALL_SUCCEEDED },
    { "STATS",        2, CMD_RANDOM | CMD_FREE, KEYS_NONE, "4.0.0", cmd_memory_stats, "",
      "Where memory goes.", .request = CMD_ALL_SHARDS, .response = CMD_RESPONSE_SPECIAL },
    { "USAGE",       -3, CMD_READ, KEYS(2, 2, 1), "4.0.0", cmd_memory_usage, "key [SAMPLES count]",
      "The bytes that a key takes with its value." },
    CMD_END
};

struct cmd_def memory_cmds[] = {
    { "MEMORY", -2, 0, KEYS_NONE, "4.0.0", NULL, "", "The use of memory.", .subs = memory_subs },
    CMD_END
};
/* clang-format on */
