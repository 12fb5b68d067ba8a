/* changelog.c - see changelog.h.
 *
 * The ring is mapped twice in a row, so a record that wraps around lies in one piece. Record:
 * | flag: its number, 0 until complete | length, kind | payload | to 16 bytes |.
 */
#include "replication/changelog.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/change.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RING_MIN = 64 << 10, HEADER = 16, CREDIT = 64 << 10, KIND_BYTES = 1, KIND_BLOB = 2 };

struct record {
    _Atomic uint64_t flag;
    uint32_t len;
    uint32_t kind;
    char payload[];
};

/* Number and place, changed in one step. */
__extension__ typedef unsigned __int128 place;

struct changelog {
    _Alignas(64) place head;           /* low half: bytes ever given; high half: the last number */
    _Alignas(64) _Atomic int64_t free; /* bytes that nobody has reserved */
    _Atomic int64_t beside;            /* bytes of changes that are kept beside the ring */
    char *ring;
    size_t bytes; /* a power of two */
    uint64_t epoch;
    /* guarded by mutex */
    pthread_mutex_t mutex;
    pthread_cond_t wanted;
    uint64_t tail_at, tail_seq; /* place and number of the oldest record kept */
    struct list waiters;
    bool stopping;
    pthread_t thread;
    _Atomic bool asleep; /* the log thread waits: who takes room under the mark wakes it */
};

static size_t record_bytes(size_t payload)
{
    return (HEADER + payload + 15) & ~(size_t)15;
}

static struct record *record_at(const struct changelog *l, uint64_t at)
{
    return (struct record *)(void *)(l->ring + (at & (l->bytes - 1)));
}

/* May be torn: then the exchange that follows fails and tells the right one. */
static place head_guess(struct changelog *l)
{
    uint64_t *half = (uint64_t *)(void *)&l->head;

    return (place)__atomic_load_n(&half[1], __ATOMIC_RELAXED) << 64 |
           __atomic_load_n(&half[0], __ATOMIC_RELAXED);
}

static place head_load(struct changelog *l)
{
    /* A compare-and-swap of nothing with nothing is the 16-byte load. */
    return __sync_val_compare_and_swap(&l->head, (place)0, (place)0);
}

/* ---- Trimming ---- */

/* Whether a record is complete, and which. */
static bool is_complete(const struct record *r, uint64_t seq)
{
    /* Acquire: pairs with the release in changelog_append(). */
    return atomic_load_explicit(&((struct record *)(uintptr_t)r)->flag, memory_order_acquire) ==
           seq;
}

static void blob_free(struct change_blob *b)
{
    for (size_t i = 0; i < b->ref_count; i++) {
        b->put(b->refs[i].object, b->refs[i].len);
    }
    mem_free(b->refs, b->ref_count * sizeof(b->refs[0]));
    mem_free(b->bytes, b->cap);
    mem_free(b, sizeof(*b));
}

static struct change_blob *blob_of(const struct record *r)
{
    struct change_blob *b;

    memcpy(&b, r->payload, sizeof(b));
    return b;
}

static int64_t blob_bytes(const struct change_blob *b)
{
    int64_t bytes = (int64_t)b->cap;

    for (size_t i = 0; i < b->ref_count; i++) {
        bytes += (int64_t)b->refs[i].len;
    }
    return bytes;
}

/* As much again as the ring may be kept beside it before the oldest goes; four times as much before
 * writers wait for that. */
static bool is_beside_much(const struct changelog *l)
{
    return atomic_load_explicit(&l->beside, memory_order_relaxed) > (int64_t)l->bytes;
}

static bool is_beside_full(const struct changelog *l)
{
    return atomic_load_explicit(&l->beside, memory_order_relaxed) > (int64_t)l->bytes * 4;
}

