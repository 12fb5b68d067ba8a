#include "node/hll.h"
#include "base/err.h"
#include "node/cmd/families.h"
#include "node/notify.h"
#include "node/options.h"
#include "node/slices.h"
#include "node/type_string.h"

enum {
    PATCHES_MOST = 3,
    SELFTEST_ELEMENTS = 40000,
    STEPS_A_VALUE = 200, /* that merging one takes */
    VALUES_FEW = 64
};

static void err_corrupt(struct cmd *c)
{
    reply_errf(c->reply, "INVALIDOBJ Corrupted HLL object detected");
}

static void answer_failure(struct cmd *c, int err)
{
    if (err == ERR_NOMEM) {
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        err_corrupt(c);
    }
}

/* A HyperLogLog of an argument, borrowed or in `room`; *found false: there is none. False when an error
 * was answered. */
static bool hll_arg(struct cmd *c, uint32_t index, struct string_value *v, struct buf *room,
                    struct slice *bytes, bool *found)
{
    enum found f = string_read(c, cmd_key(c, index), v);

    *found = f == FOUND;
    if (f == WRONG_TYPE) {
        reply_err(c->reply, WIRE_WRONGTYPE);
        return false;
    }
    if (f == ABSENT) {
        return true;
    }
    buf_clear(room);
    if (!string_flat(v, room, bytes)) {
        reply_err(c->reply, WIRE_NOMEM);
        return false;
    }
    if (!hll_is_one(*bytes)) {
        reply_errf(c->reply, "WRONGTYPE Key is not a valid HyperLogLog string value.");
        return false;
    }
    return true;
}

static int64_t expiry_of(const struct string_value *v, bool found)
{
    return found ? entry_expire_at_ms(v->entry) : 0;
}

/* ---- PFADD ---- */

struct patch {
    uint32_t index;
    unsigned value;
};

/* A value that is about to be changed. Of a dense one a few registers are written, and logged, instead of
 * 12 KiB. */
struct adding {
    struct buf now; /* empty while there are patches only, or nothing */
    struct patch patches[PATCHES_MOST];
    size_t patched;
    bool changed;
};

static int add_to_copy(struct adding *a, uint32_t index, unsigned value)
{
    bool changed;
    int err = hll_raise(&a->now, index, value, conf_u64(&opt_hll_sparse_max_bytes), &changed);

    a->changed = a->changed || (err == OK && changed);
    return err;
}

/* From patches to a changed copy. */
static int begin_copy(struct adding *a, struct slice old)
{
    int err = buf_append_slice(&a->now, old);

    for (size_t i = 0; i < a->patched && err == OK; i++) {
        err = add_to_copy(a, a->patches[i].index, a->patches[i].value);
    }
    return err;
}

static int add_element(struct adding *a, struct slice old, struct slice element)
{
    uint32_t index;
    unsigned value = hll_hash(element, &index);
    size_t i = 0;

    if (a->now.len == 0 && hll_is_dense(old)) {
        if (hll_register(old, index) >= value) {
            return OK; /* the commonest */
        }
        while (i < a->patched && a->patches[i].index != index) {
            i++;
        }
        if (i < a->patched) {
            a->patches[i].value = value > a->patches[i].value ? value : a->patches[i].value;
            return OK;
        }
        if (i < PATCHES_MOST) {
            a->patches[a->patched++] = (struct patch){index, value};
            a->changed = true;
            return OK;
        }
    }
    int err = a->now.len == 0 ? begin_copy(a, old) : OK;

    return err == OK ? add_to_copy(a, index, value) : err;
}

static void put_patches(struct cmd *c, const struct adding *a, struct slice old)
{
    struct key key = cmd_key(c, 1);
    char groups[PATCHES_MOST][HLL_GROUP_BYTES];
    size_t at[PATCHES_MOST];
    char known = old.ptr[HLL_UNKNOWN_AT];

    /* All of them before the first write, until which `old` is there. Two in one group both bring it. */
    for (size_t i = 0; i < a->patched; i++) {
        struct slice group = hll_group(old, a->patches[i].index);

        at[i] = (size_t)(group.ptr - old.ptr);
        memcpy(groups[i], group.ptr, group.len);
        for (size_t k = 0; k < a->patched; k++) {
            if (hll_group(old, a->patches[k].index).ptr == group.ptr) {
                hll_set_in_group(groups[i], a->patches[k].index, a->patches[k].value);
            }
        }
    }
    if ((known & 0x80) == 0) {
        known = (char)(known | 0x80);
        string_put_range(c, key, HLL_UNKNOWN_AT, (struct slice){&known, 1});
    }
    for (size_t i = 0; i < a->patched; i++) {
        string_put_range(c, key, at[i], (struct slice){groups[i], HLL_GROUP_BYTES});
    }
}

