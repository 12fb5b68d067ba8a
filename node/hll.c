/* hll.c - the algorithm: Flajolet and others, "HyperLogLog" (2007); the estimator is that of O. Ertl, "New
 * cardinality estimation algorithms for HyperLogLog sketches" (2017), section 4; the hash is A. Appleby's
 * MurmurHash64A. */
#include "node/hll.h"

#include "base/err.h"

#include <assert.h>
#include <endian.h>
#include <math.h>

enum {
    INDEX_BITS = 14,
    HASH_BITS = 64 - INDEX_BITS,
    REGISTER_BITS = 6,
    REGISTER_MAX = (1 << REGISTER_BITS) - 1,
    FORM_AT = 4,
    FORM_DENSE = 0,
    FORM_SPARSE = 1,
    ZEROS_MAX = 64,
    VALUE_MAX = 32,
    VALUE_RUN_MAX = 4,
    MERGE_STEPS = 5 /* runs that are looked at for joining after a change */
};

/* ---- The head ---- */

bool hll_is_one(struct slice v)
{
    if (v.len < HLL_HEAD || memcmp(v.ptr, "HYLL", 4) != 0 ||
        (unsigned char)v.ptr[FORM_AT] > FORM_SPARSE) {
        return false;
    }
    return v.ptr[FORM_AT] == FORM_SPARSE || v.len == HLL_DENSE_BYTES;
}

bool hll_is_dense(struct slice v)
{
    return v.ptr[FORM_AT] == FORM_DENSE;
}

bool hll_kept(struct slice v, uint64_t *count)
{
    uint64_t le;

    memcpy(&le, v.ptr + HLL_COUNT_AT, sizeof(le));
    *count = le64toh(le);
    return (v.ptr[HLL_UNKNOWN_AT] & 0x80) == 0;
}

void hll_forget(char *v)
{
    v[HLL_UNKNOWN_AT] = (char)(v[HLL_UNKNOWN_AT] | 0x80);
}

void hll_keep(char *v, uint64_t count)
{
    uint64_t le = htole64(count);

    memcpy(v + HLL_COUNT_AT, &le, sizeof(le));
}

int hll_create(struct buf *out)
{
    static const char head[HLL_HEAD] = {'H', 'Y', 'L', 'L', FORM_SPARSE};
    int err = buf_append(out, head, sizeof(head));

    /* All registers in one run. */
    return err == OK ? buf_append(out, "\x7f\xff", 2) : err;
}

/* ---- Hashing ---- */

#define MURMUR_SEED 0xadc83b19u
#define MURMUR_M    0xc6a4a7935bd1e995u
enum { MURMUR_R = 47 };

static uint64_t murmur64a(struct slice s)
{
    uint64_t h = MURMUR_SEED ^ s.len * MURMUR_M;
    const char *at = s.ptr;
    size_t left = s.len;

    for (; left >= 8; left -= 8, at += 8) {
        uint64_t k;

        memcpy(&k, at, sizeof(k));
        k = le64toh(k) * MURMUR_M;
        k = (k ^ k >> MURMUR_R) * MURMUR_M;
        h = (h ^ k) * MURMUR_M;
    }
    if (left > 0) {
        uint64_t k = 0;

        memcpy(&k, at, left);
        h = (h ^ le64toh(k)) * MURMUR_M;
    }
    h = (h ^ h >> MURMUR_R) * MURMUR_M;
    return h ^ h >> MURMUR_R;
}

unsigned hll_hash(struct slice element, uint32_t *index)
{
    uint64_t h = murmur64a(element);

    *index = (uint32_t)(h & (HLL_REGISTERS - 1));
    /* A bit beyond the last, so that the run ends there. */
    return (unsigned)__builtin_ctzll(h >> INDEX_BITS | (uint64_t)1 << HASH_BITS) + 1;
}

/* ---- Dense ---- */

struct slice hll_group(struct slice v, uint32_t index)
{
    return (struct slice){v.ptr + HLL_HEAD + (size_t)(index / HLL_GROUP) * HLL_GROUP_BYTES,
                          HLL_GROUP_BYTES};
}

static uint32_t group_bits(const char *group)
{
    return (uint32_t)(unsigned char)group[0] | (uint32_t)(unsigned char)group[1] << 8 |
           (uint32_t)(unsigned char)group[2] << 16;
}

static uint32_t shift_of(uint32_t index)
{
    return index % HLL_GROUP * REGISTER_BITS;
}

unsigned hll_register(struct slice v, uint32_t index)
{
    return group_bits(hll_group(v, index).ptr) >> shift_of(index) & REGISTER_MAX;
}

void hll_set_in_group(char group[HLL_GROUP_BYTES], uint32_t index, unsigned value)
{
    uint32_t bits = group_bits(group);

    bits = (bits & ~((uint32_t)REGISTER_MAX << shift_of(index))) | value << shift_of(index);
    group[0] = (char)bits;
    group[1] = (char)(bits >> 8);
    group[2] = (char)(bits >> 16);
}

