/* page.h - what SCAN, KEYS, HSCAN, SSCAN and ZSCAN share: their options, and the reply of one call. */
#ifndef NODE_CMD_PAGE_H
#define NODE_CMD_PAGE_H

#include "edge/backend.h"
#include "proto/glob.h"

/* Members of a collection that one call looks at, whatever COUNT says. */
enum { PAGE_MOST = 4096 };

/* Words that not all of them know. */
enum page_words { PAGE_NOVALUES = 1, PAGE_TYPES = 2 };

struct page {
    struct slice pattern; /* borrowed from argv */
    struct slice type;    /* likewise; ptr NULL: any */
    bool any;             /* the pattern matches all */
    bool names_only;
    bool with_type;
    uint64_t count;   /* how many to look at, as asked for */
    struct reply out; /* the values found */
    size_t values;    /* in out */
};

/* False when an error was answered. */
bool page_cursor(struct cmd *c, uint32_t index, uint64_t *out);
/* Reads the words from argv[from] on, and begins. False when an error was answered, and nothing is held. */
bool page_begin(struct cmd *c, uint32_t from, unsigned words, struct page *p);
void page_fini(struct page *p);

static inline uint64_t page_count(const struct page *p)
{
    return p->count < PAGE_MOST ? p->count : PAGE_MOST;
}

static inline bool page_wants(const struct page *p, struct slice name)
{
    return p->any || glob_match(p->pattern, name, false);
}

static inline void page_add(struct page *p, struct slice value)
{
    reply_bulk(&p->out, value);
    p->values++;
}

void page_reply_values(struct cmd *c, const struct page *p);
/* The cursor, and the values. */
void page_reply(struct cmd *c, uint64_t cursor, const struct page *p);
/* Of a key that is not there: Redis looks at the options only when there is something to scan. */
void page_reply_none(struct cmd *c);

#endif
