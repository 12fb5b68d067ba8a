/* acl.c - the users by name, and what happens when one changes. acl_file.c reads and writes them. */
#include "edge/acl.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "edge/acl_parts.h"
#include "edge/auth.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct acl_user **users; /* owned, LIMIT_ACL_USERS places; by name. Guarded by lock */
static uint32_t user_count;     /* guarded by lock */
static struct acl_user *default_user;
static bool default_is_plain; /* it is what the setting `password` says. Guarded by lock */
static _Atomic bool needs_password;

/* A2: what a deleted user may do. */
static struct acl_selector nothing;
static struct acl_selector *no_selectors[] = {&nothing};
static const struct acl_rules nobody = {.selector_count = 1, .selectors = no_selectors};

/* ---- One user ---- */

static bool free_rules(void *object, size_t *budget)
{
    (void)budget;
    acl_rules_destroy(object);
    return true;
}

/* Room for `n` publications. */
static bool may_publish(size_t n)
{
    return !rcu_is_registered() || rcu_reserve(n) == OK;
}

/* Takes the rules. Under the lock; cannot fail after may_publish(). */
static void publish(struct acl_user *u, const struct acl_rules *r)
{
    const struct acl_rules *old = atomic_load_explicit(&u->rules, memory_order_relaxed);

    atomic_store_explicit(&u->rules, r, memory_order_release);
    /* Release: pairs with the acquire in acl_limits(). A1. */
    atomic_store_explicit(&u->limits, acl_rules_may_all(r) ? NULL : r, memory_order_release);
    if (u == default_user) {
        atomic_store_explicit(&needs_password, !r->is_on || !r->is_nopass, memory_order_relaxed);
    }
    if (old == NULL || old == &nobody) {
        return;
    }
    if (rcu_is_registered()) {
        rcu_retire_object((void *)old, sizeof(*old) + old->bytes, free_rules);
    } else {
        acl_rules_destroy((void *)old); /* before other threads */
    }
}

static const struct acl_rules *rules_of(const struct acl_user *u)
{
    return atomic_load_explicit(&u->rules, memory_order_relaxed);
}

struct acl_user *acl_user_create(struct slice name)
{
    struct acl_user *u = mem_zalloc(sizeof(*u) + name.len);

    if (u != NULL) {
        atomic_init(&u->holders, 1); /* the table of users */
        u->name_len = name.len;
        if (name.len > 0) {
            memcpy(u->name, name.ptr, name.len);
        }
    }
    return u;
}

void acl_hold(struct acl_user *u)
{
    if (u != default_user) { /* which every connection begins with, and which stays */
        atomic_fetch_add_explicit(&u->holders, 1, memory_order_relaxed);
    }
}

static void user_free(struct acl_user *u)
{
    const struct acl_rules *r = rules_of(u);

    if (r != &nobody) {
        acl_rules_destroy((void *)r);
    }
    mem_free(u, sizeof(*u) + u->name_len);
}

void acl_release(struct acl_user *u)
{
    /* Acquire-release: the last frees what others have written to. */
    if (u != NULL && u != default_user &&
        atomic_fetch_sub_explicit(&u->holders, 1, memory_order_acq_rel) == 1) {
        user_free(u);
    }
}

void acl_become(struct session *s, struct acl_user *u)
{
    struct acl_user *before = s->user;

    if (u != before) {
        acl_hold(u);
        s->user = u;
        acl_release(before);
    }
}

/* ---- The table ---- */

