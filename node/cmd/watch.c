/* watch.c - SLOWLOG and LATENCY. */
#include "base/clock.h"
#include "base/err.h"
#include "base/parse.h"
#include "edge/backend.h"
#include "node/cmd/families.h"
#include "node/histogram.h"
#include "node/info.h"
#include "node/latency.h"
#include "node/node.h"
#include "node/options.h"
#include "node/slowlog.h"
#include "proto/cmd_doc.h"

static void cmd_slowlog_get(struct cmd *c)
{
    int64_t count = 10;

    if (c->argc > 3) {
        reply_errf(c->reply, "ERR unknown subcommand or wrong number of arguments for 'GET'. Try"
                             " SLOWLOG HELP.");
        return;
    }
    if (c->argc == 3 && (!parse_i64(c->argv[2], &count) || count < -1)) {
        reply_errf(c->reply, "ERR count should be greater than or equal to -1");
        return;
    }
    slowlog_reply(c->reply, count < 0 ? UINT64_MAX : (uint64_t)count);
}

static void cmd_slowlog_len(struct cmd *c)
{
    reply_int(c->reply, (int64_t)slowlog_count());
}

static void cmd_slowlog_reset(struct cmd *c)
{
    slowlog_reset();
    reply_ok(c->reply);
}

static void cmd_latency_latest(struct cmd *c)
{
    struct latency_event events[LATENCY_EVENTS];
    uint32_t n = latency_events(events);

    reply_array(c->reply, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct latency_event *e = &events[i];
        const struct latency_sample *last =
            &e->samples[(e->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];

        reply_array(c->reply, 4);
        reply_bulk(c->reply, slice_of(e->name));
        reply_int(c->reply, last->at_s);
        reply_int(c->reply, last->ms);
        reply_int(c->reply, e->max_ms);
    }
}

static void cmd_latency_history(struct cmd *c)
{
    struct latency_sample samples[LATENCY_SAMPLES];
    struct latency_event e;
    uint32_t n = latency_event(c->argv[2], &e) ? latency_history(&e, samples) : 0;

    reply_array(c->reply, n);
    for (uint32_t i = 0; i < n; i++) {
        reply_array(c->reply, 2);
        reply_int(c->reply, samples[i].at_s);
        reply_int(c->reply, samples[i].ms);
    }
}

static void cmd_latency_reset(struct cmd *c)
{
    int64_t n = 0;

    if (c->argc == 2) {
        n = latency_reset((struct slice){NULL, 0});
    }
    for (uint32_t i = 2; i < c->argc; i++) {
        n += latency_reset(c->argv[i]);
    }
    reply_int(c->reply, n);
}

/* A column a moment, its height by how long it took. */
static void cmd_latency_graph(struct cmd *c)
{
    static const char marks[] = "_,.-:=+*#@";
    struct latency_sample samples[LATENCY_SAMPLES];
    struct latency_event e;
    struct buf out = {0};
    uint32_t n = latency_event(c->argv[2], &e) ? latency_history(&e, samples) : 0;
    int err;

    if (n == 0) {
        reply_errf(c->reply, "ERR No samples available for event '%.*s'", (int)c->argv[2].len,
                   c->argv[2].ptr);
        return;
    }
    err = buf_printf(&out, "%s - high %u ms, %u moments, the latest at the right\n", e.name,
                     e.max_ms, n);
    for (uint32_t i = 0; i < n && err == OK; i++) {
        err = buf_append_char(&out, marks[(uint64_t)samples[i].ms * 9 / (e.max_ms + 1)]);
    }
    err = err == OK ? buf_append_char(&out, '\n') : err;
    if (err == OK) {
        reply_verbatim(c->reply, "txt", buf_slice(&out));
    } else {
        reply_err(c->reply, WIRE_NOMEM);
    }
    buf_fini(&out);
}

static int write_event(const struct latency_event *e, struct buf *out)
{
    struct latency_sample samples[LATENCY_SAMPLES];
    uint32_t n = latency_history(e, samples);
    uint64_t sum = 0;

    for (uint32_t i = 0; i < n; i++) {
        sum += samples[i].ms;
    }
    return buf_printf(out, "%s: %u moments, the worst %u ms, %lu ms on average.\n", e->name, n,
                      e->max_ms, n == 0 ? 0 : sum / n);
}

static void cmd_latency_doctor(struct cmd *c)
{
    struct latency_event events[LATENCY_EVENTS];
    struct buf out = {0};
    uint32_t n = latency_events(events);
    int err = OK;

    if (conf_u64(&opt_latency_monitor_threshold) == 0) {
        err = buf_append_str(&out, "Latency monitoring is off. CONFIG SET"
                                   " latency-monitor-threshold MILLISECONDS turns it on.\n");
    } else if (n == 0) {
        err = buf_append_str(&out, "Nothing took longer than latency-monitor-threshold since it"
                                   " was set, or since LATENCY RESET.\n");
    }
    for (uint32_t i = 0; i < n && err == OK; i++) {
        err = write_event(&events[i], &out);
    }
    if (err == OK && n > 0) {
        err = buf_append_str(&out, "SLOWLOG GET names the commands that took long.\n");
    }
    if (err == OK) {
        reply_verbatim(c->reply, "txt", buf_slice(&out));
    } else {
        reply_err(c->reply, WIRE_NOMEM);
    }
    buf_fini(&out);
}

/* How many took no longer than each power of two microseconds, where that is more than for the last. */
static void reply_histogram(struct cmd *c, uint16_t id, const struct histogram_sum *sum)
{
    char name[CMD_NAME_MAX];
    double per_us = node_cycles_per_us();
    double bound = 1;
    uint64_t steps = 0;

    reply_bulk(c->reply, (struct slice){name, cmd_full_name(cmd_by_id(id), name)});
    reply_map(c->reply, 2);
    reply_bulk(c->reply, SLICE("calls"));
    reply_int(c->reply, (int64_t)sum->total);
    reply_bulk(c->reply, SLICE("histogram_usec"));
    size_t at = reply_array_later(c->reply);
    uint64_t within = 0, told = 0;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        bool is_last = within + sum->counts[i] == sum->total;

        within += sum->counts[i];
        while (bound * per_us < histogram_bound(i)) {
            bound *= 2;
        }
        if (within > told && (is_last || histogram_bound(i + 1) > bound * per_us)) {
            reply_int(c->reply, (int64_t)bound);
            reply_int(c->reply, (int64_t)within);
            told = within;
            steps++;
        }
    }
    reply_map_count(c->reply, at, steps);
}

