#include "node/log_check.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "base/worker.h"
#include "node/apply.h"
#include "node/database.h"
#include "node/digest.h"
#include "node/keyspace.h"
#include "node/node.h"
#include "node/type.h"
#include "proto/change.h"
#include "replication/changelog.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>

enum {
    BLOCK_BYTES = 1 << 20,
    PIN_BYTES = 4 << 20, /* copied at once, while the ring cannot be trimmed */
    POLL_MS = 1,
    NAMED = 8, /* keys that differ */
    COPY_ID = 1
};

/* Changes behind each other, each after its length. */
struct block {
    struct block *next;
    size_t len, cap;
    char bytes[];
};

struct log_check {
    struct node *node;
    pthread_t thread;
    bool has_thread;
    _Atomic bool ends;
    bool lost;
    uint64_t next; /* number to be read */
    size_t bytes, max_bytes, pinned;
    struct buf now; /* the change of which pieces come */
    struct block *first, *last;
};

/* ---- Copying what comes ---- */

static bool keep(struct log_check *k, struct slice change)
{
    size_t need = sizeof(uint64_t) + ((change.len + 7) & ~(size_t)7);
    uint64_t len = change.len;

    if (k->last == NULL || k->last->cap - k->last->len < need) {
        size_t cap = need > BLOCK_BYTES ? need : BLOCK_BYTES;
        struct block *b = k->bytes + cap > k->max_bytes ? NULL : mem_alloc(sizeof(*b) + cap);

        if (b == NULL) {
            return false;
        }
        *b = (struct block){.cap = cap};
        *(k->last == NULL ? &k->first : &k->last->next) = b;
        k->last = b;
        k->bytes += cap;
    }
    memcpy(k->last->bytes + k->last->len, &len, sizeof(len));
    memcpy(k->last->bytes + k->last->len + sizeof(len), change.ptr, change.len);
    k->last->len += need;
    return true;
}

static bool take(uint64_t seq, struct slice piece, bool last, void *arg)
{
    struct log_check *k = arg;

    (void)seq;
    if (buf_append_slice(&k->now, piece) != OK) {
        k->lost = true;
        return false;
    }
    k->pinned += piece.len;
    if (!last) {
        return true;
    }
    k->lost = change_database(k->now.ptr) == 0 && !keep(k, buf_slice(&k->now));
    buf_clear(&k->now);
    buf_shrink(&k->now, BLOCK_BYTES);
    return !k->lost && k->pinned < PIN_BYTES;
}

/* False: there was nothing new. */
static bool copy_some(struct log_check *k)
{
    uint64_t next = k->next;

    k->pinned = 0;
    k->next = changelog_read(k->node->log, next, take, k);
    if (k->next == 0) {
        log_warn("logcheck: the ring went round before it was copied; nothing will be compared\t"
                 "seq=%" PRIu64,
                 next);
        k->lost = true;
    } else if (k->lost) {
        log_warn("logcheck: no more memory for copies; nothing will be compared\tbytes=%zu\t"
                 "seq=%" PRIu64,
                 k->bytes, next);
    }
    return !k->lost && k->next != next;
}

static void *copy_thread(void *arg)
{
    struct log_check *k = arg;

    while (!atomic_load_explicit(&k->ends, memory_order_acquire) && !k->lost) {
        if (!copy_some(k)) {
            (void)poll(NULL, 0, POLL_MS);
        }
    }
    return NULL;
}

struct log_check *log_check_start(struct node *n, size_t max_bytes)
{
    struct log_check *k = mem_zalloc(sizeof(*k));

    if (k == NULL) {
        return NULL;
    }
    k->node = n;
    k->max_bytes = max_bytes;
    k->next = changelog_first_seq(n->log);
    if (pthread_create(&k->thread, NULL, copy_thread, k) != 0) {
        mem_free(k, sizeof(*k));
        return NULL;
    }
    k->has_thread = true;
    return k;
}

static void drop_copies(struct log_check *k)
{
    while (k->first != NULL) {
        struct block *b = k->first;

        k->first = b->next;
        mem_free(b, sizeof(*b) + b->cap);
    }
    buf_fini(&k->now);
}

/* ---- Applying and comparing ---- */

/* Nothing expires while it is compared. */
static void no_time(int64_t *mono_ns, int64_t *wall_ms)
{
    *mono_ns = 1000000;
    *wall_ms = 1;
}

/* Waits for room in the log, which the copy's changes take, too. */
static int apply_one(struct exec *x, struct database *copy, struct slice change)
{
    int err;

    while ((err = apply_change(x, copy, change)) == ERR_FULL) {
        rcu_turn();
        sched_yield();
    }
    rcu_turn();
    return err;
}

