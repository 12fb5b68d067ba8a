/* conf_file.h - the file of settings as lines: `name value` or `name = value`, # begins a comment
 * line, quotes around a value keep its blanks. For conf_load.c and the tests.
 */
#ifndef BASE_CONF_FILE_H
#define BASE_CONF_FILE_H

#include "base/annot.h"
#include "base/buf.h"

struct conf_line {
    struct slice whole; /* without its newline */
    struct slice name;  /* empty for a comment or a blank line */
    struct slice value; /* as written, quotes included */
};

/* Takes the next line off a text that is not empty. */
struct conf_line conf_file_next(struct slice *rest);

/* Appends the value without its quotes: "a \"b\"" and 'a'. */
MUST_CHECK int conf_file_unquote(struct slice value, struct buf *out);
/* Appends it so that conf_file_unquote() gives it back. */
MUST_CHECK int conf_file_quote(struct slice value, struct buf *out);

/* A new file instead of the old one, synced before it has its name, so that a crash leaves one of the two.
 * It has the old one's mode; without one, `mode`, or ERR_IO if that is 0. ERR_IO (errno). */
MUST_CHECK int conf_file_replace(const char *path, struct slice text, unsigned mode) ON_BG;

/* Appends a file of at most `most` bytes. ERR_IO (errno), ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK int conf_file_read(const char *path, size_t most, struct buf *out) ON_BG;

#endif
