/* A pattern, a line end, a text. Matching must end, stay within both, and obey what follows from the
 * rules: a plain pattern matches itself only, a star before or behind never hurts. */
#include "proto/glob.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

/* Whether the last byte stands for itself at the top level, so that what is appended is not drawn
 * into a class or an escape. */
static bool closed(struct slice p)
{
    for (size_t i = 0; i < p.len; i++) {
        if (p.ptr[i] == '[' || p.ptr[i] == '\\') {
            return false;
        }
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    const char *end = size == 0 ? NULL : memchr(p, '\n', size);
    struct slice pattern, text;
    char *starred;
    bool match;

    if (end == NULL || size > 1024) {
        return 0;
    }
    pattern = (struct slice){p, (size_t)(end - p)};
    text = (struct slice){end + 1, size - pattern.len - 1};
    match = glob_match(pattern, text, false);
    if (glob_is_plain(pattern)) {
        must(match == slice_is(pattern, text));
    }
    starred = malloc(pattern.len + 2);
    must(starred != NULL);
    starred[0] = '*';
    if (pattern.len > 0) {
        memcpy(starred + 1, pattern.ptr, pattern.len);
    }
    starred[pattern.len + 1] = '*';
    if (match && text.len > 0) {
        must(glob_match((struct slice){starred, pattern.len + 1}, text, false));
        must(!closed(pattern) || glob_match((struct slice){starred, pattern.len + 2}, text, false));
    }
    (void)glob_match(pattern, text, true);
    free(starred);
    return 0;
}
