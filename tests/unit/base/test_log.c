#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "tests/lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int pipe_fds[2];

static void begin(void)
{
    CU_ASSERT_EQUAL_FATAL(pipe2(pipe_fds, O_NONBLOCK), 0);
    log_fd_set(pipe_fds[1]);
    log_level_set(LOG_INFO);
}

/* What was logged since begin(), as a C string of the caller's. */
static size_t end(char *out, size_t most)
{
    ssize_t n = 0, got;

    log_fd_set(STDERR_FILENO);
    close(pipe_fds[1]);
    while ((got = read(pipe_fds[0], out + n, most - 1 - (size_t)n)) > 0) {
        n += got;
    }
    close(pipe_fds[0]);
    out[n] = '\0';
    return (size_t)n;
}

/* The line without its time. */
static const char *behind_time(const char *line)
{
    const char *p = strstr(line, " lvl=");

    return p == NULL ? "" : p + 1;
}

static void a_line_is_logfmt(void)
{
    char text[8192];

    begin();
    log_warn("listen: port is taken\tport=%u\taddr=%s", 6379u, "127.0.0.1");
    end(text, sizeof(text));
    CU_ASSERT_STRING_EQUAL(behind_time(text), "lvl=warn src=listen msg=\"port is taken\" port=6379 "
                                              "addr=127.0.0.1\n");
    CU_ASSERT_EQUAL(strncmp(text, "t=2", 3), 0);
    CU_ASSERT_EQUAL(text[27 - 2], 'Z'); /* t=2026-01-02T03:04:05.678Z */
}

/* A client's bytes must not look like another field or another line. */
static void arguments_cannot_forge(void)
{
    char text[8192];

    begin();
    log_error("door: said \"%s\"\tname=%s\tlast=%d", "a\nlvl=info\tx=1", "b\tlast=9 \x01\"", 3);
    end(text, sizeof(text));
    CU_ASSERT_STRING_EQUAL(behind_time(text),
                           "lvl=error src=door msg=\"said \\\"a\\nlvl=info\\tx=1\\\"\" "
                           "name=\"b\\tlast=9 \\x01\\\"\" last=3\n");
}

static void a_format_without_a_noun_has_no_source(void)
{
    char text[8192];

    begin();
    log_info("Plain: text %d", 1);
    log_info("x: empty\tv=%s", "");
    end(text, sizeof(text));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "lvl=info msg=\"Plain: text 1\"\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "src=x msg=\"empty\" v=\"\"\n"));
}

static void errno_is_told_and_kept(void)
{
    char text[8192];

    begin();
    errno = ENOENT;
    log_error("segment: open: %m");
    CU_ASSERT_EQUAL(errno, ENOENT);
    end(text, sizeof(text));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "open: No such file or directory"));
}

static void levels_below_are_silent(void)
{
    char text[8192];

    begin();
    log_debug("x: no");
    log_level_set(LOG_ERROR);
    log_warn("x: no");
    log_error("x: yes");
    log_level_set(LOG_ERROR - 1);
    log_error("x: no");
    log_level_set(LOG_INFO);
    end(text, sizeof(text));
    CU_ASSERT_STRING_EQUAL(behind_time(text), "lvl=error src=x msg=\"yes\"\n");
}

static unsigned count_lines(const char *text)
{
    unsigned n = 0;

    for (; *text != '\0'; text++) {
        n += *text == '\n';
    }
    return n;
}

/* One call site: at first a burst, then one a second and how many were kept back. The state is the
 * site's, so it must be one site for all calls. */
static void flood(int count)
{
    for (int i = 0; i < count; i++) {
        log_warn("flood: again\ti=%d", i);
    }
}

static void a_flood_is_cut_and_counted(void)
{
    static char text[65536];
    static struct log_site site; /* as LOG_AT makes one */

    begin();
    flood(1000);
    end(text, sizeof(text));
    CU_ASSERT(count_lines(text) >= 20);
    CU_ASSERT(count_lines(text) <= 22); /* a second may pass on a busy machine */

    begin();
    atomic_store_explicit(&site.suppressed, 980, memory_order_relaxed);
    log_write(&site, LOG_WARN, "flood: over");
    log_write(&site, LOG_WARN, "flood: over");
    end(text, sizeof(text));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "msg=\"over\" suppressed=980\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "msg=\"over\"\n"));
}

static void a_long_line_is_cut_and_whole(void)
{
    static char text[65536], longer[20000];
    size_t n;

    memset(longer, '"', sizeof(longer) - 1);
    begin();
    log_info("x: %s\tafter=%s", longer, "gone");
    n = end(text, sizeof(text));
    CU_ASSERT(n <= 4096);
    CU_ASSERT(n > 4000);
    CU_ASSERT_EQUAL(text[n - 1], '\n');
    CU_ASSERT_EQUAL(text[n - 2], '"');
    CU_ASSERT_EQUAL(count_lines(text), 1);
}

/* A pipe that nobody reads costs lines, not time. */
static void a_stuck_reader_stops_nobody(void)
{
    char chunk[4096] = {0};
    uint64_t before = log_dropped();
    static char text[1 << 20];

    begin();
    while (write(pipe_fds[1], chunk, sizeof(chunk)) > 0) {
    }
    /* Blocking, as standard error is. */
    CU_ASSERT_EQUAL(fcntl(pipe_fds[1], F_SETFL, 0), 0);
    log_info("x: nobody reads");
    CU_ASSERT_EQUAL(log_dropped(), before + 1);
    CU_ASSERT_EQUAL(fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK), 0);
    end(text, sizeof(text));
}

const struct unit_test test_log[] = {
    UNIT(a_line_is_logfmt),
    UNIT(arguments_cannot_forge),
    UNIT(a_format_without_a_noun_has_no_source),
    UNIT(errno_is_told_and_kept),
    UNIT(levels_below_are_silent),
    UNIT(a_flood_is_cut_and_counted),
    UNIT(a_long_line_is_cut_and_whole),
    UNIT(a_stuck_reader_stops_nobody),
    UNIT_END,
};
