#include "base/log.h"

#include "base/buf.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* PIPE_BUF: a pipe that poll() calls writable takes this much in one piece without waiting. */
#define LOG_LINE_BYTES 4096
#define LOG_FIELDS_MAX 12
#define LOG_BURST      20
#define LOG_REFILL_MS  INT64_C(1000)

_Atomic int log_level_now = LOG_INFO;
static _Atomic int log_fd = STDERR_FILENO;
static _Atomic uint64_t dropped;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* A line under construction; what does not fit is left out, and the end is kept for the newline. */
struct line {
    char text[LOG_LINE_BYTES];
    size_t len;
};

void log_level_set(int level)
{
    atomic_store_explicit(&log_level_now, level, memory_order_relaxed);
}

void log_fd_set(int fd)
{
    atomic_store_explicit(&log_fd, fd, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

static void put(struct line *l, struct slice s)
{
    size_t room = LOG_LINE_BYTES - 1 - l->len;
    size_t n = s.len < room ? s.len : room;

    if (n > 0) {
        memcpy(l->text + l->len, s.ptr, n);
        l->len += n;
    }
}

static bool needs_quotes(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) {
            return true;
        }
    }
    return s.len == 0;
}

static void put_quoted(struct line *l, struct slice s)
{
    static const char hex[] = "0123456789abcdef";

    put(l, SLICE("\""));
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        char escaped[4] = {'\\', (char)c, 0, 0};
        size_t n = 2;

        if (c == '\n' || c == '\r' || c == '\t') {
            escaped[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
        } else if (c < ' ' || c == 0x7f) {
            escaped[1] = 'x';
            escaped[2] = hex[c >> 4];
            escaped[3] = hex[c & 15];
            n = 4;
        } else if (c != '"' && c != '\\') {
            put(l, (struct slice){s.ptr + i, 1});
            continue;
        }
        if (l->len + n + 2 > LOG_LINE_BYTES) {
            break; /* half an escape would swallow the quote */
        }
        put(l, (struct slice){escaped, n});
    }
    if (l->len > LOG_LINE_BYTES - 2) {
        l->len = LOG_LINE_BYTES - 2;
    }
    put(l, SLICE("\""));
}

static void put_value(struct line *l, struct slice s)
{
    if (needs_quotes(s)) {
        put_quoted(l, s);
    } else {
        put(l, s);
    }
}

static void put_u64(struct line *l, uint64_t n)
{
    char digits[BUF_I64_MAX];

    put(l, (struct slice){digits, buf_put_u64(digits, n)});
}

static void put_head(struct line *l, enum log_level level)
{
    struct timespec now;
    struct tm tm;
    char text[64];
    int n;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    n = snprintf(text, sizeof(text), "t=%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ lvl=%s",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                 now.tv_nsec / 1000000, level_names[level]);
    if (n > 0) {
        put(l, (struct slice){text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1});
    }
}

/* How long the noun at the format's start is; 0 if it has none. */
static size_t noun_len(const char *fmt)
{
    size_t n = strspn(fmt, "abcdefghijklmnopqrstuvwxyz0123456789_/");

    return n > 0 && fmt[n] == ':' && fmt[n + 1] == ' ' ? n : 0;
}

/* Where each field starts in the formatted text: a tab that is an argument's must not count, so the
 * format's own parts are formatted up to each of its tabs and measured. */
static size_t cut_at(const char *fmt, size_t fmt_len, va_list args)
{
    char part[512];
    va_list again;
    int n;

    if (fmt_len >= sizeof(part)) {
        return SIZE_MAX;
    }
    memcpy(part, fmt, fmt_len);
    part[fmt_len] = '\0';
    va_copy(again, args);
    n = vsnprintf(NULL, 0, part, again);
    va_end(again);
    return n < 0 ? SIZE_MAX : (size_t)n;
}

static void put_field(struct line *l, struct slice field)
{
    const char *eq = memchr(field.ptr, '=', field.len);
    size_t key = eq == NULL ? 0 : (size_t)(eq - field.ptr) + 1;

    put(l, SLICE(" "));
    put(l, (struct slice){field.ptr, key});
    put_value(l, (struct slice){field.ptr + key, field.len - key});
}

static void put_event(struct line *l, const char *fmt, va_list args)
{
    char text[LOG_LINE_BYTES];
    size_t noun = noun_len(fmt);
    size_t at = noun > 0 ? noun + 2 : 0;
    const char *tab = strchr(fmt, '\t');
    va_list again;
    size_t len, end;
    int n;

    va_copy(again, args);
    n = vsnprintf(text, sizeof(text), fmt, again);
    va_end(again);
    len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    at = at < len ? at : len;
    if (noun > 0) {
        put(l, SLICE(" src="));
        put(l, (struct slice){fmt, noun});
    }
    end = tab == NULL ? len : cut_at(fmt, (size_t)(tab - fmt), args);
    end = end < len ? end : len;
    put(l, SLICE(" msg="));
    put_quoted(l, (struct slice){text + at, end > at ? end - at : 0});
    for (int i = 0; tab != NULL && end < len && i < LOG_FIELDS_MAX; i++) {
        at = end + 1;
        tab = strchr(tab + 1, '\t');
        end = tab == NULL ? len : cut_at(fmt, (size_t)(tab - fmt), args);
        end = end < len ? end : len;
        put_field(l, (struct slice){text + at, end > at ? end - at : 0});
    }
}

/* GCRA: the bucket's debt is a moment in time, so a call site needs one word. True if the line may
 * be written; *suppressed then is how many were not since the last one. */
static bool site_admits(struct log_site *site, uint64_t *suppressed)
{
    struct timespec ts;
    int64_t now_ms, next, base;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    now_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
    /* Relaxed: the words guard nothing but themselves. */
    next = atomic_load_explicit(&site->next_ms, memory_order_relaxed);
    do {
        base = next > now_ms ? next : now_ms;
        if (base - now_ms > (LOG_BURST - 1) * LOG_REFILL_MS) {
            atomic_fetch_add_explicit(&site->suppressed, 1, memory_order_relaxed);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&site->next_ms, &next, base + LOG_REFILL_MS,
                                                    memory_order_relaxed, memory_order_relaxed));
    *suppressed = atomic_exchange_explicit(&site->suppressed, 0, memory_order_relaxed);
    return true;
}

static void send_line(const struct line *l)
{
    struct pollfd p = {.fd = atomic_load_explicit(&log_fd, memory_order_relaxed),
                       .events = POLLOUT};

    /* A pipe whose reader stands still must not stop a worker. */
    if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0 ||
        write(p.fd, l->text, l->len) != (ssize_t)l->len) {
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    }
}

void log_write(struct log_site *site, enum log_level level, const char *fmt, ...)
{
    int saved_errno = errno; /* for %m, and for the caller after us */
    uint64_t suppressed = 0;
    struct line l;
    va_list args;

    if (!site_admits(site, &suppressed)) {
        return;
    }
    l.len = 0;
    put_head(&l, level);
    errno = saved_errno;
    va_start(args, fmt);
    put_event(&l, fmt, args);
    va_end(args);
    if (suppressed > 0) {
        put(&l, SLICE(" suppressed="));
        put_u64(&l, suppressed);
    }
    l.text[l.len++] = '\n';
    send_line(&l);
    errno = saved_errno;
}
