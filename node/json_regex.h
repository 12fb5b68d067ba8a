/* json_regex.h - regular expressions in time proportional to text times expression, for "=~" of JSONPath.
 *
 *   . [a-z] [^a-z] \d \w \s \D \W \S \b \B ^ $ | ( ) (?: ) * + ? {n} {n,} {n,m}, and (?i) in front
 *
 * on characters of UTF-8; a match anywhere in the text is one. (The C library's would take exponential
 * time and memory for some expressions, which clients choose.) No recursion.
 */
#ifndef NODE_JSON_REGEX_H
#define NODE_JSON_REGEX_H

#include "base/annot.h"
#include "base/slice.h"

struct json_regex;

/* ERR_INVALID: no expression, or one of more than JSON_REGEX_MAX instructions. ERR_NOMEM. */
enum { JSON_REGEX_MAX = 4096 };
MUST_CHECK int json_regex_create(struct slice pattern, struct json_regex **out);
void json_regex_destroy(struct json_regex *r); /* NULL: nothing */
/* Instructions: what each byte of a text may cost. */
size_t json_regex_size(const struct json_regex *r);
bool json_regex_matches(struct json_regex *r, struct slice text);

#endif