/* Drops the oldest records until `want` bytes of the ring are free or nothing complete is left. */
static size_t trim_locked(struct changelog *l, size_t want)
{
    size_t freed = 0;

    while (freed < want) {
        struct record *r = record_at(l, l->tail_at);

        if (!is_complete(r, l->tail_seq)) {
            break;
        }
        size_t bytes = record_bytes(r->len);

        if (r->kind == KIND_BLOB) {
            struct change_blob *b = blob_of(r);

            atomic_fetch_sub_explicit(&l->beside, blob_bytes(b), memory_order_relaxed);
            blob_free(b);
        }
        /* L4. The flag last is not needed: nobody looks before the room is given back below. */
        atomic_store_explicit(&r->flag, 0, memory_order_relaxed);
        memset((char *)r + sizeof(r->flag), 0, bytes - sizeof(r->flag));
        l->tail_at += bytes;
        l->tail_seq++;
        freed += bytes;
    }
    return freed;
}

/* Whether more than the oldest is complete. */
static bool has_second_locked(const struct changelog *l)
{
    const struct record *r = record_at(l, l->tail_at);

    return is_complete(r, l->tail_seq) &&
           is_complete(record_at(l, l->tail_at + record_bytes(r->len)), l->tail_seq + 1);
}

static void wake_waiters_locked(struct changelog *l)
{
    struct list *n;

    while ((n = list_pop(&l->waiters)) != NULL) {
        struct changelog_waiter *w = LIST_ITEM(n, struct changelog_waiter, link);

        w->on_room(w);
    }
}

/* Half of the ring is kept for those who want the tail; below that the oldest quarter goes. */
static int64_t low_mark(const struct changelog *l)
{
    return (int64_t)(l->bytes / 2);
}

