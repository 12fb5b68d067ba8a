/* hash_random.c - HRANDFIELD. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/worker.h"
#include "node/cmd/hash.h"

enum {
    GATHER_MOST = 4096,    /* a hash of so many is listed before some are drawn */
    RANDOM_MOST = 1 << 20, /* drawn with repeats by one command: about a second */
};

/* How fields are drawn. */
enum way {
    DRAW_ALL,     /* as they stand */
    DRAW_LISTED,  /* of a small hash: listed once, then by number, shuffled as far as needed */
    DRAW_REPEATS, /* one by one */
    DRAW_ON_WALK, /* a good part of a large hash: one walk, each field with the chance that is left for it */
    DRAW_APART /* a small part: one by one, those drawn before passed over. They are known by where their
                * names lie, in an open-addressing table at most half full */
};

/* What is drawn from a hash, and how it is written. */
struct draw {
    struct cmd *c; /* at this turn */
    struct hash h;
    struct rand local;
    size_t total; /* live fields */
    size_t count; /* to draw still */
    enum way way;
    bool repeats;
    hash_each_fn write;
    uint64_t cursor;         /* of a walk */
    struct hash_field *list; /* owned; the hash's fields */
    size_t listed;
    const char **drawn; /* owned: where the names lie that were drawn */
    size_t cap;         /* of list or drawn */
};

static void lists_free(struct draw *d)
{
    if (d->list != NULL) {
        mem_free(d->list, d->cap * sizeof(d->list[0]));
    }
    if (d->drawn != NULL) {
        mem_free(d->drawn, d->cap * sizeof(d->drawn[0]));
    }
}

static void draw_free(void *progress)
{
    struct draw *d = progress;

    lists_free(d);
    mem_free(d, sizeof(*d));
}

static struct rand *chance(struct rand *local)
{
    if (worker_self() != NULL) {
        return &worker_self()->rand;
    }
    if (local->state == 0) {
        local->state = (uint64_t)clock_mono_ns();
    }
    return local;
}

static void list_field(const struct hash_field *f, void *arg)
{
    struct draw *d = arg;

    d->list[d->listed++] = *f;
}

/* False: no memory. */
static bool draw_begin(struct draw *d)
{
    bool all = !d->repeats && d->count == d->total;
    bool listed = d->total <= GATHER_MOST;

    d->way = all                       ? DRAW_ALL
             : listed                  ? DRAW_LISTED
             : d->repeats              ? DRAW_REPEATS
             : d->count > d->total / 3 ? DRAW_ON_WALK
                                       : DRAW_APART;
    if (d->way == DRAW_LISTED) {
        d->cap = d->total;
        d->list = mem_alloc(d->cap * sizeof(d->list[0]));
        if (d->list != NULL) {
            hash_each(&d->h, list_field, d);
        }
        return d->list != NULL;
    }
    if (d->way == DRAW_APART) {
        for (d->cap = 16; d->cap < d->count * 2;) {
            d->cap *= 2;
        }
        d->drawn = mem_zalloc(d->cap * sizeof(d->drawn[0]));
        return d->drawn != NULL;
    }
    return true;
}

static void draw_listed(struct draw *d, struct rand *r)
{
    size_t from = d->repeats ? 0 : d->total - d->listed;
    size_t at = from + rand_below(r, d->listed);
    struct hash_field f = d->list[at];

    if (!d->repeats) {
        d->list[at] = d->list[from];
        d->list[from] = f;
        d->listed--;
    }
    d->write(&f, d->c->reply);
}

static void draw_on_walk(const struct hash_field *f, void *arg)
{
    struct draw *d = arg;

    if (rand_below(chance(&d->local), d->total) < d->count) {
        d->write(f, d->c->reply);
        d->count--;
    }
    d->total--;
}

/* False: it was drawn before. */
static bool draw_apart(struct draw *d, const struct hash_field *f)
{
    size_t at = ((uintptr_t)f->name.ptr >> 4) * 0x9e3779b97f4a7c15u & (d->cap - 1);

    while (d->drawn[at] != NULL && d->drawn[at] != f->name.ptr) {
        at = (at + 1) & (d->cap - 1);
    }
    if (d->drawn[at] != NULL) {
        return false;
    }
    d->drawn[at] = f->name.ptr;
    d->write(f, d->c->reply);
    return true;
}

/* One field; false if there is none left. */
static bool draw_one(struct draw *d)
{
    struct rand *r = chance(&d->local);
    struct hash_field f = {0};

    if (d->way == DRAW_LISTED) {
        draw_listed(d, r);
        d->count--;
    } else if (!hash_random(&d->h, r, &f)) {
        return false;
    } else if (d->way == DRAW_REPEATS) {
        d->write(&f, d->c->reply);
        d->count--;
    } else {
        d->count -= draw_apart(d, &f);
    }
    return true;
}

