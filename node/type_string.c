/* type_string.c - strings, as one block with their key up to 16 KiB, as a tree beyond.
 *
 * A number that prints as the same text is kept as one (ENC_INT). Short values are replaced whole; of
 * a tree only the path to what changes is, and the old root is then retired by itself, since the new
 * one has taken the rest over (node/blocks.c).
 */
#include "node/type_string.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/rcu.h"
#include "node/blocks.h"
#include "node/keyspace.h"
#include "node/section.h"
#include "node/type.h"

#include <assert.h>

static struct tree_ref tree_of(const struct entry *e)
{
    struct tree_ref t;

    assert(e->encoding == ENC_TREE);
    memcpy(&t, entry_payload(e).ptr, sizeof(t));
    return t;
}

/* ---- Reading ---- */

void string_of_entry(const struct entry *e, struct string_value *out)
{
    out->entry = e;
    out->root = NULL;
    switch ((enum encoding)e->encoding) {
    case ENC_BYTES:
        out->len = e->payload_len;
        break;
    case ENC_INT:
        out->len = buf_put_i64(out->digits, entry_int(e));
        break;
    case ENC_TREE:
        out->len = tree_of(e).len;
        out->root = tree_of(e).root;
        break;
    case ENC_PACKED:
    case ENC_LARGE:
        assert(!"a string");
    }
}

enum found string_read(struct cmd *c, struct key key, struct string_value *out)
{
    const struct entry *e = keyspace_find(c, key);

    if (e == NULL) {
        out->len = 0;
        out->entry = NULL;
        out->root = NULL;
        return ABSENT;
    }
    if (UNLIKELY(e->type != TYPE_STRING)) {
        return WRONG_TYPE;
    }
    string_of_entry(e, out);
    return FOUND;
}

struct slice string_chunk(const struct string_value *v, size_t at)
{
    assert(at < v->len);
    if (v->root != NULL) {
        struct tree_ref t = {v->root, v->len};

        return blocks_chunk(&t, at);
    }
    assert(v->entry != NULL);
    const char *p = v->entry->encoding == ENC_INT ? v->digits : entry_payload(v->entry).ptr;

    return (struct slice){p + at, v->len - at};
}

bool string_flat(const struct string_value *v, struct buf *buf, struct slice *out)
{
    if (v->len == 0) {
        *out = SLICE("");
        return true;
    }
    *out = string_chunk(v, 0);
    if (out->len == v->len) {
        return true;
    }
    if (buf_reserve(buf, v->len) != 0) {
        return false;
    }
    size_t start = buf->len;

    for (size_t at = 0; at < v->len; at += out->len) {
        *out = string_chunk(v, at);
        buf_append_nofail(buf, out->ptr, out->len);
    }
    *out = (struct slice){buf->ptr + start, v->len};
    return true;
}

bool string_integer(const struct string_value *v, int64_t *out)
{
    if (v->len == 0 || v->root != NULL) {
        return false;
    }
    if (v->entry->encoding == ENC_INT) {
        *out = entry_int(v->entry);
        return true;
    }
    return parse_i64(entry_payload(v->entry), out);
}

void string_reply(struct reply *r, const struct string_value *v)
{
    struct slice piece = v->len == 0 ? SLICE("") : string_chunk(v, 0);

    if (LIKELY(piece.len == v->len)) {
        reply_bulk(r, piece);
        return;
    }
    reply_bulk_begin(r, v->len);
    for (size_t at = 0; at < v->len; at += piece.len) {
        piece = string_chunk(v, at);
        reply_bulk_piece(r, piece);
    }
    reply_bulk_end(r);
}

void string_hold(struct string_value *v)
{
    assert(v->root != NULL);
    blocks_get(v->root);
    v->entry = NULL;
}

void string_let_go(struct string_value *v)
{
    size_t budget = SIZE_MAX;

    /* In slices if it was the last to hold it; the count alone needs no grace period, since this reader
     * is the only one that it was for. */
    if (rcu_reserve(1) == OK) {
        rcu_retire_object(v->root, 0, blocks_free);
    } else {
        (void)blocks_free(v->root, &budget);
    }
    v->root = NULL;
    v->len = 0;
}

