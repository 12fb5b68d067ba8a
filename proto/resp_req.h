/* resp_req.h - reads requests from a RESP connection: arrays of bulk strings, and inline lines.
 *
 * Resumable: state lives in `r`, so bytes already judged are not looked at again. Pure: no I/O, no
 * clock. Arguments are offsets from the start of the request, so the caller may move the bytes
 * between calls.
 *
 * Ownership  resp_req_fini() frees the argument array and the scratch of inline requests. Both are
 *            kept from request to request.
 * Limits     struct resp_limits. The array grows as arguments arrive, not by what a client promises.
 * Failure    no memory for the array: PARSE_BAD, and `error` says so.
 */
#ifndef PROTO_RESP_REQ_H
#define PROTO_RESP_REQ_H

#include "base/annot.h"
#include "base/buf.h"
#include "base/slice.h"
#include "proto/parse.h"

struct resp_limits {
    uint32_t args_max;
    uint64_t bulk_bytes_max;
    uint32_t inline_bytes_max; /* also of the lines that announce counts and lengths */
    bool unauthenticated;      /* at most 10 arguments of 16 KiB each */
};

/* Enough for nearly all requests without a call to the allocator. */
enum { RESP_REQ_ARGS_INLINE = 8 };

struct resp_arg {
    uint64_t at;
    uint64_t len;
};

struct resp_req {
    uint32_t argc;
    struct resp_arg *args; /* of argc; resp_req_arg() reads them */
    const char *error;     /* after PARSE_BAD: Redis' text, without the code ERR */
    char error_text[48];   /* private: where a text names a byte */
    /* private */
    uint8_t state;
    bool is_inline; /* arguments lie in scratch, not in the input */
    uint32_t args_cap;
    uint32_t args_due; /* announced and not complete */
    uint64_t bulk_len;
    uint64_t at;      /* bytes judged so far */
    uint64_t line_at; /* where the line being read starts */
    uint64_t wants;
    struct buf scratch;
    struct resp_arg few[RESP_REQ_ARGS_INLINE];
};

/* The struct must stay where it is afterwards: args may point into it. */
void resp_req_init(struct resp_req *r);
void resp_req_fini(struct resp_req *r);
/* Before the next request. Gives back an unusually large array. */
void resp_req_reset(struct resp_req *r);

/* `in` starts at the first byte of the request and may end anywhere.
 *
 * PARSE_DONE  *used is the length of the request; resp_req_reset() before the next one. argc may be
 *             0: an empty line or an empty array, which get no reply.
 * PARSE_MORE  call again with the same bytes and at least one more.
 * PARSE_BAD   the stream cannot be trusted again: answer with r->error, then close. *used is where. */
MUST_CHECK enum parse resp_req_parse(struct resp_req *r, struct slice in,
                                     const struct resp_limits *limits, size_t *used);

/* After PARSE_MORE: at least this many more bytes are needed, so that the buffer can be sized once
 * for a large bulk. Never more than the limits allow one argument to be, plus its line's end. */
size_t resp_req_wants(const struct resp_req *r);

/* Argument i of a request that is done. `in` is what was parsed, wherever it lies now; the slice is
 * good as long as those bytes and, for an inline request, until the next reset. */
static inline struct slice resp_req_arg(const struct resp_req *r, struct slice in, uint32_t i)
{
    const char *from = r->is_inline ? r->scratch.ptr : in.ptr;

    return (struct slice){from + r->args[i].at, (size_t)r->args[i].len};
}

#endif
