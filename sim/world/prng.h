/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers that depend on nothing but (seed, component name, index): every component draws
 * from a stream of its own, so that adding one does not shift another. Integers only.
 *
 * The generator is xoshiro256** (Blackman and Vigna, public domain), its state filled by splitmix64
 * from seed, FNV-1a of the name, and index.
 */
#ifndef MIG_SIM_WORLD_PRNG_H
#define MIG_SIM_WORLD_PRNG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct MigPrng {
    uint64_t s[4];
} MigPrng;

MigPrng mig_prng(uint64_t seed, const char *component, uint64_t index);

/* 64 random bits. */
uint64_t mig_prng_next(MigPrng *p);

/* Uniform in 0 .. bound - 1 without bias; bound 0 means 2^64. */
uint64_t mig_prng_below(MigPrng *p, uint64_t bound);

/* True |numerator| times in |denominator| (> 0). */
bool mig_prng_chance(MigPrng *p, uint64_t numerator, uint64_t denominator);

/*
 * Random access: the |n|-th word of the stream (seed, component, index) that splitmix64 makes. Not
 * the words that mig_prng_next() gives; for pure functions of a number (page contents, writes).
 */
uint64_t mig_prng_key(uint64_t seed, const char *component, uint64_t index);

#define MIG_PRNG_GOLDEN 0x9e3779b97f4a7c15ull

/* splitmix64's way to scatter bits. */
static inline uint64_t mig_prng_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static inline uint64_t mig_prng_at(uint64_t key, uint64_t n)
{
    return mig_prng_mix(key + (n + 1) * MIG_PRNG_GOLDEN);
}

#endif
