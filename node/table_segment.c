#include "node/table_segment.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/rcu.h"

#include <sched.h>

enum { OVERFLOW_MAX = 1 << 15 };

static size_t overflow_bytes(uint32_t cap)
{
    return (size_t)cap * sizeof(word);
}

struct segment *table_segment_create(uint32_t buckets, uint32_t depth)
{
    struct segment *s = mem_alloc_lines(table_segment_bytes(buckets));

    if (s != NULL) {
        s->buckets = buckets;
        s->depth = depth;
    }
    return s;
}

void table_segment_drop(struct segment *s)
{
    if (s == NULL) {
        return;
    }
    for (uint32_t i = 0; i < s->buckets; i++) {
        uintptr_t w = atomic_load_explicit(&s->b[i].w[LAST], memory_order_relaxed);

        if ((w & LINK) != 0) {
            mem_free(link_words(w), overflow_bytes(link_cap(w)));
        }
    }
    mem_free(s, table_segment_bytes(s->buckets));
}

size_t table_segment_footprint(const struct segment *s)
{
    size_t bytes = mem_size(table_segment_bytes(s->buckets));

    for (uint32_t i = 0; i < s->buckets; i++) {
        uintptr_t w = atomic_load_explicit(&s->b[i].w[LAST], memory_order_relaxed);

        if ((w & LINK) != 0) {
            bytes += mem_size(overflow_bytes(link_cap(w)));
        }
    }
    return bytes;
}

bool table_segment_free(void *object, size_t *budget)
{
    table_segment_drop(object);
    *budget -= *budget > 16 ? 16 : *budget;
    return true;
}

static int overflow_create(uint32_t cap, uintptr_t *link)
{
    word *o = mem_zalloc(overflow_bytes(cap));

    if (o == NULL) {
        return ERR_NOMEM;
    }
    *link = (uintptr_t)o | LINK | ((uintptr_t)cap << TAG_SHIFT);
    return OK;
}

/* An empty word of a chain, or NULL. */
static word *empty_in(word *o, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (atomic_load_explicit(&o[i], memory_order_relaxed) == 0) {
            return &o[i];
        }
    }
    return NULL;
}

int table_bucket_put(struct table_stats *st, struct bucket *b, uintptr_t w, bool seen)
{
    uintptr_t last = atomic_load_explicit(&b->w[LAST], memory_order_relaxed);
    bool linked = (last & LINK) != 0;
    word *at = empty_in(b->w, linked ? LAST : SLOTS);

    if (at == NULL && linked) {
        at = empty_in(link_words(last), link_cap(last));
    }
    if (at != NULL) {
        atomic_store_explicit(at, w, memory_order_release);
        return OK;
    }
    uint32_t old_cap = linked ? link_cap(last) : 0;
    uint32_t cap = linked ? old_cap * 2 : 2;
    uintptr_t link;

    if (cap > OVERFLOW_MAX || overflow_create(cap, &link) != OK) {
        return ERR_NOMEM;
    }
    word *o = link_words(link);

    if (linked) {
        if (seen && rcu_reserve(1) != OK) {
            mem_free(o, overflow_bytes(cap));
            return ERR_NOMEM;
        }
        for (uint32_t i = 0; i < old_cap; i++) {
            atomic_store_explicit(&o[i],
                                  atomic_load_explicit(&link_words(last)[i], memory_order_relaxed),
                                  memory_order_relaxed);
        }
        atomic_store_explicit(&o[old_cap], w, memory_order_relaxed);
    } else {
        /* T1: the eighth moves behind the word that it stood in. */
        atomic_store_explicit(&o[0], last, memory_order_relaxed);
        atomic_store_explicit(&o[1], w, memory_order_relaxed);
    }
    if (BROKEN(6) && seen) {
        atomic_store_explicit(&b->w[LAST], 0, memory_order_release);
        sched_yield();
    }
    /* Release: the overflow is complete before the word points to it. */
    atomic_store_explicit(&b->w[LAST], link, memory_order_release);
    st->bytes += mem_size(overflow_bytes(cap));
    if (linked) {
        st->bytes -= mem_size(overflow_bytes(old_cap));
        if (seen) {
            rcu_retire(link_words(last), overflow_bytes(old_cap));
        } else {
            mem_free(link_words(last), overflow_bytes(old_cap));
        }
    }
    return OK;
}

void table_bucket_each(const struct bucket *b, word_fn fn, void *arg)
{
    for (int i = 0; i < SLOTS; i++) {
        uintptr_t w = atomic_load_explicit(&b->w[i], memory_order_acquire);

        if ((w & LINK) != 0) {
            for (uint32_t k = 0, n = link_cap(w); k < n; k++) {
                uintptr_t o = atomic_load_explicit(&link_words(w)[k], memory_order_acquire);

                if (o != 0) {
                    fn(o, arg);
                }
            }
        } else if (w != 0) {
            fn(w, arg);
        }
    }
}
