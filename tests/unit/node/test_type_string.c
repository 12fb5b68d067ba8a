/* Strings through sections: every state that readers see, that an abort leaves, and that a replica makes
 * of the log, against a naive model. */
#include "node/type_string.h"

#include "base/fault.h"
#include "base/rand.h"
#include "base/rcu.h"
#include "node/blocks.h"
#include "node/keyspace.h"
#include "node/type.h"
#include "proto/change.pb-c.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { KEYS = 4, LEN_MAX = 400 << 10, NEVER = 0 };

struct model {
    bool there;
    char *bytes; /* owned; LEN_MAX */
    size_t len;
    int64_t expire_at_ms;
};

static struct bench b;
static struct model now[KEYS];     /* what the section sees */
static struct model before[KEYS];  /* what its abort must leave */
static struct model replica[KEYS]; /* what the log says */
static uint64_t next_seq;

static struct key key(unsigned i)
{
    static const char *const names[KEYS] = {"a", "{a}b", "c", ""};

    return key_of(slice_of(names[i]));
}

static unsigned index_of(struct slice name)
{
    for (unsigned i = 0; i < KEYS; i++) {
        if (slice_is(key(i).name, name)) {
            return i;
        }
    }
    CU_FAIL_FATAL("a key that nobody wrote");
    return 0;
}

/* ---- Models ---- */

static void models_init(struct model *m)
{
    for (unsigned i = 0; i < KEYS; i++) {
        m[i] = (struct model){.bytes = malloc(LEN_MAX)};
    }
}

static void models_fini(struct model *m)
{
    for (unsigned i = 0; i < KEYS; i++) {
        free(m[i].bytes);
    }
}

static void model_copy(struct model *to, const struct model *from)
{
    to->there = from->there;
    to->len = from->len;
    to->expire_at_ms = from->expire_at_ms;
    memcpy(to->bytes, from->bytes, from->len);
}

static void models_copy(struct model *to, const struct model *from)
{
    for (unsigned i = 0; i < KEYS; i++) {
        model_copy(&to[i], &from[i]);
    }
}

static void model_put(struct model *m, struct slice s, int64_t expire_at_ms)
{
    m->there = true;
    m->len = s.len;
    m->expire_at_ms = expire_at_ms;
    if (s.len > 0) {
        memcpy(m->bytes, s.ptr, s.len);
    }
}

static void model_put_range(struct model *m, size_t offset, struct slice s)
{
    if (!m->there) {
        model_put(m, SLICE(""), NEVER);
    }
    if (offset > m->len) {
        memset(m->bytes + m->len, 0, offset - m->len);
    }
    memcpy(m->bytes + offset, s.ptr, s.len);
    m->len = offset + s.len > m->len ? offset + s.len : m->len;
}

static bool model_is(const struct model *m, const struct entry *e)
{
    struct string_value v;

    if (e == NULL || !m->there) {
        return (e == NULL) == !m->there;
    }
    string_of_entry(e, &v);
    if (v.len != m->len || entry_expire_at_ms(e) != m->expire_at_ms) {
        return false;
    }
    for (size_t at = 0; at < v.len;) {
        struct slice piece = string_chunk(&v, at);

        if (piece.len == 0 || memcmp(piece.ptr, m->bytes + at, piece.len) != 0) {
            return false;
        }
        at += piece.len;
    }
    return true;
}

static void check(struct cmd *c, const struct model *m)
{
    for (unsigned i = 0; i < KEYS; i++) {
        CU_ASSERT_TRUE(model_is(&m[i], keyspace_peek(c, key(i))));
    }
}

/* ---- The log, as a replica reads it ---- */

static void replay_op(const Godwit__Op *op)
{
    struct model *m = &replica[index_of((struct slice){(char *)op->key.data, op->key.len})];

    if (op->kind_case == GODWIT__OP__KIND_PUT_STRING) {
        const ProtobufCBinaryData *value = &op->put_string->value;

        model_put(m, (struct slice){(char *)value->data, value->len}, op->put_string->expire_at_ms);
    } else if (op->kind_case == GODWIT__OP__KIND_PUT_RANGE) {
        const ProtobufCBinaryData *bytes = &op->put_range->bytes;

        model_put_range(m, op->put_range->offset, (struct slice){(char *)bytes->data, bytes->len});
    } else if (op->kind_case == GODWIT__OP__KIND_EXPIRE_AT) {
        m->expire_at_ms = op->expire_at->at_ms;
    } else if (op->kind_case == GODWIT__OP__KIND_DELETE) {
        m->there = false;
    } else {
        CU_FAIL("an operation that strings do not have");
    }
}

