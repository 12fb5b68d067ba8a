/* type_json_write.c - changing documents, within a section, and applying what the log says of them.
 *
 * A change writes its patches as the operation, by pointers and texts, or, when there are many or they are
 * longer than the document, the document. */
#include "base/err.h"
#include "base/mem.h"
#include "node/json_ref.h"
#include "node/json_text.h"
#include "node/section.h"
#include "node/slices.h"
#include "node/type.h"
#include "node/type_json.h"

#include <assert.h>
#include <proto/change.pb-c.h>

static uint32_t next_number(uint32_t number)
{
    return number + 1 != 0 ? number + 1 : 1;
}

/* ---- Storing ---- */

static void undo_block(void *block, void *arg)
{
    (void)arg;
    json_block_free(block);
}

/* An entry with room for a value of so many bytes, which go to *out. NULL: the section has failed. */
static struct entry *make_entry(struct cmd *c, struct key key, const struct entry *old,
                                size_t bytes, uint32_t number, char **out)
{
    bool inlined = bytes + JSON_NUMBER <= ENTRY_INLINE_MAX;
    struct json_ref ref = {.number = number};
    struct entry *e;

    if (inlined) {
        e = type_entry(c, key, old, TYPE_JSON, bytes + JSON_NUMBER);
        if (e != NULL) {
            memcpy(entry_payload_ptr(e), &number, sizeof(number));
            *out = entry_payload_ptr(e) + JSON_NUMBER;
        }
        return e;
    }
    ref.block = json_block_create(bytes);
    if (ref.block == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return NULL;
    }
    section_on_abort(c->section, undo_block, ref.block, NULL);
    if (section_has_failed(c->section)) {
        return NULL; /* the block goes, or went, by undo_block() */
    }
    e = type_entry(c, key, old, TYPE_JSON, sizeof(ref));
    if (e != NULL) {
        e->encoding = ENC_TREE;
        memcpy(entry_payload_ptr(e), &ref, sizeof(ref));
        *out = ref.block->bytes;
    }
    return e;
}

/* ---- Whole documents ---- */

static bool log_put(struct cmd *c, struct key key, struct slice text, const char *value,
                    uint32_t number)
{
    struct buf made = {0};
    int err = OK;

    if (text.len == 0) {
        err = json_print(value, NULL, &made);
        text = buf_slice(&made);
    }
    if (err == OK) {
        err = change_put_json(section_change(c->section), key.name, false, 0, number, text);
    }
    buf_fini(&made);
    if (err == ERR_LIMIT) {
        section_fail(c->section, SECTION_TOO_LARGE);
        return false;
    }
    return type_logged(c->section, err);
}

static void put_numbered(struct cmd *c, struct key key, const struct entry *old, struct slice value,
                         uint32_t number)
{
    char *to;
    struct entry *e = make_entry(c, key, old, value.len, number, &to);

    if (e != NULL) {
        slices_copy(to, value.ptr, value.len);
        section_put(c->section, key, e);
    }
}

void json_put(struct cmd *c, struct key key, struct slice value, struct slice text)
{
    const struct entry *old = type_find(c, key, TYPE_JSON);
    uint32_t number = old == NULL ? 1 : next_number(json_number_of(old));

    if (!section_has_failed(c->section) && log_put(c, key, text, value.ptr, number)) {
        put_numbered(c, key, old, value, number);
    }
}

/* ---- Patches ---- */

/* The text of what an edit brings. */
static int text_of(const struct json_edit *e, struct buf *out)
{
    struct slice rest = e->value;
    bool many = e->kind == JSON_EDIT_INSERT;
    int err = many ? buf_append_char(out, '[') : OK;

    if (e->text.len > 0) {
        return slices_append(out, e->text);
    }
    while (rest.len > 0 && err == OK) {
        size_t len = json_slice(rest.ptr).len;

        err = rest.len < e->value.len ? buf_append_char(out, ',') : OK;
        err = err == OK ? json_print(rest.ptr, NULL, out) : err;
        rest.ptr += len;
        rest.len -= len;
    }
    return err == OK && many ? buf_append_char(out, ']') : err;
}

static enum change_json_kind kind_of(const struct json_edit *e)
{
    switch (e->kind) {
    case JSON_EDIT_SET:
        return e->says == JSON_LOG_APPEND  ? CHANGE_JSON_APPEND
               : e->says == JSON_LOG_MERGE ? CHANGE_JSON_MERGE
                                           : CHANGE_JSON_SET;
    case JSON_EDIT_ADD:
        return CHANGE_JSON_SET;
    case JSON_EDIT_INSERT:
        return CHANGE_JSON_INSERT;
    case JSON_EDIT_DROP:
    case JSON_EDIT_REMOVE:
        break;
    }
    return CHANGE_JSON_REMOVE;
}

