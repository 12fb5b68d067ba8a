/* json_array.c - JSON commands on arrays. */
#include "base/err.h"
#include "node/cmd/families.h"
#include "node/cmd/json.h"
#include "node/slices.h"

static const char no_array[] = " or not an array";

static struct json_edit edit_of(const struct json_writer *w, enum json_edit_kind kind,
                                const char *array)
{
    return (struct json_edit){.kind = kind, .at = (uint32_t)(array - w->j->doc)};
}

/* All arguments from `from` on. False: the answer was an error. */
static bool values_arg(struct cmd *c, uint32_t from, struct buf *out)
{
    for (uint32_t i = from; i < c->argc; i++) {
        if (!json_arg(c, i, out)) {
            return false;
        }
    }
    return true;
}

/* ---- ARRAPPEND, ARRINSERT ---- */

struct inserting {
    struct slice values;
    uint32_t count;
    bool appends;
    int64_t index;
};

static void insert(struct json_writer *w, const char *array, void *arg)
{
    const struct inserting *i = arg;
    struct json_edit e = edit_of(w, JSON_EDIT_INSERT, array);
    int64_t count = json_count(array);
    int64_t index = i->appends ? count : i->index < 0 ? i->index + count : i->index;

    if (index < 0 || index > count) {
        w->err = w->err != OK ? w->err : ERR_LIMIT;
        w->why = "ERR index out of bounds";
        return;
    }
    e.index = (uint32_t)index;
    e.count = i->count;
    e.value = i->values;
    json_edit_add(w, &e);
    reply_int(w->c->reply, count + i->count);
}

static void insert_args(struct cmd *c, uint32_t from, struct inserting *i, const char *event)
{
    struct json_change how = {json_is_array, insert, no_array, event, i};
    struct buf values = {0};

    if (values_arg(c, from, &values)) {
        i->values = buf_slice(&values);
        i->count = c->argc - from;
        json_change_each(c, 2, &how);
    }
    buf_fini(&values);
}

static void cmd_json_arrappend(struct cmd *c)
{
    struct inserting i = {.appends = true};

    insert_args(c, 3, &i, "json.arrappend");
}

static void cmd_json_arrinsert(struct cmd *c)
{
    struct inserting i = {.appends = false};

    if (json_int_arg(c, 3, &i.index)) {
        insert_args(c, 4, &i, "json.arrinsert");
    }
}

/* ---- ARRPOP, ARRTRIM ---- */

/* An index beyond an end is that end. */
static void pop(struct json_writer *w, const char *array, void *arg)
{
    struct json_edit e = edit_of(w, JSON_EDIT_REMOVE, array);
    int64_t count = json_count(array);
    int64_t index = *(const int64_t *)arg;
    struct buf text = {0};

    if (count == 0) {
        reply_null(w->c->reply);
        return;
    }
    index = index < 0 ? index + count : index;
    e.index = (uint32_t)(index < 0 ? 0 : index >= count ? count - 1 : index);
    e.count = 1;
    json_edit_add(w, &e);
    int err = json_print(json_position(array, e.index), NULL, &text);

    w->err = w->err != OK ? w->err : err;
    reply_bulk(w->c->reply, buf_slice(&text));
    buf_fini(&text);
}

static void cmd_json_arrpop(struct cmd *c)
{
    int64_t index = -1;
    struct json_change how = {json_is_array, pop, no_array, "json.arrpop", &index};

    if (c->argc > 4) {
        reply_errf(c->reply, "ERR wrong number of arguments for 'json.arrpop' command");
    } else if (c->argc < 4 || json_int_arg(c, 3, &index)) {
        json_change_each(c, 2, &how);
    }
}

struct trimming {
    int64_t start, stop;
};

static void trim(struct json_writer *w, const char *array, void *arg)
{
    const struct trimming *t = arg;
    struct json_edit e = edit_of(w, JSON_EDIT_REMOVE, array);
    int64_t count = json_count(array);
    int64_t start = t->start < 0 ? t->start + count : t->start;
    int64_t stop = t->stop < 0 ? t->stop + count : t->stop;

    start = start < 0 ? 0 : start;
    stop = stop >= count ? count - 1 : stop;
    if (start >= count || start > stop) {
        start = count;
        stop = count - 1;
    }
    if (stop + 1 < count) {
        e.index = (uint32_t)(stop + 1);
        e.count = (uint32_t)(count - stop - 1);
        json_edit_add(w, &e);
    }
    if (start > 0) {
        e.index = 0;
        e.count = (uint32_t)start;
        json_edit_add(w, &e);
    }
    reply_int(w->c->reply, stop - start + 1);
}

