/* script.h - Lua scripts: the texts that a database knows, by SHA-1.
 *
 * A script runs in one section (node/script_run.c): over the partitions of its declared keys, or of the
 * whole database once it was seen to touch another (`is_whole`), which is remembered with its text.
 *
 * Threads  the texts are found under a lock, by any thread; a script is counted, and freed by its last
 *          holder. Lua states are a worker's own (node/script_host.h).
 * Limits   SCRIPT_TEXTS_MAX bytes of text; the oldest go.
 */
#ifndef NODE_SCRIPT_H
#define NODE_SCRIPT_H

#include "base/annot.h"
#include "base/list.h"
#include "edge/backend.h"
#include "proto/sha1.h"

#include <pthread.h>

enum {
    SCRIPT_TEXTS_MAX = 64 << 20,
    SCRIPT_BUCKETS = 1024,
    /* Flags of scripts and functions; these are also a change's (change.proto). */
    SCRIPT_NO_WRITES = 1,
    SCRIPT_ALLOW_OOM = 2,
    SCRIPT_ALLOW_STALE = 4,
    SCRIPT_NO_CLUSTER = 8,
    SCRIPT_CROSS_SLOT = 16,
    SCRIPT_KEY_LOCKING = 32, /* Upstash's: asks nothing of us */
    SCRIPT_SHEBANG = 1 << 16 /* it says its flags */
};

struct script_host;

struct script {
    struct script *next;            /* in its bucket */
    struct script *younger, *older; /* guarded by the texts' lock */
    char sha[SHA1_HEX];
    struct slice text;
    size_t body_at; /* behind the shebang line's text, at its newline */
    uint32_t flags;
    _Atomic uint32_t refs;
    _Atomic bool is_whole; /* it touches keys that it does not declare */
    char bytes[];
};

/* A database's. */
struct scripts {
    pthread_mutex_t lock;
    struct script *buckets[SCRIPT_BUCKETS];
    struct script *youngest, *oldest;
    size_t bytes;
    uint32_t count;
    _Atomic int64_t vm_bytes; /* of all workers' states, as they were after their last runs */
    _Atomic uint64_t flushes; /* states of an older count are made anew */
    _Atomic uint64_t kills;   /* a run that began at an older count ends */
    _Atomic uint32_t running;
    _Atomic uint64_t function_kills; /* the same of functions */
    _Atomic uint32_t functions_running;
    struct list slow; /* functions that took more than a slice; guarded by the lock */
    uint32_t host_count;
    struct script_host **hosts; /* by worker; each touched by its own */
};

MUST_CHECK int scripts_create(struct scripts **out, uint32_t workers);
void scripts_destroy(struct scripts *s);

/* Counted; NULL: unknown. */
struct script *script_find(struct scripts *s, const char sha[SHA1_HEX]);
void script_put(struct script *script);
/* NULL: *error says why (in a static or the given buffer). */
struct script *script_parse(struct slice text, const char sha[SHA1_HEX], char *error, size_t max);
/* Keeps it, unless another did before. */
void script_keep(struct scripts *s, struct script *script);
void scripts_flush(struct scripts *s);
struct scripts_stats {
    uint64_t vm_bytes, text_bytes;
    uint32_t count;
};
struct scripts_stats scripts_stats(struct scripts *s);
/* On each worker, every so often: drops its state if nothing ran in it for script-idle-timeout. */
void scripts_rest(struct scripts *s, uint32_t worker, int64_t now_ms);

/* The lower-case form of an argument of EVALSHA; false: it is no SHA-1. */
bool script_sha_of(struct slice arg, char sha[SHA1_HEX]);
/* What the executor locks for a call. */
uint64_t script_mask(struct database *db, const struct request *r);

#endif
