/* script_pack.c - cmsgpack for scripts. */
#include "node/script_host.h"

void script_open_pack(lua_State *L)
{
    lua_newtable(L);
}

void script_open_struct(lua_State *L)
{
    lua_newtable(L);
}
