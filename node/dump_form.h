/* dump_form.h - what reading, writing and storing a payload of DUMP agree on. For dump*.c alone.
 */
#ifndef NODE_DUMP_FORM_H
#define NODE_DUMP_FORM_H

#include "node/dump.h"

/* The format's numbers for what a payload holds. */
enum dump_form {
    FORM_STRING = 0,
    FORM_LIST = 1,
    FORM_SET = 2,
    FORM_SET_INTSET = 11,
    FORM_SET_LISTPACK = 20,
    FORM_ZSET_TEXT = 3, /* scores as digits */
    FORM_ZSET = 5,
    FORM_ZSET_ZIPLIST = 12,
    FORM_ZSET_LISTPACK = 17,
    FORM_HASH = 4,
    FORM_MODULE = 7,
    FORM_HASH_ZIPMAP = 9,
    FORM_LIST_ZIPLIST = 10,
    FORM_HASH_ZIPLIST = 13,
    FORM_LIST_ZIPLISTS = 14,
    FORM_STREAM = 15,
    FORM_HASH_LISTPACK = 16,
    FORM_LIST_NODES = 18,
    FORM_STREAM_2 = 19,
    FORM_STREAM_3 = 21,
    FORM_HASH_EXPIRING = 24,
    FORM_HASH_LISTPACK_EXPIRING = 25
};

/* Version and checksum behind the value. */
enum { DUMP_FOOTER_BYTES = 10 };

/* Goes on over turns where slices may (node/slices.h). */
uint64_t dump_checksum(struct slice bytes);

/* A member of a sorted set is a field without a value, the bits of its score where an expiry would be. */
static inline struct hash_field dump_member(struct slice member, double score)
{
    struct hash_field f = {.name = member};

    memcpy(&f.expire_at_ms, &score, sizeof(score));
    return f;
}

static inline double dump_score(const struct hash_field *f)
{
    double score;

    memcpy(&score, &f->expire_at_ms, sizeof(score));
    return score;
}

#endif
