/* restore.c - DUMP and RESTORE. */
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "edge/backend.h"
#include "node/cmd/families.h"
#include "node/dump.h"
#include "node/evict.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/section.h"
#include "node/slices.h"
#include "node/type.h"

enum {
    PIECE_BYTES = 64 << 10,
    PIECE_STEPS = 500,
    LONG_BYTES = 32 << 10
}; /* of a payload that is replied */

/* A payload that is written, then replied, in slices. */
struct dumping {
    struct dump_writing *writing; /* owned */
    size_t sent;
};

static void dumping_free(void *progress)
{
    struct dumping *d = progress;

    dump_writing_destroy(d->writing);
    mem_free(d, sizeof(*d));
}

static void dump_go_on(struct cmd *c)
{
    struct dumping *d = c->progress;
    struct dump_writing *w = d->writing;
    bool was_done = w->is_done;

    if (!was_done) {
        if (dump_write_slice(c, w) != OK) {
            reply_err(c->reply, WIRE_NOMEM);
            c->progress = NULL;
            dumping_free(d);
            return;
        }
        c->drops_locks = !w->needs_lock;
        c->again = true;
        return;
    }
    if (d->sent == 0) {
        reply_bulk_begin(c->reply, w->out.len);
    }
    size_t left = w->out.len - d->sent;
    size_t n = left < STRING_SLICE ? left : STRING_SLICE;

    reply_bulk_piece(c->reply, (struct slice){w->out.ptr + d->sent, n});
    d->sent += n;
    c->again = d->sent < w->out.len;
    if (!c->again) {
        reply_bulk_end(c->reply);
        c->progress = NULL;
        dumping_free(d);
    }
}