void hll_set_register(char *v, uint32_t index, unsigned value)
{
    hll_set_in_group(v + HLL_HEAD + (size_t)(index / HLL_GROUP) * HLL_GROUP_BYTES, index, value);
}

/* ---- Sparse: runs ---- */

struct run {
    uint32_t length;
    unsigned value; /* 0: zeros */
    unsigned bytes;
};

/* The run at `at`; false: it is cut off. */
static bool run_read(const char *at, const char *end, struct run *out)
{
    unsigned first = (unsigned char)at[0];

    if ((first & 0x80) != 0) {
        *out = (struct run){(first & 3) + 1, (first >> 2 & 31) + 1, 1};
    } else if ((first & 0x40) == 0) {
        *out = (struct run){(first & 63) + 1, 0, 1};
    } else {
        if (end - at < 2) {
            return false;
        }
        *out = (struct run){((first & 63) << 8 | (unsigned char)at[1]) + 1, 0, 2};
    }
    return true;
}

static char *put_zeros(char *at, uint32_t length)
{
    if (length > ZEROS_MAX) {
        *at++ = (char)(0x40 | (length - 1) >> 8);
        *at++ = (char)(length - 1);
    } else if (length > 0) {
        *at++ = (char)(length - 1);
    }
    return at;
}

static char *put_values(char *at, unsigned value, uint32_t length)
{
    if (length > 0) {
        *at++ = (char)(0x80 | (value - 1) << 2 | (length - 1));
    }
    return at;
}

/* Calls fn for each run; ERR_CORRUPT unless they are 16384 registers together. */
static int each_run(struct slice v, void (*fn)(uint32_t index, const struct run *run, void *arg),
                    void *arg)
{
    const char *at = v.ptr + HLL_HEAD;
    const char *end = v.ptr + v.len;
    uint32_t index = 0;
    struct run run;

    for (; at < end; at += run.bytes) {
        if (!run_read(at, end, &run) || index + run.length > HLL_REGISTERS) {
            return ERR_CORRUPT;
        }
        fn(index, &run, arg);
        index += run.length;
    }
    return index == HLL_REGISTERS ? OK : ERR_CORRUPT;
}

static void set_dense(uint32_t index, const struct run *run, void *arg)
{
    for (uint32_t i = 0; run->value != 0 && i < run->length; i++) {
        hll_set_register(arg, index + i, run->value);
    }
}

int hll_make_dense(struct buf *v)
{
    struct buf dense = {0};
    int err;

    if (hll_is_dense(buf_slice(v))) {
        return OK;
    }
    if (buf_reserve(&dense, HLL_DENSE_BYTES) != OK) {
        return ERR_NOMEM;
    }
    memset(dense.ptr, 0, HLL_DENSE_BYTES);
    memcpy(dense.ptr, v->ptr, HLL_HEAD);
    dense.ptr[FORM_AT] = FORM_DENSE;
    dense.len = HLL_DENSE_BYTES;
    err = each_run(buf_slice(v), set_dense, dense.ptr);
    if (err == OK) {
        buf_fini(v);
        *v = dense;
    } else {
        buf_fini(&dense);
    }
    return err;
}

/* Joins neighbours of one value, in the few runs from `at` on. */
static void join_runs(struct buf *v, size_t at)
{
    for (int i = 0; i < MERGE_STEPS && at < v->len; i++) {
        const char *end = v->ptr + v->len;
        struct run run;
        struct run next;

        if (!run_read(v->ptr + at, end, &run)) {
            return;
        }
        if (run.value != 0 && at + 1 < v->len && run_read(v->ptr + at + 1, end, &next) &&
            next.value == run.value && run.length + next.length <= VALUE_RUN_MAX) {
            (void)put_values(v->ptr + at, run.value, run.length + next.length);
            buf_move(v->ptr + at + 1, v->ptr + at + 2, v->len - at - 2);
            v->len--;
        } else {
            at += run.bytes;
        }
    }
}

/* Where a register's run is. */
struct place {
    size_t at, before; /* the run's, and the one before's, or the first's */
    uint32_t index;    /* its first register */
    struct run run;
};

static int find_run(const struct buf *v, uint32_t index, struct place *out)
{
    const char *end = v->ptr + v->len;

    *out = (struct place){.at = HLL_HEAD, .before = HLL_HEAD};
    for (;;) {
        if (out->at >= v->len || !run_read(v->ptr + out->at, end, &out->run)) {
            return ERR_CORRUPT;
        }
        if (index < out->index + out->run.length) {
            return OK;
        }
        out->before = out->at;
        out->at += out->run.bytes;
        out->index += out->run.length;
    }
}

