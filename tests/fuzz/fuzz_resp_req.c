/* A request parsed whole, cut at every byte, and cut where the input says must come out the same. */
#include "proto/resp_req.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

/* At a block of its own each time, so that ASan sees a byte read past the cut. */
static enum parse parse_copy(struct resp_req *r, const char *p, size_t n,
                             const struct resp_limits *limits, size_t *used)
{
    char *copy = malloc(n);
    enum parse result;

    must(copy != NULL || n == 0);
    if (n > 0) {
        memcpy(copy, p, n);
    }
    result = resp_req_parse(r, (struct slice){copy, n}, limits, used);
    free(copy);
    return result;
}

static void same(const struct resp_req *a, const struct resp_req *b)
{
    must(a->argc == b->argc);
    must(a->is_inline == b->is_inline);
    for (uint32_t i = 0; i < a->argc; i++) {
        must(a->args[i].at == b->args[i].at);
        must(a->args[i].len == b->args[i].len);
    }
    must(!a->is_inline || slice_is(buf_slice(&a->scratch), buf_slice(&b->scratch)));
}

static void check(struct slice in, const struct resp_limits *limits, size_t step)
{
    struct resp_req whole, cut;
    size_t whole_used = 0, cut_used = 0, n = 0;
    enum parse w, c = PARSE_MORE;

    resp_req_init(&whole);
    resp_req_init(&cut);
    w = parse_copy(&whole, in.ptr, in.len, limits, &whole_used);
    while (c == PARSE_MORE && n <= in.len) {
        c = parse_copy(&cut, in.ptr, n, limits, &cut_used);
        if (c == PARSE_MORE) {
            must(resp_req_wants(&cut) > 0);
            n += n + step > in.len && n < in.len ? in.len - n : step;
        }
    }
    must(w == c);
    if (w == PARSE_DONE) {
        must(whole_used == cut_used && whole_used <= in.len && whole_used > 0);
        same(&whole, &cut);
        for (uint32_t i = 0; i < whole.argc; i++) {
            size_t room = whole.is_inline ? whole.scratch.len : whole_used;

            must(whole.args[i].at + whole.args[i].len <= room);
        }
    }
    if (w == PARSE_BAD) {
        must(whole_used == cut_used && whole_used <= in.len);
        must(slice_is(slice_of(whole.error), slice_of(cut.error)));
    }
    resp_req_fini(&whole);
    resp_req_fini(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct resp_limits limits = {1000, 100000, 128, false};

    if (size == 0 || size > 4096) {
        return 0;
    }
    /* The first byte says how: bit 0, a stranger; the rest, the size of a step. */
    limits.unauthenticated = (data[0] & 1) != 0;
    check((struct slice){(const char *)data + 1, size - 1}, &limits, 1);
    check((struct slice){(const char *)data + 1, size - 1}, &limits, 2 + data[0] / 2);
    return 0;
}
