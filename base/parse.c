#include "base/parse.h"

bool parse_u64(struct slice text, uint64_t *out)
{
    uint64_t n = 0;

    if (text.len == 0 || (text.ptr[0] == '0' && text.len > 1)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, digit, &n)) {
            return false;
        }
    }
    *out = n;
    return true;
}

bool parse_i64(struct slice text, int64_t *out)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t n;

    if (text.len == 0) { /* there may be no pointer to add to */
        return false;
    }
    if (!parse_u64((struct slice){text.ptr + negative, text.len - negative}, &n)) {
        return false;
    }
    if (negative) {
        if (n == 0 || n > (uint64_t)INT64_MAX + 1) {
            return false;
        }
        *out = (int64_t)(0 - n);
        return true;
    }
    if (n > INT64_MAX) {
        return false;
    }
    *out = (int64_t)n;
    return true;
}
