/* string_options.h - what SET, GETEX, MSETEX and DELEX have in common: conditions, moments, digests. */
#ifndef NODE_CMD_STRING_OPTIONS_H
#define NODE_CMD_STRING_OPTIONS_H

#include "edge/backend.h"
#include "node/type_string.h"

/* Those from IF_EQUAL on look at the value. */
enum condition { ALWAYS, IF_ABSENT, IF_PRESENT, IF_EQUAL, IF_NOT_EQUAL, IF_DIGEST, IF_NOT_DIGEST };

enum unit { UNIT_NONE, UNIT_S, UNIT_MS, UNIT_AT_S, UNIT_AT_MS };

struct string_options {
    enum condition condition;
    struct slice match; /* of IF_EQUAL and on */
    enum unit unit;
    struct slice expire; /* with a unit */
    bool keep_ttl, persist, get;
};

/* Which of them a command takes, beside a unit. */
enum { TAKES_CONDITION = 1, TAKES_MATCH = 2, TAKES_KEEPTTL = 4, TAKES_PERSIST = 8, TAKES_GET = 16 };

/* argv[from] and on; false when an error was answered. */
bool string_options_parse(struct cmd *c, uint32_t from, unsigned takes, struct string_options *o);
/* ALWAYS if it is no condition's word. */
enum condition string_options_condition(struct slice word);
/* The moment that an expiry in `unit` means; false when an error was answered. */
bool string_options_moment(struct cmd *c, struct slice text, enum unit unit, int64_t *at_ms);

enum verdict { MET, NOT_MET, ANSWERED };

/* Whether a write may happen of a key that holds this string. ANSWERED: with an error. */
enum verdict string_options_judge(struct cmd *c, enum condition condition, struct slice match,
                                  const struct string_value *v);
/* … and of one that is absent. */
bool string_options_allow_absent(enum condition condition);

enum { DIGEST_CHARS = 16 };

/* Answers XXH3-64 with seed 0, in lower-case hexadecimal, of a string of any length. */
void string_options_reply_digest(struct cmd *c, const struct string_value *v);

#endif
