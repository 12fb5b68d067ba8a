/* geo.c - places: sorted sets whose scores are cells of a map (node/geohash.h). */
#include "base/mem.h"
#include "base/parse.h"
#include "node/cmd/families.h"
#include "node/cmd/zset.h"
#include "node/geohash.h"
#include "node/keyspace.h"
#include "node/notify.h"
#include "node/slices.h"
#include "proto/number.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Arguments ---- */

static bool place_arg(struct cmd *c, uint32_t at, struct geo_point *out)
{
    if (!number_parse_score(c->argv[at], &out->lon) ||
        !number_parse_score(c->argv[at + 1], &out->lat)) {
        reply_err(c->reply, WIRE_NOT_FLOAT);
        return false;
    }
    if (!geo_is_place(*out)) {
        reply_errf(c->reply, "ERR invalid longitude,latitude pair %f,%f", out->lon, out->lat);
        return false;
    }
    return true;
}

static bool unit_arg(struct cmd *c, uint32_t at, double *metres)
{
    static const struct {
        const char *word;
        double metres;
    } units[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (slice_is_word(c->argv[at], units[i].word)) {
            *metres = units[i].metres;
            return true;
        }
    }
    reply_errf(c->reply, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

static bool radius_args(struct cmd *c, uint32_t at, struct geo_shape *s)
{
    s->is_box = false;
    if (!number_parse_score(c->argv[at], &s->radius)) {
        reply_errf(c->reply, "ERR need numeric radius");
        return false;
    }
    if (s->radius < 0) {
        reply_errf(c->reply, "ERR radius cannot be negative");
        return false;
    }
    return unit_arg(c, at + 1, &s->unit);
}

static bool box_args(struct cmd *c, uint32_t at, struct geo_shape *s)
{
    s->is_box = true;
    if (!number_parse_score(c->argv[at], &s->width)) {
        reply_errf(c->reply, "ERR need numeric width");
        return false;
    }
    if (!number_parse_score(c->argv[at + 1], &s->height)) {
        reply_errf(c->reply, "ERR need numeric height");
        return false;
    }
    if (s->width < 0 || s->height < 0) {
        reply_errf(c->reply, "ERR height or width cannot be negative");
        return false;
    }
    return unit_arg(c, at + 2, &s->unit);
}

static void reply_distance(struct reply *r, double distance)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "%.4f", distance);

    reply_bulk(r, (struct slice){text, (size_t)len});
}

static void reply_coordinate(struct reply *r, double degrees)
{
    char text[NUMBER_HUMAN_MAX];

    reply_double_text(r, (struct slice){text, number_print_human(text, degrees)});
}

static void reply_place(struct reply *r, struct geo_point p)
{
    reply_array(r, 2);
    reply_coordinate(r, p.lon);
    reply_coordinate(r, p.lat);
}

/* ---- GEOADD ---- */

static void add_places(struct cmd *c, uint32_t at, struct zset_item *items, size_t n,
                       unsigned flags, bool counts_changes)
{
    struct zset z;
    bool found;

    for (size_t i = 0; i < n; i++) {
        struct geo_point p;

        if (!slices_tick(2) || !place_arg(c, at + 3 * (uint32_t)i, &p)) {
            return;
        }
        items[i] = (struct zset_item){c->argv[at + 3 * i + 2], geo_score(p)};
    }
    if (!zset_arg(c, 1, &z, &found)) {
        return;
    }
    zset_done(&z, found);
    struct zset_added r = zset_add(c, cmd_key(c, 1), items, n, flags);

    if (r.added + r.updated > 0) {
        notify(c, NOTIFY_ZSET, "zadd", c->argv[1]);
    }
    reply_int(c->reply, (int64_t)(r.added + (counts_changes ? r.updated : 0)));
}

static void cmd_geoadd(struct cmd *c)
{
    bool counts_changes = false;
    unsigned flags = 0;
    uint32_t at = 2;

    if (slices_take(c, c->argc > SLICES_FEW)) {
        return;
    }
    for (; at < c->argc; at++) {
        if (slice_is_word(c->argv[at], "nx")) {
            flags |= ZSET_NX;
        } else if (slice_is_word(c->argv[at], "xx")) {
            flags |= ZSET_XX;
        } else if (slice_is_word(c->argv[at], "ch")) {
            counts_changes = true;
        } else {
            break;
        }
    }
    if ((c->argc - at) % 3 != 0 || flags == (ZSET_NX | ZSET_XX)) {
        reply_err(c->reply, WIRE_SYNTAX);
        return;
    }
    size_t n = (c->argc - at) / 3;
    struct zset_item *items = n == 0 ? NULL : mem_alloc(n * sizeof(items[0]));

    if (n == 0) { /* options and nothing else: what ZADD says to that */
        reply_err(c->reply, WIRE_SYNTAX);
    } else if (items == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
    } else {
        add_places(c, at, items, n, flags, counts_changes);
    }
    mem_free(items, n * sizeof(items[0]));
}

