#include "node/cmd/list.h"

#include "base/mem.h"
#include "base/parse.h"
#include "node/cmd/families.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/slices.h"

enum { HEAD_BYTES = 8 }; /* of an element in a reply, and its end */

/* ---- Arguments ---- */

bool list_end_arg(struct slice word, enum vlist_end *out)
{
    if (!slice_is_word(word, "left") && !slice_is_word(word, "right")) {
        return false;
    }
    *out = slice_lower(word.ptr[0]) == 'l' ? LIST_HEAD : LIST_TAIL;
    return true;
}

bool list_arg(struct cmd *c, uint32_t index, struct vlist_view *l, bool *found)
{
    enum found f = vlist_open(c, cmd_key(c, index), l);

    *found = f == FOUND;
    if (f == WRONG_TYPE) {
        reply_err(c->reply, WIRE_WRONGTYPE);
    }
    return f != WRONG_TYPE;
}

/* The count of elements, 0 when it is absent. False when an error was answered. */
static bool length_arg(struct cmd *c, uint32_t index, size_t *out)
{
    struct vlist_view l;
    bool found;

    *out = 0;
    if (!list_arg(c, index, &l, &found)) {
        return false;
    }
    if (found) {
        *out = vlist_count(&l);
        vlist_close(&l);
    }
    return true;
}

