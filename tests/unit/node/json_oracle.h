/* json_oracle.h - JSON by another implementation (jansson), which ours is compared with. Its header and
 * ours name things alike, so only json_oracle.c sees it. */
#ifndef TESTS_UNIT_NODE_JSON_ORACLE_H
#define TESTS_UNIT_NODE_JSON_ORACLE_H

#include "base/slice.h"

struct rand;

/* The text of a document by chance, of about so many values; free() it. */
char *oracle_text(struct rand *r, unsigned values);
/* Whether it is JSON. */
bool oracle_accepts(struct slice text);
/* Whether two texts mean the same. */
bool oracle_is_same(struct slice a, struct slice b);

/* A document that changes. */
struct oracle;
struct oracle *oracle_open(struct slice text);
void oracle_close(struct oracle *o);
/* Changes by pointers (RFC 6901); false: there is no such place. */
bool oracle_set(struct oracle *o, struct slice pointer, struct slice text);
bool oracle_remove(struct oracle *o, struct slice pointer, unsigned count);
/* text: an array, whose elements come before the place. */
bool oracle_insert(struct oracle *o, struct slice pointer, struct slice text);
bool oracle_is(const struct oracle *o, struct slice text);

#endif
