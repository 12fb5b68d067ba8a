/* Both forms of a hash side by side against a naive model, under random operations, sections given up,
 * allocations that fail, and a clock that the test sets. A second model sees only the change log: whoever
 * applies it must end with the same fields. */
#include "node/type_hash.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "node/hash_large.h"
#include "node/hash_packed.h"
#include "node/keyspace.h"
#include "node/options.h"
#include "node/type.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/hash_bench.h"

#include "proto/change.pb-c.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAMES = 400, SMALL = 60, VALUE_MAX = 24 };

/* What a hash should hold: by the number in the field's name. */
struct model {
    struct {
        bool there;
        char value[VALUE_MAX];
        int64_t expire_at_ms;
    } f[NAMES];
};

static struct slice name_of(int i, char out[8])
{
    return (struct slice){out, (size_t)snprintf(out, 8, "n%d", i)};
}

static int number_of(struct slice name)
{
    char text[8] = {0};

    memcpy(text, name.ptr + 1, name.len - 1);
    return atoi(text);
}

static bool is_live(const struct model *m, int i, int64_t now_ms)
{
    return m->f[i].there && (m->f[i].expire_at_ms == 0 || m->f[i].expire_at_ms > now_ms);
}

static size_t live_count(const struct model *m, int64_t now_ms)
{
    size_t n = 0;

    for (int i = 0; i < NAMES; i++) {
        n += is_live(m, i, now_ms);
    }
    return n;
}

/* ---- Comparing ---- */

struct comparison {
    const struct model *m;
    int64_t now_ms;
    size_t seen;
    bool same;
};

static void compare_field(const struct hash_field *f, void *arg)
{
    struct comparison *k = arg;
    int i = number_of(f->name);

    k->seen++;
    k->same = k->same && is_live(k->m, i, k->now_ms) &&
              slice_is(f->value, slice_of(k->m->f[i].value)) &&
              f->expire_at_ms == k->m->f[i].expire_at_ms;
}

static bool gets_same(const struct hash *h, const struct model *m, int i, int64_t now_ms)
{
    struct hash_field f;
    char name[8];
    bool found = hash_get(h, name_of(i, name), &f);

    return found == is_live(m, i, now_ms) && (!found || slice_is(f.value, slice_of(m->f[i].value)));
}

static bool is_same(struct cmd *c, struct key key, const struct model *m)
{
    struct hash h;
    int64_t now_ms = bench_now_ms();
    size_t count = live_count(m, now_ms);
    enum found found = hash_open(c, key, &h);

    if (found != FOUND) {
        return count == 0;
    }
    struct comparison each = {m, now_ms, 0, true};
    struct comparison scan = {m, now_ms, 0, true};
    uint64_t cursor = 0;

    hash_each(&h, compare_field, &each);
    do {
        cursor = hash_scan(&h, cursor, 7, compare_field, &scan);
    } while (cursor != 0);
    bool same = each.same && scan.same && each.seen == count && scan.seen == count &&
                hash_count(&h) == count;

    for (int i = 0; same && i < NAMES; i++) {
        same = gets_same(&h, m, i, now_ms);
    }
    hash_close(&h);
    return same;
}

/* ---- The log, applied to a model of its own ---- */

struct replica {
    struct model m[2]; /* keys "p" and "l" */
    uint64_t next;
    struct buf bytes;
    bool bad;
};

static void apply_put(struct model *m, const Godwit__PutFields *p)
{
    if (p->replace) {
        memset(m, 0, sizeof(*m));
    }
    for (size_t i = 0; i < p->n_fields; i++) {
        const Godwit__Field *f = p->fields[i];
        int n = number_of((struct slice){(char *)f->name.data, f->name.len});

        m->f[n].there = true;
        memcpy(m->f[n].value, f->value.data, f->value.len);
        m->f[n].value[f->value.len] = '\0';
        m->f[n].expire_at_ms = f->expire_at_ms;
    }
}

