/* label.h - the names that clients give themselves: printable, no blanks, so that CLIENT LIST stays
 * a line a client. */
#ifndef EDGE_LABEL_H
#define EDGE_LABEL_H

#include "base/slice.h"

#define LABEL_NAME_ERROR "ERR Client names cannot contain spaces, newlines or special characters."

static inline bool label_is_good(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '!' || s.ptr[i] > '~') {
            return false;
        }
    }
    return true;
}

#endif
