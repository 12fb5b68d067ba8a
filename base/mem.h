/* mem.h - the only way to allocate.
 *
 * Whoever frees says how large the block was, so that nothing has to be looked up; mem_size() tells
 * what a block of that length really takes, by the allocator's size classes, which is what is
 * charged to a database.
 *
 * Failure  NULL; tests inject it (base/fault.h). mem_must() is for start-up, where failure ends the
 *          process.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/annot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

MUST_CHECK void *mem_alloc(size_t bytes);
MUST_CHECK void *mem_zalloc(size_t bytes);
/* Aligned to 64 bytes, zeroed. mem_lines(bytes) has to be of the size class of `bytes`, by which it is freed. */
MUST_CHECK void *mem_alloc_lines(size_t bytes);
MUST_CHECK void *mem_realloc(void *p, size_t old_bytes, size_t new_bytes);
/* Whether a block of this length grows without being copied. */
bool mem_is_mapped(size_t bytes);
void mem_free(void *p, size_t bytes);
void *mem_must(size_t bytes);

/* What jemalloc takes for a block of this length: four classes for each doubling, 16 apart at
 * first (jemalloc's size_classes, lg-group 2). */
static inline size_t mem_size(size_t bytes)
{
    if (bytes <= 128) {
        return bytes <= 8 ? 8 : (bytes + 15) & ~(size_t)15;
    }
    size_t step = (size_t)1 << (61 - __builtin_clzl(bytes - 1));

    return (bytes + step - 1) & ~(step - 1);
}

/* The same in whole lines of 64 bytes. */
static inline size_t mem_lines(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* Gives this thread stacks of small blocks, for threads that allocate and free all the time; what they
 * hold is at most a few MiB. Without, or without memory for them, everything is the allocator's. */
void mem_thread_start(void);
void mem_thread_stop(void);

/* Bytes that the allocator holds from the system and that are in use, for INFO; 0 where unknown. */
struct mem_stats {
    uint64_t allocated, active, resident, mapped;
};
void mem_stats(struct mem_stats *out);
/* Gives unused pages back to the system. */
void mem_purge(void);

#endif
