#include "node/keyed.h"

#include "base/mem.h"

#include <assert.h>

static void lock(struct keyed_table *t)
{
    /* Acquire: pairs with the release in unlock(). */
    while (atomic_exchange_explicit(&t->lock, 1, memory_order_acquire) != 0) {
        __builtin_ia32_pause();
    }
}

static void unlock(struct keyed_table *t)
{
    atomic_store_explicit(&t->lock, 0, memory_order_release);
}

static struct list *bucket_of(struct keyed_table *t, uint64_t hash)
{
    return &t->buckets[(hash >> 8) % KEYED_BUCKETS];
}

struct keyed_table *keyed_table_of(struct keyed_table **at)
{
    if (*at == NULL) {
        *at = mem_zalloc(sizeof(**at));
        for (unsigned i = 0; *at != NULL && i < KEYED_BUCKETS; i++) {
            list_init(&(*at)->buckets[i]);
        }
    }
    return *at;
}

void keyed_table_destroy(struct keyed_table *t)
{
    if (t != NULL) {
        assert(t->count == 0);
        mem_free(t, sizeof(*t));
    }
}

void keyed_put(struct keyed_table *t, struct keyed_node *n)
{
    lock(t);
    struct list *bucket = bucket_of(t, n->key.hash);

    list_push(BROKEN(11) ? bucket->next : bucket, &n->link);
    atomic_fetch_add_explicit(&t->count, 1, memory_order_relaxed);
    unlock(t);
}

void keyed_take(struct keyed_table *t, struct keyed_node *n)
{
    lock(t);
    if (!list_is_empty(&n->link)) {
        list_remove(&n->link);
        atomic_fetch_sub_explicit(&t->count, 1, memory_order_relaxed);
    }
    unlock(t);
}

static bool each_in(struct list *head, const struct key *key, keyed_each_fn fn, void *arg)
{
    for (struct list *l = head->next; l != head; l = l->next) {
        struct keyed_node *n = LIST_ITEM(l, struct keyed_node, link);

        if ((key == NULL || (n->key.hash == key->hash && slice_is(n->key.name, key->name))) &&
            !fn(n, arg)) {
            return false;
        }
    }
    return true;
}

void keyed_each(struct keyed_table *t, const struct key *key, keyed_each_fn fn, void *arg)
{
    bool go_on = true;

    lock(t);
    if (key != NULL) {
        (void)each_in(bucket_of(t, key->hash), key, fn, arg);
    }
    for (unsigned i = 0; key == NULL && go_on && i < KEYED_BUCKETS; i++) {
        go_on = each_in(&t->buckets[i], NULL, fn, arg);
    }
    unlock(t);
}
