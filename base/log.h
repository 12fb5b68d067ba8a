/* log.h - one logfmt line an event, on standard error.
 *
 *    log_warn("listen: port is taken\tport=%u\taddr=%s", ...)        is written as
 *    t=2026-01-02T03:04:05.678Z lvl=warn src=listen msg="port is taken" port=6379 addr=127.0.0.1
 *
 * The format begins with the noun of the file that speaks; what follows a tab is fields, each one
 * `key=value` and each introduced by its own tab:  "link: refused\tpeer=%s\treason=%s".
 *
 * Order    lines of one thread in order; a line is one write(2), so lines never mix.
 * Limits   LOG_LINE_BYTES a line, cut beyond. A call site writes a burst, then one line a second,
 *          and says how many it kept to itself (suppressed=N). Nothing waits for a reader that
 *          stands still: the line is dropped and counted.
 * Secrets  are the caller's to leave out. Control characters and quotes in arguments are escaped,
 *          so no argument can forge a line or a field.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/annot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* private: what one call site remembers */
struct log_site {
    _Atomic int64_t next_ms; /* when the bucket will be full again, as in GCRA */
    _Atomic uint64_t suppressed;
};

extern _Atomic int log_level_now; /* private */

/* Below LOG_ERROR: none. */
void log_level_set(int level);

static inline bool log_is_on(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level_now, memory_order_relaxed);
}

/* Where lines go; 2 at first. Tests hand in a pipe. */
void log_fd_set(int fd);
/* Lines dropped because nobody read them. */
uint64_t log_dropped(void);

void log_write(struct log_site *site, enum log_level level, const char *fmt, ...) COLD
    PRINTF_LIKE(3, 4);

#define LOG_AT(level, ...)                                                                         \
    do {                                                                                           \
        static struct log_site log_site_here;                                                      \
        if (log_is_on(level)) {                                                                    \
            log_write(&log_site_here, level, __VA_ARGS__);                                         \
        }                                                                                          \
    } while (0)

#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)

#endif
