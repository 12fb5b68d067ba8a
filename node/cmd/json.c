/* json.c - JSON commands on documents and parts of them as such; json_value.c and json_array.c have those on
 * what they consist of. */
#include "node/cmd/json.h"

#include "base/err.h"
#include "node/cmd/families.h"
#include "node/notify.h"
#include "node/section.h"
#include "node/slices.h"

static const char no_root[] = "ERR new objects must be created at the root";

/* ---- SET ---- */

enum condition { ALWAYS, IF_ABSENT, IF_PRESENT };

static bool set_options(struct cmd *c, enum condition *out)
{
    *out = ALWAYS;
    for (uint32_t i = 4; i < c->argc; i++) {
        bool nx = slice_is_word(c->argv[i], "nx");

        if ((!nx && !slice_is_word(c->argv[i], "xx")) || *out != ALWAYS) {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
        *out = nx ? IF_ABSENT : IF_PRESENT;
    }
    return true;
}

/* What a definite path that matches nothing would add: a member of each object that all but its last step
 * match. *found: the parents that are objects; an error answered is false. */
static bool find_parents(struct json_call *j, struct slice *name, bool *answered)
{
    const struct json_path *p = &j->path;
    int64_t index;
    int err;

    *answered = false;
    if (!p->is_definite) {
        reply_errf(j->c->reply, "ERR Err: wrong static path");
        *answered = true;
        return false;
    }
    json_matches_fini(&j->found);
    err = json_match(p, p->count - 1, j->doc, &j->found);
    if (err != OK) {
        json_answer_failure(j->c, err);
        *answered = true;
        return false;
    }
    const char *parent = j->found.count == 0 ? NULL : json_found(j, 0);

    if (parent != NULL && json_is_array(parent) && json_path_last_index(p, &index)) {
        reply_errf(j->c->reply, "ERR array index out of range");
        *answered = true;
        return false;
    }
    return parent != NULL && json_is_object(parent) && json_path_last_name(p, name);
}

/* What JSON.SET has to write inside a document. */
struct setting {
    enum condition condition;
    struct slice value, text;
    const char *event;
    bool dry; /* it is only asked whether it could be done */
};

/* The document is there, and the path is not its root. False: the answer was an error. */
static bool set_inside(struct json_call *j, const struct setting *s)
{
    struct json_edit e = {.kind = JSON_EDIT_SET, .value = s->value, .text = s->text};
    struct cmd *c = j->c;
    struct json_writer w;
    bool answered = false;

    if (s->condition == (j->found.count == 0 ? IF_PRESENT : IF_ABSENT)) {
        reply_null(c->reply);
        return true;
    }
    if (j->found.count == 0) {
        e.kind = JSON_EDIT_ADD;
        if (!find_parents(j, &e.name, &answered)) {
            if (!answered) {
                reply_null(c->reply);
            }
            return !answered;
        }
    }
    json_writer_begin(&w, j);
    w.dry = s->dry;
    json_matches_sort(&j->found);
    for (uint32_t i = 0; i < j->found.count; i++) {
        e.at = j->found.v[i];
        json_edit_add(&w, &e);
    }
    if (!json_commit(&w, s->event)) {
        return false;
    }
    reply_ok(c->reply);
    return true;
}

static void cmd_json_set(struct cmd *c)
{
    enum condition condition;
    struct buf value = {0};
    struct json_call j;

    if (!set_options(c, &condition) || !json_open(c, 1, &j)) {
        return;
    }
    if (json_arg(c, 3, &value) && json_follow(&j, 2)) {
        bool root = json_path_is_root(&j.path);

        if (j.doc == NULL && !root && condition != IF_PRESENT) {
            reply_errf(c->reply, "%s", no_root);
        } else if (j.doc != NULL && !root) {
            (void)set_inside(
                &j, &(struct setting){condition, buf_slice(&value), c->argv[3], "json.set", false});
        } else if (condition == (j.doc == NULL ? IF_PRESENT : IF_ABSENT)) {
            reply_null(c->reply);
        } else {
            json_put(c, j.key, buf_slice(&value), c->argv[3]);
            notify(c, NOTIFY_MODULE, "json.set", c->argv[1]);
            reply_ok(c->reply);
        }
    }
    json_close(&j);
    buf_fini(&value);
}

/* ---- MSET ---- */

static void take_back(struct reply *r, size_t len, uint32_t flags)
{
    r->out.len = len;
    r->flags = flags;
}

/* Whether one triple could be written now. False: the answer was an error. */
static bool mset_check_one(struct cmd *c, uint32_t i, struct buf *values)
{
    size_t from = values->len;
    size_t len = c->reply->out.len;
    uint32_t flags = c->reply->flags;
    struct json_call j;

    if (!json_open(c, i, &j)) {
        return false;
    }
    bool fine = json_follow(&j, i + 1) && json_arg(c, i + 2, values);
    bool inside = fine && !json_path_is_root(&j.path);

    if (inside && j.doc == NULL) {
        reply_errf(c->reply, "%s", no_root);
        fine = false;
    } else if (inside) {
        struct setting s = {.condition = ALWAYS, .dry = true};

        s.value = (struct slice){values->ptr + from, values->len - from};
        fine = set_inside(&j, &s);
        if (fine) {
            take_back(c->reply, len, flags);
        }
    }
    json_close(&j);
    return fine;
}

static bool says_no_memory(const struct reply *r, size_t from)
{
    const char *text = wire_err_text(WIRE_NOMEM);
    size_t len = strlen(text);

    /* Behind the sign of an error. */
    return r->failed || (r->out.len > from + len && memcmp(r->out.ptr + from + 1, text, len) == 0);
}

/* What became of the key earlier in the same call may have taken away what the path named: then it is
 * passed over, as a path that names nothing is. False: memory ended. */
static bool mset_one(struct cmd *c, uint32_t i, struct slice value)
{
    struct setting s = {ALWAYS, value, c->argv[i + 2], "json.mset", false};
    struct json_call j;
    size_t len = c->reply->out.len;
    bool fine = json_open(c, i, &j) && json_follow(&j, i + 1);

    if (fine && json_path_is_root(&j.path)) {
        json_put(c, j.key, value, s.text);
        notify(c, NOTIFY_MODULE, s.event, c->argv[i]);
    } else if (fine && j.doc != NULL) {
        fine = set_inside(&j, &s);
    }
    json_close(&j);
    return fine || !says_no_memory(c->reply, len);
}

/* Of all its arguments. */
static size_t bytes_of(const struct cmd *c)
{
    size_t bytes = 0;

    for (uint32_t i = 1; i < c->argc && bytes <= SLICES_BYTES; i++) {
        bytes += c->argv[i].len;
    }
    return bytes;
}

static void cmd_json_mset(struct cmd *c)
{
    if (slices_take(c, c->argc > SLICES_FEW || bytes_of(c) > SLICES_BYTES)) {
        return;
    }
    struct buf values = {0};
    size_t len = c->reply->out.len;
    uint32_t flags = c->reply->flags;
    bool fine = c->argc % 3 == 1;

    if (!fine) {
        reply_errf(c->reply, "ERR wrong number of arguments for 'json.mset' command");
    }
    for (uint32_t i = 1; i < c->argc && fine; i += 3) {
        fine = mset_check_one(c, i, &values);
    }
    if (fine) {
        const char *at = values.ptr;

        for (uint32_t i = 1; i < c->argc && fine; i += 3) {
            struct slice value = json_slice(at);

            at += value.len;
            fine = mset_one(c, i, value);
        }
        take_back(c->reply, len, flags);
        reply_ok(c->reply);
        if (!fine) {
            section_fail(c->section, SECTION_NOMEM); /* all or none */
        }
    }
    buf_fini(&values);
}

/* ---- MERGE ---- */

static void merge_match(struct json_writer *w, uint32_t at, const char *patch, struct slice text)
{
    struct json_edit e = {.kind = JSON_EDIT_SET, .says = JSON_LOG_MERGE, .at = at, .text = text};
    size_t from = w->values.len;

    if (json_tag(patch) == JSON_NULL) {
        e = (struct json_edit){.kind = JSON_EDIT_DROP, .at = at};
        json_edit_add(w, &e);
        return;
    }
    if (w->err == OK) {
        w->err = json_merge(w->j->doc + at, patch, &w->values);
    }
    json_edit_add_made(w, &e, from);
}

static void merge_inside(struct json_call *j, const char *patch, struct slice text)
{
    struct json_edit e = {.kind = JSON_EDIT_ADD};
    struct cmd *c = j->c;
    struct json_writer w;
    bool answered = false;
    bool there = j->found.count > 0;

    if (!there && (json_tag(patch) == JSON_NULL || !find_parents(j, &e.name, &answered))) {
        if (!answered) {
            reply_ok(c->reply);
        }
        return;
    }
    json_writer_begin(&w, j);
    json_matches_sort(&j->found);
    for (uint32_t i = 0; there && i < j->found.count; i++) {
        merge_match(&w, j->found.v[i], patch, text);
    }
    if (!there) {
        size_t from = w.values.len;

        e.at = j->found.v[0];
        w.err = json_merge(NULL, patch, &w.values);
        json_edit_add_made(&w, &e, from);
    }
    if (json_commit(&w, "json.merge")) {
        reply_ok(c->reply);
    }
}

/* The key is absent or goes, and becomes the patch without its nulls. */
static void merge_new(struct cmd *c, struct key key, const char *patch)
{
    struct buf value = {0};
    int err = json_merge(NULL, patch, &value);

    if (err == OK) {
        json_put(c, key, buf_slice(&value), SLICE(""));
        notify(c, NOTIFY_MODULE, "json.merge", key.name);
        reply_ok(c->reply);
    } else {
        json_answer_failure(c, err);
    }
    buf_fini(&value);
}

static void cmd_json_merge(struct cmd *c)
{
    struct buf patch = {0};
    struct json_call j;

    if (!json_open(c, 1, &j)) {
        return;
    }
    if (json_arg(c, 3, &patch) && json_follow(&j, 2)) {
        bool root = json_path_is_root(&j.path);
        bool null = json_tag(patch.ptr) == JSON_NULL;

        if (j.doc == NULL && !root) {
            reply_errf(c->reply, "%s", no_root);
        } else if (j.doc == NULL && null) {
            reply_ok(c->reply);
        } else if (j.doc == NULL) {
            merge_new(c, j.key, patch.ptr);
        } else if (root && null) {
            (void)keyspace_drop(c, j.key);
            notify(c, NOTIFY_MODULE, "json.merge", c->argv[1]);
            reply_ok(c->reply);
        } else {
            merge_inside(&j, patch.ptr, c->argv[3]);
        }
    }
    json_close(&j);
    buf_fini(&patch);
}

/* ---- GET ---- */

struct getting {
    struct json_style style;
    bool styled;
    uint32_t paths[64]; /* arguments */
    uint32_t n;
};

/* False: the answer was an error. */
static bool get_options(struct cmd *c, struct getting *g)
{
    for (uint32_t i = 2; i < c->argc; i++) {
        struct slice a = c->argv[i];
        struct slice *to = slice_is_word(a, "indent")    ? &g->style.indent
                           : slice_is_word(a, "newline") ? &g->style.newline
                           : slice_is_word(a, "space")   ? &g->style.space
                                                         : NULL;

        if (to != NULL || slice_is_word(a, "format")) {
            if (++i == c->argc) {
                reply_errf(c->reply, "ERR wrong number of arguments for 'json.get' command");
                return false;
            }
            if (to != NULL) {
                *to = c->argv[i];
                g->styled = true;
            } else if (!slice_is_word(c->argv[i], "string")) {
                reply_err(c->reply, WIRE_SYNTAX);
                return false;
            }
        } else if (!slice_is_word(a, "noescape")) {
            if (g->n == sizeof(g->paths) / sizeof(g->paths[0])) {
                reply_errf(c->reply, "ERR JSON.GET takes 64 paths at most");
                return false;
            }
            g->paths[g->n++] = i;
        }
    }
    if (g->n == 0) {
        g->paths[g->n++] = c->argc; /* the root */
    }
    return true;
}

/* All that was found as an array. */
static int put_found(const struct json_call *j, struct buf *out)
{
    size_t at;
    int err = json_put_begin(out, JSON_ARRAY, &at);

    for (uint32_t i = 0; i < j->found.count && err == OK; i++) {
        err = buf_append_slice(out, json_slice(json_found(j, i)));
        if (err == OK && out->len > JSON_TEXT_MAX) {
            err = ERR_LIMIT;
        }
    }
    if (err == OK) {
        json_put_end(out, at, j->found.count);
    }
    return err;
}

static void answer_styled(struct cmd *c, const struct getting *g, const char *value)
{
    struct buf text = {0};
    int err = json_print(value, g->styled ? &g->style : NULL, &text);

    if (err == OK) {
        reply_bulk(c->reply, buf_slice(&text));
    } else {
        json_answer_failure(c, err);
    }
    buf_fini(&text);
}

static void get_one(struct json_call *j, const struct getting *g)
{
    struct buf array = {0};

    if (!json_follow(j, g->paths[0])) {
        return;
    }
    if (j->path.is_old) {
        if (j->found.count == 0) {
            json_answer_no_path(j, "");
        } else {
            answer_styled(j->c, g, json_found(j, 0));
        }
        return;
    }
    int err = put_found(j, &array);

    if (err == OK) {
        answer_styled(j->c, g, array.ptr);
    } else {
        json_answer_failure(j->c, err);
    }
    buf_fini(&array);
}

/* A member of the answer: the path, and what it matches. False: the answer was an error. */
static bool put_path(struct json_call *j, uint32_t path, bool all_old, struct buf *out)
{
    int err;

    json_close(j);
    if (!json_follow(j, path)) {
        return false;
    }
    if (all_old && j->found.count == 0) {
        json_answer_no_path(j, "");
        return false;
    }
    err = json_put_name(out, j->path.text);
    if (err == OK) {
        err = all_old ? buf_append_slice(out, json_slice(json_found(j, 0))) : put_found(j, out);
    }
    if (err != OK) {
        json_answer_failure(j->c, err);
    }
    return err == OK;
}

static void get_many(struct json_call *j, const struct getting *g)
{
    struct buf object = {0};
    bool all_old = true;
    bool fine = true;
    size_t at;

    for (uint32_t i = 0; i < g->n && fine; i++) {
        json_close(j);
        fine = json_read_path(j, g->paths[i]);
        all_old = all_old && j->path.is_old;
    }
    if (fine && json_put_begin(&object, JSON_OBJECT, &at) != OK) {
        reply_err(j->c->reply, WIRE_NOMEM);
        fine = false;
    }
    for (uint32_t i = 0; i < g->n && fine; i++) {
        fine = put_path(j, g->paths[i], all_old, &object);
    }
    if (fine) {
        json_put_end(&object, at, g->n);
        answer_styled(j->c, g, object.ptr);
    }
    buf_fini(&object);
}

static void cmd_json_get(struct cmd *c)
{
    struct getting g = {.n = 0};
    struct json_call j;

    if (!get_options(c, &g) || !json_open(c, 1, &j)) {
        return;
    }
    if (j.doc == NULL) {
        reply_null(c->reply);
    } else if (g.n == 1) {
        get_one(&j, &g);
    } else {
        get_many(&j, &g);
    }
    json_close(&j);
}

/* ---- MGET ---- */

static void mget_one(struct cmd *c, struct json_call *j)
{
    static const struct getting plain = {.n = 1};
    struct buf array = {0};
    int err = json_match(&j->path, j->path.count, j->doc, &j->found);

    if (err == OK && j->path.is_old) {
        if (j->found.count > 0) {
            answer_styled(c, &plain, json_found(j, 0));
        } else {
            reply_null(c->reply);
        }
        return;
    }
    err = err == OK ? put_found(j, &array) : err;
    if (err == OK) {
        answer_styled(c, &plain, array.ptr);
    } else {
        json_answer_failure(c, err);
    }
    buf_fini(&array);
}

/* Its documents together; an error or a retry shows when they are looked at again. */
static bool are_long(struct cmd *c)
{
    const char *doc;
    size_t bytes = 0;

    for (uint32_t i = 1; i + 1 < c->argc && bytes <= SLICES_BYTES; i++) {
        if (json_find(c, cmd_key(c, i), &doc) == FOUND) {
            bytes += (size_t)(json_end(doc) - doc);
        }
    }
    return bytes > SLICES_BYTES;
}

static void cmd_json_mget(struct cmd *c)
{
    struct json_call j = {.c = c};

    if (slices_take(c, c->argc > SLICES_FEW || are_long(c))) {
        return;
    }
    if (json_read_path(&j, c->argc - 1)) {
        reply_array(c->reply, c->argc - 2);
        for (uint32_t i = 1; i + 1 < c->argc; i++) {
            if (json_find(c, cmd_key(c, i), &j.doc) == FOUND) {
                mget_one(c, &j);
                json_matches_fini(&j.found);
            } else {
                reply_null(c->reply);
            }
        }
    }
    json_close(&j);
}

/* ---- DEL ---- */

static void del_inside(struct json_call *j)
{
    struct json_edit e = {.kind = JSON_EDIT_DROP};
    struct json_writer w;
    uint32_t end = 0;
    int64_t count = 0;

    json_writer_begin(&w, j);
    json_matches_sort(&j->found);
    for (uint32_t i = 0; i < j->found.count; i++) {
        e.at = j->found.v[i];
        if (e.at >= end) { /* else it goes with what it lies in */
            json_edit_add(&w, &e);
            end = (uint32_t)(json_end(json_found(j, i)) - j->doc);
            count++;
        }
    }
    if (json_commit(&w, "json.del")) {
        reply_int(j->c->reply, count);
    }
}

static void cmd_json_del(struct cmd *c)
{
    struct json_call j;

    if (!json_open(c, 1, &j)) {
        return;
    }
    if (json_follow(&j, 2)) {
        if (j.doc == NULL) {
            reply_int(c->reply, 0);
        } else if (json_path_is_root(&j.path)) {
            (void)keyspace_drop(c, j.key);
            notify(c, NOTIFY_MODULE, "json.del", c->argv[1]);
            reply_int(c->reply, 1);
        } else {
            del_inside(&j);
        }
    }
    json_close(&j);
}

/* ---- CLEAR ---- */

/* What it becomes; NULL: it stays, being empty, zero, or no kind to clear. */
static const char *cleared(const char *value)
{
    static const char array[JSON_HEAD] = {JSON_ARRAY};
    static const char object[JSON_HEAD] = {JSON_OBJECT};
    static const char zero[2] = {JSON_INT8, 0};

    if (json_is_container(value)) {
        return json_count(value) == 0 ? NULL : json_is_array(value) ? array : object;
    }
    return json_is_number(value) && json_double(value) != 0 ? zero : NULL;
}

static void cmd_json_clear(struct cmd *c)
{
    struct json_edit e = {.kind = JSON_EDIT_SET};
    struct json_writer w;
    struct json_call j;

    if (!json_open(c, 1, &j)) {
        return;
    }
    if (j.doc == NULL) {
        json_answer_no_key(c);
        return;
    }
    if (json_follow(&j, 2)) {
        json_writer_begin(&w, &j);
        json_matches_sort(&j.found);
        for (uint32_t i = 0; i < j.found.count; i++) {
            const char *now = cleared(json_found(&j, i));

            if (now != NULL) {
                e.at = j.found.v[i];
                e.value = json_slice(now);
                json_edit_add(&w, &e);
            }
        }
        int64_t count = json_edits_count(&w);

        if (json_commit(&w, "json.clear")) {
            reply_int(c->reply, count);
        }
    }
    json_close(&j);
}

/* clang-format off */
struct cmd_def json_cmds[] = {
    { .name = "JSON.SET", .arity = -4, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_set, .args = "key path value [NX | XX]",
      .summary = "Sets what a path matches in a JSON document, or adds it; at the root the whole document." },
    { .name = "JSON.MSET", .arity = -4, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, -1, 3),
      .since = "2.6.0", .run = cmd_json_mset, .args = "key path value [key path value ...]",
      .summary = "JSON.SET for several keys, all or none." },
    { .name = "JSON.MERGE", .arity = 4, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 1, 1),
      .since = "2.6.0", .run = cmd_json_merge, .args = "key path value",
      .summary = "Merges a patch (RFC 7396) into what a path matches: members are set, or removed by null." },
    { .name = "JSON.GET", .arity = -2, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_get,
      .args = "key [INDENT indent] [NEWLINE newline] [SPACE space] [path [path ...]]",
      .summary = "The JSON text of what paths match." },
    { .name = "JSON.MGET", .arity = -3, .flags = CMD_READ, .keys = KEYS(1, -2, 1),
      .since = "1.0.0", .run = cmd_json_mget, .args = "key [key ...] path",
      .summary = "The JSON text of what a path matches in several documents." },
    { .name = "JSON.DEL", .arity = -2, .flags = CMD_WRITE, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_del, .args = "key [path]",
      .summary = "Removes what a path matches, or the key. Answers how many values went." },
    { .name = "JSON.FORGET", .arity = -2, .flags = CMD_WRITE, .keys = KEYS(1, 1, 1),
      .since = "1.0.0", .run = cmd_json_del, .args = "key [path]",
      .summary = "JSON.DEL by another name." },
    { .name = "JSON.CLEAR", .arity = -2, .flags = CMD_WRITE, .keys = KEYS(1, 1, 1),
      .since = "2.0.0", .run = cmd_json_clear, .args = "key [path]",
      .summary = "Empties arrays and objects, and sets numbers to 0. Answers how many changed." },
    CMD_END
};
/* clang-format on */
