/* cmd.c - the command table's index.
 *
 * One open-addressed table holds commands and subcommands, the latter under (container, name). A name
 * is hashed and compared by its first and last eight bytes with bit 0x20 set, which folds letters; a
 * name of up to 16 letters needs no further look. Frozen, so nothing is locked.
 */
#include "proto/cmd.h"

#include "base/annot.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/number.h"

#include <assert.h>
#include <stdlib.h>

/* Redis 7.2 has 241 commands and 150 subcommands; modules' commands and ours are fewer. */
#define CMDS_MAX 1024
#define FOLD     0x2020202020202020u

struct place {
    uint64_t head, tail; /* folded */
    uint16_t len;        /* 0: empty */
    uint16_t parent;     /* id + 1 of the container, or 0 */
    bool letters;        /* head and tail say it all */
    const struct cmd_def *def;
};

static struct cmd_def *by_id[CMDS_MAX];
static uint16_t count;
static struct place *places;  /* owned; NULL until frozen */
static uint32_t places_count; /* a power of two */
static uint32_t places_shift;

static inline uint64_t load8(const char *p)
{
    uint64_t n;

    memcpy(&n, p, sizeof(n));
    return n;
}

static inline uint64_t load4(const char *p)
{
    uint32_t n;

    memcpy(&n, p, sizeof(n));
    return n;
}

static inline void fold(struct slice name, uint64_t *head, uint64_t *tail)
{
    if (name.len >= 8) {
        *head = load8(name.ptr) | FOLD;
        *tail = load8(name.ptr + name.len - 8) | FOLD;
    } else if (name.len >= 4) {
        *head = load4(name.ptr) | FOLD;
        *tail = load4(name.ptr + name.len - 4) | FOLD;
    } else { /* one to three bytes: first, middle, last */
        *head = (uint64_t)(unsigned char)name.ptr[0] | FOLD;
        *tail = ((uint64_t)(unsigned char)name.ptr[name.len / 2] << 8 |
                 (unsigned char)name.ptr[name.len - 1]) |
                FOLD;
    }
}

static inline uint32_t place_of(uint64_t head, uint64_t tail, uint64_t len, uint64_t parent)
{
    uint64_t h = (head ^ (parent << 56 | parent << 40)) * 0x9e3779b97f4a7c15u;

    h ^= (tail + len) * 0xc2b2ae3d27d4eb4fu;
    return (uint32_t)((h * 0x94d049bb133111ebu) >> places_shift);
}

static bool same_name(struct slice a, const char *upper)
{
    size_t i;

    for (i = 0; i < a.len && upper[i] != '\0'; i++) {
        if (slice_lower(a.ptr[i]) != slice_lower(upper[i])) {
            return false;
        }
    }
    return i == a.len && upper[i] == '\0';
}

static inline const struct cmd_def *find(uint16_t parent, struct slice name)
{
    uint64_t head, tail;

    if (UNLIKELY(name.len == 0) || UNLIKELY(places == NULL)) {
        return NULL;
    }
    fold(name, &head, &tail);
    for (uint32_t i = place_of(head, tail, name.len, parent);; i++) {
        const struct place *p = &places[i & (places_count - 1)];

        if (p->len == 0) {
            return NULL;
        }
        if (LIKELY(p->head == head) && LIKELY(p->tail == tail) && LIKELY(p->len == name.len) &&
            LIKELY(p->parent == parent) && (LIKELY(p->letters) || same_name(name, p->def->name))) {
            return p->def;
        }
    }
}

HOT const struct cmd_def *cmd_find(struct slice name)
{
    return find(0, name);
}

const struct cmd_def *cmd_find_sub(const struct cmd_def *container, struct slice name)
{
    return container->subs == NULL ? NULL : find((uint16_t)(container->id + 1), name);
}

uint16_t cmd_count(void)
{
    return count;
}

const struct cmd_def *cmd_by_id(uint16_t id)
{
    assert(id < count);
    return by_id[id];
}

static void add(const char *group, struct cmd_def *row, const struct cmd_def *parent)
{
    for (uint16_t i = 0; i < count; i++) {
        if (by_id[i]->parent == parent && same_name(slice_of(by_id[i]->name), row->name)) {
            log_error("cmd: %s%s%s is there twice", parent == NULL ? "" : parent->name,
                      parent == NULL ? "" : " ", row->name);
            abort();
        }
    }
    assert(count < CMDS_MAX);
    row->group = group;
    row->parent = parent;
    row->id = count;
    by_id[count++] = row;
}

void cmd_register(const char *group, struct cmd_def *rows)
{
    assert(places == NULL);
    for (struct cmd_def *row = rows; row->name != NULL; row++) {
        add(group, row, NULL);
        for (struct cmd_def *sub = row->subs; sub != NULL && sub->name != NULL; sub++) {
            add(group, sub, row);
        }
    }
}

static bool only_letters(const char *name)
{
    for (; *name != '\0'; name++) {
        if (slice_lower(*name) < 'a' || slice_lower(*name) > 'z') {
            return false;
        }
    }
    return true;
}

