/* fuzz_conf_file.c - lines of a file of settings: the pieces lie in the line, in order, and what was
 * unquoted comes back from its quoted form. */
#include "base/conf_file.h"
#include "base/err.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

static void check_line(struct conf_line l)
{
    struct buf plain, quoted, again;

    require(l.name.len == 0 ||
            (l.name.ptr >= l.whole.ptr && l.name.ptr + l.name.len <= l.value.ptr));
    require(l.name.len == 0 || l.value.ptr + l.value.len <= l.whole.ptr + l.whole.len);
    require(l.whole.len == 0 || memchr(l.whole.ptr, '\n', l.whole.len) == NULL);
    buf_init(&plain);
    buf_init(&quoted);
    buf_init(&again);
    require(conf_file_unquote(l.value, &plain) == OK);
    require(plain.len <= l.value.len);
    require(conf_file_quote(buf_slice(&plain), &quoted) == OK);
    require(conf_file_unquote(buf_slice(&quoted), &again) == OK);
    require(slice_is(buf_slice(&plain), buf_slice(&again)));
    buf_fini(&plain);
    buf_fini(&quoted);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = {(const char *)data, size};

    while (rest.len > 0) {
        size_t before = rest.len;

        check_line(conf_file_next(&rest));
        require(rest.len < before);
    }
    return 0;
}
