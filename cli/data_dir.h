/* data_dir.h - the folder that a server keeps between its runs.
 *
 *    lock           held while a server runs: one at a time
 *    cluster.conf   hash seed and partition count, which everything stored depends on
 *    password       the generated one, if none was given; mode 0600
 *
 * What is written is synced, under its name only when whole. All of this may block: before the
 * workers start.
 */
#ifndef CLI_DATA_DIR_H
#define CLI_DATA_DIR_H

#include "base/annot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DATA_DIR_PASSWORD_BYTES = 32, /* characters of a generated password: 190 bits */
    DATA_DIR_PARTITIONS = 64      /* of a new folder: DESIGN §4.1's most */
};

struct data_dir {
    const char *path;
    int lock_fd;
    uint64_t hash_seed;
    uint32_t partitions;
};

/* Makes the folder if it is missing, takes its lock, and reads or writes cluster.conf. ERR_IO or
 * ERR_CORRUPT: logged with the path. */
MUST_CHECK int data_dir_open(struct data_dir *d, const char *path);
void data_dir_close(struct data_dir *d);

/* The password of this folder, made and written if there is none, NUL-terminated. */
MUST_CHECK int data_dir_password(struct data_dir *d, char out[DATA_DIR_PASSWORD_BYTES + 1]);

#endif