/* ---- Writing ---- */

static struct entry *create(struct cmd *c, struct slice name, enum encoding encoding,
                            size_t payload_len, int64_t expire_at_ms)
{
    return entry_create(&(struct entry_spec){.type = TYPE_STRING,
                                             .encoding = encoding,
                                             .key = name,
                                             .payload_len = payload_len,
                                             .expire_at_ms = expire_at_ms,
                                             .clocked = keyspace_clocked(c->db)});
}

static struct entry *create_tree(struct cmd *c, struct slice name, const struct tree_ref *t,
                                 int64_t expire_at_ms)
{
    struct entry *e = create(c, name, ENC_TREE, sizeof(*t), expire_at_ms);

    if (e != NULL) {
        memcpy(entry_payload_ptr(e), t, sizeof(*t));
    }
    return e;
}

static void free_root(struct blocks *root)
{
    size_t budget = SIZE_MAX;
    bool all = blocks_free(root, &budget);

    assert(all);
}

/* At abort. */
static void undo_tree(void *root, void *arg)
{
    (void)arg;
    blocks_unput(root);
    free_root(root);
}

/* The entry and what was logged for it become the section's; nothing is left behind if it failed. */
static void put_tree(struct cmd *c, struct key key, struct entry *e, const struct tree_ref *t)
{
    section_on_abort(c->section, undo_tree, t->root, NULL);
    if (section_has_failed(c->section)) {
        entry_free(e); /* the tree goes, or went, by undo_tree() */
        return;
    }
    section_put(c->section, key, e);
}

