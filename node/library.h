/* library.h - Redis Functions: the libraries that a database has.
 *
 * Libraries are data of the database, apart from its keys. All of them are one immutable set, found by an
 * atomic pointer and dropped after a grace period; whoever changes it holds all partitions, builds another
 * set as part of its section (node/section.h), and writes an operation of the change for it. Lua knows
 * nothing of that: each worker compiles a library when it first calls one of its functions
 * (node/script_library.c), and drops what is in no set any more.
 *
 * Invariants (tests/unit/node/test_library.c)
 *  F1  a set's function names differ, whatever their case; FCALL finds them in any case, as Redis does.
 *  F2  what a library registers is known with it: applying a change runs no code.
 *  F3  a library has an id of its own, also when it replaces one of its name.
 *
 * Threads  a set is borrowed until the turn's end; a library is counted by sets and by runs.
 * Limits   LIBRARIES_MAX libraries, LIBRARY_FUNCTIONS_MAX functions, LIBRARIES_BYTES_MAX of all together.
 */
#ifndef NODE_LIBRARY_H
#define NODE_LIBRARY_H

#include "base/annot.h"
#include "edge/backend.h"

#include <stdatomic.h>

enum {
    LIBRARIES_MAX = 1024,
    LIBRARY_FUNCTIONS_MAX = 16384, /* of all libraries */
    LIBRARIES_BYTES_MAX = 16 << 20,
    LIBRARY_ERROR_MAX = 512
};

struct library;

struct function {
    struct library *library;
    struct slice name;
    struct slice description; /* its ptr is NULL: none */
    uint32_t flags;           /* of node/script.h */
    _Atomic bool is_whole;    /* it touches keys that it does not declare */
};

struct library {
    uint64_t id;
    _Atomic uint32_t refs;
    struct slice name;
    struct slice code;
    size_t body_at; /* in the code, behind the line that names the library, at its newline */
    size_t bytes;   /* of this object */
    uint32_t count;
    struct function functions[];
};

/* Sorted by name; functions by name without case. */
struct libraries {
    uint32_t count, function_count;
    size_t bytes;       /* of the libraries and this object */
    struct library **v; /* counted */
    struct function **functions;
};

/* ---- Building ---- */

/* What a library's first line says. */
struct library_head {
    struct slice name;
    size_t body_at;
};

/* "#!lua name=x". False: error says why, as FUNCTION LOAD answers it. */
bool library_read_head(struct slice code, struct library_head *head, char error[LIBRARY_ERROR_MAX]);
bool library_is_name(struct slice name);

/* What code has registered, or a change says so. */
struct function_def {
    struct slice name;
    struct slice description;
    uint32_t flags;
};

/* Copies all of it; counted. NULL: no memory. */
struct library *library_create(struct slice code, const struct library_head *head,
                               const struct function_def *defs, uint32_t count);
struct library *library_get(struct library *l);
void library_put(struct library *l);

/* ---- Looking ---- */

/* As the command sees them: its section's, or the database's. NULL: there are none. */
const struct libraries *libraries_of(const struct cmd *c);
struct library *libraries_find(const struct libraries *s, struct slice name);
struct function *libraries_find_function(const struct libraries *s, struct slice name);
/* What FCALL locks. */
uint64_t library_mask(struct database *db, const struct request *r);
/* Whether a library with this id is there: for who keeps what belongs to it. */
bool libraries_have(const struct libraries *s, uint64_t id);

/* ---- Writing: in a section that holds all partitions ---- */

/* Adds it, instead of one of its name; takes it. */
void libraries_put(struct cmd *c, struct library *l);
void libraries_delete(struct cmd *c, struct slice name);
void libraries_flush(struct cmd *c);
/* Why the library may not be added (its name aside); else NULL. `without`: which would go for it. */
const char *libraries_refuse(const struct libraries *s, const struct library *l,
                             const struct library *without, char error[LIBRARY_ERROR_MAX]);

/* What would be, for who has to know beforehand whether all of it may. NULL: no memory. */
struct libraries *libraries_copy(const struct libraries *s);
struct libraries *libraries_with(const struct libraries *s, struct library *add);

/* An rcu_free_fn. */
bool libraries_free(void *set, size_t *budget);

#endif
