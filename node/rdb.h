/* rdb.h - the pieces of Redis' dump format: lengths, strings, and the packed forms that earlier and
 * present releases keep small collections in.
 *
 * What is read is borrowed from the payload, or from an rdb_memory when it had to be made (numbers
 * become digits, what is compressed is expanded). No length is believed before the bytes are there.
 *
 * Failure  ERR_CORRUPT, ERR_NOMEM, or ERR_LIMIT when a payload asks for more than RDB_MEMORY_MAX.
 */
#ifndef NODE_RDB_H
#define NODE_RDB_H

#include "base/annot.h"
#include "base/buf.h"
#include "base/slice.h"

/* All strings of one payload together: twice what the longest string may be. */
/* Compressing more would hold the worker for longer than the bytes saved are worth. */
#define RDB_COMPRESS_MAX (1u << 20)
#define RDB_MEMORY_MAX   (1ull << 30)

struct rdb_chunk;

/* Zeroed is empty. */
struct rdb_memory {
    struct rdb_chunk *chunks;
    uint64_t bytes;
};

void rdb_memory_fini(struct rdb_memory *m);

struct rdb_reader {
    struct slice rest;
    struct rdb_memory *memory;
};

MUST_CHECK int rdb_read_byte(struct rdb_reader *r, uint8_t *out);
MUST_CHECK int rdb_read_u64(struct rdb_reader *r, uint64_t *out); /* eight bytes, little-endian */
MUST_CHECK int rdb_read_len(struct rdb_reader *r, uint64_t *out);
MUST_CHECK int rdb_read_string(struct rdb_reader *r, struct slice *out);

/* A packed collection, element by element. */
enum rdb_pack_kind { RDB_LISTPACK, RDB_ZIPLIST, RDB_ZIPMAP };

struct rdb_pack {
    enum rdb_pack_kind kind;
    struct slice rest; /* without the end's mark */
    struct rdb_memory *memory;
    uint64_t given;
    uint64_t count; /* that the header promises; UINT64_MAX: it does not say */
    bool is_value;  /* of a zipmap: what comes next */
};

MUST_CHECK int rdb_pack_begin(struct rdb_pack *p, enum rdb_pack_kind kind, struct slice blob,
                              struct rdb_memory *m);
/* True at the end. */
static inline bool rdb_pack_is_done(const struct rdb_pack *p)
{
    return p->rest.len == 0;
}
MUST_CHECK int rdb_pack_next(struct rdb_pack *p, struct slice *out);
/* At the end: whether there were as many as the header promised. */
MUST_CHECK int rdb_pack_end(const struct rdb_pack *p);

/* Integers as a set of them is kept: ascending, little-endian, `width` bytes each. */
MUST_CHECK int rdb_intset_begin(struct slice blob, unsigned *width, uint64_t *count);
/* The text of one, index < count. */
MUST_CHECK int rdb_intset_at(struct slice blob, uint64_t index, unsigned width,
                             struct rdb_memory *m, struct slice *out);
/* `ints` in the machine's order, which is little-endian. */
MUST_CHECK int rdb_write_intset(struct buf *out, const char *ints, size_t count, unsigned width);

MUST_CHECK int rdb_write_len(struct buf *out, uint64_t n);
/* As a number if it is one, compressed if that is shorter. */
MUST_CHECK int rdb_write_string(struct buf *out, struct slice s);

/* CRC-64 with Jones' polynomial, as Redis computes it. */
uint64_t rdb_crc64(uint64_t crc, struct slice bytes);

#endif