static bool is_same_name(struct slice asked, struct slice lower)
{
    for (size_t i = 0; i < asked.len; i++) {
        if (i == lower.len || slice_lower(asked.ptr[i]) != lower.ptr[i]) {
            return false;
        }
    }
    return asked.len == lower.len;
}

/* A container's name asks for all of its subcommands. */
static bool is_asked(const struct cmd *c, const struct cmd_def *d)
{
    char name[CMD_NAME_MAX];
    size_t len = cmd_full_name(d, name);

    for (uint32_t i = 2; i < c->argc; i++) {
        if (is_same_name(c->argv[i], (struct slice){name, len}) ||
            (d->parent != NULL && cmd_find(c->argv[i]) == d->parent)) {
            return true;
        }
    }
    return c->argc == 2;
}

static void cmd_latency_histogram(struct cmd *c)
{
    size_t at = reply_array_later(c->reply);
    size_t n = 0;

    for (uint16_t id = 0; id < cmd_count(); id++) {
        struct histogram_sum sum = {.total = 0};

        if (is_asked(c, cmd_by_id(id))) {
            exec_times(node_self(), id, &sum);
        }
        if (sum.total > 0) {
            reply_histogram(c, id, &sum);
            n++;
        }
    }
    reply_map_count(c->reply, at, n);
}

/* clang-format off */
#define ADMIN (CMD_ADMIN | CMD_OPERATOR | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FREE)
#define HELP (CMD_LOADING | CMD_STALE | CMD_FREE)

static struct cmd_def slowlog_subs[] = {
    { "GET",  -2, ADMIN | CMD_RANDOM, KEYS_NONE, "2.2.12", cmd_slowlog_get, "[count]",
      "The commands that took long, the latest first: number, time, microseconds, arguments, client, its name.",
      .request = CMD_ALL_NODES },
    { "HELP",  2, HELP,  KEYS_NONE, "6.2.0", help_run, "",
      "Print this help." },
    { "LEN",   2, ADMIN | CMD_RANDOM, KEYS_NONE, "2.2.12", cmd_slowlog_len, "",
      "How many are kept.", .request = CMD_ALL_NODES, .response = CMD_AGG_SUM },
    { "RESET", 2, ADMIN, KEYS_NONE, "2.2.12", cmd_slowlog_reset, "",
      "Forgets them.", .request = CMD_ALL_NODES, .response = CMD_ALL_SUCCEEDED },
    CMD_END
};

static struct cmd_def latency_subs[] = {
    { "DOCTOR",    2, ADMIN | CMD_RANDOM, KEYS_NONE, "2.8.13", cmd_latency_doctor, "",
      "What is known of slow moments, in words.", .request = CMD_ALL_NODES, .response = CMD_RESPONSE_SPECIAL },
    { "GRAPH",     3, ADMIN | CMD_RANDOM, KEYS_NONE, "2.8.13", cmd_latency_graph, "event",
      "The moments of an event as a picture.", .request = CMD_ALL_NODES, .response = CMD_RESPONSE_SPECIAL },
    { "HELP",      2, HELP, KEYS_NONE, "2.8.13", help_run, "",
      "Print this help." },
    { "HISTOGRAM", -2, ADMIN | CMD_RANDOM, KEYS_NONE, "7.0.0", cmd_latency_histogram, "[command [command ...]]",
      "How long commands took.", .request = CMD_ALL_NODES, .response = CMD_RESPONSE_SPECIAL },
    { "HISTORY",   3, ADMIN | CMD_RANDOM, KEYS_NONE, "2.8.13", cmd_latency_history, "event",
      "The moments of an event: time and milliseconds.", .request = CMD_ALL_NODES, .response = CMD_RESPONSE_SPECIAL },
    { "LATEST",    2, ADMIN | CMD_RANDOM, KEYS_NONE, "2.8.13", cmd_latency_latest, "",
      "The latest moment of each event.", .request = CMD_ALL_NODES, .response = CMD_RESPONSE_SPECIAL },
    { "RESET",    -2, ADMIN, KEYS_NONE, "2.8.13", cmd_latency_reset, "[event [event ...]]",
      "Forgets events, or all.", .request = CMD_ALL_NODES, .response = CMD_AGG_SUM },
    CMD_END
};

struct cmd_def watch_cmds[] = {
    { "LATENCY", -2, 0, KEYS_NONE, "2.8.13", NULL, "", "Moments when something took long.", .subs = latency_subs },
    { "SLOWLOG", -2, 0, KEYS_NONE, "2.2.12", NULL, "", "Commands that took long.", .subs = slowlog_subs },
    CMD_END
};
/* clang-format on */
