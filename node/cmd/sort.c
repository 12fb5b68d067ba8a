/* sort.c - SORT and SORT_RO, over any type that has elements.
 *
 * The elements are copied while the key is open; what BY and GET name is looked up afterwards, one key at
 * a time. exec locks, or compares the versions of, all partitions when there are such patterns
 * (CMD_PATTERNS), so that what is read is of one moment.
 */
#include "base/mem.h"
#include "base/parse.h"
#include "edge/acl.h"
#include "node/cmd/families.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/slices.h"
#include "node/type.h"
#include "node/type_hash.h"
#include "node/type_list.h"
#include "node/type_set.h"
#include "node/type_string.h"
#include "node/type_zset.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum {
    LONG_BYTES = 32 << 10, /* of a value that is sorted in slices */
    ELEMENT_BYTES = 8      /* of the shortest, about */
};

struct item {
    size_t at, len; /* of the element, in sort.bytes */
    size_t by_at, by_len;
    double score;
    bool has_by;
    size_t number; /* as loaded: equals stay in their order */
};

struct sort {
    struct cmd *c;
    struct slice by, store;
    uint32_t *gets; /* owned: indexes into argv of GET's patterns */
    size_t get_count;
    int64_t offset, limit; /* limit -1: all */
    bool has_by, has_store, unsorted, alpha, descending;
    struct item *items; /* owned */
    size_t count, cap;
    const struct item *
        *sorted; /* owned: qsort() moves pointers, and long items at its end in one piece */
    size_t sorted_cap;
    struct buf bytes; /* elements, and what BY found */
    struct buf name;  /* of a key that a pattern makes */
    struct buf value; /* of one that was looked up */
    bool failed;      /* no memory */
};

static void sort_fini(struct sort *s)
{
    mem_free(s->gets, s->c->argc * sizeof(s->gets[0]));
    mem_free(s->items, s->cap * sizeof(s->items[0]));
    mem_free(s->sorted, s->sorted_cap * sizeof(s->sorted[0]));
    buf_fini(&s->bytes);
    buf_fini(&s->name);
    buf_fini(&s->value);
}

/* ---- Arguments ---- */

