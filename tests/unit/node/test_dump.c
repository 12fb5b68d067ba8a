/* What RESTORE reads, form by form, and what it refuses. tests/e2e/dump.test.js exchanges payloads
 * with redis-server. */
#include "base/err.h"
#include "base/fault.h"
#include "node/dump.h"
#include "node/type_hash.h"
#include "tests/lib/unit.h"

#include <stdio.h>

static void put_hex(struct buf *b, const char *hex)
{
    for (; hex[0] != '\0'; hex += hex[0] == ' ' ? 1 : 2) {
        unsigned byte;

        if (hex[0] != ' ' && sscanf(hex, "%2x", &byte) == 1) {
            CU_ASSERT_FATAL(buf_append_char(b, (char)byte) == OK);
        }
    }
}

/* With version and checksum. */
static struct slice payload_of(const char *hex, uint16_t version)
{
    struct buf b = {0};
    struct slice out;
    uint64_t crc;

    put_hex(&b, hex);
    CU_ASSERT_FATAL(buf_append(&b, &version, 2) == OK);
    crc = rdb_crc64(0, buf_slice(&b));
    CU_ASSERT_FATAL(buf_append(&b, &crc, 8) == OK);
    out = unit_guard(buf_slice(&b));
    buf_fini(&b);
    return out;
}

/* "text" of a string; name=value@expiry, of each field; "corrupt". */
static const char *read_text(struct slice payload, char *out)
{
    struct dump_value v;
    size_t n = 0;

    if (dump_read(payload, &v) != OK) {
        dump_value_fini(&v);
        return "corrupt";
    }
    if (v.type == TYPE_STRING) {
        n += (size_t)sprintf(out, "%.*s", (int)v.string.len, v.string.ptr);
    }
    for (size_t i = 0; i < v.count; i++) {
        const struct hash_field *f = &v.fields[i];

        n += (size_t)sprintf(out + n, "%.*s=%.*s", (int)f->name.len, f->name.ptr, (int)f->value.len,
                             f->value.ptr);
        if (v.type == TYPE_ZSET) {
            double score;

            memcpy(&score, &f->expire_at_ms, sizeof(score));
            n += (size_t)sprintf(out + n, "%g,", score);
        } else {
            n += (size_t)sprintf(out + n, f->expire_at_ms == 0 ? "," : "@%ld,", f->expire_at_ms);
        }
    }
    out[n] = '\0';
    dump_value_fini(&v);
    return out;
}

/* The first ones are what redis-server 7.0 wrote. */
static const struct {
    const char *hex, *text; /* NULL: refused */
} values[] = {
    {"00 05 68656c6c6f", "hello"},
    {"00 c2 90eefeff", "-70000"},
    {"10c33c40711f710000000c00816602817602816e020c01816d02f178ec03816c02f2701101040a8362696704f4351"
     "cdcdf0220290509817302bc78e03200013dff",
     "f=v,n=12,m=-5000,l=70000,big=12345678901,s="
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx,"},
    {"04 02 01 61 c0 05 01 62 01 63", "a=5,b=c,"},
    {"09 09 01 01 61 02 01 6262 00 ff", "a=bb,"},
    {"0d 10 10000000 0d000000 0200 00 0161 03 f6 ff", "a=5,"},
    {"10 0c 0c000000 0200 8161 02 05 01 ff", "a=5,"},
    /* The earliest expiry, then each one's distance from it plus one. */
    {"18 7b00000000000000 03 01 01 61 01 62 00 01 63 01 64 40c9 01 65 01 66",
     "a=b@123,c=d,e=f@323,"},
    {"19 7b00000000000000 12 12000000 0600 8161 02 05 01 7b 01 8162 02 06 01 00 01 ff", NULL},
    {"19 7b00000000000000 15 15000000 0600 8161 02 05 01 7b 01 8162 02 06 01 00 01 ff",
     "a=5@123,b=6,"},
    /* Sorted sets: scores as digits, as bits, in turn with the members. */
    {"03 02 01 61 03 312e35 01 62 fe", "a=1.5,b=inf,"},
    {"03 01 01 61 ff", "a=-inf,"},
    {"05 02 01 61 000000000000f83f 01 62 0000000000000000", "a=1.5,b=0,"},
    {"0c 10 10000000 0d000000 0200 00 0161 03 f6 ff", "a=5,"},
    {"11 0c 0c000000 0200 8161 02 05 01 ff", "a=5,"},
    {"03 01 01 61 fd", NULL},                                      /* a score that is no number */
    {"03 01 01 61 02 7878", NULL},                                 /* likewise */
    {"03 01 01 61 09 31", NULL},                                   /* digits that are not there */
    {"05 01 01 61 000000000000f87f", NULL},                        /* a score that is no number */
    {"05 00", NULL},                                               /* a sorted set of nothing */
    {"05 02 01 61 0000000000000000 01 61 0000000000000000", NULL}, /* a member twice */
    {"11 0c 0c000000 0200 8161 02 8162 02 ff", NULL},              /* a score that is no number */
    {"", NULL},
    {"01 02 01 61 c0 05", "a=,5=,"}, /* lists: elements stand as names */
    {"0a 10 10000000 0d000000 0200 00 0161 03 f6 ff", "a=,5=,"},
    {"0e 02 10 10000000 0d000000 0200 00 0161 03 f6 ff 0b 0b000000 0a000000 0000 ff", "a=,5=,"},
    {"12 02 01 05 68656c6c6f 02 0c 0c000000 0200 8161 02 05 01 ff", "hello=,a=,5=,"},
    {"01 00", NULL},                              /* a list of nothing */
    {"01 02 01 61", NULL},                        /* one of two elements */
    {"01 81 7fffffffffffffff 01 61", NULL},       /* elements that are promised take no memory */
    {"0e 81 7fffffffffffffff 01", NULL},          /* likewise, nodes */
    {"0e 01 0b 0b000000 0a000000 0000 ff", NULL}, /* a node of nothing */
    {"12 00", NULL},                              /* no node */
    {"12 01 03 01 61", NULL},                     /* neither plain nor packed */
    {"12 01 02 0c 0c000000 0300 8161 02 05 01 ff", NULL}, /* fewer than the node promises */
    {"ff 00", NULL},                                      /* nothing */
    {"00 05 68656c6c6f 00", NULL},                        /* more behind it */
    {"04 00", NULL},                                      /* a hash of nothing */
    {"10 07 07000000 0000 ff", NULL},                     /* likewise */
    {"04 02 01 61 01 62", NULL},                          /* one of two fields */
    {"04 81 7fffffffffffffff 01 61 01 62", NULL}, /* fields that are promised take no memory */
    {"04 02 01 61 01 62 01 61 01 63", NULL},      /* a name twice */
    {"10 0d 0d000000 0300 8161 02 05 01 06 01 ff", NULL}, /* a name without a value */
    {"18 ffffffffffffffff 01 01 01 61 01 62", NULL},      /* a moment past 48 bits */
    {"18 ffffffffffff0000 01 02 01 61 01 62", NULL},      /* likewise */
    {"18 7b000000", NULL},
    {"19 7b00000000000000 10 10000000 0300 8161 02 05 01 8162 02 ff", NULL}, /* not a moment */
};

static void reads_every_form(void)
{
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char out[1024];
        struct slice payload = payload_of(values[i].hex, 12);
        const char *want = values[i].text == NULL ? "corrupt" : values[i].text;

        CU_ASSERT(dump_is_sound(payload));
        if (strcmp(read_text(payload, out), want) != 0) {
            printf("  %s: %s\n", values[i].hex, read_text(payload, out));
        }
        CU_ASSERT_STRING_EQUAL(read_text(payload, out), want);
    }
}

