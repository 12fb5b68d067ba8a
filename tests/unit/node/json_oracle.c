#include "tests/unit/node/json_oracle.h"

#include "base/rand.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { FLAGS = JSON_DECODE_ANY | JSON_ALLOW_NUL };

struct oracle {
    json_t *root;
};

static json_t *load(struct slice text)
{
    return json_loadb(text.ptr, text.len, FLAGS, NULL);
}

static json_t *some_string(struct rand *r)
{
    static const char *const parts[] = {"a", "\"", "\\", "/", "~", "\n", "\x01", "é", "😀", "key"};
    char text[64] = "";

    for (uint64_t n = rand_below(r, 5); n > 0; n--) {
        (void)strcat(text, parts[rand_below(r, sizeof(parts) / sizeof(parts[0]))]);
    }
    return json_string(text);
}

static json_t *some_scalar(struct rand *r)
{
    static const unsigned bits[] = {1, 7, 8, 16, 32, 63};

    switch (rand_below(r, 6)) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(rand_below(r, 2));
    case 2:
        return json_real((double)(int64_t)rand_next(r) / (double)(1 + rand_below(r, 1000)));
    case 3:
        return some_string(r);
    default: {
        json_int_t n = (json_int_t)(rand_next(r) >> (64 - bits[rand_below(r, 6)]));

        return json_integer(rand_below(r, 2) == 0 ? n : -n);
    }
    }
}

/* Containers hang in each other as chance has it. */
static json_t *some_tree(struct rand *r, unsigned values)
{
    json_t *at[64];
    unsigned n = 1;

    at[0] = rand_below(r, 2) == 0 ? json_array() : json_object();
    for (unsigned i = 0; i < values; i++) {
        json_t *to = at[rand_below(r, n)];
        uint64_t kind = rand_below(r, 4);
        json_t *v = kind == 0 ? json_array() : kind == 1 ? json_object() : some_scalar(r);

        if (json_is_array(to)) {
            (void)json_array_append_new(to, v);
        } else {
            char name[32];
            json_t *odd = some_string(r);

            (void)snprintf(name, sizeof(name), "%.20s%u", json_string_value(odd), i);
            json_decref(odd);
            (void)json_object_set_new(to, name, v);
        }
        if (kind < 2 && n < 64) {
            at[n++] = v;
        }
    }
    return at[0];
}

char *oracle_text(struct rand *r, unsigned values)
{
    json_t *tree = some_tree(r, values);
    char *text = json_dumps(tree, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17) |
                                      (rand_below(r, 2) == 0 ? JSON_COMPACT : JSON_INDENT(2)) |
                                      (rand_below(r, 2) == 0 ? JSON_ENSURE_ASCII : 0));

    json_decref(tree);
    return text;
}

bool oracle_accepts(struct slice text)
{
    json_t *v = load(text);

    json_decref(v);
    return v != NULL;
}

bool oracle_is_same(struct slice a, struct slice b)
{
    json_t *x = load(a);
    json_t *y = load(b);
    bool same = x != NULL && y != NULL && json_equal(x, y);

    json_decref(x);
    json_decref(y);
    return same;
}

struct oracle *oracle_open(struct slice text)
{
    struct oracle *o = malloc(sizeof(*o));

    o->root = load(text);
    return o;
}

void oracle_close(struct oracle *o)
{
    json_decref(o->root);
    free(o);
}

/* All but the last part; the last to `last`. NULL: no such place. */
static json_t *parent_of(const struct oracle *o, struct slice pointer, char *last, size_t cap)
{
    json_t *at = o->root;
    size_t i = 0;

    while (at != NULL && i < pointer.len) {
        size_t n = 0;

        for (i++; i < pointer.len && pointer.ptr[i] != '/'; i++) {
            char c = pointer.ptr[i];

            if (c == '~') {
                c = pointer.ptr[++i] == '0' ? '~' : '/';
            }
            if (n + 1 < cap) {
                last[n++] = c;
            }
        }
        last[n] = '\0';
        if (i == pointer.len) {
            return at;
        }
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(last)) : json_object_get(at, last);
    }
    return NULL;
}

bool oracle_set(struct oracle *o, struct slice pointer, struct slice text)
{
    char last[128];
    json_t *v = load(text);
    json_t *parent = pointer.len == 0 ? NULL : parent_of(o, pointer, last, sizeof(last));

    if (pointer.len == 0) {
        json_decref(o->root);
        o->root = v;
        return v != NULL;
    }
    return json_is_array(parent) ? json_array_set_new(parent, (size_t)atoi(last), v) == 0
                                 : json_object_set_new(parent, last, v) == 0;
}

bool oracle_remove(struct oracle *o, struct slice pointer, unsigned count)
{
    char last[128];
    json_t *parent = parent_of(o, pointer, last, sizeof(last));
    bool fine = true;

    if (json_is_object(parent)) {
        return json_object_del(parent, last) == 0;
    }
    for (unsigned i = 0; i < count; i++) {
        fine = fine && json_array_remove(parent, (size_t)atoi(last)) == 0;
    }
    return fine;
}

bool oracle_insert(struct oracle *o, struct slice pointer, struct slice text)
{
    char last[128];
    json_t *parent = parent_of(o, pointer, last, sizeof(last));
    json_t *values = load(text);
    bool fine = parent != NULL && values != NULL;

    for (size_t i = 0; fine && i < json_array_size(values); i++) {
        fine = json_array_insert(parent, (size_t)atoi(last) + i, json_array_get(values, i)) == 0;
    }
    json_decref(values);
    return fine;
}

bool oracle_is(const struct oracle *o, struct slice text)
{
    json_t *v = load(text);
    bool same = v != NULL && json_equal(o->root, v);

    json_decref(v);
    return same;
}
