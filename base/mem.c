#include "base/mem.h"

#include "base/fault.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAVE_JEMALLOC 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define HAVE_JEMALLOC 0
#else
#define HAVE_JEMALLOC 1
#endif
#else
#define HAVE_JEMALLOC 1
#endif

#if HAVE_JEMALLOC
#include <jemalloc/jemalloc.h>
/* One arena a core is enough for threads that rarely free each other's memory; dirty pages go back
 * after ten seconds without a thread of jemalloc's own. Blocks of 14 KiB lie sixteen together, not two: what
 * jemalloc keeps of each run of blocks, 128 bytes, is then a sixteenth of a percent of a long list's chunks. */
const char *malloc_conf =
    "background_thread:false,dirty_decay_ms:10000,muzzy_decay_ms:0,slab_sizes:14336-14336:56";
#endif

#if !defined(GODWIT_RELEASE)
static _Thread_local int fault_left;
static _Thread_local int fault_passed;

bool fault_here(void)
{
    fault_passed++;
    return fault_left > 0 && --fault_left == 0;
}

void fault_fail_nth(int nth)
{
    fault_left = nth;
    fault_passed = 0;
}

int fault_off(void)
{
    fault_left = 0;
    return fault_passed;
}

/* What is read before it was written shall be noticed: no memory is zero by luck. */
static void *spoiled(void *p, size_t bytes)
{
    enum { MOST = 64 << 10 };

    if (p != NULL) {
        memset(p, 0xa5, bytes < MOST ? bytes : MOST);
    }
    return p;
}
#else
static inline void *spoiled(void *p, size_t bytes)
{
    (void)bytes;
    return p;
}

void fault_fail_nth(int nth)
{
    (void)nth;
}

int fault_off(void)
{
    return 0;
}
#endif

#if HAVE_JEMALLOC
/* A block that is freed by another length than it was made with goes to blocks of that length, and is handed out
 * as one: what is nobody's fault any more when it shows. Nothing is checked in release. */
static inline void check_length(const void *p, size_t bytes)
{
#if !defined(GODWIT_RELEASE)
    assert(mem_is_mapped(bytes) || sallocx(p, 0) == mem_size(bytes));
#else
    (void)p, (void)bytes;
#endif
}
#endif

/* ---- Small blocks: a stack a size and thread ----
 *
 * What a grace period gives back comes in hundreds at once, more than the allocator's own cache takes,
 * and was last touched long ago. A stack takes them all, and fetches the block that will be handed
 * out next while the present one is being used: a SET of 64 bytes costs 0.2 us less (bench set). */
#if HAVE_JEMALLOC
enum { SMALL_MAX = 512, SMALL_STEP = 16, SMALL_CLASSES = SMALL_MAX / SMALL_STEP + 1, STACK = 4096 };

struct stack {
    uint32_t count;
    void *blocks[STACK];
};

/* Only threads that asked for them (mem_thread_start) have stacks. */
static _Thread_local struct stack *stacks;

static inline void *small_alloc(size_t bytes)
{
    struct stack *s = &stacks[mem_size(bytes) / SMALL_STEP];

    if (s->count == 0) {
        return malloc(bytes);
    }
    void *p = s->blocks[--s->count];

    if (s->count > 0) {
        __builtin_prefetch(s->blocks[s->count - 1], 1);
        __builtin_prefetch((char *)s->blocks[s->count - 1] + 64, 1);
    }
    return p;
}

static void small_give_back(struct stack *s, size_t bytes, uint32_t keep)
{
    while (s->count > keep) {
        sdallocx(s->blocks[--s->count], bytes, 0);
    }
}

static inline void small_free(void *p, size_t bytes)
{
    size_t size = mem_size(bytes);
    struct stack *s = &stacks[size / SMALL_STEP];

    if (UNLIKELY(s->count == STACK)) {
        small_give_back(s, size, STACK / 2);
    }
    s->blocks[s->count++] = p;
}

void mem_thread_start(void)
{
    stacks = calloc(SMALL_CLASSES, sizeof(*stacks));
}

void mem_thread_stop(void)
{
    for (size_t i = 1; stacks != NULL && i < SMALL_CLASSES; i++) {
        small_give_back(&stacks[i], i * SMALL_STEP, 0);
    }
    free(stacks);
    stacks = NULL;
}

static inline bool is_small(size_t bytes)
{
    return bytes <= SMALL_MAX && bytes > 8 && stacks != NULL;
}
#else
void mem_thread_start(void)
{
}

void mem_thread_stop(void)
{
}
#endif

/* ---- Large blocks: maps of their own ----
 *
 * A reply or a list of what a section did that grows to a hundred megabytes would be copied at each growth, and
 * the allocator's new block faulted in page by page: that held a worker for a tenth of a second. A map grows
 * by moving its page tables, some microseconds a megabyte, and takes its memory by huge pages where it has
 * room for one, a fault for each 2 MiB that are written to. The sanitizers see nothing of a map, so with them
 * there are none. */
#if HAVE_JEMALLOC
enum { MAPPED_FROM = 1 << 20 /* what is longer */, HUGE_FROM = 4 << 20 };

static _Atomic uint64_t mapped_bytes;

bool mem_is_mapped(size_t bytes)
{
    return UNLIKELY(bytes > MAPPED_FROM);
}

static void map_count(size_t more, size_t less)
{
    atomic_fetch_add_explicit(&mapped_bytes, (uint64_t)more - less, memory_order_relaxed);
}

