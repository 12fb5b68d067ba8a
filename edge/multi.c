#include "edge/multi.h"

#include "base/err.h"
#include "base/mem.h"

struct multi *multi_create(void)
{
    struct multi *m = mem_zalloc(sizeof(*m));

    if (m != NULL) {
        m->bytes = sizeof(*m);
    }
    return m;
}

/* The arguments of a request lie behind their slices, in one block. */
struct block {
    size_t bytes;
    struct slice argv[];
};

static size_t block_bytes(const struct request *q)
{
    size_t bytes = sizeof(struct block) + q->argc * sizeof(q->argv[0]);

    for (uint32_t i = 0; i < q->argc; i++) {
        bytes += q->argv[i].len;
    }
    return bytes;
}

void multi_destroy(struct multi *m)
{
    if (m == NULL) {
        return;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        struct block *b =
            (struct block *)(void *)((char *)m->requests[i].argv - offsetof(struct block, argv));

        mem_free(b, b->bytes);
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
    size_t bytes = block_bytes(q);
    struct block *b;
    char *at;

    if (m->bytes + bytes > bytes_max) {
        return ERR_LIMIT;
    }
    if ((m->count == m->cap && !grow(m)) || (b = mem_alloc(bytes)) == NULL) {
        return ERR_NOMEM;
    }
    b->bytes = bytes;
    at = (char *)(b->argv + q->argc);
    for (uint32_t i = 0; i < q->argc; i++) {
        b->argv[i] = (struct slice){at, q->argv[i].len};
        if (q->argv[i].len > 0) {
            memcpy(at, q->argv[i].ptr, q->argv[i].len);
        }
        at += q->argv[i].len;
    }
    m->requests[m->count++] = (struct request){.def = q->def, .argv = b->argv, .argc = q->argc};
    m->bytes += bytes;
    return OK;
}
