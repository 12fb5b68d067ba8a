#include "proto/glob.h"

static bool same(char a, char b, bool nocase)
{
    return a == b || (nocase && slice_lower(a) == slice_lower(b));
}

/* Bytes compare as signed ones, as in Redis on the machines where it usually runs. */
static bool within(char from, char to, char c, bool nocase)
{
    signed char low = (signed char)from, high = (signed char)to;

    if (low > high) {
        signed char t = low;

        low = high;
        high = t;
    }
    if (nocase) {
        low = slice_lower(low);
        high = slice_lower(high);
        c = slice_lower(c);
    }
    return (signed char)c >= low && (signed char)c <= high;
}

/* A "[…]" at p[at]: whether c is in it. *next is behind its end, which may be the pattern's. */
static bool class_has(struct slice p, size_t at, char c, bool nocase, size_t *next)
{
    size_t i = at + 1;
    bool negated = i < p.len && p.ptr[i] == '^';
    bool found = false;

    for (i += negated; i < p.len && p.ptr[i] != ']'; i++) {
        if (p.ptr[i] == '\\' && p.len - i >= 2) {
            i++;
            found |= p.ptr[i] == c;
        } else if (p.len - i >= 3 && p.ptr[i + 1] == '-') {
            found |= within(p.ptr[i], p.ptr[i + 2], c, nocase);
            i += 2;
        } else {
            found |= same(p.ptr[i], c, nocase);
        }
    }
    *next = i < p.len ? i + 1 : p.len;
    return found != negated;
}

/* One element of the pattern, not a star, against one byte. */
static bool element_matches(struct slice p, size_t at, char c, bool nocase, size_t *next)
{
    switch (p.ptr[at]) {
    case '?':
        *next = at + 1;
        return true;
    case '[':
        return class_has(p, at, c, nocase, next);
    case '\\':
        at += p.len - at >= 2;
        break;
    default:
        break;
    }
    *next = at + 1;
    return same(p.ptr[at], c, nocase);
}

bool glob_match(struct slice pattern, struct slice text, bool nocase)
{
    /* Where to go on after a mismatch: the last star takes one byte more. Earlier stars need not be
     * tried again, since whatever they could leave over the last one can take. */
    size_t star = SIZE_MAX, star_text = 0;
    size_t p = 0, t = 0;

    if (pattern.len == 1 && pattern.ptr[0] == '*') {
        return true;
    }
    if (text.len == 0) {
        return pattern.len == 0;
    }
    while (t < text.len) {
        size_t next;

        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = ++p;
            star_text = t;
            if (p == pattern.len) {
                return true;
            }
        } else if (p < pattern.len && element_matches(pattern, p, text.ptr[t], nocase, &next)) {
            p = next;
            t++;
        } else if (star != SIZE_MAX) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

bool glob_is_plain(struct slice pattern)
{
    for (size_t i = 0; i < pattern.len; i++) {
        switch (pattern.ptr[i]) {
        case '*':
        case '?':
        case '[':
        case '\\':
            return false;
        default:
            break;
        }
    }
    return true;
}
