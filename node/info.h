/* info.h - INFO: what the server tells of itself, in Redis' sections and fields.
 *
 * Threads  info_about is filled in before the first worker starts; all else any thread.
 */
#ifndef NODE_INFO_H
#define NODE_INFO_H

#include "base/annot.h"
#include "base/buf.h"
#include "base/slice.h"

#include <stdint.h>

struct cmd;

/* What only the program knows. */
struct info_about {
    uint16_t tcp_port;
    const char *executable;  /* path; may be NULL */
    const char *config_file; /* likewise */
    int64_t started_at_ms;   /* wall clock */
    char run_id[41];
};
extern struct info_about info_about;

/* Fills in run id, executable and the moment of the start. */
void info_start(void);

/* Appends the sections that are asked for: none means the usual ones; "all", "default", "everything"
 * and names, in any case. Unknown names give nothing. */
MUST_CHECK int info_write(struct cmd *c, const struct slice *sections, uint32_t count,
                          struct buf *out);
/* CONFIG RESETSTAT, for what this file counts from. */
void info_reset(struct cmd *c);

/* 1536 as "1.50K". */
MUST_CHECK int info_human(struct buf *out, uint64_t bytes);

/* For MEMORY STATS and DOCTOR too. */
struct info_memory {
    uint64_t used, peak, rss, allocated, active, resident, dataset, startup;
};
void info_memory(struct cmd *c, struct info_memory *out);

#endif
