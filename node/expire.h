/* expire.h - the janitor: removes expired keys and fields that nobody asks for.
 *
 * Each worker sweeps the partitions that are its own (index mod workers) in the order of the hash,
 * some buckets a slice, a bit in each bucket's word telling which entries have an expiry. What it finds
 * due is removed as one change a slice. It takes about 1 per cent of the time of an idle sweep, and up to
 * active-expire-effort * 2.5 per cent while much is due.
 */
#ifndef NODE_EXPIRE_H
#define NODE_EXPIRE_H

#include "base/annot.h"

struct janitor;
struct node;
struct worker;

MUST_CHECK int janitor_start(struct node *n, struct worker *w);
void janitor_stop(struct node *n, struct worker *w);

#endif