static void judges_version_and_checksum(void)
{
    char bytes[64];
    struct slice good = payload_of("00 05 68656c6c6f", 10);

    CU_ASSERT(dump_is_sound(good));
    CU_ASSERT(dump_is_sound(payload_of("00 00", 0)));
    CU_ASSERT(dump_is_sound(payload_of("00 00", 12)));
    CU_ASSERT(!dump_is_sound(payload_of("00 00", 13)));
    CU_ASSERT(!dump_is_sound((struct slice){NULL, 0}));
    for (size_t bit = 0; bit < 8 * good.len; bit++) {
        memcpy(bytes, good.ptr, good.len);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        CU_ASSERT(!dump_is_sound((struct slice){bytes, good.len}));
    }
    for (size_t n = 0; n < good.len; n++) {
        CU_ASSERT(!dump_is_sound(unit_guard((struct slice){good.ptr, n})));
    }
}

/* Every byte of every payload changed and every one cut, with a checksum that fits: no crash, and
 * what is refused leaves nothing behind. */
static void survives_damage(void)
{
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct buf b = {0};
        char out[70000];

        put_hex(&b, values[i].hex);
        for (size_t at = 0; at < b.len; at++) {
            static const uint8_t other[] = {0,    1,    0x3f, 0x40, 0x7f, 0x80,
                                            0x81, 0xc3, 0xf0, 0xfe, 0xff};
            char was = b.ptr[at];

            for (size_t k = 0; k < sizeof(other); k++) {
                struct slice s;

                b.ptr[at] = (char)other[k];
                s = unit_guard(buf_slice(&b));
                /* As if the footer were there: dump_read() does not look at it. */
                (void)read_text((struct slice){s.ptr, s.len + 10}, out);
            }
            b.ptr[at] = was;
            (void)read_text((struct slice){unit_guard((struct slice){b.ptr, at}).ptr, at + 10},
                            out);
        }
        buf_fini(&b);
    }
}

static void out_of_memory_is_told_apart(void)
{
    struct slice payload = payload_of(values[2].hex, 10);
    int err;
    int nth = 0;

    do {
        struct dump_value v;

        fault_fail_nth(++nth);
        err = dump_read(payload, &v);
        fault_off();
        CU_ASSERT(err == OK || err == ERR_NOMEM);
        dump_value_fini(&v);
    } while (err != OK && nth < 50);
    CU_ASSERT_EQUAL(err, OK);
    CU_ASSERT(nth > 3);
}

const struct unit_test test_dump[] = {UNIT(reads_every_form), UNIT(judges_version_and_checksum),
                                      UNIT(survives_damage), UNIT(out_of_memory_is_told_apart),
                                      UNIT_END};