/* By the size classes, whose ends are whole pages here. Zeroed. */
static void *map_create(size_t bytes)
{
    size_t len = bytes > SIZE_MAX / 2 ? bytes : mem_size(bytes);
    void *p =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        return NULL;
    }
    if (len >= HUGE_FROM) {
        (void)madvise(p, len, MADV_HUGEPAGE);
    }
    map_count(len, 0);
    return p;
}

static void map_destroy(void *p, size_t bytes)
{
    size_t len = mem_size(bytes);

    if (munmap(p, len) != 0) {
        (void)madvise(p, len,
                      MADV_DONTNEED); /* too many maps; the addresses are lost, not the memory */
    }
    map_count(0, len);
}

static void *map_resize(void *p, size_t old_bytes, size_t new_bytes)
{
    size_t was = mem_size(old_bytes);
    size_t len = new_bytes > SIZE_MAX / 2 ? new_bytes : mem_size(new_bytes);

    if (len == was) {
        return p;
    }
    p = mremap(p, was, len, MREMAP_MAYMOVE);
    if (p == MAP_FAILED) {
        return NULL;
    }
    if (was < HUGE_FROM && len >= HUGE_FROM) {
        (void)madvise(p, len, MADV_HUGEPAGE);
    }
    map_count(len, was);
    return p;
}

/* From one of the two kinds to the other. */
static void *change_kind(void *p, size_t old_bytes, size_t new_bytes)
{
    void *now = mem_is_mapped(new_bytes) ? map_create(new_bytes) : malloc(new_bytes);

    if (now != NULL) {
        memcpy(now, p, old_bytes < new_bytes ? old_bytes : new_bytes);
        mem_free(p, old_bytes);
    }
    return now;
}
#else
bool mem_is_mapped(size_t bytes)
{
    (void)bytes;
    return false;
}
#endif

void *mem_alloc(size_t bytes)
{
    if (fault_here()) {
        return NULL;
    }
#if HAVE_JEMALLOC
    if (mem_is_mapped(bytes)) {
        return map_create(bytes);
    }
    if (is_small(bytes)) {
        return spoiled(small_alloc(bytes), bytes);
    }
#endif
    return spoiled(malloc(bytes), bytes);
}

void *mem_zalloc(size_t bytes)
{
    if (fault_here()) {
        return NULL;
    }
#if HAVE_JEMALLOC
    if (mem_is_mapped(bytes)) {
        return map_create(bytes);
    }
    if (is_small(bytes)) {
        void *p = small_alloc(bytes);

        return p == NULL ? NULL : memset(p, 0, bytes);
    }
#endif
    return calloc(1, bytes);
}

void *mem_alloc_lines(size_t bytes)
{
    assert(mem_size(mem_lines(bytes)) == mem_size(bytes)); /* what mem_free() takes it for */
    if (fault_here()) {
        return NULL;
    }
#if HAVE_JEMALLOC
    if (mem_is_mapped(bytes)) {
        return map_create(bytes);
    }
#endif
    void *p = aligned_alloc(64, mem_lines(bytes));

    if (p != NULL) {
        memset(p, 0, bytes);
    }
    return p;
}

void *mem_realloc(void *p, size_t old_bytes, size_t new_bytes)
{
    (void)old_bytes;
    if (fault_here()) {
        return NULL;
    }
#if HAVE_JEMALLOC
    if (p == NULL && is_small(new_bytes)) {
        return spoiled(small_alloc(new_bytes), new_bytes);
    }
    bool was_mapped = p != NULL && mem_is_mapped(old_bytes);

    if (p != NULL) {
        check_length(p, old_bytes);
    }
    if (UNLIKELY(was_mapped && mem_is_mapped(new_bytes))) {
        return map_resize(p, old_bytes, new_bytes);
    }
    if (UNLIKELY(was_mapped != mem_is_mapped(new_bytes))) {
        return p == NULL ? map_create(new_bytes) : change_kind(p, old_bytes, new_bytes);
    }
#endif
    return realloc(p, new_bytes);
}

void mem_free(void *p, size_t bytes)
{
    if (p == NULL) {
        return;
    }
#if HAVE_JEMALLOC
    check_length(p, bytes);
    if (is_small(bytes)) {
        small_free(p, bytes);
        return;
    }
    if (mem_is_mapped(bytes)) {
        map_destroy(p, bytes);
        return;
    }
    sdallocx(p, bytes == 0 ? 1 : bytes, 0);
#else
    (void)bytes;
    free(p);
#endif
}

void *mem_must(size_t bytes)
{
    void *p = calloc(1, bytes);

    if (p == NULL) {
        (void)fputs("godwit: out of memory at start\n", stderr);
        abort();
    }
    return p;
}

void mem_stats(struct mem_stats *out)
{
    memset(out, 0, sizeof(*out));
#if HAVE_JEMALLOC
    uint64_t epoch = 1;
    size_t len = sizeof(epoch);

    (void)mallctl("epoch", &epoch, &len, &epoch, len);
    len = sizeof(out->allocated);
    (void)mallctl("stats.allocated", &out->allocated, &len, NULL, 0);
    (void)mallctl("stats.active", &out->active, &len, NULL, 0);
    (void)mallctl("stats.resident", &out->resident, &len, NULL, 0);
    (void)mallctl("stats.mapped", &out->mapped, &len, NULL, 0);
    uint64_t maps = atomic_load_explicit(&mapped_bytes, memory_order_relaxed);

    out->allocated += maps;
    out->active += maps;
    out->resident += maps; /* at most */
    out->mapped += maps;
#endif
}

void mem_purge(void)
{
#if HAVE_JEMALLOC
    (void)mallctl("arena.4096.purge", NULL, NULL, NULL, 0);
#endif
}
