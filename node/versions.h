/* versions.h - what a reader of several keys compares, so that what it read is of one moment. */
#ifndef NODE_VERSIONS_H
#define NODE_VERSIONS_H

#include "node/database.h"

struct versions {
    uint64_t mask; /* of the partitions that are read */
    uint64_t v[PARTITIONS];
};

/* False if a publication is under way for longer than one takes; *held is then where. */
bool versions_take(struct versions *v, const struct database *db, struct partition **held);
bool versions_unmoved(const struct versions *v, const struct database *db);

#endif
