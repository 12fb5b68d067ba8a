#include "proto/change.h"

#include "base/err.h"
#include "base/fault.h"
#include "tests/lib/unit.h"
#include "tests/unit/proto/change_random.h"

#include <stdio.h>
#include <stdlib.h>

/* Other readers of the stream rely on protobuf; ours must not be a dialect. */
static void equals_what_protobuf_c_packs(void)
{
    struct change_writer w;
    struct buf out = {0};

    change_random_seed();
    change_writer_init(&w);
    CU_ASSERT_EQUAL(buf_append_str(&out, "abc"), OK);
    for (int round = 0; round < 1500; round++) {
        Godwit__Change c;
        size_t before = out.len =
            rand_below(&change_random, 3); /* it may begin anywhere in a buf */

        CU_ASSERT_EQUAL_FATAL(change_random_make(&w, &out, &c), OK);
        CU_ASSERT_EQUAL(w.ops, c.n_ops);
        CU_ASSERT_EQUAL(change_bytes(&w), out.len - before);
        c.seq = rand_next(&change_random) >> rand_below(&change_random, 64);
        c.epoch = rand_below(&change_random, 3);
        c.time = rand_next(&change_random);
        change_seal(out.ptr + before, c.seq, c.epoch, c.time);

        size_t len = godwit__change__get_packed_size(&c);
        uint8_t *packed = malloc(len);

        CU_ASSERT_PTR_NOT_NULL_FATAL(packed);
        CU_ASSERT_EQUAL(godwit__change__pack(&c, packed), len);
        CU_ASSERT_EQUAL_FATAL(len, out.len - before);
        CU_ASSERT_EQUAL_FATAL(memcmp(packed, out.ptr + before, len), 0);
        free(packed);
        CU_ASSERT_EQUAL(change_seq(out.ptr + before), c.seq);
        CU_ASSERT_EQUAL(change_epoch(out.ptr + before), c.epoch);
        CU_ASSERT_EQUAL(change_time(out.ptr + before), c.time);
        CU_ASSERT_EQUAL(change_database(out.ptr + before), c.database);
    }
    change_writer_fini(&w);
    buf_fini(&out);
}

static void a_value_by_reference_spliced_in_equals_one_copied(void)
{
    struct slice key = SLICE("key"), small = SLICE("small");
    struct slice large = {change_random_noise, CHANGE_RANDOM_BYTES};
    struct buf out = {0}, whole = {0}, spliced = {0};
    struct change_writer w, v;
    size_t from = 0;

    change_random_seed();
    change_writer_init(&w);
    change_writer_init(&v);
    CU_ASSERT_EQUAL(change_begin(&w, &out, 7), OK);
    CU_ASSERT_EQUAL(change_begin(&v, &whole, 7), OK);
    for (int i = 0; i < 9; i++) { /* more than the first allocation of references holds */
        CU_ASSERT_EQUAL(change_put_string(&w, key, small, i), OK);
        CU_ASSERT_EQUAL(change_put_string(&v, key, small, i), OK);
        CU_ASSERT_EQUAL(change_put_string_ref(&w, key, large.len - (size_t)i, i, &large), OK);
        large.len -= (size_t)i;
        CU_ASSERT_EQUAL(change_put_string(&v, key, large, i), OK);
        large.len = CHANGE_RANDOM_BYTES;
    }
    CU_ASSERT_EQUAL_FATAL(w.refs_count, 9);
    CU_ASSERT_EQUAL(change_bytes(&w), whole.len);
    for (uint32_t i = 0; i < w.refs_count; i++) {
        CU_ASSERT_PTR_EQUAL(w.refs[i].ref, &large);
        CU_ASSERT_EQUAL(buf_append(&spliced, out.ptr + from, w.refs[i].at - from), OK);
        CU_ASSERT_EQUAL(buf_append(&spliced, large.ptr, w.refs[i].len), OK);
        from = w.refs[i].at;
    }
    CU_ASSERT_EQUAL(buf_append(&spliced, out.ptr + from, out.len - from), OK);
    CU_ASSERT(slice_is(buf_slice(&spliced), buf_slice(&whole)));
    change_writer_fini(&w);
    change_writer_fini(&v);
    buf_fini(&out);
    buf_fini(&whole);
    buf_fini(&spliced);
}

