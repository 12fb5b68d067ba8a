/* script_json.h - what the two halves of cjson share. For script_json*.c alone. */
#ifndef NODE_SCRIPT_JSON_H
#define NODE_SCRIPT_JSON_H

#include "node/script_host.h"

enum { SCRIPT_JSON_DEPTH = 1000, SCRIPT_JSON_LOOK_EVERY = 1024 };

/* A container that is open: nothing recurses. */
struct script_json_level {
    bool is_object, is_begun;
    int at, len; /* of an array */
};

static inline void script_json_look(lua_State *L, uint32_t *n)
{
    if (UNLIKELY(++*n % SCRIPT_JSON_LOOK_EVERY == 0)) {
        script_check(L);
    }
}

int script_json_decode(lua_State *L);

#endif
