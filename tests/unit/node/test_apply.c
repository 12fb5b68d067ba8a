/* Promise 5: what the log says, applied elsewhere, gives the same data byte for byte, expiry included,
 * whenever and however often it is applied. */
#include "node/apply.h"

#include "base/err.h"
#include "base/rand.h"
#include "base/rcu.h"
#include "node/database.h"
#include "node/exec.h"
#include "node/keyspace.h"
#include "node/node.h"
#include "node/type.h"
#include "node/type_hash.h"
#include "node/type_list.h"
#include "node/type_set.h"
#include "node/type_string.h"
#include "node/type_zset.h"
#include "proto/change.h"
#include "replication/changelog.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

#include <stdio.h>
#include <stdlib.h>

enum { COMMANDS = 4000, BIG = 40000 };

static struct world w;
static struct database *copy;
static struct rand r;

static unsigned below(unsigned n)
{
    return (unsigned)rand_below(&r, n);
}

/* ---- What a database holds, as one number a key, in no order ---- */

struct summary {
    uint64_t keys, sum;
    struct database *db;
};

static uint64_t mix(uint64_t h, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        h = (h ^ (uint8_t)s.ptr[i]) * 0x100000001b3;
    }
    return (h ^ s.len) * 0x100000001b3;
}

static uint64_t mix_string(uint64_t h, const struct entry *e)
{
    struct string_value v;

    string_of_entry(e, &v);
    for (size_t at = 0; at < v.len;) {
        struct slice piece = string_chunk(&v, at);

        for (size_t i = 0; i < piece.len; i++) {
            h = (h ^ (uint8_t)piece.ptr[i]) * 0x100000001b3;
        }
        at += piece.len;
    }
    return (h ^ v.len) * 0x100000001b3;
}

static void add_field(const struct hash_field *f, void *arg)
{
    *(uint64_t *)arg += mix(mix((uint64_t)f->expire_at_ms * 31 + 7, f->name), f->value);
}

static uint64_t mix_list(uint64_t h, struct cmd *c, struct key key)
{
    struct vlist_cursor at;
    struct vlist_view l;
    struct slice s;

    if (vlist_open(c, key, &l) == FOUND) {
        vlist_seek(&l, 0, &at);
        while (vlist_next(&at, &s)) {
            h = mix(h, s);
        }
        h ^= vlist_number(&l);
        vlist_close(&l);
    }
    return h;
}

static void add_member(struct slice member, void *arg)
{
    *(uint64_t *)arg += mix(3, member);
}

static uint64_t mix_set(struct cmd *c, const struct entry *e)
{
    uint64_t members = 0;
    struct set set;

    if (set_open(c, key_of(entry_key(e)), &set) == FOUND) {
        set_each(&set, add_member, &members);
        set_close(&set);
    }
    return members * 0x9e3779b97f4a7c15;
}

static void add_scored(const struct zset_item *i, void *arg)
{
    uint64_t bits;

    memcpy(&bits, &i->score, sizeof(bits));
    *(uint64_t *)arg += mix(bits * 31 + 7, i->member);
}

static uint64_t mix_zset(uint64_t h, struct cmd *c, const struct entry *e)
{
    uint64_t members = 0;
    uint64_t cursor = 0;
    struct zset z;

    if (zset_open(c, key_of(entry_key(e)), &z) == FOUND) {
        do {
            cursor = zset_scan(&z, cursor, 1000, add_scored, &members);
        } while (cursor != 0);
        zset_close(&z);
    }
    return h ^ members * 0x9e3779b97f4a7c15;
}