static void rewinds_to_a_mark_and_drops_what_is_open(void)
{
    struct slice key = SLICE("key");
    struct buf out = {0};
    struct change_writer w;

    change_writer_init(&w);
    CU_ASSERT_EQUAL(change_begin(&w, &out, 1), OK);
    CU_ASSERT_EQUAL(change_delete(&w, key, CHANGE_EXPIRED), OK);

    struct change_mark m = change_mark(&w);
    uint64_t bytes = change_bytes(&w);

    CU_ASSERT_EQUAL(change_put_string_ref(&w, key, 100, 0, &out), OK);
    CU_ASSERT_EQUAL(change_bytes(&w), out.len + 100);
    change_rewind(&w, m);
    CU_ASSERT_EQUAL(change_bytes(&w), bytes);
    CU_ASSERT_EQUAL(w.refs_count, 0);
    CU_ASSERT_EQUAL(change_delete_fields_begin(&w, key), OK);
    CU_ASSERT_EQUAL(change_delete_fields_name(&w, key), OK);
    change_drop_open(&w);
    CU_ASSERT_EQUAL(change_bytes(&w), bytes);
    CU_ASSERT_EQUAL(w.ops, 1);
    change_writer_fini(&w);
    buf_fini(&out);
}

/* Nothing may fail after the append, so a failing call must leave the bytes as they were. */
static void without_memory_nothing_is_written(void)
{
    change_random_seed();

    struct rand start = change_random;

    for (int nth = 1; nth < 200; nth++) {
        struct change_writer w;
        struct buf out = {0};
        Godwit__Change c;

        change_random = start;
        change_writer_init(&w);
        fault_fail_nth(nth);

        int err = change_random_make(&w, &out, &c);

        if (err == OK && !w.open) {
            err = change_put_string_ref(&w, SLICE("key"), 5, 0, &out);
        }
        (void)fault_off();
        if (err == OK) {
            CU_ASSERT(nth > 1);
        } else {
            CU_ASSERT_EQUAL(err, ERR_NOMEM);
            if (w.open) {
                change_drop_open(&w);
            }
        }
        /* Whatever was written is still a Change. */
        if (out.len >= CHANGE_HEAD_BYTES && w.refs_count == 0) {
            Godwit__Change *back = godwit__change__unpack(NULL, out.len, (const uint8_t *)out.ptr);

            CU_ASSERT_PTR_NOT_NULL_FATAL(back);
            CU_ASSERT_EQUAL(back->n_ops, w.ops);
            godwit__change__free_unpacked(back, NULL);
        }
        change_writer_fini(&w);
        buf_fini(&out);
        if (err == OK) {
            return;
        }
    }
    CU_FAIL("never succeeded");
}

static int check(struct slice bytes)
{
    Godwit__Change *c = godwit__change__unpack(NULL, bytes.len, (const uint8_t *)bytes.ptr);
    int err = c == NULL ? ERR_IO : change_check(c);

    if (c != NULL) {
        godwit__change__free_unpacked(c, NULL);
    }
    return err;
}

#define HEAD                                                                                       \
    "\x09\1\0\0\0\0\0\0\0"                                                                         \
    "\x11\1\0\0\0\0\0\0\0"                                                                         \
    "\x19\1\0\0\0\0\0\0\0"                                                                         \
    "\x25\1\0\0\0"

