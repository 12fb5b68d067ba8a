/* json.h - what the JSON commands share (json_call.c): looking up, following a path, answering, changing. */
#ifndef NODE_CMD_JSON_H
#define NODE_CMD_JSON_H

#include "edge/backend.h"
#include "node/json_path.h"
#include "node/json_text.h"
#include "node/type_json.h"

struct json_call {
    struct cmd *c;
    struct key key;
    const char *doc; /* NULL: no such key */
    struct json_path path;
    struct json_matches found;
};

/* Looks the key up. False: the answer was an error, or the command, whose only key it is, is long, and runs in
 * slices: nothing else was done before, nothing is done after. */
MUST_CHECK bool json_open(struct cmd *c, uint32_t key, struct json_call *j);
/* Reads the path in that argument, "." if there is none, and what it matches in a document that is there.
 * False: the answer was an error. In any case json_close() afterwards. */
MUST_CHECK bool json_follow(struct json_call *j, uint32_t path);
/* The path alone. */
MUST_CHECK bool json_read_path(struct json_call *j, uint32_t path);
void json_close(struct json_call *j);
static inline const char *json_found(const struct json_call *j, uint32_t i)
{
    return j->doc + j->found.v[i];
}
/* Appends the argument's value. False: the answer was an error. */
MUST_CHECK bool json_arg(struct cmd *c, uint32_t index, struct buf *out);
bool json_int_arg(struct cmd *c, uint32_t index, int64_t *out);

void json_answer_no_key(struct cmd *c);
/* "… does not exist", and what else it may be. */
void json_answer_no_path(const struct json_call *j, const char *or_else);
void json_answer_failure(struct cmd *c, int err);

/* ---- Asking one thing of each value ---- */

enum json_absence { JSON_ABSENT_NULL, JSON_ABSENT_ERROR, JSON_ABSENT_ZERO };

struct json_question {
    /* NULL's place is taken when a value is not of the kind asked for. */
    bool (*fits)(const char *value);
    void (*answer)(struct cmd *c, const char *value);
    const char *kind;          /* that was expected, for old paths; NULL: none is ever unfit */
    enum json_absence absence; /* of the key, with "$" */
    bool lax;                  /* an old path that matches nothing is null too */
};
/* The command is: key [path], the path in that argument. */
void json_ask(struct cmd *c, uint32_t path, const struct json_question *q);

/* ---- Changing ---- */

enum { JSON_EDITS_MAX = 1 << 18 };

/* Edits are gathered while the answers to them are written; json_commit() carries them out, or takes the
 * answers back for an error. */
struct json_writer {
    struct cmd *c;
    struct json_call *j;
    struct buf edits;  /* of struct json_edit */
    struct buf places; /* of each edit's value in `values`; SIZE_MAX: it is elsewhere */
    struct buf values;
    bool dry; /* it is only asked whether all could be done */
    int err;
    const char *why; /* what to answer, if `err` alone does not tell */
    size_t reply_at;
    uint32_t reply_flags;
};

void json_writer_begin(struct json_writer *w, struct json_call *j);
/* At the match, or what e says; value in e.value. */
void json_edit_add(struct json_writer *w, const struct json_edit *e);
/* The same, its value being what was appended to w->values since `from`. */
void json_edit_add_made(struct json_writer *w, const struct json_edit *e, size_t from);
uint32_t json_edits_count(const struct json_writer *w);
/* False: an error was answered instead. Ends the writer. Nothing is written without edits. */
bool json_commit(struct json_writer *w, const char *event);

/* Each match once, in their order if none comes twice. ERR_NOMEM. */
MUST_CHECK int json_unique(struct json_matches *m);

/* A command that changes each value by itself: key [path]. */
struct json_change {
    bool (*fits)(const char *value);
    /* Answers, and adds edits. False: w->err says why not. */
    void (*change)(struct json_writer *w, const char *value, void *arg);
    const char *or_else; /* what an old path's error says behind "does not exist or" */
    const char *event;
    void *arg;
};
void json_change_each(struct cmd *c, uint32_t path, const struct json_change *how);

bool json_is_array(const char *value);
bool json_is_object(const char *value);
bool json_is_string(const char *value);
bool json_is_bool(const char *value);

#endif
