/* exec_keys.c - where a command's keys belong, and bringing them near before it runs. */
#include "base/hash.h"
#include "base/mem.h"
#include "node/database.h"
#include "node/exec.h"
#include "node/keyspace.h"
#include "node/node.h"

static uint64_t bit(const struct key *k)
{
    return (uint64_t)1 << k->partition;
}

/* Of so many keys all partitions are taken, unlooked at: they are in most of them, and to hash a million at once
 * would hold the worker for tens of milliseconds. Where they share a {tag} others wait for nothing, rarely. */
enum { KEYS_HASHED = 16384 };

uint64_t exec_mask(const struct request *r)
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

void exec_look_ahead(struct database *db, struct request *r, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct cmd_def *def = r[i].def;

        r[i].key.name.ptr = NULL;
        if (def->keys.kind == CMD_KEYS_RANGE && (uint32_t)def->keys.first < r[i].argc) {
            r[i].key = key_of(r[i].argv[def->keys.first]);
            struct partition *p = database_partition(db, r[i].key.partition);

            if (n > 1 && p != NULL) {
                table_prefetch_bucket(&p->table, r[i].key.hash);
            }
        }
    }
    for (uint32_t i = 0; n > 1 && i < n; i++) {
        if (r[i].key.name.ptr != NULL) {
            struct partition *p = database_partition(db, r[i].key.partition);

            if (p != NULL) {
                table_prefetch_entry(&p->table, r[i].key.hash);
            }
        }
    }
}
