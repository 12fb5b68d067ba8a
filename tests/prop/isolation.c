/* isolation.c - what clients may see of keys while others write them: see actors.h. */
#include "base/clock.h"
#include "base/rcu.h"
#include "node/keyspace.h"
#include "node/section.h"
#include "node/type_string.h"
#include "proto/change.pb-c.h"
#include "replication/changelog.h"
#include "tests/prop/actors.h"

#include <sched.h>

enum { GROUP = 8, STAY = 2000, LEASES = 64, CHAIN = 32 };

/* The section of a test: a write on the internal interface. */
static const struct cmd_def write_def = {.name = "TEST", .flags = CMD_WRITE};

static struct cmd section_open(struct actor *a, uint64_t mask)
{
    struct partition *held;
    struct cmd c = {.def = &write_def, .db = db, .section = a->x->section};

    while (section_reserve(c.section) != 0 ||
           section_begin(c.section, db, mask, true, &held) != 0) {
        sched_yield();
        rcu_turn();
    }
    c.now_ms = clock_now_ms();
    return c;
}

static enum section_end section_close(struct cmd *c)
{
    uint64_t seq;
    enum section_end end = section_commit(c->section, &seq);

    if (end == SECTION_FAILED) {
        breach("a section failed");
    }
    return end;
}

static uint64_t bit_of(struct key k)
{
    return (uint64_t)1 << k.partition;
}

/* ---- many: keys written together are seen together, and never step back ---- */

static _Atomic int64_t many_seen; /* by any reader, or acknowledged to the writer */

static void many_begin(struct actor *a)
{
    atomic_store(&many_seen, 0);
    say(a, "MSET m:0 0 m:1 0 m:2 0 m:3 0 m:4 0 m:5 0 m:6 0 m:7 0");
    say(a, "MSET s:0 0 s:1 0 s:2 0 s:3 0 s:4 0 s:5 0 s:6 0 s:7 0");
}

static void many_writer(struct actor *a)
{
    for (int64_t n = 1; goes_on(a); n++) {
        char text[512];
        int len = snprintf(text, sizeof(text), "MSET");

        for (int i = 0; i < GROUP; i++) {
            len += snprintf(text + len, sizeof(text) - (size_t)len, " m:%d %" PRId64, i, n);
        }
        say(a, "%s", text);
        raise_to(&many_seen, n);
    }
}

/* Two of them write the same keys: a number's parity tells whose it is. */
static void shared_writer(struct actor *a)
{
    for (int64_t n = a->index % 2; goes_on(a); n += 2) {
        char text[512];
        int len = snprintf(text, sizeof(text), "MSET");

        for (int i = 0; i < GROUP; i++) {
            len += snprintf(text + len, sizeof(text) - (size_t)len, " s:%d %" PRId64, i, n);
        }
        say(a, "%s", text);
    }
}

static void look_shared(struct actor *a, int64_t last[2])
{
    bool by_mget = rand_below(&a->rand, 2) == 0;
    int64_t n[GROUP];

    if (by_mget) {
        say(a, "MGET s:0 s:1 s:2 s:3 s:4 s:5 s:6 s:7");
    }
    for (int i = 0; i < GROUP; i++) {
        n[i] = by_mget ? number(a) : get(a, "s:%u", (unsigned)rand_below(&a->rand, GROUP));
        if (by_mget && n[i] != n[0]) {
            breach("MGET s: %" PRId64 " beside %" PRId64, n[0], n[i]);
        }
        if (n[i] < last[n[i] & 1]) {
            breach("s: back from %" PRId64 " to %" PRId64, last[n[i] & 1], n[i]);
        }
        last[n[i] & 1] = n[i];
    }
}

