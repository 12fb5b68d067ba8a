/* type_set_write.c - changing sets, within a section.
 *
 * Each function does its part on the packed or the large form, and writes the operation that says the
 * same to the section's change: only members that really came or went, so that a command which changes
 * nothing is no change. */
#include "node/type_set.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/parse.h"
#include "node/hash_large.h"
#include "node/keyspace.h"
#include "node/options.h"
#include "node/packed.h"
#include "node/section.h"
#include "node/slices.h"
#include "node/type.h"

#include <assert.h>
#include <stdlib.h>

static bool is_int(struct slice member, int64_t *out)
{
    return member.len <= BUF_I64_MAX && parse_i64(member, out);
}

/* ---- Operations ---- */

/* Begun with the first member, so that adding or removing nothing changes nothing. */
static bool log_added(struct cmd *c, struct key key, bool *open, struct slice member)
{
    struct change_writer *w = section_change(c->section);

    if (!*open) {
        *open = type_logged(c->section, change_put_members_begin(w, key.name, false, 0));
    }
    return *open && type_logged(c->section, change_member(w, member));
}

static bool log_removed(struct cmd *c, struct key key, bool *open, struct slice member)
{
    struct change_writer *w = section_change(c->section);

    if (!*open) {
        *open = type_logged(c->section, change_delete_members_begin(w, key.name));
    }
    return *open && type_logged(c->section, change_delete_members_member(w, member));
}

/* Of either. False: the section has failed. */
static bool log_end(struct cmd *c, bool open, void (*end)(struct change_writer *w))
{
    if (open && section_has_failed(c->section)) {
        change_drop_open(section_change(c->section));
    } else if (open) {
        end(section_change(c->section));
    }
    return !section_has_failed(c->section);
}

/* ---- A packed set taken apart ---- */

/* Of integers, as long as all are: then `ints`, ascending; else `strings`, in the order they came. They
 * point into the old block, to the arguments, or to `digits`. */
struct parts {
    int64_t *ints;
    struct slice *strings;
    size_t count, cap;
    struct set_digits *digits; /* made when integers become strings */
    size_t digits_count;
    int64_t few_ints[128];
    struct slice few_strings[128];
};

static void parts_end(struct parts *p)
{
    if (p->ints != p->few_ints && p->ints != NULL) {
        mem_free(p->ints, p->cap * sizeof(p->ints[0]));
    }
    if (p->strings != p->few_strings && p->strings != NULL) {
        mem_free(p->strings, p->cap * sizeof(p->strings[0]));
    }
    mem_free(p->digits, p->digits_count * sizeof(p->digits[0]));
}

/* False: the section has failed, and there is nothing to end. */
static bool parts_room(struct parts *p, struct cmd *c, bool ints)
{
    bool few = p->cap <= 128;

    if (ints) {
        p->ints = few ? p->few_ints : mem_alloc(p->cap * sizeof(p->ints[0]));
    } else {
        p->strings = few ? p->few_strings : mem_alloc(p->cap * sizeof(p->strings[0]));
    }
    if (ints ? p->ints == NULL : p->strings == NULL) {
        section_fail(c->section, SECTION_NOMEM);
        return false;
    }
    return true;
}

static bool parts_are_ints(const struct parts *p)
{
    return p->strings == NULL;
}

/* The members of e, or none, and room for more of them. False: the section has failed. */
static bool parts_begin(struct parts *p, struct cmd *c, const struct entry *e, size_t more)
{
    struct slice block = e == NULL ? (struct slice){NULL, 0} : entry_payload(e);
    bool ints = e == NULL || set_packed_is_ints(block);
    size_t count = e == NULL ? 0 : set_packed_count(block);

    p->ints = NULL;
    p->strings = NULL;
    p->digits = NULL;
    p->digits_count = 0;
    p->count = count;
    p->cap = count + more;
    if (!parts_room(p, c, ints)) {
        return false;
    }
    for (size_t i = 0; ints && i < count; i++) {
        p->ints[i] = set_packed_int(block, i);
    }
    if (!ints) {
        packed_read(set_packed_strings(block), p->strings);
    }
    return true;
}

/* A member that is no integer comes: all become strings. */
static bool parts_to_strings(struct parts *p, struct cmd *c)
{
    if (p->count > 0) {
        p->digits = mem_alloc(p->count * sizeof(p->digits[0]));
        p->digits_count = p->digits == NULL ? 0 : p->count;
        if (p->digits == NULL) {
            section_fail(c->section, SECTION_NOMEM);
            return false;
        }
    }
    if (!parts_room(p, c, false)) {
        return false;
    }
    for (size_t i = 0; i < p->count; i++) {
        char *text = p->digits[i].text;

        p->strings[i] = (struct slice){text, buf_put_i64(text, p->ints[i])};
    }
    return true;
}

