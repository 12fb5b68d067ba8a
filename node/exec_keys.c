/* exec_keys.c - where a command's keys belong, and bringing them near before it runs. */
#include "base/hash.h"
#include "base/mem.h"
#include "node/database.h"
#include "node/exec.h"
#include "node/keyspace.h"
#include "node/node.h"
#include "node/type.h"

#include <assert.h>

enum { LINE = 64, FETCH_BYTES = 1024 };

static uint64_t bit(const struct key *k)
{
    return (uint64_t)1 << k->partition;
}

/* Of so many keys all partitions are taken, unlooked at: they are in most of them, and to hash a million at once
 * would hold the worker for tens of milliseconds. Where they share a {tag} others wait for nothing, rarely. */
enum { KEYS_HASHED = 16384 };

uint64_t exec_mask_of_many(const struct request *r)
{
    uint32_t some[256];
    uint64_t mask = 0;
    uint32_t *at = some;
    int n;

    if (cmd_reads_any_key(r->def, r->argv, r->argc)) {
        return UINT64_MAX >> (64 - PARTITIONS);
    }
    if (cmd_has_one_key(r->def)) {
        return bit(&r->key);
    }
    n = cmd_key_indexes(r->def, r->argv, r->argc, some, 256);
    if (n > KEYS_HASHED) {
        return UINT64_MAX >> (64 - PARTITIONS);
    }
    if (n > 256) {
        /* More keys than fit: no list of them is needed, so walk them by their rule. */
        at = mem_alloc((size_t)n * sizeof(some[0]));
        if (at == NULL) {
            return UINT64_MAX >> (64 - PARTITIONS); /* all is always enough */
        }
        n = cmd_key_indexes(r->def, r->argv, r->argc, at, (uint32_t)n);
    }
    for (int i = 0; i < n; i++) {
        mask |= (uint64_t)1 << hash_slot(r->argv[at[i]]) % PARTITIONS;
    }
    if (at != some) {
        mem_free(at, (size_t)n * sizeof(some[0]));
    }
    return mask;
}

/* A pipeline often works on one key: its last bytes tell most others apart. */
static bool is_same(struct slice before, struct slice name)
{
    return before.ptr != NULL && before.len == name.len && name.len > 0 &&
           before.ptr[before.len - 1] == name.ptr[name.len - 1] && slice_is_name(before, name);
}

/* A collection's packed block is read, and copied, from its beginning to its end. */
static void fetch_lines(const struct entry *e)
{
    size_t bytes = entry_bytes(e);

    bytes = bytes < FETCH_BYTES ? bytes : FETCH_BYTES;
    for (size_t at = (size_t)2 * LINE; at < bytes;
         at += LINE) { /* table_prefetch_entries() took two */
        __builtin_prefetch((const char *)e + at);
    }
}

/* What names a member of a large collection has misses of its own: bucket, then entry. Neither is looked at
 * under a lock: tables are read without, and what a command finds it finds when it runs. */
static void fetch_members(struct database *db, const struct request *r, uint32_t n)
{
    struct table_look look[EXEC_GROUP];
    uint32_t count = 0;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t member = r[i].def->member;

        if (member == 0 || member >= r[i].argc || r[i].key.name.ptr == NULL) {
            continue;
        }
        const struct partition *p = database_partition(db, r[i].key.partition);
        const struct entry *e = p == NULL ? NULL : table_guess(&p->table, r[i].key.hash);
        const struct table *t = e == NULL ? NULL : type_members(e);

        if (t != NULL) {
            uint64_t hash = hash_key(r[i].argv[member]);

            table_prefetch_bucket(t, hash);
            look[count++] = (struct table_look){t, hash};
        } else if (e != NULL) {
            fetch_lines(e);
        }
    }
    if (count > 0) {
        table_prefetch_entries(look, count);
    }
}

/* True if it is the one before's. */
static bool hash_first_key(struct request *r, const struct request *before)
{
    struct slice name = r->argv[r->def->keys.first];

    if (before != NULL && is_same(before->key.name, name)) {
        r->key = before->key;
        r->key.name = name;
        return true;
    }
    r->key = key_of(name);
    return false;
}

static void look_ahead_group(struct database *db, struct request *r, uint32_t n)
{
    struct table_look look[EXEC_GROUP];
    uint32_t count = 0;
    bool members = false;

    assert(n <= EXEC_GROUP);
    for (uint32_t i = 0; i < n; i++) {
        const struct cmd_def *def = r[i].def;

        r[i].key.name.ptr = NULL;
        if (def->keys.kind != CMD_KEYS_RANGE || (uint32_t)def->keys.first >= r[i].argc) {
            continue;
        }
        members |= def->member != 0;
        if (hash_first_key(&r[i], i == 0 ? NULL : &r[i - 1]) || n == 1) {
            continue;
        }
        struct partition *p = database_partition(db, r[i].key.partition);

        if (p != NULL) {
            table_prefetch_bucket(&p->table, r[i].key.hash);
            look[count++] = (struct table_look){&p->table, r[i].key.hash};
        }
    }
    if (count > 0) {
        table_prefetch_entries(look, count);
    }
    if (members && n > 1) {
        fetch_members(db, r, n);
    }
}

void exec_look_ahead(struct database *db, struct request *r, uint32_t n)
{
    for (uint32_t at = 0; at < n; at += EXEC_GROUP) {
        look_ahead_group(db, r + at, n - at < EXEC_GROUP ? n - at : EXEC_GROUP);
    }
}
