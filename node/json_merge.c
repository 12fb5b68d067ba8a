/* json_merge.c - merge patches (RFC 7396). */
#include "base/err.h"
#include "node/json_edit.h"
#include "node/slices.h"

#include <assert.h>

enum { LOOKS_FEW = 4096 }; /* beyond, names are looked up by hash */

/* An object being merged: first the target's members, then those that only the patch has. */
struct frame {
    struct json_walk target, patch;
    const char *target_object, *patch_object; /* target: NULL if it has none */
    struct json_names target_names, patch_names;
    bool hashed;
    size_t at; /* of its head in out */
    uint32_t count;
};

struct merger {
    struct buf *out;
    struct frame v[JSON_DEPTH_MAX];
    unsigned depth;
};

static int push(struct merger *m, const char *target, const char *patch)
{
    struct frame *f;
    int err;

    assert(m->depth < JSON_DEPTH_MAX);
    f = &m->v[m->depth];
    *f = (struct frame){.patch_object = patch};
    json_walk_begin(patch, &f->patch);
    if (target != NULL && json_tag(target) == JSON_OBJECT) {
        f->target_object = target;
        json_walk_begin(target, &f->target);
        f->hashed = (uint64_t)json_count(target) * json_count(patch) > LOOKS_FEW;
    }
    err = json_put_begin(m->out, JSON_OBJECT, &f->at);
    if (err == OK && f->hashed) {
        err = json_names_make(&f->target_names, target);
        err = err == OK ? json_names_make(&f->patch_names, patch) : err;
    }
    m->depth++;
    return err;
}

static void pop(struct merger *m)
{
    struct frame *f = &m->v[--m->depth];

    json_names_fini(&f->target_names);
    json_names_fini(&f->patch_names);
}

static const char *in_patch(const struct frame *f, struct slice name)
{
    return f->hashed ? json_names_find(&f->patch_names, name) : json_member(f->patch_object, name);
}

static const char *in_target(const struct frame *f, struct slice name)
{
    if (f->target_object == NULL) {
        return NULL;
    }
    return f->hashed ? json_names_find(&f->target_names, name)
                     : json_member(f->target_object, name);
}

/* A member of the result; an object of the patch is pushed. */
static int put_member(struct merger *m, struct slice name, const char *target, const char *patch)
{
    struct frame *f = &m->v[m->depth - 1];
    const char *value = patch != NULL ? patch : target;
    int err;

    assert(value != NULL);
    if (patch != NULL && json_tag(patch) == JSON_NULL) {
        return OK;
    }
    f->count++;
    err = json_put_name(m->out, name);
    if (err == OK && patch != NULL && json_tag(patch) == JSON_OBJECT) {
        return push(m, target, patch);
    }
    return err == OK ? buf_append_slice(m->out, json_slice(value)) : err;
}

static int step(struct merger *m)
{
    struct frame *f = &m->v[m->depth - 1];
    struct json_child child;

    if (f->target_object != NULL && json_walk_next(&f->target, &child)) {
        return put_member(m, child.name, child.value, in_patch(f, child.name));
    }
    if (json_walk_next(&f->patch, &child)) {
        return in_target(f, child.name) != NULL ? OK : put_member(m, child.name, NULL, child.value);
    }
    json_put_end(m->out, f->at, f->count);
    pop(m);
    return OK;
}

int json_merge(const char *target, const char *patch, struct buf *out)
{
    struct merger m = {.out = out, .depth = 0};
    size_t begin = out->len;
    int err;

    if (json_tag(patch) != JSON_OBJECT) {
        return buf_append_slice(out, json_slice(patch));
    }
    err = push(&m, target, patch);
    while (err == OK && m.depth > 0) {
        if (!slices_tick(2)) {
            err = ERR_NOMEM; /* given up */
            break;
        }
        err = step(&m);
        if (err == OK && out->len - begin > 2 * (size_t)JSON_BYTES_MAX) {
            err = ERR_LIMIT;
        }
    }
    while (m.depth > 0) {
        pop(&m);
    }
    return err;
}
