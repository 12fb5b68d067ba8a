/* error_count.h - how often each kind of error was answered, by its code: INFO errorstats.
 *
 * Limits   ERROR_CODES_MAX codes; past that they count as one, ERRORSTATS_OVERFLOW.
 * Threads  any, lock-free: errors are rare, so the words are shared.
 */
#ifndef PROTO_ERROR_COUNT_H
#define PROTO_ERROR_COUNT_H

#include "base/annot.h"
#include "base/slice.h"

enum { ERROR_CODES_MAX = 128, ERROR_CODE_BYTES = 31 };

/* An error reply, "-CODE text": whoever sends it counts it once. */
void error_count_note(struct slice reply) ON_ANY COLD;
/* The code at an index from 0 on, with a count of 0 where there is none; false behind the last. */
bool error_count_at(unsigned index, const char **code, uint64_t *count) ON_ANY;
/* All codes together. */
uint64_t error_count_sum(void) ON_ANY;
/* CONFIG RESETSTAT. */
void error_count_reset(void) ON_ANY;

#endif