static void apply_names(struct model *m, const ProtobufCBinaryData *names, size_t n, bool expire,
                        int64_t at_ms, bool *bad)
{
    for (size_t i = 0; i < n; i++) {
        int k = number_of((struct slice){(char *)names[i].data, names[i].len});

        *bad = *bad || !m->f[k].there;
        if (expire) {
            m->f[k].expire_at_ms = at_ms;
        } else {
            m->f[k].there = false;
        }
    }
}

static void apply_op(struct replica *r, const Godwit__Op *op)
{
    struct model *m = &r->m[op->key.data[0] == 'l'];

    if (op->kind_case == GODWIT__OP__KIND_PUT_FIELDS) {
        apply_put(m, op->put_fields);
    } else if (op->kind_case == GODWIT__OP__KIND_DELETE_FIELDS) {
        apply_names(m, op->delete_fields->names, op->delete_fields->n_names, false, 0, &r->bad);
    } else if (op->kind_case == GODWIT__OP__KIND_EXPIRE_FIELDS) {
        apply_names(m, op->expire_fields->names, op->expire_fields->n_names, true,
                    op->expire_fields->at_ms, &r->bad);
    } else if (op->kind_case == GODWIT__OP__KIND_DELETE) {
        memset(m, 0, sizeof(*m));
    } else {
        r->bad = true;
    }
}

static bool on_piece(uint64_t seq, struct slice piece, bool last, void *arg)
{
    struct replica *r = arg;

    (void)seq;
    CU_ASSERT_EQUAL_FATAL(buf_append_slice(&r->bytes, piece), 0);
    if (last) {
        Godwit__Change *c =
            godwit__change__unpack(NULL, r->bytes.len, (const uint8_t *)r->bytes.ptr);

        CU_ASSERT_PTR_NOT_NULL_FATAL(c);
        for (size_t i = 0; i < c->n_ops; i++) {
            apply_op(r, c->ops[i]);
        }
        godwit__change__free_unpacked(c, NULL);
        buf_clear(&r->bytes);
    }
    return true;
}

/* ---- Random operations ---- */

struct play {
    struct bench b;
    struct rand r;
    struct key key[2];
    struct model m[2];    /* as committed */
    struct model next[2]; /* as the section sees it */
    struct replica replica;
    uint64_t steps;
};

static int64_t some_expiry(struct play *p)
{
    return rand_below(&p->r, 3) != 0 ? 0 : bench_now_ms() + 1 + (int64_t)rand_below(&p->r, 60);
}

static int some_name(struct play *p, int which)
{
    return (int)rand_below(&p->r, which == 0 ? SMALL : NAMES);
}

static void play_put(struct play *p, int which)
{
    struct slice pairs[16];
    char names[8][8];
    char values[8][VALUE_MAX];
    size_t n = 1 + rand_below(&p->r, 8);
    bool keep = rand_below(&p->r, 4) == 0;
    int64_t at_ms = keep ? HASH_KEEP_TTL : some_expiry(p);
    size_t added = 0;
    struct model *m = &p->next[which];

    for (size_t i = 0; i < n; i++) {
        int k = some_name(p, which);
        bool live = is_live(m, k, bench_now_ms());

        pairs[2 * i] = name_of(k, names[i]);
        pairs[2 * i + 1] = (struct slice){
            values[i], (size_t)snprintf(values[i], VALUE_MAX, "v%lu", (unsigned long)p->steps++)};
        added += !live;
        memcpy(m->f[k].value, values[i], VALUE_MAX);
        m->f[k].expire_at_ms = !keep ? at_ms : live ? m->f[k].expire_at_ms : 0;
        m->f[k].there = true;
    }
    size_t said = hash_put_many(&p->b.write, p->key[which], pairs, n, at_ms);

    CU_ASSERT(section_has_failed(p->b.section) || said == added);
}

static void play_remove(struct play *p, int which)
{
    struct slice names[6];
    char bytes[6][8];
    size_t n = 1 + rand_below(&p->r, 6);
    size_t there = 0;
    struct model *m = &p->next[which];

    for (size_t i = 0; i < n; i++) {
        int k = some_name(p, which);

        names[i] = name_of(k, bytes[i]);
        there += is_live(m, k, bench_now_ms());
        m->f[k].there = false;
    }
    size_t said = hash_remove_many(&p->b.write, p->key[which], names, n);

    CU_ASSERT(section_has_failed(p->b.section) || said == there);
}

