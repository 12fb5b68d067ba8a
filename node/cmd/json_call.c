#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "node/cmd/json.h"
#include "node/notify.h"
#include "node/slices.h"

enum { TOLD_BYTES = 128 }; /* of a path, in an error */

bool json_is_array(const char *value)
{
    return json_tag(value) == JSON_ARRAY;
}

bool json_is_object(const char *value)
{
    return json_tag(value) == JSON_OBJECT;
}

bool json_is_string(const char *value)
{
    return json_tag(value) == JSON_STRING;
}

bool json_is_bool(const char *value)
{
    return json_tag(value) == JSON_TRUE || json_tag(value) == JSON_FALSE;
}

/* ---- Errors ---- */

void json_answer_no_key(struct cmd *c)
{
    reply_errf(c->reply, "ERR could not perform this operation on a key that doesn't exist");
}

void json_answer_no_path(const struct json_call *j, const char *or_else)
{
    struct slice text = j->path.text;
    int n = (int)(text.len < TOLD_BYTES ? text.len : TOLD_BYTES);

    if (slice_is(text, SLICE("."))) {
        text = SLICE("");
        n = 0;
    }
    reply_errf(j->c->reply, "ERR Path '%s%.*s' does not exist%s", json_path_prefix(&j->path), n,
               text.ptr, or_else);
}

void json_answer_failure(struct cmd *c, int err)
{
    switch (err) {
    case ERR_LIMIT:
        reply_errf(c->reply, "ERR the path matches too much, or the result is longer than 512 MB");
        break;
    case ERR_INVALID:
        reply_errf(c->reply, "ERR recursion limit exceeded: a document is nested 128 deep at most");
        break;
    default:
        reply_err(c->reply, WIRE_NOMEM);
        break;
    }
}

/* ---- Looking up ---- */

/* A document, or a text that becomes one. */
static bool is_long(const struct cmd *c, const char *doc)
{
    size_t bytes = doc == NULL ? 0 : (size_t)(json_end(doc) - doc);

    return bytes > SLICES_BYTES || c->argv[c->argc - 1].len > SLICES_BYTES;
}

bool json_open(struct cmd *c, uint32_t key, struct json_call *j)
{
    *j = (struct json_call){.c = c, .key = cmd_key(c, key)};
    if (json_find(c, j->key, &j->doc) == WRONG_TYPE) {
        reply_err(c->reply, WIRE_WRONGTYPE);
        return false;
    }
    /* One of several keys may have replied before. */
    return !cmd_has_one_key(c->def) || !slices_take(c, is_long(c, j->doc));
}

bool json_read_path(struct json_call *j, uint32_t path)
{
    struct slice text = path < j->c->argc ? j->c->argv[path] : SLICE(".");
    char fault[JSON_FAULT_BYTES];

    if (json_path_parse(text, &j->path, fault)) {
        return true;
    }
    if (fault[0] == '\0') {
        reply_err(j->c->reply, WIRE_NOMEM);
    } else {
        reply_errf(j->c->reply, "ERR %s", fault);
    }
    return false;
}

bool json_follow(struct json_call *j, uint32_t path)
{
    int err;

    if (!json_read_path(j, path)) {
        return false;
    }
    if (j->doc == NULL) {
        return true;
    }
    err = json_match(&j->path, j->path.count, j->doc, &j->found);
    if (err != OK) {
        json_answer_failure(j->c, err);
    }
    return err == OK;
}

void json_close(struct json_call *j)
{
    json_path_fini(&j->path);
    json_matches_fini(&j->found);
}

bool json_arg(struct cmd *c, uint32_t index, struct buf *out)
{
    struct json_fault fault;

    if (json_parse(c->argv[index], out, &fault)) {
        return true;
    }
    if (fault.what == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        reply_errf(c->reply, "ERR %s at line %zu column %zu", fault.what, fault.line, fault.column);
    }
    return false;
}

bool json_int_arg(struct cmd *c, uint32_t index, int64_t *out)
{
    if (parse_i64(c->argv[index], out)) {
        return true;
    }
    reply_err(c->reply, WIRE_NOT_INTEGER);
    return false;
}

/* ---- Asking ---- */

static bool does_fit(const struct json_question *q, const char *value)
{
    return q->fits == NULL || q->fits(value);
}

static void ask_all(const struct json_call *j, const struct json_question *q)
{
    reply_array(j->c->reply, j->found.count);
    for (uint32_t i = 0; i < j->found.count && slices_tick(2); i++) {
        const char *value = json_found(j, i);

        if (does_fit(q, value)) {
            q->answer(j->c, value);
        } else {
            reply_null(j->c->reply);
        }
    }
}

static void ask_first(const struct json_call *j, const struct json_question *q)
{
    if (j->found.count == 0) {
        if (q->lax) {
            reply_null(j->c->reply);
        } else {
            json_answer_no_path(j, "");
        }
        return;
    }
    const char *value = json_found(j, 0);

    if (does_fit(q, value)) {
        q->answer(j->c, value);
    } else {
        reply_errf(j->c->reply, "WRONGTYPE wrong type of path value - expected %s but found %s",
                   q->kind, json_type_name(value));
    }
}

static void answer_absent(const struct json_call *j, const struct json_question *q)
{
    if (q->absence == JSON_ABSENT_ZERO) {
        if (j->path.is_old) {
            reply_int(j->c->reply, 0);
        } else {
            reply_array(j->c->reply, 0);
        }
    } else if (j->path.is_old || q->absence == JSON_ABSENT_NULL) {
        reply_null(j->c->reply);
    } else {
        json_answer_no_key(j->c);
    }
}

