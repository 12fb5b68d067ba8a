/* conn_scratch.c - what a worker lends its connections for a turn, and keeps between turns. */
#include "edge/conn.h"

#include "base/mem.h"

enum { SPARES = 8 };

static struct conn_scratch *scratch_create(void)
{
    struct conn_scratch *s = mem_alloc(sizeof(*s));

    if (s != NULL) {
        s->next = NULL;
        s->args = s->own_args;
        s->args_cap = CONN_ARGS_MAX;
        s->args_used = 0;
    }
    return s;
}

static void scratch_destroy(struct conn_scratch *s)
{
    if (s->args != s->own_args) {
        mem_free(s->args, s->args_cap * sizeof(s->args[0]));
    }
    mem_free(s, sizeof(*s));
}

struct conn_scratch *conn_scratch_take(struct conn_set *set)
{
    struct conn_scratch *s = set->spare;

    if (s == NULL) {
        return scratch_create();
    }
    set->spare = s->next;
    set->spare_count--;
    return s;
}

void conn_scratch_give(struct conn_set *set, struct conn_scratch *s)
{
    if (s->args != s->own_args) {
        mem_free(s->args, s->args_cap * sizeof(s->args[0]));
        s->args = s->own_args;
        s->args_cap = CONN_ARGS_MAX;
    }
    if (set->spare_count >= SPARES) {
        scratch_destroy(s);
        return;
    }
    s->next = set->spare;
    set->spare = s;
    set->spare_count++;
}

void conn_scratch_free_all(struct conn_set *set)
{
    struct conn_scratch *s;

    while ((s = set->spare) != NULL) {
        set->spare = s->next;
        scratch_destroy(s);
    }
    if (set->scratch != NULL) {
        scratch_destroy(set->scratch);
        set->scratch = NULL;
    }
    set->spare_count = 0;
}
