/* change.h - writes Changes (change.proto) by hand, a few nanoseconds an operation.
 *
 * The bytes equal what protobuf-c packs for the same message. Reading is protobuf-c's, followed by
 * change_check().
 *
 * Order      change_begin(); change_request_id() if there is one; operations; change_part() if it is
 *            one; change_seal() when the log has given it its place.
 * Ownership  the bytes are appended to the caller's buf; the writer owns its list of references:
 *            change_writer_fini().
 * Failure    ERR_NOMEM, and what was written before is as it was: all room is made before the first
 *            byte. Ending an operation cannot fail.
 */
#ifndef PROTO_CHANGE_H
#define PROTO_CHANGE_H

#include "base/annot.h"
#include "base/buf.h"
#include "base/slice.h"

struct Godwit__Change; /* generated: "proto/change.pb-c.h" */

/* Fields 1 to 4 take so many bytes at the start of every Change. */
enum { CHANGE_HEAD_BYTES = 32 };

/* A value left where it lies: `len` bytes belong at offset `at` of the buf, before what stands
 * there. References are in rising order of `at`; two never have the same. */
struct change_ref {
    size_t at;
    uint64_t len;
    void *ref; /* the caller's; whoever splices knows what it is */
};

struct change_writer {
    struct buf *out;
    size_t start; /* of the Change in out */
    struct change_ref *refs;
    uint32_t refs_count, refs_cap;
    uint64_t refs_bytes; /* of all refs */
    uint32_t ops;        /* operations so far */
    /* How a document's text is copied, which may be long; NULL: memcpy. Stays over change_begin(). */
    void (*copy)(char *to, const char *from, size_t len);
    /* private */
    size_t op_at, body_at; /* of the operation that is open */
    bool open;
};

static inline void change_writer_init(struct change_writer *w)
{
    *w = (struct change_writer){0};
}

void change_writer_fini(struct change_writer *w);

/* Begins a Change behind what is in out; drops the references of the one before. */
MUST_CHECK int change_begin(struct change_writer *w, struct buf *out, uint32_t database);
/* Directly after change_begin(). */
MUST_CHECK int change_request_id(struct change_writer *w, struct slice id);
/* After the last operation: this is part `part` of `parts`. */
MUST_CHECK int change_part(struct change_writer *w, uint32_t part, uint32_t parts);

/* Length of the Change so far, referred-to values included. */
static inline uint64_t change_bytes(const struct change_writer *w)
{
    return w->out->len - w->start + w->refs_bytes;
}

/* Takes back all operations since a mark, references too. Not while one is open. */
struct change_mark {
    size_t len;
    uint64_t refs_bytes;
    uint32_t refs_count, ops;
};
struct change_mark change_mark(const struct change_writer *w);
void change_rewind(struct change_writer *w, struct change_mark mark);

/* expire_at_ms 0: never. */
MUST_CHECK int change_put_string(struct change_writer *w, struct slice key, struct slice value,
                                 int64_t expire_at_ms);
/* As change_put_string(), but the value's bytes are not copied: a struct change_ref stands for
 * them, and they are spliced in by whoever sends or stores the Change. value_len > 0. */
MUST_CHECK int change_put_string_ref(struct change_writer *w, struct slice key, uint64_t value_len,
                                     int64_t expire_at_ms, void *ref);
MUST_CHECK int change_put_range(struct change_writer *w, struct slice key, uint64_t offset,
                                struct slice bytes);
/* at_ms 0: persists. */
MUST_CHECK int change_expire_at(struct change_writer *w, struct slice key, int64_t at_ms);

enum change_reason { CHANGE_COMMAND, CHANGE_EXPIRED, CHANGE_EVICTED };
MUST_CHECK int change_delete(struct change_writer *w, struct slice key, enum change_reason reason);
MUST_CHECK int change_flush(struct change_writer *w);

/* Operations on several fields: begin, each of them, end. In between, change_drop_open() takes the
 * whole operation back; nothing else may be called. expire_at_ms is the key's, with replace only. */
MUST_CHECK int change_put_fields_begin(struct change_writer *w, struct slice key, bool replace,
                                       int64_t expire_at_ms);
MUST_CHECK int change_field(struct change_writer *w, struct slice name, struct slice value,
                            int64_t expire_at_ms);
void change_put_fields_end(struct change_writer *w);
/* All three, of one field that does not expire, in one step. */
MUST_CHECK int change_put_field(struct change_writer *w, struct slice key, struct slice name,
                                struct slice value);

MUST_CHECK int change_delete_fields_begin(struct change_writer *w, struct slice key);
MUST_CHECK int change_delete_fields_name(struct change_writer *w, struct slice name);
void change_delete_fields_end(struct change_writer *w);

MUST_CHECK int change_expire_fields_begin(struct change_writer *w, struct slice key, int64_t at_ms);
MUST_CHECK int change_expire_fields_name(struct change_writer *w, struct slice name);
void change_expire_fields_end(struct change_writer *w);

/* Streams (proto/change_stream.c). parts: names and values in turn, n of both together. */
MUST_CHECK int change_stream_append(struct change_writer *w, struct slice key, uint64_t ms,
                                    uint64_t seq, const struct slice *parts, size_t n);
MUST_CHECK int change_stream_create(struct change_writer *w, struct slice key, bool replace,
                                    int64_t expire_at_ms);
MUST_CHECK int change_stream_trim(struct change_writer *w, struct slice key, uint64_t ms,
                                  uint64_t seq);
struct change_stream_meta {
    uint64_t last_ms, last_seq, deleted_ms, deleted_seq, entries_added;
};
MUST_CHECK int change_stream_meta(struct change_writer *w, struct slice key,
                                  const struct change_stream_meta *meta);
