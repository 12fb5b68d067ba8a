/* string_job.h - writes of long strings in slices, under the locks of their section.
 *
 * What is here answers false when the turn's part is done (c->again is set) or the section has failed: the
 * handler returns at once and is called from the start, finding everything as it was, and each step that is
 * done answers true at once. The steps come in the order in which they stand here.
 */
#ifndef NODE_CMD_STRING_JOB_H
#define NODE_CMD_STRING_JOB_H

#include "edge/backend.h"
#include "node/type_string.h"

/* Makes what string_job_put() will put. */
bool string_job_make(struct cmd *c, struct slice value);
/* The value that the key had becomes the reply. Also in a read under locks (MGET). */
bool string_job_reply(struct cmd *c, const struct string_value *old);
/* As string_put(), of what was made if it is long. */
void string_job_put(struct cmd *c, struct key key, struct slice value, int64_t expire_at_ms);

/* As string_put_range() to c->key; the handler is not called again. The last that it does. */
void string_job_put_range(struct cmd *c, size_t offset, struct slice bytes);

#endif
