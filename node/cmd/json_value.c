/* json_value.c - JSON commands on numbers, strings, booleans and objects, and those that describe values. */
#include "base/err.h"
#include "node/cmd/families.h"
#include "node/cmd/json.h"
#include "node/slices.h"

#include <math.h>

__extension__ typedef __int128 wide;

/* ---- Numbers ---- */

struct arithmetic {
    const char *by;
    bool multiplies;
};

static wide wide_of(const char *v)
{
    return json_is_int(v) ? (wide)json_int(v) : (wide)json_uint(v);
}

/* Appends the result. ERR_INVALID: it is no finite number. */
static int compute(const struct arithmetic *a, const char *value, struct buf *out)
{
    wide n = 0;
    double x = json_double(value);
    double y = json_double(a->by);
    bool ints = json_tag(value) != JSON_DOUBLE && json_tag(a->by) != JSON_DOUBLE;
    bool over =
        !ints || (a->multiplies ? __builtin_mul_overflow(wide_of(value), wide_of(a->by), &n)
                                : __builtin_add_overflow(wide_of(value), wide_of(a->by), &n));

    if (!over && n >= INT64_MIN && n <= UINT64_MAX) {
        return n < 0 ? json_put_int(out, (int64_t)n) : json_put_uint(out, (uint64_t)n);
    }
    double result = a->multiplies ? x * y : x + y;

    return isfinite(result) ? json_put_double(out, result) : ERR_INVALID;
}

static bool is_any(const char *value)
{
    (void)value;
    return true;
}

/* The texts of the answer are gathered in `text`. */
struct number_change {
    struct arithmetic how;
    struct buf text;
    bool is_old;
};

static void change_number(struct json_writer *w, const char *value, struct number_change *n)
{
    struct json_edit e = {.kind = JSON_EDIT_SET, .at = (uint32_t)(value - w->j->doc)};
    size_t from = w->values.len;
    char digits[JSON_NUMBER_TEXT];
    int err = compute(&n->how, value, &w->values);

    if (err == ERR_INVALID) {
        w->why = "ERR result is not a number";
    }
    if (err == OK) {
        if (n->is_old) {
            buf_clear(&n->text);
        }
        json_edit_add_made(w, &e, from);
        err = buf_append(&n->text, digits, json_print_number(w->values.ptr + from, digits));
    }
    w->err = w->err != OK ? w->err : err;
}

/* Of all matches. False: an old path met no number. */
static bool change_numbers(struct json_writer *w, struct number_change *n)
{
    const struct json_call *j = w->j;
    bool any = false;
    int err = n->is_old ? OK : buf_append_char(&n->text, '[');

    for (uint32_t i = 0; i < j->found.count && err == OK && w->err == OK && slices_tick(4); i++) {
        const char *value = json_found(j, i);

        if (i > 0 && !n->is_old) {
            err = buf_append_char(&n->text, ',');
        }
        if (json_is_number(value)) {
            change_number(w, value, n);
            any = true;
        } else if (err == OK && !n->is_old) {
            err = buf_append(&n->text, "null", 4);
        }
    }
    err = err == OK && !n->is_old ? buf_append_char(&n->text, ']') : err;
    w->err = w->err != OK ? w->err : err;
    return any || !n->is_old;
}

static void answer_numbers(struct json_call *j, struct number_change *n, const char *event)
{
    struct cmd *c = j->c;
    struct json_writer w;

    n->is_old = j->path.is_old;
    json_writer_begin(&w, j);
    w.err = json_unique(&j->found);
    bool any = w.err != OK || change_numbers(&w, n);

    if (!json_commit(&w, event)) {
        return;
    }
    if (any) {
        reply_bulk(c->reply, buf_slice(&n->text));
    } else {
        json_answer_no_path(j, " or does not contains a number");
    }
}

static void numbers(struct cmd *c, bool multiplies, const char *event)
{
    struct number_change n = {.how.multiplies = multiplies};
    struct buf by = {0};
    struct json_call j;

    if (!json_open(c, 1, &j)) {
        return;
    }
    if (j.doc == NULL) {
        json_answer_no_key(c);
        return;
    }
    if (json_arg(c, 3, &by) && json_follow(&j, 2)) {
        if (json_is_number(by.ptr)) {
            n.how.by = by.ptr;
            answer_numbers(&j, &n, event);
        } else {
            reply_errf(c->reply, "ERR the increment is not a number");
        }
    }
    json_close(&j);
    buf_fini(&by);
    buf_fini(&n.text);
}

static void cmd_json_numincrby(struct cmd *c)
{
    numbers(c, false, "json.numincrby");
}

static void cmd_json_nummultby(struct cmd *c)
{
    numbers(c, true, "json.nummultby");
}