/* A turn's part. True when all is drawn. */
static bool draw_slice(struct cmd *c, struct draw *d)
{
    size_t full = c->reply->out.len + HASH_SLICE_BYTES;

    d->c = c;
    if (d->way == DRAW_ALL) {
        return hash_next_fields(c, &d->h, &d->cursor, d->write, c->reply);
    }
    if (d->way == DRAW_ON_WALK) {
        return hash_next_fields(c, &d->h, &d->cursor, draw_on_walk, d);
    }
    for (size_t n = 0; n < HASH_SLICE_FIELDS && d->count > 0 && c->reply->out.len < full; n++) {
        if (!draw_one(d)) {
            return true;
        }
    }
    return d->count == 0 || c->reply->failed;
}

static void draw_go_on(struct cmd *c)
{
    if (draw_slice(c, c->progress)) {
        draw_free(c->progress);
        c->progress = NULL;
    } else {
        c->again = true;
    }
}

/* False when an error was answered. */
static bool random_options(struct cmd *c, int64_t *count, bool *with_values)
{
    *with_values = c->argc == 4 && slice_is_word(c->argv[3], "withvalues");
    if (!parse_i64(c->argv[2], count)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    if (*count == INT64_MIN) {
        reply_errf(c->reply, "ERR value is out of range, value must between -%lld and %lld",
                   (long long)INT64_MAX, (long long)INT64_MAX);
        return false;
    }
    if (c->argc > 4 || (c->argc == 4 && !*with_values)) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    if ((*with_values && (*count < -INT64_MAX / 2 || *count > INT64_MAX / 2)) ||
        *count < -(int64_t)RANDOM_MOST) {
        reply_errf(c->reply, "ERR value is out of range");
        return false;
    }
    return true;
}

static void random_one(struct cmd *c)
{
    struct rand local = {0};
    struct hash_field f = {0};
    struct hash h;
    bool found;

    if (!hash_arg(c, &h, &found)) {
        return;
    }
    if (found && hash_random(&h, chance(&local), &f)) {
        reply_bulk(c->reply, f.name);
    } else {
        reply_null(c->reply);
    }
    if (found) {
        hash_close(&h);
    }
}

static void draw(struct cmd *c, struct draw *d, bool with_values)
{
    size_t from = c->reply->out.len;
    uint32_t flags = c->reply->flags;
    struct draw *moved;

    if (d->count > 0 && !draw_begin(d)) {
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    if (with_values && d->count > 0) {
        reply_pairs(c->reply, d->count);
    } else {
        reply_array(c->reply, d->count);
    }
    if (c->section != NULL && d->count > 0) {
        reply_expect(c->reply, hash_bytes(&d->h) / d->total * d->count);
    }
    if (d->count > 0 && !draw_slice(c, d)) {
        moved = c->section == NULL ? NULL : mem_alloc(sizeof(*moved));
        if (moved != NULL) {
            *moved = *d;
            c->progress = moved;
            c->progress_free = draw_free;
            c->go_on = draw_go_on;
            c->again = true;
            return;
        }
        while (c->section == NULL && !draw_slice(c, d)) { /* few, but large */
        }
        if (c->section != NULL) {
            c->reply->out.len = from;
            c->reply->flags = flags;
            reply_err(c->reply, WIRE_NOMEM);
        }
    }
    lists_free(d);
}

void hash_random_run(struct cmd *c)
{
    struct hash h;
    int64_t count;
    bool with_values;
    bool found;

    if (c->argc == 2) {
        random_one(c);
        return;
    }
    if (!random_options(c, &count, &with_values) || !hash_arg(c, &h, &found)) {
        return;
    }
    if (!found) {
        reply_array(c->reply, 0);
        return;
    }
    struct draw d = {.h = h,
                     .repeats = count < 0,
                     .total = hash_count(&h),
                     .count = (size_t)(count < 0 ? -count : count),
                     .write = with_values ? hash_reply_pair : hash_reply_name};

    if (!d.repeats && d.count > d.total) {
        d.count = d.total;
    }
    /* On a walk the hash's length counts, not the number asked for. */
    if (c->section == NULL &&
        (d.count > HASH_SLICE_FIELDS || (hash_is_long(&h) && d.count > d.total / 3))) {
        hash_close(&h);
        cmd_needs_locks(c);
        return;
    }
    draw(c, &d, with_values);
    hash_close(&h);
}
