#include "node/cmd/string_job.h"

#include "base/err.h"
#include "base/mem.h"
#include "node/section.h"

struct job {
    struct string_making making;
    bool replies;   /* it has begun to */
    size_t replied; /* of the old value */
    struct slice range;
    size_t offset, written; /* of the range */
};

static void job_free(void *progress)
{
    struct job *j = progress;

    string_making_fini(&j->making);
    mem_free(j, sizeof(*j));
}

/* NULL: the section has failed. */
static struct job *job_of(struct cmd *c)
{
    if (c->progress == NULL) {
        c->progress = mem_zalloc(sizeof(struct job));
        c->progress_free = job_free;
        if (c->progress == NULL) {
            section_fail(c->section, SECTION_NOMEM);
            c->reply->failed = c->reply->failed || (c->def->flags & CMD_WRITE) == 0;
        }
    }
    return c->progress;
}

static size_t slice_of_len(size_t left)
{
    return left < STRING_SLICE ? left : STRING_SLICE;
}

bool string_job_make(struct cmd *c, struct slice value)
{
    if (LIKELY(value.len <= STRING_SLICE)) {
        return true;
    }
    struct job *j = job_of(c);

    if (j == NULL) {
        return false;
    }
    if (j->making.len < value.len) {
        size_t at = j->making.len;

        if (string_make(&j->making, (struct slice){value.ptr + at, slice_of_len(value.len - at)}) !=
            OK) {
            section_fail(c->section, SECTION_NOMEM);
            return false;
        }
        c->again = true;
        return false;
    }
    return true;
}

void string_job_put(struct cmd *c, struct key key, struct slice value, int64_t expire_at_ms)
{
    if (LIKELY(value.len <= STRING_SLICE)) {
        string_put(c, key, value, expire_at_ms);
    } else {
        string_put_made(c, key, &((struct job *)c->progress)->making, expire_at_ms);
    }
}

bool string_job_reply(struct cmd *c, const struct string_value *old)
{
    if (LIKELY(!string_is_long(old, old->len))) {
        string_reply(c->reply, old);
        return true;
    }
    struct job *j = job_of(c);
    struct slice piece;

    if (j == NULL) {
        return false;
    }
    if (!j->replies) {
        j->replies = true;
        reply_bulk_begin(c->reply, old->len);
    }
    for (size_t end = j->replied + slice_of_len(old->len - j->replied); j->replied < end;
         j->replied += piece.len) {
        piece = string_chunk(old, j->replied);
        piece.len = piece.len < end - j->replied ? piece.len : end - j->replied;
        reply_bulk_piece(c->reply, piece);
    }
    if (j->replied < old->len) {
        c->again = true;
        return false;
    }
    reply_bulk_end(c->reply);
    j->replies = false;
    j->replied = 0;
    return true;
}

static void put_range_slice(struct cmd *c)
{
    struct job *j = c->progress;
    struct slice piece = {j->range.ptr + j->written, slice_of_len(j->range.len - j->written)};

    string_put_range(c, c->key, j->offset + j->written, piece);
    j->written += piece.len;
    c->again = j->written < j->range.len;
}

void string_job_put_range(struct cmd *c, size_t offset, struct slice bytes)
{
    if (LIKELY(bytes.len <= STRING_SLICE)) {
        string_put_range(c, c->key, offset, bytes);
        return;
    }
    struct job *j = job_of(c);

    if (j != NULL) {
        j->offset = offset;
        j->range = bytes;
        c->go_on = put_range_slice;
        section_expect(c->section, bytes.len + bytes.len / 64);
        put_range_slice(c);
    }
}