static void play_expire(struct play *p, int which)
{
    char name[8];
    int k = some_name(p, which);
    int64_t at_ms = some_expiry(p) - (rand_below(&p->r, 8) == 0 ? 100 : 0);
    struct model *m = &p->next[which];

    at_ms = at_ms < 0 ? 0 : at_ms;
    if (is_live(m, k, bench_now_ms())) {
        m->f[k].expire_at_ms = at_ms;
        hash_expire_at(&p->b.write, p->key[which], name_of(k, name), at_ms);
    }
}

static void play_some(struct play *p)
{
    size_t n = 1 + rand_below(&p->r, 3);

    for (size_t i = 0; i < n; i++) {
        int which = (int)rand_below(&p->r, 2);

        switch (rand_below(&p->r, 8)) {
        case 0:
        case 1:
            play_remove(p, which);
            break;
        case 2:
            play_expire(p, which);
            break;
        case 3:
            (void)hash_expire_due(&p->b.write, p->key[which], 1 + rand_below(&p->r, 5));
            break;
        case 4:
            if (rand_below(&p->r, 40) == 0) {
                (void)keyspace_delete(&p->b.write, p->key[which]);
                if (!section_has_failed(p->b.section)) {
                    memset(&p->next[which], 0, sizeof(p->next[which]));
                }
                break;
            }
            play_put(p, which);
            break;
        default:
            play_put(p, which);
            break;
        }
        for (int w = 0; w < 2 && !section_has_failed(p->b.section); w++) {
            CU_ASSERT(is_same(&p->b.write, p->key[w], &p->next[w]));
        }
    }
}

static void play_section(struct play *p, int fail_nth)
{
    bench_begin(&p->b);
    memcpy(p->next, p->m, sizeof(p->m));
    fault_fail_nth(fail_nth);
    play_some(p);
    if (rand_below(&p->r, 5) == 0) {
        (void)fault_off();
        bench_abort(&p->b);
    } else {
        enum section_end end = bench_commit(&p->b);

        (void)fault_off();
        CU_ASSERT(end == SECTION_COMMITTED || (end == SECTION_FAILED && fail_nth > 0));
        if (end == SECTION_COMMITTED) {
            memcpy(p->m, p->next, sizeof(p->m));
        }
    }
    for (int w = 0; w < 2; w++) {
        CU_ASSERT(is_same(&p->b.read, p->key[w], &p->m[w]));
    }
    p->replica.next = changelog_read(p->b.log, p->replica.next, on_piece, &p->replica);
    rcu_turn();
}

/* Expired fields apart, which the log removes when the leader does. */
static bool replica_agrees(const struct play *p)
{
    for (int w = 0; w < 2; w++) {
        for (int i = 0; i < NAMES; i++) {
            const struct model *a = &p->m[w];
            const struct model *b = &p->replica.m[w];

            if (is_live(a, i, bench_now_ms()) != is_live(b, i, bench_now_ms()) ||
                (is_live(a, i, bench_now_ms()) && (strcmp(a->f[i].value, b->f[i].value) != 0 ||
                                                   a->f[i].expire_at_ms != b->f[i].expire_at_ms))) {
                return false;
            }
        }
    }
    return !p->replica.bad;
}

static void play_begin(struct play *p)
{
    char digits[24];

    memset(p, 0, sizeof(*p));
    p->r.state = unit_seed();
    p->replica.next = 1;
    bench_init(&p->b);
    p->key[0] = key_of(SLICE("p"));
    p->key[1] = key_of(SLICE("l"));
    (void)digits;
}

static void play_end(struct play *p)
{
    buf_fini(&p->replica.bytes);
    bench_fini(&p->b);
}

