/* conf_value.h - between conf.c and its neighbours: a setting's text and its value. Nobody else's. */
#ifndef BASE_CONF_VALUE_H
#define BASE_CONF_VALUE_H

#include "base/conf.h"

/* Appends the reason as far as memory allows, and is false, for `return conf_because(…)`. */
bool conf_because(struct buf *why, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Checks the text against the row. For numbers *word is the value, for texts it is left alone. */
MUST_CHECK bool conf_value_parse(const struct conf_opt *opt, struct slice text, uint64_t *word,
                                 struct buf *why);
/* Appends a number as CONFIG GET prints it. */
MUST_CHECK int conf_value_show(const struct conf_opt *opt, uint64_t word, struct buf *out);
/* Appends a number as people write it: 64mb, 5s. */
MUST_CHECK int conf_value_show_short(const struct conf_opt *opt, uint64_t word, struct buf *out);
bool conf_value_is_text(const struct conf_opt *opt);
/* "BYTES", "yes|no": what stands behind the flag in the help. */
const char *conf_value_kind(const struct conf_opt *opt);

/* conf.c: parses and installs, without asking whether it may change now. */
MUST_CHECK bool conf_install(struct conf_opt *opt, struct slice text, enum conf_source source,
                             unsigned line, struct buf *why);
/* conf_load.c: the file of settings, or "". */
const char *conf_file_path(void);
void conf_file_forget(void);

#endif
