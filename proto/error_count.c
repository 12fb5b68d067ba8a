#include "proto/error_count.h"

#include <stdatomic.h>

struct counted {
    /* Bytes and a NUL, 8 at a time: written once, by whoever took the place. */
    char code[ERROR_CODE_BYTES + 1];
    _Atomic uint32_t state; /* 0 free, 1 being written, 2 there */
    _Atomic uint64_t count;
};

/* The last is for what has no place. */
static struct counted codes[ERROR_CODES_MAX + 1] = {
    [ERROR_CODES_MAX] = {.code = "ERRORSTATS_OVERFLOW", .state = 2}};

static struct slice code_of(struct slice reply)
{
    struct slice code = {reply.ptr, 0};

    if (reply.len > 0 && reply.ptr[0] == '-') {
        code.ptr++;
        reply.len--;
    }
    while (code.len < reply.len && code.len < ERROR_CODE_BYTES && code.ptr[code.len] > ' ' &&
           code.ptr[code.len] < 127) {
        code.len++;
    }
    return code;
}

static struct counted *place_of(struct slice code)
{
    for (unsigned i = 0; i < ERROR_CODES_MAX; i++) {
        struct counted *c = &codes[i];
        uint32_t state = atomic_load_explicit(&c->state, memory_order_acquire);

        if (state == 0 && atomic_compare_exchange_strong_explicit(
                              &c->state, &state, 1, memory_order_acquire, memory_order_acquire)) {
            memcpy(c->code, code.ptr, code.len);
            c->code[code.len] = '\0';
            /* Release: pairs with the acquires here and in error_count_at(). */
            atomic_store_explicit(&c->state, 2, memory_order_release);
            return c;
        }
        /* Another thread is writing a code, perhaps this one: a few bytes away from done. */
        while (state == 1) {
            state = atomic_load_explicit(&c->state, memory_order_acquire);
        }
        if (slice_is(slice_of(c->code), code)) {
            return c;
        }
    }
    return &codes[ERROR_CODES_MAX];
}

void error_count_note(struct slice reply)
{
    struct slice code = code_of(reply);

    if (code.len > 0) {
        /* Relaxed: a count orders nothing. */
        atomic_fetch_add_explicit(&place_of(code)->count, 1, memory_order_relaxed);
    }
}

bool error_count_at(unsigned index, const char **code, uint64_t *count)
{
    if (index > ERROR_CODES_MAX) {
        return false;
    }
    /* Acquire: pairs with the release in place_of(). */
    bool there = atomic_load_explicit(&codes[index].state, memory_order_acquire) == 2;

    *code = codes[index].code;
    *count = there ? atomic_load_explicit(&codes[index].count, memory_order_relaxed) : 0;
    return true;
}

uint64_t error_count_sum(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i <= ERROR_CODES_MAX; i++) {
        sum += atomic_load_explicit(&codes[i].count, memory_order_relaxed);
    }
    return sum;
}

void error_count_reset(void)
{
    for (unsigned i = 0; i <= ERROR_CODES_MAX; i++) {
        atomic_store_explicit(&codes[i].count, 0, memory_order_relaxed);
    }
}
