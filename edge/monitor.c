#include "edge/monitor.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/client.h"
#include "edge/conn.h"
#include "edge/options.h"
#include "edge/secret.h"

#include <time.h>

_Atomic uint32_t monitor_count;

/* The lines of a batch on their way to one worker. */
struct monitor_msg {
    struct inbox_msg msg;
    struct conn_set *to;
    size_t len;
    bool overflows; /* lines before this one were dropped */
    char bytes[];
};

void monitor_add(struct conn *c)
{
    if (!c->is_monitor) {
        c->is_monitor = true;
        list_push(&c->set->monitors, &c->monitor_link);
        conn_count(&c->set->count.monitors, 1);
        atomic_fetch_add_explicit(&monitor_count, 1, memory_order_relaxed);
    }
}

void monitor_remove(struct conn *c)
{
    if (c->is_monitor) {
        c->is_monitor = false;
        list_remove(&c->monitor_link);
        conn_count(&c->set->count.monitors, (uint64_t)-1);
        atomic_fetch_sub_explicit(&monitor_count, 1, memory_order_relaxed);
    }
}

/* As Redis' sdscatrepr. */
static void put_quoted(struct buf *b, struct slice s)
{
    static const char short_for[256] = {['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't', ['\a'] = 'a',
                                        ['\b'] = 'b', ['\\'] = '\\', ['"'] = '"'};

    if (buf_reserve(b, 4 * s.len + 2) != OK) {
        return;
    }
    buf_append_char_nofail(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.ptr[i];

        if (short_for[ch] != 0) {
            buf_append_char_nofail(b, '\\');
            buf_append_char_nofail(b, short_for[ch]);
        } else if (ch >= ' ' && ch < 127) {
            buf_append_char_nofail(b, (char)ch);
        } else {
            static const char hex[] = "0123456789abcdef";
            char x[4] = {'\\', 'x', hex[ch >> 4], hex[ch & 15]};

            buf_append_nofail(b, x, sizeof(x));
        }
    }
    buf_append_char_nofail(b, '"');
}

static void put_line(struct buf *b, const struct conn *c, const struct request *q)
{
    char addr[CONN_ADDR_MAX];
    struct timespec now;
    int err;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    conn_addr_text(&c->peer, addr);
    err = buf_printf(b, "+%lld.%06ld [0 %s]", (long long)now.tv_sec, now.tv_nsec / 1000, addr);
    for (uint32_t i = 0; err == OK && i < q->argc; i++) {
        err = buf_append_char(b, ' ');
        put_quoted(b, secret_is_argument(q->def, q->argv, q->argc, i) ? SLICE("(redacted)")
                                                                      : q->argv[i]);
    }
    (void)!buf_append(b, "\r\n", 2);
}

/* On the watchers' worker. */
static void deliver(struct inbox_msg *m)
{
    struct monitor_msg *msg = LIST_ITEM(m, struct monitor_msg, msg);
    struct conn_set *set = msg->to;
    struct list *n = set->monitors.next;

    while (n != &set->monitors) {
        struct conn *c = LIST_ITEM(n, struct conn, monitor_link);

        n = n->next;
        if (msg->overflows) {
            conn_count(&set->count.output_limit, 1);
            conn_close(c, "MONITOR fell behind");
        } else {
            conn_push(c, (struct slice){msg->bytes, msg->len}, (struct slice){NULL, 0}, 0);
        }
    }
    atomic_fetch_sub_explicit(&set->monitor_backlog, msg->len, memory_order_relaxed);
    mem_free(msg, sizeof(*msg) + msg->len);
}

static void send_lines(struct conn_set *to, struct slice lines)
{
    uint64_t behind = atomic_load_explicit(&to->monitor_backlog, memory_order_relaxed);
    bool overflows = behind + lines.len > conf_u64(&opt_output_limit_pubsub);
    size_t len = overflows ? 0 : lines.len;
    struct monitor_msg *msg = mem_alloc(sizeof(*msg) + len);

    if (msg == NULL) {
        return;
    }
    *msg = (struct monitor_msg){.msg.fn = deliver, .to = to, .len = len, .overflows = overflows};
    if (len > 0) {
        memcpy(msg->bytes, lines.ptr, len);
    }
    atomic_fetch_add_explicit(&to->monitor_backlog, len, memory_order_relaxed);
    worker_post(to->worker, &msg->msg);
}

void monitor_feed(struct conn *c, const struct request *requests, uint32_t count)
{
    struct buf lines;

    if (c->session.is_replayed) {
        return;
    }
    buf_init(&lines);
    for (uint32_t i = 0; i < count; i++) {
        if ((requests[i].def->flags & (CMD_QUIET | CMD_ADMIN)) == 0) {
            put_line(&lines, c, &requests[i]);
        }
    }
    for (uint32_t i = 0; lines.len > 0 && i < client_set_count(); i++) {
        struct conn_set *to = client_set(i);

        if (atomic_load_explicit(&to->count.monitors, memory_order_relaxed) > 0) {
            send_lines(to, buf_slice(&lines));
        }
    }
    buf_fini(&lines);
}
