/* acl_log.h - what was refused: ACL LOG, its counts in INFO, and the words of a refusal.
 *
 * Like events within a minute are one entry with a count. Limits: acllog-max-len entries, of an object
 * LIMIT_ACL_LOG_OBJECT_BYTES. Out of memory an event is counted and not kept.
 */
#ifndef EDGE_ACL_LOG_H
#define EDGE_ACL_LOG_H

#include "edge/acl.h"

struct cmd;
struct conn;
struct reply;

enum acl_context { ACL_AT_TOP, ACL_IN_MULTI, ACL_IN_LUA };

struct acl_denied {
    enum acl_context context;
    enum acl_verdict verdict;
    uint32_t at; /* of what was refused among the arguments */
    const struct cmd_def *def;
    const struct slice *argv;
    uint32_t argc;
};

void acl_log_denied(const struct session *s, const struct acl_denied *d) ON_WORKER;
/* AUTH or HELLO, as it was spelled, with a wrong name or password. */
void acl_log_auth(const struct conn *c, struct slice user, struct slice command) ON_WORKER;

/* NOPERM and why; behind `head`, which may be "". */
void acl_reply_denied(struct reply *r, const struct session *s, const struct acl_denied *d,
                      const char *head);

/* Of a command that waited while its user's rules changed: logged and answered. */
void acl_reply_denied_now(struct cmd *c) ON_WORKER;

struct acl_counts {
    uint64_t auth, cmd, key, channel;
};
struct acl_counts acl_counts(void) ON_ANY;

/* ACL LOG: the youngest first. */
void acl_log_reply(struct reply *r, uint64_t count) ON_ANY;
void acl_log_reset(void) ON_ANY;

#endif
