/* change_random.h - a random Change twice: by the writer, and as protobuf-c's structs.
 *
 * Ownership  what is described borrows from tables of change_random.c, until the next is made.
 */
#ifndef TESTS_UNIT_PROTO_CHANGE_RANDOM_H
#define TESTS_UNIT_PROTO_CHANGE_RANDOM_H

#include "base/rand.h"
#include "proto/change.h"
#include "proto/change.pb-c.h"

/* Over the borders of one-, two- and three-byte lengths. */
#define CHANGE_RANDOM_BYTES 40000

/* What is drawn from. */
extern struct rand change_random;
extern char change_random_noise[CHANGE_RANDOM_BYTES];

/* From the seed of the run. */
void change_random_seed(void);
/* Writes a Change behind what is in out and describes it in *c; what the writer answered. */
int change_random_make(struct change_writer *w, struct buf *out, Godwit__Change *c);

#endif
