/* auth.c - how often an address may try. */
#include "edge/auth.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "edge/acl.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>

enum {
    ADDRESSES = 1024,  /* remembered; two that share a place share their patience */
    FREE_FAILURES = 3, /* a person's typing errors */
    STEP_MS = 100,     /* each further failure puts the next answer off by so much more */
    STEPS_MAX = 10,
    WAIT_MS_MAX = 5000, /* no answer waits longer: beyond it attempts are refused unseen */
    FORGET_MS = 60 * 1000
};

/* Of one address: GCRA, as in base/log.c. */
struct tries {
    int64_t next_ms; /* when the bucket is empty again */
    int64_t last_ms;
    uint32_t failures;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tries table[ADDRESSES]; /* guarded by lock */
static uint64_t table_seed;
static struct database *database;

int auth_init(struct database *default_db)
{
    if (sodium_init() < 0) {
        return ERR_IO;
    }
    randombytes_buf(&table_seed, sizeof(table_seed));
    database = default_db;
    return acl_init();
}

void auth_password_set(struct slice password)
{
    acl_default_password(password);
}

bool auth_is_needed(void)
{
    return acl_default_needs_password();
}

struct database *auth_database(void)
{
    return database;
}

static struct tries *tries_of(const struct sockaddr_storage *peer)
{
    uint64_t h = table_seed;
    const unsigned char *bytes = NULL;
    size_t len = 0;

    if (peer->ss_family == AF_INET) {
        bytes = (const void *)&((const struct sockaddr_in *)(const void *)peer)->sin_addr;
        len = 4;
    } else if (peer->ss_family == AF_INET6) {
        /* A network, not a host: whoever has one has 2^64 addresses. */
        bytes = (const void *)&((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
        len = 8;
    }
    for (size_t i = 0; i < len; i++) {
        h = (h ^ bytes[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return &table[h % ADDRESSES];
}

/* A failure of this address: how long its answer waits. */
static int64_t failed_locked(struct tries *t, int64_t now_ms)
{
    if (now_ms - t->last_ms > FORGET_MS) {
        t->failures = 0;
    }
    t->last_ms = now_ms;
    if (++t->failures <= FREE_FAILURES) {
        return 0;
    }
    if (t->next_ms < now_ms) {
        t->next_ms = now_ms;
    }
    uint32_t steps = t->failures - FREE_FAILURES;

    t->next_ms += (int64_t)STEP_MS * (steps < STEPS_MAX ? steps : STEPS_MAX);
    return t->next_ms - now_ms;
}

enum auth_answer auth_check(struct slice user, struct slice password,
                            const struct sockaddr_storage *peer, int64_t now_ms, int64_t *wait_ms,
                            struct acl_user **who)
{
    enum auth_answer answer = AUTH_WRONG;
    struct tries *t;

    *wait_ms = 0;
    *who = acl_authenticate(user, password);
    pthread_mutex_lock(&lock);
    t = tries_of(peer);
    if (t->next_ms - now_ms > WAIT_MS_MAX) {
        answer = AUTH_TOO_MANY; /* even if right: else guessing would go on beside the waiting */
    } else if (*who != NULL) {
        answer = AUTH_GOOD;
        t->failures = 0;
    } else {
        *wait_ms = failed_locked(t, now_ms);
    }
    pthread_mutex_unlock(&lock);
    if (answer != AUTH_GOOD) {
        acl_release(*who);
        *who = NULL;
    }
    return answer;
}
