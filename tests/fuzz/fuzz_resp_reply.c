/* Replies: cut anywhere they ask for more; what is turned into RESP2 is RESP2, and turning it again
 * changes nothing; without marks they have as many values as with them. */
#include "base/err.h"
#include "proto/reply.h"
#include "proto/resp_reply.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

static size_t values(struct slice in, bool *whole)
{
    struct resp_reader r = {in, 0};
    size_t n = 0;

    while (r.at < in.len) {
        struct resp_value v;
        enum parse p = resp_reply_next(&r, &v);

        if (p != PARSE_DONE) {
            *whole = false;
            return n;
        }
        n++;
    }
    *whole = true;
    return n;
}

static void check_cuts(struct slice in)
{
    struct resp_reader whole = {in, 0};
    enum parse p = resp_reply_skip(&whole);

    must(p == PARSE_DONE ? whole.at <= in.len : whole.at == 0);
    for (size_t n = 0; p == PARSE_DONE && n < whole.at && n < 300; n++) {
        struct resp_reader r = {{in.ptr, n}, 0};

        must(resp_reply_skip(&r) == PARSE_MORE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = {(const char *)data, size};
    struct buf two = {0}, again = {0}, stripped = {0};
    bool whole, still;
    size_t n;

    if (size > 4096) {
        return 0;
    }
    check_cuts(in);
    n = values(in, &whole);
    must((resp_reply_strip(in, &stripped) == OK) == whole);
    if (whole) {
        must(values(buf_slice(&stripped), &still) == n && still);
    }
    if (resp_reply_to2(in, &two) == OK) {
        must(whole);
        must(resp_reply_to2(buf_slice(&two), &again) == OK);
        must(slice_is(buf_slice(&two), buf_slice(&again)));
    }
    buf_fini(&two);
    buf_fini(&again);
    buf_fini(&stripped);
    return 0;
}
