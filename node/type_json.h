/* type_json.h - JSON documents: an immutable value (node/json_doc.h) with the number of its state, in the
 * entry up to ENTRY_INLINE_MAX, in a block of its own beyond, replaced whole at every change.
 *
 * So reading takes no lock and meets no half, undoing is dropping, and what it takes is known to the byte.
 * What a change costs grows with the document (a copy), what it tells the log does not.
 */
#ifndef NODE_TYPE_JSON_H
#define NODE_TYPE_JSON_H

#include "edge/backend.h"
#include "node/json_edit.h"
#include "node/keyspace.h"

/* FOUND: *doc is borrowed as keyspace_find()'s entry is. */
enum found json_find(struct cmd *c, struct key key, const char **doc);
/* Of an entry of this type. */
const char *json_of(const struct entry *e);
uint32_t json_number_of(const struct entry *e);

/* ---- Writing, in a section, of a key that is absent or a document ---- */

/* The key becomes this document; its expiry stays. text: JSON of the same, or empty. */
void json_put(struct cmd *c, struct key key, struct slice value, struct slice text);
/* The key's document changes by the plan, which was made of it. */
void json_change(struct cmd *c, struct key key, const struct json_plan *p);
/* The log's operations 30 to 39. */
struct Godwit__Op;
void json_apply(struct cmd *c, struct key key, const struct Godwit__Op *op);

#endif