static bool replay_piece(uint64_t seq, struct slice piece, bool last, void *arg)
{
    struct buf *buf = arg;

    (void)seq;
    CU_ASSERT_EQUAL_FATAL(buf_append_slice(buf, piece), 0);
    if (last) {
        Godwit__Change *change = godwit__change__unpack(NULL, buf->len, (const uint8_t *)buf->ptr);

        CU_ASSERT_PTR_NOT_NULL_FATAL(change);
        for (size_t i = 0; i < change->n_ops; i++) {
            replay_op(change->ops[i]);
        }
        godwit__change__free_unpacked(change, NULL);
        buf_clear(buf);
    }
    return true;
}

static void replay(void)
{
    struct buf buf = {0};

    next_seq = changelog_read(b.log, next_seq, replay_piece, &buf);
    CU_ASSERT_NOT_EQUAL_FATAL(next_seq, 0);
    buf_fini(&buf);
    for (unsigned i = 0; i < KEYS; i++) {
        CU_ASSERT_EQUAL(replica[i].there, now[i].there);
        CU_ASSERT_TRUE(!now[i].there || (replica[i].len == now[i].len &&
                                         replica[i].expire_at_ms == now[i].expire_at_ms &&
                                         memcmp(replica[i].bytes, now[i].bytes, now[i].len) == 0));
    }
}

/* ---- Set-up ---- */

static void start(void)
{
    bench_init(&b);
    models_init(now);
    models_init(before);
    models_init(replica);
    next_seq = 1;
}

static void stop(void)
{
    CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
    models_fini(now);
    models_fini(before);
    models_fini(replica);
    bench_fini(&b);
}

static void begin(void)
{
    models_copy(before, now);
    bench_begin(&b);
}

static void commit(void)
{
    CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
    check(&b.read, now);
    replay();
}

static void abort_section(void)
{
    bench_abort(&b);
    models_copy(now, before);
    check(&b.read, now);
}

/* ---- Steps, on section and model ---- */

static void put(unsigned i, struct slice s, int64_t expire_at_ms)
{
    string_put(&b.write, key(i), s, expire_at_ms);
    model_put(&now[i], s, expire_at_ms);
}

static void put_range(unsigned i, size_t offset, struct slice s)
{
    string_put_range(&b.write, key(i), offset, s);
    model_put_range(&now[i], offset, s);
}

static void delete_key(unsigned i)
{
    CU_ASSERT_EQUAL(keyspace_delete(&b.write, key(i)), now[i].there);
    now[i].there = false;
}

static char *junk(size_t len)
{
    char *p = malloc(len);

    for (size_t i = 0; i < len; i++) {
        p[i] = (char)(i * 7 + i / 300);
    }
    return p;
}

/* ---- Tests ---- */

static enum encoding encoding_of(unsigned i)
{
    return (enum encoding)keyspace_peek(&b.read, key(i))->encoding;
}

static void chooses_the_form(void)
{
    static const struct {
        struct slice text;
        enum encoding encoding;
        const char *word;
    } rows[] = {
        {SLICE("0"), ENC_INT, "int"},
        {SLICE("-9223372036854775808"), ENC_INT, "int"},
        {SLICE("9223372036854775807"), ENC_INT, "int"},
        {SLICE("9223372036854775808"), ENC_BYTES, "embstr"},
        {SLICE("01"), ENC_BYTES, "embstr"},
        {SLICE("+1"), ENC_BYTES, "embstr"},
        {SLICE("-0"), ENC_BYTES, "embstr"},
        {SLICE(" 1"), ENC_BYTES, "embstr"},
        {SLICE(""), ENC_BYTES, "embstr"},
        {SLICE("12345678901234567890123456789012345678901234"), ENC_BYTES, "embstr"},
        {SLICE("123456789012345678901234567890123456789012345"), ENC_BYTES, "raw"},
    };
    char *big = junk(ENTRY_INLINE_MAX + 1);

    start();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin();
        put(0, rows[i].text, NEVER);
        commit();
        CU_ASSERT_EQUAL(encoding_of(0), rows[i].encoding);
        CU_ASSERT_STRING_EQUAL(keyspace_encoding(keyspace_peek(&b.read, key(0))), rows[i].word);
    }
    begin();
    put(0, (struct slice){big, ENTRY_INLINE_MAX}, NEVER);
    put(1, (struct slice){big, ENTRY_INLINE_MAX + 1}, NEVER);
    commit();
    CU_ASSERT_EQUAL(encoding_of(0), ENC_BYTES);
    CU_ASSERT_EQUAL(encoding_of(1), ENC_TREE);
    begin();
    put_range(0, ENTRY_INLINE_MAX, SLICE("x"));
    put_range(2, ENTRY_INLINE_MAX, SLICE("x"));
    commit();
    CU_ASSERT_EQUAL(encoding_of(0), ENC_TREE);
    CU_ASSERT_EQUAL(encoding_of(2), ENC_TREE);
    stop();
    free(big);
}