/* ---- GEOPOS, GEOHASH, GEODIST ---- */

static void cmd_geopos(struct cmd *c)
{
    struct zset z;
    bool found;

    if (slices_take(c, c->argc > SLICES_FEW) || !zset_arg(c, 1, &z, &found)) {
        return;
    }
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc && slices_tick(8); i++) {
        double score;

        if (found && zset_score(&z, c->argv[i], &score)) {
            reply_place(c->reply, geo_point_of(score));
        } else {
            reply_null_array(c->reply);
        }
    }
    zset_done(&z, found);
}

static void cmd_geohash(struct cmd *c)
{
    char text[GEO_TEXT];
    struct zset z;
    bool found;

    if (slices_take(c, c->argc > SLICES_FEW) || !zset_arg(c, 1, &z, &found)) {
        return;
    }
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc && slices_tick(8); i++) {
        double score;

        if (found && zset_score(&z, c->argv[i], &score)) {
            geo_text(score, text);
            reply_bulk(c->reply, (struct slice){text, GEO_TEXT});
        } else {
            reply_null(c->reply);
        }
    }
    zset_done(&z, found);
}

static void cmd_geodist(struct cmd *c)
{
    double unit = 1;
    double a, b;
    struct zset z;
    bool found;

    if (c->argc > 5) {
        reply_err(c->reply, WIRE_SYNTAX);
        return;
    }
    if ((c->argc == 5 && !unit_arg(c, 4, &unit)) || !zset_arg(c, 1, &z, &found)) {
        return;
    }
    if (found && zset_score(&z, c->argv[2], &a) && zset_score(&z, c->argv[3], &b)) {
        reply_distance(c->reply, geo_distance(geo_point_of(a), geo_point_of(b)) / unit);
    } else {
        reply_null(c->reply);
    }
    zset_done(&z, found);
}

/* ---- Searching ---- */

enum form { RADIUS, RADIUS_BY_MEMBER, SEARCH, SEARCH_STORE };
enum order { ANY_ORDER, NEAREST, FARTHEST };

struct hit {
    struct slice member;
    double score, distance;
};

/* Longer ones are all moved at qsort()'s end, in one piece. */
static_assert(sizeof(struct hit) <= 32, "a hit is short");

struct search {
    enum form form;
    bool may_store;
    /* asked for */
    struct geo_shape shape;
    bool has_centre, by_member, by_place, by_radius, by_box;
    bool with_distance, with_hash, with_place;
    bool any;
    enum order order;
    int64_t count;  /* 0: all */
    uint32_t store; /* where its key stands; 0: none */
    bool stores_distance;
    /* the key, while its options are read */
    struct zset z;
    bool found;
    /* the result */
    struct hit *hits; /* owned */
    size_t n, cap;
};

static bool member_arg(struct cmd *c, uint32_t at, struct search *s)
{
    double score;

    if (!s->found) {
        return true; /* the other options are read all the same */
    }
    if (!zset_score(&s->z, c->argv[at], &score)) {
        reply_errf(c->reply, "ERR could not decode requested zset member");
        return false;
    }
    s->shape.centre = geo_point_of(score);
    return true;
}

static bool flag_option(struct slice word, struct search *s)
{
    if (slice_is_word(word, "withdist")) {
        s->with_distance = true;
    } else if (slice_is_word(word, "withhash")) {
        s->with_hash = true;
    } else if (slice_is_word(word, "withcoord")) {
        s->with_place = true;
    } else if (slice_is_word(word, "any")) {
        s->any = true;
    } else if (slice_is_word(word, "asc")) {
        s->order = NEAREST;
    } else if (slice_is_word(word, "desc")) {
        s->order = FARTHEST;
    } else if (s->form == SEARCH_STORE && slice_is_word(word, "storedist")) {
        s->stores_distance = true;
    } else {
        return false;
    }
    return true;
}