/* ---- Strings ---- */

struct appending {
    struct slice text; /* as JSON */
    struct slice tail;
};

static void append_string(struct json_writer *w, const char *value, void *arg)
{
    const struct appending *a = arg;
    struct json_edit e = {.kind = JSON_EDIT_SET,
                          .says = JSON_LOG_APPEND,
                          .at = (uint32_t)(value - w->j->doc),
                          .text = a->text};
    struct slice old = json_string(value);
    size_t from = w->values.len;
    int err = json_append_string(old, a->tail, &w->values);

    w->err = w->err != OK ? w->err : err;
    json_edit_add_made(w, &e, from);
    reply_int(w->c->reply, (int64_t)(old.len + a->tail.len));
}

static void cmd_json_strappend(struct cmd *c)
{
    uint32_t at = c->argc - 1;
    struct buf value = {0};
    struct appending a = {.text = c->argv[at]};
    struct json_change how = {.fits = json_is_string,
                              .change = append_string,
                              .or_else = " or not a string",
                              .event = "json.strappend",
                              .arg = &a};

    if (c->argc > 4) {
        reply_errf(c->reply, "ERR wrong number of arguments for 'json.strappend' command");
        return;
    }
    if (json_arg(c, at, &value)) {
        if (json_is_string(value.ptr)) {
            a.tail = json_string(value.ptr);
            json_change_each(c, at == 3 ? 2 : c->argc, &how);
        } else {
            reply_errf(c->reply,
                       "WRONGTYPE wrong type of path value - expected string but found %s",
                       json_type_name(value.ptr));
        }
    }
    buf_fini(&value);
}

static void answer_strlen(struct cmd *c, const char *value)
{
    reply_int(c->reply, (int64_t)json_string(value).len);
}

static void cmd_json_strlen(struct cmd *c)
{
    json_ask(
        c, 2,
        &(struct json_question){json_is_string, answer_strlen, "string", JSON_ABSENT_ERROR, false});
}

/* ---- Booleans ---- */

static void toggle(struct json_writer *w, const char *value, void *arg)
{
    static const char yes[1] = {JSON_TRUE};
    static const char no[1] = {JSON_FALSE};
    bool now = json_tag(value) == JSON_FALSE;
    struct json_edit e = {
        .kind = JSON_EDIT_SET, .at = (uint32_t)(value - w->j->doc), .value = {now ? yes : no, 1}};

    (void)arg;
    json_edit_add(w, &e);
    if (w->j->path.is_old) {
        reply_bulk(w->c->reply, now ? SLICE("true") : SLICE("false"));
    } else {
        reply_int(w->c->reply, now);
    }
}

static void cmd_json_toggle(struct cmd *c)
{
    json_change_each(
        c, 2, &(struct json_change){json_is_bool, toggle, " or not a bool", "json.toggle", NULL});
}

/* ---- Objects ---- */

static void answer_count(struct cmd *c, const char *value)
{
    reply_int(c->reply, json_count(value));
}

static void cmd_json_objlen(struct cmd *c)
{
    json_ask(
        c, 2,
        &(struct json_question){json_is_object, answer_count, "object", JSON_ABSENT_ERROR, false});
}

static void answer_keys(struct cmd *c, const char *value)
{
    struct json_walk w;
    struct json_child child;

    reply_array(c->reply, json_count(value));
    json_walk_begin(value, &w);
    while (json_walk_next(&w, &child)) {
        reply_bulk(c->reply, child.name);
    }
}

static void cmd_json_objkeys(struct cmd *c)
{
    json_ask(
        c, 2,
        &(struct json_question){json_is_object, answer_keys, "object", JSON_ABSENT_NULL, true});
}

/* ---- Describing ---- */

static void answer_type(struct cmd *c, const char *value)
{
    reply_bulk(c->reply, slice_of(json_type_name(value)));
}

static void cmd_json_type(struct cmd *c)
{
    json_ask(c, 2, &(struct json_question){is_any, answer_type, NULL, JSON_ABSENT_NULL, true});
}

static void resp_one(struct cmd *c, const char *v)
{
    char digits[JSON_NUMBER_TEXT];

    switch (json_tag(v)) {
    case JSON_NULL:
        reply_null(c->reply);
        break;
    case JSON_FALSE:
        reply_simple(c->reply, SLICE("false"));
        break;
    case JSON_TRUE:
        reply_simple(c->reply, SLICE("true"));
        break;
    case JSON_INT8:
    case JSON_INT32:
    case JSON_INT64:
        reply_int(c->reply, json_int(v));
        break;
    case JSON_UINT64:
    case JSON_DOUBLE:
        reply_bulk(c->reply, (struct slice){digits, json_print_number(v, digits)});
        break;
    case JSON_STRING:
        reply_bulk(c->reply, json_string(v));
        break;
    case JSON_ARRAY:
        reply_array(c->reply, 1 + (size_t)json_count(v));
        reply_simple(c->reply, SLICE("["));
        break;
    case JSON_OBJECT:
        reply_array(c->reply, 1 + 2 * (size_t)json_count(v));
        reply_simple(c->reply, SLICE("{"));
        break;
    }
}

