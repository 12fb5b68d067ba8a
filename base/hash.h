/* hash.h - where a key belongs.
 *
 * hash_key() is XXH3-64 with the cluster's secret seed: the place in a table. hash_slot() is Redis
 * Cluster's: CRC16 (XMODEM) of the key, or of its {tag}, mod 16384. hash_crc32c() guards what is
 * stored or shipped.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/slice.h"

#include <stdint.h>

#define HASH_SLOTS 16384

/* Set once at start, before any thread hashes. */
void hash_seed_set(uint64_t seed);
uint64_t hash_seed(void);

uint64_t hash_key(struct slice key);
uint16_t hash_slot(struct slice key);
uint16_t hash_crc16(struct slice bytes);
uint32_t hash_crc32c(uint32_t crc, struct slice bytes);

#endif