static bool limit_args(struct sort *s, uint32_t i)
{
    if (!parse_i64(s->c->argv[i], &s->offset) || !parse_i64(s->c->argv[i + 1], &s->limit)) {
        reply_err(s->c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    return true;
}

/* An option with an argument of its own. False: it is none. */
static bool option_with_value(struct sort *s, uint32_t i, bool may_store)
{
    const struct slice *argv = s->c->argv;

    if (i + 1 >= s->c->argc) {
        return false;
    }
    if (may_store && slice_is_word(argv[i], "store")) {
        s->store = argv[i + 1];
        s->has_store = true;
    } else if (slice_is_word(argv[i], "by")) {
        s->by = argv[i + 1];
        s->has_by = true;
        /* Once a constant, never sorted again: as Redis has it. */
        s->unsorted = s->unsorted || s->by.len == 0 || memchr(s->by.ptr, '*', s->by.len) == NULL;
    } else if (slice_is_word(argv[i], "get")) {
        s->gets[s->get_count++] = i + 1;
    } else {
        return false;
    }
    return true;
}

/* BY and GET look at keys that are not named, so the user must be allowed to read every key. True: it is
 * not, and the error was answered. */
static bool is_denied(struct sort *s, uint32_t i)
{
    const struct cmd *c = s->c;
    bool is_get = slice_is_word(c->argv[i], "get");

    if (i + 1 >= c->argc ||
        (!is_get && (!slice_is_word(c->argv[i], "by") ||
                     memchr(c->argv[i + 1].ptr, '*', c->argv[i + 1].len) == NULL))) {
        return false;
    }
    if (LIKELY(acl_reads_all(c->session, c->def, c->argv, c->argc))) {
        return false;
    }
    reply_errf(c->reply, "ERR %s option of SORT denied due to insufficient ACL permissions.",
               is_get ? "GET" : "BY");
    return true;
}

/* False when an error was answered. */
static bool options(struct sort *s, bool may_store)
{
    const struct cmd *c = s->c;

    s->limit = -1;
    s->gets = mem_alloc(c->argc * sizeof(s->gets[0]));
    /* One byte, so that there is a place for elements that have none. */
    if (s->gets == NULL || buf_reserve(&s->bytes, 1) != 0) {
        reply_err(c->reply, WIRE_NOMEM);
        return false;
    }
    for (uint32_t i = 2; i < c->argc; i++) {
        if (slice_is_word(c->argv[i], "asc")) {
            s->descending = false;
        } else if (slice_is_word(c->argv[i], "desc")) {
            s->descending = true;
        } else if (slice_is_word(c->argv[i], "alpha")) {
            s->alpha = true;
        } else if (i + 2 < c->argc && slice_is_word(c->argv[i], "limit")) {
            if (!limit_args(s, i + 1)) {
                return false;
            }
            i += 2;
        } else if (is_denied(s, i)) {
            return false;
        } else if (option_with_value(s, i, may_store)) {
            i++;
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    return true;
}

/* ---- Loading ---- */

/* Which of `count` in order LIMIT asks for. */
static void window(const struct sort *s, size_t count, size_t *from, size_t *n)
{
    *from = s->offset < 0 ? 0 : s->offset > (int64_t)count ? count : (size_t)s->offset;
    *n = count - *from;
    if (s->limit >= 0 && (uint64_t)s->limit < *n) {
        *n = (size_t)s->limit;
    }
}

static void sort_add(struct sort *s, struct slice element)
{
    if (s->count == s->cap) {
        size_t cap = s->cap == 0 ? 32 : 2 * s->cap;
        struct item *v = mem_realloc(s->items, s->cap * sizeof(*v), cap * sizeof(*v));

        if (v == NULL) {
            s->failed = true;
            return;
        }
        s->items = v;
        s->cap = cap;
    }
    size_t at = s->bytes.len;

    if (buf_append_slice(&s->bytes, element) != 0) {
        s->failed = true;
        return;
    }
    s->items[s->count] = (struct item){.at = at, .len = element.len, .number = s->count};
    s->count++;
}

/* In the order that is asked for, and no more than that, if it is not to be sorted. */
static enum found load_list(struct sort *s, struct key key)
{
    struct vlist_cursor at;
    struct vlist_view l;
    struct slice e;
    enum found found = vlist_open(s->c, key, &l);

    if (found != FOUND) {
        return found;
    }
    size_t count = vlist_count(&l);
    bool back = s->unsorted && s->descending;
    size_t from = 0;
    size_t n = count;

    if (s->unsorted) {
        window(s, count, &from, &n);
    }
    vlist_seek(&l, back ? count - from : from, &at);
    for (size_t i = 0; i < n && !s->failed; i++) {
        if (back ? vlist_prev(&at, &e) : vlist_next(&at, &e)) {
            sort_add(s, e);
        }
    }
    vlist_close(&l);
    return FOUND;
}

static void add_member(struct slice member, void *arg)
{
    sort_add(arg, member);
}

static enum found load_set(struct sort *s, struct key key)
{
    struct set set;
    enum found found = set_open(s->c, key, &set);

    if (found == FOUND) {
        set_each(&set, add_member, s);
        set_close(&set);
    }
    if (s->unsorted && s->has_store) {
        s->unsorted = false; /* what is stored must not hang on a table's order */
        s->alpha = true;
        s->has_by = false;
    }
    return found;
}

static enum found load_zset(struct sort *s, struct key key)
{
    struct zset_walk w;
    struct zset_item i;
    struct zset z;
    enum found found = zset_open(s->c, key, &z);

    if (found != FOUND) {
        return found;
    }
    size_t count = zset_count(&z);
    bool back = s->unsorted && s->descending;
    size_t from = 0;
    size_t n = count;

    if (s->unsorted) {
        window(s, count, &from, &n);
    }
    if (n > 0) {
        zset_walk_begin(&w, &z, back ? count - 1 - from : from, n, back);
    }
    while (n > 0 && !s->failed && zset_walk_next(&w, &i)) {
        sort_add(s, i.member);
    }
    zset_close(&z);
    return FOUND;
}

/* A row a type that can be sorted. Ordered: when it is not to be sorted, `load` heeds DESC and LIMIT. */
static const struct {
    enum found (*load)(struct sort *s, struct key key);
    bool is_ordered;
} sources[VALUE_TYPES] = {
    [TYPE_LIST] = {load_list, true},
    [TYPE_SET] = {load_set, false},
    [TYPE_ZSET] = {load_zset, true},
};

/* ---- Patterns ---- */

static struct slice element_of(const struct sort *s, const struct item *i)
{
    return (struct slice){s->bytes.ptr + i->at, i->len};
}

/* pattern's first `*` becomes the element, what follows "->" is a field. False: no memory. */
static bool make_name(struct sort *s, struct slice pattern, size_t star, struct slice element,
                      struct slice *field)
{
    const char *end = pattern.ptr + pattern.len;
    const char *behind = pattern.ptr + star + 1;
    const char *arrow = memmem(behind, (size_t)(end - behind), "->", 2);

    *field = (struct slice){NULL, 0};
    if (arrow != NULL && arrow + 2 < end) {
        *field = (struct slice){arrow + 2, (size_t)(end - arrow) - 2};
        end = arrow;
    }
    buf_clear(&s->name);
    return buf_append(&s->name, pattern.ptr, star) == 0 &&
           buf_append_slice(&s->name, element) == 0 &&
           buf_append(&s->name, behind, (size_t)(end - behind)) == 0;
}

static bool look_up_field(struct sort *s, struct key key, struct slice name)
{
    struct hash_field f;
    struct hash h;
    bool there;

    if (hash_open(s->c, key, &h) != FOUND) {
        return false;
    }
    there = hash_get(&h, name, &f);
    if (there && buf_append_slice(&s->value, f.value) != 0) {
        s->failed = true;
    }
    hash_close(&h);
    return there;
}

static bool look_up_string(struct sort *s, struct key key)
{
    struct string_value v;

    if (string_read(s->c, key, &v) != FOUND) {
        return false;
    }
    if (buf_reserve(&s->value, v.len) != 0) {
        s->failed = true;
    }
    for (size_t at = 0; at < v.len && !s->failed;) {
        struct slice piece = string_chunk(&v, at);

        buf_append_nofail(&s->value, piece.ptr, piece.len);
        at += piece.len;
    }
    return true;
}

/* What a pattern names for an element; *out is good until the next. False: nothing, or failed. */
static bool look_up(struct sort *s, struct slice pattern, struct slice element, struct slice *out)
{
    const char *star = pattern.len == 0 ? NULL : memchr(pattern.ptr, '*', pattern.len);
    struct slice field;

    if (slice_is(pattern, SLICE("#"))) {
        *out = element;
        return true;
    }
    if (star == NULL) {
        return false;
    }
    if (!make_name(s, pattern, (size_t)(star - pattern.ptr), element, &field)) {
        s->failed = true;
        return false;
    }
    struct key key = key_of(buf_slice(&s->name));

    buf_clear(&s->value);
    bool there = field.len > 0 ? look_up_field(s, key, field) : look_up_string(s, key);

    *out = buf_slice(&s->value);
    return there && !s->failed;
}

/* ---- Sorting ---- */

/* As strtod() reads it: blanks before it, "0x10" and nothing at all are numbers. */
static bool score_of(struct sort *s, struct slice text, double *out)
{
    char *end;

    buf_clear(&s->name);
    if (buf_append_slice(&s->name, text) != 0 || buf_terminate(&s->name) != 0) {
        s->failed = true;
        return true;
    }
    errno = 0;
    *out = strtod(s->name.ptr, &end);
    return *end == '\0' && errno != ERANGE && !isnan(*out);
}

/* By what each is sorted. False when an error was answered. */
static bool weigh(struct sort *s)
{
    bool all = true;

    for (size_t i = 0; i < s->count && !s->failed && slices_tick(4); i++) {
        struct item *it = &s->items[i];
        struct slice by = element_of(s, it);

        if (s->has_by && !look_up(s, s->by, by, &by)) {
            continue;
        }
        if (!s->alpha) {
            all = score_of(s, by, &it->score) && all;
        } else if (s->has_by) {
            it->has_by = true;
            it->by_at = s->bytes.len;
            it->by_len = by.len;
            s->failed = buf_append_slice(&s->bytes, by) != 0;
        }
    }
    if (!all && !s->failed) {
        reply_errf(s->c->reply, "ERR One or more scores can't be converted into double");
    }
    return all || s->failed;
}

static int order_by(const struct sort *s, const struct item *a, const struct item *b)
{
    if (!a->has_by || !b->has_by) {
        return (int)a->has_by - (int)b->has_by;
    }
    return slice_order((struct slice){s->bytes.ptr + a->by_at, a->by_len},
                       (struct slice){s->bytes.ptr + b->by_at, b->by_len});
}

static int order(const void *left, const void *right, void *arg)
{
    const struct sort *s = arg;
    const struct item *a = *(const struct item *const *)left;
    const struct item *b = *(const struct item *const *)right;
    int c;

    if (!slices_tick(2)) {
        return 0;
    }
    if (s->alpha && s->has_by) {
        c = order_by(s, a, b);
    } else {
        c = s->alpha ? 0 : (a->score > b->score) - (a->score < b->score);
        c = c != 0 ? c : slice_order(element_of(s, a), element_of(s, b));
    }
    if (c == 0) {
        return (a->number > b->number) - (a->number < b->number);
    }
    return s->descending ? -c : c;
}

static void sort_items(struct sort *s)
{
    s->sorted = s->count == 0 ? NULL : mem_alloc(s->count * sizeof(s->sorted[0]));
    if (s->count == 0 || s->sorted == NULL) {
        s->failed = s->count > 0;
        return;
    }
    s->sorted_cap = s->count;
    for (size_t i = 0; i < s->count; i++) {
        s->sorted[i] = &s->items[i];
        if (!slices_tick(1)) {
            s->failed = true; /* given up */
            return;
        }
    }
    qsort_r(s->sorted, s->count, sizeof(s->sorted[0]), order, s);
}

/* The i-th of the result. */
static const struct item *item_at(const struct sort *s, size_t i)
{
    return s->sorted == NULL ? &s->items[i] : s->sorted[i];
}

/* ---- Answering ---- */

static void reply_sorted(struct sort *s, size_t from, size_t n)
{
    struct reply *r = s->c->reply;

    reply_array(r, s->get_count == 0 ? n : n * s->get_count);
    for (size_t i = from; i < from + n && !r->failed && slices_tick(1 + 4 * s->get_count); i++) {
        struct slice e = element_of(s, item_at(s, i));
        struct slice value;

        if (s->get_count == 0) {
            reply_bulk(r, e);
        }
        for (size_t k = 0; k < s->get_count; k++) {
            if (look_up(s, s->c->argv[s->gets[k]], e, &value)) {
                reply_bulk(r, value);
            } else {
                reply_null(r);
            }
        }
    }
    r->failed = r->failed || s->failed;
}

/* What GET finds is put behind the elements; what it does not find becomes an empty string. */
static void store_sorted(struct sort *s, size_t from, size_t n)
{
    size_t each = s->get_count == 0 ? 1 : s->get_count;
    size_t total = n * each;
    struct slice *v = total == 0 ? NULL : mem_alloc(total * sizeof(v[0]));
    struct slice found;

    if (total > 0 && v == NULL) {
        s->failed = true;
        return;
    }
    for (size_t i = 0; i < total && !s->failed && slices_tick(4); i++) {
        const struct item *it = item_at(s, from + i / each);

        v[i] = (struct slice){(const char *)(uintptr_t)it->at, it->len};
        if (s->get_count > 0) {
            v[i] = (struct slice){(const char *)(uintptr_t)s->bytes.len, 0};
            if (look_up(s, s->c->argv[s->gets[i % each]], element_of(s, it), &found)) {
                v[i].len = found.len;
                s->failed = buf_reserve(&s->bytes, found.len) != 0;
                /* The element itself may have moved just now. */
                found =
                    slice_is(s->c->argv[s->gets[i % each]], SLICE("#")) ? element_of(s, it) : found;
                if (!s->failed) {
                    buf_append_nofail(&s->bytes, found.ptr, found.len);
                }
            }
        }
    }
    /* Places become pointers when the bytes move no more. */
    for (size_t i = 0; i < total && !s->failed && slices_tick(1); i++) {
        v[i].ptr = s->bytes.ptr + (uintptr_t)v[i].ptr;
    }
    if (!s->failed) {
        vlist_store(s->c, key_of(s->store), v, total);
        if (total > 0) {
            notify(s->c, NOTIFY_LIST, "sortstore", s->store);
        }
        reply_int(s->c->reply, (int64_t)total);
    }
    mem_free(v, total * sizeof(v[0]));
}

/* Room for all at once, so that it does not grow by copying what there is; without, it grows. */
static void expect(struct sort *s, const struct entry *e)
{
    size_t bytes = type_bytes(e);
    size_t cap = bytes / ELEMENT_BYTES;
    struct item *v = buf_reserve(&s->bytes, bytes) == 0 ? mem_alloc(cap * sizeof(*v)) : NULL;

    if (v != NULL) {
        s->items = v;
        s->cap = cap;
    }
}

static void sort_elements(struct sort *s)
{
    struct key key = cmd_key(s->c, 1);
    const struct entry *e = keyspace_peek(s->c, key);
    enum value_type type = e == NULL ? TYPE_LIST : (enum value_type)e->type;
    size_t from = 0;
    size_t n;

    if (slices_take(s->c, e != NULL && type_bytes(e) > LONG_BYTES)) {
        return;
    }
    if (slices_running != NULL && e != NULL) {
        expect(s, e);
    }
    if (sources[type].load == NULL || (e != NULL && sources[type].load(s, key) == WRONG_TYPE)) {
        reply_err(s->c->reply, WIRE_WRONGTYPE);
        return;
    }
    n = s->count;
    if (!s->unsorted) {
        if (!weigh(s)) {
            return;
        }
        if (!s->failed) {
            sort_items(s);
        }
    }
    if (!s->unsorted || !sources[type].is_ordered) {
        window(s, s->count, &from, &n);
    }
    if (!s->failed && s->has_store) {
        store_sorted(s, from, n);
    } else if (!s->failed) {
        reply_sorted(s, from, n);
        return;
    }
    if (s->failed) { /* all of it is asked for before anything is changed */
        reply_err(s->c->reply, WIRE_NOMEM);
    }
}

static void sort(struct cmd *c, bool may_store)
{
    struct sort s = {.c = c};

    if (options(&s, may_store)) {
        sort_elements(&s);
    }
    sort_fini(&s);
}

static void cmd_sort(struct cmd *c)
{
    sort(c, true);
}

static void cmd_sort_ro(struct cmd *c)
{
    sort(c, false);
}

/* clang-format off */
struct cmd_def sort_cmds[] = {
    { .name = "SORT", .arity = -2, .flags = CMD_WRITE | CMD_GROWS | CMD_PATTERNS,
      .keys = { CMD_KEYS_MOVABLE, 1, 1, 1 }, .since = "1.0.0", .run = cmd_sort,
      .args = "key [BY by-pattern] [LIMIT offset count] [GET get-pattern [GET get-pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]",
      .summary = "Sorts the elements of a list, or what other keys say of them; stores the result if asked." },
    { .name = "SORT_RO", .arity = -2, .flags = CMD_READ | CMD_PATTERNS,
      .keys = { CMD_KEYS_MOVABLE, 1, 1, 1 }, .since = "7.0.0", .run = cmd_sort_ro,
      .args = "key [BY by-pattern] [LIMIT offset count] [GET get-pattern [GET get-pattern ...]] [ASC | DESC] [ALPHA]",
      .summary = "As SORT, without STORE." },
    CMD_END
};
/* clang-format on */
