#include "node/id_list.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#include <assert.h>

enum { PAGE_FIRST = 8 };

struct id_page {
    uint32_t from, count, cap;
    void *v[];
};

static size_t page_bytes(uint32_t cap)
{
    return sizeof(struct id_page) + cap * sizeof(void *);
}

static struct stream_id id_of(const void *thing)
{
    return *(const struct stream_id *)thing;
}

static struct stream_id page_id(const struct id_page *p, uint32_t i)
{
    return id_of(p->v[p->from + i]);
}

/* ---- Places ---- */

void *id_list_at(const struct id_list *l, struct id_at at)
{
    if (l->page_count == 0) {
        return at.page == 0 && at.index < l->count ? l->one : NULL;
    }
    if (at.page >= l->page_count || at.index >= l->pages[at.page]->count) {
        return NULL;
    }
    return l->pages[at.page]->v[l->pages[at.page]->from + at.index];
}

void id_list_set(struct id_list *l, struct id_at at, void *thing)
{
    if (l->page_count == 0) {
        l->one = thing;
    } else {
        l->pages[at.page]->v[l->pages[at.page]->from + at.index] = thing;
    }
}

static uint32_t in_page(const struct id_list *l, uint32_t page)
{
    return l->page_count == 0 ? (uint32_t)l->count : l->pages[page]->count;
}

static uint32_t pages_of(const struct id_list *l)
{
    return l->page_count == 0 ? 1 : l->page_count;
}

