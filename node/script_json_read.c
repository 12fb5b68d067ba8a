/* script_json_read.c - cjson.decode: the text ends with a NUL, which is Lua's, or earlier with one of its own. */
#include "node/script_json.h"

#include "base/utf8.h"

#include <stdlib.h>

enum token {
    T_OBJ_BEGIN,
    T_OBJ_END,
    T_ARR_BEGIN,
    T_ARR_END,
    T_STRING,
    T_NUMBER,
    T_BOOLEAN,
    T_NULL,
    T_COLON,
    T_COMMA,
    T_END,
    T_ERROR
};

static const char *const token_names[] = {
    "T_OBJ_BEGIN", "T_OBJ_END", "T_ARR_BEGIN", "T_ARR_END", "T_STRING", "T_NUMBER",
    "T_BOOLEAN",   "T_NULL",    "T_COLON",     "T_COMMA",   "T_END",
};

struct in {
    lua_State *L;
    const struct script_json *set;
    const char *text, *p;
    const char *token_at;
    const char *error; /* of T_ERROR */
    double number;
    bool truth;
    uint32_t n;
};

static enum token fault(struct in *i, const char *error)
{
    i->error = error;
    i->token_at = i->p;
    return T_ERROR;
}

static NO_RETURN void expected(const struct in *i, const char *what, enum token found)
{
    (void)luaL_error(i->L, "Expected %s but found %s at character %d", what,
                     found == T_ERROR ? i->error : token_names[found],
                     (int)(i->token_at - i->text) + 1);
    abort(); /* not reached */
}

/* Four hexadecimal digits; -1: they are not there. */
static int read_hex(const char *p)
{
    int n = 0;

    for (int i = 0; i < 4; i++) {
        char c = slice_lower(p[i]);

        if (c >= '0' && c <= '9') {
            n = n * 16 + (c - '0');
        } else if (c >= 'a' && c <= 'f') {
            n = n * 16 + (c - 'a' + 10);
        } else {
            return -1;
        }
    }
    return n;
}

/* At "\u"; false: it is none, or half a surrogate pair. */
static bool read_unicode(struct in *i, luaL_Buffer *b)
{
    int code = read_hex(i->p + 2);
    size_t len = 6;
    char utf8[4];

    if (code < 0) {
        return false;
    }
    if ((code & 0xf800) == 0xd800) {
        int low =
            (code & 0x400) != 0 || i->p[6] != '\\' || i->p[7] != 'u' ? -1 : read_hex(i->p + 8);

        if (low < 0 || (low & 0xfc00) != 0xdc00) {
            return false;
        }
        code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
        len = 12;
    }
    luaL_addlstring(b, utf8, utf8_put(utf8, (uint32_t)code));
    i->p += len;
    return true;
}

static char unescape(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'f':
        return '\f';
    case 'r':
        return '\r';
    default:
        return 0;
    }
}

/* Behind the opening quote: pushes the string. */
static enum token read_string(struct in *i)
{
    size_t plain = strcspn(i->p, "\"\\");
    luaL_Buffer b;

    if (i->p[plain] == '"') {
        lua_pushlstring(i->L, i->p, plain);
        i->p += plain + 1;
        return T_STRING;
    }
    luaL_buffinit(i->L, &b);
    for (;;) {
        plain = strcspn(i->p, "\"\\");
        luaL_addlstring(&b, i->p, plain);
        i->p += plain;
        if (*i->p == '"') {
            break;
        }
        if (*i->p == '\0') {
            return fault(i, "unexpected end of string");
        }
        if (i->p[1] == 'u') {
            if (!read_unicode(i, &b)) {
                return fault(i, "invalid unicode escape code");
            }
            continue;
        }
        char c = unescape(i->p[1]);

        if (c == 0) {
            return fault(i, "invalid escape code");
        }
        luaL_addchar(&b, c);
        i->p += 2;
        script_json_look(i->L, &i->n);
    }
    luaL_pushresult(&b);
    i->p++;
    return T_STRING;
}

/* What strtod() reads and JSON has not. */
static bool is_invalid_number(const char *p)
{
    if (*p == '+') {
        return true;
    }
    p += *p == '-';
    if (*p == '0') {
        return slice_lower(p[1]) == 'x' || (p[1] >= '0' && p[1] <= '9');
    }
    return *p > '9' && (strncasecmp(p, "inf", 3) == 0 || strncasecmp(p, "nan", 3) == 0);
}

static enum token read_number(struct in *i)
{
    char *end;

    i->number = strtod(i->p, &end);
    if (end == i->p) {
        return fault(i, "invalid number");
    }
    i->p = end;
    return T_NUMBER;
}

