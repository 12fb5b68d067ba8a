#include "base/fiber.h"

#include "base/mem.h"

#include <assert.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#endif
#if defined(HAS_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(HAS_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

enum { GUARD = 4096 };

struct fiber {
    ucontext_t inside, outside;
    char *stack; /* behind the guard */
    void (*fn)(void *arg);
    void *arg;
    bool is_done;
#if defined(HAS_ASAN)
    void *fake; /* of who resumed it */
    const void *outer_stack;
    size_t outer_bytes;
#endif
#if defined(HAS_TSAN)
    void *tsan_inside, *tsan_outside;
#endif
};

/* That this thread runs. */
static _Thread_local struct fiber *current;
/* The stack of the one that ended last: making one is three system calls and a fault for each page that it uses.
 * It stays with the thread, which here is a worker and lives as long as the process. */
static _Thread_local char *spare;

/* The sanitizers are told of each change of stacks. */
static void leave(struct fiber *f)
{
#if defined(HAS_ASAN)
    void *fake = NULL;

    __sanitizer_start_switch_fiber(f->is_done ? NULL : &fake, f->outer_stack, f->outer_bytes);
#endif
#if defined(HAS_TSAN)
    __tsan_switch_to_fiber(f->tsan_outside, 0);
#endif
    (void)swapcontext(&f->inside, &f->outside);
#if defined(HAS_ASAN)
    __sanitizer_finish_switch_fiber(fake, &f->outer_stack, &f->outer_bytes);
#endif
}

static void enter(struct fiber *f)
{
#if defined(HAS_ASAN)
    __sanitizer_start_switch_fiber(&f->fake, f->stack, FIBER_STACK);
#endif
#if defined(HAS_TSAN)
    f->tsan_outside = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->tsan_inside, 0);
#endif
    (void)swapcontext(&f->outside, &f->inside);
#if defined(HAS_ASAN)
    __sanitizer_finish_switch_fiber(f->fake, NULL, NULL);
#endif
}

static void begin(void)
{
    struct fiber *f = current;

#if defined(HAS_ASAN)
    __sanitizer_finish_switch_fiber(NULL, &f->outer_stack, &f->outer_bytes);
#endif
    f->fn(f->arg);
    f->is_done = true;
    leave(f);
    assert(false);
}

/* NULL: no memory. */
static char *stack_create(void)
{
    char *map = mmap(NULL, GUARD + FIBER_STACK, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

    if (map == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(map, GUARD, PROT_NONE) != 0) {
        (void)munmap(map, GUARD + FIBER_STACK);
        return NULL;
    }
    return map + GUARD;
}

static void stack_put(char *stack)
{
    if (stack != NULL && spare != NULL) {
        (void)munmap(stack - GUARD, GUARD + FIBER_STACK);
    } else if (stack != NULL) {
        spare = stack;
    }
}

struct fiber *fiber_create(void (*fn)(void *arg), void *arg)
{
    struct fiber *f = mem_zalloc(sizeof(*f));

    if (f == NULL) {
        return NULL;
    }
    f->stack = spare != NULL ? spare : stack_create();
    spare = NULL;
    if (f->stack == NULL || getcontext(&f->inside) != 0) {
        stack_put(f->stack);
        mem_free(f, sizeof(*f));
        return NULL;
    }
    f->fn = fn;
    f->arg = arg;
    f->inside.uc_stack.ss_sp = f->stack;
    f->inside.uc_stack.ss_size = FIBER_STACK;
    f->inside.uc_link = NULL;
    makecontext(&f->inside, begin, 0);
#if defined(HAS_TSAN)
    f->tsan_inside = __tsan_create_fiber(0);
#endif
    return f;
}

bool fiber_resume(struct fiber *f)
{
    assert(current == NULL && !f->is_done);
    current = f;
    enter(f);
    current = NULL;
    return f->is_done;
}

void fiber_pause(void)
{
    struct fiber *f = current;

    assert(f != NULL);
    leave(f);
}

void fiber_destroy(struct fiber *f)
{
    assert(f->is_done);
#if defined(HAS_TSAN)
    if (f->tsan_inside != NULL) {
        __tsan_destroy_fiber(f->tsan_inside);
    }
#endif
#if defined(HAS_ASAN)
    /* The last frames were never left. */
    __asan_unpoison_memory_region(f->stack, FIBER_STACK);
#endif
    stack_put(f->stack);
    mem_free(f, sizeof(*f));
}
