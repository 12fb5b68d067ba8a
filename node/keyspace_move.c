/* keyspace_move.c - values that get another key: RENAME and COPY. */
#include "base/err.h"
#include "base/mem.h"
#include "node/database.h"
#include "node/evict.h"
#include "node/keyspace.h"
#include "node/large.h"
#include "node/notify.h"
#include "node/section.h"
#include "node/slices.h"
#include "node/type.h"

#include <assert.h>

enum { TYPE_SLICE_STEPS = 1000 }; /* a copy_slice() or log_slice() */

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

bool keyspace_is_long(const struct entry *e)
{
    /* A document is copied, and told to the log, as its text; a long string is shared. */
    return (e->encoding == ENC_LARGE || e->type == TYPE_JSON) && type_bytes(e) > SLICES_BYTES;
}

/* The entry, which the section does not have. */
static void drop_made(struct entry *made, bool with_value)
{
    size_t budget = SIZE_MAX;

    if (!with_value) {
        entry_free(made);
    } else if (rcu_reserve(1) == OK) {
        /* Nobody has seen it, but a million members are not freed at once. */
        rcu_retire_object(made, type_bytes(made), database_free_entry);
    } else {
        (void)database_free_entry(made, &budget);
    }
}

/* Copies, then writes the operations, in slices if the command runs so. NULL: the section has failed. */
static struct entry *move(struct cmd *c, const struct entry *e, struct key to, bool copies)
{
    int64_t expire_at_ms = entry_expire_at_ms(e);
    struct type_walk copying = {.now_ms = section_now_ms(c->section), .is_done = !copies};
    struct type_walk logging = {.now_ms = section_now_ms(c->section)};
    struct entry *made = copies
                             ? type_ops[e->type]->copy(e, to.name, expire_at_ms, evict_uses_clock())
                             : keyspace_entry_with(e, to.name, expire_at_ms);
    int err = made == NULL ? ERR_NOMEM : OK;

    if (e->encoding == ENC_LARGE) {
        section_expect(c->section, type_bytes(e));
    }
    while (err == OK && !copying.is_done) {
        err = type_copy_slice(made, e, &copying);
        err = slices_tick(TYPE_SLICE_STEPS) ? err : ERR_NOMEM;
    }
    while (err == OK && !logging.is_done) {
        err = type_log_slice(section_change(c->section), to.name, made, &logging);
        err = slices_tick(TYPE_SLICE_STEPS) ? err : ERR_NOMEM;
    }
    if (err != OK) {
        section_fail(c->section, SECTION_NOMEM);
    }
    if (made != NULL && section_has_failed(c->section)) {
        drop_made(made, copies);
        made = NULL;
    }
    return made;
}

/* That a key was made in the place of another; of one that was made where none was, section_put() tells. */
static void tell_moved(struct cmd *c, struct key to, bool replaces)
{
    if (replaces) {
        notify(c, NOTIFY_NEW, "new", to.name);
    }
}

void keyspace_rename(struct cmd *c, struct key from, struct key to)
{
    struct section *s = c->section;
    struct entry *e = section_find(s, from);

    assert(e != NULL);
    bool replaces = section_find(s, to) != NULL; /* removes an expired one as such */
    struct entry *n = move(c, e, to, false);

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
}

/* Of the value, not of the entry: a section that fails may have freed the entry's block before. */
static void free_value_now(void *object, void *type)
{
    const struct type_ops *t = type;
    size_t budget = SIZE_MAX;

    (void)t->free_value(object, &budget);
}

void keyspace_copy(struct cmd *c, struct key from, struct key to)
{
    struct section *s = c->section;
    struct entry *e = section_find(s, from);

    assert(e != NULL);
    bool replaces = section_find(s, to) != NULL;
    struct entry *n = move(c, e, to, true);

    if (n == NULL) {
        return;
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
}
