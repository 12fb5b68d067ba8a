#include "node/geohash.h"

#include <math.h>

#define EARTH_RADIUS 6372797.560856 /* metres */
#define HALF_EQUATOR 20037726.37    /* metres */

struct cell {
    uint32_t lat, lon; /* in units of the range's 2^step-th */
    unsigned step;     /* 0: none */
};

struct area {
    struct geo_point min, max;
};

static double to_radians(double degrees)
{
    return degrees * (M_PI / 180.0);
}

static double to_degrees(double radians)
{
    return radians / (M_PI / 180.0);
}

/* ---- Cells ---- */

static uint64_t spread(uint32_t n)
{
    uint64_t x = n;

    x = (x | x << 16) & 0x0000ffff0000ffffu;
    x = (x | x << 8) & 0x00ff00ff00ff00ffu;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0fu;
    x = (x | x << 2) & 0x3333333333333333u;
    return (x | x << 1) & 0x5555555555555555u;
}

static uint32_t gather(uint64_t x)
{
    x &= 0x5555555555555555u;
    x = (x | x >> 1) & 0x3333333333333333u;
    x = (x | x >> 2) & 0x0f0f0f0f0f0f0f0fu;
    x = (x | x >> 4) & 0x00ff00ff00ff00ffu;
    x = (x | x >> 8) & 0x0000ffff0000ffffu;
    return (uint32_t)(x | x >> 16);
}

static uint64_t bits_of(struct cell c)
{
    return spread(c.lat) | spread(c.lon) << 1;
}

static uint32_t part(double value, double most, unsigned step)
{
    double offset = (value + most) / (most + most);

    return (uint32_t)(offset * (double)(1ull << step));
}

static struct cell cell_at(struct geo_point p, double lat_most, unsigned step)
{
    return (struct cell){part(p.lat, lat_most, step), part(p.lon, GEO_LON_MAX, step), step};
}

static double edge(uint32_t n, double most, unsigned step)
{
    return -most + (n * 1.0 / (double)(1ull << step)) * (most + most);
}

static struct area area_of(struct cell c)
{
    return (struct area){
        .min = {edge(c.lon, GEO_LON_MAX, c.step), edge(c.lat, GEO_LAT_MAX, c.step)},
        .max = {edge(c.lon + 1, GEO_LON_MAX, c.step), edge(c.lat + 1, GEO_LAT_MAX, c.step)},
    };
}

double geo_score(struct geo_point p)
{
    return (double)bits_of(cell_at(p, GEO_LAT_MAX, GEO_STEP_MAX));
}

static double clamp(double v, double most)
{
    return v > most ? most : v < -most ? -most : v;
}

struct geo_point geo_point_of(double score)
{
    /* Any sorted set may be asked: a score that is no cell gives a place without meaning. */
    uint64_t bits = score > -9.2e18 && score < 9.2e18 ? (uint64_t)(int64_t)score : 0;
    struct area a = area_of((struct cell){gather(bits), gather(bits >> 1), GEO_STEP_MAX});

    return (struct geo_point){clamp((a.min.lon + a.max.lon) / 2, GEO_LON_MAX),
                              clamp((a.min.lat + a.max.lat) / 2, GEO_LAT_MAX)};
}