static void add_key(const struct entry *e, void *arg)
{
    struct summary *s = arg;
    static const struct cmd_def def = {.name = "SUM", .flags = CMD_READ};
    struct cmd c = {.def = &def, .db = s->db};
    uint64_t h = mix((uint64_t)entry_expire_at_ms(e) * 31 + e->type, entry_key(e));

    if (e->type == TYPE_STRING) {
        h = mix_string(h, e);
    } else if (e->type == TYPE_LIST) {
        h = mix_list(h, &c, key_of(entry_key(e)));
    } else if (e->type == TYPE_ZSET) {
        h = mix_zset(h, &c, e);
    } else {
        struct hash hash;
        uint64_t fields = 0;

        if (e->type == TYPE_SET) {
            h ^= mix_set(&c, e);
        } else if (hash_open(&c, key_of(entry_key(e)), &hash) == FOUND) {
            hash_each(&hash, add_field, &fields);
            hash_close(&hash);
        }
        h ^= fields * 0x9e3779b97f4a7c15;
    }
    s->keys++;
    s->sum += h * h;
}

static struct summary sum_up(struct database *db)
{
    struct summary s = {0, 0, db};
    struct cmd c = {.db = db};
    uint64_t cursor = 0;

    do {
        cursor = keyspace_scan(&c, cursor, 1000, add_key, &s);
    } while (cursor != 0);
    return s;
}

static bool equal(void)
{
    struct summary a = sum_up(w.db);
    struct summary b = sum_up(copy);

    if (a.keys != b.keys || a.sum != b.sum) {
        printf("%lu keys, the copy %lu\n", a.keys, b.keys);
    }
    return a.keys == b.keys && a.sum == b.sum;
}

/* ---- The log ---- */

struct taken {
    struct buf *v; /* by number - 1 */
    size_t count, cap;
    bool open;
};

static struct taken taken;

static bool take(uint64_t seq, struct slice piece, bool last, void *arg)
{
    struct taken *t = arg;

    (void)seq;
    if (!t->open) {
        if (t->count == t->cap) {
            t->cap = t->cap == 0 ? 1024 : t->cap * 2;
            t->v = realloc(t->v, t->cap * sizeof(t->v[0]));
        }
        t->v[t->count++] = (struct buf){0};
    }
    t->open = !last;
    return buf_append(&t->v[t->count - 1], piece.ptr, piece.len) == OK;
}

static void take_log(void)
{
    uint64_t next = changelog_read(w.node->log, taken.count + 1, take, &taken);

    CU_ASSERT_EQUAL(next, taken.count + 1);
    CU_ASSERT_EQUAL(taken.count, changelog_last_seq(w.node->log));
}

static void drop_log(void)
{
    for (size_t i = 0; i < taken.count; i++) {
        buf_fini(&taken.v[i]);
    }
    free(taken.v);
    taken = (struct taken){0};
}

static void apply(size_t i)
{
    /* What was applied stands in the log again, as the copy's. */
    if (change_database(taken.v[i].ptr) == 0) {
        CU_ASSERT_EQUAL(apply_change(w.x, copy, buf_slice(&taken.v[i])), OK);
        rcu_turn();
    }
}

/* ---- Commands by chance ---- */

