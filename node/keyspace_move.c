/* keyspace_move.c - values that get another key: RENAME and COPY, a turn's part at a time. */
#include "base/err.h"
#include "base/mem.h"
#include "node/database.h"
#include "node/evict.h"
#include "node/keyspace.h"
#include "node/large.h"
#include "node/notify.h"
#include "node/section.h"
#include "node/type.h"

#include <assert.h>

/* What is kept between the slices. The section learns of it at the end. */
struct moving {
    struct entry *made; /* owned until the section has it */
    bool copies;        /* … with its value */
    struct type_walk copying, logging;
};

struct entry *keyspace_entry_with(const struct entry *e, struct slice key, int64_t expire_at_ms)
{
    struct slice payload = entry_payload(e);
    struct entry *n = entry_create(&(struct entry_spec){
        .type = e->type,
        .encoding = e->encoding,
        .key = key,
        .payload_len = payload.len,
        .expire_at_ms = expire_at_ms,
        .clocked = evict_uses_clock(),
    });

    if (n != NULL) {
        n->flags |= e->flags & (ENTRY_FIELDS_EXPIRE | ENTRY_RAW);
        if (payload.len > 0) {
            memcpy(entry_payload_ptr(n), payload.ptr, payload.len);
        }
        _Atomic uint32_t *from = entry_clock(e);
        _Atomic uint32_t *to = entry_clock(n);

        if (from != NULL && to != NULL) {
            atomic_store_explicit(to, atomic_load_explicit(from, memory_order_relaxed),
                                  memory_order_relaxed);
        }
    }
    return n;
}

/* The entry, which the section does not have. */
static void drop_made(const struct moving *m)
{
    size_t budget = SIZE_MAX;

    if (!m->copies) {
        entry_free(m->made);
    } else if (rcu_reserve(1) == OK) {
        /* Nobody has seen it, but a million members are not freed at once. */
        rcu_retire_object(m->made, type_bytes(m->made), database_free_entry);
    } else {
        (void)database_free_entry(m->made, &budget);
    }
}

static void moving_free(void *progress)
{
    struct moving *m = progress;

    if (m->made != NULL) {
        drop_made(m);
    }
    mem_free(m, sizeof(*m));
}

/* A turn's part of copying, then of writing the operations. True when both are done, or have failed. */
static bool move_on(struct cmd *c, struct moving *m, const struct entry *e, struct slice to)
{
    int err = OK;

    if (!m->copying.is_done) {
        err = type_copy_slice(m->made, e, &m->copying);
    }
    if (err == OK && m->copying.is_done && !m->logging.is_done) {
        err = type_log_slice(section_change(c->section), to, m->made, &m->logging);
    }
    if (err != OK) {
        section_fail(c->section, SECTION_NOMEM);
    }
    return err != OK || (m->copying.is_done && m->logging.is_done);
}

/* As far as a turn allows; *out is then what was made. False: there is more to do. */
static bool move(struct cmd *c, const struct entry *e, struct key to, bool copies,
                 struct entry **out)
{
    struct moving on_stack = {.copies = copies,
                              .copying.now_ms = section_now_ms(c->section),
                              .logging.now_ms = section_now_ms(c->section)};
    struct moving *m = c->progress;

    *out = NULL;
    if (m == NULL) {
        int64_t expire_at_ms = entry_expire_at_ms(e);

        m = &on_stack;
        m->copying.is_done = !copies;
        m->made = copies ? type_ops[e->type]->copy(e, to.name, expire_at_ms, evict_uses_clock())
                         : keyspace_entry_with(e, to.name, expire_at_ms);
        if (m->made == NULL) {
            section_fail(c->section, SECTION_NOMEM);
            return true;
        }
        if (e->encoding == ENC_LARGE) {
            section_expect(c->section, type_bytes(e));
        }
    }
    if (!move_on(c, m, e, to.name)) {
        if (m == &on_stack) {
            c->progress = mem_alloc(sizeof(*m));
            c->progress_free = moving_free;
            if (c->progress == NULL) {
                section_fail(c->section, SECTION_NOMEM);
                drop_made(m);
                return true;
            }
            memcpy(c->progress, m, sizeof(*m));
        }
        c->again = true;
        return false;
    }
    if (section_has_failed(c->section)) {
        drop_made(m);
    } else {
        *out = m->made;
    }
    if (m != &on_stack) {
        m->made = NULL;
        moving_free(m);
        c->progress = NULL;
    }
    return true;
}

/* That a key was made in the place of another; of one that was made where none was, section_put() tells. */
static void tell_moved(struct cmd *c, struct key to, bool replaces)
{
    if (replaces) {
        notify(c, NOTIFY_NEW, "new", to.name);
    }
}

bool keyspace_rename(struct cmd *c, struct key from, struct key to)
{
    struct section *s = c->section;
    struct entry *e = section_find(s, from);
    struct entry *n;

    assert(e != NULL);
    bool replaces = section_find(s, to) != NULL; /* removes an expired one as such */

    if (!move(c, e, to, false, &n)) {
        return false;
    }
    if (n != NULL) {
        if (change_delete(section_change(s), from.name, CHANGE_COMMAND) != OK) {
            section_fail(s, SECTION_NOMEM);
        }
        section_keep_value(s, from);
        section_put(s, to, n);
        section_remove(s, from);
        tell_moved(c, to, replaces);
        notify(c, NOTIFY_GENERIC, "rename_from", from.name);
        notify(c, NOTIFY_GENERIC, "rename_to", to.name);
    }
    return true;
}

/* Of the value, not of the entry: a section that fails may have freed the entry's block before. */
static void free_value_now(void *object, void *type)
{
    const struct type_ops *t = type;
    size_t budget = SIZE_MAX;

    (void)t->free_value(object, &budget);
}

bool keyspace_copy(struct cmd *c, struct key from, struct key to)
{
    struct section *s = c->section;
    struct entry *e = section_find(s, from);
    struct entry *n;

    assert(e != NULL);
    bool replaces = section_find(s, to) != NULL;

    if (!move(c, e, to, true, &n)) {
        return false;
    }
    if (n == NULL) {
        return true;
    }
    const struct type_ops *t = type_ops[n->type];
    void *object = t->object(n);

    int err = OK;

    if (n->encoding == ENC_LARGE) {
        /* The section may go on to change it, and is charged for it when it is published, not before. */
        err = large_created(s, object);
    } else if (object != NULL) {
        section_on_abort(s, free_value_now, object, (void *)(uintptr_t)t);
    }
    if (err != OK || section_has_failed(s)) {
        entry_free(n); /* its value goes, or went, with the abort */
    } else {
        section_put(s, to, n);
        tell_moved(c, to, replaces);
        notify(c, NOTIFY_GENERIC, "copy_to", to.name);
    }
    return true;
}
