/* stream_change.h - what stream_large.c and stream_change.c share. */
#ifndef NODE_STREAM_CHANGE_H
#define NODE_STREAM_CHANGE_H

#include "node/stream_large.h"

/* False: *index is where it belongs. */
bool stream_names_seek(const struct stream_names *l, struct slice name, uint32_t *index);
bool stream_group_free(void *object, size_t *budget);    /* rcu_free_fn */
bool stream_consumer_free(void *object, size_t *budget); /* rcu_free_fn */
/* A struct large_ops' functions. */
void stream_undo(struct large *l, const struct large_undo *u);
void stream_end(struct large *l, const struct large_undo *v, size_t n, bool is_kept);

#endif
