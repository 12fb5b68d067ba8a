/* json_path.h - JSONPath (RFC 9535's selectors, and RedisJSON's "=~" and old dot paths): reading one, and
 * finding what it matches.
 *
 *   $ .name ['name'] ["name"] [n] [-n] [from:to:step] [a,b] .* [*] ..name ..* ..[…] [?(…)]
 *
 * A filter compares numbers, strings, true, false, null, and paths that begin with @ (the element) or $
 * (the document) and choose one value: == != < <= > >= =~, joined by && || ! and parentheses; a path alone
 * asks whether there is such a value.
 *
 * What does not begin with "$" is an old path: it stands for one value, or the first of several.
 *
 * Order   of `..` what lies deeper comes first, as Upstash has it; else the document's.
 * Limits  JSON_PATH_BYTES, JSON_PATH_STEPS; looks at JSON_LOOKS + 16 times the document's bytes at most.
 *         No recursion.
 */
#ifndef NODE_JSON_PATH_H
#define NODE_JSON_PATH_H

#include "node/json_doc.h"

enum { JSON_PATH_BYTES = 64 << 10, JSON_PATH_STEPS = 256, JSON_LOOKS = 1 << 20 };

struct json_part;
struct json_term;

enum json_step_kind { JSON_STEP_NAME, JSON_STEP_INDEX, JSON_STEP_WILD, JSON_STEP_UNION, JSON_STEP_FILTER };

struct json_step {
    enum json_step_kind kind;
    bool descends;
    uint32_t first, count; /* parts, or a filter's terms */
};

struct json_path {
    struct slice text;        /* as it was given */
    struct buf steps, parts;  /* of struct json_step, json_part */
    struct buf terms;         /* of filters, in the order in which they are carried out */
    struct buf names;         /* the bytes of names and of literals */
    struct buf inner;         /* the steps of the paths in filters */
    uint32_t count;           /* steps */
    bool is_old;
    bool is_definite; /* it chooses one value at most */
};

enum { JSON_FAULT_BYTES = 96 };
/* False: what is wrong is in `fault`, or it is empty when there was no memory. In any case
 * json_path_fini() afterwards. text outlives the path. */
MUST_CHECK bool json_path_parse(struct slice text, struct json_path *out,
                                char fault[JSON_FAULT_BYTES]);
void json_path_fini(struct json_path *p);
static inline bool json_path_is_root(const struct json_path *p)
{
    return p->count == 0;
}
/* As "$…", for messages. */
const char *json_path_prefix(const struct json_path *p);
/* The last step's name, when it is one name without "..". */
bool json_path_last_name(const struct json_path *p, struct slice *out);
bool json_path_last_index(const struct json_path *p, int64_t *out);

/* Where values begin, in the order of the matches. */
struct json_matches {
    uint32_t *v; /* owned */
    uint32_t count, cap;
};

/* steps: only so many of the path's. ERR_NOMEM; ERR_LIMIT: it looks at too much. In any case
 * json_matches_fini() afterwards. */
MUST_CHECK int json_match(const struct json_path *p, uint32_t steps, const char *doc,
                          struct json_matches *out);
void json_matches_fini(struct json_matches *m);
/* In the document's order, each once: for changes. */
void json_matches_sort(struct json_matches *m);

#endif