static enum token read_word(struct in *i)
{
    if (*i->p == '-' || (*i->p >= '0' && *i->p <= '9')) {
        return !i->set->decode_invalid && is_invalid_number(i->p) ? fault(i, "invalid number")
                                                                  : read_number(i);
    }
    if (strncmp(i->p, "true", 4) == 0 || strncmp(i->p, "false", 5) == 0) {
        i->truth = *i->p == 't';
        i->p += i->truth ? 4 : 5;
        return T_BOOLEAN;
    }
    if (strncmp(i->p, "null", 4) == 0) {
        i->p += 4;
        return T_NULL;
    }
    /* Of letters that begin one only. */
    if (i->set->decode_invalid && strchr("iInN+", *i->p) != NULL && is_invalid_number(i->p)) {
        return read_number(i);
    }
    return fault(i, "invalid token");
}

static enum token next_token(struct in *i)
{
    static const char marks[] = "{}[]";

    i->p += strspn(i->p, " \t\n\r");
    i->token_at = i->p;
    script_json_look(i->L, &i->n);
    switch (*i->p) {
    case '\0':
        return T_END;
    case '{':
    case '}':
    case '[':
    case ']':
        return (enum token)(strchr(marks, *i->p++) - marks);
    case ':':
        i->p++;
        return T_COLON;
    case ',':
        i->p++;
        return T_COMMA;
    case '"':
        i->p++;
        return read_string(i);
    default:
        return read_word(i);
    }
}

/* Pushes the value that begins with the token; true: it is a container, which is open. */
static bool begin_value(struct in *i, enum token t)
{
    switch (t) {
    case T_STRING:
        return false; /* it is there */
    case T_NUMBER:
        lua_pushnumber(i->L, i->number);
        return false;
    case T_BOOLEAN:
        lua_pushboolean(i->L, i->truth);
        return false;
    case T_NULL:
        lua_pushlightuserdata(i->L, NULL);
        return false;
    case T_OBJ_BEGIN:
    case T_ARR_BEGIN:
        lua_newtable(i->L);
        return true;
    case T_OBJ_END:
    case T_ARR_END:
    case T_COLON:
    case T_COMMA:
    case T_END:
    case T_ERROR:
        break;
    }
    expected(i, "value", t);
}

/* Of a container that has just been opened, or after one of its values: the token that begins its next value,
 * behind its key; T_END: the container is closed. */
static enum token next_in(struct in *i, struct script_json_level *l)
{
    enum token close = l->is_object ? T_OBJ_END : T_ARR_END;
    enum token t = next_token(i);

    if (t == close) {
        return T_END;
    }
    if (l->is_begun) {
        if (t != T_COMMA) {
            expected(i, l->is_object ? "comma or object end" : "comma or array end", t);
        }
        t = next_token(i);
    }
    l->is_begun = true;
    if (l->is_object) {
        if (t != T_STRING) {
            expected(i, "object key string", t);
        }
        t = next_token(i);
        if (t != T_COLON) {
            expected(i, "colon", t);
        }
        t = next_token(i);
    }
    if (t == T_END) {
        expected(i, "value", t);
    }
    return t;
}

/* The value at the top is whole. */
static void settle(struct in *i, struct script_json_level *l)
{
    if (l->is_object) {
        lua_rawset(i->L, -3);
    } else {
        lua_rawseti(i->L, -2, ++l->at);
    }
}

static void open_level(struct in *i, enum token t, struct script_json_level *levels,
                       uint32_t *depth)
{
    if (*depth == SCRIPT_JSON_DEPTH || !lua_checkstack(i->L, 6)) {
        (void)luaL_error(i->L, "Found too many nested data structures (%d) at character %d",
                         (int)*depth + 1, (int)(i->p - i->text));
    }
    levels[(*depth)++] = (struct script_json_level){.is_object = t == T_OBJ_BEGIN};
}

int script_json_decode(lua_State *L)
{
    struct script_json_level levels[SCRIPT_JSON_DEPTH];
    size_t len;
    uint32_t depth = 0;

    luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
    const char *text = luaL_checklstring(L, 1, &len);
    struct in i = {.L = L, .set = &script_run_of(L)->json, .text = text, .p = text};

    if (len >= 2 && (text[0] == '\0' || text[1] == '\0')) {
        return luaL_error(L, "JSON parser does not support UTF-16 or UTF-32");
    }
    enum token t = next_token(&i);

    if (begin_value(&i, t)) {
        open_level(&i, t, levels, &depth);
    }
    while (depth > 0) {
        t = next_in(&i, &levels[depth - 1]);
        if (t == T_END) {
            depth--;
        } else if (begin_value(&i, t)) {
            open_level(&i, t, levels, &depth);
            continue;
        }
        if (t != T_END || depth > 0) {
            settle(&i, &levels[depth - 1]);
        }
    }
    t = next_token(&i);
    if (t != T_END) {
        expected(&i, "the end", t);
    }
    script_check(L);
    return 1;
}
