/* acl_rules.h - what one user may do, as Redis' ACL rules say it: made from rules, said again as rules.
 *
 * A root selector and up to LIMIT_ACL_SELECTORS more, each a set of commands, key patterns and channel
 * patterns; a command is allowed if one selector allows all of it (edge/acl.h). Commands are bits by
 * command id, containers and subcommands alike, so that asking is one load.
 *
 * Ownership  rules are built by one thread, then given to edge/acl.c, after which nobody writes to them.
 * Limits     LIMIT_ACL_*: passwords, selectors, patterns of a selector, bytes of all text.
 * Secrets    of passwords only SHA-256 is kept, as Redis shows it; the digest of a plain one is wiped.
 */
#ifndef EDGE_ACL_RULES_H
#define EDGE_ACL_RULES_H

#include "base/annot.h"
#include "base/buf.h"

#include <stdint.h>

enum {
    ACL_READ = 1, /* %R~ */
    ACL_WRITE = 2 /* %W~ */
};

enum { ACL_IDS = 1024, ACL_WORDS = ACL_IDS / 64, ACL_HASH_BYTES = 32 };

struct acl_text {
    char *ptr; /* owned */
    size_t len;
    uint16_t tag; /* of a key pattern: ACL_READ | ACL_WRITE; of a first argument: the command's id */
};

struct acl_list {
    struct acl_text *items; /* owned */
    uint32_t count, cap;
};

struct acl_selector {
    bool all_keys, all_channels, all_commands;
    bool adds_future; /* it began with +@all: what is added to the table later is allowed too */
    uint64_t allowed[ACL_WORDS];
    struct acl_list keys, channels;
    struct acl_list firsts; /* +select|0: one argument of a command without subcommands */
    struct buf commands;    /* "-@all" or "+@all" is not in it: "+@read -get" */
};

struct acl_rules {
    bool is_on, is_nopass, skips_sanitizing;
    uint32_t password_count, selector_count;
    size_t bytes;                                                     /* of text */
    unsigned char (*passwords)[ACL_HASH_BYTES]; /* owned, LIMIT_ACL_PASSWORDS of them, or NULL */
    struct acl_selector **selectors;            /* owned; the root is the first */
};

enum acl_fault {
    ACL_FINE,
    ACL_UNKNOWN,
    ACL_SYNTAX,
    ACL_AFTER_ALL_KEYS,
    ACL_AFTER_ALL_CHANNELS,
    ACL_NO_SUCH_PASSWORD,
    ACL_BAD_HASH,
    ACL_FIRST_OF_SUB,
    ACL_TOO_MUCH,
    ACL_NO_MEMORY,
    ACL_UNMATCHED /* of acl_rules_apply_all() only */
};

/* In Redis' words. */
const char *acl_fault_text(enum acl_fault fault);

/* A new user's: off, nothing allowed. NULL: no memory. */
struct acl_rules *acl_rules_create(void);
struct acl_rules *acl_rules_copy(const struct acl_rules *r);
/* NULL is fine. */
void acl_rules_destroy(struct acl_rules *r);

/* One rule; "" is none. What is wrong changes nothing, but for a selector of which a part is wrong. */
MUST_CHECK enum acl_fault acl_rules_apply(struct acl_rules *r, struct slice rule);
/* As SETUSER has them: what begins with "(" goes on up to what ends with ")". The culprit is appended;
 * what came before it is applied. */
MUST_CHECK enum acl_fault acl_rules_apply_all(struct acl_rules *r, const struct slice *argv,
                                             uint32_t argc, struct buf *culprit);

/* Whether there is nothing to ask. */
bool acl_rules_may_all(const struct acl_rules *r);
static inline const struct acl_selector *acl_rules_root(const struct acl_rules *r)
{
    return r->selectors[0];
}
static inline bool acl_selector_has(const struct acl_selector *s, uint16_t id)
{
    return (s->allowed[id / 64] >> (id % 64) & 1) != 0;
}
/* Constant time a password. */
bool acl_rules_has_password(const struct acl_rules *r, const unsigned char hash[ACL_HASH_BYTES]);
/* This password alone, or, if NULL, nopass. */
MUST_CHECK enum acl_fault acl_rules_only_password(struct acl_rules *r, const unsigned char *hash);
void acl_hash(struct slice password, unsigned char out[ACL_HASH_BYTES]);

/* What ACL LIST says behind the name. `to_read` has selectors' words quoted where they must be, so that
 * acl_rules_apply_all() of the words gives the same rules. */
MUST_CHECK int acl_rules_describe(const struct acl_rules *r, bool to_read, struct buf *out);
MUST_CHECK int acl_rules_put_hash(const unsigned char hash[ACL_HASH_BYTES], struct buf *out);
/* "+@all -get", "~a %R~b", "&c": of ACL GETUSER. */
MUST_CHECK int acl_selector_put_commands(const struct acl_selector *s, struct buf *out);
MUST_CHECK int acl_selector_put_keys(const struct acl_selector *s, struct buf *out);
MUST_CHECK int acl_selector_put_channels(const struct acl_selector *s, struct buf *out);

/* Whether a name or pattern holds blanks or NULs, which Redis allows in neither. */
bool acl_has_blanks(struct slice s);
/* In any case. */
bool acl_same_word(struct slice a, struct slice b);

/* The next word of a line as redis-cli reads it: "a \"b\" \x00", 'c'; false at its end, or (*bad) if a
 * quote is not closed. The word is appended to `out`. */
bool acl_next_word(struct slice *rest, struct buf *out, enum acl_fault *bad);
/* Appends it so that acl_next_word() gives it back. */
MUST_CHECK int acl_quote_word(struct slice word, struct buf *out);

#endif
