/* json_path_parts.h - what a path consists of, for json_path.c, which reads it, and json_match.c. */
#ifndef NODE_JSON_PATH_PARTS_H
#define NODE_JSON_PATH_PARTS_H

#include "node/json_path.h"

enum json_part_kind { JSON_PART_NAME, JSON_PART_INDEX, JSON_PART_SLICE };

struct json_part {
    enum json_part_kind kind;
    bool has_from, has_to;
    uint32_t at, len; /* a name in `names` */
    int64_t from, to, step;
};

/* Filters in postfix order: an operand is a value or nothing, a condition yes or no. */
enum json_term_kind {
    JSON_TERM_VALUE,    /* at: a literal in `names` */
    JSON_TERM_ELEMENT,  /* first, count: steps from the element */
    JSON_TERM_DOCUMENT, /* … from the document */
    JSON_TERM_EXISTS,   /* the operand as a condition */
    JSON_TERM_EQ,
    JSON_TERM_NE,
    JSON_TERM_LT,
    JSON_TERM_LE,
    JSON_TERM_GT,
    JSON_TERM_GE,
    JSON_TERM_MATCHES,
    JSON_TERM_NOT,
    JSON_TERM_AND,
    JSON_TERM_OR,
    JSON_TERM_OPEN /* only while it is read */
};

struct json_term {
    enum json_term_kind kind;
    uint32_t at, count;
};

enum { JSON_FILTER_DEPTH = 64 }; /* conditions that wait for others, parentheses included */

#define JSON_AT(buf, type, i) (&((type *)(void *)(buf).ptr)[i])

static inline const struct json_step *json_step_at(const struct json_path *p, uint32_t i)
{
    return JSON_AT(p->steps, const struct json_step, i);
}

static inline const struct json_part *json_part_at(const struct json_path *p, uint32_t i)
{
    return JSON_AT(p->parts, const struct json_part, i);
}

static inline struct slice json_part_name(const struct json_path *p, const struct json_part *part)
{
    return (struct slice){p->names.ptr + part->at, part->len};
}

#endif