static bool integer_arg(struct cmd *c, uint32_t index, int64_t *out)
{
    if (!parse_i64(c->argv[index], out)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    return true;
}

/* As integer_arg(), but for the one number whose opposite is none. */
static bool opposable_arg(struct cmd *c, uint32_t index, int64_t *out)
{
    if (!integer_arg(c, index, out)) {
        return false;
    }
    if (*out == INT64_MIN) {
        reply_errf(c->reply, "ERR value is out of range, value must between -%lld and %lld",
                   (long long)INT64_MAX, (long long)INT64_MAX);
        return false;
    }
    return true;
}

/* At least `least`, else the text is answered. */
static bool count_arg(struct cmd *c, uint32_t index, int64_t least, const char *otherwise,
                      int64_t *out)
{
    if (!parse_i64(c->argv[index], out) || *out < least) {
        reply_errf(c->reply, "ERR %s", otherwise);
        return false;
    }
    return true;
}

/* start and stop, either of which may count from the end, as the range [*from, *to) within the list. */
static void clamp(int64_t start, int64_t stop, size_t count, size_t *from, size_t *to)
{
    int64_t n = (int64_t)count;

    start = start < 0 ? start + n : start;
    stop = stop < 0 ? stop + n : stop;
    start = start < 0 ? 0 : start;
    stop = stop >= n ? n - 1 : stop;
    *from = *to = 0;
    if (start <= stop && start < n) {
        *from = (size_t)start;
        *to = (size_t)stop + 1;
    }
}

/* ---- Pushing ---- */

static void tell_pushed(struct cmd *c, struct key key, enum vlist_end end)
{
    notify(c, NOTIFY_LIST, end == LIST_HEAD ? "lpush" : "rpush", key.name);
}

static void tell_popped(struct cmd *c, struct key key, enum vlist_end end)
{
    notify_taken(c, NOTIFY_LIST, end == LIST_HEAD ? "lpop" : "rpop", key);
}

static void push(struct cmd *c, enum vlist_end end, bool create)
{
    size_t count;

    if (slices_take(c, c->argc > SLICES_FEW) || !length_arg(c, 1, &count)) {
        return;
    }
    if (count > 0 || create) {
        vlist_push(c, cmd_key(c, 1), end, c->argv + 2, c->argc - 2);
        count += c->argc - 2;
        tell_pushed(c, cmd_key(c, 1), end);
    }
    reply_int(c->reply, (int64_t)count);
}

static void cmd_lpush(struct cmd *c)
{
    push(c, LIST_HEAD, true);
}

static void cmd_rpush(struct cmd *c)
{
    push(c, LIST_TAIL, true);
}

static void cmd_lpushx(struct cmd *c)
{
    push(c, LIST_HEAD, false);
}

static void cmd_rpushx(struct cmd *c)
{
    push(c, LIST_TAIL, false);
}

/* ---- Popping ---- */

enum found list_take_one(struct cmd *c, struct key key, enum vlist_end end)
{
    struct vlist_view l;
    enum found found = vlist_open(c, key, &l);

    if (found == FOUND) {
        reply_bulk(c->reply, vlist_at(&l, end == LIST_HEAD ? 0 : vlist_count(&l) - 1));
        vlist_close(&l);
        vlist_pop(c, key, end, 1);
        tell_popped(c, key, end);
    }
    return found;
}

/* n elements from a place on, in either direction; it has them. */
static void reply_run(struct cmd *c, struct vlist_cursor *at, size_t n, bool backwards)
{
    struct slice s;

    for (size_t i = 0; i < n && !c->reply->failed; i++) {
        if (backwards ? vlist_prev(at, &s) : vlist_next(at, &s)) {
            reply_bulk(c->reply, s);
        }
    }
}

enum found list_take_some(struct cmd *c, struct key key, enum vlist_end end, uint64_t most)
{
    struct vlist_cursor at;
    struct vlist_view l;
    enum found found = vlist_open(c, key, &l);

    if (found != FOUND) {
        return found;
    }
    size_t count = vlist_count(&l);
    size_t n = most < count ? (size_t)most : count;

    reply_array(c->reply, n);
    vlist_seek(&l, end == LIST_HEAD ? 0 : count, &at);
    reply_run(c, &at, n, end == LIST_TAIL);
    vlist_close(&l);
    vlist_pop(c, key, end, n);
    if (n > 0) {
        tell_popped(c, key, end);
    }
    return FOUND;
}

/* Whether so many are asked for, and may be there. */
static bool takes_much(struct cmd *c, uint32_t index, uint64_t most)
{
    const struct entry *e = most <= SLICES_FEW ? NULL : keyspace_peek(c, cmd_key(c, index));

    return e != NULL && large_of(e) != NULL;
}

static void pop(struct cmd *c, enum vlist_end end)
{
    bool many = c->argc == 3;
    int64_t most = 0;
    enum found found;

    if (c->argc > 3) {
        reply_errf(c->reply, "ERR wrong number of arguments for '%s' command",
                   end == LIST_HEAD ? "lpop" : "rpop");
        return;
    }
    if (many && !count_arg(c, 2, 0, "value is out of range, must be positive", &most)) {
        return;
    }
    if (slices_take(c, takes_much(c, 1, (uint64_t)most))) {
        return;
    }
    found = many ? list_take_some(c, cmd_key(c, 1), end, (uint64_t)most)
                 : list_take_one(c, cmd_key(c, 1), end);
    if (found == WRONG_TYPE) {
        reply_err(c->reply, WIRE_WRONGTYPE);
    } else if (found == ABSENT && many) {
        reply_null_array(c->reply);
    } else if (found == ABSENT) {
        reply_null(c->reply);
    }
}

static void cmd_lpop(struct cmd *c)
{
    pop(c, LIST_HEAD);
}

static void cmd_rpop(struct cmd *c)
{
    pop(c, LIST_TAIL);
}

enum found list_take_first(struct cmd *c, uint32_t first, uint32_t n, enum vlist_end end,
                           uint64_t most)
{
    for (uint32_t i = first; i < first + n; i++) {
        struct key key = cmd_key(c, i);
        const struct entry *e = keyspace_find(c, key);

        if (e == NULL) {
            continue;
        }
        if (e->type != TYPE_LIST) {
            return WRONG_TYPE;
        }
        reply_array(c->reply, 2);
        reply_bulk(c->reply, c->argv[i]);
        return list_take_some(c, key, end, most);
    }
    return ABSENT;
}

bool list_pop_args(struct cmd *c, uint32_t at, struct list_pop *out)
{
    int64_t keys;
    int64_t most = -1;

    if (!count_arg(c, at, 1, "numkeys should be greater than 0", &keys)) {
        return false;
    }
    if (keys >= (int64_t)c->argc - at - 1 || !list_end_arg(c->argv[at + keys + 1], &out->end)) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    for (uint32_t i = at + (uint32_t)keys + 2; i < c->argc; i++) {
        if (most >= 0 || i + 1 == c->argc || !slice_is_word(c->argv[i], "count")) {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
        if (!count_arg(c, ++i, 1, "count should be greater than 0", &most)) {
            return false;
        }
    }
    out->keys = (uint32_t)keys;
    out->most = most < 0 ? 1 : (uint64_t)most;
    return true;
}

static void cmd_lmpop(struct cmd *c)
{
    struct list_pop p;

    if (!list_pop_args(c, 1, &p) || slices_take(c, p.most > SLICES_FEW)) {
        return;
    }
    enum found found = list_take_first(c, 2, p.keys, p.end, p.most);

    if (found == WRONG_TYPE) {
        reply_err(c->reply, WIRE_WRONGTYPE);
    } else if (found == ABSENT) {
        reply_null_array(c->reply);
    }
}

/* ---- Moving ---- */

enum found list_move(struct cmd *c, const struct list_move *m)
{
    struct vlist_view l;
    enum found found = vlist_open(c, m->from, &l);
    const struct entry *to;

    if (found != FOUND) {
        return found;
    }
    size_t count = vlist_count(&l);
    struct slice s = vlist_at(&l, m->take == LIST_HEAD ? 0 : count - 1);

    vlist_close(&l);
    to = keyspace_peek(c, m->to);
    if (to != NULL && to->type != TYPE_LIST) {
        return WRONG_TYPE;
    }
    reply_bulk(c->reply, s);
    if (!slice_is(m->from.name, m->to.name)) {
        vlist_push(c, m->to, m->put, &s, 1);
        vlist_pop(c, m->from, m->take, 1);
    } else if (count > 1 && m->take != m->put) {
        vlist_rotate(c, m->from, m->take);
    }
    tell_pushed(c, m->to, m->put);
    tell_popped(c, m->from, m->take);
    return FOUND;
}

static void move(struct cmd *c, enum vlist_end take, enum vlist_end put)
{
    struct list_move m = {cmd_key(c, 1), cmd_key(c, 2), take, put};
    enum found found = list_move(c, &m);

    if (found == WRONG_TYPE) {
        reply_err(c->reply, WIRE_WRONGTYPE);
    } else if (found == ABSENT) {
        reply_null(c->reply);
    }
}

static void cmd_rpoplpush(struct cmd *c)
{
    move(c, LIST_TAIL, LIST_HEAD);
}

static void cmd_lmove(struct cmd *c)
{
    enum vlist_end take, put;

    if (!list_end_arg(c->argv[3], &take) || !list_end_arg(c->argv[4], &put)) {
        reply_err(c->reply, WIRE_SYNTAX);
        return;
    }
    move(c, take, put);
}

/* ---- Looking ---- */

static void cmd_llen(struct cmd *c)
{
    size_t count;

    if (length_arg(c, 1, &count)) {
        reply_int(c->reply, (int64_t)count);
    }
}

/* False when it is none of the list's. */
static bool place_of(int64_t index, size_t count, size_t *out)
{
    index = index < 0 ? index + (int64_t)count : index;
    *out = (size_t)index;
    return index >= 0 && *out < count;
}

static void cmd_lindex(struct cmd *c)
{
    struct vlist_view l;
    int64_t index;
    size_t at;
    bool found;

    if (!list_arg(c, 1, &l, &found)) {
        return;
    }
    if (!found) {
        reply_null(c->reply);
        return;
    }
    if (integer_arg(c, 2, &index)) {
        if (place_of(index, vlist_count(&l), &at)) {
            reply_bulk(c->reply, vlist_at(&l, at));
        } else {
            reply_null(c->reply);
        }
    }
    vlist_close(&l);
}

static void cmd_lrange(struct cmd *c)
{
    struct vlist_cursor at;
    struct vlist_view l;
    int64_t start, stop;
    size_t from, to;
    bool found;

    if (!integer_arg(c, 2, &start) || !integer_arg(c, 3, &stop) || !list_arg(c, 1, &l, &found)) {
        return;
    }
    if (!found) {
        reply_array(c->reply, 0);
        return;
    }
    clamp(start, stop, vlist_count(&l), &from, &to);
    if (!slices_take(c, large_is_long(&l.view, to - from, vlist_count(&l)))) {
        reply_array(c->reply, to - from);
        reply_expect(c->reply, (vlist_bytes(&l) / vlist_count(&l) + HEAD_BYTES) * (to - from));
        vlist_seek(&l, from, &at);
        reply_run(c, &at, to - from, false);
    }
    vlist_close(&l);
}

/* ---- LPOS ---- */

struct lpos {
    int64_t rank, count, most; /* count -1: the first match alone; most 0: no limit */
};

/* False when an error was answered. */
static bool lpos_options(struct cmd *c, struct lpos *o)
{
    *o = (struct lpos){1, -1, 0};
    for (uint32_t i = 3; i < c->argc; i++) {
        if (i + 1 < c->argc && slice_is_word(c->argv[i], "rank")) {
            if (!opposable_arg(c, ++i, &o->rank)) {
                return false;
            }
            if (o->rank == 0) {
                reply_errf(c->reply, "ERR RANK can't be zero: use 1 to start from the first match, "
                                     "2 from the second ... or use negative to start from the end "
                                     "of the list");
                return false;
            }
        } else if (i + 1 < c->argc && slice_is_word(c->argv[i], "count")) {
            if (!count_arg(c, ++i, 0, "COUNT can't be negative", &o->count)) {
                return false;
            }
        } else if (i + 1 < c->argc && slice_is_word(c->argv[i], "maxlen")) {
            if (!count_arg(c, ++i, 0, "MAXLEN can't be negative", &o->most)) {
                return false;
            }
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    return true;
}

/* Replies the places of matches; returns how many. With o->count -1 at most one. */
static size_t lpos_walk(struct cmd *c, const struct vlist_view *l, const struct lpos *o)
{
    size_t count = vlist_count(l);
    size_t most = o->most == 0 || (uint64_t)o->most > count ? count : (size_t)o->most;
    bool back = o->rank < 0;
    int64_t skip = (back ? -o->rank : o->rank) - 1;
    uint64_t want = o->count < 0 ? 1 : o->count == 0 ? UINT64_MAX : (uint64_t)o->count;
    struct vlist_cursor at;
    struct slice s;
    size_t found = 0;

    vlist_seek(l, back ? count : 0, &at);
    for (size_t i = 0; i < most && found < want && !c->reply->failed; i++) {
        bool there = back ? vlist_prev(&at, &s) : vlist_next(&at, &s);

        if (!there || !slice_is(s, c->argv[2])) {
            continue;
        }
        if (skip > 0) {
            skip--;
            continue;
        }
        reply_int(c->reply, (int64_t)(back ? count - 1 - i : i));
        found++;
    }
    return found;
}

static void cmd_lpos(struct cmd *c)
{
    struct vlist_view l;
    struct lpos o;
    size_t matches = 0;
    size_t head = 0;
    bool found;

    if (!lpos_options(c, &o) || !list_arg(c, 1, &l, &found)) {
        return;
    }
    if (found && slices_take(c, large_is_long(&l.view, vlist_count(&l), vlist_count(&l)))) {
        vlist_close(&l);
        return;
    }
    if (o.count >= 0) {
        head = reply_array_later(c->reply);
    }
    if (found) {
        matches = lpos_walk(c, &l, &o);
        vlist_close(&l);
    }
    if (o.count >= 0) {
        slices_array_count(c->reply, head, matches);
    } else if (matches == 0) {
        reply_null(c->reply);
    }
}

/* ---- Changing in the middle ---- */

static void cmd_lset(struct cmd *c)
{
    int64_t index;
    size_t count;
    size_t at;

    if (!length_arg(c, 1, &count)) {
        return;
    }
    if (count == 0) {
        reply_err(c->reply, WIRE_NO_SUCH_KEY);
        return;
    }
    if (!integer_arg(c, 2, &index)) {
        return;
    }
    if (!place_of(index, count, &at)) {
        reply_err(c->reply, WIRE_OUT_OF_RANGE);
        return;
    }
    vlist_set(c, cmd_key(c, 1), at, c->argv[3]);
    notify(c, NOTIFY_LIST, "lset", c->argv[1]);
    reply_ok(c->reply);
}

/* The number of the first element that is this, or the count. */
static size_t find_first(const struct vlist_view *l, struct slice what)
{
    struct vlist_cursor at;
    struct slice s;
    size_t i = 0;

    vlist_seek(l, 0, &at);
    while (vlist_next(&at, &s) && !slice_is(s, what)) {
        i++;
    }
    return i;
}

static void cmd_linsert(struct cmd *c)
{
    bool after = slice_is_word(c->argv[2], "after");
    struct vlist_view l;
    bool found;

    if (!after && !slice_is_word(c->argv[2], "before")) {
        reply_err(c->reply, WIRE_SYNTAX);
        return;
    }
    if (!list_arg(c, 1, &l, &found)) {
        return;
    }
    if (!found) {
        reply_int(c->reply, 0);
        return;
    }
    size_t count = vlist_count(&l);

    if (slices_take(c, large_is_long(&l.view, count, count))) {
        vlist_close(&l);
        return;
    }
    size_t at = find_first(&l, c->argv[3]);

    vlist_close(&l);
    if (at == count) {
        reply_int(c->reply, -1);
        return;
    }
    at += after;
    if (at == 0 || at == count) {
        vlist_push(c, cmd_key(c, 1), at == 0 ? LIST_HEAD : LIST_TAIL, c->argv + 4, 1);
    } else {
        vlist_insert(c, cmd_key(c, 1), at, c->argv[4]);
    }
    notify(c, NOTIFY_LIST, "linsert", c->argv[1]);
    reply_int(c->reply, (int64_t)count + 1);
}

static void cmd_ltrim(struct cmd *c)
{
    int64_t start, stop;
    size_t count;
    size_t from, to;

    if (!integer_arg(c, 2, &start) || !integer_arg(c, 3, &stop) || !length_arg(c, 1, &count)) {
        return;
    }
    reply_ok(c->reply);
    if (count == 0) {
        return;
    }
    clamp(start, stop, count, &from, &to);
    if (from == to) {
        vlist_pop(c, cmd_key(c, 1), LIST_HEAD, count);
    } else {
        vlist_pop(c, cmd_key(c, 1), LIST_TAIL, count - to);
        vlist_pop(c, cmd_key(c, 1), LIST_HEAD, from);
    }
    notify_taken(c, NOTIFY_LIST, "ltrim", cmd_key(c, 1));
}

/* ---- LREM ---- */

/* Ranges of elements to remove, as they are found. */
struct finds {
    struct vlist_range *v; /* owned */
    size_t n, cap;
    bool failed;
};

/* Numbers come rising or falling, each once. */
static void finds_add(struct finds *f, size_t index)
{
    struct vlist_range *last = f->n == 0 ? NULL : &f->v[f->n - 1];

    if (last != NULL && last->index + last->count == index) {
        last->count++;
        return;
    }
    if (last != NULL && last->index == index + 1) {
        last->index--;
        last->count++;
        return;
    }
    if (f->n == f->cap) {
        size_t cap = f->cap == 0 ? 16 : 2 * f->cap;
        struct vlist_range *v = mem_realloc(f->v, f->cap * sizeof(*v), cap * sizeof(*v));

        if (v == NULL) {
            f->failed = true;
            return;
        }
        f->v = v;
        f->cap = cap;
    }
    f->v[f->n++] = (struct vlist_range){index, 1};
}

static void finds_reverse(struct finds *f)
{
    for (size_t i = 0; i < f->n / 2; i++) {
        struct vlist_range r = f->v[i];

        f->v[i] = f->v[f->n - 1 - i];
        f->v[f->n - 1 - i] = r;
    }
}

/* Up to `most` of the elements that are this; from the tail with `back`. Returns how many. */
static size_t find_many(const struct vlist_view *l, struct slice what, uint64_t most, bool back,
                        struct finds *out)
{
    size_t count = vlist_count(l);
    struct vlist_cursor at;
    struct slice s;
    size_t found = 0;

    vlist_seek(l, back ? count : 0, &at);
    for (size_t i = 0; i < count && found < most && !out->failed; i++) {
        bool there = back ? vlist_prev(&at, &s) : vlist_next(&at, &s);

        if (there && slice_is(s, what)) {
            finds_add(out, back ? count - 1 - i : i);
            found++;
        }
    }
    if (back) {
        finds_reverse(out);
    }
    return found;
}

static void cmd_lrem(struct cmd *c)
{
    struct finds finds = {0};
    struct vlist_view l;
    int64_t count;
    size_t found = 0;
    bool there;

    if (!opposable_arg(c, 2, &count) || !list_arg(c, 1, &l, &there)) {
        return;
    }
    if (there) {
        uint64_t most = count == 0 ? UINT64_MAX : (uint64_t)(count < 0 ? -count : count);

        if (slices_take(c, large_is_long(&l.view, vlist_count(&l), vlist_count(&l)))) {
            vlist_close(&l);
            return;
        }

        found = find_many(&l, c->argv[3], most, count < 0, &finds);
        vlist_close(&l);
    }
    if (finds.failed) {
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        vlist_remove(c, cmd_key(c, 1), finds.v, finds.n);
        if (found > 0) {
            notify_taken(c, NOTIFY_LIST, "lrem", cmd_key(c, 1));
        }
        reply_int(c->reply, (int64_t)found);
    }
    mem_free(finds.v, finds.cap * sizeof(finds.v[0]));
}

/* clang-format off */
struct cmd_def list_cmds[] = {
    { .name = "LPUSH", .arity = -3, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST,
      .keys = KEYS(1, 1, 1), .since = "1.0.0", .run = cmd_lpush, .args = "key element [element ...]",
      .summary = "Puts elements before a list's head, one after the other; says how long it is." },
    { .name = "RPUSH", .arity = -3, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST,
      .keys = KEYS(1, 1, 1), .since = "1.0.0", .run = cmd_rpush, .args = "key element [element ...]",
      .summary = "Puts elements behind a list's tail; says how long it is." },
    { .name = "LPUSHX", .arity = -3, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST,
      .keys = KEYS(1, 1, 1), .since = "2.2.0", .run = cmd_lpushx, .args = "key element [element ...]",
      .summary = "As LPUSH, if there is a list." },
    { .name = "RPUSHX", .arity = -3, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST,
      .keys = KEYS(1, 1, 1), .since = "2.2.0", .run = cmd_rpushx, .args = "key element [element ...]",
      .summary = "As RPUSH, if there is a list." },
    { .name = "LPOP", .arity = -2, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_lpop, .args = "key [count]",
      .summary = "Takes elements from a list's head; the key goes with the last." },
    { .name = "RPOP", .arity = -2, .flags = CMD_WRITE | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_rpop, .args = "key [count]",
      .summary = "Takes elements from a list's tail; the key goes with the last." },
    { .name = "LMPOP", .arity = -4, .flags = CMD_WRITE, .keys = KEYS_COUNT(1, 1),
      .since = "7.0.0", .run = cmd_lmpop,
      .args = "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
      .summary = "Takes elements from the first of several lists that is there." },
    { .name = "LMOVE", .arity = 5, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 2, 1),
      .since = "6.2.0", .run = cmd_lmove,
      .args = "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
      .summary = "Moves an element from an end of one list to an end of another." },
    { .name = "RPOPLPUSH", .arity = 3, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 2, 1),
      .since = "1.2.0", .run = cmd_rpoplpush, .args = "source destination",
      .summary = "Moves the tail of one list to the head of another." },
    { .name = "LLEN", .arity = 2, .flags = CMD_READ | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_llen, .args = "key", .summary = "How long a list is." },
    { .name = "LINDEX", .arity = 3, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_lindex, .args = "key index",
      .summary = "An element of a list by its number, which may count from the end." },
    { .name = "LRANGE", .arity = 4, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_lrange, .args = "key start stop",
      .summary = "A range of a list, both ends included." },
    { .name = "LPOS", .arity = -3, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "6.0.6", .run = cmd_lpos,
      .args = "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
      .summary = "Where in a list an element is." },
    { .name = "LSET", .arity = 4, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_lset, .args = "key index element",
      .summary = "Sets an element of a list by its number." },
    { .name = "LINSERT", .arity = 5, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 1, 1),
      .since = "2.2.0", .run = cmd_linsert, .args = "key <BEFORE | AFTER> pivot element",
      .summary = "Puts an element before or behind the first that equals another." },
    { .name = "LREM", .arity = 4, .flags = CMD_WRITE, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_lrem, .args = "key count element",
      .summary = "Removes elements that equal one: so many from the head, or the tail, or all." },
    { .name = "LTRIM", .arity = 4, .flags = CMD_WRITE, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_ltrim, .args = "key start stop",
      .summary = "Removes all of a list but a range." },
    CMD_END
};
/* clang-format on */
