/* set.h - what the two files of set commands share. */
#ifndef NODE_CMD_SET_H
#define NODE_CMD_SET_H

#include "edge/backend.h"
#include "node/type_set.h"

/* Opens argv[1]; false when WRONGTYPE was answered. *found says whether there is anything to read; if so,
 * set_close(). */
bool set_arg(struct cmd *c, struct set *s, bool *found);
/* The worker's chance, or, elsewhere, a local one. */
struct rand *set_chance(struct rand *local);

/* Members gathered: those of large sets and of strings are borrowed, the text of integers is kept here. */
struct gather {
    struct slice *v; /* owned */
    size_t count, cap;
    struct gather_page *pages; /* owned: digits */
    bool failed;               /* no memory; what comes then is left out */
};

void gather_fini(struct gather *g);
void gather_add(struct gather *g, struct slice member, bool borrowed);
/* Room for n more without another allocation. */
void gather_reserve(struct gather *g, size_t n);
/* All of a set's members. */
void gather_set(struct gather *g, const struct set *s);
/* n different ones by chance, n <= set_count(). */
void gather_some(struct gather *g, const struct set *s, size_t n, struct rand *r);

#endif
