/* list.h - what commands on lists share with those that wait for elements. */
#ifndef NODE_CMD_LIST_H
#define NODE_CMD_LIST_H

#include "node/type_list.h"

/* LEFT or RIGHT. */
bool list_end_arg(struct slice word, enum vlist_end *out);
/* Opens the list at argv[index]. False when WRONGTYPE was answered; else *found says whether it is open. */
bool list_arg(struct cmd *c, uint32_t index, struct vlist_view *l, bool *found);

/* LMPOP's arguments from numkeys at argv[at] on. False when an error was answered. */
struct list_pop {
    uint32_t keys; /* at argv[at + 1] */
    enum vlist_end end;
    uint64_t most;
};
bool list_pop_args(struct cmd *c, uint32_t at, struct list_pop *out);

/* Each answers and changes, or does nothing: ABSENT, and WRONG_TYPE, are the caller's to answer. */
/* The element itself (LPOP, BLPOP's second half). */
enum found list_take_one(struct cmd *c, struct key key, enum vlist_end end);
/* Up to `most` elements as an array (LPOP with a count, LMPOP's second half). */
enum found list_take_some(struct cmd *c, struct key key, enum vlist_end end, uint64_t most);
/* LMOVE's element. WRONG_TYPE may be either key's. */
struct list_move {
    struct key from, to;
    enum vlist_end take, put;
};
enum found list_move(struct cmd *c, const struct list_move *m);
/* LMPOP's reply from the first of n keys at argv[first] that is a list. */
enum found list_take_first(struct cmd *c, uint32_t first, uint32_t n, enum vlist_end end,
                           uint64_t most);

#endif