static void many_reader(struct actor *a)
{
    int64_t last[2] = {0, 0};

    while (goes_on(a)) {
        for (int i = 0; i < 4; i++) {
            int64_t floor = atomic_load(&many_seen);
            int64_t n = get(a, "m:%u", (unsigned)rand_below(&a->rand, GROUP));

            if (n < floor) {
                breach("GET m: %" PRId64 " after %" PRId64 " was seen", n, floor);
            }
            raise_to(&many_seen, n);
        }
        int64_t floor = atomic_load(&many_seen);

        say(a, "MGET m:0 m:1 m:2 m:3 m:4 m:5 m:6 m:7");
        int64_t first = number(a);

        for (int i = 1; i < GROUP; i++) {
            int64_t n = number(a);

            if (n != first) {
                breach("MGET m: %" PRId64 " beside %" PRId64, first, n);
            }
        }
        if (first < floor) {
            breach("MGET m: %" PRId64 " after %" PRId64 " was seen", first, floor);
        }
        raise_to(&many_seen, first);
        look_shared(a, last);
    }
}

/* ---- order: a is written before b, and nobody sees b ahead of a; nor does the log ---- */

static void order_begin(struct actor *a)
{
    say(a, "MSET o:a 0 o:b 0 o:echo 0");
}

static void order_writer(struct actor *a)
{
    for (int64_t n = 1; goes_on(a); n++) {
        say(a, "SET o:a %" PRId64, n);
        say(a, "SET o:b %" PRId64, n);
    }
}

static void order_reader(struct actor *a)
{
    while (goes_on(a)) {
        int64_t nb = get(a, "o:b");
        int64_t na = get(a, "o:a");

        if (nb > na) {
            breach("GET b %" PRId64 ", then a %" PRId64, nb, na);
        }
        say(a,
            rand_below(&a->rand, 2) == 0 ? "MGET o:a o:x o:y o:z o:b" : "MGET o:b o:z o:y o:x o:a");
        int64_t n[5];

        for (int i = 0; i < 5; i++) {
            n[i] = number(a);
        }
        if (n[0] - n[4] > 1 || n[4] - n[0] > 1) {
            breach("MGET: %" PRId64 " beside %" PRId64, n[0], n[4]);
        }
    }
}

/* Writes what it has seen: its change must come after the one that it saw. */
static void order_echo(struct actor *a)
{
    while (goes_on(a)) {
        int64_t n = get(a, "o:a");

        say(a, "SET o:echo %" PRId64, n);
    }
}

struct order_log {
    struct buf bytes;
    int64_t a, b;
};

static bool read_order(uint64_t seq, struct slice piece, bool last, void *arg)
{
    struct order_log *o = arg;

    if (buf_append(&o->bytes, piece.ptr, piece.len) != 0) {
        return false;
    }
    if (!last) {
        return true;
    }
    Godwit__Change *c = godwit__change__unpack(NULL, o->bytes.len, (const uint8_t *)o->bytes.ptr);

    for (size_t i = 0; c != NULL && i < c->n_ops; i++) {
        const Godwit__Op *op = c->ops[i];
        bool is_put = op->kind_case == GODWIT__OP__KIND_PUT_STRING && op->key.len >= 3 &&
                      memcmp(op->key.data, "o:", 2) == 0;

        if (!is_put) {
            continue;
        }
        char text[32] = "";
        size_t len = op->put_string->value.len;

        memcpy(text, op->put_string->value.data, len < 31 ? len : 31);
        int64_t n = strtoll(text, NULL, 10);

        if (op->key.data[2] == 'a') {
            o->a = n;
        } else if (op->key.data[2] == 'b') {
            o->b = n;
        } else if (o->a >= 0 && n > o->a) {
            breach("change %" PRIu64 " tells of %" PRId64 ", the log before it of %" PRId64, seq, n,
                   o->a);
        }
        if (o->a >= 0 && o->b > o->a) {
            breach("change %" PRIu64 ": b ahead of a in the log", seq);
        }
    }
    if (c == NULL) {
        breach("change %" PRIu64 " cannot be read", seq);
    } else {
        godwit__change__free_unpacked(c, NULL);
    }
    buf_clear(&o->bytes);
    return true;
}