MUST_CHECK int change_stream_group(struct change_writer *w, struct slice key, struct slice group,
                                   uint64_t last_ms, uint64_t last_seq, int64_t entries_read);
MUST_CHECK int change_stream_delete_group(struct change_writer *w, struct slice key,
                                          struct slice group);
MUST_CHECK int change_stream_consumer(struct change_writer *w, struct slice key, struct slice group,
                                      struct slice consumer, int64_t seen_ms, int64_t active_ms);
MUST_CHECK int change_stream_delete_consumer(struct change_writer *w, struct slice key,
                                             struct slice group, struct slice consumer);
/* On several ids: begin, each of them, end; change_drop_open() as below. */
MUST_CHECK int change_stream_remove_begin(struct change_writer *w, struct slice key);
MUST_CHECK int change_stream_remove_id(struct change_writer *w, uint64_t ms, uint64_t seq);
MUST_CHECK int change_stream_acknowledge_begin(struct change_writer *w, struct slice key,
                                               struct slice group);
MUST_CHECK int change_stream_acknowledge_id(struct change_writer *w, uint64_t ms, uint64_t seq);
MUST_CHECK int change_stream_pending_begin(struct change_writer *w, struct slice key,
                                           struct slice group, struct slice consumer);
MUST_CHECK int change_stream_delivery(struct change_writer *w, uint64_t ms, uint64_t seq,
                                      int64_t time_ms, uint64_t count);
void change_stream_end(struct change_writer *w);

/* Lists (change_list.c); number is the list's before. */
MUST_CHECK int change_push_begin(struct change_writer *w, struct slice key, bool replace,
                                 int64_t expire_at_ms, bool head, uint32_t number);
MUST_CHECK int change_push_value(struct change_writer *w, struct slice value);
void change_push_end(struct change_writer *w);
/* All three, of one value, in one step; the same for one range to remove. */
MUST_CHECK int change_push_one(struct change_writer *w, struct slice key, bool head,
                               uint32_t number, struct slice value);
MUST_CHECK int change_remove_range(struct change_writer *w, struct slice key, uint32_t number,
                                   uint64_t index, uint64_t count);
MUST_CHECK int change_remove_ranges_begin(struct change_writer *w, struct slice key,
                                          uint32_t number);
MUST_CHECK int change_remove_ranges_add(struct change_writer *w, uint64_t index, uint64_t count);
void change_remove_ranges_end(struct change_writer *w);
MUST_CHECK int change_set_element(struct change_writer *w, struct slice key, uint64_t index,
                                  struct slice value, uint32_t number);
MUST_CHECK int change_insert_element(struct change_writer *w, struct slice key, uint64_t index,
                                     struct slice value, uint32_t number);
/* The same on the members of a set; deleting also of a sorted set. */
MUST_CHECK int change_put_members_begin(struct change_writer *w, struct slice key, bool replace,
                                        int64_t expire_at_ms);
MUST_CHECK int change_member(struct change_writer *w, struct slice member);
void change_put_members_end(struct change_writer *w);

MUST_CHECK int change_delete_members_begin(struct change_writer *w, struct slice key);
MUST_CHECK int change_delete_members_member(struct change_writer *w, struct slice member);
void change_delete_members_end(struct change_writer *w);
/* Sorted sets (change_zset.c): no score is NaN. */
MUST_CHECK int change_put_scores_begin(struct change_writer *w, struct slice key, bool replace,
                                       int64_t expire_at_ms);
MUST_CHECK int change_score(struct change_writer *w, struct slice member, double score);
void change_put_scores_end(struct change_writer *w);
/* JSON documents (change_json.c); patching: begin, each patch, end. */
MUST_CHECK int change_put_json(struct change_writer *w, struct slice key, bool replace,
                               int64_t expire_at_ms, uint32_t number, struct slice json);
enum change_json_kind {
    CHANGE_JSON_SET,
    CHANGE_JSON_REMOVE,
    CHANGE_JSON_INSERT,
    CHANGE_JSON_APPEND,
    CHANGE_JSON_MERGE
};
MUST_CHECK int change_patch_json_begin(struct change_writer *w, struct slice key, uint32_t number);
/* count for REMOVE alone, json for all others. */
MUST_CHECK int change_json_patch(struct change_writer *w, enum change_json_kind kind,
                                 struct slice pointer, uint32_t count, struct slice json);
void change_patch_json_end(struct change_writer *w);

/* Libraries of functions (change_library.c): a description whose ptr is NULL is none. A beginning that fails
 * leaves nothing open. */
MUST_CHECK int change_put_library_begin(struct change_writer *w, struct slice name,
                                        struct slice code);
MUST_CHECK int change_put_library_function(struct change_writer *w, struct slice name,
                                           struct slice description, uint32_t flags);
void change_put_library_end(struct change_writer *w);
MUST_CHECK int change_delete_library(struct change_writer *w, struct slice name);
MUST_CHECK int change_flush_libraries(struct change_writer *w);

void change_drop_open(struct change_writer *w);

/* `bytes` is a Change's first byte: gives it its place, when the append has found it. */
void change_seal(char *bytes, uint64_t seq, uint64_t epoch, uint64_t time);
/* Read from a sealed Change without decoding it. `bytes` has CHANGE_HEAD_BYTES at least. */
uint64_t change_seq(const char *bytes);
uint64_t change_epoch(const char *bytes);
uint64_t change_time(const char *bytes);
uint32_t change_database(const char *bytes);

/* ERR_CORRUPT if a field is unknown at any level, an operation has no kind, or a number is outside
 * its range: such a Change must not be applied, not even in part. */
MUST_CHECK int change_check(const struct Godwit__Change *change);

#endif