/* Where an integer is among the ascending ones, or belongs. */
static bool parts_find_int(const struct parts *p, int64_t n, size_t *index)
{
    size_t low = 0;
    size_t high = p->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (p->ints[mid] < n) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *index = low;
    return low < p->count && p->ints[low] == n;
}

static bool parts_find(const struct parts *p, struct slice member, size_t *index)
{
    int64_t n;

    if (parts_are_ints(p)) {
        return is_int(member, &n) && parts_find_int(p, n, index);
    }
    for (*index = 0; *index < p->count; ++*index) {
        if (slice_is(p->strings[*index], member)) {
            return true;
        }
    }
    return false;
}

/* True if it is new. */
static bool parts_add(struct parts *p, struct cmd *c, struct slice member)
{
    size_t at;
    int64_t n;

    assert(p->count < p->cap);
    if (parts_are_ints(p) && is_int(member, &n)) {
        if (parts_find_int(p, n, &at)) {
            return false;
        }
        buf_move(p->ints + at + 1, p->ints + at, (p->count - at) * sizeof(p->ints[0]));
        p->ints[at] = n;
        p->count++;
        return true;
    }
    if ((parts_are_ints(p) && !parts_to_strings(p, c)) || parts_find(p, member, &at)) {
        return false;
    }
    p->strings[p->count++] = member;
    return true;
}

static void parts_drop(struct parts *p, size_t at)
{
    p->count--;
    if (parts_are_ints(p)) {
        buf_move(p->ints + at, p->ints + at + 1, (p->count - at) * sizeof(p->ints[0]));
    } else {
        buf_move(p->strings + at, p->strings + at + 1, (p->count - at) * sizeof(p->strings[0]));
    }
}

static size_t parts_bytes(const struct parts *p)
{
    return parts_are_ints(p) ? set_packed_int_bytes(p->ints, p->count)
                             : set_packed_string_bytes(p->strings, p->count);
}

/* ---- Storing ---- */

static bool fits(bool ints, size_t count, size_t bytes)
{
    return bytes <= conf_u64(&opt_packed_max_bytes) &&
           count <= conf_u64(ints ? &opt_set_max_intset_entries : &opt_set_max_listpack_entries);
}

static bool are_short(const struct slice *v, size_t n)
{
    uint64_t longest = conf_u64(&opt_set_max_listpack_value);

    for (size_t i = 0; i < n; i++) {
        if (v[i].len > longest) {
            return false;
        }
    }
    return true;
}

/* Whether the packed form will do; integers become strings when only as such they fit a new set. */
static bool fits_packed(struct parts *p, struct cmd *c, bool is_new)
{
    if (parts_are_ints(p)) {
        if (fits(true, p->count, parts_bytes(p))) {
            return true;
        }
        if (!is_new || p->count > conf_u64(&opt_set_max_listpack_entries) ||
            !parts_to_strings(p, c)) {
            return false;
        }
    }
    return fits(false, p->count, parts_bytes(p)) && are_short(p->strings, p->count);
}

static void store_packed(struct cmd *c, struct key key, const struct entry *old,
                         const struct parts *p)
{
    struct entry *e = type_entry(c, key, old, TYPE_SET, parts_bytes(p));

    if (e == NULL) {
        return;
    }
    if (parts_are_ints(p)) {
        set_packed_write_ints(entry_payload_ptr(e), p->ints, p->count);
    } else {
        set_packed_write_strings(entry_payload_ptr(e), p->strings, p->count);
    }
    section_put(c->section, key, e);
}

/* A member that is not there. */
static bool put_large(struct cmd *c, struct hash_large *l, struct slice member, uint64_t hash)
{
    struct hash_field f = {.name = member, .value = {"", 0}};

    return hash_large_add(c->section, l, &f, hash) == OK;
}

/* A new entry of a large set, which never becomes packed again. */
static void put_entry_of_large(struct cmd *c, struct key key, const struct entry *old,
                               struct hash_large *l)
{
    struct entry *e = type_entry_of_large(c, key, old, TYPE_SET, l);

    if (e != NULL) {
        section_put(c->section, key, e);
    }
}

static void store_large(struct cmd *c, struct key key, const struct entry *old,
                        const struct parts *p)
{
    struct hash_large *l = hash_large_create(c->section);
    struct set_digits room;

    for (size_t i = 0; l != NULL && i < p->count; i++) {
        struct slice member = parts_are_ints(p)
                                  ? (struct slice){room.text, buf_put_i64(room.text, p->ints[i])}
                                  : p->strings[i];

        if (!put_large(c, l, member, hash_key(member))) {
            return;
        }
    }
    if (l != NULL) {
        put_entry_of_large(c, key, old, l);
    }
}