void json_ask(struct cmd *c, uint32_t path, const struct json_question *q)
{
    struct json_call j;

    if (!json_open(c, path - 1, &j)) {
        return;
    }
    if (json_follow(&j, path)) {
        if (j.doc == NULL) {
            answer_absent(&j, q);
        } else if (j.path.is_old) {
            ask_first(&j, q);
        } else {
            ask_all(&j, q);
        }
    }
    json_close(&j);
}

/* ---- Changing ---- */

void json_writer_begin(struct json_writer *w, struct json_call *j)
{
    *w = (struct json_writer){
        .c = j->c, .j = j, .reply_at = j->c->reply->out.len, .reply_flags = j->c->reply->flags};
}

uint32_t json_edits_count(const struct json_writer *w)
{
    return (uint32_t)(w->edits.len / sizeof(struct json_edit));
}

static void add_edit(struct json_writer *w, const struct json_edit *e, size_t place)
{
    if (w->err != OK) {
        return;
    }
    if (json_edits_count(w) == JSON_EDITS_MAX) {
        w->err = ERR_LIMIT;
    } else if (buf_append(&w->edits, e, sizeof(*e)) != OK ||
               buf_append(&w->places, &place, sizeof(place)) != OK) {
        w->err = ERR_NOMEM;
    }
}

void json_edit_add(struct json_writer *w, const struct json_edit *e)
{
    add_edit(w, e, SIZE_MAX);
}

void json_edit_add_made(struct json_writer *w, const struct json_edit *e, size_t from)
{
    struct json_edit made = *e;

    made.value.len = w->values.len - from;
    add_edit(w, &made, from);
}

static int carry_out(struct json_writer *w)
{
    struct json_edit *v = (struct json_edit *)(void *)w->edits.ptr;
    uint32_t n = json_edits_count(w);
    struct json_plan plan;
    size_t place;
    int err;

    for (uint32_t i = 0; i < n; i++) {
        memcpy(&place, w->places.ptr + i * sizeof(place), sizeof(place));
        if (place != SIZE_MAX) {
            v[i].value.ptr = w->values.ptr + place;
        }
    }
    err = json_plan(w->j->doc, v, n, &plan);
    if (err == OK && !w->dry) {
        json_change(w->c, w->j->key, &plan);
    }
    json_plan_fini(&plan);
    return err;
}

bool json_commit(struct json_writer *w, const char *event)
{
    bool any = json_edits_count(w) > 0;

    if (w->err == OK && any) {
        w->err = carry_out(w);
    }
    if (w->err != OK) {
        w->c->reply->out.len = w->reply_at;
        w->c->reply->flags = w->reply_flags;
        if (w->why != NULL) {
            reply_errf(w->c->reply, "%s", w->why);
        } else {
            json_answer_failure(w->c, w->err);
        }
    } else if (any && !w->dry) {
        notify(w->c, NOTIFY_MODULE, event, w->j->key.name);
    }
    buf_fini(&w->edits);
    buf_fini(&w->places);
    buf_fini(&w->values);
    return w->err == OK;
}

/* Each match once, in their order if none comes twice. */
int json_unique(struct json_matches *m)
{
    struct json_matches sorted = {.count = m->count, .cap = m->count};

    if (m->count < 2) {
        return OK;
    }
    sorted.v = mem_alloc(m->count * sizeof(m->v[0]));
    if (sorted.v == NULL) {
        return ERR_NOMEM;
    }
    memcpy(sorted.v, m->v, m->count * sizeof(m->v[0]));
    json_matches_sort(&sorted);
    if (sorted.count < m->count) {
        memcpy(m->v, sorted.v, sorted.count * sizeof(m->v[0]));
        m->count = sorted.count;
    }
    json_matches_fini(&sorted);
    return OK;
}

/* An old path answers the last of those that fit. */
static bool change_old(struct json_writer *w, const struct json_change *how)
{
    const struct json_call *j = w->j;
    bool any = false;

    for (uint32_t i = 0; i < j->found.count; i++) {
        if (how->fits(json_found(j, i))) {
            w->c->reply->out.len = w->reply_at;
            how->change(w, json_found(j, i), how->arg);
            any = true;
        }
    }
    return any;
}

static void change_all(struct json_writer *w, const struct json_change *how)
{
    const struct json_call *j = w->j;

    reply_array(w->c->reply, j->found.count);
    for (uint32_t i = 0; i < j->found.count && slices_tick(2); i++) {
        if (how->fits(json_found(j, i))) {
            how->change(w, json_found(j, i), how->arg);
        } else {
            reply_null(w->c->reply);
        }
    }
}

void json_change_each(struct cmd *c, uint32_t path, const struct json_change *how)
{
    struct json_writer w;
    struct json_call j;
    int err;

    if (!json_open(c, 1, &j)) {
        return;
    }
    if (j.doc == NULL) {
        json_answer_no_key(c);
        return;
    }
    if (!json_follow(&j, path)) {
        json_close(&j);
        return;
    }
    err = json_unique(&j.found);
    json_writer_begin(&w, &j);
    w.err = err;
    if (err == OK && !j.path.is_old) {
        change_all(&w, how);
    }
    if (err == OK && j.path.is_old && !change_old(&w, how)) {
        json_answer_no_path(&j, how->or_else);
    }
    (void)json_commit(&w, how->event);
    json_close(&j);
}
