/* parse.h - numbers from text, strictly: the whole text, one spelling a number (no plus sign, blanks
 * or leading zeros), in range. What Redis' string2ll accepts, so "01" stays a string.
 *
 * Failure  false, and *out is untouched.
 */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include "base/annot.h"
#include "base/slice.h"

MUST_CHECK bool parse_u64(struct slice text, uint64_t *out);
MUST_CHECK bool parse_i64(struct slice text, int64_t *out);

#endif