/* ---- Adding ---- */

static size_t add_large(struct cmd *c, struct key key, const struct entry *e,
                        const struct slice *members, size_t n)
{
    struct hash_large *l = hash_large_of(e);
    size_t added = 0;
    bool open = false;

    for (size_t i = 0; i < n && slices_tick(2); i++) {
        uint64_t hash = hash_key(members[i]);

        if (table_find(&l->table, members[i], hash) != NULL) {
            continue;
        }
        if (large_hold(c->section, key, &l->large) != OK || !put_large(c, l, members[i], hash) ||
            !log_added(c, key, &open, members[i])) {
            break;
        }
        added++;
    }
    (void)log_end(c, open, change_put_members_end);
    return added;
}

/* The commonest write: one member to a set whose form it fits. False: not that; nothing was done. */
static bool add_one(struct cmd *c, struct key key, const struct entry *e, struct slice member,
                    size_t *added)
{
    struct slice block = entry_payload(e);
    bool ints = set_packed_is_ints(block);
    unsigned width = set_packed_width(block);
    int64_t number = 0;
    size_t at = 0;

    if (ints && (!is_int(member, &number) || set_int_width(number) > width)) {
        return false;
    }
    *added = 0;
    if (ints ? set_packed_find_int(block, number, &at) : set_packed_has(block, member)) {
        return true;
    }
    size_t bytes = block.len + (ints ? width : packed_length_bytes(member.len) + member.len);
    bool open = false;

    if (!fits(ints, set_packed_count(block) + 1, bytes) || (!ints && !are_short(&member, 1))) {
        return false;
    }
    bool logged = log_added(c, key, &open, member);

    if (!log_end(c, open, change_put_members_end) || !logged) {
        return true;
    }
    struct entry *now = type_entry(c, key, e, TYPE_SET, bytes);

    if (now != NULL) {
        if (ints) {
            set_packed_write_with_int(entry_payload_ptr(now), block, number, at);
        } else {
            set_packed_write_with_string(entry_payload_ptr(now), block, member);
        }
        section_put(c->section, key, now);
        *added = 1;
    }
    return true;
}

static size_t add_packed(struct cmd *c, struct key key, const struct entry *e,
                         const struct slice *members, size_t n)
{
    struct parts p;
    size_t added = 0;
    bool open = false;

    if (e != NULL && n == 1 && add_one(c, key, e, members[0], &added)) {
        return added;
    }
    if (!parts_begin(&p, c, e, n)) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (parts_add(&p, c, members[i])) {
            added++;
            (void)log_added(c, key, &open, members[i]);
        }
        if (section_has_failed(c->section)) {
            break;
        }
    }
    if (log_end(c, open, change_put_members_end) && added > 0) {
        if (fits_packed(&p, c, e == NULL)) {
            store_packed(c, key, e, &p);
        } else if (!section_has_failed(c->section)) {
            store_large(c, key, e, &p);
        }
    }
    parts_end(&p);
    return added;
}

/* So many that the set will hardly be packed: an empty large one first, so that each member costs a
 * look-up and not a walk. Redis goes by the number of arguments too. */
static const struct entry *begin_large(struct cmd *c, struct key key, const struct entry *e)
{
    struct parts p;

    if (!parts_begin(&p, c, e, 0)) {
        return NULL;
    }
    store_large(c, key, e, &p);
    parts_end(&p);
    return type_find(c, key, TYPE_SET);
}

static bool is_for_large(const struct entry *e, const struct slice *members, size_t n)
{
    uint64_t ints_max = conf_u64(&opt_set_max_intset_entries);
    uint64_t strings_max = conf_u64(&opt_set_max_listpack_entries);
    int64_t number;

    if (n <= ints_max && n <= strings_max) {
        return false;
    }
    bool ints = e == NULL ? is_int(members[0], &number) : set_packed_is_ints(entry_payload(e));

    if (!ints || e != NULL) {
        return n > (ints ? ints_max : strings_max);
    }
    return n > ints_max && n > strings_max;
}

size_t set_add(struct cmd *c, struct key key, const struct slice *members, size_t n)
{
    const struct entry *e = type_find(c, key, TYPE_SET);

    if (n == 0 || section_has_failed(c->section)) {
        return 0;
    }
    if ((e == NULL || e->encoding == ENC_PACKED) && is_for_large(e, members, n)) {
        e = begin_large(c, key, e);
        if (e == NULL) {
            return 0;
        }
    }
    return e != NULL && e->encoding == ENC_LARGE ? add_large(c, key, e, members, n)
                                                 : add_packed(c, key, e, members, n);
}