static bool count_arg(struct cmd *c, uint32_t at, struct search *s)
{
    if (!parse_i64(c->argv[at], &s->count)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    if (s->count <= 0) {
        reply_errf(c->reply, "ERR COUNT must be > 0");
        return false;
    }
    return true;
}

/* An option of GEOSEARCH at argv[at]: how many arguments it takes, 0 when it is none, -1 when an error was
 * answered. */
static int shape_option(struct cmd *c, uint32_t at, struct search *s)
{
    uint32_t more = c->argc - at - 1;
    struct slice word = c->argv[at];

    if (more >= 1 && slice_is_word(word, "frommember") && !s->by_place) {
        s->by_member = true;
        return member_arg(c, at + 1, s) ? 2 : -1;
    }
    if (more >= 2 && slice_is_word(word, "fromlonlat") && !s->by_member) {
        s->by_place = true;
        return place_arg(c, at + 1, &s->shape.centre) ? 3 : -1;
    }
    if (more >= 2 && slice_is_word(word, "byradius") && !s->by_box) {
        s->by_radius = true;
        return radius_args(c, at + 1, &s->shape) ? 3 : -1;
    }
    if (more >= 3 && slice_is_word(word, "bybox") && !s->by_radius) {
        s->by_box = true;
        return box_args(c, at + 1, &s->shape) ? 4 : -1;
    }
    return 0;
}

static int option(struct cmd *c, uint32_t at, struct search *s)
{
    bool more = at + 1 < c->argc;
    struct slice word = c->argv[at];

    if (flag_option(word, s)) {
        return 1;
    }
    if (more && slice_is_word(word, "count")) {
        return count_arg(c, at + 1, s) ? 2 : -1;
    }
    if (s->form == SEARCH || s->form == SEARCH_STORE) {
        return shape_option(c, at, s);
    }
    if (more && s->may_store &&
        (slice_is_word(word, "store") || slice_is_word(word, "storedist"))) {
        s->store = at + 1;
        s->stores_distance = slice_is_word(word, "storedist");
        return 2;
    }
    return 0;
}

static bool fits_together(struct cmd *c, const struct search *s)
{
    bool searches = s->form == SEARCH || s->form == SEARCH_STORE;
    int len = c->argv[0].len < 64 ? (int)c->argv[0].len : 64;

    if (s->store != 0 && (s->with_distance || s->with_hash || s->with_place)) {
        reply_errf(c->reply,
                   "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
                   searches ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS");
    } else if (searches && !s->by_member && !s->by_place) {
        reply_errf(c->reply,
                   "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %.*s", len,
                   c->argv[0].ptr);
    } else if (searches && !s->by_radius && !s->by_box) {
        reply_errf(c->reply, "ERR exactly one of BYRADIUS and BYBOX can be specified for %.*s", len,
                   c->argv[0].ptr);
    } else if (s->any && s->count == 0) {
        reply_errf(c->reply, "ERR the ANY argument requires COUNT argument");
    } else {
        return true;
    }
    return false;
}

/* With the key open, since a member of it may be the centre. False when an error was answered. */
static bool search_args(struct cmd *c, struct search *s)
{
    uint32_t at = s->form == SEARCH ? 2 : s->form == SEARCH_STORE ? 3 : s->form == RADIUS ? 6 : 5;

    if (s->form == SEARCH_STORE) {
        s->store = 1;
    } else if (s->form == RADIUS) {
        if (!place_arg(c, 2, &s->shape.centre) || !radius_args(c, 4, &s->shape)) {
            return false;
        }
    } else if (s->form == RADIUS_BY_MEMBER && s->found) {
        if (!member_arg(c, 2, s) || !radius_args(c, 3, &s->shape)) {
            return false;
        }
    }
    while (at < c->argc) {
        int taken = option(c, at, s);

        if (taken <= 0) {
            if (taken == 0) {
                reply_err(c->reply, WIRE_SYNTAX);
            }
            return false;
        }
        at += (uint32_t)taken;
    }
    return fits_together(c, s);
}

static bool add_hit(struct search *s, const struct zset_item *i)
{
    struct hit h = {.member = i->member, .score = i->score};

    (void)slices_tick(4);

    if (!geo_is_within(&s->shape, geo_point_of(i->score), &h.distance)) {
        return true;
    }
    if (s->n == s->cap) {
        size_t cap = s->cap == 0 ? 32 : 2 * s->cap;
        struct hit *hits = mem_realloc(s->hits, s->cap * sizeof(*hits), cap * sizeof(*hits));

        if (hits == NULL) {
            return false;
        }
        s->hits = hits;
        s->cap = cap;
    }
    assert(s->hits != NULL);
    s->hits[s->n++] = h;
    return true;
}

static bool is_enough(const struct search *s)
{
    return s->any && s->n >= (uint64_t)s->count;
}

/* False: no memory. */
static bool look_in(struct search *s, const struct geo_range *range)
{
    size_t from = zset_before(&s->z, &(struct rank_bound){.score = range->min});
    size_t to = zset_before(&s->z, &(struct rank_bound){.score = range->max});
    struct zset_walk w;
    struct zset_item i;

    zset_walk_begin(&w, &s->z, from, to - from, false);
    while (!is_enough(s) && zset_walk_next(&w, &i)) {
        if (!add_hit(s, &i)) {
            return false;
        }
    }
    return true;
}

/* How many members it looks at. */
static size_t candidates(const struct search *s)
{
    struct geo_range ranges[GEO_CELLS_MAX];
    size_t n = geo_ranges(&s->shape, ranges);
    size_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum += zset_before(&s->z, &(struct rank_bound){.score = ranges[i].max}) -
               zset_before(&s->z, &(struct rank_bound){.score = ranges[i].min});
    }
    return sum;
}

static bool look(struct search *s)
{
    struct geo_range ranges[GEO_CELLS_MAX];
    size_t n = geo_ranges(&s->shape, ranges);

    for (size_t i = 0; i < n && !is_enough(s); i++) {
        if (!look_in(s, &ranges[i])) {
            return false;
        }
    }
    return true;
}

static int nearest_first(const void *a, const void *b)
{
    double x = ((const struct hit *)a)->distance;
    double y = ((const struct hit *)b)->distance;

    if (!slices_tick(1)) {
        return 0;
    }
    return (x > y) - (x < y);
}

static int farthest_first(const void *a, const void *b)
{
    return nearest_first(b, a);
}

static void sort_hits(struct search *s)
{
    enum order order = s->order;

    if (order == ANY_ORDER && s->count > 0 && !s->any) {
        order = NEAREST; /* the nearest of them are meant */
    }
    if (order != ANY_ORDER && s->n > 1) {
        qsort(s->hits, s->n, sizeof(s->hits[0]), order == NEAREST ? nearest_first : farthest_first);
    }
    s->n = s->count > 0 && (uint64_t)s->count < s->n ? (size_t)s->count : s->n;
}

static void reply_hits(struct cmd *c, const struct search *s)
{
    size_t more = (size_t)s->with_distance + s->with_hash + s->with_place;

    reply_array(c->reply, s->n);
    for (size_t i = 0; i < s->n && !c->reply->failed && slices_tick(3); i++) {
        const struct hit *h = &s->hits[i];

        if (more > 0) {
            reply_array(c->reply, 1 + more);
        }
        reply_bulk(c->reply, h->member);
        if (s->with_distance) {
            reply_distance(c->reply, h->distance / s->shape.unit);
        }
        if (s->with_hash) {
            reply_int(c->reply, (int64_t)h->score);
        }
        if (s->with_place) {
            reply_place(c->reply, geo_point_of(h->score));
        }
    }
}

/* False: given up. */
static bool items_of_hits(const struct search *s, struct zset_item *items)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct hit *h = &s->hits[i];

        items[i] = (struct zset_item){h->member,
                                      s->stores_distance ? h->distance / s->shape.unit : h->score};
        if (!slices_tick(1)) {
            return false;
        }
    }
    if (s->n > 1) {
        qsort(items, s->n, sizeof(items[0]), zset_item_order);
    }
    return true;
}