static int log_edit(struct change_writer *w, const struct json_edit *e, struct buf *text)
{
    int err;

    buf_clear(text);
    err = text_of(e, text);
    return err == OK
               ? change_json_patch(w, kind_of(e), e->pointer,
                                   e->kind == JSON_EDIT_REMOVE ? e->count : 1, buf_slice(text))
               : err;
}

static int log_patches(struct cmd *c, struct key key, const struct json_plan *p, uint32_t number)
{
    struct change_writer *w = section_change(c->section);
    struct buf text = {0};
    int err = change_patch_json_begin(w, key.name, number);

    if (err != OK) {
        return err;
    }
    /* Of those that are told, each has its place in the plan's. */
    for (uint32_t i = 0; i < p->edits_n && err == OK; i++) {
        err = log_edit(w, &p->edits[i], &text);
    }
    buf_fini(&text);
    if (err != OK) {
        change_drop_open(w);
        return err;
    }
    change_patch_json_end(w);
    return OK;
}

/* Whether the patches say it in fewer bytes than the document would. */
static bool are_short(const struct json_plan *p)
{
    size_t bytes = p->pointers.len;

    if (p->edits_n > JSON_POINTERS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < p->edits_n; i++) {
        bytes += p->edits[i].text.len > 0 ? p->edits[i].text.len : p->edits[i].value.len;
    }
    return bytes < p->bytes;
}

void json_change(struct cmd *c, struct key key, const struct json_plan *p)
{
    const struct entry *old = type_find(c, key, TYPE_JSON);
    char *to;

    if (old == NULL) {
        assert(section_has_failed(c->section));
        return;
    }
    uint32_t number = next_number(json_number_of(old));
    bool patches = are_short(p);
    struct entry *e;

    if (patches && !type_logged(c->section, log_patches(c, key, p, json_number_of(old)))) {
        return;
    }
    e = make_entry(c, key, old, p->bytes, number, &to);
    if (e == NULL) {
        return;
    }
    json_plan_write(p, to);
    if (!patches && !log_put(c, key, (struct slice){NULL, 0}, to, number)) {
        entry_free(e);
        return;
    }
    section_put(c->section, key, e);
}

/* ---- Applying ---- */

static struct slice bytes_of(const ProtobufCBinaryData *b)
{
    return (struct slice){(const char *)b->data, b->len};
}

/* ERR_CORRUPT is for what no leader writes. */
static void fail(struct cmd *c, int err)
{
    if (err != OK) {
        section_fail(c->section, err == ERR_NOMEM ? SECTION_NOMEM : SECTION_CLIENT);
    }
}

static int parse(struct slice text, struct buf *out)
{
    struct json_fault fault;

    if (json_parse(text, out, &fault)) {
        return OK;
    }
    return fault.what == NULL ? ERR_NOMEM : ERR_CORRUPT;
}

static void apply_put(struct cmd *c, struct key key, const Godwit__PutJson *m)
{
    bool replace = m->has_replace && m->replace;
    const struct entry *e = keyspace_peek(c, key);
    struct buf value = {0};
    int err = parse(bytes_of(&m->json), &value);

    /* Of another type only when a change is applied again: what follows in it made it so. */
    if (err == OK && e != NULL && (replace || e->type != TYPE_JSON)) {
        (void)keyspace_delete(c, key);
    }
    if (err == OK) {
        const struct entry *old = type_find(c, key, TYPE_JSON);

        if (!section_has_failed(c->section) &&
            log_put(c, key, bytes_of(&m->json), NULL, m->number)) {
            put_numbered(c, key, old, buf_slice(&value), m->number);
        }
    }
    buf_fini(&value);
    if (err == OK && replace && m->has_expire_at_ms && m->expire_at_ms != 0 &&
        !section_has_failed(c->section)) {
        keyspace_expire_at(c, key, m->expire_at_ms);
    }
    fail(c, err);
}

/* What was made for one edit: its parts are borrowed from it. */
struct made {
    struct buf value;
    struct json_place place;
};

static int edit_container(const struct made *m, const char *doc, const Godwit__JsonPatch *p,
                          struct json_edit *e)
{
    const char *at = m->place.parent;
    uint32_t count = p->has_count ? p->count : 0;

    if (at == NULL || json_tag(at) != JSON_ARRAY || m->place.index > json_count(at)) {
        return ERR_CORRUPT;
    }
    e->at = (uint32_t)(at - doc);
    e->index = m->place.index;
    if (p->kind == GODWIT__JSON_PATCH__KIND__REMOVE) {
        e->kind = JSON_EDIT_REMOVE;
        e->count = count;
        return count <= json_count(at) - e->index ? OK : ERR_CORRUPT;
    }
    if (json_tag(m->value.ptr) != JSON_ARRAY) {
        return ERR_CORRUPT;
    }
    e->kind = JSON_EDIT_INSERT;
    e->count = json_count(m->value.ptr);
    e->value = json_slice(m->value.ptr);
    e->value.ptr += JSON_HEAD;
    e->value.len -= JSON_HEAD;
    return OK;
}