/* ---- Replacing ---- */

static void log_replaced(struct cmd *c, struct key key, const struct slice *members, size_t n)
{
    struct change_writer *w = section_change(c->section);
    bool open = type_logged(c->section, change_put_members_begin(w, key.name, true, 0));

    for (size_t i = 0; open && i < n; i++) {
        if (!slices_tick(1) || !type_logged(c->section, change_member(w, members[i]))) {
            break;
        }
    }
    (void)log_end(c, open, change_put_members_end);
}

static int by_value(const void *a, const void *b)
{
    int64_t x;
    int64_t y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

/* False: not all are integers. */
static bool parts_of_ints(struct parts *p, const struct slice *members, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_int(members[i], &p->ints[i])) {
            return false;
        }
    }
    qsort(p->ints, n, sizeof(p->ints[0]), by_value);
    p->count = n;
    return true;
}

static void replace_packed(struct cmd *c, struct key key, const struct slice *members, size_t n,
                           bool *done)
{
    struct parts p;

    if (!parts_begin(&p, c, NULL, n)) {
        *done = true;
        return;
    }
    if (!parts_of_ints(&p, members, n) && parts_room(&p, c, false)) {
        memcpy(p.strings, members, n * sizeof(members[0]));
        p.count = n;
    }
    *done = section_has_failed(c->section) || fits_packed(&p, c, true);
    if (*done && !section_has_failed(c->section)) {
        store_packed(c, key, NULL, &p);
    }
    parts_end(&p);
}

void set_replace(struct cmd *c, struct key key, const struct slice *members, size_t n)
{
    bool done = false;

    if (section_has_failed(c->section)) {
        return;
    }
    (void)section_find(c->section, key); /* removes an expired one as such */
    if (n == 0) {
        (void)keyspace_delete(c, key);
        return;
    }
    log_replaced(c, key, members, n);
    if (n <= conf_u64(&opt_set_max_intset_entries) ||
        n <= conf_u64(&opt_set_max_listpack_entries)) {
        replace_packed(c, key, members, n, &done);
    }
    if (done || section_has_failed(c->section)) {
        return;
    }
    struct hash_large *l = hash_large_create(c->section);

    for (size_t i = 0; l != NULL && i < n; i++) {
        if (!put_large(c, l, members[i], hash_key(members[i]))) {
            return;
        }
    }
    if (l != NULL) {
        put_entry_of_large(c, key, NULL, l);
    }
}

/* ---- Removing ---- */

static size_t remove_large(struct cmd *c, struct key key, const struct entry *e,
                           const struct slice *members, size_t n)
{
    struct hash_large *l = hash_large_of(e);
    size_t removed = 0;
    bool open = false;

    for (size_t i = 0; i < n && slices_tick(2); i++) {
        struct entry *f = table_find(&l->table, members[i], hash_key(members[i]));

        if (f == NULL) {
            continue;
        }
        if (large_hold(c->section, key, &l->large) != OK ||
            !log_removed(c, key, &open, members[i]) || hash_large_remove(c->section, l, f) != OK) {
            break;
        }
        removed++;
    }
    if (log_end(c, open, change_delete_members_end) && l->stats.count == 0) {
        type_delete(c, key, CHANGE_COMMAND);
    }
    return removed;
}

static size_t remove_packed(struct cmd *c, struct key key, const struct entry *e,
                            const struct slice *members, size_t n)
{
    struct parts p;
    size_t removed = 0;
    bool open = false;
    size_t at;

    if (n == 1 && !set_packed_has(entry_payload(e), members[0])) {
        return 0;
    }
    if (!parts_begin(&p, c, e, 0)) {
        return 0;
    }
    for (size_t i = 0; i < n && p.count > 0; i++) {
        if (!parts_find(&p, members[i], &at)) {
            continue;
        }
        if (!log_removed(c, key, &open, members[i])) {
            break;
        }
        parts_drop(&p, at);
        removed++;
    }
    if (!log_end(c, open, change_delete_members_end) || removed == 0) {
        /* as it was */
    } else if (p.count == 0) {
        type_delete(c, key, CHANGE_COMMAND);
    } else {
        store_packed(c, key, e, &p);
    }
    parts_end(&p);
    return removed;
}

size_t set_remove(struct cmd *c, struct key key, const struct slice *members, size_t n)
{
    const struct entry *e = type_find(c, key, TYPE_SET);

    if (e == NULL) {
        return 0;
    }
    return e->encoding == ENC_LARGE ? remove_large(c, key, e, members, n)
                                    : remove_packed(c, key, e, members, n);
}
