/* annot.h - what a function needs from its caller, in a form that clang's thread-safety analysis
 * checks (make lint) and other compilers ignore.
 *
 * Roles: worker (owns connections, never blocks), background (may block), RCU callback, main.
 */
#ifndef BASE_ANNOT_H
#define BASE_ANNOT_H

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NO_RETURN              __attribute__((noreturn))
#define HOT                    __attribute__((hot))
#define COLD                   __attribute__((cold, noinline))
#define LIKELY(x)              __builtin_expect(!!(x), 1)
#define UNLIKELY(x)            __builtin_expect(!!(x), 0)

#if defined(__clang__)
#define GODWIT_TSA(x) __attribute__((x))
#else
#define GODWIT_TSA(x)
#endif

/* A lock type; HOLDS_* ask for it, TAKES and DROPS change it. */
#define LOCKABLE           GODWIT_TSA(capability("mutex"))
#define HOLDS_WRITE(...)   GODWIT_TSA(requires_capability(__VA_ARGS__))
#define HOLDS_READ(...)    GODWIT_TSA(requires_shared_capability(__VA_ARGS__))
#define TAKES(...)         GODWIT_TSA(acquire_capability(__VA_ARGS__))
#define TAKES_IF(...)      GODWIT_TSA(try_acquire_capability(__VA_ARGS__))
#define DROPS(...)         GODWIT_TSA(release_capability(__VA_ARGS__))
#define TAKES_READ(...)    GODWIT_TSA(acquire_shared_capability(__VA_ARGS__))
#define TAKES_READ_IF(...) GODWIT_TSA(try_acquire_shared_capability(__VA_ARGS__))
#define DROPS_READ(...)    GODWIT_TSA(release_shared_capability(__VA_ARGS__))
/* Where locks are taken by a loop or a mask, which the analysis cannot follow. */
#define UNCHECKED_LOCKS    GODWIT_TSA(no_thread_safety_analysis)

/* Thread roles are documentation that a reader and tidy.js look at. */
#define ON_WORKER
#define ON_BG
#define ON_ANY

/* A guard left out on purpose, by number, in the builds that `make prop-broken` expects to fail. */
#if defined(GODWIT_BREAK)
#define BROKEN(n) (GODWIT_BREAK == (n))
#else
#define BROKEN(n) 0
#endif

#endif
