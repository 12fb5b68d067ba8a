/* slice.h - borrowed bytes.
 *
 * Ownership  a slice owns nothing. One that came in as an argument is good until the call returns;
 *            one that came from the store is good until the worker's turn ends.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *ptr; /* may be NULL when len is 0 */
    size_t len;
};

/* Of a string literal. */
#define SLICE(lit) ((struct slice){"" lit, sizeof(lit) - 1})

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static inline bool slice_is(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* As slice_is(), for names, most of which are short: without a call. */
static inline bool slice_is_name(struct slice a, struct slice b)
{
    uint64_t first[2];
    uint64_t last[2];

    if (a.len != b.len) {
        return false;
    }
    if (a.len < sizeof(uint64_t) || a.len > 2 * sizeof(uint64_t)) {
        return a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0;
    }
    memcpy(&first[0], a.ptr, sizeof(uint64_t));
    memcpy(&first[1], b.ptr, sizeof(uint64_t));
    memcpy(&last[0], a.ptr + a.len - sizeof(uint64_t), sizeof(uint64_t));
    memcpy(&last[1], b.ptr + b.len - sizeof(uint64_t), sizeof(uint64_t));
    return ((first[0] ^ first[1]) | (last[0] ^ last[1])) == 0;
}

/* As memcmp over the shorter, the shorter first when one begins the other. */
static inline int slice_order(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);

    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static inline char slice_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Whether s spells the given lower-case ASCII word in any mix of cases. */
static inline bool slice_is_word(struct slice s, const char *lower)
{
    size_t i;

    for (i = 0; i < s.len; i++) {
        if (lower[i] == '\0' || slice_lower(s.ptr[i]) != lower[i]) {
            return false;
        }
    }
    return lower[i] == '\0';
}

#endif
