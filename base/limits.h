/* limits.h - the bounds of limits.def as LIMIT_NAME, each with its reason beside it there. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define LIMIT(name, value, reason) LIMIT_##name = (value),
enum {
#include "base/limits.def"
};
#undef LIMIT

#endif
