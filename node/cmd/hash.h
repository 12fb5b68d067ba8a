/* hash.h - what the files of hash commands share. */
#ifndef NODE_CMD_HASH_H
#define NODE_CMD_HASH_H

#include "edge/backend.h"
#include "node/type_hash.h"

/* Opens argv[1]; false when WRONGTYPE was answered. *found says whether there is anything to read; if so,
 * hash_close(). */
bool hash_arg(struct cmd *c, struct hash *h, bool *found);
/* "ERR wrong number of arguments for 'hset' command", and the like with the command's name. */
void hash_err_arity(struct cmd *c);
void hash_err_expire_time(struct cmd *c);

/* After fields were removed: "hdel", and "del" if the key went with them. */
void hash_tell_removed(struct cmd *c, struct key key);

/* Of a reply in slices, in a turn. */
enum { HASH_SLICE_FIELDS = 1000, HASH_SLICE_BYTES = 128 << 10 };

/* Calls fn, which writes to the reply, for a turn's fields. True at the end. */
bool hash_next_fields(struct cmd *c, const struct hash *h, uint64_t *cursor, hash_each_fn fn,
                      void *arg);
/* Into the struct reply that arg is: the name; or an array of name and value. */
void hash_reply_name(const struct hash_field *f, void *arg);
void hash_reply_pair(const struct hash_field *f, void *arg);

void hash_random_run(struct cmd *c);

#endif