static const char *const lines[] = {
    "SET %k %v",
    "SET %k %v PX %t",
    "SET %k %v KEEPTTL",
    "SETNX %k %v",
    "RATELIMIT %k FIXED 5 20",
    "RATELIMIT %k SLIDING 5 20 COST 2",
    "RATELIMIT %k BUCKET 5 20 RATE 2",
    "GETSET %k %v",
    "APPEND %k %v",
    "SETRANGE %k %o %v",
    "INCR %k",
    "INCRBYFLOAT %k 1.5",
    "GETDEL %k",
    "GETEX %k PX %t",
    "GETEX %k PERSIST",
    "MSET %k %v %k %v %k %v",
    "MSETNX %k %v %k %v",
    "SETBIT %k %o 1",
    "BITOP OR %k %k %k",
    "BITOP NOT %k %k",
    "BITFIELD %k SET u8 #%o 7 INCRBY i16 3 1",
    "DEL %k",
    "UNLINK %k %k",
    "EXPIRE %k 1",
    "PEXPIRE %k %t",
    "PEXPIREAT %k 1",
    "PERSIST %k",
    "PERSIST %k",
    "RENAME %k %k",
    "RENAMENX %k %k",
    "COPY %k %k REPLACE",
    "COPY %k %k",
    "GET %k",
    "HSET %k %f %v %f %v",
    "HSET %k %f %v",
    "HSETNX %k %f %v",
    "HINCRBY %k n 2",
    "HINCRBYFLOAT %k x 1.25",
    "HDEL %k %f %f",
    "HDEL %k %f",
    "HPEXPIRE %k %t FIELDS 1 %f",
    "HPEXPIRE %k %t FIELDS 2 %f %f",
    "HPERSIST %k FIELDS 1 %f",
    "HGETDEL %k FIELDS 1 %f",
    "HGETEX %k PX %t FIELDS 1 %f",
    "HSETEX %k PX %t FIELDS 1 %f %v",
    "HPEXPIREAT %k 1 FIELDS 1 %f",
    "RPUSH %k %v %v %v",
    "LPUSH %k %v %v",
    "LPUSH %k %v",
    "RPUSH %k %v",
    "RPUSHX %k %v",
    "LPOP %k",
    "RPOP %k 2",
    "LMOVE %k %k LEFT RIGHT",
    "RPOPLPUSH %k %k",
    "LMPOP 2 %k %k LEFT COUNT 2",
    "LSET %k 1 %v",
    "LINSERT %k BEFORE 7 %v",
    "LREM %k 0 7",
    "LREM %k -1 5",
    "LTRIM %k 1 -2",
    "LTRIM %k 0 60",
    "SORT %k ALPHA LIMIT 0 50 STORE %k",
    "SADD %k %f %v %f",
    "SADD %k %o %o %o",
    "SADD %k %f",
    "SREM %k %f %f %o",
    "SPOP %k",
    "SPOP %k 3",
    "SMOVE %k %k %f",
    "SUNIONSTORE %k %k %k",
    "SINTERSTORE %k %k",
    "SDIFFSTORE %k %k %k",
    "PFADD %k %v %f %o",
    "PFADD %k %f",
    "PFCOUNT %k",
    "PFMERGE %k %k %k",
    "PFDEBUG TODENSE %k",
    "ZADD %z %n %f %n %f %n %f",
    "ZADD %z %n %f",
    "ZADD %z GT CH %n %f",
    "ZADD %k %n %f",
    "ZINCRBY %z 1.5 %f",
    "ZREM %z %f %f",
    "ZPOPMIN %z 2",
    "ZMPOP 2 %z %z MAX",
    "ZREMRANGEBYRANK %z 3 4",
    "ZREMRANGEBYSCORE %z 5 20",
    "ZRANGESTORE %z %z 0 100 BYSCORE",
    "ZUNIONSTORE %z 2 %z %z WEIGHTS 1 0.5",
    "ZINTERSTORE %z 2 %z %z",
    "ZDIFFSTORE %z 2 %z %z",
    "GEOADD %z 13.5 38.25 %f",
    "GEOSEARCHSTORE %z %z FROMLONLAT 13 38 BYRADIUS 100 km",
    "COPY %z %z REPLACE",
    "RENAME %z %z",
    "PEXPIRE %z %t",
    "PERSIST %z",
};

static void fill(char kind, char *out, size_t cap)
{
    static const unsigned sizes[] = {3, 20, 60, 200, 3000};
    unsigned len = below(200) == 0 ? 20000 : sizes[below(5)];

    switch (kind) {
    case 'k':
        (void)snprintf(out, cap, "key%u", below(12));
        break;
    case 'z':
        (void)snprintf(out, cap, "zset%u", below(4));
        break;
    case 'n':
        (void)snprintf(out, cap, "%g", (double)below(400) / 4);
        break;
    case 'f':
        (void)snprintf(out, cap, "field%u", below(below(4) == 0 ? 300 : 20));
        break;
    case 't':
        (void)snprintf(out, cap, "%u", 1 + below(400));
        break;
    case 'o':
        (void)snprintf(out, cap, "%u", below(below(20) == 0 ? BIG : 200));
        break;
    default:
        if (below(2) == 0) {
            (void)snprintf(out, cap, "%u", below(below(3) == 0 ? 10 : 1000));
        } else {
            memset(out, 'a' + (int)below(26), len);
            out[len] = '\0';
        }
        break;
    }
}

