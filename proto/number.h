/* number.h - numbers as clients write and read them, by Redis' rules.
 *
 * Pure, any thread. What is parsed must be the whole slice: no blanks around it.
 */
#ifndef PROTO_NUMBER_H
#define PROTO_NUMBER_H

#include "base/annot.h"
#include "base/slice.h"

/* What the printers may write; no NUL is counted, and none is promised. */
#define NUMBER_INT_MAX    24
#define NUMBER_DOUBLE_MAX 32
#define NUMBER_HUMAN_MAX  5120 /* the largest long double has 4933 digits before its point */

/* A 64-bit integer as a string value holds one: "-?[1-9][0-9]*" or "0", so that printing it again
 * gives the same bytes. *out is written on success only. */
MUST_CHECK bool number_parse_int(struct slice text, int64_t *out);
/* The same for 0 … UINT64_MAX. */
MUST_CHECK bool number_parse_uint(struct slice text, uint64_t *out);

/* What strtold() accepts, "inf" and hexadecimal included; not NaN, nor what under- or overflows. */
MUST_CHECK bool number_parse_double(struct slice text, long double *out);

/* A score: what strtod() accepts, by the same rules. */
MUST_CHECK bool number_parse_score(struct slice text, double *out);

size_t number_print_int(char out[NUMBER_INT_MAX], int64_t value);
/* The shortest that reads back as the same double; "inf", "-inf", "nan", "-0". */
size_t number_print_double(char out[NUMBER_DOUBLE_MAX], double value);
/* INCRBYFLOAT's form: 17 places, no exponent, no trailing zeros. */
size_t number_print_human(char out[NUMBER_HUMAN_MAX], long double value);

/* A cursor of SCAN and kin as Redis' strtoul() reads it: a sign is taken, and it ends at a zero byte. */
bool number_parse_cursor(struct slice text, uint64_t *out);

#endif
