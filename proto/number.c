#include "proto/number.h"

#include "base/buf.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* "18446744073709551615" */
#define DIGITS_MAX 20

bool number_parse_uint(struct slice text, uint64_t *out)
{
    uint64_t n = 0;

    if (text.len == 0 || text.len > DIGITS_MAX) {
        return false;
    }
    if (text.ptr[0] == '0') {
        if (text.len > 1) {
            return false;
        }
        *out = 0;
        return true;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';

        if (digit > 9) {
            return false;
        }
        /* Only the twentieth digit can be one too many. */
        if (i == DIGITS_MAX - 1 &&
            (n > UINT64_MAX / 10 || (n == UINT64_MAX / 10 && digit > UINT64_MAX % 10))) {
            return false;
        }
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

bool number_parse_int(struct slice text, int64_t *out)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t n;

    if (negative) {
        text.ptr++;
        text.len--;
    }
    if (!number_parse_uint(text, &n)) {
        return false;
    }
    if (negative) {
        if (n == 0 || n > (uint64_t)INT64_MAX + 1) {
            return false; /* "-0" would not come back as it was */
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

bool number_parse_double(struct slice text, long double *out)
{
    char copy[NUMBER_HUMAN_MAX]; /* strtold() needs a NUL */
    char *end;
    long double value;

    if (text.len == 0 || text.len >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (copy[0] == ' ' || (copy[0] >= '\t' && copy[0] <= '\r')) {
        return false;
    }
    errno = 0;
    value = strtold(copy, &end);
    if ((size_t)(end - copy) != text.len || errno == EINVAL || isnan(value)) {
        return false;
    }
    if (errno == ERANGE && (isinf(value) || fpclassify(value) == FP_ZERO)) {
        return false;
    }
    *out = value;
    return true;
}

/* Most scores: up to 15 digits with a point somewhere. Digits and the power of ten are then exact as
 * doubles, so that their quotient is what strtod() would give. */
static bool parse_plain(struct slice text, double *out)
{
    static const double power[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool negative = text.len > 0 && text.ptr[0] == '-';
    size_t digits = 0;
    size_t places = 0;
    bool point = false;
    uint64_t n = 0;

    for (size_t i = negative; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';

        if (digit <= 9) {
            if (++digits > 15) {
                return false;
            }
            n = n * 10 + digit;
            places += point;
        } else if (text.ptr[i] == '.' && !point) {
            point = true;
        } else {
            return false;
        }
    }
    if (digits == 0) {
        return false;
    }
    *out = (negative ? -(double)n : (double)n) / power[places];
    return true;
}

bool number_parse_score(struct slice text, double *out)
{
    char copy[NUMBER_HUMAN_MAX]; /* strtod() needs a NUL */
    char *end;
    double value;

    if (parse_plain(text, out)) {
        return true;
    }
    if (text.len == 0 || text.len >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (copy[0] == ' ' || (copy[0] >= '\t' && copy[0] <= '\r')) {
        return false;
    }
    errno = 0;
    value = strtod(copy, &end);
    if ((size_t)(end - copy) != text.len || isnan(value) ||
        (errno == ERANGE && (isinf(value) || fpclassify(value) == FP_ZERO))) {
        return false;
    }
    *out = value;
    return true;
}

size_t number_print_int(char out[NUMBER_INT_MAX], int64_t value)
{
    return buf_put_i64(out, value);
}

/* digits (no point, no trailing zeros) times 10 to the power of exp10, in the form that Redis 7.2
 * chooses: plain while that is not much longer, else with an exponent. */
static size_t lay_out(char *out, const char *digits, int count, int exp10)
{
    int lead = exp10 + count - 1; /* the exponent of d.ddd */
    int size = lead < 0 ? -lead : lead;
    char *p = out;

    if (exp10 >= 0 && size < count + 7) {
        memcpy(p, digits, (size_t)count);
        memset(p + count, '0', (size_t)exp10);
        return (size_t)count + (size_t)exp10;
    }
    if (exp10 < 0 && (exp10 > -7 || size < 4)) {
        int whole = count + exp10; /* digits before the point */

        if (whole <= 0) {
            memcpy(p, "0.", 2);
            memset(p + 2, '0', (size_t)-whole);
            memcpy(p + 2 - whole, digits, (size_t)count);
            return 2 + (size_t)-whole + (size_t)count;
        }
        memcpy(p, digits, (size_t)whole);
        p[whole] = '.';
        memcpy(p + whole + 1, digits + whole, (size_t)(count - whole));
        return (size_t)count + 1;
    }
    *p++ = digits[0];
    if (count > 1) {
        *p++ = '.';
        memcpy(p, digits + 1, (size_t)(count - 1));
        p += count - 1;
    }
    *p++ = 'e';
    *p++ = lead < 0 ? '-' : '+';
    p += buf_put_u64(p, (uint64_t)size);
    return (size_t)(p - out);
}

/* The fewest digits that read back as `value`, which is finite and above 0. */
static int shortest_digits(double value, char digits[17], int *exp10)
{
    char text[NUMBER_DOUBLE_MAX];
    int count = 0;
    /* Any decimal of 15 digits survives a normal double, so trimming zeros finds the shorter ones. */
    int precision = value < DBL_MIN ? 1 : 15;

    do {
        (void)snprintf(text, sizeof(text), "%.*e", precision - 1, value);
    } while (strtod(text, NULL) != value && ++precision <= 17);

    const char *p = text;

    for (; *p != 'e'; p++) {
        if (*p != '.') {
            digits[count++] = *p;
        }
    }
    assert(count > 0);
    *exp10 = (int)strtol(p + 1, NULL, 10) - count + 1;
    while (count > 1 && digits[count - 1] == '0') {
        count--;
        ++*exp10;
    }
    return count;
}

size_t number_print_double(char out[NUMBER_DOUBLE_MAX], double value)
{
    const double exact = 4503599627370496.0; /* 2^52: integers up to it print as integers */
    char digits[17];
    size_t sign = 0;
    int count, exp10;

    if (isnan(value)) {
        memcpy(out, "nan", 3);
        return 3;
    }
    if (signbit(value)) {
        out[0] = '-';
        sign = 1;
        value = -value;
    }
    if (isinf(value)) {
        memcpy(out + sign, "inf", 3);
        return sign + 3;
    }
    if (value < exact && value == (double)(int64_t)value) {
        return sign + buf_put_u64(out + sign, (uint64_t)value);
    }
    count = shortest_digits(value, digits, &exp10);
    return sign + lay_out(out + sign, digits, count, exp10);
}

size_t number_print_human(char out[NUMBER_HUMAN_MAX], long double value)
{
    int len;

    if (isnan(value)) {
        memcpy(out, "nan", 3);
        return 3;
    }
    if (isinf(value)) {
        bool negative = value < 0;

        memcpy(out, negative ? "-inf" : "inf", negative ? 4 : 3);
        return negative ? 4 : 3;
    }
    len = snprintf(out, NUMBER_HUMAN_MAX, "%.17Lf", value);
    assert(len > 0 && len < NUMBER_HUMAN_MAX);
    while (out[len - 1] == '0') {
        len--;
    }
    if (out[len - 1] == '.') {
        len--;
    }
    if (len == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        len = 1;
    }
    return (size_t)len;
}

bool number_parse_cursor(struct slice text, uint64_t *out)
{
    uint64_t n = 0;
    size_t i;

    text.len = text.len == 0 ? 0 : strnlen(text.ptr, text.len);
    i = text.len > 0 && (text.ptr[0] == '+' || text.ptr[0] == '-');

    if (i > 0 && text.len == 1) {
        return false;
    }
    for (; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(text.ptr[i] - '0'), &n)) {
            return false;
        }
    }
    *out = text.len > 0 && text.ptr[0] == '-' ? 0 - n : n;
    return true;
}
