/* acl_round.h - what follows a change of users on every worker (A3 of edge/acl.h). Between cmd_acl.c and
 * cmd_acl_file.c. */
#ifndef EDGE_ACL_ROUND_H
#define EDGE_ACL_ROUND_H

#include "edge/acl.h"
#include "edge/backend.h"
#include "edge/client.h"

struct acl_round {
    struct client_round round;
    struct acl_changes changes; /* owned */
    int64_t count;
    bool is_count; /* it is the answer, not OK */
    bool is_asker_hit;
};

/* For the visits to look them up. */
void acl_changes_sort(struct acl_changes *changes);
void acl_round_visit(struct client_round *round, struct conn_set *set) ON_WORKER;

void acl_cmd_load(struct cmd *c);
void acl_cmd_save(struct cmd *c);

#endif
