#include "edge/acl_log.h"

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include "edge/client.h"
#include "edge/conn.h"
#include "edge/options.h"
#include "proto/cmd_doc.h"
#include "proto/reply.h"

#include <pthread.h>

enum {
    ALIKE_MS = 60000, /* apart, and they are two entries; Redis' figures */
    ALIKE_LOOKED_AT = 10
};

struct entry {
    struct list link;
    uint64_t id, count;
    enum acl_verdict verdict;
    enum acl_context context;
    int64_t created_ms, updated_ms;
    struct buf object, user, client;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list entries = {&entries, &entries}; /* the youngest first. Guarded by lock */
static uint64_t entry_count, next_id;              /* guarded by lock */
static _Atomic uint64_t counts[ACL_DENIED_CHANNEL + 1];

struct acl_counts acl_counts(void)
{
    uint64_t n[ACL_DENIED_CHANNEL + 1];

    for (int i = 0; i <= ACL_DENIED_CHANNEL; i++) {
        n[i] = atomic_load_explicit(&counts[i], memory_order_relaxed);
    }
    return (struct acl_counts){.auth = n[ACL_DENIED_AUTH],
                               .cmd = n[ACL_DENIED_CMD],
                               .key = n[ACL_DENIED_KEY],
                               .channel = n[ACL_DENIED_CHANNEL]};
}

/* ---- Entries ---- */

static void entry_free(struct entry *e)
{
    buf_fini(&e->object);
    buf_fini(&e->user);
    buf_fini(&e->client);
    mem_free(e, sizeof(*e));
}

static void drop_last_locked(void)
{
    struct entry *e = LIST_ITEM(entries.prev, struct entry, link);

    list_remove(&e->link);
    entry_count--;
    entry_free(e);
}

void acl_log_reset(void)
{
    pthread_mutex_lock(&lock);
    while (entry_count > 0) {
        drop_last_locked();
    }
    pthread_mutex_unlock(&lock);
}

static bool is_alike(const struct entry *a, const struct entry *b)
{
    int64_t apart_ms = a->updated_ms - b->updated_ms;

    return a->verdict == b->verdict && a->context == b->context && apart_ms <= ALIKE_MS &&
           apart_ms >= -ALIKE_MS && slice_is(buf_slice(&a->object), buf_slice(&b->object)) &&
           slice_is(buf_slice(&a->user), buf_slice(&b->user));
}

static struct entry *find_alike_locked(const struct entry *e)
{
    int left = ALIKE_LOOKED_AT;

    for (struct list *n = entries.next; n != &entries && left-- > 0; n = n->next) {
        struct entry *old = LIST_ITEM(n, struct entry, link);

        if (is_alike(old, e)) {
            return old;
        }
    }
    return NULL;
}

static void keep(struct entry *e)
{
    struct entry *old;

    pthread_mutex_lock(&lock);
    old = find_alike_locked(e);
    if (old != NULL) {
        struct buf client = old->client;

        old->client = e->client;
        e->client = client;
        old->updated_ms = e->updated_ms;
        old->count++;
        list_remove(&old->link);
        list_push_front(&entries, &old->link);
        entry_free(e);
    } else {
        e->id = next_id++;
        list_push_front(&entries, &e->link);
        entry_count++;
        while (entry_count > conf_u64(&opt_acllog_max_len)) {
            drop_last_locked();
        }
    }
    pthread_mutex_unlock(&lock);
}

static struct slice cut(struct slice s)
{
    s.len = s.len < LIMIT_ACL_LOG_OBJECT_BYTES ? s.len : LIMIT_ACL_LOG_OBJECT_BYTES;
    return s;
}

static void note(const struct conn *c, enum acl_verdict v, enum acl_context context,
                 struct slice user, struct slice object)
{
    struct entry *e = mem_zalloc(sizeof(*e));

