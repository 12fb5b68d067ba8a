/* acl_parts.h - between acl.c, acl_check.c and acl_file.c. Nobody else's. */
#ifndef EDGE_ACL_PARTS_H
#define EDGE_ACL_PARTS_H

#include "edge/acl.h"

/* Looks at every row. After cmd_freeze(), before other threads. */
void acl_check_learn(void);

/* A user that is in no table; the caller's to release. NULL: no memory. */
struct acl_user *acl_user_create(struct slice name);
/* These instead of those there are; no two of one name, each with its rules. Takes them, on success only. */
MUST_CHECK bool acl_swap(struct acl_user **fresh, uint32_t count, struct acl_changes *changes);
/* Whether the default user is just what the setting `password` says. */
bool acl_is_default_plain(void);

#endif