static void dump_long(struct cmd *c, struct key key, const struct entry *e)
{
    struct dumping *d;

    if (c->section == NULL) {
        cmd_needs_locks(c);
        return;
    }
    d = mem_zalloc(sizeof(*d));
    if (d != NULL) {
        d->writing = dump_writing_create(c, key, e);
    }
    if (d == NULL || d->writing == NULL) {
        mem_free(d, sizeof(*d));
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    c->progress = d;
    c->progress_free = dumping_free;
    c->go_on = dump_go_on;
    dump_go_on(c);
}

static void reply_payload(struct cmd *c, struct slice payload)
{
    reply_bulk_begin(c->reply, payload.len);
    for (size_t at = 0; at < payload.len; at += PIECE_BYTES) {
        size_t left = payload.len - at;

        (void)slices_tick(PIECE_STEPS);
        reply_bulk_piece(c->reply,
                         (struct slice){payload.ptr + at, left < PIECE_BYTES ? left : PIECE_BYTES});
    }
    reply_bulk_end(c->reply);
}

static void cmd_dump(struct cmd *c)
{
    struct key key = cmd_key(c, 1);
    const struct entry *e = keyspace_peek(c, key);
    struct buf out = {0};
    int err;

    if (e == NULL) {
        reply_null(c->reply);
        return;
    }
    if (dump_is_long(e) && dump_has_slices(e)) {
        dump_long(c, key, e);
        return;
    }
    if (slices_take(c, dump_is_long(e))) {
        return;
    }
    err = dump_is_long(e) ? buf_reserve(&out, type_bytes(e)) : OK;
    err = err == OK ? dump_write(c, key, e, &out) : err;
    if (err == OK) {
        reply_payload(c, buf_slice(&out));
    } else {
        reply_err(c->reply, WIRE_NOMEM);
    }
    buf_fini(&out);
}

struct restore_options {
    bool replace, absolute;
    int64_t idle_seconds, frequency; /* -1: not given */
};

/* A number from 0 to max; false when an error was answered. */
static bool use_arg(struct cmd *c, uint32_t index, int64_t max, const char *otherwise, int64_t *out)
{
    if (!parse_i64(c->argv[index], out)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    if (*out < 0 || *out > max) {
        reply_errf(c->reply, "ERR %s", otherwise);
        return false;
    }
    return true;
}

/* False when an error was answered. */
static bool restore_options(struct cmd *c, struct restore_options *o)
{
    *o = (struct restore_options){.idle_seconds = -1, .frequency = -1};
    for (uint32_t i = 4; i < c->argc; i++) {
        bool more = i + 1 < c->argc;

        if (slice_is_word(c->argv[i], "replace")) {
            o->replace = true;
        } else if (slice_is_word(c->argv[i], "absttl")) {
            o->absolute = true;
        } else if (more && o->frequency < 0 && slice_is_word(c->argv[i], "idletime")) {
            if (!use_arg(c, ++i, INT64_MAX, "Invalid IDLETIME value, must be >= 0",
                         &o->idle_seconds)) {
                return false;
            }
        } else if (more && o->idle_seconds < 0 && slice_is_word(c->argv[i], "freq")) {
            if (!use_arg(c, ++i, 255, "Invalid FREQ value, must be >= 0 and <= 255",
                         &o->frequency)) {
                return false;
            }
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    return true;
}

/* How long unused, or how often used, if the policy goes by that: by the other one it is for nothing. */
static void note_use(struct cmd *c, struct key key, const struct restore_options *o)
{
    struct entry *e = section_find(c->section, key);

    if (e == NULL || !evict_uses_clock()) {
        return;
    }
    if (evict_is_lfu()) {
        if (o->frequency >= 0) {
            evict_set_frequency(e, (uint8_t)o->frequency);
        }
    } else if (o->idle_seconds >= 0) {
        evict_set_idle(e, o->idle_seconds);
    }
}

/* What was checked becomes the key. */
static void restore(struct cmd *c, struct key key, const struct dump_value *v,
                    const struct restore_options *o, int64_t ttl)
{
    int64_t at_ms = ttl;

    if (ttl != 0 && !o->absolute && __builtin_add_overflow(ttl, c->now_ms, &at_ms)) {
        at_ms = INT64_MAX;
    }
    bool was_there = keyspace_drop(c, key);

    /* Expired on its way here: replaced by nothing. */
    if (at_ms == 0 || at_ms > c->now_ms) {
        dump_store(c, key, v, at_ms);
        note_use(c, key, o);
        notify(c, NOTIFY_GENERIC, "restore", key.name);
    } else if (was_there) {
        notify(c, NOTIFY_GENERIC, "del", key.name);
    }
    reply_ok(c->reply);
}

static void cmd_restore(struct cmd *c)
{
    struct key key = cmd_key(c, 1);
    struct restore_options o;
    struct dump_value v;
    int64_t ttl;
    int err;

    if (slices_take(c, c->argv[3].len > LONG_BYTES) || !restore_options(c, &o)) {
        return;
    }
    if (!o.replace && keyspace_peek(c, key) != NULL) {
        reply_err(c->reply, WIRE_BUSYKEY);
        return;
    }
    if (!parse_i64(c->argv[2], &ttl)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return;
    }
    if (ttl < 0) {
        reply_errf(c->reply, "ERR Invalid TTL value, must be >= 0");
        return;
    }
    if (!dump_is_sound(c->argv[3])) {
        reply_err(c->reply, WIRE_BAD_PAYLOAD);
        return;
    }
    err = dump_read(c->argv[3], &v);
    if (err == OK) {
        restore(c, key, &v, &o, ttl);
    } else {
        reply_err(c->reply, err == ERR_NOMEM ? WIRE_NOMEM : WIRE_BAD_DATA);
    }
    dump_value_fini(&v);
}

/* clang-format off */
struct cmd_def restore_cmds[] = {
    { "DUMP",     2, CMD_READ | CMD_RANDOM,                    KEYS(1, 1, 1), "2.6.0", cmd_dump, "key",
      "The value of a key in Redis' own form, for RESTORE." },
    { "RESTORE", -4, CMD_WRITE | CMD_GROWS | CMD_DANGEROUS,    KEYS(1, 1, 1), "2.6.0", cmd_restore,
      "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
      "Makes a key of what DUMP gave." },
    { "RESTORE-ASKING", -4, CMD_WRITE | CMD_GROWS | CMD_DANGEROUS | CMD_INTERNAL, KEYS(1, 1, 1), "3.0.0", cmd_restore,
      "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
      "As RESTORE, while a slot moves." },
    CMD_END
};
/* clang-format on */
