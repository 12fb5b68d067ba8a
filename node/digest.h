/* digest.h - what a key holds, and a database, as a number that says nothing of how it is stored: two stores
 * with one hash seed that hold the same have the same. Expired but undeleted keys count as the others do.
 *
 * Threads  on a registered thread, while nobody writes to the database.
 */
#ifndef NODE_DIGEST_H
#define NODE_DIGEST_H

#include "base/annot.h"

#include <stdint.h>

struct database;
struct entry;

struct digest {
    uint64_t keys, sum;
};

/* ERR_NOMEM. */
MUST_CHECK int digest_entry(struct database *db, const struct entry *e, uint64_t *out);
MUST_CHECK int digest_database(struct database *db, struct digest *out);

#endif
