/* json_text.h - JSON text (RFC 8259) to values and back.
 *
 * Numbers without fraction and exponent stay integers while int64 or uint64 hold them, and become doubles
 * beyond; doubles are printed as the shortest that reads back, with a fraction or an exponent, so that
 * they read back as doubles. Of a name that comes twice the last value counts, at the first one's place.
 * Strings are UTF-8, zero bytes included.
 *
 * No recursion, one pass. The text borrows nothing from the value, nor the value from the text.
 */
#ifndef NODE_JSON_TEXT_H
#define NODE_JSON_TEXT_H

#include "node/json_doc.h"

/* What is wrong with a text, and where; lines and columns begin at 1. */
struct json_fault {
    const char *what; /* NULL: no memory */
    size_t line, column;
};

/* Appends the value. False: out is as it was, and why in *fault. */
MUST_CHECK bool json_parse(struct slice text, struct buf *out, struct json_fault *fault);

struct json_style {
    struct slice indent, newline, space;
};

/* Appends the text; style NULL: without blanks. ERR_NOMEM; ERR_LIMIT when it passes JSON_TEXT_MAX. */
enum { JSON_TEXT_MAX = 1 << 29 };
MUST_CHECK int json_print(const char *v, const struct json_style *style, struct buf *out);
/* A string's text, with its quotes. */
MUST_CHECK int json_print_string(struct slice s, struct buf *out);

enum { JSON_NUMBER_TEXT = 40 };
size_t json_print_number(const char *v, char out[JSON_NUMBER_TEXT]);

#endif
