/* log_check.h - promise 5, proved where it was given: what the change log said, applied to an empty database,
 * gives what the first database holds. For tests, and for who wants to know (check-log-at-exit).
 *
 *   log_check_start()    a thread of its own copies each change out of the ring as it comes
 *   log_check_finish()   nobody writes any more: applies the copies to another database and compares
 */
#ifndef NODE_LOG_CHECK_H
#define NODE_LOG_CHECK_H

#include "base/annot.h"

#include <stddef.h>

struct log_check;
struct node;

/* The copies take `max_bytes` at most; whatever is more ends the check, and is told. NULL: no memory. */
struct log_check *log_check_start(struct node *n, size_t max_bytes);

enum log_check_end {
    LOG_CHECK_SAME,
    LOG_CHECK_DIFFERS, /* logged, with the first keys */
    LOG_CHECK_LOST /* no memory, or the ring went round before it was copied: nothing is known */
};

/* On a registered thread that is no worker's, after the workers have stopped and before node_stop(). Frees it. */
enum log_check_end log_check_finish(struct log_check *k);

#endif
