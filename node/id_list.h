/* id_list.h - pointers in the order of the stream_id that each thing begins with.
 *
 * Up to one stands in the list itself; more stand in pages of at most ID_PAGE, named by an array, so that
 * finding takes O(log n), and adding at the end or taking from the front no more than a store.
 *
 * Memory   *bytes follows what the list allocates, by size class; the things are not the list's.
 * Failure  id_list_put() alone can fail, and then nothing has changed.
 */
#ifndef NODE_ID_LIST_H
#define NODE_ID_LIST_H

#include "node/stream_id.h"

enum { ID_PAGE = 128 };

struct id_page;

/* Zeroed is empty. */
struct id_list {
    union {
        void *one;
        struct id_page **pages; /* owned */
    };
    uint32_t page_count; /* 0: `one` is the only one, if there is any */
    uint32_t page_cap;
    size_t count;
};

/* A place: good until the next change. */
struct id_at {
    uint32_t page, index;
};

void *id_list_find(const struct id_list *l, struct stream_id id);
/* The first that is not below id; false: there is none, and the place is the end. */
bool id_list_seek(const struct id_list *l, struct stream_id id, struct id_at *out);
/* The last that is not above id. */
bool id_list_seek_back(const struct id_list *l, struct stream_id id, struct id_at *out);
/* NULL at the end. */
void *id_list_at(const struct id_list *l, struct id_at at);
bool id_list_next(const struct id_list *l, struct id_at *at);
bool id_list_previous(const struct id_list *l, struct id_at *at);
bool id_list_first(const struct id_list *l, struct id_at *out);
bool id_list_last(const struct id_list *l, struct id_at *out);

/* The thing there has moved in memory. */
void id_list_set(struct id_list *l, struct id_at at, void *thing);

/* Nothing of the same id is there. */
MUST_CHECK int id_list_put(struct id_list *l, void *thing, size_t *bytes);
/* False: it is not there (something else of the same id may be). */
bool id_list_remove(struct id_list *l, const void *thing, size_t *bytes);
/* What its pages take; looks at each page. */
size_t id_list_bytes(const struct id_list *l);
/* Takes the last one out; NULL when empty. For freeing: cheap, and needs no ids. */
void *id_list_pop(struct id_list *l, size_t *bytes);

#endif
