#include "node/slowlog.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "edge/secret.h"
#include "node/options.h"
#include "proto/cmd.h"
#include "proto/reply.h"

#include <pthread.h>

enum { ARGS_MAX = 32, ARG_BYTES_MAX = 128 };

struct noted {
    struct list link;
    uint64_t id;
    int64_t at_s, usec;
    struct slice args[ARGS_MAX]; /* in text */
    uint32_t argc;
    struct slice peer, name; /* in text */
    struct buf text;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* All guarded by lock; the latest first. */
static struct list entries = {&entries, &entries};
static uint64_t count;
static uint64_t next_id;

static void noted_free(struct noted *n)
{
    buf_fini(&n->text);
    mem_free(n, sizeof(*n));
}

static void trim(uint64_t keep)
{
    while (count > keep) {
        struct noted *last = LIST_ITEM(entries.prev, struct noted, link);

        list_remove(&last->link);
        noted_free(last);
        count--;
    }
}

/* Appends one argument as it is shown. The text does not move: room was made for all of it. */
static struct slice put_arg(struct buf *text, struct slice arg)
{
    size_t from = text->len;
    size_t n = arg.len < ARG_BYTES_MAX ? arg.len : ARG_BYTES_MAX;

    buf_append_nofail(text, arg.ptr, n);
    if (n < arg.len) {
        (void)!buf_printf(text, "... (%zu more bytes)", arg.len - n);
    }
    return (struct slice){text->ptr + from, text->len - from};
}

static struct noted *noted_make(const struct slowlog_call *call)
{
    struct noted *n = mem_zalloc(sizeof(*n));
    uint32_t shown = call->argc <= ARGS_MAX ? call->argc : ARGS_MAX - 1;
    size_t from;

    if (n == NULL) {
        return NULL;
    }
    if (buf_reserve(&n->text, (size_t)(ARG_BYTES_MAX + 48) * (ARGS_MAX + 1) + call->peer.len +
                                  call->name.len) != 0) {
        mem_free(n, sizeof(*n));
        return NULL;
    }
    for (uint32_t i = 0; i < shown; i++) {
        bool secret = secret_is_argument(call->def, call->argv, call->argc, i);

        n->args[i] = put_arg(&n->text, secret ? SLICE("(redacted)") : call->argv[i]);
    }
    n->argc = shown;
    from = n->text.len;
    if (shown < call->argc) {
        (void)!buf_printf(&n->text, "... (%u more arguments)", call->argc - shown);
        n->args[n->argc++] = (struct slice){n->text.ptr + from, n->text.len - from};
    }
    n->peer = (struct slice){n->text.ptr + n->text.len, call->peer.len};
    buf_append_nofail(&n->text, call->peer.ptr, call->peer.len);
    n->name = (struct slice){n->text.ptr + n->text.len, call->name.len};
    buf_append_nofail(&n->text, call->name.ptr, call->name.len);
    n->at_s = clock_wall_ms() / 1000;
    n->usec = call->usec;
    return n;
}

void slowlog_note(const struct slowlog_call *call)
{
    int64_t from_usec = conf_i64(&opt_slowlog_log_slower_than);
    struct noted *n;

    if (from_usec < 0 || call->usec < from_usec || (call->def->flags & CMD_QUIET) != 0) {
        return;
    }
    n = noted_make(call);
    if (n == NULL) {
        return; /* a note less is better than an error to somebody whose command ran */
    }
    pthread_mutex_lock(&lock);
    n->id = next_id++;
    list_push_front(&entries, &n->link);
    count++;
    trim(conf_u64(&opt_slowlog_max_len));
    pthread_mutex_unlock(&lock);
}

void slowlog_reply(struct reply *r, uint64_t max)
{
    uint64_t left;

    pthread_mutex_lock(&lock);
    left = count < max ? count : max;
    reply_array(r, left);
    for (struct list *l = entries.next; left > 0; l = l->next, left--) {
        const struct noted *n = LIST_ITEM(l, struct noted, link);

        reply_array(r, 6);
        reply_int(r, (int64_t)n->id);
        reply_int(r, n->at_s);
        reply_int(r, n->usec);
        reply_array(r, n->argc);
        for (uint32_t i = 0; i < n->argc; i++) {
            reply_bulk(r, n->args[i]);
        }
        reply_bulk(r, n->peer);
        reply_bulk(r, n->name);
    }
    pthread_mutex_unlock(&lock);
}

uint64_t slowlog_count(void)
{
    uint64_t n;

    pthread_mutex_lock(&lock);
    n = count;
    pthread_mutex_unlock(&lock);
    return n;
}

void slowlog_reset(void)
{
    pthread_mutex_lock(&lock);
    trim(0);
    pthread_mutex_unlock(&lock);
}