static int apply_block(const struct block *b, struct exec *x, struct database *copy, uint64_t *done)
{
    uint64_t len;

    for (size_t at = 0; at < b->len; at += sizeof(len) + ((len + 7) & ~(size_t)7)) {
        memcpy(&len, b->bytes + at, sizeof(len));
        int err = apply_one(x, copy, (struct slice){b->bytes + at + sizeof(len), len});

        if (err != OK) {
            log_error("logcheck: a change cannot be applied\terror=%d\tchange=%" PRIu64, err,
                      *done);
            return err;
        }
        (*done)++;
    }
    return OK;
}

static int apply_all(struct log_check *k, struct exec *x, struct database *copy)
{
    uint64_t done = 0;

    for (struct block *b = k->first; b != NULL; b = b->next) {
        int err = apply_block(b, x, copy, &done);

        if (err != OK) {
            return err;
        }
    }
    log_info("logcheck: applied\tchanges=%" PRIu64, done);
    return OK;
}

struct finding {
    struct database *there;
    struct database *here;
    const char *lacks; /* what is said of a key that is not there */
    bool looks_inside;
    uint32_t count;
};

static void compare_entry(struct entry *e, void *arg)
{
    struct finding *f = arg;
    static const struct cmd_def def = {.name = "CHECK", .flags = CMD_READ};
    struct cmd c = {.def = &def, .db = f->there};
    const struct entry *other = keyspace_peek(&c, key_of(entry_key(e)));
    uint64_t a = 0;
    uint64_t b = 0;

    if (other != NULL && (!f->looks_inside || digest_entry(f->here, e, &a) != OK ||
                          digest_entry(f->there, other, &b) != OK || a == b)) {
        return;
    }
    if (f->count++ < NAMED) {
        struct slice key = entry_key(e);

        log_error("logcheck: %s\ttype=%s\tkey=%.*s",
                  other == NULL ? f->lacks : "the copy's value differs", type_ops[e->type]->name,
                  (int)(key.len < 64 ? key.len : 64), key.ptr);
    }
}

static void name_differences(struct database *here, struct database *there, const char *lacks,
                             bool looks_inside)
{
    struct finding f = {.here = here, .there = there, .lacks = lacks, .looks_inside = looks_inside};

    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition *p = database_partition(here, i);
        uint64_t cursor = 0;

        do {
            cursor = p == NULL ? 0 : table_scan(&p->table, cursor, 1000, compare_entry, &f);
        } while (cursor != 0);
    }
}

static enum log_check_end compare(struct database *db, struct database *copy)
{
    struct digest a;
    struct digest b;

    if (digest_database(db, &a) != OK || digest_database(copy, &b) != OK) {
        return LOG_CHECK_LOST;
    }
    if (a.keys == b.keys && a.sum == b.sum) {
        log_info("logcheck: the same\tkeys=%" PRIu64, a.keys);
        return LOG_CHECK_SAME;
    }
    log_error("logcheck: the log does not give what is stored\tkeys=%" PRIu64 "\tcopy=%" PRIu64,
              a.keys, b.keys);
    name_differences(db, copy, "the copy lacks a key", true);
    name_differences(copy, db, "the copy has a key too many", false);
    return LOG_CHECK_DIFFERS;
}

static enum log_check_end apply_and_compare(struct log_check *k)
{
    struct node *n = k->node;
    struct database *copy = node_database_add(n, COPY_ID);
    struct worker *w = mem_zalloc(sizeof(*w));
    enum log_check_end end = LOG_CHECK_LOST;

    if (copy == NULL || w == NULL || worker_init(w, 0) != OK) {
        mem_free(w, sizeof(*w));
        return end;
    }
    if (exec_init(&n->execs[0], n, w) == OK) {
        int err = apply_all(k, &n->execs[0], copy);

        clock_source_set(no_time);
        clock_advance();
        end = err == OK            ? compare(n->first, copy)
              : err == ERR_CORRUPT ? LOG_CHECK_DIFFERS
                                   : LOG_CHECK_LOST;
        clock_source_set(NULL);
        clock_advance();
        exec_fini(&n->execs[0]);
    }
    worker_fini(w);
    mem_free(w, sizeof(*w));
    return end;
}

enum log_check_end log_check_finish(struct log_check *k)
{
    enum log_check_end end = LOG_CHECK_LOST;

    atomic_store_explicit(&k->ends, true, memory_order_release);
    if (k->has_thread) {
        (void)pthread_join(k->thread, NULL);
    }
    while (!k->lost && copy_some(k)) {
    }
    if (!k->lost) {
        end = apply_and_compare(k);
    }
    drop_copies(k);
    mem_free(k, sizeof(*k));
    return end;
}