static void put_small(struct cmd *c, struct key key, struct slice value, struct entry *e)
{
    if (UNLIKELY(e == NULL || change_put_string(section_change(c->section), key.name, value,
                                                entry_expire_at_ms(e)) != 0)) {
        entry_free(e);
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    section_put(c->section, key, e);
}

static void put_whole_tree(struct cmd *c, struct key key, struct tree_ref t, int64_t expire_at_ms)
{
    struct entry *e = create_tree(c, key.name, &t, expire_at_ms);

    /* The section counts the root for the log when it ends. */
    blocks_pin(t.root);
    if (e == NULL || change_put_string_ref(section_change(c->section), key.name, t.len,
                                           expire_at_ms, t.root) != 0) {
        entry_free(e);
        free_root(t.root);
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    put_tree(c, key, e, &t);
}

int string_make(struct string_making *m, struct slice bytes)
{
    struct tree_ref old = {m->root, m->len};
    struct tree_ref t;
    size_t replaced_bytes;

    if (blocks_put(&old, old.len, bytes, &t, &replaced_bytes) != OK) {
        return ERR_NOMEM;
    }
    blocks_settle(t.root);
    if (old.root != NULL) {
        free_root(old.root);
    }
    *m = (struct string_making){t.root, t.len};
    return OK;
}

void string_making_fini(struct string_making *m)
{
    if (m->root != NULL) {
        /* Nobody has seen it, but a hundred megabytes are not freed at once. */
        struct string_value v = {.root = m->root};

        string_let_go(&v);
        *m = (struct string_making){NULL, 0};
    }
}

void string_put_made(struct cmd *c, struct key key, struct string_making *m, int64_t expire_at_ms)
{
    struct tree_ref t = {m->root, m->len};

    assert(m->len > STRING_SLICE);
    *m = (struct string_making){NULL, 0};
    put_whole_tree(c, key, t, expire_at_ms);
}

COLD static void put_long(struct cmd *c, struct key key, struct slice value, int64_t expire_at_ms)
{
    struct tree_ref none = {NULL, 0};
    struct tree_ref t;
    size_t replaced_bytes;

    if (blocks_put(&none, 0, value, &t, &replaced_bytes) != 0) {
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    put_whole_tree(c, key, t, expire_at_ms);
}
static void put_number(struct cmd *c, struct key key, struct slice text, int64_t value,
                       int64_t expire_at_ms)
{
    struct entry *e = create(c, key.name, ENC_INT, sizeof(value), expire_at_ms);

    if (e != NULL) {
        memcpy(entry_payload_ptr(e), &value, sizeof(value));
    }
    put_small(c, key, text, e);
}

static void put_text(struct cmd *c, struct key key, struct slice value, int64_t expire_at_ms,
                     uint8_t flags)
{
    if (UNLIKELY(value.len > ENTRY_INLINE_MAX)) {
        put_long(c, key, value, expire_at_ms);
        return;
    }
    struct entry *e = create(c, key.name, ENC_BYTES, value.len, expire_at_ms);

    if (e != NULL) {
        e->flags |= flags;
        if (value.len > 0) {
            memcpy(entry_payload_ptr(e), value.ptr, value.len);
        }
    }
    put_small(c, key, value, e);
}

void string_put(struct cmd *c, struct key key, struct slice value, int64_t expire_at_ms)
{
    int64_t number;

    if (value.len <= BUF_I64_MAX && parse_i64(value, &number)) {
        put_number(c, key, value, number, expire_at_ms);
        return;
    }
    put_text(c, key, value, expire_at_ms, 0);
}

void string_put_text(struct cmd *c, struct key key, struct slice value, int64_t expire_at_ms)
{
    put_text(c, key, value, expire_at_ms, 0);
}

void string_put_raw(struct cmd *c, struct key key, struct slice value, int64_t expire_at_ms)
{
    put_text(c, key, value, expire_at_ms, ENTRY_RAW);
}

void string_put_int(struct cmd *c, struct key key, int64_t value, int64_t expire_at_ms)
{
    char digits[BUF_I64_MAX];
    struct slice text = {digits, buf_put_i64(digits, value)};

    put_number(c, key, text, value, expire_at_ms);
}

/* A value that stays short, or was, is written anew. */
static struct entry *range_inline(struct cmd *c, struct slice name, const struct string_value *v,
                                  size_t offset, struct slice bytes)
{
    size_t end = offset + bytes.len;
    size_t kept = v->len < offset ? v->len : offset;
    struct entry *e = create(c, name, ENC_BYTES, end > v->len ? end : v->len,
                             v->entry == NULL ? 0 : entry_expire_at_ms(v->entry));

    if (e == NULL) {
        return NULL;
    }
    char *p = entry_payload_ptr(e);

    if (kept > 0) {
        memcpy(p, string_chunk(v, 0).ptr, kept);
    }
    memset(p + kept, 0, offset - kept);
    memcpy(p + offset, bytes.ptr, bytes.len);
    if (end < v->len) {
        memcpy(p + end, string_chunk(v, end).ptr, v->len - end);
    }
    return e;
}

/* A value of one block becomes a tree. */
static int tree_from_inline(const struct string_value *v, size_t offset, struct slice bytes,
                            struct tree_ref *out)
{
    struct tree_ref old = {NULL, 0};
    size_t replaced_bytes;

    if (v->len > 0 && blocks_put(&old, 0, string_chunk(v, 0), &old, &replaced_bytes) != 0) {
        return -1;
    }
    int err = blocks_put(&old, offset, bytes, out, &replaced_bytes);

    if (err == 0) {
        blocks_settle(out->root);
    }
    if (old.root != NULL) {
        free_root(old.root);
    }
    return err;
}

static void put_range_tree(struct cmd *c, struct key key, const struct string_value *v,
                           size_t offset, struct slice bytes)
{
    struct section *s = c->section;
    bool was_tree = v->entry != NULL && v->entry->encoding == ENC_TREE;
    struct tree_ref old = was_tree ? tree_of(v->entry) : (struct tree_ref){NULL, 0};
    size_t replaced_bytes = 0;
    struct tree_ref t;

    if ((was_tree ? blocks_put(&old, offset, bytes, &t, &replaced_bytes)
                  : tree_from_inline(v, offset, bytes, &t)) != 0) {
        section_fail(s, SECTION_NOMEM);
        return;
    }
    struct entry *e =
        create_tree(c, key.name, &t, v->entry == NULL ? 0 : entry_expire_at_ms(v->entry));

    if (e == NULL || change_put_range(section_change(s), key.name, offset, bytes) != 0) {
        entry_free(e);
        undo_tree(t.root, NULL);
        section_fail(s, SECTION_NOMEM);
        return;
    }
    if (was_tree) {
        section_keep_value(s, key);
        section_retire(s, old.root, replaced_bytes, blocks_free);
    }
    put_tree(c, key, e, &t);
}

void string_put_range(struct cmd *c, struct key key, size_t offset, struct slice bytes)
{
    const struct entry *old = section_find(c->section, key);
    struct string_value v = {.len = 0, .entry = NULL};

    assert(bytes.len > 0);
    if (old != NULL) {
        assert(old->type == TYPE_STRING);
        string_of_entry(old, &v);
    }
    if ((old != NULL && old->encoding == ENC_TREE) || offset + bytes.len > ENTRY_INLINE_MAX) {
        put_range_tree(c, key, &v, offset, bytes);
        return;
    }
    struct entry *e = range_inline(c, key.name, &v, offset, bytes);

    if (e == NULL || change_put_range(section_change(c->section), key.name, offset, bytes) != 0) {
        entry_free(e);
        section_fail(c->section, SECTION_NOMEM);
        return;
    }
    e->flags |= ENTRY_RAW;
    section_put(c->section, key, e);
}

/* ---- The type's row ---- */

/* Redis' word tells how the value came to be: what was changed in place stays raw until it is set anew. */
static const char *encoding_word(const struct entry *e)
{
    if (e->encoding == ENC_INT) {
        return "int";
    }
    return e->encoding == ENC_BYTES && (e->flags & ENTRY_RAW) == 0 &&
                   e->payload_len <= STRING_EMBSTR_MAX
               ? "embstr"
               : "raw";
}

static void *object_of(const struct entry *e)
{
    return e->encoding == ENC_TREE ? tree_of(e).root : NULL;
}

static size_t value_bytes(const struct entry *e)
{
    return e->encoding == ENC_TREE ? blocks_bytes(tree_of(e).root) : 0;
}

static struct entry *copy(const struct entry *e, struct slice key, int64_t expire_at_ms,
                          bool clocked)
{
    struct slice payload = entry_payload(e);
    struct entry *to = entry_create(&(struct entry_spec){.type = TYPE_STRING,
                                                         .encoding = (enum encoding)e->encoding,
                                                         .key = key,
                                                         .payload_len = payload.len,
                                                         .expire_at_ms = expire_at_ms,
                                                         .clocked = clocked});

    if (to == NULL) {
        return NULL;
    }
    to->flags |= e->flags & ENTRY_RAW;
    if (payload.len > 0) {
        memcpy(entry_payload_ptr(to), payload.ptr, payload.len);
    }
    if (e->encoding == ENC_TREE) {
        blocks_get(tree_of(e).root);
    }
    return to;
}

static int log_whole(struct change_writer *w, struct slice key, const struct entry *e)
{
    int64_t expire_at_ms = entry_expire_at_ms(e);
    struct string_value v;

    if (e->encoding == ENC_TREE) {
        struct tree_ref t = tree_of(e);

        blocks_pin(t.root);
        return change_put_string_ref(w, key, t.len, expire_at_ms, t.root);
    }
    string_of_entry(e, &v);
    return change_put_string(w, key, v.len == 0 ? SLICE("") : string_chunk(&v, 0), expire_at_ms);
}

const struct type_ops type_string_ops = {
    .name = "string",
    .encoding = encoding_word,
    .free_value = blocks_free,
    .object = object_of,
    .value_bytes = value_bytes,
    .copy = copy,
    .log = log_whole,
};
