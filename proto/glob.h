/* glob.h - patterns of KEYS, SCAN MATCH, CONFIG GET: "*", "?", "[a-c]", "[^x]", "\" before a byte
 * that stands for itself. As Redis matches, byte by byte, oddities included.
 *
 * Limits  time is at most pattern times text; no memory.
 */
#ifndef PROTO_GLOB_H
#define PROTO_GLOB_H

#include "base/slice.h"

/* nocase folds ASCII letters. A text without bytes is matched by "" and "*" only. */
bool glob_match(struct slice pattern, struct slice text, bool nocase);

/* Whether the pattern has no special byte, so that it matches just itself. */
bool glob_is_plain(struct slice pattern);

#endif
