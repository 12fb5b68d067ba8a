/* type.h - what the store asks of each value type. node/type_<name>.c defines its row; the array in
 * type.c lists them. */
#ifndef NODE_TYPE_H
#define NODE_TYPE_H

#include "base/rcu.h"
#include "edge/backend.h"
#include "node/entry.h"
#include "proto/change.h"

struct section;
struct table;

enum type_life {
    TYPE_ALIVE,
    TYPE_DEAD,
    TYPE_BUSY /* a section is changing it, and takes long */
};

/* Where a walk over a large value stands. */
struct type_walk {
    uint64_t at;    /* 0 to begin with */
    int64_t now_ms; /* what has expired then is passed over */
    bool is_done;
};

struct type_ops {
    const char *name; /* TYPE's word */
    /* OBJECT ENCODING's word for this entry. */
    const char *(*encoding)(const struct entry *e);
    /* Frees what the payload of an ENC_TREE or ENC_LARGE entry points to, a slice at a time: called
     * after a grace period, with the object that `object` gave. */
    rcu_free_fn free_value;
    void *(*object)(const struct entry *e); /* NULL when the payload points to nothing */
    /* What the payload points to takes, by size class. */
    size_t (*value_bytes)(const struct entry *e);
    /* A new entry under another key with another expiry and the same value: shares or copies what the
     * payload points to. NULL: no memory. Under the source's partition lock. */
    struct entry *(*copy)(const struct entry *e, struct slice key, int64_t expire_at_ms,
                          bool clocked);
    /* Whether anything of it is left alive (of a hash, whose fields may all have expired). NULL: always.
     * in_section: the caller holds the partition's lock; else none, and TYPE_BUSY may be the answer. */
    enum type_life (*life)(const struct entry *e, int64_t now_ms, bool in_section);
    /* The table of its members by name, for fetching ahead: read without a lock. NULL: none has one. */
    const struct table *(*members)(const struct entry *e);
    /* Writes the operations that make the key just this (RENAME, COPY, RESTORE, snapshots). */
    int (*log)(struct change_writer *w, struct slice key, const struct entry *e);
    /* For values that take longer than a turn may, a turn's part at a time; NULL: copy and log do all. Then
     * copy() of such a value gives a new one without members, which is filled from the old one under the
     * old one's partition lock. ERR_NOMEM; `walk->is_done` says that it was the last. */
    int (*copy_slice)(struct entry *to, const struct entry *from, struct type_walk *walk);
    int (*log_slice)(struct change_writer *w, struct slice key, const struct entry *e,
                     struct type_walk *walk);
};

extern const struct type_ops *const type_ops[VALUE_TYPES]; /* NULL for types not built yet */

/* Frees a slice of what the payload points to; true when nothing (more) is left of it. */
bool type_free_value(const struct entry *e, size_t *budget);
/* The type's log(): the operations that make the key just this. */
MUST_CHECK int type_log(struct change_writer *w, struct slice key, const struct entry *e);
/* A turn's part of filling what copy() gave, and of log(): done when walk->is_done. */
MUST_CHECK int type_copy_slice(struct entry *to, const struct entry *from, struct type_walk *walk);
MUST_CHECK int type_log_slice(struct change_writer *w, struct slice key, const struct entry *e,
                              struct type_walk *walk);
/* Where the members of a large collection are found by name; NULL: no such table. */
const struct table *type_members(const struct entry *e);
/* The block and what it points to, by size class. */
size_t type_bytes(const struct entry *e);

/* ---- For the writing halves of collections (node/type_*.c), inside a section ---- */

/* For `if (!type_logged(s, change_x(...)))`: what could not be written fails the section. */
bool type_logged(struct section *s, int err);
/* The collection to write to; NULL: absent, or the section has failed. Its type was checked. */
const struct entry *type_find(struct cmd *c, struct key key, enum value_type type);
/* A packed entry for the key in place of old (or NULL), with the key's expiry and clock, whose payload is
 * the caller's to fill in. NULL: the section has failed. */
struct entry *type_entry(struct cmd *c, struct key key, const struct entry *old,
                         enum value_type type, size_t payload_len);
/* The same for a large one: the payload is the pointer (to a structure that begins with a struct large). */
struct entry *type_entry_of_large(struct cmd *c, struct key key, const struct entry *old,
                                  enum value_type type, void *large);
/* The key goes, and the change says so: with a collection's last member, say. */
void type_delete(struct cmd *c, struct key key, enum change_reason reason);
/* A struct type_ops' `object` and `value_bytes` of types whose large form begins with a struct large. */
void *type_large_object(const struct entry *e);
size_t type_large_bytes(const struct entry *e);

extern const struct type_ops type_string_ops;
extern const struct type_ops type_hash_ops;
extern const struct type_ops type_list_ops;
extern const struct type_ops type_set_ops;
extern const struct type_ops type_zset_ops;
extern const struct type_ops type_stream_ops;
extern const struct type_ops type_json_ops;

#endif
