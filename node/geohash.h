/* geohash.h - places on Earth as numbers of 52 bits, and distances between them. Pure.
 *
 * A cell of step n has n bits of latitude and n of longitude, interleaved, latitude in the even ones. The
 * score of a member is its cell of step 26, which is some 60 cm wide; where a member is, is the middle of
 * its cell. Cells that begin alike are near each other, so what is near a place is in a few ranges of
 * scores. Numbers are those of Redis 7.2, bit for bit.
 */
#ifndef NODE_GEOHASH_H
#define NODE_GEOHASH_H

#include "base/annot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GEO_LAT_MAX 85.05112878 /* where Mercator's square map ends */
#define GEO_LON_MAX 180.0
enum { GEO_STEP_MAX = 26, GEO_TEXT = 11, GEO_CELLS_MAX = 9 };

struct geo_point {
    double lon, lat;
};

static inline bool geo_is_place(struct geo_point p)
{
    return p.lon >= -GEO_LON_MAX && p.lon <= GEO_LON_MAX && p.lat >= -GEO_LAT_MAX &&
           p.lat <= GEO_LAT_MAX;
}

double geo_score(struct geo_point p);
struct geo_point geo_point_of(double score);
/* The text that other services use: eleven letters of 5 bits, of the whole range of latitudes. */
void geo_text(double score, char out[GEO_TEXT]);
/* Metres on a sphere. */
double geo_distance(struct geo_point a, struct geo_point b);

struct geo_shape {
    struct geo_point centre;
    bool is_box;
    double radius;        /* of a circle, in units */
    double width, height; /* of a box */
    double unit;          /* metres */
};

/* Whether the place is in it; *distance from the centre in metres. */
bool geo_is_within(const struct geo_shape *s, struct geo_point p, double *distance);
/* Ranges of scores, [min, max), that hold all that is within; returns how many. */
struct geo_range {
    double min, max;
};
size_t geo_ranges(const struct geo_shape *s, struct geo_range out[GEO_CELLS_MAX]);

#endif
