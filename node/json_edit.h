/* json_edit.h - a document with changes at several places, made in one pass over the old one.
 *
 * Order   json_plan() finds where the edits belong and how long the new document is, json_plan_write()
 *         writes it, json_plan_fini() in any case. Until then edits and document stay where they are.
 *         What lies in a value that another edit replaces or removes is passed over.
 */
#ifndef NODE_JSON_EDIT_H
#define NODE_JSON_EDIT_H

#include "node/json_doc.h"

enum json_edit_kind {
    JSON_EDIT_SET,    /* the value at `at` becomes `value` */
    JSON_EDIT_DROP,   /* the value at `at` goes, with its name; it is not the root */
    JSON_EDIT_ADD,    /* the object at `at` gets a member, which it has not */
    JSON_EDIT_INSERT, /* `count` values come before element `index` of the array at `at` */
    JSON_EDIT_REMOVE  /* `count` elements of the array at `at` go, from `index` on */
};

/* What the log says of a SET, if that is shorter than the value. */
enum json_edit_log { JSON_LOG_VALUE, JSON_LOG_APPEND, JSON_LOG_MERGE };

struct json_edit {
    enum json_edit_kind kind;
    enum json_edit_log says;
    uint32_t at; /* in the document */
    uint32_t index, count;
    struct slice name;
    struct slice value;
    struct slice text;   /* JSON of the value, or of what is appended or merged; empty: made of `value` */
    struct slice pointer; /* RFC 6901, set by json_plan(): where the change is */
};

struct json_splice {
    uint32_t at, removed;
    uint32_t container; /* UINT32_MAX: the root is replaced */
    int32_t count;      /* how many more it has */
    const struct json_edit *edit;
    int64_t moved; /* bytes, by this and all before */
};

/* More are not told to the log one by one. */
enum { JSON_POINTERS_MAX = 64 };

struct json_plan {
    const char *doc;
    struct json_edit *edits;
    struct json_splice *v; /* owned, unless one is enough; by place */
    struct json_splice *by_container;
    uint32_t n, edits_n;
    size_t bytes;         /* of the new document */
    struct buf pointers;  /* of the edits, if there are JSON_POINTERS_MAX at most */
    struct json_splice one;
};

/* Sorts the edits by place. ERR_NOMEM; ERR_LIMIT: longer than JSON_BYTES_MAX; ERR_INVALID: deeper than
 * JSON_DEPTH_MAX. */
MUST_CHECK int json_plan(const char *doc, struct json_edit *edits, uint32_t n, struct json_plan *out);
void json_plan_write(const struct json_plan *p, char *to);
void json_plan_fini(struct json_plan *p);

/* Appends the string that two make. ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int json_append_string(struct slice a, struct slice b, struct buf *out);
/* Appends what `target` (NULL: nothing) is after a merge patch (RFC 7396). ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int json_merge(const char *target, const char *patch, struct buf *out);

/* What a pointer names; its last part if that is not there, for what is to be added. */
struct json_place {
    const char *parent; /* NULL: the root is meant */
    const char *value;  /* NULL: not there */
    struct slice name;  /* of the last part, in `room` */
    uint32_t index;     /* of it in an array; UINT32_MAX: no number */
    struct buf room;
};
/* ERR_CORRUPT: nothing is there, ERR_NOMEM. In any case buf_fini(&out->room) afterwards. */
MUST_CHECK int json_pointer_find(const char *doc, struct slice pointer, struct json_place *out);

#endif
