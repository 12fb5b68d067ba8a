#include "node/library.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/database.h"
#include "node/exec.h"
#include "node/script.h"
#include "node/section.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- One library ---- */

static _Atomic uint64_t last_id;

static char *put_text(char *at, struct slice *to, struct slice text)
{
    *to = (struct slice){at, text.len};
    if (text.len > 0) {
        memcpy(at, text.ptr, text.len);
    }
    return at + text.len;
}

struct library *library_create(struct slice code, const struct library_head *head,
                               const struct function_def *defs, uint32_t count)
{
    size_t bytes = sizeof(struct library) + count * sizeof(struct function) + code.len;
    struct library *l;

    for (uint32_t i = 0; i < count; i++) {
        bytes += defs[i].name.len + defs[i].description.len;
    }
    l = mem_zalloc(bytes);
    if (l == NULL) {
        return NULL;
    }
    char *at = (char *)&l->functions[count];

    l->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    atomic_init(&l->refs, 1);
    l->bytes = bytes;
    l->count = count;
    l->body_at = head->body_at;
    at = put_text(at, &l->code, code);
    l->name = (struct slice){l->code.ptr + (head->name.ptr - code.ptr), head->name.len};
    for (uint32_t i = 0; i < count; i++) {
        struct function *f = &l->functions[i];

        f->library = l;
        f->flags = defs[i].flags;
        at = put_text(at, &f->name, defs[i].name);
        if (defs[i].description.ptr != NULL) {
            at = put_text(at, &f->description, defs[i].description);
        }
    }
    return l;
}

struct library *library_get(struct library *l)
{
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void library_put(struct library *l)
{
    if (l != NULL && atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(l, l->bytes);
    }
}

/* ---- The first line ---- */

bool library_is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = slice_lower(name.ptr[i]);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) {
            return false;
        }
    }
    return name.len > 0;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

enum word { WORD_NONE, WORD_IS, WORD_BAD };

/* As Redis' own lines, but for escapes, which no name has: quotes may stand around a word or its value. */
static enum word next_word(struct slice *line, struct slice *word, struct slice *value)
{
    size_t begins = 0;
    size_t n = 0;
    size_t ends;

    while (begins < line->len && is_blank(line->ptr[begins])) {
        begins++;
    }
    *line = (struct slice){line->ptr + begins, line->len - begins};
    while (n < line->len && !is_blank(line->ptr[n]) && line->ptr[n] != '"' &&
           line->ptr[n] != '\'') {
        n++;
    }
    ends = n;
    *word = (struct slice){line->ptr, n};
    *value = (struct slice){NULL, 0};
    if (n < line->len && !is_blank(line->ptr[n])) {
        const char *quote = memchr(line->ptr + n + 1, line->ptr[n], line->len - n - 1);

        if (quote == NULL) {
            return WORD_BAD;
        }
        *value = (struct slice){line->ptr + n + 1, (size_t)(quote - line->ptr) - n - 1};
        ends = (size_t)(quote - line->ptr) + 1;
        if (ends < line->len && !is_blank(line->ptr[ends])) {
            return WORD_BAD;
        }
        if (n == 0) {
            *word = *value;
            value->ptr = NULL;
        }
    }
    *line = (struct slice){line->ptr + ends, line->len - ends};
    return ends > 0 ? WORD_IS : WORD_NONE;
}

/* For "%.*s" in an error. */
#define SHORT(s) (int)((s).len < 200 ? (s).len : 200), (s).ptr

/* "name=x" */
static bool read_name(struct slice word, struct slice value, struct library_head *head,
                      char error[LIBRARY_ERROR_MAX])
{
    if (word.len < 5 || strncasecmp(word.ptr, "name=", 5) != 0) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR Invalid metadata value given: %.*s",
                       SHORT(word));
        return false;
    }
    if (head->name.ptr != NULL) {
        (void)snprintf(error, LIBRARY_ERROR_MAX,
                       "ERR Invalid metadata value, name argument was given multiple times");
        return false;
    }
    head->name =
        value.ptr != NULL && word.len == 5 ? value : (struct slice){word.ptr + 5, word.len - 5};
    return true;
}

static bool read_words(struct slice line, struct slice *engine, struct library_head *head,
                       char error[LIBRARY_ERROR_MAX])
{
    struct slice rest = line;
    struct slice word;
    struct slice value;
    enum word w;

    do { /* a quote without its end spoils all of it */
        w = next_word(&rest, &word, &value);
    } while (w == WORD_IS);
    if (w == WORD_BAD || next_word(&line, engine, &value) != WORD_IS) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR Invalid library metadata");
        return false;
    }
    while (next_word(&line, &word, &value) == WORD_IS) {
        if (!read_name(word, value, head, error)) {
            return false;
        }
    }
    return true;
}