static void *log_thread(void *arg)
{
    struct changelog *l = arg;

    (void)pthread_setname_np(pthread_self(), "changelog");
    pthread_mutex_lock(&l->mutex);
    while (!l->stopping) {
        bool short_of_room = atomic_load_explicit(&l->free, memory_order_relaxed) < low_mark(l);

        /* The latest change is kept however large it is, for who follows, unless a writer waits. */
        if (short_of_room || (is_beside_much(l) && has_second_locked(l)) ||
            !list_is_empty(&l->waiters)) {
            size_t freed = trim_locked(l, short_of_room ? l->bytes / 4 : 1);

            /* Release: pairs with the acquire in take(): cleared before it is given again. */
            atomic_fetch_add_explicit(&l->free, (int64_t)freed, memory_order_release);
            wake_waiters_locked(l);
            if (freed > 0) {
                continue;
            }
        }
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        /* Sequentially consistent, with take(): one of the two sees the other. */
        atomic_store_explicit(&l->asleep, true, memory_order_seq_cst);
        if (atomic_load_explicit(&l->free, memory_order_seq_cst) >= low_mark(l) &&
            !(is_beside_much(l) && has_second_locked(l))) {
            (void)pthread_cond_timedwait(&l->wanted, &l->mutex, &until);
        } else {
            /* What is oldest is still being copied: microseconds. */
            until.tv_sec -= 1;
            until.tv_nsec += 1000000;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
            (void)pthread_cond_timedwait(&l->wanted, &l->mutex, &until);
        }
        atomic_store_explicit(&l->asleep, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

static void wake_log(struct changelog *l)
{
    if (atomic_load_explicit(&l->asleep, memory_order_seq_cst)) {
        pthread_mutex_lock(&l->mutex);
        atomic_store_explicit(&l->asleep, false, memory_order_relaxed);
        pthread_cond_signal(&l->wanted);
        pthread_mutex_unlock(&l->mutex);
    }
}

/* ---- Making and ending ---- */

static char *map_twice(size_t bytes)
{
    int fd = memfd_create("godwit-changelog", MFD_CLOEXEC);
    char *at = MAP_FAILED;

    if (fd < 0) {
        return NULL;
    }
    if (ftruncate(fd, (off_t)bytes) == 0) {
        at = mmap(NULL, bytes * 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    if (at != MAP_FAILED &&
        (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ||
         mmap(at + bytes, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
             MAP_FAILED)) {
        (void)munmap(at, bytes * 2);
        at = MAP_FAILED;
    }
    close(fd);
    return at == MAP_FAILED ? NULL : at;
}

int changelog_create(struct changelog **out, const struct changelog_options *o)
{
    struct changelog *l = mem_alloc_lines(sizeof(*l));
    size_t bytes = RING_MIN;

    if (l == NULL) {
        return ERR_NOMEM;
    }
    while (bytes < o->ring_bytes) {
        bytes *= 2;
    }
    l->bytes = bytes;
    l->epoch = o->epoch;
    l->head = (place)o->first_seq << 64;
    l->tail_seq = o->first_seq + 1;
    atomic_init(&l->free, (int64_t)bytes);
    list_init(&l->waiters);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->wanted, NULL);
    l->ring = map_twice(bytes);
    if (l->ring == NULL) {
        log_error("changelog: no memory for the ring\tbytes=%zu\terr=%m", bytes);
        goto fail;
    }
    if (pthread_create(&l->thread, NULL, log_thread, l) != 0) {
        log_error("changelog: no thread\terr=%m");
        goto fail_ring;
    }
    *out = l;
    return OK;

fail_ring:
    (void)munmap(l->ring, bytes * 2);
fail:
    mem_free(l, sizeof(*l));
    return ERR_NOMEM;
}

void changelog_stop(struct changelog *l)
{
    pthread_mutex_lock(&l->mutex);
    bool stopped = l->stopping;

    l->stopping = true;
    pthread_cond_signal(&l->wanted);
    pthread_mutex_unlock(&l->mutex);
    if (!stopped) {
        (void)pthread_join(l->thread, NULL);
    }
}

void changelog_destroy(struct changelog *l)
{
    if (l == NULL) {
        return;
    }
    changelog_stop(l);
    (void)trim_locked(l, SIZE_MAX);
    (void)munmap(l->ring, l->bytes * 2);
    pthread_cond_destroy(&l->wanted);
    pthread_mutex_destroy(&l->mutex);
    mem_free(l, sizeof(*l));
}

/* ---- Room ---- */

static bool take(struct changelog *l, size_t bytes)
{
    int64_t n = (int64_t)bytes;
    int64_t free = atomic_load_explicit(&l->free, memory_order_relaxed);

    /* Acquire: pairs with the release in log_thread(). */
    do {
        if (free < n) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&l->free, &free, free - n, memory_order_seq_cst,
                                                    memory_order_relaxed));
    if (free - n < low_mark(l)) {
        wake_log(l);
    }
    return true;
}

int changelog_reserve(struct changelog *l, struct changelog_credit *c)
{
    size_t need = record_bytes(CHANGELOG_RECORD_MAX);
    /* Several appends' worth at a time, but never so much that a few workers hold the ring. */
    size_t chunk = CREDIT < l->bytes / 64 ? CREDIT : l->bytes / 64;

    if (LIKELY(c->bytes >= need) && LIKELY(!is_beside_full(l))) {
        return OK;
    }
    chunk = chunk < need ? need : chunk;
    if (is_beside_full(l) || !take(l, chunk)) {
        wake_log(l);
        return ERR_FULL;
    }
    c->bytes += chunk;
    return OK;
}

void changelog_credit_return(struct changelog *l, struct changelog_credit *c)
{
    atomic_fetch_add_explicit(&l->free, (int64_t)c->bytes, memory_order_relaxed);
    c->bytes = 0;
}

bool changelog_wait(struct changelog *l, struct changelog_waiter *w)
{
    bool waits = false;

    pthread_mutex_lock(&l->mutex);
    if (is_beside_full(l) || atomic_load_explicit(&l->free, memory_order_relaxed) <
                                 (int64_t)record_bytes(CHANGELOG_RECORD_MAX)) {
        list_push(&l->waiters, &w->link);
        pthread_cond_signal(&l->wanted);
        waits = true;
    }
    pthread_mutex_unlock(&l->mutex);
    return waits;
}

bool changelog_wait_cancel(struct changelog *l, struct changelog_waiter *w)
{
    pthread_mutex_lock(&l->mutex);
    bool waited = !list_is_empty(&w->link);

    list_remove(&w->link);
    pthread_mutex_unlock(&l->mutex);
    return waited;
}

/* ---- Appending ---- */

uint64_t changelog_append(struct changelog *l, struct changelog_credit *c, struct slice bytes,
                          struct change_blob *blob, int64_t now_ms)
{
    size_t payload = blob == NULL ? bytes.len : sizeof(blob);
    size_t size = record_bytes(payload);
    place old = head_guess(l);
    place seen;

    assert(c->bytes >= size); /* L2 */
    c->bytes -= size;
    /* L1: one step. */
    while ((seen = __sync_val_compare_and_swap(&l->head, old, old + ((place)1 << 64) + size)) !=
           old) {
        old = seen;
    }
    uint64_t seq = (uint64_t)(old >> 64) + 1;
    struct record *r = record_at(l, (uint64_t)old);
    uint64_t hybrid = (uint64_t)now_ms << 20;

    r->len = (uint32_t)payload;
    if (LIKELY(blob == NULL)) {
        r->kind = KIND_BYTES;
        memcpy(r->payload, bytes.ptr, bytes.len);
        change_seal(r->payload, seq, l->epoch, hybrid);
    } else {
        r->kind = KIND_BLOB;
        change_seal(blob->bytes, seq, l->epoch, hybrid);
        memcpy(r->payload, &blob, sizeof(blob));
        atomic_fetch_add_explicit(&l->beside, blob_bytes(blob), memory_order_relaxed);
    }
    /* Release: pairs with the acquire in is_complete(). */
    atomic_store_explicit(&r->flag, seq, memory_order_release);
    if (UNLIKELY(blob != NULL) && is_beside_much(l)) {
        wake_log(l);
    }
    return seq;
}

uint64_t changelog_epoch(const struct changelog *l)
{
    return l->epoch;
}

uint64_t changelog_last_seq(const struct changelog *l)
{
    return (uint64_t)(head_load((struct changelog *)(uintptr_t)l) >> 64);
}

uint64_t changelog_seen_seq(const struct changelog *l)
{
    const uint64_t *half = (const uint64_t *)(const void *)&l->head;

    return __atomic_load_n(&half[1], __ATOMIC_RELAXED);
}

uint64_t changelog_first_seq(struct changelog *l)
{
    pthread_mutex_lock(&l->mutex);
    uint64_t seq = l->tail_seq;

    pthread_mutex_unlock(&l->mutex);
    return seq;
}

size_t changelog_ring_bytes(const struct changelog *l)
{
    return l->bytes;
}

/* ---- Reading ---- */

struct give {
    changelog_read_fn fn;
    void *arg;
    uint64_t seq;
};

static bool give_piece(struct slice piece, void *arg)
{
    struct give *g = arg;

    return g->fn(g->seq, piece, false, g->arg);
}

static bool give_blob(uint64_t seq, const struct change_blob *b, changelog_read_fn fn, void *arg)
{
    struct give g = {fn, arg, seq};
    size_t at = 0;

    for (size_t i = 0; i < b->ref_count; i++) {
        const struct change_blob_ref *ref = &b->refs[i];

        if (!fn(seq, (struct slice){b->bytes + at, ref->offset - at}, false, arg) ||
            !b->each(ref->object, ref->len, give_piece, &g)) {
            return false;
        }
        at = ref->offset;
    }
    return fn(seq, (struct slice){b->bytes + at, b->len - at}, true, arg);
}

uint64_t changelog_read(struct changelog *l, uint64_t seq, changelog_read_fn fn, void *arg)
{
    pthread_mutex_lock(&l->mutex);
    uint64_t at = l->tail_at;

    if (seq < l->tail_seq) {
        pthread_mutex_unlock(&l->mutex);
        return 0;
    }
    for (uint64_t s = l->tail_seq;; s++) {
        struct record *r = record_at(l, at);

        if (!is_complete(r, s)) {
            seq = s > seq ? s : seq;
            break;
        }
        if (s >= seq) {
            bool more = r->kind == KIND_BLOB ? give_blob(s, blob_of(r), fn, arg)
                                             : fn(s, (struct slice){r->payload, r->len}, true, arg);

            seq = s + 1;
            if (!more) {
                break;
            }
        }
        at += record_bytes(r->len);
    }
    pthread_mutex_unlock(&l->mutex);
    return seq;
}