static void store_hits(struct cmd *c, const struct search *s)
{
    struct zset_item *items = s->n == 0 ? NULL : mem_alloc(s->n * sizeof(items[0]));

    if (s->n > 0 && items == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    if (!items_of_hits(s, items)) {
        mem_free(items, s->n * sizeof(items[0]));
        return;
    }
    zset_store(c, cmd_key(c, s->store), items, s->n);
    if (s->n > 0) {
        notify(c, NOTIFY_ZSET, s->form == SEARCH_STORE ? "geosearchstore" : "georadiusstore",
               c->argv[s->store]);
    }
    reply_int(c->reply, (int64_t)s->n);
    mem_free(items, s->n * sizeof(items[0]));
}

static void search(struct cmd *c, struct search s)
{
    bool fine = true;

    if (!zset_arg(c, s.form == SEARCH_STORE ? 2 : 1, &s.z, &s.found)) {
        return;
    }
    if (!search_args(c, &s)) {
        zset_done(&s.z, s.found);
        return;
    }
    if (s.found && slices_take(c, zset_count(&s.z) > SLICES_FEW && candidates(&s) > SLICES_FEW)) {
        zset_close(&s.z);
        return;
    }
    if (s.found && slices_running != NULL) {
        s.cap = candidates(&s);
        s.hits = mem_alloc(s.cap * sizeof(s.hits[0]));
        s.cap = s.hits == NULL ? 0 : s.cap;
    }
    if (s.found) {
        fine = look(&s);
        zset_close(&s.z); /* names stay where they lie until this turn ends */
        sort_hits(&s);
    }
    if (!fine) {
        reply_err(c->reply, WIRE_NOMEM);
    } else if (s.store != 0) {
        store_hits(c, &s);
    } else {
        reply_hits(c, &s);
    }
    mem_free(s.hits, s.cap * sizeof(s.hits[0]));
}

static void cmd_georadius(struct cmd *c)
{
    search(c, (struct search){.form = RADIUS, .may_store = true});
}

static void cmd_georadius_ro(struct cmd *c)
{
    search(c, (struct search){.form = RADIUS});
}

static void cmd_georadiusbymember(struct cmd *c)
{
    search(c, (struct search){.form = RADIUS_BY_MEMBER, .may_store = true});
}

static void cmd_georadiusbymember_ro(struct cmd *c)
{
    search(c, (struct search){.form = RADIUS_BY_MEMBER});
}

static void cmd_geosearch(struct cmd *c)
{
    search(c, (struct search){.form = SEARCH});
}

static void cmd_geosearchstore(struct cmd *c)
{
    search(c, (struct search){.form = SEARCH_STORE});
}

/* clang-format off */
#define UNIT "<M | KM | FT | MI>"
#define RADIUS_TAIL "[WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]"
#define SEARCH_ARGS "<FROMMEMBER member | FROMLONLAT longitude latitude> " \
    "<BYRADIUS radius " UNIT " | BYBOX width height " UNIT "> [ASC | DESC] [COUNT count [ANY]]"
#define KEYS_STORE { CMD_KEYS_MOVABLE, 1, 1, 1 }
struct cmd_def geo_cmds[] = {
    { .name = "GEOADD", .arity = -5, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 1, 1),
      .since = "3.2.0", .run = cmd_geoadd,
      .args = "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
      .summary = "Puts members at places. Answers how many are new." },
    { .name = "GEOPOS", .arity = -2, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "3.2.0", .run = cmd_geopos, .args = "key [member [member ...]]",
      .summary = "The places of members." },
    { .name = "GEOHASH", .arity = -2, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "3.2.0", .run = cmd_geohash, .args = "key [member [member ...]]",
      .summary = "The places of members as geohash texts." },
    { .name = "GEODIST", .arity = -4, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "3.2.0", .run = cmd_geodist, .args = "key member1 member2 [M | KM | FT | MI]",
      .summary = "How far two members are apart." },
    { .name = "GEORADIUS", .arity = -6, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS_STORE,
      .since = "3.2.0", .run = cmd_georadius,
      .args = "key longitude latitude radius " UNIT " " RADIUS_TAIL " [STORE key | STOREDIST key]",
      .summary = "Members within a distance of a place; GEOSEARCH says more." },
    { .name = "GEORADIUS_RO", .arity = -6, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "3.2.10", .run = cmd_georadius_ro,
      .args = "key longitude latitude radius " UNIT " " RADIUS_TAIL,
      .summary = "As GEORADIUS, without storing." },
    { .name = "GEORADIUSBYMEMBER", .arity = -5, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS_STORE,
      .since = "3.2.0", .run = cmd_georadiusbymember,
      .args = "key member radius " UNIT " " RADIUS_TAIL " [STORE key | STOREDIST key]",
      .summary = "Members within a distance of a member; GEOSEARCH says more." },
    { .name = "GEORADIUSBYMEMBER_RO", .arity = -5, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "3.2.10", .run = cmd_georadiusbymember_ro,
      .args = "key member radius " UNIT " " RADIUS_TAIL,
      .summary = "As GEORADIUSBYMEMBER, without storing." },
    { .name = "GEOSEARCH", .arity = -7, .flags = CMD_READ, .keys = KEYS(1, 1, 1),
      .since = "6.2.0", .run = cmd_geosearch,
      .args = "key " SEARCH_ARGS " [WITHCOORD] [WITHDIST] [WITHHASH]",
      .summary = "Members within a circle or a box." },
    { .name = "GEOSEARCHSTORE", .arity = -8, .flags = CMD_WRITE | CMD_GROWS, .keys = KEYS(1, 2, 1),
      .since = "6.2.0", .run = cmd_geosearchstore,
      .args = "destination source " SEARCH_ARGS " [STOREDIST]",
      .summary = "As GEOSEARCH, and stores it. Answers how many members." },
    CMD_END
};
/* clang-format on */