static void cmd_pfadd(struct cmd *c)
{
    struct adding a = {0};
    struct buf room = {0};
    struct buf fresh = {0};
    struct string_value v;
    struct slice old;
    bool found;
    int err = OK;

    if (slices_take(c, c->argc > SLICES_FEW)) {
        return;
    }
    if (!hll_arg(c, 1, &v, &room, &old, &found)) {
        buf_fini(&room);
        return;
    }
    if (!found) {
        err = hll_create(&fresh);
        old = buf_slice(&fresh);
        err = err == OK ? buf_append_slice(&a.now, old) : err;
    }
    for (uint32_t i = 2; i < c->argc && err == OK && slices_tick(2); i++) {
        err = add_element(&a, old, c->argv[i]);
    }
    if (err != OK) {
        answer_failure(c, err);
    } else {
        if (a.now.len > 0 && (!found || a.changed)) {
            hll_forget(a.now.ptr);
            string_put(c, cmd_key(c, 1), buf_slice(&a.now), expiry_of(&v, found));
        } else if (a.changed) {
            put_patches(c, &a, old);
        }
        if (!found || a.changed) {
            notify(c, NOTIFY_STRING, "pfadd", c->argv[1]);
        }
        reply_int(c->reply, !found || a.changed);
    }
    buf_fini(&a.now);
    buf_fini(&fresh);
    buf_fini(&room);
}

/* ---- PFCOUNT ---- */

/* Of one: the count is kept with it, which is why this runs in a section (CMD_CACHES). */
static void count_one(struct cmd *c)
{
    uint8_t registers[HLL_REGISTERS] = {0};
    struct buf room = {0};
    struct string_value v;
    char head[HLL_HEAD];
    struct slice bytes;
    uint64_t count;
    bool found;

    if (!hll_arg(c, 1, &v, &room, &bytes, &found)) {
        /* answered */
    } else if (!found) {
        reply_int(c->reply, 0);
    } else if (hll_kept(bytes, &count)) {
        reply_int(c->reply, (int64_t)count);
    } else if (hll_merge(bytes, registers) != OK) {
        err_corrupt(c);
    } else {
        count = hll_estimate(registers);
        hll_keep(head, count);
        string_put_range(c, cmd_key(c, 1), HLL_COUNT_AT,
                         (struct slice){head + HLL_COUNT_AT, sizeof(count)});
        reply_int(c->reply, (int64_t)count);
    }
    buf_fini(&room);
}

/* The registers of argv[first] and on together; *dense: one of them is. False: an error was answered. */
static bool merge_args(struct cmd *c, uint32_t first, uint8_t *registers, bool *dense)
{
    struct buf room = {0};
    struct string_value v;
    struct slice bytes;
    bool found;
    bool fine = true;

    *dense = false;
    for (uint32_t i = first; i < c->argc && fine && slices_tick(STEPS_A_VALUE); i++) {
        fine = hll_arg(c, i, &v, &room, &bytes, &found);
        if (fine && found) {
            *dense = *dense || hll_is_dense(bytes);
            fine = hll_merge(bytes, registers) == OK;
            if (!fine) {
                err_corrupt(c);
            }
        }
    }
    buf_fini(&room);
    return fine;
}

static void cmd_pfcount(struct cmd *c)
{
    uint8_t registers[HLL_REGISTERS] = {0};
    bool dense;

    if (slices_take(c, c->argc > VALUES_FEW)) {
        return;
    }
    if (c->argc == 2) {
        count_one(c);
    } else if (merge_args(c, 1, registers, &dense)) {
        reply_int(c->reply, (int64_t)hll_estimate(registers));
    }
}