/* The value there becomes one that is made of it. */
static int edit_made(struct made *m, const Godwit__JsonPatch *p, struct json_edit *e)
{
    struct buf now = {0};
    const char *old = m->place.value;
    int err = ERR_CORRUPT;

    e->says = p->kind == GODWIT__JSON_PATCH__KIND__APPEND ? JSON_LOG_APPEND : JSON_LOG_MERGE;
    if (old != NULL && e->says == JSON_LOG_MERGE) {
        err = json_merge(old, m->value.ptr, &now);
    } else if (old != NULL && json_tag(old) == JSON_STRING &&
               json_tag(m->value.ptr) == JSON_STRING) {
        err = json_append_string(json_string(old), json_string(m->value.ptr), &now);
    }
    buf_fini(&m->value);
    m->value = now;
    return err;
}

static int edit_of(struct made *m, const char *doc, const Godwit__JsonPatch *p, struct json_edit *e)
{
    int err = json_pointer_find(doc, bytes_of(&p->pointer), &m->place);

    *e = (struct json_edit){.kind = JSON_EDIT_SET, .text = bytes_of(&p->json)};
    if (err == OK && p->has_json) {
        err = parse(bytes_of(&p->json), &m->value);
    }
    if (err != OK) {
        return err;
    }
    bool in_array = m->place.parent != NULL && json_tag(m->place.parent) == JSON_ARRAY;

    if (p->kind == GODWIT__JSON_PATCH__KIND__INSERT ||
        (p->kind == GODWIT__JSON_PATCH__KIND__REMOVE && in_array)) {
        return edit_container(m, doc, p, e);
    }
    if (p->kind == GODWIT__JSON_PATCH__KIND__SET && m->place.value == NULL) {
        e->kind = JSON_EDIT_ADD;
        e->at = (uint32_t)(m->place.parent - doc);
        e->name = m->place.name;
        e->value = buf_slice(&m->value);
        return in_array ? ERR_CORRUPT : OK;
    }
    if (m->place.value == NULL) {
        return ERR_CORRUPT;
    }
    e->at = (uint32_t)(m->place.value - doc);
    if (p->kind == GODWIT__JSON_PATCH__KIND__REMOVE) {
        e->kind = JSON_EDIT_DROP;
        return m->place.parent != NULL ? OK : ERR_CORRUPT;
    }
    err = p->kind == GODWIT__JSON_PATCH__KIND__SET ? OK : edit_made(m, p, e);
    e->value = buf_slice(&m->value);
    return err;
}

static int apply_edits(struct cmd *c, struct key key, const char *doc, const Godwit__PatchJson *m,
                       struct made *made, struct json_edit *edits)
{
    struct json_plan plan = {0};
    int err = OK;

    for (size_t i = 0; i < m->n_patches && err == OK; i++) {
        err = edit_of(&made[i], doc, m->patches[i], &edits[i]);
    }
    if (err == OK) {
        err = json_plan(doc, edits, (uint32_t)m->n_patches, &plan);
        if (err == OK) {
            json_change(c, key, &plan);
        }
        json_plan_fini(&plan);
    }
    return err;
}

static void apply_patches(struct cmd *c, struct key key, const Godwit__PatchJson *m)
{
    const struct entry *e = keyspace_peek(c, key);
    size_t n = m->n_patches;

    if (e == NULL || e->type != TYPE_JSON || json_number_of(e) != m->number) {
        return; /* applied before */
    }
    struct made *made = mem_zalloc(n * sizeof(*made));
    struct json_edit *edits = mem_zalloc(n * sizeof(*edits));
    int err = made == NULL || edits == NULL ? ERR_NOMEM : OK;

    if (err == OK) {
        err = apply_edits(c, key, json_of(e), m, made, edits);
    }
    for (size_t i = 0; made != NULL && i < n; i++) {
        buf_fini(&made[i].value);
        buf_fini(&made[i].place.room);
    }
    mem_free(made, n * sizeof(*made));
    mem_free(edits, n * sizeof(*edits));
    fail(c, err);
}

void json_apply(struct cmd *c, struct key key, const struct Godwit__Op *op)
{
    if (op->kind_case == GODWIT__OP__KIND_PUT_JSON) {
        apply_put(c, key, op->put_json);
    } else {
        apply_patches(c, key, op->patch_json);
    }
}
