/* stream.h - what the handlers of streams share. */
#ifndef NODE_CMD_STREAM_H
#define NODE_CMD_STREAM_H

#include "node/type_stream.h"

/* False when an error was answered. `missing` is the counter of an id without one; the strict form does
 * not take - and +, the ends of all ids. */
bool stream_id_arg(struct cmd *c, uint32_t index, uint64_t missing, struct stream_id *out);
bool stream_strict_id_arg(struct cmd *c, uint32_t index, struct stream_id *out);
/* The ends of an interval, each of which an opening parenthesis leaves out. */
bool stream_interval_args(struct cmd *c, uint32_t from, uint32_t to, struct stream_id *start,
                          struct stream_id *end);
/* What follows `first`, strict ids, which the caller frees. NULL: an error was answered. */
struct stream_id *stream_ids_args(struct cmd *c, uint32_t first, uint32_t n);
void stream_ids_free(struct stream_id *ids, uint32_t n);
/* Milliseconds since then, which a payload of RESTORE may have placed anywhere. */
static inline int64_t stream_since(const struct cmd *c, int64_t at_ms)
{
    int64_t ms;

    return __builtin_sub_overflow(c->now_ms, at_ms, &ms) ? INT64_MAX : ms;
}

bool stream_int_arg(struct cmd *c, uint32_t index, int64_t *out);

/* False when an error was answered; *found: whether the key is there, and v is then open. */
bool stream_arg(struct cmd *c, uint32_t index, struct stream_view *v, bool *found);

void stream_reply_id(struct reply *r, struct stream_id id);
void stream_reply_entry(struct reply *r, struct stream_entry *e);
/* Entries of an interval, at most count (0: all), as an array. */
/* Whether answering up to count entries (0: all) of it takes longer than a turn may. */
bool stream_asks_much(const struct stream_walk *w, uint64_t count);
void stream_reply_range(struct reply *r, struct stream_walk *w, uint64_t count);

/* KEEPREF, DELREF, ACKED. */
bool stream_refs_word(struct slice word, enum stream_refs *out);
/* XDELEX and XACKDEL: [KEEPREF | DELREF | ACKED] IDS n id [id ...] from argv[at] on. NULL: an error was answered. */
struct stream_id *stream_refs_args(struct cmd *c, uint32_t at, enum stream_refs *refs, uint32_t *n);

/* XREAD and XREADGROUP. */
struct stream_read {
    uint32_t keys;    /* argv[keys …] */
    uint32_t count;   /* of them; as many ids follow */
    uint64_t most;    /* entries of each stream; 0: all */
    int64_t block_ms; /* -1: does not wait */
    bool by_group, no_ack;
    struct slice group, consumer;
};
/* False when an error was answered. */
bool stream_read_args(struct cmd *c, struct stream_read *out);

void cmd_xreadgroup(struct cmd *c);
void cmd_xack(struct cmd *c);
void cmd_xackdel(struct cmd *c);
void cmd_xpending(struct cmd *c);
void cmd_xclaim(struct cmd *c);
void cmd_xautoclaim(struct cmd *c);
extern struct cmd_def xgroup_cmds[];
extern struct cmd_def xinfo_cmds[];
/* XGROUP and XINFO: "unknown subcommand or wrong number of arguments". */
void stream_err_subcommand(struct cmd *c, const char *container);
void stream_err_no_group(struct cmd *c, struct slice key, struct slice group);

#endif