/* ---- PFMERGE ---- */

static int raise_all(struct buf *v, const uint8_t *registers)
{
    uint64_t sparse_max = conf_u64(&opt_hll_sparse_max_bytes);
    int err = OK;
    bool changed;

    for (uint32_t i = 0; i < HLL_REGISTERS && err == OK; i++) {
        if (registers[i] != 0) {
            err = hll_raise(v, i, registers[i], sparse_max, &changed);
        }
    }
    return err;
}

static void cmd_pfmerge(struct cmd *c)
{
    uint8_t registers[HLL_REGISTERS] = {0};
    struct buf room = {0};
    struct buf now = {0};
    struct string_value v;
    struct slice bytes;
    bool dense;
    bool found;
    int err;

    if (slices_take(c, c->argc > VALUES_FEW)) {
        return;
    }
    if (!merge_args(c, 1, registers, &dense) || !hll_arg(c, 1, &v, &room, &bytes, &found)) {
        buf_fini(&room);
        return;
    }
    err = found ? buf_append_slice(&now, bytes) : hll_create(&now);
    err = err == OK && dense ? hll_make_dense(&now) : err;
    err = err == OK ? raise_all(&now, registers) : err;
    if (err != OK) {
        answer_failure(c, err);
    } else {
        hll_forget(now.ptr);
        string_put(c, cmd_key(c, 1), buf_slice(&now), expiry_of(&v, found));
        notify(c, NOTIFY_STRING, "pfadd", c->argv[1]);
        reply_ok(c->reply);
    }
    buf_fini(&now);
    buf_fini(&room);
}

/* ---- PFDEBUG, PFSELFTEST ---- */

/* Makes it dense; *was: it was so before. False: an error was answered. */
static bool debug_dense(struct cmd *c, const struct string_value *v, struct slice bytes,
                        struct buf *now, bool *was)
{
    int err = buf_append_slice(now, bytes);

    *was = hll_is_dense(bytes);
    err = err == OK ? hll_make_dense(now) : err;
    if (err != OK) {
        answer_failure(c, err);
        return false;
    }
    if (!*was) {
        string_put(c, cmd_key(c, 2), buf_slice(now), expiry_of(v, true));
    }
    return true;
}

static void debug_registers(struct cmd *c, const struct string_value *v, struct slice bytes)
{
    struct buf now = {0};
    bool was;

    if (debug_dense(c, v, bytes, &now, &was)) {
        reply_array(c->reply, HLL_REGISTERS);
        for (uint32_t i = 0; i < HLL_REGISTERS; i++) {
            reply_int(c->reply, hll_register(buf_slice(&now), i));
        }
    }
    buf_fini(&now);
}

static void debug_decode(struct cmd *c, struct slice bytes)
{
    struct buf text = {0};
    int err;

    if (hll_is_dense(bytes)) {
        reply_errf(c->reply, "ERR HLL encoding is not sparse");
        return;
    }
    err = hll_decode(bytes, &text);
    if (err != OK) {
        answer_failure(c, err);
    } else {
        reply_bulk(c->reply, buf_slice(&text));
    }
    buf_fini(&text);
}

static void debug_one(struct cmd *c, const struct string_value *v, struct slice bytes)
{
    struct slice sub = c->argv[1];
    struct buf now = {0};
    bool was;

    if (slice_is_word(sub, "getreg")) {
        debug_registers(c, v, bytes);
    } else if (slice_is_word(sub, "decode")) {
        debug_decode(c, bytes);
    } else if (slice_is_word(sub, "encoding")) {
        reply_simple(c->reply, hll_is_dense(bytes) ? SLICE("dense") : SLICE("sparse"));
    } else if (slice_is_word(sub, "todense")) {
        if (debug_dense(c, v, bytes, &now, &was)) {
            reply_int(c->reply, !was);
        }
        buf_fini(&now);
    } else {
        reply_errf(c->reply, "ERR Unknown PFDEBUG subcommand '%.*s'",
                   sub.len < 128 ? (int)sub.len : 128, sub.ptr);
    }
}

