/* script_struct.c - struct.pack, unpack and size: C-like layouts as bytes, as the library of that name.
 *
 *   > < =   big, little, native endian     !n   aligned to n          x      a byte of padding
 *   b B     1 byte, signed, not            h H  2   l L  8   T  8     iN IN  N bytes
 *   f d     floating point                 s    ends with a zero      cN     N bytes (c0: all; on unpack: by
 *                                                                            the number before it) */
#include "node/script_host.h"

#include <ctype.h>

enum { INT_BYTES_MAX = 32, LEN_MAX = INT32_MAX }; /* those of the library */

struct format {
    lua_State *L;
    const char *at;
    bool is_big;
    size_t align;
};

static size_t number(struct format *f, size_t otherwise)
{
    size_t n = 0;

    if (!isdigit((unsigned char)*f->at)) {
        return otherwise;
    }
    while (isdigit((unsigned char)*f->at)) {
        n = n * 10 + (size_t)(*f->at++ - '0');
        if (n > LEN_MAX) {
            (void)luaL_error(f->L, "integral size overflow");
        }
    }
    return n;
}

/* The next option and its bytes. */
static char option(struct format *f, size_t *size)
{
    char c = *f->at++;

    *size = 0;
    switch (c) {
    case 'b':
    case 'B':
    case 'x':
        *size = 1;
        break;
    case 'h':
    case 'H':
        *size = 2;
        break;
    case 'l':
    case 'L':
    case 'T':
    case 'd':
        *size = 8;
        break;
    case 'f':
        *size = 4;
        break;
    case 'c':
        *size = number(f, 1);
        break;
    case 'i':
    case 'I':
        *size = number(f, 4);
        if (*size > INT_BYTES_MAX || *size == 0) {
            (void)luaL_error(f->L, "integral size %d is larger than limit of %d", (int)*size,
                             INT_BYTES_MAX);
        }
        break;
    default:
        break;
    }
    return c;
}

static size_t padding(const struct format *f, char c, size_t size, size_t at)
{
    size_t align = size < f->align ? size : f->align;

    if (c == 'c' || c == 'x' || c == 's' || align <= 1) {
        return 0;
    }
    return (align - (at & (align - 1))) & (align - 1); /* also of a size that is no power of 2 */
}

static void control(struct format *f, char c)
{
    switch (c) {
    case ' ':
        break;
    case '>':
        f->is_big = true;
        break;
    case '<':
    case '=':
        f->is_big = false;
        break;
    case '!':
        f->align = number(f, 8);
        if (f->align == 0 || (f->align & (f->align - 1)) != 0) {
            (void)luaL_error(f->L, "alignment %d is not a power of 2", (int)f->align);
        }
        break;
    default:
        (void)luaL_argerror(f->L, 1, lua_pushfstring(f->L, "invalid format option '%c'", c));
    }
}

static void add_integer(const struct format *f, luaL_Buffer *b, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        size_t at = f->is_big ? size - 1 - i : i;

        luaL_addchar(b, (char)(at < sizeof(value) ? value >> (8 * at) : 0));
    }
}

static uint64_t read_integer(const struct format *f, const unsigned char *s, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++) {
        value = value << 8 | s[f->is_big ? i : size - 1 - i];
    }
    return value;
}

static uint64_t bits_of(lua_Number x)
{
    if (x < 0) {
        return x >= -9223372036854775808.0 ? (uint64_t)(int64_t)x : (uint64_t)INT64_MIN;
    }
    return x < 18446744073709551616.0 ? (uint64_t)x : x >= 0 ? UINT64_MAX : 0;
}

union wide {
    double d;
    uint64_t bits;
};
union narrow {
    float f;
    uint32_t bits;
};

/* One value, argument number `arg`; how many bytes were written. */
static size_t pack_one(const struct format *f, luaL_Buffer *b, char c, size_t size, int arg)
{
    lua_State *L = f->L;
    size_t len;
    const char *s;

    switch (c) {
    case 'f':
        add_integer(f, b, ((union narrow){.f = (float)luaL_checknumber(L, arg)}).bits, 4);
        return 4;
    case 'd':
        add_integer(f, b, ((union wide){.d = luaL_checknumber(L, arg)}).bits, 8);
        return 8;
    case 'c':
    case 's':
        s = luaL_checklstring(L, arg, &len);
        size = size == 0 ? len : size;
        luaL_argcheck(L, len >= size, arg + 1, "string too short");
        luaL_addlstring(b, s, size);
        if (c == 's') {
            luaL_addchar(b, '\0');
            size++;
        }
        return size;
    default:
        add_integer(f, b, bits_of(luaL_checknumber(L, arg)), size);
        return size;
    }
}