static void forms_follow_the_model(void)
{
    struct play *p = malloc(sizeof(*p));

    play_begin(p);
    for (int i = 0; i < 1500; i++) {
        /* Now and then one of the allocations fails, wherever it is. */
        play_section(p, rand_below(&p->r, 3) == 0 ? 1 + (int)rand_below(&p->r, 40) : 0);
        if (rand_below(&p->r, 3) == 0) {
            bench_clock(bench_now_ms() + (int64_t)rand_below(&p->r, 12));
        }
        if (i % 50 == 0) {
            CU_ASSERT(replica_agrees(p));
            CU_ASSERT_EQUAL(database_used_exact(p->b.db), bench_bytes(&p->b));
        }
    }
    CU_ASSERT(replica_agrees(p));
    CU_ASSERT_EQUAL(database_used_exact(p->b.db), bench_bytes(&p->b));
    play_end(p);
    free(p);
}

/* ---- Single facts ---- */

static const char *word(struct bench *b, struct key key)
{
    const struct entry *e = keyspace_peek(&b->read, key);

    return e == NULL ? "" : keyspace_encoding(e);
}

static void fill(struct bench *b, struct key key, int from, int n)
{
    bench_begin(b);
    for (int i = from; i < from + n; i++) {
        char name[8];

        (void)hash_put(&b->write, key, name_of(i, name), SLICE("v"), 0);
    }
    CU_ASSERT_EQUAL(bench_commit(b), SECTION_COMMITTED);
}

static void thresholds_decide_the_form(void)
{
    char text[80];
    struct bench b;
    struct key k = key_of(SLICE("k"));
    struct key m = key_of(SLICE("m"));

    memset(text, 'x', sizeof(text));
    bench_init(&b);
    fill(&b, k, 0, 128);
    CU_ASSERT_STRING_EQUAL(word(&b, k), "listpack");
    fill(&b, k, 128, 1);
    CU_ASSERT_STRING_EQUAL(word(&b, k), "hashtable");
    bench_begin(&b);
    (void)hash_put(&b.write, m, SLICE("f"), (struct slice){text, 64}, 0);
    CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
    CU_ASSERT_STRING_EQUAL(word(&b, m), "listpack");
    bench_begin(&b);
    (void)hash_put(&b.write, m, (struct slice){text, 65}, SLICE("v"), 0);
    CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
    CU_ASSERT_STRING_EQUAL(word(&b, m), "hashtable");
    /* It never goes back. */
    bench_begin(&b);
    CU_ASSERT_TRUE(hash_remove(&b.write, m, (struct slice){text, 65}));
    CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
    CU_ASSERT_STRING_EQUAL(word(&b, m), "hashtable");
    bench_fini(&b);
}

static void absent_when_all_fields_expired_of(int fields)
{
    struct bench b;
    struct hash h;
    struct key k = key_of(SLICE("k"));
    int64_t at_ms;

    bench_init(&b);
    at_ms = bench_now_ms() + 100;
    bench_begin(&b);
    for (int i = 0; i < fields; i++) {
        char name[8];

        (void)hash_put(&b.write, k, name_of(i, name), SLICE("v"), at_ms + i);
    }
    CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
    CU_ASSERT_EQUAL(hash_next_expiry(keyspace_peek(&b.read, k)), at_ms);
    bench_clock(at_ms + fields - 2);
    CU_ASSERT_EQUAL_FATAL(hash_open(&b.read, k, &h), FOUND);
    CU_ASSERT_EQUAL(hash_count(&h), 1);
    hash_close(&h);
    bench_clock(at_ms + fields - 1);
    CU_ASSERT_EQUAL(hash_open(&b.read, k, &h), ABSENT);
    CU_ASSERT_PTR_NULL(keyspace_peek(&b.read, k));
    bench_begin(&b);
    CU_ASSERT_TRUE(hash_put(&b.write, k, SLICE("n"), SLICE("w"), 0));
    CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
    CU_ASSERT_EQUAL_FATAL(hash_open(&b.read, k, &h), FOUND);
    CU_ASSERT_EQUAL(hash_count(&h), 1);
    hash_close(&h);
    CU_ASSERT_STRING_EQUAL(word(&b, k), "listpack");
    bench_fini(&b);
}

static void absent_when_all_fields_expired(void)
{
    absent_when_all_fields_expired_of(20);
    absent_when_all_fields_expired_of(200);
}

