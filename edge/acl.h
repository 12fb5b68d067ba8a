/* acl.h - users: who there is, what each may do, and whether a command is among it.
 *
 * A user has a name for good and rules (edge/acl_rules.h), which are never written to but replaced. A
 * session holds its user; what its user may do is one load away, and that is NULL when there is nothing to
 * ask: who may do everything pays for that load once a batch.
 *
 * Invariants (tests/unit/edge/test_acl.c)
 *  A1  rules that a session reads are whole, and stay until its worker's turn is over: they are published
 *      by one store and retired by RCU.
 *  A2  a user lives as long as somebody holds it; one that was deleted is allowed nothing from then on,
 *      also for those that hold it still. A user of the same name made later is another.
 *  A3  when SETUSER, DELUSER or LOAD has answered, no command of that user is begun by the old rules, on
 *      whichever worker: each was visited, and what waited there was judged again (edge/cmd_acl.c).
 *  A4  what cannot be judged, for want of memory, is refused.
 *  A5  passwords are there as SHA-256 only, and are compared in constant time.
 *
 * Threads  changes are made one at a time, under a mutex, on RCU registered threads or before there are
 *          others. acl_limits() takes no lock.
 * Limits   LIMIT_ACL_*.
 */
#ifndef EDGE_ACL_H
#define EDGE_ACL_H

#include "edge/acl_rules.h"
#include "edge/session.h"
#include "proto/cmd.h"

#include <stdatomic.h>

struct acl_user {
    _Atomic(const struct acl_rules *) rules;  /* owned; replaced under the mutex */
    _Atomic(const struct acl_rules *) limits; /* the same, or NULL if they allow everything */
    _Atomic uint32_t holders;
    bool stays; /* while all are swapped. Guarded by the mutex */
    size_t name_len;
    char name[];
};

/* In Redis' order: of two selectors' answers the greater is told. */
enum acl_verdict { ACL_ALLOWED, ACL_DENIED_CMD, ACL_DENIED_KEY, ACL_DENIED_AUTH, ACL_DENIED_CHANNEL };

/* After cmd_freeze(), before other threads; forgets what was there. ERR_NOMEM. */
MUST_CHECK int acl_init(void);

/* The rules to ask before each command of this session; NULL: there are none. Until the turn ends. */
static inline const struct acl_rules *acl_limits(const struct session *s)
{
    /* Acquire: pairs with the release in publish(). */
    return s->user == NULL ? NULL
                           : atomic_load_explicit(&s->user->limits, memory_order_acquire);
}

/* Whether all of a call is allowed; else *at is the argument that is not (0: the command). */
enum acl_verdict acl_check(const struct acl_rules *r, const struct cmd_def *def,
                           const struct slice *argv, uint32_t argc, uint32_t *at) ON_ANY;
/* Whether one selector allows the call and reading every key besides: SORT BY and GET. */
bool acl_reads_all(const struct session *s, const struct cmd_def *def, const struct slice *argv,
                   uint32_t argc) ON_WORKER;
/* Whether a channel (or a pattern, which must be there literally) is allowed by one of the selectors. */
bool acl_allows_channel(const struct acl_rules *r, struct slice name, bool is_pattern);
/* "User x has no permissions to run the 'get' command"; verbose: as ACL DRYRUN has it. */
void acl_put_denied(struct buf *out, enum acl_verdict v, struct slice user,
                    const struct cmd_def *def, struct slice object, bool verbose);

/* ---- Users ---- */

static inline struct slice acl_name(const struct acl_user *u)
{
    return (struct slice){u->name, u->name_len};
}
struct acl_user *acl_default(void);
/* Held; NULL: there is none. */
struct acl_user *acl_find(struct slice name) ON_ANY;
void acl_hold(struct acl_user *u) ON_ANY;
/* NULL is fine. */
void acl_release(struct acl_user *u) ON_ANY;
/* The session is this user's from now on. */
void acl_become(struct session *s, struct acl_user *u) ON_WORKER;
/* Whose name and password these are, held; NULL: nobody's who may come in. */
struct acl_user *acl_authenticate(struct slice name, struct slice password) ON_ANY;
/* Whether who has not said AUTH may do nothing. One relaxed load. */
bool acl_default_needs_password(void) ON_ANY;
/* Whether any password is the default user's. */
bool acl_is_default_open(void) ON_ANY;
/* Calls fn for each in the order of their names, under the mutex, until it is false. */
void acl_each(bool (*fn)(const struct acl_user *u, const struct acl_rules *r, void *arg),
              void *arg) ON_ANY;

/* ---- Changes ---- */

/* What a change has left for the round that follows it: sessions to look at. */
struct acl_change {
    struct acl_user *user; /* held */
    bool is_deleted;
};

struct acl_changes {
    struct acl_change *v; /* owned */
    size_t cap;
    uint32_t count;
};
void acl_changes_free(struct acl_changes *changes);

/* Changes a user, or makes it. What is wrong changes nothing; the culprit is appended. */
MUST_CHECK enum acl_fault acl_set(struct slice name, const struct slice *argv, uint32_t argc,
                                  struct buf *culprit, struct acl_change *change) ON_ANY;
/* False: there is none. Not of the default user. */
bool acl_delete(struct slice name, struct acl_change *change) ON_ANY;
/* The users of a text of `user` lines instead of those there are; one that says nothing of the default
 * user leaves it as it was. What is wrong is said in `why`, and changes nothing. `file` is named there;
 * NULL: the words are quoted, as in a file of settings. */
MUST_CHECK bool acl_load(struct slice text, const char *file, struct buf *why,
                         struct acl_changes *changes) ON_ANY;
/* The same of the setting `user`: such lines without their first word. */
MUST_CHECK bool acl_load_settings(const char *lines, struct buf *why, struct acl_changes *changes) ON_ANY;
/* `user` lines of all; for a file of settings quoted, and without the default user if it is just what the
 * setting `password` says: the password may then be changed there, as before. */
MUST_CHECK int acl_save(bool for_settings, struct buf *out) ON_ANY;
/* CONFIG SET requirepass: the only password of the default user; empty: nopass. */
void acl_default_password(struct slice password) ON_ANY;

#endif
