/* The small form of a hash: one block, whose fields lie without lengths while they are alike. */
#include "node/hash_packed.h"

#include "base/rand.h"
#include "base/rcu.h"
#include "node/keyspace.h"
#include "node/type.h"
#include "node/type_hash.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

/* Written to `block`, and read again with nothing readable behind it. */
static struct slice written(char *block, size_t room, const struct hash_field *in, size_t n)
{
    struct slice s = {block, hash_packed_bytes(in, n)};
    struct hash_packed_walk w;
    struct hash_field f;

    CU_ASSERT_FATAL(s.len <= room);
    hash_packed_write(block, in, n);
    s = unit_guard(s);
    hash_packed_begin(s, &w);
    for (size_t i = 0; i < n; i++) {
        CU_ASSERT_TRUE_FATAL(hash_packed_next(&w, &f));
        CU_ASSERT_TRUE(slice_is(f.name, in[i].name));
        CU_ASSERT_TRUE(slice_is(f.value, in[i].value));
        CU_ASSERT_EQUAL(f.expire_at_ms, in[i].expire_at_ms);
    }
    CU_ASSERT_FALSE(hash_packed_next(&w, &f));
    return s;
}

static void keeps_the_order_of_first_setting(void)
{
    struct hash_field in[3] = {
        {SLICE("b"), SLICE("1"), 0}, {SLICE("a"), {NULL, 0}, 77}, {{NULL, 0}, SLICE("3"), 0}};
    char block[64];
    struct slice s = written(block, sizeof(block), in, 3);

    CU_ASSERT_EQUAL(hash_packed_earliest(s), 77);
    CU_ASSERT_EQUAL(hash_packed_count(s, 77), 2);
    CU_ASSERT_FALSE(hash_packed_is_dead(s, 1000));
}

/* Fields that are alike lie without lengths; what comes may be like them or not. */
enum { ALIKE_FIELDS = 9 };

static struct slice alike_name(uint64_t i)
{
    static const char *const names[ALIKE_FIELDS] = {"f0", "f1", "f2", "f3",  "f4",
                                                    "f5", "f6", "",   "long"};

    return slice_of(names[i]);
}

static struct slice alike_value(struct rand *r)
{
    static const char *const values[] = {"abc", "def", "ghi", "jkl", "", "x", "yz12"};
    bool is_odd = rand_below(r, 12) == 0;

    return slice_of(values[is_odd ? 4 + rand_below(r, 3) : rand_below(r, 4)]);
}

static bool holds(struct cmd *c, struct key key, const struct slice *want)
{
    struct hash h = {0};
    struct hash_field f;
    size_t there = 0;
    bool same = true;
    bool found = hash_open(c, key, &h) == FOUND;

    for (uint64_t i = 0; i < ALIKE_FIELDS; i++) {
        bool has = found && hash_get(&h, alike_name(i), &f);

        there += want[i].ptr != NULL;
        same = same && has == (want[i].ptr != NULL) && (!has || slice_is(f.value, want[i]));
    }
    same = same && (found ? hash_count(&h) == there : there == 0);
    if (found) {
        hash_close(&h);
    }
    return same;
}

static void alike_fields_follow_the_model(void)
{
    struct rand r = {unit_seed()};
    struct bench b;
    struct key key = key_of(SLICE("k"));
    struct slice want[ALIKE_FIELDS] = {{NULL, 0}};
    int forms[2] = {0};

    bench_init(&b);
    for (int i = 0; i < 4000; i++) {
        uint64_t k = rand_below(&r, rand_below(&r, 10) == 0 ? ALIKE_FIELDS : 7);
        uint64_t other = rand_below(&r, 7);

        bench_begin(&b);
        switch (rand_below(&r, 8)) {
        case 0:
            (void)hash_remove(&b.write, key, alike_name(k));
            want[k].ptr = NULL;
            break;
        case 1:
            (void)keyspace_delete(&b.write, key);
            memset(want, 0, sizeof(want));
            break;
        case 2:
            want[k] = alike_value(&r);
            want[other] = alike_value(&r);
            (void)hash_put_many(
                &b.write, key,
                (struct slice[]){alike_name(k), want[k], alike_name(other), want[other]}, 2, 0);
            break;
        default:
            want[k] = alike_value(&r);
            (void)hash_put(&b.write, key, alike_name(k), want[k], HASH_KEEP_TTL);
        }
        CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
        CU_ASSERT_TRUE_FATAL(holds(&b.read, key, want));
        const struct entry *e = keyspace_peek(&b.read, key);

        if (e != NULL && hash_packed_total(entry_payload(e)) > 2) {
            forms[entry_payload(e).ptr[0] != 0]++;
        }
        rcu_turn();
    }
    CU_ASSERT(forms[0] > 100);
    CU_ASSERT(forms[1] > 100);
    CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
    bench_fini(&b);
}

static void alike_fields_take_their_bytes_only(void)
{
    struct hash_field in[3] = {
        {SLICE("aa"), SLICE("1"), 0}, {SLICE("bb"), SLICE("2"), 0}, {SLICE("cc"), SLICE("3"), 0}};
    char block[32];

    CU_ASSERT_EQUAL(written(block, sizeof(block), in, 3).len, 3 + 2 + 3 * 3);
    in[1].expire_at_ms = 77;
    CU_ASSERT_EQUAL(hash_packed_bytes(in, 3), 19 + 3 * 5 + 8);
}

const struct unit_test test_hash_packed[] = {
    UNIT(keeps_the_order_of_first_setting),
    UNIT(alike_fields_follow_the_model),
    UNIT(alike_fields_take_their_bytes_only),
    UNIT_END,
};