/* Where it is, or would be. */
static uint32_t place_of(struct slice name, bool *is_there)
{
    uint32_t low = 0, high = user_count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int order = slice_order(acl_name(users[mid]), name);

        if (order == 0) {
            *is_there = true;
            return mid;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *is_there = false;
    return low;
}

static struct acl_user *find_locked(struct slice name)
{
    bool is_there;
    uint32_t at = place_of(name, &is_there);

    return is_there ? users[at] : NULL;
}

static void insert_locked(struct acl_user *u)
{
    bool is_there;
    uint32_t at = place_of(acl_name(u), &is_there);

    assert(!is_there);
    assert(user_count < LIMIT_ACL_USERS);
    memmove(users + at + 1, users + at, (user_count - at) * sizeof(struct acl_user *));
    users[at] = u;
    user_count++;
}

/* The table's hold becomes the caller's. */
static void remove_locked(struct acl_user *u)
{
    bool is_there;
    uint32_t at = place_of(acl_name(u), &is_there);

    assert(is_there && u != default_user);
    user_count--;
    memmove(users + at, users + at + 1, (user_count - at) * sizeof(struct acl_user *));
    publish(u, &nobody);
}

static struct acl_rules *first_rules(void)
{
    struct acl_rules *r = acl_rules_create();
    static const char *const all[] = {"on", "nopass", "allkeys", "allchannels", "allcommands"};

    for (size_t i = 0; r != NULL && i < sizeof(all) / sizeof(all[0]); i++) {
        if (acl_rules_apply(r, slice_of(all[i])) != ACL_FINE) {
            acl_rules_destroy(r);
            return NULL;
        }
    }
    return r;
}

int acl_init(void)
{
    struct acl_rules *r;
    struct acl_user *u;

    if (sodium_init() < 0) {
        return ERR_IO;
    }
    acl_check_learn();
    if (users == NULL) {
        users = mem_zalloc(LIMIT_ACL_USERS * sizeof(struct acl_user *));
    }
    default_user = NULL;
    while (user_count > 0) {
        acl_release(users[--user_count]);
    }
    r = first_rules();
    u = acl_user_create(SLICE(AUTH_DEFAULT_USER));
    if (users == NULL || r == NULL || u == NULL) {
        acl_rules_destroy(r);
        acl_release(u);
        return ERR_NOMEM;
    }
    default_user = u;
    insert_locked(u);
    publish(u, r);
    default_is_plain = true;
    return OK;
}

struct acl_user *acl_default(void)
{
    return default_user;
}

bool acl_default_needs_password(void)
{
    return atomic_load_explicit(&needs_password, memory_order_relaxed);
}

bool acl_is_default_open(void)
{
    bool is_open;

    pthread_mutex_lock(&lock);
    is_open = rules_of(default_user)->is_nopass;
    pthread_mutex_unlock(&lock);
    return is_open;
}

struct acl_user *acl_find(struct slice name)
{
    struct acl_user *u;

    pthread_mutex_lock(&lock);
    u = find_locked(name);
    if (u != NULL) {
        acl_hold(u);
    }
    pthread_mutex_unlock(&lock);
    return u;
}

struct acl_user *acl_authenticate(struct slice name, struct slice password)
{
    unsigned char hash[ACL_HASH_BYTES];
    struct acl_user *u;

    acl_hash(password, hash); /* also when there is no such user: it takes as long */
    pthread_mutex_lock(&lock);
    u = find_locked(name);
    if (u != NULL) {
        const struct acl_rules *r = rules_of(u);

        if (r->is_on && (r->is_nopass || acl_rules_has_password(r, hash))) {
            acl_hold(u);
        } else {
            u = NULL;
        }
    }
    pthread_mutex_unlock(&lock);
    sodium_memzero(hash, sizeof(hash));
    return u;
}

void acl_each(bool (*fn)(const struct acl_user *u, const struct acl_rules *r, void *arg), void *arg)
{
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < user_count && fn(users[i], rules_of(users[i]), arg); i++) {
    }
    pthread_mutex_unlock(&lock);
}

/* ---- Changes ---- */

static enum acl_fault set_locked(struct slice name, const struct slice *argv, uint32_t argc,
                                 struct buf *culprit, struct acl_change *change)
{
    struct acl_user *u = find_locked(name);
    struct acl_user *fresh = NULL;
    struct acl_rules *r;
    enum acl_fault fault;

    if (u == NULL && (user_count == LIMIT_ACL_USERS || name.len > LIMIT_ACL_NAME_BYTES)) {
        return ACL_TOO_MUCH;
    }
    r = u != NULL ? acl_rules_copy(rules_of(u)) : acl_rules_create();
    if (u == NULL) {
        fresh = acl_user_create(name);
    }
    if (r == NULL || (u == NULL && fresh == NULL)) {
        fault = ACL_NO_MEMORY;
        goto fail;
    }
    fault = acl_rules_apply_all(r, argv, argc, culprit);
    if (fault == ACL_FINE && !may_publish(1)) {
        fault = ACL_NO_MEMORY;
    }
    if (fault != ACL_FINE) {
        goto fail;
    }
    if (fresh != NULL) {
        u = fresh;
        insert_locked(u);
    }
    publish(u, r);
    if (u == default_user) {
        default_is_plain = false;
    }
    acl_hold(u);
    *change = (struct acl_change){.user = u};
    return ACL_FINE;

fail:
    acl_release(fresh);
    acl_rules_destroy(r);
    return fault;
}

