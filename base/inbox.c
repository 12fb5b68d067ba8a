#include "base/inbox.h"

bool inbox_push(struct inbox *b, struct inbox_msg *msg)
{
    struct inbox_msg *top = atomic_load_explicit(&b->top, memory_order_relaxed);

    do {
        msg->next = top;
        /* Release: pairs with the exchange in inbox_drain(). Sequentially consistent besides, so
         * that a push before the owner's last look is seen by it, and one after wakes it. */
    } while (!atomic_compare_exchange_weak_explicit(&b->top, &top, msg, memory_order_seq_cst,
                                                    memory_order_relaxed));
    return top == NULL;
}

size_t inbox_drain(struct inbox *b)
{
    struct inbox_msg *in_order = NULL;
    size_t count = 0;

    if (atomic_load_explicit(&b->top, memory_order_relaxed) == NULL) {
        return 0;
    }
    struct inbox_msg *m = atomic_exchange_explicit(&b->top, NULL, memory_order_seq_cst);

    while (m != NULL) {
        struct inbox_msg *next = m->next;

        m->next = in_order;
        in_order = m;
        m = next;
    }
    while (in_order != NULL) {
        struct inbox_msg *next = in_order->next;

        in_order->fn(in_order);
        in_order = next;
        count++;
    }
    return count;
}
