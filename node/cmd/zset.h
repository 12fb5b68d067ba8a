/* zset.h - what the files of commands on sorted sets share. */
#ifndef NODE_CMD_ZSET_H
#define NODE_CMD_ZSET_H

#include "node/type_zset.h"

/* Opens the sorted set in argv[at]. False when an error was answered. */
MUST_CHECK bool zset_arg(struct cmd *c, uint32_t at, struct zset *z, bool *found);
/* Of what may be there: closes it. */
void zset_done(struct zset *z, bool found);

/* The head of n members with their scores, or without; each then by zset_reply_item(). */
void zset_reply_head(struct reply *r, size_t n, bool with_scores);
void zset_reply_item(struct reply *r, const struct zset_item *i, bool with_scores);

/* How popped members are answered: one flat array, pairs that RESP2 has flat, pairs everywhere, or one member
 * behind its key's name. */
enum zset_pop_form { ZSET_POP_FLAT, ZSET_POP_PAIRS, ZSET_POP_NESTED, ZSET_POP_NAMED };
/* Answers up to count members from an end of the key's sorted set, which is open, and removes them. Closes
 * it. For ZPOPMIN, ZPOPMAX and ZMPOP, and for those that wait. */
void zset_pop(struct cmd *c, struct key key, struct zset *z, bool from_end, size_t count,
              enum zset_pop_form form);

/* ZMPOP's arguments from numkeys at argv[at] on, and its reply from the key at argv[at], which is open. */
struct zset_mpop {
    uint32_t keys; /* at argv[at + 1] */
    bool from_end;
    int64_t count;
};
MUST_CHECK bool zset_mpop_args(struct cmd *c, uint32_t at, struct zset_mpop *out);
void zset_mpop(struct cmd *c, uint32_t at, struct zset *z, const struct zset_mpop *p);

/* A range of ranks, lowest first. */
struct zset_span {
    size_t first, n;
};
/* What argv[min] and argv[max] ask for, parsed before the key is looked up. */
enum zset_by { ZSET_BY_RANK, ZSET_BY_SCORE, ZSET_BY_NAME };
struct zset_range {
    enum zset_by by;
    bool down;
    int64_t start, stop;         /* by rank */
    struct rank_bound low, high; /* by score and by name */
    bool no_low, no_high;        /* by name: it begins with the first, it ends with the last */
    bool none;                   /* by name: it is empty, whatever there is */
    int64_t offset, limit;       /* limit < 0: all */
};
/* False when an error was answered. */
MUST_CHECK bool zset_range_parse(struct cmd *c, struct zset_range *r, struct slice min,
                                 struct slice max);
struct zset_span zset_range_in(const struct zset_range *r, const struct zset *z);

#endif
