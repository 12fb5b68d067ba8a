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

static inline bool slice_is_ends(const char *a, const char *b, size_t len, size_t word)
{
    uint64_t v[4] = {0};

    memcpy(&v[0], a, word);
    memcpy(&v[1], b, word);
    memcpy(&v[2], a + len - word, word);
    memcpy(&v[3], b + len - word, word);
    return ((v[0] ^ v[1]) | (v[2] ^ v[3])) == 0;
}

/* As slice_is(), for names, most of which are of 4 to 16 bytes: without a call. */
static inline bool slice_is_name(struct slice a, struct slice b)
{
    if (a.len != b.len) {
        return false;
    }
    if (a.len - 8 <= 8) {
        return slice_is_ends(a.ptr, b.ptr, a.len, 8);
    }
    if (a.len - 4 < 4) {
        return slice_is_ends(a.ptr, b.ptr, a.len, 4);
    }
    return a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0;
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
