/* type_string.h - strings: bytes, numbers, and trees of blocks over 16 KiB.
 *
 * Reading takes no lock. Writing functions record their effect in the section's change and return
 * nothing (node/section.h). Lengths up to proto-max-bulk-len are the handler's to check.
 */
#ifndef NODE_TYPE_STRING_H
#define NODE_TYPE_STRING_H

#include "base/buf.h"
#include "edge/backend.h"
#include "node/entry.h"
#include "node/keyspace.h"

enum { STRING_SLICE = 32 * 4088 }; /* bytes that are read or made in a turn: whole blocks */

struct blocks;

/* A string as it is read; borrowed as long as the entry. */
struct string_value {
    size_t len;
    const struct entry *entry; /* NULL: empty, or held */
    struct blocks *root;       /* of ENC_TREE; private */
    char digits[24];           /* of ENC_INT; private */
};

/* Counts and touches as keyspace_find(). ABSENT leaves an empty value. */
enum found string_read(struct cmd *c, struct key key, struct string_value *out);
void string_of_entry(const struct entry *e, struct string_value *out);
/* The bytes from `at` on that lie together: never empty while at < len. */
struct slice string_chunk(const struct string_value *v, size_t at);
/* As one slice: the value's own bytes if they lie together, else copied into buf (a buf of the
 * caller's). False: no memory. */
bool string_flat(const struct string_value *v, struct buf *buf, struct slice *out);
/* Of a long one (string_is_long()), under its partition's lock: it can be read without a lock and over
 * turns from here on, whatever becomes of the key, until string_let_go(). */
void string_hold(struct string_value *v);
void string_let_go(struct string_value *v);
/* Whether so many of its bytes take more than a turn may; such a string can be held. */
static inline bool string_is_long(const struct string_value *v, size_t bytes)
{
    return bytes > STRING_SLICE && v->root != NULL;
}
/* The integer, if the value is one (Redis' string2ll). */
bool string_integer(const struct string_value *v, int64_t *out);
void string_reply(struct reply *r, const struct string_value *v);

/* The key becomes this string. expire_at_ms 0: it never expires. */
void string_put(struct cmd *c, struct key key, struct slice value, int64_t expire_at_ms);
/* The same where OBJECT ENCODING calls a number embstr (INCRBYFLOAT) or any value raw (BITOP). */
void string_put_text(struct cmd *c, struct key key, struct slice value, int64_t expire_at_ms);
void string_put_raw(struct cmd *c, struct key key, struct slice value, int64_t expire_at_ms);
void string_put_int(struct cmd *c, struct key key, int64_t value, int64_t expire_at_ms);
/* A long value made in slices and then put; {0} to begin with. */
struct string_making {
    struct blocks *root;
    uint64_t len;
};
/* Appends. ERR_NOMEM. */
MUST_CHECK int string_make(struct string_making *m, struct slice bytes);
void string_making_fini(struct string_making *m);
/* More than STRING_SLICE bytes; takes them. */
void string_put_made(struct cmd *c, struct key key, struct string_making *m, int64_t expire_at_ms);
/* Overwrites from offset on, zero-padding a gap; the key is a string or absent. At least one byte.
 * Expiry stays. Costs by the bytes written, not by the value's length, once it is a tree. */
void string_put_range(struct cmd *c, struct key key, size_t offset, struct slice bytes);

/* Longest text that OBJECT ENCODING calls "embstr". */
enum { STRING_EMBSTR_MAX = 44 };

#endif