/* A section that writes one value several times, whole and in part, is one step or none. */
static void several_changes_of_one_value(void)
{
    char *big = junk(300 << 10);
    struct slice whole = {big, 300 << 10};

    start();
    begin();
    put(0, whole, NEVER);
    commit();
    for (int round = 0; round < 2; round++) {
        begin();
        put_range(0, 5, SLICE("first"));
        put_range(0, 7, SLICE("second"));
        put_range(0, 299 << 10, SLICE("third"));
        check(&b.write, now);
        check(&b.read, before);
        if (round == 0) {
            abort_section();
        } else {
            commit();
        }
    }
    /* What the section itself put whole is logged by reference and changed behind that. */
    begin();
    put(0, whole, NEVER);
    put_range(0, 100, SLICE("and then in part"));
    put(1, whole, 5000000);
    delete_key(1);
    commit();
    begin();
    put_range(0, 3, SLICE("not this one"));
    put(0, SLICE("short"), NEVER);
    put_range(0, 200 << 10, SLICE("long again"));
    abort_section();
    begin();
    put_range(0, 3, SLICE("gone with the key"));
    delete_key(0);
    commit();
    rcu_drain();
    /* The log has kept what it refers to, though the store has freed it. */
    for (unsigned i = 0; i < KEYS; i++) {
        replica[i].there = false;
    }
    next_seq = 1;
    replay();
    stop();
    free(big);
}

/* Copies share, a new name and a new expiry take the value with them; a change then parts them. */
static void shares_what_is_copied(void)
{
    char *big = junk(300 << 10);

    start();
    begin();
    put(0, (struct slice){big, 300 << 10}, NEVER);
    commit();
    begin();
    keyspace_copy(&b.write, key(0), key(1));
    model_copy(&now[1], &now[0]);
    put_range(0, 1000, SLICE("only the first"));
    commit();
    begin();
    keyspace_rename(&b.write, key(1), key(2));
    model_copy(&now[2], &now[1]);
    now[1].there = false;
    put_range(2, 2000, SLICE("under its new name"));
    keyspace_expire_at(&b.write, key(2), 9000000);
    now[2].expire_at_ms = 9000000;
    put_range(2, 3000, SLICE("and with an end"));
    abort_section();
    begin();
    keyspace_expire_at(&b.write, key(1), 9000000);
    now[1].expire_at_ms = 9000000;
    put_range(1, 3000, SLICE("and with an end"));
    keyspace_copy(&b.write, key(1), key(3));
    model_copy(&now[3], &now[1]);
    commit();
    begin();
    delete_key(0);
    delete_key(3);
    commit();
    rcu_drain();
    check(&b.read, now);
    stop();
    free(big);
}

/* What a change of a few bytes costs in memory and in the log, whatever the length. */
static void a_small_change_is_small(void)
{
    char *big = junk(LEN_MAX);

    start();
    begin();
    put(0, (struct slice){big, LEN_MAX}, NEVER);
    commit();
    rcu_drain();
    int64_t used = database_used_exact(b.db);

    for (int i = 0; i < 20; i++) {
        begin();
        put_range(0, (size_t)i * 20000, SLICE("x"));
        commit();
    }
    CU_ASSERT_EQUAL(database_used_exact(b.db), used);
    CU_ASSERT(rcu_retired_bytes() < 20 * 8192);
    stop();
    free(big);
}

/* ---- Readers beside a writer ---- */

enum { WRITES = 600, SAME = 70 << 10 };

static _Atomic bool reading_ends;
static _Atomic uint64_t reads;

/* The value is one byte all over, whatever the writer does meanwhile; so is each part of it. */
static void *read_on(void *arg)
{
    struct bench mine;
    struct string_value v;

    bench_join(&mine, arg);
    while (!atomic_load_explicit(&reading_ends, memory_order_relaxed)) {
        const struct entry *e = keyspace_peek(&mine.read, key(0));
        char first;

        if (e == NULL) {
            return arg;
        }
        string_of_entry(e, &v);
        first = *string_chunk(&v, 0).ptr;
        for (size_t at = 0; at < SAME;) {
            struct slice piece = string_chunk(&v, at);

            for (size_t i = 0; i < piece.len; i += 97) {
                if (at + i < SAME && piece.ptr[i] != first) {
                    return arg;
                }
            }
            at += piece.len;
        }
        atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
        rcu_turn();
    }
    bench_leave(&mine);
    return NULL;
}