void cmd_freeze(void)
{
    size_t bytes;

    assert(places == NULL);
    places_shift = 56; /* 256 places; then a quarter full at most, so that chains are short */
    for (places_count = 256; places_count < 4u * count; places_count *= 2) {
        places_shift--;
    }
    bytes = places_count * sizeof(*places);
    places = mem_must(bytes);
    memset(places, 0, bytes);
    for (uint16_t id = 0; id < count; id++) {
        const struct cmd_def *def = by_id[id];
        struct slice name = slice_of(def->name);
        struct place p = {.len = (uint16_t)name.len,
                          .parent = def->parent == NULL ? 0 : (uint16_t)(def->parent->id + 1),
                          .letters = name.len <= 16 && only_letters(def->name),
                          .def = def};
        uint32_t i;

        fold(name, &p.head, &p.tail);
        for (i = place_of(p.head, p.tail, name.len, p.parent);
             places[i & (places_count - 1)].len != 0; i++) {
        }
        places[i & (places_count - 1)] = p;
    }
}

void cmd_thaw(void)
{
    if (places != NULL) {
        mem_free(places, places_count * sizeof(*places));
        places = NULL;
    }
    count = 0;
}

static int take(uint32_t *out, uint32_t max, int n, uint32_t index)
{
    if ((uint32_t)n < max) {
        out[n] = index;
    }
    return n + 1;
}

static int range_indexes(const struct cmd_keys *k, uint32_t argc, uint32_t *out, uint32_t max)
{
    int64_t last = k->last < 0 ? (int64_t)argc + k->last : k->last;
    int n = 0;

    if (last >= argc) { /* optional keys that are not there */
        last = (int64_t)argc - 1;
    }
    for (int64_t i = k->first; i <= last; i += k->step) {
        n = take(out, max, n, (uint32_t)i);
    }
    return n;
}

static int count_indexes(const struct cmd_keys *k, const struct slice *argv, uint32_t argc,
                         uint32_t *out, uint32_t max)
{
    uint32_t at = (uint32_t)k->first + (k->kind == CMD_KEYS_TO_COUNT);
    int64_t keys;
    int n = 0;

    if (at >= argc || !number_parse_int(argv[at], &keys) || keys < 0 ||
        keys > (int64_t)(argc - at - 1) / k->step) {
        return -1;
    }
    if (k->kind == CMD_KEYS_TO_COUNT) {
        n = take(out, max, n, (uint32_t)k->first);
    }
    for (int64_t i = 0; i < keys; i++) {
        n = take(out, max, n, at + 1 + (uint32_t)(i * k->step));
    }
    return n;
}

/* XREAD and XREADGROUP: a group may be called "streams". */
static int streams_indexes(const struct slice *argv, uint32_t argc, uint32_t *out, uint32_t max)
{
    int n = 0;

    for (uint32_t i = 1; i < argc; i++) {
        if (slice_is_word(argv[i], "streams")) {
            for (uint32_t k = 0; k < (argc - i - 1) / 2; k++) {
                n = take(out, max, n, i + 1 + k);
            }
            break;
        }
        if (slice_is_word(argv[i], "block") || slice_is_word(argv[i], "count")) {
            i++;
        } else if (slice_is_word(argv[i], "group")) {
            i += 2;
        } else if (!slice_is_word(argv[i], "noack")) {
            return -1;
        }
    }
    return n;
}

int cmd_key_indexes(const struct cmd_def *def, const struct slice *argv, uint32_t argc,
                    uint32_t *out, uint32_t max)
{
    int n = 0;

    switch (def->keys.kind) {
    case CMD_KEYS_NONE:
        break;
    case CMD_KEYS_RANGE:
        return range_indexes(&def->keys, argc, out, max);
    case CMD_KEYS_COUNT:
    case CMD_KEYS_TO_COUNT:
        return count_indexes(&def->keys, argv, argc, out, max);
    case CMD_KEYS_STREAMS:
        return streams_indexes(argv, argc, out, max);
    case CMD_KEYS_MOVABLE:
        n = range_indexes(&def->keys, argc, out, max);
        /* SORT and GEORADIUS write to the last key that a STORE announces. */
        for (uint32_t i = argc; i-- > (uint32_t)def->keys.first + 1;) {
            if (i + 1 < argc &&
                (slice_is_word(argv[i], "store") || slice_is_word(argv[i], "storedist"))) {
                n = take(out, max, n, i + 1);
                break;
            }
        }
        break;
    }
    return n;
}

bool cmd_reads_any_key(const struct cmd_def *def, const struct slice *argv, uint32_t argc)
{
    if ((def->flags & CMD_PATTERNS) == 0) {
        return (def->flags & CMD_WHOLE) != 0;
    }
    for (uint32_t i = 2; i + 1 < argc; i++) {
        if ((slice_is_word(argv[i], "by") || slice_is_word(argv[i], "get")) &&
            argv[i + 1].len > 0 && memchr(argv[i + 1].ptr, '*', argv[i + 1].len) != NULL) {
            return true;
        }
    }
    return false;
}