/* The section judged the field alive; by the time it publishes others have seen it expired. */
static void runs_again_when_a_field_expires_under_it(void)
{
    for (int fields = 5; fields < 300; fields += 200) {
        struct bench b;
        struct hash h;
        struct hash_field f;
        struct key k = key_of(SLICE("k"));
        int64_t at_ms;

        bench_init(&b);
        fill(&b, k, 0, fields);
        at_ms = bench_now_ms() + 50;
        bench_begin(&b);
        hash_expire_at(&b.write, k, SLICE("n0"), at_ms);
        CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
        bench_begin(&b);
        hash_expire_at(&b.write, k, SLICE("n0"), 0);
        bench_clock(at_ms);
        CU_ASSERT_EQUAL(bench_commit(&b), SECTION_AGAIN);
        CU_ASSERT_EQUAL_FATAL(hash_open(&b.read, k, &h), FOUND);
        CU_ASSERT_FALSE(hash_get(&h, SLICE("n0"), &f));
        CU_ASSERT_EQUAL(hash_count(&h), (size_t)fields - 1);
        hash_close(&h);
        bench_fini(&b);
    }
}

/* Every allocation in turn: the section fails and nothing has changed, or it succeeds. */
static void survives_every_fault(void)
{
    static const int sizes[] = {3, 126, 300};

    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        struct bench b;
        struct key key = key_of(SLICE("k"));
        bool done = false;
        int nth = 0;

        bench_init(&b);
        fill(&b, key, 0, sizes[k]);
        int64_t bytes = bench_bytes(&b);

        while (!done && nth < 200) {
            struct hash h;
            struct slice pairs[12];
            char names[6][8];

            for (int i = 0; i < 6; i++) {
                pairs[2 * i] = name_of(sizes[k] - 3 + i, names[i]);
                pairs[2 * i + 1] = SLICE("w");
            }
            bench_begin(&b);
            fault_fail_nth(++nth);
            (void)hash_put_many(&b.write, key, pairs, 6, bench_now_ms() + 1000);
            (void)hash_remove(&b.write, key, SLICE("n1"));
            hash_expire_at(&b.write, key, SLICE("n0"), bench_now_ms() + 500);
            enum section_end end = bench_commit(&b);

            (void)fault_off();
            done = end == SECTION_COMMITTED;
            CU_ASSERT(done || end == SECTION_FAILED);
            CU_ASSERT_EQUAL_FATAL(hash_open(&b.read, key, &h), FOUND);
            CU_ASSERT_EQUAL(hash_count(&h), (size_t)sizes[k] + (done ? 2 : 0));
            hash_close(&h);
            CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
            rcu_turn();
        }
        CU_ASSERT(done);
        CU_ASSERT(nth > 3);
        CU_ASSERT(bench_bytes(&b) != bytes);
        bench_fini(&b);
    }
}

static void copies_and_renames(void)
{
    struct bench b;
    struct hash h;
    struct key from = key_of(SLICE("from"));
    struct key to = key_of(SLICE("to"));

    bench_init(&b);
    for (int n = 10; n <= 200; n += 190) {
        fill(&b, from, 0, n);
        bench_begin(&b);
        keyspace_copy(&b.write, from, to);
        (void)hash_remove(&b.write, from, SLICE("n0"));
        CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
        CU_ASSERT_EQUAL_FATAL(hash_open(&b.read, to, &h), FOUND);
        CU_ASSERT_EQUAL(hash_count(&h), (size_t)n);
        hash_close(&h);
        bench_begin(&b);
        keyspace_copy(&b.write, from, to);
        bench_abort(&b);
        bench_begin(&b);
        keyspace_rename(&b.write, from, to);
        CU_ASSERT_TRUE(hash_remove(&b.write, to, SLICE("n1")));
        CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
        CU_ASSERT_EQUAL(hash_open(&b.read, from, &h), ABSENT);
        CU_ASSERT_EQUAL_FATAL(hash_open(&b.read, to, &h), FOUND);
        CU_ASSERT_EQUAL(hash_count(&h), (size_t)n - 2);
        hash_close(&h);
        CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
        rcu_turn();
    }
    bench_fini(&b);
}