static void cmd_pfdebug(struct cmd *c)
{
    struct buf room = {0};
    struct string_value v;
    struct slice bytes;
    bool found;

    if (!hll_arg(c, 2, &v, &room, &bytes, &found)) {
        /* answered */
    } else if (!found) {
        reply_errf(c->reply, "ERR The specified key does not exist");
    } else {
        debug_one(c, &v, bytes);
    }
    buf_fini(&room);
}

/* Known elements in a value of either form: both must hold the same registers, and their estimate may be
 * off by five times the error that the number of registers stands for (1.04 / 128). */
static const char *self_test(struct buf *sparse, struct buf *dense)
{
    static uint8_t const none[HLL_REGISTERS];
    uint8_t of_sparse[HLL_REGISTERS];
    uint8_t of_dense[HLL_REGISTERS];
    char digits[BUF_I64_MAX] = {0};
    uint32_t index;
    bool changed;

    if (hll_create(sparse) != OK || hll_create(dense) != OK || hll_make_dense(dense) != OK) {
        return "no memory";
    }
    for (uint64_t i = 1; i <= SELFTEST_ELEMENTS; i++) {
        unsigned value = hll_hash((struct slice){digits, buf_put_u64(digits, i)}, &index);

        if (hll_raise(sparse, index, value, HLL_DENSE_BYTES / 4, &changed) != OK ||
            hll_raise(dense, index, value, 0, &changed) != OK) {
            return "an element was refused";
        }
        if (i % (SELFTEST_ELEMENTS / 8) != 0 && i != 100 && i != 1000) {
            continue;
        }
        memcpy(of_sparse, none, sizeof(none));
        memcpy(of_dense, none, sizeof(none));
        if (hll_merge(buf_slice(sparse), of_sparse) != OK ||
            hll_merge(buf_slice(dense), of_dense) != OK ||
            memcmp(of_sparse, of_dense, sizeof(of_dense)) != 0) {
            return "sparse and dense registers differ";
        }
        int64_t off = (int64_t)hll_estimate(of_dense) - (int64_t)i;

        if ((double)(off < 0 ? -off : off) > (double)i * 5 * 1.04 / 128 + 1) {
            return "the estimate is too far off";
        }
    }
    return NULL;
}

static void cmd_pfselftest(struct cmd *c)
{
    struct buf sparse = {0};
    struct buf dense = {0};
    const char *failure = self_test(&sparse, &dense);

    if (failure != NULL) {
        reply_errf(c->reply, "TESTFAILED %s", failure);
    } else {
        reply_ok(c->reply);
    }
    buf_fini(&sparse);
    buf_fini(&dense);
}

/* clang-format off */
struct cmd_def hll_cmds[] = {
    { .name = "PFADD", .arity = -2, .flags = CMD_WRITE | CMD_GROWS | CMD_FAST, .keys = KEYS(1, 1, 1),
      .since = "2.8.9", .run = cmd_pfadd, .args = "key [element [element ...]]",
      .summary = "Counts elements in a HyperLogLog. Answers whether it changed." },
    { .name = "PFCOUNT", .arity = -2, .flags = CMD_READ | CMD_CACHES, .keys = KEYS(1, -1, 1),
      .since = "2.8.9", .run = cmd_pfcount, .args = "key [key ...]",
      .summary = "About how many different elements some HyperLogLogs have counted together." },
    { .name = "PFMERGE", .arity = -2, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, -1, 1),
      .since = "2.8.9", .run = cmd_pfmerge, .args = "destkey [sourcekey [sourcekey ...]]",
      .summary = "A HyperLogLog counts what others have counted too." },
    { .name = "PFDEBUG", .arity = 3, .flags = CMD_WRITE | CMD_GROWS | CMD_ADMIN, .keys = KEYS(2, 2, 1),
      .since = "2.8.9", .run = cmd_pfdebug, .args = "subcommand key",
      .summary = "How a HyperLogLog is kept: ENCODING, DECODE, GETREG, TODENSE." },
    { .name = "PFSELFTEST", .arity = 1, .flags = CMD_ADMIN, .keys = KEYS_NONE,
      .since = "2.8.9", .run = cmd_pfselftest, .args = "",
      .summary = "Counts known elements, and says whether the estimate holds." },
    CMD_END
};
/* clang-format on */
