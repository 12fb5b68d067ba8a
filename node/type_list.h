/* type_list.h - lists: packed while they are short, chunks in a counted tree beyond.
 *
 * Reading a packed list takes no lock; a large one is read under its own reader-writer lock between
 * vlist_open() and vlist_close(), and changed in place by the section that took that lock for writing.
 * A list has a number, which each change raises and the change's operation names: so that an operation that
 * is applied a second time finds another number and changes nothing.
 *
 * OBJECT ENCODING's words go by list-max-listpack-size, as Redis' do, not by the form.
 */
#ifndef NODE_TYPE_LIST_H
#define NODE_TYPE_LIST_H

#include "edge/backend.h"
#include "node/entry.h"
#include "node/large.h"
#include "node/vlist_large.h"

/* A list being read. */
struct vlist_view {
    struct large_view view;
    struct vlist_large *large; /* NULL when packed */
};

/* FOUND opens it: vlist_close() before the handler returns, and before it opens another. What is read is
 * borrowed until then; inside a section until the key's next write. */
enum found vlist_open(struct cmd *c, struct key key, struct vlist_view *out);
void vlist_close(struct vlist_view *l);
size_t vlist_count(const struct vlist_view *l);
size_t vlist_bytes(const struct vlist_view *l); /* of the elements, about */
/* Never 0. */
uint32_t vlist_number(const struct vlist_view *l);

/* A place between two elements, in either direction; walks are loops over it, and may be taken up again by
 * the number. */
struct vlist_cursor {
    const char *at, *begin, *end; /* private: of the block that it stands in */
    struct vlist_chunk *chunk;    /* private: NULL when packed */
};
/* Before element `index`, or at the end for the count. */
void vlist_seek(const struct vlist_view *l, size_t index, struct vlist_cursor *out);
/* The element behind the place, or before it, and past it. False: there is none. */
bool vlist_next(struct vlist_cursor *at, struct slice *out);
bool vlist_prev(struct vlist_cursor *at, struct slice *out);
/* Element `index`, which is there. */
struct slice vlist_at(const struct vlist_view *l, size_t index);

/* Writing: within a section, on a key that is a list (the handler has checked) or, for a push, absent.
 * Values do not point into the list that they go to. With its last element the key goes too. */
void vlist_push(struct cmd *c, struct key key, enum vlist_end end, const struct slice *v, size_t n);
/* n ≤ count. */
void vlist_pop(struct cmd *c, struct key key, enum vlist_end end, size_t n);
/* The element at that end goes to the other. */
void vlist_rotate(struct cmd *c, struct key key, enum vlist_end end);
/* The element is there. */
void vlist_set(struct cmd *c, struct key key, size_t index, struct slice value);
/* Before element `index`, which is there. */
void vlist_insert(struct cmd *c, struct key key, size_t index, struct slice value);
/* Ranges that rise and do not touch, all of which are there; numbers are from before the call. */
struct vlist_range {
    size_t index, count;
};
void vlist_remove(struct cmd *c, struct key key, const struct vlist_range *v, size_t n);
/* The key, whatever it was, becomes this list without expiry; absent for n = 0. */
void vlist_store(struct cmd *c, struct key key, const struct slice *v, size_t n);
/* Of a list that is there, when it was made from a log. */
void vlist_renumber(struct cmd *c, struct key key, uint32_t number);

#endif
