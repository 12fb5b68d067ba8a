#include "edge/multi.h"

#include "base/err.h"
#include "base/mem.h"
#include "edge/args.h"

struct multi *multi_create(void)
{
    struct multi *m = mem_zalloc(sizeof(*m));

    if (m != NULL) {
        m->bytes = sizeof(*m);
    }
    return m;
}

static struct args *args_of(const struct request *q)
{
    return (struct args *)(void *)((char *)q->argv - offsetof(struct args, argv));
}

void multi_destroy(struct multi *m)
{
    if (m == NULL) {
        return;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        args_destroy(args_of(&m->requests[i]));
    }
    mem_free(m->requests, m->cap * sizeof(m->requests[0]));
    mem_free(m, sizeof(*m));
}

static bool grow(struct multi *m)
{
    uint32_t cap = m->cap == 0 ? 8 : m->cap * 2;
    struct request *v = mem_realloc(m->requests, m->cap * sizeof(v[0]), cap * sizeof(v[0]));

    if (v != NULL) {
        m->bytes += (cap - m->cap) * sizeof(v[0]);
        m->requests = v;
        m->cap = cap;
    }
    return v != NULL;
}

int multi_add(struct multi *m, const struct request *q, size_t bytes_max)
{
    size_t bytes = args_bytes(q->argv, q->argc);
    struct args *a;

    if (m->bytes + bytes > bytes_max) {
        return ERR_LIMIT;
    }
    if ((m->count == m->cap && !grow(m)) || (a = args_copy(q->argv, q->argc)) == NULL) {
        return ERR_NOMEM;
    }
    m->requests[m->count++] = (struct request){.def = q->def, .argv = a->argv, .argc = q->argc};
    m->bytes += bytes;
    return OK;
}