/* A reader that skipped an effect would show data that nobody ever wrote. */
static void refuses_what_it_does_not_know(void)
{
    static const struct {
        struct slice bytes;
        int err;
        const char *why;
    } rows[] = {
        {SLICE(HEAD), OK, "no operation"},
        {SLICE(HEAD "\x32\x05\x0a\x01k\x4a\x00"), ERR_CORRUPT, "flush with a key"},
        {SLICE(HEAD "\x32\x04\x0a\x00\x4a\x00"), OK, "flush"},
        {SLICE(HEAD "\x32\x03\x0a\x01k"), ERR_CORRUPT, "an operation without kind"},
        {SLICE(HEAD "\x32\x06\x0a\x01k\x82\x7d\x00"), ERR_CORRUPT, "a kind of later days"},
        {SLICE(HEAD "\x48\x01"), ERR_CORRUPT, "field 9 of Change"},
        {SLICE(HEAD "\x32\x07\x0a\x01k\x42\x02\x08\x02"), OK, "evicted"},
        {SLICE(HEAD "\x32\x07\x0a\x01k\x42\x02\x08\x03"), ERR_CORRUPT, "an unknown reason"},
        {SLICE(HEAD "\x32\x09\x0a\x01k\x42\x04\x08\x00\x10\x01"), ERR_CORRUPT, "field in delete"},
        {SLICE(HEAD "\x32\x09\x0a\x01k\x12\x04\x12\x00\x18\x01"), ERR_CORRUPT, "field in string"},
        {SLICE(HEAD "\x32\x0d\x0a\x01k\x22\x08\x1a\x06\x0a\x00\x12\x00\x20\x01"), ERR_CORRUPT,
         "field in a field"},
        {SLICE(HEAD "\x32\x12\x0a\x01k\x6a\x0d\x1a\x0b\x0a\x00\x11\0\0\0\0\0\0\xf8\x3f"), OK,
         "a score"},
        {SLICE(HEAD "\x32\x12\x0a\x01k\x6a\x0d\x1a\x0b\x0a\x00\x11\0\0\0\0\0\0\xf8\x7f"),
         ERR_CORRUPT, "a score that is no number"},
        {SLICE(HEAD "\x32\x07\x0a\x01k\x62\x02\x10\x01"), ERR_CORRUPT, "field in a removal"},
        {SLICE(HEAD "\x32\x0c\x0a\x01k\xf2\x01\x06\x18\x01\x22\x02[]"), OK, "a document"},
        {SLICE(HEAD "\x32\x0c\x0a\x01k\xf2\x01\x06\x18\x00\x22\x02[]"), ERR_CORRUPT,
         "a document without number"},
        {SLICE(HEAD "\x32\x11\x0a\x01k\xfa\x01\x0b\x08\x01\x12\x07\x08\x00\x12\x00\x22\x01"
                    "7"),
         OK, "a patch"},
        {SLICE(HEAD "\x32\x0e\x0a\x01k\xfa\x01\x08\x08\x01\x12\x04\x08\x00\x12\x00"), ERR_CORRUPT,
         "a patch that brings nothing"},
        {SLICE(HEAD "\x32\x10\x0a\x01k\xfa\x01\x0a\x08\x01\x12\x06\x08\x01\x12\x00\x18\x00"),
         ERR_CORRUPT, "removing nothing"},
        {SLICE(HEAD "\x32\x08\x0a\x01k\xfa\x01\x02\x08\x01"), ERR_CORRUPT, "no patches"},
        {SLICE(HEAD "\x38\x01"), ERR_CORRUPT, "part without parts"},
        {SLICE(HEAD "\x38\x03\x40\x02"), ERR_CORRUPT, "part 3 of 2"},
        {SLICE(HEAD "\x38\x02\x40\x02"), OK, "part 2 of 2"},
        {SLICE("\x09\1\0\0\0\0\0\0\0"), ERR_IO, "no epoch: protobuf-c refuses it"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int err = check(rows[i].bytes);

        if (err != rows[i].err) {
            fprintf(stderr, "%s: %d\n", rows[i].why, err);
        }
        CU_ASSERT_EQUAL(err, rows[i].err);
    }
}

const struct unit_test test_change[] = {
    UNIT(equals_what_protobuf_c_packs),
    UNIT(a_value_by_reference_spliced_in_equals_one_copied),
    UNIT(rewinds_to_a_mark_and_drops_what_is_open),
    UNIT(without_memory_nothing_is_written),
    UNIT(refuses_what_it_does_not_know),
    UNIT_END,
};
