/* A block of a stream alone: finding a place by id agrees with walking from the first entry. */
#include "base/err.h"
#include "base/rand.h"
#include "node/stream_block.h"
#include "tests/lib/unit.h"

enum { ENTRIES = 100, ROUNDS = 200 };

static uint32_t walk_to(const struct stream_block *b, struct stream_id id)
{
    struct stream_entry e;
    uint32_t at = stream_block_begin(b);

    while (at < b->used) {
        uint32_t next = stream_block_read(b, at, &e);

        if (stream_id_order(e.id, id) >= 0) {
            break;
        }
        at = next;
    }
    return at;
}

static struct stream_id after(struct stream_id id, struct rand *r, uint64_t spread)
{
    uint64_t ms = spread == 0 ? 0 : rand_below(r, spread);

    return ms == 0 ? (struct stream_id){id.ms, id.seq + 1 + rand_below(r, 3)}
                   : (struct stream_id){id.ms + ms, rand_below(r, 4)};
}

/* Entries of one millisecond, of a few, and far apart; ids below, of, between and behind them. */
static void seeking_agrees_with_walking(void)
{
    struct slice parts[2] = {SLICE("field"), SLICE("a value of some length")};
    struct rand r = {unit_seed()};

    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t spread = round % 3 == 0 ? 0 : round % 3 == 1 ? 2 : 1000;
        struct stream_id id = {1000 + rand_below(&r, 1000), rand_below(&r, 5)};
        struct stream_id ids[ENTRIES] = {id};
        uint32_t count = 1 + (uint32_t)rand_below(&r, ENTRIES);
        struct stream_block *b = stream_block_create(id, parts, 2, 0);

        CU_ASSERT_FATAL(b != NULL);
        for (uint32_t i = 1; i < count; i++) {
            ids[i] = after(ids[i - 1], &r, spread);
            CU_ASSERT_FATAL(stream_block_add(&b, ids[i], parts, 2) == OK);
        }
        for (uint32_t i = 0; i < count; i++) {
            struct stream_id near[] = {ids[i],
                                       {ids[i].ms, ids[i].seq + 1},
                                       {ids[i].ms + 1, 0},
                                       {ids[i].ms - 1, UINT64_MAX}};

            for (uint32_t k = 0; k < 4; k++) {
                CU_ASSERT_EQUAL_FATAL(stream_block_seek(b, near[k]), walk_to(b, near[k]));
            }
        }
        CU_ASSERT_EQUAL(stream_block_seek(b, STREAM_ID_MIN), stream_block_begin(b));
        CU_ASSERT_EQUAL(stream_block_seek(b, STREAM_ID_MAX), b->used);
        CU_ASSERT_EQUAL(stream_id_order(stream_block_last(b), ids[count - 1]), 0);
        stream_block_free(b);
    }
}

const struct unit_test test_stream_block[] = {UNIT(seeking_agrees_with_walking), UNIT_END};