static void cmd_json_arrtrim(struct cmd *c)
{
    struct trimming t;
    struct json_change how = {json_is_array, trim, no_array, "json.arrtrim", &t};

    if (json_int_arg(c, 3, &t.start) && json_int_arg(c, 4, &t.stop)) {
        json_change_each(c, 2, &how);
    }
}

/* ---- ARRLEN, ARRINDEX ---- */

static void answer_count(struct cmd *c, const char *value)
{
    reply_int(c->reply, json_count(value));
}

static void cmd_json_arrlen(struct cmd *c)
{
    json_ask(
        c, 2,
        &(struct json_question){json_is_array, answer_count, "array", JSON_ABSENT_ERROR, false});
}

struct searching {
    const char *value;
    int64_t start, stop; /* stop is not looked at any more; 0: the end */
};

static int64_t search(const struct searching *s, const char *array)
{
    int64_t count = json_count(array);
    int64_t start = s->start < 0 ? s->start + count : s->start;
    int64_t stop = s->stop < 0 ? s->stop + count : s->stop == 0 ? count : s->stop;
    struct json_walk w;
    struct json_child child;

    json_walk_begin(array, &w);
    for (int64_t i = 0; i < stop && json_walk_next(&w, &child); i++) {
        if (i >= start && json_same(child.value, s->value)) {
            return i;
        }
    }
    return -1;
}

static void answer_search(const struct json_call *j, const struct searching *s)
{
    struct reply *r = j->c->reply;

    if (j->path.is_old) {
        const char *value = j->found.count == 0 ? NULL : json_found(j, 0);

        if (value == NULL) {
            json_answer_no_path(j, "");
        } else if (!json_is_array(value)) {
            reply_errf(r, "WRONGTYPE wrong type of path value - expected array but found %s",
                       json_type_name(value));
        } else {
            reply_int(r, search(s, value));
        }
        return;
    }
    reply_array(r, j->found.count);
    for (uint32_t i = 0; i < j->found.count && slices_tick(4); i++) {
        if (json_is_array(json_found(j, i))) {
            reply_int(r, search(s, json_found(j, i)));
        } else {
            reply_null(r);
        }
    }
}

static void cmd_json_arrindex(struct cmd *c)
{
    struct searching s = {.start = 0};
    struct buf value = {0};
    struct json_call j;

    if (c->argc > 6) {
        reply_errf(c->reply, "ERR wrong number of arguments for 'json.arrindex' command");
        return;
    }
    if ((c->argc > 4 && !json_int_arg(c, 4, &s.start)) ||
        (c->argc > 5 && !json_int_arg(c, 5, &s.stop)) || !json_open(c, 1, &j)) {
        return;
    }
    if (j.doc == NULL) {
        json_answer_no_key(c);
        return;
    }
    if (json_arg(c, 3, &value) && json_follow(&j, 2)) {
        s.value = value.ptr;
        answer_search(&j, &s);
    }
    json_close(&j);
    buf_fini(&value);
}

/* clang-format off */
struct cmd_def json_array_cmds[] = {
    { .name = "JSON.ARRAPPEND", .arity = -4, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_arrappend, .args = "key path value [value ...]",
      .summary = "Appends values to the arrays that a path matches. Answers their lengths." },
    { .name = "JSON.ARRINDEX", .arity = -4, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_arrindex, .args = "key path value [start [stop]]",
      .summary = "Where a value is first found in the arrays that a path matches, or -1." },
    { .name = "JSON.ARRINSERT", .arity = -5, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_arrinsert, .args = "key path index value [value ...]",
      .summary = "Puts values before an index into the arrays that a path matches." },
    { .name = "JSON.ARRLEN", .arity = -2, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_arrlen, .args = "key [path]",
      .summary = "How many elements the arrays have that a path matches." },
    { .name = "JSON.ARRPOP", .arity = -2, .flags = CMD_WRITE, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_arrpop, .args = "key [path [index]]",
      .summary = "Removes an element, the last one unless told, from the arrays that a path matches." },
    { .name = "JSON.ARRTRIM", .arity = 5, .flags = CMD_WRITE, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_arrtrim, .args = "key path start stop",
      .summary = "Keeps a range of the arrays that a path matches." },
    CMD_END
};
/* clang-format on */
