/* section_mark.c - savepoints: giving up a part of a section (see section.h).
 *
 * What a section has done is in piles, which only grow; a savepoint notes how high they are, and keeps each
 * older item as it was before its first change since (section_save()). Giving up is what an abort does, down
 * to there: collections are changed back by what they left in `aborts` (a collection that was held before
 * leaves a second note there, see large.c), then entries that were made since are freed, then items are as they were.
 * Nothing of it needs memory. */
#include "node/section_parts.h"

#include "base/mem.h"
#include "node/entry.h"

#include <assert.h>

void section_mark(struct section *s)
{
    assert(s->savepoint.number == 0);
    s->savepoint = (struct savepoint){.number = ++s->savepoints,
                                      .change = change_mark(&s->change),
                                      .items = s->items.count,
                                      .discards = s->discards.count,
                                      .kept = s->kept.count,
                                      .retires = s->retires.count,
                                      .aborts = s->aborts.count,
                                      .ends = s->ends.count,
                                      .touched = s->touched.count,
                                      .in_place = s->in_place,
                                      .notices_len = s->notices.bytes.len,
                                      .flushed = s->flushed};
    s->saved.count = 0;
}

uint64_t section_marked(const struct section *s)
{
    return s->savepoint.number;
}

bool section_save(struct section *s, struct item *it)
{
    uint32_t index = (uint32_t)(it - PILE(s->items, struct item, 0));

    if (LIKELY(s->savepoint.number == 0) || index >= s->savepoint.items) {
        return false;
    }
    if (it->saved == s->savepoint.number) {
        return !it->is_changed;
    }
    struct saved_item *saved = section_pile_add(s, &s->saved, sizeof(*saved));

    if (saved == NULL) {
        return false; /* the section has failed: it is not rolled back, but aborted */
    }
    *saved = (struct saved_item){index, *it};
    it->saved = s->savepoint.number;
    it->is_changed = false;
    return true;
}

void section_release(struct section *s)
{
    s->savepoint.number = 0;
    s->saved.count = 0;
}

static void run_back(struct pile *p, uint32_t to)
{
    while (p->count > to) {
        struct deferred d = *PILE(*p, struct deferred, --p->count);

        d.fn(d.object, d.arg);
    }
}

/* What was made since and would not be published. */
static void free_entries(struct section *s, const struct savepoint *mark)
{
    for (uint32_t i = mark->items; i < s->items.count; i++) {
        struct item *it = PILE(s->items, struct item, i);

        if (it->now != it->old) {
            entry_free(it->now);
        }
    }
    for (uint32_t i = 0; i < s->saved.count; i++) {
        const struct saved_item *saved = PILE(s->saved, struct saved_item, i);
        struct item *it = PILE(s->items, struct item, saved->index);

        if (it->now != saved->was.now) {
            entry_free(it->now);
        }
        *it = saved->was;
    }
    for (uint32_t i = mark->discards; i < s->discards.count; i++) {
        struct discard *d = PILE(s->discards, struct discard, i);

        if (!d->is_saved) {
            entry_free(d->entry);
        }
    }
}

void section_rollback(struct section *s)
{
    struct savepoint mark = s->savepoint;

    assert(mark.number != 0);
    if (s->failure != SECTION_OK) {
        section_release(s);
        return;
    }
    run_back(&s->aborts, mark.aborts);
    free_entries(s, &mark);
    s->items.count = mark.items;
    s->discards.count = mark.discards;
    s->kept.count = mark.kept;
    s->retires.count = mark.retires;
    s->touched.count = mark.touched;
    s->in_place = mark.in_place;
    s->flushed = mark.flushed;
    section_index_again(s);
    change_rewind(&s->change, mark.change);
    s->notices.bytes.len = mark.notices_len;
    section_release(s);
    run_back(&s->ends, mark.ends);
}
