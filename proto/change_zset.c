/* change_zset.c - operations on sorted sets (13); DeleteMembers (12) is change_set.c's. */
#include "base/err.h"
#include "proto/change.h"
#include "proto/change.pb-c.h"
#include "proto/change_write.h"

#include <math.h>

int change_put_scores_begin(struct change_writer *w, struct slice key, bool replace,
                            int64_t expire_at_ms)
{
    char *p = change_op_open(w, key, LEN(13));

    if (p == NULL) {
        return ERR_NOMEM;
    }
    p = put_replace(p, replace, expire_at_ms);
    wrote(w, p);
    return OK;
}

int change_score(struct change_writer *w, struct slice member, double score)
{
    size_t size = bytes_size(member.len) + 1 + sizeof(score);
    uint64_t bits;
    char *p;

    assert(w->open);
    if (buf_reserve(w->out, FIELD_OVERHEAD + member.len + END_OVERHEAD) != OK) {
        return ERR_NOMEM;
    }
    memcpy(&bits, &score, sizeof(bits));
    p = w->out->ptr + w->out->len;
    *p++ = LEN(3);
    p = put_varint(p, size);
    p = put_bytes(p, LEN(1), member);
    *p++ = FIXED64(2);
    wrote(w, put_fixed64(p, bits));
    return OK;
}

void change_put_scores_end(struct change_writer *w)
{
    change_op_close(w);
}

static bool put_scores_fine(const Godwit__PutScores *m)
{
    if (m->base.n_unknown_fields != 0 || m->expire_at_ms < 0) {
        return false;
    }
    for (size_t i = 0; i < m->n_scores; i++) {
        if (m->scores[i]->base.n_unknown_fields != 0 || isnan(m->scores[i]->score)) {
            return false;
        }
    }
    return true;
}

bool change_zset_fine(const struct Godwit__Op *op)
{
    return put_scores_fine(op->put_scores);
}