void geo_text(double score, char out[GEO_TEXT])
{
    static const char letters[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    uint64_t bits = bits_of(cell_at(geo_point_of(score), 90.0, GEO_STEP_MAX));

    for (int i = 0; i < GEO_TEXT; i++) {
        /* 52 bits are ten letters and two bits, and Redis leaves those out. */
        out[i] = letters[i == GEO_TEXT - 1 ? 0 : bits >> (52 - (i + 1) * 5) & 31];
    }
}

/* ---- Distances ---- */

static double lat_distance(double a, double b)
{
    return EARTH_RADIUS * fabs(to_radians(b) - to_radians(a));
}

double geo_distance(struct geo_point a, struct geo_point b)
{
    double v = sin((to_radians(b.lon) - to_radians(a.lon)) / 2);

    if (v == 0.0) {
        return lat_distance(a.lat, b.lat);
    }
    double lat_a = to_radians(a.lat);
    double lat_b = to_radians(b.lat);
    double u = sin((lat_b - lat_a) / 2);

    return 2.0 * EARTH_RADIUS * asin(sqrt(u * u + cos(lat_a) * cos(lat_b) * v * v));
}

bool geo_is_within(const struct geo_shape *s, struct geo_point p, double *distance)
{
    if (!s->is_box) {
        *distance = geo_distance(s->centre, p);
        return *distance <= s->radius * s->unit;
    }
    /* At the latitude of the place, since meridians meet towards the poles. */
    if (lat_distance(p.lat, s->centre.lat) > s->height * s->unit / 2 ||
        geo_distance(p, (struct geo_point){s->centre.lon, p.lat}) > s->width * s->unit / 2) {
        return false;
    }
    *distance = geo_distance(s->centre, p);
    return true;
}

/* ---- Which cells may hold what is within ---- */

static struct area bounds_of(const struct geo_shape *s)
{
    double height = s->unit * (s->is_box ? s->height / 2 : s->radius);
    double width = s->unit * (s->is_box ? s->width / 2 : s->radius);
    double lat = to_degrees(height / EARTH_RADIUS);
    /* Where the shape is nearest to a pole, a metre is most degrees. */
    double at = s->centre.lat < 0 ? s->centre.lat - lat : s->centre.lat + lat;
    double lon = to_degrees(width / EARTH_RADIUS / cos(to_radians(at)));

    return (struct area){{s->centre.lon - lon, s->centre.lat - lat},
                         {s->centre.lon + lon, s->centre.lat + lat}};
}

/* So that the cell and its neighbours hold all within so many metres, mostly. */
static unsigned estimate_step(double metres, double lat)
{
    int step = 1;

    if (metres == 0) {
        return GEO_STEP_MAX;
    }
    while (metres < HALF_EQUATOR) {
        metres *= 2;
        step++;
    }
    step -= 2;
    if (lat > 66 || lat < -66) {
        step--;
        if (lat > 80 || lat < -80) {
            step--;
        }
    }
    return step < 1 ? 1 : step > GEO_STEP_MAX ? GEO_STEP_MAX : (unsigned)step;
}

static struct cell moved(struct cell c, int lat, int lon)
{
    uint32_t mask = (uint32_t)((1ull << c.step) - 1);

    /* Only what moves is wrapped: a place on the map's very edge is one beyond the last cell. */
    c.lat = lat == 0 ? c.lat : (c.lat + (uint32_t)lat) & mask;
    c.lon = lon == 0 ? c.lon : (c.lon + (uint32_t)lon) & mask;
    return c;
}

/* In the order of the search. */
static const struct {
    int8_t lat, lon;
} around[GEO_CELLS_MAX] = {{0, 0}, {1, 0},  {-1, 0}, {0, 1},  {0, -1},
                           {1, 1}, {1, -1}, {-1, 1}, {-1, -1}};

static bool is_too_near(struct cell c, const struct area *bounds)
{
    return area_of(moved(c, 1, 0)).max.lat < bounds->max.lat ||
           area_of(moved(c, -1, 0)).min.lat > bounds->min.lat ||
           area_of(moved(c, 0, 1)).max.lon < bounds->max.lon ||
           area_of(moved(c, 0, -1)).min.lon > bounds->min.lon;
}

/* A neighbour that the shape does not reach. */
static bool is_useless(int i, const struct area *cell, const struct area *bounds)
{
    return (around[i].lat < 0 && cell->min.lat < bounds->min.lat) ||
           (around[i].lat > 0 && cell->max.lat > bounds->max.lat) ||
           (around[i].lon < 0 && cell->min.lon < bounds->min.lon) ||
           (around[i].lon > 0 && cell->max.lon > bounds->max.lon);
}

size_t geo_ranges(const struct geo_shape *s, struct geo_range out[GEO_CELLS_MAX])
{
    struct area bounds = bounds_of(s);
    double metres =
        s->unit * (s->is_box
                       ? sqrt((s->width / 2) * (s->width / 2) + (s->height / 2) * (s->height / 2))
                       : s->radius);
    unsigned step = estimate_step(metres, s->centre.lat);
    struct cell cell = cell_at(s->centre, GEO_LAT_MAX, step);
    uint64_t last = UINT64_MAX;
    size_t n = 0;

    if (step > 1 && is_too_near(cell, &bounds)) {
        cell = cell_at(s->centre, GEO_LAT_MAX, --step);
    }
    struct area area = area_of(cell);

    for (int i = 0; i < GEO_CELLS_MAX; i++) {
        uint64_t bits = bits_of(moved(cell, around[i].lat, around[i].lon));
        unsigned shift = 2 * (GEO_STEP_MAX - step);

        /* Of few and large cells neighbours may be the same. */
        if ((step >= 2 && is_useless(i, &area, &bounds)) || (i > 1 && bits == last)) {
            continue;
        }
        last = bits;
        out[n++] = (struct geo_range){(double)(bits << shift), (double)((bits + 1) << shift)};
    }
    return n;
}
