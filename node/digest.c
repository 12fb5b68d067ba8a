#include "node/digest.h"

#include "base/err.h"
#include "base/hash.h"
#include "node/database.h"
#include "node/keyspace.h"
#include "node/type.h"
#include "node/type_hash.h"
#include "node/type_set.h"
#include "node/type_string.h"

/* Odd: so that pieces that change places change the sum. */
static uint64_t mix(uint64_t h, struct slice s)
{
    return (h ^ hash_key(s)) * 0x9e3779b97f4a7c15 + s.len;
}

static uint64_t mix_number(uint64_t h, uint64_t n)
{
    return mix(h, (struct slice){(const char *)&n, sizeof(n)});
}

static uint64_t of_string(const struct entry *e)
{
    struct string_value v;
    uint64_t h = 1;

    string_of_entry(e, &v);
    /* By bytes of one size, since pieces are the form's. */
    for (size_t at = 0; at < v.len;) {
        struct slice piece = string_chunk(&v, at);

        for (size_t i = 0; i < piece.len; i++) {
            h = (h ^ (uint8_t)piece.ptr[i]) * 0x100000001b3;
        }
        at += piece.len;
    }
    return mix_number(h, v.len);
}

static void add_field(const struct hash_field *f, void *arg)
{
    *(uint64_t *)arg += mix(mix(mix_number(1, (uint64_t)f->expire_at_ms), f->name), f->value);
}

static void add_member(struct slice member, void *arg)
{
    *(uint64_t *)arg += mix(2, member);
}

/* In the order of the operations that would make it. */
static int of_operations(const struct entry *e, uint64_t *out)
{
    struct change_writer w;
    struct buf b;
    int err;

    change_writer_init(&w);
    buf_init(&b);
    err = change_begin(&w, &b, 0);
    if (err == OK) {
        err = type_log(&w, entry_key(e), e);
    }
    *out = err == OK ? mix(3, (struct slice){b.ptr + CHANGE_HEAD_BYTES, b.len - CHANGE_HEAD_BYTES})
                     : 0;
    change_writer_fini(&w);
    buf_fini(&b);
    return err;
}

int digest_entry(struct database *db, const struct entry *e, uint64_t *out)
{
    static const struct cmd_def def = {.name = "DIGEST", .flags = CMD_READ};
    struct cmd c = {.def = &def, .db = db};
    struct key key = key_of(entry_key(e));
    uint64_t value = 0;
    int err = OK;
    struct hash hash;
    struct set set;

    switch (e->type) {
    case TYPE_STRING:
        value = of_string(e);
        break;
    case TYPE_HASH:
        if (hash_open(&c, key, &hash) == FOUND) {
            hash_each(&hash, add_field, &value);
            hash_close(&hash);
        }
        break;
    case TYPE_SET:
        if (set_open(&c, key, &set) == FOUND) {
            set_each(&set, add_member, &value);
            set_close(&set);
        }
        break;
    default:
        err = of_operations(e, &value);
        break;
    }
    *out =
        mix_number(mix_number(mix(e->type, entry_key(e)), (uint64_t)entry_expire_at_ms(e)), value);
    return err;
}

struct walk {
    struct database *db;
    struct digest *out;
    int err;
};

static void add_entry(struct entry *e, void *arg)
{
    struct walk *w = arg;
    uint64_t h;

    if (w->err == OK) {
        w->err = digest_entry(w->db, e, &h);
        w->out->keys++;
        w->out->sum += h;
    }
}

int digest_database(struct database *db, struct digest *out)
{
    struct walk w = {db, out, OK};

    *out = (struct digest){0};
    for (unsigned i = 0; i < PARTITIONS; i++) {
        const struct partition *p = database_partition(db, i);
        uint64_t cursor = 0;

        do {
            cursor = p == NULL ? 0 : table_scan(&p->table, cursor, 1000, add_entry, &w);
        } while (cursor != 0 && w.err == OK);
    }
    return w.err;
}