static int struct_pack(lua_State *L)
{
    struct format f = {.L = L, .at = luaL_checkstring(L, 1), .align = 1};
    size_t total = 0;
    int arg = 2;
    luaL_Buffer b;

    luaL_buffinit(L, &b);
    while (*f.at != '\0') {
        size_t size;
        char c = option(&f, &size);

        for (size_t n = padding(&f, c, size, total); n > 0; n--, total++) {
            luaL_addchar(&b, '\0');
        }
        if (c == 'x') {
            luaL_addchar(&b, '\0');
            total++;
        } else if (size > 0 || c == 's' || c == 'c') {
            total += pack_one(&f, &b, c, size, arg++);
        } else {
            control(&f, c);
        }
    }
    luaL_pushresult(&b);
    script_check(L);
    return 1;
}

/* What c0 takes is said by the number before it, which it replaces. */
static size_t counted(lua_State *L, int n)
{
    if (n == 0 || !lua_isnumber(L, -1)) {
        (void)luaL_error(L, "format 'c0' needs a previous size");
    }
    lua_Number size = lua_tonumber(L, -1);

    lua_pop(L, 1);
    return size >= 0 && size <= LEN_MAX ? (size_t)size : SIZE_MAX;
}

static size_t unpack_one(const struct format *f, char c, size_t size, const char *s, size_t left)
{
    lua_State *L = f->L;
    const unsigned char *u = (const unsigned char *)s;
    const char *end;
    uint64_t raw;

    switch (c) {
    case 'f':
        lua_pushnumber(L, ((union narrow){.bits = (uint32_t)read_integer(f, u, 4)}).f);
        return 4;
    case 'd':
        lua_pushnumber(L, ((union wide){.bits = read_integer(f, u, 8)}).d);
        return 8;
    case 'c':
        lua_pushlstring(L, s, size);
        return size;
    case 's':
        end = left == 0 ? NULL : memchr(s, '\0', left);
        if (end == NULL) {
            (void)luaL_error(L, "unfinished string in data");
        }
        lua_pushlstring(L, s, (size_t)(end - s));
        return (size_t)(end - s) + 1;
    default:
        raw = read_integer(f, u, size);
        if (islower((unsigned char)c)) {
            unsigned unused = size < sizeof(raw) ? (unsigned)(64 - 8 * size) : 0;

            lua_pushnumber(L, (lua_Number)((int64_t)(raw << unused) >> unused));
        } else {
            lua_pushnumber(L, (lua_Number)raw);
        }
        return size;
    }
}

static int struct_unpack(lua_State *L)
{
    struct format f = {.L = L, .at = luaL_checkstring(L, 1), .align = 1};
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    lua_Integer from = luaL_optinteger(L, 3, 1);
    int n = 0;

    luaL_argcheck(L, from > 0, 3, "offset must be 1 or greater");
    size_t at = (size_t)from - 1;

    lua_settop(L, 2);
    while (*f.at != '\0') {
        size_t size;
        char c = option(&f, &size);

        if (size == 0 && c != 's' && c != 'c') {
            control(&f, c);
            continue;
        }
        at += padding(&f, c, size, at);
        if (c == 'c' && size == 0) {
            size = counted(L, n--);
        }
        luaL_argcheck(L, at <= len && size <= len - at, 2, "data string too short");
        luaL_checkstack(L, 2, "too many results");
        if (c == 'x') {
            at++;
            continue;
        }
        at += unpack_one(&f, c, size, data + at, len - at);
        n++;
    }
    lua_pushinteger(L, (lua_Integer)at + 1);
    return n + 1;
}

static int struct_size(lua_State *L)
{
    struct format f = {.L = L, .at = luaL_checkstring(L, 1), .align = 1};
    size_t total = 0;

    while (*f.at != '\0') {
        size_t size;
        char c = option(&f, &size);

        total += padding(&f, c, size, total);
        if (c == 's') {
            return luaL_argerror(L, 1, "option 's' has no fixed size");
        }
        if (c == 'c' && size == 0) {
            return luaL_argerror(L, 1, "option 'c0' has no fixed size");
        }
        if (size == 0) {
            control(&f, c);
        }
        total += size;
    }
    lua_pushinteger(L, (lua_Integer)total);
    return 1;
}

void script_open_struct(lua_State *L)
{
    static const luaL_Reg fns[] = {
        {"pack", struct_pack}, {"unpack", struct_unpack}, {"size", struct_size}, {NULL, NULL}};

    lua_newtable(L);
    luaL_register(L, NULL, fns);
}