/* The run with one register in it raised: up to three runs, five bytes. */
static size_t split_run(const struct place *p, uint32_t index, unsigned value, char out[8])
{
    uint32_t front = index - p->index;
    uint32_t back = p->run.length - front - 1;
    char *at = out;

    at = p->run.value == 0 ? put_zeros(at, front) : put_values(at, p->run.value, front);
    at = put_values(at, value, 1);
    at = p->run.value == 0 ? put_zeros(at, back) : put_values(at, p->run.value, back);
    return (size_t)(at - out);
}

static int raise_dense(struct buf *v, uint32_t index, unsigned value, bool *changed)
{
    *changed = hll_register(buf_slice(v), index) < value;
    if (*changed) {
        hll_set_register(v->ptr, index, value);
    }
    return OK;
}

static int raise_in_dense(struct buf *v, uint32_t index, unsigned value, bool *changed)
{
    int err = hll_make_dense(v);

    return err == OK ? raise_dense(v, index, value, changed) : err;
}

int hll_raise(struct buf *v, uint32_t index, unsigned value, uint64_t sparse_max, bool *changed)
{
    struct place p;
    char runs[8];
    int err;

    assert(index < HLL_REGISTERS && value > 0 && value <= REGISTER_MAX);
    *changed = false;
    if (hll_is_dense(buf_slice(v))) {
        return raise_dense(v, index, value, changed);
    }
    if (value > VALUE_MAX) {
        return raise_in_dense(v, index, value, changed);
    }
    err = find_run(v, index, &p);
    if (err != OK || p.run.value >= value) {
        return err;
    }
    size_t bytes = split_run(&p, index, value, runs);
    size_t more = bytes > p.run.bytes ? bytes - p.run.bytes : 0;

    if (more > 0 && v->len + more > sparse_max) {
        return raise_in_dense(v, index, value, changed);
    }
    if (buf_reserve(v, more) != OK) {
        return ERR_NOMEM;
    }
    buf_move(v->ptr + p.at + bytes, v->ptr + p.at + p.run.bytes, v->len - p.at - p.run.bytes);
    memcpy(v->ptr + p.at, runs, bytes);
    v->len = v->len + bytes - p.run.bytes;
    join_runs(v, p.before);
    hll_forget(v->ptr);
    *changed = true;
    return OK;
}

/* ---- All registers ---- */

static void merge_run(uint32_t index, const struct run *run, void *arg)
{
    uint8_t *registers = arg;

    for (uint32_t i = index; run->value != 0 && i < index + run->length; i++) {
        if (run->value > registers[i]) {
            registers[i] = (uint8_t)run->value;
        }
    }
}

int hll_merge(struct slice v, uint8_t registers[HLL_REGISTERS])
{
    if (!hll_is_dense(v)) {
        return each_run(v, merge_run, registers);
    }
    for (uint32_t i = 0; i < HLL_REGISTERS; i += HLL_GROUP) {
        uint32_t bits = group_bits(hll_group(v, i).ptr);

        for (uint32_t k = i; k < i + HLL_GROUP; k++, bits >>= REGISTER_BITS) {
            uint8_t value = bits & REGISTER_MAX;

            registers[k] = value > registers[k] ? value : registers[k];
        }
    }
    return OK;
}

static double sigma(double x)
{
    double y = 1;
    double z = x;
    double before;

    if (x == 1) {
        return INFINITY;
    }
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z != before);
    return z;
}

static double tau(double x)
{
    double y = 1;
    double z = 1 - x;
    double before;

    if (x == 0 || x == 1) {
        return 0;
    }
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z != before);
    return z / 3;
}

uint64_t hll_estimate(const uint8_t registers[HLL_REGISTERS])
{
    const double alpha = 0.721347520444481703680; /* 1 / (2 ln 2) */
    const double m = HLL_REGISTERS;
    uint32_t of[REGISTER_MAX + 1] = {0};

    for (uint32_t i = 0; i < HLL_REGISTERS; i++) {
        of[registers[i]]++;
    }
    double z = m * tau((m - of[HASH_BITS + 1]) / m);

    for (int i = HASH_BITS; i > 0; i--) {
        z = (z + of[i]) * 0.5;
    }
    z += m * sigma(of[0] / m);
    return (uint64_t)llroundl((long double)(alpha * m * m / z));
}

struct decoding {
    struct buf *out;
    int err;
};

static void decode_run(uint32_t index, const struct run *run, void *arg)
{
    struct decoding *d = arg;
    const char *blank = index == 0 ? "" : " ";

    if (d->err != OK) {
        return;
    }
    if (run->value != 0) {
        d->err = buf_printf(d->out, "%sv:%u,%u", blank, run->value, run->length);
    } else {
        d->err = buf_printf(d->out, "%s%c:%u", blank, run->bytes == 2 ? 'Z' : 'z', run->length);
    }
}

int hll_decode(struct slice v, struct buf *out)
{
    struct decoding d = {out, OK};
    int err = each_run(v, decode_run, &d);

    return err == OK ? d.err : err;
}
