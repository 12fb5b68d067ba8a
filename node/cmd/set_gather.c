/* set_gather.c - lists of members, whole sets or drawn by chance. */
#include "base/mem.h"
#include "node/cmd/set.h"
#include "node/slices.h"

enum {
    PAGE_DIGITS = 200,
    LIST_MOST = 4096 /* a set of so many is listed before some are drawn */
};

struct gather_page {
    struct gather_page *next;
    size_t used;
    struct set_digits digits[PAGE_DIGITS];
};

void gather_fini(struct gather *g)
{
    mem_free(g->v, g->cap * sizeof(g->v[0]));
    while (g->pages != NULL) {
        struct gather_page *p = g->pages;

        g->pages = p->next;
        mem_free(p, sizeof(*p));
    }
    *g = (struct gather){0};
}

void gather_reserve(struct gather *g, size_t n)
{
    size_t cap = g->cap == 0 ? 16 : g->cap;

    while (cap < g->count + n) {
        cap *= 2;
    }
    if (cap == g->cap || g->failed) {
        return;
    }
    struct slice *v = mem_realloc(g->v, g->cap * sizeof(*v), cap * sizeof(*v));

    if (v == NULL) {
        g->failed = true;
        return;
    }
    g->v = v;
    g->cap = cap;
}

static struct slice keep_digits(struct gather *g, struct slice text)
{
    if (g->pages == NULL || g->pages->used == PAGE_DIGITS) {
        struct gather_page *p = mem_alloc(sizeof(*p));

        if (p == NULL) {
            g->failed = true;
            return text;
        }
        p->used = 0;
        p->next = g->pages;
        g->pages = p;
    }
    char *at = g->pages->digits[g->pages->used++].text;

    memcpy(at, text.ptr, text.len);
    return (struct slice){at, text.len};
}

void gather_add(struct gather *g, struct slice member, bool borrowed)
{
    if (g->count == g->cap) {
        gather_reserve(g, 1);
    }
    if (!borrowed && !g->failed) {
        member = keep_digits(g, member);
    }
    if (!g->failed) {
        g->v[g->count++] = member;
    }
}

struct adding {
    struct gather *g;
    bool borrowed;
    /* of a walk that takes `want` of `left` */
    struct rand *r;
    size_t want, left;
};

static void add_member(struct slice member, void *arg)
{
    struct adding *a = arg;

    gather_add(a->g, member, a->borrowed);
}

void gather_set(struct gather *g, const struct set *s)
{
    struct adding a = {.g = g, .borrowed = !set_is_ints(s)};

    gather_reserve(g, set_count(s));
    set_each(s, add_member, &a);
}

/* A good part of a large set: one walk, each member with the chance that is left for it. */
static void add_by_chance(struct slice member, void *arg)
{
    struct adding *a = arg;

    if (rand_below(a->r, a->left) < a->want) {
        gather_add(a->g, member, true);
        a->want--;
    }
    a->left--;
}

/* Of a small set: listed, then shuffled as far as needed. */
static void gather_shuffled(struct gather *g, const struct set *s, size_t n, struct rand *r)
{
    size_t first = g->count;

    gather_set(g, s);
    for (size_t i = 0; i < n && !g->failed && slices_tick(1); i++) {
        size_t at = i + rand_below(r, g->count - first - i);
        struct slice drawn = g->v[first + at];

        g->v[first + at] = g->v[first + i];
        g->v[first + i] = drawn;
    }
    if (!g->failed) {
        g->count = first + n;
    }
}

/* A small part of a large set: drawn one by one, those drawn before passed over. They are known by where
 * they lie, in an open-addressing table at most half full. */
static void gather_apart(struct gather *g, const struct set *s, size_t n, struct rand *r)
{
    const char **seen;
    size_t cap = 16;
    struct set_digits room;

    while (cap < n * 2) {
        cap *= 2;
    }
    seen = mem_zalloc(cap * sizeof(seen[0]));
    g->failed = g->failed || seen == NULL;
    while (n > 0 && !g->failed && slices_tick(2)) {
        struct slice member = set_random(s, r, &room);
        size_t at = ((uintptr_t)member.ptr >> 4) * 0x9e3779b97f4a7c15u & (cap - 1);

        while (seen[at] != NULL && seen[at] != member.ptr) {
            at = (at + 1) & (cap - 1);
        }
        if (seen[at] == NULL) {
            seen[at] = member.ptr;
            gather_add(g, member, true);
            n--;
        }
    }
    mem_free(seen, cap * sizeof(seen[0]));
}

void gather_some(struct gather *g, const struct set *s, size_t n, struct rand *r)
{
    size_t total = set_count(s);

    if (n == 1) {
        struct set_digits room;

        gather_add(g, set_random(s, r, &room), !set_is_ints(s));
    } else if (s->large == NULL || total <= LIST_MOST) {
        gather_shuffled(g, s, n, r);
    } else if (n > total / 3) {
        struct adding a = {.g = g, .borrowed = true, .r = r, .want = n, .left = total};

        gather_reserve(g, n);
        set_each(s, add_by_chance, &a);
    } else {
        gather_reserve(g, n);
        gather_apart(g, s, n, r);
    }
}
