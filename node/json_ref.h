/* json_ref.h - how an entry holds a document, for node/type_json*.c: its number and the value (ENC_PACKED),
 * or its number and a pointer to the value (ENC_TREE). */
#ifndef NODE_JSON_REF_H
#define NODE_JSON_REF_H

#include "node/entry.h"

enum { JSON_NUMBER = 4 }; /* bytes in front of the value */

struct json_block {
    size_t size;
    char bytes[];
};

struct json_ref {
    uint32_t number;
    struct json_block *block; /* owned, by whichever entry has it last */
};

static inline struct json_ref json_ref_of(const struct entry *e)
{
    struct json_ref r;

    memcpy(&r, entry_payload(e).ptr, sizeof(r));
    return r;
}

/* NULL: no memory. */
struct json_block *json_block_create(size_t bytes);
void json_block_free(struct json_block *b);

#endif