enum acl_fault acl_set(struct slice name, const struct slice *argv, uint32_t argc,
                       struct buf *culprit, struct acl_change *change)
{
    enum acl_fault fault;

    pthread_mutex_lock(&lock);
    fault = set_locked(name, argv, argc, culprit, change);
    pthread_mutex_unlock(&lock);
    return fault;
}

bool acl_delete(struct slice name, struct acl_change *change)
{
    struct acl_user *u;
    bool may;

    pthread_mutex_lock(&lock);
    u = find_locked(name);
    may = u != NULL && may_publish(1);
    if (may) {
        remove_locked(u);
        *change = (struct acl_change){.user = u, .is_deleted = true};
    }
    pthread_mutex_unlock(&lock);
    return may;
}

void acl_default_password(struct slice password)
{
    struct acl_rules *r;
    unsigned char hash[ACL_HASH_BYTES];
    bool done = false;

    pthread_mutex_lock(&lock);
    r = acl_rules_copy(rules_of(default_user));
    if (r != NULL) {
        acl_hash(password, hash);
        done = acl_rules_only_password(r, password.len > 0 ? hash : NULL) == ACL_FINE &&
               may_publish(1);
        sodium_memzero(hash, sizeof(hash));
    }
    if (done) {
        publish(default_user, r);
    } else {
        acl_rules_destroy(r);
        log_error("acl: no memory for another password: the one before stays");
    }
    pthread_mutex_unlock(&lock);
}

/* ---- All at once ---- */

/* A user that was read and is new, or its rules for the one that there is. */
static void take_locked(struct acl_user *fresh, struct acl_changes *changes)
{
    const struct acl_rules *r = rules_of(fresh);
    struct acl_user *u = find_locked(acl_name(fresh));

    atomic_store_explicit(&fresh->rules, NULL, memory_order_relaxed);
    if (u == NULL) {
        fresh->stays = true;
        insert_locked(fresh);
        publish(fresh, r);
        return;
    }
    u->stays = true;
    publish(u, r);
    default_is_plain = default_is_plain && u != default_user;
    acl_hold(u);
    changes->v[changes->count++] = (struct acl_change){.user = u};
    acl_release(fresh);
}

bool acl_swap(struct acl_user **fresh, uint32_t count, struct acl_changes *changes)
{
    pthread_mutex_lock(&lock);
    changes->cap = user_count + (size_t)count;
    changes->count = 0;
    changes->v = mem_alloc(changes->cap * sizeof(changes->v[0]));
    if (changes->v == NULL || !may_publish(changes->cap)) {
        acl_changes_free(changes);
        pthread_mutex_unlock(&lock);
        return false;
    }
    for (uint32_t i = 0; i < user_count; i++) {
        users[i]->stays = users[i] == default_user;
    }
    /* Whoever goes makes its place free first. */
    for (uint32_t i = 0; i < count; i++) {
        struct acl_user *u = find_locked(acl_name(fresh[i]));

        if (u != NULL) {
            u->stays = true;
        }
    }
    for (uint32_t i = user_count; i-- > 0;) {
        struct acl_user *u = users[i];

        if (!u->stays) {
            remove_locked(u);
            changes->v[changes->count++] = (struct acl_change){.user = u, .is_deleted = true};
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        take_locked(fresh[i], changes);
    }
    pthread_mutex_unlock(&lock);
    return true;
}

void acl_changes_free(struct acl_changes *changes)
{
    for (uint32_t i = 0; i < changes->count; i++) {
        acl_release(changes->v[i].user);
    }
    if (changes->v != NULL) {
        mem_free(changes->v, changes->cap * sizeof(changes->v[0]));
    }
    *changes = (struct acl_changes){0};
}

bool acl_is_default_plain(void)
{
    bool is_plain;

    pthread_mutex_lock(&lock);
    is_plain = default_is_plain;
    pthread_mutex_unlock(&lock);
    return is_plain;
}
