/* What an HTTP connection is answered must not depend on where its bytes were cut: whole, byte by byte,
 * in steps, and in two pieces cut at each place. */
#include "edge/http_talk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    INPUT_MAX = 1000, /* below the bounds of a request, which are judged as bytes come */
    ANSWERS_MAX = 1 << 20
};

static struct http_talk_use use;
static struct buf said; /* by the run under way */

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

static bool keep_answer(struct http_talk *t, struct slice answer)
{
    (void)t;
    /* A peer that asks for that much has gone: no need to print metrics all day. */
    return said.len + answer.len <= ANSWERS_MAX && buf_append_slice(&said, answer) == 0;
}

/* At a block of its own each time, so that ASan sees a byte read past the cut. */
static bool take_copy(struct http_talk *t, struct slice in)
{
    char *copy = malloc(in.len);
    bool goes_on;

    must(copy != NULL);
    memcpy(copy, in.ptr, in.len);
    goes_on = http_talk_take(t, (struct slice){copy, in.len});
    free(copy);
    return goes_on;
}

/* `first` bytes, then `step` at a time. */
static bool talk(struct slice in, size_t first, size_t step, bool has_metrics)
{
    struct http_talk t;
    bool goes_on = true;

    http_talk_begin(&t, &use, has_metrics);
    for (size_t at = 0, n = first; goes_on && at < in.len; at += n, n = step) {
        n = n > in.len - at ? in.len - at : n;
        goes_on = take_copy(&t, (struct slice){in.ptr + at, n});
    }
    if (goes_on) {
        http_talk_late(&t);
    }
    return goes_on;
}

static void same(struct slice in, size_t first, size_t step, bool has_metrics,
                 const struct buf *whole, bool went_on)
{
    buf_clear(&said);
    must(talk(in, first, step, has_metrics) == went_on);
    must(slice_is(buf_slice(&said), buf_slice(whole)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole;
    struct slice in;

    if (size < 2 || size > INPUT_MAX) {
        return 0;
    }
    /* The first byte says how: bit 0, whether it is the admin port; bit 1, whether the server is ready;
     * the rest, the size of a step. */
    bool has_metrics = (data[0] & 1) != 0;

    in = (struct slice){(const char *)data + 1, size - 1};
    http_talk_use_init(&use, keep_answer);
    atomic_store(&use.is_ready, (data[0] & 2) != 0);
    buf_init(&said);
    bool went_on = talk(in, in.len, 1, has_metrics);

    whole = said;
    buf_init(&said);
    same(in, 1, 1, has_metrics, &whole, went_on);
    same(in, 2 + data[0] / 4, 2 + data[0] / 4, has_metrics, &whole, went_on);
    /* Each place, while that is not too many bytes. */
    for (size_t cut = 1; cut < in.len && whole.len < 4096 && in.len < 300; cut++) {
        same(in, cut, in.len, has_metrics, &whole, went_on);
    }
    buf_fini(&whole);
    buf_fini(&said);
    http_talk_use_fini(&use);
    return 0;
}
