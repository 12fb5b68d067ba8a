/* rand.h - chance, handed in so that tests replay it. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stdint.h>

/* xoshiro256** would be more than is needed; this is splitmix64: one add, two multiplies. */
struct rand {
    uint64_t state;
};

static inline uint64_t rand_next(struct rand *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 to n-1; n > 0. The bias of a multiply is under n / 2^64. */
static inline uint64_t rand_below(struct rand *r, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)rand_next(r) * n) >> 64);
}

#endif
