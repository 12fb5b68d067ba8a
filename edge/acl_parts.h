/* acl_parts.h - between the files of acl.h and acl_rules.h. Nobody else's. */
#ifndef EDGE_ACL_PARTS_H
#define EDGE_ACL_PARTS_H

#include "edge/acl.h"

/* acl_password.c: one rule of > < # !; all of them. */
MUST_CHECK enum acl_fault acl_password_apply(struct acl_rules *r, struct slice rule);
MUST_CHECK bool acl_passwords_copy(struct acl_rules *to, const struct acl_rules *from);
void acl_passwords_forget(struct acl_rules *r);
void acl_passwords_free(struct acl_rules *r);

/* acl_check.c: the categories of a row, a bit each in cmd_category_at()'s order. */
uint32_t acl_categories_of(uint16_t id);
/* The bit of "read"; 0: there is no such category. */
uint32_t acl_category_bit(struct slice name);

/* Looks at every row. After cmd_freeze(), before other threads. */
void acl_check_learn(void);

/* A user that is in no table; the caller's to release. NULL: no memory. */
struct acl_user *acl_user_create(struct slice name);
/* These instead of those there are; no two of one name, each with its rules. Takes them, on success only. */
MUST_CHECK bool acl_swap(struct acl_user **fresh, uint32_t count, struct acl_changes *changes);
/* Whether the default user is just what the setting `password` says. */
bool acl_is_default_plain(void);

#endif
