/* resp_reply.h - reads replies, RESP3 with reply.h's marks, and turns them into what a client speaks.
 *
 * Pure and iterative: no recursion, so nesting costs no stack.
 *
 * Limits   resp_reply_to2() follows RESP_REPLY_DEPTH_MAX levels; reading has no such bound.
 * Failure  ERR_CORRUPT: not a sequence of whole replies. ERR_LIMIT: nested deeper. ERR_NOMEM. What
 *          was appended to `out` by then is of no use.
 */
#ifndef PROTO_RESP_REPLY_H
#define PROTO_RESP_REPLY_H

#include "base/annot.h"
#include "base/buf.h"
#include "base/slice.h"
#include "proto/parse.h"

struct reply;

enum { RESP_REPLY_DEPTH_MAX = 128 };

struct resp_reader {
    struct slice in;
    size_t at; /* the next value */
};

/* One scalar, or the head of an aggregate whose children are the next values. */
struct resp_value {
    char type;         /* RESP3's: + - : $ _ # , ( = ! and the aggregates * ~ % > | */
    char mark;         /* the letter of a mark in front of it, or 0 */
    bool null;         /* "_", and RESP2's "$-1" and "*-1" */
    struct slice text; /* of a scalar: its content; of = also the "txt:" */
    uint64_t children; /* of an aggregate: values that follow, two a pair */
};

/* PARSE_DONE moves r->at behind the scalar or head. PARSE_MORE, PARSE_BAD leave it. A '|' says that
 * its children describe the value behind them, which is not among them. */
MUST_CHECK enum parse resp_reply_next(struct resp_reader *r, struct resp_value *v);
/* The same for a whole reply with all that is in it. From a mark or attribute on. */
MUST_CHECK enum parse resp_reply_skip(struct resp_reader *r);

/* Appends the RESP2 form of whole replies: marks obeyed, maps flat or as pairs, sets and pushes as
 * arrays, the other new types as bulks and integers, attributes dropped. */
MUST_CHECK int resp_reply_to2(struct slice resp3, struct buf *out);
/* Appends the replies without their marks. */
MUST_CHECK int resp_reply_strip(struct slice resp3, struct buf *out);

/* For a door's `settle`: rewrites r->out[from..], one whole reply, as RESP2 or without marks. scratch
 * is the door's, kept from call to call. A failure sets r->failed. */
void resp_reply_settle2(struct reply *r, size_t from, struct buf *scratch);
void resp_reply_settle3(struct reply *r, size_t from, struct buf *scratch);
/* The same for a long reply, in pieces: tick(work) after every few values, which says false to have it stop (then
 * r->failed is set). r->out may be replaced, what stands before `from` stays. */
void resp_reply_settle_ahead(struct reply *r, size_t from, uint8_t protocol,
                             bool (*tick)(size_t work));

#endif
