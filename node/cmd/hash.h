/* hash.h - what the two files of hash commands share. */
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

#endif
