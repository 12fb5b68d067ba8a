/* auth.h - credentials to database: who may come in, and as whom.
 *
 * One database for now; the users and their passwords are edge/acl.h's. The setting `password` is that of
 * the user "default".
 *
 * Limits   failures are remembered by address in a table of fixed size; past a few, the answer to a
 *          wrong password from that address comes later and later, and beyond a bound is refused.
 * Threads  any; a mutex, since this is no hot path.
 * Secrets  never logged; copies are wiped by those who made them.
 */
#ifndef EDGE_AUTH_H
#define EDGE_AUTH_H

#include "base/annot.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define AUTH_DEFAULT_USER "default"

struct acl_user;
struct database;

enum auth_answer { AUTH_GOOD, AUTH_WRONG, AUTH_TOO_MANY };

/* Users too (acl_init()). After cmd_freeze(), before other threads. */
MUST_CHECK int auth_init(struct database *default_db);
/* Empty is none: then every connection is in without AUTH. Also CONFIG SET requirepass. */
void auth_password_set(struct slice password) ON_ANY;
/* Whether who says no AUTH may do nothing: the default user has a password, or is off. */
bool auth_is_needed(void) ON_ANY;
struct database *auth_database(void) ON_ANY;

/* *who is held (acl_release()) if the answer is good. *wait_ms is how long the answer to a wrong attempt
 * has to wait. */
enum auth_answer auth_check(struct slice user, struct slice password,
                            const struct sockaddr_storage *peer, int64_t now_ms, int64_t *wait_ms,
                            struct acl_user **who) ON_ANY;

#endif
