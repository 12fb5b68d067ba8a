/* evict.h - eviction clocks and making room under maxmemory.
 *
 * A clock word, of an entry that has one: with an lru policy the second of the last use; with an lfu
 * policy Redis' pair, the minute of the last decay in the upper 16 bits and a logarithmic counter in
 * the lower 8. Zero, which new entries start with, counts as oldest until their first use.
 */
#ifndef NODE_EVICT_H
#define NODE_EVICT_H

#include "base/annot.h"
#include "base/rand.h"

#include <stdbool.h>
#include <stdint.h>

struct cmd;
struct database;
struct entry;
struct exec;

enum evict_policy {
    EVICT_NONE,
    EVICT_ALL_LRU,
    EVICT_ALL_LFU,
    EVICT_ALL_RANDOM,
    EVICT_VOLATILE_LRU,
    EVICT_VOLATILE_LFU,
    EVICT_VOLATILE_RANDOM,
    EVICT_VOLATILE_TTL
};

enum evict_policy evict_policy(void);
bool evict_uses_clock(void);
bool evict_is_lfu(void);

/* Notes a use. Writes only when the coarse value changes. */
void evict_touch(const struct entry *e, struct rand *r);
/* What a new entry's clock starts with: now, or with an lfu policy what the entry it replaces (NULL:
 * none) had. */
void evict_first_touch(struct entry *e, const struct entry *old);
/* For OBJECT: seconds since the last use, and the counter after decay; -1: the entry has no clock. */
int64_t evict_idle_seconds(const struct entry *e);
int64_t evict_frequency(const struct entry *e);
/* RESTORE's IDLETIME and FREQ. */
void evict_set_idle(struct entry *e, int64_t seconds);
void evict_set_frequency(struct entry *e, uint8_t frequency);

/* Whether the database, or the node, uses more than it may. One relaxed load when there is no limit. */
bool evict_is_over(const struct database *db);
/* Whether it would with so many bytes more be over by an eighth, which is what a section may take of it
 * before others are evicted: under a policy that evicts, use is always near the limit. */
bool evict_is_far_over(const struct database *db, uint64_t more);
/* Removes keys until it is not, in bounded steps: false if it still is. Holds no lock on entry. */
bool evict_make_room(struct exec *x, struct database *db);

#endif