/* The first in the page that is not below id. */
static uint32_t seek_in_page(const struct id_page *p, struct stream_id id)
{
    uint32_t low = 0;
    uint32_t high = p->count;

    while (low < high) {
        uint32_t mid = (low + high) / 2;

        if (stream_id_order(page_id(p, mid), id) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* The page where id is or belongs: the last that begins at or below it. */
static uint32_t page_for(const struct id_list *l, struct stream_id id)
{
    uint32_t low = 0;
    uint32_t high = l->page_count - 1;

    if (stream_id_order(page_id(l->pages[high], 0), id) <= 0) {
        return high;
    }
    while (low < high) {
        uint32_t mid = (low + high + 1) / 2;

        if (stream_id_order(page_id(l->pages[mid], 0), id) <= 0) {
            low = mid;
        } else {
            high = mid - 1;
        }
    }
    return low;
}

bool id_list_seek(const struct id_list *l, struct stream_id id, struct id_at *out)
{
    *out = (struct id_at){0, 0};
    if (l->page_count == 0) {
        out->index = l->count > 0 && stream_id_order(id_of(l->one), id) < 0;
        return out->index < l->count;
    }
    out->page = page_for(l, id);
    out->index = seek_in_page(l->pages[out->page], id);
    if (out->index == l->pages[out->page]->count) {
        *out = (struct id_at){out->page + 1, 0};
    }
    return out->page < l->page_count;
}

bool id_list_seek_back(const struct id_list *l, struct stream_id id, struct id_at *out)
{
    if (!id_list_seek(l, id, out)) {
        return id_list_last(l, out);
    }
    return stream_id_order(id_of(id_list_at(l, *out)), id) == 0 || id_list_previous(l, out);
}

void *id_list_find(const struct id_list *l, struct stream_id id)
{
    struct id_at at;
    void *thing = id_list_seek(l, id, &at) ? id_list_at(l, at) : NULL;

    return thing != NULL && stream_id_order(id_of(thing), id) == 0 ? thing : NULL;
}

bool id_list_next(const struct id_list *l, struct id_at *at)
{
    if (at->index + 1 < in_page(l, at->page)) {
        at->index++;
        return true;
    }
    *at = (struct id_at){at->page + 1, 0};
    return at->page < pages_of(l);
}

bool id_list_previous(const struct id_list *l, struct id_at *at)
{
    if (at->index > 0) {
        at->index--;
        return true;
    }
    if (at->page == 0) {
        return false;
    }
    at->page--;
    at->index = in_page(l, at->page) - 1;
    return true;
}

bool id_list_first(const struct id_list *l, struct id_at *out)
{
    *out = (struct id_at){0, 0};
    return l->count > 0;
}

bool id_list_last(const struct id_list *l, struct id_at *out)
{
    uint32_t page = pages_of(l) - 1;

    *out = (struct id_at){page, l->count == 0 ? 0 : in_page(l, page) - 1};
    return l->count > 0;
}

/* ---- Pages ---- */

static struct id_page *page_create(uint32_t cap, size_t *bytes)
{
    struct id_page *p = mem_alloc(page_bytes(cap));

    if (p != NULL) {
        *p = (struct id_page){.cap = cap};
        *bytes += mem_size(page_bytes(cap));
    }
    return p;
}

static void page_free(struct id_page *p, size_t *bytes)
{
    *bytes -= mem_size(page_bytes(p->cap));
    mem_free(p, page_bytes(p->cap));
}

static void page_insert(struct id_page *p, uint32_t index, void *thing)
{
    if (p->from > 0 && index == p->count && p->from + index == p->cap) {
        /* All the way, so that a queue's next ones cost nothing. */
        buf_move(p->v, p->v + p->from, p->count * sizeof(void *));
        p->from = 0;
    } else if (p->from > 0 && (index < p->count / 2 || p->from + p->count == p->cap)) {
        buf_move(p->v + p->from - 1, p->v + p->from, index * sizeof(void *));
        p->from--;
    } else if (index < p->count) {
        buf_move(p->v + p->from + index + 1, p->v + p->from + index,
                 (p->count - index) * sizeof(void *));
    }
    p->v[p->from + index] = thing;
    p->count++;
}

static void page_take(struct id_page *p, uint32_t index)
{
    if (index < p->count / 2) {
        buf_move(p->v + p->from + 1, p->v + p->from, index * sizeof(void *));
        p->from++;
    } else {
        buf_move(p->v + p->from + index, p->v + p->from + index + 1,
                 (p->count - index - 1) * sizeof(void *));
    }
    p->count--;
}

/* Room for one more page in the array. */
static int pages_reserve(struct id_list *l, size_t *bytes)
{
    uint32_t cap = l->page_cap * 2;

    if (l->page_count < l->page_cap) {
        return OK;
    }
    struct id_page **pages =
        mem_realloc(l->pages, l->page_cap * sizeof(*pages), cap * sizeof(*pages));

    if (pages == NULL) {
        return ERR_NOMEM;
    }
    *bytes += mem_size(cap * sizeof(*pages)) - mem_size(l->page_cap * sizeof(*pages));
    l->pages = pages;
    l->page_cap = cap;
    return OK;
}

static void pages_insert(struct id_list *l, uint32_t index, struct id_page *p)
{
    buf_move(l->pages + index + 1, l->pages + index,
             (l->page_count - index) * sizeof(struct id_page *));
    l->pages[index] = p;
    l->page_count++;
}

static void pages_take(struct id_list *l, uint32_t index, size_t *bytes)
{
    page_free(l->pages[index], bytes);
    l->page_count--;
    buf_move(l->pages + index, l->pages + index + 1,
             (l->page_count - index) * sizeof(struct id_page *));
}

/* From one to pages. */
static int begin_pages(struct id_list *l, size_t *bytes)
{
    struct id_page **pages = mem_alloc(sizeof(*pages));
    struct id_page *p = page_create(PAGE_FIRST, bytes);

    if (pages == NULL || p == NULL) {
        mem_free(pages, sizeof(*pages));
        if (p != NULL) {
            page_free(p, bytes);
        }
        return ERR_NOMEM;
    }
    *bytes += mem_size(sizeof(*pages));
    page_insert(p, 0, l->one);
    pages[0] = p;
    l->pages = pages;
    l->page_count = l->page_cap = 1;
    return OK;
}

/* Back to one, or none. */
static void end_pages(struct id_list *l, size_t *bytes)
{
    void *one = l->count == 0 ? NULL : l->pages[0]->v[l->pages[0]->from];

    assert(l->page_count == 1);
    page_free(l->pages[0], bytes);
    *bytes -= mem_size(l->page_cap * sizeof(*l->pages));
    mem_free(l->pages, l->page_cap * sizeof(*l->pages));
    l->one = one;
    l->page_count = l->page_cap = 0;
}

static int grow_page(struct id_list *l, uint32_t index, size_t *bytes)
{
    struct id_page *p = l->pages[index];
    uint32_t cap = p->cap * 2;
    struct id_page *now = mem_realloc(p, page_bytes(p->cap), page_bytes(cap));

    if (now == NULL) {
        return ERR_NOMEM;
    }
    *bytes += mem_size(page_bytes(cap)) - mem_size(page_bytes(now->cap));
    now->cap = cap;
    l->pages[index] = now;
    return OK;
}

/* The page is full: a new one behind it, empty when adding at the list's end, else with its second half. */
static int split_page(struct id_list *l, uint32_t index, bool at_end, size_t *bytes)
{
    struct id_page *p = l->pages[index];

    if (pages_reserve(l, bytes) != OK) {
        return ERR_NOMEM;
    }
    struct id_page *behind = page_create(ID_PAGE, bytes);

    if (behind == NULL) {
        return ERR_NOMEM;
    }
    if (!at_end) {
        behind->count = p->count / 2;
        p->count -= behind->count;
        memcpy(behind->v, p->v + p->from + p->count, behind->count * sizeof(void *));
    }
    pages_insert(l, index + 1, behind);
    return OK;
}

int id_list_put(struct id_list *l, void *thing, size_t *bytes)
{
    struct stream_id id = id_of(thing);

    if (l->count == 0) {
        l->one = thing;
        l->count = 1;
        return OK;
    }
    if (l->page_count == 0 && begin_pages(l, bytes) != OK) {
        return ERR_NOMEM;
    }
    uint32_t page = page_for(l, id);
    uint32_t index = seek_in_page(l->pages[page], id);

    if (l->pages[page]->count == l->pages[page]->cap) {
        bool at_end = page + 1 == l->page_count && index == l->pages[page]->count;
        int err = l->pages[page]->cap < ID_PAGE ? grow_page(l, page, bytes)
                                                : split_page(l, page, at_end, bytes);

        if (err != OK) {
            return err;
        }
        if (index > l->pages[page]->count || (at_end && l->pages[page]->count == ID_PAGE)) {
            index -= l->pages[page++]->count;
        }
    }
    page_insert(l->pages[page], index, thing);
    l->count++;
    return OK;
}

/* A page that has become small joins its neighbour, if both then have room to grow. */
static void join_page(struct id_list *l, uint32_t page, size_t *bytes)
{
    if (page + 1 == l->page_count) {
        page--;
    }
    struct id_page *a = l->pages[page];
    struct id_page *b = l->pages[page + 1];

    if (a->count + b->count > ID_PAGE / 2) {
        return;
    }
    buf_move(a->v, a->v + a->from, a->count * sizeof(void *));
    memcpy(a->v + a->count, b->v + b->from, b->count * sizeof(void *));
    a->from = 0;
    a->count += b->count;
    pages_take(l, page + 1, bytes);
}

static void remove_at(struct id_list *l, struct id_at at, size_t *bytes)
{
    l->count--;
    if (l->page_count == 0) {
        l->one = NULL;
        return;
    }
    struct id_page *p = l->pages[at.page];

    page_take(p, at.index);
    if (p->count == 0 && l->page_count > 1) {
        pages_take(l, at.page, bytes);
    } else if (p->count < ID_PAGE / 4 && l->page_count > 1 && at.index > 0) {
        join_page(l, at.page, bytes);
    }
    if (l->count <= 1 && l->page_count == 1) {
        end_pages(l, bytes);
    }
}

bool id_list_remove(struct id_list *l, const void *thing, size_t *bytes)
{
    struct id_at at;

    bool more = id_list_seek(l, id_of(thing), &at);

    /* Of the same id there may be some that left and await their section's end. */
    while (more && id_list_at(l, at) != thing) {
        more = id_list_next(l, &at) && stream_id_order(id_of(id_list_at(l, at)), id_of(thing)) == 0;
    }
    if (more) {
        remove_at(l, at, bytes);
    }
    return more;
}

size_t id_list_bytes(const struct id_list *l)
{
    size_t bytes = l->page_count == 0 ? 0 : mem_size(l->page_cap * sizeof(*l->pages));

    for (uint32_t i = 0; i < l->page_count; i++) {
        bytes += mem_size(page_bytes(l->pages[i]->cap));
    }
    return bytes;
}

void *id_list_pop(struct id_list *l, size_t *bytes)
{
    struct id_at at;

    if (!id_list_last(l, &at)) {
        return NULL;
    }
    void *thing = id_list_at(l, at);

    at.index = in_page(l, at.page) - 1;
    if (l->page_count > 1) {
        l->count--;
        page_take(l->pages[at.page], at.index);
        if (l->pages[at.page]->count == 0) {
            pages_take(l, at.page, bytes);
        }
    } else {
        remove_at(l, at, bytes);
    }
    return thing;
}
