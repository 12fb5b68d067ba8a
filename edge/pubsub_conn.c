/* pubsub_conn.c - what a connection listens to: its subscriptions by name, each in its channel's seat. */
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "edge/conn.h"
#include "edge/pubsub_parts.h"

#include <assert.h>

struct conn_subs {
    struct sub **buckets;
    uint32_t cap, count;
    uint32_t counts[PUBSUB_KINDS];
    uint64_t bytes;
};

_Atomic uint64_t pubsub_subscriptions_all;

static struct sub **sub_place(struct conn_subs *own, enum pubsub_kind kind, struct slice name,
                              uint64_t hash)
{
    struct sub **at = &own->buckets[hash & (own->cap - 1)];

    while (*at != NULL && !pubsub_is_channel((*at)->seat->channel, kind, name, hash)) {
        at = &(*at)->next;
    }
    return at;
}

static bool subs_grow(struct conn_subs *own)
{
    uint32_t cap = own->cap == 0 ? PUBSUB_BUCKETS_FIRST : own->cap * 2;
    struct sub **buckets;

    if (own->count < own->cap || (buckets = mem_zalloc(cap * sizeof(struct sub *))) == NULL) {
        return own->cap > 0;
    }
    for (uint32_t i = 0; i < own->cap; i++) {
        struct sub *next;

        for (struct sub *sub = own->buckets[i]; sub != NULL; sub = next) {
            uint32_t to = (uint32_t)sub->seat->channel->hash & (cap - 1);

            next = sub->next;
            sub->next = buckets[to];
            buckets[to] = sub;
        }
    }
    mem_free(own->buckets, own->cap * sizeof(struct sub *));
    own->buckets = buckets;
    own->cap = cap;
    return true;
}

static void subs_free(struct conn *c)
{
    mem_free(c->subs->buckets, c->subs->cap * sizeof(struct sub *));
    mem_free(c->subs, sizeof(*c->subs));
    c->subs = NULL;
}

static bool subs_make(struct conn *c)
{
    if (c->subs == NULL) {
        c->subs = mem_zalloc(sizeof(*c->subs));
    }
    return c->subs != NULL && subs_grow(c->subs);
}

/* Of one subscription: what it adds to the connection's account. */
static uint64_t weight(size_t name_len)
{
    return sizeof(struct sub) + sizeof(struct seat) + sizeof(struct channel) + 2 * name_len;
}

int pubsub_join(struct conn *c, enum pubsub_kind kind, struct slice name)
{
    uint64_t hash = pubsub_hash(kind, name);
    struct space *s = pubsub_space_make(c->session.db);
    struct sub *sub = NULL;
    int err = ERR_NOMEM;

    if (s == NULL || !subs_make(c)) {
        goto fail;
    }
    struct sub **at = sub_place(c->subs, kind, name, hash);

    if (*at != NULL) {
        return OK;
    }
    if (c->subs->bytes + weight(name.len) > LIMIT_SUBSCRIPTION_BYTES) {
        err = ERR_LIMIT;
        goto fail;
    }
    sub = mem_zalloc(sizeof(*sub));
    if (sub == NULL ||
        (sub->seat = pubsub_arrive(s, c->set, kind, name, hash, &sub->arrival)) == NULL) {
        goto fail;
    }
    sub->conn = c;
    list_push(&sub->seat->subs, &sub->link);
    *at = sub;
    c->subs->count++;
    c->subs->counts[kind]++;
    c->subs->bytes += weight(name.len);
    atomic_fetch_add_explicit(&pubsub_subscriptions_all, 1, memory_order_relaxed);
    return OK;

fail:
    mem_free(sub, sizeof(*sub));
    if (c->subs != NULL && c->subs->count == 0) {
        subs_free(c);
    }
    return err;
}

static void sub_drop(struct conn *c, struct sub **at)
{
    struct sub *sub = *at;

    *at = sub->next;
    list_remove(&sub->link);
    c->subs->count--;
    c->subs->counts[sub->seat->channel->kind]--;
    c->subs->bytes -= weight(sub->seat->channel->name_len);
    atomic_fetch_sub_explicit(&pubsub_subscriptions_all, 1, memory_order_relaxed);
    pubsub_depart(sub->seat);
    mem_free(sub, sizeof(*sub));
    if (c->subs->count == 0) {
        subs_free(c);
    }
}

bool pubsub_leave(struct conn *c, enum pubsub_kind kind, struct slice name)
{
    struct sub **at;

    if (c->subs == NULL) {
        return false;
    }
    at = sub_place(c->subs, kind, name, pubsub_hash(kind, name));
    if (*at == NULL) {
        return false;
    }
    sub_drop(c, at);
    return true;
}

/* The first of the kind, or of any; buckets before *from hold none. */
static struct sub **sub_any(struct conn_subs *own, enum pubsub_kind kind, uint32_t *from)
{
    for (; *from < own->cap; (*from)++) {
        struct sub **at = &own->buckets[*from];

        while (*at != NULL && kind != PUBSUB_KINDS && (*at)->seat->channel->kind != kind) {
            at = &(*at)->next;
        }
        if (*at != NULL) {
            return at;
        }
    }
    return NULL;
}

int pubsub_leave_one(struct conn *c, enum pubsub_kind kind, uint32_t *from, struct buf *name)
{
    assert(pubsub_subscriptions(c, kind) > 0);
    struct sub **at = sub_any(c->subs, kind, from);

    if (buf_append_slice(name, pubsub_name((*at)->seat->channel)) != OK) {
        return ERR_NOMEM;
    }
    sub_drop(c, at);
    return OK;
}

bool pubsub_each(const struct conn *c,
                 bool (*fn)(enum pubsub_kind kind, struct slice name, void *arg), void *arg)
{
    for (uint32_t i = 0; c->subs != NULL && i < c->subs->cap; i++) {
        for (const struct sub *sub = c->subs->buckets[i]; sub != NULL; sub = sub->next) {
            const struct channel *ch = sub->seat->channel;

            if (!fn(ch->kind, pubsub_name(ch), arg)) {
                return false;
            }
        }
    }
    return true;
}

void pubsub_leave_all(struct conn *c)
{
    uint32_t from = 0;

    while (c->subs != NULL) {
        sub_drop(c, sub_any(c->subs, PUBSUB_KINDS, &from));
    }
}

uint32_t pubsub_subscriptions(const struct conn *c, enum pubsub_kind kind)
{
    return c->subs == NULL ? 0 : c->subs->counts[kind];
}

uint64_t pubsub_bytes(const struct conn *c)
{
    return c->subs == NULL ? 0 : c->subs->bytes;
}