bool library_read_head(struct slice code, struct library_head *head, char error[LIBRARY_ERROR_MAX])
{
    const char *end = code.len == 0 ? NULL : memchr(code.ptr, '\n', code.len);
    struct slice engine;

    *head = (struct library_head){0};
    if (code.len < 2 || memcmp(code.ptr, "#!", 2) != 0) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR Missing library metadata");
        return false;
    }
    if (end == NULL) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR Invalid library metadata");
        return false;
    }
    head->body_at = (size_t)(end - code.ptr);
    if (!read_words((struct slice){code.ptr, head->body_at}, &engine, head, error)) {
        return false;
    }
    if (head->name.ptr == NULL) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR Library name was not given");
        return false;
    }
    if (!library_is_name(head->name)) {
        (void)snprintf(error, LIBRARY_ERROR_MAX,
                       "ERR Library names can only contain letters, numbers, or underscores(_) and "
                       "must be at least one character long");
        return false;
    }
    engine = (struct slice){engine.ptr + 2, engine.len - 2};
    if (!slice_is_word(engine, "lua")) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR Engine '%.*s' not found", SHORT(engine));
        return false;
    }
    return true;
}

/* ---- Sets ---- */

static int order_without_case(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;

    for (size_t i = 0; i < n; i++) {
        int d = (unsigned char)slice_lower(a.ptr[i]) - (unsigned char)slice_lower(b.ptr[i]);

        if (d != 0) {
            return d;
        }
    }
    return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

static int by_library(const void *a, const void *b)
{
    return slice_order((*(struct library *const *)a)->name, (*(struct library *const *)b)->name);
}

static int by_function(const void *a, const void *b)
{
    return order_without_case((*(struct function *const *)a)->name,
                              (*(struct function *const *)b)->name);
}

static size_t own_bytes(uint32_t count, uint32_t functions)
{
    return sizeof(struct libraries) + count * sizeof(struct library *) +
           functions * sizeof(struct function *);
}

static void set_free(struct libraries *s)
{
    if (s != NULL) {
        for (uint32_t i = 0; i < s->count; i++) {
            library_put(s->v[i]);
        }
        mem_free(s, own_bytes(s->count, s->function_count));
    }
}

bool libraries_free(void *set, size_t *budget)
{
    *budget -= *budget > 0;
    set_free(set);
    return true;
}

/* What `from` has, without those of the name, and one more if it is not NULL. NULL: no memory. */
static struct libraries *set_make(const struct libraries *from, struct slice without,
                                  struct library *add)
{
    uint32_t count = add != NULL;
    uint32_t functions = add == NULL ? 0 : add->count;
    struct libraries *s;

    for (uint32_t i = 0; from != NULL && i < from->count; i++) {
        if (!slice_is(from->v[i]->name, without)) {
            count++;
            functions += from->v[i]->count;
        }
    }
    s = mem_zalloc(own_bytes(count, functions));
    if (s == NULL) {
        return NULL;
    }
    s->v = (struct library **)(void *)(s + 1);
    s->functions = (struct function **)(void *)(s->v + count);
    for (uint32_t i = 0; from != NULL && i < from->count; i++) {
        if (!slice_is(from->v[i]->name, without)) {
            s->v[s->count++] = library_get(from->v[i]);
        }
    }
    if (add != NULL) {
        s->v[s->count++] = library_get(add);
    }
    assert(s->count == count);
    s->bytes = own_bytes(count, functions);
    for (uint32_t i = 0; i < count; i++) {
        s->bytes += s->v[i]->bytes;
        for (uint32_t f = 0; f < s->v[i]->count; f++) {
            s->functions[s->function_count++] = &s->v[i]->functions[f];
        }
    }
    qsort(s->v, s->count, sizeof(struct library *), by_library);
    qsort(s->functions, s->function_count, sizeof(struct function *), by_function);
    return s;
}

/* ---- Looking ---- */

const struct libraries *libraries_of(const struct cmd *c)
{
    if (c->section != NULL) {
        return section_libraries(c->section);
    }
    /* Acquire: pairs with the release in section_commit(). */
    return atomic_load_explicit(&c->db->libraries, memory_order_acquire);
}

struct library *libraries_find(const struct libraries *s, struct slice name)
{
    uint32_t low = 0;
    uint32_t high = s == NULL ? 0 : s->count;

    while (low < high) {
        uint32_t at = low + (high - low) / 2;
        int order = slice_order(name, s->v[at]->name);

        if (order == 0) {
            return s->v[at];
        }
        low = order > 0 ? at + 1 : low;
        high = order < 0 ? at : high;
    }
    return NULL;
}

bool libraries_have(const struct libraries *s, uint64_t id)
{
    for (uint32_t i = 0; s != NULL && i < s->count; i++) {
        if (s->v[i]->id == id) {
            return true;
        }
    }
    return false;
}

struct function *libraries_find_function(const struct libraries *s, struct slice name)
{
    uint32_t low = 0;
    uint32_t high = s == NULL ? 0 : s->function_count;

    while (low < high) {
        uint32_t at = low + (high - low) / 2;
        int order = order_without_case(name, s->functions[at]->name);

        if (order == 0) {
            return s->functions[at];
        }
        low = order > 0 ? at + 1 : low;
        high = order < 0 ? at : high;
    }
    return NULL;
}

uint64_t library_mask(struct database *db, const struct request *r)
{
    const struct libraries *s = atomic_load_explicit(&db->libraries, memory_order_acquire);
    struct function *f = libraries_find_function(s, r->argv[1]);

    return f != NULL && atomic_load_explicit(&f->is_whole, memory_order_relaxed)
               ? UINT64_MAX >> (64 - PARTITIONS)
               : exec_mask(r);
}

/* ---- Writing ---- */

const char *libraries_refuse(const struct libraries *s, const struct library *l,
                             const struct library *without, char error[LIBRARY_ERROR_MAX])
{
    size_t bytes = l->bytes + (s == NULL ? 0 : s->bytes) - (without == NULL ? 0 : without->bytes);
    uint32_t functions =
        l->count + (s == NULL ? 0 : s->function_count) - (without == NULL ? 0 : without->count);

    for (uint32_t i = 0; i < l->count; i++) {
        const struct function *f = libraries_find_function(s, l->functions[i].name);

        if (f != NULL && f->library != without) {
            (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR Function %.*s already exists",
                           SHORT(l->functions[i].name));
            return error;
        }
    }
    if (s != NULL && s->count >= LIBRARIES_MAX && without == NULL) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR a database has at most %d libraries",
                       LIBRARIES_MAX);
        return error;
    }
    if (functions > LIBRARY_FUNCTIONS_MAX) {
        (void)snprintf(error, LIBRARY_ERROR_MAX, "ERR a database has at most %d functions",
                       LIBRARY_FUNCTIONS_MAX);
        return error;
    }
    if (bytes > LIBRARIES_BYTES_MAX) {
        (void)snprintf(error, LIBRARY_ERROR_MAX,
                       "ERR the libraries of a database take at most %d bytes",
                       LIBRARIES_BYTES_MAX);
        return error;
    }
    return NULL;
}