    atomic_fetch_add_explicit(&counts[v], 1, memory_order_relaxed);
    if (e == NULL) {
        return;
    }
    e->verdict = v;
    e->context = context;
    e->count = 1;
    e->created_ms = e->updated_ms = clock_now_ms();
    if (buf_append_slice(&e->user, cut(user)) != OK ||
        buf_append_slice(&e->object, cut(object)) != OK ||
        (c != NULL && client_line(c, &e->client) != OK)) {
        entry_free(e);
        return;
    }
    if (e->client.len > 0) {
        e->client.len--; /* its newline */
    }
    keep(e);
}

void acl_log_denied(const struct session *s, const struct acl_denied *d)
{
    const struct conn *c = s->is_connection ? conn_of((struct session *)s) : NULL;
    char name[CMD_NAME_MAX];
    struct slice object = d->argv[d->at];

    if (d->verdict == ACL_DENIED_CMD) {
        object = (struct slice){name, cmd_full_name(d->def, name)};
    }
    note(c, d->verdict, d->context, acl_name(s->user), object);
}

void acl_log_auth(const struct conn *c, struct slice user, struct slice command)
{
    note(c, ACL_DENIED_AUTH, c->multi != NULL ? ACL_IN_MULTI : ACL_AT_TOP, user, command);
}

void acl_reply_denied(struct reply *r, const struct session *s, const struct acl_denied *d,
                      const char *head)
{
    struct buf why = {0};

    acl_put_denied(&why, d->verdict, acl_name(s->user), d->def, d->argv[d->at], false);
    reply_errf(r, "%sNOPERM %.*s", head, (int)why.len, why.ptr);
    buf_fini(&why);
}

void acl_reply_denied_now(struct cmd *c)
{
    const struct acl_rules *limits = acl_limits(c->session);
    struct acl_denied d = {.context = ACL_AT_TOP,
                           .verdict = ACL_ALLOWED,
                           .def = c->def,
                           .argv = c->argv,
                           .argc = c->argc};

    if (limits != NULL) {
        d.verdict = acl_check(limits, c->def, c->argv, c->argc, &d.at);
    }
    if (d.verdict == ACL_ALLOWED) { /* again, by another change */
        reply_errf(c->reply, "UNBLOCKED the permissions of its user changed");
        return;
    }
    acl_log_denied(c->session, &d);
    acl_reply_denied(c->reply, c->session, &d, "");
}

/* ---- ACL LOG ---- */

static void put(struct reply *r, const char *name)
{
    reply_bulk(r, slice_of(name));
}

static void put_entry(struct reply *r, const struct entry *e, int64_t now_ms)
{
    static const char *const reasons[] = {
        [ACL_DENIED_CMD] = "command",
        [ACL_DENIED_KEY] = "key",
        [ACL_DENIED_AUTH] = "auth",
        [ACL_DENIED_CHANNEL] = "channel",
    };
    static const char *const contexts[] = {
        [ACL_AT_TOP] = "toplevel", [ACL_IN_MULTI] = "multi", [ACL_IN_LUA] = "lua"};

    reply_map(r, 10);
    put(r, "count");
    reply_int(r, (int64_t)e->count);
    put(r, "reason");
    put(r, reasons[e->verdict]);
    put(r, "context");
    put(r, contexts[e->context]);
    put(r, "object");
    reply_bulk(r, buf_slice(&e->object));
    put(r, "username");
    reply_bulk(r, buf_slice(&e->user));
    put(r, "age-seconds");
    reply_double(r, (double)(now_ms - e->updated_ms) / 1000);
    put(r, "client-info");
    reply_bulk(r, buf_slice(&e->client));
    put(r, "entry-id");
    reply_int(r, (int64_t)e->id);
    put(r, "timestamp-created");
    reply_int(r, e->created_ms);
    put(r, "timestamp-last-updated");
    reply_int(r, e->updated_ms);
}

void acl_log_reply(struct reply *r, uint64_t count)
{
    int64_t now_ms = clock_now_ms();
    struct list *n;

    pthread_mutex_lock(&lock);
    while (entry_count > conf_u64(&opt_acllog_max_len)) {
        drop_last_locked();
    }
    count = count < entry_count ? count : entry_count;
    reply_array(r, count);
    n = entries.next;
    for (uint64_t i = 0; i < count; i++) {
        put_entry(r, LIST_ITEM(n, struct entry, link), now_ms);
        n = n->next;
    }
    pthread_mutex_unlock(&lock);
}