/* Blocks: what a reader has begun to read stays as it was until it is done. */
static void readers_see_one_state(void)
{
    static char same[SAME];
    struct rand r = {unit_seed()};
    pthread_t readers[2];
    void *failed;

    start();
    atomic_store(&reading_ends, false);
    bench_begin(&b);
    string_put(&b.write, key(0), (struct slice){same, SAME}, NEVER);
    CU_ASSERT_EQUAL_FATAL(bench_commit(&b), SECTION_COMMITTED);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&readers[i], NULL, read_on, &b), 0);
    }
    for (int i = 0; i < WRITES || (atomic_load(&reads) < 100 && i < 100 * WRITES); i++) {
        memset(same, i, SAME);
        bench_begin(&b);
        if (rand_below(&r, 8) == 0) {
            string_put(&b.write, key(0), (struct slice){same, SAME}, NEVER);
        } else {
            string_put_range(&b.write, key(0), 0, (struct slice){same, SAME});
        }
        string_put_range(&b.write, key(0), SAME + rand_below(&r, 100000), SLICE("beyond"));
        if (rand_below(&r, 4) == 0) {
            bench_abort(&b);
        } else {
            CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
        }
        rcu_turn();
    }
    atomic_store(&reading_ends, true);
    rcu_offline();
    for (int i = 0; i < 2; i++) {
        pthread_join(readers[i], &failed);
        CU_ASSERT_PTR_NULL(failed);
    }
    rcu_online();
    rcu_drain();
    stop();
}

/* ---- Chance ---- */

static size_t random_len(struct rand *r)
{
    static const size_t lens[] = {3, 30, 300, 5000, ENTRY_INLINE_MAX + 100, 100 << 10};

    return rand_below(r, lens[rand_below(r, 6)]);
}

static void random_step(struct rand *r, const char *bytes)
{
    unsigned i = (unsigned)rand_below(r, KEYS);
    unsigned j = (unsigned)rand_below(r, KEYS);
    struct slice s = {bytes + rand_below(r, 1000), random_len(r)};
    int64_t expire_at_ms = rand_below(r, 3) == 0 ? 50000000 + (int64_t)rand_below(r, 100) : NEVER;
    int64_t number = (int64_t)rand_next(r) >> rand_below(r, 64);
    char text[24];

    switch (rand_below(r, 9)) {
    case 0:
        put(i, s, expire_at_ms);
        break;
    case 1:
        string_put_int(&b.write, key(i), number, expire_at_ms);
        model_put(&now[i], (struct slice){text, buf_put_i64(text, number)}, expire_at_ms);
        break;
    case 2:
        if (now[i].there) {
            delete_key(i);
        }
        break;
    case 3:
        if (now[i].there && i != j) {
            keyspace_copy(&b.write, key(i), key(j));
            model_copy(&now[j], &now[i]);
        }
        break;
    case 4:
        if (now[i].there && i != j) {
            keyspace_rename(&b.write, key(i), key(j));
            model_copy(&now[j], &now[i]);
            now[i].there = false;
        }
        break;
    case 5:
        if (now[i].there) {
            keyspace_expire_at(&b.write, key(i), expire_at_ms);
            now[i].expire_at_ms = expire_at_ms;
        }
        break;
    default: {
        size_t offset =
            now[i].there ? rand_below(r, now[i].len + random_len(r) + 1) : random_len(r);

        if (s.len > 0 && offset + s.len <= LEN_MAX) {
            put_range(i, offset, s);
        }
    }
    }
}

/* Sections of a few steps; some are given up, in some an allocation fails. */
static void random_sections(void)
{
    char *bytes = junk((100 << 10) + 1000);
    struct rand r = {unit_seed()};

    start();
    for (int n = 0; n < 1500; n++) {
        bool give_up = rand_below(&r, 4) == 0;
        int fail_nth = rand_below(&r, 3) == 0 ? 1 + (int)rand_below(&r, 40) : 0;

        begin();
        fault_fail_nth(fail_nth);
        for (uint64_t steps = 1 + rand_below(&r, 4); steps > 0 && !section_has_failed(b.section);
             steps--) {
            random_step(&r, bytes);
        }
        if (give_up) {
            fault_off();
            abort_section();
            continue;
        }
        enum section_end end = bench_commit(&b);

        fault_off();
        CU_ASSERT(end == SECTION_COMMITTED || (end == SECTION_FAILED && fail_nth > 0));
        if (end == SECTION_FAILED) {
            models_copy(now, before);
        }
        check(&b.read, now);
        replay();
        if (n % 16 == 0) {
            CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
            rcu_turn();
        }
    }
    stop();
    free(bytes);
}

/* clang-format off */
const struct unit_test test_type_string[] = {
    UNIT(chooses_the_form),
    UNIT(several_changes_of_one_value),
    UNIT(shares_what_is_copied),
    UNIT(a_small_change_is_small),
    UNIT(readers_see_one_state),
    UNIT(random_sections),
    UNIT_END,
};
/* clang-format on */
