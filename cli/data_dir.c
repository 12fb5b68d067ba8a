#include "cli/data_dir.h"

#include "base/conf_file.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each missing part of the path, the folder itself for its owner only. */
static int make_folders(const char *path)
{
    char part[4096];
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(part)) {
        errno = EINVAL;
        return ERR_IO;
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] == '/' || part[i] == '\0') {
            char was = part[i];

            part[i] = '\0';
            if (mkdir(part, was == '\0' ? 0700 : 0755) != 0 && errno != EEXIST) {
                return ERR_IO;
            }
            part[i] = was;
        }
    }
    return OK;
}

static int path_in(const struct data_dir *d, const char *name, char out[4096])
{
    int n = snprintf(out, 4096, "%s/%s", d->path, name);

    if (n < 0 || n >= 4096) {
        errno = ENAMETOOLONG;
        return ERR_IO;
    }
    return OK;
}

static int sync_folder(const struct data_dir *d)
{
    int fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd < 0 || fsync(fd) != 0 ? ERR_IO : OK;

    if (fd >= 0) {
        close(fd);
    }
    return err;
}

/* Whole or not at all: written beside, synced, renamed. */
static int write_file(const struct data_dir *d, const char *name, struct slice text)
{
    char path[4096], beside[4096 + 8];
    int fd;

    if (path_in(d, name, path) != OK) {
        return ERR_IO;
    }
    (void)snprintf(beside, sizeof(beside), "%s.new", path);
    fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        goto fail;
    }
    if (write(fd, text.ptr, text.len) != (ssize_t)text.len || fsync(fd) != 0) {
        close(fd);
        goto fail;
    }
    if (close(fd) != 0 || rename(beside, path) != 0 || sync_folder(d) != OK) {
        goto fail;
    }
    return OK;

fail:
    log_error("data: cannot write: %m\tpath=%s", path);
    return ERR_IO;
}

static int take_lock(struct data_dir *d)
{
    char path[4096];

    if (path_in(d, "lock", path) != OK) {
        return ERR_IO;
    }
    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0) {
        log_error("data: cannot use the data folder: %m\tdir=%s", d->path);
        return ERR_IO;
    }
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        log_error("data: another server uses this data folder\tdir=%s", d->path);
        close(d->lock_fd);
        d->lock_fd = -1;
        return ERR_IO;
    }
    return OK;
}

static int make_cluster(struct data_dir *d)
{
    char text[160];
    int n;

    randombytes_buf(&d->hash_seed, sizeof(d->hash_seed));
    d->partitions = DATA_DIR_PARTITIONS;
    n = snprintf(text, sizeof(text),
                 "# Written once. What is stored here depends on it: do not change.\n"
                 "hash-seed %" PRIu64 "\npartitions %u\n",
                 d->hash_seed, d->partitions);
    return write_file(d, "cluster.conf", (struct slice){text, (size_t)n});
}

static int read_cluster(struct data_dir *d, struct slice text)
{
    bool has_seed = false;
    uint64_t n;

    while (text.len > 0) {
        struct conf_line line = conf_file_next(&text);

        if (slice_is(line.name, SLICE("hash-seed")) && parse_u64(line.value, &n)) {
            d->hash_seed = n;
            has_seed = true;
        } else if (slice_is(line.name, SLICE("partitions")) && parse_u64(line.value, &n) && n > 0 &&
                   n <= DATA_DIR_PARTITIONS) {
            d->partitions = (uint32_t)n;
        }
    }
    return has_seed && d->partitions > 0 ? OK : ERR_CORRUPT;
}

static int load_cluster(struct data_dir *d)
{
    char path[4096];
    struct buf text;
    int err;

    buf_init(&text);
    err = path_in(d, "cluster.conf", path);
    if (err == OK) {
        err = conf_file_read(path, LIMIT_SECRET_FILE_BYTES, &text);
    }
    if (err == ERR_IO && errno == ENOENT) {
        err = make_cluster(d);
    } else if (err == OK) {
        err = read_cluster(d, buf_slice(&text));
    }
    if (err != OK) {
        log_error("data: cannot use cluster.conf\tpath=%s\twhy=%s", path,
                  err == ERR_IO ? strerrordesc_np(errno) : "it says no hash-seed and partitions");
    }
    buf_fini(&text);
    return err;
}

int data_dir_open(struct data_dir *d, const char *path)
{
    *d = (struct data_dir){.path = path, .lock_fd = -1};
    if (sodium_init() < 0) {
        return ERR_IO;
    }
    if (make_folders(path) != OK) {
        log_error("data: cannot make the data folder: %m\tdir=%s", path);
        return ERR_IO;
    }
    if (take_lock(d) != OK) {
        return ERR_IO;
    }
    if (load_cluster(d) != OK) {
        data_dir_close(d);
        return ERR_IO;
    }
    return OK;
}

void data_dir_close(struct data_dir *d)
{
    if (d->lock_fd >= 0) {
        close(d->lock_fd);
        d->lock_fd = -1;
    }
}

static int make_password(struct data_dir *d, char out[DATA_DIR_PASSWORD_BYTES + 1])
{
    /* Letters and digits only, so that it needs no quoting anywhere. */
    static const char alphabet[] = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    char line[DATA_DIR_PASSWORD_BYTES + 1];
    int err;

    for (int i = 0; i < DATA_DIR_PASSWORD_BYTES; i++) {
        out[i] = alphabet[randombytes_uniform(sizeof(alphabet) - 1)];
    }
    out[DATA_DIR_PASSWORD_BYTES] = '\0';
    memcpy(line, out, DATA_DIR_PASSWORD_BYTES);
    line[DATA_DIR_PASSWORD_BYTES] = '\n';
    err = write_file(d, "password", (struct slice){line, sizeof(line)});
    sodium_memzero(line, sizeof(line));
    return err;
}

int data_dir_password(struct data_dir *d, char out[DATA_DIR_PASSWORD_BYTES + 1])
{
    char path[4096];
    struct buf text;
    size_t len;
    int err;

    buf_init(&text);
    err = path_in(d, "password", path);
    if (err == OK) {
        err = conf_file_read(path, LIMIT_SECRET_FILE_BYTES, &text);
    }
    if (err == ERR_IO && errno == ENOENT) {
        buf_fini(&text);
        return make_password(d, out);
    }
    for (len = text.len; len > 0 && (text.ptr[len - 1] == '\n' || text.ptr[len - 1] == '\r');) {
        len--;
    }
    if (err == OK && (len == 0 || len > DATA_DIR_PASSWORD_BYTES)) {
        err = ERR_CORRUPT;
    }
    if (err != OK) {
        log_error("data: cannot read the password\tpath=%s\twhy=%s", path,
                  err == ERR_IO ? strerrordesc_np(errno)
                                : "it must be one line of 1 to 32 characters");
    } else {
        memcpy(out, text.ptr, len);
        out[len] = '\0';
    }
    if (text.cap > 0) {
        sodium_memzero(text.ptr, text.cap);
    }
    buf_fini(&text);
    return err;
}