/* Changed in place and gone in one section: what it gave back meanwhile is not credited twice. */
static void gone_in_the_section_that_changed_it(void)
{
    struct bench b;
    struct key k = key_of(SLICE("k"));

    bench_init(&b);
    for (int round = 0; round < 3; round++) {
        fill(&b, k, 0, 300);
        bench_begin(&b);
        for (int i = 0; i < 299 + round; i++) {
            char name[8];

            (void)hash_remove(&b.write, k, name_of(i, name));
        }
        if (round == 0) {
            CU_ASSERT_TRUE(keyspace_delete(&b.write, k));
        }
        if (round == 2) { /* and there again, packed */
            CU_ASSERT_TRUE(hash_put(&b.write, k, SLICE("f"), SLICE("v"), 0));
        }
        CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
        CU_ASSERT_STRING_EQUAL(word(&b, k), round == 2 ? "listpack" : "");
        CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
        rcu_turn();
    }
    bench_fini(&b);
}

/* A hash of thousands of fields, some of which expire, goes a budget at a time. */
static void large_one_is_freed_in_slices(void)
{
    enum { FIELDS = 3000, BUDGET = 100 };
    struct bench b;
    struct key k = key_of(SLICE("k"));
    size_t slices = 0;
    size_t budget;

    bench_init(&b);
    bench_begin(&b);
    for (int i = 0; i < FIELDS; i++) {
        char name[8];

        (void)hash_put(&b.write, k, name_of(i, name), SLICE("v"),
                       i % 2 == 0 ? bench_now_ms() + 10 + i : 0);
    }
    CU_ASSERT_EQUAL(bench_commit(&b), SECTION_COMMITTED);
    CU_ASSERT_EQUAL(database_used_exact(b.db), bench_bytes(&b));
    struct entry *twin = type_hash_ops.copy(keyspace_peek(&b.read, k), SLICE("twin"), 0, false);

    struct type_walk walk = {.now_ms = bench_now_ms()};
    int copied = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(twin);
    while (!walk.is_done) {
        CU_ASSERT_EQUAL_FATAL(type_copy_slice(twin, keyspace_peek(&b.read, k), &walk), OK);
        copied++;
    }
    CU_ASSERT(copied > 1 && copied < FIELDS);
    do {
        budget = BUDGET;
        slices++;
    } while (!type_free_value(twin, &budget) && slices < FIELDS);
    CU_ASSERT(slices >= FIELDS / BUDGET);
    CU_ASSERT(slices < FIELDS);
    entry_free(twin);
    bench_fini(&b);
}

static void random_field_is_about_even(void)
{
    static const int sizes[] = {20, 300};

    for (int k = 0; k < 2; k++) {
        int seen[300] = {0};
        struct rand r = {unit_seed()};
        struct bench b;
        struct hash h;
        struct hash_field f;
        struct key key = key_of(SLICE("k"));

        bench_init(&b);
        fill(&b, key, 0, sizes[k]);
        CU_ASSERT_EQUAL_FATAL(hash_open(&b.read, key, &h), FOUND);
        for (int i = 0; i < 200 * sizes[k]; i++) {
            CU_ASSERT_TRUE_FATAL(hash_random(&h, &r, &f));
            seen[number_of(f.name)]++;
        }
        hash_close(&h);
        for (int i = 0; i < sizes[k]; i++) {
            CU_ASSERT(seen[i] > 100 && seen[i] < 400);
        }
        bench_fini(&b);
    }
}

const struct unit_test test_type_hash[] = {
    UNIT(forms_follow_the_model),
    UNIT(thresholds_decide_the_form),
    UNIT(absent_when_all_fields_expired),
    UNIT(runs_again_when_a_field_expires_under_it),
    UNIT(survives_every_fault),
    UNIT(copies_and_renames),
    UNIT(gone_in_the_section_that_changed_it),
    UNIT(large_one_is_freed_in_slices),
    UNIT(random_field_is_about_even),
    UNIT_END,
};