static char words[16][BIG];

static void by_chance(void)
{
    char line[128];
    struct slice argv[16];
    uint32_t argc = 0;

    (void)snprintf(line, sizeof(line), "%s",
                   below(2000) == 0 ? "FLUSHALL" : lines[below(sizeof(lines) / sizeof(lines[0]))]);
    for (char *save, *word = strtok_r(line, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save)) {
        char *mark = strchr(word, '%');

        if (mark == NULL) {
            (void)snprintf(words[argc], BIG, "%s", word);
        } else {
            size_t before = (size_t)(mark - word);

            memcpy(words[argc], word, before);
            fill(mark[1], words[argc] + before, BIG - before);
        }
        argv[argc] = slice_of(words[argc]);
        argc++;
    }
    world_run(&w, w.db, argv, argc);
    world_clock(below(10) == 0 ? (int64_t)below(60) : 0);
}

static void begin(void)
{
    world_init(&w, 64 << 20);
    copy = node_database_add(w.node, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    r = (struct rand){unit_seed()};
}

static void end(void)
{
    drop_log();
    world_fini(&w);
}

/* ---- Tests ---- */

/* Applied later than it happened: by then much has expired by the clock, and nothing by the log. */
static void a_copy_is_exact(void)
{
    begin();
    /* On, if the last ones happened to leave nothing to compare. */
    for (int i = 0; i < COMMANDS || (sum_up(w.db).keys == 0 && i < 2 * COMMANDS); i++) {
        by_chance();
    }
    take_log();
    CU_ASSERT_TRUE(taken.count > COMMANDS / 8);
    struct summary before = sum_up(w.db);

    CU_ASSERT_TRUE(before.keys > 0);
    for (size_t i = 0; i < taken.count; i++) {
        apply(i);
    }
    CU_ASSERT_TRUE(equal());
    end();
}

/* Beside the leader, each change twice, and every so often all that was sent since once more. */
static void applying_twice_is_applying_once(void)
{
    size_t done = 0;

    begin();
    for (int i = 0; i < COMMANDS / 4; i++) {
        by_chance();
        if (below(20) != 0) {
            continue;
        }
        take_log();
        for (; done < taken.count; done++) {
            apply(done);
            apply(done);
        }
        if (!equal()) {
            CU_FAIL("the copy differs");
            break;
        }
    }
    end();
}

static void what_is_no_change_changes_nothing(void)
{
    begin();
    for (int i = 0; i < 300; i++) {
        by_chance();
    }
    take_log();
    for (size_t i = 0; i < taken.count; i++) {
        apply(i);
    }
    struct summary before = sum_up(copy);

    for (size_t i = 0; i < taken.count; i++) {
        struct buf b = {0};

        /* An unknown field behind it; cut short; nothing at all of a kind that is known. */
        CU_ASSERT_EQUAL(buf_append(&b, taken.v[i].ptr, taken.v[i].len), OK);
        CU_ASSERT_EQUAL(buf_append(&b, "\x98\x06\x01", 3), OK);
        CU_ASSERT_EQUAL(apply_change(w.x, copy, buf_slice(&b)), ERR_CORRUPT);
        CU_ASSERT_EQUAL(apply_change(w.x, copy, (struct slice){b.ptr, b.len - 4}), ERR_CORRUPT);
        buf_fini(&b);
    }
    struct summary after = sum_up(copy);

    CU_ASSERT_TRUE(before.keys == after.keys && before.sum == after.sum);
    end();
}

const struct unit_test test_apply[] = {UNIT(a_copy_is_exact), UNIT(applying_twice_is_applying_once),
                                       UNIT(what_is_no_change_changes_nothing), UNIT_END};