struct libraries *libraries_copy(const struct libraries *s)
{
    return set_make(s, (struct slice){NULL, 0}, NULL);
}

struct libraries *libraries_with(const struct libraries *s, struct library *add)
{
    return set_make(s, add->name, add);
}

static void become(struct cmd *c, struct libraries *s)
{
    if (s == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    section_put_libraries(c->section, s);
}

static int log_library(struct change_writer *w, const struct library *l)
{
    int err = change_put_library_begin(w, l->name, l->code);

    if (err != OK) {
        return err;
    }
    for (uint32_t i = 0; err == OK && i < l->count; i++) {
        const struct function *f = &l->functions[i];

        err = change_put_library_function(w, f->name, f->description, f->flags);
    }
    if (err != OK) {
        change_drop_open(w);
        return err;
    }
    change_put_library_end(w);
    return OK;
}

void libraries_put(struct cmd *c, struct library *l)
{
    if (log_library(section_change(c->section), l) != OK) {
        section_fail(c->section, SECTION_NOMEM);
    } else {
        become(c, set_make(libraries_of(c), l->name, l));
    }
    library_put(l);
}

void libraries_delete(struct cmd *c, struct slice name)
{
    if (change_delete_library(section_change(c->section), name) != OK) {
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    become(c, set_make(libraries_of(c), name, NULL));
}

void libraries_flush(struct cmd *c)
{
    if (change_flush_libraries(section_change(c->section)) != OK) {
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    become(c, set_make(NULL, (struct slice){NULL, 0}, NULL));
}