static void order_end(struct actor *a)
{
    struct order_log o = {.a = -1, .b = -1};

    (void)a;
    (void)changelog_read(node->log, changelog_first_seq(node->log), read_order, &o);
    if (o.a < 0) {
        breach("nothing in the log");
    }
    buf_fini(&o.bytes);
}

/* ---- pair: of two keys one exists at any time; a key that moves on never is at two places ---- */

static void pair_begin(struct actor *a)
{
    say(a, "DEL p:x p:y");
    say(a, "SET p:x 1");
}

static void pair_writer(struct actor *a)
{
    while (goes_on(a)) {
        say(a, "RENAME p:x p:y");
        say(a, "RENAME p:y p:x");
    }
}

static void chain_writer(struct actor *a)
{
    for (int64_t lap = 1; goes_on(a); lap++) {
        say(a, "SET c:0 %" PRId64, lap);
        for (int i = 1; i < CHAIN; i++) {
            say(a, "RENAME c:%d c:%d", i - 1, i);
        }
        say(a, "DEL c:%d", CHAIN - 1);
    }
}

static void pair_reader(struct actor *a)
{
    while (goes_on(a)) {
        say(a, "MGET p:x p:y");
        bool x = number(a) == 1;
        bool y = number(a) == 1;

        if (x == y) {
            breach("MGET: %s of the two", x ? "both" : "none");
        }
        say(a, "EXISTS p:x p:y");
        int64_t n = number(a);

        if (n != 1) {
            breach("EXISTS: %" PRId64 " of the two", n);
        }
        unsigned i = (unsigned)rand_below(&a->rand, CHAIN - 1);
        int64_t there = get(a, "c:%u", i + 1);
        int64_t behind = there < 0 ? -1 : get(a, "c:%u", i);

        if (there >= 0 && behind == there) {
            breach("lap %" PRId64 ": at %u, then at %u again", there, i + 1, i);
        }
    }
}

/* ---- twice: a section raises one key twice; nobody sees the value between ---- */

static _Atomic int64_t twice_seen;

static void twice_begin(struct actor *a)
{
    say(a, "SET t 0");
    atomic_store(&twice_seen, 0);
}

static void twice_writer(struct actor *a)
{
    struct key key = key_of(SLICE("t"));

    for (int64_t n = 0; goes_on(a);) {
        struct cmd c = section_open(a, bit_of(key));

        string_put_int(&c, key, ++n, 0);
        string_put_int(&c, key, ++n, 0);
        (void)section_close(&c);
        raise_to(&twice_seen, n);
    }
}

static void twice_reader(struct actor *a)
{
    while (goes_on(a)) {
        int64_t floor = atomic_load(&twice_seen);
        int64_t n = get(a, "t");

        if (n % 2 != 0 || n < floor) {
            breach("GET: %" PRId64 " after %" PRId64, n, floor);
        }
        raise_to(&twice_seen, n);
    }
}

/* ---- relies: a section that found a key alive is never seen after somebody saw that key expired ---- */

static _Atomic uint64_t lease_round; /* odd while it is set */

static void relies_begin(struct actor *a)
{
    say(a, "SET r:count 0");
}

static void relies_writer(struct actor *a)
{
    struct key lease = key_of(SLICE("r:lease"));
    struct key count = key_of(SLICE("r:count"));
    int64_t n = 0;

    while (goes_on(a)) {
        atomic_fetch_add(&lease_round, 1);
        say(a, "SET r:lease 1 PX 4");
        atomic_fetch_add(&lease_round, 1);
        for (bool alive = true; alive && !atomic_load(&stopping);) { /* else the clock may stand */
            struct cmd c = section_open(a, bit_of(lease) | bit_of(count));

            alive = section_find(c.section, lease) != NULL;
            if (alive) {
                string_put_int(&c, count, n + 1, 0);
                usleep(300); /* as a long section would take */
            }
            n += section_close(&c) == SECTION_COMMITTED && alive;
            rcu_turn();
        }
        /* The readers' turn: they compare while no new lease is given. */
        usleep(500);
    }
}

