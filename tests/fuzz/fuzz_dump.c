/* fuzz_dump.c - what RESTORE reads: the input is a value without version and checksum, which are made
 * here so that everything gets past them. All that is read must be there, hold together, and come back
 * from what rdb_write_string() makes of it. */
#include "base/err.h"
#include "base/rcu.h"
#include "node/dump.h"
#include "node/json_doc.h"
#include "node/json_dump.h"
#include "node/lzf.h"
#include "node/stream_dump.h"
#include "node/type_hash.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

/* Touches every byte, for the sanitizer, and writes and reads the string again. */
static void check_string(struct slice s)
{
    struct rdb_memory memory = {0};
    struct buf written = {0};
    struct rdb_reader r;
    struct slice again;

    require(rdb_write_string(&written, s) == OK);
    r = (struct rdb_reader){.rest = buf_slice(&written), .memory = &memory};
    require(rdb_read_string(&r, &again) == OK);
    require(r.rest.len == 0 && slice_is(s, again));
    buf_fini(&written);
    rdb_memory_fini(&memory);
}

/* Written and read again it is the same document. */
static void check_json(const struct dump_value *v)
{
    struct rdb_memory memory = {0};
    struct buf written = {0};
    struct buf again = {0};

    require(json_slice(v->json.ptr).len == v->json.len);
    require(json_dump_write(v->json.ptr, &written) == OK);
    struct rdb_reader r = {.rest = buf_slice(&written), .memory = &memory};

    require(json_dump_read(&r, &again) == OK);
    require(r.rest.len == 0 && slice_is(buf_slice(&v->json), buf_slice(&again)));
    buf_fini(&again);
    buf_fini(&written);
    rdb_memory_fini(&memory);
}

/* Written and read again it is written the same. */
static void check_stream(const struct stream *st)
{
    struct rdb_memory memory = {0};
    struct buf first = {0};
    struct buf second = {0};
    struct stream *again = NULL;

    require(st != NULL && stream_dump_write(st, &first) == OK);
    struct rdb_reader r = {.rest = buf_slice(&first), .memory = &memory};

    require(stream_dump_read(&r, STREAM_DUMP_2, &again) == OK && r.rest.len == 0);
    require(stream_dump_write(again, &second) == OK);
    require(slice_is(buf_slice(&first), buf_slice(&second)));
    large_free_now(&again->large);
    buf_fini(&second);
    buf_fini(&first);
    rdb_memory_fini(&memory);
}

static void check_value(const struct dump_value *v)
{
    if (v->type == TYPE_STRING) {
        check_string(v->string);
        return;
    }
    if (v->type == TYPE_JSON) {
        check_json(v);
        return;
    }
    if (v->type == TYPE_STREAM) {
        check_stream(*v->stream);
        return;
    }
    require((v->type == TYPE_HASH || v->type == TYPE_LIST || v->type == TYPE_SET ||
             v->type == TYPE_ZSET) &&
            v->count > 0);
    for (size_t i = 0; i < v->count; i++) {
        check_string(v->fields[i].name);
        check_string(v->fields[i].value);
        if (v->type == TYPE_ZSET) {
            double score;

            memcpy(&score, &v->fields[i].expire_at_ms, sizeof(score));
            require(score == score); /* not a NaN */
        } else {
            require(v->fields[i].expire_at_ms >= 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char version[2] = {12, 0};
    struct buf payload = {0};
    struct dump_value v;
    uint64_t crc;

    if (!rcu_is_registered()) { /* a stream is freed behind readers */
        rcu_register();
    }
    require(buf_append(&payload, data, size) == OK);
    require(buf_append(&payload, version, sizeof(version)) == OK);
    crc = rdb_crc64(0, buf_slice(&payload));
    require(buf_append(&payload, &crc, sizeof(crc)) == OK);
    require(dump_is_sound(buf_slice(&payload)));
    if (dump_read(buf_slice(&payload), &v) == OK) {
        check_value(&v);
    }
    /* LZF expands at most 264 bytes from 3; numbers become at most 20 digits from 1 byte; a string that
     * does not fit the rest of a chunk begins another. */
    require(v.memory.bytes <= (uint64_t)size * (264 + 64) + 4096);
    dump_value_fini(&v);
    buf_fini(&payload);
    rcu_drain();
    return 0;
}