static void answer_resp(struct cmd *c, const char *value)
{
    struct json_walk stack[JSON_DEPTH_MAX + 1];
    struct json_child child;
    unsigned depth = 0;

    resp_one(c, value);
    if (json_is_container(value)) {
        json_walk_begin(value, &stack[depth++]);
    }
    while (depth > 0 && slices_tick(2)) {
        if (!json_walk_next(&stack[depth - 1], &child)) {
            depth--;
            continue;
        }
        if (stack[depth - 1].named) {
            reply_bulk(c->reply, child.name);
        }
        resp_one(c, child.value);
        if (json_is_container(child.value)) {
            json_walk_begin(child.value, &stack[depth++]);
        }
    }
}

static void cmd_json_resp(struct cmd *c)
{
    json_ask(c, 2, &(struct json_question){is_any, answer_resp, NULL, JSON_ABSENT_NULL, false});
}

static void answer_memory(struct cmd *c, const char *value)
{
    reply_int(c->reply, (int64_t)json_slice(value).len);
}

static void answer_depth(struct cmd *c, const char *value)
{
    reply_int(c->reply, json_depth(value));
}

static void cmd_json_debug_memory(struct cmd *c)
{
    json_ask(c, 3, &(struct json_question){is_any, answer_memory, NULL, JSON_ABSENT_ZERO, false});
}

static void cmd_json_debug_depth(struct cmd *c)
{
    json_ask(c, 3, &(struct json_question){is_any, answer_depth, NULL, JSON_ABSENT_ZERO, false});
}

/* clang-format off */
static struct cmd_def debug_subs[] = {
    { .name = "MEMORY", .arity = -3, .flags = CMD_READ, .keys = KEYS(2, 2, 1), .since = "1.0.0",
      .run = cmd_json_debug_memory, .args = "key [path]",
      .summary = "The bytes that what a path matches takes in memory." },
    { .name = "DEPTH", .arity = -3, .flags = CMD_READ, .keys = KEYS(2, 2, 1), .since = "1.0.0",
      .run = cmd_json_debug_depth, .args = "key [path]",
      .summary = "How many arrays and objects lie in each other in what a path matches." },
    { .name = "HELP", .arity = 2, .flags = CMD_LOADING | CMD_STALE | CMD_FREE, .keys = KEYS_NONE,
      .since = "1.0.0", .run = help_run, .args = "", .summary = "Print this help." },
    CMD_END
};

struct cmd_def json_value_cmds[] = {
    { .name = "JSON.NUMINCRBY", .arity = 4, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_numincrby, .args = "key path value",
      .summary = "Adds to the numbers that a path matches. Answers them as JSON." },
    { .name = "JSON.NUMMULTBY", .arity = 4, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_nummultby, .args = "key path value",
      .summary = "Multiplies the numbers that a path matches. Answers them as JSON." },
    { .name = "JSON.STRAPPEND", .arity = -3, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_strappend, .args = "key [path] value",
      .summary = "Appends to the strings that a path matches. Answers their lengths." },
    { .name = "JSON.STRLEN", .arity = -2, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_strlen, .args = "key [path]",
      .summary = "The lengths of the strings that a path matches." },
    { .name = "JSON.TOGGLE", .arity = 3, .flags = CMD_WRITE, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_json_toggle, .args = "key path",
      .summary = "Makes true false and false true where a path matches." },
    { .name = "JSON.OBJKEYS", .arity = -2, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_objkeys, .args = "key [path]",
      .summary = "The names in the objects that a path matches." },
    { .name = "JSON.OBJLEN", .arity = -2, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_objlen, .args = "key [path]",
      .summary = "How many members the objects have that a path matches." },
    { .name = "JSON.TYPE", .arity = -2, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_type, .args = "key [path]",
      .summary = "The types of what a path matches." },
    { .name = "JSON.RESP", .arity = -2, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_resp, .args = "key [path]",
      .summary = "What a path matches as values of the protocol." },
    { .name = "JSON.DEBUG", .arity = -2, .flags = 0, .keys = KEYS_NONE, .since = "1.0.0", .args = "",
      .summary = "What is known of JSON values.", .subs = debug_subs },
    CMD_END
};
/* clang-format on */