static void relies_reader(struct actor *a)
{
    while (goes_on(a)) {
        uint64_t round = atomic_load(&lease_round);

        if (round % 2 != 0 || get(a, "r:lease") != -1) {
            continue;
        }
        int64_t first = get(a, "r:count");

        for (int i = 0; i < 200; i++) {
            int64_t n = get(a, "r:count");

            if (atomic_load(&lease_round) != round) {
                break;
            }
            if (n != first) {
                breach("raised to %" PRId64 " after the key it relies on was gone", n);
                break;
            }
            sched_yield();
        }
    }
}

/* ---- gone: what one reader has seen expire no later one sees alive; one moment, one expiry ---- */

static _Atomic int64_t lease_set, lease_gone;

static void gone_begin(struct actor *a)
{
    (void)a;
    atomic_store(&lease_set, 0);
    atomic_store(&lease_gone, 0);
}

static void gone_writer(struct actor *a)
{
    for (int64_t n = 1; goes_on(a); n++) {
        struct cmd c = section_open(a, UINT64_MAX);

        for (int i = 0; i < LEASES; i++) {
            char name[16], value[24];

            string_put(&c, key_of((struct slice){name, (size_t)snprintf(name, 16, "g:%d", i)}),
                       (struct slice){value, (size_t)snprintf(value, 24, "%" PRId64, n)},
                       c.now_ms + 2);
        }
        if (section_close(&c) == SECTION_COMMITTED) {
            atomic_store(&lease_set, n);
        }
        while (clock_now_ms() < c.now_ms + 3 && !stopping) {
            sched_yield();
            rcu_turn();
        }
    }
}

static void gone_reader(struct actor *a)
{
    char all[1024];
    int len = snprintf(all, sizeof(all), "MGET");

    for (int i = 0; i < LEASES; i++) {
        len += snprintf(all + len, sizeof(all) - (size_t)len, " g:%d", i);
    }
    while (goes_on(a)) {
        int64_t set = atomic_load(&lease_set);
        int64_t gone = atomic_load(&lease_gone);
        int64_t n = get(a, "g:%u", (unsigned)rand_below(&a->rand, LEASES));

        if (n == -1) {
            raise_to(&lease_gone, set);
        } else if (n <= gone) {
            breach("%" PRId64 " is alive, after %" PRId64 " was seen expired", n, gone);
        }
        say(a, "%s", all);
        int64_t first = number(a);

        for (int i = 1; i < LEASES; i++) {
            n = number(a);
            if (n != first) {
                breach("MGET of keys that expire together: %" PRId64 " beside %" PRId64, first, n);
                break;
            }
        }
    }
}

/* ---- present: a key that is always there is never missed while its neighbours come and go ---- */

static void present_begin(struct actor *a)
{
    for (int i = 0; i < STAY; i++) {
        say(a, "SET stay:%d %d", i, i);
    }
}

static void present_reader(struct actor *a)
{
    while (goes_on(a)) {
        unsigned i = (unsigned)rand_below(&a->rand, STAY);
        int64_t n = get(a, "stay:%u", i);

        if (n != (int64_t)i) {
            breach("stay:%u: %" PRId64, i, n);
        }
    }
}

/* ---- All of it ---- */

const struct part key_parts[] = {
    {"many",
     {many_writer, shared_writer, shared_writer, many_reader, many_reader, churn},
     many_begin,
     NULL},
    {"order",
     {order_writer, order_echo, order_reader, order_reader, churn},
     order_begin,
     order_end},
    {"pair", {pair_writer, chain_writer, pair_reader, pair_reader, churn}, pair_begin, NULL},
    {"twice", {twice_writer, twice_reader, twice_reader, churn}, twice_begin, NULL},
    {"relies", {relies_writer, relies_reader, relies_reader, ticks, churn}, relies_begin, NULL},
    {"gone", {gone_writer, gone_reader, gone_reader, ticks, churn}, gone_begin, NULL},
    {"present", {churn, present_reader, present_reader, present_reader}, present_begin, NULL},
    {.name = NULL},
};
