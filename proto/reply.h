/* reply.h - writes replies as RESP3 bytes, whatever the client speaks.
 *
 * What RESP3 alone does not say is said by marks: a byte REPLY_MARK and a letter in front of a value.
 * The door removes them, or turns the reply into RESP2 or JSON (proto/resp_reply.h). `flags` notes
 * whether that is needed at all, so that an equal reply passes unread.
 *
 * Failure  out of memory sets `failed`; what follows is dropped and the door closes the connection.
 *          A handler need not look.
 */
#ifndef PROTO_REPLY_H
#define PROTO_REPLY_H

#include "base/annot.h"
#include "base/buf.h"
#include "base/slice.h"

enum reply_flag {
    REPLY_DIFFERS = 1,       /* RESP2 says it otherwise */
    REPLY_MARKED = 2,        /* holds marks */
    REPLY_ERROR = 4,         /* the reply is an error: counted in INFO */
    REPLY_ALWAYS = 8,        /* set by a door that wants to see every reply (CLIENT REPLY) */
    REPLY_DIFFERS_MORE = 16, /* … of more values than one */
    REPLY_PUSHED = 32        /* a push by its kind: CLIENT REPLY OFF does not keep it */
};

#define REPLY_MARK              '\x01'
#define REPLY_MARK_NULL_ARRAY   'a' /* before a null: *-1 in RESP2, not $-1 */
#define REPLY_MARK_MAP_OF_PAIRS 'p' /* before a map: an array of pairs in RESP2, not a flat one */
#define REPLY_MARK_FLAT_PAIRS   'f' /* before an array of pairs: flat in RESP2 (ZRANGE WITHSCORES) */

enum wire_err {
#define WIRE_ERR(symbol, text, http) WIRE_##symbol,
#include "proto/errors.def"
#undef WIRE_ERR
    WIRE_ERRS
};

struct reply {
    struct buf out;
    uint32_t flags;   /* of the reply being written */
    uint32_t watched; /* the flags on which `settle` is called */
    bool failed;
    /* Called at a reply's end when one of the watched flags is set: may rewrite out[from..]. */
    void (*settle)(struct reply *r, size_t from);
    /* What settle() would rewrite of a long reply, ahead of it and in pieces: calls tick() as it goes, which may
     * take turns in between, and stops when that says false. NULL: the door has nothing to rewrite. */
    void (*settle_ahead)(struct reply *r, size_t from, bool (*tick)(size_t work));
    void *door; /* the door's own */
};

void reply_init(struct reply *r);
void reply_fini(struct reply *r);

/* Around each whole reply: from = reply_begin(r); … reply_end(r, from). */
static inline size_t reply_begin(struct reply *r)
{
    r->flags = r->watched & REPLY_ALWAYS;
    return r->out.len;
}

static inline void reply_end(struct reply *r, size_t from)
{
    if (UNLIKELY((r->flags & r->watched) != 0)) {
        r->settle(r, from);
    }
}

/* Takes back everything since reply_begin(), to write another reply instead. */
static inline void reply_restart(struct reply *r, size_t from)
{
    r->out.len = from;
    r->flags = r->watched & REPLY_ALWAYS;
}

/* About so many bytes will follow, in slices: room for them now, so that the reply does not grow by copying. */
void reply_expect(struct reply *r, size_t bytes);

void reply_ok(struct reply *r);
void reply_simple(struct reply *r, struct slice text); /* +text */
void reply_bulk(struct reply *r, struct slice bytes);
void reply_int(struct reply *r, int64_t value);
void reply_null(struct reply *r);
void reply_null_array(struct reply *r);
void reply_double(struct reply *r,
                  double value); /* , in RESP3; a bulk in RESP2: the shortest that reads back */
/* The same, spelled by the caller. */
void reply_double_text(struct reply *r, struct slice digits);
void reply_bool(struct reply *r, bool value);         /* # in RESP3; 1 or 0 in RESP2 */
void reply_big(struct reply *r, struct slice digits); /* ( in RESP3; a bulk in RESP2 */
void reply_verbatim(struct reply *r, const char *format3, struct slice text); /* = ; a bulk */
/* A bulk in pieces: the sum of the pieces' lengths is len. */
void reply_bulk_begin(struct reply *r, size_t len);
void reply_bulk_piece(struct reply *r, struct slice bytes);
void reply_bulk_end(struct reply *r);

/* What follows is n values (2n for maps). */
void reply_array(struct reply *r, size_t n);
void reply_set(struct reply *r, size_t n);
void reply_map(struct reply *r, size_t n);          /* flat in RESP2 */
void reply_map_of_pairs(struct reply *r, size_t n); /* [[k, v] …] in RESP2 */
void reply_pairs(struct reply *r,
                 size_t n); /* [[k, v] …] in RESP3, flat in RESP2; each pair: reply_array(r, 2) */
void reply_push(struct reply *r, size_t n);
/* When the count is known only at the end: at = reply_array_later(r); …; reply_array_count(r, at, n). */
size_t reply_array_later(struct reply *r);
void reply_array_count(struct reply *r, size_t at, size_t n);
void reply_map_count(struct reply *r, size_t at, size_t n);
void reply_set_count(struct reply *r, size_t at, size_t n);

void reply_err(struct reply *r, enum wire_err err);
/* The text begins with its code: "ERR …". CR and LF in it become spaces. */
void reply_errf(struct reply *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *wire_err_text(enum wire_err err);
int wire_err_http(enum wire_err err);

#endif
